//! Frames by the kafka-protocol crate, from both ends.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{
    FetchRequest, FetchResponse, ProduceRequest, ProduceResponse, RequestHeader, ResponseHeader,
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
    TopicName, TransactionalId,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use uuid::Uuid;

pub const CLIENT_ID: &str = "app-1";

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub fn topic(name: &str) -> TopicName {
    TopicName(text(name))
}

/// A request frame as [`CLIENT_ID`].
#[track_caller]
pub fn request<R: Request>(version: i16, correlation_id: i32, request: &R) -> Vec<u8> {
    request_as(Some(CLIENT_ID), version, correlation_id, request)
}

#[track_caller]
pub fn request_as<R: Request>(
    client_id: Option<&str>,
    version: i16,
    correlation_id: i32,
    request: &R,
) -> Vec<u8> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(client_id.map(text));
    let mut bytes = BytesMut::new();
    header
        .encode(&mut bytes, R::header_version(version))
        .unwrap();
    request.encode(&mut bytes, version).unwrap();
    framed(&bytes)
}

/// A frame with this header and body, whatever they mean.
pub fn raw(api_key: i16, version: i16, correlation_id: i32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    bytes.put_i16(api_key);
    bytes.put_i16(version);
    bytes.put_i32(correlation_id);
    bytes.extend_from_slice(rest);
    framed(&bytes)
}

/// Key, version and correlation id of a request frame.
pub fn head(frame: &[u8]) -> (i16, i16, i32) {
    let field = |at: usize| i16::from_be_bytes([frame[at], frame[at + 1]]);
    (
        field(4),
        field(6),
        i32::from_be_bytes(frame[8..12].try_into().unwrap()),
    )
}

/// What the broker reads in a frame: all of it.
#[track_caller]
pub fn decode_request<R: Request>(frame: &[u8]) -> (RequestHeader, R) {
    try_decode_request(frame).unwrap_or_else(|why| panic!("{why}: {frame:02x?}"))
}

pub fn try_decode_request<R: Request>(frame: &[u8]) -> Result<(RequestHeader, R), String> {
    let mut bytes = unframed(frame)?;
    let (key, version, _) = head(frame);
    if key != R::KEY {
        return Err(format!("key {key} is not {}", R::KEY));
    }
    let header = RequestHeader::decode(&mut bytes, R::header_version(version))
        .map_err(|error| error.to_string())?;
    let request = R::decode(&mut bytes, version).map_err(|error| error.to_string())?;
    if bytes.is_empty() {
        Ok((header, request))
    } else {
        Err("bytes are left over".into())
    }
}

#[track_caller]
pub fn response<R: Request>(version: i16, correlation_id: i32, response: &R::Response) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    let header = ResponseHeader::default().with_correlation_id(correlation_id);
    header
        .encode(&mut bytes, R::Response::header_version(version))
        .unwrap();
    response.encode(&mut bytes, version).unwrap();
    framed(&bytes)
}

/// What the client reads in a frame: all of it.
#[track_caller]
pub fn decode_response<R: Request>(version: i16, frame: &[u8]) -> (i32, R::Response) {
    try_decode_response::<R>(version, frame).unwrap_or_else(|why| panic!("{why}: {frame:02x?}"))
}

pub fn try_decode_response<R: Request>(
    version: i16,
    frame: &[u8],
) -> Result<(i32, R::Response), String> {
    let mut bytes = unframed(frame)?;
    let header = ResponseHeader::decode(&mut bytes, R::Response::header_version(version))
        .map_err(|error| error.to_string())?;
    let response = R::Response::decode(&mut bytes, version).map_err(|error| error.to_string())?;
    if bytes.is_empty() {
        Ok((header.correlation_id, response))
    } else {
        Err("bytes are left over".into())
    }
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut frame = i32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(bytes);
    frame
}

fn unframed(frame: &[u8]) -> Result<Bytes, String> {
    let length = frame.get(..4).ok_or("no length")?;
    let length = i32::from_be_bytes(length.try_into().unwrap());
    if usize::try_from(length) != Ok(frame.len() - 4) {
        return Err(format!(
            "length {length} of a frame of {} bytes",
            frame.len()
        ));
    }
    Ok(Bytes::copy_from_slice(&frame[4..]))
}

// SASL

pub fn handshake(mechanism: &str) -> Vec<u8> {
    request(
        1,
        900,
        &SaslHandshakeRequest::default().with_mechanism(text(mechanism)),
    )
}

#[track_caller]
pub fn handshake_answer(frame: &[u8]) -> SaslHandshakeResponse {
    let (correlation_id, answer) = decode_response::<SaslHandshakeRequest>(1, frame);
    assert_eq!(correlation_id, 900);
    answer
}

pub fn authenticate(message: &[u8]) -> Vec<u8> {
    let message = Bytes::copy_from_slice(message);
    request(
        2,
        901,
        &SaslAuthenticateRequest::default().with_auth_bytes(message),
    )
}

#[track_caller]
pub fn sasl_answer(frame: &[u8]) -> SaslAuthenticateResponse {
    let (correlation_id, answer) = decode_response::<SaslAuthenticateRequest>(2, frame);
    assert_eq!(correlation_id, 901);
    answer
}

// Produce and Fetch

/// The id that [`world`](super::world) knows for a topic: the start of its name, so that a test can read it.
pub fn topic_id(name: &str) -> Uuid {
    let mut id = [0; 16];
    let length = name.len().min(id.len());
    id[..length].copy_from_slice(&name.as_bytes()[..length]);
    Uuid::from_bytes(id)
}

/// The name of a topic, in whichever way the version carries it.
pub fn name_of(name: &TopicName, id: Uuid) -> String {
    if !name.is_empty() {
        return name.to_string();
    }
    let id = id.into_bytes();
    let end = id.iter().position(|byte| *byte == 0).unwrap_or(id.len());
    String::from_utf8_lossy(&id[..end]).into_owned()
}

/// Topic, then partition and records.
pub type Batches<'a> = [(&'a str, Vec<(i32, Vec<u8>)>)];

pub fn produce(acks: i16, topics: &Batches<'_>) -> ProduceRequest {
    let topics = topics.iter().map(|(name, partitions)| {
        let partitions = partitions.iter().map(|(index, records)| {
            PartitionProduceData::default()
                .with_index(*index)
                .with_records(Some(Bytes::copy_from_slice(records)))
        });
        TopicProduceData::default()
            .with_name(topic(name))
            .with_topic_id(topic_id(name))
            .with_partition_data(partitions.collect())
    });
    ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(30_000)
        .with_topic_data(topics.collect())
}

pub fn transactional(id: &str, topics: &Batches<'_>) -> ProduceRequest {
    produce(-1, topics).with_transactional_id(Some(TransactionalId(text(id))))
}

/// Topic, then partition and base offset.
pub fn produced(topics: &[(&str, Vec<(i32, i64)>)]) -> ProduceResponse {
    let topics = topics.iter().map(|(name, partitions)| {
        let partitions = partitions.iter().map(|(index, offset)| {
            PartitionProduceResponse::default()
                .with_index(*index)
                .with_base_offset(*offset)
        });
        TopicProduceResponse::default()
            .with_name(topic(name))
            .with_topic_id(topic_id(name))
            .with_partition_responses(partitions.collect())
    });
    ProduceResponse::default().with_responses(topics.collect())
}

/// Topic, partition, error, base offset and message, in the answer's order.
pub fn produce_results(answer: &ProduceResponse) -> Vec<(String, i32, i16, i64)> {
    let results = answer.responses.iter().flat_map(|topic| {
        topic.partition_responses.iter().map(|partition| {
            (
                name_of(&topic.name, topic.topic_id),
                partition.index,
                partition.error_code,
                partition.base_offset,
            )
        })
    });
    results.collect()
}

/// Topic, then partition and fetch offset.
pub fn fetch(topics: &[(&str, Vec<(i32, i64)>)]) -> FetchRequest {
    let topics = topics.iter().map(|(name, partitions)| {
        let partitions = partitions.iter().map(|(index, offset)| {
            FetchPartition::default()
                .with_partition(*index)
                .with_fetch_offset(*offset)
                .with_partition_max_bytes(1 << 20)
        });
        FetchTopic::default()
            .with_topic(topic(name))
            .with_topic_id(topic_id(name))
            .with_partitions(partitions.collect())
    });
    FetchRequest::default()
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(50 << 20)
        .with_session_epoch(-1)
        .with_topics(topics.collect())
}

pub fn fetched(topics: &Batches<'_>) -> FetchResponse {
    let topics = topics.iter().map(|(name, partitions)| {
        let partitions = partitions.iter().map(|(index, records)| {
            PartitionData::default()
                .with_partition_index(*index)
                .with_high_watermark(1_000)
                .with_last_stable_offset(1_000)
                .with_aborted_transactions(None)
                .with_records(Some(Bytes::copy_from_slice(records)))
        });
        FetchableTopicResponse::default()
            .with_topic(topic(name))
            .with_topic_id(topic_id(name))
            .with_partitions(partitions.collect())
    });
    FetchResponse::default().with_responses(topics.collect())
}

/// Topic, partition, error and records, in the answer's order.
pub fn fetch_results(answer: &FetchResponse) -> Vec<(String, i32, i16, Vec<u8>)> {
    let results = answer.responses.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| {
            let records = partition.records.as_deref().unwrap_or_default().to_vec();
            (
                name_of(&topic.topic, topic.topic_id),
                partition.partition_index,
                partition.error_code,
                records,
            )
        })
    });
    results.collect()
}
