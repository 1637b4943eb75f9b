//! Audit events of copybook. Signature ids, names and slots are those that its dashboards know.

use bulkhead_sdk::{Event, Kind, Value, Writer};

use crate::copybook_types::TYPES;
use crate::extension::Pairs;
use crate::header::Header;
use crate::{Cef, common, field};

pub fn write(cef: &Cef, event: &Event<'_>, out: &mut Writer) {
    let kind = event.get(field::EVENT_TYPE);
    let known = TYPES.iter().find(|(name, ..)| kind.raw() == name.as_bytes());
    let (class_id, name, action) = match known {
        Some((_, class_id, name, action)) => (Value::plain_text(class_id), Value::plain_text(name), *action),
        None => (kind, kind, ""),
    };
    Header {
        vendor: Cef::choose(&cef.settings.device_vendor, Value::MISSING, "Copybook-rs"),
        product: Cef::choose(&cef.settings.device_product, Value::MISSING, "Enterprise Audit System"),
        version: event.get(field::VERSION).or(Value::plain_text(&cef.settings.device_version)),
        class_id,
        name,
        severity: cef.severity(event),
    }
    .write(out);

    let mut pairs = Pairs::new(out);
    common(event, &mut pairs);
    if pairs.process(event.get(field::PROCESS)) {
        pairs.bytes(b"deviceProcessName=", program(event.get(field::COMMAND_LINE)), 1023);
    }
    pairs.text(b"fname=", event.get(field::COPYBOOK_PATH).or(event.get(field::INPUT_FILE)), 1023);
    counts(event, &mut pairs);
    match action {
        "" => pairs.text(b"act=", event.get(field::SECURITY_EVENT_TYPE).or(kind), 63),
        action => pairs.bytes(b"act=", action.as_bytes(), 63),
    };
    violations(event, &mut pairs);
    performance(event, &mut pairs);
    if pairs.text(b"cs2=", event.get(field::NATIVE_CLASSIFICATION).or(event.get(field::CLASSIFICATION)), 4000) {
        pairs.label(b"cs2Label=Data Classification");
    }
    if pairs.list(b"cs3=", event.get(field::NATIVE_COMPLIANCE).or(event.get(field::COMPLIANCE)), 4000) {
        pairs.label(b"cs3Label=Active Compliance Profiles");
    }
    if pairs.text(b"cs4=", event.get(field::INTEGRITY_HASH), 4000) {
        pairs.label(b"cs4Label=Integrity Hash");
    }
    if pairs.text(b"cs5=", event.get(field::PREVIOUS_HASH), 4000) {
        pairs.label(b"cs5Label=Previous Hash");
    }
    if pairs.list(b"cs6=", event.get(field::AFFECTED_RESOURCES), 4000) {
        pairs.label(b"cs6Label=Affected Resources");
    }
    pairs.text(b"externalId=", event.get(field::ID), 40);
    if pairs.text(b"flexString1=", event.get(field::OPERATION), 1023) {
        pairs.label(b"flexString1Label=Operation Id");
    }
    pairs.finish();
}

/// Validated records go to `cnt` while they fit its 32 bits; field counts have no key of their own.
fn counts(event: &Event<'_>, pairs: &mut Pairs<'_>) {
    let records = event.get(field::RECORDS_VALIDATED);
    if !pairs.integer(b"cnt=", records, 32) && pairs.integer(b"cn3=", records, 64) {
        pairs.label(b"cn3Label=Records Validated");
    }
    if pairs.integer(b"cn2=", event.get(field::FIELD_COUNT), 64) {
        pairs.label(b"cn2Label=Field Count");
    }
}

/// Violations are a number, or a list that is counted.
fn violations(event: &Event<'_>, pairs: &mut Pairs<'_>) {
    if pairs.list(b"cs1=", event.get(field::PAYLOAD_COMPLIANCE), 4000) {
        pairs.label(b"cs1Label=Compliance Profiles");
    }
    let found = event.get(field::VIOLATIONS);
    let written =
        if found.kind() == Kind::Array { pairs.bytes(b"cn1=", found.elements().count().to_string().as_bytes(), 20) } else { pairs.integer(b"cn1=", found, 64) };
    if written {
        pairs.label(b"cn1Label=Violations Found");
    }
}

fn performance(event: &Event<'_>, pairs: &mut Pairs<'_>) {
    if pairs.float(b"cfp1=", event.get(field::THROUGHPUT)) {
        pairs.label(b"cfp1Label=Throughput MB/s");
    }
    if pairs.float(b"cfp2=", event.get(field::MEMORY)) {
        pairs.label(b"cfp2Label=Memory Used MB");
    }
    if pairs.float(b"cfp3=", event.get(field::CPU)) {
        pairs.label(b"cfp3Label=CPU Usage Percent");
    }
    if pairs.float(b"cfp4=", event.get(field::DURATION)) {
        pairs.label(b"cfp4Label=Duration ms");
    }
    if pairs.text(b"flexString2=", event.get(field::OPERATION_NAME), 1023) {
        pairs.label(b"flexString2Label=Operation Name");
    }
}

/// The program of a command line: its first word, without folders.
fn program(command_line: Value<'_>) -> &[u8] {
    // A list of arguments begins with the program; a name with escapes is left out rather than decoded.
    let first = if command_line.kind() == Kind::Array { command_line.elements().next().unwrap_or(Value::MISSING) } else { command_line };
    if !first.is_string() {
        return &[];
    }
    let word = first.raw().split(|byte| *byte == b' ').next().unwrap_or_default();
    let name = word.rsplit(|byte| matches!(byte, b'/')).next().unwrap_or_default();
    if name.contains(&b'\\') { &[] } else { name }
}
