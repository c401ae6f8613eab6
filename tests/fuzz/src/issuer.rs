//! An issuer whose key is the same in every run, so that a token of a seed stays good.

use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sluice_identity::jwks::{self, KeySet};
use sluice_identity::jwt::TrustedIssuer;

pub const URL: &str = "https://idp.example";
pub const AUDIENCE: &str = "kafka";
/// 2027-01-15 08:00:00 UTC.
pub const NOW_UNIX_S: i64 = 1_800_000_000;

pub struct Issuer {
    key: Ed25519KeyPair,
}

impl Issuer {
    pub fn new() -> Self {
        let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed is any 32 bytes");
        Self { key }
    }

    /// Its JWKS.
    pub fn jwks(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.key.public_key());
        format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"{x}"}}]}}"#)
    }

    /// As a gateway trusts it.
    pub fn trusted(&self) -> TrustedIssuer {
        let keys: KeySet = jwks::parse(self.jwks().as_bytes()).expect("its own JWKS");
        TrustedIssuer::new("demo".into(), URL.into(), AUDIENCE.into(), Arc::new(keys))
    }

    /// A compact token of whatever stands for its header and its claims, signed.
    pub fn token(&self, header: &[u8], claims: &[u8]) -> String {
        let header = URL_SAFE_NO_PAD.encode(header);
        let claims = URL_SAFE_NO_PAD.encode(claims);
        let signed = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

impl Default for Issuer {
    fn default() -> Self {
        Self::new()
    }
}
