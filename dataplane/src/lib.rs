//! The gateway's shell: it touches sockets, cores, threads and clocks, and decides nothing about policy.
//!
//! One glommio executor per core (a *shard*) owns its sessions. Threads talk through the mailbox, bounded
//! queues and bells (an eventfd in the shard's readiness set), never through locks on the path of a request.
#![deny(unsafe_code)] // lifted for system calls and the private ring in `net`, and for the journal's mapping

pub mod accept;
mod broker;
mod buffers;
pub mod clock;
pub mod config;
mod control;
mod gateway;
mod journal;
mod kick;
mod ledger;
pub mod limits;
mod listeners;
pub mod mailbox;
mod metrics;
pub mod net;
mod pump;
pub mod shard;
mod shard_state;
#[cfg(feature = "stages")]
pub mod stages;

pub use gateway::{Gateway, GatewayError};
pub use metrics::Metrics;

/// Whether this build can forward without evidence: for benchmarks (`stages`). The product does not compile with it.
pub const FORWARDS_WITHOUT_EVIDENCE: bool = cfg!(feature = "stages");
