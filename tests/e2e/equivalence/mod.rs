//! Sluice against Kafka's own authorizer: the same rights, the same requests, the same answers, and the same effects.
//!
//! A broker with ACLs for users that reach it directly, and a gateway in front of it whose policy says the same about
//! principals of its own. Every case of [`cases`] is asked on both ways, in every version that both speak, under names that
//! differ in their first part only (`direct.orders`, `gateway.orders`). Answers are compared field by field; what is left out
//! of account is in [`tree::Normal`], what may differ is in [`differences`]. No byte that comes through the gateway may tell
//! the broker's address. At the end somebody who may see everything
//! compares what has become of the cluster.

pub(crate) mod cases;
mod differences;
pub(crate) mod scene;
mod tree;
pub(crate) mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, DescribeClusterRequest};
use serde_json::Value;
use sluice_kafka::api::{Treatment, api};
use sluice_tests::{Kafka, KafkaOptions, Oidc, Sluice, SluiceOptions};

use cases::Case;
use differences::MEANT;
use scene::{Side, Who};
use tree::{Differing, Normal, OTHER_SIDE};
use wire::{Connection, Login};

const PREFIXES: [&str; 2] = ["direct.", "gateway."];
const DIRECT: usize = 0;
const GATEWAY: usize = 1;

/// Versions that each API is spoken in.
type Spoken = BTreeMap<i16, (i16, i16)>;
const NONE: (i16, i16) = (0, -1);

#[test]
fn what_kafka_allows_and_denies_sluice_allows_and_denies() {
    let mut run = Run::begin();
    let cases = cases::all();
    for case in &cases {
        let (first, last) = run.versions(case.api_key);
        for version in first.max(*case.versions.start())..=last.min(*case.versions.end()) {
            run.ask(case, version);
        }
    }
    scene::settle(run.connection(DIRECT, Who::Harness));
    for look in cases::looks() {
        run.ask(&look, *look.versions.start());
    }
    run.end();
}

/// A cluster, the two ways to it, and what they differed in.
struct Run {
    sides: [Side; 2],
    connections: BTreeMap<(usize, Who), Connection>,
    spoken: Spoken,
    /// APIs that the broker offers and the gateway does not.
    withheld: Spoken,
    asked: BTreeMap<(i16, i16), usize>,
    met: BTreeSet<usize>,
    report: String,
    unmeant: usize,
    /// The parts that run, as long as this does.
    _parts: (Kafka, Sluice),
}

impl Run {
    fn begin() -> Self {
        let (kafka, oidc) = (Kafka::start(&KafkaOptions::default()), Oidc::shared());
        let broker = kafka.addresses()[0].clone();
        let harness = || Login::Plain {
            user: "harness".to_owned(),
            password: kafka.password("harness"),
        };
        let mut prepare = Connection::new(&broker, harness());
        scene::warm_up(&mut prepare);
        let password = kafka.password("stranger");
        let mut sides = PREFIXES.map(|prefix| Side::new(prefix, split(&broker)));
        for side in &mut sides {
            scene::make_users(&mut prepare, side.prefix, &password);
            side.make_topics(&mut prepare);
        }

        // Now, so that its first look at the cluster finds the topics with their ids.
        let sluice = Sluice::up(&kafka, oidc, &SluiceOptions::default());
        sluice.apply(oidc, "frank", &scene::policy(PREFIXES[GATEWAY]));
        let bootstrap = format!("127.0.0.1:{}", sluice.bootstrap_port());
        let address = advertised(&mut Connection::new(&bootstrap, token(oidc, Who::Single)));
        assert_ne!(address, broker, "the gateway shows the broker's address");
        sides[GATEWAY].address = split(&address);

        let mut connections = BTreeMap::new();
        for who in Who::LIMITED {
            let scram = Login::Scram {
                user: format!("{}{}", PREFIXES[DIRECT], who.name()),
                password: password.clone(),
            };
            connections.insert((DIRECT, who), Connection::new(&broker, scram));
            let gateway = Connection::new(&address, token(oidc, who));
            connections.insert((GATEWAY, who), gateway.hiding(&split(&broker)));
        }
        for side in [DIRECT, GATEWAY] {
            let connection = Connection::new(&broker, harness());
            connections.insert((side, Who::Harness), connection);
        }
        let said = [DIRECT, GATEWAY].map(|side| {
            let connection = connections.get_mut(&(side, Who::Single));
            versions(connection.expect("it is there"))
        });
        Self {
            sides,
            connections,
            spoken: spoken_by_both(&said),
            withheld: withheld(said),
            asked: BTreeMap::new(),
            met: BTreeSet::new(),
            report: String::new(),
            unmeant: 0,
            _parts: (kafka, sluice),
        }
    }

    /// Asks on both ways at the same time, and compares.
    fn ask(&mut self, case: &Case, version: i16) {
        let exchanges = [DIRECT, GATEWAY].map(|side| (case.request)(&self.sides[side], version));
        let mut answers = [Value::Null, Value::Null];
        for side in [DIRECT, GATEWAY] {
            self.connection(side, case.who).send(&exchanges[side]);
        }
        for side in [DIRECT, GATEWAY] {
            answers[side] = self.connection(side, case.who).receive(&exchanges[side]);
        }
        let normal = [DIRECT, GATEWAY].map(|side| {
            let tree = self.normal(side, case.who).tree(&answers[side]);
            if case.who == Who::Harness {
                own(&tree)
            } else {
                tree
            }
        });
        for (side, answer) in self.sides.iter_mut().zip(answers) {
            side.remember(case.name, version, answer);
        }
        *self.asked.entry((case.api_key, version)).or_default() += 1;
        for differing in tree::differences(&normal[DIRECT], &normal[GATEWAY]) {
            self.note(case, version, &differing);
        }
    }

    /// The versions to ask an API in. One that the gateway withholds is asked too: the broker must be alone in answering.
    fn versions(&self, api_key: i16) -> (i16, i16) {
        let spoken = self.spoken.get(&api_key);
        let found = spoken.or_else(|| self.withheld.get(&api_key));
        found.copied().unwrap_or(NONE)
    }

    fn connection(&mut self, side: usize, who: Who) -> &mut Connection {
        self.connections.get_mut(&(side, who)).expect("it is there")
    }

    fn normal(&self, side: usize, who: Who) -> Normal<'_> {
        // The harness goes to the broker for both sides.
        let at = if who == Who::Harness { DIRECT } else { side };
        Normal {
            prefix: PREFIXES[side],
            other: PREFIXES[1 - side],
            address: &self.sides[at].address,
            ids: &self.sides[side].ids,
        }
    }

    fn note(&mut self, case: &Case, version: i16, differing: &Differing) {
        let api = api_name(case.api_key);
        let name = format!("{}: {}", case.who.name(), case.name);
        let meant = MEANT.iter().enumerate();
        let meant = meant.filter(|(_, meant)| meant.meets(api, version, &name, differing));
        let meant: Vec<usize> = meant.map(|(at, _)| at).collect();
        if !meant.is_empty() {
            self.met.extend(meant);
            return;
        }
        let Differing {
            field,
            direct,
            gateway,
        } = differing;
        self.unmeant += 1;
        let _ = writeln!(
            self.report,
            "{api} {version} | {name} | {field} | direct {direct:.300} | gateway {gateway:.300}"
        );
    }

    /// # Panics
    /// With every difference that nobody meant, every one that was meant and is none, and every version without a case.
    fn end(mut self) {
        for (at, meant) in MEANT
            .iter()
            .enumerate()
            .filter(|(at, _)| !self.met.contains(at))
        {
            let _ = writeln!(
                self.report,
                "differences.rs, entry {at} meets nothing: {} {:?} {} {} ({})",
                meant.api, meant.versions, meant.case, meant.field, meant.reason
            );
        }
        for (key, (first, last)) in &self.spoken {
            for version in *first..=*last {
                if !self.asked.contains_key(&(*key, version)) {
                    let _ = writeln!(self.report, "{} {version} has no case", api_name(*key));
                }
            }
        }
        let exchanges: usize = self.asked.values().sum();
        let apis: BTreeSet<i16> = self.asked.keys().map(|(key, _)| *key).collect();
        println!(
            "{} APIs, {} versions of them, {exchanges} requests on each way; {} differences are meant",
            apis.len(),
            self.asked.len(),
            MEANT.len()
        );
        assert!(
            self.report.is_empty(),
            "API version | principal: case | field | direct | gateway\n{}{} fields differ and are not meant to",
            self.report,
            self.unmeant
        );
    }
}

fn token(oidc: &Oidc, who: Who) -> Login {
    Login::Token(oidc.token(who.oidc_client()))
}

/// `host:port` of the one broker, as the other side shows it.
fn advertised(connection: &mut Connection) -> String {
    let answer = connection.call(0, &DescribeClusterRequest::default());
    assert_eq!(answer.brokers.len(), 1, "{answer:?}");
    format!("{}:{}", answer.brokers[0].host, answer.brokers[0].port)
}

fn split(address: &str) -> (String, i64) {
    let (host, port) = address.rsplit_once(':').expect("an address");
    (host.to_owned(), port.parse().expect("a port"))
}

fn versions(connection: &mut Connection) -> Spoken {
    let answer = connection.call(0, &ApiVersionsRequest::default());
    let ranges = answer.api_keys.iter();
    ranges
        .map(|api| (api.api_key, (api.min_version, api.max_version)))
        .collect()
}

/// What both speak, and what decides about resources: SASL is another matter.
fn spoken_by_both([direct, gateway]: &[Spoken; 2]) -> Spoken {
    const SASL: [i16; 2] = [17, 36];
    let mut out = Spoken::new();
    for (key, (first, last)) in gateway.iter().filter(|(key, _)| !SASL.contains(key)) {
        let broker = direct.get(key).copied().unwrap_or(NONE);
        // Produce is offered from 0 on, for the sake of old clients, and spoken later.
        let speaks = api(*key).filter(|api| api.treatment != Treatment::Withheld);
        let spoken = speaks.map_or(NONE, |api| api.versions);
        let both = (
            *first.max(&broker.0).max(&spoken.0),
            *last.min(&broker.1).min(&spoken.1),
        );
        assert!(
            both.0 <= both.1,
            "{} is offered and not spoken",
            api_name(*key)
        );
        out.insert(*key, both);
    }
    out
}

/// What the gateway does not offer, with the versions that are known here.
fn withheld([direct, gateway]: [Spoken; 2]) -> Spoken {
    let known = |key: &i16| {
        ApiKey::try_from(*key).map_or(NONE, |key| {
            let range = key.valid_versions();
            (range.min, range.max)
        })
    };
    let kept = direct
        .into_iter()
        .filter(|(key, _)| !gateway.contains_key(key));
    kept.map(|(key, broker)| {
        let known = known(&key);
        (key, (broker.0.max(known.0), broker.1.min(known.1)))
    })
    .collect()
}

fn api_name(key: i16) -> &'static str {
    api(key).map_or("an API that there is not", |api| api.name)
}

/// The same without what bears the other side's names, or is Kafka's own.
fn own(tree: &Value) -> Value {
    match tree {
        Value::Array(items) => {
            let own = items.iter().filter(|item| {
                tree::name_of(item).is_none_or(|name| {
                    let internal = name
                        .rsplit(':')
                        .next()
                        .is_some_and(|name| name.starts_with("__"));
                    !internal && !name.contains(OTHER_SIDE)
                })
            });
            Value::Array(own.map(self::own).collect())
        }
        Value::Object(fields) => {
            let own = fields
                .iter()
                .map(|(name, value)| (name.clone(), self::own(value)));
            Value::Object(own.collect())
        }
        _ => tree.clone(),
    }
}
