//! CloudEvents 1.0 in the structured JSON format: one object for each event.
//! Standard: CNCF CloudEvents 1.0.2, "CloudEvents" and "JSON Event Format".
//!
//! Promised: the required attributes are there and not empty; audit attributes travel as extensions,
//! whose values the standard limits to booleans, 32-bit integers and strings: lists and maps are
//! written as JSON in a string, which intake reads back; `data` goes out byte for byte. Extensions of
//! the event that came in keep their names.

use bulkhead_sdk::config::NoConfig;
use bulkhead_sdk::{Event, Formatter, Kind, RecordFormat, Value, Writer, fields};

fields! {
    mod field {
        ID = "/id", SOURCE = "/source", TYPE = "/type", TIME = "/time", SUBJECT = "/subject", DATA_CONTENT_TYPE = "/datacontenttype",
        DATA_SCHEMA = "/dataschema", TIME_SOURCE = "/timesource", SEVERITY = "/severity", CLASSIFICATION = "/classification",
        COMPLIANCE = "/compliance", USER = "/user", ROLES = "/roles", OPERATION = "/operation", PARENT_OPERATION = "/parentoperation",
        OUTCOME = "/outcome", ACTION = "/action", CATEGORY = "/category", HOST = "/host", PROCESS = "/process", SRC_IP = "/srcip",
        DST_IP = "/dstip", DST_PORT = "/dstport", INTEGRITY_HASH = "/integrityhash", PREVIOUS_HASH = "/previoushash",
        SIGNATURE = "/signature", TENANT = "/tenant", METADATA = "/metadata", TRACE_PARENT = "/traceparent", EXTENSIONS = "/extensions",
        DATA = "/data", DATA_BASE64 = "/data_base64",
    }
}

/// Attributes that become extensions.
const EXTENSIONS: [(bulkhead_sdk::Field, &str); 22] = [
    (field::TIME_SOURCE, ",\"timesource\":"),
    (field::SEVERITY, ",\"severity\":"),
    (field::CLASSIFICATION, ",\"classification\":"),
    (field::COMPLIANCE, ",\"compliance\":"),
    (field::USER, ",\"user\":"),
    (field::ROLES, ",\"roles\":"),
    (field::OPERATION, ",\"operation\":"),
    (field::PARENT_OPERATION, ",\"parentoperation\":"),
    (field::OUTCOME, ",\"outcome\":"),
    (field::ACTION, ",\"action\":"),
    (field::CATEGORY, ",\"category\":"),
    (field::HOST, ",\"host\":"),
    (field::PROCESS, ",\"process\":"),
    (field::SRC_IP, ",\"srcip\":"),
    (field::DST_IP, ",\"dstip\":"),
    (field::DST_PORT, ",\"dstport\":"),
    (field::INTEGRITY_HASH, ",\"integrityhash\":"),
    (field::PREVIOUS_HASH, ",\"previoushash\":"),
    (field::SIGNATURE, ",\"signature\":"),
    (field::TENANT, ",\"tenant\":"),
    (field::METADATA, ",\"metadata\":"),
    (field::TRACE_PARENT, ",\"traceparent\":"),
];

/// Names that are written already, or mean something else at the top of a CloudEvent.
const TAKEN: [&str; 9] = ["specversion", "id", "source", "type", "time", "subject", "datacontenttype", "dataschema", "data"];

#[derive(Debug)]
pub struct CloudEvents;

impl Formatter for CloudEvents {
    type Config = NoConfig;

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }

    fn fields(&self) -> Vec<&str> {
        field::ALL.to_vec()
    }

    fn record_format(&self) -> RecordFormat {
        RecordFormat::new("cloudevents", "application/cloudevents+json; charset=utf-8")
    }

    fn format(&self, event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        out.literal(b"{\"specversion\":\"1.0\"");
        // Required and not empty; events of no known shape may have neither source nor type.
        required(",\"id\":", event.get(field::ID), "unknown", out);
        required(",\"source\":", event.get(field::SOURCE), "/bulkhead/unknown", out);
        required(",\"type\":", event.get(field::TYPE), "bulkhead.unknown", out);
        optional(",\"time\":", event.get(field::TIME), out);
        optional(",\"subject\":", event.get(field::SUBJECT), out);
        optional(",\"datacontenttype\":", event.get(field::DATA_CONTENT_TYPE), out);
        optional(",\"dataschema\":", event.get(field::DATA_SCHEMA), out);
        for (place, begin) in EXTENSIONS {
            let value = event.get(place);
            if value.is_some() {
                out.bytes(begin.as_bytes());
                extension(value, out);
            }
        }
        for (name, value) in event.get(field::EXTENSIONS).members() {
            if value.is_some() && is_free(name) {
                out.literal(b",");
                out.json(name);
                out.literal(b":");
                extension(value, out);
            }
        }
        payload(event, out);
        out.literal(b"}");
        Ok(())
    }
}

fn required(begin: &str, value: Value<'_>, otherwise: &'static str, out: &mut Writer) {
    let value = if value.is_string() { value } else { Value::MISSING };
    out.bytes(begin.as_bytes());
    out.json(value.or(Value::plain_text(otherwise)));
}

fn optional(begin: &str, value: Value<'_>, out: &mut Writer) {
    if value.is_string() && !value.raw().is_empty() {
        out.bytes(begin.as_bytes());
        out.json(value);
    }
}

/// Boolean and integer (32 bits) as they are, everything else as a string.
fn extension(value: Value<'_>, out: &mut Writer) {
    let plain = match value.kind() {
        Kind::Bool => true,
        // `1.0` and `1e3` are no integers of the standard, though they are whole.
        Kind::Number => value.integer().is_some_and(|number| i32::try_from(number).is_ok()),
        _ => value.is_string(),
    };
    if plain { out.json(value) } else { out.json_text(value) }
}

/// Extension names are lower-case letters and digits; another name cannot travel, and none twice.
fn is_free(name: Value<'_>) -> bool {
    let raw = name.raw();
    let fits = name.kind() == Kind::String && !raw.is_empty() && raw.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    fits && !TAKEN.iter().any(|taken| taken.as_bytes() == raw) && !EXTENSIONS.iter().any(|(_, begin)| &begin.as_bytes()[2..begin.len() - 2] == raw)
}

/// `data` or `data_base64`, never both.
fn payload(event: &Event<'_>, out: &mut Writer) {
    let (data, base64) = (event.get(field::DATA), event.get(field::DATA_BASE64));
    if base64.is_string() {
        out.literal(b",\"data_base64\":");
        out.json(base64);
    } else if data.kind() != Kind::Missing {
        out.literal(b",\"data\":");
        out.json(data);
    }
}

bulkhead_sdk::export_formatter!(CloudEvents);

#[cfg(test)]
mod tests;
