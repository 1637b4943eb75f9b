//! The index of events: a reader of the journal, beside the lanes, that writes accepted events as guests see them into
//! the control store, for people to look things up.
//!
//! It holds nothing up. It keeps no segment of the journal: where that moved on past it, what it missed is counted and
//! said. Where the store takes nothing it waits, and falls behind. Its position is written with the events, so that a
//! crash repeats what was not written and loses nothing; an event that comes twice replaces itself.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulkhead_core::{Attr, Clock, EventRef, LaneId, Seq, Severity};
use bulkhead_deliver::{Look, RoutingTable};
use bulkhead_journal::{Frame, Journal, ReadError};
use bulkhead_store::{EventIndex, IndexPosition, IndexedEvent, OF_HOST, StoreError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Guise, shown};

/// Events of one transaction.
const BATCH: usize = 500;
/// Bytes of their texts.
const BATCH_BYTES: usize = 4 << 20;
/// Bytes of one id, source or type; a longer one is cut, and the event found by what is left.
const MOST_KEY: usize = 1 << 10;
/// Longest time that an event waits for others to be written with it.
const LINGER: Duration = Duration::from_millis(200);
/// Between two attempts while the store or the disk takes nothing.
const AGAIN: Duration = Duration::from_secs(2);
/// Between two looks at what is too old or too much.
const SHRINK: Duration = Duration::from_secs(10);
/// Names this host's journal where hosts share a database.
const NAME: &str = "event-index.id";

/// The `event_index:` part of the configuration, where it is enabled.
#[derive(Debug, Clone, Copy)]
pub struct IndexSettings {
    pub retention: Duration,
    pub max_events: u64,
    /// Whether bodies are kept too.
    pub body: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot read or write {}, which names the journal in the event index (event_index)", path.display())]
pub struct NameError {
    path: PathBuf,
    source: io::Error,
}

/// What the API and health look at.
pub struct Index {
    pub table: EventIndex,
    pub settings: IndexSettings,
    journal: Journal,
    name: Arc<str>,
    progress: Progress,
}

#[derive(Default)]
struct Progress {
    position: AtomicU64,
    missed: AtomicU64,
    events: AtomicU64,
    /// The store did not take the last batch.
    stuck: AtomicBool,
    error: Mutex<Option<String>>,
}

/// How the index is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexStatus {
    /// Accepted events that it has not looked at.
    pub behind: u64,
    /// Events that the journal did not have any more when it came to them.
    pub missed: u64,
    pub events: u64,
    /// Why it does not get on.
    pub error: Option<String>,
}

/// What it is made of.
pub struct Parts {
    pub table: EventIndex,
    pub settings: IndexSettings,
    pub journal: Journal,
    pub routing: Arc<RoutingTable>,
    pub guise: Guise,
    pub clock: Arc<dyn Clock>,
}

/// The reader that fills it.
pub struct Indexer {
    index: Arc<Index>,
    routing: Arc<RoutingTable>,
    guise: Guise,
    clock: Arc<dyn Clock>,
    /// Where the journal ended when the host started.
    begin: u64,
}

impl Index {
    /// Blocks for a moment.
    pub fn open(parts: Parts, data_dir: &Path) -> Result<(Arc<Self>, Indexer), NameError> {
        let path = data_dir.join(NAME);
        let name = name(&path).map_err(|source| NameError { path, source })?;
        let Parts { table, settings, journal, routing, guise, clock } = parts;
        let begin = journal.head().0;
        let index = Arc::new(Self { table, settings, journal, name: name.into(), progress: Progress::default() });
        Ok((Arc::clone(&index), Indexer { index, routing, guise, clock, begin }))
    }

    pub fn status(&self) -> IndexStatus {
        let progress = &self.progress;
        IndexStatus {
            behind: self.journal.head().0.saturating_sub(progress.position.load(Ordering::Relaxed)),
            missed: progress.missed.load(Ordering::Relaxed),
            events: progress.events.load(Ordering::Relaxed),
            error: progress.error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Whether an event lies in this host's journal, so that its lanes are known.
    pub fn is_own(&self, event: &IndexedEvent) -> bool {
        *event.journal == *self.name
    }
}

impl Indexer {
    /// Reads until cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let from = loop {
            match self.index.table.position(&self.index.name).await {
                Ok(Some(position)) => break position,
                Ok(None) => {
                    // What was there before the index was switched on stays out of it.
                    let first = IndexPosition { position: number(self.begin), missed: 0 };
                    match self.index.table.put(&self.index.name, &[], first).await {
                        Ok(()) => break first,
                        Err(error) => self.trouble(&error),
                    }
                }
                Err(error) => self.trouble(&error),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
        };
        let head = self.index.journal.head().0;
        // A journal that was begun anew has fewer events than the index has seen.
        let position = if from.position.cast_unsigned() > head { 0 } else { from.position.cast_unsigned() };
        self.index.progress.position.store(position, Ordering::Relaxed);
        self.index.progress.missed.store(from.missed.cast_unsigned(), Ordering::Relaxed);
        let filling = self.fill(position, from.missed, &stop);
        self.goes_on();
        tokio::select! {
            () = filling => {}
            () = self.shrink(&stop) => {}
        }
    }

    async fn fill(&self, position: u64, missed: i64, stop: &CancellationToken) {
        let mut reader = self.index.journal.reader(Seq(position));
        let mut look = self.routing.look();
        let mut batch = Batch { events: Vec::new(), bytes: 0, to: IndexPosition { position: number(position), missed }, due: None };
        loop {
            let due = batch.due;
            let read = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = tokio::time::sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => None,
                read = reader.next() => Some(read),
            };
            match read {
                None => {
                    if !self.write(&mut batch, stop).await {
                        return;
                    }
                }
                Some(Ok(frame)) => {
                    if look.is_stale(&self.routing) {
                        look = self.routing.look();
                    }
                    if !self.frame(&frame, &mut look, &mut batch, stop).await {
                        return;
                    }
                }
                Some(Err(ReadError::Lost { first, last, .. } | ReadError::Gone { first, last, .. })) => {
                    let missed = last.0.saturating_sub(first.0) + 1;
                    batch.to.missed = batch.to.missed.saturating_add(number(missed));
                    batch.to.position = number(last.0);
                    self.index.progress.missed.store(batch.to.missed.cast_unsigned(), Ordering::Relaxed);
                    batch.hurry();
                    tracing::warn!(missed, "the journal moved on past the event index: these events are not in it");
                }
                Some(Err(ReadError::Closed)) => break,
                Some(Err(error @ ReadError::Io { .. })) => {
                    self.trouble(&error);
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
        if batch.has_news(&self.index) && self.index.table.put(&self.index.name, &batch.events, batch.to).await.is_err() {
            tracing::debug!("the last events are indexed after the next start");
        }
    }

    /// A frame's events, in as many batches as it takes; false where it was stopped.
    async fn frame(&self, frame: &Frame, look: &mut Look, batch: &mut Batch, stop: &CancellationToken) -> bool {
        for (seq, event) in frame.events() {
            if number(seq.0) <= batch.to.position {
                continue;
            }
            // What was replayed is in the index already, under its first place.
            if event.lane().is_none() {
                let lanes = look.at(&event).1.into_iter().map(LaneId::to_string).collect::<Vec<_>>();
                if let Some(indexed) = self.guise.see(&event, |event| self.indexed(seq.0, event, &lanes)) {
                    batch.bytes += indexed.attributes.len() + indexed.body.as_ref().map_or(0, String::len);
                    batch.events.push(indexed);
                }
            }
            batch.to.position = number(seq.0);
            batch.hurry();
            if (batch.events.len() >= BATCH || batch.bytes >= BATCH_BYTES) && !self.write(batch, stop).await {
                return false;
            }
        }
        true
    }

    fn indexed(&self, seq: u64, event: &EventRef<'_>, lanes: &[String]) -> IndexedEvent {
        let text = |attr| event.attr(attr).and_then(|value| value.text()).unwrap_or_default();
        let key = |attr| {
            let text = text(attr);
            text[..text.floor_char_boundary(MOST_KEY)].to_owned()
        };
        let received_ms = number(event.received() / 1_000_000);
        let time = time::OffsetDateTime::parse(&text(Attr::Time), &time::format_description::well_known::Rfc3339);
        let time_ms = time.ok().and_then(|time| i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()).unwrap_or(received_ms);
        let source_ip = text(Attr::SrcIp).parse::<IpAddr>().ok().map(|ip| ip.to_canonical().to_string());
        IndexedEvent {
            event_id: key(Attr::Id),
            source: key(Attr::Source),
            tenant: event.tenant().map_or_else(|| OF_HOST.to_owned(), |_| key(Attr::Tenant)),
            journal: self.index.name.to_string(),
            seq: number(seq),
            event_type: key(Attr::Type),
            severity: event.severity().unwrap_or(Severity::Info).name().to_owned(),
            time_ms,
            received_ms,
            source_ip,
            attributes: format!("{{{}}}", shown::attributes(event)),
            body: self.index.settings.body.then(|| shown::body(event).ok()).flatten(),
            lanes: serde_json::Value::from(lanes).to_string(),
        }
    }

    /// Until the store takes the batch; false where it was stopped before.
    async fn write(&self, batch: &mut Batch, stop: &CancellationToken) -> bool {
        while let Err(error) = self.index.table.put(&self.index.name, &batch.events, batch.to).await {
            self.trouble(&error);
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
        self.goes_on();
        let progress = &self.index.progress;
        progress.position.store(batch.to.position.cast_unsigned(), Ordering::Relaxed);
        progress.events.fetch_add(batch.events.len() as u64, Ordering::Relaxed);
        batch.events.clear();
        (batch.bytes, batch.due) = (0, None);
        true
    }

    /// Deletes what is too old or too much, for ever.
    async fn shrink(&self, stop: &CancellationToken) {
        let mut ticks = tokio::time::interval(SHRINK.min(self.index.settings.retention / 4).max(Duration::from_secs(1)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            ticks.tick().await;
            if let Err(error) = self.shrink_once().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "old events not deleted from the event index, trying again later");
            }
        }
    }

    async fn shrink_once(&self) -> Result<(), StoreError> {
        let Index { table, settings, progress, .. } = &*self.index;
        let retention_ms = i64::try_from(settings.retention.as_millis()).unwrap_or(i64::MAX);
        let before_ms = self.clock.unix_ms().saturating_sub(retention_ms);
        while table.expire(before_ms).await?.1 {
            tokio::task::yield_now().await;
        }
        let mut events = table.count().await?;
        while events > settings.max_events {
            let gone = table.drop_oldest(events - settings.max_events).await?;
            events = events.saturating_sub(gone);
            if gone == 0 {
                break;
            }
        }
        progress.events.store(events, Ordering::Relaxed);
        Ok(())
    }

    fn goes_on(&self) {
        let progress = &self.index.progress;
        if progress.stuck.swap(false, Ordering::Relaxed) {
            tracing::info!("the event index goes on");
            *progress.error.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    fn trouble(&self, error: &(dyn std::error::Error + 'static)) {
        let progress = &self.index.progress;
        if !progress.stuck.swap(true, Ordering::Relaxed) {
            tracing::warn!(error, "the event index does not get on; it is tried again, and nothing waits for it");
        }
        *progress.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }
}

struct Batch {
    events: Vec<IndexedEvent>,
    bytes: usize,
    to: IndexPosition,
    /// When it is written at the latest, where it says anything.
    due: Option<tokio::time::Instant>,
}

impl Batch {
    /// There is something to write.
    fn hurry(&mut self) {
        self.due.get_or_insert_with(|| tokio::time::Instant::now() + LINGER);
    }

    /// Whether it says more than the store knows.
    fn has_news(&self, index: &Index) -> bool {
        self.to.position.cast_unsigned() > index.progress.position.load(Ordering::Relaxed)
    }
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The name of this host's journal, made at the first start.
fn name(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) if text.trim().parse::<Uuid>().is_ok() => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let name = Uuid::now_v7().to_string();
    crate::durable::write(path, name.as_bytes())?;
    Ok(name)
}
