//! One run against one target: set up, drive, add up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::drive::{Shared, drive};
use crate::driven::Driven;
use crate::measure::{Measured, Progressed};
use crate::plan::Progress;
use crate::schedule::Schedule;
use crate::session::Door;
use crate::workload::Workload;
use crate::{Error, Plan, Target};

/// Between the last preparation and the first intended time.
const LEAD: Duration = Duration::from_millis(20);

/// Puts the load of `plan` on `target`. The connections are spread over the partitions of the topic in turn, each to the
/// partition's leader by the address that the target advertises.
///
/// # Errors
/// Setting up failed, or a connection broke. Errors that Kafka answers are no error here: they are counted.
pub fn run(target: &Target, plan: &Plan) -> Result<Measured, Error> {
    let connections = prepare(target, plan)?;
    let shared = Shared {
        start: Instant::now() + LEAD,
        progressed: Progressed::default(),
        abandoned: AtomicBool::new(false),
    };
    let mut shares: Vec<Vec<Driven>> = (0..plan.threads_count.max(1)).map(|_| Vec::new()).collect();
    for (index, connection) in connections.into_iter().enumerate() {
        let thread = index % shares.len();
        shares[thread].push(connection);
    }
    thread::scope(|scope| {
        let (results, finished) = channel();
        for share in shares {
            let (results, shared) = (results.clone(), &shared);
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
        let (mut total, mut failure, mut second) = (Measured::new(), None, 1);
        loop {
            let deadline = shared.start + Duration::from_secs(second);
            match finished.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Ok(measured)) => total.add(measured),
                Ok(Err(error)) => failure = failure.or(Some(error)),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    if plan.progress == Progress::EverySecond {
                        show(target, second, &shared.progressed);
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

fn prepare(target: &Target, plan: &Plan) -> Result<Vec<Driven>, Error> {
    let door = Door::new(target)?;
    let leaders = door.open(&target.address)?.leaders(&plan.topic)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let timestamp_ms = now.map_or(0, |now| now.as_millis() as i64);
    let duration_ns = u64::try_from(plan.duration.as_nanos()).unwrap_or(u64::MAX);
    let mut connections = Vec::with_capacity(plan.connections_count);
    for index in 0..plan.connections_count {
        let leader = &leaders[index % leaders.len()];
        let mut session = door.open(&leader.address)?;
        let partition = leader.partition;
        let workload = Workload::prepare(
            plan,
            &mut session,
            partition,
            timestamp_ms,
            index as u64 + 1,
        )?;
        let schedule = Schedule::new(plan.pace, index, plan.connections_count, duration_ns);
        connections.push(Driven::new(session, workload, schedule, plan)?);
    }
    Ok(connections)
}

fn show(target: &Target, second: u64, progressed: &Progressed) {
    let answered = progressed.answered.load(Ordering::Relaxed);
    let failed = progressed.failed.load(Ordering::Relaxed);
    let outstanding = progressed
        .sent
        .load(Ordering::Relaxed)
        .saturating_sub(answered + failed);
    let megabytes = progressed.record_bytes.load(Ordering::Relaxed) as f64 / 1e6;
    eprintln!(
        "{name}: {second} s, {answered} answered, {failed} failed, {outstanding} outstanding, {megabytes:.1} MB of records",
        name = target.name
    );
}
