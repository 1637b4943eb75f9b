//! Metrics: `POST /api/v2/series` at `api.<site>`, what a batch of events counts and measures.

use bulkhead_sdk::measures::{self, Number, Tag};
use bulkhead_sdk::{Batch, Config, Delivery, Failure, Limits, Outcome, Writer, json, time};

use crate::{Mode, Settings, post, validate};

const PATH: &str = "/api/v2/series";
/// 5,242,880 bytes before compression, 512,000 after: measures compress some ten times, so this is far below both.
const MOST_BYTES: usize = 2_000_000;
/// Datadog takes points from an hour behind to ten minutes ahead; what lies between takes its time.
const OLDEST: i64 = 3600 - 300;
const NEWEST: i64 = 600 - 60;
const TAG_BYTES: usize = 200;

/// Which metrics.
#[derive(Debug, Config)]
pub struct MetricSettings {
    /// What names begin with: `copybook.audit.events`.
    #[config(default = "copybook", min = 1, max = 100)]
    prefix: String,
    /// Which of event_type, severity, operation, profile, classification, user series are told apart by; all
    /// where absent. Each combination is a custom metric.
    tags: Option<Vec<Tag>>,
}

#[derive(Debug)]
pub struct Metrics {
    prefix: String,
    tags: Vec<Tag>,
    /// `env:prod`
    fixed: Vec<String>,
    hostname: Option<String>,
    gzip: bool,
}

impl Metrics {
    pub fn new(settings: Settings) -> Result<Self, String> {
        let own = settings.metrics.unwrap_or(MetricSettings { prefix: "copybook".to_owned(), tags: None });
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        if !own.prefix.starts_with(|first: char| first.is_ascii_alphabetic()) || !own.prefix.bytes().all(plain) || own.prefix.ends_with('.') {
            return Err(format!("`metrics.prefix` is \"{}\"; it begins with a letter and has letters, digits, _ and .", own.prefix));
        }
        let mut fixed = Vec::new();
        for (name, value) in settings.tags.iter().flatten() {
            if name.is_empty() || value.is_empty() || name.len() + value.len() >= TAG_BYTES {
                return Err(format!(
                    "`tags.{name}` has {} bytes with its name, at most {TAG_BYTES} are possible and none may be empty",
                    name.len() + value.len()
                ));
            }
            fixed.push(format!("{name}:{value}"));
        }
        Ok(Self { prefix: own.prefix, tags: own.tags.unwrap_or_else(|| Tag::ALL.to_vec()), fixed, hostname: settings.hostname, gzip: settings.gzip })
    }

    fn body(&self, batch: &Batch<'_>) -> Vec<u8> {
        let now = time::now();
        let second = |event: &bulkhead_sdk::Event<'_>| {
            let second = measures::second(event);
            // What Datadog would drop counts when it is delivered.
            if (now - OLDEST..=now + NEWEST).contains(&second) { second } else { now }
        };
        let mut out = Writer::with_capacity(batch.len() * 256);
        out.literal(b"{\"series\":[");
        let inside = out.len();
        for (series, number) in measures::of(batch, &self.tags, second) {
            if out.len() > inside {
                out.byte(b',');
            }
            out.literal(b"{\"metric\":\"");
            out.bytes(self.prefix.as_bytes());
            out.byte(b'.');
            out.bytes(series.name.as_bytes());
            out.bytes(if matches!(number, Number::Count(_)) {
                b"\",\"type\":1,\"interval\":1,\"points\":[{\"timestamp\":"
            } else {
                b"\",\"type\":3,\"points\":[{\"timestamp\":"
            });
            out.number(series.second);
            out.literal(b",\"value\":");
            match &number {
                Number::Count(count) => out.unsigned(*count),
                Number::Gauge(digits) => out.bytes(digits.as_bytes()),
            }
            out.literal(b"}]");
            let host = self.hostname.as_deref().unwrap_or(&series.host);
            if !host.is_empty() {
                out.literal(b",\"resources\":[{\"name\":");
                out.json_string(host.as_bytes());
                out.literal(b",\"type\":\"host\"}]");
            }
            out.literal(b",\"tags\":[");
            let start = out.len();
            let own = series.tags.iter().map(|(tag, value)| format!("{}:{value}", tag.name()));
            for tag in self.fixed.iter().cloned().chain(own) {
                out.json_string(bulkhead_sdk::writer::cut(tag.as_bytes(), TAG_BYTES));
                out.byte(b',');
            }
            if out.len() > start {
                out.truncate(out.len() - 1);
            }
            out.literal(b"]}");
        }
        out.literal(b"]}");
        out.into_bytes()
    }
}

/// 202 with a list of errors says that some points were not taken, not which. The same request again would
/// meet the same.
fn partial(body: &[u8]) -> Option<String> {
    let errors = json::value(std::str::from_utf8(body).ok()?)?.member("errors");
    errors.elements().next()?;
    Some(format!("Datadog took the request and reported: {}", String::from_utf8_lossy(bulkhead_sdk::writer::cut(errors.raw(), 512))))
}

impl Mode for Metrics {
    fn fields(&self) -> Vec<&str> {
        measures::FIELDS.to_vec()
    }

    fn limits(&self) -> Limits {
        Limits { max_events: Some(1000), max_bytes: None }
    }

    fn deliver(&self, batch: &Batch<'_>) -> Result<Delivery, Failure> {
        let body = self.body(batch);
        if body.len() > MOST_BYTES {
            let reason = format!("the metrics of the batch take {} bytes, at most {MOST_BYTES} are sent; lower `batch.max_events`", body.len());
            return if batch.len() == 1 { Ok(Delivery::All(Outcome::Rejected(reason))) } else { Err(Failure::TooLarge(reason)) };
        }
        match post(PATH, self.gzip, body).send() {
            Ok(answer) if (200..300).contains(&answer.status) => Ok(match partial(&answer.body) {
                Some(reason) => Delivery::All(Outcome::Rejected(reason)),
                None => Delivery::accepted(),
            }),
            answer => Delivery::of(answer, batch.len())?.halves(batch.len()),
        }
    }

    fn check(&self) -> Result<String, Failure> {
        validate()
    }
}
