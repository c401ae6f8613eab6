//! Joining what the broker answered with what the gateway denied.
//!
//! The caller says, in the request's order, which topic-partitions the response must hold; each appears once, whatever the
//! broker sent and however often it was asked for.

use super::topics::{PartitionView, TopicKey, Topics};
use crate::ErrorCode;

/// One topic-partition of the request, and whose answer it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergeEntry<'a> {
    pub topic: TopicKey<'a>,
    pub partition: i32,
    /// `None`: the broker's answer.
    pub denial: Option<Denial<'a>>,
}

/// The gateway's own answer for a topic-partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial<'a> {
    pub error: ErrorCode,
    /// Shown to the client where the response has room for it (Produce 8 and later).
    pub message: Option<&'a str>,
}

/// The answer to one entry.
pub(crate) enum Answer<'e, P> {
    Denied(&'e Denial<'e>),
    Broker(P),
    /// The broker left out what it was asked.
    Missing,
}

/// The request's topic-partitions without repetitions, grouped by topic as they came, each with its answer.
pub(crate) struct Plan<'e, P> {
    pub(crate) topics: Vec<PlannedTopic<'e, P>>,
}

pub(crate) struct PlannedTopic<'e, P> {
    pub(crate) key: TopicKey<'e>,
    /// Partition index and answer.
    pub(crate) partitions: Vec<(i32, Answer<'e, P>)>,
}

impl<'e, P> Plan<'e, P> {
    pub(crate) fn new<'a>(entries: &'e [MergeEntry<'e>], broker: Option<Topics<'a, P>>) -> Self
    where
        P: PartitionView<'a>,
    {
        let mut answers: Vec<(TopicKey<'_>, i32, Option<P>)> = Vec::new();
        for topic in broker.into_iter().flatten() {
            answers.extend(
                topic
                    .partitions()
                    .map(|partition| (topic.key, partition.index(), Some(partition))),
            );
        }
        // Stable, so that the first of several answers is the one found.
        answers.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
        answers.dedup_by(|later, earlier| (later.0, later.1) == (earlier.0, earlier.1));

        let mut topics: Vec<PlannedTopic<'e, P>> = Vec::new();
        for entry in first_occurrences(entries) {
            let answer = match &entry.denial {
                Some(denial) => Answer::Denied(denial),
                None => answers
                    .binary_search_by(|probe| {
                        (probe.0, probe.1).cmp(&(entry.topic, entry.partition))
                    })
                    .ok()
                    .and_then(|found| answers.get_mut(found)?.2.take())
                    .map_or(Answer::Missing, Answer::Broker),
            };
            match topics.last_mut() {
                Some(topic) if topic.key == entry.topic => {
                    topic.partitions.push((entry.partition, answer))
                }
                _ => {
                    topics.push(PlannedTopic {
                        key: entry.topic,
                        partitions: vec![(entry.partition, answer)],
                    });
                }
            }
        }
        Self { topics }
    }
}

/// Entries in their order, without those whose topic and partition occurred before. If one of several denies, all are denied.
fn first_occurrences<'e>(
    entries: &'e [MergeEntry<'e>],
) -> impl Iterator<Item = &'e MergeEntry<'e>> {
    let mut order: Vec<(&'e MergeEntry<'e>, usize)> = entries.iter().zip(0..).collect();
    order.sort_by_key(|(entry, at)| (entry.topic, entry.partition, entry.denial.is_none(), *at));
    let mut chosen: Vec<Option<&'e MergeEntry<'e>>> = vec![None; entries.len()];
    for group in order.chunk_by(|(a, _), (b, _)| (a.topic, a.partition) == (b.topic, b.partition)) {
        let first = group
            .iter()
            .map(|(_, at)| *at)
            .min()
            .and_then(|at| chosen.get_mut(at));
        if let (Some(slot), Some((entry, _))) = (first, group.first()) {
            *slot = Some(entry);
        }
    }
    chosen.into_iter().flatten()
}
