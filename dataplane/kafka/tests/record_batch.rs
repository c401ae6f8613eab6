//! Record batches: a slow model that decodes and encodes everything, against the walk and the splice.

mod random;

use random::{Random, torture};
use sluice_kafka::codec::{Codec, Contexts, DecompressLimits};
use sluice_kafka::record_batch::{
    Batch, BatchHeader, Header, NewParts, PartVerdict, RecordVerdict, Records, Rewritten, Scratch,
    batches, rewrite_records,
};
use sluice_kafka::{BatchError, CodecError};

const CODECS: [Codec; 5] = [
    Codec::None,
    Codec::Gzip,
    Codec::Snappy,
    Codec::Lz4,
    Codec::Zstd,
];

/// A record as the model sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plain {
    attributes: i8,
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn varlong(out: &mut Vec<u8>, value: i64) {
    let mut raw = ((value << 1) ^ (value >> 63)) as u64;
    while raw > 0x7f {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

fn blob(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    varlong(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.extend(bytes.unwrap_or_default());
}

fn encode_area(records: &[Plain]) -> Vec<u8> {
    let mut area = Vec::new();
    for record in records {
        let mut body = vec![record.attributes as u8];
        varlong(&mut body, record.timestamp_delta);
        varlong(&mut body, record.offset_delta.into());
        blob(&mut body, record.key.as_deref());
        blob(&mut body, record.value.as_deref());
        varlong(&mut body, record.headers.len() as i64);
        for (key, value) in &record.headers {
            blob(&mut body, Some(key.as_bytes()));
            blob(&mut body, value.as_deref());
        }
        varlong(&mut area, body.len() as i64);
        area.extend(body);
    }
    area
}

/// A batch around `area`, every header field of its own value.
fn encode_batch(attributes: i16, count: i32, area: &[u8]) -> Vec<u8> {
    let mut tail = attributes.to_be_bytes().to_vec();
    tail.extend(1234_i32.to_be_bytes()); // last offset delta: compaction left it behind
    tail.extend(1_700_000_000_000_i64.to_be_bytes());
    tail.extend(1_700_000_000_999_i64.to_be_bytes());
    tail.extend(77_i64.to_be_bytes());
    tail.extend(3_i16.to_be_bytes());
    tail.extend(500_i32.to_be_bytes());
    tail.extend(count.to_be_bytes());
    tail.extend(area);
    let mut batch = 1_000_000_i64.to_be_bytes().to_vec();
    batch.extend((9 + tail.len() as i32).to_be_bytes());
    batch.extend(42_i32.to_be_bytes());
    batch.push(2);
    batch.extend(crc32c::crc32c(&tail).to_be_bytes());
    batch.extend(tail);
    batch
}

fn compress(codec: Codec, area: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    codec
        .compress(area, &mut Contexts::default(), &mut out)
        .unwrap();
    out
}

fn bits(codec: Codec) -> i16 {
    CODECS
        .iter()
        .position(|candidate| *candidate == codec)
        .unwrap() as i16
}

/// Decompressors that share no code with the crate's, where there is one.
fn decompress_elsewhere(codec: Codec, input: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut out = Vec::new();
    match codec {
        Codec::None => out.extend_from_slice(input),
        Codec::Gzip => drop(
            flate2::read::GzDecoder::new(input)
                .read_to_end(&mut out)
                .unwrap(),
        ),
        Codec::Lz4 => drop(
            lz4_flex::frame::FrameDecoder::new(input)
                .read_to_end(&mut out)
                .unwrap(),
        ),
        Codec::Zstd => out = zstd::stream::decode_all(input).unwrap(),
        Codec::Snappy => {
            let mut rest = &input[16..];
            while !rest.is_empty() {
                let (length, after) = rest.split_at(4);
                let (block, after) =
                    after.split_at(i32::from_be_bytes(length.try_into().unwrap()) as usize);
                out.extend(snap::raw::Decoder::new().decompress_vec(block).unwrap());
                rest = after;
            }
        }
    }
    out
}

fn random_records(random: &mut Random) -> Vec<Plain> {
    random_records_of(random, 8)
}

/// `length_kinds` from 1 to 8 allows longer parts.
fn random_records_of(random: &mut Random, length_kinds: usize) -> Vec<Plain> {
    let mut offset_delta = 0;
    (0..random.below(30))
        .map(|_| {
            offset_delta += 1 + random.below(40) as i32;
            let blob = |random: &mut Random| {
                let length = [0, 1, 62, 63, 64, 65, 200, 9000][random.below(length_kinds)];
                (!random.chance(5)).then(|| random.bytes(length))
            };
            let key = blob(random);
            let value = blob(random);
            let headers = (0..random.below(4))
                .map(|_| (random.text(2), blob(random)))
                .collect();
            Plain {
                attributes: random.next() as i8,
                timestamp_delta: random.next() as i64 >> random.below(64),
                offset_delta,
                key,
                value,
                headers,
            }
        })
        .collect()
}

#[test]
fn rewrites_records_as_the_model_does_under_every_codec() {
    let mut random = Random::new(21);
    let mut scratch = Scratch::default();
    for round in 0..150 {
        let codec = CODECS[round % 5];
        let records = random_records(&mut random);
        let attributes = bits(codec) | 0x08 | 0x10;
        let batch = encode_batch(
            attributes,
            records.len() as i32,
            &compress(codec, &encode_area(&records)),
        );
        let mut replacements = |one_in: usize| -> Vec<Option<Vec<u8>>> {
            records
                .iter()
                .map(|_| {
                    let length = [0, 3, 63, 64, 8191, 8192][random.below(6)];
                    random.chance(one_in).then(|| random.bytes(length))
                })
                .collect()
        };
        let [keys, values, headers] = [5, 3, 5].map(&mut replacements);

        let mut out = b"before".to_vec();
        let mut seen = Vec::new();
        let outcome = rewrite_records(
            &batch,
            &mut scratch,
            &DecompressLimits::default(),
            &mut out,
            |view, new| {
                seen.push((
                    view.offset,
                    view.key.map(<[u8]>::to_vec),
                    view.value.map(<[u8]>::to_vec),
                    view.headers()
                        .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
                        .collect::<Vec<_>>(),
                ));
                new.headers.push(Header {
                    key: "all",
                    value: None,
                });
                let part = |new: &mut Vec<u8>, replacement: &Option<Vec<u8>>| {
                    new.extend_from_slice(replacement.as_deref().unwrap_or(b"dropped"));
                    match replacement {
                        Some(_) => PartVerdict::Replace,
                        None => PartVerdict::Keep,
                    }
                };
                let header = &headers[view.ordinal];
                new.headers.push(Header {
                    key: "new",
                    value: header.as_deref(),
                });
                RecordVerdict {
                    key: part(&mut new.key, &keys[view.ordinal]),
                    value: part(&mut new.value, &values[view.ordinal]),
                    headers: part(&mut Vec::new(), header),
                }
            },
        )
        .unwrap();

        for (seen, record) in seen.iter().zip(&records) {
            assert_eq!(seen.0, 1_000_000 + i64::from(record.offset_delta));
            assert_eq!(
                (&seen.1, &seen.2, &seen.3),
                (&record.key, &record.value, &record.headers)
            );
        }
        assert_eq!(seen.len(), records.len());
        let mut expected = records.clone();
        let mut records_count = 0;
        for (at, record) in expected.iter_mut().enumerate() {
            let changed = [&keys, &values, &headers].map(|new| new[at].is_some());
            records_count += usize::from(changed.contains(&true));
            if let Some(key) = &keys[at] {
                record.key = Some(key.clone());
            }
            if let Some(value) = &values[at] {
                record.value = Some(value.clone());
            }
            if let Some(header) = &headers[at] {
                let new = ("new".to_owned(), Some(header.clone()));
                record.headers = vec![("all".to_owned(), None), new];
            }
        }
        if records_count == 0 {
            assert_eq!(outcome, Rewritten::Unchanged);
            assert_eq!(out, b"before");
            continue;
        }
        assert_eq!(outcome, Rewritten::Replaced { records_count });
        let rewritten = Batch::parse(&out[6..]).unwrap();
        rewritten.verify_crc().unwrap();
        assert_eq!(
            decompress_elsewhere(codec, rewritten.record_area()),
            encode_area(&expected)
        );
        let before = BatchHeader::parse(&batch).unwrap();
        let same = BatchHeader {
            crc: before.crc,
            batch_length: before.batch_length,
            ..rewritten.header
        };
        assert_eq!(same, before);
    }
}

#[test]
fn the_reference_decoder_reads_what_was_rewritten() {
    use kafka_protocol::records::RecordBatchDecoder;
    let mut record = Plain {
        attributes: 0,
        timestamp_delta: 5,
        offset_delta: 7,
        key: Some(b"key".to_vec()),
        value: Some(b"clear".to_vec()),
        headers: vec![("h".into(), None)],
    };
    let batch = encode_batch(0, 1, &encode_area(std::slice::from_ref(&record)));
    let mut out = Vec::new();
    rewrite_records(
        &batch,
        &mut Scratch::default(),
        &DecompressLimits::default(),
        &mut out,
        |_, new| masked_value(new),
    )
    .unwrap();
    let set = RecordBatchDecoder::decode(&mut bytes::Bytes::from(out.clone())).unwrap();
    assert_eq!(set.records.len(), 1);
    assert_eq!(set.records[0].value.as_deref(), Some(&b"masked"[..]));
    assert_eq!(set.records[0].key.as_deref(), Some(&b"key"[..]));
    assert_eq!(set.records[0].offset, 1_000_007);
    record.value = Some(b"masked".to_vec());
    assert_eq!(out, encode_batch(0, 1, &encode_area(&[record])));
}

#[test]
fn control_batches_and_empty_batches_pass_untouched() {
    let mut scratch = Scratch::default();
    let control = encode_batch(0x30, 1, b"anything at all");
    let empty = encode_batch(0, 0, b"");
    let compressed_empty = encode_batch(1, 0, b"");
    for batch in [control, empty, compressed_empty] {
        let mut out = Vec::new();
        let outcome = rewrite_records(
            &batch,
            &mut scratch,
            &DecompressLimits::default(),
            &mut out,
            |_, _| panic!("no record is shown"),
        );
        assert_eq!(outcome, Ok(Rewritten::Unchanged));
        assert!(out.is_empty());
    }
}

#[test]
fn headers_that_outgrow_the_batch_are_cut_short_and_refused() {
    let record = Plain {
        attributes: 0,
        timestamp_delta: 0,
        offset_delta: 0,
        key: None,
        value: None,
        headers: vec![("h".into(), None); 1_000],
    };
    let batch = encode_batch(0, 1, &encode_area(std::slice::from_ref(&record)));
    let limits = DecompressLimits {
        output_bytes_max: 10_000,
        ..DecompressLimits::default()
    };
    let mut out = b"before".to_vec();
    let mut pushed = 0;
    let outcome = rewrite_records(
        &batch,
        &mut Scratch::default(),
        &limits,
        &mut out,
        |record, new| {
            for header in record.headers() {
                pushed += usize::from(!new.headers.is_oversized());
                new.headers.push(Header {
                    value: Some(&[b'x'; 100]),
                    ..header
                });
            }
            RecordVerdict {
                headers: PartVerdict::Replace,
                ..RecordVerdict::default()
            }
        },
    );
    assert!(
        matches!(outcome, Err(BatchError::Oversized { .. })),
        "{outcome:?}"
    );
    assert!((90..110).contains(&pushed), "{pushed}");
    assert_eq!(out, b"before");
}

fn masked_value(new: &mut NewParts) -> RecordVerdict {
    new.value.extend_from_slice(b"masked");
    RecordVerdict {
        value: PartVerdict::Replace,
        ..RecordVerdict::default()
    }
}

fn rewrite_all(batch: &[u8]) -> Result<Rewritten, BatchError> {
    let mut out = b"before".to_vec();
    let outcome = rewrite_records(
        batch,
        &mut Scratch::default(),
        &DecompressLimits::default(),
        &mut out,
        |_, new| masked_value(new),
    );
    if outcome.is_err() {
        assert_eq!(out, b"before", "nothing is appended on error");
    }
    outcome
}

#[test]
fn rejects_what_a_lenient_reader_would_accept() {
    let records: Vec<_> = random_records(&mut Random::new(5))
        .into_iter()
        .take(2)
        .collect();
    assert_eq!(records.len(), 2);
    let area = encode_area(&records);
    assert!(rewrite_all(&encode_batch(0, 2, &area)).is_ok());
    // A third record that the header does not announce, and one fewer than it does.
    assert!(matches!(
        rewrite_all(&encode_batch(0, 1, &area)),
        Err(BatchError::RecordCountWrong { .. })
    ));
    assert!(matches!(
        rewrite_all(&encode_batch(0, 3, &area)),
        Err(BatchError::RecordCountWrong { .. })
    ));
    assert!(matches!(
        rewrite_all(&encode_batch(0, -1, &area)),
        Err(BatchError::RecordCountWrong { .. })
    ));
    assert!(matches!(
        rewrite_all(&encode_batch(0, i32::MAX, &area)),
        Err(BatchError::RecordCountWrong { .. })
    ));
    // A byte after the last record, and one inside a record after its headers.
    let trailing = [&area[..], b"x"].concat();
    assert!(matches!(
        rewrite_all(&encode_batch(0, 2, &trailing)),
        Err(BatchError::RecordCountWrong { .. })
    ));
    let padded = [&[9 << 1, 0, 0, 0, 1, 1, 0, b'p', b'a', b'd'][..]].concat();
    assert!(matches!(
        rewrite_all(&encode_batch(0, 1, &padded)),
        Err(BatchError::RecordMalformed { .. })
    ));
    // Codec bits without a codec, another magic, a checksum that is not of these bytes.
    assert_eq!(
        rewrite_all(&encode_batch(5, 2, &area)),
        Err(BatchError::Codec(CodecError::Unknown { bits: 5 }))
    );
    let mut old = encode_batch(0, 2, &area);
    old[16] = 1;
    assert_eq!(
        rewrite_all(&old),
        Err(BatchError::MagicUnsupported { magic: 1 })
    );
    let mut flipped = encode_batch(0, 2, &area);
    *flipped.last_mut().unwrap() ^= 1;
    assert!(matches!(
        rewrite_all(&flipped),
        Err(BatchError::CrcMismatch { .. })
    ));
}

#[test]
fn bytes_hidden_behind_a_compressed_stream_are_rejected() {
    let area = encode_area(&random_records(&mut Random::new(6)));
    for codec in CODECS.into_iter().skip(1) {
        let hidden = [&compress(codec, &area)[..], b"hidden"].concat();
        let mut out = Vec::new();
        let outcome = codec.decompress(
            &hidden,
            &DecompressLimits::default(),
            &mut Contexts::default(),
            &mut out,
        );
        assert_eq!(
            outcome,
            Err(CodecError::Corrupt {
                codec: codec.name()
            })
        );
    }
}

#[test]
fn walks_batches_until_the_truncated_tail() {
    let batch = encode_batch(0, 0, b"");
    let two = [&batch[..], &batch[..]].concat();
    let mut walk = batches(&two);
    assert_eq!(
        walk.by_ref()
            .map(|batch| batch.unwrap().at)
            .collect::<Vec<_>>(),
        [0, 61]
    );
    assert_eq!(walk.truncated_tail(), None);
    for end in 62..two.len() {
        let mut walk = batches(&two[..end]);
        assert_eq!(walk.by_ref().count(), 1);
        assert_eq!(walk.truncated_tail(), Some(61));
    }
    let mut old = two.clone();
    old[61 + 16] = 0;
    let seen: Vec<_> = batches(&old)
        .map(|batch| batch.map(|batch| batch.at))
        .collect();
    assert_eq!(
        seen,
        [Ok(0), Err(BatchError::MagicUnsupported { magic: 0 })]
    );
}

#[test]
fn survives_mutated_batches_and_record_areas() {
    let mut random = Random::new(22);
    for codec in CODECS {
        let records: Vec<_> = random_records_of(&mut random, 6)
            .into_iter()
            .take(4)
            .collect();
        let count = records.len() as i32;
        let area = encode_area(&records);
        // The area behind a correct checksum, so that mutations get as far as the decompressor and the walk.
        torture(
            &mut random,
            &compress(codec, &area),
            if codec == Codec::None { 3_000 } else { 500 },
            |stream| rewrite_all(&encode_batch(bits(codec), count, stream)).is_ok(),
        );
        torture(
            &mut random,
            &encode_batch(bits(codec), count, &compress(codec, &area)),
            300,
            |batch| {
                let _ = batches(batch).count();
                rewrite_all(batch).is_ok()
            },
        );
        torture(&mut random, &area, 1_000, |area| {
            Records::new(area, count).all(|record| record.is_ok())
        });
    }
}

#[test]
fn reads_streams_as_other_clients_write_them() {
    use std::io::Write;
    let plain: Vec<u8> = (0..60_000_u32)
        .flat_map(|n| (n / 7).to_be_bytes())
        .collect();
    let limits = DecompressLimits::default();
    let mut contexts = Contexts::default();
    let mut check = |codec: Codec, stream: &[u8]| {
        let mut out = Vec::new();
        codec
            .decompress(stream, &limits, &mut contexts, &mut out)
            .unwrap();
        assert!(out == plain, "{codec:?}");
    };
    let (first, second) = plain.split_at(1000);
    let gzip = |part: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(part).unwrap();
        encoder.finish().unwrap()
    };
    check(Codec::Gzip, &[gzip(first), gzip(second)].concat());
    check(
        Codec::Snappy,
        &snap::raw::Encoder::new().compress_vec(&plain).unwrap(),
    );
    let zstd_frames = [
        zstd::encode_all(first, 19).unwrap(),
        zstd::encode_all(second, 3).unwrap(),
    ]
    .concat();
    check(Codec::Zstd, &zstd_frames);
    for checksums in [false, true] {
        let info = lz4_flex::frame::FrameInfo::new()
            .block_mode(lz4_flex::frame::BlockMode::Independent)
            .block_size(lz4_flex::frame::BlockSize::Max256KB)
            .block_checksums(checksums)
            .content_checksum(checksums)
            .content_size(checksums.then_some(plain.len() as u64));
        let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(&plain).unwrap();
        check(Codec::Lz4, &encoder.finish().unwrap());
    }
    for codec in CODECS {
        check(codec, &compress(codec, &plain));
        assert_eq!(decompress_elsewhere(codec, &compress(codec, &plain)), plain);
    }
}

#[test]
fn the_cap_is_exact_for_every_codec() {
    let mut contexts = Contexts::default();
    for codec in CODECS {
        for size in [0, 1, 65_535, 65_536, 65_537, 300_000] {
            let stream = compress(codec, &vec![7; size]);
            let mut out = Vec::new();
            let exact = DecompressLimits {
                output_bytes_max: size,
                ..DecompressLimits::default()
            };
            assert_eq!(
                codec.decompress(&stream, &exact, &mut contexts, &mut out),
                Ok(()),
                "{codec:?} {size}"
            );
            assert_eq!(out.len(), size);
            if size > 0 {
                let tight = DecompressLimits {
                    output_bytes_max: size - 1,
                    ..exact
                };
                let outcome = codec.decompress(&stream, &tight, &mut contexts, &mut out);
                assert!(
                    matches!(outcome, Err(CodecError::OutputOversized { .. })),
                    "{codec:?} {size} {outcome:?}"
                );
            }
        }
    }
}

#[test]
fn bombs_hit_the_cap_without_taking_the_memory() {
    let bomb = vec![0_u8; 8 * 1024 * 1024];
    let limits = DecompressLimits {
        output_bytes_max: 512 * 1024,
        ..DecompressLimits::default()
    };
    for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd, Codec::Snappy] {
        let stream = compress(codec, &bomb);
        let mut out = Vec::new();
        let outcome = codec.decompress(&stream, &limits, &mut Contexts::default(), &mut out);
        assert!(
            matches!(outcome, Err(CodecError::OutputOversized { .. })),
            "{codec:?} {outcome:?}"
        );
        assert!(
            out.capacity() <= 2 * limits.output_bytes_max,
            "{codec:?} took {}",
            out.capacity()
        );
    }
    // Raw snappy that announces 4 GiB in five bytes.
    let mut out = Vec::new();
    let lie = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
    let outcome = Codec::Snappy.decompress(
        &lie,
        &DecompressLimits::default(),
        &mut Contexts::default(),
        &mut out,
    );
    assert!(outcome.is_err());
    assert_eq!(out.capacity(), 0);
}

#[test]
fn a_zstd_window_beyond_the_limit_is_rejected() {
    use std::io::Write;
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(26).unwrap();
    encoder.write_all(&Random::new(7).bytes(1000)).unwrap();
    let stream = encoder.finish().unwrap();
    let mut contexts = Contexts::default();
    let mut out = Vec::new();
    assert_eq!(
        Codec::Zstd.decompress(
            &stream,
            &DecompressLimits::default(),
            &mut contexts,
            &mut out
        ),
        Err(CodecError::Corrupt { codec: "zstd" })
    );
    // The context serves the next batch.
    let fine = compress(Codec::Zstd, b"fine");
    assert_eq!(
        Codec::Zstd.decompress(&fine, &DecompressLimits::default(), &mut contexts, &mut out),
        Ok(())
    );
    assert_eq!(out, b"fine");
}
