//! Masked reads, through every compression that clients use.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::{Value, json};
use sluice_tests::{Answer, Client, Driver, Oidc, Records, Sluice, SluiceOptions, unique};

use crate::gateway::{document, group, sluice_with_policy, stored_end};

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
/// Topics under the same mask: one for each test that must not meet another test's records.
const EXTRA_TOPICS: [&str; 3] = ["returns", "oddities", "ended"];
const EMAIL: &str = "ada@example.org";

fn sluice() -> &'static Sluice {
    static SLUICE: OnceLock<Sluice> = OnceLock::new();
    SLUICE.get_or_init(|| {
        let sluice = sluice_with_policy(&SluiceOptions::default());
        let (kafka, oidc) = (sluice_tests::Kafka::shared(), Oidc::shared());
        for topic in EXTRA_TOPICS {
            sluice.create_topic(kafka, topic, 1);
        }
        let topics = format!(
            "[{}, orders@T@",
            EXTRA_TOPICS.map(|topic| format!("{topic}@T@")).join(", ")
        );
        let widen = |kind: &str, name: &str| document(kind, name).replace("[orders@T@", &topics);
        for (kind, name) in [
            ("Mask", "personal-data"),
            ("Role", "orders-writer"),
            ("Role", "analytics-reader"),
            ("Role", "analytics-clear"),
        ] {
            sluice.apply(oidc, "frank", &widen(kind, name));
        }
        sluice
    })
}

fn client(who: &str) -> Client {
    sluice().client(Oidc::shared().login(who))
}

fn order(n: usize, email: &str) -> String {
    // Long enough that every codec makes it shorter, or clients send it as it is.
    json!({"id": n, "customer": {"email": email, "name": "Ada"}, "card_number": 4_111, "note": "x".repeat(200)}).to_string()
}

/// Reads `count` records from `offset`, with the CRC of each batch checked (Java does so by default).
fn read(driver: &Driver, who: &str, topic: &str, offset: i64, count: usize) -> Answer {
    let reader = client(who)
        .with("group.id", group())
        .with("check.crcs", "true");
    let assign = json!({"assign": [{"topic": topic, "offset": offset}], "count": count});
    let read = driver.order("consume", &reader, assign);
    read.ok();
    read
}

/// These tests read back what they wrote to one topic by its offsets: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn parsed(read: &Answer) -> Vec<Value> {
    read.values()
        .iter()
        .map(|value| serde_json::from_str(value).expect("a masked value is JSON"))
        .collect()
}

#[test]
fn every_codec_is_masked_for_the_reader_and_clear_for_who_may_read_clear() {
    let _alone = alone();
    let topic = sluice().topic("orders");
    for writer in Driver::all() {
        for codec in CODECS {
            let producer = client("svc-orders")
                .with("compression.type", codec)
                .with("linger.ms", "100");
            let sent: Vec<String> = (0..30).map(|n| order(n, EMAIL)).collect();
            let written = writer.produce(
                &producer,
                &topic,
                &Records::values(sent.iter().map(String::as_str)),
            );
            let offsets = written.offsets();
            for reader in Driver::all() {
                let masked = read(reader, "analytics", &topic, offsets[0], 30);
                assert_eq!(masked.records().len(), 30, "{codec}");
                for (n, value) in parsed(&masked).iter().enumerate() {
                    let token = value["customer"]["email"]
                        .as_str()
                        .expect("a token is text");
                    assert!(token.starts_with("tok_"), "{codec}: {value}");
                    assert!(
                        value["card_number"]
                            .as_str()
                            .is_some_and(|token| token.starts_with("tok_")),
                        "{codec}: {value}"
                    );
                    assert_eq!(
                        (&value["id"], &value["customer"]["name"]),
                        (&json!(n), &json!("Ada"))
                    );
                }
                assert!(!format!("{masked:?}").contains(EMAIL));
                let positions: Vec<i64> = masked
                    .records()
                    .iter()
                    .filter_map(|record| record["offset"].as_i64())
                    .collect();
                assert_eq!(positions, offsets);
                let clear = read(reader, "analytics-clear", &topic, offsets[0], 30);
                assert_eq!(clear.values(), sent);
            }
        }
    }
}

#[test]
fn what_is_no_json_becomes_a_placeholder_and_tombstones_and_headers_pass() {
    let _alone = alone();
    let topic = sluice().topic("oddities");
    for driver in Driver::all() {
        let records = Records::of(vec![
            json!({"key": "k", "value": format!("mail to {EMAIL}"), "headers": [["source", "till"], ["source", "web"]]}),
            json!({"key": "k", "value": {"base64": "/wD+"}, "headers": []}),
            json!({"key": "gone", "value": null, "headers": [["why", "asked"]]}),
            json!({"key": "cut", "value": format!("{{\"customer\": {{\"email\": \"{EMAIL}\"")}),
            json!({"key": "twice", "value": format!("{{\"customer\":{{\"email\":\"{EMAIL}\"}},\"Customer\":{{\"Email\":\"{EMAIL}\"}}}}")}),
        ]);
        let offsets = driver
            .produce(&client("svc-orders"), &topic, &records)
            .offsets();
        for reader in Driver::all() {
            let masked = read(reader, "analytics", &topic, offsets[0], offsets.len());
            let seen = masked.records();
            assert_eq!(seen.len(), offsets.len(), "{masked:?}");
            assert!(!format!("{masked:?}").contains(EMAIL), "{masked:?}");
            for unreadable in [0, 1, 3] {
                let value = seen[unreadable]["value"]
                    .as_str()
                    .expect("a placeholder is text");
                serde_json::from_str::<Value>(value).expect("a placeholder is JSON");
            }
            assert_eq!(
                seen[0]["headers"],
                json!([["source", "till"], ["source", "web"]])
            );
            assert_eq!(
                (&seen[2]["key"], &seen[2]["value"]),
                (&json!("gone"), &Value::Null)
            );
            assert_eq!(seen[2]["headers"], json!([["why", "asked"]]));
        }
    }
}

#[test]
fn tokens_are_equal_across_records_and_topics_of_one_domain() {
    let _alone = alone();
    let sluice = sluice();
    let driver = Driver::java();
    let mut tokens = Vec::new();
    for topic in [sluice.topic("orders"), sluice.topic("returns")] {
        let values = [
            order(1, "same@example.org"),
            order(2, "same@example.org"),
            order(3, "other@example.org"),
        ];
        let written = driver.produce(
            &client("svc-orders"),
            &topic,
            &Records::values(values.iter().map(String::as_str)),
        );
        let masked = read(
            Driver::librdkafka(),
            "analytics",
            &topic,
            written.offsets()[0],
            3,
        );
        tokens.extend(
            parsed(&masked)
                .iter()
                .map(|value| value["customer"]["email"].to_string()),
        );
    }
    let [a, b, other, c, d, other_too] = tokens.as_slice() else {
        panic!("{tokens:?}")
    };
    assert!(a == b && b == c && c == d, "{tokens:?}");
    assert!(other == other_too && other != a, "{tokens:?}");
}

#[test]
fn aborted_and_open_transactions_stay_what_they_are_under_a_mask() {
    let _alone = alone();
    let topic = sluice().topic("ended");
    for driver in Driver::all() {
        let start = stored_end(&topic);
        let name = unique("transactions");
        let producer = client("svc-orders").with("transactional.id", unique("orders-masked"));
        for end in ["abort", "commit"] {
            let records =
                json!([{"value": json!({"end": end, "customer": {"email": EMAIL}}).to_string()}]);
            driver
                .order(
                    "produce",
                    &producer,
                    json!({"client": name, "topic": topic, "transaction": end, "records": records}),
                )
                .ok();
        }
        driver
            .order("close", &producer, json!({ "client": name }))
            .ok();
        for reader in Driver::all() {
            let login = client("analytics")
                .with("group.id", group())
                .with("isolation.level", "read_committed");
            let read = reader.order(
                "consume",
                &login,
                json!({"assign": [{"topic": topic, "offset": start}], "count": 1}),
            );
            read.ok();
            let values = parsed(&read);
            assert_eq!(values[0]["end"], "commit", "{read:?}");
            assert_ne!(values[0]["customer"]["email"], EMAIL);
        }
    }
}
