//! Ask, approve, grant: approval requests in the store, decided by people, published as grants.

mod book;
mod webhook;

use std::sync::Arc;

use sluice_evidence::{Kind, Revision};
use tokio::sync::watch;

pub use self::book::{Answer, ApprovalRequest, Book, PersonDecision, Question, Standing, Terms};
pub use self::webhook::Webhook;
use crate::changes::{Change as ChangeFact, ChangeLog};
use crate::clock::Clock;
use crate::error::Error;
use crate::identity::Caller;
use crate::limits::{APPROVAL_TEXT_BYTES_MAX, APPROVALS_OPEN_MAX, STORE_ATTEMPTS_MAX};
use crate::publish::Publisher;
use crate::store::{Change, Space, Store};

/// All that may be done with approval requests.
#[derive(Debug)]
pub struct Approvals {
    store: Arc<dyn Store>,
    publisher: Arc<Publisher>,
    changes: Arc<ChangeLog>,
    webhook: Option<Webhook>,
    clock: Clock,
    book: watch::Sender<Arc<Book>>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Requester<'a> {
    /// As it is shown.
    pub name: &'a str,
    /// The person behind it.
    pub person: &'a str,
}

impl Approvals {
    /// Reads what is stored, and publishes the grants that still hold.
    pub async fn start(
        store: Arc<dyn Store>,
        publisher: Arc<Publisher>,
        changes: Arc<ChangeLog>,
        webhook: Option<Webhook>,
        clock: Clock,
    ) -> Result<Self, Error> {
        let book = watch::Sender::new(Arc::new(Book::default()));
        let approvals = Self {
            store,
            publisher,
            changes,
            webhook,
            clock,
            book,
        };
        approvals.refresh().await?;
        Ok(approvals)
    }

    /// Reads the store again after somebody changed it.
    pub async fn refresh(&self) -> Result<(), Error> {
        let book = self.load().await?;
        self.take(book);
        Ok(())
    }

    /// As [`crate::approve::book::Book::just_timed_out`], now.
    pub fn just_timed_out(&self, question: &Question) -> Option<ApprovalRequest> {
        let now_unix_ms = self.clock.unix_ms();
        self.book
            .borrow()
            .just_timed_out(question, now_unix_ms)
            .cloned()
    }

    /// Opens a request, or finds the one that answers the same question already.
    pub async fn ask(
        &self,
        question: Question,
        by: Requester<'_>,
        reason: &str,
    ) -> Result<ApprovalRequest, Error> {
        check_text("reason", reason)?;
        check_text("topic", &question.topic)?;
        // Gateways ask again for every held batch: the usual answer needs no trip to the store.
        let known = self.book.borrow().clone();
        if let Some(request) = known.standing_request(&question, self.clock.unix_ms()) {
            return Ok(request.clone());
        }
        let id = new_id()?;
        for _ in 0..STORE_ATTEMPTS_MAX {
            let mut book = self.load().await?;
            let now_unix_ms = self.clock.unix_ms();
            if let Some(request) = book.standing_request(&question, now_unix_ms) {
                let request = request.clone();
                self.take(book);
                return Ok(request);
            }
            if book.open_count(now_unix_ms) >= APPROVALS_OPEN_MAX {
                return Err(Error::CallerOverLimit {
                    what: "open approval requests",
                    limit: APPROVALS_OPEN_MAX,
                });
            }
            let request = ApprovalRequest {
                id: id.clone(),
                requester: by.name.to_owned(),
                requester_person: by.person.to_owned(),
                reason: reason.to_owned(),
                opened_unix_ms: now_unix_ms,
                expires_unix_ms: now_unix_ms.saturating_add(question.terms.timeout_ms),
                decisions: Vec::new(),
                standing: Standing::Open,
                closed_unix_ms: 0,
                question: question.clone(),
            };
            let mut changes = vec![put(&request)?];
            changes.extend(book.forgettable(now_unix_ms).map(|old| Change::Delete {
                key: old.to_owned(),
            }));
            // Before the effect; a second try records a second asking, which is what happened.
            self.record(Kind::ApprovalAsked, by.name, "asked", &request, reason)?;
            match self
                .store
                .transact(Space::Approvals, book.revision, &changes)
                .await
            {
                Ok(revision) => {
                    book.revision = revision;
                    book.requests.insert(id, request.clone());
                    self.take(book);
                    if let Some(webhook) = &self.webhook {
                        webhook.opened(&request);
                    }
                    return Ok(request);
                }
                Err(Error::StoreMoved) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::StoreMoved)
    }

    /// Adds a person's answer to a request; publishes the grant if that completes the quorum.
    pub async fn decide(
        &self,
        id: &str,
        caller: &Caller,
        answer: Answer,
        reason: &str,
    ) -> Result<ApprovalRequest, Error> {
        check_text("reason", reason)?;
        for _ in 0..STORE_ATTEMPTS_MAX {
            let mut book = self.load().await?;
            let request =
                book.requests
                    .get_mut(id)
                    .ok_or_else(|| Error::CallerAskedForNothing {
                        kind: "approval request",
                        name: shorten(id),
                    })?;
            if let Err(refused) = request.decide(caller, answer, reason, self.clock.unix_ms()) {
                // An attempt to approve one's own request is worth an auditor's look.
                let request = request.clone();
                self.record(
                    Kind::Denied,
                    &caller.principal,
                    "approval-denied",
                    &request,
                    &refused.to_string(),
                )?;
                return Err(refused);
            }
            let request = request.clone();
            let code = match answer {
                Answer::Approve => "approve",
                Answer::Refuse => "refuse",
            };
            self.record(
                Kind::ApprovalDecided,
                &caller.principal,
                code,
                &request,
                reason,
            )?;
            match self
                .store
                .transact(Space::Approvals, book.revision, &[put(&request)?])
                .await
            {
                Ok(revision) => {
                    book.revision = revision;
                    self.take(book);
                    return Ok(request);
                }
                Err(Error::StoreMoved) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::StoreMoved)
    }

    /// Stores the time-outs that have come. Another control plane may do the same: then the store has moved, and the
    /// next sweep finds nothing left.
    pub async fn sweep(&self) -> Result<(), Error> {
        let now_unix_ms = self.clock.unix_ms();
        let known = self.book.borrow().clone();
        if known.timed_out(now_unix_ms).next().is_none() {
            return Ok(());
        }
        let mut book = self.load().await?;
        let mut late: Vec<_> = book.timed_out(now_unix_ms).cloned().collect();
        let mut changes = Vec::with_capacity(late.len());
        for request in &mut late {
            request.standing = Standing::TimedOut;
            request.closed_unix_ms = request.expires_unix_ms;
            changes.push(put(request)?);
        }
        if changes.is_empty() {
            self.take(book);
            return Ok(());
        }
        match self
            .store
            .transact(Space::Approvals, book.revision, &changes)
            .await
        {
            Ok(revision) => {
                book.revision = revision;
                for request in late {
                    self.record(
                        Kind::ApprovalDecided,
                        "",
                        "timed-out",
                        &request,
                        "nobody answered in time",
                    )?;
                    book.requests.insert(request.id.clone(), request);
                }
                self.take(book);
                Ok(())
            }
            Err(Error::StoreMoved) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What is known, without asking the store.
    pub fn book(&self) -> Arc<Book> {
        self.book.borrow().clone()
    }

    async fn load(&self) -> Result<Book, Error> {
        let contents = self.store.load_all(Space::Approvals).await?;
        let mut book = Book {
            revision: contents.revision,
            ..Book::default()
        };
        for (id, value) in contents.entries {
            let request = serde_json::from_slice(&value).map_err(|error| {
                Error::StoreContentInvalid(format!("approval request {id}: {error}"))
            })?;
            book.requests.insert(id, request);
        }
        Ok(book)
    }

    fn take(&self, book: Book) {
        let grants = book.grants(self.clock.unix_ms());
        let taken = self.book.send_if_modified(|known| {
            let newer = book.revision >= known.revision;
            if newer {
                *known = Arc::new(book);
            }
            newer
        });
        if taken {
            self.publisher.publish_grants(grants);
        }
    }

    fn record(
        &self,
        kind: Kind,
        by: &str,
        code: &str,
        request: &ApprovalRequest,
        why: &str,
    ) -> Result<(), Error> {
        let question = &request.question;
        let text = format!(
            "approval request {}: {} {} {} under rule {}, {}: {why}",
            request.id,
            question.principal,
            question.operation,
            question.topic,
            question.terms.rule,
            request.standing.name()
        );
        self.changes.record(&ChangeFact {
            kind,
            principal: by,
            code,
            text: &text,
            revision: Revision::default(),
            topic: &question.topic,
            operation: &question.operation,
        })
    }
}

fn put(request: &ApprovalRequest) -> Result<Change, Error> {
    let value =
        serde_json::to_vec(request).map_err(|error| Error::BrokenInvariant(error.to_string()))?;
    Ok(Change::Put {
        key: request.id.clone(),
        value,
    })
}

fn check_text(what: &'static str, text: &str) -> Result<(), Error> {
    if text.len() > APPROVAL_TEXT_BYTES_MAX {
        return Err(Error::CallerOverLimit {
            what,
            limit: APPROVAL_TEXT_BYTES_MAX,
        });
    }
    Ok(())
}

fn shorten(id: &str) -> String {
    id.chars().take(40).collect()
}

/// Not guessable, and short enough to be typed.
fn new_id() -> Result<String, Error> {
    crate::random::hexadecimal(8)
}
