//! A bounded walk over a whole message, driven by tables of layouts.
//!
//! The decoder of cold messages allocates for a count before it looks at what remains, reads varints without an end and takes
//! some presence bytes for others than a broker does. So nothing reaches it that was not walked here first: every count is
//! compared with the bytes that remain and with [`ARRAY_COUNT_MAX`](crate::limits::ARRAY_COUNT_MAX), every string is UTF-8,
//! every varint ends, a presence byte is 1 or -1, a known tagged field fills its length, and the message ends where its bytes
//! end.

use std::borrow::Cow;
use std::ops::Range;

use crate::limits::{REQUEST_ELEMENTS_MAX, RESPONSE_ELEMENTS_MAX, SHAPE_DEPTH_MAX};
use crate::reader::{Encoding, Reader};
use crate::writer::put_uvarint;
use crate::{Flaw, Malformed, shapes};

/// What a walk found in a well-formed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Tagged fields that the layout does not know.
    pub unknown_tags_count: usize,
    /// Elements of all arrays, scalars apart.
    pub elements_count: usize,
}

/// Checks the body of a request, header excluded.
///
/// # Errors
/// [`Flaw::LayoutUnknown`] for an API or version that the gateway does not speak; otherwise what is wrong, and where in `body`.
pub fn check_request(api_key: i16, version: i16, body: &[u8]) -> Result<Checked, Malformed> {
    check(Walk::request(version), shapes::request(api_key), body)
}

/// Checks the body of a response, header excluded. Errors as [`check_request`].
pub fn check_response(api_key: i16, version: i16, body: &[u8]) -> Result<Checked, Malformed> {
    check(Walk::response(version), shapes::response(api_key), body)
}

/// Checks a request and leaves out what the layout does not know, so that nothing is passed on that was not understood:
/// tagged fields, and bytes behind the end, which brokers ignore (librdkafka's Metadata 11 to 13 has one). Borrows if there
/// were no such fields.
///
/// # Errors
/// As [`check_request`], and [`Flaw::TagNested`] for an unknown tagged field inside a known one.
pub fn strip_request(
    api_key: i16,
    version: i16,
    body: &[u8],
) -> Result<(Cow<'_, [u8]>, Checked), Malformed> {
    let message = shapes::request(api_key);
    let end = Walk::request(version).message(message, body)?.position();
    let body = body.get(..end).unwrap_or(body);
    strip(|| Walk::request(version), message, body)
}

/// Checks a response and leaves out what the layout does not know; see [`strip_request`].
pub fn strip_response(
    api_key: i16,
    version: i16,
    body: &[u8],
) -> Result<(Cow<'_, [u8]>, Checked), Malformed> {
    strip(|| Walk::response(version), shapes::response(api_key), body)
}

/// The layout of one message over the versions that the gateway speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message {
    versions: (i16, i16),
    flexible_from: i16,
    fields: &'static [Field],
}

/// One field of a message or struct.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    kind: Kind,
    versions: (i16, i16),
    nullable: (i16, i16),
    /// [`NO_TAG`] for a field that stands in line.
    tag: u32,
}

/// How a field is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// So many bytes.
    Fixed(u8),
    /// A string.
    Text,
    /// Bytes or records.
    Blob,
    Struct(&'static [Field]),
    Array(&'static Kind),
}

/// Tag of a field that stands in line. Tags are small numbers, so no field has it.
const NO_TAG: u32 = u32::MAX;

/// A field of versions `from` to `to` that is never null.
pub(crate) const fn field(kind: Kind, from: i16, to: i16) -> Field {
    Field {
        kind,
        versions: (from, to),
        nullable: (1, 0),
        tag: NO_TAG,
    }
}

/// The same field, null allowed in versions `from` to `to`.
pub(crate) const fn nullable(field: Field, from: i16, to: i16) -> Field {
    let Field {
        kind,
        versions,
        tag,
        ..
    } = field;
    Field {
        kind,
        versions,
        nullable: (from, to),
        tag,
    }
}

/// The same field, as a tagged one.
pub(crate) const fn tagged(field: Field, tag: u32) -> Field {
    let Field {
        kind,
        versions,
        nullable,
        ..
    } = field;
    Field {
        kind,
        versions,
        nullable,
        tag,
    }
}

pub(crate) const fn message(
    from: i16,
    to: i16,
    flexible_from: i16,
    fields: &'static [Field],
) -> Message {
    Message {
        versions: (from, to),
        flexible_from,
        fields,
    }
}

fn check(mut walk: Walk, message: Option<Message>, body: &[u8]) -> Result<Checked, Malformed> {
    walk.message(message, body)?.finish()?;
    Ok(Checked {
        unknown_tags_count: walk.unknown_tags_count,
        elements_count: walk.elements_count,
    })
}

fn strip(
    walk: impl Fn() -> Walk,
    message: Option<Message>,
    body: &[u8],
) -> Result<(Cow<'_, [u8]>, Checked), Malformed> {
    let checked = check(walk(), message, body)?;
    if checked.unknown_tags_count == 0 {
        return Ok((Cow::Borrowed(body), checked));
    }
    let mut walk = walk();
    walk.cuts = Some(Vec::new());
    walk.message(message, body)?;
    let mut out = Vec::with_capacity(body.len());
    let mut copied_to = 0;
    for cut in walk.cuts.unwrap_or_default() {
        out.extend_from_slice(body.get(copied_to..cut.section.start).unwrap_or_default());
        put_uvarint(&mut out, u32::try_from(cut.kept.len()).unwrap_or(u32::MAX));
        for kept in cut.kept {
            out.extend_from_slice(body.get(kept).unwrap_or_default());
        }
        copied_to = cut.section.end;
    }
    out.extend_from_slice(body.get(copied_to..).unwrap_or_default());
    Ok((Cow::Owned(out), checked))
}

/// One tagged section and the fields of it that stay, tag and size included.
struct Cut {
    section: Range<usize>,
    kept: Vec<Range<usize>>,
}

struct Walk {
    version: i16,
    encoding: Encoding,
    depth: usize,
    unknown_tags_count: usize,
    elements_count: usize,
    elements_max: usize,
    /// Tagged sections to write anew, in the order of the body; absent if nobody asked.
    cuts: Option<Vec<Cut>>,
}

impl Walk {
    fn request(version: i16) -> Self {
        Self::new(version, REQUEST_ELEMENTS_MAX)
    }

    fn response(version: i16) -> Self {
        Self::new(version, RESPONSE_ELEMENTS_MAX)
    }

    fn new(version: i16, elements_max: usize) -> Self {
        Self {
            version,
            encoding: Encoding::Classic,
            depth: 0,
            unknown_tags_count: 0,
            elements_count: 0,
            elements_max,
            cuts: None,
        }
    }

    /// Counts what the decoder will allocate for, before it does.
    fn elements(&mut self, count: usize, reader: &Reader<'_>) -> Result<(), Malformed> {
        self.elements_count = self.elements_count.saturating_add(count);
        if self.elements_count > self.elements_max {
            return Err(reader.flaw(Flaw::ElementsOversized));
        }
        Ok(())
    }

    /// Walks one message and returns the reader where it ends.
    fn message<'b>(
        &mut self,
        message: Option<Message>,
        body: &'b [u8],
    ) -> Result<Reader<'b>, Malformed> {
        let mut reader = Reader::new(body, 0);
        let message = message
            .filter(|message| contains(message.versions, self.version))
            .ok_or_else(|| reader.flaw(Flaw::LayoutUnknown))?;
        if self.version >= message.flexible_from {
            self.encoding = Encoding::Flexible;
        }
        self.fields(message.fields, &mut reader)?;
        Ok(reader)
    }

    fn fields(
        &mut self,
        fields: &'static [Field],
        reader: &mut Reader<'_>,
    ) -> Result<(), Malformed> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > SHAPE_DEPTH_MAX {
            return Err(reader.flaw(Flaw::TooDeep));
        }
        for field in fields {
            if field.tag == NO_TAG && contains(field.versions, self.version) {
                self.value(&field.kind, contains(field.nullable, self.version), reader)?;
            }
        }
        if self.encoding == Encoding::Flexible {
            self.tags(fields, reader)?;
        }
        self.depth = self.depth.saturating_sub(1);
        Ok(())
    }

    fn value(
        &mut self,
        kind: &'static Kind,
        nullable: bool,
        reader: &mut Reader<'_>,
    ) -> Result<(), Malformed> {
        match (kind, nullable) {
            (Kind::Fixed(bytes), _) => reader.skip((*bytes).into()).map(drop),
            (Kind::Text, true) => reader.string_nullable(self.encoding).map(drop),
            (Kind::Text, false) => reader.string(self.encoding).map(drop),
            (Kind::Blob, true) => reader.bytes_nullable(self.encoding).map(drop),
            (Kind::Blob, false) => reader.bytes(self.encoding).map(drop),
            (Kind::Struct(fields), false) => self.fields(fields, reader),
            (Kind::Struct(fields), true) => {
                let absent = reader.flaw(Flaw::PresenceUnknown);
                match reader.i8()? {
                    -1 => Ok(()),
                    1 => self.fields(fields, reader),
                    _ => Err(absent),
                }
            }
            (Kind::Array(element), nullable) => {
                // Every element takes at least a byte, so the walk is bounded by the input.
                let count = match nullable {
                    true => reader.count_nullable(self.encoding, 1)?.unwrap_or(0),
                    false => reader.count(self.encoding, 1)?,
                };
                if let Kind::Fixed(bytes) = element {
                    return reader.skip(count.saturating_mul((*bytes).into())).map(drop);
                }
                self.elements(count, reader)?;
                (0..count).try_for_each(|_| self.value(element, false, reader))
            }
        }
    }

    fn tags(&mut self, fields: &'static [Field], reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let start = reader.position();
        let mut kept = Vec::new();
        let mut unknown_count: usize = 0;
        reader.tags(|tag, mut value| {
            let known = fields
                .iter()
                .find(|field| field.tag == tag.number && contains(field.versions, self.version));
            let Some(field) = known else {
                unknown_count = unknown_count.saturating_add(1);
                return Ok(());
            };
            let unknown_before = self.unknown_tags_count;
            self.value(
                &field.kind,
                contains(field.nullable, self.version),
                &mut value,
            )?;
            value.finish().map_err(|left| Malformed {
                flaw: Flaw::TagLengthWrong,
                ..left
            })?;
            if self.cuts.is_some() {
                // Cutting inside a tagged field would change the length before it.
                if self.unknown_tags_count > unknown_before {
                    return Err(Malformed {
                        flaw: Flaw::TagNested,
                        at: tag.at,
                    });
                }
                kept.push(tag.at..value.position());
            }
            Ok(())
        })?;
        self.unknown_tags_count = self.unknown_tags_count.saturating_add(unknown_count);
        self.elements(unknown_count, reader)?;
        if let Some(cuts) = self.cuts.as_mut().filter(|_| unknown_count > 0) {
            cuts.push(Cut {
                section: start..reader.position(),
                kept,
            });
        }
        Ok(())
    }
}

fn contains(versions: (i16, i16), version: i16) -> bool {
    versions.0 <= version && version <= versions.1
}
