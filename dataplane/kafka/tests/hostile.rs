//! What a stranger can send before it is authenticated: nothing panics, and what is accepted is what was meant.

mod random;

use random::{Random, torture};
use sluice_kafka::api::{
    self, API_VERSIONS, FETCH, PRODUCE, SASL_AUTHENTICATE, SASL_HANDSHAKE, Treatment,
};
use sluice_kafka::frame::frame_length;
use sluice_kafka::local::{
    ApiVersionsRequest, SaslAuthenticateRequest, SaslHandshakeRequest, api_versions, encode_error,
    sasl,
};
use sluice_kafka::views::{FetchRequest, FetchResponse, ProduceRequest, ProduceResponse};
use sluice_kafka::{ErrorCode, RequestHeader, header, shape};

/// Reads a frame as the gateway would and says whether it was accepted.
fn read(frame: &[u8]) -> bool {
    let Ok(header) = RequestHeader::parse(frame) else {
        return false;
    };
    assert!(header.body_at <= frame.len() && header.client_id_end <= header.body_at);
    assert!(api::api(header.api_key).unwrap().speaks(header.api_version));
    match header.api_key {
        API_VERSIONS => ApiVersionsRequest::parse(frame, &header).is_ok(),
        SASL_HANDSHAKE => SaslHandshakeRequest::parse(frame, &header).is_ok(),
        SASL_AUTHENTICATE => SaslAuthenticateRequest::parse(frame, &header).is_ok(),
        PRODUCE => ProduceRequest::parse(frame, &header).is_ok(),
        FETCH => FetchRequest::parse(frame, &header).is_ok(),
        key => shape::check_request(key, header.api_version, &frame[header.body_at..]).is_ok(),
    }
}

#[test]
fn random_frames_of_every_api_and_version_never_panic() {
    let mut random = Random::new(41);
    for key in -2..=96_i16 {
        for version in -1..=19_i16 {
            for _ in 0..30 {
                let mut frame = vec![0; 4];
                frame.extend(key.to_be_bytes());
                frame.extend(version.to_be_bytes());
                let length = random.below(80);
                frame.extend((0..length).map(|_| {
                    if random.chance(2) {
                        0
                    } else {
                        random.next() as u8
                    }
                }));
                let accepted = read(&frame);
                let offered = api::api(key).is_some_and(|api| api.treatment != Treatment::Withheld);
                assert!(offered || !accepted);
                let _ = frame_length(&frame, 100);
                let _ = header::response_correlation_id(&frame);
                let _ = header::parse_response_header(&frame, key, version);
                let _ = ProduceResponse::parse(&frame, version);
                let _ = FetchResponse::parse(&frame, version);
                let _ = shape::check_response(key, version, &frame);
                let _ = api_versions::decode_response(&frame, version);
                let _ = sasl::decode_authenticate_response(&frame, version);
                let _ = sasl::decode_handshake_response(&frame);
            }
        }
    }
}

#[test]
fn mutated_requests_before_authentication_never_panic() {
    let mut random = Random::new(42);
    for version in 0..=4 {
        let mut frame = Vec::new();
        api_versions::encode_request(
            version,
            1,
            "client",
            "apache-kafka-java",
            "4.4.0",
            &mut frame,
        );
        torture(&mut random, &frame, 5_000, read);
    }
    let mut frame = Vec::new();
    sasl::encode_handshake_request(1, "client", "OAUTHBEARER", &mut frame);
    torture(&mut random, &frame, 5_000, read);
    for version in 0..=2 {
        let mut frame = Vec::new();
        sasl::encode_authenticate_request(
            version,
            1,
            "client",
            b"n,,\x01auth=Bearer x\x01\x01",
            &mut frame,
        );
        torture(&mut random, &frame, 5_000, read);
    }
}

#[test]
fn correlation_ids_are_replaced_in_place() {
    let mut request = Vec::new();
    sasl::encode_handshake_request(1, "client", "PLAIN", &mut request);
    header::set_request_correlation_id(&mut request, -7);
    assert_eq!(RequestHeader::parse(&request).unwrap().correlation_id, -7);

    let header = RequestHeader::parse(&request).unwrap();
    let mut response = Vec::new();
    assert!(encode_error(
        &header,
        ErrorCode::ILLEGAL_SASL_STATE,
        &mut response
    ));
    assert_eq!(
        sasl::decode_handshake_response(&response).unwrap().error,
        ErrorCode::ILLEGAL_SASL_STATE
    );
    header::set_response_correlation_id(&mut response, 12);
    assert_eq!(header::response_correlation_id(&response), Ok(12));
    // Too short for the field: nothing happens.
    header::set_response_correlation_id(&mut response[..6], 13);
    assert_eq!(header::response_correlation_id(&response), Ok(12));
}
