//! Apply and get: merge, validate, store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use saphyr_parser::{Event, Parser};
use sluice_evidence::{Kind, Revision};
use sluice_policy::{PolicySet, Source, TokenLength};
use sluice_proto::v1;

use crate::changes::{Change as ChangeFact, ChangeLog};
use crate::error::Error;
use crate::identity::Caller;
use crate::in_force::{Follower, PolicyInForce, stored_file};
use crate::limits::{APPLIED_DOCUMENTS_MAX, STORE_ATTEMPTS_MAX};
use crate::store::{Change, Contents, Space, Store};

/// The administration point.
#[derive(Debug)]
pub struct Administration {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) follower: Arc<Follower>,
    pub(crate) changes: Arc<ChangeLog>,
}

impl Administration {
    /// Validates the documents together with what is stored. Stores all of them, or answers with every problem.
    pub async fn apply(
        &self,
        caller: &Caller,
        request: &v1::ApplyRequest,
    ) -> Result<v1::ApplyResponse, Error> {
        for _ in 0..STORE_ATTEMPTS_MAX {
            match self.try_apply(caller, request).await {
                Err(Error::StoreMoved) => {}
                done => return done,
            }
        }
        Err(Error::StoreMoved)
    }

    /// Stored documents of a kind and name; an empty one fits all.
    pub fn get(&self, kind: &str, name: &str) -> v1::GetResponse {
        let policy = self.follower.in_force();
        let fits = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
        let mut documents: Vec<_> = policy
            .set
            .documents()
            .filter(|document| fits(kind, document.kind.name()) && fits(name, &document.name))
            .map(|document| v1::StoredDocument {
                kind: document.kind.name().to_owned(),
                name: document.name.clone(),
                text: document.text.clone(),
            })
            .collect();
        documents.sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
        v1::GetResponse {
            revision: Some(to_message(policy.revision)),
            documents,
        }
    }

    async fn try_apply(
        &self,
        caller: &Caller,
        request: &v1::ApplyRequest,
    ) -> Result<v1::ApplyResponse, Error> {
        let stored = self.store.load_all(Space::Policy).await?;
        let (set, applied) = match merge(&stored, request) {
            Ok(merged) => merged,
            Err(problems) => {
                return Ok(v1::ApplyResponse {
                    problems,
                    ..v1::ApplyResponse::default()
                });
            }
        };
        if applied.len() > APPLIED_DOCUMENTS_MAX {
            return Err(Error::CallerOverLimit {
                what: "documents in one apply",
                limit: APPLIED_DOCUMENTS_MAX,
            });
        }
        let Plan { changes, lines } = plan(&stored, &set, &applied, request.prune);
        let unchanged = Revision {
            incarnation: self.store.incarnation(),
            number: stored.revision,
        };
        if request.dry_run || changes.is_empty() {
            // What parses may still not compile, and a plan must say so.
            PolicyInForce::new(set, policy_revision(unchanged))?;
            let revision = (!request.dry_run).then(|| to_message(policy_revision(unchanged)));
            return Ok(v1::ApplyResponse {
                revision,
                problems: Vec::new(),
                changes: lines,
            });
        }
        PolicyInForce::new(set, policy_revision(unchanged))?;
        let summary = lines
            .iter()
            .filter(|line| !line.ends_with(" unchanged"))
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        self.record(caller, "apply-intended", &summary, unchanged)?;
        let number = match self
            .store
            .transact(Space::Policy, stored.revision, &changes)
            .await
        {
            Ok(number) => number,
            Err(error) => {
                self.record(caller, "apply-not-stored", &error.to_string(), unchanged)?;
                return Err(error);
            }
        };
        let revision = Revision {
            number,
            ..unchanged
        };
        self.record(caller, "apply-stored", &summary, revision)?;
        self.follower.refresh().await?;
        let revision = Some(to_message(policy_revision(revision)));
        Ok(v1::ApplyResponse {
            revision,
            problems: Vec::new(),
            changes: lines,
        })
    }

    fn record(
        &self,
        caller: &Caller,
        code: &str,
        text: &str,
        revision: Revision,
    ) -> Result<(), Error> {
        self.changes.record(&ChangeFact {
            kind: Kind::ControlChange,
            principal: &caller.principal,
            code,
            text,
            revision,
            topic: "",
            operation: "",
        })
    }
}

/// `kind/name`: the key of a document in the store.
type Key = String;

struct Plan {
    changes: Vec<Change>,
    /// As [`v1::ApplyResponse::changes`].
    lines: Vec<String>,
}

/// The policy that would be stored, and the keys of the documents that were sent.
fn merge(
    stored: &Contents,
    request: &v1::ApplyRequest,
) -> Result<(PolicySet, BTreeSet<Key>), Vec<v1::Problem>> {
    let applied: BTreeSet<Key> = request
        .documents
        .iter()
        .flat_map(|document| keys_in(&document.text))
        .collect();
    let stays = |key: &Key| !request.prune && !applied.contains(key);
    let kept: Vec<_> = stored
        .entries
        .iter()
        .filter(|(key, _)| stays(key))
        .map(|(key, value)| (stored_file(key), String::from_utf8_lossy(value)))
        .collect();
    let sent = request.documents.iter().map(|document| Source {
        file: &document.file,
        text: &document.text,
    });
    let sources: Vec<_> = sent
        .chain(kept.iter().map(|(file, text)| Source { file, text }))
        .collect();
    let set = sluice_policy::validate(&sources).map_err(|problems| {
        problems
            .into_iter()
            .map(problem_to_message)
            .collect::<Vec<_>>()
    })?;
    match mask_path_problems(&set) {
        problems if problems.is_empty() => Ok((set, applied)),
        problems => Err(problems),
    }
}

/// Field paths that a gateway could not compile: refused here, where the author sees why.
fn mask_path_problems(set: &PolicySet) -> Vec<v1::Problem> {
    let mut problems = Vec::new();
    for mask in set.masks() {
        for field in mask.paths() {
            let fault = match sluice_masking::Path::parse(field) {
                Err(error) => error.to_string(),
                // In a string the length of a token depends on how often its quotes are escaped.
                Ok(path) if path.goes_into_strings() && mask.token.length == TokenLength::Same => {
                    format!("length: same does not go with `$json` in {field}")
                }
                Ok(_) => continue,
            };
            problems.push(v1::Problem {
                file: mask.origin.file.to_string(),
                line: u32::try_from(mask.origin.line).unwrap_or(u32::MAX),
                column: 1,
                message: format!("mask {}: {fault}", mask.name),
            });
        }
    }
    problems
}

fn plan(stored: &Contents, set: &PolicySet, applied: &BTreeSet<Key>, prune: bool) -> Plan {
    let next: BTreeMap<Key, &str> = set
        .documents()
        .map(|document| {
            (
                format!("{}/{}", document.kind.name(), document.name),
                document.text.as_str(),
            )
        })
        .collect();
    let mut plan = Plan {
        changes: Vec::new(),
        lines: Vec::new(),
    };
    for (key, text) in next.iter().filter(|(key, _)| applied.contains(*key)) {
        let what = match stored.entries.get(key) {
            Some(held) if held == text.as_bytes() => "unchanged",
            Some(_) => "changed",
            None => "created",
        };
        if what != "unchanged" {
            plan.changes.push(Change::Put {
                key: key.clone(),
                value: text.as_bytes().to_vec(),
            });
        }
        plan.lines.push(format!("{key} {what}"));
    }
    if prune {
        for key in stored.entries.keys().filter(|key| !next.contains_key(*key)) {
            plan.changes.push(Change::Delete { key: key.clone() });
            plan.lines.push(format!("{key} removed"));
        }
    }
    plan
}

/// The `kind/name` of every document in a text, as far as it can be read: what cannot is reported by validation, which
/// reads the same text. Only needed to know which stored documents these replace.
fn keys_in(text: &str) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut depth = 0_u32;
    // Per depth, whether the next scalar is a key, and the last key read.
    let mut path: Vec<(bool, String)> = Vec::new();
    let (mut kind, mut name) = (String::new(), String::new());
    for event in Parser::new_from_str(text) {
        let Ok((event, _)) = event else { break };
        match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                depth += 1;
                path.push((matches!(event, Event::MappingStart(..)), String::new()));
            }
            Event::MappingEnd | Event::SequenceEnd => {
                depth = depth.saturating_sub(1);
                path.pop();
                value_read(&mut path);
            }
            Event::Scalar(text, ..) => match path.last_mut() {
                Some((expects_key @ true, key)) => {
                    *expects_key = false;
                    *key = text.into_owned();
                }
                Some(_) => {
                    match path.iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>()[..] {
                        ["kind"] => kind = text.into_owned(),
                        ["metadata", "name"] => name = text.into_owned(),
                        _ => {}
                    }
                    value_read(&mut path);
                }
                None => {}
            },
            Event::Alias(_) => value_read(&mut path),
            Event::DocumentEnd => {
                if !kind.is_empty() && !name.is_empty() {
                    keys.push(format!("{kind}/{name}"));
                }
                (kind, name) = (String::new(), String::new());
                path.clear();
                depth = 0;
            }
            _ => {}
        }
        if depth > 64 {
            break;
        }
    }
    keys
}

/// After a value, a mapping expects its next key; a sequence never does, and its key is empty.
fn value_read(path: &mut [(bool, String)]) {
    if let Some((expects_key, key)) = path.last_mut()
        && !key.is_empty()
    {
        *expects_key = true;
        key.clear();
    }
}

fn problem_to_message(problem: sluice_policy::Problem) -> v1::Problem {
    v1::Problem {
        file: problem.file,
        line: u32::try_from(problem.line).unwrap_or(u32::MAX),
        column: u32::try_from(problem.column).unwrap_or(u32::MAX),
        message: problem.message,
    }
}

fn policy_revision(revision: Revision) -> sluice_policy::Revision {
    sluice_policy::Revision {
        incarnation: revision.incarnation,
        number: revision.number,
    }
}

fn to_message(revision: sluice_policy::Revision) -> v1::Revision {
    v1::Revision {
        incarnation: revision.incarnation,
        number: revision.number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_recognised_whatever_their_style() {
        let text = "
kind: Role                       # a comment
metadata: {name: orders-writer, labels: {name: no, kind: no}}
spec: {permissions: [{operations: [Write], topics: [orders]}], kind: no}
---
{metadata: {labels: {a: [1, {name: no}]}, name: \"b\"}, kind: 'Mask'}
---
spec: [kind, name]
---
apiVersion: sluice/v1alpha1
metadata:
  name: c
kind: Binding
---
kind: Role
metadata: {name: never
";
        assert_eq!(keys_in(text), ["Role/orders-writer", "Mask/b", "Binding/c"]);
    }
    #[test]
    fn masks_that_no_gateway_could_compile_are_refused_with_their_name() {
        let problems = |spec: &str| {
            let text =
                format!("kind: Mask\nmetadata: {{name: m}}\nspec: {{topics: [t], {spec}}}\n");
            let source = Source {
                file: "p.yaml",
                text: &text,
            };
            let set = sluice_policy::validate(&[source]).unwrap();
            let problems = mask_path_problems(&set).into_iter();
            problems.map(|problem| problem.message).collect::<Vec<_>>()
        };
        let token = |more: &str| format!("token: {{shape: opaque, domain: d{more}}}");
        for (spec, told) in [
            (
                format!("fields: [\"$.a[0]\"], {}", token("")),
                "mask m: field path `$.a[0]`",
            ),
            (
                format!("key: [\"$.a.$json\"], {}", token("")),
                "ends in `$json`",
            ),
            (
                format!("fields: [$.a.$json.b], {}", token(", length: same")),
                "mask m: length: same does not go with `$json` in $.a.$json.b",
            ),
        ] {
            let problems = problems(&spec);
            assert_eq!(problems.len(), 1, "{spec}: {problems:?}");
            assert!(problems[0].contains(told), "{spec}: {problems:?}");
        }
        let good = format!("fields: [$.a], {}", token(", length: same"));
        assert_eq!(problems(&good), Vec::<String>::new());
        let good = format!("fields: [$.a.$json.b], key: [$.c], {}", token(""));
        assert_eq!(problems(&good), Vec::<String>::new());
    }
}
