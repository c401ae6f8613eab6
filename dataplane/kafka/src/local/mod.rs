//! What never reaches the decoder of cold messages: ApiVersions, SaslHandshake and SaslAuthenticate, from both ends.
//!
//! Clients send these before they are authenticated, so they are read by hand; the gateway sends them to brokers itself.

pub mod api_versions;
pub mod sasl;

pub use api_versions::{
    ApiVersionsAnswer, ApiVersionsRequest, FeatureRange, Features, FinalizedFeatures,
};
pub use sasl::{
    SaslAuthenticateAnswer, SaslAuthenticateRequest, SaslHandshakeAnswer, SaslHandshakeRequest,
};

use crate::api::{API_VERSIONS, SASL_AUTHENTICATE, SASL_HANDSHAKE};
use crate::reader::Encoding;
use crate::writer::{FrameStart, begin_frame, put_i16, put_i32, put_no_tags, put_string};
use crate::{ErrorCode, RequestHeader};

/// Appends the response to `header` that carries nothing but an error, in that API's own form, and returns whether there is
/// one: only the three APIs of this module are answered so. For any other the connection is closed.
pub fn encode_error(header: &RequestHeader<'_>, error: ErrorCode, out: &mut Vec<u8>) -> bool {
    let RequestHeader {
        api_version,
        correlation_id,
        ..
    } = *header;
    match header.api_key {
        API_VERSIONS => {
            api_versions::encode_response(
                api_version,
                correlation_id,
                error,
                0,
                &[],
                &Features::default(),
                out,
            );
        }
        SASL_HANDSHAKE => sasl::encode_handshake_response(correlation_id, error, &[], out),
        SASL_AUTHENTICATE => {
            sasl::encode_authenticate_response(
                api_version,
                correlation_id,
                error,
                None,
                &[],
                0,
                out,
            );
        }
        _ => return false,
    }
    true
}

/// Starts a request frame of the gateway's own.
fn begin_request(
    key: i16,
    version: i16,
    correlation_id: i32,
    client_id: &str,
    encoding: Encoding,
    out: &mut Vec<u8>,
) -> FrameStart {
    let start = begin_frame(out);
    put_i16(out, key);
    put_i16(out, version);
    put_i32(out, correlation_id);
    put_string(out, Encoding::Classic, Some(client_id));
    put_no_tags(out, encoding);
    start
}
