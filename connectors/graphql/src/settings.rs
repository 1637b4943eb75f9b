//! The configuration.

use std::collections::BTreeMap;

use bulkhead_sdk::Config;

/// The operation, and how its answers are read.
#[derive(Debug, Config)]
pub struct Settings {
    /// The GraphQL document, for example `mutation Add($event: EventInput!) { add(event: $event) { id } }`.
    #[config(min = 1)]
    pub query: String,
    /// The operation's name; needed where the document has several. With it the connection check validates the document.
    #[config(min = 1)]
    pub operation: Option<String>,
    /// Variables: name to a template of JSON. `{event: "{{ record }}"}` where absent.
    pub variables: Option<BTreeMap<String, String>>,
    /// The variable that is a list of events: then one request carries many, and its template is one element.
    #[config(min = 1)]
    pub list: Option<String>,
    /// Path below the destination's base; empty for the base itself.
    #[config(default = "")]
    pub path: String,
    /// Further headers; names in lower case. Secrets belong into the destination's credential.
    pub headers: Option<BTreeMap<String, String>>,
    /// Header that carries an id that is the same on every attempt, for example `idempotency-key`.
    #[config(min = 1)]
    pub idempotency_key: Option<String>,
    /// An event without a field that a template asks for: `empty` leaves the place empty (`null` as a JSON value), `refuse`
    /// rejects the event.
    #[config(default = "empty")]
    pub missing: Missing,
    /// What an answer with data and errors is.
    #[config(default = "refused")]
    pub partial: Partial,
    /// What values of `extensions.code` mean.
    #[config(default)]
    pub codes: Codes,
    /// Pointer into the answer to the receiver's id of the event, for example `/data/add/id`.
    #[config(min = 1)]
    pub receipt: Option<String>,
    /// Compresses requests.
    #[config(default = false)]
    pub gzip: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Missing {
    Empty,
    Refuse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Partial {
    Refused,
    Accepted,
    Again,
}

/// Codes of errors, as the server spells them.
#[derive(Debug, Default, Config)]
pub struct Codes {
    /// Worth another attempt. `INTERNAL_SERVER_ERROR` and `THROTTLED` where absent.
    #[config(max = 64)]
    pub again: Option<Vec<String>>,
    /// The credential is refused. `UNAUTHENTICATED` and `FORBIDDEN` where absent.
    #[config(max = 64)]
    pub unauthorized: Option<Vec<String>>,
    /// The document cannot work. `GRAPHQL_PARSE_FAILED`, `GRAPHQL_VALIDATION_FAILED` and
    /// `OPERATION_RESOLUTION_FAILURE` where absent.
    #[config(max = 64)]
    pub configuration: Option<Vec<String>>,
}
