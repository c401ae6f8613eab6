//! Requests of every API and version that is spoken: what the bounded walk accepts, the decoder reads to the same end, and
//! what is forwarded, the encoding of the decoded struct, is walked, decoded and encoded again to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_fuzz::apis::Request;
use sluice_fuzz::{framed, with_request_type};
use sluice_kafka::frame::frame_length;
use sluice_kafka::messages::{decode_request_frame, encode_request_frame};
use sluice_kafka::shape::check_request;
use sluice_kafka::{Flaw, RequestHeader};

fuzz_target!(|content: &[u8]| {
    let frame = framed(content);
    assert_eq!(frame_length(&frame, frame.len()), Ok(Some(frame.len())));
    let Ok(header) = RequestHeader::parse(&frame) else {
        return;
    };
    assert!(header.client_id_end <= header.body_at && header.body_at <= frame.len());
    let api = header.api().expect("a header is of an API that exists");
    assert!(api.speaks(header.api_version));
    assert_eq!(api.encoding(header.api_version), header.encoding);
    with_request_type!(header.api_key, decode(&frame, &header));
});

fn decode<T: Request>(frame: &[u8], header: &RequestHeader<'_>) {
    let walked = check_request(T::KEY, header.api_version, &frame[header.body_at..]);
    let decoded = match decode_request_frame::<T>(frame, header) {
        Ok(decoded) => decoded,
        Err(malformed) => {
            assert_ne!(malformed.flaw, Flaw::DecoderDisagrees);
            assert!(walked.is_err() || malformed.flaw == Flaw::TagNested);
            return;
        }
    };
    let Some(first) = encode(header, &decoded) else {
        return;
    };
    let again = RequestHeader::parse(&first).expect("its own header");
    assert_eq!(
        (
            again.api_key,
            again.api_version,
            again.correlation_id,
            again.client_id
        ),
        (
            header.api_key,
            header.api_version,
            header.correlation_id,
            header.client_id
        ),
    );
    let walked = check_request(T::KEY, again.api_version, &first[again.body_at..]);
    assert_eq!(walked.expect("its own encoding").unknown_tags_count, 0);
    let decoded = decode_request_frame::<T>(&first, &again).expect("its own encoding");
    assert_eq!(encode(header, &decoded), Some(first));
}

/// `None` if the version cannot say it.
fn encode<T: Request>(header: &RequestHeader<'_>, request: &T) -> Option<Vec<u8>> {
    let mut frame = Vec::new();
    encode_request_frame(
        header.api_version,
        header.correlation_id,
        header.client_id,
        request,
        &mut frame,
    )
    .ok()?;
    Some(frame)
}
