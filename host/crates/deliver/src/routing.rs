//! Routes each frame once for all lanes: the first lane that reads it leaves the decisions in the frame.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bulkhead_core::{EventRef, LaneId};
use bulkhead_journal::Frame;
use bulkhead_observe::Metrics;
use bulkhead_route::{Decision, LaneIndex, LaneSet, Router};

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
    sets: Sets,
}

/// The sets of a frame's events. As words they cost a bit a lane and event, which is nothing for few lanes
/// and more than the events themselves for thousands.
enum Sets {
    Words {
        words: Box<[u64]>,
        each: usize,
    },
    /// Each event's part of `lanes`, rising; neighbours with the same lanes share one.
    Lists {
        lanes: Box<[LaneIndex]>,
        parts: Box<[(u32, u32)]>,
    },
}

/// Sets of more words than this are kept as lists.
const MOST_WORDS: usize = 4;

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

    /// Which accepted events the rules in force select for a lane; nothing for one that they do not know.
    pub fn chooser(&self, lane: &LaneId) -> Option<Chooser> {
        let routing = self.current();
        let (lane, set) = (routing.index(lane)?, routing.router.lane_set());
        Some(Chooser { routing, lane, set })
    }

    /// The rules in force, for who looks on.
    pub fn look(&self) -> Look {
        let routing = self.current();
        let set = routing.router.lane_set();
        let mut names: Vec<_> = routing.lanes.iter().map(|(lane, index)| (index.0, lane.clone())).collect();
        names.sort_unstable_by_key(|(index, _)| *index);
        Look { routing, set, names: names.into_iter().map(|(_, lane)| lane).collect() }
    }

    pub(crate) fn current(&self) -> Arc<Routing> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Which rules match and which lanes are chosen, for who looks on beside the lanes: nothing is counted.
pub struct Look {
    routing: Arc<Routing>,
    set: LaneSet,
    names: Vec<LaneId>,
}

impl Look {
    /// Ids of the rules that matched, and the lanes. What was replayed goes to its own lane, by no rule.
    pub fn at(&mut self, event: &EventRef<'_>) -> (Vec<Box<str>>, Vec<&LaneId>) {
        let mut routes = Vec::new();
        match event.lane() {
            Some(lane) => {
                self.set.clear();
                self.routing.named(lane, event).into_iter().for_each(|lane| self.set.insert(lane));
            }
            None => {
                self.routing.router.route_with(event, &mut self.set, |route| routes.push(route.into()));
            }
        }
        (routes, self.set.iter().filter_map(|lane| self.names.get(usize::from(lane.0))).collect())
    }

    /// Whether other rules are in force by now.
    pub fn is_stale(&self, table: &RoutingTable) -> bool {
        self.routing.generation != table.current().generation
    }
}

/// Decides for one lane, beside the lanes' own reading: nothing is counted.
pub struct Chooser {
    routing: Arc<Routing>,
    lane: LaneIndex,
    set: LaneSet,
}

impl Chooser {
    /// What was replayed was no acceptance: it is never selected.
    pub fn wants(&mut self, event: &EventRef<'_>) -> bool {
        if event.lane().is_some() {
            return false;
        }
        self.routing.router.route(event, &mut self.set);
        self.set.contains(self.lane)
    }
}

impl Routing {
    /// A lane that no rule knows wants nothing.
    pub fn index(&self, lane: &LaneId) -> Option<LaneIndex> {
        self.lanes.get(lane).copied()
    }

    /// The lane of this name, `instance/format`, that an event was put into the journal for.
    fn named(&self, name: &str, event: &EventRef<'_>) -> Option<LaneIndex> {
        let (instance, format) = name.rsplit_once('/')?;
        self.index(&LaneId::new(instance, format)).filter(|lane| self.router.is_for(*lane, event.received()))
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
        let mut sets = Collect::new(set.words().len(), frame.len());
        let mut unrouted = 0;
        for index in 0..frame.len() {
            let event = frame.event(index);
            let decision = match event.lane() {
                // A replay: its lane was decided when the event first came in.
                Some(lane) => {
                    set.clear();
                    self.named(lane, &event).into_iter().for_each(|lane| set.insert(lane));
                    Decision::Matched
                }
                None => self.router.route(&event, &mut set),
            };
            sets.add(&set);
            if frame.seq(index).0 > counted {
                match decision {
                    Decision::Unrouted => unrouted += 1,
                    Decision::Dropped(filter) => self.counts.metrics.filtered(filter).inc(),
                    Decision::Matched | Decision::Default => {}
                }
            }
        }
        self.counts.metrics.unrouted.inc_by(unrouted);
        FrameRoutes { generation: self.generation, sets: sets.done() }
    }
}

impl FrameRoutes {
    pub fn wants(&self, index: usize, lane: LaneIndex) -> bool {
        match &self.sets {
            Sets::Words { words, each } => {
                let lane = usize::from(lane.0);
                lane / 64 < *each && words.get(index * each + lane / 64).is_some_and(|word| word >> (lane % 64) & 1 != 0)
            }
            Sets::Lists { lanes, parts } => parts.get(index).is_some_and(|(from, to)| lanes[*from as usize..*to as usize].binary_search(&lane).is_ok()),
        }
    }

    /// Every lane that wants something of the frame; one may come several times.
    pub fn each_lane(&self, mut tell: impl FnMut(LaneIndex)) {
        match &self.sets {
            Sets::Words { words, each } => {
                for at in 0..*each {
                    let mut any = words.iter().skip(at).step_by(*each).fold(0, |any, word| any | word);
                    while any != 0 {
                        tell(LaneIndex((at * 64) as u16 + any.trailing_zeros() as u16));
                        any &= any - 1;
                    }
                }
            }
            Sets::Lists { lanes, .. } => lanes.iter().copied().for_each(tell),
        }
    }
}

/// Gathers sets while a frame is routed.
struct Collect {
    each: usize,
    words: Vec<u64>,
    lanes: Vec<LaneIndex>,
    parts: Vec<(u32, u32)>,
    last: Vec<LaneIndex>,
}

impl Collect {
    fn new(each: usize, events: usize) -> Self {
        let dense = each <= MOST_WORDS;
        Self {
            each,
            words: Vec::with_capacity(if dense { each * events } else { 0 }),
            lanes: Vec::new(),
            parts: Vec::with_capacity(if dense { 0 } else { events }),
            last: Vec::new(),
        }
    }

    fn add(&mut self, set: &LaneSet) {
        if self.each <= MOST_WORDS {
            self.words.extend_from_slice(set.words());
            return;
        }
        self.last.clear();
        self.last.extend(set.iter());
        let part = match self.parts.last() {
            Some((from, to)) if self.lanes[*from as usize..*to as usize] == self.last[..] => (*from, *to),
            _ => {
                let from = self.lanes.len() as u32;
                self.lanes.extend_from_slice(&self.last);
                (from, self.lanes.len() as u32)
            }
        };
        self.parts.push(part);
    }

    fn done(self) -> Sets {
        if self.each <= MOST_WORDS {
            Sets::Words { words: self.words.into(), each: self.each }
        } else {
            Sets::Lists { lanes: self.lanes.into(), parts: self.parts.into() }
        }
    }
}

#[cfg(test)]
mod tests;
