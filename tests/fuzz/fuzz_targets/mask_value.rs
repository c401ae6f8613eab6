//! Masking of one value: it passes if and only if serde_json takes it for one JSON object or array (where the two differ by
//! design, only the bounds may decide), and what is delivered is JSON in which another parser finds no clear field.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use sluice_fuzz::choice;
use sluice_masking::{
    DomainKey, KeyRing, MaskPlan, MaskRule, Masked, Scratch, SelfCheck, Target, TokenLength,
    TokenShape, Unmaskable, mask_value, placeholder,
};

static PLANS: LazyLock<Vec<MaskPlan>> = LazyLock::new(|| {
    let mut keys = KeyRing::new();
    keys.insert("customers", DomainKey::derive(&[9; 32], "customers", 3))
        .expect("a good name");
    let paths: [&[&str]; 6] = [
        &[
            "$.customer.email",
            "$..card_number",
            "$.items[*].recipient.ssn",
        ],
        &["$..é", "$['odd key']", "$['']"],
        &["$[*]"],
        &["$.*.email", "$..items..ssn"],
        &["$..[*].k", "$..a"],
        &["$.p.$json.a", "$..p.$json..p.$json.*", "$..a"],
    ];
    let plan = |paths: &[&str], shape, length| {
        let rule = |path| MaskRule {
            target: Target::Value(path),
            shape,
            length,
            domain: "customers",
        };
        let rules: Vec<MaskRule<'_>> = paths.iter().copied().map(rule).collect();
        MaskPlan::compile(&rules, &keys).expect("good rules")
    };
    let lengths = [TokenLength::Own, TokenLength::Same];
    let forms = lengths
        .into_iter()
        .flat_map(|length| TokenShape::ALL.map(|shape| (shape, length)));
    forms
        .flat_map(|(shape, length)| paths.map(|paths| plan(paths, shape, length)))
        .collect()
});

// The plan, then the value.
fuzz_target!(|input: &[u8]| {
    let Some((plan, value)) = choice(input, 36) else {
        return;
    };
    let plan = &PLANS[usize::from(plan)];
    let mut out = b"kept".to_vec();
    let masked = mask_value(plan, value, &mut Scratch::new(), &mut out);
    assert_eq!(&out[..4], b"kept");
    let delivered = match masked {
        Ok(Masked::Changed { fields }) => {
            assert!(fields > 0);
            &out[4..]
        }
        Ok(Masked::Unchanged) => {
            assert_eq!(out.len(), 4);
            value
        }
        Err(fault) => {
            assert_eq!(out.len(), 4);
            placeholder(fault, &mut out);
            assert_eq!(is_document(&out[4..]), Some(true));
            let (_, text) = unframed(value);
            let bounded = matches!(
                fault,
                Unmaskable::LimitDepth { .. } | Unmaskable::LimitFields
            );
            assert!(bounded || is_document(text) != Some(true), "{fault}");
            return;
        }
    };
    let (framing, text) = unframed(value);
    let (same, delivered_text) = unframed(delivered);
    assert_eq!(framing, same);
    assert_ne!(is_document(text), Some(false));
    assert_ne!(is_document(delivered_text), Some(false));
    SelfCheck::new()
        .surviving_field(plan, value, delivered)
        .expect("no field in clear");
    // Equal values have equal tokens.
    let mut again = Vec::new();
    assert_eq!(
        mask_value(plan, value, &mut Scratch::new(), &mut again),
        masked
    );
    assert_eq!(again, out[4..]);
});

/// The framing of a schema registry, and the rest.
fn unframed(value: &[u8]) -> (&[u8], &[u8]) {
    match value {
        [0, _, _, _, _, ..] => value.split_at(5),
        _ => (&[], value),
    }
}

/// Whether serde_json takes it for one object or array; `None` if it has no opinion, because a number is beyond its types.
fn is_document(text: &[u8]) -> Option<bool> {
    let Ok(text) = std::str::from_utf8(text) else {
        return Some(false);
    };
    if !text.trim_ascii_start().starts_with(['{', '[']) {
        return Some(false);
    }
    // The skipping parser does not look at surrogates; the other one has no place for numbers beyond f64.
    match read::<IgnoredAny>(text).and_then(|_| read::<Value>(text)) {
        Ok(_) => Some(true),
        Err(fault) if fault.to_string().starts_with("number out of range") => None,
        Err(_) => Some(false),
    }
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> serde_json::Result<T> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.disable_recursion_limit();
    let value = T::deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}
