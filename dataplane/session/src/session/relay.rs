//! A long Fetch answer that goes on as it arrives, because nothing in it has to change.
//!
//! Its head decides: nothing that was asked for may be denied or masked by the policy of now. Then its parts go on, the offsets
//! that they deliver grow with each batch, and the outcome is recorded before the last part leaves. A connection that ends
//! in between records what had passed.

use sluice_evidence::Revision;
use sluice_kafka::ErrorCode;
use sluice_kafka::views::{FetchPart, FetchStream, TopicKey};
use sluice_policy::Durability;

use super::Session;
use crate::apis::{PendingFetch, Places, fetch};
use crate::decide::Asker;
use crate::environment::Environment;
use crate::error::Close;
use crate::forward::{Permits, Unreceipted};
use crate::in_flight::InFlightState;
use crate::limits::RELAYED_PARTITIONS_MAX;
use crate::outbox::{Outbox, Piece};
use crate::record::{Delivered, DenialId, RequestRef, Scribe};

/// An answer of which something may have gone on already.
#[derive(Debug)]
pub(super) struct Relay {
    stream: FetchStream,
    request: RequestRef,
    durability: Durability,
    /// The policy by which it goes on.
    revision: Revision,
    /// What waits with it.
    pending_bytes: usize,
    passed: Passed,
}

/// What of the answer has passed.
#[derive(Debug)]
struct Passed {
    correlation_id: i32,
    pending: PendingFetch,
    places: Places,
    /// The topic that passes: its id, or its name.
    topic_id: Option<[u8; 16]>,
    topic_name: String,
    delivered: Vec<Delivered>,
}

impl Relay {
    /// Memory that waits with it.
    pub(super) fn bytes(&self) -> usize {
        let delivered = self.passed.delivered.capacity();
        let delivered = delivered.saturating_mul(size_of::<Delivered>());
        self.pending_bytes.saturating_add(delivered)
    }
}

impl Passed {
    fn note(&mut self, part: FetchPart<'_>) -> Result<(), Close> {
        let unasked =
            || Close::BrokerMalformed("an answer for a partition that was not asked for".into());
        match part {
            FetchPart::Head { correlation_id, .. } => {
                if correlation_id != self.correlation_id {
                    return Err(Close::BrokerMalformed("an answer out of order".into()));
                }
            }
            FetchPart::Topic { key } => {
                self.topic_id = None;
                self.topic_name.clear();
                match key {
                    TopicKey::Name(name) => self.topic_name.push_str(name),
                    TopicKey::Id(id) => self.topic_id = Some(id),
                }
            }
            FetchPart::Partition { index, error } => {
                let key = match self.topic_id {
                    Some(id) => TopicKey::Id(id),
                    None => TopicKey::Name(&self.topic_name),
                };
                let at = self.pending.position(&mut self.places, key, index);
                let (topic, fetch_offset) = at
                    .and_then(|at| self.pending.asked(at))
                    .ok_or_else(unasked)?;
                if self.delivered.len() >= self.pending.len() {
                    return Err(unasked()); // a second one
                }
                self.delivered.push(Delivered {
                    topic: topic.name().clone(),
                    topic_id: topic.id(),
                    partition: index,
                    first_offset: fetch_offset,
                    error: error.0,
                    ..Delivered::default()
                });
            }
            FetchPart::Batch {
                last_offset,
                record_count,
            } => {
                if let Some(delivered) = self.delivered.last_mut() {
                    delivered.last_offset = last_offset;
                    delivered.records_count =
                        delivered.records_count.saturating_add(record_count.max(0));
                }
            }
        }
        Ok(())
    }

    /// What is worth a record.
    fn outcome(&mut self) -> &[Delivered] {
        self.delivered
            .retain(|one| one.records_count > 0 || one.error != ErrorCode::NONE.0);
        &self.delivered
    }
}

impl Session {
    /// Takes a part of the broker's answer before all of it is there: `part` lies at `at` in the shell's read buffer and begins where
    /// the last one stopped, or with the length prefix of a frame of `frame_bytes`. Says how many of its bytes go on; what is left
    /// comes again with more behind it. `None`: this answer is wanted whole, by [`Self::broker_frame`]. Once a part was taken,
    /// all of the frame goes this way.
    ///
    /// # Errors
    /// The reason to close the session.
    pub fn broker_part(
        &mut self,
        environment: &Environment<'_>,
        at: usize,
        part: &mut [u8],
        frame_bytes: usize,
        out: &mut Outbox,
    ) -> Result<Option<usize>, Close> {
        self.recheck(environment)?;
        self.drain_answers(out);
        if self.relay.is_none() {
            if !self.begin_relay(environment, frame_bytes)? {
                return Ok(None);
            }
            out.counts.relayed_answers = out.counts.relayed_answers.saturating_add(1);
        } else {
            self.recheck_relay(environment)?;
        }
        let Some(relay) = &mut self.relay else {
            return Ok(None);
        };
        let Relay { stream, passed, .. } = &mut **relay;
        let taken = stream.advance(part, |seen| passed.note(seen).map_err(Stop::Close));
        let taken = taken.map_err(|stop| match stop {
            Stop::Malformed(malformed) => Close::broker_malformed(malformed),
            Stop::Close(close) => close,
        })?;
        let request = relay.request;
        if relay.stream.is_done() {
            self.end_relay(environment, out);
        }
        if taken > 0 {
            out.push(Unreceipted {
                api_key: request.api_key,
                permits: Permits::Answer,
                piece: Piece::Read {
                    start: at,
                    end: at.saturating_add(taken),
                },
            });
        }
        Ok(Some(taken))
    }

    /// Records what an answer delivered that went on as it arrived, whether all of it did or not.
    pub(super) fn end_relay(&mut self, environment: &Environment<'_>, out: &mut Outbox) {
        let Some(mut relay) = self.relay.take() else {
            return;
        };
        let (request, durability) = (relay.request, relay.durability);
        Scribe {
            revision: relay.revision,
            ..self.scribe(environment)
        }
        .outcome(out, request, relay.passed.outcome(), durability);
        let pools = &mut self.memory.pools;
        let Passed {
            pending, delivered, ..
        } = relay.passed;
        pools.delivered.give_back(delivered);
        pending.give_back(pools);
    }

    /// What is left of an answer goes on under another policy only if it would go on under that from its start.
    fn recheck_relay(&mut self, environment: &Environment<'_>) -> Result<(), Close> {
        let revision = self.scribe(environment).revision;
        let (Some(relay), Some(identity), Some((_, rights)), Some(snapshot)) = (
            &mut self.relay,
            &self.identity,
            &self.rights,
            environment.snapshot,
        ) else {
            return Err(Close::Internal("an answer without rights"));
        };
        if relay.revision == revision {
            return Ok(());
        }
        let request = relay.request;
        let mut ask = Asker::new(
            environment,
            snapshot,
            &identity.bound.principal,
            rights,
            request.api_key,
            DenialId::new(self.id, request.sequence),
            &mut self.memory,
        );
        if !fetch::passes(&mut ask, &relay.passed.pending) {
            return Err(Close::PolicyNarrowed);
        }
        relay.revision = revision;
        Ok(())
    }

    /// Whether the answer whose turn it is goes on as it is, whatever of what was asked it holds.
    fn begin_relay(
        &mut self,
        environment: &Environment<'_>,
        frame_bytes: usize,
    ) -> Result<bool, Close> {
        if self.wanted_whole {
            return Ok(false);
        }
        self.wanted_whole = true;
        let Some(first) = self.in_flight.first() else {
            return Err(Close::BrokerMalformed("an answer to nothing".into()));
        };
        let InFlightState::Fetch(pending) = &first.state else {
            return Ok(false);
        };
        let (Some(identity), Some((_, rights)), Some(snapshot)) =
            (&self.identity, &self.rights, environment.snapshot)
        else {
            return Err(Close::Internal("an answer without rights"));
        };
        let request = first.request;
        let mut ask = Asker::new(
            environment,
            snapshot,
            &identity.bound.principal,
            rights,
            request.api_key,
            DenialId::new(self.id, request.sequence),
            &mut self.memory,
        );
        // Its outcome comes when records have left already: there must be room for it.
        if pending.len() > RELAYED_PARTITIONS_MAX || !fetch::passes(&mut ask, pending) {
            return Ok(false);
        }
        let delivered = ask.pools().delivered.take();
        let Some(entry) = self.in_flight.take_first() else {
            return Ok(false);
        };
        let InFlightState::Fetch(pending) = entry.state else {
            return Ok(false);
        };
        self.wanted_whole = false;
        let revision = self.scribe(environment).revision;
        self.relay = Some(Box::new(Relay {
            stream: FetchStream::new(pending.version(), frame_bytes),
            request: entry.request,
            durability: entry.durability,
            revision,
            pending_bytes: pending.bytes(),
            passed: Passed {
                correlation_id: entry.correlation_id,
                pending,
                places: Places::default(),
                topic_id: None,
                topic_name: String::new(),
                delivered,
            },
        }));
        Ok(true)
    }
}

/// Why a stream stops.
enum Stop {
    Malformed(sluice_kafka::Malformed),
    Close(Close),
}

impl From<sluice_kafka::Malformed> for Stop {
    fn from(malformed: sluice_kafka::Malformed) -> Self {
        Self::Malformed(malformed)
    }
}
