use std::sync::Arc;

use serde_json::Value;
use sluice_identity::discovery;
use sluice_identity::jwks;
use sluice_identity::jwt::{self, Token, TokenError, TrustedIssuer};

use super::*;
use crate::config::{ProviderClient, Secret};
use crate::time::now_unix_s;
use crate::token::{fetch, http_client};

fn config(listen: &str) -> ProviderConfig {
    let claims =
        serde_json::json!({"groups": ["payments-owners"], "realm": {"roles": ["approver"]}});
    let Value::Object(claims) = claims else {
        panic!()
    };
    let client = |id: &str, secret: &str, ttl_s| ProviderClient {
        id: id.to_owned(),
        secret: Secret::Text(secret.to_owned()),
        claims: claims.clone(),
        ttl_s,
    };
    let mut renamed = client("dave-laptop", "dave-secret", 60);
    renamed.claims.insert("sub".into(), Value::from("dave"));
    let clients = vec![client("svc-orders", "orders-secret", 600), renamed];
    ProviderConfig {
        name: "demo".to_owned(),
        listen: listen.parse().unwrap(),
        clients,
    }
}

async fn validate(issuer: &str, token: &str, now_unix_s: i64) -> Result<Token, TokenError> {
    let client = http_client(None).unwrap();
    let document = client
        .get(discovery::document_url(issuer).unwrap())
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let found = discovery::parse(&document, issuer).unwrap();
    assert!(found.development, "it says what it is");
    let jwks = client
        .get(&found.jwks_uri)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let keys = jwks::parse(&jwks).unwrap();
    let trusted = TrustedIssuer::new(
        "demo".into(),
        issuer.into(),
        AUDIENCE.into(),
        Arc::new(keys),
    );
    jwt::validate(token, &[trusted], now_unix_s)
}

#[tokio::test]
async fn its_tokens_pass_the_gateways_own_validation() {
    let provider = start(&config("127.0.0.1:0")).await.unwrap();
    let client = http_client(None).unwrap();
    let token = fetch(
        &client,
        &provider.issuer,
        "svc-orders",
        "orders-secret",
        Some("any"),
    )
    .await
    .unwrap();
    let now = now_unix_s();
    let valid = validate(&provider.issuer, &token, now).await.unwrap();
    assert_eq!(
        (valid.issuer_name.as_str(), valid.subject.as_str()),
        ("demo", "svc-orders")
    );
    assert!(valid.claim_matches("groups", "payments-owners"));
    assert!(valid.claim_matches("realm.roles", "approver"));
    assert!(
        (595..=605).contains(&(valid.expires_unix_s - now)),
        "{valid:?}"
    );
    assert!(valid.id.is_some());
    assert!(
        validate(&provider.issuer, &token, now + 3_600)
            .await
            .is_err(),
        "it expires"
    );
}

#[tokio::test]
async fn the_subject_may_be_another_than_the_client() {
    let provider = start(&config("127.0.0.1:0")).await.unwrap();
    let client = http_client(None).unwrap();
    let token = fetch(
        &client,
        &provider.issuer,
        "dave-laptop",
        "dave-secret",
        None,
    )
    .await
    .unwrap();
    assert_eq!(
        validate(&provider.issuer, &token, now_unix_s())
            .await
            .unwrap()
            .subject,
        "dave"
    );
}

#[tokio::test]
async fn keys_are_new_at_every_start() {
    let first = start(&config("127.0.0.1:0")).await.unwrap();
    let second = start(&config("127.0.0.1:0")).await.unwrap();
    let client = http_client(None).unwrap();
    let token = fetch(&client, &first.issuer, "svc-orders", "orders-secret", None)
        .await
        .unwrap();
    assert!(
        validate(&second.issuer, &token, now_unix_s())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn wrong_secrets_and_unknown_clients_get_no_token() {
    let provider = start(&config("127.0.0.1:0")).await.unwrap();
    let client = http_client(None).unwrap();
    for (id, secret) in [
        ("svc-orders", "orders-secre"),
        ("svc-orders", "dave-secret"),
        ("mallory", "orders-secret"),
        ("svc-orders", ""),
    ] {
        let refused = fetch(&client, &provider.issuer, id, secret, None)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("401") && refused.contains("invalid_client"),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn secrets_are_taken_from_the_form_too_and_other_grants_refused() {
    let provider = start(&config("127.0.0.1:0")).await.unwrap();
    let client = http_client(None).unwrap();
    let post = |body: &'static str| {
        let request = client.post(format!("{}/token", provider.issuer));
        request
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
    };
    let answer =
        post("grant_type=client_credentials&client_id=svc-orders&client_secret=orders-secret")
            .await
            .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let answer = post("grant_type=password&client_id=svc-orders&client_secret=orders-secret")
        .await
        .unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(
        answer.json::<Value>().await.unwrap()["error"],
        "unsupported_grant_type"
    );
    assert_eq!(
        post("grant_type=client_credentials")
            .await
            .unwrap()
            .status(),
        401
    );
}

#[tokio::test]
async fn it_refuses_to_listen_beyond_loopback() {
    for listen in ["0.0.0.0:0", "192.0.2.1:7081", "[::]:0"] {
        let refused = start(&config(listen)).await.unwrap_err().to_string();
        assert!(refused.contains("loopback only"), "{refused}");
    }
}
