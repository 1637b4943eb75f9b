//! OpenTelemetry over HTTP: log records through `POST /v1/logs`, in JSON or Protocol Buffers.
//! Protocol: OpenTelemetry, "OTLP Specification" 1.x, opentelemetry-proto 1.x.
//!
//! Promised: records of the format `otlp` travel as they are, those of any other format as the body of a record
//! of their own; events with the same resource stand together, in their order; what a receiver rejects of a
//! request that it took in part is never sent again by itself, as the protocol forbids it. A partial success
//! names no record: all events of that request become dead letters unless the operator says otherwise.

use std::collections::BTreeMap;

use bulkhead_sdk::otlp::{self, Attributes, Body, Encoding, Head, Trace};
use bulkhead_sdk::protobuf::Message;
use bulkhead_sdk::{Batch, Config, Connector, Delivery, Event, Failure, Field, Limits, Pointers, RecordFormat, Severity, Timestamp, Value, Writer, http};

mod answer;

const BASE: [&str; 6] = ["/id", "/time", "/received", "/severity", "/type", "/traceparent"];
const ID: Field = Field(0);
const TIME: Field = Field(1);
const RECEIVED: Field = Field(2);
const SEVERITY: Field = Field(3);
const TYPE: Field = Field(4);
const TRACE_PARENT: Field = Field(5);
/// Severity numbers of records that this connector makes: INFO, INFO2, WARN, ERROR, FATAL.
const NUMBERS: [u32; 5] = [9, 10, 13, 17, 21];
const SCOPE: &[u8] = b"bulkhead";
const SERVICE: &str = "service.name";

/// What goes with the records, and what follows from answers.
#[derive(Debug, Config)]
pub struct Settings {
    /// Of requests; that of the format where it is `otlp`, else `json`.
    encoding: Option<Form>,
    /// Attributes of the resource: name to text. `service.name` is `bulkhead` where nothing sets it.
    resource: Option<BTreeMap<String, String>>,
    /// Attributes of the resource from the event: name to pointer, for example `host.name: /host`.
    resource_fields: Option<BTreeMap<String, String>>,
    /// Further headers; names in lower case. Secrets belong into the destination's credential.
    headers: Option<BTreeMap<String, String>>,
    /// Compresses requests.
    #[config(default = false)]
    gzip: bool,
    /// What becomes of a request's events when the receiver rejects some and does not say which: `reject` puts
    /// all of them into the dead letters, `accept` counts all as delivered.
    #[config(default = "reject")]
    partial_success: Partial,
    /// Tries again after 429, 502, 503 and 504 only, as OTLP demands; otherwise after 408, 425 and other 5xx too.
    #[config(default = false)]
    strict_statuses: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Form {
    Json,
    Protobuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Partial {
    Reject,
    Accept,
}

#[derive(Debug)]
pub struct Otlp {
    settings: Settings,
    encoding: Encoding,
    /// Records are log records already.
    made: bool,
    resource_fields: Vec<(String, Field)>,
    pointers: Pointers,
}

impl Otlp {
    fn resource(&self, event: Option<&Event<'_>>) -> Vec<u8> {
        let mut out = Writer::default();
        let mut list = Attributes::of_resource(self.encoding, &mut out);
        let fixed = self.settings.resource.iter().flatten();
        let named = |name: &str| self.settings.resource.as_ref().is_some_and(|fixed| fixed.contains_key(name));
        let found = |event: &Event<'_>, name: &str| self.resource_fields.iter().any(|(own, field)| own == name && has(event.get(*field)));
        if !named(SERVICE) && !event.is_some_and(|event| found(event, SERVICE)) {
            list.add(SERVICE, Value::plain_text("bulkhead"));
        }
        for (name, text) in fixed {
            list.add_bytes(name.as_str(), text.as_bytes());
        }
        for (name, field) in &self.resource_fields {
            if let Some(event) = event {
                list.add(name.as_str(), event.get(*field));
            }
        }
        out.into_bytes()
    }

    /// Resources in the order of their first events, each with the places of its events.
    fn resources(&self, batch: &Batch<'_>) -> Vec<(Vec<u8>, Vec<usize>)> {
        if self.resource_fields.is_empty() {
            return vec![(self.resource(None), (0..batch.len()).collect())];
        }
        let mut groups: Vec<(Vec<u8>, Vec<usize>)> = Vec::new();
        let mut places: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for i in 0..batch.len() {
            let resource = self.resource(Some(&batch.event(i)));
            let place = *places.entry(resource).or_insert_with_key(|resource| {
                groups.push((resource.clone(), Vec::new()));
                groups.len() - 1
            });
            if let Some((_, events)) = groups.get_mut(place) {
                events.push(i);
            }
        }
        groups
    }

    fn record(&self, batch: &Batch<'_>, i: usize, out: &mut Writer) {
        let record = batch.record(i);
        if self.made {
            return out.bytes(record);
        }
        let event = batch.event(i);
        let head = Head {
            time: event.time([TIME, RECEIVED]).map_or(0, |moment| moment.nanos()),
            observed: Timestamp::parse(event.get(RECEIVED).raw()).map_or(0, |moment| moment.nanos()),
            severity: Severity::of(event.get(SEVERITY)).map_or(0, |severity| severity.pick(NUMBERS)),
            severity_text: event.get(SEVERITY),
            name: event.get(TYPE),
            trace: Trace::parse(event.get(TRACE_PARENT).raw()),
        };
        otlp::record(self.encoding, &head, Body::Bytes(record.trim_ascii_end()), |list| list.add("log.record.uid", event.get(ID)), out);
    }

    fn body(&self, batch: &Batch<'_>) -> Vec<u8> {
        let mut out = Writer::with_capacity(batch.records.bytes().len() + batch.len() * if self.made { 8 } else { 384 } + 1024);
        let groups = self.resources(batch);
        match self.encoding {
            Encoding::Json => self.json(batch, &groups, &mut out),
            Encoding::Protobuf => self.protobuf(batch, &groups, &mut out),
        }
        out.into_bytes()
    }

    fn json(&self, batch: &Batch<'_>, groups: &[(Vec<u8>, Vec<usize>)], out: &mut Writer) {
        out.literal(b"{\"resourceLogs\":[");
        for (place, (resource, events)) in groups.iter().enumerate() {
            out.bytes(if place == 0 { b"{\"resource\":{\"attributes\":[" } else { b",{\"resource\":{\"attributes\":[" });
            out.bytes(resource);
            out.literal(b"]},\"scopeLogs\":[{\"scope\":{\"name\":");
            out.json_string(SCOPE);
            out.literal(b"},\"logRecords\":[");
            for (place, i) in events.iter().enumerate() {
                if place > 0 {
                    out.byte(b',');
                }
                self.record(batch, *i, out);
            }
            out.literal(b"]}]}");
        }
        out.literal(b"]}");
    }

    fn protobuf(&self, batch: &Batch<'_>, groups: &[(Vec<u8>, Vec<usize>)], out: &mut Writer) {
        let mut request = Message::new(out);
        for (resource, events) in groups {
            request.message(1, |resource_logs| {
                resource_logs.bytes(1, resource);
                resource_logs.message(2, |scope_logs| {
                    scope_logs.message(1, |scope| scope.string(1, SCOPE));
                    for i in events {
                        scope_logs.delimited(2, |out| self.record(batch, *i, out));
                    }
                });
            });
        }
    }

    fn request(&self, body: Vec<u8>) -> http::Request {
        let mut request = http::post("primary", "/v1/logs").header("content-type", self.encoding.content_type()).gzip(self.settings.gzip).body(body);
        for (name, value) in self.settings.headers.iter().flatten() {
            request = request.header(name, value);
        }
        request
    }
}

fn has(value: Value<'_>) -> bool {
    value.is_some() && !value.raw().is_empty()
}

fn encoding(settings: &Settings, format: &RecordFormat) -> Result<Encoding, String> {
    let asked = settings.encoding.map(|form| if form == Form::Json { Encoding::Json } else { Encoding::Protobuf });
    if format.name != "otlp" {
        return Ok(asked.unwrap_or(Encoding::Json));
    }
    let made = if format.is_json() { Encoding::Json } else { Encoding::Protobuf };
    match asked {
        Some(asked) if asked != made => Err(format!(
            "`encoding` asks for {}, and this lane's format writes {}; leave `encoding` out, or set it alike in the formatter's configuration",
            asked.content_type(),
            made.content_type()
        )),
        _ => Ok(made),
    }
}

impl Connector for Otlp {
    type Config = Settings;

    fn configure(settings: Settings, format: &RecordFormat) -> Result<Self, String> {
        let encoding = encoding(&settings, format)?;
        for (name, value) in settings.headers.iter().flatten() {
            http::check_header("headers", name, value)?;
        }
        if settings.resource.as_ref().is_some_and(|resource| resource.contains_key("")) {
            return Err("`resource` names an attribute without a name".to_owned());
        }
        let mut pointers = Pointers::new(&BASE);
        let mut resource_fields = Vec::new();
        for (name, pointer) in settings.resource_fields.iter().flatten() {
            if name.is_empty() || settings.resource.as_ref().is_some_and(|fixed| fixed.contains_key(name)) {
                return Err(format!("`resource_fields` names \"{name}\", which is empty or in `resource` too"));
            }
            resource_fields.push((name.clone(), pointers.add(&format!("resource_fields.{name}"), pointer)?));
        }
        Ok(Self { settings, encoding, made: format.name == "otlp", resource_fields, pointers })
    }

    fn fields(&self) -> Vec<&str> {
        self.pointers.all()
    }

    fn limits(&self) -> Limits {
        // Receivers may refuse what is larger than 20 MiB; heads and escapes come on top of other formats' records.
        Limits { max_events: Some(5000), max_bytes: Some(4 << 20) }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        match self.request(self.body(batch)).send() {
            Ok(response) => answer::read(&response, batch.len(), &self.settings),
            answer => Delivery::of(answer, batch.len()),
        }
    }

    /// An empty request: it is taken without a log record.
    fn check(&mut self) -> Result<String, Failure> {
        let body = if self.encoding == Encoding::Json { b"{}".to_vec() } else { Vec::new() };
        answer::check(&self.request(body).send()?)
    }
}

bulkhead_sdk::export_connector!(Otlp);

#[cfg(test)]
mod tests;
