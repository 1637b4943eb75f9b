//! Writes the log of deliveries, and does what is due: former secrets go, receivers are given up, old deliveries are
//! forgotten.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_access::Scope;
use bulkhead_core::receipt::ExchangeEnd;
use bulkhead_core::{Clock, Seq};
use bulkhead_journal::Journal;
use bulkhead_store::{WebhookDeliveries, WebhookDelivery};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::log::{Events, Heard, attempt};
use super::once::lane;
use super::{HOST, disabled, settled};
use crate::api::problem::Chain;
use crate::config::{Section, Webhook, WebhookLogSettings, webhook_instance};
use crate::own_events::{Lifecycle, OwnEvents};
use crate::pipeline::Control;
use crate::pipeline::stored::{Edit, To};
use crate::trail::Trail;

/// Between two looks at what is due.
const LOOK: Duration = Duration::from_secs(1);
/// Looks between two of those that forget old deliveries.
const SELDOM: u64 = 600;
/// Between two attempts to write what the store refused.
const AGAIN: Duration = Duration::from_secs(1);
/// Attempts that are written in one go.
const TOGETHER: usize = 256;
/// Deliveries on their way that one look checks.
const PAGE: u32 = 500;

pub struct Keeper {
    pub control: Arc<Control>,
    pub deliveries: WebhookDeliveries,
    pub settings: WebhookLogSettings,
    pub journal: Journal,
    pub clock: Arc<dyn Clock>,
    pub own_events: OwnEvents,
    pub trail: Trail,
    /// Told when the log moved on.
    pub moved: Arc<Notify>,
}

impl Keeper {
    /// Writes what comes; once cancelled, what is there still.
    pub async fn write(self: Arc<Self>, mut heard: mpsc::Receiver<Heard>, stop: CancellationToken) {
        let mut events = Events::new(self.journal.clone());
        let mut waiting = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled(), if !heard.is_closed() => heard.close(),
                count = heard.recv_many(&mut waiting, TOGETHER) => {
                    if count == 0 {
                        return;
                    }
                }
            }
            let mut attempts = Vec::with_capacity(waiting.len());
            let mut gone: Vec<Arc<str>> = Vec::new();
            for heard in waiting.drain(..) {
                let Some(seq) = heard.receipt.about.as_ref().map(|about| about.first) else { continue };
                if heard.receipt.exchanges.last().is_some_and(|exchange| exchange.end == ExchangeEnd::Status(410)) && !gone.contains(&heard.webhook) {
                    gone.push(Arc::clone(&heard.webhook));
                }
                attempts.extend(attempt(&heard, events.named(seq).await));
            }
            // What does not fit behind this meanwhile is left out of the log, and the host's log says so.
            while let Err(error) = self.deliveries.attempted(&attempts).await {
                tracing::error!(error = %Chain(&error), "deliveries to webhooks are not noted, trying again");
                tokio::time::sleep(AGAIN).await;
            }
            self.moved.notify_waiters();
            for webhook in gone {
                // On a task of its own: a change waits for deliveries under way, and these for the log.
                let this = Arc::clone(&self);
                tokio::spawn(async move { this.disable(&webhook, "gone", "the receiver answered 410: this webhook is no more").await });
            }
        }
    }

    /// Does what is due, until cancelled.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let mut after = 0;
        for look in 0_u64.. {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let config = self.control.config();
            match self.deliveries.states().await {
                Ok(states) => {
                    for webhook in &config.webhooks {
                        self.see_to(webhook, states.get(&webhook.name).and_then(|state| state.failing_since_ms)).await;
                    }
                }
                Err(error) => tracing::warn!(error = %Chain(&error), "how webhooks fare cannot be read, trying again"),
            }
            match self.given_up(after, &config.webhooks).await {
                Ok(next) => after = next,
                Err(error) => tracing::warn!(error = %Chain(&error), "deliveries to webhooks not looked at, trying again"),
            }
            if look % SELDOM == 0 {
                let oldest = self.clock.unix_ms().saturating_sub(i64::try_from(self.settings.max_age.as_millis()).unwrap_or(i64::MAX));
                if let Err(error) = self.deliveries.expire(oldest).await {
                    tracing::warn!(error = %Chain(&error), "old deliveries to webhooks not forgotten, trying again");
                }
            }
        }
    }

    async fn see_to(&self, webhook: &Webhook, failing_since_ms: Option<i64>) {
        let now_ms = self.clock.unix_ms();
        if webhook.previous_until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
            self.change(&webhook.name, "webhooks.secret_ends", settled).await;
        }
        if !webhook.enabled {
            // A crash may have come between.
            if !self.control.stored.is_inactive(&webhook_instance(&webhook.name)) {
                self.pause(&webhook.name).await;
            }
            return;
        }
        let limit_ms = i64::try_from(webhook.disable_after.as_millis()).unwrap_or(i64::MAX);
        if failing_since_ms.is_some_and(|since_ms| now_ms.saturating_sub(since_ms) >= limit_ms) {
            self.disable(&webhook.name, "failing", "no delivery succeeded for `disable_after`").await;
        }
    }

    /// Nothing more is sent. One of the file is switched off, for its definition is not ours to change.
    async fn disable(&self, name: &str, cause: &'static str, because: &str) {
        let known = self.control.config().webhooks.iter().any(|webhook| webhook.name == name && webhook.enabled);
        if !known || self.control.stored.is_inactive(&webhook_instance(name)) {
            return;
        }
        if !self.pause(name).await {
            // The next look, or the next 410, tries again.
            return;
        }
        self.change(name, "webhooks.disable", |definition| disabled(definition, because)).await;
        if let Err(error) = self.deliveries.begin_anew(name).await {
            tracing::warn!(error = %Chain(&error), webhook = name, "failures of a disabled webhook still count");
        }
        tracing::error!(webhook = name, cause, because, "webhook disabled");
        self.own_events.lifecycle(&Lifecycle::WebhookDisabled { name: name.to_owned(), cause, reason: because.to_owned() });
    }

    async fn pause(&self, name: &str) -> bool {
        let paused = self.control.set_active(&webhook_instance(name), false, HOST).await;
        if let Err(error) = &paused {
            tracing::error!(error = %Chain(error), webhook = name, "a webhook that is to be disabled cannot be switched off, trying again");
        }
        paused.is_ok()
    }

    /// Another definition for a stored one.
    async fn change(&self, name: &str, action: &'static str, next: impl Fn(&Value) -> Value) {
        let Some(entry) = self.control.stored.get(Section::Webhooks, name) else { return };
        let to = To::Change(next(&entry.definition));
        let edit = Edit { section: Section::Webhooks, name: name.to_owned(), to, of_version: Some(entry.version) };
        match self.control.edit(&[edit], HOST, &Scope::HOST, false).await {
            Ok(_) => self.trail.act(action, json!({"by": HOST, "webhook": name, "version": entry.version + 1})).await,
            Err(error) => tracing::warn!(error = %Chain(&error), webhook = name, action, "webhook not changed, trying again"),
        }
    }

    /// Marks deliveries that their lane is done with although none of their attempts succeeded. Answers where the next
    /// look goes on.
    async fn given_up(&self, after: i64, webhooks: &[Webhook]) -> Result<i64, bulkhead_store::StoreError> {
        let page = self.deliveries.retrying(after, PAGE).await?;
        let over = |delivery: &&WebhookDelivery| {
            let lane = webhooks.iter().find(|webhook| webhook.name == delivery.webhook).map(|webhook| lane(webhook).to_string());
            lane.is_some_and(|lane| self.journal.lane_settled(&lane, Seq(delivery.seq.cast_unsigned())) == Some(true))
        };
        let ids: Vec<i64> = page.iter().filter(over).map(|delivery| delivery.id).collect();
        if !ids.is_empty() {
            self.deliveries.gave_up(&ids).await?;
            self.moved.notify_waiters();
        }
        Ok(if page.len() == PAGE as usize { page.last().map_or(0, |last| last.id) } else { 0 })
    }
}
