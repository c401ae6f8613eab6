//! Record batches to produce: built once per connection, from a fixed seed.

use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record,
    RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use crate::Error;
use crate::limits::BATCH_BYTES_MAX;
use crate::plan::Payload;

/// A batch of `count` records with values of exactly `record_bytes` bytes (JSON values: at least what the fields need).
pub(crate) fn batch(
    payload: Payload,
    record_bytes: usize,
    count: usize,
    timestamp_ms: i64,
    seed: u64,
) -> Result<Bytes, Error> {
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
            key: None,
            value: Some(value(payload, record_bytes, index, &mut letters)),
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
    Ok(batch.freeze())
}

fn value(payload: Payload, record_bytes: usize, index: usize, letters: &mut Letters) -> Bytes {
    let mut text = String::with_capacity(record_bytes);
    if payload == Payload::Json {
        let head = format!(
            "{{\"id\":\"order-{index}\",\"amount\":{}.50,\"customer\":{{\"name\":\"Ada {index}\",\"email\":\"ada{index}@example.com\"}},\
             \"payment\":{{\"card_number\":\"4111111111111111\",\"currency\":\"EUR\"}},\
             \"items\":[{{\"sku\":\"a-{index}\",\"quantity\":1,\"recipient\":{{\"ssn\":\"078-05-1120\"}}}}],\"note\":\"",
            index + 10
        );
        text.push_str(&head);
        letters.append(record_bytes.saturating_sub(head.len() + 2), &mut text);
        text.push_str("\"}");
    } else {
        letters.append(record_bytes, &mut text);
    }
    Bytes::from(text)
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
    use sluice_kafka::record_batch::{Batch, Records};

    use super::*;

    fn values(batch: &[u8]) -> Vec<Vec<u8>> {
        let parsed = Batch::parse(batch).unwrap();
        parsed.verify_crc().unwrap();
        let plain = parsed.record_area();
        Records::new(plain, parsed.header.record_count)
            .map(|record| plain[record.unwrap().value.unwrap()].to_vec())
            .collect()
    }

    #[test]
    fn text_values_have_the_length_that_was_asked() {
        let batch = batch(Payload::Text, 100, 7, 1, 42).unwrap();
        let values = values(&batch);
        assert_eq!(values.len(), 7);
        assert!(values.iter().all(|value| value.len() == 100));
        assert_ne!(values[0], values[1]);
    }

    #[test]
    fn json_values_parse_and_carry_the_personal_fields() {
        let batch = batch(Payload::Json, 1024, 2, 1, 42).unwrap();
        for value in values(&batch) {
            assert_eq!(value.len(), 1024);
            let json: serde_json::Value = serde_json::from_slice(&value).unwrap();
            assert!(json["customer"]["email"].is_string());
            assert!(json["items"][0]["recipient"]["ssn"].is_string());
        }
    }

    #[test]
    fn batches_that_no_frame_could_hold_are_an_argument_error() {
        assert!(matches!(
            batch(Payload::Text, 1 << 20, 1_000, 1, 1),
            Err(Error::OperatorArgument(_))
        ));
    }
}
