//! Reads YAML mappings key by key and remembers every mistake with its line, instead of stopping at the first.

use std::str::FromStr;

use saphyr::{MarkedYaml, YamlData, YamlLoader};
use saphyr_parser::{Parser, ScalarStyle};

use crate::limits::CONFIG_BYTES_MAX;

/// Something to correct in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mistake {
    /// From 1.
    pub(crate) line: usize,
    /// What it is and what to write instead.
    pub(crate) message: String,
}

pub(crate) type Node<'a> = MarkedYaml<'a>;

/// Collects mistakes in the order in which they are found.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(Vec<Mistake>);

impl Mistakes {
    pub(crate) fn add(&mut self, line: usize, message: impl Into<String>) {
        self.0.push(Mistake {
            line,
            message: message.into(),
        });
    }

    pub(crate) fn into_sorted(mut self) -> Vec<Mistake> {
        self.0.sort();
        self.0.dedup();
        self.0
    }
}

/// The one document of `text`. Scalars stay the text that was written; repeated keys are errors.
pub(crate) fn load(text: &str) -> Result<Node<'_>, Mistake> {
    if text.len() > CONFIG_BYTES_MAX {
        return Err(Mistake {
            line: 1,
            message: format!("the file has more than {CONFIG_BYTES_MAX} bytes"),
        });
    }
    let mut loader = YamlLoader::<MarkedYaml<'_>>::default();
    loader.early_parse(false);
    loader.alias_limit(0);
    let scanned = Parser::new_from_str(text).load(&mut loader, true);
    if let Some(error) = scanned.err().or_else(|| loader.error().cloned()) {
        let line = error.marker().line().max(1);
        return Err(Mistake {
            line,
            message: format!("this is not the YAML expected here: {}", error.info()),
        });
    }
    let mut documents = loader.into_documents();
    match (documents.pop(), documents.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => Err(Mistake {
            line: 1,
            message: "the file is empty".into(),
        }),
        (Some(second), false) => Err(Mistake {
            line: line_of(&second),
            message: "a configuration is one document; remove `---`".into(),
        }),
    }
}

/// The keys of one mapping. Call [`Fields::finish`]: keys that nobody asked for are mistakes.
pub(crate) struct Fields<'n, 'a> {
    what: String,
    line: usize,
    pairs: Vec<(&'n Node<'a>, &'n Node<'a>)>,
    asked: Vec<&'static str>,
}

impl<'n, 'a> Fields<'n, 'a> {
    /// Reads `node` as a mapping; anything else is a mistake, and reads as an empty one.
    pub(crate) fn of(what: impl Into<String>, node: &'n Node<'a>, mistakes: &mut Mistakes) -> Self {
        let what = what.into();
        let pairs = match &node.data {
            YamlData::Mapping(pairs) => pairs.iter().collect(),
            _ => {
                mistakes.add(
                    line_of(node),
                    format!(
                        "{what} is a mapping (`key: value` lines), not {}",
                        noun(node)
                    ),
                );
                Vec::new()
            }
        };
        Self {
            what,
            line: line_of(node),
            pairs,
            asked: Vec::new(),
        }
    }

    /// Where the mapping stands.
    pub(crate) fn line(&self) -> usize {
        self.line
    }

    /// The value of `key`. Null counts as absent.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<&'n Node<'a>> {
        self.asked.push(key);
        let at = self
            .pairs
            .iter()
            .position(|(name, _)| text_of(name) == Some(key))?;
        let (_, value) = self.pairs.swap_remove(at);
        (!is_null(value)).then_some(value)
    }

    /// The value of `key`, or a mistake.
    pub(crate) fn require(
        &mut self,
        key: &'static str,
        mistakes: &mut Mistakes,
    ) -> Option<&'n Node<'a>> {
        let found = self.take(key);
        if found.is_none() {
            mistakes.add(self.line, format!("{} has no `{key}`; add it", self.what));
        }
        found
    }

    /// The value of `key` as text.
    pub(crate) fn text(&mut self, key: &'static str, mistakes: &mut Mistakes) -> Option<String> {
        let node = self.take(key)?;
        text(&format!("`{key}`"), node, mistakes)
    }

    /// The value of `key` as text, or a mistake.
    pub(crate) fn require_text(
        &mut self,
        key: &'static str,
        mistakes: &mut Mistakes,
    ) -> Option<String> {
        let node = self.require(key, mistakes)?;
        text(&format!("`{key}`"), node, mistakes)
    }

    /// The value of `key` as whatever `T` reads; `expected` completes "`key` is …".
    pub(crate) fn parse<T: FromStr>(
        &mut self,
        key: &'static str,
        expected: &str,
        mistakes: &mut Mistakes,
    ) -> Option<T> {
        let node = self.take(key)?;
        parse(&format!("`{key}`"), node, expected, mistakes)
    }

    /// The values of `key` as a list; an absent or broken list is empty.
    pub(crate) fn items(&mut self, key: &'static str, mistakes: &mut Mistakes) -> &'n [Node<'a>] {
        let Some(node) = self.take(key) else {
            return &[];
        };
        match &node.data {
            YamlData::Sequence(nodes) => nodes,
            _ => {
                mistakes.add(
                    line_of(node),
                    format!("`{key}` is a list, not {}; write [..]", noun(node)),
                );
                &[]
            }
        }
    }

    /// The values of `key` as a list of texts.
    pub(crate) fn texts(&mut self, key: &'static str, mistakes: &mut Mistakes) -> Vec<String> {
        let what = format!("an item of `{key}`");
        self.items(key, mistakes)
            .iter()
            .filter_map(|node| text(&what, node, mistakes))
            .collect()
    }

    /// The value of `key` as `true` or `false`; absent is `false`.
    pub(crate) fn truth(&mut self, key: &'static str, mistakes: &mut Mistakes) -> bool {
        self.parse(key, "true or false", mistakes).unwrap_or(false)
    }

    /// Reports every key that was not asked for.
    pub(crate) fn finish(self, mistakes: &mut Mistakes) {
        for (key, _) in self.pairs {
            let name = text_of(key).unwrap_or("?");
            let known = self.asked.join(", ");
            mistakes.add(
                line_of(key),
                format!("{} has no key `{name}`; known are {known}", self.what),
            );
        }
    }
}

/// The node as text of at least one character, without control characters.
pub(crate) fn text(what: &str, node: &Node<'_>, mistakes: &mut Mistakes) -> Option<String> {
    match text_of(node) {
        None => mistakes.add(
            line_of(node),
            format!("{what} is a single value, not {}", noun(node)),
        ),
        Some("") => mistakes.add(line_of(node), format!("{what} is empty")),
        Some(text) if text.contains(char::is_control) => {
            mistakes.add(line_of(node), format!("{what} holds control characters"));
        }
        Some(text) => return Some(text.to_owned()),
    }
    None
}

pub(crate) fn parse<T: FromStr>(
    what: &str,
    node: &Node<'_>,
    expected: &str,
    mistakes: &mut Mistakes,
) -> Option<T> {
    let text = text(what, node, mistakes)?;
    let parsed = text.parse().ok();
    if parsed.is_none() {
        mistakes.add(line_of(node), format!("{what} is {expected}, not {text}"));
    }
    parsed
}

/// The node as JSON; unquoted numbers and truth values become such.
pub(crate) fn json(node: &Node<'_>) -> serde_json::Value {
    use serde_json::Value;
    match &node.data {
        YamlData::Representation(text, ScalarStyle::Plain, _) => {
            if is_null(node) {
                return Value::Null;
            }
            let plain: Option<Value> = serde_json::from_str(text).ok();
            plain
                .filter(|value| value.is_boolean() || value.is_number())
                .unwrap_or_else(|| Value::from(&**text))
        }
        YamlData::Sequence(nodes) => Value::Array(nodes.iter().map(json).collect()),
        YamlData::Mapping(pairs) => {
            let pairs = pairs
                .iter()
                .filter_map(|(key, value)| Some((text_of(key)?.to_owned(), json(value))));
            Value::Object(pairs.collect())
        }
        _ => text_of(node).map_or(Value::Null, Value::from),
    }
}

pub(crate) fn line_of(node: &Node<'_>) -> usize {
    node.span.start.line().max(1)
}

fn text_of<'n>(node: &'n Node<'_>) -> Option<&'n str> {
    match &node.data {
        YamlData::Representation(text, _, None) => Some(text),
        _ => None,
    }
}

fn is_null(node: &Node<'_>) -> bool {
    matches!(&node.data, YamlData::Representation(text, ScalarStyle::Plain, None) if matches!(&**text, "" | "~" | "null"))
}

fn noun(node: &Node<'_>) -> &'static str {
    match &node.data {
        YamlData::Mapping(_) => "a mapping",
        YamlData::Sequence(_) => "a list",
        YamlData::Representation(_, _, Some(_)) | YamlData::Tagged(..) => "a tagged value",
        _ => "a single value",
    }
}
