//! Tests of the store run over both engines from one body.

#[path = "../../../../tests/it/postgres_server.rs"]
#[expect(dead_code, reason = "stories stop and freeze servers, these tests do not")]
mod postgres_server;
#[path = "../../../../tests/src/skip.rs"]
mod skip;

use std::path::PathBuf;
use std::sync::OnceLock;

use postgres_server::PostgresServer;
use tempfile::TempDir;

use crate::{Database, Fence, PostgresSettings, Store};

/// A place for a store, empty at first. What is in it stays when the store is closed and opened again.
pub struct Place {
    pub dir: TempDir,
    server: Option<PostgresSettings>,
}

impl Place {
    pub async fn open(&self) -> Store {
        Store::open_with(self.dir.path(), self.server.as_ref()).await.expect("opens")
    }

    pub fn is_server(&self) -> bool {
        self.server.is_some()
    }
}

/// Changes what is in the store behind its back.
pub async fn meddle(database: &Database, sql: String) {
    database.execute(sqlx::AssertSqlSafe(sql), Vec::new()).await.expect("meddles");
}

/// Runs a body with SQLite, then with PostgreSQL where it is installed; the skip has the name of the test.
pub async fn each_engine(test: &str, body: impl AsyncFn(Place)) {
    body(Place { dir: TempDir::new().expect("a folder"), server: None }).await;
    if let Some(server) = server_database(test) {
        body(Place { dir: TempDir::new().expect("a folder"), server: Some(server) }).await;
    }
}

/// An empty database of the one server of this test program.
pub fn server_database(test: &str) -> Option<PostgresSettings> {
    static SERVER: OnceLock<Result<PostgresServer, String>> = OnceLock::new();
    if let Err(reason) = postgres_server::installed().map(|_: PathBuf| ()) {
        skip::skip(&format!("postgres::{test}"), &reason);
        return None;
    }
    let server = SERVER.get_or_init(|| PostgresServer::start().map_err(|error| error.to_string()));
    let server = server.as_ref().unwrap_or_else(|error| panic!("{error}"));
    Some(PostgresSettings::new(&server.database().expect("a database")))
}

/// A lease that this test holds.
pub async fn fence(store: &Store) -> Fence {
    let term = store.leases().take("pull/a", None, "me").await.expect("takes").expect("it is free");
    Fence { name: "pull/a".into(), holder: "me".into(), term }
}
