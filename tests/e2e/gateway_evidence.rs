//! What an auditor finds: every acknowledged write, every delivery, and every change made to the log afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use sluice_tests::{Driver, Oidc, Records, Sluice, SluiceOptions, run_dir, wait_for};

use crate::gateway::{group, items, sluice_with_policy, values};

const PRODUCE: i64 = 0;
const PATIENCE: Duration = Duration::from_secs(30);

/// The offsets of the topic in the outcomes of this API, all items together.
fn offsets(evidence: &[Value], api_key: i64, topic: &str) -> Vec<i64> {
    let outcomes = evidence.iter().filter(|record| record["kind"] == "Outcome");
    let of_api = outcomes.filter(|record| record["api_key"] == api_key);
    let mut offsets: Vec<i64> = of_api
        .flat_map(|record| items(record, topic))
        .flat_map(|item| {
            let first = item["first_offset"].as_i64().unwrap_or(-1);
            let last = item["last_offset"].as_i64().unwrap_or(first);
            (first..=last).filter(|offset| *offset >= 0)
        })
        .collect();
    offsets.sort_unstable();
    offsets.dedup();
    offsets
}

/// Folders of the shards' logs.
fn logs(sluice: &Sluice) -> Vec<PathBuf> {
    let evidence = sluice.dir().join("state/gateway/evidence");
    let entries = fs::read_dir(evidence).expect("evidence is there");
    let mut logs: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a folder").path())
        .filter(|path| path.is_dir())
        .collect();
    logs.sort();
    logs
}

/// What is done to a copy of a log, and by what name.
type Touched<'a> = (&'a str, &'a dyn Fn(&Path));

fn verify(sluice: &Sluice, dirs: &[PathBuf]) -> Output {
    let dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    let mut arguments = vec!["evidence", "verify", "--from-control"];
    arguments.extend(dirs.iter().map(String::as_str));
    sluice.cli(Oidc::shared(), "erin", &arguments)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder to copy") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("a file can be copied");
        }
    }
}

#[test]
fn every_acknowledged_write_survives_a_kill_and_is_found() {
    let oidc = Oidc::shared();
    let mut sluice = sluice_with_policy(&SluiceOptions::default());
    let topic = sluice.topic("orders");
    let written = Driver::java()
        .produce(
            &sluice.client(oidc.login("svc-orders")),
            &topic,
            &Records::numbered(50),
        )
        .offsets();
    // Between the acknowledgement and the next signature: the segments alone hold it.
    sluice.crash_and_restart();
    wait_for("every acknowledged offset in evidence", PATIENCE, || {
        let evidence = sluice.evidence(oidc, &[]);
        let found = offsets(&evidence, PRODUCE, &topic);
        written
            .iter()
            .all(|offset| found.contains(offset))
            .then_some(())
    });
}

#[test]
fn a_session_is_found_and_replayed_with_what_was_delivered() {
    let oidc = Oidc::shared();
    let sluice = sluice_with_policy(&SluiceOptions::default());
    let topic = sluice.topic("orders");
    let value = r#"{"customer":{"email":"ann@example.org"}}"#;
    Driver::java()
        .produce(
            &sluice.client(oidc.login("svc-orders")),
            &topic,
            &values(&[value, value]),
        )
        .offsets();
    let read = Driver::java().consume(&sluice.client(oidc.login("analytics")), &group(), &topic, 2);
    assert_eq!(read.ok()["records"].as_array().map(Vec::len), Some(2));
    let delivered = wait_for("the delivery in evidence", PATIENCE, || {
        let evidence = sluice.evidence(oidc, &["--kind", "Outcome"]);
        evidence.into_iter().find(|record| {
            items(record, &topic).any(|item| item["masked_fields_count"].as_i64() == Some(2))
        })
    });
    let session = delivered["session"].as_str().expect("a session").to_owned();
    let listed = sluice.cli_ok(oidc, "erin", &["sessions", "list"]);
    assert!(listed.contains(&session), "{listed}");
    let replayed = sluice.cli_ok(oidc, "erin", &["sessions", "replay", &session]);
    for said in ["SessionOpened", "Authenticated", "Fetch", "Outcome", &topic] {
        assert!(replayed.contains(said), "{said} in\n{replayed}");
    }
    assert!(
        !replayed.contains("ann@example.org"),
        "evidence holds no payload"
    );
}

#[test]
fn a_log_is_intact_until_a_byte_a_leaf_or_its_tail_is_touched() {
    let oidc = Oidc::shared();
    let sluice = sluice_with_policy(&SluiceOptions::default());
    let topic = sluice.topic("orders");
    for _ in 0..3 {
        let writer = sluice.client(oidc.login("svc-orders"));
        Driver::librdkafka()
            .produce(&writer, &topic, &Records::numbered(20))
            .offsets();
    }
    wait_for("intact logs", PATIENCE, || {
        verify(&sluice, &logs(&sluice))
            .status
            .success()
            .then_some(())
    });
    let log = logs(&sluice)
        .into_iter()
        .max_by_key(|log| fs::metadata(log.join("checkpoints.log")).map_or(0, |file| file.len()))
        .expect("a log");

    let first_segment = |dir: &Path| {
        let entries = fs::read_dir(dir.join("segments")).expect("segments");
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
        files.sort();
        files
            .into_iter()
            .find(|file| fs::read(file).is_ok_and(|bytes| bytes.iter().any(|byte| *byte != 0)))
    };
    let touched: [Touched<'_>; 3] = [
        ("a flipped byte", &|dir| {
            let file = first_segment(dir).expect("a segment");
            let mut bytes = fs::read(&file).expect("a segment");
            bytes[20] ^= 1;
            fs::write(&file, bytes).expect("a segment");
        }),
        ("missing leaves", &|dir| {
            let entries = dir.join("log/tile/entries");
            fs::remove_dir_all(entries).expect("the bundles of leaves");
            for entry in fs::read_dir(dir.join("segments")).expect("segments") {
                fs::remove_file(entry.expect("a file").path()).expect("a segment");
            }
        }),
        ("a cut tail", &|dir| {
            // The first checkpoint, as if nothing had come after it.
            let history = fs::read_to_string(dir.join("checkpoints.log")).expect("checkpoints");
            let first = history
                .split("\n\n")
                .take(2)
                .collect::<Vec<_>>()
                .join("\n\n")
                + "\n";
            fs::write(dir.join("checkpoints.log"), format!("{first}\n")).expect("checkpoints");
            fs::write(dir.join("log/checkpoint"), first).expect("the checkpoint");
        }),
    ];
    for (what, touch) in touched {
        let dir = run_dir("touched");
        copy(&log, &dir);
        touch(&dir);
        let said = verify(&sluice, &[dir]);
        assert_eq!(said.status.code(), Some(1), "{what}: {said:?}");
    }
}
