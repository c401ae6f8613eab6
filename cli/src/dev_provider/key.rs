//! The provider's signing key: ES256, made at start, never written.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use serde_json::{Map, Value, json};

use crate::failure::Failure;

/// Signs tokens.
pub(super) struct ProviderKey {
    signing: EncodingKey,
    header: Header,
    jwks: Value,
}

impl ProviderKey {
    pub(super) fn generate() -> Result<Self, Failure> {
        let failed = |why: &str| Failure::refused(format!("development provider's key: {why}"));
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map_err(|error| failed(&error.to_string()))?;
        // An uncompressed point (SEC 1 section 2.3.3): 4, then x and y of 32 bytes each.
        let point = pair.der_bytes();
        let (Some(x), Some(y), 65) = (point.get(1..33), point.get(33..65), point.len()) else {
            return Err(failed("not an uncompressed point"));
        };
        let kid = uuid::Uuid::new_v4().simple().to_string();
        let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
        let jwks = json!({"keys": [
            {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid, "x": x, "y": y},
        ]});
        let header = Header {
            kid: Some(kid),
            ..Header::new(Algorithm::ES256)
        };
        Ok(Self {
            signing: EncodingKey::from_ec_der(&pair.serialize_der()),
            header,
            jwks,
        })
    }

    /// The public half (RFC 7517).
    pub(super) fn jwks(&self) -> &Value {
        &self.jwks
    }

    /// A compact JWT (RFC 7519); `None` if the cryptography library refuses.
    pub(super) fn sign(&self, claims: &Map<String, Value>) -> Option<String> {
        jsonwebtoken::encode(&self.header, claims, &self.signing).ok()
    }
}

impl std::fmt::Debug for ProviderKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProviderKey")
    }
}
