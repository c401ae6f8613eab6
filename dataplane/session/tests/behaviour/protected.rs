//! Writes to protected topics: approvals, and the order of an idempotent producer around them.

use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use sluice_evidence::{ItemFlags, Kind};
use sluice_session::Session;
use sluice_session::environment::Standing;
use sluice_session::limits::{ORDER_GATE_ENTRIES_MAX, PRODUCER_IDS_MAX};
use sluice_session::order_gate::{self, Stream};
use uuid::Uuid;

use crate::support::batch::{BatchSpec, idempotent, plain};
use crate::support::frames::{self, produce, produce_results, produced};
use crate::support::world::START_UNIX_S;
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
    assert_eq!(round.only_forwarded().place, Place::Buffer);
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

/// A write to `payments` under this id, by the version that names topics so.
fn write_by_id(rig: &mut Rig, id: Uuid, records: Vec<u8>) -> Round {
    let mut request = produce(-1, &[("payments", vec![(0, records)])]);
    request.topic_data[0].topic_id = id;
    rig.client(frames::request(13, 1, &request))
}

fn error_by_id(round: &Round) -> i16 {
    let (_, answer) = frames::decode_response::<ProduceRequest>(13, round.only_answer());
    answer.responses[0].partition_responses[0].error_code
}

/// A topic that was created again is another one: brokers will not take what is written under the old id.
#[test]
fn a_batch_under_a_stale_id_does_not_release_the_refused_sequence() {
    let mut rig = Rig::authenticated("writer");
    let (stale, new) = (frames::topic_id("payments"), Uuid::from_u128(0xfeed));
    let learn = |rig: &Rig| {
        let mut ids = rig.world.shared.topic_ids.borrow_mut();
        ids.learn(new.into_bytes(), "payments");
    };
    learn(&rig);
    assert_eq!(
        error_by_id(&write_by_id(&mut rig, new, idempotent(5, 0))),
        19
    );
    rig.world.grant(PRODUCER, "payments");
    write_by_id(&mut rig, stale, idempotent(5, 0)).only_forwarded();
    rig.reconnect("writer");
    assert_eq!(
        error_by_id(&write_by_id(&mut rig, new, idempotent(5, 3))),
        19
    );
    write_by_id(&mut rig, new, idempotent(5, 0)).only_forwarded();
    write_by_id(&mut rig, new, idempotent(5, 3)).only_forwarded();
}

/// A partition may move to a broker that speaks another version while a write waits.
#[test]
fn a_stream_is_the_same_whether_its_topic_is_named_or_given_by_id() {
    let id = frames::topic_id("payments");
    for by_name_first in [true, false] {
        let mut rig = Rig::authenticated("writer");
        if by_name_first {
            assert_eq!(error(&write(&mut rig, idempotent(5, 0))), 19);
        } else {
            assert_eq!(
                error_by_id(&write_by_id(&mut rig, id, idempotent(5, 0))),
                19
            );
        }
        rig.world.grant(PRODUCER, "payments");
        assert_eq!(error(&write(&mut rig, idempotent(5, 3))), 19);
        assert_eq!(
            error_by_id(&write_by_id(&mut rig, id, idempotent(5, 3))),
            19
        );
        if by_name_first {
            write_by_id(&mut rig, id, idempotent(5, 0)).only_forwarded();
        } else {
            write(&mut rig, idempotent(5, 0)).only_forwarded();
        }
        rig.reconnect("writer");
        write(&mut rig, idempotent(5, 3)).only_forwarded();
    }
}

/// What waits must be remembered, or what follows it would pass it by. Where there is no room nothing waits.
#[test]
fn a_full_gate_refuses_what_would_wait_for_good_and_lets_granted_writes_pass() {
    let mut rig = Rig::authenticated("writer");
    let now_ms = rig.world.now_unix_s * 1_000;
    for n in 0..i64::try_from(ORDER_GATE_ENTRIES_MAX).unwrap() {
        let mut gate = rig.world.shared.gate.borrow_mut();
        assert!(gate.refused(stream(n), 0, 0, now_ms));
    }
    let round = write(&mut rig, idempotent(1_000_005, 0));
    assert_eq!(
        error(&round),
        29,
        "not `again`: it could not be kept in order"
    );
    assert!(message(&round).contains("room"), "{}", message(&round));
    assert_eq!(round.fact(Kind::Denied).reason_code, "order-gate-full");
    rig.world.grant(PRODUCER, "payments");
    write(&mut rig, idempotent(1_000_005, 3)).only_forwarded();

    // Nobody retries the others any more.
    rig.reconnect("other-writer");
    rig.world.shared.gate.borrow_mut().expire(now_ms + 1);
    assert_eq!(error(&write(&mut rig, idempotent(1_000_006, 0))), 19);
}

fn stream(producer_id: i64) -> Stream {
    Stream {
        producer_id,
        topic: order_gate::Topic::Name("elsewhere".into()),
        partition: 0,
    }
}

/// Whose owner is forgotten may be taken by anybody. So nobody is while brokers may still know the producer.
#[test]
fn a_full_table_of_producer_ids_forgets_who_is_idle_for_longer_than_brokers_remember() {
    let mut rig = Rig::authenticated("writer");
    let start_ms = rig.world.now_unix_s * 1_000;
    rig.world.grant(PRODUCER, "payments");
    let learn = |rig: &Rig, id, principal| {
        let mut ids = rig.world.shared.producer_ids.borrow_mut();
        ids.learn(id, principal, start_ms);
    };
    learn(&rig, 5, PRODUCER);
    let round = write(&mut rig, idempotent(5, 0));
    assert_passes(&mut rig, &round);
    for n in 0..i64::try_from(PRODUCER_IDS_MAX).unwrap() {
        learn(&rig, n + 10, "User:idle");
    }
    let hours = |n: i64| n * 3_600;
    // In use all along: a session that goes on for days keeps its id.
    let mut other = Session::new(9 << 96, "192.0.2.9:40000".into(), None);
    for hour in 1..=26 {
        rig.world.now_unix_s = START_UNIX_S + hours(hour);
        rig.world.grant(PRODUCER, "payments");
        rig.authenticate("writer");
        let round = write(&mut rig, idempotent(5, 0));
        assert_passes(&mut rig, &round);
        std::mem::swap(&mut rig.session, &mut other);
        rig.authenticate("other-writer");
        let room = if hour < 25 { 29 } else { 19 };
        assert_eq!(
            error(&write(&mut rig, idempotent(3, 0))),
            room,
            "hour {hour}"
        );
        let owned = error(&write(&mut rig, idempotent(5, 3)));
        assert_eq!(owned, 29, "hour {hour}: still the writer's");
        std::mem::swap(&mut rig.session, &mut other);
    }
}
