//! For tests: randomness, small, seeded, printed; and a count of what tables are asked.

/// A xorshift generator.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn printed(seed: u64) -> Self {
        println!("seed {seed:#x}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// One to four letters of a small alphabet, so that prefixes and names meet often.
    pub(crate) fn word(&mut self) -> String {
        (0..1 + self.below(4))
            .map(|_| *self.pick(&['a', 'b', 'c']))
            .collect()
    }
}

thread_local! {
    static READS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Notes that a number of a row of tables is read.
pub(crate) fn read() {
    READS.set(READS.get() + 1);
}

/// How many numbers of rows `act` reads.
pub(crate) fn reads(act: impl FnOnce()) -> u64 {
    let before = READS.get();
    act();
    READS.get() - before
}
