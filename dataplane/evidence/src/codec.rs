//! Evidence records as leaves: compact, deterministic, versioned.
//!
//! ```text
//! leaf  = version (1) | kind | time_unix_ns (8, little endian) | session (16, big endian) | field* | item*
//! field = key | varint             key = tag << 1        (signed numbers are zigzag-coded)
//!       | key | varint length | bytes                     key = tag << 1 | 1
//! item  = key 127 | varint length | field*
//! ```
//! Tags rise strictly and values that say nothing are left out, so that equal records are equal bytes. A reader skips
//! tags that it does not know: a verifier may be older than the log. What changes a meaning gets a new version.

mod json;
mod wire;

use crate::error::Error;
use crate::limits::{
    FRAME_HEADER_BYTES, HEAD_TEXT_BYTES_MAX, ITEM_TEXT_BYTES_MAX, LEAF_BYTES_MAX,
    RESOURCE_BYTES_MAX,
};
use crate::record::{Api, Item, ItemFlags, Kind, RecordHead, SessionId};
use crate::segment;
use wire::{
    Cursor, Field, fit, put_bytes, put_measured, put_number, put_optional, unzigzag, zigzag,
};

const VERSION: u8 = 1;
/// Version, kind, time and session.
const FIXED_BYTES: usize = 26;

const TAG_PART: u8 = 1;
const TAG_SEQUENCE: u8 = 2;
const TAG_ANSWERS: u8 = 3;
const TAG_PRINCIPAL: u8 = 4;
const TAG_CLIENT_ID: u8 = 5;
const TAG_PEER: u8 = 6;
const TAG_API_KEY: u8 = 7;
const TAG_API_VERSION: u8 = 8;
const TAG_INCARNATION: u8 = 9;
const TAG_REVISION: u8 = 10;
const TAG_REASON_CODE: u8 = 11;
const TAG_REASON: u8 = 12;
const TAG_DENIAL_ID: u8 = 13;
const KEY_ITEM: u8 = 127;

const TAG_OPERATION: u8 = 1;
const TAG_RESOURCE_KIND: u8 = 2;
const TAG_RESOURCE: u8 = 3;
const TAG_TOPIC_ID: u8 = 4;
const TAG_PARTITION: u8 = 5;
const TAG_FIRST_OFFSET: u8 = 6;
const TAG_LAST_OFFSET: u8 = 7;
const TAG_RECORDS_COUNT: u8 = 8;
const TAG_ERROR_CODE: u8 = 9;
const TAG_PRODUCER_ID: u8 = 10;
const TAG_PRODUCER_EPOCH: u8 = 11;
const TAG_BASE_SEQUENCE: u8 = 12;
const TAG_BATCH_CRC: u8 = 13;
const TAG_MASK_PLAN: u8 = 14;
const TAG_MASKED_FIELDS: u8 = 15;
const TAG_ITEM_REASON: u8 = 16;
const TAG_FLAGS: u8 = 17;

/// Writes one record to the end of a buffer of the caller, without an allocation of its own.
///
/// A writer that is dropped without [`Self::finish`] leaves half a record behind: call [`Self::abandon`] instead.
#[derive(Debug)]
#[must_use = "a record is complete only after `finish`"]
pub struct RecordWriter<'v> {
    out: &'v mut Vec<u8>,
    /// Where the frame, or the bare leaf, starts in `out`.
    start: usize,
    /// Where the leaf starts in `out`.
    leaf: usize,
}

impl<'v> RecordWriter<'v> {
    /// Starts a bare leaf.
    ///
    /// # Errors
    /// [`Error::RecordTextOversized`]; `out` is then as it was.
    pub fn begin(out: &'v mut Vec<u8>, head: &RecordHead<'_>) -> Result<Self, Error> {
        let start = out.len();
        Self::begin_at(out, head, start)
    }

    /// Starts a leaf with room for the frame of a segment before it, so that nothing is copied on the way to the disk.
    ///
    /// # Errors
    /// [`Error::RecordTextOversized`]; `out` is then as it was.
    pub fn begin_framed(out: &'v mut Vec<u8>, head: &RecordHead<'_>) -> Result<Self, Error> {
        let start = out.len();
        out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
        Self::begin_at(out, head, start)
    }

    fn begin_at(out: &'v mut Vec<u8>, head: &RecordHead<'_>, start: usize) -> Result<Self, Error> {
        if let Err(error) = check_head(head) {
            out.truncate(start);
            return Err(error);
        }
        let leaf = out.len();
        put_head(out, head);
        Ok(Self { out, start, leaf })
    }

    /// Adds one item.
    ///
    /// # Errors
    /// [`Error::RecordFull`] when the leaf would outgrow an entry of a bundle: the record is as before the call, and an
    /// empty record always has room for one item. [`Error::RecordTextOversized`].
    pub fn item(&mut self, item: &Item<'_>) -> Result<(), Error> {
        check_text("resource", item.resource, RESOURCE_BYTES_MAX)?;
        check_text("mask_plan", item.mask_plan, ITEM_TEXT_BYTES_MAX)?;
        check_text("item reason_code", item.reason_code, ITEM_TEXT_BYTES_MAX)?;
        let before = self.out.len();
        self.out.push(KEY_ITEM);
        put_measured(self.out, |out| put_item(out, item));
        if self.leaf_bytes() > LEAF_BYTES_MAX {
            self.out.truncate(before);
            return Err(Error::RecordFull);
        }
        Ok(())
    }

    /// Completes the record and says how long the leaf is.
    pub fn finish(self) -> usize {
        let bytes = self.leaf_bytes();
        if self.leaf > self.start {
            segment::seal_frame(self.out, self.start);
        }
        bytes
    }

    /// Takes back what was written.
    pub fn abandon(self) {
        self.out.truncate(self.start);
    }

    /// Length of the leaf so far.
    #[must_use]
    pub fn leaf_bytes(&self) -> usize {
        self.out.len().saturating_sub(self.leaf)
    }
}

/// A record that was decoded from a leaf, checked to its last byte, borrowing from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// What all kinds have in common.
    pub head: RecordHead<'a>,
    items: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads one leaf.
    ///
    /// # Errors
    /// [`Error::StoredRecordMalformed`] for anything that [`RecordWriter`] would not have written, unknown tags aside.
    pub fn decode(leaf: &'a [u8]) -> Result<Self, Error> {
        let mut cursor = Cursor { bytes: leaf, at: 0 };
        Self::read(&mut cursor).map_err(|flaw| Error::StoredRecordMalformed {
            flaw,
            at: cursor.at,
        })
    }

    /// What the record speaks of, in order.
    #[must_use]
    pub fn items(&self) -> Items<'a> {
        Items {
            cursor: Cursor {
                bytes: self.items,
                at: 0,
            },
        }
    }

    fn read(cursor: &mut Cursor<'a>) -> Result<Self, &'static str> {
        if cursor.bytes.len() > LEAF_BYTES_MAX {
            return Err("longer than a leaf can be");
        }
        if cursor.byte()? != VERSION {
            return Err("version is unknown");
        }
        let mut head = RecordHead {
            kind: Kind::from_code(cursor.byte()?).ok_or("kind is unknown")?,
            time_unix_ns: u64::from_le_bytes(cursor.array()?),
            session: SessionId(u128::from_be_bytes(cursor.array()?)),
            ..RecordHead::default()
        };
        let (mut api_key, mut api_version) = (None, None);
        let mut previous = 0;
        while let Some(field) = cursor.field(&mut previous)? {
            match field {
                Field::Number(TAG_PART, value) => head.part = present(fit(value)?)?,
                Field::Number(TAG_SEQUENCE, value) => head.sequence = present(value)?,
                Field::Number(TAG_ANSWERS, value) => head.answers = Some(value),
                Field::Bytes(TAG_PRINCIPAL, value) => {
                    head.principal = text(value, HEAD_TEXT_BYTES_MAX)?
                }
                Field::Bytes(TAG_CLIENT_ID, value) => {
                    head.client_id = text(value, HEAD_TEXT_BYTES_MAX)?
                }
                Field::Bytes(TAG_PEER, value) => head.peer = text(value, HEAD_TEXT_BYTES_MAX)?,
                Field::Number(TAG_API_KEY, value) => api_key = Some(fit(unzigzag(value))?),
                Field::Number(TAG_API_VERSION, value) => api_version = Some(fit(unzigzag(value))?),
                Field::Number(TAG_INCARNATION, value) => {
                    head.revision.incarnation = present(value)?
                }
                Field::Number(TAG_REVISION, value) => head.revision.number = present(value)?,
                Field::Bytes(TAG_REASON_CODE, value) => {
                    head.reason_code = text(value, HEAD_TEXT_BYTES_MAX)?
                }
                Field::Bytes(TAG_REASON, value) => head.reason = text(value, HEAD_TEXT_BYTES_MAX)?,
                Field::Bytes(TAG_DENIAL_ID, value) => {
                    head.denial_id = text(value, HEAD_TEXT_BYTES_MAX)?
                }
                Field::Number(1..=TAG_DENIAL_ID, _) | Field::Bytes(1..=TAG_DENIAL_ID, _) => {
                    return Err("field has the wrong form");
                }
                Field::Number(..) | Field::Bytes(..) => {}
            }
        }
        head.api = match (api_key, api_version) {
            (Some(key), Some(version)) => Some(Api { key, version }),
            (None, None) => None,
            _ => return Err("API key and version do not come together"),
        };
        let items = cursor.bytes.get(cursor.at..).unwrap_or_default();
        while cursor.at < cursor.bytes.len() {
            read_item(cursor)?;
        }
        Ok(Self { head, items })
    }
}

/// The items of a record.
#[derive(Debug, Clone)]
pub struct Items<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        // The bytes were checked by `decode`; an end is the only thing that can still come.
        read_item(&mut self.cursor).ok()
    }
}

fn check_head(head: &RecordHead<'_>) -> Result<(), Error> {
    for (field, value) in [
        ("principal", head.principal),
        ("client_id", head.client_id),
        ("peer", head.peer),
        ("reason_code", head.reason_code),
        ("reason", head.reason),
        ("denial_id", head.denial_id),
    ] {
        check_text(field, value, HEAD_TEXT_BYTES_MAX)?;
    }
    Ok(())
}

fn check_text(field: &'static str, value: &str, bytes_max: usize) -> Result<(), Error> {
    if value.len() > bytes_max {
        return Err(Error::RecordTextOversized {
            field,
            bytes: value.len(),
            bytes_max,
        });
    }
    Ok(())
}

fn put_head(out: &mut Vec<u8>, head: &RecordHead<'_>) {
    out.push(VERSION);
    out.push(head.kind.code());
    out.extend_from_slice(&head.time_unix_ns.to_le_bytes());
    out.extend_from_slice(&head.session.0.to_be_bytes());
    put_number(out, TAG_PART, head.part.into());
    put_number(out, TAG_SEQUENCE, head.sequence);
    put_optional(out, TAG_ANSWERS, head.answers);
    put_bytes(out, TAG_PRINCIPAL, head.principal.as_bytes());
    put_bytes(out, TAG_CLIENT_ID, head.client_id.as_bytes());
    put_bytes(out, TAG_PEER, head.peer.as_bytes());
    put_optional(out, TAG_API_KEY, head.api.map(|api| zigzag(api.key.into())));
    put_optional(
        out,
        TAG_API_VERSION,
        head.api.map(|api| zigzag(api.version.into())),
    );
    put_number(out, TAG_INCARNATION, head.revision.incarnation);
    put_number(out, TAG_REVISION, head.revision.number);
    put_bytes(out, TAG_REASON_CODE, head.reason_code.as_bytes());
    put_bytes(out, TAG_REASON, head.reason.as_bytes());
    put_bytes(out, TAG_DENIAL_ID, head.denial_id.as_bytes());
}

fn put_item(out: &mut Vec<u8>, item: &Item<'_>) {
    put_number(out, TAG_OPERATION, item.operation.into());
    put_number(out, TAG_RESOURCE_KIND, item.resource_kind.into());
    put_bytes(out, TAG_RESOURCE, item.resource.as_bytes());
    if let Some(id) = &item.topic_id {
        put_bytes(out, TAG_TOPIC_ID, id);
    }
    // -1 means none and is left out: every number is moved up by one before it is zigzag-coded.
    put_number(out, TAG_PARTITION, shifted(item.partition.into()));
    put_number(out, TAG_FIRST_OFFSET, shifted(item.first_offset));
    put_number(out, TAG_LAST_OFFSET, shifted(item.last_offset));
    put_number(out, TAG_RECORDS_COUNT, item.records_count.into());
    put_number(out, TAG_ERROR_CODE, zigzag(item.error_code.into()));
    put_number(out, TAG_PRODUCER_ID, shifted(item.producer_id));
    put_number(out, TAG_PRODUCER_EPOCH, shifted(item.producer_epoch.into()));
    put_number(out, TAG_BASE_SEQUENCE, shifted(item.base_sequence.into()));
    put_optional(out, TAG_BATCH_CRC, item.batch_crc.map(u64::from));
    put_bytes(out, TAG_MASK_PLAN, item.mask_plan.as_bytes());
    put_number(out, TAG_MASKED_FIELDS, item.masked_fields_count.into());
    put_bytes(out, TAG_ITEM_REASON, item.reason_code.as_bytes());
    put_number(out, TAG_FLAGS, item.flags.bits().into());
}

fn read_item<'a>(cursor: &mut Cursor<'a>) -> Result<Item<'a>, &'static str> {
    if cursor.byte()? != KEY_ITEM {
        return Err("field after the first item");
    }
    let length = cursor.length()?;
    let start = cursor.at;
    let mut inner = Cursor {
        bytes: cursor.take(length)?,
        at: 0,
    };
    let item = read_item_fields(&mut inner);
    if item.is_err() {
        cursor.at = start.saturating_add(inner.at);
    }
    item
}

fn read_item_fields<'a>(cursor: &mut Cursor<'a>) -> Result<Item<'a>, &'static str> {
    let mut item = Item::default();
    let mut previous = 0;
    while let Some(field) = cursor.field(&mut previous)? {
        match field {
            Field::Number(TAG_OPERATION, value) => item.operation = present(fit(value)?)?,
            Field::Number(TAG_RESOURCE_KIND, value) => item.resource_kind = present(fit(value)?)?,
            Field::Bytes(TAG_RESOURCE, value) => item.resource = text(value, RESOURCE_BYTES_MAX)?,
            Field::Bytes(TAG_TOPIC_ID, value) => {
                item.topic_id = Some(
                    value
                        .try_into()
                        .map_err(|_| "topic id is not 16 bytes long")?,
                );
            }
            Field::Number(TAG_PARTITION, value) => item.partition = fit(unshifted(value)?)?,
            Field::Number(TAG_FIRST_OFFSET, value) => item.first_offset = unshifted(value)?,
            Field::Number(TAG_LAST_OFFSET, value) => item.last_offset = unshifted(value)?,
            Field::Number(TAG_RECORDS_COUNT, value) => item.records_count = present(fit(value)?)?,
            Field::Number(TAG_ERROR_CODE, value) => {
                item.error_code = fit(unzigzag(present(value)?))?
            }
            Field::Number(TAG_PRODUCER_ID, value) => item.producer_id = unshifted(value)?,
            Field::Number(TAG_PRODUCER_EPOCH, value) => {
                item.producer_epoch = fit(unshifted(value)?)?
            }
            Field::Number(TAG_BASE_SEQUENCE, value) => item.base_sequence = fit(unshifted(value)?)?,
            Field::Number(TAG_BATCH_CRC, value) => item.batch_crc = Some(fit(value)?),
            Field::Bytes(TAG_MASK_PLAN, value) => {
                item.mask_plan = text(value, ITEM_TEXT_BYTES_MAX)?
            }
            Field::Number(TAG_MASKED_FIELDS, value) => {
                item.masked_fields_count = present(fit(value)?)?
            }
            Field::Bytes(TAG_ITEM_REASON, value) => {
                item.reason_code = text(value, ITEM_TEXT_BYTES_MAX)?
            }
            Field::Number(TAG_FLAGS, value) => {
                item.flags = ItemFlags::from_bits(present(fit(value)?)?)
            }
            Field::Number(1..=TAG_FLAGS, _) | Field::Bytes(1..=TAG_FLAGS, _) => {
                return Err("field of an item has the wrong form");
            }
            Field::Number(..) | Field::Bytes(..) => {}
        }
    }
    if cursor.at < cursor.bytes.len() {
        return Err("item inside an item");
    }
    Ok(item)
}

/// So that -1 becomes 0, which is left out. The largest number wraps around to the smallest and back.
fn shifted(value: i64) -> u64 {
    zigzag(value.wrapping_add(1))
}

fn unshifted(value: u64) -> Result<i64, &'static str> {
    Ok(unzigzag(present(value)?).wrapping_sub(1))
}

fn present<T: PartialEq + Default>(value: T) -> Result<T, &'static str> {
    if value == T::default() {
        Err("value that says nothing")
    } else {
        Ok(value)
    }
}

fn text(bytes: &[u8], bytes_max: usize) -> Result<&str, &'static str> {
    if bytes.is_empty() {
        return Err("text that says nothing");
    }
    if bytes.len() > bytes_max {
        return Err("text is longer than its limit");
    }
    std::str::from_utf8(bytes).map_err(|_| "text is not UTF-8")
}

const _: () = assert!(FIXED_BYTES + 13 * 11 <= crate::limits::FIXED_BYTES_MAX);
// Topic id with its key and length, fifteen numbers of at most ten bytes, each with a key.
const _: () = assert!(18 + 15 * 11 <= crate::limits::FIXED_BYTES_MAX);

#[cfg(test)]
mod tests;
