//! Reads the keys of a mapping one by one, and remembers every mistake instead of stopping at the first.

use crate::limits::{DURATION_MS_MAX, TEXT_BYTES_MAX};
use crate::yaml::{Mistake, Node, Place, Value};

/// Where mistakes of one document go.
pub(crate) type Mistakes = Vec<Mistake>;

/// A text with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) place: Place,
    pub(crate) text: String,
}

/// The keys of one mapping. Call [`Fields::finish`]: keys that nobody asked for are mistakes.
pub(crate) struct Fields<'n, 'a> {
    what: &'static str,
    pub(crate) place: Place,
    /// Not a mapping: told already, and nothing is missing in it.
    pub(crate) unreadable: bool,
    pairs: Vec<Option<(&'n Node<'a>, &'n Node<'a>)>>,
    asked: Vec<&'static str>,
}

impl<'n, 'a> Fields<'n, 'a> {
    /// Reads `node` as a mapping; anything else is a mistake, and reads as an empty one.
    pub(crate) fn of(what: &'static str, node: &'n Node<'a>, mistakes: &mut Mistakes) -> Self {
        let (unreadable, pairs) = match &node.value {
            Value::Mapping(pairs) => (
                false,
                pairs
                    .iter()
                    .map(|(key, value)| Some((key, value)))
                    .collect(),
            ),
            _ => {
                mistakes.push((
                    node.place,
                    format!("{what} is a mapping, not {}", node.noun()),
                ));
                (true, Vec::new())
            }
        };
        Self {
            what,
            place: node.place,
            unreadable,
            pairs,
            asked: Vec::new(),
        }
    }

    /// The value of `key`. Null counts as absent.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<&'n Node<'a>> {
        self.asked.push(key);
        let found = self
            .pairs
            .iter_mut()
            .find(|pair| pair.is_some_and(|(name, _)| text_of(name) == Some(key)))?;
        found
            .take()
            .map(|(_, value)| value)
            .filter(|value| !is_null(value))
    }

    /// The value of `key`, or a mistake.
    pub(crate) fn require(
        &mut self,
        key: &'static str,
        mistakes: &mut Mistakes,
    ) -> Option<&'n Node<'a>> {
        let found = self.take(key);
        if found.is_none() && !self.unreadable {
            mistakes.push((self.place, format!("{} has no `{key}`; add it", self.what)));
        }
        found
    }

    /// Reports every key that was not asked for.
    pub(crate) fn finish(self, mistakes: &mut Mistakes) {
        for (key, _) in self.pairs.into_iter().flatten() {
            let name = text_of(key).unwrap_or_default();
            let hint = match nearest(name, self.asked.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("known are {}", list(self.asked.iter().copied())),
            };
            mistakes.push((
                key.place,
                format!("{} has no key `{name}`; {hint}", self.what),
            ));
        }
    }
}

/// The node as text of 1 to 4,096 bytes without control characters.
pub(crate) fn text(what: &str, node: &Node<'_>, mistakes: &mut Mistakes) -> Option<Text> {
    let Some(text) = text_of(node) else {
        mistakes.push((
            node.place,
            format!("{what} is a single value, not {}", node.noun()),
        ));
        return None;
    };
    if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.contains(char::is_control) {
        mistakes.push((
            node.place,
            format!("{what} is 1 to {TEXT_BYTES_MAX} bytes without control characters"),
        ));
        return None;
    }
    Some(Text {
        place: node.place,
        text: text.to_owned(),
    })
}

/// The node as one of the words that `read` knows.
pub(crate) fn word<T>(
    what: &str,
    node: &Node<'_>,
    known: &[&'static str],
    read: impl Fn(&str) -> Option<T>,
    mistakes: &mut Mistakes,
) -> Option<T> {
    let text = text(what, node, mistakes)?;
    let found = read(&text.text);
    if found.is_none() {
        let hint = match nearest(&text.text, known.iter().copied()) {
            Some(known) => format!("did you mean {known}?"),
            None => format!("write one of {}", list(known.iter().copied())),
        };
        mistakes.push((text.place, format!("{what} is not {}; {hint}", text.text)));
    }
    found
}

/// The node as a list; an absent or broken list is empty.
pub(crate) fn items<'n, 'a>(
    what: &str,
    node: Option<&'n Node<'a>>,
    mistakes: &mut Mistakes,
) -> &'n [Node<'a>] {
    match node.map(|node| (node, &node.value)) {
        None => &[],
        Some((_, Value::Sequence(nodes))) => nodes,
        Some((node, _)) => {
            mistakes.push((
                node.place,
                format!("{what} is a list, not {}; write [..]", node.noun()),
            ));
            &[]
        }
    }
}

/// The node as a list of texts.
pub(crate) fn texts(what: &str, node: Option<&Node<'_>>, mistakes: &mut Mistakes) -> Vec<Text> {
    items(what, node, mistakes)
        .iter()
        .filter_map(|item| text(what, item, mistakes))
        .collect()
}

/// The node as `true` or `false`, unquoted.
pub(crate) fn truth(what: &str, node: &Node<'_>, mistakes: &mut Mistakes) -> Option<bool> {
    match &node.value {
        Value::Plain(text) if text == "true" => Some(true),
        Value::Plain(text) if text == "false" => Some(false),
        _ => {
            mistakes.push((node.place, format!("{what} is true or false")));
            None
        }
    }
}

/// The node as a whole number of at least 1.
pub(crate) fn count(what: &str, node: &Node<'_>, mistakes: &mut Mistakes) -> Option<u32> {
    let number = text_of(node)
        .and_then(|text| text.parse().ok())
        .filter(|number| *number >= 1);
    if number.is_none() {
        mistakes.push((node.place, format!("{what} is a whole number, 1 or more")));
    }
    number
}

/// The node as a length of time in milliseconds: a whole number and one of `ms s m h d w y` (a year has 365 days).
pub(crate) fn duration_ms(what: &str, node: &Node<'_>, mistakes: &mut Mistakes) -> Option<u64> {
    let read = text_of(node).and_then(parse_duration_ms);
    if read.is_none() {
        mistakes.push((
            node.place,
            format!("{what} is a length of time up to 1000y, such as 500ms, 60s, 10m, 30d or 7y"),
        ));
    }
    read
}

fn parse_duration_ms(text: &str) -> Option<u64> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(digits_end);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 7 * 86_400_000,
        "y" => 365 * 86_400_000,
        _ => return None,
    };
    digits
        .parse::<u64>()
        .ok()?
        .checked_mul(unit_ms)
        .filter(|ms| *ms <= DURATION_MS_MAX)
}

pub(crate) fn text_of<'n>(node: &'n Node<'_>) -> Option<&'n str> {
    match &node.value {
        Value::Plain(text) | Value::Quoted(text) => Some(text),
        Value::Sequence(_) | Value::Mapping(_) => None,
    }
}

/// Whether the node is `[]`.
pub(crate) fn is_empty_list(node: &Node<'_>) -> bool {
    matches!(&node.value, Value::Sequence(nodes) if nodes.is_empty())
}

fn is_null(node: &Node<'_>) -> bool {
    matches!(&node.value, Value::Plain(text) if matches!(&**text, "" | "~" | "null"))
}

/// `a, b and c`.
pub(crate) fn list<'s>(words: impl Iterator<Item = &'s str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

/// The known word that the writer probably meant.
pub(crate) fn nearest<'s>(word: &str, known: impl Iterator<Item = &'s str>) -> Option<&'s str> {
    if word.len() > 64 {
        return None;
    }
    let near = 1 + word.len() / 4;
    known
        .map(|known| (edits(word, known), known))
        .filter(|(edits, _)| *edits <= near)
        .min()
        .map(|(_, known)| known)
}

/// Levenshtein distance, letter case apart.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b
        .chars()
        .take(256)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().map(|c| c.to_ascii_lowercase()).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = *cell;
            *cell = substituted.min(*cell + 1).min(left + 1);
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_a_bound() {
        for (text, expected) in [
            ("7y", Some(220_752_000_000)),
            ("30d", Some(2_592_000_000)),
            ("10m", Some(600_000)),
            ("60s", Some(60_000)),
            ("1s", Some(1_000)),
            ("500ms", Some(500)),
            ("2w", Some(1_209_600_000)),
            ("1h", Some(3_600_000)),
            ("1001y", None),
            ("99999999999999999999y", None),
            ("10", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("1 s", None),
            ("", None),
        ] {
            assert_eq!(parse_duration_ms(text), expected, "{text}");
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        assert_eq!(
            nearest("operatoins", ["topics", "operations"].into_iter()),
            Some("operations")
        );
        assert_eq!(nearest("read", ["Write", "Read"].into_iter()), Some("Read"));
        assert_eq!(nearest("zzz", ["Write", "Read"].into_iter()), None);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
    }
}
