//! A mask changes what it names and nothing beside it: batches in which it finds nothing arrive as the broker stored them.

use kafka_protocol::messages::FetchRequest;
use sluice_evidence::Kind;
use sluice_kafka::codec::{Codec, Contexts};

use crate::support::Rig;
use crate::support::batch::{BatchSpec, values};
use crate::support::frames::{self, fetch, fetch_results, fetched};

const CODECS: [Codec; 5] = [
    Codec::None,
    Codec::Gzip,
    Codec::Snappy,
    Codec::Lz4,
    Codec::Zstd,
];
const EMAIL: &str = "ada@example.com";

/// A batch as no compressor here would write it, so that compressing it again would show: stored, not compressed, but in the
/// codec's format.
fn batch(codec: Codec, base_offset: i64, values: &[&[u8]]) -> Vec<u8> {
    let mut batch = BatchSpec {
        base_offset,
        ..BatchSpec::default()
    }
    .of(values);
    let plain = batch.split_off(61);
    let length = u32::try_from(plain.len()).unwrap();
    let (number, stored) = match codec {
        Codec::None => (0, plain),
        Codec::Gzip => {
            let mut gzip = Vec::new();
            let mut contexts = Contexts::default();
            codec.compress(&plain, &mut contexts, &mut gzip).unwrap();
            gzip[4..8].copy_from_slice(b"time");
            (1, gzip)
        }
        Codec::Snappy => {
            // The length in three digits of seven bits; then one literal of a length in four bytes.
            let digit = |at: u32| (length >> (7 * at)) as u8 & 0x7f;
            let length_of = [digit(0) | 0x80, digit(1) | 0x80, digit(2)];
            let literal = [&[63 << 2][..], &(length - 1).to_le_bytes()].concat();
            (2, [&length_of[..], &literal, &plain].concat())
        }
        Codec::Lz4 => {
            let header = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
            let block = (length | 1 << 31).to_le_bytes();
            (3, [&header[..], &block, &plain, &[0; 4]].concat())
        }
        Codec::Zstd => {
            let header = [0x28, 0xb5, 0x2f, 0xfd, 0xa0];
            let block = &(length << 3 | 1).to_le_bytes()[..3];
            (
                4,
                [&header[..], &length.to_le_bytes(), block, &plain].concat(),
            )
        }
    };
    batch.extend_from_slice(&stored);
    let length = i32::try_from(batch.len() - 12).unwrap();
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[22] = number;
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

#[test]
fn a_batch_without_a_named_field_arrives_byte_for_byte_in_every_codec() {
    let named = format!(r#"{{"email":"{EMAIL}"}}"#);
    let long = format!(
        r#"{{"id":4,"note":"{}"}}"#,
        "kept and kept again, ".repeat(300)
    );
    // Not named: another field, the same one further in, and in a string; spaces and escapes are nobody's to tidy.
    let without: [&[u8]; 5] = [
        br#"{"id":1,"mail":"ada@example.com"}"#,
        br#"{"id":2,"customer":{"email":"ada@example.com"}}"#,
        br#"{ "id" : 3e0, "note":"\u0065mail" , "x": "{\"email\":1}" }"#,
        long.as_bytes(),
        br#"[7]"#,
    ];
    for version in [4, 12, 13, 18] {
        for codec in CODECS {
            let before = batch(codec, 50, &without);
            let masked = batch(codec, 55, &[named.as_bytes(), without[0]]);
            let behind = batch(codec, 57, &without[2..]);
            let clear = batch(codec, 7, &[named.as_bytes()]);
            let stored = [before.clone(), masked, behind.clone()].concat();

            let mut rig = Rig::authenticated("reader");
            let asked = fetch(&[("masked", vec![(0, 50), (1, 50)]), ("orders", vec![(0, 7)])]);
            rig.client(frames::request(version, 3, &asked))
                .only_forwarded();
            let round = rig.broker(frames::response::<FetchRequest>(
                version,
                3,
                &fetched(&[
                    ("masked", vec![(0, stored), (1, before.clone())]),
                    ("orders", vec![(0, clear.clone())]),
                ]),
            ));
            assert_eq!(round.closed, None);
            let answer =
                frames::decode_response::<FetchRequest>(version, &round.answers[0].bytes).1;
            let results = fetch_results(&answer);
            let what = || format!("version {version}, {codec:?}");

            let (topic, _, error, records) = &results[0];
            assert_eq!((topic.as_str(), *error), ("masked", 0));
            let rewritten = records
                .strip_prefix(&before[..])
                .and_then(|rest| rest.strip_suffix(&behind[..]))
                .unwrap_or_else(|| panic!("a batch beside the masked one changed: {}", what()));
            let seen = values(rewritten);
            assert_eq!(seen.len(), 2);
            assert!(!String::from_utf8_lossy(&seen[0]).contains(EMAIL));
            assert_eq!(seen[1], without[0]);

            assert_eq!(
                results[1],
                ("masked".to_owned(), 1, 0, before),
                "{}",
                what()
            );
            assert_eq!(results[2], ("orders".to_owned(), 0, 0, clear), "{}", what());

            let outcome = round.fact(Kind::Outcome);
            let counts = |topic, partition| {
                let item = outcome.partition(topic, partition);
                (
                    item.masked,
                    item.masked_fields_count,
                    item.records_count,
                    item.last_offset,
                )
            };
            assert_eq!(counts("masked", 0), (true, 1, 10, 59));
            assert_eq!(counts("masked", 1), (true, 0, 5, 54));
            assert_eq!(counts("orders", 0), (false, 0, 1, 7));
        }
    }
}
