//! Starts and stops the data plane: shards, listeners, journals and the control thread.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::accept::{AcceptError, AcceptRoom, Accepted, ConnectionHeld};
use crate::clock;
use crate::config::GatewayConfig;
use crate::control::{self, ControlError, ControlThread};
use crate::journal::{Journal, JournalEnd, JournalError, JournalWriter};
use crate::listeners::{Listeners, NameUnknown};
use crate::mailbox::Mailbox;
use crate::metrics::Metrics;
use crate::net::{DriverOptions, Sock, Stream, TlsRole};
use crate::pump::{self, Connection};
use crate::shard::{ShardContext, ShardError, ShardOptions, Shards, spawn_shards};
use crate::shard_state::{Cluster, Published, ShardState, SharedTables};
use sluice_session::{Close, Session};

/// How often sessions are looked at that do nothing: expired tokens, lost bindings.
const SWEEP_EVERY: Duration = Duration::from_millis(500);
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may stay connected without authenticating.
const AUTHENTICATION_TIMEOUT_MS: u64 = 30_000;
/// How long a drain waits for the control plane to take the last evidence; it is on disk in any case.
const SHIP_TIMEOUT: Duration = Duration::from_secs(3);
const SHIP_POLL: Duration = Duration::from_millis(20);
const DRAIN_POLL: Duration = Duration::from_millis(5);
/// How long a drain waits for sessions to end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A listener.
    #[error(transparent)]
    Accept(#[from] AcceptError),
    /// A shard.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// Evidence cannot be written.
    #[error("evidence: {0}")]
    Journal(#[from] JournalError),
    /// The control thread.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// Tokens would cross a network in clear text.
    #[error(
        "listener {0} is not on loopback and has no TLS: bearer tokens would be readable on the way. \
         Configure listen.tls, or listen on 127.0.0.1"
    )]
    OperatorPlainTextBeyondLoopback(SocketAddr),
    /// The host.
    #[error("{0}")]
    Host(#[from] std::io::Error),
}

/// A running data plane.
#[derive(Debug)]
pub struct Gateway {
    shards: Shards,
    room: Arc<AcceptRoom>,
    journals: Vec<JournalWriter>,
    control: Option<ControlThread>,
    bootstrap: SocketAddr,
    metrics: Arc<Metrics>,
}

impl Gateway {
    /// Starts the shards and listens. Everything is denied until a snapshot is in force.
    ///
    /// # Errors
    /// What the operator must change; see [`GatewayError`].
    pub fn start(config: GatewayConfig) -> Result<Self, GatewayError> {
        Self::start_with(config, Journal::new)
    }

    pub(crate) fn start_with(
        config: GatewayConfig,
        journal: fn(JournalEnd) -> Journal,
    ) -> Result<Self, GatewayError> {
        let listen = SocketAddr::new(config.listen.host, config.listen.bootstrap_port);
        if config.client_tls.is_none() && !listen.ip().is_loopback() {
            return Err(GatewayError::OperatorPlainTextBeyondLoopback(listen));
        }
        std::fs::create_dir_all(&config.state_dir)?;
        let config = Arc::new(config);
        let metrics = Arc::new(Metrics::default());
        let options = shard_options(&config);
        let shards_count = options.placements.len();
        let mut journals = Vec::new();
        let mut ends = Vec::new();
        for shard in 0..shards_count {
            let (writer, end) =
                JournalWriter::start(&config.state_dir, &config.name, shard, metrics.clone())?;
            journals.push(writer);
            ends.push(end);
        }
        let last_good = control::link::last_good(&config.state_dir).map(Arc::new);
        metrics.revision(
            last_good
                .as_ref()
                .map_or(0, |snapshot| snapshot.tables.revision().number),
        );
        let published = Arc::new(Published {
            snapshot: Mailbox::new(Arc::new(last_good)),
            issuers: Mailbox::new(Arc::default()),
            cluster: Mailbox::new(Arc::new(Cluster::default())),
            grants: Mailbox::new(Arc::default()),
            tables: Arc::new(SharedTables::default()),
        });
        let room = AcceptRoom::new(shards_count)?;
        let (listeners, bootstrap) = Listeners::open(config.listen.clone(), room.clone())?;
        let listeners = Arc::new(listeners);
        let connections_bytes_max = config.connections_bytes_max / shards_count;
        let shards = {
            let (config, metrics, published) = (config.clone(), metrics.clone(), published.clone());
            let (room, listeners) = (room.clone(), listeners.clone());
            spawn_shards(&options, move |shard| {
                let end = ends.get(shard.id().0).cloned();
                let (config, metrics, published) =
                    (config.clone(), metrics.clone(), published.clone());
                let (room, listeners) = (room.clone(), listeners.clone());
                async move {
                    let Some(end) = end else { return };
                    let journal = journal(end);
                    let state = ShardState::new(
                        config,
                        shard.driver().clone(),
                        journal,
                        metrics,
                        &published,
                        connections_bytes_max,
                    );
                    if let Err(error) = serve(shard, state, room, listeners).await {
                        tracing::error!("shard ended: {error}");
                    }
                }
            })?
        };
        let logs = journals.iter().map(JournalWriter::log).collect();
        let control = ControlThread::start(config, published, listeners, metrics.clone(), logs)?;
        Ok(Self {
            shards,
            room,
            journals,
            control: Some(control),
            bootstrap,
            metrics,
        })
    }

    /// Where clients bootstrap.
    #[must_use]
    pub fn bootstrap(&self) -> SocketAddr {
        self.bootstrap
    }

    /// Returns once brokers are known and a snapshot is in force, or `false` after `timeout`.
    #[must_use]
    pub fn wait_ready(&self, timeout: Duration) -> bool {
        self.control
            .as_ref()
            .is_some_and(|control| control.wait_ready(timeout))
    }

    /// The counters.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// A shard that ended although nobody asked, or `None` after `timeout`.
    #[must_use]
    pub fn failed_shard(&self, timeout: Duration) -> Option<String> {
        self.shards
            .next_exit(timeout)
            .map(|exit| format!("shard {} ended: {:?}", exit.shard.0, exit.cause))
    }

    /// Stops listening, ends the sessions, seals the evidence.
    pub fn drain(mut self) {
        if self.room.close_all().is_err() {
            tracing::warn!("listeners did not close before the drain");
        }
        self.shards.stop();
        self.shards.join();
        let logs: Vec<_> = self.journals.iter().map(JournalWriter::log).collect();
        for journal in self.journals.drain(..) {
            journal.seal();
        }
        if let Some(control) = self.control.take() {
            if control.is_linked() {
                let end = Instant::now() + SHIP_TIMEOUT;
                while Instant::now() < end && !logs.iter().all(|log| log.is_shipped()) {
                    std::thread::sleep(SHIP_POLL);
                }
            }
            control.stop();
        }
    }
}

fn shard_options(config: &GatewayConfig) -> ShardOptions {
    let mut options = if config.shard_cpus.is_empty() {
        ShardOptions::unbound(
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        )
    } else {
        ShardOptions::on_cpus(config.shard_cpus.iter().copied())
    };
    options.driver = DriverOptions {
        hot_us: u64::from(config.hot_us),
        ..options.driver
    };
    options
}

type Live = Rc<RefCell<Vec<Weak<Connection>>>>;

/// One shard's life: takes the connections that the acceptor hands over, until it is told to stop.
async fn serve(
    shard: ShardContext,
    state: Rc<ShardState>,
    room: Arc<AcceptRoom>,
    listeners: Arc<Listeners>,
) -> std::io::Result<()> {
    let inbox = room.inbox(shard.id(), shard.driver())?;
    if shard.id().0 == 0 {
        let (room, context) = (room.clone(), shard.clone());
        shard.spawn_guarded("acceptor", async move {
            if let Err(error) = room.run_acceptor(context).await {
                tracing::error!("acceptor ended: {error}");
            }
        });
    }
    let live = Live::default();
    {
        let state = state.clone();
        shard.spawn_guarded("journal", async move { state.journal.flush_rounds().await });
    }
    {
        let (state, live, context) = (state.clone(), live.clone(), shard.clone());
        shard.spawn_guarded("sweep", async move { sweep(&state, &live, &context).await });
    }
    loop {
        let accepted = futures_lite::future::or(async { Some(inbox.next().await) }, async {
            shard.stopped().await;
            None
        });
        let Some(accepted) = accepted.await else {
            break;
        };
        let (state, live, listeners) = (state.clone(), live.clone(), listeners.clone());
        shard.spawn_guarded("connection", async move {
            connect(state, live, accepted, &listeners).await
        });
    }
    for connection in live.borrow().iter().filter_map(Weak::upgrade) {
        connection.close(Close::Draining);
    }
    // What ending sessions record still goes to the journal.
    let ended = async {
        while live
            .borrow()
            .iter()
            .any(|connection| connection.strong_count() > 0)
        {
            clock::sleep(DRAIN_POLL).await;
        }
    };
    futures_lite::future::or(ended, clock::sleep(DRAIN_TIMEOUT)).await;
    state.journal.stop();
    let late = clock::sleep(DRAIN_TIMEOUT);
    futures_lite::future::or(shard.guarded_ended(), late).await;
    Ok(())
}

async fn connect(state: Rc<ShardState>, live: Live, accepted: Accepted, listeners: &Listeners) {
    // Each on its own: the room for the handshake, and for what it works with, is not kept for as long as the connection lives.
    let opened = Box::pin(open(&state, &live, accepted, listeners)).await;
    if let Some((connection, held)) = opened {
        Box::pin(pump::run(state, connection)).await;
        drop(held);
    }
}

/// Makes the handshake, if there is one to make.
async fn open(
    state: &ShardState,
    live: &Live,
    accepted: Accepted,
    listeners: &Listeners,
) -> Option<(Rc<Connection>, ConnectionHeld)> {
    let Accepted {
        fd,
        peer,
        held,
        listener,
    } = accepted;
    state.metrics.opened();
    let Ok(sock) = Sock::from_accepted(&state.driver, fd, peer) else {
        state.metrics.closed(&Close::ClientClosed);
        return None;
    };
    let role = state.config.client_tls.clone().map(TlsRole::Server);
    let handshake = async {
        Stream::open(sock, role)
            .await
            .map_err(|error| error.to_string())
    };
    let late = async {
        clock::sleep(HANDSHAKE_TIMEOUT).await;
        Err("no TLS handshake in time".to_owned())
    };
    let opened = futures_lite::future::or(pin!(handshake), pin!(late)).await;
    let opened = opened.and_then(|stream| {
        let node = listeners
            .node(listener, stream.server_name().as_deref())
            .map_err(|NameUnknown| "the client came for a name that no broker has".to_owned())?;
        Ok((stream, node))
    });
    let node = opened.as_ref().ok().and_then(|(_, node)| *node);
    let session = Session::new(uuid::Uuid::new_v4().as_u128(), peer.to_string(), node);
    match opened {
        Ok((stream, node)) => {
            let opened_ms = clock::monotonic_ms();
            let stream = Rc::new(stream);
            let connection = Connection::new(session, stream, node, opened_ms, &state.ledger);
            live.borrow_mut().push(Rc::downgrade(&connection));
            Some((connection, held))
        }
        Err(error) => {
            let close = Close::ClientMalformed(format!("TLS: {error}"));
            pump::never_opened(state, session, close);
            None
        }
    }
}

/// Ends sessions whose time or right is over although their client is silent.
async fn sweep(state: &ShardState, live: &Live, shard: &ShardContext) {
    while !shard.is_stopped() {
        futures_lite::future::or(clock::sleep(SWEEP_EVERY), shard.stopped()).await;
        live.borrow_mut()
            .retain(|connection| connection.strong_count() > 0);
        let connections: Vec<Rc<Connection>> =
            live.borrow().iter().filter_map(Weak::upgrade).collect();
        let environment = state.environment();
        let now_ms = clock::monotonic_ms();
        for connection in connections {
            let mut session = connection.session.borrow_mut();
            let rechecked = session.recheck(&environment.view());
            let silent = !session.is_authenticated()
                && now_ms.saturating_sub(connection.opened_ms) > AUTHENTICATION_TIMEOUT_MS;
            drop(session);
            if let Err(close) = rechecked {
                connection.close(close);
            } else if silent {
                connection.close(Close::ClientAuthenticationFailed("no token in time".into()));
            }
        }
    }
}
