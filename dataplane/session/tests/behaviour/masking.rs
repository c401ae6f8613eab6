//! Masked topics: every codec, every role, every broken batch.

use kafka_protocol::messages::FetchRequest;
use sluice_evidence::{ItemFlags, Kind};
use sluice_kafka::codec::Codec;
use sluice_kafka::record_batch::{Headers, Records};

use crate::support::batch::{BatchSpec, plain, values};
use crate::support::frames::{self, fetch, fetch_results, fetched};
use crate::support::{Place, Random, Rig, Round};

const CODECS: [Codec; 5] = [
    Codec::None,
    Codec::Gzip,
    Codec::Snappy,
    Codec::Lz4,
    Codec::Zstd,
];
const EMAIL: &str = "ada@example.com";

fn value(number: usize) -> Vec<u8> {
    format!(r#"{{"id":{number},"email":"{EMAIL}","note":"kept {number}"}}"#).into_bytes()
}

pub(crate) fn read(
    rig: &mut Rig,
    version: i16,
    request: &[(&str, Vec<(i32, i64)>)],
    answer: &frames::Batches<'_>,
) -> Round {
    rig.client(frames::request(version, 3, &fetch(request)))
        .only_forwarded();
    rig.broker(frames::response::<FetchRequest>(
        version,
        3,
        &fetched(answer),
    ))
}

#[track_caller]
pub(crate) fn results(version: i16, round: &Round) -> Vec<(String, i32, i16, Vec<u8>)> {
    assert_eq!(round.closed, None);
    assert_eq!(round.answers.len(), 1);
    fetch_results(&frames::decode_response::<FetchRequest>(version, &round.answers[0].bytes).1)
}

#[test]
fn fields_are_masked_in_all_five_codecs() {
    for version in 4..=18 {
        let mut tokens = Vec::new();
        for codec in CODECS {
            let mut rig = Rig::authenticated("reader");
            let batch = |base_offset, first| {
                BatchSpec {
                    base_offset,
                    codec,
                    ..BatchSpec::default()
                }
                .of(&[&value(first), &value(first + 1)])
            };
            let records = [batch(50, 0), batch(52, 2)].concat();
            let round = read(
                &mut rig,
                version,
                &[("masked", vec![(0, 50)])],
                &[("masked", vec![(0, records)])],
            );
            let results = results(version, &round);
            assert_eq!((results[0].1, results[0].2), (0, 0));
            let seen = values(&results[0].3);
            assert_eq!(seen.len(), 4);
            for (number, seen) in seen.iter().enumerate() {
                let seen: serde_json::Value = serde_json::from_slice(seen).unwrap();
                assert_eq!(seen["note"], format!("kept {number}"));
                let token = seen["email"].as_str().unwrap().to_owned();
                assert!(sluice_masking::is_token(&token), "{token}");
                tokens.push(token);
            }
            let item = round.fact(Kind::Outcome).partition("masked", 0).clone();
            assert_eq!(
                (item.first_offset, item.last_offset, item.records_count),
                (50, 53, 4)
            );
            assert_eq!((item.masked, item.masked_fields_count), (true, 4));
            assert!(item.flags.contains(ItemFlags::DELIVERED));
        }
        tokens.dedup();
        assert_eq!(tokens.len(), 1, "equal values have equal tokens");
    }
}

#[test]
fn masking_in_small_steps_gives_the_same_answer() {
    let records: Vec<u8> = (0..20)
        .flat_map(|number| {
            BatchSpec {
                base_offset: number,
                codec: CODECS[number as usize % 5],
                ..BatchSpec::default()
            }
            .of(&[&value(3)])
        })
        .collect();
    let answer = [("masked", vec![(0, records.clone()), (1, records)])];
    let mut answers = Vec::new();
    for step_bytes in [1, 97, 5_000, usize::MAX] {
        let mut rig = Rig::authenticated("reader");
        rig.client(frames::request(
            12,
            3,
            &fetch(&[("masked", vec![(0, 0), (1, 0)])]),
        ))
        .only_forwarded();
        answers.push(
            rig.broker_stepping(
                frames::response::<FetchRequest>(12, 3, &fetched(&answer)),
                step_bytes,
            )
            .answers,
        );
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(
        values(
            &fetch_results(&frames::decode_response::<FetchRequest>(12, &answers[0][0].bytes).1)[1]
                .3
        )
        .len(),
        20
    );
}

#[test]
fn a_role_that_reads_through_the_mask_gets_the_brokers_bytes() {
    for codec in CODECS {
        let mut rig = Rig::authenticated("clear-reader");
        let records = BatchSpec {
            codec,
            ..BatchSpec::default()
        }
        .of(&[&value(0)]);
        let round = read(
            &mut rig,
            12,
            &[("masked", vec![(0, 0)])],
            &[("masked", vec![(0, records.clone())])],
        );
        assert_eq!(round.answers[0].place, Place::Buffer);
        assert_eq!(results(12, &round)[0].3, records);
        assert!(!round.fact(Kind::Outcome).partition("masked", 0).masked);
    }
}

#[test]
fn clear_and_masked_topics_of_one_answer_are_told_apart() {
    for version in 4..=18 {
        let mut rig = Rig::authenticated("reader");
        let clear = plain(&value(1));
        let request = [
            ("orders", vec![(0, 0)]),
            ("hidden", vec![(0, 0)]),
            ("masked", vec![(0, 0)]),
        ];
        let answer = [
            ("masked", vec![(0, plain(&value(1)))]),
            ("orders", vec![(0, clear.clone())]),
        ];
        let round = read(&mut rig, version, &request, &answer);
        let results = results(version, &round);
        assert_eq!(results[0], ("orders".to_owned(), 0, 0, clear));
        assert_eq!(results[1], ("hidden".to_owned(), 0, 29, vec![]));
        assert!(!String::from_utf8_lossy(&values(&results[2].3)[0]).contains(EMAIL));
        let outcome = round.fact(Kind::Outcome);
        assert!(!outcome.partition("orders", 0).masked);
        assert!(outcome.partition("masked", 0).masked);
    }
}

#[test]
fn a_value_that_cannot_be_masked_becomes_a_placeholder_and_never_null() {
    let mut rig = Rig::authenticated("reader");
    let nested = [b"[".repeat(5_000), b"]".repeat(5_000)].concat();
    let values_sent: [&[u8]; 7] = [
        b"not json ada@example.com",
        b"{\"email\":\"ada@example.com\"",
        b"\x00\x00\x00\x00\x01ada@example.com",
        b"{\"email\":\"ada@example.com\"} trailing",
        b"\xff\xfe{\x00",
        b"",
        &nested,
    ];
    let records = BatchSpec::default().of(&values_sent);
    let round = read(
        &mut rig,
        12,
        &[("masked", vec![(0, 0)])],
        &[("masked", vec![(0, records)])],
    );
    let seen = values(&results(12, &round)[0].3);
    assert_eq!(seen.len(), values_sent.len());
    for seen in seen {
        let seen: serde_json::Value = serde_json::from_slice(&seen).expect("a JSON placeholder");
        assert!(seen.is_object(), "{seen}");
        assert!(!seen.to_string().contains("ada"));
    }
}

#[test]
fn a_corrupt_batch_is_an_error_of_its_own_partition_only() {
    for codec in CODECS {
        let good = BatchSpec {
            codec,
            ..BatchSpec::default()
        }
        .of(&[&value(0)]);
        for at in [21, 40, 57, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            let mut rig = Rig::authenticated("reader");
            let request = [
                ("masked", vec![(0, 0), (1, 0)]),
                ("masked-too", vec![(0, 0)]),
            ];
            let answer = [
                ("masked", vec![(0, bad.clone()), (1, good.clone())]),
                ("masked-too", vec![(0, good.clone())]),
            ];
            let round = read(&mut rig, 12, &request, &answer);
            let results = results(12, &round);
            assert_eq!(
                results[0],
                ("masked".to_owned(), 0, 2, vec![]),
                "{codec:?} changed at {at}"
            );
            for result in &results[1..] {
                assert_eq!((result.2, values(&result.3).len()), (0, 1));
            }
            let item = round.fact(Kind::Outcome).partition("masked", 0).clone();
            assert_eq!(item.error_code, 2);
            assert!(!item.flags.contains(ItemFlags::DELIVERED));
        }
    }
}

#[test]
fn a_corrupt_batch_behind_good_ones_is_met_first_the_next_time() {
    let good = plain(&value(0));
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    let mut rig = Rig::authenticated("reader");
    let round = read(
        &mut rig,
        12,
        &[("masked", vec![(0, 0)])],
        &[("masked", vec![(0, [good, bad.clone()].concat())])],
    );
    let first = results(12, &round);
    assert_eq!((first[0].2, values(&first[0].3).len()), (0, 1));
    assert_eq!(
        round
            .fact(Kind::Outcome)
            .partition("masked", 0)
            .records_count,
        1
    );
    let round = read(
        &mut rig,
        12,
        &[("masked", vec![(0, 1)])],
        &[("masked", vec![(0, bad)])],
    );
    assert_eq!(results(12, &round)[0].2, 2);
}

#[test]
fn a_batch_that_is_cut_at_the_end_is_left_out() {
    let good = plain(&value(0));
    for kept_bytes in [1, 20, 60, good.len() - 1] {
        let mut rig = Rig::authenticated("reader");
        let records = [good.clone(), good[..kept_bytes].to_vec()].concat();
        let round = read(
            &mut rig,
            12,
            &[("masked", vec![(0, 0)])],
            &[("masked", vec![(0, records)])],
        );
        let results = results(12, &round);
        assert_eq!((results[0].2, values(&results[0].3).len()), (0, 1));
    }
}

#[test]
fn markers_of_transactions_pass_a_mask_unchanged() {
    let marker = BatchSpec {
        control: true,
        transactional: true,
        producer_id: 4,
        producer_epoch: 0,
        ..BatchSpec::default()
    }
    .of(&[b"\0\0\0\0\0\0"]);
    let mut rig = Rig::authenticated("reader");
    let round = read(
        &mut rig,
        12,
        &[("masked", vec![(0, 0)])],
        &[("masked", vec![(0, marker.clone())])],
    );
    assert_eq!(results(12, &round)[0].3, marker);
}

#[test]
fn an_empty_answer_of_a_masked_topic_stays_empty() {
    for version in 4..=18 {
        let mut rig = Rig::authenticated("reader");
        let round = read(
            &mut rig,
            version,
            &[("masked", vec![(0, 9)])],
            &[("masked", vec![(0, vec![])])],
        );
        assert_eq!(
            results(version, &round),
            [("masked".to_owned(), 0, 0, vec![])]
        );
    }
}

/// Whatever a broker's log holds, the masked field does not come through in the clear.
#[test]
fn no_mutation_of_a_masked_batch_lets_the_field_through() {
    let mut random = Random::printed(0x5eed_3a51);
    let mut delivered_count = 0;
    let mut rig = Rig::authenticated("reader");
    for _ in 0..3_000 {
        let codec = *random.pick(&CODECS);
        let mut records = BatchSpec {
            codec,
            ..BatchSpec::default()
        }
        .of(&[&value(0), &value(1)]);
        for _ in 0..random.below(3) {
            let at = random.below(records.len());
            records[at] = random.byte();
        }
        // With a CRC that fits, so that the change is not found by the sum alone.
        if random.below(2) == 0 {
            let crc = crc32c::crc32c(&records[21..]);
            records[17..21].copy_from_slice(&crc.to_be_bytes());
        }
        let round = read(
            &mut rig,
            12,
            &[("masked", vec![(0, 0)])],
            &[("masked", vec![(0, records)])],
        );
        for (_, _, error, records) in results(12, &round) {
            if error != 0 {
                assert!(records.is_empty());
                continue;
            }
            for batch in sluice_kafka::record_batch::batches(&records) {
                let batch = batch.expect("what is delivered is whole batches of format 2");
                if batch.header.is_control() {
                    continue;
                }
                let (mut contexts, mut plain) = Default::default();
                let plain = batch
                    .plain_records(&Default::default(), &mut contexts, &mut plain)
                    .unwrap();
                delivered_count += 1;
                let shown = String::from_utf8_lossy(plain);
                // A mutation may rename the field; then it is another field, and is shown as it is.
                assert!(!shown.contains(&format!(r#""email":"{EMAIL}""#)), "{shown}");
            }
        }
    }
    assert!(
        delivered_count > 500,
        "{delivered_count} batches were delivered"
    );
}

/// Keys and the value of the first header of every record.
pub(crate) fn keys_and_headers(records: &[u8]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for batch in sluice_kafka::record_batch::batches(records) {
        let batch = batch.unwrap();
        batch.verify_crc().unwrap();
        let (mut contexts, mut plain) = Default::default();
        let plain = batch
            .plain_records(&Default::default(), &mut contexts, &mut plain)
            .unwrap();
        for record in Records::new(plain, batch.header.record_count) {
            let record = record.unwrap();
            let header = Headers::new(plain, &record).next().unwrap().value.unwrap();
            let key = plain[record.key.unwrap()].to_vec();
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            all.push((text(key), text(header.to_vec())));
        }
    }
    all
}

#[test]
fn keys_and_named_headers_are_masked_where_a_mask_says_so() {
    let mut seen = Vec::new();
    for codec in CODECS {
        let spec = |key, header| {
            BatchSpec {
                codec,
                key,
                header,
                ..BatchSpec::default()
            }
            .of(&[&value(0), &value(1)])
        };
        let records = [
            spec(r#"{"user":"ada","n":1}"#, "trace-USER"),
            spec("ada", "other"),
        ]
        .concat();
        let mut rig = Rig::authenticated("reader");
        let answer = [
            ("masked-too", vec![(0, records.clone())]),
            ("masked", vec![(0, records.clone())]),
        ];
        let request = [("masked-too", vec![(0, 0)]), ("masked", vec![(0, 0)])];
        let round = read(&mut rig, 12, &request, &answer);
        let results = results(12, &round);
        let item = round.fact(Kind::Outcome).partition("masked-too", 0).clone();
        // Four values, four keys, two headers.
        assert_eq!(item.masked_fields_count, 10);
        assert!(values(&results[0].3).iter().all(|value| !value.is_empty()));
        let masked = keys_and_headers(&results[0].3);
        for (at, (key, header)) in masked.iter().enumerate() {
            assert!(!key.contains("ada"), "{key}");
            assert_eq!(sluice_masking::is_token(header), at < 2, "{header}");
            match at {
                0 | 1 => {
                    assert!(key.starts_with(r#"{"user":"tok_"#) && key.ends_with(r#","n":1}"#))
                }
                _ => assert!(sluice_masking::is_token(key), "{key}"),
            }
        }
        seen.push(masked);
        // The other topic's mask names neither.
        assert_eq!(keys_and_headers(&results[1].3), keys_and_headers(&records));
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "equal keys have equal tokens");
}
