//! Finding topics and partitions in the frames of Produce and Fetch.

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::Decodable;
use sluice_bench::Table;
use sluice_kafka::RequestHeader;
use sluice_kafka::api::FETCH;
use sluice_kafka::messages::structs::fetch_request::{FetchPartition, FetchTopic};
use sluice_kafka::messages::structs::fetch_response::{FetchableTopicResponse, PartitionData};
use sluice_kafka::messages::structs::produce_request::{PartitionProduceData, TopicProduceData};
use sluice_kafka::messages::structs::{
    FetchRequest as FetchMessage, FetchResponse as FetchedMessage,
    ProduceRequest as ProduceMessage, TopicName,
};
use sluice_kafka::messages::{
    StrBytes, decode_request, encode_request_frame, encode_response_frame,
};
use sluice_kafka::views::{FetchRequest, FetchResponse, ProduceRequest};

const PRODUCE_VERSION: i16 = 9;
const FETCH_VERSION: i16 = 12;

pub(crate) fn produce(table: Table<'static>, topics: usize, partitions: usize) -> Table<'static> {
    let frame = Bytes::from(produce_frame(topics, partitions));
    let body_at = RequestHeader::parse(&frame).unwrap().body_at;
    let body = frame.slice(body_at..);
    let (walked, checked) = (frame.clone(), body.clone());
    let partitions_of = |message: &ProduceMessage| {
        let topics = message.topic_data.iter();
        topics.map(|topic| topic.partition_data.len() as u64).sum()
    };
    table
        .ours("header and walk in place", move || walk_produce(&walked))
        .with("kafka-protocol decode, body only", move || {
            partitions_of(&ProduceMessage::decode(&mut body.clone(), PRODUCE_VERSION).unwrap())
        })
        .with("shape check, then kafka-protocol decode", move || {
            partitions_of(&decode_request(PRODUCE_VERSION, &checked).unwrap())
        })
}

pub(crate) fn fetch(table: Table<'static>, topics: usize, partitions: usize) -> Table<'static> {
    let frame = Bytes::from(fetch_frame(topics, partitions));
    let body_at = RequestHeader::parse(&frame).unwrap().body_at;
    let body = frame.slice(body_at..);
    let walked = frame.clone();
    table
        .ours("header and walk in place", move || walk_fetch(&walked))
        .with("kafka-protocol decode, body only", move || {
            let message = FetchMessage::decode(&mut body.clone(), FETCH_VERSION).unwrap();
            let topics = message.topics.iter();
            topics.map(|topic| topic.partitions.len() as u64).sum()
        })
}

pub(crate) fn fetched(table: Table<'static>, topics: usize, partitions: usize) -> Table<'static> {
    let frame = Bytes::from(fetched_frame(topics, partitions));
    // Behind length, correlation id, and no tags.
    let body = frame.slice(9..);
    let walked = frame.clone();
    table
        .ours("header and walk in place", move || walk_fetched(&walked))
        .with("kafka-protocol decode, body only", move || {
            let message = FetchedMessage::decode(&mut body.clone(), FETCH_VERSION).unwrap();
            let topics = message.responses.iter();
            topics.map(|topic| topic.partitions.len() as u64).sum()
        })
}

/// What the session does: every byte is accounted for, every partition looked at.
fn walk_produce(frame: &[u8]) -> u64 {
    let header = RequestHeader::parse(frame).unwrap();
    let request = ProduceRequest::parse(frame, &header).unwrap();
    let mut seen = 0;
    for topic in request.topics() {
        for partition in topic.partitions() {
            seen += 1 + u64::from(partition.index == i32::MAX) + topic.span.len() as u64;
        }
    }
    seen
}

fn walk_fetch(frame: &[u8]) -> u64 {
    let header = RequestHeader::parse(frame).unwrap();
    let request = FetchRequest::parse(frame, &header).unwrap();
    let mut seen = 0;
    for topic in request.topics() {
        for partition in topic.partitions() {
            seen += 1 + partition.fetch_offset as u64 + topic.span.len() as u64;
        }
    }
    seen
}

fn walk_fetched(frame: &[u8]) -> u64 {
    let response = FetchResponse::parse(frame, FETCH_VERSION).unwrap();
    let mut seen = 0;
    for topic in response.topics() {
        for partition in topic.partitions() {
            seen += response.records(&partition).map_or(0, <[u8]>::len) as u64;
        }
    }
    seen
}

fn topic_name(index: usize) -> TopicName {
    TopicName(StrBytes::from_string(format!("orders-of-region-{index}")))
}

fn records() -> Bytes {
    BytesMut::zeroed(1024).freeze()
}

fn produce_frame(topics: usize, partitions: usize) -> Vec<u8> {
    let partition_data: Vec<_> = (0..partitions)
        .map(|index| {
            PartitionProduceData::default()
                .with_index(index as i32)
                .with_records(Some(records()))
        })
        .collect();
    let topic_data = (0..topics)
        .map(|index| {
            TopicProduceData::default()
                .with_name(topic_name(index))
                .with_partition_data(partition_data.clone())
        })
        .collect();
    let message = ProduceMessage::default()
        .with_acks(-1)
        .with_timeout_ms(30_000)
        .with_topic_data(topic_data);
    let mut frame = Vec::new();
    encode_request_frame(PRODUCE_VERSION, 7, Some("bench"), &message, &mut frame).unwrap();
    frame
}

fn fetch_frame(topics: usize, partitions: usize) -> Vec<u8> {
    let asked: Vec<_> = (0..partitions)
        .map(|index| {
            FetchPartition::default()
                .with_partition(index as i32)
                .with_fetch_offset(1_000)
                .with_partition_max_bytes(1 << 20)
        })
        .collect();
    let topics = (0..topics)
        .map(|index| {
            FetchTopic::default()
                .with_topic(topic_name(index))
                .with_partitions(asked.clone())
        })
        .collect();
    let message = FetchMessage::default()
        .with_max_wait_ms(500)
        .with_max_bytes(1 << 23)
        .with_topics(topics);
    let mut frame = Vec::new();
    encode_request_frame(FETCH_VERSION, 7, Some("bench"), &message, &mut frame).unwrap();
    frame
}

fn fetched_frame(topics: usize, partitions: usize) -> Vec<u8> {
    let read: Vec<_> = (0..partitions)
        .map(|index| {
            PartitionData::default()
                .with_partition_index(index as i32)
                .with_records(Some(records()))
        })
        .collect();
    let responses = (0..topics)
        .map(|index| {
            FetchableTopicResponse::default()
                .with_topic(topic_name(index))
                .with_partitions(read.clone())
        })
        .collect();
    let message = FetchedMessage::default().with_responses(responses);
    let mut frame = Vec::new();
    encode_response_frame(FETCH, FETCH_VERSION, 7, &message, &mut frame).unwrap();
    frame
}
