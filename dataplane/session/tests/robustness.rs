//! Bytes that nobody meant: every truncation, thousands of mutations, frames of noise. Nothing panics, and whatever goes on
//! reads whole by kafka-protocol and names nothing that is denied.

mod support;

use std::collections::HashMap;

use kafka_protocol::messages::{DeleteTopicsRequest, FetchRequest, ProduceRequest};
use sluice_session::Close;

use support::samples::{Read, Sample, samples};
use support::{Random, Rig, Sent, frames};

const REQUEST_MUTATIONS_COUNT: usize = 2_000;
const RESPONSE_MUTATIONS_COUNT: usize = 400;

/// Metadata before version 4 cannot say that nothing shall be created: see `known_failing`.
fn is_served(sample: &Sample) -> bool {
    sample.api_key != 3 || sample.version >= 4
}

fn readers() -> HashMap<i16, Read> {
    samples()
        .into_iter()
        .map(|sample| (sample.api_key, sample.read_request))
        .collect()
}

/// Repairs the length field, as a client that frames correctly would.
fn reframed(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(frame.len().max(4), 0);
    let length = i32::try_from(frame.len() - 4).unwrap();
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

fn mutated(random: &mut Random, frame: &[u8]) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    for _ in 0..=random.below(3) {
        let at = 4 + random.below(bytes.len() - 4);
        match random.below(6) {
            0 => bytes[at] = random.byte(),
            1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[at] = *random.pick(&[0, 1, 0x7f, 0x80, 0xff]),
            3 => bytes.insert(at, random.byte()),
            4 if bytes.len() > 12 => drop(bytes.remove(at)),
            4 => {}
            _ => {
                // A piece of the frame again, or another length.
                let end = (at + random.below(9)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = 4 + random.below(bytes.len() - 4);
                bytes.splice(to..to, piece);
            }
        }
    }
    reframed(bytes)
}

/// What the broker gets is one whole request that kafka-protocol reads, without what `subject` may not name.
#[track_caller]
fn assert_sound(readers: &HashMap<i16, Read>, subject: &str, sent: &Sent) {
    let (key, version, _) = frames::head(&sent.bytes);
    let read = readers
        .get(&key)
        .unwrap_or_else(|| panic!("API {key} was forwarded"));
    read(&sent.bytes).unwrap_or_else(|why| {
        panic!(
            "API {key} version {version} forwarded: {why}: {:02x?}",
            sent.bytes
        )
    });
    let may_write = |name: &str| {
        subject == "writer" && ["orders", "clicks", "masked", "sealed"].contains(&name)
    };
    let may_read = |name: &str| {
        subject == "reader" && ["orders", "clicks", "masked", "masked-too"].contains(&name)
    };
    let may_delete =
        |name: &str| subject == "admin" && !["ledger", "sealed", "secret"].contains(&name);
    match key {
        0 => {
            let (header, request) = frames::decode_request::<ProduceRequest>(&sent.bytes);
            assert!(
                request
                    .topic_data
                    .iter()
                    .all(|topic| may_write(&frames::name_of(&topic.name, topic.topic_id))),
                "{request:?}"
            );
            assert_ne!(header.client_id, Some(frames::text("__admin_client")));
        }
        1 => {
            let (_, request) = frames::decode_request::<FetchRequest>(&sent.bytes);
            assert!(
                request
                    .topics
                    .iter()
                    .all(|topic| may_read(&frames::name_of(&topic.topic, topic.topic_id))),
                "{request:?}"
            );
            assert_eq!((request.replica_id.0, request.session_id), (-1, 0));
            assert!(request.forgotten_topics_data.is_empty());
        }
        20 => {
            let (_, request) = frames::decode_request::<DeleteTopicsRequest>(&sent.bytes);
            assert!(
                request.topic_names.iter().all(|name| may_delete(name)),
                "{request:?}"
            );
            assert!(
                request
                    .topics
                    .iter()
                    .flat_map(|topic| &topic.name)
                    .all(|name| may_delete(name)),
                "{request:?}"
            );
        }
        _ => {}
    }
}

/// The session closes for reasons of the client, not by a broken invariant of its own.
#[track_caller]
fn assert_clients_fault(closed: Option<&Close>, frame: &[u8]) {
    let Some(close) = closed else { return };
    let of_the_client = matches!(
        close,
        Close::ClientMalformed(_)
            | Close::ClientUnsupported { .. }
            | Close::ClientDeniedUnanswerable
    ) || matches!(close, Close::ClientAuthenticationFailed(_));
    assert!(of_the_client, "{close:?} for {frame:02x?}");
}

#[test]
fn every_sample_is_forwarded_and_answered() {
    let mut keys: Vec<i16> = Vec::new();
    for sample in samples().iter().filter(|sample| is_served(sample)) {
        let mut rig = Rig::authenticated(sample.subject);
        let round = rig.client(sample.request.clone());
        let sent = round.only_forwarded();
        (sample.read_request)(&sent.bytes).unwrap();
        let round = rig.broker(sample.response.clone());
        assert_eq!(
            round.closed, None,
            "API {} version {}",
            sample.api_key, sample.version
        );
        (sample.read_response)(sample.version, &round.answers[0].bytes).unwrap();
        keys.push(sample.api_key);
    }
    keys.dedup();
    keys.sort_unstable();
    keys.dedup();
    // Every API that is offered is among the samples.
    let mut offered: Vec<i16> = support::world::broker_offer()
        .narrowed()
        .ranges
        .iter()
        .map(|range| range.key)
        .filter(|key| ![17, 18, 36].contains(key))
        .collect();
    offered.sort_unstable();
    assert_eq!(keys, offered);
}

/// A denial must fit each version: a field that a version does not have would close the session instead.
#[test]
fn every_sample_is_denied_by_an_answer_in_its_own_version() {
    for sample in samples().iter().filter(|sample| is_served(sample)) {
        // The writer may read nothing, the reader may write nothing.
        for subject in ["reader", "writer", "admin", "clear-reader"] {
            let mut rig = Rig::authenticated(subject);
            let round = rig.client(sample.request.clone());
            let what = format!(
                "API {} version {} of {subject}",
                sample.api_key, sample.version
            );
            assert_eq!(round.closed, None, "{what}");
            for answer in &round.answers {
                (sample.read_response)(sample.version, &answer.bytes)
                    .unwrap_or_else(|why| panic!("{what}: {why}"));
                assert_eq!(answer.bytes[4..8], 1_i32.to_be_bytes(), "{what}");
            }
            assert_eq!(round.answers.len() + round.forwarded.len(), 1, "{what}");
        }
    }
}

#[test]
fn no_truncation_of_a_request_is_forwarded() {
    for sample in samples() {
        let mut rig = Rig::authenticated(sample.subject);
        for end in 0..sample.request.len() {
            let round = rig.client(reframed(sample.request[..end].to_vec()));
            let what = format!(
                "API {} version {} cut at {end}",
                sample.api_key, sample.version
            );
            assert!(
                round.closed.is_some() && round.forwarded.is_empty() && round.answers.is_empty(),
                "{what}: {round:?}"
            );
            assert_clients_fault(round.closed.as_ref(), &sample.request[..end]);
        }
        assert_eq!(rig.session.in_flight_count(), 0);
    }
}

#[test]
fn mutated_requests_never_panic_and_what_is_forwarded_is_sound() {
    let mut random = Random::printed(0x0bad_f00d_5e55_1001);
    let readers = readers();
    let (mut forwarded_count, mut closed_count) = (0, 0);
    for sample in samples().iter().filter(|sample| is_served(sample)) {
        let mut rig = Rig::authenticated(sample.subject);
        for _ in 0..REQUEST_MUTATIONS_COUNT {
            let frame = mutated(&mut random, &sample.request);
            let round = rig.client(frame);
            for sent in &round.forwarded {
                assert_sound(&readers, sample.subject, sent);
                forwarded_count += 1;
            }
            closed_count += usize::from(round.closed.is_some());
            if rig.session.in_flight_count() > 500 {
                rig.reconnect(sample.subject);
            }
        }
    }
    println!("forwarded {forwarded_count}, closed {closed_count}");
    assert!(
        forwarded_count > 10_000,
        "mutations that pass are tested too: {forwarded_count}"
    );
    assert!(closed_count > 10_000, "{closed_count}");
}

#[test]
fn noise_never_panics() {
    let mut random = Random::printed(0x0000_5e55_1002_aaaa);
    let readers = readers();
    for subject in ["writer", "reader", "admin"] {
        let mut rig = Rig::authenticated(subject);
        let mut unauthenticated = Rig::connected();
        for _ in 0..60_000 {
            let mut frame = vec![0; 4];
            if random.below(4) > 0 {
                // A header that is taken, so that the noise reaches the bodies.
                let key = i16::try_from(random.below(76)).unwrap();
                frame.extend(key.to_be_bytes());
                frame.extend(i16::try_from(random.below(13)).unwrap().to_be_bytes());
                frame.extend([0, 0, 0, 1, 0xff, 0xff, 0]);
            }
            let noise_bytes = random.below(120);
            let small = random.below(2) == 0;
            frame.extend((0..noise_bytes).map(|_| {
                if small {
                    u8::try_from(random.below(4)).unwrap()
                } else {
                    random.byte()
                }
            }));
            let frame = reframed(frame);
            for sent in &rig.client(frame.clone()).forwarded {
                assert_sound(&readers, subject, sent);
            }
            assert!(unauthenticated.client(frame).forwarded.is_empty());
            if rig.session.in_flight_count() > 500 {
                rig.reconnect(subject);
            }
        }
    }
}

#[test]
fn what_comes_back_of_a_cut_or_mutated_answer_is_whole_or_nothing() {
    let mut random = Random::printed(0x0bad_f00d_5e55_1003);
    let (mut passed_count, mut closed_count) = (0, 0);
    for sample in samples().iter().filter(|sample| is_served(sample)) {
        let mut rig = Rig::authenticated(sample.subject);
        let truncations =
            (0..sample.response.len()).map(|end| reframed(sample.response[..end].to_vec()));
        let mutations: Vec<_> = (0..RESPONSE_MUTATIONS_COUNT)
            .map(|_| mutated(&mut random, &sample.response))
            .collect();
        for (ordinal, frame) in truncations.chain(mutations).enumerate() {
            rig.client(sample.request.clone()).only_forwarded();
            let round = rig.broker(frame.clone());
            let what = format!(
                "API {} version {} answer {ordinal}: {frame:02x?}",
                sample.api_key, sample.version
            );
            if ordinal < sample.response.len() {
                assert!(round.closed.is_some(), "a cut answer passed: {what}");
            }
            for answer in &round.answers {
                (sample.read_response)(sample.version, &answer.bytes)
                    .unwrap_or_else(|why| panic!("{why}: {what}"));
                let shown = String::from_utf8_lossy(&answer.bytes);
                assert!(!shown.contains("\"email\":\"a@b.c\""), "{what}");
                passed_count += 1;
            }
            match &round.closed {
                None => assert_eq!(round.answers.len(), 1, "{what}"),
                Some(close) => {
                    closed_count += 1;
                    assert!(
                        matches!(close, Close::BrokerMalformed(_)),
                        "{close:?}: {what}"
                    );
                }
            }
            assert_eq!(rig.session.in_flight_count(), 0);
        }
    }
    println!("passed {passed_count}, closed {closed_count}");
    assert!(
        passed_count > 5_000 && closed_count > 5_000,
        "passed {passed_count}, closed {closed_count}"
    );
}
