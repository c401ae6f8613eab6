//! Patterns with values to regions: what all patterns that match a name add up to.
//!
//! For any name the sum depends only on the longest known prefix of it, or on the name itself where it is listed. So
//! each listed name and each prefix gets its whole sum beforehand, and a lookup adds nothing up.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::resource::Pattern;

/// Values that add up.
pub(crate) trait Join: Clone + Default {
    fn join(&mut self, other: &Self);
}

impl<T: Ord + Clone> Join for BTreeSet<T> {
    fn join(&mut self, other: &Self) {
        self.extend(other.iter().cloned());
    }
}

/// The sums: `names` before `prefixes` (the longest that fits) before `any`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Regions<'a, V> {
    pub(crate) names: BTreeMap<&'a str, V>,
    /// Without the empty prefix, which is `any`.
    pub(crate) prefixes: BTreeMap<&'a str, V>,
    pub(crate) any: V,
}

impl<'a, V: Join> Regions<'a, V> {
    pub(crate) fn of(patterns: impl IntoIterator<Item = (&'a Pattern, V)>) -> Self {
        let mut regions = Self {
            names: BTreeMap::new(),
            prefixes: BTreeMap::new(),
            any: V::default(),
        };
        for (pattern, value) in patterns {
            match pattern {
                Pattern::Any => regions.any.join(&value),
                Pattern::Prefix(prefix) if prefix.is_empty() => regions.any.join(&value),
                Pattern::Prefix(prefix) => regions.prefixes.entry(prefix).or_default().join(&value),
                Pattern::Literal(name) => regions.names.entry(name).or_default().join(&value),
            }
        }
        regions.sum_prefixes();
        let sums: Vec<V> = regions
            .names
            .keys()
            .map(|name| regions.by_prefix(name).clone())
            .collect();
        for (value, sum) in regions.names.values_mut().zip(&sums) {
            value.join(sum);
        }
        regions
    }

    /// Every region's sum: enough to know all sums that any name can have.
    pub(crate) fn sums(&self) -> impl Iterator<Item = &V> {
        self.names
            .values()
            .chain(self.prefixes.values())
            .chain([&self.any])
    }

    fn by_prefix(&self, name: &str) -> &V {
        // Candidates below `name` in order: the nearest that is not a prefix shows how far back to go on.
        let mut end = name;
        loop {
            match self
                .prefixes
                .range::<str, _>((Bound::Unbounded, Bound::Included(end)))
                .next_back()
            {
                None => return &self.any,
                Some((prefix, value)) if name.starts_with(prefix) => return value,
                Some((prefix, _)) => end = common_prefix(name, prefix),
            }
        }
    }

    fn sum_prefixes(&mut self) {
        // Sorted, so that the prefixes of a prefix stand before it: `open` holds those that may still apply.
        let mut open: Vec<(&str, V)> = Vec::new();
        for (prefix, value) in &mut self.prefixes {
            while open
                .last()
                .is_some_and(|(outer, _)| !prefix.starts_with(outer))
            {
                open.pop();
            }
            value.join(open.last().map_or(&self.any, |(_, sum)| sum));
            open.push((prefix, value.clone()));
        }
    }
}

fn common_prefix<'a>(a: &'a str, b: &str) -> &'a str {
    let length = a
        .char_indices()
        .zip(b.chars())
        .find(|((_, x), y)| x != y)
        .map_or(a.len().min(b.len()), |((at, _), _)| at);
    a.get(..length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn a_region_is_the_sum_of_all_patterns_that_match() {
        let mut random = Random::printed(0x5e6_1045);
        for _ in 0..3_000 {
            let patterns: Vec<(Pattern, BTreeSet<u64>)> = (0..random.below(12))
                .map(|i| {
                    let text = random.word();
                    let pattern = match random.below(5) {
                        0 => Pattern::Any,
                        1 | 2 => Pattern::Prefix(text),
                        _ => Pattern::Literal(text),
                    };
                    (pattern, BTreeSet::from([i]))
                })
                .collect();
            let regions = Regions::of(
                patterns
                    .iter()
                    .map(|(pattern, value)| (pattern, value.clone())),
            );
            let mut seen = BTreeSet::new();
            for _ in 0..20 {
                let name = random.word();
                let expected: BTreeSet<u64> = patterns
                    .iter()
                    .filter(|(p, _)| p.matches(&name))
                    .flat_map(|(_, v)| v.clone())
                    .collect();
                let sum = regions
                    .names
                    .get(name.as_str())
                    .unwrap_or_else(|| regions.by_prefix(&name));
                assert_eq!(sum, &expected, "{name:?} in {patterns:?}");
                seen.insert(expected);
            }
            let sums: BTreeSet<_> = regions.sums().cloned().collect();
            assert!(
                seen.is_subset(&sums),
                "every sum that a name has is a region's"
            );
        }
    }
}
