use sluice_kafka::codec::DecompressLimits;
use sluice_kafka::record_batch::{Batch, Records};

use super::*;

fn json(codec: Codec) -> Shape {
    Shape {
        payload: Payload::Json,
        sizes: Sizes::Fixed(1024),
        keys: Keys::Letters { bytes: 12 },
        headers: Headers::default(),
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

fn maker(seed: u64) -> Maker {
    Maker::new(seed, 0, 1)
}

#[test]
fn text_values_have_the_length_that_was_asked() {
    let batch = batch(&Shape::text(100), 7, 1, &mut maker(42)).unwrap();
    let values = values(&batch);
    assert_eq!(values.len(), 7);
    assert!(values.iter().all(|value| value.len() == 100));
    assert_ne!(values[0], values[1]);
}

#[test]
fn json_values_have_the_length_that_was_asked_and_never_less_than_their_fields_need() {
    let length = |bytes| {
        let shape = Shape {
            sizes: Sizes::Fixed(bytes),
            ..json(Codec::None)
        };
        let batch = batch(&shape, 2, 1, &mut maker(42)).unwrap();
        let values = values(&batch);
        for value in &values {
            serde_json::from_slice::<serde_json::Value>(value).unwrap();
        }
        assert_ne!(values[0], values[1]);
        values[0].len()
    };
    assert_eq!(length(1024), 1024);
    let least = length(1);
    assert!((400..600).contains(&least), "{least}");
}

#[test]
fn records_have_the_sizes_and_the_headers_that_were_asked_and_the_same_ones_for_the_same_seed() {
    let shape = Shape {
        sizes: Sizes::Range { min: 10, max: 20 },
        headers: Headers { count: 3, bytes: 5 },
        ..Shape::text(1)
    };
    let made = |seed, connection| {
        let mut maker = Maker::new(seed, connection, 2);
        batch(&shape, 200, 1, &mut maker).unwrap()
    };
    let lengths: std::collections::BTreeSet<usize> =
        values(&made(1, 0)).iter().map(Vec::len).collect();
    assert_eq!(lengths, (10..=20).collect());
    assert_eq!(made(1, 0), made(1, 0));
    assert_ne!(made(1, 0), made(2, 0));
    assert_ne!(made(1, 0), made(1, 1));
    let mut bytes = made(1, 0);
    let sets = kafka_protocol::records::RecordBatchDecoder::decode_all(&mut bytes).unwrap();
    let record = &sets[0].records[7];
    let names: Vec<&str> = record.headers.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["header-0", "header-1", "header-2"]);
    let mut values = record.headers.values();
    assert!(values.all(|value| value.as_ref().unwrap().len() == 5));
}

#[test]
fn keys_of_digits_are_written_anew_and_leave_a_sound_batch() {
    let shape = Shape {
        keys: Keys::Digits {
            bytes: 4,
            different: Some(3),
        },
        ..json(Codec::None)
    };
    let mut batch = batch(&shape, 5, 1, &mut maker(42)).unwrap().to_vec();
    let before = values(&batch);
    let places = key_places(&batch).unwrap();
    let keys = |batch: &[u8]| {
        let keys = places.iter().map(|key| batch[key.clone()].to_vec());
        let texts = keys.map(|key| String::from_utf8(key).unwrap());
        texts.collect::<Vec<_>>()
    };
    assert!(
        keys(&batch)
            .iter()
            .all(|key| ["0000", "0001", "0002"].contains(&key.as_str()))
    );
    let mut number = 997;
    renumber(&mut batch, &places, || {
        number += 1;
        number
    });
    assert_eq!(keys(&batch), ["0998", "0999", "1000", "1001", "1002"]);
    // The checksum is looked at on the way.
    assert_eq!(values(&batch), before);
}

#[test]
fn keys_have_the_length_that_was_asked() {
    let batch = batch(&json(Codec::None), 3, 1, &mut maker(42)).unwrap();
    let parsed = Batch::parse(&batch).unwrap();
    for record in Records::new(parsed.record_area(), 3) {
        assert_eq!(record.unwrap().key.unwrap().len(), 12);
    }
}

#[test]
fn every_codec_is_read_back_by_the_record_reader_of_the_gateway() {
    let plain = batch(&json(Codec::None), 20, 1, &mut maker(42)).unwrap();
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let batch = batch(&json(codec), 20, 1, &mut maker(42)).unwrap();
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
        batch(&Shape::text(1 << 20), 1_000, 1, &mut maker(1)),
        Err(Error::OperatorArgument(_))
    ));
}
