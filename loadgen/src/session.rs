//! One logged-in connection while it is set up: one request, one answer.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::protocol::{Request, StrBytes};
use rustls::ClientConfig;
use sluice_kafka::api::ApiRange;
use sluice_kafka::messages::structs::create_topics_request::CreatableTopic;
use sluice_kafka::messages::structs::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsTopic,
};
use sluice_kafka::messages::structs::metadata_request::MetadataRequestTopic;
use sluice_kafka::messages::structs::{
    CreateTopicsRequest, ListOffsetsRequest, MetadataRequest, MetadataResponse, TopicName,
};
use sluice_kafka::messages::{decode_response_frame, encode_request_frame};
use sluice_kafka::{ErrorCode, api, local};

use crate::credential::login;
use crate::limits::{FRAME_BYTES_MAX, LEADER_TIMEOUT, SETUP_TIMEOUT};
use crate::login::Login;
use crate::stream::{Stream, tls_config};
use crate::{Error, Target};

/// What loadgen calls itself.
pub(crate) const CLIENT_ID: &str = "sluice-loadgen";

/// A target with its credential and trust at hand. One per run: a token is fetched anew for each.
pub(crate) struct Door<'t> {
    pub(crate) target: &'t Target,
    tls: Option<Arc<ClientConfig>>,
    login: Option<Login>,
}

/// A logged-in connection.
pub(crate) struct Session<'t> {
    target: &'t Target,
    pub(crate) address: String,
    pub(crate) stream: Stream,
    ranges: Vec<ApiRange>,
    correlation_id: i32,
    deadline: Option<Instant>,
}

/// Where a partition is.
#[derive(Debug, Clone)]
pub(crate) struct Leader {
    pub(crate) partition: i32,
    pub(crate) address: String,
}

/// Names for ListOffsets.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OffsetAt {
    Earliest,
    Latest,
}

impl<'t> Door<'t> {
    pub(crate) fn new(target: &'t Target) -> Result<Self, Error> {
        let tls = target.tls_roots.as_deref().map(tls_config).transpose()?;
        Ok(Self {
            target,
            tls,
            login: login(target)?,
        })
    }

    /// Connects to one address of the target and logs in.
    pub(crate) fn open(&self, address: &str) -> Result<Session<'t>, Error> {
        self.open_within(address, None)
    }

    /// The same, and neither this nor any later exchange waits beyond `deadline`.
    pub(crate) fn open_until(
        &self,
        address: &str,
        deadline: Instant,
    ) -> Result<Session<'t>, Error> {
        self.open_within(address, Some(deadline))
    }

    fn open_within(&self, address: &str, deadline: Option<Instant>) -> Result<Session<'t>, Error> {
        let timeout = timeout(deadline);
        let mut session = Session {
            target: self.target,
            address: address.to_owned(),
            stream: Stream::connect(self.target, address, self.tls.as_ref(), timeout)?,
            ranges: Vec::new(),
            correlation_id: 0,
            deadline,
        };
        session.learn_versions()?;
        if let Some(login) = &self.login {
            session.log_in(login)?;
        }
        Ok(session)
    }
}

impl Session<'_> {
    /// The leaders of all partitions of a topic, by partition. Waits for a topic that was just created.
    pub(crate) fn leaders(&mut self, topic: &str) -> Result<Vec<Leader>, Error> {
        let deadline = Instant::now() + LEADER_TIMEOUT;
        loop {
            let error = match self.leaders_now(topic)? {
                Ok(leaders) => return Ok(leaders),
                Err(error) => error,
            };
            let passing = [
                ErrorCode::LEADER_NOT_AVAILABLE,
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ];
            if !passing.contains(&error) || Instant::now() >= deadline {
                return Err(self.error("Metadata", topic, error));
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    /// One Metadata exchange about a topic.
    pub(crate) fn ask_for_topic(&mut self, topic: &str) -> Result<(), Error> {
        let answer = self.leaders_now(topic)?;
        answer
            .map(drop)
            .map_err(|error| self.error("Metadata", topic, error))
    }

    /// The first or the next offset of a partition that this connection's broker leads.
    pub(crate) fn offset(
        &mut self,
        topic: &str,
        partition: i32,
        at: OffsetAt,
    ) -> Result<i64, Error> {
        let timestamp = match at {
            OffsetAt::Earliest => -2,
            OffsetAt::Latest => -1,
        };
        let asked = ListOffsetsPartition::default()
            .with_partition_index(partition)
            .with_timestamp(timestamp);
        let request = ListOffsetsRequest::default()
            .with_replica_id((-1).into())
            .with_topics(vec![
                ListOffsetsTopic::default()
                    .with_name(name(topic))
                    .with_partitions(vec![asked]),
            ]);
        let response = self.call("ListOffsets", 1, 6, &request)?;
        let answer = response
            .topics
            .first()
            .and_then(|topic| topic.partitions.first());
        let Some(answer) = answer else {
            return Err(self.malformed("ListOffsets", "the partition is missing".to_owned()));
        };
        match ErrorCode(answer.error_code) {
            ErrorCode::NONE => Ok(answer.offset),
            error => Err(self.error("ListOffsets", topic, error)),
        }
    }

    /// Creates a topic; one that exists is left as it is.
    pub(crate) fn create_topic(
        &mut self,
        topic: &str,
        partitions_count: i32,
        replicas_count: i16,
    ) -> Result<(), Error> {
        let request = CreateTopicsRequest::default()
            .with_timeout_ms(SETUP_TIMEOUT.as_millis() as i32)
            .with_topics(vec![
                CreatableTopic::default()
                    .with_name(name(topic))
                    .with_num_partitions(partitions_count)
                    .with_replication_factor(replicas_count),
            ]);
        let response = self.call("CreateTopics", 2, 6, &request)?;
        let Some(answer) = response.topics.first() else {
            return Err(self.malformed("CreateTopics", "the topic is missing".to_owned()));
        };
        match ErrorCode(answer.error_code) {
            ErrorCode::NONE | ErrorCode::TOPIC_ALREADY_EXISTS => Ok(()),
            error => Err(self.error("CreateTopics", topic, error)),
        }
    }

    pub(crate) fn target_name(&self) -> String {
        self.target.name.clone()
    }

    /// The highest version of an API, within what the caller writes, that the target speaks.
    pub(crate) fn version(
        &self,
        what: &'static str,
        key: i16,
        version_min: i16,
        version_max: i16,
    ) -> Result<i16, Error> {
        let range = self.ranges.iter().find(|range| range.key == key);
        let highest = range.map(|range| range.version_max.min(version_max));
        let lowest = range.map(|range| range.version_min.max(version_min));
        match (lowest, highest) {
            (Some(lowest), Some(highest)) if lowest <= highest => Ok(highest),
            _ => Err(Error::TargetVersionMissing {
                target: self.target.name.clone(),
                what,
                version_min,
                version_max,
            }),
        }
    }

    /// A Metadata request for one topic as a frame.
    pub(crate) fn metadata_frame(&self, topic: &str) -> Result<Vec<u8>, Error> {
        let version = self.version("Metadata", api::METADATA, 4, 9)?;
        let mut frame = Vec::new();
        let request = metadata_request(topic);
        encode_request_frame(version, 0, Some(CLIENT_ID), &request, &mut frame)
            .map_err(|_| Error::GeneratorBroken)?;
        Ok(frame)
    }

    fn leaders_now(&mut self, topic: &str) -> Result<Result<Vec<Leader>, ErrorCode>, Error> {
        let response: MetadataResponse = self.call("Metadata", 4, 9, &metadata_request(topic))?;
        let Some(found) = response.topics.first() else {
            return Ok(Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
        };
        if found.error_code != 0 {
            return Ok(Err(ErrorCode(found.error_code)));
        }
        let mut leaders = Vec::with_capacity(found.partitions.len());
        for partition in &found.partitions {
            let broker = response
                .brokers
                .iter()
                .find(|broker| broker.node_id == partition.leader_id);
            let Some(broker) = broker else {
                return Ok(Err(ErrorCode::LEADER_NOT_AVAILABLE));
            };
            let host = broker.host.as_str();
            let address = match host.contains(':') {
                true => format!("[{host}]:{}", broker.port),
                false => format!("{host}:{}", broker.port),
            };
            leaders.push(Leader {
                partition: partition.partition_index,
                address,
            });
        }
        leaders.sort_by_key(|leader| leader.partition);
        match leaders.is_empty() {
            true => Ok(Err(ErrorCode::LEADER_NOT_AVAILABLE)),
            false => Ok(Ok(leaders)),
        }
    }

    /// Version 3 first; a target that is older answers with the range that it speaks.
    fn learn_versions(&mut self) -> Result<(), Error> {
        for version in [3, 0] {
            let mut frame = Vec::new();
            let correlation_id = self.next_correlation_id();
            let (name, version_text) = (CLIENT_ID, env!("CARGO_PKG_VERSION"));
            local::api_versions::encode_request(
                version,
                correlation_id,
                CLIENT_ID,
                name,
                version_text,
                &mut frame,
            );
            let answer = self.exchange("ApiVersions", &frame)?;
            let answer = local::api_versions::decode_response(&answer, version)
                .map_err(|error| self.malformed("ApiVersions", error.to_string()))?;
            match answer.error {
                ErrorCode::NONE => {
                    self.ranges = answer.ranges;
                    return Ok(());
                }
                ErrorCode::UNSUPPORTED_VERSION => {}
                error => return Err(self.error("ApiVersions", "", error)),
            }
        }
        Err(self.error("ApiVersions", "", ErrorCode::UNSUPPORTED_VERSION))
    }

    fn call<T: Request>(
        &mut self,
        what: &'static str,
        version_min: i16,
        version_max: i16,
        request: &T,
    ) -> Result<T::Response, Error> {
        let version = self.version(what, T::KEY, version_min, version_max)?;
        let mut frame = Vec::new();
        let correlation_id = self.next_correlation_id();
        encode_request_frame(
            version,
            correlation_id,
            Some(CLIENT_ID),
            request,
            &mut frame,
        )
        .map_err(|error| self.malformed(what, error.to_string()))?;
        let answer = Bytes::from(self.exchange(what, &frame)?);
        let (answered, response) = decode_response_frame::<T>(&answer, version)
            .map_err(|error| self.malformed(what, error.to_string()))?;
        match answered == correlation_id {
            true => Ok(response),
            false => Err(self.malformed(what, format!("correlation id {answered}"))),
        }
    }

    pub(crate) fn exchange(&mut self, what: &'static str, frame: &[u8]) -> Result<Vec<u8>, Error> {
        if self.deadline.is_some() {
            let timeout = timeout(self.deadline);
            let set = self.stream.set_timeout(timeout);
            set.map_err(|error| self.failed(what, error))?;
        }
        self.stream
            .write_all(frame)
            .and_then(|()| self.stream.flush())
            .map_err(|error| self.failed(what, error))?;
        let mut answer = vec![0; 4];
        self.stream
            .read_exact(&mut answer)
            .map_err(|error| self.failed(what, error))?;
        let frame_bytes = match sluice_kafka::frame::frame_length(&answer, FRAME_BYTES_MAX) {
            Ok(Some(frame_bytes)) => frame_bytes,
            Ok(None) => return Err(self.malformed(what, "no length".to_owned())),
            Err(error) => return Err(self.malformed(what, error.to_string())),
        };
        // Grown by what arrives, not by what the length promises.
        let body_bytes = (frame_bytes - answer.len()) as u64;
        let read = Read::by_ref(&mut self.stream)
            .take(body_bytes)
            .read_to_end(&mut answer);
        match read {
            Ok(_) if answer.len() == frame_bytes => Ok(answer),
            Ok(_) => Err(self.failed(what, ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(self.failed(what, error)),
        }
    }

    pub(crate) fn next_correlation_id(&mut self) -> i32 {
        self.correlation_id += 1;
        self.correlation_id
    }

    fn failed(&self, what: &'static str, source: io::Error) -> Error {
        let (target, address) = (self.target.name.clone(), self.address.clone());
        match source.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Error::TargetSilent {
                target,
                address,
                what,
                seconds: SETUP_TIMEOUT.as_secs(),
            },
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                Error::TargetClosed {
                    target,
                    address,
                    during: what,
                    advice: "; does it want a login (--sasl) or TLS (--tls-roots)? Its log says why",
                }
            }
            _ => Error::TargetConnectionFailed {
                target,
                address,
                during: what,
                source,
            },
        }
    }

    pub(crate) fn malformed(&self, what: &'static str, fault: String) -> Error {
        let (target, address) = (self.target.name.clone(), self.address.clone());
        Error::TargetMalformed {
            target,
            address,
            what,
            fault,
        }
    }

    fn error(&self, what: &'static str, topic: &str, code: ErrorCode) -> Error {
        let topic = topic.to_owned();
        Error::TargetError {
            target: self.target.name.clone(),
            what,
            topic,
            code,
        }
    }
}

/// How long one exchange may take. Never zero, which sockets take for no bound at all.
fn timeout(deadline: Option<Instant>) -> Duration {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    left.map_or(SETUP_TIMEOUT, |left| {
        left.clamp(Duration::from_millis(1), SETUP_TIMEOUT)
    })
}

fn metadata_request(topic: &str) -> MetadataRequest {
    MetadataRequest::default()
        .with_allow_auto_topic_creation(false)
        .with_topics(Some(vec![
            MetadataRequestTopic::default().with_name(Some(name(topic))),
        ]))
}

pub(crate) fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}
