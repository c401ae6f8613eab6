//! Sessions, and one session's evidence from its first record to its last.

use std::sync::Arc;

use axum::extract::{Path, State};

use super::{Page, evidence_table, first, page};
use crate::error::Error;
use crate::web::html::Html;
use crate::web::login::Visitor;
use crate::web::{Web, time};

pub(in crate::web) async fn list(State(web): State<Arc<Web>>, visitor: Visitor) -> Page {
    let sessions = web.control.sessions(&visitor.caller, 200).await?;
    let mut out = Html::default();
    out.raw("<div class=\"scroll\"><table><thead><tr><th>Session</th><th>Principal</th><th>Client id</th><th>Peer</th>")
        .raw("<th>Opened (UTC)</th><th>Closed (UTC)</th><th>Records</th><th>Denied</th></tr></thead><tbody>");
    for session in &sessions {
        out.raw("<tr><td class=\"mono\"><a href=\"/sessions/")
            .text(&session.session)
            .raw("\">");
        out.text(first(&session.session, 8))
            .raw("</a></td><td>")
            .text(&session.principal)
            .raw("</td><td>");
        out.text(&session.client_id)
            .raw("</td><td>")
            .text(&session.peer)
            .raw("</td><td class=\"nowrap\">");
        out.text(time::show_ns(session.opened_unix_ns))
            .raw("</td><td class=\"nowrap\">");
        out.text(time::show_ns(session.closed_unix_ns))
            .raw("</td><td>")
            .number(session.records_count);
        out.raw(if session.denied_count > 0 {
            "</td><td class=\"bad\">"
        } else {
            "</td><td>"
        });
        out.number(session.denied_count).raw("</td></tr>");
    }
    out.raw("</tbody></table></div>");
    if sessions.is_empty() {
        out.raw("<p class=\"soft\">No session is recorded yet.</p>");
    }
    Ok(page("Sessions", "/sessions", &visitor, &out))
}

pub(in crate::web) async fn timeline(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Path(session): Path<String>,
) -> Page {
    let rows = web
        .control
        .replay(&visitor.caller, session.clone(), 0)
        .await?;
    if rows.is_empty() {
        return Err(Error::CallerAskedForNothing {
            kind: "session",
            name: first(&session, 40),
        }
        .into());
    }
    let mut out = Html::default();
    out.raw("<p class=\"soft\">")
        .number(rows.len() as u64)
        .raw(" records, oldest first. An intent is what was permitted; ");
    out.raw("an outcome is what the broker answered. Session <code>")
        .text(&session)
        .raw("</code></p>");
    out.part(&evidence_table(&rows));
    Ok(page("Session timeline", "/sessions", &visitor, &out))
}
