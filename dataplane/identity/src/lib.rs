//! Who is there: tokens and SASL exchanges as pure functions, shared by gateway and control plane.
//!
//! A client's way in: [`oauthbearer`] finds the token in what the client sent, [`jwt`] validates it against [`jwks`] that came
//! from where [`discovery`] pointed. The gateway's way to a broker: [`scram`] or [`plain`].
//!
//! Nothing here performs I/O, reads a clock or draws random numbers: the time and nonces are arguments. Input is bounded by
//! [`limits`] before it is parsed. No error, `Debug` or `Display` carries token or password bytes.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
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

pub mod discovery;
mod json;
pub mod jwks;
pub mod jwt;
pub mod limits;
pub mod oauthbearer;
pub mod plain;
pub mod scram;
#[cfg(test)]
mod testing;
