//! Compiled policy as it arrives: tables that load are kept byte for byte and answer every question that can be asked of
//! them; what they allow names the resource that was asked for, and its obligations can be looked up.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_fuzz::{choice, sealed};
use sluice_policy::{Decision, Operation, ResourceRef, Tables};

const ROLES: [&str; 4] = [
    "orders-writer",
    "analytics-reader",
    "support",
    "topic-admin",
];

// Whether length and checksum are made right, then the tables.
fuzz_target!(|input: &[u8]| {
    let Some((seal, bytes)) = choice(input, 2) else {
        return;
    };
    let bytes = match seal {
        0 => sealed::tables(bytes.to_vec()),
        _ => Some(bytes.to_vec()),
    };
    let Some(bytes) = bytes else { return };
    let Ok(tables) = Tables::load(bytes.clone()) else {
        return;
    };
    assert_eq!(tables.as_bytes(), bytes);
    ask_everything(&tables);
});

fn ask_everything(tables: &Tables) {
    let roles: Vec<_> = ROLES.iter().filter_map(|name| tables.role(name)).collect();
    let rights = tables.rights(&roles);
    assert_eq!(rights.revision(), tables.revision());
    for name in [
        "orders",
        "orders-1",
        "payments",
        "ledger",
        "",
        "analytics-1",
        "é",
    ] {
        let resources = [
            ResourceRef::Topic(name),
            ResourceRef::Group(name),
            ResourceRef::TransactionalId(name),
            ResourceRef::Cluster,
        ];
        for resource in resources {
            for operation in Operation::ALL {
                match tables.decide(&rights, 0, operation, resource) {
                    Decision::Allow(permit) => {
                        assert!(permit.covers(0, operation, resource));
                        let owed = permit.obligations();
                        let _ = owed.approval.map(|rule| tables.approval_rule(rule));
                        let _ = owed.mask.map(|plan| tables.mask_plan(plan).count());
                    }
                    Decision::Deny(reason) => drop(tables.rule_of(reason)),
                }
            }
        }
        let access = tables.topic(&rights, name);
        let _ = (
            tables.class(access.class()).create_requirements(),
            tables.allowed(&access),
        );
    }
    for subject in ["svc-orders", "bob"] {
        if let Ok(bound) = tables.bind("demo", &|claim, value| (claim, value) == ("sub", subject)) {
            assert!(bound.principal.starts_with("User:") && !bound.bindings.is_empty());
            let _ = tables.rights(&bound.roles);
        }
    }
    let _ = (
        tables.issuers().count(),
        tables.dynamic_conflicts().count(),
        tables.mask_domains(),
    );
    for plan in tables.mask_plans() {
        let _ = tables.mask_plan(plan).count();
    }
}
