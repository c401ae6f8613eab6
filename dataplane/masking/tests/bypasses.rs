//! Known ways around a mask, each by name: what producers do to a value so that a mask misses a field that a consumer
//! reads, and what masks of other gateways are known to break.

use sluice_masking::limits::{DEPTH_MAX, FIELDS_MAX, VALUE_BYTES_MAX};
use sluice_masking::{
    DomainKey, KeyRing, MaskPlan, MaskRule, Masked, PlanError, Scratch, Target, TokenLength,
    TokenShape, Unmaskable, is_token, mask_value, placeholder,
};

const RULES: &[&str] = &[
    "$.customer.email",
    "$..card_number",
    "$.items[*].recipient.ssn",
];

fn ring() -> KeyRing {
    let mut ring = KeyRing::new();
    for domain in ["customers", "cards"] {
        ring.insert(domain, DomainKey::derive(&[7; 32], domain, 1))
            .unwrap();
    }
    ring
}

fn plan(paths: &[&str]) -> MaskPlan {
    let rules: Vec<_> = paths
        .iter()
        .map(|path| MaskRule {
            target: Target::Value(path),
            shape: TokenShape::Opaque,
            length: TokenLength::Own,
            domain: "customers",
        })
        .collect();
    MaskPlan::compile(&rules, &ring()).unwrap()
}

fn mask(value: &[u8]) -> Result<(Masked, Vec<u8>), Unmaskable> {
    let mut out = Vec::new();
    let masked = mask_value(&plan(RULES), value, &mut Scratch::new(), &mut out)?;
    Ok((masked, out))
}

/// Checks that all of `secrets` are gone and that so many tokens stand in the masked value, and answers it.
#[track_caller]
fn masks(value: &str, secrets: &[&str], tokens: u32) -> String {
    let (masked, out) = mask(value.as_bytes()).unwrap_or_else(|fault| panic!("{fault}: {value}"));
    let out = String::from_utf8(out).unwrap();
    assert_eq!(masked, Masked::Changed { fields: tokens }, "{out}");
    for secret in secrets {
        assert!(value.contains(secret) && !out.contains(secret), "{out}");
    }
    assert_eq!(out.matches("\"tok_1_").count(), tokens as usize, "{out}");
    out
}

#[track_caller]
fn withholds(value: &[u8]) -> Unmaskable {
    match mask(value) {
        Err(fault) => fault,
        Ok(passed) => panic!("{passed:?}: {}", String::from_utf8_lossy(value)),
    }
}

#[test]
fn masks_a_plain_order_and_leaves_every_other_byte() {
    let out = masks(
        r#"{"id": 1.50, "customer":{"email":"a@b.example" ,"n":"x"},"n":1.0e+2}"#,
        &["a@b.example"],
        1,
    );
    let token = out.split('"').find(|text| is_token(text)).unwrap();
    let expected =
        format!(r#"{{"id": 1.50, "customer":{{"email":"{token}" ,"n":"x"}},"n":1.0e+2}}"#);
    assert_eq!(out, expected);
}

#[test]
fn leaves_a_value_without_the_fields_alone() {
    for value in [
        r#"{"id":1,"email":"not the customer's"}"#,
        "[]",
        "{}",
        r#"{"customer":"a@b.example"}"#,
        r#"{"items":[{"recipient":null}]}"#,
    ] {
        assert_eq!(mask(value.as_bytes()), Ok((Masked::Unchanged, Vec::new())));
    }
}

#[test]
fn masks_with_space_around_the_colon() {
    masks("{\"customer\" :\n{\t\"email\" : \"a@b\" } }", &["a@b"], 1);
}

#[test]
fn masks_escaped_keys() {
    masks(r#"{"c\u0075stomer":{"\u0065mail":"a@b"}}"#, &["a@b"], 1);
    masks(r#"{"card\u005Fnumber":"4111"}"#, &["4111"], 1);
}

#[test]
fn masks_numbers_literals_and_null() {
    masks(r#"{"card_number":4111111111111111}"#, &["4111"], 1);
    masks(r#"{"card_number":-4.1e10}"#, &["4.1"], 1);
    masks(r#"{"card_number":true}"#, &["true"], 1);
    masks(r#"{"card_number":null}"#, &["null"], 1);
}

#[test]
fn masks_whole_containers_once() {
    masks(
        r#"{"card_number":["4111",{"card_number":"4222"}]}"#,
        &["4111", "4222"],
        1,
    );
    masks(
        r#"{"customer":{"email":{"work":"a@b"}}}"#,
        &["a@b", "work"],
        1,
    );
    masks(r#"{"card_number":{}}"#, &["{}"], 1);
}

#[test]
fn masks_in_every_element() {
    masks(
        r#"{"items":[{"recipient":{"ssn":"1"}},{"x":[]},{"recipient":{"ssn":"2"}}]}"#,
        &["\"1\"", "\"2\""],
        2,
    );
    masks(r#"[[{"card_number":"4111"}]]"#, &["4111"], 1);
}

#[test]
fn masks_every_duplicate_key() {
    masks(
        r#"{"customer":{"email":"first"},"customer":{"email":"second","email":"third"}}"#,
        &["first", "second", "third"],
        3,
    );
    masks(r#"{"customer":{},"customer":{"email":"a@b"}}"#, &["a@b"], 1);
    masks(r#"{"customer":{"email":"a@b"},"customer":{}}"#, &["a@b"], 1);
}

#[test]
fn masks_every_case_that_a_consumer_takes_for_the_field() {
    for key in ["Card_Number", "CARD_NUMBER", r"\u0043ARD_number"] {
        masks(&format!(r#"{{"{key}":"4111"}}"#), &["4111"], 1);
    }
    for ssn in ["SSN", "\u{17f}\u{17f}n", r"\u017fsn"] {
        let value = format!(r#"{{"items":[{{"recipient":{{"{ssn}":"123"}}}}]}}"#);
        masks(&value, &["123"], 1);
    }
    let plan = plan(&["$.key"]);
    let value = "{\"\u{212a}ey\":\"secret\"}".as_bytes();
    let masked = mask_value(&plan, value, &mut Scratch::new(), &mut Vec::new());
    assert_eq!(masked, Ok(Masked::Changed { fields: 1 }));
}

#[test]
fn keeps_text_that_is_not_ascii() {
    let out = masks(
        r#"{"name":"Zoë 日本 😀","customer":{"email":"ä@b"},"é":"\u00e9"}"#,
        &["ä@b"],
        1,
    );
    assert!(out.starts_with(r#"{"name":"Zoë 日本 😀","#) && out.ends_with(r#","é":"\u00e9"}"#));
}

#[test]
fn gives_a_value_one_token_however_it_is_escaped_or_placed() {
    let token = |value: &str| {
        let (_, out) = mask(value.as_bytes()).unwrap();
        let out = String::from_utf8(out).unwrap();
        out.split('"')
            .find(|text| is_token(text))
            .unwrap()
            .to_owned()
    };
    let plain = token(r#"{"customer":{"email":"a@b"}}"#);
    assert_eq!(plain, token(r#"{"customer":{"email":"\u0061\u0040b"}}"#));
    assert_eq!(plain, token(r#"{"x":[{"card_number" : "a@b"}]}"#));
    assert_ne!(plain, token(r#"{"customer":{"email":"A@b"}}"#));
}

#[test]
fn gives_each_domain_tokens_of_its_own() {
    let rule = |path, domain| MaskRule {
        target: Target::Value(path),
        shape: TokenShape::Opaque,
        length: TokenLength::Own,
        domain,
    };
    let rules = [rule("$.a", "customers"), rule("$.b", "cards")];
    let plan = MaskPlan::compile(&rules, &ring()).unwrap();
    let mut out = Vec::new();
    mask_value(
        &plan,
        br#"{"a":"1","b":"1"}"#,
        &mut Scratch::new(),
        &mut out,
    )
    .unwrap();
    let out = String::from_utf8(out).unwrap();
    let tokens: Vec<_> = out.split('"').filter(|text| is_token(text)).collect();
    assert!(matches!(tokens[..], [a, b] if a != b), "{out}");
}

#[test]
fn withholds_what_only_a_lenient_consumer_reads() {
    for value in [
        "{\"customer\":{\"email\":\"a@b\"}/* c */}",
        "{\"customer\":{\"email\":\"a@b\"}} // c",
        "{\"customer\":{\"email\":\"a@b\",}}",
        "{\"items\":[1,]}",
        "{\"items\":[,1]}",
        "{'customer':{'email':'a@b'}}",
        "{customer:{email:\"a@b\"}}",
        "{\"customer\":{\"email\":\"a\nb\"}}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":-Infinity}",
        "{\"a\":+1}",
        "{\"a\":01}",
        "{\"a\":-}",
        "{\"a\":.5}",
        "{\"a\":5.}",
        "{\"a\":1e}",
        "{\"a\":1e+}",
        "{\"a\":0x10}",
        "{\"a\":1_000}",
        "{\"a\":True}",
        "{\"a\":nul}",
        "{\"a\":nulll}",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1,,\"b\":2}",
        "{\"a\":1]",
        "[1}",
        "{\"a\"}",
        "{1:2}",
        "{\"a\":\"\\x41\"}",
        "{\"a\":\"\\u00g0\"}",
        "{\"a\":\"\\'\"}",
        "{\"a\":\"tab\there\"}",
        "\u{b}{}",
        "\u{a0}{}",
        "{}\u{0}",
        "}",
        "customer.email=a@b",
        "<customer><email>a@b</email></customer>",
    ] {
        let fault = withholds(value.as_bytes());
        assert_eq!(fault.name(), "unparsable", "{value}");
    }
}

#[test]
fn withholds_a_second_document() {
    for value in [
        "{} {\"customer\":{\"email\":\"a@b\"}}",
        "{}{\"card_number\":1}",
        "{}\n[]",
        "{}x",
    ] {
        let fault = withholds(value.as_bytes());
        assert!(
            matches!(fault, Unmaskable::ClientTrailingBytes { .. }),
            "{value}"
        );
    }
}

#[test]
fn withholds_what_ends_early() {
    let whole = r#"{"customer":{"email":"a\u0062"},"n":[1.5e+3,true,null]}"#;
    assert!(mask(whole.as_bytes()).is_ok());
    for end in 0..whole.len() {
        withholds(&whole.as_bytes()[..end]);
    }
}

#[test]
fn withholds_lone_surrogates() {
    for text in [
        r"\ud800",
        r"\udc00",
        r"\ud800\u0041",
        r"\udc00\ud800",
        r"\ud83d\ud83d",
    ] {
        for value in [format!(r#"{{"a":"{text}"}}"#), format!(r#"{{"{text}":1}}"#)] {
            let fault = withholds(value.as_bytes());
            assert!(
                matches!(fault, Unmaskable::ClientBadEscape { .. }),
                "{value}"
            );
        }
    }
}

#[test]
fn withholds_other_encodings() {
    let json = r#"{"customer":{"email":"a@b"}}"#;
    let utf16: Vec<u16> = json.encode_utf16().collect();
    let mut values: Vec<Vec<u8>> = vec![
        utf16.iter().flat_map(|unit| unit.to_le_bytes()).collect(),
        utf16.iter().flat_map(|unit| unit.to_be_bytes()).collect(),
        json.chars()
            .flat_map(|c| (c as u32).to_le_bytes())
            .collect(),
        json.chars()
            .flat_map(|c| (c as u32).to_be_bytes())
            .collect(),
        [b"\xef\xbb\xbf", json.as_bytes()].concat(),
        [b"\xff\xfe", json.as_bytes()].concat(),
        b"{\"a\":\"\xff\"}".to_vec(),
        // An overlong slash, an encoded surrogate, a code point beyond the last.
        b"{\"a\":\"\xc0\xaf\"}".to_vec(),
        b"{\"a\":\"\xed\xa0\x80\"}".to_vec(),
        b"{\"a\":\"\xf4\x90\x80\x80\"}".to_vec(),
        b"\x1f\x8b\x08\x00".to_vec(),
        b"+AHs-".to_vec(),
    ];
    values.push(Vec::new());
    for value in values {
        withholds(&value);
    }
}

#[test]
fn withholds_a_bare_scalar() {
    // A card number on its own is valid JSON, and so is a document inside a string.
    for value in [
        "4111111111111111",
        r#""{\"card_number\":\"4111\"}""#,
        "null",
        "true",
        " 1 ",
    ] {
        assert_eq!(withholds(value.as_bytes()), Unmaskable::ClientBareScalar);
    }
}

#[test]
fn masks_json_behind_registry_framing_and_keeps_the_framing() {
    for id in [[0, 0, 0, 1], [0x7b, 0x22, 0xff, 0], [0, 0, 0, 0]] {
        let mut value = vec![0];
        value.extend_from_slice(&id);
        let framing = value.clone();
        value.extend_from_slice(br#"{"card_number":"4111"}"#);
        let (masked, out) = mask(&value).unwrap();
        assert_eq!(masked, Masked::Changed { fields: 1 });
        assert!(out.starts_with(&framing) && out[5..].starts_with(br#"{"card_number":"tok_1_"#));
    }
}

#[test]
fn withholds_registry_framing_around_anything_else() {
    for rest in [
        // Avro string, Protobuf message index and field, nothing, a frame in a frame.
        &b"\x0ea@b.com"[..],
        b"\x00\x0a\x03a@b",
        b"",
        b"\0\0\0\0\x01{}",
        b"\"text\"",
    ] {
        let value = [b"\0\0\0\0\x01", rest].concat();
        assert_eq!(withholds(&value), Unmaskable::ClientFramedNotJson);
    }
    for short in [&b"\0"[..], b"\0{}", b"\0\0\0\0"] {
        withholds(short);
    }
}

#[test]
fn does_not_look_into_strings() {
    // Stated in the documentation: a rule must name the field that holds the string.
    let value = r#"{"payload":"{\"card_number\":\"4111\"}"}"#;
    assert_eq!(mask(value.as_bytes()), Ok((Masked::Unchanged, Vec::new())));
}

#[test]
fn masks_a_token_that_a_producer_wrote() {
    let token = format!("tok_1_{}", "a".repeat(26));
    assert!(is_token(&token));
    masks(&format!(r#"{{"card_number":"{token}"}}"#), &[&token], 1);
}

#[test]
fn bounds_the_depth() {
    let nested =
        |depth: usize, inside: &str| format!("{}{inside}{}", "[".repeat(depth), "]".repeat(depth));
    masks(
        &nested(DEPTH_MAX - 1, r#"{"card_number":"4111"}"#),
        &["4111"],
        1,
    );
    assert_eq!(
        mask(nested(DEPTH_MAX, "").as_bytes()),
        Ok((Masked::Unchanged, Vec::new()))
    );
    for value in [
        nested(DEPTH_MAX + 1, ""),
        nested(DEPTH_MAX, r#"{"card_number":"4111"}"#),
        "[".repeat(1 << 20),
        r#"{"card_number":"#.repeat(1 << 16),
    ] {
        let fault = withholds(value.as_bytes());
        assert!(matches!(fault, Unmaskable::LimitDepth { .. }), "{fault}");
    }
}

#[test]
fn bounds_the_fields_and_the_bytes() {
    let fields = |count: usize| {
        let all = vec![r#"{"card_number":1}"#; count];
        format!("[{}]", all.join(","))
    };
    let (masked, _) = mask(fields(FIELDS_MAX).as_bytes()).unwrap();
    assert_eq!(
        masked,
        Masked::Changed {
            fields: FIELDS_MAX as u32
        }
    );
    assert_eq!(
        withholds(fields(FIELDS_MAX + 1).as_bytes()),
        Unmaskable::LimitFields
    );
    let mut long = vec![b' '; VALUE_BYTES_MAX - 2];
    long.extend_from_slice(b"[]");
    assert_eq!(mask(&long), Ok((Masked::Unchanged, Vec::new())));
    long.push(b' ');
    assert_eq!(withholds(&long), Unmaskable::LimitValueBytes);
}

#[test]
fn starts_every_value_afresh() {
    let plan = plan(RULES);
    let mut scratch = Scratch::new();
    let mut out = Vec::new();
    let secret = br#"{"card_number":["4111"]}"#;
    mask_value(&plan, secret, &mut scratch, &mut out).unwrap();
    // Ends inside a masked container, after a masked field.
    let cut = br#"{"card_number":1,"x":{"card_number":["#;
    let before = out.clone();
    assert!(mask_value(&plan, cut, &mut scratch, &mut out).is_err());
    assert_eq!(out, before);
    let masked = mask_value(&plan, br#"{"a":[[1]]}"#, &mut scratch, &mut out);
    assert_eq!(masked, Ok(Masked::Unchanged));
    assert_eq!(out, before);
}

#[test]
fn shows_a_placeholder_that_is_json_and_not_null() {
    for (fault, expected) in [
        (withholds(b"{"), r#"{"sluice":{"masked":"unparsable"}}"#),
        (
            withholds(b"\0\0\0\0\x01\x02a"),
            r#"{"sluice":{"masked":"unknown-format"}}"#,
        ),
        (
            withholds("[".repeat(200).as_bytes()),
            r#"{"sluice":{"masked":"over-limit"}}"#,
        ),
    ] {
        let mut out = Vec::new();
        placeholder(fault, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

#[test]
fn refuses_a_plan_that_would_not_mask() {
    let rule = |path, domain| MaskRule {
        target: Target::Value(path),
        shape: TokenShape::Opaque,
        length: TokenLength::Own,
        domain,
    };
    let compile = |rules: &[MaskRule<'_>]| MaskPlan::compile(rules, &ring()).unwrap_err();
    assert_eq!(compile(&[]), PlanError::OperatorRulesMissing);
    let many = vec![rule("$.a", "cards"); 129];
    assert_eq!(
        compile(&many),
        PlanError::OperatorRulesTooMany { count: 129 }
    );
    let fault = compile(&[rule("$.a", "cards"), rule("$.items[0]", "cards")]);
    assert!(
        matches!(fault, PlanError::OperatorPath { rule: 1, .. }),
        "{fault}"
    );
    let fault = compile(&[rule("$.a", "unknown")]);
    assert!(
        matches!(fault, PlanError::ControlKeyMissing { rule: 0, .. }),
        "{fault}"
    );
}

#[test]
fn prints_no_key_with_a_plan() {
    let printed = format!("{:?} {:?}", plan(RULES), ring());
    let key = DomainKey::derive(&[7; 32], "customers", 1);
    let bytes = format!("{:?}", key.as_bytes());
    assert!(printed.contains("$.customer.email"));
    assert!(!printed.contains(&bytes[1..20]), "{printed}");
}
