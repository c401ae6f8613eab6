//! The table-driven walk against the kafka-protocol crate.

mod random;

use bytes::Bytes;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, Message, Request, StrBytes};
use random::{Random, torture};
use sluice_kafka::api::{Treatment, api};
use sluice_kafka::messages::{
    decode_request, decode_request_frame, decode_response_frame, encode_request_frame,
    encode_response_frame,
};
use sluice_kafka::{Flaw, Malformed, RequestHeader, shape};

/// Default messages of one API in every version spoken, through the walk and back.
fn defaults_agree<T: Request + Default + PartialEq + std::fmt::Debug>()
where
    T::Response: Default + PartialEq + std::fmt::Debug,
{
    let row = api(T::KEY).unwrap();
    let mut versions_count = 0;
    for version in row.versions.0..=row.versions.1 {
        let mut body = Vec::new();
        // Some defaults cannot be said in some versions; what can be, must agree.
        if T::default().encode(&mut body, version).is_ok() {
            shape::check_request(T::KEY, version, &body)
                .unwrap_or_else(|error| panic!("{} {version} request: {error}", row.name));
            versions_count += 1;
        }
        let mut body = Vec::new();
        if T::Response::default().encode(&mut body, version).is_ok() {
            shape::check_response(T::KEY, version, &body)
                .unwrap_or_else(|error| panic!("{} {version} response: {error}", row.name));
        }
    }
    assert!(versions_count > 0, "{}", row.name);
    for version in [row.versions.0 - 1, row.versions.1 + 1] {
        assert_eq!(
            shape::check_request(T::KEY, version, &[]).unwrap_err().flaw,
            Flaw::LayoutUnknown
        );
    }
}

/// Bytes that `check` accepts, grown from nothing by mending whatever it complains about.
fn grow(
    random: &mut Random,
    check: impl Fn(&[u8]) -> Result<shape::Checked, Malformed>,
) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    for _ in 0..400 {
        match check(&body) {
            Ok(_) => return Some(body),
            Err(Malformed {
                flaw: Flaw::Truncated,
                ..
            }) => body.push([0, 0, 0, 0, 0, 0, 1, 1, 2, 3, b'a', 0xff][random.below(12)]),
            Err(Malformed {
                flaw: Flaw::BytesLeft,
                at,
            }) => body.truncate(at),
            Err(Malformed { at, .. }) => {
                // A count, length or presence byte that does not do: a small one, or none, in either encoding.
                let small = [0, 1, 2][random.below(3)];
                let mended: &[u8] = if random.chance(2) {
                    &[small]
                } else {
                    &[0, 0, 0, small]
                };
                body.truncate(at);
                body.extend_from_slice(mended);
            }
        }
    }
    None
}

/// What the walk accepts must be read by the decoder, to the same end, and written so that the walk accepts it again.
fn accepted_bytes_are_decoded<T: Request>(random: &mut Random) {
    let row = api(T::KEY).unwrap();
    for version in row.versions.0..=row.versions.1 {
        let check_request = |body: &[u8]| shape::check_request(T::KEY, version, body);
        let check_response = |body: &[u8]| shape::check_response(T::KEY, version, body);
        let (mut requests, mut responses) = (0, 0);
        for _ in 0..200 {
            if let Some(body) = grow(random, check_request) {
                requests += 1;
                decodes_to_its_end::<T>(&body, version, check_request);
            }
            if let Some(body) = grow(random, check_response) {
                responses += 1;
                decodes_to_its_end::<T::Response>(&body, version, check_response);
            }
        }
        assert!(
            requests > 5 && responses > 5,
            "{} {version}: {requests} {responses}",
            row.name
        );
    }
}

fn decodes_to_its_end<M: Message + Decodable + Encodable>(
    body: &[u8],
    version: i16,
    check: impl Fn(&[u8]) -> Result<shape::Checked, Malformed>,
) {
    let name = std::any::type_name::<M>();
    let mut bytes = Bytes::copy_from_slice(body);
    let decoded = M::decode(&mut bytes, version)
        .unwrap_or_else(|error| panic!("{name} {version} {body:?}: {error}"));
    assert!(bytes.is_empty(), "{name} {version} {body:?}");
    let mut encoded = Vec::new();
    if decoded.encode(&mut encoded, version).is_ok() {
        check(&encoded)
            .unwrap_or_else(|error| panic!("{name} {version} {body:?} {encoded:?}: {error}"));
    }
}

macro_rules! every_spoken_api {
    ($run:ident $(, $argument:expr)*) => {
        every_spoken_api!(@ $run ($($argument),*) ProduceRequest FetchRequest ListOffsetsRequest MetadataRequest
            OffsetCommitRequest OffsetFetchRequest FindCoordinatorRequest JoinGroupRequest HeartbeatRequest LeaveGroupRequest
            SyncGroupRequest DescribeGroupsRequest ListGroupsRequest SaslHandshakeRequest ApiVersionsRequest
            CreateTopicsRequest DeleteTopicsRequest DeleteRecordsRequest InitProducerIdRequest
            OffsetForLeaderEpochRequest AddPartitionsToTxnRequest AddOffsetsToTxnRequest EndTxnRequest
            TxnOffsetCommitRequest DescribeConfigsRequest
            AlterConfigsRequest DescribeLogDirsRequest SaslAuthenticateRequest
            CreatePartitionsRequest DeleteGroupsRequest ElectLeadersRequest IncrementalAlterConfigsRequest
            AlterPartitionReassignmentsRequest ListPartitionReassignmentsRequest OffsetDeleteRequest
            DescribeClientQuotasRequest AlterClientQuotasRequest
            DescribeQuorumRequest DescribeClusterRequest
            DescribeProducersRequest DescribeTransactionsRequest ListTransactionsRequest
            ConsumerGroupHeartbeatRequest ConsumerGroupDescribeRequest ListConfigResourcesRequest
            DescribeTopicPartitionsRequest)
    };
    (@ $run:ident $arguments:tt $($request:ident)*) => {{ $(every_spoken_api!(@@ $run $arguments $request);)* }};
    (@@ $run:ident ($($argument:expr),*) $request:ident) => {
        $run::<$request>($($argument),*);
        CHECKED.with(|checked| checked.set(checked.get() + 1));
    };
}

thread_local! {
    static CHECKED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[test]
fn default_messages_of_every_spoken_version_agree() {
    every_spoken_api!(defaults_agree);
    let spoken = sluice_kafka::api::apis()
        .iter()
        .filter(|api| api.treatment != Treatment::Withheld)
        .count();
    assert_eq!(CHECKED.get(), spoken);
}

#[test]
fn what_the_walk_accepts_the_decoder_reads_to_the_same_end() {
    let mut random = Random::new(31);
    every_spoken_api!(accepted_bytes_are_decoded, &mut random);
}

fn metadata(random: &mut Random, version: i16) -> MetadataRequest {
    let mut request = MetadataRequest::default();
    request.topics = Some(
        (0..random.below(4) + 1)
            .map(|_| {
                let mut topic = metadata_request::MetadataRequestTopic::default();
                topic.name = Some(StrBytes::from_string(random.text(20)).into());
                topic
            })
            .collect(),
    );
    request.allow_auto_topic_creation = version < 4 || random.chance(2);
    request
}

#[test]
fn mutated_requests_never_reach_the_decoder_unchecked() {
    let mut random = Random::new(32);
    for version in 4..=13 {
        let request = metadata(&mut random, version);
        let mut body = Vec::new();
        request.encode(&mut body, version).unwrap();
        torture(&mut random, &body, 3_000, |body| {
            decode_request::<MetadataRequest>(version, &Bytes::copy_from_slice(body)).is_ok()
        });
    }
}

#[test]
fn hostile_counts_are_rejected_before_anything_is_allocated() {
    let hostile = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff]);
    assert_eq!(
        decode_request::<MetadataRequest>(4, &hostile)
            .unwrap_err()
            .flaw,
        Flaw::CountOversized
    );
    let hostile = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0]);
    assert_eq!(
        decode_request::<MetadataRequest>(9, &hostile)
            .unwrap_err()
            .flaw,
        Flaw::CountOversized
    );
}

#[test]
fn a_presence_byte_that_parsers_read_differently_is_rejected() {
    let mut request = DescribeTopicPartitionsRequest::default();
    let mut cursor = describe_topic_partitions_request::Cursor::default();
    cursor.topic_name = StrBytes::from_static_str("hidden").into();
    request.cursor = Some(cursor);
    let mut body = Vec::new();
    request.encode(&mut body, 0).unwrap();
    assert!(shape::check_request(75, 0, &body).is_ok());
    let presence_at = 1 + 4;
    assert_eq!(body[presence_at], 1);
    for presence in [0, 2, 0x80] {
        body[presence_at] = presence;
        assert_eq!(
            shape::check_request(75, 0, &body).unwrap_err().flaw,
            Flaw::PresenceUnknown
        );
    }
}

#[test]
fn unknown_tags_do_not_pass() {
    let mut random = Random::new(33);
    for version in 9..=13 {
        let plain = metadata(&mut random, version);
        let mut tagged = plain.clone();
        tagged
            .unknown_tagged_fields
            .insert(99, Bytes::from_static(b"secret"));
        tagged.topics.as_mut().unwrap()[0]
            .unknown_tagged_fields
            .insert(7, Bytes::from_static(b"secret"));
        let mut frame = Vec::new();
        encode_request_frame(version, 1, Some("me"), &tagged, &mut frame).unwrap();
        let header = RequestHeader::parse(&frame).unwrap();
        assert_eq!(
            shape::check_request(3, version, &frame[header.body_at..])
                .unwrap()
                .unknown_tags_count,
            2
        );
        let decoded: MetadataRequest = decode_request_frame(&frame, &header).unwrap();
        assert_eq!(decoded, plain);
    }
}

#[test]
fn known_tags_survive_when_unknown_ones_beside_them_are_left_out() {
    let mut response = CreateTopicsResponse::default();
    let mut topic = create_topics_response::CreatableTopicResult::default();
    topic.name = StrBytes::from_static_str("t").into();
    topic.topic_config_error_code = 29;
    response.topics.push(topic);
    let plain = response.clone();
    response.topics[0]
        .unknown_tagged_fields
        .insert(5, Bytes::from_static(b"new"));
    let mut frame = Vec::new();
    encode_response_frame(19, 7, 12, &response, &mut frame).unwrap();
    let (correlation_id, decoded) =
        decode_response_frame::<CreateTopicsRequest>(&frame.into(), 7).unwrap();
    assert_eq!((correlation_id, decoded), (12, plain));
}

#[test]
fn what_a_version_cannot_say_is_not_written() {
    let mut request = MetadataRequest::default();
    request.topics = None;
    request.allow_auto_topic_creation = false; // version 4 and later
    let mut out = b"before".to_vec();
    assert!(encode_request_frame(3, 1, None, &request, &mut out).is_err());
    assert_eq!(out, b"before");
}
