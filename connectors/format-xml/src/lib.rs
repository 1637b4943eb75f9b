//! XML: one `<event>` element on one line for each event. Standard: W3C, "Extensible Markup Language
//! (XML) 1.0 (Fifth Edition)".
//!
//! Promised: well-formed for any event; each attribute is an element of its name, lists repeat it; the
//! payload stands as JSON text, or as the elements into which XPath's `json-to-xml` turns JSON, so that
//! `xml-to-json` gives it back. Characters that XML cannot hold become U+FFFD.

use bulkhead_sdk::{Config, Event, Field, Formatter, Kind, RecordFormat, Value, Writer, fields};

mod json;
mod text;

fields! {
    mod field {
        ID = "/id", SOURCE = "/source", TYPE = "/type", TIME = "/time", TIME_SOURCE = "/timesource", RECEIVED = "/received", SUBJECT = "/subject",
        DATA_CONTENT_TYPE = "/datacontenttype", DATA_SCHEMA = "/dataschema", SEVERITY = "/severity", CLASSIFICATION = "/classification",
        COMPLIANCE = "/compliance", USER = "/user", ROLES = "/roles", OPERATION = "/operation", PARENT_OPERATION = "/parentoperation",
        OUTCOME = "/outcome", ACTION = "/action", CATEGORY = "/category", HOST = "/host", PROCESS = "/process", SRC_IP = "/srcip",
        DST_IP = "/dstip", DST_PORT = "/dstport", INTEGRITY_HASH = "/integrityhash", PREVIOUS_HASH = "/previoushash",
        SIGNATURE = "/signature", TENANT = "/tenant", TRACE_PARENT = "/traceparent", METADATA = "/metadata", EXTENSIONS = "/extensions",
        DATA = "/data", DATA_BASE64 = "/data_base64",
    }
}

/// How documents look.
#[derive(Debug, Config)]
pub struct Settings {
    /// How the payload is written.
    #[config(default = "json")]
    data: Data,
    /// Begins each record with an XML declaration.
    #[config(default = false)]
    declaration: bool,
    /// Adds `received`, when Bulkhead received the event.
    #[config(default = false)]
    receipt_time: bool,
}

/// How the payload is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Data {
    /// As JSON text in one element.
    Json,
    /// As elements in the namespace of XPath functions: map, array, string, number, boolean, null.
    Elements,
}

/// Attributes with a text or a list of texts, and their elements.
const TEXTS: [(&str, Field); 29] = [
    ("id", field::ID),
    ("source", field::SOURCE),
    ("type", field::TYPE),
    ("time", field::TIME),
    ("timesource", field::TIME_SOURCE),
    ("received", field::RECEIVED),
    ("subject", field::SUBJECT),
    ("datacontenttype", field::DATA_CONTENT_TYPE),
    ("dataschema", field::DATA_SCHEMA),
    ("severity", field::SEVERITY),
    ("classification", field::CLASSIFICATION),
    ("compliance", field::COMPLIANCE),
    ("user", field::USER),
    ("role", field::ROLES),
    ("operation", field::OPERATION),
    ("parentoperation", field::PARENT_OPERATION),
    ("outcome", field::OUTCOME),
    ("action", field::ACTION),
    ("category", field::CATEGORY),
    ("host", field::HOST),
    ("process", field::PROCESS),
    ("srcip", field::SRC_IP),
    ("dstip", field::DST_IP),
    ("dstport", field::DST_PORT),
    ("integrityhash", field::INTEGRITY_HASH),
    ("previoushash", field::PREVIOUS_HASH),
    ("signature", field::SIGNATURE),
    ("tenant", field::TENANT),
    ("traceparent", field::TRACE_PARENT),
];

#[derive(Debug)]
pub struct Xml {
    settings: Settings,
}

impl Formatter for Xml {
    type Config = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        Ok(Self { settings })
    }

    fn fields(&self) -> Vec<&str> {
        field::ALL.to_vec()
    }

    fn record_format(&self) -> RecordFormat {
        RecordFormat::new("xml", "application/xml; charset=utf-8")
    }

    fn format(&self, event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        if self.settings.declaration {
            out.literal(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
        }
        out.literal(b"<event>");
        for (name, place) in TEXTS {
            if place == field::RECEIVED && !self.settings.receipt_time {
                continue;
            }
            let value = event.get(place);
            if value.kind() == Kind::Array {
                value.elements().for_each(|each| element(name, each, out));
            } else {
                element(name, value, out);
            }
        }
        named("metadata", event.get(field::METADATA), out);
        named("extensions", event.get(field::EXTENSIONS), out);
        self.data(event.get(field::DATA), out);
        element("data_base64", event.get(field::DATA_BASE64), out);
        out.literal(b"</event>");
        Ok(())
    }
}

impl Xml {
    fn data(&self, value: Value<'_>, out: &mut Writer) {
        if value.kind() == Kind::Missing {
            return;
        }
        match self.settings.data {
            Data::Json => {
                out.literal(b"<data format=\"json\">");
                text::json(value, out);
            }
            Data::Elements => {
                out.literal(b"<data format=\"elements\" xmlns:j=\"http://www.w3.org/2005/xpath-functions\">");
                json::write(value, None, out);
            }
        }
        out.literal(b"</data>");
    }
}

/// An element with a text; nothing where there is none.
fn element(name: &str, value: Value<'_>, out: &mut Writer) {
    if !value.is_some() || value.raw().is_empty() {
        return;
    }
    out.literal(b"<");
    out.bytes(name.as_bytes());
    out.literal(b">");
    text::content(value, out);
    out.literal(b"</");
    out.bytes(name.as_bytes());
    out.literal(b">");
}

/// A map: names are the event's own and need not be names of XML, so they stand in an attribute.
fn named(name: &str, map: Value<'_>, out: &mut Writer) {
    let start = out.len();
    out.literal(b"<");
    out.bytes(name.as_bytes());
    out.literal(b">");
    let inside = out.len();
    for (key, value) in map.members() {
        out.literal(b"<entry name=\"");
        text::attribute(key, out);
        out.literal(b"\">");
        text::content(value, out);
        out.literal(b"</entry>");
    }
    if out.len() == inside {
        return out.truncate(start);
    }
    out.literal(b"</");
    out.bytes(name.as_bytes());
    out.literal(b">");
}

bulkhead_sdk::export_formatter!(Xml);

#[cfg(test)]
mod tests;
