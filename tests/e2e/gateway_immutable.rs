//! Immutable topics before real brokers: every way to destroy or to alter what they hold is refused to who has all
//! rights, changes nothing, and is recorded. The same request names a topic that is not immutable, and goes through for
//! that one.

mod scene;

use std::collections::BTreeSet;

use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, BrokerId, DeleteRecordsRequest, DeleteTopicsRequest,
    DescribeClusterRequest, ElectLeadersRequest, TopicName,
};
use serde_json::{Value, json};
use sluice_kafka::api;
use sluice_tests::{Driver, Kafka, KafkaOptions, Oidc, Records, Sluice, unique, wait_for};
use uuid::Uuid;

use crate::equivalence::wire::{Connection, Exchange};
use crate::gateway::{TOPIC_AUTHORIZATION_FAILED, items};
use scene::*;

#[test]
fn an_immutable_topic_is_deleted_neither_by_name_nor_by_id() {
    const DELETED: &str = "it may not be deleted";
    let mut scene = Scene::new();
    let before = scene.state(&scene.kept);
    let by_id = scene.state(&scene.plain).id;
    // The last version with a bare list of names, which can carry no reason; then the one in which ids may replace
    // names.
    for (version, code) in [(4, TOPIC_AUTHORIZATION_FAILED as i16), (5, VIOLATION)] {
        let request = DeleteTopicsRequest::default()
            .with_timeout_ms(20_000)
            .with_topic_names(vec![scene.kept.clone()]);
        let answer = scene.carol.call(version, &request);
        assert_eq!(answer.responses[0].error_code, code, "{answer:?}");
    }
    let by_name = |topic: &TopicName| DeleteTopicState::default().with_name(Some(topic.clone()));
    let by_ids = |id: Uuid| {
        DeleteTopicState::default()
            .with_name(None)
            .with_topic_id(id)
    };
    let doomed = TopicName(unique(&scene.sluice.topic("plain")).into());
    scene.create(vec![creatable(&doomed, &[], &[])]);
    for (kept, plain) in [
        (by_name(&scene.kept), by_name(&doomed)),
        (by_ids(before.id), by_ids(by_id)),
    ] {
        let request = DeleteTopicsRequest::default()
            .with_timeout_ms(20_000)
            .with_topics(vec![kept, plain]);
        let answer = scene.carol.call(6, &request);
        let mut codes: Vec<_> = answer
            .responses
            .iter()
            .map(|one| (one.name.as_ref() == Some(&scene.kept), one.error_code))
            .collect();
        codes.sort_unstable();
        assert_eq!(codes, [(false, NONE), (true, VIOLATION)], "{answer:?}");
    }
    let mut broker = harness(scene.kafka, 1);
    for gone in [&doomed, &scene.plain] {
        wait_for("the other topic's end", PATIENCE, || {
            described(&mut broker, gone)
                .partitions
                .is_empty()
                .then_some(())
        });
    }
    assert_eq!(scene.state(&scene.kept), before);
    scene.denied(&[(api::DELETE_TOPICS, DELETED); 4]);
}

#[test]
fn no_record_of_an_immutable_topic_is_deleted() {
    let mut scene = Scene::new();
    let before = scene.state(&scene.kept);
    // All of them, and as many as there are.
    for offset in [-1, 2] {
        let topics = scene.both().map(|topic| {
            let partition = DeleteRecordsPartition::default().with_offset(offset);
            DeleteRecordsTopic::default()
                .with_name(topic)
                .with_partitions(vec![partition])
        });
        let request = DeleteRecordsRequest::default()
            .with_timeout_ms(20_000)
            .with_topics(topics.to_vec());
        let answer = scene.carol.call(2, &request);
        let codes = answer
            .topics
            .into_iter()
            .map(|topic| (topic.name.0, topic.partitions[0].error_code));
        let codes = scene.sorted(codes);
        assert_eq!(codes[0], ("kept", VIOLATION));
        assert_eq!(codes.len(), 2, "{codes:?}");
        if offset == -1 {
            assert_eq!(codes[1], ("plain", NONE));
        }
    }
    assert_eq!(
        scene.state(&scene.plain).first,
        3,
        "nothing is left of the other topic"
    );
    assert_eq!(scene.state(&scene.kept), before);
    scene.denied(&[(api::DELETE_RECORDS, "its records may not be deleted"); 2]);
}

#[test]
fn an_immutable_topic_keeps_each_of_its_settings() {
    let mut scene = Scene::new();
    let before = scene.state(&scene.kept);
    let own = |scene: &Scene<'_>| settings(&mut harness(scene.kafka, 1), TOPIC, &scene.plain.0);
    let unset = own(&scene);
    let covered: BTreeSet<&str> = SETTINGS.iter().map(|(key, _)| *key).collect();
    assert_eq!(
        unset.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        covered,
        "the settings that a topic has"
    );
    let mut expected = Vec::new();
    for (key, value) in SETTINGS {
        let altered = scene.alter(&[(key, SET, Some(value))]);
        // These want a cluster with storage elsewhere. What counts is that the broker said so.
        let code = if key.starts_with("remote.") {
            altered[1].1
        } else {
            NONE
        };
        assert_eq!(
            altered,
            [("kept", VIOLATION), ("plain", code)],
            "{key}={value}"
        );
        assert!(
            [NONE, INVALID_CONFIG].contains(&code),
            "{key}={value}: {code}"
        );
        if code == NONE {
            let changed = wait_for(key, PATIENCE, || {
                own(&scene)[key].clone().filter(|now| now == value)
            });
            assert_ne!(
                Some(&changed),
                before.settings[key].as_ref(),
                "{key}: no other value than before"
            );
        }
        let altered = scene.alter(&[(key, DELETE, None)]);
        assert_eq!(
            altered,
            [("kept", VIOLATION), ("plain", NONE)],
            "{key} unset"
        );
        let cause = if key == "retention.ms" {
            "retention.ms may only grow"
        } else {
            "this setting may not change"
        };
        expected.extend([
            (api::INCREMENTAL_ALTER_CONFIGS, cause),
            (
                api::INCREMENTAL_ALTER_CONFIGS,
                "this setting may not change",
            ),
        ]);
    }
    // A list's parts, and a change that is harmless by itself beside one that is not.
    for change in [
        &[("cleanup.policy", APPEND, Some("compact"))][..],
        &[("cleanup.policy", SUBTRACT, Some("compact"))],
        &[
            ("retention.ms", SET, Some("-1")),
            ("segment.ms", SET, Some("100")),
        ],
    ] {
        assert_eq!(
            scene.alter(change),
            [("kept", VIOLATION), ("plain", NONE)],
            "{change:?}"
        );
        expected.push((
            api::INCREMENTAL_ALTER_CONFIGS,
            "this setting may not change",
        ));
    }
    // As a whole: what is not named falls back to the brokers' own, so even the same again is refused.
    for whole in [
        &[][..],
        &[("retention.ms", "1")],
        &[("cleanup.policy", "compact")],
        &[("retention.ms", "-1"), ("cleanup.policy", "delete")],
    ] {
        assert_eq!(
            scene.replace(whole),
            [("kept", VIOLATION), ("plain", NONE)],
            "{whole:?}"
        );
        expected.push((
            api::ALTER_CONFIGS,
            "its settings may not be replaced as a whole",
        ));
    }
    assert_eq!(scene.state(&scene.kept), before);
    scene.denied(&expected);
}

/// What a topic does not state for itself comes from there: its limit in bytes, for one.
#[test]
fn the_brokers_own_settings_are_out_of_reach() {
    const DANGEROUS: [(&str, &str); 6] = [
        ("log.retention.ms", "1"),
        ("log.retention.bytes", "1"),
        ("log.cleanup.policy", "compact"),
        ("log.segment.bytes", "1048576"),
        ("log.roll.ms", "1"),
        ("unclean.leader.election.enable", "true"),
    ];
    let mut scene = Scene::new();
    let brokers = ["", "1"].map(text);
    let in_force = |kafka| {
        brokers
            .clone()
            .map(|name| settings(&mut harness(kafka, 1), BROKER, &name))
    };
    let (before, defaults) = (scene.state(&scene.kept), in_force(scene.kafka));
    let is_ours = |record: &Value| {
        [api::ALTER_CONFIGS, api::INCREMENTAL_ALTER_CONFIGS]
            .iter()
            .any(|key| record["api_key"] == json!(key))
            && record["reason"]
                .as_str()
                .is_some_and(|reason| reason.contains("settings other than those of topics"))
    };
    for (key, value) in DANGEROUS {
        for name in &brokers {
            for operation in [SET, DELETE] {
                let value = (operation == SET).then_some(value);
                let answer = scene.carol.call(
                    1,
                    &alter(vec![(BROKER, name.clone())], &[(key, operation, value)]),
                );
                assert_eq!(
                    answer.responses[0].error_code, CLUSTER_AUTHORIZATION_FAILED,
                    "{key} {name:?}"
                );
            }
            let answer = scene
                .carol
                .call(2, &replace(vec![(BROKER, name.clone())], &[(key, value)]));
            assert_eq!(
                answer.responses[0].error_code, CLUSTER_AUTHORIZATION_FAILED,
                "{key} {name:?}"
            );
        }
    }
    assert_eq!(in_force(scene.kafka), defaults);
    assert_eq!(scene.state(&scene.kept), before);
    wait_for("a record of each denial", PATIENCE, || {
        let denied = scene.sluice.evidence(Oidc::shared(), &["--kind", "Denied"]);
        let count = denied.iter().filter(|record| is_ours(record)).count();
        (count == 3 * DANGEROUS.len() * brokers.len()).then_some(())
    });
}

#[test]
fn a_tombstone_erases_nothing_of_an_immutable_topic() {
    let mut scene = Scene::new();
    let writer = scene.sluice.client(Oidc::shared().login("svc-ledger"));
    let history = [
        json!({"key": "k", "value": "kept"}),
        json!({"key": "k", "value": null}),
    ];
    for topic in scene.both() {
        Driver::java()
            .produce(&writer, &topic, &Records::of(history.to_vec()))
            .offsets();
    }
    let before = scene.state(&scene.kept);
    assert_eq!(
        (before.first, before.end),
        (0, 5),
        "it is appended like any other record"
    );
    // It erases by compaction only, and now.
    let compact = [
        ("min.cleanable.dirty.ratio", SET, Some("0")),
        ("delete.retention.ms", SET, Some("0")),
        ("segment.ms", SET, Some("1")),
        ("cleanup.policy", SET, Some("compact")),
    ];
    for length in 1..=compact.len() {
        let change = &compact[compact.len() - length..];
        assert_eq!(
            scene.alter(change),
            [("kept", VIOLATION), ("plain", NONE)],
            "{change:?}"
        );
    }
    let plain = settings(&mut harness(scene.kafka, 1), TOPIC, &scene.plain.0);
    assert_eq!(
        plain["cleanup.policy"].as_deref(),
        Some("compact"),
        "the other topic is compacted from now on"
    );
    assert_eq!(scene.state(&scene.kept), before);
    let read = Driver::java().consume(
        &scene.kafka.client("harness"),
        &unique("look"),
        &scene.kept,
        5,
    );
    let read: Vec<_> = read
        .records()
        .iter()
        .map(|record| (record["key"].clone(), record["value"].clone()))
        .collect();
    assert_eq!(
        read[3..],
        history.map(|record| (record["key"].clone(), record["value"].clone()))
    );
    scene.denied(
        &[(
            api::INCREMENTAL_ALTER_CONFIGS,
            "this setting may not change",
        ); 4],
    );
}

#[test]
fn an_immutable_topic_is_not_created_again() {
    let mut scene = Scene::new();
    let before = scene.state(&scene.kept);
    // As its class demands it: the broker says that it is there. Otherwise its class says no.
    let again = scene.kept_forever(&[]);
    let short = creatable(
        &scene.kept,
        &[],
        &[("cleanup.policy", "delete"), ("retention.ms", "1")],
    );
    let compacted = creatable(
        &scene.kept,
        &[],
        &[("cleanup.policy", "compact"), ("retention.ms", "-1")],
    );
    let bare = creatable(&scene.kept, &[], &[]);
    assert_eq!(scene.create(vec![again]), [("kept", TOPIC_ALREADY_EXISTS)]);
    for topic in [short, compacted, bare] {
        assert_eq!(scene.create(vec![topic]), [("kept", VIOLATION)]);
    }
    // Nor after it was deleted, for it is not. The other is, and comes back empty.
    let old = scene.state(&scene.plain);
    let topics = scene
        .both()
        .map(|topic| DeleteTopicState::default().with_name(Some(topic)));
    let answer = scene.carol.call(
        6,
        &DeleteTopicsRequest::default()
            .with_timeout_ms(20_000)
            .with_topics(topics.to_vec()),
    );
    let codes = scene.sorted(
        answer
            .responses
            .into_iter()
            .map(|one| (one.name.expect("a name").0, one.error_code)),
    );
    assert_eq!(codes, [("kept", VIOLATION), ("plain", NONE)]);
    wait_for("the other topic again", PATIENCE, || {
        let topics = vec![scene.kept_forever(&[]), creatable(&scene.plain, &[], &[])];
        let codes = scene.create(topics);
        assert_eq!(codes[0], ("kept", TOPIC_ALREADY_EXISTS));
        (codes[1].1 == NONE).then_some(())
    });
    let new = scene.state(&scene.plain);
    assert!(new.id != old.id && new.end == 0, "{new:?}");
    assert_eq!(scene.state(&scene.kept), before);
    scene.denied(&[
        (api::CREATE_TOPICS, "retention.ms may only grow"),
        (api::CREATE_TOPICS, "state cleanup.policy=delete"),
        (api::CREATE_TOPICS, "state cleanup.policy=delete"),
        (api::DELETE_TOPICS, "it may not be deleted"),
    ]);
    let told = |record: &Value| {
        items(record, &scene.kept).any(|item| item["error_code"] == json!(TOPIC_ALREADY_EXISTS))
    };
    wait_for("a record of what the broker said", PATIENCE, || {
        scene.evidence("Outcome").iter().any(told).then_some(())
    });
}

/// Two of three nodes hold each topic. One dies, a record is written, the other dies, the first comes back: whoever
/// makes it the leader cuts that record off.
#[test]
fn an_immutable_topic_keeps_its_replicas_and_waits_for_the_one_that_has_everything() {
    let properties = [
        ("broker.session.timeout.ms", "3000"),
        ("broker.heartbeat.interval.ms", "500"),
    ];
    let mut kafka = Kafka::start(&KafkaOptions {
        nodes_count: 3,
        overrides: properties
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .to_vec(),
        ..KafkaOptions::default()
    });
    let sluice = up(&kafka);
    let mut scene = Scene::of(&kafka, &sluice, &[2, 3]);
    let (kept, plain) = (scene.kept.clone(), scene.plain.clone());
    let before = scene.state(&kept);
    assert_eq!(before.replicas, [2, 3]);
    let reassign = |scene: &mut Scene<'_>, to: &[i32]| {
        let topics = scene.both().map(|topic| {
            let to = to.iter().map(|node| BrokerId(*node)).collect();
            let partition = ReassignablePartition::default().with_replicas(Some(to));
            ReassignableTopic::default()
                .with_name(topic)
                .with_partitions(vec![partition])
        });
        let request = AlterPartitionReassignmentsRequest::default()
            .with_timeout_ms(20_000)
            .with_topics(topics.to_vec());
        let answer = scene.carol.call(1, &request);
        assert_eq!(answer.error_code, NONE, "{answer:?}");
        let codes = answer
            .responses
            .into_iter()
            .map(|topic| (topic.name.0, topic.partitions[0].error_code));
        assert_eq!(scene.sorted(codes), [("kept", VIOLATION), ("plain", NONE)]);
    };
    // To fewer, and to as many elsewhere; then back to where they were.
    for to in [&[2][..], &[3, 1], &[2, 3]] {
        reassign(&mut scene, to);
        wait_for("the other topic where it is wanted", PATIENCE, || {
            let there = scene.state(&plain).replicas == to
                && in_sync(&kafka, &plain) == to.iter().copied().collect();
            there.then_some(())
        });
        assert_eq!(scene.state(&kept), before);
    }
    let denied_moves = [(
        api::ALTER_PARTITION_REASSIGNMENTS,
        "its partitions and replicas may not change",
    ); 3];
    scene.denied(&denied_moves);
    drop(scene);

    let led_by = |kafka: &Kafka, node: Option<i32>| {
        wait_for("both topics' leader", PATIENCE, || {
            let mut both = [&kept, &plain].into_iter();
            both.all(|topic| leader(kafka, topic) == node).then_some(())
        });
    };
    kafka.kill_node(2);
    led_by(&kafka, Some(3));
    wait_for("no replica in sync but the leader", PATIENCE, || {
        let mut both = [&kept, &plain].into_iter();
        both.all(|topic| in_sync(&kafka, topic) == BTreeSet::from([3]))
            .then_some(())
    });
    let scene = Scene {
        kafka: &kafka,
        sluice: &sluice,
        carol: login(&sluice, "carol"),
        kept: kept.clone(),
        plain: plain.clone(),
    };
    for topic in [&kept, &plain] {
        scene.write(topic, "late");
    }
    let complete = scene.state(&kept);
    assert_eq!(complete.end, 4);
    drop(scene);
    kafka.kill_node(3);
    kafka.restart_node(2);
    led_by(&kafka, None);

    let mut scene = Scene {
        kafka: &kafka,
        sluice: &sluice,
        carol: through_a_living_broker(&sluice),
        kept: kept.clone(),
        plain: plain.clone(),
    };
    let unclean = ElectLeadersRequest::default()
        .with_election_type(UNCLEAN)
        .with_timeout_ms(20_000);
    let answer = scene
        .carol
        .call(2, &unclean.clone().with_topic_partitions(None));
    assert_eq!(answer.error_code, VIOLATION, "{answer:?}");
    led_by(&kafka, None);
    let both = [&kept, &plain].map(|topic| {
        TopicPartitions::default()
            .with_topic(topic.clone())
            .with_partitions(vec![0])
    });
    let answer = scene
        .carol
        .call(2, &unclean.with_topic_partitions(Some(both.to_vec())));
    assert_eq!(answer.error_code, NONE, "{answer:?}");
    let codes = answer
        .replica_election_results
        .into_iter()
        .map(|topic| (topic.topic.0, topic.partition_result[0].error_code));
    assert_eq!(scene.sorted(codes), [("kept", VIOLATION), ("plain", NONE)]);
    wait_for("a leader of the other topic", PATIENCE, || {
        leader(&kafka, &plain).filter(|node| *node == 2)
    });
    assert_eq!(leader(&kafka, &kept), None, "it waits");
    scene.denied(
        &[
            &denied_moves[..],
            &[(
                api::ELECT_LEADERS,
                "its partitions and replicas may not change",
            )],
        ]
        .concat(),
    );
    wait_for(
        "a record of the election that names no topic",
        PATIENCE,
        || {
            let denied = sluice.evidence(Oidc::shared(), &["--kind", "Denied"]);
            let named = |record: &Value| {
                record["reason"]
                    .as_str()
                    .is_some_and(|reason| reason.contains("does not name its topics"))
            };
            denied.iter().any(named).then_some(())
        },
    );
    drop(scene);

    kafka.restart_node(3);
    let scene = Scene {
        kafka: &kafka,
        sluice: &sluice,
        carol: login(&sluice, "carol"),
        kept,
        plain,
    };
    assert_eq!(scene.state(&scene.kept), complete);
    assert_eq!(
        scene.state(&scene.plain).end,
        3,
        "the other topic has lost the record"
    );
}

/// Carol's connection, once the gateway has found a broker for it that runs and sees two.
fn through_a_living_broker(sluice: &Sluice) -> Connection {
    let describe = Exchange::new(0, &DescribeClusterRequest::default());
    wait_for("the brokers that run", PATIENCE, || {
        let mut carol = login(sluice, "carol");
        carol.send(&describe);
        let answer = carol.receive(&describe);
        (answer["brokers"].as_array().map(Vec::len) == Some(2)).then_some(carol)
    })
}
