//! What the scanner finds in an event, under the names that the shapes know. Filled in the one pass
//! that validates; whoever reads it scans nothing again.

use std::borrow::Cow;
use std::ops::Range;

use bulkhead_core::Kind;
use bulkhead_core::json::{Collect, Group, Member, decode_string};

/// A value's kind and place in the text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) kind: Kind,
    start: usize,
    end: usize,
}

impl Field {
    const MISSING: Self = Self { kind: Kind::Missing, start: 0, end: 0 };

    #[inline]
    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    #[inline]
    pub(crate) fn is_text(&self) -> bool {
        matches!(self.kind, Kind::String | Kind::EscapedString)
    }

    /// There, and not null.
    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        !matches!(self.kind, Kind::Missing | Kind::Null)
    }

    #[inline]
    pub(crate) fn raw<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        text.get(self.range()).unwrap_or_default()
    }

    /// The text of a string, decoded; `None` for other kinds.
    #[inline]
    pub(crate) fn text<'t>(&self, text: &'t [u8]) -> Option<Cow<'t, str>> {
        let raw = self.raw(text);
        match self.kind {
            Kind::String => std::str::from_utf8(raw).ok().map(Into::into),
            Kind::EscapedString => decode_string(raw).map(Into::into),
            _ => None,
        }
    }
}

macro_rules! slots {
    ($($group:ident { $($slot:ident = $key:literal,)* })*) => {
        /// A name that a shape knows, with the object it stands in.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Slot { $($($slot,)*)* }
        const SLOTS: usize = [$($(Slot::$slot),*),*].len();
        #[inline]
        fn slot(group: Group, key: &[u8]) -> Option<Slot> {
            $(if group == $group {
                return match key { $($key => Some(Slot::$slot),)* _ => None };
            })*
            None
        }
    };
}

/// The event itself.
pub(crate) const TOP: Group = Group(1);
const CONTEXT: Group = Group(2);
const ENVIRONMENT: Group = Group(3);
const SECURITY: Group = Group(4);
const EVENT: Group = Group(5);
const SOURCE: Group = Group(6);
const DESTINATION: Group = Group(7);

slots! {
    TOP {
        Id = b"id", EventId = b"event_id", SpecVersion = b"specversion", Context = b"context", Event = b"event",
        Timestamp = b"timestamp", Time = b"time", AtTimestamp = b"@timestamp", Type = b"type", EventType = b"event_type",
        Severity = b"severity", Level = b"level", User = b"user", Hostname = b"hostname", Host = b"host",
        OperationId = b"operation_id", Classification = b"classification", ComplianceProfiles = b"compliance_profiles",
        Metadata = b"metadata", Source = b"source", TraceParent = b"traceparent", Payload = b"payload",
        IntegrityHash = b"integrity_hash", PreviousHash = b"previous_hash", DigitalSignature = b"digital_signature",
    }
    CONTEXT {
        ContextOperationId = b"operation_id", ContextParent = b"parent_operation_id", ContextUser = b"user",
        ContextStarted = b"started_at", ContextEnvironment = b"environment", ContextSecurity = b"security",
        ContextCompliance = b"compliance_profiles", ContextMetadata = b"metadata",
    }
    ENVIRONMENT { EnvironmentHostname = b"hostname", EnvironmentProcess = b"process_id", }
    SECURITY { SecurityClassification = b"classification", }
    EVENT { EventKind = b"type", EventCategory = b"category", EventSeverity = b"severity", EventAction = b"action", EventOutcome = b"outcome", }
    SOURCE { SourceIp = b"ip", SourceHostname = b"hostname", SourceUser = b"user", }
    DESTINATION { DestinationIp = b"ip", DestinationPort = b"port", }
}

/// A member of the event itself, for the shape whose members are attributes.
#[derive(Debug, Clone)]
pub(crate) struct TopMember {
    /// Between the quotes.
    pub(crate) key: Range<usize>,
    pub(crate) key_escaped: bool,
    pub(crate) field: Field,
}

impl TopMember {
    pub(crate) fn name<'t>(&self, text: &'t [u8]) -> Cow<'t, str> {
        let raw = text.get(self.key.clone()).unwrap_or_default();
        match self.key_escaped.then(|| decode_string(raw)).flatten() {
            Some(decoded) => decoded.into(),
            None => String::from_utf8_lossy(raw),
        }
    }
}

/// Everything found in one event.
#[derive(Debug)]
pub(crate) struct Fields {
    slots: [Field; SLOTS],
    pub(crate) top: Vec<TopMember>,
}

impl Fields {
    pub(crate) fn new() -> Self {
        Self { slots: [Field::MISSING; SLOTS], top: Vec::new() }
    }

    pub(crate) fn clear(&mut self) {
        self.slots.fill(Field::MISSING);
        self.top.clear();
    }

    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Field {
        self.slots[slot as usize]
    }
}

impl Collect for Fields {
    fn enter(&mut self, parent: Group, key: &[u8]) -> Group {
        match (parent, key) {
            (TOP, b"context") => CONTEXT,
            (TOP, b"event") => EVENT,
            (TOP, b"source") => SOURCE,
            (TOP, b"destination") => DESTINATION,
            (CONTEXT, b"environment") => ENVIRONMENT,
            (CONTEXT, b"security") => SECURITY,
            _ => Group::NONE,
        }
    }

    #[inline]
    fn member(&mut self, text: &[u8], member: Member) {
        let field = Field { kind: member.kind, start: member.value.start, end: member.value.end };
        let raw = text.get(member.key.clone()).unwrap_or_default();
        let found = match member.key_escaped.then(|| decode_string(raw)).flatten() {
            Some(key) => slot(member.group, key.as_bytes()),
            None => slot(member.group, raw),
        };
        if let Some(found) = found {
            self.slots[found as usize] = field;
        }
        if member.group == TOP {
            self.top.push(TopMember { key: member.key, key_escaped: member.key_escaped, field });
        }
    }
}
