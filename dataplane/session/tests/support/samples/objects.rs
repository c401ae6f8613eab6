//! Samples of topics as objects, and of transactions.

use super::{Sample, add, empty, group, transaction};
use crate::support::frames::{text, topic};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::incremental_alter_configs_request as incremental;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::*;

pub(super) fn topics(all: &mut Vec<Sample>) {
    add(
        all,
        "admin",
        |_| {
            let create = |name: &str| {
                let config = CreatableTopicConfig::default()
                    .with_name(text("retention.ms"))
                    .with_value(Some(text("-1")));
                let assigned =
                    CreatableReplicaAssignment::default().with_broker_ids(vec![1.into()]);
                CreatableTopic::default()
                    .with_name(topic(name))
                    .with_num_partitions(-1)
                    .with_replication_factor(-1)
                    .with_assignments(vec![assigned])
                    .with_configs(vec![config])
            };
            CreateTopicsRequest::default().with_topics(vec![create("orders"), create("ledger")])
        },
        empty,
    );
    add(
        all,
        "admin",
        |version| match version {
            0..6 => DeleteTopicsRequest::default()
                .with_topic_names(vec![topic("orders"), topic("ledger")]),
            _ => {
                let states = ["orders", "ledger"]
                    .map(|name| DeleteTopicState::default().with_name(Some(topic(name))));
                DeleteTopicsRequest::default().with_topics(states.into())
            }
        },
        empty,
    );
    add(
        all,
        "admin",
        |_| {
            let cut = |name: &str| {
                let partition = DeleteRecordsPartition::default()
                    .with_partition_index(1)
                    .with_offset(9);
                DeleteRecordsTopic::default()
                    .with_name(topic(name))
                    .with_partitions(vec![partition])
            };
            DeleteRecordsRequest::default().with_topics(vec![cut("orders"), cut("ledger")])
        },
        empty,
    );
    add(
        all,
        "admin",
        |_| {
            let show = |name: &str| {
                DescribeConfigsResource::default()
                    .with_resource_type(2)
                    .with_resource_name(text(name))
                    .with_configuration_keys(Some(vec![text("retention.ms")]))
            };
            DescribeConfigsRequest::default().with_resources(vec![show("orders"), show("secret")])
        },
        empty,
    );
    add(
        all,
        "admin",
        |_| {
            let change = |name: &str| {
                let config = AlterableConfig::default()
                    .with_name(text("retention.ms"))
                    .with_value(Some(text("1")));
                AlterConfigsResource::default()
                    .with_resource_type(2)
                    .with_resource_name(text(name))
                    .with_configs(vec![config])
            };
            AlterConfigsRequest::default().with_resources(vec![change("orders"), change("ledger")])
        },
        empty,
    );
    add(
        all,
        "admin",
        |_| {
            let change = |name: &str| {
                let config = incremental::AlterableConfig::default()
                    .with_name(text("retention.ms"))
                    .with_value(Some(text("1")));
                incremental::AlterConfigsResource::default()
                    .with_resource_type(2)
                    .with_resource_name(text(name))
                    .with_configs(vec![config])
            };
            IncrementalAlterConfigsRequest::default()
                .with_resources(vec![change("orders"), change("ledger")])
        },
        empty,
    );
    add(
        all,
        "admin",
        |_| {
            let grow = |name: &str| {
                let assigned =
                    CreatePartitionsAssignment::default().with_broker_ids(vec![1.into()]);
                CreatePartitionsTopic::default()
                    .with_name(topic(name))
                    .with_count(9)
                    .with_assignments(Some(vec![assigned]))
            };
            CreatePartitionsRequest::default().with_topics(vec![grow("orders"), grow("ledger")])
        },
        empty,
    );
    add(
        all,
        "reader",
        |_| {
            let named =
                ["orders", "hidden"].map(|name| TopicRequest::default().with_name(topic(name)));
            DescribeTopicPartitionsRequest::default()
                .with_topics(named.into())
                .with_cursor(Some(Cursor::default().with_topic_name(topic("orders"))))
        },
        empty,
    );
}

pub(super) fn transactions(all: &mut Vec<Sample>) {
    add(
        all,
        "writer",
        |_| InitProducerIdRequest::default().with_transactional_id(Some(transaction("tx-1"))),
        |_| InitProducerIdResponse::default().with_producer_id(9.into()),
    );
    add(
        all,
        "writer",
        |_| {
            let added = AddPartitionsToTxnTopic::default()
                .with_name(topic("orders"))
                .with_partitions(vec![1]);
            AddPartitionsToTxnRequest::default()
                .with_v3_and_below_transactional_id(transaction("tx-1"))
                .with_v3_and_below_topics(vec![added])
        },
        empty,
    );
    add(
        all,
        "writer",
        |_| {
            AddOffsetsToTxnRequest::default()
                .with_transactional_id(transaction("tx-1"))
                .with_group_id(group("g-1"))
        },
        empty,
    );
    add(
        all,
        "writer",
        |_| EndTxnRequest::default().with_transactional_id(transaction("tx-1")),
        empty,
    );
    add(
        all,
        "writer",
        |_| {
            let commit = |name: &str| {
                let partition = TxnOffsetCommitRequestPartition::default()
                    .with_partition_index(1)
                    .with_committed_offset(7);
                TxnOffsetCommitRequestTopic::default()
                    .with_name(topic(name))
                    .with_partitions(vec![partition])
            };
            TxnOffsetCommitRequest::default()
                .with_transactional_id(transaction("tx-1"))
                .with_group_id(group("g-1"))
                .with_topics(vec![commit("tx-input"), commit("hidden")])
        },
        empty,
    );
}
