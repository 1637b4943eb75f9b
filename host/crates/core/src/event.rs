//! The stored form of an event: the original bytes once, beside a small table that says where each
//! attribute lies. It is what the journal keeps and what lanes read, without parsing anything again.
//!
//! ```text
//! offset  size  field
//! 0       1     version (1)
//! 1       1     shape code
//! 2       1     severity code, 0 where none
//! 3       1     n: number of table entries
//! 4       4     length of the extra bytes, little endian
//! 8       8     time of receipt, nanoseconds since 1970-01-01T00:00:00Z, little endian
//! 16      8 n   table: offset u24, attribute u8, length u24, kind u8, little endian, sorted by attribute
//! 16+8n         extra bytes: values that are not in the original (assigned ids, normalised types)
//! …             the original bytes
//! ```
//! Offsets count from the first extra byte. Strings lie without their quotes, as JSON text.

use std::fmt;
use std::ops::Range;

use crate::attr::{Attr, Kind, Severity, Shape};
use crate::ids::{LaneId, Tenant};

/// Largest event in bytes, so that offsets fit 24 bits.
pub const MAX_EVENT_BYTES: usize = (1 << 24) - 1;
const HEADER: usize = 16;
const ENTRY: usize = 8;
const VERSION: u8 = 1;
/// Stands between a lane and a dead letter; no name of a lane has it.
const LETTER: char = '#';

/// A value inside an event: its kind and its bytes (see [`Kind`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'a> {
    pub kind: Kind,
    pub raw: &'a [u8],
}

impl<'a> Value<'a> {
    /// The text where the value is a string without escapes.
    pub fn plain(&self) -> Option<&'a str> {
        if self.kind == Kind::String { std::str::from_utf8(self.raw).ok() } else { None }
    }

    /// The text where the value is a string, escapes decoded.
    pub fn text(&self) -> Option<std::borrow::Cow<'a, str>> {
        match self.kind {
            Kind::String => std::str::from_utf8(self.raw).ok().map(Into::into),
            Kind::EscapedString => crate::json::decode_string(self.raw).map(Into::into),
            _ => None,
        }
    }
}

/// Bytes that are not a stored event.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a stored event: {0}")]
pub struct CorruptEvent(pub &'static str);

/// A stored event, seen in place.
#[derive(Clone, Copy)]
pub struct EventRef<'a> {
    head: &'a [u8],
    table: &'a [u8],
    /// Extra bytes, then the original.
    body: &'a [u8],
    extra: usize,
}

impl fmt::Debug for EventRef<'_> {
    // Never the payload: it may carry what must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventRef").field("shape", &self.shape()).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

impl<'a> EventRef<'a> {
    /// Looks at stored bytes; checks every offset once, so that later reads cannot fail.
    #[inline]
    pub fn new(stored: &'a [u8]) -> Result<Self, CorruptEvent> {
        let Some((head, rest)) = stored.split_at_checked(HEADER) else { return Err(CorruptEvent("shorter than its header")) };
        if head[0] != VERSION {
            return Err(CorruptEvent("unknown version"));
        }
        let Some((table, body)) = rest.split_at_checked(usize::from(head[3]) * ENTRY) else { return Err(CorruptEvent("table cut short")) };
        let extra = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if extra > body.len() || Shape::from_code(head[1]).is_none() {
            return Err(CorruptEvent("header out of range"));
        }
        let event = Self { head, table, body, extra };
        for entry in table.chunks_exact(ENTRY) {
            let (_, kind, range) = split_entry(entry);
            if range.end > body.len() || Kind::from_code(kind).is_none() {
                return Err(CorruptEvent("table entry out of range"));
            }
        }
        Ok(event)
    }

    #[inline]
    pub fn shape(&self) -> Shape {
        Shape::from_code(self.head[1]).unwrap_or(Shape::Plain)
    }

    #[inline]
    pub fn severity(&self) -> Option<Severity> {
        Severity::from_code(self.head[2])
    }

    /// Time of receipt in nanoseconds since 1970-01-01T00:00:00Z.
    #[inline]
    pub fn received(&self) -> u64 {
        u64::from_le_bytes([self.head[8], self.head[9], self.head[10], self.head[11], self.head[12], self.head[13], self.head[14], self.head[15]])
    }

    /// Where an attribute lies within [`body`](Self::body).
    #[inline]
    pub fn span(&self, attr: Attr) -> Option<(Kind, Range<usize>)> {
        self.table.chunks_exact(ENTRY).find(|entry| entry[3] == attr as u8).map(|entry| {
            let (_, kind, range) = split_entry(entry);
            (Kind::from_code(kind).unwrap_or(Kind::Missing), range)
        })
    }

    #[inline]
    pub fn attr(&self, attr: Attr) -> Option<Value<'a>> {
        self.span(attr).map(|(kind, range)| Value { kind, raw: &self.body[range] })
    }

    /// Every attribute present, by code.
    #[inline]
    pub fn attrs(&self) -> impl Iterator<Item = (Attr, Kind, Range<usize>)> + use<'a> {
        self.table.chunks_exact(ENTRY).filter_map(|entry| {
            let (attr, kind, range) = split_entry(entry);
            Some((Attr::from_code(attr)?, Kind::from_code(kind)?, range))
        })
    }

    /// The extra bytes and the original, which spans point into.
    #[inline]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The bytes as they came in.
    #[inline]
    pub fn original(&self) -> &'a [u8] {
        &self.body[self.extra..]
    }

    /// Whose it is. Nothing for an event of the host's own, unless it was made for a tenant: what the host tells of
    /// itself is nobody's but the operator's.
    pub fn tenant(&self) -> Option<&'a str> {
        match self.attr(Attr::Tenant).and_then(|value| value.plain()) {
            Some(tenant) => Some(tenant),
            None if self.shape() == Shape::Own => None,
            None => Some(Tenant::DEFAULT),
        }
    }

    /// The one lane that a replayed event goes to.
    #[inline]
    pub fn lane(&self) -> Option<&'a str> {
        self.bound().map(|bound| bound.split_once(LETTER).map_or(bound, |(lane, _)| lane))
    }

    /// The dead letter that a replayed event was, where it was one.
    pub fn letter(&self) -> Option<i64> {
        self.bound()?.split_once(LETTER)?.1.parse().ok()
    }

    #[inline]
    fn bound(&self) -> Option<&'a str> {
        let last = self.table.len().checked_sub(ENTRY)?;
        if self.table[last + 3] == Attr::Lane as u8 { self.attr(Attr::Lane).and_then(|value| value.plain()) } else { None }
    }

    /// The id, decoded; empty only for a corrupt event.
    pub fn id(&self) -> std::borrow::Cow<'a, str> {
        self.attr(Attr::Id).and_then(|value| value.text()).unwrap_or_default()
    }
}

#[inline]
fn split_entry(entry: &[u8]) -> (u8, u8, Range<usize>) {
    let start = u32::from_le_bytes([entry[0], entry[1], entry[2], 0]) as usize;
    let length = u32::from_le_bytes([entry[4], entry[5], entry[6], 0]) as usize;
    (entry[3], entry[7], start..start + length)
}

/// Writes stored events. One builder serves many events: `start`, set attributes, `finish`.
#[derive(Debug, Default)]
pub struct EventBuilder {
    entries: Vec<Entry>,
    extra: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    attr: Attr,
    kind: Kind,
    start: usize,
    length: usize,
    in_extra: bool,
}

impl EventBuilder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the event before.
    pub fn start(&mut self) {
        self.entries.clear();
        self.extra.clear();
    }

    /// Begins with all attributes of a stored event, to be finished with the same original.
    pub fn start_from(&mut self, event: &EventRef<'_>) {
        self.start();
        for (attr, kind, range) in event.attrs() {
            if range.start >= event.extra {
                self.span(attr, kind, range.start - event.extra..range.end - event.extra);
            } else {
                self.raw(attr, kind, &event.body[range]);
            }
        }
    }

    pub fn has(&self, attr: Attr) -> bool {
        self.entries.iter().any(|entry| entry.attr == attr)
    }

    /// What an attribute was set to so far; `original` is what [`finish`](Self::finish) will be handed.
    pub fn value<'v>(&'v self, attr: Attr, original: &'v [u8]) -> Option<(Kind, &'v [u8])> {
        let entry = self.entries.iter().find(|entry| entry.attr == attr)?;
        let bytes = if entry.in_extra { &self.extra } else { original };
        Some((entry.kind, bytes.get(entry.start..entry.start + entry.length)?))
    }

    /// Says that an attribute lies in the original. A later value of the same attribute replaces it.
    pub fn span(&mut self, attr: Attr, kind: Kind, range: Range<usize>) {
        self.put(Entry { attr, kind, start: range.start, length: range.len(), in_extra: false });
    }

    /// Sets an attribute to text that is not in the original; escaped here where it must be.
    pub fn text(&mut self, attr: Attr, text: &str) {
        let start = self.extra.len();
        let escaped = crate::json::write_escaped(text, &mut self.extra);
        let kind = if escaped { Kind::EscapedString } else { Kind::String };
        self.put(Entry { attr, kind, start, length: self.extra.len() - start, in_extra: true });
    }

    /// Binds the event to one lane, past all rules: it is read again, or it was this dead letter.
    pub fn bind(&mut self, lane: &LaneId, letter: Option<i64>) {
        match letter {
            Some(letter) => self.text(Attr::Lane, &format!("{lane}{LETTER}{letter}")),
            None => self.text(Attr::Lane, &lane.to_string()),
        }
    }

    /// Sets an attribute to JSON text that is not in the original (an array, an object, a number; a
    /// string without its quotes).
    pub fn raw(&mut self, attr: Attr, kind: Kind, raw: &[u8]) {
        let start = self.extra.len();
        self.extra.extend_from_slice(raw);
        self.put(Entry { attr, kind, start, length: raw.len(), in_extra: true });
    }

    fn put(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|other| other.attr == entry.attr) {
            Some(other) => *other = entry,
            None => self.entries.push(entry),
        }
    }

    /// Bytes that [`finish`](Self::finish) will append for an original of this length.
    pub fn stored_len(&self, original: usize) -> usize {
        HEADER + self.entries.len() * ENTRY + self.extra.len() + original
    }

    /// Appends the stored event. The caller has bounded `original` so that extra and original
    /// together stay within [`MAX_EVENT_BYTES`]; longer ones are refused without writing anything.
    pub fn finish(&mut self, shape: Shape, severity: Option<Severity>, received: u64, original: &[u8], out: &mut Vec<u8>) -> Result<(), CorruptEvent> {
        if self.extra.len() + original.len() > MAX_EVENT_BYTES {
            return Err(CorruptEvent("larger than 16 MiB"));
        }
        let count = u8::try_from(self.entries.len()).map_err(|_| CorruptEvent("too many attributes"))?;
        self.entries.sort_unstable_by_key(|entry| entry.attr);
        out.reserve(self.stored_len(original.len()));
        out.extend_from_slice(&[VERSION, shape as u8, severity.map_or(0, |severity| severity as u8), count]);
        out.extend_from_slice(&(self.extra.len() as u32).to_le_bytes());
        out.extend_from_slice(&received.to_le_bytes());
        for entry in &self.entries {
            let start = if entry.in_extra { entry.start } else { entry.start + self.extra.len() };
            out.extend_from_slice(&(start as u32 | u32::from(entry.attr as u8) << 24).to_le_bytes());
            out.extend_from_slice(&(entry.length as u32 | u32::from(entry.kind as u8) << 24).to_le_bytes());
        }
        out.extend_from_slice(&self.extra);
        out.extend_from_slice(original);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
