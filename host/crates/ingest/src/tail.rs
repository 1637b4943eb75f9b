//! Files as intake: every line of the files that match a pattern is an event.
//!
//! Promises: a line counts as read once it is in the journal; after a crash lines are read twice rather than
//! not at all, and the second time they carry the ids of the first. A file that is renamed goes on, one that
//! is cut or replaced begins anew. A full journal stops the reading, which goes on by itself. Lines beyond
//! the limit come in pieces; the last line waits for its end, unless the file is gone.
//!
//! Refuses: links and directories that the operator did not name, what is no regular file, a second
//! name for what one name reads. Bounded: files, open files, bytes read at once, how often positions are
//! written. It looks at the files again and again (`interval`), on the disk of any system.

mod follower;
mod glob;
mod position;
mod serve;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulkhead_core::Tenant;

use crate::text::LineFormat;

pub use glob::Pattern;
pub use serve::serve_files;

/// Most files of one entry.
pub(crate) const MAX_FILES: usize = 10_000;
/// Unreadable files that a status names.
const NAMED: usize = 20;

/// Where the files begin that are there when an entry is used for the first time. Files that come later
/// are read from their beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Beginning,
    End,
}

/// One entry of `listen.files`.
#[derive(Debug, Clone)]
pub struct FilesSettings {
    /// Name of the entry; its positions go by it.
    pub name: String,
    pub paths: Vec<Pattern>,
    pub exclude: Vec<Pattern>,
    pub start: Start,
    pub format: LineFormat,
    /// Longest line in bytes; longer ones come in pieces.
    pub max_line: usize,
    /// Between two looks at the files.
    pub interval: Duration,
    pub max_open: usize,
    pub follow_symlinks: bool,
    pub tenant: Tenant,
}

/// What an entry does now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilesStatus {
    pub followed: usize,
    pub open: usize,
    /// Bytes that are in the files and not in the journal.
    pub behind: u64,
    /// Files and directories that cannot be read, and why: the first 20.
    pub unreadable: Vec<(String, String)>,
    /// All of them.
    pub unreadable_count: usize,
    /// Files beyond the most that one entry follows.
    pub beyond: usize,
    /// The journal is full, and nothing is read.
    pub blocked: bool,
    /// Why nothing is read any more.
    pub stopped: Option<String>,
}

/// For those who want to see it; cheap to clone.
#[derive(Debug, Clone)]
pub struct FilesHandle {
    pub name: Arc<str>,
    status: Arc<Mutex<FilesStatus>>,
    blocked: Arc<AtomicBool>,
}

impl FilesHandle {
    pub fn new(settings: &FilesSettings) -> Self {
        Self { name: settings.name.as_str().into(), status: Arc::default(), blocked: Arc::default() }
    }

    pub fn status(&self) -> FilesStatus {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        FilesStatus { blocked: self.blocked.load(Ordering::Relaxed), ..status }
    }

    fn set(&self, change: impl FnOnce(&mut FilesStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What people want to know of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilesNotice {
    Unreadable {
        files: Arc<str>,
        path: String,
        error: String,
    },
    /// It can be read again, or is gone.
    Recovered {
        files: Arc<str>,
        path: String,
    },
    Stopped {
        files: Arc<str>,
        error: String,
    },
}
