//! What one side of a connection reads into: frames as they come, whole or in parts.

use std::ops::Range;
use std::rc::Rc;

use sluice_session::Close;

use crate::buffers::{BufferPool, LARGE_BYTES, SMALL_BYTES};
use crate::ledger::Account;
use crate::limits::RELAY_PART_BYTES;
use crate::net::{Arrived, Stream};

/// What an idle TLS connection waits with; its buffer comes from the shard once bytes are there.
const FIRST_BYTES: usize = 256;

/// A linear read buffer: `start <= taken <= end <= bytes.len()`; `start..taken` are frames handed out,
/// `taken..end` came after them. Its memory goes back to the shard while the connection is idle.
pub(crate) struct Buffer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) start: usize,
    pub(crate) taken: usize,
    pub(crate) end: usize,
    /// Length of the frame at `taken`, once its prefix is there.
    pub(super) frame_bytes: usize,
    /// How much of that frame has passed before `taken`.
    pub(super) passed_bytes: usize,
    /// What the next buffer is read into: large if the last one was once full.
    first_bytes: usize,
    pool: Rc<BufferPool>,
    account: Account,
}

impl Buffer {
    pub(crate) fn new(pool: &Rc<BufferPool>, account: Account) -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            taken: 0,
            end: 0,
            frame_bytes: 0,
            passed_bytes: 0,
            first_bytes: SMALL_BYTES,
            pool: pool.clone(),
            account,
        }
    }

    /// The next complete frame, its length prefix included.
    pub(crate) fn frame(&mut self, frame_bytes_max: usize) -> Result<Option<Range<usize>>, Close> {
        let rest = self.bytes.get(self.taken..self.end).unwrap_or_default();
        let length = match sluice_kafka::frame::frame_length(rest, frame_bytes_max) {
            Ok(length) => length,
            Err(error) => return Err(Close::frame(error)),
        };
        self.frame_bytes = length.unwrap_or(0);
        let Some(length) = length.filter(|length| *length <= rest.len()) else {
            return Ok(None);
        };
        let range = self.taken..self.taken + length;
        self.taken = range.end;
        Ok(Some(range))
    }

    /// What is there of a long frame that is not whole, or has passed in part: once it is a whole part, or the end of the
    /// frame. Smaller ones would cost more calls than they save waiting.
    pub(super) fn next_part(&self) -> Option<Range<usize>> {
        let left = self.frame_bytes - self.passed_bytes;
        let part = (self.end - self.taken).min(left);
        (part >= RELAY_PART_BYTES || (self.passed_bytes > 0 && part == left))
            .then_some(self.taken..self.taken + part)
    }

    /// Notes that so much of the frame at `taken` goes on; says whether it ends there.
    pub(super) fn passed(&mut self, bytes: usize) -> bool {
        self.taken += bytes;
        self.passed_bytes += bytes;
        let ended = self.passed_bytes == self.frame_bytes;
        if ended {
            self.passed_bytes = 0;
        }
        ended
    }

    /// Reads once; `closed` is what it means if nothing comes any more. An empty buffer waits without memory; a full one
    /// grows with what has really arrived, up to the frame that it holds.
    pub(crate) async fn fill(&mut self, stream: &Stream, closed: Close) -> Result<(), Close> {
        if self.end == 0 {
            self.give_back();
            let mut first = [0; FIRST_BYTES];
            let Ok(arrived) = stream.arrived(&mut first).await else {
                return Err(closed);
            };
            if arrived == Arrived::Bytes(0) {
                return Err(closed);
            }
            self.account.hold(self.first_bytes)?;
            self.bytes = self.pool.take(self.first_bytes);
            self.first_bytes = SMALL_BYTES;
            if let Arrived::Bytes(read) = arrived {
                let (Some(to), Some(from)) = (self.bytes.get_mut(..read), first.get(..read)) else {
                    return Err(closed);
                };
                to.copy_from_slice(from);
                self.end = read;
                return Ok(());
            }
        } else if self.end == self.bytes.len() || self.bytes.len() < self.first_bytes {
            self.grow()?;
        }
        let free = self.bytes.get_mut(self.end..).unwrap_or_default();
        let free_bytes = free.len();
        match stream.read(free).await {
            Ok(0) | Err(_) => Err(closed),
            Ok(read) => {
                if read == free_bytes || self.end + read > SMALL_BYTES {
                    self.first_bytes = LARGE_BYTES;
                }
                self.end += read;
                Ok(())
            }
        }
    }

    fn grow(&mut self) -> Result<(), Close> {
        let bytes = BufferPool::next_bytes(self.bytes.len(), self.frame_bytes);
        self.account.hold(bytes)?;
        let mut larger = self.pool.take(bytes);
        if let (Some(to), Some(from)) = (larger.get_mut(..self.end), self.bytes.get(..self.end)) {
            to.copy_from_slice(from);
        }
        let full = std::mem::replace(&mut self.bytes, larger);
        self.pool.give_back(full);
        Ok(())
    }

    /// Forgets the frames handed out; what came after them moves to the front.
    pub(crate) fn consume(&mut self) {
        self.bytes.copy_within(self.taken..self.end, 0);
        self.end -= self.taken;
        self.start = 0;
        self.taken = 0;
    }

    fn give_back(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.pool.give_back(bytes);
        // Less is never refused.
        let _ = self.account.hold(0);
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.give_back();
    }
}
