//! Metadata (key 3): shows the topics that the role may describe and the gateway's own addresses.

use std::collections::BTreeSet;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use sluice_policy::Operation;

use super::{Asker, ColdApi, OPERATIONS_UNKNOWN, Verdict, code, names};

pub(crate) struct Metadata;

pub(crate) struct Pending {
    denied: Vec<MetadataResponseTopic>,
    with_operations: bool,
}

impl ColdApi for Metadata {
    type Request = MetadataRequest;
    type Response = MetadataResponse;
    type Pending = Pending;

    fn decide(
        ask: &mut Asker<'_>,
        version: i16,
        request: &mut MetadataRequest,
    ) -> Verdict<Pending, MetadataResponse> {
        // Creation goes through CreateTopics, where its settings are seen.
        request.allow_auto_topic_creation = false;
        let with_operations = request.include_topic_authorized_operations;
        let mut denied = Vec::new();
        if let Some(topics) = &mut request.topics {
            let seen = &mut BTreeSet::new();
            topics.retain_mut(|topic| {
                // To a broker the id counts: Java, which asks so for what a pattern has found, sends an empty name beside it.
                if version >= 12 && !topic.topic_id.is_nil() {
                    topic.name = None;
                }
                let topic = &*topic;
                let (name, refusal) = visible(ask, version, topic);
                let keep = refusal.is_none();
                if let Some(refusal) = refusal {
                    denied.push(refusal);
                }
                keep && name.is_none_or(|name| seen.insert((name, topic.topic_id)))
            });
            // An empty list asks for the brokers alone.
            if topics.is_empty() {
                ask.names_nothing();
            }
        }
        Verdict::Forward(Pending {
            denied,
            with_operations,
        })
    }

    fn answer(
        ask: &mut Asker<'_>,
        version: i16,
        pending: Pending,
        response: &mut MetadataResponse,
    ) {
        response
            .brokers
            .retain_mut(|broker| match ask.advertised(broker.node_id.0) {
                Some((host, port)) => {
                    broker.host = host;
                    broker.port = port;
                    true
                }
                None => false,
            });
        response.topics.retain(|topic| {
            topic
                .name
                .as_ref()
                .is_none_or(|name| ask.may_describe_topic(name))
        });
        for topic in &mut response.topics {
            if let Some(name) = &topic.name {
                ask.learn_topic_id(topic.topic_id, name);
                if pending.with_operations {
                    topic.topic_authorized_operations = ask.topic_operations(name);
                }
            }
        }
        if response.cluster_authorized_operations != OPERATIONS_UNKNOWN {
            response.cluster_authorized_operations = ask.cluster_operations();
        }
        let _ = version;
        response.topics.extend(pending.denied);
    }
}

/// The topic's name, and the refusal to show instead of it.
fn visible(
    ask: &mut Asker<'_>,
    version: i16,
    topic: &MetadataRequestTopic,
) -> (Option<String>, Option<MetadataResponseTopic>) {
    let refused = |error: i16| {
        let mut refusal = MetadataResponseTopic::default();
        refusal.error_code = error;
        refusal.name = topic.name.clone();
        if topic.name.is_none() {
            refusal.topic_id = topic.topic_id;
            if version < 12 {
                refusal.name = Some(names::topic(""));
            }
        }
        refusal
    };
    let name = match &topic.name {
        Some(name) => name.to_string(),
        None => match ask.topic_name(topic.topic_id) {
            Some(name) => name,
            None => return (None, Some(refused(code::UNKNOWN_TOPIC_ID))),
        },
    };
    match ask.topic(Operation::Describe, &name) {
        Ok(()) => (Some(name), None),
        // By id too, as brokers do, and as Fetch does here: an id is too long to be guessed, so who knows it was shown
        // its topic once. The name stays out.
        Err(_) => (None, Some(refused(code::TOPIC_AUTHORIZATION_FAILED))),
    }
}
