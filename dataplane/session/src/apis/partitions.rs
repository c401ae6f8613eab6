//! Where partitions live, for who administers the cluster: DescribeLogDirs (35), ElectLeaders (43),
//! AlterPartitionReassignments (45), ListPartitionReassignments (46), DescribeQuorum (55).
//!
//! Kafka asks these of the cluster, not of the topics. An immutable topic withstands them all the same.

use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
    DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeQuorumRequest, DescribeQuorumResponse,
    ElectLeadersRequest, ElectLeadersResponse, ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
};
use kafka_protocol::protocol::StrBytes;
use sluice_policy::{Operation, TopicChange};

use super::{Asker, ColdApi, Verdict, code, names};

pub(crate) struct DescribeLogDirs;

impl ColdApi for DescribeLogDirs {
    type Request = DescribeLogDirsRequest;
    type Response = DescribeLogDirsResponse;
    type Pending = ();

    fn decide(
        ask: &mut Asker<'_>,
        version: i16,
        _: &mut DescribeLogDirsRequest,
    ) -> Verdict<(), DescribeLogDirsResponse> {
        if ask.cluster(Operation::Describe).is_ok() {
            return Verdict::Forward(());
        }
        let mut response = DescribeLogDirsResponse::default();
        if version >= 3 {
            response.error_code = code::CLUSTER_AUTHORIZATION_FAILED;
        }
        Verdict::Answer(response)
    }

    fn answer(_: &mut Asker<'_>, _version: i16, (): (), _: &mut DescribeLogDirsResponse) {}
}

const ELECTION_PREFERRED: i8 = 0;

pub(crate) struct ElectLeaders;

impl ColdApi for ElectLeaders {
    type Request = ElectLeadersRequest;
    type Response = ElectLeadersResponse;
    type Pending = Vec<ReplicaElectionResult>;

    fn decide(
        ask: &mut Asker<'_>,
        version: i16,
        request: &mut ElectLeadersRequest,
    ) -> Verdict<Self::Pending, ElectLeadersResponse> {
        let unclean = version >= 1 && request.election_type != ELECTION_PREFERRED;
        let refused = match ask.cluster(Operation::Alter) {
            Err(denial) => Some((code::CLUSTER_AUTHORIZATION_FAILED, denial)),
            // It would reach the immutable ones among all topics.
            Ok(()) if unclean && request.topic_partitions.is_none() => Some((
                code::POLICY_VIOLATION,
                ask.withheld("an unclean election that does not name its topics"),
            )),
            Ok(()) => None,
        };
        if let Some((error, denial)) = refused {
            let mut response = ElectLeadersResponse::default();
            if version >= 1 {
                response.error_code = error;
            }
            let message = denial.message();
            response.replica_election_results = request
                .topic_partitions
                .iter()
                .flatten()
                .map(|topic| not_elected(topic, error, &message))
                .collect();
            return Verdict::Answer(response);
        }
        let mut denied = Vec::new();
        let Some(topics) = &mut request.topic_partitions else {
            return Verdict::Forward(denied);
        };
        topics.retain(|topic| {
            let withstands = if unclean {
                ask.withstands(
                    Operation::Alter,
                    &topic.topic,
                    &TopicChange::ElectUncleanLeader,
                )
            } else {
                Ok(())
            };
            match withstands {
                Ok(()) => {
                    ask.touches(Operation::Alter, &topic.topic);
                    true
                }
                Err(denial) => {
                    denied.push(not_elected(
                        topic,
                        code::POLICY_VIOLATION,
                        &denial.message(),
                    ));
                    false
                }
            }
        });
        if topics.is_empty() && !denied.is_empty() {
            let mut response = ElectLeadersResponse::default();
            response.replica_election_results = denied;
            return Verdict::Answer(response);
        }
        Verdict::Forward(denied)
    }

    fn answer(
        ask: &mut Asker<'_>,
        _version: i16,
        denied: Self::Pending,
        response: &mut ElectLeadersResponse,
    ) {
        for topic in &response.replica_election_results {
            for partition in &topic.partition_result {
                ask.outcome(&topic.topic, partition.error_code);
            }
        }
        response.replica_election_results.extend(denied);
    }
}

fn not_elected(
    topic: &kafka_protocol::messages::elect_leaders_request::TopicPartitions,
    error: i16,
    message: &str,
) -> ReplicaElectionResult {
    let mut result = ReplicaElectionResult::default();
    result.topic = topic.topic.clone();
    for partition in &topic.partitions {
        let mut answer = PartitionResult::default();
        answer.partition_id = *partition;
        answer.error_code = error;
        answer.error_message = Some(names::text(message));
        result.partition_result.push(answer);
    }
    result
}

pub(crate) struct AlterPartitionReassignments;

impl ColdApi for AlterPartitionReassignments {
    type Request = AlterPartitionReassignmentsRequest;
    type Response = AlterPartitionReassignmentsResponse;
    type Pending = Vec<ReassignableTopicResponse>;

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut AlterPartitionReassignmentsRequest,
    ) -> Verdict<Self::Pending, AlterPartitionReassignmentsResponse> {
        let mut response = AlterPartitionReassignmentsResponse::default();
        response.allow_replication_factor_change = request.allow_replication_factor_change;
        if let Err(denial) = ask.cluster(Operation::Alter) {
            let message = denial.message();
            response.error_code = code::CLUSTER_AUTHORIZATION_FAILED;
            response.error_message = Some(names::text(&message));
            response.responses = request
                .topics
                .iter()
                .map(|topic| not_moved(topic, code::CLUSTER_AUTHORIZATION_FAILED, &message))
                .collect();
            return Verdict::Answer(response);
        }
        let mut denied = Vec::new();
        request.topics.retain(|topic| {
            // How many replicas there are is not known here, so no new set is known to be as large. A cancellation
            // (null) keeps the old one.
            let moves = topic.partitions.iter().any(|one| one.replicas.is_some());
            let withstands = if moves {
                ask.withstands(
                    Operation::Alter,
                    &topic.name,
                    &TopicChange::ReassignPartitions,
                )
            } else {
                Ok(())
            };
            match withstands {
                Ok(()) => {
                    ask.touches(Operation::Alter, &topic.name);
                    true
                }
                Err(denial) => {
                    denied.push(not_moved(topic, code::POLICY_VIOLATION, &denial.message()));
                    false
                }
            }
        });
        if request.topics.is_empty() && !denied.is_empty() {
            response.responses = denied;
            return Verdict::Answer(response);
        }
        Verdict::Forward(denied)
    }

    fn answer(
        ask: &mut Asker<'_>,
        _version: i16,
        denied: Self::Pending,
        response: &mut AlterPartitionReassignmentsResponse,
    ) {
        for topic in &response.responses {
            for partition in &topic.partitions {
                ask.outcome(&topic.name, partition.error_code);
            }
        }
        response.responses.extend(denied);
    }
}

fn not_moved(
    topic: &kafka_protocol::messages::alter_partition_reassignments_request::ReassignableTopic,
    error: i16,
    message: &str,
) -> ReassignableTopicResponse {
    let mut result = ReassignableTopicResponse::default();
    result.name = topic.name.clone();
    for partition in &topic.partitions {
        let mut answer = ReassignablePartitionResponse::default();
        answer.partition_index = partition.partition_index;
        answer.error_code = error;
        answer.error_message = Some(names::text(message));
        result.partitions.push(answer);
    }
    result
}

pub(crate) struct ListPartitionReassignments;

impl ColdApi for ListPartitionReassignments {
    type Request = ListPartitionReassignmentsRequest;
    type Response = ListPartitionReassignmentsResponse;
    type Pending = ();

    fn decide(
        ask: &mut Asker<'_>,
        _version: i16,
        request: &mut ListPartitionReassignmentsRequest,
    ) -> Verdict<(), ListPartitionReassignmentsResponse> {
        let Err(denial) = ask.cluster(Operation::Describe) else {
            return Verdict::Forward(());
        };
        let mut response = ListPartitionReassignmentsResponse::default();
        response.error_code = code::CLUSTER_AUTHORIZATION_FAILED;
        response.error_message = Some(names::text(&denial.message()));
        // As brokers do: what was asked for, with nothing about it.
        for topic in request.topics.iter().flatten() {
            let mut result = OngoingTopicReassignment::default();
            result.name = topic.name.clone();
            for partition in &topic.partition_indexes {
                let mut answer = OngoingPartitionReassignment::default();
                answer.partition_index = *partition;
                result.partitions.push(answer);
            }
            response.topics.push(result);
        }
        Verdict::Answer(response)
    }

    fn answer(
        _: &mut Asker<'_>,
        _version: i16,
        (): (),
        _: &mut ListPartitionReassignmentsResponse,
    ) {
    }
}

pub(crate) struct DescribeQuorum;

impl ColdApi for DescribeQuorum {
    type Request = DescribeQuorumRequest;
    type Response = DescribeQuorumResponse;
    type Pending = ();

    fn decide(
        ask: &mut Asker<'_>,
        version: i16,
        _: &mut DescribeQuorumRequest,
    ) -> Verdict<(), DescribeQuorumResponse> {
        let Err(denial) = ask.cluster(Operation::Describe) else {
            return Verdict::Forward(());
        };
        let mut response = DescribeQuorumResponse::default();
        response.error_code = code::CLUSTER_AUTHORIZATION_FAILED;
        response.error_message = Some(names::text(&denial.message())).filter(|_| version >= 2);
        Verdict::Answer(response)
    }

    fn answer(_: &mut Asker<'_>, version: i16, (): (), response: &mut DescribeQuorumResponse) {
        // Controllers are not reached through the gateway, so their addresses stay out. Node ids are no addresses.
        for node in &mut response.nodes {
            node.listeners.clear();
        }
        // A broker's own words may hold an address.
        if version >= 2 {
            without_words(response.error_code, &mut response.error_message);
            for partition in response
                .topics
                .iter_mut()
                .flat_map(|topic| &mut topic.partitions)
            {
                without_words(partition.error_code, &mut partition.error_message);
            }
        }
    }
}

fn without_words(error: i16, message: &mut Option<StrBytes>) {
    if error != code::NONE {
        *message = None;
    }
}
