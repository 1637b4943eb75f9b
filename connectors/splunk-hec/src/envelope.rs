//! Envelopes: `{"time":..,"host":..,"source":..,"sourcetype":..,"index":..,"fields":{..},"event":..}`.

use bulkhead_sdk::{Batch, Event, Field, Kind, Outcome, Pointers, RecordFormat, Value, Writer};

use crate::Settings;

const TIME: Field = Field(0);
const RECEIVED: Field = Field(1);
const HOST: Field = Field(2);
const SOURCE: Field = Field(3);
const BASE: [&str; 4] = ["/time", "/received", "/host", "/source"];
/// Bytes that an envelope adds to its record, as a guess.
const OVERHEAD: usize = 192;

#[derive(Debug)]
pub struct Envelopes {
    json: bool,
    /// `"host":"..",` where it is configured.
    host: Option<Vec<u8>>,
    /// `"source":"..",` where it is configured.
    source: Option<Vec<u8>>,
    /// `"sourcetype":"..","index":"..",`
    rest: Vec<u8>,
    /// `"name":` and its field.
    fields: Vec<(Vec<u8>, Field)>,
    pointers: Pointers,
}

impl Envelopes {
    pub fn new(settings: &Settings, format: &RecordFormat) -> Result<Self, String> {
        let mut fields = Vec::new();
        let mut pointers = Pointers::new(&BASE);
        for (name, pointer) in settings.fields.iter().flatten() {
            if name.is_empty() {
                return Err("`fields` has a name without a character".to_owned());
            }
            let field = pointers.add(&format!("fields.{name}"), pointer)?;
            let mut begin = Writer::default();
            begin.json_string(name.as_bytes());
            begin.byte(b':');
            fields.push((begin.into_bytes(), field));
        }
        let member = |name: &str, text: &Option<String>| {
            text.as_ref().map(|text| {
                let mut out = Writer::default();
                out.json_string(name.as_bytes());
                out.byte(b':');
                out.json_string(text.as_bytes());
                out.byte(b',');
                out.into_bytes()
            })
        };
        let rest = [member("sourcetype", &settings.sourcetype), member("index", &settings.index)].into_iter().flatten().flatten().collect();
        Ok(Self { json: format.is_json(), host: member("host", &settings.host), source: member("source", &settings.source), rest, fields, pointers })
    }

    pub fn pointers(&self) -> Vec<&str> {
        self.pointers.all()
    }

    /// Envelopes of at most `most` events from `start` on, and which events they are. Records that the collector
    /// takes for no event at all are rejected here.
    pub fn write(&self, batch: &Batch<'_>, start: usize, most: usize, outcomes: &mut [Option<Outcome>]) -> (Vec<u8>, Vec<usize>) {
        let mut out = Writer::with_capacity(batch.records.bytes().len() + batch.len() * OVERHEAD);
        let mut sent = Vec::with_capacity(batch.len() - start.min(batch.len()));
        for (place, outcome) in outcomes.iter_mut().enumerate().take(batch.len()).skip(start) {
            if sent.len() == most {
                break;
            }
            let record = batch.record(place).trim_ascii();
            if record.is_empty() {
                *outcome = Some(Outcome::Rejected("the record is empty, and the collector takes no blank event".to_owned()));
                continue;
            }
            self.envelope(record, &batch.event(place), &mut out);
            sent.push(place);
        }
        (out.into_bytes(), sent)
    }

    fn envelope(&self, record: &[u8], event: &Event<'_>, out: &mut Writer) {
        out.literal(b"{");
        if let Some(moment) = event.time([TIME, RECEIVED]) {
            out.literal(b"\"time\":");
            moment.write_seconds(3, out);
            out.literal(b",");
        }
        match &self.host {
            Some(member) => out.bytes(member),
            None => text_member(b"\"host\":", event.get(HOST), out),
        }
        match &self.source {
            Some(member) => out.bytes(member),
            None => text_member(b"\"source\":", event.get(SOURCE), out),
        }
        out.bytes(&self.rest);
        if !self.fields.is_empty() {
            self.indexed(event, out);
        }
        out.literal(b"\"event\":");
        if self.json {
            out.bytes(record);
        } else {
            out.json_string(record);
        }
        out.literal(b"}");
    }

    /// Indexed fields: texts and lists of texts, flat; others as their JSON text.
    fn indexed(&self, event: &Event<'_>, out: &mut Writer) {
        let start = out.len();
        out.literal(b"\"fields\":{");
        let inside = out.len();
        for (begin, field) in &self.fields {
            let value = event.get(*field);
            if !value.is_some() {
                continue;
            }
            out.bytes(begin);
            if value.kind() == Kind::Array && value.elements().all(|element| element.is_string()) {
                out.json(value);
            } else {
                out.json_text(value);
            }
            out.literal(b",");
        }
        if out.len() == inside {
            return out.truncate(start);
        }
        out.truncate(out.len() - 1);
        out.literal(b"},");
    }
}

fn text_member<const N: usize>(begin: &[u8; N], value: Value<'_>, out: &mut Writer) {
    if value.is_string() && !value.raw().is_empty() {
        out.literal(begin);
        out.json(value);
        out.literal(b",");
    }
}
