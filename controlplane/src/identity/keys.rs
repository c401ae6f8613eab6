//! The present keys of one issuer: fetched, cached, and fetched again no more often than the limits allow.

use std::sync::Arc;

use sluice_identity::discovery;
use sluice_identity::jwks::{self, KeySet};
use sluice_identity::limits::{DISCOVERY_BYTES_MAX, JWKS_BYTES_MAX};
use tokio::sync::Mutex;

use crate::config::{DevelopmentIssuers, IssuerConfig};
use crate::error::Error;
use crate::limits::{ISSUER_REFRESH_MS_MAX, ISSUER_REFRESH_MS_MIN, ISSUER_RETRY_MS_MIN};

/// One issuer and what it last published.
#[derive(Debug)]
pub(super) struct IssuerKeys {
    pub(super) config: IssuerConfig,
    development: DevelopmentIssuers,
    client: reqwest::Client,
    cached: Mutex<Cached>,
}

#[derive(Debug, Default)]
struct Cached {
    /// `None` until the issuer answered once.
    keys: Option<Arc<KeySet>>,
    fetched_unix_ms: i64,
    tried_unix_ms: i64,
}

/// Why keys are wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Want {
    /// Whatever is cached and not old.
    Cached,
    /// A token names a key that the cached ones lack.
    Newer,
}

impl IssuerKeys {
    pub(super) fn new(
        config: IssuerConfig,
        development: DevelopmentIssuers,
        client: reqwest::Client,
    ) -> Self {
        Self {
            config,
            development,
            client,
            cached: Mutex::default(),
        }
    }

    /// The keys, possibly older than wanted: an issuer that is away does not take its valid tokens with it.
    pub(super) async fn keys(&self, want: Want, now_unix_ms: i64) -> Result<Arc<KeySet>, Error> {
        let mut cached = self.cached.lock().await;
        let wait_ms = match (&cached.keys, want) {
            (None, _) => ISSUER_RETRY_MS_MIN,
            (Some(_), Want::Newer) => ISSUER_REFRESH_MS_MIN,
            (Some(_), Want::Cached)
                if now_unix_ms < cached.fetched_unix_ms + ISSUER_REFRESH_MS_MAX =>
            {
                i64::MAX
            }
            (Some(_), Want::Cached) => ISSUER_REFRESH_MS_MIN,
        };
        if cached.tried_unix_ms == 0 || now_unix_ms.saturating_sub(cached.tried_unix_ms) >= wait_ms
        {
            cached.tried_unix_ms = now_unix_ms;
            match self.fetch().await {
                Ok(keys) => {
                    cached.keys = Some(Arc::new(keys));
                    cached.fetched_unix_ms = now_unix_ms;
                }
                Err(why) => tracing::warn!(
                    issuer = self.config.name,
                    "keys could not be fetched: {why}"
                ),
            }
        }
        cached
            .keys
            .clone()
            .ok_or_else(|| Error::OperatorIssuerUnreachable {
                issuer: self.config.name.clone(),
                why: "it has not published any so far".to_owned(),
            })
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        let jwks_url = match &self.config.jwks_url {
            Some(url) => url.clone(),
            None => {
                let url =
                    discovery::document_url(&self.config.url).map_err(|error| error.to_string())?;
                let document = self.get(&url, DISCOVERY_BYTES_MAX).await?;
                let found = discovery::parse(&document, &self.config.url)
                    .map_err(|error| error.to_string())?;
                if found.development && self.development == DevelopmentIssuers::Refuse {
                    return Err(
                        "it is a development provider, which only `sluice up` trusts; configure a real issuer"
                            .to_owned(),
                    );
                }
                found.jwks_uri
            }
        };
        let keys = jwks::parse(&self.get(&jwks_url, JWKS_BYTES_MAX).await?)
            .map_err(|error| error.to_string())?;
        for skipped in keys.skipped() {
            tracing::warn!(
                issuer = self.config.name,
                kid = skipped.kid,
                "a key is not used: {}",
                skipped.flaw
            );
        }
        Ok(keys)
    }

    async fn get(&self, url: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
        let said = |error: reqwest::Error| error.to_string();
        let mut answer = self
            .client
            .get(url)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(said)?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(said)? {
            if body.len() + chunk.len() > bytes_max {
                return Err(format!("{url} answers with more than {bytes_max} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}
