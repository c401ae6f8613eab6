//! SaslHandshake versions 0 and 1, SaslAuthenticate versions 0 to 2 (KIP-43, KIP-152, KIP-368).

use super::begin_request;
use crate::api::{SASL_AUTHENTICATE, SASL_HANDSHAKE, api};
use crate::header::parse_response_header;
use crate::reader::{Encoding, Reader};
use crate::writer::{
    begin_frame, end_frame, put_bytes, put_count, put_i16, put_i32, put_i64, put_no_tags,
    put_string,
};
use crate::{ErrorCode, Malformed, RequestHeader};

/// The mechanism that a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaslHandshakeRequest<'a> {
    pub mechanism: &'a str,
}

/// A broker's answer to a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaslHandshakeAnswer {
    pub correlation_id: i32,
    pub error: ErrorCode,
    pub mechanisms: Vec<String>,
}

/// One message of a client's SASL exchange. The bytes are a credential: they do not show in `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SaslAuthenticateRequest<'a> {
    pub auth_bytes: &'a [u8],
}

/// A broker's answer to one message of the exchange. The bytes do not show in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SaslAuthenticateAnswer {
    pub correlation_id: i32,
    pub error: ErrorCode,
    pub error_message: Option<String>,
    pub auth_bytes: Vec<u8>,
    /// After how many milliseconds the session must authenticate again; 0 for never or before version 1.
    pub session_lifetime_ms: i64,
}

impl<'a> SaslHandshakeRequest<'a> {
    /// Reads the body. After version 0 tokens follow without Kafka's header, after version 1 inside SaslAuthenticate.
    pub fn parse(frame: &'a [u8], header: &RequestHeader<'a>) -> Result<Self, Malformed> {
        let mut reader = Reader::new(frame, header.body_at);
        let mechanism = reader.string(Encoding::Classic)?;
        reader.finish()?;
        Ok(Self { mechanism })
    }
}

impl<'a> SaslAuthenticateRequest<'a> {
    /// Reads the body.
    pub fn parse(frame: &'a [u8], header: &RequestHeader<'a>) -> Result<Self, Malformed> {
        let mut reader = Reader::new(frame, header.body_at);
        let auth_bytes = reader.bytes(header.encoding)?;
        reader.tags_skipped(header.encoding)?;
        reader.finish()?;
        Ok(Self { auth_bytes })
    }
}

/// Appends a SaslHandshake response; both versions look the same.
pub fn encode_handshake_response(
    correlation_id: i32,
    error: ErrorCode,
    mechanisms: &[&str],
    out: &mut Vec<u8>,
) {
    let start = begin_frame(out);
    put_i32(out, correlation_id);
    put_i16(out, error.0);
    put_count(out, Encoding::Classic, mechanisms.len());
    for mechanism in mechanisms {
        put_string(out, Encoding::Classic, Some(mechanism));
    }
    end_frame(out, start);
}

/// Appends a SaslAuthenticate response.
pub fn encode_authenticate_response(
    version: i16,
    correlation_id: i32,
    error: ErrorCode,
    error_message: Option<&str>,
    auth_bytes: &[u8],
    session_lifetime_ms: i64,
    out: &mut Vec<u8>,
) {
    let encoding = encoding(version);
    let start = begin_frame(out);
    put_i32(out, correlation_id);
    put_no_tags(out, encoding);
    put_i16(out, error.0);
    put_string(out, encoding, error_message);
    put_bytes(out, encoding, auth_bytes);
    if version >= 1 {
        put_i64(out, session_lifetime_ms);
    }
    put_no_tags(out, encoding);
    end_frame(out, start);
}

/// Appends the gateway's own SaslHandshake request, version 1.
pub fn encode_handshake_request(
    correlation_id: i32,
    client_id: &str,
    mechanism: &str,
    out: &mut Vec<u8>,
) {
    let start = begin_request(
        SASL_HANDSHAKE,
        1,
        correlation_id,
        client_id,
        Encoding::Classic,
        out,
    );
    put_string(out, Encoding::Classic, Some(mechanism));
    end_frame(out, start);
}

/// Reads a broker's answer to a handshake, a complete frame.
pub fn decode_handshake_response(frame: &[u8]) -> Result<SaslHandshakeAnswer, Malformed> {
    let (correlation_id, body_at) = parse_response_header(frame, SASL_HANDSHAKE, 1)?;
    let mut reader = Reader::new(frame, body_at);
    let error = ErrorCode(reader.i16()?);
    let count = reader.count(Encoding::Classic, 2)?;
    let mut mechanisms = Vec::with_capacity(count);
    for _ in 0..count {
        mechanisms.push(reader.string(Encoding::Classic)?.to_owned());
    }
    reader.finish()?;
    Ok(SaslHandshakeAnswer {
        correlation_id,
        error,
        mechanisms,
    })
}

/// Appends the gateway's own SaslAuthenticate request, in a version from 0 to 2.
pub fn encode_authenticate_request(
    version: i16,
    correlation_id: i32,
    client_id: &str,
    auth_bytes: &[u8],
    out: &mut Vec<u8>,
) {
    let encoding = encoding(version);
    let start = begin_request(
        SASL_AUTHENTICATE,
        version,
        correlation_id,
        client_id,
        encoding,
        out,
    );
    put_bytes(out, encoding, auth_bytes);
    put_no_tags(out, encoding);
    end_frame(out, start);
}

/// Reads a broker's answer to one message of the exchange, a complete frame.
pub fn decode_authenticate_response(
    frame: &[u8],
    version: i16,
) -> Result<SaslAuthenticateAnswer, Malformed> {
    let encoding = encoding(version);
    let (correlation_id, body_at) = parse_response_header(frame, SASL_AUTHENTICATE, version)?;
    let mut reader = Reader::new(frame, body_at);
    let error = ErrorCode(reader.i16()?);
    let error_message = reader.string_nullable(encoding)?.map(str::to_owned);
    let auth_bytes = reader.bytes(encoding)?.to_vec();
    let session_lifetime_ms = if version >= 1 { reader.i64()? } else { 0 };
    reader.tags_skipped(encoding)?;
    reader.finish()?;
    Ok(SaslAuthenticateAnswer {
        correlation_id,
        error,
        error_message,
        auth_bytes,
        session_lifetime_ms,
    })
}

fn encoding(version: i16) -> Encoding {
    api(SASL_AUTHENTICATE).map_or(Encoding::Flexible, |api| api.encoding(version))
}

impl std::fmt::Debug for SaslAuthenticateRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SaslAuthenticateRequest")
            .field("auth_bytes_len", &self.auth_bytes.len())
            .finish()
    }
}

impl std::fmt::Debug for SaslAuthenticateAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SaslAuthenticateAnswer")
            .field("correlation_id", &self.correlation_id)
            .field("error", &self.error)
            .field("error_message", &self.error_message)
            .field("auth_bytes_len", &self.auth_bytes.len())
            .field("session_lifetime_ms", &self.session_lifetime_ms)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::{
        SaslAuthenticateRequest as TheirAuthenticate, SaslAuthenticateResponse,
        SaslHandshakeResponse,
    };
    use kafka_protocol::protocol::Decodable;

    #[test]
    fn handshakes_survive_both_directions() {
        let mut request = Vec::new();
        encode_handshake_request(1, "gw", "OAUTHBEARER", &mut request);
        let header = RequestHeader::parse(&request).unwrap();
        assert_eq!(
            SaslHandshakeRequest::parse(&request, &header)
                .unwrap()
                .mechanism,
            "OAUTHBEARER"
        );

        let mut response = Vec::new();
        encode_handshake_response(
            1,
            ErrorCode::UNSUPPORTED_SASL_MECHANISM,
            &["PLAIN", "OAUTHBEARER"],
            &mut response,
        );
        let answer = decode_handshake_response(&response).unwrap();
        assert_eq!(answer.mechanisms, ["PLAIN", "OAUTHBEARER"]);
        let mut body = bytes::Bytes::copy_from_slice(&response[8..]);
        let theirs = SaslHandshakeResponse::decode(&mut body, 1).unwrap();
        assert_eq!((theirs.error_code, theirs.mechanisms.len()), (33, 2));
    }

    #[test]
    fn authentication_survives_both_directions_in_every_version() {
        for version in 0..=2 {
            let mut request = Vec::new();
            encode_authenticate_request(version, 2, "gw", b"\0u\0p", &mut request);
            let header = RequestHeader::parse(&request).unwrap();
            assert_eq!(
                SaslAuthenticateRequest::parse(&request, &header)
                    .unwrap()
                    .auth_bytes,
                b"\0u\0p"
            );
            let mut body = bytes::Bytes::copy_from_slice(&request[header.body_at..]);
            assert_eq!(
                TheirAuthenticate::decode(&mut body, version)
                    .unwrap()
                    .auth_bytes
                    .as_ref(),
                b"\0u\0p"
            );

            let mut response = Vec::new();
            let error = ErrorCode::SASL_AUTHENTICATION_FAILED;
            encode_authenticate_response(version, 2, error, Some("no"), b"x", 1000, &mut response);
            let answer = decode_authenticate_response(&response, version).unwrap();
            assert_eq!(
                (answer.error, answer.error_message.as_deref()),
                (error, Some("no"))
            );
            assert_eq!(
                answer.session_lifetime_ms,
                if version >= 1 { 1000 } else { 0 }
            );
            let mut body =
                bytes::Bytes::copy_from_slice(&response[if version >= 2 { 9 } else { 8 }..]);
            assert_eq!(
                SaslAuthenticateResponse::decode(&mut body, version)
                    .unwrap()
                    .auth_bytes
                    .as_ref(),
                b"x"
            );
            assert!(body.is_empty());
            for end in 0..response.len() {
                assert!(decode_authenticate_response(&response[..end], version).is_err());
            }
        }
    }

    #[test]
    fn credentials_do_not_show_in_debug() {
        let shown = format!(
            "{:?}",
            SaslAuthenticateRequest {
                auth_bytes: b"secret"
            }
        );
        assert_eq!(shown, "SaslAuthenticateRequest { auth_bytes_len: 6 }");
    }

    #[test]
    fn a_null_mechanism_is_malformed() {
        let mut request = Vec::new();
        encode_handshake_request(1, "gw", "", &mut request);
        let at = request.len() - 2;
        request[at..].copy_from_slice(&[0xff, 0xff]);
        let header = RequestHeader::parse(&request).unwrap();
        assert!(SaslHandshakeRequest::parse(&request, &header).is_err());
    }
}
