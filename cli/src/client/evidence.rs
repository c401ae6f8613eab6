//! evidence search and logs.

use std::io::Write as _;

use sluice_proto::v1;

use super::timeline::Timeline;
use super::{connect, refused};
use crate::args::{ControlPlane, LogsArgs, SearchArgs};
use crate::failure::Failure;
use crate::table::table;
use crate::time::{now_unix_ms, parse_unix_ms};

pub(super) async fn search(args: &SearchArgs) -> Result<(), Failure> {
    let request = v1::SearchEvidenceRequest {
        principal: args.principal.clone(),
        topic: args.topic.clone(),
        kind: kind(&args.kind)?,
        session: args.session.clone(),
        from_unix_ms: time("--from", args.from.as_deref())?,
        to_unix_ms: time("--to", args.to.as_deref())?,
        text: args.text.clone(),
        limit: args.limit,
    };
    let found = connect(&args.control)
        .await?
        .search_evidence(request)
        .await
        .map_err(refused)?
        .into_inner();
    let mut out = std::io::stdout().lock();
    for row in &found.rows {
        let text = if args.json {
            format!("{}\n", row.json)
        } else {
            Timeline::line_of(row)
        };
        if out.write_all(text.as_bytes()).is_err() {
            return Ok(());
        }
    }
    if found.rows.len() as u64 == u64::from(args.limit) {
        eprintln!("sluice: there may be more; raise --limit, or narrow with --from and --to");
    }
    Ok(())
}

pub(super) async fn logs(args: &LogsArgs) -> Result<(), Failure> {
    let logs = held_logs(&args.control).await?;
    let text = if args.json {
        logs.iter().map(json_line).collect()
    } else {
        told(logs)
    };
    // A reader that has seen enough is no failure.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Ok(())
}

/// The logs that the control plane holds.
///
/// # Errors
/// What the control plane refused, and what to do next.
pub(crate) async fn held_logs(control: &ControlPlane) -> Result<Vec<v1::EvidenceLogRow>, Failure> {
    let listed = connect(control)
        .await?
        .list_evidence_logs(v1::ListEvidenceLogsRequest {})
        .await
        .map_err(refused)?;
    Ok(listed.into_inner().logs)
}

/// The key comes last: it is the longest.
fn told(logs: Vec<v1::EvidenceLogRow>) -> String {
    let rows: Vec<_> = logs
        .into_iter()
        .map(|row| {
            let signed = row.checkpoint.lines().nth(1).unwrap_or("none").to_owned();
            [
                row.log,
                row.gateway,
                row.held_leaves.to_string(),
                signed,
                row.verifier_key,
            ]
        })
        .collect();
    table(["LOG", "GATEWAY", "HELD", "SIGNED", "VERIFIER KEY"], &rows)
}

fn json_line(row: &v1::EvidenceLogRow) -> String {
    let object = serde_json::json!({
        "log": row.log,
        "gateway": row.gateway,
        "verifier_key": row.verifier_key,
        "held_leaves": row.held_leaves,
        "checkpoint": row.checkpoint,
    });
    format!("{object}\n")
}

/// A kind by its name, letter case apart.
fn kind(text: &str) -> Result<String, Failure> {
    use sluice_evidence::Kind;
    if text.is_empty() {
        return Ok(String::new());
    }
    let found = Kind::ALL
        .iter()
        .find(|kind| kind.name().eq_ignore_ascii_case(text));
    let all = || {
        Kind::ALL
            .iter()
            .map(|kind| kind.name())
            .collect::<Vec<_>>()
            .join(", ")
    };
    found
        .map(|kind| kind.name().to_owned())
        .ok_or_else(|| Failure::usage(format!("{text} is no kind; there are {}", all())))
}

/// 0, which bounds nothing, when absent.
fn time(option: &str, text: Option<&str>) -> Result<i64, Failure> {
    let Some(text) = text else { return Ok(0) };
    parse_unix_ms(text, now_unix_ms())
        .ok_or_else(|| Failure::usage(format!("{option} {text}: write 2026-01-31T10:00:00Z, 2026-01-31, or how long ago: 90s, 15m, 2h, 1d")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logs_key_is_shown_whole_and_json_has_its_checkpoint() {
        let row = v1::EvidenceLogRow {
            log: "sluice.test/gateway-1/shard-0".into(),
            gateway: "gateway-1".into(),
            verifier_key: "sluice.test/gateway-1/shard-0+0a+AbC/==".into(),
            held_leaves: 7,
            checkpoint: "sluice.test/gateway-1/shard-0\n5\nroot\n\n".into(),
        };
        let line = json_line(&row);
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            read["checkpoint"],
            "sluice.test/gateway-1/shard-0\n5\nroot\n\n"
        );
        assert_eq!(line.matches('\n').count(), 1);
        let text = told(vec![row]);
        let cells: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(
            cells[1..],
            [
                "gateway-1",
                "7",
                "5",
                "sluice.test/gateway-1/shard-0+0a+AbC/=="
            ]
        );
    }

    #[test]
    fn kinds_are_found_whatever_their_case_and_listed_when_unknown() {
        assert_eq!(kind("denied").unwrap(), "Denied");
        assert_eq!(kind("").unwrap(), "");
        assert!(
            kind("Nope")
                .unwrap_err()
                .to_string()
                .contains("SessionOpened")
        );
    }
}
