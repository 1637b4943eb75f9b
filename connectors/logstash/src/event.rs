//! Events as Beats would send them: one JSON object with `@timestamp` and `@metadata`.

use bulkhead_sdk::{Event, Kind, RecordFormat, Timestamp, Value, Writer, json};

use crate::field;

/// What goes before the members of every event.
#[derive(Debug)]
pub struct Events {
    /// `"@metadata":{"beat":"…","version":"…"},`
    metadata: Vec<u8>,
    json: bool,
}

impl Events {
    pub fn new(beat: &str, format: &RecordFormat) -> Self {
        let mut out = Writer::default();
        out.literal(b"\"@metadata\":{\"beat\":");
        out.json_string(beat.as_bytes());
        out.literal(b",\"version\":\"");
        out.bytes(env!("CARGO_PKG_VERSION").as_bytes());
        out.literal(b"\"},");
        Self { metadata: out.into_bytes(), json: format.is_json() }
    }

    /// Writes one event. A record that is no JSON object becomes the member `message` of one.
    pub fn write(&self, record: &[u8], event: &Event<'_>, out: &mut Writer) {
        let object = self.object(record);
        let has = |name: &str| object.is_some_and(|object| object.member(name).kind() != Kind::Missing);
        out.literal(b"{");
        if !has("@timestamp") {
            out.literal(b"\"@timestamp\":\"");
            event.time([field::TIME, field::RECEIVED]).unwrap_or(Timestamp { seconds: 0, fraction: &[] }).write_utc(out);
            out.literal(b"\",");
        }
        let metadata = object.map_or(Kind::Missing, |object| object.member("@metadata").kind());
        if metadata != Kind::Object {
            out.bytes(&self.metadata);
        }
        match object {
            // Logstash takes an object there and nothing else: another value gives way to ours.
            Some(object) if !matches!(metadata, Kind::Missing | Kind::Object) => {
                for (name, value) in object.members().filter(|(name, _)| !name.is("@metadata")) {
                    out.json(name);
                    out.literal(b":");
                    out.json(value);
                    out.literal(b",");
                }
                out.truncate(out.len() - 1);
                out.literal(b"}");
            }
            Some(object) => {
                let inside = object.raw().get(1..).unwrap_or(b"}").trim_ascii_start();
                if inside == b"}" {
                    // Without the comma that the next member would need.
                    out.truncate(out.len() - 1);
                }
                out.bytes(inside);
            }
            None => {
                out.literal(b"\"message\":");
                out.json_string(record.trim_ascii_end());
                out.literal(b"}");
            }
        }
    }

    fn object<'a>(&self, record: &'a [u8]) -> Option<Value<'a>> {
        let text = std::str::from_utf8(record).ok().filter(|_| self.json)?;
        json::value(text).filter(|value| value.kind() == Kind::Object)
    }
}
