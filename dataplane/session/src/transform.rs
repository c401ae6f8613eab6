//! Masks the records of a Fetch answer, a budget of bytes at a time, so that a large answer does not hold its shard.

use std::ops::Range;
use std::sync::Arc;

use sluice_kafka::ErrorCode;
use sluice_kafka::codec::DecompressLimits;
use sluice_kafka::record_batch::{self, BatchHeader, Rewriting, Rewritten, batches};
use sluice_kafka::views::{FetchResponse, RecordsVerdict, TopicKey};
use sluice_masking::MaskPlan;
use sluice_policy::MaskPlanId;

use crate::apis::{PendingFetch, Places};
use crate::environment::Snapshot;
use crate::error::Close;
use crate::limits::{
    DECOMPRESSED_BATCH_BYTES_MAX, HELD_BATCH_BYTES_MAX, MASK_SCRATCH_BYTES_KEPT,
    MASK_TOKEN_COST_BYTES,
};
use crate::mask_record::{MaskCounts, Masker, RecordScratch};
use crate::memory::AskedTopic;
use crate::outbox::{Outbox, Piece};
use crate::record::Delivered;
use crate::spare::Spare;

/// A masked answer.
pub(crate) enum Masked {
    /// All of it is where the broker's answer lies.
    InPlace,
    Rewritten(Vec<u8>),
}

/// Masking of one Fetch answer.
pub(crate) struct MaskJob {
    snapshot: Arc<Snapshot>,
    pending: PendingFetch,
    correlation_id: i32,
    /// Nothing but values has to change.
    values_only: bool,
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
    /// The batch behind those.
    begun: Option<Begun>,
    /// Bytes of `records` that go as they lie, patched or not; what `out` holds follows them.
    kept: usize,
    out: Vec<u8>,
    /// A batch that cannot be verified was met: nothing of it goes, nor of what is behind it.
    ended: bool,
    error: Option<ErrorCode>,
    delivered: Delivered,
}

/// A batch some of whose records are masked.
struct Begun {
    rewriting: Rewriting,
    header: BatchHeader,
    batch_bytes: usize,
    /// Replaced in it so far.
    fields: u32,
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
        values_only: bool,
        mut masks: Vec<(AskedTopic, MaskPlanId)>,
        delivered: Vec<Delivered>,
    ) -> Self {
        masks.sort_by(|(a, _), (b, _)| a.key().cmp(&b.key()));
        Self {
            snapshot,
            pending,
            correlation_id,
            values_only,
            masks,
            delivered,
            work: None,
            at: 0,
            survivor: None,
            counts: MaskCounts::default(),
        }
    }

    /// Masks up to about `budget` bytes of `frame`, the broker's answer; says whether all is done. Takes the same frame
    /// each time, in which it patches what is as long masked as it was.
    pub(crate) fn step(
        &mut self,
        frame: &mut [u8],
        budget: usize,
        scratch: &mut MaskScratch,
    ) -> bool {
        if self.work.is_none() {
            self.work = Some(self.plan_work(frame));
        }
        let mut left = budget;
        while left > 0 {
            let Some(work) = self.work.as_mut().and_then(|work| work.get_mut(self.at)) else {
                return true;
            };
            let records = frame.get_mut(work.records.clone()).unwrap_or_default();
            let rest = records.get_mut(work.done..).unwrap_or_default();
            let Some(plan) = self.snapshot.plan(work.plan) else {
                self.survivor = Some("a mask plan is missing");
                return true;
            };
            if work.begun.is_none() {
                match begin(plan, work, rest, scratch) {
                    Next::Begun { bytes } => left = left.saturating_sub(bytes),
                    Next::Passed { bytes } => {
                        left = left.saturating_sub(bytes);
                        continue;
                    }
                    // It may have taken as much as the largest batch.
                    Next::Refused => {
                        left = 0;
                        scratch.batch.shrink(MASK_SCRATCH_BYTES_KEPT);
                    }
                    Next::Nothing => {}
                }
                if work.begun.is_none() {
                    self.at = self.at.saturating_add(1);
                    continue;
                }
            }
            let survivor = step_batch(plan, work, rest, &mut left, scratch, &mut self.counts);
            self.survivor = self.survivor.or(survivor);
            scratch.batch.shrink(MASK_SCRATCH_BYTES_KEPT);
            scratch.record.shrink(MASK_SCRATCH_BYTES_KEPT);
        }
        self.work.as_ref().is_some_and(|work| self.at >= work.len())
    }

    /// Memory that the job holds between two steps.
    pub(crate) fn held_bytes(&self) -> usize {
        let work = self.work.iter().flatten();
        let held = work.map(|work| {
            let begun = work.begun.as_ref();
            let begun = begun.map_or(0, |begun| begun.rewriting.held_bytes());
            work.out.capacity().saturating_add(begun)
        });
        let out: usize = held.sum();
        out.saturating_add(self.pending.bytes())
    }

    /// Memory that the answer takes beside that, once it is made from `frame`.
    pub(crate) fn answer_bytes(&self, frame: &[u8]) -> usize {
        match &self.work {
            Some(work) if !self.is_in_place(work) => merged_bytes(frame, work),
            _ => 0,
        }
    }

    fn is_in_place(&self, work: &[Work]) -> bool {
        self.values_only && !work.is_empty() && work.iter().all(Work::is_in_place)
    }

    /// The client's answer, what it delivers, and what was done.
    pub(crate) fn finish(
        mut self,
        frame: &[u8],
        scratch: &mut MaskScratch,
    ) -> Result<(Masked, Vec<Delivered>, MaskCounts), Close> {
        if let Some(survivor) = self.survivor {
            return Err(Close::Internal(survivor));
        }
        let mut work = self.work.take().unwrap_or_default();
        let masked = if self.is_in_place(&work) {
            Masked::InPlace
        } else {
            Masked::Rewritten(self.merge(frame, &mut work, scratch)?)
        };
        let mut delivered = self.delivered;
        for work in work {
            scratch.spare.give_back(work.out);
            delivered.push(work.delivered);
        }
        delivered.retain(|delivered| delivered.records_count > 0 || delivered.error != 0);
        Ok((masked, delivered, self.counts))
    }

    fn merge(
        &self,
        frame: &[u8],
        work: &mut [Work],
        scratch: &mut MaskScratch,
    ) -> Result<Vec<u8>, Close> {
        let mut out = scratch.spare.take(merged_bytes(frame, work));
        let mut places = Places::default();
        self.pending.merge(
            self.correlation_id,
            frame,
            |topic, partition, records, out| {
                if self.mask_of(topic).is_none() {
                    return RecordsVerdict::Keep;
                }
                let found = places.find(work, (topic, partition.index), |work| {
                    (work.topic.key(), work.partition)
                });
                let work = found.and_then(|found| work.get_mut(found));
                // What is kept of these records was masked among the same.
                let same = |work: &&mut Work| {
                    work.records == partition.records.clone().unwrap_or_default()
                };
                match work.filter(same) {
                    None => RecordsVerdict::Error(ErrorCode::CORRUPT_MESSAGE),
                    Some(work) => match work.error {
                        Some(error) => RecordsVerdict::Error(error),
                        None if work.is_in_place() => RecordsVerdict::Keep,
                        None => {
                            out.extend_from_slice(records.get(..work.kept).unwrap_or_default());
                            out.append(&mut work.out);
                            RecordsVerdict::Replaced
                        }
                    },
                }
            },
            &mut out,
        )?;
        Ok(out)
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
                    begun: None,
                    kept: 0,
                    out: Vec::new(),
                    ended: false,
                    error: None,
                    delivered,
                });
            }
        }
        work
    }
}

/// Bytes of the answer that is made anew, with a few more for lengths that grew.
fn merged_bytes(frame: &[u8], work: &[Work]) -> usize {
    let masked = work
        .iter()
        .map(|work| work.kept.saturating_add(work.out.len()));
    let replaced: usize = work.iter().map(|work| work.records.len()).sum();
    frame
        .len()
        .saturating_sub(replaced)
        .saturating_add(work.len().saturating_mul(size_of::<u64>()))
        .saturating_add(masked.sum())
}

impl Work {
    /// Whether the client's records are all where the broker's lie: none was cut, and each that is masked is patched.
    fn is_in_place(&self) -> bool {
        self.error.is_none() && self.kept == self.records.len()
    }

    /// Ends before a batch that cannot be verified: with an error if it is the first, else so that the client meets it first the
    /// next time.
    fn end_before_batch(&mut self) {
        self.ended = true;
        if self.done == 0 {
            self.error = Some(ErrorCode::CORRUPT_MESSAGE);
            self.delivered.error = ErrorCode::CORRUPT_MESSAGE.0;
        }
    }

    /// Ends a batch; `lies` says whether what the client gets of it is where it lies.
    fn end_batch(&mut self, batch: &[u8], header: &BatchHeader, fields: u32, lies: bool) {
        match lies {
            true if self.kept == self.done => self.kept = self.kept.saturating_add(batch.len()),
            true => self.out.extend_from_slice(batch),
            false => {}
        }
        self.done = self.done.saturating_add(batch.len());
        let delivered = &mut self.delivered;
        delivered.masked_fields = delivered.masked_fields.saturating_add(fields);
        delivered.last_offset = header.last_offset();
        delivered.records_count = delivered
            .records_count
            .saturating_add(header.record_count.max(0));
    }
}

/// What [`begin`] found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// A batch, decompressed to so many bytes if it was compressed.
    Begun { bytes: usize },
    /// A batch of so many bytes without records to mask.
    Passed { bytes: usize },
    /// A batch of which nothing may be passed on, nor of what follows it.
    Refused,
    /// The end, or a batch that is cut there.
    Nothing,
}

/// Begins the batch that `rest` starts with.
fn begin(plan: &MaskPlan, work: &mut Work, rest: &[u8], scratch: &mut MaskScratch) -> Next {
    let Some(batch) = batches(rest).next().filter(|_| !work.ended) else {
        return Next::Nothing;
    };
    let limits = DecompressLimits {
        output_bytes_max: DECOMPRESSED_BATCH_BYTES_MAX,
        ..DecompressLimits::default()
    };
    let begun = batch.and_then(|batch| {
        let begun = Rewriting::begin(batch.bytes, &mut scratch.batch, &limits)?;
        Ok((batch, begun))
    });
    match begun {
        // A format that cannot be read, and so not masked; or it does not read strictly.
        Err(_) => {
            work.end_before_batch();
            Next::Refused
        }
        Ok((batch, None)) => {
            work.end_batch(batch.bytes, &batch.header, 0, true);
            Next::Passed {
                bytes: batch.bytes.len(),
            }
        }
        Ok((batch, Some(rewriting))) => {
            let patches = plan.keeps_lengths();
            if !patches && work.out.capacity() == 0 {
                // Tokens are mostly longer than what they stand for.
                let bytes = rest.len().saturating_add(rest.len() / 8);
                work.out = scratch.spare.take(bytes);
            }
            let bytes = rewriting.decompressed_bytes();
            work.begun = Some(Begun {
                rewriting: if patches {
                    rewriting.in_place()
                } else {
                    rewriting
                },
                header: batch.header,
                batch_bytes: batch.bytes.len(),
                fields: 0,
            });
            Next::Begun { bytes }
        }
    }
}

/// Masks records of the batch that is begun, as many as `left` allows, and ends it with the last.
fn step_batch(
    plan: &MaskPlan,
    work: &mut Work,
    rest: &mut [u8],
    left: &mut usize,
    scratch: &mut MaskScratch,
    counts: &mut MaskCounts,
) -> Option<&'static str> {
    let mut begun = work.begun.take()?;
    let batch = rest.get_mut(..begun.batch_bytes).unwrap_or_default();
    let mut masker = Masker::new(plan, &mut scratch.record, counts, begun.fields);
    // Many connections may have a batch begun.
    let mut all = usize::MAX;
    let is_held = begun.rewriting.held_bytes() <= HELD_BATCH_BYTES_MAX;
    let walked = begun.rewriting.step(
        batch,
        if is_held { &mut *left } else { &mut all },
        &mut scratch.batch,
        &mut work.out,
        |record, new| {
            let before = masker.fields;
            let verdict = masker.record(&record, new);
            // A token is as much work as some hundred bytes.
            let tokens = masker.fields.saturating_sub(before) as usize;
            (verdict, tokens.saturating_mul(MASK_TOKEN_COST_BYTES))
        },
    );
    let (fields, survivor) = (masker.fields, masker.survivor);
    if !is_held {
        *left = 0;
    }
    let ended = match walked {
        Ok(false) => {
            begun.fields = fields;
            work.begun = Some(begun);
            return survivor;
        }
        Ok(true) => begun
            .rewriting
            .finish(batch, &mut scratch.batch, &mut work.out),
        Err(error) => Err(error),
    };
    match ended {
        Ok(rewritten) => {
            let lies = !matches!(rewritten, Rewritten::Replaced { .. });
            work.end_batch(batch, &begun.header, fields, lies);
            counts.masked_fields = counts.masked_fields.saturating_add(u64::from(fields));
        }
        Err(_) => work.end_before_batch(),
    }
    survivor
}
