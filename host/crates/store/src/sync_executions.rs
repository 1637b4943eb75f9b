//! Runs of pull connectors, and until when their schedules need none.
//!
//! Bounded: the last [`KEPT`] runs of an instance, none older than [`AGE_MS`]; one row of a schedule for each
//! instance that ever had one. A row says `running` until its end is on disk; what a crash cut off is closed at the
//! next start.

use bulkhead_core::{SyncRun, SyncStatus, SyncTrigger};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::error::{StoreError, failed};
use crate::store::Store;

/// Runs of one instance that are remembered.
const KEPT: i64 = 1_000;
/// For how long: 90 days.
const AGE_MS: i64 = 90 * 24 * 3_600 * 1_000;

/// The runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SyncExecutions {
    store: Store,
}

/// Which runs a list holds; all where nothing is said.
#[derive(Debug, Clone, Default)]
pub struct SyncFilter {
    pub instance: Option<String>,
    pub status: Option<SyncStatus>,
}

const COLUMNS: &str =
    "SELECT id, instance, trigger_type, status, started_ms, ended_ms, pages, records, left_out, attempts, error, initiated_by FROM sync_executions";
const INSERT: &str = "INSERT INTO sync_executions (id, instance, trigger_type, status, started_ms, ended_ms, pages, records, left_out, attempts, error, initiated_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO ";
const UPDATE: &str = "UPDATE SET status = excluded.status, ended_ms = excluded.ended_ms, pages = excluded.pages, records = excluded.records, left_out = excluded.left_out, attempts = excluded.attempts, error = excluded.error";

impl SyncExecutions {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// One that begins, unless it is there. Cancel safe, like all of these.
    pub async fn begin(&self, run: &SyncRun) -> Result<(), StoreError> {
        self.write(run, "NOTHING").await
    }

    /// As it is now, with what is too old or too many gone.
    pub async fn keep(&self, run: &SyncRun) -> Result<(), StoreError> {
        self.write(run, UPDATE).await
    }

    async fn write(&self, run: &SyncRun, known: &str) -> Result<(), StoreError> {
        let fail = || failed("recording a run");
        let mut tx = self.store.write.begin_with("BEGIN IMMEDIATE").await.map_err(fail())?;
        sqlx::query(sqlx::AssertSqlSafe(format!("{INSERT}{known}")))
            .bind(run.id.to_string())
            .bind(&*run.instance)
            .bind(run.trigger.name())
            .bind(run.status.name())
            .bind(run.started_ms)
            .bind(run.ended_ms)
            .bind(run.pages.cast_signed())
            .bind(run.records.cast_signed())
            .bind(run.left_out.cast_signed())
            .bind(i64::from(run.attempts))
            .bind(run.error.as_deref())
            .bind(&*run.initiated_by)
            .execute(&mut *tx)
            .await
            .map_err(fail())?;
        if let Some(ended_ms) = run.ended_ms {
            let many = "DELETE FROM sync_executions WHERE instance = ? AND status <> 'running' AND seq <= (SELECT seq FROM sync_executions WHERE instance = ? ORDER BY seq DESC LIMIT 1 OFFSET ?)";
            sqlx::query(many).bind(&*run.instance).bind(&*run.instance).bind(KEPT).execute(&mut *tx).await.map_err(fail())?;
            let old = "DELETE FROM sync_executions WHERE started_ms < ? AND status <> 'running'";
            sqlx::query(old).bind(ended_ms.saturating_sub(AGE_MS)).execute(&mut *tx).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())
    }

    /// It came to nothing.
    pub async fn forget(&self, id: Uuid) -> Result<(), StoreError> {
        let query = sqlx::query("DELETE FROM sync_executions WHERE id = ?").bind(id.to_string());
        query.execute(&self.store.write).await.map(drop).map_err(failed("forgetting a run"))
    }

    /// Ends what still says `running`: for the start, when nothing runs. Answers how many there were.
    pub async fn close_cut_off(&self, now_ms: i64) -> Result<u64, StoreError> {
        let sql = "UPDATE sync_executions SET status = 'failed', error = 'the host ended', ended_ms = ? WHERE status = 'running'";
        let done = sqlx::query(sql).bind(now_ms).execute(&self.store.write).await.map_err(failed("closing runs that were cut off"))?;
        Ok(done.rows_affected())
    }

    pub async fn get(&self, id: Uuid) -> Result<Option<SyncRun>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE id = ?"))).bind(id.to_string()).fetch_optional(&self.store.read).await;
        row.and_then(|row| row.as_ref().map(read).transpose()).map_err(failed("reading runs"))
    }

    /// Newest first, of those before this one. Nothing is before one that is not known.
    pub async fn list(&self, filter: &SyncFilter, before: Option<Uuid>, limit: u32) -> Result<Vec<SyncRun>, StoreError> {
        let mut sql = format!("{COLUMNS} WHERE true");
        for (wanted, part) in [
            (filter.instance.is_some(), " AND instance = ?"),
            (filter.status.is_some(), " AND status = ?"),
            (before.is_some(), " AND seq < (SELECT seq FROM sync_executions WHERE id = ?)"),
        ] {
            if wanted {
                sql.push_str(part);
            }
        }
        sql.push_str(" ORDER BY seq DESC LIMIT ?");
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
        for value in [filter.instance.clone(), filter.status.map(|status| status.name().to_owned()), before.map(|id| id.to_string())].into_iter().flatten() {
            query = query.bind(value);
        }
        let rows = query.bind(i64::from(limit)).fetch_all(&self.store.read).await;
        rows.and_then(|rows| rows.iter().map(read).collect()).map_err(failed("reading runs"))
    }

    /// When the last one of an instance began.
    pub async fn last(&self, instance: &str) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT started_ms FROM sync_executions WHERE instance = ? ORDER BY seq DESC LIMIT 1";
        let row = sqlx::query(sql).bind(instance).fetch_optional(&self.store.read).await;
        row.and_then(|row| row.map(|row| row.try_get(0)).transpose()).map_err(failed("reading runs"))
    }

    /// Until when this schedule of an instance needs no run; nothing where it is not known, or is another.
    pub async fn settled(&self, instance: &str, schedule: &str) -> Result<Option<i64>, StoreError> {
        let query = sqlx::query("SELECT settled_ms FROM pull_schedules WHERE instance = ? AND schedule = ?").bind(instance).bind(schedule);
        let row = query.fetch_optional(&self.store.read).await;
        row.and_then(|row| row.map(|row| row.try_get(0)).transpose()).map_err(failed("reading a schedule"))
    }

    pub async fn settle(&self, instance: &str, schedule: &str, settled_ms: i64) -> Result<(), StoreError> {
        let sql = "INSERT INTO pull_schedules (instance, schedule, settled_ms) VALUES (?, ?, ?) ON CONFLICT (instance) DO UPDATE SET schedule = excluded.schedule, settled_ms = excluded.settled_ms";
        let query = sqlx::query(sql).bind(instance).bind(schedule).bind(settled_ms);
        query.execute(&self.store.write).await.map(drop).map_err(failed("writing a schedule"))
    }
}

fn read(row: &SqliteRow) -> Result<SyncRun, sqlx::Error> {
    let unknown = |what: &str, word: &str| sqlx::Error::Decode(format!("unknown {what} of a run `{word}`").into());
    let number = |name: &str| row.try_get::<i64, _>(name).map(i64::cast_unsigned);
    let (id, trigger, status): (String, String, String) = (row.try_get("id")?, row.try_get("trigger_type")?, row.try_get("status")?);
    Ok(SyncRun {
        id: id.parse().map_err(|_| unknown("id", &id))?,
        instance: row.try_get::<String, _>("instance")?.into(),
        trigger: SyncTrigger::ALL.into_iter().find(|known| known.name() == trigger).ok_or_else(|| unknown("trigger", &trigger))?,
        status: SyncStatus::ALL.into_iter().find(|known| known.name() == status).ok_or_else(|| unknown("status", &status))?,
        started_ms: row.try_get("started_ms")?,
        ended_ms: row.try_get("ended_ms")?,
        pages: number("pages")?,
        records: number("records")?,
        left_out: number("left_out")?,
        attempts: u32::try_from(row.try_get::<i64, _>("attempts")?).unwrap_or(u32::MAX),
        error: row.try_get("error")?,
        initiated_by: row.try_get::<String, _>("initiated_by")?.into(),
    })
}

#[cfg(test)]
mod tests;
