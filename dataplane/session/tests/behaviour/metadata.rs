//! What a client sees of the cluster: its topics, the gateway's addresses, its own rights.

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    DescribeClusterRequest, DescribeClusterResponse, FindCoordinatorRequest,
    FindCoordinatorResponse, MetadataRequest, MetadataResponse,
};
use sluice_evidence::Kind;
use uuid::Uuid;

use crate::support::Rig;
use crate::support::frames::{self, text, topic};

const READ_BIT: i32 = 1 << 3;
const WRITE_BIT: i32 = 1 << 4;
const DESCRIBE_BIT: i32 = 1 << 8;
const UNSET: i32 = i32::MIN;

fn ask(names: &[&str]) -> MetadataRequest {
    let topics = names
        .iter()
        .map(|name| MetadataRequestTopic::default().with_name(Some(frames::topic(name))));
    MetadataRequest::default().with_topics(Some(topics.collect()))
}

fn cluster(version: i16, topics: &[(&str, u128)]) -> MetadataResponse {
    let brokers = (0..3).map(|id| {
        MetadataResponseBroker::default()
            .with_node_id(id.into())
            .with_host(text("broker.internal"))
            .with_port(9092)
    });
    let topics = topics.iter().map(|(name, id)| {
        let partition = MetadataResponsePartition::default()
            .with_leader_id(1.into())
            .with_replica_nodes(vec![1.into(), 2.into()]);
        let mut topic = MetadataResponseTopic::default()
            .with_name(Some(frames::topic(name)))
            .with_partitions(vec![partition]);
        if version >= 10 {
            topic.topic_id = Uuid::from_u128(*id);
        }
        if version >= 8 {
            topic.topic_authorized_operations = -1;
        }
        topic
    });
    let mut response = MetadataResponse::default()
        .with_brokers(brokers.collect())
        .with_topics(topics.collect());
    if (8..=10).contains(&version) {
        response.cluster_authorized_operations = -1;
    }
    response
}

#[track_caller]
fn answered(
    rig: &mut Rig,
    version: i16,
    request: &MetadataRequest,
    response: &MetadataResponse,
) -> (Vec<u8>, MetadataResponse) {
    let round = rig.client(frames::request(version, 4, request));
    assert_eq!(round.forwarded.len(), 1, "{round:?}");
    frames::decode_request::<MetadataRequest>(&round.forwarded[0].bytes);
    let round = rig.broker(frames::response::<MetadataRequest>(version, 4, response));
    assert_eq!(round.closed, None);
    let bytes = round.answers[0].bytes.clone();
    let read = frames::decode_response::<MetadataRequest>(version, &bytes).1;
    (bytes, read)
}

fn names(response: &MetadataResponse) -> Vec<(String, i16)> {
    let name = |topic: &MetadataResponseTopic| {
        topic
            .name
            .as_ref()
            .map_or(String::new(), |name| name.to_string())
    };
    response
        .topics
        .iter()
        .map(|topic| (name(topic), topic.error_code))
        .collect()
}

#[test]
fn a_listing_leaves_out_topics_that_may_not_be_described() {
    for version in 4..=13 {
        let mut rig = Rig::authenticated("reader");
        let request = MetadataRequest::default().with_topics(None);
        let all = cluster(
            version,
            &[
                ("orders", 1),
                ("ledger", 2),
                ("__consumer_offsets", 3),
                ("masked", 4),
            ],
        );
        let (bytes, read) = answered(&mut rig, version, &request, &all);
        assert_eq!(
            names(&read),
            [("orders".to_owned(), 0), ("masked".to_owned(), 0)]
        );
        assert!(!bytes.windows(6).any(|window| window == b"ledger"));
    }
}

#[test]
fn a_named_hidden_topic_is_denied_and_never_asked_of_the_broker() {
    for version in 4..=13 {
        let mut rig = Rig::authenticated("reader");
        let round = rig.client(frames::request(
            version,
            4,
            &ask(&["ledger", "orders", "ledger"]),
        ));
        let (_, sent) = frames::decode_request::<MetadataRequest>(&round.only_forwarded().bytes);
        assert_eq!(sent, ask(&["orders"]).with_allow_auto_topic_creation(false));
        assert!(
            round
                .fact(Kind::Denied)
                .items
                .iter()
                .all(|item| item.resource == "ledger")
        );
        let round = rig.broker(frames::response::<MetadataRequest>(
            version,
            4,
            &cluster(version, &[("orders", 1)]),
        ));
        let (_, read) =
            frames::decode_response::<MetadataRequest>(version, &round.answers[0].bytes);
        assert_eq!(
            names(&read)[..2],
            [("orders".to_owned(), 0), ("ledger".to_owned(), 29)]
        );
    }
}

#[test]
fn when_all_named_topics_are_hidden_only_the_brokers_are_asked_for() {
    for version in 4..=13 {
        let mut rig = Rig::authenticated("reader");
        let round = rig.client(frames::request(version, 4, &ask(&["ledger"])));
        let (_, sent) = frames::decode_request::<MetadataRequest>(&round.only_forwarded().bytes);
        assert_eq!(
            sent.topics,
            Some(vec![]),
            "not all topics, which null would mean"
        );
        let round = rig.broker(frames::response::<MetadataRequest>(
            version,
            4,
            &cluster(version, &[]),
        ));
        let (_, read) =
            frames::decode_response::<MetadataRequest>(version, &round.answers[0].bytes);
        assert_eq!(names(&read), [("ledger".to_owned(), 29)]);
        assert_eq!(read.brokers.len(), 2);
    }
}

#[test]
fn creation_by_asking_is_forced_off() {
    for version in 4..=13 {
        let mut rig = Rig::authenticated("reader");
        let round = rig.client(frames::request(
            version,
            4,
            &ask(&["orders"]).with_allow_auto_topic_creation(true),
        ));
        let (_, sent) = frames::decode_request::<MetadataRequest>(&round.only_forwarded().bytes);
        assert!(!sent.allow_auto_topic_creation);
    }
}

#[test]
fn addresses_are_the_gateways_and_unknown_nodes_are_left_out() {
    for version in 4..=13 {
        let mut rig = Rig::authenticated("reader");
        let (bytes, read) = answered(
            &mut rig,
            version,
            &ask(&["orders"]),
            &cluster(version, &[("orders", 1)]),
        );
        let brokers: Vec<_> = read
            .brokers
            .iter()
            .map(|broker| (broker.node_id.0, broker.host.to_string(), broker.port))
            .collect();
        assert_eq!(
            brokers,
            [
                (0, "gateway.example".into(), 19_093),
                (1, "gateway.example".into(), 19_094)
            ]
        );
        assert!(!bytes.windows(8).any(|window| window == b"internal"));
        assert_eq!(read.topics[0].partitions[0].leader_id, 1, "node ids stay");
    }
}

#[test]
fn authorized_operations_are_the_principals_own() {
    for version in 8..=13 {
        for (asked, expected) in [(false, -1), (true, READ_BIT | DESCRIBE_BIT)] {
            let mut rig = Rig::authenticated("reader");
            let request = ask(&["orders"]).with_include_topic_authorized_operations(asked);
            let mut response = cluster(version, &[("orders", 1)]);
            response.topics[0].topic_authorized_operations = if asked { -1 } else { UNSET };
            let (_, read) = answered(&mut rig, version, &request, &response);
            let expected = if asked { expected } else { UNSET };
            assert_eq!(
                read.topics[0].topic_authorized_operations, expected,
                "version {version}"
            );
            if version <= 10 {
                assert_ne!(
                    read.cluster_authorized_operations, -1,
                    "not those of the gateway's own principal"
                );
            }
        }
    }
    let mut rig = Rig::authenticated("writer");
    let request = ask(&["orders"]).with_include_topic_authorized_operations(true);
    let (_, read) = answered(&mut rig, 12, &request, &cluster(12, &[("orders", 1)]));
    assert_eq!(
        read.topics[0].topic_authorized_operations,
        WRITE_BIT | DESCRIBE_BIT
    );
}

#[test]
fn a_topic_id_is_described_once_its_name_is_known_and_may_be_seen() {
    let id = |number| {
        MetadataRequestTopic::default()
            .with_topic_id(Uuid::from_u128(number))
            .with_name(None)
    };
    let mut rig = Rig::authenticated("admin");
    answered(
        &mut rig,
        12,
        &ask(&["orders", "ledger"]),
        &cluster(12, &[("orders", 1), ("ledger", 2)]),
    );
    rig.reconnect("reader");
    for version in [12, 13] {
        let request = MetadataRequest::default().with_topics(Some(vec![id(1), id(2), id(3)]));
        let round = rig.client(frames::request(version, 5, &request));
        let (_, sent) = frames::decode_request::<MetadataRequest>(&round.only_forwarded().bytes);
        assert_eq!(sent.topics, Some(vec![id(1)]));
        let round = rig.broker(frames::response::<MetadataRequest>(
            version,
            5,
            &cluster(version, &[("orders", 1)]),
        ));
        let (_, read) =
            frames::decode_response::<MetadataRequest>(version, &round.answers[0].bytes);
        let seen: Vec<_> = read
            .topics
            .iter()
            .map(|topic| (topic.topic_id.as_u128(), topic.error_code))
            .collect();
        assert_eq!(
            seen,
            [(1, 0), (2, 29), (3, 100)],
            "as brokers say it: who knows an id was shown its topic once"
        );
        assert!(read.topics[1].name.is_none());
    }
}

/// As Java asks for the topics that a pattern has found: an id, and a name that is empty.
#[test]
fn an_id_counts_more_than_the_name_beside_it() {
    for (beside, number) in [("", "orders"), ("orders", "ledger")] {
        let mut rig = Rig::authenticated("reader");
        let id = frames::topic_id(number);
        let asked = MetadataRequestTopic::default()
            .with_name(Some(topic(beside)))
            .with_topic_id(id);
        let request = MetadataRequest::default().with_topics(Some(vec![asked]));
        let round = rig.client(frames::request(12, 4, &request));
        let sent = &round.only_forwarded().bytes;
        let (_, sent) = frames::decode_request::<MetadataRequest>(sent);
        let by_id = MetadataRequestTopic::default()
            .with_name(None)
            .with_topic_id(id);
        let expected = if number == "orders" {
            vec![by_id]
        } else {
            vec![]
        };
        assert_eq!(sent.topics, Some(expected), "{number}");
    }
}

#[test]
fn a_topic_that_was_hidden_while_the_answer_was_awaited_is_left_out() {
    let mut rig = Rig::authenticated("reader");
    rig.client(frames::request(12, 4, &ask(&["orders", "clicks"])))
        .only_forwarded();
    rig.world.apply(&crate::support::world::POLICY.replace(
        "topics: [orders, clicks, masked, masked-too]",
        "topics: [clicks]",
    ));
    let round = rig.broker(frames::response::<MetadataRequest>(
        12,
        4,
        &cluster(12, &[("orders", 1), ("clicks", 2)]),
    ));
    let (_, read) = frames::decode_response::<MetadataRequest>(12, &round.answers[0].bytes);
    assert_eq!(names(&read), [("clicks".to_owned(), 0)]);
}

#[test]
fn find_coordinator_shows_the_gateway() {
    for version in 0..=6 {
        let mut rig = Rig::authenticated("reader");
        let mut request = FindCoordinatorRequest::default();
        let mut response = FindCoordinatorResponse::default();
        if version < 4 {
            request.key = text("g-1");
            response = response
                .with_node_id(1.into())
                .with_host(text("broker.internal"))
                .with_port(9092);
        } else {
            request.coordinator_keys = vec![text("g-1"), text("x-1"), text("g-2")];
            let found = |key: &str, node: i32| {
                Coordinator::default()
                    .with_key(text(key))
                    .with_node_id(node.into())
                    .with_host(text("broker.internal"))
                    .with_port(9092)
            };
            response.coordinators = vec![found("g-1", 1), found("g-2", 2)];
        }
        let round = rig.client(frames::request(version, 4, &request));
        let (_, sent) =
            frames::decode_request::<FindCoordinatorRequest>(&round.only_forwarded().bytes);
        let round = rig.broker(frames::response::<FindCoordinatorRequest>(
            version, 4, &response,
        ));
        let bytes = &round.answers[0].bytes;
        assert!(
            !bytes.windows(8).any(|window| window == b"internal"),
            "version {version}"
        );
        let (_, read) = frames::decode_response::<FindCoordinatorRequest>(version, bytes);
        if version < 4 {
            assert_eq!(
                (read.node_id.0, read.host.to_string(), read.port),
                (1, "gateway.example".into(), 19_094)
            );
        } else {
            assert_eq!(sent.coordinator_keys, [text("g-1"), text("g-2")]);
            let found: Vec<_> = read
                .coordinators
                .iter()
                .map(|found| (found.key.to_string(), found.port, found.error_code))
                .collect();
            assert_eq!(
                found,
                [
                    ("g-1".into(), 19_094, 0),
                    ("g-2".into(), -1, 0),
                    ("x-1".to_owned(), -1, 30)
                ]
            );
        }
    }
}

#[test]
fn coordinators_of_foreign_groups_transactions_and_shares_are_denied() {
    for version in 0..=6 {
        for (key_type, key, error) in [
            (0, "x-1", 30),
            (1, "tx-9", 53),
            (2, "g-1:0:1", 31),
            (-1, "g-1", 42),
            (3, "g-1", 42),
        ] {
            if version == 0 && key_type != 0 {
                continue;
            }
            let mut rig = Rig::authenticated("reader");
            let mut request = FindCoordinatorRequest::default().with_key_type(key_type);
            if version < 4 {
                request.key = text(key);
            } else {
                request.coordinator_keys = vec![text(key)];
            }
            let round = rig.client(frames::request(version, 4, &request));
            let (_, read) =
                frames::decode_response::<FindCoordinatorRequest>(version, round.only_answer());
            let found = if version < 4 {
                read.error_code
            } else {
                read.coordinators[0].error_code
            };
            assert_eq!(found, error, "version {version}, type {key_type}");
            assert!(round.has_fact(Kind::Denied));
        }
    }
}

#[test]
fn describe_cluster_shows_the_gateway() {
    for version in 0..=2 {
        for asked in [false, true] {
            let mut rig = Rig::authenticated("reader");
            let request =
                DescribeClusterRequest::default().with_include_cluster_authorized_operations(asked);
            let brokers = (0..3).map(|id| {
                DescribeClusterBroker::default()
                    .with_broker_id(id.into())
                    .with_host(text("broker.internal"))
                    .with_port(9092)
            });
            let response = DescribeClusterResponse::default()
                .with_cluster_id(text("c"))
                .with_brokers(brokers.collect())
                .with_cluster_authorized_operations(-1);
            rig.client(frames::request(version, 4, &request))
                .only_forwarded();
            let round = rig.broker(frames::response::<DescribeClusterRequest>(
                version, 4, &response,
            ));
            let bytes = &round.answers[0].bytes;
            assert!(!bytes.windows(8).any(|window| window == b"internal"));
            let (_, read) = frames::decode_response::<DescribeClusterRequest>(version, bytes);
            let ports: Vec<_> = read.brokers.iter().map(|broker| broker.port).collect();
            assert_eq!(ports, [19_093, 19_094]);
            assert_ne!(read.cluster_authorized_operations, -1);
            assert_eq!(read.cluster_authorized_operations == UNSET, !asked);
        }
    }
}

#[test]
fn controllers_are_not_described() {
    for version in 1..=2 {
        let mut rig = Rig::authenticated("reader");
        let round = rig.client(frames::request(
            version,
            4,
            &DescribeClusterRequest::default().with_endpoint_type(2),
        ));
        let (_, read) =
            frames::decode_response::<DescribeClusterRequest>(version, round.only_answer());
        assert_eq!(read.error_code, 114);
    }
}
