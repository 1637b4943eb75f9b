//! The journal: every accepted event once, on disk, read by lanes with cursors of their own.
//!
//! * An append is answered once it is as durable as its producer asked for; by default that is after
//!   fsync, shared by all who wait (`commit`). It is kept as a whole or not at all.
//! * What was acknowledged is read back byte for byte, in order, or reported as lost, never passed
//!   over in silence (`reader`, `walk`). A torn tail, never acknowledged, is cut at start and
//!   reported (`recover`). The layout of segments is drawn in `layout`.
//! * Each lane's progress is a log of its own (`lane`). Segments go once every lane is past them, or
//!   later where the operator keeps them to be read again; new events have precedence (`keeper`).
//! * A full disk or quota refuses appends until there is room; a failed fsync refuses them for good.
//!
//! It refuses: changing or removing single events, queries, several processes at one folder.

mod commit;
mod error;
mod frame;
pub mod fs;
mod journal;
mod keeper;
mod lane;
mod layout;
mod lookup;
mod queue;
mod reader;
mod recover;
mod segment;
mod settings;
mod shared;
pub mod sim;
mod stored;
mod tail;
pub mod tools;
mod walk;

pub use error::{AppendError, LaneError, OpenError, ReadError};
pub use frame::{AppendBatch, Frame};
pub use fs::{Fs, LockGuard, RealFs};
pub use journal::{Hold, Journal};
pub use lane::{LaneLog, LaneStart, LaneState, RetryEntry};
pub use layout::HeaderFault;
pub use reader::Reader;
pub use settings::{Appended, Compression, Durability, JournalSettings, Keep, Observer, Recovery, Stats};

/// Keeps hosts off a journal's folder for as long as the answer lives: for tools that want nobody to run. Nothing
/// where there is no such folder.
pub fn keep_off(dir: &std::path::Path) -> Result<Option<LockGuard>, OpenError> {
    if dir.is_dir() { recover::lock(&RealFs, dir).map(Some) } else { Ok(None) }
}

#[cfg(test)]
mod tests;
