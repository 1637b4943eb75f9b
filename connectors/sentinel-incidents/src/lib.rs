//! Microsoft Sentinel: incidents come in as records, one is read or changed where asked.
//! Protocol: Microsoft, "Sentinel REST API: Incidents" (2025-09-01).
//!
//! Promised: an incident comes again whenever Sentinel changed anything of it, and never twice for the same
//! change; a change that is asked for keeps what it does not name, and what others changed meanwhile.

mod update;

use bulkhead_sdk::{
    Batch, Config, Connector, Cursor, Delivery, Failure, Kind, Page, Record, RecordFormat, Severity, Timestamp, Value, Writer, config, http, json,
};

/// Incidents of a page; Sentinel gives at most 1,000.
const PAGE: usize = 100;
const MOST: usize = 1_000;

/// What is asked for.
#[derive(Debug, Config)]
pub struct Settings {
    /// Version of the API.
    #[config(default = "2025-09-01", min = 10, max = 30)]
    api_version: String,
    /// Only incidents that this OData expression holds for, for example `properties/status ne 'Closed'`.
    #[config(min = 1, max = 1000)]
    filter: Option<String>,
    /// `source` of the events.
    #[config(default = "sentinel", min = 1, max = 200)]
    source: String,
}

#[derive(Debug)]
pub struct Incidents {
    settings: Settings,
}

/// `{"error":{"code":"…","message":"…"}}` in one line.
fn refusal(response: &http::Response) -> Failure {
    let told = std::str::from_utf8(&response.body).ok().and_then(json::value).map(|told| told.member("error"));
    let word = |name: &str| told.and_then(|told| Some(String::from_utf8_lossy(bulkhead_sdk::writer::cut(&told.member(name).text()?, 300)).into_owned()));
    let said = format!("Azure answered {} {}: {}", response.status, word("code").unwrap_or_default(), word("message").unwrap_or_default());
    match response.status {
        401 | 403 => Failure::Unauthorized(format!("{said}; the application needs the role Microsoft Sentinel Reader, or Responder to change incidents")),
        400 | 409 => Failure::Other(said),
        404 => Failure::Configuration(format!("{said}; check subscription, resource group and workspace in the destination's `url`")),
        _ => Delivery::from_status(response).err().unwrap_or(Failure::Other(said)),
    }
}

fn text(response: &http::Response) -> Result<&str, Failure> {
    std::str::from_utf8(&response.body).map_err(|_| Failure::Other("Azure answered what is not UTF-8".to_owned()))
}

/// Ticks of 100 ns, the finest that Azure writes.
const SECOND: i64 = 10_000_000;

/// Since 1970.
fn ticks(value: Value<'_>) -> Option<i64> {
    Some(Timestamp::parse(&value.text()?)?.nanos() / 100)
}

fn fraction(ticks: i64) -> String {
    format!("{:07}", ticks.rem_euclid(SECOND))
}

impl Incidents {
    fn path(&self, below: &str) -> String {
        format!("/incidents{below}?api-version={}", http::percent(self.settings.api_version.as_bytes()))
    }

    fn send(request: http::Request) -> Result<http::Response, Failure> {
        let response = request.send()?;
        if response.truncated {
            return Err(Failure::Configuration("the answer is larger than `limits.http_response`; raise it".to_owned()));
        }
        if (200..300).contains(&response.status) { Ok(response) } else { Err(refusal(&response)) }
    }

    fn list(&self, since: i64, count: usize) -> Result<http::Response, Failure> {
        let mut time = Writer::default();
        Timestamp { seconds: since.div_euclid(SECOND), fraction: fraction(since).as_bytes() }.write_utc(&mut time);
        let changed = format!("properties/lastModifiedTimeUtc ge {}", String::from_utf8_lossy(time.as_bytes()));
        let filter = self.settings.filter.as_ref().map_or(changed.clone(), |own| format!("{changed} and ({own})"));
        let order = http::percent(b"properties/lastModifiedTimeUtc asc");
        Self::send(http::get("primary", &format!("{}&$filter={}&$orderby={order}&$top={count}", self.path(""), http::percent(filter.as_bytes()))))
    }

    fn event(&self, incident: Value<'_>, name: &str, changed: i64) -> Vec<u8> {
        let severity = match &*incident.member("properties").member("severity").text().unwrap_or_default() {
            b"High" => Some(Severity::High),
            b"Medium" => Some(Severity::Medium),
            b"Low" => Some(Severity::Low),
            b"Informational" => Some(Severity::Info),
            _ => None,
        };
        let (id, fraction) = (format!("incident-{name}-{changed}"), fraction(changed));
        let time = Timestamp { seconds: changed.div_euclid(SECOND), fraction: fraction.as_bytes() };
        Record { kind: "incident", id: &id, source: &self.settings.source, subject: name, time: Some(time), severity, data: incident }.event()
    }
}

#[derive(Config)]
struct Incident {
    /// The incident's name, a GUID.
    #[config(min = 1, max = 100)]
    id: String,
}

impl Connector for Incidents {
    type Config = Settings;

    fn configure(settings: Settings, _: &RecordFormat) -> Result<Self, String> {
        Ok(Self { settings })
    }

    fn deliver(&mut self, _: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        Err(Failure::Unsupported)
    }

    fn check(&mut self) -> Result<String, Failure> {
        let response = self.list(0, 1)?;
        match json::value(text(&response)?).map(|told| told.member("value").kind()) {
            Some(Kind::Array) => Ok("the workspace answers and takes the token".to_owned()),
            _ => Err(Failure::Configuration(
                "the answer is no list of incidents; is the destination's `url` a workspace's Microsoft.SecurityInsights?".to_owned(),
            )),
        }
    }

    fn pull(&mut self, cursor: &[u8]) -> Result<Page, Failure> {
        let cursor = Cursor::read(cursor);
        // Those of the cursor's moment come first, and again.
        let wanted = (PAGE + cursor.seen()).min(MOST);
        let response = self.list(cursor.time, wanted)?;
        let strange = || Failure::Other("Azure answered no list of incidents".to_owned());
        let told = json::value(text(&response)?).ok_or_else(strange)?;
        let list = told.member("value");
        if list.kind() != Kind::Array {
            return Err(strange());
        }
        let (mut next, mut page, mut found) = (cursor.clone(), Page::default(), 0);
        for incident in list.elements() {
            found += 1;
            let name = incident.member("name").text().map(|name| String::from_utf8_lossy(&name).into_owned());
            let (Some(name), Some(changed)) = (name, ticks(incident.member("properties").member("lastModifiedTimeUtc"))) else { return Err(strange()) };
            if !cursor.knows(&name, changed) {
                page.events.push(self.event(incident, &name, changed));
                next.add(&name, changed);
            }
        }
        let moved = next != cursor;
        if found >= wanted && !moved {
            return Err(Failure::Configuration(
                "more incidents than a page changed in one moment, and no more of their names can be kept; narrow `filter`".to_owned(),
            ));
        }
        page.more = moved && (found >= wanted || told.member("nextLink").is_string());
        page.cursor = next.write();
        Ok(page)
    }

    fn query(&mut self, operation: &str, parameters: &str) -> Result<String, Failure> {
        let problem = |problem| Failure::Other(format!("parameters: {problem}"));
        match operation {
            "incident" => {
                let Incident { id } = config::read(parameters).map_err(problem)?;
                let response = Self::send(http::get("primary", &self.path(&format!("/{}", http::percent(id.as_bytes())))))?;
                Ok(text(&response)?.to_owned())
            }
            "update" => update::update(self, &config::read(parameters).map_err(problem)?),
            other => Err(Failure::Other(format!("there is no operation `{}`; there are incident, update", other.escape_default()))),
        }
    }
}

bulkhead_sdk::export_connector!(Incidents);

#[cfg(test)]
mod tests;
