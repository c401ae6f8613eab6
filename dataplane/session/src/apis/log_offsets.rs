//! Offsets of partitions: ListOffsets (2), OffsetForLeaderEpoch (23).

use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
};
use sluice_policy::Operation;

use super::{Asker, ColdApi, Verdict, code};

/// An ordinary consumer; anything else shows a follower's view, past the high watermark.
const REPLICA_CONSUMER: i32 = -1;
const OFFSET_UNKNOWN: i64 = -1;

pub(crate) struct ListOffsets;

impl ColdApi for ListOffsets {
    type Request = ListOffsetsRequest;
    type Response = ListOffsetsResponse;
    type Pending = Vec<ListOffsetsTopicResponse>;

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut ListOffsetsRequest,
    ) -> Verdict<Self::Pending, ListOffsetsResponse> {
        request.replica_id = REPLICA_CONSUMER.into();
        let mut denied = Vec::new();
        request.topics.retain(|topic| {
            if ask.topic(Operation::Describe, &topic.name).is_ok() {
                return true;
            }
            let mut refusal = ListOffsetsTopicResponse::default();
            refusal.name = topic.name.clone();
            for partition in &topic.partitions {
                let mut answer = ListOffsetsPartitionResponse::default();
                answer.partition_index = partition.partition_index;
                answer.error_code = code::TOPIC_AUTHORIZATION_FAILED;
                answer.timestamp = OFFSET_UNKNOWN;
                answer.offset = OFFSET_UNKNOWN;
                refusal.partitions.push(answer);
            }
            denied.push(refusal);
            false
        });
        if request.topics.is_empty() && !denied.is_empty() {
            let mut response = ListOffsetsResponse::default();
            response.topics = denied;
            return Verdict::Answer(response);
        }
        Verdict::Forward(denied)
    }

    fn answer(
        _: &mut Asker<'_>,
        _version: i16,
        denied: Self::Pending,
        response: &mut ListOffsetsResponse,
    ) {
        response.topics.extend(denied);
    }
}

pub(crate) struct OffsetForLeaderEpoch;

impl ColdApi for OffsetForLeaderEpoch {
    type Request = OffsetForLeaderEpochRequest;
    type Response = OffsetForLeaderEpochResponse;
    type Pending = Vec<OffsetForLeaderTopicResult>;

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut OffsetForLeaderEpochRequest,
    ) -> Verdict<Self::Pending, OffsetForLeaderEpochResponse> {
        request.replica_id = REPLICA_CONSUMER.into();
        let mut denied = Vec::new();
        request.topics.retain(|topic| {
            if ask.topic(Operation::Describe, &topic.topic).is_ok() {
                return true;
            }
            let mut refusal = OffsetForLeaderTopicResult::default();
            refusal.topic = topic.topic.clone();
            for partition in &topic.partitions {
                let mut answer = EpochEndOffset::default();
                answer.partition = partition.partition;
                answer.error_code = code::TOPIC_AUTHORIZATION_FAILED;
                refusal.partitions.push(answer);
            }
            denied.push(refusal);
            false
        });
        if request.topics.is_empty() && !denied.is_empty() {
            let mut response = OffsetForLeaderEpochResponse::default();
            response.topics = denied;
            return Verdict::Answer(response);
        }
        Verdict::Forward(denied)
    }

    fn answer(
        _: &mut Asker<'_>,
        _version: i16,
        denied: Self::Pending,
        response: &mut OffsetForLeaderEpochResponse,
    ) {
        response.topics.extend(denied);
    }
}
