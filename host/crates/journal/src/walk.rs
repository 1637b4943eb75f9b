//! Walks the frames of one segment from front to back in bounded chunks, checks them, and finds its
//! way behind damage. Recovery, readers and the offline tools all read through this.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::fs::{File, read_full_at};
use crate::layout::{ALIGN, FRAME_HEADER, FRAME_MAGIC, FrameHeader, HEADER_BLOCK};

/// Bytes read at once.
pub(crate) const CHUNK: usize = 512 << 10;

pub(crate) enum Step {
    Frame {
        offset: u64,
        header: FrameHeader,
        bytes: Bytes,
    },
    /// No frame lies between these offsets. The events are known where the header still speaks.
    Damage {
        from: u64,
        to: u64,
        what: &'static str,
        events: Option<(u64, u64)>,
    },
    /// From `at` on there are zeroes or nothing.
    End {
        at: u64,
    },
}

pub(crate) struct Walker {
    file: Arc<dyn File>,
    salt: u64,
    /// Where frames end.
    limit: u64,
    at: u64,
    chunk: Bytes,
    chunk_at: u64,
}

impl Walker {
    /// `offset` is the start of a frame.
    pub fn new(file: Arc<dyn File>, salt: u64, offset: u64, limit: u64) -> Self {
        Self { file, salt, limit, at: offset.max(HEADER_BLOCK as u64), chunk: Bytes::new(), chunk_at: 0 }
    }

    /// The segment has grown.
    pub fn extend(&mut self, limit: u64) {
        if limit > self.limit {
            self.limit = limit;
            // What was read ahead may be from before the growth.
            self.chunk = Bytes::new();
        }
    }

    /// Whether the next step needs no reading.
    pub fn is_buffered(&self) -> bool {
        let Some(rest) = self.buffered() else { return false };
        FrameHeader::decode(rest, self.salt).is_some_and(|header| rest.len() >= header.length as usize)
    }

    /// The next frame. Frames that end before `wanted` are passed over unchecked. After an error the
    /// walker stands where it stood.
    pub fn next(&mut self, wanted: u64) -> io::Result<Step> {
        loop {
            if self.at >= self.limit {
                return Ok(Step::End { at: self.at });
            }
            let start = self.read(FRAME_HEADER)?;
            let Some(header) = FrameHeader::decode(&start, self.salt) else { return self.resync() };
            let length = u64::from(header.length);
            if self.at + length > self.limit {
                return self.resync();
            }
            let offset = self.at;
            if header.last() < wanted {
                self.at += length;
                continue;
            }
            let bytes = self.read(header.length as usize)?;
            self.at += length;
            return Ok(match header.check_body(&bytes) {
                Ok(()) => Step::Frame { offset, header, bytes },
                Err(what) => Step::Damage { from: offset, to: offset + length, what, events: Some((header.first, header.last())) },
            });
        }
    }

    /// Looks for the next frame behind bytes that are none.
    fn resync(&mut self) -> io::Result<Step> {
        let from = self.at;
        let (mut at, mut dirty_until) = (from, None);
        while at < self.limit {
            self.at = at;
            let window = self.read(ALIGN).inspect_err(|_| self.at = from)?;
            if window.is_empty() {
                break;
            }
            let window = self.buffered().map_or(window, |rest| self.chunk.slice_ref(rest));
            for (index, word) in window.chunks(ALIGN).enumerate() {
                let place = at + (index * ALIGN) as u64;
                if place > from && word.starts_with(&FRAME_MAGIC) && self.frame_at(place).inspect_err(|_| self.at = from)? {
                    self.at = place;
                    return Ok(Step::Damage { from, to: place, what: "the bytes there are no frame", events: None });
                }
                if word.iter().any(|byte| *byte != 0) {
                    dirty_until = Some(place + word.len() as u64);
                }
            }
            at += window.len() as u64;
        }
        self.at = self.limit;
        Ok(match dirty_until {
            Some(to) => Step::Damage { from, to, what: "the bytes there are no frame", events: None },
            None => Step::End { at: from },
        })
    }

    fn frame_at(&mut self, place: u64) -> io::Result<bool> {
        self.at = place;
        let start = self.read(FRAME_HEADER)?;
        Ok(FrameHeader::decode(&start, self.salt).is_some_and(|header| place + u64::from(header.length) <= self.limit))
    }

    /// What is buffered from the current place on.
    fn buffered(&self) -> Option<&[u8]> {
        let skip = usize::try_from(self.at.checked_sub(self.chunk_at)?).ok()?;
        self.chunk.get(skip..).filter(|rest| !rest.is_empty())
    }

    /// `length` bytes from the current place on; fewer where the segment ends.
    fn read(&mut self, length: usize) -> io::Result<Bytes> {
        if self.buffered().is_none_or(|rest| rest.len() < length) {
            let left = usize::try_from(self.limit.saturating_sub(self.at)).unwrap_or(usize::MAX);
            let mut chunk = vec![0; length.max(CHUNK).min(left)];
            let got = read_full_at(&*self.file, &mut chunk, self.at)?;
            chunk.truncate(got);
            if got < left && got < length {
                // The file is shorter than was said.
                self.limit = self.at + got as u64;
            }
            self.chunk = Bytes::from(chunk);
            self.chunk_at = self.at;
        }
        let rest = self.buffered().unwrap_or_default();
        Ok(self.chunk.slice_ref(&rest[..rest.len().min(length)]))
    }
}

#[cfg(test)]
mod tests;
