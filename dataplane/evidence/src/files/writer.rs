//! The one writer of a log: takes leaves, builds the tree, signs it; after a crash, takes up what was written.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::directory::LogDirectory;
use super::history::HistoryFile;
use super::pruning::Pruning;
use super::segment_file::SegmentFile;
use super::{Durability, failed, replace, sync_path};
use crate::checkpoint::SignedCheckpoint;
use crate::error::Error;
use crate::keys::SigningKey;
use crate::limits::SEGMENT_BYTES_DEFAULT;
use crate::log::LogBuilder;
use crate::segment::{SegmentEnd, frame_leaf, segment_leaves};
use crate::verify::{HistoryNote, LogSource as _};

/// Writes one log. Leaves come in one of two ways, never in both:
///
/// - a shard writes segments itself ([`SegmentFile`], or its own writes in the same format) and another thread hands the same
///   frames to [`Self::ingest_frames`];
/// - [`Self::append`] does both, for a log with little traffic.
///
/// Then [`Self::sign_checkpoint`], each second while there is traffic and as a heartbeat otherwise: the caller has the clock.
#[derive(Debug)]
pub struct LogWriter {
    dir: PathBuf,
    directory: LogDirectory,
    key: SigningKey,
    builder: LogBuilder,
    history: HistoryFile,
    /// Size of the newest checkpoint.
    signed: u64,
    segment: Option<SegmentFile>,
    segment_bytes: u64,
    /// The newest segment whose name survives power loss.
    named_segment: Option<u64>,
    frame: Vec<u8>,
    _lock: File,
}

/// What opening a log found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The newest checkpoint, if the log is not new.
    pub checkpoint: Option<SignedCheckpoint>,
    /// Leaves that were written but not signed, and are now in the tree: the next checkpoint signs them.
    pub replayed_count: u64,
    /// Segments that end in a write that was cut short.
    pub torn_segments: Vec<PathBuf>,
    /// Whether tiles had to be rebuilt from segments, as after power loss.
    pub tiles_rebuilt: bool,
}

impl LogWriter {
    /// Opens the log of this key in a directory, which is created if need be, and replays what the tree does not have yet.
    /// Existing segments are closed for good: the next one starts at [`Self::next_leaf`].
    ///
    /// # Errors
    /// [`Error::OperatorLogInUse`], [`Error::OperatorLogForeign`], [`Error::StoredEvidenceLost`] when leaves that were signed
    /// cannot be found again, [`Error::StoredRootMismatch`] when they are others, [`Error::StoredMalformed`] when tiles of them are
    /// damaged and cannot be rebuilt, [`Error::OperatorFile`].
    pub fn open(dir: &Path, key: SigningKey) -> Result<(Self, Recovery), Error> {
        let directory = LogDirectory::new(dir);
        directory.create()?;
        let lock = lock(&directory)?;
        let history = HistoryFile::open(&directory.history_path())?;
        let checkpoint = newest_checkpoint(&directory, &key)?;
        let signed = checkpoint
            .as_ref()
            .map_or(0, |signed| signed.checkpoint.size);
        let (builder, tiles_rebuilt) = resume(&directory, &key, checkpoint.as_ref())?;
        let mut writer = Self {
            dir: dir.to_owned(),
            directory,
            key,
            builder,
            history,
            signed,
            segment: None,
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            named_segment: None,
            frame: Vec::new(),
            _lock: lock,
        };
        let torn_segments = writer.replay(checkpoint.as_ref())?;
        let replayed_count = writer.next_leaf().saturating_sub(signed);
        if let Some(signed) = &checkpoint {
            // The history may be ahead of it by one note.
            replace(
                &writer.directory.checkpoint_path(),
                &signed.note,
                Durability::Synced,
            )?;
        }
        Ok((
            writer,
            Recovery {
                checkpoint,
                replayed_count,
                torn_segments,
                tiles_rebuilt,
            },
        ))
    }

    /// Sets how long the segments of [`Self::append`] are.
    #[must_use]
    pub fn with_segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Index of the next leaf, which is the number of leaves so far.
    #[must_use]
    pub fn next_leaf(&self) -> u64 {
        self.builder.size()
    }

    /// The log's key.
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Takes leaves that are in a segment already, as the frames that were written there. Returns the next leaf's index.
    ///
    /// # Errors
    /// [`Error::RecordFramesMalformed`], after the whole frames before the damage were taken. [`Error::OperatorFile`]: open the
    /// log again; the segment has the leaves.
    pub fn ingest_frames(&mut self, frames: &[u8]) -> Result<u64, Error> {
        let mut leaves = segment_leaves(frames);
        for leaf in leaves.by_ref() {
            self.builder.append(leaf, &mut self.directory)?;
        }
        if leaves.offset() < frames.len() {
            return Err(Error::RecordFramesMalformed {
                at: leaves.offset(),
            });
        }
        Ok(self.next_leaf())
    }

    /// As [`Self::ingest_frames`], for bare leaves.
    ///
    /// # Errors
    /// [`Error::RecordLeafLength`], [`Error::OperatorFile`].
    pub fn ingest<'l>(&mut self, leaves: impl IntoIterator<Item = &'l [u8]>) -> Result<u64, Error> {
        for leaf in leaves {
            self.builder.append(leaf, &mut self.directory)?;
        }
        Ok(self.next_leaf())
    }

    /// Writes a leaf to a segment of this writer's own and takes it. It survives the death of the process; power loss only
    /// after [`Self::sync`] or [`Self::sign_checkpoint`]. Returns the index of the leaf.
    ///
    /// # Errors
    /// [`Error::RecordLeafLength`], [`Error::OperatorFile`].
    pub fn append(&mut self, leaf: &[u8]) -> Result<u64, Error> {
        let index = self.next_leaf();
        self.frame.clear();
        frame_leaf(leaf, &mut self.frame)?;
        if self
            .segment
            .as_ref()
            .is_some_and(|segment| segment.bytes_left() < self.frame.len() as u64)
        {
            self.seal()?;
        }
        let mut segment = match self.segment.take() {
            Some(segment) => segment,
            None => SegmentFile::create(
                &self.dir,
                index,
                self.segment_bytes.max(self.frame.len() as u64),
            )?,
        };
        let written = segment.append(&self.frame);
        self.segment = Some(segment);
        written?;
        self.builder.append(leaf, &mut self.directory)?;
        Ok(index)
    }

    /// Makes what [`Self::append`] wrote survive power loss.
    ///
    /// # Errors
    /// [`Error::OperatorFile`].
    pub fn sync(&self) -> Result<(), Error> {
        self.segment.as_ref().map_or(Ok(()), SegmentFile::sync)
    }

    /// Closes this writer's own segment for good; [`Self::append`] starts the next one.
    ///
    /// # Errors
    /// [`Error::OperatorFile`].
    pub fn seal(&mut self) -> Result<(), Error> {
        self.segment.take().map_or(Ok(()), SegmentFile::seal)
    }

    /// Signs all leaves so far and publishes the checkpoint. Before that, the segments that hold them are synced: a checkpoint
    /// that outlives its leaves would be taken for tampering.
    ///
    /// # Errors
    /// [`Error::OperatorFile`].
    pub fn sign_checkpoint(&mut self, time_unix_s: u64) -> Result<SignedCheckpoint, Error> {
        self.sync_segments()?;
        self.builder.flush(&mut self.directory)?;
        let signed = self.builder.checkpoint(&self.key, time_unix_s);
        self.history.append(&signed.note)?;
        replace(
            &self.directory.checkpoint_path(),
            &signed.note,
            Durability::Synced,
        )?;
        self.signed = signed.checkpoint.size;
        Ok(signed)
    }

    /// Begins to remove the segments whose leaves are all in signed tiles; `None` if there are none. Meanwhile the log goes on.
    ///
    /// # Errors
    /// [`Error::OperatorFile`].
    pub fn prune_segments(&self) -> Result<Option<Pruning>, Error> {
        let firsts = self.directory.segments()?;
        // The last segment may still be written to.
        let segments: Vec<u64> = firsts
            .iter()
            .zip(firsts.iter().skip(1))
            .filter(|(_, next)| **next <= self.signed)
            .map(|(first, _)| *first)
            .collect();
        Ok((!segments.is_empty()).then(|| Pruning::new(&self.directory, segments, self.signed)))
    }

    fn sync_segments(&mut self) -> Result<(), Error> {
        if self.builder.size() == self.signed {
            return Ok(());
        }
        let firsts = self.directory.segments()?;
        let unsigned = firsts
            .partition_point(|first| *first <= self.signed)
            .saturating_sub(1);
        for first in firsts.iter().skip(unsigned) {
            let path = self.directory.segment_path(*first);
            let synced = File::open(&path).and_then(|file| file.sync_data());
            synced.map_err(|source| failed("sync", &path, source))?;
        }
        // A segment made ahead got its name from whoever started it, and that one waits for no disk.
        if firsts.last().copied() != self.named_segment {
            sync_path(&self.directory.segments_path())?;
            self.named_segment = firsts.last().copied();
        }
        Ok(())
    }

    /// Adds what segments hold beyond the tree, checks that everything signed is there again, and tidies segments away that
    /// hold no leaf.
    fn replay(&mut self, checkpoint: Option<&SignedCheckpoint>) -> Result<Vec<PathBuf>, Error> {
        let mut torn = Vec::new();
        for first in self.directory.segments()? {
            let path = self.directory.segment_path(first);
            let bytes = self.directory.segment(first)?;
            let mut leaves = segment_leaves(&bytes);
            let mut index = first;
            if index > self.next_leaf() {
                return Err(Error::StoredEvidenceLost {
                    signed: first,
                    found: self.next_leaf(),
                });
            }
            for leaf in leaves.by_ref() {
                if index == self.next_leaf() {
                    self.builder.append(leaf, &mut self.directory)?;
                    self.check_signed(checkpoint)?;
                }
                index = index.saturating_add(1);
            }
            close(
                &path,
                index == first,
                leaves.offset(),
                bytes.len(),
                leaves.end(),
            )?;
            if leaves.end() == Some(SegmentEnd::Torn) {
                torn.push(path);
            }
        }
        let signed = checkpoint.map_or(0, |signed| signed.checkpoint.size);
        if self.next_leaf() < signed {
            return Err(Error::StoredEvidenceLost {
                signed,
                found: self.next_leaf(),
            });
        }
        Ok(torn)
    }

    fn check_signed(&self, checkpoint: Option<&SignedCheckpoint>) -> Result<(), Error> {
        match checkpoint.map(|signed| &signed.checkpoint) {
            Some(signed)
                if signed.size == self.builder.size() && signed.root != self.builder.root() =>
            {
                Err(Error::StoredRootMismatch { size: signed.size })
            }
            _ => Ok(()),
        }
    }
}

fn lock(directory: &LogDirectory) -> Result<File, Error> {
    let path = directory.lock_path();
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let file = opened.map_err(|source| failed("open", &path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::OperatorLogInUse { path }),
        Err(TryLockError::Error(source)) => Err(failed("lock", &path, source)),
    }
}

/// The newest of the published checkpoint and the last in the history: both may have been seen.
fn newest_checkpoint(
    directory: &LogDirectory,
    key: &SigningKey,
) -> Result<Option<SignedCheckpoint>, Error> {
    let keys = std::slice::from_ref(key.verifier());
    let open = |note: &[u8]| match SignedCheckpoint::open(note, keys) {
        Err(Error::StoredSignatureMissing) => {
            let found = note.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let found = String::from_utf8_lossy(found).into_owned();
            Err(Error::OperatorLogForeign {
                found,
                expected: key.verifier().to_string(),
            })
        }
        opened => opened,
    };
    let published = directory
        .checkpoint()?
        .map(|note| open(&note))
        .transpose()?;
    let mut last = None;
    for note in directory.history()? {
        if let HistoryNote::Whole(note) = note? {
            last = Some(note);
        }
    }
    let recorded = last.map(|note| open(&note)).transpose()?;
    Ok(published
        .into_iter()
        .chain(recorded)
        .max_by_key(|signed| signed.checkpoint.size))
}

/// The tree at the newest checkpoint; or, if its tiles did not survive, at the oldest one from which segments lead on.
fn resume(
    directory: &LogDirectory,
    key: &SigningKey,
    checkpoint: Option<&SignedCheckpoint>,
) -> Result<(LogBuilder, bool), Error> {
    let Some(signed) = checkpoint.map(|signed| &signed.checkpoint) else {
        return Ok((LogBuilder::new(), false));
    };
    let segments = directory.segments()?;
    let first = segments.first().copied();
    // Without a segment there is nothing that tiles could be rebuilt from.
    let has_tiles = |size| first.map_or(Ok(true), |first| directory.has_tiles(first, size));
    let newest = match LogBuilder::resume(signed.size, &signed.root, directory) {
        Ok(builder) if has_tiles(signed.size)? => return Ok((builder, false)),
        Ok(_) => Error::StoredMalformed {
            what: "tile",
            flaw: "one that segments still have the leaves of is missing or cut",
        },
        Err(error @ Error::OperatorFile { .. }) => return Err(error),
        Err(error) => error,
    };
    let first = match first {
        Some(0) => return Ok((LogBuilder::new(), true)),
        Some(first) => first,
        None => return Err(newest),
    };
    let keys = std::slice::from_ref(key.verifier());
    for note in directory.history()? {
        let HistoryNote::Whole(note) = note? else {
            continue;
        };
        let Ok(older) = SignedCheckpoint::open(&note, keys) else {
            continue;
        };
        if older.checkpoint.size >= first
            && let Ok(builder) =
                LogBuilder::resume(older.checkpoint.size, &older.checkpoint.root, directory)
            && directory.has_tiles(first, older.checkpoint.size)?
        {
            return Ok((builder, true));
        }
    }
    Err(newest)
}

/// Closes a segment that an earlier writer left: cuts the zeros off, removes it when it never held anything, sets it aside
/// when all that it holds is half a write.
fn close(
    path: &Path,
    empty: bool,
    end: usize,
    bytes: usize,
    how: Option<SegmentEnd>,
) -> Result<(), Error> {
    match (how, empty) {
        (Some(SegmentEnd::Clean), true) => {
            fs::remove_file(path).map_err(|source| failed("remove", path, source))
        }
        (Some(SegmentEnd::Clean), false) if end < bytes => OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|file| file.set_len(end as u64).and_then(|()| file.sync_all()))
            .map_err(|source| failed("seal", path, source)),
        (Some(SegmentEnd::Torn), true) => fs::rename(path, path.with_extension("torn"))
            .map_err(|source| failed("set aside", path, source)),
        _ => Ok(()),
    }
}
