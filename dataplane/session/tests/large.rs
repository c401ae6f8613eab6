//! A single value of 100 MB, read through a mask, read in the clear and written: the largest that fits a frame.

mod support;

use kafka_protocol::messages::FetchRequest;
use sluice_kafka::FrameError;
use sluice_kafka::frame::frame_length;
use sluice_session::{BrokerStep, MaskScratch, Outbox, Piece, limits};

use support::Rig;
use support::batch::{BatchSpec, plain, values};
use support::frames::{self, fetch, fetch_results, fetched, produce};

const VALUE_BYTES: usize = 100_000_000;
const EMAIL: &str = "ada@example.com";

/// JSON with the named field at its start and at its end.
fn large() -> Vec<u8> {
    let mut value = format!(r#"{{"email":"{EMAIL}","x":""#).into_bytes();
    let end = format!(r#"","y":{{"email":"{EMAIL}"}}}}"#);
    value.resize(VALUE_BYTES - end.len(), b'x');
    value.extend_from_slice(end.as_bytes());
    value
}

#[test]
fn a_value_of_100_mb_is_withheld_within_bounded_memory_and_the_rest_of_its_batch_is_delivered() {
    let small = format!(r#"{{"email":"{EMAIL}","n":1}}"#);
    let large = large();
    let records = BatchSpec::default().of(&[small.as_bytes(), &large, small.as_bytes()]);
    drop(large);
    let mut rig = Rig::authenticated("reader");
    let asked = fetch(&[("masked", vec![(0, 0), (1, 0)])]);
    rig.client(frames::request(12, 3, &asked)).only_forwarded();
    let behind = plain(small.as_bytes());
    let mut frame = frames::response::<FetchRequest>(
        12,
        3,
        &fetched(&[("masked", vec![(0, records), (1, behind)])]),
    );
    let frame_bytes = frame.len();
    assert_eq!(
        frame_length(&frame, limits::FRAME_BYTES_MAX),
        Ok(Some(frame_bytes)),
        "it fits a frame"
    );

    let environment = rig.world.environment();
    let session = &mut rig.session;
    let (mut scratch, mut out) = (MaskScratch::default(), Outbox::default());
    let taken = allocation_counter::measure(|| {
        let step = session.broker_frame(&environment, 0, &mut frame, &mut out);
        let Ok(BrokerStep::Mask(mut job)) = step else {
            panic!("not masked: {step:?}");
        };
        while !job.step(&mut frame, limits::MASK_STEP_BYTES, &mut scratch) {}
        session
            .masked(&environment, job, &mut frame, &mut scratch, &mut out)
            .unwrap();
        session.release(&mut out).unwrap();
    });
    // The answer is made in one buffer, with an eighth more room than the records take.
    let bytes_max = usize::try_from(taken.bytes_max).unwrap();
    assert!(
        bytes_max < frame_bytes + frame_bytes / 8 + (1 << 20),
        "{bytes_max} bytes for an answer of {frame_bytes}"
    );
    assert!(bytes_max + frame_bytes < limits::CONNECTION_BYTES_MAX);
    // Nothing of it stays but the small answer and what a shard keeps for the next one.
    assert!(taken.bytes_current < 4 << 20, "{}", taken.bytes_current);

    let pieces = out.pieces().iter().map(|piece| match piece {
        Piece::Owned(bytes) => &bytes[..],
        Piece::Read { start, end } => &frame[*start..*end],
    });
    let answer = pieces.collect::<Vec<_>>().concat();
    assert!(answer.len() < 4_096, "{} bytes", answer.len());
    let answer = frames::decode_response::<FetchRequest>(12, &answer).1;
    let results = fetch_results(&answer);
    let seen = values(&results[0].3);
    assert_eq!(seen.len(), 3);
    let withheld = br#"{"sluice":{"masked":"over-limit"}}"#;
    assert!(seen[1] == withheld, "{} bytes", seen[1].len());
    for seen in [&seen[0], &seen[2], &values(&results[1].3)[0]] {
        let seen: serde_json::Value = serde_json::from_slice(seen).unwrap();
        assert_eq!(seen["n"], 1);
        assert!(sluice_masking::is_token(seen["email"].as_str().unwrap()));
    }
}

#[test]
fn a_produce_of_100_mb_goes_on_from_where_it_lies_without_a_copy() {
    let mut rig = Rig::authenticated("writer");
    let batch = plain(&large());
    let request = produce(1, &[("orders", vec![(0, batch)])]);
    let mut frame = frames::request(12, 1, &request);
    drop(request);
    assert_eq!(
        frame_length(&frame, rig.session.client_frame_bytes_max()),
        Ok(Some(frame.len())),
        "it fits a frame"
    );
    let environment = rig.world.environment();
    let session = &mut rig.session;
    let mut out = Outbox::default();
    let taken = allocation_counter::measure(|| {
        session
            .client_frame(&environment, 0, &mut frame, &mut out)
            .unwrap();
        session.release(&mut out).unwrap();
    });
    assert!(taken.bytes_max < 64 << 10, "{} bytes", taken.bytes_max);
    let [Piece::Read { start: 0, end }] = out.pieces() else {
        panic!("not from where it lies");
    };
    assert_eq!(*end, frame.len());
}

#[test]
fn a_fetch_of_100_mb_in_the_clear_passes_from_where_it_lies_without_a_copy() {
    let mut rig = Rig::authenticated("reader");
    rig.client(frames::request(12, 3, &fetch(&[("orders", vec![(0, 0)])])))
        .only_forwarded();
    let answer = fetched(&[("orders", vec![(0, plain(&large()))])]);
    let mut frame = frames::response::<FetchRequest>(12, 3, &answer);
    drop(answer);
    let environment = rig.world.environment();
    let session = &mut rig.session;
    let mut out = Outbox::default();
    let taken = allocation_counter::measure(|| {
        let step = session.broker_frame(&environment, 0, &mut frame, &mut out);
        assert!(matches!(step, Ok(BrokerStep::Done)), "{step:?}");
        session.release(&mut out).unwrap();
    });
    assert!(taken.bytes_max < 64 << 10, "{} bytes", taken.bytes_max);
    let [Piece::Read { start: 0, end }] = out.pieces() else {
        panic!("not from where it lies");
    };
    assert_eq!(*end, frame.len());
}

#[test]
fn a_frame_beyond_the_limit_is_refused_by_its_length_before_its_bytes_arrive() {
    let mut rig = Rig::authenticated("writer");
    let frame_bytes_max = rig.session.client_frame_bytes_max();
    assert_eq!(frame_bytes_max, limits::FRAME_BYTES_MAX);
    let saying = |frame_bytes: usize| i32::try_from(frame_bytes - 4).unwrap().to_be_bytes();
    assert_eq!(
        frame_length(&saying(frame_bytes_max), frame_bytes_max),
        Ok(Some(frame_bytes_max))
    );
    assert_eq!(
        frame_length(&saying(frame_bytes_max + 1), frame_bytes_max),
        Err(FrameError::Oversized {
            frame_bytes: frame_bytes_max + 1,
            frame_bytes_max
        })
    );
    // Who has not logged in sends nothing of the kind.
    rig = Rig::connected();
    let frame_bytes_max = rig.session.client_frame_bytes_max();
    assert_eq!(frame_bytes_max, limits::UNAUTHENTICATED_FRAME_BYTES_MAX);
}
