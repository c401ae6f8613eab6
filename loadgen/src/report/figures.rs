//! What the table of a comparison tells of each mode, and what its rounds met.

use std::collections::BTreeMap;
use std::fmt::Write;

use hdrhistogram::Histogram;

use crate::churn::Felt;
use crate::compare::{Round, TargetRounds};
use crate::measure::Measured;
use crate::plan::ReadFrom;
use crate::run::ALONE;
use crate::{Acks, Mode, Plan};

/// A row: NaN for a round that has nothing to tell.
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) digits: usize,
    pub(super) of: Box<dyn Fn(&Round) -> f64>,
}

const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// The rows for the load of `plan`, in order.
pub(super) fn figures(plan: &Plan) -> Vec<Figure> {
    let mut rows = Rows(Vec::new());
    let load = match plan.mode {
        Mode::Mixed { .. } => ", producers",
        Mode::SlowConsumer { .. } => ", beside slow ones",
        _ => "",
    };
    let storm = plan.mode == Mode::Storm;
    let requests = match storm {
        true => "handshakes/s".to_owned(),
        false => format!("requests/s{load}"),
    };
    rows.put(requests, 1, |measured| measured.answered_per_second());
    if storm {
        rows.put("failed or unanswered", 0, |measured| {
            (measured.failed_count + measured.unanswered_count) as f64
        });
    } else {
        rows.put(format!("MB/s of records{load}"), 2, |measured| {
            measured.record_mb_per_second()
        });
    }
    rows.latencies(load, |measured| Some(&measured.latency_ns));
    match plan.mode {
        Mode::Mixed { from, .. } => rows.readers(plan, from),
        Mode::SlowConsumer { slow_count, .. } => rows.slow(slow_count),
        _ => {}
    }
    if plan.churn.is_some() {
        rows.churn();
    }
    rows.0
}

struct Rows(Vec<Figure>);

impl Rows {
    fn put(
        &mut self,
        name: impl Into<String>,
        digits: usize,
        of: impl Fn(&Measured) -> f64 + 'static,
    ) {
        self.0.push(Figure {
            name: name.into(),
            digits,
            of: Box::new(move |round| of(&round.measured)),
        });
    }

    /// A row for each quantile of one histogram.
    fn latencies(&mut self, of_what: &str, histogram: fn(&Measured) -> Option<&Histogram<u64>>) {
        for (name, quantile) in QUANTILES {
            self.put(format!("latency {name}, us{of_what}"), 0, move |measured| {
                at(histogram(measured), quantile)
            });
        }
    }

    fn readers(&mut self, plan: &Plan, from: ReadFrom) {
        self.put("requests/s, readers", 1, |measured| {
            of_part(measured, "readers", Measured::answered_per_second)
        });
        self.put("MB/s of records, readers", 2, |measured| {
            of_part(measured, "readers", Measured::record_mb_per_second)
        });
        match from {
            ReadFrom::Start => self.latencies(", readers", |measured| {
                Some(&measured.part("readers")?.latency_ns)
            }),
            // Without acks no answer names the offset by which a batch is found.
            ReadFrom::End if plan.acks == Acks::None => {}
            ReadFrom::End => {
                self.latencies(", end to end", |measured| {
                    let found = measured.part("readers")?.end_to_end.as_ref()?;
                    Some(&found.latency_ns)
                });
                self.put("batches that no reader saw", 0, |measured| {
                    of_part(measured, "readers", |readers| {
                        let found = readers.end_to_end.as_ref();
                        found.map_or(f64::NAN, |found| found.unseen_count as f64)
                    })
                });
            }
        }
    }

    fn slow(&mut self, slow_count: usize) {
        self.latencies(", alone", |measured| {
            Some(&measured.part(ALONE)?.latency_ns)
        });
        for (name, quantile) in QUANTILES {
            self.put(
                format!("latency {name}, beside / alone"),
                2,
                move |measured| {
                    let alone = measured.part(ALONE).map(|alone| &alone.latency_ns);
                    at(Some(&measured.latency_ns), quantile) / at(alone, quantile)
                },
            );
        }
        self.put("bytes/s read by each slow one", 0, move |measured| {
            of_part(measured, "slow", |slow| {
                let seconds = slow.elapsed.as_secs_f64();
                slow.slowly_read_bytes as f64 / seconds / slow_count.max(1) as f64
            })
        });
        self.put("slow ones closed by the target or broken", 0, |measured| {
            of_part(measured, "slow", |slow| {
                slow.faults.values().map(|(count, _)| count).sum::<u64>() as f64
            })
        });
    }

    fn churn(&mut self) {
        let churned = |measured: &Measured, of: fn(&crate::Churned) -> f64| {
            measured.churned.as_ref().map_or(f64::NAN, of)
        };
        self.put("runs of the command", 0, move |measured| {
            churned(measured, |churned| churned.runs_count as f64)
        });
        self.put("of these failed", 0, move |measured| {
            churned(measured, |churned| churned.failed_count as f64)
        });
        self.put("longest run of it, ms", 0, move |measured| {
            churned(measured, |churned| churned.longest.as_secs_f64() * 1e3)
        });
        self.latencies(", during churn", |measured| {
            Some(&measured.pauses.as_ref()?.inside.latency_ns)
        });
        self.latencies(", otherwise", |measured| {
            Some(&measured.pauses.as_ref()?.outside.latency_ns)
        });
        let gap_us = |felt: &Felt| match felt.gap_ns_max {
            0 => f64::NAN,
            ns => ns as f64 / 1e3,
        };
        self.put(
            "longest gap between answers, us, during churn",
            0,
            move |measured| {
                let pauses = measured.pauses.as_ref();
                pauses.map_or(f64::NAN, |pauses| gap_us(&pauses.inside))
            },
        );
        self.put(
            "longest gap between answers, us, otherwise",
            0,
            move |measured| {
                let pauses = measured.pauses.as_ref();
                pauses.map_or(f64::NAN, |pauses| gap_us(&pauses.outside))
            },
        );
    }
}

/// A quantile in microseconds; of nothing there is none.
fn at(latency_ns: Option<&Histogram<u64>>, quantile: f64) -> f64 {
    let known = latency_ns.filter(|latency_ns| !latency_ns.is_empty());
    known.map_or(f64::NAN, |latency_ns| {
        latency_ns.value_at_quantile(quantile) as f64 / 1e3
    })
}

fn of_part(measured: &Measured, name: &str, figure: impl Fn(&Measured) -> f64) -> f64 {
    measured.part(name).map_or(f64::NAN, figure)
}

/// What the rounds of a target met, over all of them.
pub(super) fn note_faults(plan: &Plan, target: &TargetRounds, text: &mut String) {
    let mut total = Measured::new();
    let (mut ends, mut skipped_count) = (BTreeMap::new(), 0);
    for round in &target.rounds {
        total.add(round.measured.clone());
        if let Some(churned) = &round.measured.churned {
            skipped_count += churned.skipped_count;
            for (end, count) in &churned.ends {
                *ends.entry(end.as_str()).or_insert(0) += count;
            }
        }
    }
    let mut lines = Vec::new();
    let load = match plan.mode.has_parts() {
        true => plan.mode.part_names().first().copied(),
        false => None,
    };
    faults_of(load, &total, &mut lines);
    for part in &total.beside {
        faults_of(Some(part.name), &part.measured, &mut lines);
    }
    if plan.churn.is_some() {
        let ends: Vec<String> = ends
            .iter()
            .map(|(end, count)| format!("{count} x {end}"))
            .collect();
        lines.push(match ends.is_empty() {
            true => "the command never ran: a round is shorter than --churn-interval".to_owned(),
            false => format!(
                "the command ended {}; {skipped_count} skipped",
                ends.join(", ")
            ),
        });
    }
    for line in lines {
        let _ = writeln!(text, "\n{}: {line}", target.name);
    }
}

fn faults_of(part: Option<&str>, measured: &Measured, lines: &mut Vec<String>) {
    let whose = part.map_or_else(String::new, |part| format!("{part}: "));
    let (failed, unanswered) = (measured.failed_count, measured.unanswered_count);
    // Slow consumers have a row of their own for those that were closed, and nothing else to answer for.
    if failed + unanswered > 0 {
        lines.push(format!("{whose}{failed} failed, {unanswered} unanswered"));
    }
    if measured.unconfirmed_count > 0 {
        let count = measured.unconfirmed_count;
        lines.push(format!(
            "{whose}{count} connections were not seen to read every write that wants no answer: raise --grace-seconds, or see the target's log"
        ));
    }
    for (kind, (count, words)) in &measured.faults {
        lines.push(format!("{whose}{kind}, {count} times, first: {words}"));
    }
    for (code, (count, words)) in &measured.errors {
        lines.push(format!("{whose}error {code}, {count} times: {words}"));
    }
    if let Some(found) = measured
        .end_to_end
        .as_ref()
        .filter(|found| found.unseen_count > 0)
    {
        let all = found.latency_ns.len() + found.unseen_count;
        let advice = match found.latency_ns.is_empty() {
            true => {
                "; a sink keeps nothing to follow: say --readers-from start there, and --readers-as where those who write may not read"
            }
            false => "",
        };
        lines.push(format!(
            "{whose}{} of {all} batches were not seen{advice}",
            found.unseen_count
        ));
    }
}
