//! Tells the world outside that an approval request opened. Best effort: approvals do not depend on it.

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::book::ApprovalRequest;
use crate::error::Error;
use crate::limits::{WEBHOOK_ATTEMPTS_MAX, WEBHOOK_BACKOFF, WEBHOOK_QUEUE_MAX, WEBHOOK_TIMEOUT};

/// Sends notices to one URL, in order.
#[derive(Debug)]
pub struct Webhook {
    queue: mpsc::Sender<Value>,
    sending: JoinHandle<()>,
}

impl Webhook {
    pub fn start(url: &str) -> Result<Self, Error> {
        let client = reqwest::Client::builder()
            .timeout(WEBHOOK_TIMEOUT)
            // A redirect would send the notice to somebody who was not configured.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Error::OperatorConfig(format!("webhook: {error}")))?;
        let url = reqwest::Url::parse(url)
            .map_err(|error| Error::OperatorConfig(format!("webhook URL: {error}")))?;
        let (queue, notices) = mpsc::channel(WEBHOOK_QUEUE_MAX);
        Ok(Self {
            queue,
            sending: tokio::spawn(send_all(client, url, notices)),
        })
    }

    /// Queues the notice; never waits.
    pub fn opened(&self, request: &ApprovalRequest) {
        if self.queue.try_send(notice(request)).is_err() {
            tracing::warn!(
                approval = request.id,
                "the webhook is too slow: a notice was dropped"
            );
        }
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.sending.abort();
    }
}

fn notice(request: &ApprovalRequest) -> Value {
    json!({
        "kind": "ApprovalRequestOpened",
        "id": request.id,
        "principal": request.question.principal,
        "operation": request.question.operation,
        "topic": request.question.topic,
        "rule": request.question.terms.rule,
        "quorum": {"count": request.question.terms.quorum_count, "of": request.question.terms.quorum_of},
        "requester": request.requester,
        "reason": request.reason,
        "opened_unix_ms": request.opened_unix_ms,
        "expires_unix_ms": request.expires_unix_ms,
    })
}

async fn send_all(client: reqwest::Client, url: reqwest::Url, mut notices: mpsc::Receiver<Value>) {
    while let Some(notice) = notices.recv().await {
        let mut backoff = WEBHOOK_BACKOFF;
        for attempt in 1..=WEBHOOK_ATTEMPTS_MAX {
            let why = match client.post(url.clone()).json(&notice).send().await {
                Ok(answer) if answer.status().is_success() => break,
                Ok(answer) => answer.status().to_string(),
                Err(error) => error.without_url().to_string(),
            };
            tracing::warn!("webhook, try {attempt} of {WEBHOOK_ATTEMPTS_MAX}: {why}");
            if attempt < WEBHOOK_ATTEMPTS_MAX {
                tokio::time::sleep(backoff).await;
                backoff *= 2;
            }
        }
    }
}
