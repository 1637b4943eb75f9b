//! Grafana Loki: lines through `POST /loki/api/v1/push`.
//! Protocol: Grafana, "Loki HTTP API" and "Limits configuration" (3.x).
//!
//! Promised: events of a batch with the same labels form one stream, in their order; times keep their
//! nanoseconds; a batch that Loki refuses is sent in halves until the line at fault stands alone. Loki
//! stores the good lines of a refused batch, and takes the same line at the same time once.

use std::collections::BTreeMap;

use bulkhead_sdk::{Batch, Config, Connector, Delivery, Event, Failure, Field, Limits, Pointers, RecordFormat, Value, Writer, http};

const BASE: [&str; 2] = ["/time", "/received"];
const TIME: Field = Field(0);
const RECEIVED: Field = Field(1);
/// Labels that Loki takes by default (`max_label_names_per_series`).
const MAX_LABELS: usize = 15;
/// Of `max_structured_metadata_entries_count`, 128, what the contract's 64 fields leave room for.
const MAX_METADATA: usize = 40;
/// Loki's longest label value.
const LABEL_BYTES: usize = 2048;

/// What Loki is told beside the lines.
#[derive(Debug, Config)]
pub struct Settings {
    /// Labels of every line. `{service_name: bulkhead}` where absent.
    labels: Option<BTreeMap<String, String>>,
    /// Labels from the event: name to pointer, for example `severity: /severity`. Each value makes streams of
    /// its own: take fields with few values.
    label_fields: Option<BTreeMap<String, String>>,
    /// Structured metadata from the event: name to pointer, for example `user: /user`.
    metadata: Option<BTreeMap<String, String>>,
    /// `x-scope-orgid`: the tenant of a Loki with several.
    #[config(min = 1, max = 150)]
    tenant: Option<String>,
    /// Compresses requests.
    #[config(default = false)]
    gzip: bool,
}

#[derive(Debug)]
pub struct Loki {
    settings: Settings,
    /// `"service_name":"bulkhead",`
    labels: Vec<u8>,
    /// `"severity":` and its field.
    label_fields: Vec<(Vec<u8>, Field)>,
    metadata: Vec<(Vec<u8>, Field)>,
    pointers: Pointers,
}

/// Grafana, "Labels": a letter or `_`, then letters, digits and `_`.
fn is_name(name: &str) -> bool {
    name.bytes().enumerate().all(|(at, byte)| byte.is_ascii_alphabetic() || byte == b'_' || at > 0 && byte.is_ascii_digit()) && !name.is_empty()
}

fn key(name: &str) -> Vec<u8> {
    let mut out = Writer::default();
    out.json_string(name.as_bytes());
    out.byte(b':');
    out.into_bytes()
}

fn fields(what: &str, map: &Option<BTreeMap<String, String>>, pointers: &mut Pointers) -> Result<Vec<(Vec<u8>, Field)>, String> {
    let mut made = Vec::new();
    for (name, pointer) in map.iter().flatten() {
        if !is_name(name) {
            return Err(format!("`{what}` names \"{name}\"; a name is a letter or _, then letters, digits and _"));
        }
        made.push((key(name), pointers.add(&format!("{what}.{name}"), pointer)?));
    }
    Ok(made)
}

/// `"name":"value",` of the fields that the event has.
fn members(fields: &[(Vec<u8>, Field)], event: &Event<'_>, out: &mut Writer) {
    for (key, field) in fields {
        let value = event.get(*field);
        if value.is_some() && !value.raw().is_empty() {
            out.bytes(key);
            member(value, out);
            out.byte(b',');
        }
    }
}

/// Loki's values are texts.
fn member(value: Value<'_>, out: &mut Writer) {
    if value.raw().len() <= LABEL_BYTES {
        return out.json_text(value);
    }
    let text = value.text().unwrap_or_else(|| value.raw().into());
    out.json_string(bulkhead_sdk::writer::cut(&text, LABEL_BYTES));
}

/// An entry: its time in nanoseconds as a text, its line, its metadata.
fn entry(record: &[u8], event: &Event<'_>, metadata: &[(Vec<u8>, Field)], out: &mut Writer) {
    let nanos = event.time([TIME, RECEIVED]).map_or(0, |moment| moment.nanos());
    out.literal(b"[\"");
    out.number(nanos);
    out.literal(b"\",");
    out.json_string(record.trim_ascii_end());
    let start = out.len();
    out.literal(b",{");
    let inside = out.len();
    members(metadata, event, out);
    if out.len() == inside {
        out.truncate(start);
    } else {
        out.truncate(out.len() - 1);
        out.byte(b'}');
    }
    out.literal(b"],");
}

impl Loki {
    /// Streams in the order of their first events.
    fn body(&self, batch: &Batch<'_>) -> Vec<u8> {
        let mut streams: Vec<(Vec<u8>, Writer)> = Vec::new();
        let mut places: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for (record, event) in batch.iter() {
            let mut labels = Writer::with_capacity(256);
            labels.bytes(&self.labels);
            members(&self.label_fields, &event, &mut labels);
            let labels = labels.into_bytes();
            let place = *places.entry(labels).or_insert_with_key(|labels| {
                streams.push((labels.clone(), Writer::with_capacity(record.len() + 128)));
                streams.len() - 1
            });
            entry(record, &event, &self.metadata, &mut streams[place].1);
        }
        let mut out = Writer::with_capacity(batch.records.bytes().len() * 2);
        out.literal(b"{\"streams\":[");
        for (place, (labels, entries)) in streams.into_iter().enumerate() {
            out.bytes(if place == 0 { b"{\"stream\":{" } else { b",{\"stream\":{" });
            // Without their last commas.
            out.bytes(&labels[..labels.len() - 1]);
            out.literal(b"},\"values\":[");
            out.bytes(&entries.as_bytes()[..entries.len() - 1]);
            out.literal(b"]}");
        }
        out.literal(b"]}");
        out.into_bytes()
    }

    fn request(&self, mut request: http::Request) -> http::Request {
        if let Some(tenant) = &self.settings.tenant {
            request = request.header("x-scope-orgid", tenant);
        }
        request
    }
}

impl Connector for Loki {
    type Config = Settings;

    fn configure(settings: Settings, _: &RecordFormat) -> Result<Self, String> {
        let mut labels = Writer::default();
        let own = BTreeMap::from([("service_name".to_owned(), "bulkhead".to_owned())]);
        let fixed = settings.labels.as_ref().unwrap_or(&own);
        for (name, value) in fixed {
            if !is_name(name) {
                return Err(format!("`labels` names \"{name}\"; a name is a letter or _, then letters, digits and _"));
            }
            if settings.label_fields.as_ref().is_some_and(|fields| fields.contains_key(name)) {
                return Err(format!("\"{name}\" is in `labels` and in `label_fields`"));
            }
            if value.is_empty() || value.len() > LABEL_BYTES {
                return Err(format!("`labels.{name}` has {} bytes, at least 1 and at most {LABEL_BYTES} are possible", value.len()));
            }
            labels.bytes(&key(name));
            labels.json_string(value.as_bytes());
            labels.byte(b',');
        }
        let count = fixed.len() + settings.label_fields.as_ref().map_or(0, BTreeMap::len);
        if count > MAX_LABELS {
            return Err(format!("`labels` and `label_fields` name {count}, Loki takes at most {MAX_LABELS}"));
        }
        if fixed.is_empty() {
            return Err("`labels` is empty; every line needs at least one label".to_owned());
        }
        if settings.metadata.as_ref().is_some_and(|metadata| metadata.len() > MAX_METADATA) {
            return Err(format!("`metadata` names more than {MAX_METADATA}"));
        }
        if settings.tenant.as_ref().is_some_and(|tenant| !tenant.bytes().all(|byte| (33..=126).contains(&byte))) {
            return Err("`tenant` is printable ASCII without spaces".to_owned());
        }
        let mut pointers = Pointers::new(&BASE);
        let label_fields = fields("label_fields", &settings.label_fields, &mut pointers)?;
        let metadata = fields("metadata", &settings.metadata, &mut pointers)?;
        Ok(Self { settings, labels: labels.into_bytes(), label_fields, metadata, pointers })
    }

    fn fields(&self) -> Vec<&str> {
        self.pointers.all()
    }

    fn limits(&self) -> Limits {
        // A tenant's rate is 4 MB a second by default; escapes and times come on top of the records.
        Limits { max_events: Some(5000), max_bytes: Some(2 << 20) }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        let body = self.body(batch);
        let request = http::post("primary", "/loki/api/v1/push").header("content-type", "application/json").gzip(self.settings.gzip).body(body);
        match self.request(request).send() {
            // "Blocked ingestion": a success by its number only.
            Ok(response) if response.status == 260 => Err(Failure::Configuration("Loki answered 260: ingestion is blocked for this tenant".to_owned())),
            answer => Delivery::of(answer, batch.len())?.halves(batch.len()),
        }
    }

    fn check(&mut self) -> Result<String, Failure> {
        let response = self.request(http::get("primary", "/ready")).send()?;
        Delivery::success(&response)?;
        Ok("Loki is ready; whether it takes the credential shows with the first line".to_owned())
    }
}

bulkhead_sdk::export_connector!(Loki);

#[cfg(test)]
mod tests;
