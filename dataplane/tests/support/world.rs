//! A whole gateway on loopback, with an issuer and a broker made of threads.
#![allow(dead_code)] // each test binary uses its part

#[path = "../../session/tests/support/batch.rs"]
#[allow(unreachable_pub, reason = "a part of it is used")]
pub(crate) mod batch;
#[path = "../../session/tests/support/frames.rs"]
#[allow(unreachable_pub, reason = "a part of it is used")]
pub(crate) mod frames;
#[path = "../../session/tests/support/issuer.rs"]
#[allow(unreachable_pub, reason = "a part of it is used")]
mod issuer;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, BrokerId, MetadataRequest, MetadataResponse,
};
use prost::Message;
use serde_json::json;
use sha2::{Digest, Sha256};
use sluice_dataplane::config::{
    BrokerAddresses, BrokerNames, DevelopmentIssuers, GatewayConfig, IssuerConfig, Listen,
};
use sluice_dataplane::{Gateway, GatewayError};
use sluice_policy::{Revision, Source};
use sluice_session::login::Credential;

use issuer::Issuer;

pub(crate) const PRODUCE_VERSION: i16 = 9;
pub(crate) const FETCH_VERSION: i16 = 12;

/// After it a client that waits for an answer fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

const POLICY: &str = r#"
kind: Role
metadata: {name: worker}
spec: {permissions: [{operations: [Write, Read, Describe], topics: [orders, people]}]}
---
kind: Mask
metadata: {name: personal}
spec: {topics: [people], fields: ["$.email"], token: {shape: opaque, domain: customers}}
---
kind: Binding
metadata: {name: worker}
spec: {match: {issuer: demo, claims: {sub: worker}}, owner: alice, roles: [worker]}
"#;

/// A running gateway, and what a client needs to come in.
pub(crate) struct World {
    gateway: Gateway,
    issuer: Issuer,
    issuer_url: String,
    state_dir: tempfile::TempDir,
}

impl World {
    /// One gateway as `change` wants it. Its broker has one node, which answers a Produce or a Fetch as `answer` does.
    pub(crate) fn start(
        change: impl FnOnce(&mut GatewayConfig),
        answer: impl Fn(&mut TcpStream, &[u8]) + Send + Sync + 'static,
    ) -> Self {
        Self::start_by(Gateway::start, change, answer)
    }

    /// The same with a gateway that starts otherwise.
    pub(crate) fn start_by(
        start: fn(GatewayConfig) -> Result<Gateway, GatewayError>,
        change: impl FnOnce(&mut GatewayConfig),
        answer: impl Fn(&mut TcpStream, &[u8]) + Send + Sync + 'static,
    ) -> Self {
        let (broker, broker_address) = listen();
        std::thread::spawn(move || serve_broker(broker, Arc::new(answer)));
        let (pages, pages_address) = listen();
        let (issuer, url) = (Issuer::new("k1"), format!("http://{pages_address}"));
        let (its_url, keys) = (url.clone(), issuer.key_set().to_string());
        std::thread::spawn(move || serve_issuer(pages, its_url, keys));
        let state_dir = tempfile::tempdir().unwrap();
        put_snapshot(state_dir.path());
        let mut config = config(state_dir.path(), url.clone(), broker_address);
        change(&mut config);
        let gateway = start(config).unwrap();
        assert!(gateway.wait_ready(2 * DEADLINE));
        Self {
            gateway,
            issuer,
            issuer_url: url,
            state_dir,
        }
    }

    /// A client that may write and read `orders`, and `people` through a mask.
    pub(crate) fn log_in(&self) -> Client {
        let (client, error_code) = self.try_log_in("worker");
        assert_eq!(error_code, 0);
        client
    }

    /// A client with a good token of this subject, and the error that its login was answered with.
    pub(crate) fn try_log_in(&self, subject: &str) -> (Client, i16) {
        let now_s = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let token = self.issuer.sign(
            &json!({"iss": self.issuer_url, "aud": issuer::AUDIENCE, "sub": subject, "exp": now_s + 600, "jti": "t-1"}),
        );
        let mut client = Client(TcpStream::connect(self.gateway.bootstrap()).unwrap());
        client.0.set_nodelay(true).unwrap();
        client.0.set_read_timeout(Some(DEADLINE)).unwrap();
        let answer = client.ask(&frames::handshake("OAUTHBEARER"));
        assert_eq!(frames::handshake_answer(&answer).error_code, 0);
        let message = sluice_identity::oauthbearer::encode(&token, None, &[]).unwrap();
        let mut answer = frames::sasl_answer(&client.ask(&frames::authenticate(&message)));
        if !answer.auth_bytes.is_empty() {
            // Says what is wrong; the error follows when the client has taken note of it.
            let noted = client.ask(&frames::authenticate(b"\x01"));
            answer = frames::sasl_answer(&noted);
        }
        (client, answer.error_code)
    }

    /// Ends the gateway's threads. A panic in one of its tasks has closed a connection, which some client has noticed. What
    /// it kept on disk is there until the result is dropped.
    pub(crate) fn end(self) -> tempfile::TempDir {
        self.gateway.drain();
        self.state_dir
    }
}

pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        self.0.write_all(request).unwrap();
        self.answer()
    }

    pub(crate) fn ask_often(&mut self, request: &[u8], times: i32) -> Vec<u8> {
        (0..times).map(|_| self.ask(request)).last().unwrap()
    }

    pub(crate) fn answer(&mut self) -> Vec<u8> {
        read_frame(&mut self.0).expect("the gateway answers")
    }
}

pub(crate) fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut frame = vec![0; 4];
    stream.read_exact(&mut frame).ok()?;
    let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
    frame.resize(4 + length as usize, 0);
    stream.read_exact(&mut frame[4..]).ok()?;
    Some(frame)
}

/// An answer to be sent for the request with this correlation id.
pub(crate) fn correlated(answer: &[u8], correlation_id: i32) -> Vec<u8> {
    let mut answer = answer.to_vec();
    answer[4..8].copy_from_slice(&correlation_id.to_be_bytes());
    answer
}

fn serve_broker(
    listener: TcpListener,
    answer: Arc<impl Fn(&mut TcpStream, &[u8]) + Send + Sync + 'static>,
) {
    let port = listener.local_addr().unwrap().port();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        stream.set_nodelay(true).unwrap();
        let answer = answer.clone();
        std::thread::spawn(move || {
            while let Some(frame) = read_frame(&mut stream) {
                let (key, version, correlation_id) = frames::head(&frame);
                match ApiKey::try_from(key).unwrap() {
                    ApiKey::Produce | ApiKey::Fetch => answer(&mut stream, &frame),
                    key => {
                        let known = known_answer(key, version, port);
                        let known = correlated(&known, correlation_id);
                        stream.write_all(&known).unwrap();
                    }
                }
            }
        });
    }
}

fn known_answer(key: ApiKey, version: i16, port: u16) -> Vec<u8> {
    match key {
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
        other => panic!("the broker was asked for {other:?}"),
    }
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
        mask_keys: vec![sluice_proto::v1::MaskKey {
            domain: "customers".into(),
            version: 1,
            key: vec![7; 32].into(),
        }],
    };
    let bytes = snapshot.encode_to_vec();
    let mut file = Sha256::digest(&bytes).to_vec();
    file.extend(bytes);
    std::fs::write(state_dir.join("snapshot.last-good"), file).unwrap();
}

fn config(state_dir: &Path, issuer_url: String, broker: SocketAddr) -> GatewayConfig {
    GatewayConfig {
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
    }
}
