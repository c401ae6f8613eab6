//! Records and their places: Produce, Fetch, ListOffsets, OffsetForLeaderEpoch, DeleteRecords.

use bytes::Bytes;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    DeleteRecordsRequest, FetchRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest,
    ProduceRequest,
};

use super::super::scene::{Side, Who};
use super::{ANY, Case, MIXED, batch, case, unanswered};

const IDS_IN_PRODUCE: i16 = 13;
const IDS_IN_FETCH: i16 = 13;

/// A Produce of one batch to a partition of each topic.
pub(super) fn produce(
    side: &Side,
    version: i16,
    to: &[(&str, i32, Option<Bytes>)],
) -> ProduceRequest {
    let topics = to.iter().map(|(name, partition, records)| {
        let data = PartitionProduceData::default()
            .with_index(*partition)
            .with_records(records.clone());
        let topic = TopicProduceData::default().with_partition_data(vec![data]);
        if version >= IDS_IN_PRODUCE {
            topic.with_topic_id(side.id(name))
        } else {
            topic.with_name(side.topic(name))
        }
    });
    ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(10_000)
        .with_topic_data(topics.collect())
}

fn some(value: &str) -> Option<Bytes> {
    Some(batch::plain(&[value]))
}

fn to_all(names: &[&'static str]) -> Vec<(&'static str, i32, Option<Bytes>)> {
    names.iter().map(|name| (*name, 0, some("mixed"))).collect()
}

/// A Fetch of partitions from an offset, as a consumer without a fetch session.
fn fetch(side: &Side, version: i16, from: &[(&str, i32, i64)]) -> FetchRequest {
    let topics = from.iter().map(|(name, partition, offset)| {
        let data = FetchPartition::default()
            .with_partition(*partition)
            .with_fetch_offset(*offset)
            .with_partition_max_bytes(1 << 20);
        let topic = FetchTopic::default().with_partitions(vec![data]);
        if version >= IDS_IN_FETCH {
            topic.with_topic_id(side.id(name))
        } else {
            topic.with_topic(side.topic(name))
        }
    });
    let request = FetchRequest::default()
        .with_max_wait_ms(0)
        .with_min_bytes(0)
        .with_max_bytes(1 << 20)
        .with_topics(topics.collect());
    if version >= 7 {
        request.with_session_epoch(-1)
    } else {
        request
    }
}

fn list(side: &Side, of: &[(&str, i32, i64)]) -> ListOffsetsRequest {
    let topics = of.iter().map(|(name, partition, timestamp)| {
        let data = ListOffsetsPartition::default()
            .with_partition_index(*partition)
            .with_timestamp(*timestamp);
        ListOffsetsTopic::default()
            .with_name(side.topic(name))
            .with_partitions(vec![data])
    });
    ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_topics(topics.collect())
}

fn epochs(side: &Side, of: &[&str], epoch: i32) -> OffsetForLeaderEpochRequest {
    let topics = of.iter().map(|name| {
        let data = OffsetForLeaderPartition::default()
            .with_partition(0)
            .with_leader_epoch(epoch);
        OffsetForLeaderTopic::default()
            .with_topic(side.topic(name))
            .with_partitions(vec![data])
    });
    OffsetForLeaderEpochRequest::default().with_topics(topics.collect())
}

fn trim(side: &Side, of: &[(&str, i64)]) -> DeleteRecordsRequest {
    let topics = of.iter().map(|(name, offset)| {
        let data = DeleteRecordsPartition::default()
            .with_partition_index(0)
            .with_offset(*offset);
        DeleteRecordsTopic::default()
            .with_name(side.topic(name))
            .with_partitions(vec![data])
    });
    DeleteRecordsRequest::default()
        .with_timeout_ms(10_000)
        .with_topics(topics.collect())
}

pub(super) fn cases() -> Vec<Case> {
    let single = Who::Single;
    let mut all = vec![
        case("allowed", single, ANY, |side, version| {
            produce(
                side,
                version,
                &[
                    ("full", 0, some("a")),
                    ("full", 1, some("b")),
                    ("writable", 0, some("c")),
                ],
            )
        }),
        case("denied", single, ANY, |side, version| {
            produce(side, version, &to_all(&["hidden", "readable"]))
        }),
        case("mixed", single, ANY, |side, version| {
            produce(side, version, &to_all(&MIXED))
        }),
        case(
            "a write that a deny takes away",
            single,
            ANY,
            |side, version| produce(side, version, &to_all(&["made.log", "made.mute.log"])),
        ),
        case("one acknowledgement", single, ANY, |side, version| {
            produce(side, version, &to_all(&["full", "hidden"])).with_acks(1)
        }),
        case(
            "acknowledgements that there are not",
            single,
            ANY,
            |side, version| produce(side, version, &to_all(&["full", "hidden"])).with_acks(2),
        ),
        case(
            "a partition that is not there",
            single,
            ANY,
            |side, version| {
                produce(
                    side,
                    version,
                    &[("full", 7, some("a")), ("hidden", 7, some("a"))],
                )
            },
        ),
        case("no topics", single, ANY, |side, version| {
            produce(side, version, &[])
        }),
        case("a wrong checksum", single, ANY, |side, version| {
            let bad = Some(batch::corrupt());
            produce(
                side,
                version,
                &[("full", 0, bad.clone()), ("hidden", 0, bad)],
            )
        }),
        case(
            "a write that a wider denial takes away",
            Who::Stifled,
            ANY,
            |side, version| produce(side, version, &to_all(&["writable", "full"])),
        ),
        case(
            "a transactional id that is denied, and no transaction",
            single,
            ANY,
            |side, version| {
                produce(side, version, &to_all(&["made.strict"]))
                    .with_transactional_id(Some(side.transactional_id("secret")))
            },
        ),
        unanswered("unacknowledged, allowed", single, ANY, |side, version| {
            produce(side, version, &to_all(&["full"])).with_acks(0)
        }),
        unanswered("unacknowledged, denied", single, ANY, |side, version| {
            produce(side, version, &to_all(&["hidden"])).with_acks(0)
        }),
    ];
    all.extend(fetches());
    all.extend(offsets());
    all
}

fn fetches() -> Vec<Case> {
    let single = Who::Single;
    vec![
        case("allowed", single, ANY, |side, version| {
            fetch(side, version, &[("readable", 0, 1), ("full", 0, 0)])
        }),
        case("denied", single, ANY, |side, version| {
            fetch(side, version, &[("hidden", 0, 0), ("writable", 0, 0)])
        }),
        case("mixed", single, ANY, |side, version| {
            fetch(side, version, &MIXED.map(|name| (name, 0, 0)))
        }),
        case("of all topics", Who::Wide, ANY, |side, version| {
            fetch(side, version, &MIXED.map(|name| (name, 0, 0)))
        }),
        case("another's topic", Who::Reader, ANY, |side, version| {
            fetch(side, version, &[("readable", 0, 0), ("full", 0, 0)])
        }),
        case("outside the log", single, ANY, |side, version| {
            fetch(
                side,
                version,
                &[("readable", 0, 99), ("readable", 7, 0), ("hidden", 0, 99)],
            )
        }),
        case("committed records", single, ANY, |side, version| {
            fetch(side, version, &[("readable", 0, 0), ("hidden", 0, 0)]).with_isolation_level(1)
        }),
        case("no topics", single, ANY, |side, version| {
            fetch(side, version, &[])
        }),
        case("as a replica", single, 0..=14, |side, version| {
            fetch(side, version, &[("readable", 0, 0), ("hidden", 0, 0)]).with_replica_id(1.into())
        }),
        case(
            "a new fetch session",
            single,
            7..=i16::MAX,
            |side, version| {
                fetch(side, version, &[("readable", 0, 0), ("hidden", 0, 0)]).with_session_epoch(0)
            },
        ),
        case(
            "a fetch session that there is not",
            single,
            7..=i16::MAX,
            |side, version| {
                fetch(side, version, &[("readable", 0, 0)])
                    .with_session_id(7)
                    .with_session_epoch(1)
            },
        ),
    ]
}

fn offsets() -> Vec<Case> {
    let single = Who::Single;
    vec![
        case("allowed", single, ANY, |side, _| {
            list(side, &[("full", 0, -1), ("full", 1, -2)])
        }),
        case("denied", single, ANY, |side, _| {
            list(side, &[("hidden", 0, -1)])
        }),
        case("mixed", single, ANY, |side, _| {
            list(side, &MIXED.map(|name| (name, 0, -1)))
        }),
        case("of all topics", Who::Wide, ANY, |side, _| {
            list(side, &MIXED.map(|name| (name, 0, -2)))
        }),
        case("what implies Describe", single, ANY, |side, _| {
            list(
                side,
                &["altered", "configured", "shown", "trimmed"].map(|name| (name, 0, -2)),
            )
        }),
        case("a time", single, ANY, |side, _| {
            list(side, &[("readable", 0, 1), ("hidden", 0, 1)])
        }),
        case("a partition that is not there", single, ANY, |side, _| {
            list(side, &[("readable", 7, -1), ("hidden", 7, -1)])
        }),
        case("the largest time", single, 7..=i16::MAX, |side, _| {
            list(side, &[("readable", 0, -3), ("hidden", 0, -3)])
        }),
        case("local and tiered", single, 8..=i16::MAX, |side, version| {
            let tiered = if version >= 9 { -5 } else { -4 };
            list(
                side,
                &[("readable", 0, -4), ("full", 0, tiered), ("hidden", 0, -4)],
            )
        }),
        case("no topics", single, ANY, |side, _| list(side, &[])),
        case("as a replica", single, ANY, |side, _| {
            list(side, &[("readable", 0, -1), ("hidden", 0, -1)]).with_replica_id(1.into())
        }),
        case("allowed", single, ANY, |side, _| {
            epochs(side, &["full", "readable"], 0)
        }),
        case("denied", single, ANY, |side, _| {
            epochs(side, &["hidden"], 0)
        }),
        case("mixed", single, ANY, |side, _| epochs(side, &MIXED, 0)),
        case("an epoch to come", single, ANY, |side, _| {
            epochs(side, &["full", "hidden"], 9)
        }),
        case("as a replica", single, 3..=i16::MAX, |side, _| {
            epochs(side, &["full", "hidden"], 0).with_replica_id(1.into())
        }),
        case("allowed", single, ANY, |side, version| {
            trim(side, &[("trimmed", i64::from(version)), ("made.log", 1)])
        }),
        case("denied", single, ANY, |side, _| {
            trim(side, &[("hidden", 1), ("readable", 1)])
        }),
        case("mixed", single, ANY, |side, _| {
            trim(side, &MIXED.map(|name| (name, 1)))
        }),
        case("outside the log", single, ANY, |side, _| {
            trim(side, &[("trimmed", 99), ("hidden", 99)])
        }),
        case("all of it", single, 2..=i16::MAX, |side, _| {
            trim(side, &[("trimmed", -1)])
        }),
        case("no topics", single, ANY, |side, _| trim(side, &[])),
    ]
}
