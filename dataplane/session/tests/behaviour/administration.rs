//! What is asked of the cluster, and how immutable topics withstand it.

use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::describe_quorum_response::{Listener, Node};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::*;
use sluice_evidence::Kind;

use crate::support::frames::{self, text, topic};
use crate::support::{Rig, World, world::POLICY};

const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
const POLICY_VIOLATION: i16 = 44;
const UNCLEAN: i8 = 1;

fn partitions_of(name: &str) -> TopicPartitions {
    TopicPartitions::default()
        .with_topic(topic(name))
        .with_partitions(vec![0, 1])
}

#[test]
fn an_unclean_election_reaches_no_immutable_topic() {
    for version in 1..=2 {
        let mut rig = Rig::authenticated("operator");
        let request = ElectLeadersRequest::default()
            .with_election_type(UNCLEAN)
            .with_topic_partitions(Some(vec![partitions_of("ledger"), partitions_of("orders")]));
        let round = rig.client(frames::request(version, 1, &request));
        let (_, sent) =
            frames::decode_request::<ElectLeadersRequest>(&round.only_forwarded().bytes);
        assert_eq!(
            sent.topic_partitions,
            Some(vec![partitions_of("orders")]),
            "version {version}"
        );
        assert_eq!(round.fact(Kind::Denied).items[0].resource, "ledger");
        let intended: Vec<_> = round.fact(Kind::Intent).items.clone();
        assert!(intended.iter().any(|item| item.resource == "orders"));
        let answer = frames::response::<ElectLeadersRequest>(version, 1, &Default::default());
        let round = rig.broker(answer);
        let (_, read) =
            frames::decode_response::<ElectLeadersRequest>(version, &round.answers[0].bytes);
        let refused = &read.replica_election_results[0];
        assert_eq!(refused.topic, topic("ledger"));
        let errors: Vec<_> = refused
            .partition_result
            .iter()
            .map(|result| result.error_code)
            .collect();
        assert_eq!(errors, [POLICY_VIOLATION; 2]);

        // All topics at once would be the immutable ones too.
        let all = ElectLeadersRequest::default()
            .with_election_type(UNCLEAN)
            .with_topic_partitions(None);
        let round = rig.client(frames::request(version, 2, &all));
        let (_, read) =
            frames::decode_response::<ElectLeadersRequest>(version, round.only_answer());
        assert_eq!(read.error_code, POLICY_VIOLATION);
    }
}

#[test]
fn a_preferred_election_may_name_any_topic_or_all() {
    let mut rig = Rig::authenticated("operator");
    for topics in [None, Some(vec![partitions_of("ledger")])] {
        let request = ElectLeadersRequest::default().with_topic_partitions(topics.clone());
        let round = rig.client(frames::request(2, 1, &request));
        let (_, sent) =
            frames::decode_request::<ElectLeadersRequest>(&round.only_forwarded().bytes);
        assert_eq!(sent.topic_partitions, topics);
        rig.broker(frames::response::<ElectLeadersRequest>(
            2,
            1,
            &Default::default(),
        ));
    }
}

#[test]
fn replicas_of_an_immutable_topic_stay_where_they_are() {
    for version in 0..=1 {
        let of = |name: &str, replicas: Option<Vec<BrokerId>>| {
            let partition = ReassignablePartition::default().with_replicas(replicas);
            ReassignableTopic::default()
                .with_name(topic(name))
                .with_partitions(vec![partition])
        };
        let mut rig = Rig::authenticated("operator");
        let request = AlterPartitionReassignmentsRequest::default().with_topics(vec![
            of("orders", Some(vec![1.into()])),
            of("ledger", Some(vec![1.into(), 2.into(), 3.into()])),
            // Cancels a move.
            of("sealed", None),
        ]);
        let round = rig.client(frames::request(version, 1, &request));
        let (_, sent) = frames::decode_request::<AlterPartitionReassignmentsRequest>(
            &round.only_forwarded().bytes,
        );
        let sent: Vec<_> = sent
            .topics
            .iter()
            .map(|sent| sent.name.to_string())
            .collect();
        assert_eq!(sent, ["orders", "sealed"]);
        let round = rig.broker(frames::response::<AlterPartitionReassignmentsRequest>(
            version,
            1,
            &Default::default(),
        ));
        let (_, read) = frames::decode_response::<AlterPartitionReassignmentsRequest>(
            version,
            &round.answers[0].bytes,
        );
        assert_eq!(read.responses[0].name, topic("ledger"));
        assert_eq!(read.responses[0].partitions[0].error_code, POLICY_VIOLATION);
    }
}

#[test]
fn who_administers_topics_does_not_administer_the_cluster() {
    let mut rig = Rig::authenticated("admin");
    let request =
        ElectLeadersRequest::default().with_topic_partitions(Some(vec![partitions_of("orders")]));
    let round = rig.client(frames::request(2, 1, &request));
    let (_, read) = frames::decode_response::<ElectLeadersRequest>(2, round.only_answer());
    assert_eq!(read.error_code, CLUSTER_AUTHORIZATION_FAILED);
    let results = &read.replica_election_results[0].partition_result;
    assert!(
        results
            .iter()
            .all(|result| result.error_code == CLUSTER_AUTHORIZATION_FAILED)
    );
    let round = rig.client(frames::request(2, 2, &DescribeQuorumRequest::default()));
    let (_, read) = frames::decode_response::<DescribeQuorumRequest>(2, round.only_answer());
    assert_eq!(read.error_code, CLUSTER_AUTHORIZATION_FAILED);
    assert_eq!(round.fact(Kind::Denied).items.len(), 1);
}

#[test]
fn controllers_addresses_do_not_come_back() {
    let mut rig = Rig::authenticated("operator");
    rig.client(frames::request(2, 1, &DescribeQuorumRequest::default()));
    let listener = Listener::default()
        .with_name(text("CONTROLLER"))
        .with_host(text("broker.internal"));
    let node = Node::default()
        .with_node_id(4.into())
        .with_listeners(vec![listener]);
    let answer = DescribeQuorumResponse::default()
        .with_error_message(Some(text("ask broker.internal")))
        .with_error_code(41)
        .with_nodes(vec![node]);
    let round = rig.broker(frames::response::<DescribeQuorumRequest>(2, 1, &answer));
    let bytes = &round.answers[0].bytes;
    assert!(!bytes.windows(15).any(|part| part == b"broker.internal"));
    let (_, read) = frames::decode_response::<DescribeQuorumRequest>(2, bytes);
    assert_eq!((read.error_code, read.nodes[0].node_id.0), (41, 4));
}

/// Brokers let whoever may create on the cluster create any topic. What a topic's own rule denies stays denied.
#[test]
fn rights_on_the_cluster_cover_every_topic_that_no_rule_denies() {
    let policy = POLICY.replace(
        "{operations: [Alter, AlterConfigs, Describe], cluster: true}",
        "{operations: [Create, Describe], cluster: true}\n    - {effect: deny, operations: [Create], topics: [secret]}",
    );
    let mut rig = Rig::on(World::new(&policy));
    rig.authenticate("operator");
    let create = |name: &str| {
        CreatableTopic::default()
            .with_name(topic(name))
            .with_num_partitions(1)
            .with_replication_factor(1)
    };
    let short = CreatableTopicConfig::default()
        .with_name(text("retention.ms"))
        .with_value(Some(text("1")));
    let request = CreateTopicsRequest::default().with_topics(vec![
        create("anything"),
        create("secret"),
        create("ledger").with_configs(vec![short]),
        create("__consumer_offsets"),
    ]);
    let round = rig.client(frames::request(7, 1, &request));
    let (_, sent) = frames::decode_request::<CreateTopicsRequest>(&round.only_forwarded().bytes);
    assert_eq!(sent.topics, [create("anything")]);
    rig.broker(frames::response::<CreateTopicsRequest>(
        7,
        1,
        &Default::default(),
    ));

    rig.client(frames::request(4, 3, &ListGroupsRequest::default()));
    let listed = ["g-1", "x"].map(|name| ListedGroup::default().with_group_id(GroupId(text(name))));
    let answer = ListGroupsResponse::default().with_groups(listed.into());
    let round = rig.broker(frames::response::<ListGroupsRequest>(4, 3, &answer));
    let (_, read) = frames::decode_response::<ListGroupsRequest>(4, &round.answers[0].bytes);
    assert_eq!(
        read.groups.len(),
        2,
        "Describe on the cluster shows all groups"
    );
}
