//! sessions list, sessions replay, gateways.

use std::io::Write as _;

use sluice_proto::v1;

use super::timeline::Timeline;
use super::{connect, refused};
use crate::args::{ControlPlane, SessionsVerb};
use crate::failure::Failure;
use crate::table::table;
use crate::time::rfc3339_ms;

pub(super) async fn sessions(verb: &SessionsVerb) -> Result<(), Failure> {
    match verb {
        SessionsVerb::List { limit, control } => list(*limit, control).await,
        SessionsVerb::Replay { id, json, control } => replay(id, *json, control).await,
    }
}

async fn list(limit: u32, control: &ControlPlane) -> Result<(), Failure> {
    let request = v1::ListSessionsRequest { limit };
    let listed = connect(control)
        .await?
        .list_sessions(request)
        .await
        .map_err(refused)?
        .into_inner();
    let rows: Vec<_> = listed
        .sessions
        .into_iter()
        .map(|row| {
            [
                row.session,
                row.principal,
                row.client_id,
                row.peer,
                time(row.opened_unix_ns),
                if row.closed_unix_ns > 0 {
                    time(row.closed_unix_ns)
                } else {
                    "open".to_owned()
                },
                row.records_count.to_string(),
                row.denied_count.to_string(),
            ]
        })
        .collect();
    let heads = [
        "SESSION",
        "PRINCIPAL",
        "CLIENT ID",
        "FROM",
        "OPENED",
        "CLOSED",
        "RECORDS",
        "DENIED",
    ];
    print!("{}", table(heads, &rows));
    Ok(())
}

async fn replay(id: &str, json: bool, control: &ControlPlane) -> Result<(), Failure> {
    let request = v1::ReplaySessionRequest {
        session: id.to_owned(),
    };
    let mut rows = connect(control)
        .await?
        .replay_session(request)
        .await
        .map_err(refused)?
        .into_inner();
    let mut timeline = Timeline::default();
    let mut out = std::io::stdout().lock();
    let mut rows_count = 0_u64;
    while let Some(row) = rows.message().await.map_err(refused)? {
        rows_count += 1;
        let text = if json {
            format!("{}\n", row.json)
        } else {
            timeline.render(&row)
        };
        if out.write_all(text.as_bytes()).is_err() {
            // The reader has seen enough.
            return Ok(());
        }
    }
    if rows_count == 0 {
        return Err(Failure::refused(format!(
            "there is no evidence of a session {id}; `sluice sessions list` shows them"
        )));
    }
    Ok(())
}

pub(super) async fn gateways(control: &ControlPlane) -> Result<(), Failure> {
    let listed = connect(control)
        .await?
        .list_gateways(v1::ListGatewaysRequest {})
        .await
        .map_err(refused)?
        .into_inner();
    let rows: Vec<_> = listed
        .gateways
        .into_iter()
        .map(|row| {
            let revision = row
                .revision
                .map_or("none".to_owned(), |revision| revision.number.to_string());
            [
                row.gateway,
                revision,
                rfc3339_ms(row.last_seen_unix_ms),
                row.error,
            ]
        })
        .collect();
    print!(
        "{}",
        table(["GATEWAY", "REVISION", "LAST SEEN", "ERROR"], &rows)
    );
    Ok(())
}

fn time(unix_ns: i64) -> String {
    rfc3339_ms(unix_ns.div_euclid(1_000_000))
}
