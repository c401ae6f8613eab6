//! One run against one target: set up, drive, add up.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::churn;
use crate::drive::{Shared, drive};
use crate::driven::Driven;
use crate::limits::WAIT_MAX;
use crate::measure::{Measured, Part, Progressed};
use crate::plan::Progress;
use crate::prepare::{Prepared, prepare};
use crate::session::Door;
use crate::storm::storm;
use crate::{Error, Mode, Plan, Target};

/// What reports call the normal ones before the slow ones came.
pub(crate) const ALONE: &str = "normal, alone";

/// Puts the load of `plan` on `target`. What connections of other kinds did stands beside the result. The connections are
/// spread over the partitions in turn, each to the partition's leader by the address that the target advertises.
///
/// # Errors
/// Setting up failed, or a connection broke. Errors that Kafka answers are no error here: they are counted.
pub fn run(target: &Target, plan: &Plan) -> Result<Measured, Error> {
    if plan.mode == Mode::Storm {
        return storm(target, plan);
    }
    if let Mode::SlowConsumer { .. } = plan.mode {
        let alone = Plan {
            mode: Mode::Consume,
            churn: None,
            stage: format!("{}alone, ", plan.stage),
            ..plan.clone()
        };
        let alone = run_once(target, &alone)?;
        let mut measured = run_once(target, plan)?;
        measured.beside.push(Part {
            name: ALONE,
            measured: alone,
        });
        return Ok(measured);
    }
    run_once(target, plan)
}

fn run_once(target: &Target, plan: &Plan) -> Result<Measured, Error> {
    let Prepared { connections, board } = prepare(target, plan)?;
    let names = plan.mode.part_names();
    let shared = Shared::new(plan);
    let load = || run_threads(target, plan, connections, &shared);
    let (parts, churned) = churn::beside(target, plan, &shared, load);
    let mut parts = parts?;
    if let (Some(board), Some(readers)) = (board.and_then(Arc::into_inner), parts.get_mut(1)) {
        readers.end_to_end = Some(Box::new(board.found()));
    }
    let mut parts = names.iter().zip(parts);
    let (_, mut measured) = parts.next().ok_or(Error::GeneratorBroken)?;
    measured.churned = churned;
    measured.beside = parts
        .map(|(name, measured)| Part { name, measured })
        .collect();
    Ok(measured)
}

/// Runs the connections; the results by part.
fn run_threads(
    target: &Target,
    plan: &Plan,
    connections: Vec<Driven>,
    shared: &Shared,
) -> Result<Vec<Measured>, Error> {
    let mut shares: Vec<Vec<Driven>> = (0..plan.threads_count.max(1)).map(|_| Vec::new()).collect();
    for (index, connection) in connections.into_iter().enumerate() {
        let thread = index % shares.len();
        shares[thread].push(connection);
    }
    thread::scope(|scope| {
        let (results, finished) = channel();
        for share in shares {
            let results = results.clone();
            scope.spawn(move || {
                let result = drive(share, plan, shared);
                if result.is_err() {
                    shared.abandoned.store(true, Ordering::Relaxed);
                }
                // The receiver leaves only after every thread.
                let _ = results.send(result);
            });
        }
        drop(results);
        let mut total: Vec<Measured> = shared.progressed.iter().map(|_| Measured::new()).collect();
        let (mut failure, mut second) = (None, 1);
        loop {
            let deadline = shared.start + Duration::from_secs(second);
            match finished.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Ok(parts)) => {
                    for (total, measured) in total.iter_mut().zip(parts) {
                        total.add(measured);
                    }
                }
                Ok(Err(error)) => failure = failure.or(Some(error)),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    if plan.progress == Progress::EverySecond {
                        show(target, plan, second, &shared.progressed);
                    }
                    second += 1;
                }
            }
        }
        match failure {
            Some(error) => Err(error),
            None => Ok(total),
        }
    })
}

/// Creates a topic through a target; one that exists stays as it is.
///
/// # Errors
/// Connecting or logging in failed, or the target answered with an error.
pub fn create_topic(
    target: &Target,
    topic: &str,
    partitions: i32,
    replicas: i16,
) -> Result<(), Error> {
    let mut session = Door::new(target)?.open(&target.address)?;
    session.create_topic(topic, partitions, replicas)?;
    session.leaders(topic).map(drop)
}

/// Shows progress, if the plan says so, until `has_ended`.
pub(crate) fn show_every_second(
    target: &Target,
    plan: &Plan,
    shared: &Shared,
    has_ended: impl Fn() -> bool,
) {
    let mut second = 1;
    while !has_ended() {
        let left =
            (shared.start + Duration::from_secs(second)).saturating_duration_since(Instant::now());
        thread::sleep(left.min(WAIT_MAX / 5));
        if left.is_zero() {
            if plan.progress == Progress::EverySecond {
                show(target, plan, second, &shared.progressed);
            }
            second += 1;
        }
    }
}

fn show(target: &Target, plan: &Plan, second: u64, progressed: &[Progressed]) {
    let mut text = format!("{}: {}{second} s", target.name, plan.stage);
    for (name, progressed) in plan.mode.part_names().iter().zip(progressed) {
        let answered = progressed.answered.load(Ordering::Relaxed);
        let failed = progressed.failed.load(Ordering::Relaxed);
        let sent = progressed.sent.load(Ordering::Relaxed);
        let outstanding = sent.saturating_sub(answered + failed);
        let megabytes = progressed.record_bytes.load(Ordering::Relaxed) as f64 / 1e6;
        let lead = match plan.mode.has_parts() {
            true => format!("; {name}: "),
            false => ", ".to_owned(),
        };
        let _ = write!(
            text,
            "{lead}{answered} answered, {failed} failed, {outstanding} outstanding, {megabytes:.1} MB of records"
        );
    }
    // Whoever reads progress may leave before the run ends.
    let _ = writeln!(io::stderr(), "{text}");
}
