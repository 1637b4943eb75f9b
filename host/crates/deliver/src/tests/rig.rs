//! A host without a sandbox: a journal and a store in a folder of their own, formatters that write the
//! event's id, connectors that ask a script. Time stands still unless a test moves it.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering as Atomic};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bulkhead_core::{
    Attr, BatchLimits, BoxFuture, Clock, Connector, ConnectorSource, DeliverError, Delivery as Answer, EventBatch, EventBuilder, Failure, Formatted, Formatter,
    FormatterSource, GuestFault, LaneId, OpenError, Outcome, Projection, RecordBatch, RecordFormat, Refusal, Severity, Shape,
};
use bulkhead_journal::{AppendBatch, Durability, Journal, JournalSettings, LaneStart, RealFs};
use bulkhead_observe::Metrics;
use bulkhead_route::{LaneIndex, Router};
use bulkhead_store::{DeadLetter, DeadLetterFilter, DeadLetterSettings, DeadLetters, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::*;

/// Long enough for any disk; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Real time for each second that passes in tests which let some pass until something holds.
const REAL_SECOND: Duration = Duration::from_millis(200);
const START_NANOS: u64 = 1_800_000_000_000_000_000;

/// Follows tokio's time, which tests move.
#[derive(Clone)]
pub struct TestClock {
    start: tokio::time::Instant,
    /// How far somebody has set the wall clock, in nanoseconds.
    set: Arc<AtomicI64>,
}

impl TestClock {
    pub fn new() -> Self {
        Self { start: tokio::time::Instant::now(), set: Arc::default() }
    }

    pub fn jump(&self, seconds: i64) {
        self.set.fetch_add(seconds * 1_000_000_000, Atomic::Relaxed);
    }
}

impl Clock for TestClock {
    fn unix_nanos(&self) -> u64 {
        (START_NANOS + self.start.elapsed().as_nanos() as u64).saturating_add_signed(self.set.load(Atomic::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

pub struct Rig {
    pub dir: tempfile::TempDir,
    pub clock: TestClock,
    pub journal: Journal,
    pub letters: DeadLetters,
    store: Store,
    pub metrics: Metrics,
    pub notices: Arc<Mutex<Vec<Notice>>>,
    /// Ids with the attempt and what became of it, as those who look on see them.
    pub seen: Arc<Mutex<Vec<(String, u32, String)>>>,
    letter_settings: DeadLetterSettings,
    stop: CancellationToken,
    /// While this lives, tokio does not skip ahead on its own when all tasks wait for the disk.
    _time_stands_still: std::sync::mpsc::Sender<()>,
}

/// Looks at everything.
struct LooksOn(Arc<Mutex<Vec<(String, u32, String)>>>);

impl Onlooker for LooksOn {
    fn looks(&self, _instance: &str) -> bool {
        true
    }

    fn became(&self, _lane: &LaneId, seen: &mut dyn Iterator<Item = Seen<'_>>) {
        let seen = seen.map(|one| {
            let became = match one.became {
                Became::Delivered => "delivered".to_owned(),
                Became::Retried { code, .. } => format!("retried: {code}"),
                Became::Unconfirmed => "unconfirmed".to_owned(),
                Became::DeadLetter { cause, .. } => cause.name().to_owned(),
            };
            (one.event.id().into_owned(), one.attempts, became)
        });
        self.0.lock().unwrap().extend(seen);
    }

    fn failed(&self, _lane: &LaneId, code: &'static str, _text: &str) {
        self.0.lock().unwrap().push((String::new(), 0, format!("failed: {code}")));
    }

    fn recovered(&self, _lane: &LaneId) {
        self.0.lock().unwrap().push((String::new(), 0, "recovered".into()));
    }
}

impl Rig {
    pub async fn new() -> Self {
        Self::with(DeadLetterSettings::default()).await
    }

    pub async fn with(letter_settings: DeadLetterSettings) -> Self {
        let (still, wait) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || wait.recv());
        let clock = TestClock::new();
        let dir = tempfile::tempdir().unwrap();
        let (journal, store, letters) = open(dir.path(), &clock, letter_settings).await;
        Self {
            dir,
            clock,
            journal,
            letters,
            store,
            metrics: Metrics::new(),
            notices: Arc::default(),
            seen: Arc::default(),
            letter_settings,
            stop: CancellationToken::new(),
            _time_stands_still: still,
        }
    }

    /// Starts delivery; every event goes to every lane.
    pub fn start(&self, instances: Vec<InstanceSettings>) -> Delivery {
        let lanes: Vec<LaneId> = instances
            .iter()
            .flat_map(|instance| instance.lanes.iter().map(|lane| LaneId { instance: instance.name.clone(), format: lane.format.clone() }))
            .collect();
        let all: Vec<LaneIndex> = (0..lanes.len() as u16).map(LaneIndex).collect();
        let router = Router::new(Vec::new(), &all, Vec::new(), lanes.len()).unwrap();
        self.start_routed(instances, router)
    }

    /// Lanes have their places in the order of the instances.
    pub fn start_routed(&self, instances: Vec<InstanceSettings>, router: Router) -> Delivery {
        let lanes: HashMap<LaneId, LaneIndex> = instances
            .iter()
            .flat_map(|instance| instance.lanes.iter().map(|lane| LaneId { instance: instance.name.clone(), format: lane.format.clone() }))
            .enumerate()
            .map(|(i, lane)| (lane, LaneIndex(i as u16)))
            .collect();
        let notices = Arc::clone(&self.notices);
        let parts = DeliveryParts {
            settings: DeliverySettings::default(),
            journal: self.journal.clone(),
            dead_letters: Arc::new(self.letters.clone()),
            metrics: self.metrics.clone(),
            routing: RoutingTable::new(router, lanes, &self.metrics),
            clock: Arc::new(self.clock.clone()),
            notices: Arc::new(move |notice| notices.lock().unwrap().push(notice)),
            onlooker: Arc::new(LooksOn(Arc::clone(&self.seen))),
        };
        Delivery::start(parts, instances, self.stop.child_token()).unwrap()
    }

    /// One request with these ids.
    pub async fn append(&self, ids: impl IntoIterator<Item = String>) {
        self.append_with(ids.into_iter().map(|id| (id, String::new()))).await;
    }

    /// Ids with subjects.
    pub async fn append_with(&self, events: impl IntoIterator<Item = (String, String)>) {
        let mut batch = AppendBatch::new();
        let mut builder = EventBuilder::new();
        for (id, subject) in events {
            builder.start();
            builder.text(Attr::Id, &id);
            builder.text(Attr::Source, "/test");
            builder.text(Attr::Type, "test.event");
            if !subject.is_empty() {
                builder.text(Attr::Subject, &subject);
            }
            let severity = if id.starts_with("low") { Severity::Low } else { Severity::High };
            builder.finish(Shape::Plain, Some(severity), self.clock.unix_nanos(), b"{}", batch.buffer()).unwrap();
            batch.push_event().unwrap();
        }
        let appended = self.journal.append(batch, Durability::Os).await.unwrap();
        // Readers may see it a moment later than the producer hears of it.
        until("readers see it", || self.journal.head() >= appended.last).await;
        quiet().await;
    }

    /// The process dies: nothing more is settled or written. The next one finds the same folder.
    pub async fn crash(self, delivery: Delivery) -> Self {
        drop(delivery);
        // Dropped tasks end when the runtime comes to them.
        quiet().await;
        self.restart().await
    }

    pub async fn restart(self) -> Self {
        let Self { dir, clock, journal, letters, store, metrics: _, notices, letter_settings, stop: _, _time_stands_still, seen } = self;
        drop(letters);
        journal.close().await;
        drop(journal);
        store.close().await;
        let (journal, store, letters) = open(dir.path(), &clock, letter_settings).await;
        let stop = CancellationToken::new();
        Self { dir, clock, journal, letters, store, metrics: Metrics::new(), notices, letter_settings, stop, _time_stands_still, seen }
    }

    pub async fn letters(&self) -> Vec<DeadLetter> {
        self.letters.list(&DeadLetterFilter::default(), None, 1000).await.unwrap()
    }

    pub fn notices(&self) -> Vec<Notice> {
        self.notices.lock().unwrap().clone()
    }
}

async fn open(dir: &std::path::Path, clock: &TestClock, letters: DeadLetterSettings) -> (Journal, Store, DeadLetters) {
    let settings = JournalSettings { segment_bytes: 1 << 20, clock: Arc::new(clock.clone()), ..JournalSettings::new(dir.join("journal"), 64 << 20) };
    let (journal, _) = Journal::open(settings, Arc::new(RealFs)).unwrap();
    let store = Store::open(dir).await.unwrap();
    let letters = store.dead_letters(letters).await.unwrap();
    (journal, store, letters)
}

/// Waits, without time passing, until it holds.
#[track_caller]
pub fn until(what: &'static str, mut holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let at = std::panic::Location::caller();
    async move {
        let end = std::time::Instant::now() + PATIENCE;
        while !holds() {
            assert!(std::time::Instant::now() < end, "waited in vain until {what} ({at})");
            std::thread::yield_now();
            tokio::task::yield_now().await;
        }
    }
}

/// The same with time passing, this much at most: what is waited for may take looks of a lane, and writes to disk that
/// take real time between them.
#[track_caller]
pub fn until_within(what: &'static str, most: Duration, mut holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let at = std::panic::Location::caller();
    async move {
        for _ in 0..most.as_secs() {
            let end = std::time::Instant::now() + REAL_SECOND;
            while std::time::Instant::now() < end {
                if holds() {
                    return;
                }
                std::thread::yield_now();
                tokio::task::yield_now().await;
            }
            pass(Duration::from_secs(1)).await;
        }
        panic!("waited in vain for {most:?} until {what} ({at})");
    }
}

/// What all lanes together have not settled.
pub fn backlog(rig: &Rig) -> u64 {
    rig.journal.lane_names().iter().filter_map(|lane| rig.journal.lane_backlog(lane)).sum()
}

/// Lets everything run that can run now.
pub async fn quiet() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

pub async fn pass(time: Duration) {
    quiet().await;
    tokio::time::advance(time).await;
    quiet().await;
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn ids(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|i| format!("e{i}"))
}

pub fn set_of(ids: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    ids.into_iter().collect()
}

/// A call as the receiver sees it.
#[derive(Debug, Clone)]
pub struct Call {
    pub ids: Vec<String>,
    pub attempt: u32,
    pub at: Duration,
}

pub enum Reply {
    Answer(Answer),
    Fail(Failure),
    Fault,
    /// Wall time of the call is over.
    Deadline,
    Panic,
    /// Takes the events, and never comes back with the answer.
    Hang,
    /// Answers once the test says so.
    Later(Arc<Notify>),
}

impl Reply {
    pub fn ok() -> Self {
        Self::Answer(Answer::All(Outcome::Accepted { receipt: None }))
    }

    pub fn each(call: &Call, outcome: impl Fn(&str) -> Outcome) -> Self {
        Self::Answer(Answer::Each(call.ids.iter().map(|id| outcome(id)).collect()))
    }

    pub fn unavailable(after: Option<u64>) -> Self {
        Self::Fail(Failure::Unavailable { reason: "down".into(), after: after.map(seconds) })
    }
}

pub fn accepted() -> Outcome {
    Outcome::Accepted { receipt: None }
}

pub fn retry() -> Outcome {
    Outcome::Retry { after: None }
}

type Script = Box<dyn FnMut(&Call) -> Reply + Send>;
type Confirm = Box<dyn FnMut(&str) -> Outcome + Send>;
type MaintainScript = Box<dyn FnMut() -> Result<Option<Duration>, DeliverError> + Send>;
type FormatScript = Box<dyn FnMut(&[String]) -> Result<Vec<Refusal>, GuestFault> + Send>;

/// The far end, and the guests in front of it.
pub struct Receiver {
    clock: TestClock,
    script: Mutex<Script>,
    confirm: Mutex<Confirm>,
    format: Mutex<FormatScript>,
    refuse_to_open: Mutex<Option<OpenError>>,
    pub calls: Mutex<Vec<Call>>,
    /// Ids in the order in which they were accepted.
    accepted: Mutex<Vec<String>>,
    pub opened: AtomicU64,
    maintain: Mutex<MaintainScript>,
    /// When guests were maintained, and how many took their leave.
    pub maintained: Mutex<Vec<Duration>>,
    pub closed: AtomicU64,
    limits: BatchLimits,
}

impl Receiver {
    pub fn new(rig: &Rig, script: impl FnMut(&Call) -> Reply + Send + 'static) -> Arc<Self> {
        Self::limited(rig, BatchLimits::default(), script)
    }

    pub fn limited(rig: &Rig, limits: BatchLimits, script: impl FnMut(&Call) -> Reply + Send + 'static) -> Arc<Self> {
        Arc::new(Self {
            clock: rig.clock.clone(),
            script: Mutex::new(Box::new(script)),
            confirm: Mutex::new(Box::new(|_| Outcome::Accepted { receipt: None })),
            format: Mutex::new(Box::new(|_| Ok(Vec::new()))),
            refuse_to_open: Mutex::default(),
            calls: Mutex::default(),
            accepted: Mutex::default(),
            opened: AtomicU64::new(0),
            maintain: Mutex::new(Box::new(|| Err(Failure::Unsupported.into()))),
            maintained: Mutex::default(),
            closed: AtomicU64::new(0),
            limits,
        })
    }

    pub fn script(&self, script: impl FnMut(&Call) -> Reply + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    pub fn confirm(&self, confirm: impl FnMut(&str) -> Outcome + Send + 'static) {
        *self.confirm.lock().unwrap() = Box::new(confirm);
    }

    pub fn format(&self, format: impl FnMut(&[String]) -> Result<Vec<Refusal>, GuestFault> + Send + 'static) {
        *self.format.lock().unwrap() = Box::new(format);
    }

    pub fn maintain(&self, script: impl FnMut() -> Result<Option<Duration>, DeliverError> + Send + 'static) {
        *self.maintain.lock().unwrap() = Box::new(script);
    }

    pub fn refuse_to_open(&self, error: Option<OpenError>) {
        *self.refuse_to_open.lock().unwrap() = error;
    }

    pub fn accepted(&self) -> Vec<String> {
        self.accepted.lock().unwrap().clone()
    }

    pub fn calls(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    /// An instance with one lane that starts at the journal's beginning.
    pub fn instance(self: &Arc<Self>, name: &str, change: impl FnOnce(&mut InstanceSettings)) -> InstanceSettings {
        let mut settings = InstanceSettings::new(name, Arc::new(Source(Arc::clone(self))));
        settings.retry = RetryPolicy { jitter: Jitter::None, ..RetryPolicy::default() };
        settings.connector = "sha256:test".into();
        settings.lanes.push(LaneSettings { format: "id".into(), formatter: Arc::new(Source(Arc::clone(self))), start: LaneStart::From(bulkhead_core::Seq(1)) });
        change(&mut settings);
        settings
    }
}

struct Source(Arc<Receiver>);

impl FormatterSource for Source {
    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Formatter>, OpenError>> {
        let projection = Arc::new(Projection::parse(&["/id".to_owned()]).unwrap());
        let format = RecordFormat { name: "id".into(), content_type: "text/plain".into() };
        Box::pin(async move { Ok(Box::new(IdFormatter { receiver: Arc::clone(&self.0), projection, format }) as Box<dyn Formatter>) })
    }
}

impl ConnectorSource for Source {
    fn open<'a>(&'a self, format: &'a RecordFormat) -> BoxFuture<'a, Result<Box<dyn Connector>, OpenError>> {
        assert_eq!(format.name, "id");
        Box::pin(async move {
            if let Some(error) = self.0.refuse_to_open.lock().unwrap().clone() {
                return Err(error);
            }
            self.0.opened.fetch_add(1, Atomic::Relaxed);
            Ok(Box::new(Scripted { receiver: Arc::clone(&self.0), projection: Arc::default() }) as Box<dyn Connector>)
        })
    }
}

struct IdFormatter {
    receiver: Arc<Receiver>,
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
        Box::pin(async move {
            let mut records = RecordBatch { block: Vec::new(), offsets: vec![0] };
            let mut ids = Vec::new();
            for span in events.spans.chunks_exact(3) {
                let id = &events.block[span[0] as usize..(span[0] + span[1]) as usize];
                ids.push(String::from_utf8(id.to_vec()).unwrap());
                records.block.extend_from_slice(id);
                records.offsets.push(records.block.len() as u32);
            }
            assert_eq!(ids.len(), events.count as usize);
            let refused = (self.receiver.format.lock().unwrap())(&ids)?;
            Ok(Formatted { records, refused })
        })
    }
}

struct Scripted {
    receiver: Arc<Receiver>,
    projection: Arc<Projection>,
}

impl Connector for Scripted {
    fn projection(&self) -> &Arc<Projection> {
        &self.projection
    }

    fn limits(&self) -> BatchLimits {
        self.receiver.limits
    }

    fn deliver<'a>(&'a mut self, records: &'a RecordBatch, events: &'a EventBatch, attempt: u32) -> BoxFuture<'a, Result<Answer, DeliverError>> {
        Box::pin(async move {
            assert_eq!(records.len(), events.count as usize);
            let ids: Vec<String> = (0..records.len()).map(|i| String::from_utf8(records.get(i).to_vec()).unwrap()).collect();
            let call = Call { ids, attempt, at: self.receiver.clock.monotonic() };
            self.receiver.calls.lock().unwrap().push(call.clone());
            let mut reply = (self.receiver.script.lock().unwrap())(&call);
            if let Reply::Later(notify) = reply {
                notify.notified().await;
                reply = Reply::ok();
            }
            let take = |outcomes: &dyn Fn(usize) -> bool| {
                let taken = call.ids.iter().enumerate().filter(|(i, _)| outcomes(*i)).map(|(_, id)| id.clone());
                self.receiver.accepted.lock().unwrap().extend(taken);
            };
            match reply {
                Reply::Answer(answer) => {
                    match &answer {
                        Answer::All(outcome) => take(&|_| matches!(outcome, Outcome::Accepted { .. })),
                        Answer::Each(outcomes) => take(&|i| matches!(outcomes.get(i), Some(Outcome::Accepted { .. }))),
                    }
                    Ok(answer)
                }
                Reply::Fail(failure) => Err(failure.into()),
                Reply::Fault => Err(GuestFault::Trap("unreachable".into()).into()),
                Reply::Deadline => Err(GuestFault::Limit { limit: "deadline", value: "30s".into(), key: "limits.deadline", ceiling: false }.into()),
                Reply::Panic => panic!("a bug in the host"),
                Reply::Hang => {
                    take(&|_| true);
                    std::future::pending().await
                }
                Reply::Later(_) => unreachable!("answered above"),
            }
        })
    }

    fn settle<'a>(&'a mut self, tokens: &'a [String]) -> BoxFuture<'a, Result<Vec<Outcome>, DeliverError>> {
        Box::pin(async move { Ok(tokens.iter().map(|token| (self.receiver.confirm.lock().unwrap())(token)).collect()) })
    }

    fn check(&mut self) -> BoxFuture<'_, Result<String, DeliverError>> {
        Box::pin(async { Ok("reachable".into()) })
    }

    fn maintain(&mut self) -> BoxFuture<'_, Result<Option<Duration>, DeliverError>> {
        self.receiver.maintained.lock().unwrap().push(self.receiver.clock.monotonic());
        let answer = (self.receiver.maintain.lock().unwrap())();
        Box::pin(std::future::ready(answer))
    }

    fn close(&mut self) -> BoxFuture<'_, Result<(), GuestFault>> {
        self.receiver.closed.fetch_add(1, Atomic::Relaxed);
        Box::pin(std::future::ready(Ok(())))
    }
}
