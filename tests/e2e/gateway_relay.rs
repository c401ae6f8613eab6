//! Long answers that go on as they arrive.

use std::time::Duration;

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{FetchRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use sluice_tests::{Driver, Kafka, Oidc, Records, SluiceOptions, wait_for};

use crate::equivalence::wire::{Connection, Login};
use crate::gateway::{items, sluice_with_policy};

const PATIENCE: Duration = Duration::from_secs(30);
const RECORDS_COUNT: usize = 300;
const RECORD_BYTES: usize = 24_000;
/// The most that the gateway asks a broker for.
const FETCH_BYTES_MAX: i32 = 8 * 1024 * 1024;

#[test]
fn a_long_fetch_arrives_as_the_broker_sent_it_and_is_recorded_to_its_last_record() {
    let (kafka, oidc) = (Kafka::shared(), Oidc::shared());
    let sluice = sluice_with_policy(&SluiceOptions::default());
    let topic = sluice.topic("orders");
    let values: Vec<String> = (0..RECORDS_COUNT)
        .map(|n| format!("{{\"id\":{n},\"note\":\"{}\"}}", "x".repeat(RECORD_BYTES)))
        .collect();
    let producer = sluice.client(oidc.login("svc-orders"));
    let written = Driver::java().produce(
        &producer,
        &topic,
        &Records::values(values.iter().map(String::as_str)),
    );
    let offsets = written.offsets();
    let (first, last) = (offsets[0], offsets[RECORDS_COUNT - 1]);

    let partition = FetchPartition::default()
        .with_fetch_offset(first)
        .with_partition_max_bytes(FETCH_BYTES_MAX);
    let request = FetchRequest::default()
        .with_max_wait_ms(5_000)
        .with_min_bytes(i32::try_from(RECORDS_COUNT * RECORD_BYTES).expect("32 bits"))
        .with_max_bytes(FETCH_BYTES_MAX)
        .with_session_epoch(-1)
        .with_topics(vec![
            FetchTopic::default()
                .with_topic(TopicName(StrBytes::from_string(topic.clone())))
                .with_partitions(vec![partition]),
        ]);
    let fetch = |address: &str, login: Login| {
        let mut answer = Connection::new(address, login).call(12, &request);
        answer.responses.remove(0).partitions.remove(0).records
    };
    let harness = Login::Plain {
        user: "harness".to_owned(),
        password: kafka.password("harness"),
    };
    let direct = fetch(&kafka.addresses()[0], harness).expect("records");
    let relayed = || sluice.metric("sluice_relayed_answers_total").unwrap_or(0);
    let before = relayed();
    let gateway = format!("127.0.0.1:{}", sluice.bootstrap_port());
    let read = fetch(&gateway, Login::Token(oidc.token("analytics-clear"))).expect("records");
    assert!(direct.len() > RECORDS_COUNT * RECORD_BYTES);
    assert!(read == direct, "other bytes than the broker's");
    assert_eq!(relayed(), before + 1, "it was held back until it was whole");

    wait_for("the outcome of the read", PATIENCE, || {
        let found = sluice.evidence(oidc, &["--topic", &topic, "--kind", "Outcome"]);
        let reads = found.iter().filter(|record| record["api_key"] == 1);
        let mut read = reads.flat_map(|record| items(record, &topic));
        read.any(|item| item["first_offset"] == first && item["last_offset"] == last)
            .then_some(())
    });
}
