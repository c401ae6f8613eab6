//! Produce: what goes on as it came, what is split, what is answered here.

use kafka_protocol::messages::ProduceRequest;
use sluice_evidence::{ItemFlags, Kind};
use sluice_session::Close;

use crate::support::batch::{BatchSpec, plain};
use crate::support::facts::{TRANSACTIONAL_ID, WRITE};
use crate::support::frames::{self, produce, produce_results, produced, transactional};
use crate::support::{Place, Rig};

const VERSIONS: std::ops::RangeInclusive<i16> = 3..=13;

/// What the client reads when everything is answered here.
#[track_caller]
fn denied_here(
    rig: &mut Rig,
    version: i16,
    request: &ProduceRequest,
) -> Vec<(String, i32, i16, i64)> {
    let round = rig.client(frames::request(version, 1, request));
    let (correlation_id, answer) =
        frames::decode_response::<ProduceRequest>(version, round.only_answer());
    assert_eq!(correlation_id, 1);
    produce_results(&answer)
}

#[test]
fn forwards_an_allowed_request_where_it_lies() {
    for version in VERSIONS {
        let mut rig = Rig::authenticated("writer");
        let records = BatchSpec {
            base_offset: 0,
            ..BatchSpec::default()
        }
        .of(&[b"one", b"two"]);
        let request = produce(
            -1,
            &[
                ("orders", vec![(0, records.clone()), (3, records.clone())]),
                ("clicks", vec![(1, records)]),
            ],
        );
        let frame = frames::request(version, 42, &request);
        let round = rig.client(frame.clone());
        let sent = round.only_forwarded();
        assert_eq!(sent.place, Place::Buffer);
        assert_eq!(sent.bytes, frame, "byte for byte");

        let intent = round.fact(Kind::Intent);
        assert_eq!(
            (intent.principal.as_str(), intent.api),
            ("User:writer", Some((0, version)))
        );
        assert_eq!(
            intent.named(),
            [("orders", 0), ("orders", 3), ("clicks", 1)]
        );
        let item = intent.partition("orders", 3);
        assert_eq!((item.operation, item.records_count), (WRITE, 2));
        assert!(item.batch_crc.is_some());

        let answer = produced(&[
            ("orders", vec![(0, 10), (3, 20)]),
            ("clicks", vec![(1, 30)]),
        ]);
        let frame = frames::response::<ProduceRequest>(version, 42, &answer);
        let round = rig.broker(frame.clone());
        assert_eq!(round.answers.len(), 1);
        if version < 10 {
            assert_eq!(
                (round.answers[0].place, &round.answers[0].bytes),
                (Place::Buffer, &frame)
            );
        }
        let (_, read) = frames::decode_response::<ProduceRequest>(version, &round.answers[0].bytes);
        assert_eq!(produce_results(&read), produce_results(&answer));
        let outcome = round.fact(Kind::Outcome);
        assert_eq!(outcome.answers, Some(intent.sequence));
        let item = outcome.partition("orders", 3);
        assert_eq!(
            (item.first_offset, item.records_count, item.error_code),
            (20, 2, 0)
        );
    }
}

#[test]
fn splits_a_mixed_request_and_merges_the_answers_in_its_order() {
    for version in VERSIONS {
        let mut rig = Rig::authenticated("writer");
        let (a, b, c) = (plain(b"a"), plain(b"b"), plain(b"c"));
        let request = produce(
            -1,
            &[
                ("hidden", vec![(7, a.clone())]),
                ("orders", vec![(1, b.clone()), (0, c.clone())]),
                ("ledger", vec![(2, a), (3, b.clone())]),
                ("clicks", vec![(5, c.clone())]),
            ],
        );
        let round = rig.client(frames::request(version, 9, &request));
        let sent = round.only_forwarded();
        let (header, split) = frames::decode_request::<ProduceRequest>(&sent.bytes);
        assert_eq!(header.correlation_id, 9);
        assert_eq!(header.client_id, Some(frames::text(frames::CLIENT_ID)));
        assert_eq!((split.acks, split.timeout_ms), (-1, 30_000));
        let kept: Vec<_> = split
            .topic_data
            .iter()
            .flat_map(|topic| {
                topic.partition_data.iter().map(|data| {
                    (
                        frames::name_of(&topic.name, topic.topic_id),
                        data.index,
                        data.records.clone().unwrap(),
                    )
                })
            })
            .collect();
        assert_eq!(
            kept,
            [
                ("orders".into(), 1, b.into()),
                ("orders".into(), 0, c.clone().into()),
                ("clicks".to_string(), 5, bytes::Bytes::from(c)),
            ]
        );
        let denied = round.fact(Kind::Denied);
        assert_eq!(
            denied
                .items
                .iter()
                .map(|item| item.resource.as_str())
                .collect::<Vec<_>>(),
            ["hidden", "ledger"]
        );

        // The broker answers in an order of its own.
        let answer = produced(&[
            ("clicks", vec![(5, 50)]),
            ("orders", vec![(0, 100), (1, 101)]),
        ])
        .with_throttle_time_ms(77);
        let round = rig.broker(frames::response::<ProduceRequest>(version, 9, &answer));
        let (correlation_id, read) =
            frames::decode_response::<ProduceRequest>(version, &round.answers[0].bytes);
        assert_eq!((correlation_id, read.throttle_time_ms), (9, 77));
        let expected = [
            ("hidden", 7, 29, -1),
            ("orders", 1, 0, 101),
            ("orders", 0, 0, 100),
            ("ledger", 2, 29, -1),
            ("ledger", 3, 29, -1),
            ("clicks", 5, 0, 50),
        ];
        assert_eq!(
            produce_results(&read),
            expected.map(|(topic, index, error, offset)| (topic.to_owned(), index, error, offset))
        );
        if version >= 8 {
            let message = read.responses[0].partition_responses[0]
                .error_message
                .clone()
                .unwrap();
            assert!(
                message.contains(&denied.denial_id),
                "{message} names {}",
                denied.denial_id
            );
        }
        assert_eq!(
            round.fact(Kind::Outcome).named(),
            [("clicks", 5), ("orders", 0), ("orders", 1)]
        );
    }
}

#[test]
fn answers_a_request_that_is_denied_whole() {
    for version in VERSIONS {
        let mut rig = Rig::authenticated("reader");
        let request = produce(
            1,
            &[
                ("orders", vec![(0, plain(b"a"))]),
                ("nowhere", vec![(4, plain(b"b"))]),
            ],
        );
        let results = denied_here(&mut rig, version, &request);
        assert_eq!(
            results,
            [
                ("orders".to_owned(), 0, 29, -1),
                ("nowhere".to_owned(), 4, 29, -1)
            ]
        );
        assert_eq!(rig.session.in_flight_count(), 0);
    }
}

#[test]
fn a_denied_transactional_id_is_denied_without_partitions_too() {
    for version in VERSIONS {
        let mut rig = Rig::authenticated("writer");
        let request = transactional("another's", &[]);
        assert_eq!(denied_here(&mut rig, version, &request), []);
        let unacknowledged = request.with_acks(0);
        let round = rig.client(frames::request(version, 2, &unacknowledged));
        assert_eq!(round.close(), &Close::ClientDeniedUnanswerable);
        assert!(round.has_fact(Kind::Denied) && !round.has_fact(Kind::Intent));
    }
}

/// A topic may stand twice in a request; what becomes of one does not touch the other.
#[test]
fn every_batch_that_is_forwarded_is_in_the_intent_even_if_its_topic_stands_twice() {
    for version in VERSIONS {
        let mut rig = Rig::authenticated("writer");
        let good = || vec![(0, plain(b"a"))];
        let nothing = produce(0, &[("orders", good()), ("orders", vec![])]);
        let round = rig.client(frames::request(version, 1, &nothing));
        round.only_forwarded();
        assert_eq!(round.fact(Kind::Intent).named(), [("orders", 0)]);

        let mut rig = Rig::authenticated("writer");
        let broken = vec![(1, b"no batch".to_vec())];
        let mixed = produce(
            1,
            &[("orders", good()), ("orders", broken), ("clicks", good())],
        );
        let round = rig.client(frames::request(version, 2, &mixed));
        round.only_forwarded();
        assert_eq!(
            round.fact(Kind::Intent).named(),
            [("orders", 0), ("clicks", 0)]
        );
    }
}

#[test]
fn a_denied_topic_without_partitions_does_not_go_on() {
    for version in VERSIONS {
        let mut rig = Rig::authenticated("writer");
        let request = produce(1, &[("hidden", vec![])]);
        assert_eq!(denied_here(&mut rig, version, &request), []);
        let request = produce(1, &[("orders", vec![(0, plain(b"a"))]), ("hidden", vec![])]);
        let round = rig.client(frames::request(version, 2, &request));
        let (_, sent) = frames::decode_request::<ProduceRequest>(&round.only_forwarded().bytes);
        assert_eq!(sent.topic_data.len(), 1);
    }
}

#[test]
fn a_partition_number_that_means_nothing_is_recorded_like_any_other() {
    let mut rig = Rig::authenticated("writer");
    let batches = vec![(-1, plain(b"a")), (-7, plain(b"b")), (0, plain(b"c"))];
    let round = rig.client(frames::request(9, 1, &produce(1, &[("orders", batches)])));
    round.only_forwarded();
    assert_eq!(
        round.fact(Kind::Intent).named(),
        [("orders", -1), ("orders", -7), ("orders", 0)]
    );
}

#[test]
fn unknown_tags_do_not_pass() {
    let mut rig = Rig::authenticated("writer");
    let mut request = produce(1, &[("orders", vec![(0, plain(b"a"))])]);
    request.topic_data[0]
        .unknown_tagged_fields
        .insert(9, bytes::Bytes::from_static(b"smuggled"));
    let round = rig.client(frames::request(11, 1, &request));
    let (_, read) = frames::decode_request::<ProduceRequest>(&round.only_forwarded().bytes);
    assert!(read.topic_data[0].unknown_tagged_fields.is_empty());
    assert_eq!(
        read.topic_data[0].partition_data,
        request.topic_data[0].partition_data
    );
}

#[test]
fn a_denied_request_without_acknowledgement_closes_and_is_recorded() {
    for topics in [
        vec![("hidden", vec![(0, plain(b"a"))])],
        vec![
            ("orders", vec![(0, plain(b"a"))]),
            ("hidden", vec![(0, plain(b"a"))]),
        ],
    ] {
        let mut rig = Rig::authenticated("writer");
        let round = rig.client(frames::request(9, 1, &produce(0, &topics)));
        assert_eq!(*round.close(), Close::ClientDeniedUnanswerable);
        assert!(
            round.answers.is_empty(),
            "an answer would be taken for another request's"
        );
        let denied = round.fact(Kind::Denied);
        assert_eq!(denied.named(), [("hidden", -1)]);
        assert!(!round.has_fact(Kind::Intent));
        assert_eq!(
            rig.closed(round.close())[0].reason_code,
            "client-denied-unanswerable"
        );
    }
}

#[test]
fn a_request_without_acknowledgement_leaves_nothing_in_flight() {
    let mut rig = Rig::authenticated("writer");
    let frame = frames::request(9, 1, &produce(0, &[("orders", vec![(0, plain(b"a"))])]));
    let round = rig.client(frame.clone());
    assert_eq!(round.only_forwarded().bytes, frame);
    assert_eq!(rig.session.in_flight_count(), 0);
    let item = round.fact(Kind::Intent).partition("orders", 0).clone();
    assert!(
        item.flags
            .contains(ItemFlags::UNACKNOWLEDGED.with(ItemFlags::OFFSETS_UNKNOWN))
    );
    // The next answer belongs to the next request.
    rig.client(frames::request(
        9,
        2,
        &produce(1, &[("orders", vec![(0, plain(b"b"))])]),
    ))
    .only_forwarded();
    let round = rig.broker(frames::response::<ProduceRequest>(
        9,
        2,
        &produced(&[("orders", vec![(0, 1)])]),
    ));
    assert_eq!(round.answers.len(), 1);
}

#[test]
fn a_write_without_acknowledgement_to_a_protected_topic_closes_even_with_a_grant() {
    let mut rig = Rig::authenticated("writer");
    rig.world.grant("User:writer", "payments");
    let round = rig.client(frames::request(
        9,
        1,
        &produce(0, &[("payments", vec![(0, plain(b"a"))])]),
    ));
    assert_eq!(*round.close(), Close::ClientDeniedUnanswerable);
}

#[test]
fn another_transactional_id_is_denied_with_53_everywhere() {
    for version in VERSIONS {
        let mut rig = Rig::authenticated("writer");
        let records = BatchSpec {
            transactional: true,
            producer_id: 5,
            producer_epoch: 0,
            base_sequence: 0,
            ..BatchSpec::default()
        }
        .of(&[b"t"]);
        let request = frames::transactional(
            "tx-2",
            &[
                ("orders", vec![(0, records.clone())]),
                ("hidden", vec![(1, records.clone())]),
            ],
        );
        let results = denied_here(&mut rig, version, &request);
        assert_eq!(
            results,
            [
                ("orders".to_owned(), 0, 53, -1),
                ("hidden".to_owned(), 1, 53, -1)
            ]
        );

        let own = frames::transactional("tx-1", &[("orders", vec![(0, records)])]);
        let round = rig.client(frames::request(version, 2, &own));
        round.only_forwarded();
        let intent = round.fact(Kind::Intent);
        assert!(
            intent
                .items
                .iter()
                .any(|item| item.resource_kind == TRANSACTIONAL_ID && item.resource == "tx-1")
        );
        assert!(
            intent
                .partition("orders", 0)
                .flags
                .contains(ItemFlags::TRANSACTIONAL)
        );
    }
}

#[test]
fn what_is_not_one_batch_of_format_2_is_rejected() {
    let two = [plain(b"a"), plain(b"b")].concat();
    let control = BatchSpec {
        control: true,
        ..BatchSpec::default()
    }
    .of(&[b"\0\0\0\0"]);
    let mut old = plain(b"a");
    old[16] = 1;
    let mut short = plain(b"a");
    short.pop();
    let mut negative = plain(b"a");
    negative[8..12].copy_from_slice(&(-1_i32).to_be_bytes());
    for (what, records) in [
        ("two batches", two),
        ("a control batch", control),
        ("format 1", old),
        ("a cut batch", short),
        ("a negative length", negative),
        ("nothing", vec![]),
        ("a few bytes", vec![0; 20]),
    ] {
        for version in VERSIONS {
            let mut rig = Rig::authenticated("writer");
            let request = produce(
                -1,
                &[("orders", vec![(0, records.clone()), (1, plain(b"good"))])],
            );
            let round = rig.client(frames::request(version, 1, &request));
            let (_, sent) = frames::decode_request::<ProduceRequest>(&round.only_forwarded().bytes);
            let indexes: Vec<i32> = sent.topic_data[0]
                .partition_data
                .iter()
                .map(|data| data.index)
                .collect();
            assert_eq!(indexes, [1], "{what} in version {version}");
            let round = rig.broker(frames::response::<ProduceRequest>(
                version,
                1,
                &produced(&[("orders", vec![(1, 5)])]),
            ));
            let (_, answer) =
                frames::decode_response::<ProduceRequest>(version, &round.answers[0].bytes);
            assert_eq!(
                produce_results(&answer),
                [
                    ("orders".to_owned(), 0, 87, -1),
                    ("orders".to_owned(), 1, 0, 5)
                ]
            );
        }
    }
}

#[test]
fn a_partition_without_records_is_rejected() {
    let mut rig = Rig::authenticated("writer");
    let mut request = produce(1, &[("orders", vec![(0, plain(b"a"))])]);
    request.topic_data[0].partition_data[0].records = None;
    assert_eq!(
        denied_here(&mut rig, 9, &request),
        [("orders".to_owned(), 0, 87, -1)]
    );
}

#[test]
fn brokers_addresses_do_not_come_back() {
    use kafka_protocol::messages::produce_response::NodeEndpoint;
    for mixed in [false, true] {
        let mut rig = Rig::authenticated("writer");
        let mut topics = vec![("orders", vec![(0, plain(b"a"))])];
        if mixed {
            topics.push(("hidden", vec![(0, plain(b"a"))]));
        }
        rig.client(frames::request(11, 1, &produce(1, &topics)))
            .only_forwarded();
        let mut answer = produced(&[("orders", vec![(0, -1)])]);
        answer.responses[0].partition_responses[0].error_code = 6;
        answer.responses[0].partition_responses[0]
            .current_leader
            .leader_id = 1.into();
        answer.node_endpoints = vec![
            NodeEndpoint::default()
                .with_node_id(1.into())
                .with_host(frames::text("broker-1.internal"))
                .with_port(9092),
        ];
        let round = rig.broker(frames::response::<ProduceRequest>(11, 1, &answer));
        let bytes = &round.answers[0].bytes;
        assert!(!bytes.windows(8).any(|window| window == b"internal"));
        let (_, read) = frames::decode_response::<ProduceRequest>(11, bytes);
        assert_eq!(read.responses[0].partition_responses[0].error_code, 6);
    }
}

#[test]
fn the_admin_client_id_loses_its_powers() {
    for (version, topics) in [
        (9, vec![("orders", vec![(0, plain(b"a"))])]),
        (
            3,
            vec![
                ("orders", vec![(0, plain(b"a"))]),
                ("hidden", vec![(0, plain(b"a"))]),
            ],
        ),
    ] {
        let mut rig = Rig::authenticated("writer");
        let round = rig.client(frames::request_as(
            Some("__admin_client"),
            version,
            1,
            &produce(1, &topics),
        ));
        let (header, _) = frames::decode_request::<ProduceRequest>(&round.only_forwarded().bytes);
        assert_ne!(header.client_id, Some(frames::text("__admin_client")));
        assert_eq!(
            round.fact(Kind::Intent).client_id,
            "__admin_client",
            "evidence says what the client said"
        );
    }
}

#[test]
fn internal_topics_are_denied() {
    let mut rig = Rig::on(crate::support::World::new(
        &crate::support::world::POLICY.replace(
            "topics: [orders, clicks, payments, masked, sealed]",
            "topics: [{prefix: \"\"}]",
        ),
    ));
    rig.authenticate("writer");
    for topic in [
        "__consumer_offsets",
        "__transaction_state",
        "__share_group_state",
    ] {
        let results = denied_here(&mut rig, 9, &produce(1, &[(topic, vec![(0, plain(b"a"))])]));
        assert_eq!(results, [(topic.to_owned(), 0, 29, -1)]);
    }
}
