//! How a Kafka client reaches a broker or the gateway, in the words of each client library.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// Who the client says it is.
#[derive(Debug, Clone)]
pub enum Login {
    /// No SASL.
    Nobody,
    Plain {
        user: String,
        password: String,
    },
    Scram512 {
        user: String,
        password: String,
    },
    /// A token from a file that is read at each login and refresh.
    TokenFile(PathBuf),
    /// The client fetches its tokens itself, by its client credentials.
    ClientCredentials {
        token_endpoint: String,
        client_id: String,
        secret: String,
    },
}

/// A Kafka client's configuration, before it is put in the words of a library.
#[derive(Debug, Clone)]
pub struct Client {
    bootstrap: String,
    login: Login,
    ca_pem: Option<PathBuf>,
    properties: Vec<(String, String)>,
}

impl Client {
    /// A client of `host:port[,host:port]` that talks plain text.
    pub fn new(bootstrap: impl Into<String>, login: Login) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            login,
            ca_pem: None,
            properties: Vec::new(),
        }
    }

    /// TLS, trusting the certificates in this PEM file.
    #[must_use]
    pub fn with_tls(mut self, ca_pem: &Path) -> Self {
        self.ca_pem = Some(ca_pem.to_owned());
        self
    }

    /// One more property, named as the client library that will read it names it.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.properties.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn token_endpoint(&self) -> Option<&str> {
        match &self.login {
            Login::ClientCredentials { token_endpoint, .. } => Some(token_endpoint),
            _ => None,
        }
    }

    /// Properties for Java's clients.
    pub fn java(&self) -> Vec<(String, String)> {
        const LOGIN_MODULES: &str = "org.apache.kafka.common.security";
        let mut out = self.reach();
        let mut put = |name: &str, value: String| out.push((name.to_owned(), value));
        match &self.login {
            Login::Nobody => {}
            Login::Plain { user, password } => put(
                "sasl.jaas.config",
                format!(
                    "{LOGIN_MODULES}.plain.PlainLoginModule required username=\"{user}\" password=\"{password}\";"
                ),
            ),
            Login::Scram512 { user, password } => put(
                "sasl.jaas.config",
                format!(
                    "{LOGIN_MODULES}.scram.ScramLoginModule required username=\"{user}\" password=\"{password}\";"
                ),
            ),
            Login::TokenFile(path) => {
                put("sasl.login.callback.handler.class", "TokenFile".to_owned());
                put(
                    "sasl.jaas.config",
                    format!(
                        "{LOGIN_MODULES}.oauthbearer.OAuthBearerLoginModule required token_file=\"{}\";",
                        path.display()
                    ),
                );
            }
            Login::ClientCredentials {
                token_endpoint,
                client_id,
                secret,
            } => {
                put(
                    "sasl.login.callback.handler.class",
                    format!("{LOGIN_MODULES}.oauthbearer.OAuthBearerLoginCallbackHandler"),
                );
                put(
                    "sasl.oauthbearer.token.endpoint.url",
                    token_endpoint.clone(),
                );
                put(
                    "sasl.jaas.config",
                    format!(
                        "{LOGIN_MODULES}.oauthbearer.OAuthBearerLoginModule required clientId=\"{client_id}\" \
                         clientSecret=\"{secret}\" scope=\"kafka\";"
                    ),
                );
            }
        }
        if let Some(ca_pem) = &self.ca_pem {
            put("ssl.truststore.type", "PEM".to_owned());
            put("ssl.truststore.location", ca_pem.display().to_string());
        }
        out.extend(self.properties.iter().cloned());
        out
    }

    /// Properties for librdkafka, and so for kcat; the drivers for Go, Node and aiokafka take the same names.
    pub fn librdkafka(&self) -> Vec<(String, String)> {
        let mut out = self.reach();
        let mut put = |name: &str, value: String| out.push((name.to_owned(), value));
        match &self.login {
            Login::Nobody => {}
            Login::Plain { user, password } | Login::Scram512 { user, password } => {
                put("sasl.username", user.clone());
                put("sasl.password", password.clone());
            }
            // Of the driver, which reads the file in librdkafka's token callback.
            Login::TokenFile(path) => put("token_file", path.display().to_string()),
            Login::ClientCredentials {
                token_endpoint,
                client_id,
                secret,
            } => {
                put("sasl.oauthbearer.method", "oidc".to_owned());
                put(
                    "sasl.oauthbearer.token.endpoint.url",
                    token_endpoint.clone(),
                );
                put("sasl.oauthbearer.client.id", client_id.clone());
                put("sasl.oauthbearer.client.secret", secret.clone());
                put("sasl.oauthbearer.scope", "kafka".to_owned());
            }
        }
        if let Some(ca_pem) = &self.ca_pem {
            put("ssl.ca.location", ca_pem.display().to_string());
        }
        out.extend(self.properties.iter().cloned());
        out
    }

    fn reach(&self) -> Vec<(String, String)> {
        let mechanism = match self.login {
            Login::Nobody => None,
            Login::Plain { .. } => Some("PLAIN"),
            Login::Scram512 { .. } => Some("SCRAM-SHA-512"),
            Login::TokenFile(_) | Login::ClientCredentials { .. } => Some("OAUTHBEARER"),
        };
        let protocol = match (mechanism, &self.ca_pem) {
            (None, None) => "PLAINTEXT",
            (None, Some(_)) => "SSL",
            (Some(_), None) => "SASL_PLAINTEXT",
            (Some(_), Some(_)) => "SASL_SSL",
        };
        let mut out = vec![
            ("bootstrap.servers".to_owned(), self.bootstrap.clone()),
            ("security.protocol".to_owned(), protocol.to_owned()),
        ];
        if let Some(mechanism) = mechanism {
            out.push(("sasl.mechanism".to_owned(), mechanism.to_owned()));
        }
        out
    }
}

pub(crate) fn json(properties: Vec<(String, String)>) -> Value {
    Value::Object(
        properties
            .into_iter()
            .map(|(name, value)| (name, Value::String(value)))
            .collect::<Map<_, _>>(),
    )
}
