//! What a sink answers is read by the views and decoders that the gateway reads brokers with.

use std::collections::HashMap;

use sluice_kafka::messages::structs::fetch_request::{FetchPartition, FetchTopic};
use sluice_kafka::messages::structs::metadata_request::MetadataRequestTopic;
use sluice_kafka::messages::structs::produce_request::{PartitionProduceData, TopicProduceData};
use sluice_kafka::messages::structs::{FetchRequest, ProduceRequest};
use sluice_kafka::messages::{decode_response_frame, encode_request_frame};
use sluice_kafka::record_batch::{Batch, batches};
use sluice_kafka::views::{FetchResponse, ProduceResponse};

use super::*;
use crate::records::{Maker, Shape, batch};

const ADVERTISED: (&str, u16) = ("proxy", 7);

fn shared() -> Shared {
    let topics = [("orders".to_owned(), 2)];
    Shared {
        log: Log::new(&topics, &Shape::text(100), 5, 1).unwrap(),
        entrances: HashMap::new(),
    }
}

fn answered(shared: &Shared, frame: &[u8]) -> Result<Vec<u8>, Close> {
    let mut outgoing = Outgoing::new(shared.log.tail().clone());
    let advertised = (ADVERTISED.0.to_owned(), ADVERTISED.1);
    answer(frame, shared, &advertised, &mut outgoing)?;
    let bytes = outgoing.to_vec();
    assert_eq!(bytes.len(), outgoing.waiting_bytes());
    Ok(bytes)
}

fn produce_frame(shared: &Shared, version: i16, acks: i16, topic: &str, partition: i32) -> Vec<u8> {
    let records = batch(&Shape::text(10), 3, 1, &mut Maker::new(1, 0, 1)).unwrap();
    let data = PartitionProduceData::default()
        .with_index(partition)
        .with_records(Some(records));
    let id = shared
        .log
        .topic(TopicKey::Name(topic))
        .map_or([9; 16], |topic| topic.id);
    let mut data = TopicProduceData::default().with_partition_data(vec![data]);
    if version >= 13 {
        data.topic_id = Uuid::from_bytes(id);
    } else {
        data.name = name(topic);
    }
    let request = ProduceRequest::default()
        .with_acks(acks)
        .with_topic_data(vec![data]);
    let mut frame = Vec::new();
    encode_request_frame(version, 77, Some("test"), &request, &mut frame).unwrap();
    frame
}

fn fetch_frame(shared: &Shared, version: i16, max_bytes: i32, parts: &[(i32, i64)]) -> Vec<u8> {
    let partitions = parts.iter().map(|(partition, offset)| {
        FetchPartition::default()
            .with_partition(*partition)
            .with_fetch_offset(*offset)
            .with_partition_max_bytes(max_bytes)
    });
    let mut topic = FetchTopic::default().with_partitions(partitions.collect());
    if version >= 13 {
        topic.topic_id = Uuid::from_bytes(shared.log.topics[0].id);
    } else {
        topic.topic = name("orders");
    }
    let request = FetchRequest::default()
        .with_max_bytes(max_bytes)
        .with_topics(vec![topic]);
    let mut frame = Vec::new();
    encode_request_frame(version, 77, Some("test"), &request, &mut frame).unwrap();
    frame
}

#[test]
fn produce_is_acknowledged_with_rising_offsets_in_every_version() {
    let shared = shared();
    for (number, version) in (3..=13).enumerate() {
        let frame = produce_frame(&shared, version, -1, "orders", 1);
        let answer = answered(&shared, &frame).unwrap();
        let response = ProduceResponse::parse(&answer, version).unwrap();
        assert_eq!(response.correlation_id, 77);
        let partition = response
            .topics()
            .next()
            .unwrap()
            .partitions()
            .next()
            .unwrap();
        assert_eq!(
            (partition.index, partition.error),
            (1, ErrorCode::NONE),
            "version {version}"
        );
        assert_eq!(partition.base_offset, 3 * number as i64);
    }
}

#[test]
fn produce_without_acknowledgement_has_no_answer() {
    let shared = shared();
    let frame = produce_frame(&shared, 9, 0, "orders", 0);
    assert!(answered(&shared, &frame).unwrap().is_empty());
}

#[test]
fn produce_to_what_does_not_exist_is_an_error_of_its_partition() {
    let shared = shared();
    for (version, topic, partition, error) in [
        (12, "other", 0, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (12, "orders", 2, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (13, "other", 0, ErrorCode::UNKNOWN_TOPIC_ID),
    ] {
        let answer = answered(
            &shared,
            &produce_frame(&shared, version, -1, topic, partition),
        )
        .unwrap();
        let response = ProduceResponse::parse(&answer, version).unwrap();
        assert_eq!(
            response
                .topics()
                .next()
                .unwrap()
                .partitions()
                .next()
                .unwrap()
                .error,
            error
        );
    }
}

#[test]
fn fetch_delivers_whole_sound_batches_in_every_version() {
    let shared = shared();
    let two = 2 * shared.log.batch_bytes() as i32;
    for version in 4..=18 {
        let answer = answered(
            &shared,
            &fetch_frame(&shared, version, two, &[(0, 12), (1, 0)]),
        )
        .unwrap();
        let response = FetchResponse::parse(&answer, version).unwrap();
        assert_eq!(
            (response.correlation_id, response.error),
            (77, ErrorCode::NONE)
        );
        let partitions: Vec<_> = response.topics().next().unwrap().partitions().collect();
        assert_eq!(partitions.len(), 2, "version {version}");
        let records = response.records(&partitions[0]).unwrap();
        let found: Vec<Batch<'_>> = batches(records).map(Result::unwrap).collect();
        let offsets: Vec<i64> = found.iter().map(|batch| batch.header.base_offset).collect();
        assert_eq!(offsets, [10, 15]);
        found.iter().for_each(|batch| batch.verify_crc().unwrap());
        // The first partition has used up what the whole answer may hold.
        assert!(
            response
                .records(&partitions[1])
                .unwrap_or_default()
                .is_empty()
        );
    }
}

#[test]
fn fetch_at_the_end_is_empty_and_behind_it_an_error() {
    let shared = shared();
    let end = shared.log.end_offset();
    let answer = answered(
        &shared,
        &fetch_frame(&shared, 12, 1 << 20, &[(0, end), (1, end + 1)]),
    )
    .unwrap();
    let response = FetchResponse::parse(&answer, 12).unwrap();
    let partitions: Vec<_> = response.topics().next().unwrap().partitions().collect();
    assert_eq!(
        (partitions[0].error, partitions[0].high_watermark),
        (ErrorCode::NONE, end)
    );
    assert!(
        response
            .records(&partitions[0])
            .unwrap_or_default()
            .is_empty()
    );
    assert_eq!(partitions[1].error, ErrorCode::OFFSET_OUT_OF_RANGE);
}

#[test]
fn metadata_names_the_advertised_address_and_the_topics() {
    let shared = shared();
    for version in 4..=13 {
        let mut frame = Vec::new();
        let everything = MetadataRequest::default().with_topics(None);
        encode_request_frame(version, 5, None, &everything, &mut frame).unwrap();
        let answer = bytes::Bytes::from(answered(&shared, &frame).unwrap());
        let (_, response) = decode_response_frame::<MetadataRequest>(&answer, version).unwrap();
        assert_eq!(
            (&*response.brokers[0].host, response.brokers[0].port),
            ("proxy", 7)
        );
        assert_eq!(response.topics[0].partitions.len(), 2, "version {version}");
        frame.clear();
        let unknown = MetadataRequestTopic::default().with_name(Some(name("other")));
        let one = MetadataRequest::default().with_topics(Some(vec![unknown]));
        encode_request_frame(version, 5, None, &one, &mut frame).unwrap();
        let answer = bytes::Bytes::from(answered(&shared, &frame).unwrap());
        let (_, response) = decode_response_frame::<MetadataRequest>(&answer, version).unwrap();
        assert_eq!(
            response.topics[0].error_code,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.0
        );
    }
}

#[test]
fn whatever_is_cut_short_or_not_served_ends_the_connection() {
    let shared = shared();
    for whole in [
        produce_frame(&shared, 9, -1, "orders", 0),
        fetch_frame(&shared, 12, 1, &[(0, 0)]),
    ] {
        for end in 4..whole.len() {
            assert!(
                answered(&shared, &whole[..end]).is_err(),
                "{end} of {}",
                whole.len()
            );
        }
    }
    let mut frame = Vec::new();
    let request = sluice_kafka::messages::structs::DescribeClusterRequest::default();
    encode_request_frame(0, 1, None, &request, &mut frame).unwrap();
    assert!(matches!(
        answered(&shared, &frame),
        Err(Close::NotServed { api_key: 60, .. })
    ));
}
