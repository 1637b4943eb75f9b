//! Where events go whose sender waits for no answer: streams, datagrams, files. A full journal makes them
//! wait, which is the only way in which such a sender can be told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bulkhead_core::Clock;
use bulkhead_journal::{AppendBatch, AppendError, Durability};
use bulkhead_observe::Metrics;

use crate::gate::Gate;

/// Wait before a full journal is asked again.
const FULL_WAIT: Duration = Duration::from_millis(200);
/// Bytes of stored events after which a batch is handed over.
const BATCH_BYTES: usize = 1 << 20;
/// Events after which it is.
const BATCH_EVENTS: usize = 10_000;

#[derive(Clone)]
pub(crate) struct Sink {
    pub gate: Gate,
    pub metrics: Metrics,
    pub clock: Arc<dyn Clock>,
    /// The listener's name in metrics.
    pub label: Arc<str>,
    pub durability: Durability,
    /// True while the journal takes nothing.
    pub blocked: Arc<AtomicBool>,
}

impl Sink {
    pub fn new(gate: impl Into<Gate>, metrics: Metrics, clock: Arc<dyn Clock>, label: &str, durability: Durability) -> Self {
        Self { gate: gate.into(), metrics, clock, label: label.into(), durability, blocked: Arc::default() }
    }

    /// Whether a batch should be handed over before more is added.
    pub fn is_full(&self, batch: &AppendBatch) -> bool {
        batch.len() >= BATCH_EVENTS || batch.bytes() >= BATCH_BYTES.min(self.gate.journal().largest_append(BATCH_EVENTS) / 4)
    }

    /// Appends what is in the batch and empties it. Waits while the journal is full. Not cancel safe:
    /// cancelled, the events may or may not be in the journal.
    pub async fn append(&self, batch: &mut AppendBatch) -> Result<(), AppendError> {
        let events = batch.len();
        if events == 0 {
            return Ok(());
        }
        let batch = std::mem::take(batch);
        let refused = |_error| {
            self.metrics.refused(&self.label, "full").inc();
            self.blocked.store(true, Ordering::Relaxed);
            async {
                tokio::time::sleep(FULL_WAIT).await;
                true
            }
        };
        let appended = self.gate.append_patiently(batch, self.durability, refused).await;
        self.blocked.store(false, Ordering::Relaxed);
        let duplicates = appended?;
        self.metrics.accepted(&self.label).inc_by((events - duplicates) as u64);
        if duplicates > 0 {
            self.metrics.duplicates(&self.label).inc_by(duplicates as u64);
        }
        Ok(())
    }
}
