//! What a journal runs on, and what it tells about itself.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_core::{Clock, Seq, SystemClock};
use bulkhead_seal::AtRest;

use crate::error::OpenError;
use crate::layout::HEADER_BLOCK;

/// Smallest segment: with less, rolling over would cost more than writing.
pub(crate) const LEAST_SEGMENT: u64 = 64 << 10;
/// Largest segment, so that offsets within fit 32 bits with room to spare.
pub(crate) const MOST_SEGMENT: u64 = 1 << 30;
/// A quota holds at least this many segments: the one written to, the one ahead, and some to deliver from.
const SEGMENTS_IN_QUOTA: u64 = 4;

pub struct JournalSettings {
    /// The journal's own folder, made where it is missing.
    pub dir: PathBuf,
    /// `journal.max_bytes`: room that segment files may take together. At least 256 KiB.
    pub max_bytes: u64,
    /// Size of a segment file; a quarter of `max_bytes` where that is less.
    pub segment_bytes: u64,
    /// Bytes of recent frames kept in memory for lanes that keep up.
    pub tail_bytes: usize,
    /// Bytes of frames that may wait for the committer; beyond it `append` waits.
    pub queue_bytes: usize,
    /// What stays after every lane has settled it.
    pub keep: Keep,
    pub compression: Compression,
    /// Whether frames are sealed, and the keys.
    pub at_rest: AtRest,
    pub clock: Arc<dyn Clock>,
    pub observer: Option<Arc<dyn Observer>>,
}

/// How long settled events stay, to be read again: as long as both bounds that are set hold, and nothing
/// at all where none is. New events have precedence: where `max_bytes` of the journal or the disk is
/// full, the oldest that are kept go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keep {
    pub max_age: Option<Duration>,
    pub max_bytes: Option<u64>,
}

impl Keep {
    pub(crate) fn anything(&self) -> bool {
        self.max_age.is_some() || self.max_bytes.is_some()
    }
}

impl JournalSettings {
    pub fn new(dir: impl Into<PathBuf>, max_bytes: u64) -> Self {
        Self {
            dir: dir.into(),
            max_bytes,
            segment_bytes: 64 << 20,
            tail_bytes: 16 << 20,
            queue_bytes: 16 << 20,
            keep: Keep::default(),
            compression: Compression::None,
            at_rest: AtRest::default(),
            clock: Arc::new(SystemClock::default()),
            observer: None,
        }
    }

    /// The size of segments that fits the quota.
    pub(crate) fn segment_size(&self) -> Result<u64, OpenError> {
        let least = LEAST_SEGMENT * SEGMENTS_IN_QUOTA;
        if self.max_bytes < least {
            return Err(OpenError::TooSmall { max_bytes: self.max_bytes, least });
        }
        let size = self.segment_bytes.min(self.max_bytes / SEGMENTS_IN_QUOTA).clamp(LEAST_SEGMENT, MOST_SEGMENT);
        Ok(size / HEADER_BLOCK as u64 * HEADER_BLOCK as u64)
    }
}

impl fmt::Debug for JournalSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalSettings")
            .field("dir", &self.dir)
            .field("max_bytes", &self.max_bytes)
            .field("segment_bytes", &self.segment_bytes)
            .field("tail_bytes", &self.tail_bytes)
            .field("compression", &self.compression)
            .field("at_rest", &self.at_rest)
            .finish_non_exhaustive()
    }
}

/// What happens to frames on their way to the disk. Memory holds them as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    #[default]
    None,
    /// Each frame as one LZ4 block, where that is smaller.
    Lz4,
}

/// Hears what the journal does, on its own threads: must not block.
pub trait Observer: Send + Sync {
    /// A group of appends is durable. `seconds` is the time of its write and sync.
    fn committed(&self, appends: u64, events: u64, bytes: u64, seconds: f64);
    /// Segment files now take this many bytes.
    fn stored(&self, bytes: u64);
}

/// When an append is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Once it survives power loss.
    #[default]
    Fsync,
    /// Once it survives the process.
    Os,
    /// Once the committer has taken it; nothing is promised.
    Memory,
}

/// Where the events of an append are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub first: Seq,
    pub last: Seq,
}

/// A moment of the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// The last event readers can see.
    pub head: Seq,
    /// The oldest event still stored; behind `head` where there is none.
    pub oldest: Seq,
    pub segments: usize,
    /// Bytes of segment files, room reserved ahead included, and their quota.
    pub bytes: u64,
    pub max_bytes: u64,
    /// Since the start: appends answered, their events, bytes of their frames.
    pub appends: u64,
    pub events: u64,
    pub appended_bytes: u64,
    pub syncs: u64,
    pub deleted_segments: u64,
    /// Appends whose answer was "in memory" and that could not be written then.
    pub dropped_from_memory: u64,
    /// Ranges of events that readers found unreadable.
    pub lost_ranges: u64,
    /// Why nothing is accepted any more, after a failed sync.
    pub fault: Option<String>,
}

/// What opening found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    pub segments: usize,
    /// The oldest event stored; behind `last` where there is none.
    pub first: Seq,
    /// The last event: new ones come after it.
    pub last: Seq,
    pub lanes: usize,
    /// Bytes of unfinished, never acknowledged appends that were cut off the last segment.
    pub torn_bytes: u64,
    /// Damaged places inside the last segment; readers report the events they cost.
    pub damaged: usize,
    /// Lanes whose log cannot be read; opening one says what to do.
    pub unreadable_lanes: Vec<String>,
}
