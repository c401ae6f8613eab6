//! End-to-end tests: real brokers, real provider, real clients.

#![forbid(unsafe_code)]

mod parts;
