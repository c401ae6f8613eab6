//! How long the values of records are.

use std::fmt;

use crate::limits::{RECORD_BYTES_MAX, SIZE_SHARE_MIN, SIZE_WEIGHT_MAX, SIZES_MAX};
use crate::random::Random;

/// Bytes of a record's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sizes {
    Fixed(usize),
    /// Any of them as likely as any other, both ends too.
    Range {
        min: usize,
        max: usize,
    },
    /// Sizes, and how often each comes in proportion to the others.
    Weighted(Vec<(usize, u64)>),
}

impl Sizes {
    /// `1024`, `100..10000` or `100:90,10000:10`; `None` for anything else, and for sizes that no record may have.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some((min, max)) = text.split_once("..") {
            let (min, max) = (size(min)?, size(max)?);
            return (min <= max).then_some(Self::Range { min, max });
        }
        if !text.contains(':') {
            return size(text).map(Self::Fixed);
        }
        let weighted = text.split(',').map(|part| {
            let (bytes, weight) = part.split_once(':')?;
            let weight = number(weight)?;
            let is_weight = (1..=SIZE_WEIGHT_MAX).contains(&weight);
            Some((size(bytes)?, is_weight.then_some(weight)?))
        });
        let weighted: Vec<(usize, u64)> = weighted.collect::<Option<_>>()?;
        let sum: u64 = weighted.iter().map(|(_, weight)| weight).sum();
        // Records are drawn before the run, and sent over and over: what is rarer would not be among them, or too often.
        let are_drawn = weighted
            .iter()
            .all(|(_, weight)| weight.saturating_mul(SIZE_SHARE_MIN) >= sum);
        (weighted.len() <= SIZES_MAX && are_drawn).then_some(Self::Weighted(weighted))
    }

    pub(crate) fn max(&self) -> usize {
        match self {
            Self::Fixed(bytes) => *bytes,
            Self::Range { max, .. } => *max,
            Self::Weighted(sizes) => sizes.iter().map(|(bytes, _)| *bytes).max().unwrap_or(0),
        }
    }

    pub(crate) fn one(&self, random: &mut Random) -> usize {
        match self {
            Self::Fixed(bytes) => *bytes,
            Self::Range { min, max } => {
                let span = max.saturating_sub(*min) as u64 + 1;
                min + random.below(span) as usize
            }
            Self::Weighted(sizes) => {
                let mut left = random.below(sizes.iter().map(|(_, weight)| weight).sum());
                for (bytes, weight) in sizes {
                    if left < *weight {
                        return *bytes;
                    }
                    left -= weight;
                }
                self.max()
            }
        }
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(bytes) => write!(f, "{bytes}"),
            Self::Range { min, max } => write!(f, "{min}..{max}"),
            Self::Weighted(sizes) => {
                let parts = sizes
                    .iter()
                    .map(|(bytes, weight)| format!("{bytes}:{weight}"));
                f.write_str(&parts.collect::<Vec<_>>().join(","))
            }
        }
    }
}

fn size(text: &str) -> Option<usize> {
    let bytes = usize::try_from(number(text)?).ok()?;
    (1..=RECORD_BYTES_MAX).contains(&bytes).then_some(bytes)
}

/// `parse` alone would take a leading plus sign.
fn number(text: &str) -> Option<u64> {
    let is_number = text.bytes().all(|letter| letter.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(text: &str, seed: u64) -> std::collections::BTreeMap<usize, usize> {
        let sizes = Sizes::parse(text).unwrap();
        let mut random = Random::new(seed);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..10_000 {
            *counts.entry(sizes.one(&mut random)).or_insert(0) += 1;
        }
        counts
    }

    #[test]
    fn sizes_are_read_and_shown_alike() {
        for text in [
            "1024",
            "100..10000",
            "7..7",
            "100:90,10000:10",
            "100:99,1:1",
        ] {
            assert_eq!(Sizes::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "0",
            "-1",
            "+1",
            "x",
            "1..",
            "..1",
            "9..1",
            "0..9",
            "1:0",
            "1:",
            "1:1,",
            "100:100,1:1",
            "1:1,2",
            "16777217",
            "1..16777217",
            "1:1000001",
            "1..2:3",
        ] {
            assert_eq!(Sizes::parse(text), None, "{text}");
        }
        let many = vec!["1:1"; SIZES_MAX + 1].join(",");
        assert_eq!(Sizes::parse(&many), None);
    }

    #[test]
    fn every_size_of_a_range_is_as_likely_as_another() {
        let counts = counted("10..13", 1);
        assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [10, 11, 12, 13]);
        assert!(
            counts.values().all(|count| (2_300..2_700).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn sizes_come_by_their_weights_and_the_seed_decides_in_which_order() {
        let counts = counted("100:90,10000:10", 1);
        assert_eq!(counts.len(), 2);
        assert!((800..1_200).contains(&counts[&10_000]), "{counts:?}");
        assert_eq!(counted("100..10000", 5), counted("100..10000", 5));
        assert_ne!(counted("100..10000", 5), counted("100..10000", 6));
    }
}
