//! Tokens: `"tok_1_mfrggzdfmztwq2lknnwg23tpob"` stands for a field's value under version 1 of its domain's key.
//!
//! HMAC-SHA-256 (FIPS 198-1) of a type tag and the value, cut to 128 bits, as lower-case base32 (RFC 4648) without
//! padding. Equal values have equal tokens within a domain and key version. A token cannot be turned back without the
//! key; whoever can both write chosen values to a masked topic and read its tokens can build a dictionary.
//!
//! The other shapes come from the same code: an e-mail address is the opaque token before `@masked.invalid`, which says
//! nothing of the address that was there; digits are in [`crate::digits`]. What a shape does not fit has the opaque token.
//!
//! A token as long as what it stands for is the start of the opaque one, or that and asterisks: `"tok_1_mfrg"` for a string of
//! ten bytes has 20 bits of code, and one of nine bytes is asterisks, which stand for all strings of nine bytes. Of a boolean the length is the value: `true` and `false`
//! both become `"**"`, as null does.

use crate::digits;
use crate::key_ring::DomainKey;
use crate::mac::Keyed;
use crate::plan::{TokenLength, TokenShape};
use crate::scan::{Piece, Pieces};

const PREFIX: &str = "tok_";
/// Behind the token of an e-mail address. RFC 2606 keeps the name from ever being a host's.
const EMAIL_DOMAIN: &str = "@masked.invalid";
const DIGEST_CHARACTERS: usize = 26;
/// With fewer a token tells values apart so badly that it tells nothing.
const DIGEST_CHARACTERS_MIN: usize = 4;
/// What a token is filled up with; no digest has it.
const FILL: u8 = b'*';
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// What a masked field held. Part of what its token stands for: the text `1` and the number `1` have two tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A string; its token is that of its unescaped content, so that escapes make no difference.
    Text,
    /// The others have the token of their bytes as they stand.
    Number,
    Boolean,
    Null,
    Object,
    Array,
}

impl Kind {
    fn tag(self) -> u8 {
        match self {
            Kind::Text => b's',
            Kind::Number => b'n',
            Kind::Boolean => b'b',
            Kind::Null => b'z',
            Kind::Object => b'o',
            Kind::Array => b'a',
        }
    }
}

/// Makes the tokens of one domain. Holds the keyed state of the hash, which is erased when dropped.
#[derive(Clone)]
pub(crate) struct Tokeniser {
    keyed: Keyed,
    shape: TokenShape,
    length: TokenLength,
    /// `"tok_1_`, with the quote.
    opening: Box<[u8]>,
}

impl Tokeniser {
    pub(crate) fn new(key: &DomainKey, shape: TokenShape, length: TokenLength) -> Tokeniser {
        Tokeniser {
            keyed: Keyed::new(key.as_bytes()),
            shape,
            length,
            opening: format!("\"{PREFIX}{}_", key.version()).into_bytes().into(),
        }
    }

    pub(crate) fn shape(&self) -> TokenShape {
        self.shape
    }

    pub(crate) fn length(&self) -> TokenLength {
        self.length
    }

    /// Appends the token for a field as a JSON string, or as a number if it is one of digits. `raw` is the field as it stands
    /// in the document, a string with its quotes.
    pub(crate) fn append(&self, kind: Kind, raw: &[u8], out: &mut Vec<u8>) {
        let code = self.code(kind, raw);
        if self.length == TokenLength::Same {
            self.append_same(kind, raw, code, out);
            return;
        }
        let behind = match self.shape {
            TokenShape::Digits if digits::append(kind, raw, code, out) => return,
            TokenShape::Email if kind == Kind::Text => EMAIL_DOMAIN,
            TokenShape::Opaque | TokenShape::Email | TokenShape::Digits => "",
        };
        out.extend_from_slice(&self.opening);
        out.extend_from_slice(&base32(code));
        out.extend_from_slice(behind.as_bytes());
        out.push(b'"');
    }

    /// Appends a token of as many bytes as `raw`, or fewer if it is `false`; it is one of JSON too.
    #[inline(never)]
    fn append_same(&self, kind: Kind, raw: &[u8], code: u128, out: &mut Vec<u8>) {
        let raw = if kind == Kind::Boolean { b"true" } else { raw };
        let start = out.len();
        if self.shape == TokenShape::Digits && digits::append(kind, raw, code, out) {
            if out.len().saturating_sub(start) == raw.len() {
                return;
            }
            // Digits that are spelled with escapes.
            out.truncate(start);
        }
        match raw.len().checked_sub(2) {
            Some(room) => {
                out.push(b'"');
                self.append_within(room, code, out);
                out.push(b'"');
            }
            // A number of one digit has no room for quotes.
            None => out.push(b'0'),
        }
    }

    /// Appends so many bytes of token.
    fn append_within(&self, room: usize, code: u128, out: &mut Vec<u8>) {
        let opening = self.opening.get(1..).unwrap_or_default();
        let digest_bytes = room.saturating_sub(opening.len()).min(DIGEST_CHARACTERS);
        let start = out.len();
        if digest_bytes >= DIGEST_CHARACTERS_MIN {
            out.extend_from_slice(opening);
            out.extend(base32(code).iter().take(digest_bytes));
        }
        out.resize(start.saturating_add(room), FILL);
    }

    /// Appends the token for bytes that stand alone, such as a key: that of a string of the same content, without quotes.
    pub(crate) fn append_bare(&self, text: &[u8], out: &mut Vec<u8>) {
        let mut mac = self.keyed.start();
        mac.update(&[Kind::Text.tag()]);
        mac.update(text);
        let code = mac.finish();
        let behind = match self.shape {
            TokenShape::Digits if digits::append_bare(text, code, out) => return,
            _ if self.length == TokenLength::Same => {
                self.append_within(text.len(), code, out);
                return;
            }
            TokenShape::Email => EMAIL_DOMAIN,
            TokenShape::Opaque | TokenShape::Digits => "",
        };
        out.extend(self.opening.iter().skip(1));
        out.extend_from_slice(&base32(code));
        out.extend_from_slice(behind.as_bytes());
    }

    /// What all tokens of a field are made of.
    #[inline]
    fn code(&self, kind: Kind, raw: &[u8]) -> u128 {
        let mut mac = self.keyed.start();
        mac.update(&[kind.tag()]);
        match (kind, raw) {
            (Kind::Text, [b'"', content @ .., b'"']) => {
                for piece in Pieces::new(content) {
                    match piece {
                        Piece::Plain(text) => mac.update(text),
                        Piece::Escaped(character) => {
                            mac.update(character.encode_utf8(&mut [0; 4]).as_bytes());
                        }
                    }
                }
            }
            _ => mac.update(raw),
        }
        mac.finish()
    }
}

/// 128 bits, as RFC 4648 writes 16 bytes, without padding: the last character stands for three bits.
#[inline]
fn base32(bits: u128) -> [u8; DIGEST_CHARACTERS] {
    let mut characters = [0; DIGEST_CHARACTERS];
    // Eight characters of five bits, thrice, from the top.
    let (eights, last) = characters.as_chunks_mut::<8>();
    for (eight, shift) in eights.iter_mut().zip([88, 48, 8]) {
        *eight = eight_characters((bits >> shift) as u64);
    }
    // What is left is 8 bits: two characters.
    for (slot, byte) in last.iter_mut().zip(eight_characters((bits as u64) << 32)) {
        *slot = byte;
    }
    characters
}

/// The characters of the low 40 bits.
#[inline]
fn eight_characters(bits: u64) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // One after another halves of what is left move up, until each five bits are a byte.
    let bits = bits & 0xff_ffff_ffff;
    let bits = (bits & 0xf_ffff) | (bits >> 20) << 32;
    let bits = (bits & 0x0000_03ff_0000_03ff) | (bits & 0x000f_fc00_000f_fc00) << 6;
    let bits = (bits & 0x001f_001f_001f_001f) | (bits & 0x03e0_03e0_03e0_03e0) << 3;
    // `a` and on, and from 26 on `2` and on: no byte carries into the next one.
    let digits = bits.wrapping_add(ONES.wrapping_mul(128 - 26)) >> 7 & ONES;
    let letters = bits.wrapping_add(ONES.wrapping_mul(u64::from(b'a')));
    letters
        .wrapping_sub(digits.wrapping_mul(u64::from(b'a' - b'2') + 26))
        .to_be_bytes()
}

/// Whether a text has the form of a token.
#[must_use]
pub fn is_token(text: &str) -> bool {
    let Some((version, digest)) = text
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.split_once('_'))
    else {
        return false;
    };
    (1..=10).contains(&version.len())
        && version.bytes().all(|byte| byte.is_ascii_digit())
        && digest.len() == DIGEST_CHARACTERS
        && digest.bytes().all(|byte| ALPHABET.contains(&byte))
}

/// Whether a text has the form of a token in the shape of an e-mail address.
pub(crate) fn is_email_token(text: &str) -> bool {
    text.strip_suffix(EMAIL_DOMAIN).is_some_and(is_token)
}

/// Whether a text has the form of a token that is as long as what it stands for.
pub(crate) fn is_same_length_token(text: &str) -> bool {
    let is_fill = |text: &str| text.bytes().all(|byte| byte == FILL);
    let Some((version, digest)) = text
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.split_once('_'))
    else {
        return is_fill(text);
    };
    let (digest, fill) = digest
        .split_at_checked(DIGEST_CHARACTERS)
        .unwrap_or((digest, ""));
    (1..=10).contains(&version.len())
        && version.bytes().all(|byte| byte.is_ascii_digit())
        && digest.len() >= DIGEST_CHARACTERS_MIN
        && digest.bytes().all(|byte| ALPHABET.contains(&byte))
        && is_fill(fill)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(kind: Kind, raw: &str) -> String {
        shaped(TokenShape::Opaque, kind, raw)
    }

    fn shaped(shape: TokenShape, kind: Kind, raw: &str) -> String {
        let key = DomainKey::derive(&[7; 32], "customers", 1);
        let mut out = Vec::new();
        Tokeniser::new(&key, shape, TokenLength::Own).append(kind, raw.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn encodes_base32_as_rfc_4648_without_padding() {
        for (plain, encoded) in [
            (*b"foobarfoobarfoob", "mzxw6ytbojtg633cmfzgm33pmi"),
            ([0; 16], "aaaaaaaaaaaaaaaaaaaaaaaaaa"),
            ([0xff; 16], "77777777777777777777777774"),
        ] {
            let bits = u128::from_be_bytes(plain);
            assert_eq!(base32(bits), encoded.as_bytes());
        }
        let mut bits: u128 = 1;
        for _ in 0..10_000 {
            bits = bits
                .wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645)
                .wrapping_add(1);
            let five = |n: u32| {
                if n < 25 {
                    bits >> (123 - 5 * n)
                } else {
                    bits << 2
                }
            };
            let expected: Vec<u8> = (0..26).map(|n| ALPHABET[(five(n) & 31) as usize]).collect();
            assert_eq!(base32(bits)[..], expected);
        }
    }

    #[test]
    fn gives_every_spelling_of_a_string_one_token() {
        let plain = token(Kind::Text, "\"a/é😀\"");
        assert_eq!(plain, token(Kind::Text, r#""\u0061\/\u00e9\ud83d\uDE00""#));
        assert_ne!(plain, token(Kind::Text, "\"A/é😀\""));
    }

    #[test]
    fn gives_equal_texts_of_different_types_different_tokens() {
        assert_ne!(token(Kind::Text, "\"1\""), token(Kind::Number, "1"));
        assert_ne!(token(Kind::Text, "\"null\""), token(Kind::Null, "null"));
    }

    #[test]
    fn keeps_its_form_for_ever() {
        // Stored tokens are joined with new ones: a change of this value is a change of format.
        assert_eq!(
            token(Kind::Text, "\"a@b.example\""),
            "\"tok_1_xgravwthxmujjiggxd2aj66f6i\""
        );
        assert_eq!(
            shaped(TokenShape::Email, Kind::Text, "\"a@b.example\""),
            "\"tok_1_xgravwthxmujjiggxd2aj66f6i@masked.invalid\""
        );
        assert_eq!(
            shaped(TokenShape::Digits, Kind::Text, "\"078-05-1120\""),
            "\"829-38-8739\""
        );
        assert_eq!(
            shaped(TokenShape::Digits, Kind::Number, "4111111111111111"),
            "6815789342737398"
        );
    }

    #[test]
    fn gives_bytes_that_stand_alone_the_token_of_the_string_that_they_are() {
        let key = DomainKey::derive(&[7; 32], "customers", 1);
        for shape in TokenShape::ALL {
            for text in ["ada@example.org", "078-05-1120", ""] {
                let mut bare = Vec::new();
                Tokeniser::new(&key, shape, TokenLength::Own)
                    .append_bare(text.as_bytes(), &mut bare);
                let quoted = shaped(shape, Kind::Text, &format!("\"{text}\""));
                assert_eq!(quoted.trim_matches('"').as_bytes(), bare);
            }
            let mut binary = Vec::new();
            Tokeniser::new(&key, shape, TokenLength::Own)
                .append_bare(b"\xff\0\\u0061", &mut binary);
            assert!(binary.starts_with(b"tok_1_"));
        }
    }

    #[test]
    fn gives_a_token_of_the_same_length_whatever_it_stands_for() {
        let key = DomainKey::derive(&[7; 32], "customers", 1);
        let text = "\"078-05-1120\"";
        let opaque = token(Kind::Text, text);
        for shape in TokenShape::ALL {
            let same = |kind, raw: &str| {
                let mut out = Vec::new();
                let tokeniser = Tokeniser::new(&key, shape, TokenLength::Same);
                tokeniser.append(kind, raw.as_bytes(), &mut out);
                if kind != Kind::Boolean {
                    assert_eq!(out.len(), raw.len(), "{raw}");
                }
                let token: serde_json::Value = serde_json::from_slice(&out).unwrap();
                if let serde_json::Value::String(text) = token {
                    let digits = shape == TokenShape::Digits;
                    assert!(is_same_length_token(&text) || digits, "{text}");
                }
                String::from_utf8(out).unwrap()
            };
            match shape {
                TokenShape::Digits => {
                    assert_eq!(same(Kind::Text, text), shaped(shape, Kind::Text, text))
                }
                _ => assert_eq!(same(Kind::Text, text)[..12], opaque[..12]),
            }
            for length in 0..100 {
                same(Kind::Text, &format!("\"{}\"", "x".repeat(length)));
                same(Kind::Object, &format!("{{{}}}", " ".repeat(length)));
            }
            same(Kind::Text, r#""\u0031\u0032\u0033""#);
            same(Kind::Text, "\"é\"");
            for number in ["7", "-7", "-1.5e10", "123456789012345678901234567890"] {
                same(Kind::Number, number);
            }
            for (kind, raw) in [
                (Kind::Null, "null"),
                (Kind::Boolean, "true"),
                (Kind::Boolean, "false"),
            ] {
                assert_eq!(same(kind, raw), "\"**\"", "{raw}");
            }
            assert_eq!(same(Kind::Text, "\"123456x89\""), "\"*********\"");
        }
        for bad in ["tok_1_aaa", "tok_1_aaa*", "tok_1_aaaa*", "*a", "tok__aaaa"] {
            assert!(!is_same_length_token(bad), "{bad}");
        }
    }

    #[test]
    fn gives_what_a_shape_does_not_fit_the_opaque_token() {
        for shape in [TokenShape::Email, TokenShape::Digits] {
            for (kind, raw) in [
                (Kind::Null, "null"),
                (Kind::Object, "{}"),
                (Kind::Number, "-1.5"),
            ] {
                assert_eq!(shaped(shape, kind, raw), token(kind, raw));
            }
        }
        let text = "\"DE89 3704\"";
        assert_eq!(
            shaped(TokenShape::Digits, Kind::Text, text),
            token(Kind::Text, text)
        );
    }

    #[test]
    fn knows_a_token_from_its_likeness() {
        let quoted = token(Kind::Text, "\"x\"");
        assert!(is_token(quoted.trim_matches('"')));
        let email = shaped(TokenShape::Email, Kind::Text, "\"x\"");
        let email = email.trim_matches('"');
        assert!(is_email_token(email) && !is_token(email));
        assert!(!is_email_token("ada@masked.invalid"));
        let digest = "a".repeat(26);
        for bad in [
            "tok_".to_owned(),
            format!("tok__{digest}"),
            format!("tok_x_{digest}"),
            format!("tok_1_{digest}a"),
            format!("tok_1_{}", "a".repeat(25)),
            format!("tok_1_{}", "A".repeat(26)),
            format!("tok_12345678901_{digest}"),
            format!("xtok_1_{digest}"),
        ] {
            assert!(!is_token(&bad), "{bad}");
        }
    }
}
