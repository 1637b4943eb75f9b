//! Prometheus Pushgateway: sums over events, pushed as one group.
//! Protocol: Prometheus Pushgateway, README ("API"); Prometheus, "Exposition formats" (text 0.0.4).
//!
//! Promised: an event is counted once it was pushed, and its count is kept before it is settled; a push that was
//! lost on its way is repeated with the same sums. Between the keeping and the settling lies the one moment at
//! which a crash counts events twice.

use std::collections::BTreeMap;

use bulkhead_sdk::event_metrics::{self, FAMILIES, Registry, field};
use bulkhead_sdk::{Batch, Config, Connector, Delivery, Failure, Limits, RecordFormat, Writer, http, metrics, state};

mod group;

/// The sums so far.
const SUMS: &str = "sums";

/// Under which group the metrics stand, and which there are.
#[derive(Debug, Config)]
pub struct Settings {
    /// `job` of the group.
    #[config(default = "bulkhead", min = 1, max = 256)]
    job: String,
    /// Further labels of the group, for example `instance: host-1`.
    grouping: Option<BTreeMap<String, String>>,
    /// What names of metrics begin with.
    #[config(default = "copybook")]
    prefix: String,
    /// Most series; what comes beyond has the label values `other`.
    #[config(default = 500, min = 1, max = 2000)]
    max_series: u32,
    /// `put` replaces the whole group, `post` the metrics of these names only.
    #[config(default = "put")]
    method: Method,
    /// Removes the group when the connector goes.
    #[config(default = false)]
    delete_at_close: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Method {
    Put,
    Post,
}

#[derive(Debug)]
pub struct Pushgateway {
    settings: Settings,
    path: String,
    /// This guest has pushed: the group is its own to remove.
    pushed: bool,
}

impl Pushgateway {
    fn sums(&self) -> Result<Registry, Failure> {
        let most = usize::try_from(self.settings.max_series).unwrap_or(usize::MAX);
        Ok(state::get(SUMS)?.map_or_else(|| Registry::new(most), |kept| Registry::from_bytes(&kept, most)))
    }

    fn push(&self, sums: &Registry) -> Result<http::Response, http::Error> {
        let mut text = Writer::default();
        sums.text(&self.settings.prefix, &mut text);
        let method = if self.settings.method == Method::Put { "PUT" } else { "POST" };
        http::request(method, "primary", &self.path).header("content-type", "text/plain; version=0.0.4; charset=utf-8").body(text.into_bytes()).send()
    }
}

/// What the gateway says of a push. It is never an event's fault.
fn judge(answer: Result<http::Response, http::Error>, events: usize) -> Result<Delivery, Failure> {
    match answer {
        Ok(response) if (200..=299).contains(&response.status) && response.body.starts_with(b"<") => {
            Err(Failure::Other("the receiver answered a push with a page; is the destination's `url` a Pushgateway?".to_owned()))
        }
        answer => {
            event_metrics::delivered(answer, events, "another group may hold a metric of the same name and another type: change `prefix`, or remove that group")
        }
    }
}

impl Connector for Pushgateway {
    type Config = Settings;

    fn configure(settings: Settings, _: &RecordFormat) -> Result<Self, String> {
        event_metrics::check_prefix(&settings.prefix)?;
        let own: Vec<&str> = FAMILIES.iter().flat_map(|family| family.labels).copied().collect();
        let path = group::path(&settings.job, settings.grouping.iter().flatten(), &own)?;
        Ok(Self { settings, path, pushed: false })
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
        let delivery = judge(self.push(&sums), batch.len())?;
        self.pushed = true;
        if delivery == Delivery::accepted() {
            // Where this fails the push is repeated, with the same sums.
            state::set(SUMS, &sums.to_bytes())?;
            if sums.folded > 0 {
                metrics::count("event_metrics_folded_total", &[], sums.folded);
            }
        }
        Ok(delivery)
    }

    fn check(&mut self) -> Result<String, Failure> {
        let response = http::get("primary", "/-/ready").send()?;
        Delivery::from_status(&response)?;
        Ok(format!("the Pushgateway is ready; the group is {}", self.path))
    }

    fn close(&mut self) {
        if self.settings.delete_at_close && self.pushed {
            // There is nobody left to tell of a failure; the gateway keeps the group then.
            let _ = http::request("DELETE", "primary", &self.path).send();
        }
    }
}

bulkhead_sdk::export_connector!(Pushgateway);

#[cfg(test)]
mod tests;
