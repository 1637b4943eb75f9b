//! The runs of one instance: when, how, and what is recorded of them.
//!
//! A run by cron or by hand is recorded when it begins, one by interval when it has brought something: a look that
//! finds nothing and does not fail leaves no record; one that an event asked for is recorded like one by hand, and tried
//! again until it is done. What is tried again after a failure and gets nowhere again
//! counts as one more attempt of the failed run. How far a run is comes to its record once a second at most.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bulkhead_core::{SyncRun, SyncStatus, SyncTrigger};
use bulkhead_journal::Durability;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::page::{LOST, Missed, NO_EVENTS, Taken, stopped};
use super::timer::Timer;
use super::when::{Turn, When};
use super::{FIRST_WAIT, LONGEST_WAIT, MissedRuns, PullNotice, PullParts, PullSchedule, PullSettings, Shared, Under};
use crate::normalise::{Normaliser, Rules, ShapeRule};
use crate::sink::Sink;

/// Longest wait that the other system can ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(3_600);
/// Between two notes of how far a run is.
const NOTE: Duration = Duration::from_secs(1);
/// Between two looks at who has the lease.
const LOOK: Duration = Duration::from_secs(1);
/// Before a store that is away is asked again for what events want.
const STORE_WAIT: Duration = Duration::from_secs(5);
/// Bytes of an error that are recorded.
const ERROR: usize = 2_048;
/// Who set off what nobody did.
const SCHEDULE: &str = "schedule";

/// One instance's.
pub(super) struct Pull {
    pub settings: PullSettings,
    pub parts: Arc<PullParts>,
    pub shared: Arc<Shared>,
    pub sink: Sink,
    pub normaliser: Normaliser,
    pub cursor: Option<Vec<u8>>,
    /// A cursor whose events are in the journal, and which the store did not take.
    pub unkept: Option<Vec<u8>>,
    /// How often this page was refused for records that are no events.
    pub refusals: u32,
    /// In which term this host pulls.
    pub under: Under,
    /// The last one, where it failed.
    failed: Option<SyncRun>,
    /// What an event asked for, and failed so far.
    owed: bool,
    /// When the store is asked again for what events want, on the monotonic clock.
    ask_at: Duration,
}

/// A run under way, and its record.
struct Course {
    run: SyncRun,
    recorded: bool,
    noted: Duration,
    /// What an event asked for is done with it.
    asked: Option<Uuid>,
}

impl Pull {
    pub fn new(settings: PullSettings, parts: Arc<PullParts>, shared: Arc<Shared>) -> Self {
        let label = format!("pull:{}", settings.instance);
        let sink = Sink::new(parts.gate.clone(), parts.metrics.clone(), Arc::clone(&parts.clock), &label, Durability::Fsync);
        let normaliser = Normaliser::new(Rules { shape: ShapeRule::Auto, strict: false, tenant: settings.tenant.clone() });
        let under = Under { instance: Arc::clone(&settings.instance), term: 0 };
        Self { settings, parts, shared, sink, normaliser, cursor: None, unkept: None, refusals: 0, under, failed: None, owed: false, ask_at: Duration::ZERO }
    }

    pub async fn run(mut self, cancel: CancellationToken) {
        self.shared.wanted().closed = false;
        while let Some(term) = self.lease(&cancel).await {
            self.enter(term).await;
            if let Some(mut when) = self.plan(&cancel).await {
                while let Some(course) = self.next(&mut when, &cancel).await {
                    self.course(course, &mut when, &cancel).await;
                }
            }
            if !cancel.is_cancelled() {
                tracing::info!(instance = &*self.settings.instance, term, "another host runs the schedule now");
                // Recorded as cut off by whoever has the lease.
                self.shared.wanted().run = None;
            }
        }
        let left = {
            let mut wanted = self.shared.wanted();
            wanted.closed = true;
            wanted.run.take()
        };
        if let Some(mut run) = left {
            run.end(SyncStatus::Failed, Some(stopped().reason), self.parts.clock.unix_ms());
            self.keep(&run).await;
        }
    }

    /// Waits until this host is the one; nothing where the pulling ends.
    async fn lease(&self, cancel: &CancellationToken) -> Option<i64> {
        let leases = &self.parts.leases;
        loop {
            let moved = leases.moved();
            if cancel.is_cancelled() {
                return None;
            }
            let term = leases.term(&self.settings.instance);
            {
                let mut status = self.shared.status();
                status.elsewhere = if term.is_some() { None } else { leases.elsewhere(&self.settings.instance) };
                status.next_ms = None;
            }
            if term.is_some() {
                return term;
            }
            tokio::select! {
                biased;
                () = cancel.cancelled() => return None,
                () = moved => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Whatever was known may have changed since: another host may have pulled.
    async fn enter(&mut self, term: i64) {
        self.under.term = term;
        (self.cursor, self.unkept, self.refusals, self.failed, self.owed) = (None, None, 0, None, false);
        // Of the host before this one, or of this one before its end.
        self.shared.asked.store(true, Ordering::SeqCst);
        if let Err(error) = self.parts.runs.cut_off(&self.under, self.parts.clock.unix_ms()).await {
            tracing::warn!(instance = &*self.settings.instance, error, "runs that a host before this one left are not closed");
        }
    }

    pub(super) fn holds(&self) -> bool {
        self.parts.leases.term(&self.settings.instance) == Some(self.under.term)
    }

    /// What is due first; nothing where the pulling ends before that is known.
    async fn plan(&self, cancel: &CancellationToken) -> Option<When> {
        let last = self.parts.runs.last(&self.settings.instance).await;
        self.shared.status().began_ms = last.unwrap_or_else(|error| {
            tracing::warn!(instance = &*self.settings.instance, error, "cannot read when the last run was");
            None
        });
        if !self.settings.active {
            // Whatever was due while it did not count was not missed: no cron expression is the one that was settled last.
            self.told(self.parts.runs.settle("", self.parts.clock.unix_ms(), &self.under).await.map(drop));
            return Some(When::asked());
        }
        let (cron, missed) = match &self.settings.schedule {
            PullSchedule::Interval(interval) => return Some(When::every(*interval, self.parts.clock.monotonic())),
            PullSchedule::Cron(cron, missed) => (cron, *missed),
        };
        let settled = loop {
            let known = self.parts.runs.settled(&self.settings.instance, &cron.to_string()).await;
            match known {
                Ok(settled) => break settled,
                // Without it nobody knows what was missed.
                Err(error) => self.pause(self.missed(&Missed::new("store", error)), cancel).await?,
            }
            if !self.holds() {
                return None;
            }
        };
        let (now, monotonic) = (self.parts.clock.unix_ms(), self.parts.clock.monotonic());
        let mut timer = Timer::new(cron.clone(), settled.unwrap_or(now), now, monotonic);
        if settled.is_none() {
            self.settle(now).await;
        }
        if !timer.is_behind(now) {
            return Some(When::cron(timer));
        }
        match missed {
            MissedRuns::Run => Some(When::cron(timer).with_missed(monotonic)),
            MissedRuns::Skip => {
                tracing::info!(instance = &*self.settings.instance, "a run was missed and is skipped (pull.missed)");
                timer.settle(now);
                Some(When::cron(timer))
            }
        }
    }

    /// Waits for the next run; nothing where the pulling ends.
    async fn next(&mut self, when: &mut When, cancel: &CancellationToken) -> Option<Course> {
        let leases = Arc::clone(&self.parts.leases);
        loop {
            let moved = leases.moved();
            if cancel.is_cancelled() || !self.holds() {
                return None;
            }
            let (now, noted) = (self.parts.clock.unix_ms(), self.parts.clock.monotonic());
            let wanted = {
                let mut wanted = self.shared.wanted();
                let run = wanted.run.take();
                // Under the same lock, so that there is no moment without either.
                self.shared.status().run = run.as_ref().map(|run| run.id);
                run
            };
            if let Some(run) = wanted {
                let course = Course { run, recorded: true, noted, asked: None };
                self.begin(&course.run).await;
                return Some(course);
            }
            // A store that is away keeps no schedule from its runs.
            if noted >= self.ask_at
                && self.shared.asked.swap(false, Ordering::SeqCst)
                && let Some(course) = self.asked(false, now, noted).await
            {
                return Some(course);
            }
            let wait = match when.look(now, noted) {
                Turn::Run { trigger: SyncTrigger::Event, again } => match self.asked(again, now, noted).await {
                    Some(course) => return Some(course),
                    // It is not known now, or not wanted any more: what it stood in for is the schedule's.
                    None if self.settings.active => {
                        when.again(SyncTrigger::Scheduled, noted, Duration::ZERO);
                        continue;
                    }
                    None => {
                        when.settle(now, noted);
                        continue;
                    }
                },
                Turn::Run { trigger, again } => {
                    let run = SyncRun::begin(&self.settings.instance, trigger, SCHEDULE, now);
                    let mut course = Course { run, recorded: false, noted, asked: None };
                    if self.is_cron() && !again {
                        self.record(&mut course).await;
                    }
                    return Some(course);
                }
                Turn::Wait(wait, next_ms) => {
                    self.shared.status().next_ms = next_ms;
                    wait
                }
            };
            tokio::select! {
                biased;
                () = cancel.cancelled() => return None,
                () = self.shared.now.notified() => {}
                () = moved => {}
                () = tokio::time::sleep(if self.shared.asked.load(Ordering::SeqCst) { wait.min(STORE_WAIT) } else { wait }) => {}
            }
        }
    }

    /// The run that an event asked for. Its record comes first: who asks behind it gets a run of its own.
    async fn asked(&mut self, again: bool, now: i64, noted: Duration) -> Option<Course> {
        let asked = match self.parts.runs.asked(&self.settings.instance).await {
            Ok(asked) => asked?,
            Err(error) => {
                tracing::warn!(instance = &*self.settings.instance, error, "cannot read whether an event asked for a run");
                self.ask_at = noted + STORE_WAIT;
                self.shared.asked.store(true, Ordering::SeqCst);
                return None;
            }
        };
        let mut run = SyncRun::begin(&self.settings.instance, SyncTrigger::Event, &asked.by, now);
        if !asked.begun {
            run.id = asked.id;
        }
        let mut course = Course { run, recorded: false, noted, asked: Some(asked.id) };
        if !again {
            self.record(&mut course).await;
        }
        Some(course)
    }

    /// From its begin to its end.
    async fn course(&mut self, mut course: Course, when: &mut When, cancel: &CancellationToken) {
        {
            let mut status = self.shared.status();
            (status.began_ms, status.next_ms) = (Some(course.run.started_ms), None);
        }
        let end = self.pages(&mut course, cancel).await;
        let (now, monotonic) = (self.parts.clock.unix_ms(), self.parts.clock.monotonic());
        let trigger = course.run.trigger;
        match end {
            Ok(()) => {
                let asked = course.asked;
                self.completed(course, now).await;
                when.settle(now, monotonic);
                self.settle(now).await;
                match asked {
                    Some(id) if self.done(id).await => self.owed = false,
                    // Once more, for nothing is on disk that says that it is done.
                    Some(_) => when.again(SyncTrigger::Event, monotonic, LONGEST_WAIT),
                    None => self.still_owes(),
                }
            }
            // The next start, or the next configuration, takes up what is not settled.
            Err(_) if cancel.is_cancelled() => {
                if course.recorded {
                    course.run.end(SyncStatus::Failed, Some(stopped().reason), now);
                    self.keep(&course.run).await;
                }
            }
            // Nothing of it is this host's to write any more. The store may know that before this host does: not at once
            // again.
            Err(missed) if missed.word == LOST => when.again(trigger, monotonic, FIRST_WAIT),
            Err(missed) => {
                let wait = self.missed(&missed);
                let unbegun = missed.is_idle() && course.run.pages == 0 && trigger != SyncTrigger::Manual;
                self.owed |= trigger == SyncTrigger::Event;
                if !unbegun {
                    self.failed(course, missed.reason, now).await;
                } else if course.recorded {
                    self.forget(&course.run).await;
                }
                // What an event asked for is waited for in any case.
                if unbegun && missed.word == "held" && self.settings.schedule.skips() && trigger != SyncTrigger::Event {
                    when.settle(now, monotonic);
                    self.settle(now).await;
                    self.still_owes();
                    // It is not waited for.
                    self.shared.status().idle = None;
                } else {
                    when.again(trigger, monotonic, wait);
                }
            }
        }
        self.shared.status().run = None;
    }

    /// All pages that there are.
    async fn pages(&mut self, course: &mut Course, cancel: &CancellationToken) -> Result<(), Missed> {
        loop {
            let wait = match self.page(&mut course.run, cancel).await {
                Ok(Taken(more)) => {
                    self.taken();
                    self.note(course).await;
                    match more {
                        Some(wait) => wait,
                        None if self.shared.ends() => return Ok(()),
                        // What was asked for meanwhile is part of this run.
                        None => Duration::ZERO,
                    }
                }
                // A few times only; then they are left out.
                Err(missed) if missed.word == NO_EVENTS => self.missed(&missed),
                Err(missed) => {
                    self.note(course).await;
                    return Err(missed);
                }
            };
            self.pause(wait, cancel).await.ok_or_else(stopped)?;
        }
    }

    /// Nothing where the pulling ends.
    async fn pause(&self, wait: Duration, cancel: &CancellationToken) -> Option<()> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => None,
            () = tokio::time::sleep(wait) => Some(()),
        }
    }

    /// A page came.
    fn taken(&self) {
        let recovered = {
            let mut status = self.shared.status();
            status.idle = None;
            status.last_ms = Some(self.parts.clock.unix_nanos() / 1_000_000);
            status.error = None;
            std::mem::take(&mut status.failures) > 0
        };
        if recovered {
            tracing::info!(instance = &*self.settings.instance, "pulled again");
            (self.parts.notify)(PullNotice::Recovered { instance: Arc::clone(&self.settings.instance) });
        }
        self.parts.metrics.pulls(&self.settings.instance, "taken").inc();
    }

    /// No page came; answers the wait before it is asked for again.
    fn missed(&self, missed: &Missed) -> Duration {
        self.parts.metrics.pulls(&self.settings.instance, missed.word).inc();
        if missed.is_idle() {
            let mut status = self.shared.status();
            let turns = status.idle.map_or(0, |(_, turns)| turns);
            status.idle = Some((missed.word, turns.saturating_add(1)));
            return FIRST_WAIT;
        }
        let failures = {
            let mut status = self.shared.status();
            status.idle = None;
            status.failures = status.failures.saturating_add(1);
            status.error = Some(missed.reason.clone());
            status.failures
        };
        if failures == 1 {
            tracing::warn!(instance = &*self.settings.instance, reason = missed.reason, "cannot pull; it is tried again");
            (self.parts.notify)(PullNotice::Failed { instance: Arc::clone(&self.settings.instance), reason: missed.reason.clone() });
        }
        let growing = FIRST_WAIT.saturating_mul(1 << (failures - 1).min(10)).min(LONGEST_WAIT);
        growing.max(missed.after.unwrap_or_default().min(LONGEST_ASKED))
    }

    /// The record of a run that has something to tell, once a second.
    async fn note(&self, course: &mut Course) {
        let tells = course.run.records > 0 || course.run.left_out > 0;
        let now = self.parts.clock.monotonic();
        if !course.recorded && tells {
            self.record(course).await;
        } else if course.recorded && now.saturating_sub(course.noted) >= NOTE {
            course.noted = now;
            self.keep(&course.run).await;
        }
    }

    async fn record(&self, course: &mut Course) {
        course.recorded = true;
        self.shared.status().run = Some(course.run.id);
        self.begin(&course.run).await;
    }

    async fn completed(&mut self, mut course: Course, now: i64) {
        self.failed = None;
        course.run.end(SyncStatus::Completed, None, now);
        if course.recorded || self.is_cron() || course.run.trigger.asked() {
            self.keep(&course.run).await;
        }
        if self.is_cron() || course.run.trigger.asked() {
            (self.parts.notify)(PullNotice::Completed(course.run));
        }
    }

    async fn failed(&mut self, mut course: Course, mut reason: String, now: i64) {
        reason.truncate(reason.floor_char_boundary(ERROR));
        match &mut self.failed {
            // One by hand stands for itself.
            Some(before) if !course.recorded && before.trigger != SyncTrigger::Manual => {
                before.attempts = before.attempts.saturating_add(1);
                before.end(SyncStatus::Failed, Some(reason), now);
            }
            failed => {
                course.run.end(SyncStatus::Failed, Some(reason), now);
                *failed = Some(course.run);
            }
        }
        if let Some(run) = &self.failed {
            self.keep(run).await;
        }
    }

    fn is_cron(&self) -> bool {
        matches!(self.settings.schedule, PullSchedule::Cron(..))
    }

    /// Nothing up to now needs a run; an interval begins with one anyway.
    async fn settle(&self, now: i64) {
        if let (PullSchedule::Cron(cron, _), true) = (&self.settings.schedule, self.settings.active) {
            self.told(self.parts.runs.settle(&cron.to_string(), now, &self.under).await.map(drop));
        }
    }

    /// A run for what an event asked for came to its end; whether that is on disk.
    async fn done(&self, id: Uuid) -> bool {
        let done = self.parts.runs.done(id, &self.under).await;
        if let Err(error) = &done {
            tracing::warn!(instance = &*self.settings.instance, error, "a run that an event asked for is done, and cannot be marked so: it runs again");
        }
        done.is_ok()
    }

    /// Nothing is planned after this: what an event asked for and failed before is begun by its own record.
    fn still_owes(&mut self) {
        if std::mem::take(&mut self.owed) {
            self.shared.asked.store(true, Ordering::SeqCst);
        }
    }

    async fn begin(&self, run: &SyncRun) {
        self.told(self.parts.runs.begin(run).await);
    }

    async fn keep(&self, run: &SyncRun) {
        self.told(self.parts.runs.keep(run, &self.under).await.map(drop));
    }

    async fn forget(&self, run: &SyncRun) {
        self.told(self.parts.runs.forget(run).await);
    }

    /// A record that cannot be written stops no pulling: a cursor that cannot does.
    fn told(&self, written: Result<(), String>) {
        if let Err(error) = written {
            tracing::warn!(instance = &*self.settings.instance, error, "a run is not recorded");
        }
    }
}

impl PullSchedule {
    fn skips(&self) -> bool {
        matches!(self, Self::Cron(_, MissedRuns::Skip))
    }
}
