//! Dead letters back to their lanes. A replayed event goes into the journal once more, bound to the one
//! lane that gave it up: from there it is an accepted event like any other, durable before its letter is
//! deleted. It keeps its id and all attributes; its time of receipt is that of the replay.

use std::collections::HashSet;
use std::sync::Arc;

use bulkhead_core::{Attr, Clock, EventBuilder, EventRef, LaneId};
use bulkhead_journal::{AppendBatch, AppendError, Durability, Journal};
use bulkhead_store::{DeadLetter, DeadLetterFilter, DeadLetters, StoreError};

/// Letters in one append.
const PAGE: u32 = 500;

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Journal(#[from] AppendError),
}

/// What a replay did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    pub events: u64,
    /// Letters of lanes that the configuration does not have any more; they stay.
    pub without_lane: u64,
    /// Letters whose event cannot be read; they stay.
    pub unreadable: u64,
}

/// Hands letters to their lanes. Cancelled, some may be handed over and still be in the store: they come
/// twice, as after a crash.
pub async fn replay(
    letters: &DeadLetters,
    journal: &Journal,
    clock: &Arc<dyn Clock>,
    lanes: &HashSet<LaneId>,
    filter: &DeadLetterFilter,
) -> Result<Replayed, ReplayError> {
    let mut done = Replayed::default();
    let mut after = None;
    loop {
        let page = letters.list(filter, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(done) };
        after = Some(last.id);
        let mut batch = AppendBatch::new();
        let mut ids = Vec::new();
        for letter in &page {
            if !lanes.contains(&letter.lane) {
                done.without_lane += 1;
                continue;
            }
            let Some(whole) = letters.get(letter.id).await? else { continue };
            if write(&whole, clock.unix_nanos(), &mut batch) {
                ids.push(letter.id);
            } else {
                done.unreadable += 1;
            }
        }
        if ids.is_empty() {
            continue;
        }
        journal.append(batch, Durability::Fsync).await?;
        done.events += ids.len() as u64;
        letters.delete(&DeadLetterFilter { ids, ..DeadLetterFilter::default() }).await?;
    }
}

fn write(letter: &DeadLetter, now: u64, batch: &mut AppendBatch) -> bool {
    let Some(event) = letter.event.as_deref().and_then(|stored| EventRef::new(stored).ok()) else { return false };
    let mut builder = EventBuilder::new();
    builder.start_from(&event);
    builder.text(Attr::Lane, &letter.lane.to_string());
    let written = builder.finish(event.shape(), event.severity(), now, event.original(), batch.buffer());
    written.is_ok() && batch.push_event().is_ok()
}
