//! Markup that cannot be forgotten to be escaped: markup is what stands in this program, everything else is text.

/// A page, or a part of one.
#[derive(Clone, Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup. Only what was written in this program fits here.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text, or the value of a quoted attribute.
    pub(super) fn text(&mut self, text: impl AsRef<str>) -> &mut Self {
        for char in text.as_ref().chars() {
            match char {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // What reorders text on the screen could make one name look like another.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => self.0.push('\u{fffd}'),
                other => self.0.push(other),
            }
        }
        self
    }

    /// A part that was built the same way.
    pub(super) fn part(&mut self, part: &Html) -> &mut Self {
        self.0.push_str(&part.0);
        self
    }

    pub(super) fn number(&mut self, number: impl Into<i128>) -> &mut Self {
        self.0.push_str(&number.into().to_string());
        self
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// The frame of every page.
pub(super) fn page(title: &str, nav: Option<&Nav<'_>>, content: &Html) -> String {
    let mut out = Html::default();
    out.raw("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>")
        .text(title)
        .raw(" · Sluice</title><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")
        .raw("<link rel=\"stylesheet\" href=\"/style.css\"></head><body><a class=\"skip\" href=\"#content\">Skip to content</a>")
        .raw("<header><a class=\"brand\" href=\"/\">Sluice</a>");
    if let Some(nav) = nav {
        out.raw("<nav aria-label=\"Main\">");
        for (href, name) in [
            ("/", "Overview"),
            ("/evidence", "Evidence"),
            ("/sessions", "Sessions"),
            ("/approvals", "Approvals"),
            ("/policy", "Policy"),
        ] {
            out.raw("<a href=\"").text(href).raw("\"");
            if href == nav.here {
                out.raw(" aria-current=\"page\"");
            }
            out.raw(">").text(name).raw("</a>");
        }
        out.raw("</nav><form class=\"who\" method=\"post\" action=\"/logout\"><span>")
            .text(nav.person)
            .raw("</span>")
            .raw("<input type=\"hidden\" name=\"csrf\" value=\"")
            .text(nav.csrf)
            .raw("\"><button class=\"quiet\">Log out</button></form>");
    }
    out.raw("</header><main id=\"content\"><h1>")
        .text(title)
        .raw("</h1>")
        .part(content)
        .raw("</main></body></html>");
    out.into_string()
}

/// Where the reader is, and who.
#[derive(Debug)]
pub(super) struct Nav<'a> {
    pub(super) here: &'a str,
    pub(super) person: &'a str,
    pub(super) csrf: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_never_becomes_markup() {
        let mut html = Html::default();
        html.text("<script>\"&'\u{202e}x");
        assert_eq!(
            html.into_string(),
            "&lt;script&gt;&quot;&amp;&#39;\u{fffd}x"
        );
    }
}
