//! What the members of consumer groups on one session have subscribed to (KIP-848): a heartbeat says it once, and leaves it
//! out for as long as it does not change.
//!
//! No other session is asked. Who comes back on a new connection is made to say all of it again (`apis::subscription`).

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use sluice_policy::Revision;

use crate::limits::{SESSION_SUBSCRIPTION_BYTES_MAX, SESSION_SUBSCRIPTIONS_MAX};
use crate::pattern::Pattern;

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
    /// Compiled once, for it is resolved anew whenever topics or policy change.
    pub(crate) pattern: Option<Rc<Pattern>>,
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

impl Subscription {
    fn bytes(&self) -> usize {
        let names: usize = self.names.iter().map(|name| name.len()).sum();
        let told = self.told.as_ref().map_or(0, |told| told.names.len());
        let references = self.names.len().saturating_add(told);
        // In full for each member, although members with the same pattern share it.
        let pattern = self.pattern.as_ref().map_or(0, |pattern| pattern.bytes());
        names
            .saturating_add(pattern)
            .saturating_add(references.saturating_mul(size_of::<Arc<str>>()))
    }
}

/// The newest few, as far as they fit into [`SESSION_SUBSCRIPTION_BYTES_MAX`]. One that is forgotten is said again, at the
/// cost of a round trip.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    members: VecDeque<(MemberKey, Subscription)>,
    bytes: usize,
}

impl Subscriptions {
    /// Takes it out; [`Self::put`] gives it back.
    pub(crate) fn take(&mut self, key: &MemberKey) -> Option<Subscription> {
        let at = self.position(key)?;
        let (key, subscription) = self.members.remove(at)?;
        self.bytes = self.bytes.saturating_sub(bytes(&key, &subscription));
        Some(subscription)
    }

    pub(crate) fn put(&mut self, key: MemberKey, subscription: Subscription) {
        let more = bytes(&key, &subscription);
        if more > SESSION_SUBSCRIPTION_BYTES_MAX {
            return;
        }
        while self.members.len() >= SESSION_SUBSCRIPTIONS_MAX
            || self.bytes.saturating_add(more) > SESSION_SUBSCRIPTION_BYTES_MAX
        {
            let Some((key, subscription)) = self.members.pop_front() else {
                break;
            };
            self.bytes = self.bytes.saturating_sub(bytes(&key, &subscription));
        }
        self.bytes = self.bytes.saturating_add(more);
        self.members.push_back((key, subscription));
    }

    /// The broker has answered with an error: the next heartbeat tells it again.
    pub(crate) fn untold(&mut self, key: &MemberKey) {
        let at = self.position(key);
        if let Some((_, subscription)) = at.and_then(|at| self.members.get_mut(at)) {
            let before = subscription.bytes();
            subscription.told = None;
            let less = before.saturating_sub(subscription.bytes());
            self.bytes = self.bytes.saturating_sub(less);
        }
    }

    /// The pattern of any of them that was compiled from `text`.
    pub(crate) fn compiled(&self, text: &str) -> Option<Rc<Pattern>> {
        let members = self.members.iter();
        let mut patterns = members.filter_map(|(_, known)| known.pattern.as_ref());
        patterns.find(|pattern| pattern.text() == text).cloned()
    }

    /// Memory of all of them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn position(&self, key: &MemberKey) -> Option<usize> {
        self.members.iter().position(|(known, _)| known == key)
    }
}

fn bytes(key: &MemberKey, subscription: &Subscription) -> usize {
    let key = key.group.len().saturating_add(key.member.len());
    key.saturating_add(subscription.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(bytes: usize, n: usize) -> MemberKey {
        MemberKey {
            group: "g".into(),
            member: format!("{n}{}", "m".repeat(bytes - 1)),
        }
    }

    #[test]
    fn what_does_not_fit_is_forgotten_and_the_oldest_first() {
        let mut known = Subscriptions::default();
        let third = SESSION_SUBSCRIPTION_BYTES_MAX / 3;
        for n in 0..4 {
            known.put(key(third - 1, n), Subscription::default());
            assert!(known.bytes() <= SESSION_SUBSCRIPTION_BYTES_MAX);
        }
        assert!(known.take(&key(third - 1, 0)).is_none());
        for n in 1..4 {
            assert!(known.take(&key(third - 1, n)).is_some());
        }
        assert_eq!(known.bytes(), 0);
        known.put(
            key(SESSION_SUBSCRIPTION_BYTES_MAX, 9),
            Subscription::default(),
        );
        assert_eq!(known.bytes(), 0, "larger than all may be");
    }
}
