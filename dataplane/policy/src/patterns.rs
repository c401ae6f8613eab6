//! Operations and resource patterns, as permissions, classes and masks write them.

use crate::fields::{Fields, Mistakes, Text, is_empty_list, items, text, text_of, word};
use crate::limits::{PATTERN_BYTES_MAX, TOPIC_BYTES_MAX};
use crate::operation::{Operation, OperationSet};
use crate::resource::{Pattern, ResourceKind, is_internal_topic};
use crate::yaml::{Node, Place, Value};

pub(crate) fn operations(
    node: Option<&Node<'_>>,
    mistakes: &mut Mistakes,
) -> Vec<(Operation, Place)> {
    let names = Operation::ALL.map(Operation::name);
    let operations: Vec<_> = items("operations", node, mistakes)
        .iter()
        .filter_map(|node| {
            word("an operation", node, &names, Operation::from_name, mistakes)
                .map(|operation| (operation, node.place))
        })
        .collect();
    if let Some(node) = node.filter(|node| is_empty_list(node)) {
        mistakes.push((node.place, "operations is empty; name at least one".into()));
    }
    let mut seen = OperationSet::EMPTY;
    for (operation, place) in &operations {
        if seen.contains(*operation) {
            mistakes.push((*place, format!("{operation} stands here twice; keep one")));
        }
        seen = seen.union(OperationSet::of(&[*operation]));
    }
    operations
}

pub(crate) fn required_topics(
    fields: &mut Fields<'_, '_>,
    mistakes: &mut Mistakes,
) -> Vec<Pattern> {
    let node = fields.require("topics", mistakes);
    patterns(ResourceKind::Topic, "topics", node, mistakes)
}

pub(crate) fn patterns(
    kind: ResourceKind,
    what: &str,
    node: Option<&Node<'_>>,
    mistakes: &mut Mistakes,
) -> Vec<Pattern> {
    let nodes = items(what, node, mistakes);
    if let Some(node) = node.filter(|node| is_empty_list(node)) {
        mistakes.push((
            node.place,
            format!("{what} is empty; name at least one, or remove the key"),
        ));
    }
    nodes
        .iter()
        .filter_map(|node| pattern(kind, node, mistakes))
        .collect()
}

fn pattern(kind: ResourceKind, node: &Node<'_>, mistakes: &mut Mistakes) -> Option<Pattern> {
    let what = format!("a {kind}");
    match &node.value {
        Value::Mapping(_) => {
            let mut fields = Fields::of("a pattern", node, mistakes);
            let (prefix, literal) = (fields.take("prefix"), fields.take("literal"));
            fields.finish(mistakes);
            match (prefix, literal) {
                // An empty prefix matches every name, and is written on purpose.
                (Some(node), None) if text_of(node) == Some("") => {
                    Some(Pattern::Prefix(String::new()))
                }
                (Some(node), None) => {
                    let prefix = text(&what, node, mistakes)?;
                    resource_name(kind, &prefix, mistakes).then_some(Pattern::Prefix(prefix.text))
                }
                (None, Some(node)) => {
                    literal_pattern(kind, &text(&what, node, mistakes)?, mistakes)
                }
                _ => {
                    mistakes.push((
                        node.place,
                        "a pattern is {prefix: ..} or {literal: ..}".into(),
                    ));
                    None
                }
            }
        }
        Value::Quoted(star) if &**star == "*" => Some(Pattern::Any),
        _ => literal_pattern(kind, &text(&what, node, mistakes)?, mistakes),
    }
}

fn literal_pattern(kind: ResourceKind, name: &Text, mistakes: &mut Mistakes) -> Option<Pattern> {
    // Kafka reads a literal `*` as a wildcard, so it must never be a name here.
    if name.text == "*" {
        mistakes.push((
            name.place,
            "write \"*\" alone, in quotes, for every name".into(),
        ));
        return None;
    }
    if kind == ResourceKind::Topic && is_internal_topic(&name.text) {
        mistakes.push((
            name.place,
            format!(
                "{} is Kafka's own and denied to everybody; remove it",
                name.text
            ),
        ));
        return None;
    }
    resource_name(kind, name, mistakes).then(|| Pattern::Literal(name.text.clone()))
}

fn resource_name(kind: ResourceKind, name: &Text, mistakes: &mut Mistakes) -> bool {
    let legal = match kind {
        ResourceKind::Topic => {
            name.text.len() <= TOPIC_BYTES_MAX
                && name
                    .text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        }
        _ => name.text.len() <= PATTERN_BYTES_MAX,
    };
    if !legal {
        let message = match kind {
            ResourceKind::Topic => {
                format!(
                    "{} is no topic name (letters, digits, `.`, `_`, `-`); for a prefix write {{prefix: ..}}",
                    name.text
                )
            }
            _ => format!("a {kind} in a policy has at most {PATTERN_BYTES_MAX} bytes"),
        };
        mistakes.push((name.place, message));
    }
    legal
}
