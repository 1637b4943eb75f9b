//! Events: one request each, `POST /api/v1/events` at `api.<site>` or `POST /api/v2/events` at
//! `event-management-intake.<site>`, where they are alerts.

use bulkhead_sdk::attributes::write_flat;
use bulkhead_sdk::writer::cut;
use bulkhead_sdk::{Batch, Config, Delivery, Event, Failure, Field, Limits, Outcome, Pointers, Severity, Value, Writer, json, time};

use crate::tags::Tags;
use crate::{Mode, Settings, post, validate};

const BASE: [&str; 7] = ["/time", "/received", "/severity", "/host", "/id", "/type", "/source"];
const TIME: Field = Field(0);
const RECEIVED: Field = Field(1);
const SEVERITY: Field = Field(2);
const HOST: Field = Field(3);
const ID: Field = Field(4);
const TYPE: Field = Field(5);
const SOURCE: Field = Field(6);

/// Datadog takes no event older than 18 hours; half an hour is left for what lies between.
const OLDEST: i64 = 18 * 3600 - 1800;
/// Datadog counts characters; bytes are never fewer.
const TEXT_BYTES: usize = 4000;
const KEY_BYTES: usize = 100;
const HOST_BYTES: usize = 255;

/// How events look.
#[derive(Debug, Config)]
pub struct EventSettings {
    /// `v1`: the event stream. `v2`: alerts of Event Management.
    #[config(default = "v1")]
    version: Version,
    /// Pointer to the title; the event's type where absent.
    title_field: Option<String>,
    /// Pointer to `aggregation_key`: events with the same text are grouped.
    aggregation_field: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Config)]
pub enum Version {
    #[default]
    V1,
    V2,
}

#[derive(Debug)]
pub struct Events {
    version: Version,
    title: Option<Field>,
    aggregation: Option<Field>,
    source: Option<String>,
    hostname: Option<String>,
    tags: Tags,
    gzip: bool,
    pointers: Pointers,
}

impl Events {
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let mut pointers = Pointers::new(&BASE);
        let tags = Tags::new(settings, &mut pointers)?;
        let own = settings.events.as_ref();
        let mut add = |key: &str, pointer: Option<&String>| pointer.map(|pointer| pointers.add(key, pointer)).transpose();
        let title = add("events.title_field", own.and_then(|own| own.title_field.as_ref()))?;
        let aggregation = add("events.aggregation_field", own.and_then(|own| own.aggregation_field.as_ref()))?;
        let version = own.map_or(Version::V1, |own| own.version);
        if version == Version::V2 && settings.source.is_some() {
            return Err("`source` is for logs and `events.version: v1`; events of v2 have none".to_owned());
        }
        Ok(Self { version, title, aggregation, source: settings.source.clone(), hostname: settings.hostname.clone(), tags, gzip: settings.gzip, pointers })
    }

    fn body(&self, record: &[u8], event: &Event<'_>) -> Vec<u8> {
        let mut out = Writer::with_capacity(record.len().min(TEXT_BYTES) + 512);
        match self.version {
            Version::V1 => self.v1(record, event, &mut out),
            Version::V2 => self.v2(record, event, &mut out),
        }
        out.into_bytes()
    }

    fn v1(&self, record: &[u8], event: &Event<'_>, out: &mut Writer) {
        out.byte(b'{');
        self.title(event, 100, out);
        text(b"\"text\":", record, out);
        self.common(event, out);
        let severity = Severity::of(event.get(SEVERITY)).unwrap_or(Severity::Info);
        out.literal(b"\"alert_type\":\"");
        out.bytes(severity.pick(["info", "info", "warning", "error", "error"]).as_bytes());
        out.literal(b"\",\"priority\":\"");
        out.bytes(severity.pick(["low", "low", "normal", "normal", "normal"]).as_bytes());
        out.byte(b'"');
        if let Some(moment) = event.time([TIME, RECEIVED]).filter(|moment| moment.seconds >= time::now() - OLDEST) {
            out.literal(b",\"date_happened\":");
            out.number(moment.seconds);
        }
        if let Some(source) = &self.source {
            out.literal(b",\"source_type_name\":");
            out.json_string(source.as_bytes());
        }
        out.byte(b'}');
    }

    fn v2(&self, record: &[u8], event: &Event<'_>, out: &mut Writer) {
        out.literal(b"{\"data\":{\"type\":\"event\",\"attributes\":{\"category\":\"alert\",\"integration_id\":\"custom-events\",");
        self.title(event, 500, out);
        text(b"\"message\":", record, out);
        self.common(event, out);
        if let Some(moment) = event.time([TIME, RECEIVED]).filter(|moment| moment.seconds >= time::now() - OLDEST) {
            out.literal(b"\"timestamp\":\"");
            moment.write_utc(out);
            out.literal(b"\",");
        }
        let severity = Severity::of(event.get(SEVERITY)).unwrap_or(Severity::Info);
        out.literal(b"\"attributes\":{\"status\":\"");
        out.bytes(severity.pick(["ok", "ok", "warn", "error", "error"]).as_bytes());
        out.literal(b"\",\"priority\":\"");
        out.bytes(severity.pick(["5", "4", "3", "2", "1"]).as_bytes());
        out.literal(b"\",\"custom\":{");
        for (name, field) in [("event_id", ID), ("event_type", TYPE), ("event_source", SOURCE)] {
            member(name, event.get(field), HOST_BYTES, out);
        }
        if out.as_bytes().last() == Some(&b',') {
            out.truncate(out.len() - 1);
        }
        out.literal(b"}}}}}");
    }

    /// `"title":"..",`
    fn title(&self, event: &Event<'_>, limit: usize, out: &mut Writer) {
        let own = self.title.map_or(Value::MISSING, |field| event.get(field));
        let title = own.or(event.get(TYPE)).or(Value::plain_text("event"));
        member("title", title, limit, out);
    }

    /// Host, tags and aggregation key, each with its comma.
    fn common(&self, event: &Event<'_>, out: &mut Writer) {
        match &self.hostname {
            Some(host) => {
                out.literal(b"\"host\":");
                out.json_string(host.as_bytes());
                out.byte(b',');
            }
            None => member("host", event.get(HOST), HOST_BYTES, out),
        }
        self.tags.write_list(event, out);
        member("aggregation_key", self.aggregation.map_or(Value::MISSING, |field| event.get(field)), KEY_BYTES, out);
    }

    fn deliver_one(&self, record: &[u8], event: &Event<'_>) -> Result<Delivery, Failure> {
        let path = if self.version == Version::V1 { "/api/v1/events" } else { "/api/v2/events" };
        match post(path, self.gzip, self.body(record, event)).send() {
            Ok(answer) if (200..300).contains(&answer.status) => Ok(Delivery::All(Outcome::Accepted(id(&answer.body)))),
            answer => Delivery::of(answer, 1),
        }
    }
}

/// The number that the event stream gave it.
fn id(body: &[u8]) -> Option<String> {
    let id = json::value(std::str::from_utf8(body).ok()?)?.member("event").member("id");
    let digits = std::str::from_utf8(id.raw()).ok()?;
    (!digits.is_empty() && digits.len() <= 32 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.to_owned())
}

fn text<const N: usize>(begin: &[u8; N], record: &[u8], out: &mut Writer) {
    out.literal(begin);
    let record = record.trim_ascii();
    out.json_string(cut(if record.is_empty() { b"-" } else { record }, TEXT_BYTES));
    out.byte(b',');
}

/// `"name":"value",` where there is a value.
fn member(name: &str, value: Value<'_>, limit: usize, out: &mut Writer) {
    if value.is_some() && !value.raw().is_empty() {
        out.json_string(name.as_bytes());
        out.byte(b':');
        write_flat(value, limit, out);
        out.byte(b',');
    }
}

impl Mode for Events {
    fn fields(&self) -> Vec<&str> {
        self.pointers.all()
    }

    fn limits(&self) -> Limits {
        // A call that is cut off would send the answered ones again.
        Limits { max_events: Some(1), max_bytes: None }
    }

    fn deliver(&self, batch: &Batch<'_>) -> Result<Delivery, Failure> {
        Delivery::each(batch, |record, event| self.deliver_one(record, &event))
    }

    fn check(&self) -> Result<String, Failure> {
        match self.version {
            Version::V1 => validate(),
            // Its host knows no request that is not an event.
            Version::V2 => Err(Failure::Unsupported),
        }
    }
}
