//! Checkpoints (C2SP tlog-checkpoint): origin, size and root of a tree, as the text of a signed note.

use crate::error::Error;
use crate::keys::{SigningKey, VerifierKey};
use crate::note::Note;
use crate::tree::Hash;

/// What a checkpoint says about a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// Leaves in its tree.
    pub size: u64,
    /// Root of that tree.
    pub root: Hash,
}

impl Checkpoint {
    /// Reads the text of a note.
    ///
    /// # Errors
    /// [`Error::StoredMalformed`]; extension lines are refused, since nobody could audit them.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut lines = text
            .strip_suffix('\n')
            .ok_or(malformed("does not end with a newline"))?
            .split('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(malformed("not three lines"));
        };
        if origin.is_empty() {
            return Err(malformed("no origin"));
        }
        let number: u64 = size
            .parse()
            .map_err(|_| malformed("size is not a number"))?;
        if number.to_string() != size {
            return Err(malformed("size is not in its shortest form"));
        }
        Ok(Self {
            origin: origin.to_owned(),
            size: number,
            root: Hash::parse(root)?,
        })
    }

    /// The text of its note.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root)
    }
}

/// A checkpoint whose log signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// When the log signed it, in seconds since 1970-01-01 UTC by the log's own clock: part of what is signed.
    pub time_unix_s: Option<u64>,
    /// Known witnesses that cosigned it, with their times.
    pub witnesses: Vec<(String, u64)>,
    /// The note, byte for byte.
    pub note: Vec<u8>,
}

impl SignedCheckpoint {
    /// Signs a checkpoint for the log that the key belongs to.
    #[must_use]
    pub fn sign(key: &SigningKey, size: u64, root: Hash, time_unix_s: u64) -> Self {
        let checkpoint = Checkpoint {
            origin: key.origin().to_owned(),
            size,
            root,
        };
        let text = checkpoint.to_text();
        let mut note = text.clone();
        note.push('\n');
        key.sign_lines(&text, time_unix_s, &mut note);
        Self {
            checkpoint,
            time_unix_s: Some(time_unix_s),
            witnesses: Vec::new(),
            note: note.into_bytes(),
        }
    }

    /// Reads and verifies a checkpoint. `keys` may hold keys of several logs and witnesses.
    ///
    /// # Errors
    /// [`Error::StoredMalformed`], [`Error::StoredSignatureWrong`], or [`Error::StoredSignatureMissing`] when no key with the
    /// name of the origin signed it: a witness alone does not make a log's checkpoint.
    pub fn open(note: &[u8], keys: &[VerifierKey]) -> Result<Self, Error> {
        let parsed = Note::parse(note)?;
        let signers = parsed.verify(keys)?;
        let checkpoint = Checkpoint::parse(parsed.text())?;
        if !signers
            .notes
            .iter()
            .any(|key| key.name() == checkpoint.origin)
        {
            return Err(Error::StoredSignatureMissing);
        }
        let (own, witnesses): (Vec<_>, Vec<_>) = signers
            .cosignatures
            .into_iter()
            .partition(|(key, _)| key.name() == checkpoint.origin);
        Ok(Self {
            time_unix_s: own.first().map(|(_, time)| *time),
            witnesses: witnesses
                .into_iter()
                .map(|(key, time)| (key.name().to_owned(), time))
                .collect(),
            checkpoint,
            note: note.to_vec(),
        })
    }
}

fn malformed(flaw: &'static str) -> Error {
    Error::StoredMalformed {
        what: "checkpoint",
        flaw,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed("sluice.example/gateway-1/shard-0", &[9; 32]).unwrap()
    }

    #[test]
    fn a_signed_checkpoint_opens_with_its_time() {
        let key = key();
        let signed = SignedCheckpoint::sign(&key, 70_000, Hash([3; 32]), 1_700_000_000);
        let opened =
            SignedCheckpoint::open(&signed.note, std::slice::from_ref(key.verifier())).unwrap();
        assert_eq!(opened, signed);
        assert_eq!(opened.time_unix_s, Some(1_700_000_000));
    }

    #[test]
    fn no_byte_of_a_signed_checkpoint_can_change_unnoticed() {
        let key = key();
        let keys = std::slice::from_ref(key.verifier());
        let signed = SignedCheckpoint::sign(&key, 7, Hash([3; 32]), 1_700_000_000);
        for at in 0..signed.note.len() {
            let mut damaged = signed.note.clone();
            damaged[at] ^= 1 << (at % 7);
            // A line whose key is not known any more is passed over: then the time is missing, or the log's signature.
            let intact = SignedCheckpoint::open(&damaged, keys)
                .is_ok_and(|opened| opened.time_unix_s.is_some());
            assert!(!intact, "flip at {at}");
        }
    }

    #[test]
    fn a_checkpoint_of_another_log_does_not_open_with_this_logs_key() {
        let other = SigningKey::from_seed("sluice.example/gateway-1/shard-1", &[9; 32]).unwrap();
        let signed = SignedCheckpoint::sign(&other, 7, Hash([3; 32]), 1);
        assert!(
            SignedCheckpoint::open(&signed.note, std::slice::from_ref(key().verifier())).is_err()
        );
    }

    #[test]
    fn refuses_text_that_is_nearly_a_checkpoint() {
        let root = Hash([0; 32]);
        for text in [
            String::new(),
            format!("o\n1\n{root}"),
            format!("\n1\n{root}\n"),
            format!("o\n01\n{root}\n"),
            format!("o\n+1\n{root}\n"),
            format!("o\n18446744073709551616\n{root}\n"),
            format!("o\n1\n{root}\nextension\n"),
            "o\n1\nAAAA\n".to_owned(),
        ] {
            assert!(Checkpoint::parse(&text).is_err(), "{text:?}");
        }
    }
}
