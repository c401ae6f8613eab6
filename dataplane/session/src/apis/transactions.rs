//! Producers and transactions: InitProducerId (22), AddPartitionsToTxn (24), AddOffsetsToTxn (25), EndTxn (26),
//! DescribeProducers (61), DescribeTransactions (65), ListTransactions (66).

use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, TopicResponse as ProducersOfTopic,
};
use kafka_protocol::messages::describe_transactions_response::TransactionState;
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse, DescribeProducersRequest, DescribeProducersResponse,
    DescribeTransactionsRequest, DescribeTransactionsResponse, EndTxnRequest, EndTxnResponse,
    InitProducerIdRequest, InitProducerIdResponse, ListTransactionsRequest,
    ListTransactionsResponse,
};
use sluice_policy::Operation;

use super::{Asker, ColdApi, Verdict, code, names};
use crate::decide::{PRODUCER_ID_NOT_OWNED, PRODUCER_IDS_FULL};
use crate::producer_ids::Claim;

pub(crate) struct InitProducerId;

impl ColdApi for InitProducerId {
    type Request = InitProducerIdRequest;
    type Response = InitProducerIdResponse;
    type Pending = ();

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut InitProducerIdRequest,
    ) -> Verdict<(), InitProducerIdResponse> {
        let error = match &request.transactional_id {
            Some(id) if ask.transactional_id(Operation::Write, id).is_err() => {
                code::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
            }
            None if ask.idempotent_write().is_err() => code::CLUSTER_AUTHORIZATION_FAILED,
            // A caller that names a producer id continues that producer: only its owner may.
            _ if request.producer_id.0 >= 0 && !continues(ask, request.producer_id.0) => {
                code::INVALID_PRODUCER_ID_MAPPING
            }
            _ => return Verdict::Forward(()),
        };
        let mut response = InitProducerIdResponse::default();
        response.error_code = error;
        response.producer_id = (-1).into();
        response.producer_epoch = -1;
        Verdict::Answer(response)
    }

    fn answer(ask: &mut Asker<'_>, _version: i16, (): (), response: &mut InitProducerIdResponse) {
        if response.error_code == code::NONE {
            ask.learn_producer_id(response.producer_id.0);
        }
    }
}

/// Whether the producer id is the caller's own; recorded if not.
fn continues(ask: &mut Asker<'_>, producer_id: i64) -> bool {
    let reason = match ask.claim_producer_id(producer_id) {
        Claim::Owned => return true,
        Claim::NoRoom => PRODUCER_IDS_FULL,
        _ => PRODUCER_ID_NOT_OWNED,
    };
    ask.denied_continuation(producer_id, reason);
    false
}

pub(crate) struct AddPartitionsToTxn;

impl ColdApi for AddPartitionsToTxn {
    type Request = AddPartitionsToTxnRequest;
    type Response = AddPartitionsToTxnResponse;
    type Pending = ();

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut AddPartitionsToTxnRequest,
    ) -> Verdict<(), AddPartitionsToTxnResponse> {
        let id_denied = ask
            .transactional_id(Operation::Write, &request.v3_and_below_transactional_id)
            .is_err();
        let denied: Vec<bool> = request
            .v3_and_below_topics
            .iter()
            .map(|topic| ask.topic(Operation::Write, &topic.name).is_err())
            .collect();
        if !id_denied && !denied.contains(&true) {
            return Verdict::Forward(());
        }
        // As a broker does: one denied partition and nothing is added.
        let mut response = AddPartitionsToTxnResponse::default();
        for (topic, denied) in request.v3_and_below_topics.iter().zip(denied) {
            let mut result = AddPartitionsToTxnTopicResult::default();
            result.name = topic.name.clone();
            for partition in &topic.partitions {
                let mut answer = AddPartitionsToTxnPartitionResult::default();
                answer.partition_index = *partition;
                answer.partition_error_code = match (id_denied, denied) {
                    (true, _) => code::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
                    (false, true) => code::TOPIC_AUTHORIZATION_FAILED,
                    (false, false) => code::OPERATION_NOT_ATTEMPTED,
                };
                result.results_by_partition.push(answer);
            }
            response.results_by_topic_v3_and_below.push(result);
        }
        Verdict::Answer(response)
    }

    fn answer(_: &mut Asker<'_>, _version: i16, (): (), _: &mut AddPartitionsToTxnResponse) {}
}

pub(crate) struct AddOffsetsToTxn;

impl ColdApi for AddOffsetsToTxn {
    type Request = AddOffsetsToTxnRequest;
    type Response = AddOffsetsToTxnResponse;
    type Pending = ();

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut AddOffsetsToTxnRequest,
    ) -> Verdict<(), AddOffsetsToTxnResponse> {
        let mut response = AddOffsetsToTxnResponse::default();
        response.error_code = if ask
            .transactional_id(Operation::Write, &request.transactional_id)
            .is_err()
        {
            code::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        } else if ask.group(Operation::Read, &request.group_id).is_err() {
            code::GROUP_AUTHORIZATION_FAILED
        } else {
            return Verdict::Forward(());
        };
        Verdict::Answer(response)
    }

    fn answer(_: &mut Asker<'_>, _version: i16, (): (), _: &mut AddOffsetsToTxnResponse) {}
}

pub(crate) struct EndTxn;

impl ColdApi for EndTxn {
    type Request = EndTxnRequest;
    type Response = EndTxnResponse;
    type Pending = ();

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut EndTxnRequest,
    ) -> Verdict<(), EndTxnResponse> {
        if ask
            .transactional_id(Operation::Write, &request.transactional_id)
            .is_ok()
        {
            return Verdict::Forward(());
        }
        let mut response = EndTxnResponse::default();
        response.error_code = code::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
        Verdict::Answer(response)
    }

    fn answer(ask: &mut Asker<'_>, version: i16, (): (), response: &mut EndTxnResponse) {
        if version >= 5 && response.error_code == code::NONE && response.producer_id.0 >= 0 {
            ask.learn_producer_id(response.producer_id.0);
        }
    }
}

pub(crate) struct DescribeProducers;

impl ColdApi for DescribeProducers {
    type Request = DescribeProducersRequest;
    type Response = DescribeProducersResponse;
    type Pending = Vec<ProducersOfTopic>;

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut DescribeProducersRequest,
    ) -> Verdict<Self::Pending, DescribeProducersResponse> {
        let mut denied = Vec::new();
        request.topics.retain(|topic| {
            let Err(denial) = ask.topic(Operation::Read, &topic.name) else {
                return true;
            };
            let mut refusal = ProducersOfTopic::default();
            refusal.name = topic.name.clone();
            for partition in &topic.partition_indexes {
                let mut answer = PartitionResponse::default();
                answer.partition_index = *partition;
                answer.error_code = code::TOPIC_AUTHORIZATION_FAILED;
                answer.error_message = Some(names::text(&denial.message()));
                refusal.partitions.push(answer);
            }
            denied.push(refusal);
            false
        });
        if request.topics.is_empty() && !denied.is_empty() {
            let mut response = DescribeProducersResponse::default();
            response.topics = denied;
            return Verdict::Answer(response);
        }
        Verdict::Forward(denied)
    }

    fn answer(
        _: &mut Asker<'_>,
        _version: i16,
        denied: Self::Pending,
        response: &mut DescribeProducersResponse,
    ) {
        response.topics.extend(denied);
    }
}

pub(crate) struct DescribeTransactions;

impl ColdApi for DescribeTransactions {
    type Request = DescribeTransactionsRequest;
    type Response = DescribeTransactionsResponse;
    type Pending = Vec<TransactionState>;

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut DescribeTransactionsRequest,
    ) -> Verdict<Self::Pending, DescribeTransactionsResponse> {
        let mut denied = Vec::new();
        request.transactional_ids.retain(|id| {
            if ask.transactional_id(Operation::Describe, id).is_ok() {
                return true;
            }
            let mut refusal = TransactionState::default();
            refusal.transactional_id = id.clone();
            refusal.error_code = code::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
            denied.push(refusal);
            false
        });
        if request.transactional_ids.is_empty() && !denied.is_empty() {
            let mut response = DescribeTransactionsResponse::default();
            response.transaction_states = denied;
            return Verdict::Answer(response);
        }
        Verdict::Forward(denied)
    }

    fn answer(
        ask: &mut Asker<'_>,
        _version: i16,
        denied: Self::Pending,
        response: &mut DescribeTransactionsResponse,
    ) {
        for state in &mut response.transaction_states {
            state
                .topics
                .retain(|topic| ask.may_describe_topic(&topic.topic));
        }
        response.transaction_states.extend(denied);
    }
}

/// Names nothing; the answer is filtered.
pub(crate) struct ListTransactions;

impl ColdApi for ListTransactions {
    type Request = ListTransactionsRequest;
    type Response = ListTransactionsResponse;
    type Pending = ();

    fn decide(
        _: &mut Asker<'_>,
        _version: i16,
        _: &mut ListTransactionsRequest,
    ) -> Verdict<(), ListTransactionsResponse> {
        Verdict::Forward(())
    }

    fn answer(ask: &mut Asker<'_>, _version: i16, (): (), response: &mut ListTransactionsResponse) {
        response
            .transaction_states
            .retain(|state| ask.may_describe_transactional_id(&state.transactional_id));
    }
}
