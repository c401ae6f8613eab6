//! A timing loop for stages that take nanoseconds, where only ratios inside one process count.
//!
//! On a shared machine the clock speed and the neighbours change from second to second. So the contestants of a table take
//! turns in short rounds, and the best round of each counts: what is left is what the code costs, not what disturbed it.
#![forbid(unsafe_code)]

use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long one round of one contestant should take, roughly.
const ROUND: Duration = Duration::from_millis(4);

/// Ways to do the same, compared with the first of them.
pub struct Table<'a> {
    title: &'a str,
    contestants: Vec<Contestant<'a>>,
}

struct Contestant<'a> {
    name: &'a str,
    operation: Box<dyn FnMut() -> u64 + 'a>,
    best_ns: f64,
}

impl<'a> Table<'a> {
    pub fn new(title: &'a str) -> Self {
        Self {
            title,
            contestants: Vec::new(),
        }
    }

    /// Adds a way. What the operation returns must depend on its work, or the compiler leaves the work out.
    #[must_use]
    pub fn with(mut self, name: &'a str, operation: impl FnMut() -> u64 + 'a) -> Self {
        let operation = Box::new(operation);
        self.contestants.push(Contestant {
            name,
            operation,
            best_ns: f64::INFINITY,
        });
        self
    }

    /// Measures so many interleaved rounds and returns the table as Markdown.
    pub fn run(mut self, rounds_count: usize) -> String {
        let iterations: Vec<u64> = self.contestants.iter_mut().map(calibrate).collect();
        for round in 0..rounds_count {
            let order: Vec<usize> = match round % 2 {
                0 => (0..iterations.len()).collect(),
                _ => (0..iterations.len()).rev().collect(),
            };
            for index in order {
                let contestant = &mut self.contestants[index];
                let elapsed = time(&mut contestant.operation, iterations[index]);
                contestant.best_ns = contestant
                    .best_ns
                    .min(elapsed.as_secs_f64() * 1e9 / iterations[index] as f64);
            }
        }
        self.render()
    }

    fn render(&self) -> String {
        let reference_ns = self
            .contestants
            .first()
            .map_or(f64::NAN, |first| first.best_ns);
        let mut text = format!("| {} | ns/op | ratio |\n|---|---|---|\n", self.title);
        for Contestant { name, best_ns, .. } in &self.contestants {
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "| {name} | {best_ns:.1} | {:.2} |",
                best_ns / reference_ns
            );
        }
        text
    }
}

/// Warms up, and finds how many operations fill a round.
fn calibrate(contestant: &mut Contestant<'_>) -> u64 {
    let mut iterations = 1;
    loop {
        let elapsed = time(&mut contestant.operation, iterations);
        if elapsed >= ROUND || iterations >= 1 << 40 {
            return iterations;
        }
        iterations *= 2;
    }
}

fn time(operation: &mut Box<dyn FnMut() -> u64 + '_>, iterations: u64) -> Duration {
    let start = Instant::now();
    let mut sum = 0_u64;
    for _ in 0..iterations {
        sum = sum.wrapping_add(black_box(operation()));
    }
    black_box(sum);
    start.elapsed()
}

impl std::fmt::Debug for Table<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self
            .contestants
            .iter()
            .map(|contestant| contestant.name)
            .collect();
        f.debug_struct("Table")
            .field("title", &self.title)
            .field("contestants", &names)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spin(rounds: u64) -> u64 {
        (0..rounds).fold(1, |sum: u64, value| {
            black_box(sum.wrapping_mul(31).wrapping_add(value))
        })
    }

    #[test]
    fn work_that_is_ten_times_longer_shows_as_such() {
        let table = Table::new("t")
            .with("short", || spin(200))
            .with("long", || spin(2_000))
            .run(5);
        let ratio: f64 = table
            .lines()
            .last()
            .unwrap()
            .split('|')
            .nth(3)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        assert!((5.0..20.0).contains(&ratio), "{table}");
    }

    #[test]
    fn the_first_row_is_what_the_others_are_compared_with() {
        let table = Table::new("stage").with("own", || 1).run(1);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "| stage | ns/op | ratio |");
        assert!(
            lines[2].starts_with("| own |") && lines[2].ends_with("| 1.00 |"),
            "{table}"
        );
    }
}
