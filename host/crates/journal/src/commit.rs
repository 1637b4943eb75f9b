//! The committer: the one thread that writes segments. It gathers what waits, writes it with one
//! call, syncs once, then answers all producers; the next group gathers meanwhile.
//!
//! * Nothing is visible to readers before it is as durable as its producer asked for.
//! * A write that fails leaves nothing behind: the segment is cut, and the cut synced, before the
//!   producers hear of it. Later appends try again, so a full disk or quota ends by itself.
//! * A sync that fails ends acceptance for good. Its frames were never published; they may be there
//!   again after a restart, as after any crash between a write and its answer.

use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::error::AppendError;
use crate::frame::Frame;
use crate::fs::{File, write_all_at};
use crate::keeper::SYNC_EVERY;
use crate::layout::{FRAME_HEADER, HEADER_BLOCK, SegmentHeader, random_salt, segment_name};
use crate::queue::{GROUP_BYTES, Pending};
use crate::segment::Segment;
use crate::settings::Durability;
use crate::shared::{Shared, Spare};
use crate::stored::Sealer;

/// Longest wait for the producers that were just answered, so that all share the next sync.
const MOST_LINGER: Duration = Duration::from_millis(1);

/// The segment that is written to.
pub(crate) struct Writer {
    pub segment: Arc<Segment>,
    pub file: Arc<dyn File>,
    pub salt: u64,
    /// Seals what is written, where the journal does.
    pub sealer: Option<Sealer>,
    /// Its frames are sealed with another key than today's: nothing more is written to it.
    pub closed: bool,
    /// Where the next frame goes.
    pub end: u64,
    /// What is known to be on disk.
    pub durable: u64,
    /// A write failed behind `end` and was not taken back yet.
    pub needs_cut: bool,
}

pub(crate) struct Committer {
    shared: Arc<Shared>,
    writer: Option<Writer>,
    next: u64,
    /// Average time of a write and sync.
    pace: Duration,
    /// Frames of a group as they are written, where they are sealed.
    sealed: Vec<u8>,
    /// Since when something written waits for a sync nobody asked for.
    unsynced_since: Option<Duration>,
}

impl Committer {
    pub fn new(shared: Arc<Shared>, writer: Option<Writer>, next: u64) -> Self {
        Self { shared, writer, next, pace: Duration::ZERO, sealed: Vec::new(), unsynced_since: None }
    }

    pub fn run(mut self) {
        let mut group = Vec::new();
        let (mut expected, mut answered) = (1, Duration::ZERO);
        loop {
            if !self.shared.queue.wait(self.unsynced_since.map(|_| SYNC_EVERY)) {
                break;
            }
            // Producers that were just answered come back at once where they are busy. Without waiting
            // for them a moment, two halves would take turns and each wait for the other's sync.
            let window = (self.pace / 8).min(MOST_LINGER);
            let idle = self.shared.clock.monotonic().saturating_sub(answered);
            if expected > 1 && idle < window && self.shared.queue.len() > 0 {
                self.shared.queue.linger(expected, window - idle);
            }
            self.shared.queue.take(&mut group);
            let count = group.len();
            self.commit(&mut group);
            if count > 0 {
                answered = self.shared.clock.monotonic();
                expected = count + self.shared.queue.len();
            }
            if self.unsynced_since.is_some_and(|since| self.shared.clock.monotonic().saturating_sub(since) >= SYNC_EVERY) {
                self.sync_idle();
            }
        }
        self.sync_idle();
    }

    /// Commits one group from the queue, if anything waits.
    pub fn turn(&mut self) -> bool {
        let mut group = Vec::new();
        self.shared.queue.take(&mut group);
        let some = !group.is_empty();
        self.commit(&mut group);
        some
    }

    /// Syncs what was acknowledged without.
    pub fn sync_idle(&mut self) {
        self.unsynced_since = None;
        if self.shared.fault.get().is_none() {
            // The fault is kept, and the next append hears it.
            let _ = self.sync_current();
        }
    }

    fn commit(&mut self, group: &mut Vec<Pending>) {
        let mut done = 0;
        while done < group.len() {
            let result = match self.shared.fault.get() {
                Some(fault) => Err(fault.clone()),
                None => self.commit_front(&mut group[done..]),
            };
            match result {
                Ok(count) => done += count,
                Err(error) => {
                    self.refuse(&mut group[done..], &error);
                    break;
                }
            }
        }
        self.shared.queue.release(group.iter().map(|pending| pending.cost as usize).sum());
        group.clear();
    }

    fn refuse(&self, group: &mut [Pending], error: &AppendError) {
        for pending in group {
            if pending.durability == Durability::Memory && pending.answer.is_none() {
                self.shared.counters.dropped.fetch_add(1, Ordering::Relaxed);
            }
            pending.reply(Err(error.clone()));
        }
    }

    /// Commits as many as go into one segment, at least one: their number.
    fn commit_front(&mut self, group: &mut [Pending]) -> Result<usize, AppendError> {
        let started = self.shared.clock.monotonic();
        let room = self.writer.as_ref().filter(|writer| !writer.closed).map_or(0, |writer| self.shared.segment_size.saturating_sub(writer.end));
        let count = match fitting(group, room) {
            0 => {
                let count = fitting(group, self.shared.largest_frame());
                self.write_to_next(&mut group[..count])?;
                count
            }
            count => {
                self.write_to_current(&mut group[..count])?;
                count
            }
        };
        let took = self.shared.clock.monotonic().saturating_sub(started);
        self.pace = if self.pace.is_zero() { took } else { (self.pace * 7 + took) / 8 };
        Ok(count)
    }

    fn write_to_current(&mut self, part: &mut [Pending]) -> Result<(), AppendError> {
        self.cut()?;
        let Some(writer) = &mut self.writer else { return Err(AppendError::Closed) };
        place(part, self.next, writer.durable, self.shared.clock.unix_nanos());
        let started = self.shared.clock.monotonic();
        let buffers = encode(part, writer.salt, writer.sealer.as_mut(), &mut self.sealed);
        if let Err(error) = write_all_at(&*writer.file, &buffers, writer.end) {
            let error = self.shared.write_error(&writer.segment.path, error);
            writer.needs_cut = true;
            // Where that fails too, the next append tries it again before anything else.
            self.cut()?;
            return Err(error);
        }
        let offset = writer.end;
        writer.end += buffers.iter().map(|buffer| buffer.len() as u64).sum::<u64>();
        for pending in part.iter_mut().filter(|pending| pending.durability == Durability::Os) {
            let appended = pending.appended();
            pending.reply(Ok(appended));
        }
        self.next += events(part);
        if part.iter().any(|pending| pending.durability == Durability::Fsync) {
            self.sync_current()?;
        } else if self.unsynced_since.is_none() {
            self.unsynced_since = Some(started);
        }
        self.publish(part, offset, started);
        Ok(())
    }

    /// Starts the next segment with `part`. The file gets its name once it is on disk.
    fn write_to_next(&mut self, part: &mut [Pending]) -> Result<(), AppendError> {
        self.cut()?;
        self.sync_current()?;
        let size = self.shared.segment_size;
        let next = self.next_file()?;
        let header = SegmentHeader { first: self.next, salt: random_salt(), created: self.shared.clock.unix_nanos() };
        place(part, self.next, HEADER_BLOCK as u64, header.created);
        let started = self.shared.clock.monotonic();
        let block = header.encode();
        let mut sealer = self.shared.form.sealer(header.salt, header.first);
        let mut buffers: Vec<&[u8]> = vec![&block];
        buffers.extend(encode(part, header.salt, sealer.as_mut(), &mut self.sealed));
        let end = buffers.iter().map(|buffer| buffer.len() as u64).sum();
        let path = self.shared.dir.join(segment_name(self.next));
        if let Err(error) = write_all_at(&*next.file, &buffers, 0) {
            self.drop_file(&next);
            return Err(self.shared.write_error(&path, error));
        }
        self.synced(next.file.sync_data(), &next.path)?;
        if let Err(error) = self.shared.fs.rename(&next.path, &path) {
            self.drop_file(&next);
            return Err(self.shared.write_error(&path, error));
        }
        self.synced(self.shared.fs.sync_dir(&self.shared.dir), &path)?;
        let first = self.next;
        self.next += events(part);
        let segment = Arc::new(Segment::current(first, path, size, end, self.next - 1, &next.file, header.salt));
        self.shared.catalog.insert(segment.clone());
        self.writer = Some(Writer { segment, file: next.file, salt: header.salt, sealer, closed: false, end, durable: end, needs_cut: false });
        for pending in part.iter_mut().filter(|pending| pending.durability == Durability::Os) {
            let appended = pending.appended();
            pending.reply(Ok(appended));
        }
        self.publish(part, HEADER_BLOCK as u64, started);
        // The full segment can be cut to its contents.
        self.shared.keeper.now();
        Ok(())
    }

    /// The file for the next segment: the one made ahead of time, or a new one.
    fn next_file(&self) -> Result<Spare, AppendError> {
        if let Some(spare) = self.shared.take_spare() {
            return Ok(spare);
        }
        let size = self.shared.segment_size;
        self.shared.claim(size)?;
        let path = self.shared.temporary();
        let file = match self.shared.fs.create(&path) {
            Ok(file) => file,
            Err(error) => {
                self.shared.give_back(size);
                return Err(self.shared.write_error(&path, error));
            }
        };
        // Room reserved ahead keeps the file in one piece. Where that is not to be had, writing shows
        // whether there is room; what was reserved in part is given back.
        if file.allocate(size).is_err()
            && let Err(error) = file.truncate(0)
        {
            self.shared.give_back(size);
            return Err(self.shared.write_error(&path, error));
        }
        Ok(Spare { path, file })
    }

    fn drop_file(&self, spare: &Spare) {
        // A left-over is removed at the next start.
        let _ = self.shared.fs.remove(&spare.path);
        self.shared.give_back(self.shared.segment_size);
    }

    /// Takes back what a failed write left behind, for good.
    fn cut(&mut self) -> Result<(), AppendError> {
        let Some(writer) = self.writer.as_mut().filter(|writer| writer.needs_cut) else { return Ok(()) };
        if let Err(error) = writer.file.truncate(writer.end) {
            return Err(self.shared.write_error(&writer.segment.path, error));
        }
        // Without it a crash could bring back frames whose producers were told that they failed.
        let (synced, path) = (writer.file.sync_all(), writer.segment.path.clone());
        writer.needs_cut = false;
        let end = writer.end;
        self.synced(synced, &path)?;
        if let Some(writer) = &mut self.writer {
            writer.durable = end;
        }
        Ok(())
    }

    fn sync_current(&mut self) -> Result<(), AppendError> {
        let Some(writer) = self.writer.as_ref().filter(|writer| writer.durable < writer.end) else { return Ok(()) };
        let (synced, path, end) = (writer.file.sync_data(), writer.segment.path.clone(), writer.end);
        self.synced(synced, &path)?;
        self.unsynced_since = None;
        if let Some(writer) = &mut self.writer {
            writer.durable = end;
        }
        Ok(())
    }

    /// Counts a sync, and keeps its failure for good.
    fn synced(&self, result: io::Result<()>, segment: &std::path::Path) -> Result<(), AppendError> {
        self.shared.counters.syncs.fetch_add(1, Ordering::Relaxed);
        let Err(source) = result else { return Ok(()) };
        let fault = AppendError::Sync { segment: segment.into(), source: Arc::new(source) };
        tracing::error!(segment = %segment.display(), error = &fault as &dyn std::error::Error, "a sync failed: the journal accepts nothing more");
        Err(self.shared.fault.get_or_init(|| fault).clone())
    }

    /// Shows the frames to readers and answers their producers.
    fn publish(&self, part: &mut [Pending], offset: u64, started: Duration) {
        let Some(writer) = &self.writer else { return };
        writer.segment.note(part[0].header.first, offset);
        writer.segment.grow(writer.end, self.next - 1);
        let (count, bytes) = (events(part), writer.end - offset);
        let frames = part.iter_mut().map(|pending| Arc::new(Frame::new(mem::take(&mut pending.bytes).into(), &pending.header)));
        self.shared.tail.publish(frames);
        let counters = &self.shared.counters;
        counters.appends.fetch_add(part.len() as u64, Ordering::Relaxed);
        counters.events.fetch_add(count, Ordering::Relaxed);
        counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        for pending in part.iter_mut() {
            let appended = pending.appended();
            pending.reply(Ok(appended));
        }
        if let Some(observer) = &self.shared.observer {
            let took = self.shared.clock.monotonic().saturating_sub(started);
            observer.committed(part.len() as u64, count, bytes, took.as_secs_f64());
        }
        let half = self.shared.segment_size / 2;
        if offset < half && writer.end >= half {
            self.shared.keeper.now();
        }
    }
}

/// How many from the front fit into `room`.
fn fitting(group: &[Pending], mut room: u64) -> usize {
    let fits = |pending: &&Pending| match room.checked_sub(u64::from(pending.stored.header.length)) {
        Some(left) => {
            room = left;
            true
        }
        None => false,
    };
    group.iter().take_while(fits).count()
}

fn events(part: &[Pending]) -> u64 {
    part.iter().map(|pending| u64::from(pending.header.count)).sum()
}

/// Gives frames their place; answers those who wait for nothing else.
fn place(part: &mut [Pending], mut next: u64, durable: u64, time: u64) {
    for pending in part {
        for header in [&mut pending.header, &mut pending.stored.header] {
            (header.first, header.durable, header.time) = (next, durable as u32, time);
        }
        next += u64::from(pending.header.count);
        if pending.durability == Durability::Memory {
            let appended = pending.appended();
            pending.reply(Ok(appended));
        }
    }
}

/// The bytes that go to the disk, headers finished.
fn encode<'a>(part: &'a mut [Pending], salt: u64, sealer: Option<&mut Sealer>, sealed: &'a mut Vec<u8>) -> Vec<&'a [u8]> {
    let Some(sealer) = sealer else {
        return part.iter_mut().map(|pending| pending.stored.encode(&mut pending.bytes, salt)).collect();
    };
    sealed.clear();
    // One frame may be larger than a group is otherwise; that much is not kept.
    sealed.shrink_to(2 * GROUP_BYTES);
    for pending in part.iter() {
        sealer.seal(&pending.stored, &pending.bytes[FRAME_HEADER..FRAME_HEADER + pending.header.body as usize], sealed);
    }
    vec![sealed]
}
