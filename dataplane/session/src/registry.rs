//! Process-wide tables that sessions learn and read on the slow path: which name a topic id has, and which topics there are.

use std::collections::HashMap;
use std::sync::Arc;

use crate::limits::{TOPIC_IDS_MAX, TOPIC_NAMES_MAX};

/// Topic id to name, learned only from brokers' answers.
#[derive(Debug, Default)]
pub struct TopicIds {
    names: HashMap<[u8; 16], Arc<str>>,
    /// By name, the id that was learned last: a topic that is created again is known by its new one.
    newest: HashMap<Arc<str>, [u8; 16]>,
}

impl TopicIds {
    /// The name that the brokers gave for `id`.
    pub fn name(&self, id: &[u8; 16]) -> Option<&Arc<str>> {
        self.names.get(id)
    }

    /// The id that the brokers gave last for `name`.
    pub fn id(&self, name: &str) -> Option<[u8; 16]> {
        self.newest.get(name).copied()
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
            && let Some(name) = self.names.remove(&other)
            && self.newest.get(&name) == Some(&other)
        {
            self.newest.remove(&name);
        }
        let name: Arc<str> = name.into();
        self.newest.insert(name.clone(), id);
        self.names.insert(id, name);
    }
}

/// The names of all topics of the cluster, learned from brokers' answers only. A clone is two words and is never changed, so
/// that nobody walks the names under a lock, and the generation tells whether anything has changed since.
#[derive(Debug, Clone, Default)]
pub struct TopicNames {
    generation: u64,
    names: Option<Arc<[Arc<str>]>>,
}

impl TopicNames {
    /// Another number for each set of names.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The names in their order, to resolve patterns against; `None` while they are not known, and where they are too many.
    #[must_use]
    pub fn names(&self) -> Option<&Arc<[Arc<str>]>> {
        let few = |names: &&Arc<[Arc<str>]>| names.len() <= TOPIC_NAMES_MAX;
        self.names.as_ref().filter(few)
    }

    /// The names that do not sort before `from`, in their order; none while they are not known, or more than are kept.
    #[must_use]
    pub fn not_before(&self, from: &str) -> &[Arc<str>] {
        let names = self.names.as_deref().unwrap_or_default();
        let first = names.partition_point(|name| &**name < from);
        names.get(first..).unwrap_or_default()
    }

    /// Learns what a look at the whole cluster has found. It takes long for many: better on a clone than under a lock.
    pub fn learn<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        let mut found: Vec<&str> = names.into_iter().collect();
        found.sort_unstable();
        found.dedup();
        let same =
            |known: &Arc<[Arc<str>]>| known.iter().map(|name| &**name).eq(found.iter().copied());
        if self.names.as_ref().is_some_and(same) {
            return;
        }
        self.generation = self.generation.wrapping_add(1);
        // Half of the names would be another cluster: patterns wait rather than miss a topic.
        self.names =
            (found.len() <= TOPIC_IDS_MAX).then(|| found.into_iter().map(Arc::from).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_id_keeps_its_first_name_and_zero_names_nothing() {
        let mut ids = TopicIds::default();
        ids.learn([1; 16], "ledger");
        ids.learn([1; 16], "other");
        ids.learn([0; 16], "none");
        assert_eq!(ids.name(&[1; 16]).map(|name| &**name), Some("ledger"));
        assert_eq!(ids.name(&[0; 16]), None);
        assert_eq!((ids.id("ledger"), ids.id("other")), (Some([1; 16]), None));
    }

    #[test]
    fn a_new_topic_id_is_learned_even_where_there_is_no_room() {
        let mut ids = TopicIds::default();
        for n in 1..=TOPIC_IDS_MAX + 1 {
            ids.learn((n as u128).to_be_bytes(), &n.to_string());
        }
        assert_eq!(ids.names.len(), TOPIC_IDS_MAX);
        let newest = ((TOPIC_IDS_MAX + 1) as u128).to_be_bytes();
        assert!(ids.name(&newest).is_some());
        assert_eq!(ids.newest.len(), TOPIC_IDS_MAX);
    }

    #[test]
    fn a_topic_that_is_created_again_is_known_by_its_new_id() {
        let mut ids = TopicIds::default();
        for id in [[1; 16], [2; 16], [1; 16]] {
            ids.learn(id, "ledger");
        }
        assert_eq!(
            ids.id("ledger"),
            Some([2; 16]),
            "as a broker that is behind may still say"
        );
        assert_eq!(ids.newest.len(), 1);
    }

    #[test]
    fn names_of_topics_have_another_generation_when_they_change_and_only_then() {
        let mut names = TopicNames::default();
        assert!(names.names().is_none(), "not known yet");
        names.learn(["orders", "clicks", "orders"]);
        let first = names.clone();
        names.learn(["clicks", "orders"]);
        assert_eq!(names.generation(), first.generation());
        names.learn(["clicks", "orders", "new"]);
        assert_ne!(names.generation(), first.generation());
        let known: Vec<&str> = names.names().unwrap().iter().map(|name| &**name).collect();
        assert_eq!(known, ["clicks", "new", "orders"]);
    }

    #[test]
    fn names_of_more_topics_than_are_kept_are_not_known() {
        let all: Vec<String> = (0..=TOPIC_NAMES_MAX).map(|n| n.to_string()).collect();
        let mut names = TopicNames::default();
        names.learn(["orders"]);
        let before = names.generation();
        names.learn(all.iter().map(String::as_str));
        assert!(names.names().is_none());
        names.learn(all.iter().skip(1).map(String::as_str));
        assert_eq!(
            names.names().map(|names| names.len()),
            Some(TOPIC_NAMES_MAX)
        );
        assert_ne!(names.generation(), before);
    }

    #[test]
    fn names_go_on_from_any_place_also_where_they_are_too_many_for_patterns() {
        let mut names = TopicNames::default();
        assert!(names.not_before("a").is_empty(), "not known yet");
        names.learn(["orders", "clicks", "ledger"]);
        let from = |names: &TopicNames, place: &str| -> Vec<String> {
            let found = names.not_before(place).iter();
            found.map(|name| name.to_string()).collect()
        };
        assert_eq!(from(&names, ""), ["clicks", "ledger", "orders"]);
        assert_eq!(from(&names, "ledger"), ["ledger", "orders"]);
        assert_eq!(from(&names, "ledger-2"), ["orders"]);
        assert!(from(&names, "orders-2").is_empty());

        let all: Vec<String> = (0..=TOPIC_NAMES_MAX).map(|n| format!("{n:06}")).collect();
        names.learn(all.iter().map(String::as_str));
        assert!(names.names().is_none());
        assert_eq!(from(&names, "099999"), ["099999", "100000"]);
        let more: Vec<String> = (0..=TOPIC_IDS_MAX).map(|n| n.to_string()).collect();
        names.learn(more.iter().map(String::as_str));
        assert!(names.not_before("").is_empty(), "more than are kept");
    }
}
