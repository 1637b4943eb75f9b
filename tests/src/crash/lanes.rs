//! The lanes that a crash run feeds, each with a receiver of its own: in no order, in order of keys, in
//! strict order, and one whose receiver refuses so much that its events become dead letters.

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::{Context, Result};

use super::account::{self, Tally};
use crate::host::Host;
use crate::marker::Marker;
use crate::receiver::{self, Receiver, Script};

pub struct Lane {
    pub name: &'static str,
    pub receiver: Receiver,
    format: &'static str,
    /// Everything of the instance but its destination.
    yaml: String,
    concurrency: u64,
    batch: u64,
    /// What its receiver does, round by round.
    faults: &'static [&'static str],
    /// In every round, and not only where faults are wanted.
    always: bool,
    seen: Seen,
}

/// Counts of the receiver at the end of the round before.
#[derive(Default)]
struct Seen {
    duplicates: u64,
    unanswered: u64,
}

/// Refusals, resets, silence, slowness, and answers that get lost after the events were taken.
const FAULTS: &[&str] = &[
    "503x3;ok;429:retry-after=1;503;ok;lose",
    "reset;ok;lose;reset;reset;ok;ok;lose",
    "hang=300ms;ok;garbage;500x2;ok;lose;ok",
    "delay=200ms;lose;delay=200ms;503:retry-after=1;ok;ok;ok",
    "429;503;reset;lose;delay=100ms;ok",
];

/// Most attempts fail for good: by an event, by a batch, by running out of attempts.
const REFUSALS: &[&str] = &["invalid=3;ok;503x3;lose;invalid=0;ok;ok", "ok;503x2;invalid=7;reset;reset;ok", "lose;invalid=1;429;429;ok;ok;ok;400"];

pub fn all() -> Result<Vec<Lane>> {
    let lane = |name, format, settings: &[&str], concurrency, batch, faults, always| -> Result<Lane> {
        let receiver = Receiver::start(receiver::Options::default(), Script::default())?;
        Ok(Lane { name, receiver, format, yaml: settings.join(", "), concurrency, batch, faults, always, seen: Seen::default() })
    };
    const HEC: &str = "connector: splunk-hec";
    const LINES: &str = "connector: webhook, config: {mode: ndjson}";
    const EAGER: &str = "retry: {initial: 50ms, max: 500ms}, circuit_breaker: {failure_threshold: 1000}";
    const PATIENT: &str = "retry: {initial: 20ms, max: 200ms}, circuit_breaker: {failure_threshold: 4, open_for: 200ms, half_open_calls: 1}";
    const HASTY: &str = "retry: {initial: 10ms, max: 50ms, max_attempts: 2}, circuit_breaker: {failure_threshold: 1000}";
    Ok(vec![
        lane("siem", "cef", &[HEC, EAGER], 4, 100, FAULTS, false)?,
        lane("keyed", "json", &[LINES, "ordering: key", EAGER], 2, 50, FAULTS, false)?,
        lane("strict", "json", &[LINES, "ordering: strict", PATIENT], 1, 200, FAULTS, false)?,
        lane("refused", "cef", &[HEC, HASTY], 2, 40, REFUSALS, true)?,
    ])
}

/// `instances` and `default_route` of the configuration.
pub fn yaml(lanes: &[Lane]) -> String {
    let mut out = String::from("instances:\n");
    for lane in lanes {
        let (url, yaml, concurrency, batch) = (lane.receiver.url(), &lane.yaml, lane.concurrency, lane.batch);
        let _ = writeln!(
            out,
            "  {}: {{{yaml}, concurrency: {concurrency}, batch: {{max_events: {batch}}}, destinations: {{primary: {{url: \"{url}\", methods: [POST, GET]}}}}}}",
            lane.name
        );
    }
    let targets: Vec<String> = lanes.iter().map(|lane| format!("{{instance: {}, format: {}}}", lane.name, lane.format)).collect();
    let _ = writeln!(out, "default_route: [{}]", targets.join(", "));
    out
}

impl Lane {
    /// Sets what the receiver does in this round.
    pub fn play(&self, round: u32, faults: bool) -> Result<()> {
        let script = if faults || self.always { Script::cycle(self.faults[round as usize % self.faults.len()])? } else { Script::default() };
        self.receiver.play(script);
        Ok(())
    }

    /// The lane has settled everything: what came of the round's events.
    pub fn account(&mut self, host: &Host, round: u32, sent: u64, acked: &[std::ops::RangeInclusive<u64>], kills: u64) -> Result<Tally> {
        let buried = buried(host, self.name, round)?;
        let (concurrency, batch, lane, before) = (self.concurrency, self.batch, self.name, &self.seen);
        let (tally, seen) = self.receiver.stats(|stats| -> Result<_> {
            let events = &stats.events;
            let tally = Tally {
                lane,
                delivered: events.count(round),
                duplicates: events.duplicates - before.duplicates,
                bound: kills * account::in_flight(concurrency, batch) + events.unanswered - before.unanswered,
                ..Tally::default()
            };
            let tally = account::settle(tally, sent, acked, |number| events.has(round, number), &buried)?;
            Ok((tally, Seen { duplicates: events.duplicates, unanswered: events.unanswered }))
        })?;
        self.seen = seen;
        Ok(tally)
    }
}

/// The numbers of a round that lie in the dead letters of an instance.
fn buried(host: &Host, instance: &str, round: u32) -> Result<BTreeSet<u64>> {
    let mut found = BTreeSet::new();
    let mut after = String::new();
    loop {
        let page = host.get(&format!("/api/integration/dead-letters?instance={instance}&limit=1000{after}"))?.json()?;
        let letters = page["data"].as_array().context("dead letters without data")?;
        for letter in letters {
            let id = letter["event_id"].as_str().and_then(|id| Marker::read(id.as_bytes())).with_context(|| format!("no generated event: {letter}"))?;
            if id.run == round {
                found.insert(id.number);
            }
        }
        match letters.last() {
            Some(last) if letters.len() == 1000 => after = format!("&after={}", last["id"]),
            _ => return Ok(found),
        }
    }
}
