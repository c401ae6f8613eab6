//! The policy that is in force here: what is stored, parsed, compiled and published.

use std::sync::Arc;

use sluice_masking::{DomainKey, KeyRing};
use sluice_policy::{
    ApprovalRuleView, Binding, Bound, Operation, PolicySet, ResourceRef, Revision, Source, Tables,
};
use sluice_proto::v1;
use sluice_session::mask_plans::mask_plans;
use tokio::sync::{Mutex, watch};

use crate::approve::{Question, Terms};
use crate::error::Error;
use crate::keys::MaskKeys;
use crate::publish::{PublishedSnapshot, Publisher};
use crate::store::{Contents, Space, Store};

/// Valid policy under one revision.
#[derive(Debug)]
pub struct PolicyInForce {
    pub revision: Revision,
    pub set: PolicySet,
    tables: Tables,
}

/// Follows the stored policy, and publishes what is valid.
#[derive(Debug)]
pub struct Follower {
    store: Arc<dyn Store>,
    publisher: Arc<Publisher>,
    mask_keys: MaskKeys,
    in_force: watch::Sender<Arc<PolicyInForce>>,
    /// Why what is stored is not in force; only a store that somebody else writes to can cause that.
    problem: watch::Sender<Option<String>>,
    one_at_a_time: Mutex<()>,
}

/// A gateway refuses a whole snapshot for masks that add up to no plan, and keeps what it had: such policy goes no further
/// than this. What is compiled here is thrown away, so any key will do.
fn check_mask_plans(tables: &Tables) -> Result<(), Error> {
    let mistake = |error: &dyn std::error::Error| Error::CallerMistake(error.to_string());
    let mut keys = KeyRing::new();
    for domain in tables.mask_domains() {
        keys.insert(domain, DomainKey::derive(&[0; 32], domain, 1))
            .map_err(|error| mistake(&error))?;
    }
    mask_plans(tables, &keys)
        .map(drop)
        .map_err(|error| mistake(&error))
}

impl PolicyInForce {
    /// Compiles a valid set.
    pub fn new(set: PolicySet, revision: Revision) -> Result<Self, Error> {
        Self::compile(set, revision).map(|(policy, _)| policy)
    }

    fn compile(set: PolicySet, revision: Revision) -> Result<(Self, Vec<u8>), Error> {
        let bytes = sluice_policy::compile(&set, revision)
            .map_err(|error| Error::CallerMistake(error.to_string()))?;
        let tables = Tables::load(bytes.clone()).map_err(|error| {
            Error::BrokenInvariant(format!("compiled tables do not load: {error}"))
        })?;
        check_mask_plans(&tables)?;
        Ok((
            Self {
                revision,
                set,
                tables,
            },
            bytes,
        ))
    }

    /// What the bindings say about a token of the issuer of this name.
    pub fn bind(
        &self,
        issuer: &str,
        claim: &dyn Fn(&str, &str) -> bool,
    ) -> Result<Option<Bound>, String> {
        match self.tables.bind(issuer, claim) {
            Ok(bound) => Ok(Some(bound)),
            Err(sluice_policy::BindError::ClientUnbound) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether any binding gives the role author.
    pub fn has_author(&self) -> bool {
        self.set.bindings().iter().any(|binding| {
            binding
                .control_roles
                .contains(&sluice_policy::ControlRole::Author)
        })
    }

    /// The person behind a principal such as `User:svc-orders`.
    pub fn person(&self, principal: &str) -> Option<&str> {
        self.set
            .bindings()
            .iter()
            .find(|binding| principal_is(binding, principal))
            .map(Binding::person)
    }
}

impl PolicyInForce {
    /// What a grant for this would be asked under: fails if the policy does not hold the operation for approval.
    pub fn question(
        &self,
        principal: &str,
        operation: &str,
        topic: &str,
    ) -> Result<Question, Error> {
        let operation = Operation::from_name(operation)
            .ok_or_else(|| Error::CallerMistake(format!("{operation} is not an operation")))?;
        let owner = self
            .person(principal)
            .ok_or_else(|| Error::CallerAskedForNothing {
                kind: "principal",
                name: principal.to_owned(),
            })?;
        let rule = self.approval_rule(topic).ok_or_else(|| {
            Error::CallerTooEarlyOrLate(format!(
                "{operation} on {topic} needs no approval under the policy in force"
            ))
        })?;
        // A grant lifts the hold, not the denial: nobody is to be asked for what stays denied.
        let bindings = self
            .set
            .bindings()
            .iter()
            .filter(|binding| principal_is(binding, principal));
        let roles: Vec<_> = bindings
            .flat_map(|binding| binding.roles.iter().map(String::as_str))
            .collect();
        let permitted =
            sluice_policy::explain_operations(&self.set, &roles, ResourceRef::Topic(topic));
        if !permitted.contains(operation) {
            return Err(Error::CallerTooEarlyOrLate(format!(
                "no role of {principal} permits {operation} on {topic}, and a grant would not change that"
            )));
        }
        Ok(Question {
            principal: principal.to_owned(),
            owner: owner.to_owned(),
            operation: operation.name().to_owned(),
            topic: topic.to_owned(),
            terms: Terms {
                rule: rule.name.to_owned(),
                quorum_count: rule.quorum_count,
                quorum_of: rule.quorum_of.to_owned(),
                timeout_ms: i64::try_from(rule.timeout_ms).unwrap_or(i64::MAX),
                lasts_ms: i64::try_from(rule.lasts_ms).unwrap_or(i64::MAX),
            },
        })
    }
}

impl PolicyInForce {
    /// What the classes of a topic add up to does not depend on who asks.
    fn approval_rule(&self, topic: &str) -> Option<ApprovalRuleView<'_>> {
        let access = self.tables.topic(&self.tables.rights(&[]), topic);
        let rule = self.tables.class(access.class()).approval?;
        Some(self.tables.approval_rule(rule))
    }
}

impl Follower {
    /// Reads the store and publishes what it holds.
    pub async fn start(
        store: Arc<dyn Store>,
        publisher: Arc<Publisher>,
        mask_keys: MaskKeys,
    ) -> Result<Self, Error> {
        let revision = Revision {
            incarnation: store.incarnation(),
            number: 0,
        };
        let empty = PolicyInForce::new(parse_stored(&Contents::default())?, revision)?;
        let follower = Self {
            store,
            publisher,
            mask_keys,
            in_force: watch::Sender::new(Arc::new(empty)),
            problem: watch::Sender::new(None),
            one_at_a_time: Mutex::new(()),
        };
        follower.refresh().await?;
        Ok(follower)
    }

    /// Takes the stored policy into force. What is not valid stays out, and the last good policy stays in.
    pub async fn refresh(&self) -> Result<(), Error> {
        let _alone = self.one_at_a_time.lock().await;
        let contents = self.store.load_all(Space::Policy).await?;
        let revision = Revision {
            incarnation: self.store.incarnation(),
            number: contents.revision,
        };
        if self.in_force().revision >= revision && self.publisher.newest().is_some() {
            return Ok(());
        }
        let taken = parse_stored(&contents).and_then(|set| PolicyInForce::compile(set, revision));
        let (policy, tables) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                tracing::error!(
                    "the stored policy of revision {revision} is not valid, the last good one stays: {error}"
                );
                self.problem.send_replace(Some(error.to_string()));
                return Ok(());
            }
        };
        let snapshot = self.snapshot(&policy, tables)?;
        self.in_force.send_replace(Arc::new(policy));
        self.problem.send_replace(None);
        self.publisher.publish(snapshot);
        tracing::info!("policy of revision {revision} is in force and published");
        Ok(())
    }

    pub fn in_force(&self) -> Arc<PolicyInForce> {
        self.in_force.borrow().clone()
    }

    /// Why what is stored is not in force.
    pub fn problem(&self) -> Option<String> {
        self.problem.borrow().clone()
    }

    fn snapshot(
        &self,
        policy: &PolicyInForce,
        tables: Vec<u8>,
    ) -> Result<PublishedSnapshot, Error> {
        let mut domains: Vec<_> = policy
            .set
            .masks()
            .iter()
            .map(|mask| mask.token.domain.as_str())
            .collect();
        domains.sort_unstable();
        domains.dedup();
        let mask_keys = domains
            .into_iter()
            .map(|domain| self.mask_keys.domain(domain))
            .collect();
        let revision = v1::Revision {
            incarnation: policy.revision.incarnation,
            number: policy.revision.number,
        };
        Ok(PublishedSnapshot::new(
            revision,
            &v1::Snapshot {
                tables: tables.into(),
                mask_keys,
            },
        ))
    }
}

fn principal_is(binding: &Binding, principal: &str) -> bool {
    principal
        .strip_prefix("User:")
        .is_some_and(|name| binding.principal == name)
}

/// Stored documents were valid when they were stored; a newer release may see it otherwise.
pub(crate) fn parse_stored(contents: &Contents) -> Result<PolicySet, Error> {
    let mut texts = Vec::with_capacity(contents.entries.len());
    for (key, value) in &contents.entries {
        let text = std::str::from_utf8(value)
            .map_err(|_| Error::StoreContentInvalid(format!("{key} is not UTF-8")))?;
        texts.push((stored_file(key), text));
    }
    let sources: Vec<_> = texts
        .iter()
        .map(|(file, text)| Source { file, text })
        .collect();
    sluice_policy::validate(&sources).map_err(|problems| {
        let first = problems
            .first()
            .map(ToString::to_string)
            .unwrap_or_default();
        Error::StoreContentInvalid(format!("{} problems, the first: {first}", problems.len()))
    })
}

/// How problems name a stored document.
pub(crate) fn stored_file(key: &str) -> String {
    format!("stored:{key}")
}
