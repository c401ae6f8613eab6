//! Who may do what: policy documents in, decisions out. Pure and total; the gateway and the control plane share it.
//!
//! ```text
//! YAML --parse--> PolicySet --conflicts--> violations
//!                     |  \----explain----> why (the slow twin)
//!                  compile
//!                     v
//!                  bytes --Tables::load--> Tables --bind, rights, decide--> Permit or Reason
//! ```
//! [`validate`] is what an author's change must pass. [`compile`] makes the bytes that travel to gateways and that a
//! shard reads in place. [`Tables::know`] is what a connection remembers per topic; [`Tables::decide_known`] turns
//! that memory into a [`Permit`], which nothing else can build.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::unreachable
    )
)]

// The rooms that read bytes from outside, or names from clients, may not do plain arithmetic either.
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod bind;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod check;
mod compile;
mod conflicts;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod decide;
mod decision;
mod decode_mask;
mod decode_rights;
mod document;
mod duty;
mod error;
mod explain;
mod fields;
mod format;
mod immutable;
mod kind;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod known;
pub mod limits;
mod mask_plans;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod nearest;
mod operation;
mod patterns;
mod policy_set;
mod principal;
#[cfg(test)]
mod reads;
mod resolve;
mod resource;
mod role;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod tables;
#[cfg(test)]
mod testing;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod views;
mod writer;
mod yaml;

pub use compile::compile;
pub use conflicts::{DutyPath, Violation, Who, conflicts};
pub use decide::{Rights, TopicAccess};
pub use decision::{
    ApprovalRuleId, ClassId, Decision, Durability, Immutability, MaskPlanId, Obligations, Permit,
    Reason, Revision, RoleId,
};
pub use document::{API_VERSION, Document};
pub use duty::Duty;
pub use error::{BindError, CompileError, LoadError, Problem};
pub use explain::{Answer, Explanation, RuleRef, explain, explain_operations};
pub use immutable::{
    ConfigOperation, CreateRequirements, Drift, ImmutableCause, RetentionRequired, TopicChange,
    create_requirements, drift, immutable_verdict,
};
pub use kind::Kind;
pub use known::KnownTopic;
pub use operation::{Operation, OperationSet};
pub use policy_set::{PolicySet, Source, parse, validate};
pub use principal::{Bound, ControlRole, PrincipalKind};
pub use resource::{Pattern, ResourceKind, ResourceRef, is_internal_topic};
pub use role::{
    ApprovalRule, Binding, ClassMarks, Cluster, ConflictOver, ConflictScope, ConflictSet,
    ConflictWhen, Effect, Issuer, KeyMask, Mask, Origin, Permission, Role, TokenLength, TokenRule,
    TokenShape, TopicClass,
};
pub use tables::Tables;
pub use views::{
    ApprovalRuleView, ClassView, DynamicConflictView, IssuerView, MaskRule, MaskTarget,
};
