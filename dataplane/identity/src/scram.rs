//! SASL/SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677), client side: how the gateway proves itself to a broker.
//!
//! ```text
//! gateway  n,,n=<user name>,r=<nonce>                 start
//! broker   r=<nonce><its own>,s=<salt>,i=<rounds>     AwaitsServerFirst::server_first
//! gateway  c=biws,r=<both nonces>,p=<proof>
//! broker   v=<signature>                              AwaitsServerFinal::server_final
//! ```
//! No step can be left out: the keys, which say that the broker knew them too, exist only after the last one.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroize;

use crate::limits::{
    CREDENTIAL_BYTES_MAX, SCRAM_BYTES_MAX, SCRAM_ITERATIONS_MAX_DEFAULT, SCRAM_ITERATIONS_MIN,
    SCRAM_NONCE_BYTES_MAX, SCRAM_NONCE_BYTES_MIN, SCRAM_SALT_BYTES_MAX,
};

/// The hash behind the mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// SCRAM-SHA-256.
    ScramSha256,
    /// SCRAM-SHA-512.
    ScramSha512,
}

/// Waits for the broker's salt.
pub struct AwaitsServerFirst {
    mechanism: Mechanism,
    nonce: String,
    first_bare: String,
}

/// Waits for the broker's proof.
pub struct AwaitsServerFinal {
    keys: Keys,
    auth_message: String,
}

/// Keys derived from a password, shown to be those that the broker knows. They replace the password for this user: keep them
/// like one. Kept, they spare the next exchange the derivation, milliseconds in which a shard does nothing else.
#[derive(Clone)]
pub struct Keys {
    mechanism: Mechanism,
    salt: Vec<u8>,
    iterations: u32,
    client_key: Vec<u8>,
    server_key: Vec<u8>,
}

/// Why an exchange failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// The configured user name or password is empty or too long.
    #[error("configured user name or password cannot be used with SCRAM")]
    OperatorCredentialInvalid,
    /// The nonce is too short, too long, or holds a comma or anything that is not printable: our fault.
    #[error("gateway made an unusable nonce")]
    NonceInvalid,
    /// Longer than [`SCRAM_BYTES_MAX`].
    #[error(
        "broker sent a SCRAM message of {message_bytes} bytes, at most {SCRAM_BYTES_MAX} are read"
    )]
    BrokerMessageOversized {
        /// Its size.
        message_bytes: usize,
    },
    /// Bytes that the grammar does not allow.
    #[error("broker sent a SCRAM message that does not follow the grammar")]
    BrokerMessageMalformed,
    /// `m=`: an extension that must be understood.
    #[error("broker demanded a SCRAM extension")]
    BrokerExtensionMandatory,
    /// The nonce does not continue ours: an answer to somebody else, or a replay.
    #[error("broker answered with another nonce")]
    BrokerNonceDiffers,
    /// Too few rounds: the proof would be cheap to attack by whoever stands in for the broker.
    #[error("broker asked for {iterations} rounds, at least {SCRAM_ITERATIONS_MIN} are done")]
    BrokerIterationsTooFew {
        /// Rounds asked.
        iterations: u32,
    },
    /// Too many rounds: the shard would stand still.
    #[error("broker asked for {iterations} rounds, at most {iterations_max} are done")]
    BrokerIterationsTooMany {
        /// Rounds asked.
        iterations: u32,
        /// Rounds allowed.
        iterations_max: u32,
    },
    /// `e=`: the broker does not accept the proof.
    #[error("broker refused the gateway's proof")]
    BrokerRefusedProof,
    /// The broker does not know the keys: it is not the one that the credential is for.
    #[error("broker's own proof is wrong")]
    BrokerSignatureInvalid,
}

/// Begins an exchange. Returns the state and the first message to send.
///
/// `nonce` is the caller's: fresh random printable ASCII without comma, 16 to 256 characters (base64 of 18 random bytes or
/// more). The user name is sent as it is, without SASLprep, as Kafka's own clients do.
///
/// # Errors
/// [`ScramError::OperatorCredentialInvalid`], [`ScramError::NonceInvalid`].
pub fn start(
    mechanism: Mechanism,
    username: &str,
    nonce: &str,
) -> Result<(AwaitsServerFirst, Vec<u8>), ScramError> {
    if !is_credential(username) || username.contains('\0') {
        return Err(ScramError::OperatorCredentialInvalid);
    }
    if !(SCRAM_NONCE_BYTES_MIN..=SCRAM_NONCE_BYTES_MAX).contains(&nonce.len()) || !is_nonce(nonce) {
        return Err(ScramError::NonceInvalid);
    }
    let username = username.replace('=', "=3D").replace(',', "=2C");
    let first_bare = format!("n={username},r={nonce}");
    let message = format!("n,,{first_bare}").into_bytes();
    Ok((
        AwaitsServerFirst {
            mechanism,
            nonce: nonce.to_owned(),
            first_bare,
        },
        message,
    ))
}

impl AwaitsServerFirst {
    /// Takes the broker's salt. Returns the next state and the message with the proof.
    ///
    /// `known` are keys of an earlier exchange with the same user name and password; they are used if salt and rounds are still
    /// the same. Without them this call takes the time of the rounds, which is milliseconds.
    ///
    /// # Errors
    /// See [`ScramError`].
    pub fn server_first(
        self,
        message: &[u8],
        password: &str,
        known: Option<&Keys>,
        bounds: Bounds,
    ) -> Result<(AwaitsServerFinal, Vec<u8>), ScramError> {
        if !is_credential(password) {
            return Err(ScramError::OperatorCredentialInvalid);
        }
        let message = text(message)?;
        let first = ServerFirst::parse(message)?;
        let continues = first
            .nonce
            .strip_prefix(self.nonce.as_str())
            .is_some_and(|own| !own.is_empty());
        if !continues {
            return Err(ScramError::BrokerNonceDiffers);
        }
        let iterations = bounds.check(first.iterations)?;
        let keys = match known {
            Some(keys) if keys.fit(self.mechanism, &first) => keys.clone(),
            _ => Keys::derive(self.mechanism, password, first.salt, iterations),
        };
        // "biws" is the base64 of "n,,", the GS2 header sent in the first message.
        let without_proof = format!("c=biws,r={}", first.nonce);
        let auth_message = format!("{},{message},{without_proof}", self.first_bare);
        let proof = STANDARD.encode(keys.client_proof(&auth_message));
        let answer = format!("{without_proof},p={proof}").into_bytes();
        Ok((AwaitsServerFinal { keys, auth_message }, answer))
    }
}

impl AwaitsServerFinal {
    /// Takes the broker's proof. Only now the broker is known to be the right one.
    ///
    /// # Errors
    /// See [`ScramError`].
    pub fn server_final(self, message: &[u8]) -> Result<Keys, ScramError> {
        let message = text(message)?;
        // The text of an `e=` is the peer's choice; it is not repeated.
        if message.starts_with("e=") {
            return Err(ScramError::BrokerRefusedProof);
        }
        let verifier = message
            .strip_prefix("v=")
            .ok_or(ScramError::BrokerMessageMalformed)?;
        let verifier = verifier.split(',').next().unwrap_or_default();
        let signature = STANDARD
            .decode(verifier)
            .map_err(|_| ScramError::BrokerMessageMalformed)?;
        let key = hmac::Key::new(self.keys.mechanism.hmac(), &self.keys.server_key);
        // Compares in constant time.
        hmac::verify(&key, self.auth_message.as_bytes(), &signature)
            .map_err(|_| ScramError::BrokerSignatureInvalid)?;
        Ok(self.keys)
    }
}

/// Rounds that are done for a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    iterations_max: u32,
}

impl Bounds {
    /// Another upper bound than the default; below [`SCRAM_ITERATIONS_MIN`] that is used instead.
    #[must_use]
    pub fn new(iterations_max: u32) -> Self {
        Self {
            iterations_max: iterations_max.max(SCRAM_ITERATIONS_MIN),
        }
    }

    fn check(self, iterations: u32) -> Result<NonZeroU32, ScramError> {
        let iterations_max = self.iterations_max;
        if iterations > iterations_max {
            return Err(ScramError::BrokerIterationsTooMany {
                iterations,
                iterations_max,
            });
        }
        let enough = NonZeroU32::new(iterations)
            .filter(|iterations| iterations.get() >= SCRAM_ITERATIONS_MIN);
        enough.ok_or(ScramError::BrokerIterationsTooFew { iterations })
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self::new(SCRAM_ITERATIONS_MAX_DEFAULT)
    }
}

impl Mechanism {
    /// Its name in SaslHandshake.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::ScramSha256 => hmac::HMAC_SHA256,
            Self::ScramSha512 => hmac::HMAC_SHA512,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::ScramSha256 => &digest::SHA256,
            Self::ScramSha512 => &digest::SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Self::ScramSha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::ScramSha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }
}

impl Keys {
    /// RFC 5802 section 3.
    fn derive(mechanism: Mechanism, password: &str, salt: Vec<u8>, iterations: NonZeroU32) -> Self {
        let mut salted_password = vec![0; mechanism.digest().output_len()];
        pbkdf2::derive(
            mechanism.pbkdf2(),
            iterations,
            &salt,
            password.as_bytes(),
            &mut salted_password,
        );
        let key = hmac::Key::new(mechanism.hmac(), &salted_password);
        salted_password.zeroize();
        let client_key = hmac::sign(&key, b"Client Key").as_ref().to_vec();
        let server_key = hmac::sign(&key, b"Server Key").as_ref().to_vec();
        Self {
            mechanism,
            salt,
            iterations: iterations.get(),
            client_key,
            server_key,
        }
    }

    fn fit(&self, mechanism: Mechanism, first: &ServerFirst<'_>) -> bool {
        self.mechanism == mechanism
            && self.salt == first.salt
            && self.iterations == first.iterations
    }

    fn client_proof(&self, auth_message: &str) -> Vec<u8> {
        let stored_key = digest::digest(self.mechanism.digest(), &self.client_key);
        let key = hmac::Key::new(self.mechanism.hmac(), stored_key.as_ref());
        let signature = hmac::sign(&key, auth_message.as_bytes());
        self.client_key
            .iter()
            .zip(signature.as_ref())
            .map(|(key, signature)| key ^ signature)
            .collect()
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.client_key.zeroize();
        self.server_key.zeroize();
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("mechanism", &self.mechanism)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AwaitsServerFirst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwaitsServerFirst")
            .field("mechanism", &self.mechanism)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AwaitsServerFinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwaitsServerFinal")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

struct ServerFirst<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    iterations: u32,
}

impl<'a> ServerFirst<'a> {
    /// RFC 5802 section 7, `server-first-message`. Extensions at its end may be ignored, those at its start may not.
    fn parse(message: &'a str) -> Result<Self, ScramError> {
        use ScramError::BrokerMessageMalformed;

        if message.starts_with("m=") {
            return Err(ScramError::BrokerExtensionMandatory);
        }
        if message.starts_with("e=") {
            return Err(ScramError::BrokerRefusedProof);
        }
        let mut attributes = message.split(',');
        let mut attribute = |prefix| {
            attributes
                .next()
                .and_then(|attribute| attribute.strip_prefix(prefix))
        };
        let nonce = attribute("r=")
            .filter(|nonce| is_nonce(nonce))
            .ok_or(BrokerMessageMalformed)?;
        let salt = attribute("s=").ok_or(BrokerMessageMalformed)?;
        let salt = STANDARD.decode(salt).map_err(|_| BrokerMessageMalformed)?;
        if !(1..=SCRAM_SALT_BYTES_MAX).contains(&salt.len()) {
            return Err(BrokerMessageMalformed);
        }
        let iterations = attribute("i=").ok_or(BrokerMessageMalformed)?;
        // `parse` alone would take a leading plus sign.
        if !iterations.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(BrokerMessageMalformed);
        }
        let iterations = iterations.parse().map_err(|_| BrokerMessageMalformed)?;
        Ok(Self {
            nonce,
            salt,
            iterations,
        })
    }
}

fn text(message: &[u8]) -> Result<&str, ScramError> {
    if message.len() > SCRAM_BYTES_MAX {
        return Err(ScramError::BrokerMessageOversized {
            message_bytes: message.len(),
        });
    }
    std::str::from_utf8(message).map_err(|_| ScramError::BrokerMessageMalformed)
}

fn is_credential(part: &str) -> bool {
    (1..=CREDENTIAL_BYTES_MAX).contains(&part.len())
}

/// RFC 5802 section 7, `printable`.
fn is_nonce(nonce: &str) -> bool {
    nonce
        .bytes()
        .all(|byte| matches!(byte, 0x21..=0x7E) && byte != b',')
}

#[cfg(test)]
mod tests;
