//! Which events go together: in the order of their times, within the limits of one request.

use std::borrow::Cow;

use bulkhead_sdk::{Batch, Outcome};

use crate::field;

/// What the service counts for an event beside its text.
pub const EVENT_BYTES: usize = 26;
/// Most of a request, counted that way.
pub const REQUEST_BYTES: usize = 1_048_576;
pub const REQUEST_EVENTS: usize = 10_000;
/// Events of a request are less than a day apart.
const SPAN_MILLIS: u64 = 86_400_000;

/// An event on its way.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// Place in the batch.
    pub place: usize,
    pub millis: u64,
    pub text: Cow<'a, str>,
}

/// Events in the order of their times. What the service cannot take has its outcome already.
pub fn messages<'a>(batch: &Batch<'a>, longest: usize, outcomes: &mut [Option<Outcome>]) -> Vec<Message<'a>> {
    let mut messages = Vec::with_capacity(batch.len());
    for (place, (record, event)) in batch.iter().enumerate() {
        let text = String::from_utf8_lossy(record.trim_ascii_end());
        let refused = match text.len() {
            0 => Some("the record is empty, and the service takes no empty message".to_owned()),
            bytes if bytes > longest => Some(format!("the record has {bytes} bytes, the most is {longest} (`max_event`)")),
            _ => None,
        };
        match (refused, outcomes.get_mut(place)) {
            (Some(reason), Some(outcome)) => *outcome = Some(Outcome::Rejected(reason)),
            _ => {
                // Times before 1970 cannot be told; the service finds the beginning of time too old as well.
                let millis = event.time([field::TIME, field::RECEIVED]).map_or(0, |moment| u64::try_from(moment.millis()).unwrap_or(0));
                messages.push(Message { place, millis, text });
            }
        }
    }
    messages.sort_by_key(|message| message.millis);
    messages
}

/// Cuts them into requests.
pub fn requests<'m, 'a>(messages: &'m [Message<'a>]) -> impl Iterator<Item = &'m [Message<'a>]> {
    let mut rest = messages;
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let (mut count, mut bytes) = (0, 0);
        for message in rest.iter().take(REQUEST_EVENTS) {
            bytes += message.text.len() + EVENT_BYTES;
            if count > 0 && (bytes > REQUEST_BYTES || message.millis - first.millis >= SPAN_MILLIS) {
                break;
            }
            count += 1;
        }
        let (request, behind) = rest.split_at_checked(count)?;
        rest = behind;
        Some(request)
    })
}

pub fn settle(request: &[Message<'_>], judged: Vec<Outcome>, outcomes: &mut [Option<Outcome>]) {
    for (message, outcome) in request.iter().zip(judged) {
        if let Some(slot) = outcomes.get_mut(message.place) {
            *slot = Some(outcome);
        }
    }
}
