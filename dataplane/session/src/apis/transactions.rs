//! Producers and transactions: InitProducerId (22), AddPartitionsToTxn (24), AddOffsetsToTxn (25), EndTxn (26).

use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse, EndTxnRequest, EndTxnResponse, InitProducerIdRequest,
    InitProducerIdResponse,
};
use sluice_policy::Operation;

use super::{Asker, ColdApi, Verdict, code};

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
            _ if request.producer_id.0 >= 0 && !ask.claim_producer_id(request.producer_id.0) => {
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
