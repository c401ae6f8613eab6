//! From a run to a page: `loadgen run` and `compare` against a sink, then `loadgen report`, as somebody would type them.

#[allow(dead_code)]
mod program;
#[allow(dead_code)]
mod short;

use std::fs;
use std::path::Path;
use std::process::Command;

use sluice_loadgen::sink::Sink;

use program::sink;
use short::TOPIC;

/// A name that breaks whatever forgets to escape it.
const NASTY: &str = "</title><script>alert(1)</script>&\"'";

#[test]
fn a_run_becomes_a_page_that_needs_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let at = |file: &str| directory.path().join(file);
    let sink = sink(1);
    let own = format!("{NASTY}={}", std::process::id());
    let text = loadgen(
        &run_of(
            &sink,
            &["--json-file", path(&at("run.json")), "--watch", &own],
        ),
        directory.path(),
    );
    // The file is written beside the text, not instead of it.
    assert!(text.contains("answered         200, 0 failed"), "{text}");
    let address = sink.addresses()[0].to_string();
    let targets = [format!("direct={address}"), format!("{NASTY}={address}")];
    let compared = loadgen(
        &[
            "compare",
            "--target",
            &targets[0],
            "--target",
            &targets[1],
            "--mode",
            "ping",
            "--topic",
            TOPIC,
            "--rate",
            "200",
            "--seconds",
            "1",
            "--rounds",
            "2",
            "--warm-up-seconds",
            "0",
            "--quiet",
            "--json",
            "--watch",
            &own,
        ],
        directory.path(),
    );
    fs::write(at("compare.json"), compared).unwrap();
    let written = loadgen(
        &["report", "--out", "out", "run.json", "compare.json"],
        directory.path(),
    );

    let page = fs::read_to_string(at("out/report.html")).unwrap();
    check_well_formed(&page);
    check_self_contained(&page);
    for part in [
        "Latency by percentile",
        "Throughput over time",
        "Latency over time",
        "Ratio to direct, round by round",
        "CPU seconds per GB of records",
        "CPU microseconds per request",
        "Peak resident memory, MB",
        "<dt>kernel</dt>",
        "latency-run-",
    ] {
        assert!(page.contains(part), "no {part}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#39;"));
    assert!(!page.contains("<script"));
    assert!(!page.contains("older versions"));

    // A row for the run and for each round of both targets.
    let csv = fs::read_to_string(at("out/results.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 1 + 2 * 2, "{csv}");
    assert!(
        csv.lines().nth(1).unwrap().contains(",200,200,0,0,200,"),
        "{csv}"
    );
    let seconds = fs::read_to_string(at("out/seconds.csv")).unwrap();
    let answered = seconds
        .lines()
        .skip(1)
        .filter(|line| line.starts_with("run,"));
    let answered = answered.map(|line| line.split(',').nth(4).unwrap().parse::<u64>().unwrap());
    assert_eq!(answered.sum::<u64>(), 200, "{seconds}");

    // Every file that was said to be written is there, one of percentiles for each target.
    let files: Vec<&str> = written.lines().collect();
    let percentiles: Vec<&&str> = files
        .iter()
        .filter(|file| file.ends_with(".hgrm"))
        .collect();
    assert_eq!((files.len(), percentiles.len()), (4 + 3, 3), "{written}");
    let counts = percentiles.iter().map(|file| {
        let text = fs::read_to_string(at(file)).unwrap();
        let (_, total) = text.split_once("Total count    =").unwrap();
        total
            .split(']')
            .next()
            .unwrap()
            .trim()
            .parse::<u64>()
            .unwrap()
    });
    assert_eq!(counts.collect::<Vec<_>>(), [200, 400, 400]);

    // All in one, read again, is the same report.
    loadgen(
        &["report", "--out", "again", "out/report.json"],
        directory.path(),
    );
    for file in ["results.csv", "seconds.csv", "report.json"] {
        let [first, second] =
            ["out", "again"].map(|from| fs::read_to_string(at(from).join(file)).unwrap());
        assert_eq!(first, second, "{file}");
    }
}

#[test]
fn a_result_of_before_there_were_histograms_gives_a_page_that_says_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let run = r#"{"plan": "ping: 500 requests/s intended (open loop), 4 connections, 5 s", "processes": [],
        "result": {"intended": 2500, "answered": 2499, "failed": 1, "unanswered": 0, "elapsed_s": 5.0, "record_bytes": 0,
        "latency_us": {"p50": 193.0, "p90": 250.0, "p99": 526.0, "p99.9": 3306.0, "p99.99": 7000.0, "max": 7242.0},
        "errors": [{"code": 29, "count": 1, "first_message": "<b>no</b>"}]}}"#;
    fs::write(directory.path().join("old.json"), run).unwrap();
    let written = loadgen(&["report", "--out", "out", "old.json"], directory.path());
    assert!(!written.contains(".hgrm"), "{written}");
    let page = fs::read_to_string(directory.path().join("out/report.html")).unwrap();
    check_well_formed(&page);
    for part in [
        "older versions of loadgen did not write it",
        "The latency histogram:",
        "The seconds:",
        "The machine.",
        "error 29, 1 times: &lt;b&gt;no&lt;/b&gt;",
        "<td>3,306.0</td>",
    ] {
        assert!(page.contains(part), "no {part}");
    }
    assert!(!page.contains("over time"));
}

#[test]
fn what_ran_beside_the_load_has_its_tables() {
    let directory = tempfile::tempdir().unwrap();
    let sink = sink(1);
    let address = sink.addresses()[0].to_string();
    let run = "run --mode mixed --readers-from start --rate 200 --seconds 1 --quiet --json-file run.json --churn-interval 300ms \
        --churn-command true --topic";
    let mut run: Vec<&str> = run.split_whitespace().collect();
    run.extend([TOPIC, "--target", &address]);
    loadgen(&run, directory.path());
    let other = r#"{"plan": "slow-consumer", "processes": [], "result": {"intended": 10, "answered": 8, "failed": 2, "elapsed_s": 1.0,
        "unconfirmed_connections": 4, "faults": [{"kind": "login refused", "count": 2, "first_message": "<i>"}], "beside": {
        "slow": {"answered": 3, "elapsed_s": 1.0, "faults": [{"kind": "closed", "count": 5, "first_message": "&"}]},
        "readers": {"intended": 6, "answered": 6, "elapsed_s": 2.0, "latency_us": {"p50": 1.0, "p99": 2222.0, "max": 3.0},
            "end_to_end": {"seen": 40, "unseen": 77, "latency_us": {"p50": 1.0, "p99": 4444.0, "max": 3.0}}}}}}"#;
    fs::write(directory.path().join("other.json"), other).unwrap();
    loadgen(
        &["report", "--out", "out", "run.json", "other.json"],
        directory.path(),
    );
    let page = fs::read_to_string(directory.path().join("out/report.html")).unwrap();
    check_well_formed(&page);
    check_self_contained(&page);
    let (run, other) = page.split_once("id=\"result-2\"").unwrap();
    for part in [
        "Other connections of the same run",
        "<th scope=\"row\">readers</th>",
        "<th scope=\"row\">during churn</th>",
        "<th scope=\"row\">otherwise</th>",
        " runs: ",
    ] {
        assert!(run.contains(part), "no {part}");
    }
    for part in [
        "4 connections were not seen to read",
        "login refused, 2 times: &lt;i&gt;",
        "slow: closed, 5 times: &amp;",
        "<td>2,222</td>",
        "<th scope=\"row\">end to end</th><td>40</td>",
        "<td>4,444</td>",
        "<td>77</td>",
    ] {
        assert!(other.contains(part), "no {part}");
    }
    let all = fs::read_to_string(directory.path().join("out/report.json")).unwrap();
    for part in ["\"inside\"", "\"readers\"", "\"unseen\"", "\"faults\""] {
        assert!(all.contains(part), "no {part}");
    }
}

#[test]
fn a_file_that_is_no_result_is_named() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("other.json"), "{}").unwrap();
    let output = command(&["report", "--out", "out", "other.json"], directory.path());
    let fault = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(fault.contains("other.json holds no result"), "{fault}");
    assert!(!directory.path().join("out").exists());
}

fn run_of(sink: &Sink, more: &[&str]) -> Vec<String> {
    let address = sink.addresses()[0].to_string();
    let run = [
        "run",
        "--target",
        &address,
        "--mode",
        "produce",
        "--topic",
        TOPIC,
        "--rate",
        "200",
        "--seconds",
        "1",
        "--quiet",
    ];
    run.iter()
        .chain(more)
        .map(|word| (*word).to_owned())
        .collect()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn command<W: AsRef<std::ffi::OsStr>>(words: &[W], directory: &Path) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(words).current_dir(directory).output().unwrap()
}

fn loadgen<W: AsRef<std::ffi::OsStr>>(words: &[W], directory: &Path) -> String {
    let output = command(words, directory);
    let fault = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{fault}");
    String::from_utf8(output.stdout).unwrap()
}

/// Nothing is loaded from elsewhere, and nothing runs.
fn check_self_contained(page: &str) {
    for outside in [
        "http:",
        "https:",
        "src=\"",
        "url(",
        "@import",
        "<script",
        "<link",
        "<iframe",
        "javascript:",
        " style=\"",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    for link in page.split("href=\"").skip(1) {
        let to = link.split('"').next().unwrap();
        assert!(to.starts_with('#') || to.ends_with(".hgrm"), "{to}");
        assert!(!to.contains(['/', ':']), "{to}");
    }
    assert!(page.contains("default-src 'none'"));
}

/// Every element is closed in its turn, attributes are quoted, and no `<` or `&` stands for itself: what XML asks, too.
fn check_well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let (doctype, mut rest) = page.split_once('>').unwrap();
    assert_eq!(doctype, "<!DOCTYPE html");
    while let Some((text, tag_on)) = rest.split_once('<') {
        assert!(
            !text.contains('>') || open.last() == Some(&"style"),
            "{text}"
        );
        for entity in text.split('&').skip(1) {
            let name = entity.split(';').next().unwrap();
            assert!(
                ["amp", "lt", "gt", "quot", "#39"].contains(&name),
                "&{name}"
            );
        }
        let (tag, after) = tag_on.split_once('>').unwrap();
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "</{name}> closes another");
            continue;
        }
        let mut attributes = tag.split_once(' ').map_or("", |(_, attributes)| attributes);
        while let Some((name, value)) = attributes.split_once("=\"") {
            let sound = name
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
            let (value, after) = value.split_once('"').unwrap();
            assert!(sound && !value.contains('<'), "<{tag}>");
            attributes = after.trim_start();
        }
        assert!(["", "/"].contains(&attributes), "<{tag}>");
        if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap());
        }
    }
    assert!(open.is_empty(), "{open:?} stay open");
}
