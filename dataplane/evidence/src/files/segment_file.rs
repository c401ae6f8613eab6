//! A segment that is being written.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::directory::LogDirectory;
use super::{failed, sync_path};
use crate::error::Error;
use crate::limits::SEGMENT_BYTES_MAX;

/// The open segment of a log: append-only, filled with zeros when it is made, so that a write changes no metadata and
/// `fdatasync` stays cheap.
#[derive(Debug)]
pub struct SegmentFile {
    file: File,
    path: PathBuf,
    first_leaf: u64,
    offset: u64,
    bytes: u64,
}

/// A segment made ahead of its turn, so that whoever starts it waits for no disk.
#[derive(Debug)]
pub struct SpareSegment {
    file: File,
    path: PathBuf,
    directory: LogDirectory,
    bytes: u64,
}

impl SpareSegment {
    /// Makes a segment of `bytes` without a place in the log yet. A log has one spare at a time; an older one is replaced.
    ///
    /// # Errors
    /// [`Error::OperatorFile`].
    pub fn create(dir: &Path, bytes: u64) -> Result<Self, Error> {
        let directory = LogDirectory::new(dir);
        let path = dir.join("spare.seg");
        let bytes = bytes.min(SEGMENT_BYTES_MAX);
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path);
        let mut file = opened.map_err(|source| failed("create", &path, source))?;
        fill(&mut file, bytes).map_err(|source| failed("fill", &path, source))?;
        Ok(Self {
            file,
            path,
            directory,
            bytes,
        })
    }

    /// The open file, all of its length allocated.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives it its place: from here on it is the segment that starts with leaf `first_leaf`.
    ///
    /// # Errors
    /// [`Error::OperatorLogInUse`] if that segment exists, [`Error::OperatorFile`].
    pub fn start(self, first_leaf: u64) -> Result<SegmentFile, Error> {
        let path = self.directory.segment_path(first_leaf);
        if path.exists() {
            return Err(Error::OperatorLogInUse { path });
        }
        std::fs::rename(&self.path, &path).map_err(|source| failed("rename to", &path, source))?;
        Ok(SegmentFile {
            file: self.file,
            path,
            first_leaf,
            offset: 0,
            bytes: self.bytes,
        })
    }
}

impl SegmentFile {
    /// Makes the segment that starts with leaf `first_leaf`, `bytes` long, in the directory of a log that was opened before.
    ///
    /// # Errors
    /// [`Error::OperatorLogInUse`] if that segment exists, [`Error::OperatorFile`].
    pub fn create(dir: &Path, first_leaf: u64, bytes: u64) -> Result<Self, Error> {
        let directory = LogDirectory::new(dir);
        let path = directory.segment_path(first_leaf);
        let bytes = bytes.min(SEGMENT_BYTES_MAX);
        let mut file = match OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
        {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(Error::OperatorLogInUse { path });
            }
            Err(source) => return Err(failed("create", &path, source)),
        };
        fill(&mut file, bytes).map_err(|source| failed("fill", &path, source))?;
        sync_path(&directory.segments_path())?;
        Ok(Self {
            file,
            path,
            first_leaf,
            offset: 0,
            bytes,
        })
    }

    /// Writes whole frames behind those that are there, with one positioned write. They survive the death of the process.
    ///
    /// # Errors
    /// [`Error::SegmentFull`], and then nothing was written: seal this one and go on in another. [`Error::OperatorFile`].
    pub fn append(&mut self, frames: &[u8]) -> Result<(), Error> {
        let end = self.offset.saturating_add(frames.len() as u64);
        if end > self.bytes {
            return Err(Error::SegmentFull);
        }
        self.file
            .write_all_at(frames, self.offset)
            .map_err(|source| failed("write", &self.path, source))?;
        self.offset = end;
        Ok(())
    }

    /// The offset of the next `bytes` bytes, which the caller writes by itself: for one who has [`Self::file`] mapped.
    ///
    /// # Errors
    /// [`Error::SegmentFull`], as for [`Self::append`].
    pub fn reserve(&mut self, bytes: usize) -> Result<u64, Error> {
        let offset = self.offset;
        let end = offset.saturating_add(bytes as u64);
        if end > self.bytes {
            return Err(Error::SegmentFull);
        }
        self.offset = end;
        Ok(offset)
    }

    /// The open file, all of its length allocated.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Makes what was written survive power loss.
    ///
    /// # Errors
    /// [`Error::OperatorFile`]: what was written since the last one must be taken for lost.
    pub fn sync(&self) -> Result<(), Error> {
        self.file
            .sync_data()
            .map_err(|source| failed("sync", &self.path, source))
    }

    /// Closes the segment for good, without the zeros that are left. One that was never written to is removed, for its
    /// name belongs to whoever writes the next leaf.
    ///
    /// # Errors
    /// [`Error::OperatorFile`].
    pub fn seal(self) -> Result<(), Error> {
        if self.offset == 0 {
            return std::fs::remove_file(&self.path)
                .map_err(|source| failed("remove", &self.path, source));
        }
        let sealed = self
            .file
            .set_len(self.offset)
            .and_then(|()| self.file.sync_all());
        sealed.map_err(|source| failed("seal", &self.path, source))
    }

    /// Index of its first leaf.
    #[must_use]
    pub fn first_leaf(&self) -> u64 {
        self.first_leaf
    }

    /// Where the next frame goes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes that still fit.
    #[must_use]
    pub fn bytes_left(&self) -> u64 {
        self.bytes.saturating_sub(self.offset)
    }
}

fn fill(file: &mut File, bytes: u64) -> std::io::Result<()> {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    let mut left = bytes;
    while left > 0 {
        let count = left.min(ZEROS.len() as u64);
        file.write_all(ZEROS.get(..count as usize).unwrap_or(&ZEROS))?;
        left = left.saturating_sub(count);
    }
    file.sync_all()
}
