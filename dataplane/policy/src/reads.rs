//! What a decision costs in reads of tables, however large they are. Times move with the machine, these do not.

use std::fmt::Write;

use crate::testing::reads;
use crate::{Decision, Operation, Revision, Source, Tables, compile, parse};

/// So many roles, each over 20 of so many topics and three prefixes, and a binding, a class and a mask for each tenth.
fn tables(roles: usize, topics: usize) -> Tables {
    let mut text = String::new();
    for role in 0..roles {
        let names: Vec<String> = (0..20)
            .map(|n| format!("topic-{:06}", (role * 17 + n) % topics))
            .collect();
        let first = role % 10;
        write!(
            text,
            "---\nkind: Role\nmetadata: {{name: role-{role}}}\nspec: {{permissions: [{{operations: [Read, Write], topics: \
             [{}, {{prefix: x-{first}}}, {{prefix: y-{role}}}, {{prefix: z}}]}}]}}\n\
             ---\nkind: Binding\nmetadata: {{name: svc-{role}}}\nspec: {{match: {{issuer: i, claims: {{sub: svc-{role}}}}}, \
             owner: o-{role}, roles: [role-{role}]}}\n",
            names.join(", "),
        )
        .unwrap();
    }
    for topic in (0..topics).step_by(10) {
        write!(
            text,
            "---\nkind: TopicClass\nmetadata: {{name: class-{topic}}}\nspec: {{topics: [topic-{topic:06}], immutable: true}}\n\
             ---\nkind: Mask\nmetadata: {{name: mask-{topic}}}\nspec: {{topics: [topic-{topic:06}], fields: [\"$.a\"], \
             token: {{shape: opaque, domain: d}}}}\n",
        )
        .unwrap();
    }
    let set = parse(&[Source {
        file: "p",
        text: &text,
    }])
    .unwrap();
    Tables::load(compile(&set, Revision::default()).unwrap()).unwrap()
}

/// Of one principal's topics, by name, by prefix and unknown: what is read when they are first seen, and when they are known.
fn asked(tables: &Tables) -> (u64, u64) {
    let bound = tables
        .bind("i", &|claim, value| claim == "sub" && value == "svc-0")
        .unwrap();
    let rights = tables.rights(&bound.roles);
    let (mut first, mut known) = (0, 0);
    for name in ["topic-000000", "topic-000007", "x-01", "z-1", "unknown"] {
        let mut topic = None;
        first = first.max(reads(|| topic = Some(tables.know(&rights, name.into()))));
        let topic = topic.unwrap();
        let again = reads(|| {
            for operation in [Operation::Read, Operation::Write, Operation::Alter] {
                let decision = tables.decide_known(&rights, 0, operation, &topic);
                let allowed = name != "unknown" && operation != Operation::Alter;
                assert_eq!(matches!(decision, Decision::Allow(_)), allowed, "{name}");
            }
        });
        known = known.max(again);
    }
    (first, known)
}

#[test]
fn a_decision_reads_no_more_among_a_thousand_roles_and_topics_than_among_twenty() {
    let (few, many) = (20, 1_000);
    let (first, _) = asked(&tables(few, few));
    // A search by halves, in the table of classes and in the one of masks, takes a step more in a table twice as long.
    let steps = 2 * u64::from((many / few).ilog2() + 1);
    for (roles, topics) in [(few, few), (few, many), (many, few), (many, many)] {
        let (first_here, known) = asked(&tables(roles, topics));
        let what = format!("{roles} roles, {topics} topics");
        assert_eq!(known, 0, "what is known is not looked up: {what}");
        if topics == few {
            assert_eq!(first_here, first, "{what}");
        } else {
            assert!(first_here <= first + steps, "{first_here}, {first}: {what}");
        }
    }
}
