//! Kafka's resources, and the patterns that match their names.

use std::fmt;

use crate::operation::{Operation, OperationSet};

/// What kind of thing a permission is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    /// A topic, by name.
    Topic,
    /// A consumer group, by id.
    Group,
    /// A transactional id.
    TransactionalId,
    /// The cluster itself; it has no name.
    Cluster,
}

impl ResourceKind {
    /// The operations that mean something on this kind (Kafka's `AclEntry.supportedOperations`).
    #[must_use]
    pub const fn operations(self) -> OperationSet {
        use Operation::{
            Alter, AlterConfigs, ClusterAction, Create, Delete, Describe, DescribeConfigs,
            IdempotentWrite, Read, Write,
        };
        match self {
            Self::Topic => OperationSet::of(&[
                Read,
                Write,
                Create,
                Delete,
                Alter,
                Describe,
                DescribeConfigs,
                AlterConfigs,
            ]),
            Self::Group => {
                OperationSet::of(&[Read, Delete, Describe, DescribeConfigs, AlterConfigs])
            }
            Self::TransactionalId => OperationSet::of(&[Write, Describe]),
            Self::Cluster => OperationSet::of(&[
                Create,
                Alter,
                Describe,
                ClusterAction,
                DescribeConfigs,
                AlterConfigs,
                IdempotentWrite,
            ]),
        }
    }

    /// The word for one resource of this kind.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Group => "group",
            Self::TransactionalId => "transactional id",
            Self::Cluster => "cluster",
        }
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One resource, as a request names it. The name is untrusted bytes of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResourceRef<'a> {
    /// A topic, by name.
    Topic(&'a str),
    /// A consumer group, by id.
    Group(&'a str),
    /// A transactional id.
    TransactionalId(&'a str),
    /// The cluster.
    Cluster,
}

impl<'a> ResourceRef<'a> {
    /// The kind of the resource.
    #[must_use]
    pub const fn kind(self) -> ResourceKind {
        match self {
            Self::Topic(_) => ResourceKind::Topic,
            Self::Group(_) => ResourceKind::Group,
            Self::TransactionalId(_) => ResourceKind::TransactionalId,
            Self::Cluster => ResourceKind::Cluster,
        }
    }

    /// The name of the resource; the cluster is `kafka-cluster`, as in Kafka's ACLs.
    #[must_use]
    pub const fn name(self) -> &'a str {
        match self {
            Self::Topic(name) | Self::Group(name) | Self::TransactionalId(name) => name,
            Self::Cluster => "kafka-cluster",
        }
    }
}

impl fmt::Display for ResourceRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("the cluster"),
            named => write!(f, "{} {:?}", named.kind(), named.name()),
        }
    }
}

/// Matches names: any, exactly one, or all with a prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    /// Every name; written `"*"`.
    Any,
    /// Every name that starts so; written `{prefix: ..}`.
    Prefix(String),
    /// Exactly this name; written plainly, or `{literal: ..}`.
    Literal(String),
}

impl Pattern {
    /// Whether the pattern matches `name`.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
            Self::Literal(literal) => name == literal,
        }
    }

    /// The pattern that matches exactly what both match, if they have a name in common.
    #[must_use]
    pub fn meet<'a>(&'a self, other: &'a Self) -> Option<&'a Self> {
        if other.covers(self) {
            Some(self)
        } else if self.covers(other) {
            Some(other)
        } else {
            None
        }
    }

    /// Whether this pattern matches every name that `other` matches.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Prefix(prefix), Self::Any) => prefix.is_empty(),
            (Self::Prefix(prefix), Self::Prefix(name) | Self::Literal(name)) => {
                name.starts_with(prefix.as_str())
            }
            (Self::Literal(a), Self::Literal(b)) => a == b,
            (Self::Literal(_), _) => false,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("\"*\""),
            Self::Prefix(prefix) => write!(f, "{{prefix: {prefix:?}}}"),
            Self::Literal(name) => write!(f, "{name:?}"),
        }
    }
}

/// Whether `name` is one of Kafka's own topics: no policy opens them, because offsets, transactions and share-group
/// state written there by hand become somebody else's.
#[must_use]
pub fn is_internal_topic(name: &str) -> bool {
    name.starts_with("__")
        && matches!(
            name,
            "__consumer_offsets"
                | "__transaction_state"
                | "__share_group_state"
                | "__cluster_metadata"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_meet_exactly_when_they_share_a_name() {
        let patterns: Vec<Pattern> = ["", "a", "ab", "abc", "b"]
            .into_iter()
            .flat_map(|text| [Pattern::Prefix(text.into()), Pattern::Literal(text.into())])
            .chain([Pattern::Any])
            .collect();
        let names = ["", "a", "ab", "abc", "abcd", "b", "ba", "c", "az", "abz"];
        for left in &patterns {
            for right in &patterns {
                for name in names {
                    let both = left.matches(name) && right.matches(name);
                    let met = left.meet(right).is_some_and(|meet| meet.matches(name));
                    assert_eq!(both, met, "{left} {right} {name}");
                }
            }
        }
    }
}
