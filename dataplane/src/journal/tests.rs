//! A journal with its thread, on a disk.

use std::path::Path;

use futures_lite::future::block_on;
use glommio::LocalExecutorBuilder;
use sluice_evidence::files::LogWriter;
use sluice_evidence::segment::frame_leaf;
use sluice_evidence::{Kind, RecordHead, RecordWriter, SigningKey};

use super::*;
use crate::metrics::Metrics;

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = format!("sluice-journal-{name}-{}", std::process::id());
        let dir = std::env::temp_dir().join(dir);
        let _ = std::fs::remove_dir_all(&dir); // of an earlier run
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn start(&self) -> (JournalWriter, Journal) {
        let (writer, end) =
            JournalWriter::start(&self.0, "g", 0, Arc::new(Metrics::default())).unwrap();
        (writer, Journal::new(end))
    }

    /// Leaves in the log, and how many of them nobody had signed.
    fn leaves(&self) -> (u64, u64) {
        let evidence = self.0.join("evidence");
        let seed = std::fs::read(evidence.join("signing-key")).unwrap();
        let key = SigningKey::from_seed("sluice/g/shard-0", &seed.try_into().unwrap());
        let shard: &Path = &evidence.join("shard-0");
        let (writer, recovery) = LogWriter::open(shard, key.unwrap()).unwrap();
        (writer.next_leaf(), recovery.replayed_count)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn frame() -> Vec<u8> {
    let mut leaf = Vec::new();
    let head = RecordHead {
        kind: Kind::SessionOpened,
        ..RecordHead::default()
    };
    RecordWriter::begin(&mut leaf, &head).unwrap().finish();
    let mut frame = Vec::new();
    frame_leaf(&leaf, &mut frame).unwrap();
    frame
}

/// Ends the journal as a drain does, and the thread with it.
fn end(writer: JournalWriter, journal: Journal) -> Arc<JournalLog> {
    let log = writer.log();
    journal.stop();
    block_on(journal.flush_rounds());
    drop(journal);
    writer.seal();
    log
}

#[test]
fn what_is_stored_is_written_before_any_other_task_runs() {
    let dir = Dir::new("stored");
    let (writer, journal) = dir.start();
    let ticket = journal.append(&frame()).unwrap();
    assert_eq!(journal.inner.borrow().written, ticket.0);
    let segments = dir.0.join("evidence/shard-0/segments");
    let stored = std::fs::read_dir(segments).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        bytes.starts_with(&frame())
    });
    assert!(stored, "the page cache has it");
    end(writer, journal);
}

#[test]
fn a_log_that_ends_is_signed_to_its_last_leaf_and_its_thread_is_well() {
    let dir = Dir::new("ends");
    let (writer, journal) = dir.start();
    for _ in 0..10 {
        journal.append(&frame()).unwrap();
    }
    let log = end(writer, journal);
    assert!(!log.dead.load(Ordering::Acquire));
    let leaves = 1 + 10 + 1; // opened and closed
    assert_eq!(log.signed_leaves(), leaves);
    assert_eq!(dir.leaves(), (leaves, 0));
}

#[test]
fn what_was_stored_before_the_journal_failed_is_in_the_log_and_the_log_is_not_closed() {
    let dir = Dir::new("fails");
    let (writer, journal) = dir.start();
    journal.append(&frame()).unwrap();
    journal.fail(JournalError::OperatorDisk("no room".into()));
    assert!(journal.append(&frame()).is_err());
    end(writer, journal);
    assert_eq!(dir.leaves(), (1 + 1, 0));
}

#[test]
fn a_thread_that_is_gone_fails_the_journal_whatever_waits_for_it() {
    let dir = Dir::new("gone");
    let (writer, journal) = dir.start();
    journal
        .end
        .log
        .given_bytes
        .fetch_add(GIVEN_BYTES_MAX, Ordering::Relaxed);
    journal.append(&frame()).unwrap();
    assert!(matches!(journal.flush(), Err(JournalError::Full)));
    journal.end.log.dead.store(true, Ordering::Release);
    assert!(matches!(
        journal.flush(),
        Err(JournalError::OperatorDisk(_))
    ));
    end(writer, journal);
}

#[test]
fn beyond_what_the_thread_may_be_given_nothing_is_written_until_it_has_taken() {
    let dir = Dir::new("behind");
    let (writer, journal) = dir.start();
    let given = &journal.end.log.given_bytes;
    given.fetch_add(GIVEN_BYTES_MAX, Ordering::Relaxed);
    let ticket = journal.append(&frame()).unwrap();
    assert!(journal.inner.borrow().written < ticket.0);
    given.fetch_sub(GIVEN_BYTES_MAX, Ordering::Relaxed);
    journal.flush().unwrap();
    assert_eq!(journal.inner.borrow().written, ticket.0);
    end(writer, journal);
    assert_eq!(dir.leaves(), (1 + 1 + 1, 0));
}

#[test]
fn a_sync_that_is_asked_for_before_its_round_is_given_comes() {
    let dir = Dir::new("sync");
    let (writer, journal) = dir.start();
    LocalExecutorBuilder::default()
        .io_memory(crate::limits::SHARD_IO_MEMORY_BYTES)
        .make()
        .unwrap()
        .run(async {
            let rounds = journal.flush_rounds();
            let synced = async {
                let ticket = journal.append(&frame()).unwrap();
                journal.reached(ticket, Durability::Synced).await.unwrap();
                assert_eq!(journal.end.log.signed_leaves(), 2);
                journal.stop();
            };
            // Polled first: it asks before the round is given.
            futures_lite::future::zip(synced, rounds).await;
        });
    drop(journal);
    writer.seal();
}
