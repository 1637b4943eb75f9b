//! Grafana annotations: an event as a mark on the graphs, one request each.
//! Protocol: Grafana, "Annotations HTTP API" (12 and 13).
//!
//! Promised: the annotation's number at Grafana is kept with the delivery; text and tags stay within what Grafana
//! stores. Grafana keeps every annotation it is sent, so a repetition after a lost answer makes a second one.

use std::collections::BTreeMap;

use bulkhead_sdk::attributes::write_flat;
use bulkhead_sdk::writer::cut;
use bulkhead_sdk::{Batch, Config, Connector, Delivery, Event, Failure, Field, Limits, Outcome, Pointers, RecordFormat, Writer, http, json};

const BASE: [&str; 2] = ["/time", "/received"];
const TIME: Field = Field(0);
const RECEIVED: Field = Field(1);

/// Text of an annotation; it is shown in a small window.
const TEXT_BYTES: usize = 4096;
/// Grafana keeps a tag as what stands before its first colon and what stands behind it, in a column each.
const TAG_CHARACTERS: usize = 100;
/// All tags of an annotation together.
const TAG_BYTES: usize = 500;

/// Where annotations go and how they look.
#[derive(Debug, Config)]
pub struct Settings {
    /// Uid of the dashboard; without it the annotation is the organisation's and shows wherever it is asked for.
    #[config(min = 1, max = 40)]
    dashboard_uid: Option<String>,
    /// Number of the panel, with `dashboard_uid`.
    #[config(min = 1)]
    panel_id: Option<u32>,
    /// Number of the organisation, sent as `x-grafana-org-id`; the token's own where absent.
    #[config(min = 1)]
    org_id: Option<u32>,
    /// Tags of every annotation; `[bulkhead]` where absent.
    tags: Option<Vec<String>>,
    /// Tags from the event: name to pointer, `{severity: /severity}` gives `severity:high`.
    tag_fields: Option<BTreeMap<String, String>>,
    /// Pointer to the text; the formatted record where absent.
    text_field: Option<String>,
}

#[derive(Debug)]
pub struct Annotations {
    /// `{"dashboardUID":"..","panelId":2,`
    begin: Vec<u8>,
    org: Option<String>,
    tags: Vec<String>,
    tag_fields: Vec<(String, Field)>,
    text: Option<Field>,
    pointers: Pointers,
}

impl Annotations {
    fn request(&self, request: http::Request) -> http::Request {
        let request = request.header("accept", "application/json");
        if let Some(org) = &self.org { request.header("x-grafana-org-id", org) } else { request }
    }

    fn body(&self, record: &[u8], event: &Event<'_>) -> Vec<u8> {
        let mut out = Writer::with_capacity(record.len().min(TEXT_BYTES) + 512);
        out.bytes(&self.begin);
        if let Some(moment) = event.time([TIME, RECEIVED]) {
            out.literal(b"\"time\":");
            out.number(moment.millis());
            out.byte(b',');
        }
        out.literal(b"\"tags\":[");
        let inside = out.len();
        let mut left = TAG_BYTES;
        for tag in self.tags.iter().cloned().chain(self.tag_fields.iter().filter_map(|(name, field)| tag(name, event, *field))) {
            let Some(rest) = left.checked_sub(tag.len()) else { continue };
            left = rest;
            out.json_string(tag.as_bytes());
            out.byte(b',');
        }
        if out.len() > inside {
            out.truncate(out.len() - 1);
        }
        out.literal(b"],\"text\":");
        let own = self.text.map(|field| event.get(field)).filter(|value| value.is_some() && !value.raw().is_empty());
        match own {
            Some(value) => write_flat(value, TEXT_BYTES, &mut out),
            None => {
                let record = record.trim_ascii();
                // Grafana takes no annotation without a text.
                out.json_string(cut(if record.is_empty() { b"-" } else { record }, TEXT_BYTES));
            }
        }
        out.byte(b'}');
        out.into_bytes()
    }

    fn deliver_one(&self, record: &[u8], event: &Event<'_>) -> Result<Delivery, Failure> {
        let request = http::post("primary", "/api/annotations").header("content-type", "application/json").body(self.body(record, event));
        match self.request(request).send() {
            Ok(answer) if (200..300).contains(&answer.status) => Ok(Delivery::All(Outcome::Accepted(id(&answer.body)))),
            answer => Delivery::of(answer, 1),
        }
    }
}

/// A tag of the event; none where it has no value.
fn tag(name: &str, event: &Event<'_>, field: Field) -> Option<String> {
    let mut text = Writer::default();
    text.text(event.get(field));
    let value = cut(text.as_bytes(), TAG_BYTES);
    (!value.is_empty()).then(|| fitting(&format!("{name}:{}", String::from_utf8_lossy(value))))
}

/// What fits of a tag.
fn fitting(tag: &str) -> String {
    let part = |part: &str| part.chars().take(TAG_CHARACTERS).collect::<String>();
    tag.split_once(':').map_or_else(|| part(tag), |(key, value)| format!("{}:{}", part(key), part(value)))
}

/// The number that Grafana gave it.
fn id(body: &[u8]) -> Option<String> {
    let id = json::value(std::str::from_utf8(body).ok()?)?.member("id").integer()?;
    Some(id.to_string())
}

impl Connector for Annotations {
    type Config = Settings;

    fn configure(settings: Settings, _: &RecordFormat) -> Result<Self, String> {
        let mut begin = Writer::default();
        begin.byte(b'{');
        if let Some(uid) = &settings.dashboard_uid {
            if !uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
                return Err(format!("`dashboard_uid` is \"{uid}\"; it has letters, digits, - and _"));
            }
            begin.literal(b"\"dashboardUID\":");
            begin.json_string(uid.as_bytes());
            begin.byte(b',');
        }
        if let Some(panel) = settings.panel_id {
            if settings.dashboard_uid.is_none() {
                return Err("`panel_id` needs `dashboard_uid`: panels are numbered within a dashboard".to_owned());
            }
            begin.literal(b"\"panelId\":");
            begin.unsigned(panel.into());
            begin.byte(b',');
        }
        let tags = settings.tags.unwrap_or_else(|| vec!["bulkhead".to_owned()]);
        let bytes: usize = tags.iter().map(String::len).sum();
        if tags.iter().any(String::is_empty) || bytes > TAG_BYTES {
            return Err(format!("`tags` has {bytes} bytes; at most {TAG_BYTES} are possible, and no tag is empty"));
        }
        if let Some(tag) = tags.iter().find(|tag| fitting(tag) != **tag) {
            return Err(format!("`tags` has \"{tag}\"; Grafana keeps {TAG_CHARACTERS} characters before a tag's first colon, and as many behind it"));
        }
        let mut pointers = Pointers::new(&BASE);
        let mut tag_fields = Vec::new();
        for (name, pointer) in settings.tag_fields.iter().flatten() {
            if name.is_empty() || name.len() > 50 {
                return Err(format!("`tag_fields` names \"{name}\"; a name has 1 to 50 bytes"));
            }
            tag_fields.push((name.clone(), pointers.add(&format!("tag_fields.{name}"), pointer)?));
        }
        let text = settings.text_field.as_ref().map(|pointer| pointers.add("text_field", pointer)).transpose()?;
        Ok(Self { begin: begin.into_bytes(), org: settings.org_id.map(|org| org.to_string()), tags, tag_fields, text, pointers })
    }

    fn fields(&self) -> Vec<&str> {
        self.pointers.all()
    }

    fn limits(&self) -> Limits {
        // A call that is cut off would send the answered ones again.
        Limits { max_events: Some(1), max_bytes: None }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        Delivery::each(batch, |record, event| self.deliver_one(record, &event))
    }

    /// Health needs no token; the organisation does, and a role that may read it.
    fn check(&mut self) -> Result<String, Failure> {
        Delivery::success(&self.request(http::get("primary", "/api/health")).send()?)?;
        let answer = self.request(http::get("primary", "/api/org")).send()?;
        if answer.status == 403 {
            return Ok("Grafana takes the token, which may not read its organisation; whether it may annotate shows with the first event".to_owned());
        }
        Delivery::success(&answer)?;
        Ok("Grafana is healthy and takes the token".to_owned())
    }
}

bulkhead_sdk::export_connector!(Annotations);

#[cfg(test)]
mod tests;
