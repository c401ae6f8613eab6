//! The decision point: rights, the per-topic memo, and the only place where a [`Permit`] is made.

use crate::decision::{
    ClassId, Decision, Durability, Immutability, MaskPlanId, Obligations, Permit, Reason, Revision,
    RoleId, name_hash,
};
use crate::format::{CLASS_PATTERNS, MASK_PATTERNS, NO_PATTERNS, Section, classes, roles};
use crate::immutable::{ImmutableCause, RetentionRequired, TopicChange, immutable_verdict};
use crate::operation::{Operation, OperationSet};
use crate::resource::{ResourceRef, is_internal_topic};
use crate::tables::Tables;
use crate::views::approval;

/// What a session holds under one revision: its roles, made ready. A few words; compute it again when policy changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    revision: Revision,
    roles: Box<[RoleId]>,
    /// Pattern tables of what the roles clear; most have none.
    clears: Box<[u32]>,
    cluster: OperationSet,
    /// Without what Write on some topic implies.
    cluster_stated: OperationSet,
    cluster_denied: OperationSet,
}

impl Rights {
    /// The revision that they belong to.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The roles, sorted.
    #[must_use]
    pub fn roles(&self) -> &[RoleId] {
        &self.roles
    }
}

/// What policy says about one topic for one session: what a connection remembers. 16 bytes, `Copy`.
///
/// It knows which name and revision it was made for, so that a mixed-up memo denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicAccess {
    granted: OperationSet,
    denied: OperationSet,
    class: ClassId,
    mask: Option<MaskPlanId>,
    name_tag: u32,
    revision_tag: u32,
}

const _: () = assert!(size_of::<TopicAccess>() <= 16);

impl TopicAccess {
    /// What the roles allow and do not deny. An immutable class forbids more: see [`Tables::allowed`].
    #[must_use]
    pub const fn granted(&self) -> OperationSet {
        self.granted.without(self.denied)
    }

    /// What the classes of the topic add up to.
    #[must_use]
    pub const fn class(&self) -> ClassId {
        self.class
    }

    /// Whether it was said under the revision with this tag.
    pub(crate) const fn is_of(&self, revision_tag: u32) -> bool {
        self.revision_tag == revision_tag
    }

    /// The plan that records pass through on their way to this session.
    #[must_use]
    pub const fn mask(&self) -> Option<MaskPlanId> {
        self.mask
    }
}

/// What nobody may do to an immutable topic, whatever its roles and the request say.
pub(crate) const NEVER_ON_IMMUTABLE: OperationSet =
    OperationSet::of(&[Operation::Delete, Operation::Alter]);

/// The API that asks for the same operation as DeleteTopics.
const DELETE_RECORDS: i16 = 21;

impl Tables {
    /// The rights of somebody who holds these roles, which came from [`Tables::bind`] of these tables.
    #[must_use]
    pub fn rights(&self, held: &[RoleId]) -> Rights {
        let mut held: Vec<RoleId> = held
            .iter()
            .copied()
            .filter(|role| role.get() < self.roles_count())
            .collect();
        held.sort();
        held.dedup();
        let word = |role: &RoleId, column| self.word(Section::Roles, role.get(), column);
        let sum = |column| {
            held.iter()
                .map(|role| says(word(role, column)))
                .fold(NOTHING, join)
        };
        let (cluster, cluster_denied) = sum(roles::CLUSTER);
        let (some_topic, every_topic_denied) = sum(roles::SOME_TOPIC);
        // Kafka lets an idempotent producer start if it may write to some topic (KIP-679).
        let idempotent = match some_topic
            .without(every_topic_denied)
            .contains(Operation::Write)
        {
            true => OperationSet::of(&[Operation::IdempotentWrite]),
            false => OperationSet::EMPTY,
        };
        let clears = held
            .iter()
            .map(|role| word(role, roles::CLEARS))
            .filter(|table| *table != NO_PATTERNS);
        Rights {
            revision: self.revision(),
            clears: clears.collect(),
            cluster: cluster.union(idempotent),
            cluster_stated: cluster,
            cluster_denied,
            roles: held.into(),
        }
    }

    /// What policy says about a topic, for a connection to remember. Rights of another revision give nothing.
    #[must_use]
    pub fn topic(&self, rights: &Rights, name: &str) -> TopicAccess {
        let hash = name_hash(name);
        let row = self.name_row(name, hash);
        let mut access = TopicAccess {
            granted: OperationSet::EMPTY,
            denied: OperationSet::EMPTY,
            class: self.class_of(row, name),
            mask: None,
            name_tag: hash as u32,
            revision_tag: revision_tag(self.revision()),
        };
        if rights.revision != self.revision() || is_internal_topic(name) {
            return access;
        }
        (access.granted, access.denied) = self.named(rights, roles::TOPICS, row, name);
        if rights
            .cluster
            .without(rights.cluster_denied)
            .contains(Operation::Create)
        {
            access.granted = access.granted.union(OperationSet::of(&[Operation::Create]));
        }
        access.mask = self.mask_of(rights, row, name);
        access
    }

    /// What may really be done to the topic: as `authorized_operations` shows it.
    #[must_use]
    pub fn allowed(&self, access: &TopicAccess) -> OperationSet {
        match self.immutability(access.class) {
            Immutability::Immutable => access.granted().without(NEVER_ON_IMMUTABLE),
            Immutability::Mutable => access.granted(),
        }
    }

    /// What may be done with a consumer group.
    #[must_use]
    pub fn group(&self, rights: &Rights, id: &str) -> OperationSet {
        self.allowed_named(rights, roles::GROUPS, id)
    }

    /// What may be done with a transactional id.
    #[must_use]
    pub fn transactional_id(&self, rights: &Rights, id: &str) -> OperationSet {
        self.allowed_named(rights, roles::TRANSACTIONAL_IDS, id)
    }

    /// What brokers tell of the cluster as authorized operations (KIP-430): what is stated, without what KIP-679 implies.
    #[must_use]
    pub fn cluster_stated(&self, rights: &Rights) -> OperationSet {
        match rights.revision == self.revision() {
            true => rights.cluster_stated.without(rights.cluster_denied),
            false => OperationSet::EMPTY,
        }
    }

    /// What may be done with the cluster. Whoever may write to some topic may start an idempotent producer.
    #[must_use]
    pub fn cluster(&self, rights: &Rights) -> OperationSet {
        match rights.revision == self.revision() {
            true => rights.cluster.without(rights.cluster_denied),
            false => OperationSet::EMPTY,
        }
    }

    /// Answers one access from the tables.
    pub fn decide(
        &self,
        rights: &Rights,
        api: i16,
        operation: Operation,
        resource: ResourceRef<'_>,
    ) -> Decision {
        if let Some(reason) = self.unready(rights) {
            return Decision::Deny(reason);
        }
        let column = match resource {
            ResourceRef::Topic(name) => {
                return self.decide_topic(rights, api, operation, name, &self.topic(rights, name));
            }
            ResourceRef::Group(_) => roles::GROUPS,
            ResourceRef::TransactionalId(_) => roles::TRANSACTIONAL_IDS,
            ResourceRef::Cluster => roles::CLUSTER,
        };
        let hash = name_hash(resource.name());
        let (granted, denied) = match resource {
            ResourceRef::Cluster => (rights.cluster, rights.cluster_denied),
            named => self.named(
                rights,
                column,
                self.name_row(named.name(), hash),
                named.name(),
            ),
        };
        if denied.contains(operation) {
            return Decision::Deny(self.denying(rights, column, operation, resource.name()));
        }
        if !granted.contains(operation) {
            return Decision::Deny(Reason::NotPermitted);
        }
        Decision::Allow(Permit::new(
            api,
            operation,
            (resource.kind(), hash),
            self.revision(),
            Obligations::default(),
        ))
    }

    /// Answers one access to a topic from what [`Tables::topic`] said about it: no lookup where the answer is Allow.
    pub fn decide_topic(
        &self,
        rights: &Rights,
        api: i16,
        operation: Operation,
        name: &str,
        access: &TopicAccess,
    ) -> Decision {
        if let Some(reason) = self.unready(rights) {
            return Decision::Deny(reason);
        }
        let tags = (name_hash(name) as u32, revision_tag(self.revision()));
        if (access.name_tag, access.revision_tag) != tags {
            return Decision::Deny(Reason::StaleRights);
        }
        self.decide_access(rights, api, operation, &self.known(name, *access))
    }

    /// Whether the topic's class lets anybody make this change. Ask beside [`Tables::decide`], which asks the roles.
    ///
    /// # Errors
    /// [`Reason::Immutable`] with why not.
    pub fn topic_change(
        &self,
        access: &TopicAccess,
        change: &TopicChange<'_>,
    ) -> Result<(), Reason> {
        self.topic_change_from(access, change, None)
    }

    /// [`Tables::topic_change`], where the topic's `retention.ms` in force is known: it never shrinks.
    ///
    /// # Errors
    /// [`Reason::Immutable`] with why not; [`Reason::StaleRights`] if the memo is of another revision.
    pub fn topic_change_from(
        &self,
        access: &TopicAccess,
        change: &TopicChange<'_>,
        retention_ms_known: Option<i64>,
    ) -> Result<(), Reason> {
        if access.revision_tag != revision_tag(self.revision()) {
            return Err(Reason::StaleRights);
        }
        let class = self.class(access.class);
        if class.immutable == Immutability::Mutable {
            return Ok(());
        }
        let required = class
            .retention_min_ms
            .map_or(RetentionRequired::Forever, RetentionRequired::AtLeastMs);
        immutable_verdict(required, change, retention_ms_known)
            .map_err(|cause| Reason::Immutable(access.class, cause))
    }

    /// Why nothing can be allowed at all, if so.
    pub(crate) fn unready(&self, rights: &Rights) -> Option<Reason> {
        if rights.revision != self.revision() {
            Some(Reason::StaleRights)
        } else if rights.roles.is_empty() {
            Some(Reason::Unbound)
        } else {
            None
        }
    }

    /// Why an operation that is not granted is not.
    pub(crate) fn why_not(
        &self,
        rights: &Rights,
        operation: Operation,
        name: &str,
        access: &TopicAccess,
    ) -> Reason {
        match access.denied.contains(operation) {
            true => self.denying(rights, roles::TOPICS, operation, name),
            false => Reason::NotPermitted,
        }
    }

    /// What the topic's masks and classes want of all operations together.
    pub(crate) fn owed(&self, access: &TopicAccess) -> Obligations {
        let row = u32::from(access.class.get());
        let durability =
            match self.word(Section::Classes, row, classes::FLAGS) >> classes::DURABILITY_SHIFT {
                0 => Durability::Queued,
                1 => Durability::Written,
                _ => Durability::Synced,
            };
        Obligations {
            mask: access.mask,
            approval: approval(self.word(Section::Classes, row, classes::APPROVAL)),
            durability,
            immutable: self.immutability(access.class),
        }
    }

    fn immutability(&self, class: ClassId) -> Immutability {
        match self.word(Section::Classes, u32::from(class.get()), classes::FLAGS)
            & classes::IMMUTABLE
        {
            0 => Immutability::Mutable,
            _ => Immutability::Immutable,
        }
    }

    /// Whether the topic's class forbids the operation to everybody.
    pub(crate) fn never(&self, operation: Operation, row: Option<u32>, name: &str) -> bool {
        NEVER_ON_IMMUTABLE.contains(operation)
            && self.immutability(self.class_of(row, name)) == Immutability::Immutable
    }

    fn class_of(&self, row: Option<u32>, name: &str) -> ClassId {
        // Checked on load: every class fits.
        ClassId(u16::try_from(self.lookup(CLASS_PATTERNS, row, name.as_bytes())).unwrap_or(0))
    }

    /// The topic's masks, less those that the roles clear there.
    fn mask_of(&self, rights: &Rights, row: Option<u32>, name: &str) -> Option<MaskPlanId> {
        let full = self
            .lookup(MASK_PATTERNS, row, name.as_bytes())
            .checked_sub(1)?;
        if rights.clears.is_empty() {
            return plan_id(full);
        }
        let masks = self.range(Section::Plans, full, 0);
        let all = masks.clone().fold(0_u32, |bits, _| bits << 1 | 1);
        let mut kept = all;
        for table in &rights.clears {
            let Some(cleared) = self.lookup(*table, row, name.as_bytes()).checked_sub(1) else {
                continue;
            };
            for at in self.range(Section::Clears, cleared, 0) {
                let cleared = self.word(Section::Ids, at, 0);
                for (bit, at) in (0_u32..).zip(masks.clone()) {
                    if self.word(Section::Ids, at, 0) == cleared {
                        kept &= !(1 << bit);
                    }
                }
            }
        }
        match kept {
            0 => None,
            kept if kept == all => plan_id(full),
            // A set of roles that no binding gives has no plan of its own: then nothing is cleared.
            kept => plan_id(self.derived(full, kept).unwrap_or(full)),
        }
    }

    fn derived(&self, full: u32, kept: u32) -> Option<u32> {
        let (mut low, mut high) = (0, self.count(Section::Derived));
        while low < high {
            let middle = low.midpoint(high);
            let word = |column| self.word(Section::Derived, middle, column);
            match (word(0), word(1)).cmp(&(full, kept)) {
                std::cmp::Ordering::Equal => return Some(word(2)),
                std::cmp::Ordering::Less => low = middle.saturating_add(1),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    fn allowed_named(&self, rights: &Rights, column: usize, name: &str) -> OperationSet {
        if rights.revision != self.revision() {
            return OperationSet::EMPTY;
        }
        let (granted, denied) =
            self.named(rights, column, self.name_row(name, name_hash(name)), name);
        granted.without(denied)
    }

    /// What all roles allow and deny on a name.
    fn named(
        &self,
        rights: &Rights,
        column: usize,
        row: Option<u32>,
        name: &str,
    ) -> (OperationSet, OperationSet) {
        let mut sum = NOTHING;
        for role in &rights.roles {
            let table = self.word(Section::Roles, role.get(), column);
            sum = join(sum, says(self.lookup(table, row, name.as_bytes())));
        }
        sum
    }

    /// The first role that denies, for the reason.
    fn denying(&self, rights: &Rights, column: usize, operation: Operation, name: &str) -> Reason {
        let row = self.name_row(name, name_hash(name));
        let denies = |role: &&RoleId| {
            let table = self.word(Section::Roles, role.get(), column);
            let (_, denied) = match column {
                roles::CLUSTER => says(table),
                _ => says(self.lookup(table, row, name.as_bytes())),
            };
            denied.contains(operation)
        };
        rights
            .roles
            .iter()
            .find(denies)
            .map_or(Reason::NotPermitted, |role| Reason::DeniedByRule(*role))
    }
}

/// What an operation that no class of immutable topics suffers would do.
pub(crate) fn never_cause(api: i16, operation: Operation) -> ImmutableCause {
    match operation {
        Operation::Delete if api == DELETE_RECORDS => ImmutableCause::RecordsDeleted,
        Operation::Delete => ImmutableCause::TopicDeleted,
        _ => ImmutableCause::PartitionsChanged,
    }
}

const NOTHING: (OperationSet, OperationSet) = (OperationSet::EMPTY, OperationSet::EMPTY);

/// Allowed in the low half, denied in the high half.
pub(crate) fn says(word: u32) -> (OperationSet, OperationSet) {
    (
        OperationSet::from_bits(word as u16),
        OperationSet::from_bits((word >> 16) as u16),
    )
}

fn join(
    a: (OperationSet, OperationSet),
    b: (OperationSet, OperationSet),
) -> (OperationSet, OperationSet) {
    (a.0.union(b.0), a.1.union(b.1))
}

fn plan_id(plan: u32) -> Option<MaskPlanId> {
    u16::try_from(plan).ok().and_then(MaskPlanId::new)
}

/// Tells apart the revisions that a connection can come across; two in a row never share it.
pub(crate) fn revision_tag(revision: Revision) -> u32 {
    let incarnation = revision.incarnation ^ (revision.incarnation >> 32);
    (revision.number as u32) ^ (incarnation as u32).rotate_left(16)
}
