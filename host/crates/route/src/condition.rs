//! Conditions of rules. Built once from the configuration, then asked for every event; an event is read
//! in place, and only strings with escapes are decoded.

use std::borrow::Cow;
use std::cell::OnceCell;

use bulkhead_core::{Attr, EventRef, Kind, Severity};

use crate::json_scan::{member, scalars};
use crate::names::{FoldedType, Name, TypeName};

/// Deepest nesting of `and`, `or`, `not`: conditions are evaluated recursively.
pub const MAX_DEPTH: usize = 32;

/// What must hold of an event. Lists of names mean "one of these".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// All; true where empty.
    And(Vec<Condition>),
    /// At least one; false where empty.
    Or(Vec<Condition>),
    Not(Box<Condition>),
    EventType(Vec<TypeName>),
    /// False for an event without a severity.
    Severity(SeveritySet),
    /// At least this grave. An event without a severity counts as `info`.
    MinSeverity(Severity),
    SecurityClassification(Vec<Name>),
    /// One of the event's active profiles.
    ComplianceProfile(Vec<Name>),
    /// One of the event's roles, exactly as written.
    UserRole(Vec<Box<str>>),
    /// The label is there and has this text in it; case counts.
    MetadataContains {
        key: Box<str>,
        value: Box<str>,
    },
    /// The event's source, exactly as written.
    Source(Vec<Box<str>>),
    Always,
    Never,
}

impl Condition {
    pub fn holds(&self, event: &EventRef<'_>) -> bool {
        self.holds_for(&View::new(event))
    }

    /// The event types of which one must be there for this to hold; none where others may do as well.
    pub(crate) fn types(&self) -> Option<Vec<&[u8]>> {
        match self {
            Self::EventType(types) => types.iter().map(TypeName::exact).collect(),
            Self::And(parts) => parts.iter().find_map(Self::types),
            Self::Or(parts) => parts.iter().map(Self::types).collect::<Option<Vec<_>>>().map(|all| all.concat()),
            Self::Never => Some(Vec::new()),
            _ => None,
        }
    }

    /// Nesting: 1 for a condition without parts. Stops counting beyond [`MAX_DEPTH`].
    pub fn depth(&self) -> usize {
        self.depth_within(MAX_DEPTH)
    }

    fn depth_within(&self, room: usize) -> usize {
        if room == 0 {
            return 1;
        }
        1 + match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().map(|part| part.depth_within(room - 1)).max().unwrap_or(0),
            Self::Not(part) => part.depth_within(room - 1),
            _ => 0,
        }
    }

    pub(crate) fn holds_for(&self, view: &View<'_>) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.holds_for(view)),
            Self::Or(parts) => parts.iter().any(|part| part.holds_for(view)),
            Self::Not(part) => !part.holds_for(view),
            Self::EventType(types) => view.is_of(types),
            Self::Severity(set) => view.event.severity().is_some_and(|severity| set.contains(severity)),
            Self::MinSeverity(least) => view.severity() >= *least,
            Self::SecurityClassification(names) => view.classified_as(names),
            Self::ComplianceProfile(names) => view.any_of(Attr::Compliance, |profile| names.iter().any(|name| name.matches(profile))),
            Self::UserRole(roles) => view.any_of(Attr::Roles, |role| roles.iter().any(|wanted| wanted.as_bytes() == role)),
            Self::MetadataContains { key, value } => {
                let label = view.event.attr(Attr::Metadata).filter(|labels| labels.kind == Kind::Object).and_then(|labels| member(labels.raw, key.as_bytes()));
                label.is_some_and(|label| memchr::memmem::find(&label.bytes(), value.as_bytes()).is_some())
            }
            Self::Source(sources) => view.text(Attr::Source).is_some_and(|source| sources.iter().any(|wanted| wanted.as_bytes() == source.as_ref())),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// A set of severities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SeveritySet(u8);

impl SeveritySet {
    pub fn contains(self, severity: Severity) -> bool {
        self.0 & 1 << severity as u8 != 0
    }
}

impl FromIterator<Severity> for SeveritySet {
    fn from_iter<I: IntoIterator<Item = Severity>>(severities: I) -> Self {
        Self(severities.into_iter().fold(0, |set, severity| set | 1 << severity as u8))
    }
}

/// An event while rules look at it: what nearly every rule asks for is found once.
pub(crate) struct View<'a> {
    event: EventRef<'a>,
    event_type: OnceCell<FoldedType>,
    tenant: OnceCell<Option<&'a str>>,
}

impl<'a> View<'a> {
    pub(crate) fn new(event: &EventRef<'a>) -> Self {
        Self { event: *event, event_type: OnceCell::new(), tenant: OnceCell::new() }
    }

    /// Whose it is; found by the first rule of a tenant.
    pub(crate) fn tenant(&self) -> Option<&'a str> {
        *self.tenant.get_or_init(|| self.event.tenant())
    }

    /// Found by the first rule that asks.
    pub(crate) fn event_type(&self) -> &FoldedType {
        self.event_type.get_or_init(|| FoldedType::new(&self.text(Attr::Type).unwrap_or_default()))
    }

    pub(crate) fn severity(&self) -> Severity {
        self.event.severity().unwrap_or(Severity::Info)
    }

    pub(crate) fn is_of(&self, types: &[TypeName]) -> bool {
        types.iter().any(|wanted| wanted.matches(self.event_type()))
    }

    /// A copybook `PerformanceMeasurement`, in either spelling.
    pub(crate) fn is_performance(&self) -> bool {
        self.event_type().is_performance()
    }

    pub(crate) fn classified_as(&self, names: &[Name]) -> bool {
        self.text(Attr::Classification).is_some_and(|classification| names.iter().any(|name| name.matches(&classification)))
    }

    /// Whether the test holds for one string of a list attribute (or for a lone string).
    pub(crate) fn any_of(&self, attr: Attr, mut test: impl FnMut(&[u8]) -> bool) -> bool {
        match self.event.attr(attr) {
            Some(list) if list.kind == Kind::Array => scalars(list.raw).any(|item| test(&item.bytes())),
            _ => self.text(attr).is_some_and(|one| test(&one)),
        }
    }

    fn text(&self, attr: Attr) -> Option<Cow<'a, [u8]>> {
        text(&self.event, attr)
    }
}

/// The bytes of a string attribute; decoded only where there are escapes.
fn text<'a>(event: &EventRef<'a>, attr: Attr) -> Option<Cow<'a, [u8]>> {
    let value = event.attr(attr)?;
    match value.kind {
        Kind::String => Some(Cow::Borrowed(value.raw)),
        Kind::EscapedString => bulkhead_core::json::decode_string(value.raw).map(|text| Cow::Owned(text.into_bytes())),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
