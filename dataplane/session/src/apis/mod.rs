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

use crate::limits::{DISTINCT_AT_ONCE_MAX, PLACES_AT_ONCE_MAX};

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

/// Finds the partitions of an answer among those of its request. What comes in the same order is found at once; for what
/// does not, they are sorted once.
#[derive(Debug, Default)]
pub(crate) struct Places {
    at: usize,
    /// Places by what stands there, once they are wanted.
    sorted: Vec<usize>,
}

impl Places {
    /// Where the wanted partition stands; `items` and `named` are the same each time.
    pub(crate) fn find<T>(
        &mut self,
        items: &[T],
        wanted: (TopicKey<'_>, i32),
        named: impl Fn(&T) -> (TopicKey<'_>, i32),
    ) -> Option<usize> {
        let near = items.iter().skip(self.at).take(PLACES_AT_ONCE_MAX);
        if let Some(after) = near.map(&named).position(|one| one == wanted) {
            self.at = self.at.saturating_add(after);
            return Some(self.at);
        }
        let name = |place: &usize| items.get(*place).map(&named);
        if self.sorted.is_empty() {
            self.sorted = (0..items.len()).collect();
            self.sorted.sort_by(|a, b| name(a).cmp(&name(b)));
        }
        let from = self
            .sorted
            .partition_point(|place| name(place) < Some(wanted));
        let place = *self.sorted.get(from)?;
        (name(&place) == Some(wanted)).then(|| {
            self.at = place;
            place
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_an_answer_are_found_in_any_order() {
        const COUNT: usize = 700;
        let names: Vec<String> = (0..COUNT).map(|n| format!("t{}", n % 9)).collect();
        let items: Vec<(String, i32)> = names.into_iter().zip((0..).map(|n| n / 9)).collect();
        fn key(item: &(String, i32)) -> (TopicKey<'_>, i32) {
            (TopicKey::Name(&item.0), item.1)
        }
        let mut places = Places::default();
        for step in [1, 3, 389, COUNT - 1] {
            for n in 0..COUNT {
                let at = n * step % COUNT;
                let wanted = key(&items[at]);
                assert_eq!(places.find(&items, wanted, key), Some(at), "{step}");
            }
        }
        let mut missing = |wanted| places.find(&items, wanted, key);
        assert_eq!(missing((TopicKey::Name("t0"), -1)), None);
        assert_eq!(missing((TopicKey::Name("u"), 0)), None);
        assert_eq!(missing((TopicKey::Id([0; 16]), 0)), None);
        let mut empty = Places::default();
        assert_eq!(empty.find(&[], (TopicKey::Name("t0"), 0), key), None);
    }
}
