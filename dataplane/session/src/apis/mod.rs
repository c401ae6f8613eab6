//! One file per Kafka API, or per family of them: what each request needs, how a denial looks, how an answer is filtered.
//!
//! [`cold`] dispatches every API that is decoded; what is not in its list is not served.

mod cluster;
mod cold;
mod configs;
mod consumer_group;
pub(crate) mod fetch;
mod groups;
mod log_offsets;
mod metadata;
mod offsets;
pub(crate) mod produce;
mod topics;
mod transactions;

use sluice_kafka::RequestHeader;

pub(crate) use crate::decide::{Asker, Denial, OPERATIONS_UNKNOWN};
pub(crate) use cold::{ColdAnswer, ColdApi, ColdStep, Verdict};
pub(crate) use fetch::PendingFetch;
pub(crate) use produce::PendingProduce;

use crate::error::Close;

/// A decided hot request.
pub(crate) enum HotStep<P> {
    /// The frame goes on from where it lies, patched.
    InPlace(Option<P>),
    /// These bytes go on instead.
    Owned(Vec<u8>, Option<P>),
    /// Nothing goes on; this is the answer.
    Answer(Vec<u8>),
}

impl<P> HotStep<P> {
    fn forward_in_place(answered: bool, pending: P) -> Self {
        Self::InPlace(answered.then_some(pending))
    }

    fn forward_owned(answered: bool, bytes: Vec<u8>, pending: P) -> Self {
        Self::Owned(bytes, answered.then_some(pending))
    }
}

/// Runs one cold API; `None` if it is not served.
pub(crate) fn cold(
    ask: &mut Asker<'_>,
    header: &RequestHeader<'_>,
    frame: &[u8],
) -> Option<Result<ColdStep, Close>> {
    Some(match header.api_key {
        2 => cold::run::<log_offsets::ListOffsets>(ask, header, frame),
        3 => cold::run::<metadata::Metadata>(ask, header, frame),
        8 => cold::run::<offsets::OffsetCommit>(ask, header, frame),
        9 => cold::run::<offsets::OffsetFetch>(ask, header, frame),
        10 => cold::run::<cluster::FindCoordinator>(ask, header, frame),
        11 => cold::run::<groups::JoinGroup>(ask, header, frame),
        12 => cold::run::<groups::Heartbeat>(ask, header, frame),
        13 => cold::run::<groups::LeaveGroup>(ask, header, frame),
        14 => cold::run::<groups::SyncGroup>(ask, header, frame),
        15 => cold::run::<groups::DescribeGroups>(ask, header, frame),
        16 => cold::run::<groups::ListGroups>(ask, header, frame),
        19 => cold::run::<topics::CreateTopics>(ask, header, frame),
        20 => cold::run::<topics::DeleteTopics>(ask, header, frame),
        21 => cold::run::<topics::DeleteRecords>(ask, header, frame),
        22 => cold::run::<transactions::InitProducerId>(ask, header, frame),
        23 => cold::run::<log_offsets::OffsetForLeaderEpoch>(ask, header, frame),
        24 => cold::run::<transactions::AddPartitionsToTxn>(ask, header, frame),
        25 => cold::run::<transactions::AddOffsetsToTxn>(ask, header, frame),
        26 => cold::run::<transactions::EndTxn>(ask, header, frame),
        28 => cold::run::<offsets::TxnOffsetCommit>(ask, header, frame),
        32 => cold::run::<configs::DescribeConfigs>(ask, header, frame),
        33 => cold::run::<configs::AlterConfigs>(ask, header, frame),
        37 => cold::run::<topics::CreatePartitions>(ask, header, frame),
        42 => cold::run::<groups::DeleteGroups>(ask, header, frame),
        44 => cold::run::<configs::IncrementalAlterConfigs>(ask, header, frame),
        47 => cold::run::<offsets::OffsetDelete>(ask, header, frame),
        60 => cold::run::<cluster::DescribeCluster>(ask, header, frame),
        68 => cold::run::<consumer_group::ConsumerGroupHeartbeat>(ask, header, frame),
        69 => cold::run::<consumer_group::ConsumerGroupDescribe>(ask, header, frame),
        75 => cold::run::<topics::DescribeTopicPartitions>(ask, header, frame),
        _ => return None,
    })
}

/// The cold APIs that [`cold`] serves; the others of the table are not offered yet.
pub(crate) const COLD_SERVED: &[i16] = &[
    2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 19, 20, 21, 22, 23, 24, 25, 26, 28, 32, 33, 37, 42, 44,
    47, 60, 68, 69, 75,
];

/// Brokers let this client id write to internal topics.
const ADMIN_CLIENT_ID: &str = "__admin_client";

pub(crate) fn is_admin_client(header: &RequestHeader<'_>) -> bool {
    header.client_id == Some(ADMIN_CLIENT_ID)
}

/// Spoils the admin client id in a frame that starts as the client's did; its length stays.
fn drop_admin_client(header: &RequestHeader<'_>, frame: &mut [u8]) {
    if is_admin_client(header)
        && let Some(last) = header
            .client_id_end
            .checked_sub(1)
            .and_then(|at| frame.get_mut(at))
    {
        *last = b'_';
    }
}

/// Kafka's error codes as the message structs carry them.
mod code {
    use sluice_kafka::ErrorCode;

    pub(super) const NONE: i16 = ErrorCode::NONE.0;
    pub(super) const TOPIC_AUTHORIZATION_FAILED: i16 = ErrorCode::TOPIC_AUTHORIZATION_FAILED.0;
    pub(super) const GROUP_AUTHORIZATION_FAILED: i16 = ErrorCode::GROUP_AUTHORIZATION_FAILED.0;
    pub(super) const CLUSTER_AUTHORIZATION_FAILED: i16 = ErrorCode::CLUSTER_AUTHORIZATION_FAILED.0;
    pub(super) const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: i16 =
        ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED.0;
    pub(super) const INVALID_REQUEST: i16 = ErrorCode::INVALID_REQUEST.0;
    pub(super) const POLICY_VIOLATION: i16 = ErrorCode::POLICY_VIOLATION.0;
    pub(super) const INVALID_PRODUCER_ID_MAPPING: i16 = 49;
    pub(super) const OPERATION_NOT_ATTEMPTED: i16 = ErrorCode::OPERATION_NOT_ATTEMPTED.0;
    pub(super) const UNKNOWN_TOPIC_ID: i16 = ErrorCode::UNKNOWN_TOPIC_ID.0;
    pub(super) const MISMATCHED_ENDPOINT_TYPE: i16 = 114;
    pub(super) const INVALID_REGULAR_EXPRESSION: i16 = ErrorCode::INVALID_REGULAR_EXPRESSION.0;
}

/// Text as the message structs carry it.
mod names {
    use kafka_protocol::messages::TopicName;
    use kafka_protocol::protocol::StrBytes;

    pub(super) fn text(text: &str) -> StrBytes {
        StrBytes::from_string(text.to_owned())
    }

    pub(super) fn topic(name: &str) -> TopicName {
        TopicName(text(name))
    }
}
