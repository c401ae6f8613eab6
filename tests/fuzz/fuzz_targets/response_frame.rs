//! Responses to every API and version that is spoken: what the bounded walk accepts, the decoder reads to the same end, and
//! what is passed on, the encoding of the decoded struct, is walked, decoded and encoded again to the same bytes.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sluice_fuzz::apis::Request;
use sluice_fuzz::{framed, with_request_type};
use sluice_kafka::Flaw;
use sluice_kafka::api::api;
use sluice_kafka::header::{parse_response_header, response_correlation_id};
use sluice_kafka::messages::{decode_response_frame, encode_response_frame};
use sluice_kafka::shape::check_response;

// API key, version, frame without its length.
fuzz_target!(|input: &[u8]| {
    let Some((&[key, version], content)) = input.split_first_chunk::<2>() else {
        return;
    };
    let (key, version) = (key.into(), version.into());
    if api(key).is_some_and(|api| api.speaks(version)) {
        let frame = Bytes::from(framed(content));
        with_request_type!(key, decode(&frame, version));
    }
});

fn decode<T: Request>(frame: &Bytes, version: i16) {
    let Ok((correlation_id, body_at)) = parse_response_header(frame, T::KEY, version) else {
        return;
    };
    assert_eq!(response_correlation_id(frame), Ok(correlation_id));
    let walked = check_response(T::KEY, version, &frame[body_at..]);
    let decoded = match decode_response_frame::<T>(frame, version) {
        Ok((found, decoded)) => {
            assert_eq!(found, correlation_id);
            decoded
        }
        Err(malformed) => {
            assert_ne!(malformed.flaw, Flaw::DecoderDisagrees);
            assert!(walked.is_err() || malformed.flaw == Flaw::TagNested);
            return;
        }
    };
    assert!(walked.is_ok());
    let Some(first) = encode::<T>(version, correlation_id, &decoded) else {
        return;
    };
    let (found, decoded) = decode_response_frame::<T>(&first, version).expect("its own encoding");
    assert_eq!(found, correlation_id);
    assert_eq!(encode::<T>(version, correlation_id, &decoded), Some(first));
}

/// `None` if the version cannot say it.
fn encode<T: Request>(version: i16, correlation_id: i32, response: &T::Response) -> Option<Bytes> {
    let mut frame = Vec::new();
    encode_response_frame(T::KEY, version, correlation_id, response, &mut frame).ok()?;
    Some(frame.into())
}
