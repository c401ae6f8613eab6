//! The control plane's own evidence: who changed what is allowed.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use sluice_evidence::{
    Frontier, Item, Kind, RecordHead, RecordWriter, Revision, SignedCheckpoint, SigningKey,
    leaf_hash,
};

use crate::archive::{Archive, Batch};
use crate::clock::Clock;
use crate::error::Error;
use crate::limits::INDEX_LEAVES_PER_STEP;

/// How the archive calls this side.
pub const CONTROL_PLANE: &str = "control-plane";

/// Appends to the control plane's own log. A record is durable when [`ChangeLog::record`] returns.
#[derive(Debug)]
pub struct ChangeLog {
    archive: Archive,
    key: SigningKey,
    tree: Mutex<Frontier>,
    clock: Clock,
}

/// What happened, in the control plane's words.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub kind: Kind,
    /// Who did it.
    pub principal: &'a str,
    /// A stable word.
    pub code: &'a str,
    /// The same for people.
    pub text: &'a str,
    /// The policy's revision that this made, if any.
    pub revision: Revision,
    /// The topic that it is about, with the operation's name; empty if none.
    pub topic: &'a str,
    pub operation: &'a str,
}

impl ChangeLog {
    /// Takes up the log `<origin>/control-plane`, signed with the key in `key_path`, which is made if it is missing.
    pub fn open(
        archive: Archive,
        origin: &str,
        key_path: &Path,
        clock: Clock,
    ) -> Result<Self, Error> {
        let key = SigningKey::from_seed(&format!("{origin}/{CONTROL_PLANE}"), &seed(key_path)?)
            .map_err(|error| Error::OperatorConfig(format!("evidence origin: {error}")))?;
        let mut tree = Frontier::default();
        if let Some(held) = archive
            .logs()?
            .into_iter()
            .find(|held| held.log == key.origin())
        {
            while tree.size() < held.next_leaf {
                let leaves = archive.leaves(held.id, tree.size(), INDEX_LEAVES_PER_STEP)?;
                if leaves.is_empty() {
                    return Err(Error::BrokenInvariant(format!(
                        "the archive lacks leaf {} of {}",
                        tree.size(),
                        held.log
                    )));
                }
                for (_, leaf) in leaves {
                    tree.append(leaf_hash(&leaf), |_, _| {});
                }
            }
        }
        Ok(Self {
            archive,
            key,
            tree: Mutex::new(tree),
            clock,
        })
    }

    /// Writes one record.
    pub fn record(&self, change: &Change<'_>) -> Result<(), Error> {
        let mut leaf = Vec::new();
        let text = cut(change.text);
        let head = RecordHead {
            kind: change.kind,
            time_unix_ns: u64::try_from(self.clock.unix_ns()).unwrap_or(0),
            principal: change.principal,
            reason_code: change.code,
            reason: &text,
            revision: change.revision,
            ..RecordHead::default()
        };
        let invalid = |error: sluice_evidence::Error| {
            Error::BrokenInvariant(format!("own evidence: {error}"))
        };
        let mut writer = RecordWriter::begin(&mut leaf, &head).map_err(invalid)?;
        if !change.topic.is_empty() {
            let operation = sluice_policy::Operation::from_name(change.operation)
                .map_or(0, |known| known.code());
            writer
                .item(&Item {
                    operation,
                    resource_kind: 2,
                    resource: change.topic,
                    ..Item::default()
                })
                .map_err(invalid)?;
        }
        writer.finish();

        let mut tree = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        let mut grown = tree.clone();
        grown.append(leaf_hash(&leaf), |_, _| {});
        let now_unix_s = u64::try_from(self.clock.unix_s()).unwrap_or(0);
        let checkpoint = SignedCheckpoint::sign(&self.key, grown.size(), grown.root(), now_unix_s);
        let batch = Batch {
            gateway: CONTROL_PLANE.to_owned(),
            log: self.key.origin().to_owned(),
            first_leaf: tree.size(),
            leaves: vec![Bytes::from(leaf)],
            checkpoint: checkpoint.note.into(),
            verifier_key: self.key.verifier().to_string(),
        };
        self.archive.keep(&batch, self.clock.unix_ms())?;
        *tree = grown;
        Ok(())
    }
}

/// The log's 32 secret bytes, made once and readable by this process's user alone.
fn seed(path: &Path) -> Result<[u8; 32], Error> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    match std::fs::read(path) {
        Ok(bytes) => bytes.try_into().map_err(|_| {
            Error::OperatorConfig(format!("{} does not hold 32 bytes", path.display()))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let seed = crate::random::bytes::<32>()?;
            let mut file = std::fs::OpenOptions::new()
                .create_new(true)
                .write(true)
                .mode(0o600)
                .open(path)?;
            file.write_all(&seed)?;
            file.sync_all()?;
            Ok(seed)
        }
        Err(error) => Err(error.into()),
    }
}

/// Cuts visibly what is longer than a record's text may be.
fn cut(text: &str) -> std::borrow::Cow<'_, str> {
    const MARK: &str = " … (cut)";
    let bytes_max = sluice_evidence::limits::HEAD_TEXT_BYTES_MAX;
    if text.len() <= bytes_max {
        return text.into();
    }
    let mut end = bytes_max - MARK.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MARK}", &text[..end]).into()
}
