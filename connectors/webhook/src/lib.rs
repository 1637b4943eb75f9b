//! Webhooks: events POSTed to a receiver, one a request or many.
//!
//! Promised: every event has an outcome of its own; each event carries its id in `x-event-id` and,
//! for signatures such as Standard Webhooks, a message id that is the same on every retry; a batch
//! that the receiver refuses as a whole is sent in halves until the event at fault stands alone. The
//! signature itself is the destination's credential: no secret is known here.
//! Protocols: Standard Webhooks 1.0.0; the data vault's webhooks (410 disables, 408, 429 and 5xx are
//! tried again, other 4xx are final); CloudEvents 1.0.2 batched mode.

use std::collections::BTreeMap;

use bulkhead_sdk::{Batch, Config, Connector, Delivery, Event, Failure, Limits, RecordFormat, fields, http, message_id};

fields! { mod field { ID = "/id", SOURCE = "/source" } }

/// Longest value of `x-event-id`.
const HEADER_BYTES: usize = 1024;

/// How requests look.
#[derive(Debug, Config)]
pub struct Settings {
    /// Path below the destination's base; empty for the base itself.
    #[config(default = "")]
    path: String,
    /// `each`: one event a request. `array`: a JSON array of a batch. `ndjson`: a batch, one event a line.
    #[config(default = "each")]
    mode: Mode,
    /// Content type of requests; by default what the format says.
    #[config(min = 1)]
    content_type: Option<String>,
    /// Sent as `x-webhook-id`: which registration of the receiver this is.
    #[config(min = 1)]
    webhook_id: Option<String>,
    /// Further headers; names in lower case. Secrets belong into the destination's credential.
    headers: Option<BTreeMap<String, String>>,
    /// Compresses requests.
    #[config(default = false)]
    gzip: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Mode {
    Each,
    Array,
    Ndjson,
}

#[derive(Debug)]
pub struct Webhook {
    settings: Settings,
    content_type: String,
    json: bool,
}

impl Webhook {
    fn request(&self, body: Vec<u8>, message_id: String) -> http::Request {
        let mut request =
            http::post("primary", &self.settings.path).header("content-type", &self.content_type).gzip(self.settings.gzip).body(body).message_id(message_id);
        if let Some(id) = &self.settings.webhook_id {
            request = request.header("x-webhook-id", id);
        }
        for (name, value) in self.settings.headers.iter().flatten() {
            request = request.header(name, value);
        }
        request
    }

    fn deliver_one(&self, record: &[u8], event: &Event<'_>) -> Result<Delivery, Failure> {
        let id = event.get(field::ID).text().unwrap_or_default();
        let source = event.get(field::SOURCE).text().unwrap_or_default();
        judge(self.request(record.to_vec(), message_id::of_event(&source, &id)).header("x-event-id", http::header_text(&id, HEADER_BYTES)), 1)
    }

    fn deliver_together(&self, batch: &Batch<'_>, body: Vec<u8>) -> Result<Delivery, Failure> {
        let ids = batch.iter().map(|(_, event)| (event.get(field::SOURCE).text().unwrap_or_default(), event.get(field::ID).text().unwrap_or_default()));
        judge(self.request(body, message_id::of_batch(ids)), batch.len())?.halves(batch.len())
    }
}

/// Sends, and reads the answer by the shared table and the data vault's one exception.
fn judge(request: http::Request, events: usize) -> Result<Delivery, Failure> {
    match request.send() {
        Ok(response) if response.status == 410 => {
            Err(Failure::Configuration("the receiver answered 410: this webhook is no more; remove the instance or register anew".to_owned()))
        }
        answer => Delivery::of(answer, events),
    }
}

impl Connector for Webhook {
    type Config = Settings;

    fn configure(settings: Settings, format: &RecordFormat) -> Result<Self, String> {
        if !settings.path.is_empty() && !settings.path.starts_with('/') {
            return Err(format!("`path` is \"{}\"; it begins with `/` or is empty", settings.path));
        }
        for (name, value) in settings.headers.iter().flatten() {
            let token = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if name.is_empty() || !name.bytes().all(token) {
                return Err(format!("`headers` names \"{name}\"; a header name is lower case, without spaces"));
            }
            if !value.bytes().all(|byte| byte == b'\t' || (0x20..0x7f).contains(&byte)) {
                return Err(format!("`headers.{name}` contains a character that a header cannot carry"));
            }
        }
        let json = format.is_json();
        if settings.mode == Mode::Array && !json {
            return Err(format!("`mode: array` needs a format whose records are JSON; this lane's is {} ({})", format.name, format.content_type));
        }
        let events = format.content_type.starts_with("application/cloudevents");
        let content_type = match (&settings.content_type, settings.mode) {
            (Some(content_type), _) => content_type.clone(),
            (None, Mode::Array) if events => "application/cloudevents-batch+json; charset=utf-8".to_owned(),
            (None, Mode::Array) => "application/json".to_owned(),
            (None, Mode::Ndjson) if json => "application/x-ndjson".to_owned(),
            (None, _) => format.content_type.clone(),
        };
        Ok(Self { settings, content_type, json })
    }

    fn fields(&self) -> Vec<&str> {
        field::ALL.to_vec()
    }

    fn limits(&self) -> Limits {
        match self.settings.mode {
            // A call that is cut off would send the answered ones again.
            Mode::Each => Limits { max_events: Some(1), max_bytes: None },
            Mode::Array | Mode::Ndjson => Limits { max_events: Some(1000), max_bytes: Some(4 << 20) },
        }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        match self.settings.mode {
            Mode::Each => Delivery::each(batch, |record, event| self.deliver_one(record, &event)),
            Mode::Array => self.deliver_together(batch, batch.records.json_array()),
            Mode::Ndjson => self.deliver_together(batch, batch.records.lines(self.json)),
        }
    }
}

bulkhead_sdk::export_connector!(Webhook);

#[cfg(test)]
mod tests;
