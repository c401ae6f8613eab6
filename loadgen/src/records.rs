//! Record batches to produce, made from a seed.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record,
    RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use sluice_kafka::codec::{Codec, Contexts};
use sluice_kafka::limits::{BATCH_HEADER_BYTES, BATCH_PREFIX_BYTES};
use sluice_kafka::messages::StrBytes;
use sluice_kafka::record_batch::{Batch, Records};

use crate::Error;
use crate::limits::BATCH_BYTES_MAX;
use crate::order::{ORDER_BYTES, order};
use crate::plan::Payload;
use crate::random::{Random, spread};
use crate::sizes::Sizes;

/// Where a batch header holds its checksum, and where what it covers begins: the attributes, whose low bits name the codec.
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;

/// What records look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    pub payload: Payload,
    /// Of each value.
    pub sizes: Sizes,
    pub keys: Keys,
    pub headers: Headers,
    pub codec: Codec,
}

/// Keys of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    None,
    /// Letters, drawn once for each prepared record.
    Letters {
        bytes: usize,
    },
    /// Digits: so many different ones, drawn for each record; `None`: none comes twice in a run.
    Digits {
        bytes: usize,
        different: Option<u64>,
    },
}

/// Headers of each record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Headers {
    pub count: usize,
    /// Bytes of each value.
    pub bytes: usize,
}

impl Shape {
    /// Values of this many letters, without keys and headers, not compressed.
    pub fn text(value_bytes: usize) -> Self {
        Self {
            payload: Payload::Text,
            sizes: Sizes::Fixed(value_bytes),
            keys: Keys::None,
            headers: Headers::default(),
            codec: Codec::None,
        }
    }

    /// At most so many bytes in a batch, before it is compressed.
    pub(crate) fn batch_bytes_max(&self, records_count: usize) -> usize {
        let headers = self.headers.count.saturating_mul(self.headers.bytes + 16);
        let value = match self.payload {
            Payload::Text => self.sizes.max(),
            Payload::Json => self.sizes.max().max(ORDER_BYTES),
        };
        let record = value + self.keys.bytes() + headers + 64;
        record.saturating_mul(records_count)
    }

    /// Whether one batch is as good as many.
    pub(crate) fn is_always_alike(&self) -> bool {
        let drawn = matches!(self.keys, Keys::Digits { .. }) && self.codec != Codec::None;
        self.payload == Payload::Text && matches!(self.sizes, Sizes::Fixed(_)) && !drawn
    }

    /// What reports say beside the size of values.
    pub(crate) fn words(&self, seed: u64) -> String {
        let mut words = String::new();
        if self.payload == Payload::Json {
            words.push_str(", JSON");
        }
        let bytes = self.keys.bytes();
        let keys = match self.keys {
            Keys::None => String::new(),
            Keys::Letters { .. } => format!(", keys of {bytes} bytes"),
            Keys::Digits {
                different: Some(different),
                ..
            } => format!(", {different} different keys of {bytes} bytes"),
            Keys::Digits {
                different: None, ..
            } => format!(", keys of {bytes} bytes that come once"),
        };
        words.push_str(&keys);
        if self.headers.count > 0 {
            let Headers { count, bytes } = self.headers;
            words.push_str(&format!(", {count} headers of {bytes} bytes"));
        }
        if self.codec != Codec::None {
            words.push_str(&format!(", {}", self.codec.name()));
        }
        if !self.is_always_alike() || matches!(self.keys, Keys::Digits { .. }) {
            words.push_str(&format!(", seed {seed}"));
        }
        words
    }
}

impl Keys {
    fn bytes(self) -> usize {
        match self {
            Self::None => 0,
            Self::Letters { bytes } | Self::Digits { bytes, .. } => bytes,
        }
    }
}

/// What the records of one connection are made from, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Maker {
    random: Random,
    next: u64,
    step: u64,
}

impl Maker {
    /// For the connection of this index among so many: each has its own numbers.
    pub(crate) fn new(seed: u64, connection: usize, connections_count: usize) -> Self {
        Self {
            random: Random::new(spread(seed).wrapping_add(connection as u64)),
            next: connection as u64,
            step: connections_count.max(1) as u64,
        }
    }

    /// One that no other record of the run has.
    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next = number.wrapping_add(self.step);
        number
    }

    /// That of the next key.
    pub(crate) fn key_number(&mut self, different: Option<u64>) -> u64 {
        match different {
            Some(different) => self.random.below(different),
            None => self.number(),
        }
    }
}

/// A batch of `count` records. JSON values are at least as long as their fields need.
pub(crate) fn batch(
    shape: &Shape,
    count: usize,
    timestamp_ms: i64,
    maker: &mut Maker,
) -> Result<Bytes, Error> {
    if shape.batch_bytes_max(count) > BATCH_BYTES_MAX {
        let fault = format!(
            "a batch of {count} records of up to {} bytes is longer than {BATCH_BYTES_MAX} bytes",
            shape.batch_bytes_max(1)
        );
        return Err(Error::OperatorArgument(format!(
            "{fault}; lower --records-per-batch or --record-bytes"
        )));
    }
    let records: Vec<Record> = (0..count)
        .map(|index| Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            timestamp_type: TimestampType::Creation,
            offset: index as i64,
            // The encoder puts records into one batch if their sequences rise with their offsets; the first one is written.
            sequence: NO_SEQUENCE.saturating_add(index as i32),
            timestamp: timestamp_ms,
            key: key(shape.keys, maker),
            value: Some(value(shape, maker)),
            headers: (0..shape.headers.count)
                .map(|index| {
                    let value = letters(shape.headers.bytes, &mut maker.random);
                    (
                        StrBytes::from_string(format!("header-{index}")),
                        Some(value),
                    )
                })
                .collect(),
        })
        .collect();
    let mut batch = BytesMut::new();
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    RecordBatchEncoder::encode(&mut batch, &records, &options)
        .map_err(|_| Error::GeneratorBroken)?;
    match shape.codec {
        Codec::None => Ok(batch.freeze()),
        codec => compressed(&batch, codec),
    }
}

/// Writes keys of digits anew into a batch that is not compressed, and makes its checksum right.
pub(crate) fn renumber(batch: &mut [u8], keys: &[Range<usize>], mut number: impl FnMut() -> u64) {
    for key in keys {
        if let Some(key) = batch.get_mut(key.clone()) {
            put_digits(number(), key);
        }
    }
    if batch.len() > ATTRIBUTES_AT {
        let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
        batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
    }
}

/// Where the keys of a batch lie that is not compressed.
pub(crate) fn key_places(batch: &[u8]) -> Result<Vec<Range<usize>>, Error> {
    let parsed = Batch::parse(batch).map_err(|_| Error::GeneratorBroken)?;
    let area = parsed.record_area();
    let mut places = Vec::new();
    for record in Records::new(area, parsed.header.record_count) {
        let record = record.map_err(|_| Error::GeneratorBroken)?;
        let key = record.key.ok_or(Error::GeneratorBroken)?;
        places.push(BATCH_HEADER_BYTES + key.start..BATCH_HEADER_BYTES + key.end);
    }
    Ok(places)
}

/// The same batch with its records compressed: the gateway's own codecs, which Kafka's clients read.
fn compressed(batch: &[u8], codec: Codec) -> Result<Bytes, Error> {
    let (header, records) = batch
        .split_at_checked(BATCH_HEADER_BYTES)
        .ok_or(Error::GeneratorBroken)?;
    let mut out = header.to_vec();
    codec
        .compress(records, &mut Contexts::default(), &mut out)
        .map_err(|_| Error::GeneratorBroken)?;
    let batch_length =
        i32::try_from(out.len() - BATCH_PREFIX_BYTES).map_err(|_| Error::GeneratorBroken)?;
    out[BATCH_PREFIX_BYTES - 4..BATCH_PREFIX_BYTES].copy_from_slice(&batch_length.to_be_bytes());
    out[ATTRIBUTES_AT + 1] |= codec_bits(codec);
    let crc = crc32c::crc32c(&out[ATTRIBUTES_AT..]);
    out[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
    Ok(Bytes::from(out))
}

/// As Kafka numbers them.
fn codec_bits(codec: Codec) -> u8 {
    match codec {
        Codec::None => 0,
        Codec::Gzip => 1,
        Codec::Snappy => 2,
        Codec::Lz4 => 3,
        Codec::Zstd => 4,
    }
}

fn key(keys: Keys, maker: &mut Maker) -> Option<Bytes> {
    match keys {
        Keys::None => None,
        Keys::Letters { bytes } => Some(letters(bytes, &mut maker.random)),
        Keys::Digits { bytes, different } => {
            let mut key = vec![b'0'; bytes];
            put_digits(maker.key_number(different), &mut key);
            Some(Bytes::from(key))
        }
    }
}

/// With zeros before them.
fn put_digits(mut number: u64, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn value(shape: &Shape, maker: &mut Maker) -> Bytes {
    let value_bytes = shape.sizes.one(&mut maker.random);
    if shape.payload == Payload::Text {
        return letters(value_bytes, &mut maker.random);
    }
    let number = maker.number();
    let mut text = order(number, &mut maker.random);
    let left = value_bytes.saturating_sub(text.len() + 2);
    maker.random.letters(left, &mut text);
    text.push_str("\"}");
    Bytes::from(text)
}

fn letters(count: usize, random: &mut Random) -> Bytes {
    let mut text = String::with_capacity(count);
    random.letters(count, &mut text);
    Bytes::from(text)
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
