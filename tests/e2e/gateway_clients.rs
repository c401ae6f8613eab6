//! What every client library does through the gateway: five of them, each with its own versions of the protocol, and kcat.

mod kcat;

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::{
    Answer, Certificate, Client, Driver, Kafka, Oidc, Records, Sluice, SluiceOptions, unique,
    wait_for,
};

use crate::gateway::{
    POLICY_VIOLATION, TOPIC_AUTHORIZATION_FAILED, close, document, group, sluice_with_policy,
    stored_end,
};

const PATIENCE: Duration = Duration::from_secs(60);
const UNKNOWN_TOPIC_OR_PARTITION: i64 = 3;
const EMAIL: &str = "ada@example.org";
/// A topic that groups share out among their members, and one for transactions.
const SHARED: &str = "shared";
const SHARED_PARTITIONS: u32 = 2;
const SETTLED: &str = "settled";
/// What has one call for a topic's properties, the one that replaces all of them.
const REPLACES_CONFIGS_ONLY: [&str; 2] = ["Kafkajs", "Aiokafka"];

fn sluice() -> &'static Sluice {
    static SLUICE: OnceLock<Sluice> = OnceLock::new();
    SLUICE.get_or_init(|| {
        let certificate = Certificate::self_signed();
        let sluice = sluice_with_policy(&SluiceOptions {
            client_tls: Some((certificate.certificate_pem, certificate.key_pem)),
            ..SluiceOptions::default()
        });
        let (kafka, oidc) = (Kafka::shared(), Oidc::shared());
        sluice.create_topic(kafka, SHARED, SHARED_PARTITIONS);
        sluice.create_topic(kafka, SETTLED, 1);
        for role in ["orders-writer", "analytics-clear"] {
            let wider = format!("[{SHARED}@T@, {SETTLED}@T@, orders@T@");
            let role = document("Role", role).replace("[orders@T@", &wider);
            sluice.apply(oidc, "frank", &role);
        }
        sluice
    })
}

fn client(who: &str) -> Client {
    sluice().client(Oidc::shared().login(who))
}

#[track_caller]
fn denied(driver: &Driver, answer: &Answer, codes: &[i64]) {
    let code = answer.error_code();
    assert!(
        code.is_some_and(|code| codes.contains(&code)),
        "{}: {codes:?} expected: {answer:?}",
        driver.library()
    );
}

/// Reads the topic from its start, in a new group, until `last` is there.
fn read_until(driver: &Driver, reader: &Client, topic: &str, last: &str) -> Vec<String> {
    let reader = reader
        .clone()
        .with("group.id", group())
        .with("auto.offset.reset", "earliest");
    let name = unique("reader");
    let order = json!({"client": name, "topics": [topic], "count": 100, "timeout_ms": 500});
    let mut seen = Vec::new();
    let what = format!("{last} by {}", driver.library());
    wait_for(&what, PATIENCE, || {
        let read = driver.order("consume", &reader, order.clone());
        read.ok();
        seen.extend(read.values().into_iter().map(str::to_owned));
        seen.iter().any(|value| value.contains(last)).then_some(())
    });
    close(driver, &reader, &name);
    seen
}

#[test]
fn every_client_library_writes_and_reads_what_policy_allows_and_no_more() {
    let topic = sluice().topic("orders");
    let hidden = Kafka::shared().create_topic("hidden", 1);
    let mut written = Vec::new();
    for driver in Driver::every() {
        let mark = unique(&driver.library());
        let value = json!({"mark": mark, "customer": {"email": EMAIL}}).to_string();
        let produced = driver.produce(
            &client("svc-orders"),
            &topic,
            &Records::values([value.as_str()]),
        );
        assert_eq!(produced.offsets().len(), 1, "{}", driver.library());
        written.push(value);

        let kept_out = driver.produce(&client("svc-orders"), &hidden, &Records::numbered(1));
        denied(driver, &kept_out, &[TOPIC_AUTHORIZATION_FAILED]);
    }
    assert_eq!(stored_end(&hidden), 0, "somebody wrote after all");

    for driver in Driver::every() {
        let library = driver.library();
        let last = written.last().expect("five values");
        let clear = read_until(driver, &client("analytics-clear"), &topic, last);
        for value in &written {
            assert!(clear.contains(value), "{library} has no {value}: {clear:?}");
        }

        let last: Value = serde_json::from_str(last).expect("JSON");
        let last = last["mark"].as_str().expect("a mark");
        let masked = read_until(driver, &client("analytics"), &topic, last);
        assert!(masked.len() >= written.len(), "{library}: {masked:?}");
        for value in &masked {
            let value: Value = serde_json::from_str(value).expect("a masked value is JSON");
            let email = value["customer"]["email"].as_str().expect("a token");
            assert!(email.starts_with("tok_"), "{library}: {value}");
        }

        let kept_out = driver.consume(&client("analytics"), &group(), &hidden, 1);
        denied(driver, &kept_out, &[TOPIC_AUTHORIZATION_FAILED]);
    }
}

/// One member of a group, polled by turns with the others: most libraries hear of a rebalance when they poll.
struct Member<'d> {
    driver: &'d Driver,
    client: Client,
    name: String,
}

impl<'d> Member<'d> {
    fn new(driver: &'d Driver, group: &str) -> Self {
        let client = client("analytics-clear")
            .with("group.id", group)
            .with("auto.offset.reset", "earliest")
            // Who leaves and who comes is heard of at a heartbeat.
            .with("heartbeat.interval.ms", 500);
        Self {
            driver,
            client,
            name: unique("member"),
        }
    }

    /// What it reads of this test's records: partition and value.
    fn poll(&self, mark: &str) -> Vec<(i64, String)> {
        let order = json!({
            "client": self.name, "topics": [sluice().topic(SHARED)], "count": 100, "timeout_ms": 500
        });
        let read = self.driver.order("consume", &self.client, order);
        read.ok();
        let records = read.records().iter().map(|record| {
            let partition = record["partition"].as_i64().expect("a partition");
            let value = record["value"].as_str().expect("a value that is text");
            (partition, value.to_owned())
        });
        records
            .filter(|(_, value)| value.starts_with(mark))
            .collect()
    }
}

#[test]
fn every_client_library_shares_a_topic_among_two_members_and_takes_over_from_one_that_leaves() {
    for driver in Driver::every() {
        let library = driver.library();
        let (mark, group) = (unique(&library), group());
        let (stays, leaves) = (Member::new(driver, &group), Member::new(driver, &group));
        let mut sent = BTreeSet::new();
        let mut read = BTreeSet::new();
        // One record to each partition, so that whoever owns a partition has something to show for it.
        let mut send = || {
            let (topic, n) = (sluice().topic(SHARED), sent.len());
            let records = (0..SHARED_PARTITIONS)
                .map(|partition| json!({"partition": partition, "value": format!("{mark}-{n}-{partition}")}))
                .collect::<Vec<_>>();
            let values = records.iter().map(|record| record["value"].as_str());
            sent.extend(values.flatten().map(str::to_owned));
            let produced = driver.produce(&client("svc-orders"), &topic, &Records::of(records));
            produced.offsets();
        };
        let mut owned = |polled: Vec<(i64, String)>| {
            let partitions: BTreeSet<i64> =
                polled.iter().map(|(partition, _)| *partition).collect();
            read.extend(polled.into_iter().map(|(_, value)| value));
            partitions
        };

        wait_for(&format!("a half for each ({library})"), PATIENCE, || {
            send();
            let halves = [owned(stays.poll(&mark)), owned(leaves.poll(&mark))];
            let one_each = halves.iter().all(|half| half.len() == 1) && halves[0] != halves[1];
            one_each.then_some(())
        });
        close(driver, &leaves.client, &leaves.name);
        wait_for(&format!("the takeover ({library})"), PATIENCE, || {
            send();
            (owned(stays.poll(&mark)).len() == 2).then_some(())
        });
        // Nothing is lost on the way from one member to the other; what was sent last may still come.
        wait_for(&format!("every record ({library})"), PATIENCE, || {
            read.extend(stays.poll(&mark).into_iter().map(|(_, value)| value));
            (read == sent).then_some(())
        });
        close(driver, &stays.client, &stays.name);
    }
}

#[test]
fn every_client_library_reads_of_transactions_the_committed_ones() {
    let topic = sluice().topic(SETTLED);
    for driver in Driver::every() {
        let library = driver.library();
        let writer = client("svc-orders").with("transactional.id", unique("orders-settled"));
        let name = unique("transactions");
        let [kept, taken_back, last] =
            ["kept", "taken-back", "last"].map(|what| unique(&format!("{library}-{what}")));
        for (value, end) in [(&kept, "commit"), (&taken_back, "abort"), (&last, "commit")] {
            let order = json!({
                "client": name, "topic": topic, "transaction": end, "records": [{"value": value}]
            });
            let produced = driver.order("produce", &writer, order);
            produced.ok();
            assert_eq!(produced.offsets().len(), 1, "{library}");
        }
        close(driver, &writer, &name);

        let reader = client("analytics-clear");
        let committed = reader.clone().with("isolation.level", "read_committed");
        let committed = read_until(driver, &committed, &topic, &last);
        assert!(committed.contains(&kept), "{library}: {committed:?}");
        assert!(!committed.contains(&taken_back), "{library}: {committed:?}");

        let everything = reader.with("isolation.level", "read_uncommitted");
        let everything = read_until(driver, &everything, &topic, &last);
        assert!(
            everything.contains(&taken_back),
            "{library}: {everything:?}"
        );
    }
}

#[test]
fn every_client_library_administers_what_policy_allows_and_no_immutable_topic() {
    let sluice = sluice();
    let ledger = sluice.topic("ledger");
    let carol = client("carol");
    for driver in Driver::every() {
        let library = driver.library();
        let topic = unique("administered");
        let ask = |verb: &str, mut extra: Value| {
            extra["topic"] = json!(topic);
            driver.order(verb, &carol, extra)
        };
        let retention =
            || ask("describe_configs", json!({})).ok()["configs"]["retention.ms"].clone();

        let configs = json!({"retention.ms": "1000000"});
        ask("create_topic", json!({"partitions": 2, "configs": configs})).ok();
        let listed = driver.order("list_topics", &carol, json!({}));
        let names = listed.ok()["topics"].as_array().expect("names");
        assert!(names.contains(&json!(topic)), "{library}: {names:?}");
        let described = wait_for("the topic's leaders", PATIENCE, || {
            let described = ask("describe_topic", json!({}));
            described.ok()["partitions"][1]["leader"]
                .is_object()
                .then_some(described)
        });
        let partitions = described.ok()["partitions"].as_array().expect("partitions");
        assert_eq!(partitions.len(), 2, "{library}: {described:?}");
        let cluster = driver.order("describe_cluster", &carol, json!({}));
        let nodes = cluster.ok()["nodes"].as_array().expect("nodes");
        assert_eq!(nodes.len(), 1, "{library}: {cluster:?}");
        let leader = &partitions[1]["leader"];
        assert_eq!(leader, &nodes[0], "{library}");
        let brokers = Kafka::shared().addresses().join(",");
        assert!(
            !brokers.contains(&leader["port"].to_string()),
            "{library}: a broker's own port"
        );
        let offsets = ask("list_offsets", json!({"partition": 1}));
        assert_eq!(
            (&offsets.ok()["earliest"], &offsets.ok()["latest"]),
            (&json!(0), &json!(0)),
            "{library}"
        );
        driver.order("list_groups", &carol, json!({})).ok();

        assert_eq!(retention(), "1000000", "{library}");
        let configs = json!({"configs": {"retention.ms": "2000000"}});
        let altered = ask("alter_configs", configs.clone());
        if REPLACES_CONFIGS_ONLY.contains(&library.as_str()) {
            assert!(altered.is_not_offered(), "{library}: {altered:?}");
            ask("replace_configs", configs).ok();
        } else {
            altered.ok();
        }
        assert_eq!(retention(), "2000000", "{library}");

        ask("delete_topic", json!({})).ok();
        let harness = Kafka::shared().client("harness");
        let gone = Driver::java().order("describe_topic", &harness, json!({"topic": topic}));
        denied(driver, &gone, &[UNKNOWN_TOPIC_OR_PARTITION]);

        // By a version of DeleteTopics that can carry a message the reason is told, by an older one the denial.
        let kept = driver.order("delete_topic", &carol, json!({ "topic": ledger }));
        denied(
            driver,
            &kept,
            &[POLICY_VIOLATION, TOPIC_AUTHORIZATION_FAILED],
        );
        let seen = Driver::java().order("describe_topic", &harness, json!({ "topic": ledger }));
        assert_eq!(seen.ok()["topic"], json!(ledger), "{library}");
    }
}
