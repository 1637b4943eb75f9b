//! What every lane and worker of the process shares.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulkhead_core::Clock;
use bulkhead_journal::Journal;
use bulkhead_observe::Metrics;
use tokio::sync::Semaphore;

use crate::herald::Herald;
use crate::judge::millis;
use crate::jumps::{Corrections, Jumps};
use crate::letters::DeadLetterSink;
use crate::notice::NoticeSink;
use crate::onlooker::Onlooker;
use crate::routing::RoutingTable;
use crate::settings::DeliverySettings;

/// What delivery is given by the host.
#[derive(Clone)]
pub struct DeliveryParts {
    pub settings: DeliverySettings,
    pub journal: Journal,
    pub dead_letters: Arc<dyn DeadLetterSink>,
    pub metrics: Metrics,
    pub routing: Arc<RoutingTable>,
    pub clock: Arc<dyn Clock>,
    pub notices: NoticeSink,
    pub onlooker: Arc<dyn Onlooker>,
}

pub(crate) struct Context {
    pub parts: DeliveryParts,
    /// Places for batches over all instances.
    pub all: Arc<Semaphore>,
    draws: AtomicU64,
    jumps: Mutex<Jumps>,
    pub herald: Arc<Herald>,
}

impl Context {
    /// The seed spreads retries.
    pub fn new(parts: DeliveryParts, seed: u64) -> Arc<Self> {
        let all = Arc::new(Semaphore::new(parts.settings.max_concurrent.max(1) as usize));
        let herald = Herald::new(parts.journal.clone(), Arc::clone(&parts.routing));
        let context = Self { herald, parts, all, draws: AtomicU64::new(seed), jumps: Mutex::default() };
        // The first look: from here on jumps show.
        context.corrections();
        Arc::new(context)
    }

    pub fn now(&self) -> Duration {
        self.parts.clock.monotonic()
    }

    /// Waits until then; for ever where it is none. Cancel safe.
    pub async fn at(&self, time: Option<Duration>) {
        match time {
            Some(time) => tokio::time::sleep(time.saturating_sub(self.now())).await,
            None => std::future::pending().await,
        }
    }

    pub fn unix_ms(&self) -> i64 {
        self.parts.clock.unix_ms()
    }

    /// How receipts read on today's wall clock. Every age is judged by it, so that each look at an age is a
    /// look at the clocks too.
    pub fn corrections(&self) -> Corrections {
        let head = self.parts.journal.head();
        self.jumps.lock().unwrap_or_else(PoisonError::into_inner).look(self.unix_ms(), millis(self.now()), head)
    }

    /// Uniform in `[0, 1)`; spreads retries, guards nothing. Source: Steele, Lea, Flood, "Fast splittable
    /// pseudorandom number generators" (2014), SplitMix64.
    pub fn draw(&self) -> f64 {
        let mut z = self.draws.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1u64 << 53) as f64
    }
}
