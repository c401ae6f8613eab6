//! Every bound of this crate, and the relations between them.

/// An OIDC discovery document. Large providers publish about 10 KiB.
pub const DISCOVERY_BYTES_MAX: usize = 64 * 1024;

/// An issuer's or JWKS's URL.
pub const URL_BYTES_MAX: usize = 2_048;

/// A JWKS: [`KEYS_COUNT_MAX`] keys with certificate chains beside them.
pub const JWKS_BYTES_MAX: usize = 512 * 1024;

/// Keys in one JWKS, those that are skipped included.
pub const KEYS_COUNT_MAX: usize = 100;

/// A key id, in a JWKS and in a token.
pub const KID_BYTES_MAX: usize = 256;

/// RSA moduli accepted, in bits (RFC 7518 section 3.3 asks for 2048 or more; more than 8192 is only slow).
pub const RSA_MODULUS_BITS_MIN: usize = 2_048;
/// See [`RSA_MODULUS_BITS_MIN`].
pub const RSA_MODULUS_BITS_MAX: usize = 8_192;

/// RSA public exponents accepted, in bytes. Everybody uses 65537.
pub const RSA_EXPONENT_BYTES_MAX: usize = 4;

/// A compact JWT.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// The claim that names a principal, and `sub`.
pub const SUBJECT_BYTES_MAX: usize = 256;

/// A `jti`.
pub const TOKEN_ID_BYTES_MAX: usize = 256;

/// The largest clock skew that an issuer may be given.
pub const CLOCK_SKEW_S_MAX: u32 = 300;

/// Clock skew unless the operator says otherwise.
pub const CLOCK_SKEW_S_DEFAULT: u32 = 30;

/// The client's OAUTHBEARER message: a token and some extensions.
pub const OAUTHBEARER_BYTES_MAX: usize = 32 * 1024;

/// OAUTHBEARER extensions in one message.
pub const EXTENSIONS_COUNT_MAX: usize = 32;

/// The client's PLAIN message.
pub const PLAIN_BYTES_MAX: usize = 4 * 1024;

/// A user name or a password, for PLAIN and SCRAM.
pub const CREDENTIAL_BYTES_MAX: usize = 1_024;

/// A broker's SCRAM message.
pub const SCRAM_BYTES_MAX: usize = 4 * 1024;

/// A SCRAM salt, decoded.
pub const SCRAM_SALT_BYTES_MAX: usize = 1_024;

/// Characters of the client's part of a SCRAM nonce. 16 characters of base64 hold 96 bits.
pub const SCRAM_NONCE_BYTES_MIN: usize = 16;
/// See [`SCRAM_NONCE_BYTES_MIN`].
pub const SCRAM_NONCE_BYTES_MAX: usize = 256;

/// PBKDF2 rounds below which a broker is not answered (Kafka's own minimum, RFC 7677 section 4).
pub const SCRAM_ITERATIONS_MIN: u32 = 4_096;

/// PBKDF2 rounds above which a broker is not answered unless the operator says otherwise (Kafka's own maximum). It bounds the
/// time that a broker can make a shard spend.
pub const SCRAM_ITERATIONS_MAX_DEFAULT: u32 = 16_384;

const _: () = assert!(TOKEN_BYTES_MAX < OAUTHBEARER_BYTES_MAX);
const _: () = assert!(2 * CREDENTIAL_BYTES_MAX + 2 <= PLAIN_BYTES_MAX);
const _: () = assert!(SCRAM_ITERATIONS_MIN <= SCRAM_ITERATIONS_MAX_DEFAULT);
const _: () = assert!(SCRAM_NONCE_BYTES_MIN < SCRAM_NONCE_BYTES_MAX);
const _: () = assert!(CLOCK_SKEW_S_DEFAULT <= CLOCK_SKEW_S_MAX);
const _: () = assert!(RSA_MODULUS_BITS_MIN < RSA_MODULUS_BITS_MAX);
