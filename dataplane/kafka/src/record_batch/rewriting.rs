//! One batch on its way to other keys, values and headers, some records at a time.

use std::ops::Range;

use super::records::{Record, Records};
use super::rewrite::{NewParts, PartVerdict, RecordVerdict, RecordView, Rewritten, Scratch};
use super::{Batch, BatchHeader, CRC_AT, CRC_FROM, LENGTH_AT};
use crate::codec::{Codec, DecompressLimits};
use crate::limits::{BATCH_HEADER_BYTES, BATCH_PREFIX_BYTES};
use crate::reader::Reader;
use crate::writer::{put_varint, set_i32, varint_bytes};
use crate::{BatchError, Flaw, Malformed};

/// A batch that has been read to its last byte, and of which some records have been shown.
///
/// Step it until it says that all were, with the same batch and the same `out`, then finish it. Others may use the scratch
/// memory between two steps. What was appended to `out` before it is finished is of no use.
#[derive(Debug)]
pub struct Rewriting {
    header: BatchHeader,
    codec: Codec,
    limits: DecompressLimits,
    /// The records, if they are compressed in the batch.
    plain: Vec<u8>,
    /// The new ones, if they are to be compressed.
    spliced: Vec<u8>,
    way: Way,
    /// Where the next record starts.
    at: usize,
    seen: usize,
    /// Where the records end that `out` has a copy of, or another version.
    copied_to: usize,
    records_count: usize,
}

/// How parts are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Where they lie, as long as new ones are as long as the old.
    Patch,
    /// By records that are copied with other parts to here in `out`.
    Splice { start: usize },
}

/// The batch, and whether it may be changed.
pub(super) enum Area<'a> {
    Read(&'a [u8]),
    Change(&'a mut [u8]),
}

impl Area<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Area::Read(batch) => batch,
            Area::Change(batch) => batch,
        }
    }
}

impl Rewriting {
    /// Checks a batch and decompresses it. `None` of a control batch and of one without records: they are to stay.
    /// `limits` bounds the decompressed records as well as the records after replacement.
    ///
    /// # Errors
    /// It does not read strictly (see the module above).
    pub fn begin(
        batch: &[u8],
        scratch: &mut Scratch,
        limits: &DecompressLimits,
    ) -> Result<Option<Self>, BatchError> {
        let batch = Batch::parse(batch)?;
        batch.verify_crc()?;
        let header = batch.header;
        if header.is_control() || (header.record_count == 0 && batch.record_area().is_empty()) {
            return Ok(None);
        }
        let codec = header.codec()?;
        let mut plain = std::mem::take(&mut scratch.plain);
        plain.clear();
        let read = batch.plain_records(limits, &mut scratch.contexts, &mut plain);
        if let Err(error) = read.map(|_| ()) {
            scratch.plain = plain;
            return Err(error);
        }
        let mut spliced = std::mem::take(&mut scratch.spliced);
        spliced.clear();
        Ok(Some(Self {
            header,
            codec,
            limits: *limits,
            plain,
            spliced,
            way: Way::Splice { start: 0 },
            at: 0,
            seen: 0,
            copied_to: 0,
            records_count: 0,
        }))
    }

    /// Replaces parts where they lie while that is possible: the batch is not compressed, and new parts are as long as the
    /// old. Before the first step.
    #[must_use]
    pub fn in_place(mut self) -> Self {
        if self.codec == Codec::None {
            self.way = Way::Patch;
        }
        self
    }

    /// What it was decompressed to; 0 if it was not compressed.
    #[must_use]
    pub fn decompressed_bytes(&self) -> usize {
        self.plain.len()
    }

    /// Memory that it holds between two steps.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.plain
            .capacity()
            .saturating_add(self.spliced.capacity())
    }

    /// Shows records to `verdict`, with empty parts for each, until nothing is `left`: each takes its bytes, and what `verdict`
    /// says that it cost beside. Says whether all were shown.
    ///
    /// # Errors
    /// The batch does not read strictly; nothing of it may be passed on, and nothing of it is left in `out`.
    pub fn step(
        &mut self,
        batch: &mut [u8],
        left: &mut usize,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
        mut verdict: impl FnMut(RecordView<'_>, &mut NewParts) -> (RecordVerdict, usize),
    ) -> Result<bool, BatchError> {
        let walked = self.walk(&mut Area::Change(batch), left, scratch, out, &mut verdict);
        if walked.is_err() {
            self.drop_from(out);
        }
        walked
    }

    /// What became of the batch, all of whose records were shown.
    ///
    /// # Errors
    /// As [`Self::step`]; or the new batch is too long.
    pub fn finish(
        self,
        batch: &mut [u8],
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<Rewritten, BatchError> {
        self.end(Ok(true), &mut Area::Change(batch), scratch, out)
    }

    pub(super) fn walk(
        &mut self,
        batch: &mut Area<'_>,
        left: &mut usize,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
        verdict: &mut impl FnMut(RecordView<'_>, &mut NewParts) -> (RecordVerdict, usize),
    ) -> Result<bool, BatchError> {
        if self.seen == 0 && self.way != Way::Patch {
            self.way = Way::Splice { start: out.len() };
        }
        loop {
            let plain = match self.codec {
                Codec::None => batch.bytes().get(BATCH_HEADER_BYTES..).unwrap_or_default(),
                _ => &self.plain,
            };
            let mut records = Records::resume(plain, self.header.record_count, self.at, self.seen);
            let Some(record) = records.next() else {
                return Ok(true);
            };
            let record = record?;
            let parts = &mut scratch.parts;
            parts.clear(self.limits.output_bytes_max);
            let view = RecordView {
                ordinal: self.seen,
                offset: self
                    .header
                    .base_offset
                    .saturating_add(record.offset_delta.into()),
                key: part(plain, &record.key),
                value: part(plain, &record.value),
                plain,
                record: &record,
            };
            let (verdict, cost) = verdict(view, parts);
            if parts.headers.is_oversized() {
                let batch_bytes = parts.headers.bytes.len();
                return Err(BatchError::Oversized { batch_bytes });
            }
            if verdict != RecordVerdict::default() {
                self.replace(batch, &record, verdict, parts, out)?;
                self.records_count = self.records_count.saturating_add(1);
            }
            self.at = record.span.end;
            self.seen = self.seen.saturating_add(1);
            *left = left.saturating_sub(record.span.len()).saturating_sub(cost);
            if *left == 0 {
                return Ok(false);
            }
        }
    }

    fn replace(
        &mut self,
        batch: &mut Area<'_>,
        record: &Record,
        verdict: RecordVerdict,
        new: &NewParts,
        out: &mut Vec<u8>,
    ) -> Result<(), BatchError> {
        if self.way == Way::Patch {
            if let Area::Change(batch) = batch
                && patch(batch, record, verdict, new)
            {
                return Ok(());
            }
            // By copies from here on; what was patched is copied from where it lies.
            self.way = Way::Splice { start: out.len() };
        }
        let ordinal = self.seen;
        self.copy(batch.bytes(), record.span.clone(), out, |plain, out| {
            put_record(plain, record, verdict, new, ordinal, out)
        })
    }

    /// Copies what is before `span` and was not yet, and then what `put` appends in its place.
    fn copy(
        &mut self,
        batch: &[u8],
        span: Range<usize>,
        out: &mut Vec<u8>,
        put: impl FnOnce(&[u8], &mut Vec<u8>) -> Result<(), BatchError>,
    ) -> Result<(), BatchError> {
        let (header, area) = batch
            .split_at_checked(BATCH_HEADER_BYTES)
            .unwrap_or_default();
        let (plain, records, before) = match (self.codec, self.way) {
            // Written where they stay.
            (Codec::None, Way::Splice { start }) => {
                if out.len() == start {
                    out.extend_from_slice(header);
                }
                (area, out, start.saturating_add(BATCH_HEADER_BYTES))
            }
            _ => (self.plain.as_slice(), &mut self.spliced, 0),
        };
        records.extend_from_slice(plain.get(self.copied_to..span.start).unwrap_or_default());
        put(plain, records)?;
        self.copied_to = span.end;
        match records.len().saturating_sub(before) {
            batch_bytes if batch_bytes > self.limits.output_bytes_max => {
                Err(BatchError::Oversized { batch_bytes })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn end(
        mut self,
        walked: Result<bool, BatchError>,
        batch: &mut Area<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<Rewritten, BatchError> {
        let ended = walked.and_then(|_| self.seal(batch, scratch, out));
        if ended.is_err() {
            self.drop_from(out);
        }
        scratch.plain = self.plain;
        scratch.spliced = self.spliced;
        ended
    }

    fn seal(
        &mut self,
        batch: &mut Area<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<Rewritten, BatchError> {
        let records_count = self.records_count;
        if records_count == 0 {
            return Ok(Rewritten::Unchanged);
        }
        match (self.way, batch) {
            (Way::Patch, Area::Change(batch)) => {
                seal(batch)?;
                Ok(Rewritten::Patched { records_count })
            }
            // What is patched was to be changed.
            (Way::Patch, Area::Read(_)) => Ok(Rewritten::Unchanged),
            (Way::Splice { start }, batch) => {
                let batch = batch.bytes();
                let end = match self.codec {
                    Codec::None => batch.len().saturating_sub(BATCH_HEADER_BYTES),
                    _ => self.plain.len(),
                };
                self.copy(batch, end..end, out, |_, _| Ok(()))?;
                if self.codec != Codec::None {
                    out.extend_from_slice(batch.get(..BATCH_HEADER_BYTES).unwrap_or_default());
                    self.codec
                        .compress(&self.spliced, &mut scratch.contexts, out)?;
                }
                seal(out.get_mut(start..).unwrap_or_default())?;
                Ok(Rewritten::Replaced { records_count })
            }
        }
    }

    fn drop_from(&self, out: &mut Vec<u8>) {
        if let Way::Splice { start } = self.way {
            out.truncate(start);
        }
    }
}

/// Puts the new parts where the old ones are, if they are as long; else changes nothing.
fn patch(batch: &mut [u8], record: &Record, verdict: RecordVerdict, new: &NewParts) -> bool {
    let area = batch.get_mut(BATCH_HEADER_BYTES..).unwrap_or_default();
    // Behind their count, which is the same.
    let headers = record.headers.clone();
    let mut headers = Reader::new(area.get(..headers.end).unwrap_or_default(), headers.start);
    let counted = headers.varint().ok() == Some(new.headers.count);
    let headers = counted.then(|| headers.position()..record.headers.end);
    let parts = [
        (verdict.key, record.key.clone(), &new.key),
        (verdict.value, record.value.clone(), &new.value),
        (verdict.headers, headers, &new.headers.bytes),
    ];
    let replaced = || {
        let replaced = parts
            .iter()
            .filter(|(part, ..)| *part == PartVerdict::Replace);
        replaced.map(|(_, old, new)| (old.clone(), *new))
    };
    if !replaced().all(|(old, new)| old.is_some_and(|old| old.len() == new.len())) {
        return false;
    }
    for (old, new) in replaced() {
        if let Some(slot) = old.and_then(|old| area.get_mut(old)) {
            slot.copy_from_slice(new);
        }
    }
    true
}

/// Appends `record` with other parts.
fn put_record(
    plain: &[u8],
    record: &Record,
    verdict: RecordVerdict,
    new: &NewParts,
    ordinal: usize,
    out: &mut Vec<u8>,
) -> Result<(), BatchError> {
    let kept = |range: Range<usize>| plain.get(range).unwrap_or_default();
    let is_new = |part| part == PartVerdict::Replace;
    let key = kept(record.before_key.end..record.value_at);
    let value = kept(record.value_at..record.headers.start);
    let headers = kept(record.headers.clone());
    let counted = |count: i32, bytes: &[u8]| varint_bytes(count).saturating_add(bytes.len());
    let blob_bytes = |bytes: &[u8]| {
        i32::try_from(bytes.len())
            .map(|count| counted(count, bytes))
            .ok()
    };
    let parts_bytes = || -> Option<i32> {
        let key = if is_new(verdict.key) {
            blob_bytes(&new.key)?
        } else {
            key.len()
        };
        let value = if is_new(verdict.value) {
            blob_bytes(&new.value)?
        } else {
            value.len()
        };
        let headers = if is_new(verdict.headers) {
            counted(new.headers.count, &new.headers.bytes)
        } else {
            headers.len()
        };
        let bytes = record.before_key.len().checked_add(key)?;
        i32::try_from(bytes.checked_add(value)?.checked_add(headers)?).ok()
    };
    let record_bytes = parts_bytes().ok_or(BatchError::RecordMalformed {
        ordinal,
        malformed: Malformed {
            flaw: Flaw::CountOversized,
            at: record.span.start,
        },
    })?;
    put_varint(out, record_bytes);
    out.extend_from_slice(kept(record.before_key.clone()));
    for (verdict, kept, new) in [
        (verdict.key, key, &new.key),
        (verdict.value, value, &new.value),
    ] {
        if is_new(verdict) {
            put_bytes(out, Some(new));
        } else {
            out.extend_from_slice(kept);
        }
    }
    if is_new(verdict.headers) {
        put_varint(out, new.headers.count);
        out.extend_from_slice(&new.headers.bytes);
    } else {
        out.extend_from_slice(headers);
    }
    Ok(())
}

/// Length and bytes, or the length -1 for null. The length is known to be one.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            put_varint(out, i32::try_from(bytes.len()).unwrap_or(i32::MAX));
            out.extend_from_slice(bytes);
        }
        None => put_varint(out, -1),
    }
}

/// Writes the length and the CRC of a batch whose bytes are final.
fn seal(batch: &mut [u8]) -> Result<(), BatchError> {
    let length = batch.len().saturating_sub(BATCH_PREFIX_BYTES);
    let length = i32::try_from(length).map_err(|_| BatchError::Oversized {
        batch_bytes: batch.len(),
    })?;
    set_i32(batch, LENGTH_AT, length);
    let crc = crc32c::crc32c(batch.get(CRC_FROM..).unwrap_or_default());
    set_i32(batch, CRC_AT, crc as i32);
    Ok(())
}

fn part<'a>(plain: &'a [u8], range: &Option<Range<usize>>) -> Option<&'a [u8]> {
    plain.get(range.clone()?)
}
