//! A xorshift generator whose seed is printed.

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

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    /// Up to `most` different ones, perhaps none.
    pub(crate) fn some<T: Copy + PartialEq>(&mut self, items: &[T], most: u64) -> Vec<T> {
        let mut picked = Vec::new();
        for _ in 0..self.below(most + 1) {
            let item = self.pick(items);
            if !picked.contains(&item) {
                picked.push(item);
            }
        }
        picked
    }

    /// One to four letters of a small alphabet, so that prefixes and names meet often.
    pub(crate) fn word(&mut self) -> String {
        (0..1 + self.below(4))
            .map(|_| self.pick(&['a', 'b', 'c']))
            .collect()
    }
}
