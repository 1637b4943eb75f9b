//! Opening a journal: the lock, the lanes, and the last segment, whose torn tail is cut. Of the others
//! only the start is read, so a backlog of any size opens in the time of one segment. Where a key is
//! missing that some segment needs, nothing is opened.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use bulkhead_core::Seq;
use bulkhead_seal::KeyId;

use crate::commit::{Committer, Writer};
use crate::error::OpenError;
use crate::fs::{File, Fs, LockGuard, read_full_at, write_all_at};
use crate::keeper::{Keeper, Signal};
use crate::lane::{LANES_DIR, Lane, unescape};
use crate::layout::{FRAME_HEADER, FrameHeader, HEADER_BLOCK, SEALED_HEAD};
use crate::queue::Queue;
use crate::segment::{Catalog, Segment, Unopened, list_segments, read_header};
use crate::settings::{JournalSettings, Recovery};
use crate::shared::{Counters, Shared};
use crate::stored::Form;
use crate::tail::Tail;
use crate::walk::{CHUNK, Step, Walker};

pub(crate) const LOCK_NAME: &str = "journal.lock";

/// An open journal before its threads run.
pub(crate) struct Opened {
    pub shared: Arc<Shared>,
    pub committer: Committer,
    pub keeper: Keeper,
    pub recovery: Recovery,
}

pub(crate) fn open(settings: JournalSettings, fs: Arc<dyn Fs>) -> Result<Opened, OpenError> {
    let segment_size = settings.segment_size()?;
    let dir = settings.dir;
    let lanes_dir = dir.join(LANES_DIR);
    fs.make_dir(&lanes_dir).map_err(OpenError::io("make folder", &lanes_dir))?;
    let lock = lock(&*fs, &dir)?;
    remove_leftovers(&*fs, &dir)?;
    let mut recovery = Recovery::default();
    let lanes = load_lanes(&*fs, &dir, &mut recovery)?;

    let listed = list_segments(&*fs, &dir).map_err(OpenError::io("list", &dir))?;
    let form = Form { compression: settings.compression, at_rest: settings.at_rest };
    let needed = keys(&*fs, listed.iter().map(|(first, path, _)| (*first, path.as_path())))?;
    let missing = form.at_rest.missing(needed);
    if !missing.is_empty() {
        return Err(OpenError::KeyMissing { dir, missing });
    }
    let catalog = Catalog::default();
    let mut used = 0;
    let mut writer = None;
    let mut last = 0;
    for (index, (first, path, bytes)) in listed.iter().enumerate() {
        used += bytes;
        if index + 1 < listed.len() {
            catalog.insert(Arc::new(Segment::full(*first, path.clone(), *bytes)));
            continue;
        }
        let tail = recover_tail(&*fs, *first, path, segment_size)?;
        (recovery.torn_bytes, recovery.damaged) = (tail.torn_bytes, tail.damaged);
        used = used - bytes + tail.bytes;
        last = tail.last;
        writer = Some((tail, *first, path.clone()));
    }
    // A lane may have settled events that the segment lost again (they were not synced, or the disk
    // lied). Their numbers are not given to others: the lane would take those for settled.
    let head = lanes.values().map(|lane| lane.highest()).fold(last, u64::max);
    let writer = writer.map(|(tail, first, path)| {
        let segment = Arc::new(Segment::current(first, path, tail.bytes, tail.end, head, &tail.file, tail.salt));
        catalog.insert(segment.clone());
        let closed = tail.key.is_some_and(|key| key != form.seals_with());
        let sealer = if closed { None } else { form.sealer(tail.salt, first) };
        Writer { segment, file: tail.file, salt: tail.salt, sealer, closed, end: tail.end, durable: tail.end, needs_cut: false }
    });
    // Names that an earlier process made may not be on disk yet.
    for folder in [&lanes_dir, &dir, &dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf()] {
        fs.sync_dir(folder).map_err(OpenError::io("sync folder", folder))?;
    }

    recovery.segments = listed.len();
    recovery.first = Seq(catalog.oldest().unwrap_or(head + 1));
    recovery.last = Seq(head);
    recovery.lanes = lanes.len();
    let shared = Arc::new(Shared {
        fs,
        dir,
        clock: settings.clock,
        observer: settings.observer,
        max_bytes: settings.max_bytes,
        keep: settings.keep,
        holds: Default::default(),
        segment_size,
        form,
        queue: Queue::new(settings.queue_bytes),
        tail: Tail::new(head, settings.tail_bytes),
        catalog,
        spare: Default::default(),
        used: AtomicU64::new(used),
        lanes: lanes.into(),
        lanes_ready: AtomicBool::new(false),
        keeper: Signal::default(),
        counters: Counters::default(),
        made: AtomicU64::new(0),
        fault: Default::default(),
        closed: AtomicBool::new(false),
        reads_inline: AtomicBool::new(false),
        lock: Some(lock).into(),
    });
    if let Some(observer) = &shared.observer {
        observer.stored(used);
    }
    // Lanes' logs are rewritten, and a spare segment may be due.
    shared.keeper.now();
    let committer = Committer::new(shared.clone(), writer, head + 1);
    let keeper = Keeper::new(shared.clone());
    Ok(Opened { shared, committer, keeper, recovery })
}

pub(crate) fn lock(fs: &dyn Fs, dir: &Path) -> Result<LockGuard, OpenError> {
    let path = dir.join(LOCK_NAME);
    fs.lock(&path).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => OpenError::InUse { dir: dir.into() },
        _ => OpenError::Io { action: "lock", path, source },
    })
}

/// Files that a process was about to put in place.
pub(crate) fn remove_leftovers(fs: &dyn Fs, dir: &Path) -> Result<(), OpenError> {
    for (folder, suffix) in [(dir.to_path_buf(), ".tmp"), (dir.join(LANES_DIR), ".new")] {
        for entry in fs.list(&folder).map_err(OpenError::io("list", &folder))? {
            if entry.name.ends_with(suffix) {
                let path = folder.join(&entry.name);
                fs.remove(&path).map_err(OpenError::io("remove", path))?;
            }
        }
    }
    Ok(())
}

fn load_lanes(fs: &dyn Fs, dir: &Path, recovery: &mut Recovery) -> Result<BTreeMap<String, Arc<Lane>>, OpenError> {
    let folder = dir.join(LANES_DIR);
    let mut lanes = BTreeMap::new();
    for entry in fs.list(&folder).map_err(OpenError::io("list", &folder))? {
        let Some(name) = unescape(&entry.name) else { continue };
        let lane = Lane::load(fs, dir, name.clone(), &entry.name, entry.bytes).map_err(OpenError::io("read", folder.join(&entry.name)))?;
        if lane.readable().is_err() {
            recovery.unreadable_lanes.push(name.clone());
        }
        lanes.insert(name, Arc::new(lane));
    }
    Ok(lanes)
}

/// The last segment, ready to be written on.
struct TailSegment {
    file: Arc<dyn File>,
    salt: u64,
    end: u64,
    last: u64,
    bytes: u64,
    torn_bytes: u64,
    damaged: usize,
    /// The key of its last frame, where there is one.
    key: Option<Option<KeyId>>,
}

/// Keys that segments need to be read: those of their first frames. What cannot be read now is left to
/// those who will read it.
pub(crate) fn keys<'a>(fs: &dyn Fs, segments: impl Iterator<Item = (u64, &'a Path)>) -> Result<BTreeSet<KeyId>, OpenError> {
    let mut found = BTreeSet::new();
    for (first, path) in segments {
        let file = match fs.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(OpenError::Io { action: "open", path: path.into(), source }),
        };
        let Ok(header) = read_header(&*file, first) else { continue };
        let mut start = [0; FRAME_HEADER + SEALED_HEAD];
        let got = read_full_at(&*file, &mut start, HEADER_BLOCK as u64).map_err(OpenError::io("read", path))?;
        let (frame, start) = match FrameHeader::decode(&start[..got], header.salt) {
            Some(frame) => (frame, start.to_vec()),
            None => match first_frame(file, header.salt).map_err(OpenError::io("read", path))? {
                Some(found) => found,
                None => continue,
            },
        };
        found.extend(frame.key(&start));
    }
    Ok(found)
}

/// The first frame behind damage.
fn first_frame(file: Arc<dyn File>, salt: u64) -> io::Result<Option<(FrameHeader, Vec<u8>)>> {
    let length = file.len()?;
    let mut walker = Walker::new(file, salt, 0, length);
    loop {
        match walker.next(0)? {
            Step::Frame { header, bytes, .. } => return Ok(Some((header, bytes.to_vec()))),
            Step::Damage { .. } => {}
            Step::End { .. } => return Ok(None),
        }
    }
}

fn recover_tail(fs: &dyn Fs, first: u64, path: &Path, segment_size: u64) -> Result<TailSegment, OpenError> {
    let file = fs.open(path).map_err(OpenError::io("open", path))?;
    let salt = match read_header(&*file, first) {
        Ok(header) => header.salt,
        Err(Unopened::Io(source)) => return Err(OpenError::Io { action: "read", path: path.into(), source }),
        Err(Unopened::Header(fault)) => return Err(OpenError::Unreadable { path: path.into(), fault }),
    };
    let length = file.len().map_err(OpenError::io("read", path))?;
    let found = find_end(&file, salt, first, length).map_err(OpenError::io("read", path))?;
    if found.torn_bytes > 0 {
        file.truncate(found.end).map_err(OpenError::io("cut the torn tail of", path))?;
    }
    // What the process before wrote and did not sync is in memory, and after a failed sync it may be
    // there only, marked as if it were on disk. Written again it is truly written by the next sync.
    rewrite(&*file, found.durable, found.end).map_err(OpenError::io("write", path))?;
    file.sync_all().map_err(OpenError::io("sync", path))?;
    let mut bytes = file.len().map_err(OpenError::io("read", path))?;
    if bytes < segment_size && found.end < segment_size {
        // Without room reserved, writing shows whether there is some.
        if file.allocate(segment_size).is_err() {
            file.truncate(found.end).map_err(OpenError::io("cut", path))?;
        }
        bytes = segment_size;
    }
    Ok(TailSegment { file, salt, end: found.end, last: found.last, bytes, torn_bytes: found.torn_bytes, damaged: found.damaged, key: found.key })
}

/// Where the last segment's contents end.
pub(crate) struct Ending {
    pub end: u64,
    /// The last event before it; the one before the segment where there is none.
    pub last: u64,
    /// What its frames prove to be on disk.
    pub durable: u64,
    /// Bytes behind the end that are not zero, up to the last of them.
    pub torn_bytes: u64,
    /// Damaged places before the end.
    pub damaged: usize,
    /// The key of the last frame, where there is one.
    pub key: Option<Option<KeyId>>,
}

pub(crate) fn find_end(file: &Arc<dyn File>, salt: u64, first: u64, length: u64) -> io::Result<Ending> {
    let mut walker = Walker::new(file.clone(), salt, HEADER_BLOCK as u64, length);
    let mut found = Ending { end: HEADER_BLOCK as u64, last: first - 1, durable: HEADER_BLOCK as u64, torn_bytes: 0, damaged: 0, key: None };
    // Damaged places that no frame behind them has called durable yet, and the last event before the
    // first of them: the end, unless that still comes.
    let mut open: Vec<(u64, u64)> = Vec::new();
    let (mut last, mut end, mut dirty) = (found.last, found.end, 0);
    loop {
        match walker.next(0)? {
            Step::Frame { offset, header, bytes } => {
                found.key = Some(header.key(&bytes));
                let durable = u64::from(header.durable);
                let before = open.len();
                open.retain(|(from, _)| *from >= durable);
                found.damaged += before - open.len();
                found.durable = found.durable.max(durable);
                (last, end) = (header.last(), offset + u64::from(header.length));
                dirty = end;
            }
            Step::Damage { from, to, .. } => {
                open.push((from, last));
                dirty = to;
                end = to;
            }
            Step::End { at } => {
                if let Some((from, before)) = open.first() {
                    (found.end, found.last) = (*from, *before);
                    found.torn_bytes = dirty - from;
                } else {
                    (found.end, found.last) = (end.min(at), last);
                }
                found.durable = found.durable.min(found.end);
                return Ok(found);
            }
        }
    }
}

/// Writes the same bytes over themselves.
fn rewrite(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    let mut at = from;
    let mut chunk = vec![0; CHUNK];
    while at < to {
        let length = usize::try_from(to - at).unwrap_or(usize::MAX).min(CHUNK);
        let got = read_full_at(file, &mut chunk[..length], at)?;
        if got == 0 {
            break;
        }
        write_all_at(file, &[&chunk[..got]], at)?;
        at += got as u64;
    }
    Ok(())
}
