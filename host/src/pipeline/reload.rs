//! A new configuration for a running host, in two phases: everything is checked and built first, then
//! what differs is exchanged. An instance that means the same is not touched; a failure on the way puts
//! back what was there.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_deliver::StartError;
use bulkhead_ingest::{Inbound, InboundError, Prepared};
use bulkhead_seal::{Fields, RuleFault};
use bulkhead_store::StoreError;
use serde_json::json;

use super::stored::MergeError;
use super::{Control, Current, Purpose, Router, RouterError, guests};
use crate::config::{Config, Fault};
use crate::observed::Guise;
use crate::own_events::Lifecycle;

/// Longest wait for lanes to say that they have nothing left.
const LOOK: Duration = Duration::from_secs(3);

/// Instances that a record names; the rest is counted.
const NAMED: usize = 50;

/// Why the old configuration stays in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error("the configuration has {} faults", .0.len())]
    Faults(Vec<Fault>),
    #[error(transparent)]
    Router(#[from] RouterError),
    #[error(
        "lane `{lane}` has {backlog} events that it has not delivered; keep its route until they are, or pause it and restart with `--discard-lane {lane}`"
    )]
    LaneWithBacklog { lane: String, backlog: u64 },
    #[error(transparent)]
    Inbound(#[from] InboundError),
    #[error("an instance cannot be started; the old configuration is in force again")]
    Start(#[source] StartError),
    #[error("what is sealed or redacted cannot be: {0}")]
    Fields(#[from] RuleFault),
    #[error(transparent)]
    Store(StoreError),
    #[error("{0}")]
    Raced(String),
    #[error("the instance `{0}` is somebody else's (`tenant`), and runs: give the other one another name, or restart the host with it")]
    ChangesHands(Arc<str>),
}

impl From<MergeError> for ReloadError {
    fn from(error: MergeError) -> Self {
        match error {
            MergeError::Store(error) => Self::Store(error),
            MergeError::Raced(words) => Self::Raced(words),
            MergeError::Faults(faults) => Self::Faults(faults),
        }
    }
}

/// What a reload did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    pub added: Vec<Arc<str>>,
    pub changed: Vec<Arc<str>>,
    pub removed: Vec<Arc<str>>,
    pub unchanged: usize,
    /// Changed parts that wait for a restart.
    pub restart: Vec<&'static str>,
}

/// Opens what the inbound webhooks of a configuration need, off the threads that serve connections.
pub(super) async fn prepare_inbound(inbound: &Inbound, config: &Arc<Config>) -> Result<Prepared, InboundError> {
    let (handle, config) = (inbound.clone(), Arc::clone(config));
    let opening = tokio::task::spawn_blocking(move || handle.prepare(&config.inbound)).await;
    let broke_off = |error| InboundError { name: String::new(), path: Default::default(), source: std::io::Error::other(error) };
    opening.unwrap_or_else(|error| Err(broke_off(error)))
}

/// A configuration that was checked and built, and is not in force yet.
pub(super) struct Plan {
    next: Current,
    router: Router,
    inbound: Prepared,
    /// What is not shown of events.
    fields: Option<Arc<Fields>>,
    /// What is hidden until it is in force.
    meanwhile: Option<Arc<Fields>>,
}

impl Plan {
    /// What would become of the instances.
    pub fn difference(&self, current: &Current) -> Reloaded {
        let mut done = Reloaded::default();
        for (name, new) in &self.next.instances {
            match current.instances.get(name) {
                Some(old) if old.fingerprint == new.fingerprint => done.unchanged += 1,
                Some(_) => done.changed.push(Arc::clone(name)),
                None => done.added.push(Arc::clone(name)),
            }
        }
        done.removed = current.instances.keys().filter(|name| !self.next.instances.contains_key(*name)).cloned().collect();
        done
    }
}

impl Control {
    /// Another file, with what is stored. Not cancel safe: let it end.
    pub async fn reload(&self, file: Config) -> Result<Reloaded, ReloadError> {
        let _one_at_a_time = self.change.lock().await;
        let current = self.current();
        let config = self.stored.merge(file, &[]).await?;
        let plan = self.plan(&current, config, None).await?;
        let done = self.act(&current, plan).await?;
        // A line of the record has a bound.
        let some = |names: &[Arc<str>]| json!({"count": names.len(), "names": names.iter().take(NAMED).map(|name| &**name).collect::<Vec<_>>()});
        let about = json!({
            "by": "SIGHUP", "added": some(&done.added), "changed": some(&done.changed), "removed": some(&done.removed), "restart": done.restart,
        });
        self.trail.act("configuration.reload", about).await;
        Ok(done)
    }

    /// Checks and builds all instances, or those in `only` and takes the others as they run; nothing is different
    /// afterwards.
    pub(super) async fn plan(&self, current: &Current, config: Config, only: Option<&HashSet<Arc<str>>>) -> Result<Plan, ReloadError> {
        let config = Arc::new(config);
        let components = self.components(self.registry.index());
        let state = Arc::clone(&self.state);
        let mut built = guests::build(&config, &components, &self.sandbox, state, Purpose::Serve, self.parts(), only).await.map_err(ReloadError::Faults)?;
        if let Some(only) = only {
            let stay = config.instances.iter().filter(|instance| !only.contains(instance.name.as_str()));
            built.extend(stay.filter_map(|instance| current.instances.get(instance.name.as_str()).cloned()));
        }
        let next = Current::new(&config, &built);
        // What the one of before still writes while it ends (a cursor, state, figures) would be the next one's.
        let changes_hands = |new: &&crate::config::Instance| current.config.instances.iter().any(|old| old.name == new.name && old.tenant != new.tenant);
        if let Some(instance) = config.instances.iter().find(changes_hands) {
            return Err(ReloadError::ChangesHands(instance.name.as_str().into()));
        }
        let router = next.rules.router()?;
        self.check_lanes(current, &next).await?;
        let inbound = prepare_inbound(&self.inbound, &config).await?;
        let fields = Guise::of(&config, self.keyring.as_ref())?;
        let meanwhile = Guise::of_all(&[&current.config, &config], self.keyring.as_ref())?;
        Ok(Plan { next, router, inbound, fields, meanwhile })
    }

    /// Puts it in force, or leaves what was there.
    pub(super) async fn act(&self, current: &Current, plan: Plan) -> Result<Reloaded, ReloadError> {
        let Plan { next, router, inbound, fields, meanwhile } = plan;
        let config = Arc::clone(&next.config);
        let changed = self.fixed.iter().zip(next.config.fixed()).filter(|(old, new)| old != new);
        let mut done = Reloaded { restart: changed.map(|((key, _), _)| *key).collect(), ..Reloaded::default() };
        self.ownership.settle(&config).await.map_err(ReloadError::Store)?;
        // Rules first: a lane that goes gets no more events while it ends.
        let router = router.with_owners_since(self.ownership.lanes(next.rules.places()));
        self.routing.replace(router, next.rules.places());
        // An exchange takes as long as its drains: nobody sees what either of both configurations hides.
        let shown = self.guise.now();
        self.guise.put(meanwhile);
        let head = self.journal.head();
        if let Err(error) = self.exchange(current, &next, &mut done).await {
            self.restore(current, &next).await;
            self.guise.put(shown);
            return Err(ReloadError::Start(error));
        }
        self.inbound.replace(inbound);
        self.pulls.replace(&config.pulls());
        for lane in current.rules.lanes.iter().filter(|lane| !next.rules.lanes.contains(lane)) {
            // What came in between the check and the new rules stays on disk, and the next start says so. What came
            // after them was not for the lane.
            let name = lane.to_string();
            match self.journal.lane_backlog_to(&name, head) {
                Some(0) => self.journal.remove_lane(&name).unwrap_or_else(|error| tracing::error!(%lane, %error, "lane not removed")),
                backlog => tracing::error!(%lane, ?backlog, "lane without a route keeps its events; the next start asks what to do"),
            }
        }
        self.renew_listeners(&config);
        self.guise.put(fields);
        self.put(next);
        let names = |names: &[Arc<str>]| names.iter().map(|name| name.to_string()).collect();
        self.own_events.lifecycle(&Lifecycle::Reloaded { added: names(&done.added), changed: names(&done.changed), removed: names(&done.removed) });
        Ok(done)
    }

    /// Certificates of listeners that are still the same; connections that stand are not touched.
    fn renew_listeners(&self, config: &Config) {
        for (running, next) in self.settings.syslog.iter().zip(&config.syslog).filter(|(running, next)| running.addr == next.addr) {
            if let (Some(running_tls), Some(next)) = (&running.tls, &next.tls)
                && running_tls.renew(next)
            {
                tracing::info!(addr = %running.addr, "TLS of the syslog listener renewed");
            }
        }
        if let (Some(running), Some(next)) = (&self.settings.api_tls, &config.api.tls)
            && running.renew(next)
        {
            tracing::info!("TLS of the API listener renewed");
        }
    }

    /// Lanes that would go must have delivered everything that there is now. One that has nothing to deliver says so
    /// at its next look only, which may take a second.
    async fn check_lanes(&self, current: &Current, next: &Current) -> Result<(), ReloadError> {
        let (head, begun) = (self.journal.head(), self.clock.monotonic());
        for lane in current.rules.lanes.iter().filter(|lane| !next.rules.lanes.contains(lane)) {
            let name = lane.to_string();
            loop {
                match self.journal.lane_backlog_to(&name, head) {
                    None | Some(0) => break,
                    Some(_) if self.clock.monotonic().saturating_sub(begun) < LOOK => tokio::time::sleep(LOOK / 30).await,
                    Some(backlog) => return Err(ReloadError::LaneWithBacklog { lane: name, backlog }),
                }
            }
        }
        Ok(())
    }

    pub(super) async fn exchange(&self, current: &Current, next: &Current, done: &mut Reloaded) -> Result<(), StartError> {
        for (name, old) in &current.instances {
            match next.instances.get(name) {
                Some(new) if new.fingerprint == old.fingerprint => done.unchanged += 1,
                Some(new) => {
                    self.delivery.remove(name, current.drain).await;
                    self.start_instance(&new.settings)?;
                    done.changed.push(Arc::clone(name));
                }
                None => {
                    self.delivery.remove(name, current.drain).await;
                    done.removed.push(Arc::clone(name));
                }
            }
        }
        for (name, new) in next.instances.iter().filter(|(name, _)| !current.instances.contains_key(*name)) {
            self.start_instance(&new.settings)?;
            done.added.push(Arc::clone(name));
        }
        // From here on nothing fails any more.
        self.captures.settle(next.config.instances.iter().map(|instance| (instance.name.as_str(), instance.tenant.as_ref())));
        Ok(())
    }

    /// Puts the old instances and rules back after a failure half way.
    pub(super) async fn restore(&self, current: &Current, next: &Current) {
        for (name, new) in &next.instances {
            let same = current.instances.get(name).is_some_and(|old| old.fingerprint == new.fingerprint);
            if !same {
                self.delivery.remove(name, current.drain).await;
            }
        }
        match current.rules.router() {
            Ok(router) => {
                let router = router.with_owners_since(self.ownership.lanes(current.rules.places()));
                self.routing.replace(router, current.rules.places());
            }
            // They were in force a moment ago.
            Err(error) => tracing::error!(%error, "the old rules cannot be put back"),
        }
        for (name, old) in &current.instances {
            match self.start_instance(&old.settings) {
                Ok(()) | Err(StartError::Running(_)) => {}
                Err(error) => tracing::error!(instance = %name, %error, "instance not started again"),
            }
        }
    }
}
