//! Fetch responses as the reference encoder writes them.
#![allow(dead_code, unreachable_pub)] // each test binary uses its own part

use bytes::Bytes;
use kafka_protocol::messages::FetchResponse as TheirResponse;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData,
};
use kafka_protocol::protocol::Decodable;
use sluice_kafka::messages::encode_response_frame;

use crate::random::{Random, named};

/// Topics, partitions and nulls at random; the records are garbage.
pub fn random_response(random: &mut Random, version: i16) -> TheirResponse {
    let mut response = TheirResponse::default();
    response.throttle_time_ms = random.below(1000) as i32;
    if version >= 7 {
        response.session_id = random.below(1000) as i32;
    }
    for topic_number in 0..random.below(4) {
        let mut topic = FetchableTopicResponse::default();
        (topic.topic, topic.topic_id) = named(version, &format!("topic-{topic_number}"));
        for index in 0..random.below(4) {
            let mut partition = PartitionData::default();
            partition.partition_index = index as i32;
            partition.error_code = random.below(3) as i16;
            partition.high_watermark = random.next() as i64;
            partition.last_stable_offset = random.next() as i64;
            if version >= 5 {
                partition.log_start_offset = random.next() as i64;
            }
            partition.aborted_transactions = random.chance(2).then(|| {
                (0..random.below(3))
                    .map(|_| {
                        let mut aborted = AbortedTransaction::default();
                        aborted.first_offset = random.next() as i64;
                        aborted
                    })
                    .collect()
            });
            if version >= 11 {
                partition.preferred_read_replica = (random.below(3) as i32 - 1).into();
            }
            if version >= 12 && random.chance(2) {
                let mut diverging = EpochEndOffset::default();
                diverging.epoch = 4;
                partition.diverging_epoch = diverging;
                let mut leader = LeaderIdAndEpoch::default();
                leader.leader_id = 2.into();
                partition.current_leader = leader;
            }
            let count = [0, 5, 126, 127, 128, 500][random.below(6)];
            partition.records = (!random.chance(5)).then(|| Bytes::from(random.bytes(count)));
            topic.partitions.push(partition);
        }
        response.responses.push(topic);
    }
    response
}

pub fn response_frame(version: i16, response: &TheirResponse) -> Vec<u8> {
    let mut frame = Vec::new();
    encode_response_frame(1, version, 5, response, &mut frame).unwrap();
    frame
}

/// What the reference decoder sees in a complete frame.
pub fn decode_response(frame: &[u8], version: i16) -> TheirResponse {
    assert_eq!(
        frame.len() - 4,
        i32::from_be_bytes(frame[..4].try_into().unwrap()) as usize
    );
    let mut body = Bytes::copy_from_slice(&frame[if version >= 12 { 9 } else { 8 }..]);
    let response = TheirResponse::decode(&mut body, version).unwrap();
    assert!(body.is_empty());
    response
}
