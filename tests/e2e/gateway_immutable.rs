//! Immutable topics before real brokers: every way to destroy or to alter what they hold is refused to who has all
//! rights, changes nothing, and is recorded. The same request names a topic that is not immutable, and goes through for
//! that one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request as incremental;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterPartitionReassignmentsRequest, BrokerId, CreateTopicsRequest,
    DeleteRecordsRequest, DeleteTopicsRequest, DescribeClusterRequest, DescribeConfigsRequest,
    ElectLeadersRequest, FetchRequest, IncrementalAlterConfigsRequest, ListOffsetsRequest,
    MetadataRequest, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use serde_json::{Value, json};
use sluice_kafka::api;
use sluice_tests::{
    Driver, Kafka, KafkaOptions, Oidc, Records, Sluice, SluiceOptions, unique, wait_for,
};
use uuid::Uuid;

use crate::equivalence::cases::batch;
use crate::equivalence::wire::{Connection, Exchange, Login};
use crate::gateway::{POLICY_VIOLATION, TOPIC_AUTHORIZATION_FAILED, items};

const PATIENCE: Duration = Duration::from_secs(60);
const NONE: i16 = 0;
const INVALID_CONFIG: i16 = 40;
const TOPIC_ALREADY_EXISTS: i16 = 36;
const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
const VIOLATION: i16 = POLICY_VIOLATION as i16;
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;
const EARLIEST: i64 = -2;
const LATEST: i64 = -1;
const UNCLEAN: i8 = 1;
const NOBODY: i32 = -1;

/// Carol may do everything that Kafka asks about, to topics and to the cluster.
const POLICY: &str = r#"kind: Role
metadata: {name: administrator}
spec:
  permissions:
    - {operations: [Create, Delete, Alter, AlterConfigs, DescribeConfigs, Describe], topics: [{prefix: ""}]}
    - {operations: [Create, Alter, AlterConfigs, DescribeConfigs, Describe], cluster: true}
---
kind: Role
metadata: {name: writer}
spec: {permissions: [{operations: [Write, Describe], topics: [{prefix: kept@T@}, {prefix: plain@T@}]}]}
---
kind: TopicClass
metadata: {name: kept}
spec: {topics: [{prefix: kept@T@}], immutable: true, retention_min: 30d}
---
kind: Binding
metadata: {name: carol}
spec: {match: {issuer: demo, claims: {sub: carol}}, roles: [administrator]}
---
kind: Binding
metadata: {name: svc-ledger}
spec: {match: {issuer: demo, claims: {sub: svc-ledger}}, owner: bob, roles: [writer]}
---
kind: Binding
metadata: {name: frank}
spec: {match: {issuer: demo, claims: {sub: frank}}, roles: [author]}
---
kind: Binding
metadata: {name: oscar}
spec: {match: {issuer: demo, claims: {sub: oscar}}, roles: [operator]}
---
kind: Binding
metadata: {name: erin}
spec: {match: {issuer: demo, claims: {sub: erin}}, roles: [auditor]}
"#;

/// Each setting that a topic has, with a value that the broker takes and that is not the one in force.
const SETTINGS: [(&str, &str); 37] = [
    ("cleanup.policy", "compact"),
    ("compression.gzip.level", "1"),
    ("compression.lz4.level", "1"),
    ("compression.type", "gzip"),
    ("compression.zstd.level", "1"),
    ("delete.retention.ms", "1"),
    ("errors.deadletterqueue.group.enable", "true"),
    ("file.delete.delay.ms", "1"),
    ("flush.messages", "1"),
    ("flush.ms", "1"),
    ("follower.replication.throttled.replicas", "*"),
    ("index.interval.bytes", "1"),
    ("leader.replication.throttled.replicas", "*"),
    ("local.retention.bytes", "1"),
    ("local.retention.ms", "1"),
    ("max.compaction.lag.ms", "1"),
    ("max.decompressed.message.bytes", "1"),
    ("max.message.bytes", "1"),
    ("message.timestamp.after.max.ms", "1"),
    ("message.timestamp.before.max.ms", "1"),
    ("message.timestamp.type", "LogAppendTime"),
    ("min.cleanable.dirty.ratio", "0.25"),
    ("min.compaction.lag.ms", "1"),
    ("min.insync.replicas", "2"),
    ("preallocate", "true"),
    ("remote.copy.lag.bytes", "1"),
    ("remote.copy.lag.ms", "1"),
    ("remote.log.copy.disable", "true"),
    ("remote.log.delete.on.disable", "true"),
    ("remote.storage.enable", "true"),
    ("retention.bytes", "1"),
    ("retention.ms", "1"),
    ("segment.bytes", "1048576"),
    ("segment.index.bytes", "1024"),
    ("segment.jitter.ms", "1"),
    ("segment.ms", "1"),
    ("unclean.leader.election.enable", "true"),
];

fn up(kafka: &Kafka) -> Sluice {
    let sluice = Sluice::up(kafka, Oidc::shared(), &SluiceOptions::default());
    sluice.apply(Oidc::shared(), "frank", POLICY);
    sluice
}

fn sluice() -> &'static Sluice {
    static SLUICE: OnceLock<Sluice> = OnceLock::new();
    SLUICE.get_or_init(|| up(Kafka::shared()))
}

/// A topic that is immutable and one that is not, each with three records.
struct Scene<'a> {
    kafka: &'a Kafka,
    sluice: &'a Sluice,
    carol: Connection,
    kept: TopicName,
    plain: TopicName,
}

impl Scene<'static> {
    fn new() -> Self {
        Scene::of(Kafka::shared(), sluice(), &[])
    }
}

impl<'a> Scene<'a> {
    /// With replicas on these nodes; on the one that there is, unless stated.
    fn of(kafka: &'a Kafka, sluice: &'a Sluice, replicas: &[i32]) -> Self {
        let [kept, plain] =
            ["kept", "plain"].map(|name| TopicName(unique(&sluice.topic(name)).into()));
        let mut scene = Self {
            kafka,
            sluice,
            carol: login(sluice, "carol"),
            kept,
            plain,
        };
        let topics = vec![
            scene.kept_forever(replicas),
            creatable(&scene.plain, replicas, &[("min.insync.replicas", "1")]),
        ];
        let answer = scene.create(topics);
        assert_eq!(answer, [("kept", NONE), ("plain", NONE)]);
        for topic in scene.both() {
            for value in ["one", "two", "three"] {
                scene.write(&topic, value);
            }
        }
        scene
    }

    fn both(&self) -> [TopicName; 2] {
        [self.kept.clone(), self.plain.clone()]
    }

    fn kept_forever(&self, replicas: &[i32]) -> CreatableTopic {
        let settings = [
            ("cleanup.policy", "delete"),
            ("retention.ms", "-1"),
            ("min.insync.replicas", "1"),
        ];
        creatable(&self.kept, replicas, &settings)
    }

    /// Which of the two this is.
    fn named(&self, name: &str) -> &'static str {
        [(&self.kept, "kept"), (&self.plain, "plain")]
            .into_iter()
            .find_map(|(topic, which)| (***topic == *name).then_some(which))
            .unwrap_or("another")
    }

    fn sorted(
        &self,
        answers: impl IntoIterator<Item = (StrBytes, i16)>,
    ) -> Vec<(&'static str, i16)> {
        let mut codes: Vec<_> = answers
            .into_iter()
            .map(|(name, code)| (self.named(&name), code))
            .collect();
        codes.sort_unstable();
        codes
    }

    fn create(&mut self, topics: Vec<CreatableTopic>) -> Vec<(&'static str, i16)> {
        let answer = self.carol.call(
            7,
            &CreateTopicsRequest::default()
                .with_timeout_ms(20_000)
                .with_topics(topics),
        );
        self.sorted(
            answer
                .topics
                .into_iter()
                .map(|topic| (topic.name.0, topic.error_code)),
        )
    }

    /// Changes settings of both topics, one by one.
    fn alter(&mut self, settings: &[(&str, i8, Option<&str>)]) -> Vec<(&'static str, i16)> {
        let answer = self.carol.call(
            1,
            &alter(self.both().map(|topic| (TOPIC, topic.0)).to_vec(), settings),
        );
        self.sorted(
            answer
                .responses
                .into_iter()
                .map(|topic| (topic.resource_name, topic.error_code)),
        )
    }

    /// Replaces settings of both topics as a whole.
    fn replace(&mut self, settings: &[(&str, &str)]) -> Vec<(&'static str, i16)> {
        let answer = self.carol.call(
            2,
            &replace(self.both().map(|topic| (TOPIC, topic.0)).to_vec(), settings),
        );
        self.sorted(
            answer
                .responses
                .into_iter()
                .map(|topic| (topic.resource_name, topic.error_code)),
        )
    }

    /// Behind the gateway's back, at whichever broker leads.
    fn write(&self, topic: &TopicName, value: &str) {
        let data = PartitionProduceData::default()
            .with_index(0)
            .with_records(Some(batch::plain(&[value])));
        let data = TopicProduceData::default()
            .with_name(topic.clone())
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(20_000)
            .with_topic_data(vec![data]);
        wait_for("a leader that takes a write", PATIENCE, || {
            let leader = leader(self.kafka, topic)?;
            let answer = harness(self.kafka, leader).call(12, &request);
            (answer.responses[0].partition_responses[0].error_code == NONE).then_some(())
        });
    }

    fn state(&self, topic: &TopicName) -> State {
        wait_for("a leader to look at", PATIENCE, || {
            State::seen(harness(self.kafka, leader(self.kafka, topic)?), topic)
        })
    }

    /// The denials of changes to the immutable topic are exactly these, by API, each with this cause, and nothing of
    /// any of these APIs that names it went on.
    #[track_caller]
    fn denied(&self, expected: &[(i16, &str)]) {
        let found = wait_for("a record of each denial", PATIENCE, || {
            let found = self.evidence("Denied");
            (found.len() >= expected.len()).then_some(found)
        });
        assert_eq!(found.len(), expected.len(), "{found:?}");
        let mut left = found;
        for (api_key, cause) in expected {
            let at = left.iter().position(|record| {
                record["api_key"] == json!(api_key)
                    && record["reason"]
                        .as_str()
                        .is_some_and(|reason| reason.contains(cause))
            });
            let record = left.remove(at.unwrap_or_else(|| panic!("{api_key} {cause}: {left:?}")));
            assert_eq!(record["reason_code"], "immutable", "{record}");
            assert!(
                record["principal"]
                    .as_str()
                    .is_some_and(|who| who.contains("carol")),
                "{record}"
            );
            let topic = self.kept.to_string();
            assert!(
                items(&record, &topic).all(|item| item["reason_code"] == "immutable"),
                "{record}"
            );
        }
        let apis: BTreeSet<i16> = expected.iter().map(|(api_key, _)| *api_key).collect();
        for record in self.evidence("Intent") {
            let went_on = apis
                .iter()
                .any(|api_key| record["api_key"] == json!(api_key));
            // It was made by a CreateTopics.
            assert!(
                !went_on || record["api_key"] == json!(api::CREATE_TOPICS),
                "{record}"
            );
        }
    }

    /// Records of this kind that name the immutable topic.
    fn evidence(&self, kind: &str) -> Vec<Value> {
        let topic = self.kept.to_string();
        let found = self
            .sluice
            .evidence(Oidc::shared(), &["--kind", kind, "--topic", &topic]);
        found
            .into_iter()
            .filter(|record| items(record, &topic).next().is_some())
            .collect()
    }
}

/// What the broker has of a topic.
#[derive(Debug, Clone, PartialEq)]
struct State {
    id: Uuid,
    replicas: Vec<i32>,
    settings: BTreeMap<String, Option<String>>,
    first: i64,
    end: i64,
    records: Option<Bytes>,
}

impl State {
    /// `None` if this broker does not lead it, or not yet.
    fn seen(mut leader: Connection, topic: &TopicName) -> Option<Self> {
        let metadata = described(&mut leader, topic);
        let partition = metadata.partitions.first()?;
        let [first, end] =
            [EARLIEST, LATEST].map(|timestamp| offset(&mut leader, topic, timestamp));
        let (first, end) = (first?, end?);
        Some(Self {
            id: metadata.topic_id,
            replicas: partition.replica_nodes.iter().map(|node| node.0).collect(),
            settings: settings(&mut leader, TOPIC, &topic.0),
            first,
            end,
            records: records(&mut leader, topic, first),
        })
    }
}

fn login(sluice: &Sluice, who: &str) -> Connection {
    let address = format!("127.0.0.1:{}", sluice.bootstrap_port());
    Connection::new(&address, Login::Token(Oidc::shared().token(who)))
}

/// Straight to this node.
fn harness(kafka: &Kafka, node: i32) -> Connection {
    let at = usize::try_from(node - 1).expect("nodes are numbered from 1");
    let login = Login::Plain {
        user: "harness".to_owned(),
        password: kafka.password("harness"),
    };
    Connection::new(&kafka.addresses()[at], login)
}

fn described(
    at: &mut Connection,
    topic: &TopicName,
) -> kafka_protocol::messages::metadata_response::MetadataResponseTopic {
    let named = MetadataRequestTopic::default().with_name(Some(topic.clone()));
    at.call(
        12,
        &MetadataRequest::default().with_topics(Some(vec![named])),
    )
    .topics
    .remove(0)
}

/// As node 1, which always runs, knows it.
fn leader(kafka: &Kafka, topic: &TopicName) -> Option<i32> {
    let leader = described(&mut harness(kafka, 1), topic)
        .partitions
        .first()?
        .leader_id
        .0;
    (leader != NOBODY).then_some(leader)
}

fn in_sync(kafka: &Kafka, topic: &TopicName) -> BTreeSet<i32> {
    let partitions = described(&mut harness(kafka, 1), topic).partitions;
    partitions
        .first()
        .map(|one| one.isr_nodes.iter().map(|node| node.0).collect())
        .unwrap_or_default()
}

fn settings(at: &mut Connection, kind: i8, name: &StrBytes) -> BTreeMap<String, Option<String>> {
    let all = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(name.clone())
        .with_configuration_keys(None);
    let mut answer = at.call(
        4,
        &DescribeConfigsRequest::default().with_resources(vec![all]),
    );
    let result = answer.results.remove(0);
    assert_eq!(result.error_code, NONE, "{result:?}");
    result
        .configs
        .into_iter()
        .map(|config| {
            (
                config.name.to_string(),
                config.value.map(|value| value.to_string()),
            )
        })
        .collect()
}

fn offset(at: &mut Connection, topic: &TopicName, timestamp: i64) -> Option<i64> {
    let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
    let named = ListOffsetsTopic::default()
        .with_name(topic.clone())
        .with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_topics(vec![named]);
    let answer = at.call(8, &request);
    let partition = &answer.topics[0].partitions[0];
    (partition.error_code == NONE).then_some(partition.offset)
}

fn records(at: &mut Connection, topic: &TopicName, from: i64) -> Option<Bytes> {
    let partition = FetchPartition::default()
        .with_fetch_offset(from)
        .with_partition_max_bytes(1 << 20);
    let named = FetchTopic::default()
        .with_topic(topic.clone())
        .with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_max_bytes(1 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![named]);
    at.call(12, &request)
        .responses
        .remove(0)
        .partitions
        .remove(0)
        .records
}

fn creatable(name: &TopicName, replicas: &[i32], settings: &[(&str, &str)]) -> CreatableTopic {
    let settings = settings.iter().map(|(key, value)| {
        CreatableTopicConfig::default()
            .with_name(text(key))
            .with_value(Some(text(value)))
    });
    let topic = CreatableTopic::default()
        .with_name(name.clone())
        .with_configs(settings.collect());
    if replicas.is_empty() {
        return topic.with_num_partitions(1).with_replication_factor(1);
    }
    let nodes = replicas.iter().map(|node| BrokerId(*node)).collect();
    let assignment = CreatableReplicaAssignment::default()
        .with_partition_index(0)
        .with_broker_ids(nodes);
    topic
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_assignments(vec![assignment])
}

fn alter(
    of: Vec<(i8, StrBytes)>,
    settings: &[(&str, i8, Option<&str>)],
) -> IncrementalAlterConfigsRequest {
    let resources = of.into_iter().map(|(kind, name)| {
        let settings = settings.iter().map(|(key, operation, value)| {
            incremental::AlterableConfig::default()
                .with_name(text(key))
                .with_config_operation(*operation)
                .with_value(value.map(text))
        });
        incremental::AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(name)
            .with_configs(settings.collect())
    });
    IncrementalAlterConfigsRequest::default().with_resources(resources.collect())
}

fn replace(of: Vec<(i8, StrBytes)>, settings: &[(&str, &str)]) -> AlterConfigsRequest {
    let resources = of.into_iter().map(|(kind, name)| {
        let settings = settings.iter().map(|(key, value)| {
            AlterableConfig::default()
                .with_name(text(key))
                .with_value(Some(text(value)))
        });
        AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(name)
            .with_configs(settings.collect())
    });
    AlterConfigsRequest::default().with_resources(resources.collect())
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

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
