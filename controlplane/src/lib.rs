//! The control plane: administer, validate, store, publish; ask, approve, grant; collect, index, search.
//!
//! ```text
//! people ──token──► admin, web ──► control ──► administer ──► store ──► in_force ──► publish ──► gateways
//!                                     │              │
//!                                     ├──► approve ──┴──► changes ──► archive ◄── link ◄── gateways
//!                                     └──► index ◄─────────────────────┘
//! ```
//! Every call carries a token; every change is evidence before it is an effect. See [`serve`].
#![forbid(unsafe_code)]

mod admin;
pub mod administer;
pub mod approve;
pub mod archive;
pub mod changes;
pub mod clock;
pub mod config;
mod control;
pub mod error;
pub mod identity;
pub mod in_force;
pub mod index;
pub mod keys;
pub mod limits;
mod link;
pub mod publish;
mod random;
mod serve;
pub mod store;
mod web;

pub use self::serve::{Running, serve};

/// Service stubs, for servers here and for clients elsewhere; the messages are `sluice_proto::v1`.
#[allow(missing_debug_implementations, unreachable_pub, clippy::all)]
pub mod rpc {
    tonic::include_proto!("sluice.v1");
}
