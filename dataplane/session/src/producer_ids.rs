//! Process-wide table of who owns a producer id. Sessions learn and read it on the slow path.

use std::collections::HashMap;
use std::sync::Arc;

use crate::limits::{PRODUCER_ID_MEMORY_MS, PRODUCER_IDS_CLAIMED_MAX, PRODUCER_IDS_MAX};

/// In the place of a producer id: there is none.
const NONE: i64 = -1;

/// Producer ids belong to the principal that got them: a non-transactional id is protected by nothing else in Kafka.
///
/// An owner is *learned* from a broker's answer, or has *claimed* an id that nobody was seen to get since the start. Whose
/// owner is forgotten goes to the next principal that uses it, which could then write in the producer's name, or fence it
/// off. So an owner is forgotten only where there is no room, and only after brokers have forgotten the producer; until
/// then new ids are denied. But who claims needs no broker to make ids up: a principal has room for so many claims, and
/// where there is no room for what a broker has said, the claim that was used the longest time ago gives way.
///
/// However full the table is, each operation is a few look-ups.
#[derive(Debug)]
pub struct ProducerIds {
    owners: HashMap<i64, Owner>,
    principals: HashMap<Arc<str>, Share>,
    learned: Queue,
    claimed: Queue,
    generation: u64,
    ids_max: usize,
    claimed_max: usize,
}

/// What becomes of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The id is the principal's.
    Owned,
    /// The id is another principal's.
    Foreign,
    /// Nobody is known to own the id, and there is no room to remember that this principal does.
    NoRoom,
}

#[derive(Debug)]
struct Owner {
    principal: Arc<str>,
    used_unix_ms: i64,
    known: Known,
    /// In the queue of all that are known so.
    among_all: Link,
    /// In the queue of the principal's claims.
    among_own: Link,
}

/// By what an owner is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Learned,
    Claimed,
}

/// What one principal owns.
#[derive(Debug, Default)]
struct Share {
    ids_count: usize,
    claimed: Queue,
}

/// Neighbours in a queue, by their producer ids.
#[derive(Debug, Clone, Copy)]
struct Link {
    older: i64,
    newer: i64,
}

const UNLINKED: Link = Link {
    older: NONE,
    newer: NONE,
};

/// Producer ids in the order of their last use, linked through the table itself.
#[derive(Debug)]
struct Queue {
    oldest: i64,
    newest: i64,
    count: usize,
}

#[derive(Debug, Clone, Copy)]
enum Among {
    All,
    Own,
}

impl Default for ProducerIds {
    fn default() -> Self {
        Self::with_room(PRODUCER_IDS_MAX, PRODUCER_IDS_CLAIMED_MAX)
    }
}

impl ProducerIds {
    fn with_room(ids_max: usize, claimed_max: usize) -> Self {
        Self {
            owners: HashMap::new(),
            principals: HashMap::new(),
            learned: Queue::default(),
            claimed: Queue::default(),
            generation: 0,
            ids_max,
            claimed_max,
        }
    }

    /// Another number whenever somebody may have lost an id while it was in use.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether `principal` may write under `producer_id`. An id not seen since the start goes to its first user.
    pub fn claim(&mut self, producer_id: i64, principal: &str, now_unix_ms: i64) -> Claim {
        if let Some(owner) = self.owners.get(&producer_id) {
            if *owner.principal != *principal {
                return Claim::Foreign;
            }
            self.touch(producer_id, now_unix_ms);
            return Claim::Owned;
        }
        if producer_id < 0 || !self.has_room_for_claim(principal, now_unix_ms) {
            return Claim::NoRoom;
        }
        self.insert(producer_id, principal.into(), Known::Claimed, now_unix_ms);
        Claim::Owned
    }

    /// Learns the owner from an answered InitProducerId.
    pub fn learn(&mut self, producer_id: i64, principal: &str, now_unix_ms: i64) {
        if producer_id < 0 {
            return;
        }
        match self.forget(producer_id) {
            Some(before) if *before.principal != *principal => self.lose(),
            Some(_) => {}
            None if self.has_room(now_unix_ms) => {}
            None if self.forget(self.claimed.oldest).is_some() => self.lose(),
            None => return,
        }
        self.insert(producer_id, principal.into(), Known::Learned, now_unix_ms);
    }

    fn has_room_for_claim(&mut self, principal: &str, now_unix_ms: i64) -> bool {
        if let Some(Share { claimed, .. }) = self.principals.get(principal)
            && claimed.count >= self.claimed_max
            && !self.forget_idle(claimed.oldest, now_unix_ms)
        {
            return false;
        }
        self.has_room(now_unix_ms)
    }

    fn has_room(&mut self, now_unix_ms: i64) -> bool {
        self.owners.len() < self.ids_max
            || self.forget_idle(self.learned.oldest, now_unix_ms)
            || self.forget_idle(self.claimed.oldest, now_unix_ms)
    }

    /// Forgets an owner who has not used the id for so long that brokers have forgotten it.
    fn forget_idle(&mut self, producer_id: i64, now_unix_ms: i64) -> bool {
        let Some(owner) = self.owners.get(&producer_id) else {
            return false;
        };
        if owner.used_unix_ms > now_unix_ms {
            // The clock was set back. Counted from now, or it would stand before all others until then.
            self.touch(producer_id, now_unix_ms);
            return false;
        }
        let idle = now_unix_ms.saturating_sub(owner.used_unix_ms) >= PRODUCER_ID_MEMORY_MS;
        idle && self.forget(producer_id).is_some()
    }

    fn touch(&mut self, producer_id: i64, now_unix_ms: i64) {
        if let Some(owner) = self.forget(producer_id) {
            self.insert(producer_id, owner.principal, owner.known, now_unix_ms);
        }
    }

    fn lose(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    fn insert(&mut self, id: i64, principal: Arc<str>, known: Known, used_unix_ms: i64) {
        // One text for all that the principal owns.
        let principal = match self.principals.get_key_value(&principal) {
            Some((known, _)) => known.clone(),
            None => principal,
        };
        let share = self.principals.entry(principal.clone()).or_default();
        share.ids_count = share.ids_count.saturating_add(1);
        let owner = Owner {
            principal,
            used_unix_ms,
            known,
            among_all: UNLINKED,
            among_own: UNLINKED,
        };
        self.owners.insert(id, owner);
        match known {
            Known::Learned => self.learned.push(&mut self.owners, Among::All, id),
            Known::Claimed => {
                self.claimed.push(&mut self.owners, Among::All, id);
                share.claimed.push(&mut self.owners, Among::Own, id);
            }
        }
    }

    fn forget(&mut self, id: i64) -> Option<Owner> {
        let owner = self.owners.remove(&id)?;
        if let Some(share) = self.principals.get_mut(&owner.principal) {
            if owner.known == Known::Claimed {
                share
                    .claimed
                    .close(&mut self.owners, Among::Own, owner.among_own);
            }
            share.ids_count = share.ids_count.saturating_sub(1);
            if share.ids_count == 0 {
                self.principals.remove(&owner.principal);
            }
        }
        let queue = match owner.known {
            Known::Learned => &mut self.learned,
            Known::Claimed => &mut self.claimed,
        };
        queue.close(&mut self.owners, Among::All, owner.among_all);
        Some(owner)
    }
}

impl Owner {
    fn link(&mut self, among: Among) -> &mut Link {
        match among {
            Among::All => &mut self.among_all,
            Among::Own => &mut self.among_own,
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            oldest: NONE,
            newest: NONE,
            count: 0,
        }
    }
}

impl Queue {
    /// Puts an id that is in the table at the end of the queue.
    fn push(&mut self, owners: &mut HashMap<i64, Owner>, among: Among, id: i64) {
        if let Some(owner) = owners.get_mut(&id) {
            owner.link(among).older = self.newest;
        }
        match owners.get_mut(&self.newest) {
            Some(newest) => newest.link(among).newer = id,
            None => self.oldest = id,
        }
        self.newest = id;
        self.count = self.count.saturating_add(1);
    }

    /// Closes the gap of an id that has left the table.
    fn close(&mut self, owners: &mut HashMap<i64, Owner>, among: Among, gap: Link) {
        match owners.get_mut(&gap.older) {
            Some(older) => older.link(among).newer = gap.newer,
            None => self.oldest = gap.newer,
        }
        match owners.get_mut(&gap.newer) {
            Some(newer) => newer.link(among).older = gap.older,
            None => self.newest = gap.older,
        }
        self.count = self.count.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_producer_id_stays_with_the_principal_that_got_it() {
        let mut ids = ProducerIds::default();
        ids.learn(5, "User:a", 0);
        assert_eq!(ids.claim(5, "User:a", 0), Claim::Owned);
        assert_eq!(ids.claim(5, "User:b", i64::MAX), Claim::Foreign);
        assert_eq!(ids.claim(6, "User:b", 0), Claim::Owned, "its first user");
        assert_eq!(ids.claim(6, "User:a", 0), Claim::Foreign);
    }

    #[test]
    fn a_principal_claims_no_more_than_its_share_until_what_it_claimed_lies_idle() {
        let mut ids = ProducerIds::with_room(100, 3);
        for (id, now) in [(1, 0), (2, 10), (3, 20), (1, 30)] {
            assert_eq!(ids.claim(id, "User:a", now), Claim::Owned);
        }
        assert_eq!(ids.claim(4, "User:a", 30), Claim::NoRoom);
        assert_eq!(
            ids.claim(4, "User:b", 30),
            Claim::Owned,
            "a share of its own"
        );
        ids.learn(5, "User:a", 30);
        assert_eq!(ids.claim(5, "User:a", 30), Claim::Owned, "not claimed");
        ids.learn(3, "User:a", 30);
        assert_eq!(
            ids.claim(6, "User:a", 30),
            Claim::Owned,
            "3 is no claim now"
        );

        let idle = 10 + PRODUCER_ID_MEMORY_MS;
        assert_eq!(ids.claim(7, "User:a", idle - 1), Claim::NoRoom);
        assert_eq!(ids.claim(7, "User:a", idle), Claim::Owned);
        assert_eq!(ids.claim(2, "User:b", idle), Claim::Owned, "forgotten");
    }

    #[test]
    fn what_a_broker_said_takes_the_room_of_the_claim_that_was_used_the_longest_time_ago() {
        let mut ids = ProducerIds::with_room(3, 2);
        ids.learn(1, "User:a", 0);
        for (id, principal, now) in [(2, "User:b", 1), (3, "User:c", 2), (2, "User:b", 3)] {
            assert_eq!(ids.claim(id, principal, now), Claim::Owned);
        }
        assert_eq!(ids.claim(4, "User:d", 4), Claim::NoRoom);
        let before = ids.generation();
        ids.learn(4, "User:d", 4);
        assert_ne!(ids.generation(), before, "the owner of 3 is told");
        assert_eq!(ids.claim(3, "User:c", 4), Claim::NoRoom);
        assert_eq!(ids.claim(2, "User:a", 4), Claim::Foreign);
        ids.learn(5, "User:d", 5);
        ids.learn(6, "User:d", 6);
        for (id, owner) in [(1, "User:a"), (4, "User:d"), (5, "User:d")] {
            assert_eq!(ids.claim(id, owner, 6), Claim::Owned, "no claim is left");
        }
        assert_eq!(ids.claim(6, "User:d", 6), Claim::NoRoom);
        assert_eq!((ids.owners.len(), ids.principals.len()), (3, 2));
    }

    #[test]
    fn an_id_that_a_broker_gives_to_somebody_else_is_lost_and_that_is_told() {
        let mut ids = ProducerIds::default();
        assert_eq!(ids.claim(7, "User:guesses", 0), Claim::Owned);
        let before = ids.generation();
        ids.learn(7, "User:a", 1);
        assert_ne!(ids.generation(), before);
        assert_eq!(ids.claim(7, "User:guesses", 2), Claim::Foreign);
        let before = ids.generation();
        ids.learn(7, "User:a", 3);
        assert_eq!(ids.generation(), before, "its own already");
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_keep_the_table_full() {
        let mut ids = ProducerIds::with_room(2, 2);
        ids.learn(1, "User:a", i64::MAX);
        ids.learn(2, "User:a", 0);
        assert_eq!(ids.claim(3, "User:b", 0), Claim::NoRoom);
        assert_eq!(ids.claim(3, "User:b", PRODUCER_ID_MEMORY_MS), Claim::Owned);
        assert_eq!(ids.claim(2, "User:b", PRODUCER_ID_MEMORY_MS), Claim::Owned);
    }

    /// The same without queues: a list in the order of last use, searched from its start.
    struct Twin {
        ids_max: usize,
        claimed_max: usize,
        owners: Vec<(i64, String, Known, i64)>,
    }

    impl Twin {
        fn take(&mut self, at: Option<usize>) -> bool {
            at.map(|at| self.owners.remove(at)).is_some()
        }

        fn take_idle(&mut self, now: i64, is: impl Fn(&str, Known) -> bool) -> bool {
            let first = self
                .owners
                .iter()
                .position(|(_, p, known, _)| is(p, *known));
            let idle = first.filter(|first| now - self.owners[*first].3 >= PRODUCER_ID_MEMORY_MS);
            self.take(idle)
        }

        fn has_room(&mut self, now: i64) -> bool {
            self.owners.len() < self.ids_max
                || self.take_idle(now, |_, known| known == Known::Learned)
                || self.take_idle(now, |_, known| known == Known::Claimed)
        }

        fn claim(&mut self, id: i64, principal: &str, now: i64) -> Claim {
            if let Some(at) = self.owners.iter().position(|owner| owner.0 == id) {
                if self.owners[at].1 != principal {
                    return Claim::Foreign;
                }
                let (.., known, _) = self.owners.remove(at);
                self.owners.push((id, principal.into(), known, now));
                return Claim::Owned;
            }
            let own = |p: &str, known| p == principal && known == Known::Claimed;
            let claims = self.owners.iter().filter(|owner| own(&owner.1, owner.2));
            if claims.count() >= self.claimed_max && !self.take_idle(now, own)
                || !self.has_room(now)
            {
                return Claim::NoRoom;
            }
            self.owners
                .push((id, principal.into(), Known::Claimed, now));
            Claim::Owned
        }

        fn learn(&mut self, id: i64, principal: &str, now: i64) {
            let at = self.owners.iter().position(|owner| owner.0 == id);
            if self.take(at) || self.has_room(now) || {
                let mut owners = self.owners.iter();
                let claim = owners.position(|owner| owner.2 == Known::Claimed);
                self.take(claim)
            } {
                self.owners
                    .push((id, principal.into(), Known::Learned, now));
            }
        }
    }

    #[test]
    fn claims_and_answers_in_any_order_end_as_in_a_list_that_is_searched() {
        let seed = 0x5107_1ce5;
        println!("seed {seed:#x}");
        let mut state: u64 = seed;
        let mut below = |bound: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            i64::try_from((state >> 16) % bound).unwrap()
        };
        let mut ids = ProducerIds::with_room(12, 4);
        let mut twin = Twin {
            ids_max: 12,
            claimed_max: 4,
            owners: Vec::new(),
        };
        let mut now = 0;
        let mut seen = [0; 4];
        for step in 0..100_000 {
            now += below(2) * below(u64::try_from(PRODUCER_ID_MEMORY_MS / 6).unwrap());
            let (id, principal) = (below(24), format!("User:{}", below(5)));
            if below(4) == 0 {
                ids.learn(id, &principal, now);
                twin.learn(id, &principal, now);
                seen[3] += 1;
            } else {
                let claim = ids.claim(id, &principal, now);
                assert_eq!(claim, twin.claim(id, &principal, now), "step {step}");
                seen[claim as usize] += 1;
            }
            let mut owners = twin.owners.iter();
            assert!(
                ids.owners.len() == twin.owners.len()
                    && owners.all(|(id, principal, known, used)| {
                        let owner = ids.owners.get(id);
                        owner.is_some_and(|owner| {
                            *owner.principal == **principal
                                && (owner.known, owner.used_unix_ms) == (*known, *used)
                        })
                    }),
                "step {step}"
            );
            let principals = twin.owners.iter().map(|owner| &owner.1);
            let principals = principals.collect::<std::collections::HashSet<_>>();
            assert_eq!(ids.principals.len(), principals.len(), "step {step}");
        }
        assert!(seen.iter().all(|count| *count > 1_000), "{seen:?}");
    }
}
