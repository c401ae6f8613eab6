//! What a verification found, in words for an auditor.

use std::fmt;
use std::ops::Range;

use crate::limits::FINDINGS_COUNT_MAX;
use crate::tree::Hash;

/// The result of a verification. A log is intact when [`Self::problems_count`] is zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Which log; empty when no checkpoint could be read.
    pub origin: String,
    /// Leaves that the newest checkpoint signs.
    pub size: u64,
    /// The root that it signs.
    pub root: Option<Hash>,
    /// When the log signed it, in seconds since 1970-01-01 UTC.
    pub time_unix_s: Option<u64>,
    /// Leaves that are readable evidence records.
    pub records_count: u64,
    /// What contradicts a signature, or is missing: the first [`FINDINGS_COUNT_MAX`].
    pub problems: Vec<Finding>,
    /// All problems.
    pub problems_count: u64,
    /// What an auditor should know although nothing is wrong with the log: the first [`FINDINGS_COUNT_MAX`].
    pub notices: Vec<Finding>,
    /// All notices.
    pub notices_count: u64,
}

impl Report {
    /// Whether the log is what was signed.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.problems_count == 0
    }

    pub(crate) fn problem(&mut self, file: &str, leaf: Option<u64>, fact: Fact) {
        self.problems_count = self.problems_count.saturating_add(1);
        keep(&mut self.problems, file, leaf, fact);
    }

    pub(crate) fn notice(&mut self, file: &str, leaf: Option<u64>, fact: Fact) {
        self.notices_count = self.notices_count.saturating_add(1);
        keep(&mut self.notices, file, leaf, fact);
    }
}

fn keep(findings: &mut Vec<Finding>, file: &str, leaf: Option<u64>, fact: Fact) {
    if findings.len() < FINDINGS_COUNT_MAX {
        findings.push(Finding {
            file: file.to_owned(),
            leaf,
            fact,
        });
    }
}

/// One thing found, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// File in the log directory, tile path, or what else was read.
    pub file: String,
    /// Index of the leaf, or of the first of several.
    pub leaf: Option<u64>,
    /// What it means.
    pub fact: Fact,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(leaf) = self.leaf {
            write!(f, ", leaf {leaf}")?;
        }
        write!(f, ": {}", self.fact)
    }
}

/// What a finding means.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fact {
    /// There is none.
    #[error("there is no checkpoint: nothing here is signed")]
    CheckpointMissing,
    /// Malformed, or its signature is wrong.
    #[error("the checkpoint was changed or is not by this log: {why}")]
    CheckpointUnreadable {
        /// The error.
        why: String,
    },
    /// The signature with the time is not there.
    #[error("the signature that carries the time is missing or was changed")]
    CheckpointTimeMissing,
    /// It belongs to another log.
    #[error("the checkpoint belongs to another log, {origin}")]
    CheckpointForeign {
        /// Which one.
        origin: String,
    },
    /// Too long without one.
    #[error(
        "no checkpoint from {before} to {after} (seconds since 1970): the log was not running, or its heartbeats were removed"
    )]
    CheckpointGap {
        /// Time of the one before.
        before: u64,
        /// Time of the one after.
        after: u64,
    },
    /// Times do not rise.
    #[error("the clock went back from {before} to {after} (seconds since 1970)")]
    ClockWentBack {
        /// Time of the one before.
        before: u64,
        /// Time of the one after.
        after: u64,
    },
    /// A bundle is gone.
    #[error("the entries are missing: these records cannot be shown any more")]
    EntriesMissing,
    /// A bundle is not made of entries.
    #[error("the entries were changed: lengths do not add up")]
    EntriesMalformed,
    /// A bundle is short.
    #[error("{found} entries instead of {expected}: a record was removed, or the end was cut off")]
    EntriesTooFew {
        /// Entries there.
        found: usize,
        /// Entries signed.
        expected: u16,
    },
    /// A partial bundle says something else than the later one.
    #[error("an earlier partial bundle holds other records than the later one")]
    EntriesDiffer,
    /// A tile is gone.
    #[error("the tile is missing")]
    TileMissing,
    /// A tile is not made of as many hashes as its width.
    #[error("the tile does not have the length of its width")]
    TileMalformed,
    /// A tile says something else than the leaves.
    #[error(
        "the tile does not hold the hashes of the leaves: the record was changed if the root differs too, else the tile was"
    )]
    TileDiffers,
    /// The walk could not come to the end.
    #[error("leaves {} to {} are signed but not there", missing.start, missing.end.saturating_sub(1))]
    LeavesMissing {
        /// Which leaves.
        missing: Range<u64>,
    },
    /// The leaves are not what was signed.
    #[error(
        "the first {size} leaves do not hash to the root that was signed: a record was changed, added or removed"
    )]
    RootDiffers {
        /// Size of the tree that was signed.
        size: u64,
    },
    /// An outside checkpoint knows more.
    #[error("the log was cut off: leaves {} to {} were signed and are gone", missing.start, missing.end.saturating_sub(1))]
    LogTruncated {
        /// Which leaves.
        missing: Range<u64>,
    },
    /// The newest checkpoint is not the last of the history.
    #[error(
        "the history does not end with the checkpoint of size {size}: its end was cut off or changed"
    )]
    HistoryEndsEarly {
        /// Size of that checkpoint.
        size: u64,
    },
    /// The history knows a newer one.
    #[error(
        "the checkpoint signs {size} leaves, the history {recorded_size}: a crash came between, or an old checkpoint was put back"
    )]
    HistoryAhead {
        /// Size of the checkpoint.
        size: u64,
        /// Size in the history.
        recorded_size: u64,
    },
    /// Sizes go back.
    #[error("the log signed {before} leaves and later {after}: it was cut off in between")]
    HistoryShrinks {
        /// Size before.
        before: u64,
        /// Size after.
        after: u64,
    },
    /// The last note is not whole.
    #[error("the last note is not whole: a crash, or a cut")]
    HistoryTorn,
    /// Not an evidence record.
    #[error("the leaf is not an evidence record: {why}")]
    RecordUnreadable {
        /// The error.
        why: String,
    },
    /// Leaves are missing in the write-ahead.
    #[error("the segment lacks leaves {} to {}: it was cut off or changed", missing.start, missing.end.saturating_sub(1))]
    SegmentCut {
        /// Which leaves.
        missing: Range<u64>,
    },
    /// A leaf of the write-ahead is another one.
    #[error("the segment holds another record than the tree")]
    SegmentDiffers,
    /// Leaves are there twice.
    #[error("the segment reaches into the next one")]
    SegmentsOverlap,
    /// Bytes after the last whole leaf.
    #[error(
        "bytes follow the last whole leaf: a write that a crash cut short, or damage; no signed leaf is affected"
    )]
    SegmentTorn,
    /// Written and not yet signed.
    #[error("{count} leaves are written and not signed yet")]
    LeavesUnsigned {
        /// How many.
        count: u64,
    },
    /// The outcome is not known.
    #[error("session {session}, request {sequence}: an intent has no outcome{what}")]
    IntentWithoutOutcome {
        /// Session of the intent.
        session: crate::record::SessionId,
        /// Its request in the session.
        sequence: u64,
        /// What may have happened, starting with a colon; or nothing.
        what: String,
    },
    /// More open intents than are remembered.
    #[error("{count} intents more were not followed up: too many were open at once")]
    IntentsForgotten {
        /// How many.
        count: u64,
    },
}
