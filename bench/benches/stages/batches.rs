//! Masking a whole batch of 100 documents that differ, beside what its compression alone costs: the same batch decompressed
//! and compressed again, by the same codec with the same contexts, and not looked at.

use sluice_bench::Table;
use sluice_kafka::codec::{Codec, Contexts, DecompressLimits};
use sluice_kafka::record_batch::{
    Batch, PartVerdict, RecordVerdict, Rewritten, Scratch, rewrite_records,
};
use sluice_masking::{Masked, mask_value};

use crate::masking::{FIELDS, document_of, plan};

const RECORDS: usize = 100;

pub(crate) fn masked(table: Table<'static>, codec: Codec) -> Table<'static> {
    let batch = batch(codec);
    let (plan, limits) = (plan(FIELDS), DecompressLimits::default());
    let mut fields = sluice_masking::Scratch::new();
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    let mut mask = move |batch: &[u8]| {
        out.clear();
        let rewritten = rewrite_records(batch, &mut scratch, &limits, &mut out, |record, new| {
            let masked = mask_value(&plan, record.value.unwrap(), &mut fields, &mut new.value);
            assert_eq!(masked, Ok(Masked::Changed { fields: 4 }));
            RecordVerdict {
                value: PartVerdict::Replace,
                ..RecordVerdict::default()
            }
        });
        assert_eq!(
            rewritten.unwrap(),
            Rewritten::Replaced {
                records_count: RECORDS
            }
        );
        out.len() as u64
    };
    mask(&batch);
    let (again, mut contexts) = (batch.clone(), Contexts::default());
    let (mut plain, mut compressed) = (Vec::new(), Vec::new());
    table.ours("mask the batch", move || mask(&batch)).with(
        "decompress and compress alone",
        move || {
            let batch = Batch::parse(&again).unwrap();
            let plain = batch
                .plain_records(&limits, &mut contexts, &mut plain)
                .unwrap();
            compressed.clear();
            codec
                .compress(plain, &mut contexts, &mut compressed)
                .unwrap();
            compressed.len() as u64
        },
    )
}

/// One batch of format 2, without keys and headers.
fn batch(codec: Codec) -> Vec<u8> {
    let mut plain = Vec::new();
    for index in 0..RECORDS {
        let value = document_of(index);
        let mut record = vec![0, 0]; // attributes, timestamp delta
        put_varint(&mut record, index as i64);
        put_varint(&mut record, -1);
        put_varint(&mut record, value.len() as i64);
        record.extend_from_slice(value.as_bytes());
        put_varint(&mut record, 0);
        put_varint(&mut plain, record.len() as i64);
        plain.extend_from_slice(&record);
    }
    let attributes: i16 = match codec {
        Codec::None => 0,
        Codec::Gzip => 1,
        Codec::Snappy => 2,
        Codec::Lz4 => 3,
        Codec::Zstd => 4,
    };
    let mut checked = attributes.to_be_bytes().to_vec();
    checked.extend((RECORDS as i32 - 1).to_be_bytes());
    checked.extend([0; 16]); // timestamps
    checked.extend([0xff; 14]); // no producer id, epoch and sequence
    checked.extend((RECORDS as i32).to_be_bytes());
    codec
        .compress(&plain, &mut Contexts::default(), &mut checked)
        .unwrap();
    let mut batch = vec![0; 8]; // base offset
    batch.extend((checked.len() as i32 + 9).to_be_bytes());
    batch.extend([0, 0, 0, 0, 2]); // leader epoch, format
    batch.extend(crc32c::crc32c(&checked).to_be_bytes());
    batch.extend(checked);
    batch
}

fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
