//! Keys that sign checkpoints, and the public halves that verify them (C2SP signed-note, tlog-cosignature).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _};
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::limits::KEY_NAME_BYTES_MAX;

/// First line of what a time-stamped cosignature signs: no origin may look like it.
pub(crate) const COSIGNATURE_HEADER: &str = "cosignature/v1";

/// Signature type bytes assigned by signed-note.
const TYPE_ED25519: u8 = 0x01;
const TYPE_COSIGNATURE: u8 = 0x04;

/// The private key of one log. The secret is wiped from memory when it is dropped.
///
/// The same key makes the plain note signature and a time-stamped cosignature of each checkpoint: signed-note advises against
/// sharing a key between types but allows it where the domains are apart, which the header line and the refusal of an origin
/// of that name ensure. The gain is one key to hand to an auditor, and a time in each checkpoint that is signed too.
pub struct SigningKey {
    key: ed25519_dalek::SigningKey,
    verifier: VerifierKey,
}

impl SigningKey {
    /// The key made of 32 random bytes, which the caller brings and wipes. `origin` names the log, such as
    /// `sluice.example/gateway-1/shard-0`.
    ///
    /// # Errors
    /// [`Error::OperatorKeyMalformed`] when the origin is not a valid key name.
    pub fn from_seed(origin: &str, seed: &[u8; 32]) -> Result<Self, Error> {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let verifier = VerifierKey::new(origin, KeyUse::Log, key.verifying_key())?;
        Ok(Self { key, verifier })
    }

    /// The public half.
    #[must_use]
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Origin of the log, which is the name of the key.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.verifier.name
    }

    /// Appends the two signature lines of a note: plain, and with the time.
    pub(crate) fn sign_lines(&self, text: &str, time_unix_s: u64, out: &mut String) {
        let plain = self.key.sign(text.as_bytes()).to_bytes();
        self.line(self.verifier.note_id, &[&plain], out);
        let timed = self
            .key
            .sign(cosigned(text, time_unix_s).as_bytes())
            .to_bytes();
        self.line(
            self.verifier.cosignature_id,
            &[&time_unix_s.to_be_bytes(), &timed],
            out,
        );
    }

    fn line(&self, id: u32, signature: &[&[u8]], out: &mut String) {
        let mut bytes = id.to_be_bytes().to_vec();
        signature
            .iter()
            .for_each(|part| bytes.extend_from_slice(part));
        out.push_str("— ");
        out.push_str(&self.verifier.name);
        out.push(' ');
        STANDARD.encode_string(bytes, out);
        out.push('\n');
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.verifier)
    }
}

/// The public key of a log, or of a witness that cosigns it. As text: a verifier key, `name+id+base64`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    serves: KeyUse,
    key: ed25519_dalek::VerifyingKey,
    note_id: u32,
    cosignature_id: u32,
}

/// What signatures a verifier key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyUse {
    /// Type 0x01: note signatures, and the log's own time-stamped ones.
    Log,
    /// Type 0x04: only the time-stamped cosignatures of a witness.
    Witness,
}

/// What a signature of a known key says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signed {
    /// The text, by the log.
    Note,
    /// The text, at this time.
    At(u64),
}

impl VerifierKey {
    /// Reads the text form.
    ///
    /// # Errors
    /// [`Error::OperatorKeyMalformed`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let malformed = |flaw| Error::OperatorKeyMalformed { flaw };
        let mut parts = text.trim_end_matches('\n').splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed("not of the form name+id+base64"));
        };
        let bytes = STANDARD
            .decode(key)
            .map_err(|_| malformed("key is not base64"))?;
        let (serves, key) = match bytes.split_first() {
            Some((&TYPE_ED25519, key)) => (KeyUse::Log, key),
            Some((&TYPE_COSIGNATURE, key)) => (KeyUse::Witness, key),
            _ => {
                return Err(malformed(
                    "signature type is not 1 (Ed25519) or 4 (cosignature)",
                ));
            }
        };
        let key = key
            .try_into()
            .map_err(|_| malformed("key is not 32 bytes long"))?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(key)
            .map_err(|_| malformed("key is no point of the curve"))?;
        let parsed = Self::new(name, serves, key)?;
        if id.len() != 8 || u32::from_str_radix(id, 16) != Ok(parsed.id()) {
            return Err(malformed("key id does not belong to name and key"));
        }
        Ok(parsed)
    }

    /// Name of the key: for a log's own key, the log's origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn new(name: &str, serves: KeyUse, key: ed25519_dalek::VerifyingKey) -> Result<Self, Error> {
        check_name(name)?;
        // A key of small order would verify the signatures of others.
        if key.is_weak() {
            return Err(Error::OperatorKeyMalformed {
                flaw: "key is weak",
            });
        }
        let note_id = key_id(name, TYPE_ED25519, key.as_bytes());
        let cosignature_id = key_id(name, TYPE_COSIGNATURE, key.as_bytes());
        Ok(Self {
            name: name.to_owned(),
            serves,
            key,
            note_id,
            cosignature_id,
        })
    }

    fn id(&self) -> u32 {
        match self.serves {
            KeyUse::Log => self.note_id,
            KeyUse::Witness => self.cosignature_id,
        }
    }

    /// Checks a signature line. `None`: it is not by this key.
    pub(crate) fn check(
        &self,
        name: &str,
        id: u32,
        signature: &[u8],
        text: &str,
    ) -> Option<Result<Signed, Error>> {
        if name != self.name {
            return None;
        }
        let wrong = || Error::StoredSignatureWrong {
            name: name.to_owned(),
        };
        let verified = if id == self.note_id && self.serves == KeyUse::Log {
            self.verify(text, signature).then_some(Signed::Note)
        } else if id == self.cosignature_id {
            signature
                .split_first_chunk::<8>()
                .and_then(|(time, signature)| {
                    let time = u64::from_be_bytes(*time);
                    self.verify(&cosigned(text, time), signature)
                        .then_some(Signed::At(time))
                })
        } else {
            return None;
        };
        Some(verified.ok_or_else(wrong))
    }

    fn verify(&self, text: &str, signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(text.as_bytes(), &signature).is_ok())
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let type_byte = match self.serves {
            KeyUse::Log => TYPE_ED25519,
            KeyUse::Witness => TYPE_COSIGNATURE,
        };
        let mut key = vec![type_byte];
        key.extend_from_slice(self.key.as_bytes());
        write!(
            f,
            "{}+{:08x}+{}",
            self.name,
            self.id(),
            STANDARD.encode(key)
        )
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Whether a key, and so a log, may have this name.
fn check_name(name: &str) -> Result<(), Error> {
    let flaw = if name.is_empty() {
        "name is empty"
    } else if name.len() > KEY_NAME_BYTES_MAX {
        "name is longer than 255 bytes"
    } else if name
        .chars()
        .any(|c| c.is_whitespace() || c.is_control() || c == '+')
    {
        "name contains a space, a plus or a control character"
    } else if name == COSIGNATURE_HEADER {
        "name is reserved"
    } else {
        return Ok(());
    };
    Err(Error::OperatorKeyMalformed { flaw })
}

fn key_id(name: &str, type_byte: u8, key: &[u8]) -> u32 {
    let hash = Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', type_byte])
        .chain_update(key)
        .finalize();
    let [a, b, c, d, ..]: [u8; 32] = hash.into();
    u32::from_be_bytes([a, b, c, d])
}

fn cosigned(text: &str, time_unix_s: u64) -> String {
    format!("{COSIGNATURE_HEADER}\ntime {time_unix_s}\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_the_key_of_the_specification() {
        let text = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
        assert_eq!(VerifierKey::parse(text).unwrap().to_string(), text);
    }

    #[test]
    fn refuses_keys_that_are_not_what_they_say() {
        for text in [
            "",
            "example.com/foo",
            "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/fop+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U0=",
            "example.com/foo+530d903a+",
        ] {
            assert!(VerifierKey::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn refuses_names_that_would_confuse_a_note() {
        for name in [
            "",
            "a b",
            "a+b",
            "a\nb",
            "cosignature/v1",
            "a\u{2003}b",
            &"n".repeat(256),
        ] {
            assert!(SigningKey::from_seed(name, &[7; 32]).is_err(), "{name:?}");
        }
    }

    #[test]
    fn debug_output_of_a_signing_key_shows_only_the_public_half() {
        let key = SigningKey::from_seed("sluice.example/log", &[7; 32]).unwrap();
        assert_eq!(
            format!("{key:?}"),
            format!("SigningKey({})", key.verifier())
        );
    }
}
