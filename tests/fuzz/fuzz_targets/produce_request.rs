//! The view of Produce requests: it accepts exactly what the table-driven walk accepts, sees what the decoder of
//! kafka-protocol sees, and a frame that it writes anew holds the partitions that were to be kept, in order, and no tag.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_fuzz::apis::{structs, versioned};
use sluice_fuzz::framed;
use sluice_kafka::RequestHeader;
use sluice_kafka::api::PRODUCE;
use sluice_kafka::messages::decode_request_frame;
use sluice_kafka::shape::check_request;
use sluice_kafka::views::{ProduceRequest, TopicKey};

type Partition<'a> = (TopicKey<'a>, i32, Option<&'a [u8]>);

// Version, then everything behind the correlation id.
fuzz_target!(|input: &[u8]| {
    let Some((version, rest)) = versioned(PRODUCE, input) else {
        return;
    };
    let head = [PRODUCE.to_be_bytes(), version.to_be_bytes()].concat();
    let frame = framed(&[&head[..], &[0, 0, 0, 7], rest].concat());
    let Ok(header) = RequestHeader::parse(&frame) else {
        return;
    };
    let walked = check_request(PRODUCE, version, &frame[header.body_at..]);
    let parsed = ProduceRequest::parse(&frame, &header);
    assert_eq!(parsed.is_ok(), walked.is_ok(), "{parsed:?} {walked:?}");
    let Ok(request) = parsed else { return };
    let all = partitions(&request);
    assert_eq!(request.topics().count(), request.topics_count.count);

    let decoded: structs::ProduceRequest = decode_request_frame(&frame, &header).expect("walked");
    assert_eq!(
        (request.acks, request.timeout_ms),
        (decoded.acks, decoded.timeout_ms)
    );
    assert_eq!(
        request.transactional_id,
        decoded.transactional_id.as_ref().map(|id| id.as_str())
    );
    let theirs = decoded.topic_data.iter().flat_map(|topic| {
        let key = match all.first() {
            Some((TopicKey::Id(_), ..)) => TopicKey::Id(*topic.topic_id.as_bytes()),
            _ => TopicKey::Name(topic.name.as_str()),
        };
        topic
            .partition_data
            .iter()
            .map(move |partition| (key, partition.index, partition.records.as_deref()))
    });
    assert_eq!(all, theirs.collect::<Vec<_>>());

    for kept_one_in in [1, 2, usize::MAX] {
        let mut ordinals = 0..;
        let mut out = Vec::new();
        let keeps = |ordinal: usize| ordinal % kept_one_in == 0 && kept_one_in < usize::MAX;
        let kept_count = request.keep_topics(|_, _| keeps(ordinals.next().unwrap_or(0)), &mut out);
        let expected: Vec<Partition<'_>> = (0..)
            .zip(&all)
            .filter(|(at, _)| keeps(*at))
            .map(|(_, it)| *it)
            .collect();
        let header = RequestHeader::parse(&out).expect("its own header");
        assert_eq!(header.correlation_id, 7);
        let kept = ProduceRequest::parse(&out, &header).expect("its own frame");
        assert_eq!(
            (partitions(&kept), kept_count),
            (expected.clone(), expected.len())
        );
        assert!(!kept.has_unknown_tags());
        assert_eq!(
            (kept.transactional_id, kept.acks),
            (request.transactional_id, request.acks)
        );
    }
});

fn partitions<'a>(request: &ProduceRequest<'a>) -> Vec<Partition<'a>> {
    let mut all = Vec::new();
    for topic in request.topics() {
        for partition in topic.partitions() {
            if let Some(records) = partition.records {
                let end = partition.records_at + records.len();
                assert_eq!(&request.frame()[partition.records_at..end], records);
            }
            all.push((topic.key, partition.index, partition.records));
        }
    }
    all
}
