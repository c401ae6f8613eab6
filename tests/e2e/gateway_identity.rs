//! Who a client is: tokens of a real provider, over TLS.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sluice_tests::{
    Certificate, Driver, Kafka, Login, Oidc, Records, Sluice, SluiceOptions, claims, run_dir,
    unique, wait_for,
};

use crate::gateway::{
    LIBRDKAFKA_AUTHENTICATION, SASL_AUTHENTICATION_FAILED, TOPIC_AUTHORIZATION_FAILED, close,
    group, produce_open, sluice_with_policy, stored_end, stored_values,
};

const PATIENCE: Duration = Duration::from_secs(40);

fn sluice() -> &'static Sluice {
    static SLUICE: OnceLock<Sluice> = OnceLock::new();
    SLUICE.get_or_init(|| {
        let certificate = Certificate::self_signed();
        sluice_with_policy(&SluiceOptions {
            client_tls: Some((certificate.certificate_pem, certificate.key_pem)),
            ..SluiceOptions::default()
        })
    })
}

#[test]
fn clients_with_tokens_of_the_provider_produce_and_consume_what_policy_allows() {
    let (sluice, oidc) = (sluice(), Oidc::shared());
    let topic = sluice.topic("orders");
    for driver in Driver::all() {
        let logins = |who: &str| [oidc.own_login(who), oidc.login(who)];
        for (writer, reader) in logins("svc-orders")
            .into_iter()
            .zip(logins("analytics-clear"))
        {
            let mark = unique("written");
            let produced = driver.produce(
                &sluice.client(writer),
                &topic,
                &Records::values([mark.as_str()]),
            );
            let offset = produced.offsets()[0];
            let assign = json!({"assign": [{"topic": topic, "offset": offset}], "count": 1});
            let reader = sluice.client(reader);
            let consumed =
                driver.order("consume", &reader.clone().with("group.id", group()), assign);
            consumed.ok();
            assert_eq!(consumed.values(), [mark.as_str()]);
            let through_group = driver.consume(
                &reader,
                &group(),
                &topic,
                usize::try_from(offset).expect("small") + 1,
            );
            through_group.ok();
            assert!(
                through_group.values().contains(&mark.as_str()),
                "{through_group:?}"
            );
            assert!(
                stored_values(&topic, usize::try_from(offset).expect("small") + 1).contains(&mark)
            );
        }
    }
}

#[test]
fn a_token_signed_with_an_elliptic_curve_is_as_good() {
    let (sluice, oidc) = (sluice(), Oidc::shared());
    for driver in Driver::all() {
        let client = sluice.client(oidc.login("svc-es256"));
        driver
            .produce(&client, &sluice.topic("orders"), &Records::numbered(1))
            .offsets();
    }
}

#[test]
fn forged_altered_expired_and_foreign_tokens_are_refused() {
    let (sluice, oidc) = (sluice(), Oidc::shared());
    let topic = sluice.topic("orders");
    let before = refusals(sluice, oidc);
    let mut tokens = vec![
        ("forged", signed_by_another_provider("svc-orders")),
        (
            "altered",
            altered(&oidc.token("svc-payments"), "svc-orders"),
        ),
        (
            "foreign",
            oidc.token_for_audience("svc-orders", "somewhere-else"),
        ),
        ("unsigned", unsigned(&oidc.token("svc-orders"))),
        ("nonsense", "not.a.token".to_owned()),
        ("expired", oidc.token("svc-short")),
    ];
    // Beyond its life and the tolerated difference of clocks, as the token itself says it.
    let expires = claims(&tokens[5].1)["exp"]
        .as_u64()
        .expect("a token expires");
    wait_for("the end of a token's life", Duration::from_secs(90), || {
        (unix_s() > expires + 31).then_some(())
    });
    // The same client, token apart, gets through: it is the token that is refused.
    tokens.push(("good", oidc.token("svc-orders")));
    for driver in Driver::all() {
        for (what, token) in &tokens {
            let client = sluice.client(Oidc::login_with(token));
            let produced = driver.produce(&client, &topic, &Records::values([*what]));
            if *what == "good" {
                produced.offsets();
                continue;
            }
            let codes = [
                Some(SASL_AUTHENTICATION_FAILED),
                Some(LIBRDKAFKA_AUTHENTICATION),
            ];
            assert!(
                codes.contains(&produced.error_code()),
                "{what}: {produced:?}"
            );
        }
    }
    let end = usize::try_from(stored_end(&topic)).expect("an offset");
    let stored = stored_values(&topic, end);
    for (what, _) in tokens.iter().filter(|(what, _)| *what != "good") {
        assert!(
            !stored.contains(&(*what).to_owned()),
            "a client with a token that is {what} wrote"
        );
    }
    wait_for("evidence of every refused token", PATIENCE, || {
        (refusals(sluice, oidc) >= before + 12).then_some(())
    });
}

fn refusals(sluice: &Sluice, oidc: &Oidc) -> usize {
    sluice
        .evidence(oidc, &["--kind", "AuthenticationFailed"])
        .len()
}

fn unix_s() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a clock after 1970")
        .as_secs()
}

/// The same claims, as far as they matter, under a key that nobody published: another provider at another address,
/// with the real one's name written in would need its key.
fn signed_by_another_provider(who: &str) -> String {
    let other = Oidc::start();
    let token = other.token(who);
    let claimed = claims(&token);
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    // Its issuer is the real one's; its key id and signature are not.
    let mut claimed_here = claimed;
    claimed_here["iss"] = json!(Oidc::shared().issuer());
    parts[1] = URL_SAFE_NO_PAD.encode(claimed_here.to_string());
    resign(&parts[0], &parts[1])
}

/// Signs with a new key of the same kind, by openssl.
fn resign(head: &str, body: &str) -> String {
    let dir = run_dir("forger");
    let key = dir.join("key.pem");
    let made = std::process::Command::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
            "-out",
        ])
        .arg(&key)
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{made:?}");
    // The real provider's key id, so that the signature is what fails.
    let real = Oidc::shared().token("svc-orders");
    let head = real.split('.').next().unwrap_or(head);
    let input = dir.join("input");
    fs::write(&input, format!("{head}.{body}")).expect("a file can be written");
    let signed = std::process::Command::new("openssl")
        .args(["dgst", "-sha256", "-sign"])
        .arg(&key)
        .arg(&input)
        .output()
        .expect("openssl runs");
    assert!(signed.status.success(), "{signed:?}");
    format!("{head}.{body}.{}", URL_SAFE_NO_PAD.encode(signed.stdout))
}

/// A good token with another subject written in.
fn altered(token: &str, subject: &str) -> String {
    let mut claimed = claims(token);
    claimed["sub"] = json!(subject);
    let parts: Vec<&str> = token.split('.').collect();
    format!(
        "{}.{}.{}",
        parts[0],
        URL_SAFE_NO_PAD.encode(claimed.to_string()),
        parts[2]
    )
}

/// A good token's claims under `alg: none`.
fn unsigned(token: &str) -> String {
    let body = token.split('.').nth(1).unwrap_or_default();
    format!(
        "{}.{body}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#)
    )
}

#[test]
fn a_request_before_authentication_closes_the_connection() {
    // A gateway without TLS, so that the bytes can be written by hand.
    let sluice = Sluice::up(Kafka::shared(), Oidc::shared(), &SluiceOptions::default());
    let mut stream =
        TcpStream::connect(("127.0.0.1", sluice.bootstrap_port())).expect("the gateway listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time-out can be set");
    // ApiVersions v0 is answered.
    stream
        .write_all(&request(18, 0, 1, &[]))
        .expect("the gateway reads");
    let mut answer = [0; 10];
    stream
        .read_exact(&mut answer)
        .expect("ApiVersions is answered before authentication");
    assert_eq!(
        answer[4..10],
        [0, 0, 0, 1, 0, 0],
        "its correlation id, and no error"
    );
    let mut rest =
        vec![0; u32::from_be_bytes([answer[0], answer[1], answer[2], answer[3]]) as usize - 6];
    stream.read_exact(&mut rest).expect("the whole answer");
    // Metadata v1 of all topics is not.
    stream
        .write_all(&request(3, 1, 2, &[0xff, 0xff, 0xff, 0xff]))
        .expect("the gateway reads");
    let mut left = Vec::new();
    // A reset says as much as an end.
    let _ = stream.read_to_end(&mut left);
    assert!(
        left.is_empty(),
        "Metadata was answered before authentication: {left:?}"
    );
}

/// A request with header version 1.
fn request(api_key: i16, version: i16, correlation_id: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(api_key.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(correlation_id.to_be_bytes());
    frame.extend([0, 1, b't']);
    frame.extend(body);
    let mut out = u32::try_from(frame.len())
        .expect("short")
        .to_be_bytes()
        .to_vec();
    out.extend(frame);
    out
}

#[test]
fn the_brokers_answer_the_gateway_and_not_the_client_who_goes_around_it() {
    let (sluice, oidc, kafka) = (sluice(), Oidc::shared(), Kafka::shared());
    let topic = sluice.topic("orders");
    for driver in Driver::all() {
        driver
            .produce(
                &sluice.client(oidc.login("svc-orders")),
                &topic,
                &Records::numbered(1),
            )
            .offsets();
        let before = stored_end(&topic);
        let token = sluice_tests::Client::new(kafka.bootstrap(), oidc.login("svc-orders"));
        let produced = driver.produce(
            &token
                .with("delivery.timeout.ms", "15000")
                .with("linger.ms", "0")
                .with("request.timeout.ms", "5000"),
            &topic,
            &Records::values(["around"]),
        );
        assert!(
            produced.error_code().is_some(),
            "the broker took a token: {produced:?}"
        );
        let stranger = kafka.client("stranger");
        let produced = driver.produce(&stranger, &topic, &Records::values(["around"]));
        assert_eq!(
            produced.error_code(),
            Some(TOPIC_AUTHORIZATION_FAILED),
            "{produced:?}"
        );
        assert_eq!(stored_end(&topic), before);
    }
}

#[test]
fn a_session_ends_with_its_token_and_goes_on_with_a_new_one() {
    let (sluice, oidc) = (sluice(), Oidc::shared());
    let topic = sluice.topic("orders");
    for driver in Driver::all() {
        // Renews by itself, for it fetches its tokens itself (KIP-368).
        let renewing = sluice.client(oidc.own_login("svc-short"));
        let renewing_name = unique("renewing");
        let first = produce_open(driver, &renewing, &renewing_name, &topic, "first");
        first.offsets();

        // Keeps showing the same token.
        let stale_token = oidc.token("svc-short");
        let expires = claims(&stale_token)["exp"]
            .as_u64()
            .expect("a token expires");
        let stale = sluice.client(Oidc::login_with(&stale_token));
        let stale = stale.with("client.id", unique("stale"));
        let stale_name = unique("stale");
        produce_open(driver, &stale, &stale_name, &topic, "in time").offsets();
        wait_for("the end of a token's life", Duration::from_secs(90), || {
            (unix_s() > expires + 31).then_some(())
        });
        let late = produce_open(driver, &stale, &stale_name, &topic, "too late");
        assert!(
            late.error_code().is_some(),
            "an expired session went on: {late:?}"
        );
        produce_open(driver, &renewing, &renewing_name, &topic, "renewed").offsets();
        close(driver, &stale, &stale_name);
        close(driver, &renewing, &renewing_name);
    }
    let end = usize::try_from(stored_end(&topic)).expect("an offset");
    let stored = stored_values(&topic, end);
    assert!(stored.contains(&"renewed".to_owned()) && !stored.contains(&"too late".to_owned()));
    wait_for("evidence of the end", PATIENCE, || {
        let closed = sluice.evidence(
            oidc,
            &["--kind", "SessionClosed", "--principal", "User:svc-short"],
        );
        closed
            .iter()
            .any(|record| record["reason_code"] == "client-token-expired")
            .then_some(())
    });
}

#[test]
fn a_login_without_a_token_is_offered_nothing() {
    let sluice = sluice();
    for driver in Driver::all() {
        let plain = Login::Plain {
            user: "svc-orders".to_owned(),
            password: "guess".to_owned(),
        };
        let seen = driver.order("list_topics", &sluice.client(plain), json!({}));
        assert!(seen.error_code().is_some(), "{seen:?}");
    }
}
