//! Load on a minimal Kafka in this process: the accounting must hold whatever the target does.

#[allow(dead_code)]
mod responder;
mod short;

use std::io::Write;
use std::time::Duration;

use responder::{Faults, Responder};
use short::plan;
use sluice_kafka::ErrorCode;
use sluice_loadgen::compare::Comparison;
use sluice_loadgen::{
    Acks, Credential, Error, Measured, Mode, Pace, Plan, ReadFrom, Shape, Target, run,
};

const STALL: Duration = Duration::from_millis(300);

#[test]
fn a_stall_shows_in_the_latency_of_every_request_that_was_due_meanwhile() {
    let responder = Responder::start(Faults {
        stall: Some((200, STALL)),
        ..Faults::default()
    });
    let measured = run(&target(&responder), &plan(Mode::Produce, 1_000)).unwrap();
    assert_eq!(measured.answered_count, 1_000);
    assert_eq!(measured.latency_ns.len(), 1_000);
    // Requests are due every millisecond, so those due in the first 200 ms of the stall waited for 100 ms or longer. A
    // closed loop would have seen the stall once per request in flight.
    let waited = measured.latency_ns.count_between(100_000_000, u64::MAX);
    assert!(waited >= 195, "only {waited} requests waited");
    assert!(measured.latency_ns.max() >= 299_000_000);
}

#[test]
fn waiting_for_room_counts_as_latency() {
    let responder = Responder::start(Faults {
        stall: Some((200, STALL)),
        ..Faults::default()
    });
    let plan = Plan {
        in_flight_max: 1,
        ..plan(Mode::Ping, 1_000)
    };
    let measured = run(&target(&responder), &plan).unwrap();
    assert_eq!(measured.answered_count, 1_000);
    assert!(measured.latency_ns.count_between(100_000_000, u64::MAX) >= 195);
    assert!(measured.send_delay_ns.max() >= 250_000_000);
}

#[test]
fn requests_that_are_never_answered_or_never_sent_are_counted() {
    let responder = Responder::start(Faults {
        silence: Some(100),
        ..Faults::default()
    });
    let plan = Plan {
        in_flight_max: 10,
        grace: Duration::from_millis(200),
        ..plan(Mode::Produce, 500)
    };
    let measured = run(&target(&responder), &plan).unwrap();
    assert_eq!(responder.served_count(), 110);
    assert_eq!(
        (measured.answered_count, measured.unanswered_count),
        (100, 400)
    );
    assert_eq!(measured.intended_count(), 500);
    assert_eq!(measured.latency_ns.len(), 500);
    // The first one that was not answered was due after 200 ms, and given up after 1,200 ms.
    assert!(measured.latency_ns.max() >= 990_000_000);
}

#[test]
fn connections_and_threads_share_the_rate() {
    let responder = Responder::start(Faults::default());
    let plan = Plan {
        connections_count: 5,
        threads_count: 2,
        records_per_batch: 3,
        ..plan(Mode::Produce, 501)
    };
    let measured = run(&target(&responder), &plan).unwrap();
    assert_eq!(measured.answered_count, 501);
    assert_eq!(measured.records_count, 1_503);
    assert_eq!(responder.served_count(), 501);
}

#[test]
fn a_consumer_goes_from_batch_to_batch_and_begins_anew_at_the_end() {
    let responder = Responder::start(Faults::default());
    let measured = run(&target(&responder), &plan(Mode::Consume, 50)).unwrap();
    assert_eq!(measured.answered_count, 50);
    // The responder checks offsets, and has nothing at the end of its log, where nobody should ask.
    assert_eq!(measured.records_count, 250);
}

#[test]
fn saturation_keeps_the_connection_busy() {
    let responder = Responder::start(Faults::default());
    let plan = Plan {
        pace: Pace::Saturate,
        ..plan(Mode::Produce, 1)
    };
    let measured = run(&target(&responder), &plan).unwrap();
    assert_eq!(measured.answered_count, responder.served_count());
    assert!(measured.answered_count > 100, "{}", measured.answered_count);
}

#[test]
fn errors_that_kafka_answers_are_counted_by_code() {
    let responder = Responder::start(Faults {
        error: Some((3, ErrorCode::TOPIC_AUTHORIZATION_FAILED)),
        ..Faults::default()
    });
    let measured = run(&target(&responder), &plan(Mode::Produce, 10)).unwrap();
    assert_eq!((measured.answered_count, measured.failed_count), (9, 1));
    let (count, words) = &measured.errors[&29];
    assert_eq!(
        (*count, words.as_str()),
        (1, "TOPIC_AUTHORIZATION_FAILED (29)")
    );
}

#[test]
fn the_target_is_told_whose_word_a_write_waits_for() {
    for (acks, wire) in [(Acks::None, 0), (Acks::Leader, 1), (Acks::All, -1)] {
        let responder = Responder::start(Faults {
            acks: Some(wire),
            ..Faults::default()
        });
        let plan = Plan {
            acks,
            connections_count: 3,
            records_per_batch: 2,
            ..plan(Mode::Produce, 100)
        };
        let measured = run(&target(&responder), &plan).unwrap();
        assert_eq!(
            (measured.answered_count, measured.records_count),
            (100, 200),
            "{acks:?}"
        );
        assert_eq!(measured.latency_ns.len(), 100);
        // Nothing is left on the way: without acks, the answer to what followed the last write says so.
        assert_eq!(responder.served_count(), 100, "{acks:?}");
        assert_eq!(measured.unconfirmed_count, 0);
    }
}

#[test]
fn writes_without_acks_that_are_refused_or_never_read_do_not_pass_for_taken() {
    let refusing = Responder::start(Faults {
        acks: Some(1),
        ..Faults::default()
    });
    let plan = Plan {
        acks: Acks::None,
        grace: Duration::from_millis(200),
        ..plan(Mode::Produce, 50)
    };
    let refused = run(&target(&refusing), &plan).unwrap_err().to_string();
    assert!(refused.contains("--acks 1 shows the error"), "{refused}");
    // The sixth write holds up all behind it for longer than the run waits.
    let stalled = Responder::start(Faults {
        stall: Some((5, Duration::from_secs(30))),
        ..Faults::default()
    });
    let measured = run(&target(&stalled), &plan).unwrap();
    assert_eq!(
        (measured.answered_count, measured.unconfirmed_count),
        (50, 1)
    );
}

#[test]
fn readers_follow_what_is_written_and_time_it_from_when_it_was_due() {
    let responder = Responder::start(Faults {
        keeps: true,
        stall: Some((5, STALL)),
        ..Faults::default()
    });
    let plan = Plan {
        connections_count: 3,
        threads_count: 2,
        ..mixed(2, ReadFrom::End)
    };
    let measured = run(&target(&responder), &plan).unwrap();
    assert_eq!((measured.answered_count, measured.records_count), (50, 50));
    let [readers] = measured.beside.as_slice() else {
        panic!("{:?}", measured.beside)
    };
    assert_eq!(readers.name, "readers");
    // The reader that counts saw every batch of five; the other one may have ended a little earlier.
    assert!(readers.measured.records_count > 250);
    let found = readers.measured.end_to_end.as_ref().unwrap();
    assert_eq!((found.latency_ns.len(), found.unseen_count), (50, 0));
    assert!(measured.is_sound());
}

#[test]
fn batches_that_no_reader_sees_are_counted() {
    let responder = Responder::start(Faults::default());
    let plan = Plan {
        grace: Duration::from_millis(100),
        ..mixed(1, ReadFrom::End)
    };
    let measured = run(&target(&responder), &plan).unwrap();
    let found = measured.beside[0].measured.end_to_end.as_ref().unwrap();
    // This responder gives every batch the same offset and keeps none, so that there is one to be found.
    assert_eq!((found.latency_ns.len(), found.unseen_count), (0, 1));
    assert!(!measured.is_sound());
}

#[test]
fn a_storm_logs_in_on_every_connection_and_counts_what_fails_by_its_kind() {
    let responder = Responder::start(Faults {
        login: Some(("alice", "secret")),
        close_metadata: Some(10),
        ..Faults::default()
    });
    let plan = Plan {
        connections_count: 8,
        ..plan(Mode::Storm, 60)
    };
    // The tenth Metadata and all after it close the connection. The first is that of the handshake that goes ahead.
    let measured = with_password(&responder, "secret\n", &plan).unwrap();
    assert_eq!((measured.answered_count, measured.failed_count), (9, 51));
    assert_eq!(measured.latency_ns.len(), 60);
    let kinds: Vec<_> = measured.faults.iter().collect();
    let [(kind, (count, words))] = kinds.as_slice() else {
        panic!("{kinds:?}")
    };
    assert_eq!((kind.as_str(), *count), ("closed during Metadata", 51));
    assert!(words.contains("Its log says why"), "{words}");
    let refused = with_password(&responder, "guess\n", &plan).unwrap_err();
    assert!(
        matches!(refused, Error::TargetLoginRefused { .. }),
        "{refused:?}"
    );
}

#[test]
fn handshakes_that_find_no_room_before_a_storm_is_given_up_are_counted() {
    let responder = Responder::start(Faults {
        silence_metadata: Some(1),
        ..Faults::default()
    });
    let plan = Plan {
        connections_count: 2,
        grace: Duration::from_millis(100),
        ..plan(Mode::Storm, 40)
    };
    let measured = run(&target(&responder), &plan).unwrap();
    // Two wait until the storm is given up, and the others for them.
    assert_eq!(measured.unanswered_count, 40);
    assert_eq!(measured.latency_ns.len(), 40);
}

#[test]
fn a_target_may_close_slow_consumers_and_not_the_others() {
    let mode = Mode::SlowConsumer {
        slow_count: 1,
        bytes_per_second: 1_000,
    };
    // Each phase connects once for metadata, and then the normal one before the slow one.
    let responder = Responder::start(Faults {
        close_fetching: Some(4),
        ..Faults::default()
    });
    let measured = run(&target(&responder), &plan(mode, 20)).unwrap();
    assert_eq!(measured.answered_count, 20);
    let [slow, alone] = measured.beside.as_slice() else {
        panic!("{:?}", measured.beside)
    };
    assert_eq!((slow.name, alone.name), ("slow", "normal, alone"));
    assert_eq!(alone.measured.answered_count, 20);
    let (count, _) = slow.measured.faults["closed during the run"];
    assert_eq!((count, measured.is_sound()), (1, true));
    let responder = Responder::start(Faults {
        close_fetching: Some(3),
        ..Faults::default()
    });
    let error = run(&target(&responder), &plan(mode, 20)).unwrap_err();
    assert!(matches!(error, Error::TargetClosed { .. }), "{error:?}");
}

#[test]
fn a_connection_that_breaks_ends_the_run_and_names_the_target() {
    let responder = Responder::start(Faults {
        close: Some(5),
        ..Faults::default()
    });
    let error = run(&target(&responder), &plan(Mode::Ping, 100)).unwrap_err();
    assert!(matches!(error, Error::TargetClosed { .. }), "{error:?}");
    assert!(error.to_string().contains("target gateway"), "{error}");
}

#[test]
fn logs_in_with_a_password_from_a_file() {
    let responder = Responder::start(Faults {
        login: Some(("alice", "secret")),
        ..Faults::default()
    });
    assert_eq!(login(&responder, "secret\n").unwrap().answered_count, 10);
    let refused = login(&responder, "guess\n").unwrap_err();
    assert!(
        matches!(refused, Error::TargetLoginRefused { .. }),
        "{refused:?}"
    );
    assert!(!refused.to_string().contains("guess"));
    let without = run(&target(&responder), &plan(Mode::Ping, 10)).unwrap_err();
    assert!(without.to_string().contains("--sasl"), "{without}");
}

#[test]
fn an_address_where_nobody_listens_is_named() {
    let mut target = target(&Responder::start(Faults::default()));
    // Port 1 needs privileges to be listened on, and nothing does.
    target.address = "127.0.0.1:1".to_owned();
    let error = run(&target, &plan(Mode::Ping, 1)).unwrap_err();
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
}

#[test]
fn speaks_tls_by_the_roots_that_were_given_and_by_no_others() {
    let [own, other] = [(), ()].map(|()| {
        rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "kafka.test".to_owned()])
            .unwrap()
    });
    let responder = Responder::start_tls(&own);
    let with_roots = |pem: &str, tls_name: Option<&str>| {
        let mut roots = tempfile::NamedTempFile::new().unwrap();
        roots.write_all(pem.as_bytes()).unwrap();
        let target = Target {
            tls_roots: Some(roots.path().to_owned()),
            tls_name: tls_name.map(str::to_owned),
            ..target(&responder)
        };
        // Batches of 300 kB, so that TLS records and the socket's buffer are outgrown in both directions.
        let plan = Plan {
            shape: Shape::text(300_000),
            ..plan(Mode::Produce, 40)
        };
        run(&target, &plan)
    };
    assert_eq!(
        with_roots(&own.cert.pem(), None).unwrap().answered_count,
        40
    );
    assert_eq!(
        with_roots(&own.cert.pem(), Some("kafka.test"))
            .unwrap()
            .answered_count,
        40
    );
    for refused in [
        with_roots(&other.cert.pem(), None),
        with_roots(&own.cert.pem(), Some("elsewhere.test")),
    ] {
        assert!(
            matches!(refused, Err(Error::TargetTlsFailed { .. })),
            "{refused:?}"
        );
    }
    let no_roots = with_roots("", None).unwrap_err();
    assert!(
        no_roots.to_string().contains("no certificate"),
        "{no_roots}"
    );
}

#[test]
fn a_comparison_measures_every_target_in_every_round() {
    let responder = Responder::start(Faults::default());
    let other = Target {
        name: "other".to_owned(),
        ..target(&responder)
    };
    let comparison = Comparison {
        targets: vec![target(&responder), other],
        baseline: 0,
        plan: plan(Mode::Ping, 20),
        rounds_count: 2,
        warm_up: Duration::from_secs(1),
        watched: Vec::new(),
    };
    let compared = comparison.run().unwrap();
    let names: Vec<&str> = compared
        .targets
        .iter()
        .map(|target| target.name.as_str())
        .collect();
    assert_eq!(names, ["gateway", "other"]);
    for target in &compared.targets {
        let counts = target
            .rounds
            .iter()
            .map(|round| round.measured.answered_count);
        assert_eq!(counts.collect::<Vec<_>>(), [20, 20]);
    }
    assert_eq!(responder.served_count(), 2 * 20 + 4 * 20);
}

fn mixed(readers_count: usize, from: ReadFrom) -> Plan {
    let mode = Mode::Mixed {
        readers_count,
        from,
    };
    plan(mode, 50)
}

fn login(responder: &Responder, password: &str) -> Result<Measured, Error> {
    with_password(responder, password, &plan(Mode::Ping, 10))
}

fn with_password(responder: &Responder, password: &str, plan: &Plan) -> Result<Measured, Error> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(password.as_bytes()).unwrap();
    let target = Target {
        credential: Credential::Plain {
            username: "alice".to_owned(),
            password_file: file.path().to_owned(),
        },
        ..target(responder)
    };
    run(&target, plan)
}

fn target(responder: &Responder) -> Target {
    short::target("gateway", responder.address)
}
