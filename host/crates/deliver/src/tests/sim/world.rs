//! One run: a host that is fed, crashes and starts again, the weather around it, and what is checked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bulkhead_core::{Attr, Clock as _, EventBuilder, LaneId, RateSettings, Seq, Shape};
use bulkhead_journal::sim::{Crash, SimFs, Stepped};
use bulkhead_journal::{AppendBatch, Durability, JournalSettings, LaneStart};
use bulkhead_observe::Metrics;
use bulkhead_route::{LaneIndex, Router};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::rig::TestClock;
use super::net::{Connectors, Dice, Guests, Ids, Letters, Net, Weather};
use super::truth::{EXPIRY, KEYS, LaneTruth, Seen, Truth};
use crate::*;

/// What the host and the world do until the network heals.
const STEPS: u64 = 60;
/// Most that settling takes once all is well: waits for confirmations, holds, breakers and retries one after the other.
const PATIENCE: Duration = Duration::from_secs(4 * 3600);

/// How the host is configured in this run.
#[derive(Debug, Clone)]
struct Plan {
    ordering: Ordering,
    /// Lanes of each instance.
    lanes: Vec<usize>,
    concurrency: ConcurrencySettings,
    batch: BatchSettings,
    retry: RetryPolicy,
    breaker: BreakerSettings,
    rate_limit: Option<RateSettings>,
    max_calls: u64,
}

impl Plan {
    fn draw(dice: &mut Dice) -> Self {
        let seconds = Duration::from_secs;
        let ordering = [Ordering::None, Ordering::Key, Ordering::Strict][dice.below(3) as usize];
        let max = 1 + dice.below(6) as u32;
        let patient = dice.below(3) > 0;
        Self {
            ordering,
            lanes: if dice.one_in(3) { [vec![2], vec![1, 2], vec![1, 1]][dice.below(3) as usize].clone() } else { vec![1] },
            concurrency: ConcurrencySettings { min: if dice.one_in(4) { max } else { 1 }, max },
            batch: BatchSettings {
                max_events: 1 + dice.below(12) as u32,
                max_age: if dice.one_in(4) { Duration::from_millis(dice.below(500)) } else { Duration::ZERO },
                ..BatchSettings::default()
            },
            retry: RetryPolicy {
                initial: Duration::from_millis(1 + dice.below(2_000)),
                max: seconds(5 + dice.below(60)),
                max_elapsed: if patient { seconds(24 * 3600) } else { seconds(30 + dice.below(300)) },
                max_attempts: (!patient && dice.one_in(2)).then(|| 2 + dice.below(6) as u32),
                ..RetryPolicy::default()
            },
            breaker: BreakerSettings {
                failure_threshold: 1 + dice.below(6) as u32,
                open_for: seconds(1 + dice.below(60)),
                half_open_calls: 1 + dice.below(3) as u32,
            },
            rate_limit: dice.one_in(5).then(|| RateSettings { events_per_second: 20 + dice.below(200) as u32, burst: 1 + dice.below(50) as u32 }),
            max_calls: if dice.one_in(4) { 1 + dice.below(10) } else { 100_000 },
        }
    }

    fn names(&self) -> Vec<(usize, LaneId)> {
        let lanes = self.lanes.iter().enumerate();
        lanes.flat_map(|(instance, lanes)| (0..*lanes).map(move |lane| (instance, LaneId::new(&format!("i{instance}"), &format!("f{lane}"))))).collect()
    }
}

pub struct World {
    plan: Plan,
    dice: Dice,
    net: Arc<Net>,
    fs: SimFs,
    host: Option<Host>,
    next: u64,
}

struct Host {
    journal: Stepped,
    delivery: Delivery,
}

impl World {
    pub async fn run(seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x2545_F491_4F6C_DD1D) ^ 0x5EED);
        let plan = Plan::draw(&mut dice);
        let fs = SimFs::new(dice.next());
        let names = plan.names();
        let lanes = names.iter().map(|(_, lane)| LaneTruth::new(lane.to_string(), plan.ordering)).collect();
        let net = Net {
            truth: Mutex::new(Truth { lanes, ..Truth::default() }),
            weather: Mutex::new(Weather::CALM),
            dice: Mutex::new(Dice(dice.next())),
            fs: fs.clone(),
            clock: TestClock::new(),
            poison: dice.one_in(2),
            ordered: plan.ordering != Ordering::None,
            running: Mutex::new(vec![0; plan.lanes.len()]),
            slots: plan.lanes.iter().map(|_| plan.concurrency.max as usize).collect(),
            freed: watch::Sender::new(0),
        };
        net.truth().note(&format!("{plan:?}"));
        let mut world = Self { plan, dice, net: Arc::new(net), fs, host: None, next: 1 };
        world.start().await;
        for _ in 0..STEPS {
            world.step().await;
        }
        world.heal().await;
        world
    }

    pub fn violations(&self) -> Vec<String> {
        self.net.truth().violations.clone()
    }

    pub fn trace(&self) -> String {
        self.net.truth().trace.clone()
    }

    /// With one lane the same seed is the same run; which of several lanes wakes first is drawn by tokio.
    pub fn has_one_lane(&self) -> bool {
        self.plan.lanes == [1]
    }

    pub fn seen(&self) -> Seen {
        self.net.truth().seen.clone()
    }

    /// Opens what the disk holds; a crash that was ordered may hit the start itself.
    async fn start(&mut self) {
        loop {
            match self.open() {
                Ok(host) => {
                    self.host = Some(host);
                    return;
                }
                Err(error) if self.fs.is_down() => {
                    self.net.truth().note(&format!("down at the start: {error}"));
                    self.fs.restart(Crash::Kill);
                }
                Err(error) => panic!("a sound machine starts: {error}"),
            }
        }
    }

    fn open(&mut self) -> Result<Host, String> {
        let clock = self.net.clock.clone();
        let settings = JournalSettings { segment_bytes: 64 << 10, clock: Arc::new(clock.clone()), ..JournalSettings::new("/data/journal", 16 << 20) };
        let (journal, _) = Stepped::open(settings, self.fs.mount()).map_err(|error| error.to_string())?;
        self.check_settled(&journal)?;
        let lanes: Vec<LaneId> = self.plan.names().into_iter().map(|(_, lane)| lane).collect();
        let all: Vec<LaneIndex> = (0..lanes.len() as u16).map(LaneIndex).collect();
        let router = Router::new(Vec::new(), &all, Vec::new(), lanes.len()).map_err(|error| error.to_string())?;
        let places: HashMap<LaneId, LaneIndex> = lanes.into_iter().zip(all).collect();
        let metrics = Metrics::new();
        let parts = DeliveryParts {
            settings: DeliverySettings { pending_expiry: EXPIRY, ..DeliverySettings::default() },
            journal: journal.journal.clone(),
            dead_letters: Arc::new(Letters(Arc::clone(&self.net))),
            routing: RoutingTable::new(router, places, &metrics),
            metrics,
            clock: Arc::new(clock),
            notices: Arc::new(|_| ()),
            onlooker: Arc::new(crate::onlooker::Nobody),
        };
        let delivery = Delivery::seeded(parts, self.instances(), CancellationToken::new(), self.dice.next()).map_err(|error| error.to_string())?;
        Ok(Host { journal, delivery })
    }

    fn instances(&self) -> Vec<InstanceSettings> {
        let names: Vec<(usize, LaneId)> = self.plan.names();
        let instance = |at: usize| {
            let own: Vec<(usize, &LaneId)> = names.iter().enumerate().filter(|(_, (instance, _))| *instance == at).map(|(lane, (_, id))| (lane, id)).collect();
            let guests = |lane| Guests { net: Arc::clone(&self.net), lane, instance: at };
            let connectors = own.iter().map(|(lane, id)| (id.format.to_string(), guests(*lane))).collect();
            let mut settings = InstanceSettings::new(&own[0].1.instance, Arc::new(Connectors(connectors)));
            settings.concurrency = self.plan.concurrency;
            settings.ordering = self.plan.ordering;
            settings.batch = self.plan.batch;
            settings.retry = self.plan.retry;
            settings.breaker = self.plan.breaker;
            settings.rate_limit = self.plan.rate_limit;
            settings.max_calls = self.plan.max_calls;
            settings.lanes = own
                .iter()
                .map(|(_, id)| LaneSettings { format: Arc::clone(&id.format), formatter: Arc::new(Ids(id.format.to_string())), start: LaneStart::From(Seq(1)) })
                .collect();
            settings
        };
        (0..self.plan.lanes.len()).map(instance).collect()
    }

    /// What a lane has settled on disk was delivered or is a dead letter.
    fn check_settled(&self, journal: &Stepped) -> Result<(), String> {
        let mut truth = self.net.truth();
        let mut wrong = Vec::new();
        for lane in &truth.lanes {
            let log = journal.journal.lane(&lane.name, LaneStart::From(Seq(1))).map_err(|error| error.to_string())?;
            let state = log.state();
            let lost = truth.acknowledged.iter().find(|(event, seq)| state.is_settled(**seq) && !lane.is_done(**event));
            wrong.extend(lost.map(|(event, seq)| format!("{}: e{event} at {seq} is settled, but neither delivered nor a dead letter", lane.name)));
            let beyond = truth.acknowledged.iter().find(|(_, seq)| **seq > journal.journal.head());
            wrong.extend(beyond.map(|(event, _)| format!("e{event} was acknowledged and is not in the journal")));
        }
        wrong.into_iter().for_each(|wrong| truth.wrong(wrong));
        Ok(())
    }

    async fn step(&mut self) {
        match self.dice.below(20) {
            0..8 => self.append(),
            8..12 => self.pass().await,
            12..14 => self.keep().await,
            14..17 => self.change_weather(),
            17 => self.fs.crash_after(self.dice.below(40)),
            _ => {
                let crash = if self.dice.one_in(2) { Crash::Kill } else { Crash::Power };
                self.crash(crash).await;
            }
        }
        if self.fs.is_down() {
            self.net.truth().seen.down_in_a_step += 1;
            let crash = if self.dice.one_in(2) { Crash::Kill } else { Crash::Power };
            self.crash(crash).await;
        }
    }

    fn append(&mut self) {
        let (mut batch, mut builder) = (AppendBatch::new(), EventBuilder::new());
        let numbers = self.next..self.next + 1 + self.dice.below(12);
        for number in numbers.clone() {
            builder.start();
            builder.text(Attr::Id, &format!("e{number}"));
            builder.text(Attr::Source, "/sim");
            builder.text(Attr::Type, "sim.event");
            builder.text(Attr::Subject, &format!("s{}", number % KEYS));
            builder.finish(Shape::Plain, None, self.net.clock.unix_nanos(), b"{}", batch.buffer()).unwrap();
            batch.push_event().unwrap();
        }
        self.next = numbers.end;
        self.net.truth().asked.extend(numbers.clone());
        let answer = self.host.as_mut().expect("it runs").journal.append(batch, Durability::Fsync);
        // What got no answer may be there or not.
        if let Some(Ok(appended)) = answer {
            let places = (appended.first.0..).map(Seq);
            self.net.truth().acknowledged.extend(numbers.zip(places));
        }
    }

    async fn pass(&mut self) {
        let most = if self.dice.one_in(5) { 90_000 } else { 3_000 };
        tokio::time::sleep(Duration::from_millis(self.dice.below(most))).await;
        self.quiet().await;
        let status = self.host.as_ref().expect("it runs").delivery.status();
        self.net.truth().check_memory(&status, self.plan.batch.max_events.into());
    }

    /// Lets everything run that can run now.
    async fn quiet(&mut self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let Some(host) = self.host.as_ref().filter(|_| !self.fs.is_down()) else { return };
        let status = host.delivery.status();
        let mut truth = self.net.truth();
        let Truth { lanes, acknowledged, .. } = &mut *truth;
        let mut wrong = Vec::new();
        for lane in lanes {
            let Some(state) = host.journal.lane_state(&lane.name) else { continue };
            let in_flight = status.iter().find(|status| status.lane.to_string() == lane.name).map_or(0, |status| status.in_flight);
            let is_settled = |event: &u64| acknowledged.get(event).map(|seq| state.is_settled(*seq));
            let known = lane.quiet(is_settled, in_flight);
            wrong.extend(known);
        }
        wrong.into_iter().for_each(|wrong| truth.wrong(wrong));
    }

    async fn keep(&mut self) {
        self.quiet().await;
        self.host.as_mut().expect("it runs").journal.keep();
        if !self.fs.is_down() {
            self.net.truth().lanes.iter_mut().for_each(LaneTruth::synced);
        }
    }

    fn change_weather(&mut self) {
        let dice = &mut self.dice;
        let weather = Weather {
            partition: dice.one_in(5),
            trouble: [0, 20, 60, 100][dice.below(4) as usize],
            capacity: if dice.one_in(3) { 1 + dice.below(3) as usize } else { usize::MAX },
            letters_full: dice.one_in(6),
        };
        self.set_weather(weather);
    }

    fn set_weather(&mut self, weather: Weather) {
        self.net.truth().note(&format!("{:?} {weather:?}", self.net.clock.monotonic()));
        *self.net.weather.lock().unwrap() = weather;
    }

    /// The machine ends at once, whatever is under way, and starts again.
    async fn crash(&mut self, crash: Crash) {
        self.net.truth().note(&format!("{:?} {crash:?}", self.net.clock.monotonic()));
        // From here on nothing of this life reaches the disk, destructors included.
        self.fs.restart(crash);
        self.host = None;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        {
            let mut truth = self.net.truth();
            let power = crash == Crash::Power;
            truth.lanes.iter_mut().for_each(|lane| lane.crashed(power));
            *(if power { &mut truth.seen.power_cuts } else { &mut truth.seen.kills }) += 1;
        }
        if self.dice.one_in(10) {
            self.fs.crash_after(self.dice.below(30));
        }
        self.start().await;
    }

    async fn heal(&mut self) {
        self.set_weather(Weather::CALM);
        if self.fs.is_down() {
            self.crash(Crash::Kill).await;
        }
        let end = self.net.clock.monotonic() + PATIENCE;
        loop {
            // A crash that was ordered before may come yet.
            if self.fs.is_down() {
                self.crash(Crash::Power).await;
            }
            let host = self.host.as_ref().expect("it runs");
            let open: u64 = self.net.truth().lanes.iter().filter_map(|lane| host.journal.journal.lane_backlog(&lane.name)).sum();
            if open == 0 {
                break;
            }
            if self.net.clock.monotonic() > end {
                let status = host.delivery.status();
                self.net.truth().wrong(format!("{open} never settle: {status:?}"));
                return;
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
            self.keep().await;
        }
        let mut truth = self.net.truth();
        let mut wrong = Vec::new();
        for lane in &truth.lanes {
            let lost = truth.acknowledged.keys().find(|event| !lane.is_done(**event));
            wrong.extend(lost.map(|event| format!("{}: e{event} was acknowledged and is neither delivered nor a dead letter", lane.name)));
        }
        wrong.into_iter().for_each(|wrong| truth.wrong(wrong));
    }
}
