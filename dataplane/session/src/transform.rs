//! Masks the records of a Fetch answer, a budget of bytes at a time, so that a large answer does not hold its shard.

use std::ops::Range;
use std::sync::Arc;

use sluice_kafka::ErrorCode;
use sluice_kafka::codec::DecompressLimits;
use sluice_kafka::record_batch::{self, Batch, Rewritten, batches};
use sluice_kafka::views::{FetchResponse, RecordsVerdict, TopicKey};
use sluice_masking::MaskPlan;
use sluice_policy::MaskPlanId;

use crate::apis::{PendingFetch, Places};
use crate::environment::Snapshot;
use crate::error::Close;
use crate::limits::{DECOMPRESSED_BATCH_BYTES_MAX, MASK_SCRATCH_BYTES_KEPT, MASK_TOKEN_COST_BYTES};
use crate::mask_record::{MaskCounts, Masker, RecordScratch};
use crate::memory::AskedTopic;
use crate::outbox::{Outbox, Piece};
use crate::record::Delivered;
use crate::spare::Spare;

/// Masking of one Fetch answer.
pub(crate) struct MaskJob {
    snapshot: Arc<Snapshot>,
    pending: PendingFetch,
    correlation_id: i32,
    /// Sorted by what names the topic.
    masks: Vec<(AskedTopic, MaskPlanId)>,
    delivered: Vec<Delivered>,
    work: Option<Vec<Work>>,
    at: usize,
    survivor: Option<&'static str>,
    counts: MaskCounts,
}

/// One partition's records.
struct Work {
    topic: AskedTopic,
    partition: i32,
    plan: MaskPlanId,
    records: Range<usize>,
    /// Bytes of `records` that are done.
    done: usize,
    out: Vec<u8>,
    error: Option<ErrorCode>,
    delivered: Delivered,
}

/// Codec contexts and buffers for masking, one for each shard: they are of no use to a job between two steps.
#[derive(Default)]
pub struct MaskScratch {
    batch: record_batch::Scratch,
    record: RecordScratch,
    pub(crate) spare: Spare,
}

impl MaskScratch {
    /// Takes back the buffers of answers that have been sent; the outbox is then of no more use but to be cleared.
    pub fn give_back(&mut self, sent: &mut Outbox) {
        for piece in sent.released.drain(..) {
            if let Piece::Owned(bytes) = piece {
                self.spare.give_back(bytes);
            }
        }
    }
}

impl std::fmt::Debug for MaskScratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MaskScratch").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for MaskJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MaskJob")
            .field("correlation_id", &self.correlation_id)
            .finish_non_exhaustive()
    }
}

impl MaskJob {
    pub(crate) fn new(
        snapshot: Arc<Snapshot>,
        pending: PendingFetch,
        correlation_id: i32,
        mut masks: Vec<(AskedTopic, MaskPlanId)>,
        delivered: Vec<Delivered>,
    ) -> Self {
        masks.sort_by(|(a, _), (b, _)| a.key().cmp(&b.key()));
        Self {
            snapshot,
            pending,
            correlation_id,
            masks,
            delivered,
            work: None,
            at: 0,
            survivor: None,
            counts: MaskCounts::default(),
        }
    }

    /// Masks up to about `budget` bytes of `frame`, the broker's answer; says whether all is done. Takes the same frame
    /// each time.
    pub(crate) fn step(&mut self, frame: &[u8], budget: usize, scratch: &mut MaskScratch) -> bool {
        if self.work.is_none() {
            self.work = Some(self.plan_work(frame));
        }
        let mut left = budget;
        while left > 0 {
            let Some(work) = self.work.as_mut().and_then(|work| work.get_mut(self.at)) else {
                return true;
            };
            let records = frame.get(work.records.clone()).unwrap_or_default();
            let rest = records.get(work.done..).unwrap_or_default();
            let batch = match batches(rest).next().filter(|_| work.error.is_none()) {
                Some(Ok(batch)) => batch,
                // A format that cannot be read, and so not masked.
                Some(Err(_)) if work.out.is_empty() => {
                    work.error = Some(ErrorCode::CORRUPT_MESSAGE);
                    work.delivered.error = ErrorCode::CORRUPT_MESSAGE.0;
                    continue;
                }
                // Done, or what is left is a batch cut at the end, or one that the client meets first the next time.
                _ => {
                    self.at = self.at.saturating_add(1);
                    continue;
                }
            };
            if work.done == 0 {
                // Tokens are mostly longer than what they stand for.
                let records_bytes = work.records.len();
                work.out = scratch
                    .spare
                    .take(records_bytes.saturating_add(records_bytes / 8));
            }
            let Some(plan) = self.snapshot.plan(work.plan) else {
                self.survivor = Some("a mask plan is missing");
                return true;
            };
            let fields_before = work.delivered.masked_fields;
            mask_batch(
                plan,
                &batch,
                work,
                scratch,
                &mut self.counts,
                &mut self.survivor,
            );
            // What it took: all its bytes, and a token is as much work as some hundred of them.
            let tokens = work.delivered.masked_fields.saturating_sub(fields_before) as usize;
            let bytes = scratch.batch.decompressed_bytes().max(batch.bytes.len());
            left = left
                .saturating_sub(bytes)
                .saturating_sub(tokens.saturating_mul(MASK_TOKEN_COST_BYTES));
            scratch.batch.shrink(MASK_SCRATCH_BYTES_KEPT);
            scratch.record.shrink(MASK_SCRATCH_BYTES_KEPT);
            work.done = work.done.saturating_add(batch.bytes.len());
        }
        self.work.as_ref().is_some_and(|work| self.at >= work.len())
    }

    /// Memory that the job holds between two steps.
    pub(crate) fn held_bytes(&self) -> usize {
        let work = self.work.iter().flatten();
        let out: usize = work.map(|work| work.out.capacity()).sum();
        out.saturating_add(self.pending.bytes())
    }

    /// The client's answer, what it delivers, and what was done.
    pub(crate) fn finish(
        mut self,
        frame: &[u8],
        scratch: &mut MaskScratch,
    ) -> Result<(Vec<u8>, Vec<Delivered>, MaskCounts), Close> {
        if let Some(survivor) = self.survivor {
            return Err(Close::Internal(survivor));
        }
        let mut work = self.work.take().unwrap_or_default();
        let masked: usize = work.iter().map(|work| work.out.len()).sum();
        let replaced: usize = work.iter().map(|work| work.records.len()).sum();
        // Lengths may take a few bytes more than before.
        let framing = (frame.len().saturating_sub(replaced))
            .saturating_add(work.len().saturating_mul(size_of::<u64>()));
        let mut out = scratch.spare.take(framing.saturating_add(masked));
        let mut places = Places::default();
        self.pending.merge(
            self.correlation_id,
            frame,
            |topic, partition, _, out| {
                if self.mask_of(topic).is_none() {
                    return RecordsVerdict::Keep;
                }
                let found = places.find(&work, (topic, partition.index), |work| {
                    (work.topic.key(), work.partition)
                });
                match found.and_then(|found| work.get_mut(found)) {
                    None => RecordsVerdict::Error(ErrorCode::CORRUPT_MESSAGE),
                    Some(work) => match work.error {
                        Some(error) => RecordsVerdict::Error(error),
                        None => {
                            out.append(&mut work.out);
                            RecordsVerdict::Replaced
                        }
                    },
                }
            },
            &mut out,
        )?;
        let mut delivered = self.delivered;
        for work in work {
            scratch.spare.give_back(work.out);
            delivered.push(work.delivered);
        }
        delivered.retain(|delivered| delivered.records_count > 0 || delivered.error != 0);
        Ok((out, delivered, self.counts))
    }

    /// The topic and its plan, if it is masked.
    fn mask_of(&self, topic: TopicKey<'_>) -> Option<&(AskedTopic, MaskPlanId)> {
        let found = self
            .masks
            .binary_search_by(|(masked, _)| masked.key().cmp(&topic));
        found.ok().and_then(|at| self.masks.get(at))
    }

    fn plan_work(&self, frame: &[u8]) -> Vec<Work> {
        let Ok(response) = FetchResponse::parse(frame, self.pending.version()) else {
            return Vec::new();
        };
        let mut work = Vec::new();
        let mut places = Places::default();
        for topic in response.topics() {
            let Some((named, plan)) = self.mask_of(topic.key) else {
                continue;
            };
            for partition in topic.partitions() {
                let at = self
                    .pending
                    .position(&mut places, topic.key, partition.index);
                let asked = at.and_then(|at| self.pending.asked(at));
                let fetch_offset = asked.map_or(0, |(_, offset)| offset);
                let delivered = Delivered {
                    topic: named.name().clone(),
                    topic_id: named.id(),
                    partition: partition.index,
                    first_offset: fetch_offset,
                    last_offset: -1,
                    error: partition.error.0,
                    masked: true,
                    ..Delivered::default()
                };
                work.push(Work {
                    topic: named.clone(),
                    partition: partition.index,
                    plan: *plan,
                    records: partition.records.unwrap_or_default(),
                    done: 0,
                    out: Vec::new(),
                    error: None,
                    delivered,
                });
            }
        }
        work
    }
}

/// Masks one batch into `work.out`. A batch that cannot be verified ends its partition: with an error if it is the first,
/// else before it, so that the client meets it first the next time.
fn mask_batch(
    plan: &MaskPlan,
    batch: &Batch<'_>,
    work: &mut Work,
    scratch: &mut MaskScratch,
    counts: &mut MaskCounts,
    survivor: &mut Option<&'static str>,
) {
    let MaskScratch {
        batch: batch_scratch,
        record: record_scratch,
        ..
    } = scratch;
    let mut masker = Masker::new(plan, record_scratch, counts);
    let before = work.out.len();
    let limits = DecompressLimits {
        output_bytes_max: DECOMPRESSED_BATCH_BYTES_MAX,
        ..DecompressLimits::default()
    };
    let rewritten = record_batch::rewrite_records(
        batch.bytes,
        batch_scratch,
        &limits,
        &mut work.out,
        |record, new| masker.record(&record, new),
    );
    let fields = masker.fields;
    *survivor = survivor.or(masker.survivor);
    match rewritten {
        Ok(rewritten) => {
            if rewritten == Rewritten::Unchanged {
                work.out.extend_from_slice(batch.bytes);
            }
            counts.masked_fields = counts.masked_fields.saturating_add(u64::from(fields));
            work.delivered.masked_fields = work.delivered.masked_fields.saturating_add(fields);
            work.delivered.last_offset = batch.header.last_offset();
            work.delivered.records_count = work
                .delivered
                .records_count
                .saturating_add(batch.header.record_count.max(0));
        }
        _ if before == 0 => {
            work.error = Some(ErrorCode::CORRUPT_MESSAGE);
            work.delivered.error = ErrorCode::CORRUPT_MESSAGE.0;
        }
        _ => {
            work.out.truncate(before);
            work.records.end = work.records.start.saturating_add(work.done);
        }
    }
}
