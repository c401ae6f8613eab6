//! Finding topics and partitions in a Produce request.

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::Decodable;
use sluice_bench::Table;
use sluice_kafka::RequestHeader;
use sluice_kafka::messages::structs::produce_request::{PartitionProduceData, TopicProduceData};
use sluice_kafka::messages::structs::{ProduceRequest as ProduceMessage, TopicName};
use sluice_kafka::messages::{StrBytes, decode_request, encode_request_frame};
use sluice_kafka::views::ProduceRequest;

const VERSION: i16 = 9;

pub(crate) fn produce(table: Table<'static>, topics: usize, partitions: usize) -> Table<'static> {
    let frame = Bytes::from(request(topics, partitions));
    let body_at = RequestHeader::parse(&frame).unwrap().body_at;
    let body = frame.slice(body_at..);
    let (walked, checked) = (frame.clone(), body.clone());
    table
        .with("header and walk in place", move || walk(&walked))
        .with("kafka-protocol decode, body only", move || {
            let mut rest = body.clone();
            let message = ProduceMessage::decode(&mut rest, VERSION).unwrap();
            message
                .topic_data
                .iter()
                .map(|topic| topic.partition_data.len() as u64)
                .sum()
        })
        .with("shape check, then kafka-protocol decode", move || {
            let message: ProduceMessage = decode_request(VERSION, &checked).unwrap();
            message
                .topic_data
                .iter()
                .map(|topic| topic.partition_data.len() as u64)
                .sum()
        })
}

/// What the session does: every byte is accounted for, every partition looked at.
fn walk(frame: &[u8]) -> u64 {
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

fn request(topics: usize, partitions: usize) -> Vec<u8> {
    let records = BytesMut::zeroed(1024).freeze();
    let partition_data: Vec<_> = (0..partitions)
        .map(|index| {
            PartitionProduceData::default()
                .with_index(index as i32)
                .with_records(Some(records.clone()))
        })
        .collect();
    let topic_data = (0..topics)
        .map(|index| {
            let name = TopicName(StrBytes::from_string(format!("orders-of-region-{index}")));
            TopicProduceData::default()
                .with_name(name)
                .with_partition_data(partition_data.clone())
        })
        .collect();
    let message = ProduceMessage::default()
        .with_acks(-1)
        .with_timeout_ms(30_000)
        .with_topic_data(topic_data);
    let mut frame = Vec::new();
    encode_request_frame(VERSION, 7, Some("bench"), &message, &mut frame).unwrap();
    frame
}
