//! Bytes that nobody should send: each is answered or closed, recorded, and felt by nobody else.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use kafka_protocol::messages::ApiVersionsRequest;
use serde_json::json;
use sluice_tests::{Driver, Oidc, Records, Sluice, SluiceOptions, unique, wait_for};

use crate::equivalence::wire::{Connection, Login};
use crate::gateway::{close, produce_open, sluice_with_policy};

const PATIENCE: Duration = Duration::from_secs(30);
/// Far above what the gateway needs, far below what a believed length would cost.
pub(crate) const MEMORY_KIB_MAX: u64 = 768 * 1024;

/// Sends `bytes` and reads until the gateway closes.
fn send_until_closed(sluice: &Sluice, bytes: &[u8]) -> Vec<u8> {
    let mut socket =
        TcpStream::connect(("127.0.0.1", sluice.bootstrap_port())).expect("the gateway accepts");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    socket.write_all(bytes).expect("the gateway reads");
    let mut answer = Vec::new();
    if let Err(error) = socket.read_to_end(&mut answer) {
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::ConnectionReset,
            "the gateway closes in time"
        );
    }
    answer
}

/// A request frame with an empty client id.
fn request(api_key: i16, api_version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(i32::try_from(10 + body.len()).expect("small").to_be_bytes());
    frame.extend(api_key.to_be_bytes());
    frame.extend(api_version.to_be_bytes());
    frame.extend(7_i32.to_be_bytes());
    frame.extend(0_i16.to_be_bytes());
    frame.extend(body);
    frame
}

pub(crate) fn memory_kib_peak(sluice: &Sluice) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", sluice.process().process_id()))
        .expect("it runs");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("a peak");
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .expect("a number")
}

#[test]
fn hostile_bytes_are_closed_and_recorded_while_others_go_on() {
    let oidc = Oidc::shared();
    let sluice = sluice_with_policy(&SluiceOptions::default());
    let (driver, name, topic) = (Driver::java(), unique("bystander"), sluice.topic("orders"));
    let bystander = sluice.client(oidc.login("svc-orders"));
    produce_open(driver, &bystander, &name, &topic, "before").offsets();

    let hostile: [(&str, Vec<u8>, &str); 7] = [
        (
            "garbage",
            b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n".to_vec(),
            "client-frame-invalid",
        ),
        (
            "2 GiB announced",
            i32::MAX.to_be_bytes().to_vec(),
            "client-frame-invalid",
        ),
        (
            "a negative length",
            (-5_i32).to_be_bytes().to_vec(),
            "client-frame-invalid",
        ),
        (
            "more than a stranger may send",
            (600_i32 * 1024).to_be_bytes().to_vec(),
            "client-frame-invalid",
        ),
        (
            "a request before the token",
            request(3, 4, &[0, 0, 0, 0, 0]),
            "client-unauthenticated",
        ),
        (
            "a vendor's API",
            request(10_000, 0, &[]),
            "client-unsupported",
        ),
        (
            "a count of 2^31-1",
            request(36, 1, &i32::MAX.to_be_bytes()),
            "client-malformed",
        ),
    ];
    for (what, bytes, code) in &hostile {
        assert_eq!(send_until_closed(&sluice, bytes), b"", "{what}");
        wait_for(what, PATIENCE, || {
            let found = sluice.evidence(oidc, &["--kind", "Rejected"]);
            found
                .iter()
                .any(|record| record.to_string().contains(code))
                .then_some(())
        });
    }
    // A frame that never ends holds nothing but its own connection.
    let mut unfinished =
        TcpStream::connect(("127.0.0.1", sluice.bootstrap_port())).expect("the gateway accepts");
    unfinished
        .write_all(&[0, 0, 0, 100, 0, 3])
        .expect("a part of a frame");

    let offsets = produce_open(driver, &bystander, &name, &topic, "after").offsets();
    assert_eq!(offsets, [1], "the same connection goes on");
    close(driver, &bystander, &name);
    assert!(
        memory_kib_peak(&sluice) < MEMORY_KIB_MAX,
        "{} KiB",
        memory_kib_peak(&sluice)
    );
}

#[test]
fn bombs_in_values_become_placeholders_within_bounded_memory() {
    let oidc = Oidc::shared();
    let sluice = sluice_with_policy(&SluiceOptions::default());
    let topic = sluice.topic("orders");
    let nested = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    // Some 700 KiB that zstd makes a few hundred bytes of, many times over.
    let repeated = format!(
        r#"{{"customer":{{"email":"a@b.example"}},"padding":"{}"}}"#,
        "x".repeat(700_000)
    );
    let mut sent = vec![
        nested.as_str(),
        "not json at all",
        r#"{"customer":{"email":"#,
    ];
    sent.extend(std::iter::repeat_n(repeated.as_str(), 20));
    let writer = sluice
        .client(oidc.login("svc-orders"))
        .with("compression.type", "zstd")
        .with("max.request.size", 10_000_000)
        .with("batch.size", 900_000);
    let produced = Driver::java().produce(&writer, &topic, &Records::values(sent.iter().copied()));
    assert_eq!(produced.offsets().len(), sent.len());

    for driver in Driver::all() {
        let reader = sluice
            .client(oidc.login("analytics"))
            .with("group.id", unique("analytics-bombs"));
        let order = json!({"assign": [{"topic": topic, "offset": 0}], "count": sent.len()});
        let consumed = driver.order("consume", &reader, order);
        consumed.ok();
        let values = consumed.values();
        assert_eq!(values.len(), sent.len());
        for value in &values[..3] {
            assert!(value.starts_with(r#"{"sluice":{"masked":"#), "{value:.100}");
        }
        for value in &values[3..] {
            assert!(
                value.starts_with(r#"{"customer":{"email":"tok_"#),
                "{value:.100}"
            );
            assert!(!value.contains("a@b.example"));
        }
    }
    assert!(
        memory_kib_peak(&sluice) < MEMORY_KIB_MAX,
        "{} KiB",
        memory_kib_peak(&sluice)
    );
}

#[test]
fn a_malformed_policy_is_refused_with_every_mistake_and_changes_nothing() {
    let oidc = Oidc::shared();
    let sluice = sluice_with_policy(&SluiceOptions::default());
    let before = sluice.cli_ok(oidc, "frank", &["get"]);
    let mistakes = "kind: Role\nmetadata: {name: broken}\nspec: {permissions: [{operations: [Reed], topics: [orders]}], colour: red}\n";
    let refused = sluice.try_apply(oidc, "frank", mistakes);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("Reed") && said.contains("colour") && said.contains(":3:"),
        "{said}"
    );
    assert_eq!(sluice.cli_ok(oidc, "frank", &["get"]), before);
}

#[test]
fn connections_hold_no_more_memory_than_they_may() {
    /// A frame that is long enough to matter, and never ends.
    const FRAME_BYTES: usize = 90 * 1024 * 1024;
    const MEMORY_MIB: usize = 512;
    let oidc = Oidc::shared();
    let sluice = sluice_with_policy(&SluiceOptions {
        shards_count: 1,
        connections_memory_mib: MEMORY_MIB,
        ..SluiceOptions::default()
    });
    let address = format!("127.0.0.1:{}", sluice.bootstrap_port());
    let mut bystander = Connection::new(&address, Login::Token(oidc.token("svc-orders")));
    let ask = ApiVersionsRequest::default();
    assert_eq!(bystander.call(0, &ask).error_code, 0);

    // Each stays below what one connection may hold; all of them together do not fit.
    let piece = vec![0; FRAME_BYTES - 1];
    let announced = u32::try_from(FRAME_BYTES).expect("32 bits").to_be_bytes();
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..8 {
        let mut socket =
            Connection::new(&address, Login::Token(oidc.token("svc-orders"))).into_stream();
        socket.write_all(&announced).expect("the gateway reads");
        // A write fails only where the gateway has closed.
        match socket.write_all(&piece) {
            Ok(()) => open.push(socket),
            Err(_) => refused += 1,
        }
    }
    wait_for("refusals for want of memory", PATIENCE, || {
        let found = sluice.evidence(oidc, &["--kind", "SessionClosed"]);
        let refusals = found
            .iter()
            .filter(|record| record.to_string().contains("shard-memory"));
        (refusals.count() >= 3).then_some(())
    });
    assert!(refused <= 4, "{refused} of 8 were refused; 5 frames fit");
    assert_eq!(
        bystander.call(0, &ask).error_code,
        0,
        "who holds little goes on"
    );
    assert!(
        memory_kib_peak(&sluice) < MEMORY_KIB_MAX,
        "{} KiB",
        memory_kib_peak(&sluice)
    );
    // What ended gives its memory back.
    drop(open);
    wait_for("room for a long frame", PATIENCE, || {
        let mut socket =
            Connection::new(&address, Login::Token(oidc.token("svc-orders"))).into_stream();
        socket.write_all(&announced).ok()?;
        socket.write_all(&piece).ok()
    });
}
