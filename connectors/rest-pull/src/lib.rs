//! Records of any HTTP API whose lists are JSON: page by page, by token, by link, by time or by id.
//! Protocols: RFC 9110; RFC 8288 (Link); RFC 6901 (pointers into answers).
//!
//! Promised: what is read by time comes once for each change, also where several records share a moment; a page
//! that cannot be read moves no cursor.

mod place;

use bulkhead_sdk::{
    Batch, Config, Connector, Delivery, Failure, Kind, Page, Record, RecordFormat, Severity, Timestamp, Value, Writer, config, http, json, log, time,
};

use place::Place;

/// How far a clock may be ahead of ours.
const SLACK_SECONDS: i64 = 24 * 60 * 60;

/// How the API writes times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Unit {
    #[config(rename = "rfc3339")]
    Rfc3339,
    /// Seconds since 1970.
    #[config(rename = "seconds")]
    Seconds,
    /// Milliseconds since 1970.
    #[config(rename = "millis")]
    Millis,
}

/// What is asked, and how answers are read. Pointers (RFC 6901) lead into the answer or into one record of it.
#[derive(Debug, Config)]
pub struct Settings {
    /// Path and query of the list, below the destination's base.
    #[config(min = 1, max = 2000, example = "/items")]
    path: String,
    /// Where the list is in an answer; the answer itself where absent.
    #[config(default = "", max = 200)]
    items: String,
    /// What a record is: events are of type `record.<kind>`.
    #[config(default = "item", min = 1, max = 60)]
    kind: String,
    /// What names a record.
    #[config(default = "/id", min = 1, max = 200)]
    id: String,
    /// When it last changed.
    #[config(min = 1, max = 200)]
    time: Option<String>,
    /// How `time` is written, and `since`.
    #[config(default = "rfc3339")]
    time_unit: Unit,
    /// Its severity, where it has one of our words.
    #[config(min = 1, max = 200)]
    severity: Option<String>,
    /// Query parameter that takes the time of the latest record: what changed then or later is asked for. Needs `time`.
    #[config(min = 1, max = 100)]
    since: Option<String>,
    /// Query parameter that takes the id of the last record: what comes behind it is asked for.
    #[config(min = 1, max = 100)]
    after: Option<String>,
    /// Where an answer has the token of the next page. Needs `token_parameter`.
    #[config(min = 1, max = 200)]
    token: Option<String>,
    /// Query parameter that takes it.
    #[config(min = 1, max = 100)]
    token_parameter: Option<String>,
    /// Where an answer has the URL of the next page.
    #[config(min = 1, max = 200)]
    next_url: Option<String>,
    /// The header `Link` with `rel="next"` has the URL of the next page.
    #[config(default = false)]
    link_header: bool,
    /// Records of a full page: where one is full and the API gives neither token nor link, it is asked again at once.
    /// Needs `since` or `after` to come further.
    #[config(min = 1, max = 10000)]
    page_size: Option<u32>,
    /// `source` of the events.
    #[config(default = "rest", min = 1, max = 200)]
    source: String,
}

#[derive(Debug)]
pub struct RestPull {
    settings: Settings,
}

fn text(response: &http::Response) -> Result<&str, Failure> {
    std::str::from_utf8(&response.body).map_err(|_| Failure::Other("the API answered what is not UTF-8".to_owned()))
}

fn ask(path: &str) -> Result<http::Response, Failure> {
    Ok(http::get("primary", path).header("accept", "application/json").send()?)
}

fn get(path: &str) -> Result<http::Response, Failure> {
    taken(ask(path)?)
}

fn taken(response: http::Response) -> Result<http::Response, Failure> {
    match Delivery::from_status(&response)? {
        _ if response.truncated => {
            Err(Failure::Configuration("the answer is larger than `limits.http_response`; raise it or ask for smaller pages".to_owned()))
        }
        Delivery::All(bulkhead_sdk::Outcome::Rejected(reason)) => Err(Failure::Other(reason)),
        _ => Ok(response),
    }
}

/// A path with one more parameter.
fn with(path: &str, name: &str, value: &str) -> String {
    let mark = if path.contains('?') { '&' } else { '?' };
    format!("{path}{mark}{name}={}", http::percent(value.as_bytes()))
}

fn owned(value: Value<'_>) -> Option<String> {
    value.text().filter(|text| !text.is_empty()).map(|text| String::from_utf8_lossy(&text).into_owned())
}

/// The URL of `rel="next"` (RFC 8288 §3).
fn next_link(header: &[u8]) -> Option<String> {
    let header = std::str::from_utf8(header).ok()?;
    header.split(",").find_map(|link| {
        let (url, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = |parameter: &str| {
            parameter.trim().split_once('=').is_some_and(|(name, value)| {
                name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').split(' ').any(|rel| rel.eq_ignore_ascii_case("next"))
            })
        };
        parameters.split(';').any(is_next).then(|| url.to_owned())
    })
}

impl RestPull {
    /// Nanoseconds since 1970.
    fn time(&self, record: Value<'_>) -> Option<i64> {
        let value = record.at(self.settings.time.as_deref()?);
        match self.settings.time_unit {
            Unit::Rfc3339 => Some(Timestamp::parse(&value.text()?)?.nanos()),
            Unit::Seconds => value.integer()?.checked_mul(1_000_000_000),
            Unit::Millis => value.integer()?.checked_mul(1_000_000),
        }
    }

    /// What names a record, and its time; the error says what it lacks.
    fn place(&self, record: Value<'_>) -> Result<(String, Option<i64>), String> {
        let name = owned(record.at(&self.settings.id)).ok_or_else(|| format!("a record without `id` at {}", self.settings.id))?;
        let nanos = self.time(record);
        if nanos.is_none() && self.settings.since.is_some() {
            return Err(format!("record {} without a time at `time`", name.chars().take(100).collect::<String>()));
        }
        Ok((name, nanos))
    }

    /// A time as the API writes it.
    fn written(&self, nanos: i64) -> String {
        match self.settings.time_unit {
            Unit::Rfc3339 => {
                let mut out = Writer::default();
                let fraction = format!("{:09}", nanos.rem_euclid(1_000_000_000));
                let digits = fraction.trim_end_matches('0');
                Timestamp { seconds: nanos.div_euclid(1_000_000_000), fraction: digits.as_bytes() }.write_utc(&mut out);
                String::from_utf8_lossy(out.as_bytes()).into_owned()
            }
            Unit::Seconds => nanos.div_euclid(1_000_000_000).to_string(),
            Unit::Millis => nanos.div_euclid(1_000_000).to_string(),
        }
    }

    fn first_path(&self, place: &Place) -> String {
        let mut path = self.settings.path.clone();
        if let Some(since) = self.settings.since.as_ref().filter(|_| place.seen.time > 0) {
            path = with(&path, since, &self.written(place.seen.time));
        }
        if let Some(after) = self.settings.after.as_ref().filter(|_| !place.last.is_empty()) {
            path = with(&path, after, &place.last);
        }
        path
    }

    /// The path of the page behind this one, where the answer names one.
    fn next_path(&self, place: &Place, response: &http::Response, answer: Value<'_>) -> Result<Option<String>, Failure> {
        if let (Some(token), Some(parameter)) = (&self.settings.token, &self.settings.token_parameter) {
            return Ok(owned(answer.at(token)).map(|token| with(&self.first_path(place), parameter, &token)));
        }
        let url = match &self.settings.next_url {
            Some(pointer) => owned(answer.at(pointer)),
            None if self.settings.link_header => response.header("link").and_then(next_link),
            None => None,
        };
        match url {
            Some(url) if url.starts_with('/') => Ok(Some(url)),
            Some(url) => Ok(Some(http::relative("primary", &url)?)),
            None => Ok(None),
        }
    }

    fn event(&self, record: Value<'_>, name: &str, nanos: Option<i64>) -> Vec<u8> {
        let fraction = format!("{:09}", nanos.unwrap_or_default().rem_euclid(1_000_000_000));
        let time = nanos.map(|nanos| Timestamp { seconds: nanos.div_euclid(1_000_000_000), fraction: fraction.trim_end_matches('0').as_bytes() });
        let id = nanos.map_or_else(|| name.to_owned(), |nanos| format!("{name}-{nanos}"));
        let severity = self.settings.severity.as_ref().and_then(|pointer| Severity::of(record.at(pointer)));
        Record { kind: &self.settings.kind, id: &id, source: &self.settings.source, subject: name, time, severity, data: record }.event()
    }
}

#[derive(Config)]
struct Get {
    #[config(min = 1, max = 2000)]
    path: String,
}

impl Connector for RestPull {
    type Config = Settings;

    fn configure(settings: Settings, _: &RecordFormat) -> Result<Self, String> {
        if !settings.path.starts_with('/') {
            return Err(format!("`path` is \"{}\"; it begins with `/`", settings.path));
        }
        let pointers = [
            ("items", Some(&settings.items)),
            ("id", Some(&settings.id)),
            ("time", settings.time.as_ref()),
            ("severity", settings.severity.as_ref()),
            ("token", settings.token.as_ref()),
            ("next_url", settings.next_url.as_ref()),
        ];
        for (key, pointer) in pointers {
            if pointer.is_some_and(|pointer| !(pointer.starts_with('/') || pointer.is_empty() && key == "items")) {
                return Err(format!("`{key}` is \"{}\"; it is a pointer such as /data or /meta/next", pointer.map_or("", String::as_str)));
            }
        }
        if settings.since.is_some() && settings.time.is_none() {
            return Err("`since` needs `time`: the time of the latest record is what it takes".to_owned());
        }
        if settings.token.is_some() != settings.token_parameter.is_some() {
            return Err("`token` and `token_parameter` belong together".to_owned());
        }
        let ways = [settings.token.is_some(), settings.next_url.is_some(), settings.link_header];
        if ways.into_iter().filter(|way| *way).count() > 1 {
            return Err("`token`, `next_url` and `link_header` are three ways to the next page; name one".to_owned());
        }
        Ok(Self { settings })
    }

    fn deliver(&mut self, _: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        Err(Failure::Unsupported)
    }

    fn check(&mut self) -> Result<String, Failure> {
        let response = get(&self.settings.path)?;
        match json::value(text(&response)?).map(|answer| answer.at(&self.settings.items).kind()) {
            Some(Kind::Array) => Ok("the API answers with a list".to_owned()),
            _ => Err(Failure::Configuration(format!("the answer has no list at `items` \"{}\"", self.settings.items))),
        }
    }

    fn pull(&mut self, cursor: &[u8]) -> Result<Page, Failure> {
        let place = Place::read(cursor);
        let path = if place.path.is_empty() { self.first_path(&place) } else { place.path.clone() };
        let response = ask(&path)?;
        if !place.path.is_empty() && matches!(response.status, 400..=499) && !matches!(response.status, 401 | 403 | 408 | 425 | 429) {
            log::warn(&format!("the API answered {} to a page behind another; its list is read from the beginning", response.status));
            return Ok(Page { cursor: place.anew().write(), ..Page::default() });
        }
        let response = taken(response)?;
        if response.status == 204 {
            return Ok(Page { cursor: cursor.to_vec(), ..Page::default() });
        }
        let strange = |what: &str| Failure::Other(format!("the API answered {what}"));
        let answer = json::value(text(&response)?).ok_or_else(|| strange("no JSON"))?;
        let list = answer.at(&self.settings.items);
        if list.kind() != Kind::Array {
            return Err(strange(&format!("no list at `items` \"{}\"", self.settings.items)));
        }
        let (mut next, mut page, mut found) = (place.clone(), Page::default(), 0);
        let (mut left_out, mut lacks, mut far) = (0, None, false);
        // One record with a time ahead must not hide all that come before it.
        let ahead = time::now().saturating_add(SLACK_SECONDS).saturating_mul(1_000_000_000);
        let mut records = list.elements();
        for record in records.by_ref() {
            found += 1;
            let (name, nanos) = match self.place(record) {
                Ok(place) => place,
                Err(problem) => {
                    left_out += 1;
                    lacks.get_or_insert(problem);
                    continue;
                }
            };
            let known = self.settings.since.is_some() && nanos.is_some_and(|nanos| place.began.knows(&name, nanos));
            if !known {
                page.events.push(self.event(record, &name, nanos));
            }
            match nanos {
                Some(nanos) if nanos > ahead => far = true,
                Some(nanos) => next.seen.add(&name, nanos),
                None => {}
            }
            next.last = name;
        }
        if !records.is_complete() {
            return Err(strange("a list that is cut off"));
        }
        if let Some(problem) = lacks {
            if left_out == found {
                return Err(strange(&problem));
            }
            log::warn(&format!("{left_out} of {found} records of a page are left out: the API answered {problem}"));
        }
        // While pages follow each other the list is asked for as it was at the first of them.
        next.path = self.next_path(&place.anew(), &response, answer)?.unwrap_or_default();
        if next.path == path {
            return Err(strange("a next page that is this one"));
        }
        let settings = &self.settings;
        let mut full = settings.page_size.is_some_and(|size| found >= size) && (settings.since.is_some() || settings.after.is_some());
        if next.path.is_empty() {
            (next.began, next.first) = (next.seen.clone(), next.last.clone());
            let has_way = settings.token.is_some() || settings.next_url.is_some() || settings.link_header;
            // The same question would have the same answer, and what is behind this page would never come.
            let again = next.seen == place.seen && self.first_path(&next) == path;
            if full && !has_way && (page.events.is_empty() || again && !far) {
                return Err(Failure::Configuration(
                    "a full page leads no further: more records than a page share one moment; raise the page of `path` and `page_size`, or name `token`, `next_url` or `link_header`".to_owned(),
                ));
            }
            full &= !again;
        }
        page.more = !next.path.is_empty() || full && !page.events.is_empty();
        page.cursor = next.write();
        Ok(page)
    }

    fn query(&mut self, operation: &str, parameters: &str) -> Result<String, Failure> {
        if operation != "get" {
            return Err(Failure::Other(format!("there is no operation `{}`; there is get", operation.escape_default())));
        }
        let Get { path } = config::read(parameters).map_err(|problem| Failure::Other(format!("parameters: {problem}")))?;
        let response = get(&path)?;
        let body = text(&response)?;
        if json::is_strict(body) {
            return Ok(body.to_owned());
        }
        let mut out = Writer::default();
        out.json_string(body.as_bytes());
        String::from_utf8(out.into_bytes()).map_err(|_| Failure::Other("the API answered what is not UTF-8".to_owned()))
    }
}

bulkhead_sdk::export_connector!(RestPull);

#[cfg(test)]
mod tests;
