//! Tokens: `"tok_1_mfrggzdfmztwq2lknnwg23tpob"` stands for a field's value under version 1 of its domain's key.
//!
//! HMAC-SHA-256 (FIPS 198-1) of a type tag and the value, cut to 128 bits, as lower-case base32 (RFC 4648) without
//! padding. Equal values have equal tokens within a domain and key version. A token cannot be turned back without the
//! key; whoever can both write chosen values to a masked topic and read its tokens can build a dictionary.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::key_ring::DomainKey;
use crate::scan::{Piece, Pieces};

const PREFIX: &str = "tok_";
const DIGEST_BYTES: usize = 16;
const DIGEST_CHARACTERS: usize = 26;
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
    keyed: Hmac<Sha256>,
    /// `"tok_1_`, with the quote.
    opening: Box<[u8]>,
}

impl Tokeniser {
    pub(crate) fn new(key: &DomainKey) -> Option<Tokeniser> {
        Some(Tokeniser {
            // An HMAC key may have any length; the type of the error is there for other MACs.
            keyed: Hmac::new_from_slice(key.as_bytes()).ok()?,
            opening: format!("\"{PREFIX}{}_", key.version()).into_bytes().into(),
        })
    }

    /// Appends the token for a field as a JSON string. `raw` is the field as it stands in the document, a string with
    /// its quotes.
    pub(crate) fn append(&self, kind: Kind, raw: &[u8], out: &mut Vec<u8>) {
        let mut mac = self.keyed.clone();
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
        out.extend_from_slice(&self.opening);
        let digest = mac.finalize().into_bytes();
        append_base32(digest.iter().take(DIGEST_BYTES), out);
        out.push(b'"');
    }
}

fn append_base32<'a>(bytes: impl Iterator<Item = &'a u8>, out: &mut Vec<u8>) {
    let character = |five: u32| ALPHABET.get((five & 31) as usize).copied().unwrap_or(b'a');
    let (mut bits, mut count) = (0_u32, 0_u32);
    for byte in bytes {
        // At most 4 bits wait, so 12 of 32 are used.
        bits = (bits & 0xf) << 8 | u32::from(*byte);
        count = count.wrapping_add(8);
        while count >= 5 {
            count = count.wrapping_sub(5);
            out.push(character(bits.wrapping_shr(count)));
        }
    }
    if count > 0 {
        out.push(character(bits.wrapping_shl(5_u32.wrapping_sub(count))));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn token(kind: Kind, raw: &str) -> String {
        let key = DomainKey::derive(&[7; 32], "customers", 1);
        let mut out = Vec::new();
        Tokeniser::new(&key)
            .unwrap()
            .append(kind, raw.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn encodes_base32_as_rfc_4648_without_padding() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("fooba", "mzxw6ytb"),
            ("foobar", "mzxw6ytboi"),
        ] {
            let mut out = Vec::new();
            append_base32(plain.as_bytes().iter(), &mut out);
            assert_eq!(out, encoded.as_bytes());
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
    }

    #[test]
    fn knows_a_token_from_its_likeness() {
        let quoted = token(Kind::Text, "\"x\"");
        assert!(is_token(quoted.trim_matches('"')));
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
