//! Documents in strings: what a rule with `$json` masks in them, and what becomes of strings that hold something else.

use sluice_masking::limits::{DEPTH_MAX, FIELDS_MAX, JSON_STEPS_MAX};
use sluice_masking::{
    DomainKey, KeyRing, MaskPlan, MaskRule, Masked, Scratch, Target, TokenLength, TokenShape,
    Unmaskable, is_token, mask_value,
};

fn plan(paths: &[&str]) -> MaskPlan {
    let mut ring = KeyRing::new();
    ring.insert("d", DomainKey::derive(&[7; 32], "d", 1))
        .unwrap();
    let rules = paths.iter().map(|path| MaskRule {
        target: Target::Value(path),
        shape: TokenShape::Opaque,
        length: TokenLength::Own,
        domain: "d",
    });
    MaskPlan::compile(&rules.collect::<Vec<_>>(), &ring).unwrap()
}

fn mask(paths: &[&str], value: &str) -> Result<Option<String>, Unmaskable> {
    let mut out = Vec::new();
    let masked = mask_value(
        &plan(paths),
        value.as_bytes(),
        &mut Scratch::new(),
        &mut out,
    )?;
    let out = String::from_utf8(out).unwrap();
    Ok(match masked {
        Masked::Unchanged => {
            assert_eq!(out, "");
            None
        }
        Masked::Changed { .. } => Some(out),
    })
}

/// The only token of a value.
fn token(masked: &str) -> &str {
    let mut tokens = masked
        .split(['"', '\\'])
        .filter(|text| is_token(text))
        .collect::<Vec<_>>();
    tokens.dedup();
    assert_eq!(tokens.len(), 1, "{masked}");
    tokens[0]
}

/// A document as a string of one that holds it under `p`.
fn within(document: &str) -> String {
    format!("{{\"p\":{}}}", serde_json::to_string(document).unwrap())
}

#[test]
fn masks_in_a_string_and_leaves_every_other_byte() {
    let value = r#"{"x":"\u0061","p":"{\"a\" : \u0022ada\", \"é\":\"\\u0062\/\"}","a":"ada"}"#;
    let masked = mask(&["$.p.$json.a"], value).unwrap().unwrap();
    let token = token(&masked);
    let expected = value.replacen(r#"\u0022ada\""#, &format!(r#"\"{token}\""#), 1);
    assert_eq!(masked, expected);
    // It is the token that the field has outside a string.
    let outside = mask(&["$.a"], r#"{"a":"ada"}"#).unwrap().unwrap();
    assert!(outside.contains(token));
}

#[test]
fn goes_as_deep_as_its_path_and_no_deeper() {
    let mut value = r#"{"a":"ada"}"#.to_owned();
    for depth in 1..=JSON_STEPS_MAX {
        value = within(&value);
        let path = format!("${}.a", ".p.$json".repeat(depth));
        let masked = mask(&[&path], &value).unwrap().unwrap();
        let mut inner: serde_json::Value = serde_json::from_str(&masked).unwrap();
        for _ in 0..depth {
            inner = serde_json::from_str(inner["p"].as_str().unwrap()).unwrap();
        }
        assert!(is_token(inner["a"].as_str().unwrap()), "{masked}");
        let shorter = format!("${}.a", ".p.$json".repeat(depth - 1));
        assert_eq!(mask(&[&shorter], &value), Ok(None));
    }
}

#[test]
fn masks_on_when_a_producer_stops_quoting() {
    for value in [
        r#"{"p":{"a":"ada","b":1}}"#,
        r#"{"P":{"a":"x","A":"ada"}}"#,
        r#"{"p":{"a":["ada"]}}"#,
    ] {
        let masked = mask(&["$.p.$json.a"], value).unwrap().unwrap();
        assert!(!masked.contains("ada"), "{masked}");
    }
    // Other rules see such an object as they would without the step.
    let masked = mask(&["$.p.$json.a", "$.p.b"], r#"{"p":{"a":1,"b":"ada"}}"#);
    assert!(!masked.unwrap().unwrap().contains("ada"));
    for value in [
        r#"{"p":1}"#,
        r#"{"p":null}"#,
        r#"{"p":true}"#,
        r#"{"q":"{"}"#,
    ] {
        assert_eq!(mask(&["$.p.$json.a"], value), Ok(None), "{value}");
    }
}

#[test]
fn withholds_a_string_that_does_not_read_as_one_document() {
    for (content, reason) in [
        ("mail to ada", "unparsable"),
        ("", "unparsable"),
        ("\"{\\\"a\\\":1}\"", "unparsable"),
        ("{\"a\":\"ada\"", "unparsable"),
        ("{} {\"a\":\"ada\"}", "unparsable"),
        ("\u{feff}{\"a\":\"ada\"}", "unparsable"),
        ("{\"b\":\"\\ud800\",\"c\":\"ada\"}", "unparsable"),
        (&"[".repeat(DEPTH_MAX + 1), "over-limit"),
    ] {
        let masked = mask(&["$.p.$json.a"], &within(content)).unwrap().unwrap();
        let placeholder = format!("{{\"sluice\":{{\"masked\":\"{reason}\"}}}}");
        assert_eq!(masked, within(&placeholder), "{content}");
    }
    // The rest of the value is delivered.
    let masked = mask(&["$.p.$json.a"], r#"{"n":1,"p":"ada"}"#).unwrap();
    assert!(masked.unwrap().starts_with(r#"{"n":1,"p":"{"#));
}

#[test]
fn passes_a_string_without_the_fields_as_it_is_spelled() {
    for value in [
        r#"{"p":"{\u0022b\": \"\/\"}"}"#,
        r#"{"p":"[]","p":"\u007b}"}"#,
    ] {
        assert_eq!(mask(&["$.p.$json.a"], value), Ok(None), "{value}");
    }
    // Beside one that is changed, too.
    let value = r#"{"p":"{\u0022b\": \"\/\"}","a":"ada"}"#;
    let masked = mask(&["$.p.$json.a", "$.a"], value).unwrap().unwrap();
    assert!(masked.starts_with(r#"{"p":"{\u0022b\": \"\/\"}","a":"tok_1_"#));
}

#[test]
fn a_rule_for_the_whole_string_wins() {
    for paths in [["$.p.$json.a", "$.p"], ["$.p", "$.p.$json.a"]] {
        let masked = mask(&paths, &within(r#"{"a":"ada"}"#)).unwrap().unwrap();
        assert!(masked.starts_with(r#"{"p":"tok_1_"#), "{masked}");
    }
}

#[test]
fn does_not_reach_into_strings_without_the_step() {
    let value = within(r#"{"a":"ada","b":{"a":"ada"}}"#);
    assert_eq!(mask(&["$..a", "$..b", "$.*.a"], &value), Ok(None));
    let masked = mask(&["$..a", "$.p.$json..a"], &value).unwrap().unwrap();
    assert!(!masked.contains("ada"), "{masked}");
}

#[test]
fn bounds_the_fields_of_all_strings_together() {
    let half = format!("[{}]", vec![r#"{"a":1}"#; FIELDS_MAX / 2].join(","));
    let quoted = serde_json::to_string(&half).unwrap();
    let paths = ["$.p.$json..a", "$.q"];
    let value = format!(r#"{{"p":{quoted},"P":{quoted}}}"#);
    assert!(mask(&paths, &value).unwrap().is_some());
    let value = format!(r#"{{"p":{quoted},"P":{quoted},"q":1}}"#);
    assert_eq!(mask(&paths, &value), Err(Unmaskable::LimitFields));
}
