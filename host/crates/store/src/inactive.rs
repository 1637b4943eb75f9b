//! Instances that somebody switched off: they hold what is for them until somebody switches them on again.

use std::collections::BTreeSet;

use sqlx::Row;

use crate::error::{StoreError, failed};
use crate::store::Store;

/// The table of them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Inactive {
    store: Store,
}

impl Inactive {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Cancel safe.
    pub async fn all(&self) -> Result<BTreeSet<String>, StoreError> {
        let rows = sqlx::query("SELECT instance FROM inactive_instances").fetch_all(&self.store.read).await;
        rows.and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect()).map_err(failed("reading inactive instances"))
    }

    /// Durable when it returns. Cancel safe: written or not, never in part.
    pub async fn set(&self, instance: &str, inactive: bool, now_ms: i64, by: &str) -> Result<(), StoreError> {
        let query = if inactive {
            sqlx::query("INSERT INTO inactive_instances (instance, since_ms, by) VALUES (?, ?, ?) ON CONFLICT DO NOTHING").bind(instance).bind(now_ms).bind(by)
        } else {
            sqlx::query("DELETE FROM inactive_instances WHERE instance = ?").bind(instance)
        };
        query.execute(&self.store.write).await.map(drop).map_err(failed("switching an instance on or off"))
    }
}
