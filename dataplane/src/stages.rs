//! The shell with stages left out, so that a benchmark sees what each of them costs. One stage is evidence: nothing here
//! may be in the product, which does not compile with the feature `stages`.
//!
//! | | sockets, driver, buffers | frames, headers, hot bodies | session, with policy | evidence |
//! |---|---|---|---|---|
//! | [`Relay`], [`Stage::PassThrough`] | x | | | |
//! | [`Relay`], [`Stage::Frame`] | x | walked | | |
//! | [`gateway_without_evidence`] | x | walked | x | encoded, then thrown away |
//! | [`Gateway::start`] | x | walked | x | x |

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future;
use sluice_kafka::RequestHeader;
use sluice_kafka::api::{FETCH, PRODUCE};
use sluice_kafka::header::response_correlation_id;
use sluice_kafka::views::{FetchRequest, FetchResponse, ProduceRequest, ProduceResponse};
use sluice_session::{Close, Piece, limits::FRAME_BYTES_MAX};

use crate::accept::{AcceptRoom, Accepted};
use crate::buffers::BufferPool;
use crate::config::GatewayConfig;
use crate::gateway::{Gateway, GatewayError};
use crate::journal::Journal;
use crate::ledger::{Ledger, ShardLedger};
use crate::net::{Driver, Sock, Stream};
use crate::pump::{Buffer, write_pieces};
use crate::shard::{ShardContext, ShardOptions, Shards, spawn_shards};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The gateway, whose journals say at once that everything is recorded, and record nothing.
///
/// # Errors
/// As [`Gateway::start`].
pub fn gateway_without_evidence(config: GatewayConfig) -> Result<Gateway, GatewayError> {
    Gateway::start_with(config, Journal::nowhere)
}

/// How much a [`Relay`] looks at what it relays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Not at all: what was read is written.
    PassThrough,
    /// Whole frames alone are written, once their header, and the body of a Produce or Fetch, was walked to its end.
    Frame,
}

/// Connections to `listen`, each relayed to a connection of its own to the broker.
#[derive(Debug)]
pub struct Relay {
    shards: Shards,
    address: SocketAddr,
}

impl Relay {
    /// Starts the shards and listens.
    ///
    /// # Errors
    /// The address cannot be listened on, or the host refuses a shard.
    pub fn start(
        stage: Stage,
        listen: SocketAddr,
        broker: SocketAddr,
        options: &ShardOptions,
    ) -> Result<Self, GatewayError> {
        let room = AcceptRoom::new(options.placements.len())?;
        let (_, address) = room.open(listen)?;
        let shards = spawn_shards(options, move |shard| {
            let room = room.clone();
            async move {
                if let Err(error) = serve(stage, shard, room, broker).await {
                    tracing::error!("shard ended: {error}");
                }
            }
        })?;
        Ok(Self { shards, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A shard that ended although nobody asked, or `None` after `timeout`.
    #[must_use]
    pub fn failed_shard(&self, timeout: Duration) -> Option<String> {
        let exit = self.shards.next_exit(timeout)?;
        Some(format!("shard {} ended: {:?}", exit.shard.0, exit.cause))
    }
}

async fn serve(
    stage: Stage,
    shard: ShardContext,
    room: Arc<AcceptRoom>,
    broker: SocketAddr,
) -> io::Result<()> {
    let inbox = room.inbox(shard.id(), shard.driver())?;
    if shard.id().0 == 0 {
        let context = shard.clone();
        shard.spawn_guarded("acceptor", async move {
            if let Err(error) = room.run_acceptor(context).await {
                tracing::error!("acceptor ended: {error}");
            }
        });
    }
    let pool = Rc::new(BufferPool::default());
    let ledger = ShardLedger::new(usize::MAX);
    loop {
        let accepted = future::or(async { Some(inbox.next().await) }, async {
            shard.stopped().await;
            None
        });
        let Some(accepted) = accepted.await else {
            return Ok(());
        };
        let (driver, pool) = (shard.driver().clone(), pool.clone());
        let ledger = Ledger::new(&ledger);
        shard.spawn_guarded("relay", async move {
            match carry(stage, &driver, accepted, broker, &pool, &ledger).await {
                Ok(Close::ClientClosed | Close::BrokerClosed) => {}
                Ok(close) => tracing::warn!("connection ended: {close}"),
                Err(error) => tracing::warn!("connection ended: {error}"),
            }
        });
    }
}

async fn carry(
    stage: Stage,
    driver: &Rc<Driver>,
    accepted: Accepted,
    broker: SocketAddr,
    pool: &Rc<BufferPool>,
    ledger: &Rc<Ledger>,
) -> io::Result<Close> {
    let client = Stream::Plain(Sock::from_accepted(driver, accepted.fd, accepted.peer)?);
    let broker = Stream::Plain(Sock::connect(driver, broker, CONNECT_TIMEOUT).await?);
    let waiting = Waiting::default();
    let to_broker = Buffer::new(pool, ledger.account());
    let to_client = Buffer::new(pool, ledger.account());
    let requests = pin!(relay(
        &client,
        &broker,
        to_broker,
        Close::ClientClosed,
        |buffer| match stage {
            Stage::PassThrough => take_all(buffer),
            Stage::Frame => take_frames(buffer, |frame| waiting.asked(frame)),
        }
    ));
    let answers = pin!(relay(
        &broker,
        &client,
        to_client,
        Close::BrokerClosed,
        |buffer| match stage {
            Stage::PassThrough => take_all(buffer),
            Stage::Frame => take_frames(buffer, |frame| waiting.answered(frame)),
        }
    ));
    let close = future::or(requests, answers).await;
    client.abort();
    broker.abort();
    Ok(close)
}

/// Reads, and writes what `take` takes of it, with one write.
async fn relay(
    from: &Stream,
    to: &Stream,
    mut buffer: Buffer,
    closed: Close,
    take: impl Fn(&mut Buffer) -> Result<(), Close>,
) -> Close {
    loop {
        if let Err(close) = take(&mut buffer) {
            return close;
        }
        if buffer.taken == buffer.start {
            if let Err(close) = buffer.fill(from, closed.clone()).await {
                return close;
            }
            continue;
        }
        let taken = Piece::Read {
            start: buffer.start,
            end: buffer.taken,
        };
        if write_pieces(to, &buffer.bytes, &[taken]).await.is_err() {
            return closed;
        }
        buffer.consume();
    }
}

fn take_all(buffer: &mut Buffer) -> Result<(), Close> {
    buffer.taken = buffer.end;
    Ok(())
}

fn take_frames(
    buffer: &mut Buffer,
    look: impl Fn(&[u8]) -> Result<(), Close>,
) -> Result<(), Close> {
    while let Some(range) = buffer.frame(FRAME_BYTES_MAX)? {
        look(buffer.bytes.get(range).unwrap_or_default())?;
    }
    Ok(())
}

/// Requests that are to be answered, in their order.
#[derive(Debug, Default)]
struct Waiting(RefCell<VecDeque<Asked>>);

#[derive(Debug)]
struct Asked {
    api_key: i16,
    api_version: i16,
    correlation_id: i32,
}

impl Waiting {
    fn asked(&self, frame: &[u8]) -> Result<(), Close> {
        let malformed = |error: &dyn std::fmt::Display| Close::ClientMalformed(error.to_string());
        let header = RequestHeader::parse(frame).map_err(|error| malformed(&error))?;
        let mut answered = true;
        match header.api_key {
            PRODUCE => {
                let request = ProduceRequest::parse(frame, &header);
                answered = request.map_err(|error| malformed(&error))?.acks != 0;
            }
            FETCH => {
                FetchRequest::parse(frame, &header).map_err(|error| malformed(&error))?;
            }
            _ => {}
        }
        if answered {
            self.0.borrow_mut().push_back(Asked {
                api_key: header.api_key,
                api_version: header.api_version,
                correlation_id: header.correlation_id,
            });
        }
        Ok(())
    }

    fn answered(&self, frame: &[u8]) -> Result<(), Close> {
        let malformed = |error: &dyn std::fmt::Display| Close::BrokerMalformed(error.to_string());
        let found = response_correlation_id(frame).map_err(|error| malformed(&error))?;
        let asked = self.0.borrow_mut().pop_front();
        let asked = asked.filter(|asked| asked.correlation_id == found);
        let asked = asked.ok_or_else(|| malformed(&"an answer to nothing, or out of order"))?;
        match asked.api_key {
            PRODUCE => {
                let answer = ProduceResponse::parse(frame, asked.api_version);
                answer.map_err(|error| malformed(&error))?;
            }
            FETCH => {
                let answer = FetchResponse::parse(frame, asked.api_version);
                answer.map_err(|error| malformed(&error))?;
            }
            _ => {}
        }
        Ok(())
    }
}
