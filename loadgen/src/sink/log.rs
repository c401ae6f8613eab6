//! The topics of a sink: endless logs of one batch, and offsets for what is produced.

use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use sluice_kafka::views::TopicKey;

use crate::Error;
use crate::limits::SINK_FETCH_BYTES_MAX;
use crate::records::{Maker, Shape, batch};

/// Batches of a log. At a million batches a second nobody reaches the end in a year.
const BATCHES: i64 = 1 << 45;
/// Bytes of a batch's base offset, its first field, which its checksum does not cover.
pub(super) const BASE_OFFSET_BYTES: usize = 8;
/// Any moment will do for records that nobody keeps: 2024-01-01, in milliseconds.
const TIMESTAMP_MS: i64 = 1_704_067_200_000;

/// All topics.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) topics: Vec<Topic>,
    /// The batch without its base offset.
    tail: Bytes,
    records_per_batch: i64,
    producer_ids: AtomicI64,
}

/// One topic.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) id: [u8; 16],
    /// The next offset of what is produced, for each partition.
    produced: Vec<AtomicI64>,
}

/// What a Fetch gets of one partition: so many batches from this offset on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) base_offset: i64,
    pub(super) batches_count: usize,
}

impl Log {
    pub(super) fn new(
        topics: &[(String, i32)],
        shape: &Shape,
        records_per_batch: usize,
        seed: u64,
    ) -> Result<Self, Error> {
        let batch = batch(
            shape,
            records_per_batch,
            TIMESTAMP_MS,
            &mut Maker::new(seed, 0, 1),
        )?;
        let topics = topics
            .iter()
            .enumerate()
            .map(|(index, (name, partitions))| Topic {
                name: name.clone(),
                id: id(index),
                produced: (0..*partitions).map(|_| AtomicI64::new(0)).collect(),
            });
        Ok(Self {
            topics: topics.collect(),
            tail: batch.slice(BASE_OFFSET_BYTES..),
            records_per_batch: records_per_batch as i64,
            producer_ids: AtomicI64::new(0),
        })
    }

    pub(super) fn topic(&self, key: TopicKey<'_>) -> Option<&Topic> {
        self.topics.iter().find(|topic| match key {
            TopicKey::Name(name) => topic.name == name,
            TopicKey::Id(id) => topic.id == id,
        })
    }

    /// The bytes of every batch behind its base offset.
    pub(super) fn tail(&self) -> &Bytes {
        &self.tail
    }

    pub(super) fn batch_bytes(&self) -> usize {
        self.tail.len() + BASE_OFFSET_BYTES
    }

    pub(super) fn records_per_batch(&self) -> i64 {
        self.records_per_batch
    }

    /// Where every log ends.
    pub(super) fn end_offset(&self) -> i64 {
        self.records_per_batch.saturating_mul(BATCHES)
    }

    /// As many batches from the one that holds `offset` on as `bytes_max` has room for. `at_least_one`: one batch even if
    /// it is longer, as brokers do for the first of an answer. `None`: there is no such offset.
    pub(super) fn slice(&self, offset: i64, bytes_max: usize, at_least_one: bool) -> Option<Slice> {
        let end = self.end_offset();
        if offset < 0 || offset > end {
            return None;
        }
        let base_offset = offset - offset % self.records_per_batch;
        let fitting = bytes_max.min(SINK_FETCH_BYTES_MAX) / self.batch_bytes();
        let left =
            usize::try_from((end - base_offset) / self.records_per_batch).unwrap_or(usize::MAX);
        Some(Slice {
            base_offset,
            batches_count: fitting.max(usize::from(at_least_one)).min(left),
        })
    }

    pub(super) fn next_producer_id(&self) -> i64 {
        self.producer_ids.fetch_add(1, Ordering::Relaxed)
    }
}

impl Topic {
    pub(super) fn partitions_count(&self) -> i32 {
        self.produced.len() as i32
    }

    pub(super) fn has(&self, partition: i32) -> bool {
        (0..self.partitions_count()).contains(&partition)
    }

    /// Takes offsets for so many records; the first of them.
    pub(super) fn append(&self, partition: i32, records_count: i64) -> Option<i64> {
        let next = self.produced.get(usize::try_from(partition).ok()?)?;
        Some(next.fetch_add(records_count, Ordering::Relaxed))
    }
}

/// Ids that stay the same from start to start, so that a client which knows them may reconnect. Version 8: made up here.
fn id(index: usize) -> [u8; 16] {
    let mut id = *b"sink-t\x80\x00\0\0\0\0\0\0\0\0";
    id[8..].copy_from_slice(&(0x8000_0000_0000_0000 | (index as u64 + 1)).to_be_bytes());
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(records_per_batch: usize) -> Log {
        Log::new(
            &[("orders".to_owned(), 2)],
            &Shape::text(100),
            records_per_batch,
            1,
        )
        .unwrap()
    }

    #[test]
    fn a_fetch_gets_whole_batches_from_the_one_that_holds_the_offset() {
        let log = log(10);
        let bytes = log.batch_bytes();
        let of = |offset, bytes_max, first| log.slice(offset, bytes_max, first);
        assert_eq!(
            of(25, 3 * bytes + 1, false),
            Some(Slice {
                base_offset: 20,
                batches_count: 3
            })
        );
        assert_eq!(
            of(0, 1, true),
            Some(Slice {
                base_offset: 0,
                batches_count: 1
            })
        );
        assert_eq!(
            of(0, 1, false),
            Some(Slice {
                base_offset: 0,
                batches_count: 0
            })
        );
        assert_eq!(of(-1, bytes, true), None);
    }

    #[test]
    fn a_log_is_empty_at_its_end_and_has_nothing_behind_it() {
        let log = log(10);
        let end = log.end_offset();
        assert_eq!(log.slice(end, usize::MAX, true).unwrap().batches_count, 0);
        assert_eq!(
            log.slice(end - 1, usize::MAX, true).unwrap().batches_count,
            1
        );
        assert_eq!(log.slice(end + 1, usize::MAX, true), None);
    }

    #[test]
    fn offsets_of_a_partition_rise_by_what_was_written() {
        let log = log(1);
        let topic = log.topic(TopicKey::Name("orders")).unwrap();
        assert_eq!(topic.append(1, 5), Some(0));
        assert_eq!(topic.append(1, 1), Some(5));
        assert_eq!(topic.append(0, 1), Some(0));
        assert_eq!(topic.append(2, 1), None);
        assert_eq!(log.topic(TopicKey::Id(topic.id)).unwrap().name, "orders");
    }
}
