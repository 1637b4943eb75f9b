//! Datadog: events as logs (`/api/v2/logs`), as events (`/api/v1/events`, `/api/v2/events`) or as metrics
//! (`/api/v2/series`).
//! Protocol: Datadog API reference, "Send logs", "Post an event" (v1 and v2), "Submit metrics" (v2), "Validate
//! API key".
//!
//! Promised: no request is larger than Datadog takes; an event that Datadog would cut or drop without a word is
//! rejected or gets the time of delivery. Refused at the start: settings of a mode that is not chosen.

use std::collections::BTreeMap;

use bulkhead_sdk::config::only;
use bulkhead_sdk::{Batch, Config, Connector, Delivery, Failure, Limits, RecordFormat, http};

mod events;
mod logs;
mod metrics;
mod tags;

/// What Datadog takes in one place of its API.
trait Mode: std::fmt::Debug {
    fn fields(&self) -> Vec<&str>;
    fn limits(&self) -> Limits;
    fn deliver(&self, batch: &Batch<'_>) -> Result<Delivery, Failure>;
    fn check(&self) -> Result<String, Failure>;
}

/// What events become, and what they are told apart by.
#[derive(Debug, Default, Config)]
pub struct Settings {
    /// What events become: `logs`, `events` or `metrics`. Each has a host of its own at Datadog.
    #[config(default = "logs")]
    mode: Kind,
    /// `ddsource` of logs (`bulkhead` where absent), `source_type_name` of events.
    #[config(min = 1, max = 100)]
    source: Option<String>,
    /// `service` of logs.
    #[config(min = 1, max = 100)]
    service: Option<String>,
    /// Pointer to the service that an event names; `service` where it names none.
    service_field: Option<String>,
    /// Host of everything; by default the host that the event names.
    #[config(min = 1, max = 255)]
    hostname: Option<String>,
    /// Tags of everything: name to text, for example `env: prod`.
    tags: Option<BTreeMap<String, String>>,
    /// Tags from the event, for logs and events: name to pointer, for example `severity: /severity`.
    tag_fields: Option<BTreeMap<String, String>>,
    /// Compresses requests.
    #[config(default = true)]
    gzip: bool,
    /// For `mode: events`.
    events: Option<events::EventSettings>,
    /// For `mode: metrics`.
    metrics: Option<metrics::MetricSettings>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Config)]
pub enum Kind {
    #[default]
    Logs,
    Events,
    Metrics,
}

#[derive(Debug)]
pub struct Datadog(Box<dyn Mode>);

impl Connector for Datadog {
    type Config = Settings;

    fn configure(settings: Settings, _: &RecordFormat) -> Result<Self, String> {
        let kind = settings.mode;
        only("service", settings.service.is_some(), "mode: logs", kind == Kind::Logs)?;
        only("service_field", settings.service_field.is_some(), "mode: logs", kind == Kind::Logs)?;
        only("source", settings.source.is_some(), "mode: logs` or `mode: events", kind != Kind::Metrics)?;
        only("tag_fields", settings.tag_fields.is_some(), "mode: logs` or `mode: events", kind != Kind::Metrics)?;
        only("events", settings.events.is_some(), "mode: events", kind == Kind::Events)?;
        only("metrics", settings.metrics.is_some(), "mode: metrics", kind == Kind::Metrics)?;
        Ok(Self(match kind {
            Kind::Logs => Box::new(logs::Logs::new(&settings)?),
            Kind::Events => Box::new(events::Events::new(&settings)?),
            Kind::Metrics => Box::new(metrics::Metrics::new(settings)?),
        }))
    }

    fn fields(&self) -> Vec<&str> {
        self.0.fields()
    }

    fn limits(&self) -> Limits {
        self.0.limits()
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        self.0.deliver(batch)
    }

    fn check(&mut self) -> Result<String, Failure> {
        self.0.check()
    }
}

fn post(path: &str, gzip: bool, body: Vec<u8>) -> http::Request {
    http::post("primary", path).header("content-type", "application/json").gzip(gzip).body(body)
}

/// Datadog answers a wrong key with 403 here, and nothing else is asked for.
fn validate() -> Result<String, Failure> {
    Delivery::success(&http::get("primary", "/api/v1/validate").send()?)?;
    Ok("Datadog takes the API key".to_owned())
}

bulkhead_sdk::export_connector!(Datadog);

#[cfg(test)]
mod tests;
