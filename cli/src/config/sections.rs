//! The issuers and the data plane's sections of `sluice.yaml`, one function each. `None` means that mistakes were added.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sluice_dataplane::config::{BrokerAddresses, BrokerNames};
use sluice_identity::discovery;

use super::fields::{self, Fields, Node};
use super::read::Reader;
use super::{
    BrokerCredential, BrokerTls, Brokers, Issuer, KeyPairFiles, Link, Listen, Planes,
    SaslMechanism, Secret,
};

const BOOTSTRAP_PORT: u16 = 19_092;
const BROKER_PORT_BASE: u16 = 19_093;
/// Clients mostly share the machine's cores with the gateway where nobody said otherwise.
const HOT_US: u32 = 0;
const CONNECTIONS_MEMORY_MIB: usize = 4_096;
/// Two shards can still carry the longest request and answer at once.
const CONNECTIONS_MEMORY_MIB_MIN: usize = 512;

pub(super) const ADDRESS: &str = "an address and a port, such as 127.0.0.1:9464";
const PORT: &str = "a port, 0 to 65535";

pub(super) fn issuer(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Issuer> {
    let mut fields = Fields::of("an issuer", node, reader.mistakes);
    let name = fields.require_text("name", reader.mistakes);
    let url = fields.require_text("url", reader.mistakes);
    let audience = fields
        .text("audience", reader.mistakes)
        .unwrap_or_else(|| "sluice".to_owned());
    let roots = fields
        .text("roots", reader.mistakes)
        .map(|path| reader.path(&path));
    let development = fields.truth("development", reader.mistakes);
    let line = fields.line();
    fields.finish(reader.mistakes);
    let (name, url) = (name?, url?);
    if let Err(error) = discovery::document_url(&url) {
        reader.mistakes.add(
            line,
            format!(
                "issuer {name}: {error}; write an https:// URL without query (http:// only to loopback)"
            ),
        );
    }
    if development && reader.planes != Planes::Both {
        let message = format!(
            "issuer {name} is for development: anybody on this machine could imitate it. Only `sluice up` accepts it; name a real one"
        );
        reader.mistakes.add(line, message);
    }
    Some(Issuer {
        name,
        url,
        audience,
        roots,
    })
}

pub(super) fn listen(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Listen> {
    let mut fields = Fields::of("`listen`", node, reader.mistakes);
    let host = fields.parse("host", "an IP address, such as 127.0.0.1", reader.mistakes);
    let host: IpAddr = host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let advertised_host = fields.text("advertised_host", reader.mistakes);
    let bootstrap_port = fields
        .parse("bootstrap_port", PORT, reader.mistakes)
        .unwrap_or(BOOTSTRAP_PORT);
    let broker_port_base = fields.parse("broker_port_base", PORT, reader.mistakes);
    let broker_names = fields.text("broker_names", reader.mistakes);
    let tls_node = fields.take("tls");
    let tls = tls_node.and_then(|node| key_pair("`listen.tls`", node, reader));
    let line = fields.line();
    fields.finish(reader.mistakes);
    if advertised_host.is_none() && host.is_unspecified() {
        let message =
            "`listen` has no `advertised_host`; add the name at which clients reach this machine";
        reader.mistakes.add(line, message);
    }
    if tls_node.is_none() && !host.is_loopback() {
        let message = format!(
            "{host} is not loopback and there is no `tls`: bearer tokens would be readable on the way; add `tls`, or listen on 127.0.0.1"
        );
        reader.mistakes.add(line, message);
    }
    let brokers = match (broker_names, broker_port_base) {
        (None, base) => BrokerAddresses::Ports {
            base: base.unwrap_or(BROKER_PORT_BASE),
        },
        (Some(pattern), base) => {
            if base.is_some() {
                let message = "`broker_names` and `broker_port_base` are two ways to the same brokers; keep one";
                reader.mistakes.add(line, message);
            }
            if tls_node.is_none() {
                let message = "`broker_names` needs `tls`: it is there that a client says which name it came for";
                reader.mistakes.add(line, message);
            }
            let Some(names) = BrokerNames::parse(&pattern) else {
                let message = format!(
                    "`broker_names: {pattern}` is not a DNS name with the number in its first label, such as broker-{{node}}.kafka.example"
                );
                reader.mistakes.add(line, message);
                return None;
            };
            let advertised = advertised_host.as_deref().unwrap_or_default();
            if names.node(advertised).is_some() {
                let message = format!(
                    "`advertised_host: {advertised}` is a broker's name by `broker_names`; give clients another one to start from"
                );
                reader.mistakes.add(line, message);
            }
            BrokerAddresses::Names(names)
        }
    };
    let advertised_host = advertised_host.unwrap_or_else(|| host.to_string());
    Some(Listen {
        host,
        advertised_host,
        bootstrap_port,
        brokers,
        tls,
    })
}

pub(super) fn brokers(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Brokers> {
    let mut fields = Fields::of("`brokers`", node, reader.mistakes);
    let bootstrap = fields.texts("bootstrap", reader.mistakes);
    let credential_node = fields.take("credential");
    let credential = credential_node.and_then(|node| credential(node, reader));
    let danger_none = fields.truth("danger_no_credential", reader.mistakes);
    let tls = fields.take("tls").and_then(|node| {
        let mut tls = Fields::of("`brokers.tls`", node, reader.mistakes);
        let roots = tls
            .require_text("roots", reader.mistakes)
            .map(|path| reader.path(&path));
        tls.finish(reader.mistakes);
        Some(BrokerTls { roots: roots? })
    });
    let line = fields.line();
    fields.finish(reader.mistakes);
    if bootstrap.is_empty() {
        reader.mistakes.add(
            line,
            "`brokers` names no `bootstrap` address; add [host:port]",
        );
    }
    for address in &bootstrap {
        let sound = address
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if !sound {
            reader
                .mistakes
                .add(line, format!("`{address}` is not host:port"));
        }
    }
    let credential = match (credential_node, danger_none) {
        (Some(_), false) => credential?,
        (None, true) => BrokerCredential::DangerNone,
        (Some(_), true) => {
            reader.mistakes.add(
                line,
                "`brokers` has a credential and `danger_no_credential`; keep one",
            );
            return None;
        }
        (None, false) => {
            let message = "`brokers` has no `credential`: brokers that answer without one answer anybody, not the gateway alone. Add one, or `danger_no_credential: true`";
            reader.mistakes.add(line, message);
            return None;
        }
    };
    Some(Brokers {
        bootstrap,
        credential,
        tls,
    })
}

fn credential(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<BrokerCredential> {
    let mut fields = Fields::of("`brokers.credential`", node, reader.mistakes);
    let kinds = [
        ("plain", SaslMechanism::Plain),
        ("scram-sha-256", SaslMechanism::ScramSha256),
        ("scram-sha-512", SaslMechanism::ScramSha512),
    ];
    let found: Vec<_> = kinds
        .iter()
        .filter_map(|(key, mechanism)| Some((*mechanism, fields.take(key)?)))
        .collect();
    let line = fields.line();
    fields.finish(reader.mistakes);
    let [(mechanism, node)] = found.as_slice() else {
        reader.mistakes.add(
            line,
            "`brokers.credential` has exactly one of plain, scram-sha-256, scram-sha-512",
        );
        return None;
    };
    let mut fields = Fields::of("the credential", node, reader.mistakes);
    let username = fields.require_text("username", reader.mistakes);
    let password = secret("password", "password_file", &mut fields, reader);
    fields.finish(reader.mistakes);
    Some(BrokerCredential::Sasl {
        mechanism: *mechanism,
        username: username?,
        password: password?,
    })
}

/// A secret under `text_key`, or the file that holds it under `file_key`.
pub(super) fn secret(
    text_key: &'static str,
    file_key: &'static str,
    fields: &mut Fields<'_, '_>,
    reader: &mut Reader<'_>,
) -> Option<Secret> {
    let file = fields
        .text(file_key, reader.mistakes)
        .map(|path| Secret::File(reader.path(&path)));
    let text = fields.text(text_key, reader.mistakes).map(Secret::Text);
    match (file, text) {
        (Some(secret), None) | (None, Some(secret)) => Some(secret),
        _ => {
            let message = format!("there is exactly one of `{file_key}` (better) and `{text_key}`");
            reader.mistakes.add(fields.line(), message);
            None
        }
    }
}

/// CPUs, and how long a shard polls.
pub(super) fn shards(node: &Node<'_>, reader: &mut Reader<'_>) -> (Vec<usize>, u32) {
    let mut fields = Fields::of("`shards`", node, reader.mistakes);
    let cpus = fields.items("cpus", reader.mistakes);
    let cpus = cpus
        .iter()
        .filter_map(|node| fields::parse("a CPU", node, "a number from 0", reader.mistakes))
        .collect();
    let hot_us = fields
        .parse("hot_us", "microseconds, 0 to 1000", reader.mistakes)
        .unwrap_or(HOT_US);
    if hot_us > 1_000 {
        reader
            .mistakes
            .add(fields.line(), "`hot_us` is microseconds, 0 to 1000");
    }
    fields.finish(reader.mistakes);
    (cpus, hot_us)
}

/// Memory of all connections together, in bytes.
pub(super) fn connections_memory(top: &mut Fields<'_, '_>, reader: &mut Reader<'_>) -> usize {
    const KEY: &str = "connections_memory_mib";
    let mib = top.take(KEY).and_then(|node| {
        let wanted = format!("a number of MiB, {CONNECTIONS_MEMORY_MIB_MIN} or more");
        let mib: usize = fields::parse(&format!("`{KEY}`"), node, &wanted, reader.mistakes)?;
        if mib < CONNECTIONS_MEMORY_MIB_MIN {
            let message = format!("`{KEY}` is {wanted}, not {mib}");
            reader.mistakes.add(fields::line_of(node), message);
        }
        Some(mib)
    });
    mib.unwrap_or(CONNECTIONS_MEMORY_MIB)
        .saturating_mul(1024 * 1024)
}

pub(super) fn metrics(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<SocketAddr> {
    let mut fields = Fields::of("`metrics`", node, reader.mistakes);
    let node = fields.require("listen", reader.mistakes);
    fields.finish(reader.mistakes);
    fields::parse("`metrics.listen`", node?, ADDRESS, reader.mistakes)
}

pub(super) fn link(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Link> {
    let mut fields = Fields::of("`link`", node, reader.mistakes);
    let endpoint = fields.require_text("endpoint", reader.mistakes);
    let certificate = fields
        .require_text("certificate", reader.mistakes)
        .map(|path| reader.path(&path));
    let key = fields
        .require_text("key", reader.mistakes)
        .map(|path| reader.path(&path));
    let roots = fields
        .require_text("roots", reader.mistakes)
        .map(|path| reader.path(&path));
    let server_name = fields.text("server_name", reader.mistakes);
    let line = fields.line();
    fields.finish(reader.mistakes);
    let endpoint = endpoint?;
    let Some(host) = endpoint
        .strip_prefix("https://")
        .map(host_of)
        .filter(|host| !host.is_empty())
    else {
        reader.mistakes.add(
            line,
            "`link.endpoint` is https://host:port: the link carries mask keys",
        );
        return None;
    };
    let server_name = server_name.unwrap_or_else(|| host.to_owned());
    Some(Link {
        key_pair: KeyPairFiles {
            certificate: certificate?,
            key: key?,
        },
        roots: roots?,
        server_name,
        endpoint,
    })
}

fn host_of(authority: &str) -> &str {
    let authority = authority.split('/').next().unwrap_or_default();
    authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host)
}

pub(super) fn key_pair(
    what: &str,
    node: &Node<'_>,
    reader: &mut Reader<'_>,
) -> Option<KeyPairFiles> {
    let mut fields = Fields::of(what, node, reader.mistakes);
    let certificate = fields
        .require_text("certificate", reader.mistakes)
        .map(|path| reader.path(&path));
    let key = fields
        .require_text("key", reader.mistakes)
        .map(|path| reader.path(&path));
    fields.finish(reader.mistakes);
    Some(KeyPairFiles {
        certificate: certificate?,
        key: key?,
    })
}
