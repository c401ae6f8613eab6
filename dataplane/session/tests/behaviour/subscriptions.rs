//! Patterns of subscriptions (KIP-848): resolved by the session, told to the broker as names.

use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId,
};
use sluice_evidence::Kind;
use sluice_session::limits::{
    PATTERN_BYTES_MAX, SESSION_SUBSCRIPTIONS_MAX, SUBSCRIPTION_TOPICS_MAX, TOPIC_NAMES_MAX,
};

use crate::support::frames::{self, text, topic};
use crate::support::{Rig, Round, world};

const INVALID_REGULAR_EXPRESSION: i16 = 128;
const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;
const COORDINATOR_NOT_AVAILABLE: i16 = 15;
const DESCRIBE: u8 = 8;

/// A heartbeat of member `m` of the group `g-1`.
fn heartbeat(
    epoch: i32,
    names: Option<&[&str]>,
    pattern: Option<&str>,
) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text("g-1")))
        .with_member_id(text("m"))
        .with_member_epoch(epoch)
        .with_subscribed_topic_names(
            names.map(|names| names.iter().map(|name| topic(name)).collect()),
        )
        .with_subscribed_topic_regex(pattern.map(text))
}

fn beat(rig: &mut Rig, request: &ConsumerGroupHeartbeatRequest) -> Round {
    rig.client(frames::request(1, 4, request))
}

/// What the broker is told: names, or nothing. It is never told a pattern.
#[track_caller]
fn told(round: &Round) -> Option<Vec<String>> {
    let sent = &round.only_forwarded().bytes;
    let (_, sent) = frames::decode_request::<ConsumerGroupHeartbeatRequest>(sent);
    assert_eq!(sent.subscribed_topic_regex, None);
    let names = sent.subscribed_topic_names?;
    Some(names.iter().map(|name| name.to_string()).collect())
}

#[track_caller]
fn refused(round: &Round) -> (i16, String) {
    let (_, answer) =
        frames::decode_response::<ConsumerGroupHeartbeatRequest>(1, round.only_answer());
    let message = answer.error_message.expect("a message");
    (answer.error_code, message.to_string())
}

/// The broker's answer to the heartbeat before.
fn answered(rig: &mut Rig, error: i16) {
    let answer = ConsumerGroupHeartbeatResponse::default().with_error_code(error);
    let frame = frames::response::<ConsumerGroupHeartbeatRequest>(1, 4, &answer);
    assert_eq!(rig.broker(frame).closed, None);
}

/// A heartbeat that goes on and is answered well.
#[track_caller]
fn goes_on(rig: &mut Rig, request: &ConsumerGroupHeartbeatRequest) -> Option<Vec<String>> {
    let round = beat(rig, request);
    let names = told(&round);
    answered(rig, 0);
    names
}

fn names(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

/// A reader that has joined with this pattern.
fn joined(pattern: &str) -> Rig {
    let mut rig = Rig::authenticated("reader");
    goes_on(&mut rig, &heartbeat(0, Some(&[]), Some(pattern)));
    rig
}

fn learn(rig: &Rig, topics: &[&str]) {
    let mut known = rig.world.shared.topic_names.borrow_mut();
    known.learn(topics.iter().copied());
}

#[test]
fn a_pattern_stands_for_the_topics_that_may_be_described() {
    for (subject, pattern, expected) in [
        (
            "reader",
            ".*",
            &["clicks", "masked", "masked-too", "orders"][..],
        ),
        ("reader", "ord", &[]),
        ("reader", "ord.*|led.*", &["orders"]),
        ("reader", "^masked$", &["masked"]),
        ("reader", "hidden|nowhere", &[]),
        ("clear-reader-of-groups", "__.*", &[]),
        (
            "clear-reader-of-groups",
            "(?i)LEDGER|secret|mask.+",
            &["ledger", "masked", "masked-too"],
        ),
    ] {
        let mut rig = Rig::on(world::World::new(&with_reader_of_all()));
        rig.authenticate(subject);
        let round = beat(&mut rig, &heartbeat(0, Some(&[]), Some(pattern)));
        assert_eq!(told(&round), names(expected), "{pattern}");
        assert!(
            !round.has_fact(Kind::Denied),
            "nothing was asked for by name"
        );
        let described: Vec<_> = round
            .fact(Kind::Intent)
            .items
            .iter()
            .filter(|item| item.operation == DESCRIBE)
            .map(|item| item.resource.as_str())
            .collect();
        assert_eq!(described, expected, "each topic is in the evidence");
    }
}

/// The tests' policy and somebody who may describe all topics but `secret`.
fn with_reader_of_all() -> String {
    let more = r#"---
kind: Role
metadata: {name: reads-all}
spec:
  permissions:
    - {operations: [Describe], topics: [{prefix: ""}]}
    - {effect: deny, operations: [Describe], topics: [secret]}
    - {operations: [Read], groups: [{prefix: g-}]}
---
kind: Binding
metadata: {name: clear-reader-of-groups}
spec: {match: {issuer: demo, claims: {sub: clear-reader-of-groups}}, owner: bob, roles: [reads-all]}
"#;
    format!("{}{more}", world::POLICY)
}

#[test]
fn topics_that_are_named_join_those_that_match_and_each_is_told_once() {
    let mut rig = Rig::authenticated("reader");
    let request = heartbeat(0, Some(&["orders", "clicks", "orders"]), Some("m.*|orders"));
    let expected = ["clicks", "masked", "masked-too", "orders"];
    assert_eq!(goes_on(&mut rig, &request), names(&expected));
    // Other names, and the pattern as before.
    let request = heartbeat(1, Some(&[]), None);
    let expected = ["masked", "masked-too", "orders"];
    assert_eq!(goes_on(&mut rig, &request), names(&expected));
    // Another pattern, and the names as before.
    let request = heartbeat(1, Some(&["clicks"]), None);
    goes_on(&mut rig, &request);
    let request = heartbeat(1, None, Some("orders"));
    assert_eq!(goes_on(&mut rig, &request), names(&["clicks", "orders"]));

    let hidden = beat(&mut rig, &heartbeat(1, Some(&["ledger"]), None));
    assert_eq!(refused(&hidden).0, 29);
    assert_eq!(goes_on(&mut rig, &heartbeat(1, None, None)), None);
}

#[test]
fn a_heartbeat_that_changes_nothing_passes_as_it_is() {
    let mut rig = joined("ord.*");
    for _ in 0..3 {
        let request = heartbeat(1, None, None);
        let round = beat(&mut rig, &request);
        assert_eq!(
            round.only_forwarded().bytes,
            frames::request(1, 4, &request)
        );
        let asked = &round.fact(Kind::Intent).items;
        assert_eq!(asked.len(), 1, "the group alone: {asked:?}");
        answered(&mut rig, 0);
    }
}

#[test]
fn a_topic_that_comes_or_goes_is_told_and_others_are_not() {
    let mut rig = joined("ord.*|late.*|clicks");
    let again = heartbeat(1, None, None);
    learn(&rig, &["orders", "clicks", "payments"]);
    assert_eq!(goes_on(&mut rig, &again), None, "the same for this member");
    learn(&rig, &["orders", "orders-hidden", "clicks"]);
    assert_eq!(goes_on(&mut rig, &again), None);
    learn(&rig, &["orders", "orders-hidden"]);
    assert_eq!(goes_on(&mut rig, &again), names(&["orders"]));
    assert_eq!(goes_on(&mut rig, &again), None, "once");
    learn(&rig, &["orders", "masked", "clicks"]);
    assert_eq!(goes_on(&mut rig, &again), names(&["clicks", "orders"]));
}

#[test]
fn a_change_of_policy_takes_topics_out_and_puts_them_back() {
    let mut rig = joined(".*");
    let again = heartbeat(1, None, None);
    rig.world.apply(&format!("{}# the same\n", world::POLICY));
    assert_eq!(
        goes_on(&mut rig, &again),
        None,
        "nothing has changed for it"
    );
    let narrower = world::POLICY.replace(
        "[orders, clicks, masked, masked-too]",
        "[orders, masked-too]",
    );
    rig.world.apply(&narrower);
    assert_eq!(goes_on(&mut rig, &again), names(&["masked-too", "orders"]));
    rig.world.apply(world::POLICY);
    let all = ["clicks", "masked", "masked-too", "orders"];
    assert_eq!(goes_on(&mut rig, &again), names(&all));
}

/// A broker would leave a name where it is; one that was named beside a pattern goes like those that match.
#[test]
fn a_topic_that_was_named_beside_a_pattern_goes_with_the_right_to_it() {
    let mut rig = Rig::authenticated("reader");
    goes_on(&mut rig, &heartbeat(0, Some(&["clicks"]), Some("ord.*")));
    let narrower = world::POLICY.replace("[orders, clicks, masked, masked-too]", "[orders]");
    rig.world.apply(&narrower);
    let round = beat(&mut rig, &heartbeat(1, None, None));
    assert_eq!(told(&round), names(&["orders"]));
    assert!(!round.has_fact(Kind::Denied));
}

#[test]
fn an_empty_pattern_takes_the_pattern_back() {
    let mut rig = joined("ord.*");
    assert_eq!(goes_on(&mut rig, &heartbeat(1, None, Some(""))), names(&[]));
    learn(&rig, &["orders", "orders-2"]);
    assert_eq!(goes_on(&mut rig, &heartbeat(1, None, None)), None);
    let instead = heartbeat(1, Some(&["clicks"]), Some(""));
    assert_eq!(goes_on(&mut rig, &instead), names(&["clicks"]));
}

#[test]
fn a_pattern_that_is_none_or_not_served_is_refused_with_128_and_changes_nothing() {
    let long = "a".repeat(PATTERN_BYTES_MAX + 1);
    for (pattern, says) in [
        ("(", "unclosed group"),
        ("*", "missing expression"),
        ("a**", "repetition of a repetition"),
        ("[a-z&&[^b]]", "name the topics"),
        (r"\p{Greek}", "name the topics"),
        (".{0,200}x.{0,200}y.{0,200}", "simpler"),
        (&*long, "longer"),
    ] {
        let mut rig = joined("ord.*");
        let round = beat(&mut rig, &heartbeat(1, None, Some(pattern)));
        let (error, message) = refused(&round);
        assert_eq!(error, INVALID_REGULAR_EXPRESSION, "{pattern}");
        assert!(message.contains(says), "{pattern}: {message}");
        let fact = round.fact(Kind::Denied);
        assert_eq!(fact.reason_code, "pattern-unsupported");
        assert_eq!(fact.items[0].resource, "g-1");
        // As in a broker, the member keeps what it had.
        assert_eq!(goes_on(&mut rig, &heartbeat(1, None, None)), None);
        learn(&rig, &["masked"]);
        assert_eq!(goes_on(&mut rig, &heartbeat(1, None, None)), names(&[]));
    }
}

#[test]
fn a_pattern_for_too_many_topics_is_refused() {
    let mut rig = Rig::on(world::World::new(&with_reader_of_all()));
    rig.authenticate("clear-reader-of-groups");
    let many: Vec<String> = (0..=SUBSCRIPTION_TOPICS_MAX)
        .map(|n| format!("t-{n}"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    learn(&rig, &many);
    let round = beat(&mut rig, &heartbeat(0, Some(&[]), Some(".*")));
    let (error, message) = refused(&round);
    assert_eq!(error, INVALID_REGULAR_EXPRESSION);
    assert!(message.contains("narrower"), "{message}");
    learn(&rig, &many[1..]);
    let told = goes_on(&mut rig, &heartbeat(0, Some(&[]), Some(".*")));
    assert_eq!(told.map(|names| names.len()), Some(SUBSCRIPTION_TOPICS_MAX));
    // Names without a pattern are the broker's affair, and still too many beside one.
    assert_eq!(
        goes_on(&mut rig, &heartbeat(0, Some(&many), None)).map(|names| names.len()),
        Some(many.len())
    );
    let round = beat(&mut rig, &heartbeat(1, None, Some("none")));
    assert_eq!(refused(&round).0, INVALID_REGULAR_EXPRESSION);
}

#[test]
fn while_the_clusters_topics_are_not_known_a_pattern_has_to_wait() {
    let mut rig = Rig::authenticated("reader");
    *rig.world.shared.topic_names.borrow_mut() = Default::default();
    let join = heartbeat(0, Some(&[]), Some("ord.*"));
    let round = beat(&mut rig, &join);
    assert_eq!(refused(&round).0, COORDINATOR_LOAD_IN_PROGRESS);
    assert_eq!(round.fact(Kind::Denied).reason_code, "topics-unknown");
    learn(&rig, &["orders"]);
    assert_eq!(goes_on(&mut rig, &join), names(&["orders"]));

    // More topics than are kept: who has its names goes on with them, until policy changes.
    let many: Vec<String> = (0..=TOPIC_NAMES_MAX).map(|n| n.to_string()).collect();
    rig.world
        .shared
        .topic_names
        .borrow_mut()
        .learn(many.iter().map(String::as_str));
    let again = heartbeat(1, None, None);
    assert_eq!(goes_on(&mut rig, &again), None);
    rig.world.apply(world::POLICY);
    let round = beat(&mut rig, &again);
    assert_eq!(refused(&round).0, COORDINATOR_LOAD_IN_PROGRESS);
}

#[test]
fn what_the_broker_did_not_take_is_told_again() {
    let mut rig = Rig::authenticated("reader");
    beat(&mut rig, &heartbeat(0, Some(&[]), Some("ord.*")));
    answered(&mut rig, 16);
    let again = heartbeat(1, None, None);
    assert_eq!(goes_on(&mut rig, &again), names(&["orders"]));
    assert_eq!(goes_on(&mut rig, &again), None);
}

#[test]
fn who_leaves_or_joins_anew_has_no_pattern_any_more() {
    for leaves in [-1, -2] {
        let mut rig = joined("ord.*");
        assert_eq!(goes_on(&mut rig, &heartbeat(leaves, None, None)), None);
        let gone = beat(&mut rig, &heartbeat(1, None, None));
        assert_eq!(refused(&gone).0, COORDINATOR_NOT_AVAILABLE);
        learn(&rig, &["orders", "clicks"]);
        assert_eq!(
            goes_on(&mut rig, &heartbeat(0, Some(&["clicks"]), None)),
            names(&["clicks"])
        );
        learn(&rig, &["orders"]);
        assert_eq!(goes_on(&mut rig, &heartbeat(1, None, None)), None);
    }
    let mut rig = joined("ord.*");
    let anew = heartbeat(0, Some(&["clicks"]), None);
    assert_eq!(goes_on(&mut rig, &anew), names(&["clicks"]));
}

/// The broker knows names and no pattern: without this, topics that come later would never be told.
#[test]
fn a_member_of_another_connection_is_made_to_say_all_again_once() {
    let mut rig = joined("ord.*");
    rig.reconnect("reader");
    let again = heartbeat(1, None, None);
    for request in [again.clone(), heartbeat(1, None, Some("clicks"))] {
        rig.reconnect("reader");
        let round = beat(&mut rig, &request);
        assert_eq!(refused(&round).0, COORDINATOR_NOT_AVAILABLE);
        assert!(round.facts.is_empty(), "nothing was denied");
    }
    let all = heartbeat(1, Some(&[]), Some("ord.*"));
    assert_eq!(goes_on(&mut rig, &all), names(&["orders"]));
    assert_eq!(goes_on(&mut rig, &again), None);

    // A client that does not say more goes on as it is; one that leaves needs not.
    rig.reconnect("reader");
    beat(&mut rig, &again);
    assert_eq!(goes_on(&mut rig, &again), None);
    rig.reconnect("reader");
    assert_eq!(goes_on(&mut rig, &heartbeat(-1, None, None)), None);
    // Version 0 has no patterns.
    rig.reconnect("reader");
    rig.client(frames::request(0, 4, &again)).only_forwarded();
}

#[test]
fn members_of_one_connection_are_told_apart_and_the_oldest_is_forgotten() {
    let mut rig = Rig::authenticated("reader");
    let of = |member: usize, request: ConsumerGroupHeartbeatRequest| {
        request.with_member_id(text(&format!("m-{member}")))
    };
    for member in 0..=SESSION_SUBSCRIPTIONS_MAX {
        let pattern = if member % 2 == 0 { "ord.*" } else { "cl.*" };
        goes_on(
            &mut rig,
            &of(member, heartbeat(0, Some(&[]), Some(pattern))),
        );
    }
    learn(&rig, &["masked"]);
    let forgotten = beat(&mut rig, &of(0, heartbeat(1, None, None)));
    assert_eq!(refused(&forgotten).0, COORDINATOR_NOT_AVAILABLE);
    let last = SESSION_SUBSCRIPTIONS_MAX;
    assert_eq!(
        goes_on(&mut rig, &of(last, heartbeat(1, None, None))),
        names(&[])
    );
    let other = of(last, heartbeat(1, None, None)).with_group_id(GroupId(text("g-2")));
    assert_eq!(
        refused(&beat(&mut rig, &other)).0,
        COORDINATOR_NOT_AVAILABLE
    );
}

#[test]
fn a_pattern_of_a_foreign_group_is_denied_like_any_other_heartbeat() {
    let mut rig = Rig::authenticated("reader");
    let foreign = heartbeat(0, Some(&[]), Some("(")).with_group_id(GroupId(text("x")));
    assert_eq!(refused(&beat(&mut rig, &foreign)).0, 30);
}

/// Compiling a pattern may take milliseconds, and a client may send many of them at once.
#[test]
fn at_most_one_pattern_is_compiled_before_others_have_their_turn() {
    let mut rig = Rig::authenticated("reader");
    let again = heartbeat(1, None, None);
    let mut sent = Vec::new();
    for n in 0..40 {
        // Every other one is not served, and every one is followed by heartbeats that say nothing.
        let pattern = format!("orders{{{n}}}{}", if n % 2 == 0 { "" } else { "**" });
        let joins = heartbeat(1, Some(&[]), Some(&pattern));
        sent.push(frames::request(1, n, &joins));
        sent.extend((0..3).map(|_| frames::request(1, n, &again)));
    }
    let (mut steps, mut compiled, mut rest) = (0, 0, &sent[..]);
    while !rest.is_empty() {
        let (round, taken) = rig.client_step(rest);
        assert_eq!(round.closed, None);
        assert!(round.compiled_patterns <= 1, "{round:?}");
        assert_eq!(round.gives_way, round.compiled_patterns == 1);
        rest = &rest[taken..];
        steps += 1;
        compiled += round.compiled_patterns;
    }
    assert_eq!(compiled, 40);
    assert_eq!(steps, 41, "heartbeats that say nothing do not wait");
}

#[test]
fn a_pattern_is_compiled_once_and_not_again_when_topics_or_policy_change() {
    let mut rig = Rig::authenticated("reader");
    let compiled = |rig: &mut Rig, member: &str, request: ConsumerGroupHeartbeatRequest| {
        let round = beat(rig, &request.with_member_id(text(member)));
        let names = told(&round);
        answered(rig, 0);
        (round.compiled_patterns, names)
    };
    let joins = || heartbeat(0, Some(&[]), Some("ord.*|cl.*"));
    let again = || heartbeat(1, None, None);
    let both = names(&["clicks", "orders"]);
    assert_eq!(compiled(&mut rig, "m", joins()), (1, both.clone()));

    learn(&rig, &["orders"]);
    assert_eq!(compiled(&mut rig, "m", again()), (0, names(&["orders"])));
    learn(&rig, &["orders", "clicks"]);
    assert_eq!(compiled(&mut rig, "m", again()), (0, both.clone()));
    let narrower = world::POLICY.replace("[orders, clicks, masked, masked-too]", "[clicks]");
    rig.world.apply(&narrower);
    assert_eq!(compiled(&mut rig, "m", again()), (0, names(&["clicks"])));
    rig.world.apply(world::POLICY);
    assert_eq!(compiled(&mut rig, "m", again()), (0, both.clone()));

    // Said again, by a member that joins anew, or by another member of this connection.
    let says = heartbeat(1, Some(&[]), Some("ord.*|cl.*"));
    assert_eq!(compiled(&mut rig, "m", says), (0, both.clone()));
    assert_eq!(compiled(&mut rig, "m", joins()), (0, both.clone()));
    assert_eq!(compiled(&mut rig, "other", joins()), (0, both.clone()));

    let another = heartbeat(1, None, Some("ord.*"));
    assert_eq!(compiled(&mut rig, "m", another), (1, names(&["orders"])));
    compiled(&mut rig, "other", heartbeat(-1, None, None));
    assert_eq!(compiled(&mut rig, "other", joins()), (1, both));
}

/// A cluster may have many topics, and all are gone through.
#[test]
fn others_have_their_turn_after_a_pattern_was_resolved_again() {
    let mut rig = joined("ord.*");
    let again = heartbeat(1, None, None);
    assert!(!beat(&mut rig, &again).gives_way);
    learn(&rig, &["orders", "orders-2"]);
    let frames = vec![frames::request(1, 4, &again); 3];
    let (round, taken) = rig.client_step(&frames);
    assert_eq!(
        (taken, round.gives_way, round.compiled_patterns),
        (1, true, 0)
    );
    let (round, taken) = rig.client_step(&frames[1..]);
    assert_eq!((taken, round.gives_way), (2, false));
}
