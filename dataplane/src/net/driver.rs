//! One readiness driver per shard: it collects edges, wakes tasks, and parks the shard when nothing is ready.
//!
//! A *round* is: take what the kernel reports, wake those who wait for it, let them run, call the hooks.
//! Nothing in glommio's yields lets its reactor run while a task is always ready, so the driver also makes
//! room for the reactor (timers) every few rounds, and a socket that never parks waits for a round now and then.
//!
//! glommio's own sleep takes seven system calls, so a short pause is a *nap*: one call that waits in the readiness set. Whoever
//! wakes a shard from outside rings a [`super::Bell`], which ends a nap. A longer pause is slept in glommio.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_lite::future::yield_now;
use slab::Slab;

use super::registered::{Slot, Waiters};
use super::sys::{Epoll, SetWait};
use super::uring::Uring;
use crate::clock::monotonic_ns;
use crate::limits::{
    DRIVER_EMPTY_ROUNDS_BEFORE_REST, DRIVER_EVENTS_PER_ROUND_MAX, DRIVER_NAP_US,
    DRIVER_REACTOR_PASS_INTERVAL_US, DRIVER_ROUNDS_PER_REACTOR_PASS_MAX, TLS_READ_BYTES_MAX,
};

/// How a driver learns what is ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Readiness {
    /// A private io_uring where the host has one, else an epoll set.
    #[default]
    Best,
    /// A private io_uring with multishot polls (Linux 6.0 or later).
    Uring,
    /// An edge-triggered epoll set.
    Epoll,
}

/// How a driver is built.
#[derive(Clone, Copy, Debug, Default)]
pub struct DriverOptions {
    pub readiness: Readiness,
    /// How long the driver polls after the last event before it parks; 0 parks at once. Costs the core, wins
    /// latency; only for cores that the gateway has to itself.
    pub hot_us: u64,
}

/// What a driver has done since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DriverCounts {
    pub rounds: u64,
    pub events: u64,
    pub naps: u64,
    pub parks: u64,
    pub reactor_passes: u64,
}

/// The readiness set of one shard and the loop over it. Lives on the shard's thread.
pub struct Driver {
    set: RefCell<Set>,
    slots: RefCell<Slots>,
    hot_ns: u64,
    hooks: RefCell<Vec<Box<dyn FnMut()>>>,
    /// Tasks that wait for the next round.
    turns: Waiters,
    round_requested: Cell<bool>,
    parked: RefCell<Option<Waker>>,
    counts: Cell<DriverCounts>,
    scratch: RefCell<Vec<u8>>,
}

impl Driver {
    /// Builds the readiness set. It watches from now on, but nobody is woken before [`Self::run`] runs.
    /// Fails if the host refuses the set (descriptors, memory, or a ring was demanded and is not to be had).
    pub fn new(options: DriverOptions) -> io::Result<Rc<Self>> {
        let set = match options.readiness {
            Readiness::Uring => Set::Uring(Box::new(Uring::new()?)),
            Readiness::Epoll => Set::epoll()?,
            Readiness::Best => match Uring::new() {
                Ok(uring) => Set::Uring(Box::new(uring)),
                Err(error) => {
                    tracing::info!(%error, "no private ring on this host: readiness by epoll");
                    Set::epoll()?
                }
            },
        };
        Ok(Rc::new(Self {
            set: RefCell::new(set),
            slots: RefCell::default(),
            hot_ns: options.hot_us.saturating_mul(1_000),
            hooks: RefCell::default(),
            turns: Waiters::default(),
            round_requested: Cell::new(false),
            parked: RefCell::default(),
            counts: Cell::default(),
            scratch: RefCell::default(),
        }))
    }

    /// The loop; one per driver, spawned by the shard. Returns only with an error: the readiness set is broken
    /// and the shard cannot go on.
    pub async fn run(self: Rc<Self>) -> io::Error {
        let mut events = Vec::with_capacity(DRIVER_EVENTS_PER_ROUND_MAX);
        let mut waiting = None;
        let mut busy_rounds = 0;
        let mut empty_rounds = 0;
        let mut napped = false;
        let mut reactor_ran_ns = monotonic_ns();
        let mut last_event_ns = reactor_ran_ns;
        let mut wait_us = 0;
        loop {
            let found = match self.round(&mut events, std::mem::take(&mut wait_us)) {
                Ok(found) => found,
                Err(error) => return error,
            };
            yield_now().await; // everyone who was woken is queued before this task, and runs now
            let requested = self.round_requested.replace(false);
            self.call_hooks();

            if found || requested {
                busy_rounds += 1;
                (empty_rounds, napped) = (0, false);
            } else {
                empty_rounds += 1;
                // Whom the round woke may have woken others, and answers to what was just sent are often there already.
                if empty_rounds <= DRIVER_EMPTY_ROUNDS_BEFORE_REST {
                    continue;
                }
            }
            let now_ns = monotonic_ns();
            if empty_rounds == 0 {
                last_event_ns = now_ns;
            } else if now_ns - last_event_ns >= self.hot_ns {
                if !napped {
                    self.count(|counts| counts.naps += 1);
                    (napped, wait_us) = (true, DRIVER_NAP_US);
                    continue;
                }
                self.park(&mut waiting).await;
                (busy_rounds, empty_rounds, napped) = (0, 0, false);
                reactor_ran_ns = monotonic_ns();
                last_event_ns = reactor_ran_ns;
                continue;
            }
            if busy_rounds >= DRIVER_ROUNDS_PER_REACTOR_PASS_MAX
                || now_ns - reactor_ran_ns >= DRIVER_REACTOR_PASS_INTERVAL_US * 1_000
            {
                reactor_yield().await;
                self.count(|counts| counts.reactor_passes += 1);
                (busy_rounds, reactor_ran_ns) = (0, monotonic_ns());
            }
        }
    }

    /// Calls `hook` once per round, after the tasks that the round woke have run. The journal flushes here:
    /// one write for all that the round recorded. A hook must not add hooks, and a panic in it ends the shard.
    pub fn after_round(&self, hook: Box<dyn FnMut()>) {
        self.hooks.borrow_mut().push(hook);
    }

    /// Makes sure that a round, and so the hooks, follows soon, even if nothing becomes ready. For whoever
    /// leaves work for a hook.
    pub fn request_round(&self) {
        self.round_requested.set(true);
        if let Some(waker) = self.parked.take() {
            waker.wake();
        }
    }

    /// Gives the core away until the next round has woken others. For tasks that compute for long.
    pub async fn turn(&self) {
        let mut asked = false;
        poll_fn(|cx| {
            if asked {
                return Poll::Ready(());
            }
            asked = true;
            self.turns.push(cx.waker().clone());
            self.request_round();
            Poll::Pending
        })
        .await;
    }

    /// What this driver has done.
    pub fn counts(&self) -> DriverCounts {
        self.counts.get()
    }

    /// Descriptors watched now.
    pub fn watched_count(&self) -> usize {
        self.slots.borrow().entries.len()
    }

    /// Which kind of readiness set the host gave.
    pub fn readiness(&self) -> Readiness {
        match &*self.set.borrow() {
            Set::Uring(_) => Readiness::Uring,
            Set::Epoll { .. } => Readiness::Epoll,
        }
    }

    pub(super) fn register(&self, fd: RawFd, events: u32) -> io::Result<(u64, Rc<Slot>)> {
        let slot = Rc::new(Slot::default());
        let token = self.slots.borrow_mut().insert(fd, events, Rc::clone(&slot));
        if let Err(error) = self.set.borrow_mut().add(fd, events, token) {
            self.slots.borrow_mut().remove(token);
            return Err(error);
        }
        Ok((token, slot))
    }

    pub(super) fn deregister(&self, fd: RawFd, token: u64) {
        let entry = self.slots.borrow_mut().remove(token);
        if let Err(error) = self.set.borrow_mut().delete(fd, token) {
            tracing::warn!(%error, "a descriptor could not be taken out of the readiness set");
        }
        drop(entry); // last, with nothing borrowed: its wakers may hold tasks
    }

    /// A buffer that all TLS legs of the shard share, for use between two awaits.
    pub(super) fn with_scratch<R>(&self, use_it: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut scratch = self.scratch.borrow_mut();
        if scratch.is_empty() {
            scratch.resize(TLS_READ_BYTES_MAX, 0);
        }
        use_it(&mut scratch)
    }

    /// Takes what is ready, or becomes ready within `wait_us`, and wakes who waits for it; returns whether there was anything.
    fn round(&self, events: &mut Vec<Event>, wait_us: u32) -> io::Result<bool> {
        events.clear();
        let more = self.set.borrow_mut().take(events, wait_us)?;
        for event in events.iter() {
            let Some((slot, fd, interest)) = self.slots.borrow().find(event.token) else {
                continue;
            };
            if event.ended {
                self.set.borrow_mut().rearm(fd, interest, event.token);
            }
            slot.on_ready(event.ready);
        }
        self.turns.wake();
        self.count(|counts| {
            counts.rounds += 1;
            counts.events += events.len() as u64;
        });
        Ok(more || !events.is_empty())
    }

    fn call_hooks(&self) {
        for hook in self.hooks.borrow_mut().iter_mut() {
            hook();
        }
    }

    /// Lets the executor sleep until the set has something to report or a round is requested.
    async fn park(&self, waiting: &mut Option<SetWait>) {
        if waiting.is_none() {
            let armed = SetWait::arm(self.set.borrow().as_fd());
            match armed {
                Ok(wait) => *waiting = Some(wait),
                Err(_) => {
                    // Out of descriptors. Polling by the clock keeps the shard going until some are closed.
                    glommio::timer::sleep(Duration::from_millis(1)).await;
                    return;
                }
            }
        }
        self.count(|counts| counts.parks += 1);
        let fired = poll_fn(|cx| {
            if self.round_requested.get() {
                return Poll::Ready(false);
            }
            *self.parked.borrow_mut() = Some(cx.waker().clone());
            match waiting {
                Some(wait) => wait.poll_fired(cx).map(|()| true),
                None => Poll::Ready(true),
            }
        })
        .await;
        self.parked.take();
        if fired {
            *waiting = None;
        }
    }

    fn count(&self, change: impl FnOnce(&mut DriverCounts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("hot_ns", &self.hot_ns)
            .field("counts", &self.counts.get())
            .finish_non_exhaustive()
    }
}

/// Lets glommio's reactor (timers, wake-ups from elsewhere) run, although this task is ready again at once.
///
/// glommio's own yields come back without having asked the reactor. A timer does it, if it is short enough
/// that the executor does not really sleep, and long enough that it has not passed before it is first polled.
pub async fn reactor_yield() {
    let mut nanoseconds = 200;
    loop {
        let mut timer = pin!(glommio::timer::sleep(Duration::from_nanos(nanoseconds)));
        let mut pended = false;
        poll_fn(|cx| {
            let polled = timer.as_mut().poll(cx);
            pended |= polled.is_pending();
            polled
        })
        .await;
        if pended {
            return;
        }
        nanoseconds *= 2; // a slow moment: this timer had passed already, and nobody else ran
    }
}

/// Something that became ready.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) token: u64,
    /// `poll(2)` bits, which on Linux are also epoll's.
    pub(super) ready: u32,
    /// The kernel has stopped watching; ask again.
    pub(super) ended: bool,
}

enum Set {
    Uring(Box<Uring>),
    Epoll {
        set: Epoll,
        taken: Vec<libc::epoll_event>,
    },
}

impl Set {
    fn epoll() -> io::Result<Self> {
        let taken = vec![libc::epoll_event { events: 0, u64: 0 }; DRIVER_EVENTS_PER_ROUND_MAX];
        Ok(Self::Epoll {
            set: Epoll::new()?,
            taken,
        })
    }

    fn add(&mut self, fd: RawFd, events: u32, token: u64) -> io::Result<()> {
        match self {
            Self::Uring(ring) => ring.add(fd, events, token),
            Self::Epoll { set, .. } => set.add(fd, events, token),
        }
    }

    fn rearm(&mut self, fd: RawFd, events: u32, token: u64) {
        match self {
            Self::Uring(ring) => ring.rearm(fd, events, token),
            Self::Epoll { .. } => {} // never ends by itself
        }
    }

    fn delete(&mut self, fd: RawFd, token: u64) -> io::Result<()> {
        match self {
            Self::Uring(ring) => ring.delete(token),
            Self::Epoll { set, .. } => set.delete(fd),
        }
    }

    /// Appends what is ready, or becomes ready within `wait_us`; returns whether more is left to take.
    fn take(&mut self, events: &mut Vec<Event>, wait_us: u32) -> io::Result<bool> {
        match self {
            Self::Uring(ring) => {
                if wait_us > 0 {
                    ring.wait(wait_us)?;
                }
                ring.take(events)
            }
            Self::Epoll { set, taken } => {
                let wait_ms = u16::try_from(wait_us.div_ceil(1_000)).unwrap_or(u16::MAX);
                let count = match set.take(taken, wait_ms) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                    result => result?,
                };
                let found = taken.iter().take(count);
                events.extend(found.map(|event| Event {
                    token: event.u64,
                    ready: event.events,
                    ended: false,
                }));
                Ok(count == taken.len())
            }
        }
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Uring(ring) => ring.as_fd(),
            Self::Epoll { set, .. } => std::os::fd::AsFd::as_fd(set),
        }
    }
}

/// Slots by token. A token holds the slot's index (low half) and a generation (high half), so that a late
/// event of a closed descriptor finds nobody.
#[derive(Debug, Default)]
struct Slots {
    entries: Slab<Entry>,
    generation: u32,
}

#[derive(Debug)]
struct Entry {
    generation: u32,
    fd: RawFd,
    events: u32,
    slot: Rc<Slot>,
}

impl Slots {
    fn insert(&mut self, fd: RawFd, events: u32, slot: Rc<Slot>) -> u64 {
        // Below u32::MAX, which is kept for completions that nobody looks at.
        self.generation = self.generation.wrapping_add(1) % u32::MAX;
        let generation = self.generation;
        let index = self.entries.insert(Entry {
            generation,
            fd,
            events,
            slot,
        });
        // Descriptors are 31-bit numbers, so there are never more slots than that.
        u64::from(generation) << 32 | (index as u64 & u64::from(u32::MAX))
    }

    fn find(&self, token: u64) -> Option<(Rc<Slot>, RawFd, u32)> {
        let entry = self.entries.get(index_of(token))?;
        (entry.generation == generation_of(token))
            .then(|| (Rc::clone(&entry.slot), entry.fd, entry.events))
    }

    fn remove(&mut self, token: u64) -> Option<Entry> {
        let index = index_of(token);
        let known = self
            .entries
            .get(index)
            .is_some_and(|entry| entry.generation == generation_of(token));
        known.then(|| self.entries.remove(index))
    }
}

fn index_of(token: u64) -> usize {
    (token & u64::from(u32::MAX)) as usize
}

fn generation_of(token: u64) -> u32 {
    (token >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_event_of_a_closed_descriptor_finds_nobody() {
        let mut slots = Slots::default();
        let first = slots.insert(3, 1, Rc::default());
        assert!(slots.remove(first).is_some());
        let second = slots.insert(3, 1, Rc::default());
        assert_eq!(index_of(first), index_of(second), "the place is used again");
        assert!(slots.find(first).is_none());
        assert!(slots.remove(first).is_none());
        assert!(slots.find(second).is_some());
    }

    #[test]
    fn generations_stay_below_the_reserved_token() {
        let mut slots = Slots {
            generation: u32::MAX - 2,
            ..Slots::default()
        };
        for _ in 0..4 {
            let token = slots.insert(3, 1, Rc::default());
            assert_ne!(generation_of(token), u32::MAX);
        }
    }
}
