//! The hot APIs, read in place.
//!
//! `parse` validates a frame to its last byte; after it, iteration borrows from the frame and allocates nothing. All four
//! messages have the same skeleton (topics by name or by id, each with partitions), so [`Topics`] and [`Partitions`] walk them all
//! and only the partition differs.

pub mod fetch;
pub mod fetch_response;
mod fetch_stream;
mod merge;
pub mod produce;
pub mod produce_response;
mod topics;

pub use fetch::{FetchLayout, FetchPartition, FetchPatch, FetchRequest};
pub use fetch_response::{FetchResponse, FetchedPartition, RecordsVerdict};
pub use fetch_stream::{FetchPart, FetchStream};
pub use merge::{Denial, MergeEntry};
pub use produce::{ProducePartition, ProduceRequest};
pub use produce_response::{ProduceResponse, ProducedPartition};
pub use topics::{CountField, Layout, PartitionView, Partitions, Topic, TopicKey, Topics};
