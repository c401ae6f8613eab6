//! The slow, obvious twin of masking: a tree, recursion, paths followed one by one. The oracle of the fast one in tests.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::fold;
use crate::key_ring::DomainKey;
use crate::limits::DEPTH_MAX;
use crate::path::{Path, Reach, Selector, Step};
use crate::plan::{TokenLength, TokenShape};

/// A rule of the twin.
#[derive(Clone)]
pub(crate) struct Rule {
    pub(crate) path: Path,
    pub(crate) key: DomainKey,
    pub(crate) shape: TokenShape,
    pub(crate) length: TokenLength,
}

/// The masked value, equal to the value if nothing was to mask; nothing if it cannot be masked.
pub(crate) fn mask(rules: &[Rule], value: &[u8]) -> Option<Vec<u8>> {
    mask_and_tell(rules, value).map(|(masked, _)| masked)
}

/// As [`mask`] for a key, which cannot be masked either if a string in it cannot.
pub(crate) fn mask_key(rules: &[Rule], key: &[u8]) -> Option<Vec<u8>> {
    let (masked, withheld) = mask_and_tell(rules, key)?;
    (!withheld).then_some(masked)
}

/// The masked value, and whether a string in it became a placeholder.
fn mask_and_tell(rules: &[Rule], value: &[u8]) -> Option<(Vec<u8>, bool)> {
    let framed = value.len() >= 5 && value[0] == 0;
    let (framing, text) = value.split_at(if framed { 5 } else { 0 });
    let characters: Vec<char> = std::str::from_utf8(text).ok()?.chars().collect();
    let all: Vec<(usize, &[Step])> = rules
        .iter()
        .map(|rule| rule.path.steps())
        .enumerate()
        .collect();
    let edits = edits(rules, &all, &characters, 0)?;
    let masked = [framing, edited(&characters, &edits).as_bytes()].concat();
    Some((masked, edits.iter().any(|edit| edit.withheld)))
}

fn edited(document: &[char], edits: &[Edit]) -> String {
    let mut out = String::new();
    let mut copied = 0;
    for edit in edits {
        out.extend(&document[copied..edit.start]);
        out.push_str(&edit.text);
        copied = edit.end;
    }
    out.extend(&document[copied..]);
    out
}

/// New text in the place of some characters.
struct Edit {
    start: usize,
    end: usize,
    /// Of edits of the same characters the lowest counts.
    rank: usize,
    text: String,
    /// It is a placeholder, or one is in it.
    withheld: bool,
}

/// The edits of one document by steps of rules, in order and apart from each other. It stands in so many strings.
fn edits(
    rules: &[Rule],
    waiting: &[(usize, &[Step])],
    document: &[char],
    depth: usize,
) -> Option<Vec<Edit>> {
    let mut parser = Parser {
        characters: document,
        at: 0,
    };
    let root = parser.value(0)?;
    parser.space();
    if parser.at != document.len() || !matches!(root.what, What::Object(_) | What::Array(_)) {
        return None;
    }
    let mut selected = Selected::default();
    for (rule, steps) in waiting {
        select(&root, steps, *rule, &mut selected);
    }
    let mut all: Vec<Edit> = Vec::new();
    for (node, rule) in selected.masked {
        let raw: String = document[node.start..node.end].iter().collect();
        all.push(Edit {
            start: node.start,
            end: node.end,
            rank: rule,
            text: token(&rules[rule], &node.what, &raw),
            withheld: false,
        });
    }
    for (node, _, _) in &selected.inner {
        let What::Text(content, places) = &node.what else {
            unreachable!()
        };
        // Every rule that looks into this string, once for each of them: the same edits again do no harm.
        let here = selected
            .inner
            .iter()
            .filter(|(other, ..)| std::ptr::eq(*other, *node));
        let here: Vec<_> = here.map(|(_, rule, rest)| (*rule, *rest)).collect();
        let content: Vec<char> = content.chars().collect();
        match edits(rules, &here, &content, depth + 1) {
            None => all.push(Edit {
                start: node.start,
                end: node.end,
                rank: usize::MAX,
                text: format!(
                    "\"{}\"",
                    escaped("{\"sluice\":{\"masked\":\"unparsable\"}}")
                ),
                withheld: true,
            }),
            Some(inner) => {
                let place = |edit: Edit, from: usize| Edit {
                    start: places[edit.start].0 - from,
                    end: places[edit.end - 1].1 - from,
                    rank: edit.rank,
                    text: escaped(&edit.text),
                    withheld: edit.withheld,
                };
                let withheld = inner.iter().any(|edit| edit.withheld);
                if depth == 0 || inner.is_empty() {
                    all.extend(inner.into_iter().map(|edit| place(edit, 0)));
                    continue;
                }
                // A string in a string is spelled anew if anything in it is.
                let inner = inner.into_iter().map(|edit| place(edit, node.start));
                all.push(Edit {
                    start: node.start,
                    end: node.end,
                    rank: usize::MAX,
                    text: edited(&document[node.start..node.end], &inner.collect::<Vec<_>>()),
                    withheld,
                });
            }
        }
    }
    // By start, the outermost first, the first rule first; then only what is in no other.
    all.sort_by_key(|edit| (edit.start, std::cmp::Reverse(edit.end), edit.rank));
    let mut copied = 0;
    all.retain(|edit| {
        let apart = edit.start >= copied;
        copied = copied.max(edit.end);
        apart
    });
    Some(all)
}

fn escaped(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '"' | '\\' => format!("\\{c}"),
            '\0'..='\x1f' => format!("\\u{:04x}", c as u32),
            _ => c.to_string(),
        })
        .collect()
}

struct Node {
    start: usize,
    end: usize,
    what: What,
}

enum What {
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
    /// What it means, and where each character of that is written.
    Text(String, Vec<(usize, usize)>),
    Number,
    Boolean,
    Null,
}

#[derive(Default)]
struct Selected<'a, 's> {
    masked: Vec<(&'a Node, usize)>,
    /// Strings to look into, by which rule, and what is left of its steps.
    inner: Vec<(&'a Node, usize, &'s [Step])>,
}

fn select<'a, 's>(node: &'a Node, steps: &'s [Step], rule: usize, selected: &mut Selected<'a, 's>) {
    let Some((step, rest)) = steps.split_first() else {
        selected.masked.push((node, rule));
        return;
    };
    if step.selector == Selector::Json {
        match &node.what {
            What::Text(..) => selected.inner.push((node, rule, rest)),
            _ => select(node, rest, rule, selected),
        }
        return;
    }
    let children: Vec<(Option<&String>, &Node)> = match &node.what {
        What::Object(members) => members
            .iter()
            .map(|(key, node)| (Some(key), node))
            .collect(),
        What::Array(elements) => elements.iter().map(|node| (None, node)).collect(),
        _ => Vec::new(),
    };
    for (key, child) in children {
        let selects = match &step.selector {
            Selector::Every => true,
            Selector::Key(name) => key.is_some_and(|key| {
                let mut folded = Vec::new();
                fold::fold_text(key.as_bytes(), &mut folded);
                folded == name.as_bytes()
            }),
            Selector::Json => unreachable!(),
        };
        if selects {
            select(child, rest, rule, selected);
        }
        if step.reach == Reach::AnyDepth {
            select(child, steps, rule, selected);
        }
    }
}

/// The token of bytes that stand alone: a key, or the value of a header.
pub(crate) fn bare(rule: &Rule, content: &[u8]) -> String {
    let bits = code(&rule.key, &[b"s", content].concat());
    let text = std::str::from_utf8(content);
    if let (TokenShape::Digits, Ok(text)) = (rule.shape, text)
        && let Some(token) = digits(bits, text)
    {
        return token;
    }
    let token = opaque(&rule.key, bits);
    match (rule.length, rule.shape) {
        (TokenLength::Same, _) => same_length(&token, content.len()),
        (_, TokenShape::Email) => format!("{token}@masked.invalid"),
        _ => token,
    }
}

fn same_length(token: &str, bytes: usize) -> String {
    let digest_at = token.rfind('_').unwrap() + 1;
    if bytes < digest_at + 4 {
        return "*".repeat(bytes);
    }
    let filled = token.to_owned() + &"*".repeat(bytes);
    filled[..bytes].to_owned()
}

fn code(key: &DomainKey, input: &[u8]) -> u128 {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(input);
    let digest: [u8; 32] = mac.finalize().into_bytes().into();
    u128::from_be_bytes(digest[..16].try_into().unwrap())
}

fn opaque(key: &DomainKey, bits: u128) -> String {
    let characters: Vec<char> = "abcdefghijklmnopqrstuvwxyz234567".chars().collect();
    let digest: String = (0..26)
        .map(|n| {
            if n < 25 {
                bits >> (123 - 5 * n)
            } else {
                bits << 2
            }
        })
        .map(|five| characters[(five & 31) as usize])
        .collect();
    format!("tok_{}_{digest}", key.version())
}

fn token(rule: &Rule, what: &What, raw: &str) -> String {
    let Rule {
        key, shape, length, ..
    } = rule;
    let input = match what {
        What::Text(text, _) => format!("s{text}"),
        What::Number => format!("n{raw}"),
        What::Boolean => format!("b{raw}"),
        What::Null => format!("z{raw}"),
        What::Object(_) => format!("o{raw}"),
        What::Array(_) => format!("a{raw}"),
    };
    let bits = code(key, input.as_bytes());
    let in_shape = match (shape, what) {
        (TokenShape::Digits, What::Text(text, _)) => {
            digits(bits, text).map(|token| format!("\"{token}\""))
        }
        (TokenShape::Digits, What::Number) => whole_number(bits, raw),
        _ => None,
    };
    let token = opaque(key, bits);
    if *length == TokenLength::Same {
        if matches!(what, What::Boolean) {
            return "\"**\"".to_owned();
        }
        return match in_shape.filter(|token| token.len() == raw.len()) {
            Some(token) => token,
            None if raw.len() == 1 => "0".to_owned(),
            None => format!("\"{}\"", same_length(&token, raw.len() - 2)),
        };
    }
    match (in_shape, shape, what) {
        (Some(token), ..) => token,
        (_, TokenShape::Email, What::Text(..)) => format!("\"{token}@masked.invalid\""),
        _ => format!("\"{token}\""),
    }
}

/// The digits that a code is made of, the lowest first.
fn digits(code: u128, text: &str) -> Option<String> {
    let count = text.matches(|c: char| c.is_ascii_digit()).count();
    let legal = text.chars().all(|c| "0123456789 -./+()_,:".contains(c));
    if !legal || count == 0 || count > 32 || text.len() > 64 {
        return None;
    }
    let mut decimals = format!("{code:039}").into_bytes();
    Some(
        text.chars()
            .map(|c| match c {
                '0'..='9' => decimals.pop().unwrap() as char,
                other => other,
            })
            .collect(),
    )
}

fn whole_number(code: u128, raw: &str) -> Option<String> {
    if raw.len() > 18 || raw.contains(|c: char| !c.is_ascii_digit()) {
        return None;
    }
    if raw.len() == 1 {
        return Some((code % 10).to_string());
    }
    let rest = digits(code / 9, &raw[1..])?;
    Some(format!("{}{rest}", code % 9 + 1))
}

struct Parser<'a> {
    characters: &'a [char],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn take(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += 1;
        Some(next)
    }

    fn eat(&mut self, wanted: char) -> Option<()> {
        (self.take()? == wanted).then_some(())
    }

    fn space(&mut self) {
        while let Some(' ' | '\t' | '\r' | '\n') = self.peek() {
            self.at += 1;
        }
    }

    /// `depth` counts the containers around this value.
    fn value(&mut self, depth: usize) -> Option<Node> {
        self.space();
        let start = self.at;
        let what = match self.peek()? {
            '{' | '[' if depth == DEPTH_MAX => return None,
            '{' => What::Object(self.members(depth + 1)?),
            '[' => What::Array(self.elements(depth + 1)?),
            '"' => {
                let (text, places) = self.string()?;
                What::Text(text, places)
            }
            't' => self.word("true", What::Boolean)?,
            'f' => self.word("false", What::Boolean)?,
            'n' => self.word("null", What::Null)?,
            _ => self.number()?,
        };
        Some(Node {
            start,
            end: self.at,
            what,
        })
    }

    fn members(&mut self, depth: usize) -> Option<Vec<(String, Node)>> {
        let mut members = Vec::new();
        self.eat('{')?;
        self.space();
        if self.peek()? == '}' {
            self.at += 1;
            return Some(members);
        }
        loop {
            self.space();
            let (key, _) = self.string()?;
            self.space();
            self.eat(':')?;
            members.push((key, self.value(depth)?));
            self.space();
            match self.take()? {
                ',' => {}
                '}' => return Some(members),
                _ => return None,
            }
        }
    }

    fn elements(&mut self, depth: usize) -> Option<Vec<Node>> {
        let mut elements = Vec::new();
        self.eat('[')?;
        self.space();
        if self.peek()? == ']' {
            self.at += 1;
            return Some(elements);
        }
        loop {
            elements.push(self.value(depth)?);
            self.space();
            match self.take()? {
                ',' => {}
                ']' => return Some(elements),
                _ => return None,
            }
        }
    }

    fn string(&mut self) -> Option<(String, Vec<(usize, usize)>)> {
        let (mut text, mut places) = (String::new(), Vec::new());
        self.eat('"')?;
        loop {
            let start = self.at;
            let character = match self.take()? {
                '"' => return Some((text, places)),
                '\0'..='\x1f' => return None,
                '\\' => self.escape()?,
                plain => plain,
            };
            text.push(character);
            places.push((start, self.at));
        }
    }

    /// Behind the backslash.
    fn escape(&mut self) -> Option<char> {
        Some(match self.take()? {
            'u' => {
                let mut units = vec![self.unit()?];
                if (0xd800..0xdc00).contains(&units[0]) {
                    self.eat('\\')?;
                    self.eat('u')?;
                    units.push(self.unit()?);
                }
                return String::from_utf16(&units).ok()?.chars().next();
            }
            'b' => '\x08',
            't' => '\t',
            'n' => '\n',
            'f' => '\x0c',
            'r' => '\r',
            other @ ('"' | '\\' | '/') => other,
            _ => return None,
        })
    }

    fn unit(&mut self) -> Option<u16> {
        let digits: Option<String> = (0..4).map(|_| self.take()).collect();
        let digits = digits.filter(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()))?;
        u16::from_str_radix(&digits, 16).ok()
    }

    fn word(&mut self, word: &str, what: What) -> Option<What> {
        for letter in word.chars() {
            self.eat(letter)?;
        }
        Some(what)
    }

    fn number(&mut self) -> Option<What> {
        if self.peek()? == '-' {
            self.at += 1;
        }
        if self.peek()? == '0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some('.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some('e' | 'E') = self.peek() {
            self.at += 1;
            if let Some('+' | '-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(What::Number)
    }

    fn digits(&mut self) -> Option<()> {
        let before = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > before).then_some(())
    }
}
