//! Why a session ends. Each variant blames a side; what a client may read is decided where the answer is built.

use sluice_kafka::{FrameError, HeaderError, Malformed};

/// The end of a session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Close {
    /// The client's bytes are not a Kafka request.
    #[error("client sent malformed bytes: {0}")]
    ClientMalformed(String),
    /// The client announced a frame that is negative or longer than the limit.
    #[error("client frame: {0}")]
    ClientFrameInvalid(FrameError),
    /// A request other than ApiVersions and SASL came before authentication.
    #[error("client sent API {api_key} before it was authenticated")]
    ClientUnauthenticated {
        /// The request's API key.
        api_key: i16,
    },
    /// The token was not accepted; the client was told.
    #[error("client authentication failed: {0}")]
    ClientAuthenticationFailed(String),
    /// The token's time is over and the client did not authenticate again.
    #[error("client token expired")]
    ClientTokenExpired,
    /// An API or version that the gateway does not offer.
    #[error("client sent API {api_key} version {api_version}, which is not offered")]
    ClientUnsupported {
        /// The request's API key.
        api_key: i16,
        /// The request's API version.
        api_version: i16,
    },
    /// A denied request that has no answer to carry the denial (acks=0).
    #[error("denied a request that has no answer (acks=0)")]
    ClientDeniedUnanswerable,
    /// The client closed.
    #[error("client closed the connection")]
    ClientClosed,
    /// The broker closed.
    #[error("broker closed the connection")]
    BrokerClosed,
    /// The broker's bytes are not the answer that was asked for.
    #[error("broker sent a malformed answer: {0}")]
    BrokerMalformed(String),
    /// The broker offers less than what the client was told.
    #[error("broker narrowed its API versions below what this session was offered")]
    BrokerNarrowed,
    /// The broker could not be reached or refused the gateway's credential.
    #[error("broker unreachable: {0}")]
    BrokerUnreachable(String),
    /// A new policy revision took the principal's binding away.
    #[error("the principal's binding is gone from policy")]
    PolicyUnbound,
    /// What is left of an answer under way may not be read, or not in clear, any more.
    #[error("policy changed while an answer was under way")]
    PolicyNarrowed,
    /// Evidence could not be recorded, so nothing goes on.
    #[error("evidence could not be recorded: {0}")]
    EvidenceRefused(String),
    /// The connection would hold more memory than one may.
    #[error("connection would hold more than {bytes_max} bytes in the gateway")]
    ConnectionMemory {
        /// The limit.
        bytes_max: usize,
    },
    /// All connections of the shard together hold what the operator allows.
    #[error("no memory is left for connections; raise `connections_memory_mib` or add gateways")]
    ShardMemory,
    /// Our own bug; the session ends, the shard lives.
    #[error("internal invariant broken: {0}")]
    Internal(&'static str),
    /// The gateway is draining.
    #[error("gateway is draining")]
    Draining,
}

impl Close {
    pub(crate) fn malformed(error: Malformed) -> Self {
        Self::ClientMalformed(error.to_string())
    }

    pub(crate) fn broker_malformed(error: Malformed) -> Self {
        Self::BrokerMalformed(error.to_string())
    }

    pub(crate) fn header(error: HeaderError) -> Self {
        match error {
            HeaderError::ClientApiUnknown {
                api_key,
                api_version,
                ..
            }
            | HeaderError::ClientApiWithheld {
                api_key,
                api_version,
                ..
            }
            | HeaderError::ClientVersionUnsupported {
                api_key,
                api_version,
                ..
            } => Self::ClientUnsupported {
                api_key,
                api_version,
            },
            HeaderError::Malformed(malformed) => Self::malformed(malformed),
        }
    }

    /// A frame's length that the client may not announce.
    #[must_use]
    pub fn frame(error: FrameError) -> Self {
        Self::ClientFrameInvalid(error)
    }

    /// A stable word for evidence and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::ClientMalformed(_) => "client-malformed",
            Self::ClientFrameInvalid(_) => "client-frame-invalid",
            Self::ClientUnauthenticated { .. } => "client-unauthenticated",
            Self::ClientAuthenticationFailed(_) => "client-authentication-failed",
            Self::ClientTokenExpired => "client-token-expired",
            Self::ClientUnsupported { .. } => "client-unsupported",
            Self::ClientDeniedUnanswerable => "client-denied-unanswerable",
            Self::ClientClosed => "client-closed",
            Self::BrokerClosed => "broker-closed",
            Self::BrokerMalformed(_) => "broker-malformed",
            Self::BrokerNarrowed => "broker-narrowed",
            Self::BrokerUnreachable(_) => "broker-unreachable",
            Self::PolicyUnbound => "policy-unbound",
            Self::PolicyNarrowed => "policy-narrowed",
            Self::EvidenceRefused(_) => "evidence-refused",
            Self::ConnectionMemory { .. } => "connection-memory",
            Self::ShardMemory => "shard-memory",
            Self::Internal(_) => "internal",
            Self::Draining => "draining",
        }
    }

    /// Whether a limit on memory was met: counted as a refusal.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::ConnectionMemory { .. } | Self::ShardMemory)
    }

    /// Whether the bytes were malformed or unsupported: recorded as a rejection.
    #[must_use]
    pub fn is_rejection(&self) -> bool {
        matches!(
            self,
            Self::ClientMalformed(_)
                | Self::ClientFrameInvalid(_)
                | Self::ClientUnauthenticated { .. }
                | Self::ClientUnsupported { .. }
        )
    }
}
