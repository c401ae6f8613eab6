//! Requests that nobody should send, of every API that is offered, by clients that are known: each is answered with
//! Kafka's own error or ends its connection, with a record of why; nothing of it reaches the broker, and nobody else
//! feels it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::{Buf, Bytes};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiVersionsRequest, FetchRequest, MetadataRequest, SaslAuthenticateRequest,
    SaslHandshakeRequest,
};
use serde_json::{Value, json};
use sluice_kafka::api::{self, Treatment};
use sluice_kafka::reader::Encoding;
use sluice_kafka::{Flaw, RequestHeader, shape};
use sluice_tests::{Kafka, Oidc, Sluice, SluiceOptions, unique, wait_for};

use crate::equivalence::cases::{self, Case};
use crate::equivalence::scene::{self, Side, Who};
use crate::equivalence::wire::{Connection, Exchange, Login};
use crate::gateway_bad_input::{MEMORY_KIB_MAX, memory_kib_peak};

const PATIENCE: Duration = Duration::from_secs(60);
const PREFIX: &str = "hostile.";
/// The longest request that a known client may send, its length included.
const FRAME_BYTES_MAX: u32 = 100 * 1024 * 1024;
const LENGTH_BYTES: usize = 4;
const INVALID_REQUEST: i64 = 42;
/// What is behind the end of a request.
const GARBAGE: &[u8] = b"\xff\xff\xff\x7fgarbage";

/// What a request must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// The end of the connection, recorded under this code.
    Closed(&'static str),
    /// An answer that says so.
    Error(i64),
    /// Brokers do not look behind the end of a request: an answer, or the end of the connection, recorded as malformed.
    AnsweredOrClosed,
}

/// A request in its newest version.
struct Valid {
    name: &'static str,
    api_key: i16,
    version: i16,
    encoding: Encoding,
    body: Vec<u8>,
    who: Who,
    exchange: Exchange,
}

impl Valid {
    fn new(name: &'static str, who: Who, exchange: Exchange) -> Self {
        let header = RequestHeader::parse(exchange.frame()).expect("a request that is offered");
        let (api_key, version, encoding) = (header.api_key, header.api_version, header.encoding);
        let body = exchange.frame()[header.body_at..].to_vec();
        assert_eq!(
            shape::check_request(api_key, version, &body).err(),
            None,
            "{name}"
        );
        Self {
            name,
            api_key,
            version,
            encoding,
            body,
            who,
            exchange,
        }
    }

    /// The longest of the cases, for there is most in it to get wrong.
    fn of(api_key: i16, version: i16, cases: &[Case], side: &Side) -> Self {
        let row = api::api(api_key).expect("it is in the table");
        let sasl = match api_key {
            api::SASL_HANDSHAKE => {
                let request = SaslHandshakeRequest::default().with_mechanism("OAUTHBEARER".into());
                Some(Exchange::new(version, &request))
            }
            api::SASL_AUTHENTICATE => {
                let message = Bytes::from_static(b"n,,\x01auth=Bearer nothing\x01\x01");
                let request = SaslAuthenticateRequest::default().with_auth_bytes(message);
                Some(Exchange::new(version, &request))
            }
            _ => None,
        };
        if let Some(exchange) = sasl {
            return Self::new(row.name, Who::Single, exchange);
        }
        let cases = cases
            .iter()
            .filter(|case| case.api_key == api_key && case.versions.contains(&version));
        let requests = cases.map(|case| (case.who, (case.request)(side, version)));
        let answered = requests.filter(|(_, exchange)| exchange.is_answered());
        let longest = answered.max_by_key(|(_, exchange)| exchange.frame().len());
        let (who, exchange) =
            longest.unwrap_or_else(|| panic!("{} {version} has no case", row.name));
        Self::new(row.name, who, exchange)
    }

    /// This request with another body, as a client that calls itself `client_id` frames it.
    fn framed(&self, client_id: &str, body: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; LENGTH_BYTES];
        frame.extend(self.api_key.to_be_bytes());
        frame.extend(self.version.to_be_bytes());
        frame.extend(0_i32.to_be_bytes());
        frame.extend(i16::try_from(client_id.len()).expect("short").to_be_bytes());
        frame.extend(client_id.as_bytes());
        if self.encoding == Encoding::Flexible {
            frame.push(0);
        }
        frame.extend(body);
        let length = u32::try_from(frame.len() - LENGTH_BYTES).expect("short");
        frame[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        frame
    }

    /// Bodies in which a count or a length says `count` instead of what it is: the first such place, and the last.
    fn with_count(&self, count: i32) -> Vec<Vec<u8>> {
        let patch = match self.encoding {
            Encoding::Classic => count.to_be_bytes().to_vec(),
            // One more than it counts, so that nought is null.
            Encoding::Flexible => uvarint(count.cast_unsigned().wrapping_add(1)),
        };
        // What a small count takes: one byte in the flexible encoding, four in the other.
        let replaced = if self.encoding == Encoding::Flexible {
            1
        } else {
            LENGTH_BYTES
        };
        let bodies = (0..=self.body.len().saturating_sub(replaced)).filter_map(|at| {
            let body = [&self.body[..at], &patch, &self.body[at + replaced..]].concat();
            let malformed = shape::check_request(self.api_key, self.version, &body).err()?;
            let of_a_count = [Flaw::CountOversized, Flaw::LengthNegative, Flaw::Truncated]
                .contains(&malformed.flaw);
            (of_a_count && (at..=at + patch.len()).contains(&malformed.at)).then_some(body)
        });
        let mut bodies: Vec<_> = bodies.collect();
        assert!(
            !bodies.is_empty(),
            "{} {} counts nothing",
            self.name,
            self.version
        );
        let last = bodies.pop();
        bodies.truncate(1);
        bodies.extend(last);
        bodies
    }

    /// Everything that is wrong with it, and what it must come to.
    fn hostile(&self, client_id: &dyn Fn() -> String) -> Vec<Hostile> {
        // Alone among the APIs, it has an answer for what cannot be read.
        let malformed = if self.api_key == api::API_VERSIONS {
            Expected::Error(INVALID_REQUEST)
        } else {
            Expected::Closed("client-malformed")
        };
        let with_body = |what: &'static str, body: &[u8], expected: Expected| {
            let client_id = client_id();
            let frame = self.framed(&client_id, body);
            Hostile {
                what,
                client_id,
                frame,
                expected,
            }
        };
        let mut all = Vec::new();
        for cut in BTreeSet::from([1, self.body.len().div_ceil(2), self.body.len()]) {
            let kept = &self.body[..self.body.len() - cut];
            all.push(with_body("cut short", kept, malformed));
        }
        for (what, count) in [
            ("2^31-1 of something", i32::MAX),
            // A frame may be longer than that.
            ("16 million of something", 16 << 20),
            ("less than nothing of something", -2),
        ] {
            all.extend(
                self.with_count(count)
                    .iter()
                    .map(|body| with_body(what, body, malformed)),
            );
        }
        let garbage = [&self.body, GARBAGE].concat();
        all.push(with_body(
            "more than a request",
            &garbage,
            Expected::AnsweredOrClosed,
        ));
        let mut oversized = with_body(
            "a length beyond the limit",
            &self.body,
            Expected::Closed("client-frame-invalid"),
        );
        let length = FRAME_BYTES_MAX - 3;
        oversized.frame[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        all.push(oversized);
        all
    }
}

/// One request that is wrong, under a name of its own by which evidence shows it.
struct Hostile {
    what: &'static str,
    client_id: String,
    frame: Vec<u8>,
    expected: Expected,
}

fn uvarint(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
    bytes
}

/// Somebody who minds their own business on a connection that was there before. `call` panics if it was closed.
fn goes_on(bystander: &mut Connection, side: &Side) {
    let name = side.topic("readable");
    let topic = MetadataRequestTopic::default().with_name(Some(name.clone()));
    let answer = bystander.call(
        12,
        &MetadataRequest::default().with_topics(Some(vec![topic])),
    );
    assert_eq!(answer.topics[0].error_code, 0, "{answer:?}");
    let partition = FetchPartition::default().with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default()
        .with_topic(name)
        .with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_max_bytes(1 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    let answer = bystander.call(12, &request);
    let records = answer.responses[0].partitions[0].records.as_ref();
    assert!(
        records.is_some_and(|records| !records.is_empty()),
        "{answer:?}"
    );
}

/// What the gateway offers, by key: the newest version of each.
fn offered(connection: &mut Connection) -> BTreeMap<i16, i16> {
    let answer = connection.call(0, &ApiVersionsRequest::default());
    answer
        .api_keys
        .iter()
        .map(|api| (api.api_key, api.max_version))
        .collect()
}

/// Evidence of this kind, by what the client called itself.
fn recorded(sluice: &Sluice, kind: &str) -> BTreeMap<String, Vec<Value>> {
    let mut found = BTreeMap::<String, Vec<Value>>::new();
    for record in sluice.evidence(Oidc::shared(), &["--kind", kind]) {
        let client_id = record["client_id"].as_str().unwrap_or_default().to_owned();
        found.entry(client_id).or_default().push(record);
    }
    found
}

#[test]
fn a_bad_request_of_any_api_is_refused_and_recorded_while_others_go_on() {
    let (kafka, oidc) = (Kafka::shared(), Oidc::shared());
    let mut side = Side::new(PREFIX, (String::new(), 0));
    let harness = Login::Plain {
        user: "harness".to_owned(),
        password: kafka.password("harness"),
    };
    side.make_topics(&mut Connection::new(&kafka.addresses()[0], harness));
    let sluice = Sluice::up(kafka, oidc, &SluiceOptions::default());
    sluice.apply(oidc, "frank", &scene::policy(PREFIX));
    let address = format!("127.0.0.1:{}", sluice.bootstrap_port());
    let tokens: BTreeMap<Who, String> = Who::LIMITED
        .map(|who| (who, oidc.token(who.oidc_client())))
        .into();
    let connect = |who: Who| Connection::new(&address, Login::Token(tokens[&who].clone()));

    let mut bystander = connect(Who::Reader);
    goes_on(&mut bystander, &side);
    let newest = offered(&mut bystander);
    let served = api::apis()
        .iter()
        .filter(|api| api.treatment != Treatment::Withheld);
    let served: BTreeSet<i16> = served.map(|api| api.key).collect();
    assert_eq!(
        newest.keys().copied().collect::<BTreeSet<_>>(),
        served,
        "what is offered and what is in the table"
    );

    let cases = cases::all();
    let mut closed = BTreeMap::new();
    for (api_key, version) in newest {
        let valid = Valid::of(api_key, version, &cases, &side);
        for hostile in valid.hostile(&|| unique(valid.name)) {
            let what = format!("{} {version}: {}", valid.name, hostile.what);
            let mut connection = connect(valid.who);
            // Its name is known to the gateway before a frame whose header is not looked at.
            let hello = ApiVersionsRequest::default();
            let hello = Valid::new("ApiVersions", valid.who, Exchange::new(0, &hello));
            let welcome = connection.raw(&hello.framed(&hostile.client_id, &hello.body));
            assert!(welcome.is_some(), "{what}: the connection is there");
            match (connection.raw(&hostile.frame), hostile.expected) {
                (None, Expected::Closed(code)) => {
                    drop(closed.insert(hostile.client_id, (what, code)))
                }
                (None, Expected::AnsweredOrClosed) => {
                    closed.insert(hostile.client_id, (what, "client-malformed"));
                }
                (Some(answer), Expected::AnsweredOrClosed) => {
                    assert!(
                        answer.clone().get_i32() == 0,
                        "{what}: another correlation id"
                    );
                    let tree = valid.exchange.tree(answer);
                    assert!(tree.is_object(), "{what}: {tree}");
                }
                (Some(answer), Expected::Error(code)) => {
                    // Of version 0, as brokers answer what they cannot read.
                    let code_at = answer
                        .get(LENGTH_BYTES..LENGTH_BYTES + 2)
                        .expect("an error code");
                    assert_eq!(
                        i64::from(i16::from_be_bytes([code_at[0], code_at[1]])),
                        code,
                        "{what}"
                    );
                }
                (answer, expected) => {
                    panic!("{what}: {expected:?} expected, and there came {answer:?}")
                }
            }
            goes_on(&mut bystander, &side);
        }
    }
    assert!(
        memory_kib_peak(&sluice) < MEMORY_KIB_MAX,
        "{} KiB",
        memory_kib_peak(&sluice)
    );

    let mut rejected = BTreeMap::new();
    wait_for("a record of each rejection", PATIENCE, || {
        rejected = recorded(&sluice, "Rejected");
        closed
            .keys()
            .all(|client_id| rejected.contains_key(client_id))
            .then_some(())
    });
    let ends = recorded(&sluice, "SessionClosed");
    let intents = recorded(&sluice, "Intent");
    for (client_id, (what, code)) in &closed {
        for records in [&rejected[client_id], &ends[client_id]] {
            let codes: Vec<_> = records
                .iter()
                .map(|record| record["reason_code"].clone())
                .collect();
            assert_eq!(codes, [json!(code)], "{what}: {records:?}");
        }
        assert_eq!(
            intents.get(client_id),
            None,
            "{what}: something of it went on"
        );
    }
}
