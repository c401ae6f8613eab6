//! Groups: their coordinator, members and ends.

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, DeleteGroupsRequest,
    DescribeGroupsRequest, FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest,
    LeaveGroupRequest, ListGroupsRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::super::scene::{Side, Who};
use super::{ANY, Case, case, text};

/// Groups with all rights, with some, with none, and without anything to them.
pub(super) const GROUPS: [&str; 8] = [
    "all",
    "team.absent",
    "seen",
    "used",
    "gone",
    "hidden",
    "secret",
    "team.denied",
];

const COORDINATORS_IN_ONE: i16 = 4;
const MEMBERS_IN_ONE: i16 = 3;
const ALL_GROUPS_LISTED: i16 = 4;

fn find(version: i16, kind: i8, keys: Vec<StrBytes>) -> FindCoordinatorRequest {
    let request = FindCoordinatorRequest::default().with_key_type(kind);
    if version >= COORDINATORS_IN_ONE {
        return request.with_coordinator_keys(keys);
    }
    request.with_key(keys.into_iter().next().unwrap_or_default())
}

fn texts(side: &Side, names: &[&str]) -> Vec<StrBytes> {
    names.iter().map(|name| side.text(name)).collect()
}

fn join(side: &Side, version: i16, group: &str, member: StrBytes) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    let request = JoinGroupRequest::default()
        .with_group_id(side.group(group))
        .with_session_timeout_ms(300_000)
        .with_member_id(member)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    if version >= 1 {
        request.with_rebalance_timeout_ms(10_000)
    } else {
        request
    }
}

/// The group that this version of JoinGroup makes.
fn joined(version: i16) -> String {
    format!("team.joined-{version}")
}

/// Its member: from version 4 on, the first answer only names it.
fn member(side: &Side, version: i16) -> StrBytes {
    side.said_text("a member joins", version, "/member_id")
}

fn sync(side: &Side, version: i16, group: &str) -> SyncGroupRequest {
    let own = SyncGroupRequestAssignment::default()
        .with_member_id(member(side, version))
        .with_assignment(Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    let request = SyncGroupRequest::default()
        .with_group_id(side.group(group))
        .with_generation_id(1)
        .with_member_id(member(side, version))
        .with_assignments(vec![own]);
    if version >= 5 {
        return request
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")));
    }
    request
}

fn beat(side: &Side, version: i16, group: &str) -> HeartbeatRequest {
    HeartbeatRequest::default()
        .with_group_id(side.group(group))
        .with_generation_id(1)
        .with_member_id(member(side, version))
}

fn leave(side: &Side, version: i16, group: &str) -> LeaveGroupRequest {
    let request = LeaveGroupRequest::default().with_group_id(side.group(group));
    if version < MEMBERS_IN_ONE {
        return request.with_member_id(member(side, version));
    }
    let stranger = MemberIdentity::default().with_member_id(text("stranger"));
    let own = MemberIdentity::default().with_member_id(member(side, version));
    request.with_members(vec![own, stranger])
}

fn describe(side: &Side, groups: &[&str]) -> DescribeGroupsRequest {
    let groups = groups.iter().map(|group| side.group(group));
    DescribeGroupsRequest::default().with_groups(groups.collect())
}

fn enter(side: &Side, group: &str, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
    let topics = topics.iter().map(|name| side.topic(name)).collect();
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(side.group(group))
        // From version 1 on, members choose their ids.
        .with_member_id(text("AAAAAAAAAAAAAAAAAAAAAA"))
        .with_member_epoch(0)
        .with_rebalance_timeout_ms(10_000)
        .with_subscribed_topic_names(Some(topics))
        .with_topic_partitions(Some(Vec::new()))
}

fn consumers(side: &Side, groups: &[&str]) -> ConsumerGroupDescribeRequest {
    let groups = groups.iter().map(|group| side.group(group));
    ConsumerGroupDescribeRequest::default().with_group_ids(groups.collect())
}

pub(super) fn cases() -> Vec<Case> {
    let mut all = members();
    all.extend(consumer_protocol());
    all.extend(seen());
    all
}

fn members() -> Vec<Case> {
    let single = Who::Single;
    let one = 0..=COORDINATORS_IN_ONE - 1;
    let several = COORDINATORS_IN_ONE..=i16::MAX;
    vec![
        case("a group, allowed", single, ANY, |side, version| {
            find(version, 0, texts(side, &["all"]))
        }),
        case("a group, denied", single, ANY, |side, version| {
            find(version, 0, texts(side, &["hidden"]))
        }),
        case("a group, by Read", single, one.clone(), |side, version| {
            find(version, 0, texts(side, &["used"]))
        }),
        case("groups, mixed", single, several.clone(), |side, version| {
            find(version, 0, texts(side, &GROUPS))
        }),
        case("no groups", single, several.clone(), |_, version| {
            find(version, 0, Vec::new())
        }),
        case(
            "a transaction, allowed",
            single,
            1..=i16::MAX,
            |side, version| find(version, 1, texts(side, &["pay.found"])),
        ),
        case(
            "a transaction, denied",
            single,
            1..=i16::MAX,
            |side, version| find(version, 1, texts(side, &["secret"])),
        ),
        case("transactions, mixed", single, several, |side, version| {
            find(
                version,
                1,
                texts(side, &["pay.found", "secret", "moved", "watched"]),
            )
        }),
        case(
            "a share coordinator",
            single,
            6..=i16::MAX,
            |side, version| find(version, 2, texts(side, &["all:AAAAAAAAAAAAAAAAAAAAAQ:0"])),
        ),
        case(
            "no kind of coordinator",
            single,
            1..=i16::MAX,
            |side, version| find(version, 9, texts(side, &["all"])),
        ),
        case("a stranger joins", single, ANY, |side, version| {
            join(side, version, "hidden", text(""))
        }),
        case(
            "a member of a group that a deny takes away",
            single,
            ANY,
            |side, version| join(side, version, "team.denied", text("")),
        ),
        case("a reader of another group", single, ANY, |side, version| {
            join(side, version, "seen", text(""))
        }),
        case("a member joins", single, ANY, |side, version| {
            join(side, version, &joined(version), text(""))
        }),
        case(
            "a member joins again",
            single,
            4..=i16::MAX,
            |side, version| join(side, version, &joined(version), member(side, version)),
        ),
        case("allowed", single, ANY, |side, version| {
            sync(side, version, &joined(version))
        }),
        case("denied", single, ANY, |side, version| {
            sync(side, version, "hidden")
        }),
        case(
            "of a group that is not there",
            single,
            ANY,
            |side, version| sync(side, version, "team.absent"),
        ),
        case("allowed", single, ANY, |side, version| {
            beat(side, version, &joined(version))
        }),
        case("denied", single, ANY, |side, version| {
            beat(side, version, "hidden")
        }),
        case("by Describe alone", single, ANY, |side, version| {
            beat(side, version, "seen")
        }),
        case(
            "of a group that is not there",
            single,
            ANY,
            |side, version| beat(side, version, "team.absent"),
        ),
        case("denied", single, ANY, |side, version| {
            leave(side, version, "hidden")
        }),
        case(
            "of a group that is not there",
            single,
            ANY,
            |side, version| leave(side, version, "team.absent"),
        ),
        case("allowed", single, ANY, |side, version| {
            leave(side, version, &joined(version))
        }),
    ]
}

fn consumer_protocol() -> Vec<Case> {
    let single = Who::Single;
    vec![
        case("a stranger enters", single, ANY, |side, _| {
            enter(side, "hidden", &["full"])
        }),
        case(
            "a reader of a topic that is hidden",
            single,
            ANY,
            |side, _| enter(side, "team.consumers", &["full", "hidden"]),
        ),
        case(
            "a reader of a topic that is not there",
            single,
            ANY,
            |side, _| enter(side, "team.consumers", &["absent"]),
        ),
        case("a member enters", single, ANY, |side, _| {
            enter(side, "team.consumers", &["readable", "made.absent"])
        }),
        case("a pattern", single, 1..=i16::MAX, |side, _| {
            enter(side, "team.patterns", &[])
                .with_subscribed_topic_names(None)
                .with_subscribed_topic_regex(Some(side.text("read.*")))
        }),
        case("a member goes on", single, ANY, |side, _| {
            let epoch = side.said_number("a member enters", 1, "/member_epoch");
            enter(side, "team.consumers", &[])
                .with_member_epoch(i32::try_from(epoch).unwrap_or(-1))
                .with_subscribed_topic_names(None)
                .with_rebalance_timeout_ms(-1)
                .with_topic_partitions(None)
        }),
        case(
            "a member of what others may not see",
            single,
            ANY,
            |side, _| enter(side, "team.full", &["full"]),
        ),
        case("allowed", single, ANY, |side, _| {
            consumers(side, &["team.consumers", "team.full"])
        }),
        case("denied", single, ANY, |side, _| {
            consumers(side, &["hidden"])
        }),
        case("mixed", single, ANY, |side, _| consumers(side, &GROUPS)),
        case("of topics that are hidden", Who::Reader, ANY, |side, _| {
            consumers(side, &["team.consumers", "team.full"])
        }),
        case("with operations", single, ANY, |side, _| {
            consumers(side, &["team.consumers", "hidden", "seen"])
                .with_include_authorized_operations(true)
        }),
        case("no groups", single, ANY, |side, _| consumers(side, &[])),
    ]
}

fn seen() -> Vec<Case> {
    let single = Who::Single;
    let mut all = vec![
        case("allowed", single, ANY, |side, _| {
            describe(side, &["all", "team.joined-9", "seen"])
        }),
        case("denied", single, ANY, |side, _| describe(side, &["hidden"])),
        case("mixed", single, ANY, |side, _| describe(side, &GROUPS)),
        case("with operations", single, 3..=i16::MAX, |side, _| {
            describe(side, &GROUPS).with_include_authorized_operations(true)
        }),
        case("the same group twice", single, ANY, |side, _| {
            describe(side, &["all", "all", "hidden", "hidden"])
        }),
        case("no groups", single, ANY, |side, _| describe(side, &[])),
        case(
            "in a state",
            single,
            ALL_GROUPS_LISTED..=i16::MAX,
            |_, _| ListGroupsRequest::default().with_states_filter(vec![text("Empty")]),
        ),
        case("of a type", single, 5..=i16::MAX, |_, _| {
            ListGroupsRequest::default().with_types_filter(vec![text("consumer")])
        }),
    ];
    for who in Who::LIMITED {
        all.push(case("all groups", who, ANY, |_, _| {
            ListGroupsRequest::default()
        }));
    }
    all
}

fn end(side: &Side, groups: &[&str]) -> DeleteGroupsRequest {
    let groups = groups.iter().map(|group| side.group(group));
    DeleteGroupsRequest::default().with_groups_names(groups.collect())
}

pub(super) fn deletions() -> Vec<Case> {
    let single = Who::Single;
    vec![
        case("denied", single, ANY, |side, _| end(side, &["hidden"])),
        case("mixed", single, ANY, |side, version| {
            let own = format!("team.offsets-{}", version + 2);
            let mut groups = GROUPS.to_vec();
            groups.retain(|group| *group != "all");
            groups.push(&own);
            end(side, &groups)
        }),
        case("the same group twice", single, ANY, |side, version| {
            let own = format!("team.offsets-{}", version + 5);
            end(side, &[&own, &own, "hidden", "hidden"])
        }),
        case("a group with a member", single, ANY, |side, _| {
            end(side, &["team.joined-9"])
        }),
        case("no groups", single, ANY, |side, _| end(side, &[])),
    ]
}
