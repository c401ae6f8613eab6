//! YAML text to a tree with places. Bounded; no aliases, no tags, no repeated keys.

use std::borrow::Cow;
use std::collections::HashSet;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::limits::{DOCUMENT_BYTES_MAX, NESTING_MAX, NODES_COUNT_MAX};

/// A place in a source, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A mistake at a place.
pub(crate) type Mistake = (Place, String);

#[derive(Debug, Clone)]
pub(crate) struct Node<'a> {
    pub(crate) place: Place,
    pub(crate) value: Value<'a>,
}

#[derive(Debug, Clone)]
pub(crate) enum Value<'a> {
    /// Unquoted text, which may be a number, a truth value or null.
    Plain(Cow<'a, str>),
    /// Quoted text.
    Quoted(Cow<'a, str>),
    Sequence(Vec<Node<'a>>),
    Mapping(Vec<(Node<'a>, Node<'a>)>),
}

impl Node<'_> {
    /// What the node is, for a message.
    pub(crate) fn noun(&self) -> &'static str {
        match self.value {
            Value::Plain(_) | Value::Quoted(_) => "a single value",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }
}

/// One document's text inside a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk<'a> {
    pub(crate) text: &'a str,
    /// Lines of the source before the text.
    pub(crate) lines_before: usize,
}

/// Cuts a source where a line starts with `---`. YAML lets nothing else start a line so, not even inside text
/// (YAML 1.2.2, section 9.1.2), so that a mistake in one document does not hide those in the next.
pub(crate) fn split(source: &str) -> impl Iterator<Item = Chunk<'_>> {
    let mut chunks = Vec::new();
    let (mut start, mut start_line, mut offset) = (0, 0, 0);
    for (line_index, line) in source.split_inclusive('\n').enumerate() {
        let marker = line
            .strip_prefix("---")
            .filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if marker.is_some() {
            chunks.push((start..offset, start_line));
            start = offset + "---".len();
            start_line = line_index;
        }
        offset += line.len();
    }
    chunks.push((start..offset, start_line));
    chunks.into_iter().filter_map(move |(range, lines_before)| {
        let text = source.get(range)?;
        let blank = text
            .lines()
            .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        (!blank).then_some(Chunk { text, lines_before })
    })
}

/// Reads the one document of `chunk`.
pub(crate) fn read(chunk: Chunk<'_>) -> Result<Node<'_>, Mistake> {
    let top = Place {
        line: chunk.lines_before + 1,
        column: 1,
    };
    if chunk.text.len() > DOCUMENT_BYTES_MAX {
        let bytes = chunk.text.len();
        return Err((
            top,
            format!("this document has {bytes} bytes; split it, {DOCUMENT_BYTES_MAX} are the most"),
        ));
    }
    let mut reader = Reader {
        parser: Parser::new_from_str(chunk.text),
        chunk,
        nodes_count: 0,
    };
    let mut root = None;
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            _ if root.is_some() => {
                return Err((
                    reader.place(span),
                    "start a new document with a line `---`".into(),
                ));
            }
            event => root = Some(reader.tree(event, span)?),
        }
    }
    root.ok_or_else(|| (top, "this document is empty; remove it".into()))
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    chunk: Chunk<'a>,
    nodes_count: usize,
}

/// A container that is still open.
struct Open<'a> {
    place: Place,
    kind: OpenKind<'a>,
}

enum OpenKind<'a> {
    Sequence(Vec<Node<'a>>),
    Mapping {
        pairs: Vec<(Node<'a>, Node<'a>)>,
        key: Option<Node<'a>>,
        seen: HashSet<String>,
    },
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Mistake> {
        match self.parser.next_event() {
            None => Ok((Event::StreamEnd, Span::default())),
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let at = *error.marker();
                Err((
                    self.place(Span::new(at, at)),
                    format!("this is not YAML: {}", error.info()),
                ))
            }
        }
    }

    fn place(&self, span: Span) -> Place {
        let (line, column) = (span.start.line().max(1), span.start.col());
        Place {
            line: self.chunk.lines_before.saturating_add(line),
            column: column.saturating_add(1),
        }
    }

    /// The node that `event` opens. A stack of its own: hostile nesting must not use the thread's.
    fn tree(&mut self, event: Event<'a>, span: Span) -> Result<Node<'a>, Mistake> {
        let mut stack: Vec<Open<'a>> = Vec::new();
        let mut next = (event, span);
        loop {
            let (event, span) = next;
            let place = self.place(span);
            self.nodes_count = self.nodes_count.saturating_add(1);
            if self.nodes_count > NODES_COUNT_MAX {
                return Err((
                    place,
                    format!("this document has more than {NODES_COUNT_MAX} values; split it"),
                ));
            }
            let complete = match event {
                Event::Alias(_) => {
                    return Err((
                        place,
                        "anchors and aliases are not read; write the value out".into(),
                    ));
                }
                Event::Scalar(.., Some(_))
                | Event::SequenceStart(_, Some(_))
                | Event::MappingStart(_, Some(_)) => {
                    return Err((place, "tags (`!..`) are not read; remove it".into()));
                }
                Event::Scalar(text, ScalarStyle::Plain, ..) => Some(Node {
                    place,
                    value: Value::Plain(text),
                }),
                Event::Scalar(text, ..) => Some(Node {
                    place,
                    value: Value::Quoted(text),
                }),
                Event::SequenceStart(..) => {
                    stack.push(Open {
                        place,
                        kind: OpenKind::Sequence(Vec::new()),
                    });
                    None
                }
                Event::MappingStart(..) => {
                    let kind = OpenKind::Mapping {
                        pairs: Vec::new(),
                        key: None,
                        seen: HashSet::new(),
                    };
                    stack.push(Open { place, kind });
                    None
                }
                Event::SequenceEnd | Event::MappingEnd => stack.pop().map(|open| Node {
                    place: open.place,
                    value: match open.kind {
                        OpenKind::Sequence(nodes) => Value::Sequence(nodes),
                        OpenKind::Mapping { pairs, .. } => Value::Mapping(pairs),
                    },
                }),
                _ => return Err((place, "this document ends too early".into())),
            };
            if stack.len() > NESTING_MAX {
                return Err((
                    place,
                    format!("this is nested more than {NESTING_MAX} deep"),
                ));
            }
            if let Some(node) = complete {
                match stack.last_mut() {
                    None => return Ok(node),
                    Some(open) => open.add(node)?,
                }
            }
            next = self.next()?;
        }
    }
}

impl<'a> Open<'a> {
    fn add(&mut self, node: Node<'a>) -> Result<(), Mistake> {
        match &mut self.kind {
            OpenKind::Sequence(nodes) => nodes.push(node),
            OpenKind::Mapping { pairs, key, seen } => match key.take() {
                Some(key) => pairs.push((key, node)),
                None => {
                    let (Value::Plain(text) | Value::Quoted(text)) = &node.value else {
                        return Err((
                            node.place,
                            format!("a key is a single word, not {}", node.noun()),
                        ));
                    };
                    if !seen.insert(text.to_string()) {
                        return Err((node.place, format!("`{text}` stands here twice; keep one")));
                    }
                    *key = Some(node);
                }
            },
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_mistake(text: &str) -> String {
        split(text)
            .find_map(|chunk| read(chunk).err())
            .expect("a mistake")
            .1
    }

    #[test]
    fn documents_are_cut_at_their_markers_and_keep_their_lines() {
        let chunks: Vec<_> =
            split("# head\n---\na: 1\n--- # two\n\nb: |\n  --- not a marker\n---\n# nothing\n")
                .collect();
        assert_eq!(chunks.len(), 2);
        assert_eq!(chunks[0].lines_before, 1);
        let node = read(chunks[1]).unwrap();
        assert_eq!(node.place, Place { line: 6, column: 1 });
        let Value::Mapping(pairs) = node.value else {
            panic!()
        };
        assert!(matches!(&pairs[0].1.value, Value::Quoted(text) if text == "--- not a marker\n"));
    }

    #[test]
    fn aliases_tags_repeated_keys_and_bombs_are_refused() {
        assert!(first_mistake("a: &x [1]\nb: *x").contains("aliases"));
        assert!(first_mistake("a: !!str 1").contains("tags"));
        assert!(first_mistake("a: 1\na: 2").contains("twice"));
        assert!(first_mistake("? [a]\n: 1").contains("single word"));
        assert!(first_mistake(&"[".repeat(100)).contains("nested"));
        assert!(
            first_mistake(&format!("[{}]", "1,".repeat(NODES_COUNT_MAX + 1))).contains("values")
        );
        let long = format!("a: {}", "x".repeat(DOCUMENT_BYTES_MAX));
        assert!(first_mistake(&long).contains("split it"));
        assert!(first_mistake("a: [1").contains("not YAML"));
        assert!(first_mistake("a: 1\n...\nb: 2").contains("---"));
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut seed = 0x5eed_u64;
        println!("seed {seed:#x}");
        let alphabet: Vec<char> = "ab:-?[]{},&*!|>'\"%@`# \n\t\\.~0\u{e9}\u{feff}"
            .chars()
            .collect();
        for _ in 0..20_000 {
            let text: String = (0..1 + seed % 40)
                .map(|_| {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    alphabet[(seed % alphabet.len() as u64) as usize]
                })
                .collect();
            for chunk in split(&text) {
                let _ = read(chunk);
            }
        }
    }
}
