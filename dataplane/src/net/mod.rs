//! Sockets over raw descriptors, and one readiness driver per shard.
//!
//! glommio's own sockets ask the kernel once per read whether they may read; here each descriptor is
//! registered once and edges are collected for the whole shard in one go (a *round*). Everything runs as
//! plain glommio tasks. `unsafe` lives in `sys` (system calls) and `uring` (the private ring) only.

pub mod bell;
pub mod driver;
pub mod listen;
mod registered;
pub mod sock;
pub mod stream;
mod sys;
pub mod tls;
mod uring;

pub use bell::{Bell, BellWatch};
pub use driver::{Driver, DriverOptions, Readiness, reactor_yield};
pub use listen::Listener;
pub(crate) use registered::Waiters;
pub use sock::Sock;
pub use stream::{Arrived, Stream};
pub use tls::{TlsRole, TlsSock};
