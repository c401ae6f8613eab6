//! Masks, from the document to the rules that a gateway compiles.

use sluice_policy::{LoadError, MaskPlanId, MaskTarget, Tables, TokenLength, TokenShape, compile};

use crate::hostile::reseal;
use crate::{REVISION, problems, set, tables};

/// Of the tables that the release before wrote for the policy of the last test.
const CHECKSUM_OF_BEFORE: u32 = 0x3043_7b8b;

fn mask(name: &str, spec: &str) -> String {
    format!("kind: Mask\nmetadata: {{name: {name}}}\nspec: {{topics: [t], {spec}}}\n---\n")
}

#[test]
fn every_token_shape_reaches_the_gateway_as_it_was_written() {
    let masks = TokenShape::ALL.map(|shape| {
        let shape = shape.name();
        let spec = format!("fields: [$.{shape}], token: {{shape: {shape}, domain: d}}");
        mask(shape, &spec)
    });
    let tables = tables(&set(&masks.concat()));
    let plan = MaskPlanId::new(0).unwrap();
    let mut shapes: Vec<_> = tables
        .mask_plan(plan)
        .map(|rule| {
            let path = format!("$.{}", rule.shape.name());
            assert_eq!(rule.target, MaskTarget::Value(&path));
            rule.shape
        })
        .collect();
    shapes.sort_by_key(|shape| *shape as u32);
    assert_eq!(shapes, TokenShape::ALL);
}

#[test]
fn a_shape_of_a_later_release_is_refused_with_what_it_is() {
    // The number of each shape is the format's: one that changed would mask in another shape, or not at all.
    assert_eq!(TokenShape::ALL.map(|shape| shape as u32), [0, 1, 2]);
    let spec = "fields: [$.a], token: {shape: digits, domain: d}";
    let bytes = compile(&set(&mask("m", spec)), REVISION).unwrap();
    let mut refusals = 0;
    for at in (112..bytes.len() - 3).step_by(1) {
        if bytes[at..at + 4] == 2_u32.to_le_bytes() {
            let mut later = bytes.clone();
            later[at] = 3;
            reseal(&mut later);
            let refused = LoadError::OperatorTablesMalformed(
                "a mask has a form of token that this release does not know",
            );
            refusals += u32::from(Tables::load(later).err() == Some(refused));
        }
    }
    assert_eq!(refusals, 1);
}

#[test]
fn targets_reach_the_gateway_as_they_were_written() {
    let token = "token: {shape: opaque, domain: d}";
    let masks = mask("a", &format!("key: whole, {token}"))
        + &mask("b", &format!("headers: [x-user, key, \"$.a\"], {token}"))
        + &mask(
            "c",
            &format!("fields: [$.a], key: [\"$.b\", \"$..c\"], headers: [h], {token}"),
        );
    let tables = tables(&set(&masks));
    let targets: Vec<_> = tables
        .mask_plan(MaskPlanId::new(0).unwrap())
        .map(|rule| (rule.mask, rule.target))
        .collect();
    assert_eq!(
        targets,
        [
            ("a", MaskTarget::Key),
            ("b", MaskTarget::Header("x-user")),
            ("b", MaskTarget::Header("key")),
            ("b", MaskTarget::Header("$.a")),
            ("c", MaskTarget::Value("$.a")),
            ("c", MaskTarget::KeyField("$.b")),
            ("c", MaskTarget::KeyField("$..c")),
            ("c", MaskTarget::Header("h")),
        ]
    );
}

#[test]
fn a_mask_of_nothing_or_of_something_else_is_a_mistake() {
    for (spec, told) in [
        ("", "names nothing to mask"),
        ("fields: [], ", "fields has at least one field path"),
        ("key: [], ", "key has at least one field path"),
        ("headers: [], ", "headers is empty"),
        ("key: [user], ", "write \"$.user\""),
        ("key: hole, ", "did you mean whole?"),
        ("key: {whole: true}, ", "key is a single value"),
        ("headers: x, ", "headers is a list"),
    ] {
        let text = mask("m", &format!("{spec}token: {{shape: opaque, domain: d}}"));
        let problems = problems(&text);
        assert_eq!(problems.len(), 1, "{spec}: {problems:?}");
        assert!(problems[0].contains(told), "{spec}: {problems:?}");
    }
}

#[test]
fn a_target_of_a_later_release_is_refused_with_what_it_is() {
    let spec = "headers: [x-user], token: {shape: opaque, domain: d}";
    let mut bytes = compile(&set(&mask("m", spec)), REVISION).unwrap();
    let at = bytes.windows(13).position(|text| text == b"header:x-user");
    bytes[at.unwrap()] = b'H';
    reseal(&mut bytes);
    let refused =
        LoadError::OperatorTablesMalformed("a mask has a target that this release does not know");
    assert_eq!(Tables::load(bytes).err(), Some(refused));
}

#[test]
fn the_length_of_a_token_reaches_the_gateway_where_it_makes_sense() {
    for (token, expected) in [
        ("shape: digits", (TokenShape::Digits, TokenLength::Own)),
        (
            "shape: digits, length: same",
            (TokenShape::Digits, TokenLength::Same),
        ),
        (
            "shape: opaque, length: same",
            (TokenShape::Opaque, TokenLength::Same),
        ),
    ] {
        let spec = format!("fields: [$.a], headers: [h], token: {{{token}, domain: d}}");
        let tables = tables(&set(&mask("m", &spec)));
        for rule in tables.mask_plan(MaskPlanId::new(0).unwrap()) {
            assert_eq!((rule.shape, rule.length), expected, "{token}");
        }
    }
    for (spec, told) in [
        (
            "fields: [$.a], token: {shape: email, length: same, domain: d}",
            "no room for an address",
        ),
        (
            "key: whole, token: {shape: opaque, length: same, domain: d}",
            "different keys would become equal",
        ),
        (
            "fields: [$.a], token: {shape: opaque, length: own, domain: d}",
            "length is not own",
        ),
    ] {
        let problems = problems(&mask("m", spec));
        assert_eq!(problems.len(), 1, "{spec}: {problems:?}");
        assert!(problems[0].contains(told), "{spec}: {problems:?}");
    }
}

#[test]
fn policy_of_before_compiles_to_the_tables_of_before() {
    // Gateways and control planes of two releases meet: what used nothing new must be the same bytes.
    let text = mask(
        "m",
        "fields: [\"$.customer.email\", \"$..card\"], token: {shape: opaque, domain: d}",
    );
    let bytes = compile(&set(&text), REVISION).unwrap();
    assert_eq!(bytes[12..16], CHECKSUM_OF_BEFORE.to_le_bytes());
    assert_eq!(bytes[8..12], 1_u32.to_le_bytes());
}
