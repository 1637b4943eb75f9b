//! What really happened: what receivers took, what the host may repeat, in which order things came.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bulkhead_core::Seq;

use super::net::FATES;
use crate::{LaneStatus, Ordering};

/// An event's number: its id without the letter.
pub type Number = u64;
/// Keys that events have.
pub const KEYS: u64 = 5;
/// Longest that the host waits for a confirmation.
pub const EXPIRY: Duration = Duration::from_secs(600);

/// What was met, so that a test can tell that it was.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub kills: u64,
    pub power_cuts: u64,
    pub down_in_a_step: u64,
    pub calls: u64,
    pub repeated: u64,
    pub letters: u64,
    pub slots_moved: u64,
    pub fates: [u64; FATES],
}

impl Seen {
    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.kills, other.kills),
            (&mut self.power_cuts, other.power_cuts),
            (&mut self.down_in_a_step, other.down_in_a_step),
            (&mut self.calls, other.calls),
            (&mut self.repeated, other.repeated),
            (&mut self.letters, other.letters),
            (&mut self.slots_moved, other.slots_moved),
        ];
        pairs.into_iter().chain(self.fates.iter_mut().zip(other.fates)).for_each(|(sum, more)| *sum += more);
    }
}

#[derive(Debug, Default)]
pub struct Truth {
    /// Everything that was ever handed to the journal, and where what was acknowledged is.
    pub asked: BTreeSet<Number>,
    pub acknowledged: BTreeMap<Number, Seq>,
    pub lanes: Vec<LaneTruth>,
    pub violations: Vec<String>,
    pub trace: String,
    pub seen: Seen,
}

#[derive(Debug)]
pub struct LaneTruth {
    pub name: String,
    ordering: Ordering,
    /// How often the receiver took it.
    arrived: BTreeMap<Number, u32>,
    /// How often it may come once more.
    forgiven: BTreeMap<Number, u32>,
    /// The latest first arrival of each key.
    latest: BTreeMap<Number, Number>,
    /// Accepted, the host was told, and perhaps not yet in the lane's log.
    told: Vec<Number>,
    /// In the lane's log and perhaps not yet synced.
    flushed: Vec<Number>,
    /// Taken and to be confirmed, since when.
    pending: BTreeMap<Number, Duration>,
    pub letters: BTreeSet<Number>,
}

impl LaneTruth {
    pub fn new(name: String, ordering: Ordering) -> Self {
        Self {
            name,
            ordering,
            arrived: BTreeMap::new(),
            forgiven: BTreeMap::new(),
            latest: BTreeMap::new(),
            told: Vec::new(),
            flushed: Vec::new(),
            pending: BTreeMap::new(),
            letters: BTreeSet::new(),
        }
    }

    /// The host may send these once more.
    pub fn forgive(&mut self, events: &[Number]) {
        for event in events {
            *self.forgiven.entry(*event).or_default() += 1;
        }
    }

    /// The host knows that these were accepted.
    pub fn accepted(&mut self, events: &[Number]) {
        for event in events {
            self.pending.remove(event);
        }
        self.told.extend(events);
    }

    pub fn pending(&mut self, events: &[Number], now: Duration) {
        self.pending.extend(events.iter().map(|event| (*event, now)));
    }

    /// The receiver wants them again after all.
    pub fn unconfirmed(&mut self, event: Number) {
        self.pending.remove(&event);
        self.forgive(&[event]);
    }

    /// Everything that could run has run: what the lane has settled is in its log. What it was told and has
    /// not settled is part of a batch under way; without one, it has forgotten it.
    /// Where an event is that was never acknowledged is not known.
    pub fn quiet(&mut self, is_settled: impl Fn(&Number) -> Option<bool>, in_flight: u64) -> Option<String> {
        let (settled, open) = std::mem::take(&mut self.told).into_iter().partition(|event| is_settled(event) == Some(true));
        self.told = open;
        self.flushed.extend::<Vec<Number>>(settled);
        let lost = self.told.iter().find(|event| in_flight == 0 && is_settled(event) == Some(false));
        lost.map(|event| format!("{}: e{event} was accepted and is not settled", self.name))
    }

    pub fn synced(&mut self) {
        self.flushed.clear();
    }

    pub fn crashed(&mut self, power: bool) {
        let mut open: Vec<Number> = std::mem::take(&mut self.told);
        open.extend(std::mem::take(&mut self.pending).into_keys());
        let flushed = std::mem::take(&mut self.flushed);
        if power {
            open.extend(flushed);
        } else {
            // Not yet synced: the power may still go.
            self.flushed = flushed;
        }
        self.forgive(&open);
    }

    pub fn is_done(&self, event: Number) -> bool {
        self.arrived.contains_key(&event) || self.letters.contains(&event)
    }

    /// The receiver takes these. What is wrong about it, if anything is.
    pub fn take(&mut self, events: &[Number], now: Duration) -> (u64, Option<String>) {
        let (mut repeated, mut wrong) = (0, None);
        for event in events {
            if self.pending.get(event).is_some_and(|since| now >= *since + EXPIRY) {
                self.unconfirmed(*event);
            }
            let arrived = self.arrived.entry(*event).or_default();
            *arrived += 1;
            let allowed = 1 + self.forgiven.get(event).copied().unwrap_or(0);
            if *arrived > allowed {
                wrong = Some(format!("{}: e{event} came {arrived} times, {allowed} at most", self.name));
            }
            if *arrived > 1 {
                repeated += 1;
                continue;
            }
            let key = match self.ordering {
                Ordering::None => continue,
                Ordering::Key => event % KEYS,
                Ordering::Strict => 0,
            };
            let latest = self.latest.entry(key).or_default();
            if *event < *latest && !self.letters.contains(event) {
                wrong = Some(format!("{}: e{event} came after e{latest}", self.name));
            }
            *latest = (*latest).max(*event);
        }
        (repeated, wrong)
    }
}

impl Truth {
    pub fn wrong(&mut self, what: String) {
        self.note(&what);
        self.violations.push(what);
    }

    pub fn note(&mut self, what: &str) {
        self.trace.push_str(what);
        self.trace.push('\n');
    }

    /// Memory is bounded whatever the backlog.
    pub fn check_memory(&mut self, status: &[LaneStatus], events: u64) {
        for lane in status {
            let slots = u64::from(lane.concurrency.1);
            self.seen.slots_moved += u64::from(lane.concurrency.0 != lane.concurrency.1);
            if lane.in_flight > slots * events.max(100) || lane.retrying > 16_384 + slots * events || lane.concurrency.0 > lane.concurrency.1 {
                self.wrong(format!("too much at once: {lane:?}"));
            }
        }
    }
}
