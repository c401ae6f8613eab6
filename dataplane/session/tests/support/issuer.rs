//! An issuer with a key made anew for each world.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sluice_identity::jwks;
use sluice_identity::jwt::TrustedIssuer;
use std::sync::Arc;

pub const NAME: &str = "demo";
pub const URL: &str = "https://idp.example";
pub const AUDIENCE: &str = "kafka";

pub struct Issuer {
    key: Ed25519KeyPair,
    kid: String,
}

impl Issuer {
    pub fn new(kid: &str) -> Self {
        Self {
            key: Ed25519KeyPair::generate().unwrap(),
            kid: kid.to_owned(),
        }
    }

    pub fn key_set(&self) -> Value {
        let x = encode(self.key.public_key().as_ref());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": x}]})
    }

    pub fn trusted(&self) -> TrustedIssuer {
        let keys = jwks::parse(self.key_set().to_string().as_bytes()).unwrap();
        assert_eq!(keys.keys().len(), 1);
        TrustedIssuer::new(NAME.into(), URL.into(), AUDIENCE.into(), Arc::new(keys))
    }

    pub fn token(&self, subject: &str, expires_unix_s: i64) -> String {
        self.sign(&json!({"iss": URL, "aud": AUDIENCE, "sub": subject, "exp": expires_unix_s, "jti": "t-1"}))
    }

    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": self.kid});
        let signed = format!(
            "{}.{}",
            encode(header.to_string().as_bytes()),
            encode(claims.to_string().as_bytes())
        );
        let signature = encode(self.key.sign(signed.as_bytes()).as_ref());
        format!("{signed}.{signature}")
    }
}

pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
