//! The cluster: itself, ACLs, quotas, credentials, replicas, features. Asked by one principal with rights to the cluster,
//! and by others without.

use std::fmt::Debug;

use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::alter_replica_log_dirs_request::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic,
};
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterPartitionReassignmentsRequest, AlterReplicaLogDirsRequest,
    AlterUserScramCredentialsRequest, ApiVersionsRequest, CreateAclsRequest, DeleteAclsRequest,
    DescribeAclsRequest, DescribeClientQuotasRequest, DescribeClusterRequest,
    DescribeLogDirsRequest, DescribeQuorumRequest, DescribeUserScramCredentialsRequest,
    ElectLeadersRequest, ListConfigResourcesRequest, ListPartitionReassignmentsRequest,
    UpdateFeaturesRequest,
};
use kafka_protocol::protocol::Request;

use super::super::scene::{Side, Who};
use super::{ANY, Case, case, text};

const TOPIC: i8 = 2;
const LITERAL: i8 = 3;
const ANY_PATTERN: i8 = 1;
const ANY_OPERATION: i8 = 1;
const READ: i8 = 3;
const ALLOW: i8 = 3;

/// The same request by who has rights to the cluster and by who has none.
fn both<R>(
    name: &'static str,
    versions: std::ops::RangeInclusive<i16>,
    request: impl Fn(&Side, i16) -> R + Clone + 'static,
) -> [Case; 2]
where
    R: Request,
    R::Response: Debug,
{
    [
        case(name, Who::Single, versions.clone(), request.clone()),
        case(name, Who::Cluster, versions, request),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    let mut all = itself();
    all.extend(acls());
    all.extend(quotas_and_credentials());
    all.extend(replicas());
    all
}

fn itself() -> Vec<Case> {
    let mut all = vec![case("as it is", Who::Single, ANY, |_, version| {
        if version < 3 {
            return ApiVersionsRequest::default();
        }
        ApiVersionsRequest::default()
            .with_client_software_name(text("equivalence"))
            .with_client_software_version(text("1"))
    })];
    for who in Who::LIMITED {
        all.push(case("with operations", who, ANY, |_, _| {
            DescribeClusterRequest::default().with_include_cluster_authorized_operations(true)
        }));
    }
    all.push(case("as it is", Who::Single, ANY, |_, _| {
        DescribeClusterRequest::default()
    }));
    all.push(case("controllers", Who::Single, 1..=i16::MAX, |_, _| {
        DescribeClusterRequest::default().with_endpoint_type(2)
    }));
    all.push(case(
        "fenced brokers too",
        Who::Single,
        2..=i16::MAX,
        |_, _| DescribeClusterRequest::default().with_include_fenced_brokers(true),
    ));
    all.extend(both("all kinds", ANY, |_, _| {
        ListConfigResourcesRequest::default()
    }));
    all.extend(both("topics and groups", 1..=i16::MAX, |_, _| {
        ListConfigResourcesRequest::default().with_resource_types(vec![TOPIC, 32])
    }));
    all.extend(both("the quorum", ANY, |_, _| {
        let partition = PartitionData::default().with_partition_index(0);
        let topic = TopicData::default()
            .with_topic_name(kafka_protocol::messages::TopicName(text(
                "__cluster_metadata",
            )))
            .with_partitions(vec![partition]);
        DescribeQuorumRequest::default().with_topics(vec![topic])
    }));
    all.extend(both("the quorum of a topic", ANY, |side, _| {
        let partition = PartitionData::default().with_partition_index(0);
        let topic = TopicData::default()
            .with_topic_name(side.topic("full"))
            .with_partitions(vec![partition]);
        DescribeQuorumRequest::default().with_topics(vec![topic])
    }));
    all.extend(both("only checked", 1..=i16::MAX, |_, _| {
        features("group.version", 1).with_validate_only(true)
    }));
    all.extend(both("a feature that there is not", ANY, |_, _| {
        features("no.such.feature", 1)
    }));
    all.extend(both("nothing", ANY, |_, _| {
        UpdateFeaturesRequest::default().with_timeout_ms(10_000)
    }));
    all
}

fn features(name: &str, level: i16) -> UpdateFeaturesRequest {
    let update = FeatureUpdateKey::default()
        .with_feature(text(name))
        .with_max_version_level(level);
    UpdateFeaturesRequest::default()
        .with_timeout_ms(10_000)
        .with_feature_updates(vec![update])
}

fn acl(side: &Side, version: i16, name: &str) -> AclCreation {
    AclCreation::default()
        .with_resource_type(TOPIC)
        .with_resource_name(side.text(&format!("{name}-{version}")))
        .with_resource_pattern_type(LITERAL)
        .with_principal(format!("User:{}somebody", side.prefix).into())
        .with_host(text("*"))
        .with_operation(READ)
        .with_permission_type(ALLOW)
}

fn filter(side: &Side, version: i16, name: &str) -> DeleteAclsFilter {
    DeleteAclsFilter::default()
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_resource_type_filter(TOPIC)
        .with_resource_name_filter(Some(side.text(&format!("{name}-{version}"))))
        .with_pattern_type_filter(LITERAL)
        .with_operation(ANY_OPERATION)
        .with_permission_type(1)
}

/// A filter of ACLs that lets all pass.
pub(super) fn every_acl() -> DescribeAclsRequest {
    DescribeAclsRequest::default()
        .with_resource_type_filter(1)
        .with_resource_name_filter(None)
        .with_pattern_type_filter(ANY_PATTERN)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(ANY_OPERATION)
        .with_permission_type(1)
}

fn acls() -> Vec<Case> {
    let mut all = Vec::new();
    all.extend(both("a new one", ANY, |side, version| {
        let creations = vec![acl(side, version, "ruled"), acl(side, version, "kept")];
        CreateAclsRequest::default().with_creations(creations)
    }));
    all.extend(both("one that is none", ANY, |side, version| {
        let wrong = acl(side, version, "wrong").with_principal(text("nobody"));
        CreateAclsRequest::default().with_creations(vec![acl(side, version, "right"), wrong])
    }));
    all.extend(both("nothing", ANY, |_, _| CreateAclsRequest::default()));
    all.extend(both("one resource", ANY, |side, version| {
        every_acl()
            .with_resource_type_filter(TOPIC)
            .with_resource_name_filter(Some(side.text(&format!("ruled-{version}"))))
            .with_pattern_type_filter(LITERAL)
    }));
    all.extend(both("one principal", ANY, |side, _| {
        every_acl().with_principal_filter(Some(format!("User:{}somebody", side.prefix).into()))
    }));
    all.extend(both("a filter that is none", ANY, |_, _| {
        every_acl().with_resource_type_filter(99)
    }));
    all.extend(both("some", ANY, |side, version| {
        let filters = vec![
            filter(side, version, "ruled"),
            filter(side, version, "absent"),
            filter(side, version, "wrong"),
        ];
        DeleteAclsRequest::default().with_filters(filters)
    }));
    all.extend(both("nothing", ANY, |_, _| DeleteAclsRequest::default()));
    all
}

fn limit(side: &Side, user: &str, key: &str) -> AlterClientQuotasRequest {
    let entity = EntityData::default()
        .with_entity_type(text("user"))
        .with_entity_name(Some(side.text(user)));
    let op = OpData::default().with_key(text(key)).with_value(1e9);
    let entry = EntryData::default()
        .with_entity(vec![entity])
        .with_ops(vec![op]);
    AlterClientQuotasRequest::default().with_entries(vec![entry])
}

fn upsert(side: &Side, user: &str, iterations: i32) -> AlterUserScramCredentialsRequest {
    let upsertion = ScramCredentialUpsertion::default()
        .with_name(side.text(user))
        .with_mechanism(1)
        .with_iterations(iterations)
        .with_salt(bytes::Bytes::from_static(b"equivalence-salt"))
        .with_salted_password(bytes::Bytes::from_static(&[7; 32]));
    AlterUserScramCredentialsRequest::default().with_upsertions(vec![upsertion])
}

fn quotas_and_credentials() -> Vec<Case> {
    let mut all = Vec::new();
    all.extend(both("one", ANY, |side, version| {
        limit(side, &format!("limited-{version}"), "producer_byte_rate")
    }));
    all.extend(both("only checked", ANY, |side, _| {
        limit(side, "checked", "producer_byte_rate").with_validate_only(true)
    }));
    all.extend(both("a key that is none", ANY, |side, _| {
        limit(side, "wrong", "no.such.key")
    }));
    all.extend(both("every user, only checked", ANY, |side, _| {
        let mut request = limit(side, "", "producer_byte_rate").with_validate_only(true);
        request.entries[0].entity[0].entity_name = None;
        request
    }));
    all.extend(both("a client id, only checked", ANY, |side, _| {
        let mut request = limit(side, "till", "producer_byte_rate").with_validate_only(true);
        request.entries[0].entity[0].entity_type = text("client-id");
        request
    }));
    all.extend(both("nothing", ANY, |_, _| {
        AlterClientQuotasRequest::default()
    }));
    all.extend(both("one user", ANY, |side, version| {
        let component = ComponentData::default()
            .with_entity_type(text("user"))
            .with_match_type(0)
            .with_match(Some(side.text(&format!("limited-{version}"))));
        DescribeClientQuotasRequest::default().with_components(vec![component])
    }));
    all.extend(both("all users", ANY, |_, _| {
        let component = ComponentData::default()
            .with_entity_type(text("user"))
            .with_match_type(2)
            .with_match(None);
        DescribeClientQuotasRequest::default().with_components(vec![component])
    }));
    all.extend(both("a kind that there is not", ANY, |_, _| {
        let component = ComponentData::default()
            .with_entity_type(text("planet"))
            .with_match_type(2)
            .with_match(None);
        DescribeClientQuotasRequest::default().with_components(vec![component])
    }));
    all.extend(both("a new user", ANY, |side, _| upsert(side, "new", 4096)));
    all.extend(both("too few rounds", ANY, |side, _| {
        upsert(side, "weak", 1)
    }));
    all.extend(both("a user that is not there", ANY, |side, _| {
        let deletion = ScramCredentialDeletion::default()
            .with_name(side.text("absent"))
            .with_mechanism(1);
        AlterUserScramCredentialsRequest::default().with_deletions(vec![deletion])
    }));
    all.extend(both("nothing", ANY, |_, _| {
        AlterUserScramCredentialsRequest::default()
    }));
    all.extend(both("some users", ANY, |side, _| {
        let users =
            ["new", "absent", "cluster"].map(|user| UserName::default().with_name(side.text(user)));
        DescribeUserScramCredentialsRequest::default().with_users(Some(users.to_vec()))
    }));
    // Brokers leave this one without an answer where it is denied.
    all.push(case("all users", Who::Cluster, ANY, |_, _| {
        DescribeUserScramCredentialsRequest::default().with_users(None)
    }));
    all
}

fn elect(side: &Side, names: &[&str]) -> ElectLeadersRequest {
    let topics = names.iter().map(|name| {
        TopicPartitions::default()
            .with_topic(side.topic(name))
            .with_partitions(vec![0])
    });
    ElectLeadersRequest::default()
        .with_timeout_ms(10_000)
        .with_topic_partitions(Some(topics.collect()))
}

fn reassign(side: &Side, names: &[&str], to: Option<i32>) -> AlterPartitionReassignmentsRequest {
    let topics = names.iter().map(|name| {
        let partition = ReassignablePartition::default()
            .with_partition_index(0)
            .with_replicas(to.map(|node| vec![node.into()]));
        ReassignableTopic::default()
            .with_name(side.topic(name))
            .with_partitions(vec![partition])
    });
    AlterPartitionReassignmentsRequest::default()
        .with_timeout_ms(10_000)
        .with_topics(topics.collect())
}

fn replicas() -> Vec<Case> {
    let names = ["full", "hidden", "absent"];
    let mut all = Vec::new();
    all.extend(both("some topics", ANY, move |side, _| elect(side, &names)));
    all.extend(both("an unclean election", 1..=i16::MAX, move |side, _| {
        elect(side, &names).with_election_type(1)
    }));
    all.extend(both("to where they are", ANY, move |side, _| {
        reassign(side, &names, Some(1))
    }));
    all.extend(both(
        "to a broker that there is not",
        ANY,
        move |side, _| reassign(side, &names, Some(9)),
    ));
    all.extend(both("none after all", ANY, move |side, _| {
        reassign(side, &names, None)
    }));
    all.extend(both("no topics", ANY, move |side, _| {
        reassign(side, &[], None)
    }));
    all.extend(both("some topics", ANY, move |side, _| {
        let topics = names.map(|name| {
            ListPartitionReassignmentsTopics::default()
                .with_name(side.topic(name))
                .with_partition_indexes(vec![0])
        });
        ListPartitionReassignmentsRequest::default().with_topics(Some(topics.to_vec()))
    }));
    all.extend(both("all topics", ANY, |_, _| {
        ListPartitionReassignmentsRequest::default().with_topics(None)
    }));
    all.extend(both("some topics", ANY, move |side, _| {
        let topics = names.map(|name| {
            DescribableLogDirTopic::default()
                .with_topic(side.topic(name))
                .with_partitions(vec![0])
        });
        DescribeLogDirsRequest::default().with_topics(Some(topics.to_vec()))
    }));
    all.extend(both("a folder that there is not", ANY, move |side, _| {
        let topics = names.map(|name| {
            AlterReplicaLogDirTopic::default()
                .with_name(side.topic(name))
                .with_partitions(vec![0])
        });
        let folder = AlterReplicaLogDir::default()
            .with_path(text("/nowhere"))
            .with_topics(topics.to_vec());
        AlterReplicaLogDirsRequest::default().with_dirs(vec![folder])
    }));
    all
}
