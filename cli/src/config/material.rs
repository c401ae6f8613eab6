//! Opens the files that a configuration names, and makes of it what the planes take.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sluice_controlplane::clock::Clock;
use sluice_controlplane::config as control;
use sluice_dataplane::config as data;
use sluice_identity::scram::Mechanism;
use sluice_session::login::Credential;

use super::{
    BrokerCredential, Config, ControlSection, GatewaySection, Issuer, KeyPairFiles, Link,
    SaslMechanism, Secret, Store,
};
use crate::failure::Failure;
use crate::limits::SECRET_BYTES_MAX;

/// The data plane's configuration. `link` replaces the configured one: `sluice up` makes its own.
///
/// # Errors
/// A usage failure that names the file.
pub(crate) fn gateway(
    config: &Config,
    section: &GatewaySection,
    issuers: &[Issuer],
    development: control::DevelopmentIssuers,
    link: Option<data::LinkConfig>,
) -> Result<data::GatewayConfig, Failure> {
    let link = match (link, &section.link) {
        (Some(link), _) => Some(link),
        (None, Some(link)) => Some(self::link(link)?),
        (None, None) => None,
    };
    let tls = section.listen.tls.as_ref().map(server_tls).transpose()?;
    let broker_tls = section
        .brokers
        .tls
        .as_ref()
        .map(|tls| client_tls(&tls.roots))
        .transpose()?;
    Ok(data::GatewayConfig {
        name: config.name.clone(),
        state_dir: config.state_dir.join("gateway"),
        listen: data::Listen {
            host: section.listen.host,
            advertised_host: section.listen.advertised_host.clone(),
            bootstrap_port: section.listen.bootstrap_port,
            brokers: section.listen.brokers.clone(),
        },
        client_tls: tls,
        brokers: section.brokers.bootstrap.clone(),
        broker_credential: credential(&section.brokers.credential)?,
        broker_tls,
        issuers: issuers
            .iter()
            .map(|issuer| data::IssuerConfig {
                name: issuer.name.clone(),
                url: issuer.url.clone(),
                audience: issuer.audience.clone(),
                roots: issuer.roots.clone(),
                development: match development {
                    control::DevelopmentIssuers::Allow => data::DevelopmentIssuers::Allow,
                    control::DevelopmentIssuers::Refuse => data::DevelopmentIssuers::Refuse,
                },
            })
            .collect(),
        link,
        shard_cpus: section.shard_cpus.clone(),
        hot_us: section.hot_us,
        connections_bytes_max: section.connections_bytes_max,
        metrics: section.metrics,
    })
}

/// The control plane's configuration.
pub(crate) fn control(
    config: &Config,
    section: &ControlSection,
    issuers: &[Issuer],
    development_issuers: control::DevelopmentIssuers,
    material: control::TlsMaterial,
) -> control::ControlConfig {
    control::ControlConfig {
        grpc_listen: section.grpc,
        dashboard_listen: section.dashboard,
        link: control::LinkTrust::MutualTls(material),
        store: match &section.store {
            Store::Embedded => control::StoreConfig::Embedded,
            Store::Etcd { endpoints, prefix } => control::StoreConfig::Etcd {
                endpoints: endpoints.clone(),
                prefix: prefix.clone(),
            },
        },
        state_dir: config.state_dir.join("control"),
        issuers: issuers
            .iter()
            .map(|issuer| control::IssuerConfig {
                name: issuer.name.clone(),
                url: issuer.url.clone(),
                audience: issuer.audience.clone(),
                jwks_url: None,
                principal_claim: "sub".to_owned(),
            })
            .collect(),
        development_issuers,
        first_author: section
            .bootstrap_author
            .as_ref()
            .map(|author| control::FirstAuthor {
                issuer: author.issuer.clone(),
                claim: author.claim.clone(),
                value: author.value.clone(),
            }),
        webhook_url: section.webhook.clone(),
        evidence_origin: section.evidence_origin.clone(),
        clock: Clock::system(),
    }
}

/// The control plane's own certificate and the authority of the gateways'.
///
/// # Errors
/// A usage failure that names the file.
pub(crate) fn control_tls(tls: &super::ControlTls) -> Result<control::TlsMaterial, Failure> {
    Ok(control::TlsMaterial {
        certificate_chain_pem: text(&tls.key_pair.certificate)?,
        private_key_pem: text(&tls.key_pair.key)?,
        gateway_ca_pem: text(&tls.gateway_ca)?,
    })
}

impl Secret {
    /// The secret, without the line end that editors add to files.
    ///
    /// # Errors
    /// A usage failure that names the file.
    pub(crate) fn read(&self) -> Result<String, Failure> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => read_secret(path),
        }
    }
}

/// A small text file without the line end that editors add.
///
/// # Errors
/// A usage failure that names the file.
pub(crate) fn read_secret(path: &Path) -> Result<String, Failure> {
    let secret = text(path)?;
    let secret = secret.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(Failure::usage(format!("{} is empty", path.display())));
    }
    Ok(secret.to_owned())
}

fn link(link: &Link) -> Result<data::LinkConfig, Failure> {
    let tls = data::LinkTls {
        certificate_pem: text(&link.key_pair.certificate)?,
        key_pem: text(&link.key_pair.key)?,
        roots_pem: text(&link.roots)?,
        server_name: link.server_name.clone(),
    };
    Ok(data::LinkConfig {
        endpoint: link.endpoint.clone(),
        tls: Some(tls),
    })
}

fn credential(credential: &BrokerCredential) -> Result<Credential, Failure> {
    let BrokerCredential::Sasl {
        mechanism,
        username,
        password,
    } = credential
    else {
        return Ok(Credential::DangerNone);
    };
    let (username, password) = (username.clone(), password.read()?);
    Ok(match mechanism {
        SaslMechanism::Plain => Credential::Plain { username, password },
        SaslMechanism::ScramSha256 => Credential::Scram {
            mechanism: Mechanism::ScramSha256,
            username,
            password,
        },
        SaslMechanism::ScramSha512 => Credential::Scram {
            mechanism: Mechanism::ScramSha512,
            username,
            password,
        },
    })
}

fn server_tls(files: &KeyPairFiles) -> Result<Arc<ServerConfig>, Failure> {
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(text(&files.key)?.as_bytes()).map_err(|error| {
        Failure::usage(format!("{}: no private key: {error}", files.key.display()))
    })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let built = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    built
        .map(Arc::new)
        .map_err(|error| Failure::usage(format!("{}: {error}", files.certificate.display())))
}

/// TLS that trusts the roots in a PEM file.
///
/// # Errors
/// A usage failure that names the file.
pub(crate) fn client_tls(roots_file: &Path) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(roots_file)? {
        roots
            .add(certificate)
            .map_err(|error| Failure::usage(format!("{}: {error}", roots_file.display())))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let built = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_root_certificates(roots).with_no_client_auth());
    built
        .map(Arc::new)
        .map_err(|error| Failure::usage(format!("{}: {error}", roots_file.display())))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let pem = text(path)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Failure::usage(format!(
            "{} holds no certificate",
            path.display()
        ))),
        Err(error) => Err(Failure::usage(format!("{}: {error}", path.display()))),
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read =
        File::open(path).and_then(|file| file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text));
    match read {
        Err(error) => Err(Failure::usage(format!(
            "cannot read {}: {error}",
            path.display()
        ))),
        Ok(bytes) if bytes as u64 > SECRET_BYTES_MAX => Err(Failure::usage(format!(
            "{} has more than {SECRET_BYTES_MAX} bytes",
            path.display()
        ))),
        Ok(_) => Ok(text),
    }
}
