//! Keys and headers of records.

use sluice_masking::{
    DomainKey, KeyRing, MaskPlan, MaskRule, Masked, PlanError, Scratch, SelfCheck, Target,
    TokenLength, TokenShape, is_token, mask_header, mask_key, mask_value,
};

fn ring() -> KeyRing {
    let mut ring = KeyRing::new();
    ring.insert("d", DomainKey::derive(&[7; 32], "d", 1))
        .unwrap();
    ring
}

fn plan(targets: &[Target<'_>]) -> MaskPlan {
    let rules = targets.iter().map(|target| MaskRule {
        target: *target,
        shape: TokenShape::Opaque,
        length: TokenLength::Own,
        domain: "d",
    });
    MaskPlan::compile(&rules.collect::<Vec<_>>(), &ring()).unwrap()
}

fn key(plan: &MaskPlan, key: &[u8]) -> Vec<u8> {
    let mut out = b"kept".to_vec();
    match mask_key(plan, key, &mut Scratch::new(), &mut out) {
        Masked::Unchanged => {
            assert_eq!(out, b"kept");
            key.to_vec()
        }
        Masked::Changed { fields } => {
            assert_eq!(fields, 1);
            out.split_off(4)
        }
    }
}

#[test]
fn a_whole_key_has_the_token_of_the_field_that_it_repeats() {
    let plan = plan(&[Target::Key, Target::Value("$.user")]);
    let mut value = Vec::new();
    mask_value(
        &plan,
        br#"{"user":"a\u0064a"}"#,
        &mut Scratch::new(),
        &mut value,
    )
    .unwrap();
    let token = key(&plan, b"ada");
    assert!(is_token(std::str::from_utf8(&token).unwrap()));
    assert_eq!(value, [br#"{"user":""#, &token[..], br#""}"#].concat());
    for other in [&b"\"ada\""[..], b"", b"\0\xff", b"Ada"] {
        assert_ne!(key(&plan, other), token);
    }
}

#[test]
fn fields_of_a_key_are_masked_and_what_is_no_document_is_replaced_whole() {
    let fields = plan(&[Target::KeyField("$.user")]);
    let whole = plan(&[Target::Key]);
    let masked = String::from_utf8(key(&fields, br#"{"user":"ada","n":1}"#)).unwrap();
    assert!(masked.starts_with(r#"{"user":"tok_1_"#) && masked.ends_with(r#"","n":1}"#));
    assert_eq!(key(&fields, br#"{"n":1}"#), br#"{"n":1}"#);
    for other in [
        &b"ada"[..],
        b"",
        b"{\"user\":\"ada\"",
        b"\0\0\0\0\x01\x02a",
        b"\"ada\"",
        b"7",
    ] {
        assert_eq!(key(&fields, other), key(&whole, other));
    }
    // A rule for all of it wins.
    let both = plan(&[Target::KeyField("$.user"), Target::Key]);
    assert_eq!(key(&both, br#"{"n":1}"#), key(&whole, br#"{"n":1}"#));
}

#[test]
fn keys_that_differ_in_a_string_that_cannot_be_read_stay_different() {
    let fields = plan(&[
        Target::KeyField("$.user"),
        Target::KeyField("$.p.$json.a.$json.b"),
    ]);
    let whole = plan(&[Target::Key]);
    for different in [
        [
            r#"{"user":"ada","p":"one"}"#,
            r#"{"user":"ada","p":"another"}"#,
        ],
        [
            r#"{"p":"{\"a\":\"one\"}"}"#,
            r#"{"p":"{\"a\":\"another\"}"}"#,
        ],
    ] {
        let masked = different.map(|text| key(&fields, text.as_bytes()));
        assert_ne!(masked[0], masked[1]);
        assert_eq!(masked, different.map(|text| key(&whole, text.as_bytes())));
    }
}

#[test]
fn a_key_that_is_no_document_has_the_opaque_token_in_every_shape() {
    let opaque = plan(&[Target::Key]);
    for shape in TokenShape::ALL {
        let rule = MaskRule {
            target: Target::KeyField("$.user"),
            shape,
            length: TokenLength::Own,
            domain: "d",
        };
        let fields = MaskPlan::compile(&[rule], &ring()).unwrap();
        // As digits some of these would be equal.
        for text in ["7", "8", "ada"] {
            assert_eq!(key(&fields, text.as_bytes()), key(&opaque, text.as_bytes()));
        }
    }
}

#[test]
fn a_field_that_survives_in_a_key_is_found() {
    let plan = plan(&[Target::KeyField("$.user"), Target::Value("$.other")]);
    let clear = br#"{"user":"ada"}"#;
    let mut check = SelfCheck::new();
    assert!(check.surviving_key_field(&plan, clear, clear).is_err());
    assert!(check.surviving_field(&plan, clear, clear).is_ok());
    assert!(
        check
            .surviving_key_field(&plan, clear, &key(&plan, clear))
            .is_ok()
    );
}

#[test]
fn headers_are_masked_by_name_in_any_case() {
    let plan = plan(&[Target::Header("X-User"), Target::Header("x-mail")]);
    let mut out = Vec::new();
    for name in ["X-User", "x-user", "X-MAIL"] {
        out.clear();
        let masked = mask_header(&plan, name, b"ada", &mut out);
        assert_eq!(masked, Masked::Changed { fields: 1 });
        assert!(is_token(std::str::from_utf8(&out).unwrap()));
    }
    out.clear();
    for name in ["x-use", "x-users", ""] {
        assert_eq!(
            mask_header(&plan, name, b"ada", &mut out),
            Masked::Unchanged
        );
    }
    assert!(out.is_empty());
}

#[test]
fn parts_that_no_rule_names_are_left_alone() {
    let plan = plan(&[Target::Header("h")]);
    assert!(plan.masks_headers() && !plan.masks_keys());
    assert_eq!(key(&plan, b"ada"), b"ada");
    let masked = mask_value(&plan, b"no JSON", &mut Scratch::new(), &mut Vec::new());
    assert_eq!(masked, Ok(Masked::Unchanged));
    let fault = MaskPlan::compile(
        &[MaskRule {
            target: Target::KeyField("user"),
            shape: TokenShape::Opaque,
            length: TokenLength::Own,
            domain: "d",
        }],
        &ring(),
    );
    assert!(matches!(
        fault,
        Err(PlanError::OperatorPath { rule: 0, .. })
    ));
}
