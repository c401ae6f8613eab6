//! Results for people and for programs.
//!
//! ```text
//! run, compare ──► text (standard output), json (with histograms, seconds and the machine)
//!            report: json files ──► read ──► html (by plot and scale), csv, hgrm, one json
//! ```

pub(crate) mod arguments;
mod beside;
mod comparison;
mod course;
mod csv;
mod escape;
mod figures;
mod hgrm;
mod html;
mod json;
mod machine;
mod plot;
mod read;
mod resources;
mod rounds;
mod rows;
mod scale;
mod section;
mod svg;
mod text;
mod write;

use std::time::SystemTime;

pub use arguments::{Output, Report as ReportArguments};
pub use write::write_report;

use crate::measure::Measured;
use crate::{Error, arguments as command, create_topic, run};

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

/// What a watched process took.
struct Process {
    name: String,
    cpu_seconds: f64,
    resident_bytes_max: u64,
}

/// `loadgen run`.
///
/// # Errors
/// The arguments make no sense, or the run has no result.
pub fn run_and_report(arguments: &command::Run) -> Result<Report, Error> {
    let (target, plan, watched) = arguments.check()?;
    arguments.output.check()?;
    let started = SystemTime::now();
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
        processes.push(Process {
            name: watched.name.clone(),
            cpu_seconds,
            resident_bytes_max: watched.resident_bytes_max()?,
        });
    }
    let text = arguments.output.put(
        || json::run_json(started, &target, &plan, &measured, &processes),
        || text::run_text(&plan, &measured, &processes),
    )?;
    Ok((text, is_sound(&measured)))
}

/// `loadgen compare`.
///
/// # Errors
/// The arguments make no sense, or a run has no result.
pub fn compare_and_report(arguments: &command::Compare) -> Result<Report, Error> {
    let comparison = arguments.check()?;
    arguments.output.check()?;
    let started = SystemTime::now();
    let compared = comparison.run()?;
    let text = arguments.output.put(
        || json::compare_json(started, &comparison, &compared),
        || comparison::compare_markdown(&comparison.plan, &compared),
    )?;
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
pub fn create_and_report(arguments: &command::CreateTopic) -> Result<Report, Error> {
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
    measured.is_sound()
}
