//! One file per Kafka API, or per family of them: what each request needs, how a denial looks, how an answer is filtered.
//!
//! [`table`] names every API that is served, and dispatches those that are decoded.

mod cluster;
mod cold;
mod configs;
mod consumer_group;
pub(crate) mod fetch;
mod groups;
mod log_offsets;
mod metadata;
mod offsets;
mod partitions;
pub(crate) mod produce;
mod quotas;
mod subscription;
pub(crate) mod table;
mod topics;
mod transactions;

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use sluice_kafka::RequestHeader;
use sluice_kafka::views::TopicKey;

pub(crate) use crate::decide::{Asker, Denial, OPERATIONS_UNKNOWN};
pub(crate) use cold::{ColdAnswer, ColdApi, ColdStep, Verdict};
pub(crate) use fetch::PendingFetch;
pub(crate) use produce::PendingProduce;

use crate::limits::DISTINCT_AT_ONCE_MAX;

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

/// Where an item is, looked for from `from` on and then from the start: what comes in the same order is found at once.
pub(crate) fn position_from<T>(items: &[T], from: usize, is: impl Fn(&T) -> bool) -> Option<usize> {
    let (before, after) = items.split_at_checked(from)?;
    let found = after.iter().position(&is);
    found
        .map(|at| at.saturating_add(from))
        .or_else(|| before.iter().position(&is))
}

/// Whether partitions that a request names are all different, as far as can be told of a few without an allocation. If not,
/// or if there are many, whoever asks must look closer.
pub(crate) fn surely_distinct<'a>(named: impl Iterator<Item = (TopicKey<'a>, i32)>) -> bool {
    let mut hashes = [0_u64; DISTINCT_AT_ONCE_MAX];
    let mut count: usize = 0;
    for one in named {
        let Some(slot) = hashes.get_mut(count) else {
            return false;
        };
        *slot = FixedState::with_seed(0x5d15).hash_one(one);
        count = count.saturating_add(1);
    }
    let hashes = hashes.get_mut(..count).unwrap_or_default();
    hashes.sort_unstable();
    hashes.is_sorted_by(|before, after| before < after)
}

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
    pub(super) const COORDINATOR_LOAD_IN_PROGRESS: i16 = ErrorCode::COORDINATOR_LOAD_IN_PROGRESS.0;
    pub(super) const COORDINATOR_NOT_AVAILABLE: i16 = ErrorCode::COORDINATOR_NOT_AVAILABLE.0;
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
