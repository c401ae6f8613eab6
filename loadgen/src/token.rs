//! An access token by the client credentials grant (RFC 6749, section 4.4).

use std::path::Path;
use std::sync::Arc;

use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::Error;
use crate::limits::{SETUP_TIMEOUT, TOKEN_ANSWER_BYTES_MAX};
use crate::stream::certificates;

/// Asks `url` for a token. The client authenticates by its id and secret in the form (section 2.3.1).
pub(crate) fn fetch_token(
    url: &str,
    client_id: &str,
    secret: &str,
    roots: Option<&Path>,
) -> Result<String, Error> {
    let failed = |fault: String| Error::TokenEndpointFailed {
        url: url.to_owned(),
        fault,
    };
    let mut tls = TlsConfig::builder().unversioned_rustls_crypto_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ));
    if let Some(roots) = roots {
        let trusted: Vec<_> = certificates(roots)?
            .iter()
            .map(|der| Certificate::from_der(der).to_owned())
            .collect();
        tls = tls.root_certs(RootCerts::Specific(Arc::new(trusted)));
    } else if url.starts_with("https:") {
        return Err(failed(
            "an https address needs token-roots, a PEM file".to_owned(),
        ));
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(tls.build())
        .timeout_global(Some(SETUP_TIMEOUT))
        .max_redirects(0)
        .http_status_as_error(false)
        .build()
        .into();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client_id),
        ("client_secret", secret),
    ];
    let mut answer = agent
        .post(url)
        .send_form(form)
        .map_err(|error| failed(error.to_string()))?;
    let status = answer.status().as_u16();
    let body = answer
        .body_mut()
        .with_config()
        .limit(TOKEN_ANSWER_BYTES_MAX)
        .read_to_string()
        .map_err(|error| failed(error.to_string()))?;
    let json: serde_json::Value =
        serde_json::from_str(&body).map_err(|_| failed(format!("HTTP {status}, not JSON")))?;
    match json.get("access_token").and_then(serde_json::Value::as_str) {
        Some(token) => Ok(token.to_owned()),
        None => {
            // `error` is a code of section 5.2; nothing else of the answer is shown, it may hold credentials.
            let code = json
                .get("error")
                .and_then(serde_json::Value::as_str)
                .unwrap_or("no access_token");
            Err(failed(format!("HTTP {status}, {code}")))
        }
    }
}
