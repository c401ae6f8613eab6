//! The wall clock, as a value, so that tests can move it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time since the Unix epoch.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Added to the system's time.
    ahead_ms: Arc<AtomicI64>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// Moves this clock, and all its clones, forward.
    pub fn advance_ms(&self, by_ms: i64) {
        self.ahead_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// Nanoseconds since the Unix epoch; until the year 2262.
    pub fn unix_ns(&self) -> i64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_nanos())
            .unwrap_or(i64::MAX)
            .saturating_add(
                self.ahead_ms
                    .load(Ordering::Relaxed)
                    .saturating_mul(1_000_000),
            )
    }

    /// Milliseconds since the Unix epoch.
    pub fn unix_ms(&self) -> i64 {
        self.unix_ns() / 1_000_000
    }

    /// Seconds since the Unix epoch.
    pub fn unix_s(&self) -> i64 {
        self.unix_ns() / 1_000_000_000
    }
}
