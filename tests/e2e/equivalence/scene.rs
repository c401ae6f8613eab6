//! Who may do what, said twice: as ACLs for Kafka's authorizer and as a policy for the gateway. And what there is to do it to.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use aws_lc_rs::pbkdf2;
use bytes::Bytes;
use kafka_protocol::messages::alter_user_scram_credentials_request::ScramCredentialUpsertion;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, CreateAclsRequest, CreateTopicsRequest,
    FindCoordinatorRequest, GroupId, InitProducerIdRequest, OffsetFetchRequest, ProduceRequest,
    TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use serde_json::Value;
use sluice_tests::wait_for;
use uuid::Uuid;

use super::cases::batch;
use super::wire::Connection;

/// Principals, each with its own rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// Rights to single topics, groups and transactional ids.
    Single,
    /// Rights to the cluster, and to nothing in it.
    Cluster,
    /// May read one topic, and write nothing.
    Reader,
    /// May see everything there is, by a pattern that matches every name.
    Wide,
    /// May write one topic, if a wider denial did not take that away.
    Stifled,
    /// May do everything. Looks at what the others did, past the gateway.
    Harness,
}

impl Who {
    pub(crate) const LIMITED: [Self; 5] = [
        Self::Single,
        Self::Cluster,
        Self::Reader,
        Self::Wide,
        Self::Stifled,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Cluster => "cluster",
            Self::Reader => "reader",
            Self::Wide => "wide",
            Self::Stifled => "stifled",
            Self::Harness => "harness",
        }
    }

    /// Whose token it logs in with at the gateway.
    pub(crate) fn oidc_client(self) -> &'static str {
        match self {
            Self::Single => "svc-orders",
            Self::Cluster => "svc-payments",
            Self::Reader => "svc-ledger",
            Self::Wide => "analytics",
            _ => "analytics-clear",
        }
    }
}

const TOPIC: i8 = 2;
const GROUP: i8 = 3;
const CLUSTER: i8 = 4;
const TRANSACTIONAL_ID: i8 = 5;
const LITERAL: i8 = 3;
const PREFIXED: i8 = 4;
const DENY: i8 = 2;
const ALLOW: i8 = 3;

/// Operations by Kafka's codes, with the policy's words.
const OPERATIONS: [(i8, &str); 10] = [
    (3, "Read"),
    (4, "Write"),
    (5, "Create"),
    (6, "Delete"),
    (7, "Alter"),
    (8, "Describe"),
    (9, "ClusterAction"),
    (10, "DescribeConfigs"),
    (11, "AlterConfigs"),
    (12, "IdempotentWrite"),
];

struct Right {
    who: Who,
    effect: i8,
    kind: i8,
    pattern: i8,
    name: &'static str,
    operations: &'static str,
}

const fn right(
    who: Who,
    kind: i8,
    pattern: i8,
    name: &'static str,
    operations: &'static str,
) -> Right {
    Right {
        who,
        effect: ALLOW,
        kind,
        pattern,
        name,
        operations,
    }
}

impl Right {
    /// The pattern's name on the side of this prefix. The cluster, and what matches every name, have the same on both.
    fn of(&self, prefix: &str) -> String {
        match (self.kind, self.name) {
            (CLUSTER, _) | (_, "*") => self.name.to_owned(),
            _ => format!("{prefix}{}", self.name),
        }
    }
}

const EVERYTHING: &str = "Read Write Create Delete Alter Describe DescribeConfigs AlterConfigs";

/// The one list of rights. Names are those of each side, after its prefix.
#[rustfmt::skip]
const RIGHTS: &[Right] = &[
    right(Who::Single, TOPIC, LITERAL, "full", EVERYTHING),
    right(Who::Single, TOPIC, LITERAL, "readable", "Read"),
    right(Who::Single, TOPIC, LITERAL, "writable", "Write"),
    right(Who::Single, TOPIC, LITERAL, "describable", "Describe"),
    right(Who::Single, TOPIC, LITERAL, "altered", "Alter"),
    right(Who::Single, TOPIC, LITERAL, "configured", "AlterConfigs"),
    right(Who::Single, TOPIC, LITERAL, "shown", "DescribeConfigs"),
    right(Who::Single, TOPIC, LITERAL, "trimmed", "Delete"),
    right(Who::Single, TOPIC, PREFIXED, "made.", EVERYTHING),
    right(Who::Single, TOPIC, PREFIXED, "born.", "Create"),
    right(Who::Single, TOPIC, PREFIXED, "doomed.", "Delete"),
    Right { effect: DENY, ..right(Who::Single, TOPIC, LITERAL, "made.denied", EVERYTHING) },
    Right { effect: DENY, ..right(Who::Single, TOPIC, PREFIXED, "made.mute.", "Write") },
    Right { effect: DENY, ..right(Who::Single, TOPIC, LITERAL, "made.veiled", "Describe") },
    right(Who::Single, GROUP, LITERAL, "all", "Read Describe Delete"),
    right(Who::Single, GROUP, PREFIXED, "team.", "Read Describe Delete"),
    right(Who::Single, GROUP, LITERAL, "seen", "Describe"),
    right(Who::Single, GROUP, LITERAL, "used", "Read"),
    right(Who::Single, GROUP, LITERAL, "gone", "Delete"),
    Right { effect: DENY, ..right(Who::Single, GROUP, LITERAL, "team.denied", "Read Describe Delete") },
    right(Who::Single, TRANSACTIONAL_ID, PREFIXED, "pay.", "Write Describe"),
    right(Who::Single, TRANSACTIONAL_ID, LITERAL, "moved", "Write"),
    right(Who::Single, TRANSACTIONAL_ID, LITERAL, "watched", "Describe"),
    right(Who::Cluster, CLUSTER, LITERAL, "kafka-cluster",
        "Create Alter Describe DescribeConfigs AlterConfigs IdempotentWrite"),
    right(Who::Reader, TOPIC, LITERAL, "readable", "Read"),
    right(Who::Reader, GROUP, PREFIXED, "team.", "Read"),
    right(Who::Wide, TOPIC, LITERAL, "*", "Read"),
    right(Who::Wide, GROUP, LITERAL, "*", "Describe"),
    right(Who::Wide, TRANSACTIONAL_ID, LITERAL, "*", "Describe"),
    Right { effect: DENY, ..right(Who::Wide, TOPIC, PREFIXED, "hid", "Describe") },
    Right { effect: DENY, ..right(Who::Wide, TOPIC, PREFIXED, "made.", "Read") },
    right(Who::Stifled, TOPIC, LITERAL, "writable", "Write"),
    Right { effect: DENY, ..right(Who::Stifled, TOPIC, PREFIXED, "wri", "Write") },
];

/// Topics of each side that are there from the start, each with three records in each of its partitions.
const TOPICS: [(&str, i32); 14] = [
    ("full", 2),
    ("readable", 1),
    ("writable", 1),
    ("describable", 1),
    ("hidden", 1),
    ("altered", 1),
    ("configured", 1),
    ("shown", 1),
    ("trimmed", 1),
    ("made.denied", 1),
    ("made.mute.log", 1),
    ("made.log", 1),
    ("made.strict", 1),
    ("made.veiled", 1),
];
/// Topics `doomed.0` and on, to be deleted.
const DOOMED: usize = 8;
/// So many names meet every partition of the coordinators' topics.
const COORDINATED: usize = 24;
const READY_WITHIN: Duration = Duration::from_secs(20);

/// The policy that says the same as the ACLs, and who administers it.
pub(crate) fn policy(prefix: &str) -> String {
    let mut text = String::new();
    for who in Who::LIMITED {
        let mut permissions = String::new();
        for right in RIGHTS.iter().filter(|right| right.who == who) {
            let effect = if right.effect == DENY {
                "deny"
            } else {
                "allow"
            };
            let name = right.of(prefix);
            let resources = match (right.kind, right.pattern) {
                (CLUSTER, _) => "cluster: true".to_owned(),
                (kind, _) => {
                    let word = match kind {
                        TOPIC => "topics",
                        GROUP => "groups",
                        _ => "transactional_ids",
                    };
                    match (right.pattern, right.name) {
                        (_, "*") => format!("{word}: ['*']"),
                        (LITERAL, _) => format!("{word}: [{{literal: '{name}'}}]"),
                        _ => format!("{word}: [{{prefix: '{name}'}}]"),
                    }
                }
            };
            let operations = right.operations.replace(' ', ", ");
            let _ = writeln!(
                permissions,
                "    - {{effect: {effect}, operations: [{operations}], {resources}}}"
            );
        }
        let (name, subject) = (who.name(), who.oidc_client());
        let _ = write!(
            text,
            "kind: Role\nmetadata: {{name: {name}}}\nspec:\n  permissions:\n{permissions}---\n\
             kind: Binding\nmetadata: {{name: {subject}}}\n\
             spec: {{match: {{issuer: demo, claims: {{sub: {subject}}}}}, owner: alice, principal: {prefix}{name}, roles: [{name}]}}\n---\n"
        );
    }
    for (name, role) in [
        ("frank", "author"),
        ("oscar", "operator"),
        ("erin", "auditor"),
    ] {
        let _ = write!(
            text,
            "kind: Binding\nmetadata: {{name: {name}}}\n\
             spec: {{match: {{issuer: demo, claims: {{sub: {name}}}}}, roles: [{role}]}}\n---\n"
        );
    }
    text.trim_end_matches("---\n").to_owned()
}

/// Makes users with their ACLs. Those that go to the broker directly use them; the others are there so that both sides leave
/// the same behind.
pub(super) fn make_users(harness: &mut Connection, prefix: &str, password: &str) {
    const SCRAM_SHA_512: i8 = 2;
    const ITERATIONS: u32 = 4096;
    let salt = b"equivalence-salt";
    let mut salted = [0; 64];
    let iterations = std::num::NonZeroU32::new(ITERATIONS).expect("not zero");
    let hash = pbkdf2::PBKDF2_HMAC_SHA512;
    pbkdf2::derive(hash, iterations, salt, password.as_bytes(), &mut salted);
    let users = Who::LIMITED.map(|who| {
        ScramCredentialUpsertion::default()
            .with_name(format!("{prefix}{}", who.name()).into())
            .with_mechanism(SCRAM_SHA_512)
            .with_iterations(ITERATIONS.cast_signed())
            .with_salt(Bytes::from_static(salt))
            .with_salted_password(Bytes::copy_from_slice(&salted))
    });
    let request = AlterUserScramCredentialsRequest::default().with_upsertions(users.to_vec());
    let answer = harness.call(0, &request);
    assert!(
        answer.results.iter().all(|result| result.error_code == 0),
        "{answer:?}"
    );

    let acls = RIGHTS.iter().flat_map(|right| {
        right.operations.split(' ').map(move |operation| {
            let found = OPERATIONS.iter().find(|(_, word)| *word == operation);
            AclCreation::default()
                .with_resource_type(right.kind)
                .with_resource_name(right.of(prefix).into())
                .with_resource_pattern_type(right.pattern)
                .with_principal(format!("User:{prefix}{}", right.who.name()).into())
                .with_host("*".into())
                .with_operation(found.expect("one of the operations").0)
                .with_permission_type(right.effect)
        })
    });
    let request = CreateAclsRequest::default().with_creations(acls.collect());
    let answer = harness.call(3, &request);
    assert!(
        answer.results.iter().all(|result| result.error_code == 0),
        "{answer:?}"
    );
}

/// Waits until the broker coordinates groups and transactions, whatever their names: the topics behind them are made when
/// they are first needed.
pub(super) fn warm_up(harness: &mut Connection) {
    for n in 0..COORDINATED {
        let name = StrBytes::from_string(format!("warm-{n}"));
        let id = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(name.clone())))
            .with_transaction_timeout_ms(60_000);
        let group = OffsetFetchRequest::default()
            .with_group_id(GroupId(name.clone()))
            .with_topics(None);
        for kind in [0, 1] {
            let key = FindCoordinatorRequest::default()
                .with_key_type(kind)
                .with_coordinator_keys(vec![name.clone()]);
            wait_for("coordinators", READY_WITHIN, || {
                let found = harness.call(4, &key).coordinators[0].error_code == 0;
                found.then_some(())
            });
        }
        wait_for("coordinators at work", READY_WITHIN, || {
            let works =
                harness.call(2, &id).error_code == 0 && harness.call(7, &group).error_code == 0;
            works.then_some(())
        });
    }
}

/// Waits until the broker has seen what was done to the cluster: its metadata comes in order, so a new topic that it leads
/// is behind everything.
pub(super) fn settle(harness: &mut Connection) {
    let last = Side::new("settled.", (String::new(), 0));
    let topic = CreatableTopic::default()
        .with_name(last.topic("last"))
        .with_num_partitions(1)
        .with_replication_factor(1);
    let request = CreateTopicsRequest::default()
        .with_timeout_ms(20_000)
        .with_topics(vec![topic]);
    let answer = harness.call(7, &request);
    assert_eq!(answer.topics[0].error_code, 0, "{answer:?}");
    wait_for("a broker that has seen everything", READY_WITHIN, || {
        last.write(harness, "last", 0).then_some(())
    });
}

/// One way to the broker, with what has been seen on it.
pub(crate) struct Side {
    /// What begins all names of this side.
    pub(super) prefix: &'static str,
    /// The one address that answers on this side may show.
    pub(super) address: (String, i64),
    /// Raw answers, by case and version.
    answers: BTreeMap<(&'static str, i16), Value>,
    /// Names of topics, by their ids.
    pub(super) ids: BTreeMap<String, String>,
}

impl Side {
    pub(crate) fn new(prefix: &'static str, address: (String, i64)) -> Self {
        Self {
            prefix,
            address,
            answers: BTreeMap::new(),
            ids: BTreeMap::new(),
        }
    }

    /// Makes this side's topics, with records.
    pub(crate) fn make_topics(&mut self, harness: &mut Connection) {
        let mut wanted: Vec<(String, i32)> = TOPICS
            .map(|(name, count)| (name.to_owned(), count))
            .to_vec();
        wanted.extend((0..DOOMED).map(|n| (format!("doomed.{n}"), 1)));
        let topics = wanted.iter().map(|(name, count)| {
            CreatableTopic::default()
                .with_name(self.topic(name))
                .with_num_partitions(*count)
                .with_replication_factor(1)
        });
        let request = CreateTopicsRequest::default()
            .with_timeout_ms(20_000)
            .with_topics(topics.collect());
        let answer = harness.call(7, &request);
        assert!(
            answer.topics.iter().all(|topic| topic.error_code == 0),
            "{answer:?}"
        );
        for topic in &answer.topics {
            self.ids
                .insert(topic.topic_id.to_string(), topic.name.to_string());
        }
        let mut unwritten: Vec<(String, i32)> = wanted
            .iter()
            .flat_map(|(name, count)| (0..*count).map(move |index| (name.clone(), index)))
            .collect();
        // The broker may not know yet that it leads them.
        wait_for("writable topics", READY_WITHIN, || {
            unwritten.retain(|(name, index)| !self.write(harness, name, *index));
            unwritten.is_empty().then_some(())
        });
    }

    /// Writes the records that each partition has from the start, and whether that is done.
    fn write(&self, harness: &mut Connection, name: &str, index: i32) -> bool {
        let records = PartitionProduceData::default()
            .with_index(index)
            .with_records(Some(batch::plain(&["one", "two", "three"])));
        let topic = TopicProduceData::default()
            .with_name(self.topic(name))
            .with_partition_data(vec![records]);
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(20_000)
            .with_topic_data(vec![topic]);
        let answer = harness.call(12, &request);
        answer.responses[0].partition_responses[0].error_code == 0
    }

    pub(super) fn remember(&mut self, case: &'static str, version: i16, answer: Value) {
        self.answers.insert((case, version), answer);
    }

    // What cases name.

    pub(super) fn text(&self, name: &str) -> StrBytes {
        format!("{}{name}", self.prefix).into()
    }

    pub(crate) fn topic(&self, name: &str) -> TopicName {
        TopicName(self.text(name))
    }

    pub(super) fn group(&self, name: &str) -> GroupId {
        GroupId(self.text(name))
    }

    pub(super) fn transactional_id(&self, name: &str) -> TransactionalId {
        TransactionalId(self.text(name))
    }

    /// The id of a topic; of one that is not there, an id that no topic has.
    pub(super) fn id(&self, name: &str) -> Uuid {
        let name = self.text(name);
        let found = self.ids.iter().find(|(_, known)| known.as_str() == &*name);
        match found {
            Some((id, _)) => id.parse().expect("an id"),
            None => Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
        }
    }

    /// A field of an earlier answer.
    pub(super) fn said(&self, case: &'static str, version: i16, pointer: &str) -> &Value {
        let answer = self.answers.get(&(case, version));
        answer
            .and_then(|answer| answer.pointer(pointer))
            .unwrap_or(&Value::Null)
    }

    pub(super) fn said_text(&self, case: &'static str, version: i16, pointer: &str) -> StrBytes {
        let said = self
            .said(case, version, pointer)
            .as_str()
            .unwrap_or_default();
        said.to_owned().into()
    }

    pub(super) fn said_number(&self, case: &'static str, version: i16, pointer: &str) -> i64 {
        self.said(case, version, pointer).as_i64().unwrap_or(-1)
    }
}
