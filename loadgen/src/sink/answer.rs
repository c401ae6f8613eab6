//! Which answer a request gets. Everything but Produce and Fetch is rare, and goes through kafka-protocol.

use sluice_kafka::api::{self, ApiRange};
use sluice_kafka::local::api_versions::{self, Features};
use sluice_kafka::local::sasl::{self, SaslAuthenticateRequest, SaslHandshakeRequest};
use sluice_kafka::messages::structs::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use sluice_kafka::messages::structs::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use sluice_kafka::messages::structs::{
    InitProducerIdRequest, InitProducerIdResponse, ListOffsetsRequest, ListOffsetsResponse,
    MetadataRequest, MetadataResponse,
};
use sluice_kafka::messages::{StrBytes, decode_request_frame, encode_response_frame};
use sluice_kafka::views::TopicKey;
use sluice_kafka::{ErrorCode, HeaderError, Malformed, RequestHeader};
use uuid::Uuid;

use super::Shared;
use super::hot;
use super::log::{Log, Topic};
use super::outgoing::{Close, Outgoing};
use crate::session::name;

const NODE_ID: i32 = 1;
/// Where ListOffsets looks, by its reserved timestamp.
const EARLIEST: i64 = -2;
const SERVED: [i16; 8] = [
    api::PRODUCE,
    api::FETCH,
    api::LIST_OFFSETS,
    api::METADATA,
    api::SASL_HANDSHAKE,
    api::API_VERSIONS,
    api::INIT_PRODUCER_ID,
    api::SASL_AUTHENTICATE,
];
/// Any credential is as good as any other, so these are the ones that arrive in one message.
const MECHANISMS: [&str; 2] = ["PLAIN", "OAUTHBEARER"];

/// Appends the answer to a complete frame.
pub(super) fn answer(
    frame: &[u8],
    shared: &Shared,
    advertised: &(String, u16),
    outgoing: &mut Outgoing,
) -> Result<(), Close> {
    let header = match RequestHeader::parse(frame) {
        Ok(header) => header,
        // A client that guessed too high asks again (KIP-511).
        Err(HeaderError::ClientVersionUnsupported {
            api_key: api::API_VERSIONS,
            correlation_id,
            ..
        }) => {
            api_versions::encode_unsupported_version(correlation_id, outgoing.own());
            return Ok(());
        }
        Err(error) => return Err(Close::Header(error)),
    };
    let (api_key, version, id) = (header.api_key, header.api_version, header.correlation_id);
    let log = &shared.log;
    let malformed = |fault: Malformed| Close::Malformed { api_key, fault };
    match api_key {
        api::PRODUCE => hot::produce(frame, &header, log, outgoing).map_err(malformed)?,
        api::FETCH => hot::fetch(frame, &header, log, outgoing).map_err(malformed)?,
        api::API_VERSIONS => {
            let (none, features) = (ErrorCode::NONE, Features::default());
            api_versions::encode_response(
                version,
                id,
                none,
                0,
                &ranges(),
                &features,
                outgoing.own(),
            );
        }
        // Before version 1 the login's messages would follow without frames of Kafka's.
        api::SASL_HANDSHAKE if version >= 1 => {
            let asked = SaslHandshakeRequest::parse(frame, &header).map_err(malformed)?;
            let error = match MECHANISMS.contains(&asked.mechanism) {
                true => ErrorCode::NONE,
                false => ErrorCode::UNSUPPORTED_SASL_MECHANISM,
            };
            sasl::encode_handshake_response(id, error, &MECHANISMS, outgoing.own());
        }
        api::SASL_AUTHENTICATE => {
            SaslAuthenticateRequest::parse(frame, &header).map_err(malformed)?;
            let out = outgoing.own();
            sasl::encode_authenticate_response(version, id, ErrorCode::NONE, None, &[], 0, out);
        }
        api::METADATA => {
            let request: MetadataRequest =
                decode_request_frame(frame, &header).map_err(malformed)?;
            let response = metadata(log, &request, advertised);
            encode_response_frame(api_key, version, id, &response, outgoing.own())?;
        }
        api::LIST_OFFSETS => {
            let request: ListOffsetsRequest =
                decode_request_frame(frame, &header).map_err(malformed)?;
            encode_response_frame(
                api_key,
                version,
                id,
                &offsets(log, &request),
                outgoing.own(),
            )?;
        }
        api::INIT_PRODUCER_ID => {
            let _: InitProducerIdRequest =
                decode_request_frame(frame, &header).map_err(malformed)?;
            let response = InitProducerIdResponse::default()
                .with_producer_id(log.next_producer_id().into())
                .with_producer_epoch(0);
            encode_response_frame(api_key, version, id, &response, outgoing.own())?;
        }
        _ => {
            return Err(Close::NotServed {
                api_key,
                api_version: version,
            });
        }
    }
    Ok(())
}

/// The versions that the gateway's own table has: whatever it forwards is served.
fn ranges() -> Vec<ApiRange> {
    let rows = SERVED.iter().filter_map(|key| api::api(*key));
    let range = |row: &api::Api| ApiRange {
        key: row.key,
        version_min: row.versions.0,
        version_max: row.versions.1,
    };
    rows.map(range).collect()
}

fn metadata(
    log: &Log,
    request: &MetadataRequest,
    (host, port): &(String, u16),
) -> MetadataResponse {
    let topics = match &request.topics {
        None => log.topics.iter().map(described).collect(),
        Some(asked) => asked
            .iter()
            .map(|asked| {
                let key = match &asked.name {
                    Some(name) => TopicKey::Name(name),
                    None => TopicKey::Id(*asked.topic_id.as_bytes()),
                };
                let unknown = match key {
                    TopicKey::Name(_) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                    TopicKey::Id(_) => ErrorCode::UNKNOWN_TOPIC_ID,
                };
                log.topic(key).map_or_else(
                    || {
                        MetadataResponseTopic::default()
                            .with_name(asked.name.clone().or(Some(name(""))))
                            .with_topic_id(asked.topic_id)
                            .with_error_code(unknown.0)
                    },
                    described,
                )
            })
            .collect(),
    };
    let broker = MetadataResponseBroker::default()
        .with_node_id(NODE_ID.into())
        .with_host(StrBytes::from_string(host.clone()))
        .with_port(i32::from(*port));
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(StrBytes::from_static_str("sluice-sink")))
        .with_controller_id(NODE_ID.into())
        .with_topics(topics)
}

fn described(topic: &Topic) -> MetadataResponseTopic {
    let partitions = (0..topic.partitions_count()).map(|index| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(NODE_ID.into())
            .with_leader_epoch(0)
            .with_replica_nodes(vec![NODE_ID.into()])
            .with_isr_nodes(vec![NODE_ID.into()])
    });
    MetadataResponseTopic::default()
        .with_name(Some(name(&topic.name)))
        .with_topic_id(Uuid::from_bytes(topic.id))
        .with_partitions(partitions.collect())
}

fn offsets(log: &Log, request: &ListOffsetsRequest) -> ListOffsetsResponse {
    let topics = request.topics.iter().map(|asked| {
        let found = log.topic(TopicKey::Name(&asked.name));
        let partitions = asked.partitions.iter().map(|partition| {
            let answer = ListOffsetsPartitionResponse::default()
                .with_partition_index(partition.partition_index);
            if !found.is_some_and(|topic| topic.has(partition.partition_index)) {
                return answer.with_error_code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.0);
            }
            // A time of day is before all records or after them; the start is as good an answer.
            let from_start = partition.timestamp == EARLIEST || partition.timestamp >= 0;
            answer
                .with_offset(if from_start { 0 } else { log.end_offset() })
                .with_leader_epoch(0)
        });
        ListOffsetsTopicResponse::default()
            .with_name(asked.name.clone())
            .with_partitions(partitions.collect())
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
