//! Sizes: what grows with roles and topics stays small.

use std::fmt::Write;
use std::time::Instant;

use sluice_policy::{Operation, OperationSet, ResourceRef};

use crate::random::Random;
use crate::{code, set, tables};

/// `roles` roles over `topics` topics, each with 20 names and 3 prefixes, and one binding each.
fn large(roles: u64, topics: u64) -> String {
    let mut random = Random::printed(0x1a46e);
    let mut text = String::new();
    for role in 0..roles {
        let names: Vec<String> = (0..20)
            .map(|_| format!("topic-{:06}", random.below(topics)))
            .collect();
        let prefixes: Vec<String> = (0..3)
            .map(|_| format!("{{prefix: topic-{:05}}}", random.below(topics / 10 + 1)))
            .collect();
        let operations = random.pick(&["Read, Describe", "Write", "Read, Write"]);
        writeln!(
            text,
            "---\nkind: Role\nmetadata: {{name: role-{role}}}\nspec: {{permissions: [{{operations: [{operations}], topics: [{}, {}]}}]}}",
            names.join(", "),
            prefixes.join(", ")
        )
        .unwrap();
        writeln!(
            text,
            "---\nkind: Binding\nmetadata: {{name: svc-{role}}}\nspec: {{match: {{issuer: i, claims: {{sub: svc-{role}}}}}, owner: o-{role}, roles: [role-{role}]}}"
        )
        .unwrap();
    }
    text
}

#[test]
fn a_thousand_roles_over_a_thousand_topics_stay_below_a_megabyte() {
    let started = Instant::now();
    let set = set(&large(1_000, 1_000));
    let parsed = started.elapsed();
    let tables = tables(&set);
    let compiled = started.elapsed() - parsed;
    println!(
        "parse and check {parsed:?}, compile and load {compiled:?}, {} bytes",
        tables.bytes_count()
    );
    // 20 names of 8 bytes, 3 prefixes of 8, and some 250 bytes for the role and its binding.
    assert!(
        tables.bytes_count() < 1_000 * 600,
        "{}",
        tables.bytes_count()
    );

    let bound = tables
        .bind("i", &|key, value| key == "sub" && value == "svc-77")
        .unwrap();
    let rights = tables.rights(&bound.roles);
    let role = set.role("role-77").unwrap();
    for topic in 0..1_000 {
        let name = format!("topic-{topic:06}");
        let expected = role.permissions[0]
            .topics
            .iter()
            .any(|pattern| pattern.matches(&name));
        let allowed = tables.allowed(&tables.topic(&rights, &name));
        assert_eq!(
            allowed,
            if expected {
                role.permissions[0].operations.with_implied()
            } else {
                OperationSet::EMPTY
            }
        );
    }
}

/// Counts, not times: what takes how long is measured by the test below it.
#[test]
fn ten_thousand_roles_over_ten_thousand_topics_take_a_few_megabytes() {
    const MIB: u64 = 1 << 20;
    let text = large(10_000, 10_000);
    let mut parsed = None;
    let parsing = allocation_counter::measure(|| parsed = Some(set(&text)));
    let set = parsed.unwrap();
    let mut loaded = None;
    let compiling = allocation_counter::measure(|| loaded = Some(tables(&set)));
    let tables = loaded.unwrap();
    println!(
        "{} bytes of documents; the set {} bytes, {} to make it; tables {} bytes, {} to make them",
        text.len(),
        parsing.bytes_current,
        parsing.bytes_max,
        compiling.bytes_current,
        compiling.bytes_max,
    );
    // Each of 10,000 roles with 23 patterns, and its binding: 23 patterns of 8 bytes, names, and two rows.
    let bytes = tables.bytes_count() as u64;
    assert!(bytes < 4 * MIB, "{bytes} bytes");
    // What a shard holds is that, and what it takes to find something in it.
    let held = u64::try_from(compiling.bytes_current).unwrap();
    assert!(held < 6 * MIB, "{held} bytes held, {bytes} of them tables");
    assert!(compiling.bytes_max < 32 * MIB, "{}", compiling.bytes_max);
    // The control plane alone has the documents, too.
    assert!(parsing.bytes_max < 192 * MIB, "{}", parsing.bytes_max);

    for role in [0, 77, 9_999] {
        let subject = format!("svc-{role}");
        let bound = tables
            .bind("i", &|key, value| key == "sub" && value == subject)
            .unwrap();
        let rights = tables.rights(&bound.roles);
        let permission = &set.role(&format!("role-{role}")).unwrap().permissions[0];
        let operations = permission.operations.with_implied();
        let mut named_count = 0;
        for topic in 0..10_000 {
            let name = format!("topic-{topic:06}");
            let named = permission.topics.iter().any(|topic| topic.matches(&name));
            named_count += u32::from(named);
            assert_eq!(
                tables.allowed(&tables.topic(&rights, &name)),
                if named {
                    operations
                } else {
                    OperationSet::EMPTY
                }
            );
        }
        assert!((20..=50).contains(&named_count), "{named_count} topics");
    }
}

#[test]
#[ignore = "measures time, which means something in a release build: run it with --release"]
fn ten_thousand_roles_over_ten_thousand_topics_take_seconds() {
    let started = Instant::now();
    let set = set(&large(10_000, 10_000));
    println!("parse and check {:?}", started.elapsed());
    let started = Instant::now();
    let tables = tables(&set);
    println!(
        "compile and load {:?}, {} bytes",
        started.elapsed(),
        tables.bytes_count()
    );
    assert!(tables.bytes_count() < 20 << 20);
    let bytes = tables.as_bytes().to_vec();
    let started = Instant::now();
    sluice_policy::Tables::load(bytes).unwrap();
    println!("load {:?}", started.elapsed());
    let bound = tables
        .bind("i", &|key, value| key == "sub" && value == "svc-77")
        .unwrap();
    let rights = tables.rights(&bound.roles);
    let names: Vec<String> = (0..10_000)
        .map(|topic| format!("topic-{topic:06}"))
        .collect();
    let started = Instant::now();
    let granted = names
        .iter()
        .filter(|name| !tables.topic(&rights, name).granted().is_empty())
        .count();
    println!(
        "lookup {:?} each, {granted} granted",
        started.elapsed() / 10_000
    );
    let access = tables.topic(&rights, &names[0]);
    let started = Instant::now();
    let mut denied = 0;
    for _ in 0..1_000_000 {
        let decision = tables.decide_topic(
            &rights,
            0,
            Operation::Alter,
            &names[0],
            std::hint::black_box(&access),
        );
        denied += u32::from(code(&decision) != "allow");
    }
    println!(
        "decide from memory {:?} each, {denied}",
        started.elapsed() / 1_000_000
    );
    let resource = ResourceRef::Topic("topic-unknown");
    assert_eq!(
        code(&tables.decide(&rights, 0, Operation::Read, resource)),
        "not-permitted"
    );
}
