//! Where policy, approvals and the tenant's key are kept.
//!
//! A store holds a few *spaces*. A space is a map from key to bytes under one revision; a transaction names the revision
//! that its author has seen and is refused if the space moved since. Revisions only grow.

pub mod embedded;
pub mod etcd;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::config::StoreConfig;
use crate::error::Error;
use crate::limits::STORED_VALUE_BYTES_MAX;

/// Opens the store that the configuration names.
pub async fn open(
    config: &StoreConfig,
    state_dir: &std::path::Path,
    now_unix_ms: i64,
) -> Result<Arc<dyn Store>, Error> {
    Ok(match config {
        StoreConfig::Embedded => Arc::new(embedded::EmbeddedStore::open(
            &state_dir.join("store.sqlite"),
            now_unix_ms,
        )?),
        StoreConfig::Etcd { endpoints, prefix } => {
            Arc::new(etcd::EtcdStore::open(endpoints, prefix, now_unix_ms).await?)
        }
    })
}

/// What is changed together, and ordered by one revision.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Space {
    /// Policy documents, by `kind/name`.
    Policy,
    /// Approval requests, by id.
    Approvals,
    /// The tenant's mask key.
    Keys,
}

/// A space as it was under one revision.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Contents {
    /// 0 while nothing was ever stored.
    pub revision: u64,
    pub entries: BTreeMap<String, Vec<u8>>,
}

/// One entry's change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    Put { key: String, value: Vec<u8> },
    Delete { key: String },
}

/// A store. All its methods may be called at once from many tasks.
#[tonic::async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// The milliseconds of the store's birth: a restored or recreated store orders after the one that it replaces.
    fn incarnation(&self) -> u64;

    /// A space, whole.
    async fn load_all(&self, space: Space) -> Result<Contents, Error>;

    /// Makes all the changes, or none: refused with [`Error::StoreMoved`] unless the space still has the revision
    /// `expected`. Returns the new revision. Durable when it returns.
    async fn transact(&self, space: Space, expected: u64, changes: &[Change])
    -> Result<u64, Error>;

    /// The newest revision of the space that this process has heard of; changes when anybody changes the space.
    fn watch(&self, space: Space) -> watch::Receiver<u64>;
}

impl Space {
    pub const ALL: [Self; 3] = [Self::Policy, Self::Approvals, Self::Keys];

    /// Its name in keys and rows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Approvals => "approvals",
            Self::Keys => "keys",
        }
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Policy => 0,
            Self::Approvals => 1,
            Self::Keys => 2,
        }
    }
}

impl Change {
    fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

fn check_sizes(changes: &[Change]) -> Result<(), Error> {
    for change in changes {
        if change.key().is_empty() || change.key().len() > 512 {
            return Err(Error::CallerMistake(format!(
                "a key of {} bytes cannot be stored",
                change.key().len()
            )));
        }
        if let Change::Put { value, .. } = change
            && value.len() > STORED_VALUE_BYTES_MAX
        {
            return Err(Error::CallerOverLimit {
                what: "bytes of one document",
                limit: STORED_VALUE_BYTES_MAX,
            });
        }
    }
    Ok(())
}
