//! One call of a guest, watched: what it was handed, what left it, what it said, what that cost. For whoever writes
//! it; secrets are masked.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bulkhead_core::{Clock as _, DeliverError, Failure, Outcome, RecordFormat, SystemClock};
use bulkhead_fault_server::receiver::{Kept, Script};
use bulkhead_format::BatchBuilder;
use bulkhead_sandbox::{Credential, Destination, DestinationSettings};

use crate::bench::{Bench, RECEIVED, refs, store};
use crate::connector::{deliver, outcomes};
use crate::guest::Guest;
use crate::pattern::shown;
use crate::sink::Rules;
use crate::world::World;

/// Bytes of a body that are shown.
const SHOWN: usize = 4 << 10;
/// The secret of the destination's credential, and what is shown in its place.
const SECRET: &str = "dev-only-secret-77c1e2";
const MASK: &str = "********";

/// What is tried.
#[derive(Debug, Clone)]
pub struct Setting {
    /// As a producer posts them.
    pub events: Vec<String>,
    /// JSON.
    pub config: String,
    /// The formatter that makes the records of a connector.
    pub format: String,
    /// What the receiver answers.
    pub script: Script,
    pub sink: Rules,
}

/// A request with its answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// 0 where no answer came.
    pub status: u16,
}

/// What happened.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The records that were made of the events, or the events of a page that was pulled.
    pub records: Vec<String>,
    pub exchanges: Vec<Exchange>,
    /// Bytes of each connection, where the guest speaks over streams.
    pub streams: Vec<String>,
    /// One for each event, or one for the call.
    pub outcomes: Vec<String>,
    pub fuel: u64,
    /// Processor time of the guest.
    pub guest: Duration,
    /// From the call to its answer.
    pub wall: Duration,
    pub memory: u64,
    pub log: Vec<String>,
}

/// Opens a fresh guest and calls it once.
pub fn attempt(bench: &Bench, guest: &Guest, setting: &Setting) -> Result<Trial> {
    let (metrics, clock, lines) = (bench.metrics(guest), SystemClock::default(), bench.log().len());
    let stored = store(setting.events.iter().map(String::as_str), RECEIVED)?;
    let events = refs(&stored)?;
    let mut records = Vec::new();
    let (mut exchanges, mut streams) = (Vec::new(), Vec::new());
    let (before, begun, said);
    if guest.is_formatter() {
        let mut formatter = bench.formatter(guest, &setting.config)?;
        let mut builder = BatchBuilder::default();
        let batch = builder.fill(formatter.projection(), events.iter().copied());
        before = (metrics.fuel.get(), metrics.costs.cpu_guest.get());
        begun = clock.monotonic();
        said = match bench.runtime.block_on(formatter.format(batch)) {
            Ok(made) => {
                records = (0..events.len()).map(|place| cut(made.records.get(place))).collect();
                let refused = |place: usize| made.refused.iter().find(|refusal| refusal.event as usize == place).map(|refusal| refusal.reason.as_str());
                (0..events.len()).map(|place| refused(place).map_or_else(|| "formatted".to_owned(), |reason| format!("refused: {reason}"))).collect()
            }
            Err(fault) => vec![format!("fault: {fault}")],
        };
    } else {
        let world = World::new(setting.script.clone(), &setting.sink)?;
        let mut grants = world.grants(guest)?;
        if guest.wants("http") {
            let credential = Credential::bearer("dev", secrecy::SecretString::from(SECRET.to_owned()))?;
            let settings = DestinationSettings {
                url: world.receiver.url(),
                methods: guest.methods(),
                credential: Some(Arc::new(credential)),
                ..DestinationSettings::default()
            };
            grants.destinations = vec![Destination::new("primary", settings)?];
        }
        if guest.does("deliver") {
            let (format, made) = bench.records(&setting.format, &events)?;
            records = (0..events.len()).map(|place| cut(made.get(place))).collect();
            let mut connector = bench.connector(guest, &setting.config, &format, grants)?;
            let count = connector.limits().max_events.map_or(events.len(), |most| events.len().min(most as usize));
            before = (metrics.fuel.get(), metrics.costs.cpu_guest.get());
            begun = clock.monotonic();
            said = match deliver(bench, &mut *connector, &events, &made, (0, count), 1) {
                Ok(delivery) => outcomes(&delivery, count).iter().map(in_words).collect(),
                Err(error) => vec![failed(&error)],
            };
        } else {
            let format = RecordFormat { name: "json".to_owned(), content_type: "application/json".to_owned() };
            let mut connector = bench.connector(guest, &setting.config, &format, grants)?;
            before = (metrics.fuel.get(), metrics.costs.cpu_guest.get());
            begun = clock.monotonic();
            said = match bench.runtime.block_on(connector.pull(b"")) {
                Ok(page) => {
                    records = (0..page.events.len()).map(|place| cut(page.events.get(place))).collect();
                    vec![format!("{} events, the cursor {}{}", page.events.len(), cut(&page.cursor), if page.more { ", and there is more" } else { "" })]
                }
                Err(error) => vec![failed(&error)],
            };
        }
        exchanges = world.receiver.kept().iter().map(exchange).collect();
        streams = world.sink.as_ref().map(|sink| sink.streams()).unwrap_or_default().iter().map(|bytes| mask(&shown(bytes))).collect();
    }
    Ok(Trial {
        records,
        exchanges,
        streams,
        outcomes: said,
        fuel: metrics.fuel.get() - before.0,
        guest: Duration::from_secs_f64((metrics.costs.cpu_guest.get() - before.1).max(0.0)),
        wall: clock.monotonic().saturating_sub(begun),
        memory: u64::try_from(metrics.memory.get()).unwrap_or(0),
        log: bench.log().split_off(lines),
    })
}

fn exchange(kept: &Kept) -> Exchange {
    Exchange {
        method: kept.head.method.clone(),
        path: mask(&kept.head.path),
        headers: kept.head.headers.0.iter().map(|(name, value)| (name.clone(), mask(value))).collect(),
        body: cut(&kept.body),
        status: kept.status,
    }
}

fn mask(text: &str) -> String {
    text.replace(SECRET, MASK)
}

/// Bytes as text, so many of them.
fn cut(bytes: &[u8]) -> String {
    let text = mask(&String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]));
    if bytes.len() > SHOWN { format!("{text}… ({} bytes)", bytes.len()) } else { text }
}

fn in_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted { .. } => "accepted".to_owned(),
        Outcome::Retry { after: None } => "tried again".to_owned(),
        Outcome::Retry { after: Some(after) } => format!("tried again, after the {} s that the receiver asked for", after.as_secs_f64()),
        Outcome::Rejected { reason } => format!("rejected, to the dead letters: {}", mask(reason)),
        Outcome::Pending { .. } => "pending: the host asks again with `settle`".to_owned(),
    }
}

fn failed(error: &DeliverError) -> String {
    match error {
        DeliverError::Failure(failure) => {
            let wait = match failure {
                Failure::Unavailable { after: Some(after), .. } => format!("; tried again after the {} s that the receiver asked for", after.as_secs_f64()),
                _ => String::new(),
            };
            format!("the call failed as a whole: {}{wait}", mask(&failure.to_string()))
        }
        DeliverError::Fault(fault) => format!("fault: {}", mask(&fault.to_string())),
    }
}
