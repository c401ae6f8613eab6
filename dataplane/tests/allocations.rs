//! Carrying on costs no allocation in the shell either: a real gateway on loopback, with an issuer and a broker made of threads,
//! is asked for Produce and Fetch, and each allocation of its shards is traced to whose code it is.

#[path = "../session/tests/support/batch.rs"]
#[allow(dead_code, unreachable_pub, reason = "a part of it is used")]
mod batch;
#[path = "../session/tests/support/frames.rs"]
#[allow(dead_code, unreachable_pub, reason = "a part of it is used")]
mod frames;
#[path = "../session/tests/support/issuer.rs"]
#[allow(dead_code, unreachable_pub, reason = "a part of it is used")]
mod issuer;
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, BrokerId, FetchRequest, MetadataRequest,
    MetadataResponse, ProduceRequest,
};
use prost::Message;
use serde_json::json;
use sha2::{Digest, Sha256};
use sluice_dataplane::Gateway;
use sluice_dataplane::config::{
    BrokerAddresses, BrokerNames, DevelopmentIssuers, GatewayConfig, IssuerConfig, Listen,
};
use sluice_policy::{Revision, Source};
use sluice_session::login::Credential;

use batch::BatchSpec;
use issuer::Issuer;
use support::Watchdog;

const PRODUCE_VERSION: i16 = 9;
const FETCH_VERSION: i16 = 12;
/// Buffers have grown, and what is written in seven bits of a number is written in fourteen.
const WARM_UP: i32 = 300;
const COUNTED: i32 = 200;

const POLICY: &str = r#"
kind: Role
metadata: {name: worker}
spec: {permissions: [{operations: [Write, Read, Describe], topics: [orders]}]}
---
kind: Binding
metadata: {name: worker}
spec: {match: {issuer: demo, claims: {sub: worker}}, owner: alice, roles: [worker]}
"#;

/// Traces each allocation of a thread named after a shard, while it is told to.
struct Tracing;

#[global_allocator]
static ALLOCATOR: Tracing = Tracing;
static IS_TRACING: AtomicBool = AtomicBool::new(false);
static TRACES: Mutex<Vec<Backtrace>> = Mutex::new(Vec::new());

thread_local! {
    /// Tracing allocates, too.
    static IS_BUSY: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: it is the system's allocator.
unsafe impl GlobalAlloc for Tracing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        trace();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        trace();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        trace();
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

fn trace() {
    if !IS_TRACING.load(Ordering::Acquire) || IS_BUSY.replace(true) {
        return;
    }
    let thread = std::thread::current();
    if thread.name().is_some_and(|name| name.starts_with("shard-")) {
        TRACES.lock().unwrap().push(Backtrace::force_capture());
    }
    IS_BUSY.set(false);
}

/// Function and count of what a shard allocates, by whose code is nearest to the allocation.
#[derive(Default, Debug)]
struct Allocations {
    own: BTreeMap<String, usize>,
    /// Buffers of rounds that the journal's thread has not given back yet: as many as it happens to be behind.
    journal_buffers: BTreeMap<String, usize>,
    /// Ours to ask for, glommio's to make: timers and parking.
    executor: BTreeMap<String, usize>,
}

/// Traces of a debug build name the gateway's files by the path from its package, here the current directory.
fn allocations(work: impl FnOnce()) -> Allocations {
    IS_TRACING.store(true, Ordering::Release);
    work();
    IS_TRACING.store(false, Ordering::Release);
    let mut allocations = Allocations::default();
    for trace in std::mem::take(&mut *TRACES.lock().unwrap()) {
        let trace = trace.to_string();
        // By the clock, not by the frame.
        if trace.contains("sluice_dataplane::gateway::sweep") {
            continue;
        }
        let mut function = "";
        let nearest = trace.lines().map(str::trim).find_map(|line| {
            let Some(place) = line.strip_prefix("at ") else {
                function = line.split_once(": ").map_or("", |(_, function)| function);
                return None;
            };
            let executor = place.split_once("/glommio-").map(|(_, place)| place);
            let own = place
                .strip_prefix("./")
                .filter(|place| !place.starts_with("tests/"));
            let place = executor.or(own)?;
            Some((format!("{function} at {place}"), executor.is_some()))
        });
        let (nearest, is_executor) =
            nearest.unwrap_or_else(|| (format!("nobody known: {trace}"), false));
        let counts = if is_executor {
            &mut allocations.executor
        } else if nearest.contains("append at src/journal.rs") {
            &mut allocations.journal_buffers
        } else {
            &mut allocations.own
        };
        *counts.entry(nearest).or_default() += 1;
    }
    allocations
}

/// An issuer's two pages.
fn serve_issuer(listener: TcpListener, url: String, keys: String) {
    let discovery = json!({"issuer": url, "jwks_uri": format!("{url}/jwks")}).to_string();
    for stream in listener.incoming() {
        let mut stream = BufReader::new(stream.unwrap());
        let (mut first, mut line) = (String::new(), String::new());
        stream.read_line(&mut first).unwrap();
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).unwrap();
        }
        let page = if first.contains("/jwks") {
            &keys
        } else {
            &discovery
        };
        write!(
            stream.get_mut(),
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{page}",
            page.len()
        )
        .unwrap();
    }
}

/// A broker of one node that answers anybody, and every Produce and every Fetch alike.
fn serve_broker(listener: TcpListener) {
    let port = listener.local_addr().unwrap().port();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        stream.set_nodelay(true).unwrap();
        std::thread::spawn(move || {
            let mut answers = BTreeMap::new();
            while let Some(frame) = read_frame(&mut stream) {
                let (key, version, correlation_id) = frames::head(&frame);
                let answer: &mut Vec<u8> = answers
                    .entry((key, version))
                    .or_insert_with(|| broker_answer(key, version, port));
                answer[4..8].copy_from_slice(&correlation_id.to_be_bytes());
                stream.write_all(answer).unwrap();
            }
        });
    }
}

fn broker_answer(key: i16, version: i16, port: u16) -> Vec<u8> {
    match ApiKey::try_from(key).unwrap() {
        ApiKey::ApiVersions => {
            let offered = ApiKey::iter().map(|api| {
                ApiVersion::default()
                    .with_api_key(api as i16)
                    .with_min_version(api.valid_versions().min)
                    .with_max_version(api.valid_versions().max)
            });
            let answer = ApiVersionsResponse::default().with_api_keys(offered.collect());
            frames::response::<ApiVersionsRequest>(version, 0, &answer)
        }
        ApiKey::Metadata => {
            let node = MetadataResponseBroker::default()
                .with_node_id(BrokerId(1))
                .with_host(frames::text("127.0.0.1"))
                .with_port(port.into());
            let answer = MetadataResponse::default().with_brokers(vec![node]);
            frames::response::<MetadataRequest>(version, 0, &answer)
        }
        ApiKey::Produce => {
            let answer = frames::produced(&[("orders", vec![(0, 10), (1, 11)])]);
            frames::response::<ProduceRequest>(version, 0, &answer)
        }
        ApiKey::Fetch => {
            let answer = frames::fetched(&[("orders", vec![(0, records()), (1, records())])]);
            frames::response::<FetchRequest>(version, 0, &answer)
        }
        other => panic!("the broker was asked for {other:?}"),
    }
}

fn records() -> Vec<u8> {
    BatchSpec::default().of(&[&b"{}"[..]; 50])
}

fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut frame = vec![0; 4];
    stream.read_exact(&mut frame).ok()?;
    let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
    frame.resize(4 + length as usize, 0);
    stream.read_exact(&mut frame[4..]).ok()?;
    Some(frame)
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// As the control link leaves it for the next start.
fn put_snapshot(state_dir: &Path) {
    let source = Source {
        file: "policy.yaml",
        text: POLICY,
    };
    let set = sluice_policy::validate(&[source]).unwrap();
    let revision = Revision {
        incarnation: 1,
        number: 1,
    };
    let snapshot = sluice_proto::v1::Snapshot {
        tables: sluice_policy::compile(&set, revision).unwrap().into(),
        ..sluice_proto::v1::Snapshot::default()
    };
    let bytes = snapshot.encode_to_vec();
    let mut file = Sha256::digest(&bytes).to_vec();
    file.extend(bytes);
    std::fs::write(state_dir.join("snapshot.last-good"), file).unwrap();
}

fn gateway(state_dir: &Path, issuer_url: String, broker: SocketAddr) -> Gateway {
    put_snapshot(state_dir);
    let gateway = Gateway::start(GatewayConfig {
        name: "gateway-1".into(),
        state_dir: state_dir.to_owned(),
        listen: Listen {
            host: Ipv4Addr::LOCALHOST.into(),
            advertised_host: "localhost".into(),
            bootstrap_port: 0,
            brokers: BrokerAddresses::Names(BrokerNames::parse("b{node}.example").unwrap()),
        },
        client_tls: None,
        brokers: vec![broker.to_string()],
        broker_credential: Credential::DangerNone,
        broker_tls: None,
        issuers: vec![IssuerConfig {
            name: issuer::NAME.into(),
            url: issuer_url,
            audience: issuer::AUDIENCE.into(),
            roots: None,
            development: DevelopmentIssuers::Refuse,
        }],
        link: None,
        shard_cpus: Vec::new(),
        hot_us: 0,
        connections_bytes_max: 256 << 20,
        metrics: None,
    })
    .unwrap();
    assert!(gateway.wait_ready(Duration::from_secs(60)));
    gateway
}

struct Client(TcpStream);

impl Client {
    fn log_in(gateway: SocketAddr, token: &str) -> Self {
        let mut client = Self(TcpStream::connect(gateway).unwrap());
        client.0.set_nodelay(true).unwrap();
        let answer = client.ask(&frames::handshake("OAUTHBEARER"));
        assert_eq!(frames::handshake_answer(&answer).error_code, 0);
        let message = sluice_identity::oauthbearer::encode(token, None, &[]).unwrap();
        let answer = frames::sasl_answer(&client.ask(&frames::authenticate(&message)));
        assert_eq!(answer.error_code, 0, "{answer:?}");
        client
    }

    fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        self.0.write_all(request).unwrap();
        read_frame(&mut self.0).expect("the gateway answers")
    }

    fn ask_often(&mut self, request: &[u8], times: i32) -> Vec<u8> {
        (0..times).map(|_| self.ask(request)).last().unwrap()
    }
}

#[test]
fn a_shard_allocates_nothing_of_its_own_for_a_produce_and_a_fetch() {
    let _watchdog = Watchdog::start("allocations of a shard");
    let (broker, broker_address) = listen();
    std::thread::spawn(move || serve_broker(broker));
    let (pages, pages_address) = listen();
    let (issuer, url) = (Issuer::new("k1"), format!("http://{pages_address}"));
    let (its_url, keys) = (url.clone(), issuer.key_set().to_string());
    std::thread::spawn(move || serve_issuer(pages, its_url, keys));
    let state_dir = tempfile::tempdir().unwrap();
    let gateway = gateway(state_dir.path(), url.clone(), broker_address);
    let now_s = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let token = issuer.sign(
        &json!({"iss": url, "aud": issuer::AUDIENCE, "sub": "worker", "exp": now_s + 600, "jti": "t-1"}),
    );
    let mut client = Client::log_in(gateway.bootstrap(), &token);

    let produce = frames::produce(-1, &[("orders", vec![(0, records()), (1, records())])]);
    let produce = frames::request(PRODUCE_VERSION, 7, &produce);
    let fetch = frames::fetch(&[("orders", vec![(0, 5), (1, 6)])]);
    let fetch = frames::request(FETCH_VERSION, 7, &fetch);
    for (name, request) in [("Produce", produce), ("Fetch", fetch)] {
        let answer = client.ask_often(&request, WARM_UP);
        if name == "Produce" {
            let (_, answer) = frames::decode_response::<ProduceRequest>(PRODUCE_VERSION, &answer);
            let results = frames::produce_results(&answer);
            assert!(
                results.iter().all(|(_, _, error, _)| *error == 0),
                "{results:?}"
            );
        } else {
            let (_, answer) = frames::decode_response::<FetchRequest>(FETCH_VERSION, &answer);
            let results = frames::fetch_results(&answer);
            assert!(
                results
                    .iter()
                    .all(|(_, _, error, got)| *error == 0 && *got == records())
            );
        }
        let counted = allocations(|| drop(client.ask_often(&request, COUNTED)));
        println!("{COUNTED} of {name}: {counted:#?}");
        // That shards are seen at all: they park, and their heart beats.
        assert!(!counted.executor.is_empty(), "nothing was traced");
        assert!(counted.own.is_empty(), "{name}: {:#?}", counted.own);
    }
    drop(client);
    gateway.drain();
}
