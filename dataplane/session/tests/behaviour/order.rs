//! Answers leave in the order of requests, wherever they were made.

use kafka_protocol::messages::{
    ApiVersionsRequest, FetchRequest, ListGroupsRequest, ProduceRequest,
};
use sluice_session::Close;

use crate::support::batch::plain;
use crate::support::frames::{self, fetch, fetched, produce, produced};
use crate::support::{Random, Rig, Sent};

fn correlation_ids(answers: &[Sent]) -> Vec<i32> {
    answers
        .iter()
        .map(|sent| i32::from_be_bytes(sent.bytes[4..8].try_into().unwrap()))
        .collect()
}

fn forwarded(id: i32) -> Vec<u8> {
    frames::request(12, id, &fetch(&[("orders", vec![(0, 0)])]))
}

fn local(id: i32) -> Vec<u8> {
    frames::request(12, id, &fetch(&[("hidden", vec![(0, 0)])]))
}

fn answer(id: i32) -> Vec<u8> {
    frames::response::<FetchRequest>(12, id, &fetched(&[("orders", vec![(0, plain(b"v"))])]))
}

#[test]
fn an_answer_made_here_waits_for_the_brokers_before_it() {
    let mut rig = Rig::authenticated("reader");
    let round = rig.client_round(&[
        local(1),
        forwarded(2),
        local(3),
        local(4),
        forwarded(5),
        local(6),
    ]);
    assert_eq!(round.forwarded.len(), 2);
    assert_eq!(correlation_ids(&round.answers), [1]);
    assert_eq!(rig.session.in_flight_count(), 5);
    assert_eq!(correlation_ids(&rig.broker(answer(2)).answers), [2, 3, 4]);
    assert_eq!(correlation_ids(&rig.broker(answer(5)).answers), [5, 6]);
    assert_eq!(rig.session.in_flight_count(), 0);
}

#[test]
fn a_local_answer_that_came_later_does_not_overtake() {
    let mut rig = Rig::authenticated("reader");
    assert!(rig.client(forwarded(1)).answers.is_empty());
    assert!(
        rig.client(frames::request(0, 2, &ApiVersionsRequest::default()))
            .answers
            .is_empty()
    );
    assert!(rig.client(local(3)).answers.is_empty());
    assert_eq!(correlation_ids(&rig.broker(answer(1)).answers), [1, 2, 3]);
}

#[test]
fn random_interleavings_keep_the_order() {
    let mut random = Random::printed(0x0de5_0f7e_1e55_0001);
    for _ in 0..300 {
        let mut rig = Rig::authenticated("reader");
        let (mut id, mut awaited, mut seen) = (0, std::collections::VecDeque::new(), Vec::new());
        for _ in 0..30 {
            if random.below(3) == 0 {
                if let Some(next) = awaited.pop_front() {
                    seen.extend(correlation_ids(&rig.broker(answer(next)).answers));
                }
                continue;
            }
            let batch: Vec<Vec<u8>> = (0..=random.below(4))
                .map(|_| {
                    id += 1;
                    match random.below(3) {
                        0 => local(id),
                        1 => frames::request(0, id, &ApiVersionsRequest::default()),
                        _ => {
                            awaited.push_back(id);
                            forwarded(id)
                        }
                    }
                })
                .collect();
            seen.extend(correlation_ids(&rig.client_round(&batch).answers));
        }
        for next in awaited {
            seen.extend(correlation_ids(&rig.broker(answer(next)).answers));
        }
        assert_eq!(seen, (1..=id).collect::<Vec<_>>());
    }
}

#[test]
fn correlation_ids_may_repeat() {
    let mut rig = Rig::authenticated("reader");
    let round = rig.client_round(&[forwarded(7), forwarded(7), local(7)]);
    assert_eq!(round.forwarded.len(), 2);
    assert_eq!(rig.broker(answer(7)).answers.len(), 1);
    assert_eq!(rig.broker(answer(7)).answers.len(), 2);
}

#[test]
fn an_answer_out_of_order_or_to_nothing_closes() {
    let mut rig = Rig::authenticated("reader");
    assert!(matches!(
        rig.broker(answer(1)).closed,
        Some(Close::BrokerMalformed(_))
    ));
    let mut rig = Rig::authenticated("reader");
    rig.client_round(&[forwarded(1), forwarded(2)]);
    assert!(matches!(
        rig.broker(answer(2)).closed,
        Some(Close::BrokerMalformed(_))
    ));
    // Nor may a broker answer what was answered here.
    let mut rig = Rig::authenticated("reader");
    rig.client_round(&[forwarded(1), local(2)]);
    assert_eq!(rig.broker(answer(1)).answers.len(), 2);
    assert!(matches!(
        rig.broker(answer(2)).closed,
        Some(Close::BrokerMalformed(_))
    ));
}

#[test]
fn an_answer_of_another_api_closes() {
    let mut rig = Rig::authenticated("reader");
    rig.client(forwarded(1)).only_forwarded();
    let other = frames::response::<ProduceRequest>(9, 1, &produced(&[("orders", vec![(0, 1)])]));
    assert!(matches!(
        rig.broker(other).closed,
        Some(Close::BrokerMalformed(_))
    ));
    let mut rig = Rig::authenticated("reader");
    rig.client(frames::request(5, 1, &ListGroupsRequest::default()))
        .only_forwarded();
    assert!(matches!(
        rig.broker(answer(1)).closed,
        Some(Close::BrokerMalformed(_))
    ));
}

#[test]
fn a_request_that_closes_does_not_take_back_what_went_before_it() {
    let mut rig = Rig::authenticated("writer");
    let write = produce(1, &[("orders", vec![(0, plain(b"v"))])]);
    let round = rig.client_round(&[frames::request(9, 1, &write), frames::raw(0, 9, 2, &[0xff])]);
    assert_eq!(round.forwarded.len(), 1);
    assert!(matches!(round.closed, Some(Close::ClientMalformed(_))));
}
