//! The APIs that the gateway speaks, as types of kafka-protocol.

pub use kafka_protocol::messages as structs;
pub use kafka_protocol::protocol::{Decodable, Encodable, Message, Request};

/// A version of this API that is spoken, chosen by the first byte, and the rest.
pub fn versioned(api_key: i16, input: &[u8]) -> Option<(i16, &[u8])> {
    let (min, max) = sluice_kafka::api::api(api_key)?.versions;
    let versions_count = u8::try_from(max - min + 1).ok()?;
    let (chosen, rest) = crate::choice(input, versions_count)?;
    Some((min + i16::from(chosen), rest))
}

/// Calls a function that is generic over a request with the type that belongs to an API key.
#[macro_export]
macro_rules! with_request_type {
    ($key:expr, $run:ident($($argument:expr),*)) => {
        $crate::with_request_type!(@ $key, $run, ($($argument),*),
            ProduceRequest FetchRequest ListOffsetsRequest MetadataRequest OffsetCommitRequest OffsetFetchRequest
            FindCoordinatorRequest JoinGroupRequest HeartbeatRequest LeaveGroupRequest SyncGroupRequest
            DescribeGroupsRequest ListGroupsRequest SaslHandshakeRequest ApiVersionsRequest CreateTopicsRequest
            DeleteTopicsRequest DeleteRecordsRequest InitProducerIdRequest OffsetForLeaderEpochRequest
            AddPartitionsToTxnRequest AddOffsetsToTxnRequest EndTxnRequest TxnOffsetCommitRequest
            DescribeAclsRequest CreateAclsRequest DeleteAclsRequest DescribeConfigsRequest AlterConfigsRequest
            AlterReplicaLogDirsRequest DescribeLogDirsRequest SaslAuthenticateRequest CreatePartitionsRequest
            DeleteGroupsRequest ElectLeadersRequest IncrementalAlterConfigsRequest
            AlterPartitionReassignmentsRequest ListPartitionReassignmentsRequest OffsetDeleteRequest
            DescribeClientQuotasRequest AlterClientQuotasRequest DescribeUserScramCredentialsRequest
            AlterUserScramCredentialsRequest DescribeQuorumRequest UpdateFeaturesRequest DescribeClusterRequest
            DescribeProducersRequest DescribeTransactionsRequest ListTransactionsRequest
            ConsumerGroupHeartbeatRequest ConsumerGroupDescribeRequest ListConfigResourcesRequest
            DescribeTopicPartitionsRequest)
    };
    (@ $key:expr, $run:ident, $arguments:tt, $($request:ident)*) => {
        match $key {
            $(key if key == <$crate::apis::structs::$request as $crate::apis::Request>::KEY => {
                $crate::with_request_type!(@@ $run, $request, $arguments)
            })*
            key => panic!("no type is listed for API key {key}, which is spoken"),
        }
    };
    (@@ $run:ident, $request:ident, ($($argument:expr),*)) => {
        $run::<$crate::apis::structs::$request>($($argument),*)
    };
}
