//! Approval requests as values: who may decide, what a decision does. No I/O, no clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sluice_proto::v1;

use crate::error::Error;
use crate::identity::Caller;
use crate::limits::{APPROVAL_TIME_OUT_TOLD_MS, APPROVALS_KEPT_MS};

/// All approval requests of one revision, by id.
#[derive(Clone, Debug, Default)]
pub struct Book {
    pub revision: u64,
    pub requests: BTreeMap<String, ApprovalRequest>,
}

/// What a grant is asked for. Two requests with the same question are one.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Question {
    pub principal: String,
    /// The person behind the principal.
    pub owner: String,
    pub operation: String,
    pub topic: String,
    pub terms: Terms,
}

/// The approval rule, as it was when the request opened.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Terms {
    pub rule: String,
    /// Distinct people whose yes is needed.
    pub quorum_count: u32,
    /// The group, or the control-plane role, that they belong to.
    pub quorum_of: String,
    pub timeout_ms: i64,
    /// How long the grant lasts.
    pub lasts_ms: i64,
}

/// One petition, and what became of it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ApprovalRequest {
    pub id: String,
    pub question: Question,
    /// Who asked: a person's name, or the principal itself if its gateway asked.
    pub requester: String,
    /// The person behind the requester.
    pub requester_person: String,
    pub reason: String,
    pub opened_unix_ms: i64,
    pub expires_unix_ms: i64,
    pub decisions: Vec<PersonDecision>,
    pub standing: Standing,
    /// 0 while open.
    pub closed_unix_ms: i64,
}

/// One person's answer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PersonDecision {
    pub person: String,
    pub answer: Answer,
    pub reason: String,
    pub time_unix_ms: i64,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    Approve,
    Refuse,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    Open,
    Approved,
    Refused,
    TimedOut,
}

impl Book {
    /// The request that answers this question now: an open one, one whose grant holds, or one that was refused so
    /// recently that asking again would only flood the approvers (the rule's own time-out).
    pub fn standing_request(
        &self,
        question: &Question,
        now_unix_ms: i64,
    ) -> Option<&ApprovalRequest> {
        self.requests
            .values()
            .filter(|request| request.question.is_same(question))
            .filter(|request| match request.standing_at(now_unix_ms) {
                Standing::Open => true,
                Standing::Approved => now_unix_ms < request.grant_expires_unix_ms(),
                Standing::Refused => {
                    now_unix_ms < request.closed_unix_ms + request.question.terms.timeout_ms
                }
                Standing::TimedOut => false,
            })
            .max_by_key(|request| request.opened_unix_ms)
    }

    /// The request that this question's asker waits for, if nobody answered it in time and that was only just: a gateway
    /// asks several times a second, and must hear of the time-out before it may ask anew.
    pub fn just_timed_out(
        &self,
        question: &Question,
        now_unix_ms: i64,
    ) -> Option<&ApprovalRequest> {
        let newest = self
            .requests
            .values()
            .filter(|request| request.question.is_same(question))
            .max_by_key(|request| request.opened_unix_ms)?;
        let over_since_ms = now_unix_ms.saturating_sub(newest.expires_unix_ms);
        (newest.standing_at(now_unix_ms) == Standing::TimedOut
            && over_since_ms < APPROVAL_TIME_OUT_TOLD_MS)
            .then_some(newest)
    }

    pub fn open_count(&self, now_unix_ms: i64) -> usize {
        self.requests
            .values()
            .filter(|request| request.standing_at(now_unix_ms) == Standing::Open)
            .count()
    }

    /// All grants that hold now.
    pub fn grants(&self, now_unix_ms: i64) -> v1::Grants {
        let holds = |request: &&ApprovalRequest| {
            request.standing == Standing::Approved && now_unix_ms < request.grant_expires_unix_ms()
        };
        v1::Grants {
            number: self.revision,
            grants: self
                .requests
                .values()
                .filter(holds)
                .map(ApprovalRequest::grant)
                .collect(),
        }
    }

    /// Requests whose time ran out and that are not yet stored so.
    pub fn timed_out(&self, now_unix_ms: i64) -> impl Iterator<Item = &ApprovalRequest> {
        self.requests.values().filter(move |request| {
            request.standing == Standing::Open
                && request.standing_at(now_unix_ms) == Standing::TimedOut
        })
    }

    /// Requests that were over so long ago that evidence alone keeps them.
    pub fn forgettable(&self, now_unix_ms: i64) -> impl Iterator<Item = &str> {
        self.requests.values().filter_map(move |request| {
            let over = request.standing != Standing::Open
                && now_unix_ms
                    > request.grant_expires_unix_ms().max(request.closed_unix_ms)
                        + APPROVALS_KEPT_MS;
            over.then_some(request.id.as_str())
        })
    }
}

impl Question {
    fn is_same(&self, other: &Self) -> bool {
        (&self.principal, &self.operation, &self.topic)
            == (&other.principal, &other.operation, &other.topic)
    }
}

impl ApprovalRequest {
    /// Adds one person's answer. The approver belongs to the quorum's group, is not who asked, nor who owns the
    /// principal that asks, and answers once. One refusal refuses; a quorum of distinct people approves.
    pub fn decide(
        &mut self,
        caller: &Caller,
        answer: Answer,
        reason: &str,
        now_unix_ms: i64,
    ) -> Result<(), Error> {
        if self.standing_at(now_unix_ms) != Standing::Open {
            return Err(Error::CallerTooEarlyOrLate(format!(
                "approval request {} is {} already",
                self.id,
                self.standing_at(now_unix_ms).name()
            )));
        }
        let denied = |why: String| Err(Error::CallerDenied(why));
        if !caller.is_in(&self.question.terms.quorum_of) {
            return denied(format!(
                "{} is not in {}",
                caller.person, self.question.terms.quorum_of
            ));
        }
        if caller.person == self.requester_person {
            return denied(format!(
                "{} asked, and who asks does not approve",
                caller.person
            ));
        }
        if caller.person == self.question.owner || caller.principal == self.question.principal {
            return denied(format!(
                "{} stands behind {}, and who asks does not approve",
                caller.person, self.question.principal
            ));
        }
        if self
            .decisions
            .iter()
            .any(|decision| decision.person == caller.person)
        {
            return denied(format!(
                "{} has answered already; a quorum counts people",
                caller.person
            ));
        }
        self.decisions.push(PersonDecision {
            person: caller.person.clone(),
            answer,
            reason: reason.to_owned(),
            time_unix_ms: now_unix_ms,
        });
        let yes_count = self.approvers().count();
        self.standing = match answer {
            Answer::Refuse => Standing::Refused,
            Answer::Approve if yes_count >= self.question.terms.quorum_count.max(1) as usize => {
                Standing::Approved
            }
            Answer::Approve => Standing::Open,
        };
        if self.standing != Standing::Open {
            self.closed_unix_ms = now_unix_ms;
        }
        Ok(())
    }

    /// Its standing at a moment: an open request is timed out from its expiry on, whether or not that was stored yet.
    pub fn standing_at(&self, now_unix_ms: i64) -> Standing {
        match self.standing {
            Standing::Open if now_unix_ms >= self.expires_unix_ms => Standing::TimedOut,
            stored => stored,
        }
    }

    pub fn approvers(&self) -> impl Iterator<Item = &str> {
        self.decisions
            .iter()
            .filter(|decision| decision.answer == Answer::Approve)
            .map(|decision| decision.person.as_str())
    }

    pub fn grant_expires_unix_ms(&self) -> i64 {
        self.closed_unix_ms + self.question.terms.lasts_ms
    }

    pub fn grant(&self) -> v1::Grant {
        v1::Grant {
            id: self.id.clone(),
            principal: self.question.principal.clone(),
            operation: self.question.operation.clone(),
            topic: self.question.topic.clone(),
            rule: self.question.terms.rule.clone(),
            reason: self.reason.clone(),
            approvers: self.approvers().map(str::to_owned).collect(),
            expires_unix_ms: self.grant_expires_unix_ms(),
        }
    }

    /// As people's tools see it. For an approved request the expiry is the grant's.
    pub fn to_message(&self, now_unix_ms: i64) -> v1::Approval {
        let standing = self.standing_at(now_unix_ms);
        v1::Approval {
            id: self.id.clone(),
            principal: self.question.principal.clone(),
            operation: self.question.operation.clone(),
            topic: self.question.topic.clone(),
            rule: self.question.terms.rule.clone(),
            standing: standing.name().to_owned(),
            requester: self.requester.clone(),
            reason: self.reason.clone(),
            approvers: self.approvers().map(str::to_owned).collect(),
            opened_unix_ms: self.opened_unix_ms,
            expires_unix_ms: match standing {
                Standing::Approved => self.grant_expires_unix_ms(),
                _ => self.expires_unix_ms,
            },
        }
    }

    /// As a gateway sees it.
    pub fn to_answer(&self, now_unix_ms: i64) -> v1::AskApprovalResponse {
        use v1::ask_approval_response::Standing as Wire;
        let standing = self.standing_at(now_unix_ms);
        let wire = match standing {
            Standing::Open => Wire::Open,
            Standing::Approved => Wire::Approved,
            Standing::Refused => Wire::Refused,
            Standing::TimedOut => Wire::TimedOut,
        };
        let last_reason = self
            .decisions
            .last()
            .map(|decision| decision.reason.clone())
            .unwrap_or_default();
        v1::AskApprovalResponse {
            id: self.id.clone(),
            standing: wire.into(),
            grant: (standing == Standing::Approved).then(|| self.grant()),
            reason: last_reason,
        }
    }
}

impl Standing {
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::TimedOut => "timed-out",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(quorum_count: u32) -> ApprovalRequest {
        ApprovalRequest {
            id: "1".to_owned(),
            question: Question {
                principal: "User:svc-payments".to_owned(),
                owner: "alice".to_owned(),
                operation: "Write".to_owned(),
                topic: "payments".to_owned(),
                terms: Terms {
                    rule: "one-owner".to_owned(),
                    quorum_count,
                    quorum_of: "payments-owners".to_owned(),
                    timeout_ms: 60_000,
                    lasts_ms: 600_000,
                },
            },
            requester: "bob".to_owned(),
            requester_person: "bob".to_owned(),
            reason: String::new(),
            opened_unix_ms: 0,
            expires_unix_ms: 60_000,
            decisions: Vec::new(),
            standing: Standing::Open,
            closed_unix_ms: 0,
        }
    }

    fn owner(person: &str) -> Caller {
        Caller {
            person: person.to_owned(),
            principal: format!("User:{person}"),
            roles: Vec::new(),
            groups: vec!["payments-owners".to_owned()],
            expires_unix_s: i64::MAX,
        }
    }

    #[test]
    fn refuses_the_requester_the_owner_and_outsiders_as_approvers() {
        let mut request = request(1);
        for person in ["alice", "bob"] {
            let refused = request.decide(&owner(person), Answer::Approve, "", 1);
            assert!(
                matches!(refused, Err(Error::CallerDenied(_))),
                "{person}: {refused:?}"
            );
        }
        let outsider = Caller {
            groups: vec!["orders-owners".to_owned()],
            ..owner("carol")
        };
        assert!(request.decide(&outsider, Answer::Approve, "", 1).is_err());
        assert_eq!(request.standing, Standing::Open);
        assert!(request.decisions.is_empty());
        request
            .decide(&owner("carol"), Answer::Approve, "", 1)
            .unwrap();
        assert_eq!(request.standing, Standing::Approved);
    }

    #[test]
    fn a_quorum_counts_distinct_people() {
        let mut request = request(2);
        request
            .decide(&owner("carol"), Answer::Approve, "", 1)
            .unwrap();
        assert_eq!(request.standing, Standing::Open);
        // The same person under another principal fills no second slot.
        let again = Caller {
            principal: "User:carol-admin".to_owned(),
            ..owner("carol")
        };
        assert!(request.decide(&again, Answer::Approve, "", 2).is_err());
        assert_eq!(request.standing, Standing::Open);
        request
            .decide(&owner("dave"), Answer::Approve, "", 3)
            .unwrap();
        assert_eq!(request.standing, Standing::Approved);
        assert_eq!(request.grant().expires_unix_ms, 3 + 600_000);
    }

    #[test]
    fn one_refusal_refuses_and_nothing_is_decided_after_the_time_out() {
        let mut refused = request(2);
        refused
            .decide(&owner("carol"), Answer::Refuse, "no", 1)
            .unwrap();
        assert_eq!(refused.standing, Standing::Refused);
        assert!(
            refused
                .decide(&owner("dave"), Answer::Approve, "", 2)
                .is_err()
        );
        let mut late = request(1);
        let answer = late.decide(&owner("carol"), Answer::Approve, "", 60_000);
        assert!(matches!(answer, Err(Error::CallerTooEarlyOrLate(_))));
    }

    #[test]
    fn a_refused_question_stays_refused_for_its_time_out_and_a_timed_out_one_may_be_asked_again() {
        let mut refused = request(1);
        refused
            .decide(&owner("carol"), Answer::Refuse, "no", 10)
            .unwrap();
        let question = refused.question.clone();
        let book = Book {
            revision: 1,
            requests: BTreeMap::from([("1".to_owned(), refused)]),
        };
        assert!(book.standing_request(&question, 60_009).is_some());
        assert!(book.standing_request(&question, 60_010).is_none());
        let book = Book {
            revision: 1,
            requests: BTreeMap::from([("1".to_owned(), request(1))]),
        };
        assert!(book.standing_request(&question, 59_999).is_some());
        assert!(book.standing_request(&question, 60_000).is_none());
        assert_eq!(book.timed_out(60_000).count(), 1);
        assert!(book.just_timed_out(&question, 59_999).is_none());
        assert!(book.just_timed_out(&question, 69_999).is_some());
        assert!(book.just_timed_out(&question, 70_000).is_none());
    }

    #[test]
    fn a_grant_ends_when_its_time_is_over() {
        let mut approved = request(1);
        approved
            .decide(&owner("carol"), Answer::Approve, "", 10)
            .unwrap();
        let book = Book {
            revision: 7,
            requests: BTreeMap::from([("1".to_owned(), approved)]),
        };
        assert_eq!(book.grants(600_009).grants.len(), 1);
        assert_eq!(book.grants(600_010).grants.len(), 0);
    }
}
