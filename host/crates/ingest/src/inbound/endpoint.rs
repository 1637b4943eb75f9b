//! One address: its settings, what it remembers, what it counts. Stays through reloads under its name.

use std::path::Path;
use std::sync::{Arc, Mutex};

use bulkhead_core::TokenBucket;
use bulkhead_observe::Metrics;

use super::memory::{Bounds, Known, Memory, Moment, UnderWay};
use super::stats::{InboundStatus, Stats};
use super::{InboundSettings, Origin, Refused, Verified};
use crate::http::Problem;
use crate::seen::Key;

pub(crate) struct Endpoint {
    pub settings: InboundSettings,
    pub bucket: Option<Mutex<TokenBucket>>,
    pub stats: Arc<Stats>,
    memory: Arc<Memory>,
}

/// A refused request: what its sender hears, and what its operator does.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub problem: Problem,
    pub reason: &'static str,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { reason: problem.code.name, problem }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self { problem: Problem::unverified(), reason: refused.name() }
    }
}

impl Endpoint {
    /// Blocks on the disk, unless it was there before.
    pub fn open(settings: InboundSettings, before: Option<&Self>, path: &Path, now: Moment, metrics: &Metrics) -> std::io::Result<Self> {
        // One for an address at a time: requests go on while a reload is under way.
        let memory = match before {
            Some(before) => Arc::clone(&before.memory),
            None => Arc::new(Memory::open(path, Bounds { time: settings.remember, requests: settings.remembered }, now)?),
        };
        let stats = before.map_or_else(|| Arc::new(Stats::new(&settings.name, metrics)), |before| Arc::clone(&before.stats));
        // Other secrets may stand at other places now.
        if before.is_some_and(|before| before.settings.keys != settings.keys || before.settings.verifier.keys.len() != settings.verifier.keys.len()) {
            stats.forget_places();
        }
        Ok(Self { bucket: settings.rate.map(|rate| Mutex::new(rate.into())), stats, memory, settings })
    }

    /// What a request came with, for its events.
    pub fn origin(&self, verified: &Verified, headers: &http::HeaderMap) -> Origin {
        let text = |name: &http::HeaderName| Some((name.as_str().to_owned(), headers.get(name)?.to_str().ok()?.to_owned()));
        Origin {
            source: self.settings.source.clone(),
            event_type: self.settings.event_type.clone(),
            name: self.settings.name.clone(),
            message: verified.id.clone(),
            id: verified.repeats.clone(),
            labels: self.settings.headers.iter().filter_map(text).collect(),
            events: 0,
        }
    }

    /// Whether the request of this name is new. One that is under way is to be accepted in the end.
    pub fn claim(&self, repeats: &str, now: Moment) -> (Known, Option<UnderWay>) {
        let key = Key::of(&[repeats.as_bytes()]);
        let known = self.memory.claim(key, now);
        (known, (known == Known::New).then(|| UnderWay::new(&self.memory, key)))
    }

    pub fn status(&self) -> InboundStatus {
        let settings = &self.settings;
        InboundStatus {
            name: settings.name.clone(),
            verify: settings.verifier.name(),
            instance: settings.instance.clone(),
            keys: settings.keys.len(),
            secrets: settings.verifier.keys.len(),
            remembered: self.memory.len(),
            ..self.stats.status()
        }
    }
}
