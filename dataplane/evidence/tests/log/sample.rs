//! Logs to try things on.

use std::fs;
use std::path::{Path, PathBuf};

use sluice_evidence::files::{LogWriter, Recovery, verify_log};
use sluice_evidence::verify::{Options, Report};
use sluice_evidence::{
    Api, Item, ItemFlags, Kind, RecordHead, RecordWriter, SessionId, SigningKey,
};

pub(crate) const ORIGIN: &str = "sluice.example/gateway-1/shard-0";

pub(crate) fn key() -> SigningKey {
    SigningKey::from_seed(ORIGIN, &[42; 32]).unwrap()
}

pub(crate) fn open(dir: &Path) -> (LogWriter, Recovery) {
    let (writer, recovery) = LogWriter::open(dir, key()).unwrap();
    (writer.with_segment_bytes(64 * 1024), recovery)
}

pub(crate) fn report(dir: &Path) -> Report {
    verify_log(
        dir,
        std::slice::from_ref(key().verifier()),
        &Options::default(),
    )
    .unwrap()
}

/// Even leaves are intents of a Fetch, odd ones their outcomes.
pub(crate) fn leaf(index: u64) -> Vec<u8> {
    let outcome = index % 2 == 1;
    let head = RecordHead {
        kind: if outcome { Kind::Outcome } else { Kind::Intent },
        time_unix_ns: 1_700_000_000_000_000_000 + index,
        session: SessionId(1),
        sequence: index,
        answers: outcome.then(|| index - 1),
        principal: "User:analytics",
        api: Some(Api {
            key: 1,
            version: 16,
        }),
        ..RecordHead::default()
    };
    let item = Item {
        operation: 3,
        resource_kind: 2,
        resource: "orders",
        partition: 0,
        first_offset: 1_000 + index as i64,
        flags: if outcome {
            ItemFlags::DELIVERED
        } else {
            ItemFlags::EMPTY
        },
        ..Item::default()
    };
    let mut leaf = Vec::new();
    let mut writer = RecordWriter::begin(&mut leaf, &head).unwrap();
    writer.item(&item).unwrap();
    writer.finish();
    leaf
}

/// A log of `count` leaves in small segments, signed every `every` leaves and at the end.
pub(crate) fn build(dir: &Path, count: u64, every: u64, segment_bytes: u64) {
    let (writer, _) = open(dir);
    let mut writer = writer.with_segment_bytes(segment_bytes);
    for index in 0..count {
        writer.append(&leaf(index)).unwrap();
        if (index + 1) % every == 0 {
            writer.sign_checkpoint(1_700_000_000 + index).unwrap();
        }
    }
    writer.sign_checkpoint(1_700_000_000 + count).unwrap();
}

/// Appends these leaves, unsigned.
pub(crate) fn append(writer: &mut LogWriter, indexes: impl IntoIterator<Item = u64>) {
    for index in indexes {
        writer.append(&leaf(index)).unwrap();
    }
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file of the log but its lock, in order.
pub(crate) fn all_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.file_name().unwrap() != "lock" {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
