//! What one session remembers, so that its requests ask the tables once and not each time, and allocate nothing.

use std::hash::BuildHasher;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use sluice_kafka::views::TopicKey;
use sluice_policy::{KnownTopic, MaskPlanId, Permit};

use crate::apis::{fetch, produce};
use crate::limits::SESSION_TOPICS_MAX;
use crate::pool::Pool;
use crate::record::{Asked, Delivered};
use crate::subscriptions::Subscriptions;
use crate::transform::{MaskJob, Work};

/// A session's own copies. A topic that is created again has another id, so its name stands; a producer id that is in use may
/// be lost, and then the table has another generation.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) claimed_producer_id: Option<ClaimedProducerId>,
    pub(crate) topics: Topics,
    /// What the members of consumer groups on this session have subscribed to.
    pub(crate) subscriptions: Subscriptions,
    pub(crate) pools: Pools,
}

/// Lists of requests that have been answered.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    pub(crate) permits: Pool<Permit>,
    pub(crate) asked: Pool<Asked>,
    pub(crate) delivered: Pool<Delivered>,
    pub(crate) produced: Pool<produce::Entry>,
    pub(crate) fetched: Pool<fetch::Entry>,
    pub(crate) masks: Pool<(AskedTopic, MaskPlanId)>,
    pub(crate) work: Pool<Work>,
    /// A session masks one answer at a time.
    pub(crate) mask_job: Option<Box<MaskJob>>,
}

/// The producer id that was claimed last. It is claimed again now and then, so that it counts as in use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClaimedProducerId {
    pub(crate) producer_id: i64,
    pub(crate) claimed_unix_ms: i64,
    /// Of the table, when it was asked.
    pub(crate) generation: u64,
}

/// The topics that hot requests named, as they named them, with what policy says about each; a ring once it is full.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    entries: Vec<Remembered>,
    /// Places of entries, by the hash of what names them.
    places: HashTable<usize>,
    oldest: usize,
    last: usize,
}

#[derive(Debug)]
struct Remembered {
    id: Option<[u8; 16]>,
    topic: Rc<KnownTopic>,
}

impl Remembered {
    fn key(&self) -> TopicKey<'_> {
        self.id
            .map_or_else(|| TopicKey::Name(self.topic.name()), TopicKey::Id)
    }
}

impl Topics {
    /// Most requests name the topic that the one before named.
    pub(crate) fn find(&mut self, key: TopicKey<'_>) -> Option<Rc<KnownTopic>> {
        let is = |entry: &Remembered| entry.key() == key;
        if !self.entries.get(self.last).is_some_and(is) {
            let is = |place: &usize| self.entries.get(*place).is_some_and(is);
            self.last = *self.places.find(hash(key), is)?;
        }
        self.entries.get(self.last).map(|entry| entry.topic.clone())
    }

    /// Remembers a topic that is not there, in the place of the oldest if there is no room.
    pub(crate) fn learn(&mut self, id: Option<[u8; 16]>, topic: KnownTopic) -> Rc<KnownTopic> {
        let topic = Rc::new(topic);
        let entry = Remembered {
            id,
            topic: topic.clone(),
        };
        let hash_of = hash(entry.key());
        let place = if self.entries.len() < SESSION_TOPICS_MAX {
            self.entries.push(entry);
            self.entries.len().saturating_sub(1)
        } else {
            let place = self.oldest;
            self.oldest = place.wrapping_add(1) % SESSION_TOPICS_MAX;
            if let Some(old) = self.entries.get_mut(place) {
                let old = std::mem::replace(old, entry);
                if let Ok(found) = self
                    .places
                    .find_entry(hash(old.key()), |other| *other == place)
                {
                    found.remove();
                }
            }
            place
        };
        let entries = &self.entries;
        let rehash = |place: &usize| entries.get(*place).map_or(0, |entry| hash(entry.key()));
        self.places.insert_unique(hash_of, place, rehash);
        self.last = place;
        topic
    }

    /// For other rights.
    pub(crate) fn forget(&mut self) {
        self.entries.clear();
        self.places.clear();
        (self.oldest, self.last) = (0, 0);
    }
}

/// Names that collide cost only the session that sends them, and no more than all that it remembers.
fn hash(key: TopicKey<'_>) -> u64 {
    FixedState::with_seed(0x7091).hash_one(key)
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

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
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
    use sluice_policy::{Revision, Rights, Source, Tables, compile, parse};

    use super::*;

    fn tables() -> (Tables, Rights) {
        let text = "kind: Role\nmetadata: {name: r}\nspec: {permissions: [{operations: [Read], topics: [{prefix: t}]}]}\n";
        let set = parse(&[Source { file: "p", text }]).unwrap();
        let tables = Tables::load(compile(&set, Revision::default()).unwrap()).unwrap();
        let rights = tables.rights(&[tables.role("r").unwrap()]);
        (tables, rights)
    }

    #[test]
    fn the_oldest_topic_is_forgotten_where_there_is_no_room() {
        let (tables, rights) = tables();
        let mut topics = Topics::default();
        let key = |n: usize| -> (String, Option<[u8; 16]>) {
            let id = n.is_multiple_of(3).then(|| (n as u128).to_be_bytes());
            (format!("t{n}"), id)
        };
        for n in 0..=SESSION_TOPICS_MAX {
            let (name, id) = key(n);
            topics.learn(id, tables.know(&rights, name.into()));
        }
        let mut named = |n: usize| {
            let (name, id) = key(n);
            let key = id.map_or(TopicKey::Name(&name), TopicKey::Id);
            let known = topics.find(key)?;
            assert_eq!(&**known.name(), name);
            Some(known.access().granted())
        };
        assert_eq!(named(0), None);
        for n in (1..=SESSION_TOPICS_MAX).chain([2, 2]) {
            assert!(named(n).is_some_and(|granted| !granted.is_empty()), "{n}");
        }
        assert_eq!(
            topics.find(TopicKey::Name("t3")).map(|_| ()),
            None,
            "known by its id"
        );
        assert_eq!(topics.places.len(), SESSION_TOPICS_MAX);
        topics.forget();
        assert!(topics.find(TopicKey::Name("t4")).is_none() && topics.places.is_empty());
    }

    #[test]
    fn what_is_remembered_is_found_whatever_came_between() {
        let (tables, rights) = tables();
        let mut topics = Topics::default();
        let mut order: Vec<usize> = Vec::new();
        let mut state = 7_usize;
        for _ in 0..20_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let n = (state >> 33) % (2 * SESSION_TOPICS_MAX);
            let name = format!("t{n}");
            let found = topics.find(TopicKey::Name(&name)).is_some();
            assert_eq!(found, order.contains(&n), "{n}");
            if !found {
                topics.learn(None, tables.know(&rights, name.into()));
                if order.len() == SESSION_TOPICS_MAX {
                    order.remove(0);
                }
                order.push(n);
            }
        }
    }
}
