//! The segment that a shard writes to, mapped where the host can.

use std::io;
use std::path::Path;

use sluice_evidence::Error;
use sluice_evidence::files::{SegmentFile, SpareSegment};

use super::mapped::{Ahead, Mapped};

/// An open segment. Mapped, it takes frames without a system call; where the file system cannot be mapped, or pages are not
/// ready, an append is one positioned write.
#[derive(Debug)]
pub(super) struct Segment {
    file: SegmentFile,
    mapped: Option<Mapped>,
}

/// A segment without a place in the log yet.
#[derive(Debug)]
pub(super) struct Spare {
    file: SpareSegment,
    mapped: Option<(Mapped, Ahead)>,
}

impl Spare {
    pub(super) fn create(dir: &Path, bytes: u64) -> Result<Self, Error> {
        let file = SpareSegment::create(dir, bytes)?;
        let mapped = map(file.file());
        Ok(Self { file, mapped })
    }

    pub(super) fn start(self, first_leaf: u64) -> Result<(Segment, Option<Ahead>), Error> {
        let file = self.file.start(first_leaf)?;
        let (mapped, ahead) = self.mapped.unzip();
        Ok((Segment { file, mapped }, ahead))
    }
}

impl Segment {
    pub(super) fn create(
        dir: &Path,
        first_leaf: u64,
        bytes: u64,
    ) -> Result<(Self, Option<Ahead>), Error> {
        let file = SegmentFile::create(dir, first_leaf, bytes)?;
        let (mapped, ahead) = map(file.file()).unzip();
        Ok((Self { file, mapped }, ahead))
    }

    /// Takes whole frames; they survive the death of the process.
    pub(super) fn append(&mut self, frames: &[u8]) -> Result<(), Error> {
        if !self.takes_at_once(frames) {
            // The page cache is one: what is written here and what is stored there are the same file.
            return self.file.append(frames);
        }
        let offset = self.file.reserve(frames.len())?;
        let mapped = self.mapped.as_mut();
        if mapped.is_some_and(|mapped| mapped.put(offset, frames)) {
            Ok(())
        } else {
            Err(Error::SegmentFull)
        }
    }

    /// Whether these frames fit, and cost no system call.
    pub(super) fn takes_at_once(&self, frames: &[u8]) -> bool {
        let ready = |mapped: &Mapped| mapped.is_ready(self.file.offset(), frames.len());
        self.mapped.as_ref().is_some_and(ready) && self.fits(frames)
    }

    pub(super) fn fits(&self, frames: &[u8]) -> bool {
        self.file.bytes_left() >= frames.len() as u64
    }

    /// See [`SegmentFile::seal`].
    pub(super) fn seal(self) -> Result<(), Error> {
        drop(self.mapped); // before the file becomes shorter
        self.file.seal()
    }
}

fn map(file: &std::fs::File) -> Option<(Mapped, Ahead)> {
    let told = |error: io::Error| {
        tracing::info!(%error, "the segment cannot be mapped: evidence is written by system calls");
    };
    Mapped::new(file).map_err(told).ok()
}
