//! Every bound of this crate.

/// Bytes of one policy document. Below etcd's 1.5 MiB per value, so that each document fits one key.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;
/// Bytes of all sources of one parse.
pub const SOURCES_BYTES_MAX: usize = 256 << 20;
/// Documents of one policy set.
pub const DOCUMENTS_COUNT_MAX: usize = 200_000;
/// Nesting of sequences and mappings in a document; the deepest legal one has seven.
pub const NESTING_MAX: usize = 24;
/// Nodes of one document.
pub const NODES_COUNT_MAX: usize = 1 << 18;
/// Problems reported in one run.
pub const PROBLEMS_COUNT_MAX: usize = 1_000;
/// Violations reported in one run.
pub const VIOLATIONS_COUNT_MAX: usize = 1_000;

/// Bytes of a document's name.
pub const NAME_BYTES_MAX: usize = 249;
/// Bytes of a topic name (Kafka's own limit).
pub const TOPIC_BYTES_MAX: usize = 249;
/// Bytes of a group id or transactional id in a pattern.
pub const PATTERN_BYTES_MAX: usize = 1_024;
/// Bytes of any other text: a claim, a URL, a field path.
pub const TEXT_BYTES_MAX: usize = 4_096;

/// Masks that may match one topic; a combination of them is one bit each.
pub const TOPIC_MASKS_COUNT_MAX: usize = 16;
/// Bindings that may state the same principal; their unions are enumerated.
pub const PRINCIPAL_BINDINGS_COUNT_MAX: usize = 6;
/// Distinct combinations of masks.
pub const MASK_PLANS_COUNT_MAX: usize = 4_096;
/// Distinct combinations of topic classes.
pub const CLASSES_COUNT_MAX: usize = 16_384;
/// Approval rules.
pub const APPROVAL_RULES_COUNT_MAX: usize = 16_384;
/// Milliseconds of a duration: 1,000 years.
pub const DURATION_MS_MAX: u64 = 1_000 * 365 * 24 * 3_600 * 1_000;

/// Roles that are looked at to say of a denial who would have been allowed.
pub const NEAREST_ROLES_COUNT_MAX: u32 = 4_096;
/// Bytes of compiled tables.
pub const TABLES_BYTES_MAX: usize = 512 << 20;

const _: () = {
    assert!(DOCUMENT_BYTES_MAX < 1_500_000);
    assert!(TOPIC_MASKS_COUNT_MAX <= u16::BITS as usize);
    // Ids are 16 bits, and 0 says "none".
    assert!(MASK_PLANS_COUNT_MAX < u16::MAX as usize);
    assert!(CLASSES_COUNT_MAX < u16::MAX as usize);
    assert!(APPROVAL_RULES_COUNT_MAX < u16::MAX as usize);
    // Offsets into the tables are 32 bits.
    assert!(TABLES_BYTES_MAX <= u32::MAX as usize);
    assert!(NAME_BYTES_MAX <= TEXT_BYTES_MAX && PATTERN_BYTES_MAX <= TEXT_BYTES_MAX);
    assert!(DURATION_MS_MAX < i64::MAX as u64);
};
