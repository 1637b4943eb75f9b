//! Chunks: the events of one tag as one message.

use std::io::Write as _;

use bulkhead_sdk::{Config, Event, RecordFormat, Timestamp, Writer, writer};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::field;
use crate::pack;

/// How the entries of a chunk are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Mode {
    /// An array of entries.
    Forward,
    /// Entries as one block of bytes, which receivers pass on without reading it.
    Packed,
    /// The same, compressed with gzip.
    Compressed,
}

/// How the time of an entry is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Times {
    /// With nanoseconds.
    EventTime,
    /// In whole seconds, for receivers older than Fluentd 0.14.
    Seconds,
}

/// One message being made.
#[derive(Debug)]
pub struct Chunk {
    pub tag: String,
    /// Names the chunk in its acknowledgement.
    pub id: String,
    /// Places in the batch.
    pub events: Vec<usize>,
    entries: Writer,
}

impl Chunk {
    pub fn new(tag: String, id: String) -> Self {
        Self { tag, id, events: Vec::new(), entries: Writer::default() }
    }

    /// Adds an event. A record that is no JSON object becomes the member `key` of one.
    pub fn add(&mut self, place: usize, record: &[u8], event: &Event<'_>, times: Times, key: &str, format: &RecordFormat) {
        let out = &mut self.entries;
        let moment = event.time([field::TIME, field::RECEIVED]).unwrap_or(Timestamp { seconds: 0, fraction: &[] });
        pack::array(2, out);
        match times {
            Times::EventTime => pack::event_time(moment, out),
            Times::Seconds => pack::integer(moment.seconds, out),
        }
        let start = out.len();
        let object = format.is_json() && record.trim_ascii_start().starts_with(b"{") && writer::is_utf8(record);
        if !object || !pack::json(record, out) {
            out.truncate(start);
            pack::map(1, out);
            pack::text(key.as_bytes(), out);
            pack::text(String::from_utf8_lossy(record.trim_ascii_end()).as_bytes(), out);
        }
        self.events.push(place);
    }

    /// The message: tag, entries, options.
    pub fn message(&self, mode: Mode, acknowledged: bool) -> Result<Vec<u8>, String> {
        let mut out = Writer::with_capacity(self.entries.len() + 128);
        pack::array(3, &mut out);
        pack::text(self.tag.as_bytes(), &mut out);
        match mode {
            Mode::Forward => {
                pack::array(self.events.len(), &mut out);
                out.bytes(self.entries.as_bytes());
            }
            Mode::Packed => pack::binary(self.entries.as_bytes(), &mut out),
            Mode::Compressed => pack::binary(&gzip(self.entries.as_bytes()).map_err(|error| format!("the chunk cannot be compressed: {error}"))?, &mut out),
        }
        let compressed = mode == Mode::Compressed;
        pack::map(1 + usize::from(acknowledged) + usize::from(compressed), &mut out);
        pack::text(b"size", &mut out);
        pack::unsigned(self.events.len() as u64, &mut out);
        if compressed {
            pack::text(b"compressed", &mut out);
            pack::text(b"gzip", &mut out);
        }
        if acknowledged {
            pack::text(b"chunk", &mut out);
            pack::text(self.id.as_bytes(), &mut out);
        }
        Ok(out.into_bytes())
    }
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}
