//! Buffers of masked answers that have left, for the next: without them each answer would cost the kernel a megabyte of fresh
//! pages.

use crate::limits::{SPARE_BUFFER_BYTES_MIN, SPARE_BUFFERS_BYTES_MAX};

/// One shard's; empty buffers of a bounded sum.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Spare {
    /// An empty buffer with room for `bytes`: the smallest that is kept and has it, else a new one. Little is taken as it is.
    pub(crate) fn take(&mut self, bytes: usize) -> Vec<u8> {
        if bytes < SPARE_BUFFER_BYTES_MIN {
            return Vec::with_capacity(bytes);
        }
        let fits = self.buffers.iter().enumerate();
        let fits = fits.filter(|(_, buffer)| buffer.capacity() >= bytes);
        let smallest = fits.min_by_key(|(_, buffer)| buffer.capacity());
        match smallest.map(|(at, _)| at) {
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

    /// Keeps a buffer while there is room, or in the place of the smallest if that is smaller.
    pub(crate) fn give_back(&mut self, mut buffer: Vec<u8>) {
        let bytes = buffer.capacity();
        if !(SPARE_BUFFER_BYTES_MIN..=SPARE_BUFFERS_BYTES_MAX).contains(&bytes) {
            return;
        }
        while self.bytes.saturating_add(bytes) > SPARE_BUFFERS_BYTES_MAX {
            let kept = self.buffers.iter().enumerate();
            let smallest = kept.min_by_key(|(_, buffer)| buffer.capacity());
            match smallest.map(|(at, buffer)| (at, buffer.capacity())) {
                Some((at, smaller)) if smaller < bytes => {
                    self.buffers.swap_remove(at);
                    self.bytes = self.bytes.saturating_sub(smaller);
                }
                _ => return,
            }
        }
        buffer.clear();
        self.bytes = self.bytes.saturating_add(bytes);
        self.buffers.push(buffer);
    }
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
        let small = spare.take(SPARE_BUFFER_BYTES_MIN - 1);
        assert!(small.capacity() < SPARE_BUFFER_BYTES_MIN);
        let smallest = spare.take(SPARE_BUFFER_BYTES_MIN);
        assert_eq!(smallest.capacity(), SPARE_BUFFER_BYTES_MIN);
        assert_eq!((spare.buffers.len(), spare.bytes), (0, 0));
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
