//! Audit events of copybook.

use bulkhead_sdk::{Escape, Event, Kind, Value};

use crate::attributes::Attributes;
use crate::copybook_types::TYPES;
use crate::field;

pub fn event_id(kind: Value<'_>) -> Value<'_> {
    TYPES.iter().find(|(name, ..)| kind.raw() == name.as_bytes()).map_or(kind, |(_, id, ..)| Value::plain_text(id))
}

pub fn write<C: Escape>(event: &Event<'_>, attributes: &mut Attributes<'_, C>) {
    let resource = [field::AFFECTED_RESOURCES, field::COPYBOOK_PATH, field::INPUT_FILE].into_iter().map(|field| event.get(field)).find(Value::is_some);
    attributes.list(b"resource=", resource.unwrap_or(event.get(field::SUBJECT)), 1023);
    attributes.text(b"action=", event.get(field::SECURITY_EVENT_TYPE).or(event.get(field::ACTION)), 255);
    attributes.text(b"version=", event.get(field::VERSION), 31);
    attributes.list(b"complianceProfiles=", event.get(field::PROFILES), 1023);
    let violations = event.get(field::VIOLATIONS);
    // A number, or a list that is counted.
    if violations.kind() == Kind::Array {
        attributes.number(b"violationsFound=", violations.elements().count() as i64);
    } else {
        attributes.text(b"violationsFound=", violations, 32);
    }
    attributes.text(b"operationName=", event.get(field::OPERATION_NAME), 255);
    attributes.text(b"fieldCount=", event.get(field::FIELD_COUNT), 32);
    attributes.text(b"recordsValidated=", event.get(field::RECORDS_VALIDATED), 32);
    attributes.text(b"throughputMbps=", event.get(field::THROUGHPUT), 32);
    attributes.text(b"memoryUsedMb=", event.get(field::MEMORY), 32);
    attributes.text(b"cpuUsagePercent=", event.get(field::CPU), 32);
    attributes.text(b"durationMs=", event.get(field::DURATION), 32);
}
