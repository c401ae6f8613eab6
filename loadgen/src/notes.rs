//! What a report says that only some runs have.

use serde_json::{Map, Value, json};

use crate::churn::{Churned, Felt};
use crate::end_to_end::EndToEnd;
use crate::measure::Measured;
use crate::plan::{Churn, ReadFrom};
use crate::run::ALONE;
use crate::{Acks, Mode, Plan};

const QUANTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("max", 1.0),
];

/// What the requests are counted as that came to a good end.
pub(crate) fn answered_name(plan: &Plan) -> &'static str {
    match plan.acks {
        Acks::None if plan.mode.produces() => "sent",
        _ => "answered",
    }
}

/// Calls `line` with the name and the words of each further line.
pub(crate) fn notes(plan: &Plan, measured: &Measured, mut line: impl FnMut(&str, &str)) {
    if plan.mode.produces() && plan.acks == Acks::None {
        let words = match measured.unconfirmed_count {
            0 => "by an answer to what followed the last write on each connection".to_owned(),
            count => format!(
                "not by {count} connections: raise --grace-seconds, or see the target's log"
            ),
        };
        line("all was read", &words);
    }
    if plan.mode == Mode::Storm {
        let words =
            "TCP, TLS and SASL if there are, ApiVersions, Metadata, close: each is a request above";
        line("handshakes", words);
    }
    for (kind, (count, words)) in &measured.faults {
        line(kind, &format!("{count} times, first: {words}"));
    }
    if let (Some(churn), Some(churned)) = (&plan.churn, &measured.churned) {
        line("churn", &churn_words(churn, churned));
    }
    if let Some(pauses) = &measured.pauses {
        line("during churn", &felt_words(&pauses.inside));
        line("otherwise", &felt_words(&pauses.outside));
    }
    if let Some(name) = plan
        .mode
        .part_names()
        .first()
        .filter(|_| plan.mode.has_parts())
    {
        line("above", &format!("{name}; beside them:"));
    }
    for part in &measured.beside {
        let (name, found) = (part.name, &part.measured);
        if let (Mode::SlowConsumer { slow_count, .. }, "slow") = (plan.mode, name) {
            line(name, &slow_words(slow_count, found));
            for (kind, (count, words)) in &found.faults {
                line(
                    &format!("{name} {kind}"),
                    &format!("{count} times, first: {words}"),
                );
            }
            continue;
        }
        let rate = found.answered_per_second();
        let megabytes = found.record_mb_per_second();
        line(
            name,
            &format!(
                "{} answered, {} failed, {} unanswered; {rate:.1} requests/s, {megabytes:.2} MB/s of records",
                found.answered_count, found.failed_count, found.unanswered_count
            ),
        );
        let follows = matches!(
            plan.mode,
            Mode::Mixed {
                from: ReadFrom::End,
                ..
            }
        );
        if !follows {
            let quantile = |quantile| found.latency_us(quantile);
            line(&format!("{name} latency"), &quantiles(quantile));
        }
        for (code, (count, words)) in &found.errors {
            line(
                &format!("{name} error {code}"),
                &format!("{count} times: {words}"),
            );
        }
        if name == ALONE {
            let ratio = |quantile| measured.latency_us(quantile) / found.latency_us(quantile);
            let texts = QUANTILES.map(|(name, at)| format!("{name} {:.2}", ratio(at)));
            line(
                "beside / alone",
                &format!("{}, of the latencies", texts.join(", ")),
            );
        }
        if let Some(found) = &found.end_to_end {
            line(
                "end to end",
                &end_to_end(plan, found, part.measured.failed_count),
            );
        }
    }
}

fn churn_words(churn: &Churn, churned: &Churned) -> String {
    if churned.runs_count == 0 {
        return "it never ran: the run is shorter than --churn-interval".to_owned();
    }
    let ends = churned.ends.iter();
    let ends: Vec<String> = ends
        .map(|(end, count)| format!("{count} x {end}"))
        .collect();
    format!(
        "{} runs, one each {:?}: {}; {} skipped, the longest took {:.0} ms",
        churned.runs_count,
        churn.interval,
        ends.join(", "),
        churned.skipped_count,
        churned.longest.as_secs_f64() * 1e3
    )
}

fn felt_words(felt: &Felt) -> String {
    if felt.latency_ns.is_empty() {
        return "no request; a longer --churn-interval or run leaves time for it".to_owned();
    }
    let quantile = |quantile| felt.latency_ns.value_at_quantile(quantile) as f64 / 1e3;
    let gap_us = felt.gap_ns_max as f64 / 1e3;
    format!(
        "{}, of {} requests; longest gap between answers of a connection {gap_us:.0} us",
        quantiles(quantile),
        felt.latency_ns.len()
    )
}

pub(crate) fn churn_json(measured: &Measured) -> Value {
    let (Some(churned), Some(pauses)) = (&measured.churned, &measured.pauses) else {
        return Value::Null;
    };
    let felt = |felt: &Felt| {
        let quantile = |quantile| felt.latency_ns.value_at_quantile(quantile) as f64 / 1e3;
        let latency: Map<String, Value> = QUANTILES
            .iter()
            .map(|(name, at)| ((*name).to_owned(), json!(quantile(*at))))
            .collect();
        json!({"requests": felt.latency_ns.len(), "latency_us": latency, "gap_us_max": felt.gap_ns_max as f64 / 1e3})
    };
    json!({
        "runs": churned.runs_count,
        "skipped": churned.skipped_count,
        "ends": churned.ends,
        "longest_ms": churned.longest.as_secs_f64() * 1e3,
        "inside": felt(&pauses.inside),
        "outside": felt(&pauses.outside),
    })
}

fn slow_words(slow_count: usize, found: &Measured) -> String {
    let seconds = found.elapsed.as_secs_f64();
    let each = found.slowly_read_bytes as f64 / seconds / slow_count.max(1) as f64;
    format!(
        "{each:.0} bytes/s read by each, {} answers read to their end, {} connections closed by the target or broken",
        found.answered_count,
        found.faults.values().map(|(count, _)| count).sum::<u64>()
    )
}

fn end_to_end(plan: &Plan, found: &EndToEnd, failed_count: u64) -> String {
    let seen = found.latency_ns.len();
    if plan.acks == Acks::None {
        return "not measured: without acks no answer names the offset that a batch got".to_owned();
    }
    if seen == 0 {
        let advice = match failed_count {
            0 => "is the target a sink? It keeps nothing; say --readers-from start",
            _ => "its errors are above; --readers-as logs readers in as somebody who may read",
        };
        return format!(
            "readers saw none of {} batches; {advice}",
            found.unseen_count
        );
    }
    let quantile = |quantile| found.latency_ns.value_at_quantile(quantile) as f64 / 1e3;
    let all = seen + found.unseen_count;
    format!(
        "{}, of {seen} batches; {} of {all} not seen",
        quantiles(quantile),
        found.unseen_count
    )
}

fn quantiles(at: impl Fn(f64) -> f64) -> String {
    let texts = QUANTILES.map(|(name, quantile)| format!("{name} {:.0}", at(quantile)));
    format!("{} us", texts.join(", "))
}

pub(crate) fn faults_json(measured: &Measured) -> Value {
    let faults = measured.faults.iter().map(
        |(kind, (count, words))| json!({"kind": kind, "count": count, "first_message": words}),
    );
    Value::Array(faults.collect())
}

/// Results of connections of other kinds, by name.
pub(crate) fn beside_json(measured: &Measured, json: impl Fn(&Measured) -> Value) -> Value {
    let parts = measured.beside.iter();
    let parts = parts.map(|part| (part.name.to_owned(), json(&part.measured)));
    Value::Object(parts.collect())
}

pub(crate) fn end_to_end_json(measured: &Measured) -> Value {
    let Some(found) = &measured.end_to_end else {
        return Value::Null;
    };
    let latency: Map<String, Value> = QUANTILES
        .iter()
        .map(|(name, quantile)| {
            let us = found.latency_ns.value_at_quantile(*quantile) as f64 / 1e3;
            ((*name).to_owned(), json!(us))
        })
        .collect();
    json!({"seen": found.latency_ns.len(), "unseen": found.unseen_count, "latency_us": latency})
}
