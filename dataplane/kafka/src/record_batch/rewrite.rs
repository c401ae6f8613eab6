//! Changing values of a batch, and nothing else.
//!
//! Kept: base offset, last offset delta, leader epoch, attributes, timestamps, producer id, epoch and sequence, record count;
//! of each record its attributes, deltas, key and headers, byte for byte. Changed: the value, the two lengths around it, the
//! compressed block, the batch's length and CRC. The result is deterministic.

use std::ops::Range;

use super::records::{Header, Headers, Record, Records};
use super::{Batch, CRC_AT, CRC_FROM, LENGTH_AT};
use crate::codec::{Contexts, DecompressLimits};
use crate::limits::{BATCH_HEADER_BYTES, BATCH_PREFIX_BYTES};
use crate::writer::{put_varint, set_i32, varint_bytes};
use crate::{BatchError, Flaw, Malformed};

/// One record as [`rewrite_values`] shows it.
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

/// What becomes of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueVerdict {
    /// It stays; what was appended is dropped.
    Keep,
    /// What was appended takes its place.
    Replace,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewritten {
    /// Nothing was appended: the batch goes as it is. It has been read to its last byte, unless it is a control batch.
    Unchanged,
    /// A new batch was appended.
    Replaced {
        /// How many values it changed.
        values_count: usize,
    },
}

/// Buffers and codec state for [`rewrite_values`], reused from batch to batch.
#[derive(Debug, Default)]
pub struct Scratch {
    contexts: Contexts,
    plain: Vec<u8>,
    spliced: Vec<u8>,
    value: Vec<u8>,
}

impl Scratch {
    /// Gives memory back that a large batch left behind, down to `bytes_max` per buffer.
    pub fn shrink(&mut self, bytes_max: usize) {
        for buffer in [&mut self.plain, &mut self.spliced, &mut self.value] {
            buffer.clear();
            buffer.shrink_to(bytes_max);
        }
    }
}

/// Shows every record of one batch to `verdict` and, if it replaces a value, appends the new batch to `out`.
///
/// `batch` is exactly one batch. `verdict` gets an empty vector for each record. Control batches and batches without records
/// are unchanged. `limits` bounds the decompressed records as well as the records after replacement.
///
/// # Errors
/// The batch does not read strictly (see the module above); nothing is appended then, and nothing of the batch may be passed
/// on. `verdict` may have been called.
pub fn rewrite_values(
    batch: &[u8],
    scratch: &mut Scratch,
    limits: &DecompressLimits,
    out: &mut Vec<u8>,
    mut verdict: impl FnMut(RecordView<'_>, &mut Vec<u8>) -> ValueVerdict,
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
        value: replacement,
    } = scratch;
    let plain = batch.plain_records(limits, contexts, plain)?;
    spliced.clear();
    let mut copied_to: usize = 0;
    let mut values_count: usize = 0;
    for (ordinal, record) in Records::new(plain, header.record_count).enumerate() {
        let record = record?;
        replacement.clear();
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
        if verdict(view, replacement) == ValueVerdict::Keep {
            continue;
        }
        values_count = values_count.saturating_add(1);
        spliced.extend_from_slice(plain.get(copied_to..record.span.start).unwrap_or_default());
        put_record(plain, &record, replacement, ordinal, spliced)?;
        copied_to = record.span.end;
        if spliced.len() > limits.output_bytes_max {
            return Err(BatchError::Oversized {
                batch_bytes: spliced.len(),
            });
        }
    }
    if values_count == 0 {
        return Ok(Rewritten::Unchanged);
    }
    spliced.extend_from_slice(plain.get(copied_to..).unwrap_or_default());
    if spliced.len() > limits.output_bytes_max {
        return Err(BatchError::Oversized {
            batch_bytes: spliced.len(),
        });
    }

    let start = out.len();
    out.extend_from_slice(batch.bytes.get(..BATCH_HEADER_BYTES).unwrap_or_default());
    let sealed = codec
        .compress(spliced, contexts, out)
        .map_err(BatchError::from)
        .and_then(|()| seal(out.get_mut(start..).unwrap_or_default()));
    if let Err(error) = sealed {
        out.truncate(start);
        return Err(error);
    }
    Ok(Rewritten::Replaced { values_count })
}

/// Appends `record` with another value.
fn put_record(
    plain: &[u8],
    record: &Record,
    value: &[u8],
    ordinal: usize,
    out: &mut Vec<u8>,
) -> Result<(), BatchError> {
    let oversized = || BatchError::RecordMalformed {
        ordinal,
        malformed: Malformed {
            flaw: Flaw::CountOversized,
            at: record.span.start,
        },
    };
    let value_bytes = i32::try_from(value.len()).map_err(|_| oversized())?;
    let record_bytes = record
        .before_value
        .len()
        .saturating_add(varint_bytes(value_bytes))
        .saturating_add(value.len())
        .saturating_add(record.headers.len());
    put_varint(out, i32::try_from(record_bytes).map_err(|_| oversized())?);
    out.extend_from_slice(plain.get(record.before_value.clone()).unwrap_or_default());
    put_varint(out, value_bytes);
    out.extend_from_slice(value);
    out.extend_from_slice(plain.get(record.headers.clone()).unwrap_or_default());
    Ok(())
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
