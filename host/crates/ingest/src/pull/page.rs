//! One page: asked for behind the cursor, put into the journal, its own cursor kept after that.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_core::{AskError, Failure, Page, RecordBatch, SyncRun};
use bulkhead_journal::AppendBatch;
use tokio_util::sync::CancellationToken;

use super::run::Pull;
use super::{FIRST_WAIT, LONGEST_WAIT, PullNotice};
use crate::normalise::{Form, Normaliser};

/// Between two pages of which the first brought nothing.
pub(super) const EMPTY_WAIT: Duration = Duration::from_millis(200);
/// Times that a page is asked for again before records of it that are no events are left out.
const REFUSALS: u32 = 3;
/// What an append under way gets when the host stops.
const LAST_APPEND: Duration = Duration::from_secs(2);
/// Why a page was not taken that is asked for again within the same run, at most [`REFUSALS`] times.
pub(super) const NO_EVENTS: &str = "events";

/// Why a page was not taken that another host takes now.
pub(super) const LOST: &str = "lost";

/// A page was taken; the wait before the next, where there is one.
pub(super) struct Taken(pub Option<Duration>);

/// Why a page was not taken.
pub(super) struct Missed {
    /// In metrics.
    pub word: &'static str,
    pub reason: String,
    pub after: Option<Duration>,
}

impl Missed {
    pub fn new(word: &'static str, reason: impl Into<String>) -> Self {
        Self { word, reason: reason.into(), after: None }
    }

    /// A reload takes an instance away for a moment, and a person may hold one: neither is a failure.
    pub fn is_idle(&self) -> bool {
        matches!(self.word, "gone" | "held")
    }
}

pub(super) fn stopped() -> Missed {
    Missed::new("held", "the pulling was ended: the host stops, or its configuration changed")
}

pub(super) fn lost() -> Missed {
    Missed::new(LOST, "another host runs the schedule now")
}

impl From<AskError> for Missed {
    fn from(error: AskError) -> Self {
        let word = match &error {
            AskError::Gone => "gone",
            AskError::Held(_) => "held",
            AskError::Busy => "busy",
            AskError::Deadline(_) => "deadline",
            AskError::Open(_) => "open",
            AskError::Fault(_) => "fault",
            AskError::Failed(failure) => failure.name(),
        };
        let after = match &error {
            AskError::Failed(Failure::Unavailable { after, .. }) => *after,
            // People must act.
            AskError::Failed(Failure::Configuration(_) | Failure::Unauthorized(_) | Failure::Unsupported) => Some(LONGEST_WAIT),
            _ => None,
        };
        Self { word, reason: error.to_string(), after }
    }
}

impl Pull {
    pub(super) async fn page(&mut self, run: &mut SyncRun, cancel: &CancellationToken) -> Result<Taken, Missed> {
        let (instance, key) = (Arc::clone(&self.settings.instance), self.settings.key());
        if !self.holds() {
            return Err(lost());
        }
        let stored = |error| Missed::new("store", error);
        if self.shared.is_anew() {
            self.set_cursor(&key, &[]).await?;
            self.shared.set_anew(false);
            (self.cursor, self.unkept, self.refusals) = (None, None, 0);
        }
        if let Some(next) = &self.unkept {
            // The events before it are in the journal: they are not asked for again.
            self.set_cursor(&key, next).await?;
            self.cursor = self.unkept.take();
        }
        if self.cursor.is_none() {
            self.cursor = Some(self.parts.cursors.get(&key).await.map_err(stored)?);
        }
        let from = self.cursor.clone().unwrap_or_default();
        let Page { events, cursor: next, more } = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(stopped()),
            page = self.parts.puller.pull(&instance, &from) => page?,
        };
        let (batches, left_out) = self.batches(&events)?;
        // This host may have stood still for long: what another one has pulled by now is not put in again.
        if !self.holds() {
            return Err(lost());
        }
        self.append(batches, cancel).await?;
        self.refusals = 0;
        let (moved, count) = (next != from, events.len() as u64 - left_out);
        (run.pages, run.records, run.left_out) = (run.pages + 1, run.records + count, run.left_out + left_out);
        {
            let mut status = self.shared.status();
            (status.events, status.pages) = (status.events + count, status.pages + 1);
        }
        if moved {
            // Before it is written: a store that refuses must not make the page come again.
            self.unkept = Some(next.clone());
            self.set_cursor(&key, &next).await?;
            self.cursor = self.unkept.take();
        }
        // One that promises more behind the same cursor would be asked for ever.
        Ok(Taken((more && moved).then_some(if count > 0 { Duration::ZERO } else { EMPTY_WAIT })))
    }

    async fn set_cursor(&self, key: &str, cursor: &[u8]) -> Result<(), Missed> {
        match self.parts.cursors.set(key, cursor, &self.under).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(lost()),
            Err(error) => Err(Missed::new("store", error)),
        }
    }

    /// All events of a page, and how many records were left out for being none: that happens only to a page that
    /// was refused before.
    fn batches(&mut self, events: &RecordBatch) -> Result<(Vec<AppendBatch>, u64), Missed> {
        let received = self.parts.clock.unix_nanos();
        let (mut full, mut batch) = (Vec::new(), AppendBatch::new());
        let (mut left_out, mut why) = (0, None);
        for index in 0..events.len() {
            if let Err(reason) = add(events, index, &mut self.normaliser, received, &mut batch) {
                left_out += 1;
                why.get_or_insert(format!("pull: event {index} is none: {reason}"));
            }
            if self.sink.is_full(&batch) {
                full.push(std::mem::take(&mut batch));
            }
        }
        full.push(batch);
        let Some(reason) = why else { return Ok((full, 0)) };
        self.refusals += 1;
        if self.refusals <= REFUSALS {
            return Err(Missed::new(NO_EVENTS, reason));
        }
        let instance = Arc::clone(&self.settings.instance);
        tracing::error!(instance = &*instance, records = left_out, reason, "records that are no events are left out");
        (self.parts.notify)(PullNotice::LeftOut { instance, records: left_out, reason });
        Ok((full, left_out))
    }

    async fn append(&self, batches: Vec<AppendBatch>, cancel: &CancellationToken) -> Result<(), Missed> {
        for mut batch in batches {
            tokio::select! {
                appended = self.sink.append(&mut batch) => appended.map_err(|error| Missed::new("journal", error.to_string()))?,
                () = self.watch_blocked() => {}
                () = async { cancel.cancelled().await; tokio::time::sleep(LAST_APPEND).await } => return Err(stopped()),
            }
        }
        self.shared.status().blocked = false;
        Ok(())
    }

    /// Never ends.
    async fn watch_blocked(&self) {
        loop {
            tokio::time::sleep(FIRST_WAIT).await;
            self.shared.status().blocked = self.sink.blocked.load(std::sync::atomic::Ordering::Relaxed);
        }
    }
}

/// One record of a guest as an event at the end of a batch; the error says why it is none.
pub(crate) fn add(records: &RecordBatch, index: usize, normaliser: &mut Normaliser, received: u64, batch: &mut AppendBatch) -> Result<(), String> {
    let text = records.get(index);
    std::str::from_utf8(text).map_err(|_| "not UTF-8".to_owned())?;
    let taken = normaliser.event(text, 0, Form::Json, received, batch.buffer()).map_err(|refused| refused.fault.reason)?;
    if bulkhead_core::json::skip_space(text, taken.end) < text.len() {
        return Err("more text behind it".to_owned());
    }
    batch.push_event().map_err(|error| error.to_string())
}
