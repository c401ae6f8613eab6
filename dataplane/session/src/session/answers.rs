//! What the broker answers: matched with its request, transformed, recorded, and sent on in its turn.

use sluice_kafka::header::response_correlation_id;
use sluice_policy::Durability;

use super::{Session, scribe};
use crate::apis::{fetch, produce};
use crate::decide::Asker;
use crate::environment::Environment;
use crate::error::Close;
use crate::forward::{Permits, Unreceipted};
use crate::in_flight::{InFlight, InFlightState};
use crate::outbox::{Outbox, Piece};
use crate::record::{DenialId, RequestRef};
use crate::transform::{MaskJob, MaskScratch};

/// What a broker's frame needs next.
#[derive(Debug)]
pub enum BrokerStep {
    /// Nothing: what is to be sent is in the outbox.
    Done,
    /// Values to mask: step the job until it is done, then hand it to [`Session::masked`].
    Mask(Masking),
}

/// A masking job with the request that it answers.
#[derive(Debug)]
pub struct Masking {
    job: Box<MaskJob>,
    /// Where the answer lies in the shell's read buffer.
    at: usize,
    request: RequestRef,
    durability: Durability,
}

impl Masking {
    /// Masks up to about `budget` bytes of `frame`, in part where they lie; says whether all is done.
    pub fn step(&mut self, frame: &mut [u8], budget: usize, scratch: &mut MaskScratch) -> bool {
        self.job.step(frame, budget, scratch)
    }

    /// Memory that the job holds between two steps.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.job.held_bytes()
    }

    /// Memory that [`Session::masked`] takes beside that, with the frame that was masked.
    #[must_use]
    pub fn answer_bytes(&self, frame: &[u8]) -> usize {
        self.job.answer_bytes(frame)
    }
}

impl Session {
    /// Takes one complete answer of the broker, its length prefix included, that lies at `at` in the shell's read buffer.
    ///
    /// # Errors
    /// The reason to close the session.
    pub fn broker_frame(
        &mut self,
        environment: &Environment<'_>,
        at: usize,
        frame: &mut [u8],
        out: &mut Outbox,
    ) -> Result<BrokerStep, Close> {
        self.recheck(environment)?;
        self.drain_answers(out);
        if self.relay.is_some() {
            return Err(Close::Internal("an answer within another"));
        }
        self.wanted_whole = false;
        let entry = self
            .in_flight
            .take_first()
            .ok_or_else(|| Close::BrokerMalformed("an answer to nothing".into()))?;
        let found = response_correlation_id(frame).map_err(Close::broker_malformed)?;
        if found != entry.correlation_id {
            return Err(Close::BrokerMalformed("an answer out of order".into()));
        }
        let (Some(identity), Some((_, rights)), Some(snapshot)) =
            (&self.identity, &self.rights, environment.snapshot)
        else {
            return Err(Close::Internal("an answer without rights"));
        };
        let InFlight {
            request,
            durability,
            correlation_id,
            state,
            ..
        } = entry;
        let denial_id = DenialId::new(self.id, request.sequence);
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
            end: at.saturating_add(frame.len()),
        };
        let mut masking = None;
        let piece = match state {
            InFlightState::Answered { .. } => {
                return Err(Close::BrokerMalformed("an answer out of order".into()));
            }
            InFlightState::Produce(pending) => {
                produce::answer(&mut ask, correlation_id, pending, frame)?
                    .map_or(in_place, Piece::Owned)
            }
            InFlightState::Cold { pending, .. } => Piece::Owned(pending.answer(&mut ask, frame)?),
            InFlightState::Fetch(pending) => {
                match fetch::answer(&mut ask, correlation_id, pending, frame)? {
                    fetch::FetchStep::AsItIs => in_place,
                    fetch::FetchStep::Rewritten(bytes) => Piece::Owned(bytes),
                    fetch::FetchStep::Mask(job) => {
                        masking = Some(job);
                        in_place
                    }
                }
            }
        };
        let Asker {
            asked,
            delivered,
            permits,
            refusals,
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
        let step = match masking {
            Some(job) => BrokerStep::Mask(Masking {
                job,
                at,
                request,
                durability,
            }),
            None => {
                scribe.outcome(out, request, &delivered, durability);
                out.push(Unreceipted {
                    api_key: request.api_key,
                    permits: Permits::Answer,
                    piece,
                });
                BrokerStep::Done
            }
        };
        let pools = &mut self.memory.pools;
        pools.asked.give_back(asked);
        pools.delivered.give_back(delivered);
        pools.permits.give_back(permits);
        Ok(step)
    }

    /// Takes a finished masking job with the frame that it masked, and sets the lengths in it that have changed.
    ///
    /// # Errors
    /// The reason to close the session; above all a masked field that survived.
    pub fn masked(
        &mut self,
        environment: &Environment<'_>,
        masking: Masking,
        frame: &mut [u8],
        scratch: &mut MaskScratch,
        out: &mut Outbox,
    ) -> Result<(), Close> {
        let Masking {
            mut job,
            at,
            request,
            durability,
        } = masking;
        let counts = job.finish(at, frame, scratch, |piece| {
            out.push(Unreceipted {
                api_key: request.api_key,
                permits: Permits::Answer,
                piece,
            });
        })?;
        let sum = &mut out.counts;
        sum.masked_fields = sum.masked_fields.saturating_add(counts.masked_fields);
        sum.unmaskable_values = sum
            .unmaskable_values
            .saturating_add(counts.unmaskable_values);
        sum.self_checks = sum.self_checks.saturating_add(counts.self_checks);
        self.scribe(environment)
            .outcome(out, request, job.delivered(), durability);
        job.give_back(&mut self.memory.pools);
        Ok(())
    }

    /// Whether an answer that was made here has its turn, so that [`Self::drain_answers`] has something to add.
    #[must_use]
    pub fn is_answer_ready(&self) -> bool {
        self.in_flight.is_first_ready()
    }

    /// Adds the answers that were made here, whose evidence is written and whose turn has come.
    pub fn drain_answers(&mut self, out: &mut Outbox) {
        if self.relay.is_some() {
            return; // the answer before them has not passed
        }
        while let Some((request, bytes)) = self.in_flight.take_ready() {
            out.push(Unreceipted {
                api_key: request.api_key,
                permits: Permits::Answer,
                piece: Piece::Owned(bytes),
            });
        }
    }
}
