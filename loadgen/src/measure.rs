//! What a run counted. Every request that was intended ends in exactly one of answered, failed and unanswered, and in the
//! latency histogram.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use sluice_kafka::ErrorCode;

use crate::Error;
use crate::churn::{Churned, Pauses};
use crate::end_to_end::EndToEnd;
use crate::error::{code_text, kind, printable};
use crate::limits::{ERROR_TEXTS_MAX, LATENCY_NS_MAX};
use crate::series::{Counts, Series};
use crate::workload::Answer;

/// The result of a run, or of one thread of it.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Answered without error.
    pub answered_count: u64,
    /// Answered with an error.
    pub failed_count: u64,
    /// Due, and not answered (or not even sent) when the run was given up.
    pub unanswered_count: u64,
    /// Connections whose writes want no answer (acks 0), and that did not answer the question behind the last of them.
    pub unconfirmed_count: u64,
    pub records_count: u64,
    /// Bytes of record batches acknowledged or delivered.
    pub record_bytes: u64,
    /// Bytes of all frames in both directions.
    pub wire_bytes: u64,
    /// Bytes that slow consumers read, also of answers that they have no end of.
    pub slowly_read_bytes: u64,
    /// From the first intended time to the last answer.
    pub elapsed: Duration,
    /// Nanoseconds from the intended time to the answer; for the unanswered to the moment of giving up.
    pub latency_ns: Histogram<u64>,
    /// Nanoseconds from the intended time until the request was handed to the socket.
    pub send_delay_ns: Histogram<u64>,
    /// How often each error came, with the first words that came with it.
    pub errors: BTreeMap<i16, (u64, String)>,
    /// The same second by second.
    pub series: Series,
    /// How often each kind of failure came that is no error of Kafka's, with the first words that came with it.
    pub faults: BTreeMap<String, (u64, String)>,
    /// Readers that follow what the same run writes: how late batches reached them.
    pub end_to_end: Option<Box<EndToEnd>>,
    /// Inside and outside the windows of a command that ran beside.
    pub pauses: Option<Box<Pauses>>,
    pub churned: Option<Churned>,
    /// What connections of other kinds did in the same run. These are in no figure above.
    pub beside: Vec<Part>,
}

/// The result of connections of one kind.
#[derive(Debug, Clone)]
pub struct Part {
    pub name: &'static str,
    pub measured: Measured,
}

/// What progress lines show; written by the threads of a run.
#[derive(Debug, Default)]
pub(crate) struct Progressed {
    pub(crate) answered: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) record_bytes: AtomicU64,
    pub(crate) sent: AtomicU64,
}

impl Measured {
    pub(crate) fn new() -> Self {
        Self {
            answered_count: 0,
            failed_count: 0,
            unanswered_count: 0,
            unconfirmed_count: 0,
            records_count: 0,
            record_bytes: 0,
            wire_bytes: 0,
            slowly_read_bytes: 0,
            elapsed: Duration::ZERO,
            latency_ns: histogram(),
            send_delay_ns: histogram(),
            errors: BTreeMap::new(),
            series: Series::new(),
            faults: BTreeMap::new(),
            end_to_end: None,
            pauses: None,
            churned: None,
            beside: Vec::new(),
        }
    }

    pub(crate) fn answer(
        &mut self,
        answer: Answer,
        now_ns: u64,
        latency_ns: u64,
        progressed: &Progressed,
    ) {
        self.latency_ns.saturating_record(latency_ns);
        let counts = Counts {
            answered: answer.outcome.is_ok().into(),
            failed: answer.outcome.is_err().into(),
            unanswered: 0,
            record_bytes: answer.record_bytes,
        };
        self.series.note(now_ns, latency_ns, counts);
        self.records_count += answer.records;
        self.record_bytes += answer.record_bytes;
        progressed
            .record_bytes
            .fetch_add(answer.record_bytes, Ordering::Relaxed);
        match answer.outcome {
            Ok(()) => {
                self.answered_count += 1;
                progressed.answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                self.failed_count += 1;
                progressed.failed.fetch_add(1, Ordering::Relaxed);
                self.count_error(error.0, 1, answer.error_message.unwrap_or_default());
            }
        }
    }

    pub(crate) fn pauses_mut(&mut self) -> &mut Pauses {
        self.pauses.get_or_insert_with(|| Box::new(Pauses::new()))
    }

    pub(crate) fn give_up(&mut self, now_ns: u64, age_ns: u64) {
        self.unanswered_count += 1;
        self.latency_ns.saturating_record(age_ns);
        let counts = Counts {
            unanswered: 1,
            ..Counts::default()
        };
        self.series.note(now_ns, age_ns, counts);
    }

    /// A failure of the connection itself.
    pub(crate) fn fault(
        &mut self,
        error: &Error,
        now_ns: u64,
        latency_ns: u64,
        progressed: &Progressed,
    ) {
        self.latency_ns.saturating_record(latency_ns);
        let counts = Counts {
            failed: 1,
            ..Counts::default()
        };
        self.series.note(now_ns, latency_ns, counts);
        self.failed_count += 1;
        progressed.failed.fetch_add(1, Ordering::Relaxed);
        self.count_fault(&kind(error), 1, || error.to_string());
    }

    /// The end of a connection that the target need not bear: no failure.
    pub(crate) fn broken(&mut self, error: &Error) {
        self.count_fault(&kind(error), 1, || error.to_string());
    }

    /// Adds what another thread counted in the same time.
    pub(crate) fn add(&mut self, other: Self) {
        self.answered_count += other.answered_count;
        self.failed_count += other.failed_count;
        self.unanswered_count += other.unanswered_count;
        self.unconfirmed_count += other.unconfirmed_count;
        self.records_count += other.records_count;
        self.record_bytes += other.record_bytes;
        self.wire_bytes += other.wire_bytes;
        self.slowly_read_bytes += other.slowly_read_bytes;
        self.elapsed = self.elapsed.max(other.elapsed);
        // Same bounds on both sides, so neither can fail.
        let _ = self.latency_ns.add(&other.latency_ns);
        let _ = self.send_delay_ns.add(&other.send_delay_ns);
        self.series.add(other.series);
        for (kind, (count, text)) in other.faults {
            self.count_fault(&kind, count, || text);
        }
        if let Some(found) = other.end_to_end {
            let all = self
                .end_to_end
                .get_or_insert_with(|| Box::new(EndToEnd::new()));
            let _ = all.latency_ns.add(&found.latency_ns);
            all.unseen_count += found.unseen_count;
        }
        if let Some(pauses) = other.pauses {
            self.pauses_mut().add(&pauses);
        }
        for part in other.beside {
            match self.beside.iter_mut().find(|own| own.name == part.name) {
                Some(own) => own.measured.add(part.measured),
                None => self.beside.push(part),
            }
        }
        for (code, (count, text)) in other.errors {
            self.count_error(code, count, text);
        }
    }

    /// Whether every request of every kind came to a good end.
    pub fn is_sound(&self) -> bool {
        let churn_failed_count = self
            .churned
            .as_ref()
            .map_or(0, |churned| churned.failed_count);
        let unseen_count = self
            .end_to_end
            .as_ref()
            .map_or(0, |found| found.unseen_count);
        self.failed_count
            + self.unanswered_count
            + self.unconfirmed_count
            + unseen_count
            + churn_failed_count
            == 0
            && self.beside.iter().all(|part| part.measured.is_sound())
    }

    /// Every request that was due.
    pub fn intended_count(&self) -> u64 {
        self.answered_count + self.failed_count + self.unanswered_count
    }

    /// Answers without error per second.
    pub fn answered_per_second(&self) -> f64 {
        per_second(self.answered_count, self.elapsed)
    }

    /// Megabytes (10^6) of record batches per second.
    pub fn record_mb_per_second(&self) -> f64 {
        per_second(self.record_bytes, self.elapsed) / 1e6
    }

    /// Record bytes of all connections, also of those beside the load: what a process worked for that served them all.
    pub fn moved_bytes(&self) -> u64 {
        let beside = self.beside.iter().map(|part| part.measured.moved_bytes());
        self.record_bytes + self.slowly_read_bytes + beside.sum::<u64>()
    }

    /// Good answers on all connections.
    pub fn all_answered_count(&self) -> u64 {
        let parts = self.beside.iter();
        let beside = parts.map(|part| part.measured.all_answered_count());
        self.answered_count + beside.sum::<u64>()
    }

    /// What connections beside the load did.
    pub(crate) fn part(&self, name: &str) -> Option<&Self> {
        let mut parts = self.beside.iter();
        let found = parts.find(|part| part.name == name)?;
        Some(&found.measured)
    }

    /// A quantile of the latency, in microseconds.
    pub fn latency_us(&self, quantile: f64) -> f64 {
        self.latency_ns.value_at_quantile(quantile) as f64 / 1e3
    }

    fn count_fault(&mut self, kind: &str, count: u64, text: impl FnOnce() -> String) {
        if let Some((counted, _)) = self.faults.get_mut(kind) {
            *counted += count;
        } else if self.faults.len() < ERROR_TEXTS_MAX {
            self.faults.insert(kind.to_owned(), (count, text()));
        }
    }

    fn count_error(&mut self, code: i16, count: u64, text: String) {
        if !self.errors.contains_key(&code) && self.errors.len() >= ERROR_TEXTS_MAX {
            return;
        }
        let text_or_name = match text.is_empty() {
            true => code_text(ErrorCode(code)),
            false => printable(&text),
        };
        self.errors.entry(code).or_insert((0, text_or_name)).0 += count;
    }
}

pub(crate) fn histogram() -> Histogram<u64> {
    // The bounds are constants that hdrhistogram accepts; three digits cost about 0.2 MB each.
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("constant bounds")
}

fn per_second(count: u64, elapsed: Duration) -> f64 {
    match elapsed.as_secs_f64() {
        0.0 => 0.0,
        seconds => count as f64 / seconds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_of_a_request_is_in_the_total_and_in_its_second() {
        let progressed = Progressed::default();
        let answer = |outcome| Answer {
            outcome,
            records: 1,
            record_bytes: 100,
            error_message: None,
        };
        let mut measured = Measured::new();
        measured.answer(answer(Ok(())), 100, 100, &progressed);
        measured.answer(answer(Err(ErrorCode(29))), 1_500_000_000, 100, &progressed);
        measured.give_up(1_600_000_000, 1_000_000_000);
        let fault = Error::GeneratorBroken;
        measured.fault(&fault, 1_700_000_000, 100, &progressed);
        let counts: Vec<_> = measured
            .series
            .seconds()
            .map(|second| {
                let counts = second.counts;
                (counts.answered, counts.failed, counts.unanswered)
            })
            .collect();
        assert_eq!(counts, [(1, 0, 0), (0, 2, 1)]);
        assert_eq!(measured.intended_count(), 4);
        assert_eq!(measured.latency_ns.len(), 4);
    }
}
