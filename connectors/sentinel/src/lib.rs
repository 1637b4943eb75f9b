//! Microsoft Sentinel and Azure Monitor: rows for a stream of a data collection rule, through the Logs Ingestion API.
//! Protocol: Microsoft, "Logs Ingestion API in Azure Monitor" (2023-01-01), "Azure Monitor service limits".
//!
//! Promised: a call holds at most what Azure takes, compressed or not; a row with a field that Azure would cut is
//! rejected; every row has its time. A refused call is sent in halves until the row at fault stands alone; a
//! refusal that an empty call meets as well is none of the row's, and waits. Refused at the start: formats whose
//! records are no JSON where the record is the row.

use std::collections::BTreeMap;

use bulkhead_sdk::{Batch, Config, Connector, Delivery, Entries, Event, Failure, Limits, Outcome, RecordFormat, Room, Writer, http};

mod row;

use row::{Rows, Shape};

/// A megabyte, and room for what a proxy adds.
const ROOM: Room = Room { entry: 950_000, body: 950_000 };

/// Longer fields are cut by Azure without a word.
const FIELD_BYTES: usize = 64 * 1024;
/// Digits of a fraction that a `datetime` column holds.
const DECIMALS: usize = 7;

/// Where rows go and how they look.
#[derive(Debug, Config)]
pub struct Settings {
    /// Immutable id of the data collection rule: `dcr-` and 32 hexadecimal digits.
    #[config(example = "dcr-00000000000000000000000000000000")]
    rule: String,
    /// Stream that the rule declares: `Custom-Audit_CL`, or `Microsoft-…` for a table of Microsoft's own.
    #[config(min = 1, max = 255, example = "Custom-Audit_CL")]
    stream: String,
    /// Version of the API.
    #[config(default = "2023-01-01", min = 10, max = 32)]
    api_version: String,
    /// Columns of a row: name to pointer. Without them the record is the row.
    columns: Option<BTreeMap<String, String>>,
    /// Column that takes the record, beside `columns`.
    record_column: Option<String>,
    /// Column that takes the event's time where the row has none of this name.
    #[config(default = "TimeGenerated")]
    time_column: String,
    /// Compresses requests.
    #[config(default = true)]
    gzip: bool,
}

#[derive(Debug)]
pub struct Sentinel {
    path: String,
    rows: Rows,
    gzip: bool,
}

impl Sentinel {
    fn post(&self, body: Vec<u8>, gzip: bool) -> Result<http::Response, http::Error> {
        http::post("primary", &self.path).header("content-type", "application/json").gzip(gzip).body(body).send()
    }

    fn send(&self, body: Vec<u8>, count: usize) -> Result<Delivery, Failure> {
        match self.post(body, self.gzip) {
            Ok(answer) => match judge(&answer, count)?.halves(count)? {
                Delivery::All(Outcome::Rejected(reason)) => {
                    // A wrong stream is refused in the same way as a wrong row, and is no fault of the row.
                    let empty = self.post(b"[]".to_vec(), false)?;
                    if empty.status == answer.status { Err(Failure::Configuration(wrong_rule(&reason))) } else { Ok(Delivery::All(Outcome::Rejected(reason))) }
                }
                delivery => Ok(delivery),
            },
            answer => Delivery::of(answer, count),
        }
    }
}

fn wrong_rule(reason: &str) -> String {
    format!("{reason}; check `rule` and `stream`, and that the destination's `url` is the rule's logs ingestion endpoint")
}

fn judge(answer: &http::Response, count: usize) -> Result<Delivery, Failure> {
    match answer.status {
        401 => Err(Failure::Unauthorized(format!("{}; check scope and secret of the destination's `credential`", Delivery::reason(answer)))),
        403 => Err(Failure::Unauthorized(format!(
            "{}; the application needs the role Monitoring Metrics Publisher on the data collection rule, which takes up to 30 minutes",
            Delivery::reason(answer)
        ))),
        404 => Err(Failure::Configuration(wrong_rule(&Delivery::reason(answer)))),
        _ => Delivery::of_response(answer, count),
    }
}

/// `dcr-` and 32 hexadecimal digits.
fn is_rule(text: &str) -> bool {
    text.strip_prefix("dcr-").is_some_and(|digits| digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl Connector for Sentinel {
    type Config = Settings;

    fn configure(settings: Settings, format: &RecordFormat) -> Result<Self, String> {
        if !is_rule(&settings.rule) {
            return Err(format!("`rule` is \"{}\"; it is the immutable id of a data collection rule, dcr- and 32 hexadecimal digits", settings.rule));
        }
        let known = ["Custom-", "Microsoft-"].iter().any(|begin| settings.stream.len() > begin.len() && settings.stream.starts_with(begin));
        if !known || !settings.stream.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            return Err(format!("`stream` is \"{}\"; it begins with Custom- or Microsoft- and has letters, digits, - and _", settings.stream));
        }
        if !settings.api_version.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(format!("`api_version` is \"{}\"; it is a date such as 2023-01-01", settings.api_version));
        }
        let path = format!("/dataCollectionRules/{}/streams/{}?api-version={}", settings.rule, settings.stream, settings.api_version);
        let Settings { columns, record_column, time_column, gzip, .. } = settings;
        let shape = Shape { columns, record_column, time_column, field_bytes: FIELD_BYTES, decimals: DECIMALS, reserved: &[] };
        Ok(Self { path, gzip, rows: Rows::new(shape, format)? })
    }

    fn fields(&self) -> Vec<&str> {
        self.rows.pointers()
    }

    fn limits(&self) -> Limits {
        Limits { max_events: Some(1000), max_bytes: Some(600 << 10) }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        let row = |record: &[u8], event: &Event<'_>, out: &mut Writer| self.rows.write(record, event, out);
        Entries::write(batch, (b"[", b"]"), ROOM, row).deliver(|body, count| self.send(body, count))
    }

    /// An empty call goes through token, role, rule and stream.
    fn check(&mut self) -> Result<String, Failure> {
        let answer = self.post(b"[]".to_vec(), false)?;
        match judge(&answer, 1)? {
            Delivery::All(Outcome::Accepted(_)) => Ok("the endpoint takes the token, and knows rule and stream".to_owned()),
            _ => Err(Failure::Configuration(wrong_rule(&Delivery::reason(&answer)))),
        }
    }
}

bulkhead_sdk::export_connector!(Sentinel);

#[cfg(test)]
mod tests;
