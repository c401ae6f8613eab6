//! Every bound of this crate, and the relations between them.

/// The longest leaf: an entry of a tlog-tiles bundle has a 16-bit length.
pub const LEAF_BYTES_MAX: usize = 65_535;

/// The longest text in a record's head (principal, client id, peer, reason code, reason, denial id). Callers cut before.
pub const HEAD_TEXT_BYTES_MAX: usize = 4_096;

/// Texts in a record's head.
pub const HEAD_TEXT_COUNT: usize = 6;

/// The longest resource name: Kafka's strings have a 16-bit signed length.
pub const RESOURCE_BYTES_MAX: usize = 32_767;

/// The longest mask plan or reason code of one item.
pub const ITEM_TEXT_BYTES_MAX: usize = 256;

/// All that a record's head or an item holds besides its texts, keys and lengths included.
pub const FIXED_BYTES_MAX: usize = 256;

/// The longest signed note that is parsed: a checkpoint with many cosignatures.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;

/// Signatures on one note (signed-note wants at least 16).
pub const NOTE_SIGNATURES_MAX: usize = 100;

/// The longest key name, which is also the longest origin.
pub const KEY_NAME_BYTES_MAX: usize = 255;

/// The longest inclusion proof: one hash per level of the largest tree.
pub const PROOF_HASHES_MAX: usize = 64;

/// Hashes in a full tile, and entries in a full bundle (tlog-tiles).
pub const TILE_WIDTH: usize = 256;

/// Levels of the tree that one tile covers: `TILE_WIDTH` is two to this power.
pub const TILE_HEIGHT: u8 = 8;

/// Bytes of one hash.
pub const HASH_BYTES: usize = 32;

/// The largest entry bundle.
pub const BUNDLE_BYTES_MAX: usize = TILE_WIDTH * (2 + LEAF_BYTES_MAX);

/// Before each leaf in a segment: its length and its checksum.
pub const FRAME_HEADER_BYTES: usize = 8;

/// Size of a segment file unless its creator asks for another one.
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;

/// The largest segment that is read back.
pub const SEGMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Problems, and notices, that a verification lists; more are counted.
pub const FINDINGS_COUNT_MAX: usize = 1_000;

/// Intents without outcome that a verification remembers at once; past it, it says so.
pub const OPEN_INTENTS_COUNT_MAX: usize = 1_000_000;

// A record with one item always fits a leaf, so "full" is always answered by another record.
const _: () = assert!(
    HEAD_TEXT_COUNT * HEAD_TEXT_BYTES_MAX
        + RESOURCE_BYTES_MAX
        + 2 * ITEM_TEXT_BYTES_MAX
        + 2 * FIXED_BYTES_MAX
        <= LEAF_BYTES_MAX
);
const _: () = assert!(1 << TILE_HEIGHT == TILE_WIDTH);
const _: () = assert!(SEGMENT_BYTES_DEFAULT <= SEGMENT_BYTES_MAX);
const _: () = assert!((LEAF_BYTES_MAX + FRAME_HEADER_BYTES) as u64 <= SEGMENT_BYTES_DEFAULT);
