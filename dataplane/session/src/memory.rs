//! What one session remembers, so that its requests ask the process-wide tables once and not each time.

use std::ops::Deref;
use std::sync::Arc;

use sluice_kafka::views::TopicKey;

use crate::limits::SESSION_TOPIC_IDS_MAX;
use crate::subscriptions::Subscriptions;

/// A session's own copies. A topic that is created again has another id, so its name stands; a producer id that is in use may
/// be lost, and then the table has another generation.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) claimed_producer_id: Option<ClaimedProducerId>,
    /// Ids and names of the topics used; a ring once it is full.
    topics: Vec<([u8; 16], Arc<str>)>,
    oldest: usize,
    last: usize,
    /// What the members of consumer groups on this session have subscribed to.
    pub(crate) subscriptions: Subscriptions,
}

/// The producer id that was claimed last. It is claimed again now and then, so that it counts as in use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClaimedProducerId {
    pub(crate) producer_id: i64,
    pub(crate) claimed_unix_ms: i64,
    /// Of the table, when it was asked.
    pub(crate) generation: u64,
}

impl Memory {
    /// The name of a topic id. Most requests name the topic that the one before named.
    pub(crate) fn topic_name(&mut self, id: &[u8; 16]) -> Option<Arc<str>> {
        let is = |entry: &&([u8; 16], Arc<str>)| entry.0 == *id;
        if let Some((_, name)) = self.topics.get(self.last).filter(is) {
            return Some(name.clone());
        }
        self.last = self.topics.iter().position(|entry| is(&entry))?;
        self.topics.get(self.last).map(|(_, name)| name.clone())
    }

    pub(crate) fn learn_topic(&mut self, id: [u8; 16], name: Arc<str>) {
        if self.topics.len() < SESSION_TOPIC_IDS_MAX {
            self.topics.push((id, name));
            return;
        }
        if let Some(entry) = self.topics.get_mut(self.oldest) {
            *entry = (id, name);
        }
        self.oldest = self.oldest.wrapping_add(1) % SESSION_TOPIC_IDS_MAX;
    }
}

/// A topic as a hot request names it, with the name by which policy knows it.
#[derive(Debug, Clone)]
pub(crate) struct AskedTopic {
    id: Option<[u8; 16]>,
    name: Arc<str>,
}

impl AskedTopic {
    pub(crate) fn new(key: TopicKey<'_>, name: Arc<str>) -> Self {
        let id = match key {
            TopicKey::Name(_) => None,
            TopicKey::Id(id) => Some(id),
        };
        Self { id, name }
    }

    /// The id, if that is how the request names it.
    pub(crate) fn id(&self) -> Option<[u8; 16]> {
        self.id
    }

    pub(crate) fn key(&self) -> TopicKey<'_> {
        match self.id {
            None => TopicKey::Name(&self.name),
            Some(id) => TopicKey::Id(id),
        }
    }
}

/// Memory of the names of topics; a run of the same topic shares one name.
pub(crate) fn names_bytes<'a>(topics: impl Iterator<Item = &'a AskedTopic>) -> usize {
    let mut bytes: usize = 0;
    let mut last: Option<&Arc<str>> = None;
    for AskedTopic { name, .. } in topics {
        if !last.is_some_and(|last| Arc::ptr_eq(last, name)) {
            bytes = bytes.saturating_add(name.len());
        }
        last = Some(name);
    }
    bytes
}

impl Deref for AskedTopic {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_topic_is_forgotten_where_there_is_no_room() {
        let mut memory = Memory::default();
        let id = |n: usize| (n as u128).to_be_bytes();
        for n in 0..=SESSION_TOPIC_IDS_MAX {
            memory.learn_topic(id(n), n.to_string().into());
        }
        assert_eq!(memory.topic_name(&id(0)), None);
        for n in [1, SESSION_TOPIC_IDS_MAX, 2, 2] {
            assert_eq!(memory.topic_name(&id(n)).as_deref(), Some(&*n.to_string()));
        }
        assert_eq!(memory.topics.len(), SESSION_TOPIC_IDS_MAX);
    }
}
