//! Groups, their offsets, and transactions.

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member, TopicPartitions,
};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::*;
use sluice_evidence::Kind;

use crate::support::Rig;
use crate::support::frames::{self, text, topic};

fn group(name: &str) -> GroupId {
    GroupId(text(name))
}

#[test]
fn a_listing_leaves_out_groups_that_may_not_be_described() {
    for version in 0..=5 {
        let mut rig = Rig::authenticated("reader");
        rig.client(frames::request(version, 4, &ListGroupsRequest::default()))
            .only_forwarded();
        let listed =
            ["g-1", "other", "g-2"].map(|name| ListedGroup::default().with_group_id(group(name)));
        let response = ListGroupsResponse::default().with_groups(listed.into());
        let round = rig.broker(frames::response::<ListGroupsRequest>(version, 4, &response));
        let (_, read) =
            frames::decode_response::<ListGroupsRequest>(version, &round.answers[0].bytes);
        assert_eq!(
            read.groups
                .iter()
                .map(|found| &**found.group_id)
                .collect::<Vec<_>>(),
            ["g-1", "g-2"]
        );
    }
}

/// The four APIs of membership, each of which needs Read on the group.
#[test]
fn membership_of_a_foreign_group_is_denied_in_every_version() {
    fn check<R: kafka_protocol::protocol::Request>(
        request: &R,
        version: i16,
        error: impl Fn(R::Response) -> i16,
    ) {
        let mut rig = Rig::authenticated("reader");
        let round = rig.client(frames::request(version, 4, request));
        let (_, answer) = frames::decode_response::<R>(version, round.only_answer());
        assert_eq!(error(answer), 30, "API {} version {version}", R::KEY);
        assert_eq!(round.fact(Kind::Denied).items[0].resource, "x");
    }
    for version in 0..=9 {
        check(
            &JoinGroupRequest::default().with_group_id(group("x")),
            version,
            |answer| answer.error_code,
        );
    }
    for version in 0..=4 {
        check(
            &HeartbeatRequest::default().with_group_id(group("x")),
            version,
            |answer| answer.error_code,
        );
    }
    for version in 0..=5 {
        check(
            &LeaveGroupRequest::default().with_group_id(group("x")),
            version,
            |answer| answer.error_code,
        );
        check(
            &SyncGroupRequest::default().with_group_id(group("x")),
            version,
            |answer| answer.error_code,
        );
    }
}

#[test]
fn a_subscription_names_only_topics_that_may_be_described() {
    let heartbeat = |name: &str, topics: &[&str]| {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group(name))
            .with_member_id(text("m"))
            .with_subscribed_topic_names(Some(topics.iter().map(|name| topic(name)).collect()))
    };
    for version in 0..=1 {
        for (name, topics, error) in [
            ("g-1", vec!["orders", "ledger"], 29),
            ("x", vec!["orders"], 30),
        ] {
            let mut rig = Rig::authenticated("reader");
            let round = rig.client(frames::request(version, 4, &heartbeat(name, &topics)));
            let (_, answer) = frames::decode_response::<ConsumerGroupHeartbeatRequest>(
                version,
                round.only_answer(),
            );
            assert_eq!(answer.error_code, error);
        }
        let mut rig = Rig::authenticated("reader");
        rig.client(frames::request(
            version,
            4,
            &heartbeat("g-1", &["orders", "clicks"]),
        ))
        .only_forwarded();
    }
}

#[test]
fn a_group_that_reads_hidden_topics_is_described_without_its_members() {
    for version in 0..=1 {
        let mut rig = Rig::authenticated("reader");
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![
            group("g-1"),
            group("x"),
            group("g-2"),
        ]);
        let round = rig.client(frames::request(version, 4, &request));
        let (_, sent) =
            frames::decode_request::<ConsumerGroupDescribeRequest>(&round.only_forwarded().bytes);
        assert_eq!(sent.group_ids, [group("g-1"), group("g-2")]);
        let described = |name: &str, reads: &str| {
            let assigned = TopicPartitions::default()
                .with_topic_name(topic(reads))
                .with_partitions(vec![0]);
            let member = Member::default()
                .with_assignment(Assignment::default().with_topic_partitions(vec![assigned]));
            DescribedGroup::default()
                .with_group_id(group(name))
                .with_members(vec![member])
        };
        let response = ConsumerGroupDescribeResponse::default()
            .with_groups(vec![described("g-1", "orders"), described("g-2", "ledger")]);
        let round = rig.broker(frames::response::<ConsumerGroupDescribeRequest>(
            version, 4, &response,
        ));
        let bytes = &round.answers[0].bytes;
        assert!(!bytes.windows(6).any(|window| window == b"ledger"));
        let (_, read) = frames::decode_response::<ConsumerGroupDescribeRequest>(version, bytes);
        let found: Vec<_> = read
            .groups
            .iter()
            .map(|found| (&**found.group_id, found.error_code, found.members.len()))
            .collect();
        assert_eq!(found, [("g-1", 0, 1), ("g-2", 29, 0), ("x", 30, 0)]);
    }
}

#[test]
fn offsets_are_committed_for_readable_topics_of_an_own_group() {
    let commit = |name: &str, topics: &[&str]| {
        let topics = topics.iter().map(|name| {
            let partition = OffsetCommitRequestPartition::default()
                .with_partition_index(3)
                .with_committed_offset(9);
            OffsetCommitRequestTopic::default()
                .with_name(topic(name))
                .with_partitions(vec![partition])
        });
        OffsetCommitRequest::default()
            .with_group_id(group(name))
            .with_topics(topics.collect())
    };
    let errors = |answer: &OffsetCommitResponse| -> Vec<(String, i16)> {
        answer
            .topics
            .iter()
            .map(|topic| (topic.name.to_string(), topic.partitions[0].error_code))
            .collect()
    };
    for version in 2..=9 {
        let mut rig = Rig::authenticated("reader");
        let round = rig.client(frames::request(
            version,
            4,
            &commit("x", &["orders", "hidden"]),
        ));
        let (_, answer) =
            frames::decode_response::<OffsetCommitRequest>(version, round.only_answer());
        assert_eq!(
            errors(&answer),
            [("orders".to_owned(), 30), ("hidden".to_owned(), 30)]
        );

        let round = rig.client(frames::request(
            version,
            4,
            &commit("g-1", &["orders", "hidden"]),
        ));
        let (_, sent) =
            frames::decode_request::<OffsetCommitRequest>(&round.only_forwarded().bytes);
        assert_eq!(sent.topics, commit("g-1", &["orders"]).topics);
        let round = rig.broker(frames::response::<OffsetCommitRequest>(
            version,
            4,
            &Default::default(),
        ));
        let (_, answer) =
            frames::decode_response::<OffsetCommitRequest>(version, &round.answers[0].bytes);
        assert_eq!(errors(&answer), [("hidden".to_owned(), 29)]);
    }
}

#[test]
fn all_offsets_of_a_group_are_filtered_to_topics_that_may_be_described() {
    for version in 2..=9 {
        let mut rig = Rig::authenticated("reader");
        let names = ["orders", "ledger"];
        let (request, response) = if version < 8 {
            let fetched =
                names.map(|name| OffsetFetchResponseTopic::default().with_name(topic(name)));
            let request = OffsetFetchRequest::default()
                .with_group_id(group("g-1"))
                .with_topics(None);
            (
                request,
                OffsetFetchResponse::default().with_topics(fetched.into()),
            )
        } else {
            let asked = OffsetFetchRequestGroup::default()
                .with_group_id(group("g-1"))
                .with_topics(None);
            let fetched =
                names.map(|name| OffsetFetchResponseTopics::default().with_name(topic(name)));
            let found = OffsetFetchResponseGroup::default()
                .with_group_id(group("g-1"))
                .with_topics(fetched.into());
            let request = OffsetFetchRequest::default().with_groups(vec![asked]);
            (
                request,
                OffsetFetchResponse::default().with_groups(vec![found]),
            )
        };
        rig.client(frames::request(version, 4, &request))
            .only_forwarded();
        let round = rig.broker(frames::response::<OffsetFetchRequest>(
            version, 4, &response,
        ));
        let bytes = &round.answers[0].bytes;
        assert!(bytes.windows(6).any(|window| window == b"orders"));
        assert!(
            !bytes.windows(6).any(|window| window == b"ledger"),
            "version {version}"
        );
    }
}

#[test]
fn offsets_of_a_foreign_group_are_denied_where_the_version_says_it() {
    for version in 1..=9 {
        let mut rig = Rig::authenticated("reader");
        let named = vec![
            OffsetFetchRequestTopic::default()
                .with_name(topic("orders"))
                .with_partition_indexes(vec![2]),
        ];
        let request = match version {
            0..8 => OffsetFetchRequest::default()
                .with_group_id(group("x"))
                .with_topics(Some(named)),
            _ => OffsetFetchRequest::default().with_groups(vec![
                OffsetFetchRequestGroup::default().with_group_id(group("x")),
            ]),
        };
        let round = rig.client(frames::request(version, 4, &request));
        let (_, answer) =
            frames::decode_response::<OffsetFetchRequest>(version, round.only_answer());
        let error = match version {
            1 => answer.topics[0].partitions[0].error_code,
            2..8 => answer.error_code,
            _ => answer.groups[0].error_code,
        };
        assert_eq!(error, 30, "version {version}");
    }
}

#[test]
fn one_denied_topic_keeps_all_partitions_out_of_a_transaction() {
    let add = |id: &str, topics: &[&str]| {
        let topics = topics.iter().map(|name| {
            AddPartitionsToTxnTopic::default()
                .with_name(topic(name))
                .with_partitions(vec![0])
        });
        AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(text(id)))
            .with_v3_and_below_topics(topics.collect())
    };
    for version in 0..=3 {
        for (id, topics, errors) in [
            ("tx-1", vec!["orders", "hidden"], vec![55, 29]),
            ("tx-9", vec!["orders", "hidden"], vec![53, 53]),
        ] {
            let mut rig = Rig::authenticated("writer");
            let round = rig.client(frames::request(version, 4, &add(id, &topics)));
            let (_, answer) =
                frames::decode_response::<AddPartitionsToTxnRequest>(version, round.only_answer());
            let found: Vec<_> = answer
                .results_by_topic_v3_and_below
                .iter()
                .map(|topic| topic.results_by_partition[0].partition_error_code)
                .collect();
            assert_eq!(found, errors);
        }
        let mut rig = Rig::authenticated("writer");
        rig.client(frames::request(version, 4, &add("tx-1", &["orders"])))
            .only_forwarded();
    }
}

#[test]
fn foreign_transactions_are_neither_begun_nor_ended() {
    let foreign = || TransactionalId(text("tx-9"));
    let mut rig = Rig::authenticated("writer");
    for version in 0..=5 {
        let request = InitProducerIdRequest::default().with_transactional_id(Some(foreign()));
        let round = rig.client(frames::request(version, 4, &request));
        let (_, answer) =
            frames::decode_response::<InitProducerIdRequest>(version, round.only_answer());
        assert_eq!((answer.error_code, answer.producer_id.0), (53, -1));
        let round = rig.client(frames::request(
            version,
            4,
            &EndTxnRequest::default().with_transactional_id(foreign()),
        ));
        assert_eq!(
            frames::decode_response::<EndTxnRequest>(version, round.only_answer())
                .1
                .error_code,
            53
        );
    }
    for (id, name, error) in [("tx-9", "g-1", 53), ("tx-1", "x", 30)] {
        let id = TransactionalId(text(id));
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(id)
            .with_group_id(group(name));
        let round = rig.client(frames::request(4, 4, &request));
        assert_eq!(
            frames::decode_response::<AddOffsetsToTxnRequest>(4, round.only_answer())
                .1
                .error_code,
            error
        );
    }
}

#[test]
fn who_may_write_nothing_gets_no_producer_id() {
    let mut rig = Rig::authenticated("reader");
    let round = rig.client(frames::request(
        4,
        4,
        &InitProducerIdRequest::default().with_transactional_id(None),
    ));
    assert_eq!(
        frames::decode_response::<InitProducerIdRequest>(4, round.only_answer())
            .1
            .error_code,
        31
    );
}

#[test]
fn the_admin_client_id_does_not_pass_a_decoded_request() {
    let mut rig = Rig::authenticated("reader");
    let request = ListGroupsRequest::default();
    let round = rig.client(frames::request_as(Some("__admin_client"), 4, 4, &request));
    let (header, _) = frames::decode_request::<ListGroupsRequest>(&round.only_forwarded().bytes);
    assert_ne!(header.client_id, Some(text("__admin_client")));
}
