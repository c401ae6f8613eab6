//! A file in the address space of the process: what is stored there survives the death of the process, without a system call.
//!
//! A page that is touched for the first time faults, and where the file ends before it, or the file system finds no room for
//! it, the fault is SIGBUS. So the kernel makes pages ready ahead ([`Ahead`]), which answers with an error instead, and
//! [`Mapped`] stores in those alone.
#![allow(unsafe_code)] // storing into the mapping

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::{Advice, MmapRaw};

/// Bytes that stand ready beyond what was stored, and how many become so at once. A call must be short: it may run on the
/// shard's own CPU.
const AHEAD_BYTES: usize = 128 * 1024;
const STEP_BYTES: usize = 32 * 1024;

#[derive(Debug)]
struct Shared {
    map: MmapRaw,
    /// Where the pages that are ready end.
    ready: AtomicUsize,
}

/// The one writer of a mapped file.
#[derive(Debug)]
pub(super) struct Mapped(Arc<Shared>);

/// Makes pages of a mapped file ready before its writer comes to them.
#[derive(Debug)]
pub(super) struct Ahead {
    shared: Arc<Shared>,
    passed: usize,
}

impl Mapped {
    /// Maps all of `file`, which keeps its length as long as anything is stored; its first pages are ready.
    pub(super) fn new(file: &File) -> io::Result<(Self, Ahead)> {
        let shared = Arc::new(Shared {
            map: MmapRaw::map_raw(file)?,
            ready: AtomicUsize::new(0),
        });
        let mut ahead = Ahead {
            shared: shared.clone(),
            passed: 0,
        };
        ahead.passed(0)?;
        Ok((Self(shared), ahead))
    }

    /// Whether `bytes` at `offset` are all in pages that are ready.
    pub(super) fn is_ready(&self, offset: u64, bytes: usize) -> bool {
        let ready = self.0.ready.load(Ordering::Acquire);
        usize::try_from(offset)
            .ok()
            .and_then(|offset| offset.checked_add(bytes))
            .is_some_and(|end| end <= ready)
    }

    /// Stores `bytes` at `offset`; false, and nothing is stored, where that is outside the file.
    #[must_use]
    pub(super) fn put(&mut self, offset: u64, bytes: &[u8]) -> bool {
        let map = &self.0.map;
        let Ok(offset) = usize::try_from(offset) else {
            return false;
        };
        let end = offset.checked_add(bytes.len());
        if end.is_none_or(|end| end > map.len()) {
            return false;
        }
        // SAFETY: `offset..offset + bytes.len()` is within the mapping, which lives as long as `self`. Nothing else in this
        // process reads or stores there: `Mapped` is not cloned, takes `&mut self`, and `Ahead` gives advice only. `bytes`
        // cannot overlap it, for no reference into it is ever made.
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                map.as_mut_ptr().add(offset),
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
        let Shared { map, ready } = &*self.shared;
        let wanted = self.passed.saturating_add(AHEAD_BYTES).min(map.len());
        let mut at = ready.load(Ordering::Relaxed);
        while at < wanted {
            let step = STEP_BYTES.min(map.len().saturating_sub(at));
            map.advise_range(Advice::PopulateWrite, at, step)?;
            at = at.saturating_add(step);
            ready.store(at, Ordering::Release);
        }
        Ok(())
    }

    /// Takes what was not stored in yet for not ready: a sync is about to take its pages for written. [`Self::passed`] makes
    /// them ready again.
    pub(super) fn hold_back(&mut self) {
        let passed = self.passed.min(self.shared.map.len());
        self.shared.ready.store(passed, Ordering::Release);
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
        let (mapped, mut ahead) = Mapped::new(&file).unwrap();
        for _ in 0..20 {
            ahead.passed(STEP_BYTES).unwrap();
        }
        assert!(mapped.is_ready(bytes as u64 - 1, 1));
        assert!(!mapped.is_ready(bytes as u64, 1));
    }

    #[test]
    fn no_page_is_ready_that_was_not_asked_for() {
        let bytes = 4 * AHEAD_BYTES;
        let file = file("ready", bytes as u64);
        let (mapped, mut ahead) = Mapped::new(&file).unwrap();
        let ready = AHEAD_BYTES as u64;
        assert!(mapped.is_ready(0, AHEAD_BYTES));
        assert!(!mapped.is_ready(ready, 1) && !mapped.is_ready(ready - 1, 2));
        assert!(!mapped.is_ready(u64::MAX, 1));
        ahead.passed(1).unwrap();
        assert!(mapped.is_ready(ready, 1));
        ahead.hold_back();
        assert!(mapped.is_ready(0, 1) && !mapped.is_ready(1, 1));
        ahead.passed(0).unwrap();
        assert!(mapped.is_ready(ready, 1));
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
