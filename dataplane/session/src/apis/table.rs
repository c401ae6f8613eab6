//! The APIs that are served: what each asks policy, where its denial stands in the answer, what is changed on the way, and
//! the code that does it. Dispatch, the offer to clients and `docs/kafka-apis.md` are made from this table and from
//! [`sluice_kafka::api`].

use sluice_kafka::RequestHeader;
use sluice_policy::{Operation, ResourceKind};

use super::{
    Asker, ColdStep, cluster, code, cold, configs, consumer_group, groups, log_offsets, metadata,
    offsets, partitions, quotas, topics, transactions,
};
use crate::error::Close;

/// One API that is served beyond the connection's own business.
pub struct Served {
    /// Wire key.
    pub key: i16,
    /// What is asked about each resource that a request names.
    pub needs: &'static [Need],
    /// What is changed in requests and answers, for people.
    pub changes: &'static str,
    run: Run,
}

/// One question to policy, and where its denial stands.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// Kafka's ACL verb.
    pub operation: Operation,
    /// What it is asked about.
    pub on: ResourceKind,
    /// Kafka's error code for a denial.
    pub error: i16,
    /// Where the code stands in the answer.
    pub place: Place,
}

/// Where in an answer a denial stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The whole request is denied.
    Whole,
    /// At each topic, group, key, id or setting.
    Item,
    /// At each partition.
    Partition,
    /// The item is left out, without a code.
    LeftOut,
}

impl Place {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole answer",
            Self::Item => "each item",
            Self::Partition => "each partition",
            Self::LeftOut => "left out",
        }
    }
}

type Cold = fn(&mut Asker<'_>, &RequestHeader<'_>, &[u8]) -> Result<ColdStep, Close>;

enum Run {
    /// Walked in place: `step` names the code.
    Hot,
    Cold(Cold),
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Every API that is served, by key.
#[must_use]
pub fn served() -> &'static [Served] {
    SERVED
}

/// Runs one cold API; `None` if it is not served.
pub(crate) fn cold(
    ask: &mut Asker<'_>,
    header: &RequestHeader<'_>,
    frame: &[u8],
) -> Option<Result<ColdStep, Close>> {
    let at = SERVED
        .binary_search_by_key(&header.api_key, |served| served.key)
        .ok()?;
    match SERVED.get(at)?.run {
        Run::Cold(run) => Some(run(ask, header, frame)),
        Run::Hot => None,
    }
}

const fn topic(operation: Operation, place: Place) -> Need {
    Need {
        operation,
        on: ResourceKind::Topic,
        error: code::TOPIC_AUTHORIZATION_FAILED,
        place,
    }
}

const fn group(operation: Operation, place: Place) -> Need {
    Need {
        operation,
        on: ResourceKind::Group,
        error: code::GROUP_AUTHORIZATION_FAILED,
        place,
    }
}

const fn transaction(operation: Operation, place: Place) -> Need {
    Need {
        operation,
        on: ResourceKind::TransactionalId,
        error: code::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        place,
    }
}

const fn cluster(operation: Operation, place: Place) -> Need {
    Need {
        operation,
        on: ResourceKind::Cluster,
        error: code::CLUSTER_AUTHORIZATION_FAILED,
        place,
    }
}

const fn hot(key: i16, needs: &'static [Need], changes: &'static str) -> Served {
    Served {
        key,
        needs,
        changes,
        run: Run::Hot,
    }
}

const fn row(key: i16, needs: &'static [Need], changes: &'static str, run: Cold) -> Served {
    Served {
        key,
        needs,
        changes,
        run: Run::Cold(run),
    }
}

use Operation::{
    Alter, AlterConfigs, Create, Delete, Describe, DescribeConfigs, IdempotentWrite, Read, Write,
};
use Place::{Item, LeftOut, Partition, Whole};

const CONSUMERS_VIEW: &str = "replica id: a consumer's";
const FILTERED: &str = "what may not be described is left out";

#[rustfmt::skip]
static SERVED: &[Served] = &[
    hot(0, &[topic(Write, Partition), transaction(Write, Partition)],
        "producer ids belong to their principal; approval and order on protected topics; brokers' addresses left out"),
    hot(1, &[topic(Read, Partition)],
        "replica id: a consumer's; no fetch session; byte limits; values masked; decided again when the answer comes; brokers' addresses left out"),
    row(2, &[topic(Describe, Partition)], CONSUMERS_VIEW, cold::run::<log_offsets::ListOffsets>),
    row(3, &[topic(Describe, Item)],
        "never creates topics; addresses are the gateway's; operations recomputed; what may not be described is left out",
        cold::run::<metadata::Metadata>),
    row(8, &[group(Read, Partition), topic(Read, Partition)], "", cold::run::<offsets::OffsetCommit>),
    row(9, &[group(Describe, Item), topic(Describe, Partition)], FILTERED, cold::run::<offsets::OffsetFetch>),
    row(10, &[group(Describe, Item), transaction(Describe, Item)],
        "addresses are the gateway's; share coordinators are not served", cold::run::<cluster::FindCoordinator>),
    row(11, &[group(Read, Whole)], "", cold::run::<groups::JoinGroup>),
    row(12, &[group(Read, Whole)], "", cold::run::<groups::Heartbeat>),
    row(13, &[group(Read, Whole)], "", cold::run::<groups::LeaveGroup>),
    row(14, &[group(Read, Whole)], "", cold::run::<groups::SyncGroup>),
    row(15, &[group(Describe, Item)], "operations recomputed", cold::run::<groups::DescribeGroups>),
    row(16, &[group(Describe, LeftOut)], "what may not be described is left out; Describe on the cluster shows all groups", cold::run::<groups::ListGroups>),
    row(19, &[topic(Create, Item)], "Create on the cluster will do as well; immutable classes state what a topic must be created with", cold::run::<topics::CreateTopics>),
    row(20, &[topic(Delete, Item)], "refused for immutable topics, by name and by id", cold::run::<topics::DeleteTopics>),
    row(21, &[topic(Delete, Partition)], "refused for immutable topics", cold::run::<topics::DeleteRecords>),
    row(22, &[transaction(Write, Whole), cluster(IdempotentWrite, Whole)],
        "producer ids belong to their principal", cold::run::<transactions::InitProducerId>),
    row(23, &[topic(Describe, Partition)], CONSUMERS_VIEW, cold::run::<log_offsets::OffsetForLeaderEpoch>),
    row(24, &[transaction(Write, Partition), topic(Write, Partition)], "", cold::run::<transactions::AddPartitionsToTxn>),
    row(25, &[transaction(Write, Whole), group(Read, Whole)], "", cold::run::<transactions::AddOffsetsToTxn>),
    row(26, &[transaction(Write, Whole)], "", cold::run::<transactions::EndTxn>),
    row(28, &[transaction(Write, Partition), group(Read, Partition), topic(Read, Partition)], "",
        cold::run::<offsets::TxnOffsetCommit>),
    row(32, &[topic(DescribeConfigs, Item)], "topics' settings only", cold::run::<configs::DescribeConfigs>),
    row(33, &[topic(AlterConfigs, Item)], "topics' settings only; refused for immutable topics", cold::run::<configs::AlterConfigs>),
    row(35, &[cluster(Describe, Whole)], "", cold::run::<partitions::DescribeLogDirs>),
    row(37, &[topic(Alter, Item)], "refused for immutable topics", cold::run::<topics::CreatePartitions>),
    row(42, &[group(Delete, Item)], "", cold::run::<groups::DeleteGroups>),
    row(43, &[cluster(Alter, Whole)], "unclean elections: refused for immutable topics, and for all topics at once",
        cold::run::<partitions::ElectLeaders>),
    row(44, &[topic(AlterConfigs, Item)], "topics' settings only; immutable topics keep theirs",
        cold::run::<configs::IncrementalAlterConfigs>),
    row(45, &[cluster(Alter, Whole)], "refused for immutable topics, but for cancelling",
        cold::run::<partitions::AlterPartitionReassignments>),
    row(46, &[cluster(Describe, Whole)], "", cold::run::<partitions::ListPartitionReassignments>),
    row(47, &[group(Delete, Whole), topic(Read, Partition)], "", cold::run::<offsets::OffsetDelete>),
    row(48, &[cluster(DescribeConfigs, Whole)], "", cold::run::<quotas::DescribeClientQuotas>),
    row(49, &[cluster(AlterConfigs, Item)],
        "44 for what would throttle the gateway: its own user and client id, the default user, addresses",
        cold::run::<quotas::AlterClientQuotas>),
    row(55, &[cluster(Describe, Whole)], "controllers' addresses left out", cold::run::<partitions::DescribeQuorum>),
    row(60, &[], "addresses are the gateway's; operations recomputed; controllers are not served",
        cold::run::<cluster::DescribeCluster>),
    row(61, &[topic(Read, Partition)], "", cold::run::<transactions::DescribeProducers>),
    row(65, &[transaction(Describe, Item), topic(Describe, LeftOut)], FILTERED, cold::run::<transactions::DescribeTransactions>),
    row(66, &[transaction(Describe, LeftOut)], FILTERED, cold::run::<transactions::ListTransactions>),
    row(68, &[group(Read, Whole), topic(Describe, Whole)], "a pattern is resolved here, to names that may be described",
        cold::run::<consumer_group::ConsumerGroupHeartbeat>),
    row(69, &[group(Describe, Item), topic(Describe, Item)], "operations recomputed", cold::run::<consumer_group::ConsumerGroupDescribe>),
    row(74, &[cluster(DescribeConfigs, Whole)], "", cold::run::<configs::ListConfigResources>),
    row(75, &[topic(Describe, Item)], "operations recomputed; what may not be described is left out",
        cold::run::<topics::DescribeTopicPartitions>),
];

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_kafka::api::{Treatment, apis};

    #[test]
    fn what_the_protocols_table_offers_is_what_is_served() {
        let of = |treatment| {
            apis()
                .iter()
                .filter(move |api| api.treatment == treatment)
                .map(|api| api.key)
        };
        let keys = |hot: bool| {
            SERVED
                .iter()
                .filter(move |served| matches!(served.run, Run::Hot) == hot)
                .map(|served| served.key)
        };
        assert!(keys(true).eq(of(Treatment::Hot)));
        assert!(keys(false).eq(of(Treatment::Cold)));
        assert!(SERVED.is_sorted_by_key(|served| served.key));
    }
}
