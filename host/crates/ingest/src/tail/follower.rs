//! The files of one entry: which there are, which of them have something new, and the lines in it. Works
//! on the file system and on nothing else; the caller says when, and when events are in the journal.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bulkhead_journal::AppendBatch;
use rustix::fs::{Mode, OFlags};
use uuid::Uuid;

use super::glob::{Seen, Walk};
use super::position::{self, FINGERPRINT, Fingerprint, Inode, Place, Position};
use super::{FilesSettings, FilesStatus, MAX_FILES, NAMED, Start};
use crate::ids::IdMaker;
use crate::lines::split;
use crate::origin::Origin;
use crate::text::{Line, LineNormaliser, file_source};

/// Bytes that are read of a file at once.
const CHUNK: usize = 256 << 10;
/// Chunks of one file before the next one has its turn.
const TURN: usize = 4;
/// How long a file that is nowhere to be found stays open.
const MISSING_OPEN: u64 = 5 * 60;
/// How long a removed file may still be written to by who has it open.
const REMOVED: u64 = 2;
/// How long its position is kept: a mount may come back.
const MISSING_KEPT: u64 = 7 * 24 * 3600;
/// How often the time at which a file was seen is worth writing down.
const SEEN_EVERY: u64 = 3600;

struct Followed {
    /// What is in the journal.
    position: Position,
    /// What was handed out.
    next: Place,
    file: Option<Arc<File>>,
    /// When it was last read, counted in turns.
    used: u64,
    /// As the last look found it; `None` where it is nowhere and not open.
    now: Option<Seen>,
    /// Size and time of change at which it was read to its end.
    done: Option<(u64, i128)>,
    /// Since when no name leads to it.
    missing: Option<u64>,
    /// No name leads to it any more and none will: what is left is its last line.
    last: bool,
    error: Option<String>,
}

impl Followed {
    fn pending(&self) -> bool {
        self.now.is_some_and(|now| self.done != Some((now.size, now.modified)))
    }
}

pub(super) struct Follower {
    settings: FilesSettings,
    /// The file of positions.
    kept: PathBuf,
    files: HashMap<Inode, Followed>,
    /// Reading goes round in this order.
    order: Vec<Inode>,
    turn: usize,
    used: u64,
    /// This entry was never used before.
    first: bool,
    /// Ids that are not on disk yet: nothing is read before they are.
    unregistered: bool,
    /// Positions that are not.
    dirty: bool,
    /// Read since the last commit.
    touched: Vec<Inode>,
    /// Gone, and read to their end.
    finished: Vec<Inode>,
    unreadable: BTreeMap<PathBuf, String>,
    beyond: usize,
    ids: IdMaker,
    lines: LineNormaliser,
    buffer: Vec<u8>,
}

impl Follower {
    pub fn open(mut settings: FilesSettings, kept: PathBuf) -> Result<Self, String> {
        settings.paths = settings.paths.into_iter().map(|pattern| pattern.absolute(false)).collect();
        settings.exclude = settings.exclude.into_iter().map(|pattern| pattern.absolute(true)).collect();
        let positions = position::load(&kept)?;
        let first = positions.is_none();
        let followed = |position: Position| {
            let next = position.place;
            (position.inode, Followed { position, next, file: None, used: 0, now: None, done: None, missing: None, last: false, error: None })
        };
        let lines = LineNormaliser::new(settings.format, settings.tenant.clone());
        Ok(Self {
            kept,
            files: positions.into_iter().flatten().take(MAX_FILES).map(followed).collect(),
            order: Vec::new(),
            turn: 0,
            used: 0,
            first,
            unregistered: first,
            dirty: false,
            touched: Vec::new(),
            finished: Vec::new(),
            unreadable: BTreeMap::new(),
            beyond: 0,
            ids: IdMaker::new(),
            lines,
            buffer: vec![0; CHUNK.max(settings.max_line + 3)],
            settings,
        })
    }

    /// Looks which files there are. `now` is Unix time in nanoseconds.
    pub fn scan(&mut self, now: u64) {
        let seconds = now / 1_000_000_000;
        let known: HashSet<u64> = self.files.keys().map(|inode| inode.inode).collect();
        let mut walk = Walk {
            exclude: &self.settings.exclude,
            follow_symlinks: self.settings.follow_symlinks,
            known: &known,
            limit: MAX_FILES,
            found: BTreeMap::new(),
            moved: BTreeMap::new(),
            failed: BTreeMap::new(),
            beyond: 0,
        };
        self.settings.paths.iter().for_each(|pattern| pattern.walk(&mut walk));
        let Walk { found, moved, failed, beyond, .. } = walk;
        (self.unreadable, self.beyond) = (failed, beyond);
        let mut here = HashSet::new();
        for (path, seen) in found.into_iter().chain(moved) {
            // Several names of one file: the first counts, those that match before others.
            if !here.insert(seen.inode) {
                continue;
            }
            // A name that matches nothing, found for the number of an inode on another device.
            let stray = !self.files.contains_key(&seen.inode) && !self.matches(&path);
            match self.files.get_mut(&seen.inode) {
                Some(followed) => {
                    if followed.position.path != path {
                        followed.position.path = path;
                        self.dirty = true;
                    }
                    (followed.now, followed.missing) = (Some(seen), None);
                    // For a start without the files: on disk, though not at every look.
                    if seconds.saturating_sub(followed.position.seen) >= SEEN_EVERY {
                        followed.position.seen = seconds;
                        self.dirty = true;
                    }
                }
                None if stray => {}
                None => self.discover(path, seen, now),
            }
        }
        for (inode, followed) in self.files.iter_mut().filter(|(inode, _)| !here.contains(inode)) {
            let since = *followed.missing.get_or_insert(seconds);
            let waited = seconds.saturating_sub(since);
            followed.error = None;
            let stat = followed.file.as_ref().and_then(|file| rustix::fs::fstat(file).ok());
            followed.now = stat.as_ref().map(Seen::of).filter(|seen| seen.inode == *inode);
            if stat.is_some_and(|stat| stat.st_nlink == 0) && waited >= REMOVED && !followed.last {
                (followed.last, followed.done) = (true, None);
            } else if waited > MISSING_OPEN && !followed.pending() {
                (followed.file, followed.now) = (None, None);
            }
        }
        let kept = self.files.len();
        self.files.retain(|_, followed| followed.file.is_some() || followed.missing.is_none() || seconds.saturating_sub(followed.position.seen) < MISSING_KEPT);
        self.dirty |= kept != self.files.len();
        self.first = false;
        self.order = self.files.keys().copied().collect();
        self.order.sort_by(|a, b| self.files[a].position.path.cmp(&self.files[b].position.path));
    }

    fn matches(&self, path: &Path) -> bool {
        self.settings.paths.iter().any(|pattern| pattern.matches(path))
    }

    /// A file that was never seen.
    fn discover(&mut self, path: PathBuf, seen: Seen, now: u64) {
        if self.files.len() >= MAX_FILES && !self.forget_missing() {
            self.beyond += 1;
            return;
        }
        self.make_room();
        let opened = self.open_file(&path, seen.inode).and_then(|file| {
            let head = head(&file)?;
            let offset = if self.first && self.settings.start == Start::End { line_before(&file, seen.size, self.settings.max_line)? } else { 0 };
            Ok((file, head, offset))
        });
        match opened {
            Ok((file, head, offset)) => {
                let (id, place) = (self.new_id(now), Place { offset, pieces: 0 });
                let position = Position { path, inode: seen.inode, id, place, fingerprint: Fingerprint::of(&head), seen: now / 1_000_000_000 };
                let followed = Followed {
                    position,
                    next: place,
                    file: Some(Arc::new(file)),
                    used: self.used,
                    now: Some(seen),
                    done: None,
                    missing: None,
                    last: false,
                    error: None,
                };
                self.files.insert(seen.inode, followed);
                self.unregistered = true;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => drop(self.unreadable.insert(path, error.to_string())),
        }
    }

    fn forget_missing(&mut self) -> bool {
        let oldest =
            self.files.iter().filter(|(_, followed)| followed.missing.is_some() && followed.file.is_none()).min_by_key(|(_, followed)| followed.position.seen);
        let Some(inode) = oldest.map(|(inode, _)| *inode) else { return false };
        self.files.remove(&inode).is_some()
    }

    fn new_id(&mut self, now: u64) -> Uuid {
        let mut buffer = [0; 36];
        Uuid::parse_str(self.ids.next(now, &mut buffer)).unwrap_or_default()
    }

    /// The file under this name, if it is the one that was found there: names may change in between.
    fn open_file(&self, path: &Path, inode: Inode) -> io::Result<File> {
        let mut flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        if !self.settings.follow_symlinks {
            flags |= OFlags::NOFOLLOW;
        }
        let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        if Seen::of(&rustix::fs::fstat(&file)?).inode == inode { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// Closes what was not read for longest, so that one more may be opened.
    fn make_room(&mut self) {
        while self.open_files() >= self.settings.max_open.max(1) {
            // What no name leads to any more could not be opened again, and its last lines would be lost.
            let can_wait = |followed: &&mut Followed| followed.file.is_some() && !(followed.missing.is_some() && followed.pending());
            let Some(followed) = self.files.values_mut().filter(can_wait).min_by_key(|followed| followed.used) else { return };
            followed.file = None;
        }
    }

    fn open_files(&self) -> usize {
        self.files.values().filter(|followed| followed.file.is_some()).count()
    }

    /// Reads until the batch is full or nothing is left.
    pub fn read(&mut self, received: u64, batch: &mut AppendBatch, is_full: &dyn Fn(&AppendBatch) -> bool) {
        // Also where there is no file yet: from now on files are new ones, not those of the first look.
        if self.unregistered && !self.register() {
            return;
        }
        for _ in 0..self.order.len() {
            if self.unregistered && !self.register() {
                return;
            }
            let Some(inode) = self.order.get(self.turn % self.order.len()).copied() else { return };
            // On to the next file even where this one has more: nobody shall starve behind a busy one.
            self.turn = self.turn.wrapping_add(1);
            if self.files.get(&inode).is_some_and(Followed::pending) {
                match self.read_file(inode, received, batch, is_full) {
                    Ok(true) => return,
                    Ok(false) => {}
                    Err(error) => self.failed(inode, &error),
                }
            }
        }
    }

    fn failed(&mut self, inode: Inode, error: &io::Error) {
        let Some(followed) = self.files.get_mut(&inode) else { return };
        followed.file = None;
        if error.kind() != io::ErrorKind::NotFound {
            followed.error = Some(error.to_string());
        }
        // Looked at again after the next scan.
        followed.now = None;
    }

    /// True where the batch is full.
    fn read_file(&mut self, inode: Inode, received: u64, batch: &mut AppendBatch, is_full: &dyn Fn(&AppendBatch) -> bool) -> io::Result<bool> {
        let Some(followed) = self.files.get(&inode) else { return Ok(false) };
        let file = match &followed.file {
            Some(file) => Arc::clone(file),
            None => {
                let file = Arc::new(self.open_file(&followed.position.path, inode)?);
                self.make_room();
                if let Some(followed) = self.files.get_mut(&inode) {
                    followed.file = Some(Arc::clone(&file));
                }
                file
            }
        };
        // Before the bytes: what comes after this look is found by the next one.
        let now = Seen::of(&rustix::fs::fstat(&file)?);
        let head = head(&file)?;
        let new_id = self.new_id(received);
        self.used += 1;
        let Some(followed) = self.files.get_mut(&inode) else { return Ok(false) };
        (followed.used, followed.error) = (self.used, None);
        if !followed.position.check(now.size, &head, || new_id) {
            tracing::info!(files = self.settings.name, path = %followed.position.path.display(), "file was cut or replaced; it is read from its beginning");
            followed.next = Place::START;
            self.unregistered = true;
            return Ok(false);
        }
        let path = followed.position.path.to_string_lossy().into_owned();
        self.lines.source(file_source(&path));
        for _ in 0..TURN {
            let count = fill(&file, followed.next.offset, &mut self.buffer)?;
            let (start, end) = (followed.next.offset, count < self.buffer.len());
            let (position, lines, mut full) = (&followed.position, &mut self.lines, false);
            let taken = split(&self.buffer[..count], self.settings.max_line, end && followed.last, &mut followed.next.pieces, |at, bytes, piece| {
                let offset = start + at as u64;
                lines.event(&Line { bytes, piece, origin: Origin::File { path: &path, offset }, id: Some(position.event_id(offset)) }, received, batch);
                full = is_full(batch);
                !full
            });
            followed.next.offset += taken as u64;
            if taken > 0 && self.touched.last() != Some(&inode) {
                self.touched.push(inode);
            }
            if full {
                return Ok(true);
            }
            if end || taken == 0 {
                followed.done = Some((now.size, now.modified));
                followed.now = Some(now);
                if followed.last && followed.next.offset >= now.size {
                    self.finished.push(inode);
                }
                break;
            }
        }
        Ok(false)
    }

    /// What was handed out is in the journal.
    pub fn commit(&mut self) {
        for inode in self.touched.drain(..) {
            if let Some(followed) = self.files.get_mut(&inode) {
                followed.position.place = followed.next;
                self.dirty = true;
            }
        }
        for inode in self.finished.drain(..) {
            self.files.remove(&inode);
            self.dirty = true;
        }
    }

    /// Whether a file has something that was not read.
    pub fn pending(&self) -> bool {
        self.files.values().any(Followed::pending)
    }

    pub fn dirty(&self) -> bool {
        self.dirty
    }

    fn register(&mut self) -> bool {
        match self.save() {
            Ok(()) => self.unregistered = false,
            Err(error) => {
                tracing::error!(files = self.settings.name, path = %self.kept.display(), %error, "positions cannot be written, so new files wait");
            }
        }
        !self.unregistered
    }

    /// Puts the positions on disk.
    pub fn save(&mut self) -> io::Result<()> {
        position::save(&self.kept, self.files.values().map(|followed| followed.position.clone()).collect())?;
        self.dirty = false;
        Ok(())
    }

    /// Everything that cannot be read.
    pub fn unreadable(&self) -> BTreeMap<PathBuf, String> {
        let broken = self.files.values().filter_map(|followed| Some((followed.position.path.clone(), followed.error.clone()?)));
        self.unreadable.clone().into_iter().chain(broken).collect()
    }

    pub fn status(&self, unreadable: &BTreeMap<PathBuf, String>) -> FilesStatus {
        let behind = |followed: &Followed| followed.now.map_or(0, |now| now.size.saturating_sub(followed.position.place.offset));
        FilesStatus {
            followed: self.files.values().filter(|followed| followed.missing.is_none() || followed.file.is_some()).count(),
            open: self.open_files(),
            behind: self.files.values().map(behind).sum(),
            unreadable: unreadable.iter().take(NAMED).map(|(path, error)| (path.display().to_string(), error.clone())).collect(),
            unreadable_count: unreadable.len(),
            beyond: self.beyond,
            ..FilesStatus::default()
        }
    }
}

/// The first bytes of a file.
fn head(file: &File) -> io::Result<Vec<u8>> {
    let mut head = vec![0; FINGERPRINT];
    let count = fill(file, 0, &mut head)?;
    head.truncate(count);
    Ok(head)
}

/// Reads as much as there is and goes in.
fn fill(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match file.read_at(&mut buffer[count..], offset + count as u64) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// Where the line under way at the end of a file begins; its end where it is longer than the limit.
fn line_before(file: &File, size: u64, limit: usize) -> io::Result<u64> {
    let mut tail = vec![0; limit];
    let from = size.saturating_sub(limit as u64);
    let count = fill(file, from, &mut tail)?;
    Ok(match memchr::memrchr(b'\n', &tail[..count]) {
        Some(at) => from + at as u64 + 1,
        None if from == 0 => 0,
        None => size,
    })
}

#[cfg(test)]
mod tests;
