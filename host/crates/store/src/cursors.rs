//! How far pull connectors have come: one cursor for each instance, its own bytes.

use sqlx::Row;

use crate::error::{StoreError, failed};
use crate::store::Store;

/// The table of cursors. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PullCursors {
    store: Store,
}

impl PullCursors {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Empty where nothing was pulled yet. Cancel safe.
    pub async fn get(&self, instance: &str) -> Result<Vec<u8>, StoreError> {
        let row = sqlx::query("SELECT cursor FROM pull_cursors WHERE instance = ?").bind(instance).fetch_optional(&self.store.read).await;
        row.and_then(|row| row.map_or(Ok(Vec::new()), |row| row.try_get(0))).map_err(failed("reading a cursor"))
    }

    /// Durable when it returns. Cancel safe: written or not, never in part.
    pub async fn set(&self, instance: &str, cursor: &[u8]) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO pull_cursors (instance, cursor) VALUES (?, ?) ON CONFLICT DO UPDATE SET cursor = excluded.cursor")
            .bind(instance)
            .bind(cursor)
            .execute(&self.store.write)
            .await
            .map(drop)
            .map_err(failed("writing a cursor"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn cursors_are_durable_and_one_for_each_instance() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(dir.path()).await.expect("opens");
        let cursors = store.pull_cursors();
        assert_eq!(cursors.get("a").await.expect("reads"), b"");
        for (instance, cursor) in [("a", &b"\x00\xff"[..]), ("b", b"1"), ("a", b"2")] {
            cursors.set(instance, cursor).await.expect("writes");
        }
        store.close().await;
        let cursors = Store::open(dir.path()).await.expect("opens").pull_cursors();
        assert_eq!((cursors.get("a").await.expect("reads"), cursors.get("b").await.expect("reads")), (b"2".to_vec(), b"1".to_vec()));
        cursors.set("a", b"").await.expect("writes");
        assert_eq!(cursors.get("a").await.expect("reads"), b"");
    }
}
