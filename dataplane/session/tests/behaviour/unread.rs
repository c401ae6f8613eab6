//! What can be wrong with records that the gateway does not read: those that are written, and those that are read in the clear.
//! They pass as they are, cost nothing, and nothing is recorded of them that is not so.

use kafka_protocol::messages::{FetchRequest, ProduceRequest};
use sluice_evidence::{ItemFlags, Kind};
use sluice_kafka::codec::Codec;

use crate::support::batch::{BatchSpec, plain, values};
use crate::support::facts::Fact;
use crate::support::frames::{self, fetch, fetched, produce};
use crate::support::{Place, Rig};

/// What a batch with a value of so many bytes would take if it were decompressed.
const BOMB_BYTES: usize = 20 << 20;

/// Bombs by name: of nesting, and of each codec.
fn bombs() -> Vec<(String, Vec<u8>)> {
    let batch = |codec, value: &[u8]| {
        BatchSpec {
            codec,
            ..BatchSpec::default()
        }
        .of(&[value])
    };
    let nested = br#"[{"email":"#.repeat(1 << 18);
    let mut bombs = vec![("nesting".to_owned(), batch(Codec::None, &nested))];
    let zeros = vec![b'0'; BOMB_BYTES];
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        bombs.push((codec.name().to_owned(), batch(codec, &zeros)));
    }
    bombs
}

/// Answers a Fetch of `orders`, which the reader reads in the clear, with these records; what is recorded, once they passed.
#[track_caller]
fn passes(records: Vec<u8>) -> Fact {
    let frame =
        frames::response::<FetchRequest>(12, 3, &fetched(&[("orders", vec![(0, records)])]));
    let asked = || {
        let mut rig = Rig::authenticated("reader");
        rig.client(frames::request(12, 3, &fetch(&[("orders", vec![(0, 0)])])))
            .only_forwarded();
        rig
    };
    let round = asked().broker(frame.clone());
    assert_eq!((round.closed.as_ref(), round.masking_turns), (None, 0));
    let [answer] = &round.answers[..] else {
        panic!("{} answers", round.answers.len());
    };
    assert_eq!(answer.place, Place::Buffer);
    assert!(answer.bytes == frame, "it was changed");
    // The same if it goes on as it arrives.
    let (mut rig, half) = (asked(), frame.len() / 2);
    let (first, taken) = rig.broker_part(&frame[..half], frame.len());
    let taken = taken.expect("nothing in it has to change");
    let (last, _) = rig.broker_part(&frame[taken..], frame.len());
    assert_eq!((first.closed, last.closed.as_ref()), (None, None));
    let parts = first.answers.iter().chain(&last.answers);
    let parts: Vec<u8> = parts.flat_map(|part| part.bytes.clone()).collect();
    assert!(parts == frame, "it was changed on its way in parts");
    let outcome = round.fact(Kind::Outcome).clone();
    assert_eq!(last.fact(Kind::Outcome).items, outcome.items);
    outcome
}

#[test]
fn bombs_that_are_written_go_on_from_where_they_lie() {
    for (bomb, records) in bombs() {
        let mut rig = Rig::authenticated("writer");
        let crc = u32::from_be_bytes(records[17..21].try_into().unwrap());
        let request = produce(-1, &[("orders", vec![(0, records)])]);
        let frame = frames::request(9, 1, &request);
        let mut round = None;
        let taken = allocation_counter::measure(|| round = Some(rig.client(frame.clone())));
        let round = round.unwrap();
        let sent = round.only_forwarded();
        assert_eq!(sent.place, Place::Buffer, "{bomb}");
        assert!(sent.bytes == frame, "{bomb}");
        let intent = round.fact(Kind::Intent);
        assert_eq!(intent.partition("orders", 0).batch_crc, Some(crc));
        assert_not_unpacked(&bomb, taken.bytes_max, frame.len());
        let answer = frames::produced(&[("orders", vec![(0, 4)])]);
        let round = rig.broker(frames::response::<ProduceRequest>(9, 1, &answer));
        let outcome = round.fact(Kind::Outcome);
        assert_eq!(outcome.partition("orders", 0).first_offset, 4);
    }
}

#[test]
fn bombs_that_are_read_in_the_clear_pass_unread() {
    for (bomb, records) in bombs() {
        let records_bytes = records.len();
        let mut outcome = None;
        let taken = allocation_counter::measure(|| outcome = Some(passes(records)));
        assert_not_unpacked(&bomb, taken.bytes_max, records_bytes);
        let outcome = outcome.unwrap();
        let item = outcome.partition("orders", 0);
        assert!(item.flags.contains(ItemFlags::DELIVERED), "{bomb}");
        assert_eq!((item.records_count, item.masked), (1, false), "{bomb}");
    }
}

/// The frame and its copies on the way through the test are all that there is.
#[track_caller]
fn assert_not_unpacked(bomb: &str, bytes_max: u64, frame_bytes: usize) {
    let copies_bytes_max = 8 * frame_bytes as u64 + (1 << 20);
    assert!(
        bytes_max < copies_bytes_max,
        "{bomb}: {bytes_max} bytes for a frame of {frame_bytes}"
    );
}

#[test]
fn a_batch_in_the_clear_that_lies_of_its_length_passes_and_is_not_counted() {
    let good = plain(b"v");
    let length = i32::try_from(good.len() - 12).unwrap();
    for lie in [0, 1, 48, length + 1, i32::MAX, -1, i32::MIN] {
        let mut bad = BatchSpec {
            base_offset: 1,
            ..BatchSpec::default()
        }
        .of(&[b"w"]);
        bad[8..12].copy_from_slice(&lie.to_be_bytes());
        let outcome = passes([good.clone(), bad].concat());
        let item = outcome.partition("orders", 0);
        assert_eq!(
            (item.first_offset, item.last_offset, item.records_count),
            (0, 0, 1),
            "length {lie}"
        );
    }
}

/// Who reads it checks it: here it would cost a pass over every byte, and change nothing.
#[test]
fn a_batch_in_the_clear_with_a_wrong_crc_passes_as_it_is() {
    let mut bad = plain(b"v");
    bad[17] ^= 1;
    assert!(std::panic::catch_unwind(|| values(&bad)).is_err());
    let outcome = passes(bad);
    let item = outcome.partition("orders", 0);
    assert!(item.flags.contains(ItemFlags::DELIVERED));
    assert_eq!((item.last_offset, item.records_count), (0, 1));
}
