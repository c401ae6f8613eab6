//! The slow, obvious twin of masking: a tree, recursion, paths followed one by one. The oracle of the fast one in tests.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::fold;
use crate::key_ring::DomainKey;
use crate::limits::DEPTH_MAX;
use crate::path::{Path, Reach, Selector, Step};

/// The masked value, equal to the value if nothing was to mask; nothing if it cannot be masked.
pub(crate) fn mask(rules: &[(Path, DomainKey)], value: &[u8]) -> Option<Vec<u8>> {
    let framed = value.len() >= 5 && value[0] == 0;
    let (framing, text) = value.split_at(if framed { 5 } else { 0 });
    let characters: Vec<char> = std::str::from_utf8(text).ok()?.chars().collect();
    let mut parser = Parser {
        characters: &characters,
        at: 0,
    };
    let root = parser.value(0)?;
    parser.space();
    if parser.at != characters.len() || !matches!(root.what, What::Object(_) | What::Array(_)) {
        return None;
    }
    let mut masked = Vec::new();
    for (rule, (path, _)) in rules.iter().enumerate() {
        select(&root, path.steps(), rule, &mut masked);
    }
    // By start, the outermost first, the first rule first; then only what is in no other.
    masked.sort_by_key(|(node, rule)| (node.start, std::cmp::Reverse(node.end), *rule));
    let mut out: Vec<u8> = framing.to_vec();
    let mut copied = 0;
    for (node, rule) in masked {
        if node.start < copied {
            continue;
        }
        out.extend(
            characters[copied..node.start]
                .iter()
                .collect::<String>()
                .bytes(),
        );
        let raw: String = characters[node.start..node.end].iter().collect();
        out.extend(token(&rules[rule].1, &node.what, &raw).bytes());
        copied = node.end;
    }
    out.extend(characters[copied..].iter().collect::<String>().bytes());
    Some(out)
}

struct Node {
    start: usize,
    end: usize,
    what: What,
}

enum What {
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
    Text(String),
    Number,
    Boolean,
    Null,
}

fn select<'a>(node: &'a Node, steps: &[Step], rule: usize, masked: &mut Vec<(&'a Node, usize)>) {
    let Some((step, rest)) = steps.split_first() else {
        masked.push((node, rule));
        return;
    };
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
        };
        if selects {
            select(child, rest, rule, masked);
        }
        if step.reach == Reach::AnyDepth {
            select(child, steps, rule, masked);
        }
    }
}

fn token(key: &DomainKey, what: &What, raw: &str) -> String {
    let input = match what {
        What::Text(text) => format!("s{text}"),
        What::Number => format!("n{raw}"),
        What::Boolean => format!("b{raw}"),
        What::Null => format!("z{raw}"),
        What::Object(_) => format!("o{raw}"),
        What::Array(_) => format!("a{raw}"),
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(input.as_bytes());
    let digest: [u8; 32] = mac.finalize().into_bytes().into();
    let bits = u128::from_be_bytes(digest[..16].try_into().unwrap());
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
    format!("\"tok_{}_{digest}\"", key.version())
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
            '"' => What::Text(self.string()?),
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
            let key = self.string()?;
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

    fn string(&mut self) -> Option<String> {
        let mut units = Vec::new();
        self.eat('"')?;
        loop {
            let next = self.take()?;
            let unit = match next {
                '"' => return String::from_utf16(&units).ok(),
                '\0'..='\x1f' => return None,
                '\\' => match self.take()? {
                    'u' => {
                        let digits: Option<String> = (0..4).map(|_| self.take()).collect();
                        let digits = digits?;
                        if !digits.chars().all(|c| c.is_ascii_hexdigit()) {
                            return None;
                        }
                        u16::from_str_radix(&digits, 16).ok()?
                    }
                    'b' => 8,
                    't' => 9,
                    'n' => 10,
                    'f' => 12,
                    'r' => 13,
                    other @ ('"' | '\\' | '/') => other as u16,
                    _ => return None,
                },
                _ => {
                    units.extend_from_slice(next.encode_utf16(&mut [0; 2]));
                    continue;
                }
            };
            units.push(unit);
        }
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
