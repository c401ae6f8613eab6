//! A real OpenID provider; tests/oidc/clients.json has its clients.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::client::Login;
use crate::daemon::Daemon;
use crate::http::http_post;
use crate::{place, ports};

const READY_WITHIN: Duration = Duration::from_secs(60);

/// Hands out access tokens with audience `sluice`, for client credentials.
#[derive(Debug)]
pub struct Oidc {
    dir: PathBuf,
    port: u16,
    daemon: Daemon,
    state: State,
}

#[derive(Debug)]
struct State {
    issuer: String,
    token_endpoint: String,
    jwks_uri: String,
    secrets: HashMap<String, String>,
}

impl Oidc {
    /// One provider, shared by all tests of this process.
    pub fn shared() -> &'static Self {
        static OIDC: OnceLock<Oidc> = OnceLock::new();
        OIDC.get_or_init(Self::start)
    }

    /// A provider of one's own.
    pub fn start() -> Self {
        let dir = place::run_dir("oidc");
        let port = ports::free_port();
        let (daemon, state) = run(&dir, port);
        Self {
            dir,
            port,
            daemon,
            state,
        }
    }

    /// Ends it and starts it again at the same address, with new signing keys and new client secrets.
    pub fn restart_with_new_keys(&mut self) {
        self.daemon.kill();
        (self.daemon, self.state) = run(&self.dir, self.port);
    }

    /// Ends it: tokens cannot be had and keys cannot be fetched.
    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    /// As tokens name it.
    pub fn issuer(&self) -> &str {
        &self.state.issuer
    }

    /// Where its public keys are.
    pub fn jwks_uri(&self) -> &str {
        &self.state.jwks_uri
    }

    /// A new access token for `client`.
    pub fn token(&self, client: &str) -> String {
        self.ask(client, "grant_type=client_credentials")
    }

    /// A new access token for `client` that is meant for somebody else.
    pub fn token_for_audience(&self, client: &str, audience: &str) -> String {
        self.ask(
            client,
            &format!("grant_type=client_credentials&resource=urn:{audience}"),
        )
    }

    /// A login with a token that the harness fetches now.
    pub fn login(&self, client: &str) -> Login {
        Self::login_with(&self.token(client))
    }

    /// A login with this token, whatever it is.
    pub fn login_with(token: &str) -> Login {
        let path = place::run_dir("token").join("token");
        fs::write(&path, token).expect("a token can be written");
        Login::TokenFile(path)
    }

    /// A login for which the Kafka client fetches its tokens itself.
    pub fn own_login(&self, client: &str) -> Login {
        Login::ClientCredentials {
            token_endpoint: self.state.token_endpoint.clone(),
            client_id: client.to_owned(),
            secret: self.secret(client).to_owned(),
        }
    }

    fn secret(&self, client: &str) -> &str {
        self.state
            .secrets
            .get(client)
            .unwrap_or_else(|| panic!("tests/oidc/clients.json has no {client}"))
    }

    fn ask(&self, client: &str, form: &str) -> String {
        let basic = format!(
            "Basic {}",
            STANDARD.encode(format!("{client}:{}", self.secret(client)))
        );
        let headers = [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Authorization", basic.as_str()),
        ];
        let answer =
            http_post(&self.state.token_endpoint, &headers, form).expect("the provider answers");
        assert_eq!(answer.status, 200, "no token for {client}: {}", answer.body);
        let answer: Value = serde_json::from_str(&answer.body).expect("the provider answers JSON");
        answer["access_token"]
            .as_str()
            .expect("an access token")
            .to_owned()
    }
}

fn run(dir: &std::path::Path, port: u16) -> (Daemon, State) {
    place::installed("tests/oidc/node_modules");
    let state_file = dir.join("provider.json");
    let _ = fs::remove_file(&state_file);
    let node = place::installed(".cache/bin/node");
    let mut daemon = Daemon::start("the OpenID provider", node, &dir.join("log"), |command| {
        command
            .arg(place::root().join("tests/oidc/provider.mjs"))
            .arg(port.to_string())
            .arg(&state_file);
    });
    // It appears complete, once the provider listens.
    daemon.wait_until_ready(READY_WITHIN, |_| state_file.exists());
    let state = fs::read(&state_file).expect("the provider wrote its state");
    let state: Value = serde_json::from_slice(&state).expect("the provider writes JSON");
    let text = |name: &str| state[name].as_str().unwrap_or_default().to_owned();
    let clients = state["clients"]
        .as_object()
        .expect("the provider's clients");
    let secrets = clients
        .iter()
        .map(|(id, secret)| (id.clone(), secret.as_str().unwrap_or_default().to_owned()));
    let state = State {
        issuer: text("issuer"),
        token_endpoint: text("token_endpoint"),
        jwks_uri: text("jwks_uri"),
        secrets: secrets.collect(),
    };
    (daemon, state)
}

/// What a token claims, unverified.
pub fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).expect("a token has three parts");
    let claims = URL_SAFE_NO_PAD
        .decode(part)
        .expect("a token's parts are base64url");
    serde_json::from_slice(&claims).expect("claims are JSON")
}
