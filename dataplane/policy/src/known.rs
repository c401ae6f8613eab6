//! A topic as a connection remembers it: after its first sight, a decision hashes no name and looks nothing up.

use std::sync::Arc;

use crate::decide::{NEVER_ON_IMMUTABLE, Rights, TopicAccess, never_cause, revision_tag};
use crate::decision::{
    ApprovalRuleId, Decision, Immutability, Obligations, Permit, Reason, name_hash,
};
use crate::duty::Duty;
use crate::operation::{Operation, OperationSet};
use crate::resource::{ResourceKind, is_internal_topic};
use crate::tables::Tables;

/// A topic's name, with what policy says about it to one session under one revision. What was said and whom it was said of
/// cannot be mixed up; under another revision it denies.
#[derive(Debug, Clone)]
pub struct KnownTopic<N = Arc<str>> {
    name: N,
    hash: u64,
    access: TopicAccess,
    internal: bool,
    /// What any Allow would carry; each operation owes its part.
    owed: Obligations,
}

impl KnownTopic {
    /// The topic's name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What policy says about it.
    #[must_use]
    pub fn access(&self) -> &TopicAccess {
        &self.access
    }

    /// The approval rule by which producing to it, and administering it, need a grant.
    #[must_use]
    pub fn approval(&self) -> Option<ApprovalRuleId> {
        self.owed.approval
    }

    /// What may really be done to it, as [`Tables::allowed`] says.
    #[must_use]
    pub fn allowed(&self) -> OperationSet {
        match self.owed.immutable {
            Immutability::Immutable => self.access.granted().without(NEVER_ON_IMMUTABLE),
            Immutability::Mutable => self.access.granted(),
        }
    }
}

impl Tables {
    /// Looks a topic up for a connection to remember: what [`Tables::topic`] says, and the name with it.
    #[must_use]
    pub fn know(&self, rights: &Rights, name: Arc<str>) -> KnownTopic {
        let access = self.topic(rights, &name);
        self.known(name, access)
    }

    pub(crate) fn known<N: AsRef<str>>(&self, name: N, access: TopicAccess) -> KnownTopic<N> {
        KnownTopic {
            hash: name_hash(name.as_ref()),
            internal: is_internal_topic(name.as_ref()),
            owed: self.owed(&access),
            access,
            name,
        }
    }

    /// Answers one access to a topic that was looked up before, as [`Tables::decide`] does.
    pub fn decide_known(
        &self,
        rights: &Rights,
        api: i16,
        operation: Operation,
        topic: &KnownTopic,
    ) -> Decision {
        if let Some(reason) = self.unready(rights) {
            return Decision::Deny(reason);
        }
        if !topic.access.is_of(revision_tag(self.revision())) {
            return Decision::Deny(Reason::StaleRights);
        }
        self.decide_access(rights, api, operation, topic)
    }

    /// The answer to rights and a topic of this revision.
    pub(crate) fn decide_access(
        &self,
        rights: &Rights,
        api: i16,
        operation: Operation,
        topic: &KnownTopic<impl AsRef<str>>,
    ) -> Decision {
        let access = &topic.access;
        if topic.internal {
            return Decision::Deny(Reason::InternalTopic);
        }
        if !access.granted().contains(operation) {
            return Decision::Deny(self.why_not(rights, operation, topic.name.as_ref(), access));
        }
        let owed = topic.owed;
        if owed.immutable == Immutability::Immutable && NEVER_ON_IMMUTABLE.contains(operation) {
            let cause = never_cause(api, operation);
            return Decision::Deny(Reason::Immutable(access.class(), cause));
        }
        let changes = matches!(Duty::of(operation), Some(Duty::Produce | Duty::Administer));
        let obligations = Obligations {
            mask: owed.mask.filter(|_| operation == Operation::Read),
            approval: owed.approval.filter(|_| changes),
            ..owed
        };
        Decision::Allow(Permit::new(
            api,
            operation,
            (ResourceKind::Topic, topic.hash),
            self.revision(),
            obligations,
        ))
    }
}
