//! Long Fetch answers that go on as they arrive.

use kafka_protocol::messages::fetch_response::{FetchResponse, NodeEndpoint};
use kafka_protocol::messages::{BrokerId, FetchRequest};
use sluice_evidence::Kind;
use sluice_session::{Close, limits};

use crate::support::batch::{BatchSpec, plain};
use crate::support::frames::{self, fetch, fetch_results, fetched};
use crate::support::world::POLICY;
use crate::support::{Place, Random, Rig, Round};

const VERSIONS: std::ops::RangeInclusive<i16> = 4..=18;

fn asked(version: i16) -> Rig {
    let mut rig = Rig::authenticated("reader");
    let request = fetch(&[("orders", vec![(0, 100), (1, 7)]), ("clicks", vec![(0, 3)])]);
    rig.client(frames::request(version, 3, &request))
        .only_forwarded();
    rig
}

fn answer() -> FetchResponse {
    let batch = |base_offset, values: &[&[u8]]| {
        BatchSpec {
            base_offset,
            ..BatchSpec::default()
        }
        .of(values)
    };
    let long = [7_u8; 3_000];
    let mut records = batch(100, &[b"a", b"b", &long]);
    records.extend(batch(103, &[&long, b"d"]));
    fetched(&[
        ("orders", vec![(0, records), (1, vec![])]),
        ("clicks", vec![(0, batch(3, &[b"c"]))]),
    ])
}

/// Feeds a frame in parts whose lengths `cut` says, and gives what the client got and each round.
fn relay(rig: &mut Rig, frame: &[u8], mut cut: impl FnMut() -> usize) -> (Vec<u8>, Vec<Round>) {
    let (mut from, mut to) = (0, 0);
    let (mut client, mut rounds) = (Vec::new(), Vec::new());
    while from < frame.len() {
        assert!(to < frame.len(), "all is there and {from} bytes went on");
        to = (to + cut()).min(frame.len());
        let (round, taken) = rig.broker_part(&frame[from..to], frame.len());
        assert_eq!(round.closed, None);
        from += taken.expect("nothing in it has to change");
        for sent in &round.answers {
            assert_eq!(sent.place, Place::Buffer);
            client.extend_from_slice(&sent.bytes);
        }
        rounds.push(round);
    }
    (client, rounds)
}

#[test]
fn its_parts_are_the_frame_and_its_outcome_is_recorded_with_the_last() {
    let mut random = Random::printed(0x5EED);
    for version in VERSIONS {
        let frame = frames::response::<FetchRequest>(version, 3, &answer());
        for most in [1, 9, 100, 2_000, frame.len()] {
            let mut rig = asked(version);
            let (client, rounds) = relay(&mut rig, &frame, || 1 + random.below(most));
            assert_eq!(client, frame);
            let (last, before) = rounds.split_last().unwrap();
            assert!(before.iter().all(|round| round.facts.is_empty()));
            let outcome = last.fact(Kind::Outcome);
            assert_eq!(outcome.named(), [("orders", 0), ("clicks", 0)]);
            let item = outcome.partition("orders", 0);
            assert_eq!(
                (item.first_offset, item.last_offset, item.records_count),
                (100, 104, 5)
            );

            // The same as of the whole.
            let mut whole = asked(version);
            let round = whole.broker(frame.clone());
            assert_eq!(round.answers[0].bytes, frame);
            assert_eq!(round.fact(Kind::Outcome).items, outcome.items);
        }
    }
}

#[test]
fn no_session_and_no_broker_address_passes() {
    for version in 16..=18 {
        let endpoint = NodeEndpoint::default()
            .with_node_id(BrokerId(2))
            .with_host(frames::text("broker-2.internal"))
            .with_port(9_092);
        let answer = answer()
            .with_session_id(4_711)
            .with_node_endpoints(vec![endpoint]);
        let frame = frames::response::<FetchRequest>(version, 3, &answer);
        assert!(frame.windows(8).any(|found| found == b"internal"));
        let mut rig = asked(version);
        let (client, _) = relay(&mut rig, &frame, || 500);
        assert_eq!(client.len(), frame.len());
        assert!(!client.windows(8).any(|found| found == b"internal"));
        let (_, read) = frames::decode_response::<FetchRequest>(version, &client);
        assert_eq!(read.session_id, 0);
        assert!(read.node_endpoints.is_empty());
        assert_eq!(fetch_results(&read), fetch_results(&answer));
    }
}

#[test]
fn what_has_to_change_is_wanted_whole() {
    for (name, topics) in [
        (
            "masked",
            vec![("orders", vec![(0, 0)]), ("masked", vec![(0, 0)])],
        ),
        (
            "denied",
            vec![("orders", vec![(0, 0)]), ("hidden", vec![(0, 0)])],
        ),
    ] {
        let mut rig = Rig::authenticated("reader");
        rig.client(frames::request(12, 3, &fetch(&topics)))
            .only_forwarded();
        let frame = frames::response::<FetchRequest>(
            12,
            3,
            &fetched(&[("orders", vec![(0, plain(b"a"))])]),
        );
        for _ in 0..2 {
            let (round, taken) = rig.broker_part(&frame[..20], frame.len());
            assert_eq!((round.closed, taken), (None, None), "{name}");
            assert!(round.answers.is_empty());
        }
        let round = rig.broker(frame);
        assert_eq!(round.closed, None);
        assert_eq!(round.answers.len(), 1);
    }
}

#[test]
fn a_right_that_went_before_it_began_makes_it_wanted_whole() {
    let mut rig = asked(12);
    rig.world.apply(&POLICY.replace("orders", "elsewhere"));
    let frame = frames::response::<FetchRequest>(12, 3, &answer());
    let (_, taken) = rig.broker_part(&frame[..100], frame.len());
    assert_eq!(taken, None);
    let round = rig.broker(frame);
    let (_, read) = frames::decode_response::<FetchRequest>(12, &round.answers[0].bytes);
    assert!(fetch_results(&read).iter().any(|result| result.2 == 29));
}

#[test]
fn a_right_that_comes_back_does_not_undo_a_denial() {
    let mut rig = Rig::authenticated("reader");
    let request = fetch(&[("orders", vec![(0, 0)]), ("clicks", vec![(0, 0)])]);
    let policy = POLICY.replace("topics: [orders, clicks, masked", "topics: [orders, masked");
    rig.world.apply(&policy);
    rig.client(frames::request(12, 3, &request))
        .only_forwarded();
    rig.world.apply(POLICY);
    let frame =
        frames::response::<FetchRequest>(12, 3, &fetched(&[("orders", vec![(0, plain(b"a"))])]));
    assert_eq!(rig.broker_part(&frame[..20], frame.len()).1, None);
}

#[test]
fn a_right_that_goes_while_it_passes_ends_it() {
    let narrowed = POLICY.replace("topics: [orders, clicks, masked", "topics: [orders, masked");
    let masked = POLICY.replace("topics: [masked, masked-too]", "topics: [masked, orders]");
    let other = POLICY.replace("prefix: g-", "prefix: h-");
    for (policy, ends) in [(narrowed, true), (masked, true), (other, false)] {
        assert_ne!(policy, POLICY);
        let mut rig = asked(12);
        let frame = frames::response::<FetchRequest>(12, 3, &answer());
        let (_, taken) = rig.broker_part(&frame[..400], frame.len());
        let revision = rig.world.revision();
        rig.world.apply(&policy);
        let (round, _) = rig.broker_part(&frame[taken.unwrap()..], frame.len());
        assert_eq!(round.closed == Some(Close::PolicyNarrowed), ends);
        if ends {
            assert!(round.answers.is_empty());
            let facts = rig.closed(&Close::PolicyNarrowed);
            let outcome = facts
                .iter()
                .find(|fact| fact.kind == Kind::Outcome)
                .unwrap();
            assert_eq!(outcome.revision, revision, "by which it was read");
        } else {
            assert_eq!(round.answers.len(), 1);
        }
    }
}

#[test]
fn of_very_many_partitions_it_is_wanted_whole() {
    for (count, whole) in [
        (limits::RELAYED_PARTITIONS_MAX, false),
        (limits::RELAYED_PARTITIONS_MAX + 1, true),
    ] {
        let mut rig = Rig::authenticated("reader");
        let partitions = (0..i32::try_from(count).unwrap()).map(|index| (index, 0));
        let request = fetch(&[("orders", partitions.collect())]);
        rig.client(frames::request(12, 3, &request))
            .only_forwarded();
        let frame = frames::response::<FetchRequest>(12, 3, &answer());
        let (_, taken) = rig.broker_part(&frame[..20], frame.len());
        assert_eq!(taken.is_none(), whole);
    }
}

#[test]
fn answers_made_here_wait_until_it_has_passed() {
    let mut rig = asked(12);
    let denied = fetch(&[("hidden", vec![(0, 0)])]);
    let round = rig.client(frames::request(12, 4, &denied));
    assert!(round.answers.is_empty());
    let frame = frames::response::<FetchRequest>(12, 3, &answer());
    let (round, taken) = rig.broker_part(&frame[..200], frame.len());
    let taken = taken.unwrap();
    assert_eq!(round.answers.len(), 1);
    let (round, _) = rig.broker_part(&frame[taken..], frame.len());
    assert_eq!(round.answers.len(), 2);
    let (correlation_id, _) = frames::decode_response::<FetchRequest>(12, &round.answers[1].bytes);
    assert_eq!(correlation_id, 4);
}

#[test]
fn a_connection_that_ends_within_it_records_what_had_passed() {
    let mut rig = asked(12);
    let frame = frames::response::<FetchRequest>(12, 3, &answer());
    let (round, taken) = rig.broker_part(&frame[..400], frame.len());
    assert!(taken.is_some());
    assert!(round.facts.is_empty());
    let facts = rig.closed(&Close::BrokerClosed);
    let outcome = facts.iter().find(|fact| fact.kind == Kind::Outcome);
    let item = outcome.unwrap().partition("orders", 0);
    assert_eq!((item.first_offset, item.last_offset), (100, 102));
}

#[test]
fn what_does_not_belong_there_closes_the_session() {
    let frame = |correlation_id, answer: &FetchResponse| {
        frames::response::<FetchRequest>(12, correlation_id, answer)
    };
    let unasked = fetched(&[("orders", vec![(5, plain(b"a"))])]);
    let other = fetched(&[("hidden", vec![(0, plain(b"a"))])]);
    let mut cut = frame(3, &answer());
    cut.truncate(cut.len() - 1);
    for frame in [
        frame(4, &answer()),
        frame(3, &unasked),
        frame(3, &other),
        cut,
    ] {
        let mut rig = asked(12);
        let (round, _) = rig.broker_part(&frame, frame.len());
        assert!(
            matches!(round.closed, Some(Close::BrokerMalformed(_))),
            "{round:?}"
        );
        assert!(round.answers.is_empty());
    }
}
