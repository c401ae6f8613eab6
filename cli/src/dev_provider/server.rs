//! The provider's three pages.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{DefaultBodyLimit, Form, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq as _;

use super::AUDIENCE;
use super::key::ProviderKey;
use crate::config::ProviderClient;
use crate::failure::Failure;
use crate::limits::TOKEN_REQUEST_BYTES_MAX;

/// What the provider knows.
#[derive(Debug)]
pub(super) struct Provider {
    issuer: String,
    key: ProviderKey,
    clients: HashMap<String, Client>,
}

struct Client {
    secret: String,
    claims: Map<String, Value>,
    ttl_s: u32,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Provider {
    pub(super) fn new(issuer: String, clients: &[ProviderClient]) -> Result<Self, Failure> {
        let mut known = HashMap::new();
        for client in clients {
            let mut claims = client.claims.clone();
            claims
                .entry("sub")
                .or_insert_with(|| Value::from(client.id.as_str()));
            known.insert(
                client.id.clone(),
                Client {
                    secret: client.secret.read()?,
                    claims,
                    ttl_s: client.ttl_s,
                },
            );
        }
        Ok(Self {
            issuer,
            key: ProviderKey::generate()?,
            clients: known,
        })
    }

    pub(super) fn router(self) -> Router {
        Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/token", post(token))
            .layer(DefaultBodyLimit::max(TOKEN_REQUEST_BYTES_MAX))
            .with_state(Arc::new(self))
    }

    /// An access token and its life in seconds.
    fn issue(&self, client: &Client) -> Option<(String, u32)> {
        let now_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        let mut claims = client.claims.clone();
        claims.insert("iss".into(), Value::from(self.issuer.as_str()));
        claims.insert("aud".into(), Value::from(AUDIENCE));
        claims.insert("iat".into(), Value::from(now_unix_s));
        claims.insert(
            "exp".into(),
            Value::from(now_unix_s.saturating_add(client.ttl_s.into())),
        );
        claims.insert("jti".into(), Value::from(uuid::Uuid::new_v4().to_string()));
        Some((self.key.sign(&claims)?, client.ttl_s))
    }

    fn authenticate(&self, id: &str, secret: &str) -> Option<&Client> {
        let client = self.clients.get(id)?;
        bool::from(client.secret.as_bytes().ct_eq(secret.as_bytes())).then_some(client)
    }
}

async fn discovery(State(provider): State<Arc<Provider>>) -> Json<Value> {
    let issuer = &provider.issuer;
    Json(json!({
        "issuer": issuer,
        // Makes every gateway and control plane but those of `sluice up` refuse it.
        "sluice_development_provider": true,
        "jwks_uri": format!("{issuer}/jwks"),
        "token_endpoint": format!("{issuer}/token"),
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    }))
}

async fn jwks(State(provider): State<Arc<Provider>>) -> Json<Value> {
    Json(provider.key.jwks().clone())
}

async fn token(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    let posted = || {
        Some((
            form.get("client_id")?.clone(),
            form.get("client_secret")?.clone(),
        ))
    };
    let Some((id, secret)) = basic(&headers).or_else(posted) else {
        return refuse(StatusCode::UNAUTHORIZED, "invalid_client");
    };
    let Some(client) = provider.authenticate(&id, &secret) else {
        return refuse(StatusCode::UNAUTHORIZED, "invalid_client");
    };
    if form.get("grant_type").map(String::as_str) != Some("client_credentials") {
        return refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    let Some((token, ttl_s)) = provider.issue(client) else {
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, "server_error");
    };
    let answer = Json(json!({"access_token": token, "token_type": "Bearer", "expires_in": ttl_s}));
    ([(header::CACHE_CONTROL, "no-store")], answer).into_response()
}

/// Client id and secret by RFC 7617.
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, credentials) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    let credentials = STANDARD
        .decode(credentials.trim())
        .ok()
        .filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let credentials = String::from_utf8(credentials).ok()?;
    let (id, secret) = credentials.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

/// RFC 6749 section 5.2.
fn refuse(status: StatusCode, error: &str) -> Response {
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::WWW_AUTHENTICATE, "Basic realm=\"sluice\""),
    ];
    (status, headers, Json(json!({"error": error}))).into_response()
}
