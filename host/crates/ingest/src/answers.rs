//! Answers kept for their `Idempotency-Key`: a request that is sent again within the window hears what
//! it was told the first time, and nothing is appended a second time.
//!
//! Only acceptance is kept: what was refused may be tried again under its key. An answer is on disk before
//! it is given, in a log of its own; a crash between the append and that leaves a request that was never
//! answered. Bounded in bytes: beyond them the oldest are forgotten before their time, and counted.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_core::Clock;
use bulkhead_observe::WindowMetrics;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::record_log::{Bounds, RecordLog};
use crate::seen::{Claim, Key, Seen};

/// Bytes of answers that are kept in memory, with what each takes besides its text.
const MEMORY: u64 = 16 << 20;
/// What a kept answer takes besides its text: the tables, the fingerprint, the allocation.
const EACH: u32 = 192;
/// Longest answer that is kept.
pub(crate) const LONGEST: usize = 64 << 10;
const FILE: u64 = 4 << 20;
/// Answers on their way to the disk.
const QUEUE: usize = 1_024;

/// SHA-256 over all that makes a request.
pub(crate) type Fingerprint = [u8; 32];

/// What a request is told that comes with a key.
pub(crate) enum Known {
    New(AnswerClaim),
    /// The first one under this key is not answered yet.
    UnderWay,
    Again(Bytes),
    /// The key stands for another request.
    Reused,
}

/// Answers given lately.
pub struct Answers {
    seen: Mutex<Seen<Arc<Kept>>>,
    clock: Arc<dyn Clock>,
    metrics: WindowMetrics,
    writer: mpsc::Sender<Record>,
}

struct Kept {
    fingerprint: Fingerprint,
    answer: Bytes,
}

struct Record {
    time: u64,
    payload: Vec<u8>,
    written: oneshot::Sender<()>,
}

impl Answers {
    /// Reads what an earlier process answered; a thread writes from then on, until the last of these goes.
    /// Blocks.
    pub fn open(window: Duration, dir: &Path, clock: Arc<dyn Clock>, metrics: WindowMetrics) -> io::Result<Arc<Self>> {
        let mut seen = Seen::new(window, MEMORY);
        let (wall, now) = (clock.unix_nanos(), clock.monotonic());
        let bounds = Bounds { file: FILE, total: MEMORY + 2 * FILE, age: window };
        let log = RecordLog::open(dir, bounds, |time, payload| {
            let Some((key, rest)) = payload.split_first_chunk() else { return };
            let Some((fingerprint, answer)) = rest.split_first_chunk() else { return };
            let kept = Kept { fingerprint: *fingerprint, answer: Bytes::copy_from_slice(answer) };
            let weight = kept.weight();
            seen.restore(Key::from_bytes(*key), Arc::new(kept), weight, Duration::from_nanos(wall.saturating_sub(time)), now);
        })?;
        metrics.set(seen.len(), seen.take_forgotten());
        let (writer, records) = mpsc::channel(QUEUE);
        let wall = Arc::clone(&clock);
        std::thread::Builder::new().name("answers".into()).spawn(move || write(log, records, &*wall))?;
        Ok(Arc::new(Self { seen: Mutex::new(seen), clock, metrics, writer }))
    }

    pub(crate) fn claim(self: &Arc<Self>, key: Key, fingerprint: Fingerprint) -> Known {
        let now = self.clock.monotonic();
        match self.seen().claim(key, now) {
            Claim::New => Known::New(AnswerClaim { answers: Arc::clone(self), key, fingerprint }),
            Claim::UnderWay => Known::UnderWay,
            Claim::Seen(kept) if kept.fingerprint == fingerprint => Known::Again(kept.answer.clone()),
            Claim::Seen(_) => Known::Reused,
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen<Arc<Kept>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn weight(&self) -> u32 {
        u32::try_from(self.answer.len()).unwrap_or(u32::MAX).saturating_add(EACH)
    }
}

/// A key whose request is under way; given up where it is dropped.
pub(crate) struct AnswerClaim {
    answers: Arc<Answers>,
    key: Key,
    fingerprint: Fingerprint,
}

impl AnswerClaim {
    /// Keeps the answer; it is on disk when this returns, as far as the disk takes it.
    pub async fn keep(self, answer: Bytes) {
        let answers = &self.answers;
        let mut payload = Vec::with_capacity(Key::BYTES + self.fingerprint.len() + answer.len());
        payload.extend_from_slice(self.key.as_bytes());
        payload.extend_from_slice(&self.fingerprint);
        payload.extend_from_slice(&answer);
        let (written, wait) = oneshot::channel();
        if answers.writer.send(Record { time: answers.clock.unix_nanos(), payload, written }).await.is_ok() {
            let _ = wait.await;
        }
        let kept = Kept { fingerprint: self.fingerprint, answer };
        let weight = kept.weight();
        let mut seen = answers.seen();
        seen.keep(self.key, Arc::new(kept), weight, answers.clock.monotonic());
        let (len, forgotten) = (seen.len(), seen.take_forgotten());
        drop(seen);
        answers.metrics.set(len, forgotten);
    }
}

impl Drop for AnswerClaim {
    fn drop(&mut self) {
        // Nothing for one that was kept.
        self.answers.seen().forget(&self.key);
    }
}

/// Writes what waits with one sync.
fn write(mut log: RecordLog, mut records: mpsc::Receiver<Record>, clock: &dyn Clock) {
    let mut waiting = Vec::new();
    while records.blocking_recv_many(&mut waiting, 256) > 0 {
        for record in &waiting {
            log.push(record.time, &record.payload);
        }
        if let Err(error) = log.write(clock.unix_nanos()) {
            // Their events are safe; only after a restart would the same key append again.
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot write down answers for their idempotency keys");
        }
        for record in waiting.drain(..) {
            let _ = record.written.send(());
        }
    }
}

#[cfg(test)]
mod tests;
