//! Looking at a journal, and mending it, while no process runs it. Each takes the journal's lock;
//! where the folder cannot be written to, the tools that only read go on without.

use std::collections::BTreeMap;
use std::io;
use std::ops::{ControlFlow, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bulkhead_core::{EventRef, Seq};
use bulkhead_seal::{AtRest, KeyId, Keyring};

use crate::error::OpenError;
use crate::frame::Frame;
use crate::fs::{Fs, LockGuard};
use crate::lane::{LANES_DIR, Lane, LaneState, unescape};
use crate::layout::{HEADER_BLOCK, HeaderFault, PACKED, SEALED};
use crate::recover::{find_end, lock, remove_leftovers};
use crate::segment::{Unopened, list_segments, read_header};
use crate::stored::{Form, Unreadable};
use crate::walk::{Step, Walker};

/// What is in a journal.
#[derive(Debug, Default)]
pub struct Report {
    pub segments: Vec<SegmentReport>,
    pub lanes: Vec<LaneReport>,
    /// What is wrong; empty: nothing was found.
    pub faults: Vec<Fault>,
    /// The oldest and the last event, where there are any.
    pub first: Seq,
    pub last: Seq,
    /// Bytes of an unfinished append at the end; the next start cuts them.
    pub torn_bytes: u64,
    /// Frames whose checksum is right and whose contents were not read, by the key that they need.
    pub unread: BTreeMap<KeyId, u64>,
}

#[derive(Debug)]
pub struct SegmentReport {
    pub file: PathBuf,
    pub bytes: u64,
    pub first: Seq,
    /// The one before `first` where there is no event.
    pub last: Seq,
    /// Time of acceptance of the first frame, nanoseconds since 1970; 0 where there is none.
    pub oldest: u64,
    /// What reading it whole showed; None where only its first frame was read.
    pub contents: Option<Contents>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Contents {
    pub frames: u64,
    pub events: u64,
    /// Bytes of the stored events alone, of the frames that were read.
    pub event_bytes: u64,
    pub packed: u64,
    pub sealed: u64,
    /// Bytes up to the end of the last frame.
    pub used: u64,
    /// Time of acceptance of the last frame.
    pub newest: u64,
}

#[derive(Debug)]
pub struct LaneReport {
    pub lane: String,
    pub file: PathBuf,
    pub bytes: u64,
    /// None: the log cannot be read, and there is a fault that says so.
    pub state: Option<LaneState>,
    pub backlog: u64,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub file: PathBuf,
    /// Where in the file, and how many bytes.
    pub offset: u64,
    pub bytes: u64,
    pub what: String,
    /// The events that are lost by it, where known.
    pub lost: Option<(Seq, Seq)>,
}

/// What [`repair`] did to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    pub file: PathBuf,
    pub action: String,
}

/// What there is, at a glance: reads the start of each segment, the last one whole, and the lanes.
pub fn inspect(fs: &Arc<dyn Fs>, dir: &Path) -> Result<Report, OpenError> {
    let _lock = lock_to_read(&**fs, dir)?;
    scan(fs, dir, Depth::Outline, None, |_| ControlFlow::Continue(()))
}

/// Reads everything and checks every checksum, and the contents of what `keys` open. Faults are in the
/// report.
pub fn verify(fs: &Arc<dyn Fs>, dir: &Path, keys: Option<&Keyring>) -> Result<Report, OpenError> {
    let _lock = lock_to_read(&**fs, dir)?;
    scan(fs, dir, Depth::Whole, keys, |_| ControlFlow::Continue(()))
}

/// Hands out the events of a range in order, with their numbers and times of acceptance, until `out`
/// breaks. What cannot be read is passed over and is in the report: as a fault, or under its key.
pub fn export(
    fs: &Arc<dyn Fs>,
    dir: &Path,
    keys: Option<&Keyring>,
    range: RangeInclusive<Seq>,
    mut out: impl FnMut(Seq, u64, EventRef<'_>) -> ControlFlow<()>,
) -> Result<Report, OpenError> {
    let _lock = lock_to_read(&**fs, dir)?;
    scan(fs, dir, Depth::Whole, keys, |frame| {
        for (seq, event) in frame.events().filter(|(seq, _)| range.contains(seq)) {
            out(seq, frame.time(), event)?;
        }
        if frame.last() >= *range.end() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

/// Makes a journal openable again: cuts a torn tail, sets aside segments whose header is lost
/// (renamed to `….bad`), rewrites lane logs that are damaged in part. Lane logs that are wholly
/// unreadable are left: only people know where such a lane should start.
pub fn repair(fs: &Arc<dyn Fs>, dir: &Path) -> Result<Vec<Repaired>, OpenError> {
    exists(&**fs, dir)?;
    let _lock = lock(&**fs, dir)?;
    remove_leftovers(&**fs, dir)?;
    let mut done = Vec::new();
    let segments = list_segments(&**fs, dir).map_err(OpenError::io("list", dir))?;
    for (index, (first, path, bytes)) in segments.iter().enumerate() {
        let file = fs.open(path).map_err(OpenError::io("open", path))?;
        match read_header(&*file, *first) {
            Ok(header) if index + 1 == segments.len() => {
                let found = find_end(&file, header.salt, *first, *bytes).map_err(OpenError::io("read", path))?;
                if found.torn_bytes > 0 {
                    file.truncate(found.end).and_then(|()| file.sync_all()).map_err(OpenError::io("cut", path))?;
                    let action = format!("cut {} bytes of an unfinished append at offset {}; the last event is {}", found.torn_bytes, found.end, found.last);
                    done.push(Repaired { file: path.clone(), action });
                }
            }
            Ok(_) => {}
            Err(Unopened::Io(source)) => return Err(OpenError::Io { action: "read", path: path.clone(), source }),
            // Another version can still read it.
            Err(Unopened::Header(fault @ HeaderFault::Version(_))) => return Err(OpenError::Unreadable { path: path.clone(), fault }),
            Err(Unopened::Header(fault)) => {
                let aside = path.with_extension("bhj.bad");
                fs.rename(path, &aside).map_err(OpenError::io("rename", path))?;
                done.push(Repaired { file: path.clone(), action: format!("{fault}: set aside as {}", aside.display()) });
            }
        }
    }
    for entry in fs.list(&dir.join(LANES_DIR)).map_err(OpenError::io("list", dir.join(LANES_DIR)))? {
        let Some(name) = unescape(&entry.name) else { continue };
        let path = dir.join(LANES_DIR).join(&entry.name);
        let lane = Lane::load(&**fs, dir, name, &entry.name, entry.bytes).map_err(OpenError::io("read", &path))?;
        if lane.is_damaged() {
            lane.rewrite(&**fs).map_err(OpenError::io("rewrite", &path))?;
            done.push(Repaired { file: path, action: "rewritten without its damaged entries".into() });
        }
    }
    fs.sync_dir(dir).map_err(OpenError::io("sync folder", dir))?;
    Ok(done)
}

fn exists(fs: &dyn Fs, dir: &Path) -> Result<(), OpenError> {
    match fs.list(&dir.join(LANES_DIR)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(OpenError::Missing { dir: dir.into() }),
        Err(source) => Err(OpenError::Io { action: "list", path: dir.into(), source }),
    }
}

fn lock_to_read(fs: &dyn Fs, dir: &Path) -> Result<Option<LockGuard>, OpenError> {
    exists(fs, dir)?;
    match lock(fs, dir) {
        Ok(guard) => Ok(Some(guard)),
        Err(OpenError::Io { source, .. }) if matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => Ok(None),
        Err(error) => Err(error),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Outline,
    Whole,
}

fn scan(fs: &Arc<dyn Fs>, dir: &Path, depth: Depth, keys: Option<&Keyring>, mut each: impl FnMut(&Frame) -> ControlFlow<()>) -> Result<Report, OpenError> {
    let mut report = Report::default();
    let segments = list_segments(&**fs, dir).map_err(OpenError::io("list", dir))?;
    report.first = Seq(segments.first().map_or(1, |(first, ..)| *first));
    report.last = Seq(report.first.0 - 1);
    for (index, (first, path, bytes)) in segments.iter().enumerate() {
        let follows = segments.get(index + 1).map(|(next, ..)| *next);
        if index > 0 && *first > report.last.0 + 1 {
            let missing = report.last.0 + 1;
            gap(&mut report, path, 0, missing, first - 1);
        }
        let entry =
            Listed { first: *first, path, bytes: *bytes, follows, whole: depth == Depth::Whole || follows.is_none(), read: depth == Depth::Whole, keys };
        let done = scan_segment(fs, &entry, &mut report, &mut each).map_err(OpenError::io("read", path))?;
        if done.is_break() {
            return Ok(report);
        }
    }
    report.lanes = scan_lanes(&**fs, dir, &mut report)?;
    Ok(report)
}

/// A segment file as its folder shows it.
struct Listed<'a> {
    first: u64,
    path: &'a Path,
    bytes: u64,
    /// The first event of the next segment.
    follows: Option<u64>,
    /// Whether to read past the first frame.
    whole: bool,
    /// Whether to read what is in frames.
    read: bool,
    keys: Option<&'a Keyring>,
}

fn scan_segment(fs: &Arc<dyn Fs>, listed: &Listed<'_>, report: &mut Report, each: &mut impl FnMut(&Frame) -> ControlFlow<()>) -> io::Result<ControlFlow<()>> {
    let Listed { first, path, bytes, follows, whole, read, keys } = *listed;
    let file = fs.open(path)?;
    let fault = |offset, bytes, what: &str, lost| Fault { file: path.into(), offset, bytes, what: what.into(), lost };
    let salt = match read_header(&*file, first) {
        Ok(header) => header.salt,
        Err(Unopened::Io(error)) => return Err(error),
        Err(Unopened::Header(why)) => {
            let lost = follows.map(|next| (Seq(first), Seq(next - 1)));
            report.faults.push(fault(0, HEADER_BLOCK as u64, &why.to_string(), lost));
            report.last = lost.map_or(report.last, |(_, last)| last);
            return Ok(ControlFlow::Continue(()));
        }
    };
    let end = match follows {
        Some(_) => bytes,
        None => {
            let found = find_end(&file, salt, first, bytes)?;
            report.torn_bytes = found.torn_bytes;
            found.end
        }
    };
    report.last = report.last.max(Seq(first - 1));
    let mut oldest = 0;
    let mut contents = Contents { used: HEADER_BLOCK as u64, ..Contents::default() };
    let mut walker = Walker::new(file, salt, 0, end);
    let at_rest = AtRest { keyring: keys.cloned(), seal: false };
    let mut opener = Form { at_rest, ..Form::default() }.opener(salt, first);
    let mut going = ControlFlow::Continue(());
    while going.is_continue() {
        match walker.next(0)? {
            Step::Frame { offset, header, bytes } => {
                if header.first > report.last.0 + 1 {
                    let missing = report.last.0 + 1;
                    gap(report, path, offset, missing, header.first - 1);
                }
                report.last = Seq(header.last());
                if contents.frames == 0 {
                    oldest = header.time;
                }
                contents.frames += 1;
                contents.events += u64::from(header.count);
                contents.packed += u64::from(header.flags & PACKED != 0);
                contents.sealed += u64::from(header.flags & SEALED != 0);
                contents.used = offset + u64::from(header.length);
                contents.newest = header.time;
                if read {
                    match opener.open(&header, bytes) {
                        Ok(frame) => {
                            contents.event_bytes += (0..frame.len()).map(|index| frame.stored(index).len() as u64).sum::<u64>();
                            going = each(&frame);
                        }
                        Err(Unreadable::Key(key)) => *report.unread.entry(key).or_default() += 1,
                        Err(why) => {
                            let what = if let Unreadable::Broken(what) = why { what } else { "written by a later version of this program" };
                            report.faults.push(fault(offset, u64::from(header.length), what, Some((Seq(header.first), Seq(header.last())))));
                        }
                    }
                }
            }
            Step::Damage { from, to, what, events } => {
                let lost = events.map(|(first, last)| (Seq(first), Seq(last)));
                // Said here, so the gap that it leaves is not said again.
                report.last = lost.map_or(report.last, |(_, last)| last);
                report.faults.push(fault(from, to - from, what, lost));
            }
            Step::End { .. } => break,
        }
        if !whole {
            // The rest is taken to be in order.
            report.last = follows.map_or(report.last, |next| Seq(next - 1));
            break;
        }
    }
    let last = report.last;
    report.segments.push(SegmentReport { file: path.into(), bytes, first: Seq(first), last, oldest, contents: whole.then_some(contents) });
    Ok(going)
}

fn gap(report: &mut Report, path: &Path, offset: u64, first: u64, last: u64) {
    let what = format!("events {first} to {last} are missing");
    report.faults.push(Fault { file: path.into(), offset, bytes: 0, what, lost: Some((Seq(first), Seq(last))) });
}

fn scan_lanes(fs: &dyn Fs, dir: &Path, report: &mut Report) -> Result<Vec<LaneReport>, OpenError> {
    let folder = dir.join(LANES_DIR);
    let mut lanes = Vec::new();
    for entry in fs.list(&folder).map_err(OpenError::io("list", &folder))? {
        let Some(name) = unescape(&entry.name) else { continue };
        let file = folder.join(&entry.name);
        let lane = Lane::load(fs, dir, name.clone(), &entry.name, entry.bytes).map_err(OpenError::io("read", &file))?;
        if let Err(error) = lane.readable() {
            report.faults.push(Fault { file: file.clone(), offset: 0, bytes: entry.bytes, what: error.to_string(), lost: None });
        } else if lane.is_damaged() {
            let what = "some entries are damaged; their events may be delivered again".into();
            report.faults.push(Fault { file: file.clone(), offset: 0, bytes: entry.bytes, what, lost: None });
        }
        let state = lane.look(Clone::clone);
        let backlog = state.as_ref().map_or(0, |state| state.backlog(report.last));
        lanes.push(LaneReport { lane: name, file, bytes: entry.bytes, state, backlog });
    }
    Ok(lanes)
}

#[cfg(test)]
mod tests;
