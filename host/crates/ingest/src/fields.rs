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

    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self.kind, Kind::String | Kind::EscapedString)
    }

    /// There, and not null.
    pub(crate) fn is_set(&self) -> bool {
        !matches!(self.kind, Kind::Missing | Kind::Null)
    }

    pub(crate) fn raw<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        text.get(self.range()).unwrap_or_default()
    }

    /// The text of a string, decoded; `None` for other kinds.
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
                return match std::str::from_utf8(key).unwrap_or_default() { $($key => Some(Slot::$slot),)* _ => None };
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
        Id = "id", EventId = "event_id", SpecVersion = "specversion", Context = "context", Event = "event",
        Timestamp = "timestamp", Time = "time", AtTimestamp = "@timestamp", Type = "type", EventType = "event_type",
        Severity = "severity", Level = "level", User = "user", Hostname = "hostname", Host = "host",
        OperationId = "operation_id", Classification = "classification", ComplianceProfiles = "compliance_profiles",
        Metadata = "metadata", Source = "source", TraceParent = "traceparent", Payload = "payload",
        IntegrityHash = "integrity_hash", PreviousHash = "previous_hash", DigitalSignature = "digital_signature",
    }
    CONTEXT {
        ContextOperationId = "operation_id", ContextParent = "parent_operation_id", ContextUser = "user",
        ContextStarted = "started_at", ContextEnvironment = "environment", ContextSecurity = "security",
        ContextCompliance = "compliance_profiles", ContextMetadata = "metadata",
    }
    ENVIRONMENT { EnvironmentHostname = "hostname", EnvironmentProcess = "process_id", }
    SECURITY { SecurityClassification = "classification", }
    EVENT { EventKind = "type", EventCategory = "category", EventSeverity = "severity", EventAction = "action", EventOutcome = "outcome", }
    SOURCE { SourceIp = "ip", SourceHostname = "hostname", SourceUser = "user", }
    DESTINATION { DestinationIp = "ip", DestinationPort = "port", }
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
