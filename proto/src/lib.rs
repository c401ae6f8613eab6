//! The agreement between the planes: the messages of `sluice/v1/*.proto`, and nothing else.
//!
//! Service stubs are generated where they are served or called, so that a crate that only reads messages pulls in no
//! runtime.
#![forbid(unsafe_code)]

/// Version 1 of the agreement.
#[allow(missing_debug_implementations, unreachable_pub)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/sluice.v1.rs"));
}
