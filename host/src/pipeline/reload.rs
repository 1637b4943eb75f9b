//! A new configuration for a running host, in two phases: everything is checked and built first, then
//! what differs is exchanged. An instance that means the same is not touched; a failure on the way puts
//! back what was there.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_deliver::StartError;
use bulkhead_ingest::{Inbound, InboundError, Prepared};
use serde_json::json;

use super::{Control, Current, Purpose, RouterError, guests};
use crate::config::{Config, Fault};
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

impl Control {
    /// Not cancel safe: let it end.
    pub async fn reload(&self, config: Config) -> Result<Reloaded, ReloadError> {
        let _one_at_a_time = self.change.lock().await;
        let current = self.current();
        let config = Arc::new(config);
        let components = self.components(self.registry.index());
        let state = Arc::clone(&self.state);
        let built = guests::build(&config, &components, &self.sandbox, state, Purpose::Serve, self.parts(), None).await.map_err(ReloadError::Faults)?;
        let next = Current::new(&config, &built);
        let router = next.rules.router()?;
        self.check_lanes(&current, &next).await?;
        let inbound = prepare_inbound(&self.inbound, &config).await?;

        let changed = self.fixed.iter().zip(next.config.fixed()).filter(|(old, new)| old != new);
        let mut done = Reloaded { restart: changed.map(|((key, _), _)| *key).collect(), ..Reloaded::default() };
        // Rules first: a lane that goes gets no more events while it ends.
        self.routing.replace(router, next.rules.places());
        let head = self.journal.head();
        if let Err(error) = self.exchange(&current, &next, &mut done).await {
            self.restore(&current, &next).await;
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
        self.put(next);
        let names = |names: &[Arc<str>]| names.iter().map(|name| name.to_string()).collect();
        // A line of the record has a bound.
        let some = |names: &[Arc<str>]| json!({"count": names.len(), "names": names.iter().take(NAMED).map(|name| &**name).collect::<Vec<_>>()});
        let about = json!({
            "by": "SIGHUP", "added": some(&done.added), "changed": some(&done.changed), "removed": some(&done.removed), "restart": done.restart,
        });
        self.trail.act("configuration.reload", about).await;
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
                    self.delivery.add(new.settings.clone())?;
                    done.changed.push(Arc::clone(name));
                }
                None => {
                    self.delivery.remove(name, current.drain).await;
                    done.removed.push(Arc::clone(name));
                }
            }
        }
        for (name, new) in next.instances.iter().filter(|(name, _)| !current.instances.contains_key(*name)) {
            self.delivery.add(new.settings.clone())?;
            done.added.push(Arc::clone(name));
        }
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
            Ok(router) => self.routing.replace(router, current.rules.places()),
            // They were in force a moment ago.
            Err(error) => tracing::error!(%error, "the old rules cannot be put back"),
        }
        for (name, old) in &current.instances {
            match self.delivery.add(old.settings.clone()) {
                Ok(()) | Err(StartError::Running(_)) => {}
                Err(error) => tracing::error!(instance = %name, %error, "instance not started again"),
            }
        }
    }
}
