//! Process-wide tables that sessions learn and read on the slow path: who owns a producer id, which name a topic id has.

use std::collections::HashMap;

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
    names: HashMap<[u8; 16], String>,
}

impl TopicIds {
    /// The name that the brokers gave for `id`.
    pub fn name(&self, id: &[u8; 16]) -> Option<&str> {
        self.names.get(id).map(String::as_str)
    }

    /// Learns one pair. An id never changes its name, so the first one stands.
    pub fn learn(&mut self, id: [u8; 16], name: &str) {
        if id != [0; 16] && self.names.len() < TOPIC_IDS_MAX {
            self.names.entry(id).or_insert_with(|| name.to_owned());
        }
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
        assert_eq!(ids.name(&[1; 16]), Some("ledger"));
        assert_eq!(ids.name(&[0; 16]), None);
    }
}
