//! Every checkpoint that was ever signed must be one of the tree that is there now.

use super::finding::{Fact, Report};
use super::{HistoryNote, LogSource, Options};
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::error::Error;
use crate::keys::VerifierKey;
use crate::log::LogBuilder;
use crate::note::Note;

/// The history of checkpoints, consumed as the tree passes their sizes.
pub(super) struct History<'s> {
    notes: Box<dyn Iterator<Item = Result<HistoryNote, Error>> + 's>,
    keys: &'s [VerifierKey],
    heartbeat_s_max: Option<u64>,
    /// Verified before; it need not be again.
    newest: SignedCheckpoint,
    next: Option<SignedCheckpoint>,
    last_size: u64,
    last_time_unix_s: Option<u64>,
    place: u64,
}

impl<'s> History<'s> {
    pub(super) fn new(
        source: &'s impl LogSource,
        keys: &'s [VerifierKey],
        options: &Options,
        newest: &SignedCheckpoint,
    ) -> Result<Self, Error> {
        Ok(Self {
            notes: source.history()?,
            keys,
            heartbeat_s_max: options.heartbeat_s_max,
            newest: newest.clone(),
            next: None,
            last_size: 0,
            last_time_unix_s: None,
            place: 0,
        })
    }

    pub(super) fn pass(
        &mut self,
        size: u64,
        builder: &LogBuilder,
        report: &mut Report,
    ) -> Result<(), Error> {
        while let Some(signed) = self.peek(report)? {
            if signed.checkpoint.size > size {
                break;
            }
            if signed.checkpoint.size == size && signed.checkpoint.root != builder.root() {
                report.problem(&self.name(), None, Fact::RootDiffers { size });
            }
            self.next = None;
        }
        Ok(())
    }

    /// What is left signs more leaves than there are, or came while the log was being read.
    pub(super) fn finish(&mut self, report: &mut Report) -> Result<(), Error> {
        while let Some(signed) = self.peek(report)? {
            let missing = report.size..signed.checkpoint.size;
            if !missing.is_empty() {
                report.notice(
                    &self.name(),
                    None,
                    Fact::HistoryAhead {
                        size: missing.start,
                        recorded_size: missing.end,
                    },
                );
            }
            self.next = None;
        }
        Ok(())
    }

    fn peek(&mut self, report: &mut Report) -> Result<Option<SignedCheckpoint>, Error> {
        while self.next.is_none() {
            let Some(note) = self.notes.next() else {
                return Ok(None);
            };
            self.place = self.place.saturating_add(1);
            match note? {
                HistoryNote::Torn => report.notice(&self.name(), None, Fact::HistoryTorn),
                HistoryNote::Whole(note) if note == self.newest.note => {
                    self.next = self.in_order(self.newest.clone(), report);
                }
                HistoryNote::Whole(note) => match SignedCheckpoint::open(&note, self.keys) {
                    Ok(signed) => self.next = self.in_order(signed, report),
                    Err(error) => {
                        report.problem(
                            &self.name(),
                            None,
                            Fact::CheckpointUnreadable {
                                why: error.to_string(),
                            },
                        );
                        // So that one damaged note does not look like a log that went backwards as well.
                        if let Ok(text) = Note::parse(&note).map(|note| note.text().to_owned())
                            && let Ok(checkpoint) = Checkpoint::parse(&text)
                        {
                            self.last_size = self.last_size.max(checkpoint.size.min(report.size));
                        }
                    }
                },
            }
        }
        Ok(self.next.clone())
    }

    fn in_order(
        &mut self,
        signed: SignedCheckpoint,
        report: &mut Report,
    ) -> Option<SignedCheckpoint> {
        match (self.last_time_unix_s, signed.time_unix_s) {
            (_, None) => report.problem(&self.name(), None, Fact::CheckpointTimeMissing),
            (Some(before), Some(after)) if after < before => {
                report.notice(&self.name(), None, Fact::ClockWentBack { before, after });
            }
            (Some(before), Some(after))
                if self
                    .heartbeat_s_max
                    .is_some_and(|max| after.saturating_sub(before) > max) =>
            {
                report.notice(&self.name(), None, Fact::CheckpointGap { before, after });
            }
            _ => {}
        }
        self.last_time_unix_s = signed.time_unix_s.or(self.last_time_unix_s);
        if signed.checkpoint.origin != report.origin {
            report.problem(
                &self.name(),
                None,
                Fact::CheckpointForeign {
                    origin: signed.checkpoint.origin,
                },
            );
            return None;
        }
        if signed.checkpoint.size < self.last_size {
            let (before, after) = (self.last_size, signed.checkpoint.size);
            report.problem(&self.name(), None, Fact::HistoryShrinks { before, after });
            return None;
        }
        self.last_size = signed.checkpoint.size;
        Some(signed)
    }

    fn name(&self) -> String {
        format!("checkpoints.log, note {}", self.place)
    }
}
