//! The only place of the data plane that reads a clock. Pure crates get time as an argument.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall-clock time in nanoseconds since 1970; 0 if the host's clock is before that. For evidence, not for intervals.
pub fn now_unix_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        })
}

/// Wall-clock time in milliseconds since 1970, as Kafka's timestamps and tokens count it.
pub fn now_unix_ms() -> u64 {
    now_unix_ns() / 1_000_000
}

/// Nanoseconds since the process first asked; never goes back. For intervals and deadlines.
pub fn monotonic_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// [`monotonic_ns`] in milliseconds.
pub fn monotonic_ms() -> u64 {
    monotonic_ns() / 1_000_000
}

/// Lets a task of a shard sleep; the shard's other tasks run on.
pub async fn sleep(duration: Duration) {
    glommio::timer::sleep(duration).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_time_never_goes_back() {
        let mut last = monotonic_ns();
        for _ in 0..10_000 {
            let now = monotonic_ns();
            assert!(now >= last);
            last = now;
        }
        assert!(now_unix_ms() > 1_600_000_000_000, "the host's clock is set");
    }
}
