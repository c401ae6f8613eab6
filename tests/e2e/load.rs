//! The load generator straight at a broker: what its numbers are held against.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use sluice_loadgen::{
    Acks, Codec, Credential, Error, Headers, Keys, Mode, Pace, Payload, Plan, Progress, ReadFrom,
    ScramMechanism, Shape, Sizes, Target, run,
};
use sluice_tests::{Kafka, unique};

#[test]
fn the_load_generator_logs_in_by_scram_and_the_broker_takes_records_of_every_shape() {
    let kafka = Kafka::shared();
    let topic = kafka.create_topic("load", 2);
    let plain = Shape {
        payload: Payload::Json,
        sizes: Sizes::Range {
            min: 600,
            max: 3_000,
        },
        // Written anew in every request, with the checksum of their batch: the broker looks at it.
        keys: Keys::Digits {
            bytes: 16,
            different: None,
        },
        headers: Headers {
            count: 3,
            bytes: 10,
        },
        codec: Codec::None,
    };
    let packed = Shape {
        sizes: Sizes::Weighted(vec![(100, 9), (20_000, 1)]),
        keys: Keys::Digits {
            bytes: 8,
            different: Some(50),
        },
        codec: Codec::Zstd,
        ..plain.clone()
    };
    for shape in [plain, packed] {
        let measured = run(
            &target(kafka, &kafka.password("harness")),
            &plan(&topic, shape),
        )
        .unwrap();
        assert!(measured.is_sound(), "{measured:?}");
        assert_eq!(
            (measured.answered_count, measured.records_count),
            (200, 800)
        );
        let readers = &measured.beside[0].measured;
        let found = readers.end_to_end.as_ref().unwrap();
        assert_eq!((found.latency_ns.len(), found.unseen_count), (200, 0));
    }
    let shape = Shape::text(100);
    let refused = run(&target(kafka, "guess"), &plan(&topic, shape)).unwrap_err();
    assert!(
        matches!(refused, Error::TargetLoginRefused { .. }),
        "{refused}"
    );
}

fn target(kafka: &Kafka, password: &str) -> Target {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(unique("password"));
    fs::write(&file, password).unwrap();
    Target {
        name: "kafka".to_owned(),
        address: kafka.addresses()[0].clone(),
        credential: Credential::Scram {
            mechanism: ScramMechanism::ScramSha512,
            username: "harness".to_owned(),
            password_file: file,
        },
        tls_roots: None,
        tls_name: None,
        readers_as: None,
    }
}

/// Two connections that write and two that follow, one for each partition.
fn plan(topic: &str, shape: Shape) -> Plan {
    Plan {
        mode: Mode::Mixed {
            readers_count: 2,
            from: ReadFrom::End,
        },
        topic: topic.to_owned(),
        partitions: None,
        acks: Acks::All,
        pace: Pace::PerSecond(200),
        duration: Duration::from_secs(1),
        grace: Duration::from_secs(30),
        connections_count: 2,
        threads_count: 1,
        in_flight_max: 64,
        shape,
        records_per_batch: 4,
        seed: 1,
        fetch_bytes: 1024 * 1024,
        churn: None,
        progress: Progress::Silent,
        stage: String::new(),
    }
}
