//! Three brokers behind the gateway: reached by port or by name, wherever they are.

use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::{
    Answer, Authority, Client, Driver, Kafka, KafkaOptions, Oidc, Records, Sluice, SluiceOptions,
    wait_for,
};

use crate::gateway::{group, sluice_before};

const PATIENCE: Duration = Duration::from_secs(60);
const PARTITIONS: u32 = 6;
const NODES: [i64; 3] = [1, 2, 3];

/// Node, host and port of each broker, as a client is told.
fn nodes(client: &Client) -> Vec<(i64, String, i64)> {
    let answer = Driver::java().order("describe_cluster", client, json!({}));
    let text = |node: &Value, key: &str| node[key].as_str().unwrap_or_default().to_owned();
    let mut nodes: Vec<_> = answer.ok()["nodes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|node| {
            let number = |key: &str| node[key].as_i64().unwrap_or_default();
            (number("id"), text(node, "host"), number("port"))
        })
        .collect();
    nodes.sort();
    nodes
}

/// One record to each partition, whoever leads it, read back by a group.
fn all_partitions_are_written_and_read(sluice: &Sluice) {
    let oidc = Oidc::shared();
    let topic = sluice.topic("orders");
    let records = (0..PARTITIONS)
        .map(|partition| json!({"partition": partition, "value": format!("to {partition}")}))
        .collect();
    let written: Answer = Driver::java().produce(
        &sluice.client(oidc.login("svc-orders")),
        &topic,
        &Records::of(records),
    );
    assert_eq!(written.offsets().len(), PARTITIONS as usize);
    let reader = sluice
        .client(oidc.login("analytics-clear"))
        .with("group.id", group())
        .with("auto.offset.reset", "earliest");
    let read = Driver::java().order(
        "consume",
        &reader,
        json!({"topics": [topic], "count": PARTITIONS}),
    );
    read.ok();
    assert!(read.values().len() >= PARTITIONS as usize, "{read:?}");
}

#[test]
fn brokers_keep_their_addresses_at_the_gateway_when_they_move_and_die() {
    let mut kafka = Kafka::start(&KafkaOptions {
        nodes_count: NODES.len(),
        ..KafkaOptions::default()
    });
    let by_port = sluice_before(&kafka, PARTITIONS, &SluiceOptions::default());
    let authority = Authority::new();
    let by_name = sluice_before(
        &kafka,
        PARTITIONS,
        &SluiceOptions {
            client_tls: Some(authority.sign("*.sluice.test")),
            client_authority: Some(authority.certificate_pem.clone()),
            advertised_host: Some("kafka.sluice.test".to_owned()),
            broker_names: Some("broker-{node}.sluice.test".to_owned()),
            ..SluiceOptions::default()
        },
    );
    let client = |sluice: &Sluice| sluice.client(Oidc::shared().login("svc-orders"));

    let told = nodes(&client(&by_port));
    let base = told[0].2 - 1;
    let expected = NODES.map(|node| (node, "127.0.0.1".to_owned(), base + node));
    assert_eq!(told, expected, "one port for each broker");
    let port = i64::from(by_name.bootstrap_port());
    let named = NODES.map(|node| (node, format!("broker-{node}.sluice.test"), port));
    assert_eq!(nodes(&client(&by_name)), named, "one name for each broker");
    all_partitions_are_written_and_read(&by_port);
    all_partitions_are_written_and_read(&by_name);

    // A broker moves: clients are told what they were told before, and reach it.
    kafka.move_node(2);
    for sluice in [&by_port, &by_name] {
        wait_for("a way to the broker that moved", PATIENCE, || {
            (nodes(&client(sluice)).len() == NODES.len()).then_some(())
        });
        all_partitions_are_written_and_read(sluice);
    }
    assert_eq!(nodes(&client(&by_port)), expected);
    assert_eq!(nodes(&client(&by_name)), named);

    // A broker dies: clients are not told of it, and the others lead its partitions.
    kafka.kill_node(3);
    for (sluice, left) in [(&by_port, &expected[..2]), (&by_name, &named[..2])] {
        wait_for("the brokers that are left", PATIENCE, || {
            (nodes(&client(sluice)) == left).then_some(())
        });
        all_partitions_are_written_and_read(sluice);
    }
    kafka.restart_node(3);
    for (sluice, all) in [(&by_port, &expected), (&by_name, &named)] {
        wait_for("all brokers again", PATIENCE, || {
            (nodes(&client(sluice)) == *all).then_some(())
        });
        all_partitions_are_written_and_read(sluice);
    }
}
