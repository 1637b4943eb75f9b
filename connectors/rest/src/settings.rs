//! The configuration.

use std::collections::BTreeMap;

use bulkhead_sdk::{Config, Literal, Value};

use crate::answer::Statuses;

/// How requests look, and how answers are read.
#[derive(Debug, Config)]
pub struct Settings {
    /// Method of requests that deliver events.
    #[config(default = "POST")]
    pub method: Method,
    /// Path below the destination's base, with an optional query; a template. Empty for the base itself.
    #[config(default = "")]
    pub path: String,
    /// Headers; names in lower case, values are templates. Secrets belong into the destination's credential.
    pub headers: Option<BTreeMap<String, String>>,
    /// Content type of requests; it also says how values are escaped. Where absent: of a `body` or `wrapped`
    /// `application/json`, of an array `application/json`, of JSON lines `application/x-ndjson`, else the format's.
    #[config(min = 1)]
    pub content_type: Option<String>,
    /// Template of the body, in batches of each event's part of it. The record as it is where absent; nothing with GET and
    /// DELETE.
    pub body: Option<String>,
    /// `each`: one event a request. `array`: a JSON array. `lines`: one event a line. `wrapped`: between fixed texts.
    #[config(default = "each")]
    pub mode: Mode,
    /// For `mode: wrapped`.
    pub wrapped: Option<Wrapped>,
    /// An event without a field that a template asks for: `empty` leaves the place empty (`null` as a JSON value), `refuse`
    /// rejects the event.
    #[config(default = "empty")]
    pub missing: Missing,
    /// Compresses requests.
    #[config(default = false)]
    pub gzip: bool,
    /// Header that carries an id that is the same on every attempt, for example `idempotency-key`.
    #[config(min = 1)]
    pub idempotency_key: Option<String>,
    /// What counts as delivered. 2xx where absent.
    pub success: Option<Success>,
    /// Answers that refuse the event for good, beside those of the shared table.
    pub refused: Option<Rule>,
    /// Answers that are worth another attempt, beside those of the shared table.
    pub again: Option<Rule>,
    /// Answers that refuse the credential, beside those of the shared table.
    pub unauthorized: Option<Rule>,
    /// Pointer into the answer to the receiver's id of the event, for example `/result/id`.
    #[config(min = 1)]
    pub receipt: Option<String>,
    /// Where an answer says how long to wait; `Retry-After` is always read, and goes first.
    pub wait: Option<Wait>,
    /// What the connection check asks; without it there is none.
    pub check: Option<Check>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Method {
    #[config(rename = "POST")]
    Post,
    #[config(rename = "PUT")]
    Put,
    #[config(rename = "PATCH")]
    Patch,
    #[config(rename = "GET")]
    Get,
    #[config(rename = "DELETE")]
    Delete,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Get => "GET",
            Self::Delete => "DELETE",
        }
    }

    /// Where a body means nothing by itself (RFC 9110 §9.3).
    pub fn without_body(self) -> bool {
        matches!(self, Self::Get | Self::Delete)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Mode {
    Each,
    Array,
    Lines,
    Wrapped,
}

/// Fixed texts around the events of a batch.
#[derive(Debug, Config)]
pub struct Wrapped {
    /// Before the first event.
    pub before: String,
    /// Between two events.
    #[config(default = ",")]
    pub between: String,
    /// After the last one.
    pub after: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Missing {
    Empty,
    Refuse,
}

/// What counts as delivered.
#[derive(Debug, Config)]
pub struct Success {
    /// Statuses, single ones or classes such as `2xx`.
    #[config(min = 1, max = 64)]
    pub statuses: Option<Vec<Statuses>>,
    /// Pointer into the JSON answer that must be there, for example `/ok`.
    #[config(min = 1)]
    pub pointer: Option<String>,
    /// What it must be: one of these texts, numbers or booleans. Anything but null where absent.
    #[config(min = 1, max = 64)]
    pub equals: Option<Vec<Literal>>,
    /// What a 2xx answer is that does not count as delivered.
    #[config(default = "again")]
    pub otherwise: Otherwise,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Otherwise {
    Again,
    Refused,
}

/// Answers by status, or by what their body says: either is enough.
#[derive(Debug, Config)]
pub struct Rule {
    /// Statuses, single ones or classes such as `4xx`.
    #[config(min = 1, max = 64)]
    pub statuses: Option<Vec<Statuses>>,
    /// Pointer into the JSON answer that must be there, for example `/error/code`.
    #[config(min = 1)]
    pub pointer: Option<String>,
    /// What it must be: one of these texts, numbers or booleans. Anything but null where absent.
    #[config(min = 1, max = 64)]
    pub equals: Option<Vec<Literal>>,
}

/// Where an answer says how long to wait.
#[derive(Debug, Config)]
pub struct Wait {
    /// Header, in lower case, for example `x-ratelimit-reset`.
    #[config(min = 1)]
    pub header: Option<String>,
    /// Pointer into the JSON answer, for example `/parameters/retry_after`.
    #[config(min = 1)]
    pub pointer: Option<String>,
    /// What the number is.
    #[config(default = "seconds")]
    pub unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Unit {
    Seconds,
    Milliseconds,
    /// Seconds since 1970; read against the answer's own `Date`.
    Unix,
    /// The `RateLimit` field of draft-ietf-httpapi-ratelimit-headers.
    Ratelimit,
}

/// What the connection check asks.
#[derive(Debug, Config)]
pub struct Check {
    /// A method that changes nothing.
    #[config(default = "GET")]
    pub method: CheckMethod,
    /// Path below the destination's base, with an optional query.
    pub path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum CheckMethod {
    #[config(rename = "GET")]
    Get,
    #[config(rename = "HEAD")]
    Head,
    #[config(rename = "OPTIONS")]
    Options,
}

impl CheckMethod {
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
        }
    }
}

impl Config for Statuses {
    const BODY: &'static str = "\"type\":[\"integer\",\"string\"],\"minimum\":200,\"maximum\":599,\"pattern\":\"^[2-5](xx|[0-9][0-9])$\"";

    fn read(value: Value<'_>, at: &str) -> Result<Self, String> {
        let text = value.text().unwrap_or_default();
        Self::parse(&text).ok_or_else(|| format!("`{at}` must be a status from 200 to 599, or a class such as 2xx"))
    }
}
