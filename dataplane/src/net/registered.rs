//! A descriptor in its shard's readiness set, with the tasks that wait for it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::driver::Driver;
use crate::limits::{SOCK_CALL_COST_BYTES, SOCK_TURN_BYTES};

pub(super) const READABLE: u32 = (libc::POLLIN | libc::POLLRDHUP) as u32;
pub(super) const WRITABLE: u32 = libc::POLLOUT as u32;
/// The peer sent FIN, or both directions are gone: reads no longer wait.
const PEER_DONE: u32 = (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) as u32;
/// Writes no longer wait: they fail.
const BROKEN: u32 = (libc::POLLHUP | libc::POLLERR) as u32;

/// What is known of one descriptor's readiness, and who waits for more.
#[derive(Debug, Default)]
pub(super) struct Slot {
    readable: Cell<bool>,
    writable: Cell<bool>,
    /// Once set, a short read proves nothing: the FIN may have come with the data, and no edge will follow.
    peer_done: Cell<bool>,
    /// Cost of what was moved since a task of this descriptor last parked.
    moved_bytes: Cell<usize>,
    readers: Waiters,
    writers: Waiters,
}

impl Slot {
    /// Takes in an event of the readiness set. Wakes; must be called with nothing of the driver borrowed.
    pub(super) fn on_ready(&self, ready: u32) {
        if ready & PEER_DONE != 0 {
            self.peer_done.set(true);
        }
        if ready & (READABLE | PEER_DONE) != 0 {
            self.readable.set(true);
            self.readers.wake();
        }
        if ready & (WRITABLE | BROKEN) != 0 {
            self.writable.set(true);
            self.writers.wake();
        }
    }
}

/// The tasks that wait for one direction: one, or two when a TLS leg's reader has something to send.
#[derive(Debug, Default)]
pub(crate) struct Waiters(RefCell<Vec<Waker>>);

impl Waiters {
    pub(crate) fn add(&self, cx: &Context<'_>) {
        let mut waiters = self.0.borrow_mut();
        if !waiters.iter().any(|waiter| waiter.will_wake(cx.waker())) {
            waiters.push(cx.waker().clone());
        }
    }

    /// For a task that is known not to wait here yet.
    pub(crate) fn push(&self, waker: Waker) {
        self.0.borrow_mut().push(waker);
    }

    pub(crate) fn wake(&self) {
        // One at a time: a waker may run code that comes back here.
        while let Some(waiter) = self.take_one() {
            waiter.wake();
        }
    }

    fn take_one(&self) -> Option<Waker> {
        self.0.borrow_mut().pop()
    }
}

/// An open descriptor that its shard's driver watches for as long as this lives.
#[derive(Debug)]
pub(super) struct Registered<T: AsFd> {
    io: T,
    driver: Rc<Driver>,
    slot: Rc<Slot>,
    token: u64,
}

impl<T: AsFd> Registered<T> {
    /// `io` must be nonblocking. `events`: [`READABLE`], [`WRITABLE`] or both.
    pub(super) fn new(driver: &Rc<Driver>, io: T, events: u32) -> io::Result<Self> {
        let (token, slot) = driver.register(raw(&io), events)?;
        Ok(Self {
            io,
            driver: Rc::clone(driver),
            slot,
            token,
        })
    }

    pub(super) fn io(&self) -> &T {
        &self.io
    }

    pub(super) fn driver(&self) -> &Rc<Driver> {
        &self.driver
    }

    /// Gives the core away if this descriptor has moved enough without ever parking.
    pub(super) async fn take_turns(&self) {
        if self.slot.moved_bytes.get() >= SOCK_TURN_BYTES {
            self.slot.moved_bytes.set(0);
            self.driver.turn().await;
        }
    }

    pub(super) async fn readable(&self) {
        poll_fn(|cx| self.poll_readable(cx)).await;
    }

    pub(super) async fn writable(&self) {
        poll_fn(|cx| self.poll_writable(cx)).await;
    }

    pub(super) fn poll_readable(&self, cx: &Context<'_>) -> Poll<()> {
        self.poll_ready(&self.slot.readable, &self.slot.readers, cx)
    }

    pub(super) fn poll_writable(&self, cx: &Context<'_>) -> Poll<()> {
        self.poll_ready(&self.slot.writable, &self.slot.writers, cx)
    }

    fn poll_ready(&self, ready: &Cell<bool>, waiters: &Waiters, cx: &Context<'_>) -> Poll<()> {
        if ready.get() {
            return Poll::Ready(());
        }
        self.slot.moved_bytes.set(0);
        waiters.add(cx);
        Poll::Pending
    }

    /// Runs a nonblocking read of at most `room` bytes and learns from its result whether more can follow.
    pub(super) fn try_read_with(
        &self,
        room: usize,
        mut read: impl FnMut(&T) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let result = retry_interrupted(|| read(&self.io));
        match &result {
            Ok(count) => {
                self.charge(*count);
                // A short read means that the queue was empty, and new data brings a new edge.
                if *count < room && !self.slot.peer_done.get() {
                    self.slot.readable.set(false);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.slot.readable.set(false)
            }
            Err(_) => {}
        }
        result
    }

    /// Runs a nonblocking write and learns from its result whether more can follow.
    pub(super) fn try_write_with(
        &self,
        mut write: impl FnMut(&T) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let result = retry_interrupted(|| write(&self.io));
        match &result {
            Ok(count) => self.charge(*count),
            // Only a full buffer asks the kernel for an edge, so a short write alone must not park.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.slot.writable.set(false)
            }
            Err(_) => {}
        }
        result
    }

    fn charge(&self, count: usize) {
        let moved = self
            .slot
            .moved_bytes
            .get()
            .saturating_add(count)
            .saturating_add(SOCK_CALL_COST_BYTES);
        self.slot.moved_bytes.set(moved);
    }
}

impl<T: AsFd> Drop for Registered<T> {
    fn drop(&mut self) {
        // Before `io` closes: otherwise its number may already belong to another file.
        self.driver.deregister(raw(&self.io), self.token);
    }
}

fn raw(io: &impl AsFd) -> RawFd {
    io.as_fd().as_raw_fd()
}

fn retry_interrupted<R>(mut call: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
