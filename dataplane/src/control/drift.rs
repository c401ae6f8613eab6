//! Watches the settings in force on immutable topics: who has rights on the brokers themselves, or changes the brokers' own
//! settings, is not stopped by the gateway, but does not go unseen.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kafka_protocol::messages::DescribeConfigsRequest;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::protocol::StrBytes;
use sluice_policy::{CreateRequirements, Drift, Revision, drift};

use super::probe::{LoggedIn, ProbeError, within};
use crate::config::GatewayConfig;
use crate::metrics::Metrics;
use crate::shard_state::{BrokerNode, Cluster, Published};

const LOOK_EVERY: Duration = Duration::from_secs(30);
/// After a violation was seen: an operator who mends it is told soon.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
const TOPICS_PER_REQUEST: usize = 200;
const DESCRIBE_CONFIGS_VERSION: i16 = 4;
const RESOURCE_TOPIC: i8 = 2;

/// What stands for the settings of a topic that the brokers do not show: a gateway that may not look has seen nothing.
const NOT_SHOWN: &str = "settings not shown to the gateway";
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;

/// Settings that let the history of immutable topics change, as the last look found them.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// When, and under which policy.
    looked: Option<(Instant, Revision)>,
    /// The last look failed, or found something: the next one comes soon.
    uneasy: bool,
    found: BTreeSet<(String, Drift)>,
}

impl Watch {
    /// Looks, if it is time to. Each violation is told once when it comes and once when it goes.
    pub(super) async fn look(
        &mut self,
        config: &GatewayConfig,
        published: &Published,
        cluster: &Cluster,
        topics: &[String],
        metrics: &Metrics,
    ) {
        let (Some((revision, watched)), Some(node)) =
            (immutable(published, topics), cluster.nodes.values().next())
        else {
            return;
        };
        let every = if self.uneasy { LOOK_AGAIN } else { LOOK_EVERY };
        let seen = |(at, under): (Instant, Revision)| under == revision && at.elapsed() < every;
        if self.looked.is_some_and(seen) {
            return;
        }
        let described = describe(config, node, &watched).await;
        self.looked = Some((Instant::now(), revision));
        match described {
            Ok(found) => {
                self.uneasy = !found.is_empty();
                self.tell(found, &watched);
                metrics.immutable_violations(self.found.len());
            }
            Err(error) => {
                self.uneasy = true;
                tracing::warn!("settings of immutable topics could not be looked at: {error}");
            }
        }
    }

    fn tell(&mut self, found: BTreeSet<(String, Drift)>, watched: &Watched) {
        for (topic, Drift { key, value }) in found.difference(&self.found) {
            tracing::error!(
                topic,
                setting = key,
                value,
                "an immutable topic is not kept as its class demands: set it right on the brokers, and see who changed it"
            );
        }
        for (topic, Drift { key, .. }) in self.found.difference(&found) {
            let other_value = |(name, drift): &(String, Drift)| name == topic && drift.key == *key;
            if !watched.iter().any(|(name, _)| name == topic) {
                tracing::warn!(
                    topic,
                    "an immutable topic that was not kept as its class demands is gone"
                );
            } else if !found.iter().any(other_value) {
                tracing::info!(
                    topic,
                    setting = key,
                    "an immutable topic is kept as its class demands again"
                );
            }
        }
        self.found = found;
    }
}

type Watched = Vec<(String, CreateRequirements)>;

/// The topics of immutable classes, and what each demands; `None` without policy.
fn immutable(published: &Published, topics: &[String]) -> Option<(Revision, Watched)> {
    let newest = published.snapshot.reader();
    let tables = &newest.seen().as_ref().as_ref()?.tables;
    // Classes bind whoever comes, so nobody's rights will do.
    let nobody = tables.rights(&[]);
    let watched = topics.iter().filter_map(|topic| {
        let class = tables.class(tables.topic(&nobody, topic).class());
        Some((topic.clone(), class.create_requirements()?))
    });
    Some((tables.revision(), watched.collect()))
}

async fn describe(
    config: &GatewayConfig,
    node: &BrokerNode,
    watched: &Watched,
) -> Result<BTreeSet<(String, Drift)>, ProbeError> {
    let mut found = BTreeSet::new();
    if watched.is_empty() {
        return Ok(found);
    }
    let mut broker = within(LoggedIn::connect(config, node)).await?;
    for chunk in watched.chunks(TOPICS_PER_REQUEST) {
        let resources = chunk.iter().map(|(topic, _)| {
            let mut resource = DescribeConfigsResource::default();
            resource.resource_type = RESOURCE_TOPIC;
            resource.resource_name = StrBytes::from_string(topic.clone());
            // All of them: one that is not shown would count as a violation.
            resource.configuration_keys = None;
            resource
        });
        let mut request = DescribeConfigsRequest::default();
        request.resources = resources.collect();
        let answer = within(broker.ask(DESCRIBE_CONFIGS_VERSION, &request)).await?;
        for (topic, required) in chunk {
            let shown = answer
                .results
                .iter()
                .find(|result| **topic == *result.resource_name);
            let drifts = match shown {
                Some(result) if result.error_code == 0 => {
                    let in_force = result
                        .configs
                        .iter()
                        .map(|config| (&*config.name, config.value.as_deref()));
                    drift(required, in_force)
                }
                // Gone meanwhile.
                Some(result) if result.error_code == UNKNOWN_TOPIC_OR_PARTITION => continue,
                _ => vec![Drift {
                    key: NOT_SHOWN,
                    value: shown.map_or(String::new(), |result| {
                        format!("error {}", result.error_code)
                    }),
                }],
            };
            found.extend(drifts.into_iter().map(|drift| (topic.clone(), drift)));
        }
    }
    Ok(found)
}
