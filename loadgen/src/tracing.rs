//! The part of one connection in following writes to readers.

use std::sync::Arc;

use crate::end_to_end::Board;

/// What a connection takes part in when writes are followed to a reader.
pub(crate) struct Tracing {
    pub(crate) board: Arc<Board>,
    pub(crate) partition: i32,
    pub(crate) side: Side,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Writer,
    /// Goes on until it has seen everything. After an answer with nothing it asks again no earlier than `not_before_ns`,
    /// since not every target holds a Fetch until there is something.
    Reader {
        not_before_ns: u64,
    },
    /// A reader of a partition that another one times.
    Follower {
        not_before_ns: u64,
    },
    Ended,
}

impl Tracing {
    pub(crate) fn batch_at(&self, offset: i64, intended_ns: u64, now_ns: u64) {
        match self.side {
            Side::Writer => self.board.written(self.partition, offset, intended_ns),
            Side::Reader { .. } => self.board.seen(self.partition, offset, now_ns),
            Side::Follower { .. } | Side::Ended => {}
        }
    }

    /// Of one that reads.
    pub(crate) fn not_before_ns(&self) -> Option<u64> {
        match self.side {
            Side::Reader { not_before_ns } | Side::Follower { not_before_ns } => {
                Some(not_before_ns)
            }
            Side::Writer | Side::Ended => None,
        }
    }
}
