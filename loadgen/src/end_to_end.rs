//! From the moment when a batch was due to be written to the moment when a reader of this run has it.
//!
//! A write's answer names the offset that the batch got, and the reader finds the batch at it: nothing is added to records,
//! so whatever compresses or masks them on the way changes nothing here. Either side may learn of an offset first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use hdrhistogram::Histogram;

use crate::limits::TRACED_MAX;
use crate::measure::histogram;

/// How long batches took from the intended time of their write to a reader.
#[derive(Debug, Clone)]
pub struct EndToEnd {
    pub latency_ns: Histogram<u64>,
    /// Written to a partition that somebody read, and not seen there before the run was given up.
    pub unseen_count: u64,
}

impl EndToEnd {
    pub(crate) fn new() -> Self {
        Self {
            latency_ns: histogram(),
            unseen_count: 0,
        }
    }
}

/// Where writers and readers of one run meet.
#[derive(Debug)]
pub(crate) struct Board {
    /// Those that a reader follows.
    partitions: HashMap<i32, Mutex<Trace>>,
    writers_running: AtomicUsize,
}

#[derive(Debug)]
struct Trace {
    /// Written and not seen: the intended time of each, by its offset.
    written: BTreeMap<i64, u64>,
    /// Seen before the answer to their write: when, by the offset. Also what others write to the topic ends here.
    seen: BTreeMap<i64, u64>,
    found: EndToEnd,
}

impl Board {
    pub(crate) fn new(partitions: impl Iterator<Item = i32>, writers_count: usize) -> Self {
        let trace = || Trace {
            written: BTreeMap::new(),
            seen: BTreeMap::new(),
            found: EndToEnd::new(),
        };
        Self {
            partitions: partitions
                .map(|index| (index, Mutex::new(trace())))
                .collect(),
            writers_running: AtomicUsize::new(writers_count),
        }
    }

    pub(crate) fn written(&self, partition: i32, offset: i64, intended_ns: u64) {
        self.with(partition, |trace| {
            if let Some(seen_ns) = trace.seen.remove(&offset) {
                trace.record(seen_ns.saturating_sub(intended_ns));
            } else {
                trace.written.insert(offset, intended_ns);
                if trace.written.len() > TRACED_MAX {
                    trace.written.pop_first();
                    trace.found.unseen_count += 1;
                }
            }
        });
    }

    pub(crate) fn seen(&self, partition: i32, offset: i64, now_ns: u64) {
        self.with(partition, |trace| {
            if let Some(intended_ns) = trace.written.remove(&offset) {
                trace.record(now_ns.saturating_sub(intended_ns));
            } else {
                trace.seen.insert(offset, now_ns);
                if trace.seen.len() > TRACED_MAX {
                    trace.seen.pop_first();
                }
            }
        });
    }

    pub(crate) fn writer_ended(&self) {
        self.writers_running.fetch_sub(1, Ordering::AcqRel);
    }

    /// Nothing more will be written, and everything that was has been seen.
    pub(crate) fn is_settled(&self, partition: i32) -> bool {
        self.writers_running.load(Ordering::Acquire) == 0
            && self.with(partition, |trace| trace.written.is_empty()) != Some(false)
    }

    /// What was found on all partitions.
    pub(crate) fn found(self) -> EndToEnd {
        let mut all = EndToEnd::new();
        for trace in self.partitions.into_values() {
            let trace = trace
                .into_inner()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            // Same bounds on both sides, so it cannot fail.
            let _ = all.latency_ns.add(&trace.found.latency_ns);
            all.unseen_count += trace.found.unseen_count + trace.written.len() as u64;
        }
        all
    }

    fn with<T>(&self, partition: i32, act: impl FnOnce(&mut Trace) -> T) -> Option<T> {
        let trace = self.partitions.get(&partition)?;
        // A thread that panicked ends the run; what it left is sound, since each step is whole.
        let mut trace = trace
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        Some(act(&mut trace))
    }
}

impl Trace {
    fn record(&mut self, latency_ns: u64) {
        self.found.latency_ns.saturating_record(latency_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_timed_whichever_side_learns_of_it_first() {
        let board = Board::new([0, 1].into_iter(), 1);
        board.written(0, 7, 1_000);
        board.seen(0, 7, 5_000);
        board.seen(1, 7, 9_000);
        board.written(1, 7, 1_000);
        // Written by somebody else, and written where nobody reads.
        board.seen(0, 8, 9_000);
        board.written(2, 1, 1_000);
        assert!(!board.is_settled(0));
        board.writer_ended();
        assert!(board.is_settled(0) && board.is_settled(2));
        let found = board.found();
        assert_eq!((found.latency_ns.len(), found.unseen_count), (2, 0));
        assert_eq!(found.latency_ns.count_between(3_990, 4_010), 1);
    }

    #[test]
    fn what_nobody_sees_is_counted_and_bounded() {
        let board = Board::new([0].into_iter(), 0);
        for offset in 0..TRACED_MAX as i64 + 5 {
            board.written(0, offset, 1);
            board.seen(0, -1 - offset, 1);
        }
        assert!(!board.is_settled(0));
        let found = board.found();
        assert_eq!(found.unseen_count, TRACED_MAX as u64 + 5);
    }
}
