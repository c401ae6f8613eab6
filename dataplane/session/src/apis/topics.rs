//! Topics as objects: CreateTopics (19), DeleteTopics (20), DeleteRecords (21), CreatePartitions (37),
//! DescribeTopicPartitions (75). Deletion and its side doors are closed here for immutable topics.

use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::describe_topic_partitions_response::DescribeTopicPartitionsResponseTopic;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
};
use sluice_policy::{Operation, TopicChange};

use super::{Asker, ColdApi, Denial, OPERATIONS_UNKNOWN, Verdict, code, names};

/// The error of a denied change: the policy's own where the client can be told why, else Kafka's authorization error.
fn change_error(denial: &Denial, carries_message: bool) -> i16 {
    if denial.is_immutable() && carries_message {
        code::POLICY_VIOLATION
    } else {
        code::TOPIC_AUTHORIZATION_FAILED
    }
}

pub(crate) struct CreateTopics;

impl ColdApi for CreateTopics {
    type Request = CreateTopicsRequest;
    type Response = CreateTopicsResponse;
    /// The denials, and whether the request only asks what would be.
    type Pending = (Vec<CreatableTopicResult>, bool);

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut CreateTopicsRequest,
    ) -> Verdict<Self::Pending, CreateTopicsResponse> {
        let mut denied = Vec::new();
        request.topics.retain(|topic| {
            let configs: Vec<(&str, Option<&str>)> = topic
                .configs
                .iter()
                .map(|config| (&*config.name, config.value.as_deref()))
                .collect();
            let denial = match ask.topic(Operation::Create, &topic.name) {
                Err(denial) => denial,
                Ok(()) => match ask.topic_change(
                    Operation::Create,
                    &topic.name,
                    &TopicChange::Create { configs: &configs },
                ) {
                    Err(denial) => denial,
                    Ok(()) => return true,
                },
            };
            let mut refusal = CreatableTopicResult::default();
            refusal.name = topic.name.clone();
            refusal.error_code = change_error(&denial, true);
            refusal.error_message = Some(names::text(&denial.message()));
            refusal.num_partitions = -1;
            refusal.replication_factor = -1;
            denied.push(refusal);
            false
        });
        if request.topics.is_empty() {
            let mut response = CreateTopicsResponse::default();
            response.topics = denied;
            return Verdict::Answer(response);
        }
        Verdict::Forward((denied, request.validate_only))
    }

    fn answer(
        ask: &mut Asker<'_>,
        version: i16,
        (denied, only_validated): Self::Pending,
        response: &mut CreateTopicsResponse,
    ) {
        for topic in &mut response.topics {
            // A topic that was not made has no id, whatever the answer says.
            if topic.error_code == code::NONE && !only_validated {
                ask.learn_topic_id(topic.topic_id, &topic.name);
            }
            ask.outcome(&topic.name, topic.error_code);
            // KIP-525: what the topic came to be is a setting, for who may see settings.
            if version >= 5
                && topic.error_code == code::NONE
                && !ask.may_describe_configs(&topic.name)
            {
                topic.topic_config_error_code = code::TOPIC_AUTHORIZATION_FAILED;
                topic.num_partitions = -1;
                topic.replication_factor = -1;
                topic.configs = Some(Vec::new());
            }
        }
        response.topics.extend(denied);
    }
}

pub(crate) struct DeleteTopics;

impl ColdApi for DeleteTopics {
    type Request = DeleteTopicsRequest;
    type Response = DeleteTopicsResponse;
    type Pending = Vec<DeletableTopicResult>;

    fn decide(
        ask: &mut Asker<'_>,
        version: i16,
        request: &mut DeleteTopicsRequest,
    ) -> Verdict<Self::Pending, DeleteTopicsResponse> {
        let mut denied = Vec::new();
        request
            .topic_names
            .retain(|name| match delete_denied(ask, name) {
                None => true,
                Some(denial) => {
                    let mut refusal = DeletableTopicResult::default();
                    refusal.name = Some(name.clone());
                    refusal.error_code = change_error(&denial, version >= 5);
                    refusal.error_message =
                        Some(names::text(&denial.message())).filter(|_| version >= 5);
                    denied.push(refusal);
                    false
                }
            });
        request
            .topics
            .retain(|topic| match by_name_or_id(ask, topic) {
                None => true,
                Some(refusal) => {
                    denied.push(refusal);
                    false
                }
            });
        if request.topic_names.is_empty() && request.topics.is_empty() {
            let mut response = DeleteTopicsResponse::default();
            response.responses = denied;
            return Verdict::Answer(response);
        }
        Verdict::Forward(denied)
    }

    fn answer(
        ask: &mut Asker<'_>,
        _version: i16,
        denied: Self::Pending,
        response: &mut DeleteTopicsResponse,
    ) {
        for topic in &response.responses {
            if let Some(name) = &topic.name {
                ask.outcome(name, topic.error_code);
            }
        }
        response.responses.extend(denied);
    }
}

fn delete_denied(ask: &mut Asker<'_>, name: &str) -> Option<Denial> {
    ask.topic(Operation::Delete, name)
        .and_then(|()| ask.topic_change(Operation::Delete, name, &TopicChange::Delete))
        .err()
}

/// Version 6 names a topic by name or by id. What is decided is what is forwarded: the same identifier.
fn by_name_or_id(ask: &mut Asker<'_>, topic: &DeleteTopicState) -> Option<DeletableTopicResult> {
    let mut refusal = DeletableTopicResult::default();
    refusal.name = topic.name.clone();
    refusal.topic_id = topic.topic_id;
    if topic.name.is_some() != topic.topic_id.is_nil() {
        refusal.error_code = code::INVALID_REQUEST;
        refusal.error_message = Some(names::text(
            "name a topic by its name or by its id, not both",
        ));
        return Some(refusal);
    }
    let name = match &topic.name {
        Some(name) => name.to_string(),
        None => match ask.topic_name(topic.topic_id) {
            Some(name) => name,
            None => {
                ask.unknown_topic_id(topic.topic_id);
                refusal.error_code = code::UNKNOWN_TOPIC_ID;
                refusal.error_message = Some(names::text("no topic with this id is known here"));
                return Some(refusal);
            }
        },
    };
    let denial = delete_denied(ask, &name)?;
    if ask.may_describe_topic(&name) {
        refusal.name = Some(names::topic(&name));
    }
    refusal.error_code = change_error(&denial, true);
    refusal.error_message = Some(names::text(&denial.message()));
    Some(refusal)
}

pub(crate) struct DeleteRecords;

impl ColdApi for DeleteRecords {
    type Request = DeleteRecordsRequest;
    type Response = DeleteRecordsResponse;
    type Pending = Vec<DeleteRecordsTopicResult>;

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut DeleteRecordsRequest,
    ) -> Verdict<Self::Pending, DeleteRecordsResponse> {
        let mut denied = Vec::new();
        request.topics.retain(|topic| {
            let decided = ask.topic(Operation::Delete, &topic.name).and_then(|()| {
                ask.topic_change(Operation::Delete, &topic.name, &TopicChange::DeleteRecords)
            });
            let Err(denial) = decided else { return true };
            let mut refusal = DeleteRecordsTopicResult::default();
            refusal.name = topic.name.clone();
            for partition in &topic.partitions {
                let mut answer = DeleteRecordsPartitionResult::default();
                answer.partition_index = partition.partition_index;
                answer.low_watermark = -1;
                // No message in this API, and yet the admin clients show this code as a policy's refusal.
                answer.error_code = change_error(&denial, true);
                refusal.partitions.push(answer);
            }
            denied.push(refusal);
            false
        });
        if request.topics.is_empty() {
            let mut response = DeleteRecordsResponse::default();
            response.topics = denied;
            return Verdict::Answer(response);
        }
        Verdict::Forward(denied)
    }

    fn answer(
        ask: &mut Asker<'_>,
        _version: i16,
        denied: Self::Pending,
        response: &mut DeleteRecordsResponse,
    ) {
        for topic in &response.topics {
            for partition in &topic.partitions {
                ask.outcome(&topic.name, partition.error_code);
            }
        }
        response.topics.extend(denied);
    }
}

pub(crate) struct CreatePartitions;

impl ColdApi for CreatePartitions {
    type Request = CreatePartitionsRequest;
    type Response = CreatePartitionsResponse;
    type Pending = Vec<CreatePartitionsTopicResult>;

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut CreatePartitionsRequest,
    ) -> Verdict<Self::Pending, CreatePartitionsResponse> {
        let mut denied = Vec::new();
        request.topics.retain(|topic| {
            let decided = ask.topic(Operation::Alter, &topic.name).and_then(|()| {
                ask.topic_change(
                    Operation::Alter,
                    &topic.name,
                    &TopicChange::CreatePartitions,
                )
            });
            let Err(denial) = decided else { return true };
            let mut refusal = CreatePartitionsTopicResult::default();
            refusal.name = topic.name.clone();
            refusal.error_code = change_error(&denial, true);
            refusal.error_message = Some(names::text(&denial.message()));
            denied.push(refusal);
            false
        });
        if request.topics.is_empty() {
            let mut response = CreatePartitionsResponse::default();
            response.results = denied;
            return Verdict::Answer(response);
        }
        Verdict::Forward(denied)
    }

    fn answer(
        ask: &mut Asker<'_>,
        _version: i16,
        denied: Self::Pending,
        response: &mut CreatePartitionsResponse,
    ) {
        for result in &response.results {
            ask.outcome(&result.name, result.error_code);
        }
        response.results.extend(denied);
    }
}

pub(crate) struct DescribeTopicPartitions;

pub(crate) struct PendingDescription {
    denied: Vec<DescribeTopicPartitionsResponseTopic>,
    /// The request names its topics.
    named: bool,
}

impl ColdApi for DescribeTopicPartitions {
    type Request = DescribeTopicPartitionsRequest;
    type Response = DescribeTopicPartitionsResponse;
    type Pending = PendingDescription;

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut DescribeTopicPartitionsRequest,
    ) -> Verdict<Self::Pending, DescribeTopicPartitionsResponse> {
        let mut denied = Vec::new();
        let named = !request.topics.is_empty();
        // Brokers want the cursor's topic among those that are named. It goes on from there, so what sorts before it is done.
        if named
            && let Some(cursor) = &request.cursor
            && !ask.may_describe_topic(&cursor.topic_name)
        {
            request
                .topics
                .retain(|topic| *topic.name >= *cursor.topic_name);
            request.cursor = None;
        }
        request.topics.retain(|topic| {
            if ask.topic(Operation::Describe, &topic.name).is_ok() {
                return true;
            }
            let mut refusal = DescribeTopicPartitionsResponseTopic::default();
            refusal.error_code = code::TOPIC_AUTHORIZATION_FAILED;
            refusal.name = Some(topic.name.clone());
            refusal.topic_authorized_operations = OPERATIONS_UNKNOWN;
            denied.push(refusal);
            false
        });
        // An empty list means all topics to the broker: it must not become empty on the way.
        if named && request.topics.is_empty() {
            let mut response = DescribeTopicPartitionsResponse::default();
            response.topics = denied;
            return Verdict::Answer(response);
        }
        Verdict::Forward(PendingDescription { denied, named })
    }

    fn answer(
        ask: &mut Asker<'_>,
        _version: i16,
        pending: Self::Pending,
        response: &mut DescribeTopicPartitionsResponse,
    ) {
        response.topics.retain(|topic| {
            topic
                .name
                .as_ref()
                .is_none_or(|name| ask.may_describe_topic(name))
        });
        for topic in &mut response.topics {
            if let Some(name) = &topic.name {
                ask.learn_topic_id(topic.topic_id, name);
                topic.topic_authorized_operations = ask.topic_operations(name);
            }
        }
        // In a list of all topics the cursor may name a hidden one. Brokers go on at the first topic that does not sort
        // before it, whether or not there is such a topic, so the next one that may be seen is as good a place, and
        // tells nothing: all in between would be left out anyway. A topic that is not known here yet, some seconds old,
        // is in the next list; in a cluster of more topics than are kept (`TOPIC_IDS_MAX`) this one ends here. Where the request names its topics the cursor is one of those names.
        if !pending.named
            && let Some(cursor) = &mut response.next_cursor
            && !ask.may_describe_topic(&cursor.topic_name)
        {
            match ask.describable_from(&cursor.topic_name) {
                Some(next) => {
                    cursor.topic_name = names::topic(&next);
                    cursor.partition_index = 0;
                }
                None => response.next_cursor = None,
            }
        }
        response.topics.extend(pending.denied);
    }
}
