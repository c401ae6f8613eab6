//! Parsed policy: if it exists, it is valid by itself. Conflicts of duty are looked for apart, in [`validate`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::conflicts::conflicts;
use crate::document::{Decoded, Document, Item, Reference, decode};
use crate::error::Problem;
use crate::fields::{list, nearest};
use crate::kind::Kind;
use crate::limits::{
    APPROVAL_RULES_COUNT_MAX, DOCUMENTS_COUNT_MAX, PRINCIPAL_BINDINGS_COUNT_MAX,
    PROBLEMS_COUNT_MAX, SOURCES_BYTES_MAX, TOPIC_MASKS_COUNT_MAX,
};
use crate::principal::ControlRole;
use crate::resolve::Regions;
use crate::role::{
    ApprovalRule, Binding, Cluster, ConflictSet, Issuer, Mask, Origin, Role, TopicClass,
};
use crate::yaml::{Place, read, split};

/// A text that holds policy documents, and the name by which problems call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source<'a> {
    /// A file name, or whatever tells the author where to look.
    pub file: &'a str,
    /// YAML, any number of documents.
    pub text: &'a str,
}

/// Parsed and valid policy. Items of each kind are sorted by name; names are unique, references resolve.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicySet {
    documents: Vec<Document>,
    roles: Vec<Role>,
    bindings: Vec<Binding>,
    classes: Vec<TopicClass>,
    masks: Vec<Mask>,
    conflict_sets: Vec<ConflictSet>,
    approval_rules: Vec<ApprovalRule>,
    issuers: Vec<Issuer>,
    clusters: Vec<Cluster>,
}

/// Parses documents and checks that they fit together.
///
/// # Errors
/// Every problem found, in the order of sources and lines; at most [`PROBLEMS_COUNT_MAX`].
pub fn parse(sources: &[Source<'_>]) -> Result<PolicySet, Vec<Problem>> {
    let mut parsing = Parsing::default();
    parsing.sources(sources);
    parsing.sort();
    parsing.references();
    parsing.bindings();
    parsing.masks_and_classes();
    parsing.finish()
}

/// [`parse`], and no static conflict of duty.
///
/// # Errors
/// Every problem found; violations are reported at the binding that completes them.
pub fn validate(sources: &[Source<'_>]) -> Result<PolicySet, Vec<Problem>> {
    let set = parse(sources)?;
    let violations = conflicts(&set);
    if violations.is_empty() {
        return Ok(set);
    }
    Err(violations
        .iter()
        .map(|violation| {
            let at = &violation.second.binding_origin;
            Problem {
                file: at.file.to_string(),
                line: at.line,
                column: 1,
                message: violation.to_string(),
            }
        })
        .collect())
}

macro_rules! sorted_items {
    ($($all:ident, $one:ident: $type:ty, $what:literal;)*) => {$(
        #[doc = concat!("All ", $what, "s, sorted by name.")]
        #[must_use]
        pub fn $all(&self) -> &[$type] {
            &self.$all
        }

        #[doc = concat!("The ", $what, " with this name.")]
        #[must_use]
        pub fn $one(&self, name: &str) -> Option<&$type> {
            let at = self.$all.binary_search_by(|item| item.name.as_str().cmp(name)).ok()?;
            self.$all.get(at)
        }
    )*};
}

impl PolicySet {
    sorted_items! {
        roles, role: Role, "role";
        bindings, binding: Binding, "binding";
        classes, class: TopicClass, "topic class";
        masks, mask: Mask, "mask";
        conflict_sets, conflict_set: ConflictSet, "conflict set";
        approval_rules, approval_rule: ApprovalRule, "approval rule";
        issuers, issuer: Issuer, "issuer";
        clusters, cluster: Cluster, "cluster";
    }

    /// The documents as they were written, sorted by kind and name.
    pub fn documents(&self) -> impl ExactSizeIterator<Item = &Document> {
        self.documents.iter()
    }

    /// One document as it was written.
    #[must_use]
    pub fn document(&self, kind: Kind, name: &str) -> Option<&Document> {
        let at = self
            .documents
            .binary_search_by(|d| (d.kind, d.name.as_str()).cmp(&(kind, name)))
            .ok()?;
        self.documents.get(at)
    }
}

#[derive(Default)]
struct Parsing {
    set: PolicySet,
    references: Vec<(Arc<str>, Reference)>,
    /// With the position of the source, so that problems come in the order in which sources were given.
    problems: Vec<(usize, Problem)>,
    order: HashMap<Arc<str>, usize>,
}

impl Parsing {
    fn sources(&mut self, sources: &[Source<'_>]) {
        let bytes_count = sources
            .iter()
            .fold(0_usize, |sum, source| sum.saturating_add(source.text.len()));
        let mut written: BTreeMap<(Kind, String), Origin> = BTreeMap::new();
        for source in sources {
            let file: Arc<str> = source.file.into();
            let position = self.order.len();
            self.order.entry(file.clone()).or_insert(position);
            let top = Place { line: 1, column: 1 };
            if bytes_count > SOURCES_BYTES_MAX {
                self.problem(&file, top, format!("all sources together have {bytes_count} bytes; {SOURCES_BYTES_MAX} are the most"));
                return;
            }
            for chunk in split(source.text) {
                if self.set.documents.len() >= DOCUMENTS_COUNT_MAX {
                    self.problem(
                        &file,
                        top,
                        format!("there are more than {DOCUMENTS_COUNT_MAX} documents"),
                    );
                    return;
                }
                let mut mistakes = Vec::new();
                let decoded = match read(chunk) {
                    Ok(root) => decode(&root, &file, &mut mistakes)
                        .map(|decoded| (root.place.line, decoded)),
                    Err(mistake) => {
                        mistakes.push(mistake);
                        None
                    }
                };
                for (place, message) in mistakes {
                    self.problem(&file, place, message);
                }
                let Some((line, decoded)) = decoded else {
                    continue;
                };
                let key = (decoded.kind, decoded.name.text.clone());
                if let Some(first) = written.get(&key) {
                    let message =
                        format!("{} {} stands at {first} already; keep one", key.0, key.1);
                    self.problem(&file, decoded.name.place, message);
                    continue;
                }
                written.insert(
                    key,
                    Origin {
                        file: file.clone(),
                        line,
                    },
                );
                self.add(&file, line, chunk.text, decoded);
            }
        }
    }

    fn add(&mut self, file: &Arc<str>, line: usize, text: &str, decoded: Decoded) {
        let Decoded {
            kind,
            name,
            labels,
            item,
            references,
        } = decoded;
        let text = format!("{}\n", text.trim());
        self.set.documents.push(Document {
            kind,
            name: name.text.clone(),
            labels,
            text,
            file: file.clone(),
            line,
        });
        self.references.extend(
            references
                .into_iter()
                .map(|reference| (file.clone(), reference)),
        );
        match item {
            Some(Item::Role(role)) => {
                if ControlRole::from_name(&role.name).is_some() {
                    let message = format!(
                        "{} is a role of the control plane; choose another name",
                        role.name
                    );
                    self.problem(file, name.place, message);
                }
                self.set.roles.push(role);
            }
            Some(Item::Binding(binding)) => self.set.bindings.push(binding),
            Some(Item::TopicClass(class)) => self.set.classes.push(class),
            Some(Item::Mask(mask)) => self.set.masks.push(mask),
            Some(Item::Conflict(conflict)) => self.set.conflict_sets.push(conflict),
            Some(Item::ApprovalRule(rule)) => self.set.approval_rules.push(rule),
            Some(Item::Issuer(issuer)) => self.set.issuers.push(issuer),
            Some(Item::Cluster(cluster)) => self.set.clusters.push(cluster),
            None => {}
        }
    }

    fn sort(&mut self) {
        let set = &mut self.set;
        set.documents
            .sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        set.roles.sort_by(|a, b| a.name.cmp(&b.name));
        set.bindings.sort_by(|a, b| a.name.cmp(&b.name));
        set.classes.sort_by(|a, b| a.name.cmp(&b.name));
        set.masks.sort_by(|a, b| a.name.cmp(&b.name));
        set.conflict_sets.sort_by(|a, b| a.name.cmp(&b.name));
        set.approval_rules.sort_by(|a, b| a.name.cmp(&b.name));
        set.issuers.sort_by(|a, b| a.name.cmp(&b.name));
        set.clusters.sort_by(|a, b| a.name.cmp(&b.name));
    }

    /// Documents count as existing even if they have mistakes of their own: one mistake, one problem.
    fn references(&mut self) {
        let mut missing = Vec::new();
        for (file, reference) in &self.references {
            let name = reference.name.text.as_str();
            if self.set.document(reference.to, name).is_some() {
                continue;
            }
            let known = || {
                self.set
                    .documents
                    .iter()
                    .filter(|d| d.kind == reference.to)
                    .map(|d| d.name.as_str())
            };
            let hint = match nearest(name, known().take(1_000)) {
                Some(near) => format!("did you mean {near}?"),
                None if known().next().is_none() => {
                    format!("write a {} document, or remove the name", reference.to)
                }
                None => format!("there are {}", list(known().take(8))),
            };
            missing.push((
                file.clone(),
                reference.name.place,
                format!("there is no {} {name}; {hint}", reference.to),
            ));
        }
        for (file, place, message) in missing {
            self.problem(&file, place, message);
        }
        if self.set.approval_rules.len() > APPROVAL_RULES_COUNT_MAX {
            let rule = self
                .set
                .approval_rules
                .last()
                .map(|rule| rule.origin.clone());
            self.problem_at(
                rule,
                format!("there are more than {APPROVAL_RULES_COUNT_MAX} approval rules"),
            );
        }
    }

    fn bindings(&mut self) {
        let mut problems = Vec::new();
        let mut principals: BTreeMap<&str, Vec<&Binding>> = BTreeMap::new();
        let mut matches = HashMap::new();
        for binding in &self.set.bindings {
            principals
                .entry(&binding.principal)
                .or_default()
                .push(binding);
            if let Some(first) = matches.insert((&binding.issuer, &binding.claims), binding)
                && first.principal != binding.principal
            {
                problems.push((
                    binding.origin.clone(),
                    format!(
                        "bindings {} and {} match the same tokens and make two principals of them; state one `principal:` in both, or change a claim",
                        first.name, binding.name
                    ),
                ));
            }
        }
        for (principal, bindings) in principals {
            let [first, rest @ ..] = bindings.as_slice() else {
                continue;
            };
            if bindings.len() > PRINCIPAL_BINDINGS_COUNT_MAX {
                let message = format!(
                    "principal {principal} has more than {PRINCIPAL_BINDINGS_COUNT_MAX} bindings; join some"
                );
                problems.push((first.origin.clone(), message));
            }
            for other in rest {
                if (first.kind, first.person(), &first.team)
                    != (other.kind, other.person(), &other.team)
                {
                    let message = format!(
                        "bindings {} and {} state the same principal {principal}, but not the same kind, owner and team",
                        first.name, other.name
                    );
                    problems.push((other.origin.clone(), message));
                }
            }
        }
        for (origin, message) in problems {
            self.problem_at(Some(origin), message);
        }
    }

    fn masks_and_classes(&mut self) {
        let mut problems = Vec::new();
        let masks = self.set.masks.iter().enumerate();
        let patterns =
            masks.flat_map(|(i, mask)| mask.topics.iter().map(move |p| (p, BTreeSet::from([i]))));
        let regions = Regions::of(patterns);
        if let Some(crowd) = regions
            .sums()
            .find(|masks| masks.len() > TOPIC_MASKS_COUNT_MAX)
            && let Some(mask) = crowd.last().and_then(|last| self.set.masks.get(*last))
        {
            let message = format!(
                "more than {TOPIC_MASKS_COUNT_MAX} masks match one topic, {} among them; join some",
                mask.name
            );
            problems.push((mask.origin.clone(), message));
        }
        let approving = self
            .set
            .classes
            .iter()
            .filter_map(|class| Some((class, class.approval.as_deref()?)));
        let patterns = approving.flat_map(|(class, rule)| {
            class
                .topics
                .iter()
                .map(move |pattern| (pattern, BTreeSet::from([(rule, class.name.as_str())])))
        });
        let mut torn = BTreeSet::new();
        for claims in Regions::of(patterns).sums() {
            let mut claims = claims.iter();
            let Some((first_rule, first_class)) = claims.next() else {
                continue;
            };
            if let Some((_, class)) = claims.find(|(rule, _)| rule != first_rule) {
                torn.insert((*first_class, *class));
            }
        }
        for (first, second) in torn {
            let message = format!(
                "classes {first} and {second} share a topic and ask for different approval rules; name the same rule in both, or part their topics"
            );
            if let Some(class) = self.set.class(second) {
                problems.push((class.origin.clone(), message));
            }
        }
        for (origin, message) in problems {
            self.problem_at(Some(origin), message);
        }
    }

    fn finish(mut self) -> Result<PolicySet, Vec<Problem>> {
        if self.problems.is_empty() {
            return Ok(self.set);
        }
        self.problems.sort();
        self.problems.dedup();
        self.problems.truncate(PROBLEMS_COUNT_MAX);
        Err(self
            .problems
            .into_iter()
            .map(|(_, problem)| problem)
            .collect())
    }

    fn problem_at(&mut self, origin: Option<Origin>, message: String) {
        if let Some(Origin { file, line }) = origin {
            self.problem(&file, Place { line, column: 1 }, message);
        }
    }

    fn problem(&mut self, file: &Arc<str>, place: Place, message: String) {
        // Sorted and cut at the end; a bound on memory here.
        if self.problems.len() < PROBLEMS_COUNT_MAX.saturating_mul(10) {
            let position = self.order.get(file).copied().unwrap_or(usize::MAX);
            let (line, column) = (place.line, place.column);
            self.problems.push((
                position,
                Problem {
                    file: file.to_string(),
                    line,
                    column,
                    message,
                },
            ));
        }
    }
}
