//! OIDC discovery documents (OpenID Connect Discovery 1.0 section 4, RFC 8414): where an issuer publishes its keys.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use crate::json;
use crate::limits::{DISCOVERY_BYTES_MAX, URL_BYTES_MAX};

/// What a discovery document says, as far as it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// The issuer, exactly as configured and as in the `iss` of its tokens.
    pub issuer: String,
    /// Where its JWKS is.
    pub jwks_uri: String,
    /// Where clients get tokens, if the issuer says so.
    pub token_endpoint: Option<String>,
    /// Whether it calls itself a development provider (`sluice_development_provider`): whoever is on its machine may be anybody.
    pub development: bool,
}

/// Why an issuer or its discovery document is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// The configured issuer is not a URL that may be trusted.
    #[error("configured issuer: {0}")]
    OperatorIssuerUrl(UrlFlaw),
    /// The document is longer than [`DISCOVERY_BYTES_MAX`].
    #[error(
        "issuer sent a discovery document of {document_bytes} bytes, at most {DISCOVERY_BYTES_MAX} are read"
    )]
    IssuerDocumentOversized {
        /// Its size.
        document_bytes: usize,
    },
    /// The document is not a JSON object, or names a member twice.
    #[error("issuer sent a discovery document that is not one JSON object")]
    IssuerDocumentMalformed,
    /// A member is absent or not a string.
    #[error("issuer sent a discovery document without a usable `{member}`")]
    IssuerMemberMissing {
        /// Its name.
        member: &'static str,
    },
    /// The document speaks for somebody else (the mix-up that OIDC Discovery section 4.3 guards against).
    #[error("issuer sent a discovery document whose `issuer` is not the configured one")]
    IssuerNameDiffers,
    /// The keys may not be fetched from where the document points.
    #[error("issuer sent an unacceptable `jwks_uri`: {0}")]
    IssuerJwksUrl(UrlFlaw),
}

/// Why a URL is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlFlaw {
    /// Longer than [`URL_BYTES_MAX`].
    #[error("URL is too long")]
    Oversized,
    /// Neither `https` nor `http`.
    #[error("URL is not absolute https")]
    SchemeUnsupported,
    /// Holds white space, control characters, a backslash, or anything but ASCII: URL parsers differ on these.
    #[error("URL holds a character that it may not hold")]
    CharacterForbidden,
    /// Host or port is absent or malformed, or credentials stand before the host.
    #[error("URL has no plain host")]
    HostInvalid,
    /// Plain `http` to a host that is not loopback, or from an issuer that is itself `https`.
    #[error("URL is plain http")]
    HttpForbidden,
    /// A fragment, or a query in an issuer.
    #[error("URL has a query or fragment")]
    PartForbidden,
}

/// Reads a discovery document that was fetched for `issuer`.
///
/// The document's `issuer` must equal `issuer` byte for byte. URLs must be `https`; plain `http` is accepted only between an
/// issuer and a `jwks_uri` that are both literally loopback.
///
/// # Errors
/// See [`DiscoveryError`].
pub fn parse(document: &[u8], issuer: &str) -> Result<Discovery, DiscoveryError> {
    let issuer_transport = issuer_transport(issuer)?;
    if document.len() > DISCOVERY_BYTES_MAX {
        return Err(DiscoveryError::IssuerDocumentOversized {
            document_bytes: document.len(),
        });
    }
    let members = json::parse_object(document).ok_or(DiscoveryError::IssuerDocumentMalformed)?;
    let text = |member: &'static str| {
        let value = members.get(member).and_then(Value::as_str);
        value.ok_or(DiscoveryError::IssuerMemberMissing { member })
    };
    if text("issuer")? != issuer {
        return Err(DiscoveryError::IssuerNameDiffers);
    }
    let jwks_uri = text("jwks_uri")?;
    let jwks_transport = transport(jwks_uri).map_err(DiscoveryError::IssuerJwksUrl)?;
    // An https issuer that points to http would give away what its certificate protects.
    if jwks_transport == Transport::LoopbackHttp && issuer_transport == Transport::Https {
        return Err(DiscoveryError::IssuerJwksUrl(UrlFlaw::HttpForbidden));
    }
    Ok(Discovery {
        issuer: issuer.to_owned(),
        jwks_uri: jwks_uri.to_owned(),
        token_endpoint: text("token_endpoint").ok().map(str::to_owned),
        development: says_development(members.get("sluice_development_provider")),
    })
}

/// Only absence and a plain `false` deny it: a real provider has no reason for this member.
fn says_development(member: Option<&Value>) -> bool {
    !matches!(member, None | Some(Value::Bool(false)))
}

/// Where `issuer` publishes its discovery document (OIDC Discovery section 4.1: appended to the issuer's path).
///
/// # Errors
/// [`DiscoveryError::OperatorIssuerUrl`].
pub fn document_url(issuer: &str) -> Result<String, DiscoveryError> {
    issuer_transport(issuer)?;
    Ok(format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    ))
}

fn issuer_transport(issuer: &str) -> Result<Transport, DiscoveryError> {
    if issuer.contains('?') {
        return Err(DiscoveryError::OperatorIssuerUrl(UrlFlaw::PartForbidden));
    }
    transport(issuer).map_err(DiscoveryError::OperatorIssuerUrl)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Https,
    LoopbackHttp,
}

/// Checks the parts of a URL on which trust rests. What another parser could read otherwise is refused, not interpreted.
fn transport(url: &str) -> Result<Transport, UrlFlaw> {
    if url.len() > URL_BYTES_MAX {
        return Err(UrlFlaw::Oversized);
    }
    if !url
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    {
        return Err(UrlFlaw::CharacterForbidden);
    }
    if url.contains('#') {
        return Err(UrlFlaw::PartForbidden);
    }
    let (scheme, rest) = url.split_once("://").ok_or(UrlFlaw::SchemeUnsupported)?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = host(authority).ok_or(UrlFlaw::HostInvalid)?;
    match scheme {
        "https" => Ok(Transport::Https),
        "http" if is_loopback(host) => Ok(Transport::LoopbackHttp),
        "http" => Err(UrlFlaw::HttpForbidden),
        _ => Err(UrlFlaw::SchemeUnsupported),
    }
}

/// The host of `host[:port]`, a v6 address with its brackets. Credentials (`user@host`) give `None`.
fn host(authority: &str) -> Option<&str> {
    let end = if authority.starts_with('[') {
        authority.find(']')?.checked_add(1)?
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at_checked(end)?;
    let name_valid = match host
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
    {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
        }
    };
    let port_valid = match port.strip_prefix(':') {
        Some(digits) => {
            digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok()
        }
        None => port.is_empty(),
    };
    (name_valid && port_valid).then_some(host)
}

/// Whether `host` literally names this machine. A name other than `localhost` may resolve to anything.
fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
        || host == "[::1]"
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://idp.example/realms/main";

    fn document(issuer: &str, jwks_uri: &str) -> Vec<u8> {
        serde_json::json!({"issuer": issuer, "jwks_uri": jwks_uri, "token_endpoint": "https://idp.example/token"})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn reads_a_document_of_the_configured_issuer() {
        let found = parse(
            &document(ISSUER, "https://keys.example:8443/jwks?v=1"),
            ISSUER,
        )
        .unwrap();
        assert_eq!(found.issuer, ISSUER);
        assert_eq!(found.jwks_uri, "https://keys.example:8443/jwks?v=1");
        assert_eq!(
            found.token_endpoint.as_deref(),
            Some("https://idp.example/token")
        );
    }

    #[test]
    fn knows_a_development_provider_by_its_own_word() {
        for (member, development) in [
            ("", false),
            (r#","sluice_development_provider":false"#, false),
            (r#","sluice_development_provider":true"#, true),
            (r#","sluice_development_provider":"true""#, true),
            (r#","sluice_development_provider":null"#, true),
        ] {
            let document =
                format!(r#"{{"issuer":"{ISSUER}","jwks_uri":"https://idp.example/jwks"{member}}}"#);
            let found = parse(document.as_bytes(), ISSUER).unwrap();
            assert_eq!(found.development, development, "{member}");
        }
    }

    #[test]
    fn refuses_an_issuer_that_differs_in_one_byte() {
        for other in [
            "https://idp.example/realms/main/",
            "https://IDP.example/realms/main",
            "https://idp.example",
        ] {
            let outcome = parse(&document(other, "https://idp.example/jwks"), ISSUER);
            assert_eq!(outcome, Err(DiscoveryError::IssuerNameDiffers), "{other}");
        }
    }

    #[test]
    fn takes_plain_http_only_from_loopback_to_loopback() {
        let local = "http://127.0.0.1:7081";
        for jwks in [
            "http://127.0.0.1:7081/jwks",
            "http://localhost/jwks",
            "http://[::1]:80/jwks",
            "https://a/jwks",
        ] {
            assert!(parse(&document(local, jwks), local).is_ok(), "{jwks}");
        }
        let downgraded = parse(&document(ISSUER, "http://127.0.0.1/jwks"), ISSUER);
        assert_eq!(
            downgraded,
            Err(DiscoveryError::IssuerJwksUrl(UrlFlaw::HttpForbidden))
        );
        let remote = parse(&document(local, "http://idp.example/jwks"), local);
        assert_eq!(
            remote,
            Err(DiscoveryError::IssuerJwksUrl(UrlFlaw::HttpForbidden))
        );
        let configured = parse(
            &document("http://idp.example", "https://idp.example/jwks"),
            "http://idp.example",
        );
        assert_eq!(
            configured,
            Err(DiscoveryError::OperatorIssuerUrl(UrlFlaw::HttpForbidden))
        );
    }

    #[test]
    fn refuses_urls_that_two_parsers_could_read_differently() {
        use UrlFlaw::{
            CharacterForbidden, HostInvalid, HttpForbidden, PartForbidden, SchemeUnsupported,
        };
        let table = [
            ("http://localhost@evil.example/", HostInvalid),
            ("http://127.0.0.1:80@evil.example/", HostInvalid),
            ("http://127.0.0.1.evil.example/", HttpForbidden),
            ("http://localhost.evil.example/", HttpForbidden),
            ("http://127.1/", HttpForbidden),
            ("http://2130706433/", HttpForbidden),
            ("http://0.0.0.0/", HttpForbidden),
            ("http://[::ffff:1.2.3.4]/", HttpForbidden),
            ("http://[::1%25eth0]/", HostInvalid),
            ("http://[::1]evil.example/", HostInvalid),
            ("http://%6cocalhost/", HostInvalid),
            ("http://evil.example\\@localhost/", CharacterForbidden),
            ("http://local\thost/", CharacterForbidden),
            ("https://ex ample/", CharacterForbidden),
            ("https://exämple/", CharacterForbidden),
            ("https://idp.example/#f", PartForbidden),
            ("https:///path", HostInvalid),
            ("https://:443/", HostInvalid),
            ("https://idp.example:+443/", HostInvalid),
            ("https://idp.example:99999/", HostInvalid),
            ("https://idp.example:/", HostInvalid),
            ("https:idp.example", SchemeUnsupported),
            ("file://localhost/etc/keys", SchemeUnsupported),
            ("//idp.example/", SchemeUnsupported),
            ("", SchemeUnsupported),
        ];
        for (url, flaw) in table {
            assert_eq!(transport(url), Err(flaw), "{url}");
        }
    }

    #[test]
    fn refuses_missing_members_and_other_shapes() {
        let missing = |member| Err(DiscoveryError::IssuerMemberMissing { member });
        assert_eq!(parse(b"{}", ISSUER), missing("issuer"));
        assert_eq!(
            parse(br#"{"issuer":["https://idp.example/realms/main"]}"#, ISSUER),
            missing("issuer")
        );
        let without_keys = format!(r#"{{"issuer":"{ISSUER}"}}"#);
        assert_eq!(parse(without_keys.as_bytes(), ISSUER), missing("jwks_uri"));
        let twice = format!(r#"{{"issuer":"x","issuer":"{ISSUER}","jwks_uri":"https://a/"}}"#);
        assert_eq!(
            parse(twice.as_bytes(), ISSUER),
            Err(DiscoveryError::IssuerDocumentMalformed)
        );
    }

    #[test]
    fn refuses_a_document_over_the_limit_before_parsing_it() {
        let mut padded = document(ISSUER, "https://idp.example/jwks");
        padded.resize(DISCOVERY_BYTES_MAX, b' ');
        assert!(parse(&padded, ISSUER).is_ok());
        padded.push(b' ');
        let document_bytes = padded.len();
        assert_eq!(
            parse(&padded, ISSUER),
            Err(DiscoveryError::IssuerDocumentOversized { document_bytes })
        );
    }

    #[test]
    fn puts_the_well_known_path_behind_the_issuers_own() {
        let expected = "https://idp.example/realms/main/.well-known/openid-configuration";
        assert_eq!(document_url(ISSUER).unwrap(), expected);
        assert_eq!(
            document_url("https://idp.example/realms/main/").unwrap(),
            expected
        );
        assert!(document_url("https://idp.example/?x=1").is_err());
    }
}
