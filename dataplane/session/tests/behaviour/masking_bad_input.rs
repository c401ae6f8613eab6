//! What a broker's log can hold to hurt the masker: bombs, huge values, lengths that lie.

use kafka_protocol::messages::FetchRequest;
use sluice_kafka::codec::Codec;
use sluice_session::Close;

use crate::support::Rig;
use crate::support::batch::{BatchSpec, values};
use crate::support::frames::{self, fetch, fetch_results, fetched};

const EMAIL: &str = "ada@example.com";

/// Reads one batch of the topic `masked` as who may not see the field: the error and the records that are delivered.
#[track_caller]
fn read(records: Vec<u8>) -> (i16, Vec<u8>) {
    let mut rig = Rig::authenticated("reader");
    rig.client(frames::request(12, 3, &fetch(&[("masked", vec![(0, 0)])])))
        .only_forwarded();
    let answer = [("masked", vec![(0, records)])];
    let round = rig.broker(frames::response::<FetchRequest>(12, 3, &fetched(&answer)));
    assert_eq!(round.closed, None);
    let decoded = frames::decode_response::<FetchRequest>(12, &round.answers[0].bytes).1;
    let mut results = fetch_results(&decoded);
    assert_eq!(results.len(), 1);
    let (_, _, error, records) = results.remove(0);
    (error, records)
}

fn padded(padding: usize) -> Vec<u8> {
    let mut value = format!(r#"{{"email":"{EMAIL}","x":""#).into_bytes();
    value.resize(value.len() + padding, b'x');
    value.extend_from_slice(b"\"}");
    value
}

fn batch(codec: Codec, value: &[u8]) -> Vec<u8> {
    BatchSpec {
        codec,
        ..BatchSpec::default()
    }
    .of(&[value])
}

#[test]
fn a_batch_that_decompresses_beyond_the_limit_is_an_error_in_every_codec() {
    // The limit is 64 MiB.
    let value = padded(65 << 20);
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        assert_eq!(read(batch(codec, &value)), (2, Vec::new()), "{codec:?}");
    }
}

#[test]
fn a_value_beyond_the_limit_becomes_a_placeholder() {
    let value = padded(33 << 20);
    for codec in [Codec::None, Codec::Zstd] {
        let (error, records) = read(batch(codec, &value));
        assert_eq!(error, 0);
        let placeholder = br#"{"sluice":{"masked":"over-limit"}}"#;
        assert_eq!(values(&records), [placeholder]);
    }
}

#[test]
fn a_bomb_of_nesting_becomes_a_placeholder_in_every_shape() {
    for open in ["[", r#"{"email":"#, r#"[{"a":["#] {
        let bomb = open.repeat(1 << 20);
        let (error, records) = read(batch(Codec::Zstd, bomb.as_bytes()));
        assert_eq!(error, 0);
        let placeholder = br#"{"sluice":{"masked":"over-limit"}}"#;
        assert_eq!(values(&records), [placeholder]);
    }
}

#[test]
fn a_length_of_a_batch_that_lies_delivers_nothing() {
    let good = batch(Codec::None, &padded(0));
    let length = i32::from_be_bytes(good[8..12].try_into().unwrap());
    for lie in [0, 1, 48, 49, length - 1, length + 1, i32::MAX, -1, i32::MIN] {
        let mut bad = good.clone();
        bad[8..12].copy_from_slice(&lie.to_be_bytes());
        let (error, records) = read(bad);
        // Too short or too long for its CRC, or cut at the end of the answer.
        assert!(error == 2 || error == 0, "{lie}: {error}");
        assert_eq!(records, b"", "{lie}");
    }
}

#[test]
fn lengths_and_counts_in_records_that_lie_are_an_error_under_a_right_sum() {
    let good = batch(Codec::None, &padded(0));
    let reseal = |mut bad: Vec<u8>| {
        let crc = crc32c::crc32c(&bad[21..]);
        bad[17..21].copy_from_slice(&crc.to_be_bytes());
        bad
    };
    assert_eq!(read(reseal(good.clone())).0, 0);
    for count in [0, 2, i32::MAX, -1, i32::MIN] {
        let mut bad = good.clone();
        bad[57..61].copy_from_slice(&count.to_be_bytes());
        assert_eq!(read(reseal(bad)), (2, Vec::new()), "{count} records");
    }
    // The length of the record, of the key and of the value, as varints of 0, 2^31-1, -2^31 and one without an end.
    let record_at = 61;
    let key_at = good[record_at..].iter().position(|byte| *byte == b'k');
    let key_at = record_at + key_at.unwrap() - 1;
    let value_at = key_at + 2;
    for at in [record_at, key_at, value_at] {
        for lie in [
            &[0][..],
            &[0xfe, 0xff, 0xff, 0xff, 0x0f],
            &[0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0xff; 10],
        ] {
            let mut bad = good.clone();
            bad.splice(at..=at, lie.iter().copied());
            let length = i32::try_from(bad.len() - 12).unwrap();
            bad[8..12].copy_from_slice(&length.to_be_bytes());
            assert_eq!(read(reseal(bad)), (2, Vec::new()), "{lie:x?} at {at}");
        }
    }
}

#[test]
fn a_turn_of_masking_ends_by_what_was_really_done_and_not_by_what_came_compressed() {
    let mut rig = Rig::authenticated("reader");
    rig.client(frames::request(12, 3, &fetch(&[("masked", vec![(0, 0)])])))
        .only_forwarded();
    let compressed = batch(Codec::Zstd, &padded(1 << 20));
    assert!(compressed.len() < 1_000, "{} bytes", compressed.len());
    let records = compressed.repeat(8);
    let answer = [("masked", vec![(0, records)])];
    let round = rig.broker(frames::response::<FetchRequest>(12, 3, &fetched(&answer)));
    assert!(round.masking_turns >= 8, "{} turns", round.masking_turns);
}

#[test]
fn a_large_batch_yields_between_its_records() {
    for codec in [Codec::None, Codec::Zstd] {
        let mut rig = Rig::authenticated("reader");
        rig.client(frames::request(12, 3, &fetch(&[("masked", vec![(0, 0)])])))
            .only_forwarded();
        let value = padded(10_000);
        let values: Vec<&[u8]> = (0..400).map(|_| &value[..]).collect();
        let large = BatchSpec {
            codec,
            ..BatchSpec::default()
        }
        .of(&values);
        let answer = [("masked", vec![(0, large)])];
        let frame = frames::response::<FetchRequest>(12, 3, &fetched(&answer));
        let round = rig.broker_stepping(frame, 100_000);
        assert_eq!((round.closed, round.answers.len()), (None, 1));
        assert!(
            round.masking_turns >= 40,
            "{codec:?}: {} turns",
            round.masking_turns
        );
    }
}

#[test]
fn each_batch_that_is_refused_is_a_turn() {
    const PARTITIONS: i32 = 20;
    let mut rig = Rig::authenticated("reader");
    let asked = (0..PARTITIONS).map(|partition| (partition, 0)).collect();
    rig.client(frames::request(12, 3, &fetch(&[("masked", asked)])))
        .only_forwarded();
    let mut bad = batch(Codec::Zstd, &padded(1 << 16));
    let last = bad.len() - 1;
    bad[last] ^= 1;
    let answered = (0..PARTITIONS).map(|partition| (partition, bad.clone()));
    let answer = [("masked", answered.collect())];
    let round = rig.broker(frames::response::<FetchRequest>(12, 3, &fetched(&answer)));
    assert_eq!((round.closed, round.answers.len()), (None, 1));
    assert!(round.masking_turns >= 20, "{} turns", round.masking_turns);
}

#[test]
fn a_second_answer_for_a_partition_ends_the_session() {
    let records = batch(Codec::None, &padded(10));
    for topic in ["masked", "fixed"] {
        for second in [Vec::new(), records.clone()] {
            let mut rig = Rig::authenticated("reader");
            rig.client(frames::request(
                12,
                3,
                &fetch(&[(topic, vec![(0, 0), (1, 0)])]),
            ))
            .only_forwarded();
            let answer = [(
                topic,
                vec![(1, records.clone()), (0, Vec::new()), (1, second)],
            )];
            let round = rig.broker(frames::response::<FetchRequest>(12, 3, &fetched(&answer)));
            assert!(matches!(round.closed, Some(Close::BrokerMalformed(_))));
            assert!(round.answers.is_empty());
        }
    }
}

#[test]
fn many_small_partitions_are_masked_in_little_memory() {
    const PARTITIONS: i32 = 1_000;
    let mut rig = Rig::authenticated("reader");
    let asked = (0..PARTITIONS).map(|partition| (partition, 0)).collect();
    rig.client(frames::request(12, 3, &fetch(&[("masked", asked)])))
        .only_forwarded();
    let small = batch(Codec::None, &padded(1));
    let answered = (0..PARTITIONS).map(|partition| (partition, small.clone()));
    let answer = [("masked", answered.collect())];
    let frame = frames::response::<FetchRequest>(12, 3, &fetched(&answer));
    let frame_bytes = frame.len();
    let measured = allocation_counter::measure(|| {
        let round = rig.broker(frame);
        assert_eq!((round.closed, round.answers.len()), (None, 1));
    });
    let peak = measured.bytes_max;
    assert!(
        peak < 64 * frame_bytes as u64,
        "{peak} bytes for {frame_bytes}"
    );
}
