//! One event to one webhook: a test, or a delivery once more. It goes into the journal bound to the webhook's lane,
//! and is delivered from there like any other.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_core::{Clock, EventBuilder, EventRef, LaneId, Seq};
use bulkhead_journal::{AppendBatch, AppendError, Durability, Journal};
use bulkhead_store::{DeliveryStatus, WebhookDeliveries, WebhookDelivery};
use serde_json::json;
use tokio::sync::Notify;

use crate::config::{Webhook, webhook_instance};
use crate::own_events::{Described, bound};
use crate::webhooks::log::index;

/// Longest wait for the answer to a test.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    #[error("the webhook is disabled; enable it first")]
    Disabled,
    #[error("there is no such delivery, or it is forgotten")]
    Unknown,
    #[error("the journal does not hold the event any more; `journal.keep` says how long it does, and what was given up is among the dead letters")]
    Gone,
    #[error(transparent)]
    Journal(#[from] AppendError),
    #[error(transparent)]
    Store(#[from] bulkhead_store::StoreError),
}

/// Sends single events. Cheap to clone.
#[derive(Clone)]
pub struct Once {
    pub journal: Journal,
    pub deliveries: WebhookDeliveries,
    pub clock: Arc<dyn Clock>,
    /// The log moved on.
    pub moved: Arc<Notify>,
}

impl Once {
    /// A test event, and what came of it; still pending where there is no answer in time. What a receiver does not
    /// take is tried again like any event.
    pub async fn test(&self, webhook: &Webhook, by: &str) -> Result<WebhookDelivery, OnceError> {
        if !webhook.enabled {
            return Err(OnceError::Disabled);
        }
        let now = self.clock.unix_nanos();
        let described = Described::webhook_test(&webhook.name, json!({"by": by}));
        let batch = bound(&described, &lane(webhook), webhook.tenant.as_ref(), now).ok_or(OnceError::Gone)?;
        let event = (batch.1, format!("bulkhead.{}", described.kind));
        let seq = self.append(batch.0).await?;
        let id = self.deliveries.expect(&webhook.name, seq, (&event.0, &event.1), None, ms(now)).await?;
        self.answered(webhook, id).await
    }

    /// Waits for the first attempt.
    async fn answered(&self, webhook: &Webhook, id: i64) -> Result<WebhookDelivery, OnceError> {
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            let delivery = self.deliveries.get(&webhook.name, id).await?.ok_or(OnceError::Unknown)?;
            if delivery.attempts > 0 || delivery.status == DeliveryStatus::Failed {
                return Ok(delivery);
            }
            if tokio::time::timeout_at(until, moved).await.is_err() {
                return Ok(delivery);
            }
        }
    }

    /// The event of a delivery once more, with the secrets of now. `event` is that of its dead letter, where the
    /// journal does not hold it any more.
    pub async fn replay(&self, webhook: &Webhook, of: &WebhookDelivery, event: Option<&[u8]>) -> Result<WebhookDelivery, OnceError> {
        if !webhook.enabled {
            return Err(OnceError::Disabled);
        }
        let now = self.clock.unix_nanos();
        let batch = match self.read(Seq(of.seq.cast_unsigned()), webhook, now).await {
            Some(batch) => batch,
            None => again(&EventRef::new(event.ok_or(OnceError::Gone)?).map_err(|_| OnceError::Gone)?, webhook, now).ok_or(OnceError::Gone)?,
        };
        let seq = self.append(batch).await?;
        let id = self.deliveries.expect(&webhook.name, seq, (&of.event_id, &of.event_type), Some(of.id), ms(now)).await?;
        self.deliveries.get(&webhook.name, id).await?.ok_or(OnceError::Unknown)
    }

    async fn read(&self, seq: Seq, webhook: &Webhook, now: u64) -> Option<AppendBatch> {
        if seq > self.journal.head() {
            return None;
        }
        let frame = self.journal.reader(Seq(seq.0.saturating_sub(1))).next().await.ok()?;
        again(&frame.event(index(&frame, seq)?), webhook, now)
    }

    async fn append(&self, batch: AppendBatch) -> Result<i64, OnceError> {
        let appended = self.journal.append(batch, Durability::Fsync).await?;
        Ok(i64::try_from(appended.first.0).unwrap_or(i64::MAX))
    }
}

/// The same event for one lane, received now.
fn again(event: &EventRef<'_>, webhook: &Webhook, now: u64) -> Option<AppendBatch> {
    let (mut builder, mut batch) = (EventBuilder::new(), AppendBatch::new());
    builder.start_from(event);
    builder.bind(&lane(webhook), None);
    builder.finish(event.shape(), event.severity(), now, event.original(), batch.buffer()).ok()?;
    batch.push_event().ok()?;
    Some(batch)
}

pub fn lane(webhook: &Webhook) -> LaneId {
    LaneId::new(&webhook_instance(&webhook.name), &webhook.format)
}

fn ms(nanos: u64) -> i64 {
    i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX)
}
