//! Why something did not work. `Display` speaks for this layer only; causes are in `source()`.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bulkhead_core::{FailureClass, Seq};
use bulkhead_seal::KeyId;

use crate::layout::HeaderFault;

/// Why a journal cannot be opened, or looked at by the offline tools.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the journal {} is in use by another process; stop it, or give this one a data_dir of its own", dir.display())]
    InUse { dir: PathBuf },
    #[error("journal.max_bytes is {max_bytes}, too small: set at least {least}")]
    TooSmall { max_bytes: u64, least: u64 },
    #[error(
        "segment {}: {fault}; without it the next sequence number is unknown. Nothing was changed. \
         Restore the file, or run `bulkhead journal repair` to set it aside and lose the events in it",
        path.display()
    )]
    Unreadable { path: PathBuf, fault: HeaderFault },
    #[error(
        "the journal {} holds events that are sealed with {}",
        dir.display(), bulkhead_seal::missing(missing)
    )]
    KeyMissing { dir: PathBuf, missing: Vec<KeyId> },
    #[error("no journal at {}", dir.display())]
    Missing { dir: PathBuf },
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// Why events are not durable. All of a batch are, or none.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    #[error("the journal is full: {used} of {limit} bytes in use (journal.max_bytes); it goes on once lanes have delivered")]
    Full { used: u64, limit: u64 },
    #[error("the disk below the journal is full: {available} bytes left")]
    DiskFull { available: u64 },
    #[error("cannot sync segment {}; the journal takes nothing more until the disk is mended and the service started again", segment.display())]
    Sync {
        segment: PathBuf,
        #[source]
        source: Arc<io::Error>,
    },
    #[error("cannot write segment {}", segment.display())]
    Io {
        segment: PathBuf,
        #[source]
        source: Arc<io::Error>,
    },
    #[error("a batch of {bytes} bytes is larger than a segment of the journal takes ({limit} bytes): send fewer events at once")]
    TooLarge { bytes: u64, limit: u64 },
    #[error("a batch without events")]
    Empty,
    #[error("the journal is closed")]
    Closed,
}

impl AppendError {
    /// The one thing callers branch on.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Full { .. } | Self::DiskFull { .. } | Self::Closed => FailureClass::Retry,
            Self::TooLarge { .. } | Self::Empty => FailureClass::Permanent,
            // After a failed fsync the kernel may have dropped the dirty pages, so a retry would lie.
            Self::Sync { .. } | Self::Io { .. } => FailureClass::Operator,
        }
    }
}

/// Why a reader has no frame to give. After each of these but `Closed` it can be asked again.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// These events were in the journal and cannot be read any more. The reader stands behind them.
    #[error("events {first} to {last} are lost: {reason} ({})", segment.display())]
    Lost { first: Seq, last: Seq, segment: PathBuf, reason: &'static str },
    /// These events were deleted because every lane had settled them. The reader stands behind them.
    #[error("events {first} to {last} were settled by every lane and deleted")]
    Gone { first: Seq, last: Seq },
    /// The reader has not moved: asking again reads again.
    #[error("cannot read segment {}", segment.display())]
    Io {
        segment: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the journal is closed")]
    Closed,
}

/// Why a lane's log does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    #[error("lane {lane} is open already")]
    InUse { lane: String },
    #[error("no lane {lane} in the journal")]
    Missing { lane: String },
    #[error("`{lane}` cannot name a lane: 1 to {limit} bytes, and special characters count three times", limit = crate::lane::MAX_NAME)]
    Name { lane: String },
    #[error(
        "lane log {} is unreadable ({reason}), so where lane {lane} stood is unknown and its events are kept. Restore the file; \
         or move it away, and the lane starts anew where its configuration says",
        path.display()
    )]
    Unreadable { lane: String, path: PathBuf, reason: &'static str },
    /// What was settled is remembered in memory and written with the next flush that works.
    #[error("cannot {action} the log of lane {lane}")]
    Io {
        action: &'static str,
        lane: String,
        #[source]
        source: io::Error,
    },
    #[error("the journal is closed")]
    Closed,
}
