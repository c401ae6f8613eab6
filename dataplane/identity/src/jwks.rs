//! JSON Web Key Sets (RFC 7517): the keys with which an issuer signs its tokens.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use crate::json;
use crate::limits::{
    JWKS_BYTES_MAX, KEYS_COUNT_MAX, KID_BYTES_MAX, RSA_EXPONENT_BYTES_MAX, RSA_MODULUS_BITS_MAX,
    RSA_MODULUS_BITS_MIN,
};

/// An issuer's public signing keys. Empty means that none of its tokens can be accepted.
#[derive(Clone, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    skipped: Vec<SkippedKey>,
}

/// One public key, with the algorithms that may be used with it.
#[derive(Clone)]
pub struct Key {
    kid: Option<String>,
    algorithms: &'static [Algorithm],
    decoding: DecodingKey,
}

/// A key that the issuer published and that is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedKey {
    /// Its `kid`, if it has one of acceptable length.
    pub kid: Option<String>,
    /// Why it is not used.
    pub flaw: KeyFlaw,
}

/// Why one key of a set is not used. RFC 7517 section 5: such keys are left out, the others stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFlaw {
    /// A required member is absent, of another type, or not what its encoding allows.
    #[error("member is absent or malformed")]
    MemberInvalid,
    /// `use` or `key_ops` say that it does not verify signatures.
    #[error("key is not meant to verify signatures")]
    UseDiffers,
    /// A type, curve or algorithm that is not spoken here.
    #[error("key type, curve or algorithm is not supported")]
    Unsupported,
    /// `oct`: whoever can verify with such a key can sign with it.
    #[error("key is symmetric")]
    Symmetric,
    /// The private half was published beside the public one, so anybody may hold it.
    #[error("private part of the key is published")]
    PrivatePublished,
    /// An RSA key outside of the accepted sizes.
    #[error("key is too small or too large")]
    SizeRefused,
    /// Numbers that are no public key of their type, such as a point off its curve.
    #[error("key is not a valid public key")]
    NotAKey,
    /// Another key of the set has this `kid` and shares an algorithm with it.
    #[error("key id is given twice")]
    KidRepeated,
}

/// Why a whole JWKS is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// Longer than [`JWKS_BYTES_MAX`].
    #[error("issuer sent a JWKS of {jwks_bytes} bytes, at most {JWKS_BYTES_MAX} are read")]
    IssuerJwksOversized {
        /// Its size.
        jwks_bytes: usize,
    },
    /// Not an object with an array `keys`, or an object names a member twice.
    #[error("issuer sent a JWKS that is not an object with an array of keys")]
    IssuerJwksMalformed,
    /// More keys than [`KEYS_COUNT_MAX`].
    #[error("issuer sent a JWKS of {keys_count} keys, at most {KEYS_COUNT_MAX} are read")]
    IssuerKeysOversized {
        /// How many.
        keys_count: usize,
    },
}

/// Signature algorithms accepted (RFC 7518 section 3.1, RFC 8037). Those with a shared secret, and `none`, have no variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5, SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5, SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5, SHA-512.
    Rs512,
    /// RSASSA-PSS, SHA-256.
    Ps256,
    /// RSASSA-PSS, SHA-384.
    Ps384,
    /// RSASSA-PSS, SHA-512.
    Ps512,
    /// ECDSA, P-256, SHA-256.
    Es256,
    /// ECDSA, P-384, SHA-384.
    Es384,
    /// Ed25519, by its old polymorphic name or that of RFC 9864.
    EdDsa,
}

/// Reads a JWKS.
///
/// Keys that cannot be used are skipped, see [`KeySet::skipped`]; a set of which nothing is left is no error, because an issuer
/// that withdraws its keys must be obeyed.
///
/// # Errors
/// See [`JwksError`].
pub fn parse(jwks: &[u8]) -> Result<KeySet, JwksError> {
    if jwks.len() > JWKS_BYTES_MAX {
        return Err(JwksError::IssuerJwksOversized {
            jwks_bytes: jwks.len(),
        });
    }
    let members = json::parse_object(jwks).ok_or(JwksError::IssuerJwksMalformed)?;
    let entries = members
        .get("keys")
        .and_then(Value::as_array)
        .ok_or(JwksError::IssuerJwksMalformed)?;
    if entries.len() > KEYS_COUNT_MAX {
        return Err(JwksError::IssuerKeysOversized {
            keys_count: entries.len(),
        });
    }
    let mut set = KeySet::default();
    for entry in entries {
        match parse_key(entry) {
            Ok(key) if set.keys.iter().any(|other| other.collides(&key)) => {
                set.skipped.push(SkippedKey {
                    kid: key.kid,
                    flaw: KeyFlaw::KidRepeated,
                });
            }
            Ok(key) => set.keys.push(key),
            Err(flaw) => set.skipped.push(SkippedKey {
                kid: kid(entry).ok().flatten(),
                flaw,
            }),
        }
    }
    Ok(set)
}

impl KeySet {
    /// The first key with this id.
    #[must_use]
    pub fn key(&self, kid: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.kid.as_deref() == Some(kid))
    }

    /// Usable keys.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Keys that were published and are not used, for the operator to see.
    #[must_use]
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }

    /// Whether no key is usable.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The one key that may have signed a token with this header.
    pub(crate) fn select(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<&Key, SelectError> {
        let Some(kid) = kid else {
            // RFC 7517 leaves `kid` out where an issuer has one key. With two, guessing would try signatures until one fits.
            let mut fitting = self.keys.iter().filter(|key| key.allows(algorithm));
            return match (fitting.next(), fitting.next()) {
                (Some(key), None) => Ok(key),
                (None, _) => Err(SelectError::Unknown),
                (Some(_), Some(_)) => Err(SelectError::Ambiguous),
            };
        };
        let mut known = SelectError::Unknown;
        for key in self
            .keys
            .iter()
            .filter(|key| key.kid.as_deref() == Some(kid))
        {
            if key.allows(algorithm) {
                return Ok(key);
            }
            known = SelectError::AlgorithmDiffers;
        }
        Err(known)
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet")
            .field("keys", &self.keys)
            .field("skipped", &self.skipped)
            .finish()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SelectError {
    Unknown,
    Ambiguous,
    AlgorithmDiffers,
}

impl Key {
    /// Its id.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Whether a signature of this algorithm may be checked with this key.
    #[must_use]
    pub fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether `signature` over `message` was made with this key. An algorithm that the key does not allow never verifies.
    pub(crate) fn verifies(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &Vec<u8>,
    ) -> bool {
        // The provider is named, not taken from the process-wide default: another crate could have installed another.
        let provider = &jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
        self.allows(algorithm)
            && (provider.verifier_factory)(&algorithm.wire(), &self.decoding)
                .is_ok_and(|verifier| verifier.verify(message, signature).is_ok())
    }

    /// Whether a token header could mean either key.
    fn collides(&self, other: &Self) -> bool {
        self.kid.is_some()
            && self.kid == other.kid
            && self
                .algorithms
                .iter()
                .any(|algorithm| other.allows(*algorithm))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

impl Algorithm {
    /// By its registered name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return None,
        })
    }

    fn wire(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Rs384 => jsonwebtoken::Algorithm::RS384,
            Self::Rs512 => jsonwebtoken::Algorithm::RS512,
            Self::Ps256 => jsonwebtoken::Algorithm::PS256,
            Self::Ps384 => jsonwebtoken::Algorithm::PS384,
            Self::Ps512 => jsonwebtoken::Algorithm::PS512,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Es384 => jsonwebtoken::Algorithm::ES384,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }

    /// This algorithm alone, as a list.
    fn alone(self) -> &'static [Self] {
        match self {
            Self::Rs256 => &[Self::Rs256],
            Self::Rs384 => &[Self::Rs384],
            Self::Rs512 => &[Self::Rs512],
            Self::Ps256 => &[Self::Ps256],
            Self::Ps384 => &[Self::Ps384],
            Self::Ps512 => &[Self::Ps512],
            Self::Es256 => &[Self::Es256],
            Self::Es384 => &[Self::Es384],
            Self::EdDsa => &[Self::EdDsa],
        }
    }
}

/// What an RSA key without `alg` may be used with.
const RSA_ALGORITHMS: &[Algorithm] = &[
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
];

fn parse_key(entry: &Value) -> Result<Key, KeyFlaw> {
    let members = entry.as_object().ok_or(KeyFlaw::MemberInvalid)?;
    let kid = kid(entry)?;
    let kty = text(members, "kty")?.ok_or(KeyFlaw::MemberInvalid)?;
    if kty == "oct" {
        return Err(KeyFlaw::Symmetric);
    }
    if !verifies_signatures(members)? {
        return Err(KeyFlaw::UseDiffers);
    }
    // The private exponent or scalar (RFC 7518 sections 6.2.2 and 6.3.2, RFC 8037 section 2).
    if members.contains_key("d") {
        return Err(KeyFlaw::PrivatePublished);
    }
    let (of_type, decoding) = match kty {
        "RSA" => (RSA_ALGORITHMS, rsa(members)?),
        "EC" | "OKP" => on_curve(members, kty)?,
        _ => return Err(KeyFlaw::Unsupported),
    };
    let algorithms = match text(members, "alg")? {
        None => of_type,
        Some(name) => {
            let named = Algorithm::from_name(name).filter(|named| of_type.contains(named));
            named.ok_or(KeyFlaw::Unsupported)?.alone()
        }
    };
    Ok(Key {
        kid,
        algorithms,
        decoding,
    })
}

fn kid(entry: &Value) -> Result<Option<String>, KeyFlaw> {
    let members = entry.as_object().ok_or(KeyFlaw::MemberInvalid)?;
    match text(members, "kid")? {
        Some(kid) if kid.len() > KID_BYTES_MAX => Err(KeyFlaw::MemberInvalid),
        kid => Ok(kid.map(str::to_owned)),
    }
}

/// Absent is `None`; another type than a string is a flaw, never treated as absent.
fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, KeyFlaw> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(value)) => Ok(Some(value)),
        Some(_) => Err(KeyFlaw::MemberInvalid),
    }
}

/// RFC 7517 sections 4.2 and 4.3.
fn verifies_signatures(members: &Map<String, Value>) -> Result<bool, KeyFlaw> {
    let by_use = text(members, "use")?.is_none_or(|purpose| purpose == "sig");
    let by_operations = match members.get("key_ops") {
        None => true,
        Some(Value::Array(operations)) => operations.iter().any(|operation| operation == "verify"),
        Some(_) => return Err(KeyFlaw::MemberInvalid),
    };
    Ok(by_use && by_operations)
}

fn rsa(members: &Map<String, Value>) -> Result<DecodingKey, KeyFlaw> {
    let n = unsigned(members, "n")?;
    let e = unsigned(members, "e")?;
    let bits = bits(&n);
    if !(RSA_MODULUS_BITS_MIN..=RSA_MODULUS_BITS_MAX).contains(&bits)
        || e.len() > RSA_EXPONENT_BYTES_MAX
    {
        return Err(KeyFlaw::SizeRefused);
    }
    // An exponent of 1 makes every message its own signature. The library refuses it too; the rule should not rest on that.
    let odd = e.last().is_some_and(|last| last % 2 == 1);
    if !odd || e == [1] {
        return Err(KeyFlaw::NotAKey);
    }
    let components = RsaPublicKeyComponents { n: &n, e: &e };
    components
        .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        .map_err(|_| KeyFlaw::NotAKey)?;
    Ok(DecodingKey::from_rsa_raw_components(&n, &e))
}

fn on_curve(
    members: &Map<String, Value>,
    kty: &str,
) -> Result<(&'static [Algorithm], DecodingKey), KeyFlaw> {
    match (kty, text(members, "crv")?.ok_or(KeyFlaw::MemberInvalid)?) {
        ("EC", "P-256") => {
            let point = point(members, 32)?;
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).map_err(|_| KeyFlaw::NotAKey)?;
            Ok((Algorithm::Es256.alone(), DecodingKey::from_ec_der(&point)))
        }
        ("EC", "P-384") => {
            let point = point(members, 48)?;
            ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &point).map_err(|_| KeyFlaw::NotAKey)?;
            Ok((Algorithm::Es384.alone(), DecodingKey::from_ec_der(&point)))
        }
        ("OKP", "Ed25519") => {
            let x = coordinate(members, "x", 32)?;
            ParsedPublicKey::new(&ED25519, &x).map_err(|_| KeyFlaw::NotAKey)?;
            Ok((Algorithm::EdDsa.alone(), DecodingKey::from_ed_der(&x)))
        }
        _ => Err(KeyFlaw::Unsupported),
    }
}

/// The uncompressed point of SEC 1 section 2.3.3: 4, x, y.
fn point(members: &Map<String, Value>, coordinate_bytes: usize) -> Result<Vec<u8>, KeyFlaw> {
    let x = coordinate(members, "x", coordinate_bytes)?;
    let y = coordinate(members, "y", coordinate_bytes)?;
    Ok([&[4_u8], x.as_slice(), y.as_slice()].concat())
}

/// RFC 7518 section 6.2.1.2: coordinates have exactly the length of their field.
fn coordinate(
    members: &Map<String, Value>,
    name: &str,
    coordinate_bytes: usize,
) -> Result<Vec<u8>, KeyFlaw> {
    let value = base64url(members, name)?;
    if value.len() == coordinate_bytes {
        Ok(value)
    } else {
        Err(KeyFlaw::MemberInvalid)
    }
}

/// A Base64urlUInt (RFC 7518 section 2), without the leading zeros that some issuers write.
fn unsigned(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, KeyFlaw> {
    let mut value = base64url(members, name)?;
    let zeros = value.iter().take_while(|byte| **byte == 0).count();
    value.drain(..zeros);
    if value.is_empty() {
        Err(KeyFlaw::MemberInvalid)
    } else {
        Ok(value)
    }
}

fn base64url(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, KeyFlaw> {
    let value = text(members, name)?.ok_or(KeyFlaw::MemberInvalid)?;
    URL_SAFE_NO_PAD
        .decode(value)
        .map_err(|_| KeyFlaw::MemberInvalid)
}

/// Bits of a big-endian number without leading zero bytes.
fn bits(number: &[u8]) -> usize {
    let leading = number
        .first()
        .map_or(0, |first| first.leading_zeros() as usize);
    number.len().saturating_mul(8).saturating_sub(leading)
}

#[cfg(test)]
mod tests;
