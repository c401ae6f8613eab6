use aws_lc_rs::rsa::KeySize;
use serde_json::json;

use super::Algorithm::{EdDsa, Es256, Es384, Ps256, Rs256, Rs512};
use super::*;
use crate::testing::{Random, Signer, encode};

fn set_of(keys: &[Value]) -> KeySet {
    parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

/// The flaw of a set that holds only this key.
fn flaw_of(key: Value) -> Option<KeyFlaw> {
    let set = set_of(&[key]);
    assert_eq!(set.keys().len() + set.skipped().len(), 1);
    set.skipped().first().map(|skipped| skipped.flaw)
}

fn with(mut key: Value, name: &str, value: impl Into<Value>) -> Value {
    key[name] = value.into();
    key
}

#[test]
fn reads_every_supported_type_and_ties_it_to_its_algorithms() {
    let keys = [
        Signer::rsa().jwk("r"),
        Signer::p256().jwk("e"),
        Signer::p384().jwk("f"),
        Signer::ed25519().jwk("o"),
    ];
    let set = set_of(&keys);
    assert!(set.skipped().is_empty());
    let allowed = |kid: &str| -> Vec<Algorithm> { set.key(kid).unwrap().algorithms.to_vec() };
    assert_eq!(allowed("r"), RSA_ALGORITHMS);
    assert_eq!(allowed("e"), [Es256]);
    assert_eq!(allowed("f"), [Es384]);
    assert_eq!(allowed("o"), [EdDsa]);
    assert!(set.key("x").is_none());
}

#[test]
fn verifies_only_what_its_own_key_signed() {
    let message = b"header.claims";
    let signers = [
        (Signer::rsa(), "RS256"),
        (Signer::rsa(), "PS512"),
        (Signer::p256(), "ES256"),
        (Signer::p384(), "ES384"),
        (Signer::ed25519(), "EdDSA"),
    ];
    let set = set_of(&[0, 1, 2, 3, 4].map(|at: usize| signers[at].0.jwk(&at.to_string())));
    for (at, (signer, name)) in signers.iter().enumerate() {
        let algorithm = Algorithm::from_name(name).unwrap();
        let signature = signer.sign(name, message);
        for (other, key) in set.keys().iter().enumerate() {
            assert_eq!(
                key.verifies(algorithm, message, &signature),
                at == other,
                "{name} {other}"
            );
        }
        assert!(!set.keys()[at].verifies(algorithm, b"header.claimz", &signature));
        assert!(!set.keys()[at].verifies(algorithm, message, &Vec::new()));
    }
}

#[test]
fn narrows_a_key_to_the_algorithm_that_it_names() {
    let rsa = Signer::rsa();
    let set = set_of(&[with(rsa.jwk("r"), "alg", "PS256")]);
    let key = set.key("r").unwrap();
    assert!(key.allows(Ps256) && !key.allows(Rs256));
    assert!(!key.verifies(Rs256, b"x", &rsa.sign("RS256", b"x")));
    assert!(key.verifies(Ps256, b"x", &rsa.sign("PS256", b"x")));
    assert_eq!(
        flaw_of(with(rsa.jwk("r"), "alg", "RSA-OAEP")),
        Some(KeyFlaw::Unsupported)
    );
    assert_eq!(
        flaw_of(with(rsa.jwk("r"), "alg", "HS256")),
        Some(KeyFlaw::Unsupported)
    );
    assert_eq!(
        flaw_of(with(rsa.jwk("r"), "alg", "ES256")),
        Some(KeyFlaw::Unsupported)
    );
    assert_eq!(
        flaw_of(with(Signer::ed25519().jwk("o"), "alg", "Ed25519")),
        None
    );
}

#[test]
fn skips_what_is_not_for_signatures_or_not_public() {
    let rsa = Signer::rsa().jwk("r");
    let table = [
        (with(rsa.clone(), "use", "sig"), None),
        (with(rsa.clone(), "use", "enc"), Some(KeyFlaw::UseDiffers)),
        (with(rsa.clone(), "use", 1), Some(KeyFlaw::MemberInvalid)),
        (with(rsa.clone(), "key_ops", json!(["verify"])), None),
        (
            with(rsa.clone(), "key_ops", json!(["encrypt"])),
            Some(KeyFlaw::UseDiffers),
        ),
        (
            with(rsa.clone(), "key_ops", "verify"),
            Some(KeyFlaw::MemberInvalid),
        ),
        (
            with(rsa.clone(), "d", "AQAB"),
            Some(KeyFlaw::PrivatePublished),
        ),
        (
            json!({"kty": "oct", "kid": "s", "k": "c2VjcmV0"}),
            Some(KeyFlaw::Symmetric),
        ),
        (
            json!({"kty": "PQC", "kid": "q"}),
            Some(KeyFlaw::Unsupported),
        ),
        (json!({"kid": "q"}), Some(KeyFlaw::MemberInvalid)),
        (json!("key"), Some(KeyFlaw::MemberInvalid)),
        (with(rsa.clone(), "kid", 7), Some(KeyFlaw::MemberInvalid)),
        (with(rsa.clone(), "kid", "k".repeat(KID_BYTES_MAX)), None),
        (
            with(rsa, "kid", "k".repeat(KID_BYTES_MAX + 1)),
            Some(KeyFlaw::MemberInvalid),
        ),
    ];
    for (key, flaw) in table {
        assert_eq!(flaw_of(key.clone()), flaw, "{key}");
    }
}

#[test]
fn skips_numbers_that_are_no_key() {
    let rsa = Signer::rsa().jwk("r");
    let p256 = Signer::p256().jwk("e");
    let ed25519 = Signer::ed25519().jwk("o");
    let zeros = |count: usize| encode(&vec![0; count]);
    let table = [
        (with(rsa.clone(), "e", "Aw"), None),
        (with(rsa.clone(), "e", "AQ"), KeyFlaw::NotAKey.into()),
        (with(rsa.clone(), "e", "Ag"), KeyFlaw::NotAKey.into()),
        (with(rsa.clone(), "e", "AA"), KeyFlaw::MemberInvalid.into()),
        (
            with(rsa.clone(), "e", encode(&[1; 5])),
            KeyFlaw::SizeRefused.into(),
        ),
        (with(rsa.clone(), "n", "AQAB"), KeyFlaw::SizeRefused.into()),
        (
            with(rsa.clone(), "n", encode(&[0xff; 1025])),
            KeyFlaw::SizeRefused.into(),
        ),
        (with(rsa.clone(), "n", "="), KeyFlaw::MemberInvalid.into()),
        (with(rsa, "n", Value::Null), KeyFlaw::MemberInvalid.into()),
        (with(p256.clone(), "y", zeros(32)), KeyFlaw::NotAKey.into()),
        (
            with(p256.clone(), "x", zeros(31)),
            KeyFlaw::MemberInvalid.into(),
        ),
        (
            with(p256.clone(), "x", zeros(33)),
            KeyFlaw::MemberInvalid.into(),
        ),
        (
            with(p256.clone(), "crv", "P-384"),
            KeyFlaw::MemberInvalid.into(),
        ),
        (with(p256, "crv", "secp256k1"), KeyFlaw::Unsupported.into()),
        (
            with(ed25519.clone(), "crv", "Ed448"),
            KeyFlaw::Unsupported.into(),
        ),
        (
            with(ed25519.clone(), "crv", "X25519"),
            KeyFlaw::Unsupported.into(),
        ),
        (with(ed25519, "x", zeros(31)), KeyFlaw::MemberInvalid.into()),
    ];
    for (key, flaw) in table {
        assert_eq!(flaw_of(key.clone()), flaw, "{key}");
    }
}

#[test]
fn takes_an_rsa_modulus_with_leading_zeros() {
    let signer = Signer::rsa_of(KeySize::Rsa3072);
    let mut jwk = signer.jwk("r");
    let mut padded = vec![0, 0];
    padded.extend(URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap());
    jwk["n"] = encode(&padded).into();
    let set = set_of(&[jwk]);
    assert!(
        set.key("r")
            .unwrap()
            .verifies(Rs512, b"x", &signer.sign("RS512", b"x"))
    );
}

#[test]
fn one_bad_key_does_not_spoil_the_others() {
    let set = set_of(&[
        json!({"kty": "oct", "kid": "s", "k": "AA"}),
        Signer::p256().jwk("e"),
        json!(null),
    ]);
    assert_eq!(set.keys().len(), 1);
    let skipped: Vec<_> = set
        .skipped()
        .iter()
        .map(|key| (key.kid.as_deref(), key.flaw))
        .collect();
    assert_eq!(
        skipped,
        [
            (Some("s"), KeyFlaw::Symmetric),
            (None, KeyFlaw::MemberInvalid)
        ]
    );
}

#[test]
fn keeps_the_first_of_two_keys_that_a_token_could_mean() {
    let (first, second) = (Signer::p256(), Signer::p256());
    let set = set_of(&[first.jwk("k"), second.jwk("k"), Signer::ed25519().jwk("k")]);
    assert_eq!(
        set.skipped(),
        [SkippedKey {
            kid: Some("k".into()),
            flaw: KeyFlaw::KidRepeated
        }]
    );
    let signature = first.sign("ES256", b"x");
    assert!(
        set.select(Some("k"), Es256)
            .unwrap()
            .verifies(Es256, b"x", &signature)
    );
    assert!(set.select(Some("k"), EdDsa).is_ok());
    assert_eq!(
        set.select(Some("k"), Rs256).unwrap_err(),
        SelectError::AlgorithmDiffers
    );
}

#[test]
fn a_set_without_usable_keys_is_empty_and_no_error() {
    assert!(set_of(&[]).is_empty());
    assert!(set_of(&[json!({"kty": "oct", "k": "AA"})]).is_empty());
}

#[test]
fn refuses_documents_that_are_no_jwks_or_too_large() {
    for text in [
        "",
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":[],"keys":[]}"#,
        r#"{"keys":[{"kty":"EC","kty":"RSA"}]}"#,
    ] {
        assert_eq!(
            parse(text.as_bytes()).unwrap_err(),
            JwksError::IssuerJwksMalformed,
            "{text}"
        );
    }
    let many = json!({"keys": vec![json!({}); KEYS_COUNT_MAX + 1]}).to_string();
    let keys_count = KEYS_COUNT_MAX + 1;
    assert_eq!(
        parse(many.as_bytes()).unwrap_err(),
        JwksError::IssuerKeysOversized { keys_count }
    );
    let large = vec![b' '; JWKS_BYTES_MAX + 1];
    let jwks_bytes = large.len();
    assert_eq!(
        parse(&large).unwrap_err(),
        JwksError::IssuerJwksOversized { jwks_bytes }
    );
}

#[test]
fn mutated_sets_never_panic() {
    let keys = [
        Signer::p256().jwk("e"),
        Signer::ed25519().jwk("o"),
        Signer::rsa().jwk("r"),
    ];
    let text = json!({ "keys": keys }).to_string().into_bytes();
    let mut random = Random::new(0x6A77_6B73);
    for _ in 0..3_000 {
        let mut mutated = text.clone();
        random.mutate(&mut mutated);
        if let Ok(set) = parse(&mutated) {
            for key in set.keys() {
                assert!(!key.verifies(key.algorithms[0], b"x", &vec![1; 64]));
            }
        }
    }
}
