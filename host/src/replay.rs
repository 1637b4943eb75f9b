//! Dead letters back to their lanes. A replayed event goes into the journal once more, bound to the one
//! lane that gave it up: from there it is an accepted event like any other. It keeps its id and all
//! attributes; its time of receipt is that of the replay.
//!
//! Promises: a letter is marked before its event is appended and stays in sight until its lane is done with
//! it; an event that dies again goes on under its letter's number; two replays never take the same letter;
//! a crash at any step leaves a letter open or on its way, never neither. Refuses to hand letters back by
//! itself more often than the operator said, and into a lane that has enough to do.

pub mod edit;
pub mod lane;
mod patch;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulkhead_core::{Clock, EventBuilder, EventRef, LaneId, Seq};
use bulkhead_deliver::{Delivery, LaneStatus, Notice};
use bulkhead_journal::{AppendBatch, AppendError, Durability, Journal};
use bulkhead_observe::Metrics;
use bulkhead_store::{By, Cause, DeadLetter, DeadLetterFilter, DeadLetters, State, StoreError};
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::trail::Trail;

/// Letters, and about how many bytes of them, in one append.
const PAGE: u32 = 500;
const PAGE_BYTES: u64 = 4 << 20;
/// Letters that one request hands back.
pub const MOST: u64 = 10_000;
/// A lane with more events before it is not given more by itself.
const AHEAD: u64 = 10_000;
/// Between two looks at letters on their way.
const LOOK: Duration = Duration::from_millis(250);
/// Between two attempts to write what the store must know.
const AGAIN: Duration = Duration::from_secs(1);
/// Ranges of lost events that are remembered until the next look.
const LOST: usize = 1_000;

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Journal(#[from] AppendError),
}

/// The `dead_letters.retry` part of the configuration.
#[derive(Debug, Clone)]
pub struct LetterRetry {
    /// From a letter's last death to its next try.
    pub interval: Duration,
    pub causes: Vec<Cause>,
    /// How often one letter is handed back.
    pub most: u32,
}

/// What a replay did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    pub events: u64,
    /// Letters of lanes that the configuration does not have any more; they stay.
    pub without_lane: u64,
    /// Letters whose event cannot be read, or is larger than the journal takes; they stay.
    pub unreadable: u64,
    /// It ended at [`MOST`]; the rest is for the next one, behind `last`.
    pub more: bool,
    /// The last letter that was looked at.
    pub last: Option<i64>,
}

/// Lanes, each with whose its instance is; empty: the host's.
pub type Owned = HashMap<LaneId, Arc<str>>;

pub struct Replayer {
    pub letters: DeadLetters,
    pub journal: Journal,
    pub clock: Arc<dyn Clock>,
    pub metrics: Metrics,
    pub trail: Trail,
    /// Held from mark to place, and while places are judged.
    one: tokio::sync::Mutex<()>,
    marked: Notify,
    /// Events that lanes settled because the journal could not give them.
    lost: Mutex<Vec<(LaneId, Seq, Seq)>>,
}

impl Replayer {
    pub fn new(letters: DeadLetters, journal: Journal, clock: Arc<dyn Clock>, metrics: Metrics, trail: Trail) -> Arc<Self> {
        Arc::new(Self { letters, journal, clock, metrics, trail, one: tokio::sync::Mutex::new(()), marked: Notify::new(), lost: Mutex::default() })
    }

    /// Hands open letters to their lanes, at most [`MOST`]. Runs to its end even where the caller goes away.
    pub async fn replay(self: &Arc<Self>, lanes: Owned, filter: DeadLetterFilter, by: By, after: Option<i64>) -> Result<Replayed, ReplayError> {
        let this = Arc::clone(self);
        let work = tokio::spawn(async move { this.pages(&lanes, filter, by, after).await });
        work.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    async fn pages(&self, lanes: &Owned, filter: DeadLetterFilter, by: By, mut after: Option<i64>) -> Result<Replayed, ReplayError> {
        let filter = DeadLetterFilter { states: vec![State::Open], ..filter };
        let mut done = Replayed::default();
        let result = loop {
            match self.page(lanes, &filter, by, &mut after, &mut done).await {
                Ok(true) if done.events >= MOST => {
                    (done.more, done.last) = (true, after);
                    break Ok(done);
                }
                Ok(true) => {}
                Ok(false) => break Ok(done),
                Err(error) => break Err(error),
            }
        };
        if done.events > 0 {
            // Also what went before a failure.
            self.trail.act("dead_letters.replay", json!({"by": by.name(), "events": done.events})).await;
            self.marked.notify_one();
        }
        result
    }

    /// One append. False where there is nothing behind it.
    async fn page(&self, lanes: &Owned, filter: &DeadLetterFilter, by: By, after: &mut Option<i64>, done: &mut Replayed) -> Result<bool, ReplayError> {
        let _one = self.one.lock().await;
        let before = (*after, *done);
        let mut page = self.letters.list(filter, *after, PAGE).await?;
        let (mut bytes, room) = (0, PAGE_BYTES.min(self.journal.largest_append(PAGE as usize) as u64));
        let fits = page.iter().take_while(|letter| {
            bytes += letter.size;
            bytes <= room
        });
        page.truncate(fits.count().max(1));
        let Some(last) = page.last() else { return Ok(false) };
        *after = Some(last.id);
        let mut batch = AppendBatch::new();
        let mut taken: Vec<(i64, LaneId)> = Vec::new();
        for letter in page {
            // An instance of the same name may be somebody else's by now. What was the operator's goes where the operator says.
            let same = lanes.get(&letter.lane).is_some_and(|owner| letter.owner() == &**owner || (by == By::Manual && letter.owner().is_empty()));
            if !same {
                done.without_lane += 1;
                continue;
            }
            let Some(whole) = self.letters.get(letter.id).await? else { continue };
            if write(&whole, self.clock.unix_nanos(), &mut batch) {
                taken.push((letter.id, letter.lane));
            } else {
                done.unreadable += 1;
            }
        }
        let ids: Vec<i64> = taken.iter().map(|(id, _)| *id).collect();
        if ids.is_empty() {
            return Ok(true);
        }
        if self.letters.mark(&ids, by).await?.len() < ids.len() {
            // Some were purged or taken since they were listed: what is left is listed anew.
            self.unmark(&ids, by).await;
            (*after, *done) = before;
            return Ok(true);
        }
        let appended = match self.journal.append(batch, Durability::Fsync).await {
            Ok(appended) => appended,
            Err(error) => {
                self.unmark(&ids, by).await;
                if matches!(error, AppendError::TooLarge { .. }) && ids.len() == 1 {
                    done.unreadable += 1;
                    return Ok(true);
                }
                return Err(error.into());
            }
        };
        let places: Vec<(i64, Seq)> = ids.iter().zip(appended.first.0..).map(|(id, seq)| (*id, Seq(seq))).collect();
        self.place(&places).await;
        done.events += ids.len() as u64;
        for (_, lane) in &taken {
            self.metrics.replayed(&lane.instance, &lane.format, by.name()).inc();
        }
        Ok(true)
    }

    /// Until the store has it: what it says must match what is in the journal.
    async fn place(&self, places: &[(i64, Seq)]) {
        while let Err(error) = self.letters.placed(places).await {
            not_noted(&error).await;
        }
    }

    async fn unmark(&self, ids: &[i64], by: By) {
        while let Err(error) = self.letters.unmark(ids, by).await {
            not_noted(&error).await;
        }
    }

    /// Before lanes run: what a crash left half done.
    pub async fn recover(&self) -> Result<(), StoreError> {
        let reopened = self.letters.reopen_unplaced().await?;
        if reopened > 0 {
            tracing::warn!(reopened, "dead letters whose replay was cut off are open again");
        }
        self.judge(true).await.map(drop)
    }

    /// Closes letters whose lanes are done with them. Answers how many are still on their way.
    pub async fn look(&self) -> Result<u64, StoreError> {
        self.judge(false).await
    }

    /// After a crash it is not known which events lanes settled because they could not be read: a letter whose
    /// event cannot be read now counts as not delivered.
    async fn judge(&self, after_a_crash: bool) -> Result<u64, StoreError> {
        let _one = self.one.lock().await;
        let known = self.lost.lock().unwrap_or_else(PoisonError::into_inner).len();
        let (mut waiting, mut after) = (0, 0);
        loop {
            let page = self.letters.replaying(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            let (mut delivered, mut open) = (Vec::new(), Vec::new());
            for letter in &page {
                match self.journal.lane_settled(&letter.lane.to_string(), letter.seq) {
                    // Said before they were settled: looked for after.
                    Some(true) if self.was_lost(&letter.lane, letter.seq) => open.push(letter.id),
                    Some(true) if after_a_crash && !self.can_be_read(letter.seq).await => open.push(letter.id),
                    Some(true) => delivered.push(letter.id),
                    Some(false) if letter.seq <= self.journal.head() => waiting += 1,
                    // The lane was given up, or the journal is another one.
                    Some(false) | None => open.push(letter.id),
                }
            }
            if !delivered.is_empty() {
                self.letters.close_delivered(&delivered).await?;
            }
            if !open.is_empty() {
                tracing::warn!(letters = open.len(), "replayed dead letters were not delivered: they are open again");
                self.letters.reopen(&open).await?;
            }
        }
        if waiting == 0 {
            // No letter is on its way: what was lost before this look concerns none.
            self.lost.lock().unwrap_or_else(PoisonError::into_inner).drain(..known);
        }
        self.metrics.dead_letters.set(self.letters.totals().letters.cast_signed());
        Ok(waiting)
    }

    /// What delivery tells, on its tasks.
    pub fn heard(&self, notice: &Notice) {
        match notice {
            Notice::Lost { lane, first, last } => self.lost(lane, *first, *last),
            Notice::DeadLettersDropped { by, count, own: _ } => {
                self.metrics.letters_dropped(by).inc_by(*count);
                self.trail.act_soon("dead_letters.drop", json!({"by": by, "letters": count}));
            }
            _ => {}
        }
    }

    /// A lane settles these because they cannot be read.
    fn lost(&self, lane: &LaneId, first: u64, last: u64) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.len() < LOST {
            lost.push((lane.clone(), Seq(first), Seq(last)));
        }
    }

    fn was_lost(&self, lane: &LaneId, seq: Seq) -> bool {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        // Where too many were lost to be remembered nobody can say.
        lost.len() == LOST || lost.iter().any(|(of, first, last)| of == lane && (*first..=*last).contains(&seq))
    }

    async fn can_be_read(&self, seq: Seq) -> bool {
        if seq > self.journal.head() {
            return false;
        }
        let frame = self.journal.reader(Seq(seq.0.saturating_sub(1))).next().await;
        frame.is_ok_and(|frame| frame.events().any(|(place, _)| place == seq))
    }

    /// Closes what was delivered and hands back what is due, until cancelled.
    pub async fn keep(self: Arc<Self>, delivery: Arc<Delivery>, retry: Option<LetterRetry>, stop: CancellationToken) {
        let pace = retry.as_ref().map(|retry| (retry.interval / 10).clamp(AGAIN, Duration::from_secs(60)));
        let mut next_retry = self.clock.monotonic();
        let mut waiting = 1;
        loop {
            let until_retry = pace.map(|_| next_retry.saturating_sub(self.clock.monotonic()));
            let rest = if waiting > 0 { Some(until_retry.unwrap_or(LOOK).min(LOOK)) } else { until_retry };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.marked.notified() => {}
                () = async { match rest { Some(rest) => tokio::time::sleep(rest).await, None => std::future::pending().await } } => {}
            }
            let now = self.clock.monotonic();
            if let (Some(retry), Some(pace)) = (&retry, pace)
                && now >= next_retry
            {
                next_retry = now + pace;
                if let Err(error) = self.retry(retry, &delivery).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "dead letters not handed back (dead_letters.retry), trying again");
                }
            }
            match self.look().await {
                Ok(left) => waiting = left,
                Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "replayed dead letters not looked at, trying again"),
            }
        }
    }

    /// One page for each lane that has time for it.
    async fn retry(self: &Arc<Self>, retry: &LetterRetry, delivery: &Delivery) -> Result<(), ReplayError> {
        let now_ms = self.clock.unix_ms();
        let until_ms = now_ms.saturating_sub(i64::try_from(retry.interval.as_millis()).unwrap_or(i64::MAX));
        let due = DeadLetterFilter {
            causes: retry.causes.clone(),
            states: vec![State::Open],
            until_ms: Some(until_ms),
            retries_below: Some(retry.most),
            ..DeadLetterFilter::default()
        };
        let wanted = self.letters.lanes(&due).await?;
        if wanted.is_empty() {
            return Ok(());
        }
        let free: BTreeMap<LaneId, LaneStatus> = delivery.status().into_iter().filter(has_time).map(|lane| (lane.lane.clone(), lane)).collect();
        for lane in wanted.into_iter().filter(|lane| free.contains_key(lane)) {
            let filter = DeadLetterFilter { instance: Some(lane.instance.to_string()), format: Some(lane.format.to_string()), ..due.clone() };
            let mut done = Replayed::default();
            let owner = delivery.owned_lanes().remove(&lane).unwrap_or_default();
            let lanes = Owned::from([(lane, owner)]);
            let this = Arc::clone(self);
            let work = tokio::spawn(async move { this.page(&lanes, &filter, By::Automatic, &mut None, &mut done).await.map(|_| done) });
            let done = work.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
            if done.events > 0 {
                tracing::info!(events = done.events, "dead letters handed back (dead_letters.retry)");
                self.trail.act("dead_letters.replay", json!({"by": By::Automatic.name(), "events": done.events})).await;
            }
        }
        Ok(())
    }
}

async fn not_noted(error: &StoreError) {
    tracing::error!(error = error as &dyn std::error::Error, "replayed dead letters are not noted, trying again");
    tokio::time::sleep(AGAIN).await;
}

/// A lane that delivers and has not too much before it.
fn has_time(lane: &LaneStatus) -> bool {
    lane.held.is_none() && !lane.dead_letters_full && lane.breaker.name() == "closed" && lane.backlog <= AHEAD
}

fn write(letter: &DeadLetter, now: u64, batch: &mut AppendBatch) -> bool {
    let Some(event) = letter.event.as_deref().and_then(|stored| EventRef::new(stored).ok()) else { return false };
    let mut builder = EventBuilder::new();
    builder.start_from(&event);
    builder.bind(&letter.lane, Some(letter.id));
    let written = builder.finish(event.shape(), event.severity(), now, event.original(), batch.buffer());
    written.is_ok() && batch.push_event().is_ok()
}
