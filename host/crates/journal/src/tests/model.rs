//! The journal and its lanes against a simple reference, over a disk that tears, loses and reorders
//! writes, runs full, fails syncs, and stops at any step.
//!
//! What must hold, whatever happens:
//! * every event whose append was answered `fsync` is read back byte for byte at its number after any
//!   crash, unless all lanes have settled it; `os` the same after a kill;
//! * a request is there as a whole or not at all, and none twice;
//! * what was refused, and what a start did not bring back, never appears;
//! * readers see nothing before its answer, and say "lost" of nothing that was acknowledged;
//! * what a lane passed over may go without a sync; after a power cut it may have to be passed again;
//! * a lane remembers at least what was flushed (after a kill) or synced (after a power cut), nothing
//!   that it did not settle, and no new event gets a number that a lane has settled;
//! * what is sealed is nowhere on the disk in the clear, whatever keys and forms the starts before had;
//! * once the disk is in order and lanes have settled, appends work again.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_seal::{AtRest, Keyring};
use proptest::prelude::*;

use super::*;
use crate::sim::Crash;
use crate::stored::tests::key;
use crate::{Compression, LaneLog, LaneStart, RetryEntry};

#[derive(Debug, Clone)]
enum Op {
    Append {
        sizes: Vec<usize>,
        durability: Durability,
    },
    Commit,
    SyncIdle,
    Keep,
    Settle {
        lane: usize,
        skip: u64,
        count: u64,
    },
    Pass {
        lane: usize,
        skip: u64,
        count: u64,
    },
    Retry {
        lane: usize,
        skip: u64,
    },
    Flush {
        lane: usize,
    },
    Read,
    /// The crash comes in the middle of a later step; the next start may be hit as well.
    CrashAfter {
        steps: u64,
        crash: Crash,
    },
    CrashNow(Crash),
    FailSync {
        after: u64,
    },
    FailWrites(u64),
    ReadOnly(bool),
    Room(Option<u64>),
}

fn crash() -> impl Strategy<Value = Crash> {
    prop_oneof![1 => Just(Crash::Kill), 2 => Just(Crash::Power)]
}

fn op() -> impl Strategy<Value = Op> {
    let durability = prop_oneof![6 => Just(Durability::Fsync), 2 => Just(Durability::Os), 1 => Just(Durability::Memory)];
    let size = prop_oneof![2 => 1_usize..200, 3 => 3_000_usize..16_000];
    prop_oneof![
        10 => (prop::collection::vec(size, 1..4), durability).prop_map(|(sizes, durability)| Op::Append { sizes, durability }),
        8 => Just(Op::Commit),
        1 => Just(Op::SyncIdle),
        5 => Just(Op::Keep),
        6 => (0..2_usize, 0..4_u64, 1..12_u64).prop_map(|(lane, skip, count)| Op::Settle { lane, skip, count }),
        4 => (0..2_usize, 0..2_u64, 1..12_u64).prop_map(|(lane, skip, count)| Op::Pass { lane, skip, count }),
        2 => (0..2_usize, 0..6_u64).prop_map(|(lane, skip)| Op::Retry { lane, skip }),
        4 => (0..2_usize).prop_map(|lane| Op::Flush { lane }),
        2 => Just(Op::Read),
        3 => (0..30_u64, crash()).prop_map(|(steps, crash)| Op::CrashAfter { steps, crash }),
        1 => crash().prop_map(Op::CrashNow),
        1 => (0..6_u64).prop_map(|after| Op::FailSync { after }),
        1 => (1..3_u64).prop_map(Op::FailWrites),
        1 => any::<bool>().prop_map(Op::ReadOnly),
        2 => prop_oneof![Just(None), (0..150_000_u64).prop_map(Some)].prop_map(Op::Room),
    ]
}

/// What the reference knows of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Nothing is known: it may be there after a start.
    Open,
    /// It must be there, at this number, after any crash.
    Durable(u64),
    /// It must be there after a kill.
    Cached(u64),
    /// It must never be seen.
    Never,
}

struct Request {
    originals: Vec<Vec<u8>>,
    durability: Durability,
    fate: Fate,
}

/// A lane as plain sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Naive {
    settled: BTreeSet<u64>,
    retries: BTreeMap<u64, u32>,
}

impl Naive {
    fn of(state: &crate::LaneState) -> Self {
        let above = state.settled_above().flat_map(|(first, last)| first.0..=last.0);
        let settled = (1..=state.cursor().0).chain(above).collect();
        Self { settled, retries: state.retries().map(|(seq, entry)| (seq.0, entry.attempts)).collect() }
    }
}

#[derive(Default)]
struct LaneModel {
    now: Naive,
    flushed: Naive,
    synced: Naive,
    /// Passed at some time: may be gone, whatever the lane remembers.
    passed: BTreeSet<u64>,
}

/// How frames are written from one start to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forms {
    Plain,
    Sealed,
    SealedAndPacked,
    /// Another form and another key at each start.
    Changing,
}

impl Forms {
    fn settings(self, start: usize) -> JournalSettings {
        let ring = |keys: [u8; 2]| Some(Keyring::new(key(keys[0]), [key(keys[1])]));
        let (compression, keyring, seal) = match (self, start % 5) {
            (Self::Plain, _) => (Compression::None, None, false),
            (Self::Sealed, _) | (Self::Changing, 1) => (Compression::None, ring([1, 2]), true),
            (Self::SealedAndPacked, _) | (Self::Changing, 2) => (Compression::Lz4, ring([2, 1]), true),
            (Self::Changing, 3) => (Compression::Lz4, ring([2, 1]), false),
            (Self::Changing, 4) => (Compression::None, ring([2, 1]), true),
            (Self::Changing, _) => (Compression::None, ring([1, 2]), false),
        };
        JournalSettings { compression, at_rest: AtRest { keyring, seal }, ..settings(QUOTA) }
    }
}

struct World {
    sim: SimFs,
    forms: Forms,
    starts: usize,
    rig: Option<Rig>,
    lanes: Vec<LaneLog>,
    models: Vec<LaneModel>,
    requests: Vec<Request>,
    asked: Vec<(usize, Asked)>,
    crash: Crash,
    attempts: u32,
}

const LANES: [&str; 2] = ["one", "two/x"];
const QUOTA: u64 = 8 * SEGMENT;

impl World {
    fn new(seed: u64, forms: Forms) -> Self {
        let mut world = Self {
            sim: SimFs::new(seed),
            forms,
            starts: 0,
            rig: None,
            lanes: Vec::new(),
            models: LANES.iter().map(|_| LaneModel::default()).collect(),
            requests: Vec::new(),
            asked: Vec::new(),
            crash: Crash::Power,
            attempts: 0,
        };
        world.start();
        world
    }

    fn rig(&mut self) -> &mut Rig {
        self.rig.as_mut().expect("open between operations")
    }

    fn start(&mut self) {
        // A crash that was ordered may hit the start itself, or the opening of lanes.
        loop {
            self.starts += 1;
            let opened = Rig::try_open(&self.sim, self.forms.settings(self.starts)).map_err(|error| error.to_string()).and_then(|rig| {
                let lanes = LANES.iter().map(|name| rig.journal.lane(name, LaneStart::From(Seq(1)))).collect::<Result<Vec<_>, _>>();
                lanes.map(|lanes| (rig, lanes)).map_err(|error| error.to_string())
            });
            match opened {
                Ok((rig, lanes)) => {
                    rig.journal.lanes_ready();
                    (self.rig, self.lanes) = (Some(rig), lanes);
                    return;
                }
                Err(error) => {
                    assert!(self.sim.is_down(), "a sound machine opens: {error}");
                    self.sim.restart(self.crash);
                    self.after_crash();
                }
            }
        }
    }

    /// What the crash takes from what was certain.
    fn after_crash(&mut self) {
        let power = self.crash == Crash::Power;
        for request in &mut self.requests {
            if power && matches!(request.fate, Fate::Cached(_)) {
                request.fate = Fate::Open;
            }
        }
        for model in &mut self.models {
            // What is certain from here on: several crashes may follow one another.
            if power {
                model.flushed = model.synced.clone();
            }
        }
    }

    fn restart(&mut self) {
        self.asked.clear();
        self.sim.restart(self.crash);
        self.after_crash();
        self.lanes.clear();
        self.rig = None;
        self.start();
        self.check_lanes();
        self.check_contents(true);
    }

    fn check_lanes(&mut self) {
        let head = self.rig().journal.head().0;
        let certain_on_disk = self.crash == Crash::Power;
        for (lane, model) in self.lanes.iter().zip(&mut self.models) {
            let state = lane.state();
            let got = Naive::of(&state);
            assert!(got.settled.is_superset(&model.flushed.settled), "{}: forgot {:?}", lane.name(), model.flushed.settled.difference(&got.settled));
            assert!(got.settled.is_subset(&model.now.settled), "{}: never settled {:?}", lane.name(), got.settled.difference(&model.now.settled));
            if model.flushed == model.now {
                assert_eq!(got, model.now, "{}", lane.name());
            }
            assert!(state.highest().0 <= head, "{}: settled {} beyond the head {head}", lane.name(), state.highest());
            model.now = got.clone();
            model.flushed = got.clone();
            if certain_on_disk {
                model.synced = got;
            }
        }
    }

    fn settled_by_all(&self, seq: u64) -> bool {
        self.models.iter().all(|model| model.now.settled.contains(&seq) || model.passed.contains(&seq))
    }

    /// Compares all that can be read with what must and may be there. After a start what is not there
    /// must never come back, and what is there is durable.
    fn check_contents(&mut self, started: bool) {
        let mut seen: BTreeMap<usize, u64> = BTreeMap::new();
        let mut gone: Vec<(u64, u64)> = Vec::new();
        let mut next = 1;
        for item in read_all(&self.rig().journal, 0) {
            match item {
                Ok(frame) => {
                    assert_eq!(frame.first().0, next, "in order, without a gap that was not said");
                    next = frame.last().0 + 1;
                    let id = String::from_utf8_lossy(&frame.event(0).original()[..8]).parse::<usize>().expect("events start with their request's number");
                    let request = &self.requests[id];
                    assert_eq!(frame.len(), request.originals.len(), "request {id} is whole");
                    for (event, original) in request.originals.iter().enumerate() {
                        assert_eq!(frame.event(event).original(), original, "request {id}, event {event}");
                    }
                    match request.fate {
                        Fate::Never => panic!("request {id} was refused or lost and is there again"),
                        Fate::Durable(first) | Fate::Cached(first) => assert_eq!(frame.first().0, first),
                        Fate::Open => {}
                    }
                    if !started && request.durability == Durability::Fsync {
                        assert!(matches!(request.fate, Fate::Durable(_)), "request {id} is seen before its answer");
                    }
                    assert!(seen.insert(id, frame.first().0).is_none(), "request {id} is there twice");
                }
                Err(ReadError::Lost { first, last, .. } | ReadError::Gone { first, last }) => {
                    assert_eq!(first.0, next);
                    next = last.0 + 1;
                    gone.push((first.0, last.0));
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(next, self.rig().journal.head().0 + 1);
        for id in 0..self.requests.len() {
            let request = &self.requests[id];
            // After a failed sync what was only written is not shown before the next start.
            let hidden = matches!(request.fate, Fate::Cached(_)) && self.rig.as_ref().is_some_and(|rig| rig.journal.stats().fault.is_some());
            if let Fate::Durable(first) | Fate::Cached(first) = request.fate
                && !seen.contains_key(&id)
                && !hidden
            {
                let last = first + request.originals.len() as u64 - 1;
                assert!((first..=last).all(|seq| self.settled_by_all(seq)), "request {id}, events {first} to {last}: acknowledged and lost");
            }
            let waiting = self.asked.iter().any(|(asked, _)| *asked == id);
            if started && !waiting {
                self.requests[id].fate = match (seen.get(&id), request.fate) {
                    (Some(first), _) => Fate::Durable(*first),
                    (None, Fate::Open) => Fate::Never,
                    (None, fate) => fate,
                };
            }
        }
    }

    fn answers(&mut self) {
        let settled = self.models.iter().filter_map(|model| model.now.settled.last().copied()).max().unwrap_or(0);
        let requests = &mut self.requests;
        self.asked.retain_mut(|(id, asked)| {
            let Some(answer) = asked.poll() else { return true };
            let request = &mut requests[*id];
            match answer {
                Ok(appended) => {
                    assert!(appended.first.0 > settled, "number {} is taken for settled", appended.first);
                    request.fate = match request.durability {
                        Durability::Fsync => Fate::Durable(appended.first.0),
                        Durability::Os => Fate::Cached(appended.first.0),
                        Durability::Memory => Fate::Open,
                    };
                }
                Err(AppendError::DiskFull { .. } | AppendError::Full { .. }) => request.fate = Fate::Never,
                Err(AppendError::Sync { .. } | AppendError::Io { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            false
        });
    }

    fn append(&mut self, sizes: &[usize], durability: Durability) {
        let id = self.requests.len();
        let originals: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(event, size)| padded(&format!("{id:08}/{event}/"), *size)).collect();
        let asked = self.rig().ask(&originals, durability);
        self.requests.push(Request { originals, durability, fate: Fate::Open });
        self.asked.push((id, asked));
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Append { sizes, durability } => self.append(sizes, *durability),
            Op::Commit => {
                self.rig().committer.turn();
            }
            Op::SyncIdle => self.rig().committer.sync_idle(),
            Op::Keep => self.keep(),
            Op::Settle { lane, skip, count } => {
                let head = self.rig().journal.head().0;
                let first = self.lanes[*lane].cursor().0 + 1 + skip;
                let last = (first + count - 1).min(head);
                if first <= last {
                    self.lanes[*lane].settle(Seq(first), Seq(last));
                    let now = &mut self.models[*lane].now;
                    now.settled.extend(first..=last);
                    now.retries.retain(|seq, _| !(first..=last).contains(seq));
                }
            }
            Op::Pass { lane, skip, count } => {
                let head = self.rig().journal.head().0;
                let first = self.lanes[*lane].cursor().0 + 1 + skip;
                let last = (first + count - 1).min(head);
                if first <= last {
                    self.lanes[*lane].pass(Seq(first), Seq(last));
                    let model = &mut self.models[*lane];
                    model.now.settled.extend(first..=last);
                    model.passed.extend(first..=last);
                    model.now.retries.retain(|seq, _| !(first..=last).contains(seq));
                }
            }
            Op::Retry { lane, skip } => {
                let seq = self.lanes[*lane].cursor().0 + 1 + skip;
                if seq <= self.rig().journal.head().0 {
                    self.attempts += 1;
                    self.lanes[*lane].retry(Seq(seq), RetryEntry { attempts: self.attempts, first_ms: 1, due_ms: 2 });
                    let now = &mut self.models[*lane].now;
                    if !now.settled.contains(&seq) {
                        now.retries.insert(seq, self.attempts);
                    }
                }
            }
            Op::Flush { lane } => {
                if self.lanes[*lane].flush().is_ok() {
                    self.models[*lane].flushed = self.models[*lane].now.clone();
                }
            }
            Op::Read => self.check_contents(false),
            Op::CrashAfter { steps, crash } => {
                self.crash = *crash;
                self.sim.crash_after(*steps);
            }
            Op::CrashNow(crash) => {
                self.crash = *crash;
                self.restart();
            }
            Op::FailSync { after } => self.sim.fail_sync_after(*after),
            Op::FailWrites(count) => self.sim.fail_writes(*count),
            Op::ReadOnly(on) => self.sim.set_read_only(*on),
            Op::Room(room) => self.sim.set_capacity(room.map(|room| self.sim.used() + room)),
        }
        self.answers();
        if self.sim.is_down() {
            self.restart();
        }
    }

    fn keep(&mut self) {
        self.rig().keeper.turn();
        for (lane, model) in LANES.iter().zip(&mut self.models) {
            let lane = self.rig.as_ref().and_then(|rig| rig.journal.lane_for_tests(lane)).expect("the lane is there");
            if !lane.is_dirty() && !lane.is_damaged() {
                // Everything that was flushed is on disk; a rewrite takes what was not flushed too.
                // What was only passed waits for no sync, so nothing is certain of it.
                let certain = model.flushed.settled.iter().copied().filter(|seq| !model.passed.contains(seq));
                model.synced = Naive { settled: certain.collect(), retries: model.flushed.retries.clone() };
            }
        }
    }

    /// Whatever went before: the disk is in order again, lanes settle, and appends work.
    fn end(&mut self) {
        self.sim.set_capacity(None);
        self.crash = Crash::Kill;
        while self.rig().committer.turn() {}
        self.answers();
        self.restart();
        let head = self.rig().journal.head();
        for index in 0..LANES.len() {
            self.lanes[index].settle(Seq(1), head);
            self.lanes[index].flush().expect("the disk is in order");
            self.models[index].now.settled.extend(1..=head.0);
            self.models[index].now.retries.clear();
            self.models[index].flushed = self.models[index].now.clone();
        }
        self.keep();
        for _ in 0..8 {
            self.append(&[20_000, 20_000], Durability::Fsync);
            self.rig().committer.turn();
            let before = self.asked.len();
            self.answers();
            assert_eq!((before, self.asked.len()), (1, 0));
            assert!(matches!(self.requests.last().map(|request| request.fate), Some(Fate::Durable(_))), "appends work again");
            let head = self.rig().journal.head();
            for index in 0..LANES.len() {
                self.lanes[index].settle(Seq(1), head);
                self.models[index].now.settled.extend(1..=head.0);
                self.apply(&Op::Flush { lane: index });
            }
            self.keep();
        }
        self.crash = Crash::Power;
        self.restart();
        if matches!(self.forms, Forms::Sealed | Forms::SealedAndPacked) {
            self.nothing_in_the_clear();
        }
    }

    /// Events are padded with dots; nothing else has that many.
    fn nothing_in_the_clear(&self) {
        for (name, _) in segment_files(&self.sim) {
            let bytes = self.sim.contents(format!("{DIR}/{name}")).expect("listed");
            assert!(!bytes.windows(12).any(|window| window == b"............"), "{name} holds clear text");
        }
    }
}

fn cases() -> u32 {
    // `BULKHEAD_SLOW=1` takes its time.
    if std::env::var_os("BULKHEAD_SLOW").is_some() { 10_000 } else { 400 }
}

fn forms() -> impl Strategy<Value = Forms> {
    prop_oneof![2 => Just(Forms::Plain), 1 => Just(Forms::Sealed), 1 => Just(Forms::SealedAndPacked), 2 => Just(Forms::Changing)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 20_000, ..ProptestConfig::default() })]
    #[test]
    fn the_journal_keeps_what_it_promised(seed in any::<u64>(), short in any::<bool>(), forms in forms(), ops in prop::collection::vec(op(), 1..120)) {
        let mut world = World::new(seed, forms);
        world.sim.set_short_writes(short);
        for op in &ops {
            world.apply(op);
        }
        world.end();
    }
}

/// One fixed run stopped at every step, by a kill and by a power cut.
#[test]
fn a_crash_at_every_step_of_a_run() {
    crash_at_every_step(Forms::Plain);
}

#[test]
fn a_crash_at_every_step_of_a_sealed_run() {
    crash_at_every_step(Forms::Sealed);
}

#[test]
fn a_crash_at_every_step_with_another_form_at_each_start() {
    crash_at_every_step(Forms::Changing);
}

fn crash_at_every_step(forms: Forms) {
    let script: Vec<Op> = (0..24)
        .flat_map(|round| {
            let durability = [Durability::Fsync, Durability::Fsync, Durability::Os][round % 3];
            let lane = round % 2;
            let settle = Op::Settle { lane, skip: (round % 3) as u64, count: 5 };
            let pass = Op::Pass { lane: 1 - lane, skip: 0, count: 4 };
            let pair = [Op::Append { sizes: vec![4_000; 1 + round % 3], durability }, Op::Append { sizes: vec![100], durability: Durability::Fsync }];
            pair.into_iter().chain([Op::Commit, pass, settle, Op::Retry { lane, skip: 1 }, Op::Flush { lane }, Op::Keep])
        })
        .collect();
    let mut steps = 0;
    loop {
        let mut reached = false;
        for crash in [Crash::Kill, Crash::Power] {
            let mut world = World::new(steps, forms);
            world.apply(&Op::CrashAfter { steps, crash });
            let before = world.sim.steps();
            for op in &script {
                world.apply(op);
            }
            reached |= world.sim.steps() - before > steps;
            world.end();
        }
        if !reached {
            break;
        }
        steps += 1;
    }
    assert!(steps > 100, "only {steps} steps");
}
