//! Masks the records of a Fetch answer, a budget of bytes at a time, so that a large answer does not hold its shard.

use std::ops::Range;
use std::sync::Arc;

use sluice_kafka::ErrorCode;
use sluice_kafka::codec::DecompressLimits;
use sluice_kafka::frame::set_frame_length;
use sluice_kafka::record_batch::{self, BatchHeader, Rewriting, Rewritten, batches};
use sluice_kafka::views::fetch_response::{put_records_length, set_records_length};
use sluice_kafka::views::{FetchResponse, RecordsVerdict, TopicKey};
use sluice_masking::MaskPlan;
use sluice_policy::MaskPlanId;

use crate::apis::{PendingFetch, Places};
use crate::environment::Snapshot;
use crate::error::Close;
use crate::limits::{
    DECOMPRESSED_BATCH_BYTES_MAX, HELD_BATCH_BYTES_MAX, MASK_SCRATCH_BYTES_KEPT,
    MASK_TOKEN_COST_BYTES, SPLICED_PARTITIONS_MAX,
};
use crate::mask_record::{MaskCounts, Masker, RecordScratch};
use crate::memory::{AskedTopic, Pools};
use crate::outbox::{Outbox, Piece};
use crate::record::Delivered;
use crate::spare::Spare;

/// Masking of one Fetch answer; one without a snapshot is of no use but for its memory.
#[derive(Default)]
pub(crate) struct MaskJob {
    snapshot: Option<Arc<Snapshot>>,
    pending: PendingFetch,
    correlation_id: i32,
    /// Nothing but records has to change.
    records_only: bool,
    /// Partitions of the answer that are masked.
    masked_count: usize,
    /// Sorted by what names the topic.
    masks: Vec<(AskedTopic, MaskPlanId)>,
    delivered: Vec<Delivered>,
    /// In the order of the answer, once it is planned.
    work: Vec<Work>,
    is_planned: bool,
    at: usize,
    survivor: Option<&'static str>,
    counts: MaskCounts,
}

/// One partition's records.
#[derive(Debug)]
pub(crate) struct Work {
    topic: AskedTopic,
    partition: i32,
    plan: MaskPlanId,
    /// Where their length is written.
    length: Range<usize>,
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
#[derive(Debug)]
struct Begun {
    rewriting: Rewriting,
    header: BatchHeader,
    batch_bytes: usize,
    /// Replaced in it so far.
    fields: u32,
}

/// Short records may grow to many times their length, long ones do not: from there on a buffer grows when it must.
const GROWTH_EIGHTHS_MAX: usize = 32;
const GROWTH_BYTES_MAX: usize = 256 * 1024;

/// A buffer with more room left than this goes without it: it may wait long for a slow client.
const UNUSED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The longest that the length of records is written.
const LENGTH_BYTES_MAX: usize = 5;

/// Codec contexts and buffers for masking, one for each shard: they are of no use to a job between two steps.
#[derive(Default)]
pub struct MaskScratch {
    batch: record_batch::Scratch,
    record: RecordScratch,
    pub(crate) spare: Spare,
    /// By how many eighths the records of a partition have grown lately.
    growth_eighths: usize,
}

impl MaskScratch {
    /// For what masking makes of so many bytes of records. Tokens are mostly longer than what they stand for.
    fn buffer(&mut self, records_bytes: usize) -> Vec<u8> {
        let expected = records_bytes.saturating_mul(self.growth_eighths) / 8;
        // What other topics grew by is a guess, and no reason to take much.
        let growth = expected.min(GROWTH_BYTES_MAX).max(records_bytes / 8);
        let bytes = records_bytes.saturating_add(growth);
        self.spare.take(bytes.saturating_add(LENGTH_BYTES_MAX))
    }

    /// Learns what became of so many bytes of records; forgets a larger growth by and by.
    fn grown(&mut self, records_bytes: usize, out_bytes: usize) {
        let grown = out_bytes.saturating_sub(records_bytes);
        let eighths = grown.saturating_mul(8).div_ceil(records_bytes.max(1));
        let before = self.growth_eighths.saturating_sub(1);
        self.growth_eighths = eighths.clamp(before, GROWTH_EIGHTHS_MAX.max(before));
    }

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
    /// The masked topics and their plans come with the number of partitions that the answer holds of these.
    pub(crate) fn new(
        pools: &mut Pools,
        snapshot: Arc<Snapshot>,
        pending: PendingFetch,
        correlation_id: i32,
        records_only: bool,
        (mut masks, masked_count): (Vec<(AskedTopic, MaskPlanId)>, usize),
        delivered: Vec<Delivered>,
    ) -> Box<Self> {
        masks.sort_unstable_by(|(a, _), (b, _)| a.key().cmp(&b.key()));
        let mut job = pools.mask_job.take().unwrap_or_default();
        *job = Self {
            snapshot: Some(snapshot),
            pending,
            correlation_id,
            records_only,
            masked_count,
            masks,
            delivered,
            work: pools.work.take(),
            ..Self::default()
        };
        job
    }

    /// Its memory serves the next.
    pub(crate) fn give_back(mut self: Box<Self>, pools: &mut Pools) {
        let done = std::mem::take(&mut *self);
        done.pending.give_back(pools);
        pools.masks.give_back(done.masks);
        pools.delivered.give_back(done.delivered);
        if done.work.capacity() <= SPLICED_PARTITIONS_MAX {
            pools.work.give_back(done.work);
        }
        pools.mask_job = Some(self);
    }

    /// Masks up to about `budget` bytes of `frame`, the broker's answer; says whether all is done. Takes the same frame
    /// each time, in which it patches what is as long masked as it was.
    pub(crate) fn step(
        &mut self,
        frame: &mut [u8],
        budget: usize,
        scratch: &mut MaskScratch,
    ) -> bool {
        if !self.is_planned {
            self.plan_work(frame);
        }
        let mut left = budget;
        while left > 0 {
            let Some(work) = self.work.get_mut(self.at) else {
                return true;
            };
            let records = frame.get_mut(work.records.clone()).unwrap_or_default();
            let rest = records.get_mut(work.done..).unwrap_or_default();
            let snapshot = self.snapshot.as_ref();
            let Some(plan) = snapshot.and_then(|snapshot| snapshot.plan(work.plan)) else {
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
            if work.begun.is_none() && work.done > work.kept {
                scratch.grown(work.done.saturating_sub(work.kept), work.out.len());
            }
            self.survivor = self.survivor.or(survivor);
            scratch.batch.shrink(MASK_SCRATCH_BYTES_KEPT);
            scratch.record.shrink(MASK_SCRATCH_BYTES_KEPT);
        }
        self.at >= self.work.len()
    }

    /// Memory that the job holds between two steps.
    pub(crate) fn held_bytes(&self) -> usize {
        let held = self.work.iter().map(|work| {
            let begun = work.begun.as_ref();
            let begun = begun.map_or(0, |begun| begun.rewriting.held_bytes());
            work.out.capacity().saturating_add(begun)
        });
        let out: usize = held.sum();
        out.saturating_add(self.pending.bytes())
    }

    /// Memory that the answer takes beside that, once it is made from `frame`.
    pub(crate) fn answer_bytes(&self, frame: &[u8]) -> usize {
        match self.is_spliced() {
            true => 0,
            false => self.merged_bytes(frame),
        }
    }

    /// Whether the answer goes from where it lies, but for records that others stand for.
    fn is_spliced(&self) -> bool {
        self.records_only
            && self.work.len() <= SPLICED_PARTITIONS_MAX
            && self.work.iter().all(|work| work.error.is_none())
    }

    /// Sends the client's answer, which lies at `at` in the shell's read buffer as far as it is the broker's, and says what was
    /// done; of what it delivers tells [`Self::delivered`].
    pub(crate) fn finish(
        &mut self,
        at: usize,
        frame: &mut [u8],
        scratch: &mut MaskScratch,
        mut send: impl FnMut(Piece),
    ) -> Result<MaskCounts, Close> {
        if let Some(survivor) = self.survivor {
            return Err(Close::Internal(survivor));
        }
        if self.is_spliced() {
            self.splice(at, frame, send);
        } else {
            send(Piece::Owned(self.merge(frame, scratch)?));
        }
        for work in self.work.drain(..) {
            scratch.spare.give_back(work.out);
            self.delivered.push(work.delivered);
        }
        let delivered = &mut self.delivered;
        delivered.retain(|delivered| delivered.records_count > 0 || delivered.error != 0);
        Ok(self.counts)
    }

    /// What the answer delivers, once it is finished.
    pub(crate) fn delivered(&self) -> &[Delivered] {
        &self.delivered
    }

    /// Sends the broker's answer with other records in it, and sets the lengths that speak of them.
    fn splice(&mut self, at: usize, frame: &mut [u8], mut send: impl FnMut(Piece)) {
        let version = self.pending.version();
        let lies = |range: Range<usize>| Piece::Read {
            start: at.saturating_add(range.start),
            end: at.saturating_add(range.end),
        };
        let (mut replaced_bytes, mut new_bytes): (usize, usize) = (0, 0);
        let mut sent = 0;
        for work in self.work.iter_mut().filter(|work| !work.is_in_place()) {
            let records_bytes = work.kept.saturating_add(work.out.len());
            replaced_bytes = replaced_bytes.saturating_add(work.records.len());
            new_bytes = new_bytes.saturating_add(records_bytes);
            let mut out = std::mem::take(&mut work.out);
            if !set_records_length(frame, version, work.length.clone(), records_bytes) {
                // It is written in more bytes than the broker's: it goes before what it is the length of.
                let mut apart = Vec::new();
                let place = if work.kept == 0 { &mut out } else { &mut apart };
                let before = place.len();
                put_records_length(version, records_bytes, place);
                let length_bytes = place.len().saturating_sub(before);
                replaced_bytes = replaced_bytes.saturating_add(work.length.len());
                new_bytes = new_bytes.saturating_add(length_bytes);
                send(lies(sent..work.length.start));
                sent = work.records.start;
                if work.kept > 0 {
                    send(Piece::Owned(apart));
                }
            }
            let kept = sent..work.records.start.saturating_add(work.kept);
            if !kept.is_empty() {
                send(lies(kept));
            }
            if out.is_empty() {
                work.out = out; // its room serves the next
            } else {
                if out.capacity().saturating_sub(out.len()) > UNUSED_BYTES_MAX {
                    out.shrink_to_fit();
                }
                send(Piece::Owned(out));
            }
            sent = work.records.end;
        }
        if sent < frame.len() {
            send(lies(sent..frame.len()));
        }
        let frame_bytes = frame.len().saturating_add(new_bytes);
        set_frame_length(frame, frame_bytes.saturating_sub(replaced_bytes));
    }

    fn merge(&mut self, frame: &[u8], scratch: &mut MaskScratch) -> Result<Vec<u8>, Close> {
        let mut out = scratch.spare.take(self.merged_bytes(frame));
        let mut work = std::mem::take(&mut self.work);
        let mut places = Places::default();
        let merged = self.pending.merge(
            self.correlation_id,
            frame,
            |topic, partition, records, out| {
                if self.mask_of(topic).is_none() {
                    return RecordsVerdict::Keep;
                }
                let found = places.find(&work, (topic, partition.index), |work| {
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
        );
        self.work = work;
        merged.map(|()| out)
    }

    /// The topic and its plan, if it is masked.
    fn mask_of(&self, topic: TopicKey<'_>) -> Option<&(AskedTopic, MaskPlanId)> {
        let found = self
            .masks
            .binary_search_by(|(masked, _)| masked.key().cmp(&topic));
        found.ok().and_then(|at| self.masks.get(at))
    }

    fn plan_work(&mut self, frame: &[u8]) {
        self.is_planned = true;
        let Ok(response) = FetchResponse::parse(frame, self.pending.version()) else {
            self.survivor = Some("an answer cannot be read a second time");
            return;
        };
        let mut work = std::mem::take(&mut self.work);
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
                    length: partition.records_length_field().unwrap_or_default(),
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
        if work.len() != self.masked_count {
            self.survivor = Some("not all that is masked was found");
        }
        self.work = work;
    }

    /// Bytes of the answer that is made anew, with a few more for lengths that grew.
    fn merged_bytes(&self, frame: &[u8]) -> usize {
        let masked = self.work.iter();
        let masked: usize = masked
            .map(|work| work.kept.saturating_add(work.out.len()))
            .sum();
        let replaced: usize = self.work.iter().map(|work| work.records.len()).sum();
        frame
            .len()
            .saturating_sub(replaced)
            .saturating_add(self.work.len().saturating_mul(size_of::<u64>()))
            .saturating_add(masked)
    }
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
                work.out = scratch.buffer(rest.len());
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
