//! Accepting: one acceptor on shard 0 owns all listeners and hands each connection to the shard with the fewest.
//!
//! Clients of Kafka have few and long connections, so letting the kernel hash them over shards would leave shards
//! idle. A connection that finds its shard's queue full is refused: closed and counted.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam::queue::ArrayQueue;
use futures_lite::FutureExt;
use futures_lite::future::yield_now;

use crate::limits::{
    ACCEPT_BURST_CONNECTIONS_MAX, ACCEPT_CHANGES_MAX, ACCEPT_EXHAUSTED_PAUSE_MS,
    ACCEPT_QUEUE_CONNECTIONS_MAX,
};
use crate::net::driver::Driver;
use crate::net::{Bell, BellWatch, Listener, listen};
use crate::shard::{ShardContext, ShardId, Signal};

/// Names a listener for as long as the gateway runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub u32);

/// A connection on its way to a session.
#[derive(Debug)]
pub struct Accepted {
    pub fd: OwnedFd,
    pub peer: SocketAddr,
    pub listener: ListenerId,
    /// Keep it until the connection closes: it is what "fewest connections" counts.
    pub held: ConnectionHeld,
}

/// What has come in over all listeners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptCounts {
    pub accepted: u64,
    /// Closed at once, for want of room in the shards' queues.
    pub refused: u64,
    /// Failed `accept` calls, for want of descriptors or memory.
    pub exhausted: u64,
}

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    #[error("the operator's address {addr} cannot be listened on: {source}")]
    OperatorAddressUnusable { addr: SocketAddr, source: io::Error },
    #[error("too many listeners are being opened or closed at once")]
    OperatorChangesTooFast,
}

/// The way from listeners to shards; shared by all threads.
#[derive(Debug)]
pub struct AcceptRoom {
    lanes: Vec<Lane>,
    changes: ArrayQueue<Change>,
    changed: Arc<Bell>,
    next_listener: AtomicU32,
    accepted: AtomicU64,
    refused: AtomicU64,
    exhausted: AtomicU64,
}

impl AcceptRoom {
    /// A room for this many shards. Fails if the host is out of descriptors.
    pub fn new(shards_count: usize) -> io::Result<Arc<Self>> {
        Self::with_queue(shards_count, ACCEPT_QUEUE_CONNECTIONS_MAX)
    }

    fn with_queue(shards_count: usize, queue_connections_max: usize) -> io::Result<Arc<Self>> {
        let lanes = (0..shards_count)
            .map(|_| Lane::new(queue_connections_max))
            .collect::<io::Result<_>>()?;
        Ok(Arc::new(Self {
            lanes,
            changes: ArrayQueue::new(ACCEPT_CHANGES_MAX),
            changed: Bell::new()?,
            next_listener: AtomicU32::new(0),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            exhausted: AtomicU64::new(0),
        }))
    }

    /// Binds and listens now; connections are taken once (or as soon as) [`Self::run_acceptor`] runs. From any
    /// thread, at any time. Returns the address with the port that port 0 became.
    pub fn open(&self, addr: SocketAddr) -> Result<(ListenerId, SocketAddr), AcceptError> {
        let unusable = |source| AcceptError::OperatorAddressUnusable { addr, source };
        let listener = listen::bind(addr).map_err(unusable)?;
        let local = listener.local_addr().map_err(unusable)?;
        let id = ListenerId(self.next_listener.fetch_add(1, Ordering::Relaxed));
        self.change(Change::Open(id, listener))?;
        Ok((id, local))
    }

    /// Stops listening there; accepted connections stay. An unknown listener is none already.
    pub fn close(&self, listener: ListenerId) -> Result<(), AcceptError> {
        self.change(Change::Close(listener))
    }

    /// Stops listening everywhere: the first step of a drain.
    pub fn close_all(&self) -> Result<(), AcceptError> {
        self.change(Change::CloseAll)
    }

    fn change(&self, change: Change) -> Result<(), AcceptError> {
        self.changes
            .push(change)
            .map_err(|_| AcceptError::OperatorChangesTooFast)?;
        self.changed.ring();
        Ok(())
    }

    /// The acceptor: run it on one shard only (0). Ends with the shard's stop, or if the shard has no room to watch.
    pub async fn run_acceptor(self: Arc<Self>, shard: ShardContext) -> io::Result<()> {
        let changed = BellWatch::new(shard.driver(), Arc::clone(&self.changed))?;
        let mut open: HashMap<ListenerId, Rc<Signal>> = HashMap::new();
        loop {
            while let Some(change) = self.changes.pop() {
                match change {
                    Change::Open(id, listener) => {
                        let closing = Rc::new(Signal::default());
                        let listener = Listener::new(shard.driver(), listener)?;
                        let room = Arc::clone(&self);
                        let until = Rc::clone(&closing);
                        shard.spawn_guarded("acceptor", async move {
                            room.accept_from(id, listener, &until).await
                        });
                        open.insert(id, closing);
                    }
                    Change::Close(id) => {
                        if let Some(closing) = open.remove(&id) {
                            closing.raise();
                        }
                    }
                    Change::CloseAll => open.drain().for_each(|(_, closing)| closing.raise()),
                }
            }
            let stopped = until(changed.rung(), shard.stopped()).await.is_none();
            if stopped {
                open.drain().for_each(|(_, closing)| closing.raise());
                return Ok(());
            }
        }
    }

    /// The shard's end: its connections come out of the returned inbox. One per shard.
    pub fn inbox(self: &Arc<Self>, shard: ShardId, driver: &Rc<Driver>) -> io::Result<Inbox> {
        let lane = self.lanes.get(shard.0).ok_or(io::ErrorKind::NotFound)?;
        let bell = BellWatch::new(driver, Arc::clone(&lane.bell))?;
        lane.taken.store(true, Ordering::Release);
        Ok(Inbox {
            room: Arc::clone(self),
            shard,
            bell,
        })
    }

    /// Connections that each shard has or is about to get.
    pub fn connections_counts(&self) -> Vec<usize> {
        self.lanes
            .iter()
            .map(|lane| lane.connections.load(Ordering::Relaxed))
            .collect()
    }

    pub fn counts(&self) -> AcceptCounts {
        AcceptCounts {
            accepted: self.accepted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            exhausted: self.exhausted.load(Ordering::Relaxed),
        }
    }

    async fn accept_from(&self, id: ListenerId, listener: Listener, closing: &Signal) {
        let mut burst = 0;
        // Dropping an accept is harmless here: it is a readiness wait and a plain call, never a call in flight.
        while let Some(accepted) = until(listener.accept(), closing.raised()).await {
            match accepted {
                Ok((fd, peer)) => self.hand_over(id, fd, peer),
                Err(error) if is_exhausted(&error) => {
                    self.exhausted.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(listener = id.0, %error, "the host cannot accept a connection now");
                    let pause = Duration::from_millis(ACCEPT_EXHAUSTED_PAUSE_MS);
                    if until(crate::clock::sleep(pause), closing.raised())
                        .await
                        .is_none()
                    {
                        return;
                    }
                }
                Err(_) => {} // the client has gone before it was accepted
            }
            burst += 1;
            if burst % ACCEPT_BURST_CONNECTIONS_MAX == 0 {
                yield_now().await;
            }
        }
    }

    fn hand_over(&self, listener: ListenerId, fd: OwnedFd, peer: SocketAddr) {
        let turn = self.accepted.fetch_add(1, Ordering::Relaxed) as usize;
        let refused = match self.least_loaded(turn) {
            None => true,
            Some(lane) => {
                let held = ConnectionHeld::new(&lane.connections);
                let refused = lane
                    .queue
                    .push(Accepted {
                        fd,
                        peer,
                        listener,
                        held,
                    })
                    .is_err();
                lane.bell.ring();
                // The shard may have died just now, with nobody left to empty its queue.
                if !lane.taken.load(Ordering::Acquire) {
                    lane.clear();
                }
                refused
            }
        };
        if refused {
            self.refused.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                listener = listener.0,
                "a connection was refused: no shard has room"
            );
        }
    }

    /// The live lane with the fewest connections; of equals the next in turn.
    fn least_loaded(&self, turn: usize) -> Option<&Lane> {
        let count = self.lanes.len();
        let in_turn =
            (0..count).filter_map(|offset| self.lanes.get(turn.wrapping_add(offset) % count));
        in_turn
            .filter(|lane| lane.taken.load(Ordering::Acquire))
            .min_by_key(|lane| lane.connections.load(Ordering::Relaxed))
    }
}

/// A shard's accepted connections.
#[derive(Debug)]
pub struct Inbox {
    room: Arc<AcceptRoom>,
    shard: ShardId,
    bell: BellWatch,
}

impl Inbox {
    /// The next connection for this shard. Dropping the future loses nothing.
    pub async fn next(&self) -> Accepted {
        loop {
            if let Some(accepted) = self.lane().and_then(|lane| lane.queue.pop()) {
                return accepted;
            }
            self.bell.rung().await;
        }
    }

    fn lane(&self) -> Option<&Lane> {
        self.room.lanes.get(self.shard.0)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        if let Some(lane) = self.lane() {
            lane.taken.store(false, Ordering::Release);
            lane.clear();
        }
    }
}

/// Counts a connection of its shard for as long as it lives.
#[derive(Debug)]
pub struct ConnectionHeld(Arc<AtomicUsize>);

impl ConnectionHeld {
    fn new(connections: &Arc<AtomicUsize>) -> Self {
        connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(connections))
    }
}

impl Drop for ConnectionHeld {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Lane {
    queue: ArrayQueue<Accepted>,
    bell: Arc<Bell>,
    connections: Arc<AtomicUsize>,
    /// Whether a shard takes from the queue.
    taken: AtomicBool,
}

impl Lane {
    fn new(queue_connections_max: usize) -> io::Result<Self> {
        Ok(Self {
            queue: ArrayQueue::new(queue_connections_max),
            bell: Bell::new()?,
            connections: Arc::new(AtomicUsize::new(0)),
            taken: AtomicBool::new(false),
        })
    }

    fn clear(&self) {
        while self.queue.pop().is_some() {}
    }
}

#[derive(Debug)]
enum Change {
    Open(ListenerId, TcpListener),
    Close(ListenerId),
    CloseAll,
}

/// What `wanted` gives, or `None` once `end` has come.
async fn until<T>(wanted: impl Future<Output = T>, end: impl Future<Output = ()>) -> Option<T> {
    async {
        end.await;
        None
    }
    .or(async { Some(wanted.await) })
    .await
}

fn is_exhausted(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpStream;

    fn hand_over(room: &AcceptRoom) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, peer) = listener.accept().unwrap();
        room.hand_over(ListenerId(0), accepted.into(), peer);
        client
    }

    #[test]
    fn refuses_a_connection_when_its_shards_queue_is_full() {
        let room = AcceptRoom::with_queue(1, 1).unwrap();
        room.lanes[0].taken.store(true, Ordering::Release);
        let _waiting = hand_over(&room);
        let mut refused = hand_over(&room);
        assert_eq!(refused.read(&mut [0]).unwrap(), 0, "it is closed at once");
        assert_eq!(
            room.counts(),
            AcceptCounts {
                accepted: 2,
                refused: 1,
                exhausted: 0
            }
        );
        assert_eq!(
            room.connections_counts(),
            [1],
            "what was refused no longer counts"
        );
        drop(room.lanes[0].queue.pop());
        assert_eq!(room.connections_counts(), [0]);
    }

    #[test]
    fn passes_over_a_shard_that_takes_no_connections() {
        let room = AcceptRoom::with_queue(2, 8).unwrap();
        assert_eq!(
            hand_over(&room).read(&mut [0]).unwrap(),
            0,
            "no shard is there yet"
        );
        room.lanes[1].taken.store(true, Ordering::Release);
        let _held = [hand_over(&room), hand_over(&room)];
        assert_eq!(room.connections_counts(), [0, 2]);
        assert_eq!(room.counts().refused, 1);
    }
}
