//! A timing loop for stages that take nanoseconds, where only ratios inside one process count.
//!
//! On a shared machine the clock speed and the neighbours change from second to second. So the contestants of a table take
//! turns in short rounds, and the best round of each counts: what is left is what the code costs, not what disturbed it.
//!
//! What does not depend on the machine's mood is how many instructions an operation takes: `scripts/counts` counts them in
//! [`Table::repeat`] for the rows that are ours.
#![forbid(unsafe_code)]

use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long one round of one contestant should take, roughly.
const ROUND: Duration = Duration::from_millis(4);

/// Operations before those that are counted: buffers have grown, and whatever is made once has been made.
const WARM_UP: u64 = 10;

/// The time since something, by a clock that does not go back.
type Clock<'a> = &'a dyn Fn() -> Duration;

/// Ways to do the same, compared with the first of them.
pub struct Table<'a> {
    title: &'a str,
    contestants: Vec<Contestant<'a>>,
}

struct Contestant<'a> {
    name: &'a str,
    operation: Box<dyn FnMut() -> u64 + 'a>,
    best_ns: f64,
    is_ours: bool,
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
            is_ours: false,
        });
        self
    }

    /// Adds the way that the gateway takes: a stage whose instructions are counted, too.
    #[must_use]
    pub fn ours(self, name: &'a str, operation: impl FnMut() -> u64 + 'a) -> Self {
        let mut table = self.with(name, operation);
        if let Some(added) = table.contestants.last_mut() {
            added.is_ours = true;
        }
        table
    }

    /// The names of the stages that are ours: title and row.
    pub fn stages(&self) -> impl Iterator<Item = String> {
        let ours = self.contestants.iter().filter(|row| row.is_ours);
        ours.map(|row| format!("{} | {}", self.title, row.name))
    }

    /// Warms this stage up and repeats it so often, for who counts from outside. False if the table has no such stage.
    pub fn repeat(&mut self, stage: &str, iterations: u64) -> bool {
        let Some(at) = self.stages().position(|name| name == stage) else {
            return false;
        };
        let mut ours = self.contestants.iter_mut().filter(|row| row.is_ours);
        let Some(row) = ours.nth(at) else {
            return false;
        };
        run(&mut row.operation, WARM_UP);
        counted(&mut row.operation, iterations);
        true
    }

    /// Measures so many interleaved rounds and returns the table as Markdown.
    pub fn run(self, rounds_count: usize) -> String {
        let start = Instant::now();
        self.run_by(&|| start.elapsed(), rounds_count)
    }

    /// The same by another clock, which says how long it has been running.
    fn run_by(mut self, clock: Clock<'_>, rounds_count: usize) -> String {
        let contestants = self.contestants.iter_mut();
        let iterations: Vec<u64> = contestants.map(|one| calibrate(one, clock)).collect();
        for round in 0..rounds_count {
            let order: Vec<usize> = match round % 2 {
                0 => (0..iterations.len()).collect(),
                _ => (0..iterations.len()).rev().collect(),
            };
            for index in order {
                let contestant = &mut self.contestants[index];
                let elapsed = time(&mut contestant.operation, iterations[index], clock);
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
fn calibrate(contestant: &mut Contestant<'_>, clock: Clock<'_>) -> u64 {
    let mut iterations = 1;
    loop {
        let elapsed = time(&mut contestant.operation, iterations, clock);
        if elapsed >= ROUND || iterations >= 1 << 40 {
            return iterations;
        }
        iterations *= 2;
    }
}

fn time(
    operation: &mut Box<dyn FnMut() -> u64 + '_>,
    iterations: u64,
    clock: Clock<'_>,
) -> Duration {
    let start = clock();
    run(operation, iterations);
    clock() - start
}

/// Instructions are counted from entry to exit of this function. scripts/counts knows it by its name, so it stays one.
#[inline(never)]
fn counted(operation: &mut Box<dyn FnMut() -> u64 + '_>, iterations: u64) {
    run(operation, iterations);
}

#[inline(always)]
fn run(operation: &mut Box<dyn FnMut() -> u64 + '_>, iterations: u64) {
    let mut sum = 0_u64;
    for _ in 0..iterations {
        sum = sum.wrapping_add(black_box(operation()));
    }
    black_box(sum);
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
    use std::cell::Cell;

    use super::*;

    #[test]
    fn work_that_is_ten_times_longer_shows_as_such_in_the_round_that_was_disturbed_least() {
        let (now_ns, reads) = (Cell::new(0), Cell::new(0));
        // The clock is read before a round and behind it; behind each third one, something has come between.
        let clock = || {
            reads.set(reads.get() + 1);
            if reads.get() % 6 == 0 {
                now_ns.set(now_ns.get() + 7_000_000);
            }
            Duration::from_nanos(now_ns.get())
        };
        let work = |ns: u64| {
            let now_ns = &now_ns;
            move || {
                now_ns.set(now_ns.get() + ns);
                ns
            }
        };
        let table = Table::new("t")
            .with("short", work(200))
            .with("long", work(2_000))
            .run_by(&clock, 5);
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            ["| short | 200.0 | 1.00 |", "| long | 2000.0 | 10.00 |"]
        );
    }

    #[test]
    fn a_stage_of_ours_is_repeated_by_its_name_and_nothing_else_is() {
        let (ours, theirs) = (Cell::new(0), Cell::new(0));
        let once = |count: &Cell<u64>| {
            count.set(count.get() + 1);
            count.get()
        };
        let mut table = Table::new("stage")
            .with("theirs", || once(&theirs))
            .ours("own", || once(&ours));
        assert_eq!(table.stages().collect::<Vec<_>>(), ["stage | own"]);
        assert!(table.repeat("stage | own", 7));
        assert!(!table.repeat("stage | theirs", 7));
        assert_eq!((ours.get(), theirs.get()), (WARM_UP + 7, 0));
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
