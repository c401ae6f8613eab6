//! The development identity provider: an OpenID issuer for demonstrations, with a key that lives as long as the process.
//!
//! It speaks discovery (OpenID Connect Discovery 1.0), JWKS (RFC 7517) and client credentials (RFC 6749 section 4.4). It
//! listens on loopback and nowhere else, and its discovery document says what it is: `sluice gateway` and `sluice control` take no
//! keys from it.

mod key;
mod server;

#[cfg(test)]
mod tests;

use std::path::Path;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::args::DevProviderArgs;
use crate::config::{ProviderConfig, mistakes_text, read_clients};
use crate::failure::Failure;
use server::Provider;

/// The `aud` of every token.
pub(crate) const AUDIENCE: &str = "sluice";

/// A provider that listens; it ends with its runtime.
#[derive(Debug)]
pub(crate) struct RunningProvider {
    pub(crate) name: String,
    /// The issuer, as its tokens name it.
    pub(crate) issuer: String,
    task: JoinHandle<()>,
}

/// Listens and serves in the background.
///
/// # Errors
/// An address that is not loopback or not free, an unreadable secret.
pub(crate) async fn start(config: &ProviderConfig) -> Result<RunningProvider, Failure> {
    if !config.listen.ip().is_loopback() {
        let message = format!(
            "the development provider listens on loopback only, not on {}",
            config.listen
        );
        return Err(Failure::usage(message));
    }
    let failed = |error| {
        Failure::refused(format!(
            "development provider at {}: {error}",
            config.listen
        ))
    };
    let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
    let issuer = format!("http://{}", listener.local_addr().map_err(failed)?);
    let router = Provider::new(issuer.clone(), &config.clients)?.router();
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!("development provider ended: {error}");
        }
    });
    Ok(RunningProvider {
        name: config.name.clone(),
        issuer,
        task,
    })
}

/// `sluice dev-provider`: serves until the process is ended.
///
/// # Errors
/// Those of [`start`], and mistakes in the client list.
pub(crate) fn run_alone(args: &DevProviderArgs) -> Result<(), Failure> {
    let text = std::fs::read_to_string(&args.clients).map_err(|error| {
        Failure::usage(format!("cannot read {}: {error}", args.clients.display()))
    })?;
    let base = args.clients.parent().unwrap_or(Path::new(""));
    let clients = read_clients(&text, base)
        .map_err(|mistakes| Failure::usage(mistakes_text(&args.clients, &mistakes)))?;
    let config = ProviderConfig {
        name: "development".to_owned(),
        listen: args.listen,
        clients,
    };
    crate::block_on(async {
        let provider = start(&config).await?;
        println!("development provider is ready: issuer {}", provider.issuer);
        tokio::select! {
            _ = provider.task => Err(Failure::refused("the development provider ended")),
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    })
}
