use super::OauthbearerError::*;
use super::*;

const TOKEN: &str = "eyJh.eyJz.c2ln";

#[test]
fn follows_javas_grammar() {
    let long_token = "a".repeat(TOKEN_BYTES_MAX + 1);
    let long_token = format!("n,,\x01auth=Bearer {long_token}\x01\x01");
    type Row<'a> = (
        &'a str,
        Result<(Option<&'a str>, &'a str, usize), OauthbearerError>,
    );
    let table: &[Row<'_>] = &[
        (
            "n,,\x01auth=Bearer eyJh.eyJz.c2ln\x01\x01",
            Ok((None, TOKEN, 0)),
        ),
        (
            "n,,\x01auth=bEARER eyJh.eyJz.c2ln\x01\x01",
            Ok((None, TOKEN, 0)),
        ),
        (
            "n,,\x01auth=Bearer   eyJh.eyJz.c2ln\x01\x01",
            Ok((None, TOKEN, 0)),
        ),
        (
            "n,,\x01auth=Bearer a-_~+/.Z9==\x01\x01",
            Ok((None, "a-_~+/.Z9==", 0)),
        ),
        (
            "n,a=svc-orders,\x01auth=Bearer t\x01\x01",
            Ok((Some("svc-orders"), "t", 0)),
        ),
        (
            "n,a=a=2Cb=3Dc=3D,\x01auth=Bearer t\x01\x01",
            Ok((Some("a,b=c="), "t", 0)),
        ),
        (
            "n,,\x01auth=Bearer t\x01host=h:1\x01port=\t x=\r\n\x01\x01",
            Ok((None, "t", 2)),
        ),
        (
            "n,,\x01logicalCluster=lkc\x01auth=Bearer t\x01\x01",
            Ok((None, "t", 1)),
        ),
        ("n,,\x01AUTH=x\x01auth=Bearer t\x01\x01", Ok((None, "t", 1))),
        (
            "y,,\x01auth=Bearer t\x01\x01",
            Err(ClientChannelBindingUnsupported),
        ),
        (
            "p=tls-unique,,\x01auth=Bearer t\x01\x01",
            Err(ClientChannelBindingUnsupported),
        ),
        (
            "n,,\x01auth=Basic dTpw\x01\x01",
            Err(ClientSchemeUnsupported),
        ),
        ("n,,\x01\x01", Err(ClientTokenMissing)),
        ("n,,\x01host=h\x01\x01", Err(ClientTokenMissing)),
        (
            "n,,\x01auth=Bearer t\x01auth=Bearer u\x01\x01",
            Err(ClientKeyRepeated),
        ),
        (
            "n,,\x01auth=Bearer t\x01x=1\x01x=2\x01\x01",
            Err(ClientKeyRepeated),
        ),
        ("", Err(ClientMessageMalformed)),
        ("n", Err(ClientMessageMalformed)),
        ("n,", Err(ClientMessageMalformed)),
        ("n,,", Err(ClientMessageMalformed)),
        ("n,,\x01", Err(ClientMessageMalformed)),
        ("x,,\x01auth=Bearer t\x01\x01", Err(ClientMessageMalformed)),
        ("N,,\x01auth=Bearer t\x01\x01", Err(ClientMessageMalformed)),
        (
            "n,b=x,\x01auth=Bearer t\x01\x01",
            Err(ClientMessageMalformed),
        ),
        (
            "n,a=,\x01auth=Bearer t\x01\x01",
            Err(ClientMessageMalformed),
        ),
        (
            "n,a=x=2c,\x01auth=Bearer t\x01\x01",
            Err(ClientMessageMalformed),
        ),
        (
            "n,a=x=,\x01auth=Bearer t\x01\x01",
            Err(ClientMessageMalformed),
        ),
        (
            "n,a=x\ny,\x01auth=Bearer t\x01\x01",
            Err(ClientMessageMalformed),
        ),
        (
            "n,a=\u{e9},\x01auth=Bearer t\x01\x01",
            Err(ClientMessageMalformed),
        ),
        ("n,,\x01auth=Bearer t\x01", Err(ClientMessageMalformed)),
        ("n,,\x01auth=Bearer t", Err(ClientMessageMalformed)),
        ("n,,auth=Bearer t\x01\x01", Err(ClientMessageMalformed)),
        (
            "n,,\x01auth=Bearer t\x01\x01\x01",
            Err(ClientMessageMalformed),
        ),
        ("n,,\x01auth=Bearer t\x01\x01x", Err(ClientMessageMalformed)),
        ("n,,\x01auth=Bearer\x01\x01", Err(ClientMessageMalformed)),
        ("n,,\x01auth=Bearer \x01\x01", Err(ClientMessageMalformed)),
        ("n,,\x01auth=Bearer ==\x01\x01", Err(ClientMessageMalformed)),
        (
            "n,,\x01auth=Bearer a=b\x01\x01",
            Err(ClientMessageMalformed),
        ),
        (
            "n,,\x01auth=Bearer t u\x01\x01",
            Err(ClientMessageMalformed),
        ),
        ("n,,\x01auth=Bearer t \x01\x01", Err(ClientMessageMalformed)),
        ("n,,\x01auth=\x01\x01", Err(ClientMessageMalformed)),
        (
            "n,,\x01auth=Bearer t\x01x1=v\x01\x01",
            Err(ClientMessageMalformed),
        ),
        (
            "n,,\x01auth=Bearer t\x01=v\x01\x01",
            Err(ClientMessageMalformed),
        ),
        (
            "n,,\x01auth=Bearer t\x01x=\x01\x01",
            Err(ClientMessageMalformed),
        ),
        (
            "n,,\x01auth=Bearer t\x01x\x01\x01",
            Err(ClientMessageMalformed),
        ),
        (
            "n,,\x01auth=Bearer t\x01x=\x7f\x01\x01",
            Err(ClientMessageMalformed),
        ),
        (
            "n,,\x01auth=Bearer t\x01x=\0\x01\x01",
            Err(ClientMessageMalformed),
        ),
        (&long_token, Err(ClientMessageOversized)),
    ];
    for (message, expected) in table {
        let found = parse(message.as_bytes());
        let found = found
            .as_ref()
            .map(|read| (read.authzid(), read.token(), read.extensions().len()));
        assert_eq!(found.map_err(|error| *error), *expected, "{message:?}");
    }
}

#[test]
fn refuses_bytes_that_are_not_utf8_and_messages_over_the_limit() {
    assert_eq!(
        parse(b"n,,\x01auth=Bearer t\x01x=\xff\x01\x01").unwrap_err(),
        ClientMessageMalformed
    );
    let oversized = vec![b'n'; OAUTHBEARER_BYTES_MAX + 1];
    assert_eq!(parse(&oversized).unwrap_err(), ClientMessageOversized);
}

#[test]
fn takes_as_many_extensions_as_the_limit_and_no_more() {
    let keys: Vec<String> = (0..=EXTENSIONS_COUNT_MAX)
        .map(|length| "x".repeat(length + 1))
        .collect();
    let extensions: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "v")).collect();
    assert!(encode(TOKEN, None, &extensions[..EXTENSIONS_COUNT_MAX]).is_ok());
    assert_eq!(
        encode(TOKEN, None, &extensions),
        Err(ClientExtensionsOversized)
    );
}

#[test]
fn reads_what_it_writes() {
    let extensions = [("traceId", "a=b c"), ("logicalCluster", "lkc-1")];
    let message = encode(TOKEN, Some("a,b=c=2C"), &extensions).unwrap();
    let read = parse(&message).unwrap();
    assert_eq!(read.token(), TOKEN);
    assert_eq!(read.authzid(), Some("a,b=c=2C"));
    assert_eq!(read.extensions(), extensions);
}

#[test]
fn refuses_to_write_arguments_that_would_read_as_something_else() {
    assert!(encode("t\x01x=1", None, &[]).is_err());
    assert!(encode(" t", None, &[]).is_err());
    assert!(encode("t", Some(""), &[]).is_err());
    assert!(encode("t", None, &[("x", "1\x01y=2")]).is_err());
    assert!(encode("t", None, &[("auth", "Bearer u")]).is_err());
    assert!(encode("t", None, &[("x=y", "1")]).is_err());
}

#[test]
fn lets_a_client_act_only_as_the_principal_of_its_token() {
    let message = encode(TOKEN, Some("svc-orders"), &[]).unwrap();
    let read = parse(&message).unwrap();
    assert_eq!(read.check_authzid("svc-orders"), Ok(()));
    assert_eq!(
        read.check_authzid("svc-payments"),
        Err(ClientAuthzidDiffers)
    );
    let message = encode(TOKEN, None, &[]).unwrap();
    assert_eq!(parse(&message).unwrap().check_authzid("anyone"), Ok(()));
}

#[test]
fn describes_a_failure_as_json_and_takes_only_one_byte_after_it() {
    assert_eq!(
        failure(FailureStatus::InvalidToken, None, None),
        r#"{"status":"invalid_token"}"#
    );
    let full = failure(
        FailureStatus::InsufficientScope,
        Some("kafka \"x\""),
        Some("https://idp/.well-known"),
    );
    let read: Value = serde_json::from_str(&full).unwrap();
    let expected = serde_json::json!({
        "status": "insufficient_scope", "scope": "kafka \"x\"", "openid-configuration": "https://idp/.well-known"
    });
    assert_eq!(read, expected);
    assert_eq!(parse_failure_read(&[1]), Ok(()));
    for other in [
        &b""[..],
        b"\0",
        b"\x01\x01",
        b"n,,\x01auth=Bearer t\x01\x01",
    ] {
        assert_eq!(parse_failure_read(other), Err(ClientFailureUnread));
    }
}

#[test]
fn shows_no_token_when_printed() {
    let message = encode("c2VjcmV0", None, &[]).unwrap();
    assert!(!format!("{:?}", parse(&message).unwrap()).contains("c2VjcmV0"));
}
