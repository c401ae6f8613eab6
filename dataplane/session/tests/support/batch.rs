//! Record batches, written by hand from the protocol guide.

use sluice_kafka::codec::{Codec, Contexts, DecompressLimits};
use sluice_kafka::record_batch::{Batch, Records, batches};

#[derive(Debug, Clone)]
pub struct BatchSpec {
    pub base_offset: i64,
    pub codec: Codec,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub transactional: bool,
    pub control: bool,
    /// Of every record, as the name of its header.
    pub key: &'static str,
    pub header: &'static str,
}

impl Default for BatchSpec {
    fn default() -> Self {
        Self {
            base_offset: 0,
            codec: Codec::None,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            transactional: false,
            control: false,
            key: "k",
            header: "h",
        }
    }
}

impl BatchSpec {
    /// One batch with these values, a key and one header, `v`, each.
    pub fn of(&self, values: &[&[u8]]) -> Vec<u8> {
        let mut plain = Vec::new();
        for (index, value) in values.iter().enumerate() {
            let mut record = vec![0];
            put_varint(&mut record, 0);
            put_varint(&mut record, index as i64);
            put_varint(&mut record, self.key.len() as i64);
            record.extend_from_slice(self.key.as_bytes());
            put_varint(&mut record, value.len() as i64);
            record.extend_from_slice(value);
            put_varint(&mut record, 1);
            put_varint(&mut record, self.header.len() as i64);
            record.extend_from_slice(self.header.as_bytes());
            put_varint(&mut record, 1);
            record.push(b'v');
            put_varint(&mut plain, record.len() as i64);
            plain.extend_from_slice(&record);
        }
        let mut area = Vec::new();
        self.codec
            .compress(&plain, &mut Contexts::default(), &mut area)
            .unwrap();
        let attributes = match self.codec {
            Codec::None => 0_i16,
            Codec::Gzip => 1,
            Codec::Snappy => 2,
            Codec::Lz4 => 3,
            Codec::Zstd => 4,
        } | if self.transactional { 0x10 } else { 0 }
            | if self.control { 0x20 } else { 0 };
        let count = i32::try_from(values.len()).unwrap();
        let mut checked = Vec::new();
        checked.extend(attributes.to_be_bytes());
        checked.extend((count - 1).to_be_bytes());
        checked.extend(1_000_i64.to_be_bytes());
        checked.extend(1_000_i64.to_be_bytes());
        checked.extend(self.producer_id.to_be_bytes());
        checked.extend(self.producer_epoch.to_be_bytes());
        checked.extend(self.base_sequence.to_be_bytes());
        checked.extend(count.to_be_bytes());
        checked.extend_from_slice(&area);
        let mut batch = self.base_offset.to_be_bytes().to_vec();
        batch.extend(i32::try_from(checked.len() + 9).unwrap().to_be_bytes());
        batch.extend(0_i32.to_be_bytes());
        batch.push(2);
        batch.extend(crc32c::crc32c(&checked).to_be_bytes());
        batch.extend_from_slice(&checked);
        batch
    }
}

/// One plain batch of one record, of a producer without id.
pub fn plain(value: &[u8]) -> Vec<u8> {
    BatchSpec::default().of(&[value])
}

/// A batch of an idempotent producer, three records long.
pub fn idempotent(producer_id: i64, base_sequence: i32) -> Vec<u8> {
    BatchSpec {
        producer_id,
        producer_epoch: 0,
        base_sequence,
        ..BatchSpec::default()
    }
    .of(&[b"a", b"b", b"c"])
}

/// Values of all records of all batches; each batch's CRC and records are checked.
#[track_caller]
pub fn values(records: &[u8]) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    for batch in batches(records) {
        let batch: Batch<'_> = batch.unwrap();
        batch.verify_crc().unwrap();
        let (mut contexts, mut plain) = (Contexts::default(), Vec::new());
        let plain = batch
            .plain_records(&DecompressLimits::default(), &mut contexts, &mut plain)
            .unwrap();
        for record in Records::new(plain, batch.header.record_count) {
            values.push(plain[record.unwrap().value.unwrap()].to_vec());
        }
    }
    values
}

fn put_varint(out: &mut Vec<u8>, number: i64) {
    let mut zigzag = ((number << 1) ^ (number >> 63)) as u64;
    while zigzag >= 0x80 {
        out.push((zigzag as u8) | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}
