//! Any HTTP API: requests from templates, answers by rules.
//!
//! Promised: nothing that an event holds ends a string, a header or a segment of a path; an event that cannot be put
//! into a request costs itself only; a batch that the API refuses is sent in halves until the event at fault stands
//! alone. Refused: scripting. The credential is the destination's: no secret is known here.
//! Protocols: RFC 9110; draft-ietf-httpapi-idempotency-key-header-07; draft-ietf-httpapi-ratelimit-headers-11.

use bulkhead_sdk::template::{self, Place, Scope};
use bulkhead_sdk::{
    Batch, Connector, Delivery, Event, Failure, Field, Limits, Outcome, Parts, Pointers, RecordFormat, Template, Writer, fields, http, message_id,
};

mod answer;
mod path;
mod settings;
mod wait;

use answer::Rules;
use settings::{Missing, Mode, Settings, Wrapped};

fields! { mod field { ID = "/id", SOURCE = "/source" } }
/// What message ids are made from.
const MESSAGE: [Field; 2] = [field::SOURCE, field::ID];

/// Headers of the configuration.
const MAX_HEADERS: usize = 24;
/// Names and values of filled headers; the host takes 32 KiB with those of the credential.
const MAX_HEADER_BYTES: usize = 24 << 10;

#[derive(Debug)]
pub struct Rest {
    settings: Settings,
    rules: Rules,
    path: Template,
    headers: Vec<(String, Template)>,
    content_type: String,
    /// The record as it is where absent.
    body: Option<Template>,
    /// Whether a request has a body at all.
    has_body: bool,
    json: bool,
    pointers: Pointers,
}

impl Rest {
    /// A request without its body; the error is the event's.
    fn request(&self, scope: &Scope<'_>) -> Result<http::Request, String> {
        let mut out = Writer::default();
        self.path.write(scope, &mut out)?;
        let path = String::from_utf8(out.into_bytes()).map_err(|_| "the path is no text".to_owned())?;
        path::check(&path).map_err(|problem| format!("the path {problem}"))?;
        let mut request = http::request(self.settings.method.name(), "primary", &path).gzip(self.settings.gzip).message_id(scope.message_id);
        if self.has_body {
            request = request.header("content-type", &self.content_type);
        }
        for (name, value) in &self.headers {
            let mut out = Writer::default();
            value.write(scope, &mut out)?;
            request = request.header(name, out.as_bytes());
        }
        if let Some(name) = &self.settings.idempotency_key {
            request = request.header(name, scope.message_id);
        }
        let bytes: usize = request.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > MAX_HEADER_BYTES {
            return Err(format!("the filled headers have {bytes} bytes, at most {MAX_HEADER_BYTES} are possible; shorten `headers`"));
        }
        Ok(request)
    }

    fn deliver_one(&self, record: &[u8], event: Event<'_>) -> Result<Delivery, Failure> {
        let message_id = message_id::of(&event, MESSAGE);
        let scope = Scope { event, record, message_id: &message_id };
        let request = self.request(&scope).and_then(|request| {
            let mut out = Writer::default();
            match &self.body {
                _ if !self.has_body => {}
                Some(body) => body.write(&scope, &mut out)?,
                None => out.bytes(record),
            }
            Ok(request.body(out.into_bytes()))
        });
        match request {
            Ok(request) => self.rules.judge(request.send(), 1).map(Delivery::All),
            Err(reason) => Ok(Delivery::All(Outcome::Rejected(reason))),
        }
    }

    /// The part of one event in a batch.
    fn part(&self, record: &[u8], event: Event<'_>, out: &mut Writer) -> Result<(), String> {
        let Some(body) = &self.body else {
            let record = record.trim_ascii_end();
            if self.json && self.settings.mode == Mode::Lines {
                out.one_line(record)
            } else {
                out.bytes(record)
            }
            return Ok(());
        };
        let id = if body.names_message_id() { message_id::of(&event, MESSAGE) } else { String::new() };
        body.write(&Scope { event, record, message_id: &id }, out)
    }

    fn deliver_together(&self, batch: &Batch<'_>) -> Result<Delivery, Failure> {
        let (before, between, after) = match (self.settings.mode, &self.settings.wrapped) {
            (Mode::Wrapped, Some(Wrapped { before, between, after })) => (before.as_str(), between.as_str(), after.as_str()),
            (Mode::Lines, _) => ("", "\n", "\n"),
            _ => ("[", ",", "]"),
        };
        let mut out = Writer::with_capacity(batch.records.bytes().len() + batch.len() * 32);
        out.bytes(before.as_bytes());
        let parts = Parts::write(batch, between.as_bytes(), &mut out, |record, event, out| self.part(record, event, out));
        out.bytes(after.as_bytes());
        parts.deliver(|events| {
            // Path and headers of a batch depend on no event, as `configure` saw to.
            let scope = Scope { event: batch.event(0), record: &[], message_id: &message_id::of_all(batch, MESSAGE) };
            let request = self.request(&scope).map_err(Failure::Configuration)?;
            Delivery::All(self.rules.judge(request.body(out.into_bytes()).send(), events)?).halves(events)
        })
    }
}

/// What the content type is where the configuration does not say.
fn content_type(settings: &Settings, format: &RecordFormat) -> String {
    match (&settings.content_type, settings.mode) {
        (Some(content_type), _) => content_type.clone(),
        (None, Mode::Lines) if settings.body.is_some() || format.is_json() => "application/x-ndjson".to_owned(),
        (None, Mode::Array | Mode::Wrapped) => "application/json".to_owned(),
        (None, Mode::Each) if settings.body.is_some() => "application/json".to_owned(),
        (None, Mode::Each | Mode::Lines) => format.content_type.clone(),
    }
}

/// Whether the fixed text of a JSON body is well formed, its holes filled.
fn check_body(settings: &Settings, body: Option<&Template>) -> Result<(), String> {
    let item = body.map_or_else(|| "null".to_owned(), Template::sample);
    match (&settings.wrapped, settings.mode) {
        (Some(Wrapped { before, between, after }), Mode::Wrapped) => template::check_json("wrapped", &format!("{before}{item}{between}{item}{after}")),
        (_, Mode::Array) => template::check_json("body", &format!("[{item}]")),
        _ => template::check_json("body", &item),
    }
}

impl Connector for Rest {
    type Config = Settings;

    fn configure(mut settings: Settings, format: &RecordFormat) -> Result<Self, String> {
        let json = format.is_json();
        let together = settings.mode != Mode::Each;
        match (&settings.wrapped, settings.mode) {
            (None, Mode::Wrapped) => return Err("`mode: wrapped` needs `wrapped`, which says what stands around the events".to_owned()),
            (Some(_), Mode::Each | Mode::Array | Mode::Lines) => return Err("`wrapped` is for `mode: wrapped`".to_owned()),
            (None, Mode::Array) if !json && settings.body.is_none() => {
                return Err(format!(
                    "`mode: array` needs a `body`, or a format whose records are JSON; this lane's is {} ({})",
                    format.name, format.content_type
                ));
            }
            _ => {}
        }
        if together && settings.method.without_body() {
            return Err(format!("`method: {}` has no body; batches need one", settings.method.name()));
        }
        let content_type = content_type(&settings, format);
        let place = if settings.mode == Mode::Array { Place::Json } else { Place::of(&content_type) };
        let mut rules = template::Rules {
            key: "path",
            place: Place::Path,
            records_fit: Place::of(&format.content_type) == place,
            one_line: settings.mode == Mode::Lines,
            refuse_missing: settings.missing == Missing::Refuse,
        };
        let mut pointers = Pointers::new(field::ALL);
        let path = Template::parse(&settings.path, &rules, &mut pointers)?;
        path::check(&path.sample()).map_err(|problem| format!("`path` {problem}"))?;
        rules.place = Place::Header;
        let mut headers = Vec::new();
        let mut names = vec!["content-type".to_owned()];
        names.extend(settings.idempotency_key.clone());
        for (name, value) in settings.headers.take().unwrap_or_default() {
            http::check_header("headers", &name, &value)?;
            if names.contains(&name) {
                return Err(format!("`headers` names \"{name}\", which `content_type` or `idempotency_key` sets"));
            }
            let key = format!("headers.{name}");
            headers.push((name, Template::parse(&value, &template::Rules { key: &key, ..rules }, &mut pointers)?));
        }
        if headers.len() > MAX_HEADERS {
            return Err(format!("`headers` names {}, at most {MAX_HEADERS} are possible", headers.len()));
        }
        if let Some(name) = &settings.idempotency_key {
            http::check_header("idempotency_key", name, "")?;
        }
        if together
            && let Some(key) =
                [("path", &path)].into_iter().chain(headers.iter().map(|(name, value)| (name.as_str(), value))).find(|(_, value)| !value.is_fixed())
        {
            return Err(format!("`{}` names a field of an event, but with this `mode` a request has many; use `mode: each`", key.0));
        }
        let has_body = settings.body.is_some() || !settings.method.without_body();
        rules = template::Rules { key: "body", place, ..rules };
        let body = match settings.body.take() {
            // A line ends once, also where the text came from a YAML block.
            Some(text) if settings.mode == Mode::Lines => Some(Template::parse(text.trim_end_matches('\n'), &rules, &mut pointers)?),
            Some(text) => Some(Template::parse(&text, &rules, &mut pointers)?),
            None => None,
        };
        if place == Place::Json && has_body && (body.is_some() || together) {
            check_body(&settings, body.as_ref())?;
        }
        if let Some(check) = &settings.check {
            path::check(&check.path).map_err(|problem| format!("`check.path` {problem}"))?;
        }
        let rules = Rules::new(&mut settings)?;
        Ok(Self { settings, rules, path, headers, content_type, body, has_body, json, pointers })
    }

    fn fields(&self) -> Vec<&str> {
        self.pointers.all()
    }

    fn limits(&self) -> Limits {
        match self.settings.mode {
            // A call that is cut off would send the answered ones again.
            Mode::Each => Limits { max_events: Some(1), max_bytes: None },
            Mode::Array | Mode::Lines | Mode::Wrapped => Limits { max_events: Some(1000), max_bytes: Some(4 << 20) },
        }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        match self.settings.mode {
            Mode::Each => Delivery::each(batch, |record, event| self.deliver_one(record, event)),
            Mode::Array | Mode::Lines | Mode::Wrapped => self.deliver_together(batch),
        }
    }

    fn check(&mut self) -> Result<String, Failure> {
        let Some(check) = &self.settings.check else { return Err(Failure::Unsupported) };
        let response = http::request(check.method.name(), "primary", &check.path).send()?;
        let asked = format!("{} {}", check.method.name(), check.path);
        match Delivery::from_status(&response)? {
            Delivery::All(Outcome::Accepted(_)) => Ok(format!("the receiver answered {} to {asked}; no event was sent", response.status)),
            _ => Err(Failure::Configuration(format!("the receiver answered {} to {asked}", response.status))),
        }
    }
}

bulkhead_sdk::export_connector!(Rest);

#[cfg(test)]
mod tests;
