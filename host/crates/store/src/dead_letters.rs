//! Events that no receiver took, kept with everything needed to judge and to send them again.
//!
//! Nothing is dropped by default: at `max_bytes` an addition is refused with `StoreFull` and the lane
//! stops. Only `on_full: drop_oldest` and `retention`, both explicit, delete; each drop is counted and logged.

mod filter;
mod letter;
mod replay;
mod vault;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bulkhead_core::LaneId;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use tokio::sync::watch;

use crate::error::{StoreError, failed};
use crate::store::Store;
pub use filter::DeadLetterFilter;
pub use letter::{Attempt, Cause, DeadLetter, NewDeadLetter, OWN, State};
pub use replay::{By, Edited, Replaying};
use vault::Parts;
pub(crate) use vault::Vault;

/// Largest page of `list`.
pub const MAX_PAGE: u32 = 1000;
/// Letters deleted in one transaction, so that lanes that add are not kept waiting.
const DELETE_CHUNK: u32 = 1000;

/// What happens when `max_bytes` is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFull {
    #[default]
    StopLane,
    DropOldest,
}

/// The `dead_letters` part of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetterSettings {
    pub max_bytes: u64,
    /// Age at which a letter is dropped; never where absent.
    pub retention: Option<Duration>,
    pub on_full: OnFull,
}

impl Default for DeadLetterSettings {
    fn default() -> Self {
        Self { max_bytes: 1 << 30, retention: None, on_full: OnFull::StopLane }
    }
}

/// What an addition did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Added {
    pub added: u64,
    /// Older letters that made room, by the operator's choice.
    pub dropped: u64,
}

/// What retention took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expired {
    pub dropped: u64,
    /// Of them events that told of letters dropped before: to tell of these again would never end.
    pub of_drops: u64,
}

/// The host's own event about dropped letters.
const DROPPED: &str = "bulkhead.dead_letter.dropped";

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub letters: u64,
    pub bytes: u64,
    /// Letters dropped by `retention` or `drop_oldest` since the start.
    pub dropped: u64,
}

/// The dead letters. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    settings: DeadLetterSettings,
    vault: Vault,
    letters: AtomicU64,
    bytes: AtomicU64,
    dropped: AtomicU64,
    freed: watch::Sender<u64>,
}

impl DeadLetters {
    pub(crate) async fn open(store: Store, settings: DeadLetterSettings, vault: Vault) -> Result<Self, StoreError> {
        vault.check(&store).await?;
        let letters = Self {
            shared: Arc::new(Shared {
                store,
                settings,
                vault,
                letters: AtomicU64::new(0),
                bytes: AtomicU64::new(0),
                dropped: AtomicU64::new(0),
                freed: watch::Sender::new(0),
            }),
        };
        let mut connection = letters.shared.store.write.acquire().await.map_err(failed("reading the dead letter totals"))?;
        letters.remember(totals(&mut connection).await?);
        Ok(letters)
    }

    /// Keeps all of them or none; on disk when it returns `Ok`. A letter of the same lane, place and
    /// event replaces itself; one that was replayed and died again goes on under its number. Cancel safe: written or not, never in part.
    pub async fn add_many(&self, letters: &[NewDeadLetter<'_>]) -> Result<Added, StoreError> {
        let settings = &self.shared.settings;
        let wanted: u64 = letters.iter().map(NewDeadLetter::size).sum();
        let fail = || failed("adding dead letters");
        let mut tx = self.shared.store.write.begin_with("BEGIN IMMEDIATE").await.map_err(fail())?;
        let mut dropped = 0;
        for letter in letters {
            let taken_in = match letter.letter {
                Some(id) => replay::died_again(&mut tx, id, letter, &self.shared.vault).await.map_err(fail())?,
                None => false,
            };
            if !taken_in {
                insert(&mut tx, letter, &self.shared.vault).await.map_err(fail())?;
            }
        }
        let (mut count, mut bytes) = totals(&mut tx).await?;
        // Measured after the insertion, because a letter that replaces itself needs no room.
        while bytes > settings.max_bytes {
            let used = bytes.saturating_sub(wanted);
            if settings.on_full == OnFull::StopLane || wanted > settings.max_bytes {
                return Err(StoreError::StoreFull { used, limit: settings.max_bytes, wanted });
            }
            dropped += drop_oldest(&mut tx, bytes - settings.max_bytes).await.map_err(fail())?;
            (count, bytes) = totals(&mut tx).await?;
        }
        tx.commit().await.map_err(fail())?;
        self.remember((count, bytes));
        if dropped > 0 {
            self.count_dropped(dropped, "on_full: drop_oldest");
        }
        Ok(Added { added: letters.len() as u64, dropped })
    }

    /// Letters in the order of their ids, without the event's bytes. Cancel safe.
    pub async fn list(&self, filter: &DeadLetterFilter, after: Option<i64>, limit: u32) -> Result<Vec<DeadLetter>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT ");
        query.push(letter::COLUMNS).push(", NULL AS event, NULL AS received FROM dead_letters WHERE id > ").push_bind(after.unwrap_or(0));
        filter.push(&mut query);
        query.push(" ORDER BY id LIMIT ").push_bind(i64::from(limit.clamp(1, MAX_PAGE)));
        let rows = query.build().fetch_all(&self.shared.store.read).await.map_err(failed("listing dead letters"))?;
        let read = |row| letter::read(row, &self.shared.vault);
        rows.iter().map(read).collect::<Result<_, _>>().map_err(failed("listing dead letters"))
    }

    /// How many match. Cancel safe.
    pub async fn count(&self, filter: &DeadLetterFilter) -> Result<u64, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT COUNT(*) FROM dead_letters WHERE id > 0");
        filter.push(&mut query);
        let row = query.build().fetch_one(&self.shared.store.read).await.map_err(failed("counting dead letters"))?;
        Ok(row.try_get::<i64, _>(0).map_err(failed("counting dead letters"))?.max(0).unsigned_abs())
    }

    /// The lanes that have letters which match. Cancel safe.
    pub async fn lanes(&self, filter: &DeadLetterFilter) -> Result<Vec<LaneId>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT DISTINCT instance, format FROM dead_letters WHERE id > 0");
        filter.push(&mut query);
        let rows = query.build().fetch_all(&self.shared.store.read).await.map_err(failed("listing dead letters"))?;
        let lane = |row: &sqlx::sqlite::SqliteRow| Ok(LaneId::new(row.try_get(0)?, row.try_get(1)?));
        rows.iter().map(lane).collect::<Result<_, sqlx::Error>>().map_err(failed("listing dead letters"))
    }

    /// How many letters there are of this owner's instances, and their bytes. Cancel safe.
    pub async fn totals_of(&self, filter: &DeadLetterFilter) -> Result<(u64, u64), StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT COUNT(*), COALESCE(SUM(size), 0) FROM dead_letters WHERE id > 0");
        filter.push(&mut query);
        let fail = || failed("counting dead letters");
        let row = query.build().fetch_one(&self.shared.store.read).await.map_err(fail())?;
        let number = |at: usize| row.try_get::<i64, _>(at).map(|number| number.max(0).unsigned_abs()).map_err(fail());
        Ok((number(0)?, number(1)?))
    }

    /// One letter with the stored event. Cancel safe.
    pub async fn get(&self, id: i64) -> Result<Option<DeadLetter>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT ");
        query.push(letter::COLUMNS).push(", event, received FROM dead_letters WHERE id = ").push_bind(id);
        let row = query.build().fetch_optional(&self.shared.store.read).await.map_err(failed("reading a dead letter"))?;
        row.as_ref().map(|row| letter::read(row, &self.shared.vault)).transpose().map_err(failed("reading a dead letter"))
    }

    /// Deletes what matches; an empty filter means all. Cancelled, some may be gone already.
    pub async fn delete(&self, filter: &DeadLetterFilter) -> Result<u64, StoreError> {
        let mut deleted = 0;
        loop {
            let mut query = QueryBuilder::<Sqlite>::new("DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters WHERE id > 0");
            filter.push(&mut query);
            query.push(" LIMIT ").push_bind(i64::from(DELETE_CHUNK)).push(")");
            let fail = || failed("deleting dead letters");
            let mut tx = self.shared.store.write.begin_with("BEGIN IMMEDIATE").await.map_err(fail())?;
            let gone = query.build().execute(&mut *tx).await.map_err(fail())?.rows_affected();
            let now = totals(&mut tx).await?;
            tx.commit().await.map_err(fail())?;
            deleted += gone;
            self.remember(now);
            if gone < u64::from(DELETE_CHUNK) {
                break;
            }
        }
        if deleted > 0 {
            self.tell_freed().await;
        }
        Ok(deleted)
    }

    /// There is room for lanes that wait for it.
    async fn tell_freed(&self) {
        self.shared.freed.send_modify(|times| *times += 1);
        // Gives the pages back to the file system; a failure costs only space that is reused anyway.
        if let Err(error) = sqlx::raw_sql("PRAGMA incremental_vacuum").execute(&self.shared.store.write).await {
            tracing::warn!(%error, "store did not give its free pages back");
        }
    }

    /// Drops letters older than `retention`, where the operator set one. Call now and then.
    pub async fn enforce_retention(&self, now_ms: i64) -> Result<Expired, StoreError> {
        let Some(retention) = self.shared.settings.retention else { return Ok(Expired::default()) };
        let until = now_ms.saturating_sub(i64::try_from(retention.as_millis()).unwrap_or(i64::MAX));
        let filter = DeadLetterFilter { until_ms: Some(until), ..DeadLetterFilter::default() };
        let of_drops = self.count(&DeadLetterFilter { event_type: Some(DROPPED.into()), ..filter.clone() }).await?;
        let dropped = self.delete(&filter).await?;
        if dropped > 0 {
            self.count_dropped(dropped, "retention");
        }
        Ok(Expired { dropped, of_drops })
    }

    /// Letters and bytes in the store; costs nothing.
    pub fn totals(&self) -> Totals {
        Totals {
            letters: self.shared.letters.load(Ordering::Relaxed),
            bytes: self.shared.bytes.load(Ordering::Relaxed),
            dropped: self.shared.dropped.load(Ordering::Relaxed),
        }
    }

    /// Changes whenever letters were deleted, for lanes that wait for room.
    pub fn freed(&self) -> watch::Receiver<u64> {
        self.shared.freed.subscribe()
    }

    pub fn settings(&self) -> &DeadLetterSettings {
        &self.shared.settings
    }

    fn remember(&self, (letters, bytes): (u64, u64)) {
        self.shared.letters.store(letters, Ordering::Relaxed);
        self.shared.bytes.store(bytes, Ordering::Relaxed);
    }

    fn count_dropped(&self, dropped: u64, by: &'static str) {
        self.shared.dropped.fetch_add(dropped, Ordering::Relaxed);
        tracing::warn!(dropped, by, "dead letters dropped, as configured");
    }
}

async fn totals(connection: &mut SqliteConnection) -> Result<(u64, u64), StoreError> {
    let row = sqlx::query("SELECT letters, bytes FROM dead_letter_totals").fetch_one(connection).await;
    row.and_then(|row| Ok((row.try_get::<i64, _>(0)?.max(0).unsigned_abs(), row.try_get::<i64, _>(1)?.max(0).unsigned_abs())))
        .map_err(failed("reading the dead letter totals"))
}

async fn insert(connection: &mut SqliteConnection, letter: &NewDeadLetter<'_>, vault: &Vault) -> Result<(), sqlx::Error> {
    let sealed = vault.seal(&Parts::of(letter));
    let attempts = serde_json::to_string(&letter.attempt_log).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query(
        "INSERT INTO dead_letters (instance, format, owner, tenant, event_id, event_type, seq, cause, reason, attempts, attempt_log, received_ms, first_ms, last_ms, added_ms, connector, size, event, key)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET cause = excluded.cause, reason = excluded.reason, attempts = excluded.attempts, attempt_log = excluded.attempt_log,
             last_ms = excluded.last_ms, added_ms = excluded.added_ms, connector = excluded.connector, size = excluded.size, event = excluded.event, key = excluded.key
         -- An edited letter, or one on its way, is not what died here once more.
         WHERE received IS NULL AND state = 'open'",
    )
    .bind(&*letter.lane.instance)
    .bind(&*letter.lane.format)
    .bind(letter.owner)
    .bind(letter.tenant.as_str())
    .bind(letter.event_id)
    .bind(letter.event_type)
    .bind(letter.seq.0.cast_signed())
    .bind(letter.cause.name())
    .bind(&*sealed.reason)
    .bind(i64::from(letter.attempts))
    .bind(attempts)
    .bind(letter.received_ms)
    .bind(letter.first_ms)
    .bind(letter.last_ms)
    .bind(letter.added_ms)
    .bind(letter.connector)
    .bind(letter.size().cast_signed())
    .bind(&*sealed.event)
    .bind(sealed.key.map(|key| key.0.to_vec()))
    .execute(connection)
    .await
    .map(drop)
}

/// Drops oldest letters until at least `excess` bytes are free.
async fn drop_oldest(connection: &mut SqliteConnection, excess: u64) -> Result<u64, sqlx::Error> {
    // The running sum before a letter says whether those ahead of it free enough.
    let sql = "DELETE FROM dead_letters WHERE id IN (SELECT id FROM (
                   SELECT id, SUM(size) OVER (ORDER BY id) - size AS before FROM (SELECT id, size FROM dead_letters ORDER BY id LIMIT 10000)
               ) WHERE before < ?)";
    sqlx::query(sql).bind(excess.cast_signed()).execute(connection).await.map(|done| done.rows_affected())
}

#[cfg(test)]
mod tests;
