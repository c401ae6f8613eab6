//! Process-wide tables that sessions learn and read on the slow path: who owns a producer id, which name a topic id has.

use std::collections::HashMap;
use std::sync::Arc;

use crate::limits::{PRODUCER_IDS_MAX, TOPIC_IDS_MAX};

/// Producer ids belong to the principal that got them: a non-transactional id is protected by nothing else in Kafka.
#[derive(Debug, Default)]
pub struct ProducerIds {
    owners: HashMap<i64, String>,
}

impl ProducerIds {
    /// Whether `principal` may write under `producer_id`. An id not seen since the start goes to its first user.
    pub fn claim(&mut self, producer_id: i64, principal: &str) -> bool {
        if let Some(owner) = self.owners.get(&producer_id) {
            return owner == principal;
        }
        if self.owners.len() >= PRODUCER_IDS_MAX {
            return false;
        }
        self.owners.insert(producer_id, principal.to_owned());
        true
    }

    /// Learns the owner from an answered InitProducerId.
    pub fn learn(&mut self, producer_id: i64, principal: &str) {
        if self.owners.len() < PRODUCER_IDS_MAX || self.owners.contains_key(&producer_id) {
            self.owners.insert(producer_id, principal.to_owned());
        }
    }
}

/// Topic id to name, learned only from brokers' answers.
#[derive(Debug, Default)]
pub struct TopicIds {
    names: HashMap<[u8; 16], Arc<str>>,
}

impl TopicIds {
    /// The name that the brokers gave for `id`.
    pub fn name(&self, id: &[u8; 16]) -> Option<&Arc<str>> {
        self.names.get(id)
    }

    /// Learns one pair. An id never changes its name, and a topic that is created again gets another id (KIP-516), so the
    /// first name stands. Where there is no room any other pair is forgotten: who uses it asks for metadata, and it is
    /// learned again.
    pub fn learn(&mut self, id: [u8; 16], name: &str) {
        if id == [0; 16] || self.names.contains_key(&id) {
            return;
        }
        if self.names.len() >= TOPIC_IDS_MAX
            && let Some(other) = self.names.keys().next().copied()
        {
            self.names.remove(&other);
        }
        self.names.insert(id, name.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_producer_id_stays_with_the_principal_that_got_it() {
        let mut ids = ProducerIds::default();
        ids.learn(5, "User:a");
        assert!(ids.claim(5, "User:a"));
        assert!(!ids.claim(5, "User:b"));
        assert!(ids.claim(6, "User:b"), "unknown ids go to the first user");
        assert!(!ids.claim(6, "User:a"));
    }

    #[test]
    fn a_topic_id_keeps_its_first_name_and_zero_names_nothing() {
        let mut ids = TopicIds::default();
        ids.learn([1; 16], "ledger");
        ids.learn([1; 16], "other");
        ids.learn([0; 16], "none");
        assert_eq!(ids.name(&[1; 16]).map(|name| &**name), Some("ledger"));
        assert_eq!(ids.name(&[0; 16]), None);
    }

    #[test]
    fn a_new_topic_id_is_learned_even_where_there_is_no_room() {
        let mut ids = TopicIds::default();
        for n in 1..=TOPIC_IDS_MAX + 1 {
            ids.learn((n as u128).to_be_bytes(), "t");
        }
        assert_eq!(ids.names.len(), TOPIC_IDS_MAX);
        let newest = ((TOPIC_IDS_MAX + 1) as u128).to_be_bytes();
        assert!(ids.name(&newest).is_some());
    }
}
