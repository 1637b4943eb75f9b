//! Runs of pulls that events asked for. What is asked for stays on disk until a run that began after it is done, so
//! that neither a kill nor a failure nor another holder of the lease loses it. Any host may ask; the one with the
//! lease is told by [`Topic::WantedRuns`].
//!
//! Bounded: one row for each instance. Who asks while one waits to begin joins it; who asks behind its begin takes
//! its place, and the run under way ends nothing but itself.

use uuid::Uuid;

use crate::changes::{Topic, changed};
use crate::database::Database;
use crate::error::{StoreError, failed};
use crate::leases::Fence;
use crate::params;

/// One that is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedRun {
    pub id: Uuid,
    pub initiated_by: String,
    /// A run for it began before, and did not come to its end.
    pub begun: bool,
}

/// The table. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WantedRuns {
    database: Database,
}

impl WantedRuns {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// On disk when it returns; answers the id of the run that will be for it. Cancel safe.
    pub async fn ask(&self, instance: &str, initiated_by: &str, now_ms: i64) -> Result<Uuid, StoreError> {
        let fail = || failed("asking for a run");
        let id = Uuid::now_v7();
        let mut tx = self.database.begin().await.map_err(fail())?;
        let sql = "INSERT INTO wanted_runs (instance, id, initiated_by, begun, asked_ms) VALUES ($1, $2, $3, 0, $4) \
                   ON CONFLICT (instance) DO UPDATE SET id = excluded.id, initiated_by = excluded.initiated_by, begun = 0, asked_ms = excluded.asked_ms \
                   WHERE wanted_runs.begun = 1";
        if tx.execute(sql, params![instance, id.to_string(), initiated_by, now_ms]).await.map_err(fail())? > 0 {
            changed(&mut tx, Topic::WantedRuns).await.map_err(fail())?;
            tx.commit().await.map_err(fail())?;
            return Ok(id);
        }
        let row = tx.fetch_optional("SELECT id FROM wanted_runs WHERE instance = $1", params![instance]).await.map_err(fail())?;
        let joined = row.and_then(|row| row.get::<String>("id").ok()).and_then(|id| id.parse().ok());
        tx.rollback().await.map_err(fail())?;
        joined.ok_or_else(|| fail()(sqlx::Error::RowNotFound))
    }

    /// The one of an instance, begun from now on: for the host with its lease.
    pub async fn begin(&self, instance: &str) -> Result<Option<WantedRun>, StoreError> {
        let fail = || failed("reading runs that were asked for");
        // Mostly there is none, and nothing to write.
        if self.database.fetch_optional("SELECT id FROM wanted_runs WHERE instance = $1", params![instance]).await.map_err(fail())?.is_none() {
            return Ok(None);
        }
        let mut tx = self.database.begin().await.map_err(fail())?;
        let row = tx.fetch_optional("SELECT id, initiated_by, begun FROM wanted_runs WHERE instance = $1", params![instance]).await.map_err(fail())?;
        let Some(row) = row else {
            tx.rollback().await.map_err(fail())?;
            return Ok(None);
        };
        let read = || Ok((row.get::<String>("id")?, row.get("initiated_by")?, row.get::<i64>("begun")?));
        let (id, initiated_by, begun) = read().map_err(fail())?;
        let id = id.parse().map_err(|_| fail()(sqlx::Error::Decode(format!("unknown id of a run `{id}`").into())))?;
        if begun == 0 {
            tx.execute("UPDATE wanted_runs SET begun = 1 WHERE instance = $1", params![instance]).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())?;
        Ok(Some(WantedRun { id, initiated_by, begun: begun != 0 }))
    }

    /// Its run came to its end; what was asked for behind its begin stays. False where the lease is another's by now.
    pub async fn done(&self, instance: &str, id: Uuid, fence: &Fence) -> Result<bool, StoreError> {
        let fail = || failed("ending a run that was asked for");
        let mut tx = self.database.begin().await.map_err(fail())?;
        let sql = "SELECT term FROM leases WHERE name = $1 AND holder = $2 AND term = $3";
        let held = tx.fetch_optional(sql, params![&fence.name, &fence.holder, fence.term]).await.map_err(fail())?.is_some();
        if held {
            tx.execute("DELETE FROM wanted_runs WHERE instance = $1 AND id = $2", params![instance, id.to_string()]).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())?;
        Ok(held)
    }

    /// Instances that have one which has not begun.
    pub async fn waiting(&self) -> Result<Vec<String>, StoreError> {
        let rows = self.database.fetch_all("SELECT instance FROM wanted_runs WHERE begun = 0 ORDER BY instance", params![]).await;
        rows.and_then(|rows| rows.iter().map(|row| row.get("instance")).collect()).map_err(failed("reading runs that were asked for"))
    }
}

#[cfg(test)]
mod tests;
