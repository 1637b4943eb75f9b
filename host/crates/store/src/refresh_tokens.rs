//! Refresh tokens that servers gave, one of a credential: sealed, for there is no other way to keep them.

use bulkhead_seal::{KeyId, Keyring};
use serde_json::Value;

use crate::database::{Database, Row};
use crate::entries::{EntryVault, key};
use crate::error::{StoreError, failed};
use crate::params;

/// The table of them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StoredTokens {
    database: Database,
    vault: EntryVault,
}

impl StoredTokens {
    /// Refused where a key is missing that some token needs; the others are sealed with the newest. Not cancel safe.
    pub(crate) async fn open(database: Database, keyring: Keyring) -> Result<Self, StoreError> {
        let tokens = Self { database, vault: EntryVault::new(Some(keyring)) };
        let rows = tokens.rows().await?;
        let older: Vec<&Row> = {
            let keys: Vec<Option<KeyId>> = rows.iter().map(key).collect::<Result<_, _>>().map_err(failed("reading refresh tokens"))?;
            let missing = tokens.vault.missing(keys.iter().flatten().copied());
            if !missing.is_empty() {
                return Err(StoreError::KeyMissing { what: "refresh tokens", missing });
            }
            rows.iter().zip(keys).filter(|(_, key)| *key != tokens.vault.current()).map(|(row, _)| row).collect()
        };
        for row in older {
            let (credential, kept) = tokens.read(row).map_err(failed("reading refresh tokens"))?;
            tokens.put(&credential, &kept, row.get("updated_ms").map_err(failed("reading refresh tokens"))?).await?;
        }
        Ok(tokens)
    }

    /// What is kept, by credential. Cancel safe.
    pub async fn all(&self) -> Result<Vec<(String, Value)>, StoreError> {
        self.rows().await?.iter().map(|row| self.read(row)).collect::<Result<_, _>>().map_err(failed("reading refresh tokens"))
    }

    /// Cancel safe.
    pub async fn get(&self, credential: &str) -> Result<Option<Value>, StoreError> {
        let sql = "SELECT credential, kept, key, updated_ms FROM refresh_tokens WHERE credential = $1";
        let row = self.database.fetch_optional(sql, params![credential]).await.map_err(failed("reading a refresh token"))?;
        row.map(|row| self.read(&row).map(|(_, kept)| kept)).transpose().map_err(failed("reading a refresh token"))
    }

    /// Durable when it returns. Cancel safe: written or not, never in part.
    pub async fn put(&self, credential: &str, kept: &Value, now_ms: i64) -> Result<(), StoreError> {
        let (sealed, key) = self.vault.seal(&place(credential), 0, kept);
        let sql = "INSERT INTO refresh_tokens (credential, kept, key, updated_ms) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (credential) DO UPDATE SET kept = excluded.kept, key = excluded.key, updated_ms = excluded.updated_ms";
        let params = params![credential, sealed, key.map(|key| key.0.to_vec()), now_ms];
        self.database.execute(sql, params).await.map(drop).map_err(failed("writing a refresh token"))
    }

    async fn rows(&self) -> Result<Vec<Row>, StoreError> {
        let sql = "SELECT credential, kept, key, updated_ms FROM refresh_tokens ORDER BY credential";
        self.database.fetch_all(sql, params![]).await.map_err(failed("reading refresh tokens"))
    }

    fn read(&self, row: &Row) -> Result<(String, Value), sqlx::Error> {
        let credential: String = row.get("credential")?;
        let kept = self.vault.open(key(row)?, &place(&credential), 0, row.get("kept")?)?;
        Ok((credential, kept))
    }
}

/// No entry has such an id: none opens as a token, nor the other way round.
fn place(credential: &str) -> String {
    format!("refresh token of {credential}")
}
