//! `loadgen sink`: a broker that keeps nothing, so that whatever stands between it and the generator is the bottleneck.
//!
//! ```text
//! Sink::start ──► AcceptRoom ──► shard (the gateway's own sockets and executor) ──► connection
//!                                                  frame ──► answer ──► hot (Produce, Fetch) ──► Outgoing ──► one write
//! ```
//! Every partition is endless: a Fetch gets copies of one batch that was built at the start, with only the base offset
//! written anew, and these bytes are never copied in user space. A Produce is acknowledged and forgotten. Everybody may log
//! in, with anything or not at all: the sink belongs on loopback.

mod answer;
mod arguments;
mod connection;
mod hot;
mod log;
mod outgoing;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use sluice_dataplane::accept::{AcceptRoom, ListenerId};
use sluice_dataplane::shard::{ExitCause, ShardContext, ShardOptions, Shards, spawn_shards};

use crate::Error;
use crate::records::Shape;
pub use arguments::{Arguments, serve_and_report};
use log::Log;

/// Where the sink listens, and what it tells clients there to connect to.
#[derive(Debug, Clone)]
pub struct SinkListener {
    pub listen: SocketAddr,
    /// The address in Metadata answers: that of a proxy in front which passes bytes unread. `None`: the listener's own.
    pub advertised: Option<(String, u16)>,
    /// What makes the handshake there. `None`: plain text.
    pub tls: Option<Arc<ServerConfig>>,
}

/// What a sink serves.
#[derive(Debug, Clone)]
pub struct SinkConfig {
    pub listeners: Vec<SinkListener>,
    /// One shard on each of these CPUs; none: one shard, wherever the kernel likes.
    pub cpus: Vec<usize>,
    /// Names with their numbers of partitions.
    pub topics: Vec<(String, i32)>,
    /// The records of the one batch that every Fetch gets.
    pub shape: Shape,
    pub records_per_batch: usize,
    /// Decides what is drawn for them.
    pub seed: u64,
}

/// A running sink. It ends when this is dropped.
#[derive(Debug)]
pub struct Sink {
    shards: Shards,
    addresses: Vec<SocketAddr>,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    log: Log,
    entrances: HashMap<ListenerId, Entrance>,
}

/// One listener, as its connections know it.
#[derive(Debug)]
struct Entrance {
    advertised: (String, u16),
    tls: Option<Arc<ServerConfig>>,
}

impl Sink {
    /// Listens, and answers from now on.
    ///
    /// # Errors
    /// An address is taken, the records make no batch, or the host refuses a shard.
    pub fn start(config: &SinkConfig) -> Result<Self, Error> {
        let options = match config.cpus.as_slice() {
            [] => ShardOptions::unbound(1),
            cpus => ShardOptions::on_cpus(cpus.iter().copied()),
        };
        let failed = |source| Error::SystemFailed {
            doing: "to prepare the sink's listeners",
            source,
        };
        let room = AcceptRoom::new(options.placements.len()).map_err(failed)?;
        let (mut addresses, mut entrances) = (Vec::new(), HashMap::new());
        for listener in &config.listeners {
            let opened = room.open(listener.listen);
            let (id, local) = opened.map_err(|error| Error::SinkRefused {
                fault: error.to_string(),
            })?;
            let own = (local.ip().to_string(), local.port());
            let entrance = Entrance {
                advertised: listener.advertised.clone().unwrap_or(own),
                tls: listener.tls.clone(),
            };
            entrances.insert(id, entrance);
            addresses.push(local);
        }
        let log = Log::new(
            &config.topics,
            &config.shape,
            config.records_per_batch,
            config.seed,
        )?;
        let shared = Arc::new(Shared { log, entrances });
        let shards = spawn_shards(&options, move |shard| {
            serve(shard, Arc::clone(&room), Arc::clone(&shared))
        });
        let shards = shards.map_err(|error| Error::SinkRefused {
            fault: error.to_string(),
        })?;
        Ok(Self { shards, addresses })
    }

    /// Where it listens, in the order of the configuration, with the ports that port 0 became.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until a shard ends, which it does only by a fault.
    ///
    /// # Errors
    /// Always: the reason of the end.
    pub fn wait(&self) -> Result<(), Error> {
        loop {
            if let Some(exit) = self.shards.next_exit(Duration::from_secs(3600)) {
                let fault = match exit.cause {
                    ExitCause::Finished => "a shard ended without being asked to".to_owned(),
                    ExitCause::Panicked(text) => format!("a shard panicked: {text}"),
                    ExitCause::DriverBroke(error) => {
                        format!("a shard can wait for no socket any more: {error}")
                    }
                };
                return Err(Error::SinkRefused { fault });
            }
        }
    }
}

async fn serve(shard: ShardContext, room: Arc<AcceptRoom>, shared: Arc<Shared>) {
    let Ok(inbox) = room.inbox(shard.id(), shard.driver()) else {
        return;
    };
    if shard.id().0 == 0 {
        let (room, context) = (Arc::clone(&room), shard.clone());
        // It fails only if the shard cannot watch its bell; then nobody is accepted, and clients time out.
        shard.spawn_guarded(
            "acceptor",
            async move { drop(room.run_acceptor(context).await) },
        );
    }
    loop {
        let next = async { Some(inbox.next().await) };
        let stopped = async {
            shard.stopped().await;
            None
        };
        let Some(accepted) = futures_lite::future::or(next, stopped).await else {
            return;
        };
        let (shared, driver) = (Arc::clone(&shared), shard.driver().clone());
        shard.spawn_guarded("connection", async move {
            connection::serve(accepted, &driver, &shared).await
        });
    }
}
