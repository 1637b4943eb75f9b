//! The handle that the other rooms hold: appending, readers, lanes, closing.

use std::fmt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bulkhead_core::Seq;
use tokio::sync::oneshot;

use crate::error::{AppendError, LaneError, OpenError};
use crate::frame::AppendBatch;
use crate::fs::Fs;
use crate::lane::{Lane, LaneLog, LaneStart, RetryEntry};
use crate::queue::Pending;
use crate::reader::Reader;
use crate::recover;
use crate::settings::{Appended, Compression, Durability, JournalSettings, Recovery, Stats};
use crate::shared::Shared;
use crate::stored::Stored;

/// An open journal. Clones share it; it ends with [`close`](Self::close), or with the last clone.
#[derive(Clone)]
pub struct Journal(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    threads: Mutex<Threads>,
}

#[derive(Default)]
struct Threads {
    committer: Option<JoinHandle<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl Journal {
    /// Opens the journal in a folder, or makes one. Blocks for about the time to read one segment.
    pub fn open(settings: JournalSettings, fs: Arc<dyn Fs>) -> Result<(Self, Recovery), OpenError> {
        let dir = settings.dir.clone();
        let opened = recover::open(settings, fs)?;
        let recovery = opened.recovery;
        if recovery.torn_bytes > 0 {
            tracing::warn!(bytes = recovery.torn_bytes, last = recovery.last.0, "cut an unfinished append off the journal; it was never acknowledged");
        }
        if recovery.damaged > 0 {
            tracing::error!(places = recovery.damaged, "the last segment of the journal is damaged inside; readers report what is lost");
        }
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.into()).spawn(run);
            thread.map(Some).map_err(OpenError::io("start a thread for", &dir))
        };
        let journal = Self::without_threads(opened.shared.clone());
        let (committer, keeper) = (opened.committer, opened.keeper);
        // Should the second not start, dropping `journal` ends the first.
        let committer = spawn("journal-commit", Box::new(move || committer.run()))?;
        let keeper = spawn("journal-keep", Box::new(move || keeper.run()))?;
        *journal.0.threads.lock().unwrap_or_else(PoisonError::into_inner) = Threads { committer, keeper };
        Ok((journal, recovery))
    }

    pub(crate) fn without_threads(shared: Arc<Shared>) -> Self {
        Self(Arc::new(Handle { shared, threads: Mutex::default() }))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    #[cfg(test)]
    pub(crate) fn lane_for_tests(&self, name: &str) -> Option<Arc<Lane>> {
        self.shared().lanes().get(name).cloned()
    }

    /// Appends a batch: as a whole, or not at all. Waits while the queue is full, then for what
    /// `durability` says.
    ///
    /// Cancel safe in this sense: dropped before it was queued, nothing is appended; dropped after,
    /// the batch is appended and nobody hears of it. After an error of class `Operator`, as after a
    /// crash, the batch may still be there at the next start.
    pub async fn append(&self, batch: AppendBatch, durability: Durability) -> Result<Appended, AppendError> {
        self.append_patiently(batch, durability, |_| std::future::ready(false)).await
    }

    /// The same for producers that have nobody to give a batch back to. `again` hears of each refusal
    /// that passes by itself (a full quota or disk), waits as it likes, and says whether to try again.
    /// The frame is made once. Cancel safe in the same sense.
    pub async fn append_patiently<F>(
        &self,
        batch: AppendBatch,
        durability: Durability,
        mut again: impl FnMut(AppendError) -> F,
    ) -> Result<Appended, AppendError>
    where
        F: Future<Output = bool>,
    {
        let shared = self.shared();
        let (length, limit) = (batch.frame_length(), shared.largest_frame());
        if batch.is_empty() {
            return Err(AppendError::Empty);
        }
        if length + shared.form.room() > limit {
            return Err(AppendError::TooLarge { bytes: length, limit });
        }
        // Packed it waits in both forms.
        let packs = shared.form.compression != Compression::None;
        // The checksum is made and the frame packed here: producers are many, the committer is one.
        let (mut bytes, header) = batch.seal();
        loop {
            if let Some(fault) = shared.fault.get() {
                return Err(fault.clone());
            }
            let cost = shared.queue.reserve(if packs { length * 2 } else { length }).await?;
            let stored = Stored::new(&bytes, &header, &shared.form);
            let (answer, reply) = oneshot::channel();
            shared.queue.push(Pending { bytes, header, stored, durability, answer: Some(answer), cost });
            let error = match reply.await {
                Ok(Ok(appended)) => return Ok(appended),
                Ok(Err((error, back))) => {
                    bytes = back;
                    error
                }
                Err(_) => return Err(AppendError::Closed),
            };
            let passes = matches!(error, AppendError::Full { .. } | AppendError::DiskFull { .. });
            if !passes || !again(error.clone()).await {
                return Err(error);
            }
        }
    }

    /// Bytes of stored events that one append may hold, roughly: a batch below this is never `TooLarge`.
    pub fn largest_append(&self, events: usize) -> usize {
        let shared = self.shared();
        let room = shared.largest_frame().saturating_sub(shared.form.room() + crate::layout::FRAME_HEADER as u64 + 4 * events as u64 + 8);
        usize::try_from(room).unwrap_or(usize::MAX)
    }

    /// A reader of everything behind `after`.
    pub fn reader(&self, after: Seq) -> Reader {
        Reader::new(self.shared().clone(), after)
    }

    /// Opens a lane's log; a lane that is new starts at `start` and is on disk when this returns.
    /// Blocks for a moment.
    pub fn lane(&self, name: &str, start: LaneStart) -> Result<LaneLog, LaneError> {
        let shared = self.shared();
        if shared.is_closed() {
            return Err(LaneError::Closed);
        }
        // Held while a lane is made: what it starts with is not deleted meanwhile.
        let mut lanes = shared.lanes();
        let lane = match lanes.get(name) {
            Some(lane) => lane.clone(),
            None => {
                let head = shared.tail.head();
                let cursor = match start {
                    LaneStart::Now => head,
                    LaneStart::From(seq) => self.cursor_before(seq),
                    LaneStart::Since(nanos) => {
                        if let Some(reaches) = self.oldest_time().filter(|reaches| nanos < *reaches && shared.catalog.oldest() > Some(1)) {
                            tracing::warn!(
                                lane = name,
                                since = nanos,
                                reaches,
                                "the journal does not reach back to where the lane should start; it starts with the oldest event there is (ns since 1970)"
                            );
                        }
                        self.cursor_before(self.seq_at(nanos))
                    }
                };
                let lane = Arc::new(Lane::create(&*shared.fs, &shared.dir, name, Seq(cursor))?);
                lanes.insert(name.into(), lane.clone());
                lane
            }
        };
        lane.readable()?;
        if lane.open.swap(true, Ordering::AcqRel) {
            return Err(LaneError::InUse { lane: name.into() });
        }
        Ok(LaneLog::new(lane, shared.clone()))
    }

    /// The cursor of a lane that is to read this event first, or the oldest still stored.
    fn cursor_before(&self, seq: Seq) -> u64 {
        let head = self.shared().tail.head();
        let before = self.shared().catalog.oldest().map_or(head, |oldest| oldest - 1);
        seq.0.saturating_sub(1).max(before).min(head)
    }

    /// Keeps what lies behind `after` from being deleted because every lane has settled it, for as long as
    /// the hold lives. New events have precedence: where the journal is full, it goes all the same.
    pub fn hold(&self, after: Seq) -> Hold {
        let shared = self.shared().clone();
        let number = shared.made.fetch_add(1, Ordering::Relaxed);
        shared.holds.lock().unwrap_or_else(PoisonError::into_inner).insert(number, after.0.saturating_add(1));
        Hold { shared, number }
    }

    /// Says that every lane there is to be is open: segments below every lane's cursor may go.
    pub fn lanes_ready(&self) {
        self.shared().lanes_ready.store(true, Ordering::Release);
        self.shared().keeper.now();
    }

    /// The lanes that have a log, open or not: each of them keeps segments from being deleted.
    pub fn lane_names(&self) -> Vec<String> {
        self.shared().lanes().keys().cloned().collect()
    }

    /// Events that a lane has not settled; None for no lane of this name or an unreadable log.
    pub fn lane_backlog(&self, name: &str) -> Option<u64> {
        self.lane_backlog_to(name, self.head())
    }

    /// The same of the events up to `head`.
    pub fn lane_backlog_to(&self, name: &str, head: Seq) -> Option<u64> {
        let lane = self.shared().lanes().get(name).cloned()?;
        lane.look(|state| state.backlog(head))
    }

    /// Whether a lane is done with an event; None for no lane of this name or an unreadable log.
    pub fn lane_settled(&self, name: &str, seq: Seq) -> Option<bool> {
        let lane = self.shared().lanes().get(name).cloned()?;
        lane.look(|state| state.is_settled(seq))
    }

    /// The attempts that a lane made for an event that waits for another; `None` where it does not wait.
    pub fn lane_retry(&self, name: &str, seq: Seq) -> Option<RetryEntry> {
        let lane = self.shared().lanes().get(name).cloned()?;
        lane.look(|state| state.retry_of(seq)).flatten()
    }

    /// Forgets a lane that is not open, with all it has not settled. Blocks for a moment.
    pub fn remove_lane(&self, name: &str) -> Result<(), LaneError> {
        let shared = self.shared();
        if shared.is_closed() {
            return Err(LaneError::Closed);
        }
        let mut lanes = shared.lanes();
        let lane = lanes.get(name).ok_or_else(|| LaneError::Missing { lane: name.into() })?;
        if lane.open.swap(true, Ordering::AcqRel) {
            return Err(LaneError::InUse { lane: name.into() });
        }
        if let Err(source) = lane.remove(&*shared.fs) {
            lane.open.store(false, Ordering::Release);
            return Err(LaneError::Io { action: "remove", lane: name.into(), source });
        }
        lanes.remove(name);
        drop(lanes);
        shared.keeper.now();
        Ok(())
    }

    /// The last event that readers can see.
    pub fn head(&self) -> Seq {
        Seq(self.shared().tail.head())
    }

    pub fn stats(&self) -> Stats {
        self.shared().stats()
    }

    /// About how many bytes of segments lie behind `after`: what a lane with this cursor holds on to.
    pub fn bytes_after(&self, after: Seq) -> u64 {
        let Some(next) = after.0.checked_add(1).filter(|next| *next <= self.shared().tail.head()) else { return 0 };
        let catalog = &self.shared().catalog;
        let within = catalog.find(next);
        let from = within.as_ref().map_or(0, |segment| segment.first);
        let all: u64 = catalog.all().iter().filter(|segment| segment.first >= from).map(|segment| segment.extent().end).sum();
        all - within.map_or(0, |segment| segment.locate(next).min(segment.extent().end))
    }

    /// The first event accepted at or after a wall time (nanoseconds since 1970), or the one that
    /// will come next. Reads the disk on this thread; what is unreadable is passed over.
    pub fn seq_at(&self, nanos: u64) -> Seq {
        crate::lookup::seq_at(self.shared(), nanos)
    }

    /// When the oldest event that can be read was accepted, nanoseconds since 1970. Reads the disk on this
    /// thread.
    pub fn oldest_time(&self) -> Option<u64> {
        crate::lookup::oldest_time(self.shared())
    }

    /// Takes no more appends, commits those that wait, syncs the lanes' logs and lets go of the folder.
    /// Lanes must have been flushed or dropped before. Not cancel safe: call it once, at the end.
    pub async fn close(&self) {
        let shared = self.shared().clone();
        shared.queue.close();
        let threads = std::mem::take(&mut *self.0.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let ended = tokio::task::spawn_blocking(move || {
            let committer = threads.committer.is_none_or(|thread| thread.join().is_ok());
            shared.keeper.stop();
            let keeper = threads.keeper.is_none_or(|thread| thread.join().is_ok());
            shared.finish();
            committer && keeper
        });
        if !ended.await.unwrap_or(false) {
            tracing::error!("a thread of the journal ended before its time");
        }
    }

    /// The folder of this journal.
    pub fn dir(&self) -> &Path {
        &self.shared().dir
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("dir", &self.dir()).field("head", &self.head()).finish_non_exhaustive()
    }
}

/// Events that somebody is about to read. Dropped, they may go.
pub struct Hold {
    shared: Arc<Shared>,
    number: u64,
}

impl Hold {
    /// What lies at or before `after` is not needed any more.
    pub fn advance(&mut self, after: Seq) {
        let mut holds = self.shared.holds.lock().unwrap_or_else(PoisonError::into_inner);
        let before = holds.insert(self.number, after.0.saturating_add(1));
        drop(holds);
        // Only a step into another segment lets one go.
        let segment = |seq: u64| self.shared.catalog.find(seq).map(|segment| segment.first);
        if before.and_then(segment) != segment(after.0.saturating_add(1)) {
            self.shared.keeper.now();
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.holds.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
        self.shared.keeper.now();
    }
}

impl Shared {
    /// Nothing is written from here on.
    fn finish(&self) {
        self.closed.store(true, Ordering::Release);
        self.tail.close();
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The threads end by themselves and the lock goes with the last who shares it.
        self.shared.queue.close();
        self.shared.keeper.stop();
        self.shared.tail.close();
    }
}
