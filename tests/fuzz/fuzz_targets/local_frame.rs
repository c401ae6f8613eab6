//! What is read by hand before anybody is authenticated, and what a broker answers while the gateway logs in: a message that
//! is accepted says the same after it was encoded and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_fuzz::{choice, framed};
use sluice_kafka::api::{API_VERSIONS, SASL_AUTHENTICATE, SASL_HANDSHAKE};
use sluice_kafka::local::{
    ApiVersionsRequest, SaslAuthenticateRequest, SaslHandshakeRequest, api_versions, encode_error,
    sasl,
};
use sluice_kafka::shape::check_request;
use sluice_kafka::{ErrorCode, RequestHeader};

// What it is, then the frame without its length.
fuzz_target!(|input: &[u8]| {
    let Some((what, content)) = choice(input, 10) else {
        return;
    };
    let frame = framed(content);
    match what {
        0 => request(&frame),
        1 => handshake_answer(&frame),
        2..=4 => authenticate_answer(&frame, i16::from(what) - 2),
        _ => api_versions_answer(&frame, i16::from(what) - 5),
    }
});

fn request(frame: &[u8]) {
    let Ok(header) = RequestHeader::parse(frame) else {
        return;
    };
    let (version, id) = (header.api_version, header.correlation_id);
    let walked = check_request(header.api_key, version, &frame[header.body_at..]).is_ok();
    let mut out = Vec::new();
    let accepted = match header.api_key {
        API_VERSIONS => ApiVersionsRequest::parse(frame, &header).is_ok_and(|request| {
            let ApiVersionsRequest {
                software_name,
                software_version,
            } = request;
            api_versions::encode_request(
                version,
                id,
                "me",
                software_name,
                software_version,
                &mut out,
            );
            let header = RequestHeader::parse(&out).expect("its own frame");
            assert_eq!(ApiVersionsRequest::parse(&out, &header), Ok(request));
            true
        }),
        SASL_HANDSHAKE => SaslHandshakeRequest::parse(frame, &header).is_ok_and(|request| {
            sasl::encode_handshake_request(id, "me", request.mechanism, &mut out);
            let header = RequestHeader::parse(&out).expect("its own frame");
            assert_eq!(SaslHandshakeRequest::parse(&out, &header), Ok(request));
            true
        }),
        SASL_AUTHENTICATE => SaslAuthenticateRequest::parse(frame, &header).is_ok_and(|request| {
            sasl::encode_authenticate_request(version, id, "me", request.auth_bytes, &mut out);
            let header = RequestHeader::parse(&out).expect("its own frame");
            assert_eq!(SaslAuthenticateRequest::parse(&out, &header), Ok(request));
            true
        }),
        _ => return,
    };
    assert!(walked || !accepted, "what is accepted is well formed");
    assert!(encode_error(&header, ErrorCode::INVALID_REQUEST, &mut out));
}

fn handshake_answer(frame: &[u8]) {
    let Ok(answer) = sasl::decode_handshake_response(frame) else {
        return;
    };
    let mechanisms: Vec<&str> = answer.mechanisms.iter().map(String::as_str).collect();
    let mut out = Vec::new();
    sasl::encode_handshake_response(answer.correlation_id, answer.error, &mechanisms, &mut out);
    assert_eq!(sasl::decode_handshake_response(&out), Ok(answer));
}

fn authenticate_answer(frame: &[u8], version: i16) {
    let Ok(answer) = sasl::decode_authenticate_response(frame, version) else {
        return;
    };
    let mut out = Vec::new();
    sasl::encode_authenticate_response(
        version,
        answer.correlation_id,
        answer.error,
        answer.error_message.as_deref(),
        &answer.auth_bytes,
        answer.session_lifetime_ms,
        &mut out,
    );
    assert_eq!(
        sasl::decode_authenticate_response(&out, version),
        Ok(answer)
    );
}

fn api_versions_answer(frame: &[u8], version: i16) {
    let Ok(answer) = api_versions::decode_response(frame, version) else {
        return;
    };
    // A broker that does not speak the version answers in version 0.
    let version = if answer.error == ErrorCode::UNSUPPORTED_VERSION {
        0
    } else {
        version
    };
    let mut out = Vec::new();
    api_versions::encode_response(
        version,
        answer.correlation_id,
        answer.error,
        0,
        &answer.ranges,
        &answer.features,
        &mut out,
    );
    let again = api_versions::decode_response(&out, version).expect("its own frame");
    assert_eq!(
        (again.correlation_id, again.error, &again.ranges),
        (answer.correlation_id, answer.error, &answer.ranges)
    );
    // Version 3 cannot say a feature whose lowest level is 0.
    if version >= 4 {
        assert_eq!(again.features, answer.features);
    }
}
