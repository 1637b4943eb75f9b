//! Tells lanes what is for them. One task reads the end of the journal, routes each frame once, and wakes
//! only the lanes that want something of it; the others learn at their next look how far nothing was for
//! them and leap there. Without it every frame would wake every lane: with thousands of lanes that costs
//! more than everything else together.
//!
//! Promises: a lane is woken for every frame behind its registration that holds something for it; what a
//! lane is told to leap over holds nothing for it under the rules in force when the frame was routed.
//! Should this task end, lanes read for themselves again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bulkhead_core::{LaneId, Seq};
use bulkhead_journal::{Frame, Journal, ReadError};
use bulkhead_route::LaneIndex;
use tokio::sync::Notify;

use crate::routing::{Routing, RoutingTable};

/// Pause after the journal could not be read; lanes are woken and say so themselves.
const AFTER_ERROR: Duration = Duration::from_secs(1);

pub(crate) struct Herald {
    journal: Journal,
    routing: Arc<RoutingTable>,
    /// Everything up to here was routed, and who wants it was told.
    routed: AtomicU64,
    /// Lanes read for themselves.
    gone: AtomicBool,
    /// Some lane wants to hear of every frame.
    eager: AtomicBool,
    lanes: Mutex<Lanes>,
}

#[derive(Default)]
struct Lanes {
    all: Vec<Weak<Interest>>,
    /// By their place in the rules of a generation.
    places: Vec<Weak<Interest>>,
    /// 0: `places` is to be made again.
    generation: u64,
}

/// One lane's side.
pub(crate) struct Interest {
    lane: LaneId,
    /// What lies up to here the lane reads for itself.
    since: u64,
    /// The last event of the latest frame with something for it.
    wanted: AtomicU64,
    eager: AtomicBool,
    wake: Notify,
}

impl Interest {
    /// Waits until there may be something. Cancel safe.
    pub async fn told(&self) {
        self.wake.notified().await;
    }

    fn tell(&self, last: Seq) {
        self.wanted.fetch_max(last.0, Ordering::AcqRel);
        self.wake.notify_one();
    }
}

impl Herald {
    pub fn new(journal: Journal, routing: Arc<RoutingTable>) -> Arc<Self> {
        let routed = AtomicU64::new(journal.head().0);
        Arc::new(Self { journal, routing, routed, gone: AtomicBool::new(false), eager: AtomicBool::new(false), lanes: Mutex::default() })
    }

    pub fn register(&self, lane: LaneId) -> Arc<Interest> {
        let mut lanes = self.lock();
        // Under the lock no frame is between being routed and being told.
        let since = self.routed.load(Ordering::Acquire);
        let interest = Arc::new(Interest { lane, since, wanted: AtomicU64::new(0), eager: AtomicBool::new(false), wake: Notify::new() });
        lanes.all.retain(|lane| lane.strong_count() > 0);
        lanes.all.push(Arc::downgrade(&interest));
        lanes.generation = 0;
        interest
    }

    /// Whether the lane should read on from `next`; otherwise it waits to be told.
    pub fn has_for(&self, interest: &Interest, next: u64) -> bool {
        next <= interest.since || interest.wanted.load(Ordering::Acquire) >= next || self.gone.load(Ordering::Acquire)
    }

    /// How far nothing is for the lane, from `next` on.
    pub fn nothing_until(&self, interest: &Interest, next: u64) -> Option<u64> {
        // In this order: what was routed up to here is in `wanted` by now.
        let routed = self.routed.load(Ordering::Acquire);
        (routed >= next && next > interest.since && interest.wanted.load(Ordering::Acquire) < next).then_some(routed)
    }

    /// The lane hears of every frame from now on, since it waits for the end.
    pub fn hurry(&self, interest: &Interest) {
        if !interest.eager.swap(true, Ordering::AcqRel) {
            let _lanes = self.lock();
            self.eager.store(true, Ordering::Release);
            // What was routed before was not told.
            interest.wake.notify_one();
        }
    }

    pub async fn run(self: Arc<Self>) {
        let _end = End(&self);
        let mut reader = self.journal.reader(Seq(self.routed.load(Ordering::Acquire)));
        loop {
            match reader.next().await {
                Ok(frame) => self.announce(&frame),
                // Each lane finds out for itself what that means to it.
                Err(ReadError::Lost { last, .. } | ReadError::Gone { last, .. }) => self.tell_all(last, true),
                Err(ReadError::Closed) => return,
                Err(error) => {
                    tracing::error!(%error, "journal not readable, trying again");
                    self.tell_all(reader.position(), false);
                    tokio::time::sleep(AFTER_ERROR).await;
                }
            }
        }
    }

    fn announce(&self, frame: &Arc<Frame>) {
        let routing = self.routing.current();
        let routes = routing.routes(frame);
        let mut lanes = self.lock();
        lanes.place(&routing);
        routes.each_lane(|index| {
            if let Some(interest) = lanes.places.get(usize::from(index.0)).and_then(Weak::upgrade) {
                interest.tell(frame.last());
            }
        });
        self.routed.store(frame.last().0, Ordering::Release);
        if self.eager.load(Ordering::Acquire) {
            let eager: Vec<_> = lanes.all.iter().filter_map(Weak::upgrade).filter(|interest| interest.eager.load(Ordering::Acquire)).collect();
            eager.iter().for_each(|interest| interest.wake.notify_one());
            // Those that drained are gone.
            self.eager.store(!eager.is_empty(), Ordering::Release);
        }
    }

    fn tell_all(&self, last: Seq, routed: bool) {
        let lanes = self.lock();
        lanes.all.iter().filter_map(Weak::upgrade).for_each(|interest| interest.tell(last));
        if routed {
            self.routed.store(last.0, Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lanes {
    fn place(&mut self, routing: &Routing) {
        if self.generation == routing.generation {
            return;
        }
        self.generation = routing.generation;
        self.places.clear();
        for lane in &self.all {
            let Some(LaneIndex(index)) = lane.upgrade().and_then(|interest| routing.index(&interest.lane)) else { continue };
            let index = usize::from(index);
            if self.places.len() <= index {
                self.places.resize_with(index + 1, Weak::new);
            }
            self.places[index] = lane.clone();
        }
    }
}

/// However the task ends, no lane waits for it any more.
struct End<'a>(&'a Herald);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.gone.store(true, Ordering::Release);
        self.0.lock().all.iter().filter_map(Weak::upgrade).for_each(|interest| interest.wake.notify_one());
    }
}
