//! One well-formed request, with its answer, for every API and version that is served.

mod administration;
mod objects;

use super::batch::plain;
use super::frames::{self, text, topic};
use bytes::Bytes;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponseTopic};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Request;

/// A request and what a broker answers to it.
pub struct Sample {
    pub api_key: i16,
    pub version: i16,
    /// The service of the tests' policy that may send it, at least in part.
    pub subject: &'static str,
    pub request: Vec<u8>,
    pub response: Vec<u8>,
    pub read_request: Read,
    pub read_response: ReadVersion,
}

pub type Read = fn(&[u8]) -> Result<(), String>;
pub type ReadVersion = fn(i16, &[u8]) -> Result<(), String>;

pub const CORRELATION_ID: i32 = 1;

fn add<R: Request>(
    samples: &mut Vec<Sample>,
    subject: &'static str,
    request: impl Fn(i16) -> R,
    response: impl Fn(i16) -> R::Response,
) {
    let (min, max) = sluice_kafka::api::api(R::KEY).unwrap().versions;
    samples.extend((min..=max).map(|version| Sample {
        api_key: R::KEY,
        version,
        subject,
        request: frames::request(version, CORRELATION_ID, &request(version)),
        response: frames::response::<R>(version, CORRELATION_ID, &response(version)),
        read_request: |frame| frames::try_decode_request::<R>(frame).map(drop),
        read_response: |version, frame| frames::try_decode_response::<R>(version, frame).map(drop),
    }));
}

fn empty<T: Default>(_: i16) -> T {
    T::default()
}

fn group(name: &str) -> GroupId {
    GroupId(text(name))
}

fn transaction(id: &str) -> TransactionalId {
    TransactionalId(text(id))
}

/// Every API that is served, in every version, each naming something allowed and, where it can, something denied.
pub fn samples() -> Vec<Sample> {
    let mut all = Vec::new();
    hot(&mut all);
    cluster(&mut all);
    groups(&mut all);
    objects::topics(&mut all);
    objects::transactions(&mut all);
    administration::cluster(&mut all);
    administration::described(&mut all);
    all
}

fn hot(all: &mut Vec<Sample>) {
    add(
        all,
        "writer",
        |_| {
            frames::produce(
                -1,
                &[
                    ("orders", vec![(0, plain(b"v"))]),
                    ("hidden", vec![(0, plain(b"v"))]),
                ],
            )
        },
        |_| frames::produced(&[("orders", vec![(0, 5)])]),
    );
    add(
        all,
        "writer",
        |_| frames::produce(1, &[("orders", vec![(0, plain(b"v"))])]),
        |_| frames::produced(&[("orders", vec![(0, 5)])]),
    );
    add(
        all,
        "reader",
        |_| {
            frames::fetch(&[
                ("orders", vec![(0, 0), (1, 5)]),
                ("hidden", vec![(0, 0)]),
                ("masked", vec![(0, 0)]),
            ])
        },
        |_| {
            let masked = plain(br#"{"email":"a@b.c"}"#);
            frames::fetched(&[
                ("orders", vec![(0, plain(b"v")), (1, vec![])]),
                ("masked", vec![(0, masked)]),
            ])
        },
    );
    add(
        all,
        "reader",
        |_| frames::fetch(&[("orders", vec![(0, 0)])]),
        |_| frames::fetched(&[("orders", vec![(0, plain(b"v"))])]),
    );
}

fn cluster(all: &mut Vec<Sample>) {
    add(
        all,
        "reader",
        |_| {
            let names = ["orders", "hidden"]
                .map(|name| MetadataRequestTopic::default().with_name(Some(topic(name))));
            MetadataRequest::default().with_topics(Some(names.into()))
        },
        |_| {
            let broker = MetadataResponseBroker::default()
                .with_node_id(1.into())
                .with_host(text("broker.internal"));
            let described = MetadataResponseTopic::default().with_name(Some(topic("orders")));
            MetadataResponse::default()
                .with_brokers(vec![broker])
                .with_topics(vec![described])
        },
    );
    add(all, "reader", empty::<DescribeClusterRequest>, |_| {
        let broker = DescribeClusterBroker::default()
            .with_broker_id(1.into())
            .with_host(text("broker.internal"));
        DescribeClusterResponse::default().with_brokers(vec![broker])
    });
    add(
        all,
        "reader",
        |version| match version {
            0..4 => FindCoordinatorRequest::default().with_key(text("g-1")),
            _ => FindCoordinatorRequest::default()
                .with_coordinator_keys(vec![text("g-1"), text("x")]),
        },
        |version| match version {
            0..4 => FindCoordinatorResponse::default()
                .with_node_id(1.into())
                .with_host(text("broker.internal")),
            _ => {
                let found = Coordinator::default()
                    .with_key(text("g-1"))
                    .with_host(text("broker.internal"));
                FindCoordinatorResponse::default().with_coordinators(vec![found])
            }
        },
    );
    add(
        all,
        "reader",
        |_| {
            let ask = |name: &str| {
                let partition = ListOffsetsPartition::default()
                    .with_partition_index(1)
                    .with_timestamp(-1);
                ListOffsetsTopic::default()
                    .with_name(topic(name))
                    .with_partitions(vec![partition])
            };
            ListOffsetsRequest::default()
                .with_replica_id(5.into())
                .with_topics(vec![ask("orders"), ask("hidden")])
        },
        empty,
    );
    add(
        all,
        "reader",
        |_| {
            let ask = |name: &str| {
                let partition = OffsetForLeaderPartition::default()
                    .with_partition(1)
                    .with_leader_epoch(2);
                OffsetForLeaderTopic::default()
                    .with_topic(topic(name))
                    .with_partitions(vec![partition])
            };
            OffsetForLeaderEpochRequest::default().with_topics(vec![ask("orders"), ask("hidden")])
        },
        empty,
    );
}

fn groups(all: &mut Vec<Sample>) {
    add(
        all,
        "reader",
        |_| {
            let commit = |name: &str| {
                let partition = OffsetCommitRequestPartition::default()
                    .with_partition_index(1)
                    .with_committed_offset(7);
                OffsetCommitRequestTopic::default()
                    .with_name(topic(name))
                    .with_partitions(vec![partition])
            };
            OffsetCommitRequest::default()
                .with_group_id(group("g-1"))
                .with_topics(vec![commit("orders"), commit("hidden")])
        },
        empty,
    );
    add(
        all,
        "reader",
        |version| {
            if version < 8 {
                let ask = |name: &str| {
                    OffsetFetchRequestTopic::default()
                        .with_name(topic(name))
                        .with_partition_indexes(vec![0, 1])
                };
                let asked = vec![ask("orders"), ask("hidden")];
                return OffsetFetchRequest::default()
                    .with_group_id(group("g-1"))
                    .with_topics(Some(asked));
            }
            let ask = |name: &str| {
                OffsetFetchRequestTopics::default()
                    .with_name(topic(name))
                    .with_partition_indexes(vec![0, 1])
            };
            let of = |name: &str| {
                let asked = vec![ask("orders"), ask("hidden")];
                OffsetFetchRequestGroup::default()
                    .with_group_id(group(name))
                    .with_topics(Some(asked))
            };
            OffsetFetchRequest::default().with_groups(vec![of("g-1"), of("x")])
        },
        empty,
    );
    add(
        all,
        "reader",
        |_| {
            let protocol = JoinGroupRequestProtocol::default()
                .with_name(text("range"))
                .with_metadata(Bytes::from_static(b"m"));
            JoinGroupRequest::default()
                .with_group_id(group("g-1"))
                .with_session_timeout_ms(10_000)
                .with_rebalance_timeout_ms(10_000)
                .with_protocol_type(text("consumer"))
                .with_protocols(vec![protocol])
        },
        |_| {
            let mut response = JoinGroupResponse::default()
                .with_leader(text("m"))
                .with_member_id(text("m"));
            response.protocol_name = Some(text("range"));
            response
        },
    );
    add(
        all,
        "reader",
        |_| {
            HeartbeatRequest::default()
                .with_group_id(group("g-1"))
                .with_member_id(text("m"))
        },
        empty,
    );
    add(
        all,
        "reader",
        |version| match version {
            0..3 => LeaveGroupRequest::default()
                .with_group_id(group("g-1"))
                .with_member_id(text("m")),
            _ => {
                let member = MemberIdentity::default().with_member_id(text("m"));
                LeaveGroupRequest::default()
                    .with_group_id(group("g-1"))
                    .with_members(vec![member])
            }
        },
        empty,
    );
    add(
        all,
        "reader",
        |version| {
            let assigned = SyncGroupRequestAssignment::default()
                .with_member_id(text("m"))
                .with_assignment(Bytes::from_static(b"a"));
            let mut request = SyncGroupRequest::default()
                .with_group_id(group("g-1"))
                .with_assignments(vec![assigned]);
            if version >= 5 {
                request.protocol_type = Some(text("consumer"));
                request.protocol_name = Some(text("range"));
            }
            request
        },
        empty,
    );
    add(
        all,
        "reader",
        |_| DescribeGroupsRequest::default().with_groups(vec![group("g-1"), group("x")]),
        empty,
    );
    add(all, "reader", empty::<ListGroupsRequest>, |_| {
        let listed = ["g-1", "x"].map(|name| ListedGroup::default().with_group_id(group(name)));
        ListGroupsResponse::default().with_groups(listed.into())
    });
    add(
        all,
        "reader",
        |_| DeleteGroupsRequest::default().with_groups_names(vec![group("g-1"), group("x")]),
        empty,
    );
    add(
        all,
        "reader",
        |_| {
            let forget = |name: &str| {
                let partition = OffsetDeleteRequestPartition::default().with_partition_index(1);
                OffsetDeleteRequestTopic::default()
                    .with_name(topic(name))
                    .with_partitions(vec![partition])
            };
            OffsetDeleteRequest::default()
                .with_group_id(group("g-1"))
                .with_topics(vec![forget("orders"), forget("hidden")])
        },
        empty,
    );
    add(
        all,
        "reader",
        |_| {
            ConsumerGroupHeartbeatRequest::default()
                .with_group_id(group("g-1"))
                .with_member_id(text("m"))
                .with_subscribed_topic_names(Some(vec![topic("orders"), topic("clicks")]))
        },
        empty,
    );
    add(
        all,
        "reader",
        |_| ConsumerGroupDescribeRequest::default().with_group_ids(vec![group("g-1"), group("x")]),
        empty,
    );
}
