//! The authenticated who, and what a binding makes of a token.

use std::fmt;

use crate::decision::RoleId;

/// Whether a principal is a person or a program that a person owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalKind {
    /// A program; its binding names its owner.
    Service,
    /// A person.
    Human,
}

/// A role of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ControlRole {
    /// Writes policy.
    Author,
    /// Decides approval requests.
    Approver,
    /// Reads evidence.
    Auditor,
    /// Runs gateways: looks at sessions and gateways, changes no policy.
    Operator,
}

impl ControlRole {
    /// Every control-plane role.
    pub const ALL: [Self; 4] = [Self::Author, Self::Approver, Self::Auditor, Self::Operator];

    /// The name that policy documents use; no `Role` document may take it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Author => "author",
            Self::Approver => "approver",
            Self::Auditor => "auditor",
            Self::Operator => "operator",
        }
    }

    /// The role with exactly this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for ControlRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the bindings say about an authenticated token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The principal as Kafka writes it, `User:<name>`.
    pub principal: String,
    /// Human or service.
    pub kind: PrincipalKind,
    /// The bindings that matched, by name, sorted.
    pub bindings: Vec<String>,
    /// The person behind the principal: a service's owner, or the human itself.
    pub owner: String,
    /// The team, if the binding names one.
    pub team: Option<String>,
    /// Data-plane roles, sorted, without repeats.
    pub roles: Vec<RoleId>,
    /// Control-plane roles, sorted, without repeats.
    pub control_roles: Vec<ControlRole>,
    /// Approver groups, sorted, without repeats.
    pub groups: Vec<String>,
}
