//! What is asked of the cluster, and what describes producers and transactions.

use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsResult;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_quorum_response::{Listener, Node};
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::list_transactions_response::TransactionState as ListedTransaction;
use kafka_protocol::messages::*;

use super::super::frames::{text, topic};
use super::{Sample, add, empty, transaction};

pub(super) fn cluster(all: &mut Vec<Sample>) {
    add(
        all,
        "operator",
        |_| {
            let asked = DescribableLogDirTopic::default()
                .with_topic(topic("orders"))
                .with_partitions(vec![0]);
            DescribeLogDirsRequest::default().with_topics(Some(vec![asked]))
        },
        |_| {
            let dir = DescribeLogDirsResult::default().with_log_dir(text("/var/lib/kafka"));
            DescribeLogDirsResponse::default().with_results(vec![dir])
        },
    );
    add(
        all,
        "operator",
        |version| {
            let of = |name| {
                TopicPartitions::default()
                    .with_topic(topic(name))
                    .with_partitions(vec![0])
            };
            let request = ElectLeadersRequest::default();
            match version {
                0 => request.with_topic_partitions(Some(vec![of("orders")])),
                // Unclean: the immutable one is denied.
                _ => request
                    .with_election_type(1)
                    .with_topic_partitions(Some(vec![of("orders"), of("ledger")])),
            }
        },
        empty,
    );
    add(
        all,
        "operator",
        |_| {
            let moved = ReassignablePartition::default().with_replicas(Some(vec![1.into()]));
            let of = |name| {
                ReassignableTopic::default()
                    .with_name(topic(name))
                    .with_partitions(vec![moved.clone()])
            };
            AlterPartitionReassignmentsRequest::default()
                .with_topics(vec![of("orders"), of("ledger")])
        },
        empty,
    );
    add(
        all,
        "operator",
        |_| {
            let asked = ListPartitionReassignmentsTopics::default()
                .with_name(topic("orders"))
                .with_partition_indexes(vec![0]);
            ListPartitionReassignmentsRequest::default().with_topics(Some(vec![asked]))
        },
        empty,
    );
    add(all, "operator", empty::<DescribeClientQuotasRequest>, empty);
    add(
        all,
        "operator",
        |_| {
            let entity = EntityData::default()
                .with_entity_type(text("client-id"))
                .with_entity_name(Some(text("till")));
            let limit = OpData::default()
                .with_key(text("producer_byte_rate"))
                .with_value(1024.0);
            let entry = EntryData::default()
                .with_entity(vec![entity])
                .with_ops(vec![limit]);
            AlterClientQuotasRequest::default().with_entries(vec![entry])
        },
        empty,
    );
    add(all, "operator", empty::<DescribeQuorumRequest>, |version| {
        let listener = Listener::default()
            .with_name(text("CONTROLLER"))
            .with_host(text("broker.internal"))
            .with_port(9093);
        let node = Node::default().with_listeners(vec![listener]);
        let nodes = if version >= 2 { vec![node] } else { vec![] };
        DescribeQuorumResponse::default().with_nodes(nodes)
    });
    add(all, "operator", empty::<ListConfigResourcesRequest>, empty);
}

pub(super) fn described(all: &mut Vec<Sample>) {
    add(
        all,
        "reader",
        |_| {
            let of = |name| {
                TopicRequest::default()
                    .with_name(topic(name))
                    .with_partition_indexes(vec![0])
            };
            DescribeProducersRequest::default().with_topics(vec![of("orders"), of("hidden")])
        },
        empty,
    );
    add(
        all,
        "writer",
        |_| {
            let ids = ["tx-1", "x"].map(transaction);
            DescribeTransactionsRequest::default().with_transactional_ids(ids.into())
        },
        |_| {
            let topics = ["orders", "hidden"]
                .map(|name| TopicData::default().with_topic(topic(name)))
                .into();
            let state = TransactionState::default()
                .with_transactional_id(transaction("tx-1"))
                .with_topics(topics);
            DescribeTransactionsResponse::default().with_transaction_states(vec![state])
        },
    );
    add(all, "writer", empty::<ListTransactionsRequest>, |_| {
        let listed = ["tx-1", "x"]
            .map(|id| ListedTransaction::default().with_transactional_id(transaction(id)));
        ListTransactionsResponse::default().with_transaction_states(listed.into())
    });
}
