//! SASL/OAUTHBEARER (RFC 7628) as Kafka speaks it (KIP-255, KIP-342): one message with a bearer token, and, after a failure,
//! one byte that says that the client has read why.
//!
//! ```text
//! n,[a=authzid],^A auth=Bearer <token> ^A [key=value ^A]* ^A        (^A is 0x01; no spaces around it)
//! ```

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

use crate::limits::{
    CREDENTIAL_BYTES_MAX, EXTENSIONS_COUNT_MAX, OAUTHBEARER_BYTES_MAX, TOKEN_BYTES_MAX,
};

/// The mechanism's name in SaslHandshake.
pub const MECHANISM: &str = "OAUTHBEARER";

/// What a client sends after a failure has been described to it (RFC 7628 section 3.2.3).
pub const FAILURE_READ: [u8; 1] = [SEPARATOR];

const SEPARATOR: u8 = 0x01;

/// A client's message, borrowed from the bytes that it came in.
#[derive(Clone)]
pub struct ClientMessage<'a> {
    authzid: Option<Cow<'a, str>>,
    token: &'a str,
    extensions: Vec<(&'a str, &'a str)>,
}

/// Why a client's message is not accepted, or cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OauthbearerError {
    /// Longer than [`OAUTHBEARER_BYTES_MAX`], or its token longer than [`TOKEN_BYTES_MAX`].
    #[error("client sent an OAUTHBEARER message that is too long")]
    ClientMessageOversized,
    /// The GS2 flag is `y` or `p`; Kafka has no channel binding.
    #[error("client asked for channel binding")]
    ClientChannelBindingUnsupported,
    /// Bytes that the grammar does not allow.
    #[error("client sent an OAUTHBEARER message that does not follow the grammar")]
    ClientMessageMalformed,
    /// No `auth` pair.
    #[error("client sent no token")]
    ClientTokenMissing,
    /// A scheme other than `Bearer`.
    #[error("client sent a credential that is not a bearer token")]
    ClientSchemeUnsupported,
    /// A key twice: two readers could see two tokens.
    #[error("client sent a key twice")]
    ClientKeyRepeated,
    /// More extensions than [`EXTENSIONS_COUNT_MAX`].
    #[error("client sent too many extensions")]
    ClientExtensionsOversized,
    /// Neither absent nor the principal that the token names.
    #[error("client asked to act as somebody else")]
    ClientAuthzidDiffers,
    /// Something else than the single byte [`FAILURE_READ`].
    #[error("client went on after a failure")]
    ClientFailureUnread,
}

/// The `status` of a failure (RFC 6750 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureStatus {
    /// The message itself is wrong.
    InvalidRequest,
    /// The token is expired, forged, or not for this gateway.
    InvalidToken,
    /// The token is good and holds too little.
    InsufficientScope,
}

/// Reads what a client sends first.
///
/// Pairs may come in any order, as in Java's own reader. Extensions are untrusted and mean nothing here.
///
/// # Errors
/// See [`OauthbearerError`].
pub fn parse(message: &[u8]) -> Result<ClientMessage<'_>, OauthbearerError> {
    use OauthbearerError::ClientMessageMalformed;

    if message.len() > OAUTHBEARER_BYTES_MAX {
        return Err(OauthbearerError::ClientMessageOversized);
    }
    // Every byte of the grammar is ASCII, so a message that is not UTF-8 cannot follow it.
    let message = std::str::from_utf8(message).map_err(|_| ClientMessageMalformed)?;
    let (flag, rest) = message.split_once(',').ok_or(ClientMessageMalformed)?;
    if flag == "y" || flag.starts_with("p=") {
        return Err(OauthbearerError::ClientChannelBindingUnsupported);
    }
    if flag != "n" {
        return Err(ClientMessageMalformed);
    }
    let (authzid, rest) = rest.split_once(',').ok_or(ClientMessageMalformed)?;
    let authzid = parse_authzid(authzid)?;
    let mut rest = rest.strip_prefix('\x01').ok_or(ClientMessageMalformed)?;

    let mut token = None;
    let mut extensions: Vec<(&str, &str)> = Vec::new();
    while rest != "\x01" {
        let (pair, after) = rest.split_once('\x01').ok_or(ClientMessageMalformed)?;
        let (key, value) = pair.split_once('=').ok_or(ClientMessageMalformed)?;
        if !is_key(key) || !is_value(value) {
            return Err(ClientMessageMalformed);
        }
        if key == "auth" {
            if token.replace(parse_auth(value)?).is_some() {
                return Err(OauthbearerError::ClientKeyRepeated);
            }
        } else {
            if extensions.iter().any(|(other, _)| *other == key) {
                return Err(OauthbearerError::ClientKeyRepeated);
            }
            if extensions.len() >= EXTENSIONS_COUNT_MAX {
                return Err(OauthbearerError::ClientExtensionsOversized);
            }
            extensions.push((key, value));
        }
        rest = after;
    }
    let token = token.ok_or(OauthbearerError::ClientTokenMissing)?;
    Ok(ClientMessage {
        authzid,
        token,
        extensions,
    })
}

/// Writes what a client sends first.
///
/// # Errors
/// An argument that the grammar does not allow, named as if a client had sent it.
pub fn encode(
    token: &str,
    authzid: Option<&str>,
    extensions: &[(&str, &str)],
) -> Result<Vec<u8>, OauthbearerError> {
    let mut message = String::from("n,");
    if let Some(authzid) = authzid {
        message.push_str("a=");
        message.push_str(&authzid.replace('=', "=3D").replace(',', "=2C"));
    }
    message.push_str(",\x01auth=Bearer ");
    message.push_str(token);
    message.push('\x01');
    for (key, value) in extensions {
        message.extend([key, "=", value, "\x01"]);
    }
    message.push('\x01');
    // The reader is the judge of what may be written, and it must see what was meant.
    let message = message.into_bytes();
    let read = parse(&message)?;
    if read.token != token || read.authzid() != authzid || read.extensions != extensions {
        return Err(OauthbearerError::ClientMessageMalformed);
    }
    Ok(message)
}

/// The challenge that describes a failure (RFC 7628 section 3.2.2): sent with error code 0, and again as the message of error
/// 58 once the client has answered [`FAILURE_READ`]; or only the latter.
#[must_use]
pub fn failure(status: FailureStatus, scope: Option<&str>, discovery_url: Option<&str>) -> String {
    let mut members = Map::new();
    let status = match status {
        FailureStatus::InvalidRequest => "invalid_request",
        FailureStatus::InvalidToken => "invalid_token",
        FailureStatus::InsufficientScope => "insufficient_scope",
    };
    let pairs = [
        ("status", Some(status)),
        ("scope", scope),
        ("openid-configuration", discovery_url),
    ];
    for (name, value) in pairs {
        if let Some(value) = value {
            members.insert(name.to_owned(), Value::from(value));
        }
    }
    Value::Object(members).to_string()
}

/// Reads what a client sends after [`failure`]. Either way the exchange has failed.
///
/// # Errors
/// [`OauthbearerError::ClientFailureUnread`].
pub fn parse_failure_read(message: &[u8]) -> Result<(), OauthbearerError> {
    if message == FAILURE_READ {
        Ok(())
    } else {
        Err(OauthbearerError::ClientFailureUnread)
    }
}

impl<'a> ClientMessage<'a> {
    /// The compact JWT, unvalidated.
    #[must_use]
    pub fn token(&self) -> &'a str {
        self.token
    }

    /// Whom the client asks to act as.
    #[must_use]
    pub fn authzid(&self) -> Option<&str> {
        self.authzid.as_deref()
    }

    /// Extensions (KIP-342), untrusted, in their order.
    #[must_use]
    pub fn extensions(&self) -> &[(&'a str, &'a str)] {
        &self.extensions
    }

    /// Refuses an authorization identity other than the principal whom the token names.
    ///
    /// # Errors
    /// [`OauthbearerError::ClientAuthzidDiffers`].
    pub fn check_authzid(&self, principal_name: &str) -> Result<(), OauthbearerError> {
        match self.authzid() {
            Some(authzid) if authzid != principal_name => {
                Err(OauthbearerError::ClientAuthzidDiffers)
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for ClientMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientMessage")
            .field("token_bytes", &self.token.len())
            .field("extensions_count", &self.extensions.len())
            .finish_non_exhaustive()
    }
}

/// `a=` and a saslname (RFC 5801 section 4). Narrower than RFC and Java: printable ASCII, because it ends in logs and evidence.
fn parse_authzid(field: &str) -> Result<Option<Cow<'_, str>>, OauthbearerError> {
    if field.is_empty() {
        return Ok(None);
    }
    let name = field
        .strip_prefix("a=")
        .ok_or(OauthbearerError::ClientMessageMalformed)?;
    if name.len() > CREDENTIAL_BYTES_MAX {
        return Err(OauthbearerError::ClientMessageOversized);
    }
    if name.is_empty() || !name.bytes().all(|byte| matches!(byte, 0x20..=0x7E)) {
        return Err(OauthbearerError::ClientMessageMalformed);
    }
    let mut pieces = name.split('=');
    let Some(first) = pieces.next().filter(|first| first.len() < name.len()) else {
        return Ok(Some(Cow::Borrowed(name)));
    };
    let mut decoded = first.to_owned();
    for piece in pieces {
        if let Some(after) = piece.strip_prefix("2C") {
            decoded.push(',');
            decoded.push_str(after);
        } else if let Some(after) = piece.strip_prefix("3D") {
            decoded.push('=');
            decoded.push_str(after);
        } else {
            return Err(OauthbearerError::ClientMessageMalformed);
        }
    }
    Ok(Some(Cow::Owned(decoded)))
}

/// `Bearer <token>`; the scheme in any case (RFC 9110 section 11.1), the token a `b64token` (RFC 6750 section 2.1).
fn parse_auth(value: &str) -> Result<&str, OauthbearerError> {
    let (scheme, token) = value
        .split_once(' ')
        .ok_or(OauthbearerError::ClientMessageMalformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(OauthbearerError::ClientSchemeUnsupported);
    }
    let token = token.trim_start_matches(' ');
    let unpadded = token.trim_end_matches('=');
    let valid = unpadded
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_~+/.".contains(&byte));
    if unpadded.is_empty() || !valid {
        return Err(OauthbearerError::ClientMessageMalformed);
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err(OauthbearerError::ClientMessageOversized);
    }
    Ok(token)
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn is_value(value: &str) -> bool {
    !value.is_empty()
        && value
            .bytes()
            .all(|byte| matches!(byte, 0x20..=0x7E | b'\t' | b'\r' | b'\n'))
}

#[cfg(test)]
mod tests;
