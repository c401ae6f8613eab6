//! A run for people: a line for each figure.

use std::fmt::Write;

use super::{Process, QUANTILES};
use crate::measure::Measured;
use crate::plan::plan_line;
use crate::{Plan, notes};

pub(super) fn run_text(plan: &Plan, measured: &Measured, processes: &[Process]) -> String {
    let mut text = format!("{}\n", plan_line(plan));
    let (answered, failed) = (measured.answered_count, measured.failed_count);
    let unanswered = measured.unanswered_count;
    line(
        &mut text,
        notes::answered_name(plan),
        &format!("{answered}, {failed} failed, {unanswered} unanswered"),
    );
    let rate = measured.answered_per_second();
    let megabytes = measured.record_mb_per_second();
    line(
        &mut text,
        "throughput",
        &format!("{rate:.1} requests/s, {megabytes:.2} MB/s of records"),
    );
    for (name, quantile) in QUANTILES {
        line(
            &mut text,
            &format!("latency {name}"),
            &format!("{:.0} us", measured.latency_us(quantile)),
        );
    }
    let late = measured.send_delay_ns.value_at_quantile(0.99) as f64 / 1e3;
    line(
        &mut text,
        "sent late p99",
        &format!("{late:.0} us (contained in the latencies)"),
    );
    notes::notes(plan, measured, |name, value| line(&mut text, name, value));
    for (code, (count, words)) in &measured.errors {
        line(
            &mut text,
            &format!("error {code}"),
            &format!("{count} times: {words}"),
        );
    }
    for process in processes {
        let cpu_seconds = process.cpu_seconds;
        let per_gb = cpu_seconds / (measured.moved_bytes() as f64 / 1e9);
        let resident = process.resident_bytes_max as f64 / 1e6;
        let figures =
            format!("{cpu_seconds:.2} CPU s, {per_gb:.3} CPU s/GB, peak RSS {resident:.1} MB");
        line(&mut text, &process.name, &figures);
    }
    text
}

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "  {name:<16} {value}");
}
