//! Numbers that a seed decides: the same load each time.

/// Xorshift, behind a step that spreads seeds which lie side by side.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(spread(seed) | 1)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 8
    }

    /// From 0 up to what is below `bound`; the bias of so few of so many is nothing that shows.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound.max(1)
    }

    pub(crate) fn of<'t>(&mut self, words: &[&'t str]) -> &'t str {
        let index = self.below(words.len() as u64) as usize;
        words.get(index).copied().unwrap_or_default()
    }

    /// Lower-case letters.
    pub(crate) fn letters(&mut self, count: usize, out: &mut String) {
        for _ in 0..count {
            out.push(char::from(b'a' + (self.number() >> 24) as u8 % 26));
        }
    }
}

/// The last step of SplitMix64.
pub(crate) fn spread(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
