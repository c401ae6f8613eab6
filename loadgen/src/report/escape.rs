//! Text from outside, made harmless where it is put.

use std::borrow::Cow;

/// For content and quoted attributes of HTML, SVG and XML.
pub(super) fn html(text: &str) -> Cow<'_, str> {
    if !text.contains(|character| {
        matches!(character, '&' | '<' | '>' | '"' | '\'') || is_unshown(character)
    }) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character if is_unshown(character) => escaped.push('\u{fffd}'),
            character => escaped.push(character),
        }
    }
    Cow::Owned(escaped)
}

/// For a cell of CSV (RFC 4180). A spreadsheet takes what begins like a formula for one, so such a text gets an apostrophe.
pub(super) fn csv(text: &str) -> Cow<'_, str> {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = match formula {
        true => Cow::Owned(format!("'{text}")),
        false => Cow::Borrowed(text),
    };
    match text.contains([',', '"', '\n', '\r']) {
        true => Cow::Owned(format!("\"{}\"", text.replace('"', "\"\""))),
        false => text,
    }
}

/// For a part of a file's name.
pub(super) fn file_name(text: &str) -> String {
    let shown = text.chars().take(80).map(|character| match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' => character,
        _ => '_',
    });
    shown.collect()
}

/// Controls, which XML forbids, and marks that turn the direction of what follows.
fn is_unshown(character: char) -> bool {
    let control = character.is_control() && !matches!(character, '\n' | '\t');
    control
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_name_is_text_in_content_and_in_attributes() {
        assert_eq!(
            html("<script>\"a\" & 'b'</script>"),
            "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/script&gt;"
        );
        assert_eq!(html("gateway:9092"), "gateway:9092");
        assert_eq!(html("a\u{0}b\u{202e}c"), "a\u{fffd}b\u{fffd}c");
    }

    #[test]
    fn a_cell_stays_one_cell_and_no_formula() {
        assert_eq!(csv("plain"), "plain");
        assert_eq!(csv("a,\"b\"\nc"), "\"a,\"\"b\"\"\nc\"");
        assert_eq!(csv("=1+1"), "'=1+1");
        assert_eq!(csv("@a,b"), "\"'@a,b\"");
    }

    #[test]
    fn a_name_of_a_file_leaves_no_directory() {
        assert_eq!(file_name("../a b/ü"), ".._a_b__");
    }
}
