//! A minimal Kafka in this process: one topic, one partition unless told otherwise, a log of equal batches, and faults on request.

mod scram;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::short::TOPIC;
use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{
    Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use rcgen::{CertifiedKey, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::PrivateKeyDer;
use scram::ScramServer;
use sluice_kafka::api::{self, ApiRange};
use sluice_kafka::local::api_versions::{self, Features};
use sluice_kafka::local::sasl::{self, SaslAuthenticateRequest, SaslHandshakeRequest};
use sluice_kafka::messages::structs::fetch_response::{FetchableTopicResponse, PartitionData};
use sluice_kafka::messages::structs::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use sluice_kafka::messages::structs::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use sluice_kafka::messages::structs::produce_response::{
    PartitionProduceResponse, TopicProduceResponse,
};
use sluice_kafka::messages::structs::{
    FetchResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataResponse, ProduceResponse,
    TopicName,
};
use sluice_kafka::messages::{StrBytes, decode_request_frame, encode_response_frame};
use sluice_kafka::views::{FetchRequest, ProduceRequest, TopicKey};
use sluice_kafka::{ErrorCode, RequestHeader};

pub(crate) const RECORDS_PER_BATCH: i64 = 5;
pub(crate) const BATCHES: i64 = 4;

/// What goes wrong, counted in Produce and Fetch requests from 0.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// This request and what queues behind it is answered so much later.
    pub(crate) stall: Option<(u64, Duration)>,
    /// This request is answered with an error.
    pub(crate) error: Option<(u64, ErrorCode)>,
    /// Instead of answering this request the connection is closed.
    pub(crate) close: Option<u64>,
    /// From this request on nothing is answered.
    pub(crate) silence: Option<u64>,
    /// The connection of this number, counted from 0, is closed when it sends a Fetch.
    pub(crate) close_fetching: Option<usize>,
    /// From this Metadata request on the connection is closed instead, or nothing is answered; counted apart.
    pub(crate) close_metadata: Option<u64>,
    pub(crate) silence_metadata: Option<u64>,
    /// The topic has so many partitions more than one, which share a log.
    pub(crate) more_partitions: i32,
    /// Every Produce makes the log longer by one batch.
    pub(crate) keeps: bool,
    /// A Produce with other acks than these closes the connection.
    pub(crate) acks: Option<i16>,
    /// Only PLAIN with this user name and password may do more than ask for versions.
    pub(crate) login: Option<(&'static str, &'static str)>,
    /// The same by this mechanism, and whether the responder signs with something else than the password.
    pub(crate) scram: Option<(&'static str, bool)>,
}

pub(crate) struct Responder {
    pub(crate) address: SocketAddr,
    served: Arc<AtomicU64>,
    written: Arc<Mutex<Vec<(i32, Bytes)>>>,
}

impl Responder {
    pub(crate) fn start(faults: Faults) -> Self {
        Self::start_with(faults, |socket| Box::new(socket))
    }

    /// Under TLS, with a certificate for `127.0.0.1` that is its own root.
    pub(crate) fn start_tls(certificate: &CertifiedKey<KeyPair>) -> Self {
        let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.cert.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        Self::start_with(Faults::default(), move |socket| {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            Box::new(StreamOwned::new(session, socket))
        })
    }

    fn start_with(
        faults: Faults,
        wrap: impl Fn(TcpStream) -> Box<dyn Duplex> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let served = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&served);
        let end = Arc::new(AtomicI64::new(BATCHES * RECORDS_PER_BATCH));
        let described = Arc::new(AtomicU64::new(0));
        let written = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&written);
        // Ends with the test process.
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let counter = Arc::clone(&counter);
                let mut connection = Connection {
                    stream: wrap(stream.unwrap()),
                    faults,
                    address,
                    number,
                    served: counter,
                    written: Arc::clone(&written),
                    described: Arc::clone(&described),
                    end: Arc::clone(&end),
                    authenticated: faults.login.is_none(),
                    scram: None,
                };
                thread::spawn(move || while connection.serve().is_some() {});
            }
        });
        Self {
            address,
            served,
            written: kept,
        }
    }

    /// The batches of all Produce requests with their partitions, as they came.
    pub(crate) fn take_written(&self) -> Vec<(i32, Bytes)> {
        std::mem::take(&mut *self.written.lock().unwrap())
    }

    /// Produce and Fetch requests that arrived.
    pub(crate) fn served_count(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }
}

trait Duplex: Read + Write + Send {}

impl<T: Read + Write + Send> Duplex for T {}

struct Connection {
    stream: Box<dyn Duplex>,
    faults: Faults,
    address: SocketAddr,
    number: usize,
    served: Arc<AtomicU64>,
    written: Arc<Mutex<Vec<(i32, Bytes)>>>,
    described: Arc<AtomicU64>,
    /// Where the log ends.
    end: Arc<AtomicI64>,
    authenticated: bool,
    scram: Option<ScramServer>,
}

impl Connection {
    /// One request; `None` when the connection is over.
    fn serve(&mut self) -> Option<()> {
        let mut frame = vec![0; 4];
        self.stream.read_exact(&mut frame).ok()?;
        let length = i32::from_be_bytes(frame[..4].try_into().unwrap()) as usize;
        frame.resize(4 + length, 0);
        self.stream.read_exact(&mut frame[4..]).ok()?;
        let header = RequestHeader::parse(&frame).unwrap();
        let always = [
            api::API_VERSIONS,
            api::SASL_HANDSHAKE,
            api::SASL_AUTHENTICATE,
        ];
        if !self.authenticated && !always.contains(&header.api_key) {
            return None;
        }
        if header.api_key == api::FETCH && self.faults.close_fetching == Some(self.number) {
            return None;
        }
        if header.api_key == api::METADATA {
            let number = self.described.fetch_add(1, Ordering::SeqCst);
            if self
                .faults
                .close_metadata
                .is_some_and(|from| number >= from)
            {
                return None;
            }
            if self
                .faults
                .silence_metadata
                .is_some_and(|from| number >= from)
            {
                return Some(());
            }
        }
        let mut error = ErrorCode::NONE;
        if [api::PRODUCE, api::FETCH].contains(&header.api_key) {
            let number = self.served.fetch_add(1, Ordering::SeqCst);
            if self.faults.close == Some(number) {
                return None;
            }
            if self.faults.silence.is_some_and(|from| number >= from) {
                return Some(());
            }
            if let Some((at, duration)) = self.faults.stall
                && at == number
            {
                thread::sleep(duration);
            }
            if let Some((at, code)) = self.faults.error
                && at == number
            {
                error = code;
            }
        }
        if header.api_key == api::PRODUCE {
            let acks = ProduceRequest::parse(&frame, &header).unwrap().acks;
            if self.faults.acks.is_some_and(|wanted| wanted != acks) {
                return None;
            }
            if acks == 0 {
                return Some(());
            }
        }
        let out = self.answer(&frame, &header, error);
        self.stream.write_all(&out).ok()
    }

    fn answer(&mut self, frame: &[u8], header: &RequestHeader<'_>, error: ErrorCode) -> Vec<u8> {
        let (key, version, id) = (header.api_key, header.api_version, header.correlation_id);
        let mut out: Vec<u8> = Vec::new();
        match key {
            api::API_VERSIONS => {
                let ranges = [
                    (api::PRODUCE, 3, 12),
                    (api::FETCH, 4, 12),
                    (api::LIST_OFFSETS, 1, 6),
                    (api::METADATA, 4, 9),
                    (api::SASL_AUTHENTICATE, 0, 2),
                ]
                .map(|(key, version_min, version_max)| ApiRange {
                    key,
                    version_min,
                    version_max,
                });
                let (none, features) = (ErrorCode::NONE, Features::default());
                api_versions::encode_response(version, id, none, 0, &ranges, &features, &mut out);
            }
            api::SASL_HANDSHAKE => {
                let asked = SaslHandshakeRequest::parse(frame, header).unwrap();
                let mechanism = self.faults.scram.map_or("PLAIN", |(name, _)| name);
                let error = match asked.mechanism == mechanism {
                    true => ErrorCode::NONE,
                    false => ErrorCode::UNSUPPORTED_SASL_MECHANISM,
                };
                sasl::encode_handshake_response(id, error, &[mechanism], &mut out);
            }
            api::SASL_AUTHENTICATE => {
                let asked = SaslAuthenticateRequest::parse(frame, header).unwrap();
                let answer = self.authenticate(asked.auth_bytes);
                let error = match answer {
                    Some(_) => ErrorCode::NONE,
                    None => ErrorCode::SASL_AUTHENTICATION_FAILED,
                };
                let bytes = answer.unwrap_or_default();
                let bytes = bytes.as_bytes();
                sasl::encode_authenticate_response(version, id, error, None, bytes, 0, &mut out);
            }
            api::METADATA => {
                let response = self.metadata();
                encode_response_frame(key, version, id, &response, &mut out).unwrap();
            }
            api::LIST_OFFSETS => {
                let asked: ListOffsetsRequest = decode_request_frame(frame, header).unwrap();
                let offset = match asked.topics[0].partitions[0].timestamp {
                    -2 => 0,
                    _ => self.end.load(Ordering::SeqCst),
                };
                let partition = ListOffsetsPartitionResponse::default().with_offset(offset);
                let topic = ListOffsetsTopicResponse::default()
                    .with_name(topic())
                    .with_partitions(vec![partition]);
                let response = ListOffsetsResponse::default().with_topics(vec![topic]);
                encode_response_frame(key, version, id, &response, &mut out).unwrap();
            }
            api::PRODUCE => {
                let asked = ProduceRequest::parse(frame, header).unwrap();
                let written = asked.topics().next().unwrap();
                assert_eq!(written.key, TopicKey::Name(TOPIC));
                let partition = written.partitions().next().unwrap();
                let records = partition.records.unwrap();
                let mut all = self.written.lock().unwrap();
                all.push((partition.index, Bytes::copy_from_slice(records)));
                drop(all);
                let base_offset = match self.faults.keeps {
                    true => self.end.fetch_add(RECORDS_PER_BATCH, Ordering::SeqCst),
                    false => 0,
                };
                let partition = PartitionProduceResponse::default()
                    .with_error_code(error.0)
                    .with_base_offset(base_offset);
                let topic = TopicProduceResponse::default()
                    .with_name(topic())
                    .with_partition_responses(vec![partition]);
                let response = ProduceResponse::default().with_responses(vec![topic]);
                encode_response_frame(key, version, id, &response, &mut out).unwrap();
            }
            api::FETCH => {
                let asked = FetchRequest::parse(frame, header).unwrap();
                let topic = asked.topics().next().unwrap();
                let offset = topic.partitions().next().unwrap().fetch_offset;
                let response = fetched(offset, self.end.load(Ordering::SeqCst), error);
                encode_response_frame(key, version, id, &response, &mut out).unwrap();
            }
            other => panic!("api {other}"),
        }
        out
    }

    /// What a message of a login gets; `None`: it is refused.
    fn authenticate(&mut self, message: &[u8]) -> Option<String> {
        let (username, password) = self.faults.login.unwrap();
        let Some((mechanism, lies)) = self.faults.scram else {
            self.authenticated = message == format!("\0{username}\0{password}").as_bytes();
            return self.authenticated.then(String::new);
        };
        let begin = || ScramServer::new(mechanism, username, password, lies);
        let server = self.scram.get_or_insert_with(begin);
        let (answer, ended) = server.answer(message)?;
        self.authenticated = ended;
        Some(answer)
    }

    fn metadata(&self) -> MetadataResponse {
        let broker = MetadataResponseBroker::default()
            .with_node_id(1.into())
            .with_host(StrBytes::from_string(self.address.ip().to_string()))
            .with_port(i32::from(self.address.port()));
        let partitions = (0..=self.faults.more_partitions).map(|index| {
            MetadataResponsePartition::default()
                .with_partition_index(index)
                .with_leader_id(1.into())
        });
        let topic = MetadataResponseTopic::default()
            .with_name(Some(topic()))
            .with_partitions(partitions.collect());
        MetadataResponse::default()
            .with_brokers(vec![broker])
            .with_topics(vec![topic])
    }
}

fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str(TOPIC))
}

/// The batch at `offset`, or nothing at the end.
fn fetched(offset: i64, end: i64, error: ErrorCode) -> FetchResponse {
    let records = match offset < end {
        true => batch(offset),
        false => Bytes::new(),
    };
    let partition = PartitionData::default()
        .with_error_code(error.0)
        .with_high_watermark(end)
        .with_records(Some(records));
    let topic = FetchableTopicResponse::default()
        .with_topic(topic())
        .with_partitions(vec![partition]);
    FetchResponse::default().with_responses(vec![topic])
}

fn batch(offset: i64) -> Bytes {
    assert_eq!(
        offset % RECORDS_PER_BATCH,
        0,
        "a consumer goes from batch to batch"
    );
    let records: Vec<Record> = (0..RECORDS_PER_BATCH)
        .map(|index| Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: 0,
            producer_id: -1,
            producer_epoch: -1,
            timestamp_type: TimestampType::Creation,
            offset: offset + index,
            sequence: index as i32 - 1,
            timestamp: 1,
            key: None,
            value: Some(Bytes::from_static(b"value")),
            headers: Default::default(),
        })
        .collect();
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    RecordBatchEncoder::encode(&mut bytes, &records, &options).unwrap();
    bytes.freeze()
}
