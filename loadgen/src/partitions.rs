//! Which partitions of a topic a run uses.

use std::fmt;

use crate::limits::{PARTITION_RANGES_MAX, PARTITIONS_MAX};

/// Partitions by number: ranges with both ends, in the order of their beginnings, apart from each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partitions(Vec<(i32, i32)>);

impl Partitions {
    /// `0-3,7`; `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let ranges = text.split(',').map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (index(first)?, index(last)?);
            (first <= last).then_some((first, last))
        });
        let mut ranges: Vec<(i32, i32)> = ranges.collect::<Option<_>>()?;
        if ranges.len() > PARTITION_RANGES_MAX {
            return None;
        }
        ranges.sort_unstable();
        let mut apart: Vec<(i32, i32)> = Vec::new();
        for (first, last) in ranges {
            match apart.last_mut() {
                Some((_, end)) if first <= *end + 1 => *end = last.max(*end),
                _ => apart.push((first, last)),
            }
        }
        Some(Self(apart))
    }

    pub(crate) fn contain(&self, partition: i32) -> bool {
        let mut ranges = self.0.iter();
        ranges.any(|(first, last)| (*first..=*last).contains(&partition))
    }

    /// The first of them that is not among those that there are.
    pub(crate) fn missing(&self, has: impl Fn(i32) -> bool) -> Option<i32> {
        let mut all = self.0.iter().flat_map(|(first, last)| *first..=*last);
        all.find(|partition| !has(*partition))
    }
}

impl fmt::Display for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges = self.0.iter().map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        });
        f.write_str(&ranges.collect::<Vec<_>>().join(","))
    }
}

/// `parse` alone would take a leading plus sign.
fn index(text: &str) -> Option<i32> {
    let is_number = text.bytes().all(|letter| letter.is_ascii_digit());
    let index: i32 = is_number.then(|| text.parse().ok()).flatten()?;
    (index < PARTITIONS_MAX).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ranges_become_those_that_are_apart() {
        for (text, shown) in [
            ("0-3,7", "0-3,7"),
            ("7,0-3", "0-3,7"),
            ("5", "5"),
            ("3,1,2,1", "1-3"),
            ("0-9,2-3", "0-9"),
        ] {
            assert_eq!(Partitions::parse(text).unwrap().to_string(), shown);
        }
        for text in ["", "-1", "1-", "3-1", "a", "1,,2", "+1", "1-2-3", "1000000"] {
            assert_eq!(Partitions::parse(text), None, "{text}");
        }
    }

    #[test]
    fn one_that_there_is_not_is_found() {
        let chosen = Partitions::parse("0-3,7").unwrap();
        assert!(chosen.contain(3) && chosen.contain(7) && !chosen.contain(4));
        assert_eq!(chosen.missing(|partition| partition < 8), None);
        assert_eq!(chosen.missing(|partition| partition < 4), Some(7));
    }
}
