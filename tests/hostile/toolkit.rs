//! What the hostile cases share: guests that no compiler emits, a host around them, raw receivers, a
//! resolver that changes its mind, clocks that are set by hand, and bounds on time from both sides.

#![allow(dead_code, reason = "each area of cases uses a part")]

// Paths are written out because the fuzz targets take this file in, too.
#[path = "toolkit/guests.rs"]
pub mod guests;
#[path = "toolkit/probe.rs"]
pub mod probe;
#[path = "toolkit/receiver.rs"]
pub mod receiver;
/// The real binary with a configuration of its own, as the stories use it.
#[path = "../it/story.rs"]
pub mod story;

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bulkhead_core::{BoxFuture, Clock, ConnectorSource, DeliverError, Delivery, EventBatch, FormatterSource, GuestFault, OpenError, RecordBatch, RecordFormat};
use bulkhead_observe::Metrics;
use bulkhead_sandbox::egress::Resolve;
use bulkhead_sandbox::{ConnectorGrants, Destination, DestinationSettings, FormatterGrants, Level, Limits, LogSink, Sandbox, SandboxSettings, SetupError};

use self::guests::{Connector, Formatter};

pub const NOW: Duration = Duration::ZERO;
/// Longer than anything here takes on a busy machine; a case that runs into it has failed.
pub const SECONDS: Duration = Duration::from_secs(30);

/// Waits for `work`, which must take at least `at_least` (it must not end by itself before) and at most
/// `at_most` (it must not hang).
///
/// # Panics
/// Where it does not keep to that.
pub async fn bounded<T>(at_least: Duration, at_most: Duration, work: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let Ok(done) = tokio::time::timeout(at_most, work).await else { panic!("still running after {at_most:?}") };
    let took = started.elapsed();
    assert!(took >= at_least, "over after {took:?}, which is before {at_least:?}");
    done
}

/// Lines that guests wrote, as the log would show them.
#[derive(Default)]
pub struct Lines(Mutex<Vec<String>>);

impl LogSink for Lines {
    fn line(&self, instance: &str, _component: &str, level: Level, text: &str) {
        lock(&self.0).push(format!("{instance} {} {text}", format!("{level:?}").trim_start_matches("Level::").to_lowercase()));
    }
}

impl Lines {
    /// `instance level text`, in their order.
    pub fn all(&self) -> Vec<String> {
        lock(&self.0).clone()
    }
}

/// Clocks that stand until they are set.
#[derive(Debug, Default)]
pub struct FakeClock {
    pub wall_nanos: AtomicU64,
    pub monotonic_nanos: AtomicU64,
}

impl FakeClock {
    pub fn set(&self, wall: Duration, monotonic: Duration) {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.wall_nanos.store(nanos(wall), Ordering::SeqCst);
        self.monotonic_nanos.store(nanos(monotonic), Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn unix_nanos(&self) -> u64 {
        self.wall_nanos.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.monotonic_nanos.load(Ordering::SeqCst))
    }
}

/// A resolver whose answers come one after another; the last one stays.
#[derive(Default)]
pub struct Rebinding {
    answers: Mutex<VecDeque<Vec<&'static str>>>,
    asked: AtomicUsize,
}

impl Rebinding {
    pub fn new(answers: &[&[&'static str]]) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.iter().map(|answer| answer.to_vec()).collect()), asked: AtomicUsize::new(0) })
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Resolve for Rebinding {
    fn resolve<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = lock(&self.answers);
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        let addresses = answer.unwrap_or_default().iter().map(|text| text.parse().expect("an address")).collect();
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Limits that differ from the defaults, as an operator writes them.
pub fn limits(values: &[(&str, &str)]) -> Limits {
    let mut limits = Limits::default();
    for (name, value) in values {
        limits.set_text(name, value).unwrap_or_else(|error| panic!("{error}"));
    }
    limits
}

/// A destination `primary` at this base.
pub fn destination(url: &str) -> Destination {
    Destination::new("primary", DestinationSettings { url: url.into(), ..DestinationSettings::default() }).unwrap_or_else(|error| panic!("{error}"))
}

/// One event without fields.
pub fn event(text: &[u8]) -> EventBatch {
    EventBatch { count: 1, block: text.to_vec(), spans: Vec::new() }
}

/// `count` events without fields.
pub fn events(count: u32) -> EventBatch {
    EventBatch { count, ..EventBatch::default() }
}

pub fn records<T: AsRef<[u8]>>(texts: &[T]) -> RecordBatch {
    let mut records = RecordBatch { block: Vec::new(), offsets: vec![0] };
    for text in texts {
        records.block.extend_from_slice(text.as_ref());
        records.offsets.push(u32::try_from(records.block.len()).expect("short"));
    }
    records
}

pub fn json() -> RecordFormat {
    RecordFormat { name: "json".into(), content_type: "application/json".into() }
}

/// What a dead instance answers: it is never asked again.
pub const GONE: &str = "the guest trapped: the instance is gone after a fault or a cancelled call; open another";

/// A sandbox with what it shows.
pub struct Host {
    pub sandbox: Sandbox,
    pub metrics: Metrics,
    pub lines: Arc<Lines>,
    neighbour: OnceLock<Arc<dyn FormatterSource>>,
}

impl Default for Host {
    fn default() -> Self {
        Self::with(|_| {})
    }
}

impl Host {
    /// `change` sets resolver, clock and the like.
    pub fn with(change: impl FnOnce(&mut SandboxSettings)) -> Self {
        let (metrics, lines) = (Metrics::new(), Arc::new(Lines::default()));
        let mut settings = SandboxSettings { log: Arc::clone(&lines) as _, ..SandboxSettings::default() };
        change(&mut settings);
        Self { sandbox: Sandbox::new(settings, metrics.clone()).expect("the engine starts"), metrics, lines, neighbour: OnceLock::new() }
    }

    /// What `/metrics` would show.
    pub fn scrape(&self) -> String {
        String::from_utf8(self.metrics.encode().expect("encodes")).expect("UTF-8")
    }

    /// The error of loading these bytes.
    #[track_caller]
    pub fn load_error(&self, wasm: &[u8]) -> String {
        match self.sandbox.load("evil", wasm) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("it loads"),
        }
    }

    pub fn formatter(&self, wasm: &[u8], values: &[(&str, &str)]) -> Result<Arc<dyn FormatterSource>, SetupError> {
        let component = self.sandbox.load("evil", wasm).unwrap_or_else(|error| panic!("{error}"));
        self.sandbox.formatter(&component, "{}".into(), FormatterGrants { instance: "siem".into(), limits: limits(values) })
    }

    /// The instance is `siem` unless the grants name another.
    pub fn connector(&self, wasm: &[u8], grants: ConnectorGrants) -> Result<Arc<dyn ConnectorSource>, SetupError> {
        let component = self.sandbox.load("evil", wasm).unwrap_or_else(|error| panic!("{error}"));
        let instance = if grants.instance.is_empty() { "siem".into() } else { grants.instance.clone() };
        self.sandbox.connector(&component, "{}".into(), ConnectorGrants { instance, ..grants })
    }

    /// The fault of one call of a formatter, or of opening it where that faults already; then a
    /// neighbour is served, and the broken one answers no more.
    pub async fn fault(&self, guest: Formatter<'_>, values: &[(&str, &str)]) -> String {
        self.fault_of(&guest.build(), values).await.to_string()
    }

    pub async fn fault_of(&self, wasm: &[u8], values: &[(&str, &str)]) -> GuestFault {
        let source = self.formatter(wasm, values).unwrap_or_else(|error| panic!("{error}"));
        let fault = match source.open().await {
            Ok(mut formatter) => {
                let fault = formatter.format(&event(b"hello")).await.expect_err("a fault");
                let again = formatter.format(&event(b"hello")).await.expect_err("dead");
                assert_eq!(again.to_string(), GONE, "after {fault}");
                fault
            }
            Err(OpenError::Fault(fault)) => fault,
            Err(other) => panic!("{other}"),
        };
        self.serves().await;
        fault
    }

    /// The error of one delivery of one event, then a neighbour is served.
    pub async fn refused(&self, guest: Connector<'_>, grants: ConnectorGrants) -> String {
        match self.deliver(&guest.build(), grants, &[b"x"]).await {
            Err(error) => error.to_string(),
            Ok(delivery) => panic!("delivered: {delivery:?}"),
        }
    }

    /// Opens a connector and delivers one batch.
    pub async fn deliver<T: AsRef<[u8]>>(&self, wasm: &[u8], grants: ConnectorGrants, texts: &[T]) -> Result<Delivery, DeliverError> {
        let source = self.connector(wasm, grants).unwrap_or_else(|error| panic!("{error}"));
        let mut connector = match source.open(&json()).await {
            Ok(connector) => connector,
            Err(OpenError::Fault(fault)) => return Err(fault.into()),
            Err(other) => panic!("{other}"),
        };
        let delivery = connector.deliver(&records(texts), &events(u32::try_from(texts.len()).expect("few")), 1).await;
        self.serves().await;
        delivery
    }

    /// A well-behaved guest of the same host does its work.
    ///
    /// # Panics
    /// Where it does not.
    pub async fn serves(&self) {
        let source = self.neighbour.get_or_init(|| self.formatter(&Formatter::default().build(), &[]).unwrap_or_else(|error| panic!("{error}")));
        let mut formatter = source.open().await.unwrap_or_else(|error| panic!("{error}"));
        let made = bounded(NOW, SECONDS, formatter.format(&event(b"neighbour"))).await.expect("formats");
        assert_eq!(made.records.get(0), b"neighbour");
    }
}

/// A host of its own process, with variables in its environment.
pub fn story_with_env(config: &str, env: Vec<(String, String)>) -> story::Story {
    let dir = tempfile::TempDir::new().expect("a folder");
    let spec = bulkhead_tests::host::Spec { env, ..story::spec(dir.path(), r#"{api: "127.0.0.1:0", http: "127.0.0.1:0"}"#, config) };
    let host = bulkhead_tests::host::Host::start(spec).unwrap_or_else(|error| panic!("{error:#}"));
    story::Story { dir, host }
}
