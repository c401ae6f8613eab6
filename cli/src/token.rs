//! `sluice token`: an access token by client credentials (RFC 6749 section 4.4).

use std::path::Path;

use reqwest::{Certificate, Client, RequestBuilder, StatusCode, header};
use serde_json::Value;
use sluice_identity::discovery;
use sluice_identity::limits::DISCOVERY_BYTES_MAX;

use crate::args::TokenArgs;
use crate::config::material::read_secret;
use crate::failure::Failure;
use crate::limits::{ANSWER_TIMEOUT, CONNECT_TIMEOUT};

/// Gets a token and prints it alone on a line.
///
/// # Errors
/// An issuer that does not answer, or refuses.
pub(crate) async fn token(args: &TokenArgs) -> Result<(), Failure> {
    let secret = match (&args.client_secret, &args.client_secret_file) {
        (_, Some(file)) => read_secret(file)?,
        (Some(secret), None) => secret.clone(),
        (None, None) => {
            return Err(Failure::usage(
                "give --client-secret-file FILE or SLUICE_CLIENT_SECRET",
            ));
        }
    };
    let client = http_client(args.roots.as_deref())?;
    println!(
        "{}",
        fetch(
            &client,
            &args.issuer,
            &args.client_id,
            &secret,
            args.scope.as_deref()
        )
        .await?
    );
    Ok(())
}

/// An HTTP client that follows no redirect: a secret goes where it was addressed.
pub(crate) fn http_client(roots: Option<&Path>) -> Result<Client, Failure> {
    let mut builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(ANSWER_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none());
    if let Some(path) = roots {
        let wrong = |error: reqwest::Error| Failure::usage(format!("{}: {error}", path.display()));
        let pem = read_secret(path)?;
        builder =
            builder.tls_certs_merge(Certificate::from_pem_bundle(pem.as_bytes()).map_err(wrong)?);
    }
    builder
        .build()
        .map_err(|error| Failure::refused(format!("HTTP client: {error}")))
}

pub(crate) async fn fetch(
    client: &Client,
    issuer: &str,
    id: &str,
    secret: &str,
    scope: Option<&str>,
) -> Result<String, Failure> {
    let found = discover(client, issuer).await?.0;
    let endpoint = found
        .token_endpoint
        .ok_or_else(|| Failure::refused(format!("{issuer} names no token endpoint")))?;
    if endpoint.starts_with("http://") && !issuer.starts_with("http://") {
        return Err(Failure::refused(format!(
            "{endpoint} is plain http: the secret would be readable on the way"
        )));
    }
    let mut form = "grant_type=client_credentials".to_owned();
    if let Some(scope) = scope {
        form.push_str(&format!("&scope={}", form_encoded(scope)));
    }
    let request = client
        .post(&endpoint)
        .basic_auth(form_encoded(id), Some(form_encoded(secret)))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form);
    let (status, _, body) = answer(request, &endpoint).await?;
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    match answer["access_token"].as_str() {
        Some(token) if status.is_success() => Ok(token.to_owned()),
        _ => {
            let why = answer["error_description"]
                .as_str()
                .or(answer["error"].as_str())
                .unwrap_or("no reason given");
            Err(Failure::refused(format!(
                "{endpoint} gives no token: {status}, {}; check client id and secret",
                crate::table::clean(why)
            )))
        }
    }
}

/// The issuer's discovery document, and the time by its clock.
pub(crate) async fn discover(
    client: &Client,
    issuer: &str,
) -> Result<(discovery::Discovery, Option<String>), Failure> {
    let refused = |error| Failure::refused(format!("issuer {issuer}: {error}"));
    let url = discovery::document_url(issuer).map_err(refused)?;
    let (status, date, body) = answer(client.get(&url), &url).await?;
    if !status.is_success() {
        return Err(Failure::refused(format!(
            "{url} answers {status}; is --issuer the issuer's exact URL?"
        )));
    }
    Ok((discovery::parse(&body, issuer).map_err(refused)?, date))
}

async fn answer(
    request: RequestBuilder,
    url: &str,
) -> Result<(StatusCode, Option<String>, Vec<u8>), Failure> {
    let failed =
        |error: reqwest::Error| Failure::refused(format!("{url} does not answer: {error}"));
    let mut response = request.send().await.map_err(failed)?;
    let date = response
        .headers()
        .get(header::DATE)
        .and_then(|date| date.to_str().ok())
        .map(str::to_owned);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > DISCOVERY_BYTES_MAX {
            return Err(Failure::refused(format!(
                "{url} answers with more than {DISCOVERY_BYTES_MAX} bytes"
            )));
        }
    }
    Ok((response.status(), date, body))
}

/// `application/x-www-form-urlencoded`, with `%20` for a space so that every decoder agrees.
fn form_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_escape_everything_that_could_end_a_field() {
        assert_eq!(form_encoded("a b&c=d+é~"), "a%20b%26c%3Dd%2B%C3%A9~");
    }
}
