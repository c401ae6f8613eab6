//! Apply, plan, get; who may; what a restart keeps.

use serde_json::json;
use sluice_controlplane::config::StoreConfig;
use sluice_controlplane::config::{DevelopmentIssuers, LinkTrust};
use sluice_controlplane::serve;
use sluice_proto::v1;
use tonic::Code;

use crate::support::etcd::Etcd;
use crate::support::issuer::Issuer;
use crate::support::{POLICY, World, apply};

const ADMIN_FOR_ALICE: &str = "
kind: Binding
metadata: {name: alice}
spec: {match: {issuer: demo, claims: {sub: alice}}, roles: [topic-admin], groups: [payments-owners]}
";

#[tokio::test]
async fn the_first_author_fills_an_empty_store_and_is_then_nobody() {
    let world = World::with_policy().await;
    let refused = world
        .admin("root")
        .await
        .apply(apply(POLICY))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(
        world
            .apply("peggy", POLICY)
            .await
            .changes
            .iter()
            .all(|line| line.ends_with(" unchanged"))
    );
}

#[tokio::test]
async fn refuses_a_conflict_of_duty_naming_roles_and_person_and_keeps_what_was() {
    let world = World::with_policy().await;
    let before = world
        .admin("peggy")
        .await
        .get(v1::GetRequest::default())
        .await
        .unwrap()
        .into_inner();
    let answer = world.apply("peggy", ADMIN_FOR_ALICE).await;
    assert!(answer.revision.is_none());
    let said: Vec<_> = answer
        .problems
        .iter()
        .map(|problem| problem.message.as_str())
        .collect();
    let conflict = said
        .iter()
        .find(|message| message.contains("topic-admin"))
        .expect("the conflict is reported");
    for name in ["alice", "orders", "no-one-writes-and-deletes"] {
        assert!(conflict.contains(name), "{name} is missing in: {conflict}");
    }
    let after = world
        .admin("peggy")
        .await
        .get(v1::GetRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(before, after);
    // The same duty in another person's hands is accepted.
    let for_carol = ADMIN_FOR_ALICE.replace("alice", "carol");
    let accepted = world.apply("peggy", &for_carol).await;
    assert_eq!(accepted.problems, []);
    assert!(accepted.revision.unwrap().number > before.revision.unwrap().number);
}

#[tokio::test]
async fn reports_every_problem_with_its_line() {
    let world = World::with_policy().await;
    let broken = "kind: Role\nmetadata: {name: a}\nspec: {permissions: [{operations: [Fly], topics: [x]}], wings: 2}\n---\nkind: Binding\nmetadata: {name: b}\nspec: {match: {issuer: demo, claims: {sub: b}}, owner: alice, roles: [absent]}\n";
    let answer = world.apply("peggy", broken).await;
    assert!(answer.problems.len() >= 3, "{:?}", answer.problems);
    assert!(
        answer
            .problems
            .iter()
            .all(|problem| problem.file == "policy.yaml" && problem.line > 0)
    );
}

/// Each of the masks is possible, and all of them are not on one topic: no gateway could take the policy.
#[tokio::test]
async fn refuses_masks_that_together_are_no_plan_and_names_them() {
    let world = World::with_policy().await;
    let mask = |name: &str, topic: &str, headers: usize| {
        let headers: Vec<String> = (0..headers).map(|n| format!("{name}-{n}")).collect();
        format!(
            "kind: Mask\nmetadata: {{name: {name}}}\nspec: {{topics: [{topic}], headers: [{}], token: {{shape: opaque, domain: d}}}}\n",
            headers.join(", ")
        )
    };
    let together = [mask("many", "orders", 90), mask("more", "orders", 60)].join("---\n");
    for dry_run in [true, false] {
        let request = v1::ApplyRequest {
            dry_run,
            ..apply(&together)
        };
        let refused = world.admin("peggy").await.apply(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let message = refused.message();
        assert!(message.contains("masks many, more"), "{message}");
    }
    let apart = [mask("many", "orders", 90), mask("more", "clicks", 60)].join("---\n");
    assert!(world.apply("peggy", &apart).await.revision.is_some());
}

#[tokio::test]
async fn a_plan_says_what_would_change_and_changes_nothing() {
    let world = World::with_policy().await;
    let mut admin = world.admin("peggy").await;
    let before = admin
        .get(v1::GetRequest::default())
        .await
        .unwrap()
        .into_inner();
    let documents = "kind: Role\nmetadata: {name: orders-writer}\nspec: {permissions: [{operations: [Write], topics: [orders]}]}\n---\nkind: Role\nmetadata: {name: fresh}\nspec: {permissions: [{operations: [Read], topics: [orders]}]}\n";
    let plan = admin
        .apply(v1::ApplyRequest {
            dry_run: true,
            ..apply(documents)
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        plan.changes,
        ["Role/fresh created", "Role/orders-writer changed"]
    );
    assert!(plan.revision.is_none());
    assert_eq!(
        admin
            .get(v1::GetRequest::default())
            .await
            .unwrap()
            .into_inner(),
        before
    );
    let one = v1::GetRequest {
        kind: "Role".to_owned(),
        name: "orders-writer".to_owned(),
    };
    assert_eq!(
        admin.get(one).await.unwrap().into_inner().documents.len(),
        1
    );
}

#[tokio::test]
async fn prune_removes_what_is_not_named_unless_something_needs_it() {
    let world = World::with_policy().await;
    let mut admin = world.admin("peggy").await;
    let smaller = POLICY.replace(
        "kind: Mask\nmetadata: {name: personal-data}",
        "kind: Mask\nmetadata: {name: other}",
    );
    let answer = admin
        .apply(v1::ApplyRequest {
            prune: true,
            ..apply(&smaller)
        })
        .await
        .unwrap()
        .into_inner();
    assert!(
        answer
            .changes
            .contains(&"Mask/personal-data removed".to_owned()),
        "{answer:?}"
    );
    let binding_alone = POLICY.rsplit("---").next().unwrap();
    let roles_needed = POLICY.split("---").nth(8).unwrap();
    let answer = admin
        .apply(v1::ApplyRequest {
            prune: true,
            ..apply(&format!("{binding_alone}---{roles_needed}"))
        })
        .await
        .unwrap()
        .into_inner();
    assert!(
        answer.revision.is_none() && !answer.problems.is_empty(),
        "{answer:?}"
    );
}

#[tokio::test]
async fn refuses_calls_without_a_token_with_an_expired_one_and_with_a_strangers() {
    let world = World::with_policy().await;
    for token in ["", "garbage", &world.issuer.token_with("peggy", 1_000)] {
        let refused = world
            .admin_with_token(token)
            .await
            .get(v1::GetRequest::default())
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{token}");
    }
    let other = World::start().await;
    let stranger = other.issuer.token("peggy");
    let refused = world
        .admin_with_token(&stranger)
        .await
        .get(v1::GetRequest::default())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let unbound = world
        .admin("mallory")
        .await
        .get(v1::GetRequest::default())
        .await
        .unwrap_err();
    assert_eq!(unbound.code(), Code::PermissionDenied);
    // A service principal without a role reads no policy, an operator changes none, an author reads no evidence.
    assert!(
        world
            .admin("svc-orders")
            .await
            .get(v1::GetRequest::default())
            .await
            .is_err()
    );
    assert_eq!(
        world
            .admin("erin")
            .await
            .apply(apply(POLICY))
            .await
            .unwrap_err()
            .code(),
        Code::PermissionDenied
    );
    let search = world
        .admin("peggy")
        .await
        .search_evidence(v1::SearchEvidenceRequest::default())
        .await;
    assert_eq!(search.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_development_provider_is_trusted_only_where_it_is_allowed() {
    let provider = Issuer::start_with(json!({ "sluice_development_provider": true })).await;
    for development in [DevelopmentIssuers::Refuse, DevelopmentIssuers::Allow] {
        let world = World::start_with(StoreConfig::Embedded, |config| {
            config.development_issuers = development;
            let mut marked = config.issuers[0].clone();
            marked.name = "marked".to_owned();
            marked.url.clone_from(&provider.url);
            config.issuers.push(marked);
            config.first_author.as_mut().unwrap().issuer = "marked".to_owned();
        })
        .await;
        let mut admin = world.admin_with_token(&provider.token("root")).await;
        let answer = admin.get(v1::GetRequest::default()).await;
        match development {
            DevelopmentIssuers::Allow => assert!(answer.is_ok(), "{answer:?}"),
            DevelopmentIssuers::Refuse => {
                assert_eq!(answer.unwrap_err().code(), Code::Unauthenticated);
            }
        }
        // A real provider on loopback, as behind a TLS proxy, is known in both; root is nobody there.
        let mut admin = world.admin("root").await;
        let answer = admin.get(v1::GetRequest::default()).await;
        assert_eq!(answer.unwrap_err().code(), Code::PermissionDenied);
    }
}

#[tokio::test]
async fn refuses_to_start_with_plain_text_beyond_loopback_or_keys_of_unknown_origin() {
    let world = World::start().await;
    let mut config = world.config().clone();
    config.issuers[0].url = "http://idp.example".to_owned();
    assert!(
        serve(config)
            .await
            .unwrap_err()
            .to_string()
            .contains("plain http")
    );
    let mut config = world.config().clone();
    config.development_issuers = DevelopmentIssuers::Refuse;
    config.issuers[0].jwks_url = Some(format!("{}/jwks", world.issuer.url));
    assert!(
        serve(config)
            .await
            .unwrap_err()
            .to_string()
            .contains("without TLS")
    );
    let mut config = world.config().clone();
    config.link = LinkTrust::DangerPlainLoopback;
    config.grpc_listen = "0.0.0.0:0".parse().unwrap();
    assert!(serve(config).await.is_err());
    let mut config = world.config().clone();
    config.dashboard_listen = Some("0.0.0.0:0".parse().unwrap());
    assert!(serve(config).await.is_err());
}

#[tokio::test]
async fn a_restart_keeps_the_policy_and_its_revision() {
    let mut world = World::with_policy().await;
    let before = world
        .admin("peggy")
        .await
        .get(v1::GetRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert!(before.documents.len() > 10);
    world.restart().await;
    assert_eq!(
        world
            .admin("peggy")
            .await
            .get(v1::GetRequest::default())
            .await
            .unwrap()
            .into_inner(),
        before
    );
}

#[tokio::test]
async fn the_same_works_on_etcd_and_over_a_restart() {
    let etcd = Etcd::start().await;
    let store = StoreConfig::Etcd {
        endpoints: vec![etcd.endpoint.clone()],
        prefix: "/sluice".to_owned(),
    };
    let mut world = World::start_with(store, |_| {}).await;
    world.apply("root", POLICY).await.revision.unwrap();
    assert!(
        world
            .apply("peggy", ADMIN_FOR_ALICE)
            .await
            .revision
            .is_none()
    );
    let before = world
        .admin("peggy")
        .await
        .get(v1::GetRequest::default())
        .await
        .unwrap()
        .into_inner();
    world.restart().await;
    assert_eq!(
        world
            .admin("peggy")
            .await
            .get(v1::GetRequest::default())
            .await
            .unwrap()
            .into_inner(),
        before
    );
}
