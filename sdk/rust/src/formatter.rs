//! Formatters: events in, records out. The same events give the same bytes.

use crate::batch::{Event, Events};
use crate::config::Config;
use crate::writer::Writer;

/// Room for a record before the first is written; the block grows where records are longer.
const RECORD_BYTES: usize = 512;
/// Added to an average, for copies that run over and for records that vary.
const STEP_BYTES: usize = 64;
/// Most room for a record that is kept in mind.
const MOST_RECORD_BYTES: usize = 16 << 10;

/// Turns events into records. It must be total: any event gives a record or a reason.
pub trait Formatter: Sized {
    type Config: Config;

    /// Called once; an error text goes to the operator.
    fn configure(config: Self::Config) -> Result<Self, String>;
    /// Fields to be handed: RFC 6901 pointers over Bulkhead's own shape, at most 64.
    fn fields(&self) -> Vec<&str>;
    /// Name and media type of what it makes.
    fn record_format(&self) -> RecordFormat;
    /// Writes one record. An error is the reason why this event cannot be formatted; what was written
    /// of it is taken back.
    fn format(&self, event: &Event<'_>, out: &mut Writer) -> Result<(), String>;
}

/// Name and media type of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFormat {
    /// For example `cef`.
    pub name: String,
    /// For example `application/json`.
    pub content_type: String,
}

impl RecordFormat {
    pub fn new(name: &str, content_type: &str) -> Self {
        Self { name: name.to_owned(), content_type: content_type.to_owned() }
    }

    /// Records are JSON texts: `application/json`, any `+json`, and JSON lines.
    pub fn is_json(&self) -> bool {
        let essence = self.content_type.split(';').next().unwrap_or_default().trim();
        essence.ends_with("/json") || essence.ends_with("+json") || matches!(essence, "application/x-ndjson" | "application/jsonl")
    }
}

/// An event that a formatter's own rules refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Place in the batch, from 0.
    pub event: u32,
    pub reason: String,
}

/// Records of a batch: record `i` is `block[offsets[i]..offsets[i + 1]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Formatted {
    pub block: Vec<u8>,
    pub offsets: Vec<u32>,
    pub refused: Vec<Refusal>,
}

/// Formats a batch. `room` is what the longest records so far took: growing a block of records means
/// to copy it, so the next batch begins with room enough.
pub fn format_all<F: Formatter>(formatter: &F, events: Events<'_>, room: &mut usize) -> Formatted {
    let each = (*room).max(RECORD_BYTES);
    let mut out = Writer::with_capacity(events.len() * each);
    let mut offsets = Vec::with_capacity(events.len() + 1);
    let mut refused = Vec::new();
    offsets.push(0);
    for i in 0..events.len() {
        let start = out.len();
        if let Err(reason) = formatter.format(&events.get(i), &mut out) {
            out.truncate(start);
            refused.push(Refusal { event: i as u32, reason });
        }
        // Guest memory ends before 2^32 bytes.
        offsets.push(out.len() as u32);
    }
    // An average over the batch, a little above it; bounded, so that one huge event does not stay.
    *room = (out.len() / events.len().max(1) + STEP_BYTES).min(MOST_RECORD_BYTES);
    Formatted { block: out.into_bytes(), offsets, refused }
}
