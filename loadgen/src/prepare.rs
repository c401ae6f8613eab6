//! The connections of a run, logged in and with their requests at hand.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::driven::Driven;
use crate::end_to_end::Board;
use crate::plan::{Acks, ReadFrom};
use crate::schedule::Schedule;
use crate::session::{Door, Leader};
use crate::throttle::Throttle;
use crate::tracing::{Side, Tracing};
use crate::workload::{Job, Workload};
use crate::{Error, Mode, Pace, Plan, Target};

pub(crate) struct Prepared {
    pub(crate) connections: Vec<Driven>,
    /// Where writes are followed to readers.
    pub(crate) board: Option<Arc<Board>>,
}

/// One connection to be made.
struct Wanted {
    part: usize,
    job: Job,
    schedule: Schedule,
    /// The how manyeth of its part, which chooses its partition.
    index: usize,
    side: Option<Side>,
    throttle: Option<Throttle>,
}

/// Connects everything, spread over the partitions in turn, each to its partition's leader. One after the other, each up to
/// the end of its login: how a target bears many at once is what a storm asks.
pub(crate) fn prepare(target: &Target, plan: &Plan) -> Result<Prepared, Error> {
    let door = Door::new(target)?;
    let readers_door = target.readers_as.as_deref().map(Door::new).transpose()?;
    let leaders = door.open(&target.address)?.leaders(&plan.topic)?;
    let leaders = chosen(target, plan, leaders)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let timestamp_ms = now.map_or(0, |now| now.as_millis() as i64);
    let board = board(plan, &leaders);
    let mut connections = Vec::new();
    for wanted in wanted(plan, leaders.len(), board.is_some()) {
        let leader = &leaders[wanted.index % leaders.len()];
        let door = match wanted.part {
            0 => &door,
            _ => readers_door.as_ref().unwrap_or(&door),
        };
        let opened = door.open(&leader.address);
        let mut session = opened.map_err(|error| error.after(connections.len()))?;
        let workload = Workload::prepare(
            wanted.job,
            plan,
            &mut session,
            leader.partition,
            timestamp_ms,
            wanted.index,
        )?;
        let tracing = board
            .as_ref()
            .zip(wanted.side)
            .map(|(board, side)| Tracing {
                board: Arc::clone(board),
                partition: leader.partition,
                side,
            });
        let mut driven = Driven::new(session, workload, wanted.schedule, plan, wanted.part)?;
        driven.tracing = tracing;
        if let Some(throttle) = wanted.throttle {
            driven.slow_down(throttle)?;
        }
        connections.push(driven);
    }
    Ok(Prepared { connections, board })
}

/// The leaders of the partitions that the plan chooses.
fn chosen(target: &Target, plan: &Plan, mut leaders: Vec<Leader>) -> Result<Vec<Leader>, Error> {
    let Some(partitions) = &plan.partitions else {
        return Ok(leaders);
    };
    let known: HashSet<i32> = leaders.iter().map(|leader| leader.partition).collect();
    if let Some(partition) = partitions.missing(|partition| known.contains(&partition)) {
        return Err(Error::OperatorPartitionMissing {
            target: target.name.clone(),
            topic: plan.topic.clone(),
            partition,
            partitions_count: leaders.len(),
        });
    }
    leaders.retain(|leader| partitions.contain(leader.partition));
    Ok(leaders)
}

/// Without acks nobody learns at which offset a batch came to stand.
fn board(plan: &Plan, leaders: &[Leader]) -> Option<Arc<Board>> {
    match plan.mode {
        Mode::Mixed {
            readers_count,
            from: ReadFrom::End,
        } => {
            let read = leaders
                .iter()
                .take(readers_count)
                .filter(|_| plan.acks != Acks::None);
            let partitions = read.map(|leader| leader.partition);
            Some(Arc::new(Board::new(partitions, plan.connections_count)))
        }
        _ => None,
    }
}

fn wanted(plan: &Plan, partitions_count: usize, traced: bool) -> Vec<Wanted> {
    let duration_ns = u64::try_from(plan.duration.as_nanos()).unwrap_or(u64::MAX);
    let job = match plan.mode {
        Mode::Produce | Mode::Mixed { .. } => Job::Produce,
        Mode::Consume | Mode::SlowConsumer { .. } => Job::Consume,
        // A storm makes its own connections.
        Mode::Ping | Mode::Storm => Job::Ping,
    };
    let with_load = (0..plan.connections_count).map(|index| Wanted {
        part: 0,
        job,
        schedule: Schedule::new(plan.pace, index, plan.connections_count, duration_ns),
        index,
        side: traced.then_some(Side::Writer),
        throttle: None,
    });
    let beside = (0..plan.mode.beside_count()).map(|index| Wanted {
        part: 1,
        job: match plan.mode {
            Mode::Mixed {
                from: ReadFrom::End,
                ..
            } => Job::Follow,
            _ => Job::Consume,
        },
        schedule: Schedule::new(Pace::Saturate, 0, 1, duration_ns),
        index,
        // Of several readers of one partition the first one times the batches.
        side: traced.then_some(match index < partitions_count {
            true => Side::Reader { not_before_ns: 0 },
            false => Side::Follower { not_before_ns: 0 },
        }),
        throttle: match plan.mode {
            Mode::SlowConsumer {
                bytes_per_second, ..
            } => Some(Throttle::new(bytes_per_second)),
            _ => None,
        },
    });
    with_load.chain(beside).collect()
}
