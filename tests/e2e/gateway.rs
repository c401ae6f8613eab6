//! What the tests of the gateway share: its policy, the codes that clients see, and records read behind its back.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sluice_tests::{Client, Driver, Kafka, Oidc, Records, Sluice, SluiceOptions, unique};

pub(crate) const TOPIC_AUTHORIZATION_FAILED: i64 = 29;
pub(crate) const GROUP_AUTHORIZATION_FAILED: i64 = 30;
pub(crate) const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: i64 = 53;
pub(crate) const POLICY_VIOLATION: i64 = 44;
pub(crate) const SASL_AUTHENTICATION_FAILED: i64 = 58;
/// librdkafka's own code for a login that the other side did not accept.
pub(crate) const LIBRDKAFKA_AUTHENTICATION: i64 = -169;

/// A `sluice up` with the tests' policy in force and its three topics there.
pub(crate) fn sluice_with_policy(options: &SluiceOptions) -> Sluice {
    sluice_before(Kafka::shared(), 1, options)
}

/// The same before brokers of one's own, with topics of so many partitions.
pub(crate) fn sluice_before(kafka: &Kafka, partitions: u32, options: &SluiceOptions) -> Sluice {
    let oidc = Oidc::shared();
    let sluice = Sluice::up(kafka, oidc, options);
    for topic in ["orders", "payments", "ledger"] {
        sluice.create_topic(kafka, topic, partitions);
    }
    sluice.apply(oidc, "frank", &policy());
    sluice
}

/// policy.yaml beside this file.
pub(crate) fn policy() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/policy.yaml");
    fs::read_to_string(file).expect("the tests' policy")
}

/// The policy's documents of this kind and name, from `kind:` to the next separator.
pub(crate) fn document(kind: &str, name: &str) -> String {
    let policy = policy();
    let (head, title) = (format!("kind: {kind}"), format!("name: {name}}}"));
    let found = policy
        .split("\n---\n")
        .find(|document| document.contains(&head) && document.contains(&title));
    found
        .unwrap_or_else(|| panic!("policy.yaml has no {kind} {name}"))
        .to_owned()
}

/// What the topic really holds.
pub(crate) fn stored_values(topic: &str, count: usize) -> Vec<String> {
    let kafka = Kafka::shared();
    let consumed = Driver::java().consume(&kafka.client("harness"), &unique("look"), topic, count);
    consumed.ok();
    consumed.values().into_iter().map(str::to_owned).collect()
}

/// The offset after the topic's last record, as the broker says.
pub(crate) fn stored_end(topic: &str) -> i64 {
    let kafka = Kafka::shared();
    let offsets = Driver::java().order(
        "list_offsets",
        &kafka.client("harness"),
        json!({ "topic": topic }),
    );
    offsets.ok()["latest"].as_i64().expect("an offset")
}

/// A group that policy lets the analysts use.
pub(crate) fn group() -> String {
    unique("analytics-group")
}

/// One record, produced by the client left open under `name`.
pub(crate) fn produce_open(
    driver: &Driver,
    client: &Client,
    name: &str,
    topic: &str,
    value: &str,
) -> sluice_tests::Answer {
    driver.order(
        "produce",
        client,
        json!({"client": name, "topic": topic, "records": [{"value": value}]}),
    )
}

/// Ends an open client.
pub(crate) fn close(driver: &Driver, client: &Client, name: &str) {
    driver
        .order("close", client, json!({ "client": name }))
        .ok();
}

/// One item of an evidence record that names this topic.
pub(crate) fn items<'r>(record: &'r Value, topic: &'r str) -> impl Iterator<Item = &'r Value> {
    record["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(move |item| item["resource"] == topic)
}

/// Records of one value each.
pub(crate) fn values(of: &[&str]) -> Records {
    Records::values(of.iter().copied())
}
