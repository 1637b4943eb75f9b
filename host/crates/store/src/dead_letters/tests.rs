use bulkhead_core::{LaneId, Seq, Tenant};
use bulkhead_seal::{AtRest, Key, Keyring};

use super::*;

async fn open(dir: &std::path::Path, settings: DeadLetterSettings) -> DeadLetters {
    Store::open(dir).await.unwrap().dead_letters(settings).await.unwrap()
}

const ATTEMPT: Attempt = Attempt { at_ms: 5, code: String::new() };

/// A letter whose parts that tests vary are given.
fn letter<'a>(lane: &'a LaneId, tenant: &'a Tenant, id: &'a str, event: &'a [u8], (seq, cause, added_ms): (u64, Cause, i64)) -> NewDeadLetter<'a> {
    NewDeadLetter {
        lane,
        tenant,
        owner: "",
        event_id: id,
        event_type: if seq.is_multiple_of(2) { "even" } else { "odd" },
        seq: Seq(seq),
        cause,
        reason: "the receiver said no",
        attempts: 3,
        attempt_log: vec![ATTEMPT],
        received_ms: 1,
        first_ms: 5,
        last_ms: 9,
        added_ms,
        connector: "sha256:abc",
        event,
        letter: None,
    }
}

async fn add(letters: &DeadLetters, instance: &str, seq: u64, cause: Cause, added_ms: i64) -> Result<Added, StoreError> {
    let (lane, tenant, id, event) = (LaneId::new(instance, "cef"), Tenant::default(), format!("id-{seq}"), [seq as u8; 100]);
    letters.add_many(&[letter(&lane, &tenant, &id, &event, (seq, cause, added_ms))]).await
}

/// Bytes that one such letter takes.
fn size() -> u64 {
    letter(&LaneId::new("siem", "cef"), &Tenant::default(), "id-1", &[0; 100], (1, Cause::Rejected, 0)).size()
}

async fn seqs(letters: &DeadLetters, filter: DeadLetterFilter) -> Vec<u64> {
    letters.list(&filter, None, 100).await.unwrap().iter().map(|letter| letter.seq.0).collect()
}

#[tokio::test]
async fn keeps_everything_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let letters = open(dir.path(), DeadLetterSettings::default()).await;
    add(&letters, "siem", 7, Cause::Rejected, 100).await.unwrap();
    let before = letters.totals();
    letters.shared.store.close().await;
    let letters = open(dir.path(), DeadLetterSettings::default()).await;
    assert_eq!(letters.totals(), before);
    let listed = &letters.list(&DeadLetterFilter::default(), None, 10).await.unwrap()[0];
    assert_eq!(listed.event, None);
    let letter = letters.get(listed.id).await.unwrap().unwrap();
    assert_eq!(letter.event.as_deref(), Some(&[7; 100][..]));
    assert_eq!((letter.lane.to_string().as_str(), letter.cause, letter.attempts), ("siem/cef", Cause::Rejected, 3));
    assert_eq!(letter.attempt_log, [ATTEMPT]);
    assert_eq!(letters.get(999).await.unwrap(), None);
}

#[tokio::test]
async fn the_same_letter_replaces_itself() {
    let dir = tempfile::tempdir().unwrap();
    let letters = open(dir.path(), DeadLetterSettings::default()).await;
    add(&letters, "siem", 7, Cause::Rejected, 100).await.unwrap();
    let once = letters.totals();
    add(&letters, "siem", 7, Cause::TooLarge, 200).await.unwrap();
    assert_eq!(letters.totals(), once);
    add(&letters, "archive", 7, Cause::Rejected, 200).await.unwrap();
    assert_eq!(letters.totals().letters, 2);
    assert_eq!(letters.list(&DeadLetterFilter::default(), None, 10).await.unwrap()[0].cause, Cause::TooLarge);
}

#[tokio::test]
async fn filters_pages_and_deletes() {
    let dir = tempfile::tempdir().unwrap();
    let letters = open(dir.path(), DeadLetterSettings::default()).await;
    for seq in 1..=6 {
        let cause = if seq <= 2 { Cause::TooLarge } else { Cause::Rejected };
        add(&letters, if seq % 3 == 0 { "archive" } else { "siem" }, seq, cause, 100 * seq as i64).await.unwrap();
    }
    let all = DeadLetterFilter::default;
    let table: [(DeadLetterFilter, &[u64]); 8] = [
        (all(), &[1, 2, 3, 4, 5, 6]),
        (DeadLetterFilter { instance: Some("archive".into()), ..all() }, &[3, 6]),
        (DeadLetterFilter { causes: vec![Cause::TooLarge], ..all() }, &[1, 2]),
        (DeadLetterFilter { since_ms: Some(500), ..all() }, &[5, 6]),
        (DeadLetterFilter { until_ms: Some(200), ..all() }, &[1]),
        (DeadLetterFilter { event_type: Some("even".into()), instance: Some("siem".into()), ..all() }, &[2, 4]),
        (DeadLetterFilter { event_id: Some("id-4".into()), ..all() }, &[4]),
        (DeadLetterFilter { ids: vec![2, 5, 99], ..all() }, &[2, 5]),
    ];
    for (filter, want) in table {
        assert_eq!(seqs(&letters, filter.clone()).await, want, "{filter:?}");
    }
    let page = letters.list(&all(), Some(2), 2).await.unwrap();
    assert_eq!(page.iter().map(|letter| letter.id).collect::<Vec<_>>(), [3, 4]);

    let mut freed = letters.freed();
    assert_eq!(letters.delete(&DeadLetterFilter { causes: vec![Cause::TooLarge], ..all() }).await.unwrap(), 2);
    assert!(freed.has_changed().unwrap());
    freed.mark_unchanged();
    assert_eq!(seqs(&letters, all()).await, [3, 4, 5, 6]);
    assert_eq!(letters.delete(&all()).await.unwrap(), 4);
    assert_eq!(letters.totals(), Totals::default());
}

#[tokio::test]
async fn full_refuses_and_drop_oldest_only_by_choice() {
    let dir = tempfile::tempdir().unwrap();
    let one = size();
    let settings = DeadLetterSettings { max_bytes: 3 * one, ..DeadLetterSettings::default() };
    let letters = open(dir.path(), settings).await;
    for seq in 1..=3 {
        add(&letters, "siem", seq, Cause::Rejected, 0).await.unwrap();
    }
    let error = add(&letters, "siem", 4, Cause::Rejected, 0).await.unwrap_err();
    assert!(matches!(error, StoreError::StoreFull { used, limit, wanted } if used == 3 * one && limit == 3 * one && wanted == one), "{error}");
    assert_eq!(seqs(&letters, DeadLetterFilter::default()).await, [1, 2, 3], "refused as a whole");
    add(&letters, "siem", 3, Cause::TooLarge, 0).await.unwrap();
    letters.shared.store.close().await;

    let letters = open(dir.path(), DeadLetterSettings { on_full: OnFull::DropOldest, ..settings }).await;
    assert_eq!(add(&letters, "siem", 4, Cause::Rejected, 0).await.unwrap(), Added { added: 1, dropped: 1 });
    assert_eq!(seqs(&letters, DeadLetterFilter::default()).await, [2, 3, 4]);
    assert_eq!(letters.totals(), Totals { letters: 3, bytes: 3 * one, dropped: 1 });
}

fn key(seed: u8) -> Key {
    let digits: String = (0..32_u8).map(|place| format!("{:02x}", place.wrapping_mul(5).wrapping_add(seed))).collect();
    Key::parse(&digits).unwrap()
}

async fn open_sealed(dir: &std::path::Path, keys: &[u8], seal: bool) -> Result<DeadLetters, StoreError> {
    let mut keys = keys.iter().map(|seed| key(*seed));
    let keyring = keys.next().map(|current| Keyring::new(current, keys));
    let store = Store::open(dir).await.unwrap();
    store.dead_letters_at_rest(DeadLetterSettings::default(), AtRest { keyring, seal }).await
}

#[tokio::test]
async fn sealed_letters_need_their_key_and_hide_their_events() {
    let dir = tempfile::tempdir().unwrap();
    let (lane, tenant) = (LaneId::new("siem", "cef"), Tenant::default());
    let written = |seq| NewDeadLetter { reason: "refused: MARKER-IN-REASON", ..letter(&lane, &tenant, "id", b"MARKER-IN-EVENT", (seq, Cause::Rejected, 1)) };
    // In the clear, then sealed, then with another key, then in the clear again.
    for (keys, seal, seq) in [(&[][..], false, 1), (&[1][..], true, 2), (&[2, 1], true, 3), (&[2, 1], false, 4)] {
        let letters = open_sealed(dir.path(), keys, seal).await.unwrap();
        letters.add_many(&[written(seq)]).await.unwrap();
        for letter in letters.list(&DeadLetterFilter::default(), None, 10).await.unwrap() {
            assert_eq!((&*letter.reason, letter.event), ("refused: MARKER-IN-REASON", None));
            assert_eq!(letters.get(letter.id).await.unwrap().unwrap().event.as_deref(), Some(&b"MARKER-IN-EVENT"[..]));
        }
        letters.shared.store.close().await;
    }
    for (keys, lacking) in [(&[][..], vec![1, 2]), (&[1], vec![2]), (&[2], vec![1]), (&[3], vec![1, 2])] {
        let error = open_sealed(dir.path(), keys, false).await.unwrap_err();
        let mut ids: Vec<_> = lacking.into_iter().map(|seed| key(seed).id()).collect();
        ids.sort_unstable();
        let StoreError::KeyMissing { mut missing, .. } = error else { panic!("{error}") };
        missing.sort_unstable();
        assert_eq!(missing, ids);
    }
    let letters = open_sealed(dir.path(), &[2, 1], true).await.unwrap();
    letters.delete(&DeadLetterFilter { ids: vec![1, 4], ..DeadLetterFilter::default() }).await.unwrap();
    // Two letters exchange their contents.
    for part in ["reason", "event"] {
        let sql = format!(
            "UPDATE dead_letters SET {part} = (SELECT {part} FROM dead_letters WHERE id = 3), key = (SELECT key FROM dead_letters WHERE id = 3) WHERE id = 2"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&letters.shared.store.write).await.unwrap();
    }
    let changed = letters.get(2).await.unwrap().unwrap();
    assert!(changed.event.is_none() && changed.reason.contains("seal of this letter is broken"), "{changed:?}");
    assert!(letters.get(3).await.unwrap().unwrap().event.is_some());
}

#[tokio::test]
async fn no_file_of_a_sealed_store_holds_the_event() {
    let dir = tempfile::tempdir().unwrap();
    let letters = open_sealed(dir.path(), &[1], true).await.unwrap();
    let (lane, tenant) = (LaneId::new("siem", "cef"), Tenant::default());
    let written = NewDeadLetter { reason: "MARKER-R", ..letter(&lane, &tenant, "id", b"MARKER-E", (1, Cause::Rejected, 1)) };
    letters.add_many(&[written]).await.unwrap();
    for _ in 0..2 {
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(6).any(|window| window == b"MARKER"));
        }
        letters.shared.store.close().await;
    }
}

/// An edit and another death seal all of a letter anew: under one key, the latest, and at its own place.
#[tokio::test]
async fn an_edited_letter_that_died_again_is_sealed_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (lane, tenant) = (LaneId::new("siem", "cef"), Tenant::default());
    let letters = open_sealed(dir.path(), &[1], true).await.unwrap();
    letters.add_many(&[NewDeadLetter { reason: "MARKER-R", ..letter(&lane, &tenant, "id", b"MARKER-DIED", (1, Cause::Rejected, 1)) }]).await.unwrap();
    letters.shared.store.close().await;

    let letters = open_sealed(dir.path(), &[2, 1], true).await.unwrap();
    assert_eq!(letters.edit(1, b"MARKER-EDITED", "c.d", 5).await.unwrap(), Edited::Done);
    letters.mark(&[1], By::Manual).await.unwrap();
    letters.placed(&[(1, Seq(9))]).await.unwrap();
    let again = letter(&lane, &tenant, "id", b"MARKER-EDITED", (9, Cause::Rejected, 9));
    letters.add_many(&[NewDeadLetter { reason: "MARKER-AGAIN", letter: Some(1), ..again }]).await.unwrap();
    letters.shared.store.close().await;

    // Nothing needs the older key any more.
    let letters = open_sealed(dir.path(), &[2], true).await.unwrap();
    let read = letters.get(1).await.unwrap().unwrap();
    assert_eq!((&*read.reason, read.state, read.replay_seq), ("MARKER-AGAIN", State::Open, Some(Seq(9))));
    assert_eq!((read.event.as_deref(), read.received.as_deref()), (Some(&b"MARKER-EDITED"[..]), Some(&b"MARKER-DIED"[..])));
    assert_eq!(seqs(&letters, DeadLetterFilter::default()).await, [1], "it is the same letter");
    // The event before the edit does not open as the event.
    sqlx::raw_sql("UPDATE dead_letters SET event = received").execute(&letters.shared.store.write).await.unwrap();
    assert_eq!(letters.get(1).await.unwrap().unwrap().event, None);
    assert_eq!(letters.edit(1, b"x", "c.d", 6).await.unwrap(), Edited::Missing, "what is left stays as it is");
    letters.shared.store.close().await;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"MARKER"));
    }
}

#[tokio::test]
async fn retention_drops_only_where_it_is_set() {
    let dir = tempfile::tempdir().unwrap();
    let letters = open(dir.path(), DeadLetterSettings::default()).await;
    add(&letters, "siem", 1, Cause::Rejected, 1_000).await.unwrap();
    add(&letters, "siem", 2, Cause::Rejected, 5_000).await.unwrap();
    assert_eq!(letters.enforce_retention(1_000_000).await.unwrap(), Expired::default());
    letters.shared.store.close().await;
    let letters = open(dir.path(), DeadLetterSettings { retention: Some(Duration::from_secs(3)), ..DeadLetterSettings::default() }).await;
    assert_eq!(letters.enforce_retention(5_000).await.unwrap(), Expired { dropped: 1, of_drops: 0 });
    assert_eq!(seqs(&letters, DeadLetterFilter::default()).await, [2]);
    assert_eq!(letters.totals().dropped, 1);
    let (lane, tenant) = (LaneId::new("siem", "cef"), Tenant::default());
    letters.add_many(&[NewDeadLetter { event_type: DROPPED, ..letter(&lane, &tenant, "own", &[1], (3, Cause::Rejected, 5_000)) }]).await.unwrap();
    assert_eq!(letters.enforce_retention(9_000).await.unwrap(), Expired { dropped: 2, of_drops: 1 });
}

#[test]
fn long_reasons_are_cut_at_a_character() {
    let (lane, tenant) = (LaneId::new("siem", "cef"), Tenant::default());
    let plain = letter(&lane, &tenant, "id", &[], (1, Cause::Rejected, 0));
    for (reason, want) in [("é".repeat(4096), 4096), (format!("a{}", "é".repeat(4096)), 4095), ("short".into(), 5)] {
        assert_eq!(NewDeadLetter { reason: &reason, ..plain.clone() }.reason().len(), want);
    }
}

#[test]
fn causes_have_unique_names() {
    for cause in Cause::ALL {
        assert_eq!(Cause::from_name(cause.name()), Some(*cause));
    }
}

/// SQLite ends a transaction by itself when the disk is full; the next one must work all the same.
#[tokio::test]
async fn a_full_disk_is_over_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let letters = open(dir.path(), DeadLetterSettings::default()).await;
    add(&letters, "siem", 1, Cause::Rejected, 100).await.unwrap();
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&letters.shared.store.write).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"))).execute(&letters.shared.store.write).await.unwrap();
    let (lane, tenant, event) = (LaneId::new("siem", "cef"), Tenant::default(), vec![7; 1 << 20]);
    let error = letters.add_many(&[letter(&lane, &tenant, "big", &event, (2, Cause::Rejected, 100))]).await.unwrap_err();
    assert!(error.is_full(), "{error}");
    // The bound goes with the connection where that was given up, else it is taken away.
    sqlx::raw_sql("PRAGMA max_page_count = 1073741823").execute(&letters.shared.store.write).await.unwrap();
    letters.add_many(&[letter(&lane, &tenant, "big", &event, (2, Cause::Rejected, 100))]).await.unwrap();
    assert_eq!(seqs(&letters, DeadLetterFilter::default()).await, [1, 2]);
}
