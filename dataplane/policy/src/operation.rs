//! Kafka's ACL operations, and sets of them.

use std::fmt;

/// Kafka's ACL verb. The number is Kafka's `AclOperation` code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Operation {
    /// Read records, or act as a member of a group.
    Read = 3,
    /// Append records, or use a transactional id.
    Write = 4,
    /// Create a topic.
    Create = 5,
    /// Delete a topic, its records, or a group.
    Delete = 6,
    /// Change partitions and placement.
    Alter = 7,
    /// See that a resource exists, and its layout.
    Describe = 8,
    /// What brokers do among themselves.
    ClusterAction = 9,
    /// See settings.
    DescribeConfigs = 10,
    /// Change settings.
    AlterConfigs = 11,
    /// Use an idempotent producer that writes to no topic yet.
    IdempotentWrite = 12,
}

impl Operation {
    /// Every operation, in the order of Kafka's codes.
    pub const ALL: [Self; 10] = [
        Self::Read,
        Self::Write,
        Self::Create,
        Self::Delete,
        Self::Alter,
        Self::Describe,
        Self::ClusterAction,
        Self::DescribeConfigs,
        Self::AlterConfigs,
        Self::IdempotentWrite,
    ];

    /// Kafka's `AclOperation` code, 3 to 12.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The name that policy documents use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "Read",
            Self::Write => "Write",
            Self::Create => "Create",
            Self::Delete => "Delete",
            Self::Alter => "Alter",
            Self::Describe => "Describe",
            Self::ClusterAction => "ClusterAction",
            Self::DescribeConfigs => "DescribeConfigs",
            Self::AlterConfigs => "AlterConfigs",
            Self::IdempotentWrite => "IdempotentWrite",
        }
    }

    /// The operation with exactly this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operation| operation.name() == name)
    }

    /// The operation with this `AclOperation` code.
    #[must_use]
    pub fn from_code(code: i8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operation| i16::from(operation.code()) == i16::from(code))
    }

    const fn bit(self) -> u16 {
        1 << (self as u8)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of operations; bit n stands for the operation with Kafka's code n.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct OperationSet(u16);

impl OperationSet {
    /// No operation.
    pub const EMPTY: Self = Self(0);
    /// Every operation.
    pub const ALL: Self = Self(0b1_1111_1111_1000);

    /// The set of these operations.
    #[must_use]
    pub const fn of(operations: &[Operation]) -> Self {
        let mut bits = 0;
        let mut rest = operations;
        while let [first, tail @ ..] = rest {
            bits |= first.bit();
            rest = tail;
        }
        Self(bits)
    }

    /// The set with these bits; bits that stand for no operation are dropped.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// Bit n is the operation with code n.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether `operation` is in the set.
    #[must_use]
    pub const fn contains(self, operation: Operation) -> bool {
        self.0 & operation.bit() != 0
    }

    /// Whether the set has no operation.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// How many operations.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// Adds what Kafka derives from an *allow*: Read, Write, Delete and Alter allow Describe; AlterConfigs allows
    /// DescribeConfigs. A *deny* implies nothing (Kafka documentation, "Operations in Kafka"; `StandardAuthorizer`).
    #[must_use]
    pub const fn with_implied(self) -> Self {
        const DESCRIBING: OperationSet = OperationSet::of(&[
            Operation::Read,
            Operation::Write,
            Operation::Delete,
            Operation::Alter,
        ]);
        let mut bits = self.0;
        if bits & DESCRIBING.0 != 0 {
            bits |= Operation::Describe.bit();
        }
        if bits & Operation::AlterConfigs.bit() != 0 {
            bits |= Operation::DescribeConfigs.bit();
        }
        Self(bits)
    }

    /// Kafka's `authorized_operations` bit field, as Metadata and the describing APIs carry it (KIP-430).
    #[must_use]
    pub const fn authorized_operations(self) -> i32 {
        self.0 as i32
    }

    /// The operations, in the order of Kafka's codes.
    pub fn iter(self) -> impl Iterator<Item = Operation> {
        Operation::ALL
            .into_iter()
            .filter(move |operation| self.contains(*operation))
    }
}

impl FromIterator<Operation> for OperationSet {
    fn from_iter<I: IntoIterator<Item = Operation>>(operations: I) -> Self {
        operations.into_iter().fold(Self::EMPTY, |set, operation| {
            set.union(Self(operation.bit()))
        })
    }
}

impl fmt::Debug for OperationSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_kafkas_acl_operation_codes() {
        assert_eq!(
            OperationSet::of(&[Operation::Read]).authorized_operations(),
            8
        );
        assert_eq!(OperationSet::of(&Operation::ALL), OperationSet::ALL);
        for operation in Operation::ALL {
            assert_eq!(Operation::from_name(operation.name()), Some(operation));
            assert_eq!(
                Operation::from_code(operation.code() as i8),
                Some(operation)
            );
        }
    }

    #[test]
    fn writing_implies_describing_and_describing_implies_nothing() {
        let write = OperationSet::of(&[Operation::Write]).with_implied();
        assert!(write.contains(Operation::Describe) && !write.contains(Operation::DescribeConfigs));
        let configs = OperationSet::of(&[Operation::AlterConfigs]).with_implied();
        assert!(
            configs.contains(Operation::DescribeConfigs) && !configs.contains(Operation::Describe)
        );
        let describe = OperationSet::of(&[Operation::Describe]);
        assert_eq!(describe.with_implied(), describe);
    }
}
