//! JSON Web Tokens (RFC 7519) as bearer tokens, validated as RFC 8725 and RFC 9068 advise.
//!
//! What a token says of itself is only used to find the issuer and the key; the operator's configuration decides which issuer,
//! and the key decides which algorithm. Locations of keys in the header (`jku`, `x5u`, `jwk`, `x5c`) are never read.

mod error;
mod token;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::json;
use crate::jwks::{Algorithm, KeySet, SelectError};
use crate::limits::{
    CLOCK_SKEW_S_DEFAULT, CLOCK_SKEW_S_MAX, KID_BYTES_MAX, SUBJECT_BYTES_MAX, TOKEN_BYTES_MAX,
    TOKEN_ID_BYTES_MAX,
};

pub use error::TokenError;
pub use token::Token;

/// Somebody whose tokens are accepted.
#[derive(Debug, Clone)]
pub struct TrustedIssuer {
    /// What bindings call it.
    pub name: String,
    /// The `iss` of its tokens, compared byte for byte.
    pub issuer: String,
    /// What the `aud` of its tokens must contain.
    pub audience: String,
    /// Its present keys.
    pub keys: Arc<KeySet>,
    /// The claim that names the principal, [`SUBJECT_CLAIM`] unless the operator says otherwise; dots lead into nested objects.
    pub principal_claim: String,
    /// How far its clock may be from ours, in seconds; above [`CLOCK_SKEW_S_MAX`] that is used instead.
    pub clock_skew_s: u32,
}

/// The claim that names the principal by default.
pub const SUBJECT_CLAIM: &str = "sub";

impl TrustedIssuer {
    /// An issuer whose `sub` names the principal, with the default clock skew.
    #[must_use]
    pub fn new(name: String, issuer: String, audience: String, keys: Arc<KeySet>) -> Self {
        let principal_claim = SUBJECT_CLAIM.to_owned();
        Self {
            name,
            issuer,
            audience,
            keys,
            principal_claim,
            clock_skew_s: CLOCK_SKEW_S_DEFAULT,
        }
    }
}

/// Validates a compact JWT at `now_unix_s`, seconds since 1970-01-01 UTC.
///
/// # Errors
/// See [`TokenError`]. After [`TokenError::ClientKeyUnknown`] the same token may be good once the issuer's keys are fetched anew;
/// whoever fetches must limit how often, since anybody can cause this error.
pub fn validate(
    token: &str,
    issuers: &[TrustedIssuer],
    now_unix_s: i64,
) -> Result<Token, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::ClientTokenOversized {
            token_bytes: token.len(),
        });
    }
    let compact = Compact::parse(token)?;
    let header = Header::parse(&compact.header)?;
    let issuer = trusted(issuers, &compact.claims)?;
    check_signature(&compact, &header, issuer)?;
    // Nothing above this line was the issuer's word; everything below is.
    check_audience(&compact.claims, issuer)?;
    let expires_unix_s = check_times(&compact.claims, issuer, now_unix_s)?;
    let subject = name(compact.claims.get("sub"), "sub", SUBJECT_BYTES_MAX)?;
    let id = match compact.claims.get("jti") {
        None => None,
        present => Some(name(present, "jti", TOKEN_ID_BYTES_MAX)?),
    };
    let mut token = Token {
        issuer_name: issuer.name.clone(),
        issuer: issuer.issuer.clone(),
        principal_name: String::new(),
        subject,
        expires_unix_s,
        id,
        claims: compact.claims,
    };
    token.principal_name = name(
        token.claim(&issuer.principal_claim),
        "principal claim",
        SUBJECT_BYTES_MAX,
    )?;
    Ok(token)
}

/// The three parts of RFC 7515 section 7.1, decoded.
struct Compact<'a> {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    /// Header and claims as they were sent, with the dot between them.
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    fn parse(token: &'a str) -> Result<Self, TokenError> {
        // `=`, white space and the standard alphabet are refused by the decoder, so a token has one spelling only.
        let decode = |part: &str| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_| TokenError::ClientTokenMalformed)
        };
        let object =
            |part: &str| json::parse_object(&decode(part)?).ok_or(TokenError::ClientTokenMalformed);
        let (signed, signature) = token
            .rsplit_once('.')
            .ok_or(TokenError::ClientTokenMalformed)?;
        // A JWE has five parts: its claims then hold dots and do not decode.
        let (header, claims) = signed
            .split_once('.')
            .ok_or(TokenError::ClientTokenMalformed)?;
        Ok(Self {
            header: object(header)?,
            claims: object(claims)?,
            signed,
            signature: decode(signature)?,
        })
    }
}

struct Header {
    algorithm: Algorithm,
    kid: Option<String>,
}

impl Header {
    fn parse(members: &Map<String, Value>) -> Result<Self, TokenError> {
        // RFC 7515 section 4.1.11: what is critical must be understood, and no extension is.
        if members.contains_key("crit") {
            return Err(TokenError::ClientHeaderCritical);
        }
        let text = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(TokenError::ClientTokenMalformed),
        };
        if !text("typ")?.is_none_or(is_accepted_type) {
            return Err(TokenError::ClientTypeUnsupported);
        }
        let algorithm = match text("alg")?.ok_or(TokenError::ClientTokenMalformed)? {
            none if none.eq_ignore_ascii_case("none") => {
                return Err(TokenError::ClientTokenUnsigned);
            }
            symmetric if symmetric.starts_with("HS") => {
                return Err(TokenError::ClientAlgorithmSymmetric);
            }
            name => Algorithm::from_name(name).ok_or(TokenError::ClientAlgorithmUnsupported)?,
        };
        let kid = text("kid")?.map(str::to_owned);
        if kid.as_ref().is_some_and(|kid| kid.len() > KID_BYTES_MAX) {
            return Err(TokenError::ClientTokenMalformed);
        }
        Ok(Self { algorithm, kid })
    }
}

/// RFC 9068 section 4 and RFC 8725 section 3.11: a token made for another purpose (logout, DPoP proof) is not an access token.
fn is_accepted_type(typ: &str) -> bool {
    let media_type = typ.split_at_checked("application/".len());
    let short = match media_type {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") => rest,
        _ => typ,
    };
    short.eq_ignore_ascii_case("at+jwt") || short.eq_ignore_ascii_case("JWT")
}

/// The issuer that the claims name. One issuer may be configured with several audiences: the one that fits is taken.
fn trusted<'a>(
    issuers: &'a [TrustedIssuer],
    claims: &Map<String, Value>,
) -> Result<&'a TrustedIssuer, TokenError> {
    let iss = claims
        .get("iss")
        .and_then(Value::as_str)
        .ok_or(TokenError::ClientIssuerUntrusted)?;
    let named = || issuers.iter().filter(|issuer| issuer.issuer == iss);
    let fitting = named().find(|issuer| check_audience(claims, issuer).is_ok());
    fitting
        .or_else(|| named().next())
        .ok_or(TokenError::ClientIssuerUntrusted)
}

fn check_signature(
    compact: &Compact<'_>,
    header: &Header,
    issuer: &TrustedIssuer,
) -> Result<(), TokenError> {
    let name = || issuer.name.clone();
    let key = issuer
        .keys
        .select(header.kid.as_deref(), header.algorithm)
        .map_err(|error| match error {
            SelectError::Unknown => TokenError::ClientKeyUnknown {
                issuer_name: name(),
            },
            SelectError::Ambiguous => TokenError::ClientKeyUnnamed {
                issuer_name: name(),
            },
            SelectError::AlgorithmDiffers => TokenError::ClientAlgorithmNotOfKey {
                issuer_name: name(),
            },
        })?;
    if key.verifies(
        header.algorithm,
        compact.signed.as_bytes(),
        &compact.signature,
    ) {
        Ok(())
    } else {
        Err(TokenError::ClientSignatureInvalid {
            issuer_name: name(),
        })
    }
}

/// RFC 7519 section 4.1.3: one string, or an array of them.
fn check_audience(claims: &Map<String, Value>, issuer: &TrustedIssuer) -> Result<(), TokenError> {
    let contains = match claims.get("aud") {
        Some(Value::String(audience)) => *audience == issuer.audience,
        Some(Value::Array(audiences)) => audiences
            .iter()
            .any(|audience| *audience == *issuer.audience),
        _ => false,
    };
    if contains {
        Ok(())
    } else {
        Err(TokenError::ClientAudienceDiffers {
            issuer_name: issuer.name.clone(),
        })
    }
}

/// RFC 7519 sections 4.1.4 to 4.1.6. Returns `exp`, without skew.
fn check_times(
    claims: &Map<String, Value>,
    issuer: &TrustedIssuer,
    now_unix_s: i64,
) -> Result<i64, TokenError> {
    let skew_s = i64::from(issuer.clock_skew_s.min(CLOCK_SKEW_S_MAX));
    let expires_unix_s =
        numeric_date(claims, "exp")?.ok_or(TokenError::ClientClaimInvalid { claim: "exp" })?;
    if now_unix_s >= expires_unix_s.saturating_add(skew_s) {
        return Err(TokenError::ClientTokenExpired { expires_unix_s });
    }
    for claim in ["nbf", "iat"] {
        match numeric_date(claims, claim)? {
            Some(starts_unix_s) if starts_unix_s > now_unix_s.saturating_add(skew_s) => {
                return Err(TokenError::ClientTokenEarly { starts_unix_s });
            }
            _ => {}
        }
    }
    Ok(expires_unix_s)
}

/// A NumericDate (RFC 7519 section 2), which may have a fraction; it is cut off.
fn numeric_date(
    claims: &Map<String, Value>,
    claim: &'static str,
) -> Result<Option<i64>, TokenError> {
    /// Above 2^53 an f64 no longer holds every second.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

    let Some(value) = claims.get(claim) else {
        return Ok(None);
    };
    let whole = value.as_i64().or_else(|| {
        let fractional = value.as_f64().filter(|seconds| seconds.abs() <= EXACT_MAX);
        #[expect(clippy::cast_possible_truncation, reason = "within 2^53 after floor")]
        fractional.map(|seconds| seconds.floor() as i64)
    });
    whole
        .map(Some)
        .ok_or(TokenError::ClientClaimInvalid { claim })
}

/// A string that will stand in logs, evidence and error messages.
fn name(
    value: Option<&Value>,
    claim: &'static str,
    name_bytes_max: usize,
) -> Result<String, TokenError> {
    let text = value.and_then(Value::as_str);
    let text = text.filter(|text| {
        (1..=name_bytes_max).contains(&text.len()) && !text.chars().any(char::is_control)
    });
    text.map(str::to_owned)
        .ok_or(TokenError::ClientClaimInvalid { claim })
}
