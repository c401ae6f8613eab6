//! Approval requests, and the two buttons.

use std::sync::Arc;

use axum::extract::{Form, Path, State};
use axum::response::Redirect;
use serde::Deserialize;
use sluice_proto::v1;

use super::{Page, page};
use crate::approve::Answer;
use crate::web::html::Html;
use crate::web::login::Visitor;
use crate::web::{Failure, Web, time};

#[derive(Deserialize)]
pub(in crate::web) struct DecisionForm {
    csrf: String,
    answer: Answer,
    #[serde(default)]
    reason: String,
}

pub(in crate::web) async fn show(State(web): State<Arc<Web>>, visitor: Visitor) -> Page {
    let approvals = web.control.list_approvals(&visitor.caller, false);
    let (open, over): (Vec<_>, Vec<_>) = approvals
        .iter()
        .partition(|approval| approval.standing == "open");
    let mut out = Html::default();
    out.raw("<h2>Open</h2>");
    if open.is_empty() {
        out.raw("<p class=\"soft\">Nobody waits.</p>");
    }
    for approval in open {
        out.raw("<section class=\"card\"><p><b>")
            .text(&approval.principal)
            .raw("</b> asks to <b>");
        out.text(&approval.operation)
            .raw("</b> on <b>")
            .text(&approval.topic)
            .raw("</b> under rule ")
            .text(&approval.rule);
        out.raw("</p><p class=\"soft\">Asked by ")
            .text(&approval.requester)
            .raw(" at ");
        out.text(time::show_ms(approval.opened_unix_ms))
            .raw(", open until ")
            .text(time::show_ms(approval.expires_unix_ms));
        out.raw(" (UTC). ").text(&approval.reason).raw("</p>");
        if !approval.approvers.is_empty() {
            out.raw("<p>Approved so far by ")
                .text(approval.approvers.join(", "))
                .raw("</p>");
        }
        out.raw("<form class=\"inline\" method=\"post\" action=\"/approvals/")
            .text(&approval.id)
            .raw("\">");
        out.raw("<input type=\"hidden\" name=\"csrf\" value=\"")
            .text(&visitor.csrf)
            .raw("\">");
        out.raw("<input name=\"reason\" aria-label=\"Reason\" placeholder=\"Reason\" maxlength=\"500\">");
        out.raw("<button name=\"answer\" value=\"approve\">Approve</button>");
        out.raw("<button class=\"no\" name=\"answer\" value=\"refuse\">Refuse</button></form></section>");
    }
    out.raw("<h2>Decided</h2>").part(&table(&over));
    Ok(page("Approvals", "/approvals", &visitor, &out))
}

pub(in crate::web) async fn decide(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(form): Form<DecisionForm>,
) -> Result<Redirect, Failure> {
    visitor.check(&form.csrf)?;
    web.control
        .decide_approval(&visitor.caller, &id, form.answer, &form.reason)
        .await?;
    Ok(Redirect::to("/approvals"))
}

fn table(approvals: &[&v1::Approval]) -> Html {
    let mut out = Html::default();
    if approvals.is_empty() {
        out.raw("<p class=\"soft\">None yet.</p>");
        return out;
    }
    out.raw("<div class=\"scroll\"><table><thead><tr><th>Opened (UTC)</th><th>Principal</th><th>Operation</th><th>Topic</th>")
        .raw("<th>Requester</th><th>Standing</th><th>Approvers</th><th>Ends (UTC)</th></tr></thead><tbody>");
    for approval in approvals {
        out.raw("<tr><td class=\"nowrap\">")
            .text(time::show_ms(approval.opened_unix_ms))
            .raw("</td><td>");
        out.text(&approval.principal)
            .raw("</td><td>")
            .text(&approval.operation)
            .raw("</td><td>")
            .text(&approval.topic);
        out.raw("</td><td>")
            .text(&approval.requester)
            .raw("</td><td>");
        out.raw(match approval.standing.as_str() {
            "approved" => "<span class=\"tag good\">",
            "refused" => "<span class=\"tag bad\">",
            _ => "<span class=\"tag\">",
        });
        out.text(&approval.standing)
            .raw("</span></td><td>")
            .text(approval.approvers.join(", "));
        out.raw("</td><td class=\"nowrap\">")
            .text(time::show_ms(approval.expires_unix_ms))
            .raw("</td></tr>");
    }
    out.raw("</tbody></table></div>");
    out
}
