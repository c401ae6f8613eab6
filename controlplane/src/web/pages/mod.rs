//! One file per page.

pub(super) mod approvals;
pub(super) mod evidence;
pub(super) mod overview;
pub(super) mod policy;
pub(super) mod sessions;

use axum::response::Html as HtmlResponse;

use super::Failure;
use super::html::{self, Html};
use super::login::Visitor;

type Page = Result<HtmlResponse<String>, Failure>;

fn page(title: &str, here: &str, visitor: &Visitor, content: &Html) -> HtmlResponse<String> {
    HtmlResponse(html::page(title, Some(&visitor.nav(here)), content))
}

/// Evidence as a table, used by search and by timelines.
fn evidence_table(rows: &[sluice_proto::v1::EvidenceRow]) -> Html {
    let mut out = Html::default();
    out.raw("<div class=\"scroll\"><table><thead><tr><th>Time (UTC)</th><th>Kind</th><th>Principal</th><th>Session</th>")
        .raw("<th>What</th><th>Leaf</th></tr></thead><tbody>");
    for row in rows {
        let record: serde_json::Value = serde_json::from_str(&row.json).unwrap_or_default();
        out.raw("<tr><td class=\"nowrap\">")
            .text(super::time::show_ns(row.time_unix_ns))
            .raw("</td><td>");
        kind(&mut out, &row.kind);
        out.raw("</td><td>")
            .text(&row.principal)
            .raw("</td><td class=\"mono\">");
        if !row.session.is_empty() {
            out.raw("<a href=\"/sessions/")
                .text(&row.session)
                .raw("\">")
                .text(first(&row.session, 8))
                .raw("</a>");
        }
        out.raw("</td><td>");
        summary(&mut out, &record);
        let pretty = serde_json::to_string_pretty(&record).unwrap_or_default();
        out.raw("<details><summary class=\"soft\">record</summary><pre>")
            .text(pretty)
            .raw("</pre></details></td>");
        out.raw("<td class=\"mono soft nowrap\" title=\"")
            .text(&row.log)
            .raw("\">")
            .number(row.leaf)
            .raw("</td></tr>");
    }
    out.raw("</tbody></table></div>");
    if rows.is_empty() {
        out.raw("<p class=\"soft\">Nothing fits.</p>");
    }
    out
}

/// A kind of evidence, coloured by what it means; the word is always there too.
fn kind(out: &mut Html, kind: &str) {
    out.raw(match kind {
        "Denied" | "Rejected" | "Refused" | "AuthenticationFailed" | "Alarm" | "Unreadable" => {
            "<span class=\"tag bad\">"
        }
        "ApprovalAsked" | "ApprovalDecided" | "ControlChange" => "<span class=\"tag wait\">",
        "Outcome" => "<span class=\"tag good\">",
        _ => "<span class=\"tag\">",
    });
    out.text(kind).raw("</span>");
}

fn summary(out: &mut Html, record: &serde_json::Value) {
    if let Some(reason) = record["reason"].as_str() {
        out.text(reason).raw(" ");
    }
    let items = record["items"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    for item in items.iter().take(5) {
        let word = |name: &str| match &item[name] {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Null => String::new(),
            other => other.to_string(),
        };
        out.raw("<div>")
            .text(word("operation"))
            .raw(" <b>")
            .text(word("resource"))
            .raw("</b>");
        if !word("partition").is_empty() {
            out.raw(" partition ").text(word("partition"));
        }
        if !word("first_offset").is_empty() {
            out.raw(", offsets ")
                .text(word("first_offset"))
                .raw("–")
                .text(word("last_offset"));
        }
        out.raw("</div>");
    }
    if items.len() > 5 {
        out.raw("<div class=\"soft\">and ")
            .number(items.len() as u64 - 5)
            .raw(" more</div>");
    }
}

fn first(text: &str, chars_count: usize) -> String {
    text.chars().take(chars_count).collect()
}
