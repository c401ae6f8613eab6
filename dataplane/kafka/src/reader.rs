//! A bounded cursor over bytes that nobody vouches for.
//!
//! No method panics, none allocates, and no length read from the input is used before it is compared with what remains.

use std::ops::Range;

use crate::limits::ARRAY_COUNT_MAX;
use crate::{Flaw, Malformed};

/// How a version of a message writes strings, arrays and tags (KIP-482).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Fixed-width lengths, no tagged fields.
    Classic,
    /// Varint lengths, tagged fields after every struct.
    Flexible,
}

/// One entry of a tagged section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    pub number: u32,
    /// Where the entry starts; its size and value follow.
    pub at: usize,
}

/// Reads forward from a position. `position` counts from the start of the slice given to [`Reader::new`], so that spans of a
/// frame stay offsets into that frame.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bytes of the input behind these that have not arrived.
    to_come: usize,
}

impl<'a> Reader<'a> {
    /// A reader of `bytes` that starts at offset `at`; past the end it is simply empty.
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            at: at.min(bytes.len()),
            to_come: 0,
        }
    }

    /// The same for an input of which `to_come` more bytes have not arrived. A count is compared with all that remains of it;
    /// what needs one of the missing bytes is [`Flaw::Truncated`], as if the input ended here.
    pub(crate) fn arriving(bytes: &'a [u8], at: usize, to_come: usize) -> Self {
        Self {
            to_come,
            ..Self::new(bytes, at)
        }
    }

    /// Offset of the next byte.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Bytes that are left, arrived or not.
    pub fn remaining(&self) -> usize {
        self.bytes
            .len()
            .saturating_sub(self.at)
            .saturating_add(self.to_come)
    }

    /// Succeeds only at the very end.
    pub fn finish(&self) -> Result<(), Malformed> {
        if self.remaining() == 0 {
            Ok(())
        } else {
            Err(self.flaw(Flaw::BytesLeft))
        }
    }

    /// An error that names the current position.
    pub fn flaw(&self, flaw: Flaw) -> Malformed {
        Malformed { flaw, at: self.at }
    }

    /// The next `count` bytes.
    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.saturating_add(count);
        match self.bytes.get(self.at..end) {
            Some(bytes) => {
                self.at = end;
                Ok(bytes)
            }
            None => Err(self.flaw(Flaw::Truncated)),
        }
    }

    /// Steps over `count` bytes and says where they are.
    pub fn skip(&mut self, count: usize) -> Result<Range<usize>, Malformed> {
        let start = self.at;
        self.take(count)?;
        Ok(start..self.at)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match rest.first_chunk::<N>() {
            Some(bytes) => {
                self.at = self.at.saturating_add(N);
                Ok(*bytes)
            }
            None => Err(self.flaw(Flaw::Truncated)),
        }
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Big-endian signed 8-bit.
    pub fn i8(&mut self) -> Result<i8, Malformed> {
        self.array().map(i8::from_be_bytes)
    }

    /// Big-endian signed 16-bit.
    pub fn i16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    /// Big-endian signed 32-bit.
    #[inline]
    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    /// Big-endian unsigned 32-bit.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// Big-endian signed 64-bit.
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    /// A UUID, 16 bytes.
    pub fn uuid(&mut self) -> Result<[u8; 16], Malformed> {
        self.array()
    }

    /// Unsigned varint of 32 bits: at most five bytes, and no bit beyond the 32nd (parsers differ on what they do with those).
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32, Malformed> {
        let start = self.at;
        let first = self.u8()?;
        if first < 0x80 {
            return Ok(u32::from(first));
        }
        let mut value = u32::from(first & 0x7f);
        for shift in [7_u32, 14, 21, 28] {
            let byte = self.u8()?;
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= u32::from(byte & 0x7f).wrapping_shl(shift);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed {
            flaw: Flaw::VarintOversized,
            at: start,
        })
    }

    /// Zig-zag varint of 32 bits.
    #[inline]
    pub fn varint(&mut self) -> Result<i32, Malformed> {
        let raw = self.uvarint()?;
        Ok((raw.wrapping_shr(1) as i32) ^ ((raw & 1) as i32).wrapping_neg())
    }

    /// Zig-zag varint of 64 bits, at most ten bytes.
    #[inline]
    pub fn varlong(&mut self) -> Result<i64, Malformed> {
        let start = self.at;
        let mut raw: u64 = 0;
        for shift in [0_u32, 7, 14, 21, 28, 35, 42, 49, 56, 63] {
            let byte = self.u8()?;
            if shift == 63 && byte > 1 {
                break;
            }
            raw |= u64::from(byte & 0x7f).wrapping_shl(shift);
            if byte < 0x80 {
                return Ok((raw.wrapping_shr(1) as i64) ^ ((raw & 1) as i64).wrapping_neg());
            }
        }
        Err(Malformed {
            flaw: Flaw::VarintOversized,
            at: start,
        })
    }

    /// A string, or `None` for null. Only the one encoding of null is accepted.
    #[inline]
    pub fn string_nullable(&mut self, encoding: Encoding) -> Result<Option<&'a str>, Malformed> {
        let start = self.at;
        let length = match encoding {
            Encoding::Classic => self.i16()?.into(),
            Encoding::Flexible => self.compact_length()?,
        };
        let Some(bytes) = self.sized(length, start)? else {
            return Ok(None);
        };
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(Malformed {
                flaw: Flaw::NotUtf8,
                at: start,
            }),
        }
    }

    /// A string that may not be null.
    #[inline]
    pub fn string(&mut self, encoding: Encoding) -> Result<&'a str, Malformed> {
        let start = self.at;
        self.string_nullable(encoding)?.ok_or(Malformed {
            flaw: Flaw::NullForbidden,
            at: start,
        })
    }

    /// Bytes (also records), or `None` for null.
    #[inline]
    pub fn bytes_nullable(&mut self, encoding: Encoding) -> Result<Option<&'a [u8]>, Malformed> {
        let start = self.at;
        let length = self.bytes_length(encoding)?;
        self.sized(length, start)
    }

    /// What [`Reader::bytes_nullable`] starts with: how many bytes follow, or `None` for null. They need not have arrived.
    pub(crate) fn bytes_length_nullable(
        &mut self,
        encoding: Encoding,
    ) -> Result<Option<usize>, Malformed> {
        let start = self.at;
        let length = self.bytes_length(encoding)?;
        if length == -1 {
            return Ok(None);
        }
        match usize::try_from(length) {
            Ok(length) if length <= self.remaining() => Ok(Some(length)),
            Ok(_) => Err(self.flaw(Flaw::Truncated)),
            Err(_) => Err(Malformed {
                flaw: Flaw::LengthNegative,
                at: start,
            }),
        }
    }

    /// Bytes that may not be null.
    pub fn bytes(&mut self, encoding: Encoding) -> Result<&'a [u8], Malformed> {
        let start = self.at;
        self.bytes_nullable(encoding)?.ok_or(Malformed {
            flaw: Flaw::NullForbidden,
            at: start,
        })
    }

    /// An array's element count, or `None` for null. `element_bytes_min` is the least that one element takes; a count that
    /// cannot fit into what remains is an error, so a caller may allocate for it.
    #[inline]
    pub fn count_nullable(
        &mut self,
        encoding: Encoding,
        element_bytes_min: usize,
    ) -> Result<Option<usize>, Malformed> {
        let start = self.at;
        let count = match encoding {
            Encoding::Classic => self.i32()?.into(),
            Encoding::Flexible => self.compact_length()?,
        };
        if count == -1 {
            return Ok(None);
        }
        let count = usize::try_from(count).map_err(|_| Malformed {
            flaw: Flaw::LengthNegative,
            at: start,
        })?;
        if count > ARRAY_COUNT_MAX
            || count.saturating_mul(element_bytes_min.max(1)) > self.remaining()
        {
            return Err(Malformed {
                flaw: Flaw::CountOversized,
                at: start,
            });
        }
        Ok(Some(count))
    }

    /// The count of an array that may not be null.
    #[inline]
    pub fn count(
        &mut self,
        encoding: Encoding,
        element_bytes_min: usize,
    ) -> Result<usize, Malformed> {
        let start = self.at;
        self.count_nullable(encoding, element_bytes_min)?
            .ok_or(Malformed {
                flaw: Flaw::NullForbidden,
                at: start,
            })
    }

    /// A tagged section: calls `visit` with each tag and a reader bounded to its value, and returns how many there were.
    /// Tags must ascend (KIP-482), so none can occur twice. Whether a value was read to its end is for `visit` to say.
    pub fn tags(
        &mut self,
        mut visit: impl FnMut(Tag, Reader<'a>) -> Result<(), Malformed>,
    ) -> Result<u32, Malformed> {
        let start = self.at;
        let count = self.uvarint()?;
        // A tag takes two bytes: number and size.
        if (count as usize).saturating_mul(2) > self.remaining() {
            return Err(Malformed {
                flaw: Flaw::CountOversized,
                at: start,
            });
        }
        let mut previous: Option<u32> = None;
        for _ in 0..count {
            let at = self.at;
            let tag = self.uvarint()?;
            if previous.is_some_and(|previous| previous >= tag) {
                return Err(Malformed {
                    flaw: Flaw::TagsUnordered,
                    at,
                });
            }
            previous = Some(tag);
            let size = self.uvarint()? as usize;
            let span = self.skip(size)?;
            visit(
                Tag { number: tag, at },
                Reader {
                    bytes: self.bytes.get(..span.end).unwrap_or_default(),
                    at: span.start,
                    to_come: 0,
                },
            )?;
        }
        Ok(count)
    }

    /// The tagged section of a flexible encoding, of which no tag is known; returns how many there were.
    pub fn tags_skipped(&mut self, encoding: Encoding) -> Result<u32, Malformed> {
        match encoding {
            Encoding::Classic => Ok(0),
            Encoding::Flexible => self.tags(|_, _| Ok(())),
        }
    }

    #[inline]
    fn bytes_length(&mut self, encoding: Encoding) -> Result<i64, Malformed> {
        match encoding {
            Encoding::Classic => self.i32().map(i64::from),
            Encoding::Flexible => self.compact_length(),
        }
    }

    fn compact_length(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from(self.uvarint()?).wrapping_sub(1))
    }

    #[inline]
    fn sized(&mut self, length: i64, start: usize) -> Result<Option<&'a [u8]>, Malformed> {
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| Malformed {
            flaw: Flaw::LengthNegative,
            at: start,
        })?;
        self.take(length).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_agree_with_their_definition() {
        for value in [0, 1, -1, 63, 64, -64, -65, 300, i32::MAX, i32::MIN] {
            let mut bytes = Vec::new();
            crate::writer::put_varint(&mut bytes, value);
            assert_eq!(Reader::new(&bytes, 0).varint(), Ok(value));
            assert_eq!(Reader::new(&bytes, 0).varlong(), Ok(i64::from(value)));
        }
        for value in [i64::MAX, i64::MIN, 1 << 40] {
            let mut bytes = Vec::new();
            crate::writer::put_varlong(&mut bytes, value);
            assert_eq!(Reader::new(&bytes, 0).varlong(), Ok(value));
        }
    }

    #[test]
    fn rejects_varints_with_bits_beyond_their_type() {
        for bytes in [
            &[0xff, 0xff, 0xff, 0xff, 0x1f][..],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x00][..],
        ] {
            assert_eq!(
                Reader::new(bytes, 0).uvarint().unwrap_err().flaw,
                Flaw::VarintOversized
            );
        }
        let ten = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02];
        assert_eq!(
            Reader::new(&ten, 0).varlong().unwrap_err().flaw,
            Flaw::VarintOversized
        );
    }

    #[test]
    fn rejects_counts_that_cannot_fit() {
        let hostile = [0x7f, 0xff, 0xff, 0xff, 0, 0];
        assert_eq!(
            Reader::new(&hostile, 0)
                .count(Encoding::Classic, 1)
                .unwrap_err()
                .flaw,
            Flaw::CountOversized
        );
        let hostile = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(
            Reader::new(&hostile, 0)
                .count(Encoding::Flexible, 1)
                .unwrap_err()
                .flaw,
            Flaw::CountOversized
        );
    }

    #[test]
    fn accepts_only_one_encoding_of_null() {
        assert_eq!(
            Reader::new(&[0xff, 0xff], 0).string_nullable(Encoding::Classic),
            Ok(None)
        );
        assert_eq!(
            Reader::new(&[0xff, 0xfe], 0)
                .string_nullable(Encoding::Classic)
                .unwrap_err()
                .flaw,
            Flaw::LengthNegative
        );
        assert_eq!(
            Reader::new(&[0], 0)
                .string(Encoding::Flexible)
                .unwrap_err()
                .flaw,
            Flaw::NullForbidden
        );
    }

    #[test]
    fn rejects_tags_out_of_order() {
        assert_eq!(
            Reader::new(&[2, 1, 0, 0, 0], 0)
                .tags_skipped(Encoding::Flexible)
                .unwrap_err()
                .flaw,
            Flaw::TagsUnordered
        );
        assert_eq!(
            Reader::new(&[2, 1, 0, 1, 0], 0)
                .tags_skipped(Encoding::Flexible)
                .unwrap_err()
                .flaw,
            Flaw::TagsUnordered
        );
        assert_eq!(
            Reader::new(&[2, 1, 0, 2, 0], 0).tags_skipped(Encoding::Flexible),
            Ok(2)
        );
    }
}
