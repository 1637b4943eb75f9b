//! Prometheus: events as metrics on the host's own `/metrics`. It reaches nothing.
//! Source: Prometheus, "Metric types" and "Exposition formats".
//!
//! Promised: an event is counted when it is delivered. Numbers begin at 0 with the process, as those of any program
//! that Prometheus scrapes; `prometheus-pushgateway` and `prometheus-remote-write` keep theirs.

use bulkhead_sdk::event_metrics::{self, FAMILIES, Family, Metric, field, samples};
use bulkhead_sdk::{Batch, Config, Connector, Delivery, Failure, Limits, RecordFormat, metrics};

/// What metrics are called.
#[derive(Debug, Config)]
pub struct Settings {
    /// What names begin with.
    #[config(default = "copybook")]
    prefix: String,
}

#[derive(Debug)]
pub struct Prometheus {
    /// In the order of the families.
    names: Vec<String>,
}

impl Prometheus {
    fn show(&self, family: &'static Family, values: &[String], number: f64) {
        let name = FAMILIES.iter().zip(&self.names).find(|(own, _)| **own == family).map_or("", |(_, name)| name);
        let labels: Vec<(&str, &str)> = family.labels.iter().copied().zip(values.iter().map(String::as_str)).collect();
        match family.metric {
            // Events are counted one by one.
            Metric::Counter => metrics::count(name, &labels, 1),
            Metric::Gauge => metrics::gauge(name, &labels, number),
            Metric::Histogram(bounds) => metrics::observe(name, &labels, number, bounds),
        }
    }
}

impl Connector for Prometheus {
    type Config = Settings;

    fn configure(settings: Settings, _: &RecordFormat) -> Result<Self, String> {
        event_metrics::check_prefix(&settings.prefix)?;
        Ok(Self { names: FAMILIES.iter().map(|family| format!("{}_{}", settings.prefix, family.name)).collect() })
    }

    fn fields(&self) -> Vec<&str> {
        field::ALL.to_vec()
    }

    fn limits(&self) -> Limits {
        Limits { max_events: Some(5000), max_bytes: None }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        for event in batch.events.iter() {
            samples(&event, &mut |family, values, number| self.show(family, values, number));
        }
        Ok(Delivery::accepted())
    }

    fn check(&mut self) -> Result<String, Failure> {
        Ok("there is nothing to reach: metrics appear on the host's /metrics".to_owned())
    }
}

bulkhead_sdk::export_connector!(Prometheus);

#[cfg(test)]
mod tests;
