//! Deliveries to webhooks, and how each webhook fares.
//!
//! Bounded: as many deliveries of one webhook as the caller says, none older than it says. A delivery is one event
//! at one place in the journal; its row is written behind the delivery, so that a crash may lose the last of them.

use std::collections::HashMap;

use crate::database::{Database, Row};
use crate::error::{StoreError, failed};
use crate::params;

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// Accepted, and not attempted yet.
    Pending,
    Delivered,
    /// The receiver refused it for good, or the host gave up.
    Failed,
    Retrying,
}

impl DeliveryStatus {
    pub const ALL: [Self; 4] = [Self::Pending, Self::Delivered, Self::Failed, Self::Retrying];

    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Retrying => "retrying",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// A delivery as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookDelivery {
    /// Counts over all webhooks.
    pub id: i64,
    pub webhook: String,
    /// Place of the event in the journal.
    pub seq: i64,
    pub event_id: String,
    pub event_type: String,
    pub status: DeliveryStatus,
    pub attempts: i64,
    /// Status of the last answer.
    pub code: Option<i64>,
    /// Why there is none, in a word.
    pub error: Option<String>,
    /// How its body begins.
    pub excerpt: Option<String>,
    pub took_ms: Option<i64>,
    /// The delivery that this one repeats.
    pub replay_of: Option<i64>,
    pub created_ms: i64,
    pub last_ms: i64,
}

/// One attempt.
#[derive(Debug, Clone)]
pub struct WebhookAttempt {
    pub webhook: String,
    pub seq: i64,
    pub event_id: String,
    pub event_type: String,
    pub status: DeliveryStatus,
    pub number: i64,
    pub code: Option<i64>,
    pub error: Option<String>,
    pub excerpt: Option<String>,
    pub took_ms: i64,
    pub at_ms: i64,
}

/// How a webhook fares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WebhookState {
    /// The first failure since the last success.
    pub failing_since_ms: Option<i64>,
    pub last_success_ms: Option<i64>,
}

/// The deliveries. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WebhookDeliveries {
    database: Database,
    /// Of one webhook.
    most: i64,
}

const COLUMNS: &str =
    "SELECT id, webhook, seq, event_id, event_type, status, attempts, code, error, excerpt, took_ms, replay_of, created_ms, last_ms FROM webhook_deliveries";

impl WebhookDeliveries {
    pub(crate) fn new(database: Database, most: u64) -> Self {
        Self { database, most: i64::try_from(most).unwrap_or(i64::MAX) }
    }

    /// Puts attempts down, in their order. Durable as a whole when it returns. Cancel safe.
    pub async fn attempted(&self, attempts: &[WebhookAttempt]) -> Result<(), StoreError> {
        let fail = || failed("recording deliveries to webhooks");
        let mut tx = self.database.begin().await.map_err(fail())?;
        for attempt in attempts {
            // What is older than what stands there came late, and says nothing new.
            let sql = "INSERT INTO webhook_deliveries (webhook, seq, event_id, event_type, status, attempts, code, error, excerpt, took_ms, created_ms, last_ms) \
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (webhook, seq) DO UPDATE SET \
                       status = excluded.status, attempts = excluded.attempts, code = excluded.code, error = excluded.error, \
                       excerpt = excluded.excerpt, took_ms = excluded.took_ms, last_ms = excluded.last_ms \
                       WHERE webhook_deliveries.attempts <= excluded.attempts";
            let values = params![
                attempt.webhook.as_str(),
                attempt.seq,
                attempt.event_id.as_str(),
                attempt.event_type.as_str(),
                attempt.status.name(),
                attempt.number,
                attempt.code,
                attempt.error.as_deref(),
                attempt.excerpt.as_deref(),
                attempt.took_ms,
                attempt.at_ms,
                attempt.at_ms,
            ];
            tx.execute(sql, values).await.map_err(fail())?;
            let state = if attempt.status == DeliveryStatus::Delivered {
                "INSERT INTO webhook_states (webhook, last_success_ms) VALUES ($1, $2) ON CONFLICT (webhook) DO UPDATE SET \
                 failing_since_ms = NULL, last_success_ms = excluded.last_success_ms"
            } else {
                "INSERT INTO webhook_states (webhook, failing_since_ms) VALUES ($1, $2) ON CONFLICT (webhook) DO UPDATE SET \
                 failing_since_ms = COALESCE(webhook_states.failing_since_ms, excluded.failing_since_ms)"
            };
            tx.execute(state, params![attempt.webhook.as_str(), attempt.at_ms]).await.map_err(fail())?;
        }
        let mut webhooks: Vec<&str> = attempts.iter().map(|attempt| attempt.webhook.as_str()).collect();
        webhooks.sort_unstable();
        webhooks.dedup();
        for webhook in webhooks {
            let many = "DELETE FROM webhook_deliveries WHERE webhook = $1 AND id <= \
                        (SELECT id FROM webhook_deliveries WHERE webhook = $2 ORDER BY id DESC LIMIT 1 OFFSET $3)";
            tx.execute(many, params![webhook, webhook, self.most]).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())
    }

    /// An event that is on its way to one webhook alone: its delivery is known before it is attempted. Answers its id,
    /// that of the row where the attempt was quicker. Cancel safe.
    pub async fn expect(&self, webhook: &str, seq: i64, event: (&str, &str), replay_of: Option<i64>, now_ms: i64) -> Result<i64, StoreError> {
        let sql = "INSERT INTO webhook_deliveries (webhook, seq, event_id, event_type, status, attempts, replay_of, created_ms, last_ms) \
                   VALUES ($1, $2, $3, $4, 'pending', 0, $5, $6, $7) ON CONFLICT (webhook, seq) DO UPDATE SET replay_of = excluded.replay_of RETURNING id";
        let values = params![webhook, seq, event.0, event.1, replay_of, now_ms, now_ms];
        let row = self.database.fetch_optional(sql, values).await;
        row.and_then(|row| row.ok_or(sqlx::Error::RowNotFound)?.get("id")).map_err(failed("recording a delivery to a webhook"))
    }

    pub async fn get(&self, webhook: &str, id: i64) -> Result<Option<WebhookDelivery>, StoreError> {
        self.get_since(webhook, id, i64::MIN).await
    }

    /// The same, where it is not older than this.
    pub async fn get_since(&self, webhook: &str, id: i64, since_ms: i64) -> Result<Option<WebhookDelivery>, StoreError> {
        let sql = format!("{COLUMNS} WHERE id = $1 AND webhook = $2 AND created_ms >= $3");
        let row = self.database.fetch_optional(sqlx::AssertSqlSafe(sql), params![id, webhook, since_ms]).await;
        row.and_then(|row| row.as_ref().map(read).transpose()).map_err(failed("reading a delivery to a webhook"))
    }

    /// Newest first, of those before this id and not older than `since_ms`.
    pub async fn list(
        &self,
        webhook: &str,
        since_ms: i64,
        status: Option<DeliveryStatus>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<WebhookDelivery>, StoreError> {
        let wanted = status.map(|status| format!(" AND status = '{}'", status.name())).unwrap_or_default();
        let sql = format!("{COLUMNS} WHERE webhook = $1 AND id < $2 AND created_ms >= $4{wanted} ORDER BY id DESC LIMIT $3");
        let rows = self.database.fetch_all(sqlx::AssertSqlSafe(sql), params![webhook, before.unwrap_or(i64::MAX), i64::from(limit), since_ms]).await;
        rows.and_then(|rows| rows.iter().map(read).collect()).map_err(failed("reading deliveries to a webhook"))
    }

    /// Deliveries that are to be tried again, oldest first, behind this id.
    pub async fn retrying(&self, after: i64, limit: u32) -> Result<Vec<WebhookDelivery>, StoreError> {
        let sql = format!("{COLUMNS} WHERE status IN ('retrying', 'pending') AND id > $1 ORDER BY id LIMIT $2");
        let rows = self.database.fetch_all(sqlx::AssertSqlSafe(sql), params![after, i64::from(limit)]).await;
        rows.and_then(|rows| rows.iter().map(read).collect()).map_err(failed("reading deliveries to webhooks"))
    }

    /// The host gave these up; those that were delivered meanwhile stay so.
    pub async fn gave_up(&self, ids: &[i64]) -> Result<(), StoreError> {
        let fail = || failed("recording deliveries to webhooks");
        let mut tx = self.database.begin().await.map_err(fail())?;
        for id in ids {
            let sql = "UPDATE webhook_deliveries SET status = 'failed' WHERE id = $1 AND status IN ('retrying', 'pending')";
            tx.execute(sql, params![*id]).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())
    }

    /// How all fare of which something is known.
    pub async fn states(&self) -> Result<HashMap<String, WebhookState>, StoreError> {
        let rows = self.database.fetch_all("SELECT webhook, failing_since_ms, last_success_ms FROM webhook_states", params![]).await;
        let read = |row: &Row| {
            let state = WebhookState { failing_since_ms: row.get("failing_since_ms")?, last_success_ms: row.get("last_success_ms")? };
            Ok((row.get("webhook")?, state))
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).map_err(failed("reading how webhooks fare"))
    }

    /// It begins anew: failures before do not count.
    pub async fn begin_anew(&self, webhook: &str) -> Result<(), StoreError> {
        let sql = "UPDATE webhook_states SET failing_since_ms = NULL WHERE webhook = $1";
        self.database.execute(sql, params![webhook]).await.map(drop).map_err(failed("recording how a webhook fares"))
    }

    /// It is gone, and what is known of it with it.
    pub async fn forget(&self, webhook: &str) -> Result<(), StoreError> {
        let fail = || failed("forgetting deliveries to a webhook");
        let mut tx = self.database.begin().await.map_err(fail())?;
        for sql in ["DELETE FROM webhook_deliveries WHERE webhook = $1", "DELETE FROM webhook_states WHERE webhook = $1"] {
            tx.execute(sql, params![webhook]).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())
    }

    /// Forgets what was last attempted before this moment.
    pub async fn expire(&self, before_ms: i64) -> Result<u64, StoreError> {
        self.database.execute("DELETE FROM webhook_deliveries WHERE last_ms < $1", params![before_ms]).await.map_err(failed("forgetting old deliveries"))
    }
}

fn read(row: &Row) -> Result<WebhookDelivery, sqlx::Error> {
    let status: String = row.get("status")?;
    Ok(WebhookDelivery {
        id: row.get("id")?,
        webhook: row.get("webhook")?,
        seq: row.get("seq")?,
        event_id: row.get("event_id")?,
        event_type: row.get("event_type")?,
        status: DeliveryStatus::named(&status).ok_or_else(|| sqlx::Error::Decode(format!("a delivery that is `{status}`").into()))?,
        attempts: row.get("attempts")?,
        code: row.get("code")?,
        error: row.get("error")?,
        excerpt: row.get("excerpt")?,
        took_ms: row.get("took_ms")?,
        replay_of: row.get("replay_of")?,
        created_ms: row.get("created_ms")?,
        last_ms: row.get("last_ms")?,
    })
}

#[cfg(test)]
mod tests;
