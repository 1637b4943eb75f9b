//! A lane's log: what it has settled and what it will try again, on disk.
//!
//! Promises: what a [`flush`](LaneLog::flush) wrote outlives the process; the keeper syncs it within
//! [`SYNC_EVERY`](crate::keeper::SYNC_EVERY), and only what was settled since the last sync can come
//! again after power loss. A log that cannot be written is rewritten as a whole from memory with the
//! next flush, so a full disk costs no state. A log that cannot be read is an error, never a new start.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bulkhead_core::Seq;

use crate::error::LaneError;
use crate::fs::{File, Fs, read_full_at, write_all_at};
use crate::shared::Shared;

mod log;
mod state;
pub use state::{LaneState, RetryEntry};

/// Longest name of a lane, escaped: file systems take 255 bytes, and suffixes follow.
pub(crate) const MAX_NAME: usize = 200;
pub(crate) const LANES_DIR: &str = "lanes";
const SUFFIX: &str = ".log";
/// Settled entries kept in memory before they are written without being asked.
const BUFFER: usize = 64 << 10;
/// A log is rewritten when it is longer than this and than twice what it says.
const REWRITE_AT: u64 = 1 << 20;

/// Where a new lane starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneStart {
    /// With the next event.
    Now,
    /// With this event, or the oldest still stored.
    From(Seq),
    /// With what was accepted at this wall time (ns since 1970) or later, as far as it is still stored.
    Since(u64),
}

/// A lane as the journal knows it, open or not.
pub(crate) struct Lane {
    pub name: String,
    path: PathBuf,
    pub open: AtomicBool,
    dirty: AtomicBool,
    /// The cursor that is on disk: what deletion goes by.
    durable: AtomicU64,
    /// Behind it, without a gap: what the lane does not want. Deletion goes by that too.
    passed: AtomicU64,
    /// One rewrite at a time, and none once the log was removed, which would bring it back. Taken before `inner`.
    rewriting: Mutex<Rewriting>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Rewriting {
    removed: bool,
}

struct Inner {
    /// None: the log cannot be read.
    state: Result<LaneState, &'static str>,
    /// Entries not written yet.
    pending: Vec<u8>,
    /// Some of it waits for a sync; passed places do not.
    matters: bool,
    file: Option<Arc<dyn File>>,
    length: u64,
    /// The cursor that the file says.
    written: u64,
    /// The file does not say what it should: only a rewrite helps.
    broken: bool,
    /// The file is from an earlier process: whether it is on disk as it reads cannot be known (a sync
    /// may have failed there), so the first sync is a rewrite.
    unproven: bool,
    /// Length right after the last rewrite.
    snapshot: u64,
    /// While a rewrite is under way: what was appended to the old file since.
    since: Option<Vec<u8>>,
}

pub(crate) fn escape(name: &str) -> Option<String> {
    let mut out = String::with_capacity(name.len());
    for (index, byte) in name.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' || (byte == b'.' && index > 0) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    (!out.is_empty() && out.len() <= MAX_NAME).then_some(out)
}

pub(crate) fn unescape(file: &str) -> Option<String> {
    let stem = file.strip_suffix(SUFFIX)?;
    let mut out = Vec::with_capacity(stem.len());
    let mut bytes = stem.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            out.push(byte);
        }
    }
    let name = String::from_utf8(out).ok()?;
    // Only names that come from here: others would be written under a second file.
    (escape(&name)? == stem).then_some(name)
}

impl Lane {
    /// A lane whose log exists.
    pub fn load(fs: &dyn Fs, dir: &Path, name: String, file_name: &str, bytes: u64) -> io::Result<Self> {
        let path = dir.join(LANES_DIR).join(file_name);
        let file = fs.open(&path)?;
        let mut contents = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
        let got = read_full_at(&*file, &mut contents, 0)?;
        contents.truncate(got);
        let (state, broken) = match log::load(&contents) {
            Ok(loaded) => {
                if loaded.damaged > 0 {
                    tracing::warn!(lane = name, bytes = loaded.damaged, "lane log has a torn or damaged part; some events may be delivered again");
                }
                (Ok(loaded.state), loaded.damaged > 0)
            }
            Err(reason) => (Err(reason), false),
        };
        let cursor = state.as_ref().map_or(0, |state| state.cursor().0);
        let snapshot = state.as_ref().map_or(0, |state| log::snapshot(state).len() as u64);
        let inner = Inner {
            state,
            pending: Vec::new(),
            matters: false,
            file: Some(file),
            length: got as u64,
            written: cursor,
            broken,
            unproven: true,
            snapshot,
            since: None,
        };
        let lane = Self::with(name, path, 0, inner);
        lane.dirty.store(true, Ordering::Release);
        Ok(lane)
    }

    /// A lane that is new. Its log is on disk when this returns: otherwise a crash would let the lane
    /// start at a later "now".
    pub fn create(fs: &dyn Fs, dir: &Path, name: &str, cursor: Seq) -> Result<Self, LaneError> {
        let file_name = format!("{}{SUFFIX}", escape(name).ok_or_else(|| LaneError::Name { lane: name.into() })?);
        let path = dir.join(LANES_DIR).join(file_name);
        let inner = Inner {
            state: Ok(LaneState::at(cursor)),
            pending: Vec::new(),
            matters: false,
            file: None,
            length: 0,
            written: cursor.0,
            broken: true,
            unproven: false,
            snapshot: 0,
            since: None,
        };
        let lane = Self::with(name.into(), path, cursor.0, inner);
        match lane.rewrite(fs) {
            Ok(()) => Ok(lane),
            Err(source) => {
                let _ = fs.remove(&lane.path);
                Err(LaneError::Io { action: "create", lane: name.into(), source })
            }
        }
    }

    fn with(name: String, path: PathBuf, durable: u64, inner: Inner) -> Self {
        Self {
            name,
            path,
            open: AtomicBool::new(false),
            dirty: AtomicBool::new(false),
            durable: AtomicU64::new(durable),
            passed: AtomicU64::new(0),
            rewriting: Mutex::default(),
            inner: Mutex::new(inner),
        }
    }

    /// Everything up to here is settled, and that is on disk, or the lane does not want it.
    pub fn durable_cursor(&self) -> u64 {
        self.durable.load(Ordering::Acquire).max(self.passed.load(Ordering::Acquire))
    }

    pub fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Acquire)
    }

    /// The highest settled sequence number, 0 where unknown.
    pub fn highest(&self) -> u64 {
        self.lock().state.as_ref().map_or(0, |state| state.highest().0)
    }

    pub fn readable(&self) -> Result<(), LaneError> {
        match self.lock().state {
            Ok(_) => Ok(()),
            Err(reason) => Err(LaneError::Unreadable { lane: self.name.clone(), path: self.path.clone(), reason }),
        }
    }

    /// Whether some of the log could not be read.
    pub fn is_damaged(&self) -> bool {
        self.lock().broken
    }

    pub fn remove(&self, fs: &dyn Fs) -> io::Result<()> {
        let mut rewriting = self.rewriting.lock().unwrap_or_else(PoisonError::into_inner);
        fs.remove(&self.path)?;
        rewriting.removed = true;
        fs.sync_dir(parent(&self.path))
    }

    /// None where the log cannot be read.
    pub fn look<T>(&self, look: impl FnOnce(&LaneState) -> T) -> Option<T> {
        self.lock().state.as_ref().ok().map(look)
    }

    /// Appends what is pending.
    fn flush(&self, fs: &dyn Fs) -> io::Result<()> {
        let mut inner = self.lock();
        if inner.pending.is_empty() && !inner.broken {
            return Ok(());
        }
        if !inner.broken {
            let matters = std::mem::take(&mut inner.matters);
            match inner.append_pending() {
                Ok(()) => {
                    self.dirty.fetch_or(matters, Ordering::AcqRel);
                    return Ok(());
                }
                // Part of it may be in the file; memory holds all of it.
                Err(error) => {
                    tracing::warn!(lane = self.name, %error, "cannot append to a lane log; rewriting it");
                    inner.broken = true;
                }
            }
        }
        drop(inner);
        self.rewrite(fs)
    }

    /// Makes durable what was flushed. The order matters: first what is dirty is taken, then synced.
    pub fn sync(&self, fs: &dyn Fs) -> io::Result<()> {
        let (file, written, useless) = {
            let inner = self.lock();
            if inner.state.is_err() {
                self.dirty.store(false, Ordering::Release);
                return Ok(());
            }
            self.dirty.store(false, Ordering::Release);
            (inner.file.clone(), inner.written, inner.broken || inner.unproven)
        };
        let (Some(file), false) = (file, useless) else { return self.rewrite(fs) };
        if let Err(error) = file.sync_data() {
            // The pages may be gone from memory without being on disk: this file is not to be trusted.
            self.lock().broken = true;
            self.dirty.store(true, Ordering::Release);
            return Err(error);
        }
        self.durable.fetch_max(written, Ordering::AcqRel);
        Ok(())
    }

    pub fn wants_rewrite(&self) -> bool {
        let inner = self.lock();
        inner.state.is_ok() && !inner.broken && inner.length > REWRITE_AT.max(inner.snapshot * 2)
    }

    /// Writes the whole state to a new file and puts it in place of the old one.
    pub fn rewrite(&self, fs: &dyn Fs) -> io::Result<()> {
        let rewriting = self.rewriting.lock().unwrap_or_else(PoisonError::into_inner);
        if rewriting.removed {
            return Ok(());
        }
        let (contents, cursor) = {
            let mut inner = self.lock();
            let Ok(state) = &inner.state else { return Ok(()) };
            let (contents, cursor) = (log::snapshot(state), state.cursor().0);
            // A file that is in order still takes them, so that a crash meanwhile loses nothing.
            if !inner.broken
                && let Err(error) = inner.append_pending()
            {
                inner.broken = true;
                return Err(error);
            }
            inner.pending.clear();
            inner.since = Some(Vec::new());
            (contents, cursor)
        };
        let done = self.replace(fs, &contents, cursor);
        let mut inner = self.lock();
        inner.since = None;
        if done.is_err() {
            inner.broken = true;
            self.dirty.store(true, Ordering::Release);
        }
        drop(inner);
        if done.is_ok() {
            self.durable.fetch_max(cursor, Ordering::AcqRel);
        }
        done
    }

    fn replace(&self, fs: &dyn Fs, contents: &[u8], cursor: u64) -> io::Result<()> {
        let temporary = self.path.with_extension("new");
        let file = fs.create(&temporary)?;
        write_all_at(&*file, &[contents], 0)?;
        file.sync_all()?;
        {
            let mut inner = self.lock();
            let since = inner.since.take().unwrap_or_default();
            let length = contents.len() as u64;
            if !since.is_empty() {
                write_all_at(&*file, &[&since], length)?;
                self.dirty.store(true, Ordering::Release);
            } else {
                inner.written = cursor;
            }
            fs.rename(&temporary, &self.path)?;
            inner.file = Some(file);
            inner.length = length + since.len() as u64;
            inner.snapshot = length;
            inner.broken = false;
            inner.unproven = false;
        }
        fs.sync_dir(parent(&self.path))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn append_pending(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else { return Err(io::ErrorKind::NotFound.into()) };
        if !self.pending.is_empty() {
            write_all_at(&**file, &[&self.pending], self.length)?;
            self.length += self.pending.len() as u64;
            if let Some(since) = &mut self.since {
                since.extend_from_slice(&self.pending);
            }
            self.pending.clear();
        }
        if let Ok(state) = &self.state {
            self.written = state.cursor().0;
        }
        Ok(())
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// The open log of one lane; one at a time for each name. Dropping it flushes.
///
/// Methods write at most a few kilobytes to the page cache and do not wait for the disk, except a
/// flush after one that failed, which rewrites the log.
pub struct LaneLog {
    lane: Arc<Lane>,
    shared: Arc<Shared>,
}

impl LaneLog {
    /// `lane` was marked open by the caller.
    pub(crate) fn new(lane: Arc<Lane>, shared: Arc<Shared>) -> Self {
        Self { lane, shared }
    }

    pub fn name(&self) -> &str {
        &self.lane.name
    }

    /// A copy of where the lane stands.
    pub fn state(&self) -> LaneState {
        self.with(|state| state.clone())
    }

    pub fn cursor(&self) -> Seq {
        self.with(|state| state.cursor())
    }

    pub fn is_settled(&self, seq: Seq) -> bool {
        self.with(|state| state.is_settled(seq))
    }

    /// Events that readers can see and this lane has not settled.
    pub fn backlog(&self) -> u64 {
        let head = Seq(self.shared.tail.head());
        self.with(|state| state.backlog(head))
    }

    /// Settles `first` to `last`, in memory until the next flush.
    pub fn settle(&mut self, first: Seq, last: Seq) {
        if first > last {
            return;
        }
        self.change(|inner| {
            inner.matters = true;
            if let Ok(state) = &mut inner.state {
                state.settle(first, last);
                log::put_settled(&mut inner.pending, first, last);
            }
        });
    }

    /// Settles places that the lane does not want, for next to nothing: written with the next flush, they
    /// wait for no sync, and segments that hold nothing else may go. After a power cut the lane looks at
    /// them once more, or hears that they are gone.
    pub fn pass(&mut self, first: Seq, last: Seq) {
        if first > last {
            return;
        }
        let next = self.lane.durable_cursor() + 1;
        if first.0 <= next {
            self.lane.passed.fetch_max(last.0, Ordering::AcqRel);
        }
        self.change(|inner| {
            // Behind something that is not on disk yet, it goes to the disk with that.
            inner.matters |= first.0 > next;
            if let Ok(state) = &mut inner.state {
                state.settle(first, last);
                log::put_settled(&mut inner.pending, first, last);
            }
        });
    }

    /// Settles several ranges.
    pub fn settle_many(&mut self, ranges: impl IntoIterator<Item = (Seq, Seq)>) {
        for (first, last) in ranges {
            self.settle(first, last);
        }
    }

    /// Notes when an event is tried again. Nothing happens where it is settled.
    pub fn retry(&mut self, seq: Seq, entry: RetryEntry) {
        self.change(|inner| {
            if let Ok(state) = &mut inner.state
                && !state.is_settled(seq)
            {
                inner.matters = true;
                state.retry(seq, entry);
                log::put_retry(&mut inner.pending, seq, &entry);
            }
        });
    }

    /// Writes what is pending: from then on it outlives the process.
    pub fn flush(&mut self) -> Result<(), LaneError> {
        if self.shared.is_closed() {
            return Err(LaneError::Closed);
        }
        self.write()
    }

    fn write(&self) -> Result<(), LaneError> {
        let done = self.lane.flush(&*self.shared.fs);
        // What was passed may let segments go.
        self.shared.keeper.later();
        done.map_err(|source| LaneError::Io { action: "write", lane: self.lane.name.clone(), source })
    }

    fn change(&mut self, change: impl FnOnce(&mut Inner)) {
        let full = {
            let mut inner = self.lane.lock();
            change(&mut inner);
            if inner.broken {
                // The rewrite takes everything from the state.
                inner.pending.clear();
            }
            inner.pending.len() >= BUFFER
        };
        if full
            && !self.shared.is_closed()
            && let Err(error) = self.write()
        {
            // The caller's own flush will fail too and tell; nothing is lost meanwhile.
            tracing::warn!(lane = self.lane.name, %error, "lane log not written");
        }
    }

    fn with<T>(&self, look: impl FnOnce(&LaneState) -> T) -> T {
        let inner = self.lane.lock();
        look(inner.state.as_ref().expect("only lanes with a readable log are opened"))
    }
}

impl fmt::Debug for LaneLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaneLog").field("name", &self.name()).field("cursor", &self.cursor()).finish_non_exhaustive()
    }
}

impl Drop for LaneLog {
    fn drop(&mut self) {
        if !self.shared.is_closed()
            && let Err(error) = self.write()
        {
            tracing::warn!(lane = self.lane.name, %error, "lane log not written at its end; some events may be delivered again");
        }
        self.lane.open.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
