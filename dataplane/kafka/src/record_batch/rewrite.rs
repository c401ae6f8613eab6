//! Changing keys, values and headers of records, and nothing else.
//!
//! Kept: base offset, last offset delta, leader epoch, attributes, timestamps, producer id, epoch and sequence, record count;
//! of each record its attributes, its deltas, and each part that is not replaced, byte for byte. Changed: the parts, the lengths
//! around them, the compressed block, the batch's length and CRC. The result is deterministic.

use std::ops::Range;

use super::records::{Header, Headers, Record, Records};
use super::{Batch, BatchHeader, CRC_AT, CRC_FROM, LENGTH_AT};
use crate::codec::{Codec, Contexts, DecompressLimits};
use crate::limits::{BATCH_HEADER_BYTES, BATCH_PREFIX_BYTES};
use crate::writer::{put_varint, set_i32, varint_bytes};
use crate::{BatchError, Flaw, Malformed};

/// One record as [`rewrite_records`] shows it.
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    /// Place in the batch, from 0.
    pub ordinal: usize,
    pub offset: i64,
    pub key: Option<&'a [u8]>,
    /// `None` for a tombstone.
    pub value: Option<&'a [u8]>,
    plain: &'a [u8],
    record: &'a Record,
}

impl<'a> RecordView<'a> {
    /// Its headers, in order, repeated keys included.
    pub fn headers(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        Headers::new(self.plain, self.record)
    }
}

/// What becomes of one part of a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PartVerdict {
    /// It stays; what was appended is dropped.
    #[default]
    Keep,
    /// What was appended takes its place.
    Replace,
}

/// What becomes of one record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordVerdict {
    pub key: PartVerdict,
    pub value: PartVerdict,
    /// All of them together.
    pub headers: PartVerdict,
}

/// The new parts of one record, empty at first.
#[derive(Debug, Default)]
pub struct NewParts {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub headers: NewHeaders,
}

/// Headers in the making.
#[derive(Debug, Default)]
pub struct NewHeaders {
    count: i32,
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl NewHeaders {
    /// Adds one header behind those that are there. Once they are longer than the batch may be, nothing more is added, and
    /// the batch is refused.
    pub fn push(&mut self, header: Header<'_>) {
        if self.is_oversized() {
            return;
        }
        self.count = self.count.saturating_add(1);
        put_bytes(&mut self.bytes, Some(header.key.as_bytes()));
        put_bytes(&mut self.bytes, header.value);
    }

    /// Whether what was added is more than may leave.
    pub fn is_oversized(&self) -> bool {
        self.bytes.len() > self.bytes_max
    }
}

impl NewParts {
    fn clear(&mut self, bytes_max: usize) {
        self.headers.bytes_max = bytes_max;
        self.key.clear();
        self.value.clear();
        self.headers.count = 0;
        self.headers.bytes.clear();
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewritten {
    /// Nothing was appended: the batch goes as it is. It has been read to its last byte, unless it is a control batch.
    Unchanged,
    /// A new batch was appended.
    Replaced {
        /// How many records it changed.
        records_count: usize,
    },
}

/// Buffers and codec state for [`rewrite_records`], reused from batch to batch.
#[derive(Debug, Default)]
pub struct Scratch {
    contexts: Contexts,
    plain: Vec<u8>,
    spliced: Vec<u8>,
    parts: NewParts,
}

impl Scratch {
    /// What the last batch was decompressed to; 0 if it was not compressed.
    #[must_use]
    pub fn decompressed_bytes(&self) -> usize {
        self.plain.len()
    }

    /// Gives memory back that a large batch left behind, down to `bytes_max` per buffer.
    pub fn shrink(&mut self, bytes_max: usize) {
        let NewParts {
            key,
            value,
            headers,
        } = &mut self.parts;
        let buffers = [&mut self.plain, &mut self.spliced];
        for buffer in buffers.into_iter().chain([key, value, &mut headers.bytes]) {
            buffer.clear();
            buffer.shrink_to(bytes_max);
        }
    }
}

/// Shows every record of one batch to `verdict` and, if it replaces a part, appends the new batch to `out`.
///
/// `batch` is exactly one batch. `verdict` gets empty parts for each record. Control batches and batches without records
/// are unchanged. `limits` bounds the decompressed records as well as the records after replacement.
///
/// # Errors
/// The batch does not read strictly (see the module above); nothing is appended then, and nothing of the batch may be passed
/// on. `verdict` may have been called.
pub fn rewrite_records(
    batch: &[u8],
    scratch: &mut Scratch,
    limits: &DecompressLimits,
    out: &mut Vec<u8>,
    mut verdict: impl FnMut(RecordView<'_>, &mut NewParts) -> RecordVerdict,
) -> Result<Rewritten, BatchError> {
    let batch = Batch::parse(batch)?;
    batch.verify_crc()?;
    let header = &batch.header;
    if header.is_control() || (header.record_count == 0 && batch.record_area().is_empty()) {
        return Ok(Rewritten::Unchanged);
    }
    let codec = header.codec()?;
    let Scratch {
        contexts,
        plain,
        spliced,
        parts,
    } = scratch;
    plain.clear();
    let plain = batch.plain_records(limits, contexts, plain)?;
    let start = out.len();
    out.extend_from_slice(batch.bytes.get(..BATCH_HEADER_BYTES).unwrap_or_default());
    spliced.clear();
    let rewritten = match codec {
        // Written where they stay.
        Codec::None => splice(header, plain, parts, limits, out, &mut verdict),
        codec => splice(header, plain, parts, limits, spliced, &mut verdict).and_then(|count| {
            if count > 0 {
                codec.compress(spliced, contexts, out)?;
            }
            Ok(count)
        }),
    };
    let sealed = rewritten.and_then(|count| {
        if count > 0 {
            seal(out.get_mut(start..).unwrap_or_default())?;
        }
        Ok(count)
    });
    if sealed.as_ref().map_or(true, |count| *count == 0) {
        out.truncate(start);
    }
    Ok(match sealed? {
        0 => Rewritten::Unchanged,
        records_count => Rewritten::Replaced { records_count },
    })
}

/// Appends the plain records with the parts that `verdict` replaces, and answers of how many records it replaced some. If of
/// none, what was appended is of no use.
fn splice(
    header: &BatchHeader,
    plain: &[u8],
    parts: &mut NewParts,
    limits: &DecompressLimits,
    out: &mut Vec<u8>,
    verdict: &mut impl FnMut(RecordView<'_>, &mut NewParts) -> RecordVerdict,
) -> Result<usize, BatchError> {
    let start = out.len();
    let bounded = |out: &Vec<u8>| match out.len().saturating_sub(start) {
        batch_bytes if batch_bytes > limits.output_bytes_max => {
            Err(BatchError::Oversized { batch_bytes })
        }
        _ => Ok(()),
    };
    let mut copied_to: usize = 0;
    let mut records_count: usize = 0;
    for (ordinal, record) in Records::new(plain, header.record_count).enumerate() {
        let record = record?;
        parts.clear(limits.output_bytes_max);
        let view = RecordView {
            ordinal,
            offset: header
                .base_offset
                .saturating_add(record.offset_delta.into()),
            key: part(plain, &record.key),
            value: part(plain, &record.value),
            plain,
            record: &record,
        };
        let verdict = verdict(view, parts);
        if parts.headers.is_oversized() {
            let batch_bytes = parts.headers.bytes.len();
            return Err(BatchError::Oversized { batch_bytes });
        }
        if verdict == RecordVerdict::default() {
            continue;
        }
        records_count = records_count.saturating_add(1);
        out.extend_from_slice(plain.get(copied_to..record.span.start).unwrap_or_default());
        put_record(plain, &record, verdict, parts, ordinal, out)?;
        copied_to = record.span.end;
        bounded(out)?;
    }
    if records_count > 0 {
        out.extend_from_slice(plain.get(copied_to..).unwrap_or_default());
        bounded(out)?;
    }
    Ok(records_count)
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
fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
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
