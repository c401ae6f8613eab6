//! The parts by themselves, without the gateway: if one of these fails, no other end-to-end test means anything.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sluice_tests::{
    Certificate, Client, Driver, Etcd, Kafka, KafkaOptions, Oidc, Records, claims,
    console_consumer, console_producer, http_get, kcat, unique,
};

const TOPIC_AUTHORIZATION_FAILED: i64 = 29;
const GROUP_AUTHORIZATION_FAILED: i64 = 30;
const CLUSTER_AUTHORIZATION_FAILED: i64 = 31;
const SASL_AUTHENTICATION_FAILED: i64 = 58;
/// librdkafka's own code for a login that the other side did not accept.
const LIBRDKAFKA_AUTHENTICATION: i64 = -169;

#[test]
fn java_produces_and_consumes_without_the_gateway() {
    round_trip(Driver::java());
}

#[test]
fn librdkafka_produces_and_consumes_without_the_gateway() {
    round_trip(Driver::librdkafka());
}

fn round_trip(driver: &Driver) {
    let kafka = Kafka::shared();
    let topic = kafka.create_topic("round-trip", 1);
    let client = kafka.client("harness");
    let produced = driver.produce(&client, &topic, &Records::numbered(100));
    assert_eq!(produced.offsets(), (0..100).collect::<Vec<i64>>());

    let consumed = driver.consume(
        &kafka.scram_client("harness"),
        &unique("group"),
        &topic,
        100,
    );
    consumed.ok();
    let expected: Vec<String> = (0..100).map(|n| format!("value-{n}")).collect();
    assert_eq!(consumed.values(), expected);
}

#[test]
fn bytes_headers_and_tombstones_arrive_as_they_were_sent() {
    let kafka = Kafka::shared();
    let client = kafka.client("harness");
    let sent = json!([
        {"key": "k", "value": null, "headers": [["h", "one"], ["h", "two"], ["none", null]]},
        {"key": null, "value": {"base64": "/wD+"}, "headers": []},
    ]);
    for driver in Driver::all() {
        let topic = kafka.create_topic("bytes", 1);
        let records = Records::of(sent.as_array().cloned().unwrap_or_default());
        driver.produce(&client, &topic, &records).offsets();
        let consumed = driver.consume(&client, &unique("group"), &topic, 2);
        let received: Vec<Value> = consumed
            .records()
            .iter()
            .map(|record| json!({"key": record["key"], "value": record["value"], "headers": record["headers"]}))
            .collect();
        assert_eq!(Value::Array(received), sent);
    }
}

#[test]
fn what_a_transaction_aborted_is_not_read() {
    let kafka = Kafka::shared();
    let client = kafka.client("harness");
    for driver in Driver::all() {
        let topic = kafka.create_topic("transaction", 1);
        let producer = client
            .clone()
            .with("transactional.id", unique("transaction"));
        let name = unique("producer");
        for end in ["abort", "commit"] {
            let order = json!({"client": name, "topic": topic, "transaction": end, "records": [{"value": end}]});
            driver.order("produce", &producer, order).ok();
        }
        driver
            .order("close", &client, json!({ "client": name }))
            .ok();
        let reader = client.clone().with("isolation.level", "read_committed");
        let consumed = driver.consume(&reader, &unique("group"), &topic, 1);
        consumed.ok();
        assert_eq!(consumed.values(), ["commit"]);
    }
}

#[test]
fn a_client_that_stays_open_goes_on_where_it_was() {
    let kafka = Kafka::shared();
    let client = kafka.client("harness");
    for driver in Driver::all() {
        let topic = kafka.create_topic("open", 1);
        let name = unique("consumer");
        let reader = client
            .clone()
            .with("group.id", unique("group"))
            .with("auto.offset.reset", "earliest");
        let order = json!({"client": name, "topics": [topic], "count": 1});
        for value in ["first", "second"] {
            driver
                .produce(&client, &topic, &Records::values([value]))
                .offsets();
            let consumed = driver.order("consume", &reader, order.clone());
            consumed.ok();
            assert_eq!(consumed.values(), [value]);
        }
        driver
            .order("close", &client, json!({ "client": name }))
            .ok();
    }
}

#[test]
fn the_broker_refuses_a_stranger_who_comes_straight_to_it() {
    let kafka = Kafka::shared();
    let topic = kafka.create_topic("closed", 1);
    kafka_accepts_the_stranger(kafka);
    for driver in Driver::all() {
        for stranger in [kafka.client("stranger"), kafka.scram_client("stranger")] {
            let produced = driver.produce(&stranger, &topic, &Records::numbered(1));
            assert_eq!(
                produced.error_code(),
                Some(TOPIC_AUTHORIZATION_FAILED),
                "{produced:?}"
            );
            let assign = json!({"assign": [{"topic": topic, "offset": 0}], "timeout_ms": 10_000});
            let consumed = driver.order("consume", &stranger.clone().with("group.id", "g"), assign);
            // librdkafka also asks for the group's coordinator, and whichever answer is first counts.
            let refusals = [
                Some(TOPIC_AUTHORIZATION_FAILED),
                Some(GROUP_AUTHORIZATION_FAILED),
            ];
            assert!(refusals.contains(&consumed.error_code()), "{consumed:?}");
            assert!(consumed.records().is_empty());
            let deleted = driver.order("delete_topic", &stranger, json!({ "topic": topic }));
            assert_eq!(
                deleted.error_code(),
                Some(TOPIC_AUTHORIZATION_FAILED),
                "{deleted:?}"
            );
            let altered = driver.order(
                "alter_configs",
                &stranger,
                json!({"broker": "1", "configs": {"log.retention.ms": "1"}}),
            );
            assert_eq!(
                altered.error_code(),
                Some(CLUSTER_AUTHORIZATION_FAILED),
                "{altered:?}"
            );
        }
    }
    let looked = Driver::java().order(
        "list_offsets",
        &kafka.client("harness"),
        json!({ "topic": topic }),
    );
    assert_eq!(looked.ok()["latest"], 0, "the stranger wrote after all");
}

/// Refused for want of permission, not for a wrong password.
fn kafka_accepts_the_stranger(kafka: &Kafka) {
    let seen = Driver::java().order("list_topics", &kafka.client("stranger"), json!({}));
    assert_eq!(seen.ok()["topics"], json!([]));
}

#[test]
fn an_administrator_can_do_everything_without_the_gateway() {
    let kafka = Kafka::shared();
    let client = kafka.client("harness");
    for driver in Driver::all() {
        let topic = unique("administered");
        let order = |verb: &str, extra: Value| {
            let mut extra = extra;
            extra["topic"] = json!(topic);
            driver.order(verb, &client, extra).ok().clone()
        };
        order(
            "create_topic",
            json!({"partitions": 1, "configs": {"retention.ms": "1000000"}}),
        );
        assert_eq!(
            order("describe_configs", json!({}))["configs"]["retention.ms"],
            "1000000"
        );
        order(
            "alter_configs",
            json!({"configs": {"retention.ms": "2000000"}}),
        );
        assert_eq!(
            order("describe_configs", json!({}))["configs"]["retention.ms"],
            "2000000"
        );
        order("alter_configs", json!({"unset": ["retention.ms"]}));
        assert_ne!(
            order("describe_configs", json!({}))["configs"]["retention.ms"],
            "2000000"
        );
        order("create_partitions", json!({"partitions": 2}));
        assert_eq!(
            order("describe_topic", json!({}))["partitions"]
                .as_array()
                .map(Vec::len),
            Some(2)
        );

        let records = Records::of(vec![
            json!({"partition": 0, "value": "a"}),
            json!({"partition": 0, "value": "b"}),
        ]);
        driver.produce(&client, &topic, &records).offsets();
        order("delete_records", json!({"before": 1}));
        let offsets = order("list_offsets", json!({}));
        assert_eq!(
            (&offsets["earliest"], &offsets["latest"]),
            (&json!(1), &json!(2))
        );
        order("delete_topic", json!({}));
        let left = driver.order("list_topics", &client, json!({}));
        assert!(
            !left.ok()["topics"]
                .as_array()
                .is_some_and(|topics| topics.contains(&json!(topic)))
        );
    }
}

#[test]
fn a_topic_is_deleted_by_its_id() {
    let kafka = Kafka::shared();
    let client = kafka.client("harness");
    let topic = unique("by-id");
    let created = Driver::java().order("create_topic", &client, json!({ "topic": topic }));
    let id = &created.ok()["topic_id"];
    let described = Driver::java().order("describe_topic", &client, json!({ "topic_id": id }));
    assert_eq!(described.ok()["topic"], json!(topic));
    Driver::java()
        .order("delete_topic", &client, json!({ "topic_id": id }))
        .ok();
    let described = Driver::java().order("describe_topic", &client, json!({ "topic": topic }));
    assert_eq!(described.error_code(), Some(3), "{described:?}");
}

#[test]
fn the_old_call_that_replaces_a_whole_configuration_is_at_hand() {
    let kafka = Kafka::shared();
    let client = kafka.client("harness");
    let topic = kafka.create_topic("replaced", 1);
    let driver = Driver::librdkafka();
    for (set, name) in [("retention.ms", "1000000"), ("segment.ms", "2000000")] {
        let configs = json!({"topic": topic, "configs": {set: name}});
        driver.order("replace_configs", &client, configs).ok();
    }
    let now = driver.order("describe_configs", &client, json!({ "topic": topic }));
    assert_eq!(now.ok()["configs"]["segment.ms"], "2000000");
    assert_ne!(
        now.ok()["configs"]["retention.ms"],
        "1000000",
        "the second call replaces what the first one set"
    );
}

#[test]
fn people_s_tools_produce_and_consume_without_the_gateway() {
    let kafka = Kafka::shared();
    let client = kafka.client("harness");
    let topic = kafka.create_topic("tools", 1);
    let written = console_producer(&client, &topic, &["from the console"]);
    assert!(written.status.success(), "{written:?}");
    let written = kcat(&client, &["-P", "-t", &topic], "from kcat\n");
    assert!(written.status.success(), "{written:?}");

    let expected = "from the console\nfrom kcat\n";
    let read = console_consumer(&client, &unique("group"), &topic, 2);
    assert_eq!(String::from_utf8_lossy(&read.stdout), expected, "{read:?}");
    let arguments = ["-C", "-q", "-t", &topic, "-o", "beginning", "-c", "2", "-e"];
    let read = kcat(&client, &arguments, "");
    assert_eq!(String::from_utf8_lossy(&read.stdout), expected, "{read:?}");
}

#[test]
fn three_nodes_survive_the_death_of_one() {
    let mut kafka = Kafka::start(&KafkaOptions {
        nodes_count: 3,
        ..KafkaOptions::default()
    });
    let client = kafka.client("harness");
    let seen = Driver::java().order("describe_cluster", &client, json!({}));
    let nodes = seen.ok()["nodes"].as_array().cloned().unwrap_or_default();
    let addresses: BTreeSet<String> = nodes
        .iter()
        .map(|node| {
            format!(
                "{}:{}",
                node["host"].as_str().unwrap_or_default(),
                node["port"]
            )
        })
        .collect();
    assert_eq!(addresses, kafka.addresses().iter().cloned().collect());

    let topic = kafka.create_topic("replicated", 3);
    Driver::java()
        .produce(&client, &topic, &Records::numbered(10))
        .offsets();
    kafka.kill_node(3);
    Driver::java()
        .produce(&client, &topic, &Records::numbered(10))
        .offsets();
    kafka.restart_node(3);
    let consumed = Driver::librdkafka().consume(&client, &unique("group"), &topic, 20);
    consumed.ok();
    assert_eq!(consumed.records().len(), 20);
}

#[test]
fn a_server_property_can_be_replaced() {
    let overrides = vec![("auto.create.topics.enable".to_owned(), "true".to_owned())];
    let kafka = Kafka::start(&KafkaOptions {
        overrides,
        ..KafkaOptions::default()
    });
    let produced = Driver::librdkafka().produce(
        &kafka.client("harness"),
        "made-by-writing",
        &Records::numbered(1),
    );
    assert_eq!(produced.offsets(), [0]);
}

#[test]
fn the_provider_s_tokens_say_who_and_for_whom() {
    let oidc = Oidc::shared();
    let token = claims(&oidc.token("analytics-clear"));
    assert_eq!(token["iss"], oidc.issuer());
    assert_eq!(token["aud"], "sluice");
    assert_eq!(token["sub"], "analytics-clear");
    assert_eq!(token["groups"], json!(["analysts", "cleared"]));
    let lives_s =
        |token: &Value| token["exp"].as_i64().unwrap_or(0) - token["iat"].as_i64().unwrap_or(0);
    assert_eq!(lives_s(&token), 3600);
    assert_eq!(lives_s(&claims(&oidc.token("svc-short"))), 5);
    assert_eq!(
        claims(&oidc.token_for_audience("mallory", "somewhere-else"))["aud"],
        "somewhere-else"
    );
}

#[test]
fn clients_log_in_with_tokens_over_tls() {
    let oidc = Oidc::shared();
    let certificate = Certificate::self_signed();
    let kafka = Kafka::start(&kafka_that_takes_tokens(oidc, &certificate));
    for driver in Driver::all() {
        for login in [oidc.login("svc-orders"), oidc.own_login("svc-orders")] {
            let client =
                Client::new(kafka.bootstrap(), login).with_tls(&certificate.certificate_pem);
            let seen = driver.order("describe_cluster", &client, json!({}));
            assert_eq!(seen.ok()["nodes"].as_array().map(Vec::len), Some(1));
        }
        let for_another = oidc.token_for_audience("svc-orders", "somewhere-else");
        for token in [for_another.as_str(), "not.a.token"] {
            let client = Client::new(kafka.bootstrap(), Oidc::login_with(token))
                .with_tls(&certificate.certificate_pem);
            let seen = driver.order("list_topics", &client, json!({}));
            let refusals = [
                Some(SASL_AUTHENTICATION_FAILED),
                Some(LIBRDKAFKA_AUTHENTICATION),
            ];
            assert!(refusals.contains(&seen.error_code()), "{seen:?}");
        }
    }
}

/// Kafka's own token validation stands in for the gateway's.
fn kafka_that_takes_tokens(oidc: &Oidc, certificate: &Certificate) -> KafkaOptions {
    let keystore = certificate.keystore_pem.display().to_string();
    let truststore = certificate.certificate_pem.display().to_string();
    let login_module =
        "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;";
    let validator =
        "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler";
    let overrides = [
        (
            "listener.security.protocol.map",
            "CLIENT:SASL_SSL,CONTROLLER:SASL_PLAINTEXT",
        ),
        ("listener.name.client.ssl.keystore.type", "PEM"),
        ("listener.name.client.ssl.keystore.location", &keystore),
        ("listener.name.client.ssl.truststore.type", "PEM"),
        ("listener.name.client.ssl.truststore.location", &truststore),
        (
            "listener.name.client.sasl.enabled.mechanisms",
            "PLAIN,OAUTHBEARER",
        ),
        (
            "listener.name.client.oauthbearer.sasl.jaas.config",
            login_module,
        ),
        (
            "listener.name.client.oauthbearer.sasl.server.callback.handler.class",
            validator,
        ),
        (
            "listener.name.client.oauthbearer.sasl.oauthbearer.jwks.endpoint.url",
            oidc.jwks_uri(),
        ),
        (
            "listener.name.client.oauthbearer.sasl.oauthbearer.expected.issuer",
            oidc.issuer(),
        ),
        (
            "listener.name.client.oauthbearer.sasl.oauthbearer.expected.audience",
            "sluice",
        ),
    ];
    KafkaOptions {
        overrides: overrides
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        java_options: format!(
            "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={}",
            oidc.jwks_uri()
        ),
        ..KafkaOptions::default()
    }
}

#[test]
fn a_restarted_provider_signs_with_other_keys() {
    let mut oidc = Oidc::start();
    let key_ids = |oidc: &Oidc| -> BTreeSet<String> {
        let keys = http_get(oidc.jwks_uri()).expect("the provider answers");
        let keys: Value = serde_json::from_str(&keys.body).expect("keys are JSON");
        keys["keys"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|key| key["kid"].to_string())
            .collect()
    };
    let before = key_ids(&oidc);
    let issuer = oidc.issuer().to_owned();
    oidc.restart_with_new_keys();
    let after = key_ids(&oidc);
    assert_eq!(issuer, oidc.issuer());
    assert_eq!((before.len(), after.len()), (2, 2));
    assert!(before.is_disjoint(&after));
}

#[test]
fn etcd_gives_back_what_it_was_given() {
    let etcd = Etcd::start();
    etcd.ctl(&["put", "role/orders-writer", "first"]);
    etcd.ctl(&["put", "role/orders-writer", "second"]);
    assert_eq!(
        etcd.ctl(&["get", "role/orders-writer", "--print-value-only"]),
        "second\n"
    );
    let first = etcd.ctl(&[
        "get",
        "role/orders-writer",
        "--print-value-only",
        "--rev",
        "2",
    ]);
    assert_eq!(first, "first\n", "a revision stays readable");
}
