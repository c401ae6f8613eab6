//! A command that is run over and over beside the load, such as a change of policy, and what the load felt of it.
//!
//! The command is waited for on a thread of its own, which sleeps meanwhile. A request counts as *inside* if any part of its
//! time, from when it was due to its answer, lies between the start of the command and a moment after its end.

use std::collections::BTreeMap;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::drive::{Shared, nanoseconds, since};
use crate::limits::{CHURN_END_MAX, CHURN_LOOK, CHURN_TAIL_MAX};
use crate::measure::histogram;
use crate::plan::{Churn, Plan, Progress, Target};

/// How often the command ran, and how it ended.
#[derive(Debug, Clone, Default)]
pub struct Churned {
    pub runs_count: u64,
    /// It was due while the last run of it had not ended.
    pub skipped_count: u64,
    /// How often it ended in which way: `exit 0`, `signal 9`.
    pub ends: BTreeMap<String, u64>,
    /// Runs that did not end with exit code 0.
    pub failed_count: u64,
    pub longest: Duration,
}

/// What the load felt inside and outside of the windows around the runs of the command.
#[derive(Debug, Clone)]
pub struct Pauses {
    pub inside: Felt,
    pub outside: Felt,
}

#[derive(Debug, Clone)]
pub struct Felt {
    pub latency_ns: Histogram<u64>,
    /// The longest time between two answers on one connection.
    pub gap_ns_max: u64,
}

/// Until when requests are inside: 0 before the first run of the command, the end of time while it runs.
#[derive(Debug, Default)]
pub(crate) struct Window(AtomicU64);

impl Window {
    fn open(&self) {
        self.0.store(u64::MAX, Ordering::Release);
    }

    fn close_at(&self, end_ns: u64) {
        self.0.store(end_ns, Ordering::Release);
    }

    /// Whether something that ends now, and began at `from_ns`, is inside. Windows that began are all that can be met.
    pub(crate) fn meets(&self, from_ns: u64) -> bool {
        let end_ns = self.0.load(Ordering::Acquire);
        end_ns != 0 && from_ns <= end_ns
    }
}

impl Pauses {
    pub(crate) fn new() -> Self {
        let felt = || Felt {
            latency_ns: histogram(),
            gap_ns_max: 0,
        };
        Self {
            inside: felt(),
            outside: felt(),
        }
    }

    pub(crate) fn side(&mut self, is_inside: bool) -> &mut Felt {
        match is_inside {
            true => &mut self.inside,
            false => &mut self.outside,
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (own, other) in [
            (&mut self.inside, &other.inside),
            (&mut self.outside, &other.outside),
        ] {
            // Same bounds on both sides, so it cannot fail.
            let _ = own.latency_ns.add(&other.latency_ns);
            own.gap_ns_max = own.gap_ns_max.max(other.gap_ns_max);
        }
    }
}

/// Runs `load`, and the plan's command beside it until the load ends.
pub(crate) fn beside<T>(
    target: &Target,
    plan: &Plan,
    shared: &Shared,
    load: impl FnOnce() -> T,
) -> (T, Option<Churned>) {
    let (Some(churn), Some(window)) = (&plan.churn, &shared.window) else {
        return (load(), None);
    };
    thread::scope(|scope| {
        let (stop, stopped) = channel();
        let thread = scope.spawn(move || {
            let churning = Churning {
                target: &target.name,
                churn,
                window,
                start: shared.start,
                progress: plan.progress,
                stopped,
            };
            churning.run()
        });
        let result = load();
        drop::<std::sync::mpsc::Sender<()>>(stop);
        (result, thread.join().ok())
    })
}

struct Churning<'a> {
    target: &'a str,
    churn: &'a Churn,
    window: &'a Window,
    start: Instant,
    progress: Progress,
    /// Disconnected when the load has ended.
    stopped: Receiver<()>,
}

impl Churning<'_> {
    fn run(self) -> Churned {
        let mut churned = Churned::default();
        let tail_ns = nanoseconds((self.churn.interval / 4).min(CHURN_TAIL_MAX));
        let mut due = self.start + self.churn.interval;
        while !self.stops_before(due) {
            self.window.open();
            let began = Instant::now();
            let end = self.once();
            self.window
                .close_at(since(self.start).saturating_add(tail_ns));
            churned.runs_count += 1;
            churned.longest = churned.longest.max(began.elapsed());
            churned.failed_count += u64::from(end != "exit 0");
            *churned.ends.entry(end).or_insert(0) += 1;
            due += self.churn.interval;
            while due < Instant::now() {
                due += self.churn.interval;
                churned.skipped_count += 1;
            }
        }
        churned
    }

    fn stops_before(&self, moment: Instant) -> bool {
        let left = moment.saturating_duration_since(Instant::now());
        self.stopped.recv_timeout(left) == Err(RecvTimeoutError::Disconnected)
    }

    /// One run of the command; how it ended.
    fn once(&self) -> String {
        let mut command = Command::new("sh");
        command
            .args(["-c", &self.churn.command])
            .env("LOADGEN_TARGET", self.target)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // Its own group, so that whatever it starts ends with it.
            .process_group(0);
        if self.progress == Progress::Silent {
            command.stderr(Stdio::null());
        }
        match command.spawn() {
            Ok(child) => self.wait(child),
            Err(error) => format!("not started ({:?})", error.kind()),
        }
    }

    /// Once the load has ended the command has only so long to end, too.
    fn wait(&self, mut child: Child) -> String {
        let mut patience = None;
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return end_text(status),
                Ok(None) => {}
                Err(error) => return format!("lost ({:?})", error.kind()),
            }
            match self.stopped.recv_timeout(CHURN_LOOK) {
                Err(RecvTimeoutError::Disconnected) => {
                    thread::sleep(CHURN_LOOK);
                    let until = *patience.get_or_insert_with(|| Instant::now() + CHURN_END_MAX);
                    if Instant::now() >= until {
                        if let Ok(Some(group)) = i32::try_from(child.id()).map(Pid::from_raw) {
                            // It may have ended meanwhile.
                            let _ = kill_process_group(group, Signal::KILL);
                        }
                        let _ = child.wait();
                        return "ended by loadgen, since the load had ended".to_owned();
                    }
                }
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

fn end_text(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_inside_if_any_part_of_its_time_is() {
        let window = Window::default();
        assert!(!window.meets(0));
        window.open();
        assert!(window.meets(5));
        window.close_at(100);
        // Whatever ends now ends after the window began.
        assert!(window.meets(0) && window.meets(100));
        assert!(!window.meets(101));
    }
}
