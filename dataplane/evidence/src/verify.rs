//! Checks a whole log offline: every leaf, every tile, every checkpoint, every segment that is still there.
//!
//! What cannot be found here: leaves after the newest checkpoint that were cut off together with their segment. That is at most
//! what was recorded since the last signature, and what was shipped elsewhere shows it: see [`Options::against`].

mod finding;
mod history;
mod intents;
mod segments;

use std::ops::Range;

pub use finding::{Fact, Finding, Report};

use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::codec::Record;
use crate::error::Error;
use crate::keys::VerifierKey;
use crate::limits::{HASH_BYTES, TILE_WIDTH};
use crate::log::LogBuilder;
use crate::tile::{TileId, TileKind, TileSink, TileSource, bundle_entries, tile_hashes};
use crate::tree::{Hash, leaf_hash};
use history::History;
use intents::Intents;
use segments::check_segments;

/// What a verification reads.
pub trait LogSource: TileSource {
    /// The newest signed checkpoint, if there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    fn checkpoint(&self) -> Result<Option<Vec<u8>>, Error>;

    /// Every checkpoint that was ever signed, oldest first; an unfinished last one comes as [`HistoryNote::Torn`].
    ///
    /// # Errors
    /// When it cannot be read.
    fn history(&self) -> Result<Box<dyn Iterator<Item = Result<HistoryNote, Error>> + '_>, Error>;

    /// Widths in which this tile is kept.
    ///
    /// # Errors
    /// When they cannot be listed.
    fn widths(&self, kind: TileKind, index: u64) -> Result<Vec<u16>, Error>;

    /// Replaces `into` by the bytes of exactly this tile.
    ///
    /// # Errors
    /// [`Error::StoredTileMissing`], or when it cannot be read.
    fn get_exact(&self, id: TileId, into: &mut Vec<u8>) -> Result<(), Error>;

    /// Index of the first leaf of every segment, in order.
    ///
    /// # Errors
    /// When they cannot be listed.
    fn segments(&self) -> Result<Vec<u64>, Error>;

    /// Bytes of one segment.
    ///
    /// # Errors
    /// When it cannot be read.
    fn segment(&self, first_leaf: u64) -> Result<Vec<u8>, Error>;

    /// How the segment is called in a report.
    fn segment_name(&self, first_leaf: u64) -> String;
}

/// One entry of the history of checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryNote {
    /// A whole note.
    Whole(Vec<u8>),
    /// The end of the history is no whole note.
    Torn,
}

/// What to check besides the log itself.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// A checkpoint of this log that was kept elsewhere: the log must still contain what it signed.
    pub against: Option<Vec<u8>>,
    /// Longest time between two checkpoints that needs no explanation.
    pub heartbeat_s_max: Option<u64>,
}

/// Verifies a log with the keys of it and of its witnesses.
///
/// # Errors
/// Only when the source cannot be read; what is wrong with the log is in the report.
pub fn verify(
    source: &impl LogSource,
    keys: &[VerifierKey],
    options: &Options,
) -> Result<Report, Error> {
    let mut report = Report::default();
    let Some(signed) = newest(source, keys, &mut report)? else {
        return Ok(report);
    };
    report.origin.clone_from(&signed.checkpoint.origin);
    report.size = signed.checkpoint.size;
    report.root = Some(signed.checkpoint.root);
    report.time_unix_s = signed.time_unix_s;
    let against = open_against(options, keys, &signed.checkpoint, &mut report);
    let mut walk = Walk {
        source,
        builder: LogBuilder::new(),
        history: History::new(source, keys, options, &signed)?,
        against,
        intents: Intents::default(),
        report,
    };
    walk.leaves(&signed.checkpoint)?;
    let mut report = walk.finish(&signed.checkpoint)?;
    check_segments(source, signed.checkpoint.size, &mut report)?;
    Ok(report)
}

/// The checkpoint to verify by: the published one, or the history's last if a crash came between the two.
fn newest(
    source: &impl LogSource,
    keys: &[VerifierKey],
    report: &mut Report,
) -> Result<Option<SignedCheckpoint>, Error> {
    let published = match source.checkpoint()? {
        Some(note) => match SignedCheckpoint::open(&note, keys) {
            Ok(signed) => {
                if signed.time_unix_s.is_none() {
                    report.problem("checkpoint", None, Fact::CheckpointTimeMissing);
                }
                Some(signed)
            }
            Err(error) => {
                report.problem(
                    "checkpoint",
                    None,
                    Fact::CheckpointUnreadable {
                        why: error.to_string(),
                    },
                );
                None
            }
        },
        None => None,
    };
    let mut last = None;
    for note in source.history()? {
        if let HistoryNote::Whole(note) = note? {
            last = Some(note);
        }
    }
    let recorded = match &published {
        // The usual case, and a signature takes longer than a comparison.
        Some(published) if last.as_ref() == Some(&published.note) => Some(published.clone()),
        _ => last.and_then(|note| SignedCheckpoint::open(&note, keys).ok()),
    };
    match (published, recorded) {
        (Some(published), Some(recorded))
            if recorded.checkpoint.size > published.checkpoint.size =>
        {
            let (size, recorded_size) = (published.checkpoint.size, recorded.checkpoint.size);
            report.notice(
                "checkpoint",
                None,
                Fact::HistoryAhead {
                    size,
                    recorded_size,
                },
            );
            Ok(Some(recorded))
        }
        (Some(published), recorded) => {
            if recorded.is_none_or(|recorded| recorded.checkpoint != published.checkpoint) {
                report.problem(
                    "checkpoints.log",
                    None,
                    Fact::HistoryEndsEarly {
                        size: published.checkpoint.size,
                    },
                );
            }
            Ok(Some(published))
        }
        (None, recorded) => {
            if report.problems.is_empty() {
                report.problem("checkpoint", None, Fact::CheckpointMissing);
            }
            Ok(recorded)
        }
    }
}

fn open_against(
    options: &Options,
    keys: &[VerifierKey],
    signed: &Checkpoint,
    report: &mut Report,
) -> Option<Checkpoint> {
    let note = options.against.as_deref()?;
    match SignedCheckpoint::open(note, keys) {
        Err(error) => {
            report.problem(
                "the other checkpoint",
                None,
                Fact::CheckpointUnreadable {
                    why: error.to_string(),
                },
            );
            None
        }
        Ok(other) if other.checkpoint.origin != signed.origin => {
            report.problem(
                "the other checkpoint",
                None,
                Fact::CheckpointForeign {
                    origin: other.checkpoint.origin,
                },
            );
            None
        }
        Ok(other) if other.checkpoint.size > signed.size => {
            let missing = signed.size..other.checkpoint.size;
            report.problem(
                "checkpoint",
                Some(signed.size),
                Fact::LogTruncated { missing },
            );
            None
        }
        Ok(other) => Some(other.checkpoint),
    }
}

/// One pass over all leaves, from the first to the last that is signed.
struct Walk<'s, S> {
    source: &'s S,
    builder: LogBuilder,
    history: History<'s>,
    against: Option<Checkpoint>,
    intents: Intents,
    report: Report,
}

impl<S: LogSource> Walk<'_, S> {
    fn leaves(&mut self, signed: &Checkpoint) -> Result<(), Error> {
        self.pass_size()?;
        let width_full = TILE_WIDTH as u64;
        for index in 0..signed.size.div_ceil(width_full) {
            let first = index.saturating_mul(width_full);
            let width = signed.size.saturating_sub(first).min(width_full) as u16;
            self.bundle(TileId::new(TileKind::Entries, index, width), first)?;
            if self.builder.size() != first.saturating_add(width.into()) {
                // Neither the entries nor their hashes are there: what follows has no place to stand on.
                break;
            }
        }
        let mut check = TileCheck {
            source: self.source,
            report: &mut self.report,
        };
        self.builder.flush(&mut check)
    }

    /// One bundle of entries, or their hashes where the bundle is of no use.
    fn bundle(&mut self, id: TileId, first: u64) -> Result<(), Error> {
        let mut bytes = Vec::new();
        let entries = match self.source.get(id, &mut bytes) {
            Ok(()) => whole_bundle(&bytes, id.width),
            Err(Error::StoredTileMissing { .. }) => Err(Fact::EntriesMissing),
            Err(error) => return Err(error),
        };
        let entries = match entries {
            Ok(entries) => entries,
            Err(fact) => {
                self.report.problem(&id.to_string(), Some(first), fact);
                return self.hashes_only(id);
            }
        };
        self.check_narrower(id, &bytes, &entries)?;
        for range in entries {
            let leaf = bytes.get(range).unwrap_or_default();
            let index = self.builder.size();
            match Record::decode(leaf) {
                Ok(record) => {
                    self.report.records_count = self.report.records_count.saturating_add(1);
                    self.intents.see(index, &record);
                }
                Err(error) => {
                    self.report.problem(
                        &id.to_string(),
                        Some(index),
                        Fact::RecordUnreadable {
                            why: error.to_string(),
                        },
                    );
                }
            }
            self.append(leaf_hash(leaf))?;
        }
        Ok(())
    }

    fn hashes_only(&mut self, id: TileId) -> Result<(), Error> {
        let mut bytes = Vec::new();
        let id = TileId {
            kind: TileKind::Hashes(0),
            ..id
        };
        match self.source.get(id, &mut bytes) {
            Ok(()) => {}
            Err(Error::StoredTileMissing { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        if let Ok(hashes) = tile_hashes(&bytes, id.width.into()) {
            for hash in hashes {
                self.append(hash)?;
            }
        }
        Ok(())
    }

    fn append(&mut self, hash: Hash) -> Result<(), Error> {
        let mut check = TileCheck {
            source: self.source,
            report: &mut self.report,
        };
        self.builder.append_hash(hash, &mut check)?;
        self.pass_size()
    }

    /// Compares the root so far with every checkpoint that signed this size.
    fn pass_size(&mut self) -> Result<(), Error> {
        let size = self.builder.size();
        self.history.pass(size, &self.builder, &mut self.report)?;
        if let Some(other) = self.against.take_if(|other| other.size == size)
            && other.root != self.builder.root()
        {
            self.report
                .problem("the other checkpoint", None, Fact::RootDiffers { size });
        }
        Ok(())
    }

    /// Earlier partial bundles must be the beginning of this one.
    fn check_narrower(
        &mut self,
        id: TileId,
        bytes: &[u8],
        entries: &[Range<usize>],
    ) -> Result<(), Error> {
        let mut other = Vec::new();
        for width in self.source.widths(id.kind, id.index)? {
            let narrower = TileId { width, ..id };
            let Some(last) = usize::from(width)
                .checked_sub(1)
                .and_then(|last| entries.get(last))
            else {
                continue;
            };
            self.source.get_exact(narrower, &mut other)?;
            let expected = bytes.get(..last.end).unwrap_or_default();
            if other != expected {
                let leaf = id.index.saturating_mul(TILE_WIDTH as u64);
                self.report
                    .problem(&narrower.to_string(), Some(leaf), Fact::EntriesDiffer);
            }
        }
        Ok(())
    }

    fn finish(mut self, signed: &Checkpoint) -> Result<Report, Error> {
        if self.builder.size() < signed.size {
            let missing = self.builder.size()..signed.size;
            self.report.problem(
                "checkpoint",
                Some(missing.start),
                Fact::LeavesMissing { missing },
            );
        } else if self.builder.root() != signed.root {
            self.report
                .problem("checkpoint", None, Fact::RootDiffers { size: signed.size });
        }
        self.history.finish(&mut self.report)?;
        self.intents.finish(&mut self.report);
        Ok(self.report)
    }
}

/// Where the entries of a bundle lie, if it has at least as many as its width and nothing else.
fn whole_bundle(bytes: &[u8], width: u16) -> Result<Vec<Range<usize>>, Fact> {
    let mut ranges = Vec::with_capacity(TILE_WIDTH);
    let mut at = 0_usize;
    for entry in bundle_entries(bytes) {
        let entry = entry.map_err(|_| Fact::EntriesMalformed)?;
        let start = at.saturating_add(2);
        at = start.saturating_add(entry.len());
        ranges.push(start..at);
        if ranges.len() > TILE_WIDTH {
            return Err(Fact::EntriesMalformed);
        }
    }
    if ranges.len() < usize::from(width) {
        return Err(Fact::EntriesTooFew {
            found: ranges.len(),
            expected: width,
        });
    }
    ranges.truncate(width.into());
    Ok(ranges)
}

/// Compares the hash tiles that the leaves give with those that are kept.
struct TileCheck<'w, S> {
    source: &'w S,
    report: &'w mut Report,
}

impl<S: LogSource> TileSink for TileCheck<'_, S> {
    fn put(&mut self, id: TileId, bytes: &[u8]) -> Result<(), Error> {
        let TileKind::Hashes(level) = id.kind else {
            return Ok(());
        };
        let leaves_per_hash = 1_u64.checked_shl(u32::from(level) * 8).unwrap_or(u64::MAX);
        let first = id.index.saturating_mul(TILE_WIDTH as u64);
        let mut kept = Vec::new();
        let mut enough = false;
        for width in self.source.widths(id.kind, id.index)? {
            let id = TileId { width, ..id };
            self.source.get_exact(id, &mut kept)?;
            let expected_bytes = usize::from(width).saturating_mul(HASH_BYTES);
            let shared = expected_bytes.min(bytes.len());
            if kept.len() != expected_bytes {
                self.report
                    .problem(&id.to_string(), None, Fact::TileMalformed);
            } else if let Some(place) = first_difference(&kept, bytes, shared) {
                let leaf = first
                    .saturating_add(place as u64)
                    .saturating_mul(leaves_per_hash);
                self.report
                    .problem(&id.to_string(), Some(leaf), Fact::TileDiffers);
            }
            enough |= expected_bytes >= bytes.len();
        }
        if !enough {
            let leaf = first.saturating_mul(leaves_per_hash);
            self.report
                .problem(&id.to_string(), Some(leaf), Fact::TileMissing);
        }
        Ok(())
    }
}

/// Place of the first hash that differs within the first `shared` bytes.
fn first_difference(a: &[u8], b: &[u8], shared: usize) -> Option<usize> {
    let (a, b) = (a.get(..shared)?, b.get(..shared)?);
    a.chunks(HASH_BYTES)
        .zip(b.chunks(HASH_BYTES))
        .position(|(a, b)| a != b)
}
