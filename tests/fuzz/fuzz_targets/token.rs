//! Tokens, key sets and discovery documents: a token that is accepted was signed as it stands, for this audience, and not
//! long enough ago to be over; of a key set every key is accounted for; a discovery document speaks for the issuer asked.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sluice_fuzz::choice;
use sluice_fuzz::issuer::{AUDIENCE, Issuer, NOW_UNIX_S, URL};
use sluice_identity::jwt::{TrustedIssuer, validate};
use sluice_identity::{discovery, jwks};

static ISSUER: LazyLock<(Issuer, [TrustedIssuer; 1])> = LazyLock::new(|| {
    let issuer = Issuer::new();
    let trusted = [issuer.trusted()];
    (issuer, trusted)
});

// What it is, then the token, its header and claims line by line, the key set, or the document.
fuzz_target!(|input: &[u8]| {
    let Some((what, text)) = choice(input, 4) else {
        return;
    };
    let (issuer, _) = &*ISSUER;
    match what {
        0 => std::str::from_utf8(text).map_or((), read_token),
        1 => {
            let mut parts = text.splitn(2, |byte| *byte == b'\n');
            let (header, claims) = (
                parts.next().unwrap_or_default(),
                parts.next().unwrap_or_default(),
            );
            read_token(&issuer.token(header, claims));
        }
        2 => read_key_set(text),
        _ => read_discovery(text),
    }
});

fn read_token(text: &str) {
    let (_, issuers) = &*ISSUER;
    let Ok(token) = validate(text, issuers, NOW_UNIX_S) else {
        return;
    };
    let skew_s = i64::from(issuers[0].clock_skew_s);
    assert!(token.expires_unix_s.saturating_add(skew_s) > NOW_UNIX_S);
    assert!(validate(text, issuers, token.expires_unix_s.saturating_add(skew_s)).is_err());
    assert!(validate(text, &[], NOW_UNIX_S).is_err());
    assert_eq!(
        (token.issuer.as_str(), token.issuer_name.as_str()),
        (URL, "demo")
    );
    assert!(token.claim_matches("iss", URL) && token.claim_matches("aud", AUDIENCE));
    assert!(token.claim_matches("sub", &token.principal_name));
    assert!(!token.principal_name.is_empty() && !token.principal_name.contains(char::is_control));
    // Any other signature, and any other text under this one.
    for at in [0, text.rfind('.').map_or(0, |dot| dot + 1), text.len() - 1] {
        let mut forged = text.as_bytes().to_vec();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).expect("base64url is ASCII");
        assert!(validate(&forged, issuers, NOW_UNIX_S).is_err(), "{forged}");
    }
}

fn read_key_set(text: &[u8]) {
    let Ok(set) = jwks::parse(text) else { return };
    let whole: Value = serde_json::from_slice(text).expect("what is accepted is JSON");
    let entries = whole["keys"].as_array().expect("what is accepted has keys");
    assert_eq!(set.keys().len() + set.skipped().len(), entries.len());
    for key in set.keys() {
        let named = |entry: &&Value| entry["kid"].as_str() == key.kid() && entry.get("d").is_none();
        assert!(
            entries
                .iter()
                .any(|entry| named(&entry) && entry["kty"] != "oct")
        );
        assert!(key.kid().is_none_or(|kid| set.key(kid).is_some()));
    }
    let _ = format!("{set:?}");
}

fn read_discovery(text: &[u8]) {
    let Ok(Value::Object(members)) = serde_json::from_slice(text) else {
        assert!(
            discovery::parse(text, URL).is_err(),
            "what is accepted is JSON"
        );
        return;
    };
    let issuer = members.get("issuer").and_then(Value::as_str).unwrap_or(URL);
    let Ok(found) = discovery::parse(text, issuer) else {
        return;
    };
    assert_eq!(found.issuer, issuer);
    assert_eq!(members["jwks_uri"], found.jwks_uri);
    for url in [issuer, &found.jwks_uri] {
        let loopback = ["127.", "[::1]", "localhost"].iter().any(|host| {
            url.get(..7)
                .is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"))
                && url[7..].to_ascii_lowercase().starts_with(host)
        });
        let https = url
            .get(..8)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
        assert!(https || loopback, "{url}");
    }
    let document_url = discovery::document_url(issuer).expect("an issuer that was accepted");
    assert!(document_url.starts_with(issuer.trim_end_matches('/')));
    assert!(
        discovery::parse(text, "https://another.example").is_err()
            || issuer == "https://another.example"
    );
}
