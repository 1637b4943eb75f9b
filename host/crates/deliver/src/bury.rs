//! Writes dead letters. They are on disk before their events settle; where the store is full the worker
//! waits here with its events, and its lane stops.

use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bulkhead_core::{Attr, Shape, Tenant};
use bulkhead_store::{Cause, NewDeadLetter, OWN, StoreError};

use crate::context::Context;
use crate::instance::Instance;
use crate::job::Job;
use crate::judge::Letter;
use crate::notice::Notice;
use crate::status::LaneShared;

/// Bytes of events written in one transaction.
const CHUNK_BYTES: usize = 4 << 20;
/// Attempts while the store is full, beside those when letters were deleted: an operator may also have
/// made room on the disk.
const FULL_RETRY: Duration = Duration::from_secs(5);
const ERROR_RETRY: Duration = Duration::from_secs(1);

/// Returns once every letter is on disk. Cancelled, some are; they replace themselves next time.
pub(crate) async fn bury(context: &Context, instance: &Instance, lane: &LaneShared, job: &Job, letters: &[Letter]) {
    let mut rest = letters;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|letter| {
            bytes += job.stored(letter.item).len();
            bytes <= CHUNK_BYTES
        });
        let (chunk, later) = rest.split_at(fits.count().max(1));
        write(context, instance, lane, job, chunk).await;
        rest = later;
    }
    for cause in Cause::ALL {
        let of_cause = letters.iter().filter(|letter| letter.cause == *cause);
        let count = of_cause.clone().count() as u64;
        if count > 0 {
            lane.count_rejected(*cause, count);
            let own = of_cause.filter(|letter| job.event(letter.item).shape() == Shape::Own).count() as u64;
            (context.parts.notices)(Notice::DeadLetters { lane: lane.id.clone(), cause: *cause, count, own });
        }
    }
    context.parts.metrics.dead_letters.set(context.parts.dead_letters.count().cast_signed());
}

async fn write(context: &Context, instance: &Instance, lane: &LaneShared, job: &Job, letters: &[Letter]) {
    let mut freed = context.parts.dead_letters.freed();
    let mut full = Full { context, lane, told: false };
    loop {
        freed.mark_unchanged();
        let error = match add(context, instance, lane, job, letters).await {
            Ok(()) => return,
            Err(error) => error,
        };
        if error.is_full() {
            full.tell(&error);
            // Both are cancel safe, and a letter added twice replaces itself.
            tokio::select! {
                _ = freed.changed() => {}
                () = tokio::time::sleep(FULL_RETRY) => {}
            }
        } else {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(lane = %lane.id, %error, cause, "dead letters not written, trying again");
            tokio::time::sleep(ERROR_RETRY).await;
        }
    }
}

async fn add(context: &Context, instance: &Instance, lane: &LaneShared, job: &Job, letters: &[Letter]) -> Result<(), StoreError> {
    let now_ms = context.unix_ms();
    // Ids and tenants are decoded text; letters borrow them.
    let texts: Vec<_> = letters
        .iter()
        .map(|letter| {
            let event = job.event(letter.item);
            let text = |attr| event.attr(attr).and_then(|value| value.text()).unwrap_or_default();
            let tenant = Tenant::new(&text(Attr::Tenant)).unwrap_or_default();
            let owner = &*instance.settings.owner;
            let owner = if event.tenant().is_some() { Cow::Borrowed(owner) } else { Cow::Owned(format!("{OWN}{owner}")) };
            (owner, text(Attr::Id), text(Attr::Type), tenant, i64::try_from(event.received() / 1_000_000).unwrap_or(i64::MAX))
        })
        .collect();
    let new: Vec<_> = letters
        .iter()
        .zip(&texts)
        .map(|(letter, (owner, id, event_type, tenant, received_ms))| NewDeadLetter {
            lane: &lane.id,
            tenant,
            owner,
            event_id: id,
            event_type,
            seq: job.seq(letter.item),
            cause: letter.cause,
            reason: &letter.reason,
            attempts: letter.tries.attempts,
            attempt_log: letter.tries.log.as_deref().unwrap_or_default().to_vec(),
            received_ms: *received_ms,
            first_ms: now_ms - letter.tries.elapsed_ms,
            last_ms: letter.tries.log.as_deref().and_then(|log| log.last()).map_or(now_ms, |last| last.at_ms),
            added_ms: now_ms,
            connector: &instance.settings.connector,
            event: job.stored(letter.item),
            letter: job.event(letter.item).letter(),
        })
        .collect();
    let dropped = context.parts.dead_letters.add(&new).await?;
    if dropped > 0 {
        let own = (0..letters.len()).all(|i| job.event(letters[i].item).shape() == Shape::Own);
        (context.parts.notices)(Notice::DeadLettersDropped { by: "drop_oldest", count: dropped, own });
    }
    Ok(())
}

/// Keeps the lane stopped while it lives, whatever ends the wait.
struct Full<'a> {
    context: &'a Context,
    lane: &'a LaneShared,
    told: bool,
}

impl Full<'_> {
    fn tell(&mut self, error: &StoreError) {
        if self.told {
            return;
        }
        self.told = true;
        self.lane.full.fetch_add(1, Ordering::Relaxed);
        self.lane.fail(self.context.unix_ms(), "dead-letters-full", &error.to_string());
        tracing::error!(lane = %self.lane.id, %error, "lane stopped: dead letters cannot be kept");
        (self.context.parts.notices)(Notice::DeadLettersFull { lane: self.lane.id.clone() });
    }
}

impl Drop for Full<'_> {
    fn drop(&mut self) {
        if self.told {
            self.lane.full.fetch_sub(1, Ordering::Relaxed);
            tracing::info!(lane = %self.lane.id, "dead letters can be kept again");
            (self.context.parts.notices)(Notice::DeadLettersRoom { lane: self.lane.id.clone() });
        }
    }
}
