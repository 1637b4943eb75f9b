//! The driver of one lane: reads, batches, hands to workers, settles. It holds all of the lane's state;
//! workers come and go with jobs. Nothing is held across an await but what is in its own fields.
//!
//! Invariants: an event is settled only after the receiver accepted it, a filter held it back, or its dead
//! letter is on disk; everything else comes again after a restart. Memory is bounded by the batches under
//! way, one batch read ahead, [`WAITING`] scheduled retries and [`pending::MOST`] unconfirmed deliveries.

mod backlog;
mod dispatch;
mod finish;
mod restore;

use std::collections::VecDeque;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering as Atomic;
use std::task::Poll;
use std::time::Duration;

use bulkhead_core::{FormatterSource, Seq};
use bulkhead_journal::{LaneLog, ReadError, Reader};
use bulkhead_observe::LaneMetrics;
use bulkhead_route::FilterChain;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::feed::Feed;
use crate::instance::Instance;
use crate::job::Job;
use crate::judge::{Letter, millis};
use crate::ordering::Ordering;
use crate::pending::{self, Pending};
use crate::schedule::{Schedule, Tries, Waiting};
use crate::slots::Slot;
use crate::status::{LaneShared, View};
use crate::worker::{Done, Work, Worker};
use backlog::Oldest;
use dispatch::Doomed;

/// Events that may wait for another attempt; beyond it the lane sends only those.
const WAITING: usize = 16_384;
/// How often depth and age are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Pause after the journal could not be read, or a worker died of a bug.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// A lane that may run.
pub(crate) struct Lane {
    pub context: Arc<Context>,
    pub instance: Arc<Instance>,
    pub shared: Arc<LaneShared>,
    pub formatter: Arc<dyn FormatterSource>,
    pub log: LaneLog,
}

enum Ended {
    /// Drained, stopped, or the journal is closed.
    Done,
    /// A worker or the driver died: what was under way is unsettled, so it is read again.
    Broken,
}

impl Lane {
    /// Runs until drained or stopped. Dropped, it leaves unsettled events to the next start.
    pub async fn run(mut self, drain: CancellationToken, stop: CancellationToken) {
        loop {
            let mut driver = Driver::new(&mut self);
            let ended = tokio::select! {
                biased;
                () = stop.cancelled() => Ended::Done,
                ended = caught(driver.run(&drain)) => ended,
            };
            driver.flush();
            driver.show();
            if matches!(ended, Ended::Done) {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = driver.retire() => {}
                }
            }
            drop(driver);
            match ended {
                Ended::Done => return,
                Ended::Broken => {
                    tracing::error!(lane = %self.shared.id, "the lane or one of its workers died of a bug; it begins anew from its log");
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(AFTER_ERROR) => {}
                    }
                }
            }
        }
    }
}

/// A bug in the driver must not silence its lane: the panic has been reported by its hook.
async fn caught(run: impl Future<Output = Ended>) -> Ended {
    let mut run = std::pin::pin!(run);
    std::future::poll_fn(|task| {
        // The driver is thrown away after a panic; what survives it is the lane's log.
        std::panic::catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(task))).unwrap_or(Poll::Ready(Ended::Broken))
    })
    .await
}

type SlotFuture = Pin<Box<dyn Future<Output = Option<Slot>> + Send>>;

struct Driver<'a> {
    context: Arc<Context>,
    instance: Arc<Instance>,
    shared: Arc<LaneShared>,
    formatter: Arc<dyn FormatterSource>,
    log: &'a mut LaneLog,
    metrics: LaneMetrics,
    feed: Feed,
    /// Reads events again that are due for another attempt.
    again: Reader,
    schedule: Schedule,
    pending: Pending,
    /// Jobs, or parts of them, that were not attempted.
    returned: VecDeque<Job>,
    /// Events on their way to the dead letters: those in hand, and those to be read again.
    burying: VecDeque<(Job, Vec<Letter>)>,
    doomed: VecDeque<Doomed>,
    workers: Vec<mpsc::Sender<(Work, Slot)>>,
    tasks: JoinSet<()>,
    idle: Vec<usize>,
    done: mpsc::Receiver<Done>,
    done_to: mpsc::Sender<Done>,
    changes: watch::Receiver<u64>,
    /// Waits in line for a slot.
    waiting: Option<SlotFuture>,
    slot: Option<Slot>,
    jobs_in_flight: usize,
    retries_in_flight: bool,
    events_in_flight: u64,
    burying_in_flight: u64,
    /// When the gate said to ask again.
    gate_until: Option<Duration>,
    /// Something outside keeps the lane from sending.
    blocked: bool,
    read_again_at: Option<Duration>,
    draining: bool,
    dirty: bool,
    next_tick: Duration,
    oldest: Oldest,
    /// Events beyond the backlog's bytes.
    excess: u64,
}

impl<'a> Driver<'a> {
    fn new(lane: &'a mut Lane) -> Self {
        let context = Arc::clone(&lane.context);
        let (instance, shared) = (Arc::clone(&lane.instance), Arc::clone(&lane.shared));
        let state = lane.log.state();
        let journal = &context.parts.journal;
        let settings = &instance.settings;
        let reader = journal.reader(state.cursor());
        let filters = FilterChain::new(&settings.filters);
        let mut feed = Feed::new(shared.id.clone(), reader, &state, &context, filters, settings.ordering, settings.batch);
        if let Some(rate) = settings.rate_limit {
            feed.limit(rate.burst, u64::MAX);
        }
        let (now, unix_ms) = (context.now(), context.unix_ms());
        let mut schedule = Schedule::default();
        for (seq, entry) in state.retries() {
            let ahead = u64::try_from(i64::try_from(entry.due_ms).unwrap_or(i64::MAX) - unix_ms).unwrap_or(0);
            let ago = (unix_ms - i64::try_from(entry.first_ms).unwrap_or(i64::MAX)).max(0);
            schedule.add(Waiting {
                seq,
                // A clock that was set back must not make a retry wait for a day.
                due: now + Duration::from_millis(ahead).min(settings.retry.max),
                tries: Tries { attempts: entry.attempts, first_ms: millis(now) - ago, ..Tries::default() },
                key: 0,
                received_ms: 0,
            });
        }
        let concurrency = settings.concurrency.max as usize;
        let (done_to, done) = mpsc::channel(concurrency);
        Self {
            again: journal.reader(state.cursor()),
            oldest: Oldest::new(journal.reader(state.cursor())),
            changes: instance.changes(),
            metrics: shared.metrics.clone(),
            formatter: Arc::clone(&lane.formatter),
            log: &mut lane.log,
            feed,
            schedule,
            pending: Pending::default(),
            returned: VecDeque::new(),
            burying: VecDeque::new(),
            doomed: VecDeque::new(),
            workers: Vec::with_capacity(concurrency),
            tasks: JoinSet::new(),
            idle: Vec::with_capacity(concurrency),
            done,
            done_to,
            waiting: None,
            slot: None,
            jobs_in_flight: 0,
            retries_in_flight: false,
            events_in_flight: 0,
            burying_in_flight: 0,
            gate_until: None,
            blocked: false,
            read_again_at: None,
            draining: false,
            dirty: false,
            next_tick: now,
            excess: 0,
            context,
            instance,
            shared,
        }
    }

    async fn run(&mut self, drain: &CancellationToken) -> Ended {
        if self.instance.settings.ordering != Ordering::None {
            self.restore_order().await;
        }
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer);
        let mut timer_at = Duration::ZERO;
        loop {
            while let Ok(done) = self.done.try_recv() {
                self.finish(done);
            }
            let now = self.context.now();
            if !self.fill(now) {
                return Ended::Done;
            }
            if now >= self.next_tick {
                // Spread out: thousands of lanes must not look all at once.
                self.next_tick = now + TICK.mul_f64(0.75 + self.context.draw() / 4.0);
                self.tick(now);
            }
            self.shed(now);
            self.dispatch(now).await;
            self.flush();
            self.shared.show(self.counts());
            if self.draining && self.is_drained() {
                return Ended::Done;
            }
            let wake = self.wake_at(now);
            let now = self.context.now();
            if wake != timer_at {
                timer_at = wake;
                timer.as_mut().reset(tokio::time::Instant::now() + wake.saturating_sub(now));
            }
            let reads = self.read_again_at.is_none() && self.feed.wants_frames();
            // Every branch is cancel safe.
            tokio::select! {
                biased;
                Some(done) = self.done.recv() => self.finish(done),
                Some(_) = self.tasks.join_next() => return Ended::Broken,
                slot = wait_for(&mut self.waiting) => {
                    self.waiting = None;
                    self.slot = slot;
                }
                read = self.feed.wait(), if reads => {
                    if let Err(error) = read && !self.read_failed(&error, now) {
                        return Ended::Done;
                    }
                }
                _ = self.changes.changed() => {}
                () = drain.cancelled(), if !self.draining => self.draining = true,
                () = &mut timer => timer_at = Duration::ZERO,
            }
        }
    }

    /// Reads ahead; false where the journal is closed.
    fn fill(&mut self, now: Duration) -> bool {
        self.feed.limit(self.shared.max_events.load(Atomic::Relaxed), u64::from(self.shared.max_bytes.load(Atomic::Relaxed)));
        self.read_again_at = self.read_again_at.filter(|at| *at > now);
        if self.read_again_at.is_none()
            && let Err(error) = self.feed.fill(now, &self.expiry())
            && !self.read_failed(&error, now)
        {
            return false;
        }
        self.take_skimmed();
        true
    }

    /// What reading brought beside events to send.
    fn take_skimmed(&mut self) {
        let skimmed = self.feed.skimmed();
        let expired = std::mem::take(&mut skimmed.expired);
        for (first, last) in skimmed.unwanted.drain(..) {
            self.log.pass(first, last);
            self.dirty = true;
        }
        for (filter, count) in skimmed.filtered.drain() {
            self.metrics.filtered(filter).inc_by(count);
            self.shared.filtered.fetch_add(count, Atomic::Relaxed);
        }
        let lost = std::mem::take(&mut skimmed.lost);
        for (first, last) in lost {
            self.lost(first, last);
        }
        if !expired.is_empty() {
            self.bury_unsent(expired, bulkhead_store::Cause::BacklogAge);
        }
    }

    /// The journal cannot give these events any more. It has said so in the log; they settle, because
    /// waiting would not bring them back.
    fn lost(&mut self, first: Seq, last: Seq) {
        // Told first: a dead letter that was replayed into these places must not pass for delivered.
        (self.context.parts.notices)(crate::notice::Notice::Lost { lane: self.shared.id.clone(), first: first.0, last: last.0 });
        self.log.settle(first, last);
        self.dirty = true;
        self.metrics.rejected("lost").inc_by(last.0 - first.0 + 1);
        self.shared.fail(self.context.unix_ms(), "lost", &format!("events {first} to {last} cannot be read from the journal"));
    }

    /// False where reading has ended for good.
    fn read_failed(&mut self, error: &ReadError, now: Duration) -> bool {
        if matches!(error, ReadError::Closed) {
            return false;
        }
        tracing::error!(lane = %self.shared.id, error = error as &dyn std::error::Error, "journal not readable, trying again");
        self.shared.fail(self.context.unix_ms(), "journal", &error.to_string());
        self.read_again_at = Some(now + AFTER_ERROR);
        true
    }

    /// When to look again after what could be done at `looked` is done.
    fn wake_at(&self, looked: Duration) -> Duration {
        let mut wake = self.next_tick;
        let times = [
            self.gate_until,
            self.read_again_at,
            self.feed.delayed_until(),
            self.schedule.next_due(),
            self.pending.next_due(),
            if let crate::batch::Ready::Until(at) = self.feed.ready(Duration::ZERO, self.draining) { Some(at) } else { None },
        ];
        // What was due already waits for a slot, a worker or the gate, not for time. What came due since,
        // while the disk was waited for, was not looked at yet.
        for at in times.into_iter().flatten().filter(|at| *at > looked) {
            wake = wake.min(at);
        }
        wake
    }

    /// Nothing under way, and nothing more can be sent now.
    fn is_drained(&self) -> bool {
        let idle = self.feed.len() == 0 && self.returned.is_empty() && self.burying.is_empty() && self.doomed.is_empty();
        let read_all = self.feed.has_read(self.context.parts.journal.head()) || self.feed.delayed_until().is_some() || self.read_again_at.is_some();
        self.jobs_in_flight == 0 && self.waiting.is_none() && self.slot.is_none() && (self.blocked || (idle && read_all))
    }

    /// Lets the workers' connectors take leave; each has a short deadline for that. Cancel safe: cancelled,
    /// the workers end with the driver.
    async fn retire(&mut self) {
        self.workers.clear();
        while self.tasks.join_next().await.is_some() {}
    }

    fn worker(&mut self) -> Option<usize> {
        if let Some(worker) = self.idle.pop() {
            return Some(worker);
        }
        let number = self.workers.len();
        if number >= self.instance.settings.concurrency.max as usize {
            return None;
        }
        let worker = Worker::new(Arc::clone(&self.context), Arc::clone(&self.instance), Arc::clone(&self.shared), Arc::clone(&self.formatter));
        let (work_to, work) = mpsc::channel(1);
        self.tasks.spawn(worker.run(number, work, self.done_to.clone()));
        self.workers.push(work_to);
        Some(number)
    }

    fn flush(&mut self) {
        if !self.dirty {
            return;
        }
        match self.log.flush() {
            Ok(()) => self.dirty = false,
            // It is in memory and written with the next flush that works; until then events may repeat.
            Err(error) => tracing::warn!(lane = %self.shared.id, error = &error as &dyn std::error::Error, "lane log not written"),
        }
    }

    fn show(&mut self) {
        let view = View { cursor: self.log.cursor(), backlog: self.log.backlog(), oldest_ms: self.oldest.receipt_ms, ..self.counts() };
        self.shared.show(view);
    }

    /// What costs nothing to tell after every round.
    fn counts(&self) -> View {
        View {
            in_flight: self.events_in_flight,
            retrying: self.schedule.len() as u64,
            unconfirmed: self.pending.len() as u64,
            next_retry: self.schedule.next_due(),
            ..self.shared.view()
        }
    }
}

/// Never ends where nothing is waited for.
async fn wait_for(waiting: &mut Option<SlotFuture>) -> Option<Slot> {
    match waiting {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
