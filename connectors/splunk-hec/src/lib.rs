//! Splunk HTTP Event Collector: envelopes one behind the other, POSTed to `/services/collector/event`.
//! Protocol: Splunk Enterprise 10, "Format events for HTTP Event Collector", "HTTP Event Collector
//! error codes"; published measurements of its answers (2026).
//!
//! Promised: a refusal that names an event costs that event only: those before it are indexed and
//! count as accepted, those behind it are sent again in the same call; times keep their decimals;
//! records that are JSON go in as JSON, others as text. Refused before sending: empty records, which
//! would make the collector refuse everything behind them.

use std::collections::BTreeMap;
use std::time::Duration;

use bulkhead_sdk::{Batch, Config, Connector, Delivery, Failure, Limits, Outcome, RecordFormat, http};

mod answer;
mod envelope;

use answer::Verdict;
use envelope::Envelopes;

/// Requests that one call makes at most; what is left comes again in the next.
const MAX_REQUESTS: usize = 8;

/// Where events go and what the collector is told about them.
#[derive(Debug, Default, Config)]
pub struct Settings {
    /// Index; the token's own where absent.
    #[config(min = 1, max = 255)]
    index: Option<String>,
    /// `source` of every event; by default the event's own source.
    #[config(min = 1)]
    source: Option<String>,
    /// `sourcetype`; the token's own where absent.
    #[config(min = 1)]
    sourcetype: Option<String>,
    /// `host` of every event; by default the host that the event names.
    #[config(min = 1)]
    host: Option<String>,
    /// Indexed fields: name to pointer, for example `severity: /severity`.
    fields: Option<BTreeMap<String, String>>,
    /// Compresses requests.
    #[config(default = false)]
    gzip: bool,
    /// GUID sent as `x-splunk-request-channel`; tokens with indexer acknowledgement need one.
    channel: Option<String>,
}

#[derive(Debug)]
pub struct SplunkHec {
    settings: Settings,
    envelopes: Envelopes,
}

impl SplunkHec {
    fn request(&self, body: Vec<u8>) -> http::Request {
        let mut request = http::post("primary", "/services/collector/event").header("content-type", "application/json").gzip(self.settings.gzip).body(body);
        if let Some(channel) = &self.settings.channel {
            request = request.header("x-splunk-request-channel", channel);
        }
        request
    }

    fn send(&self, body: Vec<u8>, count: usize) -> Verdict {
        let bytes = body.len();
        match self.request(body).send() {
            Ok(response) => answer::read(&response, count, bytes),
            Err(error) => answer::error(error, count),
        }
    }
}

impl Connector for SplunkHec {
    type Config = Settings;

    fn configure(settings: Settings, format: &RecordFormat) -> Result<Self, String> {
        if let Some(channel) = &settings.channel
            && !is_guid(channel)
        {
            return Err(format!("`channel` is \"{channel}\", which is no GUID such as FE0ECFAD-13D5-401B-847D-77833BD77131"));
        }
        let envelopes = Envelopes::new(&settings, format)?;
        Ok(Self { settings, envelopes })
    }

    fn fields(&self) -> Vec<&str> {
        self.envelopes.pointers()
    }

    fn limits(&self) -> Limits {
        // Splunk Cloud cuts off above 5 MB; envelopes and escapes come on top of the records.
        Limits { max_events: Some(5000), max_bytes: Some(2 << 20) }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; batch.len()];
        let (mut start, mut most) = (0, usize::MAX);
        for requests in 1..=MAX_REQUESTS {
            let (body, sent) = self.envelopes.write(batch, start, most, &mut outcomes);
            let Some(last) = sent.last() else { break };
            let indexed = match self.send(body, sent.len()) {
                Verdict::Accepted if sent.len() == batch.len() => return Ok(Delivery::accepted()),
                Verdict::Accepted => {
                    start = last + 1;
                    sent.len()
                }
                Verdict::Refused { number, reason } => {
                    outcomes[sent[number]] = Some(Outcome::Rejected(reason));
                    start = sent[number] + 1;
                    number
                }
                Verdict::Unnamed { reason } if sent.len() == 1 => {
                    outcomes[*last] = Some(Outcome::Rejected(reason));
                    start = last + 1;
                    0
                }
                // Few enough to be sent singly in this call.
                Verdict::Unnamed { .. } if sent.len() <= MAX_REQUESTS - requests => {
                    most = 1;
                    0
                }
                Verdict::Unnamed { reason } => {
                    return Delivery::with_failure(outcomes, Failure::TooLarge(format!("{reason}; sent in halves to find the event at fault")));
                }
                Verdict::Indexed { number, failure } => {
                    accept(&mut outcomes, &sent[..number]);
                    return Delivery::with_failure(outcomes, failure);
                }
                Verdict::Failed(failure) => return Delivery::with_failure(outcomes, failure),
            };
            accept(&mut outcomes, &sent[..indexed]);
        }
        // Refusals one after the other: the rest is not at fault and need not wait.
        Ok(Delivery::Each(outcomes.into_iter().map(|outcome| outcome.unwrap_or(Outcome::Retry(Some(Duration::ZERO)))).collect()))
    }

    fn check(&mut self) -> Result<String, Failure> {
        let health = http::get("primary", "/services/collector/health").send()?;
        answer::health(&health)?;
        // Health does not look at the token; an empty request does, and sends no event.
        let token = self.request(Vec::new()).send()?;
        answer::token(&token)?;
        Ok("the collector is healthy and takes the token".to_owned())
    }
}

fn accept(outcomes: &mut [Option<Outcome>], places: &[usize]) {
    for place in places {
        outcomes[*place] = Some(Outcome::Accepted(None));
    }
}

fn is_guid(text: &str) -> bool {
    text.len() == 36 && text.bytes().enumerate().all(|(at, byte)| if matches!(at, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_hexdigit() })
}

bulkhead_sdk::export_connector!(SplunkHec);

#[cfg(test)]
mod tests;
