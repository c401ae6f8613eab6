//! Replacing what was found: a field by its token, and in a string that holds a document the fields of that.
//!
//! Of such a string everything else stays byte for byte, its escapes as they are spelled; a string in a string, if anything
//! in it is replaced, keeps what it means. What a string holds is read as strictly as a whole value; if that fails, the whole
//! string becomes the text of a placeholder.

use crate::automaton::is_inner;
use crate::error::Unmaskable;
use crate::json::{find, placeholder};
use crate::limits::FIELDS_MAX;
use crate::plan::FieldPlan;
use crate::scan::{self, Piece, Pieces};
use crate::simd::Isa;
use crate::token::Kind;
use crate::walk::Room;

/// Memory for the documents in strings of one depth.
#[derive(Debug)]
pub(crate) struct Level {
    room: Room,
    /// The document, its escapes read.
    plain: Vec<u8>,
    /// What replaces one of its fields.
    token: Vec<u8>,
}

impl Level {
    pub(crate) fn new() -> Level {
        Level {
            room: Room::new(),
            plain: Vec::new(),
            token: Vec::new(),
        }
    }

    #[cfg(test)]
    pub(crate) fn room(&self) -> &Room {
        &self.room
    }

    pub(crate) fn shrink(&mut self, bytes_max: usize) {
        self.room.shrink(bytes_max);
        for buffer in [&mut self.plain, &mut self.token] {
            buffer.clear();
            buffer.shrink_to(bytes_max);
        }
    }
}

/// What became of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// What was appended takes its place.
    Done,
    /// It holds nothing to mask; nothing was appended.
    Not,
}

/// What becomes of a string to look into that is no document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoDocument {
    /// The text of a placeholder.
    Placeholder,
    /// Nothing: all that it stands in cannot be masked by its fields.
    Fault,
}

/// Writes the replacements of one value, and counts them.
pub(crate) struct Writer<'a> {
    plan: &'a FieldPlan,
    no_document: NoDocument,
    isa: Option<Isa>,
    fields: u32,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(
        plan: &'a FieldPlan,
        no_document: NoDocument,
        isa: Option<Isa>,
    ) -> Writer<'a> {
        Writer {
            plan,
            no_document,
            isa,
            fields: 0,
        }
    }

    pub(crate) fn fields(&self) -> u32 {
        self.fields
    }

    /// Appends what takes the place of one field, which is `raw` in its document. `levels` are those below that document.
    #[inline]
    pub(crate) fn replace(
        &mut self,
        rule: u16,
        kind: Kind,
        raw: &[u8],
        levels: &mut [Level],
        out: &mut Vec<u8>,
    ) -> Result<Replaced, Unmaskable> {
        if is_inner(rule) {
            return self.string(rule, raw, levels, out);
        }
        self.count()?;
        // There is one by construction; without it the value is withheld.
        let tokeniser = self.plan.tokeniser(rule);
        let tokeniser = tokeniser.ok_or(Unmaskable::LimitFields)?;
        tokeniser.append(kind, raw, out);
        Ok(Replaced::Done)
    }

    fn count(&mut self) -> Result<(), Unmaskable> {
        self.fields = self.fields.saturating_add(1);
        if self.fields as usize > FIELDS_MAX {
            return Err(Unmaskable::LimitFields);
        }
        Ok(())
    }

    /// A string that rules look into.
    #[inline(never)]
    fn string(
        &mut self,
        rule: u16,
        raw: &[u8],
        levels: &mut [Level],
        out: &mut Vec<u8>,
    ) -> Result<Replaced, Unmaskable> {
        let inner = self.plan.automaton().inner(rule);
        let (Some(inner), Some((level, deeper)), [b'"', content @ .., b'"']) =
            (inner, levels.split_first_mut(), raw)
        else {
            // A fault of ours: as deep as paths go there is a level, and only strings come here.
            return Err(Unmaskable::LimitDepth { at: 0 });
        };
        let Level { room, plain, token } = level;
        plain.clear();
        for piece in Pieces::new(content) {
            match piece {
                Piece::Plain(text) => plain.extend_from_slice(text),
                Piece::Escaped(character) => {
                    plain.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
        if let Err(fault) = find(self.plan.automaton(), inner.text, plain, self.isa, room) {
            if self.no_document == NoDocument::Fault {
                return Err(fault);
            }
            self.count()?;
            token.clear();
            placeholder(fault, token);
            out.push(b'"');
            escape(token, out);
            out.push(b'"');
            return Ok(Replaced::Done);
        }
        let (before, fields_before) = (out.len(), self.fields);
        let mut cursor = Cursor::new(content);
        out.push(b'"');
        for span in &room.spans {
            let (start, end) = (span.start as usize, span.end as usize);
            out.extend_from_slice(cursor.copy_to(start));
            token.clear();
            let field = plain.get(start..end).unwrap_or_default();
            if self.replace(span.rule, span.kind, field, deeper, token)? == Replaced::Done {
                escape(token, out);
                cursor.copy_to(end);
            }
        }
        out.extend_from_slice(cursor.copy_to(plain.len()));
        out.push(b'"');
        if self.fields == fields_before {
            out.truncate(before);
            return Ok(Replaced::Not);
        }
        Ok(Replaced::Done)
    }
}

/// Finds places of what a string means in how it is written.
struct Cursor<'a> {
    rest: &'a [u8],
    /// Bytes of the meaning that are behind it.
    passed: usize,
}

impl<'a> Cursor<'a> {
    fn new(content: &'a [u8]) -> Cursor<'a> {
        Cursor {
            rest: content,
            passed: 0,
        }
    }

    /// Moves to byte `to` of the meaning, and answers how what is before it is written.
    fn copy_to(&mut self, to: usize) -> &'a [u8] {
        let from = self.rest;
        while self.passed < to {
            if let [b'\\', rest @ ..] = self.rest
                && let Some((character, rest)) = scan::escape(rest)
            {
                self.passed = self.passed.saturating_add(character.len_utf8());
                self.rest = rest;
                continue;
            }
            let wanted = to.saturating_sub(self.passed);
            let ahead = self.rest.get(..wanted).unwrap_or(self.rest);
            let plain = ahead.iter().position(|byte| *byte == b'\\');
            let Some((_, rest)) = self.rest.split_at_checked(plain.unwrap_or(ahead.len())) else {
                break;
            };
            if rest.len() == self.rest.len() {
                break;
            }
            self.passed = self
                .passed
                .saturating_add(self.rest.len().saturating_sub(rest.len()));
            self.rest = rest;
        }
        let bytes = from.len().saturating_sub(self.rest.len());
        from.get(..bytes).unwrap_or_default()
    }
}

/// Appends a text as it is written in a JSON string, with no more escapes than must be.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0..=0x1f => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let low = DIGITS.get(usize::from(byte & 0xf)).copied();
                let high = b'0' | byte >> 4;
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[high, low.unwrap_or(b'0')]);
            }
            _ => out.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_its_place_through_every_spelling() {
        let content = r#"a\u00e9b\ud83d\ude00\n\"c"#;
        let mut cursor = Cursor::new(content.as_bytes());
        for (to, written) in [
            (0, ""),
            (1, "a"),
            (3, r"\u00e9"),
            (4, "b"),
            (8, r"\ud83d\ude00"),
            (10, r#"\n\""#),
            (11, "c"),
            (12, ""),
        ] {
            assert_eq!(cursor.copy_to(to), written.as_bytes(), "{to}");
        }
    }

    #[test]
    fn writes_what_another_parser_reads() {
        let text: String = (0..0x80_u8).map(char::from).chain("é😀".chars()).collect();
        let mut out = b"\"".to_vec();
        escape(text.as_bytes(), &mut out);
        out.push(b'"');
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
    }
}
