//! Counters and times for operators. None of them is evidence.
//!
//! Shards write with relaxed atomics; the control thread reads them when it is asked.
//! Invariant: active sessions = opened - closed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use hdrhistogram::Histogram;
use sluice_session::Close;

/// Longest request time kept apart; longer ones count as this.
const REQUEST_US_MAX: u64 = 60_000_000;

/// The metrics of one process.
#[derive(Debug)]
pub struct Metrics {
    sessions_opened: AtomicU64,
    closed_by_reason: Mutex<BTreeMap<&'static str, u64>>,
    denied: AtomicU64,
    rejected: AtomicU64,
    refused: AtomicU64,
    evidence_records: AtomicU64,
    evidence_refused: AtomicU64,
    masked_fields: AtomicU64,
    unmaskable_values: AtomicU64,
    self_checks: AtomicU64,
    compiled_patterns: AtomicU64,
    relayed_answers: AtomicU64,
    link_up: AtomicBool,
    revision: AtomicU64,
    immutable_violations: AtomicU64,
    journal_us: Mutex<Histogram<u64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut histogram = Histogram::new_with_bounds(1, REQUEST_US_MAX, 3).unwrap_or_else(|_| {
            // The bounds above are valid for the crate; an empty auto-resizing histogram is its documented default.
            Histogram::new(3).unwrap_or_else(|_| std::process::abort())
        });
        histogram.auto(true);
        Self {
            sessions_opened: AtomicU64::new(0),
            closed_by_reason: Mutex::new(BTreeMap::new()),
            denied: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            evidence_records: AtomicU64::new(0),
            evidence_refused: AtomicU64::new(0),
            masked_fields: AtomicU64::new(0),
            unmaskable_values: AtomicU64::new(0),
            self_checks: AtomicU64::new(0),
            compiled_patterns: AtomicU64::new(0),
            relayed_answers: AtomicU64::new(0),
            link_up: AtomicBool::new(false),
            revision: AtomicU64::new(0),
            immutable_violations: AtomicU64::new(0),
            journal_us: Mutex::new(histogram),
        }
    }
}

impl Metrics {
    pub(crate) fn opened(&self) {
        self.sessions_opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self, close: &Close) {
        if close.is_rejection() {
            self.rejected.fetch_add(1, Ordering::Relaxed);
        }
        if close.is_refusal() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        *lock(&self.closed_by_reason)
            .entry(close.code())
            .or_default() += 1;
    }

    pub(crate) fn add(&self, counts: &sluice_session::Counts) {
        self.denied.fetch_add(counts.denied, Ordering::Relaxed);
        self.rejected.fetch_add(counts.rejected, Ordering::Relaxed);
        self.evidence_records
            .fetch_add(counts.records, Ordering::Relaxed);
        self.masked_fields
            .fetch_add(counts.masked_fields, Ordering::Relaxed);
        self.unmaskable_values
            .fetch_add(counts.unmaskable_values, Ordering::Relaxed);
        self.self_checks
            .fetch_add(counts.self_checks, Ordering::Relaxed);
        self.compiled_patterns
            .fetch_add(counts.compiled_patterns, Ordering::Relaxed);
        self.relayed_answers
            .fetch_add(counts.relayed_answers, Ordering::Relaxed);
    }

    pub(crate) fn evidence_refused(&self) {
        self.evidence_refused.fetch_add(1, Ordering::Relaxed);
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn link_up(&self, up: bool) {
        self.link_up.store(up, Ordering::Relaxed);
    }

    pub(crate) fn revision(&self, number: u64) {
        self.revision.store(number, Ordering::Relaxed);
    }

    /// Settings in force that let the history of immutable topics change.
    pub(crate) fn immutable_violations(&self, count: usize) {
        self.immutable_violations
            .store(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn journal_signed(&self, us: u64) {
        // Out of range is impossible: the histogram resizes itself.
        let _ = lock(&self.journal_us).record(us.max(1));
    }

    /// The OpenMetrics text.
    #[must_use]
    pub fn render(&self) -> String {
        let closed = lock(&self.closed_by_reason).clone();
        let opened = self.sessions_opened.load(Ordering::Relaxed);
        let mut text = String::new();
        let mut counter = |name: &str, help: &str, value: u64| {
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "# TYPE sluice_{name} counter\n# HELP sluice_{name} {help}\nsluice_{name}_total {value}\n"
            );
        };
        counter("sessions_opened", "Client connections accepted.", opened);
        counter(
            "denied",
            "Accesses that policy denied.",
            self.denied.load(Ordering::Relaxed),
        );
        counter(
            "rejected",
            "Sessions ended by malformed or unsupported bytes.",
            self.rejected.load(Ordering::Relaxed),
        );
        counter(
            "refused",
            "Work refused for want of room.",
            self.refused.load(Ordering::Relaxed),
        );
        counter(
            "evidence_records",
            "Evidence records written.",
            self.evidence_records.load(Ordering::Relaxed),
        );
        counter(
            "evidence_refused",
            "Evidence that the journal had no room for.",
            self.evidence_refused.load(Ordering::Relaxed),
        );
        counter(
            "masked_fields",
            "Fields replaced by tokens.",
            self.masked_fields.load(Ordering::Relaxed),
        );
        counter(
            "unmaskable_values",
            "Values replaced whole, for they could not be parsed.",
            self.unmaskable_values.load(Ordering::Relaxed),
        );
        counter(
            "mask_self_checks",
            "Masked values parsed again by a second parser.",
            self.self_checks.load(Ordering::Relaxed),
        );
        counter(
            "compiled_patterns",
            "Patterns of subscriptions that were compiled, or tried.",
            self.compiled_patterns.load(Ordering::Relaxed),
        );
        counter(
            "relayed_answers",
            "Long answers that went on as they arrived.",
            self.relayed_answers.load(Ordering::Relaxed),
        );
        let active = opened - closed.values().sum::<u64>().min(opened);
        let link = u8::from(self.link_up.load(Ordering::Relaxed));
        let revision = self.revision.load(Ordering::Relaxed);
        let violations = self.immutable_violations.load(Ordering::Relaxed);
        let journal = lock(&self.journal_us);
        let _ = write!(
            text,
            "# TYPE sluice_sessions_closed counter\n# HELP sluice_sessions_closed Sessions ended, by reason.\n"
        );
        for (reason, count) in closed {
            let _ = writeln!(
                text,
                "sluice_sessions_closed_total{{reason=\"{reason}\"}} {count}"
            );
        }
        let _ = write!(
            text,
            "# TYPE sluice_sessions_active gauge\nsluice_sessions_active {active}\n\
             # TYPE sluice_control_link_up gauge\nsluice_control_link_up {link}\n\
             # TYPE sluice_policy_revision gauge\nsluice_policy_revision {revision}\n\
             # TYPE sluice_immutable_violations gauge\n\
             # HELP sluice_immutable_violations Settings in force that let the history of immutable topics change.\n\
             sluice_immutable_violations {violations}\n\
             # TYPE sluice_journal_sign_us summary\n"
        );
        for quantile in [0.5, 0.99, 0.999] {
            let _ = writeln!(
                text,
                "sluice_journal_sign_us{{quantile=\"{quantile}\"}} {}",
                journal.value_at_quantile(quantile)
            );
        }
        let _ = writeln!(
            text,
            "sluice_journal_sign_us_count {}\n# EOF",
            journal.len()
        );
        text
    }
}

/// Nothing in a critical section can panic half-way through a change.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
