//! Webhooks: events POSTed to a receiver, one a request or many.
//!
//! Promised: every event has an outcome of its own; each event carries its id in `x-event-id` and,
//! for signatures such as Standard Webhooks, a message id that is the same on every retry; a batch
//! that the receiver refuses as a whole is sent in halves until the event at fault stands alone. Where an
//! origin is configured nothing goes to a receiver that has not agreed to it. The signature itself is the
//! destination's credential: no secret is known here.
//! Protocols: Standard Webhooks 1.0.0; the data vault's webhooks (410 disables, 408, 429 and 5xx are
//! tried again, other 4xx are final); CloudEvents 1.0.2, batched and binary mode; HTTP 1.1 Web Hooks for
//! Event Delivery 1.0.2.

use std::collections::BTreeMap;

use bulkhead_sdk::{Batch, Config, Connector, Delivery, Event, Failure, Limits, Outcome, RecordFormat, fields, http, message_id};

mod binary;

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
    /// `cloudevents-binary`: one CloudEvent a request, its attributes as `ce-` headers.
    #[config(default = "each")]
    mode: Mode,
    /// Content type of requests; by default what the format says.
    #[config(min = 1)]
    content_type: Option<String>,
    /// Sent as `x-webhook-id`: which registration of the receiver this is.
    #[config(min = 1)]
    webhook_id: Option<String>,
    /// Who sends, as a name such as `audit.acme.example`: before the first event the receiver is asked whether it agrees
    /// (the validation handshake of HTTP 1.1 Web Hooks), and every request carries the name.
    #[config(min = 1)]
    origin: Option<String>,
    /// Requests a minute that the receiver is asked to agree to.
    #[config(min = 1)]
    request_rate: Option<u32>,
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
    #[config(rename = "cloudevents-binary")]
    Binary,
}

#[derive(Debug)]
pub struct Webhook {
    settings: Settings,
    content_type: String,
    json: bool,
    /// The receiver has agreed to our origin, or there is none to agree to.
    agreed: bool,
}

impl Webhook {
    fn request(&self, body: Vec<u8>, message_id: String) -> http::Request {
        let mut request = http::post("primary", &self.settings.path).gzip(self.settings.gzip).body(body).message_id(message_id);
        if self.settings.mode != Mode::Binary {
            request = request.header("content-type", &self.content_type);
        }
        if let Some(origin) = &self.settings.origin {
            request = request.header("webhook-request-origin", origin);
        }
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
        judge(self.request(record.to_vec(), message_id::of(event, [field::SOURCE, field::ID])).header("x-event-id", http::header_text(&id, HEADER_BYTES)), 1)
    }

    fn deliver_binary(&self, record: &[u8], event: &Event<'_>) -> Result<Delivery, Failure> {
        match binary::parts(record) {
            Ok(parts) => {
                let request = self.request(parts.body, message_id::of(event, [field::SOURCE, field::ID]));
                judge(parts.headers.iter().fold(request, |request, (name, value)| request.header(name, value)), 1)
            }
            Err(reason) => Ok(Delivery::All(Outcome::Rejected(reason))),
        }
    }

    /// Asks the receiver whether it agrees to deliveries from us; in words. A status alone is no consent.
    fn handshake(&self, origin: &str) -> Result<String, Failure> {
        let mut request = http::request("OPTIONS", "primary", &self.settings.path).header("webhook-request-origin", origin);
        if let Some(rate) = self.settings.request_rate {
            request = request.header("webhook-request-rate", rate.to_string());
        }
        let response = request.send()?;
        let said = |name: &str| response.header(name).map(|value| String::from_utf8_lossy(value).trim().to_owned());
        let agrees = said("webhook-allowed-origin").is_some_and(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin));
        if let Err(failure @ (Failure::Unauthorized(_) | Failure::Unavailable { .. })) = Delivery::from_status(&response)
            && !agrees
        {
            return Err(failure);
        }
        if !agrees {
            return Err(Failure::Configuration(format!(
                "the receiver answered {} to OPTIONS and does not agree to deliveries from {origin} (`webhook-allowed-origin`); have it agree, or remove `origin`",
                response.status
            )));
        }
        // Somebody else's text: only what is a number is shown.
        Ok(match said("webhook-allowed-rate").filter(|rate| !rate.is_empty() && rate.len() < 20 && rate.bytes().all(|byte| byte.is_ascii_digit())) {
            Some(rate) => format!("the receiver agrees to deliveries from {origin}, at most {rate} requests a minute"),
            None => format!("the receiver agrees to deliveries from {origin}"),
        })
    }

    fn deliver_together(&self, batch: &Batch<'_>, body: Vec<u8>) -> Result<Delivery, Failure> {
        judge(self.request(body, message_id::of_all(batch, [field::SOURCE, field::ID])), batch.len())?.halves(batch.len())
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
            http::check_header("headers", name, value)?;
        }
        if settings.mode == Mode::Binary && settings.content_type.is_some() {
            return Err("`content_type` is the event's own with `mode: cloudevents-binary`; leave it out".to_owned());
        }
        if settings.headers.iter().flatten().any(|(name, _)| settings.mode == Mode::Binary && name.starts_with("ce-")) {
            return Err("`headers` names a `ce-` header, which `mode: cloudevents-binary` sets".to_owned());
        }
        if let Some(origin) = settings.origin.as_ref().filter(|origin| !origin.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:_".contains(&byte))) {
            return Err(format!("`origin` is \"{origin}\"; it is a name such as audit.acme.example"));
        }
        if settings.request_rate.is_some() && settings.origin.is_none() {
            return Err("`request_rate` is asked for with `origin`, which is not given".to_owned());
        }
        let json = format.is_json();
        if settings.mode == Mode::Binary && !format.content_type.starts_with("application/cloudevents+json") {
            return Err(format!("`mode: cloudevents-binary` needs the format cloudevents; this lane's is {} ({})", format.name, format.content_type));
        }
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
        let agreed = settings.origin.is_none();
        Ok(Self { settings, content_type, json, agreed })
    }

    fn fields(&self) -> Vec<&str> {
        field::ALL.to_vec()
    }

    fn limits(&self) -> Limits {
        match self.settings.mode {
            // A call that is cut off would send the answered ones again.
            Mode::Each | Mode::Binary => Limits { max_events: Some(1), max_bytes: None },
            Mode::Array | Mode::Ndjson => Limits { max_events: Some(1000), max_bytes: Some(4 << 20) },
        }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        if let (false, Some(origin)) = (self.agreed, &self.settings.origin) {
            self.handshake(origin)?;
            self.agreed = true;
        }
        match self.settings.mode {
            Mode::Binary => Delivery::each(batch, |record, event| self.deliver_binary(record, &event)),
            Mode::Each => Delivery::each(batch, |record, event| self.deliver_one(record, &event)),
            Mode::Array => self.deliver_together(batch, batch.records.json_array()),
            Mode::Ndjson => self.deliver_together(batch, batch.records.lines(self.json)),
        }
    }

    /// A webhook has no request that is no event, but for the handshake.
    fn check(&mut self) -> Result<String, Failure> {
        match &self.settings.origin {
            Some(origin) => self.handshake(origin),
            None => Err(Failure::Unsupported),
        }
    }
}

bulkhead_sdk::export_connector!(Webhook);

#[cfg(test)]
mod tests;
