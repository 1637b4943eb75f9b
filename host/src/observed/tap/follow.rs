//! Reads the end of the journal while somebody listens, beside the lanes: delivery has nothing to do with it. Looks
//! at [`LOOKS`] events a second at most and leaves the rest out, counted.

use std::time::Duration;

use bulkhead_core::{Seq, TokenBucket};
use bulkhead_journal::{Frame, ReadError};
use tokio_util::sync::CancellationToken;

use super::Tap;

/// Events a second that are looked at.
const LOOKS: u64 = 20_000;
/// Events that may lie before the end; beyond that the rest is passed over.
const BEHIND: u64 = 100_000;
const TICK: Duration = Duration::from_secs(1);
/// Events looked at before others have their turn on the thread.
const TURN: usize = 64;

pub(super) async fn run(tap: Tap, stop: CancellationToken) {
    let mut begun = tap.0.begun.subscribe();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = begun.changed() => if changed.is_err() { return },
        }
        let from = *begun.borrow_and_update();
        // Somebody may have come and gone while others listened.
        if tap.is_wanted() && !watch(&tap, from, &stop).await {
            return;
        }
    }
}

/// Until nobody listens any more; false where it has ended for good.
async fn watch(tap: &Tap, from: Seq, stop: &CancellationToken) -> bool {
    let journal = &tap.0.journal;
    let mut reader = journal.reader(from);
    let mut look = tap.0.routing.look();
    let mut looks = TokenBucket::per_second(LOOKS);
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let read = tokio::select! {
            biased;
            () = stop.cancelled() => return false,
            _ = ticks.tick() => {
                tap.tidy();
                if !tap.is_wanted() {
                    return true;
                }
                continue;
            }
            read = reader.next() => read,
        };
        match read {
            Ok(frame) => {
                if look.is_stale(&tap.0.routing) {
                    look = tap.0.routing.look();
                }
                show(tap, &mut look, &mut looks, &frame).await;
                let (position, head) = (reader.position().0, journal.head().0);
                if head.saturating_sub(position) > BEHIND {
                    tap.leave_out(head + 1 - position);
                    reader.seek(Seq(head));
                }
            }
            Err(ReadError::Lost { first, last, .. } | ReadError::Gone { first, last, .. }) => tap.leave_out(last.0.saturating_sub(first.0) + 1),
            Err(ReadError::Closed) => return false,
            Err(ReadError::Io { .. }) => tokio::time::sleep(TICK).await,
        }
    }
}

async fn show(tap: &Tap, look: &mut bulkhead_deliver::Look, looks: &mut TokenBucket, frame: &Frame) {
    let interests = tap.interests();
    if !interests.iter().any(|interest| interest.filter.wants_accepted()) {
        return;
    }
    for (index, (seq, event)) in frame.events().enumerate() {
        if looks.take(tap.0.clock.monotonic()).is_err() {
            tap.leave_out((frame.len() - index) as u64);
            return;
        }
        if index % TURN == TURN - 1 {
            tokio::task::yield_now().await;
        }
        tap.accepted(&interests, look, seq.0, &event);
    }
}
