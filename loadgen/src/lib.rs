//! Load for Kafka at an intended rate, and a fair comparison of two ways to the same cluster.
//!
//! ```text
//! arguments ──► plan ──► prepare ──► session (connect, log in, Metadata, offsets), one per connection
//!                           │                                  storm: nothing but sessions, at a rate
//!            schedule ──► drive (threads over many connections: driven) ──► measure ──► report
//!                           beside them: readers (end_to_end), slow readers (throttle), a command (churn)
//!                                                    compare: rounds A B B A, ratios with spread
//!                                                    report --out DIR: a page with plots, CSV, .hgrm
//! ```
//! The load is open-loop: every request has an intended time that does not depend on earlier answers, and its latency
//! counts from there. A target that stalls is charged for every request that should have been sent meanwhile, also for those
//! that were never answered.
#![forbid(unsafe_code)]

pub mod arguments;
mod churn;
pub mod compare;
mod credential;
mod drive;
mod driven;
mod end_to_end;
mod error;
pub mod limits;
mod login;
mod measure;
mod notes;
mod order;
mod partitions;
mod plan;
mod pool;
mod prepare;
mod random;
mod records;
pub mod report;
mod run;
mod schedule;
mod series;
mod session;
pub mod sink;
mod sizes;
mod storm;
mod stream;
mod throttle;
mod token;
mod tracing;
mod watch;
mod workload;

pub use churn::{Churned, Felt, Pauses};
pub use end_to_end::EndToEnd;
pub use error::Error;
pub use measure::{Measured, Part};
pub use partitions::Partitions;
pub use plan::{Acks, Churn, Credential, Mode, Pace, Payload, Plan, Progress, ReadFrom, Target};
pub use records::{Headers, Keys, Shape};
pub use report::{Report, compare_and_report, create_and_report, run_and_report, write_report};
pub use run::{create_topic, run};
pub use schedule::{Next, Schedule};
pub use sizes::Sizes;
pub use sluice_identity::scram::Mechanism as ScramMechanism;
pub use sluice_kafka::codec::Codec;
