//! Subscriptions by pattern (KIP-848): resolved here, for the broker would resolve them with the gateway's own rights.
//!
//! As a broker does it (`TopicRegexResolver` of Kafka 4.4), a pattern stands for the topics whose whole name matches and
//! which the member may Describe; Read is asked when it fetches. The broker is told their names and never sees a pattern.

use std::rc::Rc;
use std::sync::Arc;

use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, TopicName};
use sluice_policy::Operation;

use super::{Asker, code, names};
use crate::limits::{SUBSCRIPTION_TOPICS_MAX, TOPIC_NAME_BYTES_MAX};
use crate::pattern::Pattern;
use crate::subscriptions::{MemberKey, Subscription, Told};

/// A heartbeat that does not go on, and the answer to it.
#[derive(Debug)]
pub(super) struct Unsettled {
    pub(super) error_code: i16,
    pub(super) message: String,
}

/// What one heartbeat says of the subscription; `None` is "as before".
struct Stated {
    names: Option<Vec<Arc<str>>>,
    pattern: Option<String>,
    /// The same, if this session has compiled it already.
    compiled: Option<Rc<Pattern>>,
}

/// Leaves in `request` what the broker shall know: no pattern, and names where they are new to it. Returns the member if its
/// topics come from a pattern.
pub(super) fn settle(
    ask: &mut Asker<'_>,
    request: &mut ConsumerGroupHeartbeatRequest,
) -> Result<Option<MemberKey>, Unsettled> {
    // To the broker too, no pattern is "as before", and there never was one.
    let pattern = request
        .subscribed_topic_regex
        .take()
        .map(|text| text.to_string());
    let stated = Stated {
        names: request.subscribed_topic_names.as_deref().map(in_order),
        compiled: pattern
            .as_deref()
            .and_then(|text| ask.subscriptions().compiled(text)),
        pattern,
    };
    let key = MemberKey {
        group: request.group_id.to_string(),
        member: request.member_id.to_string(),
    };
    let known = ask.subscriptions().take(&key);
    if request.member_epoch < 0 {
        return Ok(None); // It leaves, and says all again when it comes back.
    }
    let joins = request.member_epoch == 0;
    let before = match known {
        _ if joins => Subscription::default(),
        Some(known) => known,
        None if stated.names.is_some() => Subscription::default(),
        None => {
            ask.subscriptions().put(key, Subscription::default());
            return Err(said_elsewhere());
        }
    };
    let says_nothing = stated.names.is_none() && stated.pattern.is_none();
    if says_nothing && is_current(ask, &before) {
        let resolved = before.pattern.is_some().then(|| key.clone());
        ask.subscriptions().put(key, before);
        return Ok(resolved);
    }
    match resolve(ask, request, stated, &before) {
        Ok(subscription) => {
            let resolved = subscription.pattern.is_some().then(|| key.clone());
            ask.subscriptions().put(key, subscription);
            Ok(resolved)
        }
        Err(unsettled) => {
            ask.subscriptions().put(key, before);
            Err(unsettled)
        }
    }
}

/// A member that another connection knows. It may have a pattern, which the broker does not know, so its topics would stay
/// what they were.
///
/// Clients say all again after an error, and after a connection that ended under a heartbeat (Java:
/// `AbstractHeartbeatRequestManager` resets what it has sent in `onErrorResponse` and `onFailure`; librdkafka:
/// `SEND_FULL_REQUEST` in `rd_kafka_cgrp_handle_ConsumerGroupHeartbeat`), but not if it ended between two heartbeats. Hence
/// this error, once: with this one both say all, where at 14 librdkafka only repeats itself.
fn said_elsewhere() -> Unsettled {
    Unsettled {
        error_code: code::COORDINATOR_NOT_AVAILABLE,
        message: "Sluice: the subscription has to be said again on this connection".to_owned(),
    }
}

/// Whether the broker knows what the pattern stands for now.
fn is_current(ask: &Asker<'_>, subscription: &Subscription) -> bool {
    match (&subscription.pattern, &subscription.told) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(_), Some(told)) => {
            let topics = ask.topic_names();
            // Topics that are no longer known make no pattern stand for others.
            let same_topics = topics.names().is_none() || told.generation == topics.generation();
            told.revision == ask.revision() && same_topics
        }
    }
}

fn resolve(
    ask: &mut Asker<'_>,
    request: &mut ConsumerGroupHeartbeatRequest,
    stated: Stated,
    before: &Subscription,
) -> Result<Subscription, Unsettled> {
    let group = request.group_id.to_string();
    let says_pattern = stated.pattern.is_some();
    let pattern = match (stated.pattern, stated.compiled) {
        (None, _) => before.pattern.clone(),
        (Some(_), Some(compiled)) => Some(compiled),
        (Some(text), None) if text.is_empty() => None,
        (Some(text), None) => {
            let compiled = ask.compile(&text);
            Some(Rc::new(compiled.map_err(|error| {
                refused(ask, &group, &format!("its pattern is refused: {error}"))
            })?))
        }
    };
    // Those that are named now were asked for already. Those named before are no more than a wish: if policy has changed,
    // the subscription goes on without them, as a pattern does.
    let asked = stated.names.as_deref().unwrap_or_default();
    let named = match &stated.names {
        Some(names) => names.clone(),
        None => before.names.clone(),
    };
    let visible = |ask: &Asker<'_>, name: &Arc<str>| {
        asked.binary_search(name).is_ok() || ask.may_describe_topic(name)
    };
    let mut topics: Vec<Arc<str>> = named
        .iter()
        .filter(|name| visible(ask, name))
        .cloned()
        .collect();
    let mut subscription = Subscription {
        names: named,
        pattern,
        told: None,
    };
    let Some(pattern) = subscription.pattern.clone() else {
        if says_pattern && stated.names.is_none() {
            tell(ask, request, asked, &topics);
        }
        return Ok(subscription);
    };
    let cluster = ask.topic_names();
    let Some(all) = cluster.names() else {
        // Java backs off and says all again, librdkafka repeats itself.
        let text =
            "the cluster's topics are not known to this gateway, or are too many for patterns";
        let denial = ask.unresolved(&group, "topics-unknown", text.to_owned());
        return Err(Unsettled {
            error_code: code::COORDINATOR_LOAD_IN_PROGRESS,
            message: denial.message(),
        });
    };
    // All of the cluster's topics are gone through.
    ask.give_way();
    let matching = all
        .iter()
        .filter(|name| pattern.matches(name) && visible(ask, name));
    topics.extend(matching.cloned());
    topics.sort_unstable();
    topics.dedup();
    if topics.len() > SUBSCRIPTION_TOPICS_MAX {
        let text = format!(
            "it comes to more than {SUBSCRIPTION_TOPICS_MAX} topics: use a narrower pattern"
        );
        return Err(refused(ask, &group, &text));
    }
    let says_nothing = stated.names.is_none() && !says_pattern;
    let told_before = before.told.as_ref().filter(|_| says_nothing);
    if told_before.is_none_or(|told| told.names != topics) {
        tell(ask, request, asked, &topics);
    }
    subscription.told = Some(Told {
        revision: ask.revision(),
        generation: cluster.generation(),
        names: topics,
    });
    Ok(subscription)
}

/// Puts the topics into the request, each with its permit.
fn tell(
    ask: &mut Asker<'_>,
    request: &mut ConsumerGroupHeartbeatRequest,
    asked: &[Arc<str>],
    topics: &[Arc<str>],
) {
    let mut told: Vec<TopicName> = Vec::with_capacity(topics.len());
    for name in topics {
        if asked.binary_search(name).is_ok() || ask.topic(Operation::Describe, name).is_ok() {
            told.push(names::topic(name));
        }
    }
    request.subscribed_topic_names = Some(told);
}

fn refused(ask: &mut Asker<'_>, group: &str, why: &str) -> Unsettled {
    let text = format!("the subscription is not served: {why}");
    Unsettled {
        error_code: code::INVALID_REGULAR_EXPRESSION,
        message: ask.unresolved(group, "pattern-unsupported", text).message(),
    }
}

/// What is kept of the names: each once, none that no topic can bear, and no more than show that they are too many.
fn in_order(named: &[TopicName]) -> Vec<Arc<str>> {
    let mut kept: Vec<&str> = named.iter().map(|name| &***name).collect();
    kept.retain(|name| name.len() <= TOPIC_NAME_BYTES_MAX);
    kept.sort_unstable();
    kept.dedup();
    kept.truncate(SUBSCRIPTION_TOPICS_MAX.saturating_add(1));
    kept.into_iter().map(Arc::from).collect()
}
