//! What a session holds: no more than it says, no more than its limits, and nothing once everything is answered.

mod support;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{FetchRequest, MetadataRequest};
use kafka_protocol::protocol::Request;
use sluice_kafka::limits::REQUEST_ELEMENTS_MAX;
use sluice_session::{Close, limits};

use support::frames::{self, fetch, fetched, topic};
use support::{Place, Rig};

/// Bytes that a call takes from the allocator and does not give back.
fn kept_bytes(call: impl FnOnce()) -> usize {
    usize::try_from(allocation_counter::measure(call).bytes_current).unwrap()
}

fn partitions(count: i32) -> Vec<(i32, i64)> {
    (0..count).map(|partition| (partition, 0)).collect()
}

/// Metadata for so many topics of three bytes each, which are denied.
fn metadata(count: usize) -> MetadataRequest {
    let named =
        |n: usize| MetadataRequestTopic::default().with_name(Some(topic(&format!("{n:x}"))));
    MetadataRequest::default().with_topics(Some((0..count).map(named).collect()))
}

fn frame<R: Request>(version: i16, correlation_id: usize, request: &R) -> Vec<u8> {
    frames::request(version, i32::try_from(correlation_id).unwrap(), request)
}

#[test]
fn a_session_says_how_much_memory_waits_in_it() {
    let requests: [(&str, Vec<u8>); 3] = [
        (
            "a Fetch",
            frame(12, 7, &fetch(&[("orders", partitions(2_000))])),
        ),
        (
            "a Fetch of which a part is denied",
            frame(
                12,
                7,
                &fetch(&[("orders", partitions(2_000)), ("secret", partitions(2_000))]),
            ),
        ),
        ("a Metadata of which most is denied", {
            let mut request = metadata(2_000);
            let allowed = MetadataRequestTopic::default().with_name(Some(topic("orders")));
            request.topics.as_mut().unwrap().push(allowed);
            frame(12, 7, &request)
        }),
    ];
    for (what, request) in requests {
        let mut rig = Rig::authenticated("reader");
        let before = rig.session.held_bytes();
        let mut forwarded = false;
        let kept = kept_bytes(|| forwarded = !rig.client(request).forwarded.is_empty());
        assert!(forwarded, "{what} goes on");
        let said = rig.session.held_bytes() - before;
        assert!(kept > 10_000, "{what}: {kept} bytes wait");
        assert!(
            kept <= said + 4_096,
            "{what}: {kept} bytes wait, {said} said"
        );
    }
}

#[test]
fn what_was_answered_is_not_held_any_more() {
    let mut rig = Rig::authenticated("reader");
    for round in 0..3 {
        rig.client(frame(12, round, &fetch(&[("orders", partitions(100))])));
        assert!(rig.session.held_bytes() > 0);
        let empty = (0..100).map(|partition| (partition, vec![])).collect();
        let answer = fetched(&[("orders", empty)]);
        let answer = frames::response::<FetchRequest>(12, i32::try_from(round).unwrap(), &answer);
        assert_eq!(rig.broker(answer).answers[0].place, Place::Buffer);
        assert_eq!(rig.session.held_bytes(), 0);
    }
    // Denied at once: the answer is held until its turn has come, which is now.
    rig.client(frame(12, 9, &fetch(&[("secret", partitions(100))])));
    assert_eq!(rig.session.held_bytes(), 0);
}

#[test]
fn a_client_that_does_not_read_its_answers_is_not_read_any_more() {
    let mut rig = Rig::authenticated("reader");
    let request = fetch(&[("orders", partitions(20_000))]);
    let one = {
        rig.client(frame(12, 0, &request));
        rig.session.held_bytes()
    };
    let mut asked = 1;
    while rig.session.has_room() {
        rig.client(frame(12, asked, &request));
        asked += 1;
    }
    assert!(asked < limits::IN_FLIGHT_COUNT_MAX, "{asked} requests");
    let held = rig.session.held_bytes();
    assert!(held < limits::IN_FLIGHT_BYTES_MAX + one, "{held} bytes");
    let empty = (0..20_000).map(|partition| (partition, vec![])).collect();
    let answer = fetched(&[("orders", empty)]);
    rig.broker(frames::response::<FetchRequest>(12, 0, &answer));
    assert!(rig.session.has_room(), "an answer makes room");
}

#[test]
fn a_decoded_request_takes_no_more_than_its_elements_justify() {
    let mut rig = Rig::authenticated("reader");
    let most = frame(12, 1, &metadata(REQUEST_ELEMENTS_MAX - 1));
    let taken = allocation_counter::measure(|| {
        let round = rig.client(most);
        assert_eq!(round.closed, None);
    });
    // Decoded, split, and answered with a sentence for each: a few times the decoded size, whatever the elements are.
    let decoded = (REQUEST_ELEMENTS_MAX * sluice_kafka::limits::ELEMENT_BYTES) as u64;
    assert!(taken.bytes_max < 8 * decoded, "{} bytes", taken.bytes_max);

    let too_many = frame(12, 2, &metadata(REQUEST_ELEMENTS_MAX + 1));
    let mut close = None;
    let taken = allocation_counter::measure(|| close = rig.client(too_many.clone()).closed);
    assert!(
        matches!(close, Some(Close::ClientMalformed(_))),
        "{close:?}"
    );
    assert!(
        taken.bytes_max < 8 * too_many.len() as u64,
        "{} bytes for a request that is not decoded",
        taken.bytes_max
    );
}

#[test]
fn a_hot_request_names_no_more_partitions_than_a_cold_one_has_elements() {
    for (count, malformed) in [
        (REQUEST_ELEMENTS_MAX - 1, false),
        (REQUEST_ELEMENTS_MAX, true),
    ] {
        let mut rig = Rig::authenticated("reader");
        let count = i32::try_from(count).unwrap();
        let closed = rig
            .client(frame(12, 1, &fetch(&[("secret", partitions(count))])))
            .closed;
        let found = matches!(closed, Some(Close::ClientMalformed(_)));
        assert_eq!(found, malformed, "{count}: {closed:?}");
    }
}

#[test]
fn members_with_long_ids_are_held_within_limits_and_in_the_sum() {
    use kafka_protocol::messages::ConsumerGroupHeartbeatRequest;
    let mut rig = Rig::authenticated("reader");
    for n in 0..8 {
        let heartbeat = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(frames::text("g-1").into())
            .with_member_id(frames::text(&format!("{n}{}", "m".repeat(1 << 20))))
            .with_subscribed_topic_names(Some(vec![topic("orders")]));
        let round = rig.client(frame(1, n, &heartbeat));
        assert_eq!(round.closed, None);
    }
    let said = rig.session.held_bytes();
    assert!(said > 3 << 20, "{said} bytes said to be held");
    assert!(said < 32 << 20, "{said} bytes said to be held");
}

#[test]
fn a_compiled_pattern_is_held_within_limits_and_in_the_sum() {
    use kafka_protocol::messages::ConsumerGroupHeartbeatRequest;
    let mut rig = Rig::authenticated("reader");
    // Near the largest that are taken, and for each member another one.
    let pattern = |n: usize| format!("(?:orders-{n}|.*a.{{9}})");
    let heartbeat = |n: usize| {
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(frames::text("g-1").into())
            .with_member_id(frames::text(&format!("m-{n}")))
            .with_subscribed_topic_names(Some(vec![]))
            .with_subscribed_topic_regex(Some(frames::text(&pattern(n))));
        frame(1, n, &request)
    };
    for n in 0..limits::SESSION_SUBSCRIPTIONS_MAX {
        let before = rig.session.held_bytes();
        let kept = kept_bytes(|| assert!(!rig.client(heartbeat(n)).forwarded.is_empty()));
        let said = rig.session.held_bytes() - before;
        assert!(kept > 100_000, "{kept} bytes for {}", pattern(n));
        assert!(kept <= said + 4_096, "{kept} bytes kept, {said} said");
    }
    let before = rig.session.held_bytes();
    // One more, and the oldest goes.
    let n = limits::SESSION_SUBSCRIPTIONS_MAX;
    assert!(!rig.client(heartbeat(n)).forwarded.is_empty());
    assert!(rig.session.held_bytes() < before + 32 * 1024);
}
