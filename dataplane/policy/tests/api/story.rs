//! The demo's policy, and what everybody in its story may do.

use sluice_policy::{
    BindError, ClassView, ConfigOperation, ControlRole, Decision, Durability, Immutability,
    ImmutableCause, Kind, Operation, PrincipalKind, Reason, ResourceRef, Revision, Tables,
    TopicChange, compile, explain,
};

use crate::{REVISION, code, problems, set, tables};

pub(crate) const DEMO: &str = r#"kind: Role                       # who writes orders
metadata: {name: orders-writer}
spec: {permissions: [{operations: [Write, Describe], topics: [orders]}]}
---
kind: Role
metadata: {name: analytics-reader}
spec: {permissions: [{operations: [Read, Describe], topics: [orders, payments], groups: [{prefix: analytics-}]}]}
---
kind: Role
metadata: {name: payments-writer}
spec: {permissions: [{operations: [Write, Describe], topics: [payments]}]}
---
kind: Role
metadata: {name: support}
spec: {permissions: [{operations: [Read], topics: [orders]}], clear: [personal-data]}
---
kind: Role
metadata: {name: topic-admin}
spec: {permissions: [{operations: [Create, Delete, AlterConfigs, Describe], topics: [{prefix: ""}]}]}
---
kind: Mask
metadata: {name: personal-data}
spec: {topics: [orders, payments], fields: ["$.customer.email", "$..card_number", "$.items[*].recipient.ssn"], token: {shape: opaque, domain: customers}}
---
kind: TopicClass
metadata: {name: ledger}
spec: {topics: [ledger], immutable: true, retention_min: 7y}
---
kind: TopicClass
metadata: {name: high-value}
spec: {topics: [payments], approval: one-owner}
---
kind: ApprovalRule
metadata: {name: one-owner}
spec: {quorum: {count: 1, of: payments-owners}, hold: 1s, timeout: 60s, grant: {lasts: 10m}}
---
kind: Conflict
metadata: {name: no-one-writes-and-deletes}
spec: {duties: [produce, administer], over: same-topic, scope: person, when: static}
---
kind: Binding
metadata: {name: svc-orders}
spec: {match: {issuer: demo, claims: {sub: svc-orders}}, owner: alice, roles: [orders-writer]}
---
kind: Binding
metadata: {name: svc-payments}
spec: {match: {issuer: demo, claims: {sub: svc-payments}}, owner: dave, team: pay, roles: [payments-writer]}
---
kind: Binding
metadata: {name: analyst}
spec: {match: {issuer: demo, claims: {groups: analysts}}, roles: [analytics-reader]}
---
kind: Binding
metadata: {name: helpdesk}
spec: {match: {issuer: demo, claims: {groups: helpdesk}}, roles: [analytics-reader, support]}
---
kind: Binding
metadata: {name: bob}
spec: {match: {issuer: demo, claims: {sub: bob}}, roles: [approver, auditor], groups: [payments-owners]}
"#;

fn admin_of(person: &str) -> String {
    format!(
        "{DEMO}---\nkind: Binding\nmetadata: {{name: admin-{person}}}\nspec: {{match: {{issuer: demo, claims: {{sub: {person}}}}}, owner: {person}, kind: human, roles: [topic-admin]}}\n"
    )
}

fn who(tables: &Tables, subject: &str, groups: &[&str]) -> sluice_policy::Bound {
    tables
        .bind("demo", &|claim, value| match claim {
            "sub" => value == subject,
            "groups" => groups.contains(&value),
            _ => false,
        })
        .expect("bound")
}

fn ask(
    tables: &Tables,
    bound: &sluice_policy::Bound,
    operation: Operation,
    topic: &str,
) -> Decision {
    tables.decide(
        &tables.rights(&bound.roles),
        0,
        operation,
        ResourceRef::Topic(topic),
    )
}

#[test]
fn an_administrator_of_every_topic_may_not_own_the_writer_of_one() {
    let problems = problems(&admin_of("alice"));
    assert_eq!(problems.len(), 1, "{problems:?}");
    for part in [
        "no-one-writes-and-deletes",
        "alice",
        "svc-orders",
        "orders-writer",
        "admin-alice",
        "topic-admin",
        "\"orders\"",
        "policy.yaml:61:1:",
        "policy.yaml:3",
    ] {
        assert!(
            problems[0].contains(part),
            "{part} is missing in: {}",
            problems[0]
        );
    }
}

#[test]
fn an_administrator_who_owns_no_writer_is_accepted() {
    let set = set(&admin_of("carol"));
    let tables = tables(&set);
    let carol = who(&tables, "carol", &[]);
    assert_eq!(
        (carol.principal.as_str(), carol.owner.as_str()),
        ("User:admin-carol", "carol")
    );
    assert_eq!(
        code(&ask(&tables, &carol, Operation::Delete, "orders")),
        "allow"
    );
    assert_eq!(
        code(&ask(&tables, &carol, Operation::Delete, "ledger")),
        "immutable"
    );
    assert_eq!(
        code(&ask(&tables, &carol, Operation::AlterConfigs, "ledger")),
        "allow"
    );
    assert_eq!(
        code(&ask(
            &tables,
            &carol,
            Operation::Delete,
            "__consumer_offsets"
        )),
        "internal-topic"
    );
    assert_eq!(
        code(&ask(&tables, &carol, Operation::Write, "orders")),
        "not-permitted"
    );
}

#[test]
fn a_writer_writes_its_own_topic_and_reads_nothing() {
    let tables = tables(&set(DEMO));
    let orders = who(&tables, "svc-orders", &[]);
    assert_eq!(
        (orders.principal.as_str(), orders.owner.as_str()),
        ("User:svc-orders", "alice")
    );
    let Decision::Allow(permit) = ask(&tables, &orders, Operation::Write, "orders") else {
        panic!()
    };
    assert_eq!(permit.revision(), REVISION);
    assert!(permit.covers(0, Operation::Write, ResourceRef::Topic("orders")));
    assert!(!permit.covers(0, Operation::Write, ResourceRef::Topic("payments")));
    assert!(!permit.covers(1, Operation::Write, ResourceRef::Topic("orders")));
    assert!(!permit.covers(0, Operation::Read, ResourceRef::Topic("orders")));
    assert!(!permit.covers(0, Operation::Write, ResourceRef::Group("orders")));
    assert_eq!(permit.obligations().durability, Durability::Written);
    assert_eq!(permit.obligations().approval, None);
    assert_eq!(
        code(&ask(&tables, &orders, Operation::Read, "orders")),
        "not-permitted"
    );
    assert_eq!(
        code(&ask(&tables, &orders, Operation::Write, "payments")),
        "not-permitted"
    );
    let rights = tables.rights(&orders.roles);
    assert!(tables.cluster(&rights).contains(Operation::IdempotentWrite));
    assert!(tables.cluster_stated(&rights).is_empty());
    let idempotent = tables.decide(
        &rights,
        22,
        Operation::IdempotentWrite,
        ResourceRef::Cluster,
    );
    assert_eq!(code(&idempotent), "allow");
}

#[test]
fn writing_payments_needs_a_grant_of_one_owner() {
    let tables = tables(&set(DEMO));
    let payments = who(&tables, "svc-payments", &[]);
    assert_eq!(payments.team.as_deref(), Some("pay"));
    let Decision::Allow(permit) = ask(&tables, &payments, Operation::Write, "payments") else {
        panic!()
    };
    let rule = tables.approval_rule(permit.obligations().approval.expect("an approval rule"));
    assert_eq!(
        (rule.name, rule.quorum_count, rule.quorum_of),
        ("one-owner", 1, "payments-owners")
    );
    assert_eq!(
        (rule.hold_ms, rule.timeout_ms, rule.lasts_ms),
        (1_000, 60_000, 600_000)
    );
    let Decision::Allow(permit) = ask(&tables, &payments, Operation::Describe, "payments") else {
        panic!()
    };
    assert_eq!(
        permit.obligations().approval,
        None,
        "to look is not to change"
    );
    let bob = who(&tables, "bob", &[]);
    assert_eq!(bob.groups, ["payments-owners"]);
    assert_eq!(
        code(&ask(&tables, &bob, Operation::Read, "payments")),
        "unbound"
    );
}

#[test]
fn readers_are_masked_unless_a_role_clears_the_mask() {
    let tables = tables(&set(DEMO));
    let analyst = who(&tables, "eve", &["analysts"]);
    let rights = tables.rights(&analyst.roles);
    let Decision::Allow(permit) = ask(&tables, &analyst, Operation::Read, "payments") else {
        panic!()
    };
    let plan = permit.obligations().mask.expect("a mask plan");
    assert!(plan.get() < tables.mask_plans_count());
    let paths: Vec<_> = tables
        .mask_plan(plan)
        .map(|rule| (rule.mask, rule.target.to_string(), rule.domain))
        .collect();
    let expected = [
        "$.customer.email",
        "$..card_number",
        "$.items[*].recipient.ssn",
    ]
    .map(|path| ("personal-data", path.to_owned(), "customers"));
    assert_eq!(paths, expected);
    assert_eq!(tables.mask_domains(), ["customers"]);
    assert!(
        tables
            .group(&rights, "analytics-1")
            .contains(Operation::Read)
    );
    assert!(tables.group(&rights, "analytics").is_empty());
    let support = who(&tables, "erin", &["helpdesk"]);
    let Decision::Allow(permit) = ask(&tables, &support, Operation::Read, "orders") else {
        panic!()
    };
    assert_eq!(permit.obligations().mask, None);
}

#[test]
fn the_ledger_keeps_seven_years() {
    let tables = tables(&set(&admin_of("carol")));
    let rights = tables.rights(&who(&tables, "carol", &[]).roles);
    let access = tables.topic(&rights, "ledger");
    assert!(!tables.allowed(&access).contains(Operation::Delete));
    let ClassView {
        names,
        immutable,
        retention_min_ms,
        ..
    } = tables.class(access.class());
    assert_eq!(
        (names, immutable, retention_min_ms),
        ("ledger", Immutability::Immutable, Some(220_752_000_000))
    );
    let shorten = TopicChange::AlterConfig {
        key: "retention.ms",
        operation: ConfigOperation::Set,
        value: Some("1"),
    };
    let denied = tables.topic_change(&access, &shorten).unwrap_err();
    assert_eq!(
        denied,
        Reason::Immutable(access.class(), ImmutableCause::RetentionShortened)
    );
    assert_eq!(tables.rule_of(denied), Some("ledger"));
    assert_eq!(
        tables.topic_change(&tables.topic(&rights, "orders"), &shorten),
        Ok(())
    );
}

#[test]
fn a_token_without_a_binding_has_no_principal() {
    let tables = tables(&set(DEMO));
    assert_eq!(
        tables.bind("demo", &|_, _| false),
        Err(BindError::ClientUnbound)
    );
    assert_eq!(
        tables.bind("other", &|_, _| true),
        Err(BindError::ClientUnbound)
    );
    let Err(BindError::OperatorBindingsAmbiguous(principals)) = tables.bind("demo", &|_, _| true)
    else {
        panic!()
    };
    assert_eq!(
        principals,
        ["analyst", "bob", "helpdesk", "svc-orders", "svc-payments"]
    );
}

#[test]
fn a_binding_needs_every_claim_and_unites_only_with_the_same_principal() {
    let binding = |name: &str, claims: &str, rest: &str| {
        format!(
            "kind: Binding\nmetadata: {{name: {name}}}\nspec: {{match: {{issuer: i, claims: {claims}}}, {rest}}}\n---\n"
        )
    };
    let text = binding("both", "{sub: a, tenant: x}", "roles: [author]")
        + &binding("one", "{team: red}", "principal: p, owner: o, groups: [g]")
        + &binding(
            "two",
            "{shift: day}",
            "principal: p, owner: o, groups: [h], roles: [operator]",
        );
    let tables = tables(&set(&text));
    let bind =
        |token: &[(&str, &str)]| tables.bind("i", &|claim, value| token.contains(&(claim, value)));
    assert_eq!(bind(&[("sub", "a")]), Err(BindError::ClientUnbound));
    assert_eq!(
        bind(&[("tenant", "x"), ("sub", "b")]),
        Err(BindError::ClientUnbound)
    );
    let both = bind(&[("sub", "a"), ("tenant", "x")]).unwrap();
    assert_eq!(
        (both.principal.as_str(), both.control_roles),
        ("User:both", vec![ControlRole::Author])
    );
    assert_eq!(both.kind, PrincipalKind::Human);
    let united = bind(&[("team", "red"), ("shift", "day")]).unwrap();
    assert_eq!(
        (united.principal.as_str(), united.owner.as_str()),
        ("User:p", "o")
    );
    assert_eq!(
        (united.bindings, united.groups),
        (
            vec!["one".into(), "two".into()],
            vec!["g".into(), "h".into()]
        )
    );
    assert_eq!(
        (united.kind, united.control_roles),
        (PrincipalKind::Service, vec![ControlRole::Operator])
    );
}

#[test]
fn rights_and_memos_of_another_revision_or_name_deny() {
    let set = set(DEMO);
    let old = tables(&set);
    let next = Revision {
        number: REVISION.number + 1,
        ..REVISION
    };
    let new = Tables::load(compile(&set, next).unwrap()).unwrap();
    let bound = who(&old, "svc-orders", &[]);
    let (old_rights, new_rights) = (old.rights(&bound.roles), new.rights(&bound.roles));
    let memo = old.topic(&old_rights, "orders");
    let decide = |tables: &Tables, rights, name| {
        tables.decide_topic(rights, 0, Operation::Write, name, &memo)
    };
    assert_eq!(code(&decide(&old, &old_rights, "orders")), "allow");
    assert_eq!(code(&decide(&old, &old_rights, "payments")), "stale-rights");
    assert_eq!(code(&decide(&new, &old_rights, "orders")), "stale-rights");
    assert_eq!(code(&decide(&new, &new_rights, "orders")), "stale-rights");
    let known = old.know(&old_rights, "orders".into());
    let decide = |tables: &Tables, rights| tables.decide_known(rights, 0, Operation::Write, &known);
    assert_eq!(code(&decide(&old, &old_rights)), "allow");
    assert_eq!(code(&decide(&new, &old_rights)), "stale-rights");
    assert_eq!(code(&decide(&new, &new_rights)), "stale-rights");
    assert_eq!(
        code(&new.decide(
            &old_rights,
            0,
            Operation::Write,
            ResourceRef::Topic("orders")
        )),
        "stale-rights"
    );
    assert!(new.topic(&old_rights, "orders").granted().is_empty());
    assert!(new.cluster(&old_rights).is_empty() && new.group(&old_rights, "g").is_empty());
    assert_eq!(
        new.topic_change(&memo, &TopicChange::Delete),
        Err(Reason::StaleRights)
    );
}

#[test]
fn an_explanation_names_the_rule_and_the_nearest_that_would_allow() {
    let set = set(DEMO);
    let read =
        |roles: &[&str]| explain(&set, roles, Operation::Read, ResourceRef::Topic("payments"));
    let allowed = read(&["analytics-reader"]);
    assert_eq!(
        allowed
            .rule
            .as_ref()
            .map(|rule| (rule.role.as_str(), rule.origin.line)),
        Some(("analytics-reader", 7))
    );
    assert_eq!(allowed.masks, ["personal-data"]);
    assert!(allowed.to_string().contains("policy.yaml:7"), "{allowed}");
    let denied = read(&["orders-writer"]);
    assert_eq!(denied.answer.code(), "not-permitted");
    assert_eq!(
        denied.nearest.map(|rule| rule.role).as_deref(),
        Some("analytics-reader")
    );
}

#[test]
fn documents_come_back_as_they_were_written() {
    let set = set(DEMO);
    assert_eq!(set.documents().len(), 15);
    let role = set.document(Kind::Role, "orders-writer").expect("there");
    assert_eq!(role.line, 1);
    assert!(
        role.text
            .starts_with("kind: Role                       # who writes orders\n"),
        "{}",
        role.text
    );
    let again: Vec<String> = set
        .documents()
        .map(|document| document.text.clone())
        .collect();
    let again = crate::set(&again.join("---\n"));
    let bytes = |set| compile(set, REVISION).unwrap();
    assert_eq!(
        bytes(&again),
        bytes(&set),
        "equal policy gives equal bytes, whatever the order of documents"
    );
}
