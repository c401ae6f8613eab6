//! Keys are compared without regard to case, because consumers do so: Go's `encoding/json` and the web defaults of .NET
//! match `EMAIL` to a field `email`; Go also matches U+017F to `s` and the Kelvin sign to `k`.
//!
//! The folding is at least as wide as each of theirs, so that a key which any of them takes for a named field is masked.

use crate::scan::{Piece, Pieces};

/// For each byte of its folded form a string's content has at most so many: `\u0061` for `a`.
pub(crate) const SPELLED_BYTES_PER_FOLDED_MAX: usize = 6;

/// Writes the folded form of a JSON string's content (as between its quotes, validated) over `out`.
pub(crate) fn fold_content(content: &[u8], out: &mut Vec<u8>) {
    out.clear();
    for piece in Pieces::new(content) {
        match piece {
            Piece::Plain(text) => fold_text(text, out),
            Piece::Escaped(character) => fold_character(character, out),
        }
    }
}

/// The folded form of plain text, appended.
pub(crate) fn fold_text(text: &[u8], out: &mut Vec<u8>) {
    if text.is_ascii() {
        out.extend(text.iter().map(u8::to_ascii_lowercase));
        return;
    }
    // Validated UTF-8 comes in; lossy conversion leaves it alone and has no failure to answer.
    for character in String::from_utf8_lossy(text).chars() {
        fold_character(character, out);
    }
}

fn fold_character(character: char, out: &mut Vec<u8>) {
    let upper = only(character.to_uppercase()).unwrap_or(character);
    // The first of several: U+0130 lowers to `i` and a combining dot, and Java takes it for `i`.
    let lower = upper.to_lowercase().next().unwrap_or(upper);
    out.extend_from_slice(lower.encode_utf8(&mut [0; 4]).as_bytes());
}

fn only(mut characters: impl Iterator<Item = char>) -> Option<char> {
    let first = characters.next()?;
    characters.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(content: &str) -> String {
        let mut out = Vec::new();
        fold_content(content.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn folds_what_go_java_and_dotnet_fold() {
        assert_eq!(folded("EMAIL"), "email");
        assert_eq!(folded("\u{17f}\u{17f}n"), "ssn");
        assert_eq!(folded("\u{212a}ey"), "key");
        assert_eq!(folded("PRÉNOM"), folded("prénom"));
        assert_eq!(folded("Σ"), folded("ς"));
        assert_eq!(folded("İd"), "id");
        assert_eq!(folded("STRAẞE"), folded("straße"));
    }

    #[test]
    fn no_spelling_is_longer_than_the_bound_for_what_it_folds_to() {
        for character in '\0'..=char::MAX {
            let mut folded = Vec::new();
            fold_character(character, &mut folded);
            // Of the spellings that there are `\uXXXX`, once or twice, is the longest.
            let spelled_bytes = 6 * character.len_utf16();
            assert!(
                spelled_bytes <= folded.len() * SPELLED_BYTES_PER_FOLDED_MAX,
                "{character:?}"
            );
        }
    }

    #[test]
    fn folds_after_unescaping() {
        assert_eq!(folded(r"\u0045m\u0041il"), "email");
        assert_eq!(folded(r"\u212Aey\n\/"), "key\n/");
        assert_eq!(folded(r"\ud83d\ude00"), "😀");
    }
}
