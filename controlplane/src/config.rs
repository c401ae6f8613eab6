//! What the caller of [`serve`](crate::serve) decides. Nothing is read from the environment.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::clock::Clock;

/// Everything that a control plane needs to start.
#[derive(Clone, Debug)]
pub struct ControlConfig {
    /// gRPC: people's tools and the gateways' links. Port 0 takes a free one.
    pub grpc_listen: SocketAddr,
    /// The dashboard, plain HTTP: loopback only (put a TLS-terminating proxy in front for others). `None`: no dashboard.
    pub dashboard_listen: Option<SocketAddr>,
    /// Certificate of the gRPC listener and the authority of the gateways' certificates.
    pub link: LinkTrust,
    /// Where policy, approvals and the tenant's key are.
    pub store: StoreConfig,
    /// Archive, index and the control plane's own evidence log. Created if missing.
    pub state_dir: PathBuf,
    /// Whose tokens people may show.
    pub issuers: Vec<IssuerConfig>,
    /// Whether the development provider is an issuer: only where both planes run in one process for a demonstration.
    pub development_issuers: DevelopmentIssuers,
    /// Who may author policy while no stored binding gives anybody that role.
    pub first_author: Option<FirstAuthor>,
    /// Told by POST when an approval request opens.
    pub webhook_url: Option<String>,
    /// First part of the origin line of the control plane's own evidence log, such as `sluice.example`.
    pub evidence_origin: String,
    /// The wall clock.
    pub clock: Clock,
}

/// How gateways prove who they are.
#[derive(Clone)]
pub enum LinkTrust {
    /// Mutual TLS. A gateway is the first DNS name of its certificate.
    MutualTls(TlsMaterial),
    /// Nobody proves anything, and mask keys are readable by every local process: tests only. Refused beyond loopback.
    DangerPlainLoopback,
}

/// PEM texts.
#[derive(Clone)]
pub struct TlsMaterial {
    pub certificate_chain_pem: String,
    pub private_key_pem: String,
    /// The authority that signed the gateways' certificates.
    pub gateway_ca_pem: String,
}

/// Where the state is.
#[derive(Clone, Debug)]
pub enum StoreConfig {
    /// SQLite in the state directory.
    Embedded,
    /// etcd 3.4 or newer; all keys start with `prefix`.
    Etcd {
        endpoints: Vec<String>,
        prefix: String,
    },
}

/// An OIDC issuer.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// How bindings call it (`match: {issuer: …}`).
    pub name: String,
    /// The `iss` of its tokens; discovery starts at `<url>/.well-known/openid-configuration`.
    pub url: String,
    /// The `aud` that its tokens must contain.
    pub audience: String,
    /// Where its keys are, if discovery is not to be used. Must be `https` unless development issuers are allowed.
    pub jwks_url: Option<String>,
    /// The claim that names the principal, `sub` unless the issuer does otherwise.
    pub principal_claim: String,
}

/// Whether keys are taken from an issuer whose discovery document says that it is the development provider.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DevelopmentIssuers {
    Allow,
    Refuse,
}

/// The person who fills an empty store.
#[derive(Clone, Debug)]
pub struct FirstAuthor {
    /// Name of the issuer.
    pub issuer: String,
    /// The claim that identifies the person, such as `sub`; its value is also the person's name.
    pub claim: String,
    pub value: String,
}

impl fmt::Debug for LinkTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MutualTls(_) => "MutualTls",
            Self::DangerPlainLoopback => "DangerPlainLoopback",
        })
    }
}

impl fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsMaterial")
    }
}
