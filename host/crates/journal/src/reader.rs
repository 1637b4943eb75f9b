//! Reads the journal in order: recent frames from memory, older ones from disk in bounded chunks with
//! their checksums verified. What is lost is said, once, as an error value; then the reader goes on
//! behind it.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bulkhead_core::Seq;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::ReadError;
use crate::frame::Frame;
use crate::segment::{Segment, Unopened};
use crate::shared::Shared;
use crate::stored::{Opener, Unreadable};
use crate::tail::Head;
use crate::walk::{CHUNK, Step, Walker};

/// A place in the journal, and what follows.
pub struct Reader {
    shared: Arc<Shared>,
    head: watch::Receiver<Head>,
    /// The next event to hand out.
    position: u64,
    ready: VecDeque<Item>,
    disk: Option<Disk>,
    /// Survives a `next` that was given up.
    fetch: Option<JoinHandle<Fetched>>,
}

enum Item {
    Frame(Arc<Frame>),
    Lost { first: u64, last: u64, segment: PathBuf, reason: &'static str },
    Gone { first: u64, last: u64 },
}

/// Where in which file reading goes on.
struct Disk {
    segment: Arc<Segment>,
    walker: Walker,
    opener: Opener,
    /// Why the last gap is there.
    damage: Option<&'static str>,
}

struct Fetched {
    items: VecDeque<Item>,
    disk: Option<Disk>,
    result: Result<(), ReadError>,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, after: Seq) -> Self {
        let head = shared.tail.subscribe();
        Self { shared, head, position: after.0.saturating_add(1), ready: VecDeque::new(), disk: None, fetch: None }
    }

    /// The sequence number that the next frame holds: the first one of it, unless the reader was set
    /// into the middle of a request.
    pub fn position(&self) -> Seq {
        Seq(self.position)
    }

    /// Goes to the event behind `after`.
    pub fn seek(&mut self, after: Seq) {
        self.position = after.0.saturating_add(1);
        self.ready.clear();
        self.disk = None;
        self.fetch = None;
    }

    /// The next frame; waits until there is one. The first frame after opening or seeking may start
    /// before the place asked for: requests are handed out whole.
    ///
    /// Cancel safe: no frame is lost with a future that is dropped.
    pub async fn next(&mut self) -> Result<Arc<Frame>, ReadError> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return self.hand_out(item);
            }
            if let Some(fetch) = &mut self.fetch {
                let fetched = fetch.await;
                self.fetch = None;
                match fetched {
                    Ok(fetched) => self.take(fetched)?,
                    // The runtime is going down.
                    Err(_) => return Err(ReadError::Closed),
                }
                continue;
            }
            let head = *self.head.borrow_and_update();
            if self.position > head.seq {
                if head.closed || self.head.changed().await.is_err() {
                    return Err(ReadError::Closed);
                }
                continue;
            }
            if let Some(frame) = self.recent() {
                return Ok(frame);
            }
            let (shared, position, disk) = (self.shared.clone(), self.position, self.disk.take());
            if shared.reads_inline.load(Ordering::Relaxed) {
                let fetched = fetch(&shared, position, disk);
                self.take(fetched)?;
                continue;
            }
            self.fetch = Some(tokio::task::spawn_blocking(move || fetch(&shared, position, disk)));
        }
    }

    /// The next frame if there is one now; reads the disk on this thread where it must.
    pub fn try_next(&mut self) -> Result<Option<Arc<Frame>>, ReadError> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return self.hand_out(item).map(Some);
            }
            let head = *self.head.borrow_and_update();
            if self.position > head.seq {
                return if head.closed { Err(ReadError::Closed) } else { Ok(None) };
            }
            if let Some(frame) = self.recent() {
                return Ok(Some(frame));
            }
            // One that `next` began reads for nothing: it has the file, not the place.
            self.fetch = None;
            let fetched = fetch(&self.shared, self.position, self.disk.take());
            self.take(fetched)?;
        }
    }

    /// Bytes that were read ahead.
    #[cfg(test)]
    pub(crate) fn buffered(&self) -> usize {
        self.ready.iter().map(|item| if let Item::Frame(frame) = item { frame.bytes() } else { 0 }).sum()
    }

    fn recent(&mut self) -> Option<Arc<Frame>> {
        let frame = self.shared.tail.get(self.position)?;
        self.disk = None;
        self.position = frame.last().0 + 1;
        Some(frame)
    }

    fn take(&mut self, fetched: Fetched) -> Result<(), ReadError> {
        self.ready = fetched.items;
        self.disk = fetched.disk;
        // What was read before the error is handed out first; then the error comes again.
        if self.ready.is_empty() { fetched.result } else { Ok(()) }
    }

    fn hand_out(&mut self, item: Item) -> Result<Arc<Frame>, ReadError> {
        match item {
            Item::Frame(frame) => {
                self.position = frame.last().0 + 1;
                Ok(frame)
            }
            Item::Lost { first, last, segment, reason } => {
                self.position = last + 1;
                self.shared.counters.lost.fetch_add(1, Ordering::Relaxed);
                tracing::error!(first, last, segment = %segment.display(), reason, "events in the journal are lost");
                Err(ReadError::Lost { first: Seq(first), last: Seq(last), segment, reason })
            }
            Item::Gone { first, last } => {
                self.position = last + 1;
                Err(ReadError::Gone { first: Seq(first), last: Seq(last) })
            }
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("position", &self.position).finish_non_exhaustive()
    }
}

/// Reads about one chunk of what follows from `position` on, which is at or below the head.
fn fetch(shared: &Shared, position: u64, disk: Option<Disk>) -> Fetched {
    let mut items = VecDeque::new();
    let mut disk = disk;
    let result = fill(shared, position, &mut disk, &mut items);
    if result.is_err() {
        disk = None;
    }
    Fetched { items, disk, result }
}

fn fill(shared: &Shared, mut wanted: u64, slot: &mut Option<Disk>, items: &mut VecDeque<Item>) -> Result<(), ReadError> {
    let mut bytes = 0;
    loop {
        let disk = match slot {
            Some(disk) => disk,
            None => match open_at(shared, wanted, items)? {
                Some(disk) => slot.insert(disk),
                None => return Ok(()),
            },
        };
        let extent = disk.segment.extent();
        disk.walker.extend(extent.end);
        if bytes >= CHUNK && !disk.walker.is_buffered() {
            return Ok(());
        }
        let step = disk.walker.next(wanted).map_err(|source| ReadError::Io { segment: disk.segment.path.clone(), source })?;
        match step {
            Step::Damage { from, to, what, .. } => {
                tracing::warn!(segment = %disk.segment.path.display(), from, to, what, "damage in a segment");
                disk.damage = Some(what);
            }
            Step::Frame { offset, header, bytes: frame } => {
                disk.segment.note(header.first, offset);
                if header.last() < wanted {
                    continue;
                }
                let opened = match disk.opener.open(&header, frame) {
                    // The events are there for whoever has the key or the version: the reader stays.
                    Err(Unreadable::Key(key)) => return Err(unopened(disk, format!("it is sealed with key {key}, which is not configured"))),
                    Err(Unreadable::Newer) => return Err(unopened(disk, "it was written by a later version of this program".into())),
                    Err(Unreadable::Broken(what)) => {
                        tracing::warn!(segment = %disk.segment.path.display(), from = offset, what, "damage in a segment");
                        disk.damage = Some(what);
                        continue;
                    }
                    Ok(opened) => opened,
                };
                if header.first > wanted {
                    items.push_back(lost(disk, wanted, header.first - 1));
                }
                disk.damage = None;
                wanted = header.last() + 1;
                bytes += opened.bytes();
                items.push_back(Item::Frame(Arc::new(opened)));
                if bytes >= 2 * CHUNK {
                    return Ok(());
                }
            }
            Step::End { .. } => {
                let next = shared.catalog.next_first(disk.segment.first);
                let bound = match (extent.full, next) {
                    (true, Some(next)) => next - 1,
                    _ => extent.last,
                };
                if wanted <= bound {
                    items.push_back(lost(disk, wanted, bound));
                    wanted = bound + 1;
                }
                if !extent.full || next.is_none() {
                    return Ok(());
                }
                *slot = None;
                if !items.is_empty() {
                    return Ok(());
                }
            }
        }
    }
}

fn unopened(disk: &Disk, why: String) -> ReadError {
    ReadError::Io { segment: disk.segment.path.clone(), source: io::Error::other(why) }
}

fn lost(disk: &mut Disk, first: u64, last: u64) -> Item {
    let reason = disk.damage.take().unwrap_or("they are missing without a trace");
    Item::Lost { first, last, segment: disk.segment.path.clone(), reason }
}

/// Opens the segment that holds `wanted`; None: what is known about it was put into `items`.
fn open_at(shared: &Shared, wanted: u64, items: &mut VecDeque<Item>) -> Result<Option<Disk>, ReadError> {
    let Some(segment) = shared.catalog.find(wanted) else {
        items.push_back(match shared.catalog.oldest() {
            Some(oldest) => Item::Gone { first: wanted, last: oldest - 1 },
            None => Item::Lost { first: wanted, last: shared.tail.head(), segment: shared.dir.clone(), reason: "there is no segment file" },
        });
        return Ok(None);
    };
    let reason = match segment.open(&*shared.fs) {
        Ok((file, salt)) => {
            let walker = Walker::new(file, salt, segment.locate(wanted), segment.extent().end);
            let opener = shared.form.opener(salt, segment.first);
            return Ok(Some(Disk { segment, walker, opener, damage: None }));
        }
        Err(Unopened::Io(source)) if source.kind() != io::ErrorKind::NotFound => return Err(ReadError::Io { segment: segment.path.clone(), source }),
        Err(Unopened::Io(_)) => {
            if shared.catalog.oldest().is_some_and(|oldest| oldest > wanted) {
                // Deleted as settled just now.
                return open_at(shared, wanted, items);
            }
            "the segment file is missing"
        }
        Err(Unopened::Header(crate::layout::HeaderFault::Version(_))) => "the segment was written by another version of this program",
        Err(Unopened::Header(_)) => "the header of the segment is damaged",
    };
    let last = shared.catalog.next_first(segment.first).map_or(segment.extent().last, |next| next - 1);
    items.push_back(Item::Lost { first: wanted, last, segment: segment.path.clone(), reason });
    Ok(None)
}
