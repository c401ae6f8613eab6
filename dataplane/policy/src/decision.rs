//! What a question to policy is answered with. A [`Permit`] can be built only where decisions are made.

use std::fmt;
use std::num::NonZeroU16;

use crate::immutable::ImmutableCause;
use crate::operation::Operation;
use crate::resource::{ResourceKind, ResourceRef};

/// The answer to one access.
#[derive(Debug)]
#[must_use]
pub enum Decision {
    /// Allowed, with what must accompany it.
    Allow(Permit),
    /// Denied, with why.
    Deny(Reason),
}

/// Proof of an Allow, needed to forward. It names what was asked, and under which revision it was answered.
///
/// It is neither `Clone` nor `Copy`, and only `Tables::decide` and the same for topics that are known make one.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    api: i16,
    operation: Operation,
    kind: ResourceKind,
    name_hash: u64,
    revision: Revision,
    obligations: Obligations,
}

impl Permit {
    pub(crate) fn new(
        api: i16,
        operation: Operation,
        (kind, name_hash): (ResourceKind, u64),
        revision: Revision,
        obligations: Obligations,
    ) -> Self {
        Self {
            api,
            operation,
            kind,
            name_hash,
            revision,
            obligations,
        }
    }

    /// Whether this permit is for exactly this API, operation and resource.
    #[must_use]
    pub fn covers(&self, api: i16, operation: Operation, resource: ResourceRef<'_>) -> bool {
        self.api == api
            && self.operation == operation
            && self.kind == resource.kind()
            && self.name_hash == name_hash(resource.name())
    }

    /// The Kafka API key that was asked about.
    #[must_use]
    pub fn api(&self) -> i16 {
        self.api
    }

    /// The operation that was asked about.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The kind of the resource that was asked about.
    #[must_use]
    pub fn resource_kind(&self) -> ResourceKind {
        self.kind
    }

    /// A 64-bit hash of the resource's name, stable within one process.
    #[must_use]
    pub fn resource_hash(&self) -> u64 {
        self.name_hash
    }

    /// The revision that allowed it.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// What must accompany it.
    #[must_use]
    pub fn obligations(&self) -> Obligations {
        self.obligations
    }
}

/// What must accompany an Allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Obligations {
    /// Records pass through this plan first. Only with Read.
    pub mask: Option<MaskPlanId>,
    /// A grant of this rule is needed. With every operation on the topic that produces or administers.
    pub approval: Option<ApprovalRuleId>,
    /// How durable the receipt must be before the effect.
    pub durability: Durability,
    /// Whether changes must also pass `Tables::topic_change`.
    pub immutable: Immutability,
}

/// Whether a topic's history may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Immutability {
    /// It may, for those who are permitted.
    #[default]
    Mutable,
    /// Nobody may delete or shorten it.
    Immutable,
}

/// How durable an evidence record must be before its effect. Ordered: a later one promises more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Durability {
    /// In the journal's memory.
    Queued,
    /// Survives the death of the process.
    #[default]
    Written,
    /// Survives power loss.
    Synced,
}

impl Durability {
    /// The name that policy documents use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Written => "written",
            Self::Synced => "synced",
        }
    }

    /// The durability with exactly this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Queued, Self::Written, Self::Synced]
            .into_iter()
            .find(|durability| durability.name() == name)
    }
}

/// Why a Deny. Neither payload nor names: safe to log and to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No role of the principal allows it.
    NotPermitted,
    /// A role of the principal denies it.
    DeniedByRule(RoleId),
    /// The topic's class forbids the change to everybody.
    Immutable(ClassId, ImmutableCause),
    /// No binding gives the principal a data-plane role.
    Unbound,
    /// There is no policy in force.
    NoSnapshot,
    /// The rights, or the memo, were computed under another revision: compute them again.
    StaleRights,
    /// One of Kafka's own topics.
    InternalTopic,
}

impl Reason {
    /// A stable code for evidence and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotPermitted => "not-permitted",
            Self::DeniedByRule(_) => "denied-by-rule",
            Self::Immutable(..) => "immutable",
            Self::Unbound => "unbound",
            Self::NoSnapshot => "no-snapshot",
            Self::StaleRights => "stale-rights",
            Self::InternalTopic => "internal-topic",
        }
    }

    /// Whether the topic's class forbids this to everybody.
    #[must_use]
    pub const fn is_immutable(self) -> bool {
        matches!(self, Self::Immutable(..))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPermitted => f.write_str("no role of this principal permits it"),
            Self::DeniedByRule(_) => f.write_str("a role of this principal denies it"),
            Self::Immutable(_, cause) => write!(f, "the topic is immutable: {cause}"),
            Self::Unbound => f.write_str("this principal holds no role"),
            Self::NoSnapshot => f.write_str("no policy is in force"),
            Self::StaleRights => f.write_str("the policy changed; ask again"),
            Self::InternalTopic => f.write_str("this topic is Kafka's own"),
        }
    }
}

/// Orders snapshots: a new store incarnation starts its numbers afresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision {
    /// Which life of the store.
    pub incarnation: u64,
    /// The store's counter.
    pub number: u64,
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.incarnation, self.number)
    }
}

/// A role of one revision's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleId(pub(crate) u32);

impl RoleId {
    /// The row of the role, from 0, in the order of role names.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// What the topic classes that match a topic add up to, in one revision's tables. 0: no class matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ClassId(pub(crate) u16);

impl ClassId {
    /// The row of the class.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// An approval rule of one revision's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApprovalRuleId(pub(crate) u16);

impl ApprovalRuleId {
    /// The row of the rule, from 0, in the order of rule names.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// A combination of masks of one revision's tables; plans are built on load, in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MaskPlanId(NonZeroU16);

impl MaskPlanId {
    /// The id of plan `index`; `None` beyond what ids can count.
    #[must_use]
    pub fn new(index: u16) -> Option<Self> {
        index.checked_add(1).and_then(NonZeroU16::new).map(Self)
    }

    /// The plan's index, from 0.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get().saturating_sub(1)
    }
}

/// One hash for names, everywhere in a process. Seedless: only names that policy knows are stored under it, clients
/// only look up, so colliding names cost a client's own lookups nothing that grows.
pub(crate) fn name_hash(name: &str) -> u64 {
    use std::hash::BuildHasher;
    foldhash::fast::FixedState::with_seed(0x51).hash_one(name)
}
