//! Pull connectors as intake: records of other systems, page by page, behind a cursor that the host keeps.
//!
//! Promises: a cursor is kept only once the events before it are in the journal, so a crash repeats at most the
//! last page and loses none; a page is taken as a whole, or not at all, until it was refused several times for
//! records that are no events: then these alone are left out, and that is told. A full journal stops the pulling,
//! which goes on by itself. A run lasts until the system has nothing more or fails, and is recorded with its counts
//! (`run`); it is due by an interval or a cron expression (`when`), by hand, or because an event asked for it: what an
//! event asked for is on disk until a run that began after it is done, on whichever host. A system that does not answer is
//! asked again after a growing wait, and that is told once. Of hosts that share a store one at a time runs an
//! instance's schedule ([`Leases`]); whatever another one still writes is refused. Bounded: one run and one page at a time for each
//! instance, one more run that waits, and no page twice without a wait.

mod cron;
mod page;
mod run;
mod timer;
mod when;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_core::{BoxFuture, Clock, Puller, SyncRun, SyncTrigger, Tenant};
use bulkhead_observe::Metrics;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::gate::Gate;

pub use cron::{Cron, CronFault, zones};
pub(crate) use page::add;
use run::Pull;

/// Wait after the first failure, doubled with each.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Longest wait of a request for a lease that nobody is known to have.
const LEASE_WAIT: Duration = Duration::from_secs(3);

/// `instances.*.pull`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullSettings {
    pub instance: Arc<str>,
    /// Its connector: a cursor is of no use to another one.
    pub connector: Arc<str>,
    pub schedule: PullSchedule,
    /// Whether the schedule counts; without it runs begin by hand and by events alone.
    pub active: bool,
    pub tenant: Tenant,
}

/// When runs are due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullSchedule {
    /// This long after the end of the one before; the first at once.
    Interval(Duration),
    Cron(Cron, MissedRuns),
}

/// What becomes of a run that was due while the host was down or the instance held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissedRuns {
    /// Once, however many were missed.
    Run,
    Skip,
}

/// How far the pulling is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PullStatus {
    /// Events that are in the journal, and pages that brought them, since the start.
    pub events: u64,
    pub pages: u64,
    /// When a page last came, in milliseconds since 1970.
    pub last_ms: Option<u64>,
    /// Failures in a row, and the last one.
    pub failures: u32,
    pub error: Option<String>,
    /// The journal is full, and nothing is pulled.
    pub blocked: bool,
    /// Why the instance is not asked (it is held, or does not run), and how often in a row.
    pub idle: Option<(&'static str, u32)>,
    /// When a run last began, and when the next does (not known while one is under way), in milliseconds since 1970.
    pub began_ms: Option<i64>,
    pub next_ms: Option<i64>,
    /// The recorded run under way.
    pub run: Option<Uuid>,
    /// The host that runs the schedule instead of this one.
    pub elsewhere: Option<String>,
}

/// What people want to know of a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullNotice {
    Failed {
        instance: Arc<str>,
        reason: String,
    },
    Recovered {
        instance: Arc<str>,
    },
    /// Records that are no events were left out.
    LeftOut {
        instance: Arc<str>,
        records: u64,
        reason: String,
    },
    /// A run by cron or by hand came to its end.
    Completed(SyncRun),
}

/// Which host runs a schedule. Terms of an instance only grow.
pub trait Leases: Send + Sync {
    /// This host would run an instance's schedule, until [`Self::release`] was called as often.
    fn want(&self, instance: &Arc<str>);
    fn release(&self, instance: &Arc<str>);
    /// The term in which this host runs it now.
    fn term(&self, instance: &str) -> Option<i64>;
    /// The host that runs it instead, where that is known.
    fn elsewhere(&self, instance: &str) -> Option<String>;
    /// Ends when a lease was taken or lost after this call.
    fn moved(&self) -> BoxFuture<'_, ()>;
}

/// A run that an event asked for, and that is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedRun {
    /// The id of the run that was to be for it.
    pub id: Uuid,
    pub by: String,
    /// It began, and did not come to its end.
    pub begun: bool,
}

/// The term in which something is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Under {
    pub instance: Arc<str>,
    pub term: i64,
}

/// Where cursors are kept. What `set` was given is on disk when it answers true; false where the term is over.
pub trait Cursors: Send + Sync {
    fn get<'a>(&'a self, pull: &'a str) -> BoxFuture<'a, Result<Vec<u8>, String>>;
    fn set<'a>(&'a self, pull: &'a str, cursor: &'a [u8], under: &'a Under) -> BoxFuture<'a, Result<bool, String>>;
}

/// Where runs are recorded, and up to when schedules need none. What was written is on disk when it returns.
pub trait Runs: Send + Sync {
    /// One that begins, unless it is there.
    fn begin<'a>(&'a self, run: &'a SyncRun) -> BoxFuture<'a, Result<(), String>>;
    /// As it is now; false where the term is over, and then nothing was written.
    fn keep<'a>(&'a self, run: &'a SyncRun, under: &'a Under) -> BoxFuture<'a, Result<bool, String>>;
    /// Ends what a host before this one left running.
    fn cut_off<'a>(&'a self, under: &'a Under, now_ms: i64) -> BoxFuture<'a, Result<(), String>>;
    /// It came to nothing.
    fn forget<'a>(&'a self, run: &'a SyncRun) -> BoxFuture<'a, Result<(), String>>;
    /// Asks for one that events set off, on whichever host. Answers its id; those that ask before it begins share it.
    fn ask<'a>(&'a self, instance: &'a str, by: &'a str, now_ms: i64) -> BoxFuture<'a, Result<Uuid, String>>;
    /// What was asked for of an instance, begun from now on: whatever asks later wants another one.
    fn asked<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<Option<AskedRun>, String>>;
    /// A run for it is done; false where the term is over.
    fn done<'a>(&'a self, id: Uuid, under: &'a Under) -> BoxFuture<'a, Result<bool, String>>;
    /// When the last one of an instance began, in milliseconds since 1970.
    fn last<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<Option<i64>, String>>;
    /// Until when this schedule of an instance needs no run; nothing for one that is not known, or is another.
    fn settled<'a>(&'a self, instance: &'a str, schedule: &'a str) -> BoxFuture<'a, Result<Option<i64>, String>>;
    /// False where the term is over.
    fn settle<'a>(&'a self, schedule: &'a str, settled_ms: i64, under: &'a Under) -> BoxFuture<'a, Result<bool, String>>;
}

/// Why no run begins by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncRefused {
    /// Nothing is pulled from the instance.
    Unknown,
    /// This one is under way, or about to be.
    Running(Uuid),
    /// This host runs the schedule; nothing where none is known to.
    Elsewhere(Option<String>),
    Store(String),
}

/// The rooms' handles.
pub struct PullParts {
    pub puller: Arc<dyn Puller>,
    pub cursors: Arc<dyn Cursors>,
    pub runs: Arc<dyn Runs>,
    pub leases: Arc<dyn Leases>,
    pub gate: Gate,
    pub metrics: Metrics,
    pub clock: Arc<dyn Clock>,
    pub notify: Arc<dyn Fn(PullNotice) + Send + Sync>,
}

/// All pulls.
pub struct Pulls {
    parts: Arc<PullParts>,
    running: Mutex<BTreeMap<Arc<str>, Running>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct Running {
    settings: PullSettings,
    shared: Arc<Shared>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

/// What a pull and those who look at it share.
#[derive(Default)]
struct Shared {
    status: Mutex<PullStatus>,
    /// Something is wanted now, not at the next time.
    now: Notify,
    /// From the beginning again.
    anew: Mutex<bool>,
    wanted: Mutex<Wanted>,
    /// An event asked for a run, or may have.
    asked: AtomicBool,
}

/// A run by hand that has not begun.
#[derive(Default)]
struct Wanted {
    run: Option<SyncRun>,
    /// Nobody is there to begin it.
    closed: bool,
}

impl Pulls {
    pub fn new(parts: PullParts) -> Arc<Self> {
        Arc::new(Self { parts: Arc::new(parts), running: Mutex::default(), stop: CancellationToken::new(), tasks: TaskTracker::new() })
    }

    /// Pulls what these settings say from now on; what means the same is not touched.
    pub fn replace(&self, settings: &[PullSettings]) {
        let mut running = self.running();
        let goes: Vec<Arc<str>> = running.iter().filter(|(_, pull)| !settings.contains(&pull.settings)).map(|(name, _)| Arc::clone(name)).collect();
        let mut gone: BTreeMap<_, _> = goes.into_iter().filter_map(|name| running.remove_entry(&name)).collect();
        gone.values().for_each(|pull| pull.cancel.cancel());
        for settings in settings {
            if self.stop.is_cancelled() || running.contains_key(&settings.instance) {
                continue;
            }
            let before = gone.remove(&settings.instance);
            // What was asked of it holds on, and it ends before the next one begins.
            let (shared, ends) = before.map_or_else(Default::default, |before| (before.shared, Some(before.task)));
            // Not known before the new schedule is looked at.
            shared.status().next_ms = None;
            let cancel = self.stop.child_token();
            let pull = Pull::new(settings.clone(), Arc::clone(&self.parts), Arc::clone(&shared));
            let (token, settings) = (cancel.clone(), settings.clone());
            let (leases, instance) = (Arc::clone(&self.parts.leases), Arc::clone(&settings.instance));
            // Before the one before it lets go: the lease stays here.
            leases.want(&instance);
            let task = self.tasks.spawn(async move {
                if let Some(ends) = ends {
                    let _ = ends.await;
                }
                pull.run(token).await;
                leases.release(&instance);
            });
            running.insert(Arc::clone(&settings.instance), Running { settings, shared, cancel, task });
        }
    }

    /// Pages under way are taken to their end, or pulled again after the next start.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    pub fn status(&self) -> Vec<(Arc<str>, PullStatus)> {
        self.running().iter().map(|(instance, pull)| (Arc::clone(instance), pull.shared.status().clone())).collect()
    }

    /// What is pulled from whom, and when.
    pub fn schedules(&self) -> Vec<(PullSettings, PullStatus)> {
        self.running().values().map(|pull| (pull.settings.clone(), pull.shared.status().clone())).collect()
    }

    /// A run now, not at the next time. It is recorded when this returns.
    pub async fn sync(&self, instance: &str, by: &str) -> Result<SyncRun, SyncRefused> {
        let shared = self.running().get(instance).map(|pull| (Arc::clone(&pull.settings.instance), Arc::clone(&pull.shared)));
        let Some((instance, shared)) = shared else { return Err(SyncRefused::Unknown) };
        self.term(&instance).await?;
        let run = SyncRun::begin(&instance, SyncTrigger::Manual, by, self.parts.clock.unix_ms());
        shared.want(run.clone())?;
        // Whoever asked may go away before the store has answered: the run is done all the same.
        if let Err(error) = self.parts.runs.begin(&run).await
            && shared.take_back(run.id)
        {
            return Err(SyncRefused::Store(error));
        }
        Ok(run)
    }

    /// A run that an event asks for, on the host that has the lease: it is on disk when this returns, and until it is
    /// done. Answers its id, which is that of others too that ask before it begins.
    pub async fn ask(&self, instance: &str, by: &str) -> Result<Uuid, SyncRefused> {
        let Some(shared) = self.running().get(instance).map(|pull| Arc::clone(&pull.shared)) else { return Err(SyncRefused::Unknown) };
        let id = self.parts.runs.ask(instance, by, self.parts.clock.unix_ms()).await.map_err(SyncRefused::Store)?;
        shared.look_for_asked();
        Ok(id)
    }

    /// Other hosts asked for runs of these instances.
    pub fn asked_elsewhere(&self, instances: &[String]) {
        let running = self.running();
        instances.iter().filter_map(|instance| running.get(instance.as_str())).for_each(|pull| pull.shared.look_for_asked());
    }

    /// The same as if nothing had been pulled yet: the cursor on disk is gone when it returns, and a page under
    /// way brings none back. Answers the run that brings everything again.
    pub async fn anew(&self, instance: &str, by: &str) -> Result<Uuid, SyncRefused> {
        let found = self.running().get(instance).map(|pull| (pull.settings.clone(), Arc::clone(&pull.shared)));
        let Some((settings, shared)) = found else { return Err(SyncRefused::Unknown) };
        let under = Under { term: self.term(&settings.instance).await?, instance: Arc::clone(&settings.instance) };
        shared.set_anew(true);
        if !self.parts.cursors.set(&settings.key(), &[], &under).await.map_err(SyncRefused::Store)? {
            return Err(SyncRefused::Elsewhere(self.parts.leases.elsewhere(instance)));
        }
        match self.sync(instance, by).await {
            Ok(run) => Ok(run.id),
            // It does not end before it has begun anew.
            Err(SyncRefused::Running(id)) => Ok(id),
            Err(refused) => Err(refused),
        }
    }

    /// The term of a lease that this host has, or gets at once, as for an instance that was just made.
    async fn term(&self, instance: &str) -> Result<i64, SyncRefused> {
        let leases = &self.parts.leases;
        let had = async {
            loop {
                let moved = leases.moved();
                match (leases.term(instance), leases.elsewhere(instance)) {
                    (Some(term), _) => return Some(term),
                    (None, Some(_)) => return None,
                    (None, None) => moved.await,
                }
            }
        };
        let had = tokio::time::timeout(LEASE_WAIT, had).await.ok().flatten();
        had.ok_or_else(|| SyncRefused::Elsewhere(leases.elsewhere(instance)))
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SyncRefused {
    /// For people who asked for this instance.
    pub fn words(&self, instance: &str) -> String {
        match self {
            Self::Unknown => format!("nothing is pulled from `{instance}`; set `instances.{instance}.pull`"),
            Self::Running(id) => format!("a run of `{instance}` is under way: {id}"),
            Self::Elsewhere(Some(host)) => format!("the host {host} pulls from `{instance}`; ask that one"),
            Self::Elsewhere(None) => format!("no host has the lease of `{instance}` at the moment; try again"),
            Self::Store(error) => error.clone(),
        }
    }
}

impl PullSettings {
    /// Names of instances have no slash.
    fn key(&self) -> String {
        format!("{}/{}", self.instance, self.connector)
    }
}

impl Shared {
    fn status(&self) -> MutexGuard<'_, PullStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_anew(&self) -> bool {
        *self.anew.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_anew(&self, anew: bool) {
        *self.anew.lock().unwrap_or_else(PoisonError::into_inner) = anew;
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_for_asked(&self) {
        self.asked.store(true, Ordering::SeqCst);
        self.now.notify_one();
    }

    /// Refused where one is under way that is recorded, or waits to be.
    fn want(&self, run: SyncRun) -> Result<(), SyncRefused> {
        let mut wanted = self.wanted();
        if wanted.closed {
            return Err(SyncRefused::Unknown);
        }
        if let Some(id) = wanted.run.as_ref().map(|run| run.id).or(self.status().run) {
            return Err(SyncRefused::Running(id));
        }
        wanted.run = Some(run);
        self.now.notify_one();
        Ok(())
    }

    /// The run under way has everything, unless all was asked for anew: under the lock of who asks, so that none
    /// is answered with a run that looks no more.
    fn ends(&self) -> bool {
        let _wanted = self.wanted();
        let ends = !self.is_anew();
        if ends {
            self.status().run = None;
        }
        ends
    }

    /// False where it has begun.
    fn take_back(&self, id: Uuid) -> bool {
        self.wanted().run.take_if(|run| run.id == id).is_some()
    }
}

#[cfg(test)]
mod tests;
