//! Search, and the same search as a file.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sluice_proto::v1;

use super::{Page, evidence_table, page};
use crate::limits::SEARCH_ROWS_MAX;
use crate::web::html::Html;
use crate::web::login::Visitor;
use crate::web::{Failure, Web, time};

/// What the form asks; all of it is optional.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct Wanted {
    principal: String,
    topic: String,
    kind: String,
    session: String,
    from: String,
    to: String,
    text: String,
}

pub(in crate::web) async fn show(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Page {
    let rows = web
        .control
        .search(&visitor.caller, wanted.request(200))
        .await?;
    let mut out = Html::default();
    out.raw("<form class=\"card filter\" method=\"get\" action=\"/evidence\">");
    for (name, label, value, kind) in [
        (
            "principal",
            "Principal, such as User:svc-orders",
            &wanted.principal,
            "text",
        ),
        (
            "topic",
            "Topic, group or transactional id",
            &wanted.topic,
            "text",
        ),
        ("session", "Session", &wanted.session, "text"),
        ("from", "From (UTC)", &wanted.from, "datetime-local"),
        ("to", "Before (UTC)", &wanted.to, "datetime-local"),
        ("text", "Words", &wanted.text, "search"),
    ] {
        out.raw("<div><label for=\"")
            .text(name)
            .raw("\">")
            .text(label)
            .raw("</label><input id=\"")
            .text(name);
        out.raw("\" name=\"")
            .text(name)
            .raw("\" type=\"")
            .text(kind)
            .raw("\" value=\"")
            .text(value)
            .raw("\"></div>");
    }
    out.raw("<div><label for=\"kind\">Kind</label><select id=\"kind\" name=\"kind\"><option value=\"\">any</option>");
    for kind in sluice_evidence::Kind::ALL.map(sluice_evidence::Kind::name) {
        out.raw("<option")
            .raw(if kind == wanted.kind {
                " selected>"
            } else {
                ">"
            })
            .text(kind)
            .raw("</option>");
    }
    let query = wanted.query();
    out.raw("</select></div><div><button>Search</button></div></form>");
    out.raw("<p class=\"inline\"><span>")
        .number(rows.len() as u64)
        .raw(" records, newest first.</span>");
    out.raw("<a href=\"/evidence.jsonl?")
        .text(&query)
        .raw("\">Export as JSON lines</a>");
    out.raw("<a href=\"/evidence.csv?")
        .text(&query)
        .raw("\">Export as CSV</a></p>")
        .part(&evidence_table(&rows));
    Ok(page("Evidence", "/evidence", &visitor, &out))
}

pub(in crate::web) async fn json_lines(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Failure> {
    let rows = web
        .control
        .search(&visitor.caller, wanted.request(SEARCH_ROWS_MAX))
        .await?;
    let mut body = String::new();
    for row in rows {
        let record: serde_json::Value = serde_json::from_str(&row.json).unwrap_or_default();
        let line = serde_json::json!({ "log": row.log, "leaf": row.leaf, "record": record });
        body.push_str(&line.to_string());
        body.push('\n');
    }
    Ok(file(
        "application/x-ndjson",
        "attachment; filename=\"evidence.jsonl\"",
        body,
    ))
}

pub(in crate::web) async fn csv(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Failure> {
    let rows = web
        .control
        .search(&visitor.caller, wanted.request(SEARCH_ROWS_MAX))
        .await?;
    let mut body = "log,leaf,time_utc,session,kind,principal,record\r\n".to_owned();
    for row in rows {
        let (leaf, when) = (row.leaf.to_string(), time::show_ns(row.time_unix_ns));
        let cells = [
            &row.log,
            &leaf,
            &when,
            &row.session,
            &row.kind,
            &row.principal,
            &row.json,
        ];
        body.push_str(&cells.map(|text| cell(text)).join(","));
        body.push_str("\r\n");
    }
    Ok(file(
        "text/csv; charset=utf-8",
        "attachment; filename=\"evidence.csv\"",
        body,
    ))
}

impl Wanted {
    fn request(&self, limit: u32) -> v1::SearchEvidenceRequest {
        v1::SearchEvidenceRequest {
            principal: self.principal.trim().to_owned(),
            topic: self.topic.trim().to_owned(),
            kind: self.kind.clone(),
            session: self.session.trim().to_owned(),
            from_unix_ms: time::read_ms(&self.from).unwrap_or(0),
            to_unix_ms: time::read_ms(&self.to).unwrap_or(0),
            text: self.text.clone(),
            limit,
        }
    }

    /// As a query string.
    fn query(&self) -> String {
        let pairs = [
            ("principal", &self.principal),
            ("topic", &self.topic),
            ("kind", &self.kind),
            ("session", &self.session),
            ("from", &self.from),
            ("to", &self.to),
            ("text", &self.text),
        ];
        let stated = pairs.iter().filter(|(_, value)| !value.is_empty());
        stated
            .map(|(name, value)| format!("{name}={}", percent(value)))
            .collect::<Vec<_>>()
            .join("&")
    }
}

fn file(kind: &'static str, disposition: &'static str, body: String) -> Response {
    (
        [
            (header::CONTENT_TYPE, kind),
            (header::CONTENT_DISPOSITION, disposition),
        ],
        body,
    )
        .into_response()
}

/// RFC 4180, and nothing that a spreadsheet would run as a formula.
fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        "'"
    } else {
        ""
    };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_neither_a_formula_nor_two_cells() {
        assert_eq!(cell("=cmd(\"x\"),y"), "\"'=cmd(\"\"x\"\"),y\"");
        assert_eq!(cell("User:alice"), "\"User:alice\"");
    }

    #[test]
    fn a_query_carries_any_text() {
        let wanted = Wanted {
            text: "a&b=\"ü\"".to_owned(),
            ..Wanted::default()
        };
        assert_eq!(wanted.query(), "text=a%26b%3D%22%C3%BC%22");
    }
}
