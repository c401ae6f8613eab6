//! What documents say, once parsed: roles, bindings, classes, masks, conflict sets, approval rules.

use std::sync::Arc;

use crate::decision::{Durability, Immutability};
use crate::duty::Duty;
use crate::operation::OperationSet;
use crate::principal::{ControlRole, PrincipalKind};
use crate::resource::{Pattern, ResourceKind, ResourceRef};

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The source's name, as it was given.
    pub file: Arc<str>,
    /// From 1.
    pub line: usize,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A named bundle of permissions, held through a binding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Where it was written.
    pub origin: Origin,
    /// What it allows and denies, in the order of the document.
    pub permissions: Vec<Permission>,
    /// Masks that do not bind who holds this role, on any topic.
    pub clear: Vec<String>,
}

/// Operations on resource patterns, allowed or denied.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    /// Where it was written.
    pub origin: Origin,
    /// Allow or deny.
    pub effect: Effect,
    /// As written, without what they imply.
    pub operations: OperationSet,
    /// Topics that it is about.
    pub topics: Vec<Pattern>,
    /// Consumer groups that it is about.
    pub groups: Vec<Pattern>,
    /// Transactional ids that it is about.
    pub transactional_ids: Vec<Pattern>,
    /// `Any` if it is about the cluster, else empty.
    pub cluster: Option<Pattern>,
    /// Masks that do not bind who holds this role, on these topics.
    pub clear: Vec<String>,
}

impl Permission {
    /// The patterns for one kind of resource.
    #[must_use]
    pub fn patterns(&self, kind: ResourceKind) -> &[Pattern] {
        match kind {
            ResourceKind::Topic => &self.topics,
            ResourceKind::Group => &self.groups,
            ResourceKind::TransactionalId => &self.transactional_ids,
            ResourceKind::Cluster => self.cluster.as_slice(),
        }
    }

    /// Whether one of its patterns matches.
    #[must_use]
    pub fn matches(&self, resource: ResourceRef<'_>) -> bool {
        self.patterns(resource.kind())
            .iter()
            .any(|pattern| pattern.matches(resource.name()))
    }
}

/// What a permission does. Deny wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Effect {
    /// Allows its operations, and what they imply.
    #[default]
    Allow,
    /// Denies exactly its operations.
    Deny,
}

/// Principal holds roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Its name.
    pub name: String,
    /// Where it was written.
    pub origin: Origin,
    /// The principal's name, without `User:`; the binding's own name unless stated.
    pub principal: String,
    /// The issuer of the tokens that it is about.
    pub issuer: String,
    /// Claims that a token must have, all of them, sorted.
    pub claims: Vec<(String, String)>,
    /// Human or service.
    pub kind: PrincipalKind,
    /// As written; a service has one.
    pub owner: Option<String>,
    /// The team, if stated.
    pub team: Option<String>,
    /// Data-plane roles, sorted.
    pub roles: Vec<String>,
    /// Control-plane roles, sorted.
    pub control_roles: Vec<ControlRole>,
    /// Approver groups, sorted.
    pub groups: Vec<String>,
}

impl Binding {
    /// The person behind it: the owner, or the human that it names.
    #[must_use]
    pub fn person(&self) -> &str {
        self.owner.as_deref().unwrap_or(&self.principal)
    }
}

/// What a set of topics demands, whoever comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicClass {
    /// Its name.
    pub name: String,
    /// Where it was written.
    pub origin: Origin,
    /// The topics.
    pub topics: Vec<Pattern>,
    /// Whether history may change.
    pub immutable: Immutability,
    /// The least retention; an immutable class without one keeps for ever.
    pub retention_min_ms: Option<u64>,
    /// The rule by which changes need approval.
    pub approval: Option<String>,
    /// How durable receipts must be.
    pub durability: Durability,
    /// How writes are gated, and whether the topics hold personal data.
    pub marks: ClassMarks,
}

/// Marks of a topic class that other parts act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ClassMarks {
    /// Writes go through the order gate; `acks=0` is denied.
    pub protected: bool,
    /// The topics hold personal data.
    pub personal: bool,
}

/// Fields that are replaced for everybody who reads, unless a role clears it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// Its name.
    pub name: String,
    /// Where it was written.
    pub origin: Origin,
    /// The topics.
    pub topics: Vec<Pattern>,
    /// Field paths into values, as written.
    pub fields: Vec<String>,
    /// What is replaced of keys.
    pub key: Option<KeyMask>,
    /// Names of headers whose values are replaced.
    pub headers: Vec<String>,
    /// What a value is replaced by.
    pub token: TokenRule,
}

/// What is replaced of the keys of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyMask {
    /// All of it.
    Whole,
    /// Fields, by paths as written.
    Fields(Vec<String>),
}

impl Mask {
    /// Every field path that it has, into values and into keys.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let key = match &self.key {
            Some(KeyMask::Fields(paths)) => paths.as_slice(),
            Some(KeyMask::Whole) | None => &[],
        };
        self.fields.iter().chain(key).map(String::as_str)
    }
}

/// What a masked value is replaced by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRule {
    /// The form of the token.
    pub shape: TokenShape,
    /// How long it is.
    pub length: TokenLength,
    /// The key domain: equal values give equal tokens inside one domain only.
    pub domain: String,
}

/// How long a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TokenLength {
    /// As its shape makes it.
    #[default]
    Own,
    /// As many bytes as what it stands for has.
    Same,
}

/// The form of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u32)]
pub enum TokenShape {
    /// A keyed hash that shows nothing of the value.
    #[default]
    Opaque,
    /// An e-mail address that belongs to nobody.
    Email,
    /// Other digits in the places of the digits.
    Digits,
}

impl TokenShape {
    /// All of them, in the order of their numbers in compiled policy.
    pub const ALL: [Self; 3] = [Self::Opaque, Self::Email, Self::Digits];

    /// The name that policy documents use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opaque => "opaque",
            Self::Email => "email",
            Self::Digits => "digits",
        }
    }

    /// The shape with exactly this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shape| shape.name() == name)
    }
}

/// Duties that one principal, person or team may not combine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictSet {
    /// Its name.
    pub name: String,
    /// Where it was written.
    pub origin: Origin,
    /// The duties, sorted; each pair of them conflicts.
    pub duties: Vec<Duty>,
    /// Where they may not meet.
    pub over: ConflictOver,
    /// With whom.
    pub scope: ConflictScope,
    /// When it is looked at.
    pub when: ConflictWhen,
}

/// Where conflicting duties may not meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConflictOver {
    /// On one topic.
    SameTopic,
    /// Even on different topics.
    Anywhere,
}

/// Who may not combine duties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConflictScope {
    /// One principal.
    Principal,
    /// One person, with all the services that the person owns.
    Person,
    /// One team, with all its people.
    Team,
}

/// When a conflict set is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConflictWhen {
    /// When policy is written: bindings that would combine the duties are not accepted.
    Static,
    /// When duties are exercised.
    Dynamic,
}

/// How a grant is asked for and given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRule {
    /// Its name.
    pub name: String,
    /// Where it was written.
    pub origin: Origin,
    /// How many people must say yes.
    pub quorum_count: u32,
    /// Whose yes counts: an approver group, or a control-plane role.
    pub quorum_of: String,
    /// How long a session holds a first request before it answers "retry".
    pub hold_ms: u64,
    /// How long an approval request stays open.
    pub timeout_ms: u64,
    /// How long a grant lasts.
    pub lasts_ms: u64,
}

/// An identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// Its name, as bindings say it.
    pub name: String,
    /// Where it was written.
    pub origin: Origin,
    /// The `iss` claim and the base of its discovery document.
    pub url: String,
    /// The `aud` that a token must carry.
    pub audience: String,
    /// The claim that names the principal.
    pub principal_claim: String,
    /// The claim that lists groups, if it has one.
    pub groups_claim: Option<String>,
}

/// A Kafka cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Where it was written.
    pub origin: Origin,
    /// `host:port` of brokers.
    pub brokers: Vec<String>,
}
