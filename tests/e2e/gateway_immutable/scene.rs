//! Topics that are immutable and topics that are not, who asks, and what the brokers have of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request as incremental;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AlterConfigsRequest, BrokerId, CreateTopicsRequest, DescribeConfigsRequest, FetchRequest,
    IncrementalAlterConfigsRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use serde_json::{Value, json};
use sluice_kafka::api;
use sluice_tests::{Kafka, Oidc, Sluice, SluiceOptions, unique, wait_for};
use uuid::Uuid;

use crate::equivalence::cases::batch;
use crate::equivalence::wire::{Connection, Login};
use crate::gateway::{POLICY_VIOLATION, items};

pub(super) const PATIENCE: Duration = Duration::from_secs(60);
pub(super) const NONE: i16 = 0;
pub(super) const INVALID_CONFIG: i16 = 40;
pub(super) const TOPIC_ALREADY_EXISTS: i16 = 36;
pub(super) const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
pub(super) const VIOLATION: i16 = POLICY_VIOLATION as i16;
pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const SET: i8 = 0;
pub(super) const DELETE: i8 = 1;
pub(super) const APPEND: i8 = 2;
pub(super) const SUBTRACT: i8 = 3;
pub(super) const EARLIEST: i64 = -2;
pub(super) const LATEST: i64 = -1;
pub(super) const UNCLEAN: i8 = 1;
pub(super) const NOBODY: i32 = -1;

/// Carol may do everything that Kafka asks about, to topics and to the cluster.
pub(super) const POLICY: &str = r#"kind: Role
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
pub(super) const SETTINGS: [(&str, &str); 37] = [
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

pub(super) fn up(kafka: &Kafka) -> Sluice {
    let sluice = Sluice::up(kafka, Oidc::shared(), &SluiceOptions::default());
    sluice.apply(Oidc::shared(), "frank", POLICY);
    sluice
}

pub(super) fn sluice() -> &'static Sluice {
    static SLUICE: OnceLock<Sluice> = OnceLock::new();
    SLUICE.get_or_init(|| up(Kafka::shared()))
}

/// A topic that is immutable and one that is not, each with three records.
pub(super) struct Scene<'a> {
    pub(super) kafka: &'a Kafka,
    pub(super) sluice: &'a Sluice,
    pub(super) carol: Connection,
    pub(super) kept: TopicName,
    pub(super) plain: TopicName,
}

impl Scene<'static> {
    pub(super) fn new() -> Self {
        Scene::of(Kafka::shared(), sluice(), &[])
    }
}

impl<'a> Scene<'a> {
    /// With replicas on these nodes; on the one that there is, unless stated.
    pub(super) fn of(kafka: &'a Kafka, sluice: &'a Sluice, replicas: &[i32]) -> Self {
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

    pub(super) fn both(&self) -> [TopicName; 2] {
        [self.kept.clone(), self.plain.clone()]
    }

    pub(super) fn kept_forever(&self, replicas: &[i32]) -> CreatableTopic {
        let settings = [
            ("cleanup.policy", "delete"),
            ("retention.ms", "-1"),
            ("min.insync.replicas", "1"),
        ];
        creatable(&self.kept, replicas, &settings)
    }

    /// Which of the two this is.
    pub(super) fn named(&self, name: &str) -> &'static str {
        [(&self.kept, "kept"), (&self.plain, "plain")]
            .into_iter()
            .find_map(|(topic, which)| (***topic == *name).then_some(which))
            .unwrap_or("another")
    }

    pub(super) fn sorted(
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

    pub(super) fn create(&mut self, topics: Vec<CreatableTopic>) -> Vec<(&'static str, i16)> {
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
    pub(super) fn alter(
        &mut self,
        settings: &[(&str, i8, Option<&str>)],
    ) -> Vec<(&'static str, i16)> {
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
    pub(super) fn replace(&mut self, settings: &[(&str, &str)]) -> Vec<(&'static str, i16)> {
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
    pub(super) fn write(&self, topic: &TopicName, value: &str) {
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

    pub(super) fn state(&self, topic: &TopicName) -> State {
        wait_for("a leader to look at", PATIENCE, || {
            State::seen(harness(self.kafka, leader(self.kafka, topic)?), topic)
        })
    }

    /// The denials of changes to the immutable topic are exactly these, by API, each with this cause, and nothing of
    /// any of these APIs that names it went on.
    #[track_caller]
    pub(super) fn denied(&self, expected: &[(i16, &str)]) {
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
    pub(super) fn evidence(&self, kind: &str) -> Vec<Value> {
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
pub(super) struct State {
    pub(super) id: Uuid,
    pub(super) replicas: Vec<i32>,
    pub(super) settings: BTreeMap<String, Option<String>>,
    pub(super) first: i64,
    pub(super) end: i64,
    pub(super) records: Option<Bytes>,
}

impl State {
    /// `None` if this broker does not lead it, or not yet.
    pub(super) fn seen(mut leader: Connection, topic: &TopicName) -> Option<Self> {
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

pub(super) fn login(sluice: &Sluice, who: &str) -> Connection {
    let address = format!("127.0.0.1:{}", sluice.bootstrap_port());
    Connection::new(&address, Login::Token(Oidc::shared().token(who)))
}

/// Straight to this node.
pub(super) fn harness(kafka: &Kafka, node: i32) -> Connection {
    let at = usize::try_from(node - 1).expect("nodes are numbered from 1");
    let login = Login::Plain {
        user: "harness".to_owned(),
        password: kafka.password("harness"),
    };
    Connection::new(&kafka.addresses()[at], login)
}

pub(super) fn described(
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
pub(super) fn leader(kafka: &Kafka, topic: &TopicName) -> Option<i32> {
    let leader = described(&mut harness(kafka, 1), topic)
        .partitions
        .first()?
        .leader_id
        .0;
    (leader != NOBODY).then_some(leader)
}

pub(super) fn in_sync(kafka: &Kafka, topic: &TopicName) -> BTreeSet<i32> {
    let partitions = described(&mut harness(kafka, 1), topic).partitions;
    partitions
        .first()
        .map(|one| one.isr_nodes.iter().map(|node| node.0).collect())
        .unwrap_or_default()
}

pub(super) fn settings(
    at: &mut Connection,
    kind: i8,
    name: &StrBytes,
) -> BTreeMap<String, Option<String>> {
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

pub(super) fn offset(at: &mut Connection, topic: &TopicName, timestamp: i64) -> Option<i64> {
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

pub(super) fn records(at: &mut Connection, topic: &TopicName, from: i64) -> Option<Bytes> {
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

pub(super) fn creatable(
    name: &TopicName,
    replicas: &[i32],
    settings: &[(&str, &str)],
) -> CreatableTopic {
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

pub(super) fn alter(
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

pub(super) fn replace(of: Vec<(i8, StrBytes)>, settings: &[(&str, &str)]) -> AlterConfigsRequest {
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

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
