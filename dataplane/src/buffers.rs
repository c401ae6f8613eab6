//! Read buffers of idle connections, for the next active one.

use std::cell::RefCell;

/// Sizes of buffers, and how many of each a shard keeps. The first is for connections with little to say, of which thousands
/// may be active at once; the second for those with much; the others hold the usual long answers (a Fetch of 1 MiB, and of the
/// most that the gateway asks for). A buffer that is not kept costs a page fault for each 4 KiB, and zeros.
const CLASSES: [(usize, usize); 4] = [
    (SMALL_BYTES, 256),
    (LARGE_BYTES, 64),
    (2 * 1024 * 1024, 8),
    (9 * 1024 * 1024, 2),
];

/// Bytes read at once from a connection that has sent little so far.
pub(crate) const SMALL_BYTES: usize = 16 * 1024;
/// Bytes read at once from a connection that has filled a small buffer.
pub(crate) const LARGE_BYTES: usize = 256 * 1024;

const _: () = assert!(CLASSES[3].0 > sluice_session::limits::FETCH_BYTES_MAX as usize);

/// The buffers that a shard keeps, by class. All of them are initialised to their last byte.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    free: RefCell<[Vec<Vec<u8>>; CLASSES.len()]>,
}

impl BufferPool {
    /// The size of the next larger buffer for a frame of `frame_bytes` that has filled `full_bytes`.
    pub(crate) fn next_bytes(full_bytes: usize, frame_bytes: usize) -> usize {
        let class = CLASSES.iter().find(|(bytes, _)| *bytes > full_bytes);
        match class {
            Some((bytes, _)) => *bytes,
            None => full_bytes
                .saturating_mul(2)
                .min(frame_bytes)
                .max(full_bytes.saturating_add(1)),
        }
    }

    /// A buffer of this many bytes, one of [`Self::next_bytes`].
    pub(crate) fn take(&self, bytes: usize) -> Vec<u8> {
        let kept = class(bytes).and_then(|class| self.free.borrow_mut().get_mut(class)?.pop());
        kept.unwrap_or_else(|| vec![0; bytes])
    }

    /// Keeps buffers of a class while there are few of them, and frees the others.
    pub(crate) fn give_back(&self, buffer: Vec<u8>) {
        let Some(class) = class(buffer.len()) else {
            return;
        };
        if let (Some(free), Some((_, kept_max))) =
            (self.free.borrow_mut().get_mut(class), CLASSES.get(class))
            && free.len() < *kept_max
        {
            free.push(buffer);
        }
    }
}

fn class(bytes: usize) -> Option<usize> {
    CLASSES.iter().position(|(class, _)| *class == bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_grow_by_class_and_then_no_further_than_the_frame() {
        let mut bytes = 0;
        let mut sizes = Vec::new();
        while bytes < 100 * 1024 * 1024 {
            bytes = BufferPool::next_bytes(bytes, 100 * 1024 * 1024);
            sizes.push(bytes / 1024);
        }
        assert_eq!(
            sizes,
            [16, 256, 2_048, 9_216, 18_432, 36_864, 73_728, 102_400]
        );
    }

    #[test]
    fn a_class_keeps_so_many_buffers_and_gives_them_out_again() {
        let pool = BufferPool::default();
        let (bytes, kept_max) = CLASSES[2];
        let buffers: Vec<_> = (0..=kept_max).map(|_| pool.take(bytes)).collect();
        let first = buffers[0].as_ptr();
        buffers
            .into_iter()
            .for_each(|buffer| pool.give_back(buffer));
        pool.give_back(vec![0; bytes + 1]);
        assert_eq!(
            pool.free.borrow().each_ref().map(Vec::len),
            [0, 0, kept_max, 0]
        );
        let again = (0..kept_max).map(|_| pool.take(bytes)).last().unwrap();
        assert_eq!(again.as_ptr(), first);
    }
}
