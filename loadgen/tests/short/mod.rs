//! A second of load on one topic, for the tests to change one thing of.

use std::time::Duration;

use sluice_loadgen::{Acks, Credential, Mode, Pace, Plan, Progress, Shape, Target};

pub(crate) const TOPIC: &str = "orders";

/// A target that asks for no credential.
pub(crate) fn target(name: &str, address: impl ToString) -> Target {
    Target {
        name: name.to_owned(),
        address: address.to_string(),
        credential: Credential::None,
        tls_roots: None,
        tls_name: None,
        readers_as: None,
    }
}

pub(crate) fn plan(mode: Mode, rate: u64) -> Plan {
    Plan {
        mode,
        topic: TOPIC.to_owned(),
        partitions: None,
        acks: Acks::All,
        pace: Pace::PerSecond(rate),
        duration: Duration::from_secs(1),
        grace: Duration::from_secs(20),
        connections_count: 1,
        threads_count: 1,
        in_flight_max: 1_000,
        shape: Shape::text(100),
        records_per_batch: 1,
        seed: 1,
        fetch_bytes: 1_000_000,
        churn: None,
        progress: Progress::Silent,
        stage: String::new(),
    }
}
