//! Whatever is done to the files of a log, its verification finds it.

use std::fs;
use std::path::Path;

use crate::sample::{all_files, append, build, copy, key, leaf, open, report};
use sluice_evidence::files::{prove_leaf, read_leaves, verify_log};
use sluice_evidence::verify::{Fact, Options, Report};
use sluice_evidence::{Proof, SignedCheckpoint, SigningKey};

/// Whether a report says anything that the intact log's report does not.
fn differs(report: &Report, intact: &Report) -> bool {
    report.problems != intact.problems || report.notices != intact.notices
}

#[test]
fn an_intact_log_has_no_problems() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), 3_000, 497, 32 * 1024);
    let report = report(dir.path());
    assert_eq!(report.problems, []);
    assert_eq!(report.notices, []);
    assert_eq!((report.size, report.records_count), (3_000, 3_000));
    assert_eq!(report.time_unix_s, Some(1_700_003_000));
}

#[test]
fn finds_every_flipped_byte_in_every_file() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), 280, 1_000, 16 * 1024);
    let intact = report(dir.path());
    assert!(intact.is_intact());
    let (mut flips, mut problems) = (0, 0);
    for path in all_files(dir.path()) {
        let bytes = fs::read(&path).unwrap();
        // Prime steps, so that all places in records, hashes and lines get their turn.
        let step = if bytes.len() < 300 { 3 } else { 101 };
        for at in (0..bytes.len()).step_by(step) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            fs::write(&path, &damaged).unwrap();
            let found = report(dir.path());
            assert!(
                differs(&found, &intact),
                "flip at {at} of {}",
                path.display()
            );
            flips += 1;
            problems += usize::from(!found.is_intact());
        }
        fs::write(&path, &bytes).unwrap();
    }
    assert_eq!(report(dir.path()), intact);
    // The rest are zeros behind the last segment's leaves and a torn last line, which contradict no signature.
    assert!(
        flips > 500 && problems * 10 > flips * 7,
        "{problems} problems in {flips} flips"
    );
}

#[test]
fn finds_every_file_that_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), 1_000, 300, 16 * 1024);
    for path in all_files(dir.path()) {
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let found = report(dir.path());
        // Pruned segments and superseded partial tiles may go; nothing else may.
        let name = path.strip_prefix(dir.path()).unwrap().display().to_string();
        let first_segment = name == format!("segments/{:020}.seg", 0);
        let superseded =
            name.contains(".p/") && name.rsplit('/').next() != Some(partial_of_1000(&name));
        assert_eq!(
            found.is_intact(),
            first_segment || superseded,
            "{name}: {:?}",
            found.problems
        );
        fs::write(&path, bytes).unwrap();
    }
}

/// Width of the partial tile that a tree of 1000 leaves needs there.
fn partial_of_1000(name: &str) -> &'static str {
    if name.contains("tile/1/") { "3" } else { "232" }
}

#[test]
fn finds_every_cut_tail() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), 280, 1_000, 16 * 1024);
    let intact = report(dir.path());
    for path in all_files(dir.path()) {
        let bytes = fs::read(&path).unwrap();
        let last_byte = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        for cut in (0..=last_byte).step_by(197).chain([last_byte]) {
            fs::write(&path, &bytes[..cut]).unwrap();
            assert!(
                differs(&report(dir.path()), &intact),
                "{} cut at {cut}",
                path.display()
            );
        }
        fs::write(&path, &bytes).unwrap();
    }
}

#[test]
fn finds_a_record_that_was_taken_out_of_its_bundle() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), 1_000, 300, 64 * 1024);
    let path = dir.path().join("log/tile/entries/001");
    let bytes = fs::read(&path).unwrap();
    let mut at = 0;
    for place in 0..256 {
        let length = 2 + usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
        if place % 17 == 0 {
            let without = [&bytes[..at], &bytes[at + length..]].concat();
            fs::write(&path, without).unwrap();
            let found = report(dir.path());
            assert_eq!(found.problems.len(), 1, "{:?}", found.problems);
            assert_eq!(found.problems[0].leaf, Some(256));
            assert_eq!(
                found.problems[0].fact,
                Fact::EntriesTooFew {
                    found: 255,
                    expected: 256
                }
            );
        }
        at += length;
    }
}

/// The strongest forger without the key: rebuilds everything, and still cannot sign.
#[test]
fn finds_a_log_that_was_rebuilt_without_a_record() {
    let (dir, forged) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    build(dir.path(), 500, 100, 64 * 1024);
    let (mut writer, _) = open(forged.path());
    for index in (0..500).filter(|index| *index != 123) {
        writer.append(&leaf(index)).unwrap();
    }
    writer.append(&leaf(500)).unwrap();
    writer.sign_checkpoint(1).unwrap();
    drop(writer);
    for file in ["checkpoints.log", "log/checkpoint"] {
        fs::copy(dir.path().join(file), forged.path().join(file)).unwrap();
    }
    let found = report(forged.path());
    assert!(
        found
            .problems
            .iter()
            .any(|finding| finding.fact == Fact::RootDiffers { size: 500 })
    );
    assert!(
        found
            .problems
            .iter()
            .any(|finding| finding.fact == Fact::RootDiffers { size: 200 })
    );
    assert!(
        !found
            .problems
            .iter()
            .any(|finding| finding.fact == Fact::RootDiffers { size: 100 })
    );
}

/// With the key: the operator's own rewriting shows against a checkpoint that was kept elsewhere.
#[test]
fn finds_an_owners_rewriting_with_a_checkpoint_kept_elsewhere() {
    let (dir, rewritten) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    build(dir.path(), 500, 100, 64 * 1024);
    let kept = fs::read(dir.path().join("log/checkpoint")).unwrap();
    let options = Options {
        against: Some(kept),
        ..Options::default()
    };
    let check =
        |dir: &Path| verify_log(dir, std::slice::from_ref(key().verifier()), &options).unwrap();
    assert!(check(dir.path()).is_intact());

    build(rewritten.path(), 400, 100, 64 * 1024);
    assert!(report(rewritten.path()).is_intact());
    assert_eq!(
        check(rewritten.path()).problems[0].fact,
        Fact::LogTruncated { missing: 400..500 }
    );

    let other = tempfile::tempdir().unwrap();
    let (mut writer, _) = open(other.path());
    append(&mut writer, 1..=600);
    writer.sign_checkpoint(1).unwrap();
    assert!(report(other.path()).is_intact());
    assert_eq!(
        check(other.path()).problems[0].fact,
        Fact::RootDiffers { size: 500 }
    );
}

#[test]
fn finds_an_old_state_that_was_put_back() {
    let (dir, old) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    build(dir.path(), 300, 100, 64 * 1024);
    copy(dir.path(), old.path());
    let (mut writer, _) = open(dir.path());
    append(&mut writer, 300..400);
    writer.sign_checkpoint(1_700_000_400).unwrap();
    drop(writer);
    let restore = |file: &str| fs::copy(old.path().join(file), dir.path().join(file)).unwrap();
    // Only the checkpoint: the history still knows, and the newer tree is what gets verified.
    restore("log/checkpoint");
    let found = report(dir.path());
    assert_eq!(found.size, 400);
    assert_eq!(
        found.notices[0].fact,
        Fact::HistoryAhead {
            size: 300,
            recorded_size: 400
        }
    );
    // Checkpoint and history: leaves remain in the write-ahead that no signature covers.
    restore("checkpoints.log");
    let found = report(dir.path());
    assert_eq!(
        found.notices.iter().find_map(|finding| match finding.fact {
            Fact::LeavesUnsigned { count } => Some(count),
            _ => None,
        }),
        Some(100)
    );
}

#[test]
fn says_from_where_an_intent_without_outcome_may_have_been_delivered() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), 301, 100, 64 * 1024);
    let found = report(dir.path());
    assert!(found.is_intact());
    assert_eq!(
        found
            .notices
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        [
            "tile/entries, leaf 300: session 00000000000000000000000000000001, request 300: an intent has no outcome: \
          orders-0 may have been delivered from offset 1300"
        ]
    );
}

#[test]
fn a_gap_between_heartbeats_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = open(dir.path());
    for time in [100, 101, 102, 110, 111] {
        writer.sign_checkpoint(time).unwrap();
    }
    drop(writer);
    let options = Options {
        heartbeat_s_max: Some(5),
        ..Options::default()
    };
    let found = verify_log(dir.path(), std::slice::from_ref(key().verifier()), &options).unwrap();
    assert!(found.is_intact());
    assert_eq!(found.notices.len(), 1);
    assert_eq!(
        found.notices[0].fact,
        Fact::CheckpointGap {
            before: 102,
            after: 110
        }
    );
}

#[test]
fn another_logs_key_verifies_nothing() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), 10, 5, 64 * 1024);
    let other = SigningKey::from_seed(crate::sample::ORIGIN, &[43; 32]).unwrap();
    let found = verify_log(
        dir.path(),
        std::slice::from_ref(other.verifier()),
        &Options::default(),
    )
    .unwrap();
    assert!(matches!(
        found.problems[0].fact,
        Fact::CheckpointUnreadable { .. }
    ));
    assert!(
        !verify_log(dir.path(), &[], &Options::default())
            .unwrap()
            .is_intact()
    );
}

#[test]
fn an_empty_directory_is_not_an_intact_log() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(report(dir.path()).problems[0].fact, Fact::CheckpointMissing);
}

#[test]
fn proves_single_records_and_reads_them_for_shipping() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), 700, 100, 64 * 1024);
    let keys = [key().verifier().clone()];
    for index in [0, 255, 256, 511, 512, 699] {
        let (bytes, proof) = prove_leaf(dir.path(), &keys, index).unwrap();
        assert_eq!(bytes, leaf(index));
        let proof = Proof::parse(&proof.to_text()).unwrap();
        let signed: SignedCheckpoint = proof.verify(&bytes, &keys).unwrap();
        assert_eq!(signed.checkpoint.size, 700);
        assert!(proof.verify(&leaf(index + 1), &keys).is_err());
    }
    assert!(prove_leaf(dir.path(), &keys, 700).is_err());
    let mut next = 0;
    loop {
        let leaves = read_leaves(dir.path(), next, 700).unwrap();
        if leaves.is_empty() {
            break;
        }
        for bytes in leaves {
            assert_eq!(bytes, leaf(next));
            next += 1;
        }
    }
    assert_eq!(next, 700);
}
