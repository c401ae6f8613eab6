//! Masking one record value, beside parsing it with general JSON libraries, which is only the first half of the work.

use std::fmt::Write;

use sluice_bench::Table;
use sluice_masking::{
    DomainKey, KeyRing, MaskPlan, MaskRule, Masked, Scratch, Target, TokenLength, TokenShape,
    mask_value,
};

const FIELDS: [&str; 3] = [
    "$.customer.email",
    "$..card_number",
    "$.items[*].recipient.ssn",
];

pub(crate) fn value(table: Table<'static>) -> Table<'static> {
    let value = document().into_bytes();
    let (parsed, taped) = (value.clone(), value.clone());
    let (plan, mut scratch, mut out) = (plan(FIELDS), Scratch::new(), Vec::new());
    assert_eq!(
        mask_value(&plan, &value, &mut scratch, &mut out),
        Ok(Masked::Changed { fields: 4 })
    );
    // As long as the names of fields that are there, so that nothing but tokens and the copy is left out.
    let absent = self::plan([
        "$.customer.emaix",
        "$..card_numbex",
        "$.items[*].recipient.ssx",
    ]);
    let (searched, mut absent_scratch, mut absent_out) =
        (value.clone(), Scratch::new(), Vec::new());
    assert_eq!(
        mask_value(&absent, &searched, &mut absent_scratch, &mut absent_out),
        Ok(Masked::Unchanged)
    );
    let mut copy = Vec::new();
    let mut buffers = simd_json::Buffers::default();
    table
        .with("mask_value", move || {
            out.clear();
            mask_value(&plan, &value, &mut scratch, &mut out).unwrap();
            out.len() as u64
        })
        .with(
            "mask_value, validate and find only: no field is there",
            move || {
                let masked = mask_value(&absent, &searched, &mut absent_scratch, &mut absent_out);
                u64::from(masked == Ok(Masked::Unchanged))
            },
        )
        .with("serde_json to Value, parse only", move || {
            let json: serde_json::Value = serde_json::from_slice(&parsed).unwrap();
            json.as_object().map_or(0, |members| members.len() as u64)
        })
        .with("simd-json to tape, copy and parse only", move || {
            // It writes into its input.
            copy.clear();
            copy.extend_from_slice(&taped);
            simd_json::to_tape_with_buffers(&mut copy, &mut buffers)
                .unwrap()
                .0
                .len() as u64
        })
}

fn plan(fields: [&str; 3]) -> MaskPlan {
    let mut keys = KeyRing::new();
    keys.insert("customers", DomainKey::derive(&[7; 32], "customers", 1))
        .unwrap();
    let rules = fields.map(|path| MaskRule {
        target: Target::Value(path),
        shape: TokenShape::Opaque,
        length: TokenLength::Own,
        domain: "customers",
    });
    MaskPlan::compile(&rules, &keys).unwrap()
}

/// About 1 KiB with about 40 scalars; four of them are masked.
fn document() -> String {
    let mut text = String::from(
        "{\"id\":\"order-20817\",\"placed\":\"2026-03-01T12:00:00Z\",\"total\":129.95,\"currency\":\"EUR\",\
         \"customer\":{\"id\":77120,\"name\":\"Ada Example\",\"email\":\"ada@example.com\",\"since\":2019},\
         \"payment\":{\"kind\":\"card\",\"card_number\":\"4111111111111111\",\"settled\":true},\"items\":[",
    );
    for index in 0..2 {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(
            text,
            "{comma}{{\"sku\":\"a-{index}\",\"quantity\":{index},\"price\":12.5,\"gift\":false,\
             \"recipient\":{{\"name\":\"Grace {index}\",\"ssn\":\"078-05-112{index}\",\"city\":\"Utrecht\"}}}}"
        );
    }
    text.push_str("],\"marks\":{");
    for index in 0..13 {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(
            text,
            "{comma}\"mark_{index}\":\"the value of mark {index}\""
        );
    }
    text.push_str("},\"note\":\"");
    while text.len() < 1022 {
        text.push('n');
    }
    text.push_str("\"}");
    text
}
