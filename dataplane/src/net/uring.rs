//! A readiness set on a private io_uring: one multishot POLL_ADD per descriptor (Linux 6.0 or later).
//!
//! COOP_TASKRUN saves an interrupt per event; DEFER_TASKRUN must not be used, for with it the ring's own
//! descriptor never becomes readable and nobody could wait for it (io_uring_setup(2)).
#![allow(unsafe_code)] // pushing a submission entry

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use io_uring::{IoUring, cqueue, opcode, squeue, types};

use super::driver::Event;
use crate::limits::DRIVER_RING_ENTRIES;

/// Completions of removals carry this; no token does, since generations stay below `u32::MAX`.
const IGNORED: u64 = u64::MAX;

pub(super) struct Uring {
    ring: IoUring,
    /// Entries that found no room in the submission queue; order is kept.
    backlog: VecDeque<squeue::Entry>,
    /// Polls that ended and are to be armed again: descriptor, events, token.
    rearming: VecDeque<(RawFd, u32, u64)>,
}

impl Uring {
    pub(super) fn new() -> io::Result<Self> {
        Self::with_entries(DRIVER_RING_ENTRIES)
    }

    fn with_entries(entries: u32) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_coop_taskrun()
            .setup_taskrun_flag()
            .setup_single_issuer()
            .setup_cqsize(entries * 8)
            .build(entries)?;
        Ok(Self {
            ring,
            backlog: VecDeque::new(),
            rearming: VecDeque::new(),
        })
    }

    /// Watches `fd` from now on; what is ready already is reported too.
    pub(super) fn add(&mut self, fd: RawFd, events: u32, token: u64) -> io::Result<()> {
        self.backlog.push_back(poll_entry(fd, events, token));
        self.submit()
    }

    /// Stops watching. Until the kernel has seen this, the ring keeps the file open. Cancels, for a poll with an event that the
    /// kernel has not told yet cannot be removed: it would go on, and the file with it, for as long as the ring.
    pub(super) fn delete(&mut self, token: u64) -> io::Result<()> {
        // Armed later it would watch whatever has the descriptor's number by then.
        self.rearming.retain(|(_, _, other)| *other != token);
        self.backlog
            .push_back(opcode::AsyncCancel::new(token).build().user_data(IGNORED));
        self.submit()
    }

    /// Watches again after an event that ended the poll. Waits for the next [`Self::take`], which has made room
    /// for completions: what is ready is reported at once, and into a full queue that would end the poll again.
    pub(super) fn rearm(&mut self, fd: RawFd, events: u32, token: u64) {
        self.rearming.push_back((fd, events, token));
    }

    /// Appends what has become ready; returns whether the caller must come back before it sleeps.
    pub(super) fn take(&mut self, events: &mut Vec<Event>) -> io::Result<bool> {
        loop {
            let queue = self.ring.submission();
            let enter = queue.taskrun() || queue.cq_overflow() || !queue.is_empty();
            drop(queue);
            if enter || !self.backlog.is_empty() {
                self.submit()?;
            }
            for entry in self.ring.completion() {
                if entry.user_data() == IGNORED {
                    continue;
                }
                // A negative result ends the poll: cancelled by us (nobody looks for the token any more), or the
                // kernel ran out of memory; arming again asks again.
                let ready = u32::try_from(entry.result()).unwrap_or(0);
                let ended = !cqueue::more(entry.flags());
                events.push(Event {
                    token: entry.user_data(),
                    ready,
                    ended,
                });
            }
            if !self.ring.submission().cq_overflow() {
                break;
            }
        }
        if !self.rearming.is_empty() {
            // No more than a submission queue at a time: an eighth of the room for their completions.
            let count = self
                .rearming
                .len()
                .min(self.ring.params().sq_entries() as usize);
            let armed = self.rearming.drain(..count);
            self.backlog
                .extend(armed.map(|(fd, events, token)| poll_entry(fd, events, token)));
            self.submit()?;
        }
        let unsubmitted = !self.backlog.is_empty() || !self.ring.submission().is_empty();
        Ok(unsubmitted || !self.rearming.is_empty() || !self.ring.completion().is_empty())
    }

    /// Sleeps until something is there to be taken, or `wait_us` have passed; not at all on a kernel that cannot (before
    /// 5.11).
    pub(super) fn wait(&self, wait_us: u32) -> io::Result<()> {
        if !self.ring.params().is_feature_ext_arg() {
            return Ok(());
        }
        let time = types::Timespec::from(Duration::from_micros(u64::from(wait_us)));
        let arguments = types::SubmitArgs::new().timespec(&time);
        match self.ring.submitter().submit_with_args(1, &arguments) {
            Ok(_) => Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::ETIME) => Ok(()),
            Err(error) if is_transient(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn submit(&mut self) -> io::Result<()> {
        loop {
            while let Some(entry) = self.backlog.front() {
                // SAFETY: poll entries carry integers only: no memory has to outlive the submission.
                if unsafe { self.ring.submission().push(entry) }.is_err() {
                    break;
                }
                self.backlog.pop_front();
            }
            match self.ring.submit() {
                Ok(_) if self.backlog.is_empty() => return Ok(()),
                Ok(_) => {}
                // No room for completions or memory just now: `take` frees some and tries again.
                Err(error) if is_transient(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring is open for as long as `self` is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }
    }
}

fn poll_entry(fd: RawFd, events: u32, token: u64) -> squeue::Entry {
    opcode::PollAdd::new(types::Fd(fd), events)
        .multi(true)
        .build()
        .user_data(token)
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EBUSY | libc::EAGAIN | libc::EINTR)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::sys;
    use std::collections::BTreeSet;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Events of all rounds until a round has nothing more; polls that ended are armed again.
    fn drain(set: &mut Uring, counters: &[File]) -> Vec<u64> {
        let mut tokens = Vec::new();
        loop {
            let mut events = Vec::new();
            let more = set.take(&mut events).unwrap();
            if events.is_empty() && !more {
                return tokens;
            }
            for event in events {
                if event.ended {
                    let fd = counters[usize::try_from(event.token).unwrap()].as_raw_fd();
                    set.rearm(fd, libc::POLLIN as u32, event.token);
                }
                tokens.push(event.token);
            }
        }
    }

    #[test]
    fn loses_no_edge_when_the_completion_queue_overflows() {
        const COUNTERS: usize = 200; // the queue below holds 32
        let mut set = Uring::with_entries(4).unwrap();
        let counters: Vec<File> = (0..COUNTERS)
            .map(|_| sys::eventfd().unwrap().into())
            .collect();
        for (token, counter) in counters.iter().enumerate() {
            set.add(counter.as_raw_fd(), libc::POLLIN as u32, token as u64)
                .unwrap();
        }
        assert!(drain(&mut set, &counters).is_empty());
        for turn in 0..3 {
            counters
                .iter()
                .for_each(|mut counter| counter.write_all(&1_u64.to_ne_bytes()).unwrap());
            let seen: BTreeSet<u64> = drain(&mut set, &counters).into_iter().collect();
            assert_eq!(seen.len(), COUNTERS, "turn {turn}");
            counters
                .iter()
                .for_each(|mut counter| counter.read_exact(&mut [0; 8]).unwrap());
            drain(&mut set, &counters);
        }
    }

    #[test]
    fn a_deleted_descriptor_reports_nothing_more() {
        let mut set = Uring::new().unwrap();
        let counters = [File::from(sys::eventfd().unwrap())];
        set.add(counters[0].as_raw_fd(), libc::POLLIN as u32, 0)
            .unwrap();
        set.delete(0).unwrap();
        drain_cancelled(&mut set);
        (&counters[0]).write_all(&1_u64.to_ne_bytes()).unwrap();
        let mut events = Vec::new();
        set.take(&mut events).unwrap();
        assert!(events.is_empty(), "{events:?}");
    }

    #[test]
    fn what_is_deleted_before_it_is_armed_again_is_not_armed() {
        let mut set = Uring::new().unwrap();
        let counter = File::from(sys::eventfd().unwrap());
        set.rearm(counter.as_raw_fd(), libc::POLLIN as u32, 0);
        set.delete(0).unwrap();
        (&counter).write_all(&1_u64.to_ne_bytes()).unwrap();
        let mut events = Vec::new();
        while set.take(&mut events).unwrap() {}
        assert!(events.is_empty(), "{events:?}");
    }

    #[test]
    fn a_listener_that_somebody_connects_to_while_it_is_deleted_is_closed_all_the_same() {
        for turn in 0..200 {
            let mut set = Uring::new().unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            set.add(listener.as_raw_fd(), libc::POLLIN as u32, 0)
                .unwrap();
            let connected = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let _client = TcpStream::connect(address).unwrap();
                    connected.store(true, Ordering::Release);
                });
                // No system call, so that the kernel has not yet told this thread of the connection.
                while !connected.load(Ordering::Acquire) {
                    std::hint::spin_loop();
                }
                set.delete(0).unwrap();
            });
            set.take(&mut Vec::new()).unwrap();
            drop(listener);
            let refused = TcpStream::connect(address).map_err(|error| error.kind());
            let refused = refused.expect_err("the ring keeps it open");
            assert_eq!(refused, io::ErrorKind::ConnectionRefused, "turn {turn}");
        }
    }

    /// The removal itself is told once, as the end of the poll.
    fn drain_cancelled(set: &mut Uring) {
        let mut events = Vec::new();
        set.take(&mut events).unwrap();
        assert!(
            matches!(
                events[..],
                [Event {
                    token: 0,
                    ready: 0,
                    ended: true
                }]
            ),
            "{events:?}"
        );
    }
}
