//! Logs: `POST /api/v2/logs` at `http-intake.logs.<site>`, a list of entries.

use bulkhead_sdk::attributes::write_flat;
use bulkhead_sdk::{Batch, Delivery, Entries, Event, Failure, Field, Limits, Outcome, Pointers, Room, Severity, Writer, time};

use crate::tags::Tags;
use crate::{Mode, Settings, post};

const BASE: [&str; 5] = ["/time", "/received", "/severity", "/host", "/id"];
const TIME: Field = Field(0);
const RECEIVED: Field = Field(1);
const SEVERITY: Field = Field(2);
const HOST: Field = Field(3);
const ID: Field = Field(4);

const PATH: &str = "/api/v2/logs";
/// Longer entries are cut by Datadog, which answers 202 all the same.
const ROOM: Room = Room { entry: 1_000_000, body: 5_000_000 };
/// Datadog drops logs that are older than 18 hours; half an hour is left for what lies between.
const OLDEST: i64 = 18 * 3600 - 1800;
const TEXT_BYTES: usize = 255;

#[derive(Debug)]
pub struct Logs {
    /// `{"ddsource":"..",`
    begin: Vec<u8>,
    /// `"hostname":"..",` where it is configured.
    hostname: Option<Vec<u8>>,
    service: Option<String>,
    service_field: Option<Field>,
    tags: Tags,
    gzip: bool,
    pointers: Pointers,
}

impl Logs {
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let mut pointers = Pointers::new(&BASE);
        let tags = Tags::new(settings, &mut pointers)?;
        let service_field = settings.service_field.as_ref().map(|pointer| pointers.add("service_field", pointer)).transpose()?;
        let member = |begin: &str, text: &str| {
            let mut out = Writer::default();
            out.bytes(begin.as_bytes());
            out.json_string(text.as_bytes());
            out.byte(b',');
            out.into_bytes()
        };
        Ok(Self {
            begin: member("{\"ddsource\":", settings.source.as_deref().unwrap_or("bulkhead")),
            hostname: settings.hostname.as_ref().map(|name| member("\"hostname\":", name)),
            service: settings.service.clone(),
            service_field,
            tags,
            gzip: settings.gzip,
            pointers,
        })
    }

    fn entry(&self, record: &[u8], event: &Event<'_>, now: i64, out: &mut Writer) {
        out.bytes(&self.begin);
        self.tags(event, out);
        let host = event.get(HOST);
        match &self.hostname {
            Some(member) => out.bytes(member),
            None if host.is_string() && !host.raw().is_empty() => {
                out.literal(b"\"hostname\":");
                write_flat(host, TEXT_BYTES, out);
                out.byte(b',');
            }
            None => {}
        }
        self.service(event, out);
        out.literal(b"\"status\":\"");
        let status = Severity::of(event.get(SEVERITY)).map_or("info", |severity| severity.pick(["info", "notice", "warning", "error", "critical"]));
        out.bytes(status.as_bytes());
        out.literal(b"\",");
        // Without a time Datadog takes that of receipt: better than a log that it drops.
        if let Some(moment) = event.time([TIME, RECEIVED]).filter(|moment| moment.seconds >= now - OLDEST) {
            out.literal(b"\"timestamp\":");
            out.number(moment.millis());
            out.byte(b',');
        }
        let id = event.get(ID);
        if id.is_some() {
            out.literal(b"\"event_id\":");
            write_flat(id, TEXT_BYTES, out);
            out.byte(b',');
        }
        out.literal(b"\"message\":");
        out.json_string(record.trim_ascii_end());
        out.byte(b'}');
    }

    fn tags(&self, event: &Event<'_>, out: &mut Writer) {
        let start = out.len();
        out.literal(b"\"ddtags\":\"");
        let inside = out.len();
        self.tags.each(event, |tag| {
            out.json_fragment(tag.as_bytes());
            out.byte(b',');
        });
        if out.len() == inside {
            return out.truncate(start);
        }
        out.truncate(out.len() - 1);
        out.literal(b"\",");
    }

    fn service(&self, event: &Event<'_>, out: &mut Writer) {
        let own = self.service_field.map(|field| event.get(field)).filter(|value| value.is_some() && !value.raw().is_empty());
        let start = out.len();
        out.literal(b"\"service\":");
        match (own, &self.service) {
            (Some(value), _) => write_flat(value, TEXT_BYTES, out),
            (None, Some(service)) => out.json_string(service.as_bytes()),
            (None, None) => return out.truncate(start),
        }
        out.byte(b',');
    }
}

impl Mode for Logs {
    fn fields(&self) -> Vec<&str> {
        self.pointers.all()
    }

    fn limits(&self) -> Limits {
        // Escapes and attributes come on top of the records.
        Limits { max_events: Some(1000), max_bytes: Some(2 << 20) }
    }

    fn deliver(&self, batch: &Batch<'_>) -> Result<Delivery, Failure> {
        let now = time::now();
        let entries = Entries::write(batch, (b"[", b"]"), ROOM, |record, event, out| {
            self.entry(record, event, now, out);
            Ok(())
        });
        entries.deliver(|body, count| Delivery::of(post(PATH, self.gzip, body).send(), count)?.halves(count))
    }

    /// The intake has no address of its own for checks. An empty list is no log, and the key is looked at first.
    fn check(&self) -> Result<String, Failure> {
        let answer = post(PATH, false, b"[]".to_vec()).send()?;
        match Delivery::from_status(&answer)? {
            Delivery::All(Outcome::Rejected(_)) if answer.status != 400 => Err(Failure::Configuration(Delivery::reason(&answer))),
            _ => Ok("the intake answers and takes the API key".to_owned()),
        }
    }
}
