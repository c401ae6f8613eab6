//! The store of a single control plane: SQLite, synced at every transaction.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use tokio::sync::watch;

use super::{Change, Contents, Space, Store, check_sizes};
use crate::error::Error;

/// A store in one file.
#[derive(Debug)]
pub struct EmbeddedStore {
    connection: Arc<Mutex<Connection>>,
    incarnation: u64,
    moved: [watch::Sender<u64>; 3],
}

impl EmbeddedStore {
    /// Opens the file, or makes it; only its owner may read it, since it holds the tenant's key.
    pub fn open(path: &Path, now_unix_ms: i64) -> Result<Self, Error> {
        create_private(path)?;
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(SCHEMA)?;
        connection.execute(
            "INSERT OR IGNORE INTO birth (only, incarnation) VALUES (1, ?1)",
            params![now_unix_ms.max(1)],
        )?;
        let incarnation = connection.query_row("SELECT incarnation FROM birth", [], |row| {
            row.get::<_, u64>(0)
        })?;
        let moved = Space::ALL.map(|_| watch::Sender::new(0));
        for space in Space::ALL {
            moved[space.index()].send_replace(revision(&connection, space)?);
        }
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
            incarnation,
            moved,
        })
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let connection = Arc::clone(&self.connection);
        tokio::task::spawn_blocking(move || work(&mut lock(&connection)))
            .await
            .map_err(|error| Error::BrokenInvariant(format!("the store's thread ended: {error}")))?
    }
}

#[tonic::async_trait]
impl Store for EmbeddedStore {
    fn incarnation(&self) -> u64 {
        self.incarnation
    }

    async fn load_all(&self, space: Space) -> Result<Contents, Error> {
        self.with(move |connection| {
            let transaction = connection.transaction()?;
            let revision = revision(&transaction, space)?;
            let mut entries = BTreeMap::new();
            {
                let mut query =
                    transaction.prepare_cached("SELECT key, value FROM entry WHERE space = ?1")?;
                let mut rows = query.query(params![space.name()])?;
                while let Some(row) = rows.next()? {
                    entries.insert(row.get(0)?, row.get(1)?);
                }
            }
            Ok(Contents { revision, entries })
        })
        .await
    }

    async fn transact(
        &self,
        space: Space,
        expected: u64,
        changes: &[Change],
    ) -> Result<u64, Error> {
        check_sizes(changes)?;
        let changes = changes.to_vec();
        let next = self
            .with(move |connection| {
                let transaction =
                    connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                if revision(&transaction, space)? != expected {
                    return Err(Error::StoreMoved);
                }
                // One counter for all spaces, as in etcd.
                let next = transaction.query_row(
                    "UPDATE birth SET revision = revision + 1 RETURNING revision",
                    [],
                    |row| row.get::<_, u64>(0),
                )?;
                transaction.execute(
                    "INSERT INTO head (space, revision) VALUES (?1, ?2)
                     ON CONFLICT (space) DO UPDATE SET revision = excluded.revision",
                    params![space.name(), next],
                )?;
                for change in &changes {
                    match change {
                        Change::Put { key, value } => transaction.execute(
                            "INSERT INTO entry (space, key, value) VALUES (?1, ?2, ?3)
                             ON CONFLICT (space, key) DO UPDATE SET value = excluded.value",
                            params![space.name(), key, value],
                        )?,
                        Change::Delete { key } => transaction.execute(
                            "DELETE FROM entry WHERE space = ?1 AND key = ?2",
                            params![space.name(), key],
                        )?,
                    };
                }
                transaction.commit()?;
                Ok(next)
            })
            .await?;
        // Two transactions may end in one order and arrive here in the other.
        self.moved[space.index()].send_if_modified(|seen| {
            let newer = next > *seen;
            *seen = next.max(*seen);
            newer
        });
        Ok(next)
    }

    fn watch(&self, space: Space) -> watch::Receiver<u64> {
        self.moved[space.index()].subscribe()
    }
}

fn revision(connection: &Connection, space: Space) -> Result<u64, Error> {
    let found = connection
        .prepare_cached("SELECT revision FROM head WHERE space = ?1")?
        .query_row(params![space.name()], |row| row.get::<_, u64>(0))
        .optional()?;
    Ok(found.unwrap_or(0))
}

/// A panic in another task cannot leave a transaction half done: SQLite rolls it back.
pub(crate) fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

fn create_private(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    Ok(())
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS birth (only INTEGER PRIMARY KEY, incarnation INTEGER NOT NULL, revision INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS head (space TEXT PRIMARY KEY, revision INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS entry (space TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (space, key)) WITHOUT ROWID;
";
