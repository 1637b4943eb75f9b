//! Prometheus remote write 1.0: sums over events as samples.
//! Protocol: Prometheus, "Prometheus Remote-Write 1.0 specification"; Google, "Snappy compressed format description".
//!
//! Promised: an event is counted once its samples were taken, and its count is kept before it is settled; samples of
//! a series are in the order of their times, also over restarts and clocks that are set back; series without new
//! events are sent again from time to time, as receivers take them for gone after five minutes.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bulkhead_sdk::event_metrics::{self, Registry, field};
use bulkhead_sdk::{Batch, Config, Connector, Delivery, Failure, Limits, RecordFormat, http, metrics, state};

mod series;

/// The sums so far.
const SUMS: &str = "sums";
/// The time of the last sample.
const LAST: &str = "last";

/// What samples are called and where they go.
#[derive(Debug, Config)]
pub struct Settings {
    /// Path below the destination's base.
    #[config(default = "/api/v1/write", min = 1)]
    path: String,
    /// Labels of every series. `{job: bulkhead}` where absent.
    labels: Option<BTreeMap<String, String>>,
    /// Further headers, for example `x-scope-orgid`; names in lower case. Secrets belong into the destination's credential.
    headers: Option<BTreeMap<String, String>>,
    /// What names of metrics begin with.
    #[config(default = "copybook")]
    prefix: String,
    /// Most sums; what comes beyond has the label values `other`. A histogram is one sum and some ten series.
    #[config(default = 500, min = 1, max = 2000)]
    max_series: u32,
    /// Seconds after which series without new events are sent again.
    #[config(default = 60, min = 10, max = 240)]
    refresh_seconds: u32,
}

#[derive(Debug)]
pub struct RemoteWrite {
    settings: Settings,
    labels: Vec<(String, String)>,
    /// Milliseconds since 1970.
    clock: fn() -> i64,
    /// Of the last sample that may have been sent.
    last: i64,
    /// When this guest sent samples, taken or not.
    sent: Option<i64>,
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|time| i64::try_from(time.as_millis()).ok()).unwrap_or(0)
}

impl RemoteWrite {
    fn sums(&mut self) -> Result<Registry, Failure> {
        let most = usize::try_from(self.settings.max_series).unwrap_or(usize::MAX);
        let last = state::get(LAST)?.and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_le_bytes);
        self.last = self.last.max(last);
        Ok(state::get(SUMS)?.map_or_else(|| Registry::new(most), |kept| Registry::from_bytes(&kept, most)))
    }

    fn keep_time(&self) -> Result<(), Failure> {
        Ok(state::set(LAST, &self.last.to_le_bytes())?)
    }

    fn request(&self, message: &[u8]) -> Result<http::Request, Failure> {
        let body = snap::raw::Encoder::new().compress_vec(message).map_err(|error| Failure::Other(format!("the samples cannot be compressed: {error}")))?;
        let mut request = http::post("primary", &self.settings.path)
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", "snappy")
            .header("x-prometheus-remote-write-version", "0.1.0")
            .body(body);
        for (name, value) in self.settings.headers.iter().flatten() {
            request = request.header(name, value);
        }
        Ok(request)
    }

    fn write(&mut self, sums: &Registry, events: usize) -> Result<Delivery, Failure> {
        let now = (self.clock)();
        // A receiver refuses what is not newer than what it has; it may have what was never answered.
        self.last = now.max(self.last.saturating_add(1));
        self.sent = Some(now);
        judge(self.request(&series::message(sums, &self.settings.prefix, &self.labels, self.last))?.send(), events)
    }
}

/// What the receiver says of a request. It is never an event's fault.
fn judge(answer: Result<http::Response, http::Error>, events: usize) -> Result<Delivery, Failure> {
    match answer {
        Ok(response) if (200..=299).contains(&response.status) && response.body.starts_with(b"<") => {
            Err(Failure::Other("the receiver answered samples with a page; is the destination's `url` one of remote write?".to_owned()))
        }
        answer => event_metrics::delivered(answer, events, "does another sender write the same series? Tell them apart by `labels`"),
    }
}

impl Connector for RemoteWrite {
    type Config = Settings;

    fn configure(settings: Settings, _: &RecordFormat) -> Result<Self, String> {
        event_metrics::check_prefix(&settings.prefix)?;
        if !settings.path.starts_with('/') {
            return Err(format!("`path` is \"{}\"; it begins with `/`", settings.path));
        }
        for (name, value) in settings.headers.iter().flatten() {
            http::check_header("headers", name, value)?;
        }
        let labels = series::labels(settings.labels.as_ref())?;
        Ok(Self { settings, labels, clock: now, last: 0, sent: None })
    }

    fn fields(&self) -> Vec<&str> {
        field::ALL.to_vec()
    }

    fn limits(&self) -> Limits {
        Limits { max_events: Some(5000), max_bytes: None }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        let mut sums = self.sums()?;
        batch.events.iter().for_each(|event| sums.add(&event));
        let delivery = self.write(&sums, batch.len())?;
        if delivery == Delivery::accepted() {
            state::set(SUMS, &sums.to_bytes())?;
            self.keep_time()?;
            if sums.folded > 0 {
                metrics::count("event_metrics_folded_total", &[], sums.folded);
            }
        }
        Ok(delivery)
    }

    /// A request without series: it is taken without a sample.
    fn check(&mut self) -> Result<String, Failure> {
        judge(self.request(&[])?.send(), 1)?;
        Ok("the receiver takes remote write and the credential".to_owned())
    }

    fn maintain(&mut self) -> Result<Option<Duration>, Failure> {
        let refresh = Duration::from_secs(u64::from(self.settings.refresh_seconds));
        let due = i64::from(self.settings.refresh_seconds) * 1000;
        let now = (self.clock)();
        // A clock that was set back must not keep series away.
        if self.sent.is_none_or(|sent| now - sent >= due || now < sent) {
            let sums = self.sums()?;
            if !sums.is_empty() && self.write(&sums, 1) == Ok(Delivery::accepted()) {
                // Never the sums: a delivery of another guest may have gone on meanwhile.
                self.keep_time()?;
            }
        }
        Ok(Some(refresh))
    }
}

bulkhead_sdk::export_connector!(RemoteWrite);

#[cfg(test)]
mod tests;
