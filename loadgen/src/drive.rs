//! The loop of one thread: sends what is due on its connections, takes what has arrived, waits for the next of both.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::set_current_timer_slack;

use crate::churn::Window;
use crate::driven::Driven;
use crate::limits::WAIT_MAX;
use crate::measure::{Measured, Progressed};
use crate::schedule::Next;
use crate::throttle::Reads;
use crate::{Error, Plan};

/// Between the last preparation and the first intended time.
const LEAD: Duration = Duration::from_millis(20);

/// What the threads of one run share.
pub(crate) struct Shared {
    pub(crate) start: Instant,
    /// By part, as results are.
    pub(crate) progressed: Vec<Progressed>,
    /// One thread failed, the others need not go on.
    pub(crate) abandoned: AtomicBool,
    /// Of a command beside the load.
    pub(crate) window: Option<Window>,
}

impl Shared {
    pub(crate) fn new(plan: &Plan) -> Self {
        let parts = plan.mode.part_names().iter();
        Self {
            start: Instant::now() + LEAD,
            progressed: parts.map(|_| Progressed::default()).collect(),
            abandoned: AtomicBool::new(false),
            window: plan.churn.as_ref().map(|_| Window::default()),
        }
    }

    /// Tells the time of a request to the windows of the command beside the load.
    pub(crate) fn felt(&self, measured: &mut Measured, intended_ns: u64, now_ns: u64) {
        if let Some(window) = &self.window {
            let felt = measured.pauses_mut().side(window.meets(intended_ns));
            felt.latency_ns
                .saturating_record(now_ns.saturating_sub(intended_ns));
        }
    }

    /// The same for the time between two answers on one connection.
    pub(crate) fn felt_gap(&self, measured: &mut Measured, before_ns: u64, now_ns: u64) {
        if let Some(window) = &self.window {
            let felt = measured.pauses_mut().side(window.meets(before_ns));
            felt.gap_ns_max = felt.gap_ns_max.max(now_ns.saturating_sub(before_ns));
        }
    }
}

/// Runs the connections until their schedules end and everything is answered, or `grace` is over.
///
/// # Errors
/// A connection broke, or a target answered what cannot be read.
pub(crate) fn drive(
    mut connections: Vec<Driven>,
    plan: &Plan,
    shared: &Shared,
) -> Result<Vec<Measured>, Error> {
    // The default slack of 50 us would show in every latency below a millisecond.
    set_current_timer_slack(NonZeroU64::new(1))
        .map_err(|errno| system("to set the timer slack", errno))?;
    std::thread::sleep(shared.start.saturating_duration_since(Instant::now()));
    let mut parts: Vec<Measured> = shared.progressed.iter().map(|_| Measured::new()).collect();
    let give_up_ns = nanoseconds(plan.duration.saturating_add(plan.grace));
    loop {
        let mut now_ns = since(shared.start);
        let mut finished = true;
        for connection in &mut connections {
            let measured = &mut parts[connection.part];
            let sent = connection
                .send_due(now_ns, measured, shared)
                .and_then(|()| connection.flush(measured, shared));
            connection.bear(sent, measured)?;
            now_ns = since(shared.start);
            finished &= connection.is_finished(now_ns);
        }
        if finished || now_ns >= give_up_ns || shared.abandoned.load(Ordering::Relaxed) {
            break;
        }
        let readable = wait(&mut connections, now_ns, shared.start)?;
        for (connection, _) in connections
            .iter_mut()
            .zip(readable)
            .filter(|(_, readable)| *readable)
        {
            let measured = &mut parts[connection.part];
            let received = connection.receive(measured, shared);
            connection.bear(received, measured)?;
        }
    }
    let now_ns = since(shared.start);
    for connection in &mut connections {
        connection.give_up(now_ns, &mut parts[connection.part], shared);
    }
    for measured in &mut parts {
        measured.elapsed = measured.elapsed.max(plan.duration);
    }
    Ok(parts)
}

/// Waits until something can be read or written or the next request is due; says which connections have news.
fn wait(connections: &mut [Driven], now_ns: u64, start: Instant) -> Result<Vec<bool>, Error> {
    let mut wake_ns = now_ns.saturating_add(nanoseconds(WAIT_MAX));
    let reads: Vec<Reads> = connections
        .iter_mut()
        .map(|connection| connection.reads(now_ns))
        .collect();
    let mut readable = vec![false; connections.len()];
    let mut fds = Vec::with_capacity(connections.len());
    let mut polled = Vec::with_capacity(connections.len());
    for (index, (connection, reads)) in connections.iter().zip(reads).enumerate() {
        let mut flags = PollFlags::empty();
        match reads {
            Reads::Now => {
                flags |= PollFlags::IN;
                if connection.stream().holds_received() {
                    readable[index] = true;
                    wake_ns = now_ns;
                }
            }
            Reads::NotBefore(ns) => wake_ns = wake_ns.min(ns),
            Reads::Never => {}
        }
        if connection.has_output() {
            flags |= PollFlags::OUT;
        }
        // One that neither reads nor writes would wake the loop over and over once its other end has closed.
        if !flags.is_empty() {
            fds.push(PollFd::new(connection.stream(), flags));
            polled.push(index);
        }
        match connection.next(now_ns) {
            Next::Due { .. } if connection.may_send() => wake_ns = now_ns,
            Next::Later { intended_ns } if connection.may_send() => {
                wake_ns = wake_ns.min(intended_ns)
            }
            Next::Due { .. } | Next::Later { .. } | Next::Finished => {}
        }
    }
    let left = Duration::from_nanos(wake_ns.saturating_sub(since(start)));
    let timeout = Timespec {
        tv_sec: left.as_secs() as i64,
        tv_nsec: i64::from(left.subsec_nanos()),
    };
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(errno) => return Err(system("to wait for sockets", errno)),
    }
    let news = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
    for (index, fd) in polled.into_iter().zip(&fds) {
        readable[index] |= fd.revents().intersects(news);
    }
    Ok(readable)
}

fn system(doing: &'static str, errno: rustix::io::Errno) -> Error {
    Error::SystemFailed {
        doing,
        source: errno.into(),
    }
}

/// Nanoseconds since the start of the run; 0 before it.
pub(crate) fn since(start: Instant) -> u64 {
    nanoseconds(Instant::now().saturating_duration_since(start))
}

pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
