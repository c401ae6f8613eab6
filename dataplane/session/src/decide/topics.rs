//! What is asked about all topics of the cluster, and about subscriptions, which are resolved to them. Each may take some
//! milliseconds, whatever the length of the frame that asks: others have a turn before the next frame.

use std::sync::Arc;

use sluice_policy::{Operation, Reason, ResourceRef, Revision};

use super::{Asker, Denial};
use crate::pattern::{Pattern, PatternError};
use crate::record::Refusal;
use crate::registry::TopicNames;
use crate::subscriptions::Subscriptions;

impl Asker<'_> {
    /// The cluster's topics, as they are known now.
    pub(crate) fn topic_names(&self) -> TopicNames {
        let mut names = TopicNames::default();
        self.environment
            .shared
            .topic_names(&mut |known| names = known.clone());
        names
    }

    /// The first of the cluster's topics that does not sort before `from` and may be described.
    pub(crate) fn describable_from(&mut self, from: &str) -> Option<Arc<str>> {
        self.give_way();
        let topics = self.topic_names();
        let mut following = topics.not_before(from).iter();
        following
            .find(|name| self.may_describe_topic(name))
            .cloned()
    }

    pub(crate) fn revision(&self) -> Revision {
        self.snapshot.tables.revision()
    }

    pub(crate) fn subscriptions(&mut self) -> &mut Subscriptions {
        &mut self.memory.subscriptions
    }

    /// Also counts, and gives way for, what is not taken: that may cost as much.
    pub(crate) fn compile(&mut self, pattern: &str) -> Result<Pattern, PatternError> {
        self.work.compiled_patterns = self.work.compiled_patterns.saturating_add(1);
        self.give_way();
        Pattern::compile(pattern)
    }

    /// This frame takes long: no other one is decided before other sessions had a turn.
    pub(crate) fn give_way(&mut self) {
        self.work.gives_way = true;
    }

    /// A subscription that is not resolved to topics.
    pub(crate) fn unresolved(&mut self, group: &str, code: &'static str, text: String) -> Denial {
        let resource = ResourceRef::Group(group);
        self.refusals
            .push(Refusal::new(Operation::Read, resource, code, &text));
        Denial {
            reason: Reason::NotPermitted,
            text,
        }
    }
}
