//! What connectors keep between restarts: small values by key, private to tenant and instance.

use bulkhead_core::Tenant;

use crate::database::Database;
use crate::error::{StoreError, failed};
use crate::params;

/// Limits of one instance; the caller knows them.
#[derive(Debug, Clone, Copy)]
pub struct StateLimits {
    pub max_key_bytes: usize,
    pub max_value_bytes: usize,
    pub max_keys: u64,
    /// Keys and values together.
    pub max_bytes: u64,
}

impl Default for StateLimits {
    /// As the contract in `wit/state.wit` says.
    fn default() -> Self {
        Self { max_key_bytes: 128, max_value_bytes: 64 << 10, max_keys: 256, max_bytes: 1 << 20 }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("a state key is 1 to {max} bytes of printable ASCII, this one has {bytes} bytes or other characters")]
    Key { bytes: usize, max: usize },
    #[error("state {what} of {limit} reached with {wanted}")]
    Limit { what: &'static str, limit: u64, wanted: u64 },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The table of connector state. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ConnectorState {
    database: Database,
}

impl ConnectorState {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Cancel safe.
    pub async fn get(&self, tenant: &Tenant, instance: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT value FROM connector_state WHERE tenant = $1 AND instance = $2 AND key = $3";
        let row = self.database.fetch_optional(sql, params![tenant.as_str(), instance, key]).await;
        row.and_then(|row| row.map(|row| row.get("value")).transpose()).map_err(failed("reading connector state"))
    }

    /// Durable when it returns. Cancel safe: written or not, never in part.
    pub async fn set(&self, tenant: &Tenant, instance: &str, key: &str, value: &[u8], limits: &StateLimits) -> Result<(), StateError> {
        if key.is_empty() || key.len() > limits.max_key_bytes || !key.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return Err(StateError::Key { bytes: key.len(), max: limits.max_key_bytes });
        }
        if value.len() > limits.max_value_bytes {
            return Err(StateError::Limit { what: "value bytes", limit: limits.max_value_bytes as u64, wanted: value.len() as u64 });
        }
        let fail = || failed("writing connector state");
        let mut tx = self.database.begin().await.map_err(fail())?;
        let sql = "SELECT COUNT(*) AS keys, CAST(COALESCE(SUM(OCTET_LENGTH(key) + OCTET_LENGTH(value)), 0) AS BIGINT) AS bytes \
                   FROM connector_state WHERE tenant = $1 AND instance = $2 AND key <> $3";
        let others = tx.fetch_optional(sql, params![tenant.as_str(), instance, key]).await.and_then(|row| {
            let row = row.ok_or(sqlx::Error::RowNotFound)?;
            Ok((row.get::<i64>("keys")?.unsigned_abs(), row.get::<i64>("bytes")?.unsigned_abs()))
        });
        let (keys, bytes) = others.map_err(fail())?;
        let (keys, bytes) = (keys + 1, bytes + (key.len() + value.len()) as u64);
        if keys > limits.max_keys {
            return Err(StateError::Limit { what: "keys", limit: limits.max_keys, wanted: keys });
        }
        if bytes > limits.max_bytes {
            return Err(StateError::Limit { what: "bytes", limit: limits.max_bytes, wanted: bytes });
        }
        let sql = "INSERT INTO connector_state (tenant, instance, key, value) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (tenant, instance, key) DO UPDATE SET value = excluded.value";
        tx.execute(sql, params![tenant.as_str(), instance, key, value]).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(())
    }

    /// Removing what is not there is no error. Cancel safe.
    pub async fn delete(&self, tenant: &Tenant, instance: &str, key: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM connector_state WHERE tenant = $1 AND instance = $2 AND key = $3";
        self.database.execute(sql, params![tenant.as_str(), instance, key]).await.map(drop).map_err(failed("deleting connector state"))
    }

    /// Forgets an instance that was removed. Cancel safe.
    pub async fn forget(&self, tenant: &Tenant, instance: &str) -> Result<u64, StoreError> {
        let sql = "DELETE FROM connector_state WHERE tenant = $1 AND instance = $2";
        self.database.execute(sql, params![tenant.as_str(), instance]).await.map_err(failed("deleting connector state"))
    }
}

#[cfg(test)]
mod tests;
