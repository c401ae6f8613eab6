//! Plain tables for terminals. What comes from strangers (client ids, topic names) cannot move the cursor.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Columns as wide as their widest cell, two spaces apart; the last one is as long as it is.
pub(crate) fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<[Cow<'_, str>; N]> = rows
        .iter()
        .map(|row| std::array::from_fn(|at| clean(&row[at])))
        .collect();
    let mut widths = heads.map(|head| head.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    let heads = heads.map(Cow::Borrowed);
    for row in std::iter::once(&heads).chain(&rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// The text with control characters and direction marks written out.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    let harmful = |char: char| {
        char.is_control()
            || matches!(char, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        if harmful(char) {
            cleaned.extend(char.escape_default());
        } else {
            cleaned.push(char);
        }
    }
    Cow::Owned(cleaned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [
            ["a".to_owned(), "b".to_owned()],
            ["longer".to_owned(), String::new()],
        ];
        assert_eq!(
            table(["ID", "WHAT"], &rows),
            "ID      WHAT\na       b\nlonger\n"
        );
    }

    #[test]
    fn a_client_id_cannot_clear_the_screen() {
        let shown = table(["CLIENT"], &[["x\u{1b}[2Jy\n\u{202e}z é".to_owned()]]);
        assert_eq!(shown, "CLIENT\nx\\u{1b}[2Jy\\n\\u{202e}z é\n");
    }
}
