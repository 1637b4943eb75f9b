//! What a lane tells about itself: handles for counting, and a snapshot for people.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_core::{LaneId, Seq};
use bulkhead_observe::LaneMetrics;
use bulkhead_store::Cause;

use crate::breaker::BreakerState;
use crate::hold::HoldCause;
use crate::instance::Instance;

/// Longest text of a failure that is kept for status.
const MAX_TEXT: usize = 512;

/// A lane at a moment.
#[derive(Debug, Clone)]
pub struct LaneStatus {
    pub lane: LaneId,
    pub delivered: u64,
    pub retried: u64,
    pub rejected: u64,
    pub filtered: u64,
    /// Everything up to here is settled.
    pub cursor: Seq,
    /// Accepted events that the lane has not settled, those it will not want included.
    pub backlog: u64,
    /// Age of the oldest of them.
    pub oldest: Duration,
    pub in_flight: u64,
    /// Events that wait for another attempt.
    pub retrying: u64,
    /// Events that the receiver has taken and not confirmed.
    pub unconfirmed: u64,
    /// Until the next attempt, from now on.
    pub next_retry: Option<Duration>,
    pub breaker: BreakerState,
    /// Deliveries of the instance at the same time: allowed now, and at most.
    pub concurrency: (u32, u32),
    /// Why the instance sends nothing.
    pub held: Option<HoldCause>,
    /// The lane waits for room in the dead letter store.
    pub dead_letters_full: bool,
    pub last_error: Option<LastError>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    pub code: &'static str,
    /// Partly the guest's or the receiver's words: for people who may see the instance, not for logs.
    pub text: String,
}

/// Shared by a lane's driver, its workers and whoever asks.
pub(crate) struct LaneShared {
    pub id: LaneId,
    /// The name in the journal.
    pub name: String,
    pub metrics: LaneMetrics,
    pub rejected: AtomicU64,
    pub filtered: AtomicU64,
    /// Workers that wait for room in the dead letter store.
    pub full: AtomicU32,
    /// Batch limits that the connector asked for.
    pub max_events: AtomicU32,
    pub max_bytes: AtomicU32,
    /// The last call failed as a whole.
    failing: AtomicBool,
    view: Mutex<View>,
    last_error: Mutex<Option<LastError>>,
}

/// What only the driver knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    pub cursor: Seq,
    pub backlog: u64,
    /// Receipt of the oldest unsettled event, ms since 1970; 0 where there is none.
    pub oldest_ms: i64,
    pub in_flight: u64,
    pub retrying: u64,
    pub unconfirmed: u64,
    /// On the monotonic clock.
    pub next_retry: Option<Duration>,
}

impl LaneShared {
    pub fn new(id: LaneId, metrics: LaneMetrics) -> Arc<Self> {
        Arc::new(Self {
            name: id.to_string(),
            id,
            metrics,
            rejected: AtomicU64::new(0),
            filtered: AtomicU64::new(0),
            full: AtomicU32::new(0),
            max_events: AtomicU32::new(u32::MAX),
            max_bytes: AtomicU32::new(u32::MAX),
            failing: AtomicBool::new(false),
            view: Mutex::default(),
            last_error: Mutex::default(),
        })
    }

    pub fn count_rejected(&self, cause: Cause, events: u64) {
        self.metrics.rejected(cause.name()).inc_by(events);
        self.rejected.fetch_add(events, Ordering::Relaxed);
    }

    pub fn fail(&self, at_ms: i64, code: &'static str, text: &str) {
        let mut end = text.len().min(MAX_TEXT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.failing.store(true, Ordering::Relaxed);
        *lock(&self.last_error) = Some(LastError { at_ms, code, text: text[..end].into() });
    }

    /// The receiver was reached: true where that is news.
    pub fn recovers(&self) -> bool {
        self.failing.load(Ordering::Relaxed) && self.failing.swap(false, Ordering::Relaxed)
    }

    pub fn show(&self, view: View) {
        *lock(&self.view) = view;
    }

    pub fn view(&self) -> View {
        lock(&self.view).clone()
    }

    pub fn status(&self, now: Duration, unix_ms: i64, instance: &Instance) -> LaneStatus {
        let view = self.view();
        let (breaker, held, _) = instance.state();
        LaneStatus {
            lane: self.id.clone(),
            delivered: self.metrics.delivered.get(),
            retried: self.metrics.retried.get(),
            rejected: self.rejected.load(Ordering::Relaxed),
            filtered: self.filtered.load(Ordering::Relaxed),
            cursor: view.cursor,
            backlog: view.backlog,
            oldest: if view.oldest_ms == 0 { Duration::ZERO } else { Duration::from_millis(u64::try_from(unix_ms - view.oldest_ms).unwrap_or(0)) },
            in_flight: view.in_flight,
            retrying: view.retrying,
            unconfirmed: view.unconfirmed,
            next_retry: view.next_retry.map(|due| due.saturating_sub(now)),
            breaker,
            concurrency: (instance.concurrency(), instance.settings.concurrency.max),
            held,
            dead_letters_full: self.full.load(Ordering::Relaxed) > 0,
            last_error: lock(&self.last_error).clone(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
