//! What can go wrong, whose fault it is, and the only map to gRPC.

use tonic::{Code, Status};

/// Variants say whose move it is: the caller's (`Caller…`), a gateway's (`Gateway…`), the operator's (`Operator…`), the
/// store's, or ours (`Broken…`).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no valid token: {0}")]
    CallerUnauthenticated(String),
    #[error("{person} has no binding that gives the role {role}")]
    CallerLacksRole { person: String, role: &'static str },
    #[error("{0}")]
    CallerDenied(String),
    #[error("{0}")]
    CallerMistake(String),
    #[error("{kind} {name} does not exist")]
    CallerAskedForNothing { kind: &'static str, name: String },
    #[error("{0}")]
    CallerTooEarlyOrLate(String),
    #[error("{what}: at most {limit}")]
    CallerOverLimit { what: &'static str, limit: usize },

    #[error("the link gives no certificate that names a gateway")]
    GatewayUnauthenticated,
    #[error("the certificate is of gateway {certificate}, the message says {message}")]
    GatewayNameDiffers {
        certificate: String,
        message: String,
    },
    #[error("log {log}: leaf {held} is the next one, the batch starts at {sent}: a gap")]
    GatewayLeftGap { log: String, held: u64, sent: u64 },
    #[error("log {log}: leaf {leaf} differs from the one that is held: evidence was rewritten")]
    GatewayRewroteLeaf { log: String, leaf: u64 },
    #[error("log {log}: {why}")]
    GatewayEvidenceInvalid { log: String, why: String },

    #[error("{0}")]
    OperatorConfig(String),
    #[error("the issuer {issuer} gives no usable keys: {why}")]
    OperatorIssuerUnreachable { issuer: String, why: String },
    #[error(
        "the store accepts no transaction of this size (etcd: --max-txn-ops, --max-request-bytes): {0}"
    )]
    OperatorStoreTransactionTooLarge(String),

    #[error("somebody else changed the store at the same time")]
    StoreMoved,
    #[error("the store does not answer: {0}")]
    StoreUnreachable(String),
    #[error("the store holds what is not valid: {0}")]
    StoreContentInvalid(String),

    #[error("state directory: {0}")]
    BrokenDisk(#[from] std::io::Error),
    #[error("archive or index: {0}")]
    BrokenDatabase(#[from] rusqlite::Error),
    #[error("{0}")]
    BrokenInvariant(String),
}

/// The only map to gRPC. What is not the caller's business stays in the log.
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::CallerUnauthenticated(_) | Error::GatewayUnauthenticated => {
                Code::Unauthenticated
            }
            Error::CallerLacksRole { .. }
            | Error::CallerDenied(_)
            | Error::GatewayNameDiffers { .. } => Code::PermissionDenied,
            Error::CallerMistake(_) | Error::GatewayEvidenceInvalid { .. } => Code::InvalidArgument,
            Error::CallerAskedForNothing { .. } => Code::NotFound,
            Error::CallerTooEarlyOrLate(_) => Code::FailedPrecondition,
            Error::CallerOverLimit { .. } | Error::OperatorStoreTransactionTooLarge(_) => {
                Code::ResourceExhausted
            }
            Error::GatewayLeftGap { .. } => Code::OutOfRange,
            Error::GatewayRewroteLeaf { .. } => Code::DataLoss,
            Error::StoreMoved => Code::Aborted,
            Error::OperatorIssuerUnreachable { .. } | Error::StoreUnreachable(_) => {
                Code::Unavailable
            }
            Error::OperatorConfig(_)
            | Error::StoreContentInvalid(_)
            | Error::BrokenDisk(_)
            | Error::BrokenDatabase(_)
            | Error::BrokenInvariant(_) => {
                tracing::error!("{error}");
                return Self::new(Code::Internal, error.caller_message());
            }
        };
        Self::new(code, error.caller_message())
    }
}

impl Error {
    /// What the other side may read.
    pub fn caller_message(&self) -> String {
        match self {
            Self::OperatorConfig(_)
            | Self::StoreContentInvalid(_)
            | Self::BrokenDisk(_)
            | Self::BrokenDatabase(_)
            | Self::BrokenInvariant(_) => {
                "the control plane is broken; its log says how".to_owned()
            }
            Self::StoreUnreachable(_) => "the store does not answer".to_owned(),
            other => other.to_string(),
        }
    }
}
