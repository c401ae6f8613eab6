//! Bytes that are not what they say.

use std::collections::BTreeMap;

use sluice_policy::{LoadError, Operation, ResourceRef, Tables, compile};

use crate::random::Random;
use crate::story::DEMO;
use crate::{REVISION, set};

const CHECKSUM_AT: usize = 12;

pub(crate) fn reseal(bytes: &mut [u8]) {
    let length = bytes.len() as u64;
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[16..]);
    bytes[CHECKSUM_AT..16].copy_from_slice(&checksum.to_le_bytes());
}

/// Asks about everything; an answer of any kind will do, as long as it comes.
fn ask_everything(tables: &Tables) {
    let all: Vec<_> = [
        "orders-writer",
        "analytics-reader",
        "payments-writer",
        "support",
        "topic-admin",
    ]
    .into_iter()
    .filter_map(|name| tables.role(name))
    .collect();
    let rights = tables.rights(&all);
    for name in [
        "orders",
        "payments",
        "ledger",
        "x",
        "",
        "analytics-1",
        "\u{e9}\u{e9}",
    ] {
        for resource in [
            ResourceRef::Topic(name),
            ResourceRef::Group(name),
            ResourceRef::TransactionalId(name),
            ResourceRef::Cluster,
        ] {
            for operation in Operation::ALL {
                if let sluice_policy::Decision::Allow(permit) =
                    tables.decide(&rights, 0, operation, resource)
                {
                    permit
                        .obligations()
                        .approval
                        .map(|rule| tables.approval_rule(rule));
                    permit
                        .obligations()
                        .mask
                        .map(|plan| tables.mask_plan(plan).count());
                }
            }
        }
        let _ = tables.class(tables.topic(&rights, name).class());
    }
    let _ = tables.bind("demo", &|_, value| value == "svc-orders");
    assert!(
        tables.issuers().count() + tables.dynamic_conflicts().count() + tables.mask_domains().len()
            < 1_000
    );
}

#[test]
fn every_cut_and_every_changed_byte_is_noticed() {
    let bytes = compile(&set(DEMO), REVISION).unwrap();
    for length in 0..bytes.len() {
        assert!(Tables::load(bytes[..length].to_vec()).is_err(), "{length}");
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x40;
        assert!(Tables::load(changed).is_err(), "{at}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(Tables::load(longer).is_err());
    let mut future = bytes.clone();
    future[8] = 2;
    assert_eq!(
        Tables::load(future).unwrap_err(),
        LoadError::OperatorFormatUnsupported {
            found: 2,
            supported: 1
        }
    );
    assert!(Tables::load(bytes).is_ok());
}

#[test]
fn bytes_with_a_right_checksum_and_wrong_contents_never_panic() {
    let bytes = compile(&set(DEMO), REVISION).unwrap();
    let mut random = Random::printed(0xbad_b17e5);
    let mut accepted = 0;
    let mut refused: BTreeMap<String, u32> = BTreeMap::new();
    let mut attempt = |mut changed: Vec<u8>| {
        reseal(&mut changed);
        match Tables::load(changed) {
            Ok(tables) => {
                ask_everything(&tables);
                accepted += 1;
            }
            Err(error) => *refused.entry(error.to_string()).or_default() += 1,
        }
    };
    // Every word of the tables, with the values that offsets and counts break on.
    // The rows start behind the texts, which end anywhere.
    let text_bytes = u32::from_le_bytes(bytes[40..44].try_into().unwrap()) as usize;
    let rows_at = 40 + 18 * 4 + text_bytes;
    for at in (24..rows_at - text_bytes)
        .step_by(4)
        .chain((rows_at..bytes.len()).step_by(4))
    {
        for value in [0_u32, 1, 0x300, 0x7fff_ffff, u32::MAX, random.next() as u32] {
            let mut changed = bytes.clone();
            changed[at..at + 4].copy_from_slice(&value.to_le_bytes());
            attempt(changed);
        }
    }
    for _ in 0..20_000 {
        let mut changed = bytes.clone();
        for _ in 0..1 + random.below(6) {
            let at = 24 + random.below(changed.len() as u64 - 24) as usize;
            changed[at] = random.next() as u8;
        }
        if random.one_in(8) {
            changed.truncate(24 + random.below(changed.len() as u64 - 24) as usize);
        }
        attempt(changed);
    }
    println!("{accepted} accepted, {refused:#?} refused");
    assert!(accepted > 100, "{accepted}");
    for reason in [
        "a range ends outside its section",
        "ranges do not follow each other",
        "a text lies outside its arena",
        "names are not sorted",
        "names of a pattern table are not sorted",
        "prefix lengths do not fall",
        "a role names no pattern table",
        "a topic has no class",
        "a topic has no mask plan",
        "a class names no approval rule",
        "a class has an unknown durability",
        "a binding gives no role",
        "a binding has unknown flags",
        "masks of a list are not sorted",
        "sections do not fill the bytes",
    ] {
        assert!(
            refused.keys().any(|told| told.ends_with(reason)),
            "never refused: {reason}"
        );
    }
}
