//! What the members of consumer groups on one session have subscribed to (KIP-848): a heartbeat says it once, and leaves it
//! out for as long as it does not change.
//!
//! No other session is asked. Who comes back on a new connection is made to say all of it again (`apis::subscription`).

use std::collections::VecDeque;
use std::sync::Arc;

use sluice_policy::Revision;

use crate::limits::SESSION_SUBSCRIPTIONS_MAX;

/// A member of a group, by the id that it chose itself (KIP-1082).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberKey {
    pub(crate) group: String,
    pub(crate) member: String,
}

/// What a member has asked for, and what of it the broker was told.
#[derive(Debug, Default)]
pub(crate) struct Subscription {
    /// The topics that it named, in order.
    pub(crate) names: Vec<Arc<str>>,
    pub(crate) pattern: Option<String>,
    /// `None` without a pattern, and where the broker may not have taken what it was told.
    pub(crate) told: Option<Told>,
}

/// Topics that the broker was told, and from what they were resolved.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) revision: Revision,
    /// Of the cluster's topics.
    pub(crate) generation: u64,
    pub(crate) names: Vec<Arc<str>>,
}

/// The newest few. One that is forgotten is said again, at the cost of a round trip.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    members: VecDeque<(MemberKey, Subscription)>,
}

impl Subscriptions {
    /// Takes it out; [`Self::put`] gives it back.
    pub(crate) fn take(&mut self, key: &MemberKey) -> Option<Subscription> {
        let at = self.position(key)?;
        self.members
            .remove(at)
            .map(|(_, subscription)| subscription)
    }

    pub(crate) fn put(&mut self, key: MemberKey, subscription: Subscription) {
        if self.members.len() >= SESSION_SUBSCRIPTIONS_MAX {
            self.members.pop_front();
        }
        self.members.push_back((key, subscription));
    }

    /// The broker has answered with an error: the next heartbeat tells it again.
    pub(crate) fn untold(&mut self, key: &MemberKey) {
        let at = self.position(key);
        if let Some((_, subscription)) = at.and_then(|at| self.members.get_mut(at)) {
            subscription.told = None;
        }
    }

    fn position(&self, key: &MemberKey) -> Option<usize> {
        self.members.iter().position(|(known, _)| known == key)
    }
}
