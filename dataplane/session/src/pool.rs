//! Lists that requests fill and empty again, kept for the next request.

use crate::limits::{POOL_ITEMS_MAX, POOL_LISTS_MAX};

/// Empty lists of one kind; few and short ones are kept.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    free: Vec<Vec<T>>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { free: Vec::new() }
    }
}

impl<T> Pool<T> {
    /// An empty list.
    pub(crate) fn take(&mut self) -> Vec<T> {
        self.free.pop().unwrap_or_default()
    }

    /// Takes a list back, and drops what is in it.
    pub(crate) fn give_back(&mut self, mut list: Vec<T>) {
        if (1..=POOL_ITEMS_MAX).contains(&list.capacity()) && self.free.len() < POOL_LISTS_MAX {
            list.clear();
            self.free.push(list);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_few_lists_and_only_short_ones() {
        let mut pool = Pool::default();
        pool.give_back(Vec::<u8>::new());
        pool.give_back(vec![1; POOL_ITEMS_MAX + 1]);
        assert_eq!(pool.take().capacity(), 0);
        for _ in 0..=POOL_LISTS_MAX {
            pool.give_back(vec![1]);
        }
        assert_eq!(pool.free.len(), POOL_LISTS_MAX);
        let list = pool.take();
        assert!(list.is_empty() && list.capacity() > 0);
    }
}
