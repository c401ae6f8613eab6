//! Signed notes (C2SP signed-note): text, a blank line, signature lines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::Error;
use crate::keys::{Signed, VerifierKey};
use crate::limits::{NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX};

/// A note that was parsed, not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note<'a> {
    text: &'a str,
    signatures: Vec<Line<'a>>,
}

/// Who signed a note.
#[derive(Debug, Default)]
pub(crate) struct Signers<'k> {
    /// Known keys with a valid plain signature.
    pub(crate) notes: Vec<&'k VerifierKey>,
    /// Known keys with a valid time-stamped one, and the time in seconds since 1970.
    pub(crate) cosignatures: Vec<(&'k VerifierKey, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line<'a> {
    name: &'a str,
    id: u32,
    signature: Vec<u8>,
}

impl<'a> Note<'a> {
    /// Reads a note to its last byte.
    ///
    /// # Errors
    /// [`Error::StoredMalformed`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(malformed("longer than the limit"));
        }
        let note = std::str::from_utf8(bytes).map_err(|_| malformed("not UTF-8"))?;
        if note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(malformed("contains a control character"));
        }
        let at = note
            .rfind("\n\n")
            .ok_or(malformed("no blank line before the signatures"))?;
        let (Some(text), Some(lines)) = (note.get(..=at), note.get(at.saturating_add(2)..)) else {
            return Err(malformed("no text"));
        };
        let lines = lines
            .strip_suffix('\n')
            .ok_or(malformed("signatures do not end with a newline"))?;
        let signatures = lines
            .split('\n')
            .take(NOTE_SIGNATURES_MAX.saturating_add(1))
            .map(parse_line);
        let signatures = signatures.collect::<Result<Vec<_>, _>>()?;
        if signatures.len() > NOTE_SIGNATURES_MAX {
            return Err(malformed("more signatures than the limit"));
        }
        Ok(Self { text, signatures })
    }

    /// The signed text, with its last newline.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Checks the signatures of known keys and passes over those of unknown ones.
    ///
    /// # Errors
    /// [`Error::StoredSignatureWrong`] if one of a known key is wrong, [`Error::StoredSignatureMissing`] if there is none,
    /// [`Error::StoredMalformed`] if a known key signed twice.
    pub(crate) fn verify<'k>(&self, keys: &'k [VerifierKey]) -> Result<Signers<'k>, Error> {
        let mut signers = Signers::default();
        for line in &self.signatures {
            let checked = keys.iter().find_map(|key| {
                Some((
                    key,
                    key.check(line.name, line.id, &line.signature, self.text)?,
                ))
            });
            match checked {
                Some((key, signed)) => match signed? {
                    Signed::Note if signers.notes.contains(&key) => {
                        return Err(malformed("signed twice by one key"));
                    }
                    Signed::Note => signers.notes.push(key),
                    Signed::At(_)
                        if signers.cosignatures.iter().any(|(known, _)| *known == key) =>
                    {
                        return Err(malformed("signed twice by one key"));
                    }
                    Signed::At(time) => signers.cosignatures.push((key, time)),
                },
                None => continue,
            }
        }
        if signers.notes.is_empty() && signers.cosignatures.is_empty() {
            return Err(Error::StoredSignatureMissing);
        }
        Ok(signers)
    }
}

fn parse_line(line: &str) -> Result<Line<'_>, Error> {
    let rest = line
        .strip_prefix("— ")
        .ok_or(malformed("signature line does not start with a dash"))?;
    let (name, signature) = rest
        .split_once(' ')
        .ok_or(malformed("signature line has no signature"))?;
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '+') {
        return Err(malformed("key name is not allowed"));
    }
    let bytes = STANDARD
        .decode(signature)
        .map_err(|_| malformed("signature is not base64"))?;
    match bytes.split_first_chunk::<4>() {
        Some((id, signature)) if !signature.is_empty() => Ok(Line {
            name,
            id: u32::from_be_bytes(*id),
            signature: signature.to_vec(),
        }),
        _ => Err(malformed("signature is too short")),
    }
}

fn malformed(flaw: &'static str) -> Error {
    Error::StoredMalformed {
        what: "signed note",
        flaw,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    #[test]
    fn verifies_the_note_of_the_specification_and_no_other_byte_of_it() {
        let keys = [VerifierKey::parse(KEY).unwrap()];
        let check =
            |bytes: &[u8]| Note::parse(bytes).and_then(|note| note.verify(&keys).map(|_| ()));
        check(NOTE.as_bytes()).unwrap();
        for at in 0..NOTE.len() {
            let mut damaged = NOTE.as_bytes().to_vec();
            damaged[at] ^= 0x01;
            assert!(check(&damaged).is_err(), "flip at {at}");
        }
        for cut in 0..NOTE.len() {
            assert!(check(&NOTE.as_bytes()[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn passes_over_unknown_keys_but_not_over_a_known_one_that_is_wrong() {
        let keys = [VerifierKey::parse(KEY).unwrap()];
        let unknown = format!("{NOTE}— witness.example AAAAAAAA\n");
        assert_eq!(
            Note::parse(unknown.as_bytes())
                .unwrap()
                .verify(&keys)
                .unwrap()
                .notes
                .len(),
            1
        );
        let wrong = format!("{NOTE}— example.com/foo Uw2QOkn8\n");
        assert!(matches!(
            Note::parse(wrong.as_bytes()).unwrap().verify(&keys),
            Err(Error::StoredSignatureWrong { .. })
        ));
        assert!(matches!(
            Note::parse(NOTE.as_bytes()).unwrap().verify(&[]),
            Err(Error::StoredSignatureMissing)
        ));
    }
}
