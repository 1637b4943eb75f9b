//! Whose each instance is, and since when. Of hosts without tenants there are no rows.
//!
//! Promises: what an instance left behind for somebody else (its cursor, its state, its figures) is gone once it changes
//! hands, in one transaction with the change; what stays (logs, runs) is shown to a tenant from then on only.

use std::collections::HashMap;

use crate::database::Database;
use crate::error::{StoreError, failed};
use crate::params;

/// Whose an instance is; an empty tenant is the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub tenant: String,
    pub since_ms: i64,
}

/// The table of them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Owners {
    database: Database,
}

impl Owners {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// By instance. Cancel safe.
    pub async fn all(&self) -> Result<HashMap<String, Owner>, StoreError> {
        let fail = || failed("reading whose instances are");
        let rows = self.database.fetch_all("SELECT instance, tenant, since_ms FROM owners", params![]).await.map_err(fail())?;
        let read = |row: &crate::Row| Ok((row.get("instance")?, Owner { tenant: row.get("tenant")?, since_ms: row.get("since_ms")? }));
        rows.iter().map(read).collect::<Result<_, sqlx::Error>>().map_err(fail())
    }

    /// These instances change hands, each with its new tenant; one that is this tenant's by now stays as it is. Durable
    /// as a whole when it returns. Cancel safe: all or none.
    pub async fn change(&self, changes: &[(&str, &str)], now_ms: i64) -> Result<(), StoreError> {
        let fail = || failed("writing whose instances are");
        let mut tx = self.database.begin().await.map_err(fail())?;
        for (instance, tenant) in changes {
            let sql = "INSERT INTO owners (instance, tenant, since_ms) VALUES ($1, $2, $3) ON CONFLICT (instance) DO UPDATE SET \
                       tenant = excluded.tenant, since_ms = excluded.since_ms WHERE owners.tenant <> excluded.tenant";
            if tx.execute(sql, params![*instance, *tenant, now_ms]).await.map_err(fail())? == 0 {
                continue;
            }
            for table in ["pull_cursors", "pull_schedules", "connector_state", "metric_periods", "wanted_runs"] {
                let sql = format!("DELETE FROM {table} WHERE instance = $1");
                tx.execute(sqlx::AssertSqlSafe(sql), params![*instance]).await.map_err(fail())?;
            }
        }
        tx.commit().await.map_err(fail())
    }
}

/// The condition that a row of a table, of that moment, is of an instance of the tenant `?`, since it is its own.
pub(crate) fn owned(table: &str, moment: &str) -> String {
    format!("EXISTS (SELECT 1 FROM owners WHERE owners.instance = {table}.instance AND owners.tenant = ? AND owners.since_ms <= {table}.{moment})")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bulkhead_core::{SyncRun, SyncTrigger, Tenant};
    use uuid::Uuid;

    use super::*;
    use crate::testing::{each_engine, fence};
    use crate::{LogEntry, LogFilter, LogType, Period, PeriodFilter, PeriodRow, StateLimits, Sums, SyncFilter};

    #[tokio::test]
    async fn what_an_instance_left_behind_is_not_for_the_next_owner() {
        each_engine("what_an_instance_left_behind_is_not_for_the_next_owner", async |place| {
            let store = place.open().await;
            let owners = store.owners();
            owners.change(&[("a", "acme"), ("other", "other")], 10).await.expect("writes");
            let log = |at_ms: i64| LogEntry {
                id: Uuid::now_v7(),
                instance: "a".into(),
                log_type: LogType::Info,
                at_ms,
                operation: "test".into(),
                message: format!("at {at_ms}"),
                details: None,
                user: None,
                sync_id: None,
            };
            store.logs().add(&[log(5), log(15)]).await.expect("writes");
            let run = SyncRun::begin(&Arc::from("a"), SyncTrigger::Manual, "ann", 15);
            store.sync_executions().begin(&run).await.expect("writes");
            let row = |operations| PeriodRow { instance: "a".into(), period: Period::Hour, start_ms: 0, sums: Sums { operations, ..Sums::default() } };
            store.periods().add(&[row(3)]).await.expect("writes");
            store.connector_state().set(&Tenant::default(), "a", "k", b"v", &StateLimits::default()).await.expect("writes");
            store.pull_cursors().set("a", b"7", &fence(&store).await).await.expect("writes");
            let seen = async |tenant: &str| {
                let of = Some(tenant.to_owned());
                let logs = store.logs().list(&LogFilter { tenant: of.clone(), ..LogFilter::default() }, 0, 10).await.expect("reads").1;
                let runs = store.sync_executions().list(&SyncFilter { tenant: of.clone(), ..SyncFilter::default() }, None, 10).await.expect("reads").len();
                let one = store.sync_executions().get_of(run.id, Some(tenant)).await.expect("reads").is_some();
                let filter = PeriodFilter { tenant: of, instance: None, period: Period::Hour, since_ms: None, until_ms: None };
                (logs, runs, one, store.periods().list(&filter, 0, 10).await.expect("reads").1)
            };
            assert_eq!(seen("acme").await, (1, 1, true, 1));
            assert_eq!((seen("other").await, seen("").await), ((0, 0, false, 0), (0, 0, false, 0)));
            // The same again changes nothing.
            owners.change(&[("a", "acme")], 90).await.expect("writes");
            assert_eq!(owners.all().await.expect("reads")["a"], Owner { tenant: "acme".into(), since_ms: 10 });

            owners.change(&[("a", "other")], 20).await.expect("writes");
            assert_eq!((seen("acme").await, seen("other").await), ((0, 0, false, 0), (0, 0, false, 0)));
            assert_eq!(store.connector_state().get(&Tenant::default(), "a", "k").await.expect("reads"), None);
            assert!(store.pull_cursors().get("a").await.expect("reads").is_empty());
            store.logs().add(&[log(25)]).await.expect("writes");
            assert_eq!(seen("other").await.0, 1);
            assert_eq!(store.logs().list(&LogFilter::default(), 0, 10).await.expect("reads").1, 3, "the host sees all of it");
        })
        .await;
    }
}
