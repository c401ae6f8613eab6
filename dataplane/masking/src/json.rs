//! Masking of the parts of one record.

use crate::automaton::{Automaton, State};
use crate::error::Unmaskable;
use crate::inner::{Level, NoDocument, Replaced, Writer};
use crate::limits::{TOKEN_FIELD_BYTES_MAX, VALUE_BYTES_MAX};
use crate::plan::{FieldPlan, MaskPlan};
use crate::simd::Isa;
use crate::tokens;
use crate::walk::{self, Room};

/// What masking did with a value or a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masked {
    /// The value holds none of the fields. It may pass as it is.
    Unchanged,
    /// So many fields were replaced; the new value is in `out`.
    Changed { fields: u32 },
}

/// Memory that [`mask_value`] reuses: one per masking job, not shared. Holds offsets, folded key names, and what the last
/// strings held that were looked into.
#[derive(Debug)]
pub struct Scratch {
    room: Room,
    /// One for each depth of strings in strings.
    inner: Vec<Level>,
    /// None: the portable walk does it all.
    isa: Option<Isa>,
}

impl Scratch {
    #[must_use]
    pub fn new() -> Scratch {
        Scratch {
            room: Room::new(),
            inner: Vec::new(),
            isa: Isa::available().next(),
        }
    }

    /// Gives memory back that a long value left behind, down to `bytes_max` for each of its buffers.
    pub fn shrink(&mut self, bytes_max: usize) {
        self.room.shrink(bytes_max);
        for level in &mut self.inner {
            level.shrink(bytes_max);
        }
    }

    #[cfg(test)]
    pub(crate) fn with_isa(isa: Option<Isa>) -> Scratch {
        Scratch {
            room: Room::new(),
            inner: Vec::new(),
            isa,
        }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch::new()
    }
}

/// Masks one record value: a JSON object or array, bare or behind the framing of a schema registry (byte 0 and a 4-byte
/// schema id, which is kept). Null values (tombstones) are the caller's business. A plan without rules for values leaves them
/// alone, whatever they are.
///
/// On [`Masked::Changed`] the whole new value was appended to `out`; what is no masked field is in it byte for byte.
/// Otherwise nothing was appended. Allocates only to grow `scratch` and `out`.
///
/// # Errors
/// [`Unmaskable`]: the value cannot be proven to hold no named field, so it must not be passed on.
pub fn mask_value(
    plan: &MaskPlan,
    value: &[u8],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<Masked, Unmaskable> {
    match plan.value() {
        Some(fields) => mask_document(fields, NoDocument::Placeholder, value, scratch, out),
        None => Ok(Masked::Unchanged),
    }
}

/// Masks one record key: whole, or as a document as [`mask_value`] does. One that is no document is replaced whole by its
/// token, not by a placeholder, and so is one with a string to look into that is none: different keys stay different. Null
/// keys are the caller's business.
pub fn mask_key(plan: &MaskPlan, key: &[u8], scratch: &mut Scratch, out: &mut Vec<u8>) -> Masked {
    let Some((fields, whole)) = plan.key() else {
        return Masked::Unchanged;
    };
    let masked = fields.map(|fields| mask_document(fields, NoDocument::Fault, key, scratch, out));
    if let Some(Ok(masked)) = masked {
        return masked;
    }
    whole.append_bare(key, out);
    Masked::Changed { fields: 1 }
}

/// Appends the token of a header's value, if the plan names the header. Null values are the caller's business.
pub fn mask_header(plan: &MaskPlan, name: &str, value: &[u8], out: &mut Vec<u8>) -> Masked {
    match plan.header(name) {
        Some(tokeniser) => {
            tokeniser.append_bare(value, out);
            Masked::Changed { fields: 1 }
        }
        None => Masked::Unchanged,
    }
}

fn mask_document(
    plan: &FieldPlan,
    no_document: NoDocument,
    value: &[u8],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<Masked, Unmaskable> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(Unmaskable::LimitValueBytes);
    }
    let (framing, text) = split_framing(value);
    let Scratch { room, inner, isa } = scratch;
    if let Err(fault) = find(plan.automaton(), plan.automaton().start(), text, *isa, room) {
        return Err(match framing {
            [] => fault,
            _ if is_refusal(fault) => fault,
            _ => Unmaskable::ClientFramedNotJson,
        });
    }
    if room.spans.is_empty() {
        return Ok(Masked::Unchanged);
    }
    while inner.len() < plan.json_depth() {
        inner.push(Level::new());
    }
    let start = out.len();
    let mut writer = Writer::new(plan, no_document, *isa);
    match copy_masked(&mut writer, framing, text, room, inner, out) {
        Ok(()) if writer.fields() > 0 => Ok(Masked::Changed {
            fields: writer.fields(),
        }),
        Ok(()) => {
            out.truncate(start);
            Ok(Masked::Unchanged)
        }
        Err(fault) => {
            out.truncate(start);
            Err(fault)
        }
    }
}

/// Leaves the masked fields of a document in `room.spans`, and the strings in it to look into.
#[inline]
pub(crate) fn find(
    automaton: &Automaton,
    start: State,
    text: &[u8],
    isa: Option<Isa>,
    room: &mut Room,
) -> Result<(), Unmaskable> {
    let fast = isa.and_then(|isa| {
        tokens::walk(automaton, start, text, isa, room)?;
        (room.tokens.is_ascii() || simdutf8::basic::from_utf8(text).is_ok()).then_some(())
    });
    // Without an answer the portable walk gives it, and the reason.
    let portable = || check_encoding(text).and_then(|()| walk::walk(automaton, start, text, room));
    fast.map_or_else(portable, Ok)
}

/// Appends what is delivered in the place of a value that cannot be masked. It is a JSON object, never null: a null value
/// would be a tombstone, which deletes.
pub fn placeholder(reason: Unmaskable, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"sluice\":{\"masked\":\"");
    out.extend_from_slice(reason.name().as_bytes());
    out.extend_from_slice(b"\"}}");
}

/// Whether it is a [`placeholder`] for whatever reason.
pub(crate) fn is_placeholder(text: &str) -> bool {
    let reason = text
        .strip_prefix("{\"sluice\":{\"masked\":\"")
        .and_then(|rest| rest.strip_suffix("\"}}"));
    reason.is_some_and(|reason| ["unparsable", "unknown-format", "over-limit"].contains(&reason))
}

/// The framing of a schema registry, if there is one, and the rest.
pub(crate) fn split_framing(value: &[u8]) -> (&[u8], &[u8]) {
    match value {
        [0, _, _, _, _, ..] => value.split_at_checked(5).unwrap_or((&[], value)),
        _ => (&[], value),
    }
}

/// UTF-8 and nothing that another encoding could be detected by. A byte order mark is refused, because what consumers do
/// with it differs (RFC 8259, 8.1).
fn check_encoding(text: &[u8]) -> Result<(), Unmaskable> {
    if text.starts_with(b"\xef\xbb\xbf") {
        return Err(Unmaskable::ClientNotUtf8 { at: 0 });
    }
    if let Err(fault) = std::str::from_utf8(text) {
        return Err(Unmaskable::ClientNotUtf8 {
            at: fault.valid_up_to() as u32,
        });
    }
    // UTF-16 and UTF-32 of a JSON text have a NUL among their first two bytes; further on it breaks the grammar.
    match text.iter().take(2).position(|byte| *byte == 0) {
        Some(at) => Err(Unmaskable::ClientNotUtf8 { at: at as u32 }),
        None => Ok(()),
    }
}

fn is_refusal(fault: Unmaskable) -> bool {
    matches!(
        fault,
        Unmaskable::LimitValueBytes | Unmaskable::LimitDepth { .. } | Unmaskable::LimitFields
    )
}

fn copy_masked(
    writer: &mut Writer<'_>,
    framing: &[u8],
    text: &[u8],
    room: &Room,
    inner: &mut [Level],
    out: &mut Vec<u8>,
) -> Result<(), Unmaskable> {
    // A span outside the text is a fault of ours; the value is withheld all the same.
    const FAULT: Unmaskable = Unmaskable::LimitValueBytes;
    let tokens_bytes_max = room.spans.len().saturating_mul(TOKEN_FIELD_BYTES_MAX);
    out.reserve(
        framing
            .len()
            .saturating_add(text.len())
            .saturating_add(tokens_bytes_max),
    );
    out.extend_from_slice(framing);
    let mut copied: usize = 0;
    for span in &room.spans {
        let (start, end) = (span.start as usize, span.end as usize);
        out.extend_from_slice(text.get(copied..start).ok_or(FAULT)?);
        let field = text.get(start..end).ok_or(FAULT)?;
        if writer.replace(span.rule, span.kind, field, inner, out)? == Replaced::Not {
            out.extend_from_slice(field);
        }
        copied = end;
    }
    out.extend_from_slice(text.get(copied..).ok_or(FAULT)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DomainKey, KeyRing, MaskRule, Target, TokenLength, TokenShape};

    fn plan(paths: &[&str]) -> MaskPlan {
        let mut ring = KeyRing::new();
        ring.insert("d", DomainKey::derive(&[7; 32], "d", 1))
            .unwrap();
        let rules = paths.iter().map(|path| MaskRule {
            target: Target::Value(path),
            shape: TokenShape::Opaque,
            length: TokenLength::Own,
            domain: "d",
        });
        MaskPlan::compile(&rules.collect::<Vec<_>>(), &ring).unwrap()
    }

    #[test]
    fn long_keys_and_many_fields_leave_no_memory_behind() {
        let plan = plan(&["$.k", "$.a[*]", "$.p.$json.a[*]", "$.p.$json.k"]);
        let fields = vec!["1"; 10_000].join(",");
        let long_key = "\u{e9}".repeat(100_000);
        let document = format!(r#"{{"{long_key}":1,"a":[{fields}]}}"#);
        let quoted = serde_json::to_string(&document).unwrap();
        let value = format!(r#"{{"{long_key}":1,"a":[{fields}],"p":{quoted}}}"#);
        for isa in Isa::tested().map(Some).chain([None]) {
            let mut scratch = Scratch::with_isa(isa);
            let masked = mask_value(&plan, value.as_bytes(), &mut scratch, &mut Vec::new());
            assert_eq!(masked, Ok(Masked::Changed { fields: 20_000 }));
            let folded = |scratch: &Scratch| {
                let inner = scratch.inner.iter().map(Level::room);
                let rooms = inner.chain([&scratch.room]);
                rooms.map(|room| room.folded_key.capacity()).max().unwrap()
            };
            assert!(folded(&scratch) < 64, "{}", folded(&scratch));
            scratch.shrink(100);
            let inner = scratch.inner.iter().map(Level::room);
            for room in inner.chain([&scratch.room]) {
                assert!(room.spans.capacity() * size_of::<walk::Span>() <= 100);
                assert!(room.folded_key.capacity() <= 100);
            }
        }
    }
}
