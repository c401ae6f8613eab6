//! Ships the signed part of every log to the control plane, and again from where the control plane says it stands.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sluice_evidence::files::{LogDirectory, read_leaves};
use sluice_proto::v1::EvidenceBatch;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::rpc::gateway_link_client::GatewayLinkClient;
use crate::journal::JournalLog;

const LOOK_EVERY: Duration = Duration::from_millis(200);
const RETRY: Duration = Duration::from_secs(1);
/// Batches sent and not yet held.
const BATCHES_MAX: usize = 8;

/// Ships for the life of the process.
pub(crate) async fn keep(channel: Channel, gateway: String, logs: Vec<Arc<JournalLog>>) {
    let mut client = GatewayLinkClient::new(channel);
    loop {
        if let Err(error) = ship(&mut client, &gateway, &logs).await {
            tracing::warn!("evidence stays here until the control plane takes it: {error}");
        }
        tokio::time::sleep(RETRY).await;
    }
}

#[derive(Debug, thiserror::Error)]
enum ShipError {
    #[error("{0}")]
    Link(#[from] tonic::Status),
    #[error("the control plane refused evidence of {log}: {error}")]
    Refused { log: String, error: String },
    #[error("reading evidence: {0}")]
    Read(#[from] sluice_evidence::Error),
    #[error("the control plane ended the stream")]
    Ended,
}

async fn ship(
    client: &mut GatewayLinkClient<Channel>,
    gateway: &str,
    logs: &[Arc<JournalLog>],
) -> Result<(), ShipError> {
    let (send, receive) = mpsc::channel(BATCHES_MAX);
    for log in logs {
        // An empty batch asks where the control plane stands.
        let _ = send.send(batch(gateway, log, 0, Vec::new())).await;
    }
    let mut held = client
        .ship_evidence(ReceiverStream::new(receive))
        .await?
        .into_inner();
    let mut next: HashMap<String, u64> = HashMap::new();
    let mut waiting: HashMap<String, bool> =
        logs.iter().map(|log| (log.origin.clone(), true)).collect();
    loop {
        for log in logs {
            let idle = waiting.get(&log.origin) == Some(&false);
            let Some(first) = next
                .get(&log.origin)
                .copied()
                .filter(|first| idle && *first < log.signed_leaves())
            else {
                continue;
            };
            let leaves = read_leaves(&log.dir, first, log.signed_leaves())?;
            waiting.insert(log.origin.clone(), true);
            send.send(batch(gateway, log, first, leaves))
                .await
                .map_err(|_| ShipError::Ended)?;
        }
        match tokio::time::timeout(LOOK_EVERY, held.message()).await {
            Err(_) => {}
            Ok(answer) => {
                let answer = answer?.ok_or(ShipError::Ended)?;
                if !answer.error.is_empty() {
                    return Err(ShipError::Refused {
                        log: answer.log,
                        error: answer.error,
                    });
                }
                if let Some(log) = logs.iter().find(|log| log.origin == answer.log) {
                    log.shipped(answer.next_leaf);
                }
                waiting.insert(answer.log.clone(), false);
                next.insert(answer.log, answer.next_leaf);
            }
        }
    }
}

fn batch(gateway: &str, log: &JournalLog, first_leaf: u64, leaves: Vec<Vec<u8>>) -> EvidenceBatch {
    use sluice_evidence::verify::LogSource as _;
    let checkpoint = LogDirectory::new(&log.dir)
        .checkpoint()
        .ok()
        .flatten()
        .unwrap_or_default();
    EvidenceBatch {
        gateway: gateway.to_owned(),
        log: log.origin.clone(),
        first_leaf,
        leaves: leaves.into_iter().map(Into::into).collect(),
        checkpoint: checkpoint.into(),
        verifier_key: log.verifier.clone(),
    }
}
