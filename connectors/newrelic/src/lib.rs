//! New Relic: events as logs (`/log/v1`), as events (`/v1/accounts/<id>/events`) or as metrics (`/metric/v1`).
//! Protocol: New Relic, "Introduction to the Log API", "Event API", "Report metrics via the Metric API", "Data
//! requirements and limits for custom event data".
//!
//! Promised: no request is larger than New Relic takes, no value longer; an event whose time New Relic would not
//! take gets the time of delivery. What New Relic finds out after its answer (`NrIntegrationError`) nobody hears
//! here. Refused at the start: settings of a mode that is not chosen.

use std::collections::BTreeMap;

use bulkhead_sdk::config::only;
use bulkhead_sdk::{Batch, Config, Connector, Delivery, Entries, Event, Failure, Limits, RecordFormat, Room, Writer, http, measures, time};

mod attributes;
mod metrics;

use attributes::{Attributes, Source};

/// What a request holds, before compression.
const BODY: usize = 1_000_000;

/// What events become, and what goes with them.
#[derive(Debug, Default, Config)]
pub struct Settings {
    /// What events become: `logs`, `events` or `metrics`. Each has a host of its own at New Relic.
    #[config(default = "logs")]
    mode: Mode,
    /// Number of the account, for `mode: events`.
    #[config(min = 1)]
    account_id: Option<u64>,
    /// `eventType` of every event, for `mode: events`; `BulkheadAudit` where absent.
    #[config(min = 1, max = 255)]
    event_type: Option<String>,
    /// Attributes of everything: name to text, for example `environment: prod`.
    attributes: Option<BTreeMap<String, String>>,
    /// Attributes from the event, for logs and events: name to pointer, for example `team: /metadata/team`.
    attribute_fields: Option<BTreeMap<String, String>>,
    /// Compresses requests.
    #[config(default = true)]
    gzip: bool,
    /// For `mode: metrics`.
    metrics: Option<metrics::MetricSettings>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Config)]
pub enum Mode {
    #[default]
    Logs,
    Events,
    Metrics,
}

#[derive(Debug)]
pub struct NewRelic {
    mode: Mode,
    path: String,
    /// What stands before the entries of a request.
    begin: Vec<u8>,
    attributes: Attributes,
    metrics: metrics::Metrics,
    gzip: bool,
}

impl NewRelic {
    /// Where the entries of a request begin and end.
    fn frame(&self) -> (&[u8], &[u8]) {
        (&self.begin, if self.mode == Mode::Events { b"]" } else { b"]}]" })
    }

    fn entry(&self, record: &[u8], event: &Event<'_>, now: i64, out: &mut Writer) {
        out.byte(b'{');
        let (behind, ahead) = match self.mode {
            Mode::Logs => (48 * 3600, 24 * 3600),
            Mode::Events | Mode::Metrics => (24 * 3600, 24 * 3600),
        };
        // Without a time New Relic takes that of receipt: better than an event that it drops. A quarter of an
        // hour is left for what lies between.
        let room = now - behind + 900..=now + ahead - 900;
        if let Some(moment) = self.attributes.time(event).filter(|moment| room.contains(&moment.seconds)) {
            out.literal(b"\"timestamp\":");
            out.number(moment.millis());
            out.byte(b',');
        }
        if self.mode == Mode::Logs {
            out.literal(b"\"message\":");
            out.json_string(record.trim_ascii_end());
            out.literal(b",\"attributes\":{");
            self.attributes.write(event, out);
            out.literal(b"}}");
        } else {
            self.attributes.write(event, out);
            out.byte(b'}');
        }
    }

    fn post(&self, body: Vec<u8>, gzip: bool) -> Result<http::Response, http::Error> {
        http::post("primary", &self.path).header("content-type", "application/json").gzip(gzip).body(body).send()
    }

    fn send(&self, body: Vec<u8>, count: usize) -> Result<Delivery, Failure> {
        match self.post(body, self.gzip) {
            Ok(answer) if answer.status == 415 => Err(Failure::Configuration(Delivery::reason(&answer))),
            answer => Delivery::of(answer, count)?.halves(count),
        }
    }
}

impl Connector for NewRelic {
    type Config = Settings;

    fn configure(settings: Settings, _: &RecordFormat) -> Result<Self, String> {
        let mode = settings.mode;
        only("account_id", settings.account_id.is_some(), "mode: events", mode == Mode::Events)?;
        only("event_type", settings.event_type.is_some(), "mode: events", mode == Mode::Events)?;
        only("attribute_fields", settings.attribute_fields.is_some(), "mode: logs` or `mode: events", mode != Mode::Metrics)?;
        only("metrics", settings.metrics.is_some(), "mode: metrics", mode == Mode::Metrics)?;
        let path = match (mode, settings.account_id) {
            (Mode::Logs, _) => "/log/v1".to_owned(),
            (Mode::Metrics, _) => "/metric/v1".to_owned(),
            (Mode::Events, Some(account)) => format!("/v1/accounts/{account}/events"),
            (Mode::Events, None) => return Err("`account_id` is missing; `mode: events` needs it".to_owned()),
        };
        let event_type = settings.event_type.as_deref().unwrap_or("BulkheadAudit");
        if !event_type.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':')) {
            return Err(format!("`event_type` is \"{event_type}\"; it has letters, digits, _ and :"));
        }
        let source = match mode {
            Mode::Events => Source::Event(event_type),
            Mode::Logs | Mode::Metrics => Source::Common,
        };
        let attributes = Attributes::new(&settings, source)?;
        let mut begin = Writer::default();
        match mode {
            Mode::Events => begin.literal(b"["),
            Mode::Logs | Mode::Metrics => {
                begin.literal(b"[{\"common\":{\"attributes\":{");
                attributes.write_common(&mut begin);
                begin.bytes(if mode == Mode::Logs { b"}},\"logs\":[" } else { b"}},\"metrics\":[" });
            }
        }
        let metrics = metrics::Metrics::new(settings.metrics)?;
        Ok(Self { mode, path, begin: begin.into_bytes(), attributes, metrics, gzip: settings.gzip })
    }

    fn fields(&self) -> Vec<&str> {
        if self.mode == Mode::Metrics { measures::FIELDS.to_vec() } else { self.attributes.pointers() }
    }

    fn limits(&self) -> Limits {
        // A megabyte a request; escapes and attributes come on top of the records.
        Limits { max_events: Some(1000), max_bytes: Some(600 << 10) }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        let now = time::now();
        if self.mode == Mode::Metrics {
            let body = self.metrics.body(batch, self.frame(), now);
            return match metrics::too_long(&body, batch.len()) {
                Some(verdict) => verdict,
                None => self.send(body, batch.len()),
            };
        }
        let entries = Entries::write(batch, self.frame(), Room { entry: BODY, body: BODY }, |record, event, out| {
            self.entry(record, event, now, out);
            Ok(())
        });
        entries.deliver(|body, count| self.send(body, count))
    }

    /// New Relic has no address for checks. A request without entries shows whether the key is one.
    fn check(&mut self) -> Result<String, Failure> {
        let (begin, end) = self.frame();
        let answer = self.post([begin, end].concat(), false)?;
        // Whatever New Relic says about an empty request, it has looked at the key.
        if answer.status != 400 {
            Delivery::success(&answer)?;
        }
        Ok("New Relic answers and takes the licence key".to_owned())
    }
}

bulkhead_sdk::export_connector!(NewRelic);

#[cfg(test)]
mod tests;
