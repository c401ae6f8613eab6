//! Results for programs, with all that `loadgen report` draws from.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};
use serde_json::{Map, Value, json};

use super::machine::machine;
use super::{Process, QUANTILES};
use crate::compare::{Compared, Comparison};
use crate::measure::Measured;
use crate::plan::plan_line;
use crate::{Pace, Plan, Target, notes};

pub(super) fn run_json(
    started: SystemTime,
    target: &Target,
    plan: &Plan,
    measured: &Measured,
    processes: &[Process],
) -> Value {
    let processes = processes.iter().map(|process| {
        json!({
            "name": process.name,
            "cpu_s": process.cpu_seconds,
            "resident_bytes_max": process.resident_bytes_max,
        })
    });
    let mut json = frame(started, plan);
    json.insert(
        "target".to_owned(),
        json!({"name": target.name, "address": target.address}),
    );
    json.insert("result".to_owned(), measured_json(measured));
    json.insert("processes".to_owned(), processes.collect());
    json.into()
}

pub(super) fn compare_json(
    started: SystemTime,
    comparison: &Comparison,
    compared: &Compared,
) -> Value {
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
        let mut known = comparison.targets.iter();
        let address = known
            .find(|known| known.name == target.name)
            .map(|known| known.address.as_str());
        json!({"name": target.name, "address": address, "rounds": rounds.collect::<Vec<_>>()})
    });
    let resident: Map<String, Value> = compared
        .resident_bytes_max
        .iter()
        .map(|(name, bytes)| (name.clone(), json!(bytes)))
        .collect();
    let baseline = compared.targets.get(compared.baseline);
    let baseline = baseline.map(|target| target.name.as_str());
    let mut json = frame(started, &comparison.plan);
    json.insert("baseline".to_owned(), json!(baseline));
    json.insert("targets".to_owned(), targets.collect());
    json.insert("resident_bytes_max".to_owned(), resident.into());
    json.into()
}

/// What was asked for, when, by what and where.
fn frame(started: SystemTime, plan: &Plan) -> Map<String, Value> {
    let since = started.duration_since(UNIX_EPOCH);
    let started_ms = since.map_or(0, |since| since.as_millis() as u64);
    let json = json!({
        "loadgen_version": env!("CARGO_PKG_VERSION"),
        "started_unix_ms": started_ms,
        "machine": machine(),
        "plan": plan_line(plan),
        "load": {
            "mode": plan.mode.name(),
            "topic": plan.topic,
            "partitions": plan.partitions.as_ref().map(ToString::to_string),
            "connections": plan.connections_count,
            "threads": plan.threads_count,
            "in_flight_max": plan.in_flight_max,
            "closed_loop": matches!(plan.pace, Pace::Saturate),
            "records_per_batch": plan.records_per_batch,
            "record_bytes": plan.shape.sizes.to_string(),
            "records": plan.shape.words(plan.seed).trim_start_matches(", "),
            "seed": plan.seed,
            "churn_command": plan.churn.as_ref().map(|churn| &churn.command),
        },
    });
    match json {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn measured_json(measured: &Measured) -> Value {
    let latency: Map<String, Value> = QUANTILES
        .iter()
        .map(|(name, quantile)| ((*name).to_owned(), json!(measured.latency_us(*quantile))))
        .collect();
    let errors = measured.errors.iter().map(
        |(code, (count, words))| json!({"code": code, "count": count, "first_message": words}),
    );
    let seconds = measured.series.seconds().map(|second| {
        let counts = second.counts;
        let latency = second.latency_us;
        let quantile = |index: usize| latency.and_then(|all| all.get(index).copied());
        json!({
            "answered": counts.answered,
            "failed": counts.failed,
            "unanswered": counts.unanswered,
            "record_bytes": counts.record_bytes,
            "latency_us": {"p50": quantile(0), "p90": quantile(1), "p99": quantile(2), "max": quantile(3)},
        })
    });
    json!({
        "intended": measured.intended_count(),
        "answered": measured.answered_count,
        "failed": measured.failed_count,
        "unanswered": measured.unanswered_count,
        "unconfirmed_connections": measured.unconfirmed_count,
        "records": measured.records_count,
        "record_bytes": measured.record_bytes,
        "wire_bytes": measured.wire_bytes,
        "slowly_read_bytes": measured.slowly_read_bytes,
        "elapsed_s": measured.elapsed.as_secs_f64(),
        "answered_per_s": measured.answered_per_second(),
        "latency_us": latency,
        "latency_ns_histogram": histogram_text(&measured.latency_ns),
        "sent_late_p99_us": measured.send_delay_ns.value_at_quantile(0.99) as f64 / 1e3,
        "sent_late_ns_histogram": histogram_text(&measured.send_delay_ns),
        "seconds": seconds.collect::<Vec<_>>(),
        "errors": errors.collect::<Vec<_>>(),
        "faults": notes::faults_json(measured),
        "churn": notes::churn_json(measured),
        "beside": notes::beside_json(measured, measured_json),
        "end_to_end": notes::end_to_end_json(measured),
    })
}

/// As in HdrHistogram's logs: V2, deflated, base64.
pub(super) fn histogram_text(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    // Memory takes whatever is written, and the bounds are constants that fit.
    let _ = V2DeflateSerializer::new().serialize(histogram, &mut bytes);
    STANDARD.encode(bytes)
}
