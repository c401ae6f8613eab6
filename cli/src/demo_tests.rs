//! The demonstration's data is what the story says it is.

use std::path::Path;

use sluice_policy::{
    Answer, Operation, PolicySet, Problem, ResourceRef, Source, explain, validate,
};

use crate::config::{Planes, read};

const POLICY: &str = include_str!("../../demo/policy.yaml");
const CONFLICT: &str = include_str!("../../demo/conflict.yaml");
const REVOKE: &str = include_str!("../../demo/revoke.yaml");
const CONFIG: &str = include_str!("../../demo/sluice.yaml.in");

fn policy() -> PolicySet {
    validate(&[Source {
        file: "policy.yaml",
        text: POLICY,
    }])
    .unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// The stored policy after `text` replaced the documents that it names, as `apply` would have it.
fn after(text: &str) -> Result<PolicySet, Vec<Problem>> {
    let stored = policy();
    let change = sluice_policy::parse(&[Source {
        file: "change.yaml",
        text,
    }]);
    let changed: Vec<_> = match &change {
        Ok(set) => set
            .documents()
            .map(|document| (document.kind, document.name.clone()))
            .collect(),
        Err(_) => Vec::new(),
    };
    let kept = stored
        .documents()
        .filter(|document| !changed.contains(&(document.kind, document.name.clone())));
    let kept: Vec<String> = kept.map(|document| document.text.clone()).collect();
    let kept = kept.join("---\n");
    validate(&[
        Source {
            file: "stored",
            text: &kept,
        },
        Source {
            file: "change.yaml",
            text,
        },
    ])
}

fn may(
    set: &PolicySet,
    principal: &str,
    operation: Operation,
    resource: ResourceRef<'_>,
) -> (Answer, Vec<String>) {
    let binding = set
        .binding(principal)
        .unwrap_or_else(|| panic!("no binding {principal}"));
    let roles: Vec<&str> = binding.roles.iter().map(String::as_str).collect();
    let explanation = explain(set, &roles, operation, resource);
    (explanation.answer, explanation.masks)
}

#[test]
fn the_demo_policy_is_valid_and_says_what_the_story_tells() {
    let set = policy();
    let topic = ResourceRef::Topic;
    let masked = vec!["personal-data".to_owned()];
    for (principal, operation, resource, expected) in [
        (
            "svc-orders",
            Operation::Write,
            topic("orders"),
            (Answer::Allow, vec![]),
        ),
        (
            "svc-orders",
            Operation::Write,
            topic("payments"),
            (Answer::NotPermitted, vec![]),
        ),
        (
            "svc-orders",
            Operation::Read,
            topic("orders"),
            (Answer::NotPermitted, vec![]),
        ),
        (
            "svc-payments",
            Operation::Write,
            topic("payments"),
            (Answer::Allow, vec![]),
        ),
        (
            "analytics",
            Operation::Read,
            topic("orders"),
            (Answer::Allow, masked),
        ),
        (
            "analytics",
            Operation::Read,
            ResourceRef::Group("analytics-1"),
            (Answer::Allow, vec![]),
        ),
        (
            "analytics-clear",
            Operation::Read,
            topic("orders"),
            (Answer::Allow, vec![]),
        ),
        (
            "carol",
            Operation::Delete,
            topic("orders"),
            (Answer::Allow, vec![]),
        ),
        (
            "carol",
            Operation::Delete,
            topic("ledger"),
            (Answer::Immutable, vec![]),
        ),
        (
            "carol",
            Operation::Write,
            topic("orders"),
            (Answer::NotPermitted, vec![]),
        ),
    ] {
        assert_eq!(
            may(&set, principal, operation, resource),
            expected,
            "{principal} {operation} {resource}"
        );
    }
    let write = explain(
        &set,
        &["payments-writer"],
        Operation::Write,
        topic("payments"),
    );
    assert_eq!(write.approval.as_deref(), Some("one-owner"));
}

#[test]
fn making_alice_a_topic_admin_is_refused_with_both_roles_and_her_name() {
    let problems = after(CONFLICT).expect_err("a conflict of duties");
    let about = problems
        .iter()
        .find(|problem| problem.message.contains("no-one-writes-and-deletes"));
    let message = &about.unwrap_or_else(|| panic!("{problems:#?}")).message;
    for word in ["alice", "orders-writer", "topic-admin", "orders"] {
        assert!(message.contains(word), "no {word} in: {message}");
    }
}

#[test]
fn the_same_role_for_somebody_who_owns_no_writer_is_accepted() {
    assert!(after(&CONFLICT.replace("alice", "oscar")).is_ok());
}

#[test]
fn the_revocation_takes_orders_from_analytics_and_nothing_else() {
    let set = after(REVOKE).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(
        may(
            &set,
            "analytics",
            Operation::Read,
            ResourceRef::Topic("orders")
        )
        .0,
        Answer::NotPermitted
    );
    assert_eq!(
        may(
            &set,
            "analytics",
            Operation::Read,
            ResourceRef::Topic("payments")
        )
        .0,
        Answer::Allow
    );
    assert_eq!(
        may(
            &set,
            "analytics-clear",
            Operation::Read,
            ResourceRef::Topic("orders")
        )
        .0,
        Answer::Allow
    );
}

#[test]
fn the_demo_configuration_is_valid_and_everybody_in_the_policy_can_get_a_token() {
    let mut text = CONFIG.to_owned();
    for (placeholder, value) in [
        ("STATE_DIR", "/tmp/demo"),
        ("BOOTSTRAP_PORT", "19092"),
        ("BROKER_PORT_BASE", "19093"),
        ("BROKERS", "127.0.0.1:9292, 127.0.0.1:9392"),
        ("BROKER_PASSWORD_FILE", "/tmp/demo/password"),
        ("GRPC_PORT", "7443"),
        ("DASHBOARD_PORT", "7080"),
        ("PROVIDER_PORT", "7081"),
    ] {
        let marked = format!("@{placeholder}@");
        assert!(text.contains(&marked), "{marked}");
        text = text.replace(&marked, value);
    }
    let config =
        read(&text, Planes::Both, Path::new("")).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    let provider = config.development_provider.unwrap();
    for binding in policy().bindings() {
        assert_eq!(binding.issuer, provider.name);
        let known = provider.clients.iter().any(|client| {
            let sub = client
                .claims
                .get("sub")
                .and_then(serde_json::Value::as_str)
                .unwrap_or(&client.id);
            binding.claims == [("sub".to_owned(), sub.to_owned())]
        });
        assert!(known, "{} has no client", binding.name);
    }
    let author = config.control.unwrap().bootstrap_author.unwrap();
    assert_eq!(
        (author.issuer.as_str(), author.value.as_str()),
        ("demo", "frank")
    );
}
