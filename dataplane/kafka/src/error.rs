//! What can be wrong with bytes. Whose fault it is follows from where they came: the caller knows whether a client or a
//! broker sent them, except where a variant says so itself.

/// Bytes that are not the message they claim to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{flaw} at byte {at}")]
pub struct Malformed {
    /// What is wrong.
    pub flaw: Flaw,
    /// Offset at which it was noticed, from the start of the slice that was given.
    pub at: usize,
}

/// Kinds of malformation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("input ends inside a field")]
    Truncated,
    #[error("length is negative")]
    LengthNegative,
    #[error("count is larger than what remains can hold, or than the limit")]
    CountOversized,
    #[error("arrays have more elements together than the limit")]
    ElementsOversized,
    #[error("varint is longer than its type allows")]
    VarintOversized,
    #[error("string is not UTF-8")]
    NotUtf8,
    #[error("null where the field may not be null")]
    NullForbidden,
    #[error("presence byte is neither -1 nor 1")]
    PresenceUnknown,
    #[error("tagged fields are not in ascending order")]
    TagsUnordered,
    #[error("tagged field does not fill its announced length")]
    TagLengthWrong,
    #[error("unknown tagged field inside a tagged field")]
    TagNested,
    #[error("bytes remain after the end of the message")]
    BytesLeft,
    #[error("message is nested too deeply")]
    TooDeep,
    #[error("no layout is known for this API and version")]
    LayoutUnknown,
    #[error("text does not follow the grammar of its field")]
    TextInvalid,
    #[error("the decoder disagrees with the checked layout")]
    DecoderDisagrees,
}

/// A frame whose announced length cannot be accepted: the connection has lost its frame boundaries and must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("frame announces a negative length of {length}")]
    LengthNegative { length: i32 },
    #[error("frame of {frame_bytes} bytes is larger than {frame_bytes_max}")]
    Oversized {
        frame_bytes: usize,
        frame_bytes_max: usize,
    },
}

/// A request that cannot be served because of its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("client sent API key {api_key}, which does not exist")]
    ClientApiUnknown {
        api_key: i16,
        api_version: i16,
        correlation_id: i32,
    },
    #[error("client sent API key {api_key}, which is not offered")]
    ClientApiWithheld {
        api_key: i16,
        api_version: i16,
        correlation_id: i32,
    },
    #[error("client sent version {api_version} of API key {api_key}, which is not offered")]
    ClientVersionUnsupported {
        api_key: i16,
        api_version: i16,
        correlation_id: i32,
    },
    #[error("request header: {0}")]
    Malformed(#[from] Malformed),
}

/// A record batch that cannot be read or rewritten. Nothing of it may be passed on where a mask applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("batch has magic {magic}; only 2 is read")]
    MagicUnsupported { magic: i8 },
    #[error("batch announces a length of {batch_length}")]
    LengthInvalid { batch_length: i32 },
    #[error("batch is cut off")]
    Truncated,
    #[error("batch has checksum {stored:#010x}, its bytes have {computed:#010x}")]
    CrcMismatch { stored: u32, computed: u32 },
    #[error("batch announces {announced} records and holds {found}")]
    RecordCountWrong { announced: i32, found: usize },
    #[error("record {ordinal}: {malformed}")]
    RecordMalformed {
        ordinal: usize,
        malformed: Malformed,
    },
    #[error("rewritten batch would take {batch_bytes} bytes")]
    Oversized { batch_bytes: usize },
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Compressed bytes that cannot be turned into records, or records that cannot be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("codec {bits} does not exist")]
    Unknown { bits: u8 },
    #[error("{codec} stream is corrupt")]
    Corrupt { codec: &'static str },
    #[error("{codec} stream decompresses to more than {output_bytes_max} bytes")]
    OutputOversized {
        codec: &'static str,
        output_bytes_max: usize,
    },
    #[error("{codec} cannot compress")]
    CompressFailed { codec: &'static str },
}

/// A cold message that was not decoded or not encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// The message holds something that this version cannot say: our fault, not a peer's.
    #[error("API key {api_key} version {api_version} cannot express this message")]
    Inexpressible { api_key: i16, api_version: i16 },
}
