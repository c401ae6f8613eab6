//! Tokens that look like the number they stand for: other digits in the places of the digits, all else as it was.
//!
//! Not a permutation: two values of n digits have the same token with chance 10⁻ⁿ, and a token may be its own value. There
//! is no room for the key's version.

use crate::scan::{Piece, Pieces};
use crate::token::Kind;

/// Bytes of a text that is taken for digits, when its escapes are read. A longer one is no card, phone or account number.
const TEXT_BYTES_MAX: usize = 64;

/// Digits of such a text: what a code of 128 bits gives without a bias that could be seen.
const DIGITS_MAX: usize = 32;

/// Digits of a JSON number that stays one: whatever they are, it fits 64 bits with a sign.
const NUMBER_DIGITS_MAX: usize = 18;

/// What may stand between digits. Letters may not: they would be delivered in clear.
const SEPARATORS: &[u8] = b" -./+()_,:";

/// Appends the token for a field, as it stands in the document, from its code. Answers whether the field is digits; nothing
/// is appended if not.
pub(crate) fn append(kind: Kind, raw: &[u8], code: u128, out: &mut Vec<u8>) -> bool {
    match (kind, raw) {
        (Kind::Text, [b'"', content @ .., b'"']) => {
            let pieces = Pieces::new(content);
            let mut text = [0; TEXT_BYTES_MAX];
            let Some(text) = read(pieces, &mut text) else {
                return false;
            };
            out.push(b'"');
            append_text(text, code, out);
            out.push(b'"');
            true
        }
        (Kind::Number, _) => append_number(raw, code, out),
        _ => false,
    }
}

/// As [`append`] for a text that stands alone, without quotes and escapes.
pub(crate) fn append_bare(text: &[u8], code: u128, out: &mut Vec<u8>) -> bool {
    let is_digits = text.len() <= TEXT_BYTES_MAX && is_digits(text);
    if is_digits {
        append_text(text, code, out);
    }
    is_digits
}

/// The text that pieces add up to, if it is digits and separators.
fn read<'a>(pieces: Pieces<'_>, room: &'a mut [u8; TEXT_BYTES_MAX]) -> Option<&'a [u8]> {
    let mut filled: usize = 0;
    for piece in pieces {
        let mut one = [0; 4];
        let bytes = match piece {
            Piece::Plain(text) => text,
            Piece::Escaped(character) => character.encode_utf8(&mut one).as_bytes(),
        };
        let end = filled.checked_add(bytes.len())?;
        room.get_mut(filled..end)?.copy_from_slice(bytes);
        filled = end;
    }
    let text = room.get(..filled)?;
    is_digits(text).then_some(text)
}

fn is_digits(text: &[u8]) -> bool {
    let digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
    let known = |byte: &u8| byte.is_ascii_digit() || SEPARATORS.contains(byte);
    (1..=DIGITS_MAX).contains(&digits) && text.iter().all(known)
}

fn append_text(text: &[u8], mut code: u128, out: &mut Vec<u8>) {
    out.extend(text.iter().map(|byte| {
        if byte.is_ascii_digit() {
            digit(&mut code, 0)
        } else {
            *byte
        }
    }));
}

/// A whole number without a sign. Its token starts with 0 only if it is one digit, as JSON has it.
fn append_number(raw: &[u8], mut code: u128, out: &mut Vec<u8>) -> bool {
    if raw.len() > NUMBER_DIGITS_MAX || !raw.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let least = u8::from(raw.len() > 1);
    out.extend((0..raw.len()).map(|at| digit(&mut code, if at == 0 { least } else { 0 })));
    true
}

/// Takes a digit of at least `least`, which is 0 or 1, from what is left of a code.
fn digit(code: &mut u128, least: u8) -> u8 {
    let (digit, rest) = if least == 0 {
        (*code % 10, *code / 10)
    } else {
        (*code % 9, *code / 9)
    };
    *code = rest;
    b'0'.wrapping_add(least).wrapping_add(digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: u128 = 0x1234_5678_9abc_def0_1122_3344_5566_7788;

    fn token(kind: Kind, raw: &str) -> Option<String> {
        let mut out = b"kept".to_vec();
        let is_digits = append(kind, raw.as_bytes(), CODE, &mut out);
        let out = String::from_utf8(out).unwrap();
        let token = out.strip_prefix("kept").unwrap().to_owned();
        assert_eq!(is_digits, !token.is_empty());
        is_digits.then_some(token)
    }

    #[test]
    fn replaces_digits_and_keeps_what_stands_between_them() {
        for text in ["4111 1111-1111.1111", "+49 (0)30/12_3,4:5", "0", "-7-"] {
            let token = token(Kind::Text, &format!("\"{text}\"")).unwrap();
            assert_eq!(token.len(), text.len() + 2);
            for (before, after) in text.chars().zip(token[1..].chars()) {
                assert_eq!(before.is_ascii_digit(), after.is_ascii_digit());
                assert!(before.is_ascii_digit() || before == after, "{token}");
            }
        }
    }

    #[test]
    fn reads_escapes_before_it_looks() {
        let plain = token(Kind::Text, "\"1/2\"");
        assert_eq!(plain, token(Kind::Text, r#""\u0031\/2""#));
        let many = "1".repeat(DIGITS_MAX);
        let spelled = r"\u0031".repeat(DIGITS_MAX);
        assert!(token(Kind::Text, &format!("\"{many}\"")).is_some());
        assert_eq!(
            token(Kind::Text, &format!("\"{many}\"")),
            token(Kind::Text, &format!("\"{spelled}\""))
        );
    }

    #[test]
    fn leaves_what_is_more_than_digits_to_another_token() {
        for text in [
            "",
            "-",
            "DE89 3704",
            "1e5",
            "12\u{a0}34",
            "١٢",
            "4111*",
            r"1\n",
            r"1\\",
        ] {
            assert_eq!(token(Kind::Text, &format!("\"{text}\"")), None, "{text}");
        }
        let long = "1".repeat(DIGITS_MAX + 1);
        assert_eq!(token(Kind::Text, &format!("\"{long}\"")), None);
        let wide = format!("\"1{}\"", " ".repeat(TEXT_BYTES_MAX));
        assert_eq!(token(Kind::Text, &wide), None);
        for raw in ["-1", "1.5", "1e5", "1234567890123456789"] {
            assert_eq!(token(Kind::Number, raw), None, "{raw}");
        }
        assert_eq!(token(Kind::Boolean, "true"), None);
        assert_eq!(token(Kind::Array, "[1]"), None);
    }

    #[test]
    fn keeps_a_number_a_number() {
        for raw in ["7", "0", "10", "4111111111111111", "999999999999999999"] {
            for code in (0..2_000_u128).map(|n| n.wrapping_mul(CODE)) {
                let mut out = Vec::new();
                assert!(append(Kind::Number, raw.as_bytes(), code, &mut out));
                assert_eq!(out.len(), raw.len());
                assert!(raw.len() == 1 || out[0] != b'0');
                let text = String::from_utf8(out).unwrap();
                assert!(text.parse::<i64>().is_ok(), "{text}");
            }
        }
    }

    #[test]
    fn gives_every_digit_about_as_often() {
        let mut counts = [0_u32; 10];
        let mut code: u128 = 1;
        for _ in 0..1_000 {
            code = code
                .wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645)
                .wrapping_add(1);
            let mut out = Vec::new();
            // The top bits of such a sequence are the random ones.
            append_text(&[b'0'; 16], code >> 64, &mut out);
            for digit in out {
                counts[usize::from(digit - b'0')] += 1;
            }
        }
        assert!(
            counts.iter().all(|n| (1_400..1_800).contains(n)),
            "{counts:?}"
        );
    }
}
