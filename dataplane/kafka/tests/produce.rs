//! Produce views against the kafka-protocol crate.

mod random;

use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
    TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest as TheirRequest, ProduceResponse as TheirResponse};
use kafka_protocol::protocol::{Decodable, StrBytes};
use random::{Random, key, named, torture};
use sluice_kafka::messages::{encode_request_frame, encode_response_frame};
use sluice_kafka::views::{
    Denial, MergeEntry, ProduceRequest, ProduceResponse, TopicKey, produce_response,
};
use sluice_kafka::{ErrorCode, RequestHeader, shape};

fn text(random: &mut Random, length_max: usize) -> StrBytes {
    StrBytes::from_string(random.text(length_max))
}

fn random_request(random: &mut Random, version: i16) -> TheirRequest {
    let tags = version >= 9;
    let tag = |random: &mut Random| {
        let present = tags && random.chance(3);
        present
            .then(|| (random.below(300) as i32, Bytes::from_static(b"tag")))
            .into_iter()
            .collect()
    };
    let mut request = TheirRequest::default();
    request.transactional_id = random.chance(2).then(|| text(random, 20).into());
    request.acks = random.below(3) as i16 - 1;
    request.timeout_ms = random.next() as i32;
    request.unknown_tagged_fields = tag(random);
    for _ in 0..random.below(5) {
        let mut topic = TopicProduceData::default();
        (topic.name, topic.topic_id) = named(version, &text(random, 200));
        topic.unknown_tagged_fields = tag(random);
        for index in 0..random.below(5) {
            let mut partition = PartitionProduceData::default();
            partition.index = index as i32;
            let count = random.below(300);
            partition.records = (!random.chance(5)).then(|| Bytes::from(random.bytes(count)));
            partition.unknown_tagged_fields = tag(random);
            topic.partition_data.push(partition);
        }
        request.topic_data.push(topic);
    }
    request
}

fn request_frame(version: i16, request: &TheirRequest) -> Vec<u8> {
    let mut frame = Vec::new();
    encode_request_frame(version, 77, Some("client"), request, &mut frame).unwrap();
    frame
}

fn decode_theirs(frame: &[u8]) -> TheirRequest {
    let header = RequestHeader::parse(frame).unwrap();
    let mut body = Bytes::copy_from_slice(&frame[header.body_at..]);
    let request = TheirRequest::decode(&mut body, header.api_version).unwrap();
    assert!(body.is_empty());
    request
}

fn without_tags(mut request: TheirRequest) -> TheirRequest {
    request.unknown_tagged_fields.clear();
    for topic in &mut request.topic_data {
        topic.unknown_tagged_fields.clear();
        topic
            .partition_data
            .iter_mut()
            .for_each(|partition| partition.unknown_tagged_fields.clear());
    }
    request
}

#[test]
fn sees_what_the_reference_encoder_wrote_in_every_version() {
    let mut random = Random::new(1);
    for version in 3..=13 {
        for _ in 0..100 {
            let theirs = random_request(&mut random, version);
            let frame = request_frame(version, &theirs);
            let header = RequestHeader::parse(&frame).unwrap();
            assert_eq!(
                (header.correlation_id, header.client_id),
                (77, Some("client"))
            );
            let ours = ProduceRequest::parse(&frame, &header).unwrap();
            assert_eq!(
                ours.transactional_id,
                theirs.transactional_id.as_ref().map(|id| id.as_str())
            );
            assert_eq!(
                (ours.acks, ours.timeout_ms),
                (theirs.acks, theirs.timeout_ms)
            );
            assert_eq!(ours.topics().count(), theirs.topic_data.len());
            for (topic, theirs) in ours.topics().zip(&theirs.topic_data) {
                assert_eq!(topic.key, key(version, &theirs.name, theirs.topic_id));
                assert_eq!(topic.partitions().count(), theirs.partition_data.len());
                for (partition, theirs) in topic.partitions().zip(&theirs.partition_data) {
                    assert_eq!(
                        (partition.index, partition.records),
                        (theirs.index, theirs.records.as_deref())
                    );
                    let records = partition.records.unwrap_or_default();
                    assert_eq!(&frame[partition.records_at..][..records.len()], records);
                }
            }
            assert_eq!(
                ours.has_unknown_tags(),
                without_tags(theirs.clone()) != theirs
            );
        }
    }
}

#[test]
fn keeps_exactly_the_partitions_asked_for() {
    let mut random = Random::new(2);
    for version in 3..=13 {
        for _ in 0..100 {
            let theirs = random_request(&mut random, version);
            let frame = request_frame(version, &theirs);
            let header = RequestHeader::parse(&frame).unwrap();
            let ours = ProduceRequest::parse(&frame, &header).unwrap();
            let mask = random.next();
            let keep = |nth: usize| mask >> (nth % 64) & 1 == 1;

            let mut nth = 0;
            let mut out = b"before".to_vec();
            let kept = ours.keep_topics(
                |_, _| {
                    nth += 1;
                    keep(nth)
                },
                &mut out,
            );

            let mut expected = without_tags(theirs);
            let mut nth = 0;
            for topic in &mut expected.topic_data {
                topic.partition_data.retain(|_| {
                    nth += 1;
                    keep(nth)
                });
            }
            expected
                .topic_data
                .retain(|topic| !topic.partition_data.is_empty());
            assert_eq!(
                kept,
                expected
                    .topic_data
                    .iter()
                    .map(|topic| topic.partition_data.len())
                    .sum::<usize>()
            );
            let rewritten = &out[6..];
            assert_eq!(decode_theirs(rewritten), expected);
            assert_eq!(rewritten, request_frame(version, &expected));
        }
    }
}

#[test]
fn agrees_with_the_table_driven_walk_on_mutated_requests() {
    let mut random = Random::new(3);
    for version in 3..=13 {
        let theirs = random_request(&mut random, version);
        let frame = request_frame(version, &theirs);
        let at = RequestHeader::parse(&frame).unwrap().body_at;
        let mut accepted = 0;
        torture(&mut random, &frame[at..], 3_000, |body| {
            let frame = [&frame[..at], body].concat();
            let header = RequestHeader::parse(&frame).unwrap();
            let ours = ProduceRequest::parse(&frame, &header);
            let walked = shape::check_request(0, version, body);
            assert_eq!(ours.is_ok(), walked.is_ok(), "{ours:?} {walked:?}");
            if let Ok(ours) = &ours {
                // Whatever is accepted can be iterated and written again.
                let partitions: usize = ours.topics().map(|topic| topic.partitions().count()).sum();
                assert_eq!(ours.keep_topics(|_, _| true, &mut Vec::new()), partitions);
                accepted += 1;
            }
            ours.is_ok()
        });
        assert!(accepted > 10, "mutations are not all fatal");
    }
}

#[test]
fn rejects_hostile_counts() {
    for (version, count) in [
        (8, &[0x7f, 0xff, 0xff, 0xff][..]),
        (9, &[0xff, 0xff, 0xff, 0xff, 0x0f][..]),
    ] {
        let frame = request_frame(version, &TheirRequest::default());
        let header = RequestHeader::parse(&frame).unwrap();
        let at = ProduceRequest::parse(&frame, &header)
            .unwrap()
            .topics_count
            .at;
        let hostile = [&frame[..at], count].concat();
        let header = RequestHeader::parse(&hostile).unwrap();
        let error = ProduceRequest::parse(&hostile, &header).unwrap_err();
        assert_eq!(error.flaw, sluice_kafka::Flaw::CountOversized);
    }
}

fn random_response(random: &mut Random, version: i16) -> TheirResponse {
    let mut response = TheirResponse::default();
    response.throttle_time_ms = random.below(1000) as i32;
    for topic_number in 0..random.below(4) {
        let mut topic = TopicProduceResponse::default();
        (topic.name, topic.topic_id) = named(version, &format!("topic-{topic_number}"));
        for index in 0..random.below(4) {
            let mut partition = PartitionProduceResponse::default();
            partition.index = index as i32;
            partition.error_code = random.below(100) as i16;
            partition.base_offset = random.next() as i64;
            partition.log_append_time_ms = random.next() as i64;
            if version >= 5 {
                partition.log_start_offset = random.next() as i64;
            }
            if version >= 8 {
                partition.error_message = random.chance(2).then(|| text(random, 30));
                for _ in 0..random.below(3) {
                    let mut error = BatchIndexAndErrorMessage::default();
                    error.batch_index = 4;
                    error.batch_index_error_message = random.chance(2).then(|| text(random, 30));
                    partition.record_errors.push(error);
                }
            }
            if version >= 10 && random.chance(2) {
                let mut leader = LeaderIdAndEpoch::default();
                leader.leader_id = 3.into();
                partition.current_leader = leader;
            }
            topic.partition_responses.push(partition);
        }
        response.responses.push(topic);
    }
    if version >= 10 && random.chance(2) {
        let mut node = NodeEndpoint::default();
        node.host = StrBytes::from_static_str("broker.internal");
        response.node_endpoints.push(node);
    }
    response
}

fn decode_response(frame: &[u8], version: i16) -> TheirResponse {
    assert_eq!(
        frame.len() - 4,
        i32::from_be_bytes(frame[..4].try_into().unwrap()) as usize
    );
    let mut body = Bytes::copy_from_slice(&frame[if version >= 9 { 9 } else { 8 }..]);
    let response = TheirResponse::decode(&mut body, version).unwrap();
    assert!(body.is_empty());
    response
}

#[test]
fn reads_responses_of_every_version_and_lets_no_address_pass() {
    let mut random = Random::new(4);
    for version in 3..=13 {
        for _ in 0..50 {
            let theirs = random_response(&mut random, version);
            let mut frame = Vec::new();
            encode_response_frame(0, version, 5, &theirs, &mut frame).unwrap();
            let ours = ProduceResponse::parse(&frame, version).unwrap();
            assert_eq!(
                (ours.correlation_id, ours.throttle_time_ms),
                (5, theirs.throttle_time_ms)
            );
            for (topic, theirs) in ours.topics().zip(&theirs.responses) {
                assert_eq!(topic.key, key(version, &theirs.name, theirs.topic_id));
                for (partition, theirs) in topic.partitions().zip(&theirs.partition_responses) {
                    assert_eq!(
                        (
                            partition.index,
                            partition.error.0,
                            partition.base_offset,
                            partition.log_append_time_ms
                        ),
                        (
                            theirs.index,
                            theirs.error_code,
                            theirs.base_offset,
                            theirs.log_append_time_ms
                        )
                    );
                    assert_eq!(partition.error_message, theirs.error_message.as_deref());
                }
            }
            assert_eq!(
                ours.may_carry_addresses(),
                !theirs.node_endpoints.is_empty()
            );
            let mut out = Vec::new();
            ours.without_addresses(&mut out);
            let mut expected = theirs;
            expected.node_endpoints.clear();
            assert_eq!(decode_response(&out, version), expected);
            assert!(!out.windows(15).any(|window| window == b"broker.internal"));
        }
        let theirs = random_response(&mut random, version);
        let mut frame = Vec::new();
        encode_response_frame(0, version, 5, &theirs, &mut frame).unwrap();
        torture(&mut random, &frame, 2_000, |frame| {
            ProduceResponse::parse(frame, version).is_ok()
        });
    }
}

#[test]
fn merges_in_the_order_of_the_request_and_answers_each_partition_once() {
    for version in 3..=13 {
        let mut theirs = TheirResponse::default();
        // The broker answers in another order than it was asked, and leaves out ("b", 1).
        for (name, index, offset) in [("b", 0, 20), ("a", 2, 12), ("a", 0, 10)] {
            let mut partition = PartitionProduceResponse::default();
            partition.index = index;
            partition.base_offset = offset;
            let mut topic = TopicProduceResponse::default();
            (topic.name, topic.topic_id) = named(version, name);
            topic.partition_responses.push(partition);
            theirs.responses.push(topic);
        }
        theirs.node_endpoints.extend((version >= 10).then(|| {
            let mut node = NodeEndpoint::default();
            node.host = StrBytes::from_static_str("broker.internal");
            node
        }));
        theirs.throttle_time_ms = 5;
        let mut frame = Vec::new();
        encode_response_frame(0, version, 1, &theirs, &mut frame).unwrap();
        let broker = ProduceResponse::parse(&frame, version).unwrap();
        let denial = Denial {
            error: ErrorCode::TOPIC_AUTHORIZATION_FAILED,
            message: Some("no"),
        };
        let named = |name| named(version, name);
        let entry = |name, partition, denial| MergeEntry {
            topic: match version {
                ..13 => TopicKey::Name(name),
                _ => TopicKey::Id(named(name).1.into_bytes()),
            },
            partition,
            denial,
        };
        let entries = [
            entry("a", 0, None),
            entry("a", 1, Some(denial)),
            entry("a", 2, None),
            entry("secret", 7, Some(denial)),
            entry("b", 0, None),
            entry("b", 1, None),
            entry("a", 1, None),
            entry("a", 0, None),
        ];
        let mut out = Vec::new();
        produce_response::merge(version, 9, 100, Some(&broker), &entries, &mut out);
        let merged = decode_response(&out, version);
        assert_eq!(merged.throttle_time_ms, 100);
        assert!(merged.node_endpoints.is_empty());
        let flat: Vec<_> = merged
            .responses
            .iter()
            .flat_map(|topic| {
                topic.partition_responses.iter().map(|partition| {
                    (
                        (topic.name.clone(), topic.topic_id),
                        partition.index,
                        partition.error_code,
                        partition.base_offset,
                    )
                })
            })
            .collect();
        assert_eq!(
            flat,
            [
                (named("a"), 0, 0, 10),
                (named("a"), 1, 29, -1),
                (named("a"), 2, 0, 12),
                (named("secret"), 7, 29, -1),
                (named("b"), 0, 0, 20),
                (named("b"), 1, -1, -1),
            ]
        );
        let message = merged.responses[0].partition_responses[1]
            .error_message
            .as_deref();
        assert_eq!(message, if version >= 8 { Some("no") } else { None });

        let mut denied_only = Vec::new();
        produce_response::merge(version, 9, 0, None, &entries[1..2], &mut denied_only);
        let denied = decode_response(&denied_only, version);
        assert_eq!(denied.responses[0].partition_responses[0].error_code, 29);
    }
}
