//! Fetch: normalised on its way out, decided again on its way back.

use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::ForgottenTopic;
use kafka_protocol::messages::fetch_response::AbortedTransaction;
use sluice_evidence::{ItemFlags, Kind};
use sluice_session::{Close, limits};

use crate::support::batch::{BatchSpec, plain, values};
use crate::support::facts::READ;
use crate::support::frames::{self, fetch, fetch_results, fetched};
use crate::support::world::POLICY;
use crate::support::{Place, Rig};

const VERSIONS: std::ops::RangeInclusive<i16> = 4..=18;

#[test]
fn an_ordinary_consumers_request_goes_on_where_it_lies() {
    for version in VERSIONS {
        let mut rig = Rig::authenticated("reader");
        let request = fetch(&[("orders", vec![(0, 100), (1, 7)]), ("clicks", vec![(0, 3)])])
            .with_max_bytes(1_000);
        let frame = frames::request(version, 3, &request);
        let round = rig.client(frame.clone());
        assert_eq!(
            *round.only_forwarded(),
            crate::support::Sent {
                bytes: frame,
                place: Place::Buffer
            }
        );
        let intent = round.fact(Kind::Intent);
        assert_eq!(
            intent.named(),
            [("orders", 0), ("orders", 1), ("clicks", 0)]
        );
        let item = intent.partition("orders", 0);
        assert_eq!(
            (item.operation, item.first_offset, item.masked),
            (READ, 100, false)
        );

        let records = BatchSpec {
            base_offset: 100,
            ..BatchSpec::default()
        }
        .of(&[b"a", b"b", b"c"]);
        let answer = fetched(&[
            ("orders", vec![(0, records), (1, vec![])]),
            ("clicks", vec![(0, vec![])]),
        ]);
        let frame = frames::response::<FetchRequest>(version, 3, &answer);
        let round = rig.broker(frame.clone());
        assert_eq!(
            round.answers,
            [crate::support::Sent {
                bytes: frame,
                place: Place::Buffer
            }]
        );
        let outcome = round.fact(Kind::Outcome);
        assert_eq!(outcome.answers, Some(intent.sequence));
        assert_eq!(outcome.named(), [("orders", 0)]);
        let item = outcome.partition("orders", 0);
        assert_eq!(
            (item.first_offset, item.last_offset, item.records_count),
            (100, 102, 3)
        );
        assert!(item.flags.contains(ItemFlags::DELIVERED));
    }
}

/// Brokers take the last mention of a partition, and answer it once.
#[test]
fn a_partition_that_is_named_twice_is_asked_and_recorded_as_its_last_mention() {
    for version in VERSIONS {
        for other in [None, Some("hidden")] {
            let mut rig = Rig::authenticated("reader");
            let mut topics = vec![
                ("orders", vec![(1, 5), (0, 100), (1, 6), (1, 7)]),
                ("clicks", vec![(0, 3)]),
                ("orders", vec![(0, 200)]),
                ("hidden", vec![(0, 1), (0, 2)]),
            ];
            topics.retain(|topic| topic.0 != "hidden" || other.is_some());
            let round = rig.client(frames::request(version, 3, &fetch(&topics)));
            let (_, sent) = frames::decode_request::<FetchRequest>(&round.only_forwarded().bytes);
            let sent: Vec<_> = sent
                .topics
                .iter()
                .flat_map(|topic| {
                    let name = frames::name_of(&topic.topic, topic.topic_id);
                    let partitions = topic.partitions.iter();
                    partitions.map(move |one| (name.clone(), one.partition, one.fetch_offset))
                })
                .collect();
            let expected = [("orders", 1, 7), ("clicks", 0, 3), ("orders", 0, 200)];
            assert_eq!(sent, expected.map(|(name, n, at)| (name.to_owned(), n, at)));
            let intent = round.fact(Kind::Intent);
            assert_eq!(
                intent.named(),
                expected.map(|(name, partition, _)| (name, partition))
            );
            for (name, partition, offset) in expected {
                assert_eq!(intent.partition(name, partition).first_offset, offset);
            }
            let records = BatchSpec {
                base_offset: 200,
                ..BatchSpec::default()
            }
            .of(&[b"a"]);
            let answer = fetched(&[
                ("orders", vec![(1, vec![]), (0, records.clone())]),
                ("clicks", vec![(0, vec![])]),
            ]);
            let round = rig.broker(frames::response::<FetchRequest>(version, 3, &answer));
            let item = round.fact(Kind::Outcome).partition("orders", 0).clone();
            assert_eq!((item.first_offset, item.last_offset), (200, 200));
            let (_, read) =
                frames::decode_response::<FetchRequest>(version, &round.answers[0].bytes);
            let mut results = fetch_results(&read);
            results.sort();
            let mut expected = vec![
                ("clicks".to_owned(), 0, 0, vec![]),
                ("orders".to_owned(), 0, 0, records),
                ("orders".to_owned(), 1, 0, vec![]),
            ];
            expected.extend(other.map(|name| (name.to_owned(), 0, 29, vec![])));
            expected.sort();
            assert_eq!(results, expected);
        }
    }
}

#[test]
fn a_denied_partition_that_is_named_twice_is_answered_once() {
    let mut rig = Rig::authenticated("reader");
    let request = fetch(&[("hidden", vec![(3, 1), (0, 1), (3, 2)])]);
    let round = rig.client(frames::request(12, 3, &request));
    let (_, read) = frames::decode_response::<FetchRequest>(12, round.only_answer());
    let named: Vec<_> = fetch_results(&read)
        .into_iter()
        .map(|(_, partition, error, _)| (partition, error))
        .collect();
    assert_eq!(named, [(0, 29), (3, 29)]);
}

#[test]
fn replica_id_session_and_size_are_made_a_consumers() {
    for version in VERSIONS {
        for topics in [
            vec![("orders", vec![(0, 0)])],
            vec![("orders", vec![(0, 0)]), ("hidden", vec![(0, 0)])],
        ] {
            for replica in [0, 1, -2, i32::MAX, i32::MIN] {
                let mut rig = Rig::authenticated("reader");
                let mut request = fetch(&topics).with_max_bytes(i32::MAX);
                if version <= 14 {
                    request = request.with_replica_id(replica.into());
                } else {
                    request.replica_state.replica_id = replica.into();
                }
                if version >= 7 {
                    request = request.with_session_epoch(0);
                }
                let round = rig.client(frames::request(version, 3, &request));
                let (_, sent) =
                    frames::decode_request::<FetchRequest>(&round.only_forwarded().bytes);
                assert_eq!(sent.replica_id, -1);
                assert_eq!(sent.replica_state, Default::default());
                assert_eq!((sent.session_id, sent.session_epoch), (0, -1));
                assert_eq!(sent.max_bytes, limits::FETCH_BYTES_MAX);
                assert_eq!(sent.isolation_level, request.isolation_level);
                assert_eq!(sent.topics.len(), 1);
            }
        }
    }
}

#[test]
fn a_masked_topic_makes_the_whole_answer_small_enough_to_hold() {
    let mut rig = Rig::authenticated("reader");
    let request = fetch(&[("orders", vec![(0, 0)]), ("masked", vec![(0, 0)])]);
    let round = rig.client(frames::request(12, 3, &request));
    let (_, sent) = frames::decode_request::<FetchRequest>(&round.only_forwarded().bytes);
    assert_eq!(sent.max_bytes, limits::MASKED_FETCH_BYTES_MAX);
    assert!(round.fact(Kind::Intent).partition("masked", 0).masked);
    assert!(!round.fact(Kind::Intent).partition("orders", 0).masked);
}

#[test]
fn a_fetch_session_is_answered_with_70() {
    for version in 7..=18 {
        for session_id in [1, -1, i32::MAX] {
            let mut rig = Rig::authenticated("reader");
            let request = fetch(&[]).with_session_id(session_id).with_session_epoch(4);
            let round = rig.client(frames::request(version, 3, &request));
            let (correlation_id, answer) =
                frames::decode_response::<FetchRequest>(version, round.only_answer());
            assert_eq!(
                (correlation_id, answer.error_code, answer.session_id),
                (3, 70, 0)
            );
            assert!(answer.responses.is_empty());
        }
    }
}

#[test]
fn the_broker_opens_no_session_either() {
    for version in 7..=18 {
        let mut rig = Rig::authenticated("reader");
        rig.client(frames::request(
            version,
            3,
            &fetch(&[("orders", vec![(0, 0)])]),
        ))
        .only_forwarded();
        let answer = fetched(&[("orders", vec![(0, plain(b"a"))])]).with_session_id(4711);
        let round = rig.broker(frames::response::<FetchRequest>(version, 3, &answer));
        let (_, read) = frames::decode_response::<FetchRequest>(version, &round.answers[0].bytes);
        assert_eq!(read.session_id, 0);
        assert_eq!(fetch_results(&read), fetch_results(&answer));
    }
}

#[test]
fn forgotten_topics_and_tags_do_not_pass() {
    let mut rig = Rig::authenticated("reader");
    let mut request = fetch(&[("orders", vec![(0, 0)])]).with_cluster_id(Some(frames::text("c")));
    request.forgotten_topics_data = vec![
        ForgottenTopic::default()
            .with_topic(frames::topic("hidden"))
            .with_partitions(vec![1]),
    ];
    let round = rig.client(frames::request(12, 3, &request));
    let (_, sent) = frames::decode_request::<FetchRequest>(&round.only_forwarded().bytes);
    assert!(sent.forgotten_topics_data.is_empty());
    assert_eq!(sent.cluster_id, None);
    let fetched = |request: &FetchRequest| {
        let topic = &request.topics[0];
        (topic.topic.clone(), topic.partitions.clone())
    };
    assert_eq!(fetched(&sent), fetched(&request));
}

#[test]
fn a_denied_topic_without_partitions_does_not_go_on() {
    for version in VERSIONS {
        let mut rig = Rig::authenticated("reader");
        let round = rig.client(frames::request(version, 1, &fetch(&[("hidden", vec![])])));
        let (_, read) = frames::decode_response::<FetchRequest>(version, round.only_answer());
        assert_eq!((read.error_code, read.responses.len()), (0, 0));
        let request = fetch(&[("orders", vec![(0, 0)]), ("hidden", vec![])]);
        let round = rig.client(frames::request(version, 2, &request));
        let (_, sent) = frames::decode_request::<FetchRequest>(&round.only_forwarded().bytes);
        assert_eq!(sent.topics.len(), 1);
    }
}

#[test]
fn denied_partitions_are_merged_in_the_requests_order() {
    for version in VERSIONS {
        let mut rig = Rig::authenticated("reader");
        let request = fetch(&[
            ("hidden", vec![(2, 0), (1, 0)]),
            ("orders", vec![(1, 0), (0, 0)]),
            ("ledger", vec![(0, 0)]),
            ("clicks", vec![(4, 0)]),
        ]);
        let round = rig.client(frames::request(version, 3, &request));
        let (_, sent) = frames::decode_request::<FetchRequest>(&round.only_forwarded().bytes);
        let names: Vec<_> = sent
            .topics
            .iter()
            .map(|topic| frames::name_of(&topic.topic, topic.topic_id))
            .collect();
        assert_eq!(names, ["orders", "clicks"]);
        let (a, b, c) = (plain(b"a"), plain(b"b"), plain(b"c"));
        let mut answer = fetched(&[
            ("clicks", vec![(4, c.clone())]),
            ("orders", vec![(0, a.clone()), (1, b.clone())]),
        ])
        .with_throttle_time_ms(5);
        answer.responses[1].partitions[0].aborted_transactions = Some(vec![
            AbortedTransaction::default()
                .with_producer_id(4.into())
                .with_first_offset(2),
        ]);
        let round = rig.broker(frames::response::<FetchRequest>(version, 3, &answer));
        let (correlation_id, read) =
            frames::decode_response::<FetchRequest>(version, &round.answers[0].bytes);
        assert_eq!((correlation_id, read.throttle_time_ms), (3, 5));
        let expected = [
            ("hidden", 2, 29, vec![]),
            ("hidden", 1, 29, vec![]),
            ("orders", 1, 0, b),
            ("orders", 0, 0, a),
            ("ledger", 0, 29, vec![]),
            ("clicks", 4, 0, c),
        ];
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(name, index, error, records)| (name.to_owned(), index, error, records))
            .collect();
        assert_eq!(fetch_results(&read), expected);
        assert_eq!(
            read.responses[1].partitions[1].aborted_transactions,
            answer.responses[1].partitions[0].aborted_transactions
        );
        assert_eq!(round.fact(Kind::Outcome).items.len(), 3);
    }
}

#[test]
fn a_fetch_that_is_denied_whole_is_answered_here() {
    for version in VERSIONS {
        let mut rig = Rig::authenticated("writer");
        let round = rig.client(frames::request(
            version,
            3,
            &fetch(&[("orders", vec![(0, 0)]), ("masked", vec![(1, 5)])]),
        ));
        let (_, answer) = frames::decode_response::<FetchRequest>(version, round.only_answer());
        let expected = [
            ("orders".to_owned(), 0, 29, vec![]),
            ("masked".to_owned(), 1, 29, vec![]),
        ];
        assert_eq!(fetch_results(&answer), expected);
        assert!(round.has_fact(Kind::Denied));
    }
}

#[test]
fn an_answer_whose_right_was_revoked_carries_29_and_no_records() {
    for version in VERSIONS {
        for topic in ["orders", "masked"] {
            let mut rig = Rig::authenticated("reader");
            let request = fetch(&[(topic, vec![(0, 0)]), ("clicks", vec![(0, 0)])]);
            rig.client(frames::request(version, 3, &request))
                .only_forwarded();
            rig.world.apply(&POLICY.replace(
                "topics: [orders, clicks, masked, masked-too]",
                "topics: [clicks]",
            ));
            let kept = plain(b"kept");
            let answer = fetched(&[
                (topic, vec![(0, plain(b"gone-secret"))]),
                ("clicks", vec![(0, kept.clone())]),
            ]);
            let round = rig.broker(frames::response::<FetchRequest>(version, 3, &answer));
            let bytes = &round.answers[0].bytes;
            assert!(!bytes.windows(6).any(|window| window == b"secret"));
            let (_, read) = frames::decode_response::<FetchRequest>(version, bytes);
            let expected = [
                (topic.to_owned(), 0, 29, vec![]),
                ("clicks".to_owned(), 0, 0, kept),
            ];
            assert_eq!(fetch_results(&read), expected);
            let denied = round.fact(Kind::Denied);
            assert!(denied.items.iter().any(|item| item.resource == topic));
            let delivered = round.fact(Kind::Outcome);
            assert!(
                delivered.items.iter().all(
                    |item| item.resource != topic || !item.flags.contains(ItemFlags::DELIVERED)
                )
            );
        }
    }
}

#[test]
fn a_mask_that_came_while_the_fetch_was_in_flight_applies() {
    let mut rig = Rig::authenticated("reader");
    rig.client(frames::request(12, 3, &fetch(&[("orders", vec![(0, 0)])])))
        .only_forwarded();
    rig.world.apply(&POLICY.replace(
        "topics: [masked, masked-too]",
        "topics: [masked, masked-too, orders]",
    ));
    let answer = fetched(&[("orders", vec![(0, plain(br#"{"email":"a@b.c"}"#))])]);
    let round = rig.broker(frames::response::<FetchRequest>(12, 3, &answer));
    let (_, read) = frames::decode_response::<FetchRequest>(12, &round.answers[0].bytes);
    let seen = values(read.responses[0].partitions[0].records.as_ref().unwrap());
    assert!(!String::from_utf8_lossy(&seen[0]).contains("a@b.c"));
    assert!(round.fact(Kind::Outcome).partition("orders", 0).masked);
}

#[test]
fn an_answer_for_a_partition_that_was_not_asked_closes() {
    for answer in [
        fetched(&[("orders", vec![(1, plain(b"a"))])]),
        fetched(&[("clicks", vec![(0, plain(b"a"))])]),
        fetched(&[("hidden", vec![(0, plain(b"a"))])]),
        fetched(&[
            ("orders", vec![(0, plain(b"a"))]),
            ("masked", vec![(0, plain(b"a"))]),
        ]),
    ] {
        for version in VERSIONS {
            let mut rig = Rig::authenticated("reader");
            rig.client(frames::request(
                version,
                3,
                &fetch(&[("orders", vec![(0, 0)])]),
            ))
            .only_forwarded();
            let round = rig.broker(frames::response::<FetchRequest>(version, 3, &answer));
            assert!(
                matches!(round.closed, Some(Close::BrokerMalformed(_))),
                "{round:?}"
            );
            assert!(round.answers.is_empty());
        }
    }
}

#[test]
fn an_answer_for_a_denied_partition_carries_no_records() {
    let mut rig = Rig::authenticated("reader");
    rig.client(frames::request(
        12,
        3,
        &fetch(&[("orders", vec![(0, 0)]), ("hidden", vec![(0, 0)])]),
    ))
    .only_forwarded();
    let answer = fetched(&[
        ("orders", vec![(0, plain(b"a"))]),
        ("hidden", vec![(0, plain(b"secret"))]),
    ]);
    let round = rig.broker(frames::response::<FetchRequest>(12, 3, &answer));
    assert!(
        round
            .answers
            .iter()
            .all(|sent| !sent.bytes.windows(6).any(|window| window == b"secret"))
    );
}

#[test]
fn an_error_of_the_broker_passes() {
    for topics in [
        vec![("orders", vec![(0, 0)])],
        vec![("orders", vec![(0, 0)]), ("hidden", vec![(0, 0)])],
    ] {
        let mut rig = Rig::authenticated("reader");
        rig.client(frames::request(12, 3, &fetch(&topics)))
            .only_forwarded();
        let mut answer = fetched(&[("orders", vec![(0, vec![])])]);
        answer.responses[0].partitions[0].error_code = 1;
        let round = rig.broker(frames::response::<FetchRequest>(12, 3, &answer));
        let (_, read) = frames::decode_response::<FetchRequest>(12, &round.answers[0].bytes);
        let found = fetch_results(&read);
        assert_eq!(
            found.iter().find(|result| result.0 == "orders").unwrap().2,
            1
        );
        assert_eq!(
            round.fact(Kind::Outcome).partition("orders", 0).error_code,
            1
        );
    }
}

#[test]
fn the_admin_client_id_reads_no_internal_topic() {
    let mut rig = Rig::authenticated("reader");
    let request = fetch(&[
        ("orders", vec![(0, 0)]),
        ("__consumer_offsets", vec![(0, 0)]),
    ]);
    let round = rig.client(frames::request_as(Some("__admin_client"), 12, 3, &request));
    let (header, sent) = frames::decode_request::<FetchRequest>(&round.only_forwarded().bytes);
    assert_ne!(header.client_id, Some(frames::text("__admin_client")));
    assert_eq!(sent.topics.len(), 1);
}
