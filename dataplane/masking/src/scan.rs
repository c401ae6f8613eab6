//! Finding the end of a string fast, and reading its escapes.

use crate::token::Kind;

/// Bytes at the start of `bytes` that are neither `"`, `\` nor a control character.
///
/// Eight bytes at a time in a word.
#[inline]
pub(crate) fn plain_prefix_bytes(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    // The lowest marked byte is exact: a borrow runs only upwards.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
    let (words, tail) = bytes.as_chunks::<8>();
    let mut passed: usize = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let quote = zero(word ^ (ONES.wrapping_mul(0x22)));
        let backslash = zero(word ^ (ONES.wrapping_mul(0x5c)));
        let control = word.wrapping_sub(ONES.wrapping_mul(0x20)) & !word & TOPS;
        let special = quote | backslash | control;
        if special != 0 {
            return passed.wrapping_add((special.trailing_zeros() >> 3) as usize);
        }
        passed = passed.wrapping_add(8);
    }
    passed.wrapping_add(plain_prefix_bytes_slow(tail))
}

/// The number or literal that `bytes` starts with, and its length. After it there is nothing, or space.
#[inline]
pub(crate) fn scalar(bytes: &[u8]) -> Option<(Kind, usize)> {
    let (kind, rest) = match bytes {
        [b'-', digits @ ..] => (Kind::Number, unsigned_number(digits)?),
        [b'0'..=b'9', ..] => (Kind::Number, unsigned_number(bytes)?),
        [b't', b'r', b'u', b'e', rest @ ..] => (Kind::Boolean, rest),
        [b'f', b'a', b'l', b's', b'e', rest @ ..] => (Kind::Boolean, rest),
        [b'n', b'u', b'l', b'l', rest @ ..] => (Kind::Null, rest),
        _ => return None,
    };
    match rest {
        [] | [b' ' | b'\n' | b'\r' | b'\t', ..] => {
            Some((kind, bytes.len().wrapping_sub(rest.len())))
        }
        _ => None,
    }
}

/// What follows a number without its sign.
#[inline]
fn unsigned_number(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = match bytes {
        [b'0', rest @ ..] => rest,
        _ => digits(bytes)?,
    };
    if let [b'.', fraction @ ..] = rest {
        rest = digits(fraction)?;
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        rest = match exponent {
            [b'+' | b'-', exponent @ ..] => digits(exponent)?,
            _ => digits(exponent)?,
        };
    }
    Some(rest)
}

/// What follows one digit or more.
#[inline]
fn digits(bytes: &[u8]) -> Option<&[u8]> {
    let [b'0'..=b'9', rest @ ..] = bytes else {
        return None;
    };
    let mut rest = rest;
    while let [b'0'..=b'9', after @ ..] = rest {
        rest = after;
    }
    Some(rest)
}

/// One decoded escape and what follows it, or nothing if it is no escape of RFC 8259 or half a surrogate pair.
/// `bytes` starts after the backslash.
pub(crate) fn escape(bytes: &[u8]) -> Option<(char, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let character = match kind {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode_escape(rest),
        _ => return None,
    };
    Some((character, rest))
}

fn unicode_escape(bytes: &[u8]) -> Option<(char, &[u8])> {
    let (high, rest) = code_unit(bytes)?;
    // A low half alone is refused by `char`, which has no surrogates.
    if !(0xd800..=0xdbff).contains(&high) {
        return Some((char::from_u32(high)?, rest));
    }
    let (low, rest) = code_unit(rest.strip_prefix(b"\\u")?)?;
    let pair = [u16::try_from(high).ok()?, u16::try_from(low).ok()?];
    let character = char::decode_utf16(pair).next()?.ok()?;
    Some((character, rest))
}

fn code_unit(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(4)?;
    let unit = digits.iter().try_fold(0_u32, |unit, digit| {
        Some(unit << 4 | char::from(*digit).to_digit(16)?)
    })?;
    Some((unit, rest))
}

/// Part of a string's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    Plain(&'a [u8]),
    Escaped(char),
}

/// The pieces of a validated string's content, which add up to what the string means.
#[derive(Debug)]
pub(crate) struct Pieces<'a> {
    rest: &'a [u8],
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(content: &'a [u8]) -> Self {
        Pieces { rest: content }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if let [b'\\', rest @ ..] = self.rest
            && let Some((character, rest)) = escape(rest)
        {
            self.rest = rest;
            return Some(Piece::Escaped(character));
        }
        if self.rest.is_empty() {
            return None;
        }
        // At least one byte, so that content which was never validated cannot loop for ever.
        let bytes = self
            .rest
            .iter()
            .skip(1)
            .position(|byte| *byte == b'\\')
            .map_or(self.rest.len(), |at| at.saturating_add(1));
        let (plain, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(Piece::Plain(plain))
    }
}

fn plain_prefix_bytes_slow(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))
        .unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scans_to_the_same_byte_as_the_slow_way() {
        for length in 0..70 {
            for special in [
                0x00, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x5b, 0x5c, 0x5d, 0x7f, 0x80, 0x9c, 0xa2, 0xff,
            ] {
                for at in 0..length {
                    for fill in [b'a', 0x20, 0x80, 0xff] {
                        let mut bytes = vec![fill; length];
                        bytes[at] = special;
                        let expected = plain_prefix_bytes_slow(&bytes);
                        assert_eq!(plain_prefix_bytes(&bytes), expected, "{bytes:x?}");
                    }
                }
            }
        }
    }

    #[test]
    fn refuses_half_a_surrogate_pair_and_bad_digits() {
        for bad in [
            &b"ud800"[..],
            b"udc00",
            b"ud800\\u0041",
            b"ud800x",
            b"udbff\\udbff",
            b"u12",
            b"u+123",
            b"u00g0",
            b"x41",
            b"'",
            b"",
        ] {
            assert_eq!(escape(bad), None, "{bad:?}");
        }
        assert_eq!(escape(b"ud83d\\ude00!"), Some(('😀', &b"!"[..])));
        assert_eq!(escape(b"u0041\\"), Some(('A', &b"\\"[..])));
    }
}
