//! What one step of a session wants from the shell: evidence first, then the bytes that the evidence speaks of.
//!
//! The order of use, for one read of one side:
//!
//! 1. [`crate::Session::client_frame`] or [`crate::Session::broker_frame`] for each complete frame, with one outbox;
//! 2. the shell makes [`Outbox::evidence`] as durable as [`Outbox::durability`] says;
//! 3. [`crate::Session::release`] with what was reached, which mints the receipts and gives the pieces to send.
//!
//! Nothing can be sent before step 3: the pieces are private until then.

use sluice_policy::Durability;

use crate::forward::Unreceipted;
use crate::limits::EVIDENCE_BYTES_KEPT;

/// A run of bytes to send, in order.
#[derive(Debug)]
pub enum Piece {
    /// A range of the buffer that the shell read into: sent from where it lies.
    Read {
        /// First byte.
        start: usize,
        /// One past the last byte.
        end: usize,
    },
    /// Bytes that the session wrote.
    Owned(Vec<u8>),
}

/// What a step wants; reused from step to step.
#[derive(Debug)]
pub struct Outbox {
    /// Framed evidence records, ready for the journal.
    pub(crate) evidence: Vec<u8>,
    pub(crate) durability: Durability,
    pub(crate) unreceipted: Vec<Unreceipted>,
    /// In-flight entries that were answered here; they may leave once their evidence is written.
    pub(crate) answered: Vec<u64>,
    pub(crate) released: Vec<Piece>,
    /// Of all pieces that the session wrote.
    owned_bytes: usize,
    pub(crate) counts: Counts,
    /// Something could not be recorded: nothing of this step may go on.
    pub(crate) unrecorded: bool,
    gives_way: bool,
}

/// What a step did, for the metrics.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Evidence records.
    pub records: u64,
    /// Requests that were malformed and answered so, without an end of the session.
    pub rejected: u64,
    /// Resources denied.
    pub denied: u64,
    /// Fields replaced by tokens.
    pub masked_fields: u64,
    /// Values replaced whole.
    pub unmaskable_values: u64,
    /// Masked values that a second parser checked.
    pub self_checks: u64,
    /// Patterns of subscriptions that were compiled, or tried.
    pub compiled_patterns: u64,
    /// Answers whose first part went on before the last had arrived.
    pub relayed_answers: u64,
}

/// What one frame took beside its own length.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Work {
    pub(crate) compiled_patterns: u64,
    pub(crate) gives_way: bool,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            evidence: Vec::new(),
            durability: Durability::Queued,
            unreceipted: Vec::new(),
            answered: Vec::new(),
            released: Vec::new(),
            owned_bytes: 0,
            counts: Counts::default(),
            unrecorded: false,
            gives_way: false,
        }
    }
}

impl Outbox {
    /// Framed evidence records that must be taken by the journal before anything else happens.
    #[must_use]
    pub fn evidence(&self) -> &[u8] {
        &self.evidence
    }

    /// How durable the evidence must be before its effect.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// Whether this step has something for the other side once released.
    #[must_use]
    pub fn forwards(&self) -> bool {
        !self.unreceipted.is_empty()
    }

    /// Whether the step wants nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.evidence.is_empty() && self.unreceipted.is_empty() && self.released.is_empty()
    }

    /// Whether a frame of this step took so long that others shall have their turn before the next one.
    #[must_use]
    pub fn gives_way(&self) -> bool {
        self.gives_way
    }

    /// Memory of the bytes that the session wrote.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.owned_bytes.saturating_add(self.evidence.capacity())
    }

    pub(crate) fn worked(&mut self, work: Work) {
        let compiled = self.counts.compiled_patterns;
        self.counts.compiled_patterns = compiled.saturating_add(work.compiled_patterns);
        self.gives_way |= work.gives_way;
    }

    pub(crate) fn push(&mut self, unreceipted: Unreceipted) {
        if let Piece::Owned(bytes) = &unreceipted.piece {
            self.owned_bytes = self.owned_bytes.saturating_add(bytes.capacity());
        }
        self.unreceipted.push(unreceipted);
    }

    /// The bytes to send, in order; empty until they are released.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.released
    }

    /// What the step did.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(crate) fn require(&mut self, durability: Durability) {
        self.durability = self.durability.max(durability);
    }

    /// Forgets the step before this one and keeps the allocations.
    pub fn clear(&mut self) {
        self.evidence.clear();
        self.evidence.shrink_to(EVIDENCE_BYTES_KEPT);
        self.durability = Durability::Queued;
        self.unreceipted.clear();
        self.answered.clear();
        self.released.clear();
        self.owned_bytes = 0;
        self.counts = Counts::default();
        self.unrecorded = false;
        self.gives_way = false;
    }
}
