//! Gateways and their revisions, what happened lately, what is wrong.

use std::sync::Arc;

use axum::extract::State;
use sluice_policy::ControlRole;

use super::{Page, page};
use crate::publish::order;
use crate::web::html::Html;
use crate::web::login::Visitor;
use crate::web::{Web, time};

const DAY_MS: i64 = 24 * 3600 * 1000;

pub(in crate::web) async fn show(State(web): State<Arc<Web>>, visitor: Visitor) -> Page {
    let control = &web.control;
    let policy = control.follower.in_force();
    let mut out = Html::default();
    if let Some(problem) = control.follower.problem() {
        out.raw("<p class=\"card bad\" role=\"alert\">The stored policy is not in force: ")
            .text(problem)
            .raw("</p>");
    }
    let open = control.list_approvals(&visitor.caller, true);
    out.raw("<div class=\"tiles\"><div class=\"card\"><b>")
        .number(policy.revision.number);
    out.raw("</b>policy revision</div><div class=\"card\"><b>")
        .number(policy.set.documents().len() as u64);
    out.raw("</b>documents</div><div class=\"card\"><b>")
        .number(open.len() as u64);
    out.raw("</b><a href=\"/approvals\">open approval requests</a></div></div>");

    let gateways = control.publisher.gateways();
    let newest = control
        .publisher
        .newest()
        .map(|snapshot| order(&snapshot.revision));
    out.raw("<h2>Gateways</h2>");
    if gateways.is_empty() {
        out.raw("<p class=\"soft\">No gateway has linked since this control plane started.</p>");
    } else {
        out.raw("<div class=\"scroll\"><table><thead><tr><th>Gateway</th><th>Link</th><th>Revision in force</th><th>Standing</th>")
            .raw("<th>Last seen (UTC)</th></tr></thead><tbody>");
    }
    for (name, standing) in &gateways {
        let in_force = standing.in_force.as_ref();
        out.raw("<tr><td>").text(name).raw("</td><td>");
        out.raw(if standing.links_count > 0 {
            "linked"
        } else {
            "away"
        })
        .raw("</td><td>");
        out.text(
            in_force.map_or_else(|| "none".to_owned(), |revision| revision.number.to_string()),
        )
        .raw("</td><td>");
        if !standing.error.is_empty() {
            out.raw("<span class=\"bad\">")
                .text(&standing.error)
                .raw("</span>");
        } else if in_force.map(order) == newest {
            out.raw("<span class=\"good\">newest in force</span>");
        } else {
            out.raw("<span class=\"wait\">not yet the newest</span>");
        }
        out.raw("</td><td class=\"nowrap\">")
            .text(time::show_ms(standing.last_seen_unix_ms))
            .raw("</td></tr>");
    }
    if !gateways.is_empty() {
        out.raw("</tbody></table></div>");
    }

    // Evidence, even in sums, is for auditors and operators.
    if visitor
        .caller
        .require(&[ControlRole::Auditor, ControlRole::Operator])
        .is_ok()
    {
        let since_unix_ms = control.clock.unix_ms() - DAY_MS;
        let counts = control
            .indexed(move |index| index.counts(since_unix_ms))
            .await?;
        out.raw("<h2>Evidence of the last 24 hours</h2>")
            .part(&bars(&counts));
        let alarms = control.archive.alarms(10)?;
        if !alarms.is_empty() {
            out.raw("<h2 class=\"bad\">Alarms</h2><div class=\"scroll\"><table><tbody>");
            for alarm in alarms {
                out.raw("<tr><td class=\"nowrap\">")
                    .text(time::show_ms(alarm.time_unix_ms))
                    .raw("</td><td>");
                out.text(alarm.text).raw("</td></tr>");
            }
            out.raw("</tbody></table></div>");
        }
        out.raw("<h2>Evidence logs</h2><div class=\"scroll\"><table><thead><tr><th>Log</th><th>Gateway</th><th>Leaves held</th>")
            .raw("<th>Checkpoints</th><th>Verifier key</th></tr></thead><tbody>");
        for log in control.archive.logs()? {
            out.raw("<tr><td class=\"mono\">")
                .text(log.log)
                .raw("</td><td>")
                .text(log.gateway)
                .raw("</td><td>");
            out.number(log.next_leaf)
                .raw("</td><td>")
                .number(log.checkpoints_count)
                .raw("</td><td class=\"mono\">")
                .text(log.verifier_key)
                .raw("</td></tr>");
        }
        out.raw("</tbody></table></div>");
    }
    Ok(page("Overview", "/", &visitor, &out))
}

/// One bar per kind; the number stands beside it, so that nobody has to see lengths or colours.
fn bars(counts: &[(String, u64)]) -> Html {
    const WIDTH: u64 = 420;
    let mut out = Html::default();
    let Some(most) = counts
        .iter()
        .map(|(_, count)| *count)
        .max()
        .filter(|most| *most > 0)
    else {
        out.raw("<p class=\"soft\">None.</p>");
        return out;
    };
    out.raw("<div class=\"card scroll\"><svg role=\"img\" aria-label=\"Records by kind\" width=\"720\" height=\"");
    out.number(counts.len() as u64 * 24 + 4).raw("\">");
    for (row, (kind, count)) in counts.iter().enumerate() {
        let top = row as u64 * 24;
        let length = (count * WIDTH / most).max(2);
        out.raw("<text x=\"0\" y=\"")
            .number(top + 16)
            .raw("\">")
            .text(kind)
            .raw("</text><rect class=\"bar");
        if matches!(
            kind.as_str(),
            "Denied" | "Rejected" | "Refused" | "AuthenticationFailed" | "Alarm"
        ) {
            out.raw(" no");
        }
        out.raw("\" x=\"170\" rx=\"3\" height=\"16\" y=\"")
            .number(top + 4)
            .raw("\" width=\"")
            .number(length);
        out.raw("\"/><text x=\"")
            .number(178 + length)
            .raw("\" y=\"")
            .number(top + 16)
            .raw("\">")
            .number(*count)
            .raw("</text>");
    }
    out.raw("</svg></div>");
    out
}
