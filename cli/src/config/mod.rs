//! The process's own configuration, `sluice.yaml`: what it listens on, whom it trusts, where its state is.
//!
//! Reading has two steps. [`read()`] turns text into these types and reports every mistake with its line; it opens no other
//! file. [`material`] opens the files that they name: certificates, keys, passwords.

mod control;
mod fields;
pub(crate) mod material;
mod provider;
mod read;
mod sections;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use sluice_dataplane::config::BrokerAddresses;

pub(crate) use provider::{ProviderClient, ProviderConfig, read_clients};
#[cfg(test)]
pub(crate) use read::read;
pub(crate) use read::{load, mistakes_text};

/// Which planes the process runs: they decide which sections must be there, and which may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planes {
    /// `sluice up`.
    Both,
    /// `sluice gateway`.
    Gateway,
    /// `sluice control`.
    Control,
}

/// A whole, consistent configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// The gateway's name; a DNS name, since its certificate carries it.
    pub(crate) name: String,
    /// Below it each plane has a folder of its own.
    pub(crate) state_dir: PathBuf,
    /// Whose tokens are accepted; the development provider's is not among them.
    pub(crate) issuers: Vec<Issuer>,
    /// There unless the process is a control plane alone.
    pub(crate) gateway: Option<GatewaySection>,
    /// There unless the process is a gateway alone.
    pub(crate) control: Option<ControlSection>,
    /// Only for [`Planes::Both`].
    pub(crate) development_provider: Option<ProviderConfig>,
}

/// One OIDC issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issuer {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) audience: String,
    /// PEM file with further roots for its HTTPS endpoint.
    pub(crate) roots: Option<PathBuf>,
}

/// What the data plane needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GatewaySection {
    pub(crate) listen: Listen,
    pub(crate) brokers: Brokers,
    pub(crate) shard_cpus: Vec<usize>,
    pub(crate) hot_us: u32,
    /// Memory that all connections may hold together.
    pub(crate) connections_bytes_max: usize,
    pub(crate) metrics: Option<SocketAddr>,
    /// `None`: the last good snapshot has to do. `sluice up` makes its own.
    pub(crate) link: Option<Link>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) host: IpAddr,
    pub(crate) advertised_host: String,
    pub(crate) bootstrap_port: u16,
    pub(crate) brokers: BrokerAddresses,
    pub(crate) tls: Option<KeyPairFiles>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Brokers {
    /// `host:port`.
    pub(crate) bootstrap: Vec<String>,
    pub(crate) credential: BrokerCredential,
    pub(crate) tls: Option<BrokerTls>,
}

/// TLS towards the brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BrokerTls {
    /// PEM file.
    pub(crate) roots: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BrokerCredential {
    Sasl {
        mechanism: SaslMechanism,
        username: String,
        password: Secret,
    },
    /// The brokers answer anybody.
    DangerNone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SaslMechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

/// A secret, or where it is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Secret {
    File(PathBuf),
    Text(String),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Text(_) => f.write_str("Text"),
        }
    }
}

/// PEM files of a certificate chain and its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyPairFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Where a gateway finds its control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) endpoint: String,
    pub(crate) key_pair: KeyPairFiles,
    /// PEM file with the roots of the control plane's certificate.
    pub(crate) roots: PathBuf,
    /// The name that the control plane's certificate must carry.
    pub(crate) server_name: String,
}

/// What the control plane needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ControlSection {
    pub(crate) grpc: SocketAddr,
    /// `None`: switched off.
    pub(crate) dashboard: Option<SocketAddr>,
    pub(crate) store: Store,
    /// There exactly for [`Planes::Control`]; `sluice up` generates certificates.
    pub(crate) tls: Option<ControlTls>,
    pub(crate) webhook: Option<String>,
    pub(crate) bootstrap_author: Option<BootstrapAuthor>,
    /// First part of the origin line of the control plane's evidence log.
    pub(crate) evidence_origin: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ControlTls {
    pub(crate) key_pair: KeyPairFiles,
    /// PEM file with the authority of the gateways' certificates.
    pub(crate) gateway_ca: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Store {
    Embedded,
    Etcd {
        endpoints: Vec<String>,
        prefix: String,
    },
}

/// Who may author policy while no binding gives anybody that role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BootstrapAuthor {
    pub(crate) issuer: String,
    pub(crate) claim: String,
    pub(crate) value: String,
}
