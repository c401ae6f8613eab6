//! A storm of connects: whole handshakes at a rate, each from a new socket to its end.
//!
//! A handshake is what a client does before its first useful request: TCP, TLS and SASL if the target wants them, ApiVersions,
//! Metadata. Each runs on a thread that waits for it, since what is measured takes far longer than waking a thread.

use std::num::NonZeroU64;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::set_current_timer_slack;

use crate::churn;
use crate::drive::{Shared, nanoseconds, since};
use crate::limits::STORM_STACK_BYTES;
use crate::measure::Measured;
use crate::run::show_every_second;
use crate::schedule::{Next, Schedule};
use crate::session::Door;
use crate::workload::Answer;
use crate::{Error, Plan, Target};

/// Runs the storm. One handshake goes ahead alone: what it meets is an error of the run, what the others meet is counted.
pub(crate) fn storm(target: &Target, plan: &Plan) -> Result<Measured, Error> {
    let door = Door::new(target)?;
    door.open(&target.address)?.leaders(&plan.topic)?;
    let shared = Shared::new(plan);
    let storm = Storm {
        door,
        plan,
        shared: &shared,
        deadline: shared.start + plan.duration + plan.grace,
        schedule: Mutex::new(Schedule::new(plan.pace, 0, 1, nanoseconds(plan.duration))),
        measured: Mutex::new(Measured::new()),
    };
    let running = AtomicUsize::new(0);
    let ran = || {
        thread::scope(|scope| {
            for _ in 0..plan.connections_count {
                running.fetch_add(1, Ordering::AcqRel);
                let worker = || {
                    storm.work();
                    running.fetch_sub(1, Ordering::AcqRel);
                };
                let builder = thread::Builder::new().stack_size(STORM_STACK_BYTES);
                if let Err(source) = builder.spawn_scoped(scope, worker) {
                    running.fetch_sub(1, Ordering::AcqRel);
                    shared.abandoned.store(true, Ordering::Relaxed);
                    return Err(Error::SystemFailed {
                        doing: "to start a thread for each handshake under way; lower --connections",
                        source,
                    });
                }
            }
            show_every_second(target, plan, &shared, || {
                running.load(Ordering::Acquire) == 0
            });
            Ok(())
        })
    };
    let (spawned, churned) = churn::beside(target, plan, &shared, ran);
    spawned?;
    let mut measured = storm.into_measured();
    measured.churned = churned;
    Ok(measured)
}

struct Storm<'a> {
    door: Door<'a>,
    plan: &'a Plan,
    shared: &'a Shared,
    deadline: Instant,
    schedule: Mutex<Schedule>,
    measured: Mutex<Measured>,
}

impl Storm<'_> {
    /// Takes the next handshake that is due, until there is none.
    fn work(&self) {
        // Without it a handshake starts up to 50 us late; that is no reason to stop.
        let _ = set_current_timer_slack(NonZeroU64::new(1));
        while let Some(intended_ns) = self.take() {
            let due = self.shared.start + Duration::from_nanos(intended_ns);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let progressed = &self.shared.progressed[0];
            progressed.sent.fetch_add(1, Ordering::Relaxed);
            let begun_ns = since(self.shared.start);
            let result = self.handshake();
            let now_ns = since(self.shared.start);
            let latency_ns = now_ns.saturating_sub(intended_ns);
            let mut measured = lock(&self.measured);
            let late_ns = begun_ns.saturating_sub(intended_ns);
            measured.send_delay_ns.saturating_record(late_ns);
            measured.elapsed = measured.elapsed.max(Duration::from_nanos(now_ns));
            self.shared.felt(&mut measured, intended_ns, now_ns);
            match result {
                Ok(()) => measured.answer(Answer::delivered(0, 0), now_ns, latency_ns, progressed),
                Err(_) if Instant::now() >= self.deadline => measured.give_up(now_ns, latency_ns),
                Err(error) => measured.fault(&error, now_ns, latency_ns, progressed),
            }
        }
    }

    fn take(&self) -> Option<u64> {
        if Instant::now() >= self.deadline || self.shared.abandoned.load(Ordering::Relaxed) {
            return None;
        }
        let mut schedule = lock(&self.schedule);
        match schedule.next(since(self.shared.start)) {
            Next::Due { intended_ns } | Next::Later { intended_ns } => {
                schedule.take();
                Some(intended_ns)
            }
            Next::Finished => None,
        }
    }

    fn handshake(&self) -> Result<(), Error> {
        let mut session = self
            .door
            .open_until(&self.door.target.address, self.deadline)?;
        session.ask_for_topic(&self.plan.topic)?;
        session.stream.close();
        Ok(())
    }

    /// Those that were due and found no thread before the storm was given up count, too.
    fn into_measured(self) -> Measured {
        let now_ns = since(self.shared.start);
        let mut measured = lock(&self.measured).clone();
        let mut schedule = lock(&self.schedule);
        while let Next::Due { intended_ns } = schedule.next(now_ns) {
            schedule.take();
            measured.give_up(now_ns, now_ns.saturating_sub(intended_ns));
            self.shared.felt(&mut measured, intended_ns, now_ns);
        }
        measured.elapsed = measured.elapsed.max(self.plan.duration);
        measured
    }
}

/// A thread that panicked leaves numbers that are whole: each is one step.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}
