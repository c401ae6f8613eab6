//! Shards: one named, supervised thread with one glommio executor each.
//!
//! Every executor beats: glommio 0.9 can park with runnable tasks if its preempt timer fires at the wrong moment,
//! and a short timer bounds that stall to one beat. Every connection's future is guarded: a panic in glommio's
//! tasks would take the executor and all its connections along.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use futures_lite::FutureExt;
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement, spawn_local};
use slab::Slab;

use crate::limits::{
    SHARD_HEARTBEAT_MS, SHARD_IDLE_HEARTBEAT_MS, SHARD_IO_MEMORY_BYTES, SHARD_QUIET_BEATS,
    SHARD_RING_DEPTH,
};
use crate::net::driver::{Driver, DriverOptions};
use crate::net::{Bell, BellWatch, Waiters};

/// A shard's number, from 0, dense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub usize);

/// Where a shard's thread runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardPlacement {
    /// Wherever the kernel likes.
    Unbound,
    /// On this CPU only.
    Cpu(usize),
}

/// How shards are built: one per placement.
#[derive(Clone, Debug)]
pub struct ShardOptions {
    pub placements: Vec<ShardPlacement>,
    pub driver: DriverOptions,
}

impl ShardOptions {
    /// `count` shards that the kernel places.
    pub fn unbound(count: usize) -> Self {
        Self {
            placements: vec![ShardPlacement::Unbound; count],
            driver: DriverOptions::default(),
        }
    }

    /// One shard on each of these CPUs.
    pub fn on_cpus(cpus: impl IntoIterator<Item = usize>) -> Self {
        let placements = cpus.into_iter().map(ShardPlacement::Cpu).collect();
        Self {
            placements,
            driver: DriverOptions::default(),
        }
    }
}

/// Why no shards could be started.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    #[error("the operator asked for no shard at all")]
    OperatorAskedForNoShard,
    #[error("the host refused shard {}: {reason}", shard.0)]
    HostRefusedShard { shard: ShardId, reason: String },
}

/// Why a shard's thread has ended.
#[derive(Debug)]
pub enum ExitCause {
    /// Its main future returned.
    Finished,
    /// Its main future, or a task that nobody guarded, panicked.
    Panicked(String),
    /// Its readiness set broke.
    DriverBroke(io::Error),
}

/// The end of a shard.
#[derive(Debug)]
pub struct ShardExit {
    pub shard: ShardId,
    pub cause: ExitCause,
}

/// Starts one shard per placement and in each the future that `main` makes there. Returns when all run, or
/// stops those that do and tells why one does not.
pub fn spawn_shards<F, Fut>(options: &ShardOptions, main: F) -> Result<Shards, ShardError>
where
    F: Fn(ShardContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    if options.placements.is_empty() {
        return Err(ShardError::OperatorAskedForNoShard);
    }
    let main = Arc::new(main);
    let (exit_sender, exits) = unbounded();
    let (started_sender, started) = bounded(options.placements.len());
    let mut shards = Shards {
        threads: Vec::new(),
        control: Vec::new(),
        exits,
        panics: Arc::new(AtomicU64::new(0)),
    };
    for (index, placement) in options.placements.iter().copied().enumerate() {
        let id = ShardId(index);
        let refused = |reason: String| ShardError::HostRefusedShard { shard: id, reason };
        let bell = Bell::new().map_err(|error| refused(error.to_string()))?;
        let control = Arc::new(Control {
            stop: AtomicBool::new(false),
            bell,
        });
        let (exit_sender, started_sender) = (exit_sender.clone(), started_sender.clone());
        let (main, panics, driver) = (
            Arc::clone(&main),
            Arc::clone(&shards.panics),
            options.driver,
        );
        shards.control.push(Arc::clone(&control));
        let body = move || {
            let start = Start {
                id,
                placement,
                driver,
                control,
                panics,
                started: started_sender,
            };
            // A panic anywhere on this thread is an exit to report, not to lose.
            let cause = catch_unwind(AssertUnwindSafe(|| start.run(&*main)))
                .unwrap_or_else(|panic| ExitCause::Panicked(panic_text(panic.as_ref())));
            // Fails only if the supervisor is gone.
            let _ = exit_sender.send(ShardExit { shard: id, cause });
        };
        let thread = Builder::new().name(format!("shard-{index}")).spawn(body);
        shards
            .threads
            .push(thread.map_err(|error| refused(error.to_string()))?);
    }
    drop(started_sender);
    for _ in &options.placements {
        match started.recv() {
            Ok((_, Ok(()))) => {}
            Ok((shard, Err(reason))) => return Err(ShardError::HostRefusedShard { shard, reason }),
            Err(_) => {
                let reason = "a shard's thread ended before it began".to_owned();
                return Err(ShardError::HostRefusedShard {
                    shard: ShardId(0),
                    reason,
                });
            }
        }
    }
    Ok(shards)
}

/// The running shards, as their supervisor sees them. Dropping it asks them to stop and does not wait.
#[derive(Debug)]
pub struct Shards {
    threads: Vec<JoinHandle<()>>,
    control: Vec<Arc<Control>>,
    exits: Receiver<ShardExit>,
    panics: Arc<AtomicU64>,
}

impl Shards {
    /// Number of shards that were started.
    pub fn count(&self) -> usize {
        self.threads.len()
    }

    /// Panics of guarded futures, over all shards.
    pub fn panics_count(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Asks every shard to stop: [`ShardContext::stopped`] returns there. Safe to call twice.
    pub fn stop(&self) {
        for control in &self.control {
            control.stop.store(true, Ordering::Release);
            control.bell.ring();
        }
    }

    /// The next end of a shard, or `None` after `timeout`. Without a stop, an end is a fault to act on.
    pub fn next_exit(&self, timeout: Duration) -> Option<ShardExit> {
        self.exits.recv_timeout(timeout).ok()
    }

    /// Waits for every thread, and returns the ends not yet taken.
    pub fn join(mut self) -> Vec<ShardExit> {
        for thread in self.threads.drain(..) {
            // The thread's body catches panics; what it had to tell is in `exits`.
            let _ = thread.join();
        }
        self.exits.try_iter().collect()
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a shard's main future has to work with. Clones are the same shard; it does not leave the thread.
#[derive(Clone, Debug)]
pub struct ShardContext {
    inner: Rc<Inner>,
}

impl ShardContext {
    pub fn id(&self) -> ShardId {
        self.inner.id
    }

    /// The readiness driver, to build sockets on.
    pub fn driver(&self) -> &Rc<Driver> {
        &self.inner.driver
    }

    /// Returns once the supervisor has asked to stop.
    pub async fn stopped(&self) {
        self.inner.stop.raised().await;
    }

    /// Whether the supervisor has asked to stop.
    pub fn is_stopped(&self) -> bool {
        self.inner.stop.is_raised()
    }

    /// Runs `future` as a task that may panic without harm to others: the panic is counted and logged under
    /// `name`, and what the future owned is dropped. Tasks left when the main future has ended are dropped then.
    pub fn spawn_guarded(&self, name: &'static str, future: impl Future<Output = ()> + 'static) {
        let inner = Rc::clone(&self.inner);
        inner.guarded.set(inner.guarded.get() + 1);
        let guard = Guarded(inner);
        // Each of the wrappers below would keep room for it once more.
        let future = Box::pin(future);
        let task = async move {
            let shard = &guard.0;
            // The inner block drops the future, whichever way it ends, under the guard's eyes too.
            let body = async { future.or(shard.ending.raised()).await };
            if AssertUnwindSafe(body).catch_unwind().await.is_err() {
                shard.panics.fetch_add(1, Ordering::Relaxed);
                // The panic's own text may quote what a client sent: it stays out of the log.
                tracing::error!(
                    shard = shard.id.0,
                    task = name,
                    "a task panicked; the shard goes on"
                );
            }
        };
        spawn_local(task).detach();
    }

    /// Guarded tasks that have not ended.
    pub fn guarded_count(&self) -> usize {
        self.inner.guarded.get()
    }

    /// Returns once no guarded task is left: the end of a drain.
    pub async fn guarded_ended(&self) {
        poll_fn(|cx| {
            if self.inner.guarded.get() == 0 {
                return Poll::Ready(());
            }
            self.inner.ended.add(cx);
            Poll::Pending
        })
        .await;
    }
}

/// Something that happens once, told to all tasks of one shard that wait for it. Any number may wait.
#[derive(Debug, Default)]
pub struct Signal {
    raised: Cell<bool>,
    waiting: RefCell<Slab<Waker>>,
}

impl Signal {
    /// Wakes all who wait, now and later.
    pub fn raise(&self) {
        self.raised.set(true);
        let waiting: Vec<Waker> = self
            .waiting
            .borrow()
            .iter()
            .map(|(_, waker)| waker.clone())
            .collect();
        waiting.into_iter().for_each(Waker::wake);
    }

    pub fn is_raised(&self) -> bool {
        self.raised.get()
    }

    /// Ready once the signal is raised. Dropping it loses nothing and leaves nothing behind.
    pub fn raised(&self) -> Raised<'_> {
        Raised {
            signal: self,
            place: None,
        }
    }
}

/// See [`Signal::raised`].
#[derive(Debug)]
pub struct Raised<'a> {
    signal: &'a Signal,
    place: Option<usize>,
}

impl Future for Raised<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.signal.is_raised() {
            return Poll::Ready(());
        }
        let mut waiting = self.signal.waiting.borrow_mut();
        match self.place.and_then(|place| waiting.get_mut(place)) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => {
                let place = waiting.insert(cx.waker().clone());
                drop(waiting);
                self.place = Some(place);
            }
        }
        Poll::Pending
    }
}

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.signal.waiting.borrow_mut().remove(place);
        }
    }
}

#[derive(Debug)]
struct Inner {
    id: ShardId,
    driver: Rc<Driver>,
    stop: Rc<Signal>,
    /// Raised when the main future has ended.
    ending: Signal,
    guarded: Cell<usize>,
    ended: Waiters,
    panics: Arc<AtomicU64>,
}

/// Counts a guarded task until it has ended, whichever way.
struct Guarded(Rc<Inner>);

impl Drop for Guarded {
    fn drop(&mut self) {
        let left = self.0.guarded.get() - 1;
        self.0.guarded.set(left);
        if left == 0 {
            self.0.ended.wake();
        }
    }
}

/// How the supervisor reaches a shard.
#[derive(Debug)]
struct Control {
    stop: AtomicBool,
    bell: Arc<Bell>,
}

/// What a shard's thread begins with.
struct Start {
    id: ShardId,
    placement: ShardPlacement,
    driver: DriverOptions,
    control: Arc<Control>,
    panics: Arc<AtomicU64>,
    started: Sender<(ShardId, Result<(), String>)>,
}

impl Start {
    fn run<F, Fut>(self, main: &F) -> ExitCause
    where
        F: Fn(ShardContext) -> Fut,
        Fut: Future<Output = ()> + 'static,
    {
        // The channel holds one report per shard, so sending never waits.
        let report = |result| drop(self.started.send((self.id, result)));
        let executor = match build_executor(self.id, self.placement) {
            Ok(executor) => executor,
            Err(reason) => {
                report(Err(reason));
                return ExitCause::Finished;
            }
        };
        executor.run(async {
            let watched = Driver::new(self.driver).and_then(|driver| {
                Ok((
                    BellWatch::new(&driver, Arc::clone(&self.control.bell))?,
                    driver,
                ))
            });
            let (watch, driver) = match watched {
                Ok(watched) => watched,
                Err(error) => {
                    report(Err(error.to_string()));
                    return ExitCause::Finished;
                }
            };
            let stop = Rc::new(Signal::default());
            let (id, panics) = (self.id, Arc::clone(&self.panics));
            let inner = Inner {
                id,
                driver: Rc::clone(&driver),
                stop: Rc::clone(&stop),
                ending: Signal::default(),
                guarded: Cell::new(0),
                ended: Waiters::default(),
                panics,
            };
            let context = ShardContext {
                inner: Rc::new(inner),
            };
            let beat = spawn_local(beat(Rc::clone(&driver)));
            let listen = spawn_local(raise_on_stop(watch, Arc::clone(&self.control), stop));
            let drive = spawn_local(driver.run());
            report(Ok(()));
            let main = AssertUnwindSafe(main(context.clone())).catch_unwind();
            let cause = async {
                match main.await {
                    Ok(()) => ExitCause::Finished,
                    Err(panic) => ExitCause::Panicked(panic_text(panic.as_ref())),
                }
            }
            .or(async { ExitCause::DriverBroke(drive.await) })
            .await;
            context.inner.ending.raise();
            context.guarded_ended().await;
            beat.cancel().await;
            listen.cancel().await;
            cause
        })
    }
}

/// Bounds how long a wake-up that glommio loses can hold the shard. A beat costs a whole park, so a shard on which nothing
/// happened for a while beats seldom.
async fn beat(driver: Rc<Driver>) {
    let mut seen_events = driver.counts().events;
    let mut quiet_beats = 0;
    loop {
        let idle = quiet_beats >= SHARD_QUIET_BEATS;
        let beat_ms = if idle {
            SHARD_IDLE_HEARTBEAT_MS
        } else {
            SHARD_HEARTBEAT_MS
        };
        glommio::timer::sleep(Duration::from_millis(beat_ms)).await;
        let events = driver.counts().events;
        quiet_beats = if events == seen_events {
            (quiet_beats + 1).min(SHARD_QUIET_BEATS)
        } else {
            0
        };
        seen_events = events;
    }
}

fn build_executor(id: ShardId, placement: ShardPlacement) -> Result<LocalExecutor, String> {
    let placement = match placement {
        ShardPlacement::Unbound => Placement::Unbound,
        ShardPlacement::Cpu(cpu) => Placement::Fixed(cpu),
    };
    // The preempt timer keeps its default: a shorter one makes the lost wake-up likelier.
    LocalExecutorBuilder::new(placement)
        .name(&format!("shard-{}", id.0))
        .io_memory(SHARD_IO_MEMORY_BYTES)
        .ring_depth(SHARD_RING_DEPTH)
        .make()
        .map_err(|error| error.to_string())
}

async fn raise_on_stop(watch: BellWatch, control: Arc<Control>, stop: Rc<Signal>) {
    while !control.stop.load(Ordering::Acquire) {
        watch.rung().await;
    }
    stop.raise();
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no text".to_owned())
}
