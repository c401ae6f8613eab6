//! What a token with a good signature must say.

use super::*;

#[test]
fn compares_the_issuer_byte_for_byte() {
    for iss in [
        "https://idp.example",
        "https://IDP.example/",
        "https://idp.example//",
        "demo",
        "",
    ] {
        assert_eq!(
            refused(&es256(&claims_with("iss", iss))),
            TokenError::ClientIssuerUntrusted,
            "{iss}"
        );
    }
    assert_eq!(
        refused(&es256(&claims_with("iss", Value::Null))),
        TokenError::ClientIssuerUntrusted
    );
    assert_eq!(
        refused(&es256(&claims_with("iss", json!([ISSUER])))),
        TokenError::ClientIssuerUntrusted
    );
    assert_eq!(
        validate(&es256(&claims()), &[], NOW),
        Err(TokenError::ClientIssuerUntrusted)
    );
}

#[test]
fn takes_keys_only_from_the_issuer_that_the_token_names() {
    let other = TrustedIssuer {
        name: "other".to_owned(),
        issuer: "https://other.example/".to_owned(),
        keys: keys_of(&[signer("ed").jwk("ed")]),
        ..issuer()
    };
    let demo = TrustedIssuer {
        keys: keys_of(&[signer("p256").jwk("p256")]),
        ..issuer()
    };
    let issuers = [other, demo];
    let token = signer("ed").token("EdDSA", &json!({"kid": "ed"}), &claims());
    let unknown = TokenError::ClientKeyUnknown {
        issuer_name: issuer_name(),
    };
    assert_eq!(validate(&token, &issuers, NOW), Err(unknown));
    let claims = claims_with("iss", "https://other.example/");
    let token = signer("ed").token("EdDSA", &json!({"kid": "ed"}), &claims);
    assert_eq!(
        validate(&token, &issuers, NOW).unwrap().issuer_name,
        "other"
    );
}

#[test]
fn needs_its_own_audience_among_those_of_the_token() {
    let error = TokenError::ClientAudienceDiffers {
        issuer_name: issuer_name(),
    };
    for audience in [
        json!("sluice"),
        json!(["sluice"]),
        json!(["other", "sluice"]),
        json!([1, "sluice"]),
    ] {
        assert!(
            validated(&es256(&claims_with("aud", audience.clone()))).is_ok(),
            "{audience}"
        );
    }
    for audience in [
        json!(null),
        json!("Sluice"),
        json!("sluice "),
        json!("other sluice"),
        json!([]),
        json!(["other"]),
        json!([["sluice"]]),
        json!({"sluice": true}),
        json!(true),
    ] {
        assert_eq!(
            refused(&es256(&claims_with("aud", audience.clone()))),
            error,
            "{audience}"
        );
    }
}

#[test]
fn finds_the_audience_when_one_issuer_is_trusted_for_several() {
    let control = TrustedIssuer {
        name: "control".to_owned(),
        audience: "sluice-control".to_owned(),
        ..issuer()
    };
    let issuers = [issuer(), control];
    let token = es256(&claims_with("aud", "sluice-control"));
    assert_eq!(
        validate(&token, &issuers, NOW).unwrap().issuer_name,
        "control"
    );
    let token = es256(&claims_with("aud", "neither"));
    let error = TokenError::ClientAudienceDiffers {
        issuer_name: issuer_name(),
    };
    assert_eq!(validate(&token, &issuers, NOW), Err(error));
}

#[test]
fn an_expired_token_is_refused_at_the_second() {
    let token = es256(&claims());
    let expires_unix_s = NOW + 60;
    let at = |now| validate(&token, &[issuer()], now).map(|token| token.expires_unix_s);
    assert_eq!(at(expires_unix_s + SKEW - 1), Ok(expires_unix_s));
    assert_eq!(
        at(expires_unix_s + SKEW),
        Err(TokenError::ClientTokenExpired { expires_unix_s })
    );
    assert_eq!(
        at(i64::MAX),
        Err(TokenError::ClientTokenExpired { expires_unix_s })
    );
    let exact = [TrustedIssuer {
        clock_skew_s: 0,
        ..issuer()
    }];
    assert!(validate(&token, &exact, expires_unix_s - 1).is_ok());
    assert!(validate(&token, &exact, expires_unix_s).is_err());
    let lax = [TrustedIssuer {
        clock_skew_s: u32::MAX,
        ..issuer()
    }];
    assert!(validate(&token, &lax, expires_unix_s + i64::from(CLOCK_SKEW_S_MAX)).is_err());
}

#[test]
fn a_token_is_refused_before_it_starts() {
    for claim in ["nbf", "iat"] {
        let starts_unix_s = NOW + SKEW + 1;
        let early = es256(&claims_with(claim, starts_unix_s));
        assert_eq!(
            refused(&early),
            TokenError::ClientTokenEarly { starts_unix_s },
            "{claim}"
        );
        assert!(
            validated(&es256(&claims_with(claim, NOW + SKEW))).is_ok(),
            "{claim}"
        );
        assert!(
            validated(&es256(&claims_with(claim, Value::Null))).is_ok(),
            "{claim}"
        );
        assert!(validate(&early, &[issuer()], i64::MIN).is_err());
    }
}

#[test]
fn reads_dates_with_fractions_and_refuses_what_is_no_date() {
    let soon = es256(&claims_with("exp", 1_700_000_000.9));
    assert_eq!(validated(&soon).unwrap().expires_unix_s, NOW);
    for date in [
        json!("1700000060"),
        json!(true),
        json!([NOW]),
        json!(1e300),
        json!(u64::MAX),
        json!({}),
    ] {
        assert_eq!(
            refused(&es256(&claims_with("exp", date.clone()))),
            invalid("exp"),
            "{date}"
        );
        assert_eq!(
            refused(&es256(&claims_with("nbf", date.clone()))),
            invalid("nbf"),
            "{date}"
        );
    }
    assert_eq!(
        refused(&es256(&claims_with("exp", Value::Null))),
        invalid("exp")
    );
    let mut null = claims();
    null["exp"] = Value::Null;
    assert_eq!(refused(&es256(&null)), invalid("exp"));
    assert!(validated(&es256(&claims_with("exp", i64::MAX))).is_ok());
    assert!(validated(&es256(&claims_with("exp", i64::MIN))).is_err());
}

#[test]
fn needs_a_subject_that_can_be_printed() {
    let longest = "s".repeat(SUBJECT_BYTES_MAX);
    assert_eq!(
        validated(&es256(&claims_with("sub", longest.clone())))
            .unwrap()
            .subject,
        longest
    );
    for subject in [
        json!(""),
        json!(7),
        json!(["a"]),
        json!("a\nb"),
        json!("a\u{0}"),
        json!(longest + "s"),
    ] {
        assert_eq!(
            refused(&es256(&claims_with("sub", subject.clone()))),
            invalid("sub"),
            "{subject}"
        );
    }
    assert_eq!(
        refused(&es256(&claims_with("sub", Value::Null))),
        invalid("sub")
    );
}

#[test]
fn takes_a_token_without_id_and_refuses_one_with_an_unusable_id() {
    assert_eq!(
        validated(&es256(&claims_with("jti", Value::Null)))
            .unwrap()
            .id,
        None
    );
    assert_eq!(refused(&es256(&claims_with("jti", 7))), invalid("jti"));
}

#[test]
fn names_the_principal_by_the_issuers_claim() {
    let by = |principal_claim: &str, claims: &Value| {
        let issuers = [TrustedIssuer {
            principal_claim: principal_claim.to_owned(),
            ..issuer()
        }];
        validate(&es256(claims), &issuers, NOW).map(|token| (token.principal_name, token.subject))
    };
    let claims = claims_with("client", json!({"name": "orders", "number": 7}));
    assert_eq!(
        by("client.name", &claims),
        Ok(("orders".to_owned(), "svc-orders".to_owned()))
    );
    assert_eq!(
        by("client.number", &claims),
        Err(invalid("principal claim"))
    );
    assert_eq!(by("azp", &claims), Err(invalid("principal claim")));
}

#[test]
fn mutated_claims_with_good_signatures_never_panic_and_keep_the_rules() {
    let issuers = [issuer()];
    let mut random = Random::new(0x636C_6169);
    let mut accepted_count = 0;
    for _ in 0..3_000 {
        let (mut header, mut body) = (
            br#"{"alg":"EdDSA","kid":"ed","typ":"JWT"}"#.to_vec(),
            claims().to_string().into_bytes(),
        );
        let target = if random.below(4) == 0 {
            &mut header
        } else {
            &mut body
        };
        random.mutate(target);
        let signed = format!("{}.{}", encode(&header), encode(&body));
        let token = format!(
            "{signed}.{}",
            encode(&signer("ed").sign("EdDSA", signed.as_bytes()))
        );
        if let Ok(token) = validate(&token, &issuers, NOW) {
            accepted_count += 1;
            assert_eq!(token.issuer, ISSUER);
            assert!(token.claim_matches("aud", "sluice"));
            assert!(token.expires_unix_s + SKEW > NOW);
            assert!(!token.subject.is_empty());
        }
    }
    assert!(
        accepted_count > 10,
        "mutations must leave some tokens acceptable, else this test says little"
    );
}

#[test]
fn matches_claims_by_name_and_by_path() {
    let mut claims = claims();
    claims["https://idp.example/team"] = "payments".into();
    claims["realm_access.roles"] = "exact".into();
    claims["empty"] = json!([]);
    claims["number"] = 7.into();
    claims["deep"] = json!({"a": {"b.c": "dotted", "b": {"c": ["x"]}, "list": [{"d": "y"}]}});
    let token = validated(&es256(&claims)).unwrap();
    let table = [
        ("sub", "svc-orders", true),
        ("sub", "svc", false),
        ("sub", "svc-orders ", false),
        ("https://idp.example/team", "payments", true),
        ("deep.a.b.c", "x", true),
        ("deep.a.b.c", "dotted", false),
        ("deep.a.list.d", "y", false),
        ("deep.a.list.0.d", "y", false),
        ("deep.a", "b", false),
        ("deep..a", "b", false),
        ("sub.x", "svc-orders", false),
        ("", "", false),
        (".", "", false),
        ("empty", "", false),
        ("number", "7", false),
        ("absent", "", false),
        // The exact name hides the path.
        ("realm_access.roles", "exact", true),
        ("realm_access.roles", "writer", false),
    ];
    for (name, value, expected) in table {
        assert_eq!(token.claim_matches(name, value), expected, "{name} {value}");
    }
    let token = validated(&es256(&self::claims())).unwrap();
    assert!(token.claim_matches("realm_access.roles", "writer"));
    assert!(!token.claim_matches("realm_access.roles", "write"));
}
