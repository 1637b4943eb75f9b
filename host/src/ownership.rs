//! Whose each instance is and since when, in memory and in the store: what is older than that is not a tenant's to see,
//! and what an instance kept for somebody else is gone before it runs for the next.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use bulkhead_core::{Clock, LaneId};
use bulkhead_route::LaneIndex;
use bulkhead_store::{Owner, Owners, Store, StoreError};

use crate::config::Config;

/// The table, and what stands in it.
pub struct Ownership {
    table: Owners,
    known: RwLock<Arc<HashMap<String, Owner>>>,
    clock: Arc<dyn Clock>,
}

impl Ownership {
    pub async fn open(store: &Store, clock: &Arc<dyn Clock>) -> Result<Self, StoreError> {
        let table = store.owners();
        let known = RwLock::new(Arc::new(table.all().await?));
        Ok(Self { table, known, clock: Arc::clone(clock) })
    }

    /// Before instances of a configuration start. The store is asked only where one has changed hands.
    pub async fn settle(&self, config: &Config) -> Result<(), StoreError> {
        let known = self.known();
        let changed = |name: &str, tenant: &str| known.get(name).map_or("", |owner| &owner.tenant) != tenant;
        let all = config.instances.iter().map(|instance| (instance.name.as_str(), instance.tenant.as_ref().map_or("", |tenant| tenant.as_str())));
        let changes: Vec<(&str, &str)> = all.filter(|(name, tenant)| changed(name, tenant)).collect();
        if changes.is_empty() {
            return Ok(());
        }
        for (instance, tenant) in changes.iter().filter(|(name, _)| known.contains_key(*name)) {
            tracing::warn!(instance, tenant, "the instance is somebody else's now: its cursor, state and figures are gone");
        }
        self.table.change(&changes, self.clock.unix_ms()).await?;
        let now = Arc::new(self.table.all().await?);
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(())
    }

    /// The instances that are a tenant's, or were before they went, each with since when.
    pub fn of(&self, tenant: &str) -> BTreeMap<String, i64> {
        let known = self.known();
        known.iter().filter(|(_, owner)| owner.tenant == tenant).map(|(name, owner)| (name.clone(), owner.since_ms)).collect()
    }

    /// Since when an instance is whose it is.
    pub fn since(&self, instance: &str) -> i64 {
        self.known().get(instance).map_or(i64::MIN, |owner| owner.since_ms)
    }

    /// Since when lanes are whose they are, by their places; in nanoseconds since 1970.
    pub fn lanes(&self, places: HashMap<LaneId, LaneIndex>) -> HashMap<LaneIndex, u64> {
        let known = self.known();
        let since = |(lane, at): (LaneId, LaneIndex)| {
            let since_ms = known.get(&*lane.instance)?.since_ms;
            Some((at, u64::try_from(since_ms).unwrap_or_default().saturating_mul(1_000_000)))
        };
        places.into_iter().filter_map(since).collect()
    }

    fn known(&self) -> Arc<HashMap<String, Owner>> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }
}
