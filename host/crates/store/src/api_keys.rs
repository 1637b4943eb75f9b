//! Keys of the API: what is kept of each, and the mark of the pepper that their hashes were made with.

use std::net::IpAddr;

use bulkhead_access::{Allow, KeyHash, KeyId, KeyRecord, Previous, Revoked, Role};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::error::{StoreError, failed};
use crate::store::Store;

/// The table of keys. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ApiKeys {
    store: Store,
}

impl ApiKeys {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// All keys, read once at a start. Cancel safe.
    pub async fn all(&self) -> Result<Vec<KeyRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM api_keys").fetch_all(&self.store.read).await;
        rows.and_then(|rows| rows.iter().map(read).collect()).map_err(failed("reading API keys"))
    }

    /// Writes a key in the place of the one with its id, if there is one; its use is [`Self::used`]'s. Durable when
    /// it returns. Cancel safe: written or not, never in part.
    pub async fn put(&self, key: &KeyRecord) -> Result<(), StoreError> {
        let words = |words: Vec<String>| words.join(" ");
        sqlx::query(
            "INSERT INTO api_keys (id, name, roles, ip_allow, hash, previous_hash, previous_until_ms, rate, created_ms, created_by, rotated_ms, expires_ms, revoked_ms, revoked_by, reminded) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT DO UPDATE SET name = excluded.name, roles = excluded.roles, ip_allow = excluded.ip_allow, hash = excluded.hash, \
             previous_hash = excluded.previous_hash, previous_until_ms = excluded.previous_until_ms, rate = excluded.rate, \
             rotated_ms = excluded.rotated_ms, expires_ms = excluded.expires_ms, revoked_ms = excluded.revoked_ms, revoked_by = excluded.revoked_by, \
             reminded = excluded.reminded",
        )
        .bind(key.id.as_str())
        .bind(&key.name)
        .bind(words(key.roles.iter().map(|role| role.name().to_owned()).collect()))
        .bind(words(key.allow.texts()))
        .bind(key.hash.bytes().as_slice())
        .bind(key.previous.as_ref().map(|previous| previous.hash.bytes().as_slice()))
        .bind(key.previous.as_ref().map(|previous| previous.until_ms))
        .bind(i64::from(key.rate))
        .bind(key.created_ms)
        .bind(&key.created_by)
        .bind(key.rotated_ms)
        .bind(key.expires_ms)
        .bind(key.revoked.as_ref().map(|revoked| revoked.at_ms))
        .bind(key.revoked.as_ref().map(|revoked| revoked.by.as_str()))
        .bind(key.reminded)
        .execute(&self.store.write)
        .await
        .map(drop)
        .map_err(failed("writing an API key"))
    }

    /// When keys were used last, in one transaction. Cancel safe: all or none.
    pub async fn used(&self, uses: &[(KeyId, i64, IpAddr)]) -> Result<(), StoreError> {
        let fail = || failed("writing the use of API keys");
        let mut tx = self.store.write.begin_with("BEGIN IMMEDIATE").await.map_err(fail())?;
        for (id, at_ms, from) in uses {
            let update = sqlx::query("UPDATE api_keys SET used_ms = ?, used_from = ? WHERE id = ?").bind(at_ms).bind(from.to_string()).bind(id.as_str());
            update.execute(&mut *tx).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())
    }

    /// Removing what is not there is no error. Cancel safe.
    pub async fn remove(&self, id: &KeyId) -> Result<(), StoreError> {
        let removed = sqlx::query("DELETE FROM api_keys WHERE id = ?").bind(id.as_str()).execute(&self.store.write).await;
        removed.map(drop).map_err(failed("removing an API key"))
    }

    /// Deletes every key, and the mark with them. Cancel safe: all or none.
    pub async fn discard(&self) -> Result<u64, StoreError> {
        let fail = || failed("deleting the API keys");
        let mut tx = self.store.write.begin_with("BEGIN IMMEDIATE").await.map_err(fail())?;
        let done = sqlx::query("DELETE FROM api_keys").execute(&mut *tx).await.map_err(fail())?;
        sqlx::query("DELETE FROM api_pepper").execute(&mut *tx).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(done.rows_affected())
    }

    /// The mark of the pepper that hashes were made with; nothing before the first. Cancel safe.
    pub async fn mark(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let row = sqlx::query("SELECT mark FROM api_pepper").fetch_optional(&self.store.read).await;
        row.and_then(|row| row.map(|row| row.try_get(0)).transpose()).map_err(failed("reading the mark of the pepper"))
    }

    /// Durable when it returns. Cancel safe.
    pub async fn set_mark(&self, mark: &[u8]) -> Result<(), StoreError> {
        let put = sqlx::query("INSERT INTO api_pepper (one, mark) VALUES (1, ?) ON CONFLICT DO UPDATE SET mark = excluded.mark");
        put.bind(mark).execute(&self.store.write).await.map(drop).map_err(failed("writing the mark of the pepper"))
    }
}

/// What cannot be read is a fault of the store: a key that was read by half might let in too many.
fn read(row: &SqliteRow) -> Result<KeyRecord, sqlx::Error> {
    let odd = |column: &'static str| sqlx::Error::ColumnDecode { index: column.into(), source: "not what a key has there".into() };
    let hash = |bytes: Vec<u8>, column| <[u8; 32]>::try_from(bytes).map(KeyHash::from_bytes).map_err(|_| odd(column));
    let text = |column: &'static str| row.try_get::<String, _>(column);
    let previous = match (row.try_get::<Option<Vec<u8>>, _>("previous_hash")?, row.try_get("previous_until_ms")?) {
        (Some(bytes), Some(until_ms)) => Some(Previous { hash: hash(bytes, "previous_hash")?, until_ms }),
        _ => None,
    };
    let revoked: Option<i64> = row.try_get("revoked_ms")?;
    let revoked_by: Option<String> = row.try_get("revoked_by")?;
    let used: (Option<i64>, Option<String>) = (row.try_get("used_ms")?, row.try_get("used_from")?);
    Ok(KeyRecord {
        id: KeyId::parse(&text("id")?).ok_or_else(|| odd("id"))?,
        name: text("name")?,
        roles: text("roles")?.split_whitespace().map(|name| Role::named(name).ok_or_else(|| odd("roles"))).collect::<Result<_, _>>()?,
        hash: hash(row.try_get("hash")?, "hash")?,
        previous,
        allow: Allow::parse(text("ip_allow")?.split_whitespace()).map_err(|_| odd("ip_allow"))?,
        rate: u32::try_from(row.try_get::<i64, _>("rate")?).map_err(|_| odd("rate"))?,
        created_ms: row.try_get("created_ms")?,
        created_by: text("created_by")?,
        rotated_ms: row.try_get("rotated_ms")?,
        expires_ms: row.try_get("expires_ms")?,
        revoked: revoked.map(|at_ms| Revoked { at_ms, by: revoked_by.unwrap_or_default() }),
        used: used.0.zip(used.1.and_then(|from| from.parse().ok())),
        reminded: row.try_get("reminded")?,
    })
}

#[cfg(test)]
mod tests {
    use bulkhead_access::{ApiKey, Pepper};

    use super::*;

    fn record(pepper: &Pepper) -> KeyRecord {
        let key = ApiKey::mint().expect("random");
        KeyRecord {
            hash: pepper.hash(&key),
            id: key.id().clone(),
            name: "pipeline'); DROP TABLE api_keys; --".into(),
            roles: vec![Role::ApiService, Role::Auditor],
            previous: None,
            allow: Allow::parse(["10.0.0.0/8", "::1"]).expect("networks"),
            rate: 7,
            created_ms: 1,
            created_by: "tests".into(),
            rotated_ms: None,
            expires_ms: 9,
            revoked: None,
            used: None,
            reminded: false,
        }
    }

    #[tokio::test]
    async fn keys_come_back_as_they_were() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(dir.path()).await.expect("opens");
        let (keys, pepper) = (store.api_keys(), Pepper::from_text("a pepper for tests, 32 bytes of it"));
        let mut one = record(&pepper);
        let other = record(&pepper);
        keys.put(&one).await.expect("writes");
        keys.put(&other).await.expect("writes");
        keys.used(&[(one.id.clone(), 5, "10.1.2.3".parse().expect("an address"))]).await.expect("writes");
        one.rotate(other.hash, 2, 3, 90);
        one.revoked = Some(Revoked { at_ms: 6, by: "ada".into() });
        keys.put(&one).await.expect("writes");
        assert_eq!(keys.mark().await.expect("reads"), None);
        keys.set_mark(&pepper.mark()).await.expect("writes");
        store.close().await;

        let keys = Store::open(dir.path()).await.expect("opens").api_keys();
        let all = keys.all().await.expect("reads");
        let read = all.iter().find(|key| key.id == one.id).expect("there");
        one.used = Some((5, "10.1.2.3".parse().expect("an address")));
        let shown = |key: &KeyRecord| format!("{key:?}");
        assert_eq!((all.len(), shown(read)), (2, shown(&one)));
        assert!(read.hash.is(&one.hash) && read.previous.expect("rotated").hash.is(&one.previous.expect("rotated").hash));
        assert_eq!(keys.mark().await.expect("reads").as_deref(), Some(&pepper.mark()[..]));
        keys.remove(&one.id).await.expect("removes");
        assert_eq!(keys.discard().await.expect("deletes"), 1);
        assert_eq!((keys.all().await.expect("reads").len(), keys.mark().await.expect("reads")), (0, None));
    }

    #[tokio::test]
    async fn a_key_that_cannot_be_read_is_a_fault() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(dir.path()).await.expect("opens");
        let keys = store.api_keys();
        keys.put(&record(&Pepper::from_text("a pepper for tests, 32 bytes of it"))).await.expect("writes");
        for (column, value) in [("roles", "'root'"), ("ip_allow", "'everywhere'"), ("hash", "x'00'"), ("rate", "-1")] {
            let sql = format!("UPDATE api_keys SET {column} = {value}");
            let before: (String, String, Vec<u8>, i64) =
                sqlx::query_as("SELECT roles, ip_allow, hash, rate FROM api_keys").fetch_one(&store.read).await.expect("reads");
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&store.write).await.expect("writes");
            assert!(matches!(keys.all().await, Err(StoreError::Query { doing: "reading API keys", .. })), "{column}");
            let back = sqlx::query("UPDATE api_keys SET roles = ?, ip_allow = ?, hash = ?, rate = ?");
            back.bind(before.0).bind(before.1).bind(before.2).bind(before.3).execute(&store.write).await.expect("writes");
        }
        assert_eq!(keys.all().await.expect("reads").len(), 1);
    }
}
