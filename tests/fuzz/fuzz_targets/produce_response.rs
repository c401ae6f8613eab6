//! The view of Produce responses: it accepts what the table-driven walk accepts and sees what the decoder sees; a merged
//! answer holds every partition that was asked exactly once, denied where it was denied, and no broker address.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sluice_fuzz::apis::{structs, versioned};
use sluice_fuzz::framed;
use sluice_kafka::ErrorCode;
use sluice_kafka::api::PRODUCE;
use sluice_kafka::header::parse_response_header;
use sluice_kafka::messages::decode_response_frame;
use sluice_kafka::shape::check_response;
use sluice_kafka::views::{Denial, MergeEntry, ProduceResponse, TopicKey, produce_response};

/// Topic, partition, error, base offset.
type Partition<'a> = (TopicKey<'a>, i32, ErrorCode, i64);

const DENIAL: Denial<'static> = Denial {
    error: ErrorCode(29),
    message: Some("no"),
};

// Version, then the frame without its length.
fuzz_target!(|input: &[u8]| {
    let Some((version, content)) = versioned(PRODUCE, input) else {
        return;
    };
    let frame = framed(content);
    let Ok((correlation_id, body_at)) = parse_response_header(&frame, PRODUCE, version) else {
        return;
    };
    let walked = check_response(PRODUCE, version, &frame[body_at..]);
    let parsed = ProduceResponse::parse(&frame, version);
    // The walk looks into the tagged fields that are defined, which the view only leaves out.
    assert!(walked.is_err() || parsed.is_ok(), "{parsed:?} {walked:?}");
    let Ok(response) = parsed else { return };
    assert_eq!(response.correlation_id, correlation_id);
    let all = partitions(&response);
    if let Ok((_, decoded)) =
        decode_response_frame::<structs::ProduceRequest>(&Bytes::from(frame.clone()), version)
    {
        assert_eq!(response.throttle_time_ms, decoded.throttle_time_ms);
        let theirs = decoded.responses.iter().flat_map(|topic| {
            let key = match all.first() {
                Some((TopicKey::Id(_), ..)) => TopicKey::Id(*topic.topic_id.as_bytes()),
                _ => TopicKey::Name(topic.name.as_str()),
            };
            topic
                .partition_responses
                .iter()
                .map(move |it| (key, it.index, ErrorCode(it.error_code), it.base_offset))
        });
        assert_eq!(all, theirs.collect::<Vec<_>>());
    }

    let mut out = Vec::new();
    response.without_addresses(&mut out);
    let without = ProduceResponse::parse(&out, version).expect("its own frame");
    assert_eq!(partitions(&without), all);
    assert!(!without.may_carry_addresses());

    // Asked: what was answered, every third denied, and one partition that the broker left out.
    let mut entries: Vec<MergeEntry<'_>> = (0..)
        .zip(&all)
        .map(|(at, (topic, partition, ..))| MergeEntry {
            topic: *topic,
            partition: *partition,
            denial: (at % 3 == 2).then_some(DENIAL),
        })
        .collect();
    if let Some(first) = entries.first() {
        entries.push(MergeEntry {
            partition: first.partition.wrapping_add(1),
            denial: None,
            ..*first
        });
    }
    let mut expected: Vec<Partition<'_>> = Vec::new();
    for entry in &entries {
        let named = |topic: TopicKey<'_>, partition: i32| {
            (topic, partition) == (entry.topic, entry.partition)
        };
        if expected.iter().any(|it| named(it.0, it.1)) {
            continue;
        }
        let denied = entries
            .iter()
            .any(|it| named(it.topic, it.partition) && it.denial.is_some());
        let answered = all.iter().find(|it| named(it.0, it.1));
        expected.push(match answered {
            _ if denied => (entry.topic, entry.partition, DENIAL.error, -1),
            Some(answered) => *answered,
            None => (
                entry.topic,
                entry.partition,
                ErrorCode::UNKNOWN_SERVER_ERROR,
                -1,
            ),
        });
    }
    let mut out = Vec::new();
    produce_response::merge(version, 9, 100, Some(&response), &entries, &mut out);
    let merged = ProduceResponse::parse(&out, version).expect("its own frame");
    assert_eq!(partitions(&merged), expected);
    assert_eq!(
        (merged.correlation_id, merged.throttle_time_ms),
        (9, response.throttle_time_ms.max(100))
    );
    assert!(!merged.may_carry_addresses());
});

fn partitions<'a>(response: &ProduceResponse<'a>) -> Vec<Partition<'a>> {
    let topics = response.topics();
    let all = topics.flat_map(|topic| {
        let partitions = topic.partitions();
        partitions.map(move |it| (topic.key, it.index, it.error, it.base_offset))
    });
    all.collect()
}
