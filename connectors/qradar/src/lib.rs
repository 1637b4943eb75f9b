//! IBM QRadar: offenses come in as records, searches (Ariel) are questions, offenses are closed and noted.
//! Protocol: IBM, "QRadar RESTful API" (20.0): offenses, Ariel searches, error answers.
//!
//! Promised: an offense comes again whenever QRadar changed anything of it, and never twice for the same
//! change; offenses of one millisecond are not lost between two pages.

mod query;

use bulkhead_sdk::{Batch, Config, Connector, Cursor, Delivery, Failure, Kind, Page, Record, RecordFormat, Severity, Timestamp, Value, http, json};

/// Offenses of a page.
const PAGE: usize = 100;

/// What the console is asked for.
#[derive(Debug, Config)]
pub struct Settings {
    /// Version of the API that every request names; the console tells those it knows under `/api/help/versions`.
    #[config(default = "20.0", min = 3, max = 8)]
    api_version: String,
    /// Only offenses that this expression of QRadar's filter language holds for, for example `status=OPEN`.
    #[config(min = 1, max = 1000)]
    filter: Option<String>,
    /// `source` of the events.
    #[config(default = "qradar", min = 1, max = 200)]
    source: String,
}

#[derive(Debug)]
pub struct Qradar {
    settings: Settings,
}

/// What the console says of itself where it refuses: `{"code":1002,"message":"…"}`.
fn refusal(response: &http::Response) -> Failure {
    let told = std::str::from_utf8(&response.body).ok().and_then(json::value);
    let words = |name| told.and_then(|told| told.member(name).text().map(|text| String::from_utf8_lossy(bulkhead_sdk::writer::cut(&text, 300)).into_owned()));
    let said = format!("the console answered {} {}: {}", response.status, words("code").unwrap_or_default(), words("message").unwrap_or_default());
    match response.status {
        401 => Failure::Unauthorized(format!("{said}; check the destination's `credential`: the header `SEC` with an authorized service's token")),
        403 => Failure::Unauthorized(format!("{said}; the authorized service lacks a capability for this")),
        // Below them 1003 means "not ready": the caller asks again.
        409 | 422 | 404 | 400 => Failure::Other(said),
        500..=599 => Failure::Unavailable { reason: said, after: response.retry_after },
        _ => Delivery::from_status(response).err().unwrap_or(Failure::Other(said)),
    }
}

impl Qradar {
    fn request(&self, method: &str, path: &str) -> http::Request {
        http::request(method, "primary", path).header("version", &self.settings.api_version).header("accept", "application/json")
    }

    /// An event for each change of an offense.
    fn event(&self, offense: Value<'_>, number: &str, time: i64) -> Vec<u8> {
        let severity = offense.member("magnitude").integer().map(|magnitude| match magnitude {
            9.. => Severity::Critical,
            7..=8 => Severity::High,
            4..=6 => Severity::Medium,
            2..=3 => Severity::Low,
            _ => Severity::Info,
        });
        let (id, millis) = (format!("offense-{number}-{time}"), format!("{:03}", time.rem_euclid(1000)));
        let time = Timestamp { seconds: time.div_euclid(1000), fraction: millis.as_bytes() };
        Record { kind: "offense", id: &id, source: &self.settings.source, subject: number, time: Some(time), severity, data: offense }.event()
    }

    fn send(request: http::Request) -> Result<http::Response, Failure> {
        let response = request.send()?;
        if response.truncated {
            return Err(Failure::Configuration("the answer is larger than `limits.http_response`; raise it".to_owned()));
        }
        if (200..300).contains(&response.status) { Ok(response) } else { Err(refusal(&response)) }
    }
}

fn text(response: &http::Response) -> Result<&str, Failure> {
    std::str::from_utf8(&response.body).map_err(|_| Failure::Other("the console answered what is not UTF-8".to_owned()))
}

impl Connector for Qradar {
    type Config = Settings;

    fn configure(settings: Settings, _: &RecordFormat) -> Result<Self, String> {
        if !settings.api_version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(format!("`api_version` is \"{}\"; it is a number such as 20.0", settings.api_version));
        }
        Ok(Self { settings })
    }

    fn deliver(&mut self, _: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        Err(Failure::Unsupported)
    }

    fn check(&mut self) -> Result<String, Failure> {
        let response = Self::send(self.request("GET", "/api/system/about"))?;
        let about = json::value(text(&response)?);
        let release = about.and_then(|about| about.member("release_name").or(about.member("external_version")).text());
        match release {
            Some(release) => Ok(format!("QRadar {} answers and takes the token", String::from_utf8_lossy(&release))),
            None => Err(Failure::Configuration("the answer names no release; is the destination's `url` a QRadar console?".to_owned())),
        }
    }

    fn pull(&mut self, cursor: &[u8]) -> Result<Page, Failure> {
        let cursor = Cursor::read(cursor);
        let changed = format!("last_persisted_time>={}", cursor.time);
        let filter = self.settings.filter.as_ref().map_or(changed.clone(), |own| format!("{changed} and ({own})"));
        let path = format!("/api/siem/offenses?filter={}&sort=%2Blast_persisted_time", http::percent(filter.as_bytes()));
        // Those of the cursor's millisecond come first, and again.
        let wanted = PAGE + cursor.seen();
        let response = Self::send(self.request("GET", &path).header("range", format!("items=0-{}", wanted - 1)))?;
        let strange = || Failure::Other("the console answered no list of offenses; is the destination's `url` a QRadar console?".to_owned());
        let list = json::value(text(&response)?).filter(|list| list.kind() == Kind::Array).ok_or_else(strange)?;
        let (mut next, mut page, mut count) = (cursor.clone(), Page::default(), 0);
        let mut offenses = list.elements();
        for offense in offenses.by_ref() {
            count += 1;
            let (Some(id), Some(time)) = (offense.member("id").integer(), offense.member("last_persisted_time").integer()) else { return Err(strange()) };
            let number = id.to_string();
            if cursor.knows(&number, time) {
                continue;
            }
            page.events.push(self.event(offense, &number, time));
            next.add(&number, time);
        }
        if !offenses.is_complete() {
            return Err(strange());
        }
        page.more = count >= wanted;
        if page.more && next == cursor {
            return Err(Failure::Configuration(
                "more offenses than a page changed in one millisecond, and no more of their numbers can be kept; narrow `filter`".to_owned(),
            ));
        }
        page.cursor = next.write();
        Ok(page)
    }

    fn query(&mut self, operation: &str, parameters: &str) -> Result<String, Failure> {
        query::answer(self, operation, parameters)
    }
}

bulkhead_sdk::export_connector!(Qradar);

#[cfg(test)]
mod tests;
