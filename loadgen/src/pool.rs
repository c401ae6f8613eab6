//! Produce requests of one connection, made before the run and sent in turn.
//!
//! In the run one is copied, no more: what differs between records was drawn before. Only keys of digits are written anew
//! each time, so that they do not come again with their batch.

use std::ops::Range;

use bytes::Bytes;

use crate::Error;
use crate::limits::{POOL_BYTES_MAX, POOL_RECORDS, POOL_RECORDS_MAX};
use crate::plan::Plan;
use crate::records::{Keys, Maker, batch, key_places, renumber};
use crate::workload::{Answer, append_request};
use sluice_kafka::codec::Codec;

/// Batches in turn.
pub(crate) struct Pool {
    prepared: Vec<Prepared>,
    next: usize,
    /// The oldest one without an answer.
    unanswered: usize,
    /// Where keys of digits are written anew: what numbers come from, and how many different ones there are.
    keys: Option<(Maker, Option<u64>)>,
}

struct Prepared {
    frame: Vec<u8>,
    records: u64,
    /// Where the batch lies in the frame.
    batch: Range<usize>,
    /// Where the keys lie in the batch.
    keys: Vec<Range<usize>>,
}

impl Pool {
    /// `frame` makes a request of a batch. `connection` is the index of the connection among those that write.
    pub(crate) fn prepare(
        plan: &Plan,
        connection: usize,
        timestamp_ms: i64,
        frame: impl Fn(Bytes) -> Result<Vec<u8>, Error>,
    ) -> Result<Self, Error> {
        let mut maker = Maker::new(plan.seed, connection, plan.connections_count);
        let keys = match (plan.shape.keys, plan.shape.codec) {
            (Keys::Digits { different, .. }, Codec::None) => Some(different),
            _ => None,
        };
        let mut prepared: Vec<Prepared> = Vec::new();
        let mut bytes_left = POOL_BYTES_MAX / plan.connections_count.max(1);
        // At least one, whatever room it takes.
        while prepared.len() < count(plan) && (bytes_left > 0 || prepared.is_empty()) {
            let batch = batch(
                &plan.shape,
                plan.records_per_batch,
                timestamp_ms,
                &mut maker,
            )?;
            let frame = frame(batch.clone())?;
            // The fields behind the records are empty, so the batch is close to the end.
            let batch_at = frame.windows(batch.len()).rposition(|part| part == batch);
            let batch_at = batch_at.ok_or(Error::GeneratorBroken)?;
            bytes_left = bytes_left.saturating_sub(frame.len());
            prepared.push(Prepared {
                frame,
                records: plan.records_per_batch as u64,
                batch: batch_at..batch_at + batch.len(),
                keys: match keys {
                    Some(_) => key_places(&batch)?,
                    None => Vec::new(),
                },
            });
        }
        Ok(Self {
            prepared,
            next: 0,
            unanswered: 0,
            keys: keys.map(|different| {
                let numbers = Maker::new(plan.seed, connection, plan.connections_count);
                (numbers, different)
            }),
        })
    }

    /// Appends the next request.
    pub(crate) fn encode(&mut self, correlation_id: i32, out: &mut Vec<u8>) {
        let Some(prepared) = self.prepared.get(self.next) else {
            return;
        };
        let at = out.len();
        append_request(&prepared.frame, correlation_id, out);
        let batch = at + prepared.batch.start..at + prepared.batch.end;
        if let (Some((maker, different)), Some(batch)) = (&mut self.keys, out.get_mut(batch)) {
            renumber(batch, &prepared.keys, || maker.key_number(*different));
        }
        self.next = (self.next + 1) % self.prepared.len();
    }

    /// What the oldest request without an answer comes to, if it came to a good end. Requests are answered in order.
    pub(crate) fn answered(&mut self) -> Answer {
        let Some(prepared) = self.prepared.get(self.unanswered) else {
            return Answer::delivered(0, 0);
        };
        self.unanswered = (self.unanswered + 1) % self.prepared.len();
        Answer::delivered(prepared.records, prepared.batch.len() as u64)
    }
}

/// Batches of one connection, as far as they find room: records enough to differ.
fn count(plan: &Plan) -> usize {
    if plan.shape.is_always_alike() {
        return 1;
    }
    let connections = plan.connections_count.max(1);
    let records = (POOL_RECORDS_MAX / connections).min(POOL_RECORDS);
    records.div_ceil(plan.records_per_batch.max(1)).max(1)
}
