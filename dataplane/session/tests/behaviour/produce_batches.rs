//! What a Produce's record batches say of themselves: what the gateway looks at, and what it leaves to the broker.

use kafka_protocol::messages::ProduceRequest;
use sluice_evidence::Kind;

use crate::support::batch::plain;
use crate::support::frames::{self, produce, produce_results};
use crate::support::{Place, Rig};

const VERSIONS: std::ops::RangeInclusive<i16> = 3..=13;
const INVALID_RECORD: i16 = 87;
/// Where a batch says how many bytes follow, and the CRC of those from its attributes on.
const LENGTH_AT: std::ops::Range<usize> = 8..12;
const CRC_AT: std::ops::Range<usize> = 17..21;

fn saying(length: i32) -> Vec<u8> {
    let mut batch = plain(b"v");
    batch[LENGTH_AT].copy_from_slice(&length.to_be_bytes());
    batch
}

#[test]
fn a_batch_that_says_it_is_longer_or_shorter_than_it_is_is_refused_here() {
    let length = i32::try_from(plain(b"v").len() - 12).unwrap();
    for version in VERSIONS {
        for lie in [
            0,
            i32::MAX,
            i32::MIN,
            -1,
            48,
            49,
            length - 1,
            length + 1,
            length + 12,
        ] {
            let mut rig = Rig::authenticated("writer");
            let request = produce(-1, &[("orders", vec![(0, saying(lie))])]);
            let round = rig.client(frames::request(version, 1, &request));
            let answer = frames::decode_response::<ProduceRequest>(version, round.only_answer()).1;
            assert_eq!(
                produce_results(&answer),
                [("orders".to_owned(), 0, INVALID_RECORD, -1)],
                "version {version}, length {lie} instead of {length}"
            );
            let denied = round.fact(Kind::Denied);
            assert_eq!(denied.reason_code, "invalid-record");
            assert_eq!(denied.named(), [("orders", 0)]);
            assert!(!round.has_fact(Kind::Intent));
        }
    }
}

#[test]
fn a_batch_of_a_wrong_length_does_not_hold_up_the_ones_beside_it() {
    let good = plain(b"v");
    for lie in [0, i32::MAX] {
        let mut rig = Rig::authenticated("writer");
        let partitions = vec![(0, saying(lie)), (1, good.clone())];
        let request = produce(-1, &[("orders", partitions)]);
        let round = rig.client(frames::request(12, 1, &request));
        let sent = frames::decode_request::<ProduceRequest>(&round.only_forwarded().bytes).1;
        let kept = &sent.topic_data[0].partition_data;
        assert_eq!(kept.len(), 1);
        assert_eq!(
            (kept[0].index, kept[0].records.as_deref()),
            (1, Some(&good[..]))
        );
    }
}

/// The broker computes the CRC of each batch before it appends it; here no record of a Produce is read, so the sum would protect
/// nothing and cost a pass over every byte.
#[test]
fn a_wrong_crc_goes_on_as_it_is_because_the_broker_checks_it_before_it_appends() {
    for version in VERSIONS {
        let mut batch = plain(b"v");
        let crc = u32::from_be_bytes(batch[CRC_AT].try_into().unwrap()) ^ 1;
        batch[CRC_AT].copy_from_slice(&crc.to_be_bytes());
        let mut rig = Rig::authenticated("writer");
        let request = produce(-1, &[("orders", vec![(0, batch)])]);
        let frame = frames::request(version, 1, &request);
        let round = rig.client(frame.clone());
        let sent = round.only_forwarded();
        assert_eq!((sent.place, &sent.bytes), (Place::Buffer, &frame));
        // Evidence is of what was sent.
        let intent = round.fact(Kind::Intent);
        assert_eq!(intent.partition("orders", 0).batch_crc, Some(crc));

        // And what the broker says to it reaches the client and the outcome.
        const CORRUPT_MESSAGE: i16 = 2;
        let mut answer = frames::produced(&[("orders", vec![(0, -1)])]);
        answer.responses[0].partition_responses[0].error_code = CORRUPT_MESSAGE;
        let round = rig.broker(frames::response::<ProduceRequest>(version, 1, &answer));
        let read = frames::decode_response::<ProduceRequest>(version, &round.answers[0].bytes).1;
        assert_eq!(
            produce_results(&read),
            [("orders".to_owned(), 0, CORRUPT_MESSAGE, -1)]
        );
        let outcome = round.fact(Kind::Outcome).partition("orders", 0).clone();
        assert_eq!(outcome.error_code, CORRUPT_MESSAGE);
    }
}
