//! When each request should leave: a pure function of its number, so that a late one does not move the next.

use crate::plan::Pace;

/// The requests of one connection. Times are nanoseconds since the start of the run.
#[derive(Debug, Clone)]
pub struct Schedule {
    pace: Pace,
    /// This connection sends the requests `connection`, `connection + connections`, ... of the run.
    connection: u64,
    connections: u64,
    duration_ns: u64,
    taken: u64,
}

/// What a schedule says of the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It should have left at this time, now or earlier.
    Due { intended_ns: u64 },
    /// Not before this time.
    Later { intended_ns: u64 },
    /// There is none.
    Finished,
}

impl Schedule {
    /// The part of one of `connections` connections.
    pub fn new(pace: Pace, connection: usize, connections: usize, duration_ns: u64) -> Self {
        Self {
            pace,
            connection: connection as u64,
            connections: connections.max(1) as u64,
            duration_ns,
            taken: 0,
        }
    }

    /// Looks at the next request without taking it.
    pub fn next(&self, now_ns: u64) -> Next {
        match self.pace {
            Pace::Saturate if now_ns < self.duration_ns => Next::Due {
                intended_ns: now_ns,
            },
            Pace::Saturate => Next::Finished,
            Pace::PerSecond(rate) => {
                let number = u128::from(self.taken) * u128::from(self.connections)
                    + u128::from(self.connection);
                let intended = number * 1_000_000_000 / u128::from(rate.max(1));
                match u64::try_from(intended) {
                    Ok(intended_ns) if intended_ns >= self.duration_ns => Next::Finished,
                    Ok(intended_ns) if intended_ns <= now_ns => Next::Due { intended_ns },
                    Ok(intended_ns) => Next::Later { intended_ns },
                    Err(_) => Next::Finished,
                }
            }
        }
    }

    /// Takes the request that [`Schedule::next`] showed.
    pub fn take(&mut self) {
        self.taken += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    fn all_intended(rate: u64, connections: usize, duration_ns: u64) -> Vec<u64> {
        let mut times = Vec::new();
        for connection in 0..connections {
            let mut schedule =
                Schedule::new(Pace::PerSecond(rate), connection, connections, duration_ns);
            while let Next::Due { intended_ns } = schedule.next(u64::MAX) {
                times.push(intended_ns);
                schedule.take();
            }
        }
        times.sort_unstable();
        times
    }

    #[test]
    fn connections_share_one_evenly_spaced_schedule() {
        let times = all_intended(7, 3, 2 * SECOND_NS);
        let spaced: Vec<u64> = (0..14).map(|number| number * SECOND_NS / 7).collect();
        assert_eq!(times, spaced);
    }

    #[test]
    fn being_late_does_not_move_what_follows() {
        let mut late = Schedule::new(Pace::PerSecond(1_000), 0, 1, SECOND_NS);
        assert_eq!(late.next(500_000_000), Next::Due { intended_ns: 0 });
        late.take();
        assert_eq!(
            late.next(500_000_000),
            Next::Due {
                intended_ns: 1_000_000
            }
        );
        late.take();
        assert_eq!(
            late.next(1_999_999),
            Next::Later {
                intended_ns: 2_000_000
            }
        );
    }

    #[test]
    fn a_saturating_schedule_is_always_due_until_it_ends() {
        let schedule = Schedule::new(Pace::Saturate, 0, 1, 10);
        assert_eq!(schedule.next(9), Next::Due { intended_ns: 9 });
        assert_eq!(schedule.next(10), Next::Finished);
    }
}
