//! One connection's life: bytes and time in, actions out.
//!
//! [`Session`] composes the leaves (`kafka`, `identity`, `policy`, `masking`, `evidence`) and does no I/O. Data flows one
//! way: `authenticate`, `decide`, `apis` (what each Kafka API needs, and how a denial looks), `record`, `forward`; on the
//! way back `apis`, `transform` (masking), `record`. [`Outbox`] is what the shell gets.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::unreachable,
        clippy::arithmetic_side_effects
    )
)]

mod apis;
mod authenticate;
mod decide;
pub mod environment;
mod error;
mod forward;
mod in_flight;
pub mod limits;
pub mod login;
pub mod mask_plans;
mod mask_record;
mod memory;
pub mod order_gate;
mod outbox;
mod pattern;
mod pool;
pub mod producer_ids;
mod record;
pub mod registry;
mod session;
mod spare;
mod step;
mod subscriptions;
mod transform;

pub use apis::table::{Need, Place, Served, served};
pub use error::Close;
pub use outbox::{Counts, Outbox, Piece};
pub use session::{BrokerStep, Masking, Session};
pub use transform::MaskScratch;
