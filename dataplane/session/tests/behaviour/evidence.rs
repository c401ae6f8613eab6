//! Evidence before effect: what each step leaves for an auditor, and that nothing leaves without it.

use kafka_protocol::messages::{FetchRequest, ProduceRequest};
use sluice_evidence::{ItemFlags, Kind};
use sluice_policy::Durability;
use sluice_session::{Close, Outbox, Piece};

use crate::support::batch::{BatchSpec, plain};
use crate::support::frames::{self, fetch, fetched, produce, produced};
use crate::support::{Rig, facts};

#[test]
fn nothing_is_given_out_before_it_is_released() {
    let mut rig = Rig::authenticated("writer");
    let mut out = Outbox::default();
    let mut frame = frames::request(9, 1, &produce(1, &[("orders", vec![(0, plain(b"v"))])]));
    rig.session
        .client_frame(&rig.world.environment(), 0, &mut frame, &mut out)
        .unwrap();
    assert!(out.forwards());
    assert!(out.pieces().is_empty());
    assert_eq!(facts::decode(out.evidence())[0].kind, Kind::Intent);
    assert!(out.durability() >= Durability::Written);
    rig.session.release(&mut out).unwrap();
    assert!(matches!(out.pieces(), [Piece::Read { start: 0, end }] if *end == frame.len()));
    rig.session.release(&mut out).unwrap();
    assert_eq!(out.pieces().len(), 1, "a piece is given out once");
}

#[test]
fn an_answer_made_here_waits_for_its_evidence() {
    let mut rig = Rig::authenticated("reader");
    let mut out = Outbox::default();
    let mut frame = frames::request(12, 1, &fetch(&[("hidden", vec![(0, 0)])]));
    rig.session
        .client_frame(&rig.world.environment(), 0, &mut frame, &mut out)
        .unwrap();
    assert_eq!(facts::decode(out.evidence())[0].kind, Kind::Denied);
    let mut answers = Outbox::default();
    rig.session.drain_answers(&mut answers);
    assert!(!answers.forwards(), "its evidence is not written yet");
    rig.session.release(&mut out).unwrap();
    assert!(out.pieces().is_empty());
    rig.session.drain_answers(&mut answers);
    rig.session.release(&mut answers).unwrap();
    assert_eq!(answers.pieces().len(), 1);
}

#[test]
fn a_release_of_an_empty_step_gives_nothing() {
    for mut rig in [Rig::connected(), Rig::authenticated("writer")] {
        let mut out = Outbox::default();
        rig.session.release(&mut out).unwrap();
        assert!(out.is_empty() && out.pieces().is_empty());
        rig.session.drain_answers(&mut out);
        assert!(out.is_empty());
    }
}

#[test]
fn a_step_that_is_cleared_leaves_nothing_behind() {
    let mut rig = Rig::authenticated("writer");
    let mut out = Outbox::default();
    let mut frame = frames::request(9, 1, &produce(1, &[("orders", vec![(0, plain(b"v"))])]));
    rig.session
        .client_frame(&rig.world.environment(), 0, &mut frame, &mut out)
        .unwrap();
    out.clear();
    assert!(out.is_empty());
    rig.session.release(&mut out).unwrap();
    assert!(out.pieces().is_empty());
}

#[test]
fn an_outcome_names_the_intent_that_it_answers() {
    let mut rig = Rig::authenticated("reader");
    let ask = |id, offset| {
        frames::request(
            12,
            id,
            &fetch(&[("orders", vec![(0, offset)]), ("masked", vec![(0, offset)])]),
        )
    };
    let round = rig.client_round(&[ask(1, 10), ask(2, 20), ask(3, 30)]);
    let intents: Vec<u64> = round
        .facts
        .iter()
        .filter(|fact| fact.kind == Kind::Intent)
        .map(|fact| fact.sequence)
        .collect();
    assert_eq!(intents.len(), 3);
    assert!(intents.windows(2).all(|pair| pair[0] < pair[1]));
    for (id, intent) in (1..).zip(intents) {
        let base_offset = i64::from(id) * 10;
        let records = |value: &[u8]| {
            BatchSpec {
                base_offset,
                ..BatchSpec::default()
            }
            .of(&[value])
        };
        let answer = fetched(&[
            ("orders", vec![(0, records(b"v"))]),
            ("masked", vec![(0, records(b"{}"))]),
        ]);
        let round = rig.broker(frames::response::<FetchRequest>(12, id, &answer));
        let outcome = round.fact(Kind::Outcome);
        assert_eq!(outcome.answers, Some(intent));
        assert_eq!(outcome.partition("orders", 0).last_offset, base_offset);
        assert_eq!(outcome.partition("masked", 0).last_offset, base_offset);
    }
}

#[test]
fn an_outcome_says_which_interval_was_written() {
    let mut rig = Rig::authenticated("writer");
    let records = BatchSpec {
        producer_id: 4,
        producer_epoch: 0,
        base_sequence: 9,
        ..BatchSpec::default()
    }
    .of(&[b"a", b"b"]);
    let write = produce(-1, &[("orders", vec![(0, records.clone()), (1, records)])]);
    let round = rig.client(frames::request(9, 1, &write));
    let item = round.fact(Kind::Intent).partition("orders", 1);
    assert_eq!(
        (item.producer_id, item.base_sequence, item.records_count),
        (4, 9, 2)
    );
    let mut answer = produced(&[("orders", vec![(0, 70), (1, -1)])]);
    answer.responses[0].partition_responses[1].error_code = 45;
    let round = rig.broker(frames::response::<ProduceRequest>(9, 1, &answer));
    let outcome = round.fact(Kind::Outcome);
    let item = outcome.partition("orders", 0);
    assert_eq!(
        (item.first_offset, item.last_offset, item.error_code),
        (70, 71, 0)
    );
    let item = outcome.partition("orders", 1);
    assert_eq!((item.first_offset, item.error_code), (-1, 45));
    assert!(!item.flags.contains(ItemFlags::DELIVERED));
}

#[test]
fn a_denial_has_one_id_in_the_record_and_in_the_message() {
    let mut rig = Rig::authenticated("reader");
    let mut ids = Vec::new();
    for id in 1..=3 {
        let write = produce(
            1,
            &[
                ("orders", vec![(0, plain(b"v"))]),
                ("hidden", vec![(1, plain(b"v"))]),
            ],
        );
        let round = rig.client(frames::request(9, id, &write));
        let denied = round.fact(Kind::Denied).clone();
        let (_, answer) = frames::decode_response::<ProduceRequest>(9, round.only_answer());
        for topic in &answer.responses {
            let message = topic.partition_responses[0].error_message.as_ref().unwrap();
            assert!(message.contains(&denied.denial_id), "{message}");
            assert!(
                message.contains("User:reader") && message.contains(topic.name.as_str()),
                "{message}"
            );
        }
        assert_eq!(denied.items.len(), 2);
        assert!(
            denied
                .items
                .iter()
                .all(|item| item.flags.contains(ItemFlags::DENIED))
        );
        ids.push(denied.denial_id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 3, "each denial has its own id");
}

#[test]
fn a_denial_names_the_role_that_would_permit_it_and_a_client_reads_it_only_of_what_it_may_see() {
    let mut rig = Rig::authenticated("reader");
    for (topic, seen) in [("orders", true), ("payments", false)] {
        let write = produce(1, &[(topic, vec![(0, plain(b"v"))])]);
        let round = rig.client(frames::request(9, 1, &write));
        let reason = &round.fact(Kind::Denied).reason;
        assert!(reason.contains("; role writer would permit it"), "{reason}");
        let (_, answer) = frames::decode_response::<ProduceRequest>(9, round.only_answer());
        let message = answer.responses[0].partition_responses[0]
            .error_message
            .clone()
            .unwrap();
        assert_eq!(message.contains("role writer"), seen, "{message}");
    }
}

#[test]
fn the_end_of_a_session_is_recorded_with_its_reason() {
    let mut rig = Rig::authenticated("reader");
    let facts = rig.closed(&Close::ClientClosed);
    assert_eq!(facts.len(), 1);
    assert_eq!(
        (facts[0].kind, facts[0].reason_code.as_str()),
        (Kind::SessionClosed, "client-closed")
    );
    assert_eq!(facts[0].principal, "User:reader");
    let facts = rig.closed(&Close::ClientMalformed("x".into()));
    assert_eq!(
        facts.iter().map(|fact| fact.kind).collect::<Vec<_>>(),
        [Kind::Rejected, Kind::SessionClosed]
    );
}

#[test]
fn a_client_id_is_kept_in_evidence_up_to_a_limit() {
    let mut rig = Rig::authenticated("reader");
    let long = "ü".repeat(5_000);
    let request = fetch(&[("orders", vec![(0, 0)])]);
    let round = rig.client(frames::request_as(Some(&long), 12, 1, &request));
    let kept = &round.fact(Kind::Intent).client_id;
    assert!(!kept.is_empty() && kept.len() <= sluice_session::limits::EVIDENCE_TEXT_BYTES_MAX);
    assert!(long.starts_with(kept.as_str()));
    round.only_forwarded();
}

#[test]
fn thousands_of_partitions_are_recorded_in_several_parts_and_none_is_left_out() {
    let mut rig = Rig::authenticated("reader");
    let partitions: Vec<(i32, i64)> = (0..5_000)
        .map(|index| (index, i64::from(index) * 3))
        .collect();
    let round = rig.client(frames::request(12, 1, &fetch(&[("orders", partitions)])));
    round.only_forwarded();
    let intents: Vec<_> = round
        .facts
        .iter()
        .filter(|fact| fact.kind == Kind::Intent)
        .collect();
    assert!(intents.len() > 1);
    assert!(
        (0..)
            .zip(&intents)
            .all(|(part, fact)| fact.part == part && fact.sequence == intents[0].sequence)
    );
    let named: Vec<i32> = intents
        .iter()
        .flat_map(|fact| &fact.items)
        .map(|item| item.partition)
        .collect();
    assert_eq!(named, (0..5_000).collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_recorded_goes_nowhere() {
    // A topic name longer than a record holds.
    let long = "t".repeat(40_000);
    let policy = crate::support::world::POLICY.replace(
        "topics: [orders, clicks, masked, masked-too]",
        "topics: [{prefix: \"t\"}, orders]",
    );
    let mut rig = Rig::on(crate::support::World::new(&policy));
    rig.authenticate("reader");
    let request = fetch(&[("orders", vec![(0, 0)]), (&long, vec![(0, 0)])]);
    let round = rig.client(frames::request(12, 1, &request));
    assert!(round.forwarded.is_empty() && round.answers.is_empty());
    assert!(round.closed.is_some());
}
