//! Bodies of requests: what media types and encodings mean, how the events in a body are parted.
//!
//! Refused: encodings and types beyond the list, decoded bodies beyond the limit (whatever the
//! ratio), more events than the limit, empty batches. A fault in one event does not hide those of the
//! others, as long as the text can be read beyond it.

mod decode;

use bulkhead_core::json::skip_space;
use bulkhead_journal::AppendBatch;

use crate::normalise::{EventFault, Form, Normaliser, Refused};
use crate::shape::binary::BinaryHead;

pub use decode::{DecodeFault, Encoding, decode};

/// Faults that are listed one by one; above they are only counted.
const MAX_LISTED: usize = 100;

/// How a body holds its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Media {
    /// One object, or an array of them.
    Json,
    /// One object on each line; blank lines are allowed.
    Ndjson,
    CloudEvent,
    CloudEventBatch,
    /// One CloudEvent, its attributes in headers.
    Binary(BinaryHead),
}

impl Media {
    pub const ACCEPTED: &'static str =
        "application/json, application/x-ndjson, application/cloudevents+json, application/cloudevents-batch+json, or CloudEvents binary mode headers";

    /// Reads a content type; parameters are ignored but for a charset other than UTF-8.
    pub fn from_content_type(value: &str) -> Option<Self> {
        let mut parts = value.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default();
        let foreign = |parameter: &str| {
            let (name, charset) = parameter.split_once('=').unwrap_or((parameter, ""));
            name.trim().eq_ignore_ascii_case("charset")
                && !["utf-8", "us-ascii"].iter().any(|known| charset.trim().trim_matches('"').eq_ignore_ascii_case(known))
        };
        if parts.any(foreign) {
            return None;
        }
        [
            ("application/json", Self::Json),
            ("application/x-ndjson", Self::Ndjson),
            ("application/ndjson", Self::Ndjson),
            ("application/cloudevents+json", Self::CloudEvent),
            ("application/cloudevents-batch+json", Self::CloudEventBatch),
        ]
        .into_iter()
        .find_map(|(name, media)| name.eq_ignore_ascii_case(essence).then_some(media))
    }
}

/// Bounds of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Events in one request.
    pub events: usize,
}

/// A fault and the place of its event in the body, from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub index: usize,
    pub fault: EventFault,
}

/// What a body held. The good events are in the batch.
#[derive(Debug, Default)]
pub struct Summary {
    /// Events seen, bad ones included.
    pub events: usize,
    /// Bad ones.
    pub faulty: usize,
    /// The first 100 of them.
    pub listed: Vec<Listed>,
    /// The text could not be read to its end, so nothing of it may be accepted.
    pub broken: bool,
    /// An event came without an id and was given one.
    pub assigned: bool,
}

/// Why a body has no events to speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    #[error("the body holds no event")]
    Empty,
    #[error("more than {limit} events in one request: send them in several")]
    TooManyEvents { limit: usize },
}

impl Summary {
    pub(crate) fn refuse(&mut self, fault: EventFault) {
        self.faulty += 1;
        if self.listed.len() < MAX_LISTED {
            self.listed.push(Listed { index: self.events, fault });
        }
    }
}

/// Reads all events of a decoded body into the batch.
pub fn read_events(
    normaliser: &mut Normaliser,
    media: &Media,
    body: &[u8],
    received: u64,
    bounds: Bounds,
    batch: &mut AppendBatch,
) -> Result<Summary, BodyFault> {
    let mut reader = Reader { normaliser, received, bounds, batch, summary: Summary::default() };
    match media {
        Media::Ndjson => reader.lines(body)?,
        Media::Json => reader.utf8(body, |reader, text| match text.get(skip_space(text, 0)) {
            Some(b'[') => reader.array(text, Form::Json),
            _ => reader.single(text, Form::Json),
        })?,
        Media::CloudEvent => reader.utf8(body, |reader, text| reader.single(text, Form::CloudEvents))?,
        Media::CloudEventBatch => reader.utf8(body, |reader, text| match text.get(skip_space(text, 0)) {
            None | Some(b'[') => reader.array(text, Form::CloudEvents),
            Some(_) => {
                reader.summary.refuse(EventFault::new("", "a batch of CloudEvents is a JSON array"));
                reader.summary.broken = true;
                Ok(())
            }
        })?,
        Media::Binary(head) => {
            let mut structured = Vec::with_capacity(body.len() + 512);
            match head.write_structured(body, &mut structured) {
                Ok(()) => reader.single(&structured, Form::CloudEvents)?,
                Err(fault) => reader.summary.refuse(fault),
            }
        }
    }
    let summary = reader.summary;
    if summary.events == 0 && summary.faulty == 0 { Err(BodyFault::Empty) } else { Ok(summary) }
}

struct Reader<'a> {
    normaliser: &'a mut Normaliser,
    received: u64,
    bounds: Bounds,
    batch: &'a mut AppendBatch,
    summary: Summary,
}

impl Reader<'_> {
    /// Reads text, or refuses the event that holds the first byte that is not UTF-8.
    fn utf8(&mut self, body: &[u8], read: impl FnOnce(&mut Self, &[u8]) -> Result<(), BodyFault>) -> Result<(), BodyFault> {
        let Err(error) = std::str::from_utf8(body) else { return read(self, body) };
        // The text before it ends within the event in question, so reading it finds the place.
        let at = error.valid_up_to();
        let result = read(self, &body[..at]);
        match self.summary.listed.last_mut() {
            Some(last) if self.summary.broken => {
                last.fault = EventFault { pointer: std::mem::take(&mut last.fault.pointer), reason: "not UTF-8".into(), at: Some(at) }
            }
            _ => self.summary.refuse(EventFault { at: Some(at), ..EventFault::new("", "not UTF-8") }),
        }
        self.summary.broken = true;
        match result {
            Err(BodyFault::TooManyEvents { limit }) => Err(BodyFault::TooManyEvents { limit }),
            _ => Ok(()),
        }
    }

    /// Reads one event; where the text goes on, or `None` where it cannot be read further. An event
    /// that is `alone` must be followed by nothing.
    fn event(&mut self, text: &[u8], at: usize, form: Form, alone: bool) -> Result<Option<usize>, BodyFault> {
        if self.summary.events >= self.bounds.events {
            return Err(BodyFault::TooManyEvents { limit: self.bounds.events });
        }
        let end = match self.normaliser.event(text, at, form, self.received, self.batch.buffer()) {
            Ok(taken) if alone && skip_space(text, taken.end) < text.len() => {
                self.batch.discard();
                let at = Some(skip_space(text, taken.end));
                self.summary.refuse(EventFault {
                    at,
                    ..EventFault::new("", "more text behind the event: several go into an array, or on a line each as application/x-ndjson")
                });
                None
            }
            Ok(taken) => {
                match self.batch.push_event() {
                    Ok(()) => self.summary.assigned |= taken.assigned,
                    Err(error) => self.summary.refuse(EventFault::new("", error.to_string())),
                }
                Some(taken.end)
            }
            Err(Refused { fault, end }) => {
                self.batch.discard();
                self.summary.refuse(fault);
                end
            }
        };
        if end.is_some() {
            self.summary.events += 1;
        } else {
            self.summary.broken = true;
        }
        Ok(end)
    }

    fn broken(&mut self, at: usize, reason: &str) {
        self.summary.refuse(EventFault { at: Some(at), ..EventFault::new("", reason) });
        self.summary.broken = true;
    }

    fn single(&mut self, text: &[u8], form: Form) -> Result<(), BodyFault> {
        if skip_space(text, 0) == text.len() {
            return Ok(());
        }
        self.event(text, 0, form, true)?;
        Ok(())
    }

    fn array(&mut self, text: &[u8], form: Form) -> Result<(), BodyFault> {
        let mut at = skip_space(text, 0);
        if at == text.len() {
            return Ok(());
        }
        at = skip_space(text, at + 1);
        let mut open = text.get(at) != Some(&b']');
        while open {
            let Some(end) = self.event(text, at, form, false)? else { return Ok(()) };
            at = skip_space(text, end);
            open = match text.get(at) {
                Some(b',') => true,
                Some(b']') => false,
                Some(_) => {
                    self.broken(at, "expected , or ] behind the event");
                    return Ok(());
                }
                None => {
                    self.broken(at, "the text ends within the array of events");
                    return Ok(());
                }
            };
            at += usize::from(open);
        }
        let behind = skip_space(text, at + 1);
        if behind < text.len() {
            self.broken(behind, "more text behind the array of events");
        }
        Ok(())
    }

    /// Each line stands for itself: a fault ends with its line.
    fn lines(&mut self, body: &[u8]) -> Result<(), BodyFault> {
        let valid = std::str::from_utf8(body).is_ok();
        let mut start = 0;
        while start < body.len() {
            let end = memchr::memchr(b'\n', &body[start..]).map_or(body.len(), |length| start + length);
            let line = &body[start..end];
            if skip_space(line, 0) < line.len() {
                self.line(line, start, valid)?;
            }
            start = end + 1;
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8], start: usize, valid: bool) -> Result<(), BodyFault> {
        if !valid && let Err(error) = std::str::from_utf8(line) {
            if self.summary.events >= self.bounds.events {
                return Err(BodyFault::TooManyEvents { limit: self.bounds.events });
            }
            self.summary.refuse(EventFault { at: Some(start + error.valid_up_to()), ..EventFault::new("", "not UTF-8") });
            self.summary.events += 1;
            return Ok(());
        }
        let (broken, listed) = (self.summary.broken, self.summary.listed.len());
        if self.event(line, 0, Form::Json, true)?.is_none() {
            self.summary.events += 1;
        }
        self.summary.broken = broken;
        if let Some(last) = self.summary.listed.get_mut(listed) {
            last.fault.at = last.fault.at.map(|at| at + start);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
