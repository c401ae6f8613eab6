//! `loadgen report`: files in, files out.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::arguments::{Report as Arguments, unwritable, write_file};
use super::read::{Document, documents};
use super::{Report, csv, escape, hgrm, html};
use crate::Error;

/// Percentiles of one target, and the file that they are written to.
struct Percentiles {
    file: String,
    text: String,
}

/// `loadgen report`.
///
/// # Errors
/// A file cannot be read, holds no result, or cannot be written.
pub fn write_report(arguments: &Arguments) -> Result<Report, Error> {
    let mut results = Vec::new();
    for path in &arguments.results {
        results.extend(read(path)?);
    }
    tell_apart(&mut results);
    let mut percentiles: Vec<Percentiles> = Vec::new();
    // By result and target, as the page links to them.
    let mut files: Vec<Vec<Option<String>>> = Vec::new();
    for result in &results {
        let mut of_result = Vec::new();
        for target in &result.targets {
            let Some(latency_ns) = target.latency_ns() else {
                of_result.push(None);
                continue;
            };
            let stem = escape::file_name(&format!("{}-{}", result.source, target.name));
            let taken = |file: &str| percentiles.iter().any(|other| other.file == file);
            let file = unused(&format!("latency-{stem}"), ".hgrm", taken);
            of_result.push(Some(file.clone()));
            let text = hgrm::percentiles(&latency_ns, 1e6);
            percentiles.push(Percentiles { file, text });
        }
        files.push(of_result);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let page = html::page(
        &results,
        &files,
        now.map_or(0, |now| now.as_millis() as u64),
    );
    let merged = results
        .iter()
        .map(|result| json!({"source": result.source, "result": result.json}));
    let merged = json!({"results": merged.collect::<Vec<_>>()});

    let out = &arguments.out;
    fs::create_dir_all(out).map_err(|source| unwritable(out, source))?;
    let mut text = String::new();
    let mut put = |file: &str, content: &str| {
        let path = out.join(file);
        text.push_str(&format!("{}\n", path.display()));
        write_file(&path, content)
    };
    put("report.html", &page)?;
    put("results.csv", &csv::results(&results))?;
    put("seconds.csv", &csv::seconds(&results))?;
    put("report.json", &format!("{merged:#}\n"))?;
    for percentiles in &percentiles {
        put(&percentiles.file, &percentiles.text)?;
    }
    Ok((text, true))
}

fn read(path: &Path) -> Result<Vec<Document>, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::OperatorFileUnreadable {
        path: path.to_owned(),
        source,
    })?;
    let stem = path.file_stem().unwrap_or(path.as_os_str());
    documents(&stem.to_string_lossy(), &text).map_err(|fault| Error::OperatorFileUnusable {
        path: path.to_owned(),
        fault,
    })
}

/// Gives results of one name a number.
fn tell_apart(results: &mut [Document]) {
    let mut names: Vec<String> = Vec::new();
    for result in results {
        let name = unused(&result.source, "", |name| {
            names.iter().any(|other| other == name)
        });
        result.source.clone_from(&name);
        names.push(name);
    }
}

fn unused(stem: &str, end: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut name = format!("{stem}{end}");
    let mut number = 2;
    while taken(&name) {
        name = format!("{stem}-{number}{end}");
        number += 1;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_one_name_are_told_apart() {
        let run = r#"{"plan": "p", "result": {}}"#;
        let mut results = documents("a", &run.repeat(3)).unwrap();
        tell_apart(&mut results);
        let names: Vec<&str> = results
            .iter()
            .map(|result| result.source.as_str())
            .collect();
        assert_eq!(names, ["a", "a-2", "a-3"]);
    }
}
