//! What another host changed in the store that both share takes effect here too, within seconds.
//!
//! Once a second the numbers of changes are looked at; what moved is read again as a whole and put in force the way
//! a change of this host's own is. A change that cannot be put in force here, such as the end of a lane that has a
//! backlog here, is tried again until it can. The same look tells whether the store is there.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bulkhead_observe::Metrics;
use bulkhead_store::{Changes, Generations, Store, StoreError, Topic, WantedRuns};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Control;
use super::reload::ReloadError;
use super::stored::{differing, merged};
use crate::access::Access;
use crate::people::People;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Whether the store of this host answers; cheap to clone.
#[derive(Debug, Clone)]
pub struct StoreHealth {
    up: Arc<AtomicBool>,
    metrics: Metrics,
    /// A database that other hosts may use as well.
    pub shared: bool,
}

impl StoreHealth {
    pub fn new(store: &Store, metrics: &Metrics) -> Self {
        metrics.store_up.set(1);
        Self { up: Arc::new(AtomicBool::new(true)), metrics: metrics.clone(), shared: store.shared().is_shared() }
    }

    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// The log hears of it once, not at every look.
    fn set(&self, error: Option<&StoreError>) {
        self.metrics.store_up.set(error.is_none().into());
        let before = self.up.swap(error.is_none(), Ordering::Relaxed);
        match error {
            Some(error) if before => tracing::error!(
                error = error as &dyn std::error::Error,
                "the store is away (store.url): what needs it is answered 503; events are taken in and delivered all the same"
            ),
            None if !before => tracing::info!("the store is back"),
            _ => {}
        }
    }
}

/// What holds things of the store in memory.
pub struct Following {
    pub control: Arc<Control>,
    pub access: Arc<Access>,
    pub people: Arc<People>,
    pub wanted: WantedRuns,
}

/// Follows what other hosts change, until cancelled. Ends at once where nobody else can change anything.
pub async fn follow(changes: Changes, seen: Generations, following: Following, health: StoreHealth, stop: CancellationToken) {
    let Following { control, access, people, wanted } = following;
    if !health.shared {
        return;
    }
    let (mut seen, mut failing) = (seen, BTreeSet::new());
    while tokio::time::timeout(LOOK, stop.cancelled()).await.is_err() {
        // A database that does not answer keeps no host from its end.
        let looked = tokio::select! {
            () = stop.cancelled() => return,
            looked = changes.generations() => looked,
        };
        let now = match looked {
            Ok(now) => now,
            Err(error) => {
                health.set(Some(&error));
                continue;
            }
        };
        health.set(None);
        for topic in Topic::ALL {
            let generation = now.get(&topic).copied();
            if generation == seen.get(&topic).copied() {
                continue;
            }
            let followed = match topic {
                Topic::Entries => control.follow_entries().await,
                Topic::Inactive => control.follow_inactive().await.map_err(FollowError::Store),
                Topic::ApiKeys => access.follow().await.map_err(FollowError::Store),
                Topic::People => people.follow().await.map_err(FollowError::Store),
                Topic::WantedRuns => wanted.waiting().await.map(|waiting| control.asked_elsewhere(&waiting)).map_err(FollowError::Store),
            };
            match followed {
                Ok(()) => {
                    failing.remove(&topic);
                    if let Some(generation) = generation {
                        seen.insert(topic, generation);
                    }
                }
                Err(error) => {
                    if failing.insert(topic) {
                        tracing::error!(error = &error as &dyn std::error::Error, ?topic, "what another host changed is not in force here, trying again");
                    }
                }
            }
        }
    }
}

/// Why a change of another host is not in force.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the configuration with the changed entries has {} faults here: {}", .0.len(), .0.first().map_or("", |fault| &fault.message))]
    Faults(Vec<crate::config::Fault>),
    #[error(transparent)]
    Refused(#[from] ReloadError),
}

impl Control {
    /// Entries as the store has them by now. Not cancel safe: let it end.
    async fn follow_entries(&self) -> Result<(), FollowError> {
        let _one_at_a_time = self.change.lock().await;
        let entries = self.stored.read().await?;
        if *entries == *self.stored.all() {
            return Ok(());
        }
        let current = self.current();
        if !current.config.stored {
            self.stored.put_all(entries);
            return Ok(());
        }
        let config = merged(&current.config, &entries).map_err(FollowError::Faults)?;
        let only = differing(&current, &config);
        let plan = self.plan(&current, config, Some(&only)).await?;
        let done = self.act(&current, plan).await?;
        self.stored.put_all(entries);
        let count = |names: &[Arc<str>]| names.len();
        let about = json!({"by": "another host", "added": count(&done.added), "changed": count(&done.changed), "removed": count(&done.removed)});
        self.trail.act("configuration.follow", about).await;
        tracing::info!(added = done.added.len(), changed = done.changed.len(), removed = done.removed.len(), "entries changed by another host are in force");
        Ok(())
    }

    /// Runs that events of other hosts asked for.
    fn asked_elsewhere(&self, instances: &[String]) {
        if let Some(pulls) = self.sync.0.get() {
            pulls.asked_elsewhere(instances);
        }
    }

    /// Instances that were switched off or on.
    async fn follow_inactive(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.change.lock().await;
        let now = self.stored.read_inactive().await?;
        let before = std::mem::replace(&mut *self.stored.off.write().unwrap_or_else(PoisonError::into_inner), now.clone());
        for instance in now.difference(&before) {
            tracing::warn!(instance, "switched off through another host");
            self.delivery.pause(instance);
        }
        for instance in before.difference(&now) {
            tracing::warn!(instance, "switched on through another host");
            self.delivery.resume(instance);
        }
        Ok(())
    }
}
