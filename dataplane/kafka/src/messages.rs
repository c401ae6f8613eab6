//! Cold messages, by the kafka-protocol crate, behind the walk of [`shape`](crate::shape).
//!
//! What goes on to a peer is the encoding of the decoded struct, never the bytes that were received, so both ends of the
//! gateway agree on what a message says. Tagged fields that nobody here knows do not pass.

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, Request};

pub use kafka_protocol::messages as structs;
pub use kafka_protocol::protocol::StrBytes;

use crate::header::{parse_response_header, response_header_version};
use crate::limits::ELEMENT_BYTES;
use crate::reader::Encoding;
use crate::shape::{strip_request, strip_response};
use crate::writer::{begin_frame, end_frame, put_i16, put_i32, put_no_tags, put_string};
use crate::{Flaw, Malformed, MessageError, RequestHeader};

/// Decodes the body of a request, header excluded, after it was checked to its last byte.
///
/// # Errors
/// The body is malformed, or the API or version is not one that the gateway speaks.
pub fn decode_request<T: Request>(version: i16, body: &Bytes) -> Result<T, Malformed> {
    let (stripped, _) = strip_request(T::KEY, version, body)?;
    decode(version, &stripped, body)
}

/// Decodes the request in a complete frame whose header has been read. Copies the body, so that the frame need not live on.
pub fn decode_request_frame<T: Request>(
    frame: &[u8],
    header: &RequestHeader<'_>,
) -> Result<T, Malformed> {
    decode_request_weighed(frame, header).map(|(request, _)| request)
}

/// The same, with the bytes that the request takes in memory at most.
pub fn decode_request_weighed<T: Request>(
    frame: &[u8],
    header: &RequestHeader<'_>,
) -> Result<(T, usize), Malformed> {
    let body = Bytes::copy_from_slice(frame.get(header.body_at..).unwrap_or_default());
    let (stripped, checked) = strip_request(T::KEY, header.api_version, &body)?;
    let elements_bytes = checked.elements_count.saturating_mul(ELEMENT_BYTES);
    let request = decode(header.api_version, &stripped, &body)?;
    Ok((request, body.len().saturating_add(elements_bytes)))
}

/// Decodes a broker's response to a request of type `T`, a complete frame: its correlation id and its body.
pub fn decode_response_frame<T: Request>(
    frame: &Bytes,
    version: i16,
) -> Result<(i32, T::Response), Malformed> {
    let (correlation_id, body_at) = parse_response_header(frame, T::KEY, version)?;
    let body = frame.slice(body_at..);
    let (stripped, _) = strip_response(T::KEY, version, &body)?;
    Ok((correlation_id, decode(version, &stripped, &body)?))
}

/// Appends a request frame. The client id is the caller's choice: the client's own label, or the gateway's.
///
/// # Errors
/// The version cannot express what the request holds; nothing is appended then.
pub fn encode_request_frame<T: Request>(
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    request: &T,
    out: &mut Vec<u8>,
) -> Result<(), MessageError> {
    let inexpressible = |_| MessageError::Inexpressible {
        api_key: T::KEY,
        api_version: version,
    };
    // Encoding can fail half-way, so it happens before the frame is begun.
    let body = encode(version, request).map_err(inexpressible)?;
    let encoding = if T::header_version(version) >= 2 {
        Encoding::Flexible
    } else {
        Encoding::Classic
    };
    let start = begin_frame(out);
    put_i16(out, T::KEY);
    put_i16(out, version);
    put_i32(out, correlation_id);
    put_string(out, Encoding::Classic, client_id);
    put_no_tags(out, encoding);
    out.extend_from_slice(&body);
    end_frame(out, start);
    Ok(())
}

/// Appends the frame of a response to a request of this API and version.
///
/// # Errors
/// The version cannot express what the response holds; nothing is appended then.
pub fn encode_response_frame<R: Message + Encodable + HeaderVersion>(
    api_key: i16,
    version: i16,
    correlation_id: i32,
    response: &R,
    out: &mut Vec<u8>,
) -> Result<(), MessageError> {
    let inexpressible = |_| MessageError::Inexpressible {
        api_key,
        api_version: version,
    };
    let body = encode(version, response).map_err(inexpressible)?;
    let start = begin_frame(out);
    put_i32(out, correlation_id);
    if response_header_version(api_key, version) == 1 {
        put_no_tags(out, Encoding::Flexible);
    }
    out.extend_from_slice(&body);
    end_frame(out, start);
    Ok(())
}

/// `stripped` is what is decoded; if nothing was left out it is `original`, whose bytes strings may then share.
fn decode<T: Decodable>(version: i16, stripped: &[u8], original: &Bytes) -> Result<T, Malformed> {
    let mut bytes = if stripped.len() == original.len() {
        original.clone()
    } else {
        Bytes::copy_from_slice(stripped)
    };
    let disagrees = |at| Malformed {
        flaw: Flaw::DecoderDisagrees,
        at,
    };
    let decoded = T::decode(&mut bytes, version).map_err(|_| disagrees(0))?;
    if bytes.is_empty() {
        Ok(decoded)
    } else {
        Err(disagrees(stripped.len().saturating_sub(bytes.len())))
    }
}

fn encode<T: Encodable>(version: i16, message: &T) -> Result<BytesMut, ()> {
    let mut body = BytesMut::new();
    message.encode(&mut body, version).map_err(drop)?;
    Ok(body)
}
