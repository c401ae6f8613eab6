//! The slow twin of `decide`: one pass over the documents' permissions for each question, with the rule that decided.
//!
//! It shares no table and no lookup with the compiled form: tests compare the two, and people read its answer.

use std::fmt;

use crate::decision::{Durability, Immutability};
use crate::duty::Duty;
use crate::operation::{Operation, OperationSet};
use crate::policy_set::PolicySet;
use crate::resource::{Pattern, ResourceKind, ResourceRef, is_internal_topic};
use crate::role::{Effect, Mask, Origin, Permission, Role, TopicClass};

/// Why an access is allowed or denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The answer.
    pub answer: Answer,
    /// The permission that decided: that allows, or that denies. `None` where no permission did.
    pub rule: Option<RuleRef>,
    /// Where denied for want of a permission: how the role that would allow it, and least besides, allows it.
    pub nearest: Option<RuleRef>,
    /// Masks that the records pass through, by name, sorted; only for Read.
    pub masks: Vec<String>,
    /// Classes of the topic, by name, sorted.
    pub classes: Vec<String>,
    /// The approval rule by which this operation needs a grant.
    pub approval: Option<String>,
    /// How durable the receipt must be.
    pub durability: Durability,
    /// Whether the topic's history may change.
    pub immutable: Immutability,
}

/// Allowed, or the [`crate::Reason`] why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Allowed.
    Allow,
    /// No role allows it.
    NotPermitted,
    /// A role denies it.
    DeniedByRule,
    /// The topic's class forbids it to everybody.
    Immutable,
    /// None of the roles exists.
    Unbound,
    /// One of Kafka's own topics.
    InternalTopic,
}

impl Answer {
    /// `allow`, or the code of the reason.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::NotPermitted => "not-permitted",
            Self::DeniedByRule => "denied-by-rule",
            Self::Immutable => "immutable",
            Self::Unbound => "unbound",
            Self::InternalTopic => "internal-topic",
        }
    }
}

/// One permission of one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRef {
    /// The role's name.
    pub role: String,
    /// The permission's place in the role, from 0.
    pub permission: usize,
    /// The pattern that matched.
    pub pattern: Pattern,
    /// Where the permission was written.
    pub origin: Origin,
}

impl fmt::Display for RuleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.permission.saturating_add(1);
        write!(
            f,
            "role {}, permission {number} on {} ({})",
            self.role, self.pattern, self.origin
        )
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.answer.code())?;
        if let Some(rule) = &self.rule {
            write!(f, " by {rule}")?;
        }
        if let Some(nearest) = &self.nearest {
            write!(f, "; it would be allowed by {nearest}")?;
        }
        if !self.masks.is_empty() {
            write!(f, "; masked by {}", self.masks.join(", "))?;
        }
        if let Some(approval) = &self.approval {
            write!(f, "; needs a grant by {approval}")?;
        }
        Ok(())
    }
}

/// Explains what `decide` answers to somebody who holds `roles` (data-plane roles, by name).
#[must_use]
pub fn explain(
    set: &PolicySet,
    roles: &[&str],
    operation: Operation,
    resource: ResourceRef<'_>,
) -> Explanation {
    let held: Vec<&Role> = set
        .roles()
        .iter()
        .filter(|role| roles.contains(&role.name.as_str()))
        .collect();
    let topic = match resource {
        ResourceRef::Topic(name) => Some(name),
        _ => None,
    };
    let classes: Vec<&TopicClass> = set
        .classes()
        .iter()
        .filter(|class| {
            topic.is_some_and(|topic| class.topics.iter().any(|pattern| pattern.matches(topic)))
        })
        .collect();
    let immutable = match classes
        .iter()
        .any(|class| class.immutable == Immutability::Immutable)
    {
        true => Immutability::Immutable,
        false => Immutability::Mutable,
    };
    let changes = matches!(Duty::of(operation), Some(Duty::Produce | Duty::Administer));
    let mut explanation = Explanation {
        answer: Answer::NotPermitted,
        rule: None,
        nearest: None,
        masks: Vec::new(),
        classes: classes.iter().map(|class| class.name.clone()).collect(),
        approval: classes
            .iter()
            .find_map(|class| class.approval.clone())
            .filter(|_| changes),
        durability: classes
            .iter()
            .map(|class| class.durability)
            .max()
            .unwrap_or_default(),
        immutable,
    };
    (explanation.answer, explanation.rule) = answer(&held, operation, resource, immutable);
    match (explanation.answer, topic) {
        (Answer::Allow, Some(topic)) if operation == Operation::Read => {
            let binding = set.masks().iter().filter(|mask| binds(mask, &held, topic));
            explanation.masks = binding.map(|mask| mask.name.clone()).collect();
        }
        (Answer::NotPermitted | Answer::Unbound, _)
            if may_be_given(operation, resource, immutable) =>
        {
            explanation.nearest = nearest(set, operation, resource);
        }
        _ => {}
    }
    explanation
}

fn answer(
    held: &[&Role],
    operation: Operation,
    resource: ResourceRef<'_>,
    immutable: Immutability,
) -> (Answer, Option<RuleRef>) {
    if held.is_empty() {
        return (Answer::Unbound, None);
    }
    if matches!(resource, ResourceRef::Topic(name) if is_internal_topic(name)) {
        return (Answer::InternalTopic, None);
    }
    let find = |effect: Effect, resource| {
        held.iter().find_map(|role| {
            let permissions = role.permissions.iter().enumerate();
            permissions
                .filter(|(_, p)| p.effect == effect)
                .find_map(|(i, p)| matched(role, i, p, operation, resource))
        })
    };
    if let Some(rule) = find(Effect::Deny, resource) {
        return (Answer::DeniedByRule, Some(rule));
    }
    let mut allowed = find(Effect::Allow, resource);
    if allowed.is_none() && operation == Operation::Create && resource.kind() == ResourceKind::Topic
    {
        // Create on the cluster is Create on any topic, unless the cluster says no.
        let cluster = ResourceRef::Cluster;
        allowed = find(Effect::Allow, cluster).filter(|_| find(Effect::Deny, cluster).is_none());
    }
    if allowed.is_none()
        && operation == Operation::IdempotentWrite
        && resource == ResourceRef::Cluster
    {
        allowed = writes_some_topic(held);
    }
    match allowed {
        None => (Answer::NotPermitted, None),
        Some(rule) => match (immutable, operation) {
            (Immutability::Immutable, Operation::Delete | Operation::Alter) => {
                (Answer::Immutable, Some(rule))
            }
            _ => (Answer::Allow, Some(rule)),
        },
    }
}

fn matched(
    role: &Role,
    index: usize,
    permission: &Permission,
    operation: Operation,
    resource: ResourceRef<'_>,
) -> Option<RuleRef> {
    let kind = resource.kind();
    let written = permission.operations.intersection(kind.operations());
    let operations = match permission.effect {
        Effect::Allow => written.with_implied(),
        Effect::Deny => written,
    };
    if !operations.contains(operation) {
        return None;
    }
    let pattern = permission
        .patterns(kind)
        .iter()
        .filter(|pattern| pattern.matches(resource.name()))
        .max()?;
    Some(RuleRef {
        role: role.name.clone(),
        permission: index,
        pattern: pattern.clone(),
        origin: permission.origin.clone(),
    })
}

/// A permission to write to some topic that no deny of its role takes back whole, if no role denies all writing.
fn writes_some_topic(held: &[&Role]) -> Option<RuleRef> {
    let denies = |role: &Role, topics: &Pattern| {
        role.permissions.iter().any(|permission| {
            permission.effect == Effect::Deny
                && permission.operations.contains(Operation::Write)
                && permission
                    .topics
                    .iter()
                    .any(|pattern| pattern.covers(topics))
        })
    };
    if held.iter().any(|role| denies(role, &Pattern::Any)) {
        return None;
    }
    held.iter().find_map(|role| {
        let mut permissions = role.permissions.iter().enumerate();
        permissions.find_map(|(index, permission)| {
            let allows = permission.effect == Effect::Allow
                && permission.operations.contains(Operation::Write);
            let pattern = permission
                .topics
                .iter()
                .find(|pattern| allows && !denies(role, pattern))?;
            Some(RuleRef {
                role: role.name.clone(),
                permission: index,
                pattern: pattern.clone(),
                origin: permission.origin.clone(),
            })
        })
    })
}

/// Whether a mask of the topic binds who holds these roles.
fn binds(mask: &Mask, held: &[&Role], topic: &str) -> bool {
    let clears = |role: &&Role| {
        let here = role
            .permissions
            .iter()
            .filter(|permission| permission.matches(ResourceRef::Topic(topic)));
        role.clear.contains(&mask.name)
            || here
                .into_iter()
                .any(|permission| permission.clear.contains(&mask.name))
    };
    mask.topics.iter().any(|pattern| pattern.matches(topic)) && !held.iter().any(clears)
}

/// Whether any role could allow it.
fn may_be_given(operation: Operation, resource: ResourceRef<'_>, immutable: Immutability) -> bool {
    let internal = matches!(resource, ResourceRef::Topic(name) if is_internal_topic(name));
    let never = matches!(operation, Operation::Delete | Operation::Alter)
        && immutable == Immutability::Immutable;
    !internal && !never
}

/// The role that would allow it and allows the fewest operations besides, with its narrowest permission for it: literal
/// before prefix, the longer prefix first.
fn nearest(set: &PolicySet, operation: Operation, resource: ResourceRef<'_>) -> Option<RuleRef> {
    let narrowness = |rule: &RuleRef| match &rule.pattern {
        Pattern::Literal(_) => (2, 0),
        Pattern::Prefix(prefix) => (1, prefix.len()),
        Pattern::Any => (0, 0),
    };
    let rules = |role: &Role, effect: Effect, operation: Operation| -> Vec<RuleRef> {
        let permissions = role.permissions.iter().enumerate();
        permissions
            .filter(|(_, permission)| permission.effect == effect)
            .filter_map(|(i, permission)| matched(role, i, permission, operation, resource))
            .collect()
    };
    let allows = |role: &Role, operation: Operation| {
        rules(role, Effect::Deny, operation).is_empty()
            && !rules(role, Effect::Allow, operation).is_empty()
    };
    let breadth = |role: &Role| {
        let operations = Operation::ALL.into_iter();
        operations.filter(|each| allows(role, *each)).count()
    };
    let able = set.roles().iter().filter(|role| allows(role, operation));
    let role = able.min_by_key(|role| (breadth(role), role.name.as_str()))?;
    let rules = rules(role, Effect::Allow, operation);
    rules.into_iter().max_by_key(narrowness)
}

/// Everything that somebody who holds `roles` may do to a resource.
#[must_use]
pub fn explain_operations(
    set: &PolicySet,
    roles: &[&str],
    resource: ResourceRef<'_>,
) -> OperationSet {
    let allowed =
        |operation: &Operation| explain(set, roles, *operation, resource).answer == Answer::Allow;
    Operation::ALL.into_iter().filter(allowed).collect()
}
