//! One YAML document to one typed item: every key is known, every mistake is kept.

use std::sync::Arc;

use crate::decision::{Durability, Immutability};
use crate::duty::Duty;
use crate::fields::{Fields, Mistakes, Text, count, duration_ms, items, text, texts, truth, word};
use crate::kind::Kind;
use crate::limits::NAME_BYTES_MAX;
use crate::patterns::required_topics;
use crate::role::{
    ApprovalRule, Binding, ClassMarks, Cluster, ConflictOver, ConflictScope, ConflictSet,
    ConflictWhen, Issuer, Mask, Origin, Role, TopicClass,
};
use crate::yaml::{Node, Value};

/// The version of the documents that this release reads.
pub const API_VERSION: &str = "sluice/v1alpha1";

/// One document as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What it describes.
    pub kind: Kind,
    /// `metadata.name`; unique among documents of its kind.
    pub name: String,
    /// `metadata.labels`, sorted.
    pub labels: Vec<(String, String)>,
    /// The document's own text, comments included, without the `---` before it. Ends with one newline.
    pub text: String,
    /// The source's name, as it was given.
    pub file: Arc<str>,
    /// The line of its first key, from 1.
    pub line: usize,
}

/// A name in one document that another document must define.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    pub(crate) to: Kind,
    pub(crate) name: Text,
}

#[derive(Debug, Clone)]
pub(crate) enum Item {
    Issuer(Issuer),
    Role(Role),
    Binding(Binding),
    TopicClass(TopicClass),
    Mask(Mask),
    Conflict(ConflictSet),
    ApprovalRule(ApprovalRule),
    Cluster(Cluster),
}

/// A document read as far as its mistakes let it be.
pub(crate) struct Decoded {
    pub(crate) kind: Kind,
    pub(crate) name: Text,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) item: Option<Item>,
    pub(crate) references: Vec<Reference>,
}

/// Decodes one document. `None` if not even its kind and name are known.
pub(crate) fn decode(root: &Node<'_>, file: &Arc<str>, mistakes: &mut Mistakes) -> Option<Decoded> {
    let mut fields = Fields::of("a document", root, mistakes);
    if let Some(node) = fields.take("apiVersion") {
        word(
            "apiVersion",
            node,
            &[API_VERSION],
            |text| (text == API_VERSION).then_some(()),
            mistakes,
        );
    }
    let names = Kind::ALL.map(Kind::name);
    let kind = fields
        .require("kind", mistakes)
        .and_then(|node| word("kind", node, &names, Kind::from_name, mistakes));
    let metadata = fields
        .require("metadata", mistakes)
        .map(|node| metadata(node, mistakes));
    let spec = match kind {
        Some(Kind::Cluster) => fields.take("spec"),
        _ => fields.require("spec", mistakes),
    };
    // What the control plane reports; written back by `get`, meaningless in `apply`.
    fields.take("status");
    fields.finish(mistakes);

    let (kind, (Some(name), labels)) = (kind?, metadata?) else {
        return None;
    };
    let origin = Origin {
        file: file.clone(),
        line: root.place.line,
    };
    let mut decoder = Decoder {
        name: name.text.clone(),
        origin,
        references: Vec::new(),
        mistakes,
    };
    let item = spec.and_then(|spec| decoder.item(kind, spec));
    let item = match (item, kind) {
        (None, Kind::Cluster) => Some(Item::Cluster(Cluster {
            name: decoder.name,
            origin: decoder.origin,
            brokers: Vec::new(),
        })),
        (item, _) => item,
    };
    Some(Decoded {
        kind,
        name,
        labels,
        item,
        references: decoder.references,
    })
}

fn metadata(node: &Node<'_>, mistakes: &mut Mistakes) -> (Option<Text>, Vec<(String, String)>) {
    let mut fields = Fields::of("metadata", node, mistakes);
    let name = fields
        .require("name", mistakes)
        .and_then(|node| name("metadata.name", node, mistakes));
    let mut labels = fields
        .take("labels")
        .map(|node| pairs("metadata.labels", node, mistakes))
        .unwrap_or_default();
    labels.sort();
    if let Some(node) = fields.take("revision") {
        text("metadata.revision", node, mistakes);
    }
    fields.finish(mistakes);
    (name, labels)
}

pub(crate) struct Decoder<'m> {
    pub(crate) name: String,
    pub(crate) origin: Origin,
    references: Vec<Reference>,
    pub(crate) mistakes: &'m mut Mistakes,
}

impl Decoder<'_> {
    fn item(&mut self, kind: Kind, spec: &Node<'_>) -> Option<Item> {
        match kind {
            Kind::Role => self.role(spec).map(Item::Role),
            Kind::Binding => self.binding(spec).map(Item::Binding),
            Kind::TopicClass => self.topic_class(spec).map(Item::TopicClass),
            Kind::Mask => self.mask(spec).map(Item::Mask),
            Kind::Conflict => self.conflict(spec).map(Item::Conflict),
            Kind::ApprovalRule => self.approval_rule(spec).map(Item::ApprovalRule),
            Kind::Issuer => self.issuer(spec).map(Item::Issuer),
            Kind::Cluster => Some(Item::Cluster(self.cluster(spec))),
        }
    }

    fn topic_class(&mut self, spec: &Node<'_>) -> Option<TopicClass> {
        let mistakes = &mut *self.mistakes;
        let mut fields = Fields::of("a TopicClass's spec", spec, mistakes);
        let topics = required_topics(&mut fields, mistakes);
        let mut flag = |key: &'static str, mistakes: &mut Mistakes| {
            fields.take(key).and_then(|node| truth(key, node, mistakes)) == Some(true)
        };
        let immutable = if flag("immutable", mistakes) {
            Immutability::Immutable
        } else {
            Immutability::Mutable
        };
        let marks = ClassMarks {
            protected: flag("protected", mistakes),
            personal: flag("personal", mistakes),
        };
        let retention = fields.take("retention_min");
        let retention_min_ms =
            retention.and_then(|node| duration_ms("retention_min", node, mistakes));
        if let Some(node) = retention.filter(|_| immutable == Immutability::Mutable) {
            mistakes.push((
                node.place,
                "retention_min needs `immutable: true`; add it, or remove this line".into(),
            ));
        }
        let approval = fields
            .take("approval")
            .and_then(|node| text("approval", node, mistakes));
        let durability = fields.take("record").and_then(|node| {
            let mut record = Fields::of("record", node, mistakes);
            let known = ["queued", "written", "synced"];
            let durability = record
                .require("durability", mistakes)
                .and_then(|node| word("durability", node, &known, Durability::from_name, mistakes));
            record.finish(mistakes);
            durability
        });
        fields.finish(mistakes);
        Some(TopicClass {
            name: self.name.clone(),
            origin: self.origin.clone(),
            topics,
            immutable,
            retention_min_ms,
            approval: self
                .refer(Kind::ApprovalRule, approval.into_iter().collect())
                .pop(),
            durability: durability.unwrap_or_default(),
            marks,
        })
    }

    fn conflict(&mut self, spec: &Node<'_>) -> Option<ConflictSet> {
        let mistakes = &mut *self.mistakes;
        let mut fields = Fields::of("a Conflict's spec", spec, mistakes);
        let node = fields.require("duties", mistakes);
        let names = Duty::ALL.map(Duty::name);
        let written = items("duties", node, mistakes);
        let mut duties: Vec<Duty> = written
            .iter()
            .filter_map(|node| word("a duty", node, &names, Duty::from_name, mistakes))
            .collect();
        let all_known = duties.len() == written.len()
            && node.is_some_and(|node| matches!(node.value, Value::Sequence(_)));
        duties.sort();
        duties.dedup();
        if let Some(node) = node.filter(|_| all_known && duties.len() < 2) {
            mistakes.push((
                node.place,
                "a conflict set has at least two different duties".into(),
            ));
        }
        let over = fields.require("over", mistakes).and_then(|node| {
            let read = |text: &str| match text {
                "same-topic" => Some(ConflictOver::SameTopic),
                "anywhere" => Some(ConflictOver::Anywhere),
                _ => None,
            };
            word("over", node, &["same-topic", "anywhere"], read, mistakes)
        });
        let scope = fields.require("scope", mistakes).and_then(|node| {
            let read = |text: &str| match text {
                "principal" => Some(ConflictScope::Principal),
                "person" => Some(ConflictScope::Person),
                "team" => Some(ConflictScope::Team),
                _ => None,
            };
            word(
                "scope",
                node,
                &["principal", "person", "team"],
                read,
                mistakes,
            )
        });
        let when = fields.require("when", mistakes).and_then(|node| {
            let read = |text: &str| match text {
                "static" => Some(ConflictWhen::Static),
                "dynamic" => Some(ConflictWhen::Dynamic),
                _ => None,
            };
            word("when", node, &["static", "dynamic"], read, mistakes)
        });
        fields.finish(mistakes);
        Some(ConflictSet {
            name: self.name.clone(),
            origin: self.origin.clone(),
            duties,
            over: over?,
            scope: scope?,
            when: when?,
        })
    }

    fn approval_rule(&mut self, spec: &Node<'_>) -> Option<ApprovalRule> {
        let mistakes = &mut *self.mistakes;
        let mut fields = Fields::of("an ApprovalRule's spec", spec, mistakes);
        let quorum = fields.require("quorum", mistakes).and_then(|node| {
            let mut quorum = Fields::of("quorum", node, mistakes);
            let of = quorum
                .require("of", mistakes)
                .and_then(|node| name("of", node, mistakes));
            let people = quorum
                .require("count", mistakes)
                .and_then(|node| count("count", node, mistakes));
            quorum.finish(mistakes);
            Some((people?, of?.text))
        });
        let mut time = |key: &'static str, mistakes: &mut Mistakes| {
            fields
                .require(key, mistakes)
                .and_then(|node| duration_ms(key, node, mistakes))
        };
        let (hold_ms, timeout_ms) = (time("hold", mistakes), time("timeout", mistakes));
        let lasts_ms = fields.require("grant", mistakes).and_then(|node| {
            let mut grant = Fields::of("grant", node, mistakes);
            let lasts = grant
                .require("lasts", mistakes)
                .and_then(|node| duration_ms("lasts", node, mistakes));
            grant.finish(mistakes);
            lasts
        });
        let place = fields.place;
        fields.finish(mistakes);
        if lasts_ms == Some(0) || timeout_ms == Some(0) {
            mistakes.push((place, "timeout and lasts are longer than nothing".into()));
        }
        let (quorum_count, quorum_of) = quorum?;
        Some(ApprovalRule {
            name: self.name.clone(),
            origin: self.origin.clone(),
            quorum_count,
            quorum_of,
            hold_ms: hold_ms?,
            timeout_ms: timeout_ms?,
            lasts_ms: lasts_ms?,
        })
    }

    fn issuer(&mut self, spec: &Node<'_>) -> Option<Issuer> {
        let mistakes = &mut *self.mistakes;
        let mut fields = Fields::of("an Issuer's spec", spec, mistakes);
        let url = fields
            .require("url", mistakes)
            .and_then(|node| text("url", node, mistakes));
        if let Some(url) = url.as_ref().filter(|url| {
            !["https://", "http://"]
                .iter()
                .any(|s| url.text.starts_with(s))
        }) {
            mistakes.push((url.place, "url starts with https://".into()));
        }
        let audience = fields
            .require("audience", mistakes)
            .and_then(|node| text("audience", node, mistakes));
        let principal = fields
            .take("principal_claim")
            .and_then(|node| text("principal_claim", node, mistakes));
        let groups = fields
            .take("groups_claim")
            .and_then(|node| text("groups_claim", node, mistakes));
        fields.finish(mistakes);
        Some(Issuer {
            name: self.name.clone(),
            origin: self.origin.clone(),
            url: url?.text,
            audience: audience?.text,
            principal_claim: principal.map_or_else(|| "sub".to_owned(), |claim| claim.text),
            groups_claim: groups.map(|claim| claim.text),
        })
    }

    fn cluster(&mut self, spec: &Node<'_>) -> Cluster {
        let mut fields = Fields::of("a Cluster's spec", spec, self.mistakes);
        let brokers = texts("brokers", fields.take("brokers"), self.mistakes);
        fields.finish(self.mistakes);
        let brokers = brokers.into_iter().map(|broker| broker.text).collect();
        Cluster {
            name: self.name.clone(),
            origin: self.origin.clone(),
            brokers,
        }
    }

    /// Remembers that other documents must define these names.
    pub(crate) fn refer(&mut self, to: Kind, names: Vec<Text>) -> Vec<String> {
        self.references.extend(names.iter().map(|name| Reference {
            to,
            name: name.clone(),
        }));
        names.into_iter().map(|name| name.text).collect()
    }
}

/// A mapping of texts.
pub(crate) fn pairs(
    what: &'static str,
    node: &Node<'_>,
    mistakes: &mut Mistakes,
) -> Vec<(String, String)> {
    let Value::Mapping(pairs) = &node.value else {
        mistakes.push((
            node.place,
            format!("{what} is a mapping, not {}", node.noun()),
        ));
        return Vec::new();
    };
    pairs
        .iter()
        .filter_map(|(key, value)| {
            Some((
                text(what, key, mistakes)?.text,
                text(what, value, mistakes)?.text,
            ))
        })
        .collect()
}

/// A name of ours: no blanks, no quotes needed.
pub(crate) fn name(what: &str, node: &Node<'_>, mistakes: &mut Mistakes) -> Option<Text> {
    let name = text(what, node, mistakes)?;
    let legal = name.text.len() <= NAME_BYTES_MAX
        && name
            .text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte))
        && name
            .text
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !legal {
        let message = format!(
            "{what} is at most {NAME_BYTES_MAX} letters, digits, `.`, `_`, `@`, `-`, starting with a letter or digit"
        );
        mistakes.push((name.place, message));
    }
    legal.then_some(name)
}
