//! Batches of every codec, decompressed within a limit: a rewritten one is sealed again and differs from the original in the
//! parts that were replaced and in nothing else; one that does not read strictly leaves nothing behind.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_fuzz::sealed;
use sluice_kafka::codec::{Codec, Contexts, DecompressLimits};
use sluice_kafka::record_batch::{
    Batch, BatchHeader, Header, Headers, NewParts, PartVerdict, Record, RecordVerdict, RecordView,
    Records, Rewriting, Rewritten, Scratch, batches, rewrite_records,
};

const LIMITS: DecompressLimits = DecompressLimits {
    output_bytes_max: 1 << 20,
    zstd_window_log_max: 20,
};
const HEADER_BYTES: usize = 61;

// Bits of the first byte: 0 to 2 the codec, 3 to compress the record area with it, 4 to take the rest as it is.
fuzz_target!(|input: &[u8]| {
    let Some((&how, rest)) = input.split_first() else {
        return;
    };
    if how & 0x10 != 0 {
        walk(rest);
        return;
    }
    let mut bytes = rest.to_vec();
    if how & 0x08 != 0 {
        let Ok(codec) = Codec::from_attributes(i16::from(how)) else {
            return;
        };
        let Some((header, area)) = rest.split_at_checked(HEADER_BYTES) else {
            return;
        };
        bytes = header.to_vec();
        bytes[22] = bytes[22] & !0x07 | how & 0x07;
        codec
            .compress(area, &mut Contexts::default(), &mut bytes)
            .expect("any bytes can be compressed");
        let mut plain = Vec::new();
        codec
            .decompress(
                &bytes[HEADER_BYTES..],
                &LIMITS,
                &mut Contexts::default(),
                &mut plain,
            )
            .expect("its own stream");
        assert_eq!(plain, area);
    }
    if let Some(bytes) = sealed::batch(bytes) {
        walk(&bytes);
        rewrite(&bytes);
    }
});

/// Batches follow each other from the start, and the rest is a truncated one or an error.
fn walk(records: &[u8]) {
    let mut walk = batches(records);
    let mut end = 0;
    let mut failed = false;
    for batch in walk.by_ref() {
        assert!(!failed);
        let Ok(batch) = batch else {
            failed = true;
            continue;
        };
        assert_eq!(
            (batch.at, batch.bytes.len()),
            (end, batch.header.batch_bytes())
        );
        assert_eq!(&records[batch.at..][..batch.bytes.len()], batch.bytes);
        let _ = batch.verify_crc();
        end += batch.bytes.len();
    }
    match walk.truncated_tail() {
        Some(tail) => assert!(tail == end && tail < records.len() && !failed),
        None => assert!(failed || end == records.len()),
    }
}

/// What a record is apart from its value, and the value.
type Parts = (
    i8,
    i64,
    i32,
    Option<Vec<u8>>,
    Vec<(String, Option<Vec<u8>>)>,
    Option<Vec<u8>>,
);

/// All records of a batch, or `None` if it is not read to its end.
fn records(batch: &Batch<'_>) -> Option<Vec<Parts>> {
    let mut plain = Vec::new();
    let plain = batch
        .plain_records(&LIMITS, &mut Contexts::default(), &mut plain)
        .ok()?;
    let part = |range: Option<std::ops::Range<usize>>| range.map(|range| plain[range].to_vec());
    let parts = |record: Record| {
        let headers = Headers::new(plain, &record);
        let headers = headers
            .map(|it| (it.key.to_owned(), it.value.map(<[u8]>::to_vec)))
            .collect();
        let Record {
            attributes,
            timestamp_delta,
            offset_delta,
            key,
            value,
            ..
        } = record;
        (
            attributes,
            timestamp_delta,
            offset_delta,
            part(key),
            headers,
            part(value),
        )
    };
    Records::new(plain, batch.header.record_count)
        .map(|record| record.ok().map(parts))
        .collect()
}

fn rewrite(bytes: &[u8]) {
    let batch = Batch::parse(bytes);
    let mut out = b"before".to_vec();
    let mut replaced_count = 0;
    let rewritten = rewrite_records(
        bytes,
        &mut Scratch::default(),
        &LIMITS,
        &mut out,
        |record, new| {
            let verdict = replace(record, new);
            replaced_count += usize::from(verdict != RecordVerdict::default());
            verdict
        },
    );
    in_steps(bytes, out.get(6..).unwrap_or_default(), &rewritten);
    match rewritten {
        Err(_) => assert_eq!(out, b"before"),
        Ok(Rewritten::Unchanged) => {
            assert_eq!((&out[..], replaced_count), (&b"before"[..], 0));
            let batch = batch.expect("what is unchanged was read");
            let empty = batch.header.record_count == 0;
            assert!(batch.header.is_control() || empty || records(&batch).is_some());
        }
        Ok(Rewritten::Patched { .. }) => unreachable!("the batch may not be changed"),
        Ok(Rewritten::Replaced { records_count }) => {
            assert_eq!(records_count, replaced_count);
            let mut expected = records(&batch.expect("what was read")).expect("what was read");
            for (ordinal, record) in expected.iter_mut().enumerate() {
                if let Some(replacement) = replacement(ordinal, record.5.as_deref()) {
                    record.5 = Some(replacement);
                }
                if let Some(replacement) = replacement(ordinal + 1, record.3.as_deref()) {
                    record.3 = Some(replacement);
                }
                if ordinal % 3 == 0 {
                    for (_, value) in record.4.iter_mut() {
                        *value = value.take().map(|_| b"new".to_vec());
                    }
                }
            }
            let new = Batch::parse(&out[6..]).expect("its own batch");
            new.verify_crc().expect("its own batch");
            assert_eq!(records(&new), Some(expected));
            let old = BatchHeader::parse(bytes).expect("what was read");
            let same = BatchHeader {
                batch_length: old.batch_length,
                crc: old.crc,
                ..new.header
            };
            assert_eq!(same, old);
        }
    }
}

fn replace(record: RecordView<'_>, new: &mut NewParts) -> RecordVerdict {
    assert_eq!((&new.key[..], &new.value[..]), (&b""[..], &b""[..]));
    let part = |new: &mut Vec<u8>, replacement: Option<Vec<u8>>| match replacement {
        Some(replacement) => {
            new.extend_from_slice(&replacement);
            PartVerdict::Replace
        }
        None => {
            new.extend_from_slice(b"dropped");
            PartVerdict::Keep
        }
    };
    for header in record.headers() {
        new.headers.push(Header {
            value: header.value.map(|_| &b"new"[..]),
            ..header
        });
    }
    RecordVerdict {
        key: part(&mut new.key, replacement(record.ordinal + 1, record.key)),
        value: part(&mut new.value, replacement(record.ordinal, record.value)),
        headers: match record.ordinal % 3 {
            0 => PartVerdict::Replace,
            _ => PartVerdict::Keep,
        },
    }
}

/// Record by record, and in place as far as that goes, a batch becomes the same.
fn in_steps(bytes: &[u8], at_once: &[u8], expected: &Result<Rewritten, sluice_kafka::BatchError>) {
    let (mut batch, mut scratch, mut out) = (bytes.to_vec(), Scratch::default(), Vec::new());
    let rewritten = Rewriting::begin(&batch, &mut scratch, &LIMITS).and_then(|rewriting| {
        let Some(rewriting) = rewriting else {
            return Ok(Rewritten::Unchanged);
        };
        let mut rewriting = rewriting.in_place();
        // Somebody else has the scratch memory between two steps.
        let mut show = |record: RecordView<'_>, new: &mut NewParts| (replace(record, new), 0);
        while !rewriting.step(
            &mut batch,
            &mut 1,
            &mut Scratch::default(),
            &mut out,
            &mut show,
        )? {}
        rewriting.finish(&mut batch, &mut scratch, &mut out)
    });
    match (&rewritten, expected) {
        (Ok(Rewritten::Replaced { .. }), Ok(_)) => {
            assert_eq!(rewritten, *expected);
            let records = |batch| records(&Batch::parse(batch).expect("its own batch"));
            assert_eq!(records(&out), records(at_once));
        }
        (
            Ok(Rewritten::Patched { records_count }),
            Ok(Rewritten::Replaced {
                records_count: copied,
            }),
        ) => {
            assert_eq!((records_count, &batch[..]), (copied, at_once));
            assert!(out.is_empty());
        }
        _ => {
            assert_eq!(rewritten, *expected);
            assert!(out.is_empty());
        }
    }
}

/// Longer values, shorter ones, some as long, and one for a tombstone.
fn replacement(ordinal: usize, value: Option<&[u8]>) -> Option<Vec<u8>> {
    match (ordinal % 4, value) {
        (0, Some(value)) => Some(
            [
                value,
                b"longer by some bytes, so that a length grows by one of its own: ",
                &[b'x'; 64],
            ]
            .concat(),
        ),
        (1, Some(value)) => Some(value[..value.len() / 2].to_vec()),
        (2, None) => Some(b"{}".to_vec()),
        (3, Some(value)) => Some(value.iter().map(|byte| !byte).collect()),
        _ => None,
    }
}
