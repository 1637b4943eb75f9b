//! Splunk searches over the management port: results of one search come in as records, others are asked.
//! Protocol: Splunk Enterprise 10, "REST API Reference: Search endpoints" (v2).
//!
//! Promised: results come in the order in which Splunk indexed them and each once, late events included; results
//! of one second are not lost between two pages.

mod export;
mod query;

use bulkhead_sdk::{Batch, Config, Connector, Cursor, Delivery, Failure, Kind, Page, Record, RecordFormat, Severity, Timestamp, Value, http, json};

const JOBS: &str = "/services/search/v2/jobs";

/// What is searched for.
#[derive(Debug, Config)]
pub struct Settings {
    /// The search whose results are pulled, without a time of its own: it begins with `search` or a pipe, for example
    /// ``search `notable` ``. Its results need `_indextime`.
    #[config(min = 3, max = 8000)]
    search: Option<String>,
    /// What a result is: events are of type `record.<kind>`.
    #[config(default = "notable", min = 1, max = 60)]
    kind: String,
    /// Field of a result that names it; `_cd`, its place in the index, where absent or empty.
    #[config(default = "event_id", min = 1, max = 100)]
    id_field: String,
    /// Seconds that results are left to settle: indexers are not equally fast.
    #[config(default = 30, min = 0, max = 3600)]
    lag_seconds: u32,
    /// Results of a page.
    #[config(default = 500, min = 1, max = 5000)]
    page: u32,
    /// `source` of the events.
    #[config(default = "splunk", min = 1, max = 200)]
    source: String,
}

#[derive(Debug)]
pub struct SplunkSearch {
    settings: Settings,
}

/// `messages` of an answer, in one line.
fn said(response: &http::Response) -> String {
    let told = std::str::from_utf8(&response.body).ok().and_then(json::value);
    let texts = told.map(|told| told.member("messages").elements().filter_map(|message| message.member("text").text()).collect::<Vec<_>>());
    let texts: Vec<_> = texts.iter().flatten().map(|text| String::from_utf8_lossy(bulkhead_sdk::writer::cut(text, 300))).collect();
    format!("Splunk answered {}: {}", response.status, texts.join("; "))
}

fn refusal(response: &http::Response) -> Failure {
    match response.status {
        401 => Failure::Unauthorized(format!("{}; check the destination's `credential`", said(response))),
        403 => Failure::Unauthorized(format!("{}; the token's role lacks a capability", said(response))),
        // A bad search, a job that is gone or not ready.
        400 | 404 | 409 => Failure::Other(said(response)),
        // The quota of searches counts as busy, too.
        503 => Failure::Unavailable { reason: said(response), after: response.retry_after },
        _ => Delivery::from_status(response).err().unwrap_or_else(|| Failure::Other(said(response))),
    }
}

/// Sends a form, or asks without one.
fn send(method: &str, path: &str, form: &[(&str, &str)]) -> Result<http::Response, Failure> {
    let mut request = http::request(method, "primary", path);
    if method == "POST" {
        let pairs: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", http::percent(value.as_bytes()))).collect();
        request = request.header("content-type", "application/x-www-form-urlencoded").body(format!("{}&output_mode=json", pairs.join("&")).into_bytes());
    }
    let response = request.send()?;
    if response.truncated {
        return Err(Failure::Configuration(
            "the answer is larger than `limits.http_response`; raise it or ask for fewer rows (`page` of a pull, `rows` of a query)".to_owned(),
        ));
    }
    if (200..300).contains(&response.status) { Ok(response) } else { Err(refusal(&response)) }
}

fn text(response: &http::Response) -> Result<&str, Failure> {
    std::str::from_utf8(&response.body).map_err(|_| Failure::Other("Splunk answered what is not UTF-8".to_owned()))
}

impl SplunkSearch {
    /// A result as an event.
    fn event(&self, result: Value<'_>, name: &str, indexed: i64) -> Vec<u8> {
        let at = result.member("_time").text().unwrap_or_default();
        let time = Timestamp::parse(&at).unwrap_or(Timestamp { seconds: indexed, fraction: b"" });
        // The urgency of Enterprise Security has the words of our severities, and one more.
        let urgency = result.member("urgency").or(result.member("severity"));
        let severity = Severity::of(urgency).or_else(|| urgency.is("informational").then_some(Severity::Info));
        let id = format!("{name}-{indexed}");
        Record { kind: &self.settings.kind, id: &id, source: &self.settings.source, subject: name, time: Some(time), severity, data: result }.event()
    }
}

/// A number, whole or not, that Splunk writes as a text.
fn seconds(value: Value<'_>) -> Option<i64> {
    let text = value.text()?;
    std::str::from_utf8(&text).ok()?.split('.').next()?.parse().ok()
}

impl Connector for SplunkSearch {
    type Config = Settings;

    fn configure(settings: Settings, _: &RecordFormat) -> Result<Self, String> {
        if let Some(search) = &settings.search
            && !(search.starts_with("search ") || search.starts_with('|'))
        {
            return Err("`search` begins with `search ` or a pipe".to_owned());
        }
        Ok(Self { settings })
    }

    fn deliver(&mut self, _: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        Err(Failure::Unsupported)
    }

    fn check(&mut self) -> Result<String, Failure> {
        let response = send("GET", "/services/server/info?output_mode=json", &[])?;
        let info = json::value(text(&response)?);
        let version = info.and_then(|info| info.member("entry").elements().next()?.member("content").member("version").text());
        match version {
            Some(version) => Ok(format!("Splunk {} answers and takes the token", String::from_utf8_lossy(&version))),
            None => Err(Failure::Configuration("the answer names no version; is the destination's `url` the management port (8089)?".to_owned())),
        }
    }

    fn pull(&mut self, cursor: &[u8]) -> Result<Page, Failure> {
        let Some(search) = &self.settings.search else { return Err(Failure::Configuration("`search` is not set: nothing can be pulled".to_owned())) };
        let cursor = Cursor::read(cursor);
        // Those of the cursor's second come first, and again.
        let wanted = self.settings.page as usize + cursor.seen();
        let sorted = format!("{search} | sort {wanted} +_indextime");
        let (earliest, latest) = (cursor.time.to_string(), format!("-{}s", self.settings.lag_seconds));
        let count = wanted.to_string();
        let form = [("search", sorted.as_str()), ("exec_mode", "oneshot"), ("index_earliest", &earliest), ("index_latest", &latest), ("count", &count)];
        let response = send("POST", JOBS, &form)?;
        let strange = |what: &str| Failure::Other(format!("Splunk answered {what}"));
        let told = json::value(text(&response)?);
        // Part of the results only, by an indexer that is away or a search that ended early: what lacks must not be passed.
        let partial = |message: Value<'_>| ["WARN", "ERROR", "FATAL"].into_iter().any(|kind| message.member("type").is(kind));
        if told.is_some_and(|told| told.member("messages").elements().any(partial)) {
            return Err(Failure::Unavailable { reason: said(&response), after: response.retry_after });
        }
        let results = told.map(|told| told.member("results")).filter(|results| results.kind() == Kind::Array);
        let mut results = results.ok_or_else(|| strange("no results"))?.elements();
        let (mut next, mut page, mut found) = (cursor.clone(), Page::default(), 0);
        for result in results.by_ref() {
            found += 1;
            let indexed = seconds(result.member("_indextime")).ok_or_else(|| strange("a result without `_indextime`; the search must keep it"))?;
            let id = result.member(&self.settings.id_field).or(result.member("_cd")).text().unwrap_or_default();
            let id = String::from_utf8_lossy(&id).into_owned();
            if id.is_empty() {
                return Err(strange("a result without a name; set `id_field` to a field that every result has"));
            }
            if !cursor.knows(&id, indexed) {
                page.events.push(self.event(result, &id, indexed));
                next.add(&id, indexed);
            }
        }
        if !results.is_complete() {
            return Err(strange("results that are cut off"));
        }
        page.more = found >= wanted;
        if page.more && next == cursor {
            return Err(Failure::Configuration(
                "more results than a page were indexed in one second, and no more of their names can be kept; raise `page` or narrow `search`".to_owned(),
            ));
        }
        page.cursor = next.write();
        Ok(page)
    }

    fn query(&mut self, operation: &str, parameters: &str) -> Result<String, Failure> {
        query::answer(operation, parameters)
    }
}

bulkhead_sdk::export_connector!(SplunkSearch);

#[cfg(test)]
mod tests;
