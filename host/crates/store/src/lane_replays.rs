//! Lanes that are read again: what was asked for, how far each has come. A row says `running` until its end
//! is on disk, so that a crash in the middle goes on where it was.

use bulkhead_core::{LaneId, Seq};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::error::{StoreError, failed};
use crate::store::Store;

/// Replays that are remembered after their end.
const KEPT: i64 = 1_000;
/// Replays under way at the same time, one for a lane.
pub const MOST_RUNNING: u32 = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayState {
    Running,
    Done,
    Cancelled,
    /// It cannot go on: the reason says what is missing.
    Failed,
}

impl ReplayState {
    const ALL: [Self; 4] = [Self::Running, Self::Done, Self::Cancelled, Self::Failed];

    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// What is asked for: the events accepted from `since` on and before `until`, which lie in these places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLaneReplay {
    pub lane: LaneId,
    /// Whose the instance is; empty: the host's.
    pub owner: String,
    /// Nanoseconds since 1970.
    pub since: u64,
    pub until: u64,
    pub first: Seq,
    pub last: Seq,
    pub begun_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneReplay {
    pub id: i64,
    pub asked: NewLaneReplay,
    /// Everything before it is done.
    pub next: Seq,
    /// Handed to the lane, and found unreadable on the way.
    pub events: u64,
    pub lost: u64,
    pub state: ReplayState,
    pub reason: String,
    pub ended_ms: Option<i64>,
}

/// Why a replay does not begin.
#[derive(Debug, PartialEq, Eq)]
pub enum Busy {
    /// This one of the same lane is under way.
    Lane(i64),
    /// [`MOST_RUNNING`] are.
    All,
}

/// The replays. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LaneReplays {
    store: Store,
}

const COLUMNS: &str =
    "SELECT id, instance, format, owner, since_ns, until_ns, first, last, next, events, lost, state, reason, begun_ms, ended_ms FROM lane_replays";

impl LaneReplays {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Begins one. Cancel safe, like all of these.
    pub async fn begin(&self, new: &NewLaneReplay) -> Result<Result<LaneReplay, Busy>, StoreError> {
        let fail = || failed("beginning a replay");
        let mut tx = self.store.write.begin_with("BEGIN IMMEDIATE").await.map_err(fail())?;
        let running = sqlx::query("SELECT id, instance, format FROM lane_replays WHERE state = 'running'").fetch_all(&mut *tx).await.map_err(fail())?;
        for row in &running {
            let (id, instance, format): (i64, String, String) =
                (row.try_get(0).map_err(fail())?, row.try_get(1).map_err(fail())?, row.try_get(2).map_err(fail())?);
            if LaneId::new(&instance, &format) == new.lane {
                return Ok(Err(Busy::Lane(id)));
            }
        }
        if running.len() >= MOST_RUNNING as usize {
            return Ok(Err(Busy::All));
        }
        let sql = "INSERT INTO lane_replays (instance, format, owner, since_ns, until_ns, first, last, next, begun_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let id = sqlx::query(sql)
            .bind(&*new.lane.instance)
            .bind(&*new.lane.format)
            .bind(&new.owner)
            .bind(new.since.cast_signed())
            .bind(new.until.cast_signed())
            .bind(new.first.0.cast_signed())
            .bind(new.last.0.cast_signed())
            .bind(new.first.0.cast_signed())
            .bind(new.begun_ms)
            .execute(&mut *tx)
            .await
            .map_err(fail())?
            .last_insert_rowid();
        sqlx::query("DELETE FROM lane_replays WHERE state <> 'running' AND id <= ?").bind(id - KEPT).execute(&mut *tx).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(Ok(LaneReplay { id, asked: new.clone(), next: new.first, events: 0, lost: 0, state: ReplayState::Running, reason: String::new(), ended_ms: None }))
    }

    /// Notes how far a running one has come. False where it was cancelled meanwhile.
    pub async fn advance(&self, replay: &LaneReplay) -> Result<bool, StoreError> {
        let sql = "UPDATE lane_replays SET next = ?, events = ?, lost = ? WHERE id = ? AND state = 'running'";
        let query = sqlx::query(sql).bind(replay.next.0.cast_signed()).bind(replay.events.cast_signed()).bind(replay.lost.cast_signed()).bind(replay.id);
        let done = query.execute(&self.store.write).await.map_err(failed("noting how far a replay is"))?;
        Ok(done.rows_affected() > 0)
    }

    /// Ends a running one. False where it has ended, or is not there.
    pub async fn end(&self, id: i64, state: ReplayState, reason: &str, now_ms: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE lane_replays SET state = ?, reason = ?, ended_ms = ? WHERE id = ? AND state = 'running'";
        let query = sqlx::query(sql).bind(state.name()).bind(reason).bind(now_ms).bind(id);
        let done = query.execute(&self.store.write).await.map_err(failed("ending a replay"))?;
        Ok(done.rows_affected() > 0)
    }

    pub async fn get(&self, id: i64) -> Result<Option<LaneReplay>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE id = ?"))).bind(id).fetch_optional(&self.store.read).await;
        row.and_then(|row| row.as_ref().map(read).transpose()).map_err(failed("reading replays"))
    }

    /// Newest first; only running ones where so asked.
    pub async fn list(&self, running: bool, before: Option<i64>, limit: u32) -> Result<Vec<LaneReplay>, StoreError> {
        self.list_of(None, running, before, limit).await
    }

    /// The same, of instances of this owner where one is named.
    pub async fn list_of(&self, owner: Option<&str>, running: bool, before: Option<i64>, limit: u32) -> Result<Vec<LaneReplay>, StoreError> {
        let only = if running { " AND state = 'running'" } else { "" };
        let of = if owner.is_some() { " AND owner = ?" } else { " AND ? IS NULL" };
        let sql = format!("{COLUMNS} WHERE id < ?{of}{only} ORDER BY id DESC LIMIT ?");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(before.unwrap_or(i64::MAX)).bind(owner.map(str::to_owned)).bind(i64::from(limit));
        let rows = query.fetch_all(&self.store.read).await;
        rows.and_then(|rows| rows.iter().map(read).collect()).map_err(failed("reading replays"))
    }
}

fn read(row: &SqliteRow) -> Result<LaneReplay, sqlx::Error> {
    let number = |name: &str| row.try_get::<i64, _>(name).map(i64::cast_unsigned);
    let state: String = row.try_get("state")?;
    Ok(LaneReplay {
        id: row.try_get("id")?,
        asked: NewLaneReplay {
            lane: LaneId::new(row.try_get("instance")?, row.try_get("format")?),
            owner: row.try_get("owner")?,
            since: number("since_ns")?,
            until: number("until_ns")?,
            first: Seq(number("first")?),
            last: Seq(number("last")?),
            begun_ms: row.try_get("begun_ms")?,
        },
        next: Seq(number("next")?),
        events: number("events")?,
        lost: number("lost")?,
        state: ReplayState::ALL
            .into_iter()
            .find(|known| known.name() == state)
            .ok_or_else(|| sqlx::Error::Decode(format!("unknown state of a replay `{state}`").into()))?,
        reason: row.try_get("reason")?,
        ended_ms: row.try_get("ended_ms")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(instance: &str, first: u64, last: u64) -> NewLaneReplay {
        NewLaneReplay { lane: LaneId::new(instance, "cef"), owner: "acme".into(), since: 5, until: 9, first: Seq(first), last: Seq(last), begun_ms: 7 }
    }

    #[tokio::test]
    async fn a_replay_goes_on_where_it_was_and_ends_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        let replays = store.lane_replays();
        let mut one = replays.begin(&new("siem", 3, 90)).await.unwrap().unwrap();
        (one.next, one.events, one.lost) = (Seq(50), 40, 2);
        assert!(replays.advance(&one).await.unwrap());
        store.close().await;
        let replays = Store::open(dir.path()).await.unwrap().lane_replays();
        assert_eq!(replays.list(true, None, 10).await.unwrap(), [one.clone()]);
        let of = async |owner| replays.list_of(Some(owner), false, None, 10).await.unwrap().len();
        assert_eq!((of("acme").await, of("other").await, of("").await), (1, 0, 0));
        assert!(replays.end(one.id, ReplayState::Failed, "gone", 99).await.unwrap());
        assert!(!replays.end(one.id, ReplayState::Cancelled, "", 100).await.unwrap());
        assert!(!replays.advance(&one).await.unwrap());
        let ended = replays.get(one.id).await.unwrap().unwrap();
        assert_eq!((ended.state, ended.reason.as_str(), ended.ended_ms, ended.next), (ReplayState::Failed, "gone", Some(99), Seq(50)));
        assert_eq!(replays.get(77).await.unwrap(), None);
        assert_eq!(replays.list(true, None, 10).await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_lane_has_one_and_all_together_have_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        let replays = Store::open(dir.path()).await.unwrap().lane_replays();
        let first = replays.begin(&new("i0", 1, 2)).await.unwrap().unwrap();
        assert_eq!(replays.begin(&new("i0", 5, 6)).await.unwrap(), Err(Busy::Lane(first.id)));
        for n in 1..MOST_RUNNING {
            replays.begin(&new(&format!("i{n}"), 1, 2)).await.unwrap().unwrap();
        }
        assert_eq!(replays.begin(&new("one-more", 1, 2)).await.unwrap(), Err(Busy::All));
        assert!(replays.end(first.id, ReplayState::Done, "", 1).await.unwrap());
        replays.begin(&new("i0", 5, 6)).await.unwrap().unwrap();
    }
}
