//! What an adversary found once: each of these failed before it was mended.

mod support;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{FetchRequest, MetadataRequest, MetadataResponse, ProduceRequest};
use sluice_evidence::Kind;
use sluice_session::Close;

use support::batch::{BatchSpec, idempotent, plain};
use support::facts::{TOPIC, TRANSACTIONAL_ID};
use support::frames::{self, fetch, fetch_results, fetched, produce, produce_results};
use support::{Rig, Round};

fn write(rig: &mut Rig, acks: i16, records: Vec<u8>) -> Round {
    rig.client(frames::request(
        9,
        1,
        &produce(acks, &[("payments", vec![(0, records)])]),
    ))
}

/// Sequences go from 2^31 - 1 to 0, and never below 0.
#[test]
fn sequences_wrap_without_confusing_the_gate() {
    let mut rig = Rig::authenticated("writer");
    assert!(
        write(&mut rig, -1, idempotent(5, i32::MAX - 2))
            .forwarded
            .is_empty()
    );
    rig.world.grant("User:writer", "payments");
    assert!(
        write(&mut rig, -1, idempotent(5, 0)).forwarded.is_empty(),
        "0 follows the largest sequence"
    );
    write(&mut rig, -1, idempotent(5, i32::MAX - 2)).only_forwarded();
    write(&mut rig, -1, idempotent(5, 0)).only_forwarded();
}

/// `AllowAutoTopicCreation` exists from version 4 on; kafka-protocol refuses to encode `false` before.
#[test]
fn metadata_before_version_4_is_served_or_not_offered() {
    for version in 0..4 {
        let offer = support::world::broker_offer().narrowed();
        let range = offer.ranges.iter().find(|range| range.key == 3).unwrap();
        if range.version_min > version {
            continue;
        }
        let mut rig = Rig::authenticated("reader");
        let named = MetadataRequestTopic::default().with_name(Some(frames::topic("orders")));
        let round = rig.client(frames::request(
            version,
            1,
            &MetadataRequest::default().with_topics(Some(vec![named])),
        ));
        assert_eq!(round.closed, None, "version {version}");
    }
}

/// In version 0 an empty list means all topics.
#[test]
fn metadata_0_for_a_hidden_topic_lists_no_other() {
    let mut rig = Rig::authenticated("reader");
    let named = MetadataRequestTopic::default().with_name(Some(frames::topic("ledger")));
    let round = rig.client(frames::request(
        0,
        1,
        &MetadataRequest::default().with_topics(Some(vec![named])),
    ));
    assert!(
        matches!(round.closed, None | Some(Close::ClientUnsupported { .. })),
        "{:?}",
        round.closed
    );
    let answers = if round.forwarded.is_empty() {
        round.answers
    } else {
        let all = ["orders", "clicks"]
            .map(|name| MetadataResponseTopic::default().with_name(Some(frames::topic(name))));
        let all = MetadataResponse::default().with_topics(all.into());
        rig.broker(frames::response::<MetadataRequest>(0, 1, &all))
            .answers
    };
    for answer in answers {
        let (_, read) = frames::decode_response::<MetadataRequest>(0, &answer.bytes);
        assert_eq!(
            read.topics.len(),
            1,
            "only the topic that was asked for: {:?}",
            read.topics
        );
    }
}

#[test]
fn a_transactional_id_named_like_a_topic_keeps_its_own_item() {
    let mut rig = Rig::authenticated("writer");
    let request = frames::transactional(
        "orders",
        &[("orders", vec![(0, plain(b"a")), (1, plain(b"b"))])],
    );
    let round = rig.client(frames::request(9, 1, &request));
    let mut items: Vec<_> = round
        .fact(Kind::Intent)
        .items
        .iter()
        .map(|item| (item.resource_kind, item.partition))
        .collect();
    items.sort_unstable();
    assert_eq!(items, [(TOPIC, 0), (TOPIC, 1), (TRANSACTIONAL_ID, -1)]);
}

#[test]
fn an_intent_names_only_what_goes_on() {
    let control = BatchSpec {
        control: true,
        ..BatchSpec::default()
    }
    .of(&[b"c"]);
    for other in [
        ("payments", vec![(0, plain(b"held"))]),
        ("clicks", vec![(0, control)]),
    ] {
        let mut rig = Rig::authenticated("writer");
        let round = rig.client(frames::request(
            9,
            1,
            &produce(-1, &[("orders", vec![(0, plain(b"a"))]), other]),
        ));
        round.only_forwarded();
        assert_eq!(round.fact(Kind::Intent).named(), [("orders", 0)]);
    }
}

/// The consumer would ask for the same offset for ever, and nobody would see why.
#[test]
fn a_masked_partition_that_starts_with_an_older_format_is_corrupt() {
    let mut old = plain(br#"{"email":"a@b.c"}"#);
    old[16] = 1;
    let mut rig = Rig::authenticated("reader");
    rig.client(frames::request(12, 1, &fetch(&[("masked", vec![(0, 0)])])))
        .only_forwarded();
    let round = rig.broker(frames::response::<FetchRequest>(
        12,
        1,
        &fetched(&[("masked", vec![(0, old)])]),
    ));
    let (_, read) = frames::decode_response::<FetchRequest>(12, &round.answers[0].bytes);
    assert_eq!(fetch_results(&read), [("masked".to_owned(), 0, 2, vec![])]);
}

/// Otherwise one connection may try tokens for ever, each of them a record in the evidence.
#[test]
fn a_failed_exchange_is_acknowledged_and_not_begun_again() {
    let mut rig = Rig::connected();
    rig.present("not.a.token").only_answer();
    let round = rig.client(frames::handshake("OAUTHBEARER"));
    assert!(round.closed.is_some(), "{round:?}");
}

/// The refused sequence has not gone on, so what follows it may not either.
#[test]
fn a_write_that_closes_the_session_does_not_clear_the_gate() {
    let mut rig = Rig::authenticated("writer");
    assert!(write(&mut rig, -1, idempotent(5, 0)).forwarded.is_empty());
    rig.world.grant("User:writer", "payments");
    assert_eq!(
        *write(&mut rig, 0, idempotent(5, 0)).close(),
        Close::ClientDeniedUnanswerable
    );
    rig.reconnect("writer");
    assert!(
        write(&mut rig, -1, idempotent(5, 3)).forwarded.is_empty(),
        "0 was never written"
    );
}

#[test]
fn a_granted_write_without_acknowledgement_is_recorded_as_denied() {
    let mut rig = Rig::authenticated("writer");
    rig.world.grant("User:writer", "payments");
    let round = write(&mut rig, 0, plain(b"a"));
    assert_eq!(*round.close(), Close::ClientDeniedUnanswerable);
    assert_eq!(round.fact(Kind::Denied).items[0].resource, "payments");
}

/// What the broker appends is not reported as denied: the client would write it again.
#[test]
fn a_partition_that_is_named_twice_is_denied_or_forwarded_as_one() {
    let mut rig = Rig::authenticated("writer");
    let control = BatchSpec {
        control: true,
        ..BatchSpec::default()
    }
    .of(&[b"c"]);
    let request = produce(-1, &[("orders", vec![(0, plain(b"good")), (0, control)])]);
    let round = rig.client(frames::request(9, 1, &request));
    if round.forwarded.is_empty() {
        return;
    }
    let answer = frames::produced(&[("orders", vec![(0, 5)])]);
    let round = rig.broker(frames::response::<ProduceRequest>(9, 1, &answer));
    let (_, read) = frames::decode_response::<ProduceRequest>(9, &round.answers[0].bytes);
    assert_eq!(produce_results(&read), [("orders".to_owned(), 0, 0, 5)]);
}
