//! What leaves the host on a guest's behalf. One decision, [`decide`], serves every protocol; the
//! client dials only addresses that the destination allows. No proxy, no redirect, no retry.

use std::collections::BTreeMap;

use http::{HeaderMap, Method};

use crate::limits::{Limit, Limits};

pub mod address;
mod base;
pub mod client;
pub mod datagram;
pub mod destination;
pub mod explain;
mod headers;
mod inbox;
mod members;
pub mod path;
pub mod places;
pub mod redact;
mod refusal;
mod resolve;
pub mod retry_after;
pub mod stream;
pub mod tls;
pub mod window;

pub use base::{HostRule, Transport};
pub use destination::{Destination, DestinationError, DestinationSettings, Place};
pub use headers::host_owned;
pub use refusal::{Refusal, RefusalKind};
pub(crate) use resolve::Dialled;
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
    /// Whether the body is compressed.
    pub gzip: bool,
}

/// Decides about a request, a connection or a datagram. The first rule that refuses ends it:
///
/// 1. The destination is one that the operator named for this instance.
/// 2. The interface is the one of the destination's scheme: `http` for `http` and `https`, `tcp` for
///    `tcp` and `tls`, `udp` for `udp`. For HTTP, too: the method is well formed, is not `CONNECT` or
///    `TRACE`, and is among the destination's methods.
/// 3. The path has the one form that every server reads alike (see [`path`]); a member of a destination
///    of streams is `host:port` in its one form.
/// 4. The path lies below one of the destination's prefixes, by whole segments; a member matches one of
///    the destination's patterns (`members.rs`).
/// 5. Header fields are well formed, within their limits, and none is the host's or the credential's. A
///    secret goes into a stream only where its credential is bound to the stream's destination, and in a
///    form that shows it only under TLS.
/// 6. The body or datagram is within its limit, so is the number of connections, and there is time.
/// 7. The address: an address literal or `localhost` in the operator's URL grants exactly that; a name
///    is resolved by the host, and every address it has must be public or in the destination's
///    `addresses`, and no metadata address without `allow_metadata`. Checked again for each connection,
///    on the very addresses that are dialled.
/// 8. The destination's credential can be had, where it is not fixed: a token, what a command prints.
pub fn decide<'a>(destinations: &'a BTreeMap<String, Destination>, asked: &Asked<'_>, limits: &Limits) -> Result<Allowed<'a>, Refusal> {
    decide_at(named(destinations, asked.destination)?, asked, limits)
}

/// The same for one place of a destination with several URLs.
fn decide_at<'a>(destination: &'a Destination, asked: &Asked<'_>, limits: &Limits) -> Result<Allowed<'a>, Refusal> {
    destination.serves("http")?;
    let method = destination.method(asked.method)?;
    let target = destination.target(asked.path)?;
    let taken = destination.credential().map(|credential| credential.header_names()).unwrap_or_default();
    let headers = headers::build(asked.headers, asked.gzip, &taken, limits)?;
    if asked.body_bytes > limits.enforced(Limit::HttpRequest) {
        return Err(Refusal::over(6, limits, Limit::HttpRequest, asked.body_bytes));
    }
    Ok(Allowed { destination, method, target, headers, gzip: asked.gzip })
}

/// Rules 1 to 4 for a stream: the place that may be connected to, once its address is checked.
pub fn decide_stream<'a>(destinations: &'a BTreeMap<String, Destination>, name: &str, member: &str) -> Result<Place<'a>, Refusal> {
    let destination = named(destinations, name)?;
    destination.serves("tcp")?;
    destination.place(member)
}

/// Rules 1, 2 and 6 for a datagram.
pub fn decide_datagram<'a>(destinations: &'a BTreeMap<String, Destination>, name: &str, bytes: usize) -> Result<&'a Destination, Refusal> {
    let destination = named(destinations, name)?;
    destination.serves("udp")?;
    if bytes > MAX_DATAGRAM {
        return Err(Refusal::limit(6, format!("a datagram has at most {MAX_DATAGRAM} bytes: {bytes} asked for")));
    }
    Ok(destination)
}

/// What UDP over IPv4 can carry: 65,535 bytes less two headers (RFC 768, RFC 791).
pub const MAX_DATAGRAM: usize = 65_507;

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
