//! What was seen, on disk: a reader of the journal, like a lane, that writes the keys of its events to a
//! log of 16 bytes for each, and lets the journal delete what is in there.
//!
//! So the window outlives the process whatever lanes have settled, nothing of it stands on the way of a
//! request, and a start reads the log and the few frames behind it, not the backlog.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_core::{Clock, Seq};
use bulkhead_journal::{Frame, Journal, LaneError, LaneLog, LaneStart, ReadError, Reader};
use bulkhead_observe::WindowMetrics;
use tokio_util::sync::CancellationToken;

use super::{Key, RepeatSettings, Repeats, key};
use crate::record_log::{Bounds, RecordLog};

/// The lane's name in the journal; no instance can have it.
pub const LANE: &str = "@dedup";
/// Between two writes.
const PACE: Duration = Duration::from_secs(1);
/// Bytes that are written before that.
const WRITE_AT: usize = 1 << 20;
const FILE: u64 = 8 << 20;
/// Keys of one record, so that none is large.
const RECORD: usize = 4_096;

#[derive(Debug, thiserror::Error)]
pub enum OpenRepeatsError {
    #[error("cannot read what was seen of events (journal.dedup_window)")]
    Log(#[from] io::Error),
    #[error(transparent)]
    Lane(#[from] LaneError),
}

/// Writes down what was seen.
pub struct Follower {
    reader: Reader,
    /// Moves to a blocking thread and back.
    kept: Option<Kept>,
    clock: Arc<dyn Clock>,
    window: Duration,
}

struct Kept {
    log: RecordLog,
    lane: LaneLog,
    /// The last event whose key waits to be written.
    last: Option<(Seq, Seq)>,
}

impl Repeats {
    /// Reads what an earlier process saw, from `dir` and the journal. Blocks.
    pub fn open(
        settings: &RepeatSettings,
        dir: &Path,
        journal: &Journal,
        clock: Arc<dyn Clock>,
        metrics: WindowMetrics,
    ) -> Result<(Arc<Self>, Follower), OpenRepeatsError> {
        let repeats = Self::new(settings, Arc::clone(&clock), metrics);
        let (wall, now) = (clock.unix_nanos(), clock.monotonic());
        let age = |time: u64| Duration::from_nanos(wall.saturating_sub(time));
        let bounds = Bounds { file: FILE, total: settings.keys.saturating_mul(Key::BYTES as u64 + 4) + 2 * FILE, age: settings.window };
        let log = RecordLog::open(dir, bounds, |time, payload| {
            let mut seen = repeats.seen();
            for key in payload.as_chunks().0 {
                seen.restore(Key::from_bytes(*key), (), 1, age(time), now);
            }
        })?;
        // More than fit would push each other out.
        let fit = journal.head().0.saturating_sub(settings.keys);
        let since = wall.saturating_sub(u64::try_from(settings.window.as_nanos()).unwrap_or(u64::MAX));
        let start = if journal.lane_names().iter().any(|name| name == LANE) { Seq(0) } else { journal.seq_at(since) };
        let lane = journal.lane(LANE, LaneStart::From(start.max(Seq(fit + 1))))?;
        let after = lane.cursor().max(Seq(fit));
        let mut follower = Follower { reader: journal.reader(after), kept: Some(Kept { log, lane, last: None }), clock, window: settings.window };
        follower.catch_up(|key, time| repeats.seen().restore(key, (), 1, age(time), now));
        let mut seen = repeats.seen();
        let (len, forgotten) = (seen.len(), seen.take_forgotten());
        drop(seen);
        repeats.metrics.set(len, forgotten);
        tracing::info!(events = len, after = after.0, head = journal.head().0, "known for the removal of duplicates");
        Ok((Arc::new(repeats), follower))
    }
}

impl Follower {
    fn catch_up(&mut self, mut each: impl FnMut(Key, u64)) {
        let Some(kept) = &mut self.kept else { return };
        loop {
            match self.reader.try_next() {
                Ok(Some(frame)) => {
                    kept.take(&frame, |key| each(key, frame.time()));
                    if kept.log.pending() >= WRITE_AT {
                        kept.write(self.clock.unix_nanos());
                    }
                }
                Ok(None) | Err(ReadError::Closed) => return,
                // Said by the reader; what cannot be read is not known.
                Err(ReadError::Lost { .. } | ReadError::Gone { .. }) => {}
                Err(error @ ReadError::Io { .. }) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "events that were accepted last are not known for the removal of duplicates");
                    return;
                }
            }
        }
    }

    /// Follows the journal until cancelled; what is known then is on disk when it returns.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut due = None;
        loop {
            let wait = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let frame = tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                () = wait => None,
                frame = self.reader.next() => Some(frame),
            };
            match frame {
                Some(Ok(frame)) => {
                    let Some(kept) = &mut self.kept else { return };
                    kept.take(&frame, |_| {});
                    due.get_or_insert_with(|| tokio::time::Instant::now() + PACE);
                    if kept.log.pending() < WRITE_AT {
                        continue;
                    }
                }
                Some(Err(ReadError::Closed)) => break,
                Some(Err(ReadError::Lost { .. } | ReadError::Gone { .. })) => continue,
                Some(Err(ReadError::Io { .. })) => {
                    tokio::time::sleep(PACE).await;
                    continue;
                }
                None => {}
            }
            due = None;
            self.write().await;
        }
        self.catch_up(|_, _| {});
        self.write().await;
    }

    async fn write(&mut self) {
        let Some(mut kept) = self.kept.take() else { return };
        let now = self.clock.unix_nanos();
        let written = tokio::task::spawn_blocking(move || {
            kept.write(now);
            kept
        });
        // Only a runtime that goes down does not give it back.
        self.kept = written.await.ok();
    }
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("window", &self.window).finish_non_exhaustive()
    }
}

impl Kept {
    fn take(&mut self, frame: &Frame, mut each: impl FnMut(Key)) {
        let mut payload = Vec::with_capacity(frame.len().min(RECORD) * Key::BYTES);
        for index in 0..frame.len() {
            let Some(key) = key(frame.stored(index)) else { continue };
            each(key);
            payload.extend_from_slice(key.as_bytes());
            if payload.len() >= RECORD * Key::BYTES {
                self.log.push(frame.time(), &payload);
                payload.clear();
            }
        }
        if !payload.is_empty() {
            self.log.push(frame.time(), &payload);
        }
        let first = self.last.map_or(frame.first(), |(first, _)| first);
        self.last = Some((first, frame.last()));
    }

    fn write(&mut self, now: u64) {
        if let Err(error) = self.log.write(now) {
            // The events are safe whatever becomes of this, and the journal must not fill up for it.
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot write down which events were seen; after a restart they could be taken again");
        }
        let Some((first, last)) = self.last.take() else { return };
        // What was passed over at the start is settled as well.
        self.lane.settle(Seq(self.lane.cursor().0 + 1).min(first), last);
        if let Err(error) = self.lane.flush() {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot write the log of lane {LANE}");
        }
    }
}
