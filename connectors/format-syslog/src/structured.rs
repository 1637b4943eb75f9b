//! Structured data (RFC 5424 §6.3): `[audit@32473 id="…" user="…"][metadata@32473 team="…"]`.

use bulkhead_sdk::{Escape, Event, Field, Kind, Value, Writer};

use crate::field;

/// `"`, `\` and `]` take a backslash; control characters, which receivers take for line ends, become spaces.
struct ParamEscape;

impl Escape for ParamEscape {
    const BELOW: u8 = 0x20;
    const BYTES: [u8; 3] = [b'"', b'\\', b']'];

    fn write(byte: u8, out: &mut Vec<u8>) {
        if byte < 0x20 {
            return out.push(b' ');
        }
        out.extend_from_slice(&[b'\\', byte]);
    }
}

const PARAMS: [(&[u8], Field); 23] = [
    (b" id=\"", field::ID),
    (b" source=\"", field::SOURCE),
    (b" type=\"", field::TYPE),
    (b" time=\"", field::TIME),
    (b" severity=\"", field::SEVERITY),
    (b" subject=\"", field::SUBJECT),
    (b" user=\"", field::USER),
    (b" roles=\"", field::ROLES),
    (b" action=\"", field::ACTION),
    (b" outcome=\"", field::OUTCOME),
    (b" category=\"", field::CATEGORY),
    (b" srcip=\"", field::SRC_IP),
    (b" dstip=\"", field::DST_IP),
    (b" dstport=\"", field::DST_PORT),
    (b" classification=\"", field::CLASSIFICATION),
    (b" compliance=\"", field::COMPLIANCE),
    (b" operation=\"", field::OPERATION),
    (b" parentoperation=\"", field::PARENT_OPERATION),
    (b" integrityhash=\"", field::INTEGRITY_HASH),
    (b" previoushash=\"", field::PREVIOUS_HASH),
    (b" signature=\"", field::SIGNATURE),
    (b" tenant=\"", field::TENANT),
    (b" traceparent=\"", field::TRACE_PARENT),
];

/// Writes the elements; false, and nothing, where the event has no attribute.
pub fn write(event: &Event<'_>, id: &str, out: &mut Writer) -> bool {
    let start = out.len();
    out.literal(b"[");
    out.bytes(id.as_bytes());
    let inside = out.len();
    for (begin, field) in PARAMS {
        let value = event.get(field);
        // A parameter may be there several times: one for each element of a list.
        if value.kind() == Kind::Array {
            value.elements().for_each(|element| param(begin, element, out));
        } else {
            param(begin, value, out);
        }
    }
    if out.len() == inside {
        out.truncate(start);
    } else {
        out.literal(b"]");
    }
    metadata(event.get(field::METADATA), out);
    out.len() > start
}

fn param(begin: &[u8], value: Value<'_>, out: &mut Writer) {
    if value.is_some() && !value.raw().is_empty() {
        out.bytes(begin);
        out.escaped_text::<ParamEscape>(value, usize::MAX);
        out.literal(b"\"");
    }
}

/// Labels, their names made fit: at most 32 printable ASCII characters without `=`, `]`, `"` and spaces.
fn metadata(labels: Value<'_>, out: &mut Writer) {
    let start = out.len();
    out.literal(b"[metadata@32473");
    let inside = out.len();
    for (name, value) in labels.members() {
        let name = name.text().unwrap_or_default();
        if name.is_empty() || !value.is_some() {
            continue;
        }
        out.literal(b" ");
        for byte in name.iter().filter(|byte| **byte & 0xc0 != 0x80).take(32) {
            out.byte(if (33..=126).contains(byte) && !matches!(byte, b'=' | b']' | b'"') { *byte } else { b'_' });
        }
        out.literal(b"=\"");
        out.escaped_text::<ParamEscape>(value, usize::MAX);
        out.literal(b"\"");
    }
    if out.len() == inside {
        return out.truncate(start);
    }
    out.literal(b"]");
}
