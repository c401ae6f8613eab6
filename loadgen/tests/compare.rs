//! `loadgen compare` in every mode: the program against two targets, its table, and what `loadgen report` makes of it.

mod program;
#[allow(dead_code)]
mod responder;
#[allow(dead_code)]
mod short;

use std::fs;
use std::path::Path;

use program::{loadgen, output, sink};
use responder::{Faults, Responder};

/// A comparison of two targets, three rounds of a second each.
const COMPARE: &str =
    "compare --topic orders --rate 200 --seconds 1 --rounds 2 --warm-up-seconds 0 --quiet";

const LATENCIES: [&str; 3] = ["latency p50, us", "latency p99, us", "latency p99.9, us"];

#[test]
fn producers_and_readers_of_a_mixed_load_have_their_ratios_and_their_time_from_end_to_end() {
    let directory = tempfile::tempdir().unwrap();
    let keeping = || {
        Responder::start(Faults {
            keeps: true,
            ..Faults::default()
        })
    };
    let (direct, gateway) = (keeping(), keeping());
    let text = compare(
        "--mode mixed --readers 1",
        [&direct.address.to_string(), &gateway.address.to_string()],
        directory.path(),
    );
    let mut rows = vec![
        "requests/s, producers".to_owned(),
        "MB/s of records, producers".to_owned(),
        "requests/s, readers".to_owned(),
        "MB/s of records, readers".to_owned(),
    ];
    rows.extend(of_each("producers"));
    rows.extend(of_each("end to end"));
    check_rows(&text, &rows);
    assert_eq!(
        cells(&text, "batches that no reader saw")[..2],
        ["0 (0 to 0)", "0 (0 to 0)"]
    );
    let page = report(directory.path());
    for part in [
        "readers: answered requests/s</th><td>gateway",
        "end to end: p99</th><td>gateway",
        "<th scope=\"row\">readers</th><td>direct",
        "<th scope=\"row\">end to end</th><td>gateway",
    ] {
        assert!(page.contains(part), "no {part}");
    }
    // How long a reader waits that follows is no latency to compare.
    assert!(!page.contains("readers: latency"));
    check_column(directory.path(), "count of end to end", |count| {
        count == 200.0
    });
    check_column(directory.path(), "answered of readers", |count| count > 0.0);
}

#[test]
fn readers_that_catch_up_are_compared_by_their_latency() {
    let directory = tempfile::tempdir().unwrap();
    let (sink, address) = with_address();
    let text = compare(
        "--mode mixed --readers-from start",
        [&address, &address],
        directory.path(),
    );
    check_rows(&text, &of_each("readers"));
    assert!(!text.contains("end to end"), "{text}");
    drop(sink);
}

#[test]
fn slow_consumers_are_compared_by_what_the_normal_ones_feel_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let (sink, address) = with_address();
    let text = compare(
        "--mode slow-consumer --slow 2 --read-rate 20000",
        [&address, &address],
        directory.path(),
    );
    let mut rows = of_each("beside slow ones");
    rows.extend(of_each("alone"));
    rows.extend(["p50", "p99", "p99.9"].map(|name| format!("latency {name}, beside / alone")));
    rows.push("bytes/s read by each slow one".to_owned());
    check_rows(&text, &rows);
    let closed = cells(&text, "slow ones closed by the target or broken");
    assert_eq!(closed[0], "0 (0 to 0)");
    let page = report(directory.path());
    for part in [
        "normal, alone: latency p99</th><td>gateway",
        "gateway, latency of the normal ones beside / alone: p50 ",
        "MB/s read slowly",
    ] {
        assert!(page.contains(part), "no {part}");
    }
    check_column(directory.path(), "slowly_read_bytes of slow", |bytes| {
        bytes > 0.0
    });
    drop(sink);
}

#[test]
fn a_storm_is_compared_by_its_handshakes_and_tells_how_they_failed() {
    let directory = tempfile::tempdir().unwrap();
    let (sink, address) = with_address();
    // Each run asks for Metadata once before the storm.
    let closing = Responder::start(Faults {
        close_metadata: Some(150),
        ..Faults::default()
    });
    let line =
        format!("{COMPARE} --mode storm --connections 8 --rounds 1 --json-file compare.json");
    let line = line.replace("--rounds 2 ", "");
    let targets = [
        format!("direct={address}"),
        format!("gateway={}", closing.address),
    ];
    let more = ["--target", &targets[0], "--target", &targets[1]];
    let output = output(&line, &more, directory.path());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    check_rows(&text, &["handshakes/s".to_owned()]);
    let failed = cells(&text, "failed or unanswered");
    assert_eq!(failed[..2], ["0 (0 to 0)", "51 (51 to 51)"]);
    assert!(
        text.contains("gateway: closed during Metadata, 51 times"),
        "{text}"
    );
    assert!(!text.contains("MB/s of records"), "{text}");
    drop(sink);
}

#[test]
fn a_command_beside_the_load_runs_in_every_round_and_knows_the_target() {
    let directory = tempfile::tempdir().unwrap();
    let (sink, address) = with_address();
    let churn = "--mode produce --churn-interval 200ms --churn-command";
    let targets = [format!("direct={address}"), format!("gateway={address}")];
    let more = [
        "echo $LOADGEN_TARGET >>ran",
        "--target",
        &targets[0],
        "--target",
        &targets[1],
        "--json-file",
        "compare.json",
    ];
    let text = loadgen(&format!("{COMPARE} {churn}"), &more, directory.path());
    let mut rows = of_each("during churn");
    rows.extend(of_each("otherwise"));
    rows.extend(
        [
            "runs of the command",
            "longest run of it, ms",
            "longest gap between answers, us, during churn",
            "longest gap between answers, us, otherwise",
        ]
        .map(str::to_owned),
    );
    check_rows(&text, &rows);
    let ran = fs::read_to_string(directory.path().join("ran")).unwrap();
    for target in ["direct", "gateway"] {
        let runs = ran.lines().filter(|line| *line == target).count();
        assert!(runs > 0, "{ran}");
        let note = format!("{target}: the command ended {runs} x exit 0;");
        assert!(text.contains(&note), "{note}\n{text}");
    }
    let page = report(directory.path());
    for part in [
        "during churn: p99</th><td>gateway",
        "otherwise: longest gap between answers</th><td>gateway",
        "The command beside gateway: ",
    ] {
        assert!(page.contains(part), "no {part}");
    }
    check_column(directory.path(), "count of during churn", |count| {
        count > 0.0
    });
    // A command that fails is a failure of the comparison.
    let line = format!("{COMPARE} {churn}");
    let failing = [&["exit 7"], &more[1..5]].concat();
    let output = output(&line, &failing, directory.path());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("x exit 7;"), "{text}");
    drop(sink);
}

fn with_address() -> (sluice_loadgen::sink::Sink, String) {
    let sink = sink(2);
    let address = sink.addresses()[0].to_string();
    (sink, address)
}

fn compare(mode: &str, addresses: [&str; 2], directory: &Path) -> String {
    let [direct, gateway] = addresses;
    let (direct, gateway) = (format!("direct={direct}"), format!("gateway={gateway}"));
    let watch = format!("gateway={}", std::process::id());
    let more = [
        "--target",
        &direct,
        "--target",
        &gateway,
        "--watch",
        &watch,
        "--json-file",
        "compare.json",
    ];
    loadgen(&format!("{COMPARE} {mode}"), &more, directory)
}

fn of_each(what: &str) -> Vec<String> {
    LATENCIES.map(|name| format!("{name}, {what}")).into()
}

fn cells<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
    let begin = format!("| {name} |");
    let row = text.lines().find(|line| line.starts_with(&begin));
    let row = row.unwrap_or_else(|| panic!("no row {name} in\n{text}"));
    let cells = row[begin.len()..].trim_end_matches('|').split('|');
    cells.map(str::trim).collect()
}

/// Both targets have a figure above nothing, and the second one its ratio to the first.
fn check_rows(text: &str, names: &[String]) {
    for name in names {
        let cells = cells(text, name);
        assert_eq!(cells.len(), 3, "{name}");
        for cell in cells {
            let median = cell.split(' ').next().unwrap().parse::<f64>();
            assert!(median.is_ok_and(|median| median > 0.0), "{name}: {cell}");
        }
    }
}

fn report(directory: &Path) -> String {
    loadgen("report --out out compare.json", &[], directory);
    fs::read_to_string(directory.join("out/report.html")).unwrap()
}

/// Every row of results.csv has such a cell in this column. Columns before it have commas in quotes, those after it none.
fn check_column(directory: &Path, name: &str, is_right: fn(f64) -> bool) {
    let csv = fs::read_to_string(directory.join("out/results.csv")).unwrap();
    let mut lines = csv.lines();
    let head: Vec<&str> = lines.next().unwrap().rsplit(',').collect();
    let at = head.iter().position(|column| *column == name);
    let at = at.unwrap_or_else(|| panic!("no column {name} in {head:?}"));
    let mut rows_count = 0;
    for line in lines {
        let cell = line.rsplit(',').nth(at).unwrap();
        assert!(cell.parse().is_ok_and(is_right), "{name}: {cell}");
        rows_count += 1;
    }
    assert_eq!(rows_count, 4);
}
