//! How far pull connectors have come: one cursor for each instance, its own bytes.

use crate::database::Database;
use crate::error::{StoreError, failed};
use crate::params;

/// The table of cursors. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PullCursors {
    database: Database,
}

impl PullCursors {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Empty where nothing was pulled yet. Cancel safe.
    pub async fn get(&self, instance: &str) -> Result<Vec<u8>, StoreError> {
        let row = self.database.fetch_optional("SELECT cursor FROM pull_cursors WHERE instance = $1", params![instance]).await;
        row.and_then(|row| row.map_or(Ok(Vec::new()), |row| row.get("cursor"))).map_err(failed("reading a cursor"))
    }

    /// Durable when it returns. Cancel safe: written or not, never in part.
    pub async fn set(&self, instance: &str, cursor: &[u8]) -> Result<(), StoreError> {
        let sql = "INSERT INTO pull_cursors (instance, cursor) VALUES ($1, $2) ON CONFLICT (instance) DO UPDATE SET cursor = excluded.cursor";
        self.database.execute(sql, params![instance, cursor]).await.map(drop).map_err(failed("writing a cursor"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::each_engine;

    #[tokio::test]
    async fn cursors_are_durable_and_one_for_each_instance() {
        each_engine("cursors_are_durable_and_one_for_each_instance", async |place| {
            let store = place.open().await;
            let cursors = store.pull_cursors();
            assert_eq!(cursors.get("a").await.expect("reads"), b"");
            for (instance, cursor) in [("a", &b"\x00\xff"[..]), ("b", b"1"), ("a", b"2")] {
                cursors.set(instance, cursor).await.expect("writes");
            }
            store.close().await;
            let cursors = place.open().await.pull_cursors();
            assert_eq!((cursors.get("a").await.expect("reads"), cursors.get("b").await.expect("reads")), (b"2".to_vec(), b"1".to_vec()));
            cursors.set("a", b"").await.expect("writes");
            assert_eq!(cursors.get("a").await.expect("reads"), b"");
        })
        .await;
    }
}
