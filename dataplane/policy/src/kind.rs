//! The kinds of policy documents.

/// What a document describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An identity provider.
    Issuer,
    /// Permissions.
    Role,
    /// Claims to principal to roles.
    Binding,
    /// What topics demand.
    TopicClass,
    /// Fields to replace.
    Mask,
    /// Duties to keep apart.
    Conflict,
    /// How a grant is given.
    ApprovalRule,
    /// Brokers.
    Cluster,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Issuer,
        Self::Role,
        Self::Binding,
        Self::TopicClass,
        Self::Mask,
        Self::Conflict,
        Self::ApprovalRule,
        Self::Cluster,
    ];

    /// The name that policy documents use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Issuer => "Issuer",
            Self::Role => "Role",
            Self::Binding => "Binding",
            Self::TopicClass => "TopicClass",
            Self::Mask => "Mask",
            Self::Conflict => "Conflict",
            Self::ApprovalRule => "ApprovalRule",
            Self::Cluster => "Cluster",
        }
    }

    /// The kind with exactly this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
