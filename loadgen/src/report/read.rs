//! What is in a result of `loadgen run` or `compare`; older ones hold less.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use serde_json::Value;

use super::QUANTILES;

/// One result.
#[derive(Debug)]
pub(super) struct Document {
    /// What the file is called.
    pub(super) source: String,
    pub(super) kind: Kind,
    pub(super) plan: String,
    pub(super) started_unix_ms: Option<u64>,
    pub(super) targets: Vec<Target>,
    /// The index of the target that the others are compared with.
    pub(super) baseline: usize,
    /// Peak resident bytes of watched processes.
    pub(super) resident_bytes_max: Vec<(String, u64)>,
    pub(super) json: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Run,
    Compare,
}

#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) address: Option<String>,
    pub(super) rounds: Vec<Round>,
}

/// One run of one target. A number that an older result does not hold is NaN.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) intended: u64,
    pub(super) answered: u64,
    pub(super) failed: u64,
    pub(super) unanswered: u64,
    /// Connections that did not show that they read all writes that want no answer.
    pub(super) unconfirmed: u64,
    pub(super) records: u64,
    pub(super) record_bytes: u64,
    pub(super) wire_bytes: u64,
    /// What slow consumers read, also of answers that they have no end of.
    pub(super) slowly_read_bytes: u64,
    pub(super) elapsed_s: f64,
    /// In the order of [`QUANTILES`].
    pub(super) latency_us: [f64; QUANTILES.len()],
    pub(super) sent_late_p99_us: f64,
    pub(super) latency_ns: Option<Histogram<u64>>,
    pub(super) seconds: Vec<Second>,
    /// CPU seconds of watched processes.
    pub(super) cpu_s: Vec<(String, f64)>,
    pub(super) errors: Vec<Fault>,
    /// Failures that are no errors of Kafka's: their kind, how often, and their first words.
    pub(super) failures: Vec<(String, u64, String)>,
    /// Connections of other kinds in the same run, by name.
    pub(super) beside: Vec<(String, Round)>,
    /// What has a table of latencies of its own.
    pub(super) apart: Vec<(&'static str, Apart)>,
    /// How the command beside the load ran, in words.
    pub(super) churn: Option<String>,
}

/// Times that are not those of all requests of a round.
#[derive(Debug)]
pub(super) struct Apart {
    pub(super) count: u64,
    /// Batches that no reader saw.
    pub(super) unseen: f64,
    /// p50, p99 and the maximum.
    pub(super) latency_us: [f64; 3],
    /// The longest time between two answers on one connection.
    pub(super) gap_us_max: f64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Second {
    pub(super) answered: u64,
    pub(super) failed: u64,
    pub(super) unanswered: u64,
    pub(super) record_bytes: u64,
    /// p50, p90, p99 and the maximum; NaN if nothing came back.
    pub(super) latency_us: [f64; 4],
}

#[derive(Debug)]
pub(super) struct Fault {
    pub(super) code: i64,
    pub(super) count: u64,
    pub(super) words: String,
}

/// All results of one file: one, several one after the other, or those in an earlier report.json.
///
/// # Errors
/// In words, for somebody who gave the wrong file.
pub(super) fn documents(source: &str, text: &str) -> Result<Vec<Document>, String> {
    let mut documents = Vec::new();
    for json in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        let json = json.map_err(|error| format!("no JSON: {error}"))?;
        match json.get("results").and_then(Value::as_array) {
            Some(results) => {
                for part in results {
                    let source = part.get("source").and_then(Value::as_str);
                    let json = part.get("result").cloned().unwrap_or_default();
                    documents.push(document(source.unwrap_or("unnamed"), json)?);
                }
            }
            None => documents.push(document(source, json)?),
        }
    }
    match documents.is_empty() {
        true => Err("nothing; the run that should have written it did not end well".to_owned()),
        false => Ok(documents),
    }
}

fn document(source: &str, json: Value) -> Result<Document, String> {
    let stranger = || "no result of `loadgen run --json` or `loadgen compare --json`".to_owned();
    let plan = text(&json, "plan").ok_or_else(stranger)?;
    let (kind, targets) = match (json.get("result"), json.get("targets")) {
        (Some(result), _) => (Kind::Run, vec![run_target(source, result, &json)]),
        (None, Some(Value::Array(targets))) => {
            (Kind::Compare, targets.iter().map(compared_target).collect())
        }
        _ => return Err(stranger()),
    };
    if !targets.iter().any(|target| !target.rounds.is_empty()) {
        return Err("a comparison without a round".to_owned());
    }
    let resident_bytes_max = match kind {
        Kind::Run => list(&json, "processes")
            .iter()
            .filter_map(|process| {
                Some((text(process, "name")?, count(process, "resident_bytes_max")))
            })
            .collect(),
        Kind::Compare => entries(&json, "resident_bytes_max", Value::as_u64),
    };
    let baseline = text(&json, "baseline");
    let baseline = targets
        .iter()
        .position(|target| Some(&target.name) == baseline.as_ref());
    Ok(Document {
        source: source.to_owned(),
        kind,
        plan,
        started_unix_ms: json.get("started_unix_ms").and_then(Value::as_u64),
        targets,
        baseline: baseline.unwrap_or(0),
        resident_bytes_max,
        json,
    })
}

fn run_target(source: &str, result: &Value, json: &Value) -> Target {
    let target = json.get("target").unwrap_or(&Value::Null);
    let processes = list(json, "processes").iter();
    let cpu_s =
        processes.filter_map(|process| Some((text(process, "name")?, float(process, "cpu_s"))));
    Target {
        name: text(target, "name").unwrap_or_else(|| source.to_owned()),
        address: text(target, "address"),
        rounds: vec![round(result, cpu_s.collect())],
    }
}

fn compared_target(json: &Value) -> Target {
    let rounds = list(json, "rounds").iter().map(|one| {
        let result = one.get("result").unwrap_or(&Value::Null);
        round(result, entries(one, "cpu_s", Value::as_f64))
    });
    Target {
        name: text(json, "name").unwrap_or_else(|| "unnamed".to_owned()),
        address: text(json, "address"),
        rounds: rounds.collect(),
    }
}

fn round(json: &Value, cpu_s: Vec<(String, f64)>) -> Round {
    let latency = json.get("latency_us").unwrap_or(&Value::Null);
    let errors = list(json, "errors").iter().map(|error| Fault {
        code: error
            .get("code")
            .and_then(Value::as_i64)
            .unwrap_or_default(),
        count: count(error, "count"),
        words: text(error, "first_message").unwrap_or_default(),
    });
    let seconds = list(json, "seconds").iter().map(|second| {
        let latency = second.get("latency_us").unwrap_or(&Value::Null);
        Second {
            answered: count(second, "answered"),
            failed: count(second, "failed"),
            unanswered: count(second, "unanswered"),
            record_bytes: count(second, "record_bytes"),
            latency_us: ["p50", "p90", "p99", "max"].map(|name| float(latency, name)),
        }
    });
    let failures = list(json, "faults").iter().map(|fault| {
        let kind = text(fault, "kind").unwrap_or_default();
        let words = text(fault, "first_message").unwrap_or_default();
        (kind, count(fault, "count"), words)
    });
    let beside = json.get("beside").and_then(Value::as_object);
    let beside = beside.map(|parts| {
        let parts = parts.iter();
        parts.map(|(name, part)| (name.clone(), round(part, Vec::new())))
    });
    Round {
        intended: count(json, "intended"),
        answered: count(json, "answered"),
        failed: count(json, "failed"),
        unanswered: count(json, "unanswered"),
        unconfirmed: count(json, "unconfirmed_connections"),
        records: count(json, "records"),
        record_bytes: count(json, "record_bytes"),
        wire_bytes: count(json, "wire_bytes"),
        slowly_read_bytes: count(json, "slowly_read_bytes"),
        elapsed_s: float(json, "elapsed_s"),
        latency_us: QUANTILES.map(|(name, _)| float(latency, name)),
        sent_late_p99_us: float(json, "sent_late_p99_us"),
        latency_ns: text(json, "latency_ns_histogram").and_then(|text| histogram(&text)),
        seconds: seconds.collect(),
        cpu_s,
        errors: errors.collect(),
        failures: failures.collect(),
        beside: beside.into_iter().flatten().collect(),
        apart: apart(json),
        churn: json.get("churn").and_then(churn_words),
    }
}

fn apart(json: &Value) -> Vec<(&'static str, Apart)> {
    let churn = |side: &str| json.get("churn").and_then(|churn| churn.get(side));
    let known = [
        ("end to end", json.get("end_to_end"), "seen"),
        ("during churn", churn("inside"), "requests"),
        ("otherwise", churn("outside"), "requests"),
    ];
    let found = known.into_iter().filter_map(|(name, json, counted)| {
        let json = json.filter(|json| json.is_object())?;
        let latency = json.get("latency_us").unwrap_or(&Value::Null);
        let apart = Apart {
            count: count(json, counted),
            unseen: float(json, "unseen"),
            // Histograms without an entry say 0.
            latency_us: ["p50", "p99", "max"].map(|name| match count(json, counted) {
                0 => f64::NAN,
                _ => float(latency, name),
            }),
            gap_us_max: float(json, "gap_us_max"),
        };
        Some((name, apart))
    });
    found.collect()
}

fn churn_words(json: &Value) -> Option<String> {
    let runs = json.get("runs")?.as_u64()?;
    let ends = entries(json, "ends", Value::as_u64).into_iter();
    let ends: Vec<String> = ends
        .map(|(end, count)| format!("{count} x {end}"))
        .collect();
    Some(format!(
        "{runs} runs: {}; {} skipped, the longest took {:.0} ms",
        ends.join(", "),
        count(json, "skipped"),
        float(json, "longest_ms")
    ))
}

/// `None` for what is no histogram, as for one that is not there.
fn histogram(text: &str) -> Option<Histogram<u64>> {
    let bytes = STANDARD.decode(text).ok()?;
    Deserializer::new().deserialize(&mut bytes.as_slice()).ok()
}

impl Round {
    pub(super) fn answered_per_s(&self) -> f64 {
        self.answered as f64 / self.elapsed_s
    }

    pub(super) fn record_mb_per_s(&self) -> f64 {
        self.record_bytes as f64 / 1e6 / self.elapsed_s
    }

    /// NaN for a process that was not watched, and where no record moved.
    pub(super) fn cpu_s_per_gb(&self, process: &str) -> f64 {
        match self.moved_bytes() {
            0 => f64::NAN,
            bytes => self.cpu_s(process) / (bytes as f64 / 1e9),
        }
    }

    pub(super) fn cpu_us_per_request(&self, process: &str) -> f64 {
        let beside = self.beside.iter().map(|(_, part)| part.answered);
        self.cpu_s(process) * 1e6 / (self.answered + beside.sum::<u64>()) as f64
    }

    /// Record bytes of all connections, also of those beside the load.
    pub(super) fn moved_bytes(&self) -> u64 {
        let beside = self.beside.iter().map(|(_, part)| part.moved_bytes());
        self.record_bytes + self.slowly_read_bytes + beside.sum::<u64>()
    }

    pub(super) fn part(&self, name: &str) -> Option<&Self> {
        let mut parts = self.beside.iter();
        parts.find(|(part, _)| part == name).map(|(_, part)| part)
    }

    pub(super) fn cpu_s(&self, process: &str) -> f64 {
        let found = self.cpu_s.iter().find(|(name, _)| name == process);
        found.map_or(f64::NAN, |(_, seconds)| *seconds)
    }
}

impl Target {
    /// The latencies of all rounds; `None` if one of them has no histogram.
    pub(super) fn latency_ns(&self) -> Option<Histogram<u64>> {
        let mut rounds = self.rounds.iter().map(|round| round.latency_ns.as_ref());
        let mut sum = rounds.next()??.clone();
        sum.auto(true);
        for round in rounds {
            sum.add(round?).ok()?;
        }
        Some(sum)
    }
}

impl Document {
    /// What an older loadgen did not write, and what the page lacks for it.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        let rounds = || self.targets.iter().flat_map(|target| &target.rounds);
        if rounds().any(|round| round.latency_ns.is_none()) {
            missing.push(
                "The latency histogram: percentiles are drawn from the few that are stored, and there is no .hgrm file.",
            );
        }
        if rounds().any(|round| round.seconds.is_empty()) {
            missing.push("The seconds: nothing can be said of the course of the run.");
        }
        if self.json.get("machine").is_none() {
            missing.push("The machine.");
        }
        if self.started_unix_ms.is_none() {
            missing.push("When it was measured.");
        }
        missing
    }
}

pub(super) fn text(json: &Value, name: &str) -> Option<String> {
    Some(json.get(name)?.as_str()?.to_owned())
}

fn count(json: &Value, name: &str) -> u64 {
    json.get(name).and_then(Value::as_u64).unwrap_or_default()
}

fn float(json: &Value, name: &str) -> f64 {
    json.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

fn list<'j>(json: &'j Value, name: &str) -> &'j [Value] {
    json.get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn entries<N>(json: &Value, name: &str, value: fn(&Value) -> Option<N>) -> Vec<(String, N)> {
    let map = json.get(name).and_then(Value::as_object);
    map.into_iter()
        .flatten()
        .filter_map(|(name, json)| Some((name.clone(), value(json)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::json::histogram_text;
    use super::*;

    #[test]
    fn a_result_of_before_there_were_histograms_is_read_and_says_what_it_lacks() {
        let old = r#"{"plan": "ping", "processes": [{"name": "gateway", "cpu_s": 1.5, "resident_bytes_max": 7}],
            "result": {"answered": 10, "elapsed_s": 2.0, "latency_us": {"p50": 100.0, "max": 300.0}}}"#;
        let documents = documents("old", old).unwrap();
        let [document] = &documents[..] else {
            panic!("{documents:?}")
        };
        assert_eq!(
            (document.kind, document.targets[0].name.as_str()),
            (Kind::Run, "old")
        );
        let round = &document.targets[0].rounds[0];
        assert_eq!(round.answered_per_s(), 5.0);
        assert!(round.latency_us[1].is_nan() && round.latency_ns.is_none());
        assert_eq!(
            (round.cpu_s("gateway"), document.resident_bytes_max[0].1),
            (1.5, 7)
        );
        assert_eq!(document.missing().len(), 4);
    }

    #[test]
    fn a_histogram_comes_back_as_it_was_written() {
        let mut written = Histogram::<u64>::new_with_bounds(1, 600_000_000_000, 3).unwrap();
        for value in [1_000, 1_000, 5_000_000, 600_000_000_000] {
            written.record(value).unwrap();
        }
        let text = histogram_text(&written);
        // All of HdrHistogram's logs begin like this.
        assert!(text.starts_with("HISTFAAA"), "{text}");
        assert_eq!(histogram(&text).unwrap(), written);
        for broken in ["", "HISTFAAA", "not base64", &text[..text.len() - 8]] {
            assert!(histogram(broken).is_none(), "{broken}");
        }
    }

    #[test]
    fn rounds_of_a_target_add_up_unless_one_has_no_histogram() {
        let mut one = Histogram::<u64>::new_with_bounds(1, 1_000_000, 3).unwrap();
        one.record(1_000).unwrap();
        let mut two = Histogram::<u64>::new_with_bounds(1, 600_000_000_000, 3).unwrap();
        two.record(1_000_000_000).unwrap();
        let round = |histogram: &Histogram<u64>| json!({"result": {"latency_ns_histogram": histogram_text(histogram)}});
        let target = json!({"name": "a", "rounds": [round(&one), round(&two)]});
        let sum = compared_target(&target).latency_ns().unwrap();
        assert_eq!((sum.len(), sum.count_between(0, 2_000)), (2, 1));
        let target = json!({"name": "a", "rounds": [round(&one), {"result": {}}]});
        assert!(compared_target(&target).latency_ns().is_none());
    }

    #[test]
    fn several_results_may_stand_in_one_file_and_in_an_earlier_report() {
        let run = r#"{"plan": "p", "result": {}}"#;
        assert_eq!(documents("a", &format!("{run}\n{run}")).unwrap().len(), 2);
        let report = format!(r#"{{"results": [{{"source": "b", "result": {run}}}]}}"#);
        assert_eq!(documents("a", &report).unwrap()[0].source, "b");
    }

    #[test]
    fn what_is_no_result_is_told() {
        for (text, fault) in [
            ("", "nothing"),
            ("{", "no JSON"),
            ("{}", "no result"),
            (r#"{"plan": "p"}"#, "no result"),
            (
                r#"{"plan": "p", "targets": [{"name": "a"}]}"#,
                "without a round",
            ),
        ] {
            let error = documents("a", text).unwrap_err();
            assert!(error.contains(fault), "{text}: {error}");
        }
    }
}
