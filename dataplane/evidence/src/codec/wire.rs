//! Fields, numbers and lengths: what leaves are made of.

use super::KEY_ITEM;

pub(super) fn put_number(out: &mut Vec<u8>, tag: u8, value: u64) {
    if value != 0 {
        put_optional(out, tag, Some(value));
    }
}

pub(super) fn put_optional(out: &mut Vec<u8>, tag: u8, value: Option<u64>) {
    if let Some(value) = value {
        out.push(tag << 1);
        put_varint(out, value);
    }
}

pub(super) fn put_bytes(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    if !value.is_empty() {
        out.push(tag << 1 | 1);
        put_varint(out, value.len() as u64);
        out.extend_from_slice(value);
    }
}

/// LEB128, as short as possible.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes what `body` writes behind its length. One byte is set aside for that, which is nearly always enough.
pub(super) fn put_measured(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.push(0);
    body(out);
    let end = out.len();
    let mut length = end.saturating_sub(at).saturating_sub(1) as u64;
    let mut place = at;
    while length >= 0x80 {
        out.push(0);
        let from = place.saturating_add(1)..out.len().saturating_sub(1);
        out.copy_within(from, place.saturating_add(2));
        if let Some(byte) = out.get_mut(place) {
            *byte = length as u8 | 0x80;
        }
        length >>= 7;
        place = place.saturating_add(1);
    }
    if let Some(byte) = out.get_mut(place) {
        *byte = length as u8;
    }
}

pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

pub(super) fn fit<T: TryFrom<V>, V>(value: V) -> Result<T, &'static str> {
    T::try_from(value).map_err(|_| "number is larger than its field")
}

/// One field: its tag and its value.
pub(super) enum Field<'a> {
    Number(u8, u64),
    Bytes(u8, &'a [u8]),
}

/// `0 <= at <= bytes.len()`.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    /// The next field, or `None` at the end or before an item.
    pub(super) fn field(&mut self, previous: &mut u8) -> Result<Option<Field<'a>>, &'static str> {
        match self.bytes.get(self.at) {
            None | Some(&KEY_ITEM) => return Ok(None),
            Some(_) => {}
        }
        let key = self.byte()?;
        if key & 0x80 != 0 {
            return Err("tag is out of range");
        }
        let tag = key >> 1;
        if tag <= *previous {
            return Err("tags do not rise");
        }
        *previous = tag;
        Ok(Some(if key & 1 == 0 {
            Field::Number(tag, self.varint()?)
        } else {
            let length = self.length()?;
            Field::Bytes(tag, self.take(length)?)
        }))
    }

    pub(super) fn byte(&mut self) -> Result<u8, &'static str> {
        let byte = *self.bytes.get(self.at).ok_or("ends too early")?;
        self.at = self.at.saturating_add(1);
        Ok(byte)
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let end = self.at.checked_add(count).ok_or("length is too large")?;
        let taken = self.bytes.get(self.at..end).ok_or("ends too early")?;
        self.at = end;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        self.take(N)?.try_into().map_err(|_| "ends too early")
    }

    pub(super) fn length(&mut self) -> Result<usize, &'static str> {
        fit(self.varint()?)
    }

    fn varint(&mut self) -> Result<u64, &'static str> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return Err("varint is longer than 64 bits");
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err("varint is longer than it needs to be");
                }
                return Ok(value);
            }
        }
        Err("varint is longer than 64 bits")
    }
}
