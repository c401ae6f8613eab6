//! Who the client is: ApiVersions, SaslHandshake and SaslAuthenticate, answered by the gateway itself.
//!
//! The same exchange renews the token on a live session (KIP-368). Nothing else is served before it succeeds, and nothing
//! of it is forwarded.

use sluice_identity::jwt::{self, Token, TokenError};
use sluice_identity::oauthbearer::{self, FailureStatus};
use sluice_kafka::local::{
    self, ApiVersionsRequest, SaslAuthenticateRequest, SaslHandshakeRequest, api_versions, sasl,
};
use sluice_kafka::{ErrorCode, Malformed, RequestHeader};
use sluice_policy::Bound;

use crate::environment::Environment;
use crate::error::Close;

const MECHANISM: &str = "OAUTHBEARER";

/// Who stands behind a session, proven by a token and bound by policy.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The token's claims; bindings are matched again when policy changes.
    pub(crate) token: Token,
    /// What policy binds it to.
    pub(crate) bound: Bound,
}

impl Identity {
    /// For evidence: who vouched for it, and what it holds.
    pub(crate) fn describe(&self) -> String {
        let Token {
            issuer_name,
            subject,
            expires_unix_s,
            id,
            ..
        } = &self.token;
        let id = id.as_deref().unwrap_or("-");
        format!("issuer {issuer_name}, sub {subject}, jti {id}, expires {expires_unix_s}")
    }
}

/// Where the exchange stands.
#[derive(Debug, Default)]
pub(crate) enum Exchange {
    /// Nothing is under way.
    #[default]
    Idle,
    /// The mechanism is agreed; the token comes next.
    TokenAwaited,
    /// The token was refused; the client owes its acknowledgement (RFC 7628, section 3.2.3), and then the session ends.
    AcknowledgementAwaited(String),
}

/// What a step of the exchange answers.
pub(crate) struct Answered {
    pub(crate) frame: Vec<u8>,
    pub(crate) event: Event,
}

/// What a step changed.
pub(crate) enum Event {
    /// Nothing yet.
    Continue,
    /// The client is known.
    Authenticated(Box<Identity>),
    /// The client is told that its token is refused; what the log says is here.
    Failed(String),
    /// The failed exchange is over.
    End(String),
}

/// Whether an API belongs to this stage.
pub(crate) fn is_local(api_key: i16) -> bool {
    matches!(api_key, 17 | 18 | 36)
}

/// Answers ApiVersions from what the last probe of the brokers found.
pub(crate) fn api_versions(
    environment: &Environment<'_>,
    node: Option<i32>,
    header: &RequestHeader<'_>,
    frame: &[u8],
) -> (Vec<u8>, Option<Malformed>) {
    let mut out = Vec::new();
    if let Err(malformed) = ApiVersionsRequest::parse(frame, header) {
        local::encode_error(header, ErrorCode::INVALID_REQUEST, &mut out);
        return (out, Some(malformed));
    }
    let offer = environment.topology.offer(node);
    let RequestHeader {
        api_version,
        correlation_id,
        ..
    } = *header;
    api_versions::encode_response(
        api_version,
        correlation_id,
        ErrorCode::NONE,
        0,
        &offer.ranges,
        &offer.features,
        &mut out,
    );
    (out, None)
}

/// Takes one SASL request.
pub(crate) fn sasl(
    environment: &Environment<'_>,
    exchange: &mut Exchange,
    current: Option<&Identity>,
    header: &RequestHeader<'_>,
    frame: &[u8],
) -> Result<Answered, Close> {
    let mut out = Vec::new();
    let id = header.correlation_id;
    if header.api_key == 17
        && let Exchange::AcknowledgementAwaited(why) = exchange
    {
        sasl::encode_handshake_response(id, ErrorCode::ILLEGAL_SASL_STATE, &[], &mut out);
        let event = Event::End(std::mem::take(why));
        return Ok(Answered { frame: out, event });
    }
    if header.api_key == 17 {
        let request = SaslHandshakeRequest::parse(frame, header).map_err(Close::malformed)?;
        let agreed = request.mechanism == MECHANISM && header.api_version == 1;
        let error = if agreed {
            ErrorCode::NONE
        } else {
            ErrorCode::UNSUPPORTED_SASL_MECHANISM
        };
        sasl::encode_handshake_response(id, error, &[MECHANISM], &mut out);
        if !agreed {
            let why = format!(
                "mechanism {:.32} version {} is not offered",
                request.mechanism, header.api_version
            );
            return Ok(Answered {
                frame: out,
                event: Event::End(why),
            });
        }
        *exchange = Exchange::TokenAwaited;
        return Ok(Answered {
            frame: out,
            event: Event::Continue,
        });
    }
    let request = SaslAuthenticateRequest::parse(frame, header).map_err(Close::malformed)?;
    let failed = |message: &str, out: &mut Vec<u8>| {
        let error = ErrorCode::SASL_AUTHENTICATION_FAILED;
        sasl::encode_authenticate_response(
            header.api_version,
            id,
            error,
            Some(message),
            &[],
            0,
            out,
        );
    };
    match std::mem::take(exchange) {
        Exchange::Idle => {
            let error = ErrorCode::ILLEGAL_SASL_STATE;
            sasl::encode_authenticate_response(
                header.api_version,
                id,
                error,
                None,
                &[],
                0,
                &mut out,
            );
            Ok(Answered {
                frame: out,
                event: Event::End("SaslAuthenticate without SaslHandshake".into()),
            })
        }
        Exchange::AcknowledgementAwaited(why) => {
            failed(&refusal(), &mut out);
            Ok(Answered {
                frame: out,
                event: Event::End(why),
            })
        }
        Exchange::TokenAwaited => match identify(environment, request.auth_bytes, current) {
            Ok(identity) => {
                let lifetime_ms = lifetime_ms(environment, &identity.token);
                let none = ErrorCode::NONE;
                sasl::encode_authenticate_response(
                    header.api_version,
                    id,
                    none,
                    None,
                    &[],
                    lifetime_ms,
                    &mut out,
                );
                Ok(Answered {
                    frame: out,
                    event: Event::Authenticated(Box::new(identity)),
                })
            }
            Err(why) => {
                let json = refusal();
                let none = ErrorCode::NONE;
                sasl::encode_authenticate_response(
                    header.api_version,
                    id,
                    none,
                    None,
                    json.as_bytes(),
                    0,
                    &mut out,
                );
                *exchange = Exchange::AcknowledgementAwaited(why.clone());
                Ok(Answered {
                    frame: out,
                    event: Event::Failed(why),
                })
            }
        },
    }
}

/// From the client's message to a bound principal; the error is for the log and evidence, not for the client.
fn identify(
    environment: &Environment<'_>,
    message: &[u8],
    current: Option<&Identity>,
) -> Result<Identity, String> {
    let message = oauthbearer::parse(message).map_err(|error| error.to_string())?;
    let token = jwt::validate(
        message.token(),
        environment.issuers,
        environment.now.unix_s(),
    )
    .map_err(|error| {
        if matches!(error, TokenError::ClientKeyUnknown { .. }) {
            environment.shared.unknown_key();
        }
        error.to_string()
    })?;
    if token.expires_unix_s <= environment.now.unix_s() {
        return Err("the token is expired".into());
    }
    let bound = bind(environment, &token)?;
    let name = bound.principal.trim_start_matches("User:");
    message
        .check_authzid(name)
        .map_err(|error| error.to_string())?;
    if current.is_some_and(|current| current.bound.principal != bound.principal) {
        return Err("a session keeps its principal: connect anew for another one".into());
    }
    Ok(Identity { token, bound })
}

/// What policy of now binds the token to.
pub(crate) fn bind(environment: &Environment<'_>, token: &Token) -> Result<Bound, String> {
    let snapshot = environment.snapshot.ok_or("no policy is in force yet")?;
    match snapshot.tables.bind(&token.issuer_name, &|claim, value| {
        token.claim_matches(claim, value)
    }) {
        Ok(bound) => Ok(bound),
        Err(error) => Err(format!("{error} (sub {:.64})", token.subject)),
    }
}

/// What a refused client is told: no more than that.
fn refusal() -> String {
    oauthbearer::failure(FailureStatus::InvalidToken, None, None)
}

fn lifetime_ms(environment: &Environment<'_>, token: &Token) -> i64 {
    token
        .expires_unix_s
        .saturating_mul(1000)
        .saturating_sub(environment.now.unix_ms())
        .max(1)
}
