//! What one session does, told in sentences: a client, a session and a broker in memory.

#[path = "../support/mod.rs"]
mod support;

mod administration;
mod authentication;
mod configs;
mod evidence;
mod fetch;
mod groups;
mod masking;
mod masking_bad_input;
mod masking_places;
mod masking_untouched;
mod metadata;
mod order;
mod produce;
mod produce_batches;
mod producer_ids;
mod protected;
mod quotas;
mod relay;
mod subscriptions;
mod topic_ids;
mod topics;
mod unread;
