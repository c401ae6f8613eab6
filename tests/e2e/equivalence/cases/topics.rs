//! Topics: Metadata, DescribeTopicPartitions, CreateTopics, CreatePartitions, DeleteTopics.

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    DescribeTopicPartitionsRequest, MetadataRequest, TopicName,
};

use super::super::scene::{Side, Who};
use super::{ANY, Case, MIXED, case, text};

const IDS_IN_METADATA: i16 = 12;
const OPERATIONS_IN_METADATA: i16 = 8;

fn by_name(side: &Side, names: &[&str]) -> MetadataRequest {
    let topics = names
        .iter()
        .map(|name| MetadataRequestTopic::default().with_name(Some(side.topic(name))));
    MetadataRequest::default()
        .with_topics(Some(topics.collect()))
        .with_allow_auto_topic_creation(false)
}

fn by_id(side: &Side, names: &[&str]) -> MetadataRequest {
    let topics = names.iter().map(|name| {
        MetadataRequestTopic::default()
            .with_name(None)
            .with_topic_id(side.id(name))
    });
    MetadataRequest::default().with_topics(Some(topics.collect()))
}

fn describe(side: &Side, names: &[&str]) -> DescribeTopicPartitionsRequest {
    let topics = names
        .iter()
        .map(|name| TopicRequest::default().with_name(side.topic(name)));
    DescribeTopicPartitionsRequest::default()
        .with_response_partition_limit(2000)
        .with_topics(topics.collect())
}

fn create(side: &Side, names: &[String]) -> CreateTopicsRequest {
    let topics = names.iter().map(|name| {
        let config = CreatableTopicConfig::default()
            .with_name(text("retention.ms"))
            .with_value(Some(text("123456789")));
        CreatableTopic::default()
            .with_name(side.topic(name))
            .with_num_partitions(2)
            .with_replication_factor(1)
            .with_configs(vec![config])
    });
    CreateTopicsRequest::default()
        .with_timeout_ms(10_000)
        .with_topics(topics.collect())
}

fn grow(side: &Side, names: &[String], count: i32) -> CreatePartitionsRequest {
    let topics = names.iter().map(|name| {
        CreatePartitionsTopic::default()
            .with_name(side.topic(name))
            .with_count(count)
            .with_assignments(None)
    });
    CreatePartitionsRequest::default()
        .with_timeout_ms(10_000)
        .with_topics(topics.collect())
}

fn delete(side: &Side, version: i16, names: &[String]) -> DeleteTopicsRequest {
    let request = DeleteTopicsRequest::default().with_timeout_ms(10_000);
    if version < 6 {
        return request.with_topic_names(names.iter().map(|name| side.topic(name)).collect());
    }
    let topics = names
        .iter()
        .map(|name| DeleteTopicState::default().with_name(Some(side.topic(name))));
    request.with_topics(topics.collect())
}

fn delete_ids(side: &Side, names: &[&str]) -> DeleteTopicsRequest {
    let topics = names.iter().map(|name| {
        DeleteTopicState::default()
            .with_name(None)
            .with_topic_id(side.id(name))
    });
    DeleteTopicsRequest::default()
        .with_timeout_ms(10_000)
        .with_topics(topics.collect())
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(super) fn cases() -> Vec<Case> {
    let mut all = seen();
    all.extend(made());
    all
}

fn seen() -> Vec<Case> {
    let single = Who::Single;
    let mut all = vec![
        case("all topics", single, ANY, |_, _| {
            MetadataRequest::default().with_topics(None)
        }),
        case(
            "all topics, for who may see none",
            Who::Cluster,
            ANY,
            |_, _| MetadataRequest::default().with_topics(None),
        ),
        case("all topics, for who may see all", Who::Wide, ANY, |_, _| {
            MetadataRequest::default().with_topics(None)
        }),
        case("mixed", Who::Wide, ANY, |side, _| by_name(side, &MIXED)),
        case("no topics", single, ANY, |side, _| by_name(side, &[])),
        case("allowed", single, ANY, |side, _| {
            by_name(side, &["full", "readable", "describable"])
        }),
        case("denied", single, ANY, |side, _| by_name(side, &["hidden"])),
        case("mixed", single, ANY, |side, _| by_name(side, &MIXED)),
        case("what implies Describe", single, ANY, |side, _| {
            by_name(
                side,
                &[
                    "altered",
                    "configured",
                    "shown",
                    "trimmed",
                    "doomed.0",
                    "born.absent",
                ],
            )
        }),
        case("the same topic twice", single, ANY, |side, _| {
            by_name(side, &["full", "full", "hidden", "hidden"])
        }),
        case("with creation on the way", single, ANY, |side, _| {
            by_name(side, &["made.on-the-way", "born.on-the-way", "absent"])
                .with_allow_auto_topic_creation(true)
        }),
        case(
            "with the operations on topics",
            single,
            OPERATIONS_IN_METADATA..=i16::MAX,
            |side, _| by_name(side, &MIXED).with_include_topic_authorized_operations(true),
        ),
        case(
            "with the operations on all topics",
            single,
            OPERATIONS_IN_METADATA..=i16::MAX,
            |_, _| {
                MetadataRequest::default()
                    .with_topics(None)
                    .with_include_topic_authorized_operations(true)
            },
        ),
        case(
            "by id, allowed",
            single,
            IDS_IN_METADATA..=i16::MAX,
            |side, _| by_id(side, &["full", "describable"]),
        ),
        case(
            "by id, mixed",
            single,
            IDS_IN_METADATA..=i16::MAX,
            |side, _| {
                by_id(side, &["full", "hidden", "absent"])
                    .with_include_topic_authorized_operations(true)
            },
        ),
        case("allowed", single, ANY, |side, _| {
            describe(side, &["full", "describable"])
        }),
        case("denied", single, ANY, |side, _| describe(side, &["hidden"])),
        case("mixed", single, ANY, |side, _| describe(side, &MIXED)),
        case("all topics", single, ANY, |side, _| describe(side, &[])),
        case(
            "all topics, for who may see none",
            Who::Cluster,
            ANY,
            |side, _| describe(side, &[]),
        ),
        case(
            "all topics, for who may see all",
            Who::Wide,
            ANY,
            |side, _| describe(side, &[]),
        ),
        case("a page", single, ANY, |side, _| {
            describe(side, &[]).with_response_partition_limit(2)
        }),
        case("a next page", single, ANY, |side, _| {
            let cursor = Cursor::default()
                .with_topic_name(side.topic("full"))
                .with_partition_index(1);
            describe(side, &["full", "hidden", "readable"]).with_cursor(Some(cursor))
        }),
        case(
            "a next page from a topic that may not be seen",
            single,
            ANY,
            |side, _| {
                let cursor = Cursor::default()
                    .with_topic_name(side.topic("hidden"))
                    .with_partition_index(0);
                describe(side, &["full", "hidden", "readable"]).with_cursor(Some(cursor))
            },
        ),
    ];
    for who in [Who::Wide, single] {
        all.push(case("Kafka's own", who, ANY, |_, _| {
            let topics = [
                "__consumer_offsets",
                "__transaction_state",
                "__share_group_state",
            ]
            .map(|name| MetadataRequestTopic::default().with_name(Some(TopicName(text(name)))));
            MetadataRequest::default().with_topics(Some(topics.to_vec()))
        }));
    }
    for who in Who::LIMITED {
        all.push(case(
            "with the operations on the cluster",
            who,
            8..=10,
            |side, _| by_name(side, &["full"]).with_include_cluster_authorized_operations(true),
        ));
    }
    all
}

fn made() -> Vec<Case> {
    let single = Who::Single;
    vec![
        case("only checked", single, ANY, |side, version| {
            let names = [
                format!("made.checked-{version}"),
                format!("absent-{version}"),
            ];
            create(side, &names).with_validate_only(true)
        }),
        case("allowed", single, ANY, |side, version| {
            create(side, &[format!("made.new-{version}")])
        }),
        case("denied", single, ANY, |side, version| {
            create(side, &[format!("absent-{version}")])
        }),
        case("mixed", single, ANY, |side, version| {
            let mut names = strings(&["absent", "hidden", "full", "readable", "made.denied"]);
            names.extend([format!("made.mixed-{version}"), format!("born.{version}")]);
            create(side, &names)
        }),
        case("the same topic twice", single, ANY, |side, _| {
            create(
                side,
                &strings(&["made.twice", "made.twice", "hidden", "hidden"]),
            )
        }),
        case("a name that is none", single, ANY, |side, _| {
            create(side, &strings(&["made.?", "made./", "absent.?"]))
        }),
        case("no topics", single, ANY, |side, _| create(side, &[])),
        case(
            "by a right to the cluster",
            Who::Cluster,
            ANY,
            |side, version| create(side, &[format!("founded-{version}")]),
        ),
        case("only checked", single, ANY, |side, _| {
            grow(side, &strings(&["full", "hidden"]), 20).with_validate_only(true)
        }),
        case("allowed", single, ANY, |side, version| {
            let names = [format!("made.new-{}", version + 2), "altered".to_owned()];
            grow(side, &names, 3 + i32::from(version))
        }),
        case("denied", single, ANY, |side, _| {
            grow(side, &strings(&["hidden", "readable"]), 20)
        }),
        case("mixed", single, ANY, |side, version| {
            let names = strings(&[
                "made.mixed-2",
                "hidden",
                "describable",
                "absent",
                "made.absent",
                "made.denied",
            ]);
            grow(side, &names, 3 + i32::from(version))
        }),
        case("fewer than there are", single, ANY, |side, _| {
            grow(side, &strings(&["full", "hidden"]), 1)
        }),
        case("the same topic twice", single, ANY, |side, _| {
            grow(side, &strings(&["full", "full", "hidden", "hidden"]), 20)
        }),
        case("no topics", single, ANY, |side, _| grow(side, &[], 20)),
    ]
}

pub(super) fn deletions() -> Vec<Case> {
    let single = Who::Single;
    vec![
        case("allowed", single, ANY, |side, version| {
            delete(
                side,
                version,
                &[format!("made.new-{version}"), format!("doomed.{version}")],
            )
        }),
        case("denied", single, ANY, |side, version| {
            delete(side, version, &strings(&["hidden"]))
        }),
        case("mixed", single, ANY, |side, version| {
            let mut names = strings(&[
                "hidden",
                "readable",
                "describable",
                "absent",
                "made.absent",
                "made.denied",
            ]);
            names.push(format!("made.mixed-{version}"));
            delete(side, version, &names)
        }),
        case("the same topic twice", single, ANY, |side, version| {
            delete(
                side,
                version,
                &strings(&["full", "full", "hidden", "hidden"]),
            )
        }),
        case("no topics", single, ANY, |side, version| {
            delete(side, version, &[])
        }),
        case("by id, denied", single, 6..=i16::MAX, |side, _| {
            delete_ids(side, &["hidden", "readable", "describable"])
        }),
        case("by id, mixed", single, 6..=i16::MAX, |side, _| {
            delete_ids(side, &["doomed.7", "hidden", "absent"])
        }),
        case("by name and by id", single, 6..=i16::MAX, |side, _| {
            let both = DeleteTopicState::default()
                .with_name(Some(side.topic("full")))
                .with_topic_id(side.id("full"));
            let neither = DeleteTopicState::default().with_name(None);
            let hidden = DeleteTopicState::default()
                .with_name(Some(side.topic("hidden")))
                .with_topic_id(side.id("hidden"));
            delete(side, 6, &[]).with_topics(vec![both, neither, hidden])
        }),
    ]
}
