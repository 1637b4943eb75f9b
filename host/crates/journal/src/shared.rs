//! What the committer, the keeper, readers and lanes of one journal hold in common.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bulkhead_core::{Clock, Seq};

use crate::error::AppendError;
use crate::fs::{File, Fs, LockGuard};
use crate::keeper::Signal;
use crate::lane::Lane;
use crate::layout::HEADER_BLOCK;
use crate::queue::Queue;
use crate::segment::{Catalog, Segment};
use crate::settings::{Keep, Observer, Stats};
use crate::stored::Form;
use crate::tail::Tail;

/// A segment file made ahead of time, without a name of its own.
pub(crate) struct Spare {
    pub path: PathBuf,
    pub file: Arc<dyn File>,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub appends: AtomicU64,
    pub events: AtomicU64,
    pub bytes: AtomicU64,
    pub syncs: AtomicU64,
    pub deleted: AtomicU64,
    pub dropped: AtomicU64,
    pub lost: AtomicU64,
}

pub(crate) struct Shared {
    pub fs: Arc<dyn Fs>,
    pub dir: PathBuf,
    pub clock: Arc<dyn Clock>,
    pub observer: Option<Arc<dyn Observer>>,
    pub max_bytes: u64,
    /// Size of new segments.
    pub segment_size: u64,
    /// How frames are written and read.
    pub form: Form,
    pub queue: Queue,
    pub tail: Tail,
    pub catalog: Catalog,
    /// Held while a spare is made, so that who needs one waits instead of making a second.
    pub spare: Mutex<Option<Spare>>,
    /// Bytes of segment files, the spare included.
    pub used: AtomicU64,
    pub lanes: Mutex<BTreeMap<String, Arc<Lane>>>,
    pub lanes_ready: AtomicBool,
    pub keep: Keep,
    /// Where those read who must find what is behind it; by number.
    pub holds: Mutex<BTreeMap<u64, u64>>,
    pub keeper: Signal,
    pub counters: Counters,
    /// Numbers files that have no name of their own yet.
    pub made: AtomicU64,
    /// Set for good by a failed sync.
    pub fault: OnceLock<AppendError>,
    pub closed: AtomicBool,
    /// Readers read on the thread that asks: in a simulation nothing happens beside it.
    pub reads_inline: AtomicBool,
    pub lock: Mutex<Option<LockGuard>>,
}

impl Shared {
    /// Takes bytes of the quota for a new segment file. What is only kept makes room.
    pub fn claim(&self, bytes: u64) -> Result<(), AppendError> {
        loop {
            let claimed = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| used.checked_add(bytes).filter(|sum| *sum <= self.max_bytes));
            match claimed {
                Ok(_) => {
                    self.tell_stored();
                    return Ok(());
                }
                Err(used) if !self.evict() => return Err(AppendError::Full { used, limit: self.max_bytes }),
                Err(_) => {}
            }
        }
    }

    /// Deletes the oldest segment that every lane has settled, whoever wanted to read it again. False
    /// where there is none.
    pub fn evict(&self) -> bool {
        self.delete_settled(|settled, _| settled.len().min(1)) > 0
    }

    /// Deletes as many of the oldest settled segments as `how_many` says, which is given them and the one
    /// behind them: their number.
    pub fn delete_settled(&self, how_many: impl FnOnce(&[Arc<Segment>], Option<&Segment>) -> usize) -> usize {
        if !self.lanes_ready.load(Ordering::Acquire) {
            return 0;
        }
        let taken = {
            // Held, so that no lane is made in the middle of what goes.
            let lanes = self.lanes();
            let settled = lanes.values().map(|lane| lane.durable_cursor()).min().unwrap_or(u64::MAX);
            let (settled, behind) = self.catalog.settled(settled);
            let count = how_many(&settled, behind.as_deref()).min(settled.len());
            self.catalog.take_oldest(count)
        };
        for segment in &taken {
            match self.fs.remove(&segment.path) {
                Ok(()) => {
                    self.give_back(segment.bytes());
                    self.counters.deleted.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.give_back(segment.bytes()),
                // Counted as used, and deleted at the next start.
                Err(error) => tracing::warn!(segment = %segment.path.display(), %error, "cannot delete a settled segment"),
            }
        }
        if !taken.is_empty()
            && let Err(error) = self.fs.sync_dir(&self.dir)
        {
            tracing::warn!(dir = %self.dir.display(), %error, "cannot sync the journal's folder after deleting segments");
        }
        taken.len()
    }

    /// The first place that somebody still wants to read.
    pub fn held(&self) -> Option<u64> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner).values().min().copied()
    }

    pub fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        self.tell_stored();
    }

    fn tell_stored(&self) {
        if let Some(observer) = &self.observer {
            observer.stored(self.used.load(Ordering::Acquire));
        }
    }

    /// Largest frame a segment takes.
    pub fn largest_frame(&self) -> u64 {
        self.segment_size - HEADER_BLOCK as u64
    }

    /// What a failed write means to producers.
    pub fn write_error(&self, segment: &Path, error: io::Error) -> AppendError {
        if crate::fs::no_room(&error) {
            // For whoever tries next.
            self.evict();
            return AppendError::DiskFull { available: self.fs.available(&self.dir).unwrap_or(0) };
        }
        AppendError::Io { segment: segment.into(), source: Arc::new(error) }
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub fn lanes(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Lane>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A name for a file on its way to become a segment. Each is used once: the keeper makes the next
    /// spare while the committer still writes to the last one under its temporary name.
    pub fn temporary(&self) -> PathBuf {
        self.dir.join(format!("segment-{}.tmp", self.made.fetch_add(1, Ordering::Relaxed)))
    }

    pub fn take_spare(&self) -> Option<Spare> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub fn stats(&self) -> Stats {
        let head = self.tail.head();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            head: Seq(head),
            oldest: Seq(self.catalog.oldest().unwrap_or(head + 1)),
            segments: self.catalog.len(),
            bytes: self.used.load(Ordering::Acquire),
            max_bytes: self.max_bytes,
            appends: count(&self.counters.appends),
            events: count(&self.counters.events),
            appended_bytes: count(&self.counters.bytes),
            syncs: count(&self.counters.syncs),
            deleted_segments: count(&self.counters.deleted),
            dropped_from_memory: count(&self.counters.dropped),
            lost_ranges: count(&self.counters.lost),
            fault: self.fault.get().map(|fault| fault.to_string()),
        }
    }
}
