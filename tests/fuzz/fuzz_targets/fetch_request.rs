//! The view of Fetch requests: it accepts what the table-driven walk accepts and sees what the decoder sees; what leaves,
//! patched in place or written anew, is a consumer's, without a fetch session, within the limits, with what was to be kept.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_fuzz::apis::{structs, versioned};
use sluice_fuzz::framed;
use sluice_kafka::RequestHeader;
use sluice_kafka::api::FETCH;
use sluice_kafka::messages::decode_request_frame;
use sluice_kafka::shape::check_request;
use sluice_kafka::views::fetch::patch_in_place;
use sluice_kafka::views::{FetchPatch, FetchRequest, TopicKey};

/// Topic, partition, offset, byte limit.
type Partition<'a> = (TopicKey<'a>, i32, i64, i32);

const PATCH: FetchPatch = FetchPatch {
    response_bytes_max: 4 << 20,
    partition_bytes_max: 1 << 20,
};

// Version, then everything behind the correlation id.
fuzz_target!(|input: &[u8]| {
    let Some((version, rest)) = versioned(FETCH, input) else {
        return;
    };
    let head = [FETCH.to_be_bytes(), version.to_be_bytes()].concat();
    let frame = framed(&[&head[..], &[0, 0, 0, 7], rest].concat());
    let Ok(header) = RequestHeader::parse(&frame) else {
        return;
    };
    let walked = check_request(FETCH, version, &frame[header.body_at..]);
    let parsed = FetchRequest::parse(&frame, &header);
    assert!(walked.is_err() || parsed.is_ok(), "{parsed:?} {walked:?}");
    let Ok(request) = parsed else { return };
    // The walk looks into the tagged fields that are defined, which the view only leaves out.
    assert!(walked.is_ok() || request.needs_rewrite());
    let all = partitions(&request);
    assert_eq!(request.topics().count(), request.topics_count.count);
    if walked.is_ok() {
        let decoded: structs::FetchRequest = decode_request_frame(&frame, &header).expect("walked");
        assert_eq!(
            (
                request.max_wait_ms,
                request.min_bytes,
                request.max_bytes,
                request.isolation_level
            ),
            (
                decoded.max_wait_ms,
                decoded.min_bytes,
                decoded.max_bytes,
                decoded.isolation_level
            ),
        );
        assert_eq!(request.rack_id, decoded.rack_id.as_str());
        assert_eq!(request.forgotten_count, decoded.forgotten_topics_data.len());
        let theirs = decoded.topics.iter().flat_map(|topic| {
            let key = match all.first() {
                Some((TopicKey::Id(_), ..)) => TopicKey::Id(*topic.topic_id.as_bytes()),
                _ => TopicKey::Name(topic.topic.as_str()),
            };
            topic
                .partitions
                .iter()
                .map(move |it| (key, it.partition, it.fetch_offset, it.partition_max_bytes))
        });
        assert_eq!(all, theirs.collect::<Vec<_>>());
    }

    for kept_one_in in [1, 2] {
        let mut ordinals = 0..;
        let mut out = Vec::new();
        let kept_count = request.keep_topics(
            &PATCH,
            |_, _| ordinals.next().unwrap_or(0_usize) % kept_one_in == 0,
            &mut out,
        );
        let expected = all
            .iter()
            .step_by(kept_one_in)
            .map(|(key, index, offset, bytes)| {
                (
                    *key,
                    *index,
                    *offset,
                    (*bytes).min(PATCH.partition_bytes_max),
                )
            });
        let kept = leaves(&out, &request);
        assert_eq!(partitions(&kept), expected.collect::<Vec<_>>());
        assert_eq!(kept_count, partitions(&kept).len());
    }
    if !request.needs_rewrite() {
        let mut patched = frame.clone();
        patch_in_place(&mut patched, &request.layout, request.max_bytes, &PATCH);
        assert_eq!(partitions(&leaves(&patched, &request)), all);
    }
});

/// Reads what leaves, and checks all of it but its partitions.
fn leaves<'a>(frame: &'a [u8], asked: &FetchRequest<'_>) -> FetchRequest<'a> {
    let header = RequestHeader::parse(frame).expect("its own header");
    assert_eq!(header.correlation_id, 7);
    let request = FetchRequest::parse(frame, &header).expect("its own frame");
    assert!(!request.needs_rewrite() && !request.continues_session());
    assert_eq!((request.replica_id, request.session_epoch), (-1, -1));
    assert_eq!(
        request.max_bytes,
        asked.max_bytes.min(PATCH.response_bytes_max)
    );
    assert_eq!(
        (
            request.max_wait_ms,
            request.min_bytes,
            request.isolation_level,
            request.rack_id
        ),
        (
            asked.max_wait_ms,
            asked.min_bytes,
            asked.isolation_level,
            asked.rack_id
        ),
    );
    request
}

fn partitions<'a>(request: &FetchRequest<'a>) -> Vec<Partition<'a>> {
    let mut all = Vec::new();
    for topic in request.topics() {
        for partition in topic.partitions() {
            let at = partition.partition_max_bytes_at;
            assert_eq!(
                request.frame()[at..at + 4],
                partition.partition_max_bytes.to_be_bytes()
            );
            all.push((
                topic.key,
                partition.index,
                partition.fetch_offset,
                partition.partition_max_bytes,
            ));
        }
    }
    all
}
