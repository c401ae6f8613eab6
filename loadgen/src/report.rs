//! Results for people and for programs.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::arguments;
use crate::compare::{Compared, Round, Spread, TargetRounds};
use crate::measure::Measured;
use crate::{Error, Mode, Pace, Plan, create_topic, run};

const QUANTILES: [(&str, f64); 6] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
    ("max", 1.0),
];

/// A text for standard output, and whether every request was answered without error.
pub type Report = (String, bool);

/// `loadgen run`.
///
/// # Errors
/// The arguments make no sense, or the run has no result.
pub fn run_and_report(arguments: &arguments::Run) -> Result<Report, Error> {
    let (target, plan, watched) = arguments.check()?;
    let cpu = || {
        watched
            .iter()
            .map(|watched| Ok(watched.cpu()?.as_secs_f64()))
            .collect::<Result<Vec<f64>, Error>>()
    };
    let before = cpu()?;
    let measured = run(&target, &plan)?;
    let cpu_seconds: Vec<f64> = cpu()?
        .iter()
        .zip(&before)
        .map(|(after, before)| after - before)
        .collect();
    let mut processes = Vec::new();
    for (watched, cpu_seconds) in watched.iter().zip(cpu_seconds) {
        processes.push((
            watched.name.clone(),
            cpu_seconds,
            watched.resident_bytes_max()?,
        ));
    }
    let text = match arguments.json {
        true => format!("{:#}\n", run_json(&plan, &measured, &processes)),
        false => run_text(&plan, &measured, &processes),
    };
    Ok((text, is_sound(&measured)))
}

/// `loadgen compare`.
///
/// # Errors
/// The arguments make no sense, or a run has no result.
pub fn compare_and_report(arguments: &arguments::Compare) -> Result<Report, Error> {
    let comparison = arguments.check()?;
    let compared = comparison.run()?;
    let text = match arguments.json {
        true => format!("{:#}\n", compare_json(&comparison.plan, &compared)),
        false => compare_markdown(&comparison.plan, &compared),
    };
    let sound = compared
        .targets
        .iter()
        .flat_map(|target| &target.rounds)
        .all(|round| is_sound(&round.measured));
    Ok((text, sound))
}

/// `loadgen create-topic`.
///
/// # Errors
/// The arguments make no sense, or the target refuses.
pub fn create_and_report(arguments: &arguments::CreateTopic) -> Result<Report, Error> {
    let target = arguments.check()?;
    create_topic(
        &target,
        &arguments.topic,
        arguments.partitions,
        arguments.replicas,
    )?;
    Ok((String::new(), true))
}

fn is_sound(measured: &Measured) -> bool {
    measured.failed_count == 0 && measured.unanswered_count == 0
}

fn run_text(plan: &Plan, measured: &Measured, processes: &[(String, f64, u64)]) -> String {
    let mut text = format!("{}\n", plan_line(plan));
    let (answered, failed) = (measured.answered_count, measured.failed_count);
    let unanswered = measured.unanswered_count;
    line(
        &mut text,
        "answered",
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
    for (code, (count, words)) in &measured.errors {
        line(
            &mut text,
            &format!("error {code}"),
            &format!("{count} times: {words}"),
        );
    }
    for (name, cpu_seconds, resident_bytes) in processes {
        let per_gb = cpu_seconds / gigabytes(measured);
        let resident = *resident_bytes as f64 / 1e6;
        let figures =
            format!("{cpu_seconds:.2} CPU s, {per_gb:.3} CPU s/GB, peak RSS {resident:.1} MB");
        line(&mut text, name, &figures);
    }
    text
}

fn compare_markdown(plan: &Plan, compared: &Compared) -> String {
    let mut text = format!("**{}**\n\n", plan_line(plan));
    let Some((reference, others)) = compared.targets.split_first() else {
        return text;
    };
    let mut header = String::from("| |");
    for target in &compared.targets {
        let _ = write!(header, " {} |", target.name);
    }
    for target in others {
        let _ = write!(header, " {} / {} |", target.name, reference.name);
    }
    let columns = 1 + compared.targets.len() + others.len();
    let _ = writeln!(text, "{header}\n|{}", "---|".repeat(columns));
    for (name, digits, figure) in figures() {
        let _ = write!(text, "| {name} |");
        for target in &compared.targets {
            let _ = write!(text, " {} |", spread_text(target.spread(figure), digits));
        }
        for target in others {
            let _ = write!(
                text,
                " {} |",
                spread_text(target.ratio(reference, figure), 2)
            );
        }
        text.push('\n');
    }
    for (index, (name, resident_bytes)) in compared.resident_bytes_max.iter().enumerate() {
        for (what, digits, figure) in [
            (
                "CPU s per GB",
                3,
                cpu_per_gb(index) as Box<dyn Fn(&Round) -> f64>,
            ),
            ("CPU us per request", 1, cpu_per_request(index)),
        ] {
            let _ = write!(text, "| {what}, {name} |");
            for target in &compared.targets {
                let _ = write!(text, " {} |", spread_text(target.spread(&figure), digits));
            }
            let _ = writeln!(text, "{}", " - |".repeat(others.len()));
        }
        let resident = *resident_bytes as f64 / 1e6;
        let _ = writeln!(
            text,
            "| peak RSS MB, {name} | {resident:.1} |{}",
            " - |".repeat(columns - 2)
        );
    }
    let _ = writeln!(
        text,
        "\nMedian of {} rounds (least to most).",
        reference.rounds.len()
    );
    for target in &compared.targets {
        note_faults(target, &mut text);
    }
    text
}

fn note_faults(target: &TargetRounds, text: &mut String) {
    let mut total = Measured::new();
    for round in &target.rounds {
        total.add(round.measured.clone());
    }
    if !is_sound(&total) {
        let (failed, unanswered) = (total.failed_count, total.unanswered_count);
        let _ = writeln!(
            text,
            "\n{}: {failed} failed, {unanswered} unanswered.",
            target.name
        );
    }
    for (code, (count, words)) in &total.errors {
        let _ = writeln!(
            text,
            "{}: error {code}, {count} times: {words}",
            target.name
        );
    }
}

type Figure = (&'static str, usize, fn(&Round) -> f64);

fn figures() -> [Figure; 5] {
    [
        ("requests/s", 1, |round| {
            round.measured.answered_per_second()
        }),
        ("MB/s of records", 2, |round| {
            round.measured.record_mb_per_second()
        }),
        ("latency p50, us", 0, |round| round.measured.latency_us(0.5)),
        ("latency p99, us", 0, |round| {
            round.measured.latency_us(0.99)
        }),
        ("latency p99.9, us", 0, |round| {
            round.measured.latency_us(0.999)
        }),
    ]
}

fn cpu_per_gb(index: usize) -> Box<dyn Fn(&Round) -> f64> {
    Box::new(move |round| cpu(round, index) / gigabytes(&round.measured))
}

fn cpu_per_request(index: usize) -> Box<dyn Fn(&Round) -> f64> {
    Box::new(move |round| cpu(round, index) * 1e6 / round.measured.answered_count as f64)
}

fn cpu(round: &Round, index: usize) -> f64 {
    round.cpu_seconds.get(index).copied().unwrap_or(f64::NAN)
}

/// Of record batches. A ping moves none.
fn gigabytes(measured: &Measured) -> f64 {
    measured.record_bytes as f64 / 1e9
}

fn spread_text(spread: Spread, digits: usize) -> String {
    if !spread.median.is_finite() {
        return "-".to_owned();
    }
    let Spread { median, min, max } = spread;
    format!("{median:.digits$} ({min:.digits$} to {max:.digits$})")
}

fn plan_line(plan: &Plan) -> String {
    let pace = match plan.pace {
        Pace::PerSecond(rate) => format!("{rate} requests/s intended (open loop)"),
        Pace::Saturate => format!(
            "as fast as answers return, {} in flight each (closed loop)",
            plan.in_flight_max
        ),
    };
    let what = match plan.mode {
        Mode::Produce => format!(
            ", {} x {} bytes a batch",
            plan.records_per_batch, plan.record_bytes
        ),
        Mode::Consume => format!(", {} bytes a Fetch", plan.fetch_bytes),
        Mode::Ping => String::new(),
    };
    let (mode, seconds) = (plan.mode.name(), plan.duration.as_secs());
    format!(
        "{mode}: {pace}{what}, {} connections, {seconds} s",
        plan.connections_count
    )
}

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "  {name:<16} {value}");
}

fn run_json(plan: &Plan, measured: &Measured, processes: &[(String, f64, u64)]) -> Value {
    let processes = processes.iter().map(|(name, cpu_seconds, resident_bytes)| {
        json!({"name": name, "cpu_s": cpu_seconds, "resident_bytes_max": resident_bytes})
    });
    json!({"plan": plan_line(plan), "result": measured_json(measured), "processes": processes.collect::<Vec<_>>()})
}

fn measured_json(measured: &Measured) -> Value {
    let latency: Map<String, Value> = QUANTILES
        .iter()
        .map(|(name, quantile)| ((*name).to_owned(), json!(measured.latency_us(*quantile))))
        .collect();
    let errors = measured.errors.iter().map(
        |(code, (count, words))| json!({"code": code, "count": count, "first_message": words}),
    );
    json!({
        "intended": measured.intended_count(),
        "answered": measured.answered_count,
        "failed": measured.failed_count,
        "unanswered": measured.unanswered_count,
        "records": measured.records_count,
        "record_bytes": measured.record_bytes,
        "wire_bytes": measured.wire_bytes,
        "elapsed_s": measured.elapsed.as_secs_f64(),
        "answered_per_s": measured.answered_per_second(),
        "latency_us": latency,
        "sent_late_p99_us": measured.send_delay_ns.value_at_quantile(0.99) as f64 / 1e3,
        "errors": errors.collect::<Vec<_>>(),
    })
}

fn compare_json(plan: &Plan, compared: &Compared) -> Value {
    let watched: Vec<&str> = compared
        .resident_bytes_max
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let targets = compared.targets.iter().map(|target| {
        let rounds = target.rounds.iter().map(|round| {
            let cpu: Map<String, Value> = watched
                .iter()
                .zip(&round.cpu_seconds)
                .map(|(name, seconds)| ((*name).to_owned(), json!(seconds)))
                .collect();
            json!({"result": measured_json(&round.measured), "cpu_s": cpu})
        });
        json!({"name": target.name, "rounds": rounds.collect::<Vec<_>>()})
    });
    let resident: Map<String, Value> = compared
        .resident_bytes_max
        .iter()
        .map(|(name, bytes)| (name.clone(), json!(bytes)))
        .collect();
    json!({"plan": plan_line(plan), "targets": targets.collect::<Vec<_>>(), "resident_bytes_max": resident})
}
