use super::*;

#[tokio::test]
async fn reopens_and_keeps_the_schema_version() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let store = Store::open(dir.path()).await.unwrap();
        let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&store.read).await.unwrap();
        assert_eq!(version, database::known());
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&store.write).await.unwrap();
        let sync: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&store.write).await.unwrap();
        assert_eq!((mode.as_str(), sync), ("wal", 2), "every commit is synced");
        store.close().await;
    }
}

#[tokio::test]
async fn a_newer_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    sqlx::raw_sql("PRAGMA user_version = 99").execute(&store.write).await.unwrap();
    store.close().await;
    let error = Store::open(dir.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
}

#[tokio::test]
async fn garbage_is_an_error_not_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE), vec![7; 8192]).unwrap();
    let error = Store::open(dir.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
}

#[tokio::test]
async fn a_reserve_is_kept_for_a_start_on_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let reserve = dir.path().join(RESERVE);
    for _ in 0..2 {
        Store::open(dir.path()).await.unwrap().close().await;
        assert_eq!(std::fs::metadata(&reserve).unwrap().len(), RESERVE_BYTES as u64);
        // Given up at a start on a full disk, it is made again at one that finds room.
        std::fs::remove_file(&reserve).unwrap();
    }
}
