//! Of a masked answer goes from where it lies what masking leaves as long as it was; the rest stands between.

use kafka_protocol::messages::FetchRequest;
use sluice_kafka::codec::Codec;
use sluice_session::limits::SPLICED_PARTITIONS_MAX;

use super::masking::{keys_and_headers, read, results};
use crate::support::batch::{BatchSpec, values};
use crate::support::frames::{self, fetch, fetched};
use crate::support::{Place, Random, Rig};

/// Lengths of the records of the answer are written in one byte to three, and masked ones in more.
#[test]
fn an_answer_is_the_brokers_but_for_its_records_and_their_lengths() {
    let mut random = Random::printed(0x5b11ce);
    // An e-mail address of a few letters becomes several times as long.
    let batch = |filler: usize, codec| {
        let filler = "x".repeat(filler);
        let value = format!(r#"{{"email":"a@b.c","note":"{filler}"}}"#);
        BatchSpec {
            codec,
            ..BatchSpec::default()
        }
        .of(&[value.as_bytes()])
    };
    let fillers = [0, 5, 20, 16_150, 16_200, 16_250, 16_300, 70_000];
    for turn in 0..240 {
        let version = 4 + turn % 15;
        let codec = [Codec::None, Codec::Zstd][random.below(2)];
        // The id of `fixed` is not known.
        let other = if version < 13 { "fixed" } else { "masked-too" };
        let names = ["masked", "clicks", other];
        let (mut asked, mut answer) = (Vec::new(), Vec::new());
        for name in names {
            let mut partitions = Vec::new();
            for partition in 0..random.below(4) as i32 {
                let mut records = Vec::new();
                for _ in 0..random.below(3) {
                    records.extend(batch(fillers[random.below(fillers.len())], codec));
                }
                partitions.push((partition, records));
            }
            if !partitions.is_empty() {
                let each = partitions.iter().map(|(partition, _)| (*partition, 0));
                asked.push((name, each.collect::<Vec<_>>()));
                answer.push((name, partitions));
            }
        }
        if asked.is_empty() {
            continue;
        }
        let mut rig = Rig::authenticated("reader");
        let round = read(&mut rig, version, &asked, &answer);
        assert_eq!(
            round.closed, None,
            "turn {turn}, version {version}, {asked:?}"
        );
        assert_ne!(round.answers[0].place, Place::Owned, "turn {turn}");
        let whole = results(version, &round);
        let (_, mut left) =
            frames::decode_response::<FetchRequest>(version, &round.answers[0].bytes);
        let partitions = left.responses.iter_mut().flat_map(|it| &mut it.partitions);
        let sent = answer.iter().flat_map(|(name, partitions)| {
            let one =
                move |(partition, records): &(i32, Vec<u8>)| (*name, *partition, records.clone());
            partitions.iter().map(one)
        });
        for ((partition, sent), seen) in partitions.zip(sent.clone()).zip(&whole) {
            assert_eq!((seen.0.as_str(), seen.1, seen.2), (sent.0, sent.1, 0));
            // The same as alone in an answer.
            let alone = [(sent.0, vec![(sent.1, sent.2.clone())])];
            let mut rig = Rig::authenticated("reader");
            let asked = [(sent.0, vec![(sent.1, 0)])];
            let alone = results(4, &read(&mut rig, 4, &asked, &alone));
            assert!(alone[0].3 == seen.3, "turn {turn}, {}", sent.0);
            assert_eq!(
                alone[0].3 == sent.2,
                sent.0 == "clicks" || sent.2.is_empty()
            );
            // And the rest is what the broker said.
            partition.records = Some(sent.2.into());
        }
        let theirs = frames::response::<FetchRequest>(version, 3, &fetched(&answer));
        let (_, theirs) = frames::decode_response::<FetchRequest>(version, &theirs);
        assert!(left == theirs, "turn {turn}");
    }
}

#[test]
fn an_answer_of_many_masked_partitions_is_copied_together() {
    let records = BatchSpec::default().of(&[br#"{"email":"ada@example.com"}"#]);
    for (count, place) in [
        (SPLICED_PARTITIONS_MAX as i32, Place::Both),
        (SPLICED_PARTITIONS_MAX as i32 + 1, Place::Owned),
    ] {
        let asked = (0..count).map(|partition| (partition, 0)).collect();
        let sent = (0..count).map(|partition| (partition, records.clone()));
        let mut rig = Rig::authenticated("reader");
        let sent = [("masked", sent.collect())];
        let round = read(&mut rig, 12, &[("masked", asked)], &sent);
        assert_eq!(round.answers[0].place, place);
        let seen = results(12, &round);
        assert_eq!(seen.len(), count as usize);
        assert!(seen.iter().all(|it| it.2 == 0 && it.3 == seen[0].3));
        assert!(!seen[0].3.windows(3).any(|text| text == b"ada"));
    }
}

#[test]
fn tokens_of_the_same_length_leave_a_plain_batch_its_size() {
    let values_sent: [&[u8]; 3] = [
        br#"{"email":"ada@example.com","pin":"1234","n":1}"#,
        br#"{"email":null,"pin":7}"#,
        br#"{"email":{"a":[1,2,3]},"pin":"078-05-1120"}"#,
    ];
    let records = BatchSpec {
        header: "Trace-User",
        ..BatchSpec::default()
    }
    .of(&values_sent);
    let mut rig = Rig::authenticated("reader");
    let round = read(
        &mut rig,
        12,
        &[("fixed", vec![(0, 0)])],
        &[("fixed", vec![(0, records.clone())])],
    );
    assert_eq!(round.answers[0].place, Place::Buffer);
    let masked = &results(12, &round)[0].3;
    assert_eq!(masked.len(), records.len());
    let seen: Vec<serde_json::Value> = values(masked)
        .iter()
        .zip(values_sent)
        .map(|(value, sent)| {
            assert_eq!(value.len(), sent.len());
            serde_json::from_slice(value).unwrap()
        })
        .collect();
    assert!(seen[0]["email"].as_str().unwrap().starts_with("tok_"));
    assert_eq!(seen[0]["pin"], "****");
    assert_eq!(
        (&seen[1]["email"], &seen[1]["pin"]),
        (&"**".into(), &0.into())
    );
    assert!(seen[2]["pin"].as_str().unwrap().starts_with("tok_"));
    assert!(
        keys_and_headers(masked)
            .iter()
            .all(|(_, header)| header == "*")
    );
}

#[test]
fn what_cannot_be_patched_is_copied_and_goes_with_what_was() {
    let long = br#"{"email":"ada@example.com","n":1}"#;
    let uncompressed = |values: &[&[u8]]| BatchSpec::default().of(values);
    let patched = uncompressed(&[long, long]);
    // A boolean that becomes shorter, and a value that becomes a placeholder.
    let copied = uncompressed(&[
        long,
        br#"{"email":false,"pin":"1"}"#,
        long,
        b"no JSON",
        long,
    ]);
    let compressed = BatchSpec {
        codec: Codec::Lz4,
        ..BatchSpec::default()
    }
    .of(&[long]);
    let clear = uncompressed(&[br#"{"n":1}"#]);
    let all = [&patched, &clear, &copied, &patched, &compressed, &clear];
    for from in 0..all.len() {
        for to in from + 1..=all.len() {
            let records: Vec<u8> = all[from..to].iter().copied().flatten().copied().collect();
            for step_bytes in [1, 100, 1 << 20] {
                let mut rig = Rig::authenticated("reader");
                rig.client(frames::request(12, 3, &fetch(&[("fixed", vec![(0, 0)])])))
                    .only_forwarded();
                let answer = fetched(&[("fixed", vec![(0, records.clone())])]);
                let frame = frames::response::<FetchRequest>(12, 3, &answer);
                let round = rig.broker_stepping(frame, step_bytes);
                assert_eq!(round.closed, None);
                let is_patched = all[from..to]
                    .iter()
                    .all(|batch| **batch == patched || **batch == clear);
                let place = if is_patched {
                    Place::Buffer
                } else {
                    Place::Both
                };
                assert_eq!(round.answers[0].place, place);
                let masked = &results(12, &round)[0].3;
                let seen = values(masked);
                assert_eq!(seen.len(), values(&records).len());
                for (seen, sent) in seen.iter().zip(values(&records)) {
                    let clear = !sent.windows(5).any(|text| text == b"email") && sent[0] == b'{';
                    assert_eq!(*seen == sent, clear);
                    assert!(!seen.windows(3).any(|text| text == b"ada" || text == b"JSO"));
                }
                let once = &seen[0];
                let again = seen
                    .iter()
                    .zip(values(&records))
                    .filter(|(_, sent)| *sent == values(&records)[0]);
                again.for_each(|(again, _)| assert_eq!(again, once));
            }
        }
    }
}

#[test]
fn an_answer_goes_from_where_it_lies_without_the_end_that_must_not_go() {
    let records = BatchSpec::default().of(&[br#"{"email":"ada@example.com"}"#]);
    let whole = results(
        12,
        &read(
            &mut Rig::authenticated("reader"),
            12,
            &[("fixed", vec![(0, 0)])],
            &[("fixed", vec![(0, records.clone())])],
        ),
    )[0]
    .3
    .clone();
    // The end of the last batch has not come: nothing of it goes.
    for cut in 0..records.len() {
        let sent = [&records[..], &records[..cut]].concat();
        let round = read(
            &mut Rig::authenticated("reader"),
            12,
            &[("fixed", vec![(0, 0)])],
            &[("fixed", vec![(0, sent)])],
        );
        assert_eq!(round.answers[0].place, Place::Buffer);
        assert_eq!(results(12, &round)[0].3, whole, "{cut}");
    }
    // Nor of one that is corrupt.
    let mut corrupt = records.clone();
    *corrupt.last_mut().unwrap() ^= 1;
    let round = read(
        &mut Rig::authenticated("reader"),
        12,
        &[("fixed", vec![(0, 0)])],
        &[("fixed", vec![(0, [&records[..], &corrupt].concat())])],
    );
    assert_eq!(round.answers[0].place, Place::Buffer);
    assert_eq!(results(12, &round)[0].3, whole);
    // One topic of two is refused: that is said in an answer of the gateway's own.
    let round = read(
        &mut Rig::authenticated("reader"),
        12,
        &[("fixed", vec![(0, 0)]), ("forbidden", vec![(0, 0)])],
        &[("fixed", vec![(0, records.clone())])],
    );
    assert_eq!(round.answers[0].place, Place::Owned);
}
