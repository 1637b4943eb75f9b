//! The log of each instance. Bounded by age and by number; the oldest entries go first, whosever they are.

use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::database::{Database, Row, Value};
use crate::error::{StoreError, failed};
use crate::owners::owned;
use crate::params;

/// Entries that are deleted in one transaction, so that nobody waits long for it.
const CHUNK: i64 = 5_000;

/// What sort of entry it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogType {
    Info,
    Success,
    Warning,
    Error,
}

impl LogType {
    pub const ALL: [Self; 4] = [Self::Info, Self::Success, Self::Warning, Self::Error];

    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Success => "success",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    pub id: Uuid,
    pub instance: String,
    pub log_type: LogType,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// What was done, such as `deliver`, `pull`, `instances.put`.
    pub operation: String,
    pub message: String,
    /// JSON.
    pub details: Option<String>,
    pub user: Option<String>,
    pub sync_id: Option<Uuid>,
}

/// Which entries a list holds; all where nothing is said.
#[derive(Debug, Clone, Default)]
pub struct LogFilter {
    /// Of instances of this tenant, since they are its own.
    pub tenant: Option<String>,
    pub instance: Option<String>,
    /// Any of these.
    pub types: Vec<LogType>,
    pub operation: Option<String>,
    pub sync_id: Option<Uuid>,
    /// Part of the message, letters of any case as far as they are ASCII.
    pub text: Option<String>,
    /// From this moment on, and before that one; milliseconds since 1970.
    pub since_ms: Option<i64>,
    pub until_ms: Option<i64>,
}

/// The logs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Logs {
    database: Database,
}

impl Logs {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Writes entries in one transaction: all of them or none. Cancel safe, like all of these.
    pub async fn add(&self, entries: &[LogEntry]) -> Result<(), StoreError> {
        let fail = || failed("writing logs");
        let mut tx = self.database.begin().await.map_err(fail())?;
        let sql = "INSERT INTO logs (id, instance, log_type, at_ms, operation, message, details, actor, sync_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        for entry in entries {
            let LogEntry { id, instance, log_type, at_ms, operation, message, details, user, sync_id } = entry;
            let (id, sync_id) = (id.to_string(), sync_id.map(|id| id.to_string()));
            let values = params![id, instance.as_str(), log_type.name(), *at_ms, operation.as_str(), message.as_str(), details.clone(), user.clone(), sync_id];
            tx.execute(sql, values).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())
    }

    /// Newest first, and how many there are.
    pub async fn list(&self, filter: &LogFilter, offset: u64, limit: u32) -> Result<(Vec<LogEntry>, u64), StoreError> {
        let fail = || failed("reading logs");
        let (condition, values) = filter.sql();
        let database = &self.database;
        let total = database.count("logs", &condition, values.clone()).await.map_err(fail())?;
        let place = values.len() + 1;
        let page = format!(
            "SELECT id, instance, log_type, at_ms, operation, message, details, actor, sync_id FROM logs WHERE {condition} ORDER BY seq DESC LIMIT ${place} OFFSET ${}",
            place + 1
        );
        let mut values = values;
        values.extend(params![i64::from(limit), i64::try_from(offset).unwrap_or(i64::MAX)]);
        let rows = database.fetch_all(AssertSqlSafe(page), values).await;
        let entries = rows.and_then(|rows| rows.iter().map(read).collect()).map_err(fail())?;
        Ok((entries, total))
    }

    /// Deletes what is older than this moment, and of the rest the oldest beyond `most`. Answers how many went.
    pub async fn shrink(&self, before_ms: i64, most: u64) -> Result<u64, StoreError> {
        let fail = || failed("deleting logs");
        let database = &self.database;
        let mut gone = 0;
        loop {
            let sql = "DELETE FROM logs WHERE seq IN (SELECT seq FROM logs WHERE at_ms < $1 ORDER BY at_ms LIMIT $2)";
            let deleted = database.execute(sql, params![before_ms, CHUNK]).await.map_err(fail())?;
            gone += deleted;
            if deleted < CHUNK.cast_unsigned() {
                break;
            }
        }
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let last = database.fetch_optional("SELECT seq FROM logs ORDER BY seq DESC LIMIT 1 OFFSET $1", params![most]).await.map_err(fail())?;
        let Some(last) = last.map(|row| row.get::<i64>("seq")).transpose().map_err(fail())? else { return Ok(gone) };
        loop {
            let sql = "DELETE FROM logs WHERE seq IN (SELECT seq FROM logs WHERE seq <= $1 ORDER BY seq LIMIT $2)";
            let deleted = database.execute(sql, params![last, CHUNK]).await.map_err(fail())?;
            gone += deleted;
            if deleted < CHUNK.cast_unsigned() {
                return Ok(gone);
            }
        }
    }
}

impl LogFilter {
    /// What follows `WHERE`, and its values.
    fn sql(&self) -> (String, Vec<Value>) {
        let mut parts = vec!["1 = 1".to_owned()];
        let mut values = params![];
        let mut add = |part: &str, value: Vec<Value>| {
            parts.push(part.replace('?', &format!("${}", values.len() + 1)));
            values.extend(value);
        };
        if let Some(tenant) = &self.tenant {
            add(&owned("logs", "at_ms"), params![tenant.as_str()]);
        }
        if let Some(instance) = &self.instance {
            add("instance = ?", params![instance.as_str()]);
        }
        if let Some(operation) = &self.operation {
            add("operation = ?", params![operation.as_str()]);
        }
        if let Some(id) = self.sync_id {
            add("sync_id = ?", params![id.to_string()]);
        }
        if let Some(since_ms) = self.since_ms {
            add("at_ms >= ?", params![since_ms]);
        }
        if let Some(until_ms) = self.until_ms {
            add("at_ms < ?", params![until_ms]);
        }
        if let Some(text) = &self.text {
            add(r"LOWER(message) LIKE ? ESCAPE '\'", params![format!("%{}%", literal(&text.to_ascii_lowercase()))]);
        }
        if !self.types.is_empty() {
            // Words of ours, never the caller's.
            let words: Vec<String> = self.types.iter().map(|known| format!("'{}'", known.name())).collect();
            parts.push(format!("log_type IN ({})", words.join(", ")));
        }
        (parts.join(" AND "), values)
    }
}

/// A pattern for LIKE that stands for the text itself.
fn literal(text: &str) -> String {
    text.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_")
}

fn read(row: &Row) -> Result<LogEntry, sqlx::Error> {
    let unknown = |what: &str, word: &str| sqlx::Error::Decode(format!("unknown {what} of a log `{word}`").into());
    let (id, log_type) = (row.get::<String>("id")?, row.get::<String>("log_type")?);
    let sync_id: Option<String> = row.get("sync_id")?;
    Ok(LogEntry {
        id: id.parse().map_err(|_| unknown("id", &id))?,
        instance: row.get("instance")?,
        log_type: LogType::named(&log_type).ok_or_else(|| unknown("type", &log_type))?,
        at_ms: row.get("at_ms")?,
        operation: row.get("operation")?,
        message: row.get("message")?,
        details: row.get("details")?,
        user: row.get("actor")?,
        sync_id: sync_id.and_then(|id| id.parse().ok()),
    })
}

#[cfg(test)]
mod tests;
