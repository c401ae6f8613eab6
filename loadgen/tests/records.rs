//! What is written: the program's options as they come to stand in batches.

#[allow(dead_code)]
mod program;
#[allow(dead_code)]
mod responder;
#[allow(dead_code)]
mod short;

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::records::{Record, RecordBatchDecoder};
use program::{loadgen, output};
use responder::{Faults, Responder};

/// Two connections, 600 records.
const RUN: &str = "run --topic orders --mode produce --rate 200 --seconds 1 --records-per-batch 3 --quiet --target";

#[test]
fn sizes_are_drawn_for_every_record_and_the_report_says_them() {
    let (records, text) = written("--record-bytes 100..110 --seed 7");
    assert!(
        text.starts_with(
            "produce: 200 requests/s intended (open loop), 3 x 100..110 bytes a batch, seed 7,"
        ),
        "{text}"
    );
    assert_eq!(lengths(&records), (100..=110).collect());
    let (records, text) = written("--record-bytes 100:3,2000:1");
    assert_eq!(lengths(&records), [100, 2000].into());
    let large = records.iter().filter(|record| value(record).len() == 2000);
    let large = large.count();
    assert!((100..200).contains(&large), "{large} of 600");
    assert!(text.contains("3 x 100:3,2000:1 bytes a batch"), "{text}");
}

#[test]
fn the_same_seed_writes_the_same_records_and_another_one_others() {
    let values = |options: &str| {
        let (records, _) = written(options);
        let mut values: Vec<Vec<u8>> = records.iter().map(|record| value(record).into()).collect();
        // Two connections meet in any order.
        values.sort();
        values
    };
    let first = values("--json-records --record-bytes 600..700");
    assert_eq!(first, values("--json-records --record-bytes 600..700"));
    assert_ne!(
        first,
        values("--json-records --record-bytes 600..700 --seed 2")
    );
    let different: BTreeSet<&Vec<u8>> = first.iter().collect();
    assert_eq!(different.len(), 600);
}

#[test]
fn keys_come_once_or_from_so_many_and_headers_are_on_every_record() {
    let keys = |options: &str| {
        let (records, text) = written(options);
        let keys = records.iter().map(|record| record.key.clone());
        (keys.collect::<BTreeSet<_>>(), text)
    };
    let (unique, text) = keys("--keys unique --key-bytes 20 --headers 2 --header-bytes 3");
    assert_eq!(unique.len(), 600);
    assert!(unique.iter().flatten().all(|key| key.len() == 20));
    assert!(
        text.contains("keys of 20 bytes that come once, 2 headers of 3 bytes"),
        "{text}"
    );
    let (some, text) = keys("--keys 7");
    assert_eq!(some.len(), 7, "{some:?}");
    assert!(text.contains("7 different keys of 16 bytes"), "{text}");
    let (letters, _) = keys("--key-bytes 5");
    assert!(
        letters
            .iter()
            .flatten()
            .all(|key| key.len() == 5 && key.is_ascii())
    );
    assert_eq!(keys("").0, [None].into());
    let (records, _) = written("--headers 2 --header-bytes 3");
    for record in records {
        assert_eq!(record.headers.len(), 2);
    }
}

#[test]
fn options_that_make_no_sense_say_what_to_write() {
    let directory = tempfile::tempdir().unwrap();
    for (options, advice) in [
        ("--record-bytes 10..1", "a range (100..10000)"),
        ("--record-bytes 0", "from 1 to 16777216 bytes"),
        ("--keys many", "none, letters, unique"),
        ("--keys unique --key-bytes 4", "give at least 12"),
        ("--keys 1000 --key-bytes 2", "give at least 3"),
        ("--keys unique --compression lz4", "leave --compression out"),
        ("--keys none --key-bytes 4", "leave one of them out"),
        ("--headers 101", "from 0 to 100"),
    ] {
        let output = output(&format!("{RUN} h:1 {options}"), &[], directory.path());
        let fault = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{options}: {fault}");
        assert!(fault.contains(advice), "{options}: {fault}");
    }
}

/// The records that a run with these options wrote, and its text.
fn written(options: &str) -> (Vec<Record>, String) {
    let directory = tempfile::tempdir().unwrap();
    let responder = Responder::start(Faults::default());
    let line = format!("{RUN} {} --connections 2 {options}", responder.address);
    let text = loadgen(&line, &[], directory.path());
    let batches = responder.take_written();
    let records: Vec<Record> = batches
        .into_iter()
        .flat_map(|(_, mut batch)| RecordBatchDecoder::decode_all(&mut batch).unwrap())
        .flat_map(|set| set.records)
        .collect();
    assert_eq!(records.len(), 600);
    (records, text)
}

fn value(record: &Record) -> &[u8] {
    record.value.as_ref().unwrap()
}

fn lengths(records: &[Record]) -> BTreeSet<usize> {
    records.iter().map(|record| value(record).len()).collect()
}

#[test]
fn a_run_keeps_to_the_partitions_that_were_chosen_and_spreads_over_them() {
    let directory = tempfile::tempdir().unwrap();
    let responder = Responder::start(Faults {
        more_partitions: 7,
        ..Faults::default()
    });
    let written = |options: &str| {
        let line = format!("{RUN} {} {options}", responder.address);
        let text = loadgen(&line, &[], directory.path());
        let mut counts = BTreeMap::new();
        for (partition, _) in responder.take_written() {
            *counts.entry(partition).or_insert(0) += 1;
        }
        (counts, text)
    };
    let (chosen, text) = written("--only-partitions 5-6,1 --connections 6");
    assert_eq!(chosen.keys().copied().collect::<Vec<_>>(), [1, 5, 6]);
    // Two connections to each; the rate is shared by connections to within one request.
    assert!(
        chosen.values().all(|count| (66..=68).contains(count)),
        "{chosen:?}"
    );
    assert!(
        text.contains("6 connections to partitions 1,5-6, 1 s"),
        "{text}"
    );
    let (all, _) = written("--connections 8");
    assert_eq!(
        all.keys().copied().collect::<Vec<_>>(),
        Vec::from_iter(0..8)
    );
    for (options, code, advice) in [
        (
            "--only-partitions 6-8",
            1,
            "has no partition 8, it has 8; choose others",
        ),
        ("--only-partitions 3-1", 2, "such as 0-3,7"),
        ("--only-partitions 1 --mode storm", 2, "leave it out"),
    ] {
        let line = format!("{RUN} {} {options}", responder.address);
        let line = match options.contains("storm") {
            true => line.replace("--mode produce", ""),
            false => line,
        };
        let output = output(&line, &[], directory.path());
        let fault = String::from_utf8(output.stderr).unwrap();
        assert!(fault.contains(advice), "{options}: {fault}");
        assert_eq!(output.status.code(), Some(code), "{options}: {fault}");
    }
}
