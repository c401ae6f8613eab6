//! The walk of a Fetch response that arrives in pieces, against the view of the whole one.

mod random;
mod responses;

use std::ops::Range;

use bytes::Bytes;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, NodeEndpoint, PartitionData,
};
use kafka_protocol::messages::{FetchResponse as TheirResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use random::{Random, named, torture};
use responses::{decode_response, random_response, response_frame};
use sluice_kafka::limits::REQUEST_ELEMENTS_MAX;
use sluice_kafka::reader::Reader;
use sluice_kafka::record_batch::batches;
use sluice_kafka::views::fetch_response::clear_session_id;
use sluice_kafka::views::{FetchPart, FetchResponse, FetchStream};
use sluice_kafka::{ErrorCode, Flaw, Malformed};

/// No structure of the generated responses is longer, apart from the tagged fields of the response itself.
const STRUCTURE_BYTES_MAX: usize = 128;

/// A batch's header around bytes that nobody reads.
fn random_batch(random: &mut Random) -> Vec<u8> {
    let body_bytes = [0, 1, 60, 200][random.below(4)];
    let mut batch = (random.next() as i64 >> random.below(60))
        .to_be_bytes()
        .to_vec();
    batch.extend((49 + body_bytes as i32).to_be_bytes());
    let rest = random.bytes(49 + body_bytes);
    batch.extend(rest);
    batch[16] = 2; // magic
    batch
}

fn random_records(random: &mut Random) -> Vec<u8> {
    let mut records = Vec::new();
    for _ in 0..random.below(4) {
        let mut batch = random_batch(random);
        match random.below(12) {
            0 => batch[16] = 1,
            1 => batch[8..12].copy_from_slice(&48_i32.to_be_bytes()),
            2 => batch[8..12].copy_from_slice(&(-1_i32).to_be_bytes()),
            3 => batch[8..12].copy_from_slice(&i32::MAX.to_be_bytes()),
            _ => {}
        }
        records.extend(batch);
    }
    match random.below(4) {
        // The broker cuts the last one off.
        0 => records.truncate(random.below(records.len() + 1)),
        1 => {
            let count = random.below(100);
            records.extend(random.bytes(count));
        }
        _ => {}
    }
    records
}

/// With batches, and from the version on that has them, with broker addresses.
fn response_of_batches(random: &mut Random, version: i16) -> TheirResponse {
    let mut response = random_response(random, version);
    if version >= 7 {
        response.error_code = random.below(3) as i16;
    }
    for topic in &mut response.responses {
        for partition in &mut topic.partitions {
            partition.records = (!random.chance(6)).then(|| random_records(random).into());
            if version >= 12 && random.chance(4) {
                let value = Bytes::from(random.bytes(5));
                partition.unknown_tagged_fields.insert(200, value);
            }
        }
        if version >= 12 && random.chance(4) {
            topic.unknown_tagged_fields.insert(3, Bytes::new());
        }
    }
    if version >= 16 && random.chance(2) {
        response.node_endpoints = (0..=random.below(3)).map(|_| endpoint(random)).collect();
    }
    if version >= 12 && random.chance(4) {
        for _ in 0..=random.below(3) {
            let (number, length) = (1 + random.below(300) as i32, random.below(200));
            let value = Bytes::from(random.bytes(length));
            response.unknown_tagged_fields.insert(number, value);
        }
    }
    response
}

fn endpoint(random: &mut Random) -> NodeEndpoint {
    let mut endpoint = NodeEndpoint::default();
    endpoint.node_id = (random.below(100) as i32).into();
    endpoint.host = StrBytes::from_static_str("broker-7.internal.example");
    endpoint.port = 9092;
    endpoint.rack = Some(StrBytes::from_static_str("rack-3"));
    endpoint
}

fn told(part: FetchPart<'_>) -> String {
    format!("{part:?}")
}

/// The parts that the view of the whole frame has.
fn parts_of(frame: &[u8], version: i16) -> Result<Vec<String>, Malformed> {
    let response = FetchResponse::parse(frame, version)?;
    let mut parts = vec![told(FetchPart::Head {
        correlation_id: response.correlation_id,
        error: response.error,
    })];
    for topic in response.topics() {
        parts.push(told(FetchPart::Topic { key: topic.key }));
        for partition in topic.partitions() {
            parts.push(told(FetchPart::Partition {
                index: partition.index,
                error: partition.error,
            }));
            let records = response.records(&partition).unwrap_or_default();
            for batch in batches(records).map_while(Result::ok) {
                parts.push(told(FetchPart::Batch {
                    last_offset: batch.header.last_offset(),
                    record_count: batch.header.record_count,
                }));
            }
        }
    }
    Ok(parts)
}

/// What went on, and the parts that were told.
struct Passed {
    bytes: Vec<u8>,
    parts: Vec<String>,
    /// The most bytes that ever stayed, the tagged fields of the response itself apart.
    stayed_max: usize,
}

/// Lets `frame` arrive in pieces, `piece` long each.
fn pass(
    frame: &[u8],
    version: i16,
    own_tags_at: usize,
    mut piece: impl FnMut() -> usize,
) -> Result<Passed, Malformed> {
    let mut stream = FetchStream::new(version, frame.len());
    let mut passed = Passed {
        bytes: Vec::new(),
        parts: Vec::new(),
        stayed_max: 0,
    };
    let mut waiting = Vec::new();
    let mut arrived = 0;
    loop {
        let end = frame.len().min(arrived + piece());
        waiting.extend_from_slice(&frame[arrived..end]);
        arrived = end;
        let taken = stream.advance(&mut waiting, |part| {
            passed.parts.push(told(part));
            Ok::<(), Malformed>(())
        })?;
        passed.bytes.extend(waiting.drain(..taken));
        assert_eq!(stream.is_done(), passed.bytes.len() == frame.len());
        if arrived <= own_tags_at {
            passed.stayed_max = passed.stayed_max.max(waiting.len());
        }
        if arrived == frame.len() {
            // Nothing may wait for what will never come.
            assert!(stream.is_done(), "{stream:?}");
            return Ok(passed);
        }
    }
}

/// Where the session's id is, and the tagged fields of the response itself. Only there may bytes change.
fn patched(frame: &[u8], version: i16) -> (Range<usize>, usize) {
    let response = FetchResponse::parse(frame, version).unwrap();
    let session = response.session_id_at.map_or(0..0, |at| at..at + 4);
    let own_tags_at = match response.topics().last() {
        _ if !response.may_carry_addresses() => frame.len(),
        Some(topic) => topic.span.end,
        // Behind the session's id and the count, which is 0.
        None => session.end + 1,
    };
    (session, own_tags_at)
}

fn assert_passed(frame: &[u8], version: i16, passed: &Passed) {
    let mut expected = frame.to_vec();
    let (session, own_tags_at) = patched(frame, version);
    if !session.is_empty() {
        clear_session_id(&mut expected, session.start);
    }
    assert_eq!(passed.bytes.len(), frame.len());
    assert_eq!(passed.bytes[..own_tags_at], expected[..own_tags_at]);
    assert_eq!(passed.parts, parts_of(frame, version).unwrap());
    assert_eq!(passed.parts, parts_of(&passed.bytes, version).unwrap());
    let response = FetchResponse::parse(&passed.bytes, version).unwrap();
    assert_eq!(response.session_id, 0);
    if own_tags_at < frame.len() {
        assert_blank(&passed.bytes[own_tags_at..]);
    }
}

/// One field that nobody knows and that is zeros to its end.
fn assert_blank(section: &[u8]) {
    let mut reader = Reader::new(section, 0);
    let count = reader.tags(|tag, mut value| {
        assert!([0x7f, 0x3fff].contains(&tag.number), "{tag:?}");
        let length = section.len() - value.position();
        assert!(value.take(length)?.iter().all(|byte| *byte == 0));
        value.finish()
    });
    assert_eq!(count, Ok(1));
    assert_eq!(reader.finish(), Ok(()));
}

#[test]
fn sees_in_pieces_what_the_view_sees_in_the_whole() {
    let mut random = Random::new(81);
    let mut batches_count = 0;
    for version in 4..=18 {
        for _ in 0..150 {
            let frame = response_frame(version, &response_of_batches(&mut random, version));
            let (_, own_tags_at) = patched(&frame, version);
            let longest = [1, 2, 10, 70, 1000, usize::MAX][random.below(6)];
            for piece_max in [1, longest] {
                let passed = pass(&frame, version, own_tags_at, || {
                    1 + random.below(piece_max.min(frame.len()))
                })
                .unwrap();
                assert_passed(&frame, version, &passed);
                assert!(
                    passed.stayed_max < STRUCTURE_BYTES_MAX,
                    "{}",
                    passed.stayed_max
                );
                batches_count += passed
                    .parts
                    .iter()
                    .filter(|it| it.starts_with("Batch"))
                    .count();
            }
        }
    }
    assert!(batches_count > 1000, "{batches_count}");
}

#[test]
fn accepts_of_mutated_and_truncated_frames_what_the_view_accepts() {
    let mut random = Random::new(82);
    let mut pieces = Random::new(83);
    let (mut accepted, mut refused) = (0, 0);
    for version in 4..=18 {
        for _ in 0..6 {
            let frame = response_frame(version, &response_of_batches(&mut random, version));
            torture(&mut random, &frame, 600, |frame| {
                let piece_max = [1, 8, 70, 1000, usize::MAX][pieces.below(5)];
                let parsed = FetchResponse::parse(frame, version);
                let passed = pass(frame, version, 0, || {
                    1 + pieces.below(piece_max.min(frame.len().max(1)))
                });
                match &passed {
                    Ok(passed) if parsed.is_ok() => {
                        accepted += 1;
                        if parsed.unwrap().topics().count() > 0 {
                            assert_passed(frame, version, passed);
                        }
                    }
                    Err(_) if parsed.is_err() => refused += 1,
                    _ => panic!("{parsed:?} {:?}", passed.as_ref().err()),
                }
                passed.is_ok()
            });
        }
    }
    assert!(accepted > 1000 && refused > 1000, "{accepted} {refused}");
}

/// A response without topics and with this tagged section of its own.
fn frame_with_own_tags(version: i16, section: &[u8]) -> Vec<u8> {
    let mut frame = response_frame(version, &TheirResponse::default());
    assert_eq!(frame.pop(), Some(0), "the empty section");
    frame.extend_from_slice(section);
    let body_bytes = frame.len() as i32 - 4;
    frame[..4].copy_from_slice(&body_bytes.to_be_bytes());
    frame
}

fn uvarint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

#[test]
fn of_the_tagged_fields_that_may_hold_addresses_nothing_remains_but_their_length() {
    let field =
        |number: &[u8], length: usize| [number, &uvarint(length), &vec![b'x'; length]].concat();
    let mut sections = vec![
        // Nothing is free between them, and nothing below 128.
        [&[2][..], &field(&[0], 5), &field(&[1], 0)].concat(),
        [
            uvarint(128),
            (0..128).flat_map(|number| field(&[number], 1)).collect(),
        ]
        .concat(),
        // Longer than need be: the count, a number, a size.
        [
            &[0x81, 0x00][..],
            &field(&[0x80, 0x80, 0x80, 0x80, 0x00], 9),
        ]
        .concat(),
        [&[0x82, 0x80, 0x00, 0x00, 0x00][..], &field(&[1], 3)].concat(),
        vec![1, 0, 0x80, 0x80, 0x80, 0x80, 0x00],
    ];
    for length in (0..300).chain(16_300..16_400).chain([2_097_140, 2_097_150]) {
        sections.push([&[1][..], &field(&[0], length)].concat());
        sections.push([&[1][..], &field(&[0x80, 0x00], length)].concat());
    }
    for section in sections {
        let frame = frame_with_own_tags(18, &section);
        let own_tags_at = frame.len() - section.len();
        let passed = pass(&frame, 18, own_tags_at, || 1000).unwrap();
        assert_eq!(passed.bytes.len(), frame.len());
        assert_blank(&passed.bytes[own_tags_at..]);
        let seen = decode_response(&passed.bytes, 18);
        assert!(seen.node_endpoints.is_empty());
    }
}

#[test]
fn no_broker_address_passes() {
    let mut random = Random::new(84);
    for version in 16..=18 {
        let mut theirs = response_of_batches(&mut random, version);
        theirs.node_endpoints = vec![endpoint(&mut random), endpoint(&mut random)];
        let frame = response_frame(version, &theirs);
        let passed = pass(&frame, version, 0, || 7).unwrap();
        let holds = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|it| it == part);
        for part in ["broker-7", "internal", "rack-3"] {
            assert!(holds(&frame, part.as_bytes()));
            assert!(!holds(&passed.bytes, part.as_bytes()));
        }
        let seen = decode_response(&passed.bytes, version);
        assert_eq!(seen.responses, theirs.responses);
        assert!(seen.node_endpoints.is_empty());
    }
}

/// One topic with one partition.
fn response_of(version: i16, records: Option<Vec<u8>>, aborted_count: usize) -> TheirResponse {
    let mut partition = PartitionData::default();
    partition.records = records.map(Bytes::from);
    partition.aborted_transactions = Some(vec![AbortedTransaction::default(); aborted_count]);
    let mut topic = FetchableTopicResponse::default();
    (topic.topic, topic.topic_id) = named(version, "orders");
    topic.partitions.push(partition);
    let mut response = TheirResponse::default();
    response.responses.push(topic);
    response
}

#[test]
fn the_body_of_a_batch_does_not_wait() {
    let mut random = Random::new(85);
    let mut batch = random_batch(&mut random);
    batch.resize(61, 0);
    batch[8..12].copy_from_slice(&(49 + 100_000_i32).to_be_bytes());
    batch.extend(random.bytes(100_000));
    let mut frame = response_frame(12, &response_of(12, Some(batch), 0));
    let frame_bytes = frame.len();
    let body_at = frame_bytes - 100_000 - 3; // three empty tagged sections

    let mut stream = FetchStream::new(12, frame_bytes);
    let mut parts = Vec::new();
    let mut see = |part: FetchPart<'_>| {
        parts.push(told(part));
        Ok::<(), Malformed>(())
    };
    // One byte of the header is missing, then it is there.
    let taken = stream.advance(&mut frame[..body_at - 1], &mut see).unwrap();
    assert_eq!(taken, body_at - 61);
    let taken = stream
        .advance(&mut frame[taken..body_at], &mut see)
        .unwrap();
    assert_eq!(taken, 61);
    for at in (body_at..frame_bytes).step_by(1000) {
        let end = frame_bytes.min(at + 1000);
        assert_eq!(stream.advance(&mut frame[at..end], &mut see), Ok(end - at));
    }
    assert!(stream.is_done());
    assert_eq!(parts.len(), 4);
}

#[test]
fn a_structure_of_many_pieces_passes_whole() {
    for version in [4, 18] {
        let frame = response_frame(version, &response_of(version, None, 20_000));
        for piece in [1, 1000] {
            let passed = pass(&frame, version, 0, || piece).unwrap();
            assert_passed(&frame, version, &passed);
        }
    }
}

#[test]
fn what_cannot_fit_into_the_frame_fails_before_its_end() {
    let mut frame = response_frame(4, &response_of(4, Some(vec![0; 100]), 0));
    // Behind length, correlation id and throttle time; a topic takes at least two bytes.
    frame[12..16].copy_from_slice(&100_i32.to_be_bytes());
    let mut stream = FetchStream::new(4, frame.len());
    let failed = stream.advance(&mut frame[..16], |_| Ok::<(), Malformed>(()));
    assert_eq!(
        failed,
        Err(Malformed {
            flaw: Flaw::CountOversized,
            at: 12
        })
    );
}

#[test]
fn bounds_topics_and_partitions_together_as_the_view_does() {
    let frame = |topics_count: usize, partitions_count: usize| {
        let mut topic = FetchableTopicResponse::default();
        topic.topic = TopicName::default();
        let mut response = TheirResponse::default();
        response.responses = vec![topic; topics_count];
        if let Some(last) = response.responses.last_mut() {
            last.partitions = vec![PartitionData::default(); partitions_count];
        }
        response_frame(4, &response)
    };
    let pass = |frame: &[u8]| pass(frame, 4, 0, || 100_000).map(drop);
    let most = REQUEST_ELEMENTS_MAX;
    for accepted in [frame(most, 0), frame(most - 2, 2)] {
        assert!(FetchResponse::parse(&accepted, 4).is_ok());
        assert_eq!(pass(&accepted), Ok(()));
    }
    for refused in [frame(most + 1, 0), frame(most - 1, 2)] {
        assert!(FetchResponse::parse(&refused, 4).is_err());
        assert_eq!(
            pass(&refused).map_err(|it| it.flaw),
            Err(Flaw::ElementsOversized)
        );
    }
}

#[test]
fn the_caller_can_stop_it() {
    #[derive(Debug, PartialEq)]
    enum Stop {
        Malformed,
        Unasked,
    }
    impl From<Malformed> for Stop {
        fn from(_: Malformed) -> Self {
            Self::Malformed
        }
    }
    let mut frame = response_frame(9, &response_of(9, None, 0));
    let mut stream = FetchStream::new(9, frame.len());
    let stopped = stream.advance(&mut frame, |part| match part {
        FetchPart::Partition { .. } => Err(Stop::Unasked),
        _ => Ok(()),
    });
    assert_eq!(stopped, Err(Stop::Unasked));
    assert!(!stream.is_done());
    let failed = FetchStream::new(9, 3).advance(&mut frame[..3], |_| Ok(()));
    assert_eq!(failed, Err(Stop::Malformed));
    let failed = FetchStream::new(9, 0).advance(&mut [], |_| Ok(()));
    assert_eq!(failed, Err(Stop::Malformed));
}

#[test]
fn allocates_nothing() {
    let mut random = Random::new(86);
    for version in 4..=18 {
        let mut frame = response_frame(version, &response_of_batches(&mut random, version));
        let mut errors = 0;
        let allocated = allocation_counter::measure(|| {
            let mut stream = FetchStream::new(version, frame.len());
            let mut at = 0;
            for arrived in (0..=frame.len()).step_by(50).chain([frame.len()]) {
                at += stream
                    .advance(&mut frame[at..arrived], |part| {
                        if let FetchPart::Partition { error, .. } = part {
                            errors += u32::from(error != ErrorCode::NONE);
                        }
                        Ok::<(), Malformed>(())
                    })
                    .unwrap();
            }
            assert!(stream.is_done());
        });
        assert_eq!(allocated.count_total, 0);
    }
}
