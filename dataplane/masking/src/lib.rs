//! Changes payload bytes: replaces the fields that a policy names by keyed tokens, one record value at a time.
//!
//! A [`MaskPlan`] is compiled once per topic and audience from field paths and the keys of their domains. [`mask_value`]
//! then walks a value once, from its first byte to its last, and either proves that it is one strict JSON document
//! (RFC 8259) in which every named field was found, or answers [`Unmaskable`]. There is no third outcome: a value that
//! was not understood is never passed on, the caller delivers a [`placeholder`] in its place.
//!
//! What is not seen: JSON inside a JSON string, unless a rule goes there (`$json`, see [`Path`]), and other encodings of a
//! field inside a string. A rule that names the enclosing field covers them. Record keys and headers are
//! separate: [`mask_key`], [`mask_header`].
// Lifted in `simd` alone.
#![deny(unsafe_code)]
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

mod automaton;
mod digits;
mod error;
mod fold;
mod inner;
mod json;
mod key_ring;
mod keys;
pub mod limits;
mod mac;
mod path;
mod plan;
mod scan;
mod self_check;
mod simd;
mod token;
mod tokens;
mod walk;

#[cfg(test)]
mod differential;
#[cfg(test)]
mod differential_keys;
#[cfg(test)]
mod scalar;

pub use error::{PathError, PlanError, Survivor, Unmaskable};
pub use json::{Masked, Scratch, mask_header, mask_key, mask_value, placeholder};
pub use key_ring::{DomainKey, KeyRing};
pub use path::{Path, Reach, Selector, Step};
pub use plan::{MaskPlan, MaskRule, Target, TokenLength, TokenShape};
pub use self_check::{Checked, SelfCheck};
pub use token::is_token;
