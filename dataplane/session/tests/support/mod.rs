//! Client, session and broker joined in memory, with a clock that jumps.
//!
//! [`Rig`] moves frames as the gateway's pump does: evidence is taken first, then `release`, then the bytes go on, then the
//! answers whose turn has come are drained. What the crate promises at that seam is asserted at each step.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses a part of it"
)]

pub mod batch;
pub mod facts;
pub mod frames;
pub mod issuer;
pub mod samples;
pub mod world;

use sluice_session::{BrokerStep, Close, MaskScratch, Outbox, Piece, Session};

pub use facts::Fact;
pub use world::World;

/// Where a frame lies in the read buffer of these tests: not at its start, so that a piece's place matters.
const PADDING: usize = 5;

/// A frame that left, and whether it left from where it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub bytes: Vec<u8>,
    pub place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `Piece::Read`: from the read buffer.
    Buffer,
    /// `Piece::Owned`: written by the session.
    Owned,
    /// Pieces of both kinds.
    Both,
}

/// All that one round of the pump did.
#[derive(Debug, Default)]
pub struct Round {
    /// Frames for the broker.
    pub forwarded: Vec<Sent>,
    /// Frames for the client.
    pub answers: Vec<Sent>,
    pub facts: Vec<Fact>,
    pub closed: Option<Close>,
    /// Patterns of subscriptions that were compiled.
    pub compiled_patterns: u64,
    /// Others have a turn after it.
    pub gives_way: bool,
    /// Turns that masking took.
    pub masking_turns: u64,
}

impl Round {
    /// The only frame that went to the broker, while nothing went to the client.
    #[track_caller]
    pub fn only_forwarded(&self) -> &Sent {
        assert_eq!(self.closed, None);
        assert!(self.answers.is_empty(), "answered here: {self:?}");
        assert_eq!(self.forwarded.len(), 1, "{self:?}");
        &self.forwarded[0]
    }

    /// The only frame that went to the client, while nothing went to the broker.
    #[track_caller]
    pub fn only_answer(&self) -> &[u8] {
        assert_eq!(self.closed, None);
        assert!(self.forwarded.is_empty(), "forwarded: {self:?}");
        assert_eq!(self.answers.len(), 1, "{self:?}");
        &self.answers[0].bytes
    }

    #[track_caller]
    pub fn close(&self) -> &Close {
        assert!(
            self.forwarded.is_empty(),
            "forwarded although closed: {self:?}"
        );
        self.closed
            .as_ref()
            .unwrap_or_else(|| panic!("still open: {self:?}"))
    }

    #[track_caller]
    pub fn fact(&self, kind: sluice_evidence::Kind) -> &Fact {
        let found: Vec<&Fact> = self.facts.iter().filter(|fact| fact.kind == kind).collect();
        assert_eq!(found.len(), 1, "records of kind {kind}: {:?}", self.facts);
        found[0]
    }

    pub fn has_fact(&self, kind: sluice_evidence::Kind) -> bool {
        self.facts.iter().any(|fact| fact.kind == kind)
    }
}

pub struct Rig {
    pub world: World,
    pub session: Session,
    sessions_count: u128,
}

impl Rig {
    /// A connected client that has not said anything yet.
    pub fn connected() -> Self {
        Self::on(World::new(world::POLICY))
    }

    pub fn on(world: World) -> Self {
        let mut rig = Self {
            session: session(1, None),
            world,
            sessions_count: 1,
        };
        rig.open();
        rig
    }

    /// A client that has proven to be the service `subject`.
    pub fn authenticated(subject: &str) -> Self {
        let mut rig = Self::connected();
        rig.authenticate(subject);
        rig
    }

    /// Another connection to the same gateway, as another service.
    pub fn reconnect(&mut self, subject: &str) {
        self.sessions_count += 1;
        self.session = session(self.sessions_count, None);
        self.open();
        self.authenticate(subject);
    }

    fn open(&mut self) {
        let mut out = Outbox::default();
        self.session.opened(&self.world.environment(), &mut out);
        assert!(!out.forwards());
        let facts = facts::decode(out.evidence());
        assert_eq!(facts.len(), 1);
        assert_eq!(facts[0].kind, sluice_evidence::Kind::SessionOpened);
        self.session.release(&mut out).unwrap();
        assert!(out.pieces().is_empty());
    }

    #[track_caller]
    pub fn authenticate(&mut self, subject: &str) {
        let token = self.world.token(subject);
        let round = self.present(&token);
        let answer = frames::sasl_answer(&round.answers[0].bytes);
        assert_eq!(
            (answer.error_code, &*answer.auth_bytes),
            (0, &b""[..]),
            "{round:?}"
        );
        assert!(self.session.is_authenticated());
    }

    /// Handshake and one token; the round is that of the token.
    #[track_caller]
    pub fn present(&mut self, token: &str) -> Round {
        let round = self.client(frames::handshake("OAUTHBEARER"));
        assert_eq!(frames::handshake_answer(round.only_answer()).error_code, 0);
        self.client(frames::authenticate(
            &sluice_identity::oauthbearer::encode(token, None, &[]).unwrap(),
        ))
    }

    /// One frame of the client.
    pub fn client(&mut self, frame: Vec<u8>) -> Round {
        self.client_round(&[frame])
    }

    /// Frames of the client that were read at once.
    pub fn client_round(&mut self, frames: &[Vec<u8>]) -> Round {
        self.client_taking(frames, |_, _| true).0
    }

    /// As many of the frames as are taken before others have a turn, and how many those are.
    pub fn client_step(&mut self, frames: &[Vec<u8>]) -> (Round, usize) {
        self.client_taking(frames, Session::takes_more)
    }

    fn client_taking(
        &mut self,
        frames: &[Vec<u8>],
        takes: impl Fn(&Session, &Outbox) -> bool,
    ) -> (Round, usize) {
        let mut taken = 0;
        let mut round = Round::default();
        let mut out = Outbox::default();
        let mut buffer = vec![0xEE; PADDING];
        let mut closed = None;
        for frame in frames {
            if !takes(&self.session, &out) {
                break;
            }
            taken += 1;
            let at = buffer.len();
            buffer.extend_from_slice(frame);
            let result = self.session.client_frame(
                &self.world.environment(),
                at,
                &mut buffer[at..],
                &mut out,
            );
            if let Err(close) = result {
                closed = Some(close);
                break;
            }
        }
        assert!(
            out.pieces().is_empty(),
            "bytes are given out before they are released"
        );
        let intends = out.forwards();
        self.settle(&mut out, &mut round);
        if intends {
            let intents = round
                .facts
                .iter()
                .filter(|fact| fact.kind == sluice_evidence::Kind::Intent && fact.part == 0);
            let sent = pieces(&out, &buffer);
            if round.closed.is_none() {
                assert_eq!(
                    intents.count(),
                    sent.len(),
                    "one intent for each frame that goes on"
                );
            }
            round.forwarded = sent;
        }
        round.closed = round.closed.take().or(closed);
        self.drain(&mut round);
        (round, taken)
    }

    /// One answer of the broker.
    pub fn broker(&mut self, frame: Vec<u8>) -> Round {
        self.broker_stepping(frame, sluice_session::limits::MASK_STEP_BYTES)
    }

    /// The same with so many bytes masked at a time.
    pub fn broker_stepping(&mut self, frame: Vec<u8>, step_bytes: usize) -> Round {
        let mut round = Round::default();
        let mut out = Outbox::default();
        let mut buffer = vec![0xEE; PADDING];
        buffer.extend_from_slice(&frame);
        let bytes = &mut buffer[PADDING..];
        let step = self
            .session
            .broker_frame(&self.world.environment(), PADDING, bytes, &mut out);
        let closed = match step {
            Err(close) => Some(close),
            Ok(BrokerStep::Done) => None,
            Ok(BrokerStep::Mask(mut job)) => {
                round.masking_turns = 1;
                let mut scratch = MaskScratch::default();
                while !job.step(bytes, step_bytes, &mut scratch) {
                    round.masking_turns += 1;
                    assert!(round.masking_turns < 1_000_000, "masking does not end");
                }
                self.session
                    .masked(
                        &self.world.environment(),
                        job,
                        bytes,
                        &mut scratch,
                        &mut out,
                    )
                    .err()
            }
        };
        assert!(
            out.pieces().is_empty(),
            "bytes are given out before they are released"
        );
        // The pump sends nothing of a round in which an answer closes the session.
        if closed.is_some() {
            round.closed = closed;
            return round;
        }
        self.settle(&mut out, &mut round);
        round.answers = joined(pieces(&out, &buffer));
        self.drain(&mut round);
        round
    }

    /// A part of an answer of the broker, of a frame of `frame_bytes`: what is done, and how much of it went on.
    pub fn broker_part(&mut self, part: &[u8], frame_bytes: usize) -> (Round, Option<usize>) {
        let mut round = Round::default();
        let mut out = Outbox::default();
        let mut buffer = vec![0xEE; PADDING];
        buffer.extend_from_slice(part);
        let taken = self.session.broker_part(
            &self.world.environment(),
            PADDING,
            &mut buffer[PADDING..],
            frame_bytes,
            &mut out,
        );
        assert!(
            out.pieces().is_empty(),
            "bytes are given out before they are released"
        );
        match taken {
            Err(close) => {
                round.closed = Some(close);
                (round, None)
            }
            Ok(taken) => {
                self.settle(&mut out, &mut round);
                round.answers = pieces(&out, &buffer);
                self.drain(&mut round);
                (round, taken)
            }
        }
    }

    fn settle(&mut self, out: &mut Outbox, round: &mut Round) {
        let facts = facts::decode(out.evidence());
        assert_eq!(facts.len() as u64, out.counts().records);
        round.facts.extend(facts);
        round.compiled_patterns += out.counts().compiled_patterns;
        round.gives_way |= out.gives_way();
        if let Err(close) = self.session.release(out) {
            round.closed = Some(close);
        }
    }

    fn drain(&mut self, round: &mut Round) {
        let mut out = Outbox::default();
        self.session.drain_answers(&mut out);
        self.settle(&mut out, round);
        round.answers.extend(pieces(&out, &[]));
    }

    /// What is recorded at the end of the session.
    pub fn closed(&mut self, close: &Close) -> Vec<Fact> {
        let mut out = Outbox::default();
        self.session
            .closed(&self.world.environment(), close, &mut out);
        assert!(!out.forwards());
        facts::decode(out.evidence())
    }
}

fn session(number: u128, node: Option<i32>) -> Session {
    Session::new(number << 96, format!("192.0.2.{number}:40000"), node)
}

fn pieces(out: &Outbox, buffer: &[u8]) -> Vec<Sent> {
    out.pieces()
        .iter()
        .map(|piece| match piece {
            Piece::Read { start, end } => Sent {
                bytes: buffer[*start..*end].to_vec(),
                place: Place::Buffer,
            },
            Piece::Owned(bytes) => Sent {
                bytes: bytes.clone(),
                place: Place::Owned,
            },
        })
        .collect()
}

/// Whole frames, of however many pieces each.
fn joined(pieces: Vec<Sent>) -> Vec<Sent> {
    let mut frames: Vec<Sent> = Vec::new();
    let is_whole = |frame: &Sent| {
        let length = *frame.bytes.first_chunk().expect("a length");
        i32::from_be_bytes(length) as usize + 4 == frame.bytes.len()
    };
    for piece in pieces {
        match frames.last_mut().filter(|last| !is_whole(last)) {
            None => frames.push(piece),
            Some(last) => {
                last.bytes.extend(piece.bytes);
                if last.place != piece.place {
                    last.place = Place::Both;
                }
            }
        }
    }
    assert!(frames.iter().all(is_whole), "a frame that is cut");
    frames
}

/// xorshift64*, so that a failing run can be repeated from its printed seed.
pub struct Random(u64);

impl Random {
    pub fn printed(seed: u64) -> Self {
        println!("seed {seed:#x}");
        Self(seed)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        usize::try_from(number).unwrap() % bound
    }

    pub fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}
