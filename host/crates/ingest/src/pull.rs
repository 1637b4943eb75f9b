//! Pull connectors as intake: records of other systems, page by page, behind a cursor that the host keeps.
//!
//! Promises: a cursor is kept only once the events before it are in the journal, so a crash repeats at most the
//! last page and loses none; a page is taken as a whole, or not at all, until it was refused several times for
//! records that are no events: then these alone are left out, and that is told. A full journal stops the pulling,
//! which goes on by itself. A system that does not answer is asked again after a growing wait, and that is told
//! once. Bounded: one page at a time for each instance, and no page twice without a wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_core::{AskError, BoxFuture, Clock, Failure, Page, Puller, RecordBatch, Tenant};
use bulkhead_journal::{AppendBatch, Durability};
use bulkhead_observe::Metrics;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::gate::Gate;
use crate::normalise::{Form, Normaliser, Rules, ShapeRule};
use crate::sink::Sink;

/// Wait after the first failure, doubled with each.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Longest wait that the other system can ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(3_600);
/// Between two pages of which the first brought nothing.
const EMPTY_WAIT: Duration = Duration::from_millis(200);
/// Times that a page is asked for again before records of it that are no events are left out.
const REFUSALS: u32 = 3;
/// What an append under way gets when the host stops.
const LAST_APPEND: Duration = Duration::from_secs(2);

/// `instances.*.pull`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullSettings {
    pub instance: Arc<str>,
    /// Its connector: a cursor is of no use to another one.
    pub connector: Arc<str>,
    /// Between two looks, once all pages were taken.
    pub interval: Duration,
    pub tenant: Tenant,
}

/// How far the pulling is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PullStatus {
    /// Events that are in the journal, and pages that brought them, since the start.
    pub events: u64,
    pub pages: u64,
    /// When a page last came, in milliseconds since 1970.
    pub last_ms: Option<u64>,
    /// Failures in a row, and the last one.
    pub failures: u32,
    pub error: Option<String>,
    /// The journal is full, and nothing is pulled.
    pub blocked: bool,
    /// Why the instance is not asked (it is held, or does not run), and how often in a row.
    pub idle: Option<(&'static str, u32)>,
}

/// What people want to know of a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullNotice {
    Failed {
        instance: Arc<str>,
        reason: String,
    },
    Recovered {
        instance: Arc<str>,
    },
    /// Records that are no events were left out.
    LeftOut {
        instance: Arc<str>,
        records: u64,
        reason: String,
    },
}

/// Where cursors are kept. What `set` was given is on disk when it returns.
pub trait Cursors: Send + Sync {
    fn get<'a>(&'a self, pull: &'a str) -> BoxFuture<'a, Result<Vec<u8>, String>>;
    fn set<'a>(&'a self, pull: &'a str, cursor: &'a [u8]) -> BoxFuture<'a, Result<(), String>>;
}

/// The rooms' handles.
pub struct PullParts {
    pub puller: Arc<dyn Puller>,
    pub cursors: Arc<dyn Cursors>,
    pub gate: Gate,
    pub metrics: Metrics,
    pub clock: Arc<dyn Clock>,
    pub notify: Arc<dyn Fn(PullNotice) + Send + Sync>,
}

/// All pulls.
pub struct Pulls {
    parts: Arc<PullParts>,
    running: Mutex<BTreeMap<Arc<str>, Running>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct Running {
    settings: PullSettings,
    shared: Arc<Shared>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

/// What a pull and those who look at it share.
#[derive(Default)]
struct Shared {
    status: Mutex<PullStatus>,
    /// Not at the next interval but now.
    now: Notify,
    /// From the beginning again.
    anew: Mutex<bool>,
}

impl Pulls {
    pub fn new(parts: PullParts) -> Arc<Self> {
        Arc::new(Self { parts: Arc::new(parts), running: Mutex::default(), stop: CancellationToken::new(), tasks: TaskTracker::new() })
    }

    /// Pulls what these settings say from now on; what means the same is not touched.
    pub fn replace(&self, settings: &[PullSettings]) {
        let mut running = self.running();
        let goes: Vec<Arc<str>> = running.iter().filter(|(_, pull)| !settings.contains(&pull.settings)).map(|(name, _)| Arc::clone(name)).collect();
        let mut gone: BTreeMap<_, _> = goes.into_iter().filter_map(|name| running.remove_entry(&name)).collect();
        gone.values().for_each(|pull| pull.cancel.cancel());
        for settings in settings {
            if self.stop.is_cancelled() || running.contains_key(&settings.instance) {
                continue;
            }
            let before = gone.remove(&settings.instance);
            // What was asked of it holds on, and it ends before the next one begins.
            let (shared, ends) = before.map_or_else(Default::default, |before| (before.shared, Some(before.task)));
            let cancel = self.stop.child_token();
            let pull = Pull::new(settings.clone(), Arc::clone(&self.parts), Arc::clone(&shared));
            let (token, settings) = (cancel.clone(), settings.clone());
            let task = self.tasks.spawn(async move {
                if let Some(ends) = ends {
                    let _ = ends.await;
                }
                pull.run(token).await;
            });
            running.insert(Arc::clone(&settings.instance), Running { settings, shared, cancel, task });
        }
    }

    /// Pages under way are taken to their end, or pulled again after the next start.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    pub fn status(&self) -> Vec<(Arc<str>, PullStatus)> {
        self.running().iter().map(|(instance, pull)| (Arc::clone(instance), pull.shared.status().clone())).collect()
    }

    /// Looks now and not at the next interval. False where nothing is pulled from the instance.
    pub fn now(&self, instance: &str) -> bool {
        self.running().get(instance).map(|pull| pull.shared.now.notify_one()).is_some()
    }

    /// The same as if nothing had been pulled yet: the cursor on disk is gone when it returns, and a page under
    /// way brings none back.
    pub async fn anew(&self, instance: &str) -> Result<bool, String> {
        let found = self.running().get(instance).map(|pull| (pull.settings.key(), Arc::clone(&pull.shared)));
        let Some((key, shared)) = found else { return Ok(false) };
        *shared.anew.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.parts.cursors.set(&key, &[]).await?;
        shared.now.notify_one();
        Ok(true)
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PullSettings {
    /// Names of instances have no slash.
    fn key(&self) -> String {
        format!("{}/{}", self.instance, self.connector)
    }
}

impl Shared {
    fn status(&self) -> MutexGuard<'_, PullStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_anew(&self) -> bool {
        *self.anew.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One instance's.
struct Pull {
    settings: PullSettings,
    parts: Arc<PullParts>,
    shared: Arc<Shared>,
    sink: Sink,
    normaliser: Normaliser,
    cursor: Option<Vec<u8>>,
    /// A cursor whose events are in the journal, and which the store did not take.
    unkept: Option<Vec<u8>>,
    /// How often this page was refused for records that are no events.
    refusals: u32,
}

/// What a page was: the wait before the next, where there is one.
struct Taken(Option<Duration>);

/// Why a page was not taken.
struct Missed {
    /// In metrics.
    word: &'static str,
    reason: String,
    after: Option<Duration>,
}

impl Missed {
    fn new(word: &'static str, reason: impl Into<String>) -> Self {
        Self { word, reason: reason.into(), after: None }
    }
}

fn stopped() -> Missed {
    Missed::new("held", "the pulling ends")
}

impl From<AskError> for Missed {
    fn from(error: AskError) -> Self {
        let word = match &error {
            AskError::Gone => "gone",
            AskError::Held(_) => "held",
            AskError::Busy => "busy",
            AskError::Deadline(_) => "deadline",
            AskError::Open(_) => "open",
            AskError::Fault(_) => "fault",
            AskError::Failed(failure) => failure.name(),
        };
        let after = match &error {
            AskError::Failed(Failure::Unavailable { after, .. }) => *after,
            // People must act.
            AskError::Failed(Failure::Configuration(_) | Failure::Unauthorized(_) | Failure::Unsupported) => Some(LONGEST_WAIT),
            _ => None,
        };
        Self { word, reason: error.to_string(), after }
    }
}

impl Pull {
    fn new(settings: PullSettings, parts: Arc<PullParts>, shared: Arc<Shared>) -> Self {
        let label = format!("pull:{}", settings.instance);
        let sink = Sink::new(parts.gate.clone(), parts.metrics.clone(), Arc::clone(&parts.clock), &label, Durability::Fsync);
        let normaliser = Normaliser::new(Rules { shape: ShapeRule::Auto, strict: false, tenant: settings.tenant.clone() });
        Self { settings, parts, shared, sink, normaliser, cursor: None, unkept: None, refusals: 0 }
    }

    async fn run(mut self, cancel: CancellationToken) {
        loop {
            let wait = self.turn(&cancel).await;
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = self.shared.now.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One page; answers the wait before the next.
    async fn turn(&mut self, cancel: &CancellationToken) -> Duration {
        match self.page(cancel).await {
            Ok(Taken(wait)) => {
                let recovered = {
                    let mut status = self.shared.status();
                    status.idle = None;
                    status.last_ms = Some(self.parts.clock.unix_nanos() / 1_000_000);
                    status.error = None;
                    std::mem::take(&mut status.failures) > 0
                };
                if recovered {
                    tracing::info!(instance = &*self.settings.instance, "pulled again");
                    (self.parts.notify)(PullNotice::Recovered { instance: Arc::clone(&self.settings.instance) });
                }
                self.parts.metrics.pulls(&self.settings.instance, "taken").inc();
                wait.unwrap_or(self.settings.interval)
            }
            Err(missed) => self.missed(&missed),
        }
    }

    fn missed(&self, missed: &Missed) -> Duration {
        self.parts.metrics.pulls(&self.settings.instance, missed.word).inc();
        // A reload takes an instance away for a moment, and a person may hold one: neither is a failure.
        if matches!(missed.word, "gone" | "held") {
            let mut status = self.shared.status();
            let turns = status.idle.map_or(0, |(_, turns)| turns);
            status.idle = Some((missed.word, turns.saturating_add(1)));
            return FIRST_WAIT;
        }
        let failures = {
            let mut status = self.shared.status();
            status.idle = None;
            status.failures = status.failures.saturating_add(1);
            status.error = Some(missed.reason.clone());
            status.failures
        };
        if failures == 1 {
            tracing::warn!(instance = &*self.settings.instance, reason = missed.reason, "cannot pull; it is tried again");
            (self.parts.notify)(PullNotice::Failed { instance: Arc::clone(&self.settings.instance), reason: missed.reason.clone() });
        }
        let growing = FIRST_WAIT.saturating_mul(1 << (failures - 1).min(10)).min(LONGEST_WAIT);
        growing.max(missed.after.unwrap_or_default().min(LONGEST_ASKED))
    }

    async fn page(&mut self, cancel: &CancellationToken) -> Result<Taken, Missed> {
        let (instance, key) = (Arc::clone(&self.settings.instance), self.settings.key());
        let stored = |error| Missed::new("store", error);
        if self.shared.is_anew() {
            self.parts.cursors.set(&key, &[]).await.map_err(stored)?;
            *self.shared.anew.lock().unwrap_or_else(PoisonError::into_inner) = false;
            (self.cursor, self.unkept, self.refusals) = (None, None, 0);
        }
        if let Some(next) = &self.unkept {
            // The events before it are in the journal: they are not asked for again.
            self.parts.cursors.set(&key, next).await.map_err(stored)?;
            self.cursor = self.unkept.take();
        }
        if self.cursor.is_none() {
            self.cursor = Some(self.parts.cursors.get(&key).await.map_err(stored)?);
        }
        let from = self.cursor.clone().unwrap_or_default();
        let Page { events, cursor: next, more } = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(stopped()),
            page = self.parts.puller.pull(&instance, &from) => page?,
        };
        let (batches, left_out) = self.batches(&events)?;
        self.append(batches, cancel).await?;
        self.refusals = 0;
        let (moved, count) = (next != from, events.len() as u64 - left_out);
        if moved {
            // Before it is written: a store that refuses must not make the page come again.
            self.unkept = Some(next.clone());
            self.parts.cursors.set(&key, &next).await.map_err(stored)?;
            self.cursor = self.unkept.take();
        }
        let mut status = self.shared.status();
        (status.events, status.pages) = (status.events + count, status.pages + 1);
        // One that promises more behind the same cursor would be asked for ever.
        Ok(Taken((more && moved).then_some(if count > 0 { Duration::ZERO } else { EMPTY_WAIT })))
    }

    /// All events of a page, and how many records were left out for being none: that happens only to a page that
    /// was refused before.
    fn batches(&mut self, events: &RecordBatch) -> Result<(Vec<AppendBatch>, u64), Missed> {
        let received = self.parts.clock.unix_nanos();
        let (mut full, mut batch) = (Vec::new(), AppendBatch::new());
        let (mut left_out, mut why) = (0, None);
        for index in 0..events.len() {
            if let Err(reason) = add(events, index, &mut self.normaliser, received, &mut batch) {
                left_out += 1;
                why.get_or_insert(format!("pull: event {index} is none: {reason}"));
            }
            if self.sink.is_full(&batch) {
                full.push(std::mem::take(&mut batch));
            }
        }
        full.push(batch);
        let Some(reason) = why else { return Ok((full, 0)) };
        self.refusals += 1;
        if self.refusals <= REFUSALS {
            return Err(Missed::new("events", reason));
        }
        let instance = Arc::clone(&self.settings.instance);
        tracing::error!(instance = &*instance, records = left_out, reason, "records that are no events are left out");
        (self.parts.notify)(PullNotice::LeftOut { instance, records: left_out, reason });
        Ok((full, left_out))
    }

    async fn append(&self, batches: Vec<AppendBatch>, cancel: &CancellationToken) -> Result<(), Missed> {
        for mut batch in batches {
            tokio::select! {
                appended = self.sink.append(&mut batch) => appended.map_err(|error| Missed::new("journal", error.to_string()))?,
                () = self.watch_blocked() => {}
                () = async { cancel.cancelled().await; tokio::time::sleep(LAST_APPEND).await } => return Err(stopped()),
            }
        }
        self.shared.status().blocked = false;
        Ok(())
    }

    /// Never ends.
    async fn watch_blocked(&self) {
        loop {
            tokio::time::sleep(FIRST_WAIT).await;
            self.shared.status().blocked = self.sink.blocked.load(std::sync::atomic::Ordering::Relaxed);
        }
    }
}

/// One record of a guest as an event at the end of a batch; the error says why it is none.
pub(crate) fn add(records: &RecordBatch, index: usize, normaliser: &mut Normaliser, received: u64, batch: &mut AppendBatch) -> Result<(), String> {
    let text = records.get(index);
    std::str::from_utf8(text).map_err(|_| "not UTF-8".to_owned())?;
    let taken = normaliser.event(text, 0, Form::Json, received, batch.buffer()).map_err(|refused| refused.fault.reason)?;
    if bulkhead_core::json::skip_space(text, taken.end) < text.len() {
        return Err("more text behind it".to_owned());
    }
    batch.push_event().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
