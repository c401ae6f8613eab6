//! Where collected evidence is kept: every leaf of every log, as it was shipped, once.
//!
//! SQLite in WAL mode, synced at every commit: a batch is answered after its leaves survive power loss. The index is built
//! from here and can be built again at any time.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use sluice_evidence::{Frontier, Hash, SignedCheckpoint, VerifierKey, leaf_hash};

use crate::error::Error;
use crate::limits::{
    EVIDENCE_CHECKPOINT_BYTES_MAX, EVIDENCE_LEAF_BYTES_MAX, EVIDENCE_LEAVES_PER_BATCH_MAX,
    LINK_NAME_BYTES_MAX,
};
use crate::store::embedded::lock;

/// The archive. Clones share one connection.
#[derive(Clone, Debug)]
pub struct Archive {
    connection: Arc<Mutex<Connection>>,
    /// Per log, the tree as far as checkpoints were checked; built again from the leaves after a restart.
    /// Locked after `connection`.
    checked: Arc<Mutex<HashMap<i64, Frontier>>>,
}

/// Consecutive leaves of one log.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub gateway: String,
    /// The log's origin line.
    pub log: String,
    pub first_leaf: u64,
    pub leaves: Vec<bytes::Bytes>,
    /// A signed note, or empty.
    pub checkpoint: bytes::Bytes,
    /// The log's key in signed-note form, or empty.
    pub verifier_key: String,
}

/// One log, as far as it is held.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeldLog {
    pub id: i64,
    pub gateway: String,
    pub log: String,
    pub verifier_key: String,
    pub next_leaf: u64,
    /// Checkpoints whose signature and root fit the leaves that are held.
    pub checkpoints_count: u64,
}

/// Something about a log that an operator must look at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Alarm {
    pub time_unix_ms: i64,
    pub log: String,
    pub text: String,
}

impl Archive {
    pub fn open(path: &Path) -> Result<Self, Error> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
            checked: Arc::default(),
        })
    }

    /// Keeps what is new in the batch; returns the leaf from which shipping goes on.
    ///
    /// Leaves that are held already must be the same. A gap, a rewritten leaf, a log of another gateway or a checkpoint
    /// with a wrong signature is refused whole, and leaves an [`Alarm`]. A checkpoint that contradicts the leaves leaves
    /// an alarm too, but the leaves are kept: they are evidence all the same.
    pub fn keep(&self, batch: &Batch, now_unix_ms: i64) -> Result<u64, Error> {
        check(batch)?;
        let mut connection = lock(&self.connection);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        match keep(&transaction, batch, now_unix_ms) {
            Ok(next_leaf) => {
                transaction.commit()?;
                self.check_waiting(&connection, batch, next_leaf, now_unix_ms)?;
                Ok(next_leaf)
            }
            Err(error) => {
                transaction.rollback()?;
                if !matches!(error, Error::BrokenDatabase(_)) {
                    tracing::error!("alarm: {error}");
                    connection.execute(
                        "INSERT INTO alarm (time_unix_ms, log, text) VALUES (?1, ?2, ?3)",
                        params![now_unix_ms, batch.log, error.to_string()],
                    )?;
                }
                Err(error)
            }
        }
    }

    /// Compares checkpoints with the leaves, as soon as all the leaves that they speak of are held.
    fn check_waiting(
        &self,
        connection: &Connection,
        batch: &Batch,
        next_leaf: u64,
        now_unix_ms: i64,
    ) -> Result<(), Error> {
        let log: i64 = connection
            .prepare_cached("SELECT id FROM log WHERE origin = ?1")?
            .query_row(params![batch.log], |row| row.get(0))?;
        let waiting: Vec<(i64, u64, String)> = connection
            .prepare_cached(
                "SELECT id, size, root FROM checkpoint WHERE log = ?1 AND standing = 0 AND size <= ?2 ORDER BY size",
            )?
            .query_map(params![log, next_leaf], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = checked.entry(log).or_default();
        for (id, size, root) in waiting {
            let found = if newest.size() <= size {
                grow(connection, log, newest, size)?;
                newest.root()
            } else {
                // An old checkpoint that came late: rare, so its tree is built again.
                let mut earlier = Frontier::default();
                grow(connection, log, &mut earlier, size)?;
                earlier.root()
            };
            let fits = Hash::parse(&root).is_ok_and(|root| root == found);
            connection.execute(
                "UPDATE checkpoint SET standing = ?2 WHERE id = ?1",
                params![id, if fits { 1 } else { -1 }],
            )?;
            if !fits {
                let text = format!(
                    "log {}: its checkpoint of {size} leaves contradicts the leaves that are held: evidence was changed",
                    batch.log
                );
                tracing::error!("alarm: {text}");
                connection.execute(
                    "INSERT INTO alarm (time_unix_ms, log, text) VALUES (?1, ?2, ?3)",
                    params![now_unix_ms, batch.log, text],
                )?;
            }
        }
        Ok(())
    }

    /// All logs, by gateway and origin.
    pub fn logs(&self) -> Result<Vec<HeldLog>, Error> {
        let connection = lock(&self.connection);
        let mut query = connection.prepare_cached(
            "SELECT id, gateway, origin, verifier_key, next_leaf,
                    (SELECT count(*) FROM checkpoint WHERE checkpoint.log = log.id AND standing = 1)
             FROM log ORDER BY gateway, origin",
        )?;
        let rows = query.query_map([], |row| {
            Ok(HeldLog {
                id: row.get(0)?,
                gateway: row.get(1)?,
                log: row.get(2)?,
                verifier_key: row.get(3)?,
                next_leaf: row.get(4)?,
                checkpoints_count: row.get(5)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The largest checkpoint of a log that fits the leaves held, and of those the newest. One that contradicts them, or waits
    /// for its leaves, is passed over: a log that was cut back and grown anew may have signed it.
    pub fn newest_checkpoint(&self, log: i64) -> Result<Option<Vec<u8>>, Error> {
        let connection = lock(&self.connection);
        let mut query = connection.prepare_cached(
            "SELECT note FROM checkpoint WHERE log = ?1 AND standing = 1 ORDER BY size DESC, id DESC LIMIT 1",
        )?;
        Ok(query.query_row(params![log], |row| row.get(0)).optional()?)
    }

    /// Up to `count` leaves of a log from `first` on, in order.
    pub fn leaves(&self, log: i64, first: u64, count: usize) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let connection = lock(&self.connection);
        let mut query = connection.prepare_cached(
            "SELECT leaf, bytes FROM leaf WHERE log = ?1 AND leaf >= ?2 ORDER BY leaf LIMIT ?3",
        )?;
        let rows = query.query_map(params![log, first, count], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The newest alarms first.
    pub fn alarms(&self, count: usize) -> Result<Vec<Alarm>, Error> {
        let connection = lock(&self.connection);
        let mut query = connection.prepare_cached(
            "SELECT time_unix_ms, log, text FROM alarm ORDER BY id DESC LIMIT ?1",
        )?;
        let rows = query.query_map(params![count], |row| {
            Ok(Alarm {
                time_unix_ms: row.get(0)?,
                log: row.get(1)?,
                text: row.get(2)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn check(batch: &Batch) -> Result<(), Error> {
    let name_is_good = |name: &str| {
        !name.is_empty() && name.len() <= LINK_NAME_BYTES_MAX && !name.chars().any(char::is_control)
    };
    let invalid = |why: &str| {
        Err(Error::GatewayEvidenceInvalid {
            log: batch.log.escape_debug().take(80).collect(),
            why: why.to_owned(),
        })
    };
    if !name_is_good(&batch.gateway) || !name_is_good(&batch.log) || batch.verifier_key.len() > 1024
    {
        return invalid("the names of a gateway, a log and its key are non-empty and short");
    }
    if batch.leaves.len() > EVIDENCE_LEAVES_PER_BATCH_MAX {
        return invalid("too many leaves in one batch");
    }
    if batch
        .leaves
        .iter()
        .any(|leaf| leaf.is_empty() || leaf.len() > EVIDENCE_LEAF_BYTES_MAX)
    {
        return invalid("a leaf is empty or longer than a tile entry may be");
    }
    if batch.checkpoint.len() > EVIDENCE_CHECKPOINT_BYTES_MAX {
        return invalid("an oversized checkpoint");
    }
    if batch.first_leaf > i64::MAX as u64 - EVIDENCE_LEAVES_PER_BATCH_MAX as u64 {
        return invalid("a leaf number beyond all logs");
    }
    Ok(())
}

fn keep(transaction: &Transaction<'_>, batch: &Batch, now_unix_ms: i64) -> Result<u64, Error> {
    let (log, held) = find_log(transaction, batch)?;
    if batch.first_leaf > held {
        return Err(Error::GatewayLeftGap {
            log: batch.log.clone(),
            held,
            sent: batch.first_leaf,
        });
    }
    let mut same =
        transaction.prepare_cached("SELECT bytes = ?3 FROM leaf WHERE log = ?1 AND leaf = ?2")?;
    let mut insert =
        transaction.prepare_cached("INSERT INTO leaf (log, leaf, bytes) VALUES (?1, ?2, ?3)")?;
    let mut number = batch.first_leaf;
    for leaf in &batch.leaves {
        if number >= held {
            insert.execute(params![log, number, &leaf[..]])?;
        } else if !same.query_row(params![log, number, &leaf[..]], |row| row.get::<_, bool>(0))? {
            return Err(Error::GatewayRewroteLeaf {
                log: batch.log.clone(),
                leaf: number,
            });
        }
        number += 1;
    }
    let next_leaf = number.max(held);
    if next_leaf > held {
        transaction.execute(
            "UPDATE log SET next_leaf = ?2 WHERE id = ?1",
            params![log, next_leaf],
        )?;
    }
    if !batch.checkpoint.is_empty() {
        keep_checkpoint(transaction, batch, log, now_unix_ms)?;
    }
    Ok(next_leaf)
}

/// Standing 0: waits for its leaves; 1: fits them; -1: contradicts them; 2: came without a key.
fn keep_checkpoint(
    transaction: &Transaction<'_>,
    batch: &Batch,
    log: i64,
    now_unix_ms: i64,
) -> Result<(), Error> {
    let invalid = |why: String| Error::GatewayEvidenceInvalid {
        log: batch.log.clone(),
        why,
    };
    let key: String = transaction
        .prepare_cached("SELECT verifier_key FROM log WHERE id = ?1")?
        .query_row(params![log], |row| row.get(0))?;
    let (size, root, standing) = if key.is_empty() {
        (0, String::new(), 2)
    } else {
        let key = VerifierKey::parse(&key).map_err(|error| invalid(error.to_string()))?;
        let signed = SignedCheckpoint::open(&batch.checkpoint, &[key])
            .map_err(|error| invalid(error.to_string()))?;
        if signed.checkpoint.origin != batch.log {
            return Err(invalid("its checkpoint is of another log".to_owned()));
        }
        (
            signed.checkpoint.size,
            signed.checkpoint.root.to_string(),
            0,
        )
    };
    let size =
        i64::try_from(size).map_err(|_| invalid("a checkpoint beyond all logs".to_owned()))?;
    transaction.execute(
        "INSERT OR IGNORE INTO checkpoint (log, time_unix_ms, note, size, root, standing) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![log, now_unix_ms, &batch.checkpoint[..], size, root, standing],
    )?;
    Ok(())
}

/// Adds the log's leaves to the tree until it has `size` of them.
fn grow(connection: &Connection, log: i64, tree: &mut Frontier, size: u64) -> Result<(), Error> {
    let mut query = connection.prepare_cached(
        "SELECT bytes FROM leaf WHERE log = ?1 AND leaf >= ?2 AND leaf < ?3 ORDER BY leaf",
    )?;
    let mut rows = query.query(params![log, tree.size(), size])?;
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
        tree.append(leaf_hash(bytes), |_, _| {});
    }
    Ok(())
}

/// A log belongs to the gateway that shipped it first, and keeps its key.
fn find_log(transaction: &Transaction<'_>, batch: &Batch) -> Result<(i64, u64), Error> {
    let invalid = |why: String| Error::GatewayEvidenceInvalid {
        log: batch.log.clone(),
        why,
    };
    let found = transaction
        .prepare_cached("SELECT id, gateway, verifier_key, next_leaf FROM log WHERE origin = ?1")?
        .query_row(params![batch.log], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
                row.get::<_, u64>(3)?,
            ))
        })
        .optional()?;
    let Some((id, gateway, verifier_key, next_leaf)) = found else {
        transaction.execute(
            "INSERT INTO log (gateway, origin, verifier_key, next_leaf) VALUES (?1, ?2, ?3, 0)",
            params![batch.gateway, batch.log, batch.verifier_key],
        )?;
        return Ok((transaction.last_insert_rowid(), 0));
    };
    if gateway != batch.gateway {
        return Err(invalid(format!(
            "it is gateway {gateway}'s, and {} ships it",
            batch.gateway
        )));
    }
    if !batch.verifier_key.is_empty() && batch.verifier_key != verifier_key {
        if !verifier_key.is_empty() {
            return Err(invalid("its key is not the one it had before".to_owned()));
        }
        transaction.execute(
            "UPDATE log SET verifier_key = ?2 WHERE id = ?1",
            params![id, batch.verifier_key],
        )?;
    }
    Ok((id, next_leaf))
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS log (
    id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, origin TEXT NOT NULL UNIQUE,
    verifier_key TEXT NOT NULL, next_leaf INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS leaf (
    log INTEGER NOT NULL, leaf INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (log, leaf)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS checkpoint (
    id INTEGER PRIMARY KEY, log INTEGER NOT NULL, time_unix_ms INTEGER NOT NULL, note BLOB NOT NULL,
    size INTEGER NOT NULL, root TEXT NOT NULL, standing INTEGER NOT NULL, UNIQUE (log, note));
CREATE INDEX IF NOT EXISTS checkpoint_by_size ON checkpoint (log, standing, size);
CREATE TABLE IF NOT EXISTS alarm (
    id INTEGER PRIMARY KEY, time_unix_ms INTEGER NOT NULL, log TEXT NOT NULL, text TEXT NOT NULL);
";

#[cfg(test)]
mod tests;
