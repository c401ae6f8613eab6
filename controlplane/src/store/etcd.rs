//! The store of control planes that must outlive one machine: etcd 3.4 or newer.
//!
//! Under the prefix stand `incarnation`, `head/<space>` and `<space>/<key>`, one document per key, so that `etcdctl` shows
//! what is stored. Every transaction writes its space's head and compares the head's `mod_revision`: that is the space's
//! revision, whatever else lives in the same etcd.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{
    Client, Compare, CompareOp, ConnectOptions, GetOptions, KvClient, Txn, TxnOp, TxnOpResponse,
    WatchOptions,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Change, Contents, Space, Store, check_sizes};
use crate::error::Error;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const WATCH_AGAIN: Duration = Duration::from_millis(500);
/// A page of keys, and the answer that such a page may make: 128 documents of 1.5 MiB.
const PAGE_KEYS: i64 = 128;
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A store in etcd.
pub struct EtcdStore {
    kv: KvClient,
    prefix: String,
    incarnation: u64,
    moved: Arc<[watch::Sender<u64>; 3]>,
    watching: JoinHandle<()>,
}

impl EtcdStore {
    /// Connects, and gives the store its incarnation if it has none.
    pub async fn open(endpoints: &[String], prefix: &str, now_unix_ms: i64) -> Result<Self, Error> {
        let options = ConnectOptions::new()
            .with_timeout(REQUEST_TIMEOUT)
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_keep_alive(Duration::from_secs(10), Duration::from_secs(5));
        let client = Client::connect(endpoints, Some(options))
            .await
            .map_err(unreachable)?;
        let mut kv = client
            .kv_client()
            .max_decoding_message_size(ANSWER_BYTES_MAX);
        let prefix = prefix.trim_end_matches('/').to_owned();
        let incarnation = incarnation(&mut kv, &prefix, now_unix_ms.max(1)).await?;
        let moved = Arc::new(Space::ALL.map(|_| watch::Sender::new(0)));
        let next = read_heads(&mut kv, &prefix, &moved).await?;
        let watching = tokio::spawn(keep_watching(
            client,
            kv.clone(),
            prefix.clone(),
            Arc::clone(&moved),
            next,
        ));
        Ok(Self {
            kv,
            prefix,
            incarnation,
            moved,
            watching,
        })
    }

    fn head(&self, space: Space) -> String {
        format!("{}/head/{}", self.prefix, space.name())
    }

    fn key(&self, space: Space, key: &str) -> String {
        format!("{}/{}/{key}", self.prefix, space.name())
    }
}

#[tonic::async_trait]
impl Store for EtcdStore {
    fn incarnation(&self) -> u64 {
        self.incarnation
    }

    async fn load_all(&self, space: Space) -> Result<Contents, Error> {
        let mut kv = self.kv.clone();
        // The head's answer fixes the revision under which all pages are then read.
        let head = kv.get(self.head(space), None).await.map_err(unreachable)?;
        let Some(revision) = head.kvs().first().map(etcd_client::KeyValue::mod_revision) else {
            return Ok(Contents::default());
        };
        let at = head
            .header()
            .map_or(revision, etcd_client::ResponseHeader::revision);
        let prefix = self.key(space, "");
        let end = prefix_end(&prefix);
        let mut from = prefix.clone().into_bytes();
        let mut entries = BTreeMap::new();
        loop {
            let options = GetOptions::new()
                .with_range(end.clone())
                .with_limit(PAGE_KEYS)
                .with_revision(at);
            let page = kv
                .get(from.clone(), Some(options))
                .await
                .map_err(unreachable)?;
            for pair in page.kvs() {
                let key = pair
                    .key()
                    .strip_prefix(prefix.as_bytes())
                    .unwrap_or_default();
                let key = std::str::from_utf8(key).map_err(|_| {
                    Error::StoreContentInvalid(format!("a key of {} is not UTF-8", space.name()))
                })?;
                entries.insert(key.to_owned(), pair.value().to_vec());
            }
            match page.kvs().last() {
                Some(last) if page.more() => {
                    from = last.key().to_vec();
                    from.push(0);
                }
                _ => break,
            }
        }
        Ok(Contents {
            revision: unsigned(revision),
            entries,
        })
    }

    async fn transact(
        &self,
        space: Space,
        expected: u64,
        changes: &[Change],
    ) -> Result<u64, Error> {
        check_sizes(changes)?;
        let head = self.head(space);
        let expected = i64::try_from(expected).map_err(|_| Error::StoreMoved)?;
        // A key that was never written has mod_revision 0.
        let unmoved = Compare::mod_revision(head.clone(), CompareOp::Equal, expected);
        let mut operations = vec![TxnOp::put(head, space.name(), None)];
        operations.extend(changes.iter().map(|change| match change {
            Change::Put { key, value } => TxnOp::put(self.key(space, key), value.clone(), None),
            Change::Delete { key } => TxnOp::delete(self.key(space, key), None),
        }));
        let answer = self
            .kv
            .clone()
            .txn(Txn::new().when([unmoved]).and_then(operations))
            .await
            .map_err(|error| match error {
                etcd_client::Error::GRpcStatus(status)
                    if status.message().contains("too many operations")
                        || status.message().contains("too large") =>
                {
                    Error::OperatorStoreTransactionTooLarge(status.message().to_owned())
                }
                other => unreachable(other),
            })?;
        if !answer.succeeded() {
            return Err(Error::StoreMoved);
        }
        let revision = unsigned(
            answer
                .header()
                .map(etcd_client::ResponseHeader::revision)
                .ok_or_else(|| Error::StoreUnreachable("an answer without a header".to_owned()))?,
        );
        raise(&self.moved[space.index()], revision);
        Ok(revision)
    }

    fn watch(&self, space: Space) -> watch::Receiver<u64> {
        self.moved[space.index()].subscribe()
    }
}

impl Drop for EtcdStore {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl std::fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdStore")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// The first control plane to come here decides; the others read what it decided.
async fn incarnation(kv: &mut KvClient, prefix: &str, now_unix_ms: i64) -> Result<u64, Error> {
    let key = format!("{prefix}/incarnation");
    let absent = Compare::create_revision(key.clone(), CompareOp::Equal, 0);
    let transaction = Txn::new()
        .when([absent])
        .and_then([TxnOp::put(key.clone(), now_unix_ms.to_string(), None)])
        .or_else([TxnOp::get(key, None)]);
    let answer = kv.txn(transaction).await.map_err(unreachable)?;
    if answer.succeeded() {
        return Ok(unsigned(now_unix_ms));
    }
    answer
        .op_responses()
        .iter()
        .find_map(|response| match response {
            TxnOpResponse::Get(get) => get.kvs().first()?.value_str().ok()?.parse().ok(),
            _ => None,
        })
        .ok_or_else(|| Error::StoreContentInvalid(format!("{prefix}/incarnation is not a number")))
}

/// Follows the heads for ever. After a break the heads are read first, so that nothing in between is missed.
async fn keep_watching(
    client: Client,
    mut kv: KvClient,
    prefix: String,
    moved: Arc<[watch::Sender<u64>; 3]>,
    mut next: i64,
) {
    loop {
        if let Err(error) = watch_heads(&client, &prefix, &moved, next).await {
            tracing::warn!("the watch on etcd broke and is taken up again: {error}");
        }
        loop {
            tokio::time::sleep(WATCH_AGAIN).await;
            match read_heads(&mut kv, &prefix, &moved).await {
                Ok(after) => {
                    next = after;
                    break;
                }
                Err(error) => tracing::warn!("{error}"),
            }
        }
    }
}

async fn watch_heads(
    client: &Client,
    prefix: &str,
    moved: &[watch::Sender<u64>; 3],
    next: i64,
) -> Result<(), etcd_client::Error> {
    let options = WatchOptions::new().with_prefix().with_start_revision(next);
    let mut stream = client
        .watch_client()
        .watch(format!("{prefix}/head/"), Some(options))
        .await?;
    while let Some(response) = stream.message().await? {
        if response.canceled() {
            return Err(etcd_client::Error::WatchError(
                response.cancel_reason().to_owned(),
            ));
        }
        for pair in response.events().iter().filter_map(etcd_client::Event::kv) {
            raise_head(pair, prefix, moved);
        }
    }
    Ok(())
}

/// Reads all heads; returns the revision from which a watch misses nothing.
async fn read_heads(
    kv: &mut KvClient,
    prefix: &str,
    moved: &[watch::Sender<u64>; 3],
) -> Result<i64, Error> {
    let answer = kv
        .get(
            format!("{prefix}/head/"),
            Some(GetOptions::new().with_prefix()),
        )
        .await
        .map_err(unreachable)?;
    for pair in answer.kvs() {
        raise_head(pair, prefix, moved);
    }
    Ok(answer
        .header()
        .map_or(0, etcd_client::ResponseHeader::revision)
        .saturating_add(1))
}

fn raise_head(pair: &etcd_client::KeyValue, prefix: &str, moved: &[watch::Sender<u64>; 3]) {
    for space in Space::ALL {
        if pair.key() == format!("{prefix}/head/{}", space.name()).as_bytes() {
            raise(&moved[space.index()], unsigned(pair.mod_revision()));
        }
    }
}

fn raise(moved: &watch::Sender<u64>, revision: u64) {
    moved.send_if_modified(|seen| {
        let newer = revision > *seen;
        *seen = revision.max(*seen);
        newer
    });
}

/// The first key after all that start with the prefix.
fn prefix_end(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    // The prefix ends in '/', which is not 0xff.
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

fn unsigned(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or(0)
}

fn unreachable(error: etcd_client::Error) -> Error {
    Error::StoreUnreachable(format!("etcd: {error}"))
}
