//! Ask, approve, grant; and who may not.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::post;
use sluice_controlplane::config::StoreConfig;
use sluice_proto::v1::ask_approval_response::Standing;
use sluice_proto::v1::{self, published};
use tonic::{Code, Streaming};

use crate::support::{POLICY, World, within};

fn ask() -> v1::AskApprovalRequest {
    v1::AskApprovalRequest {
        gateway: "gateway-1".to_owned(),
        principal: "User:svc-payments".to_owned(),
        operation: "Write".to_owned(),
        topic: "payments".to_owned(),
        rule: "one-owner".to_owned(),
        client_id: "producer-1".to_owned(),
        session: "00000000000000000000000000000007".to_owned(),
    }
}

fn request() -> v1::RequestApprovalRequest {
    v1::RequestApprovalRequest {
        principal: "User:svc-payments".to_owned(),
        operation: "Write".to_owned(),
        topic: "payments".to_owned(),
        reason: "month end".to_owned(),
    }
}

fn decide(id: &str, approve: bool) -> v1::DecideApprovalRequest {
    v1::DecideApprovalRequest {
        id: id.to_owned(),
        approve,
        reason: "seen".to_owned(),
    }
}

#[tokio::test]
async fn a_held_write_is_granted_by_another_person_and_the_gateway_hears_of_it() {
    let world = World::with_policy().await;
    let mut link = world.link().await;
    let mut stream = subscribe(&world).await;
    let asked = link.ask_approval(ask()).await.unwrap().into_inner();
    assert_eq!(asked.standing(), Standing::Open);
    // The same question is the same request.
    assert_eq!(
        link.ask_approval(ask()).await.unwrap().into_inner().id,
        asked.id
    );

    // alice belongs to the quorum's group, and owns svc-payments.
    let own = world
        .admin("alice")
        .await
        .decide_approval(decide(&asked.id, true))
        .await
        .unwrap_err();
    assert_eq!(own.code(), Code::PermissionDenied);
    // peggy is an author and in no group of approvers.
    let outside = world
        .admin("peggy")
        .await
        .decide_approval(decide(&asked.id, true))
        .await
        .unwrap_err();
    assert_eq!(outside.code(), Code::PermissionDenied);
    assert_eq!(
        link.ask_approval(ask())
            .await
            .unwrap()
            .into_inner()
            .standing(),
        Standing::Open
    );

    let approved = world
        .admin("carol")
        .await
        .decide_approval(decide(&asked.id, true))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (approved.standing.as_str(), approved.approvers.as_slice()),
        ("approved", ["carol".to_owned()].as_slice())
    );
    let grants = next_grants(&mut stream, 1).await;
    assert_eq!(grants[0].principal, "User:svc-payments");
    assert_eq!(grants[0].operation, "Write");
    let answer = link.ask_approval(ask()).await.unwrap().into_inner();
    assert_eq!(answer.standing(), Standing::Approved);
    assert_eq!(answer.grant.unwrap(), grants[0]);

    // After its time the grant is over, and the next question opens a new request.
    world.clock.advance_ms(600_001);
    let again = link.ask_approval(ask()).await.unwrap().into_inner();
    assert_eq!(again.standing(), Standing::Open);
    assert_ne!(again.id, asked.id);
}

#[tokio::test]
async fn an_owner_asks_beforehand_and_cannot_approve_and_strangers_cannot_ask() {
    let world = World::with_policy().await;
    let opened = world
        .admin("alice")
        .await
        .request_approval(request())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (opened.standing.as_str(), opened.requester.as_str()),
        ("open", "alice")
    );
    let own = world
        .admin("alice")
        .await
        .decide_approval(decide(&opened.id, true))
        .await
        .unwrap_err();
    assert_eq!(own.code(), Code::PermissionDenied);
    let stranger = world
        .admin("carol")
        .await
        .request_approval(request())
        .await
        .unwrap_err();
    assert_eq!(stranger.code(), Code::PermissionDenied);
    // What needs no approval, and what a grant would not permit, is not asked for.
    let free = v1::RequestApprovalRequest {
        topic: "orders".to_owned(),
        ..request()
    };
    assert_eq!(
        world
            .admin("alice")
            .await
            .request_approval(free)
            .await
            .unwrap_err()
            .code(),
        Code::FailedPrecondition
    );
    let denied = v1::RequestApprovalRequest {
        operation: "Delete".to_owned(),
        ..request()
    };
    assert_eq!(
        world
            .admin("alice")
            .await
            .request_approval(denied)
            .await
            .unwrap_err()
            .code(),
        Code::FailedPrecondition
    );
    // The service itself sees its own request; it is the same one that its gateway finds.
    let listed = world
        .admin("svc-payments")
        .await
        .list_approvals(v1::ListApprovalsRequest { open_only: true })
        .await;
    assert_eq!(listed.unwrap().into_inner().approvals.len(), 1);
    let others = world
        .admin("svc-payments")
        .await
        .decide_approval(decide(&opened.id, true))
        .await;
    assert_eq!(others.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(
        world
            .link()
            .await
            .ask_approval(ask())
            .await
            .unwrap()
            .into_inner()
            .id,
        opened.id
    );
}

#[tokio::test]
async fn a_refusal_stands_and_a_time_out_is_recorded() {
    let world = World::with_policy().await;
    let mut link = world.link().await;
    let asked = link.ask_approval(ask()).await.unwrap().into_inner();
    world
        .admin("carol")
        .await
        .decide_approval(decide(&asked.id, false))
        .await
        .unwrap();
    let refused = link.ask_approval(ask()).await.unwrap().into_inner();
    assert_eq!(
        (refused.standing(), refused.reason.as_str()),
        (Standing::Refused, "seen")
    );
    world.clock.advance_ms(60_001);
    let open = link.ask_approval(ask()).await.unwrap().into_inner();
    assert_eq!(open.standing(), Standing::Open);
    world.clock.advance_ms(60_001);
    let late = world
        .admin("carol")
        .await
        .decide_approval(decide(&open.id, true))
        .await
        .unwrap_err();
    assert_eq!(late.code(), Code::FailedPrecondition);
    // The sweep, which runs by itself, writes it down.
    let mut dave = world.admin("dave").await;
    let search = v1::SearchEvidenceRequest {
        text: format!("timed-out {}", open.id),
        ..Default::default()
    };
    within(async {
        while dave
            .search_evidence(search.clone())
            .await
            .unwrap()
            .into_inner()
            .rows
            .is_empty()
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_restart_keeps_open_requests_and_grants() {
    let mut world = World::with_policy().await;
    let asked = world
        .link()
        .await
        .ask_approval(ask())
        .await
        .unwrap()
        .into_inner();
    world.restart().await;
    let found = world
        .link()
        .await
        .ask_approval(ask())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (found.id.as_str(), found.standing()),
        (asked.id.as_str(), Standing::Open)
    );
    world
        .admin("carol")
        .await
        .decide_approval(decide(&asked.id, true))
        .await
        .unwrap();
    world.restart().await;
    let mut stream = subscribe(&world).await;
    assert_eq!(next_grants(&mut stream, 1).await[0].id, asked.id);
}

#[tokio::test]
async fn every_step_of_an_approval_is_evidence() {
    let world = World::with_policy().await;
    let asked = world
        .link()
        .await
        .ask_approval(ask())
        .await
        .unwrap()
        .into_inner();
    world
        .admin("alice")
        .await
        .decide_approval(decide(&asked.id, true))
        .await
        .unwrap_err();
    world
        .admin("carol")
        .await
        .decide_approval(decide(&asked.id, true))
        .await
        .unwrap();
    let search = v1::SearchEvidenceRequest {
        text: asked.id,
        topic: "payments".to_owned(),
        ..Default::default()
    };
    let rows = world
        .admin("dave")
        .await
        .search_evidence(search)
        .await
        .unwrap()
        .into_inner()
        .rows;
    let told: Vec<_> = rows
        .iter()
        .rev()
        .map(|row| (row.kind.as_str(), row.principal.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("ApprovalAsked", "User:svc-payments"),
            ("Denied", "User:alice"),
            ("ApprovalDecided", "User:carol")
        ]
    );
}

#[tokio::test]
async fn the_webhook_hears_of_an_open_request_even_if_its_first_answer_is_an_error() {
    let heard = Arc::new(Mutex::new(Vec::<serde_json::Value>::new()));
    let (told, mut hears) = tokio::sync::mpsc::channel::<()>(4);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let pages = Router::new().route("/hook", {
        let heard = Arc::clone(&heard);
        post(
            async move |axum::Json(notice): axum::Json<serde_json::Value>| {
                let count = {
                    let mut heard = heard.lock().unwrap();
                    heard.push(notice);
                    heard.len()
                };
                told.send(()).await.unwrap();
                if count == 1 {
                    axum::http::StatusCode::SERVICE_UNAVAILABLE
                } else {
                    axum::http::StatusCode::OK
                }
            },
        )
    });
    tokio::spawn(async move { axum::serve(listener, pages).await.unwrap() });
    let world = World::start_with(StoreConfig::Embedded, |config| {
        config.webhook_url = Some(url)
    })
    .await;
    world.apply("root", POLICY).await.revision.unwrap();
    let asked = world
        .link()
        .await
        .ask_approval(ask())
        .await
        .unwrap()
        .into_inner();
    within(hears.recv()).await.unwrap();
    within(hears.recv()).await.unwrap();
    let notice = heard.lock().unwrap()[1].clone();
    assert_eq!(notice["id"], asked.id);
    assert_eq!(notice["quorum"]["of"], "payments-owners");
}

async fn subscribe(world: &World) -> Streaming<v1::Published> {
    let request = v1::SubscribeRequest {
        gateway: "gateway-1".to_owned(),
        in_force: None,
    };
    world
        .link()
        .await
        .subscribe(request)
        .await
        .unwrap()
        .into_inner()
}

/// Reads on until as many grants hold.
async fn next_grants(stream: &mut Streaming<v1::Published>, count: usize) -> Vec<v1::Grant> {
    loop {
        let message = within(stream.message())
            .await
            .unwrap()
            .expect("the stream goes on");
        if let Some(published::Item::Grants(grants)) = message.item
            && grants.grants.len() == count
        {
            return grants.grants;
        }
    }
}
