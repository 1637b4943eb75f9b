//! Another event in place of a dead letter's. It comes in as any event does: the same scan, the same shape,
//! the letter's tenant. Its id stays, because receivers know it by that; its time of receipt stays, because
//! it was not received again.

use bulkhead_core::{Attr, EventBuilder, EventRef, Shape, Tenant};
use bulkhead_ingest::{Form, Normaliser, Rules, ShapeRule};
use bulkhead_store::DeadLetter;

use super::patch;

/// Why an edit is refused. Names no value of the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditFault {
    pub reason: String,
    /// Where in the event (RFC 6901), where that is known.
    pub pointer: Option<String>,
}

impl EditFault {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), pointer: None }
    }
}

/// What is put in place.
#[derive(Debug)]
pub struct NewEvent {
    pub stored: Vec<u8>,
    pub event_type: String,
}

/// The event as a whole.
pub fn replace(letter: &DeadLetter, text: &[u8], strict: bool) -> Result<NewEvent, EditFault> {
    let old = old(letter)?;
    let text = std::str::from_utf8(text).map_err(|_| EditFault::new("the event is not UTF-8"))?;
    let shape = match old.shape() {
        Shape::CloudEvents | Shape::Own => ShapeRule::CloudEvents,
        Shape::Copybook => ShapeRule::Copybook,
        Shape::Intelliguard => ShapeRule::Intelliguard,
        Shape::Datavault => ShapeRule::Datavault,
        Shape::Plain => ShapeRule::Plain,
    };
    let rules = Rules { shape, strict, tenant: Tenant::new(&letter.tenant).unwrap_or_default() };
    let mut fresh = Vec::new();
    let taken = Normaliser::new(rules)
        .event(text.as_bytes(), 0, Form::Json, old.received(), &mut fresh)
        .map_err(|refused| EditFault { reason: refused.fault.reason, pointer: Some(refused.fault.pointer) })?;
    if !text.get(taken.end..).unwrap_or_default().trim_matches([' ', '\t', '\r', '\n']).is_empty() {
        return Err(EditFault::new("something follows the event; an edit is one event"));
    }
    let event = EventRef::new(&fresh).map_err(|error| EditFault::new(error.to_string()))?;
    if !taken.assigned && event.id() != old.id() {
        return Err(EditFault::new(format!("the event has another id; it must keep `{}`, by which receivers know it", letter.event_id.escape_default())));
    }
    let mut builder = EventBuilder::new();
    builder.start_from(&event);
    if taken.assigned {
        builder.text(Attr::Id, &old.id());
    }
    // An event of ours stays one.
    let shape = if old.shape() == Shape::Own { Shape::Own } else { event.shape() };
    let mut stored = Vec::new();
    builder.finish(shape, event.severity(), old.received(), event.original(), &mut stored).map_err(|error| EditFault::new(error.to_string()))?;
    let event_type = event.attr(Attr::Type).and_then(|value| value.text()).unwrap_or_default().into_owned();
    Ok(NewEvent { stored, event_type })
}

/// The event with a JSON merge patch applied.
pub fn change(letter: &DeadLetter, patch: &[u8], strict: bool) -> Result<NewEvent, EditFault> {
    let old = old(letter)?;
    let text = std::str::from_utf8(old.original()).map_err(|_| EditFault::new("the event did not come in as text, so it cannot be patched"))?;
    let patch = std::str::from_utf8(patch).map_err(|_| EditFault::new("the patch is not UTF-8"))?;
    let merged = patch::merge(text, patch).map_err(EditFault::new)?;
    replace(letter, merged.as_bytes(), strict)
}

fn old(letter: &DeadLetter) -> Result<EventRef<'_>, EditFault> {
    letter.event.as_deref().and_then(|stored| EventRef::new(stored).ok()).ok_or_else(|| EditFault::new("the stored event cannot be read"))
}
