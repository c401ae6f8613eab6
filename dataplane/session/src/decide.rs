//! The enforcement point: asks policy about each resource that a request names, and remembers every answer.

mod hot;
mod producers;
mod topics;

use std::sync::Arc;

use kafka_protocol::protocol::StrBytes;
use sluice_policy::{
    Decision, Operation, OperationSet, Permit, Reason, ResourceKind, ResourceRef, Rights,
    TopicChange,
};
use uuid::Uuid;

use crate::environment::{Environment, Snapshot};
use crate::forward::Permits;
use crate::limits::ROLES_AT_ONCE_MAX;
use crate::memory::{Memory, Pools};
use crate::order_gate::Stream;
use crate::outbox::Work;
use crate::record::{Asked, Delivered, DenialId, Refusal};

/// The reason code of a write that waits for a person.
pub(crate) const APPROVAL_AWAITED: &str = "approval-awaited";

/// The reason code of a write that a person refused, or did not answer for in time.
pub(crate) const APPROVAL_REFUSED: &str = "approval-refused";

/// The reason code of a write that would wait, and whose place in its producer's order cannot be kept.
pub(crate) const ORDER_GATE_FULL: &str = "order-gate-full";

/// The reason code of a write under the producer id of another principal.
pub(crate) const PRODUCER_ID_NOT_OWNED: &str = "producer-id-not-owned";

/// The reason code of a write under a producer id that nobody owns, and whose owner could not be remembered.
pub(crate) const PRODUCER_IDS_FULL: &str = "producer-ids-full";

/// `authorized_operations` when nobody asked for it (KIP-430).
pub(crate) const OPERATIONS_UNKNOWN: i32 = i32::MIN;

/// Why something was denied, as the client may read it.
#[derive(Debug, Clone)]
pub(crate) struct Denial {
    reason: Reason,
    text: String,
}

impl Denial {
    /// One sentence for `error_message`.
    pub(crate) fn message(&self) -> String {
        format!("Sluice: {}", self.text)
    }

    pub(crate) fn is_immutable(&self) -> bool {
        self.reason.is_immutable()
    }
}

/// What a protected topic asks for.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) hold_ms: u64,
}

/// A place among what a request was permitted.
#[derive(Debug)]
pub(crate) struct Mark {
    permits: usize,
    asked: usize,
}

/// One request's, or one answer's, questions to policy, with what policy said.
pub(crate) struct Asker<'a> {
    environment: &'a Environment<'a>,
    snapshot: &'a Arc<Snapshot>,
    principal: &'a str,
    rights: &'a Rights,
    api_key: i16,
    denial_id: DenialId,
    pub(crate) permits: Vec<Permit>,
    names_nothing: bool,
    /// Batches that the order gate may forget once their request is forwarded.
    pub(crate) gate_passes: Vec<(Stream, i16, i32)>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) delivered: Vec<Delivered>,
    pub(crate) unacknowledged: bool,
    pub(crate) work: Work,
    durability: sluice_policy::Durability,
    memory: &'a mut Memory,
}

impl<'a> Asker<'a> {
    pub(crate) fn new(
        environment: &'a Environment<'a>,
        snapshot: &'a Arc<Snapshot>,
        principal: &'a str,
        rights: &'a Rights,
        api_key: i16,
        denial_id: DenialId,
        memory: &'a mut Memory,
    ) -> Self {
        Self {
            environment,
            snapshot,
            principal,
            rights,
            api_key,
            denial_id,
            permits: memory.pools.permits.take(),
            names_nothing: false,
            gate_passes: Vec::new(),
            asked: memory.pools.asked.take(),
            refusals: Vec::new(),
            delivered: memory.pools.delivered.take(),
            unacknowledged: false,
            work: Work::default(),
            durability: sluice_policy::Durability::Written,
            memory,
        }
    }

    /// What the request may be forwarded by.
    pub(crate) fn take_permits(&mut self) -> Permits {
        if self.permits.is_empty() && (self.names_nothing || self.refusals.is_empty()) {
            return Permits::Listing;
        }
        Permits::Named(std::mem::take(&mut self.permits))
    }

    /// What is left of the request names no resource, and still has an answer (the brokers of a Metadata).
    pub(crate) fn names_nothing(&mut self) {
        self.names_nothing = true;
    }

    pub(crate) fn pools(&mut self) -> &mut Pools {
        &mut self.memory.pools
    }

    pub(crate) fn durability(&self) -> sluice_policy::Durability {
        self.durability
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.clone()
    }

    // What requests ask.

    pub(crate) fn topic(&mut self, operation: Operation, name: &str) -> Result<(), Denial> {
        self.ask(operation, ResourceRef::Topic(name))
    }

    pub(crate) fn group(&mut self, operation: Operation, name: &str) -> Result<(), Denial> {
        self.ask(operation, ResourceRef::Group(name))
    }

    pub(crate) fn transactional_id(
        &mut self,
        operation: Operation,
        name: &str,
    ) -> Result<(), Denial> {
        self.ask(operation, ResourceRef::TransactionalId(name))
    }

    pub(crate) fn cluster(&mut self, operation: Operation) -> Result<(), Denial> {
        self.ask(operation, ResourceRef::Cluster)
    }

    /// IdempotentWrite on the cluster, which Write on any topic implies (KIP-679).
    pub(crate) fn idempotent_write(&mut self) -> Result<(), Denial> {
        self.ask(Operation::IdempotentWrite, ResourceRef::Cluster)
    }

    fn ask(&mut self, operation: Operation, resource: ResourceRef<'_>) -> Result<(), Denial> {
        match self
            .snapshot
            .tables
            .decide(self.rights, self.api_key, operation, resource)
        {
            Decision::Allow(permit) => {
                self.allow(permit, Asked::new(operation, resource));
                Ok(())
            }
            Decision::Deny(reason) => Err(self.deny(operation, resource, reason)),
        }
    }

    fn allow(&mut self, permit: Permit, asked: Asked) {
        self.durability = self.durability.max(permit.obligations().durability);
        self.permits.push(permit);
        self.asked.push(asked);
    }

    /// The record of the first denial of a request also names the role that would have allowed it. The client reads that
    /// only where it may know of the resource: a role's name can tell what there is.
    fn deny(&mut self, operation: Operation, resource: ResourceRef<'_>, reason: Reason) -> Denial {
        let tables = &self.snapshot.tables;
        let rule = tables
            .rule_of(reason)
            .map(|rule| format!(" [{rule}]"))
            .unwrap_or_default();
        let could = match reason {
            Reason::NotPermitted | Reason::Unbound if self.refusals.is_empty() => {
                self.work.gives_way |= tables.roles_count() > ROLES_AT_ONCE_MAX;
                tables
                    .nearest(operation, resource)
                    .map(|role| format!("; role {role} would permit it"))
                    .unwrap_or_default()
            }
            _ => String::new(),
        };
        let says = |could: &str| {
            format!(
                "{} may not {} {} {}: {reason}{rule}{could} (denial {})",
                self.principal,
                operation.name(),
                resource.kind().name(),
                resource.name(),
                self.denial_id,
            )
        };
        let text = says(&could);
        let refusal = Refusal::new(operation, resource, reason.code(), &text);
        let text = match could.is_empty() || self.describes(resource) {
            true => text,
            false => says(""),
        };
        self.refusals.push(refusal);
        Denial { reason, text }
    }

    fn describes(&self, resource: ResourceRef<'_>) -> bool {
        match resource {
            ResourceRef::Topic(name) => self.may_describe_topic(name),
            ResourceRef::Group(id) => self.may_describe_group(id),
            ResourceRef::TransactionalId(id) => self.may_describe_transactional_id(id),
            ResourceRef::Cluster => self.may_describe_cluster(),
        }
    }

    /// Whether the topic's class lets it be changed so; no role is above it.
    pub(crate) fn topic_change(
        &mut self,
        operation: Operation,
        name: &str,
        change: &TopicChange<'_>,
    ) -> Result<(), Denial> {
        let withstands = self.withstands(operation, name, change);
        if withstands.is_err() {
            // The permit for the operation was given before the change itself was looked at.
            self.permits.pop();
            self.asked.pop();
        }
        withstands
    }

    /// The same for a change that is permitted on the cluster, not on the topic.
    pub(crate) fn withstands(
        &mut self,
        operation: Operation,
        name: &str,
        change: &TopicChange<'_>,
    ) -> Result<(), Denial> {
        let tables = &self.snapshot.tables;
        match tables.topic_change(&tables.topic(self.rights, name), change) {
            Ok(()) => Ok(()),
            Err(reason) => Err(self.deny(operation, ResourceRef::Topic(name), reason)),
        }
    }

    /// Evidence that a request permitted on the cluster reaches this topic.
    pub(crate) fn touches(&mut self, operation: Operation, topic: &str) {
        self.asked
            .push(Asked::new(operation, ResourceRef::Topic(topic)));
    }

    /// Something that the gateway does not serve to anybody.
    pub(crate) fn withheld(&mut self, what: &str) -> Denial {
        let text = format!("the gateway does not serve {what}");
        let resource = ResourceRef::Cluster;
        self.refusals.push(Refusal::new(
            Operation::ClusterAction,
            resource,
            Reason::NotPermitted.code(),
            &text,
        ));
        Denial {
            reason: Reason::NotPermitted,
            text,
        }
    }

    /// Evidence that a request permitted on the cluster alters this quota.
    pub(crate) fn alters_quota(&mut self, quota: String) {
        let mut asked = Asked::new(Operation::AlterConfigs, ResourceRef::Cluster);
        asked.name = quota.into();
        self.asked.push(asked);
    }

    /// A quota that nobody may alter through the gateway.
    pub(crate) fn quota_denied(&mut self, quota: &str, why: &str) -> Denial {
        let (principal, denial_id) = (self.principal, self.denial_id);
        let text = format!("{principal} may not alter the {quota}: {why} (denial {denial_id})");
        let reason = Reason::NotPermitted;
        let (operation, resource) = (Operation::AlterConfigs, ResourceRef::Cluster);
        let mut refusal = Refusal::new(operation, resource, reason.code(), &text);
        refusal.name = quota.to_owned();
        self.refusals.push(refusal);
        Denial { reason, text }
    }

    /// The user that brokers know the gateway by.
    pub(crate) fn broker_user(&self) -> &'a str {
        &self.environment.topology.broker_user
    }

    /// A topic id that no broker's answer named yet.
    pub(crate) fn unknown_topic_id(&mut self, id: Uuid) {
        let text = format!("topic id {id} is not known to this gateway");
        let resource = ResourceRef::Cluster;
        self.refusals.push(Refusal::new(
            Operation::Describe,
            resource,
            "unknown-topic-id",
            &text,
        ));
    }

    /// A partition whose records are not what Kafka takes.
    pub(crate) fn rejected(&mut self, topic: &str, partition: i32, text: &str) {
        let mut refusal = Refusal::new(
            Operation::Write,
            ResourceRef::Topic(topic),
            "invalid-record",
            text,
        );
        refusal.partition = partition;
        self.refusals.push(refusal);
    }

    // Filters of answers: not evidence, for nothing was asked for by name.

    pub(crate) fn may_describe_topic(&self, name: &str) -> bool {
        self.topic_set(name).contains(Operation::Describe)
    }

    pub(crate) fn may_describe_configs(&self, topic: &str) -> bool {
        self.topic_set(topic).contains(Operation::DescribeConfigs)
    }

    pub(crate) fn may_describe_group(&self, name: &str) -> bool {
        self.snapshot
            .tables
            .group(self.rights, name)
            .contains(Operation::Describe)
    }

    pub(crate) fn may_describe_cluster(&self) -> bool {
        self.snapshot
            .tables
            .cluster(self.rights)
            .contains(Operation::Describe)
    }

    pub(crate) fn may_describe_transactional_id(&self, id: &str) -> bool {
        self.snapshot
            .tables
            .transactional_id(self.rights, id)
            .contains(Operation::Describe)
    }

    pub(crate) fn topic_operations(&self, name: &str) -> i32 {
        self.topic_set(name).authorized_operations()
    }

    pub(crate) fn group_operations(&self, name: &str) -> i32 {
        self.snapshot
            .tables
            .group(self.rights, name)
            .authorized_operations()
    }

    pub(crate) fn cluster_operations(&self) -> i32 {
        self.snapshot
            .tables
            .cluster_stated(self.rights)
            .authorized_operations()
    }

    fn topic_set(&self, name: &str) -> OperationSet {
        let tables = &self.snapshot.tables;
        tables.allowed(&tables.topic(self.rights, name))
    }

    // The cluster as clients see it.

    pub(crate) fn advertised(&self, node: i32) -> Option<(StrBytes, i32)> {
        let node = self.environment.topology.nodes.get(&node)?;
        Some((
            StrBytes::from_string(node.advertised_host.clone()),
            i32::from(node.advertised_port),
        ))
    }

    pub(crate) fn learn_topic_id(&self, id: Uuid, name: &str) {
        if !id.is_nil() {
            self.environment
                .shared
                .topic_ids(&mut |ids| ids.learn(*id.as_bytes(), name));
        }
    }

    pub(crate) fn topic_name(&self, id: Uuid) -> Option<String> {
        self.shared_topic_name(id.as_bytes())
            .map(|name| name.to_string())
    }

    fn shared_topic_name(&self, id: &[u8; 16]) -> Option<Arc<str>> {
        let mut name = None;
        self.environment
            .shared
            .topic_ids(&mut |ids| name = ids.name(id).cloned());
        name
    }

    // Evidence of what goes on.

    /// Where the permits and items of the next topic will start.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            permits: self.permits.len(),
            asked: self.asked.len(),
        }
    }

    /// Nothing of what was asked since goes on after all, although the role would let it: no permit, and no word of it in the
    /// intent.
    pub(crate) fn withdraw(&mut self, since: &Mark) {
        self.permits.truncate(since.permits);
        self.asked.truncate(since.asked);
    }

    /// A write to a protected topic without acknowledgement: nothing could carry the answer.
    pub(crate) fn unanswerable(&mut self, topic: &str) {
        let text = "a write to a protected topic needs an acknowledgement";
        let refusal = Refusal::new(
            Operation::Write,
            ResourceRef::Topic(topic),
            "unacknowledged",
            text,
        );
        self.refusals.push(refusal);
    }

    pub(crate) fn delivered(&mut self, delivered: Delivered) {
        self.delivered.push(delivered);
    }

    /// What a change of a topic came to.
    pub(crate) fn outcome(&mut self, topic: &str, error: i16) {
        self.delivered.push(Delivered {
            topic: topic.into(),
            partition: -1,
            error,
            ..Delivered::default()
        });
    }

    /// What a change of a quota came to.
    pub(crate) fn quota_outcome(&mut self, quota: &str, error: i16) {
        self.delivered.push(Delivered {
            kind: ResourceKind::Cluster,
            topic: quota.into(),
            partition: -1,
            error,
            ..Delivered::default()
        });
    }

    /// A write to a protected topic that does not go on now, or (refused, timed out) at all.
    pub(crate) fn held(&mut self, topic: &str, partition: i32, code: &'static str, text: &str) {
        let mut refusal = Refusal::new(Operation::Write, ResourceRef::Topic(topic), code, text);
        refusal.partition = partition;
        self.refusals.push(refusal);
    }

    pub(crate) fn unacknowledged(&mut self) {
        self.unacknowledged = true;
    }
}
