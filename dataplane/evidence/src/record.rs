//! What one evidence record says. `codec` turns it into a leaf and back.

use std::fmt;

/// "No value" in an [`Item`]'s offsets, sequences, epochs and partition, as Kafka itself writes it.
pub const NONE: i64 = -1;

/// What all kinds of record have in common. Texts are borrowed; unset ones are empty, unset numbers zero or `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordHead<'a> {
    /// What happened.
    pub kind: Kind,
    /// 0, or the place of this record among several that carry the items of one fact.
    pub part: u32,
    /// Nanoseconds since 1970-01-01 UTC, from the clock of who records.
    pub time_unix_ns: u64,
    /// The session, or zero for a fact that belongs to none.
    pub session: SessionId,
    /// Which request of the session, from 1; 0 for the session itself.
    pub sequence: u64,
    /// For an outcome: the sequence of the intent that it answers.
    pub answers: Option<u64>,
    /// The authenticated who, such as `User:alice`.
    pub principal: &'a str,
    /// The name that the client gives itself: a label, never evidence of identity.
    pub client_id: &'a str,
    /// Address of the other end, as text.
    pub peer: &'a str,
    /// The Kafka request kind, if there is one.
    pub api: Option<Api>,
    /// The snapshot under which this was decided.
    pub revision: Revision,
    /// A stable word: why a deny, reject or refuse, or how a lifecycle fact came about.
    pub reason_code: &'a str,
    /// The same for people.
    pub reason: &'a str,
    /// What the client was told to quote when it asks why.
    pub denial_id: &'a str,
}

/// What a record says happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum Kind {
    /// A client connected.
    SessionOpened = 1,
    /// The session has a principal.
    Authenticated = 2,
    /// Credentials did not verify.
    AuthenticationFailed = 3,
    /// A request was permitted and is about to be forwarded.
    #[default]
    Intent = 4,
    /// What the broker answered, and what was delivered of it.
    Outcome = 5,
    /// Policy said no.
    Denied = 6,
    /// Bytes were malformed, unknown or unsupported.
    Rejected = 7,
    /// There was no room.
    Refused = 8,
    /// A person was asked.
    ApprovalAsked = 9,
    /// A person answered, or nobody did in time.
    ApprovalDecided = 10,
    /// A snapshot was put in force.
    PolicyApplied = 11,
    /// The connection ended.
    SessionClosed = 12,
    /// Nothing else happened; the log is alive.
    Heartbeat = 13,
    /// What is allowed was changed in the control plane.
    ControlChange = 14,
    /// A log was opened, after a drain or after a crash.
    LogOpened = 15,
    /// A log was drained and closed.
    LogClosed = 16,
    /// Something that nobody should have to explain: an offset without receipt, a drifted configuration.
    Alarm = 17,
}

impl Kind {
    /// All kinds, in the order of their codes.
    pub const ALL: [Self; 17] = [
        Self::SessionOpened,
        Self::Authenticated,
        Self::AuthenticationFailed,
        Self::Intent,
        Self::Outcome,
        Self::Denied,
        Self::Rejected,
        Self::Refused,
        Self::ApprovalAsked,
        Self::ApprovalDecided,
        Self::PolicyApplied,
        Self::SessionClosed,
        Self::Heartbeat,
        Self::ControlChange,
        Self::LogOpened,
        Self::LogClosed,
        Self::Alarm,
    ];

    /// The kind with this code in a leaf.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.code() == code)
    }

    /// Its code in a leaf.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Its name, as in JSON and in searches.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SessionOpened => "SessionOpened",
            Self::Authenticated => "Authenticated",
            Self::AuthenticationFailed => "AuthenticationFailed",
            Self::Intent => "Intent",
            Self::Outcome => "Outcome",
            Self::Denied => "Denied",
            Self::Rejected => "Rejected",
            Self::Refused => "Refused",
            Self::ApprovalAsked => "ApprovalAsked",
            Self::ApprovalDecided => "ApprovalDecided",
            Self::PolicyApplied => "PolicyApplied",
            Self::SessionClosed => "SessionClosed",
            Self::Heartbeat => "Heartbeat",
            Self::ControlChange => "ControlChange",
            Self::LogOpened => "LogOpened",
            Self::LogClosed => "LogClosed",
            Self::Alarm => "Alarm",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Kind {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.name() == name)
            .ok_or(())
    }
}

/// Names one session; 32 hexadecimal digits as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SessionId(pub u128);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A Kafka request kind and the version in which it was spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Api {
    /// Kafka's `ApiKey`.
    pub key: i16,
    /// Its version.
    pub version: i16,
}

/// Orders snapshots; a new store incarnation starts its numbers afresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Revision {
    /// Which store.
    pub incarnation: u64,
    /// Which change of it.
    pub number: u64,
}

/// One resource that a record speaks of: a topic-partition with an interval of offsets, a group, a transactional id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// Kafka's `AclOperation` code: 3 Read, 4 Write, 5 Create, ...
    pub operation: u8,
    /// Kafka's `ResourceType` code: 2 Topic, 3 Group, 4 Cluster, 5 TransactionalId, ...
    pub resource_kind: u8,
    /// Its name.
    pub resource: &'a str,
    /// Kafka's topic id: a topic that was recreated under an old name is another topic.
    pub topic_id: Option<[u8; 16]>,
    /// Partition, or -1.
    pub partition: i32,
    /// First offset asked, written or delivered, or -1.
    pub first_offset: i64,
    /// Last offset written or delivered (inclusive), or -1.
    pub last_offset: i64,
    /// Kafka records in the interval, as the batch headers count them.
    pub records_count: u32,
    /// Kafka's error code of the answer.
    pub error_code: i16,
    /// Producer id of a batch, or -1.
    pub producer_id: i64,
    /// Producer epoch of a batch, or -1.
    pub producer_epoch: i16,
    /// First sequence of a batch, or -1.
    pub base_sequence: i32,
    /// CRC-32C that a batch's header carries: after a failover the same offset may name another batch.
    pub batch_crc: Option<u32>,
    /// The mask plan in force, by name; empty when the payload stays clear.
    pub mask_plan: &'a str,
    /// Fields that were replaced.
    pub masked_fields_count: u32,
    /// Why this resource was denied, if it was.
    pub reason_code: &'a str,
    /// What else is to be said.
    pub flags: ItemFlags,
}

impl Default for Item<'_> {
    fn default() -> Self {
        Self {
            operation: 0,
            resource_kind: 0,
            resource: "",
            topic_id: None,
            partition: -1,
            first_offset: NONE,
            last_offset: NONE,
            records_count: 0,
            error_code: 0,
            producer_id: NONE,
            producer_epoch: -1,
            base_sequence: -1,
            batch_crc: None,
            mask_plan: "",
            masked_fields_count: 0,
            reason_code: "",
            flags: ItemFlags::EMPTY,
        }
    }
}

/// A set of statements about an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ItemFlags(u32);

impl ItemFlags {
    /// Nothing more to say.
    pub const EMPTY: Self = Self(0);
    /// The interval left the gateway towards the client. Whether anybody consumed it is not known to anybody here.
    pub const DELIVERED: Self = Self(1);
    /// The producer asked for no acknowledgement (acks=0): nobody knows whether the broker has it.
    pub const UNACKNOWLEDGED: Self = Self(1 << 1);
    /// The offsets are not known (acks=0, or a duplicate that the broker answered with -1).
    pub const OFFSETS_UNKNOWN: Self = Self(1 << 2);
    /// This resource was denied while others of the same request were allowed.
    pub const DENIED: Self = Self(1 << 3);
    /// A role that reads through the mask was used.
    pub const CLEAR: Self = Self(1 << 4);
    /// A grant was used.
    pub const GRANTED: Self = Self(1 << 5);
    /// The connection ended before the last byte: the interval is what may have been delivered at the most.
    pub const PARTIAL: Self = Self(1 << 6);
    /// The batch belongs to a transaction.
    pub const TRANSACTIONAL: Self = Self(1 << 7);

    const NAMES: [(Self, &'static str); 8] = [
        (Self::DELIVERED, "delivered"),
        (Self::UNACKNOWLEDGED, "unacknowledged"),
        (Self::OFFSETS_UNKNOWN, "offsets unknown"),
        (Self::DENIED, "denied"),
        (Self::CLEAR, "clear"),
        (Self::GRANTED, "granted"),
        (Self::PARTIAL, "partial"),
        (Self::TRANSACTIONAL, "transactional"),
    ];

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is said.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Their bits in a leaf.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set with these bits; bits without a meaning yet are kept.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The words, as in JSON.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .iter()
            .filter(move |(flag, _)| self.contains(*flag))
            .map(|(_, name)| *name)
    }
}

/// Kafka's name for an `AclOperation` code.
pub(crate) fn operation_name(code: u8) -> &'static str {
    match code {
        3 => "Read",
        4 => "Write",
        5 => "Create",
        6 => "Delete",
        7 => "Alter",
        8 => "Describe",
        9 => "ClusterAction",
        10 => "DescribeConfigs",
        11 => "AlterConfigs",
        12 => "IdempotentWrite",
        13 => "CreateTokens",
        14 => "DescribeTokens",
        15 => "TwoPhaseCommit",
        _ => "Unknown",
    }
}

/// Kafka's name for a `ResourceType` code.
pub(crate) fn resource_kind_name(code: u8) -> &'static str {
    match code {
        2 => "Topic",
        3 => "Group",
        4 => "Cluster",
        5 => "TransactionalId",
        6 => "DelegationToken",
        7 => "User",
        _ => "Unknown",
    }
}
