//! One way to both engines: SQLite in the data folder, or PostgreSQL.
//!
//! Statements are written once, with `$1`, `$2` … in the subset that both know: TEXT, INTEGER (64 bits), BLOB;
//! `ON CONFLICT (…) DO UPDATE`, with the columns named; `RETURNING`; sums as `CAST(SUM(x) AS BIGINT)`; every
//! column of an answer has a name (`COUNT(*) AS n`). `LIKE` is no part of it: the engines differ in case.
//!
//! Promises: a transaction has no other writer beside it, on either engine and whatever the number of hosts; what
//! was committed is on disk; a statement that failed makes the commit of its transaction fail; a call ends
//! within the time limit of the connection. Text has no NUL in PostgreSQL: there it becomes U+FFFD.

mod dialect;
mod migrate;
mod postgres;
mod row;
mod value;

use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Error, PgConnection, Postgres, SqlSafeStr, Sqlite, SqliteConnection, SqlitePool};

#[cfg(test)]
pub(crate) use migrate::known;
pub(crate) use migrate::sqlite as migrate_file;
pub use postgres::{PostgresSettings, PostgresTls, UrlError};
pub use row::{FromColumn, Row};
pub use value::Value;

use postgres::Server;

/// A database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database(Engine);

#[derive(Debug, Clone)]
enum Engine {
    Sqlite {
        /// One connection: SQLite has one writer, and queueing here is fair where its own lock is not.
        write: SqlitePool,
        read: SqlitePool,
    },
    Postgres(Server),
}

impl Database {
    pub(crate) fn sqlite(write: SqlitePool, read: SqlitePool) -> Self {
        Self(Engine::Sqlite { write, read })
    }

    /// Connects, and moves the tables forward. Not cancel safe, but a migration is one transaction.
    pub(crate) async fn postgres(settings: &PostgresSettings) -> Result<Self, crate::StoreError> {
        let server = Server::connect(settings).await?;
        let database = Self(Engine::Postgres(server));
        migrate::postgres(&database).await?;
        Ok(database)
    }

    /// Whether it is one that other hosts may use at the same time.
    pub fn is_shared(&self) -> bool {
        matches!(self.0, Engine::Postgres(_))
    }

    /// All rows. A `SELECT` may run beside writers; whatever else it is goes as [`Self::execute`]. Cancel safe for a
    /// `SELECT`; another statement is done or not, never in part.
    pub async fn fetch_all(&self, sql: impl SqlSafeStr, params: Vec<Value>) -> Result<Vec<Row>, Error> {
        let sql = sql.into_sql_str();
        if !is_select(sql.as_str()) {
            let mut tx = self.begin().await?;
            let rows = tx.fetch_all(AssertSqlSafe(sql.as_str().to_owned()), params).await?;
            tx.commit().await?;
            return Ok(rows);
        }
        match &self.0 {
            Engine::Sqlite { read, .. } => all_sqlite(&mut *read.acquire().await?, sql, params).await,
            Engine::Postgres(server) => {
                let mut held = Held { connection: Some(server.acquire().await?) };
                let rows = server.limited(all_postgres(held.connection()?, sql, params)).await?;
                held.release();
                Ok(rows)
            }
        }
    }

    /// The first row, where there is one.
    pub async fn fetch_optional(&self, sql: impl SqlSafeStr, params: Vec<Value>) -> Result<Option<Row>, Error> {
        self.fetch_all(sql, params).await.map(|rows| rows.into_iter().next())
    }

    /// How many rows of a table fit a condition.
    pub(crate) async fn count(&self, table: &str, condition: &str, params: Vec<Value>) -> Result<u64, Error> {
        let row = self.fetch_optional(AssertSqlSafe(format!("SELECT COUNT(*) AS n FROM {table} WHERE {condition}")), params).await?;
        row.map_or(Ok(0), |row| row.get::<i64>("n")).map(i64::cast_unsigned)
    }

    /// One statement that writes: how many rows it touched. Cancel safe: done or not, never in part.
    pub async fn execute(&self, sql: impl SqlSafeStr, params: Vec<Value>) -> Result<u64, Error> {
        match &self.0 {
            Engine::Sqlite { write, .. } => touched_sqlite(&mut *write.acquire().await?, sql.into_sql_str(), params).await,
            Engine::Postgres(_) => {
                let mut tx = self.begin().await?;
                let touched = tx.execute(sql, params).await?;
                tx.commit().await?;
                Ok(touched)
            }
        }
    }

    /// A transaction that may write; dropped without [`Tx::commit`] it never was. Cancel safe.
    pub async fn begin(&self) -> Result<Tx, Error> {
        let inner = match &self.0 {
            Engine::Sqlite { write, .. } => Inner::Sqlite(write.begin_with("BEGIN IMMEDIATE").await?),
            Engine::Postgres(server) => {
                let mut held = Held { connection: Some(server.acquire().await?) };
                server.limited(sqlx::raw_sql(postgres::BEGIN).execute(held.connection()?)).await?;
                Inner::Postgres { held, server: server.clone() }
            }
        };
        Ok(Tx { inner, failed: false })
    }

    /// Waits for running statements. What is called afterwards fails.
    pub(crate) async fn close(&self) {
        match &self.0 {
            Engine::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            Engine::Postgres(server) => server.close().await,
        }
    }
}

/// A transaction. Its statements see what it wrote, and what was committed before it began.
#[derive(Debug)]
pub struct Tx {
    inner: Inner,
    /// SQLite would go on after a failed statement, PostgreSQL would take everything back: here neither commits.
    failed: bool,
}

#[derive(Debug)]
enum Inner {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres { held: Held, server: Server },
}

/// A connection in the middle of something. Dropped there it is cut, upon which the server takes a transaction back:
/// the pool would ask it how it is first, and wait for the answer without a limit.
#[derive(Debug)]
struct Held {
    connection: Option<PoolConnection<Postgres>>,
}

impl Held {
    fn connection(&mut self) -> Result<&mut PgConnection, Error> {
        self.connection.as_deref_mut().ok_or(Error::WorkerCrashed)
    }

    /// Fit for others.
    fn release(&mut self) {
        self.connection.take();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}

impl Tx {
    pub async fn fetch_all(&mut self, sql: impl SqlSafeStr, params: Vec<Value>) -> Result<Vec<Row>, Error> {
        let sql = sql.into_sql_str();
        let done = match &mut self.inner {
            Inner::Sqlite(tx) => all_sqlite(tx, sql, params).await,
            Inner::Postgres { held, server } => match held.connection() {
                Ok(connection) => server.limited(all_postgres(connection, sql, params)).await,
                Err(error) => Err(error),
            },
        };
        self.noted(done)
    }

    pub async fn fetch_optional(&mut self, sql: impl SqlSafeStr, params: Vec<Value>) -> Result<Option<Row>, Error> {
        self.fetch_all(sql, params).await.map(|rows| rows.into_iter().next())
    }

    pub async fn execute(&mut self, sql: impl SqlSafeStr, params: Vec<Value>) -> Result<u64, Error> {
        let sql = sql.into_sql_str();
        let done = match &mut self.inner {
            Inner::Sqlite(tx) => touched_sqlite(tx, sql, params).await,
            Inner::Postgres { held, server } => match held.connection() {
                Ok(connection) => server.limited(touched_postgres(connection, sql, params)).await,
                Err(error) => Err(error),
            },
        };
        self.noted(done)
    }

    /// Statements without parameters, one after the other: migrations.
    async fn run(&mut self, sql: String) -> Result<(), Error> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        let done = match &mut self.inner {
            Inner::Sqlite(tx) => sql.execute(&mut **tx).await.map(drop),
            Inner::Postgres { held, server } => match held.connection() {
                Ok(connection) => server.limited(sql.execute(connection)).await.map(drop),
                Err(error) => Err(error),
            },
        };
        self.noted(done)
    }

    /// On disk when it returns `Ok`. With an error it may be there or not: the answer may be what was lost.
    pub async fn commit(self) -> Result<(), Error> {
        if self.failed {
            return Err(Error::Protocol("a statement of this transaction failed".into()));
        }
        match self.inner {
            Inner::Sqlite(tx) => tx.commit().await,
            Inner::Postgres { mut held, server } => {
                server.limited(sqlx::raw_sql("COMMIT").execute(held.connection()?)).await?;
                held.release();
                Ok(())
            }
        }
    }

    /// Takes everything back. To drop a transaction does the same, but costs a connection.
    pub async fn rollback(self) -> Result<(), Error> {
        match self.inner {
            Inner::Sqlite(tx) => tx.rollback().await,
            Inner::Postgres { mut held, server } => {
                server.limited(sqlx::raw_sql("ROLLBACK").execute(held.connection()?)).await?;
                held.release();
                Ok(())
            }
        }
    }

    fn noted<T>(&mut self, done: Result<T, Error>) -> Result<T, Error> {
        self.failed |= done.is_err();
        done
    }
}

fn is_select(sql: &str) -> bool {
    sql.trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("select"))
}

async fn all_sqlite(connection: &mut SqliteConnection, sql: sqlx::SqlStr, params: Vec<Value>) -> Result<Vec<Row>, Error> {
    let rows = for_sqlite(sql, params).fetch_all(connection).await?;
    Ok(rows.into_iter().map(Row::Sqlite).collect())
}

async fn touched_sqlite(connection: &mut SqliteConnection, sql: sqlx::SqlStr, params: Vec<Value>) -> Result<u64, Error> {
    for_sqlite(sql, params).execute(connection).await.map(|done| done.rows_affected())
}

async fn all_postgres(connection: &mut PgConnection, sql: sqlx::SqlStr, params: Vec<Value>) -> Result<Vec<Row>, Error> {
    let rows = for_postgres(sql, params).fetch_all(connection).await?;
    Ok(rows.into_iter().map(Row::Postgres).collect())
}

async fn touched_postgres(connection: &mut PgConnection, sql: sqlx::SqlStr, params: Vec<Value>) -> Result<u64, Error> {
    for_postgres(sql, params).execute(connection).await.map(|done| done.rows_affected())
}

fn for_sqlite(sql: sqlx::SqlStr, params: Vec<Value>) -> sqlx::query::Query<'static, Sqlite, sqlx::sqlite::SqliteArguments> {
    params.into_iter().fold(sqlx::query(sql), |query, value| match value {
        Value::Integer(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
        Value::Bytes(value) => query.bind(value),
    })
}

fn for_postgres(sql: sqlx::SqlStr, params: Vec<Value>) -> sqlx::query::Query<'static, Postgres, sqlx::postgres::PgArguments> {
    params.into_iter().fold(sqlx::query(sql), |query, value| match value {
        Value::Integer(value) => query.bind(value),
        Value::Text(value) => query.bind(value.map(|text| if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text })),
        Value::Bytes(value) => query.bind(value),
    })
}

#[cfg(test)]
mod tests;
