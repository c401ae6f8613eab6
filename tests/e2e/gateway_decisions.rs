//! What policy denies, as clients see it, and that nothing of it reached the broker.

use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::{
    Answer, Client, Driver, Kafka, Oidc, Records, Sluice, SluiceOptions, unique, wait_for,
};

use crate::gateway::{
    GROUP_AUTHORIZATION_FAILED, POLICY_VIOLATION, TOPIC_AUTHORIZATION_FAILED,
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED, close, group, produce_open, sluice_with_policy,
    stored_end, stored_values,
};

const CLUSTER_AUTHORIZATION_FAILED: i64 = 31;
const UNKNOWN_TOPIC_OR_PARTITION: i64 = 3;

fn sluice() -> &'static Sluice {
    static SLUICE: OnceLock<Sluice> = OnceLock::new();
    SLUICE.get_or_init(|| sluice_with_policy(&SluiceOptions::default()))
}

fn client(who: &str) -> Client {
    sluice().client(Oidc::shared().login(who))
}

#[track_caller]
fn denied(answer: &Answer, codes: &[i64]) {
    let code = answer.error_code();
    assert!(
        code.is_some_and(|code| codes.contains(&code)),
        "{codes:?} expected: {answer:?}"
    );
}

/// A topic that is there, and that no role names, with one record.
fn hidden_topic() -> String {
    let kafka = Kafka::shared();
    let topic = kafka.create_topic("hidden", 1);
    Driver::java()
        .produce(
            &kafka.client("harness"),
            &topic,
            &Records::values(["hidden"]),
        )
        .offsets();
    topic
}

#[test]
fn a_topic_that_no_role_names_is_denied_for_writing_and_reading() {
    let hidden = hidden_topic();
    for driver in Driver::all() {
        denied(
            &driver.produce(&client("svc-orders"), &hidden, &Records::numbered(1)),
            &[TOPIC_AUTHORIZATION_FAILED],
        );
        // May be written by its owner, and read by nobody but the analysts.
        let orders = sluice().topic("orders");
        denied(
            &driver.produce(
                &client("svc-payments"),
                &orders,
                &Records::values(["not mine"]),
            ),
            &[TOPIC_AUTHORIZATION_FAILED],
        );
        let assign = json!({"assign": [{"topic": orders, "offset": 0}], "timeout_ms": 15_000});
        let read = driver.order(
            "consume",
            &client("svc-orders").with("group.id", group()),
            assign,
        );
        // librdkafka also looks for the group's coordinator, and whichever answer is first counts.
        denied(
            &read,
            &[TOPIC_AUTHORIZATION_FAILED, GROUP_AUTHORIZATION_FAILED],
        );
        assert!(read.records().is_empty());
        // By subscription: librdkafka says nothing of an assigned topic whose metadata it is denied.
        denied(
            &driver.consume(&client("analytics"), &group(), &hidden, 1),
            &[TOPIC_AUTHORIZATION_FAILED],
        );
    }
    assert_eq!(stored_end(&hidden), 1, "somebody wrote after all");
    let orders = sluice().topic("orders");
    let stored = stored_values(
        &orders,
        usize::try_from(stored_end(&orders)).expect("an offset"),
    );
    assert!(!stored.contains(&"not mine".to_owned()));
}

#[test]
fn a_group_that_no_role_names_is_denied() {
    let orders = sluice().topic("orders");
    for driver in Driver::all() {
        let read = driver.consume(&client("analytics"), &unique("mine"), &orders, 1);
        denied(&read, &[GROUP_AUTHORIZATION_FAILED]);
        assert!(read.records().is_empty());
    }
}

#[test]
fn a_principal_without_a_binding_gets_nothing() {
    let orders = sluice().topic("orders");
    for driver in Driver::all() {
        let before = stored_end(&orders);
        let written = driver.produce(
            &client("mallory"),
            &orders,
            &Records::values(["mallory was here"]),
        );
        assert!(written.error_code().is_some(), "{written:?}");
        let listed = driver.order("list_topics", &client("mallory"), json!({}));
        let topics = &listed.clone();
        assert!(
            topics.error_code().is_some() || topics.ok()["topics"] == json!([]),
            "{listed:?}"
        );
        // Others write meanwhile.
        let stored = stored_values(
            &orders,
            usize::try_from(stored_end(&orders)).expect("an offset"),
        );
        assert!(
            !stored.contains(&"mallory was here".to_owned()),
            "from {before}"
        );
    }
}

#[test]
fn one_producer_writes_where_it_may_and_is_denied_where_it_may_not() {
    let (orders, hidden) = (sluice().topic("orders"), hidden_topic());
    for driver in Driver::all() {
        let producer = client("svc-orders").with("linger.ms", "200");
        let mark = unique("mixed");
        let records = (0..20)
            .map(|n| json!({"topic": if n % 2 == 0 { &orders } else { &hidden }, "value": format!("{mark}-{n}")}))
            .collect();
        let written = driver.produce(&producer, &orders, &Records::of(records));
        let results = written.ok()["results"]
            .as_array()
            .cloned()
            .expect("results");
        for (n, result) in results.iter().enumerate() {
            match n % 2 {
                0 => assert!(result["offset"].is_i64(), "{result}"),
                _ => assert_eq!(
                    result["error"]["code"], TOPIC_AUTHORIZATION_FAILED,
                    "{result}"
                ),
            }
        }
        let stored = stored_values(
            &orders,
            usize::try_from(stored_end(&orders)).expect("an offset"),
        );
        let mine: Vec<_> = stored
            .iter()
            .filter(|value| value.starts_with(&mark))
            .collect();
        let expected: Vec<String> = (0..20).step_by(2).map(|n| format!("{mark}-{n}")).collect();
        assert_eq!(mine, expected.iter().collect::<Vec<_>>());
        assert_eq!(stored_end(&hidden), 1);
    }
}

#[test]
fn transactions_run_under_the_ids_that_policy_names() {
    let orders = sluice().topic("orders");
    for driver in Driver::all() {
        let mark = unique("transaction");
        let order = json!({"topic": orders, "transaction": "commit", "records": [{"value": mark}]});
        let allowed = client("svc-orders").with("transactional.id", unique("orders-transaction"));
        driver.order("produce", &allowed, order.clone()).ok();
        let denied_id =
            client("svc-orders").with("transactional.id", unique("payments-transaction"));
        denied(
            &driver.order("produce", &denied_id, order.clone()),
            &[TRANSACTIONAL_ID_AUTHORIZATION_FAILED],
        );
        let reader = client("analytics-clear").with("isolation.level", "read_committed");
        let end = stored_end(&orders);
        let assign = json!({"assign": [{"topic": orders, "offset": end - 2}], "count": 1});
        let read = driver.order("consume", &reader.with("group.id", group()), assign);
        read.ok();
        assert!(read.records().len() == 1, "{read:?}");
        let stored = stored_values(&orders, usize::try_from(end).expect("an offset") - 1);
        assert_eq!(stored.iter().filter(|value| **value == mark).count(), 1);
    }
}

#[test]
fn metadata_lists_only_what_may_be_described() {
    let hidden = hidden_topic();
    let sluice = sluice();
    for driver in Driver::all() {
        let topics =
            |who: &str| driver.order("list_topics", &client(who), json!({})).ok()["topics"].clone();
        assert_eq!(topics("svc-orders"), json!([sluice.topic("orders")]));
        assert_eq!(
            topics("analytics")
                .as_array()
                .map_or(Value::Null, |names| sorted(names)),
            json!([sluice.topic("orders"), sluice.topic("payments")])
                .as_array()
                .map_or(Value::Null, |names| sorted(names))
        );
        let all = topics("carol");
        assert!(
            all.as_array()
                .is_some_and(|all| all.contains(&json!(hidden))),
            "{all}"
        );
        let described = driver.order(
            "describe_topic",
            &client("svc-orders"),
            json!({ "topic": hidden }),
        );
        denied(
            &described,
            &[TOPIC_AUTHORIZATION_FAILED, UNKNOWN_TOPIC_OR_PARTITION],
        );
    }
}

fn sorted(names: &[Value]) -> Value {
    let mut names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
    names.sort_unstable();
    json!(names)
}

#[test]
fn clients_see_no_address_of_a_broker() {
    let (sluice, kafka) = (sluice(), Kafka::shared());
    let brokers: Vec<&str> = kafka.addresses().iter().map(String::as_str).collect();
    for driver in Driver::all() {
        let cluster = driver.order("describe_cluster", &client("carol"), json!({}));
        let nodes = cluster.ok()["nodes"].as_array().cloned().expect("nodes");
        assert_eq!(nodes.len(), 1, "{cluster:?}");
        let topic = driver.order(
            "describe_topic",
            &client("carol"),
            json!({"topic": sluice.topic("orders")}),
        );
        let leader = topic.ok()["partitions"][0]["leader"].clone();
        for node in [&nodes[0], &leader] {
            let address = format!(
                "{}:{}",
                node["host"].as_str().unwrap_or_default(),
                node["port"]
            );
            assert!(
                !brokers.contains(&address.as_str()),
                "{address} is the broker's own"
            );
            assert_eq!(node["host"], "127.0.0.1");
            assert_ne!(
                node["port"],
                json!(sluice.bootstrap_port()),
                "a broker has a port of its own"
            );
        }
    }
}

#[test]
fn an_administrator_does_what_policy_allows() {
    for driver in Driver::all() {
        let topic = unique("administered");
        let order = |verb: &str, extra: Value| {
            let mut extra = extra;
            extra["topic"] = json!(topic);
            driver.order(verb, &client("carol"), extra).ok().clone()
        };
        order(
            "create_topic",
            json!({"partitions": 1, "configs": {"retention.ms": "1000000"}}),
        );
        order(
            "alter_configs",
            json!({"configs": {"retention.ms": "2000000"}}),
        );
        assert_eq!(
            order("describe_configs", json!({}))["configs"]["retention.ms"],
            "2000000"
        );
        order("create_partitions", json!({"partitions": 2}));
        order("delete_topic", json!({}));
        let seen = Driver::java().order(
            "describe_topic",
            &Kafka::shared().client("harness"),
            json!({ "topic": topic }),
        );
        assert_eq!(
            seen.error_code(),
            Some(UNKNOWN_TOPIC_OR_PARTITION),
            "{seen:?}"
        );
    }
}

/// Java names topics by id once the broker does. A topic that is created again has another id, and one name.
#[test]
fn a_topic_named_by_id_is_decided_by_name_and_may_be_created_again() {
    const FIRST_VERSION_WITH_IDS: i64 = 13;
    let oidc = Oidc::shared();
    let sluice = sluice_with_policy(&SluiceOptions::default());
    let topic = sluice.topic("orders");
    let login = |who: &str| sluice.client(oidc.login(who));
    let writer = login("svc-orders");
    let name = unique("by-id");
    let write = || produce_open(Driver::java(), &writer, &name, &topic, "v");
    assert_eq!(write().offsets(), [0]);

    let again = json!({"topic": topic, "partitions": 1});
    let administrator = login("carol");
    let administer = |verb: &str| {
        Driver::java()
            .order(verb, &administrator, again.clone())
            .ok();
    };
    administer("delete_topic");
    wait_for("a new topic of that name", Duration::from_secs(60), || {
        let created = Driver::java().order("create_topic", &administrator, again.clone());
        created.error_code().is_none().then_some(())
    });
    assert_eq!(write().offsets(), [0], "the first record of the new topic");
    let reader = login("analytics").with("group.id", group());
    let read = Driver::java().order(
        "consume",
        &reader,
        json!({"assign": [{"topic": topic, "offset": 0}], "count": 1}),
    );
    assert_eq!(read.ok()["records"].as_array().map(Vec::len), Some(1));
    close(Driver::java(), &writer, &name);

    for api_key in [0, 1] {
        let by_id = wait_for(
            "evidence of a request by id",
            Duration::from_secs(60),
            || {
                let found = sluice.evidence(oidc, &["--topic", &topic, "--kind", "Outcome"]);
                found
                    .into_iter()
                    .find(|record| record["api_key"] == json!(api_key))
            },
        );
        let version = by_id["api_version"].as_i64();
        assert!(version >= Some(FIRST_VERSION_WITH_IDS), "{by_id}");
    }
}

#[test]
fn who_is_no_administrator_deletes_and_alters_nothing() {
    let orders = sluice().topic("orders");
    for driver in Driver::all() {
        let service = client("svc-orders");
        let codes = [TOPIC_AUTHORIZATION_FAILED];
        denied(
            &driver.order("delete_topic", &service, json!({ "topic": orders })),
            &codes,
        );
        denied(
            &driver.order(
                "delete_records",
                &service,
                json!({"topic": orders, "before": 1}),
            ),
            &codes,
        );
        denied(
            &driver.order(
                "alter_configs",
                &service,
                json!({"topic": orders, "configs": {"retention.ms": "1"}}),
            ),
            &codes,
        );
        denied(
            &driver.order(
                "create_partitions",
                &service,
                json!({"topic": orders, "partitions": 9}),
            ),
            &codes,
        );
        let made = driver.order("create_topic", &service, json!({"topic": unique("made")}));
        denied(
            &made,
            &[TOPIC_AUTHORIZATION_FAILED, CLUSTER_AUTHORIZATION_FAILED],
        );
        let broker = driver.order(
            "alter_configs",
            &client("carol"),
            json!({"broker": "1", "configs": {"log.retention.ms": "1"}}),
        );
        denied(&broker, &[CLUSTER_AUTHORIZATION_FAILED]);
    }
    let looked = Driver::java().order(
        "describe_configs",
        &Kafka::shared().client("harness"),
        json!({ "topic": orders }),
    );
    assert_ne!(looked.ok()["configs"]["retention.ms"], "1");
}

#[test]
fn an_immutable_topic_withstands_its_administrator() {
    let kafka = Kafka::shared();
    let ledger = sluice().topic("ledger");
    let carol = client("carol");
    let written =
        Driver::java().produce(&client("svc-ledger"), &ledger, &Records::values(["kept"]));
    written.offsets();
    let looked = |verb: &str| {
        Driver::java()
            .order(verb, &kafka.client("harness"), json!({ "topic": ledger }))
            .ok()
            .clone()
    };
    let (id, configs) = (
        looked("describe_topic")["topic_id"].clone(),
        looked("describe_configs"),
    );

    let (java, librdkafka) = (Driver::java(), Driver::librdkafka());
    denied(
        &java.order("delete_topic", &carol, json!({ "topic": ledger })),
        &[POLICY_VIOLATION],
    );
    denied(
        &java.order("delete_topic", &carol, json!({ "topic_id": id })),
        &[POLICY_VIOLATION],
    );
    // librdkafka asks by a version of DeleteTopics that has no message to carry the reason.
    denied(
        &librdkafka.order("delete_topic", &carol, json!({ "topic": ledger })),
        &[TOPIC_AUTHORIZATION_FAILED, POLICY_VIOLATION],
    );
    for driver in Driver::all() {
        let cut = driver.order(
            "delete_records",
            &carol,
            json!({"topic": ledger, "before": 1}),
        );
        denied(&cut, &[TOPIC_AUTHORIZATION_FAILED, POLICY_VIOLATION]);
        for configs in [
            json!({"retention.ms": "1000"}),
            json!({"cleanup.policy": "compact"}),
            json!({"retention.bytes": "1"}),
            json!({"max.message.bytes": "1"}),
        ] {
            let altered = driver.order(
                "alter_configs",
                &carol,
                json!({"topic": ledger, "configs": configs}),
            );
            denied(&altered, &[POLICY_VIOLATION]);
        }
        let unset = driver.order(
            "alter_configs",
            &carol,
            json!({"topic": ledger, "unset": ["retention.ms"]}),
        );
        denied(&unset, &[POLICY_VIOLATION]);
        let grown = driver.order(
            "create_partitions",
            &carol,
            json!({"topic": ledger, "partitions": 2}),
        );
        denied(&grown, &[POLICY_VIOLATION]);
    }
    let replaced = librdkafka.order(
        "replace_configs",
        &carol,
        json!({"topic": ledger, "configs": {"retention.ms": "1000"}}),
    );
    denied(&replaced, &[POLICY_VIOLATION]);

    assert_eq!(
        looked("describe_topic")["topic_id"],
        id,
        "it is another topic now"
    );
    assert_eq!(looked("describe_configs")["configs"], configs["configs"]);
    assert_eq!(looked("list_offsets")["earliest"], 0);
    assert_eq!(stored_values(&ledger, 1), ["kept"]);
    // A longer life is no harm.
    java.order(
        "alter_configs",
        &carol,
        json!({"topic": ledger, "configs": {"retention.ms": "-1"}}),
    )
    .ok();
}

/// The tests' ledger is made behind the gateway's back, and so with the brokers' own week of retention.
#[test]
fn a_setting_that_lets_an_immutable_topic_forget_is_seen_wherever_it_was_changed() {
    let sluice = sluice_with_policy(&SluiceOptions::default());
    let violations = || sluice.metric("sluice_immutable_violations");
    let until = |what: &str, count: u64| {
        wait_for(what, Duration::from_secs(90), || {
            (violations() == Some(count)).then_some(())
        });
    };
    until("the short retention", 1);
    let ledger = sluice.topic("ledger");
    assert!(
        sluice.process().log().contains(&ledger),
        "the log does not name it"
    );
    let set = |configs: Value| {
        let order = json!({"topic": ledger, "configs": configs});
        let harness = Kafka::shared().client("harness");
        Driver::java().order("alter_configs", &harness, order).ok();
    };
    set(json!({"retention.ms": "-1", "cleanup.policy": "compact", "retention.bytes": "1000"}));
    until("compaction and a size limit", 2);
    set(json!({"cleanup.policy": "delete", "retention.bytes": "-1"}));
    until("nothing any more", 0);
}

#[test]
fn an_immutable_topic_is_not_made_with_a_short_life() {
    let (sluice, oidc) = (sluice(), Oidc::shared());
    let archive = sluice.topic("archive");
    sluice.apply(
        oidc,
        "frank",
        "kind: TopicClass\nmetadata: {name: archives}\nspec: {topics: [{prefix: archive@T@}], immutable: true, retention_min: 30d}\n",
    );
    let carol = client("carol");
    for (n, driver) in Driver::all().into_iter().enumerate() {
        let topic = format!("{archive}-{n}");
        for configs in [
            json!({}),
            json!({"cleanup.policy": "delete", "retention.ms": "1000"}),
            json!({"cleanup.policy": "compact", "retention.ms": "-1"}),
        ] {
            let made = driver.order(
                "create_topic",
                &carol,
                json!({"topic": topic, "configs": configs}),
            );
            denied(&made, &[POLICY_VIOLATION]);
        }
        let seen = Driver::java().order(
            "describe_topic",
            &Kafka::shared().client("harness"),
            json!({ "topic": topic }),
        );
        assert_eq!(
            seen.error_code(),
            Some(UNKNOWN_TOPIC_OR_PARTITION),
            "{seen:?}"
        );
        let good =
            json!({"topic": topic, "configs": {"cleanup.policy": "delete", "retention.ms": "-1"}});
        driver.order("create_topic", &carol, good).ok();
    }
}
