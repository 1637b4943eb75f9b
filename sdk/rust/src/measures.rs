//! Events as numbers: the counts and gauges that dashboards of copybook's audit trail know, summed up
//! within a batch.
//!
//! | name | kind | of |
//! |---|---|---|
//! | `audit.events` | count | every event |
//! | `audit.compliance_events` | count | every event with compliance profiles, once for each profile |
//! | `audit.security_events` | count | copybook's security events |
//! | `performance.throughput_mbps`, `.memory_mb`, `.cpu_percent`, `.duration_ms` | gauge | numbers of copybook's measurements |

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::batch::{Batch, Event};
use crate::value::{Kind, Value};
use crate::writer::cut;

crate::fields! {
    mod field {
        TIME = "/time", RECEIVED = "/received", TYPE = "/type", SEVERITY = "/severity", HOST = "/host", USER = "/user",
        CLASSIFICATION = "/classification", COMPLIANCE = "/compliance", EVENT_TYPE = "/data/event_type",
        NATIVE_CLASSIFICATION = "/data/context/security/classification", NATIVE_COMPLIANCE = "/data/context/compliance_profiles",
        OPERATION_NAME = "/data/payload/operation_name", THROUGHPUT = "/data/payload/throughput_mbps",
        MEMORY = "/data/payload/memory_used_mb", CPU = "/data/payload/cpu_usage_percent", DURATION = "/data/payload/duration_ms",
    }
}

/// For `fields()` of a connector that makes measures of events.
pub const FIELDS: &[&str] = field::ALL;

/// Longest value of a tag.
const TAG_BYTES: usize = 200;
/// Profiles of one event that are counted.
const MAX_PROFILES: usize = 32;

/// What a series is told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bulkhead_sdk_derive::Config)]
pub enum Tag {
    EventType,
    Severity,
    Operation,
    Profile,
    Classification,
    User,
}

impl Tag {
    pub const ALL: [Self; 6] = [Self::EventType, Self::Severity, Self::Operation, Self::Profile, Self::Classification, Self::User];

    pub fn name(self) -> &'static str {
        match self {
            Self::EventType => "event_type",
            Self::Severity => "severity",
            Self::Operation => "operation",
            Self::Profile => "profile",
            Self::Classification => "classification",
            Self::User => "user",
        }
    }
}

/// One series at one second.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    pub name: &'static str,
    /// Seconds since 1970.
    pub second: i64,
    /// The event's host; empty where it names none.
    pub host: String,
    /// In the order of [`Tag`].
    pub tags: Vec<(Tag, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Number {
    Count(u64),
    /// Digits as the event wrote them; the last one of the batch where there are several in one second.
    Gauge(String),
}

/// The measures of a batch: `tags` says what tells series apart, `second` when an event counts.
pub fn of(batch: &Batch<'_>, tags: &[Tag], mut second: impl FnMut(&Event<'_>) -> i64) -> BTreeMap<Series, Number> {
    let mut measures = BTreeMap::new();
    for (_, event) in batch.iter() {
        of_event(&event, tags, second(&event), &mut measures);
    }
    measures
}

/// When it happened, else when it was received; the clock's time where it says neither.
pub fn second(event: &Event<'_>) -> i64 {
    event.time([field::TIME, field::RECEIVED]).map_or_else(crate::time::now, |moment| moment.seconds)
}

fn text(value: Value<'_>) -> String {
    let text = value.text().unwrap_or(Cow::Borrowed(&[]));
    String::from_utf8_lossy(cut(&text, TAG_BYTES)).into_owned()
}

fn of_event(event: &Event<'_>, wanted: &[Tag], second: i64, measures: &mut BTreeMap<Series, Number>) {
    let get = |field| event.get(field);
    let copybook = get(field::TYPE).raw().starts_with(b"copybook.") && get(field::EVENT_TYPE).is_string();
    // Dashboards know copybook's own spelling.
    let native = |own, core| if copybook { get(own).or(get(core)) } else { get(core) };
    let tags = |operation: Value<'_>, profile: Value<'_>| {
        let value = |tag| match tag {
            Tag::EventType => native(field::EVENT_TYPE, field::TYPE),
            Tag::Severity => get(field::SEVERITY),
            Tag::Operation => operation,
            Tag::Profile => profile,
            Tag::Classification => native(field::NATIVE_CLASSIFICATION, field::CLASSIFICATION),
            Tag::User => get(field::USER),
        };
        let tag = |tag: Tag| Some((tag, text(value(tag)))).filter(|(_, text)| wanted.contains(&tag) && !text.is_empty());
        Tag::ALL.into_iter().filter_map(tag).collect::<Vec<_>>()
    };
    let host = text(get(field::HOST));
    let series = |name, tags| Series { name, second, host: host.clone(), tags };
    let mut count = |name, tags| match measures.entry(series(name, tags)).or_insert(Number::Count(0)) {
        Number::Count(count) => *count += 1,
        Number::Gauge(_) => {}
    };
    let none = Value::MISSING;
    let operation = get(field::OPERATION_NAME);
    count("audit.events", tags(operation, none));
    for profile in native(field::NATIVE_COMPLIANCE, field::COMPLIANCE).elements().take(MAX_PROFILES) {
        count("audit.compliance_events", tags(operation, profile));
    }
    if get(field::TYPE).is("copybook.security_event") {
        count("audit.security_events", tags(operation, none));
    }
    if get(field::TYPE).is("copybook.performance_measurement") {
        for (name, field) in [
            ("performance.throughput_mbps", field::THROUGHPUT),
            ("performance.memory_mb", field::MEMORY),
            ("performance.cpu_percent", field::CPU),
            ("performance.duration_ms", field::DURATION),
        ] {
            if let Some(digits) = finite(get(field)) {
                measures.insert(series(name, tags(operation, none)), Number::Gauge(digits));
            }
        }
    }
}

/// Digits of a number that a 64-bit float can hold.
fn finite(value: Value<'_>) -> Option<String> {
    let digits = std::str::from_utf8(value.raw()).ok().filter(|_| value.kind() == Kind::Number)?;
    digits.parse::<f64>().ok().filter(|number| number.is_finite())?;
    Some(digits.to_owned())
}

#[cfg(test)]
mod tests;
