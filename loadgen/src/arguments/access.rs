//! How a target is reached: login and TLS.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::argument;
use crate::Error;
use crate::ScramMechanism;
use crate::plan::{Credential, Target};

/// Login and TLS of a target.
#[derive(Debug, Default, Clone, Args)]
pub struct Access {
    /// SASL mechanism; told from the other options if left out: oauthbearer with a token, plain with a user name.
    #[arg(long, value_enum)]
    pub sasl: Option<Mechanism>,
    /// PLAIN and SCRAM: user name.
    #[arg(long)]
    pub username: Option<String>,
    /// PLAIN and SCRAM: file with the password.
    #[arg(long)]
    pub password_file: Option<PathBuf>,
    /// OAUTHBEARER: file with an access token that outlives the run.
    #[arg(long)]
    pub token_file: Option<PathBuf>,
    /// OAUTHBEARER: token endpoint, asked with client credentials before each run.
    #[arg(long)]
    pub token_url: Option<String>,
    /// Client id for the token endpoint.
    #[arg(long)]
    pub client_id: Option<String>,
    /// File with the client secret for the token endpoint.
    #[arg(long)]
    pub client_secret_file: Option<PathBuf>,
    /// PEM roots of an https token endpoint.
    #[arg(long)]
    pub token_roots: Option<PathBuf>,
    /// PEM roots of the target's certificate; without them there is no TLS.
    #[arg(long)]
    pub tls_roots: Option<PathBuf>,
    /// Name in the target's certificate, if not its host.
    #[arg(long)]
    pub tls_name: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mechanism {
    None,
    Plain,
    Oauthbearer,
    #[value(name = "scram-sha-256")]
    ScramSha256,
    #[value(name = "scram-sha-512")]
    ScramSha512,
}

impl Access {
    /// The target with this login, and with the login of its readers, if they have another: the same with other values,
    /// `KEY=VALUE` each.
    pub(super) fn target_with(
        &self,
        name: &str,
        address: &str,
        readers_as: &[&str],
    ) -> Result<Target, Error> {
        let mut access = self.clone();
        for text in readers_as {
            let Some((key, value)) = text.split_once('=') else {
                return argument(format!(
                    "--readers-as {text}: write KEY=VALUE, such as username=alice"
                ));
            };
            access.set(key, value)?;
        }
        let readers_as = match readers_as {
            [] => None,
            _ => Some(Box::new(access.target(name, address)?)),
        };
        Ok(Target {
            readers_as,
            ..self.target(name, address)?
        })
    }

    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let text = || Some(value.to_owned());
        let path = || Some(PathBuf::from(value));
        match key {
            "sasl" => {
                let mechanism = Mechanism::from_str(value, true);
                self.sasl = Some(mechanism.map_err(|_| {
                    Error::OperatorArgument(format!(
                        "sasl={value}: the mechanisms are none, plain, oauthbearer, scram-sha-256 and scram-sha-512"
                    ))
                })?);
            }
            "username" => self.username = text(),
            "password-file" => self.password_file = path(),
            "token-file" => self.token_file = path(),
            "token-url" => self.token_url = text(),
            "client-id" => self.client_id = text(),
            "client-secret-file" => self.client_secret_file = path(),
            "token-roots" => self.token_roots = path(),
            "tls-roots" => self.tls_roots = path(),
            "tls-name" => self.tls_name = text(),
            _ => {
                return argument(format!(
                    "no option {key}; there are sasl, username, password-file, token-file, token-url, client-id, \
                     client-secret-file, token-roots, tls-roots and tls-name"
                ));
            }
        }
        Ok(())
    }

    pub(super) fn target(&self, name: &str, address: &str) -> Result<Target, Error> {
        let port = address
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none() {
            return argument(format!(
                "--target {address}: write HOST:PORT, such as 127.0.0.1:9092"
            ));
        }
        if self.tls_name.is_some() && self.tls_roots.is_none() {
            return argument(
                "--tls-name without --tls-roots: there is no TLS without roots".to_owned(),
            );
        }
        Ok(Target {
            name: name.to_owned(),
            address: address.to_owned(),
            credential: self.credential(name)?,
            tls_roots: self.tls_roots.clone(),
            tls_name: self.tls_name.clone(),
            readers_as: None,
        })
    }

    fn credential(&self, name: &str) -> Result<Credential, Error> {
        let bearer_given = self.token_file.is_some() || self.token_url.is_some();
        let mechanism = self.sasl.unwrap_or(match (&self.username, bearer_given) {
            (Some(_), _) => Mechanism::Plain,
            (None, true) => Mechanism::Oauthbearer,
            (None, false) => Mechanism::None,
        });
        match mechanism {
            Mechanism::None if self.username.is_none() && !bearer_given => Ok(Credential::None),
            Mechanism::Plain | Mechanism::ScramSha256 | Mechanism::ScramSha512 if !bearer_given => {
                let (Some(username), Some(file)) = (&self.username, &self.password_file) else {
                    return argument(format!(
                        "PLAIN and SCRAM for {name} take both username and password-file"
                    ));
                };
                let (username, password_file) = (username.clone(), file.clone());
                let scram = match mechanism {
                    Mechanism::ScramSha256 => ScramMechanism::ScramSha256,
                    Mechanism::ScramSha512 => ScramMechanism::ScramSha512,
                    _ => {
                        return Ok(Credential::Plain {
                            username,
                            password_file,
                        });
                    }
                };
                Ok(Credential::Scram {
                    mechanism: scram,
                    username,
                    password_file,
                })
            }
            Mechanism::Oauthbearer if self.username.is_none() => {
                let (url, id, secret) =
                    (&self.token_url, &self.client_id, &self.client_secret_file);
                match (&self.token_file, url, id, secret) {
                    (Some(file), None, None, None) => Ok(Credential::TokenFile(file.clone())),
                    (None, Some(url), Some(client_id), Some(secret_file)) => {
                        Ok(Credential::ClientCredentials {
                            url: url.clone(),
                            client_id: client_id.clone(),
                            secret_file: secret_file.clone(),
                            roots: self.token_roots.clone(),
                        })
                    }
                    _ => argument(format!(
                        "OAUTHBEARER for {name} takes token-file, or all of token-url, client-id and client-secret-file"
                    )),
                }
            }
            _ => argument(format!(
                "the login options of {name} contradict each other: give those of one mechanism"
            )),
        }
    }
}
