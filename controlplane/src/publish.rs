//! From what is stored to what gateways hold: compiles, chunks, streams; the newest wins.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest;
use bytes::Bytes;
use sluice_proto::v1::{self, published};
use tokio::sync::{mpsc, watch};

use crate::clock::Clock;
use crate::limits::SNAPSHOT_CHUNK_BYTES;

/// A snapshot as it goes to every gateway.
#[derive(Clone, Debug)]
pub struct PublishedSnapshot {
    pub revision: v1::Revision,
    /// An encoded `Snapshot`.
    pub bytes: Bytes,
    pub sha256: Bytes,
}

impl PublishedSnapshot {
    pub fn new(revision: v1::Revision, snapshot: &v1::Snapshot) -> Self {
        let bytes = Bytes::from(prost::Message::encode_to_vec(snapshot));
        let sha256 = Bytes::copy_from_slice(digest::digest(&digest::SHA256, &bytes).as_ref());
        Self {
            revision,
            bytes,
            sha256,
        }
    }
}

/// What is newest, and who has what in force.
#[derive(Debug)]
pub struct Publisher {
    snapshot: watch::Sender<Option<PublishedSnapshot>>,
    grants: watch::Sender<v1::Grants>,
    gateways: Mutex<BTreeMap<String, GatewayStanding>>,
    closed: watch::Sender<bool>,
    clock: Clock,
}

/// What a gateway last said.
#[derive(Clone, Debug, Default)]
pub struct GatewayStanding {
    pub in_force: Option<v1::Revision>,
    /// Why the newest snapshot is not in force; empty if it is.
    pub error: String,
    pub last_seen_unix_ms: i64,
    pub links_count: u32,
}

impl Publisher {
    pub fn new(clock: Clock) -> Self {
        Self {
            snapshot: watch::Sender::new(None),
            grants: watch::Sender::new(v1::Grants::default()),
            gateways: Mutex::default(),
            closed: watch::Sender::new(false),
            clock,
        }
    }

    /// Publishes a snapshot, unless it is not newer than the published one.
    pub fn publish(&self, next: PublishedSnapshot) {
        self.snapshot.send_if_modified(|current| {
            let newer = current
                .as_ref()
                .is_none_or(|current| order(&next.revision) > order(&current.revision));
            if newer {
                *current = Some(next);
            }
            newer
        });
    }

    /// Publishes all grants that hold now.
    pub fn publish_grants(&self, next: v1::Grants) {
        self.grants.send_if_modified(|current| {
            let changed = current.number <= next.number && *current != next;
            if changed {
                *current = next;
            }
            changed
        });
    }

    pub fn newest(&self) -> Option<PublishedSnapshot> {
        self.snapshot.borrow().clone()
    }

    /// Follows snapshots and grants, and feeds them to one gateway until it goes away.
    ///
    /// The channel is short: a slow gateway holds back its own stream, skips what became old meanwhile, and costs at
    /// most a few chunks of memory, since chunks share the snapshot's bytes.
    pub async fn feed(
        &self,
        gateway: &str,
        in_force: Option<v1::Revision>,
        out: mpsc::Sender<Result<v1::Published, tonic::Status>>,
    ) {
        self.seen(gateway, |standing| {
            standing.in_force = in_force;
            standing.error.clear();
            standing.links_count += 1;
        });
        let mut snapshots = self.snapshot.subscribe();
        let mut grants = self.grants.subscribe();
        snapshots.mark_changed();
        grants.mark_changed();
        let mut sent = in_force;
        loop {
            let alive = tokio::select! {
                changed = snapshots.changed() => {
                    let newest = snapshots.borrow_and_update().clone();
                    match newest {
                        _ if changed.is_err() => false,
                        Some(newest) if sent != Some(newest.revision) => {
                            sent = Some(newest.revision);
                            send_snapshot(&out, newest).await
                        }
                        _ => true,
                    }
                }
                changed = grants.changed() => {
                    let newest = grants.borrow_and_update().clone();
                    changed.is_ok() && send(&out, published::Item::Grants(newest)).await
                }
                () = out.closed() => false,
                () = self.closed() => false,
            };
            if !alive {
                break;
            }
        }
        self.seen(gateway, |standing| {
            standing.links_count = standing.links_count.saturating_sub(1)
        });
    }

    /// Ends all links.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Returns when the links are to end.
    pub async fn closed(&self) {
        // The sender is this struct's own, so waiting cannot fail.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// Takes a gateway's word on what it has in force.
    pub fn acknowledged(&self, gateway: &str, revision: Option<v1::Revision>, error: String) {
        if !error.is_empty() {
            tracing::error!(gateway, "a gateway keeps its last good snapshot: {error}");
        }
        self.seen(gateway, |standing| {
            if error.is_empty() {
                standing.in_force = revision;
            }
            standing.error = error;
        });
    }

    /// All gateways that linked since this process started, by name.
    pub fn gateways(&self) -> Vec<(String, GatewayStanding)> {
        let gateways = self.gateways.lock().unwrap_or_else(PoisonError::into_inner);
        gateways
            .iter()
            .map(|(name, standing)| (name.clone(), standing.clone()))
            .collect()
    }

    pub fn seen(&self, gateway: &str, change: impl FnOnce(&mut GatewayStanding)) {
        let mut gateways = self.gateways.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = gateways.entry(gateway.to_owned()).or_default();
        standing.last_seen_unix_ms = self.clock.unix_ms();
        change(standing);
    }
}

/// `(incarnation, number)`: snapshots are ordered by both.
pub fn order(revision: &v1::Revision) -> (u64, u64) {
    (revision.incarnation, revision.number)
}

async fn send_snapshot(
    out: &mpsc::Sender<Result<v1::Published, tonic::Status>>,
    snapshot: PublishedSnapshot,
) -> bool {
    let begin = v1::SnapshotBegin {
        revision: Some(snapshot.revision),
        length: snapshot.bytes.len() as u64,
        sha256: snapshot.sha256,
    };
    if !send(out, published::Item::Begin(begin)).await {
        return false;
    }
    let mut rest = snapshot.bytes;
    while !rest.is_empty() {
        let bytes = rest.split_to(rest.len().min(SNAPSHOT_CHUNK_BYTES));
        if !send(out, published::Item::Chunk(v1::SnapshotChunk { bytes })).await {
            return false;
        }
    }
    true
}

async fn send(
    out: &mpsc::Sender<Result<v1::Published, tonic::Status>>,
    item: published::Item,
) -> bool {
    out.send(Ok(v1::Published { item: Some(item) }))
        .await
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(number: u64, bytes: usize) -> PublishedSnapshot {
        let message = v1::Snapshot {
            tables: vec![7; bytes].into(),
            mask_keys: Vec::new(),
        };
        PublishedSnapshot::new(
            v1::Revision {
                incarnation: 1,
                number,
            },
            &message,
        )
    }

    #[tokio::test]
    async fn chunks_add_up_to_the_announced_bytes_and_a_newer_one_follows() {
        let publisher = std::sync::Arc::new(Publisher::new(Clock::system()));
        publisher.publish(snapshot(3, SNAPSHOT_CHUNK_BYTES * 2 + 5));
        publisher.publish(snapshot(2, 1));
        let (out, mut stream) = mpsc::channel(1);
        let feeding = tokio::spawn({
            let publisher = std::sync::Arc::clone(&publisher);
            async move { publisher.feed("gateway-1", None, out).await }
        });
        for number in [3, 4] {
            let (mut announced, mut bytes) = (None, Vec::new());
            while announced
                .as_ref()
                .is_none_or(|begin: &v1::SnapshotBegin| (bytes.len() as u64) < begin.length)
            {
                match stream.recv().await.unwrap().unwrap().item.unwrap() {
                    published::Item::Begin(begin) => announced = Some(begin),
                    published::Item::Chunk(chunk) => {
                        assert!(chunk.bytes.len() <= SNAPSHOT_CHUNK_BYTES);
                        bytes.extend_from_slice(&chunk.bytes);
                    }
                    published::Item::Grants(_) => {}
                }
            }
            let announced = announced.unwrap();
            assert_eq!(announced.revision.unwrap().number, number);
            assert_eq!(
                announced.sha256,
                digest::digest(&digest::SHA256, &bytes).as_ref()
            );
            publisher.publish(snapshot(4, 10));
        }
        drop(stream);
        feeding.await.unwrap();
        assert_eq!(publisher.gateways()[0].1.links_count, 0);
    }

    #[test]
    fn a_refused_snapshot_leaves_the_earlier_revision_in_force() {
        let publisher = Publisher::new(Clock::system());
        let revision = |number| {
            Some(v1::Revision {
                incarnation: 1,
                number,
            })
        };
        publisher.acknowledged("gateway-1", revision(1), String::new());
        publisher.acknowledged("gateway-1", revision(2), "tables".to_owned());
        let (_, standing) = publisher.gateways().remove(0);
        assert_eq!(
            (standing.in_force, standing.error.as_str()),
            (revision(1), "tables")
        );
    }
}
