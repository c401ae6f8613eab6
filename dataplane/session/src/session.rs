//! One client connection, from accept to close.

mod answers;
mod relay;

pub use answers::{BrokerStep, Masking};

use sluice_evidence::{Kind, Revision, SessionId};
use sluice_kafka::local::api_versions;
use sluice_kafka::{HeaderError, RequestHeader};
use sluice_policy::{Durability, Rights};

use crate::authenticate::{self, Event, Exchange, Identity};
use crate::decide::Asker;
use crate::environment::Environment;
use crate::error::Close;
use crate::forward::{Receipt, Unreceipted, forward};
use crate::in_flight::{InFlightState, Queue};
use crate::limits;
use crate::login::Offer;
use crate::memory::Memory;
use crate::outbox::{Outbox, Piece};
use crate::record::{DenialId, RequestRef, Scribe};
use crate::step::{Step, step};

/// One connection's life. It never waits and never looks at a clock or a socket.
///
/// Feed it with [`opened`](Self::opened), then [`client_frame`](Self::client_frame) and
/// [`broker_frame`](Self::broker_frame) in the order in which frames complete, [`recheck`](Self::recheck) now and then, and
/// [`closed`](Self::closed) last. A long answer may be offered in parts ([`broker_part`](Self::broker_part)). After each of them the [`Outbox`] holds evidence first: make it durable, then call
/// [`release`](Self::release), then send the pieces. [`drain_answers`](Self::drain_answers) gives the answers that were
/// made here and whose turn has come.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    peer: String,
    node: Option<i32>,
    client_id: String,
    identity: Option<Box<Identity>>,
    rights: Option<(sluice_policy::Revision, Rights)>,
    exchange: Exchange,
    in_flight: Queue,
    sequence: u64,
    memory: Memory,
    /// An answer that goes on as it arrives; on the heap, for most connections never have one.
    relay: Option<Box<relay::Relay>>,
    /// The answer whose turn it is does not go on before it is whole.
    wanted_whole: bool,
}

impl Session {
    /// A connection from `peer` on the listener of `node`, or on the bootstrap listener.
    #[must_use]
    pub fn new(id: u128, peer: String, node: Option<i32>) -> Self {
        Self {
            id: SessionId(id),
            peer,
            node,
            client_id: String::new(),
            identity: None,
            rights: None,
            exchange: Exchange::default(),
            in_flight: Queue::default(),
            sequence: 0,
            memory: Memory::default(),
            relay: None,
            wanted_whole: false,
        }
    }

    /// Its name in evidence.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Requests that were taken and not yet answered.
    #[must_use]
    pub fn in_flight_count(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether one more request may be taken: past the limits nothing more is read from the client until an answer has left.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.in_flight.len() < limits::IN_FLIGHT_COUNT_MAX
            && self.in_flight.bytes() < limits::IN_FLIGHT_BYTES_MAX
    }

    /// Whether the step that `out` is of takes one more frame of the client. If it does not, and there is room, others have a
    /// turn before the next step.
    #[must_use]
    pub fn takes_more(&self, out: &Outbox) -> bool {
        self.has_room() && !out.gives_way()
    }

    /// Memory that waits in the session for answers, or for their turn, and what members of groups have subscribed to.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let remembered = self.memory.subscriptions.bytes();
        let relayed = self.relay.as_ref().map_or(0, |relay| relay.bytes());
        let waiting = self.in_flight.bytes().saturating_add(relayed);
        waiting.saturating_add(remembered)
    }

    /// Whether the client is known.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.identity.is_some()
    }

    /// The longest frame that the client may send now.
    #[must_use]
    pub fn client_frame_bytes_max(&self) -> usize {
        match self.identity {
            Some(_) => limits::FRAME_BYTES_MAX,
            None => limits::UNAUTHENTICATED_FRAME_BYTES_MAX,
        }
    }

    /// Records that the connection exists.
    pub fn opened(&mut self, environment: &Environment<'_>, out: &mut Outbox) {
        self.scribe(environment)
            .fact(out, Kind::SessionOpened, "", "");
    }

    /// Records that it ends, and why.
    pub fn closed(&mut self, environment: &Environment<'_>, close: &Close, out: &mut Outbox) {
        self.end_relay(environment, out);
        let text = close.to_string();
        if close.is_rejection() {
            self.scribe(environment)
                .fact(out, Kind::Rejected, close.code(), &text);
        }
        self.scribe(environment)
            .fact(out, Kind::SessionClosed, close.code(), &text);
    }

    /// Whether the session may go on: its token still holds and policy still binds it.
    ///
    /// # Errors
    /// The reason to close it.
    pub fn recheck(&mut self, environment: &Environment<'_>) -> Result<(), Close> {
        let Some(identity) = &mut self.identity else {
            return Ok(());
        };
        if identity.token.expires_unix_s <= environment.now.unix_s() {
            return Err(Close::ClientTokenExpired);
        }
        let Some(snapshot) = environment.snapshot else {
            return Ok(());
        };
        let revision = snapshot.tables.revision();
        if self
            .rights
            .as_ref()
            .is_none_or(|(decided, _)| *decided != revision)
        {
            let bound = authenticate::bind(environment, &identity.token)
                .map_err(|_| Close::PolicyUnbound)?;
            if bound.principal != identity.bound.principal {
                return Err(Close::PolicyUnbound);
            }
            self.rights = Some((revision, snapshot.tables.rights(&bound.roles)));
            self.memory.topics.forget();
            identity.bound = bound;
        }
        Ok(())
    }

    /// Compares what the broker offers with what the client was told.
    ///
    /// # Errors
    /// [`Close::BrokerNarrowed`] if it is less: the client must connect again and ask again.
    pub fn broker_opened(&self, environment: &Environment<'_>, offer: &Offer) -> Result<(), Close> {
        let now = offer.narrowed();
        let kept = environment
            .topology
            .offer(self.node)
            .ranges
            .iter()
            .all(|told| {
                now.ranges
                    .iter()
                    .any(|range| range.key == told.key && range.version_max >= told.version_max)
            });
        if kept {
            Ok(())
        } else {
            Err(Close::BrokerNarrowed)
        }
    }

    /// Takes one complete request, its length prefix included, that lies at `at` in the shell's read buffer.
    ///
    /// # Errors
    /// The reason to close the session, after what is in the outbox was released and sent.
    pub fn client_frame(
        &mut self,
        environment: &Environment<'_>,
        at: usize,
        frame: &mut [u8],
        out: &mut Outbox,
    ) -> Result<(), Close> {
        let parsed = RequestHeader::parse(frame).map(|header| {
            let client_id = header.client_id.unwrap_or_default();
            if client_id != self.client_id {
                client_id.clone_into(&mut self.client_id);
            }
            (header.api_key, header.api_version)
        });
        let (api_key, api_version) = match parsed {
            Ok(found) => found,
            Err(HeaderError::ClientVersionUnsupported {
                api_key: 18,
                correlation_id,
                ..
            }) => {
                let mut answer = Vec::new();
                api_versions::encode_unsupported_version(correlation_id, &mut answer);
                let request = self.next_request(18, 0);
                self.answer(request, correlation_id, answer, out);
                return Ok(());
            }
            Err(error) => return Err(Close::header(error)),
        };
        let request = self.next_request(api_key, api_version);
        if authenticate::is_local(api_key) {
            return self.local_frame(environment, request, frame, out);
        }
        if self.identity.is_none() {
            return Err(Close::ClientUnauthenticated { api_key });
        }
        self.recheck(environment)?;
        self.decided_frame(environment, request, at, frame, out)
    }

    fn local_frame(
        &mut self,
        environment: &Environment<'_>,
        request: RequestRef,
        frame: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Close> {
        let header = RequestHeader::parse(frame).map_err(Close::header)?;
        if header.api_key == 18 {
            let (answer, malformed) =
                authenticate::api_versions(environment, self.node, &header, frame);
            if let Some(malformed) = malformed {
                let close = Close::malformed(malformed);
                self.scribe(environment).fact(
                    out,
                    Kind::Rejected,
                    close.code(),
                    &close.to_string(),
                );
                out.counts.rejected = out.counts.rejected.saturating_add(1);
            }
            self.answer(request, header.correlation_id, answer, out);
            return Ok(());
        }
        let answered = authenticate::sasl(
            environment,
            &mut self.exchange,
            self.identity.as_deref(),
            &header,
            frame,
        )?;
        let ended = match answered.event {
            Event::Continue => None,
            Event::Authenticated(identity) => {
                let text = identity.describe();
                self.identity = Some(identity);
                self.rights = None;
                self.scribe(environment)
                    .fact(out, Kind::Authenticated, "token", &text);
                None
            }
            Event::Failed(why) => {
                self.scribe(environment).fact(
                    out,
                    Kind::AuthenticationFailed,
                    "token-refused",
                    &why,
                );
                None
            }
            Event::End(why) => Some(Close::ClientAuthenticationFailed(why)),
        };
        self.answer(request, header.correlation_id, answered.frame, out);
        ended.map_or(Ok(()), Err)
    }

    fn decided_frame(
        &mut self,
        environment: &Environment<'_>,
        request: RequestRef,
        at: usize,
        frame: &mut [u8],
        out: &mut Outbox,
    ) -> Result<(), Close> {
        let length = frame.len();
        let denial_id = DenialId::new(self.id, request.sequence);
        let (Some(identity), Some((_, rights)), Some(snapshot)) =
            (&self.identity, &self.rights, environment.snapshot)
        else {
            return Err(Close::Internal("an authenticated session without rights"));
        };
        let mut ask = Asker::new(
            environment,
            snapshot,
            &identity.bound.principal,
            rights,
            request.api_key,
            denial_id,
            &mut self.memory,
        );
        let in_place = Piece::Read {
            start: at,
            end: at.saturating_add(length),
        };
        let (correlation_id, step) = step(&mut ask, in_place, frame)?;
        let permits = ask.take_permits();
        let durability = ask.durability();
        let Asker {
            asked,
            delivered,
            refusals,
            unacknowledged,
            gate_passes,
            work,
            ..
        } = ask;
        out.worked(work);
        let scribe = scribe(
            self.id,
            &self.client_id,
            &self.peer,
            Some(identity),
            environment,
        );
        scribe.denied(out, request, &refusals);
        match step {
            Step::Answer(bytes) => self.answer(request, correlation_id, bytes, out),
            Step::Close(close) => return Err(close),
            Step::Forward(piece, state) => {
                if !gate_passes.is_empty() {
                    environment.shared.order_gate(&mut |gate| {
                        for (stream, epoch, base_sequence) in &gate_passes {
                            gate.forwarded(stream, *epoch, *base_sequence);
                        }
                    });
                }
                scribe.intent(out, request, &asked, unacknowledged, durability);
                out.push(Unreceipted {
                    api_key: request.api_key,
                    permits,
                    piece,
                });
                if let Some(state) = state {
                    self.in_flight
                        .push(correlation_id, request, durability, state);
                }
            }
        }
        self.memory.pools.asked.give_back(asked);
        self.memory.pools.delivered.give_back(delivered);
        Ok(())
    }

    /// Call when the outbox's evidence is as durable as it asked: mints the receipts and releases the bytes.
    ///
    /// # Errors
    /// If something of this step could not be put into a record: nothing of it goes on.
    pub fn release(&mut self, out: &mut Outbox) -> Result<(), Close> {
        if out.unrecorded {
            return Err(Close::Internal("a fact does not fit an evidence record"));
        }
        for unreceipted in out.unreceipted.drain(..) {
            let (piece, spent) = forward(unreceipted, Receipt::mint())
                .ok_or(Close::Internal("bytes without a permit"))?;
            out.released.push(piece);
            self.memory.pools.permits.give_back(spent);
        }
        for number in out.answered.drain(..) {
            self.in_flight.ready(number);
        }
        Ok(())
    }

    fn answer(
        &mut self,
        request: RequestRef,
        correlation_id: i32,
        bytes: Vec<u8>,
        out: &mut Outbox,
    ) {
        let state = InFlightState::Answered {
            bytes,
            ready: false,
        };
        out.answered.push(
            self.in_flight
                .push(correlation_id, request, Durability::Written, state),
        );
    }

    fn next_request(&mut self, api_key: i16, api_version: i16) -> RequestRef {
        self.sequence = self.sequence.wrapping_add(1);
        RequestRef {
            sequence: self.sequence,
            api_key,
            api_version,
        }
    }

    fn scribe<'a>(&'a self, environment: &Environment<'_>) -> Scribe<'a> {
        scribe(
            self.id,
            &self.client_id,
            &self.peer,
            self.identity.as_deref(),
            environment,
        )
    }
}

fn scribe<'a>(
    session: SessionId,
    client_id: &'a str,
    peer: &'a str,
    identity: Option<&'a Identity>,
    environment: &Environment<'_>,
) -> Scribe<'a> {
    let revision = environment
        .snapshot
        .map(|snapshot| snapshot.tables.revision());
    Scribe {
        time_unix_ns: environment.now.unix_ns,
        session,
        principal: identity.map_or("", |identity| &identity.bound.principal),
        client_id,
        peer,
        revision: revision.map_or(Revision::default(), |revision| Revision {
            incarnation: revision.incarnation,
            number: revision.number,
        }),
    }
}
