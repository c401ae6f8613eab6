//! What is asked about producers: whose a producer id is, which approval a write needs, and whether its turn has come.

use sluice_policy::{Operation, ResourceRef};

use super::{Asker, Rule};
use crate::environment::Standing;
use crate::limits::PRODUCER_ID_CLAIM_MS;
use crate::memory::{AskedTopic, ClaimedProducerId};
use crate::order_gate::{self, Stream, Turn};
use crate::producer_ids::Claim;
use crate::record::Refusal;

impl Asker<'_> {
    pub(crate) fn claim_producer_id(&mut self, producer_id: i64) -> Claim {
        let now = self.environment.now.unix_ms();
        let shared = self.environment.shared;
        if let Some(last) = self.memory.claimed_producer_id
            && last.producer_id == producer_id
            && (0..PRODUCER_ID_CLAIM_MS).contains(&now.saturating_sub(last.claimed_unix_ms))
            && last.generation == shared.producer_ids_generation()
        {
            return Claim::Owned;
        }
        let (mut claim, mut generation) = (Claim::NoRoom, 0);
        shared.producer_ids(&mut |ids| {
            claim = ids.claim(producer_id, self.principal, now);
            generation = ids.generation();
        });
        if claim == Claim::Owned {
            self.memory.claimed_producer_id = Some(ClaimedProducerId {
                producer_id,
                claimed_unix_ms: now,
                generation,
            });
        }
        claim
    }

    pub(crate) fn learn_producer_id(&self, producer_id: i64) {
        let now = self.environment.now.unix_ms();
        self.environment
            .shared
            .producer_ids(&mut |ids| ids.learn(producer_id, self.principal, now));
    }

    /// A producer id that somebody else goes on with.
    pub(crate) fn denied_continuation(&mut self, producer_id: i64, code: &'static str) {
        let text = format!("{} may not go on as producer {producer_id}", self.principal);
        self.refusals.push(Refusal::new(
            Operation::IdempotentWrite,
            ResourceRef::Cluster,
            code,
            &text,
        ));
    }

    pub(crate) fn denied_producer(
        &mut self,
        topic: &str,
        partition: i32,
        code: &'static str,
        text: &str,
    ) {
        let topic = ResourceRef::Topic(topic);
        let mut refusal = Refusal::new(Operation::Write, topic, code, text);
        refusal.partition = partition;
        self.refusals.push(refusal);
    }

    /// The approval that a write to this topic needs.
    pub(crate) fn approval_rule(&mut self, topic: &AskedTopic) -> Option<Rule> {
        let id = self.known(topic).approval()?;
        let rule = self.snapshot.tables.approval_rule(id);
        Some(Rule {
            name: rule.name.to_owned(),
            hold_ms: rule.hold_ms,
        })
    }

    pub(crate) fn grant(&self, topic: &str) -> Option<String> {
        self.environment
            .grants
            .covering(self.principal, topic, self.environment.now)
            .map(str::to_owned)
    }

    pub(crate) fn standing(&self, topic: &str, rule: &str) -> Standing {
        self.environment
            .shared
            .approval(self.principal, topic, rule)
    }

    /// A producer's stream into a partition. The id of its topic is the same whether the request gives it or the name,
    /// and what goes on under the id of a topic that is gone releases nothing of the one that has its name now.
    pub(crate) fn stream(&self, producer_id: i64, topic: &AskedTopic, partition: i32) -> Stream {
        let mut id = topic.id();
        if id.is_none() {
            self.environment
                .shared
                .topic_ids(&mut |ids| id = ids.id(topic));
        }
        Stream {
            producer_id,
            topic: id.map_or_else(
                || order_gate::Topic::Name(topic.to_string()),
                order_gate::Topic::Id,
            ),
            partition,
        }
    }

    pub(crate) fn turn(&self, stream: &Stream, epoch: i16, base_sequence: i32) -> Turn {
        let mut turn = Turn::Behind;
        self.environment
            .shared
            .order_gate(&mut |gate| turn = gate.turn(stream, epoch, base_sequence));
        turn
    }

    /// This batch goes on, if its request does.
    pub(crate) fn passes_gate(&mut self, stream: Stream, epoch: i16, base_sequence: i32) {
        self.gate_passes.push((stream, epoch, base_sequence));
    }

    /// Whether the gate will keep this batch's place.
    pub(crate) fn gate_refused(&self, stream: Stream, epoch: i16, base_sequence: i32) -> bool {
        let now = self.environment.now.unix_ms();
        let mut stream = Some(stream);
        let mut kept = false;
        self.environment.shared.order_gate(&mut |gate| {
            if let Some(stream) = stream.take() {
                kept = gate.refused(stream, epoch, base_sequence, now);
            }
        });
        kept
    }
}
