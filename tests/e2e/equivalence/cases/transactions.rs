//! Producers and transactions. Each version of InitProducerId begins a transaction that the same versions of the other
//! APIs carry on.

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeProducersRequest,
    DescribeTransactionsRequest, EndTxnRequest, InitProducerIdRequest, ListTransactionsRequest,
    ProduceRequest, ProducerId, TxnOffsetCommitRequest,
};

use super::super::scene::{Side, Who};
use super::batch::{self, Producer};
use super::records::produce;
use super::{ANY, Case, MIXED, case, text};

fn init(id: Option<kafka_protocol::messages::TransactionalId>) -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(id)
        .with_transaction_timeout_ms(600_000)
}

/// The transactional id that this version begins with.
fn own(version: i16) -> String {
    format!("pay.own-{version}")
}

/// Its producer.
fn producer(side: &Side, version: i16) -> (ProducerId, i16) {
    let id = side.said_number("a transactional producer", version, "/producer_id");
    let epoch = side.said_number("a transactional producer", version, "/producer_epoch");
    (id.into(), i16::try_from(epoch).unwrap_or(-1))
}

fn add(side: &Side, version: i16, id: &str, topics: &[&str]) -> AddPartitionsToTxnRequest {
    let (producer_id, epoch) = producer(side, version);
    let topics = topics.iter().map(|name| {
        AddPartitionsToTxnTopic::default()
            .with_name(side.topic(name))
            .with_partitions(vec![0])
    });
    AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(side.transactional_id(id))
        .with_v3_and_below_producer_id(producer_id)
        .with_v3_and_below_producer_epoch(epoch)
        .with_v3_and_below_topics(topics.collect())
}

/// A batch of the transaction of the version of InitProducerId that goes with it, under a transactional id.
fn write(side: &Side, version: i16, id: &str, topics: &[&str]) -> ProduceRequest {
    let (producer_id, epoch) = producer(side, WRITERS);
    let first = batch::transactional(
        Producer {
            id: producer_id.0,
            epoch,
            sequence: i32::from(version),
        },
        &["transaction"],
    );
    let to: Vec<_> = topics
        .iter()
        .map(|name| (*name, 0, Some(first.clone())))
        .collect();
    produce(side, version, &to).with_transactional_id(Some(side.transactional_id(id)))
}

/// The version of InitProducerId whose producer writes.
const WRITERS: i16 = 3;

fn add_offsets(side: &Side, version: i16, id: &str, group: &str) -> AddOffsetsToTxnRequest {
    let (producer_id, epoch) = producer(side, version);
    AddOffsetsToTxnRequest::default()
        .with_transactional_id(side.transactional_id(id))
        .with_producer_id(producer_id)
        .with_producer_epoch(epoch)
        .with_group_id(side.group(group))
}

fn commit(
    side: &Side,
    version: i16,
    id: &str,
    group: &str,
    topics: &[&str],
) -> TxnOffsetCommitRequest {
    let (producer_id, epoch) = producer(side, version);
    let topics = topics.iter().map(|name| {
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(0)
            .with_committed_offset(2)
            .with_committed_metadata(Some(text("kept")));
        TxnOffsetCommitRequestTopic::default()
            .with_name(side.topic(name))
            .with_partitions(vec![partition])
    });
    TxnOffsetCommitRequest::default()
        .with_transactional_id(side.transactional_id(id))
        .with_group_id(side.group(group))
        .with_producer_id(producer_id)
        .with_producer_epoch(epoch)
        .with_topics(topics.collect())
}

fn end(side: &Side, version: i16, id: &str) -> EndTxnRequest {
    let (producer_id, epoch) = producer(side, version);
    EndTxnRequest::default()
        .with_transactional_id(side.transactional_id(id))
        .with_producer_id(producer_id)
        .with_producer_epoch(epoch)
        .with_committed(true)
}

fn describe(side: &Side, ids: &[&str]) -> DescribeTransactionsRequest {
    let ids = ids.iter().map(|id| side.transactional_id(id));
    DescribeTransactionsRequest::default().with_transactional_ids(ids.collect())
}

fn writers(side: &Side, topics: &[&str]) -> DescribeProducersRequest {
    let topics = topics.iter().map(|name| {
        TopicRequest::default()
            .with_name(side.topic(name))
            .with_partition_indexes(vec![0, 7])
    });
    DescribeProducersRequest::default().with_topics(topics.collect())
}

pub(super) fn cases() -> Vec<Case> {
    let mut all = begun();
    all.extend(carried_on());
    all.extend(seen());
    all.extend(ended());
    all
}

fn begun() -> Vec<Case> {
    let single = Who::Single;
    let mut all = vec![
        case("a transactional producer", single, ANY, |side, version| {
            init(Some(side.transactional_id(&own(version))))
        }),
        case(
            "a transactional id that is denied",
            single,
            ANY,
            |side, _| init(Some(side.transactional_id("secret"))),
        ),
        case(
            "a transactional id to be seen only",
            single,
            ANY,
            |side, _| init(Some(side.transactional_id("watched"))),
        ),
        case(
            "a transactional id to be written only",
            single,
            ANY,
            |side, _| init(Some(side.transactional_id("moved"))),
        ),
        case(
            "an idempotent producer that writes",
            single,
            ANY,
            |side, version| {
                let sequence = Producer {
                    id: side.said_number("an idempotent producer", 4, "/producer_id"),
                    epoch: 0,
                    sequence: i32::from(version),
                };
                let batch = batch::idempotent(sequence, &["idempotent"]);
                let to = ["full", "hidden", "readable"].map(|name| (name, 0, Some(batch.clone())));
                produce(side, version, &to)
            },
        ),
    ];
    for who in Who::LIMITED {
        let at = all.len() - 1;
        all.insert(
            at,
            case("an idempotent producer", who, ANY, |_, _| init(None)),
        );
    }
    // The last to be asked is the one that is remembered.
    let last = all.len() - 1;
    all.insert(
        last,
        case("an idempotent producer", single, ANY, |_, _| init(None)),
    );
    all
}

fn carried_on() -> Vec<Case> {
    let single = Who::Single;
    vec![
        case("denied", single, 0..=3, |side, version| {
            add(side, version, &own(version), &["hidden"])
        }),
        case(
            "a transactional id that is denied",
            single,
            0..=3,
            |side, version| add(side, version, "secret", &["full", "hidden"]),
        ),
        case("mixed", single, 0..=3, |side, version| {
            add(side, version, &own(version), &MIXED)
        }),
        case(
            "a topic that is not there",
            single,
            0..=3,
            |side, version| add(side, version, &own(version), &["full", "made.absent"]),
        ),
        case("no topics", single, 0..=3, |side, version| {
            add(side, version, &own(version), &[])
        }),
        case("allowed", single, 0..=3, |side, version| {
            add(side, version, &own(version), &["full", "writable"])
        }),
        case(
            "in a transaction, a transactional id that is denied",
            single,
            ANY,
            |side, version| write(side, version, "secret", &["full", "hidden"]),
        ),
        case("in a transaction, mixed", single, ANY, |side, version| {
            write(
                side,
                version,
                &own(WRITERS),
                &["writable", "hidden", "readable", "absent"],
            )
        }),
        case("denied", single, ANY, |side, version| {
            add_offsets(side, version, "secret", "all")
        }),
        case("a group that is denied", single, ANY, |side, version| {
            add_offsets(side, version, &own(version), "hidden")
        }),
        case("a group to be seen only", single, ANY, |side, version| {
            add_offsets(side, version, &own(version), "seen")
        }),
        case("allowed", single, ANY, |side, version| {
            add_offsets(side, version, &own(version), "team.paid")
        }),
        case("denied", single, ANY, |side, version| {
            commit(side, version, "secret", "team.paid", &["full", "hidden"])
        }),
        case("a group that is denied", single, ANY, |side, version| {
            commit(side, version, &own(version), "hidden", &["full", "hidden"])
        }),
        case("topics, denied", single, ANY, |side, version| {
            commit(side, version, &own(version), "team.paid", &["hidden"])
        }),
        case("mixed", single, ANY, |side, version| {
            commit(side, version, &own(version), "team.paid", &MIXED)
        }),
        case("no topics", single, ANY, |side, version| {
            commit(side, version, &own(version), "team.paid", &[])
        }),
    ]
}

fn seen() -> Vec<Case> {
    let single = Who::Single;
    let mut all = vec![
        case("allowed", single, ANY, |side, _| {
            describe(side, &["pay.own-1"])
        }),
        case("denied", single, ANY, |side, _| describe(side, &["secret"])),
        case("mixed", single, ANY, |side, _| {
            describe(
                side,
                &["pay.own-2", "secret", "moved", "watched", "pay.absent"],
            )
        }),
        case("no ids", single, ANY, |side, _| describe(side, &[])),
        case("of a state", single, ANY, |_, _| {
            ListTransactionsRequest::default()
                .with_state_filters(vec![text("Ongoing"), text("NoState")])
        }),
        case("by a pattern", single, 2..=i16::MAX, |side, _| {
            ListTransactionsRequest::default()
                .with_transactional_id_pattern(Some(side.text("(pay|secret).*")))
        }),
        case("allowed", single, ANY, |side, _| writers(side, &["full"])),
        case("denied", single, ANY, |side, _| writers(side, &["hidden"])),
        case("mixed", single, ANY, |side, _| writers(side, &MIXED)),
        case("no topics", single, ANY, |side, _| writers(side, &[])),
    ];
    for who in Who::LIMITED {
        all.push(case("all transactions", who, ANY, |_, _| {
            ListTransactionsRequest::default()
        }));
    }
    all
}

fn ended() -> Vec<Case> {
    let single = Who::Single;
    vec![
        case("denied", single, ANY, |side, version| {
            end(side, version, "secret")
        }),
        case("to be seen only", single, ANY, |side, version| {
            end(side, version, "watched")
        }),
        case("allowed", single, ANY, |side, version| {
            end(side, version, &own(version))
        }),
    ]
}
