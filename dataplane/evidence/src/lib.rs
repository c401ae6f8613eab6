//! What happened, for an auditor: evidence records in a transparency log that anybody can verify offline.
//!
//! ```text
//! record ──► frame ──► segment (write-ahead: what makes a receipt `written`)
//!                         │ journal thread, off the hot path
//!                         ▼
//!                      LogBuilder ──► tiles, entry bundles ──► signed checkpoint
//!                                                                  │
//!                      verify ◄────────────────────────────────────┘
//! ```
//!
//! One log per shard, one leaf per record. The formats are public: the Merkle tree of RFC 6962 section 2.1, and C2SP's
//! `signed-note`, `tlog-checkpoint`, `tlog-cosignature`, `tlog-tiles` and `tlog-proof`; other people's tools read them.
//!
//! Everything but [`files`] is pure: no I/O, clock, randomness or global state.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::unreachable
    )
)]

mod checkpoint;
mod codec;
mod error;
pub mod files;
mod keys;
pub mod limits;
mod log;
mod note;
mod proof;
mod record;
pub mod segment;
mod tile;
mod tree;
pub mod verify;

pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use codec::{Items, Record, RecordWriter};
pub use error::Error;
pub use keys::{SigningKey, VerifierKey};
pub use log::LogBuilder;
pub use note::Note;
pub use proof::{Proof, prove};
pub use record::{Api, Item, ItemFlags, Kind, NONE, RecordHead, Revision, SessionId};
pub use tile::{TileId, TileKind, TileSink, TileSource, Tiles};
pub use tree::{Frontier, Hash, leaf_hash, node_hash};
