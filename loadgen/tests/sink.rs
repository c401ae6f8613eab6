//! The generator against the sink, with no Kafka at all.

mod short;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use clap::Parser as _;
use short::{TOPIC, plan};
use sluice_loadgen::arguments::{Arguments, Command};
use sluice_loadgen::sink::{Sink, SinkConfig, SinkListener};
use sluice_loadgen::{Acks, Churn, Credential, Mode, Payload, Plan, ReadFrom, Shape, Target, run};

#[test]
fn acknowledges_what_is_produced_on_every_partition() {
    let sink = sink();
    let plan = Plan {
        connections_count: 6,
        records_per_batch: 3,
        ..plan(Mode::Produce, 300)
    };
    let measured = run(&target(&sink), &plan).unwrap();
    assert_eq!(
        (measured.answered_count, measured.records_count),
        (300, 900)
    );
    assert!(measured.errors.is_empty(), "{:?}", measured.errors);
}

#[test]
fn takes_writes_that_want_no_answer() {
    let sink = sink();
    let plan = Plan {
        acks: Acks::None,
        connections_count: 6,
        shape: Shape::text(100_000),
        ..plan(Mode::Produce, 300)
    };
    let measured = run(&target(&sink), &plan).unwrap();
    assert_eq!(
        (measured.answered_count, measured.unconfirmed_count),
        (300, 0)
    );
}

#[test]
fn serves_readers_beside_producers() {
    let sink = sink();
    let mode = Mode::Mixed {
        readers_count: 4,
        from: ReadFrom::Start,
    };
    let plan = Plan {
        connections_count: 2,
        threads_count: 2,
        ..plan(mode, 100)
    };
    let measured = run(&target(&sink), &plan).unwrap();
    assert_eq!(
        (measured.answered_count, measured.records_count),
        (100, 100)
    );
    let readers = &measured.beside[0].measured;
    assert!(readers.records_count > 1000 && readers.end_to_end.is_none());
    assert!(measured.is_sound());
}

#[test]
fn bears_a_storm_of_connects() {
    let sink = sink();
    let plan = Plan {
        connections_count: 16,
        ..plan(Mode::Storm, 300)
    };
    let measured = run(&target(&sink), &plan).unwrap();
    assert_eq!(
        (measured.answered_count, measured.latency_ns.len()),
        (300, 300)
    );
    assert!(measured.faults.is_empty(), "{:?}", measured.faults);
}

#[test]
fn slow_consumers_read_little_beside_those_that_read_everything() {
    let sink = sink();
    let mode = Mode::SlowConsumer {
        slow_count: 3,
        bytes_per_second: 20_000,
    };
    let plan = Plan {
        connections_count: 2,
        threads_count: 2,
        ..plan(mode, 100)
    };
    let measured = run(&target(&sink), &plan).unwrap();
    let [slow, alone] = measured.beside.as_slice() else {
        panic!("{:?}", measured.beside)
    };
    assert_eq!(
        (measured.answered_count, alone.measured.answered_count),
        (100, 100)
    );
    // What the slow ones have no end of when the run ends is not theirs to answer for.
    assert!(measured.is_sound());
    let read = slow.measured.slowly_read_bytes;
    assert!(
        read > 0 && read < measured.record_bytes / 20,
        "{read} of {}",
        measured.record_bytes
    );
}

#[test]
fn a_command_beside_the_load_is_counted_and_every_request_is_inside_or_outside_of_it() {
    let sink = sink();
    let file = tempfile::NamedTempFile::new().unwrap();
    let churn = |end: &str| Churn {
        command: format!("echo >>{}; {end}", file.path().display()),
        interval: Duration::from_millis(200),
    };
    let with = |mode, end| Plan {
        churn: Some(churn(end)),
        ..plan(mode, 200)
    };
    let measured = run(&target(&sink), &with(Mode::Produce, "exit 3")).unwrap();
    let churned = measured.churned.as_ref().unwrap();
    let lines = std::fs::read_to_string(file.path())
        .unwrap()
        .lines()
        .count() as u64;
    assert!(churned.runs_count >= 1);
    assert_eq!(
        (
            churned.runs_count,
            churned.failed_count,
            churned.ends.get("exit 3")
        ),
        (lines, lines, Some(&lines))
    );
    assert_eq!(measured.answered_count, 200);
    let pauses = measured.pauses.as_ref().unwrap();
    let (inside, outside) = (&pauses.inside.latency_ns, &pauses.outside.latency_ns);
    assert_eq!(inside.len() + outside.len(), 200);
    // Before the first run of the command nothing is inside, and something always is around it.
    assert!(!inside.is_empty() && !outside.is_empty());
    assert!(pauses.inside.gap_ns_max > 0);
    assert!(!measured.is_sound());
    let storm = run(&target(&sink), &with(Mode::Storm, "exit 0")).unwrap();
    let pauses = storm.pauses.as_ref().unwrap();
    let felt_count = pauses.inside.latency_ns.len() + pauses.outside.latency_ns.len();
    assert_eq!(felt_count, 200);
    assert!(storm.is_sound());
}

#[test]
fn takes_requests_that_are_longer_than_its_buffer() {
    let sink = sink();
    let plan = Plan {
        shape: Shape::text(3_000_000),
        ..plan(Mode::Produce, 5)
    };
    assert_eq!(run(&target(&sink), &plan).unwrap().answered_count, 5);
}

#[test]
fn delivers_as_many_whole_batches_as_a_fetch_has_room_for() {
    let sink = sink();
    let measured = run(&target(&sink), &plan(Mode::Consume, 50)).unwrap();
    assert_eq!(measured.answered_count, 50);
    let batch_bytes = measured.record_bytes / (measured.records_count / 10);
    assert_eq!(measured.records_count, 50 * 10 * (1_000_000 / batch_bytes));
}

#[test]
fn answers_a_ping_at_the_end_with_nothing() {
    let sink = sink();
    let measured = run(&target(&sink), &plan(Mode::Ping, 200)).unwrap();
    assert_eq!((measured.answered_count, measured.record_bytes), (200, 0));
}

#[test]
fn lets_anybody_in() {
    let sink = sink();
    let mut token = tempfile::NamedTempFile::new().unwrap();
    token.write_all(b"any.token.will.do").unwrap();
    let credentials = [
        Credential::TokenFile(token.path().to_owned()),
        Credential::Plain {
            username: "anybody".to_owned(),
            password_file: token.path().to_owned(),
        },
    ];
    for credential in credentials {
        let target = Target {
            credential,
            ..target(&sink)
        };
        assert_eq!(
            run(&target, &plan(Mode::Ping, 5)).unwrap().answered_count,
            5
        );
    }
}

#[test]
fn closes_on_bytes_that_are_no_request_and_serves_the_others_on() {
    let sink = sink();
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 8],
        &[0, 0, 0, 2, 0, 0],
        &[0, 0, 0, 8, 0, 99, 0, 0, 0, 0, 0, 0],
    ] {
        let mut socket = TcpStream::connect(sink.addresses()[0]).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        socket.write_all(bytes).unwrap();
        // The end of the stream, or a reset where bytes were left unread.
        assert!(
            matches!(socket.read(&mut [0; 16]), Ok(0) | Err(_)),
            "{bytes:?}"
        );
    }
    assert_eq!(
        run(&target(&sink), &plan(Mode::Ping, 5))
            .unwrap()
            .answered_count,
        5
    );
}

#[test]
fn each_listener_sends_clients_to_what_it_advertises() {
    let listener = |advertised| SinkListener {
        listen: "127.0.0.1:0".parse().unwrap(),
        advertised,
        tls: None,
    };
    // Port 1 needs privileges to be listened on, and nothing does.
    let nobody = Some(("127.0.0.1".to_owned(), 1));
    let config = SinkConfig {
        listeners: vec![listener(nobody), listener(None)],
        ..config()
    };
    let sink = Sink::start(&config).unwrap();
    let at = |index: usize| Target {
        address: sink.addresses()[index].to_string(),
        ..target(&sink)
    };
    let sent_away = run(&at(0), &plan(Mode::Ping, 5)).unwrap_err().to_string();
    assert!(sent_away.contains("127.0.0.1:1 "), "{sent_away}");
    assert_eq!(run(&at(1), &plan(Mode::Ping, 5)).unwrap().answered_count, 5);
}

#[test]
fn a_tls_listener_serves_those_who_trust_its_certificate_and_nobody_in_plain_text() {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let file = |pem: String| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(pem.as_bytes()).unwrap();
        file
    };
    let (certificate, key) = (
        file(made.cert.pem()),
        file(made.signing_key.serialize_pem()),
    );
    let path = |file: &tempfile::NamedTempFile| file.path().display().to_string();
    let arguments = ["loadgen", "sink", "--topic", "orders=3"].map(str::to_owned);
    let options = [
        ("--listen", "127.0.0.1:0".to_owned()),
        ("--listen-tls", "127.0.0.1:0".to_owned()),
        ("--tls-certificate", path(&certificate)),
        ("--tls-key", path(&key)),
    ];
    let options = options.map(|(name, value)| format!("{name}={value}"));
    let parsed = Arguments::try_parse_from(arguments.into_iter().chain(options)).unwrap();
    let Command::Sink(parsed) = parsed.command else {
        panic!("{parsed:?}")
    };
    let sink = Sink::start(&parsed.check().unwrap()).unwrap();
    let at = |index: usize, tls_roots| Target {
        tls_roots,
        ..short::target("sink", sink.addresses()[index])
    };
    let roots = || Some(certificate.path().to_owned());
    for mode in [Mode::Ping, Mode::Produce, Mode::Consume] {
        let measured = run(&at(1, roots()), &plan(mode, 20)).unwrap();
        assert_eq!(measured.answered_count, 20, "{mode:?}");
    }
    assert!(run(&at(1, None), &plan(Mode::Ping, 5)).is_err());
    assert!(run(&at(0, roots()), &plan(Mode::Ping, 5)).is_err());
    assert_eq!(
        run(&at(0, None), &plan(Mode::Ping, 5))
            .unwrap()
            .answered_count,
        5
    );
}

fn sink() -> Sink {
    Sink::start(&config()).unwrap()
}

fn config() -> SinkConfig {
    SinkConfig {
        listeners: vec![SinkListener {
            listen: "127.0.0.1:0".parse().unwrap(),
            advertised: None,
            tls: None,
        }],
        cpus: Vec::new(),
        topics: vec![(TOPIC.to_owned(), 3)],
        shape: Shape {
            payload: Payload::Json,
            ..Shape::text(1000)
        },
        records_per_batch: 10,
        seed: 1,
    }
}

fn target(sink: &Sink) -> Target {
    short::target("sink", sink.addresses()[0])
}
