//! Counts what limits do to one guest: requests refused, and those that a counted limit would have
//! refused. Labels come from the table, the instance and the component, never from a guest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bulkhead_core::Clock;
use bulkhead_observe::{GuestCosts, GuestMetrics};

use super::{Limit, Limits, TABLE, written};

/// Time between two lines about the same counted limit: a guest may pass it a million times a second.
const QUIET: Duration = Duration::from_secs(60);

/// The limits of one guest, watched.
pub struct Watch {
    limits: Arc<Limits>,
    metrics: GuestMetrics,
    clock: Arc<dyn Clock>,
    /// For each limit when it was last in the log, in milliseconds plus one; 0 for never.
    said: [AtomicU64; TABLE.len()],
}

impl Watch {
    pub fn new(limits: Arc<Limits>, metrics: GuestMetrics, clock: Arc<dyn Clock>) -> Self {
        Self { limits, metrics, clock, said: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// What the guest is billed.
    pub fn costs(&self) -> &GuestCosts {
        &self.metrics.costs
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Whether `asked` is within the limit. The error is the text for the guest.
    pub fn check(&self, limit: Limit, asked: u64) -> Result<(), String> {
        if asked > self.limits.enforced(limit) {
            self.reached(limit);
            return Err(self.limits.refusal(limit, asked));
        }
        self.note(limit, asked);
        Ok(())
    }

    /// Notes what was let through: more than the value only where the limit is counted.
    pub fn note(&self, limit: Limit, amount: u64) {
        if amount > self.limits.get(limit) && self.limits.counts(limit) {
            self.would_refuse(limit, amount);
        }
    }

    /// The guest ran into it.
    pub fn reached(&self, limit: Limit) {
        self.metrics.limit_reached(limit.row().name).inc();
    }

    fn would_refuse(&self, limit: Limit, amount: u64) {
        let row = limit.row();
        self.metrics.limit_would_refuse(row.name).inc();
        let now = u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX - 1) + 1;
        let said = &self.said[limit as usize];
        let last = said.load(Ordering::Relaxed);
        let due = last == 0 || now.saturating_sub(last) >= u64::try_from(QUIET.as_millis()).unwrap_or(u64::MAX);
        if due && said.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let (instance, component) = (self.metrics.instance(), self.metrics.component());
            let (value, amount) = (written(row.unit, self.limits.get(limit)), written(row.unit, amount));
            tracing::warn!(instance, component, limit = row.name, value, amount, key = row.key, "would have been refused; the limit is in count_only");
        }
    }
}
