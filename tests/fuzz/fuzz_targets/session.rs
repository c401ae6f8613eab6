//! One session fed arbitrary frames of client and broker: it never breaks an invariant of its own, what goes on is a whole
//! request without a topic that its principal may not name, and no masked topic is delivered with its field in clear.
#![no_main]

#[path = "../../../dataplane/session/tests/support/mod.rs"]
mod support;

use std::cell::RefCell;
use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use sluice_fuzz::apis::{Request, structs};
use sluice_fuzz::{choice, framed, with_request_type};
use sluice_kafka::api::FETCH;
use sluice_kafka::codec::{Contexts, DecompressLimits};
use sluice_kafka::header::response_correlation_id;
use sluice_kafka::record_batch::{Records, batches};
use sluice_kafka::views::{FetchResponse, TopicKey};
use sluice_masking::{
    DomainKey, KeyRing, MaskPlan, MaskRule, SelfCheck, Target, TokenLength, TokenShape,
};
use sluice_session::Close;
use sluice_session::registry::TopicIds;
use uuid::Uuid;

use support::world::FakeShared;
use support::{Rig, Round, frames};

const SUBJECTS: [&str; 6] = ["", "writer", "reader", "clear-reader", "admin", "operator"];
const MASKED: [&str; 2] = ["masked", "masked-too"];

thread_local! {
    /// Policy is compiled once; the session and all that it leaves behind are new for each input.
    static RIG: RefCell<Option<Rig>> = RefCell::new(Some(Rig::connected()));
}

// The principal, then frames: a byte for the side, two for the length, the content.
fuzz_target!(|input: &[u8]| {
    let Some((subject, mut rest)) = choice(input, 6) else {
        return;
    };
    let subject = SUBJECTS[usize::from(subject)];
    let mut world = RIG.take().expect("it was put back").world;
    world.shared = FakeShared::default();
    let mut rig = Rig::on(world);
    if !subject.is_empty() {
        rig.authenticate(subject);
    }
    let mut asked = HashMap::new();
    while let Some((&[side, high, low], after)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([high, low])).min(after.len());
        let (content, after) = after.split_at(length);
        rest = after;
        let frame = framed(content);
        let round = if side % 2 == 0 {
            remember(&mut asked, &frame);
            let round = rig.client(frame);
            round.closed.iter().for_each(assert_clients_fault);
            round
        } else {
            let round = rig.broker(frame);
            round.closed.iter().for_each(assert_brokers_fault);
            round
        };
        check(
            &round,
            subject,
            &asked,
            &rig.world.shared.topic_ids.borrow(),
        );
        if let Some(close) = &round.closed {
            rig.closed(close);
            break;
        }
    }
    RIG.set(Some(rig));
});

/// Key and version of a request by its correlation id; `None` where an id was used for two kinds.
type Asked = HashMap<i32, Option<(i16, i16)>>;

fn remember(asked: &mut Asked, frame: &[u8]) {
    if frame.len() >= 12 {
        let (key, version, id) = frames::head(frame);
        let kind = asked.entry(id).or_insert(Some((key, version)));
        if *kind != Some((key, version)) {
            *kind = None;
        }
    }
}

fn assert_clients_fault(close: &Close) {
    let of_the_client = matches!(
        close,
        Close::ClientMalformed(_)
            | Close::ClientUnsupported { .. }
            | Close::ClientUnauthenticated { .. }
            | Close::ClientDeniedUnanswerable
            | Close::ClientAuthenticationFailed(_)
    );
    assert!(of_the_client, "{close:?}");
}

fn assert_brokers_fault(close: &Close) {
    assert!(matches!(close, Close::BrokerMalformed(_)), "{close:?}");
}

fn check(round: &Round, subject: &str, asked: &Asked, ids: &TopicIds) {
    for sent in &round.forwarded {
        assert!(!subject.is_empty(), "forwarded before it was authenticated");
        with_request_type!(frames::head(&sent.bytes).0, read(&sent.bytes));
        check_names(&sent.bytes, subject, ids);
    }
    if subject == "clear-reader" {
        return;
    }
    for answer in &round.answers {
        let id = response_correlation_id(&answer.bytes).expect("an answer has an id");
        if let Some(Some((FETCH, version))) = asked.get(&id) {
            check_masked(&answer.bytes, *version, ids);
        }
    }
}

fn read<T: Request>(frame: &[u8]) {
    if let Err(why) = frames::try_decode_request::<T>(frame) {
        panic!("forwarded: {why}");
    }
}

/// The name of a topic that a version names by name or by id. An id that is known keeps its name.
fn name_of<'a>(name: &'a str, id: Uuid, ids: &'a TopicIds) -> &'a str {
    if id.is_nil() {
        return name;
    }
    ids.name(id.as_bytes()).expect("an id that is known")
}

fn check_names(frame: &[u8], subject: &str, ids: &TopicIds) {
    match frames::head(frame).0 {
        0 => {
            let (_, request) = frames::decode_request::<structs::ProduceRequest>(frame);
            let allowed: &[&str] = match subject {
                "writer" => &["orders", "clicks", "masked", "sealed"],
                _ => &[],
            };
            for topic in &request.topic_data {
                let name = name_of(&topic.name, topic.topic_id, ids);
                assert!(allowed.contains(&name), "{request:?}");
            }
        }
        1 => {
            let (_, request) = frames::decode_request::<structs::FetchRequest>(frame);
            let allowed: &[&str] = match subject {
                "reader" => &["orders", "clicks", "masked", "masked-too"],
                "clear-reader" => &["orders", "masked"],
                "writer" => &["tx-input"],
                _ => &[],
            };
            for topic in &request.topics {
                let name = name_of(&topic.topic, topic.topic_id, ids);
                assert!(allowed.contains(&name), "{request:?}");
            }
            assert_eq!((request.replica_id.0, request.session_id), (-1, 0));
            assert!(request.forgotten_topics_data.is_empty());
        }
        20 => {
            let (_, request) = frames::decode_request::<structs::DeleteTopicsRequest>(frame);
            let kept = ["ledger", "sealed", "secret"];
            let states = request.topics.iter().map(|topic| {
                assert!(topic.name.is_some() || !topic.topic_id.is_nil());
                let name = topic.name.as_ref().map_or("", |name| name.as_str());
                name_of(name, topic.topic_id, ids)
            });
            let mut names = states.chain(request.topic_names.iter().map(|name| name.as_str()));
            let denied = names.any(|name| kept.contains(&name));
            assert!(subject == "admin" && !denied, "{request:?}");
        }
        _ => {}
    }
}

/// What is delivered of a masked topic was read to its end, and its field holds a token or is not there.
fn check_masked(frame: &[u8], version: i16, ids: &TopicIds) {
    let response = FetchResponse::parse(frame, version).expect("a whole answer");
    let mut keys = KeyRing::new();
    keys.insert("customers", DomainKey::derive(&[9; 32], "customers", 3))
        .expect("a good name");
    let rule = MaskRule {
        target: Target::Value("$.email"),
        shape: TokenShape::Opaque,
        length: TokenLength::Own,
        domain: "customers",
    };
    let plan = MaskPlan::compile(&[rule], &keys).expect("a good rule");
    for topic in response.topics() {
        let name = match &topic.key {
            TopicKey::Name(name) => Some(*name),
            TopicKey::Id(id) => ids.name(id).map(|name| &**name),
        };
        if !name.is_some_and(|name| MASKED.contains(&name)) {
            continue;
        }
        for partition in topic.partitions() {
            let records = response.records(&partition).unwrap_or_default();
            for batch in batches(records) {
                let batch = batch.expect("a batch that can be read");
                batch.verify_crc().expect("a batch that was verified");
                if batch.header.is_control() {
                    continue;
                }
                let (mut contexts, mut plain) = (Contexts::default(), Vec::new());
                let plain = batch
                    .plain_records(&DecompressLimits::default(), &mut contexts, &mut plain)
                    .expect("records that can be decompressed");
                for record in Records::new(plain, batch.header.record_count) {
                    if let Some(value) = record.expect("a record that can be read").value {
                        // What was there before is of no matter to opaque tokens.
                        let checked = SelfCheck::new().surviving_field(&plan, b"{}", &plain[value]);
                        checked.expect("no field in clear");
                    }
                }
            }
        }
    }
}
