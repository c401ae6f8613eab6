//! The walk of a Fetch response that arrives in pieces: it accepts what the view of the whole frame accepts and sees what the
//! view sees; what goes on differs from the frame in the session's id and the response's own tagged fields only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_fuzz::apis::versioned;
use sluice_fuzz::framed;
use sluice_kafka::Malformed;
use sluice_kafka::api::FETCH;
use sluice_kafka::record_batch::batches;
use sluice_kafka::views::fetch_response::clear_session_id;
use sluice_kafka::views::{FetchPart, FetchResponse, FetchStream};

// Version, then the frame without its length. How it is cut follows from its own bytes.
fuzz_target!(|input: &[u8]| {
    let Some((version, content)) = versioned(FETCH, input) else {
        return;
    };
    let frame = framed(content);
    let seen = parts(&frame, version);
    let seed = input.iter().fold(0x9e37_79b9_u64, |seed, byte| {
        seed.wrapping_mul(31).wrapping_add(u64::from(*byte))
    });
    for pieces_max in [1, 7, 100] {
        let passed = pass(&frame, version, seed, pieces_max);
        match (&seen, passed) {
            (Ok(seen), Ok((bytes, told))) => {
                assert_eq!(told, *seen);
                leaves(&frame, bytes, version);
            }
            (Err(_), Err(_)) => {}
            (seen, passed) => panic!("{seen:?} {passed:?}"),
        }
    }
});

fn told(part: &FetchPart<'_>) -> String {
    format!("{part:?}")
}

/// What the view of the whole frame shows.
fn parts(frame: &[u8], version: i16) -> Result<Vec<String>, Malformed> {
    let response = FetchResponse::parse(frame, version)?;
    let mut parts = vec![told(&FetchPart::Head {
        correlation_id: response.correlation_id,
        error: response.error,
    })];
    for topic in response.topics() {
        parts.push(told(&FetchPart::Topic { key: topic.key }));
        for partition in topic.partitions() {
            parts.push(told(&FetchPart::Partition {
                index: partition.index,
                error: partition.error,
            }));
            let records = response.records(&partition).unwrap_or_default();
            for batch in batches(records).map_while(Result::ok) {
                parts.push(told(&FetchPart::Batch {
                    last_offset: batch.header.last_offset(),
                    record_count: batch.header.record_count,
                }));
            }
        }
    }
    Ok(parts)
}

/// What goes on, and what was told.
fn pass(
    frame: &[u8],
    version: i16,
    mut seed: u64,
    pieces_max: u64,
) -> Result<(Vec<u8>, Vec<String>), Malformed> {
    let mut stream = FetchStream::new(version, frame.len());
    let mut bytes = frame.to_vec();
    let mut parts = Vec::new();
    let (mut passed, mut arrived) = (0, 0);
    while arrived < frame.len() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let piece = usize::try_from(1 + (seed >> 33) % pieces_max).expect("pieces are small");
        arrived = frame.len().min(arrived + piece);
        assert!(!stream.is_done());
        passed += stream.advance(&mut bytes[passed..arrived], |part| {
            parts.push(told(&part));
            Ok::<(), Malformed>(())
        })?;
    }
    assert!(stream.is_done() && passed == frame.len());
    Ok((bytes, parts))
}

fn leaves(frame: &[u8], left: Vec<u8>, version: i16) {
    let before = FetchResponse::parse(frame, version).expect("accepted");
    let after = FetchResponse::parse(&left, version).expect("its own frame");
    assert_eq!(after.session_id, 0);
    assert_eq!(before.may_carry_addresses(), after.may_carry_addresses());
    let mut expected = frame.to_vec();
    if let Some(at) = before.session_id_at {
        clear_session_id(&mut expected, at);
    }
    if !before.may_carry_addresses() {
        assert_eq!(left, expected);
    } else if let Some(last) = before.topics().last() {
        let own_tags_at = last.span.end;
        assert_eq!(left[..own_tags_at], expected[..own_tags_at]);
        // Number and size of one field are not zeros, nor is the count.
        let not_zero = left[own_tags_at..].iter().filter(|it| **it & 0x7f != 0);
        assert!(not_zero.count() <= 1 + 2 + 5);
    }
}
