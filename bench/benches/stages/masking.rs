//! Masking one record value, beside parsing it with general JSON libraries, which is only the first half of the work.

use std::fmt::Write;

use sluice_bench::Table;
use sluice_masking::{
    DomainKey, KeyRing, MaskPlan, MaskRule, Masked, Scratch, Target, TokenLength, TokenShape,
    mask_value,
};

pub(crate) const FIELDS: [&str; 3] = [
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
    let table = table.ours("mask_value", move || {
        out.clear();
        mask_value(&plan, &value, &mut scratch, &mut out).unwrap();
        out.len() as u64
    });
    shapes(table)
        .ours(
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

/// The other tokens. Of the fields all but the address are strings of digits; it gets an opaque token where digits are asked
/// for.
fn shapes(table: Table<'static>) -> Table<'static> {
    let rows = [
        (
            "mask_value, e-mail addresses",
            TokenShape::Email,
            TokenLength::Own,
        ),
        ("mask_value, digits", TokenShape::Digits, TokenLength::Own),
        (
            "mask_value, of the same length",
            TokenShape::Opaque,
            TokenLength::Same,
        ),
    ];
    rows.into_iter().fold(table, |table, (row, shape, length)| {
        let value = document().into_bytes();
        let plan = plan_of(FIELDS, shape, length);
        let (mut scratch, mut out) = (Scratch::new(), Vec::new());
        table.ours(row, move || {
            out.clear();
            let masked = mask_value(&plan, &value, &mut scratch, &mut out);
            assert_eq!(masked, Ok(Masked::Changed { fields: 4 }));
            out.len() as u64
        })
    })
}

pub(crate) fn plan(fields: [&str; 3]) -> MaskPlan {
    plan_of(fields, TokenShape::Opaque, TokenLength::Own)
}

fn plan_of(fields: [&str; 3], shape: TokenShape, length: TokenLength) -> MaskPlan {
    let mut keys = KeyRing::new();
    keys.insert("customers", DomainKey::derive(&[7; 32], "customers", 1))
        .unwrap();
    let rules = fields.map(|path| MaskRule {
        target: Target::Value(path),
        shape,
        length,
        domain: "customers",
    });
    MaskPlan::compile(&rules, &keys).unwrap()
}

fn document() -> String {
    document_of(20_817)
}

/// About 1 KiB with about 40 scalars; four of them are masked. Documents of different numbers differ in most of their values
/// and in the lengths of some.
pub(crate) fn document_of(number: usize) -> String {
    let mut text = format!(
        "{{\"id\":\"order-{number}\",\"placed\":\"2026-03-{:02}T12:00:{:02}Z\",\"total\":{}.95,\"currency\":\"EUR\",\
         \"customer\":{{\"id\":{},\"name\":\"Ada Example\",\"email\":\"ada.{number}@example.com\",\"since\":{}}},\
         \"payment\":{{\"kind\":\"card\",\"card_number\":\"41111111{:08}\",\"settled\":{}}},\"items\":[",
        number % 28 + 1,
        number % 60,
        number * 37 % 1_000,
        number * 7_919 % 100_000,
        1_990 + number % 36,
        number * 104_729 % 100_000_000,
        number.is_multiple_of(3),
    );
    for index in 0..2 {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(
            text,
            "{comma}{{\"sku\":\"a-{}\",\"quantity\":{index},\"price\":12.5,\"gift\":false,\
             \"recipient\":{{\"name\":\"Grace {index}\",\"ssn\":\"078-05-{:04}\",\"city\":\"Utrecht\"}}}}",
            number * 13 % 997,
            (number * 31 + index) % 10_000,
        );
    }
    text.push_str("],\"marks\":{");
    for index in 0..13 {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(
            text,
            "{comma}\"mark_{index}\":\"the value of mark {}\"",
            number * (index + 3) % 1_009,
        );
    }
    text.push_str("},\"note\":\"");
    while text.len() < 1022 {
        text.push((b'a' + (text.len() * (number + 1) % 23) as u8) as char);
    }
    text.push_str("\"}");
    text
}
