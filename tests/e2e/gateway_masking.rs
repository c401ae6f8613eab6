//! Masked reads, through every compression that clients use.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sluice_tests::{Answer, Client, Driver, Oidc, Records, Sluice, SluiceOptions, unique};

use crate::gateway::{document, group, sluice_with_policy, stored_end};

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
/// Topics under the same mask: one for each test that must not meet another test's records.
const EXTRA_TOPICS: [&str; 4] = ["returns", "oddities", "ended", "framed"];
/// Topics with masks of their own, each for one test.
const OWN_TOPICS: [&str; 4] = ["shaped", "quoted", "keyed", "fixed"];
const EMAIL: &str = "ada@example.org";

/// The masks of these.
const OWN_MASKS: &str = r#"kind: Mask
metadata: {name: addresses}
spec: {topics: [shaped@T@], fields: ["$.customer.email"], token: {shape: email, domain: customers}}
---
kind: Mask
metadata: {name: numbers}
spec: {topics: [shaped@T@], fields: ["$..number"], token: {shape: digits, domain: customers}}
---
kind: Mask
metadata: {name: envelopes}
spec: {topics: [quoted@T@], fields: ["$.payload.$json.customer.email"], token: {shape: opaque, domain: customers}}
---
kind: Mask
metadata: {name: keys}
spec: {topics: [keyed@T@], key: whole, headers: [X-User], fields: ["$.user"], token: {shape: opaque, domain: customers}}
---
kind: Mask
metadata: {name: fixed}
spec: {topics: [fixed@T@], fields: ["$.customer.email", "$.pin"], token: {shape: opaque, length: same, domain: customers}}
"#;

fn sluice() -> &'static Sluice {
    static SLUICE: OnceLock<Sluice> = OnceLock::new();
    SLUICE.get_or_init(|| {
        let sluice = sluice_with_policy(&SluiceOptions::default());
        let (kafka, oidc) = (sluice_tests::Kafka::shared(), Oidc::shared());
        for topic in EXTRA_TOPICS.into_iter().chain(OWN_TOPICS) {
            sluice.create_topic(kafka, topic, 1);
        }
        let widen = |kind: &str, name: &str, topics: &[&str]| {
            let topics: String = topics.iter().map(|topic| format!("{topic}@T@, ")).collect();
            document(kind, name).replace("[orders@T@", &format!("[{topics}orders@T@"))
        };
        let all = [&EXTRA_TOPICS[..], &OWN_TOPICS].concat();
        let mut documents = vec![widen("Mask", "personal-data", &EXTRA_TOPICS)];
        for role in ["orders-writer", "analytics-reader", "analytics-clear"] {
            documents.push(widen("Role", role, &all));
        }
        documents.push(OWN_MASKS.to_owned());
        sluice.apply(oidc, "frank", &documents.join("\n---\n"));
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

/// A value as a client of a schema registry writes it: byte 0, the schema's id, the body.
fn framed(schema: u32, body: &[u8]) -> Vec<u8> {
    [&[0], &schema.to_be_bytes()[..], body].concat()
}

/// A value that a driver has read, as bytes.
fn bytes(value: &Value) -> Vec<u8> {
    match value["base64"].as_str() {
        Some(coded) => BASE64.decode(coded).expect("base64"),
        None => value.as_str().expect("a value").as_bytes().to_vec(),
    }
}

#[test]
fn json_behind_a_schema_registrys_five_bytes_is_masked_and_avro_and_protobuf_are_withheld() {
    let _alone = alone();
    let topic = sluice().topic("framed");
    let document = order(1, EMAIL);
    // A text of 15 bytes and a number, as Avro and as Protobuf encode them; Protobuf's message index comes first.
    let avro = [b"\x1e", EMAIL.as_bytes(), b"\x0e"].concat();
    let protobuf = [b"\0\x0a\x0f", EMAIL.as_bytes(), b"\x10\x07"].concat();
    let length = 2 * document.len();
    let length = [length as u8 | 0x80, (length >> 7) as u8];
    let avro_of_json = [&length, document.as_bytes()].concat();
    let cut = &document.as_bytes()[..document.len() - 1];
    // The second id looks like JSON, the third is no text.
    let masked_ids = [7, 0x7b22_7b22, 0xfffe_fdfc];
    let mut sent: Vec<Vec<u8>> = Vec::new();
    sent.extend(masked_ids.map(|id| framed(id, document.as_bytes())));
    sent.extend([&avro, &protobuf, &avro_of_json, cut].map(|body| framed(7, body)));
    sent.push(framed(7, &framed(7, document.as_bytes())));
    // No id, and half of one.
    sent.extend([0, 2].map(|id_bytes| [&[0; 3][..=id_bytes], document.as_bytes()].concat()));
    sent.push(document.clone().into_bytes());
    let records = sent.iter().map(|value| {
        let value = BASE64.encode(value);
        json!({"key": "k", "value": {"base64": value}, "headers": []})
    });
    let records = Records::of(records.collect());
    let seen = |read: &Answer| -> Vec<Vec<u8>> {
        let records = read.records().iter();
        records.map(|record| bytes(&record["value"])).collect()
    };
    for driver in Driver::all() {
        for codec in ["none", "zstd"] {
            let writer = client("svc-orders").with("compression.type", codec);
            let offsets = driver.produce(&writer, &topic, &records).offsets();
            for reader in Driver::all() {
                let clear = read(reader, "analytics-clear", &topic, offsets[0], sent.len());
                assert_eq!(seen(&clear), sent);
                let masked = seen(&read(reader, "analytics", &topic, offsets[0], sent.len()));
                assert_eq!(masked.len(), sent.len());
                let bare = masked.last().expect("the bare document");
                let value: Value = serde_json::from_slice(bare).expect("a document");
                let token = value["customer"]["email"].as_str();
                assert!(token.is_some_and(|token| token.starts_with("tok_")));
                for (got, id) in masked.iter().zip(masked_ids) {
                    assert_eq!(got, &framed(id, bare), "the id stays, the rest is masked");
                }
                for got in &masked[masked_ids.len()..sent.len() - 1] {
                    let placeholder: Value = serde_json::from_slice(got).expect("a placeholder");
                    assert_eq!(placeholder, json!({"sluice": {"masked": "unknown-format"}}));
                }
            }
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

#[test]
fn tokens_keep_the_shape_that_their_mask_names() {
    let _alone = alone();
    let topic = sluice().topic("shaped");
    let value = json!({
        "customer": {"email": EMAIL},
        "card": {"number": "4111 1111-1111.1111"},
        "account": {"number": 4_111_111_111_111_111_u64},
        "street": {"number": "12a"},
    });
    for driver in Driver::all() {
        let sent = [value.to_string(), value.to_string()];
        let sent = Records::values(sent.iter().map(String::as_str));
        let offsets = driver
            .produce(&client("svc-orders"), &topic, &sent)
            .offsets();
        let masked = parsed(&read(driver, "analytics", &topic, offsets[0], 2));
        assert_eq!(masked[0], masked[1], "equal values have equal tokens");
        let masked = &masked[0];
        let email = masked["customer"]["email"].as_str().expect("a text");
        assert!(
            email.starts_with("tok_") && email.ends_with("@masked.invalid"),
            "{masked}"
        );
        let card = masked["card"]["number"].as_str().expect("a text");
        let layout: String = card
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(layout, "0000 0000-0000.0000");
        assert_ne!(masked["card"], value["card"]);
        let account = masked["account"]["number"].as_u64().expect("a number");
        assert_eq!(account.to_string().len(), 16);
        assert_ne!(masked["account"], value["account"]);
        let street = masked["street"]["number"].as_str().expect("a text");
        assert!(street.starts_with("tok_"), "{masked}");
    }
}

#[test]
fn a_document_in_a_string_is_masked_where_the_path_goes_into_it() {
    let _alone = alone();
    let topic = sluice().topic("quoted");
    let payload = json!({"customer": {"email": EMAIL, "name": "Ada \"the\" first"}});
    let values = [
        json!({"id": 1, "payload": payload.to_string()}).to_string(),
        json!({"id": 2, "payload": payload}).to_string(),
        json!({"id": 3, "payload": format!("mail to {EMAIL}")}).to_string(),
    ];
    for driver in Driver::all() {
        let sent = Records::values(values.iter().map(String::as_str));
        let offsets = driver
            .produce(&client("svc-orders"), &topic, &sent)
            .offsets();
        let read = read(driver, "analytics", &topic, offsets[0], 3);
        assert!(!format!("{read:?}").contains(EMAIL), "{read:?}");
        let masked = parsed(&read);
        let inner = |value: &Value| -> Value {
            let text = value["payload"].as_str().expect("a text");
            serde_json::from_str(text).expect("a document")
        };
        let quoted = inner(&masked[0]);
        assert_eq!(quoted["customer"]["name"], payload["customer"]["name"]);
        let token = &quoted["customer"]["email"];
        assert!(
            token
                .as_str()
                .is_some_and(|token| token.starts_with("tok_"))
        );
        assert_eq!(&masked[1]["payload"]["customer"]["email"], token);
        assert_eq!(
            inner(&masked[2]),
            json!({"sluice": {"masked": "unparsable"}})
        );
        let ids: Vec<_> = masked.iter().map(|value| &value["id"]).collect();
        assert_eq!(ids, [&json!(1), &json!(2), &json!(3)]);
    }
}

#[test]
fn keys_and_headers_are_masked_where_a_mask_names_them() {
    let _alone = alone();
    let topic = sluice().topic("keyed");
    let value = json!({"user": EMAIL, "n": 1}).to_string();
    for driver in Driver::all() {
        let records = Records::of(vec![
            json!({"key": EMAIL, "value": value, "headers": [["x-user", EMAIL], ["source", "web"], ["x-user", "other"]]}),
            json!({"key": EMAIL, "value": null, "headers": []}),
            json!({"key": "another", "value": value, "headers": [["source", "web"]]}),
        ]);
        let offsets = driver
            .produce(&client("svc-orders"), &topic, &records)
            .offsets();
        for reader in Driver::all() {
            let masked = read(reader, "analytics", &topic, offsets[0], offsets.len());
            assert!(!format!("{masked:?}").contains(EMAIL), "{masked:?}");
            let seen = masked.records();
            let key = seen[0]["key"].as_str().expect("a key is text");
            assert!(key.starts_with("tok_"), "{masked:?}");
            assert_eq!(seen[1]["key"], key, "equal keys stay equal");
            assert_eq!(seen[1]["value"], Value::Null);
            assert_ne!(seen[2]["key"], key);
            let fields: Value = serde_json::from_str(seen[0]["value"].as_str().expect("a text"))
                .expect("a masked value is JSON");
            assert_eq!(fields, json!({"user": key, "n": 1}));
            let headers = seen[0]["headers"].as_array().expect("a list");
            assert_eq!(headers[0], json!(["x-user", key]));
            assert_eq!(headers[1], json!(["source", "web"]));
            assert!(
                headers[2][1]
                    .as_str()
                    .is_some_and(|token| token.starts_with("tok_"))
            );
            assert_eq!(headers.len(), 3);
            assert_eq!(seen[2]["headers"], json!([["source", "web"]]));
        }
    }
}

#[test]
fn a_masked_value_keeps_its_length_where_the_mask_says_so() {
    let _alone = alone();
    let topic = sluice().topic("fixed");
    let values = [
        json!({"customer": {"email": EMAIL}, "pin": "1234", "n": 1}).to_string(),
        json!({"customer": {"email": EMAIL}, "pin": 1234, "n": 2}).to_string(),
    ];
    for driver in Driver::all() {
        let sent = Records::values(values.iter().map(String::as_str));
        let offsets = driver
            .produce(&client("svc-orders"), &topic, &sent)
            .offsets();
        let read = read(driver, "analytics", &topic, offsets[0], 2);
        let lengths: Vec<usize> = read.values().iter().map(|value| value.len()).collect();
        assert_eq!(lengths, [values[0].len(), values[1].len()], "{read:?}");
        let masked = parsed(&read);
        let token = masked[0]["customer"]["email"].as_str().expect("a text");
        assert!(token.starts_with("tok_") && token.len() == EMAIL.len());
        assert_eq!(masked[1]["customer"]["email"], token);
        assert_eq!(
            (&masked[0]["pin"], &masked[1]["pin"]),
            (&json!("****"), &json!("**"))
        );
    }
}
