//! A file in the address space of the process: what is stored there survives the death of the process, without a system call.
//!
//! A page that is touched for the first time faults, and where the file ends before it, or the file system finds no room for
//! it, the fault is SIGBUS. So the kernel makes pages ready ahead ([`Ahead`]), which answers with an error instead, and
//! [`Mapped`] stores in those alone.
#![allow(unsafe_code)] // storing into the mapping

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::{Advice, MmapRaw};

/// Bytes that stand ready beyond what was stored: at least, and where much is stored. Those that no sync finds used are written
/// to the disk in vain.
const AHEAD_BYTES_MIN: usize = 128 * 1024;
const AHEAD_BYTES_MAX: usize = 2 * 1024 * 1024;
/// This part of what was stored between two syncs stands ready: with a sync each second, an eighth of a second of it.
const AHEAD_PART: usize = 8;
/// How many become ready at once. A call must be short: it may run on the shard's own CPU.
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
    ahead_bytes: usize,
    in_place: bool,
}

impl Mapped {
    /// Maps all of `file`, which keeps its length as long as anything is stored. Its first pages are ready, where they stay so
    /// without a word; elsewhere from [`Ahead::opened`] on.
    pub(super) fn new(file: &File) -> io::Result<(Self, Ahead)> {
        let shared = Arc::new(Shared {
            map: MmapRaw::map_raw(file)?,
            ready: AtomicUsize::new(0),
        });
        let mut ahead = Ahead {
            shared: shared.clone(),
            passed: 0,
            ahead_bytes: AHEAD_BYTES_MAX,
            in_place: writes_in_place(file)?,
        };
        ahead.passed(0)?;
        // It may be long until it is opened.
        ahead.syncing();
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
        let ready = self.shared.ready.load(Ordering::Relaxed);
        self.make_ready(ready)
    }

    /// When the file is in use from here on: its pages may have been written to the disk since they were made ready.
    ///
    /// # Errors
    /// As [`Self::passed`].
    pub(super) fn opened(&mut self) -> io::Result<()> {
        self.make_ready(self.passed)
    }

    /// Before a sync, which takes pages for written, so that the next store in each of them faults. Where that may need room on
    /// the disk, what was not stored in yet counts as not ready until [`Self::synced`].
    pub(super) fn syncing(&mut self) {
        if !self.in_place {
            let passed = self.passed.min(self.shared.map.len());
            self.shared.ready.store(passed, Ordering::Release);
        }
    }

    /// After a sync, before which `recent_bytes` were stored since the sync before.
    ///
    /// # Errors
    /// As [`Self::passed`].
    pub(super) fn synced(&mut self, recent_bytes: usize) -> io::Result<()> {
        self.ahead_bytes = (recent_bytes / AHEAD_PART).clamp(AHEAD_BYTES_MIN, AHEAD_BYTES_MAX);
        let wanted = self.passed.saturating_add(self.ahead_bytes);
        // What is behind that is not made ready again.
        self.shared.ready.fetch_min(wanted, Ordering::AcqRel);
        self.make_ready(self.passed)
    }

    /// Makes pages ready from `at` to as far as they are wanted.
    fn make_ready(&mut self, mut at: usize) -> io::Result<()> {
        let Shared { map, ready } = &*self.shared;
        let wanted = self.passed.saturating_add(self.ahead_bytes).min(map.len());
        while at < wanted {
            let step = STEP_BYTES.min(map.len().saturating_sub(at));
            map.advise_range(Advice::PopulateWrite, at, step)?;
            at = at.saturating_add(step);
            ready.fetch_max(at, Ordering::AcqRel);
        }
        Ok(())
    }
}

/// Whether the file system of `file` puts a page that was written before back where it was, so that a fault on it needs no
/// room. Of those that are not known it is not assumed, nor of those that share blocks between files, as XFS may.
fn writes_in_place(file: &File) -> io::Result<bool> {
    let mut found = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: `found` has room for what the call fills in, and the descriptor is open as long as `file` is borrowed.
    if unsafe { libc::fstatfs(file.as_raw_fd(), found.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, and so has filled it in.
    let kind = unsafe { found.assume_init() }.f_type;
    Ok(kind == libc::EXT4_SUPER_MAGIC)
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
        let bytes = AHEAD_BYTES_MAX + 3 * STEP_BYTES + 100;
        let file = file("ahead", bytes as u64);
        let (mapped, mut ahead) = Mapped::new(&file).unwrap();
        for _ in 0..20 {
            ahead.passed(STEP_BYTES).unwrap();
        }
        assert!(mapped.is_ready(bytes as u64 - 1, 1));
        assert!(!mapped.is_ready(bytes as u64, 1));
    }

    #[test]
    fn as_many_pages_stand_ready_as_an_eighth_of_what_was_stored_between_two_syncs() {
        let file = file("pace", 8 * AHEAD_BYTES_MAX as u64);
        let (mapped, mut ahead) = Mapped::new(&file).unwrap();
        let mut stored = 0;
        let mut ready_after = |ahead: &mut Ahead, recent_bytes: usize| {
            ahead.synced(recent_bytes).unwrap();
            // Those that are ready stay so; past them it shows how many are wanted.
            stored += AHEAD_BYTES_MAX;
            ahead.passed(AHEAD_BYTES_MAX).unwrap();
            let is_ready = |bytes: &usize| mapped.is_ready(0, stored + bytes);
            (0..=2 * AHEAD_BYTES_MAX)
                .step_by(STEP_BYTES)
                .take_while(is_ready)
                .last()
        };
        assert_eq!(ready_after(&mut ahead, 0), Some(AHEAD_BYTES_MIN));
        let some = 8 * (AHEAD_BYTES_MIN + STEP_BYTES);
        assert_eq!(
            ready_after(&mut ahead, some),
            Some(AHEAD_BYTES_MIN + STEP_BYTES)
        );
        assert_eq!(ready_after(&mut ahead, usize::MAX), Some(AHEAD_BYTES_MAX));
    }

    #[test]
    fn no_page_is_ready_that_was_not_asked_for() {
        let file = file("ready", 4 * AHEAD_BYTES_MAX as u64);
        let (mapped, mut ahead) = Mapped::new(&file).unwrap();
        let ready = AHEAD_BYTES_MAX as u64;
        assert!(mapped.is_ready(0, AHEAD_BYTES_MAX));
        assert!(!mapped.is_ready(ready, 1) && !mapped.is_ready(ready - 1, 2));
        assert!(!mapped.is_ready(u64::MAX, 1));
        ahead.passed(1).unwrap();
        assert!(mapped.is_ready(ready, 1));
    }

    #[test]
    fn no_page_is_ready_while_a_sync_may_make_its_next_store_need_room() {
        let file = file("sync", 4 * AHEAD_BYTES_MAX as u64);
        let (mapped, mut ahead) = Mapped::new(&file).unwrap();
        ahead.passed(1).unwrap();
        for in_place in [false, true] {
            ahead.in_place = in_place;
            ahead.syncing();
            assert!(mapped.is_ready(0, 1));
            assert_eq!(mapped.is_ready(1, 1), in_place);
            ahead.synced(0).unwrap();
            assert!(mapped.is_ready(1, AHEAD_BYTES_MIN));
        }
    }

    #[test]
    fn a_file_that_lost_its_end_is_an_error_and_no_signal() {
        let file = file("lost", 4 * AHEAD_BYTES_MAX as u64);
        let (_mapped, mut ahead) = Mapped::new(&file).unwrap();
        file.set_len(4_096).unwrap();
        assert!(ahead.passed(AHEAD_BYTES_MAX).is_err());
    }
}
