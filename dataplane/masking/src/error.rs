//! What can go wrong, and whose doing it is.

use thiserror::Error;

/// Why a value cannot be masked. `Client…` is the doing of whoever produced it (reject), `Limit…` a bound of ours
/// (refuse). `at` counts bytes from the start of the value. Holds no payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unmaskable {
    /// The value is empty (not null), or ends within a document.
    #[error("value ends at byte {at}, before its JSON document does")]
    ClientTruncated { at: u32 },
    /// Not a JSON text: the grammar of RFC 8259 is broken here.
    #[error("value is not JSON at byte {at}")]
    ClientNotJson { at: u32 },
    /// Bytes follow the document: a consumer may read another document than the one that was masked.
    #[error("value goes on at byte {at} after its JSON document")]
    ClientTrailingBytes { at: u32 },
    /// Not UTF-8 (RFC 8259, 8.1), or starts with a byte order mark, or holds NUL bytes as UTF-16 and UTF-32 do.
    #[error("value is not plain UTF-8 at byte {at}")]
    ClientNotUtf8 { at: u32 },
    /// A bad escape or half a surrogate pair.
    #[error("value has an invalid escape near byte {at}")]
    ClientBadEscape { at: u32 },
    /// A bare string, number or literal has no fields, so whether it holds what a rule names cannot be told.
    #[error("value is neither a JSON object nor an array")]
    ClientBareScalar,
    /// Schema-registry framing (byte 0, 4-byte schema id) around something other than JSON, such as Avro.
    #[error("value is framed by a schema registry and is not JSON")]
    ClientFramedNotJson,
    /// More bytes than [`crate::limits::VALUE_BYTES_MAX`].
    #[error("value exceeds the limit of bytes")]
    LimitValueBytes,
    /// Deeper than [`crate::limits::DEPTH_MAX`].
    #[error("value exceeds the limit of depth at byte {at}")]
    LimitDepth { at: u32 },
    /// More masked fields than [`crate::limits::FIELDS_MAX`].
    #[error("value exceeds the limit of masked fields")]
    LimitFields,
}

impl Unmaskable {
    /// A short, constant name for metrics and evidence, and the word that a [`crate::placeholder`] shows.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Unmaskable::ClientTruncated { .. }
            | Unmaskable::ClientNotJson { .. }
            | Unmaskable::ClientTrailingBytes { .. }
            | Unmaskable::ClientNotUtf8 { .. }
            | Unmaskable::ClientBadEscape { .. }
            | Unmaskable::ClientBareScalar => "unparsable",
            Unmaskable::ClientFramedNotJson => "unknown-format",
            Unmaskable::LimitValueBytes
            | Unmaskable::LimitDepth { .. }
            | Unmaskable::LimitFields => "over-limit",
        }
    }
}

/// A field path that cannot be used. The operator wrote it; the text says where and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("field path `{path}`, position {at}: {fault}")]
pub struct PathError {
    /// The path as it was given, shortened to [`crate::limits::PATH_BYTES_MAX`] bytes.
    pub path: String,
    /// Characters before the fault, counted from 0.
    pub at: usize,
    /// What is wrong and what to write instead.
    pub fault: &'static str,
}

/// A set of rules that is not a plan.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// A mask without fields would look like masking and mask nothing.
    #[error("a mask needs at least one field")]
    OperatorRulesMissing,
    /// More rules than [`crate::limits::RULES_MAX`].
    #[error(
        "{count} mask rules on one topic, at most {} are possible",
        crate::limits::RULES_MAX
    )]
    OperatorRulesTooMany { count: usize },
    /// The path of rule number `rule` (from 0).
    #[error("mask rule {rule}: {fault}")]
    OperatorPath { rule: usize, fault: PathError },
    /// More names than [`crate::limits::KEYS_MAX`], or more states or work than the limits beside it.
    #[error(
        "mask rules are too intertwined: {exceeded} exceeded; use fewer `..` and `[*]` in one path"
    )]
    OperatorPlanOversized { exceeded: &'static str },
    /// The key ring has no key for a domain that a rule names: the control plane has not sent it.
    #[error("mask rule {rule}: no key for domain `{domain}`")]
    ControlKeyMissing { rule: usize, domain: String },
    /// A key of another length than 32 bytes.
    #[error("mask key of domain `{domain}` has {bytes} bytes, not 32")]
    ControlKeyLength { domain: String, bytes: usize },
    /// An empty domain, or one of more than [`crate::limits::DOMAIN_BYTES_MAX`] bytes.
    #[error(
        "the name of a key domain has 1 to {} bytes, not {bytes}",
        crate::limits::DOMAIN_BYTES_MAX
    )]
    OperatorDomainLength { bytes: usize },
}

/// A masked value in which a second parser found a named field that holds no token. It is our fault, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a masked value still holds a clear field for rule {rule}")]
pub struct Survivor {
    /// Index into the paths that were given.
    pub rule: usize,
}
