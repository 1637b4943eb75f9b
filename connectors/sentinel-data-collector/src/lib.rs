//! The HTTP Data Collector API of Azure Monitor, which Microsoft retired on 14 September 2026: for what still speaks it,
//! private replicas and tests. Events for Microsoft's own endpoints go through `sentinel`.
//! Protocol: Microsoft, "Azure Monitor HTTP Data Collector API (legacy/retired)" (2016-04-01).
//!
//! Promised: a post holds at most what the API takes; a row with a field that it would cut, or with a name that is its
//! own, is rejected; every row has its time. A refused post is sent in halves until the row at fault stands alone.
//! Refused at the start: a configuration that does not say `retired`.

use std::collections::BTreeMap;

use bulkhead_sdk::{Batch, Config, Connector, Delivery, Entries, Event, Failure, Limits, Outcome, RecordFormat, Room, Writer, http, json};

#[path = "../../sentinel/src/row.rs"]
mod row;

use row::{Rows, Shape};

const PATH: &str = "/api/logs?api-version=2016-04-01";

/// 30 MB a post.
const ROOM: Room = Room { entry: 30_000_000, body: 30_000_000 };
/// Longer fields are cut.
const FIELD_BYTES: usize = 32 * 1024;
/// Columns that the API fills itself.
const RESERVED: [&str; 3] = ["tenant", "TimeGenerated", "RawData"];

/// Refusals of the request as a whole, not of a row.
const REFUSALS: [&str; 8] = [
    "InactiveCustomer",
    "InvalidApiVersion",
    "InvalidCustomerId",
    "InvalidLogType",
    "MissingApiVersion",
    "MissingContentType",
    "MissingLogType",
    "UnsupportedContentType",
];

/// What the operator says of this API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Api {
    /// It is retired, and something at hand still speaks it.
    Retired,
}

/// Where rows go and how they look.
#[derive(Debug, Config)]
pub struct Settings {
    /// `retired`: Microsoft's endpoints stopped on 14 September 2026.
    api: Api,
    /// Name of the table, which becomes `<log_type>_CL`: letters, digits and `_`.
    #[config(min = 1, max = 100, example = "Audit")]
    log_type: String,
    /// The Azure resource that rows belong to, as its full id.
    #[config(min = 1, max = 1024)]
    resource_id: Option<String>,
    /// Columns of a row: name to pointer. Without them the record is the row.
    columns: Option<BTreeMap<String, String>>,
    /// Column that takes the record, beside `columns`.
    record_column: Option<String>,
    /// Column that takes the event's time where the row has none of this name; the API takes `TimeGenerated` from it.
    #[config(default = "EventTime")]
    time_column: String,
}

#[derive(Debug)]
pub struct DataCollector {
    log_type: String,
    resource_id: Option<String>,
    time_column: String,
    rows: Rows,
}

impl DataCollector {
    fn post(&self, body: Vec<u8>) -> Result<http::Response, http::Error> {
        let mut request = http::post("primary", PATH)
            .header("content-type", "application/json")
            .header("log-type", &self.log_type)
            .header("time-generated-field", &self.time_column);
        if let Some(id) = &self.resource_id {
            request = request.header("x-ms-azureresourceid", id);
        }
        request.body(body).send()
    }
}

/// `Error` of a refusal.
fn code(answer: &http::Response) -> Option<String> {
    let code = json::value(std::str::from_utf8(&answer.body).ok()?)?.member("Error").text()?.into_owned();
    String::from_utf8(code).ok()
}

fn judge(answer: &http::Response, count: usize) -> Result<Delivery, Failure> {
    let said = || Delivery::reason(answer);
    match answer.status {
        403 => Err(Failure::Unauthorized(format!("{}; check account and key of the destination's `credential`", said()))),
        404 => Err(Failure::Configuration(format!("{}; Microsoft's own endpoints are gone, the connector `sentinel` is for what took their place", said()))),
        400 if code(answer).is_some_and(|code| REFUSALS.contains(&code.as_str())) => {
            Err(Failure::Configuration(format!("{}; check `log_type`, and the workspace in `url` and `credential`", said())))
        }
        _ => Delivery::of_response(answer, count)?.halves(count),
    }
}

impl Connector for DataCollector {
    type Config = Settings;

    fn configure(settings: Settings, format: &RecordFormat) -> Result<Self, String> {
        let Settings { api: Api::Retired, log_type, resource_id, columns, record_column, time_column } = settings;
        if !log_type.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(format!("`log_type` is \"{log_type}\"; it has letters, digits and _"));
        }
        if resource_id.as_ref().is_some_and(|id| !id.bytes().all(|byte| (33..=126).contains(&byte))) {
            return Err("`resource_id` is printable ASCII without spaces".to_owned());
        }
        // The API wants a time without decimals.
        let shape = Shape { columns, record_column, time_column: time_column.clone(), field_bytes: FIELD_BYTES, decimals: 0, reserved: &RESERVED };
        Ok(Self { log_type, resource_id, time_column, rows: Rows::new(shape, format)? })
    }

    fn fields(&self) -> Vec<&str> {
        self.rows.pointers()
    }

    fn limits(&self) -> Limits {
        Limits { max_events: Some(1000), max_bytes: Some(4 << 20) }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        let row = |record: &[u8], event: &Event<'_>, out: &mut Writer| self.rows.write(record, event, out);
        Entries::write(batch, (b"[", b"]"), ROOM, row).deliver(|body, count| match self.post(body) {
            Ok(answer) => judge(&answer, count),
            answer => Delivery::of(answer, count),
        })
    }

    /// An empty post goes through the signature and the name of the table.
    fn check(&mut self) -> Result<String, Failure> {
        let answer = self.post(b"[]".to_vec())?;
        match judge(&answer, 1)? {
            Delivery::All(Outcome::Accepted(_)) => Ok("the endpoint takes the signature and the name of the table".to_owned()),
            // Only who has passed the signature is told that nothing is no data.
            _ if code(&answer).as_deref() == Some("InvalidDataFormat") => Ok("the endpoint takes the signature".to_owned()),
            _ => Err(Failure::Configuration(Delivery::reason(&answer))),
        }
    }
}

bulkhead_sdk::export_connector!(DataCollector);

#[cfg(test)]
mod tests;
