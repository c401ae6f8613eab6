//! Keeps the order of an idempotent producer when one of its batches is held or refused.
//!
//! After a batch got a retriable error, later batches of the same producer, epoch and partition must get it too, until
//! the refused sequence comes again and passes, or a higher epoch starts. Otherwise a broker without state for that
//! producer accepts the later batch, and the refused one can never be written again.
//!
//! Forgetting a refusal gives nobody a right, and lets what comes after it go first. So what cannot be remembered is
//! not told to come again, and an entry goes only when its sequence passes, when a higher epoch starts, or when nobody has
//! tried the stream for longer than clients do.

use std::collections::HashMap;

use crate::limits::ORDER_GATE_ENTRIES_MAX;

/// One producer's stream into one partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stream {
    /// The id that InitProducerId gave.
    pub producer_id: i64,
    /// Topic.
    pub topic: Topic,
    /// Partition index.
    pub partition: i32,
}

/// A topic as brokers tell topics apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A topic that is created again under the same name is another one.
    Id([u8; 16]),
    /// As long as no broker has told the id.
    Name(String),
}

/// What a batch may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing before it is missing.
    Free,
    /// An earlier batch was refused and has not come again.
    Behind,
}

#[derive(Debug, Clone, Copy)]
struct Refused {
    epoch: i16,
    base_sequence: i32,
    refused_unix_ms: i64,
}

/// The process-wide table of refused sequences.
#[derive(Debug, Default)]
pub struct OrderGate {
    refused: HashMap<Stream, Refused>,
}

impl OrderGate {
    /// Whether the batch at `base_sequence` may be considered now.
    pub fn turn(&mut self, stream: &Stream, epoch: i16, base_sequence: i32) -> Turn {
        let Some(refused) = self.refused.get(stream) else {
            return Turn::Free;
        };
        if epoch > refused.epoch && base_sequence == 0 {
            self.refused.remove(stream);
            return Turn::Free;
        }
        if epoch == refused.epoch && !is_later(base_sequence, refused.base_sequence) {
            Turn::Free
        } else {
            Turn::Behind
        }
    }

    /// Notes that the batch at `base_sequence` was refused. An earlier refusal stands. `false` where there is no room:
    /// nobody may be told to try again what could then be passed by.
    #[must_use]
    pub fn refused(
        &mut self,
        stream: Stream,
        epoch: i16,
        base_sequence: i32,
        now_unix_ms: i64,
    ) -> bool {
        if self.refused.len() >= ORDER_GATE_ENTRIES_MAX && !self.refused.contains_key(&stream) {
            return false;
        }
        let entry = self.refused.entry(stream).or_insert(Refused {
            epoch,
            base_sequence,
            refused_unix_ms: now_unix_ms,
        });
        let earlier = is_later(entry.base_sequence, base_sequence);
        if epoch > entry.epoch || (epoch == entry.epoch && earlier) {
            *entry = Refused {
                epoch,
                base_sequence,
                refused_unix_ms: now_unix_ms,
            };
        } else {
            entry.refused_unix_ms = now_unix_ms;
        }
        true
    }

    /// Notes that the batch at `base_sequence` went on to the broker.
    pub fn forwarded(&mut self, stream: &Stream, epoch: i16, base_sequence: i32) {
        if let Some(refused) = self.refused.get(stream)
            && (epoch, base_sequence) == (refused.epoch, refused.base_sequence)
        {
            self.refused.remove(stream);
        }
    }

    /// Forgets refusals that nobody retried since `before_unix_ms`.
    pub fn expire(&mut self, before_unix_ms: i64) {
        self.refused
            .retain(|_, refused| refused.refused_unix_ms >= before_unix_ms);
    }
}

/// Whether sequence `a` comes after `b`. Sequences go from 2^31-1 to 0, so "later" is a distance of less than half of that.
fn is_later(a: i32, b: i32) -> bool {
    const SEQUENCES: i64 = 1 << 31;
    let distance = i64::from(a)
        .saturating_sub(i64::from(b))
        .rem_euclid(SEQUENCES);
    distance != 0 && distance < SEQUENCES / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Stream {
        Stream {
            producer_id: 7,
            topic: Topic::Id([1; 16]),
            partition: 0,
        }
    }

    #[test]
    fn holds_later_batches_until_the_refused_sequence_passes() {
        let mut gate = OrderGate::default();
        assert_eq!(gate.turn(&stream(), 0, 0), Turn::Free);
        assert!(gate.refused(stream(), 0, 0, 1));
        assert_eq!(gate.turn(&stream(), 0, 5), Turn::Behind);
        assert!(gate.refused(stream(), 0, 5, 2));
        assert_eq!(
            gate.turn(&stream(), 0, 0),
            Turn::Free,
            "the earlier refusal stands"
        );
        gate.forwarded(&stream(), 0, 0);
        assert_eq!(gate.turn(&stream(), 0, 5), Turn::Free);
    }

    #[test]
    fn a_higher_epoch_at_zero_clears_the_gate_and_elsewhere_does_not() {
        let mut gate = OrderGate::default();
        assert!(gate.refused(stream(), 3, 40, 1));
        assert_eq!(gate.turn(&stream(), 4, 1), Turn::Behind);
        assert_eq!(gate.turn(&stream(), 4, 0), Turn::Free);
        assert_eq!(gate.turn(&stream(), 4, 9), Turn::Free);
    }

    #[test]
    fn what_cannot_be_remembered_is_said_and_leaves_the_others_alone() {
        let mut gate = OrderGate::default();
        let of = |n: usize| Stream {
            producer_id: n as i64,
            ..stream()
        };
        for n in 0..ORDER_GATE_ENTRIES_MAX {
            assert!(gate.refused(of(n), 0, 7, 1));
        }
        let one_more = of(ORDER_GATE_ENTRIES_MAX);
        assert!(!gate.refused(one_more.clone(), 0, 0, 1));
        assert_eq!(gate.turn(&one_more, 0, 0), Turn::Free);
        assert!(gate.refused(of(5), 0, 3, 1), "known already");
        assert_eq!(gate.turn(&of(5), 0, 4), Turn::Behind);
        gate.forwarded(&of(5), 0, 3);
        assert!(gate.refused(one_more, 0, 0, 1));
    }

    #[test]
    fn sequences_wrap() {
        let mut gate = OrderGate::default();
        assert!(gate.refused(stream(), 0, i32::MAX - 1, 1));
        assert_eq!(gate.turn(&stream(), 0, 3), Turn::Behind);
        assert_eq!(gate.turn(&stream(), 0, i32::MAX - 1), Turn::Free);
    }

    #[test]
    fn other_partitions_go_on_and_old_refusals_expire() {
        let mut gate = OrderGate::default();
        assert!(gate.refused(stream(), 0, 0, 10));
        let other = Stream {
            partition: 1,
            ..stream()
        };
        assert_eq!(gate.turn(&other, 0, 5), Turn::Free);
        gate.expire(11);
        assert_eq!(gate.turn(&stream(), 0, 5), Turn::Free);
    }
}
