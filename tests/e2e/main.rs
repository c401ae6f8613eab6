//! End-to-end tests: real brokers, real provider, real clients.

#![forbid(unsafe_code)]

mod equivalence;
mod gateway;
mod gateway_approval;
mod gateway_bad_input;
mod gateway_bad_requests;
mod gateway_clients;
mod gateway_cluster;
mod gateway_control;
mod gateway_decisions;
mod gateway_evidence;
mod gateway_identity;
mod gateway_immutable;
mod gateway_masking;
mod gateway_relay;
mod gateway_subscriptions;
mod load;
mod parts;
