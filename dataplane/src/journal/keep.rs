//! The thread beside one shard that builds its log and signs it.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, TryRecvError, bounded};
use sluice_evidence::files::{LogWriter, Pruning};
use sluice_evidence::{Kind, RecordHead, RecordWriter, SigningKey};

use super::mapped::Ahead;
use super::segment::{Segment, Spare};
use super::{JournalEnd, JournalError, JournalLog, SEGMENT_BYTES, SYNC_POLL, WORK_MAX, Work};
use crate::clock;
use crate::metrics::Metrics;

/// Buffers of rounds that wait to be filled again, and the largest that does.
const SPENT_MAX: usize = 128;
const SPENT_BYTES_MAX: usize = 64 * 1024;
/// How often the journal's thread looks for rounds, while they come and after.
const BUSY_POLL: Duration = Duration::from_millis(10);
const IDLE_POLL: Duration = Duration::from_millis(100);
/// Tiles that the disk is waited for at once, for each segment that is to be removed: rounds wait meanwhile.
const PRUNED_AT_ONCE: usize = 8;
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
/// A checkpoint although nothing happened: a gap in time is then visible.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(60);

/// The thread beside one shard that builds and signs its log.
#[derive(Debug)]
pub(crate) struct JournalWriter {
    thread: JoinHandle<()>,
    stop: Sender<()>,
    log: Arc<JournalLog>,
}

impl JournalWriter {
    /// Opens the log of a shard under `state_dir`, takes up what an earlier run left, and starts its thread.
    pub(crate) fn start(
        state_dir: &Path,
        gateway: &str,
        shard: usize,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, JournalEnd), JournalError> {
        let evidence = state_dir.join("evidence");
        let seed = seed(&evidence).map_err(disk)?;
        let key = SigningKey::from_seed(&format!("sluice/{gateway}/shard-{shard}"), &seed)?;
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
            given_bytes: AtomicUsize::new(0),
            sync_wanted: AtomicU64::new(0),
            thread: OnceLock::new(),
            dead: AtomicBool::new(false),
        });
        let first_leaf = writer.next_leaf();
        let (segment, ahead) = Segment::create(&dir, first_leaf, SEGMENT_BYTES)?;
        let (work, taken) = bounded(WORK_MAX);
        let (give_back, spent) = bounded(SPENT_MAX);
        let spare = Arc::new(Mutex::new(None));
        let (stop, stopped) = bounded(1);
        let mut keeper = Keeper {
            writer,
            work: taken,
            give_back,
            stopped,
            log: log.clone(),
            spare: spare.clone(),
            ahead,
            recent_bytes: 0,
            pruning: None,
            metrics,
        };
        let thread = std::thread::Builder::new()
            .name(format!("journal-{shard}"))
            .spawn(move || {
                let mut death = Death {
                    log: keeper.log.clone(),
                    ended: false,
                };
                match keeper.run() {
                    Ok(()) => death.ended = true,
                    Err(error) => {
                        keeper.metrics.evidence_refused();
                        tracing::error!(shard, "the evidence log is not signed any more: {error}");
                    }
                }
            })
            .map_err(disk)?;
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

/// Says that the thread is gone, also where it panics.
struct Death {
    log: Arc<JournalLog>,
    /// It was asked to end.
    ended: bool,
}

impl Drop for Death {
    fn drop(&mut self) {
        if !self.ended {
            self.log.dead.store(true, Ordering::Release);
        }
    }
}

/// What the journal's thread works with.
struct Keeper {
    writer: LogWriter,
    work: Receiver<Work>,
    give_back: Sender<Vec<u8>>,
    stopped: Receiver<()>,
    log: Arc<JournalLog>,
    spare: Arc<Mutex<Option<Spare>>>,
    /// Of the segment that the shard writes to, if it is mapped.
    ahead: Option<Ahead>,
    /// Taken since the last checkpoint.
    recent_bytes: usize,
    pruning: Option<Pruning>,
    metrics: Arc<Metrics>,
}

impl Keeper {
    /// Takes rounds and signs, until the shard is gone and all is taken.
    fn run(&mut self) -> Result<(), JournalError> {
        let mut signed = Instant::now();
        let mut ticket = 0;
        let mut dirty = false;
        // Segments are to be removed once everything before this leaf is signed.
        let mut sealed_end = None;
        let mut all_given = false;
        loop {
            let taken = match self.work.try_recv() {
                Err(TryRecvError::Empty) => {
                    std::thread::park_timeout(match () {
                        () if self.sync_wanted() > ticket => SYNC_POLL, // its round is on its way
                        () if self.pruning.is_some() => SYNC_POLL,
                        () if dirty => BUSY_POLL,
                        () => IDLE_POLL,
                    });
                    self.work.try_recv()
                }
                taken => taken,
            };
            match taken {
                Ok(Work::Round {
                    frames,
                    ticket: written,
                    newest_bytes,
                }) => {
                    self.take(frames, newest_bytes)?;
                    ticket = written;
                    dirty = true;
                    if !self.work.is_empty() {
                        continue;
                    }
                }
                Ok(Work::Opened(ahead)) => {
                    self.ahead = ahead;
                    if let Some(ahead) = &mut self.ahead {
                        ahead.opened().map_err(disk)?;
                    }
                }
                Ok(Work::Seal { segment, end_leaf }) => {
                    segment.seal()?;
                    sealed_end = Some(end_leaf);
                }
                Ok(Work::Ended) => all_given = true,
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return self.close(all_given, ticket),
            }
            self.make_spare()?;
            let draining = matches!(self.stopped.try_recv(), Err(TryRecvError::Disconnected));
            let due = if dirty {
                CHECKPOINT_EVERY
            } else {
                HEARTBEAT_EVERY
            };
            let synced = self.log.synced_ticket.load(Ordering::Relaxed);
            let sync = self.sync_wanted() > synced && ticket > synced;
            if sync || signed.elapsed() >= due || (draining && dirty) {
                self.sign(ticket)?;
                signed = Instant::now();
                dirty = false;
                if self.pruning.is_none()
                    && sealed_end.is_some_and(|end| end <= self.log.signed_leaves())
                {
                    // Its leaves are in signed tiles now.
                    self.pruning = self.writer.prune_segments()?;
                    sealed_end = None;
                }
            }
            if let Some(pruning) = &mut self.pruning {
                // The more of them wait, the more of their tiles: a disk that is slow holds clients back, and is not filled.
                let tiles = PRUNED_AT_ONCE.saturating_mul(pruning.segments_count());
                if pruning.step(tiles)?.is_some() {
                    self.pruning = None;
                }
            }
            if draining && self.work.is_empty() {
                return self.close(all_given, ticket);
            }
        }
    }

    fn close(&mut self, all_given: bool, ticket: u64) -> Result<(), JournalError> {
        // Otherwise a segment may hold more than the tree: the next start takes it up.
        if all_given {
            note(&mut self.writer, Kind::LogClosed, "drained")?;
            self.writer.seal()?;
        }
        self.sign(ticket)
    }

    fn sync_wanted(&self) -> u64 {
        self.log.sync_wanted.load(Ordering::Acquire)
    }

    fn take(&mut self, mut frames: Vec<u8>, newest_bytes: usize) -> Result<(), JournalError> {
        if let Some(ahead) = &mut self.ahead {
            ahead.passed(newest_bytes).map_err(disk)?;
        }
        self.recent_bytes = self.recent_bytes.saturating_add(frames.len());
        self.writer.ingest_frames(&frames)?;
        let given = &self.log.given_bytes;
        given.fetch_sub(frames.len(), Ordering::Relaxed);
        if frames.capacity() <= SPENT_BYTES_MAX {
            frames.clear();
            // Where there is no room the shard has enough of them.
            let _ = self.give_back.try_send(frames);
        }
        Ok(())
    }

    fn make_spare(&self) -> Result<(), JournalError> {
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare().is_none() {
            let made = Spare::create(&self.log.dir, SEGMENT_BYTES)?;
            *spare() = Some(made);
        }
        Ok(())
    }

    fn sign(&mut self, ticket: u64) -> Result<(), JournalError> {
        let start = clock::monotonic_ns();
        if let Some(ahead) = &mut self.ahead {
            ahead.syncing();
        }
        let signed = self
            .writer
            .sign_checkpoint(clock::now_unix_ns() / 1_000_000_000)?;
        let took_ns = clock::monotonic_ns().saturating_sub(start);
        self.metrics.journal_signed(took_ns / 1_000);
        self.log
            .signed_leaves
            .store(signed.checkpoint.size, Ordering::Release);
        self.log.synced_ticket.store(ticket, Ordering::Release);
        let recent_bytes = std::mem::take(&mut self.recent_bytes);
        match &mut self.ahead {
            Some(ahead) => ahead.synced(recent_bytes).map_err(disk),
            None => Ok(()),
        }
    }
}

fn disk(error: std::io::Error) -> JournalError {
    JournalError::OperatorDisk(error.to_string())
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
