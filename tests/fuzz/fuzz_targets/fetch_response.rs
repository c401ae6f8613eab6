//! The view of Fetch responses: it accepts what the table-driven walk accepts and sees what the decoder sees; rebuilt, it
//! holds the records that were to be held; merged, every partition that was asked, once, denied where it was denied.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sluice_fuzz::apis::{structs, versioned};
use sluice_fuzz::framed;
use sluice_kafka::ErrorCode;
use sluice_kafka::api::FETCH;
use sluice_kafka::header::parse_response_header;
use sluice_kafka::messages::decode_response_frame;
use sluice_kafka::shape::check_response;
use sluice_kafka::views::fetch_response::{keep_records, merge};
use sluice_kafka::views::{Denial, FetchResponse, MergeEntry, RecordsVerdict, TopicKey};

/// Topic, partition, error, high watermark, records.
type Partition<'a> = (TopicKey<'a>, i32, ErrorCode, i64, &'a [u8]);

const DENIED: ErrorCode = ErrorCode(29);

// Version, then the frame without its length.
fuzz_target!(|input: &[u8]| {
    let Some((version, content)) = versioned(FETCH, input) else {
        return;
    };
    let frame = framed(content);
    let Ok((correlation_id, body_at)) = parse_response_header(&frame, FETCH, version) else {
        return;
    };
    let walked = check_response(FETCH, version, &frame[body_at..]);
    let parsed = FetchResponse::parse(&frame, version);
    // The walk looks into the tagged fields that are defined, which the view only leaves out.
    assert!(walked.is_err() || parsed.is_ok(), "{parsed:?} {walked:?}");
    let Ok(response) = parsed else { return };
    assert_eq!(response.correlation_id, correlation_id);
    let all = partitions(&response);
    if let Ok((_, decoded)) =
        decode_response_frame::<structs::FetchRequest>(&Bytes::from(frame.clone()), version)
    {
        let theirs = decoded.responses.iter().flat_map(|topic| {
            let key = match all.first() {
                Some((TopicKey::Id(_), ..)) => TopicKey::Id(*topic.topic_id.as_bytes()),
                _ => TopicKey::Name(topic.topic.as_str()),
            };
            topic.partitions.iter().map(move |it| {
                let records = it.records.as_deref().unwrap_or_default();
                (
                    key,
                    it.partition_index,
                    ErrorCode(it.error_code),
                    it.high_watermark,
                    records,
                )
            })
        });
        assert_eq!(all, theirs.collect::<Vec<_>>());
    }

    // Every third partition's records are kept, replaced, or an error in their place.
    let mut ordinals = 0..;
    let mut out = Vec::new();
    response.rebuild(
        |_, _, records, out| match ordinals.next().unwrap_or(0_usize) % 3 {
            0 => RecordsVerdict::Keep,
            1 => {
                out.extend(records.iter().rev().chain(records));
                RecordsVerdict::Replaced
            }
            _ => {
                out.extend_from_slice(records);
                RecordsVerdict::Error(DENIED)
            }
        },
        &mut out,
    );
    let rebuilt = FetchResponse::parse(&out, version).expect("its own frame");
    assert_eq!(
        (rebuilt.session_id, rebuilt.may_carry_addresses()),
        (0, false)
    );
    assert_eq!(
        (rebuilt.error, rebuilt.throttle_time_ms),
        (response.error, response.throttle_time_ms)
    );
    let found = partitions(&rebuilt);
    assert_eq!(found.len(), all.len());
    let mut ordinal = 0;
    for (found, original) in found.iter().zip(&all) {
        if original.4.is_empty() {
            assert_eq!(found, original);
            continue;
        }
        match ordinal % 3 {
            0 => assert_eq!(found, original),
            1 => {
                let replaced: Vec<u8> =
                    original.4.iter().rev().chain(original.4).copied().collect();
                assert_eq!(
                    *found,
                    (
                        original.0,
                        original.1,
                        original.2,
                        original.3,
                        &replaced[..]
                    )
                );
            }
            _ => assert_eq!(*found, (original.0, original.1, DENIED, -1, &[][..])),
        }
        ordinal += 1;
    }

    // Asked: what was answered, every third denied, and one partition that the broker left out.
    let denial = Denial {
        error: DENIED,
        message: None,
    };
    let mut entries: Vec<MergeEntry<'_>> = (0..)
        .zip(&all)
        .map(|(at, (topic, partition, ..))| MergeEntry {
            topic: *topic,
            partition: *partition,
            denial: (at % 3 == 2).then_some(denial),
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
    for entry in entries.iter().filter(|_| response.error == ErrorCode::NONE) {
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
            _ if denied => (entry.topic, entry.partition, DENIED, -1, &[]),
            Some(answered) => *answered,
            None => (
                entry.topic,
                entry.partition,
                ErrorCode::UNKNOWN_SERVER_ERROR,
                -1,
                &[],
            ),
        });
    }
    let mut out = Vec::new();
    merge(
        version,
        9,
        100,
        Some(&response),
        &entries,
        keep_records,
        &mut out,
    );
    let merged = FetchResponse::parse(&out, version).expect("its own frame");
    assert_eq!(partitions(&merged), expected);
    assert_eq!((merged.correlation_id, merged.error), (9, response.error));
    assert_eq!(
        (merged.session_id, merged.may_carry_addresses()),
        (0, false)
    );
    assert_eq!(merged.throttle_time_ms, response.throttle_time_ms.max(100));
});

fn partitions<'a>(response: &FetchResponse<'a>) -> Vec<Partition<'a>> {
    let mut all = Vec::new();
    for topic in response.topics() {
        for it in topic.partitions() {
            let records = response.records(&it).unwrap_or_default();
            all.push((topic.key, it.index, it.error, it.high_watermark, records));
        }
    }
    all
}
