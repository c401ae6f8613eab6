//! Bytes to Kafka and back. This crate knows every offset and no policy.
//!
//! The way in: [`frame`] cuts bytes into frames, [`header`] reads what every request starts with, [`api`] says how an API is
//! treated. From there hot APIs (Produce, Fetch) are read in place by [`views`], cold ones are checked by [`shape`] and then
//! decoded by [`messages`], and what the gateway answers itself is in [`local`]. Records are read and rewritten by
//! [`record_batch`], (de)compressed by [`codec`].
//!
//! Nothing here performs I/O, reads a clock or trusts a length: every count is compared with the bytes that remain, and every
//! bound stands in [`limits`].
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

pub mod api;
pub mod codec;
pub mod error_code;
pub mod frame;
pub mod header;
pub mod limits;
pub mod local;
pub mod messages;
pub mod reader;
pub mod record_batch;
pub mod shape;
#[rustfmt::skip]
mod shapes;
pub mod views;
mod writer;

mod error;
pub use error::{BatchError, CodecError, Flaw, FrameError, HeaderError, Malformed, MessageError};
pub use error_code::ErrorCode;
pub use header::RequestHeader;
