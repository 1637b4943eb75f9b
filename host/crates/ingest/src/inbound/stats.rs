//! What an address counts, for metrics and for its operator.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bulkhead_observe::InboundMetrics;
use bulkhead_observe::Metrics;

/// Between two lines of the log about the same reason, in milliseconds.
const QUIET: i64 = 60_000;
/// Places of keys and secrets that are told apart.
const PLACES: usize = 16;

/// One address at a moment. Times are in milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InboundStatus {
    pub name: String,
    pub verify: &'static str,
    /// Whose connector answers.
    pub instance: Option<String>,
    pub keys: usize,
    pub secrets: usize,
    /// Accepted requests that are remembered.
    pub remembered: usize,
    pub accepted: u64,
    pub repeated: u64,
    pub events: u64,
    /// The last accepted or repeated request.
    pub last_received_ms: Option<i64>,
    pub refused: Vec<RefusedStatus>,
    /// What went wrong with the connector last; partly its own words.
    pub last_error: Option<String>,
    /// When each key of the address, and each secret, was last of use: an old one that nobody uses any
    /// more can go.
    pub keys_used_ms: Vec<Option<i64>>,
    pub secrets_used_ms: Vec<Option<i64>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedStatus {
    pub reason: &'static str,
    pub count: u64,
    pub last_ms: i64,
}

pub(crate) struct Stats {
    name: String,
    metrics: InboundMetrics,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    status: InboundStatus,
    refused: BTreeMap<&'static str, Reason>,
    keys: [Option<i64>; PLACES],
    secrets: [Option<i64>; PLACES],
}

#[derive(Default, Clone, Copy)]
struct Reason {
    count: u64,
    last_ms: i64,
    /// When it was last in the log, and how many there were by then.
    said_ms: Option<i64>,
    said: u64,
}

impl Stats {
    pub fn new(name: &str, metrics: &Metrics) -> Self {
        Self { name: name.to_owned(), metrics: metrics.inbound(name), inner: Mutex::default() }
    }

    /// A request was accepted, or came again.
    pub fn received(&self, events: usize, repeated: bool, now_ms: i64) {
        self.metrics.result(if repeated { "repeated" } else { "accepted" }).inc();
        self.metrics.events.inc_by(events as u64);
        let status = &mut self.lock().status;
        *(if repeated { &mut status.repeated } else { &mut status.accepted }) += 1;
        status.events += events as u64;
        status.last_received_ms = Some(now_ms);
    }

    /// A request was verified with these.
    pub fn used(&self, key: usize, secret: Option<usize>, now_ms: i64) {
        let mut inner = self.lock();
        if let Some(used) = inner.keys.get_mut(key) {
            *used = Some(now_ms);
        }
        if let Some(used) = secret.and_then(|secret| inner.secrets.get_mut(secret)) {
            *used = Some(now_ms);
        }
    }

    pub fn forget_places(&self) {
        let mut inner = self.lock();
        (inner.keys, inner.secrets) = Default::default();
    }

    /// A request was refused. The log hears of each reason once a minute at most.
    pub fn refused(&self, reason: &'static str, now_ms: i64) {
        self.metrics.result(reason).inc();
        let news = {
            let mut inner = self.lock();
            let entry = inner.refused.entry(reason).or_default();
            entry.count += 1;
            entry.last_ms = now_ms;
            let due = entry.said_ms.is_none_or(|said| now_ms.saturating_sub(said) >= QUIET);
            due.then(|| {
                let fresh = entry.count - entry.said;
                (entry.said_ms, entry.said) = (Some(now_ms), entry.count);
                fresh
            })
        };
        if let Some(requests) = news {
            tracing::warn!(inbound = %self.name, reason, requests, "inbound requests refused");
        }
    }

    /// The connector gave no answer.
    pub fn failed(&self, text: &str) {
        self.lock().status.last_error = Some(text.chars().take(512).collect());
    }

    /// Accepted requests were forgotten before their time.
    pub fn forgotten(&self, requests: u64) {
        self.metrics.forgotten.inc_by(requests);
    }

    pub fn status(&self) -> InboundStatus {
        let inner = self.lock();
        let refused = inner.refused.iter().map(|(reason, entry)| RefusedStatus { reason, count: entry.count, last_ms: entry.last_ms }).collect();
        InboundStatus { refused, keys_used_ms: inner.keys.to_vec(), secrets_used_ms: inner.secrets.to_vec(), ..inner.status.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
