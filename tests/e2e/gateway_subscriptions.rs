//! Subscriptions by a pattern that the client leaves to its broker (KIP-848), and that the gateway resolves.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use kafka_protocol::messages::{ApiVersionsRequest, ConsumerGroupHeartbeatRequest};
use kafka_protocol::protocol::StrBytes;
use serde_json::{Value, json};
use sluice_tests::{Client, Driver, Kafka, Oidc, Records, SluiceOptions, unique, wait_for};

use crate::equivalence::wire::{Connection, Exchange, Login};
use crate::gateway::{close, document, group, sluice_with_policy};

const PATIENCE: Duration = Duration::from_secs(60);
const INVALID_REGULAR_EXPRESSION: i64 = 128;

fn write(topic: &str, value: &str) {
    let harness = Kafka::shared().client("harness");
    let produced = Driver::java().produce(&harness, topic, &Records::values([value]));
    assert_eq!(produced.offsets().len(), 1);
}

/// A member that leaves its pattern to the broker: Java by another method, librdkafka by the protocol.
struct Reader {
    driver: &'static Driver,
    client: Client,
    name: String,
    order: Value,
}

impl Reader {
    fn new(driver: &'static Driver, client: Client, pattern: &str) -> Self {
        let client = client
            .with("group.id", group())
            .with("group.protocol", "consumer")
            .with("auto.offset.reset", "earliest");
        let name = unique("reader");
        let left = match driver.library().as_str() {
            "Java" => "broker_pattern",
            _ => "pattern",
        };
        let order = json!({"client": name, left: pattern, "count": 100, "timeout_ms": 500});
        Self {
            driver,
            client,
            name,
            order,
        }
    }

    /// Reads until this record is there; the topics of all records that came.
    fn read_until(&self, value: &str) -> BTreeSet<String> {
        let mut topics = BTreeSet::new();
        let what = format!("{value} by {}", self.driver.library());
        wait_for(&what, PATIENCE, || {
            let order = self.order.clone();
            let read = self.driver.order("consume", &self.client, order);
            read.ok();
            let of = |record: &Value| record["topic"].as_str().expect("a topic").to_owned();
            topics.extend(read.records().iter().map(of));
            read.values().contains(&value).then_some(())
        });
        topics
    }
}

#[test]
fn a_pattern_that_is_left_to_the_broker_finds_what_may_be_described_and_what_comes_later() {
    let (kafka, oidc) = (Kafka::shared(), Oidc::shared());
    let sluice = sluice_with_policy(&SluiceOptions::default());
    let late = |driver: &Driver| format!("orders-late-{}", driver.library());
    let readable: Vec<String> = Driver::all()
        .map(|driver| format!("{}@T@, ", late(driver)))
        .into();
    let role = document("Role", "analytics-clear");
    let wider = role.replace("[orders@T@", &format!("[{}orders@T@", readable.concat()));
    sluice.apply(oidc, "frank", &wider);
    let orders = sluice.topic("orders");
    let hidden = sluice.create_topic(kafka, "orders-hidden", 1);
    write(&hidden, "hidden");
    let mut visible = BTreeSet::from([orders.clone()]);
    for driver in Driver::all() {
        let first = unique("first");
        write(&orders, &first);
        let pattern = format!("orders.*{}", sluice.topic(""));
        let client = sluice.client(oidc.login("analytics-clear"));
        let reader = Reader::new(driver, client, &pattern);
        let topics = reader.read_until(&first);
        assert!(topics.is_subset(&visible), "{topics:?}");

        let created = sluice.create_topic(kafka, &late(driver), 1);
        visible.insert(created.clone());
        let last = unique("last");
        write(&created, &last);
        let topics = reader.read_until(&last);
        assert!(topics.contains(&created), "{topics:?}");
        assert!(topics.is_subset(&visible), "{topics:?}");
        close(driver, &reader.client, &reader.name);
    }
}

#[test]
fn a_pattern_that_is_none_is_told_to_the_client() {
    let sluice = sluice_with_policy(&SluiceOptions::default());
    let client = sluice.client(Oidc::shared().login("analytics-clear"));
    let reader = Reader::new(Driver::java(), client, "orders(");
    let code = wait_for("the refusal", PATIENCE, || {
        let order = reader.order.clone();
        let read = reader.driver.order("consume", &reader.client, order);
        read.error_code()
    });
    assert_eq!(code, INVALID_REGULAR_EXPRESSION);
    close(reader.driver, &reader.client, &reader.name);
}

/// All in one write: that others are answered meanwhile is not for want of the next frame.
#[test]
fn others_on_the_shard_are_answered_between_the_patterns_of_one_client() {
    const PATTERNS_COUNT: u64 = 900;
    let oidc = Oidc::shared();
    let sluice = sluice_with_policy(&SluiceOptions {
        shards_count: 1,
        ..SluiceOptions::default()
    });
    let address = format!("127.0.0.1:{}", sluice.bootstrap_port());
    let mut bystander = Connection::new(&address, Login::Token(oidc.token("svc-orders")));
    let ask = ApiVersionsRequest::default();
    assert_eq!(bystander.call(0, &ask).error_code, 0);

    let token = oidc.token("analytics-clear");
    let mut busy = Connection::new(&address, Login::Token(token)).into_stream();
    // Its automaton is found to be too large when most of the memory for it is in use, and is not remembered.
    let costly = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(StrBytes::from_string(group()).into())
        .with_member_id("m".into())
        .with_subscribed_topic_names(Some(Vec::new()))
        .with_subscribed_topic_regex(Some(".*a.{15}".into()));
    let frames = Exchange::new(1, &costly)
        .frame()
        .repeat(usize::try_from(PATTERNS_COUNT).expect("few"));
    busy.write_all(&frames).expect("the gateway reads");
    let compiled = || sluice.metric("sluice_compiled_patterns_total");
    wait_for("the first pattern", PATIENCE, || {
        compiled().filter(|count| *count > 0)
    });
    assert_eq!(bystander.call(0, &ask).error_code, 0);
    let compiled = compiled().expect("a number");
    assert!(compiled < PATTERNS_COUNT, "it waited for all of them");
}
