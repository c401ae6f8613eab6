//! What the gRPC services and the dashboard share: every call of theirs goes through here, token first.

use std::sync::Arc;

use sluice_policy::ControlRole;
use sluice_proto::v1;

use crate::administer::Administration;
use crate::approve::{Answer, Approvals, Requester, Standing};
use crate::archive::{Archive, Batch, HeldLog};
use crate::changes::CONTROL_PLANE;
use crate::clock::Clock;
use crate::error::Error;
use crate::identity::{Caller, Identity};
use crate::in_force::Follower;
use crate::index::Index;
use crate::publish::Publisher;

/// The control plane's parts, joined.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) clock: Clock,
    pub(crate) identity: Identity,
    pub(crate) follower: Arc<Follower>,
    pub(crate) administration: Administration,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) approvals: Approvals,
    pub(crate) archive: Archive,
    pub(crate) index: Index,
}

const ANY_ROLE: &[ControlRole] = &[
    ControlRole::Author,
    ControlRole::Approver,
    ControlRole::Auditor,
    ControlRole::Operator,
];

impl Control {
    pub(crate) async fn authenticate(&self, token: &str) -> Result<Caller, Error> {
        self.identity
            .authenticate(token, &self.follower.in_force())
            .await
    }

    pub(crate) async fn apply(
        &self,
        by: &Caller,
        request: &v1::ApplyRequest,
    ) -> Result<v1::ApplyResponse, Error> {
        by.require(&[ControlRole::Author])?;
        self.administration.apply(by, request).await
    }

    pub(crate) fn get(
        &self,
        by: &Caller,
        kind: &str,
        name: &str,
    ) -> Result<v1::GetResponse, Error> {
        by.require(ANY_ROLE)?;
        Ok(self.administration.get(kind, name))
    }

    pub(crate) async fn search(
        &self,
        by: &Caller,
        request: v1::SearchEvidenceRequest,
    ) -> Result<Vec<v1::EvidenceRow>, Error> {
        by.require(&[ControlRole::Auditor])?;
        self.indexed(move |index| index.search(&request)).await
    }

    pub(crate) async fn sessions(
        &self,
        by: &Caller,
        limit: u32,
    ) -> Result<Vec<v1::SessionRow>, Error> {
        by.require(&[ControlRole::Auditor, ControlRole::Operator])?;
        self.indexed(move |index| index.sessions(limit)).await
    }

    pub(crate) async fn replay(
        &self,
        by: &Caller,
        session: String,
        after: u64,
    ) -> Result<Vec<v1::EvidenceRow>, Error> {
        by.require(&[ControlRole::Auditor])?;
        self.indexed(move |index| index.session(&session, after))
            .await
    }

    /// The logs that are held, with what an auditor needs to verify a copy of one.
    pub(crate) async fn evidence_logs(
        &self,
        by: &Caller,
    ) -> Result<Vec<v1::EvidenceLogRow>, Error> {
        by.require(&[ControlRole::Auditor])?;
        let archive = self.archive.clone();
        blocking(move || {
            let row = |held: HeldLog| {
                let checkpoint = archive.newest_checkpoint(held.id)?.unwrap_or_default();
                Ok(v1::EvidenceLogRow {
                    log: held.log,
                    gateway: held.gateway,
                    verifier_key: held.verifier_key,
                    held_leaves: held.next_leaf,
                    // It was parsed before it was kept, so it is UTF-8.
                    checkpoint: String::from_utf8(checkpoint).unwrap_or_default(),
                })
            };
            archive.logs()?.into_iter().map(row).collect()
        })
        .await
    }

    /// Anybody with a binding asks for its own principal; an owner asks for the principals that it owns.
    pub(crate) async fn request_approval(
        &self,
        by: &Caller,
        request: &v1::RequestApprovalRequest,
    ) -> Result<v1::Approval, Error> {
        let principal = if request.principal.is_empty() {
            &by.principal
        } else {
            &request.principal
        };
        let policy = self.follower.in_force();
        if *principal != by.principal && policy.person(principal) != Some(by.person.as_str()) {
            return Err(Error::CallerDenied(format!(
                "{} is neither {} nor its owner",
                by.person, principal
            )));
        }
        let question = policy.question(principal, &request.operation, &request.topic)?;
        let requester = Requester {
            name: &by.person,
            person: &by.person,
        };
        let opened = self
            .approvals
            .ask(question, requester, &request.reason)
            .await?;
        Ok(opened.to_message(self.clock.unix_ms()))
    }

    /// A gateway asks for the principal whose write it holds. The rule is the one in force here: the gateway's snapshot
    /// may be older.
    pub(crate) async fn ask_approval(
        &self,
        gateway: &str,
        request: &v1::AskApprovalRequest,
    ) -> Result<v1::AskApprovalResponse, Error> {
        let policy = self.follower.in_force();
        let question = policy.question(&request.principal, &request.operation, &request.topic)?;
        let reason = format!(
            "held by {gateway}; client id {}, session {}",
            shorten(&request.client_id),
            shorten(&request.session)
        );
        let owner = question.owner.clone();
        let requester = Requester {
            name: &request.principal,
            person: &owner,
        };
        let opened = match self.approvals.just_timed_out(&question) {
            Some(late) => late,
            None => self.approvals.ask(question, requester, &reason).await?,
        };
        Ok(opened.to_answer(self.clock.unix_ms()))
    }

    /// Who may see approval requests: anybody with a role or in a group of approvers; others see their own.
    pub(crate) fn list_approvals(&self, by: &Caller, open_only: bool) -> Vec<v1::Approval> {
        let now_unix_ms = self.clock.unix_ms();
        let sees_all = by.require(ANY_ROLE).is_ok() || !by.groups.is_empty();
        let book = self.approvals.book();
        let mut listed: Vec<_> = book
            .requests
            .values()
            .filter(|request| {
                sees_all
                    || request.requester_person == by.person
                    || request.question.owner == by.person
            })
            .filter(|request| !open_only || request.standing_at(now_unix_ms) == Standing::Open)
            .map(|request| request.to_message(now_unix_ms))
            .collect();
        listed.sort_by_key(|approval| std::cmp::Reverse(approval.opened_unix_ms));
        listed
    }

    pub(crate) async fn decide_approval(
        &self,
        by: &Caller,
        id: &str,
        answer: Answer,
        reason: &str,
    ) -> Result<v1::Approval, Error> {
        let decided = self.approvals.decide(id, by, answer, reason).await?;
        Ok(decided.to_message(self.clock.unix_ms()))
    }

    pub(crate) fn gateways(&self, by: &Caller) -> Result<Vec<v1::GatewayRow>, Error> {
        by.require(&[
            ControlRole::Operator,
            ControlRole::Auditor,
            ControlRole::Author,
        ])?;
        let row = |(gateway, standing): (String, crate::publish::GatewayStanding)| v1::GatewayRow {
            gateway,
            revision: standing.in_force,
            error: standing.error,
            last_seen_unix_ms: standing.last_seen_unix_ms,
        };
        Ok(self.publisher.gateways().into_iter().map(row).collect())
    }

    /// Keeps shipped evidence; durable when this returns.
    pub(crate) async fn keep_evidence(&self, batch: Batch) -> Result<u64, Error> {
        if batch.gateway == CONTROL_PLANE {
            return Err(Error::GatewayUnauthenticated);
        }
        let archive = self.archive.clone();
        let now_unix_ms = self.clock.unix_ms();
        blocking(move || archive.keep(&batch, now_unix_ms)).await
    }

    /// Asks the index, after it has seen all that the archive holds.
    pub(crate) async fn indexed<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Index) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (archive, index) = (self.archive.clone(), self.index.clone());
        blocking(move || {
            index.catch_up(&archive)?;
            ask(&index)
        })
        .await
    }
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::BrokenInvariant(format!("a blocking task ended: {error}")))?
}

/// What a client named itself is a label, and may be long.
fn shorten(label: &str) -> String {
    label
        .chars()
        .filter(|char| !char.is_control())
        .take(100)
        .collect()
}
