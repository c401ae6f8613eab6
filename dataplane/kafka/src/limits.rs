//! Every bound of this crate, and the relations between them.

/// Elements in one array of a message; the same cap as a 4.4 broker's own parser.
pub const ARRAY_COUNT_MAX: usize = 1_000_000;

/// Elements in all arrays of one request together, scalars apart, and the tagged fields that were not understood.
///
/// An element may take a byte on the wire and [`ELEMENT_BYTES`] once it is decoded, so this is what bounds the memory of a
/// decoded request: 64 MiB.
pub const REQUEST_ELEMENTS_MAX: usize = 256 * 1024;

/// The same for the response of a broker, which lists whole clusters.
pub const RESPONSE_ELEMENTS_MAX: usize = 4 * REQUEST_ELEMENTS_MAX;

/// What one element of an array takes when it is decoded, about: the structs of the decoder have 40 to 250 bytes.
pub const ELEMENT_BYTES: usize = 256;

/// Bytes of a batch before its first record: base offset through record count.
pub const BATCH_HEADER_BYTES: usize = 61;

/// Bytes of a batch that its own length field does not count: base offset and the length field itself.
pub const BATCH_PREFIX_BYTES: usize = 12;

/// Smallest value of a batch's length field.
pub const BATCH_LENGTH_MIN: i32 = 49;

/// A record holds at least: length, attributes, timestamp delta, offset delta, key length, value length, header count.
pub const RECORD_BYTES_MIN: usize = 7;

/// Bytes that the decompressed records of one batch may take unless the caller says otherwise.
pub const DECOMPRESSED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Largest zstd window accepted, as a power of two (8 MiB: what every decoder must support, RFC 8878 section 3.1.1.1.2).
pub const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// zstd level used when a batch is written again.
pub const ZSTD_LEVEL: i32 = 1;

/// Output is grown in steps of this size while a stream is decompressed, never from a size that the stream announces.
pub const DECOMPRESS_STEP_BYTES: usize = 64 * 1024;

/// A snappy element of two or three bytes yields 64 at the most, so an announced size above this multiple is a lie.
pub const SNAPPY_RATIO_MAX: usize = 32;

/// Input bytes per block of a xerial snappy stream and of an lz4 frame written here.
pub const SNAPPY_BLOCK_BYTES: usize = 32 * 1024;
/// See [`SNAPPY_BLOCK_BYTES`].
pub const LZ4_BLOCK_BYTES: usize = 64 * 1024;

/// Nesting of structs in a message. The tables nest far less; this bounds the walk's stack should one ever refer to itself.
pub const SHAPE_DEPTH_MAX: usize = 16;

const _: () = assert!(BATCH_HEADER_BYTES == BATCH_PREFIX_BYTES + BATCH_LENGTH_MIN as usize);
const _: () = assert!(SNAPPY_BLOCK_BYTES < DECOMPRESSED_BYTES_MAX);
const _: () = assert!(LZ4_BLOCK_BYTES < DECOMPRESSED_BYTES_MAX);
