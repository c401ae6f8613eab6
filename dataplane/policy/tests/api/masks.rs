//! Masks, from the document to the rules that a gateway compiles.

use sluice_policy::{LoadError, MaskPlanId, Tables, TokenShape, compile};

use crate::hostile::reseal;
use crate::{REVISION, set, tables};

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
            assert_eq!(rule.path, format!("$.{}", rule.shape.name()));
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
                "a mask has a token shape that this release does not know",
            );
            refusals += u32::from(Tables::load(later).err() == Some(refused));
        }
    }
    assert_eq!(refusals, 1);
}
