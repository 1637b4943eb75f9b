//! The event as one JSON text for the program, and what the program made as fields for the rows.

use bulkhead_sdk::pointer::ROOTS;
use bulkhead_sdk::{Event, Field, Kind, Value, Writer, json};

/// All attributes and the time of receipt, in the order of [`ROOTS`] without `original`, which repeats them.
pub const FIELDS: [&str; 33] = [
    "/id",
    "/source",
    "/type",
    "/time",
    "/timesource",
    "/subject",
    "/datacontenttype",
    "/dataschema",
    "/severity",
    "/classification",
    "/compliance",
    "/user",
    "/roles",
    "/operation",
    "/parentoperation",
    "/outcome",
    "/action",
    "/category",
    "/host",
    "/process",
    "/srcip",
    "/dstip",
    "/dstport",
    "/integrityhash",
    "/previoushash",
    "/signature",
    "/tenant",
    "/metadata",
    "/traceparent",
    "/extensions",
    "/data",
    "/data_base64",
    "/received",
];

const _: () = assert!(FIELDS.len() + 1 == ROOTS.len());

/// The event as an object; what it does not have is left out.
pub fn json(event: &Event<'_>) -> Vec<u8> {
    let mut out = Writer::with_capacity(1024);
    out.byte(b'{');
    for (place, pointer) in FIELDS.iter().enumerate() {
        let value = event.get(Field(place as u16));
        if value.kind() == Kind::Missing {
            continue;
        }
        if out.len() > 1 {
            out.byte(b',');
        }
        out.byte(b'"');
        out.bytes(pointer.trim_start_matches('/').as_bytes());
        out.literal(b"\":");
        out.json(value);
    }
    out.byte(b'}');
    out.into_bytes()
}

/// Spans of these fields within an object.
pub fn spans(object: &str, fields: &[&str]) -> Vec<u32> {
    let whole = json::value(object).unwrap_or(Value::MISSING);
    let span = |pointer: &&str| {
        let value = whole.at(pointer);
        // The bytes of a value lie within those of the object.
        let start = (value.raw().as_ptr() as usize).saturating_sub(object.as_ptr() as usize);
        match value.kind() {
            Kind::Missing => [0, 0, Kind::Missing as u32],
            kind => [start as u32, value.raw().len() as u32, kind as u32],
        }
    };
    fields.iter().flat_map(span).collect()
}
