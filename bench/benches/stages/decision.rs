//! May this session write to this topic?

use std::fmt::Write;
use std::hint::black_box;

use sluice_bench::Table;
use sluice_kafka::api::PRODUCE;
use sluice_policy::{
    Answer, Decision, KnownTopic, Operation, ResourceRef, Revision, Rights, Source, Tables,
    compile, explain, parse,
};

/// Roles of other people, so that the tables are not tiny.
const ROLES: usize = 500;
const TOPIC: &str = "orders-of-region-7";

pub(crate) fn topic(table: Table<'static>) -> Table<'static> {
    let text = policy();
    let set = parse(&[Source {
        file: "bench.yaml",
        text: &text,
    }])
    .unwrap();
    let revision = Revision {
        incarnation: 1,
        number: 1,
    };
    let tables: &'static Tables = Box::leak(Box::new(
        Tables::load(compile(&set, revision).unwrap()).unwrap(),
    ));
    let bound = tables
        .bind("idp", &|claim, value| {
            (claim, value) == ("sub", "svc-orders")
        })
        .unwrap();
    let rights: &'static Rights = Box::leak(Box::new(tables.rights(&bound.roles)));
    let known: &'static KnownTopic = Box::leak(Box::new(tables.know(rights, TOPIC.into())));
    let decide = move || tables.decide_known(rights, PRODUCE, Operation::Write, black_box(known));
    assert!(matches!(decide(), Decision::Allow(_)));
    table
        .ours("decide_known, remembered", move || allowed(&decide()))
        .ours("decide, first time", move || {
            let topic = ResourceRef::Topic(black_box(TOPIC));
            allowed(&tables.decide(rights, PRODUCE, Operation::Write, topic))
        })
        .with("explain, the slow twin", move || {
            let resource = ResourceRef::Topic(black_box(TOPIC));
            let answer = explain(&set, &["orders-writer"], Operation::Write, resource).answer;
            u64::from(answer == Answer::Allow)
        })
}

fn allowed(decision: &Decision) -> u64 {
    u64::from(matches!(decision, Decision::Allow(_)))
}

fn policy() -> String {
    let mut text = String::from(
        "apiVersion: sluice/v1alpha1\nkind: Issuer\nmetadata: {name: idp}\nspec: {url: \"https://idp.example\", audience: sluice}\n",
    );
    let mut role = |name: &str, topics: &str| {
        let _ = write!(
            text,
            "---\napiVersion: sluice/v1alpha1\nkind: Role\nmetadata: {{name: {name}}}\n\
             spec: {{permissions: [{{operations: [Write, Describe], topics: {topics}}}]}}\n"
        );
    };
    role("orders-writer", "[orders, {prefix: orders-of-}]");
    for index in 0..ROLES {
        role(
            &format!("writer-{index}"),
            &format!("[topic-{index}, {{prefix: area-{index}-}}]"),
        );
    }
    text.push_str(
        "---\napiVersion: sluice/v1alpha1\nkind: Binding\nmetadata: {name: svc-orders}\n\
         spec: {match: {issuer: idp, claims: {sub: svc-orders}}, owner: alice, roles: [orders-writer]}\n",
    );
    text
}
