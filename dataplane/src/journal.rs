//! Evidence on its way to disk: the shard stores it in a mapped segment, a thread beside it builds the tree and signs.
//!
//! A shard appends framed leaves and gets a ticket. Stored in the segment they survive the death of the process
//! ([`Durability::Written`]), without a system call where the segment is mapped ([`segment`]); otherwise the journal's task
//! writes all that came in one round with one write. The journal's thread ([`keep`]) takes the same frames, builds the tree and
//! signs it every second; signing makes them survive power loss ([`Durability::Synced`]).

mod keep;
mod mapped;
mod segment;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Poll, Waker};
use std::thread::Thread;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, TrySendError};
use sluice_evidence::segment::segment_leaves;
use sluice_policy::Durability;

pub(crate) use keep::JournalWriter;
use mapped::Ahead;
use segment::{Segment, Spare};

use crate::clock;
use crate::kick::Kick;

const _: () = {
    assert!(PENDING_BYTES_MAX as u64 <= SEGMENT_BYTES);
    // The outcome of a relayed answer, whatever the names in it.
    let relayed = sluice_session::limits::RELAYED_PARTITIONS_MAX;
    assert!(relayed * sluice_evidence::limits::RESOURCE_BYTES_MAX < PENDING_BYTES_MAX);
};

/// Evidence that may wait in the shard; more is refused, and its sessions end.
const PENDING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Evidence that may wait for the journal's thread. What comes then waits in the shard, and its clients with it.
const GIVEN_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Rounds and full segments that may wait for the journal's thread.
const WORK_MAX: usize = 4_096;
const SEGMENT_BYTES: u64 = 32 * 1024 * 1024;
const FULL_PAUSE: Duration = Duration::from_millis(1);
const SYNC_POLL: Duration = Duration::from_millis(1);

/// Why evidence was not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// Writing or signing is behind.
    #[error("the journal is full")]
    Full,
    /// The disk refused; the shard takes no evidence any more, and so forwards nothing.
    #[error("the journal failed: {0}")]
    OperatorDisk(String),
}

impl JournalError {
    fn gone() -> Self {
        Self::OperatorDisk("the journal's thread is gone".into())
    }
}

impl From<sluice_evidence::Error> for JournalError {
    fn from(error: sluice_evidence::Error) -> Self {
        Self::OperatorDisk(error.to_string())
    }
}

/// Names one append; later tickets are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// One shard's end of its journal.
#[derive(Debug)]
pub(crate) struct Journal {
    end: JournalEnd,
    inner: RefCell<Inner>,
    work: Kick,
    stopping: std::cell::Cell<bool>,
    /// Whether evidence is thrown away.
    #[cfg(feature = "stages")]
    nowhere: bool,
}

#[derive(Debug)]
struct Inner {
    segment: Option<Segment>,
    next_leaf: u64,
    /// What the journal's thread has not been given.
    pending: Vec<u8>,
    /// How much of it, from its start, is in the segment.
    stored_bytes: usize,
    appended: u64,
    written: u64,
    failed: Option<JournalError>,
    waiters: Vec<(u64, Waker)>,
    /// Empty; takes turns with `waiters`.
    woken: Vec<(u64, Waker)>,
}

/// What connects a shard with its journal's thread.
#[derive(Debug, Clone)]
pub(crate) struct JournalEnd {
    dir: PathBuf,
    first_leaf: u64,
    segment: Arc<Mutex<Option<Segment>>>,
    work: Sender<Work>,
    /// Buffers of rounds that the thread has taken in.
    spent: Receiver<Vec<u8>>,
    spare: Arc<Mutex<Option<Spare>>>,
    log: Arc<JournalLog>,
}

/// What a shard hands to its journal's thread.
#[derive(Debug)]
enum Work {
    /// Frames that are in segments, up to this ticket; the last `newest_bytes` in the newest.
    Round {
        frames: Vec<u8>,
        ticket: u64,
        newest_bytes: usize,
    },
    /// The shard has begun another segment, or ends the last.
    Opened(Option<Ahead>),
    /// A segment that gets no more, and the leaf behind its last.
    Seal { segment: Segment, end_leaf: u64 },
    /// The shard has given all that it took.
    Ended,
}

/// What others may know of a log: where it is, who signs it, how much of it is signed.
#[derive(Debug)]
pub(crate) struct JournalLog {
    pub(crate) dir: PathBuf,
    pub(crate) origin: String,
    pub(crate) verifier: String,
    signed_leaves: AtomicU64,
    shipped_leaves: AtomicU64,
    synced_ticket: AtomicU64,
    /// Bytes of rounds that the thread has not taken.
    given_bytes: AtomicUsize,
    /// Someone waits for this ticket to survive power loss.
    sync_wanted: AtomicU64,
    /// The journal's thread, which looks for work by itself now and then: waking it for each round would cost the shard more
    /// than the round.
    thread: OnceLock<Thread>,
    /// The journal's thread ended by an error: nothing is signed any more.
    dead: AtomicBool,
}

impl JournalLog {
    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Whether a round of so many bytes may be given to the thread.
    fn has_room(&self, bytes: usize) -> bool {
        let given = self.given_bytes.load(Ordering::Relaxed);
        given == 0 || given.saturating_add(bytes) <= GIVEN_BYTES_MAX
    }

    /// Notes that the control plane holds so many leaves.
    pub(crate) fn shipped(&self, leaves: u64) {
        self.shipped_leaves.store(leaves, Ordering::Release);
    }

    /// Whether the control plane holds all that is signed.
    pub(crate) fn is_shipped(&self) -> bool {
        self.shipped_leaves.load(Ordering::Acquire) >= self.signed_leaves()
    }

    /// Leaves under the newest checkpoint.
    pub(crate) fn signed_leaves(&self) -> u64 {
        self.signed_leaves.load(Ordering::Acquire)
    }
}

impl Journal {
    pub(crate) fn new(end: JournalEnd) -> Self {
        let segment = end
            .segment
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let inner = Inner {
            segment,
            next_leaf: end.first_leaf,
            pending: Vec::new(),
            stored_bytes: 0,
            appended: 0,
            written: 0,
            failed: None,
            waiters: Vec::new(),
            woken: Vec::new(),
        };
        Self {
            end,
            inner: RefCell::new(inner),
            work: Kick::default(),
            stopping: std::cell::Cell::new(false),
            #[cfg(feature = "stages")]
            nowhere: false,
        }
    }

    /// Says at once that everything is recorded, and records nothing: for benchmarks, see [`crate::stages`].
    #[cfg(feature = "stages")]
    pub(crate) fn nowhere(end: JournalEnd) -> Self {
        Self {
            nowhere: true,
            ..Self::new(end)
        }
    }

    /// Takes framed leaves: into the segment if that costs no system call, else into memory ([`Durability::Queued`]).
    pub(crate) fn append(&self, frames: &[u8]) -> Result<Ticket, JournalError> {
        #[cfg(feature = "stages")]
        if self.nowhere {
            // Reached before the first append.
            return Ok(Ticket(0));
        }
        let inner = &mut *self.inner.borrow_mut();
        if let Some(error) = &inner.failed {
            return Err(error.clone());
        }
        if inner.pending.len().saturating_add(frames.len()) > PENDING_BYTES_MAX {
            return Err(JournalError::Full);
        }
        let all_stored = inner.stored_bytes == inner.pending.len();
        inner.pending.extend_from_slice(frames);
        inner.appended += 1;
        if let Some(segment) = &mut inner.segment
            && all_stored
            && self.end.log.has_room(inner.pending.len())
            && segment.takes_at_once(frames)
        {
            segment.append(frames)?;
            inner.next_leaf += segment_leaves(frames).count() as u64;
            inner.stored_bytes = inner.pending.len();
            inner.written = inner.appended;
        }
        self.work.notify();
        Ok(Ticket(inner.appended))
    }

    /// Returns once the append is as durable as asked.
    pub(crate) async fn reached(
        &self,
        ticket: Ticket,
        durability: Durability,
    ) -> Result<(), JournalError> {
        if durability == Durability::Queued {
            return Ok(());
        }
        std::future::poll_fn(|context| {
            let mut inner = self.inner.borrow_mut();
            if inner.written >= ticket.0 {
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = &inner.failed {
                return Poll::Ready(Err(error.clone()));
            }
            inner.waiters.push((ticket.0, context.waker().clone()));
            Poll::Pending
        })
        .await?;
        if durability == Durability::Synced {
            let wanted = &self.end.log.sync_wanted;
            wanted.fetch_max(ticket.0, Ordering::AcqRel);
            self.end.log.wake();
            while self.end.log.synced_ticket.load(Ordering::Acquire) < ticket.0 {
                if self.end.log.dead.load(Ordering::Acquire) {
                    return Err(JournalError::gone());
                }
                if let Some(error) = &self.inner.borrow().failed {
                    return Err(error.clone());
                }
                clock::sleep(SYNC_POLL).await;
            }
        }
        Ok(())
    }

    /// Hands what came in each round to the journal's thread until [`Self::stop`], and stores it first if it is not. The task
    /// runs after those that the round woke, so once covers them all.
    pub(crate) async fn flush_rounds(&self) {
        loop {
            self.work.notified().await;
            let wrote = self.flush();
            if let Err(JournalError::Full) = wrote {
                // The thread is behind: what waits, waits on, and the clients with it.
                clock::sleep(FULL_PAUSE).await;
                self.work.notify();
                continue;
            }
            if let Err(error) = wrote {
                tracing::error!("no evidence can be recorded, so nothing is forwarded: {error}");
                self.fail(error);
            }
            let mut waiters = {
                let inner = &mut *self.inner.borrow_mut();
                std::mem::replace(&mut inner.waiters, std::mem::take(&mut inner.woken))
            };
            for (_, waker) in waiters.drain(..) {
                waker.wake();
            }
            self.inner.borrow_mut().woken = waiters;
            let (empty, failed) = {
                let inner = self.inner.borrow();
                (inner.pending.is_empty(), inner.failed.is_some())
            };
            if self.stopping.get() && (empty || failed) {
                if !failed && let Err(error) = self.end_log() {
                    tracing::warn!("the log is closed at the next start: {error}");
                }
                return;
            }
        }
    }

    /// Ends [`Self::flush_rounds`] once everything is written.
    pub(crate) fn stop(&self) {
        self.stopping.set(true);
        self.work.notify();
    }

    /// Takes nothing any more. What is stored already belongs to the log.
    fn fail(&self, error: JournalError) {
        let inner = &mut *self.inner.borrow_mut();
        inner.failed = Some(error);
        let mut frames = std::mem::take(&mut inner.pending);
        frames.truncate(std::mem::take(&mut inner.stored_bytes));
        if !frames.is_empty()
            && let Err(error) = self.end.give(frames, inner.written, 0)
        {
            tracing::warn!("what was stored last is taken up at the next start: {error}");
        }
    }

    fn end_log(&self) -> Result<(), JournalError> {
        let inner = &mut *self.inner.borrow_mut();
        // Nobody makes pages ready of a segment that becomes shorter.
        self.end.send(Work::Opened(None))?;
        if let Some(segment) = inner.segment.take() {
            let end_leaf = inner.next_leaf;
            self.end.send(Work::Seal { segment, end_leaf })?;
        }
        self.end.send(Work::Ended)
    }

    fn flush(&self) -> Result<(), JournalError> {
        let mut inner = self.inner.borrow_mut();
        if let Some(error) = &inner.failed {
            return Err(error.clone());
        }
        if inner.pending.is_empty() {
            return Ok(());
        }
        let waiting_count = self.end.work.len();
        if waiting_count > WORK_MAX / 2 {
            self.end.log.wake();
        }
        if waiting_count + 3 > WORK_MAX || !self.end.log.has_room(inner.pending.len()) {
            if self.end.log.dead.load(Ordering::Acquire) {
                return Err(JournalError::gone());
            }
            self.end.log.wake();
            return Err(JournalError::Full);
        }
        let inner = &mut *inner;
        let mut newest_bytes = inner.pending.len();
        let unstored = inner.pending.get(inner.stored_bytes..).unwrap_or_default();
        if !unstored.is_empty() {
            let fits = |segment: &Segment| segment.fits(unstored);
            if !inner.segment.as_ref().is_some_and(fits) {
                let (next, ahead) = self.end.next_segment(inner.next_leaf)?;
                self.end.send(Work::Opened(ahead))?;
                if let Some(segment) = inner.segment.replace(next) {
                    let end_leaf = inner.next_leaf;
                    self.end.send(Work::Seal { segment, end_leaf })?;
                }
                newest_bytes = unstored.len();
            }
            if let Some(segment) = &mut inner.segment {
                segment.append(unstored)?;
            }
            inner.next_leaf += segment_leaves(unstored).count() as u64;
            inner.written = inner.appended;
        }
        inner.stored_bytes = 0;
        let empty = self.end.spent.try_recv().unwrap_or_default();
        let frames = std::mem::replace(&mut inner.pending, empty);
        self.end.give(frames, inner.written, newest_bytes)
    }
}

impl JournalEnd {
    /// The segment made ahead; the shard waits for the disk only if it has outrun the journal's thread.
    fn next_segment(&self, first_leaf: u64) -> Result<(Segment, Option<Ahead>), JournalError> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match spare.take() {
            // Under the lock: the thread makes another one under this one's old name.
            Some(spare) => spare.start(first_leaf)?,
            None => {
                drop(spare);
                Segment::create(&self.dir, first_leaf, SEGMENT_BYTES)?
            }
        })
    }

    fn give(&self, frames: Vec<u8>, ticket: u64, newest_bytes: usize) -> Result<(), JournalError> {
        let given = &self.log.given_bytes;
        given.fetch_add(frames.len(), Ordering::Relaxed);
        self.send(Work::Round {
            frames,
            ticket,
            newest_bytes,
        })
    }

    fn send(&self, work: Work) -> Result<(), JournalError> {
        self.work.try_send(work).map_err(|error| match error {
            TrySendError::Full(_) => JournalError::Full,
            TrySendError::Disconnected(_) => JournalError::gone(),
        })
    }
}
