//! Buffers of masked answers that have left, for the next: without them each answer would cost the kernel a megabyte of fresh
//! pages.

use crate::limits::{
    SPARE_BUFFER_BYTES_MIN, SPARE_BUFFERS_BYTES_MAX, SPARE_SMALL_BUFFERS_MAX, SPARE_SMALL_BYTES_MIN,
};

/// One shard's; empty buffers of a bounded sum.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
    /// Below [`SPARE_BUFFER_BYTES_MIN`]; few, whatever their sizes.
    small: Vec<Vec<u8>>,
}

impl Spare {
    /// An empty buffer with room for `bytes`: the smallest that is kept and has it, else a new one.
    pub(crate) fn take(&mut self, bytes: usize) -> Vec<u8> {
        if bytes < SPARE_BUFFER_BYTES_MIN {
            return smallest(&self.small, bytes).map_or_else(
                || Vec::with_capacity(bytes.next_power_of_two().max(SPARE_SMALL_BYTES_MIN)),
                |at| self.small.swap_remove(at),
            );
        }
        match smallest(&self.buffers, bytes) {
            Some(at) => {
                let buffer = self.buffers.swap_remove(at);
                self.bytes = self.bytes.saturating_sub(buffer.capacity());
                buffer
            }
            // In steps, so that answers of nearly the same size share buffers.
            None => Vec::with_capacity(
                bytes
                    .div_ceil(SPARE_BUFFER_BYTES_MIN)
                    .saturating_mul(SPARE_BUFFER_BYTES_MIN),
            ),
        }
    }

    /// Keeps a buffer while there is room, or in the place of the smallest of its kind if that is smaller.
    pub(crate) fn give_back(&mut self, mut buffer: Vec<u8>) {
        let bytes = buffer.capacity();
        buffer.clear();
        if bytes < SPARE_BUFFER_BYTES_MIN {
            if bytes >= SPARE_SMALL_BYTES_MIN {
                self.keep_small(buffer);
            }
            return;
        }
        if bytes > SPARE_BUFFERS_BYTES_MAX {
            return;
        }
        while self.bytes.saturating_add(bytes) > SPARE_BUFFERS_BYTES_MAX {
            match smallest(&self.buffers, 0) {
                Some(at) if self.buffers.get(at).is_some_and(|it| it.capacity() < bytes) => {
                    let smaller = self.buffers.swap_remove(at).capacity();
                    self.bytes = self.bytes.saturating_sub(smaller);
                }
                _ => return,
            }
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.buffers.push(buffer);
    }

    fn keep_small(&mut self, buffer: Vec<u8>) {
        if self.small.len() < SPARE_SMALL_BUFFERS_MAX {
            self.small.push(buffer);
            return;
        }
        let smallest = smallest(&self.small, 0).and_then(|at| self.small.get_mut(at));
        if let Some(smaller) = smallest.filter(|it| it.capacity() < buffer.capacity()) {
            *smaller = buffer;
        }
    }
}

/// Where the smallest buffer stands that has room for `bytes`.
fn smallest(buffers: &[Vec<u8>], bytes: usize) -> Option<usize> {
    let fits = buffers.iter().enumerate();
    let fits = fits.filter(|(_, buffer)| buffer.capacity() >= bytes);
    let smallest = fits.min_by_key(|(_, buffer)| buffer.capacity());
    smallest.map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_to_who_needs_no_more_than_it_has() {
        let mut spare = Spare::default();
        let mut buffer = spare.take(SPARE_BUFFER_BYTES_MIN + 1);
        assert_eq!(buffer.capacity(), 2 * SPARE_BUFFER_BYTES_MIN);
        buffer.push(1);
        let place = buffer.as_ptr();
        spare.give_back(buffer);
        spare.give_back(Vec::with_capacity(SPARE_BUFFER_BYTES_MIN));
        let larger = spare.take(2 * SPARE_BUFFER_BYTES_MIN + 1);
        assert_ne!(larger.as_ptr(), place);
        let again = spare.take(SPARE_BUFFER_BYTES_MIN + 1);
        assert!(again.is_empty() && again.as_ptr() == place);
        let smallest = spare.take(SPARE_BUFFER_BYTES_MIN);
        assert_eq!(smallest.capacity(), SPARE_BUFFER_BYTES_MIN);
        assert_eq!((spare.buffers.len(), spare.bytes), (0, 0));
    }

    #[test]
    fn a_few_small_buffers_are_kept_too() {
        let mut spare = Spare::default();
        for _ in 0..=SPARE_SMALL_BUFFERS_MAX {
            spare.give_back(Vec::with_capacity(2 * SPARE_SMALL_BYTES_MIN));
        }
        spare.give_back(vec![1]);
        assert_eq!(spare.small.len(), SPARE_SMALL_BUFFERS_MAX);
        spare.give_back(Vec::with_capacity(8 * SPARE_SMALL_BYTES_MIN));
        spare.give_back(Vec::with_capacity(SPARE_SMALL_BYTES_MIN));
        assert_eq!(spare.small.len(), SPARE_SMALL_BUFFERS_MAX);
        assert_eq!(spare.take(1).capacity(), 2 * SPARE_SMALL_BYTES_MIN);
        assert_eq!(spare.small.len(), SPARE_SMALL_BUFFERS_MAX - 1);
        assert_eq!((spare.buffers.len(), spare.bytes), (0, 0));
        let other = spare.take(4 * SPARE_SMALL_BYTES_MIN);
        assert_eq!(
            other.capacity(),
            8 * SPARE_SMALL_BYTES_MIN,
            "the larger stays"
        );
    }

    #[test]
    fn what_is_kept_is_bounded_and_larger_buffers_win() {
        let mut spare = Spare::default();
        let small = SPARE_BUFFERS_BYTES_MAX / 4;
        for _ in 0..6 {
            spare.give_back(Vec::with_capacity(small));
        }
        assert_eq!((spare.buffers.len(), spare.bytes), (4, 4 * small));
        spare.give_back(Vec::with_capacity(2 * small));
        assert_eq!((spare.buffers.len(), spare.bytes), (3, 4 * small));
        spare.give_back(Vec::with_capacity(SPARE_BUFFERS_BYTES_MAX + 1));
        spare.give_back(vec![1]);
        assert_eq!((spare.buffers.len(), spare.bytes), (3, 4 * small));
    }
}
