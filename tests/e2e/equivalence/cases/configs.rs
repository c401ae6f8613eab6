//! Settings: DescribeConfigs, AlterConfigs, IncrementalAlterConfigs.

use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request as incremental;
use kafka_protocol::messages::{
    AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::super::scene::{Side, Who};
use super::{ANY, Case, case, text};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

/// Topics as settings see them.
const MIXED: [&str; 9] = [
    "full",
    "configured",
    "shown",
    "readable",
    "hidden",
    "altered",
    "absent",
    "made.absent",
    "made.denied",
];

/// Everything that has settings and is no topic.
fn others(side: &Side) -> Vec<(i8, StrBytes)> {
    vec![
        (BROKER, text("1")),
        (BROKER, text("")),
        (BROKER_LOGGER, text("1")),
        (CLIENT_METRICS, side.text("metrics")),
        (GROUP, side.text("all")),
        (GROUP, side.text("secret")),
    ]
}

fn topics(side: &Side, names: &[&str]) -> Vec<(i8, StrBytes)> {
    names.iter().map(|name| (TOPIC, side.text(name))).collect()
}

fn describe(of: Vec<(i8, StrBytes)>) -> DescribeConfigsRequest {
    let resources = of.into_iter().map(|(kind, name)| {
        let keys = match kind {
            TOPIC => vec![text("retention.ms"), text("cleanup.policy")],
            BROKER => vec![text("log.retention.hours")],
            _ => vec![text("no.such.key")],
        };
        DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(name)
            .with_configuration_keys(Some(keys))
    });
    DescribeConfigsRequest::default().with_resources(resources.collect())
}

fn replace(of: Vec<(i8, StrBytes)>, value: &str) -> AlterConfigsRequest {
    let resources = of.into_iter().map(|(kind, name)| {
        let config = AlterableConfig::default()
            .with_name(text("retention.ms"))
            .with_value(Some(text(value)));
        AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(name)
            .with_configs(vec![config])
    });
    AlterConfigsRequest::default().with_resources(resources.collect())
}

fn alter(of: Vec<(i8, StrBytes)>, key: &str, value: &str) -> IncrementalAlterConfigsRequest {
    let resources = of.into_iter().map(|(kind, name)| {
        let config = incremental::AlterableConfig::default()
            .with_name(text(key))
            .with_config_operation(0)
            .with_value(Some(text(value)));
        incremental::AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(name)
            .with_configs(vec![config])
    });
    IncrementalAlterConfigsRequest::default().with_resources(resources.collect())
}

pub(super) fn cases() -> Vec<Case> {
    let (single, cluster) = (Who::Single, Who::Cluster);
    vec![
        case("allowed", single, ANY, |side, _| {
            describe(topics(side, &["full", "shown"]))
        }),
        case("denied", single, ANY, |side, _| {
            describe(topics(side, &["hidden", "readable"]))
        }),
        case("mixed", single, ANY, |side, _| {
            describe(topics(side, &MIXED))
        }),
        case(
            "every setting, with synonyms",
            single,
            ANY,
            |side, version| {
                let all = DescribeConfigsResource::default()
                    .with_resource_type(TOPIC)
                    .with_resource_name(side.text("full"))
                    .with_configuration_keys(None);
                DescribeConfigsRequest::default()
                    .with_include_synonyms(true)
                    .with_include_documentation(version >= 3)
                    .with_resources(vec![all])
            },
        ),
        case("the same topic twice", single, ANY, |side, _| {
            describe(topics(side, &["full", "full", "hidden", "hidden"]))
        }),
        case("what is no topic, denied", single, ANY, |side, _| {
            describe(others(side))
        }),
        case("what is no topic, allowed", cluster, ANY, |side, _| {
            describe(others(side))
        }),
        case("topics and others", single, ANY, |side, _| {
            let mut all = topics(side, &["full", "hidden"]);
            all.extend(others(side));
            describe(all)
        }),
        case("nothing", single, ANY, |_, _| describe(Vec::new())),
        case("allowed", single, ANY, |side, version| {
            replace(
                topics(side, &["full", "configured"]),
                &format!("10000000{version}"),
            )
        }),
        case("denied", single, ANY, |side, _| {
            replace(topics(side, &["hidden", "readable", "shown"]), "1")
        }),
        case("mixed", single, ANY, |side, version| {
            replace(topics(side, &MIXED), &format!("20000000{version}"))
        }),
        case("only checked", single, ANY, |side, _| {
            replace(topics(side, &["full", "hidden"]), "3").with_validate_only(true)
        }),
        case("a value that is none", single, ANY, |side, _| {
            replace(topics(side, &["full", "hidden"]), "x")
        }),
        case("what is no topic, denied", single, ANY, |side, _| {
            replace(others(side), "1")
        }),
        case("what is no topic, allowed", cluster, ANY, |side, _| {
            replace(others(side), "1").with_validate_only(true)
        }),
        case("nothing", single, ANY, |_, _| replace(Vec::new(), "1")),
        case("allowed", single, ANY, |side, version| {
            alter(
                topics(side, &["full", "configured"]),
                "retention.ms",
                &format!("40000000{version}"),
            )
        }),
        case("denied", single, ANY, |side, _| {
            alter(
                topics(side, &["hidden", "readable", "shown"]),
                "retention.ms",
                "1",
            )
        }),
        case("mixed", single, ANY, |side, version| {
            alter(
                topics(side, &MIXED),
                "retention.ms",
                &format!("50000000{version}"),
            )
        }),
        case("only checked", single, ANY, |side, _| {
            alter(topics(side, &["full", "hidden"]), "retention.ms", "6").with_validate_only(true)
        }),
        case("a key that is none", single, ANY, |side, _| {
            alter(topics(side, &["full", "hidden"]), "no.such.key", "x")
        }),
        case("the same topic twice", single, ANY, |side, _| {
            alter(
                topics(side, &["full", "full", "hidden", "hidden"]),
                "retention.ms",
                "700000000",
            )
        }),
        case("what is no topic, denied", single, ANY, |side, _| {
            alter(others(side), "retention.ms", "1")
        }),
        case("what is no topic, allowed", cluster, ANY, |side, _| {
            alter(others(side), "log.retention.ms", "1").with_validate_only(true)
        }),
        case("nothing", single, ANY, |_, _| {
            alter(Vec::new(), "retention.ms", "1")
        }),
    ]
}
