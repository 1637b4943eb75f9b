//! How far pull connectors have come: one cursor for each instance, its own bytes.

use crate::database::Database;
use crate::error::{StoreError, failed};
use crate::leases::Fence;
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

    /// Durable when it returns. False where the lease is another's by now: then nothing was written. Cancel safe:
    /// written or not, never in part.
    pub async fn set(&self, instance: &str, cursor: &[u8], fence: &Fence) -> Result<bool, StoreError> {
        let sql = "INSERT INTO pull_cursors (instance, cursor) SELECT $1, $2 WHERE EXISTS \
                   (SELECT 1 FROM leases WHERE name = $3 AND holder = $4 AND term = $5) \
                   ON CONFLICT (instance) DO UPDATE SET cursor = excluded.cursor";
        let params = params![instance, cursor, &fence.name, &fence.holder, fence.term];
        self.database.execute(sql, params).await.map(|rows| rows > 0).map_err(failed("writing a cursor"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{each_engine, fence};

    #[tokio::test]
    async fn cursors_are_durable_and_one_for_each_instance() {
        each_engine("cursors_are_durable_and_one_for_each_instance", async |place| {
            let store = place.open().await;
            let cursors = store.pull_cursors();
            let fence = fence(&store).await;
            assert_eq!(cursors.get("a").await.expect("reads"), b"");
            for (instance, cursor) in [("a", &b"\x00\xff"[..]), ("b", b"1"), ("a", b"2")] {
                cursors.set(instance, cursor, &fence).await.expect("writes");
            }
            store.close().await;
            let cursors = place.open().await.pull_cursors();
            assert_eq!((cursors.get("a").await.expect("reads"), cursors.get("b").await.expect("reads")), (b"2".to_vec(), b"1".to_vec()));
            assert!(cursors.set("a", b"", &fence).await.expect("writes"));
            assert_eq!(cursors.get("a").await.expect("reads"), b"");
            // Under a term that is over, nothing is written.
            for over in [Fence { term: 0, ..fence.clone() }, Fence { holder: "other".into(), ..fence.clone() }, Fence { name: "pull/b".into(), ..fence }] {
                assert!(!cursors.set("a", b"9", &over).await.expect("looks"), "{over:?}");
            }
            assert_eq!(cursors.get("a").await.expect("reads"), b"");
        })
        .await;
    }
}
