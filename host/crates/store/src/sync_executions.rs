//! Runs of pull connectors, and until when their schedules need none.
//!
//! Bounded: the last [`KEPT`] runs of an instance, none older than [`AGE_MS`]; one row of a schedule for each
//! instance that ever had one. A row says `running` until its end is on disk; what a crash cut off is closed at the
//! next start.

use bulkhead_core::{SyncRun, SyncStatus, SyncTrigger};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::database::{Database, Row, Value};
use crate::error::{StoreError, failed};
use crate::leases::Fence;
use crate::owners::owned;
use crate::params;

/// Runs of one instance that are remembered.
const KEPT: i64 = 1_000;
/// For how long: 90 days.
const AGE_MS: i64 = 90 * 24 * 3_600 * 1_000;

/// The runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SyncExecutions {
    database: Database,
}

/// Which runs a list holds; all where nothing is said.
#[derive(Debug, Clone, Default)]
pub struct SyncFilter {
    /// Of instances of this tenant, since they are its own.
    pub tenant: Option<String>,
    pub instance: Option<String>,
    pub status: Option<SyncStatus>,
}

const COLUMNS: &str =
    "SELECT id, instance, trigger_type, status, started_ms, ended_ms, pages, records, left_out, attempts, error, initiated_by FROM sync_executions";
const INSERT: &str = "INSERT INTO sync_executions (id, instance, trigger_type, status, started_ms, ended_ms, pages, records, left_out, attempts, error, initiated_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (id) DO ";
const CUT_OFF: &str = "UPDATE sync_executions SET status = 'failed', error = 'the host ended', ended_ms = $1 WHERE status = 'running'";
const UPDATE: &str = "UPDATE SET status = excluded.status, ended_ms = excluded.ended_ms, pages = excluded.pages, records = excluded.records, left_out = excluded.left_out, attempts = excluded.attempts, error = excluded.error";

impl SyncExecutions {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// One that begins, unless it is there. Cancel safe, like all of these.
    pub async fn begin(&self, run: &SyncRun) -> Result<(), StoreError> {
        self.write(run, "NOTHING", None).await.map(drop)
    }

    /// As it is now, with what is too old or too many gone. False where the lease is another's by now: then nothing
    /// was written.
    pub async fn keep(&self, run: &SyncRun, fence: &Fence) -> Result<bool, StoreError> {
        self.write(run, UPDATE, Some(fence)).await
    }

    async fn write(&self, run: &SyncRun, known: &str, fence: Option<&Fence>) -> Result<bool, StoreError> {
        let fail = || failed("recording a run");
        let mut tx = self.database.begin().await.map_err(fail())?;
        if let Some(fence) = fence {
            let sql = "SELECT term FROM leases WHERE name = $1 AND holder = $2 AND term = $3";
            let held = tx.fetch_optional(sql, params![&fence.name, &fence.holder, fence.term]).await.map_err(fail())?;
            if held.is_none() {
                tx.rollback().await.map_err(fail())?;
                return Ok(false);
            }
        }
        let params = params![
            run.id.to_string(),
            &run.instance,
            run.trigger.name(),
            run.status.name(),
            run.started_ms,
            run.ended_ms,
            run.pages.cast_signed(),
            run.records.cast_signed(),
            run.left_out.cast_signed(),
            run.attempts,
            run.error.as_deref(),
            &*run.initiated_by,
        ];
        tx.execute(AssertSqlSafe(format!("{INSERT}{known}")), params).await.map_err(fail())?;
        if let Some(ended_ms) = run.ended_ms {
            let many = "DELETE FROM sync_executions WHERE instance = $1 AND status <> 'running' AND seq <= \
                        (SELECT seq FROM sync_executions WHERE instance = $1 ORDER BY seq DESC LIMIT 1 OFFSET $2)";
            tx.execute(many, params![&run.instance, KEPT]).await.map_err(fail())?;
            let old = "DELETE FROM sync_executions WHERE started_ms < $1 AND status <> 'running'";
            tx.execute(old, params![ended_ms.saturating_sub(AGE_MS)]).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())?;
        Ok(true)
    }

    /// It came to nothing.
    pub async fn forget(&self, id: Uuid) -> Result<(), StoreError> {
        let done = self.database.execute("DELETE FROM sync_executions WHERE id = $1", params![id.to_string()]).await;
        done.map(drop).map_err(failed("forgetting a run"))
    }

    /// Ends what still says `running` and no host holds the lease of: for the start. Where one host has the store for
    /// itself nothing runs then. Answers how many there were.
    pub async fn close_cut_off(&self, now_ms: i64) -> Result<u64, StoreError> {
        let held = " AND NOT EXISTS (SELECT 1 FROM leases WHERE leases.name = 'pull/' || sync_executions.instance AND leases.holder <> '')";
        let sql = format!("{CUT_OFF}{}", if self.database.is_shared() { held } else { "" });
        self.database.execute(AssertSqlSafe(sql), params![now_ms]).await.map_err(failed("closing runs that were cut off"))
    }

    /// The same for one instance, whose lease this host has just taken.
    pub async fn close_cut_off_of(&self, instance: &str, now_ms: i64) -> Result<u64, StoreError> {
        let sql = format!("{CUT_OFF} AND instance = $2");
        self.database.execute(AssertSqlSafe(sql), params![now_ms, instance]).await.map_err(failed("closing runs that were cut off"))
    }

    pub async fn get(&self, id: Uuid) -> Result<Option<SyncRun>, StoreError> {
        self.get_of(id, None).await
    }

    /// The same, where it is of an instance of this tenant, since that is its own.
    pub async fn get_of(&self, id: Uuid, tenant: Option<&str>) -> Result<Option<SyncRun>, StoreError> {
        let mut params = params![id.to_string()];
        let of = tenant.map(|_| format!(" AND {}", owned("sync_executions", "started_ms").replace('?', "$2"))).unwrap_or_default();
        params.extend(tenant.map(Value::from));
        let row = self.database.fetch_optional(AssertSqlSafe(format!("{COLUMNS} WHERE id = $1{of}")), params).await;
        row.and_then(|row| row.as_ref().map(read).transpose()).map_err(failed("reading runs"))
    }

    /// Newest first, of those before this one. Nothing is before one that is not known.
    pub async fn list(&self, filter: &SyncFilter, before: Option<Uuid>, limit: u32) -> Result<Vec<SyncRun>, StoreError> {
        let mut sql = format!("{COLUMNS} WHERE true");
        let mut params: Vec<Value> = Vec::new();
        let mut with = |value: Option<String>, part: &dyn Fn(usize) -> String| {
            if let Some(value) = value {
                params.push(value.into());
                sql.push_str(&part(params.len()));
            }
        };
        with(filter.tenant.clone(), &|n| format!(" AND {}", owned("sync_executions", "started_ms").replace('?', &format!("${n}"))));
        with(filter.instance.clone(), &|n| format!(" AND instance = ${n}"));
        with(filter.status.map(|status| status.name().to_owned()), &|n| format!(" AND status = ${n}"));
        with(before.map(|id| id.to_string()), &|n| format!(" AND seq < (SELECT seq FROM sync_executions WHERE id = ${n})"));
        params.push(limit.into());
        sql.push_str(&format!(" ORDER BY seq DESC LIMIT ${}", params.len()));
        let rows = self.database.fetch_all(AssertSqlSafe(sql), params).await;
        rows.and_then(|rows| rows.iter().map(read).collect()).map_err(failed("reading runs"))
    }

    /// When the last one of an instance began.
    pub async fn last(&self, instance: &str) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT started_ms FROM sync_executions WHERE instance = $1 ORDER BY seq DESC LIMIT 1";
        let row = self.database.fetch_optional(sql, params![instance]).await;
        row.and_then(|row| row.map(|row| row.get("started_ms")).transpose()).map_err(failed("reading runs"))
    }

    /// Until when this schedule of an instance needs no run; nothing where it is not known, or is another.
    pub async fn settled(&self, instance: &str, schedule: &str) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT settled_ms FROM pull_schedules WHERE instance = $1 AND schedule = $2";
        let row = self.database.fetch_optional(sql, params![instance, schedule]).await;
        row.and_then(|row| row.map(|row| row.get("settled_ms")).transpose()).map_err(failed("reading a schedule"))
    }

    /// False where the lease is another's by now: then nothing was written.
    pub async fn settle(&self, instance: &str, schedule: &str, settled_ms: i64, fence: &Fence) -> Result<bool, StoreError> {
        let sql = "INSERT INTO pull_schedules (instance, schedule, settled_ms) SELECT $1, $2, $3 WHERE EXISTS \
                   (SELECT 1 FROM leases WHERE name = $4 AND holder = $5 AND term = $6) \
                   ON CONFLICT (instance) DO UPDATE SET schedule = excluded.schedule, settled_ms = excluded.settled_ms";
        let params = params![instance, schedule, settled_ms, &fence.name, &fence.holder, fence.term];
        self.database.execute(sql, params).await.map(|rows| rows > 0).map_err(failed("writing a schedule"))
    }
}

fn read(row: &Row) -> Result<SyncRun, sqlx::Error> {
    let unknown = |what: &str, word: &str| sqlx::Error::Decode(format!("unknown {what} of a run `{word}`").into());
    let number = |name: &str| row.get::<i64>(name).map(i64::cast_unsigned);
    let (id, trigger, status): (String, String, String) = (row.get("id")?, row.get("trigger_type")?, row.get("status")?);
    Ok(SyncRun {
        id: id.parse().map_err(|_| unknown("id", &id))?,
        instance: row.get::<String>("instance")?.into(),
        trigger: SyncTrigger::ALL.into_iter().find(|known| known.name() == trigger).ok_or_else(|| unknown("trigger", &trigger))?,
        status: SyncStatus::ALL.into_iter().find(|known| known.name() == status).ok_or_else(|| unknown("status", &status))?,
        started_ms: row.get("started_ms")?,
        ended_ms: row.get("ended_ms")?,
        pages: number("pages")?,
        records: number("records")?,
        left_out: number("left_out")?,
        attempts: u32::try_from(row.get::<i64>("attempts")?).unwrap_or(u32::MAX),
        error: row.get("error")?,
        initiated_by: row.get::<String>("initiated_by")?.into(),
    })
}

#[cfg(test)]
mod tests;
