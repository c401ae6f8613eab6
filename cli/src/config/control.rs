//! The control plane's section of `sluice.yaml`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::fields::{self, Fields, Node, line_of};
use super::read::Reader;
use super::sections::ADDRESS;
use super::{BootstrapAuthor, ControlSection, ControlTls, KeyPairFiles, Planes, Store};

const GRPC: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7_443);
const DASHBOARD: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7_080);

pub(super) fn absent(name: Option<&str>) -> ControlSection {
    ControlSection {
        grpc: GRPC,
        dashboard: Some(DASHBOARD),
        store: Store::Embedded,
        tls: None,
        webhook: None,
        bootstrap_author: None,
        evidence_origin: name.unwrap_or("sluice").to_owned(),
    }
}

pub(super) fn read(
    node: &Node<'_>,
    issuers: &[String],
    name: Option<&str>,
    reader: &mut Reader<'_>,
) -> Option<ControlSection> {
    let mut fields = Fields::of("`control`", node, reader.mistakes);
    let mut section = absent(name);
    section.grpc = fields
        .parse("grpc", ADDRESS, reader.mistakes)
        .unwrap_or(section.grpc);
    if let Some(node) = fields.take("dashboard") {
        let off = fields::json(node) == serde_json::Value::Bool(false);
        section.dashboard = if off {
            None
        } else {
            fields::parse(
                "`dashboard`",
                node,
                "an address and a port, or false",
                reader.mistakes,
            )
        };
        if let Some(address) = section
            .dashboard
            .filter(|address| !address.ip().is_loopback())
        {
            let message = format!(
                "the dashboard is plain HTTP, so it listens on loopback only, not on {address}; put a proxy with TLS in front"
            );
            reader.mistakes.add(line_of(node), message);
        }
    }
    if let Some(node) = fields.take("store") {
        section.store = store(node, reader).unwrap_or(Store::Embedded);
    }
    section.webhook = fields.text("webhook", reader.mistakes);
    section.evidence_origin = fields
        .text("evidence_origin", reader.mistakes)
        .unwrap_or(section.evidence_origin);
    section.bootstrap_author = fields
        .take("bootstrap_author")
        .and_then(|node| bootstrap_author(node, issuers, reader));
    let tls_node = fields.take("tls");
    section.tls = tls_node.and_then(|node| control_tls(node, reader));
    let line = fields.line();
    fields.finish(reader.mistakes);
    match (reader.planes, tls_node) {
        (Planes::Control, None) => {
            let message = "`control` has no `tls`: the link carries mask keys; add {certificate, key, gateway_ca}";
            reader.mistakes.add(line, message);
        }
        (Planes::Both, Some(node)) => {
            let message = "`sluice up` makes its own certificates; remove `control.tls`, or run `sluice control`";
            reader.mistakes.add(line_of(node), message);
        }
        _ => {}
    }
    Some(section)
}

fn store(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Store> {
    if fields::json(node) == "embedded" {
        return Some(Store::Embedded);
    }
    let line = line_of(node);
    let mut fields = Fields::of(
        "`store` is `embedded` or {etcd: ..}; here it",
        node,
        reader.mistakes,
    );
    let etcd = fields.take("etcd");
    fields.finish(reader.mistakes);
    let mut etcd = Fields::of("`store.etcd`", etcd?, reader.mistakes);
    let endpoints = etcd.texts("endpoints", reader.mistakes);
    let prefix = etcd
        .text("prefix", reader.mistakes)
        .unwrap_or_else(|| "/sluice/".to_owned());
    etcd.finish(reader.mistakes);
    if endpoints.is_empty() {
        reader.mistakes.add(
            line,
            "`store.etcd` names no `endpoints`; add [http://host:2379]",
        );
    }
    Some(Store::Etcd { endpoints, prefix })
}

fn bootstrap_author(
    node: &Node<'_>,
    issuers: &[String],
    reader: &mut Reader<'_>,
) -> Option<BootstrapAuthor> {
    let mut fields = Fields::of("`bootstrap_author`", node, reader.mistakes);
    let issuer = fields.require_text("issuer", reader.mistakes);
    let claim = fields
        .text("claim", reader.mistakes)
        .unwrap_or_else(|| "sub".to_owned());
    let value = fields.require_text("value", reader.mistakes);
    fields.finish(reader.mistakes);
    let issuer = issuer?;
    if !issuers.contains(&issuer) {
        let message = format!(
            "there is no issuer {issuer}; there are {}",
            issuers.join(", ")
        );
        reader.mistakes.add(line_of(node), message);
    }
    Some(BootstrapAuthor {
        issuer,
        claim,
        value: value?,
    })
}

fn control_tls(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<ControlTls> {
    let mut fields = Fields::of("`control.tls`", node, reader.mistakes);
    let certificate = fields
        .require_text("certificate", reader.mistakes)
        .map(|path| reader.path(&path));
    let key = fields
        .require_text("key", reader.mistakes)
        .map(|path| reader.path(&path));
    let gateway_ca = fields
        .require_text("gateway_ca", reader.mistakes)
        .map(|path| reader.path(&path));
    fields.finish(reader.mistakes);
    Some(ControlTls {
        key_pair: KeyPairFiles {
            certificate: certificate?,
            key: key?,
        },
        gateway_ca: gateway_ca?,
    })
}
