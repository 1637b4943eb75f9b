//! Bodies made of one JSON entry for each event, within what a receiver takes in a request.
//!
//! Promised: an event whose entry cannot be written, or is longer than the receiver takes, is rejected
//! alone and the others go out; a body that is too long as a whole is sent in halves by the host.

use std::time::Duration;

use crate::batch::{Batch, Event};
use crate::delivery::{Delivery, Failure, Outcome};
use crate::writer::Writer;

/// Most bytes that a receiver takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Of one entry.
    pub entry: usize,
    /// Of a request's body, before compression.
    pub body: usize,
}

/// A body and what became of the events that are not in it.
#[derive(Debug)]
pub struct Entries {
    body: Vec<u8>,
    /// Why each event is not in the body; `None` where it is.
    refused: Vec<Option<String>>,
    sent: usize,
    too_long: Option<String>,
}

impl Entries {
    /// Writes `begin`, the entries with commas between them, and `end`. An error of `entry` is the reason why
    /// that event is rejected.
    pub fn write(
        batch: &Batch<'_>,
        (begin, end): (&[u8], &[u8]),
        room: Room,
        mut entry: impl FnMut(&[u8], &Event<'_>, &mut Writer) -> Result<(), String>,
    ) -> Self {
        let mut out = Writer::with_capacity(batch.records.bytes().len() + batch.len() * 256 + begin.len() + end.len());
        out.bytes(begin);
        let mut refused = Vec::with_capacity(batch.len());
        let mut sent = 0;
        for (record, event) in batch.iter() {
            let start = out.len();
            if sent > 0 {
                out.byte(b',');
            }
            let inside = out.len();
            let written = entry(record, &event, &mut out);
            // Alone in its request it has the frame beside it.
            let most = room.entry.min(room.body.saturating_sub(begin.len() + end.len()));
            let bytes = out.len() - inside;
            let reason = match written {
                Err(reason) => Some(reason),
                Ok(()) if bytes > most => Some(format!("the event takes {bytes} bytes, the receiver takes at most {most}")),
                Ok(()) => None,
            };
            match &reason {
                Some(_) => out.truncate(start),
                None => sent += 1,
            }
            refused.push(reason);
        }
        out.bytes(end);
        let bytes = out.len();
        let too_long = (bytes > room.body).then(|| format!("the batch takes {bytes} bytes, the receiver takes at most {}; lower `batch.max_bytes`", room.body));
        Self { body: out.into_bytes(), refused, sent, too_long }
    }

    /// Sends the body with so many events, unless none is left, and gives the outcome of every event of the batch.
    pub fn deliver(self, send: impl FnOnce(Vec<u8>, usize) -> Result<Delivery, Failure>) -> Result<Delivery, Failure> {
        let Self { body, refused, sent, too_long } = self;
        let result = match too_long {
            Some(reason) => Err(Failure::TooLarge(reason)),
            None if sent == 0 => Ok(Delivery::accepted()),
            None => send(body, sent),
        };
        if sent == refused.len() {
            return result;
        }
        // Some are rejected whatever becomes of the rest, so the call does not fail as a whole any more: what
        // fails comes again, without them.
        let mut rest = match result {
            Ok(Delivery::All(outcome)) => vec![outcome; sent],
            Ok(Delivery::Each(outcomes)) => outcomes,
            Err(Failure::TooLarge(_)) => vec![Outcome::Retry(Some(Duration::ZERO)); sent],
            Err(Failure::Unavailable { after, .. }) => vec![Outcome::Retry(after); sent],
            Err(_) => vec![Outcome::Retry(None); sent],
        }
        .into_iter();
        let outcome = |reason: Option<String>| match reason {
            Some(reason) => Outcome::Rejected(reason),
            None => rest.next().unwrap_or(Outcome::Retry(None)),
        };
        Ok(Delivery::Each(refused.into_iter().map(outcome).collect()))
    }
}

#[cfg(test)]
mod tests;
