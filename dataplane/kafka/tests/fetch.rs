//! Fetch views against the kafka-protocol crate.

mod random;
mod responses;

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{FetchRequest as TheirRequest, FetchResponse as TheirResponse};
use kafka_protocol::protocol::{Decodable, StrBytes};
use random::{Random, key, named, torture};
use responses::{decode_response, random_response, response_frame};
use sluice_kafka::messages::encode_request_frame;
use sluice_kafka::views::{
    Denial, FetchPatch, FetchRequest, FetchResponse, MergeEntry, RecordsVerdict, TopicKey, fetch,
    fetch_response,
};
use sluice_kafka::{ErrorCode, RequestHeader, shape};

fn name(random: &mut Random) -> StrBytes {
    StrBytes::from_string(random.text(150))
}

fn random_request(random: &mut Random, version: i16) -> TheirRequest {
    let mut request = TheirRequest::default();
    if version <= 14 {
        request.replica_id = (random.below(3) as i32 - 1).into();
    } else if random.chance(2) {
        request.replica_state.replica_id = 1.into();
    }
    request.max_wait_ms = random.next() as i32;
    request.min_bytes = random.next() as i32;
    request.max_bytes = random.next() as i32;
    request.isolation_level = random.below(2) as i8;
    if version >= 7 {
        request.session_id = random.below(3) as i32;
        request.session_epoch = random.below(3) as i32 - 1;
    }
    for _ in 0..random.below(4) {
        let mut topic = FetchTopic::default();
        (topic.topic, topic.topic_id) = named(version, &random.text(150));
        for index in 0..random.below(4) {
            let mut partition = FetchPartition::default();
            partition.partition = index as i32;
            partition.fetch_offset = random.next() as i64;
            partition.partition_max_bytes = random.next() as i32;
            if version >= 5 {
                partition.log_start_offset = random.next() as i64;
            }
            if version >= 9 {
                partition.current_leader_epoch = random.next() as i32;
            }
            if version >= 12 {
                partition.last_fetched_epoch = random.next() as i32;
            }
            topic.partitions.push(partition);
        }
        request.topics.push(topic);
    }
    if version >= 7 && random.chance(2) {
        let mut forgotten = ForgottenTopic::default();
        (forgotten.topic, forgotten.topic_id) = named(version, &random.text(150));
        forgotten.partitions = vec![1, 2, 3];
        request.forgotten_topics_data.push(forgotten);
    }
    if version >= 11 {
        request.rack_id = name(random);
    }
    if version >= 12 && random.chance(2) {
        request.cluster_id = Some(StrBytes::from_static_str("cluster"));
    }
    request
}

fn request_frame(version: i16, request: &TheirRequest) -> Vec<u8> {
    let mut frame = Vec::new();
    encode_request_frame(version, 77, None, request, &mut frame).unwrap();
    frame
}

fn decode_request(frame: &[u8]) -> TheirRequest {
    let header = RequestHeader::parse(frame).unwrap();
    let mut body = Bytes::copy_from_slice(&frame[header.body_at..]);
    let request = TheirRequest::decode(&mut body, header.api_version).unwrap();
    assert!(body.is_empty());
    request
}

/// What leaves the gateway when nothing is denied and nothing limited.
fn sessionless(mut request: TheirRequest) -> TheirRequest {
    request.replica_id = (-1).into();
    request.session_id = 0;
    request.session_epoch = -1;
    request.forgotten_topics_data.clear();
    request.cluster_id = None;
    request.replica_state = Default::default();
    request
}

#[test]
fn sees_what_the_reference_encoder_wrote_in_every_version() {
    let mut random = Random::new(11);
    for version in 4..=18 {
        for _ in 0..100 {
            let theirs = random_request(&mut random, version);
            let frame = request_frame(version, &theirs);
            let header = RequestHeader::parse(&frame).unwrap();
            let ours = FetchRequest::parse(&frame, &header).unwrap();
            assert_eq!(
                (
                    ours.replica_id,
                    ours.max_wait_ms,
                    ours.min_bytes,
                    ours.max_bytes,
                    ours.isolation_level
                ),
                (
                    theirs.replica_id.0,
                    theirs.max_wait_ms,
                    theirs.min_bytes,
                    theirs.max_bytes,
                    theirs.isolation_level
                )
            );
            assert_eq!(
                (ours.session_id, ours.session_epoch),
                (theirs.session_id, theirs.session_epoch)
            );
            assert_eq!(ours.rack_id, theirs.rack_id.as_str());
            assert_eq!(ours.forgotten_count, theirs.forgotten_topics_data.len());
            assert_eq!(ours.topics().count(), theirs.topics.len());
            for (topic, theirs) in ours.topics().zip(&theirs.topics) {
                assert_eq!(topic.key, key(version, &theirs.topic, theirs.topic_id));
                assert_eq!(topic.partitions().count(), theirs.partitions.len());
                for (partition, theirs) in topic.partitions().zip(&theirs.partitions) {
                    assert_eq!(
                        (
                            partition.index,
                            partition.fetch_offset,
                            partition.current_leader_epoch,
                            partition.last_fetched_epoch,
                            partition.partition_max_bytes
                        ),
                        (
                            theirs.partition,
                            theirs.fetch_offset,
                            theirs.current_leader_epoch,
                            theirs.last_fetched_epoch,
                            theirs.partition_max_bytes
                        )
                    );
                }
            }
            let must_leave_out = !theirs.forgotten_topics_data.is_empty()
                || theirs.cluster_id.is_some()
                || theirs.replica_state != Default::default();
            assert_eq!(ours.needs_rewrite(), must_leave_out);
        }
    }
}

#[test]
fn both_ways_out_make_a_consumer_without_a_fetch_session() {
    let mut random = Random::new(12);
    for version in 4..=18 {
        for _ in 0..100 {
            let theirs = random_request(&mut random, version);
            let mut frame = request_frame(version, &theirs);
            let header = RequestHeader::parse(&frame).unwrap();
            let ours = FetchRequest::parse(&frame, &header).unwrap();
            let patch = FetchPatch {
                response_bytes_max: 1000,
                partition_bytes_max: 100,
            };

            let mut out = Vec::new();
            ours.keep_topics(&patch, |_, _| true, &mut out);
            let mut expected = sessionless(theirs);
            expected.max_bytes = expected.max_bytes.min(1000);
            // A topic without partitions asks for nothing and is left out.
            expected.topics.retain(|topic| !topic.partitions.is_empty());
            for partition in expected
                .topics
                .iter_mut()
                .flat_map(|topic| &mut topic.partitions)
            {
                partition.partition_max_bytes = partition.partition_max_bytes.min(100);
            }
            assert_eq!(decode_request(&out), expected);
            assert_eq!(out, request_frame(version, &expected));

            let all_topics_ask = ours.topics().all(|topic| topic.partitions_count.count > 0);
            if !ours.needs_rewrite() && all_topics_ask {
                let limits: Vec<_> = ours
                    .topics()
                    .flat_map(|topic| topic.partitions())
                    .map(|partition| {
                        (
                            partition.partition_max_bytes_at,
                            partition.partition_max_bytes,
                        )
                    })
                    .collect();
                let (layout, asked) = (ours.layout, ours.max_bytes);
                fetch::patch_in_place(&mut frame, &layout, asked, &patch);
                for (at, asked) in limits {
                    fetch::patch_partition_in_place(
                        &mut frame,
                        at,
                        asked.min(patch.partition_bytes_max),
                    );
                }
                assert_eq!(frame, out, "the fast way and the slow way write the same");
            }
        }
    }
}

#[test]
fn keeps_exactly_the_partitions_asked_for() {
    let mut random = Random::new(13);
    for version in 4..=18 {
        for _ in 0..100 {
            let theirs = random_request(&mut random, version);
            let frame = request_frame(version, &theirs);
            let header = RequestHeader::parse(&frame).unwrap();
            let ours = FetchRequest::parse(&frame, &header).unwrap();
            let mut out = Vec::new();
            let keep = |topic: TopicKey<'_>, index: i32| {
                let size = match topic {
                    TopicKey::Name(name) => name.len(),
                    TopicKey::Id(id) => usize::from(id[0]),
                };
                (size + index as usize).is_multiple_of(2)
            };
            ours.keep_topics(
                &FetchPatch::UNLIMITED,
                |topic, partition| keep(topic.key, partition.index),
                &mut out,
            );
            let mut expected = sessionless(theirs);
            for topic in &mut expected.topics {
                let (name, id) = (topic.topic.clone(), topic.topic_id);
                topic
                    .partitions
                    .retain(|partition| keep(key(version, &name, id), partition.partition));
            }
            expected.topics.retain(|topic| !topic.partitions.is_empty());
            assert_eq!(decode_request(&out), expected);
        }
    }
}

#[test]
fn agrees_with_the_table_driven_walk_on_mutated_requests() {
    let mut random = Random::new(14);
    for version in 4..=18 {
        let frame = request_frame(version, &random_request(&mut random, version));
        let at = RequestHeader::parse(&frame).unwrap().body_at;
        torture(&mut random, &frame[at..], 3_000, |body| {
            let frame = [&frame[..at], body].concat();
            let header = RequestHeader::parse(&frame).unwrap();
            let ours = FetchRequest::parse(&frame, &header);
            let walked = shape::check_request(1, version, body);
            // The walk also looks into the one tagged field that is defined, which the view only leaves out.
            assert!(walked.is_err() || ours.is_ok(), "{ours:?} {walked:?}");
            if let Ok(ours) = &ours {
                assert!(
                    walked.is_ok() || ours.needs_rewrite(),
                    "{ours:?} {walked:?}"
                );
                let partitions: usize = ours.topics().map(|topic| topic.partitions().count()).sum();
                assert_eq!(
                    ours.keep_topics(&FetchPatch::UNLIMITED, |_, _| true, &mut Vec::new()),
                    partitions
                );
            }
            ours.is_ok()
        });
    }
}

#[test]
fn reads_responses_of_every_version() {
    let mut random = Random::new(15);
    for version in 4..=18 {
        for _ in 0..50 {
            let theirs = random_response(&mut random, version);
            let mut frame = response_frame(version, &theirs);
            let ours = FetchResponse::parse(&frame, version).unwrap();
            assert_eq!(
                (ours.correlation_id, ours.session_id),
                (5, theirs.session_id)
            );
            for (topic, theirs) in ours.topics().zip(&theirs.responses) {
                assert_eq!(topic.key, key(version, &theirs.topic, theirs.topic_id));
                assert_eq!(topic.partitions().count(), theirs.partitions.len());
                for (partition, theirs) in topic.partitions().zip(&theirs.partitions) {
                    assert_eq!(
                        (
                            partition.index,
                            partition.error.0,
                            partition.high_watermark,
                            partition.last_stable_offset
                        ),
                        (
                            theirs.partition_index,
                            theirs.error_code,
                            theirs.high_watermark,
                            theirs.last_stable_offset
                        )
                    );
                    assert_eq!(
                        partition.preferred_read_replica,
                        theirs.preferred_read_replica.0
                    );
                    assert_eq!(
                        partition.aborted_count,
                        theirs.aborted_transactions.as_ref().map(Vec::len)
                    );
                    assert_eq!(ours.records(&partition), theirs.records.as_deref());
                }
            }
            if let Some(at) = ours.session_id_at {
                fetch_response::clear_session_id(&mut frame, at);
                let mut expected = theirs;
                expected.session_id = 0;
                assert_eq!(decode_response(&frame, version), expected);
            }
        }
        let frame = response_frame(version, &random_response(&mut random, version));
        torture(&mut random, &frame, 2_000, |frame| {
            FetchResponse::parse(frame, version).is_ok()
        });
    }
}

#[test]
fn rebuilds_with_other_records_whatever_their_length() {
    let mut random = Random::new(16);
    for version in 4..=18 {
        for _ in 0..50 {
            let theirs = random_response(&mut random, version);
            let frame = response_frame(version, &theirs);
            let ours = FetchResponse::parse(&frame, version).unwrap();
            let verdict = |records: &[u8]| match records.first().map_or(0, |first| first % 3) {
                0 => (RecordsVerdict::Keep, records.to_vec()),
                1 => (
                    RecordsVerdict::Replaced,
                    records.iter().chain(records).map(|byte| !byte).collect(),
                ),
                _ => (
                    RecordsVerdict::Error(ErrorCode::CORRUPT_MESSAGE),
                    Vec::new(),
                ),
            };
            let mut out = b"before".to_vec();
            ours.rebuild(
                |_, _, records, out| {
                    let (verdict, replacement) = verdict(records);
                    out.extend_from_slice(&replacement);
                    verdict
                },
                &mut out,
            );
            let mut expected = theirs;
            expected.session_id = 0;
            for partition in expected
                .responses
                .iter_mut()
                .flat_map(|topic| &mut topic.partitions)
            {
                let Some(records) = partition
                    .records
                    .clone()
                    .filter(|records| !records.is_empty())
                else {
                    continue;
                };
                match verdict(&records) {
                    (RecordsVerdict::Error(error), _) => {
                        let mut denied = PartitionData::default();
                        denied.partition_index = partition.partition_index;
                        denied.error_code = error.0;
                        denied.high_watermark = -1;
                        denied.aborted_transactions = Some(Vec::new());
                        denied.records = Some(Bytes::new());
                        *partition = denied;
                    }
                    (_, replacement) => partition.records = Some(replacement.into()),
                }
            }
            assert_eq!(decode_response(&out[6..], version), expected);
        }
    }
}

#[test]
fn merges_denials_so_that_the_partitions_match_the_request() {
    for version in 4..=18 {
        let mut theirs = TheirResponse::default();
        for (name, index) in [("b", 0), ("a", 2), ("a", 0)] {
            let mut partition = PartitionData::default();
            partition.partition_index = index;
            partition.high_watermark = 100 + i64::from(index);
            partition.records = Some(Bytes::from_static(b"records"));
            let mut topic = FetchableTopicResponse::default();
            (topic.topic, topic.topic_id) = named(version, name);
            topic.partitions.push(partition);
            theirs.responses.push(topic);
        }
        let frame = response_frame(version, &theirs);
        let broker = FetchResponse::parse(&frame, version).unwrap();
        let denial = Denial {
            error: ErrorCode::TOPIC_AUTHORIZATION_FAILED,
            message: None,
        };
        let named = |name| named(version, name);
        let [a, b] = ["a", "b"].map(named);
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
            entry("b", 0, None),
            entry("b", 1, None),
        ];
        let mut out = Vec::new();
        let masked = key(version, &b.0, b.1);
        let mask_b = |topic: TopicKey<'_>, _: &_, _: &[u8], out: &mut Vec<u8>| {
            if topic != masked {
                return RecordsVerdict::Keep;
            }
            out.extend_from_slice(b"masked");
            RecordsVerdict::Replaced
        };
        fetch_response::merge(version, 9, 0, Some(&broker), &entries, mask_b, &mut out);
        let merged = decode_response(&out, version);
        let flat: Vec<_> = merged
            .responses
            .iter()
            .flat_map(|topic| {
                topic.partitions.iter().map(|partition| {
                    let records = partition.records.as_deref().unwrap();
                    (
                        (topic.topic.clone(), topic.topic_id),
                        partition.partition_index,
                        partition.error_code,
                        records,
                    )
                })
            })
            .collect();
        assert_eq!(
            flat,
            [
                (a.clone(), 0, 0, &b"records"[..]),
                (a.clone(), 1, 29, b""),
                (a.clone(), 2, 0, b"records"),
                (b.clone(), 0, 0, b"masked"),
                (b.clone(), 1, -1, b""),
            ]
        );
        assert_eq!(merged.responses[0].partitions[1].high_watermark, -1);
        assert_eq!(
            merged.responses[0].partitions[1].aborted_transactions,
            Some(Vec::new())
        );

        let mut denied = Vec::new();
        let keep = fetch_response::keep_records;
        fetch_response::merge(version, 9, 7, None, &entries[1..2], keep, &mut denied);
        assert_eq!(
            decode_response(&denied, version).responses[0].partitions[0].error_code,
            29
        );

        if version >= 7 {
            let mut failed = TheirResponse::default();
            failed.error_code = 70;
            let frame = response_frame(version, &failed);
            let broker = FetchResponse::parse(&frame, version).unwrap();
            let mut out = Vec::new();
            fetch_response::merge(version, 9, 0, Some(&broker), &entries, keep, &mut out);
            let merged = decode_response(&out, version);
            assert_eq!((merged.error_code, merged.responses.len()), (70, 0));
        }
    }
}
