//! An issuer with one key of each type, and the claims that it signs unless a test changes them.

mod claims;
mod signature;

use std::sync::LazyLock;

use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;
use crate::jwks;
use crate::testing::{Random, Signer, encode, hmac_token, unsigned};

const NOW: i64 = 1_700_000_000;
const SKEW: i64 = CLOCK_SKEW_S_DEFAULT as i64;
const ISSUER: &str = "https://idp.example/";

/// Keys by `kid`; RSA keys take long to make, so each test shares these.
static SIGNERS: LazyLock<[(&str, Signer); 4]> = LazyLock::new(|| {
    [
        ("rsa", Signer::rsa()),
        ("p256", Signer::p256()),
        ("p384", Signer::p384()),
        ("ed", Signer::ed25519()),
    ]
});

fn signer(kid: &str) -> &'static Signer {
    &SIGNERS.iter().find(|(name, _)| *name == kid).unwrap().1
}

fn keys_of(keys: &[Value]) -> Arc<KeySet> {
    Arc::new(jwks::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap())
}

fn issuer() -> TrustedIssuer {
    let keys: Vec<Value> = SIGNERS
        .iter()
        .map(|(kid, signer)| signer.jwk(kid))
        .collect();
    TrustedIssuer::new(
        "demo".to_owned(),
        ISSUER.to_owned(),
        "sluice".to_owned(),
        keys_of(&keys),
    )
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "sluice", "sub": "svc-orders", "exp": NOW + 60, "iat": NOW - 60, "jti": "t-1",
        "realm_access": {"roles": ["writer", "reader"]}
    })
}

/// The claims above with one replaced, or left out when the value is null.
fn claims_with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    match value.into() {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

fn es256(claims: &Value) -> String {
    signer("p256").token("ES256", &json!({"kid": "p256", "typ": "at+jwt"}), claims)
}

fn validated(token: &str) -> Result<Token, TokenError> {
    validate(token, &[issuer()], NOW)
}

fn refused(token: &str) -> TokenError {
    validated(token).expect_err(token)
}

fn invalid(claim: &'static str) -> TokenError {
    TokenError::ClientClaimInvalid { claim }
}

fn issuer_name() -> String {
    "demo".to_owned()
}
