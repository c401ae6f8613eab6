//! The layout of compiled policy: what travels on the control stream, and what a shard reads in place.
//!
//! ```text
//! magic 8 | format u32 | crc32c u32 of all that follows | length u64 | incarnation u64 | number u64
//! directory: length u32 per section, in the order of `Section`
//! sections, one after the other, without gaps
//! ```
//! All numbers are little-endian. A *text* is (offset, length) into `Text`. A *range* is (first, count) of rows; ranges
//! into one section lie one after the other in the order in which rows refer to them, so that a check of all rows is
//! linear whatever the bytes say. Values that may be missing are stored plus one; 0 is "none".

/// The first bytes of compiled policy.
pub(crate) const MAGIC: [u8; 8] = *b"SLUICEPT";
/// Changes with the layout, or with the meaning of a field.
pub(crate) const FORMAT: u32 = 1;
/// Bytes before the directory.
pub(crate) const HEADER_BYTES: usize = 40;
/// Where the checksum stands; it covers everything behind it.
pub(crate) const CHECKSUM_AT: usize = 12;
/// `retention_min_ms` of an immutable class that keeps for ever.
pub(crate) const RETENTION_FOREVER: u64 = u64::MAX;

/// The sections, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Section {
    /// Bytes, UTF-8.
    Text,
    /// text: every literal name of a resource, sorted, without repeats. The row is the name's id.
    Names,
    /// exact range, bucket range, any value: what patterns say about one kind of resource. Row 0 matches nothing.
    Patterns,
    /// name id, value: sorted by id within one pattern row.
    Exact,
    /// prefix bytes, prefix range: one length of prefixes; longest first within one pattern row.
    Buckets,
    /// text offset, value: sorted by the prefix's bytes within one bucket.
    Prefixes,
    /// name text, topic, group, transactional id and clear patterns, cluster operations, operations on some topic.
    Roles,
    /// names text, flags, approval rule + 1, retention u64. Row 0: no class.
    Classes,
    /// name text, shape, domain text, range of targets into `Strings`: see [`crate::MaskTarget`].
    Masks,
    /// mask range into `Ids`.
    Plans,
    /// full plan, kept masks as bits of its list, plan: sorted by the first two.
    Derived,
    /// mask range into `Ids`: what a role clears somewhere.
    Clears,
    /// name text, quorum text, quorum count, hold u64, timeout u64, lasts u64.
    ApprovalRules,
    /// name, url, audience, principal claim, groups claim: texts; an empty groups claim is none.
    Issuers,
    /// issuer, name, principal, owner, team texts, flags, claim range and group range into `Strings`, role range into `Ids`.
    /// Sorted by issuer.
    Bindings,
    /// name text, duties as bits, over, scope.
    Conflicts,
    /// u32.
    Ids,
    /// text.
    Strings,
}

impl Section {
    pub(crate) const ALL: [Self; 18] = [
        Self::Text,
        Self::Names,
        Self::Patterns,
        Self::Exact,
        Self::Buckets,
        Self::Prefixes,
        Self::Roles,
        Self::Classes,
        Self::Masks,
        Self::Plans,
        Self::Derived,
        Self::Clears,
        Self::ApprovalRules,
        Self::Issuers,
        Self::Bindings,
        Self::Conflicts,
        Self::Ids,
        Self::Strings,
    ];

    /// How many u32 a row has; a u64 is two. `Text` has bytes for rows.
    pub(crate) const fn row_words(self) -> usize {
        match self {
            Self::Text | Self::Ids => 1,
            Self::Names
            | Self::Exact
            | Self::Prefixes
            | Self::Plans
            | Self::Clears
            | Self::Strings => 2,
            Self::Buckets | Self::Derived => 3,
            Self::Patterns | Self::Conflicts => 5,
            Self::Classes => 6,
            Self::Masks => 7,
            Self::Roles => 8,
            Self::Issuers => 10,
            Self::ApprovalRules => 11,
            Self::Bindings => 17,
        }
    }

    /// Bytes of one row.
    pub(crate) const fn row_bytes(self) -> usize {
        match self {
            Self::Text => 1,
            _ => self.row_words() * 4,
        }
    }
}

/// The row of `Patterns` that matches nothing.
pub(crate) const NO_PATTERNS: u32 = 0;
/// The row of `Patterns` that gives a topic its class id.
pub(crate) const CLASS_PATTERNS: u32 = 1;
/// The row of `Patterns` that gives a topic its full mask plan, plus one.
pub(crate) const MASK_PATTERNS: u32 = 2;

/// Where the first section starts.
pub(crate) const SECTIONS_AT: usize = HEADER_BYTES + Section::ALL.len() * 4;

/// Columns of `Patterns`.
pub(crate) mod patterns {
    pub(crate) const EXACT: usize = 0;
    pub(crate) const BUCKETS: usize = 2;
    pub(crate) const ANY: usize = 4;
}

/// Columns of `Roles`.
pub(crate) mod roles {
    pub(crate) const NAME: usize = 0;
    pub(crate) const TOPICS: usize = 2;
    pub(crate) const GROUPS: usize = 3;
    pub(crate) const TRANSACTIONAL_IDS: usize = 4;
    pub(crate) const CLEARS: usize = 5;
    pub(crate) const CLUSTER: usize = 6;
    /// Allowed on some topic, in the low half; denied on every topic, in the high half.
    pub(crate) const SOME_TOPIC: usize = 7;
}

/// Columns and flags of `Classes`.
pub(crate) mod classes {
    pub(crate) const NAMES: usize = 0;
    pub(crate) const FLAGS: usize = 2;
    pub(crate) const APPROVAL: usize = 3;
    pub(crate) const RETENTION: usize = 4;
    pub(crate) const IMMUTABLE: u32 = 1;
    pub(crate) const PROTECTED: u32 = 2;
    pub(crate) const PERSONAL: u32 = 4;
    /// The durability stands in these bits: 0 queued, 1 written, 2 synced.
    pub(crate) const DURABILITY_SHIFT: u32 = 8;
    pub(crate) const FLAGS_ALL: u32 = IMMUTABLE | PROTECTED | PERSONAL | (3 << DURABILITY_SHIFT);
}

/// Columns of `Masks`.
pub(crate) mod masks {
    pub(crate) const NAME: usize = 0;
    /// The shape in the low byte, and a flag.
    pub(crate) const SHAPE: usize = 2;
    pub(crate) const LENGTH_SAME: u32 = 1 << 8;
    pub(crate) const DOMAIN: usize = 3;
    pub(crate) const TARGETS: usize = 5;
}

/// Columns of `ApprovalRules`.
pub(crate) mod approvals {
    pub(crate) const NAME: usize = 0;
    pub(crate) const QUORUM_OF: usize = 2;
    pub(crate) const QUORUM_COUNT: usize = 4;
    pub(crate) const HOLD: usize = 5;
    pub(crate) const TIMEOUT: usize = 7;
    pub(crate) const LASTS: usize = 9;
}

/// Columns of `Issuers`.
pub(crate) mod issuers {
    pub(crate) const NAME: usize = 0;
    pub(crate) const URL: usize = 2;
    pub(crate) const AUDIENCE: usize = 4;
    pub(crate) const PRINCIPAL_CLAIM: usize = 6;
    pub(crate) const GROUPS_CLAIM: usize = 8;
}

/// Columns and flags of `Bindings`.
pub(crate) mod bindings {
    pub(crate) const ISSUER: usize = 0;
    pub(crate) const NAME: usize = 2;
    pub(crate) const PRINCIPAL: usize = 4;
    pub(crate) const OWNER: usize = 6;
    pub(crate) const TEAM: usize = 8;
    pub(crate) const FLAGS: usize = 10;
    pub(crate) const CLAIMS: usize = 11;
    pub(crate) const GROUPS: usize = 13;
    pub(crate) const ROLES: usize = 15;
    pub(crate) const HUMAN: u32 = 1;
    /// Control-plane roles stand above this bit, in the order of `ControlRole::ALL`.
    pub(crate) const CONTROL_ROLES_SHIFT: u32 = 8;
}

/// Columns of `Conflicts`.
pub(crate) mod conflict_rows {
    pub(crate) const NAME: usize = 0;
    pub(crate) const DUTIES: usize = 2;
    pub(crate) const OVER: usize = 3;
    pub(crate) const SCOPE: usize = 4;
}
