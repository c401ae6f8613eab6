//! What the process was told: plain values, parsed and checked by the caller before a gateway starts.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use sluice_session::login::Credential;

/// One gateway process.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// The name that evidence logs and the control plane know it by.
    pub name: String,
    /// Holds evidence, the last good snapshot and the evidence signing key.
    pub state_dir: PathBuf,
    /// Where clients connect.
    pub listen: Listen,
    /// TLS towards clients; `None` is plain text.
    pub client_tls: Option<Arc<rustls::ServerConfig>>,
    /// Bootstrap addresses of the cluster, `host:port`.
    pub brokers: Vec<String>,
    /// How the gateway proves itself to the brokers.
    pub broker_credential: Credential,
    /// TLS towards brokers; `None` is plain text.
    pub broker_tls: Option<Arc<rustls::ClientConfig>>,
    /// Whose tokens are accepted.
    pub issuers: Vec<IssuerConfig>,
    /// The control plane; without one the gateway runs on its last good snapshot.
    pub link: Option<LinkConfig>,
    /// One shard for each, pinned; empty means one unpinned shard per core.
    pub shard_cpus: Vec<usize>,
    /// Microseconds that a shard keeps polling after its last event; 0 where clients share the cores.
    pub hot_us: u32,
    /// Metrics and readiness over HTTP.
    pub metrics: Option<SocketAddr>,
}

/// Client-side listeners: one for bootstrap, one per broker at a port that its node id fixes.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Address bound.
    pub host: IpAddr,
    /// Host name that clients are told.
    pub advertised_host: String,
    /// Bootstrap port.
    pub bootstrap_port: u16,
    /// Broker `n` is at `broker_port_base + n`, so that a restart moves nobody.
    pub broker_port_base: u16,
}

/// One OIDC issuer.
#[derive(Debug, Clone)]
pub struct IssuerConfig {
    /// What bindings call it.
    pub name: String,
    /// The `iss` of its tokens; discovery is at `/.well-known/openid-configuration` below it.
    pub url: String,
    /// The `aud` that tokens for this gateway must carry.
    pub audience: String,
    /// PEM file with further roots for its HTTPS endpoint.
    pub roots: Option<PathBuf>,
    /// Whether it may be the development provider.
    pub development: DevelopmentIssuers,
}

/// Whether keys are taken from an issuer whose discovery document says that it is the development provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DevelopmentIssuers {
    /// Only where both planes run in one process for a demonstration.
    Allow,
    /// Everywhere else.
    Refuse,
}

/// The control link.
#[derive(Debug, Clone)]
pub struct LinkConfig {
    /// `https://host:port` (`http://` only to loopback, within one process).
    pub endpoint: String,
    /// The gateway's certificate chain and key, PEM, and the roots that the control plane must chain to.
    pub tls: Option<LinkTls>,
}

/// Material for mutual TLS.
#[derive(Clone)]
pub struct LinkTls {
    /// The gateway's certificate chain, PEM.
    pub certificate_pem: String,
    /// Its private key, PEM.
    pub key_pem: String,
    /// Roots of the control plane's certificate, PEM.
    pub roots_pem: String,
    /// The name that the control plane's certificate must carry.
    pub server_name: String,
}

/// The key is not printed.
impl std::fmt::Debug for LinkTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkTls")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}
