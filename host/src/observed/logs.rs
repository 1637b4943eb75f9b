//! The log of each instance: deliveries that failed and came through again, breakers, pulls, tests, queries, changes by
//! people, and what the guests themselves say.
//!
//! Entries wait in a bounded queue and are written in batches by a task of their own. Where they come faster than
//! they are written, or the store takes nothing, they are dropped and counted, and the log says so once it can be
//! written again. Nothing waits for the log.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulkhead_core::{Clock, LaneId, SyncRun, SyncStatus};
use bulkhead_deliver::{BreakerState, Notice};
use bulkhead_ingest::PullNotice;
use bulkhead_sandbox::{Level, LogSink, TracingSink};
use bulkhead_store::{LogEntry, LogType, Logs as Table};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Entries that wait to be written.
const QUEUE: usize = 4_096;
/// Entries of one transaction.
const BATCH: usize = 500;
/// Bytes of a message, and of details.
const MOST_MESSAGE: usize = 1 << 10;
const MOST_DETAILS: usize = 4 << 10;
/// Between two entries about one lane that fails in one way.
const SAME: Duration = Duration::from_secs(60);
/// Between two looks at what is too old or too much.
const SHRINK: Duration = Duration::from_secs(60);
/// Until a batch that the store did not take is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// The `logs:` part of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct LogRetention {
    pub retention: Duration,
    pub max_rows: u64,
}

/// Takes entries. Cheap to clone.
#[derive(Clone)]
pub struct Logs(Arc<Inner>);

struct Inner {
    queue: mpsc::Sender<LogEntry>,
    dropped: AtomicU64,
    failing: Mutex<HashMap<LaneId, Failing>>,
    clock: Arc<dyn Clock>,
}

/// A lane that fails, and how often since it was said last.
struct Failing {
    code: &'static str,
    said: Duration,
    untold: u64,
    calls: u64,
}

/// An entry before it has an id and a time.
#[derive(Debug, Default)]
pub struct Said<'a> {
    pub operation: &'a str,
    pub message: String,
    pub details: Option<Value>,
    pub user: Option<&'a str>,
    pub sync_id: Option<Uuid>,
}

/// The other end of the queue.
pub struct Waiting(mpsc::Receiver<LogEntry>);

impl Logs {
    pub fn new(clock: Arc<dyn Clock>) -> (Self, Waiting) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        (Self(Arc::new(Inner { queue, dropped: AtomicU64::new(0), failing: Mutex::default(), clock })), Waiting(waiting))
    }

    /// Never waits.
    pub fn say(&self, instance: &str, log_type: LogType, said: Said<'_>) {
        let details = said.details.map(|details| details.to_string());
        let details = match details {
            Some(text) if text.len() > MOST_DETAILS => Some(json!({"left_out_bytes": text.len()}).to_string()),
            details => details,
        };
        let entry = LogEntry {
            id: Uuid::now_v7(),
            instance: instance.to_owned(),
            log_type,
            at_ms: self.0.clock.unix_ms(),
            operation: said.operation.to_owned(),
            message: cut(&said.message, MOST_MESSAGE).to_owned(),
            details,
            user: said.user.map(str::to_owned),
            sync_id: said.sync_id,
        };
        if self.0.queue.try_send(entry).is_err() {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A delivery failed as a whole. Said at once, and then once a minute with how often.
    pub fn failed(&self, lane: &LaneId, code: &'static str, text: &str) {
        let now = self.0.clock.monotonic();
        let calls = {
            let mut all = self.0.failing.lock().unwrap_or_else(PoisonError::into_inner);
            let failing = all.entry(lane.clone()).or_insert(Failing { code: "", said: now, untold: 0, calls: 0 });
            failing.calls += 1;
            if failing.code == code && now.saturating_sub(failing.said) < SAME {
                failing.untold += 1;
                return;
            }
            (failing.code, failing.said) = (code, now);
            std::mem::take(&mut failing.untold) + 1
        };
        let message = format!("delivery failed ({code}): {}", cut(text, MOST_MESSAGE / 2));
        let details = json!({"format": &*lane.format, "code": code, "calls": calls});
        self.say(&lane.instance, LogType::Error, Said { operation: "deliver", message, details: Some(details), ..Said::default() });
    }

    /// The first call that reached the receiver since.
    pub fn recovered(&self, lane: &LaneId) {
        let failed = self.0.failing.lock().unwrap_or_else(PoisonError::into_inner).remove(lane);
        let calls = failed.map_or(0, |failed| failed.calls);
        let message = format!("the receiver was reached again after {calls} calls that failed");
        let details = json!({"format": &*lane.format, "calls": calls});
        self.say(&lane.instance, LogType::Success, Said { operation: "deliver", message, details: Some(details), ..Said::default() });
    }

    /// What delivery tells.
    pub fn notice(&self, notice: &Notice) {
        let (instance, log_type, operation, message, details) = match notice {
            Notice::Breaker { instance, state } => {
                let log_type = match state {
                    BreakerState::Open => LogType::Warning,
                    BreakerState::HalfOpen => LogType::Info,
                    BreakerState::Closed => LogType::Success,
                };
                (instance, log_type, "breaker", format!("the circuit breaker is {}", state.name()), json!({"state": state.name()}))
            }
            Notice::Held { instance, cause, reason } => {
                let message = format!("the instance is held ({}), its events wait: {reason}", cause.name());
                (instance, LogType::Error, "hold", message, json!({"cause": cause.name()}))
            }
            Notice::Released { instance, cause } => {
                (instance, LogType::Success, "hold", format!("the instance goes on ({})", cause.name()), json!({"cause": cause.name()}))
            }
            Notice::DeadLetters { lane, cause, count, own: _ } => {
                let message = format!("{count} events went to the dead letters ({})", cause.name());
                (&lane.instance, LogType::Error, "dead_letters", message, json!({"format": &*lane.format, "cause": cause.name(), "events": count}))
            }
            Notice::DeadLettersFull { lane } => {
                let message = "the lane stopped: the dead letter store is full (dead_letters.max_bytes)".to_owned();
                (&lane.instance, LogType::Error, "dead_letters", message, json!({"format": &*lane.format}))
            }
            Notice::DeadLettersRoom { lane } => {
                let message = "the lane goes on: the dead letter store has room".to_owned();
                (&lane.instance, LogType::Success, "dead_letters", message, json!({"format": &*lane.format}))
            }
            Notice::Lost { lane, first, last } => {
                let message = format!("events {first} to {last} cannot be read from the journal any more");
                (&lane.instance, LogType::Error, "deliver", message, json!({"format": &*lane.format, "first": first, "last": last}))
            }
            // Of no instance.
            Notice::DeadLettersDropped { .. } => return,
        };
        self.say(instance, log_type, Said { operation, message, details: Some(details), ..Said::default() });
    }

    /// What pulls tell beside their runs.
    pub fn pull(&self, notice: &PullNotice) {
        let (instance, log_type, message) = match notice {
            PullNotice::Failed { instance, reason } => (instance, LogType::Error, format!("pulling failed: {reason}")),
            PullNotice::Recovered { instance } => (instance, LogType::Success, "pulling goes on".to_owned()),
            PullNotice::LeftOut { instance, records, reason } => {
                (instance, LogType::Warning, format!("{records} records were left out, for they are no events: {reason}"))
            }
            // Said with its record.
            PullNotice::Completed(_) => return,
        };
        self.say(instance, log_type, Said { operation: "pull", message, ..Said::default() });
    }

    /// A run of a pull connector has ended.
    pub fn run(&self, run: &SyncRun) {
        let (log_type, message) = match run.status {
            SyncStatus::Running => return,
            SyncStatus::Completed => (LogType::Success, format!("the run brought {} records in {} pages", run.records, run.pages)),
            SyncStatus::Failed => {
                (LogType::Error, format!("the run failed after {} records: {}", run.records, run.error.as_deref().unwrap_or("nothing more is known")))
            }
        };
        let details = json!({
            "trigger": run.trigger.name(), "pages": run.pages, "records": run.records, "left_out": run.left_out, "attempts": run.attempts,
        });
        let said = Said { operation: "sync", message, details: Some(details), user: Some(&run.initiated_by), sync_id: Some(run.id) };
        self.say(&run.instance, log_type, said);
    }

    /// Something that a person did, as it was answered; nothing where it is not about an instance.
    pub fn change(&self, object: &str, actor: &str, action: &str, status: u16) {
        let Some(instance) = object.strip_prefix("instances/").and_then(|rest| rest.split(['/', '?']).next()).filter(|name| !name.is_empty()) else {
            return;
        };
        let (log_type, word) = if status < 400 { (LogType::Info, "done") } else { (LogType::Warning, "refused") };
        let said = Said { operation: action, message: format!("{action}: {word}"), details: Some(json!({"status": status})), user: Some(actor), sync_id: None };
        self.say(instance, log_type, said);
    }
}

impl Waiting {
    /// Writes what comes and deletes what is too old or too much, until cancelled; then what waits is written once.
    pub async fn keep(mut self, logs: Logs, table: Table, settings: LogRetention, stop: CancellationToken) {
        let clock = Arc::clone(&logs.0.clock);
        let mut shrink = tokio::time::interval(SHRINK.min(settings.retention / 4).max(Duration::from_secs(1)));
        shrink.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = shrink.tick() => {
                    let now_ms = clock.unix_ms();
                    let before_ms = now_ms.saturating_sub(i64::try_from(settings.retention.as_millis()).unwrap_or(i64::MAX));
                    if let Err(error) = table.shrink(before_ms, settings.max_rows).await {
                        tracing::warn!(error = &error as &dyn std::error::Error, "old logs not deleted, trying again later");
                    }
                }
                _ = self.0.recv_many(&mut batch, BATCH) => {
                    while let Err(error) = write(&logs, &table, &mut batch).await {
                        tracing::warn!(error = &error as &dyn std::error::Error, "logs of instances not written, trying again");
                        tokio::select! {
                            () = stop.cancelled() => return,
                            () = tokio::time::sleep(AGAIN) => {}
                        }
                    }
                }
            }
        }
        self.0.close();
        while self.0.recv_many(&mut batch, BATCH).await > 0 {
            if write(&logs, &table, &mut batch).await.is_err() {
                return;
            }
        }
    }
}

/// Empties the batch where the store takes it, with what was dropped before said in it.
async fn write(logs: &Logs, table: &Table, batch: &mut Vec<LogEntry>) -> Result<(), bulkhead_store::StoreError> {
    let dropped = logs.0.dropped.swap(0, Ordering::Relaxed);
    let note = batch.last().cloned().filter(|_| dropped > 0);
    let noted = note.is_some();
    if let Some(last) = note {
        tracing::warn!(dropped, "logs of instances were dropped: they came faster than they were written");
        let message = format!("{dropped} log entries of instances were dropped: they came faster than they were written");
        batch.push(LogEntry {
            id: Uuid::now_v7(),
            instance: String::new(),
            log_type: LogType::Warning,
            operation: "logs".into(),
            message,
            details: None,
            user: None,
            sync_id: None,
            ..last
        });
    }
    if let Err(error) = table.add(batch).await {
        // The note is made anew with the next attempt: a store that is away for long makes no batch longer.
        if noted {
            batch.pop();
        }
        logs.0.dropped.fetch_add(dropped, Ordering::Relaxed);
        return Err(error);
    }
    batch.clear();
    Ok(())
}

/// Lines of guests, into the host's log and into that of the instance. They come redacted and within their limits; what
/// is only for debugging stays in the host's.
pub struct GuestLines(pub Logs);

impl LogSink for GuestLines {
    fn line(&self, instance: &str, component: &str, level: Level, text: &str) {
        TracingSink.line(instance, component, level, text);
        let log_type = match level {
            Level::Debug => return,
            Level::Info => LogType::Info,
            Level::Warn => LogType::Warning,
            Level::Error => LogType::Error,
        };
        let said = Said { operation: "guest", message: text.to_owned(), details: Some(json!({"component": component})), ..Said::default() };
        self.0.say(instance, log_type, said);
    }
}

/// The longest beginning of at most `limit` bytes that ends at a character.
fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use bulkhead_core::SystemClock;

    use super::*;

    fn said(waiting: &mut Waiting) -> Vec<(LogType, String)> {
        std::iter::from_fn(|| waiting.0.try_recv().ok()).map(|entry| (entry.log_type, entry.message)).collect()
    }

    #[test]
    fn a_lane_that_fails_on_and_on_is_said_once_and_counted() {
        let (logs, mut waiting) = Logs::new(Arc::new(SystemClock::default()));
        let lane = LaneId::new("siem", "cef");
        (0..40).for_each(|_| logs.failed(&lane, "unavailable", "503"));
        logs.failed(&lane, "unauthorized", "401");
        logs.recovered(&lane);
        let said = said(&mut waiting);
        assert_eq!(said.iter().map(|(log_type, _)| *log_type).collect::<Vec<_>>(), [LogType::Error, LogType::Error, LogType::Success]);
        assert!(said[2].1.contains("41 calls"), "{said:?}");
    }

    #[test]
    fn nothing_waits_for_a_full_queue_and_what_is_long_is_cut() {
        let (logs, mut waiting) = Logs::new(Arc::new(SystemClock::default()));
        for _ in 0..QUEUE + 5 {
            logs.say("a", LogType::Info, Said { message: "ä".repeat(MOST_MESSAGE), details: Some(json!("x".repeat(MOST_DETAILS))), ..Said::default() });
        }
        assert_eq!(logs.0.dropped.load(Ordering::Relaxed), 5);
        let first = waiting.0.try_recv().expect("one");
        assert!(first.message.len() <= MOST_MESSAGE && first.details.is_some_and(|details| details.contains("left_out_bytes")));
    }

    #[test]
    fn a_change_is_said_where_it_is_about_an_instance() {
        let (logs, mut waiting) = Logs::new(Arc::new(SystemClock::default()));
        logs.change("instances/siem/pause", "ada", "instances.pause", 200);
        logs.change("routes/r", "ada", "routes.put", 200);
        logs.change("instances/", "ada", "instances.put", 400);
        assert_eq!(said(&mut waiting), [(LogType::Info, "instances.pause: done".to_owned())]);
    }
}
