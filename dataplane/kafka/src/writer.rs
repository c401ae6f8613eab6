//! Appends Kafka's primitive types to a byte vector. Lengths that do not fit their field are cut, never wrapped: strings that
//! the gateway writes are its own or were read from a field of the same width.

use crate::reader::Encoding;

pub(crate) fn put_i16(out: &mut Vec<u8>, value: i16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_i32(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_be_bytes());
}

#[inline]
pub(crate) fn put_uvarint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value = value.wrapping_shr(7);
    }
    out.push(value as u8);
}

#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_uvarint(out, zigzag(value));
}

#[cfg(test)]
pub(crate) fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut value = ((value << 1) ^ (value >> 63)) as u64;
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes an unsigned varint over all of `field`, longer than need be if so is the field.
pub(crate) fn fill_uvarint(field: &mut [u8], mut value: u32) {
    let last = field.len().saturating_sub(1);
    for (at, byte) in field.iter_mut().enumerate() {
        let more = if at < last { 0x80 } else { 0 };
        *byte = (value & 0x7f) as u8 | more;
        value = value.wrapping_shr(7);
    }
}

/// Bytes that [`put_uvarint`] writes.
#[inline]
pub(crate) fn uvarint_bytes(value: u32) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x001f_ffff => 3,
        0x0020_0000..=0x0fff_ffff => 4,
        _ => 5,
    }
}

/// Bytes that [`put_varint`] writes.
#[inline]
pub(crate) fn varint_bytes(value: i32) -> usize {
    uvarint_bytes(zigzag(value))
}

fn zigzag(value: i32) -> u32 {
    (value.wrapping_shl(1) ^ value.wrapping_shr(31)) as u32
}

/// An array's count.
pub(crate) fn put_count(out: &mut Vec<u8>, encoding: Encoding, count: usize) {
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    match encoding {
        Encoding::Classic => put_i32(out, count),
        Encoding::Flexible => put_uvarint(out, (count as u32).saturating_add(1)),
    }
}

/// A string or null. In the classic encoding it is cut to what an `i16` can count, at a character's boundary.
pub(crate) fn put_string(out: &mut Vec<u8>, encoding: Encoding, text: Option<&str>) {
    match (encoding, text) {
        (Encoding::Classic, None) => put_i16(out, -1),
        (Encoding::Flexible, None) => put_uvarint(out, 0),
        (_, Some(text)) => {
            let text = text
                .get(..text.floor_char_boundary(i16::MAX as usize))
                .unwrap_or_default();
            match encoding {
                Encoding::Classic => put_i16(out, text.len() as i16),
                Encoding::Flexible => put_uvarint(out, (text.len() as u32).saturating_add(1)),
            }
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// Bytes that are not null.
pub(crate) fn put_bytes(out: &mut Vec<u8>, encoding: Encoding, bytes: &[u8]) {
    put_count(out, encoding, bytes.len());
    out.extend_from_slice(bytes);
}

/// The empty tagged section, where there is one.
pub(crate) fn put_no_tags(out: &mut Vec<u8>, encoding: Encoding) {
    if encoding == Encoding::Flexible {
        out.push(0);
    }
}

/// Where a frame began in a vector, so that its length can be written when it is known.
#[must_use]
pub(crate) struct FrameStart(usize);

/// Reserves the length field.
pub(crate) fn begin_frame(out: &mut Vec<u8>) -> FrameStart {
    let start = out.len();
    out.extend_from_slice(&[0; crate::frame::LENGTH_BYTES]);
    FrameStart(start)
}

/// Writes the length of everything since [`begin_frame`].
pub(crate) fn end_frame(out: &mut [u8], start: FrameStart) {
    let body_bytes = out
        .len()
        .saturating_sub(start.0)
        .saturating_sub(crate::frame::LENGTH_BYTES);
    set_i32(out, start.0, i32::try_from(body_bytes).unwrap_or(i32::MAX));
}

/// Overwrites four bytes at `at`; does nothing if they are not there.
pub(crate) fn set_i32(bytes: &mut [u8], at: usize, value: i32) {
    if let Some(slot) = bytes
        .get_mut(at..)
        .and_then(|rest| rest.first_chunk_mut::<4>())
    {
        *slot = value.to_be_bytes();
    }
}
