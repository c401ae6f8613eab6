//! Offsets of groups: OffsetCommit, OffsetFetch, OffsetDelete.

use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest};

use super::super::scene::{Side, Who};
use super::groups::GROUPS;
use super::{ANY, Case, MIXED, case, text};

const GROUPS_IN_ONE: i16 = 8;

fn commit(side: &Side, group: &str, topics: &[&str], offset: i64) -> OffsetCommitRequest {
    let topics = topics.iter().map(|name| {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(0)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("kept")));
        OffsetCommitRequestTopic::default()
            .with_name(side.topic(name))
            .with_partitions(vec![partition])
    });
    OffsetCommitRequest::default()
        .with_group_id(side.group(group))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(topics.collect())
}

/// The offsets of these groups; of the first one, where a version can ask for one only.
pub(super) fn committed(
    side: &Side,
    version: i16,
    groups: &[&str],
    topics: Option<&[&str]>,
) -> OffsetFetchRequest {
    if version < GROUPS_IN_ONE {
        let topics = topics.map(|names| {
            let topic = |name: &&str| {
                OffsetFetchRequestTopic::default()
                    .with_name(side.topic(name))
                    .with_partition_indexes(vec![0])
            };
            names.iter().map(topic).collect()
        });
        return OffsetFetchRequest::default()
            .with_group_id(side.group(groups[0]))
            .with_topics(topics);
    }
    let groups = groups.iter().map(|group| {
        let topics = topics.map(|names| {
            let topic = |name: &&str| {
                OffsetFetchRequestTopics::default()
                    .with_name(side.topic(name))
                    .with_partition_indexes(vec![0])
            };
            names.iter().map(topic).collect()
        });
        OffsetFetchRequestGroup::default()
            .with_group_id(side.group(group))
            .with_topics(topics)
    });
    OffsetFetchRequest::default().with_groups(groups.collect())
}

fn forget(side: &Side, group: &str, topics: &[&str]) -> OffsetDeleteRequest {
    let topics = topics.iter().map(|name| {
        let partition = OffsetDeleteRequestPartition::default().with_partition_index(0);
        OffsetDeleteRequestTopic::default()
            .with_name(side.topic(name))
            .with_partitions(vec![partition])
    });
    OffsetDeleteRequest::default()
        .with_group_id(side.group(group))
        .with_topics(topics.collect())
}

pub(super) fn cases() -> Vec<Case> {
    let single = Who::Single;
    let list_all = 2..=i16::MAX;
    vec![
        case("allowed", single, ANY, |side, version| {
            commit(
                side,
                &format!("team.offsets-{version}"),
                &["full", "readable"],
                i64::from(version),
            )
        }),
        case("a group that is denied", single, ANY, |side, _| {
            commit(side, "hidden", &["full", "hidden"], 1)
        }),
        case("a group to be seen only", single, ANY, |side, _| {
            commit(side, "seen", &["full"], 1)
        }),
        case("mixed", single, ANY, |side, version| {
            commit(side, "all", &MIXED, i64::from(version))
        }),
        case("denied", single, ANY, |side, _| {
            commit(side, "all", &["hidden", "writable"], 1)
        }),
        case("no topics", single, ANY, |side, _| {
            commit(side, "all", &[], 1)
        }),
        case("a reader's group", Who::Reader, ANY, |side, _| {
            commit(side, "team.reader", &["readable", "full"], 2)
        }),
        case("allowed", single, ANY, |side, version| {
            committed(side, version, &["all"], Some(&["full", "readable"]))
        }),
        case("a group that is denied", single, ANY, |side, version| {
            committed(side, version, &["hidden"], Some(&["full", "hidden"]))
        }),
        case("mixed", single, ANY, |side, version| {
            committed(side, version, &["all"], Some(&MIXED))
        }),
        case("denied", single, ANY, |side, version| {
            committed(side, version, &["all"], Some(&["hidden"]))
        }),
        case("no topics", single, ANY, |side, version| {
            committed(side, version, &["all"], Some(&[]))
        }),
        case("all topics", single, list_all.clone(), |side, version| {
            committed(side, version, &["all"], None)
        }),
        case(
            "all topics, of a group that is denied",
            single,
            list_all.clone(),
            |side, version| committed(side, version, &["hidden"], None),
        ),
        case(
            "all topics that a reader sees",
            Who::Reader,
            list_all,
            |side, version| committed(side, version, &["team.offsets-8"], None),
        ),
        case(
            "all topics, for who may see all",
            Who::Wide,
            2..=i16::MAX,
            |side, version| committed(side, version, &["all"], None),
        ),
        case(
            "several groups",
            single,
            GROUPS_IN_ONE..=i16::MAX,
            |side, version| committed(side, version, &GROUPS, Some(&["full", "hidden"])),
        ),
        case(
            "all topics of several groups",
            single,
            GROUPS_IN_ONE..=i16::MAX,
            |side, version| committed(side, version, &["all", "hidden", "team.reader"], None),
        ),
        case(
            "the same group twice",
            single,
            GROUPS_IN_ONE..=i16::MAX,
            |side, version| committed(side, version, &["all", "all"], Some(&["full", "hidden"])),
        ),
        case(
            "no groups",
            single,
            GROUPS_IN_ONE..=i16::MAX,
            |side, version| committed(side, version, &[], None),
        ),
        case("stable offsets", single, 7..=i16::MAX, |side, version| {
            committed(side, version, &["all"], Some(&MIXED)).with_require_stable(true)
        }),
    ]
}

pub(super) fn deletions() -> Vec<Case> {
    let single = Who::Single;
    vec![
        case("denied", single, ANY, |side, _| {
            forget(side, "hidden", &["full"])
        }),
        case("by Read alone", single, ANY, |side, _| {
            forget(side, "used", &["full"])
        }),
        case("topics, denied", single, ANY, |side, _| {
            forget(side, "all", &["hidden", "writable"])
        }),
        case("mixed", single, ANY, |side, _| forget(side, "all", &MIXED)),
        case("of a group that is not there", single, ANY, |side, _| {
            forget(side, "team.absent", &["full", "hidden"])
        }),
        case("no topics", single, ANY, |side, _| forget(side, "all", &[])),
    ]
}
