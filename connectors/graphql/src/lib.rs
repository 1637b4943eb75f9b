//! GraphQL over HTTP: a mutation for each event, or one for a batch whose list variable holds the events.
//!
//! Promised: variables are JSON whatever an event holds; data and errors are told apart as the specification says; a
//! batch that the server refuses is sent in halves until the event at fault stands alone. Refused: queries by GET,
//! subscriptions. The credential is the destination's: no secret is known here.
//! Protocols: GraphQL over HTTP, Stage 2 draft of August 2026; GraphQL specification, "Response".

use bulkhead_sdk::template::{self, Place, Scope};
use bulkhead_sdk::{
    Batch, Connector, Delivery, Event, Failure, Field, Limits, Outcome, Parts, Pointers, RecordFormat, Template, Writer, fields, http, message_id,
};

mod answer;
mod settings;

use answer::{RESPONSE, Reader, Said};
use settings::{Missing, Settings};

fields! { mod field { ID = "/id", SOURCE = "/source" } }
/// What message ids are made from.
const MESSAGE: [Field; 2] = [field::SOURCE, field::ID];

/// Executed in place of the operation by the connection check, beside which the server validates the whole document.
const PROBE: &str = "BulkheadCheck";

#[derive(Debug)]
pub struct GraphQl {
    settings: Settings,
    reader: Reader,
    /// `{"query":"…","operationName":"…","variables":{`
    head: Vec<u8>,
    /// `"name":` and its value.
    variables: Vec<(Vec<u8>, Template)>,
    /// The variable that holds the events of a batch.
    list: Option<(Vec<u8>, Template)>,
    pointers: Pointers,
}

impl GraphQl {
    fn request(&self, body: Writer, id: &str) -> http::Request {
        let mut request = http::post("primary", &self.settings.path)
            .header("content-type", "application/json")
            .header("accept", format!("{RESPONSE}, application/json;q=0.9"))
            .gzip(self.settings.gzip)
            .message_id(id)
            .body(body.into_bytes());
        for (name, value) in self.settings.headers.iter().flatten() {
            request = request.header(name, value);
        }
        if let Some(name) = &self.settings.idempotency_key {
            request = request.header(name, id);
        }
        request
    }

    /// The body up to and with the variables that are not the list.
    fn begin(&self, scope: &Scope<'_>, out: &mut Writer) -> Result<(), String> {
        out.bytes(&self.head);
        for (place, (key, value)) in self.variables.iter().enumerate() {
            if place > 0 {
                out.byte(b',');
            }
            out.bytes(key);
            value.write(scope, out)?;
        }
        Ok(())
    }

    fn deliver_one(&self, record: &[u8], event: Event<'_>) -> Result<Delivery, Failure> {
        let id = message_id::of(&event, MESSAGE);
        let mut out = Writer::with_capacity(self.head.len() + record.len() + 256);
        match self.begin(&Scope { event, record, message_id: &id }, &mut out) {
            Ok(()) => {
                out.literal(b"}}");
                self.reader.judge(self.request(out, &id).send(), 1)
            }
            Err(reason) => Ok(Delivery::All(Outcome::Rejected(reason))),
        }
    }

    fn deliver_together(&self, batch: &Batch<'_>, key: &[u8], element: &Template) -> Result<Delivery, Failure> {
        let id = message_id::of_all(batch, MESSAGE);
        let mut out = Writer::with_capacity(self.head.len() + batch.records.bytes().len() + batch.len() * 64);
        // The other variables depend on no event, as `configure` saw to.
        self.begin(&Scope { event: batch.event(0), record: &[], message_id: &id }, &mut out).map_err(Failure::Configuration)?;
        if !self.variables.is_empty() {
            out.byte(b',');
        }
        out.bytes(key);
        out.byte(b'[');
        let parts = Parts::write(batch, b",", &mut out, |record, event, out| {
            let id = if element.names_message_id() { message_id::of(&event, MESSAGE) } else { String::new() };
            element.write(&Scope { event, record, message_id: &id }, out)
        });
        out.literal(b"]}}");
        parts.deliver(|events| self.reader.judge(self.request(out, &id).send(), events)?.halves(events))
    }
}

fn key(name: &str) -> Vec<u8> {
    let mut out = Writer::default();
    out.json_string(name.as_bytes());
    out.byte(b':');
    out.into_bytes()
}

/// GraphQL specification, "Names".
fn is_name(name: &str) -> bool {
    name.bytes().enumerate().all(|(at, byte)| byte.is_ascii_alphabetic() || byte == b'_' || at > 0 && byte.is_ascii_digit()) && !name.is_empty()
}

fn query(document: &str, operation: Option<&str>) -> Writer {
    let mut out = Writer::default();
    out.literal(b"{\"query\":");
    out.json_string(document.as_bytes());
    if let Some(operation) = operation {
        out.literal(b",\"operationName\":");
        out.json_string(operation.as_bytes());
    }
    out
}

impl Connector for GraphQl {
    type Config = Settings;

    fn configure(mut settings: Settings, format: &RecordFormat) -> Result<Self, String> {
        if !settings.path.is_empty() && !settings.path.starts_with('/') {
            return Err(format!("`path` is \"{}\"; it begins with `/` or is empty", settings.path));
        }
        for (name, value) in settings.headers.iter().flatten() {
            http::check_header("headers", name, value)?;
            if matches!(name.as_str(), "content-type" | "accept") || Some(name) == settings.idempotency_key.as_ref() {
                return Err(format!("`headers` names \"{name}\", which is set already"));
            }
        }
        if let Some(name) = &settings.idempotency_key {
            http::check_header("idempotency_key", name, "")?;
        }
        if let Some(name) = settings.operation.as_ref().filter(|name| !is_name(name) || *name == PROBE) {
            return Err(format!("`operation` is \"{name}\"; a name is a letter or _, then letters, digits and _, and not {PROBE}"));
        }
        let mut pointers = Pointers::new(field::ALL);
        let (mut variables, mut list) = (Vec::new(), None);
        let own = || [("event".to_owned(), "{{ record }}".to_owned())].into();
        for (name, text) in settings.variables.take().unwrap_or_else(own) {
            if !is_name(&name) {
                return Err(format!("`variables` names \"{name}\"; a name is a letter or _, then letters, digits and _"));
            }
            let at = format!("variables.{name}");
            let rules = template::Rules {
                key: &at,
                place: Place::Json,
                records_fit: format.is_json(),
                one_line: false,
                refuse_missing: settings.missing == Missing::Refuse,
            };
            let value = Template::parse(&text, &rules, &mut pointers)?;
            let sample = value.sample();
            if !bulkhead_sdk::json::is_strict(&sample) {
                return Err(format!("`{at}` is not well-formed JSON; with its holes filled it reads {sample}"));
            }
            if settings.list.as_ref() == Some(&name) {
                list = Some((key(&name), value));
            } else if settings.list.is_some() && !value.is_fixed() {
                return Err(format!("`{at}` names a field of an event, but with `list` a request has many; only the list's template can"));
            } else {
                variables.push((key(&name), value));
            }
        }
        if let (Some(name), None) = (&settings.list, &list) {
            return Err(format!("`list` is \"{name}\", but `variables` has none of that name"));
        }
        let mut head = query(&settings.query, settings.operation.as_deref());
        head.literal(b",\"variables\":{");
        let reader = Reader::new(std::mem::take(&mut settings.codes), settings.partial, settings.receipt.take())?;
        Ok(Self { settings, reader, head: head.into_bytes(), variables, list, pointers })
    }

    fn fields(&self) -> Vec<&str> {
        self.pointers.all()
    }

    fn limits(&self) -> Limits {
        match self.list {
            // A call that is cut off would send the answered ones again.
            None => Limits { max_events: Some(1), max_bytes: None },
            Some(_) => Limits { max_events: Some(1000), max_bytes: Some(4 << 20) },
        }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        match &self.list {
            None => Delivery::each(batch, |record, event| self.deliver_one(record, event)),
            Some((key, element)) => self.deliver_together(batch, key, element),
        }
    }

    /// Asks for `__typename`. Where the operation has a name its document goes along and is validated, not executed.
    fn check(&mut self) -> Result<String, Failure> {
        let document = match &self.settings.operation {
            Some(_) => format!("{}\nquery {PROBE} {{ __typename }}", self.settings.query),
            None => format!("query {PROBE} {{ __typename }}"),
        };
        let mut body = query(&document, Some(PROBE));
        body.byte(b'}');
        let response = self.request(body, "").send()?;
        let said = Said::of(&response);
        match said {
            Some(Said { error: None, data: true, .. }) => Ok(match &self.settings.operation {
                Some(name) => format!("the server answers, and the document with {name} is valid; no event was sent"),
                None => "the server answers; whether the document is valid shows with the first event, or here where `operation` is given".to_owned(),
            }),
            // No event is part of this request, so the server's words can be shown.
            Some(Said { error: Some(error), .. }) if matches!(response.status, 200..=299 | 400 | 422) => match self.reader.judge(Ok(response.clone()), 1) {
                Err(failure @ (Failure::Unauthorized(_) | Failure::Unavailable { .. })) => Err(failure),
                _ => Err(Failure::Configuration(answer::reason(response.status, error))),
            },
            _ => match self.reader.judge(Ok(response.clone()), 1)? {
                Delivery::All(Outcome::Accepted(_)) => Ok("the server answers".to_owned()),
                _ => Err(Failure::Configuration(format!("the receiver answered {} to a query of `__typename`", response.status))),
            },
        }
    }
}

bulkhead_sdk::export_connector!(GraphQl);

#[cfg(test)]
mod tests;
