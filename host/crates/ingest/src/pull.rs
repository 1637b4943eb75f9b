//! Pull connectors as intake: records of other systems, page by page, behind a cursor that the host keeps.
//!
//! Promises: a cursor is kept only once the events before it are in the journal, so a crash repeats at most the
//! last page and loses none; a page is taken as a whole or not at all; a full journal stops the pulling, which
//! goes on by itself. A system that does not answer is asked again after a growing wait, and that is told once.
//! Bounded: one page at a time for each instance.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_core::{AskError, BoxFuture, Clock, Failure, Page, Puller, RecordBatch, Tenant};
use bulkhead_journal::{AppendBatch, Durability};
use bulkhead_observe::Metrics;
use tokio::sync::Notify;
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
/// What an append under way gets when the host stops.
const LAST_APPEND: Duration = Duration::from_secs(2);

/// `instances.*.pull`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullSettings {
    pub instance: Arc<str>,
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
}

/// What people want to know of a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullNotice {
    Failed { instance: Arc<str>, reason: String },
    Recovered { instance: Arc<str> },
}

/// Where cursors are kept. What `set` was given is on disk when it returns.
pub trait Cursors: Send + Sync {
    fn get<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<Vec<u8>, String>>;
    fn set<'a>(&'a self, instance: &'a str, cursor: &'a [u8]) -> BoxFuture<'a, Result<(), String>>;
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
        running.retain(|_, pull| {
            let stays = settings.contains(&pull.settings);
            if !stays {
                pull.cancel.cancel();
            }
            stays
        });
        for settings in settings {
            if self.stop.is_cancelled() || running.contains_key(&settings.instance) {
                continue;
            }
            let (shared, cancel) = (Arc::<Shared>::default(), self.stop.child_token());
            let pull = Pull::new(settings.clone(), Arc::clone(&self.parts), Arc::clone(&shared));
            self.tasks.spawn(pull.run(cancel.clone()));
            running.insert(Arc::clone(&settings.instance), Running { settings: settings.clone(), shared, cancel });
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

    /// Looks now and not at the next interval; `anew`: as if nothing had been pulled yet. False where nothing is
    /// pulled from the instance.
    pub fn now(&self, instance: &str, anew: bool) -> bool {
        let running = self.running();
        let Some(pull) = running.get(instance) else { return false };
        if anew {
            *pull.shared.anew.lock().unwrap_or_else(PoisonError::into_inner) = true;
        }
        pull.shared.now.notify_one();
        true
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
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
}

/// What a page was.
enum Taken {
    /// There is another one.
    More,
    All,
}

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
        Self { settings, parts, shared, sink, normaliser }
    }

    async fn run(mut self, cancel: CancellationToken) {
        let mut cursor: Option<Vec<u8>> = None;
        loop {
            let wait = self.turn(&mut cursor, &cancel).await;
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = self.shared.now.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One page; answers the wait before the next.
    async fn turn(&mut self, cursor: &mut Option<Vec<u8>>, cancel: &CancellationToken) -> Duration {
        match self.page(cursor, cancel).await {
            Ok(taken) => {
                let recovered = {
                    let mut status = self.shared.status();
                    status.last_ms = Some(self.parts.clock.unix_nanos() / 1_000_000);
                    status.error = None;
                    std::mem::take(&mut status.failures) > 0
                };
                if recovered {
                    tracing::info!(instance = &*self.settings.instance, "pulled again");
                    (self.parts.notify)(PullNotice::Recovered { instance: Arc::clone(&self.settings.instance) });
                }
                self.parts.metrics.pulls(&self.settings.instance, "taken").inc();
                match taken {
                    Taken::More => Duration::ZERO,
                    Taken::All => self.settings.interval,
                }
            }
            Err(missed) => self.missed(&missed),
        }
    }

    fn missed(&self, missed: &Missed) -> Duration {
        self.parts.metrics.pulls(&self.settings.instance, missed.word).inc();
        // A reload takes an instance away for a moment, and a person may hold one: neither is a failure.
        if matches!(missed.word, "gone" | "held") {
            return FIRST_WAIT;
        }
        let failures = {
            let mut status = self.shared.status();
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

    async fn page(&mut self, cursor: &mut Option<Vec<u8>>, cancel: &CancellationToken) -> Result<Taken, Missed> {
        let instance = Arc::clone(&self.settings.instance);
        let stored = |error| Missed::new("store", error);
        if self.shared.is_anew() {
            self.parts.cursors.set(&instance, &[]).await.map_err(stored)?;
            *self.shared.anew.lock().unwrap_or_else(PoisonError::into_inner) = false;
            *cursor = None;
        }
        let from = match cursor {
            Some(from) => from,
            None => cursor.insert(self.parts.cursors.get(&instance).await.map_err(stored)?),
        };
        let Page { events, cursor: next, more } = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(stopped()),
            page = self.parts.puller.pull(&instance, from) => page?,
        };
        let moved = next != *from;
        let count = events.len() as u64;
        let batches = self.batches(&events).map_err(|reason| Missed::new("events", reason))?;
        self.append(batches, cancel).await?;
        if moved {
            self.parts.cursors.set(&instance, &next).await.map_err(stored)?;
            *cursor = Some(next);
        }
        let mut status = self.shared.status();
        (status.events, status.pages) = (status.events + count, status.pages + 1);
        // One that promises more and brings nothing would be asked for ever.
        Ok(if more && (moved || count > 0) { Taken::More } else { Taken::All })
    }

    /// All events of a page, or none: the error says which one is no event, and why.
    fn batches(&mut self, events: &RecordBatch) -> Result<Vec<AppendBatch>, String> {
        let received = self.parts.clock.unix_nanos();
        let (mut full, mut batch) = (Vec::new(), AppendBatch::new());
        for index in 0..events.len() {
            add(events, index, &mut self.normaliser, received, &mut batch).map_err(|reason| format!("pull: event {index} is none: {reason}"))?;
            if self.sink.is_full(&batch) {
                full.push(std::mem::take(&mut batch));
            }
        }
        full.push(batch);
        Ok(full)
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
