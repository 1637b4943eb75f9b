//! Metrics: what a batch of events counts and measures.

use bulkhead_sdk::measures::{self, Number, Tag};
use bulkhead_sdk::{Batch, Config, Delivery, Event, Failure, Outcome, Writer};

use crate::BODY;

/// New Relic takes points from 48 hours behind to 24 hours ahead; a quarter of an hour is left for what lies between.
const OLDEST: i64 = 48 * 3600 - 900;
const NEWEST: i64 = 24 * 3600 - 900;

/// Which metrics.
#[derive(Debug, Config)]
pub struct MetricSettings {
    /// What names begin with: `copybook.audit.events`.
    #[config(default = "copybook", min = 1, max = 100)]
    prefix: String,
    /// Which of event_type, severity, operation, profile, classification, user series are told apart by; all
    /// where absent.
    tags: Option<Vec<Tag>>,
}

#[derive(Debug)]
pub struct Metrics {
    prefix: String,
    tags: Vec<Tag>,
}

impl Metrics {
    pub fn new(settings: Option<MetricSettings>) -> Result<Self, String> {
        let own = settings.unwrap_or(MetricSettings { prefix: "copybook".to_owned(), tags: None });
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/');
        if !own.prefix.bytes().all(plain) {
            return Err(format!("`metrics.prefix` is \"{}\"; it has letters, digits, _ . - and /", own.prefix));
        }
        Ok(Self { prefix: own.prefix, tags: own.tags.unwrap_or_else(|| Tag::ALL.to_vec()) })
    }

    pub fn body(&self, batch: &Batch<'_>, (begin, end): (&[u8], &[u8]), now: i64) -> Vec<u8> {
        let second = |event: &Event<'_>| {
            let second = measures::second(event);
            // What New Relic would drop counts when it is delivered.
            if (now - OLDEST..=now + NEWEST).contains(&second) { second } else { now }
        };
        let mut out = Writer::with_capacity(batch.len() * 256);
        out.bytes(begin);
        let inside = out.len();
        for (series, number) in measures::of(batch, &self.tags, second) {
            if out.len() > inside {
                out.byte(b',');
            }
            out.literal(b"{\"name\":\"");
            out.bytes(self.prefix.as_bytes());
            out.byte(b'.');
            out.bytes(series.name.as_bytes());
            out.bytes(if matches!(number, Number::Count(_)) {
                b"\",\"type\":\"count\",\"interval.ms\":1000,\"value\":"
            } else {
                b"\",\"type\":\"gauge\",\"value\":"
            });
            match &number {
                Number::Count(count) => out.unsigned(*count),
                Number::Gauge(digits) => out.bytes(digits.as_bytes()),
            }
            out.literal(b",\"timestamp\":");
            out.number(series.second.saturating_mul(1000));
            out.literal(b",\"attributes\":{");
            let start = out.len();
            let host = (!series.host.is_empty()).then_some(("host.name", series.host.as_str()));
            for (name, value) in series.tags.iter().map(|(tag, value)| (tag.name(), value.as_str())).chain(host) {
                out.json_string(name.as_bytes());
                out.byte(b':');
                out.json_string(value.as_bytes());
                out.byte(b',');
            }
            if out.len() > start {
                out.truncate(out.len() - 1);
            }
            out.literal(b"}}");
        }
        out.bytes(end);
        out.into_bytes()
    }
}

/// What becomes of a batch whose metrics do not fit a request.
pub fn too_long(body: &[u8], events: usize) -> Option<Result<Delivery, Failure>> {
    if body.len() <= BODY {
        return None;
    }
    let reason = format!("the metrics of the batch take {} bytes, New Relic takes {BODY}; lower `batch.max_events`", body.len());
    Some(if events == 1 { Ok(Delivery::All(Outcome::Rejected(reason))) } else { Err(Failure::TooLarge(reason)) })
}
