//! The control link: takes snapshots and grants, puts them in force, and says so.
//!
//! The last good snapshot is also kept on disk, so that a gateway that starts without its control plane enforces what it
//! enforced before.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use sha2::{Digest, Sha256};
use sluice_masking::KeyRing;
use sluice_policy::Tables;
use sluice_proto::v1::{self, published};
use sluice_session::environment::{Grants, Snapshot};
use sluice_session::mask_plans::PlanRefused;
use tonic::transport::Channel;

use super::InForce;
use super::rpc::gateway_link_client::GatewayLinkClient;

/// A snapshot of 10,000 roles by 10,000 topics is tens of MB.
const SNAPSHOT_BYTES_MAX: u64 = 512 * 1024 * 1024;
const RETRY: Duration = Duration::from_secs(1);

/// Why a snapshot was not put in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error("announced {0} bytes, more than the limit of {SNAPSHOT_BYTES_MAX}")]
    Oversized(u64),
    #[error("a chunk came without an announced snapshot, or more bytes than announced")]
    OutOfOrder,
    #[error("the bytes do not have the announced SHA-256")]
    Checksum,
    #[error("not a snapshot message: {0}")]
    Decode(#[from] prost::DecodeError),
    #[error("tables: {0}")]
    Tables(#[from] sluice_policy::LoadError),
    #[error("mask keys: {0}")]
    Keys(#[from] sluice_masking::PlanError),
    #[error(transparent)]
    Plan(#[from] PlanRefused),
    #[error("revision {revision} is older than {held}, which is in force")]
    Older {
        held: sluice_policy::Revision,
        revision: sluice_policy::Revision,
    },
    #[error("state directory: {0}")]
    Disk(#[from] std::io::Error),
}

/// Keeps the link up for the life of the process.
pub(crate) async fn keep(
    channel: Channel,
    gateway: String,
    state_dir: PathBuf,
    in_force: Arc<InForce>,
) {
    let mut client = GatewayLinkClient::new(channel);
    loop {
        match follow(&mut client, &gateway, &state_dir, &in_force).await {
            Ok(()) => tracing::info!(
                "the control plane ended the stream; the last good snapshot stays in force"
            ),
            Err(status) => {
                tracing::warn!("control link: {status}; the last good snapshot stays in force")
            }
        }
        in_force.metrics.link_up(false);
        tokio::time::sleep(RETRY).await;
    }
}

async fn follow(
    client: &mut GatewayLinkClient<Channel>,
    gateway: &str,
    state_dir: &Path,
    in_force: &InForce,
) -> Result<(), tonic::Status> {
    let request = v1::SubscribeRequest {
        gateway: gateway.to_owned(),
        in_force: in_force.revision(),
    };
    let mut stream = client.subscribe(request).await?.into_inner();
    in_force.metrics.link_up(true);
    let mut incoming: Option<Incoming> = None;
    while let Some(published) = stream.message().await? {
        let complete = match published.item {
            Some(published::Item::Begin(begin)) => {
                incoming = Some(
                    Incoming::begin(begin)
                        .map_err(|error| tonic::Status::data_loss(error.to_string()))?,
                );
                incoming.as_ref().is_some_and(Incoming::is_complete)
            }
            Some(published::Item::Chunk(chunk)) => {
                let snapshot = incoming.as_mut().ok_or_else(out_of_order)?;
                snapshot.chunk(&chunk.bytes).map_err(|_| out_of_order())?;
                snapshot.is_complete()
            }
            Some(published::Item::Grants(grants)) => {
                in_force
                    .published
                    .grants
                    .publish(Arc::new(read_grants(&grants)));
                in_force.published.grants.reclaim();
                false
            }
            None => false,
        };
        if complete && let Some(snapshot) = incoming.take() {
            let revision = snapshot.begin.revision;
            let error = match put_in_force(snapshot, state_dir, in_force) {
                Ok(()) => String::new(),
                Err(error) => {
                    tracing::error!("snapshot refused, the last good one stays in force: {error}");
                    error.to_string()
                }
            };
            client
                .acknowledge(v1::AcknowledgeRequest {
                    gateway: gateway.to_owned(),
                    revision,
                    error,
                })
                .await?;
        }
    }
    Ok(())
}

fn out_of_order() -> tonic::Status {
    tonic::Status::data_loss(SnapshotError::OutOfOrder.to_string())
}

struct Incoming {
    begin: v1::SnapshotBegin,
    bytes: Vec<u8>,
}

impl Incoming {
    fn begin(begin: v1::SnapshotBegin) -> Result<Self, SnapshotError> {
        if begin.length > SNAPSHOT_BYTES_MAX {
            return Err(SnapshotError::Oversized(begin.length));
        }
        Ok(Self {
            begin,
            bytes: Vec::new(),
        })
    }

    fn chunk(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        if (self.bytes.len() + bytes.len()) as u64 > self.begin.length {
            return Err(SnapshotError::OutOfOrder);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.bytes.len() as u64 == self.begin.length
    }
}

fn put_in_force(
    incoming: Incoming,
    state_dir: &Path,
    in_force: &InForce,
) -> Result<(), SnapshotError> {
    if Sha256::digest(&incoming.bytes).as_slice() != &*incoming.begin.sha256 {
        return Err(SnapshotError::Checksum);
    }
    let snapshot = load(&incoming.bytes)?;
    let revision = snapshot.tables.revision();
    if let Some(held) = in_force.held().filter(|held| revision < *held) {
        return Err(SnapshotError::Older { held, revision });
    }
    keep_on_disk(state_dir, &incoming.bytes)?;
    in_force.put(snapshot);
    Ok(())
}

/// Checks a snapshot whole and builds its mask plans.
pub(crate) fn load(bytes: &[u8]) -> Result<Snapshot, SnapshotError> {
    let message = v1::Snapshot::decode(bytes)?;
    let tables = Tables::load(message.tables.to_vec())?;
    let mut keys = KeyRing::new();
    for key in &message.mask_keys {
        keys.insert_bytes(&key.domain, key.version, &key.key)?;
    }
    Ok(Snapshot::compile(tables, &keys)?)
}

fn snapshot_path(state_dir: &Path) -> PathBuf {
    state_dir.join("snapshot.last-good")
}

/// The file holds derived mask keys: readable by the gateway's user alone.
fn keep_on_disk(state_dir: &Path, bytes: &[u8]) -> Result<(), SnapshotError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let next = state_dir.join("snapshot.next");
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&next)?;
    file.write_all(&Sha256::digest(bytes))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&next, snapshot_path(state_dir))?;
    Ok(())
}

/// The snapshot of an earlier run, if there is one and it is whole.
pub(crate) fn last_good(state_dir: &Path) -> Option<Snapshot> {
    let bytes = std::fs::read(snapshot_path(state_dir)).ok()?;
    let (sum, bytes) = bytes.split_at_checked(32)?;
    if Sha256::digest(bytes).as_slice() != sum {
        tracing::error!(
            "the snapshot on disk is damaged and is not used: everything is denied until the control plane answers"
        );
        return None;
    }
    load(bytes)
        .inspect_err(|error| tracing::error!("the snapshot on disk is not used: {error}"))
        .ok()
}

fn read_grants(message: &v1::Grants) -> Grants {
    let mut grants = Grants::default();
    for grant in message
        .grants
        .iter()
        .filter(|grant| grant.operation == "Write")
    {
        grants.insert(
            grant.principal.clone(),
            grant.topic.clone(),
            &grant.id,
            grant.expires_unix_ms,
        );
    }
    grants
}
