//! What a session looks at: policy, issuers, cluster, grants, and the process-wide tables, all held by the test.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::messages::ApiKey;
use sluice_identity::jwt::TrustedIssuer;
use sluice_kafka::api::ApiRange;
use sluice_masking::{DomainKey, KeyRing};
use sluice_policy::{Revision, Source, Tables};
use sluice_session::environment::{
    Environment, Grants, Node, Now, Shared, Snapshot, Standing, Topology,
};
use sluice_session::login::Offer;
use sluice_session::order_gate::OrderGate;
use sluice_session::producer_ids::ProducerIds;
use sluice_session::registry::{TopicIds, TopicNames};

use super::issuer::Issuer;

/// The policy that most tests use. `writer`, `other-writer`, `reader`, `clear-reader`, `admin` and `operator` are services.
pub const POLICY: &str = r#"
kind: Role
metadata: {name: writer}
spec:
  permissions:
    - {operations: [Write, Describe], topics: [orders, clicks, payments, masked, sealed]}
    - {operations: [Write, Describe], transactional_ids: [tx-1, orders]}
    - {operations: [Read], groups: [g-1]}
    - {operations: [Read], topics: [tx-input]}
---
kind: Role
metadata: {name: reader}
spec:
  permissions:
    - {operations: [Read, Describe], topics: [orders, clicks, masked, masked-too]}
    - {operations: [Read, Describe], topics: [fixed]}
    - {operations: [Read, Describe, Delete], groups: [{prefix: g-}]}
---
kind: Role
metadata: {name: clear-reader}
spec:
  permissions: [{operations: [Read, Describe], topics: [orders, masked]}]
  clear: [personal]
---
kind: Role
metadata: {name: topic-admin}
spec:
  permissions:
    - {operations: [Create, Delete, Alter, AlterConfigs, DescribeConfigs, Describe], topics: [{prefix: ""}]}
    - {effect: deny, operations: [Create, Delete, Alter, AlterConfigs, DescribeConfigs, Describe], topics: [secret]}
---
kind: Role
metadata: {name: cluster-admin}
spec:
  permissions:
    - {operations: [Alter, AlterConfigs, Describe], cluster: true}
    - {operations: [Describe], transactional_ids: [tx-1]}
---
kind: Mask
metadata: {name: personal}
spec: {topics: [masked, masked-too], fields: ["$.email"], token: {shape: opaque, domain: customers}}
---
kind: Mask
metadata: {name: fixed}
spec: {topics: [fixed], fields: ["$.email", "$.pin"], headers: [trace-user], token: {shape: opaque, length: same, domain: customers}}
---
kind: Mask
metadata: {name: keyed}
spec: {topics: [masked-too], key: ["$.user"], headers: [Trace-User], token: {shape: opaque, domain: customers}}
---
kind: TopicClass
metadata: {name: ledger}
spec: {topics: [ledger, sealed], immutable: true, retention_min: 7y}
---
kind: TopicClass
metadata: {name: high-value}
spec: {topics: [payments], approval: one-owner}
---
kind: ApprovalRule
metadata: {name: one-owner}
spec: {quorum: {count: 1, of: owners}, hold: 1s, timeout: 60s, grant: {lasts: 10m}}
---
kind: Binding
metadata: {name: boss}
spec: {match: {issuer: demo, claims: {sub: boss}}, groups: [owners]}
---
kind: Binding
metadata: {name: writer}
spec: {match: {issuer: demo, claims: {sub: writer}}, owner: alice, roles: [writer]}
---
kind: Binding
metadata: {name: other-writer}
spec: {match: {issuer: demo, claims: {sub: other-writer}}, owner: alice, roles: [writer]}
---
kind: Binding
metadata: {name: reader}
spec: {match: {issuer: demo, claims: {sub: reader}}, owner: bob, roles: [reader]}
---
kind: Binding
metadata: {name: clear-reader}
spec: {match: {issuer: demo, claims: {sub: clear-reader}}, owner: bob, roles: [clear-reader]}
---
kind: Binding
metadata: {name: admin}
spec: {match: {issuer: demo, claims: {sub: admin}}, owner: carol, roles: [topic-admin]}
---
kind: Binding
metadata: {name: operator}
spec: {match: {issuer: demo, claims: {sub: operator}}, owner: dora, roles: [cluster-admin]}
"#;

/// Topics whose ids a broker's answer has named.
const TOPICS: [&str; 11] = [
    "orders",
    "clicks",
    "payments",
    "masked",
    "masked-too",
    "sealed",
    "ledger",
    "hidden",
    "secret",
    "other",
    "nowhere",
];

/// As whom the brokers know the gateway.
pub const BROKER_USER: &str = "gateway";

/// 2027-01-15 08:00:00 UTC.
pub const START_UNIX_S: i64 = 1_800_000_000;
/// How long tokens of [`World::token`] hold.
pub const TOKEN_LASTS_S: i64 = 3_600;

pub struct World {
    pub now_unix_s: i64,
    pub snapshot: Option<Arc<Snapshot>>,
    pub issuer: Issuer,
    pub issuers: Vec<TrustedIssuer>,
    pub topology: Topology,
    pub grants: Grants,
    pub shared: FakeShared,
    revision: u64,
}

impl World {
    pub fn new(policy: &str) -> Self {
        let issuer = Issuer::new("k1");
        let offer = broker_offer().narrowed();
        let node = |id: i32| {
            let advertised_port = 19_093 + u16::try_from(id).unwrap();
            let node = Node {
                advertised_host: "gateway.example".into(),
                advertised_port,
                offer: offer.clone(),
            };
            (id, node)
        };
        let mut world = Self {
            now_unix_s: START_UNIX_S,
            snapshot: None,
            issuers: vec![issuer.trusted()],
            issuer,
            topology: Topology {
                nodes: BTreeMap::from([node(0), node(1)]),
                common_offer: offer.clone(),
                broker_user: BROKER_USER.into(),
            },
            grants: Grants::default(),
            shared: FakeShared::default(),
            revision: 0,
        };
        world.apply(policy);
        world
    }

    /// Puts another policy in force, under the next revision.
    #[track_caller]
    pub fn apply(&mut self, policy: &str) {
        self.revision += 1;
        self.snapshot = Some(Arc::new(compile(policy, self.revision)));
    }

    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub fn environment(&self) -> Environment<'_> {
        Environment {
            now: Now {
                unix_ns: u64::try_from(self.now_unix_s).unwrap() * 1_000_000_000,
            },
            snapshot: self.snapshot.as_ref(),
            issuers: &self.issuers,
            topology: &self.topology,
            grants: &self.grants,
            shared: &self.shared,
        }
    }

    /// A good token.
    pub fn token(&self, subject: &str) -> String {
        self.issuer.token(subject, self.now_unix_s + TOKEN_LASTS_S)
    }

    /// Lets `principal` write to a protected topic for ten minutes.
    pub fn grant(&mut self, principal: &str, topic: &str) {
        let expires_unix_ms = (self.now_unix_s + 600) * 1_000;
        self.grants
            .insert(principal.into(), topic.into(), "grant-7", expires_unix_ms);
    }
}

#[track_caller]
fn compile(policy: &str, number: u64) -> Snapshot {
    let set = sluice_policy::validate(&[Source {
        file: "policy.yaml",
        text: policy,
    }])
    .unwrap_or_else(|problems| {
        panic!(
            "{}",
            problems
                .iter()
                .map(|problem| format!("{problem}\n"))
                .collect::<String>()
        )
    });
    let bytes = sluice_policy::compile(
        &set,
        Revision {
            incarnation: 1,
            number,
        },
    )
    .unwrap();
    let tables = Tables::load(bytes).unwrap();
    let mut keys = KeyRing::new();
    for domain in tables.mask_domains() {
        keys.insert(domain, DomainKey::derive(&[7; 32], domain, 1))
            .unwrap();
    }
    Snapshot::compile(tables, &keys).unwrap()
}

/// A broker that offers every API in every version that exists.
pub fn broker_offer() -> Offer {
    let ranges = ApiKey::iter().map(|api| {
        let versions = api.valid_versions();
        ApiRange {
            key: api as i16,
            version_min: versions.min,
            version_max: versions.max + 1,
        }
    });
    Offer {
        ranges: ranges.collect(),
        ..Offer::default()
    }
}

/// The process-wide tables, without locks; the test says how approval requests stand.
pub struct FakeShared {
    pub gate: RefCell<OrderGate>,
    pub producer_ids: RefCell<ProducerIds>,
    pub topic_ids: RefCell<TopicIds>,
    pub topic_names: RefCell<TopicNames>,
    pub standing: RefCell<Standing>,
    /// Principal, topic and rule of each write that asked.
    pub asked: RefCell<Vec<(String, String, String)>>,
    pub unknown_keys_count: Cell<u32>,
}

impl Default for FakeShared {
    fn default() -> Self {
        let mut topic_ids = TopicIds::default();
        for name in TOPICS {
            topic_ids.learn(super::frames::topic_id(name).into_bytes(), name);
        }
        let mut topic_names = TopicNames::default();
        topic_names.learn(TOPICS.into_iter().chain(["__consumer_offsets"]));
        Self {
            gate: RefCell::default(),
            producer_ids: RefCell::default(),
            topic_ids: RefCell::new(topic_ids),
            topic_names: RefCell::new(topic_names),
            standing: RefCell::new(Standing::Open),
            asked: RefCell::default(),
            unknown_keys_count: Cell::new(0),
        }
    }
}

impl Shared for FakeShared {
    fn order_gate(&self, ask: &mut dyn FnMut(&mut OrderGate)) {
        ask(&mut self.gate.borrow_mut());
    }

    fn producer_ids(&self, ask: &mut dyn FnMut(&mut ProducerIds)) {
        ask(&mut self.producer_ids.borrow_mut());
    }

    fn producer_ids_generation(&self) -> u64 {
        self.producer_ids.borrow().generation()
    }

    fn topic_ids(&self, ask: &mut dyn FnMut(&mut TopicIds)) {
        ask(&mut self.topic_ids.borrow_mut());
    }

    fn topic_names(&self, ask: &mut dyn FnMut(&mut TopicNames)) {
        ask(&mut self.topic_names.borrow_mut());
    }

    fn approval(&self, principal: &str, topic: &str, rule: &str) -> Standing {
        self.asked
            .borrow_mut()
            .push((principal.into(), topic.into(), rule.into()));
        self.standing.borrow().clone()
    }

    fn unknown_key(&self) {
        self.unknown_keys_count
            .set(self.unknown_keys_count.get() + 1);
    }
}
