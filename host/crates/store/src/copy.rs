//! What is shared, from the file in `data_dir` into an empty database: everything or nothing.
//!
//! Tables and columns are those of the target, so that none is forgotten; both have the same schema version, since
//! both were opened by this release. Left out: leases, whose holders are gone, answers kept for idempotency keys, and what this machine keeps for
//! itself, which has no table there. Sealed columns are copied as they are: the same keys open them.

use std::collections::BTreeSet;

use sqlx::AssertSqlSafe;

use crate::database::{Row, Tx, Value};
use crate::error::{StoreError, failed};
use crate::params;
use crate::store::Store;

/// Rows in memory at the same time.
const BATCH: i64 = 500;
/// Belongs to the target, or to nobody any more.
const LEFT_OUT: [&str; 3] = ["bulkhead_schema", "leases", "api_answers"];

/// Why nothing was copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("the database is not empty: table `{table}` has {rows} rows; name an empty one")]
    NotEmpty { table: String, rows: i64 },
    #[error("the tables of the database refer to one another in a circle: {tables:?}")]
    Circle { tables: Vec<String> },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A table and how many rows were copied.
pub type Copied = (String, u64);

#[derive(Debug)]
struct Column {
    name: String,
    kind: Kind,
    /// Counted by the database.
    identity: bool,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Integer,
    Text,
    Bytes,
}

/// Copies into a store that was opened with a server and is empty. No host may run on either. Not cancel safe, but
/// the target has all of it or nothing.
pub async fn copy(from: &Store, to: &Store) -> Result<Vec<Copied>, CopyError> {
    let fail = || failed("copying the store");
    let mut source = from.shared().begin().await.map_err(fail())?;
    let mut target = to.shared().begin().await.map_err(fail())?;
    let mut copied = Vec::new();
    for table in in_order(&mut target).await? {
        let row = target.fetch_optional(AssertSqlSafe(format!("SELECT COUNT(*) AS n FROM {table}")), params![]).await.map_err(fail())?;
        let rows: i64 = row.map_or(Ok(0), |row| row.get("n")).map_err(fail())?;
        if rows > 0 {
            return Err(CopyError::NotEmpty { table, rows });
        }
        let columns = columns(&mut target, &table).await.map_err(fail())?;
        let rows = rows_of(&mut source, &mut target, &table, &columns).await.map_err(fail())?;
        for column in columns.iter().filter(|column| column.identity && rows > 0) {
            // It counts on behind what was copied.
            let name = &column.name;
            let sql = format!("SELECT setval(pg_get_serial_sequence('{table}', '{name}'), MAX({name})) AS n FROM {table}");
            target.fetch_all(AssertSqlSafe(sql), params![]).await.map_err(fail())?;
        }
        copied.push((table, rows));
    }
    target.commit().await.map_err(fail())?;
    source.rollback().await.map_err(fail())?;
    Ok(copied)
}

/// What others refer to comes first.
async fn in_order(target: &mut Tx) -> Result<Vec<String>, CopyError> {
    let fail = || failed("reading the tables of the database");
    let sql = "SELECT CAST(table_name AS TEXT) AS name FROM information_schema.tables WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'";
    let names = target.fetch_all(sql, params![]).await.map_err(fail())?;
    let names = names.iter().map(|row| row.get::<String>("name")).collect::<Result<Vec<_>, _>>().map_err(fail())?;
    let sql = "SELECT CAST(one.relname AS TEXT) AS one, CAST(other.relname AS TEXT) AS other FROM pg_constraint \
               JOIN pg_class one ON one.oid = conrelid JOIN pg_class other ON other.oid = confrelid WHERE contype = 'f' AND conrelid <> confrelid";
    let rows = target.fetch_all(sql, params![]).await.map_err(fail())?;
    let refers = rows.iter().map(|row| Ok((row.get("one")?, row.get("other")?))).collect::<Result<BTreeSet<(String, String)>, sqlx::Error>>().map_err(fail())?;
    let (mut left, mut done): (BTreeSet<String>, Vec<String>) = (names.into_iter().filter(|name| !LEFT_OUT.contains(&name.as_str())).collect(), Vec::new());
    while !left.is_empty() {
        let waits = |name: &String| refers.iter().any(|(one, other)| one == name && left.contains(other));
        let Some(next) = left.iter().find(|name| !waits(name)).cloned() else { return Err(CopyError::Circle { tables: left.into_iter().collect() }) };
        left.remove(&next);
        done.push(next);
    }
    Ok(done)
}

async fn columns(target: &mut Tx, table: &str) -> Result<Vec<Column>, sqlx::Error> {
    let sql = "SELECT CAST(column_name AS TEXT) AS name, CAST(data_type AS TEXT) AS kind, is_identity = 'YES' AS identity \
               FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position";
    let rows = target.fetch_all(sql, params![table]).await?;
    let column = |row: &Row| {
        let kind = match row.get::<String>("kind")?.as_str() {
            "bigint" => Kind::Integer,
            "text" => Kind::Text,
            "bytea" => Kind::Bytes,
            other => return Err(sqlx::Error::Protocol(format!("table `{table}` has a column of type {other}"))),
        };
        Ok(Column { name: row.get("name")?, kind, identity: row.get("identity")? })
    };
    rows.iter().map(column).collect()
}

async fn rows_of(source: &mut Tx, target: &mut Tx, table: &str, columns: &[Column]) -> Result<u64, sqlx::Error> {
    let names = columns.iter().map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", ");
    let places = (1..=columns.len()).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
    let (select, insert) = (format!("SELECT {names} FROM {table} LIMIT $1 OFFSET $2"), format!("INSERT INTO {table} ({names}) VALUES ({places})"));
    let mut copied = 0_i64;
    loop {
        // Nobody writes meanwhile: the order of the rows stays what it is.
        let rows = source.fetch_all(AssertSqlSafe(select.clone()), params![BATCH, copied]).await?;
        for row in &rows {
            let values = columns.iter().map(|column| value(row, column)).collect::<Result<Vec<_>, _>>()?;
            target.execute(AssertSqlSafe(insert.clone()), values).await?;
        }
        copied += rows.len() as i64;
        if (rows.len() as i64) < BATCH {
            return Ok(copied.unsigned_abs());
        }
    }
}

fn value(row: &Row, column: &Column) -> Result<Value, sqlx::Error> {
    Ok(match column.kind {
        Kind::Integer => Value::Integer(row.get(&column.name)?),
        Kind::Text => Value::Text(row.get(&column.name)?),
        Kind::Bytes => Value::Bytes(row.get(&column.name)?),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bulkhead_core::{SyncRun, SyncTrigger, Tenant};
    use serde_json::json;

    use super::*;
    use crate::testing::{fence, server_database};
    use crate::{Entry, StateLimits};

    #[tokio::test]
    async fn everything_shared_is_there_afterwards_and_goes_on_from_there() {
        let Some(server) = server_database("everything_shared_is_there_afterwards_and_goes_on_from_there") else { return };
        let (old, new) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let from = Store::open(old.path()).await.expect("opens");
        let entries = from.entries(None).await.expect("opens");
        let entry = |version: i64| Entry {
            id: "1".into(),
            section: "routes".into(),
            name: "all".into(),
            version,
            definition: json!({"n": version}),
            created_ms: 1,
            created_by: "ann".into(),
            updated_ms: version,
            updated_by: "bob".into(),
        };
        entries.change(&[(&entry(1), None)], &[]).await.expect("writes").expect("new");
        entries.change(&[(&entry(2), Some(1))], &[]).await.expect("writes").expect("changed");
        from.inactive().set("siem", true, 7, "ann").await.expect("writes");
        from.connector_state().set(&Tenant::default(), "siem", "k", b"\x00\xff", &StateLimits::default()).await.expect("writes");
        from.pull_cursors().set("a", b"7", &fence(&from).await).await.expect("writes");
        let runs: Vec<SyncRun> = (0..1_203).map(|n| SyncRun::begin(&Arc::from("a"), SyncTrigger::Scheduled, "schedule", n)).collect();
        let mut tx = from.shared().begin().await.expect("begins");
        for run in &runs {
            let sql = "INSERT INTO sync_executions (id, instance, trigger_type, status, started_ms, pages, records, left_out, attempts, initiated_by) \
                       VALUES ($1, 'a', 'scheduled', 'running', 1, 0, 0, 0, 1, 'schedule')";
            tx.execute(sql, params![run.id.to_string()]).await.expect("writes");
        }
        tx.commit().await.expect("commits");

        let to = Store::open_with(new.path(), Some(&server)).await.expect("opens");
        let copied = copy(&from, &to).await.expect("copies");
        assert!(copied.contains(&("sync_executions".into(), 1_203)) && copied.contains(&("entry_versions".into(), 1)), "{copied:?}");
        let there = to.entries(None).await.expect("opens");
        assert_eq!((there.all().await.expect("reads"), there.versions("1").await.expect("reads").len()), (vec![entry(2)], 1));
        assert!(to.inactive().all().await.expect("reads").contains("siem"));
        assert_eq!(to.connector_state().get(&Tenant::default(), "siem", "k").await.expect("reads").as_deref(), Some(&b"\x00\xff"[..]));
        assert_eq!(to.pull_cursors().get("a").await.expect("reads"), b"7");
        // The newest is the newest still, and one that comes now is newer.
        let list = async || to.sync_executions().list(&crate::SyncFilter::default(), None, 2).await.expect("reads");
        assert_eq!(list().await[0].id, runs[1_202].id);
        let next = SyncRun::begin(&Arc::from("a"), SyncTrigger::Manual, "ann", 5);
        to.sync_executions().begin(&next).await.expect("writes");
        assert_eq!(list().await[0].id, next.id);

        let again = copy(&from, &to).await.expect_err("it is not empty");
        assert!(matches!(again, CopyError::NotEmpty { .. }), "{again}");
        assert_eq!(to.sync_executions().get(next.id).await.expect("reads").map(|run| run.id), Some(next.id));
    }
}
