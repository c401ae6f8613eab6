//! What came back in each second of a run.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};

use crate::limits::LATENCY_NS_MAX;

const NS_PER_SECOND: u64 = 1_000_000_000;

/// Seconds in order. The latencies of one second are in a histogram of two digits, which is packed once the second is over:
/// a day of load must fit into memory, too.
#[derive(Debug, Clone)]
pub struct Series {
    seconds: Vec<Packed>,
    /// Latencies of the last of `seconds`.
    open: Histogram<u64>,
}

#[derive(Debug, Clone, Default)]
struct Packed {
    counts: Counts,
    /// A histogram in HdrHistogram's V2 form; empty if nothing came back.
    latency_ns: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) unanswered: u64,
    pub(crate) record_bytes: u64,
}

/// One second. A request belongs to the second in which it was answered or given up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Second {
    pub(crate) counts: Counts,
    /// p50, p90, p99 and the maximum in microseconds; `None` if nothing came back.
    pub(crate) latency_us: Option<[f64; 4]>,
}

impl Series {
    pub(crate) fn new() -> Self {
        Self {
            seconds: Vec::new(),
            open: histogram(),
        }
    }

    /// Counts what one request came to. One from before the last second, as threads that take turns may have it, counts there.
    pub(crate) fn note(&mut self, now_ns: u64, latency_ns: u64, counts: Counts) {
        let second = usize::try_from(now_ns / NS_PER_SECOND).unwrap_or(usize::MAX);
        while self.seconds.len() <= second {
            self.pack();
            self.seconds.push(Packed::default());
        }
        self.open.saturating_record(latency_ns);
        if let Some(last) = self.seconds.last_mut() {
            last.counts.add(counts);
        }
    }

    /// Adds what another thread counted in the same seconds.
    pub(crate) fn add(&mut self, mut other: Self) {
        self.pack();
        other.pack();
        if self.seconds.len() < other.seconds.len() {
            std::mem::swap(&mut self.seconds, &mut other.seconds);
        }
        for (own, other) in self.seconds.iter_mut().zip(other.seconds) {
            own.counts.add(other.counts);
            if own.latency_ns.is_empty() {
                own.latency_ns = other.latency_ns;
            } else if let (Some(mut sum), Some(more)) =
                (unpacked(&own.latency_ns), unpacked(&other.latency_ns))
            {
                // Same bounds on both sides, so it cannot fail.
                let _ = sum.add(&more);
                own.latency_ns = packed(&sum);
            }
        }
    }

    /// All seconds from the start of the run to the last answer.
    pub(crate) fn seconds(&self) -> impl Iterator<Item = Second> {
        let last = self.seconds.len().saturating_sub(1);
        self.seconds
            .iter()
            .enumerate()
            .map(move |(index, packed)| Second {
                counts: packed.counts,
                latency_us: match index == last && !self.open.is_empty() {
                    true => Some(quantiles_us(&self.open)),
                    false => unpacked(&packed.latency_ns).as_ref().map(quantiles_us),
                },
            })
    }

    fn pack(&mut self) {
        if let Some(last) = self.seconds.last_mut()
            && !self.open.is_empty()
        {
            last.latency_ns = packed(&self.open);
            self.open.reset();
        }
    }
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.unanswered += other.unanswered;
        self.record_bytes += other.record_bytes;
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 2).expect("constant bounds")
}

fn packed(histogram: &Histogram<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Memory takes whatever is written, and the bounds are constants that fit.
    let _ = V2Serializer::new().serialize(histogram, &mut bytes);
    bytes
}

fn unpacked(bytes: &[u8]) -> Option<Histogram<u64>> {
    Deserializer::new().deserialize(&mut &*bytes).ok()
}

fn quantiles_us(histogram: &Histogram<u64>) -> [f64; 4] {
    [0.5, 0.9, 0.99, 1.0].map(|quantile| histogram.value_at_quantile(quantile) as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered() -> Counts {
        Counts {
            answered: 1,
            record_bytes: 10,
            ..Counts::default()
        }
    }

    fn rounded(second: Second) -> (u64, Option<[u64; 4]>) {
        let round = |latency: [f64; 4]| latency.map(|us| (us / 10.0).round() as u64 * 10);
        (second.counts.answered, second.latency_us.map(round))
    }

    #[test]
    fn a_second_without_an_answer_stands_empty_between_the_others() {
        let mut series = Series::new();
        for (at_ms, latency_us) in [(100, 200), (900, 400), (2_500, 800)] {
            series.note(at_ms * 1_000_000, latency_us * 1_000, answered());
        }
        let seconds: Vec<_> = series.seconds().map(rounded).collect();
        assert_eq!(
            seconds,
            [
                (2, Some([200, 400, 400, 400])),
                (0, None),
                (1, Some([800; 4]))
            ]
        );
    }

    #[test]
    fn threads_add_up_second_by_second_whichever_ran_longer() {
        let of = |noted: &[(u64, u64)]| {
            let mut series = Series::new();
            for (second, latency_us) in noted {
                series.note(second * NS_PER_SECOND, latency_us * 1_000, answered());
            }
            series
        };
        let (short, long) = (of(&[(0, 100), (1, 300)]), of(&[(1, 500), (2, 700)]));
        for (mut sum, other) in [(short.clone(), long.clone()), (long, short)] {
            sum.add(other);
            let seconds: Vec<_> = sum.seconds().map(rounded).collect();
            assert_eq!(
                seconds,
                [
                    (1, Some([100; 4])),
                    (2, Some([300, 500, 500, 500])),
                    (1, Some([700; 4]))
                ]
            );
            let bytes = sum.seconds().map(|second| second.counts.record_bytes);
            assert_eq!(bytes.sum::<u64>(), 40);
        }
    }
}
