//! Record batches to produce: built once per connection, from a fixed seed.

use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record,
    RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use sluice_kafka::codec::{Codec, Contexts};
use sluice_kafka::limits::{BATCH_HEADER_BYTES, BATCH_PREFIX_BYTES};

use crate::Error;
use crate::limits::BATCH_BYTES_MAX;
use crate::plan::Payload;

/// Where a batch header holds its checksum, and where what it covers begins: the attributes, whose low bits name the codec.
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;

/// What records look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    pub payload: Payload,
    /// Bytes of each value.
    pub value_bytes: usize,
    /// Bytes of each key; 0: records have none.
    pub key_bytes: usize,
    pub codec: Codec,
}

impl Shape {
    /// Values of this many letters, without keys and not compressed.
    pub fn text(value_bytes: usize) -> Self {
        Self {
            payload: Payload::Text,
            value_bytes,
            key_bytes: 0,
            codec: Codec::None,
        }
    }
}

/// A batch of `count` records with values of exactly `value_bytes` bytes (JSON values: at least what the fields need).
pub(crate) fn batch(
    shape: &Shape,
    count: usize,
    timestamp_ms: i64,
    seed: u64,
) -> Result<Bytes, Error> {
    let record_bytes = shape.value_bytes.saturating_add(shape.key_bytes);
    if record_bytes.saturating_add(64).saturating_mul(count) > BATCH_BYTES_MAX {
        let fault = format!(
            "a batch of {count} records of {record_bytes} bytes is longer than {BATCH_BYTES_MAX} bytes"
        );
        return Err(Error::OperatorArgument(format!(
            "{fault}; lower --records-per-batch or --record-bytes"
        )));
    }
    let mut letters = Letters::new(seed);
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
            key: key(shape.key_bytes, &mut letters),
            value: Some(value(shape, index, &mut letters)),
            headers: Default::default(),
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

fn key(key_bytes: usize, letters: &mut Letters) -> Option<Bytes> {
    if key_bytes == 0 {
        return None;
    }
    let mut text = String::with_capacity(key_bytes);
    letters.append(key_bytes, &mut text);
    Some(Bytes::from(text))
}

fn value(shape: &Shape, index: usize, letters: &mut Letters) -> Bytes {
    let mut text = String::with_capacity(shape.value_bytes);
    if shape.payload == Payload::Json {
        let head = order(index);
        text.push_str(&head);
        letters.append(shape.value_bytes.saturating_sub(head.len() + 2), &mut text);
        text.push_str("\"}");
    } else {
        letters.append(shape.value_bytes, &mut text);
    }
    Bytes::from(text)
}

/// A JSON order up to the text of its last field: 20 scalar fields with it, three of them personal.
fn order(index: usize) -> String {
    let cents = index % 100;
    format!(
        "{{\"id\":\"order-{index}\",\"placed_at\":\"2024-01-01T08:15:30Z\",\"status\":\"paid\",\"channel\":\"web\",\
         \"amount\":{amount}.{cents:02},\"currency\":\"EUR\",\
         \"customer\":{{\"id\":{index},\"name\":\"Ada {index}\",\"email\":\"ada{index}@example.com\",\"country\":\"FI\",\"returning\":true}},\
         \"payment\":{{\"method\":\"card\",\"card_number\":\"4111111111111111\",\"expires\":\"2027-11\"}},\
         \"items\":[{{\"sku\":\"a-{index}\",\"quantity\":1,\"price\":{amount}.{cents:02},\
         \"recipient\":{{\"name\":\"Ada {index}\",\"ssn\":\"078-05-1120\"}}}}],\"note\":\"",
        amount = index + 10
    )
}

/// Lower-case letters by xorshift.
struct Letters(u64);

impl Letters {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn append(&mut self, count: usize, out: &mut String) {
        for _ in 0..count {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            out.push(char::from(b'a' + ((self.0 >> 32) % 26) as u8));
        }
    }
}

#[cfg(test)]
mod tests {
    use sluice_kafka::codec::DecompressLimits;
    use sluice_kafka::record_batch::{Batch, Records};

    use super::*;

    fn json(codec: Codec) -> Shape {
        Shape {
            payload: Payload::Json,
            value_bytes: 1024,
            key_bytes: 12,
            codec,
        }
    }

    fn values(batch: &[u8]) -> Vec<Vec<u8>> {
        let parsed = Batch::parse(batch).unwrap();
        parsed.verify_crc().unwrap();
        let plain = parsed.record_area();
        Records::new(plain, parsed.header.record_count)
            .map(|record| plain[record.unwrap().value.unwrap()].to_vec())
            .collect()
    }

    fn scalars(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::Object(fields) => fields.values().map(scalars).sum(),
            serde_json::Value::Array(items) => items.iter().map(scalars).sum(),
            _ => 1,
        }
    }

    #[test]
    fn text_values_have_the_length_that_was_asked() {
        let batch = batch(&Shape::text(100), 7, 1, 42).unwrap();
        let values = values(&batch);
        assert_eq!(values.len(), 7);
        assert!(values.iter().all(|value| value.len() == 100));
        assert_ne!(values[0], values[1]);
    }

    #[test]
    fn json_values_are_20_fields_with_the_personal_ones() {
        let batch = batch(&json(Codec::None), 2, 1, 42).unwrap();
        for value in values(&batch) {
            assert_eq!(value.len(), 1024);
            let json: serde_json::Value = serde_json::from_slice(&value).unwrap();
            assert_eq!(scalars(&json), 20);
            assert!(json["customer"]["email"].is_string());
            assert!(json["payment"]["card_number"].is_string());
            assert!(json["items"][0]["recipient"]["ssn"].is_string());
        }
    }

    #[test]
    fn keys_have_the_length_that_was_asked() {
        let batch = batch(&json(Codec::None), 3, 1, 42).unwrap();
        let parsed = Batch::parse(&batch).unwrap();
        for record in Records::new(parsed.record_area(), 3) {
            assert_eq!(record.unwrap().key.unwrap().len(), 12);
        }
    }

    #[test]
    fn every_codec_is_read_back_by_the_record_reader_of_the_gateway() {
        let plain = batch(&json(Codec::None), 20, 1, 42).unwrap();
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let batch = batch(&json(codec), 20, 1, 42).unwrap();
            assert!(batch.len() < plain.len(), "{}", codec.name());
            let parsed = Batch::parse(&batch).unwrap();
            parsed.verify_crc().unwrap();
            assert_eq!(parsed.header.codec().unwrap(), codec);
            let limits = DecompressLimits {
                output_bytes_max: 1 << 20,
                zstd_window_log_max: 23,
            };
            let mut records = Vec::new();
            codec
                .decompress(
                    parsed.record_area(),
                    &limits,
                    &mut Contexts::default(),
                    &mut records,
                )
                .unwrap();
            assert_eq!(records, plain[BATCH_HEADER_BYTES..]);
        }
    }

    #[test]
    fn batches_that_no_frame_could_hold_are_an_argument_error() {
        assert!(matches!(
            batch(&Shape::text(1 << 20), 1_000, 1, 1),
            Err(Error::OperatorArgument(_))
        ));
    }
}
