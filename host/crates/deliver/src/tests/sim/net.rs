//! The network and the receivers behind it, in the place of connectors: one draw of the dice for each call.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bulkhead_core::{
    BatchLimits, BoxFuture, Clock, Connector, ConnectorSource, DeliverError, Delivery as Answer, EventBatch, Failure, Formatted, Formatter, FormatterSource,
    GuestFault, OpenError, Outcome, Projection, RecordBatch, RecordFormat,
};
use bulkhead_journal::sim::SimFs;
use bulkhead_store::{NewDeadLetter, StoreError};
use tokio::sync::watch;

use super::super::rig::TestClock;
use super::truth::{Number, Truth};
use crate::DeadLetterSink;

/// SplitMix64: small, and the same everywhere.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    pub fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
}

/// How things stand now.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Nothing gets through either way.
    pub partition: bool,
    /// Of 100 calls, those that do not simply go well.
    pub trouble: u64,
    /// Calls of an instance that its receiver works on at once; more are refused.
    pub capacity: usize,
    pub letters_full: bool,
}

impl Weather {
    pub const CALM: Self = Self { partition: false, trouble: 0, capacity: usize::MAX, letters_full: false };
}

/// What befalls a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Well,
    /// The connection is refused or reset before anything was taken.
    Reset,
    /// 429 or 503, perhaps with a wait.
    Busy,
    /// Half-open: taken, the answer is lost, the call runs into its deadline.
    AnswerLost,
    /// Taken, then the connection is reset.
    ResetAfter,
    /// Nothing comes through until the deadline.
    Partition,
    /// The call runs into its deadline; its request arrives later, beside others.
    Late,
    /// The network hands it over twice.
    Twice,
    /// Only some events are taken.
    Partly,
    /// 413.
    TooLarge,
    /// The guest breaks after it has sent.
    Trap,
    /// The receiver wants people.
    Unauthorized,
    Slow,
    /// Taken, to be confirmed.
    Pending,
    /// The receiver works on as many calls as it can.
    Overload,
    /// An event that the receiver or the guest never takes.
    Poison,
}

pub const FATES: usize = Fate::Poison as usize + 1;
const DRAWN: [Fate; 13] = [
    Fate::Reset,
    Fate::Busy,
    Fate::AnswerLost,
    Fate::ResetAfter,
    Fate::Partition,
    Fate::Late,
    Fate::Twice,
    Fate::Partly,
    Fate::TooLarge,
    Fate::Trap,
    Fate::Unauthorized,
    Fate::Slow,
    Fate::Pending,
];
/// Wall time of a call.
const DEADLINE: Duration = Duration::from_secs(30);

pub struct Net {
    pub truth: Mutex<Truth>,
    pub weather: Mutex<Weather>,
    pub dice: Mutex<Dice>,
    pub fs: SimFs,
    pub clock: TestClock,
    /// Whether some events are poison.
    pub poison: bool,
    /// Whether what arrives must arrive in order.
    pub ordered: bool,
    /// Calls under way by instance.
    pub running: Mutex<Vec<usize>>,
    pub slots: Vec<usize>,
    pub freed: watch::Sender<u64>,
}

impl Net {
    pub fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().unwrap()
    }

    pub fn draw(&self, below: u64) -> u64 {
        self.dice.lock().unwrap().below(below)
    }

    fn take(&self, lane: usize, events: &[Number]) {
        let now = self.clock.monotonic();
        let mut truth = self.truth();
        let (repeated, wrong) = truth.lanes[lane].take(events, now);
        truth.seen.repeated += repeated;
        let line = format!("{now:?} {} takes {events:?}", truth.lanes[lane].name);
        truth.note(&line);
        if let Some(wrong) = wrong {
            truth.wrong(wrong);
        }
        let unknown = events.iter().find(|event| !truth.asked.contains(event)).copied();
        if let Some(event) = unknown {
            truth.wrong(format!("e{event} was never sent"));
        }
    }

    fn fate(&self, instance: usize, events: &[Number]) -> Fate {
        let weather = *self.weather.lock().unwrap();
        if weather.partition {
            return Fate::Partition;
        }
        if self.running.lock().unwrap()[instance] > weather.capacity {
            return Fate::Overload;
        }
        if self.poison && events.iter().any(|event| poison(*event).is_some()) {
            return Fate::Poison;
        }
        if self.draw(100) >= weather.trouble { Fate::Well } else { DRAWN[self.draw(DRAWN.len() as u64) as usize] }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Poison {
    Refused,
    Breaks,
    Large,
}

fn poison(event: Number) -> Option<Poison> {
    match event % 97 {
        13 => Some(Poison::Refused),
        47 => Some(Poison::Breaks),
        73 => Some(Poison::Large),
        _ => None,
    }
}

/// A call under way. Dropped without having told the host, it was cut off by a crash.
struct Call {
    net: Arc<Net>,
    lane: usize,
    instance: usize,
    taken: Vec<Number>,
    told: bool,
}

impl Call {
    fn begin(net: &Arc<Net>, lane: usize, instance: usize) -> Self {
        let running = {
            let mut running = net.running.lock().unwrap();
            running[instance] += 1;
            running[instance]
        };
        if running > net.slots[instance] {
            net.truth().wrong(format!("{running} calls at once, {} slots", net.slots[instance]));
        }
        Self { net: Arc::clone(net), lane, instance, taken: Vec::new(), told: false }
    }

    fn take(&mut self, events: &[Number]) {
        self.net.take(self.lane, events);
        self.taken.extend(events);
    }

    /// The host hears: of `accepted` that they are, of the rest taken nothing.
    fn tell(&mut self, accepted: &[Number]) {
        self.told = true;
        let taken = std::mem::take(&mut self.taken);
        let lost: Vec<Number> = taken.into_iter().filter(|event| !accepted.contains(event)).collect();
        let mut truth = self.net.truth();
        truth.lanes[self.lane].forgive(&lost);
        truth.lanes[self.lane].accepted(accepted);
    }

    /// The host hears that all were taken and are to be confirmed.
    fn open(&mut self, events: &[Number]) {
        self.told = true;
        self.taken.clear();
        self.net.truth().lanes[self.lane].pending(events, self.net.clock.monotonic());
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.net.running.lock().unwrap()[self.instance] -= 1;
        if !self.told {
            let taken = std::mem::take(&mut self.taken);
            self.net.truth().lanes[self.lane].forgive(&taken);
        }
    }
}

/// The guests of one lane.
#[derive(Clone)]
pub struct Guests {
    pub net: Arc<Net>,
    pub lane: usize,
    pub instance: usize,
}

/// The connectors of an instance, whose lanes are told apart by their format.
pub struct Connectors(pub Vec<(String, Guests)>);

impl ConnectorSource for Connectors {
    fn open<'a>(&'a self, format: &'a RecordFormat) -> BoxFuture<'a, Result<Box<dyn Connector>, OpenError>> {
        let guests = self.0.iter().find(|(name, _)| *name == format.name).expect("a lane of this instance").1.clone();
        Box::pin(async move { Ok(Box::new(SimConnector { guests, projection: Arc::default() }) as Box<dyn Connector>) })
    }
}

struct SimConnector {
    guests: Guests,
    projection: Arc<Projection>,
}

impl SimConnector {
    async fn call(&self, events: Vec<Number>) -> Result<Answer, DeliverError> {
        let Guests { net, lane, instance } = &self.guests;
        let mut call = Call::begin(net, *lane, *instance);
        if net.fs.is_down() {
            // A machine that is down sends nothing.
            return std::future::pending().await;
        }
        let fate = net.fate(*instance, &events);
        {
            let mut truth = net.truth();
            truth.seen.calls += 1;
            truth.seen.fates[fate as usize] += 1;
            let line = format!("{:?} {} sends {events:?}: {fate:?}", net.clock.monotonic(), truth.lanes[*lane].name);
            truth.note(&line);
        }
        let answer = self.meet(fate, events, &mut call).await;
        if net.fs.is_down() {
            return std::future::pending().await;
        }
        if !call.told {
            call.tell(&[]);
        }
        answer
    }

    async fn meet(&self, fate: Fate, events: Vec<Number>, call: &mut Call) -> Result<Answer, DeliverError> {
        let net = &self.guests.net;
        let unavailable = |after: Option<u64>| Err(Failure::Unavailable { reason: "trouble".into(), after: after.map(Duration::from_secs) }.into());
        tokio::time::sleep(Duration::from_millis(net.draw(40))).await;
        match fate {
            Fate::Well | Fate::Twice | Fate::Slow => {
                if fate == Fate::Slow {
                    tokio::time::sleep(Duration::from_millis(net.draw(20_000))).await;
                }
                call.take(&events);
                if fate == Fate::Twice {
                    net.truth().lanes[call.lane].forgive(&events);
                    call.take(&events);
                }
                tokio::time::sleep(Duration::from_millis(net.draw(20))).await;
                call.tell(&events);
                Ok(Answer::All(accepted_outcome()))
            }
            Fate::Reset => unavailable(None),
            Fate::Busy => unavailable(Some(net.draw(100))),
            Fate::Overload => unavailable(None),
            Fate::AnswerLost | Fate::Partition => {
                if fate == Fate::AnswerLost {
                    call.take(&events);
                }
                deadline().await
            }
            Fate::ResetAfter => {
                call.take(&events);
                unavailable(None)
            }
            Fate::Late => {
                let (net, lane, wait) = (Arc::clone(net), call.lane, Duration::from_secs(1 + net.draw(120)));
                net.truth().lanes[lane].forgive(&events);
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    net.take(lane, &events);
                });
                deadline().await
            }
            Fate::Partly => {
                // In order a receiver takes what comes first.
                let cut = net.draw(events.len() as u64 + 1) as usize;
                let takes = |place: usize| if net.ordered { place < cut } else { net.draw(2) == 0 };
                let taken: Vec<bool> = (0..events.len()).map(takes).collect();
                let accepted: Vec<Number> = events.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(event, _)| *event).collect();
                call.take(&accepted);
                call.tell(&accepted);
                Ok(Answer::Each(taken.into_iter().map(|taken| if taken { accepted_outcome() } else { Outcome::Retry { after: None } }).collect()))
            }
            Fate::TooLarge if events.len() > 2 => Err(Failure::TooLarge("413".into()).into()),
            Fate::TooLarge => unavailable(None),
            Fate::Trap => {
                call.take(&events);
                Err(GuestFault::Trap("unreachable".into()).into())
            }
            Fate::Unauthorized => Err(Failure::Unauthorized("401".into()).into()),
            Fate::Pending => {
                call.take(&events);
                call.open(&events);
                let poll_after = Duration::from_secs(1 + events.len() as u64);
                Ok(Answer::Each(events.iter().map(|event| Outcome::Pending { token: event.to_string(), poll_after }).collect()))
            }
            Fate::Poison => Self::poisoned(&events, call),
        }
    }

    fn poisoned(events: &[Number], call: &mut Call) -> Result<Answer, DeliverError> {
        let is = |wanted| events.iter().any(|event| poison(*event) == Some(wanted));
        if is(Poison::Breaks) {
            return Err(GuestFault::Trap("poison".into()).into());
        }
        if is(Poison::Large) {
            return Err(Failure::TooLarge("413".into()).into());
        }
        let accepted: Vec<Number> = events.iter().copied().filter(|event| poison(*event).is_none()).collect();
        call.take(&accepted);
        call.tell(&accepted);
        let outcome = |event: &Number| if poison(*event).is_none() { accepted_outcome() } else { Outcome::Rejected { reason: "poison".into() } };
        Ok(Answer::Each(events.iter().map(outcome).collect()))
    }
}

fn accepted_outcome() -> Outcome {
    Outcome::Accepted { receipt: None }
}

async fn deadline() -> Result<Answer, DeliverError> {
    tokio::time::sleep(DEADLINE).await;
    Err(GuestFault::Limit { limit: "deadline", value: "30s".into(), key: "limits.deadline", ceiling: false }.into())
}

impl Connector for SimConnector {
    fn projection(&self) -> &Arc<Projection> {
        &self.projection
    }

    fn limits(&self) -> BatchLimits {
        BatchLimits::default()
    }

    fn deliver<'a>(&'a mut self, records: &'a RecordBatch, _: &'a EventBatch, _: u32) -> BoxFuture<'a, Result<Answer, DeliverError>> {
        let events = (0..records.len()).map(|i| number(std::str::from_utf8(records.get(i)).unwrap())).collect();
        Box::pin(self.call(events))
    }

    fn settle<'a>(&'a mut self, tokens: &'a [String]) -> BoxFuture<'a, Result<Vec<Outcome>, DeliverError>> {
        Box::pin(async move {
            let Guests { net, lane, .. } = &self.guests;
            let weather = *net.weather.lock().unwrap();
            tokio::time::sleep(Duration::from_millis(net.draw(40))).await;
            if net.fs.is_down() {
                return std::future::pending().await;
            }
            if weather.partition || net.draw(100) < weather.trouble {
                return Err(Failure::Unavailable { reason: "trouble".into(), after: None }.into());
            }
            let outcome = |token: &String| {
                let event: Number = token.parse().unwrap();
                let again = weather.trouble > 0 && net.draw(4) == 0;
                let mut truth = net.truth();
                if again {
                    truth.lanes[*lane].unconfirmed(event)
                } else {
                    truth.lanes[*lane].accepted(&[event])
                }
                if again { Outcome::Retry { after: None } } else { accepted_outcome() }
            };
            Ok(tokens.iter().map(outcome).collect())
        })
    }

    fn check(&mut self) -> BoxFuture<'_, Result<String, DeliverError>> {
        Box::pin(std::future::ready(Ok("reachable".into())))
    }

    fn maintain(&mut self) -> BoxFuture<'_, Result<Option<Duration>, DeliverError>> {
        Box::pin(std::future::ready(Err(Failure::Unsupported.into())))
    }

    fn close(&mut self) -> BoxFuture<'_, Result<(), GuestFault>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

pub fn number(id: &str) -> Number {
    id.trim_start_matches('e').parse().expect("ids are e and a number")
}

/// Writes the event's id.
pub struct Ids(pub String);

impl FormatterSource for Ids {
    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Formatter>, OpenError>> {
        let projection = Arc::new(Projection::parse(&["/id".to_owned()]).unwrap());
        let format = RecordFormat { name: self.0.clone(), content_type: "text/plain".into() };
        Box::pin(async move { Ok(Box::new(IdFormatter { projection, format }) as Box<dyn Formatter>) })
    }
}

struct IdFormatter {
    projection: Arc<Projection>,
    format: RecordFormat,
}

impl Formatter for IdFormatter {
    fn projection(&self) -> &Arc<Projection> {
        &self.projection
    }

    fn record_format(&self) -> &RecordFormat {
        &self.format
    }

    fn format<'a>(&'a mut self, events: &'a EventBatch) -> BoxFuture<'a, Result<Formatted, GuestFault>> {
        let mut records = RecordBatch { block: Vec::new(), offsets: vec![0] };
        for span in events.spans.chunks_exact(3) {
            records.block.extend_from_slice(&events.block[span[0] as usize..(span[0] + span[1]) as usize]);
            records.offsets.push(records.block.len() as u32);
        }
        Box::pin(std::future::ready(Ok(Formatted { records, refused: Vec::new() })))
    }
}

/// Dead letters: on disk when they say so, at times slow or full.
pub struct Letters(pub Arc<Net>);

impl DeadLetterSink for Letters {
    fn add<'a>(&'a self, letters: &'a [NewDeadLetter<'a>]) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(self.0.draw(10))).await;
            if self.0.fs.is_down() {
                return std::future::pending().await;
            }
            if self.0.weather.lock().unwrap().letters_full {
                return Err(StoreError::StoreFull { used: 1, limit: 1, wanted: 1 });
            }
            let mut truth = self.0.truth();
            for letter in letters {
                let name = letter.lane.to_string();
                let line = format!("{:?} {name} buries {}: {}", self.0.clock.monotonic(), letter.event_id, letter.cause.name());
                truth.note(&line);
                truth.seen.letters += 1;
                let lane = truth.lanes.iter_mut().find(|lane| lane.name == name).expect("a lane");
                lane.letters.insert(number(letter.event_id));
            }
            Ok(0)
        })
    }

    fn freed(&self) -> watch::Receiver<u64> {
        self.0.freed.subscribe()
    }

    fn count(&self) -> u64 {
        self.0.truth().seen.letters
    }

    fn retention(&self) -> Option<Duration> {
        None
    }

    fn enforce_retention(&self, _: i64) -> BoxFuture<'_, Result<bulkhead_store::Expired, StoreError>> {
        Box::pin(std::future::ready(Ok(bulkhead_store::Expired::default())))
    }
}
