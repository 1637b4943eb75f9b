use super::*;
use crate::testing::{each_engine, server_database};
use crate::{Store, StoreError, params};

async fn table(database: &Database) {
    let sqlite = "CREATE TABLE things (id INTEGER PRIMARY KEY, word TEXT, bytes BLOB) STRICT";
    let sql = if database.is_shared() { dialect::to_postgres(sqlite).expect("has a counterpart") } else { sqlite.to_owned() };
    database.execute(AssertSqlSafe(sql), params![]).await.expect("made");
}

async fn number(database: &Database, sql: &'static str) -> i64 {
    database.fetch_optional(sql, params![]).await.expect("asks").expect("a row").get("n").expect("a number")
}

#[tokio::test]
async fn values_come_back_as_they_went_in() {
    each_engine("values_come_back_as_they_went_in", async |place| {
        let store = place.open().await;
        let database = store.shared();
        table(database).await;
        let insert = "INSERT INTO things (id, word, bytes) VALUES ($1, $2, $3)";
        database.execute(insert, params![i64::MIN, "it's ünï'; DROP TABLE things; --", &b"\x00\xff"[..]]).await.expect("writes");
        database.execute(insert, params![i64::MAX, None::<String>, None::<Vec<u8>>]).await.expect("writes");
        database.execute(insert, params![true, "", Vec::new()]).await.expect("writes");
        let rows = database.fetch_all("SELECT id, word, bytes, id > 0 AS more, LENGTH(word) AS n FROM things ORDER BY id", params![]).await.expect("reads");
        let read = |row: &Row| {
            (
                row.get::<i64>("id").expect("a number"),
                row.get::<Option<String>>("word").expect("text"),
                row.get::<Option<Vec<u8>>>("bytes").expect("bytes"),
                row.get::<bool>("more").expect("a truth"),
                row.get::<Option<i64>>("n").expect("a length"),
            )
        };
        let word = "it's ünï'; DROP TABLE things; --".to_owned();
        let n = Some(word.chars().count() as i64);
        assert_eq!(
            rows.iter().map(read).collect::<Vec<_>>(),
            [
                (i64::MIN, Some(word), Some(vec![0, 255]), false, n),
                (1, Some(String::new()), Some(Vec::new()), true, Some(0)),
                (i64::MAX, None, None, true, None),
            ]
        );
        rows[2].get::<i64>("n").expect_err("nothing is no number");
        rows[2].get::<String>("word").expect_err("nothing is no text");
        rows[0].get::<i64>("nowhere").expect_err("there is no such column");
        // A text that one engine does not take whole is taken all the same.
        database.execute("UPDATE things SET word = $1 WHERE id = $2", params!["a\0b", 1]).await.expect("writes");
        // The same parameter in two places, and not in the order of their numbers.
        let row = database.fetch_optional("SELECT id FROM things WHERE $2 = $2 AND id = $1", params![1, 7]).await.expect("reads");
        assert_eq!(row.expect("a row").get::<i64>("id").expect("a number"), 1);
        // Texts are ordered by their bytes.
        for (id, word) in [(10, "a"), (11, "B"), (12, "ä")] {
            database.execute(insert, params![id, word, None::<Vec<u8>>]).await.expect("writes");
        }
        // Answers of what writes.
        let row = database.fetch_optional("DELETE FROM things WHERE id = $1 RETURNING word", params![11]).await.expect("writes").expect("a row");
        assert_eq!(row.get::<String>("word").expect("text"), "B");
        assert_eq!(number(database, "SELECT COUNT(*) AS n FROM things").await, 5);
    })
    .await;
}

#[tokio::test]
async fn a_transaction_is_whole_and_has_no_writer_beside_it() {
    each_engine("a_transaction_is_whole_and_has_no_writer_beside_it", async |place| {
        let store = place.open().await;
        let database = store.shared();
        table(database).await;
        let insert = "INSERT INTO things (id) VALUES ($1)";
        let mut tx = database.begin().await.expect("begins");
        tx.execute(insert, params![1]).await.expect("writes");
        drop(tx);
        let mut tx = database.begin().await.expect("begins");
        tx.execute(insert, params![2]).await.expect("writes");
        tx.rollback().await.expect("takes back");
        assert_eq!(number(database, "SELECT COUNT(*) AS n FROM things").await, 0);

        let mut tx = database.begin().await.expect("begins");
        tx.execute(insert, params![3]).await.expect("writes");
        tx.execute(insert, params![3]).await.expect_err("it is there");
        tx.commit().await.expect_err("a statement failed");
        assert_eq!(number(database, "SELECT COUNT(*) AS n FROM things").await, 0);

        // Each reads what is there and writes the next: one that read beside another would clash. Single statements
        // are writers too.
        let counting = (0..20).map(|n| {
            let database = database.clone();
            tokio::spawn(async move {
                if n % 4 == 0 {
                    let sql = "INSERT INTO things (id) SELECT COALESCE(MAX(id), 0) + 1 FROM things";
                    return assert_eq!(database.execute(sql, params![]).await.expect("writes"), 1);
                }
                let mut tx = database.begin().await.expect("begins");
                let row = tx.fetch_optional("SELECT COALESCE(MAX(id), 0) AS n FROM things", params![]).await.expect("reads").expect("a row");
                tokio::task::yield_now().await;
                tx.execute(insert, params![row.get::<i64>("n").expect("a number") + 1]).await.expect("nobody was beside it");
                tx.commit().await.expect("commits");
            })
        });
        for one in counting.collect::<Vec<_>>() {
            one.await.expect("ends");
        }
        assert_eq!(number(database, "SELECT MAX(id) AS n FROM things").await, 20);
    })
    .await;
}

#[tokio::test]
async fn hosts_that_start_together_migrate_once_and_a_newer_schema_is_refused() {
    let Some(server) = server_database("hosts_that_start_together_migrate_once_and_a_newer_schema_is_refused") else { return };
    let dirs: Vec<_> = (0..4).map(|_| tempfile::tempdir().expect("a folder")).collect();
    let starts = dirs.iter().map(|dir| {
        let (dir, server) = (dir.path().to_owned(), server.clone());
        tokio::spawn(async move { Store::open_with(&dir, Some(&server)).await })
    });
    let mut stores = Vec::new();
    for start in starts.collect::<Vec<_>>() {
        stores.push(start.await.expect("ends").expect("opens"));
    }
    let database = stores[0].shared();
    assert_eq!(number(database, "SELECT version AS n FROM bulkhead_schema").await, migrate::known());
    database.execute("UPDATE bulkhead_schema SET version = 999", params![]).await.expect("writes");
    let refused = Store::open_with(dirs[0].path(), Some(&server)).await.expect_err("newer");
    assert!(matches!(refused, StoreError::Newer { found: 999, .. }), "{refused}");
}

#[tokio::test]
async fn a_start_without_the_server_or_with_another_ones_name_is_refused_in_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut nobody = PostgresSettings::new(&format!("postgres://me:very-secret@{}/db", dir.path().display().to_string().replace('/', "%2F")));
    (nobody.timeout, nobody.start_timeout) = (std::time::Duration::from_millis(50), std::time::Duration::from_millis(300));
    let refused = Store::open_with(dir.path(), Some(&nobody)).await.expect_err("nobody is there");
    let shown = format!("{refused} {refused:?}");
    assert!(matches!(refused, StoreError::Connect { .. }) && shown.contains("store.url") && !shown.contains("very-secret"), "{shown}");
    let Some(server) = server_database("a_start_without_the_server_or_with_another_ones_name_is_refused_in_time") else { return };
    let begun = tokio::time::Instant::now();
    let url = secrecy::ExposeSecret::expose_secret(&server.url).replace("bulkhead@", "somebody@");
    let refused = Store::open_with(dir.path(), Some(&PostgresSettings::new(&url))).await.expect_err("nobody of that name");
    assert!(matches!(refused, StoreError::Connect { .. }) && begun.elapsed() < std::time::Duration::from_secs(10), "{refused}");
}
