//! The reading end of a lane: frames in, the next batch out. Knows routing, filters, order by key and the
//! backlog's age; knows nothing of workers and receivers.
//!
//! Memory is bounded: one batch is filled ahead, its frames pin at most [`PINNED`] bytes, and events that
//! wait for their key are counted against [`PARKED`].

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bulkhead_core::{LaneId, Seq};
use bulkhead_journal::{Frame, LaneState, ReadError, Reader};
use bulkhead_route::{FilterChain, LaneIndex, Verdict};

use crate::batch::{BatchSettings, Batcher, Ready};
use crate::herald::{Herald, Interest};
use crate::job::Job;
use crate::jumps::Expiry;
use crate::ordering::{Keys, Ordering};
use crate::routing::{FrameRoutes, RoutingTable};

/// Bytes of frames that the batch being filled may keep in memory: a batch may want one small event of
/// each of many large requests.
const PINNED: usize = 16 << 20;
/// Events that wait for their key.
const PARKED: usize = 10_000;

pub(crate) struct Feed {
    lane: LaneId,
    reader: Reader,
    routing: Arc<RoutingTable>,
    filters: FilterChain,
    limits: BatchSettings,
    current: Option<Current>,
    /// The next event to look at. A reader hands out whole requests, also the one that holds the cursor.
    next: u64,
    /// Settled or scheduled before this start: ranges and single places, rising, to be passed over.
    known: Known,
    keys: Option<Keys<Parked>>,
    /// Names the batch being filled; keys that entered it may take more events.
    batch: u64,
    open: Job,
    batcher: Batcher,
    herald: Arc<Herald>,
    interest: Arc<Interest>,
    /// The next event did not fit.
    closed: bool,
    /// Unwanted places right behind the last event.
    trail: Option<(u64, u64)>,
    /// A filter asked for patience.
    delayed: Option<Duration>,
    out: Skimmed,
}

/// What reading brought beside the batch.
#[derive(Debug, Default)]
pub(crate) struct Skimmed {
    /// Unwanted places to be settled on their own.
    pub unwanted: Vec<(Seq, Seq)>,
    /// Events that filters held back.
    pub filtered: HashMap<&'static str, u64>,
    /// Events older than the backlog may be.
    pub expired: Job,
    /// Events that are in the journal no more.
    pub lost: Vec<(Seq, Seq)>,
}

struct Current {
    frame: Arc<Frame>,
    next: usize,
    routes: Arc<FrameRoutes>,
    lane: Option<LaneIndex>,
}

/// An event that waits for its key.
#[derive(Debug)]
pub(crate) struct Parked {
    frame: Arc<Frame>,
    index: usize,
    lead: u32,
}

/// Places that the lane's log knew at the start. Reading is forward only, so each is passed once.
#[derive(Debug, Default)]
struct Known {
    settled: std::collections::VecDeque<(u64, u64)>,
    waiting: std::collections::VecDeque<u64>,
}

impl Known {
    fn of(state: &LaneState) -> Self {
        Self { settled: state.settled_above().map(|(first, last)| (first.0, last.0)).collect(), waiting: state.retries().map(|(seq, _)| seq.0).collect() }
    }

    fn passes_over(&mut self, seq: u64) -> bool {
        while self.settled.front().is_some_and(|(_, last)| *last < seq) {
            self.settled.pop_front();
        }
        while self.waiting.front().is_some_and(|waiting| *waiting < seq) {
            self.waiting.pop_front();
        }
        self.waiting.front() == Some(&seq) || self.settled.front().is_some_and(|(first, _)| *first <= seq)
    }

    fn is_empty(&self) -> bool {
        self.settled.is_empty() && self.waiting.is_empty()
    }
}

impl Feed {
    /// `reader` stands at the lane's cursor.
    pub fn new(
        lane: LaneId,
        reader: Reader,
        state: &LaneState,
        context: &crate::context::Context,
        filters: FilterChain,
        ordering: Ordering,
        limits: BatchSettings,
    ) -> Self {
        Self {
            herald: Arc::clone(&context.herald),
            interest: context.herald.register(lane.clone()),
            routing: Arc::clone(&context.parts.routing),
            lane,
            reader,
            filters,
            limits,
            current: None,
            next: state.cursor().0 + 1,
            known: Known::of(state),
            keys: (ordering == Ordering::Key).then(Keys::default),
            batch: 1,
            open: Job::default(),
            batcher: Batcher::default(),
            closed: false,
            trail: None,
            delayed: None,
            out: Skimmed::default(),
        }
    }

    /// Smaller batches from now on, as the connector asked.
    pub fn limit(&mut self, max_events: u32, max_bytes: u64) {
        self.limits.max_events = self.limits.max_events.min(max_events.max(1));
        self.limits.max_bytes = self.limits.max_bytes.min(max_bytes.max(1));
    }

    /// Reads on until the batch is full or nothing more is in memory; does not wait. The error is to be
    /// told by waiting for the next frame.
    pub fn fill(&mut self, now: Duration, expiry: &Expiry) -> Result<(), ReadError> {
        self.delayed = self.delayed.filter(|until| *until > now);
        self.unpark(now);
        self.leap();
        while self.wants_more() {
            if self.current.is_none() {
                if !self.herald.has_for(&self.interest, self.next) {
                    break;
                }
                let polled = pin!(self.reader.next()).poll(&mut Context::from_waker(Waker::noop()));
                match polled {
                    Poll::Ready(Ok(frame)) => self.enter(frame),
                    Poll::Ready(Err(error)) => self.skip_lost(error)?,
                    Poll::Pending => break,
                }
            }
            self.skim(now, expiry);
        }
        if self.open.is_empty()
            && let Some(range) = self.trail.take()
        {
            self.out.unwanted.push((Seq(range.0), Seq(range.1)));
        }
        Ok(())
    }

    /// Waits for the next frame with something for this lane, or for a word that there may be one. Cancel
    /// safe.
    pub async fn wait(&mut self) -> Result<(), ReadError> {
        if !self.herald.has_for(&self.interest, self.next) {
            self.interest.told().await;
            return Ok(());
        }
        match self.reader.next().await {
            Ok(frame) => {
                self.enter(frame);
                Ok(())
            }
            Err(error) => self.skip_lost(error),
        }
    }

    /// Whether waiting for frames makes sense: there is room and nothing to work on.
    pub fn wants_frames(&self) -> bool {
        self.current.is_none() && self.wants_more()
    }

    /// Events that could go now; see [`Batcher::ready`]. `hurry` ends every linger.
    pub fn ready(&self, now: Duration, hurry: bool) -> Ready {
        let closed = self.closed || hurry || self.open.pinned() >= PINNED;
        self.batcher.ready(now, closed, &self.limits)
    }

    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// How many of the batch's first events have waited too long.
    pub fn count_older(&self, expiry: &Expiry) -> usize {
        self.open.count_older(expiry)
    }

    pub fn delayed_until(&self) -> Option<Duration> {
        self.delayed
    }

    /// Takes at most `most` events of the batch.
    pub fn take(&mut self, most: usize, now: Duration) -> Job {
        let job = self.open.split_to(most);
        self.batcher.take();
        for i in 0..self.open.len() {
            self.batcher.add(self.open.stored(i).len() as u64, now);
        }
        self.closed = false;
        if self.open.is_empty() {
            self.batch += 1;
        }
        if let Some(keys) = &mut self.keys {
            for key in job.keys() {
                keys.close(*key);
            }
        }
        job
    }

    /// A batch's buffers, to be filled again.
    pub fn reuse(&mut self, mut job: Job) {
        if self.open.is_empty() {
            job.clear();
            self.open = job;
        }
    }

    pub fn skimmed(&mut self) -> &mut Skimmed {
        &mut self.out
    }

    /// The keys under way, where the lane keeps order by key.
    pub fn keys(&mut self) -> Option<&mut Keys<Parked>> {
        self.keys.as_mut()
    }

    /// Whether the lane wants this event, whatever a rate limit says.
    pub fn would_take(&self, frame: &Frame, index: usize) -> bool {
        let routing = self.routing.current();
        routing.index(&self.lane).is_some_and(|lane| routing.routes(frame).wants(index, lane)) && self.filters.held_back(&frame.event(index)).is_none()
    }

    /// The event waits no more by itself: it is handed out when reading comes to it.
    pub fn forget(&mut self, seq: Seq) {
        self.known.waiting.retain(|waiting| *waiting != seq.0);
    }

    fn wants_more(&self) -> bool {
        self.delayed.is_none()
            && !self.closed
            && self.open.pinned() < PINNED
            && self.batcher.fits(0, &self.limits)
            && self.out.expired.len() < self.limits.max_events as usize
            && self.keys.as_ref().is_none_or(|keys| keys.waiting() < PARKED)
    }

    fn enter(&mut self, frame: Arc<Frame>) {
        let routing = self.routing.current();
        let (routes, lane) = (routing.routes(&frame), routing.index(&self.lane));
        let next = self.next.saturating_sub(frame.first().0) as usize;
        self.next = frame.last().0 + 1;
        self.current = Some(Current { frame, next, routes, lane });
    }

    /// Goes through the frame in hand until its end or the batch's.
    fn skim(&mut self, now: Duration, expiry: &Expiry) {
        let Some(mut current) = self.current.take() else { return };
        let frame = &current.frame;
        let plain = self.known.is_empty() && self.filters.is_empty() && self.keys.is_none() && expiry.is_never();
        while current.next < frame.len() {
            let (index, seq) = (current.next, frame.seq(current.next).0);
            if !plain && self.known.passes_over(seq) {
                current.next += 1;
                continue;
            }
            if !current.lane.is_some_and(|lane| current.routes.wants(index, lane)) {
                current.next += 1;
                self.pass(seq, seq);
                continue;
            }
            let bytes = frame.stored(index).len() as u64;
            if !self.batcher.fits(bytes, &self.limits) {
                self.closed = true;
                break;
            }
            if !plain {
                let event = frame.event(index);
                if expiry.is_past(Seq(seq), event.received()) {
                    let lead = self.lead(seq);
                    self.out.expired.push(frame, index, lead, None);
                    current.next += 1;
                    if self.out.expired.len() >= self.limits.max_events as usize {
                        break;
                    }
                    continue;
                }
                match self.filters.check(&event, now) {
                    Verdict::Pass => {}
                    Verdict::Drop(filter) => {
                        *self.out.filtered.entry(filter).or_default() += 1;
                        current.next += 1;
                        self.pass(seq, seq);
                        continue;
                    }
                    Verdict::Delay(wait) => {
                        self.delayed = Some(now + wait);
                        break;
                    }
                }
                if let Some(keys) = &mut self.keys {
                    let key = keys.key(&event);
                    current.next += 1;
                    let enters = keys.enter(key, self.batch);
                    let lead = self.lead(seq);
                    if enters {
                        self.open.push(frame, index, lead, Some(key));
                        self.batcher.add(bytes, now);
                    } else if let Some(keys) = &mut self.keys {
                        keys.park(key, Parked { frame: Arc::clone(frame), index, lead });
                        if keys.waiting() >= PARKED {
                            break;
                        }
                    }
                    continue;
                }
            }
            let lead = self.lead(seq);
            self.open.push(frame, index, lead, None);
            self.batcher.add(bytes, now);
            current.next += 1;
        }
        if current.next < frame.len() {
            self.current = Some(current);
        }
    }

    /// Takes parked events whose key came free.
    fn unpark(&mut self, now: Duration) {
        let Some(keys) = &mut self.keys else { return };
        while self.batcher.fits(0, &self.limits) && self.open.pinned() < PINNED {
            let Some((key, parked)) = keys.unpark(self.batch) else { break };
            self.batcher.add(parked.frame.stored(parked.index).len() as u64, now);
            self.open.push(&parked.frame, parked.index, parked.lead, Some(key));
        }
    }

    /// Goes to where the herald saw nothing for this lane, without reading.
    fn leap(&mut self) {
        if self.current.is_some() {
            return;
        }
        if let Some(until) = self.herald.nothing_until(&self.interest, self.next) {
            self.pass(self.next, until);
            self.reader.seek(Seq(until));
            self.next = until + 1;
        }
    }

    /// Whether everything up to `head` was looked at. Asked while draining: the herald then tells of its
    /// progress too.
    pub fn has_read(&self, head: Seq) -> bool {
        self.herald.hurry(&self.interest);
        self.current.is_none() && self.next > head.0
    }

    /// Unwanted places: they wait for the next wanted one, to be settled with it.
    fn pass(&mut self, first: u64, last: u64) {
        match &mut self.trail {
            Some((_, end)) if *end + 1 == first => *end = last,
            trail => {
                if let Some(range) = trail.replace((first, last)) {
                    self.out.unwanted.push((Seq(range.0), Seq(range.1)));
                }
            }
        }
    }

    /// How many unwanted places lie right before this one.
    fn lead(&mut self, seq: u64) -> u32 {
        match self.trail.take() {
            Some((first, last)) if last + 1 == seq && seq - first <= u64::from(u32::MAX) => (seq - first) as u32,
            Some(range) => {
                self.out.unwanted.push((Seq(range.0), Seq(range.1)));
                0
            }
            None => 0,
        }
    }

    fn skip_lost(&mut self, error: ReadError) -> Result<(), ReadError> {
        match error {
            ReadError::Lost { first, last, .. } => {
                self.out.lost.push((first, last));
                self.next = last.0 + 1;
            }
            ReadError::Gone { first, last } => {
                self.out.unwanted.push((first, last));
                self.next = last.0 + 1;
            }
            error => return Err(error),
        }
        Ok(())
    }
}
