//! Evidence on its way to disk: one positioned write per round of the shard, a tree and signatures on a thread beside it.
//!
//! A shard appends framed leaves to memory and waits for a ticket. Its journal task writes all that came in one round with
//! one write ([`Durability::Written`]). The journal's thread takes the same frames, builds the tree and signs it every
//! second; signing makes them survive power loss ([`Durability::Synced`]).

use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Poll, Waker};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use sluice_evidence::files::{LogWriter, SegmentFile, SpareSegment};
use sluice_evidence::segment::segment_leaves;
use sluice_evidence::{Kind, RecordHead, RecordWriter, SigningKey};
use sluice_policy::Durability;

use crate::clock;
use crate::config::GatewayConfig;
use crate::kick::Kick;
use crate::metrics::Metrics;

const _: () = assert!(PENDING_BYTES_MAX as u64 <= SEGMENT_BYTES);

/// Evidence that may wait in memory for one write; more is refused, and its sessions end.
const PENDING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Rounds and full segments that may wait for the journal's thread.
const WORK_MAX: usize = 4_096;
/// Buffers of rounds that wait to be filled again, and the largest that does.
const SPENT_MAX: usize = 128;
const SPENT_BYTES_MAX: usize = 64 * 1024;
/// How often the journal's thread looks for rounds, while they come and after.
const BUSY_POLL: Duration = Duration::from_millis(10);
const IDLE_POLL: Duration = Duration::from_millis(100);
const SEGMENT_BYTES: u64 = 32 * 1024 * 1024;
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
/// A checkpoint although nothing happened: a gap in time is then visible.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(60);
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
}

#[derive(Debug)]
struct Inner {
    segment: Option<SegmentFile>,
    next_leaf: u64,
    pending: Vec<u8>,
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
    segment: Arc<Mutex<Option<SegmentFile>>>,
    work: Sender<Work>,
    /// Buffers of rounds that the thread has taken in.
    spent: Receiver<Vec<u8>>,
    spare: Arc<Mutex<Option<SpareSegment>>>,
    log: Arc<JournalLog>,
}

/// What a shard hands to its journal's thread.
#[derive(Debug)]
enum Work {
    /// Frames that are in the segment, up to this ticket.
    Round { frames: Vec<u8>, ticket: u64 },
    /// A segment that is full.
    Seal(SegmentFile),
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
    sync_wanted: AtomicBool,
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
        }
    }

    /// Takes framed leaves into memory ([`Durability::Queued`]).
    pub(crate) fn append(&self, frames: &[u8]) -> Result<Ticket, JournalError> {
        let mut inner = self.inner.borrow_mut();
        if let Some(error) = &inner.failed {
            return Err(error.clone());
        }
        if inner.pending.len().saturating_add(frames.len()) > PENDING_BYTES_MAX {
            return Err(JournalError::Full);
        }
        inner.pending.extend_from_slice(frames);
        inner.appended += 1;
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
            self.end.log.sync_wanted.store(true, Ordering::Release);
            self.end.log.wake();
            while self.end.log.synced_ticket.load(Ordering::Acquire) < ticket.0 {
                if self.end.log.dead.load(Ordering::Acquire) {
                    return Err(JournalError::OperatorDisk(
                        "the journal's thread is gone".into(),
                    ));
                }
                clock::sleep(SYNC_POLL).await;
            }
        }
        Ok(())
    }

    /// Writes what came in each round until [`Self::stop`]. The task runs after those that the round woke, so one write
    /// covers them all.
    pub(crate) async fn flush_rounds(&self, metrics: &Metrics) {
        loop {
            self.work.notified().await;
            let start = clock::monotonic_ns();
            let wrote = self.flush();
            metrics.journal_wrote(clock::monotonic_ns().saturating_sub(start) / 1_000);
            if let Err(JournalError::Full) = wrote {
                // The thread is behind: what waits, waits on, and the clients with it.
                clock::sleep(FULL_PAUSE).await;
                self.work.notify();
                continue;
            }
            if let Err(error) = wrote {
                tracing::error!("no evidence can be recorded, so nothing is forwarded: {error}");
                self.inner.borrow_mut().failed = Some(error);
            }
            let mut waiters = {
                let inner = &mut *self.inner.borrow_mut();
                std::mem::replace(&mut inner.waiters, std::mem::take(&mut inner.woken))
            };
            for (_, waker) in waiters.drain(..) {
                waker.wake();
            }
            self.inner.borrow_mut().woken = waiters;
            if self.stopping.get() && self.inner.borrow().pending.is_empty() {
                if let Some(segment) = self.inner.borrow_mut().segment.take()
                    && let Err(error) = self.end.send(Work::Seal(segment))
                {
                    tracing::warn!("the last segment is sealed at the next start: {error}");
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
        if waiting_count + 2 > WORK_MAX {
            return Err(JournalError::Full);
        }
        let empty = self.end.spent.try_recv().unwrap_or_default();
        let frames = std::mem::replace(&mut inner.pending, empty);
        let left = inner.segment.as_ref().map_or(0, SegmentFile::bytes_left);
        if left < frames.len() as u64 {
            let next = self.end.next_segment(inner.next_leaf)?;
            if let Some(full) = inner.segment.replace(next) {
                self.end.send(Work::Seal(full))?;
            }
        }
        if let Some(segment) = &mut inner.segment {
            segment.append(&frames)?;
        }
        inner.next_leaf += segment_leaves(&frames).count() as u64;
        inner.written = inner.appended;
        self.end.send(Work::Round {
            frames,
            ticket: inner.written,
        })
    }
}

impl JournalEnd {
    /// The segment made ahead; the shard waits for the disk only if it has outrun the journal's thread.
    fn next_segment(&self, first_leaf: u64) -> Result<SegmentFile, JournalError> {
        let spare = self
            .spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        Ok(match spare {
            Some(spare) => spare.start(first_leaf)?,
            None => SegmentFile::create(&self.dir, first_leaf, SEGMENT_BYTES)?,
        })
    }

    fn send(&self, work: Work) -> Result<(), JournalError> {
        self.work.try_send(work).map_err(|error| match error {
            TrySendError::Full(_) => JournalError::Full,
            TrySendError::Disconnected(_) => {
                JournalError::OperatorDisk("the journal's thread is gone".into())
            }
        })
    }
}

/// The thread beside one shard that builds and signs its log.
#[derive(Debug)]
pub(crate) struct JournalWriter {
    thread: JoinHandle<()>,
    stop: Sender<()>,
    log: Arc<JournalLog>,
}

impl JournalWriter {
    /// Opens the log of a shard, takes up what an earlier run left, and starts its thread.
    pub(crate) fn start(
        config: &GatewayConfig,
        shard: usize,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, JournalEnd), JournalError> {
        let evidence = config.state_dir.join("evidence");
        let seed =
            seed(&evidence).map_err(|error| JournalError::OperatorDisk(error.to_string()))?;
        let key = SigningKey::from_seed(&format!("sluice/{}/shard-{shard}", config.name), &seed)?;
        let dir = evidence.join(format!("shard-{shard}"));
        let (mut writer, recovery) = LogWriter::open(&dir, key)?;
        if recovery.replayed_count > 0 {
            tracing::info!(
                shard,
                leaves = recovery.replayed_count,
                "took up evidence of a run that did not end well"
            );
        }
        note(
            &mut writer,
            Kind::LogOpened,
            if recovery.replayed_count > 0 {
                "recovered"
            } else {
                "opened"
            },
        )?;
        writer.seal()?;
        let checkpoint = writer.sign_checkpoint(clock::now_unix_ns() / 1_000_000_000)?;
        let log = Arc::new(JournalLog {
            dir: dir.clone(),
            origin: writer.key().origin().to_owned(),
            verifier: writer.key().verifier().to_string(),
            signed_leaves: AtomicU64::new(checkpoint.checkpoint.size),
            shipped_leaves: AtomicU64::new(0),
            synced_ticket: AtomicU64::new(0),
            sync_wanted: AtomicBool::new(false),
            thread: OnceLock::new(),
            dead: AtomicBool::new(false),
        });
        let first_leaf = writer.next_leaf();
        let segment = SegmentFile::create(&dir, first_leaf, SEGMENT_BYTES)?;
        let (work, taken) = bounded(WORK_MAX);
        let (give_back, spent) = bounded(SPENT_MAX);
        let spare = Arc::new(Mutex::new(None));
        let (stop, stopped) = bounded(1);
        let thread = {
            let (log, spare) = (log.clone(), spare.clone());
            std::thread::Builder::new()
                .name(format!("journal-{shard}"))
                .spawn(move || {
                    if let Err(error) =
                        keep(&mut writer, &taken, &give_back, &stopped, &log, &spare)
                    {
                        log.dead.store(true, Ordering::Release);
                        metrics.evidence_refused();
                        tracing::error!(shard, "the evidence log is not signed any more: {error}");
                    }
                })
                .map_err(|error| JournalError::OperatorDisk(error.to_string()))?
        };
        // The only place that sets it.
        let _ = log.thread.set(thread.thread().clone());
        let end = JournalEnd {
            dir,
            first_leaf,
            segment: Arc::new(Mutex::new(Some(segment))),
            work,
            spent,
            spare,
            log: log.clone(),
        };
        Ok((Self { thread, stop, log }, end))
    }

    pub(crate) fn log(&self) -> Arc<JournalLog> {
        self.log.clone()
    }

    /// Signs what is left and closes the log.
    pub(crate) fn seal(self) {
        drop(self.stop);
        self.log.wake();
        // What the thread had to say is in the log already.
        let _ = self.thread.join();
    }
}

/// Takes rounds and signs, until the shard is gone and all is taken.
fn keep(
    writer: &mut LogWriter,
    work: &Receiver<Work>,
    give_back: &Sender<Vec<u8>>,
    stopped: &Receiver<()>,
    log: &JournalLog,
    spare: &Mutex<Option<SpareSegment>>,
) -> Result<(), JournalError> {
    let mut signed = Instant::now();
    let mut ticket = 0;
    let mut dirty = false;
    let mut sealed = false;
    let mut sync = false;
    loop {
        // Before a round is looked for: who asks has sent its round already.
        sync |= log.sync_wanted.swap(false, Ordering::AcqRel);
        let taken = match work.try_recv() {
            Err(TryRecvError::Empty) if !sync => {
                std::thread::park_timeout(if dirty { BUSY_POLL } else { IDLE_POLL });
                sync |= log.sync_wanted.swap(false, Ordering::AcqRel);
                work.try_recv()
            }
            taken => taken,
        };
        match taken {
            Ok(Work::Round {
                mut frames,
                ticket: written,
            }) => {
                writer.ingest_frames(&frames)?;
                if frames.capacity() <= SPENT_BYTES_MAX {
                    frames.clear();
                    // Where there is no room the shard has enough of them.
                    let _ = give_back.try_send(frames);
                }
                ticket = written;
                dirty = true;
                if !work.is_empty() {
                    continue;
                }
            }
            Ok(Work::Seal(segment)) => {
                segment.seal()?;
                sealed = true;
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => {
                note(writer, Kind::LogClosed, "drained")?;
                writer.seal()?;
                sign(writer, log, ticket)?;
                return Ok(());
            }
        }
        if spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none()
        {
            let made = SpareSegment::create(&log.dir, SEGMENT_BYTES)?;
            *spare.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
        }
        let draining = matches!(stopped.try_recv(), Err(TryRecvError::Disconnected));
        let due = if dirty {
            CHECKPOINT_EVERY
        } else {
            HEARTBEAT_EVERY
        };
        if sync || signed.elapsed() >= due || (draining && dirty) {
            sign(writer, log, ticket)?;
            signed = Instant::now();
            (dirty, sync) = (false, false);
            if std::mem::take(&mut sealed) {
                // Its leaves are in signed tiles now.
                writer.prune_segments()?;
            }
        }
        if draining && work.is_empty() {
            return Ok(());
        }
    }
}

fn sign(writer: &mut LogWriter, log: &JournalLog, ticket: u64) -> Result<(), JournalError> {
    let signed = writer.sign_checkpoint(clock::now_unix_ns() / 1_000_000_000)?;
    log.signed_leaves
        .store(signed.checkpoint.size, Ordering::Release);
    log.synced_ticket.store(ticket, Ordering::Release);
    Ok(())
}

/// Records a fact about the log itself.
fn note(writer: &mut LogWriter, kind: Kind, code: &str) -> Result<(), JournalError> {
    let head = RecordHead {
        kind,
        time_unix_ns: clock::now_unix_ns(),
        reason_code: code,
        ..RecordHead::default()
    };
    let mut leaf = Vec::new();
    RecordWriter::begin(&mut leaf, &head)?.finish();
    writer.append(&leaf)?;
    Ok(())
}

/// The seed of the gateway's evidence keys, made at the first start.
fn seed(dir: &Path) -> std::io::Result<[u8; 32]> {
    fs::create_dir_all(dir)?;
    let path = dir.join("signing-key");
    let mut seed = [0; 32];
    match fs::File::open(&path) {
        Ok(mut file) => file.read_exact(&mut seed)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
            let mut file = fs::OpenOptions::new()
                .create_new(true)
                .write(true)
                .mode(0o600)
                .open(&path)?;
            file.write_all(&seed)?;
            file.sync_all()?;
        }
        Err(error) => return Err(error),
    }
    Ok(seed)
}
