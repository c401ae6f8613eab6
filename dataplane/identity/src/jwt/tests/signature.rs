//! Whose word a token is: shape, header, keys, algorithms, signatures.

use super::*;

#[test]
fn accepts_a_token_of_every_algorithm() {
    let table = [
        (
            "rsa",
            ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"].as_slice(),
        ),
        ("p256", &["ES256"]),
        ("p384", &["ES384"]),
        ("ed", &["EdDSA", "Ed25519"]),
    ];
    for (kid, algorithms) in table {
        for alg in algorithms {
            let token =
                validated(&signer(kid).token(alg, &json!({ "kid": kid }), &claims())).expect(alg);
            assert_eq!(token.issuer_name, "demo");
            assert_eq!(token.issuer, ISSUER);
            assert_eq!(token.subject, "svc-orders");
            assert_eq!(token.principal_name, "svc-orders");
            assert_eq!(token.expires_unix_s, NOW + 60);
            assert_eq!(token.id.as_deref(), Some("t-1"));
            assert_eq!(Value::Object(token.claims), claims());
        }
    }
}

#[test]
fn refuses_a_token_signed_by_another_key_of_the_same_type() {
    let error = TokenError::ClientSignatureInvalid {
        issuer_name: issuer_name(),
    };
    let forgers = [
        (Signer::rsa(), "RS256", "rsa"),
        (Signer::rsa(), "PS256", "rsa"),
        (Signer::p256(), "ES256", "p256"),
        (Signer::p384(), "ES384", "p384"),
        (Signer::ed25519(), "EdDSA", "ed"),
    ];
    for (forger, alg, kid) in forgers {
        assert_eq!(
            refused(&forger.token(alg, &json!({ "kid": kid }), &claims())),
            error,
            "{alg}"
        );
    }
}

#[test]
fn refuses_claims_or_signatures_taken_from_another_token() {
    let (one, other) = (es256(&claims()), es256(&claims_with("sub", "svc-payments")));
    let (signed, _) = one.rsplit_once('.').unwrap();
    let (_, signature) = other.rsplit_once('.').unwrap();
    let error = TokenError::ClientSignatureInvalid {
        issuer_name: issuer_name(),
    };
    assert_eq!(refused(&format!("{signed}.{signature}")), error);
    // All zeros was once a valid ECDSA signature of everything in a well-known library (CVE-2022-21449).
    assert_eq!(refused(&format!("{signed}.{}", encode(&[0; 64]))), error);
    assert_eq!(refused(&format!("{signed}.")), error);
}

#[test]
fn refuses_shared_secret_signatures_made_with_the_public_key() {
    let jwk = signer("rsa").jwk("rsa");
    let n = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    for secret in [
        jwk.to_string().as_bytes(),
        jwk["n"].as_str().unwrap().as_bytes(),
        n.as_slice(),
    ] {
        for alg in ["HS256", "HS384", "HS512"] {
            let token = hmac_token(secret, &json!({"alg": alg, "kid": "rsa"}), &claims());
            assert_eq!(refused(&token), TokenError::ClientAlgorithmSymmetric);
        }
        // The same forgery under the key's own algorithm is just a wrong signature.
        let token = hmac_token(secret, &json!({"alg": "RS256", "kid": "rsa"}), &claims());
        assert_eq!(
            refused(&token),
            TokenError::ClientSignatureInvalid {
                issuer_name: issuer_name()
            }
        );
    }
}

#[test]
fn refuses_a_symmetric_key_even_when_the_issuer_publishes_it() {
    let keys =
        keys_of(&[json!({"kty": "oct", "kid": "s", "alg": "HS256", "k": encode(b"secret")})]);
    let issuers = [TrustedIssuer { keys, ..issuer() }];
    let token = hmac_token(b"secret", &json!({"alg": "HS256", "kid": "s"}), &claims());
    assert_eq!(
        validate(&token, &issuers, NOW),
        Err(TokenError::ClientAlgorithmSymmetric)
    );
    let token = hmac_token(b"secret", &json!({"alg": "RS256", "kid": "s"}), &claims());
    assert_eq!(
        validate(&token, &issuers, NOW),
        Err(TokenError::ClientKeyUnknown {
            issuer_name: issuer_name()
        })
    );
}

#[test]
fn refuses_tokens_without_signature() {
    for alg in ["none", "None", "NONE", "nOnE"] {
        let signed = unsigned(&json!({"alg": alg, "kid": "rsa"}), &claims());
        assert_eq!(
            refused(&format!("{signed}.")),
            TokenError::ClientTokenUnsigned
        );
        assert_eq!(refused(&signed), TokenError::ClientTokenMalformed);
    }
}

#[test]
fn takes_the_algorithm_from_the_key() {
    let error = TokenError::ClientAlgorithmNotOfKey {
        issuer_name: issuer_name(),
    };
    assert_eq!(
        refused(&signer("rsa").token("RS256", &json!({"kid": "p256"}), &claims())),
        error
    );
    assert_eq!(
        refused(&signer("p256").token("ES256", &json!({"kid": "p384"}), &claims())),
        error
    );
    let mut narrowed = signer("rsa").jwk("rsa");
    narrowed["alg"] = "PS256".into();
    let issuers = [TrustedIssuer {
        keys: keys_of(&[narrowed]),
        ..issuer()
    }];
    let token = |alg| signer("rsa").token(alg, &json!({"kid": "rsa"}), &claims());
    assert_eq!(validate(&token("RS256"), &issuers, NOW), Err(error));
    assert!(validate(&token("PS256"), &issuers, NOW).is_ok());
}

#[test]
fn refuses_algorithms_that_are_not_spoken() {
    for alg in ["ES512", "ES256K", "RSA1_5", "rs256", "", "Ed448"] {
        let token = format!(
            "{}.AA",
            unsigned(&json!({"alg": alg, "kid": "rsa"}), &claims())
        );
        assert_eq!(
            refused(&token),
            TokenError::ClientAlgorithmUnsupported,
            "{alg}"
        );
    }
}

#[test]
fn tells_an_unknown_key_from_a_wrong_signature() {
    let error = TokenError::ClientKeyUnknown {
        issuer_name: issuer_name(),
    };
    assert_eq!(
        refused(&signer("p256").token("ES256", &json!({"kid": "rotated"}), &claims())),
        error
    );
    let without_keys = [TrustedIssuer {
        keys: keys_of(&[]),
        ..issuer()
    }];
    assert_eq!(validate(&es256(&claims()), &without_keys, NOW), Err(error));
}

#[test]
fn needs_no_key_id_only_where_one_key_can_be_meant() {
    let token = signer("p256").token("ES256", &json!({}), &claims());
    assert!(validated(&token).is_ok());
    let keys = keys_of(&[signer("p256").jwk("p256"), Signer::p256().jwk("next")]);
    let two = [TrustedIssuer { keys, ..issuer() }];
    let error = TokenError::ClientKeyUnnamed {
        issuer_name: issuer_name(),
    };
    assert_eq!(validate(&token, &two, NOW), Err(error));
}

#[test]
fn never_reads_a_key_out_of_the_token() {
    let forger = Signer::p256();
    let header = json!({
        "kid": "p256", "jwk": forger.jwk("p256"), "jku": "https://evil.example/jwks", "x5u": "https://evil.example/", "x5c": ["AA"]
    });
    let error = TokenError::ClientSignatureInvalid {
        issuer_name: issuer_name(),
    };
    assert_eq!(refused(&forger.token("ES256", &header, &claims())), error);
}

#[test]
fn accepts_access_token_types_and_no_others() {
    let typed =
        |typ: Value| signer("p256").token("ES256", &json!({"kid": "p256", "typ": typ}), &claims());
    for typ in [
        "JWT",
        "jwt",
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
        "Application/JWT",
    ] {
        assert!(validated(&typed(typ.into())).is_ok(), "{typ}");
    }
    for typ in [
        "",
        "dpop+jwt",
        "logout+jwt",
        "secevent+jwt",
        "JOSE",
        "application/",
        "text/JWT",
    ] {
        assert_eq!(
            refused(&typed(typ.into())),
            TokenError::ClientTypeUnsupported,
            "{typ}"
        );
    }
    assert_eq!(refused(&typed(json!(7))), TokenError::ClientTokenMalformed);
}

#[test]
fn refuses_critical_headers() {
    for crit in [json!(["b64"]), json!(["exp"]), json!([]), json!(null)] {
        let header = json!({"kid": "p256", "b64": true, "crit": crit});
        let token = signer("p256").token("ES256", &header, &claims());
        assert_eq!(refused(&token), TokenError::ClientHeaderCritical);
    }
}

#[test]
fn refuses_members_named_twice_although_the_signature_is_good() {
    let sign = |header: &str, claims: &str| {
        let signed = format!(
            "{}.{}",
            encode(header.as_bytes()),
            encode(claims.as_bytes())
        );
        format!(
            "{signed}.{}",
            encode(&signer("p256").sign("ES256", signed.as_bytes()))
        )
    };
    let (header, claims) = (r#"{"alg":"ES256","kid":"p256"}"#, claims().to_string());
    assert!(validated(&sign(header, &claims)).is_ok());
    let twice = claims.replacen('{', r#"{"sub":"admin","#, 1);
    assert_eq!(
        refused(&sign(header, &twice)),
        TokenError::ClientTokenMalformed
    );
    let twice = r#"{"alg":"none","alg":"ES256","kid":"p256"}"#;
    assert_eq!(
        refused(&sign(twice, &claims)),
        TokenError::ClientTokenMalformed
    );
}

#[test]
fn refuses_what_is_not_a_compact_jwt() {
    let good = es256(&claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let padded = format!("{good}=");
    let standard = format!(
        "{signed}.{}",
        STANDARD.encode(URL_SAFE_NO_PAD.decode(signature).unwrap())
    );
    let shapes = [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        format!("{good}."),
        format!(".{good}"),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}.{signature}.{signature}"),
        good.replacen('.', "..", 1),
        padded,
        standard,
        format!("{}.{signature}", unsigned(&json!([]), &claims())),
        format!(
            "{}.{signature}",
            unsigned(&json!({"kid": "p256"}), &claims())
        ),
        format!("{}.{signature}", unsigned(&json!({"alg": 7}), &claims())),
        format!(
            "{}.{signature}",
            unsigned(&json!({"alg": "ES256", "kid": 7}), &claims())
        ),
        format!(
            "{}.{signature}",
            unsigned(&json!({"alg": "ES256", "kid": "k".repeat(300)}), &claims())
        ),
        format!(
            "{}.{signature}",
            unsigned(&json!({"alg": "ES256", "kid": "p256"}), &json!("claims"))
        ),
    ];
    for token in shapes {
        assert_eq!(refused(&token), TokenError::ClientTokenMalformed, "{token}");
    }
}

#[test]
fn refuses_a_token_over_the_limit_and_takes_one_at_it() {
    let of_padding = |count: usize| es256(&claims_with("pad", "x".repeat(count)));
    let longest = (11_000..)
        .map(of_padding)
        .take_while(|token| token.len() <= TOKEN_BYTES_MAX)
        .last()
        .unwrap();
    assert!(longest.len() > TOKEN_BYTES_MAX - 3);
    assert!(validated(&longest).is_ok());
    let token_bytes = TOKEN_BYTES_MAX + 1;
    let too_long = "x".repeat(token_bytes);
    assert_eq!(
        refused(&too_long),
        TokenError::ClientTokenOversized { token_bytes }
    );
}

#[test]
fn mutated_tokens_never_panic_and_never_pass() {
    let issuers = [issuer()];
    let mut random = Random::new(0x6A77_745F);
    for (kid, alg) in [("rsa", "RS256"), ("p256", "ES256"), ("ed", "EdDSA")] {
        let good = signer(kid).token(alg, &json!({ "kid": kid }), &claims());
        for _ in 0..5_000 {
            let mut mutated = good.clone().into_bytes();
            random.mutate(&mut mutated);
            let mutated = String::from_utf8_lossy(&mutated);
            if mutated != good {
                assert!(validate(&mutated, &issuers, NOW).is_err(), "{mutated}");
            }
        }
    }
}

/// Mutates below the encoding, so that most results reach the readers of header and claims, and signs them, so that they pass on.

#[test]
fn shows_no_part_of_a_token_in_what_is_printed() {
    let token = es256(&claims_with("email", "alice@example.com"));
    let printed = format!("{:?}", validated(&token).unwrap());
    assert!(
        printed.contains("svc-orders") && !printed.contains("alice") && !printed.contains("sluice"),
        "{printed}"
    );
    let kid = "leaky-key-id";
    let error = refused(&signer("p256").token("ES256", &json!({ "kid": kid }), &claims()));
    assert!(!format!("{error} {error:?}").contains(kid));
}

#[test]
fn tells_the_client_nothing_about_what_is_trusted() {
    let unknown_key = refused(&signer("p256").token("ES256", &json!({"kid": "x"}), &claims()));
    let forged = refused(&Signer::p256().token("ES256", &json!({"kid": "p256"}), &claims()));
    let untrusted = refused(&es256(&claims_with("iss", "x")));
    assert_eq!(unknown_key.client_message(), forged.client_message());
    assert_eq!(unknown_key.client_message(), untrusted.client_message());
    let expired = refused(&es256(&claims_with("exp", 1)));
    assert_eq!(expired.client_message(), "token has expired");
    // Expiry is told only of a token whose signature is good.
    let forged = Signer::p256().token("ES256", &json!({"kid": "p256"}), &claims_with("exp", 1));
    assert_eq!(refused(&forged).client_message(), "token is not accepted");
}
