//! A frame in memory: the events of one append request in one buffer, before ([`AppendBatch`]) and
//! after ([`Frame`]) they are in the journal. The buffer is the frame as `layout` draws it, so nothing
//! is copied between the producer, the disk and the lanes.

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bulkhead_core::{CorruptEvent, EventRef, Seq};
use bytes::Bytes;

use crate::layout::{FRAME_HEADER, FrameHeader, padded, u32_at};

/// The events of one append request.
///
/// For each event: append its stored bytes to [`buffer`](Self::buffer) (with `EventBuilder::finish`),
/// then call [`push_event`](Self::push_event).
pub struct AppendBatch {
    /// A frame's header (filled in later), then the events.
    bytes: Vec<u8>,
    /// Where each event ends, counted from behind the header.
    ends: Vec<u32>,
}

impl AppendBatch {
    pub fn new() -> Self {
        Self::with_buffers(Vec::new(), Vec::new())
    }

    /// Room for this many bytes of stored events in this many events, so that building does not
    /// move them.
    pub fn with_capacity(bytes: usize, events: usize) -> Self {
        Self::with_buffers(Vec::with_capacity(FRAME_HEADER + bytes + events * 4 + 8), Vec::with_capacity(events))
    }

    /// Uses buffers again; what is in them goes.
    pub fn with_buffers(mut bytes: Vec<u8>, mut ends: Vec<u32>) -> Self {
        bytes.clear();
        bytes.resize(FRAME_HEADER, 0);
        ends.clear();
        Self { bytes, ends }
    }

    /// Where the stored bytes of the next event are appended. Nothing that is there may be changed.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Makes an event of what was appended since the last one. What is not a stored event is taken
    /// away again.
    pub fn push_event(&mut self) -> Result<(), CorruptEvent> {
        let start = FRAME_HEADER + self.bytes();
        let stored = self.bytes.get(start..).unwrap_or_default();
        let checked = match u32::try_from(self.bytes.len().saturating_sub(FRAME_HEADER)) {
            Ok(end) => EventRef::new(stored).map(|_| end),
            Err(_) => Err(CorruptEvent("a batch of 4 GiB")),
        };
        match checked {
            Ok(end) => {
                self.ends.push(end);
                Ok(())
            }
            Err(error) => {
                self.discard();
                Err(error)
            }
        }
    }

    /// Takes away what was appended since the last event.
    pub fn discard(&mut self) {
        let end = FRAME_HEADER + self.bytes();
        self.bytes.resize(end, 0);
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of the events together.
    pub fn bytes(&self) -> usize {
        self.ends.last().map_or(0, |end| *end as usize)
    }

    /// The stored bytes of an event.
    pub fn stored(&self, index: usize) -> Option<&[u8]> {
        let start = if index == 0 { 0 } else { *self.ends.get(index - 1)? as usize };
        self.bytes.get(FRAME_HEADER + start..FRAME_HEADER + *self.ends.get(index)? as usize)
    }

    /// Length of the frame this becomes.
    pub(crate) fn frame_length(&self) -> u64 {
        padded((FRAME_HEADER + self.bytes() + self.ends.len() * 4) as u64)
    }

    /// The finished frame but for what only the committer knows. `length` is [`Self::frame_length`]
    /// and fits 32 bits.
    pub(crate) fn seal(mut self) -> (Vec<u8>, FrameHeader) {
        self.discard();
        let length = self.frame_length();
        self.bytes.reserve(length as usize - self.bytes.len());
        for end in &self.ends {
            self.bytes.extend_from_slice(&end.to_le_bytes());
        }
        let body = &self.bytes[FRAME_HEADER..];
        let header = FrameHeader {
            length: length as u32,
            first: 0,
            count: self.ends.len() as u32,
            durable: 0,
            time: 0,
            body: body.len() as u32,
            body_checksum: crc32c::crc32c(body),
            flags: 0,
        };
        self.bytes.resize(length as usize, 0);
        if self.bytes.capacity() > 2 * self.bytes.len() {
            // Frames stay in memory for lanes and are counted by their length there.
            self.bytes.shrink_to_fit();
        }
        (self.bytes, header)
    }
}

impl Default for AppendBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for AppendBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppendBatch").field("events", &self.len()).field("bytes", &self.bytes()).finish()
    }
}

/// The events of one append request, as lanes read them.
pub struct Frame {
    bytes: Bytes,
    first: u64,
    count: u32,
    time: u64,
    /// Where the table of ends begins in `bytes`.
    ends: usize,
    /// For what lanes work out about this frame once and share, such as routing decisions.
    pub memo: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Frame {
    /// `bytes` is a plain frame whose header is this and whose body was checked.
    pub(crate) fn new(bytes: Bytes, header: &FrameHeader) -> Self {
        let ends = FRAME_HEADER + header.body as usize - header.count as usize * 4;
        Self { bytes, first: header.first, count: header.count, time: header.time, ends, memo: OnceLock::new() }
    }

    pub fn first(&self) -> Seq {
        Seq(self.first)
    }

    pub fn last(&self) -> Seq {
        Seq(self.first + u64::from(self.count) - 1)
    }

    /// Number of events, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a frame is never empty")]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// The sequence number of an event by its index.
    pub fn seq(&self, index: usize) -> Seq {
        Seq(self.first + index as u64)
    }

    /// When the journal took the events, nanoseconds since 1970-01-01T00:00:00Z.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// The stored bytes of an event. Panics like a slice where `index` is not below `len()`.
    pub fn stored(&self, index: usize) -> &[u8] {
        &self.bytes[self.range(index)]
    }

    /// The same as [`stored`](Self::stored), sharing the frame's memory.
    pub fn stored_bytes(&self, index: usize) -> Bytes {
        self.bytes.slice(self.range(index))
    }

    pub fn event(&self, index: usize) -> EventRef<'_> {
        EventRef::new(self.stored(index)).expect("every event of a frame was checked when it was appended or read from disk")
    }

    pub fn events(&self) -> impl ExactSizeIterator<Item = (Seq, EventRef<'_>)> {
        (0..self.len()).map(|index| (self.seq(index), self.event(index)))
    }

    /// Memory this frame holds.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn range(&self, index: usize) -> Range<usize> {
        assert!(index < self.len(), "event {index} of a frame of {}", self.len());
        let table = &self.bytes[self.ends..];
        let start = if index == 0 { 0 } else { u32_at(table, index * 4 - 4) as usize };
        FRAME_HEADER + start..FRAME_HEADER + u32_at(table, index * 4) as usize
    }
}

impl fmt::Debug for Frame {
    // Never the events: they may carry what must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame").field("first", &self.first).field("len", &self.count).field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
