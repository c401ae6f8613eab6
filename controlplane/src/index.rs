//! Evidence made searchable: SQLite tables that are filled from the archive and can be thrown away.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::{
    Connection, Transaction, TransactionBehavior, params, params_from_iter, types::Value,
};
use sluice_evidence::{ItemFlags, Kind, Record, SessionId};
use sluice_proto::v1;

use crate::archive::{Archive, HeldLog};
use crate::error::Error;
use crate::limits::{INDEX_LEAVES_PER_STEP, SEARCH_ROWS_DEFAULT, SEARCH_ROWS_MAX};
use crate::store::embedded::lock;

/// The kind under which leaves are found that are no evidence records.
pub const UNREADABLE: &str = "Unreadable";

/// The index. Clones share one connection.
#[derive(Clone, Debug)]
pub struct Index {
    connection: Arc<Mutex<Connection>>,
}

impl Index {
    /// Opens the index; one of an older shape is emptied, and filled again by [`Index::catch_up`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // What a power loss takes from the index, the archive still has.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version != SCHEMA_VERSION {
            connection.execute_batch(DROP)?;
            connection.execute_batch(SCHEMA)?;
            connection.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        }
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
        })
    }

    /// Indexes every leaf that the archive holds and the index does not; returns how many.
    pub fn catch_up(&self, archive: &Archive) -> Result<u64, Error> {
        let mut leaves_count = 0;
        for log in archive.logs()? {
            loop {
                let step = self.step(archive, &log)?;
                leaves_count += step;
                if step < INDEX_LEAVES_PER_STEP as u64 {
                    break;
                }
            }
        }
        Ok(leaves_count)
    }

    /// Evidence that fits all that the request names, newest first.
    pub fn search(
        &self,
        request: &v1::SearchEvidenceRequest,
    ) -> Result<Vec<v1::EvidenceRow>, Error> {
        let mut query = Query::default();
        query.equal("record.principal", &request.principal);
        query.equal("record.kind", &request.kind);
        query.equal("record.session", &request.session);
        if !request.topic.is_empty() {
            query.also(
                "record.id IN (SELECT record FROM item WHERE resource = ?)",
                request.topic.clone(),
            );
        }
        if request.from_unix_ms > 0 {
            query.also(
                "record.time_unix_ns >= ?",
                request.from_unix_ms.saturating_mul(1_000_000),
            );
        }
        if request.to_unix_ms > 0 {
            query.also(
                "record.time_unix_ns < ?",
                request.to_unix_ms.saturating_mul(1_000_000),
            );
        }
        let words = full_text(&request.text);
        if !words.is_empty() {
            query.also(
                "record.id IN (SELECT rowid FROM words WHERE words MATCH ?)",
                words,
            );
        }
        let limit = match request.limit {
            0 => SEARCH_ROWS_DEFAULT,
            limit => limit.min(SEARCH_ROWS_MAX),
        };
        self.rows(
            &query,
            "record.time_unix_ns DESC, record.id DESC",
            i64::from(limit),
        )
    }

    /// The evidence of one session, oldest first, at most [`SEARCH_ROWS_MAX`] rows after `after` rows.
    pub fn session(&self, session: &str, after: u64) -> Result<Vec<v1::EvidenceRow>, Error> {
        let mut query = Query {
            after,
            ..Query::default()
        };
        query.also("record.session = ?", session.to_owned());
        self.rows(
            &query,
            "record.time_unix_ns, record.id",
            i64::from(SEARCH_ROWS_MAX),
        )
    }

    /// Sessions, the newest first.
    pub fn sessions(&self, limit: u32) -> Result<Vec<v1::SessionRow>, Error> {
        let limit = if limit == 0 {
            SEARCH_ROWS_DEFAULT
        } else {
            limit.min(SEARCH_ROWS_MAX)
        };
        let connection = lock(&self.connection);
        let mut query = connection.prepare_cached(
            "SELECT session, principal, client_id, peer, opened_unix_ns, closed_unix_ns, records_count, denied_count
             FROM session ORDER BY opened_unix_ns DESC, session LIMIT ?1",
        )?;
        let rows = query.query_map(params![limit], |row| {
            Ok(v1::SessionRow {
                session: row.get(0)?,
                principal: row.get(1)?,
                client_id: row.get(2)?,
                peer: row.get(3)?,
                opened_unix_ns: row.get(4)?,
                closed_unix_ns: row.get(5)?,
                records_count: row.get(6)?,
                denied_count: row.get(7)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many records of each kind there are since a moment, the most frequent first.
    pub fn counts(&self, since_unix_ms: i64) -> Result<Vec<(String, u64)>, Error> {
        let connection = lock(&self.connection);
        let mut query = connection.prepare_cached(
            "SELECT kind, count(*) FROM record WHERE time_unix_ns >= ?1 GROUP BY kind ORDER BY 2 DESC, 1",
        )?;
        let rows = query.query_map(params![since_unix_ms.saturating_mul(1_000_000)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn rows(&self, query: &Query, order: &str, limit: i64) -> Result<Vec<v1::EvidenceRow>, Error> {
        let connection = lock(&self.connection);
        let conditions = if query.conditions.is_empty() {
            "1"
        } else {
            &query.conditions.join(" AND ")
        };
        // Conditions are this file's own text; what people typed is bound.
        let mut statement = connection.prepare_cached(&format!(
            "SELECT log, leaf, time_unix_ns, session, kind, principal, json FROM record
             WHERE {conditions} ORDER BY {order} LIMIT {limit} OFFSET {}",
            query.after
        ))?;
        let rows = statement.query_map(params_from_iter(&query.values), |row| {
            Ok(v1::EvidenceRow {
                log: row.get(0)?,
                leaf: row.get(1)?,
                time_unix_ns: row.get(2)?,
                session: row.get(3)?,
                kind: row.get(4)?,
                principal: row.get(5)?,
                json: row.get(6)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn step(&self, archive: &Archive, log: &HeldLog) -> Result<u64, Error> {
        let mut connection = lock(&self.connection);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let next_leaf: u64 = transaction
            .prepare_cached("SELECT coalesce(max(next_leaf), 0) FROM progress WHERE log = ?1")?
            .query_row(params![log.log], |row| row.get(0))?;
        if next_leaf >= log.next_leaf {
            return Ok(0);
        }
        let leaves = archive.leaves(log.id, next_leaf, INDEX_LEAVES_PER_STEP)?;
        for (leaf, bytes) in &leaves {
            insert(&transaction, &log.log, *leaf, bytes)?;
        }
        if let Some((last, _)) = leaves.last() {
            transaction.execute(
                "INSERT INTO progress (log, next_leaf) VALUES (?1, ?2)
                 ON CONFLICT (log) DO UPDATE SET next_leaf = excluded.next_leaf",
                params![log.log, last + 1],
            )?;
        }
        transaction.commit()?;
        Ok(leaves.len() as u64)
    }
}

#[derive(Default)]
struct Query {
    conditions: Vec<&'static str>,
    values: Vec<Value>,
    after: u64,
}

impl Query {
    fn equal(&mut self, column: &'static str, value: &str) {
        if value.is_empty() {
            return;
        }
        match column {
            "record.principal" => self.also("record.principal = ?", value.to_owned()),
            "record.kind" => self.also("record.kind = ?", value.to_owned()),
            _ => self.also("record.session = ?", value.to_owned()),
        }
    }

    fn also(&mut self, condition: &'static str, value: impl Into<Value>) {
        self.conditions.push(condition);
        self.values.push(value.into());
    }
}

/// Every word quoted, so that nothing that people type is read as search syntax; all of them must occur.
fn full_text(text: &str) -> String {
    text.split_whitespace()
        .filter(|word| word.chars().any(char::is_alphanumeric))
        .map(|word| format!("\"{}\"", word.replace('"', "\"\"")))
        .collect::<Vec<_>>()
        .join(" ")
}

fn insert(transaction: &Transaction<'_>, log: &str, leaf: u64, bytes: &[u8]) -> Result<(), Error> {
    let Ok(record) = Record::decode(bytes) else {
        // An archive keeps what it got; a search must not end at it.
        let json = serde_json::json!({ "kind": UNREADABLE, "bytes": bytes.len() }).to_string();
        return insert_record(transaction, log, leaf, 0, "", UNREADABLE, "", &json).map(drop);
    };
    let head = &record.head;
    let session = if head.session == SessionId::default() {
        String::new()
    } else {
        head.session.to_string()
    };
    let time_unix_ns = i64::try_from(head.time_unix_ns).unwrap_or(i64::MAX);
    let json = record.to_json().to_string();
    let id = insert_record(
        transaction,
        log,
        leaf,
        time_unix_ns,
        &session,
        head.kind.name(),
        head.principal,
        &json,
    )?;
    let mut put_item = transaction
        .prepare_cached("INSERT INTO item (record, resource, partition, first_offset, last_offset) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let mut item_was_denied = false;
    for item in record.items() {
        item_was_denied |= item.flags.contains(ItemFlags::DENIED);
        put_item.execute(params![
            id,
            item.resource,
            item.partition,
            item.first_offset,
            item.last_offset
        ])?;
    }
    if !session.is_empty() {
        let was_denied = item_was_denied
            || matches!(
                head.kind,
                Kind::Denied | Kind::Rejected | Kind::Refused | Kind::AuthenticationFailed
            );
        let closed_unix_ns = if head.kind == Kind::SessionClosed {
            time_unix_ns
        } else {
            0
        };
        transaction
            .prepare_cached(
                "INSERT INTO session VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7)
                 ON CONFLICT (session) DO UPDATE SET
                    principal = CASE WHEN ?2 = '' THEN principal ELSE ?2 END,
                    client_id = CASE WHEN ?3 = '' THEN client_id ELSE ?3 END,
                    peer = CASE WHEN ?4 = '' THEN peer ELSE ?4 END,
                    opened_unix_ns = min(opened_unix_ns, ?5),
                    closed_unix_ns = max(closed_unix_ns, ?6),
                    records_count = records_count + 1,
                    denied_count = denied_count + ?7",
            )?
            .execute(params![
                session,
                head.principal,
                head.client_id,
                head.peer,
                time_unix_ns,
                closed_unix_ns,
                was_denied
            ])?;
    }
    Ok(())
}

#[allow(clippy::too_many_arguments, reason = "the columns of one row")]
fn insert_record(
    transaction: &Transaction<'_>,
    log: &str,
    leaf: u64,
    time_unix_ns: i64,
    session: &str,
    kind: &str,
    principal: &str,
    json: &str,
) -> Result<i64, Error> {
    transaction
        .prepare_cached(
            "INSERT INTO record (log, leaf, time_unix_ns, session, kind, principal, json)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            log,
            leaf,
            time_unix_ns,
            session,
            kind,
            principal,
            json
        ])?;
    let id = transaction.last_insert_rowid();
    transaction
        .prepare_cached("INSERT INTO words (rowid, text) VALUES (?1, ?2)")?
        .execute(params![id, json])?;
    Ok(id)
}

const SCHEMA_VERSION: i64 = 1;

const DROP: &str = "
DROP TABLE IF EXISTS record; DROP TABLE IF EXISTS item; DROP TABLE IF EXISTS session;
DROP TABLE IF EXISTS progress; DROP TABLE IF EXISTS words;
";

const SCHEMA: &str = "
CREATE TABLE record (
    id INTEGER PRIMARY KEY, log TEXT NOT NULL, leaf INTEGER NOT NULL, time_unix_ns INTEGER NOT NULL,
    session TEXT NOT NULL, kind TEXT NOT NULL, principal TEXT NOT NULL, json TEXT NOT NULL, UNIQUE (log, leaf));
CREATE INDEX record_by_time ON record (time_unix_ns);
CREATE INDEX record_by_principal ON record (principal, time_unix_ns);
CREATE INDEX record_by_session ON record (session, time_unix_ns);
CREATE INDEX record_by_kind ON record (kind, time_unix_ns);
CREATE TABLE item (
    record INTEGER NOT NULL, resource TEXT NOT NULL, partition INTEGER NOT NULL,
    first_offset INTEGER NOT NULL, last_offset INTEGER NOT NULL);
CREATE INDEX item_by_resource ON item (resource, record);
CREATE TABLE session (
    session TEXT PRIMARY KEY, principal TEXT NOT NULL, client_id TEXT NOT NULL, peer TEXT NOT NULL,
    opened_unix_ns INTEGER NOT NULL, closed_unix_ns INTEGER NOT NULL,
    records_count INTEGER NOT NULL, denied_count INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE progress (log TEXT PRIMARY KEY, next_leaf INTEGER NOT NULL) WITHOUT ROWID;
CREATE VIRTUAL TABLE words USING fts5 (text, content = '');
";

#[cfg(test)]
mod tests;
