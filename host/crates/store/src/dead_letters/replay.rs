//! Letters on their way back: marked before the event is appended to the journal, gone once its lane is
//! done with it. In between they stay in sight; a crash at any step leaves them or opens them again.

use bulkhead_core::{LaneId, Seq};
use sqlx::{Row, SqliteConnection};

use super::letter::{self, DeadLetter, NewDeadLetter, State, merged};
use super::vault::{Parts, Vault};
use super::{DeadLetters, totals};
use crate::error::{StoreError, failed};

/// Who hands letters back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// A person.
    Manual,
    /// `dead_letters.retry`.
    Automatic,
}

impl By {
    pub fn name(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Automatic => "automatic",
        }
    }

    /// The column that counts.
    fn count(self) -> &'static str {
        match self {
            Self::Manual => "replays",
            Self::Automatic => "retries",
        }
    }
}

/// A letter whose event is in the journal again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaying {
    pub id: i64,
    pub lane: LaneId,
    pub seq: Seq,
}

/// What became of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edited {
    Done,
    Missing,
    /// Only open letters are edited.
    Is(State),
}

impl DeadLetters {
    /// Marks open letters as on their way, before their events are appended. Those that are not open any
    /// more are left out of the answer. Cancel safe, like all of these: done or not, never in part.
    pub async fn mark(&self, ids: &[i64], by: By) -> Result<Vec<i64>, StoreError> {
        let count = by.count();
        let sql = format!("UPDATE dead_letters SET state = 'replaying', replay_seq = NULL, {count} = {count} + 1 WHERE id = ? AND state = 'open'");
        self.each(ids, &sql, "marking dead letters").await
    }

    /// Takes the mark back: the events were not appended.
    pub async fn unmark(&self, ids: &[i64], by: By) -> Result<(), StoreError> {
        let count = by.count();
        let sql = format!("UPDATE dead_letters SET state = 'open', {count} = {count} - 1 WHERE id = ? AND state = 'replaying' AND replay_seq IS NULL");
        self.each(ids, &sql, "marking dead letters").await.map(drop)
    }

    /// Notes where the events of marked letters are. One whose event died again meanwhile knows already.
    pub async fn placed(&self, places: &[(i64, Seq)]) -> Result<(), StoreError> {
        let fail = || failed("noting replayed dead letters");
        let mut tx = self.shared.store.write.begin_with("BEGIN IMMEDIATE").await.map_err(fail())?;
        for (id, seq) in places {
            let sql = "UPDATE dead_letters SET replay_seq = ? WHERE id = ? AND state = 'replaying' AND replay_seq IS NULL";
            sqlx::query(sql).bind(seq.0.cast_signed()).bind(id).execute(&mut *tx).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())
    }

    /// After a start: letters that were marked and whose events may not have reached the journal are open.
    pub async fn reopen_unplaced(&self) -> Result<u64, StoreError> {
        let sql = "UPDATE dead_letters SET state = 'open' WHERE state = 'replaying' AND replay_seq IS NULL";
        let done = sqlx::query(sql).execute(&self.shared.store.write).await.map_err(failed("opening dead letters again"))?;
        Ok(done.rows_affected())
    }

    /// Letters whose events are in the journal, in the order of their ids.
    pub async fn replaying(&self, after: i64, limit: u32) -> Result<Vec<Replaying>, StoreError> {
        let sql =
            "SELECT id, instance, format, replay_seq FROM dead_letters WHERE state = 'replaying' AND replay_seq IS NOT NULL AND id > ? ORDER BY id LIMIT ?";
        let rows = sqlx::query(sql).bind(after).bind(i64::from(limit)).fetch_all(&self.shared.store.read).await;
        let read = |row: &sqlx::sqlite::SqliteRow| -> Result<Replaying, sqlx::Error> {
            let lane = LaneId::new(row.try_get("instance")?, row.try_get("format")?);
            Ok(Replaying { id: row.try_get("id")?, lane, seq: Seq(row.try_get::<i64, _>("replay_seq")?.cast_unsigned()) })
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).map_err(failed("reading replayed dead letters"))
    }

    /// The lanes are done with these and have not given them up again: they go, except edited ones, which
    /// keep both versions. Answers how many were closed.
    pub async fn close_delivered(&self, ids: &[i64]) -> Result<u64, StoreError> {
        let kept = self.each(ids, "UPDATE dead_letters SET state = 'delivered' WHERE id = ? AND state = 'replaying' AND received IS NOT NULL", CLOSING).await?;
        let gone = self.each(ids, "DELETE FROM dead_letters WHERE id = ? AND state = 'replaying' AND received IS NULL", CLOSING).await?;
        if !gone.is_empty() {
            self.tell_freed().await;
        }
        Ok((kept.len() + gone.len()) as u64)
    }

    /// Nobody can say that these were delivered.
    pub async fn reopen(&self, ids: &[i64]) -> Result<(), StoreError> {
        self.each(ids, "UPDATE dead_letters SET state = 'open' WHERE id = ? AND state = 'replaying'", "opening dead letters again").await.map(drop)
    }

    /// Puts another event in place of an open letter's; the one that died is kept beside it.
    pub async fn edit(&self, id: i64, event: &[u8], event_type: &str, now_ms: i64) -> Result<Edited, StoreError> {
        let settings = &self.shared.settings;
        let fail = || failed("editing a dead letter");
        let mut tx = self.shared.store.write.begin_with("BEGIN IMMEDIATE").await.map_err(fail())?;
        let Some(before_edit) = whole(&mut tx, id, &self.shared.vault).await.map_err(fail())? else { return Ok(Edited::Missing) };
        if before_edit.state != State::Open {
            return Ok(Edited::Is(before_edit.state));
        }
        // A letter whose seal is broken holds nothing that could be edited; its bytes stay as they are.
        let Some(died) = before_edit.event.as_deref() else { return Ok(Edited::Missing) };
        let replaced = if before_edit.received.is_some() { died.len() } else { 0 };
        let size = before_edit.size.saturating_sub(replaced as u64) + event.len() as u64;
        let sealed = self.shared.vault.seal(&Parts { event, received: Some(before_edit.received.as_deref().unwrap_or(died)), ..parts(&before_edit) });
        let before = totals(&mut tx).await?.1;
        let sql = "UPDATE dead_letters SET size = ?, reason = ?, received = ?, event = ?, key = ?, event_type = ?, edited_ms = ? WHERE id = ?";
        let update = sqlx::query(sql).bind(size.cast_signed()).bind(&*sealed.reason).bind(sealed.received.as_deref()).bind(&*sealed.event);
        let update = update.bind(sealed.key.map(|key| key.0.to_vec())).bind(event_type).bind(now_ms).bind(id);
        update.execute(&mut *tx).await.map_err(fail())?;
        let (count, bytes) = totals(&mut tx).await?;
        if bytes > settings.max_bytes && bytes > before {
            // Whatever `on_full` says: an edit drops nobody's letter.
            return Err(StoreError::StoreFull { used: before, limit: settings.max_bytes, wanted: bytes - before });
        }
        tx.commit().await.map_err(fail())?;
        self.remember((count, bytes));
        Ok(Edited::Done)
    }

    /// Runs one statement for each id in one transaction: the ids for which it did something.
    async fn each(&self, ids: &[i64], sql: &str, doing: &'static str) -> Result<Vec<i64>, StoreError> {
        let mut tx = self.shared.store.write.begin_with("BEGIN IMMEDIATE").await.map_err(failed(doing))?;
        let mut done = Vec::with_capacity(ids.len());
        for id in ids {
            let changed = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).bind(id).execute(&mut *tx).await.map_err(failed(doing))?;
            if changed.rows_affected() > 0 {
                done.push(*id);
            }
        }
        let now = totals(&mut tx).await?;
        tx.commit().await.map_err(failed(doing))?;
        self.remember(now);
        Ok(done)
    }
}

/// A letter with all that is kept of it.
async fn whole(connection: &mut SqliteConnection, id: i64, vault: &Vault) -> Result<Option<DeadLetter>, sqlx::Error> {
    let sql = format!("SELECT {}, event, received FROM dead_letters WHERE id = ?", letter::COLUMNS);
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(connection).await?;
    row.as_ref().map(|row| letter::read(row, vault)).transpose()
}

/// What of it may be sealed.
fn parts(letter: &DeadLetter) -> Parts<'_> {
    Parts {
        lane: &letter.lane,
        seq: letter.seq,
        event_id: &letter.event_id,
        reason: &letter.reason,
        event: letter.event.as_deref().unwrap_or_default(),
        received: letter.received.as_deref(),
    }
}

const CLOSING: &str = "closing delivered dead letters";

/// The event of a letter died again: the letter takes it in, with its attempts behind those before. False
/// where the letter is gone. Doing it twice for the same place changes nothing.
pub(super) async fn died_again(connection: &mut SqliteConnection, id: i64, letter: &NewDeadLetter<'_>, vault: &Vault) -> Result<bool, sqlx::Error> {
    let before = whole(connection, id, vault).await?;
    let Some(before) = before.filter(|before| before.lane == *letter.lane && before.event_id == letter.event_id && before.event.is_some()) else {
        return Ok(false);
    };
    if before.state == State::Open && before.replay_seq == Some(letter.seq) {
        return Ok(true);
    }
    // A crash made a lane give up an earlier place once more; the event is on its way from a later one.
    if before.state == State::Replaying && before.replay_seq > Some(letter.seq) {
        return Ok(true);
    }
    let log = serde_json::to_string(&merged(before.attempt_log.clone(), &letter.attempt_log)).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let size = before.size.saturating_sub(before.reason.len() as u64) + letter.reason().len() as u64;
    // Sealed anew as a whole: one key for all of it, and the letter's own place.
    let sealed = vault.seal(&Parts { reason: letter.reason(), ..parts(&before) });
    let sql = "UPDATE dead_letters SET state = 'open', replay_seq = ?, cause = ?, attempts = ?, attempt_log = ?, last_ms = ?, added_ms = ?, connector = ?,
                   size = ?, reason = ?, event = ?, received = ?, key = ? WHERE id = ?";
    sqlx::query(sql)
        .bind(letter.seq.0.cast_signed())
        .bind(letter.cause.name())
        .bind(i64::from(before.attempts.saturating_add(letter.attempts)))
        .bind(log)
        .bind(letter.last_ms)
        .bind(letter.added_ms)
        .bind(letter.connector)
        .bind(size.cast_signed())
        .bind(&*sealed.reason)
        .bind(&*sealed.event)
        .bind(sealed.received.as_deref())
        .bind(sealed.key.map(|key| key.0.to_vec()))
        .bind(id)
        .execute(connection)
        .await?;
    Ok(true)
}

#[cfg(test)]
mod tests;
