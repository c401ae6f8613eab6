//! Approval requests on their way to the control plane, and how they stand.
//!
//! A shard that meets a write to a protected topic reads the standing here, under a lock that only this slow path takes.
//! The control thread asks, and asks again while a request is open.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sluice_proto::v1::{AskApprovalRequest, ask_approval_response};
use sluice_session::environment::Standing;
use tokio::sync::Notify;
use tonic::transport::Channel;

use super::rpc::gateway_link_client::GatewayLinkClient;

/// Open questions of one gateway; one more is answered as unreachable.
const ASKS_MAX: usize = 10_000;
const ASK_AGAIN: Duration = Duration::from_millis(250);
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a refusal or a time-out is told to the client before the same write asks anew.
const SETTLED_FOR: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Question {
    principal: String,
    topic: String,
    rule: String,
}

#[derive(Debug)]
struct Ask {
    standing: Standing,
    changed: Instant,
}

/// The process's approval requests.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    open: Mutex<HashMap<Question, Ask>>,
    wake: Notify,
}

impl Asks {
    /// How the request stands; opens one if there is none.
    pub(crate) fn standing(&self, principal: &str, topic: &str, rule: &str) -> Standing {
        let question = Question {
            principal: principal.into(),
            topic: topic.into(),
            rule: rule.into(),
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ask) = open.get(&question) {
            return ask.standing.clone();
        }
        if open.len() >= ASKS_MAX {
            return Standing::Unreachable;
        }
        open.insert(
            question,
            Ask {
                standing: Standing::Open,
                changed: Instant::now(),
            },
        );
        drop(open);
        self.wake.notify_one();
        Standing::Open
    }

    /// Asks for the life of the process.
    pub(crate) async fn keep(&self, channel: Channel, gateway: String) {
        let mut client = GatewayLinkClient::new(channel);
        loop {
            let pause = tokio::time::timeout(ASK_AGAIN, self.wake.notified()).await;
            drop(pause);
            for question in self.due() {
                let standing = ask(&mut client, &gateway, &question).await;
                self.stands(question, standing);
            }
        }
    }

    /// Questions to ask now; settled ones are forgotten after a while.
    fn due(&self) -> Vec<Question> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, ask| {
            matches!(ask.standing, Standing::Open | Standing::Unreachable)
                || ask.changed.elapsed() < SETTLED_FOR
        });
        open.iter()
            .filter(|(_, ask)| matches!(ask.standing, Standing::Open | Standing::Unreachable))
            .map(|(question, _)| question.clone())
            .collect()
    }

    /// An approved question is forgotten: its grant covers the next write, and after the grant a new question is asked.
    fn stands(&self, question: Question, standing: Option<Standing>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match standing {
            None => {
                open.remove(&question);
            }
            Some(standing) => {
                if let Some(ask) = open.get_mut(&question)
                    && ask.standing != standing
                {
                    *ask = Ask {
                        standing,
                        changed: Instant::now(),
                    };
                }
            }
        }
    }
}

/// `None` when approved.
async fn ask(
    client: &mut GatewayLinkClient<Channel>,
    gateway: &str,
    question: &Question,
) -> Option<Standing> {
    let mut request = tonic::Request::new(AskApprovalRequest {
        gateway: gateway.to_owned(),
        principal: question.principal.clone(),
        operation: "Write".to_owned(),
        topic: question.topic.clone(),
        rule: question.rule.clone(),
        client_id: String::new(),
        session: String::new(),
    });
    request.set_timeout(ASK_TIMEOUT);
    use ask_approval_response::Standing as Wire;
    match client
        .ask_approval(request)
        .await
        .map(tonic::Response::into_inner)
    {
        Ok(answer) => match answer.standing() {
            Wire::Approved => None,
            Wire::Refused => Some(Standing::Refused(answer.reason)),
            Wire::TimedOut => Some(Standing::TimedOut),
            Wire::Open | Wire::Unspecified => Some(Standing::Open),
        },
        Err(status) => {
            tracing::warn!("approval request not delivered: {status}");
            Some(Standing::Unreachable)
        }
    }
}
