//! The gateway's own way into a broker: ApiVersions, then SASL. Frames in, frames out; the shell moves them.

use sluice_identity::plain;
use sluice_identity::scram::{self, AwaitsServerFinal, AwaitsServerFirst, Bounds, Keys, Mechanism};
use sluice_kafka::ErrorCode;
use sluice_kafka::api::{ApiRange, narrow};
use sluice_kafka::local::{Features, api_versions, sasl};

/// Every Kafka 4.x broker speaks this one, and with it features.
const API_VERSIONS_VERSION: i16 = 3;
const SASL_AUTHENTICATE_VERSION: i16 = 2;
/// What the gateway's own requests carry; those of a client carry the client's.
pub(crate) const CLIENT_ID: &str = "sluice-gateway";
const SOFTWARE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the gateway proves itself with.
#[derive(Clone)]
pub enum Credential {
    /// SASL/PLAIN.
    Plain {
        /// User name.
        username: String,
        /// Password.
        password: String,
    },
    /// SASL/SCRAM.
    Scram {
        /// Which hash.
        mechanism: Mechanism,
        /// User name.
        username: String,
        /// Password.
        password: String,
    },
    /// None: the brokers answer anybody.
    DangerNone,
}

impl Credential {
    /// The user that brokers take its bearer for.
    #[must_use]
    pub fn user(&self) -> &str {
        match self {
            Self::Plain { username, .. } | Self::Scram { username, .. } => username,
            Self::DangerNone => "ANONYMOUS",
        }
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain { .. } => "Plain",
            Self::Scram { .. } => "Scram",
            Self::DangerNone => "DangerNone",
        })
    }
}

/// What a broker offers, as it said when the gateway connected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// Versions, not yet narrowed.
    pub ranges: Vec<ApiRange>,
    /// Features, not yet narrowed.
    pub features: Features,
}

impl Offer {
    /// What of it clients may be told: the APIs and versions that the gateway serves, and the features that go with them.
    #[must_use]
    pub fn narrowed(&self) -> Self {
        let mut features = self.features.clone();
        features.narrow();
        Self {
            ranges: narrow(&self.ranges),
            features,
        }
    }

    /// What both offer: the offer of a listener behind which either may stand.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let ranges = self.ranges.iter().filter_map(|range| {
            let found = other.ranges.iter().find(|found| found.key == range.key)?;
            let version_min = range.version_min.max(found.version_min);
            let version_max = range.version_max.min(found.version_max);
            (version_min <= version_max).then_some(ApiRange {
                key: range.key,
                version_min,
                version_max,
            })
        });
        Self {
            ranges: ranges.collect(),
            features: self.features.clone(),
        }
    }
}

/// Why the gateway did not get in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// Not an answer to what was asked.
    #[error("the broker's answer is malformed: {0}")]
    BrokerMalformed(String),
    /// The broker said no.
    #[error("the broker refused {step}: {error}{message}")]
    BrokerRefused {
        /// What was tried.
        step: &'static str,
        /// Kafka's code.
        error: ErrorCode,
        /// The broker's own words.
        message: String,
    },
    /// The exchange failed: an unusable credential, or a broker that does not know it.
    #[error("SCRAM with the broker: {0}")]
    Scram(#[from] scram::ScramError),
    /// The configured user name or password cannot be sent.
    #[error("the configured credential: {0}")]
    OperatorCredential(#[from] plain::PlainError),
}

/// What comes next.
#[derive(Debug)]
pub enum LoginStep {
    /// Send this and hand over the answer.
    Send(Vec<u8>),
    /// The connection is ready for requests.
    Ready(Offer),
}

enum State {
    ApiVersions,
    Handshake,
    Plain,
    ScramFirst(Box<AwaitsServerFirst>),
    ScramFinal(Box<AwaitsServerFinal>),
    Ended,
}

/// One login. Feed each answer to [`Login::received`] until it says [`LoginStep::Ready`].
pub struct Login {
    credential: Credential,
    nonce: String,
    known: Option<Keys>,
    state: State,
    offer: Offer,
    correlation_id: i32,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("credential", &self.credential)
            .finish_non_exhaustive()
    }
}

impl Login {
    /// Starts a login; the first frame to send comes with it. `nonce` must be fresh and unpredictable. `known` are the keys
    /// of an earlier login, which spare this one the derivation.
    #[must_use]
    pub fn start(credential: Credential, nonce: String, known: Option<Keys>) -> (Self, Vec<u8>) {
        let mut first = Vec::new();
        api_versions::encode_request(
            API_VERSIONS_VERSION,
            0,
            CLIENT_ID,
            "sluice",
            SOFTWARE_VERSION,
            &mut first,
        );
        let (state, offer) = (State::ApiVersions, Offer::default());
        (
            Self {
                credential,
                nonce,
                known,
                state,
                offer,
                correlation_id: 0,
            },
            first,
        )
    }

    /// The keys that a finished SCRAM login derived, for the next one.
    #[must_use]
    pub fn into_keys(self) -> Option<Keys> {
        self.known
    }

    /// Takes the broker's answer to the frame sent last.
    ///
    /// # Errors
    /// When the broker refuses, or does not prove that it knows the password itself (SCRAM).
    pub fn received(&mut self, frame: &[u8]) -> Result<LoginStep, LoginError> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::ApiVersions => {
                let answer = api_versions::decode_response(frame, API_VERSIONS_VERSION)
                    .map_err(malformed)?;
                refused("ApiVersions", answer.error, None)?;
                self.offer = Offer {
                    ranges: answer.ranges,
                    features: answer.features,
                };
                let mechanism = match &self.credential {
                    Credential::DangerNone => {
                        return Ok(LoginStep::Ready(std::mem::take(&mut self.offer)));
                    }
                    Credential::Plain { .. } => "PLAIN",
                    Credential::Scram { mechanism, .. } => mechanism.name(),
                };
                self.state = State::Handshake;
                let mut next = Vec::new();
                sasl::encode_handshake_request(
                    self.next_correlation_id(),
                    CLIENT_ID,
                    mechanism,
                    &mut next,
                );
                Ok(LoginStep::Send(next))
            }
            State::Handshake => {
                let answer = sasl::decode_handshake_response(frame).map_err(malformed)?;
                refused(
                    "SaslHandshake",
                    answer.error,
                    Some(format!(", it offers {}", answer.mechanisms.join(", "))),
                )?;
                let message = match &self.credential {
                    Credential::DangerNone => {
                        return Err(LoginError::BrokerMalformed("no login was begun".into()));
                    }
                    Credential::Plain { username, password } => {
                        self.state = State::Plain;
                        plain::encode(username, password)?
                    }
                    Credential::Scram {
                        mechanism,
                        username,
                        ..
                    } => {
                        let (client, first) = scram::start(*mechanism, username, &self.nonce)?;
                        self.state = State::ScramFirst(Box::new(client));
                        first
                    }
                };
                Ok(LoginStep::Send(self.authenticate(&message)))
            }
            State::Plain => {
                scram_answer(frame)?;
                Ok(LoginStep::Ready(std::mem::take(&mut self.offer)))
            }
            State::ScramFirst(client) => {
                let answer = scram_answer(frame)?;
                let Credential::Scram { password, .. } = &self.credential else {
                    return Err(LoginError::BrokerMalformed("no SCRAM was begun".into()));
                };
                let (client, proof) = client.server_first(
                    &answer,
                    password,
                    self.known.as_ref(),
                    Bounds::default(),
                )?;
                self.state = State::ScramFinal(Box::new(client));
                Ok(LoginStep::Send(self.authenticate(&proof)))
            }
            State::ScramFinal(client) => {
                self.known = Some(client.server_final(&scram_answer(frame)?)?);
                Ok(LoginStep::Ready(std::mem::take(&mut self.offer)))
            }
            State::Ended => Err(LoginError::BrokerMalformed(
                "an answer after the login ended".into(),
            )),
        }
    }

    fn authenticate(&mut self, message: &[u8]) -> Vec<u8> {
        let mut next = Vec::new();
        let correlation_id = self.next_correlation_id();
        sasl::encode_authenticate_request(
            SASL_AUTHENTICATE_VERSION,
            correlation_id,
            CLIENT_ID,
            message,
            &mut next,
        );
        next
    }

    fn next_correlation_id(&mut self) -> i32 {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        self.correlation_id
    }
}

fn scram_answer(frame: &[u8]) -> Result<Vec<u8>, LoginError> {
    let answer =
        sasl::decode_authenticate_response(frame, SASL_AUTHENTICATE_VERSION).map_err(malformed)?;
    refused(
        "the gateway's credential",
        answer.error,
        answer.error_message,
    )?;
    Ok(answer.auth_bytes)
}

fn malformed(error: sluice_kafka::Malformed) -> LoginError {
    LoginError::BrokerMalformed(error.to_string())
}

fn refused(
    step: &'static str,
    error: ErrorCode,
    message: Option<String>,
) -> Result<(), LoginError> {
    if error == ErrorCode::NONE {
        return Ok(());
    }
    let message = message
        .map(|message| format!(" ({message})"))
        .unwrap_or_default();
    Err(LoginError::BrokerRefused {
        step,
        error,
        message,
    })
}
