//! An OIDC issuer on loopback: discovery, keys, and tokens signed with ES256.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use axum::Router;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

pub(crate) struct Issuer {
    pub(crate) url: String,
    key: EcdsaKeyPair,
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        Self::start_with(json!({})).await
    }

    /// `members` are added to its discovery document.
    pub(crate) async fn start_with(members: Value) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        // An uncompressed point: 4, x, y.
        let point = key.public_key().as_ref();
        let jwks = json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "kid": "one", "use": "sig", "alg": "ES256",
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..65]),
        }]});
        let mut discovery = json!({ "issuer": url, "jwks_uri": format!("{url}/jwks") });
        for (name, value) in members.as_object().unwrap() {
            discovery[name] = value.clone();
        }
        let pages = Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(async move || discovery.to_string()),
            )
            .route("/jwks", get(async move || jwks.to_string()));
        tokio::spawn(async move { axum::serve(listener, pages).await.unwrap() });
        Self { url, key }
    }

    pub(crate) fn token(&self, subject: &str) -> String {
        self.token_with(subject, 4_000_000_000)
    }

    pub(crate) fn token_with(&self, subject: &str, expires_unix_s: i64) -> String {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = part(json!({ "alg": "ES256", "kid": "one", "typ": "at+jwt" }));
        let claims = part(
            json!({ "iss": self.url, "aud": "sluice", "sub": subject, "exp": expires_unix_s }),
        );
        let signed = format!("{header}.{claims}");
        let signature = self
            .key
            .sign(&SystemRandom::new(), signed.as_bytes())
            .unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
