//! Static segregation: combinations of duties that a conflict set forbids, found before they exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::duty::Duty;
use crate::limits::VIOLATIONS_COUNT_MAX;
use crate::operation::OperationSet;
use crate::policy_set::PolicySet;
use crate::principal::ControlRole;
use crate::resource::{Pattern, ResourceKind};
use crate::role::{
    Binding, ConflictOver, ConflictScope, ConflictSet, ConflictWhen, Effect, Origin,
};

/// A combination of duties that exists although a conflict set forbids it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Violation {
    /// The conflict set.
    pub conflict: String,
    /// The principal, person or team that would combine the duties.
    pub who: Who,
    /// Topics on which the duties meet; `None` where the conflict set forbids them anywhere.
    pub meet: Option<Pattern>,
    /// How the first duty is held.
    pub first: DutyPath,
    /// How the second duty is held.
    pub second: DutyPath,
}

/// Who combines duties.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// A principal's name.
    Principal(String),
    /// A person's name.
    Person(String),
    /// A team's name.
    Team(String),
}

/// How somebody holds a duty: binding, role, permission.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DutyPath {
    /// The duty.
    pub duty: Duty,
    /// The binding's name.
    pub binding: String,
    /// Where the binding was written.
    pub binding_origin: Origin,
    /// The person behind the binding.
    pub person: String,
    /// The role or approver group that it gives.
    pub role: String,
    /// The permission's place in its role, from 0; `None` for what the control plane gives.
    pub permission: Option<usize>,
    /// Where the permission was written; the binding where there is none.
    pub origin: Origin,
    /// The topics that the permission is about.
    pub topics: Pattern,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            conflict,
            who,
            meet,
            first,
            second,
        } = self;
        write!(
            f,
            "conflict {conflict}: {who} would {} and {}",
            first.duty, second.duty
        )?;
        match meet {
            Some(pattern) => write!(f, " the same topics, {pattern}")?,
            None => f.write_str(" (anywhere is too near)")?,
        }
        write!(
            f,
            ": {first}; {second}. Give one of the two to somebody else"
        )
    }
}

impl fmt::Display for DutyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} through binding {} (of {}) -> role {}",
            self.duty, self.binding, self.person, self.role
        )?;
        if let Some(index) = self.permission {
            write!(
                f,
                " -> permission {} ({}) on {}",
                index.saturating_add(1),
                self.origin,
                self.topics
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Principal(name) => write!(f, "principal {name}"),
            Self::Person(name) => write!(f, "{name}"),
            Self::Team(name) => write!(f, "team {name}"),
        }
    }
}

/// Every static violation, sorted; at most [`VIOLATIONS_COUNT_MAX`]. One for each pair of paths, at the first topic
/// pattern where they meet.
#[must_use]
pub fn conflicts(set: &PolicySet) -> Vec<Violation> {
    let mut violations = BTreeSet::new();
    let held = held_duties(set);
    for conflict in set
        .conflict_sets()
        .iter()
        .filter(|conflict| conflict.when == ConflictWhen::Static)
    {
        for (who, bindings) in hands(set, conflict.scope) {
            let mut paths: Vec<&DutyPath> = bindings
                .iter()
                .filter_map(|binding| held.get(*binding))
                .flatten()
                .collect();
            if conflict.over == ConflictOver::Anywhere {
                // Topics do not matter: one path for each permission says all.
                paths.sort();
                paths.dedup_by(|a, b| (a.duty, key(a)) == (b.duty, key(b)));
            }
            for (first, second) in pairs(&conflict.duties) {
                meet(conflict, &who, (first, second), &paths, &mut violations);
            }
            while violations.len() > VIOLATIONS_COUNT_MAX {
                violations.pop_last();
            }
        }
    }
    violations.into_iter().collect()
}

fn pairs(duties: &[Duty]) -> impl Iterator<Item = (Duty, Duty)> {
    let later = |i: usize| duties.iter().skip(i.saturating_add(1));
    duties
        .iter()
        .enumerate()
        .flat_map(move |(i, first)| later(i).map(|second| (*first, *second)))
}

/// Adds one violation for each pair of paths that meet.
fn meet(
    conflict: &ConflictSet,
    who: &Who,
    duties: (Duty, Duty),
    paths: &[&DutyPath],
    violations: &mut BTreeSet<Violation>,
) {
    // The second side by literal name: most permissions list names, and most names meet nothing.
    let mut literal: BTreeMap<&str, Vec<&DutyPath>> = BTreeMap::new();
    let mut wide: Vec<&DutyPath> = Vec::new();
    for path in paths.iter().filter(|path| path.duty == duties.1) {
        match &path.topics {
            Pattern::Literal(name) => literal.entry(name).or_default().push(path),
            _ => wide.push(path),
        }
    }
    let mut found: BTreeMap<(PathKey<'_>, PathKey<'_>), Violation> = BTreeMap::new();
    for first in paths.iter().filter(|path| path.duty == duties.0) {
        let others: Vec<&DutyPath> = match (conflict.over, &first.topics) {
            (ConflictOver::SameTopic, Pattern::Literal(name)) => literal
                .get(name.as_str())
                .into_iter()
                .flatten()
                .chain(&wide)
                .copied()
                .collect(),
            (ConflictOver::SameTopic, Pattern::Prefix(prefix)) => literal
                .range(prefix.as_str()..)
                .take_while(|(name, _)| name.starts_with(prefix.as_str()))
                .flat_map(|(_, paths)| paths)
                .chain(&wide)
                .copied()
                .collect(),
            _ => literal.values().flatten().chain(&wide).copied().collect(),
        };
        for second in others {
            let pattern = match conflict.over {
                ConflictOver::Anywhere => None,
                ConflictOver::SameTopic => match first.topics.meet(&second.topics) {
                    Some(pattern) => Some(pattern.clone()),
                    None => continue,
                },
            };
            let key = (key(first), key(second));
            let violation = Violation {
                conflict: conflict.name.clone(),
                who: who.clone(),
                meet: pattern,
                first: (*first).clone(),
                second: second.clone(),
            };
            match found.get(&key) {
                Some(known) if *known <= violation => {}
                _ => {
                    found.insert(key, violation);
                }
            }
            if found.len() > VIOLATIONS_COUNT_MAX {
                found.pop_last();
            }
        }
    }
    violations.extend(found.into_values());
}

type PathKey<'a> = (&'a str, &'a str, Option<usize>);

fn key(path: &DutyPath) -> PathKey<'_> {
    (&path.binding, &path.role, path.permission)
}

/// Which bindings are in the same hands.
fn hands(set: &PolicySet, scope: ConflictScope) -> BTreeMap<Who, Vec<&str>> {
    let mut hands: BTreeMap<Who, Vec<&str>> = BTreeMap::new();
    // A person belongs to the teams that any of the person's bindings names.
    let mut teams: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for binding in set.bindings() {
        teams
            .entry(binding.person())
            .or_default()
            .extend(binding.team.as_deref());
    }
    for binding in set.bindings() {
        let person = binding.person();
        let who: Vec<Who> = match (scope, &binding.team) {
            (ConflictScope::Principal, _) => vec![Who::Principal(binding.principal.clone())],
            (ConflictScope::Person, _) => vec![Who::Person(person.to_owned())],
            (ConflictScope::Team, Some(team)) => vec![Who::Team(team.clone())],
            (ConflictScope::Team, None) => match teams.get(person) {
                Some(teams) if !teams.is_empty() => teams
                    .iter()
                    .map(|team| Who::Team((*team).to_owned()))
                    .collect(),
                // Nobody's team-mate still must not combine duties alone.
                _ => vec![Who::Person(person.to_owned())],
            },
        };
        for who in who {
            hands.entry(who).or_default().push(&binding.name);
        }
    }
    hands
}

/// What each binding lets its principal do, as duties.
fn held_duties(set: &PolicySet) -> BTreeMap<&str, Vec<DutyPath>> {
    set.bindings()
        .iter()
        .map(|binding| (binding.name.as_str(), duties_of(set, binding)))
        .collect()
}

fn duties_of(set: &PolicySet, binding: &Binding) -> Vec<DutyPath> {
    let mut paths = Vec::new();
    let path =
        |duty: Duty, role: &str, permission: Option<usize>, origin: &Origin, topics: &Pattern| {
            DutyPath {
                duty,
                binding: binding.name.clone(),
                binding_origin: binding.origin.clone(),
                person: binding.person().to_owned(),
                role: role.to_owned(),
                permission,
                origin: origin.clone(),
                topics: topics.clone(),
            }
        };
    let roles: Vec<_> = binding
        .roles
        .iter()
        .filter_map(|name| set.role(name))
        .collect();
    // Deny wins, within one binding: what a deny covers whole is not held.
    let denies: Vec<(&Pattern, OperationSet)> = roles
        .iter()
        .flat_map(|role| &role.permissions)
        .filter(|permission| permission.effect == Effect::Deny)
        .flat_map(|permission| {
            permission
                .topics
                .iter()
                .map(|pattern| (pattern, permission.operations))
        })
        .collect();
    let held = |pattern: &Pattern, operations: OperationSet| {
        let denied = denies.iter().filter(|(deny, _)| deny.covers(pattern));
        denied.fold(operations, |left, (_, operations)| {
            left.without(*operations)
        })
    };
    for role in roles {
        for (index, permission) in role.permissions.iter().enumerate() {
            if permission.effect == Effect::Deny {
                continue;
            }
            for duty in [Duty::Produce, Duty::Consume, Duty::Administer] {
                let operations = permission.operations.intersection(duty.operations());
                for topics in &permission.topics {
                    if !held(topics, operations).is_empty() {
                        paths.push(path(
                            duty,
                            &role.name,
                            Some(index),
                            &permission.origin,
                            topics,
                        ));
                    }
                }
            }
            // What may be done to the cluster reaches every topic.
            let cluster = permission
                .operations
                .intersection(ResourceKind::Cluster.operations());
            if permission.cluster.is_some()
                && !cluster
                    .intersection(Duty::Administer.operations())
                    .is_empty()
            {
                paths.push(path(
                    Duty::Administer,
                    &role.name,
                    Some(index),
                    &permission.origin,
                    &Pattern::Any,
                ));
            }
        }
    }
    for role in &binding.control_roles {
        match role {
            ControlRole::Author => paths.push(path(
                Duty::Author,
                role.name(),
                None,
                &binding.origin,
                &Pattern::Any,
            )),
            ControlRole::Auditor => paths.push(path(
                Duty::Audit,
                role.name(),
                None,
                &binding.origin,
                &Pattern::Any,
            )),
            ControlRole::Approver => {
                // An approver by role may decide what no group is named for, and rules that name the role.
                paths.push(path(
                    Duty::Approve,
                    role.name(),
                    None,
                    &binding.origin,
                    &Pattern::Any,
                ));
            }
            ControlRole::Operator => {}
        }
    }
    for group in &binding.groups {
        for class in set.classes() {
            let rule = class
                .approval
                .as_deref()
                .and_then(|rule| set.approval_rule(rule));
            if rule.is_some_and(|rule| rule.quorum_of == *group) {
                for topics in &class.topics {
                    paths.push(path(Duty::Approve, group, None, &binding.origin, topics));
                }
            }
        }
    }
    paths
}
