//! Topics as objects, and the side doors of immutable ones.

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor as NextCursor, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, CreateTopicsResponse, DeleteRecordsRequest,
    DeleteTopicsRequest, DeleteTopicsResponse, DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
};
use sluice_evidence::Kind;
use uuid::Uuid;

use crate::support::Rig;
use crate::support::frames::{self, text, topic};

/// Keys and values of settings.
type Configs<'a> = &'a [(&'a str, Option<&'a str>)];

pub(crate) const SEVEN_YEARS_MS: &str = "220752000000";

fn delete(version: i16, names: &[&str]) -> DeleteTopicsRequest {
    let request = DeleteTopicsRequest::default().with_timeout_ms(1_000);
    if version < 6 {
        return request.with_topic_names(names.iter().map(|name| topic(name)).collect());
    }
    request.with_topics(
        names
            .iter()
            .map(|name| DeleteTopicState::default().with_name(Some(topic(name))))
            .collect(),
    )
}

fn deleted(version: i16, frame: &[u8]) -> Vec<(String, i16)> {
    let (_, read) = frames::decode_response::<DeleteTopicsRequest>(version, frame);
    let name = |result: &DeletableTopicResult| {
        result
            .name
            .as_ref()
            .map_or(String::new(), |name| name.to_string())
    };
    read.responses
        .iter()
        .map(|result| (name(result), result.error_code))
        .collect()
}

#[test]
fn an_immutable_topic_is_not_deleted_by_name() {
    for version in 1..=6 {
        let mut rig = Rig::authenticated("admin");
        let round = rig.client(frames::request(version, 4, &delete(version, &["ledger"])));
        // Before version 5 nothing could tell the client why.
        let expected = if version >= 5 { 44 } else { 29 };
        assert_eq!(
            deleted(version, round.only_answer()),
            [("ledger".to_owned(), expected)]
        );
        let denied = round.fact(Kind::Denied);
        assert!(
            denied.reason_code.contains("immutable"),
            "{}",
            denied.reason_code
        );
        if version >= 5 {
            let (_, read) =
                frames::decode_response::<DeleteTopicsRequest>(version, round.only_answer());
            assert!(
                read.responses[0]
                    .error_message
                    .as_ref()
                    .unwrap()
                    .contains(&denied.denial_id)
            );
        }
    }
}

#[test]
fn deletes_what_may_be_deleted_and_denies_the_rest() {
    for version in 1..=6 {
        let mut rig = Rig::authenticated("admin");
        let round = rig.client(frames::request(
            version,
            4,
            &delete(version, &["orders", "ledger", "secret"]),
        ));
        let (_, sent) =
            frames::decode_request::<DeleteTopicsRequest>(&round.only_forwarded().bytes);
        assert_eq!(sent, delete(version, &["orders"]));
        assert_eq!(round.fact(Kind::Intent).named(), [("orders", -1)]);
        let done = DeletableTopicResult::default().with_name(Some(topic("orders")));
        let response = DeleteTopicsResponse::default().with_responses(vec![done]);
        let round = rig.broker(frames::response::<DeleteTopicsRequest>(
            version, 4, &response,
        ));
        let ledger = if version >= 5 { 44 } else { 29 };
        let expected = [
            ("orders".to_owned(), 0),
            ("ledger".to_owned(), ledger),
            ("secret".to_owned(), 29),
        ];
        assert_eq!(deleted(version, &round.answers[0].bytes), expected);
        assert_eq!(round.fact(Kind::Outcome).named(), [("orders", -1)]);
    }
}

#[test]
fn an_immutable_topic_is_not_deleted_by_id_and_an_unknown_id_is_answered_with_100() {
    let id = |number| {
        DeleteTopicState::default()
            .with_name(None)
            .with_topic_id(Uuid::from_u128(number))
    };
    let mut rig = Rig::authenticated("admin");
    rig.world
        .shared
        .topic_ids
        .borrow_mut()
        .learn(Uuid::from_u128(1).into_bytes(), "orders");
    rig.world
        .shared
        .topic_ids
        .borrow_mut()
        .learn(Uuid::from_u128(2).into_bytes(), "ledger");
    let request = DeleteTopicsRequest::default().with_topics(vec![id(3), id(2), id(1)]);
    let round = rig.client(frames::request(6, 4, &request));
    let (_, sent) = frames::decode_request::<DeleteTopicsRequest>(&round.only_forwarded().bytes);
    assert_eq!(sent.topics, [id(1)]);
    let round = rig.broker(frames::response::<DeleteTopicsRequest>(
        6,
        4,
        &DeleteTopicsResponse::default(),
    ));
    let (_, read) = frames::decode_response::<DeleteTopicsRequest>(6, &round.answers[0].bytes);
    let found: Vec<_> = read
        .responses
        .iter()
        .map(|result| (result.topic_id.as_u128(), result.error_code))
        .collect();
    assert_eq!(found, [(3, 100), (2, 44)]);
}

#[test]
fn a_topic_named_twice_or_not_at_all_is_no_topic() {
    let mut rig = Rig::authenticated("admin");
    rig.world
        .shared
        .topic_ids
        .borrow_mut()
        .learn(Uuid::from_u128(2).into_bytes(), "ledger");
    let both = DeleteTopicState::default()
        .with_name(Some(topic("orders")))
        .with_topic_id(Uuid::from_u128(2));
    let request = DeleteTopicsRequest::default()
        .with_topics(vec![both, DeleteTopicState::default().with_name(None)]);
    let round = rig.client(frames::request(6, 4, &request));
    let (_, read) = frames::decode_response::<DeleteTopicsRequest>(6, round.only_answer());
    assert!(read.responses.iter().all(|result| result.error_code == 42));
}

#[test]
fn records_of_an_immutable_topic_are_not_deleted() {
    for version in 0..=2 {
        let mut rig = Rig::authenticated("admin");
        let records = |name: &str| {
            let partitions = vec![
                DeleteRecordsPartition::default()
                    .with_partition_index(3)
                    .with_offset(-1),
            ];
            DeleteRecordsTopic::default()
                .with_name(topic(name))
                .with_partitions(partitions)
        };
        let request =
            DeleteRecordsRequest::default().with_topics(vec![records("ledger"), records("orders")]);
        let round = rig.client(frames::request(version, 4, &request));
        let (_, sent) =
            frames::decode_request::<DeleteRecordsRequest>(&round.only_forwarded().bytes);
        assert_eq!(sent.topics, [records("orders")]);
        let round = rig.broker(frames::response::<DeleteRecordsRequest>(
            version,
            4,
            &Default::default(),
        ));
        let (_, read) =
            frames::decode_response::<DeleteRecordsRequest>(version, &round.answers[0].bytes);
        let partition = &read.topics[0].partitions[0];
        assert_eq!(
            (
                partition.partition_index,
                partition.error_code,
                partition.low_watermark
            ),
            (3, 44, -1)
        );
    }
}

#[test]
fn partitions_of_an_immutable_topic_do_not_grow() {
    for version in 0..=3 {
        let mut rig = Rig::authenticated("admin");
        let grow = |name: &str| {
            CreatePartitionsTopic::default()
                .with_name(topic(name))
                .with_count(12)
                .with_assignments(None)
        };
        let request =
            CreatePartitionsRequest::default().with_topics(vec![grow("ledger"), grow("orders")]);
        let round = rig.client(frames::request(version, 4, &request));
        let (_, sent) =
            frames::decode_request::<CreatePartitionsRequest>(&round.only_forwarded().bytes);
        assert_eq!(sent.topics, [grow("orders")]);
        let round = rig.broker(frames::response::<CreatePartitionsRequest>(
            version,
            4,
            &Default::default(),
        ));
        let (_, read) =
            frames::decode_response::<CreatePartitionsRequest>(version, &round.answers[0].bytes);
        assert_eq!(
            (read.results[0].name.to_string(), read.results[0].error_code),
            ("ledger".to_owned(), 44)
        );
    }
}

fn create(name: &str, configs: Configs<'_>) -> CreatableTopic {
    let configs = configs.iter().map(|(key, value)| {
        CreatableTopicConfig::default()
            .with_name(text(key))
            .with_value(value.map(text))
    });
    CreatableTopic::default()
        .with_name(topic(name))
        .with_num_partitions(3)
        .with_replication_factor(1)
        .with_configs(configs.collect())
}

#[test]
fn an_immutable_topic_is_created_with_what_its_class_demands() {
    let good: Configs<'_> = &[
        ("cleanup.policy", Some("delete")),
        ("retention.ms", Some(SEVEN_YEARS_MS)),
    ];
    let cases: &[(Configs<'_>, i16)] = &[
        (good, 0),
        (
            &[
                ("cleanup.policy", Some("delete")),
                ("retention.ms", Some("-1")),
            ],
            0,
        ),
        (&[], 44),
        (&[("retention.ms", Some("-1"))], 44),
        (&[("cleanup.policy", Some("delete"))], 44),
        (
            &[
                ("cleanup.policy", Some("compact")),
                ("retention.ms", Some("-1")),
            ],
            44,
        ),
        (
            &[
                ("cleanup.policy", Some("compact,delete")),
                ("retention.ms", Some("-1")),
            ],
            44,
        ),
        (
            &[
                ("cleanup.policy", Some("delete")),
                ("retention.ms", Some("60000")),
            ],
            44,
        ),
        (
            &[
                ("cleanup.policy", Some("delete")),
                ("retention.ms", Some("-1")),
                ("retention.ms", Some("1")),
            ],
            44,
        ),
        (
            &[
                ("cleanup.policy", Some("delete")),
                ("retention.ms", Some("-1")),
                ("retention.bytes", Some("1")),
            ],
            44,
        ),
        (
            &[("cleanup.policy", Some("delete")), ("retention.ms", None)],
            44,
        ),
    ];
    for version in 2..=7 {
        for (configs, error) in cases {
            let mut rig = Rig::authenticated("admin");
            let request =
                CreateTopicsRequest::default().with_topics(vec![create("ledger", configs)]);
            let round = rig.client(frames::request(version, 4, &request));
            if *error == 0 {
                let (_, sent) =
                    frames::decode_request::<CreateTopicsRequest>(&round.only_forwarded().bytes);
                assert_eq!(sent.topics, request.topics);
            } else {
                let (_, read) =
                    frames::decode_response::<CreateTopicsRequest>(version, round.only_answer());
                assert_eq!(read.topics[0].error_code, *error, "{configs:?}");
                assert!(
                    read.topics[0]
                        .error_message
                        .as_ref()
                        .unwrap()
                        .contains(&round.fact(Kind::Denied).denial_id)
                );
            }
        }
    }
}

#[test]
fn creation_is_split_by_right() {
    for version in 2..=7 {
        let mut rig = Rig::authenticated("admin");
        let request = CreateTopicsRequest::default()
            .with_topics(vec![create("secret", &[]), create("fresh", &[])]);
        let round = rig.client(frames::request(version, 4, &request));
        let (_, sent) =
            frames::decode_request::<CreateTopicsRequest>(&round.only_forwarded().bytes);
        assert_eq!(sent.topics, [create("fresh", &[])]);
        let round = rig.broker(frames::response::<CreateTopicsRequest>(
            version,
            4,
            &Default::default(),
        ));
        let (_, read) =
            frames::decode_response::<CreateTopicsRequest>(version, &round.answers[0].bytes);
        assert_eq!(
            (read.topics[0].name.to_string(), read.topics[0].error_code),
            ("secret".to_owned(), 29)
        );
    }
    let mut rig = Rig::authenticated("writer");
    let request = CreateTopicsRequest::default().with_topics(vec![create("orders", &[])]);
    let round = rig.client(frames::request(7, 4, &request));
    assert_eq!(
        frames::decode_response::<CreateTopicsRequest>(7, round.only_answer())
            .1
            .topics[0]
            .error_code,
        29
    );
}

/// KIP-525: the answer of CreateTopics shows the settings that the topic got.
#[test]
fn settings_of_a_created_topic_are_shown_by_right() {
    use kafka_protocol::messages::create_topics_response::{
        CreatableTopicConfigs, CreatableTopicResult,
    };
    for (operations, shown) in [("Create, DescribeConfigs", true), ("Create", false)] {
        let policy = crate::support::world::POLICY.replace(
            "{operations: [Create, Delete, Alter, AlterConfigs, DescribeConfigs, Describe], topics: [{prefix: \"\"}]}",
            &format!("{{operations: [{operations}], topics: [{{prefix: \"\"}}]}}"),
        );
        for version in 5..=7 {
            let mut rig = Rig::on(crate::support::World::new(&policy));
            rig.authenticate("admin");
            let request = CreateTopicsRequest::default()
                .with_topics(vec![CreatableTopic::default().with_name(topic("orders"))]);
            rig.client(frames::request(version, 1, &request))
                .only_forwarded();
            let config = CreatableTopicConfigs::default().with_name(text("retention.ms"));
            let created = CreatableTopicResult::default()
                .with_name(topic("orders"))
                .with_num_partitions(3)
                .with_replication_factor(2)
                .with_configs(Some(vec![config]));
            let answer = CreateTopicsResponse::default().with_topics(vec![created]);
            let round = rig.broker(frames::response::<CreateTopicsRequest>(version, 1, &answer));
            let (_, read) =
                frames::decode_response::<CreateTopicsRequest>(version, &round.answers[0].bytes);
            let result = &read.topics[0];
            let seen = (
                result.num_partitions,
                result.replication_factor,
                result.topic_config_error_code,
                result
                    .configs
                    .as_ref()
                    .is_some_and(|configs| !configs.is_empty()),
            );
            assert_eq!(
                seen,
                if shown {
                    (3, 2, 0, true)
                } else {
                    (-1, -1, 29, false)
                }
            );
        }
    }
}

#[test]
fn partitions_of_hidden_topics_are_not_described_and_no_cursor_names_them() {
    let mut rig = Rig::authenticated("reader");
    let named = |name: &str| TopicRequest::default().with_name(topic(name));
    let request = DescribeTopicPartitionsRequest::default()
        .with_topics(vec![named("ledger"), named("orders")]);
    let round = rig.client(frames::request(0, 4, &request));
    let (_, sent) =
        frames::decode_request::<DescribeTopicPartitionsRequest>(&round.only_forwarded().bytes);
    assert_eq!(sent.topics, [named("orders")]);
    rig.broker(frames::response::<DescribeTopicPartitionsRequest>(
        0,
        4,
        &Default::default(),
    ));

    let request = DescribeTopicPartitionsRequest::default().with_topics(vec![named("ledger")]);
    let round = rig.client(frames::request(0, 5, &request));
    let (_, read) =
        frames::decode_response::<DescribeTopicPartitionsRequest>(0, round.only_answer());
    assert_eq!(
        read.topics[0].error_code, 29,
        "an emptied list would mean all topics"
    );

    let cursor = Cursor::default().with_topic_name(topic("a"));
    rig.client(frames::request(
        0,
        6,
        &DescribeTopicPartitionsRequest::default().with_cursor(Some(cursor)),
    ))
    .only_forwarded();
    let shown =
        |name: &str| DescribeTopicPartitionsResponseTopic::default().with_name(Some(topic(name)));
    let response = DescribeTopicPartitionsResponse::default()
        .with_topics(vec![shown("ledger"), shown("orders")])
        .with_next_cursor(Some(NextCursor::default().with_topic_name(topic("secret"))));
    let round = rig.broker(frames::response::<DescribeTopicPartitionsRequest>(
        0, 6, &response,
    ));
    let (_, read) =
        frames::decode_response::<DescribeTopicPartitionsRequest>(0, &round.answers[0].bytes);
    assert_eq!(read.topics.len(), 1);
    // Nothing that may be seen comes after it.
    assert_eq!(read.next_cursor, None);
}

#[test]
fn a_page_of_hidden_topics_goes_on_at_the_next_one_that_may_be_seen() {
    let shown =
        |name: &str| DescribeTopicPartitionsResponseTopic::default().with_name(Some(topic(name)));
    let cases: &[(&[&str], &str, Option<&str>)] = &[
        (&["aaa", "bbb"], "hidden", Some("masked")),
        (&["clicks", "hidden"], "ledger", Some("masked")),
        (&["ledger"], "masked", Some("masked")),
        (&["nowhere"], "orders-of-others", None),
        (&["secret"], "zzz", None),
    ];
    for (page, next, expected) in cases {
        let mut rig = Rig::authenticated("reader");
        rig.client(frames::request(
            0,
            6,
            &DescribeTopicPartitionsRequest::default(),
        ))
        .only_forwarded();
        let next = NextCursor::default()
            .with_topic_name(topic(next))
            .with_partition_index(7);
        let response = DescribeTopicPartitionsResponse::default()
            .with_topics(page.iter().map(|name| shown(name)).collect())
            .with_next_cursor(Some(next.clone()));
        let round = rig.broker(frames::response::<DescribeTopicPartitionsRequest>(
            0, 6, &response,
        ));
        let (_, read) =
            frames::decode_response::<DescribeTopicPartitionsRequest>(0, &round.answers[0].bytes);
        let found = read
            .next_cursor
            .map(|cursor| (cursor.topic_name.to_string(), cursor.partition_index));
        // A cursor that may be seen stays as it is.
        let partition = if *expected == Some(&next.topic_name) {
            7
        } else {
            0
        };
        assert_eq!(
            found,
            expected.map(|name| (name.to_owned(), partition)),
            "{page:?} {next:?}"
        );
        // All of the cluster's topics may have been gone through, unless the cursor stayed.
        assert_eq!(round.gives_way, partition == 0, "{page:?} {next:?}");
    }
}

/// Who named the topics named this one too; brokers want the cursor among them.
#[test]
fn a_cursor_among_the_named_topics_stays_though_its_topic_was_hidden_meanwhile() {
    let mut rig = Rig::authenticated("reader");
    let named = ["clicks", "orders"].map(|name| TopicRequest::default().with_name(topic(name)));
    let request = DescribeTopicPartitionsRequest::default().with_topics(named.to_vec());
    rig.client(frames::request(0, 4, &request)).only_forwarded();
    rig.world.apply(&crate::support::world::POLICY.replace(
        "topics: [orders, clicks, masked, masked-too]",
        "topics: [clicks, masked]",
    ));
    let next = NextCursor::default().with_topic_name(topic("orders"));
    let response = DescribeTopicPartitionsResponse::default().with_next_cursor(Some(next.clone()));
    let round = rig.broker(frames::response::<DescribeTopicPartitionsRequest>(
        0, 4, &response,
    ));
    let (_, read) =
        frames::decode_response::<DescribeTopicPartitionsRequest>(0, &round.answers[0].bytes);
    assert_eq!(read.next_cursor, Some(next));
}
