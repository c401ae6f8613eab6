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
    /// Memory that all connections may hold together; each shard has an equal part of it.
    pub connections_bytes_max: usize,
    /// Metrics and readiness over HTTP.
    pub metrics: Option<SocketAddr>,
}

/// Client-side listeners, and what clients are told of brokers.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Address bound.
    pub host: IpAddr,
    /// Host name at which clients bootstrap.
    pub advertised_host: String,
    /// Bootstrap port.
    pub bootstrap_port: u16,
    /// How clients reach each broker.
    pub brokers: BrokerAddresses,
}

/// How clients reach each broker. Both ways depend on nothing but the node id, so that a restart moves nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerAddresses {
    /// Broker `n` is at the advertised host and port `base + n`.
    Ports {
        /// Of broker 0.
        base: u16,
    },
    /// Each broker has a name, all at the bootstrap port. TLS says which one the client came for.
    Names(BrokerNames),
}

/// Names of brokers, as clients state them in TLS (SNI, RFC 6066 section 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerNames {
    before: String,
    after: String,
}

impl BrokerNames {
    /// From a DNS name with `{node}` in its first label, such as `broker-{node}.kafka.example`.
    #[must_use]
    pub fn parse(pattern: &str) -> Option<Self> {
        let pattern = pattern.to_ascii_lowercase();
        let (before, after) = pattern.split_once("{node}")?;
        let (label, domain) = after.split_once('.')?;
        let plain = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        let sound = plain(before)
            && plain(label)
            && domain
                .split('.')
                .all(|label| !label.is_empty() && plain(label));
        // A digit beside the number would make it another number.
        let apart = !before.ends_with(|end: char| end.is_ascii_digit())
            && !label.starts_with(|start: char| start.is_ascii_digit());
        (sound && apart).then(|| Self {
            before: before.to_owned(),
            after: after.to_owned(),
        })
    }

    /// The name of a node.
    #[must_use]
    pub fn name(&self, node: i32) -> String {
        format!("{}{node}{}", self.before, self.after)
    }

    /// The node of a name; upper and lower case are the same.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<i32> {
        let name = name.to_ascii_lowercase();
        let number = name.strip_prefix(&self.before)?.strip_suffix(&self.after)?;
        let node = i32::try_from(number.parse::<u32>().ok()?).ok()?;
        // One name for one node: no sign, no leading zero.
        (self.name(node) == name).then_some(node)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_has_one_name_and_a_name_one_broker() {
        let names = BrokerNames::parse("Broker-{node}.kafka.example").unwrap();
        assert_eq!(names.name(12), "broker-12.kafka.example");
        assert_eq!(names.node("BROKER-12.kafka.Example"), Some(12));
        for other in [
            "broker-012.kafka.example",
            "broker-+1.kafka.example",
            "broker-.kafka.example",
            "broker--5.kafka.example",
            "broker-1.kafka.example.",
            "broker-99999999999.kafka.example",
            "kafka.example",
            "broker-1.kafka.exampl",
        ] {
            assert_eq!(names.node(other), None, "{other}");
        }
    }

    #[test]
    fn a_pattern_is_a_dns_name_with_the_number_in_its_first_label() {
        assert!(BrokerNames::parse("b{node}.example").is_some());
        assert!(BrokerNames::parse("{node}-b.kafka.example").is_some());
        for wrong in [
            "kafka.example",
            "b{node}",
            "kafka.b{node}.example",
            "b1{node}.example",
            "b{node}1.example",
            "b {node}.example",
            "b{node}..example",
            "b{node}.",
            "b{node}.{node}.example",
        ] {
            assert_eq!(BrokerNames::parse(wrong), None, "{wrong}");
        }
    }
}
