//! Producer ids belong to the principal that got them.

use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProduceRequest};
use sluice_evidence::Kind;
use sluice_session::limits::PRODUCER_IDS_CLAIMED_MAX;
use sluice_session::producer_ids::Claim;

use crate::support::batch;
use crate::support::frames::{self, produce, produce_results, produced};
use crate::support::{Rig, Round};

fn write(producer_id: i64, sequence: i32) -> ProduceRequest {
    let records = batch::idempotent(producer_id, sequence);
    produce(-1, &[("orders", vec![(0, records)])])
}

/// Denied here, with the reason that is recorded.
#[track_caller]
fn assert_denied(round: &Round, reason: &str) {
    let (_, answer) = frames::decode_response::<ProduceRequest>(9, round.only_answer());
    assert_eq!(produce_results(&answer), [("orders".to_owned(), 0, 29, -1)]);
    let denied = round.fact(Kind::Denied);
    assert_eq!(denied.partition("orders", 0).reason_code, reason);
}

/// InitProducerId of one that goes on under this id.
fn goes_on(producer_id: i64) -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_producer_id(producer_id.into())
        .with_producer_epoch(0)
}

#[test]
fn a_producer_id_of_another_principal_is_denied() {
    let mut rig = Rig::authenticated("writer");
    rig.client(frames::request(
        4,
        1,
        &InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1),
    ))
    .only_forwarded();
    let given = InitProducerIdResponse::default()
        .with_producer_id(71.into())
        .with_producer_epoch(0);
    rig.broker(frames::response::<InitProducerIdRequest>(4, 1, &given));

    rig.reconnect("other-writer");
    let round = rig.client(frames::request(9, 1, &write(71, 0)));
    assert_denied(&round, "producer-id-not-owned");
    // Nor may it go on from where the other one stands.
    let round = rig.client(frames::request(4, 2, &goes_on(71)));
    let (_, answer) = frames::decode_response::<InitProducerIdRequest>(4, round.only_answer());
    assert_ne!(answer.error_code, 0);
    let denied = round.fact(Kind::Denied);
    assert_eq!(denied.reason_code, "producer-id-not-owned");
    assert!(denied.reason.contains("producer 71"), "{}", denied.reason);

    rig.reconnect("writer");
    rig.client(frames::request(9, 1, &write(71, 0)))
        .only_forwarded();
}

#[test]
fn a_producer_id_that_nobody_was_seen_to_get_belongs_to_its_first_user() {
    let mut rig = Rig::authenticated("writer");
    rig.client(frames::request(9, 1, &write(8, 0)))
        .only_forwarded();
    rig.reconnect("other-writer");
    let round = rig.client(frames::request(9, 1, &write(8, 3)));
    assert_denied(&round, "producer-id-not-owned");
}

#[test]
fn one_writer_has_room_for_so_many_invented_producer_ids_and_others_do_not_notice() {
    let mut rig = Rig::authenticated("writer");
    let now_ms = rig.world.now_unix_s * 1_000;
    for n in 0..i64::try_from(PRODUCER_IDS_CLAIMED_MAX).unwrap() {
        let mut ids = rig.world.shared.producer_ids.borrow_mut();
        assert_eq!(ids.claim(1_000 + n, "User:writer", now_ms), Claim::Owned);
    }
    let round = rig.client(frames::request(9, 1, &write(8, 0)));
    assert_denied(&round, "producer-ids-full");
    let round = rig.client(frames::request(4, 2, &goes_on(8)));
    let (_, answer) = frames::decode_response::<InitProducerIdRequest>(4, round.only_answer());
    assert_eq!(answer.error_code, 49);

    rig.reconnect("other-writer");
    rig.client(frames::request(9, 1, &write(8, 0)))
        .only_forwarded();
}

#[test]
fn a_producer_id_that_brokers_give_to_somebody_else_is_lost_at_the_next_write() {
    let mut rig = Rig::authenticated("writer");
    rig.client(frames::request(9, 1, &write(8, 0)))
        .only_forwarded();
    let orders = produced(&[("orders", vec![(0, 1)])]);
    rig.broker(frames::response::<ProduceRequest>(9, 1, &orders));
    let now_ms = rig.world.now_unix_s * 1_000;
    let mut ids = rig.world.shared.producer_ids.borrow_mut();
    ids.learn(8, "User:other-writer", now_ms);
    drop(ids);
    let round = rig.client(frames::request(9, 1, &write(8, 3)));
    assert_denied(&round, "producer-id-not-owned");
}
