//! OpenTelemetry: one log record for each event, in JSON or Protocol Buffers. Requests around them are the
//! `otlp` connector's.
//! Sources: OpenTelemetry, "Logs Data Model" 1.x, and the semantic conventions for `cloudevents.*`,
//! `log.record.uid`, `user.*`, `host.name`, `process.pid`, `source.*` and `destination.*`.
//!
//! Promised: any event gives a record; what the conventions have no name for lies under `audit.`, nothing is
//! lost; a traceparent that is none stays as an attribute.

use bulkhead_sdk::otlp::{self, Attributes, Body, Head, Key, Names, Trace};
use bulkhead_sdk::{Config, Event, Formatter, Kind, RecordFormat, Severity, Value, Writer, fields};

fields! {
    mod field {
        ID = "/id", SOURCE = "/source", TYPE = "/type", TIME = "/time", RECEIVED = "/received", TIME_SOURCE = "/timesource",
        SUBJECT = "/subject", DATA_CONTENT_TYPE = "/datacontenttype", DATA_SCHEMA = "/dataschema", SEVERITY = "/severity",
        CLASSIFICATION = "/classification", COMPLIANCE = "/compliance", USER = "/user", ROLES = "/roles", OPERATION = "/operation",
        PARENT_OPERATION = "/parentoperation", OUTCOME = "/outcome", ACTION = "/action", CATEGORY = "/category", HOST = "/host",
        PROCESS = "/process", SRC_IP = "/srcip", DST_IP = "/dstip", DST_PORT = "/dstport", INTEGRITY_HASH = "/integrityhash",
        PREVIOUS_HASH = "/previoushash", SIGNATURE = "/signature", TENANT = "/tenant", METADATA = "/metadata",
        TRACE_PARENT = "/traceparent", EXTENSIONS = "/extensions", MESSAGE = "/data/message", MSG = "/data/msg",
        DATA = "/data", DATA_BASE64 = "/data_base64",
    }
}

/// Attributes by name.
const NAMES: [(bulkhead_sdk::Field, &str); 24] = [
    (field::ID, "log.record.uid"),
    (field::SOURCE, "cloudevents.event_source"),
    (field::SUBJECT, "cloudevents.event_subject"),
    (field::USER, "user.name"),
    (field::ROLES, "user.roles"),
    (field::HOST, "host.name"),
    (field::SRC_IP, "source.address"),
    (field::DST_IP, "destination.address"),
    (field::DST_PORT, "destination.port"),
    (field::TIME_SOURCE, "audit.timesource"),
    (field::DATA_CONTENT_TYPE, "audit.datacontenttype"),
    (field::DATA_SCHEMA, "audit.dataschema"),
    (field::CLASSIFICATION, "audit.classification"),
    (field::COMPLIANCE, "audit.compliance"),
    (field::OPERATION, "audit.operation"),
    (field::PARENT_OPERATION, "audit.parentoperation"),
    (field::OUTCOME, "audit.outcome"),
    (field::ACTION, "audit.action"),
    (field::CATEGORY, "audit.category"),
    (field::INTEGRITY_HASH, "audit.integrityhash"),
    (field::PREVIOUS_HASH, "audit.previoushash"),
    (field::SIGNATURE, "audit.signature"),
    (field::TENANT, "audit.tenant"),
    // The event name repeats it, but not every receiver keeps that.
    (field::TYPE, "cloudevents.event_type"),
];

/// How log records look.
#[derive(Debug, Config)]
pub struct Settings {
    /// `json`, or `protobuf`, which is smaller.
    #[config(default = "json")]
    encoding: Encoding,
    /// What a record says. `data`: the payload as a value; `text`: the payload as JSON text, byte for byte;
    /// `message`: the payload's message, else the type, and the payload as the attribute `audit.data`.
    #[config(default = "data")]
    body: Says,
    /// Severity numbers.
    #[config(default)]
    severity: Severities,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Encoding {
    Json,
    Protobuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Says {
    Data,
    Text,
    Message,
}

/// Severity numbers of OpenTelemetry by event severity: 1 to 24.
#[derive(Debug, Config)]
pub struct Severities {
    #[config(default = 9, min = 1, max = 24)]
    info: u32,
    #[config(default = 10, min = 1, max = 24)]
    low: u32,
    #[config(default = 13, min = 1, max = 24)]
    medium: u32,
    #[config(default = 17, min = 1, max = 24)]
    high: u32,
    #[config(default = 21, min = 1, max = 24)]
    critical: u32,
}

#[derive(Debug)]
pub struct Otlp {
    settings: Settings,
    encoding: otlp::Encoding,
    names: Names,
}

impl Otlp {
    fn body<'a>(&self, event: &Event<'a>) -> Body<'a> {
        let (data, base64) = (event.get(field::DATA), event.get(field::DATA_BASE64));
        match self.settings.body {
            Says::Message => Body::Text(message(event).or(event.get(field::TYPE))),
            _ if base64.is_string() => Body::Base64(base64),
            Says::Text if data.kind() != Kind::Missing && !data.is_string() => Body::Text(data),
            _ => Body::Value(data),
        }
    }

    fn attributes(&self, event: &Event<'_>, trace: Option<Trace<'_>>, list: &mut Attributes<'_>) {
        for (place, (field, _)) in NAMES.iter().enumerate() {
            list.add_named(&self.names, place, event.get(*field));
        }
        let process = event.get(field::PROCESS);
        match process.integer() {
            Some(_) => list.add("process.pid", as_number(process)),
            None => list.add("audit.process", process),
        }
        for (name, value) in event.get(field::METADATA).members() {
            list.add(Key { own: "audit.metadata.", name }, value);
        }
        for (name, value) in event.get(field::EXTENSIONS).members() {
            list.add(Key { own: "audit.extension.", name }, value);
        }
        if trace.is_none() {
            list.add("audit.traceparent", event.get(field::TRACE_PARENT));
        }
        if self.settings.body == Says::Message {
            list.add("audit.data", event.get(field::DATA));
            list.add("audit.data_base64", event.get(field::DATA_BASE64));
        }
    }
}

fn message<'a>(event: &Event<'a>) -> Value<'a> {
    let text = |value: Value<'a>| if value.is_string() { value } else { Value::MISSING };
    text(event.get(field::MESSAGE)).or(text(event.get(field::MSG)))
}

/// Digits of a text as a number.
fn as_number(value: Value<'_>) -> Value<'_> {
    let digits = value.raw();
    Value::new(digits, 0, digits.len(), Kind::Number)
}

impl Formatter for Otlp {
    type Config = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        let encoding = match settings.encoding {
            Encoding::Json => otlp::Encoding::Json,
            Encoding::Protobuf => otlp::Encoding::Protobuf,
        };
        let names = Names::new(encoding, NAMES.iter().map(|(_, name)| *name));
        Ok(Self { settings, encoding, names })
    }

    fn fields(&self) -> Vec<&str> {
        field::ALL.to_vec()
    }

    fn record_format(&self) -> RecordFormat {
        RecordFormat::new("otlp", self.encoding.content_type())
    }

    fn format(&self, event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        let numbers = &self.settings.severity;
        let nanos = |value: Value<'_>| bulkhead_sdk::Timestamp::parse(value.raw()).map_or(0, |moment| moment.nanos());
        let severity = event.get(field::SEVERITY);
        let trace = Trace::parse(event.get(field::TRACE_PARENT).raw());
        let head = Head {
            time: event.time([field::TIME, field::RECEIVED]).map_or(0, |moment| moment.nanos()),
            observed: nanos(event.get(field::RECEIVED)),
            severity: Severity::of(severity).map_or(0, |severity| severity.pick([numbers.info, numbers.low, numbers.medium, numbers.high, numbers.critical])),
            severity_text: severity,
            name: event.get(field::TYPE),
            trace,
        };
        otlp::record(self.encoding, &head, self.body(event), |list| self.attributes(event, trace, list), out);
        Ok(())
    }
}

bulkhead_sdk::export_formatter!(Otlp);

#[cfg(test)]
mod tests;
