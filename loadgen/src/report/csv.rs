//! Results as rows for spreadsheets and scripts.

use std::fmt::Write;

use super::beside::{apart, names};
use super::escape::csv;
use super::read::{Apart, Document, Kind, Round};
use super::scale::utc_text;

/// The columns of results.csv, in order, with what they hold. Those of watched processes follow, and of
/// what only some loads have.
pub(super) const COLUMNS: [(&str, &str); 25] = [
    ("source", "the name of the JSON file"),
    ("kind", "run or compare"),
    ("plan", "the load, in words"),
    ("started_utc", "when the run or the comparison began"),
    ("target", "the name of the target"),
    ("address", "its bootstrap address"),
    ("baseline", "yes: the others are compared with this target"),
    ("round", "from 1; a run has one"),
    ("intended", "requests that were due"),
    ("answered", "of these, answered without error"),
    ("failed", "of these, answered with an error"),
    ("unanswered", "of these, never answered"),
    ("records", "records acknowledged or delivered"),
    ("record_bytes", "bytes of their batches"),
    ("wire_bytes", "bytes of all frames in both directions"),
    (
        "elapsed_s",
        "seconds from the first request to the last answer",
    ),
    ("answered_per_s", "answers without error per second"),
    (
        "record_mb_per_s",
        "megabytes (10^6) of record batches per second",
    ),
    (
        "latency_p50_us",
        "microseconds from when a request was due to its answer, 50 % of requests",
    ),
    ("latency_p90_us", "the same, 90 %"),
    ("latency_p99_us", "the same, 99 %"),
    ("latency_p99.9_us", "the same, 99.9 %"),
    ("latency_p99.99_us", "the same, 99.99 %"),
    ("latency_max_us", "the same, the longest"),
    (
        "sent_late_p99_us",
        "microseconds from when a request was due until it left, 99 %",
    ),
];

/// For each watched process.
pub(super) const PROCESS_COLUMNS: [(&str, &str); 2] = [
    (
        "cpu_s of NAME",
        "CPU seconds that this process took in the round",
    ),
    (
        "resident_bytes_max of NAME",
        "the most memory it ever had resident, at the end",
    ),
];

type Cell<T> = (&'static str, &'static str, fn(&T) -> f64);

/// For each kind of connections beside those with the load; NAME is readers, slow or normal, alone.
pub(super) const PART_COLUMNS: [Cell<Round>; 9] = [
    (
        "answered of NAME",
        "answers that these connections had",
        |part| part.answered as f64,
    ),
    (
        "failed of NAME",
        "of their requests, answered with an error",
        |part| part.failed as f64,
    ),
    ("unanswered of NAME", "of these, never answered", |part| {
        part.unanswered as f64
    }),
    (
        "record_bytes of NAME",
        "bytes of batches that they wrote or got",
        |part| part.record_bytes as f64,
    ),
    (
        "slowly_read_bytes of NAME",
        "bytes that slow ones read, also of answers that they have no end of",
        |part| part.slowly_read_bytes as f64,
    ),
    (
        "elapsed_s of NAME",
        "seconds from the first request to the last answer",
        |part| part.elapsed_s,
    ),
    ("latency_p50_us of NAME", "as for the load", |part| {
        part.latency_us[0]
    }),
    ("latency_p99_us of NAME", "as for the load", |part| {
        part.latency_us[2]
    }),
    ("latency_max_us of NAME", "as for the load", |part| {
        part.latency_us[5]
    }),
];

/// For times that are counted apart; NAME is end to end, during churn or otherwise.
pub(super) const APART_COLUMNS: [Cell<Apart>; 6] = [
    ("count of NAME", "requests or batches", |apart| {
        apart.count as f64
    }),
    ("unseen of NAME", "batches that no reader saw", |apart| {
        apart.unseen
    }),
    (
        "latency_p50_us of NAME",
        "microseconds, 50 % of them",
        |apart| apart.latency_us[0],
    ),
    ("latency_p99_us of NAME", "the same, 99 %", |apart| {
        apart.latency_us[1]
    }),
    ("latency_max_us of NAME", "the same, the longest", |apart| {
        apart.latency_us[2]
    }),
    (
        "gap_max_us of NAME",
        "the longest time between two answers on one connection",
        |apart| apart.gap_us_max,
    ),
];

const SECONDS_HEADER: &str = "source,target,round,second,answered,failed,unanswered,record_bytes,\
    latency_p50_us,latency_p90_us,latency_p99_us,latency_max_us\n";

/// A row per run, target and round.
pub(super) fn results(documents: &[Document]) -> String {
    let mut processes: Vec<&str> = Vec::new();
    for document in documents {
        let rounds = document.targets.iter().flat_map(|target| &target.rounds);
        let with_cpu = rounds.flat_map(|round| &round.cpu_s).map(|(name, _)| name);
        let with_memory = document.resident_bytes_max.iter().map(|(name, _)| name);
        for name in with_memory.chain(with_cpu) {
            if !processes.contains(&name.as_str()) {
                processes.push(name);
            }
        }
    }
    let targets = || documents.iter().flat_map(|document| &document.targets);
    let mut parts: Vec<&str> = Vec::new();
    let mut aparts: Vec<&str> = Vec::new();
    for target in targets() {
        parts.extend(names(target, |round| {
            round.beside.iter().map(|(name, _)| name.as_str()).collect()
        }));
        aparts.extend(names(target, |round| {
            apart(round).map(|(name, _)| *name).collect()
        }));
    }
    let (parts, aparts) = (once_each(parts), once_each(aparts));
    let heads = COLUMNS.iter().map(|(name, _)| (*name).to_owned());
    let of_processes = processes.iter().flat_map(|process| {
        PROCESS_COLUMNS.map(|(name, _)| csv(&name.replace("NAME", process)).into_owned())
    });
    let of_parts = parts.iter().flat_map(|part| {
        PART_COLUMNS.map(|(name, _, _)| csv(&name.replace("NAME", part)).into_owned())
    });
    let of_aparts = aparts.iter().flat_map(|what| {
        APART_COLUMNS.map(|(name, _, _)| csv(&name.replace("NAME", what)).into_owned())
    });
    let mut text = heads
        .chain(of_processes)
        .chain(of_parts)
        .chain(of_aparts)
        .collect::<Vec<_>>()
        .join(",");
    text.push('\n');
    for document in documents {
        for (index, target) in document.targets.iter().enumerate() {
            for (number, round) in target.rounds.iter().enumerate() {
                let (kind, baseline) = match document.kind {
                    Kind::Run => ("run", ""),
                    Kind::Compare if index == document.baseline => ("compare", "yes"),
                    Kind::Compare => ("compare", "no"),
                };
                let mut cells = vec![
                    csv(&document.source).into_owned(),
                    kind.to_owned(),
                    csv(&document.plan).into_owned(),
                    document.started_unix_ms.map(utc_text).unwrap_or_default(),
                    csv(&target.name).into_owned(),
                    csv(target.address.as_deref().unwrap_or_default()).into_owned(),
                    baseline.to_owned(),
                    (number + 1).to_string(),
                ];
                cells.extend(figures(round));
                for process in &processes {
                    cells.push(float(round.cpu_s(process)));
                    let mut resident = document.resident_bytes_max.iter();
                    let bytes = resident.find(|(name, _)| name == process);
                    cells.push(
                        bytes
                            .map(|(_, bytes)| bytes.to_string())
                            .unwrap_or_default(),
                    );
                }
                for part in &parts {
                    let found = round.part(part);
                    cells.extend(
                        PART_COLUMNS.map(|(_, _, of)| {
                            found.map_or_else(String::new, |part| float(of(part)))
                        }),
                    );
                }
                for what in &aparts {
                    let found = apart(round).find(|(name, _)| name == what);
                    cells.extend(APART_COLUMNS.map(|(_, _, of)| {
                        found.map_or_else(String::new, |(_, apart)| float(of(apart)))
                    }));
                }
                let _ = writeln!(text, "{}", cells.join(","));
            }
        }
    }
    text
}

fn once_each(mut names: Vec<&str>) -> Vec<&str> {
    let mut known: Vec<&str> = Vec::new();
    names.retain(|name| {
        let is_new = !known.contains(name);
        known.push(name);
        is_new
    });
    names
}

/// A row per second.
pub(super) fn seconds(documents: &[Document]) -> String {
    let mut text = SECONDS_HEADER.to_owned();
    for document in documents {
        let source = csv(&document.source);
        for target in &document.targets {
            let name = csv(&target.name);
            for (number, round) in target.rounds.iter().enumerate() {
                for (second, counts) in round.seconds.iter().enumerate() {
                    let [p50, p90, p99, max] = counts.latency_us.map(float);
                    let _ = writeln!(
                        text,
                        "{source},{name},{round},{second},{},{},{},{},{p50},{p90},{p99},{max}",
                        counts.answered,
                        counts.failed,
                        counts.unanswered,
                        counts.record_bytes,
                        round = number + 1,
                    );
                }
            }
        }
    }
    text
}

fn figures(round: &Round) -> Vec<String> {
    let counts = [
        round.intended,
        round.answered,
        round.failed,
        round.unanswered,
        round.records,
        round.record_bytes,
        round.wire_bytes,
    ];
    let rates = [
        round.elapsed_s,
        round.answered_per_s(),
        round.record_mb_per_s(),
    ];
    let mut cells: Vec<String> = counts.iter().map(u64::to_string).collect();
    cells.extend(rates.map(float));
    cells.extend(round.latency_us.map(float));
    cells.push(float(round.sent_late_p99_us));
    cells
}

/// What is not known is an empty cell.
fn float(value: f64) -> String {
    match value.is_finite() {
        true => value.to_string(),
        false => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::documents;
    use super::*;

    const COMPARISON: &str = r#"{"plan": "ping: 5 requests/s, 1 s", "baseline": "b", "started_unix_ms": 0,
        "resident_bytes_max": {"g,w": 1000},
        "targets": [
            {"name": "=a", "address": "h:1", "rounds": [{"cpu_s": {"g,w": 0.5}, "result": {"intended": 10, "answered": 9,
                "failed": 1, "elapsed_s": 2.0, "record_bytes": 3000000, "latency_us": {"p50": 1.5, "p99.9": 8},
                "seconds": [{"answered": 9, "failed": 1, "latency_us": {"p50": 1.5, "max": 8}}]}}]},
            {"name": "b", "rounds": [{"result": {}}, {"result": {}}]}]}"#;

    #[test]
    fn every_round_of_every_target_is_a_row_with_all_columns() {
        let text = results(&documents("cmp", COMPARISON).unwrap());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + 3);
        assert!(
            lines[0].starts_with(
                "source,kind,plan,started_utc,target,address,baseline,round,intended,"
            )
        );
        assert!(
            lines[0].ends_with(",sent_late_p99_us,\"cpu_s of g,w\",\"resident_bytes_max of g,w\"")
        );
        let first = "cmp,compare,\"ping: 5 requests/s, 1 s\",1970-01-01 00:00:00 UTC,'=a,h:1,no,1,\
            10,9,1,0,0,3000000,0,2,4.5,1.5,1.5,,,8,,,,0.5,1000";
        assert_eq!(lines[1], first);
        assert!(
            lines[2].contains(",b,,yes,1,") && lines[3].contains(",b,,yes,2,"),
            "{text}"
        );
        // One quoted comma in the plan of each row.
        assert!(
            lines[1..]
                .iter()
                .all(|line| line.matches(',').count() == COLUMNS.len() + 2),
            "{text}"
        );
    }

    #[test]
    fn every_second_is_a_row() {
        let text = seconds(&documents("cmp", COMPARISON).unwrap());
        assert_eq!(
            text,
            format!("{SECONDS_HEADER}cmp,'=a,1,0,9,1,0,0,1.5,,,8\n")
        );
    }
}
