//! Bulkhead's own shape as JSON.

use bulkhead_sdk::{Event, Field, Kind, Writer};

/// The attributes in the order of Bulkhead's own shape, each as a pointer and as its member
/// begins; the first one that is there goes without its comma.
pub const MEMBERS: [(&str, &str); 32] = [
    ("/id", ",\"id\":"),
    ("/source", ",\"source\":"),
    ("/type", ",\"type\":"),
    ("/time", ",\"time\":"),
    ("/timesource", ",\"timesource\":"),
    ("/subject", ",\"subject\":"),
    ("/datacontenttype", ",\"datacontenttype\":"),
    ("/dataschema", ",\"dataschema\":"),
    ("/severity", ",\"severity\":"),
    ("/classification", ",\"classification\":"),
    ("/compliance", ",\"compliance\":"),
    ("/user", ",\"user\":"),
    ("/roles", ",\"roles\":"),
    ("/operation", ",\"operation\":"),
    ("/parentoperation", ",\"parentoperation\":"),
    ("/outcome", ",\"outcome\":"),
    ("/action", ",\"action\":"),
    ("/category", ",\"category\":"),
    ("/host", ",\"host\":"),
    ("/process", ",\"process\":"),
    ("/srcip", ",\"srcip\":"),
    ("/dstip", ",\"dstip\":"),
    ("/dstport", ",\"dstport\":"),
    ("/integrityhash", ",\"integrityhash\":"),
    ("/previoushash", ",\"previoushash\":"),
    ("/signature", ",\"signature\":"),
    ("/tenant", ",\"tenant\":"),
    ("/metadata", ",\"metadata\":"),
    ("/traceparent", ",\"traceparent\":"),
    ("/extensions", ",\"extensions\":"),
    ("/data", ",\"data\":"),
    ("/data_base64", ",\"data_base64\":"),
];

/// Pointers of all attributes, for formatters of the same shape.
pub fn pointers() -> Vec<&'static str> {
    MEMBERS.iter().map(|(pointer, _)| *pointer).collect()
}

/// Writes an event as one JSON object; with `ONE_LINE` line breaks inside payloads become spaces.
#[inline]
pub fn write_event<const ONE_LINE: bool>(event: &Event<'_>, out: &mut Writer) {
    let mut first = true;
    for (place, (_, begin)) in MEMBERS.iter().enumerate() {
        let value = event.get(Field(place as u16));
        if value.kind() == Kind::Missing {
            continue;
        }
        if first {
            out.byte(b'{');
            out.bytes(&begin.as_bytes()[1..]);
            first = false;
        } else {
            out.bytes(begin.as_bytes());
        }
        if ONE_LINE {
            out.json_line(value);
        } else {
            out.json(value);
        }
    }
    out.bytes(if first { b"{}" } else { b"}" });
}
