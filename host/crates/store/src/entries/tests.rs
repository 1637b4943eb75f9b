use bulkhead_seal::Key;
use serde_json::json;

use super::*;
use crate::testing::{each_engine, meddle};

fn key(text: &str) -> Key {
    use base64::Engine as _;
    let bytes: Vec<u8> = (0..32u8).map(|n| n.wrapping_mul(7).wrapping_add(text.len() as u8 * 31)).collect();
    Key::parse(&base64::engine::general_purpose::STANDARD.encode(bytes)).expect("a key")
}

fn entry(id: &str, name: &str, version: i64, definition: Value) -> Entry {
    Entry {
        id: id.into(),
        section: "credentials".into(),
        name: name.into(),
        version,
        definition,
        created_ms: 5,
        created_by: "ann".into(),
        updated_ms: 5 + version,
        updated_by: "bob".into(),
    }
}

/// Each in place of the version before it.
async fn put(entries: &Entries, put: &[Entry]) {
    let put: Vec<_> = put.iter().map(|entry| (entry, (entry.version > 1).then_some(entry.version - 1))).collect();
    entries.change(&put, &[]).await.expect("writes").expect("nobody was first");
}

#[tokio::test]
async fn changes_are_whole_and_former_versions_stay() {
    each_engine("changes_are_whole_and_former_versions_stay", async |place| {
        let store = place.open().await;
        let entries = store.entries(None).await.expect("opens");
        assert!(!entries.sealed());
        put(&entries, &[entry("1", "b", 1, json!({"n": 1})), entry("2", "a", 1, json!({}))]).await;
        for version in 2..=30 {
            put(&entries, &[entry("1", "b", version, json!({"n": version}))]).await;
        }
        assert_eq!(entries.all().await.expect("reads"), [entry("2", "a", 1, json!({})), entry("1", "b", 30, json!({"n": 30}))]);
        let versions = entries.versions("1").await.expect("reads");
        assert_eq!(versions.iter().map(|version| version.version).collect::<Vec<_>>(), (10..30).rev().collect::<Vec<_>>(), "as many as are kept");
        assert_eq!(versions[0].definition, json!({"n": 29}));

        // A second entry of a name is refused, and nothing of that change is there.
        let clash = [entry("3", "c", 1, json!({})), entry("4", "a", 1, json!({}))];
        let clash: Vec<_> = clash.iter().map(|entry| (entry, None)).collect();
        let raced = entries.change(&clash, &[]).await.expect("looks").expect_err("refused");
        assert_eq!((raced.name.as_str(), raced.version), ("a", Some(1)));
        assert_eq!(entries.all().await.expect("reads").len(), 2);
        // Deleted and made again in one change: another entry, without a past.
        entries.change(&[(&entry("5", "b", 1, json!(1)), None)], &[("1", 30)]).await.expect("writes").expect("changed");
        assert_eq!(entries.all().await.expect("reads")[1], entry("5", "b", 1, json!(1)));
        assert!(entries.versions("1").await.expect("reads").is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_change_taken_back_leaves_no_trace() {
    each_engine("a_change_taken_back_leaves_no_trace", async |place| {
        let entries = place.open().await.entries(None).await.expect("opens");
        let first = entry("1", "a", 1, json!("first"));
        put(&entries, std::slice::from_ref(&first)).await;
        put(&entries, &[entry("1", "a", 2, json!("second"))]).await;
        entries.change(&[(&first, Some(2))], &[]).await.expect("writes").expect("taken back");
        assert_eq!(entries.all().await.expect("reads"), [first]);
        assert!(entries.versions("1").await.expect("reads").is_empty());
    })
    .await;
}

#[tokio::test]
async fn definitions_are_sealed_with_the_newest_key_and_open_only_in_their_place() {
    each_engine("definitions_are_sealed_with_the_newest_key_and_open_only_in_their_place", async |place| {
        let marker = || json!({"value": "marker-of-a-secret"});
        let found = |dir: &std::path::Path| {
            std::fs::read_dir(dir).expect("reads").any(|file| {
                let bytes = std::fs::read(file.expect("a file").path()).unwrap_or_default();
                bytes.windows(16).any(|part| part == b"marker-of-a-secr")
            })
        };
        let store = place.open().await;
        let entries = store.entries(Some(Keyring::new(key("old"), []))).await.expect("opens");
        for version in 1..=3 {
            put(&entries, &[entry("1", "a", version, marker()), entry("2", "b", version, json!("other"))]).await;
        }
        let sql = "SELECT definition FROM entries UNION ALL SELECT definition FROM entry_versions";
        let rows = store.shared().fetch_all(sql, params![]).await.expect("reads");
        let clear = |row: &Row| String::from_utf8_lossy(&row.get::<Vec<u8>>("definition").expect("bytes")).contains("marker");
        assert!(rows.len() == 6 && !rows.iter().any(clear), "{rows:?}");
        store.close().await;
        assert!(!found(place.dir.path()));

        let refused = place.open().await.entries(Some(Keyring::new(key("newer"), []))).await.expect_err("a key is missing");
        assert!(matches!(&refused, StoreError::KeyMissing { missing, .. } if missing.len() == 1), "{refused}");
        // With both it is sealed with the newer, which then does by itself.
        let store = place.open().await;
        store.entries(Some(Keyring::new(key("newer"), [key("old")]))).await.expect("opens");
        let entries = store.entries(Some(Keyring::new(key("newer"), []))).await.expect("opens");
        assert_eq!(entries.all().await.expect("reads")[0], entry("1", "a", 3, marker()));
        assert_eq!(entries.versions("1").await.expect("reads").len(), 2);

        // Moved to another entry, or an older one in place of the newest: no longer read.
        for swap in [
            "UPDATE entries SET definition = (SELECT definition FROM entries WHERE id = '2') WHERE id = '1'",
            "UPDATE entries SET definition = (SELECT definition FROM entry_versions WHERE id = '1' AND version = 2) WHERE id = '1'",
        ] {
            meddle(store.shared(), swap.into()).await;
            let error = entries.all().await.expect_err("the seal is broken");
            assert!(format!("{:?}", std::error::Error::source(&error)).contains("changed in the store"), "{error:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_in_the_clear_is_sealed_once_there_is_a_key() {
    each_engine("what_was_in_the_clear_is_sealed_once_there_is_a_key", async |place| {
        let store = place.open().await;
        let plain = store.entries(None).await.expect("opens");
        let many: Vec<_> = (0..250).map(|n| entry(&n.to_string(), &format!("n{n:03}"), 1, json!(n))).collect();
        put(&plain, &many).await;
        let sealed = store.entries(Some(Keyring::new(key("k"), []))).await.expect("opens");
        assert_eq!(sealed.all().await.expect("reads").len(), 250);
        let row = store.shared().fetch_optional("SELECT COUNT(*) AS n FROM entries WHERE key IS NULL", params![]).await.expect("counts").expect("a row");
        assert_eq!(row.get::<i64>("n").expect("a number"), 0);
    })
    .await;
}

#[tokio::test]
async fn inactive_instances_stay_so() {
    each_engine("inactive_instances_stay_so", async |place| {
        let store = place.open().await;
        let inactive = store.inactive();
        inactive.set("a", true, 7, "ann").await.expect("set");
        inactive.set("a", true, 8, "bob").await.expect("again");
        inactive.set("b", true, 9, "bob").await.expect("set");
        inactive.set("b", false, 10, "bob").await.expect("ended");
        store.close().await;
        let all = place.open().await.inactive().all().await.expect("reads");
        assert_eq!(all.into_iter().collect::<Vec<_>>(), ["a"]);
    })
    .await;
}

#[tokio::test]
async fn who_has_not_seen_the_last_version_changes_nothing() {
    each_engine("who_has_not_seen_the_last_version_changes_nothing", async |place| {
        let store = place.open().await;
        let (one, other) = (store.entries(None).await.expect("opens"), store.entries(None).await.expect("opens"));
        let generation = async || store.changes().generations().await.expect("reads").get(&Topic::Entries).copied().unwrap_or_default();
        let before = generation().await;
        put(&one, &[entry("1", "a", 1, json!(1)), entry("2", "b", 1, json!(1))]).await;
        put(&one, &[entry("1", "a", 2, json!(2))]).await;
        assert_eq!(generation().await, before + 2);
        let late = entry("1", "a", 2, json!("lost"));
        let with = entry("2", "b", 2, json!("with it"));
        let raced = other.change(&[(&with, Some(1)), (&late, Some(1))], &[]).await.expect("looks").expect_err("another was first");
        assert_eq!(raced, Raced { section: "credentials".into(), name: "a".into(), version: Some(2) });
        let raced = other.change(&[], &[("1", 1)]).await.expect("looks").expect_err("another was first");
        assert_eq!(raced.version, Some(2));
        assert_eq!((generation().await, other.all().await.expect("reads")[1].clone()), (before + 2, entry("2", "b", 1, json!(1))));
        // What another deleted is gone, whoever deletes it.
        one.change(&[], &[("1", 2)]).await.expect("writes").expect("deleted");
        other.change(&[], &[("1", 2)]).await.expect("writes").expect("is gone");
        let raced = other.change(&[(&entry("1", "a", 3, json!(3)), Some(2))], &[]).await.expect("looks").expect_err("it is gone");
        assert_eq!(raced.version, None);
    })
    .await;
}
