//! One validating pass over a JSON text that finds the bytes of every masked field: the portable twin of [`crate::tokens`],
//! which says what is wrong with a text where that one only stops.
//!
//! Strict RFC 8259, with a stack of its own: what deviates is an error, because a consumer that is more lenient, or
//! lenient in another way, would read fields that were not seen here.

use crate::automaton::{Automaton, Spelling, State, is_inner};
use crate::error::Unmaskable;
use crate::limits::{DEPTH_MAX, FIELDS_MAX};
use crate::scan;
use crate::simd::Tokens;
use crate::token::Kind;

/// A field to replace, or a string to look into: bytes `start..end` of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// See [`State::matched`].
    pub(crate) rule: u16,
    pub(crate) kind: Kind,
}

/// Memory of a walk, kept from value to value.
#[derive(Debug)]
pub(crate) struct Room {
    /// In the order of the text, apart from each other: of nested fields only the outermost is here.
    pub(crate) spans: Vec<Span>,
    pub(crate) folded_key: Vec<u8>,
    pub(crate) frames: Box<[Frame; DEPTH_MAX]>,
    pub(crate) tokens: Box<Tokens>,
}

impl Room {
    pub(crate) fn new() -> Room {
        Room {
            spans: Vec::new(),
            folded_key: Vec::new(),
            frames: Box::new([Frame::CLOSED; DEPTH_MAX]),
            tokens: Box::new(Tokens::new()),
        }
    }

    /// Down to `bytes_max` for each of what grows.
    pub(crate) fn shrink(&mut self, bytes_max: usize) {
        let spans_max = bytes_max.checked_div(size_of::<Span>()).unwrap_or(0);
        self.spans.clear();
        self.spans.shrink_to(spans_max);
        self.folded_key.clear();
        self.folded_key.shrink_to(bytes_max);
    }
}

/// An open container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) state: State,
    pub(crate) container: Container,
    /// Of a container that a rule matched: where it starts, and the rule.
    pub(crate) matched: Option<(u32, u16)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    Object,
    Array,
}

impl Frame {
    pub(crate) const CLOSED: Frame = Frame {
        state: State::DEAD,
        container: Container::Array,
        matched: None,
    };

    /// The container in `state` that `first` opens. In one that matches nothing else can.
    #[inline]
    pub(crate) fn open(automaton: &Automaton, first: u8, start: u32, state: State) -> Frame {
        let (state, matched) = match state.matched() {
            None => (state, None),
            Some(rule) => match automaton.inner(rule) {
                Some(inner) => (inner.container, None),
                None => (State::DEAD, Some((start, rule))),
            },
        };
        Frame {
            state,
            container: if first == b'{' {
                Container::Object
            } else {
                Container::Array
            },
            matched,
        }
    }

    pub(crate) fn kind(self) -> Kind {
        match self.container {
            Container::Object => Kind::Object,
            Container::Array => Kind::Array,
        }
    }
}

/// Walks `text`, which must be UTF-8 of at most [`crate::limits::VALUE_BYTES_MAX`] bytes, from the state `start`, and leaves
/// the masked fields in `room.spans`.
pub(crate) fn walk(
    automaton: &Automaton,
    start: State,
    text: &[u8],
    room: &mut Room,
) -> Result<(), Unmaskable> {
    room.spans.clear();
    let mut cursor = Cursor { text, rest: text };
    let mut open: usize = 0;
    let mut state = start;
    loop {
        // A value starts here, and `state` is its own.
        cursor.skip_space();
        let start = cursor.at();
        let first = cursor.next()?;
        if matches!(first, b'{' | b'[') {
            let frame = Frame::open(automaton, first, start, state);
            let slot = room.frames.get_mut(open);
            *slot.ok_or(Unmaskable::LimitDepth { at: start })? = frame;
            open = open.wrapping_add(1);
            cursor.skip_space();
            match (frame.container, cursor.peek()?) {
                // Empty: closed below.
                (Container::Object, b'}') | (Container::Array, b']') => {}
                (Container::Object, _) => {
                    state = cursor.key(automaton, frame.state, &mut room.folded_key)?;
                    continue;
                }
                (Container::Array, _) => {
                    state = automaton.element(frame.state);
                    continue;
                }
            }
        } else {
            let kind = cursor.scalar(first)?;
            if open == 0 {
                return Err(Unmaskable::ClientBareScalar);
            }
            if let Some(rule) = state.matched() {
                push(&mut room.spans, start, cursor.at(), rule, kind)?;
            }
        }
        // A value has ended, or an empty container is about to: what follows belongs to the innermost container.
        loop {
            let innermost = open.checked_sub(1).and_then(|at| room.frames.get(at));
            let Some(frame) = innermost.copied() else {
                return cursor.end();
            };
            cursor.skip_space();
            match (frame.container, cursor.next()?) {
                (Container::Object, b',') => {
                    cursor.skip_space();
                    state = cursor.key(automaton, frame.state, &mut room.folded_key)?;
                    break;
                }
                (Container::Array, b',') => {
                    state = automaton.element(frame.state);
                    break;
                }
                (Container::Object, b'}') | (Container::Array, b']') => {
                    open = open.wrapping_sub(1);
                    if let Some((start, rule)) = frame.matched {
                        push(&mut room.spans, start, cursor.at(), rule, frame.kind())?;
                    }
                }
                _ => return Err(cursor.not_json_before()),
            }
        }
    }
}

pub(crate) fn push(
    spans: &mut Vec<Span>,
    start: u32,
    end: u32,
    rule: u16,
    kind: Kind,
) -> Result<(), Unmaskable> {
    // Of what a rule looks into, a number or literal holds nothing.
    if is_inner(rule) && kind != Kind::Text {
        return Ok(());
    }
    if spans.len() >= FIELDS_MAX {
        return Err(Unmaskable::LimitFields);
    }
    spans.push(Span {
        start,
        end,
        rule,
        kind,
    });
    Ok(())
}

struct Cursor<'a> {
    text: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline]
    fn at(&self) -> u32 {
        self.text.len().wrapping_sub(self.rest.len()) as u32
    }

    #[inline]
    fn skip_space(&mut self) {
        while let [b' ' | b'\n' | b'\r' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    #[inline]
    fn peek(&self) -> Result<u8, Unmaskable> {
        let first = self.rest.first().copied();
        first.ok_or(Unmaskable::ClientTruncated { at: self.at() })
    }

    #[inline]
    fn next(&mut self) -> Result<u8, Unmaskable> {
        match self.rest {
            [first, rest @ ..] => {
                self.rest = rest;
                Ok(*first)
            }
            [] => Err(Unmaskable::ClientTruncated { at: self.at() }),
        }
    }

    /// Space and nothing else to the end.
    fn end(&mut self) -> Result<(), Unmaskable> {
        self.skip_space();
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(Unmaskable::ClientTrailingBytes { at: self.at() })
    }

    /// A key and its colon; answers the state of the value that follows.
    #[inline]
    fn key(
        &mut self,
        automaton: &Automaton,
        from: State,
        folded_key: &mut Vec<u8>,
    ) -> Result<State, Unmaskable> {
        if self.next()? != b'"' {
            return Err(self.not_json_before());
        }
        let (content, spelling) = self.string()?;
        self.skip_space();
        if self.next()? != b':' {
            return Err(self.not_json_before());
        }
        Ok(automaton.member(from, content, spelling, folded_key))
    }

    /// The rest of a value that is no container and starts with `first`.
    #[inline]
    fn scalar(&mut self, first: u8) -> Result<Kind, Unmaskable> {
        match first {
            b'"' => self.string().map(|_| Kind::Text),
            b'-' | b'0'..=b'9' => self.number(first).map(|()| Kind::Number),
            b't' => self.literal(b"rue").map(|()| Kind::Boolean),
            b'f' => self.literal(b"alse").map(|()| Kind::Boolean),
            b'n' => self.literal(b"ull").map(|()| Kind::Null),
            _ => Err(self.not_json_before()),
        }
    }

    /// Behind the opening quote, to behind the closing one; answers what is between them.
    #[inline]
    fn string(&mut self) -> Result<(&'a [u8], Spelling), Unmaskable> {
        let whole = self.rest;
        let mut spelling = Spelling::Plain;
        loop {
            let plain = scan::plain_prefix_bytes(self.rest);
            match self.rest.get(plain..) {
                Some([b'"', rest @ ..]) => {
                    self.rest = rest;
                    let content_bytes = whole.len().wrapping_sub(rest.len()).wrapping_sub(1);
                    let content = whole.get(..content_bytes).unwrap_or_default();
                    return Ok((content, spelling));
                }
                Some([b'\\', rest @ ..]) => {
                    spelling = Spelling::Escaped;
                    self.rest = rest;
                    match scan::escape(rest) {
                        Some((_, rest)) => self.rest = rest,
                        None if rest.is_empty() => {
                            return Err(Unmaskable::ClientTruncated { at: self.at() });
                        }
                        None => return Err(Unmaskable::ClientBadEscape { at: self.at() }),
                    }
                }
                Some([_, rest @ ..]) => {
                    self.rest = rest;
                    return Err(self.not_json_before());
                }
                Some([]) | None => {
                    self.rest = &[];
                    return Err(Unmaskable::ClientTruncated { at: self.at() });
                }
            }
        }
    }

    #[inline]
    fn number(&mut self, first: u8) -> Result<(), Unmaskable> {
        let first = if first == b'-' { self.next()? } else { first };
        match first {
            b'0' => {}
            b'1'..=b'9' => self.skip_digits(),
            _ => return Err(self.not_json_before()),
        }
        if let [b'.', rest @ ..] = self.rest {
            self.rest = rest;
            self.digits()?;
        }
        if let [b'e' | b'E', rest @ ..] = self.rest {
            self.rest = rest;
            if let [b'+' | b'-', rest @ ..] = self.rest {
                self.rest = rest;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// At least one digit.
    #[inline]
    fn digits(&mut self) -> Result<(), Unmaskable> {
        if !self.next()?.is_ascii_digit() {
            return Err(self.not_json_before());
        }
        self.skip_digits();
        Ok(())
    }

    #[inline]
    fn skip_digits(&mut self) {
        while let [b'0'..=b'9', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    #[inline]
    fn literal(&mut self, rest_of_it: &[u8]) -> Result<(), Unmaskable> {
        match self.rest.strip_prefix(rest_of_it) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(self.not_json_before()),
        }
    }

    /// The byte before the cursor breaks the grammar.
    #[cold]
    fn not_json_before(&self) -> Unmaskable {
        Unmaskable::ClientNotJson {
            at: self.at().saturating_sub(1),
        }
    }
}
