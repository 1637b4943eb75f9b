//! What leaves the host on a guest's behalf. One decision, [`decide`], serves every protocol; the
//! client dials only addresses that the destination allows. No proxy, no redirect, no retry.

use std::collections::BTreeMap;

use http::{HeaderMap, Method};

use crate::limits::{Limit, Limits};

pub mod address;
pub mod client;
pub mod destination;
pub mod explain;
mod headers;
pub mod path;
pub mod places;
pub mod redact;
mod refusal;
mod resolve;
pub mod retry_after;
pub mod window;

pub use destination::{Destination, DestinationError, DestinationSettings, HostRule};
pub use headers::host_owned;
pub use refusal::{Refusal, RefusalKind};
pub use resolve::{Resolve, SystemResolver};

/// A request as the guest asks for it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub destination: &'a str,
    pub method: &'a str,
    pub path: &'a str,
    pub headers: &'a [(String, Vec<u8>)],
    pub body_bytes: u64,
    pub gzip: bool,
}

/// A request that may be sent, in the form in which it is sent.
#[derive(Debug)]
pub struct Allowed<'a> {
    pub destination: &'a Destination,
    pub method: Method,
    /// Path and query, byte for byte as on the wire (a query credential is added later).
    pub target: String,
    pub headers: HeaderMap,
}

/// Decides about a request. The first rule that refuses ends it:
///
/// 1. The destination is one that the operator named for this instance.
/// 2. The method is well formed, is not `CONNECT` or `TRACE`, and is among the destination's methods.
/// 3. The path has the one form that every server reads alike (see [`path`]).
/// 4. The path lies below one of the destination's prefixes, by whole segments.
/// 5. Header fields are well formed, within their limits, and none is the host's or the credential's.
/// 6. The body is within its limit.
/// 7. The address: an address literal or `localhost` in the operator's URL grants exactly that; a name
///    is resolved by the host, and every address it has must be public or in the destination's
///    `addresses`, and no metadata address without `allow_metadata`. Checked again for each connection,
///    on the very addresses that are dialled.
/// 8. The destination's credential can be had, where it is not fixed: a token, what a command prints.
pub fn decide<'a>(destinations: &'a BTreeMap<String, Destination>, asked: &Asked<'_>, limits: &Limits) -> Result<Allowed<'a>, Refusal> {
    let destination = named(destinations, asked.destination)?;
    let method = destination.method(asked.method)?;
    let target = destination.target(asked.path)?;
    let taken = destination.credential().map(|credential| credential.header_names()).unwrap_or_default();
    let headers = headers::build(asked.headers, asked.gzip, &taken, limits)?;
    if asked.body_bytes > limits.enforced(Limit::HttpRequest) {
        return Err(Refusal::over(6, limits, Limit::HttpRequest, asked.body_bytes));
    }
    Ok(Allowed { destination, method, target, headers })
}

/// Turns an absolute URL that a receiver answered into a path below a destination.
pub fn relative(destinations: &BTreeMap<String, Destination>, name: &str, url: &str) -> Result<String, Refusal> {
    named(destinations, name)?.relative(url)
}

/// The destination whose origin and base an absolute URL has, with the path below it; of several the one
/// with the longest base. What refuses is rule 1, or the last rule that a destination of that origin has.
pub fn matching<'a>(destinations: &'a BTreeMap<String, Destination>, url: &str) -> Result<(&'a str, String), Refusal> {
    let mut found: Option<(&str, String)> = None;
    let mut refused: Option<Refusal> = None;
    for (name, destination) in destinations {
        match destination.relative(url) {
            Ok(path) if found.as_ref().is_none_or(|(_, other)| path.len() < other.len()) => found = Some((name, path)),
            Ok(_) => {}
            Err(refusal) if refusal.rule > 1 && refused.as_ref().is_none_or(|other| other.rule < refusal.rule) => refused = Some(refusal),
            Err(_) => {}
        }
    }
    found.ok_or_else(|| {
        refused.unwrap_or_else(|| {
            let known = destinations.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let shown: String = url.split(['?', '#']).next().unwrap_or_default().escape_default().take(128).collect();
            Refusal::denied(1, format!("no destination has the origin of `{shown}`; granted: {known}"))
        })
    })
}

fn named<'a>(destinations: &'a BTreeMap<String, Destination>, name: &str) -> Result<&'a Destination, Refusal> {
    destinations.get(name).ok_or_else(|| {
        let known = destinations.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let shown: String = name.escape_default().take(64).collect();
        Refusal::denied(1, format!("no destination `{shown}`; granted: {known}"))
    })
}

#[cfg(test)]
mod tests;
