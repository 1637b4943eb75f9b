//! Bulkhead's own events: what happens to the host, its instances and its lanes, as CloudEvents in the
//! journal, routed like any other.
//!
//! Promises: raising one never blocks; one that the journal refuses waits and is tried again; none is
//! caused by the delivery of another. For the last, a dead letter of an own event raises nothing, a
//! breaker that opens again after a probe raises nothing, and letters of one lane and cause are summed
//! up for a minute. Own events are news, not evidence: beyond [`QUEUE`] of them they are dropped, counted
//! in the log.

mod describe;
mod kinds;
mod summary;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulkhead_core::{Attr, Clock, EventBuilder, EventRef, LaneId, Shape, Tenant};
use bulkhead_deliver::{BreakerState, Notice};
use bulkhead_ingest::{FilesNotice, Form, Normaliser, PullNotice, Rules};
use bulkhead_journal::{AppendBatch, AppendError, Durability, Journal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub use describe::{Described, Lifecycle, RollbackCause, RolledBack};
pub use kinds::KINDS;
use summary::Summary;

/// Own events that wait for the journal.
const QUEUE: usize = 256;
/// Between two looks at what is due, and between two attempts to append.
const PACE: Duration = Duration::from_secs(1);

/// Raises own events; cheap to clone.
#[derive(Clone)]
pub struct OwnEvents(Arc<Inner>);

struct Inner {
    /// Nothing where own events are switched off, and after the last.
    queue: Mutex<Option<mpsc::Sender<Described>>>,
    dropped: AtomicU64,
    /// Instances whose breaker was said to be open.
    open: Mutex<HashSet<Arc<str>>>,
}

impl OwnEvents {
    /// The task ends after [`Self::last`].
    pub fn start(enabled: bool, journal: &Journal, clock: &Arc<dyn Clock>) -> (Self, JoinHandle<()>) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let writing = tokio::spawn(write(queue, journal.clone(), Arc::clone(clock)));
        let inner = Inner { queue: Mutex::new(enabled.then_some(sender)), dropped: AtomicU64::new(0), open: Mutex::default() };
        (Self(Arc::new(inner)), writing)
    }

    /// Raises the last one and waits until all are written, for as long as `limit`.
    pub async fn last(&self, what: &Lifecycle, writing: JoinHandle<()>, limit: Duration) {
        self.lifecycle(what);
        drop(self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let abort = writing.abort_handle();
        if tokio::time::timeout(limit, writing).await.is_err() {
            abort.abort();
            tracing::warn!("own events were not written: the journal does not take them");
        }
    }

    /// What happens to the host itself and to what it runs.
    pub fn lifecycle(&self, what: &Lifecycle) {
        self.raise(|| Some(Described::lifecycle(what)));
    }

    /// What the intake of files tells.
    pub fn files(&self, notice: &FilesNotice) {
        self.raise(|| Some(Described::files(notice)));
    }

    /// What pulls tell.
    pub fn pull(&self, notice: &PullNotice) {
        self.raise(|| Some(Described::pull(notice)));
    }

    /// What delivery tells.
    pub fn notice(&self, notice: &Notice) {
        if let Notice::Breaker { instance, state } = notice
            && !self.breaker_moved(instance, *state)
        {
            return;
        }
        self.raise(|| Described::notice(notice));
    }

    /// True where the breaker went from closed to open or back: probes in between are no news.
    fn breaker_moved(&self, instance: &Arc<str>, state: BreakerState) -> bool {
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            BreakerState::Open => open.insert(Arc::clone(instance)),
            BreakerState::Closed => open.remove(instance),
            BreakerState::HalfOpen => false,
        }
    }

    fn raise(&self, describe: impl FnOnce() -> Option<Described>) {
        let queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = &*queue else { return };
        let Some(described) = describe() else { return };
        if queue.try_send(described).is_err() {
            let dropped = self.0.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::warn!(dropped, "own events dropped: the journal does not take them");
        }
    }
}

async fn write(mut queue: mpsc::Receiver<Described>, journal: Journal, clock: Arc<dyn Clock>) {
    let mut normaliser = Normaliser::new(Rules::default());
    let mut summary = Summary::default();
    let mut due = Vec::new();
    loop {
        let wait = if summary.is_empty() { Duration::from_secs(3_600) } else { PACE };
        let closed = match tokio::time::timeout(wait, queue.recv()).await {
            Ok(Some(described)) => {
                if described.kind == describe::STOPPED {
                    due.extend(summary.rest());
                }
                due.extend(summary.take(described, clock.monotonic()));
                false
            }
            Ok(None) => true,
            Err(_elapsed) => false,
        };
        due.extend(if closed { summary.rest() } else { summary.due(clock.monotonic()) });
        for described in due.drain(..) {
            append(&mut normaliser, &journal, &*clock, &described).await;
        }
        if closed {
            return;
        }
    }
}

/// One attempt to write an own event past the queue, in the words of [`Described::cloud_event`]; then it is on
/// disk. For what must not be dropped.
pub async fn append_now(journal: &Journal, text: &str, now: u64) -> Result<(), AppendError> {
    match batch(&mut Normaliser::new(Rules::default()), text.as_bytes(), now, None) {
        Some(batch) => journal.append(batch, Durability::Fsync).await.map(drop),
        None => {
            tracing::error!("an own event is no event");
            Ok(())
        }
    }
}

async fn append(normaliser: &mut Normaliser, journal: &Journal, clock: &dyn Clock, described: &Described) {
    let now = clock.unix_nanos();
    let text = described.cloud_event(now);
    loop {
        let Some(batch) = batch(normaliser, text.as_bytes(), now, None) else {
            tracing::error!(kind = described.kind, "an own event is no event");
            return;
        };
        match journal.append(batch, Durability::Fsync).await {
            Ok(_) => return,
            Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, kind = described.kind, "own event waits"),
        }
        tokio::time::sleep(PACE).await;
    }
}

/// An own event for one lane alone, of the tenant whose that is, and its id.
pub fn bound(described: &Described, lane: &LaneId, tenant: Option<&Tenant>, now: u64) -> Option<(AppendBatch, String)> {
    let id = described.id.clone()?;
    let batch = batch(&mut Normaliser::new(Rules::default()), described.cloud_event(now).as_bytes(), now, Some((lane, tenant)))?;
    Some((batch, id))
}

/// The event in its stored form, marked as ours: a mark that no sender can set.
fn batch(normaliser: &mut Normaliser, text: &[u8], now: u64, lane: Option<(&LaneId, Option<&Tenant>)>) -> Option<AppendBatch> {
    let mut stored = Vec::new();
    normaliser.event(text, 0, Form::CloudEvents, now, &mut stored).ok()?;
    let event = EventRef::new(&stored).ok()?;
    let (mut builder, mut batch) = (EventBuilder::new(), AppendBatch::new());
    builder.start_from(&event);
    if let Some((lane, tenant)) = lane {
        // Said in any case: an own event that says nothing is the host's.
        tenant.into_iter().for_each(|tenant| builder.text(Attr::Tenant, tenant.as_str()));
        builder.bind(lane, None);
    }
    builder.finish(Shape::Own, event.severity(), now, event.original(), batch.buffer()).ok()?;
    batch.push_event().ok()?;
    Some(batch)
}
