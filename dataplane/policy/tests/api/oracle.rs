//! The compiled tables against `explain`, on random policies.

use std::collections::BTreeSet;
use std::fmt::Write;

use sluice_policy::{
    Answer, BindError, Decision, Immutability, Operation, PolicySet, ResourceRef, Revision, Source,
    Tables, compile, explain, parse,
};

use crate::code;
use crate::random::Random;

fn patterns(random: &mut Random) -> String {
    let patterns: Vec<String> = (0..1 + random.below(3))
        .map(|_| {
            let word = random.word();
            match random.below(8) {
                0 => "\"*\"".to_owned(),
                1 => "{prefix: \"\"}".to_owned(),
                2..=4 => format!("{{prefix: {word}}}"),
                5 => format!("{{literal: {word}}}"),
                _ => word,
            }
        })
        .collect();
    format!("[{}]", patterns.join(", "))
}

fn policy(random: &mut Random) -> String {
    let mut text = String::new();
    let masks = ["m0", "m1", "m2", "m3"];
    let rules = ["rule"];
    for mask in masks {
        let topics = patterns(random);
        writeln!(text, "---\nkind: Mask\nmetadata: {{name: {mask}}}\nspec: {{topics: {topics}, fields: [$.{mask}], token: {{shape: opaque, domain: d}}}}").unwrap();
    }
    for rule in rules {
        writeln!(text, "---\nkind: ApprovalRule\nmetadata: {{name: {rule}}}\nspec: {{quorum: {{count: 2, of: g}}, hold: 1s, timeout: 1m, grant: {{lasts: 1h}}}}").unwrap();
    }
    for class in 0..random.below(4) {
        let topics = patterns(random);
        let mut more = String::new();
        if random.one_in(3) {
            more += ", immutable: true";
            if random.one_in(2) {
                more += ", retention_min: 3d";
            }
        }
        if random.one_in(3) {
            more += ", approval: rule";
        }
        if random.one_in(2) {
            more += random.pick(&[
                ", record: {durability: queued}",
                ", record: {durability: synced}",
            ]);
        }
        writeln!(
            text,
            "---\nkind: TopicClass\nmetadata: {{name: c{class}}}\nspec: {{topics: {topics}{more}}}"
        )
        .unwrap();
    }
    for role in 0..5 {
        let permissions: Vec<String> = (0..random.below(4))
            .map(|_| permission(random, &masks))
            .collect();
        let clear = if random.one_in(4) {
            random.some(&masks, 2)
        } else {
            Vec::new()
        };
        writeln!(
            text,
            "---\nkind: Role\nmetadata: {{name: r{role}}}\nspec: {{permissions: [{}], clear: [{}]}}",
            permissions.join(", "),
            clear.join(", ")
        )
        .unwrap();
    }
    for binding in 0..6 {
        let roles = random.some(&["r0", "r1", "r2", "r3", "r4"], 3);
        // Two principals have two bindings each, which add up when a token has both claims.
        let principal = ["p", "p", "q", "q", "s", "t"][binding];
        writeln!(
            text,
            "---\nkind: Binding\nmetadata: {{name: b{binding}}}\nspec: {{match: {{issuer: i, claims: {{k{binding}: v}}}}, principal: {principal}, owner: o{principal}, groups: [g], roles: [{}]}}",
            roles.join(", ")
        )
        .unwrap();
    }
    text
}

fn permission(random: &mut Random, masks: &[&str]) -> String {
    let deny = random.one_in(4);
    let operations = [
        "Read",
        "Write",
        "Create",
        "Delete",
        "Alter",
        "Describe",
        "DescribeConfigs",
        "AlterConfigs",
    ];
    let mut operations = random.some(&operations, 4);
    if operations.is_empty() {
        operations.push("Read");
    }
    let mut parts = vec![format!("topics: {}", patterns(random))];
    if random.one_in(3) {
        parts.push(format!("groups: {}", patterns(random)));
    }
    if random.one_in(3) {
        parts.push(format!("transactional_ids: {}", patterns(random)));
    }
    if random.one_in(4) {
        parts.push("cluster: true".into());
        if random.one_in(2) {
            operations.push("IdempotentWrite");
        }
    }
    if deny {
        parts.push("effect: deny".into());
    } else if operations.contains(&"Read") && random.one_in(3) {
        parts.push(format!("clear: [{}]", random.some(masks, 2).join(", ")));
    }
    format!(
        "{{operations: [{}], {}}}",
        operations.join(", "),
        parts.join(", ")
    )
}

/// What `decide` says, in the words of `explain`.
fn compare(
    set: &PolicySet,
    tables: &Tables,
    roles: &[&str],
    operation: Operation,
    resource: ResourceRef<'_>,
    context: &str,
) -> Answer {
    let ids: Vec<_> = roles
        .iter()
        .map(|name| tables.role(name).expect("role"))
        .collect();
    let rights = tables.rights(&ids);
    let slow = explain(set, roles, operation, resource);
    let fast = tables.decide(&rights, 1, operation, resource);
    let about =
        || format!("{context}\n{roles:?} {operation} {resource}\nslow {slow:?}\nfast {fast:?}");
    assert_eq!(code(&fast), slow.answer.code(), "{}", about());
    match &fast {
        Decision::Allow(permit) => {
            let owed = permit.obligations();
            let masks: BTreeSet<&str> = owed
                .mask
                .into_iter()
                .flat_map(|plan| tables.mask_plan(plan))
                .map(|r| r.mask)
                .collect();
            assert_eq!(
                masks,
                slow.masks.iter().map(String::as_str).collect(),
                "{}",
                about()
            );
            let approval = owed.approval.map(|rule| tables.approval_rule(rule).name);
            assert_eq!(approval, slow.approval.as_deref(), "{}", about());
            assert_eq!(
                (owed.durability, owed.immutable),
                (slow.durability, slow.immutable),
                "{}",
                about()
            );
            assert!(
                permit.covers(1, operation, resource) && slow.rule.is_some(),
                "{}",
                about()
            );
        }
        Decision::Deny(reason) => {
            let rule = slow.rule.as_ref().map(|rule| rule.role.as_str());
            if slow.answer == Answer::DeniedByRule {
                assert_eq!(tables.rule_of(*reason), rule, "{}", about());
            }
            if matches!(slow.answer, Answer::NotPermitted | Answer::Unbound) {
                let nearest = slow.nearest.as_ref().map(|rule| rule.role.as_str());
                assert_eq!(tables.nearest(operation, resource), nearest, "{}", about());
            }
        }
    }
    let allowed = match resource {
        ResourceRef::Topic(name) => {
            let access = tables.topic(&rights, name);
            let classes = tables.class(access.class());
            assert_eq!(classes.names, slow.classes.join(", "), "{}", about());
            assert_eq!(
                classes.immutable == Immutability::Immutable,
                slow.immutable == Immutability::Immutable
            );
            let known = tables.know(&rights, name.into());
            let remembered = tables.decide_known(&rights, 1, operation, &known);
            assert_eq!(
                format!("{remembered:?}"),
                format!("{fast:?}"),
                "{}",
                about()
            );
            assert_eq!(known.allowed(), tables.allowed(&access), "{}", about());
            tables.allowed(&access)
        }
        ResourceRef::Group(id) => tables.group(&rights, id),
        ResourceRef::TransactionalId(id) => tables.transactional_id(&rights, id),
        ResourceRef::Cluster => tables.cluster(&rights),
    };
    assert_eq!(
        allowed.contains(operation),
        slow.answer == Answer::Allow,
        "{}",
        about()
    );
    slow.answer
}

#[test]
fn compiled_tables_answer_as_the_slow_twin_does() {
    let mut random = Random::printed(0x0a0c_1e51);
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let (mut cases, mut masked) = (0_u32, 0_u32);
    for policy_number in 0..600 {
        let text = policy(&mut random);
        let set = parse(&[Source {
            file: "p",
            text: &text,
        }])
        .unwrap_or_else(|p| panic!("{p:#?}\n{text}"));
        let revision = Revision {
            incarnation: 1,
            number: policy_number,
        };
        let tables = Tables::load(compile(&set, revision).unwrap()).unwrap();
        for _ in 0..60 {
            let principal = random.pick(&["p", "q", "s", "t"]);
            let tokens: Vec<&str> = set
                .bindings()
                .iter()
                .filter(|b| b.principal == principal && !random.one_in(3))
                .map(|b| b.name.as_str())
                .collect();
            let claim = |key: &str, value: &str| {
                value == "v" && tokens.contains(&key.replace('k', "b").as_str())
            };
            let bound = match tables.bind("i", &claim) {
                Ok(bound) => bound,
                Err(error) => {
                    assert_eq!((error, tokens.len()), (BindError::ClientUnbound, 0));
                    continue;
                }
            };
            let mut roles: Vec<&str> = tokens
                .iter()
                .flat_map(|name| &set.binding(name).unwrap().roles)
                .map(String::as_str)
                .collect();
            roles.sort_unstable();
            roles.dedup();
            assert_eq!(
                bound
                    .roles
                    .iter()
                    .map(|role| tables.role_name(*role))
                    .collect::<Vec<_>>(),
                roles
            );
            assert_eq!(
                (bound.principal, bound.owner),
                (format!("User:{principal}"), format!("o{principal}"))
            );
            let word = if random.one_in(30) {
                "__consumer_offsets".to_owned()
            } else {
                random.word()
            };
            let resource = match random.below(8) {
                0 => ResourceRef::Group(&word),
                1 => ResourceRef::TransactionalId(&word),
                2 => ResourceRef::Cluster,
                _ => ResourceRef::Topic(&word),
            };
            for operation in Operation::ALL {
                let answer = compare(&set, &tables, &roles, operation, resource, &text);
                cases += 1;
                seen.insert(answer.code());
                let read = answer == Answer::Allow && operation == Operation::Read;
                masked +=
                    u32::from(read && !explain(&set, &roles, operation, resource).masks.is_empty());
            }
        }
    }
    println!("{cases} cases, {masked} masked reads, {seen:?}");
    assert!(cases > 200_000 && masked > 500, "{cases} {masked}");
    assert_eq!(seen.len(), 6, "every answer was seen: {seen:?}");
}
