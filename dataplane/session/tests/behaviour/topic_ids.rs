//! Topics that requests name by id: decided by the name that a broker gave for it, forwarded by the id.

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{FetchRequest, MetadataRequest, MetadataResponse, ProduceRequest};
use sluice_evidence::Kind;
use uuid::Uuid;

use crate::support::batch::plain;
use crate::support::frames::{self, fetch, fetched, produce, text, topic, topic_id};
use crate::support::{Place, Rig};

const UNKNOWN_TOPIC_ID: i16 = 100;
const NEW: Uuid = Uuid::from_u128(0xfeed);

fn produce_to(id: Uuid) -> ProduceRequest {
    let mut request = produce(-1, &[("orders", vec![(0, plain(b"v"))])]);
    request.topic_data[0].topic_id = id;
    request
}

fn fetch_from(id: Uuid) -> FetchRequest {
    let mut request = fetch(&[("orders", vec![(0, 4)])]);
    request.topics[0].topic_id = id;
    request
}

/// A broker's answer, through this session, that names the topic of an id.
fn describe(rig: &mut Rig, name: &str, id: Uuid) {
    let asked = MetadataRequestTopic::default().with_name(Some(topic(name)));
    let request = MetadataRequest::default().with_topics(Some(vec![asked]));
    rig.client(frames::request(12, 1, &request))
        .only_forwarded();
    let described = MetadataResponseTopic::default()
        .with_name(Some(topic(name)))
        .with_topic_id(id);
    let answer = MetadataResponse::default().with_topics(vec![described]);
    rig.broker(frames::response::<MetadataRequest>(12, 1, &answer));
}

#[test]
fn an_id_that_no_broker_has_named_is_answered_with_100_until_one_does() {
    let mut rig = Rig::authenticated("writer");
    let round = rig.client(frames::request(13, 1, &produce_to(NEW)));
    let (_, answer) = frames::decode_response::<ProduceRequest>(13, round.only_answer());
    assert_eq!(answer.responses[0].topic_id, NEW);
    let result = &answer.responses[0].partition_responses[0];
    assert_eq!((result.index, result.error_code), (0, UNKNOWN_TOPIC_ID));
    assert_eq!(round.fact(Kind::Denied).items.len(), 1);

    describe(&mut rig, "orders", NEW);
    let frame = frames::request(13, 1, &produce_to(NEW));
    let round = rig.client(frame.clone());
    let sent = round.only_forwarded();
    assert_eq!((sent.place, &sent.bytes), (Place::Buffer, &frame));
    let intent = round.fact(Kind::Intent);
    assert_eq!(intent.named(), [("orders", 0)]);
    let id = Some(NEW.into_bytes());
    assert_eq!(
        intent.items[0].topic_id, id,
        "evidence tells topics of one name apart"
    );
    let mut answer = frames::produced(&[("orders", vec![(0, 7)])]);
    answer.responses[0].topic_id = NEW;
    let round = rig.broker(frames::response::<ProduceRequest>(13, 1, &answer));
    assert_eq!(round.fact(Kind::Outcome).items[0].topic_id, id);
}

#[test]
fn a_fetch_of_an_unknown_id_is_answered_beside_the_known_ones() {
    for version in 13..=18 {
        let mut rig = Rig::authenticated("reader");
        let mut request = fetch(&[
            ("clicks", vec![(0, 0)]),
            ("orders", vec![(1, 7)]),
            ("hidden", vec![(2, 0)]),
        ]);
        request.topics[0].topic_id = NEW;
        let round = rig.client(frames::request(version, 1, &request));
        let (_, sent) = frames::decode_request::<FetchRequest>(&round.only_forwarded().bytes);
        assert_eq!(sent.topics.len(), 1);
        assert_eq!(sent.topics[0].topic_id, topic_id("orders"));
        let answer = fetched(&[("orders", vec![(1, plain(b"v"))])]);
        let round = rig.broker(frames::response::<FetchRequest>(version, 1, &answer));
        let (_, read) = frames::decode_response::<FetchRequest>(version, &round.answers[0].bytes);
        let results: Vec<_> = read
            .responses
            .iter()
            .map(|topic| (topic.topic_id, topic.partitions[0].error_code))
            .collect();
        assert_eq!(
            results,
            [
                (NEW, UNKNOWN_TOPIC_ID),
                (topic_id("orders"), 0),
                (topic_id("hidden"), 29)
            ]
        );
        assert_eq!(round.fact(Kind::Outcome).named(), [("orders", 1)]);
    }
}

/// A topic that is deleted and created again has another id under the same name, and both are decided by that name.
#[test]
fn a_topic_that_is_created_again_is_decided_under_its_new_id_too() {
    let mut rig = Rig::authenticated("reader");
    for id in [topic_id("orders"), NEW] {
        describe(&mut rig, "orders", id);
        let round = rig.client(frames::request(16, 1, &fetch_from(id)));
        let (_, sent) = frames::decode_request::<FetchRequest>(&round.only_forwarded().bytes);
        assert_eq!(sent.topics[0].topic_id, id, "what was decided is forwarded");
        let mut answer = fetched(&[("orders", vec![(0, vec![])])]);
        answer.responses[0].topic_id = id;
        rig.broker(frames::response::<FetchRequest>(16, 1, &answer));
    }
    let mut other = Rig::on(rig.world);
    other.authenticate("writer");
    let round = other.client(frames::request(16, 1, &fetch_from(NEW)));
    let (_, answer) = frames::decode_response::<FetchRequest>(16, round.only_answer());
    assert_eq!(answer.responses[0].partitions[0].error_code, 29);
}

#[test]
fn a_broker_that_answers_under_another_id_ends_the_session() {
    let mut rig = Rig::authenticated("reader");
    rig.client(frames::request(16, 1, &fetch_from(topic_id("orders"))));
    let answer = fetched(&[("masked", vec![(0, plain(b"secret"))])]);
    let round = rig.broker(frames::response::<FetchRequest>(16, 1, &answer));
    assert!(round.closed.is_some() && round.answers.is_empty());
}

#[test]
fn values_are_masked_where_the_topic_is_named_by_id() {
    let mut rig = Rig::authenticated("reader");
    let request = fetch(&[("masked", vec![(0, 0)])]);
    let frame = frames::request(17, 1, &request);
    rig.client(frame).only_forwarded();
    let records = plain(br#"{"email":"a@b.c"}"#);
    let answer = fetched(&[("masked", vec![(0, records)])]);
    let round = rig.broker(frames::response::<FetchRequest>(17, 1, &answer));
    let (_, read) = frames::decode_response::<FetchRequest>(17, &round.answers[0].bytes);
    let records = read.responses[0].partitions[0].records.clone().unwrap();
    let shown = String::from_utf8_lossy(&records).into_owned();
    assert!(
        shown.contains("tok_") && !shown.contains("a@b.c"),
        "{shown}"
    );
}

/// KIP-951: from version 16 on a broker adds the addresses of leaders beside "not the leader".
#[test]
fn brokers_addresses_in_a_fetch_answer_do_not_come_back() {
    for version in 16..=18 {
        let mut rig = Rig::authenticated("reader");
        let request = fetch(&[("orders", vec![(0, 0)])]);
        rig.client(frames::request(version, 1, &request));
        let mut answer = fetched(&[("orders", vec![(0, vec![])])]);
        answer.responses[0].partitions[0].error_code = 6;
        let mut node = kafka_protocol::messages::fetch_response::NodeEndpoint::default();
        node.host = text("broker.internal");
        answer.node_endpoints.push(node);
        let round = rig.broker(frames::response::<FetchRequest>(version, 1, &answer));
        let bytes = &round.answers[0].bytes;
        assert!(!bytes.windows(15).any(|part| part == b"broker.internal"));
        let (_, read) = frames::decode_response::<FetchRequest>(version, bytes);
        assert_eq!(read.responses[0].partitions[0].error_code, 6);
    }
}
