//! The documents in force.

use std::sync::Arc;

use axum::extract::State;

use super::{Page, page};
use crate::web::Web;
use crate::web::html::Html;
use crate::web::login::Visitor;

pub(in crate::web) async fn show(State(web): State<Arc<Web>>, visitor: Visitor) -> Page {
    let stored = web.control.get(&visitor.caller, "", "")?;
    let mut out = Html::default();
    out.raw("<p class=\"soft\">Revision ")
        .number(stored.revision.map_or(0, |revision| revision.number));
    out.raw(", ").number(stored.documents.len() as u64);
    out.raw(" documents. Policy is changed with <code>sluice apply</code>, which shows every conflict of duties first.</p>");
    let mut kind = String::new();
    for document in &stored.documents {
        if document.kind != kind {
            kind.clone_from(&document.kind);
            out.raw("<h2>").text(&kind).raw("</h2>");
        }
        out.raw("<details class=\"card\"><summary>")
            .text(&document.name)
            .raw("</summary><pre>");
        out.text(&document.text).raw("</pre></details>");
    }
    Ok(page("Policy", "/policy", &visitor, &out))
}
