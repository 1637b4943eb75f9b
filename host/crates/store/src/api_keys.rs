//! Keys of the API: what is kept of each, and the mark of the pepper that their hashes were made with.

use std::net::IpAddr;

use bulkhead_access::{Allow, KeyHash, KeyId, KeyRecord, Previous, Revoked, Role};
use bulkhead_core::Tenant;

use crate::changes::{Topic, changed};
use crate::database::{Database, Row};
use crate::error::{StoreError, failed};
use crate::params;

/// The table of keys. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ApiKeys {
    database: Database,
}

const COLUMNS: &str = "SELECT id, name, roles, ip_allow, hash, previous_hash, previous_until_ms, rate, created_ms, created_by, rotated_ms, expires_ms, \
                       revoked_ms, revoked_by, used_ms, used_from, reminded, tenant FROM api_keys";

impl ApiKeys {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// All keys, read once at a start. Cancel safe.
    pub async fn all(&self) -> Result<Vec<KeyRecord>, StoreError> {
        let rows = self.database.fetch_all(COLUMNS, params![]).await;
        rows.and_then(|rows| rows.iter().map(read).collect()).map_err(failed("reading API keys"))
    }

    /// Writes a key in the place of what it was `before` (nothing: it is new); its use is [`Self::used`]'s. Durable when
    /// it returns. False where another host changed it meanwhile: then it is as that one left it. Cancel safe:
    /// written or not, never in part.
    pub async fn put(&self, key: &KeyRecord, before: Option<&KeyRecord>) -> Result<bool, StoreError> {
        let words = |words: Vec<String>| words.join(" ");
        let sql = "INSERT INTO api_keys (id, name, roles, ip_allow, hash, previous_hash, previous_until_ms, rate, created_ms, created_by, rotated_ms, expires_ms, revoked_ms, revoked_by, reminded, tenant) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, roles = excluded.roles, ip_allow = excluded.ip_allow, hash = excluded.hash, \
             previous_hash = excluded.previous_hash, previous_until_ms = excluded.previous_until_ms, rate = excluded.rate, \
             rotated_ms = excluded.rotated_ms, expires_ms = excluded.expires_ms, revoked_ms = excluded.revoked_ms, revoked_by = excluded.revoked_by, \
             reminded = excluded.reminded \
             WHERE api_keys.hash = $17 AND api_keys.expires_ms = $18 AND api_keys.revoked_ms IS NOT DISTINCT FROM $19";
        let params = params![
            key.id.as_str(),
            &key.name,
            words(key.roles.iter().map(|role| role.name().to_owned()).collect()),
            words(key.allow.texts()),
            key.hash.bytes().as_slice(),
            key.previous.as_ref().map(|previous| previous.hash.bytes().as_slice()),
            key.previous.as_ref().map(|previous| previous.until_ms),
            key.rate,
            key.created_ms,
            &key.created_by,
            key.rotated_ms,
            key.expires_ms,
            key.revoked.as_ref().map(|revoked| revoked.at_ms),
            key.revoked.as_ref().map(|revoked| revoked.by.as_str()),
            key.reminded,
            key.tenant.as_ref().map_or("", Tenant::as_str),
            before.map(|before| before.hash.bytes().as_slice()),
            before.map(|before| before.expires_ms),
            before.and_then(|before| before.revoked.as_ref()).map(|revoked| revoked.at_ms),
        ];
        let fail = || failed("writing an API key");
        let mut tx = self.database.begin().await.map_err(fail())?;
        let written = tx.execute(sql, params).await.map_err(fail())? > 0;
        if written {
            changed(&mut tx, Topic::ApiKeys).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())?;
        Ok(written)
    }

    /// When keys were used last, in one transaction. Cancel safe: all or none.
    pub async fn used(&self, uses: &[(KeyId, i64, IpAddr)]) -> Result<(), StoreError> {
        let fail = || failed("writing the use of API keys");
        let mut tx = self.database.begin().await.map_err(fail())?;
        for (id, at_ms, from) in uses {
            let sql = "UPDATE api_keys SET used_ms = $1, used_from = $2 WHERE id = $3";
            tx.execute(sql, params![*at_ms, from.to_string(), id.as_str()]).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())
    }

    /// Removing what is not there is no error. Cancel safe.
    pub async fn remove(&self, id: &KeyId) -> Result<(), StoreError> {
        let fail = || failed("removing an API key");
        let mut tx = self.database.begin().await.map_err(fail())?;
        tx.execute("DELETE FROM api_keys WHERE id = $1", params![id.as_str()]).await.map_err(fail())?;
        changed(&mut tx, Topic::ApiKeys).await.map_err(fail())?;
        tx.commit().await.map_err(fail())
    }

    /// Deletes every key, and the mark with them. Cancel safe: all or none.
    pub async fn discard(&self) -> Result<u64, StoreError> {
        let fail = || failed("deleting the API keys");
        let mut tx = self.database.begin().await.map_err(fail())?;
        let keys = tx.execute("DELETE FROM api_keys", params![]).await.map_err(fail())?;
        tx.execute("DELETE FROM api_pepper", params![]).await.map_err(fail())?;
        changed(&mut tx, Topic::ApiKeys).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(keys)
    }

    /// The mark of the pepper that hashes were made with; nothing before the first. Cancel safe.
    pub async fn mark(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let row = self.database.fetch_optional("SELECT mark FROM api_pepper", params![]).await;
        row.and_then(|row| row.map(|row| row.get("mark")).transpose()).map_err(failed("reading the mark of the pepper"))
    }

    /// The mark of a pepper that keys are about to be made with; false where there are keys of another one. Durable
    /// when it returns. Cancel safe.
    pub async fn set_mark(&self, mark: &[u8]) -> Result<bool, StoreError> {
        let sql = "INSERT INTO api_pepper (one, mark) VALUES (1, $1) ON CONFLICT (one) DO UPDATE SET mark = excluded.mark \
                   WHERE api_pepper.mark = excluded.mark OR NOT EXISTS (SELECT 1 FROM api_keys)";
        self.database.execute(sql, params![mark]).await.map(|rows| rows > 0).map_err(failed("writing the mark of the pepper"))
    }
}

/// Whose somebody is; nothing for the host's. A name that is none is a fault: it must not become the host's.
pub(crate) fn tenant(row: &Row) -> Result<Option<Tenant>, sqlx::Error> {
    let name: String = row.get("tenant")?;
    let odd = || sqlx::Error::ColumnDecode { index: "tenant".into(), source: "no name of a tenant".into() };
    if name.is_empty() { Ok(None) } else { Tenant::new(&name).map(Some).ok_or_else(odd) }
}

/// What cannot be read is a fault of the store: a key that was read by half might let in too many.
fn read(row: &Row) -> Result<KeyRecord, sqlx::Error> {
    let odd = |column: &'static str| sqlx::Error::ColumnDecode { index: column.into(), source: "not what a key has there".into() };
    let hash = |bytes: Vec<u8>, column| <[u8; 32]>::try_from(bytes).map(KeyHash::from_bytes).map_err(|_| odd(column));
    let text = |column: &'static str| row.get::<String>(column);
    let previous = match (row.get::<Option<Vec<u8>>>("previous_hash")?, row.get("previous_until_ms")?) {
        (Some(bytes), Some(until_ms)) => Some(Previous { hash: hash(bytes, "previous_hash")?, until_ms }),
        _ => None,
    };
    let revoked: Option<i64> = row.get("revoked_ms")?;
    let revoked_by: Option<String> = row.get("revoked_by")?;
    let used: (Option<i64>, Option<String>) = (row.get("used_ms")?, row.get("used_from")?);
    Ok(KeyRecord {
        id: KeyId::parse(&text("id")?).ok_or_else(|| odd("id"))?,
        name: text("name")?,
        roles: text("roles")?.split_whitespace().map(|name| Role::named(name).ok_or_else(|| odd("roles"))).collect::<Result<_, _>>()?,
        tenant: tenant(row)?,
        hash: hash(row.get("hash")?, "hash")?,
        previous,
        allow: Allow::parse(text("ip_allow")?.split_whitespace()).map_err(|_| odd("ip_allow"))?,
        rate: u32::try_from(row.get::<i64>("rate")?).map_err(|_| odd("rate"))?,
        created_ms: row.get("created_ms")?,
        created_by: text("created_by")?,
        rotated_ms: row.get("rotated_ms")?,
        expires_ms: row.get("expires_ms")?,
        revoked: revoked.map(|at_ms| Revoked { at_ms, by: revoked_by.unwrap_or_default() }),
        used: used.0.zip(used.1.and_then(|from| from.parse().ok())),
        reminded: row.get("reminded")?,
    })
}

#[cfg(test)]
mod tests {
    use bulkhead_access::{ApiKey, Pepper};
    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::database::Value;
    use crate::testing::each_engine;

    fn record(pepper: &Pepper) -> KeyRecord {
        let key = ApiKey::mint().expect("random");
        KeyRecord {
            hash: pepper.hash(&key),
            id: key.id().clone(),
            name: "pipeline'); DROP TABLE api_keys; --".into(),
            roles: vec![Role::ApiService, Role::Auditor],
            tenant: Tenant::new("acme"),
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
        each_engine("keys_come_back_as_they_were", async |place| {
            let store = place.open().await;
            let (keys, pepper) = (store.api_keys(), Pepper::from_text("a pepper for tests, 32 bytes of it"));
            let mut one = record(&pepper);
            let other = record(&pepper);
            assert!(keys.put(&one, None).await.expect("writes") && keys.put(&other, None).await.expect("writes"));
            assert!(!keys.put(&one, None).await.expect("looks"), "it is there");
            let former = one.clone();
            keys.used(&[(one.id.clone(), 5, "10.1.2.3".parse().expect("an address"))]).await.expect("writes");
            one.rotate(other.hash, 2, 3, 90);
            one.revoked = Some(Revoked { at_ms: 6, by: "ada".into() });
            assert!(keys.put(&one, Some(&former)).await.expect("writes"));
            // Who still has it as it was writes nothing: a key that was revoked stays so.
            assert!(!keys.put(&KeyRecord { reminded: true, ..former.clone() }, Some(&former)).await.expect("looks"));
            assert_eq!(keys.mark().await.expect("reads"), None);
            assert!(keys.set_mark(&pepper.mark()).await.expect("writes") && keys.set_mark(&pepper.mark()).await.expect("writes"));
            assert!(!keys.set_mark(b"another").await.expect("looks"), "there are keys of the first");
            store.close().await;

            let keys = place.open().await.api_keys();
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
        })
        .await;
    }

    #[tokio::test]
    async fn a_key_that_cannot_be_read_is_a_fault() {
        each_engine("a_key_that_cannot_be_read_is_a_fault", async |place| {
            let store = place.open().await;
            let keys = store.api_keys();
            keys.put(&record(&Pepper::from_text("a pepper for tests, 32 bytes of it")), None).await.expect("writes");
            for (column, value) in [
                ("roles", Value::from("root")),
                ("tenant", "ACME".into()),
                ("ip_allow", "everywhere".into()),
                ("hash", Value::from(vec![0])),
                ("rate", Value::from(-1)),
            ] {
                let before = store.shared().fetch_optional(COLUMNS, params![]).await.expect("reads").expect("a key");
                let before = match column {
                    "hash" => Value::from(before.get::<Vec<u8>>(column).expect("bytes")),
                    "rate" => Value::from(before.get::<i64>(column).expect("a number")),
                    _ => Value::from(before.get::<String>(column).expect("text")),
                };
                let sql = format!("UPDATE api_keys SET {column} = $1");
                for (value, fits) in [(value, false), (before, true)] {
                    store.shared().execute(AssertSqlSafe(sql.clone()), vec![value]).await.expect("writes");
                    let read = keys.all().await;
                    assert!(fits && read.is_ok() || matches!(read, Err(StoreError::Query { doing: "reading API keys", .. })), "{column}");
                }
            }
            assert_eq!(keys.all().await.expect("reads").len(), 1);
        })
        .await;
    }
}
