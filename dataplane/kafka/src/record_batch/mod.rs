//! Record batches, magic 2 (the protocol guide's record batch format; KIP-98).
//!
//! Reading is stricter than a consumer's: each record fills exactly what it announces, the announced number of records is
//! there, and no byte is left over, neither in the record area nor in the compressed stream. What does not read so is an
//! error, never something to pass on.

mod records;
mod rewrite;
mod rewriting;

pub use records::{Header, Headers, Record, Records};
pub use rewrite::{
    NewHeaders, NewParts, PartVerdict, RecordVerdict, RecordView, Rewritten, Scratch,
    rewrite_records,
};
pub use rewriting::Rewriting;

use crate::BatchError;
use crate::codec::{Codec, Contexts, DecompressLimits};
use crate::limits::{BATCH_HEADER_BYTES, BATCH_LENGTH_MIN, BATCH_PREFIX_BYTES};
use crate::reader::Reader;

/// Offset of the batch's length field.
const LENGTH_AT: usize = 8;
/// Offset of the CRC-32C.
const CRC_AT: usize = 17;
/// The CRC covers everything from here.
const CRC_FROM: usize = 21;

/// The fixed fields of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: i64,
    /// Bytes after the length field; at least 49.
    pub batch_length: i32,
    pub partition_leader_epoch: i32,
    pub crc: u32,
    pub attributes: i16,
    /// Offset of the last record, from the base offset; stays when compaction removes records.
    pub last_offset_delta: i32,
    /// Milliseconds since the epoch; the time of the delete horizon if attribute bit 6 is set.
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    /// -1 for a producer without an id.
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// -1 for a producer without an id.
    pub base_sequence: i32,
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header that `bytes` starts with; the rest of the batch need not be there.
    ///
    /// # Errors
    /// [`BatchError::Truncated`] if fewer than 61 bytes are there; another magic; a length under 49.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let mut reader = Reader::new(bytes, 0);
        let truncated = |_| BatchError::Truncated;
        let base_offset = reader.i64().map_err(truncated)?;
        let batch_length = reader.i32().map_err(truncated)?;
        let partition_leader_epoch = reader.i32().map_err(truncated)?;
        let magic = reader.i8().map_err(truncated)?;
        if magic != 2 {
            return Err(BatchError::MagicUnsupported { magic });
        }
        if batch_length < BATCH_LENGTH_MIN {
            return Err(BatchError::LengthInvalid { batch_length });
        }
        let mut rest = || -> Result<Self, crate::Malformed> {
            Ok(Self {
                base_offset,
                batch_length,
                partition_leader_epoch,
                crc: reader.u32()?,
                attributes: reader.i16()?,
                last_offset_delta: reader.i32()?,
                base_timestamp: reader.i64()?,
                max_timestamp: reader.i64()?,
                producer_id: reader.i64()?,
                producer_epoch: reader.i16()?,
                base_sequence: reader.i32()?,
                record_count: reader.i32()?,
            })
        };
        rest().map_err(truncated)
    }

    /// Bytes of the whole batch, this header included.
    pub fn batch_bytes(&self) -> usize {
        usize::try_from(self.batch_length)
            .unwrap_or(0)
            .saturating_add(BATCH_PREFIX_BYTES)
    }

    /// How its records are compressed.
    pub fn codec(&self) -> Result<Codec, BatchError> {
        Ok(Codec::from_attributes(self.attributes)?)
    }

    /// Whether all records count as written at `max_timestamp` (LogAppendTime).
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & 0x08 != 0
    }

    /// Whether it belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & 0x10 != 0
    }

    /// Whether it holds a transaction marker instead of records. Such a batch is never changed.
    pub fn is_control(&self) -> bool {
        self.attributes & 0x20 != 0
    }

    /// Offset of its last record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset
            .saturating_add(self.last_offset_delta.into())
    }
}

/// One whole batch.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    pub header: BatchHeader,
    /// All its bytes.
    pub bytes: &'a [u8],
    /// Where it starts in the records given to [`batches`].
    pub at: usize,
}

impl<'a> Batch<'a> {
    /// Takes `bytes` for one batch and nothing else.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        match header.batch_bytes().cmp(&bytes.len()) {
            std::cmp::Ordering::Equal => Ok(Self {
                header,
                bytes,
                at: 0,
            }),
            std::cmp::Ordering::Greater => Err(BatchError::Truncated),
            std::cmp::Ordering::Less => Err(BatchError::LengthInvalid {
                batch_length: header.batch_length,
            }),
        }
    }

    /// Its records as they are stored: plain or compressed.
    pub fn record_area(&self) -> &'a [u8] {
        self.bytes.get(BATCH_HEADER_BYTES..).unwrap_or_default()
    }

    /// Compares the stored CRC-32C with the bytes.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let computed = crc32c::crc32c(self.bytes.get(CRC_FROM..).unwrap_or_default());
        if computed == self.header.crc {
            Ok(())
        } else {
            Err(BatchError::CrcMismatch {
                stored: self.header.crc,
                computed,
            })
        }
    }

    /// Its records' plain bytes: borrowed if they are not compressed, else decompressed into `plain`.
    pub fn plain_records<'s>(
        &self,
        limits: &DecompressLimits,
        contexts: &mut Contexts,
        plain: &'s mut Vec<u8>,
    ) -> Result<&'s [u8], BatchError>
    where
        'a: 's,
    {
        match self.header.codec()? {
            Codec::None => Ok(self.record_area()),
            codec => {
                codec.decompress(self.record_area(), limits, contexts, plain)?;
                Ok(plain)
            }
        }
    }
}

/// Walks the batches of one partition's records.
///
/// A Fetch answer may end inside a batch. The walk stops there without an error, and [`Batches::truncated_tail`] says where.
pub fn batches(records: &[u8]) -> Batches<'_> {
    Batches {
        records,
        at: 0,
        tail: None,
    }
}

/// See [`batches`].
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    records: &'a [u8],
    at: usize,
    tail: Option<usize>,
}

impl Batches<'_> {
    /// After the walk: where the incomplete batch starts, if there is one. Everything before it is whole batches.
    pub fn truncated_tail(&self) -> Option<usize> {
        self.tail
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<Batch<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self
            .records
            .get(self.at..)
            .filter(|rest| !rest.is_empty())?;
        let at = self.at;
        // Whatever happens next but a whole batch ends the walk.
        self.at = self.records.len();
        match BatchHeader::parse(rest) {
            Err(BatchError::Truncated) => {
                self.tail = Some(at);
                None
            }
            Err(error) => Some(Err(error)),
            Ok(header) => match rest.get(..header.batch_bytes()) {
                Some(bytes) => {
                    self.at = at.saturating_add(bytes.len());
                    Some(Ok(Batch { header, bytes, at }))
                }
                None => {
                    self.tail = Some(at);
                    None
                }
            },
        }
    }
}
