//! The loop of one thread: sends what is due on its connections, takes what has arrived, waits for the next of both.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::set_current_timer_slack;
use sluice_kafka::frame::frame_length;
use sluice_kafka::header::response_correlation_id;

use crate::limits::{FRAME_BYTES_MAX, IN_BYTES, OUT_BYTES_MAX, READS_PER_TURN_MAX, WAIT_MAX};
use crate::measure::{Measured, Progressed};
use crate::schedule::{Next, Schedule};
use crate::session::Session;
use crate::stream::Stream;
use crate::workload::Workload;
use crate::{Error, Plan};

/// What a broken connection interrupted.
const DURING: &str = "the run";

/// A connection under load.
pub(crate) struct Driven {
    target: String,
    address: String,
    stream: Stream,
    workload: Workload,
    schedule: Schedule,
    in_flight_max: usize,
    in_flight: VecDeque<Sent>,
    next_correlation_id: i32,
    out: Vec<u8>,
    out_written: usize,
    /// Received bytes are `input[input_from..input_to]`; the rest is room.
    input: Vec<u8>,
    input_from: usize,
    input_to: usize,
}

struct Sent {
    correlation_id: i32,
    intended_ns: u64,
}

/// What the threads of one run share.
pub(crate) struct Shared {
    pub(crate) start: Instant,
    pub(crate) progressed: Progressed,
    /// One thread failed, the others need not go on.
    pub(crate) abandoned: AtomicBool,
}

impl Driven {
    pub(crate) fn new(
        session: Session<'_>,
        workload: Workload,
        schedule: Schedule,
        plan: &Plan,
    ) -> Result<Self, Error> {
        session
            .stream
            .set_nonblocking()
            .map_err(|source| Error::SystemFailed {
                doing: "to make a socket non-blocking",
                source,
            })?;
        Ok(Self {
            target: session.target_name(),
            address: session.address,
            stream: session.stream,
            in_flight_max: workload.in_flight_max(plan.in_flight_max),
            workload,
            schedule,
            in_flight: VecDeque::new(),
            next_correlation_id: 0,
            out: Vec::new(),
            out_written: 0,
            input: vec![0; IN_BYTES],
            input_from: 0,
            input_to: 0,
        })
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
) -> Result<Measured, Error> {
    // The default slack of 50 us would show in every latency below a millisecond.
    set_current_timer_slack(NonZeroU64::new(1))
        .map_err(|errno| system("to set the timer slack", errno))?;
    std::thread::sleep(shared.start.saturating_duration_since(Instant::now()));
    let mut measured = Measured::new();
    let give_up_ns = nanoseconds(plan.duration.saturating_add(plan.grace));
    loop {
        let mut now_ns = since(shared.start);
        let mut finished = true;
        for connection in &mut connections {
            connection.send_due(now_ns, &mut measured, shared)?;
            connection.flush()?;
            now_ns = since(shared.start);
            finished &= connection.is_finished(now_ns);
        }
        if finished || now_ns >= give_up_ns || shared.abandoned.load(Ordering::Relaxed) {
            break;
        }
        let readable = wait(&connections, now_ns, shared.start)?;
        for (connection, _) in connections
            .iter_mut()
            .zip(readable)
            .filter(|(_, readable)| *readable)
        {
            connection.receive(&mut measured, shared)?;
        }
    }
    let now_ns = since(shared.start);
    for connection in &mut connections {
        connection.give_up(now_ns, &mut measured);
    }
    measured.elapsed = measured.elapsed.max(plan.duration);
    Ok(measured)
}

impl Driven {
    fn send_due(
        &mut self,
        now_ns: u64,
        measured: &mut Measured,
        shared: &Shared,
    ) -> Result<(), Error> {
        while self.may_send()
            && let Next::Due { intended_ns } = self.schedule.next(now_ns)
        {
            self.schedule.take();
            let correlation_id = self.next_correlation_id;
            self.next_correlation_id = correlation_id.wrapping_add(1) & i32::MAX;
            let before = self.out.len();
            self.workload.encode(correlation_id, &mut self.out)?;
            measured.wire_bytes += (self.out.len() - before) as u64;
            measured
                .send_delay_ns
                .saturating_record(since(shared.start).saturating_sub(intended_ns));
            self.in_flight.push_back(Sent {
                correlation_id,
                intended_ns,
            });
            shared.progressed.sent.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn may_send(&self) -> bool {
        self.in_flight.len() < self.in_flight_max
            && self.out.len() - self.out_written < OUT_BYTES_MAX
    }

    fn is_finished(&self, now_ns: u64) -> bool {
        self.in_flight.is_empty() && self.schedule.next(now_ns) == Next::Finished
    }

    fn has_output(&self) -> bool {
        self.out_written < self.out.len() || self.stream.wants_write()
    }

    fn flush(&mut self) -> Result<(), Error> {
        while self.out_written < self.out.len() {
            match self.stream.write(&self.out[self.out_written..]) {
                Ok(0) => return Err(self.closed()),
                Ok(written) => self.out_written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // What was sent leaves the buffer once it is the larger part.
                    if self.out_written > self.out.len() / 2 {
                        self.out.drain(..self.out_written);
                        self.out_written = 0;
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        self.out.clear();
        self.out_written = 0;
        match self.stream.flush() {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn receive(&mut self, measured: &mut Measured, shared: &Shared) -> Result<(), Error> {
        for _ in 0..READS_PER_TURN_MAX {
            self.make_room()?;
            match self.stream.read(&mut self.input[self.input_to..]) {
                Ok(0) => return Err(self.closed()),
                Ok(read) => {
                    let had_room = self.input.len() - self.input_to;
                    self.input_to += read;
                    self.take_frames(measured, shared)?;
                    // TLS may hold more than it gave, a plain socket that did not fill the room is empty.
                    if read < had_room && matches!(self.stream, Stream::Plain(_)) {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(())
    }

    /// Room for the rest of the frame that has begun.
    fn make_room(&mut self) -> Result<(), Error> {
        if self.input_from == self.input_to {
            (self.input_from, self.input_to) = (0, 0);
        }
        let pending = &self.input[self.input_from..self.input_to];
        let frame_bytes = self.frame_bytes(pending)?.unwrap_or(0);
        if self.input_to == self.input.len() || self.input_from + frame_bytes > self.input.len() {
            self.input.copy_within(self.input_from..self.input_to, 0);
            self.input_to -= self.input_from;
            self.input_from = 0;
        }
        if frame_bytes > self.input.len() {
            self.input.resize(frame_bytes, 0);
        }
        Ok(())
    }

    fn take_frames(&mut self, measured: &mut Measured, shared: &Shared) -> Result<(), Error> {
        loop {
            let pending = &self.input[self.input_from..self.input_to];
            let Some(frame_bytes) = self.frame_bytes(pending)? else {
                return Ok(());
            };
            let Some(frame) = pending.get(..frame_bytes) else {
                return Ok(());
            };
            let correlation_id = response_correlation_id(frame)
                .map_err(|error| self.malformed(error.to_string()))?;
            let sent = self
                .in_flight
                .pop_front()
                .filter(|sent| sent.correlation_id == correlation_id);
            let Some(sent) = sent else {
                return Err(self.malformed(format!("correlation id {correlation_id} out of turn")));
            };
            let now_ns = since(shared.start);
            let answer = match self.workload.answered(frame) {
                Ok(answer) => answer,
                Err(error) => return Err(self.malformed(error.to_string())),
            };
            measured.wire_bytes += frame_bytes as u64;
            measured.elapsed = measured.elapsed.max(Duration::from_nanos(now_ns));
            measured.answer(
                answer,
                now_ns,
                now_ns.saturating_sub(sent.intended_ns),
                &shared.progressed,
            );
            self.input_from += frame_bytes;
        }
    }

    fn give_up(&mut self, now_ns: u64, measured: &mut Measured) {
        for sent in self.in_flight.drain(..) {
            measured.give_up(now_ns, now_ns.saturating_sub(sent.intended_ns));
        }
        // What was due and never left counts, too: leaving it out would flatter the target.
        while let Next::Due { intended_ns } = self.schedule.next(now_ns) {
            self.schedule.take();
            measured.give_up(now_ns, now_ns.saturating_sub(intended_ns));
        }
    }

    fn frame_bytes(&self, pending: &[u8]) -> Result<Option<usize>, Error> {
        frame_length(pending, FRAME_BYTES_MAX).map_err(|error| self.malformed(error.to_string()))
    }

    fn closed(&self) -> Error {
        let advice = "; its log says why (a token that expired? a role that was lost?)";
        Error::TargetClosed {
            target: self.target.clone(),
            address: self.address.clone(),
            during: DURING,
            advice,
        }
    }

    fn failed(&self, source: std::io::Error) -> Error {
        match source.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => {
                self.closed()
            }
            _ => {
                let (target, address) = (self.target.clone(), self.address.clone());
                Error::TargetConnectionFailed {
                    target,
                    address,
                    during: DURING,
                    source,
                }
            }
        }
    }

    fn malformed(&self, fault: String) -> Error {
        let (target, address) = (self.target.clone(), self.address.clone());
        Error::TargetMalformed {
            target,
            address,
            what: "a request of the run",
            fault,
        }
    }
}

/// Waits until something can be read or written or the next request is due; says which connections have news.
fn wait(connections: &[Driven], now_ns: u64, start: Instant) -> Result<Vec<bool>, Error> {
    let mut wake_ns = now_ns.saturating_add(nanoseconds(WAIT_MAX));
    let mut fds = Vec::with_capacity(connections.len());
    for connection in connections {
        let mut flags = PollFlags::IN;
        if connection.has_output() {
            flags |= PollFlags::OUT;
        }
        fds.push(PollFd::new(&connection.stream, flags));
        match connection.schedule.next(now_ns) {
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
    Ok(fds.iter().map(|fd| fd.revents().intersects(news)).collect())
}

fn system(doing: &'static str, errno: rustix::io::Errno) -> Error {
    Error::SystemFailed {
        doing,
        source: errno.into(),
    }
}

/// Nanoseconds since the start of the run; 0 before it.
fn since(start: Instant) -> u64 {
    nanoseconds(Instant::now().saturating_duration_since(start))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
