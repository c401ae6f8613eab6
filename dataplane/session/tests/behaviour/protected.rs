//! Writes to protected topics: approvals, and the order of an idempotent producer around them.

use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use sluice_evidence::{ItemFlags, Kind};
use sluice_session::environment::Standing;

use crate::support::batch::{BatchSpec, idempotent, plain};
use crate::support::frames::{self, produce, produce_results, produced};
use crate::support::{Place, Rig, Round};

const PRODUCER: &str = "User:writer";

fn write(rig: &mut Rig, records: Vec<u8>) -> Round {
    rig.client(frames::request(
        9,
        1,
        &produce(-1, &[("payments", vec![(0, records)])]),
    ))
}

/// The answer made here to a write of one batch.
#[track_caller]
fn held(round: &Round) -> ProduceResponse {
    let (_, answer) = frames::decode_response::<ProduceRequest>(9, round.only_answer());
    answer
}

#[track_caller]
fn error(round: &Round) -> i16 {
    held(round).responses[0].partition_responses[0].error_code
}

#[track_caller]
fn message(round: &Round) -> String {
    held(round).responses[0].partition_responses[0]
        .error_message
        .as_ref()
        .unwrap()
        .to_string()
}

/// Forwarded, and answered by the broker.
#[track_caller]
fn assert_passes(rig: &mut Rig, round: &Round) {
    round.only_forwarded();
    let round = rig.broker(frames::response::<ProduceRequest>(
        9,
        1,
        &produced(&[("payments", vec![(0, 5)])]),
    ));
    assert_eq!(round.answers.len(), 1);
}

#[test]
fn an_unapproved_write_is_told_to_come_again_after_a_pause() {
    for version in 3..=12 {
        let mut rig = Rig::authenticated("writer");
        let request = produce(-1, &[("payments", vec![(0, plain(b"a"))])]);
        let round = rig.client(frames::request(version, 1, &request));
        let (_, answer) = frames::decode_response::<ProduceRequest>(version, round.only_answer());
        assert_eq!(
            produce_results(&answer),
            [("payments".to_owned(), 0, 19, -1)]
        );
        assert_eq!(answer.throttle_time_ms, 1_000);
        if version >= 8 {
            let message = answer.responses[0].partition_responses[0]
                .error_message
                .clone()
                .unwrap();
            assert!(message.contains("one-owner"), "{message}");
        }
        let asked = (
            PRODUCER.to_owned(),
            "payments".to_owned(),
            "one-owner".to_owned(),
        );
        assert_eq!(*rig.world.shared.asked.borrow(), [asked]);
        let fact = round.fact(Kind::ApprovalAsked);
        assert_eq!(
            (fact.principal.as_str(), fact.named()),
            (PRODUCER, vec![("payments", 0)])
        );
        assert!(!fact.denial_id.is_empty());
        assert!(!round.has_fact(Kind::Intent));
    }
}

#[test]
fn an_approver_out_of_reach_lets_nothing_through() {
    let mut rig = Rig::authenticated("writer");
    *rig.world.shared.standing.borrow_mut() = Standing::Unreachable;
    let round = write(&mut rig, plain(b"a"));
    assert_eq!(error(&round), 19);
    assert!(message(&round).contains("unreachable"));
}

#[test]
fn a_refusal_and_a_time_out_are_final() {
    for (standing, words) in [
        (Standing::Refused("not today".into()), "not today"),
        (Standing::TimedOut, "in time"),
    ] {
        let mut rig = Rig::authenticated("writer");
        *rig.world.shared.standing.borrow_mut() = standing;
        let round = write(&mut rig, plain(b"a"));
        assert_eq!(error(&round), 29);
        assert_eq!(held(&round).throttle_time_ms, 0);
        assert!(message(&round).contains(words));
        let fact = round.fact(Kind::Denied);
        assert_eq!(fact.reason_code, "approval-refused");
    }
}

#[test]
fn a_granted_write_goes_on_where_it_lies_and_says_so() {
    let mut rig = Rig::authenticated("writer");
    rig.world.grant(PRODUCER, "payments");
    let round = write(&mut rig, plain(b"a"));
    assert_eq!(round.only_forwarded().place, Place::InPlace);
    assert!(
        round
            .fact(Kind::Intent)
            .partition("payments", 0)
            .flags
            .contains(ItemFlags::GRANTED)
    );
    assert!(rig.world.shared.asked.borrow().is_empty());
}

#[test]
fn a_grant_covers_one_principal_one_topic_and_its_own_time() {
    let mut rig = Rig::authenticated("writer");
    rig.world.grant("User:other-writer", "payments");
    rig.world.grant(PRODUCER, "ledger");
    assert_eq!(error(&write(&mut rig, plain(b"a"))), 19);

    rig.world.grant(PRODUCER, "payments");
    rig.world.now_unix_s += 599;
    write(&mut rig, plain(b"a")).only_forwarded();
    rig.world.now_unix_s += 1;
    let round = write(&mut rig, plain(b"a"));
    assert_eq!(round.forwarded, [], "the window is over");
}

#[test]
fn a_grant_gives_no_right() {
    let mut rig = Rig::authenticated("reader");
    rig.world.grant("User:reader", "payments");
    let round = write(&mut rig, plain(b"a"));
    assert_eq!(error(&round), 29);
}

#[test]
fn later_batches_wait_until_the_refused_sequence_has_passed() {
    let mut rig = Rig::authenticated("writer");
    assert_eq!(error(&write(&mut rig, idempotent(5, 0))), 19);
    rig.world.grant(PRODUCER, "payments");

    let behind = write(&mut rig, idempotent(5, 3));
    assert_eq!(error(&behind), 19, "the grant came in between");
    assert!(message(&behind).contains("earlier batch"));
    assert_eq!(held(&behind).throttle_time_ms, 1_000);
    assert_eq!(error(&write(&mut rig, idempotent(5, 6))), 19);

    for sequence in [0, 3, 6] {
        let round = write(&mut rig, idempotent(5, sequence));
        assert_eq!(
            round
                .fact(Kind::Intent)
                .partition("payments", 0)
                .base_sequence,
            sequence
        );
        assert_passes(&mut rig, &round);
    }
}

#[test]
fn the_gate_holds_across_connections_and_not_across_partitions_or_producers() {
    let mut rig = Rig::authenticated("writer");
    assert_eq!(error(&write(&mut rig, idempotent(5, 0))), 19);
    rig.world.grant(PRODUCER, "payments");
    rig.reconnect("writer");
    assert_eq!(error(&write(&mut rig, idempotent(5, 3))), 19);
    let other_partition = produce(-1, &[("payments", vec![(1, idempotent(5, 3))])]);
    rig.client(frames::request(9, 1, &other_partition))
        .only_forwarded();
    write(&mut rig, idempotent(6, 3)).only_forwarded();
    write(&mut rig, plain(b"without an id")).only_forwarded();
}

#[test]
fn a_higher_epoch_starts_over_at_0() {
    let mut rig = Rig::authenticated("writer");
    let batch = |producer_epoch, base_sequence| {
        BatchSpec {
            producer_id: 5,
            producer_epoch,
            base_sequence,
            ..BatchSpec::default()
        }
        .of(&[b"a"])
    };
    assert_eq!(error(&write(&mut rig, batch(0, 40))), 19);
    rig.world.grant(PRODUCER, "payments");
    assert_eq!(error(&write(&mut rig, batch(1, 7))), 19);
    assert_eq!(error(&write(&mut rig, batch(0, 41))), 19);
    write(&mut rig, batch(1, 0)).only_forwarded();
    write(&mut rig, batch(1, 7)).only_forwarded();
}

#[test]
fn open_topics_of_the_same_request_go_on_at_once() {
    let mut rig = Rig::authenticated("writer");
    let request = produce(
        -1,
        &[
            ("payments", vec![(0, idempotent(5, 0))]),
            ("orders", vec![(0, idempotent(5, 0))]),
        ],
    );
    let round = rig.client(frames::request(9, 1, &request));
    let (_, sent) = frames::decode_request::<ProduceRequest>(&round.only_forwarded().bytes);
    assert_eq!(sent.topic_data.len(), 1);
    assert_eq!(sent.topic_data[0].name, frames::topic("orders"));
    assert!(round.has_fact(Kind::ApprovalAsked));
    let broker = produced(&[("orders", vec![(0, 5)])]).with_throttle_time_ms(20);
    let round = rig.broker(frames::response::<ProduceRequest>(9, 1, &broker));
    let (_, answer) = frames::decode_response::<ProduceRequest>(9, &round.answers[0].bytes);
    assert_eq!(
        produce_results(&answer),
        [
            ("payments".to_owned(), 0, 19, -1),
            ("orders".to_owned(), 0, 0, 5)
        ]
    );
    assert_eq!(answer.throttle_time_ms, 1_000, "the longer pause");
}

#[test]
fn a_hold_longer_than_a_second_pauses_for_a_second() {
    let policy = crate::support::world::POLICY.replace("hold: 1s", "hold: 50s");
    let mut rig = Rig::on(crate::support::World::new(&policy));
    rig.authenticate("writer");
    assert_eq!(held(&write(&mut rig, plain(b"a"))).throttle_time_ms, 1_000);
}
