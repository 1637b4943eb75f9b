//! The hash chains of events' sources, verified beside the flow: a reader of the journal, like a lane,
//! hands events to the rules (`bulkhead_integrity`) and makes events of what they find.
//!
//! It stands behind the journal and not in intake: nothing that is found may refuse or hold up an event,
//! and a hash costs more than all of intake. What is known of chains is on disk before the journal may
//! delete what it came from; a finding is in the journal before that, or on disk beside it where the journal
//! is full: the journal gets room only from readers that go on, this one too. A crash between them tells it
//! again, with the same id. Bulkhead's own events and replayed ones are not looked at, so nothing found causes more.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bulkhead_core::{Attr, Clock, Seq, Shape};
use bulkhead_integrity::{Finding, Report, Resolved, Saved, Told, Verifier};
use bulkhead_journal::{Frame, Journal, LaneError, LaneLog, LaneStart, ReadError, Reader};
use bulkhead_observe::{IntegrityMetrics, Metrics};
use bulkhead_route::Condition;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::config::IntegrityRule;
use crate::durable;
use crate::own_events::{Described, append_now};

/// The lane's name in the journal; no instance can have it.
pub const LANE: &str = "@integrity";
const FILE: &str = "integrity.json";
/// Between two looks at what is late, and between two attempts to read.
const TICK: Duration = Duration::from_secs(1);
/// Between two writes of what is known, where nothing was found.
const SAVE: Duration = Duration::from_secs(10);
/// Events looked at before others have their turn on the thread.
const TURN: usize = 64;
/// Own events of one rule in a minute; beyond it findings are counted only.
const BUDGET: u32 = 30;
const MINUTE: Duration = Duration::from_secs(60);
/// Findings that wait for room in the journal; beyond it they are counted only.
const WAITING: usize = 1_000;

#[derive(Debug, thiserror::Error)]
pub enum IntegrityError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Lane(#[from] LaneError),
    #[error("rule `{rule}` of integrity: {source}")]
    Rule { rule: String, source: bulkhead_integrity::SetupError },
}

/// Verifies until it is stopped.
pub struct Integrity {
    watches: Vec<Watch>,
    reader: Reader,
    lane: LaneLog,
    journal: Journal,
    clock: Arc<dyn Clock>,
    path: PathBuf,
    /// The last event that was looked at, and the last that what is on disk knows.
    position: u64,
    saved: u64,
    saved_at: Duration,
    /// Own events that the journal has no room for, with the time when they were found.
    untold: VecDeque<(u64, String)>,
}

struct Watch {
    name: String,
    when: Condition,
    verifier: Verifier,
    metrics: IntegrityMetrics,
    budget: Budget,
    forgotten: u64,
}

/// What is on disk.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    position: u64,
    rules: BTreeMap<String, Saved>,
    #[serde(default)]
    untold: VecDeque<(u64, String)>,
}

impl Integrity {
    /// Nothing where there are no rules; then what an earlier configuration left in the journal goes. Blocks.
    pub fn open(rules: &[IntegrityRule], data_dir: &Path, journal: &Journal, clock: Arc<dyn Clock>, metrics: &Metrics) -> Result<Option<Self>, IntegrityError> {
        let path = data_dir.join(FILE);
        let known = journal.lane_names().iter().any(|name| name == LANE);
        if rules.is_empty() {
            if known {
                journal.remove_lane(LANE)?;
                let _ = fs::remove_file(&path);
            }
            return Ok(None);
        }
        let mut state = if known { read(&path)? } else { State::default() };
        let mut watches = Vec::new();
        for rule in rules {
            let mut verifier = rule.verifier().map_err(|source| IntegrityError::Rule { rule: rule.name.clone(), source })?;
            if let Some(saved) = state.rules.remove(&rule.name) {
                verifier.restore(saved);
            }
            let metrics = metrics.integrity(&rule.name);
            watches.push(Watch { name: rule.name.clone(), when: rule.when.clone(), verifier, metrics, budget: Budget::default(), forgotten: 0 });
        }
        let lane = journal.lane(LANE, LaneStart::Now)?;
        let position = state.position.max(lane.cursor().0).min(journal.head().0);
        let reader = journal.reader(Seq(position));
        let saved_at = clock.monotonic();
        let untold = state.untold;
        Ok(Some(Self { watches, reader, lane, journal: journal.clone(), clock, path, position, saved: position, saved_at, untold }))
    }

    /// Follows the journal until cancelled; what is known then is on disk when it returns.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let frame = tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                _ = ticks.tick() => None,
                frame = self.reader.next() => Some(frame),
            };
            let mut told = match frame {
                Some(Ok(frame)) => self.frame(&frame).await,
                // Late ones are looked for only once all that has come was seen.
                None if self.position >= self.journal.head().0 => self.tick(),
                None => false,
                Some(Err(ReadError::Closed)) => break,
                // Said by the reader, and a gap of every chain that had events there.
                Some(Err(ReadError::Lost { last, .. } | ReadError::Gone { last, .. })) => {
                    self.position = last.0;
                    false
                }
                Some(Err(ReadError::Io { .. })) => {
                    tokio::time::sleep(TICK).await;
                    false
                }
            };
            told |= self.append().await;
            let due = self.clock.monotonic().saturating_sub(self.saved_at) >= SAVE;
            if told || (due && self.position > self.saved) {
                self.save();
            }
        }
        if self.position > self.saved {
            self.save();
        }
    }

    /// What was found goes into the journal, as far as it takes it; true where something did.
    async fn append(&mut self) -> bool {
        let mut told = false;
        while let Some((found, text)) = self.untold.front() {
            if let Err(error) = append_now(&self.journal, text, *found).await {
                tracing::debug!(error = &error as &dyn std::error::Error, waiting = self.untold.len(), "findings of hash chains wait");
                break;
            }
            self.untold.pop_front();
            told = true;
        }
        told
    }

    /// Looks at a frame's events; true where something was found that will be told.
    async fn frame(&mut self, frame: &Frame) -> bool {
        let (mut reports, mut found) = (Vec::new(), false);
        for (index, (seq, event)) in frame.events().enumerate() {
            if index % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            if seq.0 <= self.position {
                continue;
            }
            if event.shape() != Shape::Own && event.lane().is_none() {
                let text = |attr| event.attr(attr).and_then(|value| value.text()).unwrap_or_default();
                for at in 0..self.watches.len() {
                    let watch = &mut self.watches[at];
                    if !watch.when.holds(&event) {
                        continue;
                    }
                    watch.metrics.events.inc();
                    watch.verifier.event(event.original(), &text(Attr::Tenant), &text(Attr::Source), seq.0, frame.time(), &mut reports);
                    found |= self.tell(at, &mut reports);
                }
            }
            self.position = seq.0;
        }
        found
    }

    fn tick(&mut self) -> bool {
        let (mut reports, mut found) = (Vec::new(), false);
        let now = self.clock.unix_nanos();
        for at in 0..self.watches.len() {
            let watch = &mut self.watches[at];
            watch.verifier.tick(now, &mut reports);
            let stats = watch.verifier.stats();
            watch.metrics.set(stats.chains, stats.broken, stats.forgotten - watch.forgotten);
            watch.forgotten = stats.forgotten;
            found |= self.tell(at, &mut reports);
        }
        found
    }

    /// Counts what was found, and makes events of what is new.
    fn tell(&mut self, at: usize, reports: &mut Vec<Report>) -> bool {
        let mut found = false;
        let now = self.clock.unix_nanos();
        for report in reports.drain(..) {
            let watch = &mut self.watches[at];
            if let Told::Found { finding, .. } = &report.told {
                watch.metrics.found(finding.kind.name());
            }
            if matches!(report.told, Told::Found { first: false, .. }) {
                continue;
            }
            if self.untold.len() >= WAITING {
                watch.budget.untold += 1;
            } else if watch.budget.take(self.clock.monotonic()) {
                let described = describe(&watch.name, &report, std::mem::take(&mut watch.budget.untold));
                self.untold.push_back((now, described.cloud_event(now)));
                found = true;
            }
        }
        found
    }

    /// Blocks for a moment; as often as something is found, or every ten seconds.
    fn save(&mut self) {
        self.saved_at = self.clock.monotonic();
        let rules = self.watches.iter().map(|watch| (watch.name.clone(), watch.verifier.save())).collect();
        let state = State { position: self.position, rules, untold: self.untold.clone() };
        let written = serde_json::to_vec(&state).map_err(io::Error::from).and_then(|bytes| durable::write(&self.path, &bytes));
        if let Err(error) = written {
            // The journal keeps what is not known on disk, so nothing is lost; it is tried again.
            tracing::warn!(error = &error as &dyn std::error::Error, path = %self.path.display(), "cannot write down what is known of hash chains");
            return;
        }
        self.lane.settle(Seq(self.lane.cursor().0 + 1), Seq(self.position));
        self.saved = self.position;
        if let Err(error) = self.lane.flush() {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot write the log of lane {LANE}");
        }
    }
}

/// How many events of a rule are told in a minute.
#[derive(Debug, Default)]
struct Budget {
    began: Duration,
    used: u32,
    untold: u64,
}

impl Budget {
    fn take(&mut self, now: Duration) -> bool {
        if now.saturating_sub(self.began) >= MINUTE {
            (self.began, self.used) = (now, 0);
        }
        if self.used >= BUDGET {
            self.untold += 1;
            return false;
        }
        self.used += 1;
        true
    }
}

fn describe(rule: &str, report: &Report, untold: u64) -> Described {
    match &report.told {
        Told::Found { finding, .. } => Described::integrity(rule, &report.chain, finding, untold),
        Told::Resolved(resolved) => Described::integrity_resolved(rule, &report.chain, resolved, untold),
    }
}

/// What an earlier process knew. A file that cannot be understood is no reason not to start: chains begin
/// anew.
fn read(path: &Path) -> Result<State, IntegrityError> {
    match fs::read(path) {
        Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_else(|error| {
            tracing::error!(%error, path = %path.display(), "what was known of hash chains cannot be read; they begin anew");
            State::default()
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::default()),
        Err(source) => Err(IntegrityError::Read { path: path.into(), source }),
    }
}

/// The words of findings in own events.
pub fn said(finding: &Finding) -> serde_json::Map<String, serde_json::Value> {
    let mut data = serde_json::Map::new();
    data.insert("reason".into(), finding.reason.name().into());
    if let bulkhead_integrity::Reason::Sequence { expected, found } = finding.reason {
        data.insert("expected".into(), expected.into());
        data.insert("found".into(), found.into());
    }
    data.insert("seq".into(), finding.at.into());
    data
}

/// The counts of an incident.
pub fn counts(resolved: &Resolved) -> serde_json::Value {
    bulkhead_integrity::Kind::ALL
        .iter()
        .map(|kind| (kind.name().to_owned(), serde_json::Value::from(resolved.counts.of(*kind))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_findings_is_counted_instead_of_told() {
        let mut budget = Budget::default();
        let taken = (0..100).filter(|_| budget.take(Duration::from_secs(70))).count();
        assert_eq!((taken, budget.untold), (30, 70));
        assert!(!budget.take(Duration::from_secs(129)));
        assert!(budget.take(Duration::from_secs(130)));
    }
}
