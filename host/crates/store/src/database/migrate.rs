//! Tables move forward, step by step; each step is one transaction with the number it leads to.

use sqlx::SqlitePool;

use super::{Database, dialect};
use crate::error::StoreError;
use crate::params;

/// Steps from an empty file to today's tables, by the version they lead to. Released steps never change.
pub(crate) const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("../migrations/1.sql")),
    (2, include_str!("../migrations/2.sql")),
    (3, include_str!("../migrations/3.sql")),
    (4, include_str!("../migrations/4.sql")),
    (5, include_str!("../migrations/5.sql")),
    (6, include_str!("../migrations/6.sql")),
    (7, include_str!("../migrations/7.sql")),
    (8, include_str!("../migrations/8.sql")),
    (9, include_str!("../migrations/9.sql")),
    (10, include_str!("../migrations/10.sql")),
    (11, include_str!("../migrations/11.sql")),
    (12, include_str!("../migrations/12.sql")),
    (13, include_str!("../migrations/13.sql")),
    (14, include_str!("../migrations/14.sql")),
    (15, include_str!("../migrations/15.sql")),
    (16, include_str!("../migrations/16.sql")),
];
/// Steps of tables that belong to this machine, which PostgreSQL does not have.
const LOCAL: [i64; 1] = [13];
/// Where PostgreSQL begins: the shared tables as steps 1 to 7 made them.
const BASE: (i64, &str) = (7, include_str!("../migrations/postgres.sql"));

/// The version that this release knows.
pub(crate) fn known() -> i64 {
    MIGRATIONS.last().map_or(0, |(version, _)| *version)
}

/// The steps of PostgreSQL: `(version, text)`.
fn steps_of_postgres() -> Result<Vec<(i64, String)>, StoreError> {
    let later = MIGRATIONS.iter().filter(|(version, _)| *version > BASE.0 && !LOCAL.contains(version));
    let translated = later.map(|(version, sql)| {
        let no_counterpart = |word| StoreError::Migrate { version: *version, source: sqlx::Error::Protocol(format!("no counterpart of `{word}`")) };
        dialect::to_postgres(sql).map(|sql| (*version, sql)).map_err(no_counterpart)
    });
    std::iter::once(Ok((BASE.0, BASE.1.to_owned()))).chain(translated).collect()
}

/// The file's own tables and the shared ones, whichever of them are used.
pub(crate) async fn sqlite(write: &SqlitePool, path: &std::path::Path) -> Result<(), StoreError> {
    use sqlx::Row as _;
    let fail = |version| move |source| StoreError::Migrate { version, source };
    let found: i64 = sqlx::query("PRAGMA user_version").fetch_one(write).await.and_then(|row| row.try_get(0)).map_err(fail(0))?;
    if !(0..=known()).contains(&found) {
        return Err(StoreError::Newer { store: path.display().to_string(), found, known: known() });
    }
    for &(version, sql) in MIGRATIONS.iter().filter(|(version, _)| *version > found) {
        let mut tx = write.begin_with("BEGIN IMMEDIATE").await.map_err(fail(version))?;
        sqlx::raw_sql(sql).execute(&mut *tx).await.map_err(fail(version))?;
        // The version moves in the same transaction: a crash leaves the step wholly done or undone.
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("PRAGMA user_version = {version}"))).execute(&mut *tx).await.map_err(fail(version))?;
        tx.commit().await.map_err(fail(version))?;
        tracing::info!(version, "store migrated");
    }
    Ok(())
}

/// Hosts that start together wait for one another: a transaction that may write is the only one.
pub(super) async fn postgres(database: &Database) -> Result<(), StoreError> {
    let fail = |version| move |source| StoreError::Migrate { version, source };
    let mut tx = database.begin().await.map_err(fail(0))?;
    tx.run("CREATE TABLE IF NOT EXISTS bulkhead_schema (one BIGINT PRIMARY KEY CHECK (one = 1), version BIGINT NOT NULL)".into()).await.map_err(fail(0))?;
    tx.commit().await.map_err(fail(0))?;
    for (version, sql) in steps_of_postgres()? {
        let mut tx = database.begin().await.map_err(fail(version))?;
        let row = tx.fetch_optional("SELECT version FROM bulkhead_schema", params![]).await.map_err(fail(version))?;
        let found: i64 = row.map_or(Ok(0), |row| row.get("version")).map_err(fail(version))?;
        if !(0..=known()).contains(&found) {
            return Err(StoreError::Newer { store: "in the database of `store.url`".into(), found, known: known() });
        }
        if found >= version {
            continue;
        }
        tx.run(sql).await.map_err(fail(version))?;
        let note = "INSERT INTO bulkhead_schema (one, version) VALUES (1, $1) ON CONFLICT (one) DO UPDATE SET version = excluded.version";
        tx.execute(note, params![version]).await.map_err(fail(version))?;
        tx.commit().await.map_err(fail(version))?;
        tracing::info!(version, "store migrated");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_ascend_and_all_later_ones_have_a_counterpart() {
        assert!(MIGRATIONS.is_sorted_by(|one, next| one.0 < next.0));
        let steps = steps_of_postgres().expect("every step is translated");
        assert_eq!((steps.first().map(|step| step.0), steps.last().map(|step| step.0)), (Some(7), Some(known())));
    }
}
