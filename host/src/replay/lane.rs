//! A lane reads again what was accepted in a time: the events that today's rules select for it go into the
//! journal once more, bound to it, behind what it has to do now.
//!
//! Promises: ids are kept; what comes in meanwhile is not overtaken by more than one page; a lane with
//! enough before it is waited for, so that a replay of any length holds little of the journal; a crash or a
//! stop goes on at the last page; events that are gone or unreadable are said, never passed over. Producers
//! have precedence: where the journal is full, kept events make room and the replay that needed them ends
//! with what is missing. Earlier replays within the time are no acceptances and are not read again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulkhead_core::{Clock, EventBuilder, EventRef, LaneId, Seq};
use bulkhead_deliver::{Delivery, RoutingTable};
use bulkhead_journal::{AppendBatch, AppendError, Durability, Frame, Hold, Journal, ReadError, Reader};
use bulkhead_observe::Metrics;
use bulkhead_store::{Busy, LaneReplay, LaneReplays, NewLaneReplay, ReplayState, StoreError};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{AGAIN, AHEAD};
use crate::trail::Trail;

/// Events, and bytes of them, in one append.
const PAGE: usize = 500;
const PAGE_BYTES: usize = 4 << 20;
/// Events looked at for one page, whether the lane wants them or not.
const LOOKED: usize = 20_000;
/// What the lane's name adds to an event, at most: names are bounded.
const OVERHEAD: usize = 256;
/// Between two looks at a lane that has enough to do.
const PATIENCE: Duration = Duration::from_millis(200);
/// Longest that counting without handing over may take.
const COUNTING: Duration = Duration::from_secs(20);

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// With the oldest event that there is.
    Beginning,
    /// Nanoseconds since 1970.
    Time(u64),
}

/// Why a replay does not begin.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("there is no lane `{0}`")]
    UnknownLane(LaneId),
    #[error("`{name}` lies in the future")]
    Future { name: &'static str },
    #[error("`until` is not after `since`")]
    Empty,
    /// Events of that time were deleted. What is there begins at this time of acceptance.
    #[error("the journal does not reach back that far")]
    Gone { oldest: u64 },
    #[error("replay {0} of this lane is under way; wait for it or cancel it")]
    Lane(i64),
    #[error("too many replays are under way (at most {most})", most = bulkhead_store::MOST_RUNNING)]
    Busy,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("reading the journal broke off")]
    Broken,
}

/// What a replay would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub events: u64,
    pub bytes: u64,
    /// Unreadable on the way.
    pub lost: u64,
    /// False where counting was cut short: then up to this time of acceptance.
    pub whole: bool,
    pub until: u64,
}

/// All replays of lanes.
pub struct Lanes {
    pub replays: LaneReplays,
    pub journal: Journal,
    pub routing: Arc<RoutingTable>,
    pub delivery: Arc<Delivery>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Metrics,
    pub trail: Trail,
    stop: CancellationToken,
    tasks: TaskTracker,
    running: Mutex<HashMap<i64, CancellationToken>>,
}

/// The parts that the host gives.
pub struct Parts {
    pub replays: LaneReplays,
    pub journal: Journal,
    pub routing: Arc<RoutingTable>,
    pub delivery: Arc<Delivery>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Metrics,
    pub trail: Trail,
}

/// What running replays still need: taken before lanes run, so that nothing of it is deleted meanwhile.
pub type Holds = Vec<(LaneReplay, Hold)>;

/// Reads what was under way when the host ended.
pub async fn recover(replays: &LaneReplays, journal: &Journal) -> Result<Holds, StoreError> {
    let running = replays.list(true, None, bulkhead_store::MOST_RUNNING).await?;
    Ok(running.into_iter().map(|replay| (replay.clone(), journal.hold(before(replay.next)))).collect())
}

fn before(seq: Seq) -> Seq {
    Seq(seq.0.saturating_sub(1))
}

/// How one page ended.
enum Page {
    More,
    Done,
    Failed(String),
    /// The journal is closing.
    Closed,
}

impl Lanes {
    /// Goes on with what was under way.
    pub fn start(parts: Parts, recovered: Holds) -> Arc<Self> {
        let Parts { replays, journal, routing, delivery, clock, metrics, trail } = parts;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let this = Arc::new(Self { replays, journal, routing, delivery, clock, metrics, trail, stop, tasks, running: Mutex::default() });
        for (replay, hold) in recovered {
            tracing::info!(replay = replay.id, lane = %replay.asked.lane, next = replay.next.0, "a lane's replay goes on");
            this.spawn(replay, hold);
        }
        this
    }

    /// Lets pages under way end; what is left goes on at the next start.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The time of acceptance of the oldest event that is there.
    pub async fn oldest(&self) -> Option<u64> {
        let journal = self.journal.clone();
        tokio::task::spawn_blocking(move || journal.oldest_time()).await.ok().flatten()
    }

    /// Begins a replay; its answer is on disk.
    pub async fn begin(self: &Arc<Self>, lane: LaneId, since: Since, until: Option<u64>) -> Result<LaneReplay, Refused> {
        let (asked, hold) = self.find(lane, since, until).await?;
        let replay = match self.replays.begin(&asked).await? {
            Ok(replay) => replay,
            Err(Busy::Lane(id)) => return Err(Refused::Lane(id)),
            Err(Busy::All) => return Err(Refused::Busy),
        };
        let about = json!({"by": "manual", "lane": asked.lane.to_string(), "replay": replay.id, "first": asked.first.0, "last": asked.last.0});
        self.trail.act("lane.replay", about).await;
        self.spawn(replay.clone(), hold);
        Ok(replay)
    }

    /// Counts what a replay would hand over.
    pub async fn count(self: &Arc<Self>, lane: LaneId, since: Since, until: Option<u64>) -> Result<(NewLaneReplay, Counted), Refused> {
        let (asked, hold) = self.find(lane, since, until).await?;
        let mut source = Source::new(&self.journal, asked.first, asked.last);
        let mut counted = Counted { events: 0, bytes: 0, lost: 0, whole: true, until: asked.until };
        let end = self.clock.monotonic() + COUNTING;
        loop {
            let (events, bytes) = (&mut counted.events, &mut counted.bytes);
            let page = source.page(&self.routing, &asked.lane, |event, stored| {
                (*events, *bytes) = (*events + 1, *bytes + stored.len() as u64);
                (stored.len(), event.received())
            });
            match page.await {
                Ok(None) => break,
                Ok(Some(_)) if self.clock.monotonic() > end => {
                    (counted.whole, counted.until) = (false, source.last_time);
                    break;
                }
                Ok(Some(_)) => {}
                Err(Stuck::NoLane) => return Err(Refused::UnknownLane(asked.lane)),
                // It was there a moment ago.
                Err(Stuck::Gone { .. }) => return Err(Refused::Gone { oldest: self.oldest().await.unwrap_or_default() }),
                Err(Stuck::Closed | Stuck::Io(_)) => return Err(Refused::Broken),
            }
        }
        counted.lost = source.lost;
        drop(hold);
        Ok((asked, counted))
    }

    /// True where it was under way.
    pub async fn cancel(&self, id: i64) -> Result<bool, StoreError> {
        let ended = self.replays.end(id, ReplayState::Cancelled, "", self.clock.unix_ms()).await?;
        if ended {
            if let Some(cancel) = self.running().get(&id) {
                cancel.cancel();
            }
            self.trail.act("lane.replay_cancelled", json!({"replay": id})).await;
        }
        Ok(ended)
    }

    /// The places that the times stand for, kept from deletion.
    async fn find(&self, lane: LaneId, since: Since, until: Option<u64>) -> Result<(NewLaneReplay, Hold), Refused> {
        let Some(owner) = self.delivery.owned_lanes().remove(&lane) else { return Err(Refused::UnknownLane(lane)) };
        let now = self.clock.unix_nanos();
        let until = match until {
            Some(until) if until > now => return Err(Refused::Future { name: "until" }),
            until => until,
        };
        if let Since::Time(since) = since {
            if since > now {
                return Err(Refused::Future { name: "since" });
            }
            if until.is_some_and(|until| until <= since) {
                return Err(Refused::Empty);
            }
        }
        let journal = self.journal.clone();
        let found = tokio::task::spawn_blocking(move || {
            // Everything first, so that what is found stays.
            let mut hold = journal.hold(Seq(0));
            let (oldest, oldest_time, head) = (journal.stats().oldest, journal.oldest_time(), journal.head());
            let first = match since {
                Since::Beginning => oldest,
                Since::Time(time) => {
                    // Before the first event of all nothing is missing.
                    if let Some(reaches) = oldest_time.filter(|reaches| oldest.0 > 1 && time < *reaches) {
                        return Err(Refused::Gone { oldest: reaches });
                    }
                    journal.seq_at(time)
                }
            };
            let last = until.map_or(head, |until| before(journal.seq_at(until)).min(head));
            hold.advance(before(first));
            Ok((first, last, oldest_time.unwrap_or(now), hold))
        });
        let (first, last, oldest_time, hold) = found.await.map_err(|_| Refused::Broken)??;
        let since = if let Since::Time(time) = since { time } else { oldest_time };
        let begun_ms = self.clock.unix_ms();
        Ok((NewLaneReplay { lane, owner: owner.to_string(), since, until: until.unwrap_or(now), first, last, begun_ms }, hold))
    }

    fn spawn(self: &Arc<Self>, replay: LaneReplay, hold: Hold) {
        let cancel = self.stop.child_token();
        self.running().insert(replay.id, cancel.clone());
        let this = Arc::clone(self);
        self.tasks.spawn(async move {
            let id = replay.id;
            this.run(replay, hold, &cancel).await;
            this.running().remove(&id);
        });
    }

    async fn run(&self, mut replay: LaneReplay, mut hold: Hold, cancel: &CancellationToken) {
        let name = replay.asked.lane.to_string();
        let mut source = Source::new(&self.journal, replay.next, replay.asked.last);
        source.lost = replay.lost;
        let end = loop {
            if !self.wait_for(&name, cancel).await {
                // Cancelled by a person it has ended already; by a stop it goes on at the next start.
                return;
            }
            match self.page(&mut replay, &mut source, cancel).await {
                Page::More => hold.advance(before(replay.next)),
                Page::Done => break (ReplayState::Done, String::new()),
                Page::Failed(reason) => break (ReplayState::Failed, reason),
                Page::Closed => return,
            }
        };
        let (state, reason) = end;
        while let Err(error) = self.replays.end(replay.id, state, &reason, self.clock.unix_ms()).await {
            tracing::error!(replay = replay.id, error = &error as &dyn std::error::Error, "the end of a replay is not noted, trying again");
            if !pause(AGAIN, cancel).await {
                return;
            }
        }
        if state == ReplayState::Failed {
            tracing::error!(replay = replay.id, lane = name, events = replay.events, reason, "a lane's replay ended early");
        } else {
            tracing::info!(replay = replay.id, lane = name, events = replay.events, lost = replay.lost, "a lane's replay is done");
        }
        self.trail.act("lane.replay_ended", json!({"replay": replay.id, "state": state.name(), "events": replay.events, "lost": replay.lost})).await;
    }

    /// Until the lane has time for more; false where the wait was ended.
    async fn wait_for(&self, lane: &str, cancel: &CancellationToken) -> bool {
        while self.journal.lane_backlog(lane).is_some_and(|backlog| backlog > AHEAD) {
            if !pause(PATIENCE, cancel).await {
                return false;
            }
        }
        !cancel.is_cancelled()
    }

    async fn page(&self, replay: &mut LaneReplay, source: &mut Source, cancel: &CancellationToken) -> Page {
        let lane = replay.asked.lane.clone();
        let (mut batch, mut builder, mut unreadable) = (AppendBatch::new(), EventBuilder::new(), 0);
        let now = self.clock.unix_nanos();
        let page = source.page(&self.routing, &lane, |event, _| {
            builder.start_from(event);
            builder.bind(&lane, None);
            let before = batch.buffer().len();
            let written = builder.finish(event.shape(), event.severity(), now, event.original(), batch.buffer()).is_ok();
            if !written || batch.push_event().is_err() {
                batch.discard();
                unreadable += 1;
            }
            (batch.buffer().len() - before, 0)
        });
        let next = match page.await {
            Ok(None) => return Page::Done,
            Ok(Some(next)) => next,
            Err(Stuck::NoLane) => return Page::Failed("the lane is not configured any more".into()),
            Err(Stuck::Closed) => return Page::Closed,
            Err(Stuck::Gone { first, last }) => {
                return Page::Failed(format!(
                    "events {first} to {last} made room for new ones (journal.max_bytes) before they were read; everything before {first} was handed over"
                ));
            }
            Err(Stuck::Io(error)) => {
                tracing::error!(replay = replay.id, error = &error as &dyn std::error::Error, "journal not readable, trying again");
                return if pause(AGAIN, cancel).await { Page::More } else { Page::Closed };
            }
        };
        let mut events = batch.len() as u64;
        if events > 0 {
            match self.append(batch, replay.id, cancel).await {
                Ok(()) => {}
                // One event that fills a segment, and the lane's name beside it.
                Err(AppendError::TooLarge { .. }) => (events, unreadable) = (0, unreadable + events),
                Err(AppendError::Closed | AppendError::Full { .. } | AppendError::DiskFull { .. }) => return Page::Closed,
                Err(error) => return Page::Failed(error.to_string()),
            }
        }
        self.metrics.replayed(&lane.instance, &lane.format, "lane").inc_by(events);
        (replay.next, replay.events, replay.lost) = (next, replay.events + events, source.lost + unreadable);
        source.lost = replay.lost;
        loop {
            match self.replays.advance(replay).await {
                Ok(true) => return Page::More,
                Ok(false) => return Page::Closed,
                Err(error) => tracing::error!(replay = replay.id, error = &error as &dyn std::error::Error, "a replay's progress is not noted, trying again"),
            }
            if !pause(AGAIN, cancel).await {
                return Page::Closed;
            }
        }
    }

    /// Until the journal takes it.
    async fn append(&self, batch: AppendBatch, id: i64, cancel: &CancellationToken) -> Result<(), AppendError> {
        let wait = |error: AppendError| async move {
            tracing::warn!(replay = id, error = &error as &dyn std::error::Error, "a lane's replay waits for the journal");
            pause(AGAIN, cancel).await
        };
        self.journal.append_patiently(batch, Durability::Fsync, wait).await.map(drop)
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<i64, CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// False where it was ended.
async fn pause(time: Duration, cancel: &CancellationToken) -> bool {
    tokio::select! {
        () = cancel.cancelled() => false,
        () = tokio::time::sleep(time) => true,
    }
}

/// Why reading does not go on.
enum Stuck {
    NoLane,
    Closed,
    Gone { first: Seq, last: Seq },
    Io(ReadError),
}

/// The events of a range, page by page.
struct Source {
    reader: Reader,
    /// Bytes of a page.
    room: usize,
    next: u64,
    last: u64,
    /// A frame that did not fit into the page.
    current: Option<Arc<Frame>>,
    /// Deleted events that come next: told once the page before them is.
    gone: Option<(Seq, Seq)>,
    lost: u64,
    last_time: u64,
}

impl Source {
    fn new(journal: &Journal, first: Seq, last: Seq) -> Self {
        // A page is one append.
        let room = journal.largest_append(PAGE).min(PAGE_BYTES);
        Self { room, reader: journal.reader(before(first)), next: first.0, last: last.0, current: None, gone: None, lost: 0, last_time: 0 }
    }

    /// Gives the lane's next events to `take`, which answers how many bytes each makes and its time. Answers
    /// the place behind what was looked at; nothing where all was. After an error it can be asked again.
    async fn page(&mut self, routing: &RoutingTable, lane: &LaneId, mut take: impl FnMut(&EventRef<'_>, &[u8]) -> (usize, u64)) -> Result<Option<Seq>, Stuck> {
        if let Some((first, last)) = self.gone {
            return Err(Stuck::Gone { first, last });
        }
        if self.next > self.last {
            return Ok(None);
        }
        let mut chooser = routing.chooser(lane).ok_or(Stuck::NoLane)?;
        let (mut events, mut bytes, mut looked) = (0, 0, 0);
        while self.next <= self.last && events < PAGE && bytes < self.room && looked < LOOKED {
            let frame = match self.current.take() {
                Some(frame) => frame,
                None => match self.reader.next().await {
                    Ok(frame) => frame,
                    Err(ReadError::Lost { first, last, .. }) => {
                        let last = last.0.min(self.last);
                        self.lost += last.saturating_sub(first.0.max(self.next)) + 1;
                        self.next = last + 1;
                        continue;
                    }
                    Err(ReadError::Gone { first, last }) if events > 0 => {
                        self.gone = Some((first, last));
                        break;
                    }
                    Err(ReadError::Gone { first, last }) => return Err(Stuck::Gone { first, last }),
                    Err(ReadError::Closed) => return Err(Stuck::Closed),
                    // Asked again it reads again.
                    Err(_) if events > 0 => break,
                    Err(error) => return Err(Stuck::Io(error)),
                },
            };
            let mut index = usize::try_from(self.next.saturating_sub(frame.first().0)).unwrap_or(usize::MAX);
            while index < frame.len() && frame.seq(index).0 <= self.last && events < PAGE && looked < LOOKED {
                let event = frame.event(index);
                if chooser.wants(&event) {
                    if events > 0 && bytes + frame.stored(index).len() + OVERHEAD > self.room {
                        bytes = self.room;
                        break;
                    }
                    let (size, time) = take(&event, frame.stored(index));
                    (events, bytes, self.last_time) = (events + 1, bytes + size, time);
                }
                index += 1;
                looked += 1;
            }
            self.next = frame.first().0 + index as u64;
            if index < frame.len() {
                self.current = Some(frame);
            }
        }
        Ok(Some(Seq(self.next)))
    }
}
