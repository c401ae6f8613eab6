//! request, and approvals list, approve, refuse.

use sluice_proto::v1;

use super::{connect, refused};
use crate::args::{ApprovalsVerb, ControlPlane, RequestArgs};
use crate::failure::Failure;
use crate::table::{clean, table};
use crate::time::rfc3339_ms;

pub(super) async fn request(args: &RequestArgs) -> Result<(), Failure> {
    let principal = match args.principal.as_str() {
        named if named.starts_with("User:") => named.to_owned(),
        name => format!("User:{name}"),
    };
    let request = v1::RequestApprovalRequest {
        principal,
        operation: args.operation.clone(),
        topic: args.topic.clone(),
        reason: args.reason.clone(),
    };
    let opened = connect(&args.control)
        .await?
        .request_approval(request)
        .await
        .map_err(refused)?
        .into_inner();
    println!("{}", line(&opened));
    if opened.standing == "open" {
        println!(
            "next: a member of the rule's quorum runs `sluice approvals approve {}`",
            clean(&opened.id)
        );
    }
    Ok(())
}

pub(super) async fn approvals(verb: &ApprovalsVerb) -> Result<(), Failure> {
    match verb {
        ApprovalsVerb::List { open, control } => list(*open, control).await,
        ApprovalsVerb::Approve {
            id,
            reason,
            control,
        } => decide(id, true, reason, control).await,
        ApprovalsVerb::Refuse {
            id,
            reason,
            control,
        } => decide(id, false, reason, control).await,
    }
}

async fn list(open_only: bool, control: &ControlPlane) -> Result<(), Failure> {
    let request = v1::ListApprovalsRequest { open_only };
    let listed = connect(control)
        .await?
        .list_approvals(request)
        .await
        .map_err(refused)?
        .into_inner();
    let rows: Vec<_> = listed.approvals.iter().map(row).collect();
    let heads = [
        "ID",
        "STANDING",
        "WHO",
        "WHAT",
        "RULE",
        "ASKED BY",
        "APPROVED BY",
        "EXPIRES",
        "REASON",
    ];
    print!("{}", table(heads, &rows));
    Ok(())
}

async fn decide(
    id: &str,
    approve: bool,
    reason: &str,
    control: &ControlPlane,
) -> Result<(), Failure> {
    let request = v1::DecideApprovalRequest {
        id: id.to_owned(),
        approve,
        reason: reason.to_owned(),
    };
    let decided = connect(control)
        .await?
        .decide_approval(request)
        .await
        .map_err(refused)?
        .into_inner();
    println!("{}", line(&decided));
    Ok(())
}

fn row(approval: &v1::Approval) -> [String; 9] {
    [
        approval.id.clone(),
        approval.standing.clone(),
        approval.principal.clone(),
        format!("{} {}", approval.operation, approval.topic),
        approval.rule.clone(),
        approval.requester.clone(),
        approval.approvers.join(", "),
        if approval.expires_unix_ms > 0 {
            rfc3339_ms(approval.expires_unix_ms)
        } else {
            String::new()
        },
        approval.reason.clone(),
    ]
}

fn line(approval: &v1::Approval) -> String {
    let v1::Approval {
        id,
        principal,
        operation,
        topic,
        rule,
        standing,
        ..
    } = approval;
    let until = match approval.expires_unix_ms {
        ..=0 => String::new(),
        expires => format!(", until {}", rfc3339_ms(expires)),
    };
    clean(&format!(
        "{id} {standing}: {principal} {operation} {topic} (rule {rule}){until}"
    ))
    .into_owned()
}
