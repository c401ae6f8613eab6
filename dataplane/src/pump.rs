//! The only I/O loop: moves bytes between a client, its session and its broker.
//!
//! Two tasks per connection. The request task reads the client and writes the broker; the answer task reads the broker
//! and writes the client, so each socket has one reader and one writer. Both feed the same [`Session`], which is never
//! borrowed across an await. Back-pressure is natural: a task reads again only after what it read has been written.

mod buffer;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;

use futures_lite::future;
use sluice_session::{BrokerStep, Close, Masking, Outbox, Piece, Session, limits};

use crate::broker;
use crate::kick::Kick;
use crate::ledger::{Account, Ledger, ShardLedger};
use crate::limits::ANSWER_ROUND_BYTES_MAX;
use crate::net::Stream;
use crate::shard_state::ShardState;

pub(crate) use buffer::Buffer;

/// Runs of bytes that one write takes.
const SLICES_MAX: usize = 16;

/// One connection, as its two tasks and the sweep see it.
pub(crate) struct Connection {
    pub(crate) session: RefCell<Session>,
    client: Rc<Stream>,
    broker: RefCell<Option<Rc<Stream>>>,
    /// The node that this connection's listener stands for; `None` is the bootstrap listener.
    node: Option<i32>,
    kick: Kick,
    room: Kick,
    ledger: Rc<Ledger>,
    /// What waits in the session.
    session_account: RefCell<Account>,
    closing: RefCell<Option<Close>>,
    pub(crate) opened_ms: u64,
}

impl Connection {
    pub(crate) fn new(
        session: Session,
        client: Rc<Stream>,
        node: Option<i32>,
        opened_ms: u64,
        ledger: &Rc<ShardLedger>,
    ) -> Rc<Self> {
        let ledger = Ledger::new(ledger);
        Rc::new(Self {
            session: RefCell::new(session),
            client,
            broker: RefCell::new(None),
            node,
            kick: Kick::default(),
            room: Kick::default(),
            session_account: RefCell::new(ledger.account()),
            ledger,
            closing: RefCell::new(None),
            opened_ms,
        })
    }

    /// Ends the connection from either task or from outside; the first reason stands.
    pub(crate) fn close(&self, reason: Close) {
        self.closing.borrow_mut().get_or_insert(reason);
        self.kick.notify();
        self.room.notify();
        self.client.abort();
        if let Some(broker) = &*self.broker.borrow() {
            broker.abort();
        }
    }

    /// Counts what waits in the session and what `outbox` is about to send.
    fn hold(&self, outbox: &Outbox, account: &mut Account) -> Result<(), Close> {
        let waiting = self.session.borrow().held_bytes();
        self.session_account.borrow_mut().hold(waiting)?;
        account.hold(outbox.held_bytes())
    }

    fn is_closing(&self) -> bool {
        self.closing.borrow().is_some()
    }
}

/// Carries one connection from its first byte to its end, and records the end.
pub(crate) async fn run(shard: Rc<ShardState>, connection: Rc<Connection>) {
    record_opened(&shard, &connection).await;
    // Pinned where they are: moved into `zip` they would take twice their room.
    let requests = pin!(async {
        let close = carry_requests(&shard, &connection).await;
        // What was already decided may still be answered: a token that is refused is told so before the socket ends.
        connection.closing.borrow_mut().get_or_insert(close);
        connection.kick.notify();
        if let Some(broker) = &*connection.broker.borrow() {
            broker.abort();
        }
    });
    let answers = pin!(async {
        let close = carry_answers(&shard, &connection).await;
        connection.close(close);
    });
    future::zip(requests, answers).await;
    let close = connection
        .closing
        .borrow_mut()
        .take()
        .unwrap_or(Close::ClientClosed);
    connection.client.abort();
    record_end(&shard, &mut connection.session.borrow_mut(), &close);
}

async fn record_opened(shard: &ShardState, connection: &Connection) {
    let mut outbox = Outbox::default();
    connection
        .session
        .borrow_mut()
        .opened(&shard.environment().view(), &mut outbox);
    if let Err(close) = settle(shard, connection, &mut outbox).await {
        connection.close(close);
    }
}

/// Records a connection that ended before its first Kafka byte.
pub(crate) fn never_opened(shard: &ShardState, mut session: Session, close: Close) {
    record_end(shard, &mut session, &close);
}

fn record_end(shard: &ShardState, session: &mut Session, close: &Close) {
    let mut outbox = Outbox::default();
    session.closed(&shard.environment().view(), close, &mut outbox);
    shard.metrics.add(outbox.counts());
    shard.metrics.closed(close);
    if shard.journal.append(outbox.evidence()).is_err() {
        shard.metrics.evidence_refused();
    }
    tracing::debug!(session = %session.id(), reason = close.code(), "session closed: {close}");
}

async fn carry_requests(shard: &Rc<ShardState>, connection: &Connection) -> Close {
    let mut side = Side::new(shard, connection);
    loop {
        if let Err(close) = request_round(shard, connection, &mut side).await {
            return close;
        }
    }
}

/// Takes what the client sent, decides each complete frame, and forwards what is permitted with one write.
async fn request_round(
    shard: &Rc<ShardState>,
    connection: &Connection,
    side: &mut Side,
) -> Result<(), Close> {
    let Side {
        buffer,
        outbox,
        account,
    } = side;
    // Whoever closes gives notice once, and nobody makes room after that.
    while !connection.is_closing() && !connection.session.borrow().has_room() {
        connection.room.notified().await;
    }
    if connection.is_closing() {
        return Err(Close::ClientClosed);
    }
    outbox.clear();
    let refused = decide_frames(shard, connection, buffer, outbox);
    if let Err(close) = connection.hold(outbox, account) {
        return Err(record_unsent(shard, outbox, close));
    }
    if refused.is_none() && buffer.taken == buffer.start {
        return buffer.fill(&connection.client, Close::ClientClosed).await;
    }
    let opens = outbox.forwards() && connection.broker.borrow().is_none();
    if opens {
        // On the heap, and gone again: a connection waits for years with what its tasks may ever hold.
        let (stream, offer) = Box::pin(broker::open(shard, connection.node)).await?;
        connection
            .session
            .borrow()
            .broker_opened(&shard.environment().view(), &offer)?;
        *connection.broker.borrow_mut() = Some(Rc::new(stream));
    }
    settle(shard, connection, outbox).await?;
    if !outbox.pieces().is_empty() {
        let stream = connection
            .broker
            .borrow()
            .clone()
            .ok_or(Close::Internal("bytes to forward and no broker"))?;
        write_pieces(&stream, &buffer.bytes, outbox.pieces())
            .await
            .map_err(|_| Close::BrokerClosed)?;
    }
    // Whoever waits for the broker's next answer needs no word of each request that went there.
    if opens || connection.session.borrow().is_answer_ready() {
        connection.kick.notify();
    }
    buffer.consume();
    if let Some(close) = refused {
        return Err(close);
    }
    // Settling and writing have mostly waited, and need not have.
    if outbox.gives_way() {
        shard.driver.turn().await;
    }
    Ok(())
}

/// Hands each complete frame to the session, as long as it takes one more.
fn decide_frames(
    shard: &Rc<ShardState>,
    connection: &Connection,
    buffer: &mut Buffer,
    outbox: &mut Outbox,
) -> Option<Close> {
    let environment = shard.environment();
    let mut session = connection.session.borrow_mut();
    while session.takes_more(outbox) {
        match buffer.frame(session.client_frame_bytes_max()) {
            Ok(None) => break,
            Ok(Some(range)) => {
                let at = range.start;
                let frame = buffer.bytes.get_mut(range)?;
                if let Err(close) = session.client_frame(&environment.view(), at, frame, outbox) {
                    return Some(close);
                }
            }
            Err(close) => return Some(close),
        }
    }
    None
}

async fn carry_answers(shard: &Rc<ShardState>, connection: &Connection) -> Close {
    let mut side = Side::new(shard, connection);
    loop {
        if let Err(close) = answer_round(shard, connection, &mut side).await {
            return close;
        }
    }
}

/// Takes what the broker answered, transforms it, and sends it on with the answers that were made here, in order.
async fn answer_round(
    shard: &Rc<ShardState>,
    connection: &Connection,
    side: &mut Side,
) -> Result<(), Close> {
    let Side {
        buffer,
        outbox,
        account,
    } = side;
    outbox.clear();
    let taken = take_answers(shard, connection, buffer, outbox, account).await;
    if let Err(close) = taken.and_then(|()| connection.hold(outbox, account)) {
        return Err(record_unsent(shard, outbox, close));
    }
    let idle = outbox.is_empty();
    settle(shard, connection, outbox).await?;
    write_pieces(&connection.client, &buffer.bytes, outbox.pieces())
        .await
        .map_err(|_| Close::ClientClosed)?;
    buffer.consume();
    shard.mask_scratch.borrow_mut().give_back(outbox);
    connection.room.notify();
    if !idle {
        if outbox.gives_way() {
            shard.driver.turn().await;
        }
        return Ok(());
    }
    if connection.is_closing() {
        return Err(Close::ClientClosed);
    }
    let broker = connection.broker.borrow().clone();
    let Some(broker) = broker else {
        connection.kick.notified().await;
        return Ok(());
    };
    let kicked = async {
        connection.kick.notified().await;
        Ok(())
    };
    future::or(kicked, buffer.fill(&broker, Close::BrokerClosed)).await
}

/// Hands each complete frame of the broker to the session, masks where it says so, and adds the answers that were made here.
async fn take_answers(
    shard: &Rc<ShardState>,
    connection: &Connection,
    buffer: &mut Buffer,
    outbox: &mut Outbox,
    account: &mut Account,
) -> Result<(), Close> {
    while outbox.held_bytes() < ANSWER_ROUND_BYTES_MAX && !outbox.gives_way() {
        if buffer.passed_bytes > 0 {
            let Some(range) = buffer.next_part() else {
                break;
            };
            if pass_on(shard, connection, buffer, range, outbox)? {
                continue;
            }
            break;
        }
        let range = match buffer.frame(limits::FRAME_BYTES_MAX) {
            Ok(None) => {
                if let Some(range) = buffer.next_part() {
                    pass_on(shard, connection, buffer, range, outbox)?;
                }
                break;
            }
            Ok(Some(range)) => range,
            Err(_) => return Err(Close::BrokerMalformed("frame length out of bounds".into())),
        };
        let environment = shard.environment();
        let frame = buffer
            .bytes
            .get_mut(range.clone())
            .ok_or(Close::Internal("frame outside its buffer"))?;
        let step = connection.session.borrow_mut().broker_frame(
            &environment.view(),
            range.start,
            frame,
            outbox,
        )?;
        if let BrokerStep::Mask(mut job) = step {
            let mut masking = connection.ledger.account();
            let mut step = |job: &mut Masking| {
                let scratch = &mut shard.mask_scratch.borrow_mut();
                job.step(frame, limits::MASK_STEP_BYTES, scratch)
            };
            while !step(&mut job) {
                masking.hold(job.held_bytes())?;
                shard.driver.turn().await;
            }
            masking.hold(job.held_bytes().saturating_add(job.answer_bytes(frame)))?;
            let environment = shard.environment();
            let scratch = &mut shard.mask_scratch.borrow_mut();
            connection.session.borrow_mut().masked(
                &environment.view(),
                job,
                frame,
                scratch,
                outbox,
            )?;
            drop(masking); // the answer is in the outbox now
            connection.hold(outbox, account)?;
        }
    }
    connection.session.borrow_mut().drain_answers(outbox);
    Ok(())
}

/// Offers a part of a long answer; says whether the answer has ended with it.
fn pass_on(
    shard: &ShardState,
    connection: &Connection,
    buffer: &mut Buffer,
    range: Range<usize>,
    outbox: &mut Outbox,
) -> Result<bool, Close> {
    let environment = shard.environment();
    let (at, frame_bytes) = (range.start, buffer.frame_bytes);
    let is_last = range.len() == frame_bytes - buffer.passed_bytes;
    let part = buffer
        .bytes
        .get_mut(range)
        .ok_or(Close::Internal("part outside its buffer"))?;
    let taken = connection.session.borrow_mut().broker_part(
        &environment.view(),
        at,
        part,
        frame_bytes,
        outbox,
    )?;
    let ended = taken.is_some_and(|taken| buffer.passed(taken));
    if is_last && !ended {
        return Err(Close::Internal(
            "an answer that does not end with its last part",
        ));
    }
    Ok(ended)
}

/// What was decided and seen in a step that sends nothing any more is recorded all the same.
fn record_unsent(shard: &ShardState, outbox: &Outbox, close: Close) -> Close {
    shard.metrics.add(outbox.counts());
    if shard.journal.append(outbox.evidence()).is_err() {
        shard.metrics.evidence_refused();
    }
    close
}

/// Makes the evidence of a step as durable as policy asks; only then are its bytes released.
async fn settle(
    shard: &ShardState,
    connection: &Connection,
    outbox: &mut Outbox,
) -> Result<(), Close> {
    if !outbox.evidence().is_empty() {
        let refused =
            |error: crate::journal::JournalError| Close::EvidenceRefused(error.to_string());
        let ticket = shard.journal.append(outbox.evidence()).map_err(refused)?;
        shard
            .journal
            .reached(ticket, outbox.durability())
            .await
            .map_err(refused)?;
    }
    shard.metrics.add(outbox.counts());
    connection.session.borrow_mut().release(outbox)
}

/// Sends pieces in order, runs of the read buffer joined, with as few writes as the kernel allows.
pub(crate) async fn write_pieces(
    stream: &Stream,
    bytes: &[u8],
    pieces: &[Piece],
) -> io::Result<()> {
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let mut count = 0;
    let mut pieces = pieces.iter().peekable();
    while let Some(piece) = pieces.next() {
        let run = match piece {
            Piece::Owned(owned) => owned,
            Piece::Read { start, end } => {
                let mut end = *end;
                while let Some(Piece::Read { end: next, .. }) = pieces
                    .next_if(|next| matches!(next, Piece::Read { start, .. } if *start == end))
                {
                    end = *next;
                }
                bytes.get(*start..end).ok_or(io::ErrorKind::InvalidInput)?
            }
        };
        if let Some(slice) = slices.get_mut(count) {
            *slice = IoSlice::new(run);
            count += 1;
        }
        if count == SLICES_MAX || pieces.peek().is_none() {
            let filled = slices.get_mut(..count).unwrap_or_default();
            stream.write_vectored_all(filled).await?;
            count = 0;
        }
    }
    Ok(())
}

/// What one of the two tasks works with.
struct Side {
    buffer: Buffer,
    outbox: Outbox,
    /// What the outbox holds.
    account: Account,
}

impl Side {
    fn new(shard: &Rc<ShardState>, connection: &Connection) -> Self {
        Self {
            buffer: Buffer::new(&shard.buffers, connection.ledger.account()),
            outbox: Outbox::default(),
            account: connection.ledger.account(),
        }
    }
}
