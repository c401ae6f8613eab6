//! Duties: the responsibilities that must stay with different hands.

use std::fmt;

use crate::operation::{Operation, OperationSet};

/// A responsibility. Duties follow from operations and from control-plane roles, so none can be left out by a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Duty {
    /// Write records to a topic.
    Produce,
    /// Read records from a topic.
    Consume,
    /// Create, delete, alter a topic, or change its settings.
    Administer,
    /// Say yes to somebody else's approval request.
    Approve,
    /// Read evidence.
    Audit,
    /// Write policy.
    Author,
}

impl Duty {
    /// Every duty.
    pub const ALL: [Self; 6] = [
        Self::Produce,
        Self::Consume,
        Self::Administer,
        Self::Approve,
        Self::Audit,
        Self::Author,
    ];

    /// The operations on a topic (or, for `Administer`, on the cluster) that exercise this duty; empty for the duties
    /// of the control plane.
    #[must_use]
    pub const fn operations(self) -> OperationSet {
        match self {
            Self::Produce => OperationSet::of(&[Operation::Write]),
            Self::Consume => OperationSet::of(&[Operation::Read]),
            Self::Administer => OperationSet::of(&[
                Operation::Create,
                Operation::Delete,
                Operation::Alter,
                Operation::AlterConfigs,
            ]),
            Self::Approve | Self::Audit | Self::Author => OperationSet::EMPTY,
        }
    }

    /// The duty that `operation` on a topic exercises.
    #[must_use]
    pub fn of(operation: Operation) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|duty| duty.operations().contains(operation))
    }

    /// The name that policy documents use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Consume => "consume",
            Self::Administer => "administer",
            Self::Approve => "approve",
            Self::Audit => "audit",
            Self::Author => "author",
        }
    }

    /// The duty with exactly this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|duty| duty.name() == name)
    }
}

impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
