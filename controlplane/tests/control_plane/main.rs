//! A whole control plane over loopback: real gRPC clients, tokens of an issuer of its own, both stores.

mod administer;
mod approvals;
mod dashboard;
mod evidence;
mod links;
mod stores;
mod support;
