//! Record batches, by hand: the same bytes on both sides.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

/// Of all records, so that the sides agree on it; not long ago, or brokers would take them for too old to keep.
fn timestamp_ms() -> i64 {
    static NOW_MS: OnceLock<i64> = OnceLock::new();
    *NOW_MS.get_or_init(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        i64::try_from(now.expect("a clock after 1970").as_millis())
            .expect("a clock before 292 million")
    })
}

const TRANSACTIONAL: i16 = 1 << 4;

/// Who writes, for a batch that must not be written twice.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Producer {
    pub(in super::super) id: i64,
    pub(in super::super) epoch: i16,
    pub(in super::super) sequence: i32,
}

const NOBODY: Producer = Producer {
    id: -1,
    epoch: -1,
    sequence: -1,
};

/// One batch of these values, of no producer.
pub(crate) fn plain(values: &[&str]) -> Bytes {
    batch(0, NOBODY, values)
}

/// One batch of an idempotent producer.
pub(super) fn idempotent(producer: Producer, values: &[&str]) -> Bytes {
    batch(0, producer, values)
}

/// One batch of a transaction.
pub(super) fn transactional(producer: Producer, values: &[&str]) -> Bytes {
    batch(TRANSACTIONAL, producer, values)
}

/// A batch whose checksum is another's.
pub(super) fn corrupt() -> Bytes {
    let mut bytes = plain(&["corrupt"]).to_vec();
    bytes[20] ^= 1;
    bytes.into()
}

fn batch(attributes: i16, producer: Producer, values: &[&str]) -> Bytes {
    let count = i32::try_from(values.len()).expect("few");
    let mut checked = Vec::new();
    checked.extend(attributes.to_be_bytes());
    checked.extend((count - 1).to_be_bytes());
    checked.extend(timestamp_ms().to_be_bytes());
    checked.extend(timestamp_ms().to_be_bytes());
    checked.extend(producer.id.to_be_bytes());
    checked.extend(producer.epoch.to_be_bytes());
    checked.extend(producer.sequence.to_be_bytes());
    checked.extend(count.to_be_bytes());
    for (delta, value) in values.iter().enumerate() {
        // No attributes, no key, no headers; varints of numbers below 64 are one byte, twice the number.
        let short = |number: usize| u8::try_from(2 * number).expect("short");
        let mut record = vec![0, 0, short(delta), 1, short(value.len())];
        record.extend(value.as_bytes());
        record.push(0);
        checked.push(short(record.len()));
        checked.extend(record);
    }
    let mut bytes = 0_i64.to_be_bytes().to_vec();
    let rest = i32::try_from(4 + 1 + 4 + checked.len()).expect("short");
    bytes.extend(rest.to_be_bytes());
    bytes.extend((-1_i32).to_be_bytes());
    bytes.push(2);
    bytes.extend(crc32c::crc32c(&checked).to_be_bytes());
    bytes.extend(checked);
    bytes.into()
}
