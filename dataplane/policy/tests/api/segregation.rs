//! Conflicts of duty: found for principals, people and teams, on shared topics and anywhere.

use std::fmt::Write;

use sluice_policy::{Duty, Effect, Pattern, PolicySet, Source, conflicts, parse};

use crate::random::Random;

/// A policy from a few short lines: `role name effect ops topics`, `bind name owner team roles`.
fn policy(conflict: &str, roles: &[(&str, &str)], bindings: &[(&str, &str, &str)]) -> String {
    let mut text =
        format!("kind: Conflict\nmetadata: {{name: c}}\nspec: {{{conflict}, when: static}}\n");
    for (name, permissions) in roles {
        writeln!(
            text,
            "---\nkind: Role\nmetadata: {{name: {name}}}\nspec: {{permissions: [{permissions}]}}"
        )
        .unwrap();
    }
    for (name, rest, gives) in bindings {
        writeln!(
            text,
            "---\nkind: Binding\nmetadata: {{name: {name}}}\nspec: {{match: {{issuer: i, claims: {{sub: {name}}}}}, {rest}, {gives}}}"
        )
        .unwrap();
    }
    text
}

fn parsed(text: &str) -> PolicySet {
    parse(&[Source { file: "p", text }]).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"))
}

fn found(conflict: &str, roles: &[(&str, &str)], bindings: &[(&str, &str, &str)]) -> Vec<String> {
    let set = parsed(&policy(conflict, roles, bindings));
    conflicts(&set)
        .iter()
        .map(|v| format!("{}|{}|{}", v.who, v.first.binding, v.second.binding))
        .collect()
}

const SAME: &str = "duties: [produce, administer], over: same-topic, scope: person";
const WRITE_A: (&str, &str) = ("w", "{operations: [Write], topics: [a]}");

#[test]
fn duties_meet_where_patterns_do() {
    let bindings = [
        ("s", "owner: x", "roles: [w]"),
        ("t", "owner: x", "roles: [d]"),
    ];
    for (admin, expected) in [
        ("{operations: [Delete], topics: [a]}", 1),
        ("{operations: [Delete], topics: [b]}", 0),
        ("{operations: [Delete], topics: [{prefix: \"\"}]}", 1),
        ("{operations: [Alter], topics: [\"*\"]}", 1),
        ("{operations: [AlterConfigs], topics: [{prefix: ab}]}", 0),
        (
            "{operations: [Describe, DescribeConfigs, Read], topics: [a]}",
            0,
        ),
        ("{operations: [Create], cluster: true}", 1),
        ("{operations: [Describe], cluster: true}", 0),
        (
            "{operations: [Delete], topics: [a]}, {operations: [Delete], effect: deny, topics: [\"*\"]}",
            0,
        ),
        (
            "{operations: [Delete, Create], topics: [a]}, {operations: [Delete], effect: deny, topics: [a]}",
            1,
        ),
        (
            "{operations: [Delete], topics: [\"*\"]}, {operations: [Delete], effect: deny, topics: [a]}",
            1,
        ),
    ] {
        // The last case is denied in truth; a deny that does not cover the whole pattern is not reasoned about.
        assert_eq!(
            found(SAME, &[WRITE_A, ("d", admin)], &bindings).len(),
            expected,
            "{admin}"
        );
    }
}

#[test]
fn scopes_decide_whose_hands_are_the_same() {
    let roles = [WRITE_A, ("d", "{operations: [Delete], topics: [a]}")];
    let scope =
        |scope: &str| format!("duties: [produce, administer], over: same-topic, scope: {scope}");
    let one_owner = [
        ("s", "owner: x", "roles: [w]"),
        ("t", "owner: x", "roles: [d]"),
    ];
    assert_eq!(
        found(&scope("principal"), &roles, &one_owner),
        Vec::<String>::new()
    );
    assert_eq!(found(&scope("person"), &roles, &one_owner), ["x|s|t"]);
    assert_eq!(found(&scope("team"), &roles, &one_owner), ["x|s|t"]);
    let one_team = [
        ("s", "owner: x, team: m", "roles: [w]"),
        ("t", "owner: y, team: m", "roles: [d]"),
    ];
    assert_eq!(
        found(&scope("person"), &roles, &one_team),
        Vec::<String>::new()
    );
    assert_eq!(found(&scope("team"), &roles, &one_team), ["team m|s|t"]);
    let joins = [
        ("s", "owner: x, team: m", "roles: [w]"),
        ("y", "team: m, groups: [g]", "kind: human"),
        ("t", "owner: y", "roles: [d]"),
    ];
    assert_eq!(
        found(&scope("team"), &roles, &joins),
        ["team m|s|t"],
        "y brings t into the team"
    );
    let both = [("s", "owner: x", "roles: [w, d]")];
    assert_eq!(
        found(&scope("principal"), &roles, &both),
        ["principal s|s|s"]
    );
    let self_owned = [
        ("x", "kind: human", "roles: [d]"),
        ("s", "owner: x", "roles: [w]"),
    ];
    assert_eq!(
        found(&scope("person"), &roles, &self_owned),
        ["x|s|x"],
        "a human is their own person"
    );
}

#[test]
fn control_duties_conflict_too() {
    let roles = [("w", "{operations: [Write], topics: [pay]}")];
    let anywhere = "duties: [produce, audit], over: anywhere, scope: person";
    assert_eq!(
        found(
            anywhere,
            &roles,
            &[
                ("s", "owner: x", "roles: [w]"),
                ("x", "kind: human", "roles: [auditor]")
            ]
        ),
        ["x|s|x"]
    );
    let class = "---\nkind: ApprovalRule\nmetadata: {name: rule}\nspec: {quorum: {count: 1, of: owners}, hold: 1s, timeout: 1m, grant: {lasts: 1h}}\n---\nkind: TopicClass\nmetadata: {name: k}\nspec: {topics: [{prefix: pay}], approval: rule}\n";
    let approve = |group: &str| {
        let text = policy(
            "duties: [produce, approve], over: same-topic, scope: person",
            &roles,
            &[
                ("s", "owner: x", "roles: [w]"),
                ("x", "kind: human", &format!("groups: [{group}]")),
            ],
        ) + class;
        conflicts(&parsed(&text)).len()
    };
    assert_eq!(approve("owners"), 1);
    assert_eq!(approve("others"), 0);
}

#[test]
fn the_index_of_patterns_finds_what_a_nested_loop_finds() {
    let mut random = Random::printed(0xc0f1_1c75);
    let mut violations_count = 0;
    for case in 0..1_000 {
        let names: Vec<String> = (0..4).map(|i| format!("r{i}")).collect();
        let roles: Vec<(&str, String)> = names
            .iter()
            .map(|name| {
                let permissions: Vec<String> = (0..1 + random.below(3))
                    .map(|_| {
                        let topic = random.word();
                        let topic = match random.below(6) {
                            0 => "\"*\"".into(),
                            1 | 2 => format!("{{prefix: {topic}}}"),
                            _ => topic,
                        };
                        let effect = if random.one_in(6) { "deny" } else { "allow" };
                        let operation =
                            random.pick(&["Write", "Read", "Delete", "Create", "Describe"]);
                        format!(
                            "{{operations: [{operation}], effect: {effect}, topics: [{topic}]}}"
                        )
                    })
                    .collect();
                (name.as_str(), permissions.join(", "))
            })
            .collect();
        let roles: Vec<(&str, &str)> = roles
            .iter()
            .map(|(name, text)| (*name, text.as_str()))
            .collect();
        let bindings: Vec<(String, String, String)> = (0..5)
            .map(|i| {
                let held = random.some(&["r0", "r1", "r2", "r3", "auditor"], 2);
                let owner = random.pick(&["x", "y", "z"]);
                (
                    format!("b{i}"),
                    format!("owner: {owner}"),
                    format!("groups: [g], roles: [{}]", held.join(", ")),
                )
            })
            .collect();
        let bindings: Vec<(&str, &str, &str)> = bindings
            .iter()
            .map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str()))
            .collect();
        let conflict = random.pick(&[
            SAME,
            "duties: [produce, consume, audit], over: anywhere, scope: principal",
        ]);
        let set = parsed(&policy(conflict, &roles, &bindings));
        let mut fast: Vec<(String, String)> = conflicts(&set)
            .into_iter()
            .map(|v| {
                (
                    format!("{}/{}", v.first.binding, v.first.role),
                    format!("{}/{}", v.second.binding, v.second.role),
                )
            })
            .collect();
        fast.sort();
        fast.dedup();
        let slow = nested_loop(&set);
        assert_eq!(fast, slow, "case {case}");
        violations_count += fast.len();
    }
    assert!(
        violations_count > 200,
        "the cases are too tame: {violations_count}"
    );
}

/// The definition: every pair of permissions of the same hands, whatever it costs.
fn nested_loop(set: &PolicySet) -> Vec<(String, String)> {
    let conflict = set.conflict_set("c").unwrap();
    let by_person = conflict.scope == sluice_policy::ConflictScope::Person;
    let anywhere = conflict.over == sluice_policy::ConflictOver::Anywhere;
    let mut held: Vec<(&str, String, Duty, Pattern)> = Vec::new();
    for binding in set.bindings() {
        let hands = if by_person {
            binding.person()
        } else {
            &binding.principal
        };
        let roles: Vec<_> = binding
            .roles
            .iter()
            .map(|name| set.role(name).unwrap())
            .collect();
        let permissions = || {
            roles
                .iter()
                .flat_map(|role| role.permissions.iter().map(move |p| (role, p)))
        };
        for (role, permission) in permissions().filter(|(_, p)| p.effect == Effect::Allow) {
            for topic in &permission.topics {
                for operation in permission.operations.iter() {
                    let denied = permissions().any(|(_, deny)| {
                        deny.effect == Effect::Deny
                            && deny.operations.contains(operation)
                            && deny.topics.iter().any(|pattern| pattern.covers(topic))
                    });
                    if let Some(duty) = Duty::of(operation).filter(|_| !denied) {
                        held.push((
                            hands,
                            format!("{}/{}", binding.name, role.name),
                            duty,
                            topic.clone(),
                        ));
                    }
                }
            }
        }
        if binding
            .control_roles
            .contains(&sluice_policy::ControlRole::Auditor)
        {
            held.push((
                hands,
                format!("{}/auditor", binding.name),
                Duty::Audit,
                Pattern::Any,
            ));
        }
    }
    let mut pairs = Vec::new();
    for (hands_a, path_a, duty_a, topic_a) in &held {
        for (hands_b, path_b, duty_b, topic_b) in &held {
            let forbidden = conflict.duties.contains(duty_a)
                && conflict.duties.contains(duty_b)
                && duty_a < duty_b;
            if forbidden && hands_a == hands_b && (anywhere || topic_a.meet(topic_b).is_some()) {
                pairs.push((path_a.clone(), path_b.clone()));
            }
        }
    }
    pairs.sort();
    pairs.dedup();
    pairs
}
