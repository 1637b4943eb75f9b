//! The segments that exist, where sequence numbers are found in them, and how one is opened.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::fs::{File, Fs, read_full_at};
use crate::layout::{HEADER_BLOCK, HeaderFault, SegmentHeader};

/// Distance between two entries of the index in memory.
const INDEX_STEP: u64 = 1 << 20;

/// One segment file.
pub(crate) struct Segment {
    pub first: u64,
    pub path: PathBuf,
    state: Mutex<State>,
}

struct State {
    /// Where frames that may be read end; for a full segment the end of the file.
    end: u64,
    /// The last event in the segment, where known: only of the one that is written to.
    last: u64,
    full: bool,
    /// Bytes that this file counts for.
    bytes: u64,
    open: Option<(Weak<dyn File>, u64)>,
    /// When the segment was begun, once its header was read; ns since 1970.
    created: Option<u64>,
    /// Starts of frames by sequence number, at least [`INDEX_STEP`] apart, rising.
    index: Vec<(u64, u64)>,
}

/// What a reader needs to know of a segment at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub end: u64,
    pub last: u64,
    pub full: bool,
}

/// Why a segment cannot be read.
pub(crate) enum Unopened {
    Io(io::Error),
    Header(HeaderFault),
}

impl Segment {
    /// A full segment of this many bytes.
    pub fn full(first: u64, path: PathBuf, bytes: u64) -> Self {
        Self { first, path, state: Mutex::new(State { end: bytes, last: 0, full: true, bytes, open: None, created: None, index: Vec::new() }) }
    }

    /// The segment that is written to.
    pub fn current(first: u64, path: PathBuf, bytes: u64, end: u64, last: u64, file: &Arc<dyn File>, salt: u64) -> Self {
        let open = Some((Arc::downgrade(file), salt));
        Self { first, path, state: Mutex::new(State { end, last, full: false, bytes, open, created: None, index: Vec::new() }) }
    }

    pub fn extent(&self) -> Extent {
        let state = self.lock();
        Extent { end: state.end, last: state.last, full: state.full }
    }

    pub fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// Frames up to `end` and events up to `last` may be read.
    pub fn grow(&self, end: u64, last: u64) {
        let mut state = self.lock();
        (state.end, state.last) = (end, last);
    }

    /// Nothing more is written.
    pub fn seal(&self) {
        self.lock().full = true;
    }

    /// The file was cut to its contents: the bytes that this freed.
    pub fn trimmed(&self) -> u64 {
        let mut state = self.lock();
        let freed = state.bytes.saturating_sub(state.end);
        state.bytes = state.bytes.min(state.end);
        freed
    }

    /// Whether the file is longer than what is in it.
    pub fn slack(&self) -> Option<u64> {
        let state = self.lock();
        (state.full && state.bytes > state.end).then_some(state.end)
    }

    /// Remembers that a frame with `seq` starts at `offset`.
    pub fn note(&self, seq: u64, offset: u64) {
        let mut state = self.lock();
        if state.index.last().is_none_or(|(last, at)| seq > *last && offset >= at + INDEX_STEP) {
            state.index.push((seq, offset));
        }
    }

    /// A start of a frame at or before the one that holds `seq`.
    pub fn locate(&self, seq: u64) -> u64 {
        let state = self.lock();
        let after = state.index.partition_point(|(first, _)| *first <= seq);
        if after == 0 { HEADER_BLOCK as u64 } else { state.index[after - 1].1 }
    }

    /// The open file and its salt; opened where no one has it open.
    pub fn open(&self, fs: &dyn Fs) -> Result<(Arc<dyn File>, u64), Unopened> {
        if let Some((file, salt)) = &self.lock().open
            && let Some(file) = file.upgrade()
        {
            return Ok((file, *salt));
        }
        let file = fs.open(&self.path).map_err(Unopened::Io)?;
        let header = read_header(&*file, self.first)?;
        let mut state = self.lock();
        state.open = Some((Arc::downgrade(&file), header.salt));
        state.created = Some(header.created);
        Ok((file, header.salt))
    }

    /// When the segment was begun, ns since 1970.
    pub fn created(&self, fs: &dyn Fs) -> Result<u64, Unopened> {
        if let Some(known) = self.lock().created {
            return Ok(known);
        }
        let file = fs.open(&self.path).map_err(Unopened::Io)?;
        let created = read_header(&*file, self.first)?.created;
        self.lock().created = Some(created);
        Ok(created)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn read_header(file: &dyn File, named: u64) -> Result<SegmentHeader, Unopened> {
    let mut block = vec![0; HEADER_BLOCK];
    let got = read_full_at(file, &mut block, 0).map_err(Unopened::Io)?;
    SegmentHeader::decode(&block[..got], named).map_err(Unopened::Header)
}

/// The segments by their first sequence number. The last one is written to, or was.
#[derive(Default)]
pub(crate) struct Catalog(Mutex<BTreeMap<u64, Arc<Segment>>>);

impl Catalog {
    pub fn insert(&self, segment: Arc<Segment>) {
        let mut segments = self.lock();
        if let Some((_, before)) = segments.last_key_value() {
            before.seal();
        }
        segments.insert(segment.first, segment);
    }

    /// The segment in which `seq` is, if it is anywhere.
    pub fn find(&self, seq: u64) -> Option<Arc<Segment>> {
        self.lock().range(..=seq).next_back().map(|(_, segment)| segment.clone())
    }

    /// The first sequence number of the segment behind the one that starts with `first`.
    pub fn next_first(&self, first: u64) -> Option<u64> {
        self.lock().range(first + 1..).next().map(|(next, _)| *next)
    }

    pub fn oldest(&self) -> Option<u64> {
        self.lock().first_key_value().map(|(first, _)| *first)
    }

    pub fn all(&self) -> Vec<Arc<Segment>> {
        self.lock().values().cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Every segment whose events are all at or below `settled`, oldest first, and where the one behind
    /// the last of them begins; never the segment that is written to.
    pub fn settled(&self, settled: u64) -> (Vec<Arc<Segment>>, Option<Arc<Segment>>) {
        let segments = self.lock();
        let behind = segments.range(..=settled.saturating_add(1)).next_back().map(|(_, segment)| segment.clone());
        let end = behind.as_ref().map_or(0, |segment| segment.first);
        (segments.range(..end).map(|(_, segment)| segment.clone()).collect(), behind)
    }

    /// Takes out these many of the oldest.
    pub fn take_oldest(&self, count: usize) -> Vec<Arc<Segment>> {
        let mut segments = self.lock();
        (0..count).filter_map(|_| segments.pop_first().map(|(_, segment)| segment)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Segment>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The segment files of a folder: first sequence number, path, bytes; rising.
pub(crate) fn list_segments(fs: &dyn Fs, dir: &Path) -> io::Result<Vec<(u64, PathBuf, u64)>> {
    let mut found: Vec<_> = fs
        .list(dir)?
        .into_iter()
        .filter_map(|entry| crate::layout::parse_segment_name(&entry.name).map(|first| (first, dir.join(&entry.name), entry.bytes)))
        .collect();
    found.sort_unstable();
    Ok(found)
}
