//! How fast a slow consumer reads: so many bytes a second, in small steps.

/// Steps a second: small enough that the other end sees a trickle, large enough that waking costs nothing.
const STEPS_PER_SECOND: u64 = 20;

/// When a connection reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    Now,
    NotBefore(u64),
    Never,
}

#[derive(Debug, Clone)]
pub(crate) struct Throttle {
    bytes_per_second: u64,
    taken_bytes: u64,
    /// The target closed it, which it may: nobody has to bear a slow consumer.
    pub(crate) is_over: bool,
}

impl Throttle {
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            taken_bytes: 0,
            is_over: false,
        }
    }

    /// Bytes that may be read now: none, or at least a step. What was not read in time is not made up for: at most a
    /// second's bytes are allowed at once.
    pub(crate) fn allowed_bytes(&mut self, now_ns: u64) -> usize {
        let by_now = self.by(now_ns);
        let oldest = by_now.saturating_sub(self.bytes_per_second);
        self.taken_bytes = self.taken_bytes.max(oldest);
        let allowed = by_now.saturating_sub(self.taken_bytes);
        match allowed >= self.step_bytes() {
            true => usize::try_from(allowed).unwrap_or(usize::MAX),
            false => 0,
        }
    }

    pub(crate) fn reads(&mut self, now_ns: u64) -> Reads {
        match self.allowed_bytes(now_ns) {
            _ if self.is_over => Reads::Never,
            0 => Reads::NotBefore(self.next_ns()),
            _ => Reads::Now,
        }
    }

    pub(crate) fn take(&mut self, bytes: usize) {
        self.taken_bytes += bytes as u64;
    }

    /// When the next step is allowed.
    pub(crate) fn next_ns(&self) -> u64 {
        let bytes = u128::from(self.taken_bytes + self.step_bytes());
        // Rounded up: a moment too early would be waited for again.
        let ns = (bytes * 1_000_000_000).div_ceil(u128::from(self.bytes_per_second));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    fn step_bytes(&self) -> u64 {
        (self.bytes_per_second / STEPS_PER_SECOND).max(1)
    }

    fn by(&self, now_ns: u64) -> u64 {
        let bytes = u128::from(now_ns) * u128::from(self.bytes_per_second) / 1_000_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_allowed_in_steps_and_a_pause_is_not_made_up_for() {
        let mut throttle = Throttle::new(1_000);
        assert_eq!(throttle.allowed_bytes(49_999_999), 0);
        assert_eq!(throttle.next_ns(), 50_000_000);
        assert_eq!(throttle.allowed_bytes(50_000_000), 50);
        throttle.take(50);
        assert_eq!(throttle.allowed_bytes(60_000_000), 0);
        assert_eq!(throttle.next_ns(), 100_000_000);
        assert_eq!(throttle.allowed_bytes(60_000_000_000), 1_000);
    }

    #[test]
    fn the_slowest_reads_single_bytes() {
        let mut throttle = Throttle::new(1);
        assert_eq!(throttle.next_ns(), 1_000_000_000);
        assert_eq!(throttle.allowed_bytes(1_000_000_000), 1);
    }
}
