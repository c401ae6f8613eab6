//! What hot requests ask: about topics that the session remembers, partition by partition.

use std::rc::Rc;

use sluice_kafka::record_batch::BatchHeader;
use sluice_kafka::views::TopicKey;
use sluice_policy::limits::TOPIC_BYTES_MAX;
use sluice_policy::{Decision, KnownTopic, MaskPlanId, Operation, ResourceRef};
use uuid::Uuid;

use super::{Asker, Denial};
use crate::memory::AskedTopic;
use crate::record::Asked;

impl Asker<'_> {
    /// The same of a topic of a hot request, which is remembered.
    pub(crate) fn asked_topic(
        &mut self,
        operation: Operation,
        topic: &AskedTopic,
    ) -> Result<(), Denial> {
        let known = self.known(topic);
        let tables = &self.snapshot.tables;
        match tables.decide_known(self.rights, self.api_key, operation, &known) {
            Decision::Allow(permit) => {
                self.allow(permit, Asked::topic(operation, topic.name()));
                Ok(())
            }
            Decision::Deny(reason) => Err(self.deny(operation, ResourceRef::Topic(topic), reason)),
        }
    }

    /// What policy says about a topic of a hot request.
    pub(crate) fn known(&mut self, topic: &AskedTopic) -> Rc<KnownTopic> {
        let topics = &mut self.memory.topics;
        topics.find(topic.key()).unwrap_or_else(|| {
            let known = self.snapshot.tables.know(self.rights, topic.name().clone());
            match topic.name().len() <= TOPIC_BYTES_MAX {
                true => topics.learn(topic.id(), known),
                // No topic has such a name.
                false => Rc::new(known),
            }
        })
    }

    /// Whether a topic that was readable when it was asked for still is.
    pub(crate) fn still_reads(&mut self, topic: &AskedTopic) -> bool {
        self.known(topic).allowed().contains(Operation::Read)
    }

    pub(crate) fn mask_plan(&mut self, topic: &AskedTopic) -> Option<MaskPlanId> {
        self.known(topic).access().mask()
    }

    /// A topic of a hot request, with the name by which policy knows it. `None` for an id that no broker's answer has named
    /// yet: recorded, and the client asks for metadata.
    pub(crate) fn resolve(&mut self, key: TopicKey<'_>) -> Option<AskedTopic> {
        if let Some(known) = self.memory.topics.find(key) {
            return Some(AskedTopic::new(key, known.name().clone()));
        }
        let name = match key {
            TopicKey::Name(name) => name.into(),
            TopicKey::Id(id) => {
                let Some(name) = self.shared_topic_name(&id) else {
                    self.unknown_topic_id(Uuid::from_bytes(id));
                    return None;
                };
                name
            }
        };
        Some(AskedTopic::new(key, name))
    }

    pub(crate) fn writes(
        &mut self,
        topic: &AskedTopic,
        partition: i32,
        batch: &BatchHeader,
        grant: Option<String>,
    ) {
        let asked = self.asked_partition(Operation::Write, topic, partition);
        asked.set_batch(batch);
        asked.grant = grant.unwrap_or_default();
    }

    pub(crate) fn reads(&mut self, topic: &AskedTopic, partition: i32, offset: i64) {
        let masked = self.mask_plan(topic).is_some();
        let asked = self.asked_partition(Operation::Read, topic, partition);
        asked.first_offset = offset;
        asked.masked = masked;
    }

    /// Takes back items of partitions, of which `keep` says in their order which stay.
    pub(crate) fn keep_partitions(&mut self, mut keep: impl Iterator<Item = bool>) {
        self.asked
            .retain(|asked| !asked.names_partition || keep.next().unwrap_or(true));
    }

    /// The item of one partition of the topic that was asked last: the topic's own, as long as it names no partition yet, else
    /// a new one.
    fn asked_partition(
        &mut self,
        operation: Operation,
        topic: &AskedTopic,
        partition: i32,
    ) -> &mut Asked {
        let resource = ResourceRef::Topic(topic);
        let free = self
            .asked
            .pop_if(|asked| !asked.names_partition && asked.is_for(operation, resource));
        let mut asked = free.unwrap_or_else(|| Asked::topic(operation, topic.name()));
        asked.partition = partition;
        asked.names_partition = true;
        asked.topic_id = topic.id();
        self.asked.push_mut(asked)
    }
}
