//! Between the generated bindings and the traits. Used by the export macros only.

use std::cell::RefCell;
use std::thread::LocalKey;
use std::time::Duration;

use crate::batch::{Batch, Events, Records};
use crate::bindings::connector::bulkhead::connector::types as wit;
use crate::bindings::connector::exports::bulkhead::connector::delivering;
use crate::bindings::formatter::bulkhead::connector::types as format_wit;
use crate::bindings::formatter::exports::bulkhead::connector::formatting;
use crate::connector::{Connector, Inbound};
use crate::delivery::{Delivery, Failure, Outcome};
use crate::formatter::{Formatter, RecordFormat, format_all};

/// A configured guest, the number of its fields, and the room that records took (formatters only).
pub type Slot<T> = RefCell<Option<(T, usize, usize)>>;

fn with<T, R>(slot: &'static LocalKey<Slot<T>>, call: impl FnOnce(&mut T, usize) -> R) -> Option<R> {
    slot.with_borrow_mut(|slot| slot.as_mut().map(|(guest, fields, _)| call(guest, *fields)))
}

/// The host configures first; another order is its fault, and the answer says so.
fn call<T, R>(slot: &'static LocalKey<Slot<T>>, call: impl FnOnce(&mut T, usize) -> Result<R, Failure>) -> Result<R, wit::Failure> {
    match with(slot, call) {
        Some(result) => result.map_err(failure),
        None => Err(wit::Failure::Other("called before `configure`".to_owned())),
    }
}

pub fn format_configure<T: Formatter>(slot: &'static LocalKey<Slot<T>>, config: &str) -> Result<formatting::Configured, String> {
    let guest = T::configure(crate::config::read(config)?)?;
    let fields: Vec<String> = guest.fields().into_iter().map(str::to_owned).collect();
    let RecordFormat { name, content_type } = guest.record_format();
    let count = fields.len();
    slot.set(Some((guest, count, 0)));
    Ok(formatting::Configured { fields, format: format_wit::RecordFormat { name, content_type } })
}

pub fn format<T: Formatter>(slot: &'static LocalKey<Slot<T>>, events: &format_wit::EventBatch) -> formatting::Formatted {
    let count = events.count as usize;
    let made = slot
        .with_borrow_mut(|slot| slot.as_mut().map(|(guest, fields, room)| format_all(guest, Events::new(&events.block, &events.spans, count, *fields), room)));
    match made {
        Some(made) => formatting::Formatted {
            records: format_wit::RecordBatch { block: made.block, offsets: made.offsets },
            refused: made.refused.into_iter().map(|refusal| formatting::Refusal { event: refusal.event, reason: refusal.reason }).collect(),
        },
        None => formatting::Formatted { records: format_wit::RecordBatch { block: Vec::new(), offsets: vec![0] }, refused: Vec::new() },
    }
}

pub fn configure<T: Connector>(slot: &'static LocalKey<Slot<T>>, config: &str, format: wit::RecordFormat) -> Result<delivering::Configured, String> {
    let format = RecordFormat { name: format.name, content_type: format.content_type };
    let guest = T::configure(crate::config::read(config)?, &format)?;
    let fields: Vec<String> = guest.fields().into_iter().map(str::to_owned).collect();
    let (limits, count) = (guest.limits(), fields.len());
    slot.set(Some((guest, count, 0)));
    Ok(delivering::Configured { fields, max_events: limits.max_events, max_bytes: limits.max_bytes })
}

pub fn check<T: Connector>(slot: &'static LocalKey<Slot<T>>) -> Result<delivering::Checked, wit::Failure> {
    call(slot, |guest, _| guest.check().map(|detail| delivering::Checked { detail }))
}

pub fn deliver<T: Connector>(
    slot: &'static LocalKey<Slot<T>>,
    records: &wit::RecordBatch,
    events: &wit::EventBatch,
    attempt: u32,
) -> Result<wit::Delivery, wit::Failure> {
    call(slot, |guest, fields| {
        let batch =
            Batch { records: Records::new(&records.block, &records.offsets), events: Events::new(&events.block, &events.spans, events.count as usize, fields) };
        guest.deliver(&batch, attempt).map(|delivery| match delivery {
            Delivery::All(one) => wit::Delivery::All(outcome(one)),
            Delivery::Each(each) => wit::Delivery::Each(each.into_iter().map(outcome).collect()),
        })
    })
}

pub fn settle<T: Connector>(slot: &'static LocalKey<Slot<T>>, tokens: &[String]) -> Result<Vec<wit::Outcome>, wit::Failure> {
    call(slot, |guest, _| guest.settle(tokens).map(|outcomes| outcomes.into_iter().map(outcome).collect()))
}

pub fn pull<T: Connector>(slot: &'static LocalKey<Slot<T>>, cursor: &[u8]) -> Result<delivering::Page, wit::Failure> {
    call(slot, |guest, _| guest.pull(cursor).map(|page| delivering::Page { events: records(page.events), cursor: page.cursor, more: page.more }))
}

pub fn query<T: Connector>(slot: &'static LocalKey<Slot<T>>, operation: &str, parameters: &str) -> Result<String, wit::Failure> {
    call(slot, |guest, _| guest.query(operation, parameters))
}

pub fn receive<T: Connector>(slot: &'static LocalKey<Slot<T>>, request: delivering::Inbound) -> Result<delivering::Reply, wit::Failure> {
    let request = Inbound { method: request.method, path: request.path, headers: request.headers, body: request.body };
    call(slot, |guest, _| {
        guest.receive(&request).map(|reply| delivering::Reply { status: reply.status, headers: reply.headers, body: reply.body, events: records(reply.events) })
    })
}

pub fn maintain<T: Connector>(slot: &'static LocalKey<Slot<T>>) -> Result<Option<u32>, wit::Failure> {
    call(slot, |guest, _| guest.maintain().map(|wait| wait.map(|wait| u32::try_from(wait.as_millis()).unwrap_or(u32::MAX))))
}

pub fn close<T: Connector>(slot: &'static LocalKey<Slot<T>>) {
    with(slot, |guest, _| guest.close());
    slot.set(None);
}

fn records(list: Vec<Vec<u8>>) -> wit::RecordBatch {
    let (mut block, mut offsets) = (Vec::new(), vec![0]);
    for record in list {
        block.extend_from_slice(&record);
        offsets.push(block.len() as u32);
    }
    wit::RecordBatch { block, offsets }
}

fn outcome(outcome: Outcome) -> wit::Outcome {
    match outcome {
        Outcome::Accepted(receipt) => wit::Outcome::Accepted(receipt),
        Outcome::Retry(after) => wit::Outcome::Retry(after.map(millis)),
        Outcome::Rejected(reason) => wit::Outcome::Rejected(reason),
        Outcome::Pending { token, poll_after } => wit::Outcome::Pending(wit::Pending { token, poll_after: millis(poll_after) }),
    }
}

fn failure(failure: Failure) -> wit::Failure {
    match failure {
        Failure::Configuration(text) => wit::Failure::Configuration(text),
        Failure::Unauthorized(text) => wit::Failure::Unauthorized(text),
        Failure::Unavailable { reason, after } => wit::Failure::Unavailable((reason, after.map(millis))),
        Failure::TooLarge(text) => wit::Failure::TooLarge(text),
        Failure::Unsupported => wit::Failure::Unsupported,
        Failure::Other(text) => wit::Failure::Other(text),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
