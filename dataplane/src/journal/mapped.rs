//! A file in the address space of the process: what is stored there survives the death of the process, without a system call.
//!
//! The file's length stays what it was when it was mapped, for as long as anything is stored: beyond its end waits SIGBUS. The
//! same waits where the file system finds no room or the disk fails once a page is touched, so pages are touched ahead by the
//! kernel ([`Ahead`]), which answers with an error.
#![allow(unsafe_code)] // storing into the mapping

use std::fs::File;
use std::io;
use std::sync::Arc;

use memmap2::{Advice, MmapRaw};

/// Pages that stand ready beyond what was stored, and how many become so at once. A call must be short: it may run on the
/// shard's own CPU.
const AHEAD_BYTES: usize = 128 * 1024;
const STEP_BYTES: usize = 32 * 1024;

/// The one writer of a mapped file.
#[derive(Debug)]
pub(super) struct Mapped(Arc<MmapRaw>);

/// Makes pages of a mapped file ready before its writer comes to them.
#[derive(Debug)]
pub(super) struct Ahead {
    map: Arc<MmapRaw>,
    passed: usize,
    ready: usize,
}

impl Mapped {
    /// Maps all of `file`; its first pages are ready.
    pub(super) fn new(file: &File) -> io::Result<(Self, Ahead)> {
        let map = Arc::new(MmapRaw::map_raw(file)?);
        let mut ahead = Ahead {
            map: map.clone(),
            passed: 0,
            ready: 0,
        };
        ahead.passed(0)?;
        Ok((Self(map), ahead))
    }

    /// Stores `bytes` at `offset`; false, and nothing is stored, where that is outside the file.
    #[must_use]
    pub(super) fn put(&mut self, offset: u64, bytes: &[u8]) -> bool {
        let Ok(offset) = usize::try_from(offset) else {
            return false;
        };
        let end = offset.checked_add(bytes.len());
        if end.is_none_or(|end| end > self.0.len()) {
            return false;
        }
        // SAFETY: `offset..offset + bytes.len()` is within the mapping, which lives as long as `self`. Nothing else in this
        // process reads or stores there: `Mapped` is not cloned, takes `&mut self`, and `Ahead` gives advice only. `bytes`
        // cannot overlap it, for no reference into it is ever made.
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                self.0.as_mut_ptr().add(offset),
                bytes.len(),
            );
        }
        true
    }
}

impl Ahead {
    /// Notes that `bytes` more were stored.
    ///
    /// # Errors
    /// The file system has no room for what comes next, or cannot reach it.
    pub(super) fn passed(&mut self, bytes: usize) -> io::Result<()> {
        self.passed = self.passed.saturating_add(bytes);
        let wanted = self.passed.saturating_add(AHEAD_BYTES).min(self.map.len());
        while self.ready < wanted {
            let step = STEP_BYTES.min(self.map.len().saturating_sub(self.ready));
            match self
                .map
                .advise_range(Advice::PopulateWrite, self.ready, step)
            {
                // Linux before 5.14: the writer touches them itself.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
                populated => populated?,
            }
            self.ready = self.ready.saturating_add(step);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn file(name: &str, bytes: u64) -> File {
        let path = std::env::temp_dir().join(format!("sluice-{name}-{}", std::process::id()));
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .unwrap();
        std::fs::remove_file(&path).unwrap();
        file.set_len(bytes).unwrap();
        file
    }

    #[test]
    fn what_is_stored_is_in_the_file() {
        let mut file = file("stored", 8_192);
        let (mut mapped, _ahead) = Mapped::new(&file).unwrap();
        assert!(mapped.put(4_090, b"over two pages"));
        let mut found = Vec::new();
        file.read_to_end(&mut found).unwrap();
        assert_eq!(found.len(), 8_192);
        assert_eq!(&found[4_090..4_104], b"over two pages");
        assert!(found[..4_090].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn nothing_is_stored_outside_the_file() {
        let file = file("outside", 4_096);
        let (mut mapped, _ahead) = Mapped::new(&file).unwrap();
        assert!(mapped.put(4_090, b"within"));
        for offset in [4_091, 4_096, u64::MAX - 2, u64::MAX] {
            assert!(!mapped.put(offset, b"beyond"), "{offset}");
        }
    }

    #[test]
    fn pages_are_made_ready_to_the_end_and_not_beyond() {
        let bytes = 3 * STEP_BYTES + 100;
        let file = file("ahead", bytes as u64);
        let (_mapped, mut ahead) = Mapped::new(&file).unwrap();
        for _ in 0..20 {
            ahead.passed(STEP_BYTES).unwrap();
        }
        assert_eq!(ahead.ready, bytes);
    }

    #[test]
    fn a_file_that_lost_its_end_is_an_error_and_no_signal() {
        let bytes = 4 * AHEAD_BYTES;
        let file = file("lost", bytes as u64);
        let (_mapped, mut ahead) = Mapped::new(&file).unwrap();
        file.set_len(4_096).unwrap();
        assert!(ahead.passed(AHEAD_BYTES).is_err());
    }
}
