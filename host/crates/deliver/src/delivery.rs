//! The room's front door: starts lanes, drains them, says how they are.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::Ordering as Atomic;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_core::{AskError, BoxFuture, Inbound, LaneId, Page, Puller, Receiver, Reply};
use bulkhead_journal::LaneError;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::context::{Context, DeliveryParts};
use crate::instance::Instance;
use crate::lane::Lane;
use crate::reception::Reception;
use crate::settings::InstanceSettings;
use crate::status::{LaneShared, LaneStatus};

/// How often old dead letters are looked for, at least; a short retention is looked after more often.
const HOUSEKEEPING: Duration = Duration::from_secs(60);
const LEAST_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("instance `{0}` runs already")]
    Running(Arc<str>),
    #[error("lane {lane} cannot be opened")]
    Lane {
        lane: LaneId,
        #[source]
        source: LaneError,
    },
    #[error("delivery is stopping")]
    Stopping,
}

/// What a drain left, for the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Events on disk that each lane had not settled, those it would not want included.
    pub unsettled: Vec<(LaneId, u64)>,
    /// Lanes that were still busy at the deadline.
    pub cut_off: usize,
}

/// All lanes of the process.
pub struct Delivery {
    context: Arc<Context>,
    stop: CancellationToken,
    inner: Mutex<Inner>,
}

struct Inner {
    instances: BTreeMap<Arc<str>, Running>,
    housekeeping: JoinSet<()>,
    stopping: bool,
}

struct Running {
    instance: Arc<Instance>,
    lanes: Vec<Arc<LaneShared>>,
    reception: Arc<Reception>,
    tasks: JoinSet<()>,
    drain: CancellationToken,
    stop: CancellationToken,
}

impl Delivery {
    /// Opens every lane in the journal, tells the journal that they are all there, and starts them. Must be
    /// called on a runtime.
    pub fn start(parts: DeliveryParts, instances: Vec<InstanceSettings>, stop: CancellationToken) -> Result<Self, StartError> {
        Self::seeded(parts, instances, stop, RandomState::new().hash_one(0u8))
    }

    pub(crate) fn seeded(parts: DeliveryParts, instances: Vec<InstanceSettings>, stop: CancellationToken, seed: u64) -> Result<Self, StartError> {
        let context = Context::new(parts, seed);
        let mut housekeeping = JoinSet::new();
        housekeeping.spawn(keep_house(Arc::clone(&context)));
        housekeeping.spawn(Arc::clone(&context.herald).run());
        let inner = Inner { instances: BTreeMap::new(), housekeeping, stopping: false };
        let delivery = Self { context, stop, inner: Mutex::new(inner) };
        for instance in instances {
            delivery.add(instance)?;
        }
        delivery.context.parts.journal.lanes_ready();
        Ok(delivery)
    }

    /// Starts one more instance, for a reload.
    pub fn add(&self, settings: InstanceSettings) -> Result<(), StartError> {
        let parts = &self.context.parts;
        let mut inner = self.lock();
        if inner.stopping {
            return Err(StartError::Stopping);
        }
        if inner.instances.contains_key(&settings.name) {
            return Err(StartError::Running(settings.name));
        }
        let stop = self.stop.child_token();
        let lane_settings = settings.lanes.clone();
        let instance = Instance::new(settings, Arc::clone(&self.context.all), &parts.metrics, Arc::clone(&parts.notices));
        // All logs first: an instance runs with all its lanes or not at all.
        let mut lanes = Vec::with_capacity(lane_settings.len());
        for lane in lane_settings {
            let id = LaneId { instance: Arc::clone(instance.name()), format: lane.format };
            let shared = LaneShared::new(id.clone(), parts.metrics.lane(&id.instance, &id.format));
            let log = parts.journal.lane(&shared.name, lane.start).map_err(|source| StartError::Lane { lane: id, source })?;
            lanes.push(Lane { context: Arc::clone(&self.context), instance: Arc::clone(&instance), shared, formatter: lane.formatter, log });
        }
        let drain = CancellationToken::new();
        let reception = Reception::new(Arc::clone(&self.context), Arc::clone(&instance));
        let mut running = Running { instance, lanes: Vec::new(), reception, tasks: JoinSet::new(), drain, stop };
        for lane in lanes {
            running.lanes.push(Arc::clone(&lane.shared));
            running.tasks.spawn(lane.run(running.drain.clone(), running.stop.clone()));
        }
        running.tasks.spawn(Arc::clone(&running.reception).run(running.drain.clone(), running.stop.clone()));
        inner.instances.insert(Arc::clone(running.instance.name()), running);
        Ok(())
    }

    /// Lets one instance finish what is under way and takes it out, for a reload. `None` where it does not run.
    /// Not cancel safe: cancelled, its lanes end at once.
    pub async fn remove(&self, name: &str, deadline: Duration) -> Option<DrainReport> {
        let running = self.lock().instances.remove(name)?;
        running.drain.cancel();
        Some(wait(vec![running], deadline).await)
    }

    /// Sends what can be sent within the deadline, then ends all lanes. What is left is on disk. Not cancel
    /// safe: cancelled, the lanes end at once.
    pub async fn drain(&self, deadline: Duration) -> DrainReport {
        let (running, mut housekeeping) = {
            let mut inner = self.lock();
            inner.stopping = true;
            (std::mem::take(&mut inner.instances).into_values().collect::<Vec<_>>(), std::mem::take(&mut inner.housekeeping))
        };
        for instance in &running {
            instance.drain.cancel();
        }
        let report = wait(running, deadline).await;
        // Lanes that drain hear from the herald that they have read everything.
        housekeeping.abort_all();
        report
    }

    /// The lanes that run.
    pub fn lanes(&self) -> Vec<LaneId> {
        self.lock().instances.values().flat_map(|running| running.lanes.iter().map(|lane| lane.id.clone())).collect()
    }

    /// The lanes that run, each with whose its instance is; empty: the host's.
    pub fn owned_lanes(&self) -> HashMap<LaneId, Arc<str>> {
        let inner = self.lock();
        let of = |running: &Running| running.lanes.iter().map(|lane| (lane.id.clone(), Arc::clone(&running.instance.settings.owner))).collect::<Vec<_>>();
        inner.instances.values().flat_map(of).collect()
    }

    /// How every lane is, by instance and format.
    pub fn status(&self) -> Vec<LaneStatus> {
        let (now, unix_ms) = (self.context.now(), self.context.unix_ms());
        let inner = self.lock();
        inner
            .instances
            .values()
            .flat_map(|running| {
                running.lanes.iter().map(move |lane| {
                    let mut status = lane.status(now, unix_ms, &running.instance);
                    // What the driver showed is up to a tick old.
                    status.backlog = self.context.parts.journal.lane_backlog(&lane.name).unwrap_or(status.backlog);
                    status
                })
            })
            .collect()
    }

    /// Sends nothing more for this instance until it is resumed. False where it does not run.
    pub fn pause(&self, instance: &str) -> bool {
        self.with(instance, |running| running.instance.pause())
    }

    /// Ends a pause or a hold and closes the breaker: the next batch goes at once.
    pub fn resume(&self, instance: &str) -> bool {
        let now = self.context.now();
        self.with(instance, |running| running.instance.resume(now))
    }

    fn with(&self, instance: &str, act: impl FnOnce(&Running)) -> bool {
        self.lock().instances.get(instance).map(act).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Delivery {
    /// Puts a question to an instance's connector. Not cancel safe: dropping the future kills the guest at work.
    pub async fn query(&self, instance: &str, operation: &str, parameters: &str) -> Result<String, AskError> {
        self.reception(instance)?.query(operation, parameters).await
    }

    /// Whether an instance's receiver can be reached and lets us in, in words. Not cancel safe.
    pub async fn check(&self, instance: &str) -> Result<String, AskError> {
        self.reception(instance)?.check().await
    }

    /// Why nothing is asked of an instance; nothing where it is, or does not run.
    pub fn held(&self, instance: &str) -> Option<&'static str> {
        self.reception(instance).ok()?.held()
    }

    fn reception(&self, instance: &str) -> Result<Arc<Reception>, AskError> {
        self.lock().instances.get(instance).map(|running| Arc::clone(&running.reception)).ok_or(AskError::Gone)
    }
}

impl Puller for Delivery {
    fn pull<'a>(&'a self, instance: &'a str, cursor: &'a [u8]) -> BoxFuture<'a, Result<Page, AskError>> {
        Box::pin(async move { self.reception(instance)?.pull(cursor).await })
    }
}

impl Receiver for Delivery {
    fn receive<'a>(&'a self, instance: &'a str, request: &'a Inbound) -> BoxFuture<'a, Result<Reply, AskError>> {
        Box::pin(async move { self.reception(instance)?.receive(request).await })
    }
}

/// Waits for draining instances, and stops what is not done at the deadline.
async fn wait(mut running: Vec<Running>, deadline: Duration) -> DrainReport {
    let all = async {
        for instance in &mut running {
            while instance.tasks.join_next().await.is_some() {}
        }
    };
    let mut report = DrainReport::default();
    if tokio::time::timeout(deadline, all).await.is_err() {
        for instance in &mut running {
            report.cut_off += instance.tasks.len();
            instance.stop.cancel();
        }
        for instance in &mut running {
            while instance.tasks.join_next().await.is_some() {}
        }
    }
    for lane in running.iter().flat_map(|instance| &instance.lanes) {
        report.unsettled.push((lane.id.clone(), lane.view().backlog));
        lane.full.store(0, Atomic::Relaxed);
    }
    report
}

/// Drops dead letters past their retention, where one is set, and keeps their number in the metrics.
async fn keep_house(context: Arc<Context>) {
    loop {
        let letters = &context.parts.dead_letters;
        match letters.enforce_retention(context.unix_ms()).await {
            Ok(expired) if expired.dropped == 0 => {}
            Ok(expired) => {
                let own = expired.of_drops == expired.dropped;
                (context.parts.notices)(crate::notice::Notice::DeadLettersDropped { by: "retention", count: expired.dropped, own });
            }
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "retention of dead letters not enforced, trying again later"),
        }
        context.parts.metrics.dead_letters.set(letters.count().cast_signed());
        let pause = letters.retention().map_or(HOUSEKEEPING, |retention| (retention / 10).clamp(LEAST_PAUSE, HOUSEKEEPING));
        tokio::time::sleep(pause).await;
    }
}
