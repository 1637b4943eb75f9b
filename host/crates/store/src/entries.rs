//! Parts of the configuration that were made through the API: each the definition of one name in one
//! section, with the versions before it. What a definition means is not known here.
//!
//! Promises: a change of several entries is on disk as a whole or not at all; every version that is kept
//! opens only as itself, for a sealed definition carries its id and version along. Where there is a key,
//! all definitions are sealed with the newest; a start without a key that one needs is refused.

mod vault;

use bulkhead_seal::{KeyId, Keyring};
use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::changes::{Topic, changed};
use crate::database::{Database, Row, Tx};
use crate::error::{StoreError, failed};
use crate::params;
pub(crate) use vault::EntryVault;

/// Versions of an entry that are kept beside the one in force.
pub const KEPT_VERSIONS: i64 = 20;
/// Rows that are sealed anew in one transaction.
const BATCH: i64 = 100;

/// An entry in force.
#[derive(Clone, PartialEq)]
pub struct Entry {
    /// A UUID: the same for all versions, another after it was deleted and made again.
    pub id: String,
    pub section: String,
    pub name: String,
    /// Counts from 1.
    pub version: i64,
    pub definition: Value,
    pub created_ms: i64,
    pub created_by: String,
    pub updated_ms: i64,
    pub updated_by: String,
}

impl std::fmt::Debug for Entry {
    // Never the definition: it may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}@{}", self.section, self.name, self.version)
    }
}

/// One that was in force.
#[derive(Clone, PartialEq)]
pub struct Version {
    pub version: i64,
    pub definition: Value,
    pub updated_ms: i64,
    pub updated_by: String,
}

/// Another host changed one of these entries since this one read them; nothing of the change is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raced {
    pub section: String,
    pub name: String,
    /// The version in force; nothing where it is gone.
    pub version: Option<i64>,
}

/// The entries. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Entries {
    database: Database,
    vault: EntryVault,
}

const COLUMNS: &str = "SELECT id, section, name, version, definition, key, created_ms, created_by, updated_ms, updated_by FROM entries";

impl Entries {
    /// Refused where a key is missing that some definition needs; the others are sealed with the newest.
    pub(crate) async fn open(database: Database, keyring: Option<Keyring>) -> Result<Self, StoreError> {
        let entries = Self { database, vault: EntryVault::new(keyring) };
        entries.check().await?;
        for table in ["entries", "entry_versions"] {
            while entries.seal_anew(table).await? {}
        }
        Ok(entries)
    }

    /// Whether what is written is sealed.
    pub fn sealed(&self) -> bool {
        self.vault.seals()
    }

    /// By section and name.
    pub async fn all(&self) -> Result<Vec<Entry>, StoreError> {
        let fail = || failed("reading stored entries");
        let sql = format!("{COLUMNS} ORDER BY section, name");
        let rows = self.database.fetch_all(AssertSqlSafe(sql), params![]).await.map_err(fail())?;
        rows.iter().map(|row| self.read(row)).collect::<Result<_, _>>().map_err(fail())
    }

    /// Those before the one in force, newest first.
    pub async fn versions(&self, id: &str) -> Result<Vec<Version>, StoreError> {
        let fail = || failed("reading versions of an entry");
        let sql = "SELECT version, definition, key, updated_ms, updated_by FROM entry_versions WHERE id = $1 ORDER BY version DESC";
        let rows = self.database.fetch_all(sql, params![id]).await.map_err(fail())?;
        let read = |row: &Row| {
            let version = row.get("version")?;
            Ok(Version {
                version,
                definition: self.vault.open(key(row)?, id, version, row.get("definition")?)?,
                updated_ms: row.get("updated_ms")?,
                updated_by: row.get("updated_by")?,
            })
        };
        rows.iter().map(read).collect::<Result<_, sqlx::Error>>().map_err(fail())
    }

    /// Puts these in force, each in place of the version beside it (nothing: it is new), the former versions among
    /// those kept, and deletes the others by id and version. Durable as a whole when it returns; nothing of it where
    /// another host was first. Not cancel safe.
    pub async fn change(&self, put: &[(&Entry, Option<i64>)], delete: &[(&str, i64)]) -> Result<Result<(), Raced>, StoreError> {
        let fail = || failed("changing stored entries");
        let mut tx = self.database.begin().await.map_err(fail())?;
        for (id, version) in delete {
            // One that is gone is what was wanted.
            let row = tx.fetch_optional("SELECT section, name, version FROM entries WHERE id = $1", params![*id]).await.map_err(fail())?;
            if let Some(raced) = row.map(|row| raced(&row)).transpose().map_err(fail())?.filter(|found| found.version != Some(*version)) {
                tx.rollback().await.map_err(fail())?;
                return Ok(Err(raced));
            }
            tx.execute("DELETE FROM entries WHERE id = $1", params![*id]).await.map_err(fail())?;
        }
        for (entry, was) in put {
            let sql = "SELECT id, section, name, version FROM entries WHERE section = $1 AND name = $2";
            let row = tx.fetch_optional(sql, params![&entry.section, &entry.name]).await.map_err(fail())?;
            let found = row.map(|row| Ok::<_, sqlx::Error>((row.get::<String>("id")?, raced(&row)?))).transpose().map_err(fail())?;
            let same = match (&found, was) {
                (None, None) => true,
                (Some((id, found)), Some(was)) => *id == entry.id && found.version == Some(*was),
                _ => false,
            };
            if !same {
                tx.rollback().await.map_err(fail())?;
                let gone = Raced { section: entry.section.clone(), name: entry.name.clone(), version: None };
                return Ok(Err(found.map_or(gone, |(_, found)| found)));
            }
            self.put(&mut tx, entry).await.map_err(fail())?;
        }
        changed(&mut tx, Topic::Entries).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(Ok(()))
    }

    async fn put(&self, tx: &mut Tx, entry: &Entry) -> Result<(), sqlx::Error> {
        let keep = "INSERT INTO entry_versions (id, version, definition, key, updated_ms, updated_by) \
                    SELECT id, version, definition, key, updated_ms, updated_by FROM entries WHERE id = $1 AND version <> $2 \
                    ON CONFLICT (id, version) DO UPDATE SET definition = excluded.definition, key = excluded.key, \
                    updated_ms = excluded.updated_ms, updated_by = excluded.updated_by";
        tx.execute(keep, params![&entry.id, entry.version]).await?;
        let (definition, key) = self.vault.seal(&entry.id, entry.version, &entry.definition);
        let sql = "INSERT INTO entries (id, section, name, version, definition, key, created_ms, created_by, updated_ms, updated_by) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
                   ON CONFLICT (id) DO UPDATE SET version = excluded.version, definition = excluded.definition, key = excluded.key, \
                   updated_ms = excluded.updated_ms, updated_by = excluded.updated_by";
        let params = params![
            &entry.id,
            &entry.section,
            &entry.name,
            entry.version,
            definition,
            key.map(|key| key.0.to_vec()),
            entry.created_ms,
            &entry.created_by,
            entry.updated_ms,
            &entry.updated_by,
        ];
        tx.execute(sql, params).await?;
        // A change that was taken back leaves no later version.
        let forget = "DELETE FROM entry_versions WHERE id = $1 AND (version >= $2 OR version NOT IN \
                      (SELECT version FROM entry_versions WHERE id = $1 ORDER BY version DESC LIMIT $3))";
        tx.execute(forget, params![&entry.id, entry.version, KEPT_VERSIONS]).await?;
        Ok(())
    }

    fn read(&self, row: &Row) -> Result<Entry, sqlx::Error> {
        let (id, version): (String, i64) = (row.get("id")?, row.get("version")?);
        Ok(Entry {
            definition: self.vault.open(key(row)?, &id, version, row.get("definition")?)?,
            id,
            section: row.get("section")?,
            name: row.get("name")?,
            version,
            created_ms: row.get("created_ms")?,
            created_by: row.get("created_by")?,
            updated_ms: row.get("updated_ms")?,
            updated_by: row.get("updated_by")?,
        })
    }

    async fn check(&self) -> Result<(), StoreError> {
        let fail = || failed("reading the keys of stored entries");
        let sql = "SELECT key FROM entries WHERE key IS NOT NULL UNION SELECT key FROM entry_versions WHERE key IS NOT NULL";
        let rows = self.database.fetch_all(sql, params![]).await.map_err(fail())?;
        let ids = rows.iter().map(key).collect::<Result<Vec<_>, _>>().map_err(fail())?;
        let missing = self.vault.missing(ids.into_iter().flatten());
        if missing.is_empty() { Ok(()) } else { Err(StoreError::KeyMissing { what: "the stored entries of the configuration", missing }) }
    }

    /// True where there may be more.
    async fn seal_anew(&self, table: &'static str) -> Result<bool, StoreError> {
        let Some(current) = self.vault.current() else { return Ok(false) };
        let fail = || failed("sealing stored entries with another key");
        let mut tx = self.database.begin().await.map_err(fail())?;
        let sql = format!("SELECT id, version, definition, key FROM {table} WHERE key IS DISTINCT FROM $1 LIMIT {BATCH}");
        let rows = tx.fetch_all(AssertSqlSafe(sql), params![current.0]).await.map_err(fail())?;
        for row in &rows {
            let read = || Ok::<_, sqlx::Error>((row.get::<String>("id")?, row.get::<i64>("version")?, key(row)?, row.get("definition")?));
            let (id, version, key, stored) = read().map_err(fail())?;
            let definition = self.vault.open(key, &id, version, stored).map_err(fail())?;
            let (definition, key) = self.vault.seal(&id, version, &definition);
            let sql = format!("UPDATE {table} SET definition = $1, key = $2 WHERE id = $3 AND version = $4");
            let params = params![definition, key.map(|key| key.0.to_vec()), id, version];
            tx.execute(AssertSqlSafe(sql), params).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())?;
        Ok(rows.len() as i64 == BATCH)
    }
}

fn raced(row: &Row) -> Result<Raced, sqlx::Error> {
    Ok(Raced { section: row.get("section")?, name: row.get("name")?, version: row.get("version").map(Some)? })
}

pub(crate) fn key(row: &Row) -> Result<Option<KeyId>, sqlx::Error> {
    let bytes: Option<Vec<u8>> = row.get("key")?;
    let id = |bytes: Vec<u8>| bytes.try_into().map(KeyId).map_err(|_| sqlx::Error::Decode("a key id of another length".into()));
    bytes.map(id).transpose()
}

#[cfg(test)]
mod tests;
