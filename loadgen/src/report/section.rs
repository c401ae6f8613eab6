//! What the page says of one result: figures, percentiles, and what became of them in time or from round to round.

use std::fmt::Write;

use serde_json::Value;

use super::beside::beside;
use super::course::course;
use super::escape::html;
use super::html::{figure, heading, paragraph, table};
use super::plot::{self, Line, Stroke};
use super::read::{Document, Kind, Round, Target, text};
use super::scale::{number, percent_text, short, utc_text};
use super::{QUANTILES, resources, rounds};
use crate::compare::Spread;

/// Rows of the table of percentiles, as far as there were requests enough to tell.
const TABLE_QUANTILES: [f64; 8] = [0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999];

pub(super) fn section(
    page: &mut String,
    index: usize,
    result: &Document,
    files: &[Option<String>],
) {
    let _ = writeln!(
        page,
        "<section>\n<h2 id=\"result-{}\">{}</h2>",
        index + 1,
        html(&result.source)
    );
    paragraph(page, "plan", &result.plan);
    facts(page, result);
    faults(page, result);
    let missing = result.missing();
    if !missing.is_empty() {
        page.push_str("<div class=\"note\">Not in this result, as older versions of loadgen did not write it:<ul>\n");
        for missing in missing {
            let _ = writeln!(page, "<li>{}</li>", html(missing));
        }
        page.push_str("</ul></div>\n");
    }
    heading(page, "Figures");
    figures(page, result);
    heading(page, "Latency by percentile");
    let named: Vec<_> = result
        .targets
        .iter()
        .map(|target| (target.name.clone(), target))
        .collect();
    let lines = curves(&named, true);
    figure(page, &plot::legend(&lines), &plot::percentiles(&lines));
    if lines.iter().any(|line| line.stroke == Stroke::Faint) {
        paragraph(
            page,
            "soft",
            "Strong lines: all rounds of a target together. Faint lines: one round each.",
        );
    }
    let closed_loop = result
        .json
        .get("load")
        .and_then(|load| load.get("closed_loop"));
    if closed_loop == Some(&Value::Bool(true)) {
        let text = "Closed loop: a request is due when there is room for it, so a stall of the target delays only those on \
            their way. Load at a stated rate would show what the others suffer.";
        paragraph(page, "soft", text);
    }
    percentile_table(page, &named);
    links(page, result, files);
    beside(page, result);
    match result.kind {
        Kind::Run => course(page, result),
        Kind::Compare => rounds::ratios(page, result),
    }
    resources::resources(page, result);
    page.push_str("</section>\n");
}

/// Lines for the plot of percentiles, one per target; with `each_round` faint ones, too.
pub(super) fn curves(targets: &[(String, &Target)], each_round: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    for (colour, (name, target)) in targets.iter().enumerate() {
        let line = |stroke, points| Line {
            name: name.clone(),
            colour,
            stroke,
            points,
        };
        if let Some(all) = target.latency_ns() {
            let rounds = target
                .rounds
                .iter()
                .filter(|_| each_round && target.rounds.len() > 1);
            let faint = rounds
                .filter_map(|round| Some(line(Stroke::Faint, curve(round.latency_ns.as_ref()?))));
            lines.extend(faint);
            lines.push(line(Stroke::Curve, curve(&all)));
        } else {
            let known = QUANTILES
                .iter()
                .enumerate()
                .filter(|(_, (_, quantile))| *quantile < 1.0);
            let points = known.map(|(index, (_, quantile))| {
                (1.0 / (1.0 - quantile), stored_latency(target, index).median)
            });
            lines.push(line(Stroke::Sketch, points.collect()));
        }
    }
    lines
}

/// The last point is the maximum, where the last request is.
fn curve(latency_ns: &hdrhistogram::Histogram<u64>) -> Vec<(f64, f64)> {
    let last = (latency_ns.len() as f64).max(1.0);
    let steps = latency_ns.iter_quantiles(5);
    steps
        .map(|step| {
            let inverse = 1.0 / (1.0 - step.quantile_iterated_to());
            (inverse.min(last), step.value_iterated_to() as f64 / 1e3)
        })
        .collect()
}

/// A latency of those that every result holds, over the rounds.
fn stored_latency(target: &Target, index: usize) -> Spread {
    of_rounds(target, |round| {
        round.latency_us.get(index).copied().unwrap_or(f64::NAN)
    })
}

pub(super) fn of_rounds(target: &Target, figure: impl Fn(&Round) -> f64) -> Spread {
    let values = target.rounds.iter().map(figure);
    Spread::of(values.filter(|value| value.is_finite()).collect())
}

pub(super) fn percentile_table(page: &mut String, targets: &[(String, &Target)]) {
    let mut head = vec!["percentile".to_owned(), "1 / (1 − p)".to_owned()];
    head.extend(targets.iter().map(|(name, _)| format!("{name}, µs")));
    let histograms: Vec<_> = targets
        .iter()
        .map(|(_, target)| target.latency_ns())
        .collect();
    let cell = |index: usize, target: &Target, quantile: f64| match histograms.get(index) {
        // Of 100 requests nobody can say what 99.9 % of them took.
        Some(Some(all)) if all.len() as f64 * (1.0 - quantile) < 0.999 && quantile < 1.0 => None,
        Some(Some(all)) => Some(all.value_at_quantile(quantile) as f64 / 1e3),
        _ => {
            let index = QUANTILES
                .iter()
                .position(|(_, stored)| *stored == quantile)?;
            Some(stored_latency(target, index).median)
        }
    };
    let mut rows = Vec::new();
    for quantile in TABLE_QUANTILES.into_iter().chain([1.0]) {
        let targets = targets.iter().enumerate();
        let cells: Vec<Option<f64>> = targets
            .map(|(index, (_, target))| cell(index, target, quantile))
            .collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        let mut row = match quantile < 1.0 {
            true => vec![percent_text(quantile), number(1.0 / (1.0 - quantile), 0)],
            false => vec!["the longest".to_owned(), String::new()],
        };
        row.extend(cells.iter().map(|cell| number(cell.unwrap_or(f64::NAN), 1)));
        rows.push(row);
    }
    table(page, &head, &rows);
}

/// What and where, as far as the result says.
fn facts(page: &mut String, result: &Document) {
    let mut facts: Vec<(&str, String)> = Vec::new();
    if let Some(started) = result.started_unix_ms {
        facts.push(("measured", utc_text(started)));
    }
    if let Some(load) = result.json.get("load") {
        let count = |name: &str| load.get(name).and_then(Value::as_u64).unwrap_or_default() as f64;
        let topic = text(load, "topic").unwrap_or_default();
        facts.push((
            "load",
            format!(
                "topic {topic}, connections {}, threads {}, in flight per connection at most {}",
                number(count("connections"), 0),
                number(count("threads"), 0),
                number(count("in_flight_max"), 0)
            ),
        ));
    }
    for (index, target) in result.targets.iter().enumerate() {
        let baseline = match result.kind == Kind::Compare && index == result.baseline {
            true => " (the baseline)",
            false => "",
        };
        if let Some(address) = &target.address {
            let name = match *address == target.name {
                true => String::new(),
                false => format!("{}, ", target.name),
            };
            facts.push(("target", format!("{name}{address}{baseline}")));
        }
    }
    if let Some(machine) = result.json.get("machine") {
        let or_unknown = |name: &str| text(machine, name).unwrap_or_else(|| "not known".to_owned());
        let count = |name: &str| machine.get(name).and_then(Value::as_u64);
        let mut cpu = or_unknown("cpu_model");
        if let Some(cpus) = count("cpus") {
            let _ = write!(cpu, ", {cpus} CPUs");
        }
        if let Some(own) = count("cpus_of_loadgen").filter(|own| Some(*own) != count("cpus")) {
            let _ = write!(cpu, ", of which loadgen may use {own}");
        }
        facts.push(("CPU", cpu));
        facts.push(("CPU governor", or_unknown("cpu_governor")));
        if let Some(bytes) = count("memory_bytes") {
            facts.push(("memory", format!("{} GB", short(bytes as f64 / 1e9))));
        }
        facts.push(("kernel", or_unknown("kernel")));
    }
    if let Some(version) = text(&result.json, "loadgen_version") {
        facts.push(("loadgen", version));
    }
    page.push_str("<dl>\n");
    for (name, value) in facts {
        let _ = writeln!(page, "<dt>{name}</dt><dd>{}</dd>", html(&value));
    }
    page.push_str("</dl>\n");
}

/// Requests without a good answer come before any figure: they may be why it is good.
fn faults(page: &mut String, result: &Document) {
    for target in &result.targets {
        let sum = |figure: fn(&Round) -> u64| target.rounds.iter().map(figure).sum::<u64>();
        let (failed, unanswered) = (sum(|round| round.failed), sum(|round| round.unanswered));
        let unconfirmed = sum(|round| round.unconfirmed);
        if failed + unanswered + unconfirmed == 0 {
            continue;
        }
        let _ = writeln!(
            page,
            "<div class=\"bad\"><strong>{}</strong>: of {} requests {} failed and {} were not answered.<ul>",
            html(&target.name),
            number(sum(|round| round.intended) as f64, 0),
            number(failed as f64, 0),
            number(unanswered as f64, 0)
        );
        if unconfirmed > 0 {
            let connections = number(unconfirmed as f64, 0);
            let _ = writeln!(
                page,
                "<li>{connections} connections were not seen to read every write that wants no answer</li>"
            );
        }
        let mut told: Vec<i64> = Vec::new();
        let errors = || target.rounds.iter().flat_map(|round| &round.errors);
        for error in errors() {
            if told.contains(&error.code) {
                continue;
            }
            told.push(error.code);
            let same = errors().filter(|other| other.code == error.code);
            let count: u64 = same.map(|same| same.count).sum();
            let _ = writeln!(
                page,
                "<li>error {}, {} times: {}</li>",
                error.code,
                number(count as f64, 0),
                html(&error.words)
            );
        }
        for (kind, count, words) in target.rounds.iter().flat_map(|round| &round.failures) {
            let (kind, words) = (html(kind), html(words));
            let count = number(*count as f64, 0);
            let _ = writeln!(page, "<li>{kind}, {count} times: {words}</li>");
        }
        page.push_str("</ul></div>\n");
    }
}

/// Absolute figures, a column per target.
fn figures(page: &mut String, result: &Document) {
    let mut head = vec![String::new()];
    head.extend(result.targets.iter().map(|target| target.name.clone()));
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut row = |name: &str, digits: usize, figure: &dyn Fn(&Round) -> f64| {
        let spreads: Vec<Spread> = result
            .targets
            .iter()
            .map(|target| of_rounds(target, figure))
            .collect();
        if spreads.iter().any(|spread| spread.median.is_finite()) {
            let cells = spreads.iter().map(|spread| spread_text(*spread, digits));
            rows.push([name.to_owned()].into_iter().chain(cells).collect());
        }
    };
    row("answered requests/s", 1, &Round::answered_per_s);
    row("MB/s of records", 2, &|round| match round.record_bytes {
        0 => f64::NAN,
        _ => round.record_mb_per_s(),
    });
    for (index, (name, _)) in QUANTILES.iter().enumerate() {
        row(&format!("latency {name}, µs"), 1, &|round| {
            round.latency_us.get(index).copied().unwrap_or(f64::NAN)
        });
    }
    row("sent late, p99, µs (part of the latency)", 1, &|round| {
        round.sent_late_p99_us
    });
    row("answered", 0, &|round| round.answered as f64);
    row("elapsed, s", 2, &|round| round.elapsed_s);
    table(page, &head, &rows);
    let count = result
        .targets
        .iter()
        .map(|target| target.rounds.len())
        .max()
        .unwrap_or(0);
    if count > 1 {
        paragraph(
            page,
            "soft",
            &format!("Median of {count} rounds (least to most)."),
        );
    }
}

/// The median, and least and most where they differ in what is shown of them.
pub(super) fn spread_text(spread: Spread, digits: usize) -> String {
    let digits = match spread.max >= 1_000.0 {
        true => 0,
        false => digits,
    };
    let [median, min, max] =
        [spread.median, spread.min, spread.max].map(|value| number(value, digits));
    match min == max {
        true => median,
        false => format!("{median} ({min} to {max})"),
    }
}

fn links(page: &mut String, result: &Document, files: &[Option<String>]) {
    let named = result.targets.iter().zip(files);
    let links: Vec<String> = named
        .filter_map(|(target, file)| {
            let (file, name) = (html(file.as_ref()?), html(&target.name));
            Some(format!("<a href=\"{file}\">{name}</a>"))
        })
        .collect();
    if !links.is_empty() {
        let _ = writeln!(
            page,
            "<p class=\"soft\">Percentile files for the HdrHistogram plotter: {}</p>",
            links.join(", ")
        );
    }
}
