//! The page: one file that needs no other, without a script.

use std::fmt::Write;

use super::csv::{APART_COLUMNS, COLUMNS, PART_COLUMNS, PROCESS_COLUMNS};
use super::escape::html;
use super::plot;
use super::read::Document;
use super::scale::utc_text;
use super::section::{curves, percentile_table, section};

const STYLE: &str = include_str!("page.css");

/// `files` are the percentile files by result and target; `now_unix_ms` is when the page is made.
pub(super) fn page(
    results: &[Document],
    files: &[Vec<Option<String>>],
    now_unix_ms: u64,
) -> String {
    let mut page = String::from(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n",
    );
    let title = match results {
        [one] => format!("Load report: {}", one.source),
        many => format!("Load report of {} results", many.len()),
    };
    let title = html(&title);
    let _ = writeln!(
        page,
        "<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         <p class=\"soft\">Written {now} by loadgen {version}. Latency counts from when a request was due, whether or not it could \
         be sent then.</p>",
        now = utc_text(now_unix_ms),
        version = env!("CARGO_PKG_VERSION"),
    );
    if results.len() > 1 {
        contents(&mut page, results);
        same_loads(&mut page, results);
    }
    for (index, result) in results.iter().enumerate() {
        let files = files.get(index).map_or(&[][..], Vec::as_slice);
        section(&mut page, index, result, files);
    }
    beside(&mut page);
    page.push_str("</body>\n</html>\n");
    page
}

/// A table whose cells are text; the first column names its row.
pub(super) fn table<H: AsRef<str>>(page: &mut String, head: &[H], rows: &[Vec<String>]) {
    table_of("", page, head, rows);
}

pub(super) fn table_of<H: AsRef<str>>(
    attributes: &str,
    page: &mut String,
    head: &[H],
    rows: &[Vec<String>],
) {
    let _ = write!(page, "<div class=\"scroll\"><table{attributes}><thead><tr>");
    for cell in head {
        let _ = write!(page, "<th scope=\"col\">{}</th>", html(cell.as_ref()));
    }
    page.push_str("</tr></thead><tbody>\n");
    for row in rows {
        page.push_str("<tr>");
        for (index, cell) in row.iter().enumerate() {
            let _ = match index {
                0 => write!(page, "<th scope=\"row\">{}</th>", html(cell)),
                _ => write!(page, "<td>{}</td>", html(cell)),
            };
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
}

/// A plot in its frame, with the names of its lines.
pub(super) fn figure(page: &mut String, legend: &str, svg: &str) {
    let _ = writeln!(
        page,
        "<figure>{legend}<div class=\"scroll\">{svg}</div></figure>"
    );
}

pub(super) fn heading(page: &mut String, text: &str) {
    let _ = writeln!(page, "<h3>{}</h3>", html(text));
}

pub(super) fn paragraph(page: &mut String, class: &str, text: &str) {
    let _ = writeln!(page, "<p class=\"{class}\">{}</p>", html(text));
}

fn contents(page: &mut String, results: &[Document]) {
    page.push_str("<ul>\n");
    for (index, result) in results.iter().enumerate() {
        let _ = writeln!(
            page,
            "<li><a href=\"#result-{}\">{}</a> <span class=\"soft\">{}</span></li>",
            index + 1,
            html(&result.source),
            html(&result.plan)
        );
    }
    page.push_str("</ul>\n");
}

/// Results of one load are seen best in one picture.
fn same_loads(page: &mut String, results: &[Document]) {
    let mut plans: Vec<&str> = Vec::new();
    for result in results {
        if !plans.contains(&result.plan.as_str()) {
            plans.push(&result.plan);
        }
    }
    for plan in plans {
        let same: Vec<&Document> = results
            .iter()
            .filter(|result| result.plan == plan)
            .collect();
        if same.len() < 2 {
            continue;
        }
        let named = same.iter().flat_map(|result| {
            let name = |target: &str| match result.source == target {
                true => target.to_owned(),
                false => format!("{}: {target}", result.source),
            };
            result
                .targets
                .iter()
                .map(move |target| (name(&target.name), target))
        });
        let named: Vec<_> = named.collect();
        page.push_str("<h2>The same load side by side</h2>\n");
        paragraph(page, "plan", plan);
        let lines = curves(&named, false);
        figure(page, &plot::legend(&lines), &plot::percentiles(&lines));
        percentile_table(page, &named);
    }
}

fn beside(page: &mut String) {
    page.push_str("<h2>Files beside this page</h2>\n");
    let files = [
        (
            "results.csv",
            "a row per run, target and round; its columns are below",
        ),
        (
            "seconds.csv",
            "a row per second: requests by what became of them, bytes of records, latencies in microseconds",
        ),
        (
            "report.json",
            "all results in one, to be read by programs and by loadgen report",
        ),
        (
            "latency-….hgrm",
            "percentiles of each target in milliseconds, for the HdrHistogram plotter",
        ),
    ];
    let rows = |pairs: &[(&str, &str)]| {
        let row = |(name, meaning): &(&str, &str)| vec![(*name).to_owned(), (*meaning).to_owned()];
        pairs.iter().map(row).collect::<Vec<_>>()
    };
    table_of(" class=\"words\"", page, &["file", "holds"], &rows(&files));
    page.push_str("<details><summary>Columns of results.csv</summary>\n");
    let of_parts = PART_COLUMNS.map(|(name, holds, _)| (name, holds));
    let of_aparts = APART_COLUMNS.map(|(name, holds, _)| (name, holds));
    let columns: Vec<_> = COLUMNS
        .iter()
        .chain(&PROCESS_COLUMNS)
        .chain(&of_parts)
        .chain(&of_aparts)
        .copied()
        .collect();
    table_of(
        " class=\"words\"",
        page,
        &["column", "holds"],
        &rows(&columns),
    );
    page.push_str("</details>\n");
}
