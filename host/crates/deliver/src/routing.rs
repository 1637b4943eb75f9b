//! Routes each frame once for all lanes: the first lane that reads it leaves the decisions in the frame.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bulkhead_core::LaneId;
use bulkhead_journal::Frame;
use bulkhead_observe::Metrics;
use bulkhead_route::{Decision, LaneIndex, Router};

/// The rules in force. A change makes a new generation; frames routed before are routed again.
pub struct RoutingTable {
    current: RwLock<Arc<Routing>>,
    shared: Arc<Counts>,
}

struct Counts {
    metrics: Metrics,
    /// Events up to here are counted: frames read a second time must not count twice.
    counted: AtomicU64,
}

pub(crate) struct Routing {
    pub generation: u64,
    router: Router,
    lanes: HashMap<LaneId, LaneIndex>,
    counts: Arc<Counts>,
}

/// Which lanes want which events of a frame.
pub(crate) struct FrameRoutes {
    generation: u64,
    /// Words of each event's set of lanes, one event behind the other.
    words: Box<[u64]>,
    each: usize,
}

impl RoutingTable {
    /// `lanes` gives each lane's place as the rules name it.
    pub fn new(router: Router, lanes: HashMap<LaneId, LaneIndex>, metrics: &Metrics) -> Arc<Self> {
        let shared = Arc::new(Counts { metrics: metrics.clone(), counted: AtomicU64::new(0) });
        let first = Routing { generation: 1, router, lanes, counts: Arc::clone(&shared) };
        Arc::new(Self { current: RwLock::new(Arc::new(first)), shared })
    }

    /// Puts other rules in force, for every event that a lane has not read yet.
    pub fn replace(&self, router: Router, lanes: HashMap<LaneId, LaneIndex>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let generation = current.generation + 1;
        *current = Arc::new(Routing { generation, router, lanes, counts: Arc::clone(&self.shared) });
    }

    pub(crate) fn current(&self) -> Arc<Routing> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Routing {
    /// A lane that no rule knows wants nothing.
    pub fn index(&self, lane: &LaneId) -> Option<LaneIndex> {
        self.lanes.get(lane).copied()
    }

    /// The lane of this name, `instance/format`.
    fn named(&self, name: &str) -> Option<LaneIndex> {
        let (instance, format) = name.rsplit_once('/')?;
        self.index(&LaneId::new(instance, format))
    }

    pub fn routes(&self, frame: &Frame) -> Arc<FrameRoutes> {
        let memo = frame.memo.get_or_init(|| Arc::new(self.route(frame)) as Arc<dyn Any + Send + Sync>);
        match Arc::clone(memo).downcast::<FrameRoutes>() {
            Ok(routes) if routes.generation == self.generation => routes,
            // Read before the rules changed; the memo can be set only once.
            _ => Arc::new(self.route(frame)),
        }
    }

    fn route(&self, frame: &Frame) -> FrameRoutes {
        let counted = self.counts.counted.fetch_max(frame.last().0, Ordering::Relaxed);
        let mut set = self.router.lane_set();
        let each = set.words().len();
        let mut words = Vec::with_capacity(each * frame.len());
        let mut unrouted = 0;
        for index in 0..frame.len() {
            let event = frame.event(index);
            let decision = match event.lane() {
                // A replay: its lane was decided when the event first came in.
                Some(lane) => {
                    set.clear();
                    self.named(lane).into_iter().for_each(|lane| set.insert(lane));
                    Decision::Matched
                }
                None => self.router.route(&event, &mut set),
            };
            words.extend_from_slice(set.words());
            if frame.seq(index).0 > counted {
                match decision {
                    Decision::Unrouted => unrouted += 1,
                    Decision::Dropped(filter) => self.counts.metrics.filtered(filter).inc(),
                    Decision::Matched | Decision::Default => {}
                }
            }
        }
        self.counts.metrics.unrouted.inc_by(unrouted);
        FrameRoutes { generation: self.generation, words: words.into(), each }
    }
}

impl FrameRoutes {
    pub fn wants(&self, index: usize, lane: LaneIndex) -> bool {
        let lane = usize::from(lane.0);
        lane / 64 < self.each && self.words.get(index * self.each + lane / 64).is_some_and(|word| word >> (lane % 64) & 1 != 0)
    }
}
