//! One connection under load: what it has sent, and what it has of the next answer.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::net::sockopt::set_socket_recv_buffer_size;
use sluice_kafka::frame::frame_length;
use sluice_kafka::header::response_correlation_id;

use crate::drive::{Shared, since};
use crate::limits::{
    FRAME_BYTES_MAX, IN_BYTES, OUT_BYTES_MAX, READS_PER_TURN_MAX, SLOW_SOCKET_BYTES,
};
use crate::measure::Measured;
use crate::schedule::{Next, Schedule};
use crate::session::Session;
use crate::stream::Stream;
use crate::throttle::{Reads, Throttle};
use crate::tracing::{Side, Tracing};
use crate::workload::{FETCH_WAIT_MS, Workload, append_request};
use crate::{Error, Plan};

/// What a broken connection interrupted.
const DURING: &str = "the run";

/// A connection under load.
pub(crate) struct Driven {
    /// Of the results of a run, the one that counts it.
    pub(crate) part: usize,
    pub(crate) tracing: Option<Tracing>,
    throttle: Option<Throttle>,
    target: String,
    address: String,
    stream: Stream,
    workload: Workload,
    schedule: Schedule,
    in_flight_max: usize,
    in_flight: VecDeque<Sent>,
    /// When the last answer came.
    answered_ns: Option<u64>,
    next_correlation_id: i32,
    confirmation: Confirmation,
    /// Of all requests so far.
    encoded_bytes: u64,
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
    /// Where it ends among all bytes of this connection.
    end_bytes: u64,
}

/// Whether a target took writes that it answers nothing to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Confirmation {
    /// Answers tell.
    Needless,
    /// Behind the last write goes a question, by which the target, that answers in order, shows that it read them all.
    Outstanding,
    Asked {
        correlation_id: i32,
    },
    Confirmed,
}

impl Driven {
    pub(crate) fn new(
        session: Session<'_>,
        workload: Workload,
        schedule: Schedule,
        plan: &Plan,
        part: usize,
    ) -> Result<Self, Error> {
        session
            .stream
            .set_nonblocking()
            .map_err(|source| Error::SystemFailed {
                doing: "to make a socket non-blocking",
                source,
            })?;
        Ok(Self {
            part,
            tracing: None,
            throttle: None,
            target: session.target_name(),
            address: session.address,
            stream: session.stream,
            in_flight_max: workload.in_flight_max(plan.in_flight_max),
            confirmation: match workload.confirm_frame() {
                Some(_) => Confirmation::Outstanding,
                None => Confirmation::Needless,
            },
            workload,
            schedule,
            in_flight: VecDeque::new(),
            answered_ns: None,
            next_correlation_id: 0,
            encoded_bytes: 0,
            out: Vec::new(),
            out_written: 0,
            input: vec![0; IN_BYTES],
            input_from: 0,
            input_to: 0,
        })
    }

    pub(crate) fn send_due(
        &mut self,
        now_ns: u64,
        measured: &mut Measured,
        shared: &Shared,
    ) -> Result<(), Error> {
        while self.may_send()
            && let Next::Due { intended_ns } = self.next(now_ns)
        {
            self.schedule.take();
            let correlation_id = self.correlation_id();
            let before = self.out.len();
            self.workload.encode(correlation_id, &mut self.out)?;
            let encoded_bytes = (self.out.len() - before) as u64;
            self.encoded_bytes += encoded_bytes;
            measured.wire_bytes += encoded_bytes;
            measured
                .send_delay_ns
                .saturating_record(since(shared.start).saturating_sub(intended_ns));
            self.in_flight.push_back(Sent {
                correlation_id,
                intended_ns,
                end_bytes: self.encoded_bytes,
            });
            shared.progressed[self.part]
                .sent
                .fetch_add(1, Ordering::Relaxed);
        }
        if self.confirmation == Confirmation::Outstanding
            && self.in_flight.is_empty()
            && self.schedule.next(now_ns) == Next::Finished
        {
            let correlation_id = self.correlation_id();
            let before = self.out.len();
            let question = self.workload.confirm_frame().unwrap_or_default();
            append_request(question, correlation_id, &mut self.out);
            self.encoded_bytes += (self.out.len() - before) as u64;
            self.confirmation = Confirmation::Asked { correlation_id };
        }
        Ok(())
    }

    /// What the schedule says of the next request.
    pub(crate) fn next(&self, now_ns: u64) -> Next {
        if self.throttle.as_ref().is_some_and(|slow| slow.is_over) {
            return Next::Finished;
        }
        let scheduled = self.schedule.next(now_ns);
        let tracing = self.tracing.as_ref();
        let reader = tracing.and_then(|tracing| Some((tracing, tracing.not_before_ns()?)));
        let Some((tracing, not_before_ns)) = reader else {
            return scheduled;
        };
        if scheduled == Next::Finished && tracing.board.is_settled(tracing.partition) {
            Next::Finished
        } else if now_ns < not_before_ns {
            Next::Later {
                intended_ns: not_before_ns,
            }
        } else {
            Next::Due {
                intended_ns: now_ns,
            }
        }
    }

    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    fn correlation_id(&mut self) -> i32 {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id = correlation_id.wrapping_add(1) & i32::MAX;
        correlation_id
    }

    pub(crate) fn may_send(&self) -> bool {
        self.in_flight.len() < self.in_flight_max
            && self.out.len() - self.out_written < OUT_BYTES_MAX
    }

    pub(crate) fn is_finished(&mut self, now_ns: u64) -> bool {
        // What a slow consumer has not read by then it never will.
        let finished = (self.in_flight.is_empty() || self.throttle.is_some())
            && self.next(now_ns) == Next::Finished
            && matches!(
                self.confirmation,
                Confirmation::Needless | Confirmation::Confirmed
            );
        if let Some(tracing) = &mut self.tracing
            && finished
            && tracing.side == Side::Writer
        {
            tracing.board.writer_ended();
            tracing.side = Side::Ended;
        }
        finished
    }

    pub(crate) fn has_output(&self) -> bool {
        self.out_written < self.out.len() || self.stream.wants_write()
    }

    pub(crate) fn flush(&mut self, measured: &mut Measured, shared: &Shared) -> Result<(), Error> {
        self.write()?;
        if self.confirmation != Confirmation::Needless {
            self.settle_written(measured, shared);
        }
        Ok(())
    }

    /// Counts the requests that have left, where nothing else will come of them.
    fn settle_written(&mut self, measured: &mut Measured, shared: &Shared) {
        if self.stream.wants_write() {
            return;
        }
        let left_bytes = self.encoded_bytes - (self.out.len() - self.out_written) as u64;
        let now_ns = since(shared.start);
        while let Some(sent) = self
            .in_flight
            .pop_front_if(|sent| sent.end_bytes <= left_bytes)
        {
            measured.elapsed = measured.elapsed.max(Duration::from_nanos(now_ns));
            let latency_ns = now_ns.saturating_sub(sent.intended_ns);
            measured.answer(
                self.workload.left(),
                now_ns,
                latency_ns,
                &shared.progressed[self.part],
            );
            shared.felt(measured, sent.intended_ns, now_ns);
        }
    }

    fn write(&mut self) -> Result<(), Error> {
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

    pub(crate) fn receive(
        &mut self,
        measured: &mut Measured,
        shared: &Shared,
    ) -> Result<(), Error> {
        for _ in 0..READS_PER_TURN_MAX {
            self.make_room()?;
            let mut had_room = self.input.len() - self.input_to;
            if let Some(throttle) = &mut self.throttle {
                had_room = had_room.min(throttle.allowed_bytes(since(shared.start)));
                if had_room == 0 {
                    return Ok(());
                }
            }
            let room = &mut self.input[self.input_to..self.input_to + had_room];
            match self.stream.read(room) {
                Ok(0) => return Err(self.closed()),
                Ok(read) => {
                    self.input_to += read;
                    if let Some(throttle) = &mut self.throttle {
                        throttle.take(read);
                        measured.slowly_read_bytes += read as u64;
                    }
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
            if self.confirmation == (Confirmation::Asked { correlation_id }) {
                self.confirmation = Confirmation::Confirmed;
                self.input_from += frame_bytes;
                continue;
            }
            let sent = self
                .in_flight
                .pop_front()
                .filter(|sent| sent.correlation_id == correlation_id);
            let Some(sent) = sent else {
                return Err(self.malformed(format!("correlation id {correlation_id} out of turn")));
            };
            let now_ns = since(shared.start);
            let batch_at = |offset| {
                if let Some(tracing) = &self.tracing {
                    tracing.batch_at(offset, sent.intended_ns, now_ns);
                }
            };
            let answer = match self.workload.answered(frame, batch_at) {
                Ok(answer) => answer,
                Err(error) => return Err(self.malformed(error.to_string())),
            };
            if let Some(Tracing {
                side: Side::Reader { not_before_ns } | Side::Follower { not_before_ns },
                ..
            }) = &mut self.tracing
                && answer.records == 0
            {
                *not_before_ns = sent.intended_ns + FETCH_WAIT_MS as u64 * 1_000_000;
            }
            measured.wire_bytes += frame_bytes as u64;
            measured.elapsed = measured.elapsed.max(Duration::from_nanos(now_ns));
            measured.answer(
                answer,
                now_ns,
                now_ns.saturating_sub(sent.intended_ns),
                &shared.progressed[self.part],
            );
            shared.felt(measured, sent.intended_ns, now_ns);
            if let Some(before_ns) = self.answered_ns.replace(now_ns) {
                shared.felt_gap(measured, before_ns, now_ns);
            }
            self.input_from += frame_bytes;
        }
    }

    pub(crate) fn give_up(&mut self, now_ns: u64, measured: &mut Measured, shared: &Shared) {
        if self.throttle.is_some() {
            return;
        }
        for sent in self.in_flight.drain(..) {
            measured.give_up(now_ns, now_ns.saturating_sub(sent.intended_ns));
            shared.felt(measured, sent.intended_ns, now_ns);
        }
        if matches!(
            self.confirmation,
            Confirmation::Outstanding | Confirmation::Asked { .. }
        ) {
            measured.unconfirmed_count += 1;
        }
        // What was due and never left counts, too: leaving it out would flatter the target.
        let tracing = self.tracing.as_ref();
        let follows = tracing.is_some_and(|tracing| tracing.not_before_ns().is_some());
        while !follows && let Next::Due { intended_ns } = self.schedule.next(now_ns) {
            self.schedule.take();
            measured.give_up(now_ns, now_ns.saturating_sub(intended_ns));
            shared.felt(measured, intended_ns, now_ns);
        }
    }

    /// Makes a slow consumer of it.
    pub(crate) fn slow_down(&mut self, throttle: Throttle) -> Result<(), Error> {
        set_socket_recv_buffer_size(&self.stream, SLOW_SOCKET_BYTES).map_err(|errno| {
            Error::SystemFailed {
                doing: "to bound a socket's buffer",
                source: errno.into(),
            }
        })?;
        self.throttle = Some(throttle);
        Ok(())
    }

    /// A slow consumer that broke is counted and left alone; any other that breaks ends the run.
    pub(crate) fn bear(
        &mut self,
        result: Result<(), Error>,
        measured: &mut Measured,
    ) -> Result<(), Error> {
        match (&mut self.throttle, result) {
            (Some(throttle), Err(error)) => {
                throttle.is_over = true;
                self.in_flight.clear();
                measured.broken(&error);
                self.out.clear();
                self.out_written = 0;
                Ok(())
            }
            (_, result) => result,
        }
    }

    /// Whether it wants to read now, and if not, when.
    pub(crate) fn reads(&mut self, now_ns: u64) -> Reads {
        let throttle = self.throttle.as_mut();
        throttle.map_or(Reads::Now, |throttle| throttle.reads(now_ns))
    }

    fn frame_bytes(&self, pending: &[u8]) -> Result<Option<usize>, Error> {
        frame_length(pending, FRAME_BYTES_MAX).map_err(|error| self.malformed(error.to_string()))
    }

    fn closed(&self) -> Error {
        let advice = match self.confirmation {
            Confirmation::Needless => {
                "; its log says why (a token that expired? a role that was lost?)"
            }
            _ => {
                "; without acks that is the only way to refuse a write: --acks 1 shows the error, and its log says why"
            }
        };
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
