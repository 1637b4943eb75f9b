//! Sends batches of events to a service, one event a line.
//!
//! The operator binds `primary` to the service's URL and credential: neither is known here.

use bulkhead_sdk::{Batch, Config, Connector, Delivery, Failure, Limits, RecordFormat, fields, http, message_id};

// Fields of each event that `deliver` is handed beside its record.
fields! { mod field { ID = "/id", SOURCE = "/source" } }

/// How events are sent.
#[derive(Debug, Config)]
pub struct Settings {
    /// Path below the destination's URL.
    #[config(default = "/events")]
    path: String,
    /// Compresses requests.
    #[config(default = false)]
    gzip: bool,
}

#[derive(Debug)]
pub struct Service {
    settings: Settings,
    content_type: String,
    json: bool,
}

impl Connector for Service {
    type Config = Settings;

    fn configure(settings: Settings, format: &RecordFormat) -> Result<Self, String> {
        if !settings.path.starts_with('/') {
            return Err(format!("`path` is \"{}\"; it begins with `/`", settings.path));
        }
        let json = format.is_json();
        let content_type = if json { "application/x-ndjson".to_owned() } else { format.content_type.clone() };
        Ok(Self { settings, content_type, json })
    }

    fn fields(&self) -> Vec<&str> {
        field::ALL.to_vec()
    }

    fn limits(&self) -> Limits {
        Limits { max_events: Some(500), max_bytes: Some(1 << 20) }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _attempt: u32) -> Result<Delivery, Failure> {
        let answer = http::post("primary", &self.settings.path)
            .header("content-type", &self.content_type)
            .gzip(self.settings.gzip)
            .body(batch.records.lines(self.json))
            // The same on every try, so that the service can tell a batch that it has already.
            .message_id(message_id::of_all(batch, [field::SOURCE, field::ID]))
            .send();
        // The table that all connectors share: 2xx accepted, 429 and 5xx tried again, 401 waits for a credential.
        // A batch that is refused as a whole comes again in halves, until the event at fault stands alone.
        Delivery::of(answer, batch.len())?.halves(batch.len())
    }

    fn check(&mut self) -> Result<String, Failure> {
        let answer = http::get("primary", &self.settings.path).send()?;
        Delivery::success(&answer)?;
        Ok(format!("the service answered {}", answer.status))
    }
}

bulkhead_sdk::export_connector!(Service);

#[cfg(test)]
mod tests {
    use bulkhead_sdk::Outcome;
    use bulkhead_sdk::native::{self, EventText};

    use super::*;

    fn deliver(status: u16) -> (Result<Delivery, Failure>, String) {
        let asked = native::answers(vec![native::answer(status, "{}")]);
        let format = RecordFormat::new("json", "application/json");
        let mut service = native::connector::<Service>(r#"{"path":"/in"}"#, &format).expect("configured");
        let result = service.deliver_texts(&[(r#"{"a":1}"#, EventText::new(r#"{"id":"1"}"#))]);
        let request = asked.borrow()[0].clone();
        (result, format!("{} {} {}", request.method, request.path, String::from_utf8_lossy(&request.body)))
    }

    #[test]
    fn an_event_is_a_line() {
        assert_eq!(deliver(200), (Ok(Delivery::accepted()), "POST /in {\"a\":1}\n".to_owned()));
    }

    #[test]
    fn an_event_that_is_refused_is_not_tried_again() {
        assert!(matches!(deliver(400).0, Ok(Delivery::All(Outcome::Rejected(_)))));
        assert!(matches!(deliver(503).0, Err(Failure::Unavailable { .. })));
    }
}
