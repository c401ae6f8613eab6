//! What can go wrong with evidence, and whose fault it is.

use std::path::PathBuf;

/// One enum for the crate. `Record*` is the caller that writes, `Operator*` the keys and directories that were given,
/// `Stored*` what lies on disk or came from elsewhere and is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The item does not fit this record; finish it and go on in another one (with the next `part`).
    #[error("evidence record is full")]
    RecordFull,
    /// A text is longer than its limit; the caller cuts it, visibly, before recording.
    #[error("{field} of an evidence record is {bytes} bytes long, more than {bytes_max}")]
    RecordTextOversized {
        /// Which text.
        field: &'static str,
        /// Its length.
        bytes: usize,
        /// Its limit.
        bytes_max: usize,
    },
    /// A leaf is empty or longer than an entry of a bundle can be.
    #[error("evidence leaf is {bytes} bytes long, not 1 to 65535")]
    RecordLeafLength {
        /// Its length.
        bytes: usize,
    },
    /// Frames handed over for ingestion are not whole.
    #[error("evidence frames are malformed at byte {at}")]
    RecordFramesMalformed {
        /// Where.
        at: usize,
    },
    /// The bytes are not an evidence record.
    #[error("stored evidence record is malformed at byte {at}: {flaw}")]
    StoredRecordMalformed {
        /// What is wrong.
        flaw: &'static str,
        /// Offset in the leaf.
        at: usize,
    },
    /// The bytes are not a signed note, checkpoint, proof or tile.
    #[error("stored {what} is malformed: {flaw}")]
    StoredMalformed {
        /// Which format.
        what: &'static str,
        /// What is wrong.
        flaw: &'static str,
    },
    /// A signature of a known key does not verify.
    #[error("signature by {name} does not verify")]
    StoredSignatureWrong {
        /// Key name.
        name: String,
    },
    /// No known key signed the note.
    #[error("no signature by a known key")]
    StoredSignatureMissing,
    /// A tile that the tree needs does not exist.
    #[error("stored tile {path} is missing")]
    StoredTileMissing {
        /// Its path in the log.
        path: String,
    },
    /// Tiles do not hash to the root of the checkpoint.
    #[error("stored tiles do not hash to the root that the checkpoint of size {size} signs")]
    StoredRootMismatch {
        /// Size of the checkpoint's tree.
        size: u64,
    },
    /// An inclusion proof does not lead to the root.
    #[error("inclusion proof does not lead to the checkpoint's root")]
    StoredProofWrong,
    /// A leaf index at or past the end of the tree.
    #[error("leaf {index} is not in a tree of size {size}")]
    StoredLeafAbsent {
        /// The index asked for.
        index: u64,
        /// Size of the tree.
        size: u64,
    },
    /// A checkpoint was signed for leaves that are nowhere any more. The log must not go on: it would contradict itself.
    #[error("evidence is lost: the checkpoint signs {signed} leaves, only {found} can be rebuilt")]
    StoredEvidenceLost {
        /// Size of the signed tree.
        signed: u64,
        /// Leaves found.
        found: u64,
    },
    /// A key name, origin or key text that is not allowed.
    #[error("operator's key or origin is malformed: {flaw}")]
    OperatorKeyMalformed {
        /// What is wrong.
        flaw: &'static str,
    },
    /// The log in the directory belongs to another origin or key.
    #[error("log directory belongs to {found}, not to {expected}")]
    OperatorLogForeign {
        /// Origin in the directory.
        found: String,
        /// Origin of the key that was given.
        expected: String,
    },
    /// Two writers opened one log directory, or a segment exists already.
    #[error("log directory is in use: {path}")]
    OperatorLogInUse {
        /// The file that says so.
        path: PathBuf,
    },
    /// A segment has no room for the frames; seal it and open the next one.
    #[error("segment is full")]
    SegmentFull,
    /// The file system refused.
    #[error("cannot {doing} {path}: {source}")]
    OperatorFile {
        /// What was attempted.
        doing: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}
