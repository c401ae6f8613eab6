//! What the cases have come to, as somebody sees it who may see everything and goes past the gateway: once for the names of
//! each side.

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    DescribeClientQuotasRequest, DescribeConfigsRequest, DescribeGroupsRequest,
    DescribeTransactionsRequest, DescribeUserScramCredentialsRequest, GroupId, ListGroupsRequest,
    ListOffsetsRequest, ListTransactionsRequest, MetadataRequest, TopicName, TransactionalId,
};

use super::super::scene::{Side, Who};
use super::cluster::every_acl;
use super::offsets::committed;
use super::{Case, case};

const TOPIC: i8 = 2;

/// In the newest versions that are spoken here.
pub(in super::super) fn looks() -> Vec<Case> {
    let who = Who::Harness;
    vec![
        case("the topics", who, 12..=12, |_, _| {
            MetadataRequest::default().with_topics(None)
        }),
        case("their settings", who, 4..=4, |side, _| {
            let resources = topics(side).into_iter().map(|(name, _)| {
                DescribeConfigsResource::default()
                    .with_resource_type(TOPIC)
                    .with_resource_name(name.0)
                    .with_configuration_keys(None)
            });
            DescribeConfigsRequest::default().with_resources(resources.collect())
        }),
        case("their first offsets", who, 8..=8, |side, _| {
            offsets(side, -2)
        }),
        case("their last offsets", who, 8..=8, |side, _| {
            offsets(side, -1)
        }),
        case("the groups", who, 5..=5, |_, _| {
            ListGroupsRequest::default()
        }),
        case("their members", who, 6..=6, |side, _| {
            let groups = names(side, "the groups", 5, "/groups", "group_id");
            DescribeGroupsRequest::default().with_groups(
                groups
                    .into_iter()
                    .map(|name| GroupId(name.into()))
                    .collect(),
            )
        }),
        case("their offsets", who, 9..=9, |side, version| {
            let groups = names(side, "the groups", 5, "/groups", "group_id");
            let groups: Vec<&str> = groups
                .iter()
                .filter_map(|name| name.strip_prefix(side.prefix))
                .collect();
            committed(side, version, &groups, None)
        }),
        case("the transactions", who, 1..=1, |_, _| {
            ListTransactionsRequest::default()
        }),
        case("what they hold", who, 0..=0, |side, _| {
            let ids = names(
                side,
                "the transactions",
                1,
                "/transaction_states",
                "transactional_id",
            );
            DescribeTransactionsRequest::default().with_transactional_ids(
                ids.into_iter()
                    .map(|name| TransactionalId(name.into()))
                    .collect(),
            )
        }),
        case("the ACLs", who, 3..=3, |_, _| every_acl()),
        case("the quotas", who, 1..=1, |_, _| {
            DescribeClientQuotasRequest::default()
        }),
        case("the users", who, 0..=0, |_, _| {
            DescribeUserScramCredentialsRequest::default().with_users(None)
        }),
    ]
}

/// This side's names in a list of an earlier answer.
fn names(side: &Side, case: &'static str, version: i16, list: &str, field: &str) -> Vec<String> {
    let items = side.said(case, version, list).as_array();
    let names = items
        .into_iter()
        .flatten()
        .filter_map(|item| item[field].as_str());
    names
        .filter(|name| name.starts_with(side.prefix))
        .map(str::to_owned)
        .collect()
}

/// This side's topics, with how many partitions each has.
fn topics(side: &Side) -> Vec<(TopicName, usize)> {
    let items = side.said("the topics", 12, "/topics").as_array();
    let topics = items.into_iter().flatten().filter_map(|topic| {
        let name = topic["name"].as_str()?;
        let partitions = topic["partitions"].as_array().map_or(0, Vec::len);
        name.starts_with(side.prefix)
            .then(|| (TopicName(name.to_owned().into()), partitions))
    });
    topics.collect()
}

fn offsets(side: &Side, timestamp: i64) -> ListOffsetsRequest {
    let topics = topics(side).into_iter().map(|(name, partitions)| {
        let partitions = (0..partitions).map(|index| {
            ListOffsetsPartition::default()
                .with_partition_index(i32::try_from(index).expect("few"))
                .with_timestamp(timestamp)
        });
        ListOffsetsTopic::default()
            .with_name(name)
            .with_partitions(partitions.collect())
    });
    ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_topics(topics.collect())
}
