//! The stage `decide` of the benchmarks decides as the gateway does, and records nothing: it stands beside the gateway itself
//! here, and what differs is the evidence alone.

mod support;
#[path = "support/world.rs"]
mod world;

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use kafka_protocol::messages::{ApiKey, FetchRequest, ProduceRequest};
use sluice_dataplane::config::GatewayConfig;
use sluice_dataplane::stages::gateway_without_evidence;
use sluice_dataplane::{Gateway, GatewayError};
use sluice_evidence::files::{LogWriter, read_leaves};
use sluice_evidence::{Kind, Record, SigningKey};

use support::Watchdog;
use world::batch::plain;
use world::{FETCH_VERSION, PRODUCE_VERSION, World, correlated, frames};

const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const SASL_AUTHENTICATION_FAILED: i16 = 58;

/// What reached the broker, and what was recorded, of the requests of somebody who may use `orders` and nothing else.
struct Found {
    forwarded: Vec<(ApiKey, String)>,
    recorded: Vec<Kind>,
}

fn found_with(start: fn(GatewayConfig) -> Result<Gateway, GatewayError>) -> Found {
    let forwarded = Arc::new(Mutex::new(Vec::new()));
    let its_forwarded = forwarded.clone();
    let answer_of = |topics: &[&str]| {
        let topics: Vec<_> = topics.iter().map(|topic| (*topic, vec![(0, 10)])).collect();
        frames::response::<ProduceRequest>(PRODUCE_VERSION, 0, &frames::produced(&topics))
    };
    let records = plain(b"{}");
    let fetched = frames::fetched(&[("orders", vec![(0, records.clone())])]);
    let fetched = frames::response::<FetchRequest>(FETCH_VERSION, 0, &fetched);
    let (produced, its_fetched) = (answer_of(&["orders"]), fetched.clone());
    let world = World::start_by(
        start,
        |_| {},
        move |stream, frame| {
            let (key, _, correlation_id) = frames::head(frame);
            let key = ApiKey::try_from(key).unwrap();
            let (topics, answer): (Vec<_>, _) = if key == ApiKey::Fetch {
                let request = frames::decode_request::<FetchRequest>(frame).1;
                let topics = request.topics.iter().map(|topic| topic.topic.to_string());
                (topics.collect(), &its_fetched)
            } else {
                let request = frames::decode_request::<ProduceRequest>(frame).1;
                let topics = request
                    .topic_data
                    .iter()
                    .map(|topic| topic.name.to_string());
                (topics.collect(), &produced)
            };
            let topics = topics.into_iter().map(|topic| (key, topic));
            its_forwarded.lock().unwrap().extend(topics);
            stream
                .write_all(&correlated(answer, correlation_id))
                .unwrap();
        },
    );

    let (_, error) = world.try_log_in("stranger");
    assert_eq!(error, SASL_AUTHENTICATION_FAILED, "no binding names them");

    let mut client = world.log_in();
    let produce = |topics: &[&str]| {
        let topics: Vec<_> = topics
            .iter()
            .map(|topic| (*topic, vec![(0, records.clone())]))
            .collect();
        frames::request(PRODUCE_VERSION, 7, &frames::produce(-1, &topics))
    };
    let mut results = |topics: &[&str]| {
        let answer = client.ask(&produce(topics));
        let answer = frames::decode_response::<ProduceRequest>(PRODUCE_VERSION, &answer).1;
        let results = frames::produce_results(&answer).into_iter();
        results
            .map(|(topic, _, error, _)| (topic, error))
            .collect::<Vec<_>>()
    };
    let both = [
        ("payments".to_owned(), TOPIC_AUTHORIZATION_FAILED),
        ("orders".to_owned(), 0),
    ];
    assert_eq!(results(&["payments"]), both[..1]);
    assert_eq!(results(&["payments", "orders"]), both);

    let fetch = |topic| frames::request(FETCH_VERSION, 8, &frames::fetch(&[(topic, vec![(0, 0)])]));
    let answer = client.ask(&fetch("payments"));
    let answer = frames::decode_response::<FetchRequest>(FETCH_VERSION, &answer).1;
    let (_, _, error, got) = frames::fetch_results(&answer).remove(0);
    assert_eq!((error, got), (TOPIC_AUTHORIZATION_FAILED, Vec::new()));
    assert_eq!(client.ask(&fetch("orders")), correlated(&fetched, 8));

    drop(client);
    let recorded = recorded_in(world.end().path());
    let forwarded = forwarded.lock().unwrap().clone();
    Found {
        forwarded,
        recorded,
    }
}

/// The kinds of all records in the logs of all shards, but for what a log says of itself.
fn recorded_in(state_dir: &Path) -> Vec<Kind> {
    let evidence = state_dir.join("evidence");
    let seed = std::fs::read(evidence.join("signing-key")).unwrap();
    let seed = seed.try_into().unwrap();
    let (mut kinds, mut shards) = (Vec::new(), 0);
    loop {
        let log = evidence.join(format!("shard-{shards}"));
        if !log.exists() {
            assert!(shards > 0, "a gateway keeps a log for each shard");
            return kinds;
        }
        let key = SigningKey::from_seed(&format!("sluice/gateway-1/shard-{shards}"), &seed);
        let (writer, _) = LogWriter::open(&log, key.unwrap()).unwrap();
        let leaves = read_leaves(&log, 0, writer.next_leaf()).unwrap();
        assert_eq!(leaves.len() as u64, writer.next_leaf(), "all fit one tile");
        let found = leaves
            .iter()
            .map(|leaf| Record::decode(leaf).unwrap().head.kind);
        kinds.extend(found.filter(|kind| !matches!(kind, Kind::LogOpened | Kind::LogClosed)));
        shards += 1;
    }
}

#[test]
fn decide_denies_and_forwards_what_the_gateway_does_and_records_nothing() {
    let _watchdog = Watchdog::start("stage decide");
    let gateway = found_with(Gateway::start);
    for kind in [Kind::Denied, Kind::Intent, Kind::Outcome] {
        assert!(gateway.recorded.contains(&kind), "{:?}", gateway.recorded);
    }
    let stage = found_with(gateway_without_evidence);
    assert_eq!(stage.recorded, []);
    assert_eq!(stage.forwarded, gateway.forwarded);
    let orders = "orders".to_owned();
    assert_eq!(
        stage.forwarded,
        [(ApiKey::Produce, orders.clone()), (ApiKey::Fetch, orders)]
    );
}
