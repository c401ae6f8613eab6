//! Writes that wait for a person, with clients that know nothing of it.

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use serde_json::json;
use sluice_tests::{
    Answer, Client, Driver, Kafka, Oidc, Records, Sluice, SluiceOptions, unique, wait_for,
};

use crate::gateway::{TOPIC_AUTHORIZATION_FAILED, policy, stored_end, stored_values};

const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than a test's people take.
const CLIENT_PATIENCE_MS: u32 = 90_000;
const RECORDS_COUNT: usize = 50;

/// One topic and one writer for each test: a grant would cover the other tests' writes.
const TOPICS: [&str; 6] = [
    "java-yes",
    "librdkafka-yes",
    "java-no",
    "librdkafka-no",
    "late",
    "own",
];

fn sluice() -> &'static Sluice {
    static SLUICE: OnceLock<Sluice> = OnceLock::new();
    SLUICE.get_or_init(|| {
        let (kafka, oidc) = (Kafka::shared(), Oidc::shared());
        let sluice = Sluice::up(kafka, oidc, &SluiceOptions::default());
        for topic in TOPICS {
            sluice.create_topic(kafka, topic, 1);
        }
        let topics: Vec<String> = TOPICS.iter().map(|topic| format!("{topic}@T@")).collect();
        let protected: Vec<&str> = topics.iter().filter(|topic| !topic.starts_with("late")).map(String::as_str).collect();
        let policy = policy()
            .replace("{operations: [Write, Describe], topics: [payments@T@]}", &format!("{{operations: [Write, Describe], topics: [{}]}}", topics.join(", ")))
            .replace("spec: {topics: [payments@T@], approval: one-owner}", &format!("spec: {{topics: [{}], approval: one-owner}}", protected.join(", ")));
        let short = "\n---\nkind: TopicClass\nmetadata: {name: hurried}\nspec: {topics: [late@T@], approval: at-once}\n---\n\
             kind: ApprovalRule\nmetadata: {name: at-once}\nspec: {quorum: {count: 1, of: payments-owners}, hold: 1s, timeout: 3s, grant: {lasts: 10m}}\n";
        sluice.apply(oidc, "frank", &(policy + short));
        sluice
    })
}

fn writer() -> Client {
    sluice()
        .client(Oidc::shared().login("svc-payments"))
        .with("enable.idempotence", "true")
        .with("linger.ms", "1")
}

/// Several batches of one producer, so that their order can be lost.
fn produce(driver: &'static Driver, topic: &str) -> thread::JoinHandle<Answer> {
    let topic = topic.to_owned();
    let patience = if std::ptr::eq(driver, Driver::java()) {
        "delivery.timeout.ms"
    } else {
        "message.timeout.ms"
    };
    let small = if std::ptr::eq(driver, Driver::java()) {
        ("batch.size", "100")
    } else {
        ("batch.num.messages", "5")
    };
    let client = writer()
        .with(patience, CLIENT_PATIENCE_MS)
        .with(small.0, small.1);
    thread::spawn(move || {
        let records = (0..RECORDS_COUNT)
            .map(|n| json!({"partition": 0, "value": format!("value-{n}")}))
            .collect::<Vec<_>>();
        driver.order(
            "produce",
            &client,
            json!({"topic": topic, "records": records, "timeout_ms": CLIENT_PATIENCE_MS}),
        )
    })
}

/// The open approval request for this topic, by its id.
fn asked(topic: &str) -> String {
    wait_for("an approval request", PATIENCE, || {
        let listed = sluice().cli_ok(Oidc::shared(), "dave", &["approvals", "list", "--open"]);
        let row = listed.lines().find(|row| row.contains(topic))?;
        assert!(row.contains("User:svc-payments"), "{row}");
        row.split_whitespace().next().map(str::to_owned)
    })
}

/// The gateway's own word that a batch was held, so that what follows is not merely early.
fn held(topic: &str) {
    wait_for("a held batch in the evidence", PATIENCE, || {
        let found = sluice().evidence(
            Oidc::shared(),
            &["--kind", "ApprovalAsked", "--topic", topic],
        );
        found
            .iter()
            .any(|record| record["reason_code"] == "approval-awaited")
            .then_some(())
    });
}

fn is_written_once_and_in_order_after_a_yes(driver: &'static Driver, topic: &str) {
    let topic = sluice().topic(topic);
    let producing = produce(driver, &topic);
    let id = asked(&topic);
    held(&topic);
    assert_eq!(stored_end(&topic), 0, "written before anybody said yes");
    sluice().cli_ok(Oidc::shared(), "dave", &["approvals", "approve", &id]);
    let written = producing.join().expect("a client that answers");
    let mut offsets = written.offsets();
    offsets.sort_unstable();
    assert_eq!(offsets, (0..RECORDS_COUNT as i64).collect::<Vec<_>>());
    let expected: Vec<String> = (0..RECORDS_COUNT).map(|n| format!("value-{n}")).collect();
    assert_eq!(
        stored_end(&topic),
        RECORDS_COUNT as i64,
        "written more than once"
    );
    assert_eq!(stored_values(&topic, RECORDS_COUNT), expected);
}

#[test]
fn java_s_held_records_arrive_once_and_in_order_after_approval() {
    is_written_once_and_in_order_after_a_yes(Driver::java(), "java-yes");
}

#[test]
fn librdkafka_s_held_records_arrive_once_and_in_order_after_approval() {
    is_written_once_and_in_order_after_a_yes(Driver::librdkafka(), "librdkafka-yes");
}

fn nothing_is_written_after_a_no(driver: &'static Driver, topic: &str) {
    let topic = sluice().topic(topic);
    let producing = produce(driver, &topic);
    let id = asked(&topic);
    held(&topic);
    sluice().cli_ok(
        Oidc::shared(),
        "dave",
        &["approvals", "refuse", &id, "--reason", "not this month"],
    );
    let answer = producing.join().expect("a client that answers");
    assert_eq!(
        answer.error_code(),
        Some(TOPIC_AUTHORIZATION_FAILED),
        "{answer:?}"
    );
    let results = answer.ok()["results"].as_array().cloned().expect("results");
    assert!(
        results.iter().all(|result| result.get("error").is_some()),
        "{answer:?}"
    );
    assert_eq!(stored_end(&topic), 0);
}

#[test]
fn java_s_records_are_denied_after_a_refusal() {
    nothing_is_written_after_a_no(Driver::java(), "java-no");
}

#[test]
fn librdkafka_s_records_are_denied_after_a_refusal() {
    nothing_is_written_after_a_no(Driver::librdkafka(), "librdkafka-no");
}

#[test]
fn a_write_that_nobody_approves_in_time_ends_with_an_error() {
    let topic = sluice().topic("late");
    let answer = produce(Driver::java(), &topic)
        .join()
        .expect("a client that answers");
    assert_eq!(
        answer.error_code(),
        Some(TOPIC_AUTHORIZATION_FAILED),
        "{answer:?}"
    );
    assert_eq!(stored_end(&topic), 0);
    let listed = sluice().cli_ok(Oidc::shared(), "dave", &["approvals", "list"]);
    assert!(
        listed
            .lines()
            .any(|row| row.contains(&topic) && row.contains("timed-out")),
        "{listed}"
    );
}

#[test]
fn the_owner_of_a_service_cannot_approve_its_writes_and_nor_can_outsiders() {
    let (sluice, oidc) = (sluice(), Oidc::shared());
    let topic = sluice.topic("own");
    let name = unique("own");
    let producing = {
        let topic = topic.clone();
        let client = writer().with("delivery.timeout.ms", CLIENT_PATIENCE_MS);
        thread::spawn(move || {
            Driver::java().order(
                "produce",
                &client,
                json!({"topic": topic, "records": [{"value": "mine"}], "client": name}),
            )
        })
    };
    let id = asked(&topic);
    held(&topic);
    // bob owns svc-payments and is in the quorum; alice and svc-payments are not in it.
    for who in ["bob", "alice", "svc-payments"] {
        let refused = sluice.cli(oidc, who, &["approvals", "approve", &id]);
        assert_eq!(refused.status.code(), Some(1), "{who}: {refused:?}");
    }
    assert_eq!(stored_end(&topic), 0);
    sluice.cli_ok(oidc, "dave", &["approvals", "approve", &id]);
    producing.join().expect("a client that answers").offsets();
    assert_eq!(stored_values(&topic, 1), ["mine"]);
}

#[test]
fn a_write_without_acknowledgement_is_denied_where_a_person_must_be_asked() {
    let topic = sluice().topic("own");
    let before = stored_end(&topic);
    for driver in Driver::all() {
        let login = Oidc::shared().login("svc-payments");
        let client = sluice()
            .client(login)
            .with("acks", "0")
            .with("enable.idempotence", "false")
            .with("client.id", unique("hasty"));
        let _ = driver.produce(&client, &topic, &Records::values(["unasked"]));
    }
    wait_for("evidence of the denial", PATIENCE, || {
        let closed = sluice().evidence(
            Oidc::shared(),
            &[
                "--kind",
                "SessionClosed",
                "--principal",
                "User:svc-payments",
            ],
        );
        closed
            .iter()
            .any(|record| record["reason_code"] == "client-denied-unanswerable")
            .then_some(())
    });
    let stored = stored_values(
        &topic,
        usize::try_from(stored_end(&topic)).expect("an offset"),
    );
    assert!(!stored.contains(&"unasked".to_owned()), "from {before}");
}
