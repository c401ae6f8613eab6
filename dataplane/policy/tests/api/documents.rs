//! What authors get wrong, and what they are told.

use sluice_policy::{ConflictWhen, Kind, Pattern, Source, parse};

use crate::story::DEMO;
use crate::{problems, set};

fn one(text: &str) -> String {
    let problems = problems(text);
    assert_eq!(problems.len(), 1, "{problems:#?}\n{text}");
    problems.into_iter().next().unwrap()
}

fn permission(permission: &str) -> String {
    format!("kind: Role\nmetadata: {{name: r}}\nspec:\n  permissions:\n  - {permission}\n")
}

#[test]
fn every_mistake_of_every_document_and_file_is_told_in_one_run() {
    let first = "kind: Role\nmetadata: {name: a, nmae: b}\nspec:\n  permissions:\n  - operatoins: [Read]\n    topics: [\"bad name\"]\n---\nkind: Rule\nmetadata: {name: x}\nspec: {}\n---\nkind: Role\nspec: [\n---\napiVersion: v2\nkind: Mask\nmetadata: {name: m}\nspec: {topics: [t], fields: [email], token: {shape: round, domain: d}}\n";
    let second = "kind: Binding\nmetadata: {name: b}\nspec: {match: {issuer: i, claims: {}}, roles: [nobody]}\n";
    let problems = parse(&[
        Source {
            file: "z.yaml",
            text: first,
        },
        Source {
            file: "a.yaml",
            text: second,
        },
    ])
    .unwrap_err();
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let expected = [
        "z.yaml:2:21: metadata has no key `nmae`; did you mean `name`?",
        "z.yaml:5:5: a permission has no `operations`; add it",
        "z.yaml:5:5: a permission has no key `operatoins`; did you mean `operations`?",
        "z.yaml:6:14: bad name is no topic name (letters, digits, `.`, `_`, `-`); for a prefix write {prefix: ..}",
        "z.yaml:8:7: kind is not Rule; did you mean Role?",
        "z.yaml:14:1: this is not YAML",
        "z.yaml:15:13: apiVersion is not v2; write one of sluice/v1alpha1",
        "z.yaml:18:30: email is no field path; write \"$.email\"",
        "z.yaml:18:53: shape is not round; write one of opaque, email, digits",
        "a.yaml:3:35: match states no claim, so every token of the issuer would match; add one, such as sub",
        "a.yaml:3:48: there is no Role nobody; there are a",
    ];
    for expected in expected {
        assert!(
            told.iter().any(|told| told.starts_with(expected)),
            "{expected} is missing in {told:#?}"
        );
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    let files: Vec<bool> = problems
        .iter()
        .map(|problem| problem.file == "z.yaml")
        .collect();
    assert!(
        files.is_sorted_by(|a, b| a >= b),
        "in the order of the sources"
    );
}

#[test]
fn each_mistake_says_what_to_do() {
    for (text, told) in [
        (permission("{operations: [Read], topics: []}"), "topics is empty"),
        (permission("{operations: [Read]}"), "names no resource"),
        (permission("{operations: [Describe], cluster: false}"), "names no resource"),
        (permission("{operations: [], topics: [t]}"), "operations is empty"),
        (permission("{operations: [read], topics: [t]}"), "did you mean Read?"),
        (permission("{operations: [Read, Read], topics: [t]}"), "stands here twice"),
        (permission("{operations: [Write], groups: [g]}"), "Write means nothing on: group"),
        (permission("{operations: [Read], topics: [t], clear: [m]}"), "there is no Mask m"),
        (permission("{operations: [Read], topics: [__consumer_offsets]}"), "Kafka's own"),
        (permission("{operations: [Read], topics: [{literal: \"*\"}]}"), "in quotes"),
        (permission("{operations: [Read], topics: [{prefix: a, literal: b}]}"), "{prefix: ..} or {literal: ..}"),
        (permission("{operations: [Read], topics: t}"), "topics is a list"),
        (permission("{operations: [Read], topics: [t], cluster: yes}"), "true or false"),
        (permission("{operations: [Read], topics: [t], effect: Deny}"), "did you mean deny?"),
        (permission("{operations: [Read], topics: [t], prio: 1}"), "no key `prio`"),
        (permission("nothing"), "a permission is a mapping"),
        ("kind: TopicClass\nmetadata: {name: c}\nspec: {topics: [t], retention_min: 7y}".into(), "needs `immutable: true`"),
        ("kind: TopicClass\nmetadata: {name: c}\nspec: {topics: [t], immutable: true, retention_min: 7}".into(), "length of time"),
        ("kind: TopicClass\nmetadata: {name: c}\nspec: {topics: [t], approval: nil}".into(), "there is no ApprovalRule nil"),
        ("kind: Conflict\nmetadata: {name: c}\nspec: {duties: [produce], over: anywhere, scope: person, when: static}".into(), "two different duties"),
        ("kind: Conflict\nmetadata: {name: c}\nspec: {duties: [produce, reed], over: anywhere, scope: person, when: static}".into(), "a duty is not reed"),
        ("kind: Conflict\nmetadata: {name: c}\nspec: {duties: produce, over: anywhere, scope: person, when: static}".into(), "duties is a list"),
        ("kind: Role\nmetadata: {name: auditor}\nspec: {permissions: []}".into(), "role of the control plane"),
        ("kind: Role\nmetadata: {name: -x}\nspec: {permissions: []}".into(), "starting with a letter"),
        ("kind: Binding\nmetadata: {name: b}\nspec: {match: {issuer: i, claims: {sub: s}}}".into(), "gives nothing"),
        ("kind: Binding\nmetadata: {name: b}\nspec: {match: {issuer: i, claims: {sub: s}}, kind: service, groups: [g]}".into(), "a service has an owner"),
        ("kind: Role\nmetadata: {name: r}\nspec: {permissions: []}\n---\nkind: Role\nmetadata: {name: r}\nspec: {permissions: []}".into(), "stands at policy.yaml:1 already"),
        ("just text".into(), "a document is a mapping"),
    ] {
        let problem = one(&text);
        assert!(problem.contains(told), "{told} is missing in {problem}");
    }
}

#[test]
fn bindings_that_contradict_each_other_are_refused() {
    let binding = |name: &str, claim: &str, rest: &str| {
        format!(
            "kind: Binding\nmetadata: {{name: {name}}}\nspec: {{match: {{issuer: i, claims: {{sub: {claim}}}}}, groups: [g]{rest}}}\n---\n"
        )
    };
    let two = |a: String, b: String| format!("{a}{b}");
    assert!(one(&two(binding("a", "s", ""), binding("b", "s", ""))).contains("two principals"));
    assert!(
        problems(&two(
            binding("a", "s", ", principal: p"),
            binding("b", "s", ", principal: p")
        ))
        .is_empty()
    );
    assert!(
        one(&two(
            binding("a", "s", ", principal: p, owner: x"),
            binding("b", "t", ", principal: p, owner: y")
        ))
        .contains("not the same kind, owner and team")
    );
}

#[test]
fn classes_that_share_a_topic_agree_on_approval() {
    let rule = |name: &str| {
        format!(
            "kind: ApprovalRule\nmetadata: {{name: {name}}}\nspec: {{quorum: {{count: 1, of: g}}, hold: 1s, timeout: 1m, grant: {{lasts: 1h}}}}\n---\n"
        )
    };
    let class = |name: &str, topics: &str, rule: &str| {
        format!(
            "kind: TopicClass\nmetadata: {{name: {name}}}\nspec: {{topics: {topics}, approval: {rule}}}\n---\n"
        )
    };
    let rules = rule("one") + &rule("two");
    let near =
        rules.clone() + &class("a", "[{prefix: pay}]", "one") + &class("b", "[payments]", "two");
    assert!(one(&near).contains("classes a and b share a topic"));
    let apart = rules + &class("a", "[{prefix: pay}]", "one") + &class("b", "[orders]", "two");
    assert!(problems(&apart).is_empty());
}

#[test]
fn all_shapes_of_the_documentation_are_read() {
    let set = set(&format!(
        r#"{DEMO}---
# every optional key
apiVersion: sluice/v1alpha1
kind: Role
metadata: {{name: everything, labels: {{team: pay, env: prod}}, revision: 7}}
spec:
  clear: [personal-data]
  permissions:
    - operations: [Read, Describe]
      topics: ["*", plain, {{prefix: pre}}, {{literal: lit}}]
      groups: ["*"]
      clear: [personal-data]
    - {{operations: [Write], transactional_ids: [{{prefix: "tx "}}]}}
    - {{operations: [Describe, IdempotentWrite], cluster: true}}
    - {{operations: [Delete], effect: deny, topics: [ledger]}}
status: {{observed: 3, anything: [goes]}}
---
kind: Issuer
metadata: {{name: demo}}
spec: {{url: "https://idp.example", audience: kafka, groups_claim: groups}}
---
kind: Cluster
metadata: {{name: local}}
---
kind: Conflict
metadata: {{name: later}}
spec: {{duties: [approve, audit, author], over: anywhere, scope: team, when: dynamic}}
---
kind: TopicClass
metadata: {{name: all}}
spec: {{topics: ["*"], personal: true, protected: false, record: {{durability: synced}}}}
"#
    ));
    let role = set.role("everything").unwrap();
    assert_eq!(
        role.permissions[0].topics,
        [
            Pattern::Any,
            Pattern::Literal("plain".into()),
            Pattern::Prefix("pre".into()),
            Pattern::Literal("lit".into())
        ]
    );
    let document = set.document(Kind::Role, "everything").unwrap();
    assert_eq!(
        document.labels,
        [("env".into(), "prod".into()), ("team".into(), "pay".into())]
    );
    assert!(document.text.starts_with("# every optional key\n"));
    assert_eq!(set.issuer("demo").unwrap().principal_claim, "sub");
    assert_eq!(
        set.conflict_set("later").unwrap().when,
        ConflictWhen::Dynamic
    );
    let tables = crate::tables(&set);
    assert_eq!(
        tables.issuers().next().unwrap().groups_claim,
        Some("groups")
    );
    assert_eq!(tables.dynamic_conflicts().next().unwrap().duties.len(), 3);
}
