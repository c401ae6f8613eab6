//! Settings: only those of topics, and of immutable ones only what keeps more.

use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource as IncrementalResource, AlterableConfig as IncrementalConfig,
};
use kafka_protocol::messages::{
    AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
};

use crate::support::Rig;
use crate::support::frames::{self, text};
use crate::topics::SEVEN_YEARS_MS;

const TOPIC: i8 = 2;
const GROUP: i8 = 32;

#[test]
fn the_legacy_alter_configs_never_touches_an_immutable_topic() {
    for version in 0..=2 {
        let mut rig = Rig::authenticated("admin");
        let resource = |kind, name: &str| {
            let config = AlterableConfig::default()
                .with_name(text("retention.ms"))
                .with_value(Some(text("-1")));
            AlterConfigsResource::default()
                .with_resource_type(kind)
                .with_resource_name(text(name))
                .with_configs(vec![config])
        };
        let empty = AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text("ledger"));
        let request = AlterConfigsRequest::default().with_resources(vec![
            resource(TOPIC, "ledger"),
            empty,
            resource(4, ""),
            resource(8, "0"),
            resource(16, "x"),
            resource(32, "g-1"),
            resource(TOPIC, "orders"),
        ]);
        let round = rig.client(frames::request(version, 4, &request));
        let (_, sent) =
            frames::decode_request::<AlterConfigsRequest>(&round.only_forwarded().bytes);
        assert_eq!(sent.resources, [resource(TOPIC, "orders")]);
        let round = rig.broker(frames::response::<AlterConfigsRequest>(
            version,
            4,
            &Default::default(),
        ));
        let (_, read) =
            frames::decode_response::<AlterConfigsRequest>(version, &round.answers[0].bytes);
        let errors: Vec<_> = read
            .responses
            .iter()
            .map(|result| result.error_code)
            .collect();
        assert_eq!(errors, [44, 44, 31, 31, 31, 30]);
    }
}

#[test]
fn single_settings_of_an_immutable_topic_may_only_keep_more() {
    let cases: &[(&str, i8, Option<&str>, i16)] = &[
        ("retention.ms", 0, Some("-1"), 0),
        ("retention.ms", 0, Some(SEVEN_YEARS_MS), 0),
        ("retention.bytes", 0, Some("-1"), 0),
        ("retention.ms", 0, Some("1"), 44),
        ("retention.ms", 1, None, 44),
        ("cleanup.policy", 0, Some("compact"), 44),
        ("cleanup.policy", 2, Some("compact"), 44),
        ("cleanup.policy", 3, Some("delete"), 44),
        ("retention.bytes", 0, Some("1"), 44),
        ("local.retention.ms", 0, Some("1"), 44),
        ("message.timestamp.type", 0, Some("LogAppendTime"), 44),
        ("retention.ms", 9, Some("-1"), 44),
        ("a.key.of.tomorrow", 0, Some("x"), 44),
    ];
    for version in 0..=1 {
        for (key, operation, value, error) in cases {
            let mut rig = Rig::authenticated("admin");
            let config = |key: &str, operation, value: Option<&str>| {
                IncrementalConfig::default()
                    .with_name(text(key))
                    .with_config_operation(operation)
                    .with_value(value.map(text))
            };
            let configs = vec![
                config("retention.bytes", 0, Some("-1")),
                config(key, *operation, *value),
            ];
            let resource = IncrementalResource::default()
                .with_resource_type(TOPIC)
                .with_resource_name(text("ledger"))
                .with_configs(configs);
            let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
            let round = rig.client(frames::request(version, 4, &request));
            if *error == 0 {
                let (_, sent) = frames::decode_request::<IncrementalAlterConfigsRequest>(
                    &round.only_forwarded().bytes,
                );
                assert_eq!(sent, request);
            } else {
                let (_, read) = frames::decode_response::<IncrementalAlterConfigsRequest>(
                    version,
                    round.only_answer(),
                );
                assert_eq!(
                    read.responses[0].error_code, *error,
                    "{key} {operation} {value:?}"
                );
            }
        }
    }
}

#[test]
fn settings_of_brokers_are_neither_shown_nor_changed() {
    for kind in [0, 1, 4, 8, 16, 32, -1, 127] {
        let mut rig = Rig::authenticated("admin");
        let show = DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text("0"));
        let round = rig.client(frames::request(
            4,
            4,
            &DescribeConfigsRequest::default().with_resources(vec![show]),
        ));
        let (_, read) = frames::decode_response::<DescribeConfigsRequest>(4, round.only_answer());
        let error = if kind == GROUP { 30 } else { 31 };
        assert_eq!(read.results[0].error_code, error);
        let change = IncrementalResource::default()
            .with_resource_type(kind)
            .with_resource_name(text("0"));
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![change]);
        let round = rig.client(frames::request(1, 5, &request));
        let (_, read) =
            frames::decode_response::<IncrementalAlterConfigsRequest>(1, round.only_answer());
        assert_eq!(read.responses[0].error_code, error);
    }
}

#[test]
fn settings_of_topics_are_shown_by_right() {
    for version in 1..=4 {
        let mut rig = Rig::authenticated("admin");
        let show = |name: &str| {
            DescribeConfigsResource::default()
                .with_resource_type(TOPIC)
                .with_resource_name(text(name))
        };
        let request =
            DescribeConfigsRequest::default().with_resources(vec![show("secret"), show("orders")]);
        let round = rig.client(frames::request(version, 4, &request));
        let (_, sent) =
            frames::decode_request::<DescribeConfigsRequest>(&round.only_forwarded().bytes);
        assert_eq!(sent.resources.len(), 1);
        let round = rig.broker(frames::response::<DescribeConfigsRequest>(
            version,
            4,
            &Default::default(),
        ));
        let (_, read) =
            frames::decode_response::<DescribeConfigsRequest>(version, &round.answers[0].bytes);
        assert_eq!(read.results[0].error_code, 29);
    }
}
