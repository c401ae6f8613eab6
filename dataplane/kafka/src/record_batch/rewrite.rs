//! Changing keys, values and headers of records, and nothing else.
//!
//! Kept: base offset, last offset delta, leader epoch, attributes, timestamps, producer id, epoch and sequence, record count;
//! of each record its attributes, its deltas, and each part that is not replaced, byte for byte. Changed: the parts, the lengths
//! around them, the compressed block, the batch's length and CRC. The result is deterministic.

use super::records::{Header, Headers, Record};
use super::rewriting::{Area, Rewriting, put_bytes};
use crate::BatchError;
use crate::codec::{Contexts, DecompressLimits};

/// One record as [`rewrite_records`] shows it.
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    /// Place in the batch, from 0.
    pub ordinal: usize,
    pub offset: i64,
    pub key: Option<&'a [u8]>,
    /// `None` for a tombstone.
    pub value: Option<&'a [u8]>,
    pub(super) plain: &'a [u8],
    pub(super) record: &'a Record,
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
    pub(super) count: i32,
    pub(super) bytes: Vec<u8>,
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
    pub(super) fn clear(&mut self, bytes_max: usize) {
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
    /// Parts were replaced by others of the same length where they lie: the batch is the new one. Only with [`Rewriting::in_place`].
    Patched {
        /// How many records it changed.
        records_count: usize,
    },
    /// A new batch was appended.
    Replaced {
        /// How many records it changed.
        records_count: usize,
    },
}

/// Buffers and codec state for [`rewrite_records`], reused from batch to batch.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) contexts: Contexts,
    pub(super) plain: Vec<u8>,
    pub(super) spliced: Vec<u8>,
    pub(super) parts: NewParts,
}

impl Scratch {
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

/// Shows every record of one batch to `verdict` and, if it replaces a part, appends the new batch to `out`: [`Rewriting`] in one go.
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
    let Some(mut rewriting) = Rewriting::begin(batch, scratch, limits)? else {
        return Ok(Rewritten::Unchanged);
    };
    let mut verdict = |record: RecordView<'_>, new: &mut NewParts| (verdict(record, new), 0);
    let (mut all, area) = (usize::MAX, &mut Area::Read(batch));
    let walked = rewriting.walk(area, &mut all, scratch, out, &mut verdict);
    rewriting.end(walked, area, scratch, out)
}
