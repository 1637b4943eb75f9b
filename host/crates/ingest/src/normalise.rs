//! From the text of one event to its stored form: one validating pass, then the shape's table of
//! names. Nothing is lost: the original stays as it is, attributes point into it, and only what is
//! derived (normalised names, assigned ids, the time of receipt) is written beside it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulkhead_core::json::{Fault, Limits, Scanner};
use bulkhead_core::{Attr, EventBuilder, Kind, Shape, Tenant};

use crate::fields::{Fields, Slot, TOP};
use crate::ids::IdMaker;
use crate::inbound::Origin;
use crate::shape::{self, Draft};

/// The shapes a listener takes: one, or whatever an event looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ShapeRule {
    #[default]
    Auto,
    CloudEvents,
    Copybook,
    Intelliguard,
    Datavault,
    Plain,
}

impl ShapeRule {
    pub const ALL: [Self; 6] = [Self::Auto, Self::CloudEvents, Self::Copybook, Self::Intelliguard, Self::Datavault, Self::Plain];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::CloudEvents => "cloudevents",
            Self::Copybook => "copybook",
            Self::Intelliguard => "intelliguard",
            Self::Datavault => "datavault",
            Self::Plain => "plain",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shape| shape.name() == name)
    }
}

/// What a listener asks of its events.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    pub shape: ShapeRule,
    /// Required fields of the shape must be there, with the right types.
    pub strict: bool,
    /// Whose events these are: from the credential, never from the body.
    pub tenant: Tenant,
}

/// What the content type says about the events in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// JSON: the listener's rule and the event's looks decide.
    Json,
    /// One of the CloudEvents types: always that shape, always strict.
    CloudEvents,
}

/// Why an event was refused. Pointers are from the event's root; no values are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFault {
    /// RFC 6901; empty for the event as a whole.
    pub pointer: String,
    pub reason: String,
    /// Byte in the body, where it is known.
    pub at: Option<usize>,
}

impl EventFault {
    pub(crate) fn new(pointer: &str, reason: impl Into<String>) -> Self {
        Self { pointer: pointer.to_owned(), reason: reason.into(), at: None }
    }
}

/// A refused event, and where the next one may begin.
#[derive(Debug)]
pub struct Refused {
    pub fault: EventFault,
    /// `None` where the text cannot be read beyond the fault.
    pub end: Option<usize>,
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self { end: fault.end, fault: EventFault { reason: fault.kind.to_string(), pointer: fault.pointer, at: Some(fault.at) } }
    }
}

/// An event that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Behind the event's text.
    pub end: usize,
    /// It came without an id and was given one.
    pub assigned: bool,
}

/// Turns events into their stored form. One serves many, keeping its buffers.
#[derive(Debug)]
pub struct Normaliser {
    rules: Rules,
    scanner: Scanner,
    fields: Fields,
    builder: EventBuilder,
    ids: IdMaker,
    scratch: Vec<u8>,
    /// What the request says about its events, where they came to an address of their own.
    origin: Option<Origin>,
    /// Source of events that name none; empty where there is none to be had.
    source: String,
}

impl Normaliser {
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            scanner: Scanner::new(Limits::default()),
            fields: Fields::new(),
            builder: EventBuilder::new(),
            ids: IdMaker::new(),
            scratch: Vec::new(),
            origin: None,
            source: String::new(),
        }
    }

    /// For the events of one request.
    pub(crate) fn with_origin(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Id and source of the events to come, where they have none of their own.
    pub(crate) fn given(&mut self, id: Option<uuid::Uuid>, source: &str) {
        self.ids.give(id);
        self.source.clear();
        self.source.push_str(source);
    }

    /// Reads the event at `at` (space before it is allowed) and appends its stored form. The caller
    /// has checked that the text is UTF-8.
    pub fn event(&mut self, text: &[u8], at: usize, form: Form, received: u64, out: &mut Vec<u8>) -> Result<Taken, Refused> {
        self.fields.clear();
        let scanned = self.scanner.value(text, at, TOP, &mut self.fields)?;
        let refuse = |fault: EventFault| Refused { fault: EventFault { at: fault.at.or(Some(scanned.span.start)), ..fault }, end: Some(scanned.end) };
        if scanned.kind != Kind::Object {
            return Err(refuse(EventFault::new("", "an event is a JSON object")));
        }
        self.builder.start();
        self.scratch.clear();
        let (shape, strict) = self.shape(form);
        let mut draft =
            Draft { text, base: scanned.span.start, fields: &self.fields, builder: &mut self.builder, scratch: &mut self.scratch, severity: None, strict };
        let shape = match shape {
            ShapeRule::CloudEvents => shape::cloudevents::fill(&mut draft),
            ShapeRule::Datavault => shape::datavault::fill(&mut draft),
            ShapeRule::Copybook => shape::copybook::fill(&mut draft),
            ShapeRule::Intelliguard => shape::intelliguard::fill(&mut draft),
            ShapeRule::Plain | ShapeRule::Auto => shape::plain::fill(&mut draft),
        }
        .map_err(refuse)?;
        if !matches!(shape, Shape::CloudEvents | Shape::Datavault) {
            draft.whole(scanned.span.clone());
        }
        if let Some(origin) = &mut self.origin {
            origin.fill(draft.builder, text.get(scanned.span.clone()).unwrap_or_default());
        }
        draft.time_of_receipt(received);
        let severity = draft.severity;
        let assigned = draft.assign_id(&mut self.ids, received);
        if !self.source.is_empty() && !self.builder.has(Attr::Source) {
            self.builder.text(Attr::Source, &self.source);
        }
        if !self.rules.tenant.is_default() {
            self.builder.text(Attr::Tenant, self.rules.tenant.as_str());
        }
        let original = text.get(scanned.span.clone()).unwrap_or_default();
        self.builder.finish(shape, severity, received, original, out).map_err(|error| refuse(EventFault::new("", error.to_string())))?;
        Ok(Taken { end: scanned.end, assigned })
    }

    /// Appends one event whose payload is no JSON: text, or base64 of bytes that are none.
    pub(crate) fn opaque(&mut self, payload: &[u8], content_type: Option<&str>, received: u64, out: &mut Vec<u8>) -> Result<(), EventFault> {
        self.builder.start();
        self.fields.clear();
        if let Some(origin) = &mut self.origin {
            origin.fill(&mut self.builder, payload);
        }
        if let Some(content_type) = content_type {
            self.builder.text(Attr::DataContentType, content_type);
        }
        match std::str::from_utf8(payload) {
            Ok(text) => self.builder.text(Attr::Data, text),
            Err(_) => self.builder.text(Attr::DataBase64, &STANDARD.encode(payload)),
        }
        let mut draft =
            Draft { text: payload, base: 0, fields: &self.fields, builder: &mut self.builder, scratch: &mut self.scratch, severity: None, strict: false };
        draft.time_of_receipt(received);
        draft.assign_id(&mut self.ids, received);
        if !self.rules.tenant.is_default() {
            self.builder.text(Attr::Tenant, self.rules.tenant.as_str());
        }
        self.builder.finish(Shape::Plain, None, received, payload, out).map_err(|error| EventFault::new("", error.to_string()))
    }

    /// The shape to read by, and whether its required fields must be there.
    fn shape(&self, form: Form) -> (ShapeRule, bool) {
        let is = |slot: Slot, kind: Kind| self.fields.get(slot).kind == kind;
        let there = |slot: Slot| self.fields.get(slot).kind != Kind::Missing;
        match (form, self.rules.shape) {
            (Form::CloudEvents, ShapeRule::Datavault) => (ShapeRule::Datavault, true),
            (Form::CloudEvents, _) => (ShapeRule::CloudEvents, true),
            (Form::Json, ShapeRule::Auto) => {
                let shape = if there(Slot::SpecVersion) {
                    ShapeRule::CloudEvents
                } else if there(Slot::EventId) && is(Slot::Context, Kind::Object) {
                    ShapeRule::Copybook
                } else if is(Slot::Event, Kind::Object) && there(Slot::Id) && there(Slot::Timestamp) {
                    ShapeRule::Intelliguard
                } else {
                    ShapeRule::Plain
                };
                (shape, self.rules.strict)
            }
            (Form::Json, shape) => (shape, self.rules.strict),
        }
    }
}

#[cfg(test)]
mod tests;
