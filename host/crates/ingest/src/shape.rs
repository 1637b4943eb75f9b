//! The shapes that events come in: one file each, a table of names and what is required of it.

pub(crate) mod binary;
pub(crate) mod cloudevents;
pub(crate) mod copybook;
pub(crate) mod datavault;
pub(crate) mod intelliguard;
pub(crate) mod plain;

use std::borrow::Cow;
use std::ops::Range;

use bulkhead_core::projection::write_rfc3339;
use bulkhead_core::{Attr, EventBuilder, Kind, Severity};

use crate::fields::{Field, Fields, Slot};
use crate::ids::IdMaker;
use crate::lists;
use crate::names::{is_snake, write_snake};
use crate::normalise::EventFault;
use crate::timestamp::is_rfc3339;

/// An event on its way to the stored form.
pub(crate) struct Draft<'a> {
    pub(crate) text: &'a [u8],
    /// Where the event begins in `text`.
    pub(crate) base: usize,
    pub(crate) fields: &'a Fields,
    pub(crate) builder: &'a mut EventBuilder,
    pub(crate) scratch: &'a mut Vec<u8>,
    pub(crate) severity: Option<Severity>,
    pub(crate) strict: bool,
}

impl<'a> Draft<'a> {
    pub(crate) fn get(&self, slot: Slot) -> Field {
        self.fields.get(slot)
    }

    fn span(&mut self, attr: Attr, kind: Kind, range: Range<usize>) {
        self.builder.span(attr, kind, range.start - self.base..range.end - self.base);
    }

    /// The payload is the event as a whole.
    pub(crate) fn whole(&mut self, range: Range<usize>) {
        self.span(Attr::Data, Kind::Object, range);
    }

    /// Takes any value as it stands.
    pub(crate) fn any(&mut self, attr: Attr, field: Field) -> bool {
        if field.kind != Kind::Missing {
            self.span(attr, field.kind, field.range());
        }
        field.kind != Kind::Missing
    }

    /// Takes a string that is not empty; false where it is none.
    pub(crate) fn string(&mut self, attr: Attr, field: Field) -> bool {
        let fits = field.is_text() && !field.range().is_empty();
        if fits {
            self.span(attr, field.kind, field.range());
        }
        fits
    }

    pub(crate) fn string_or_number(&mut self, attr: Attr, field: Field) -> bool {
        if field.kind == Kind::Number {
            return self.any(attr, field);
        }
        self.string(attr, field)
    }

    /// Takes a time (RFC 3339), digits as sent.
    pub(crate) fn time(&mut self, field: Field) -> bool {
        match field.kind {
            Kind::String if is_rfc3339(field.raw(self.text)) => self.span(Attr::Time, field.kind, field.range()),
            Kind::EscapedString => match field.text(self.text) {
                Some(time) if is_rfc3339(time.as_bytes()) => self.builder.text(Attr::Time, &time),
                _ => return false,
            },
            _ => return false,
        }
        true
    }

    /// Takes a severity by name or number; false where it is unknown.
    pub(crate) fn severity(&mut self, field: Field) -> bool {
        let severity = match field.kind {
            Kind::Number => severity_number(field.raw(self.text)),
            _ => field.text(self.text).and_then(|text| Severity::parse(text.trim()).or_else(|| severity_number(text.trim().as_bytes()))),
        };
        let Some(severity) = severity else { return false };
        self.severity = Some(severity);
        if field.kind == Kind::String && field.raw(self.text) == severity.name().as_bytes() {
            self.span(Attr::Severity, field.kind, field.range());
        } else {
            self.builder.raw(Attr::Severity, Kind::String, severity.name().as_bytes());
        }
        true
    }

    /// Takes a name in the spelling used inside, with a prefix that it may have already.
    pub(crate) fn name(&mut self, attr: Attr, prefix: &str, field: Field) -> bool {
        let Some(text) = field.text(self.text).filter(|text| !text.is_empty()) else { return false };
        if field.kind == Kind::String && is_snake(&text) && (prefix.is_empty() || text.starts_with(prefix)) {
            self.span(attr, field.kind, field.range());
            return true;
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(prefix.as_bytes());
        write_snake(&text, self.scratch);
        let bare = &self.scratch[prefix.len()..];
        if bare.is_empty() {
            return false;
        }
        let name = if !prefix.is_empty() && bare.starts_with(prefix.as_bytes()) { bare } else { &self.scratch[..] };
        self.builder.raw(attr, Kind::String, name);
        true
    }

    /// Takes compliance profiles: an array of strings, spelled as inside.
    pub(crate) fn compliance(&mut self, field: Field) -> bool {
        if field.kind != Kind::Array {
            return false;
        }
        let Some(list) = lists::strings(field.raw(self.text)) else { return false };
        if lists::all_snake(&list) {
            self.span(Attr::Compliance, Kind::Array, field.range());
        } else {
            self.list(Attr::Compliance, &list, true);
        }
        true
    }

    fn list(&mut self, attr: Attr, list: &[Cow<'_, str>], snake: bool) {
        self.scratch.clear();
        lists::write_array(list, snake, self.scratch);
        self.builder.raw(attr, Kind::Array, self.scratch);
    }

    /// Takes free labels: an object.
    fn labels(&mut self, field: Field) -> bool {
        field.kind == Kind::Object && self.any(Attr::Metadata, field)
    }

    /// Takes free labels; one named `user_role` is a role too.
    pub(crate) fn metadata(&mut self, field: Field) -> bool {
        let taken = self.labels(field);
        if taken {
            self.user_role(field.raw(self.text), Vec::new());
        }
        taken
    }

    /// Adds the label `user_role` of an object to the roles known so far.
    fn user_role(&mut self, metadata: &[u8], mut roles: Vec<Cow<'a, str>>) {
        let role = match lists::member(metadata, "user_role") {
            Some((Kind::String, raw)) => std::str::from_utf8(raw).ok().map(|role| role.to_owned()),
            Some((Kind::EscapedString, raw)) => bulkhead_core::json::decode_string(raw),
            _ => None,
        };
        if let Some(role) = role.filter(|role| !role.is_empty() && !roles.iter().any(|known| known == role)) {
            roles.push(role.into());
            self.list(Attr::Roles, &roles, false);
        }
    }

    /// Where no time was taken: the time of receipt, marked as such.
    pub(crate) fn time_of_receipt(&mut self, received: u64) {
        if !self.builder.has(Attr::Time) {
            self.scratch.clear();
            write_rfc3339(received, self.scratch);
            self.builder.raw(Attr::Time, Kind::String, self.scratch);
            self.builder.raw(Attr::TimeSource, Kind::String, b"receipt");
        }
    }

    /// Where no id was taken: a new one.
    pub(crate) fn assign_id(&mut self, ids: &mut IdMaker, received: u64) -> bool {
        let missing = !self.builder.has(Attr::Id);
        if missing {
            let mut buffer = [0; 36];
            self.builder.raw(Attr::Id, Kind::String, ids.next(received, &mut buffer).as_bytes());
        }
        missing
    }

    /// The fault of a field that a strict listener wants and does not find.
    pub(crate) fn wants(&self, field: Field, pointer: &str, wanted: &str) -> EventFault {
        let reason = if field.is_set() { format!("must be {wanted}") } else { format!("required, {wanted}") };
        let mut fault = EventFault::new(pointer, reason);
        if field.kind != Kind::Missing {
            fault.at = Some(field.range().start);
        }
        fault
    }

    /// Refuses what is missing where the listener is strict.
    pub(crate) fn require(&self, taken: bool, slot: Slot, pointer: &str, wanted: &str) -> Result<(), EventFault> {
        if taken || !self.strict { Ok(()) } else { Err(self.wants(self.get(slot), pointer, wanted)) }
    }

    /// Like [`require`](Self::require), for fields that may be absent but not of another type.
    pub(crate) fn allow(&self, taken: bool, slot: Slot, pointer: &str, wanted: &str) -> Result<(), EventFault> {
        self.require(taken || !self.get(slot).is_set(), slot, pointer, wanted)
    }
}

/// Numbers as severities: syslog's 0 to 7 (RFC 5424 §6.2.1), and the tens of common loggers
/// (10 trace, 20 debug, 30 info, 40 warn, 50 error, 60 fatal).
fn severity_number(digits: &[u8]) -> Option<Severity> {
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match number {
        10 | 20 | 30 => Some(Severity::Info),
        40 => Some(Severity::Medium),
        50 => Some(Severity::High),
        60 => Some(Severity::Critical),
        _ => Severity::from_syslog(number),
    }
}
