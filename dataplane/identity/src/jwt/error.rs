use crate::limits::TOKEN_BYTES_MAX;

/// Why a token is not accepted.
///
/// `Display` is for logs and holds no byte of the token; what the client may read is [`TokenError::client_message`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("client sent a token of {token_bytes} bytes, at most {TOKEN_BYTES_MAX} are read")]
    ClientTokenOversized {
        /// Its size.
        token_bytes: usize,
    },
    /// Not a signed compact JWT, a header member of the wrong type, or a member named twice.
    #[error("client sent something that is not a signed JWT")]
    ClientTokenMalformed,
    /// `alg` is `none`.
    #[error("client sent a token without signature")]
    ClientTokenUnsigned,
    /// `HS256` and the like.
    #[error("client sent a token with a shared-secret signature")]
    ClientAlgorithmSymmetric,
    /// An algorithm that is not spoken here.
    #[error("client sent a token whose signature algorithm is not supported")]
    ClientAlgorithmUnsupported,
    /// The key exists and is for another algorithm than the token names.
    #[error("client sent a token whose algorithm is not that of its key (issuer {issuer_name})")]
    ClientAlgorithmNotOfKey {
        /// What the operator calls the issuer.
        issuer_name: String,
    },
    /// The header demands an extension.
    #[error("client sent a token with critical header members")]
    ClientHeaderCritical,
    /// `typ` says that it is no access token.
    #[error("client sent a token of another type than access token")]
    ClientTypeUnsupported,
    /// `iss` is absent or names nobody who is trusted.
    #[error("client sent a token of an issuer that is not trusted")]
    ClientIssuerUntrusted,
    /// The key is not among those that the issuer had published when they were last fetched.
    #[error("client sent a token whose key is not known (issuer {issuer_name})")]
    ClientKeyUnknown {
        /// What the operator calls the issuer.
        issuer_name: String,
    },
    /// No `kid`, and the issuer has several keys that could be meant.
    #[error("client sent a token that does not name its key (issuer {issuer_name})")]
    ClientKeyUnnamed {
        /// What the operator calls the issuer.
        issuer_name: String,
    },
    /// Forged, or damaged.
    #[error("client sent a token whose signature is wrong (issuer {issuer_name})")]
    ClientSignatureInvalid {
        /// What the operator calls the issuer.
        issuer_name: String,
    },
    /// Made for somebody else.
    #[error("client sent a token for another audience (issuer {issuer_name})")]
    ClientAudienceDiffers {
        /// What the operator calls the issuer.
        issuer_name: String,
    },
    /// `exp` has passed.
    #[error("client sent a token that expired at {expires_unix_s}")]
    ClientTokenExpired {
        /// Its `exp`.
        expires_unix_s: i64,
    },
    /// `nbf` or `iat` is still to come.
    #[error("client sent a token that starts at {starts_unix_s}")]
    ClientTokenEarly {
        /// Its `nbf` or `iat`.
        starts_unix_s: i64,
    },
    /// A claim that is needed is absent, of another type, too long, or holds control characters.
    #[error("client sent a token without a usable {claim}")]
    ClientClaimInvalid {
        /// Its name.
        claim: &'static str,
    },
}

impl TokenError {
    /// What the client may read: enough to fetch a new token or to call the right person, and nothing about the keys and
    /// issuers that are trusted here.
    #[must_use]
    pub fn client_message(&self) -> &'static str {
        match self {
            Self::ClientTokenOversized { .. } => "token is too large",
            // Only reached with a good signature: it says no more than the holder can read in the token.
            Self::ClientTokenExpired { .. } => "token has expired",
            Self::ClientTokenEarly { .. } => "token is not yet valid",
            Self::ClientAudienceDiffers { .. } => "token is for another audience",
            Self::ClientClaimInvalid { .. } => "token lacks a required claim",
            Self::ClientTokenMalformed
            | Self::ClientTokenUnsigned
            | Self::ClientAlgorithmSymmetric
            | Self::ClientAlgorithmUnsupported
            | Self::ClientAlgorithmNotOfKey { .. }
            | Self::ClientHeaderCritical
            | Self::ClientTypeUnsupported
            | Self::ClientIssuerUntrusted
            | Self::ClientKeyUnknown { .. }
            | Self::ClientKeyUnnamed { .. }
            | Self::ClientSignatureInvalid { .. } => "token is not accepted",
        }
    }
}
