//! Masking of one record value.

use crate::error::Unmaskable;
use crate::limits::{TOKEN_FIELD_BYTES_MAX, VALUE_BYTES_MAX};
use crate::plan::MaskPlan;
use crate::simd::Isa;
use crate::tokens;
use crate::walk::{self, Room};

/// What masking did with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masked {
    /// The value holds none of the fields. It may pass as it is.
    Unchanged,
    /// So many fields were replaced; the new value is in `out`.
    Changed { fields: u32 },
}

/// Memory that [`mask_value`] reuses: one per masking job, not shared. Holds offsets and folded key names, no values.
#[derive(Debug)]
pub struct Scratch {
    room: Room,
    /// None: the portable walk does it all.
    isa: Option<Isa>,
}

impl Scratch {
    #[must_use]
    pub fn new() -> Scratch {
        Scratch {
            room: Room::new(),
            isa: Isa::available().next(),
        }
    }

    #[cfg(test)]
    pub(crate) fn with_isa(isa: Option<Isa>) -> Scratch {
        Scratch {
            room: Room::new(),
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
/// schema id, which is kept). Null values (tombstones) are the caller's business.
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
    if value.len() > VALUE_BYTES_MAX {
        return Err(Unmaskable::LimitValueBytes);
    }
    let (framing, text) = split_framing(value);
    let room = &mut scratch.room;
    let fast = scratch.isa.and_then(|isa| {
        tokens::walk(plan.automaton(), text, isa, room)?;
        (room.tokens.is_ascii() || simdutf8::basic::from_utf8(text).is_ok()).then_some(())
    });
    // Without an answer the portable walk gives it, and the reason.
    let portable = || check_encoding(text).and_then(|()| walk::walk(plan.automaton(), text, room));
    if let Err(fault) = fast.map_or_else(portable, Ok) {
        return Err(match framing {
            [] => fault,
            _ if is_refusal(fault) => fault,
            _ => Unmaskable::ClientFramedNotJson,
        });
    }
    if room.spans.is_empty() {
        return Ok(Masked::Unchanged);
    }
    let start = out.len();
    let copied = copy_masked(plan, framing, text, room, out);
    if copied.is_none() {
        // A span outside the text is a fault of ours; the value is withheld all the same.
        out.truncate(start);
        return Err(Unmaskable::LimitValueBytes);
    }
    Ok(Masked::Changed {
        fields: room.spans.len() as u32,
    })
}

/// Appends what is delivered in the place of a value that cannot be masked. It is a JSON object, never null: a null value
/// would be a tombstone, which deletes.
pub fn placeholder(reason: Unmaskable, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"sluice\":{\"masked\":\"");
    out.extend_from_slice(reason.name().as_bytes());
    out.extend_from_slice(b"\"}}");
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
    plan: &MaskPlan,
    framing: &[u8],
    text: &[u8],
    room: &Room,
    out: &mut Vec<u8>,
) -> Option<()> {
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
        out.extend_from_slice(text.get(copied..start)?);
        let tokeniser = plan.tokeniser(span.rule)?;
        tokeniser.append(span.kind, text.get(start..end)?, out);
        copied = end;
    }
    out.extend_from_slice(text.get(copied..)?);
    Some(())
}
