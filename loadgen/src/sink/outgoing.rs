//! Answers on their way to one socket: own bytes, and between them the shared bytes of batches that are not copied.

use std::io::{self, IoSlice};
use std::ops::Range;

use bytes::Bytes;
use sluice_dataplane::net::Stream;

/// The answers of one round, in order.
#[derive(Debug)]
pub(super) struct Outgoing {
    own: Vec<u8>,
    pieces: Vec<Piece>,
    /// Where own bytes begin that are in no piece yet.
    loose_from: usize,
    tail: Bytes,
    tails_count: usize,
}

#[derive(Debug)]
enum Piece {
    Own(Range<usize>),
    Tail,
}

/// Where a frame began, to write its length once that is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameStart {
    own_at: usize,
    tails_count: usize,
}

impl FrameStart {
    /// Where it began among the own bytes. Cutting there takes back a frame without shared bytes.
    pub(super) fn own_at(self) -> usize {
        self.own_at
    }
}

impl Outgoing {
    /// `tail` is what [`Self::push_tail`] stands for.
    pub(super) fn new(tail: Bytes) -> Self {
        Self {
            own: Vec::new(),
            pieces: Vec::new(),
            loose_from: 0,
            tail,
            tails_count: 0,
        }
    }

    /// For whole frames and for fields: what is appended here leaves in this place.
    pub(super) fn own(&mut self) -> &mut Vec<u8> {
        &mut self.own
    }

    pub(super) fn push_tail(&mut self) {
        self.pieces
            .push(Piece::Own(self.loose_from..self.own.len()));
        self.loose_from = self.own.len();
        self.pieces.push(Piece::Tail);
        self.tails_count += 1;
    }

    pub(super) fn begin_frame(&mut self) -> FrameStart {
        let start = FrameStart {
            own_at: self.own.len(),
            tails_count: self.tails_count,
        };
        self.own.extend_from_slice(&[0; 4]);
        start
    }

    pub(super) fn end_frame(&mut self, start: FrameStart) {
        let tails = (self.tails_count - start.tails_count) * self.tail.len();
        let length = self.own.len() - start.own_at - 4 + tails;
        // Fetches are cut long before a length could outgrow its field.
        let length = i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes();
        if let Some(field) = self.own.get_mut(start.own_at..start.own_at + 4) {
            field.copy_from_slice(&length);
        }
    }

    /// Bytes that wait, shared ones included.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.own.len() + self.tails_count * self.tail.len()
    }

    /// Hands everything to the kernel, and is empty then.
    pub(super) async fn flush(&mut self, stream: &Stream) -> io::Result<()> {
        if self.tails_count == 0 {
            stream.write_all(&self.own).await?;
        } else {
            let mut slices = self.slices();
            stream.write_vectored_all(&mut slices).await?;
        }
        self.own.clear();
        self.pieces.clear();
        (self.loose_from, self.tails_count) = (0, 0);
        Ok(())
    }

    fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(self.pieces.len() + 1);
        for piece in &self.pieces {
            slices.push(IoSlice::new(match piece {
                Piece::Own(range) => self.own.get(range.clone()).unwrap_or_default(),
                Piece::Tail => &self.tail,
            }));
        }
        slices.push(IoSlice::new(
            self.own.get(self.loose_from..).unwrap_or_default(),
        ));
        slices
    }

    #[cfg(test)]
    pub(super) fn to_vec(&self) -> Vec<u8> {
        self.slices()
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect()
    }
}

/// What ends a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Close {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("a frame: {0}")]
    Frame(sluice_kafka::FrameError),
    #[error("a request's header: {0}")]
    Header(sluice_kafka::HeaderError),
    #[error("a request of API {api_key}: {fault}")]
    Malformed {
        api_key: i16,
        fault: sluice_kafka::Malformed,
    },
    #[error("API {api_key} version {api_version}, which the sink does not serve")]
    NotServed { api_key: i16, api_version: i16 },
    #[error("an answer that its version cannot express: {0}")]
    Inexpressible(#[from] sluice_kafka::MessageError),
}
