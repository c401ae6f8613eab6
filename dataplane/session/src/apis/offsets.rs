//! Offsets of groups: OffsetCommit (8), OffsetFetch (9), OffsetDelete (47), TxnOffsetCommit (28).

use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    OffsetFetchRequest, OffsetFetchResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use sluice_policy::Operation;

use super::{Asker, ColdApi, Verdict, code};

pub(crate) struct OffsetCommit;

impl ColdApi for OffsetCommit {
    type Request = OffsetCommitRequest;
    type Response = OffsetCommitResponse;
    type Pending = Vec<OffsetCommitResponseTopic>;

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut OffsetCommitRequest,
    ) -> Verdict<Self::Pending, OffsetCommitResponse> {
        let group_denied = ask.group(Operation::Read, &request.group_id).is_err();
        let mut denied = Vec::new();
        request.topics.retain(|topic| {
            let error = if group_denied {
                code::GROUP_AUTHORIZATION_FAILED
            } else if ask.topic(Operation::Read, &topic.name).is_err() {
                code::TOPIC_AUTHORIZATION_FAILED
            } else {
                return true;
            };
            let mut refusal = OffsetCommitResponseTopic::default();
            refusal.name = topic.name.clone();
            for partition in &topic.partitions {
                let mut answer = OffsetCommitResponsePartition::default();
                answer.partition_index = partition.partition_index;
                answer.error_code = error;
                refusal.partitions.push(answer);
            }
            denied.push(refusal);
            false
        });
        if group_denied || (request.topics.is_empty() && !denied.is_empty()) {
            let mut response = OffsetCommitResponse::default();
            response.topics = denied;
            return Verdict::Answer(response);
        }
        Verdict::Forward(denied)
    }

    fn answer(
        _: &mut Asker<'_>,
        _version: i16,
        denied: Self::Pending,
        response: &mut OffsetCommitResponse,
    ) {
        response.topics.extend(denied);
    }
}

pub(crate) struct OffsetFetch;

/// Denied topics of the single group (v1-7), and of each group by its place (v8 and later), with denied groups whole.
#[derive(Default)]
pub(crate) struct OffsetFetchPending {
    topics: Vec<OffsetFetchResponseTopic>,
    group_topics: Vec<(String, Vec<OffsetFetchResponseTopics>)>,
    groups: Vec<OffsetFetchResponseGroup>,
}

const OFFSET_UNKNOWN: i64 = -1;

impl ColdApi for OffsetFetch {
    type Request = OffsetFetchRequest;
    type Response = OffsetFetchResponse;
    type Pending = OffsetFetchPending;

    fn decide(
        ask: &mut Asker<'_>,
        version: i16,
        request: &mut OffsetFetchRequest,
    ) -> Verdict<OffsetFetchPending, OffsetFetchResponse> {
        if version < 8 {
            decide_one(ask, version, request)
        } else {
            decide_groups(ask, request)
        }
    }

    fn answer(
        ask: &mut Asker<'_>,
        version: i16,
        mut pending: OffsetFetchPending,
        response: &mut OffsetFetchResponse,
    ) {
        if version < 8 {
            response
                .topics
                .retain(|topic| ask.may_describe_topic(&topic.name));
            response.topics.extend(pending.topics);
            return;
        }
        for group in &mut response.groups {
            group
                .topics
                .retain(|topic| ask.may_describe_topic(&topic.name));
        }
        // A group may be asked for twice: each answer gets the denials of its own question.
        for group in &mut response.groups {
            let asked = pending
                .group_topics
                .iter()
                .position(|(name, _)| *group.group_id.0 == **name);
            if let Some(at) = asked {
                group.topics.extend(pending.group_topics.remove(at).1);
            }
        }
        response.groups.extend(pending.groups);
    }
}

fn decide_one(
    ask: &mut Asker<'_>,
    version: i16,
    request: &mut OffsetFetchRequest,
) -> Verdict<OffsetFetchPending, OffsetFetchResponse> {
    let group_denied = ask.group(Operation::Describe, &request.group_id).is_err();
    let mut pending = OffsetFetchPending::default();
    if let Some(topics) = &mut request.topics {
        topics.retain(|topic| {
            let error = if group_denied {
                code::GROUP_AUTHORIZATION_FAILED
            } else if ask.topic(Operation::Describe, &topic.name).is_err() {
                code::TOPIC_AUTHORIZATION_FAILED
            } else {
                return true;
            };
            let mut refusal = OffsetFetchResponseTopic::default();
            refusal.name = topic.name.clone();
            for index in &topic.partition_indexes {
                let mut partition = OffsetFetchResponsePartition::default();
                partition.partition_index = *index;
                partition.committed_offset = OFFSET_UNKNOWN;
                partition.error_code = error;
                refusal.partitions.push(partition);
            }
            pending.topics.push(refusal);
            false
        });
    }
    let nothing_left =
        request.topics.as_ref().is_some_and(Vec::is_empty) && !pending.topics.is_empty();
    if group_denied || nothing_left {
        let mut response = OffsetFetchResponse::default();
        if group_denied && version >= 2 {
            response.error_code = code::GROUP_AUTHORIZATION_FAILED;
        } else {
            response.topics = pending.topics;
        }
        return Verdict::Answer(response);
    }
    Verdict::Forward(pending)
}

fn decide_groups(
    ask: &mut Asker<'_>,
    request: &mut OffsetFetchRequest,
) -> Verdict<OffsetFetchPending, OffsetFetchResponse> {
    let mut pending = OffsetFetchPending::default();
    request.groups.retain_mut(|group| {
        if ask.group(Operation::Describe, &group.group_id).is_err() {
            let mut refusal = OffsetFetchResponseGroup::default();
            refusal.group_id = group.group_id.clone();
            refusal.error_code = code::GROUP_AUTHORIZATION_FAILED;
            pending.groups.push(refusal);
            return false;
        }
        let mut denied = Vec::new();
        if let Some(topics) = &mut group.topics {
            topics.retain(|topic| {
                if ask.topic(Operation::Describe, &topic.name).is_ok() {
                    return true;
                }
                let mut refusal = OffsetFetchResponseTopics::default();
                refusal.name = topic.name.clone();
                for index in &topic.partition_indexes {
                    let mut partition = OffsetFetchResponsePartitions::default();
                    partition.partition_index = *index;
                    partition.committed_offset = OFFSET_UNKNOWN;
                    partition.error_code = code::TOPIC_AUTHORIZATION_FAILED;
                    refusal.partitions.push(partition);
                }
                denied.push(refusal);
                false
            });
        }
        pending
            .group_topics
            .push((group.group_id.to_string(), denied));
        true
    });
    if request.groups.is_empty() {
        let mut response = OffsetFetchResponse::default();
        response.groups = pending.groups;
        return Verdict::Answer(response);
    }
    Verdict::Forward(pending)
}

pub(crate) struct OffsetDelete;

impl ColdApi for OffsetDelete {
    type Request = OffsetDeleteRequest;
    type Response = OffsetDeleteResponse;
    type Pending = Vec<OffsetDeleteResponseTopic>;

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut OffsetDeleteRequest,
    ) -> Verdict<Self::Pending, OffsetDeleteResponse> {
        if ask.group(Operation::Delete, &request.group_id).is_err() {
            let mut response = OffsetDeleteResponse::default();
            response.error_code = code::GROUP_AUTHORIZATION_FAILED;
            return Verdict::Answer(response);
        }
        let mut denied = Vec::new();
        request.topics.retain(|topic| {
            if ask.topic(Operation::Read, &topic.name).is_ok() {
                return true;
            }
            let mut refusal = OffsetDeleteResponseTopic::default();
            refusal.name = topic.name.clone();
            for partition in &topic.partitions {
                let mut answer = OffsetDeleteResponsePartition::default();
                answer.partition_index = partition.partition_index;
                answer.error_code = code::TOPIC_AUTHORIZATION_FAILED;
                refusal.partitions.push(answer);
            }
            denied.push(refusal);
            false
        });
        Verdict::Forward(denied)
    }

    fn answer(
        _: &mut Asker<'_>,
        _version: i16,
        denied: Self::Pending,
        response: &mut OffsetDeleteResponse,
    ) {
        // An error of the group as a whole names no topics.
        if response.error_code == code::NONE {
            response.topics.extend(denied);
        }
    }
}

pub(crate) struct TxnOffsetCommit;

impl ColdApi for TxnOffsetCommit {
    type Request = TxnOffsetCommitRequest;
    type Response = TxnOffsetCommitResponse;
    type Pending = Vec<TxnOffsetCommitResponseTopic>;

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut TxnOffsetCommitRequest,
    ) -> Verdict<Self::Pending, TxnOffsetCommitResponse> {
        let whole = if ask
            .transactional_id(Operation::Write, &request.transactional_id)
            .is_err()
        {
            Some(code::TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
        } else if ask.group(Operation::Read, &request.group_id).is_err() {
            Some(code::GROUP_AUTHORIZATION_FAILED)
        } else {
            None
        };
        let mut denied = Vec::new();
        request.topics.retain(|topic| {
            let error = match whole {
                Some(error) => error,
                None if ask.topic(Operation::Read, &topic.name).is_err() => {
                    code::TOPIC_AUTHORIZATION_FAILED
                }
                None => return true,
            };
            let mut refusal = TxnOffsetCommitResponseTopic::default();
            refusal.name = topic.name.clone();
            for partition in &topic.partitions {
                let mut answer = TxnOffsetCommitResponsePartition::default();
                answer.partition_index = partition.partition_index;
                answer.error_code = error;
                refusal.partitions.push(answer);
            }
            denied.push(refusal);
            false
        });
        if whole.is_some() || (request.topics.is_empty() && !denied.is_empty()) {
            let mut response = TxnOffsetCommitResponse::default();
            response.topics = denied;
            return Verdict::Answer(response);
        }
        Verdict::Forward(denied)
    }

    fn answer(
        _: &mut Asker<'_>,
        _version: i16,
        denied: Self::Pending,
        response: &mut TxnOffsetCommitResponse,
    ) {
        response.topics.extend(denied);
    }
}
