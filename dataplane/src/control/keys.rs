//! Keeps the issuers' signing keys fresh: at start, every few minutes, and when a token names a key not seen before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sluice_identity::jwks::KeySet;
use sluice_identity::jwt::TrustedIssuer;
use sluice_identity::{discovery, jwks};

use super::Ready;
use crate::config::{DevelopmentIssuers, IssuerConfig};
use crate::shard_state::Published;

const REFRESH: Duration = Duration::from_secs(300);
const RETRY: Duration = Duration::from_secs(2);
/// An unknown key id causes at most one fetch in this time, whoever sends it.
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Raised by a shard that met an unknown key id.
#[derive(Debug, Default)]
pub(crate) struct UnknownKey(AtomicBool);

impl UnknownKey {
    pub(crate) fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

#[derive(Debug, thiserror::Error)]
enum KeysError {
    #[error("{0}")]
    Fetch(#[from] reqwest::Error),
    #[error("the answer is longer than {ANSWER_BYTES_MAX} bytes")]
    Oversized,
    #[error("discovery: {0}")]
    Discovery(discovery::DiscoveryError),
    #[error("it is a development provider, which only `sluice up` trusts; configure a real issuer")]
    OperatorDevelopmentProvider,
    #[error("keys: {0}")]
    Keys(jwks::JwksError),
}

/// Runs for the life of the process; publishes all issuers whenever one of them has new keys.
pub(crate) async fn keep(issuers: Vec<IssuerConfig>, published: Arc<Published>, ready: Arc<Ready>) {
    let mut keys: Vec<Option<Arc<KeySet>>> = vec![None; issuers.len()];
    loop {
        let mut missing = false;
        for (issuer, held) in issuers.iter().zip(&mut keys) {
            match fetch(issuer).await {
                Ok(fresh) => *held = Some(Arc::new(fresh)),
                Err(error) => {
                    missing |= held.is_none();
                    tracing::warn!(
                        issuer = issuer.name,
                        "keys not refreshed, those known stay in force: {error}"
                    );
                }
            }
        }
        let trusted = issuers
            .iter()
            .zip(&keys)
            .filter_map(|(issuer, keys)| Some(trust(issuer, keys.clone()?)));
        published.issuers.publish(Arc::new(trusted.collect()));
        published.issuers.reclaim();
        if !missing {
            ready.issuers();
        }
        let pause = if missing { RETRY } else { REFRESH };
        wait(pause, &published.tables.unknown_key).await;
    }
}

/// Ends after `pause`, or earlier when a shard met an unknown key id.
async fn wait(pause: Duration, unknown: &UnknownKey) {
    let end = tokio::time::Instant::now() + pause;
    tokio::time::sleep(UNKNOWN_KEY_PAUSE.min(pause)).await;
    while tokio::time::Instant::now() < end && !unknown.take() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn trust(issuer: &IssuerConfig, keys: Arc<KeySet>) -> TrustedIssuer {
    TrustedIssuer::new(
        issuer.name.clone(),
        issuer.url.clone(),
        issuer.audience.clone(),
        keys,
    )
}

async fn fetch(issuer: &IssuerConfig) -> Result<KeySet, KeysError> {
    let mut client = reqwest::Client::builder()
        .timeout(FETCH_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none());
    if let Some(roots) = &issuer.roots {
        let pem = std::fs::read(roots).unwrap_or_default();
        client = client.tls_certs_merge(reqwest::Certificate::from_pem_bundle(&pem)?);
    }
    let client = client.build()?;
    let well_known = discovery::document_url(&issuer.url).map_err(KeysError::Discovery)?;
    let document = get(&client, &well_known).await?;
    let found = discovery::parse(&document, &issuer.url).map_err(KeysError::Discovery)?;
    if found.development && issuer.development == DevelopmentIssuers::Refuse {
        return Err(KeysError::OperatorDevelopmentProvider);
    }
    let set = get(&client, &found.jwks_uri).await?;
    jwks::parse(&set).map_err(KeysError::Keys)
}

async fn get(client: &reqwest::Client, url: &str) -> Result<Vec<u8>, KeysError> {
    let mut answer = client.get(url).send().await?.error_for_status()?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(KeysError::Oversized);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;

    use super::*;

    /// An issuer on loopback without keys; its discovery document ends with `member`.
    async fn issuer(member: &str, development: DevelopmentIssuers) -> IssuerConfig {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let document = format!(r#"{{"issuer":"{url}","jwks_uri":"{url}/jwks"{member}}}"#);
        let pages = Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(async move || document),
            )
            .route("/jwks", get(async || r#"{"keys":[]}"#));
        tokio::spawn(async move { axum::serve(listener, pages).await.unwrap() });
        IssuerConfig {
            name: "local".to_owned(),
            url,
            audience: "sluice".to_owned(),
            roots: None,
            development,
        }
    }

    #[test]
    fn takes_no_keys_from_a_development_provider_unless_allowed() {
        use DevelopmentIssuers::{Allow, Refuse};
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let marked = r#","sluice_development_provider":true"#;
        runtime.block_on(async {
            for (member, development, refused) in [
                (marked, Refuse, true),
                (marked, Allow, false),
                ("", Refuse, false),
            ] {
                let fetched = fetch(&issuer(member, development).await).await;
                assert_eq!(
                    matches!(fetched, Err(KeysError::OperatorDevelopmentProvider)),
                    refused,
                    "{member} {development:?}: {fetched:?}"
                );
                assert_eq!(fetched.is_ok(), !refused, "{fetched:?}");
            }
        });
    }
}
