//! Waking a shard from any thread: an eventfd in its readiness set, rung at most once per look.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::driver::Driver;
use super::registered::{READABLE, Registered};
use super::sys;

/// What other threads ring after they have left something (a flag, an item in a queue) for a shard.
#[derive(Debug)]
pub struct Bell {
    counter: File,
    rung: AtomicBool,
}

impl Bell {
    /// Fails if the host is out of descriptors.
    pub fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            counter: File::from(sys::eventfd()?),
            rung: AtomicBool::new(false),
        }))
    }

    /// Wakes the shard that watches. What the caller stored before is visible to it. Many rings may be one
    /// wake-up: look for everything.
    pub fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // Fails only if the counter is near 2^64, and then the shard is being woken anyway.
            let _ = (&self.counter).write(&1_u64.to_ne_bytes());
        }
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.counter.as_fd()
    }
}

/// The shard's end of a bell; one task waits on it.
#[derive(Debug)]
pub struct BellWatch {
    bell: Registered<Arc<Bell>>,
}

impl BellWatch {
    /// Fails if the readiness set has no room.
    pub fn new(driver: &Rc<Driver>, bell: Arc<Bell>) -> io::Result<Self> {
        Ok(Self {
            bell: Registered::new(driver, bell, READABLE)?,
        })
    }

    /// Returns once the bell was rung after the last return (or before the first).
    pub async fn rung(&self) {
        loop {
            self.bell.readable().await;
            // Sets the counter back to zero, so the next ring is a new edge: counts as a short read.
            let read = self
                .bell
                .try_read_with(usize::MAX, |bell| (&bell.counter).read(&mut [0; 8]));
            // After the read: who rings from here on writes again. Acquire: sees what the ringer stored.
            if self.bell.io().rung.swap(false, Ordering::AcqRel) {
                return;
            }
            debug_assert!(
                read.is_ok() || matches!(&read, Err(e) if e.kind() == io::ErrorKind::WouldBlock)
            );
        }
    }
}
