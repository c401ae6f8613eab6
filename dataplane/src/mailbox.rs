//! The newest value for every shard: one atomic read per request, a lock only when the value changed.
//!
//! The publisher keeps every value that it replaced until no shard holds it, so that a large snapshot is
//! always freed by the publisher ([`Mailbox::reclaim`]) and never by a shard in the middle of a request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One value of which everybody wants only the newest, e.g. the policy snapshot.
#[derive(Debug)]
pub struct Mailbox<T> {
    epoch: AtomicU64,
    slot: Mutex<Slot<T>>,
}

#[derive(Debug)]
struct Slot<T> {
    epoch: u64,
    newest: Arc<T>,
    replaced: Vec<Arc<T>>,
}

impl<T> Mailbox<T> {
    /// A mailbox that holds `first` under epoch 0.
    pub fn new(first: Arc<T>) -> Arc<Self> {
        let slot = Slot {
            epoch: 0,
            newest: first,
            replaced: Vec::new(),
        };
        Arc::new(Self {
            epoch: AtomicU64::new(0),
            slot: Mutex::new(slot),
        })
    }

    /// Replaces the value; every [`Reader`] sees it at its next [`Reader::newest`]. Returns the new epoch.
    pub fn publish(&self, value: Arc<T>) -> u64 {
        let mut slot = self.lock();
        let old = std::mem::replace(&mut slot.newest, value);
        slot.replaced.push(old);
        slot.epoch += 1;
        // Inside the lock, so that the epochs that readers see only grow.
        self.epoch.store(slot.epoch, Ordering::Release);
        slot.epoch
    }

    /// Takes back the replaced values that no shard holds any more; the publisher drops them when it likes.
    /// Call it now and then: what is not taken back stays in memory.
    pub fn reclaim(&self) -> Vec<Arc<T>> {
        // A replaced value is reachable through shards' own clones only, so once the count is one it stays one.
        self.lock()
            .replaced
            .extract_if(.., |value| Arc::strong_count(value) == 1)
            .collect()
    }

    /// Number of values published after the first.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// A shard's view; one per shard, not per request.
    pub fn reader(self: &Arc<Self>) -> Reader<T> {
        let (epoch, value) = self.read();
        Reader {
            mailbox: Arc::clone(self),
            epoch,
            value,
        }
    }

    fn read(&self) -> (u64, Arc<T>) {
        let slot = self.lock();
        (slot.epoch, Arc::clone(&slot.newest))
    }

    fn lock(&self) -> MutexGuard<'_, Slot<T>> {
        // Nothing in a critical section can panic half-way through a change.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A shard's copy of the newest value.
#[derive(Debug)]
pub struct Reader<T> {
    mailbox: Arc<Mailbox<T>>,
    epoch: u64,
    value: Arc<T>,
}

impl<T> Reader<T> {
    /// The newest value and its epoch. Costs one atomic read while nothing has changed.
    pub fn newest(&mut self) -> (u64, &Arc<T>) {
        if self.mailbox.epoch.load(Ordering::Acquire) != self.epoch {
            (self.epoch, self.value) = self.mailbox.read();
        }
        (self.epoch, &self.value)
    }

    /// The value that this reader has seen; [`Self::newest`] may have a newer one.
    pub fn seen(&self) -> &Arc<T> {
        &self.value
    }

    /// The epoch that this reader has seen; [`Self::newest`] may have a higher one.
    pub fn seen_epoch(&self) -> u64 {
        self.epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn readers_see_values_in_order_and_end_with_the_last() {
        const LAST: u64 = 20_000;
        let mailbox = Mailbox::new(Arc::new(0_u64));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut reader = mailbox.reader();
                    let mut previous = 0;
                    while previous != LAST {
                        let (epoch, value) = reader.newest();
                        assert_eq!(epoch, **value, "a value comes with its own epoch");
                        assert!(epoch >= previous, "epochs never go back");
                        previous = epoch;
                        std::hint::spin_loop();
                    }
                });
            }
            for value in 1..=LAST {
                assert_eq!(mailbox.publish(Arc::new(value)), value);
                mailbox.reclaim();
            }
        });
        assert_eq!(mailbox.epoch(), LAST);
    }

    struct Counted<'a>(&'a AtomicUsize);
    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_publisher_frees_a_replaced_value_and_only_when_no_reader_holds_it() {
        let freed = AtomicUsize::new(0);
        let mailbox = Mailbox::new(Arc::new(Counted(&freed)));
        let mut reader = mailbox.reader();
        mailbox.publish(Arc::new(Counted(&freed)));
        assert!(
            mailbox.reclaim().is_empty(),
            "the reader still holds the first value"
        );
        reader.newest();
        assert_eq!(
            freed.load(Ordering::Relaxed),
            0,
            "the reader let go, and freed nothing"
        );
        assert_eq!(mailbox.reclaim().len(), 1);
        assert_eq!(freed.load(Ordering::Relaxed), 1);
    }
}
