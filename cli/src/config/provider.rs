//! The development provider's part of the configuration, and its client list as a file of its own.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Map, Value};

use super::fields::{self, Fields, Mistake, Mistakes, Node, line_of};
use super::read::Reader;
use super::sections::secret;
use super::{Planes, Secret};
use crate::limits::{PROVIDER_CLIENTS_COUNT_MAX, TOKEN_TTL_S_DEFAULT, TOKEN_TTL_S_MAX};

/// The development provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProviderConfig {
    /// What bindings call it.
    pub(crate) name: String,
    /// Loopback.
    pub(crate) listen: SocketAddr,
    pub(crate) clients: Vec<ProviderClient>,
}

/// Somebody who gets tokens from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProviderClient {
    pub(crate) id: String,
    pub(crate) secret: Secret,
    /// What its tokens say besides what every token says; `sub` is the id unless stated.
    pub(crate) claims: Map<String, Value>,
    pub(crate) ttl_s: u32,
}

/// Claims that the provider alone sets.
const RESERVED: [&str; 6] = ["iss", "aud", "exp", "iat", "nbf", "jti"];

/// Reads a client list: `clients: [{id, secret | secret_file, claims, ttl_s}]`.
///
/// # Errors
/// Every mistake, by line.
pub(crate) fn read_clients(text: &str, base: &Path) -> Result<Vec<ProviderClient>, Vec<Mistake>> {
    let root = fields::load(text).map_err(|mistake| vec![mistake])?;
    let mut mistakes = Mistakes::default();
    let mut top = Fields::of("the client list", &root, &mut mistakes);
    let mut reader = Reader {
        planes: Planes::Both,
        base,
        mistakes: &mut mistakes,
    };
    let clients = clients(&mut top, &mut reader);
    top.finish(&mut mistakes);
    let mistakes = mistakes.into_sorted();
    if mistakes.is_empty() {
        Ok(clients)
    } else {
        Err(mistakes)
    }
}

pub(super) fn read_provider(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<ProviderConfig> {
    let mut fields = Fields::of("`development_provider`", node, reader.mistakes);
    let name = fields
        .text("name", reader.mistakes)
        .unwrap_or_else(|| "development".to_owned());
    let listen: Option<SocketAddr> = fields.parse(
        "listen",
        "an address and a port, such as 127.0.0.1:7081",
        reader.mistakes,
    );
    let listen = listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 7_081)));
    if !listen.ip().is_loopback() {
        let message = format!("the development provider listens on loopback only, not on {listen}");
        reader.mistakes.add(fields.line(), message);
    }
    let clients = clients(&mut fields, reader);
    fields.finish(reader.mistakes);
    Some(ProviderConfig {
        name,
        listen,
        clients,
    })
}

fn clients(fields: &mut Fields<'_, '_>, reader: &mut Reader<'_>) -> Vec<ProviderClient> {
    let nodes = fields.items("clients", reader.mistakes);
    if nodes.is_empty() || nodes.len() > PROVIDER_CLIENTS_COUNT_MAX {
        reader.mistakes.add(
            fields.line(),
            format!("there are 1 to {PROVIDER_CLIENTS_COUNT_MAX} `clients`"),
        );
    }
    let mut clients: Vec<ProviderClient> = Vec::new();
    for node in nodes.iter().take(PROVIDER_CLIENTS_COUNT_MAX) {
        let Some(client) = client(node, reader) else {
            continue;
        };
        if clients.iter().any(|other| other.id == client.id) {
            reader.mistakes.add(
                line_of(node),
                format!("client {} stands here twice", client.id),
            );
        }
        clients.push(client);
    }
    clients
}

fn client(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<ProviderClient> {
    let mut fields = Fields::of("a client", node, reader.mistakes);
    let id = fields.require_text("id", reader.mistakes);
    let secret = secret("secret", "secret_file", &mut fields, reader);
    let claims_node = fields.take("claims");
    let claims = match claims_node.map(fields::json) {
        None => Map::new(),
        Some(Value::Object(claims)) => claims,
        Some(_) => {
            reader
                .mistakes
                .add(fields.line(), "`claims` is a mapping of claim to value");
            Map::new()
        }
    };
    let ttl_s: u32 = fields
        .parse("ttl_s", "seconds", reader.mistakes)
        .unwrap_or(TOKEN_TTL_S_DEFAULT);
    let line = fields.line();
    fields.finish(reader.mistakes);
    if !(1..=TOKEN_TTL_S_MAX).contains(&ttl_s) {
        reader
            .mistakes
            .add(line, format!("`ttl_s` is 1 to {TOKEN_TTL_S_MAX} seconds"));
    }
    if let Some(reserved) = RESERVED.into_iter().find(|name| claims.contains_key(*name)) {
        reader.mistakes.add(
            line,
            format!("the claim `{reserved}` is the provider's own; remove it"),
        );
    }
    if claims.get("sub").is_some_and(|sub| !sub.is_string()) {
        reader
            .mistakes
            .add(line, "the claim `sub` is a text; put it in quotes");
    }
    let id = id?;
    if !is_unreserved(&id) {
        reader.mistakes.add(
            line,
            format!("client id {id} holds more than letters, digits, `-`, `.`, `_`, `~`"),
        );
    }
    Some(ProviderClient {
        id,
        secret: secret?,
        claims,
        ttl_s,
    })
}

/// Whether a text reads the same with and without form encoding (RFC 6749 section 2.3.1 asks for it, clients differ).
pub(crate) fn is_unreserved(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}
