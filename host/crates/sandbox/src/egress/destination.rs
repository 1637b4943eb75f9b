//! Named destinations: what an operator wrote, checked into the only form that requests are built
//! from. Guests know the name and nothing else.

use std::net::IpAddr;
use std::sync::Arc;

use http::Method;
use ipnet::IpNet;

use super::address::{self, Class};
use super::base::{Authority, Base, HostRule, Transport};
use super::members::Pattern;
use super::tls::{Tls, TlsSettings};
use super::{Refusal, path};
use crate::credentials::Credential;

/// A destination as the configuration writes it.
#[derive(Debug, Clone, Default)]
pub struct DestinationSettings {
    /// Base URL, `http` or `https`: paths of requests lie below its path; its query, if any, goes with
    /// each request. Or `tcp`, `tls` or `udp` with host and port.
    pub url: String,
    /// In place of `url`: the same receiver in several places, of one scheme, tried in this order.
    pub urls: Vec<String>,
    /// Patterns of `host:port` that a guest may connect to beside the URL; `tcp` and `tls` only.
    pub members: Vec<String>,
    /// For `https` and `tls`.
    pub tls: TlsSettings,
    /// Methods that may be used; [`DEFAULT_METHODS`] where empty.
    pub methods: Vec<String>,
    /// Prefixes below the base of which a request's path must have one; all paths where empty.
    pub paths: Vec<String>,
    pub credential: Option<Arc<Credential>>,
    /// Networks in CIDR form. Where given, each address that the name resolves to must lie in one of
    /// them; without, each must be public.
    pub addresses: Vec<String>,
    /// Allows addresses on which clouds hand out the machine's credentials.
    pub allow_metadata: bool,
}

/// Methods of a destination that names none: what delivers and looks, but removes nothing.
pub const DEFAULT_METHODS: [&str; 5] = ["GET", "HEAD", "POST", "PUT", "PATCH"];

/// Why a destination cannot be used as it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("destination `{name}`: `{key}` {problem}")]
pub struct DestinationError {
    pub name: String,
    /// Which part: `url`, `urls`, `members`, `tls.ca` and its like, `verify`, `methods`, `paths`,
    /// `addresses` or `credential`.
    pub key: &'static str,
    pub problem: String,
}

/// A checked destination.
#[derive(Clone)]
pub struct Destination {
    name: String,
    /// Scheme and authority, for example `https://api.example.com:8443`.
    origin: String,
    transport: Transport,
    host: HostRule,
    port: u16,
    /// Path of the base without a slash at its end.
    base: String,
    /// The URL's own path, for requests that name none.
    own_path: String,
    query: Option<String>,
    methods: Vec<Method>,
    paths: Vec<String>,
    credential: Option<Arc<Credential>>,
    networks: Vec<IpNet>,
    allow_metadata: bool,
    tls: Tls,
    members: Vec<Pattern>,
    /// The same destination at its other URLs.
    others: Vec<Destination>,
}

/// Where a stream goes: the destination's own place, or one of its members.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    pub destination: &'a Destination,
    pub host: HostRule,
    pub port: u16,
}

impl std::fmt::Debug for Destination {
    // Neither path nor query: a token may lie in them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Destination").field("name", &self.name).field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Destination {
    pub fn new(name: &str, settings: DestinationSettings) -> Result<Self, DestinationError> {
        let fault = |key: &'static str, problem: String| DestinationError { name: name.chars().take(64).collect(), key, problem };
        if name.is_empty() || name.len() > 64 || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b)) {
            return Err(fault("name", "must be 1 to 64 of a-z, 0-9, - and _".into()));
        }
        let (key, urls) = match (settings.url.as_str(), settings.urls.as_slice()) {
            ("", []) => return Err(fault("url", "is empty; write one URL here, or several under `urls`".into())),
            (url, []) => ("url", vec![url]),
            ("", urls) => ("urls", urls.iter().map(String::as_str).collect()),
            _ => return Err(fault("urls", "stands beside `url`; keep one of them".into())),
        };
        let mut bases = Vec::with_capacity(urls.len());
        for url in urls {
            bases.push(Base::parse(url).map_err(|problem| fault(key, problem))?);
        }
        let transport = bases.first().map_or(Transport::Https, |base| base.transport);
        if let Some(other) = bases.iter().find(|base| base.transport != transport) {
            return Err(fault(key, format!("has {}:// and {}://; all need the same scheme", transport.scheme(), other.transport.scheme())));
        }
        if bases.len() > 1 && transport == Transport::Udp {
            return Err(fault(key, "has several places; a datagram that does not arrive is not noticed, so udp:// has one".into()));
        }
        let mut networks = Vec::with_capacity(settings.addresses.len());
        for text in &settings.addresses {
            let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            networks.push(network.map_err(|_| fault("addresses", format!("has `{text}`, which is no network such as 10.1.0.0/16")))?.trunc());
        }
        for base in &bases {
            let HostRule::Literal(literal) = base.host else { continue };
            check_literal(literal, settings.allow_metadata).map_err(|problem| fault(key, problem))?;
        }
        let mut members = Vec::with_capacity(settings.members.len());
        for text in &settings.members {
            let pattern = Pattern::parse(text).map_err(|problem| fault("members", format!("has `{}`, which {problem}", text.escape_default())))?;
            if let Pattern::Exact(Authority { host: HostRule::Literal(literal), .. }) = &pattern {
                check_literal(*literal, settings.allow_metadata).map_err(|problem| fault("members", problem))?;
            }
            members.push(pattern);
        }
        let interface = transport.interface();
        let needless = |key, wanted: &str| fault(key, format!("has no meaning for {}://; it is for {wanted}", transport.scheme()));
        if interface != "http" && !settings.methods.is_empty() {
            return Err(needless("methods", "http and https"));
        }
        if interface != "http" && !settings.paths.is_empty() {
            return Err(needless("paths", "http and https"));
        }
        if interface != "tcp" && !settings.members.is_empty() {
            return Err(needless("members", "tcp and tls"));
        }
        if interface == "udp" && settings.credential.is_some() {
            return Err(needless("credential", "http, https, tcp and tls"));
        }
        if !transport.under_tls() && settings.tls != TlsSettings::default() {
            let key = if settings.tls == (TlsSettings { unverified: true, ..TlsSettings::default() }) { "verify" } else { "tls" };
            return Err(needless(key, "https and tls"));
        }
        let tls = Tls::new(&settings.tls).map_err(|problem| fault(problem.key, problem.problem))?;
        let mut methods = Vec::new();
        for text in &settings.methods {
            let method = checked_method(text).map_err(|problem| fault("methods", format!("has `{}`, which {problem}", text.escape_default())))?;
            methods.push(method);
        }
        if methods.is_empty() {
            methods = DEFAULT_METHODS.iter().filter_map(|text| checked_method(text).ok()).collect();
        }
        for prefix in &settings.paths {
            match path::check(prefix) {
                Ok(None) if prefix.starts_with('/') => {}
                Ok(None) => return Err(fault("paths", "has an empty prefix; leave `paths` out to allow all".into())),
                Ok(Some(_)) => return Err(fault("paths", format!("has `{prefix}` with a query; prefixes are compared with paths only"))),
                Err(problem) => return Err(fault("paths", format!("has `{}`, which {problem}", prefix.escape_default()))),
            }
        }
        let open = |base: &Base| !base.transport.under_tls() && !base.host.is_this_machine();
        if interface == "http" && settings.credential.is_some() && bases.iter().any(open) {
            tracing::warn!(destination = name, "the credential of this destination travels without TLS");
        }
        let mut places = bases.into_iter().map(|base| Self {
            name: name.into(),
            origin: base.origin,
            transport,
            host: base.host,
            port: base.port,
            base: base.path.strip_suffix('/').unwrap_or(&base.path).into(),
            own_path: base.path,
            query: base.query,
            methods: methods.clone(),
            paths: settings.paths.clone(),
            credential: settings.credential.clone(),
            networks: networks.clone(),
            allow_metadata: settings.allow_metadata,
            tls: tls.clone(),
            members: members.clone(),
            others: Vec::new(),
        });
        let mut first = places.next().ok_or_else(|| fault("url", "is empty".into()))?;
        first.others = places.collect();
        Ok(first)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Scheme and authority; no secret, no path.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub fn transport(&self) -> Transport {
        self.transport
    }

    pub fn https(&self) -> bool {
        self.transport == Transport::Https
    }

    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// The destination at each of its URLs, in the operator's order.
    pub fn places(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }

    pub fn host(&self) -> &HostRule {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn credential(&self) -> Option<&Arc<Credential>> {
        self.credential.as_ref()
    }

    /// Rule 2: the interface that asks must be the one of the URL's scheme.
    pub(super) fn serves(&self, interface: &str) -> Result<(), Refusal> {
        if self.transport.interface() == interface {
            return Ok(());
        }
        Err(Refusal::denied(2, format!("destination `{}` is {}://, which `{interface}` does not speak", self.name, self.transport.scheme())))
    }

    pub(super) fn own_place(&self) -> Place<'_> {
        Place { destination: self, host: self.host.clone(), port: self.port }
    }

    /// Rules 3 and 4 for streams: nothing for the destination's own place, or a member in its one form
    /// that one of the patterns matches.
    pub(super) fn place(&self, member: &str) -> Result<Place<'_>, Refusal> {
        if member.is_empty() {
            return Ok(self.own_place());
        }
        let named = Authority::parse(member).map_err(|problem| Refusal::invalid(3, format!("member `{}` {problem}", shown(member))))?;
        if !self.members.iter().any(|pattern| pattern.matches(&named)) {
            return Err(Refusal::denied(4, format!("member `{}` is not among the `members` of destination `{}`", shown(member), self.name)));
        }
        Ok(Place { destination: self, host: named.host, port: named.port })
    }

    /// Rule 2: the method.
    pub(super) fn method(&self, text: &str) -> Result<Method, Refusal> {
        let method = checked_method(text).map_err(|problem| Refusal::invalid(2, format!("method `{}` {problem}", shown(text))))?;
        if self.methods.contains(&method) {
            return Ok(method);
        }
        let allowed = self.methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        Err(Refusal::denied(2, format!("method {method} is not among {allowed}, the `methods` of destination `{}`", self.name)))
    }

    /// Rules 3 and 4: the path below the base. Answers path and query as they go on the wire.
    pub(super) fn target(&self, text: &str) -> Result<String, Refusal> {
        let question = path::check(text).map_err(|problem| Refusal::invalid(3, format!("path `{}` {problem}", shown(text))))?;
        let (below, query) = text.split_at(question.unwrap_or(text.len()));
        if !self.paths.is_empty() && !self.paths.iter().any(|prefix| path::below(below, prefix)) {
            return Err(Refusal::denied(
                4,
                format!("path `{}` is not below {}, the `paths` of destination `{}`", shown(below), self.paths.join(", "), self.name),
            ));
        }
        let mut target = if below.is_empty() { self.own_path.clone() } else { format!("{}{below}", self.base) };
        if let Some(own) = &self.query {
            target.push('?');
            target.push_str(own);
        }
        if let Some(query) = query.strip_prefix('?') {
            target.push(if self.query.is_some() { '&' } else { '?' });
            target.push_str(query);
        }
        Ok(target)
    }

    /// A target for people: the query of the operator's URL may hold a token.
    pub(super) fn without_own_query(&self, target: &str) -> String {
        match &self.query {
            Some(own) => target.replacen(&format!("?{own}"), "?(hidden)", 1),
            None => target.into(),
        }
    }

    /// The part of a target as sent that is not the operator's: the path below the base, without query.
    pub(super) fn below<'t>(&self, target: &'t str) -> &'t str {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        path.strip_prefix(&self.base).unwrap_or_default()
    }

    /// Rule 7: the address of a connection. `addresses` are all that the name resolved to: one that is
    /// not allowed spoils them all, because the next answer may hold only that one.
    pub(crate) fn check_addresses(&self, host: &HostRule, addresses: &[IpAddr]) -> Result<(), Refusal> {
        for address in addresses {
            self.check_address(host, *address)?;
        }
        if addresses.is_empty() {
            return Err(Refusal::denied(7, format!("the host of destination `{}` has no address", self.name)));
        }
        Ok(())
    }

    fn check_address(&self, host: &HostRule, address: IpAddr) -> Result<(), Refusal> {
        let canonical = address::canonical(address);
        let class = address::classify(address);
        let deny = |text: String| Err(Refusal::denied(7, text));
        match host {
            HostRule::Literal(granted) if *granted == address => return Ok(()),
            HostRule::Literal(granted) => return deny(format!("{address} is not {granted}, the address of destination `{}`", self.name)),
            HostRule::Localhost if canonical.is_loopback() => return Ok(()),
            HostRule::Localhost => return deny(format!("localhost of destination `{}` leads to {address}, which is not this machine", self.name)),
            HostRule::Name(_) => {}
        }
        let class_name = class.name();
        let name = &self.name;
        if class.never() {
            return deny(format!("destination `{name}` leads to {address}, a {class_name} address"));
        }
        if class == Class::Metadata && !self.allow_metadata {
            return deny(format!("destination `{name}` leads to {address}, a {class_name} address; `allow_metadata` would allow it"));
        }
        if self.networks.iter().any(|network| network.contains(&address) || network.contains(&canonical)) {
            return Ok(());
        }
        if !self.networks.is_empty() {
            return deny(format!("destination `{name}` leads to {address}, which is in none of its `addresses`"));
        }
        match class {
            Class::Public | Class::Metadata => Ok(()),
            _ => deny(format!("destination `{name}` leads to {address}, a {class_name} address; add its network to `addresses` to allow it")),
        }
    }

    /// Turns an absolute URL into a path below the base, under rules 3 and 4. The base may be that of
    /// any of its URLs.
    pub(super) fn relative(&self, url: &str) -> Result<String, Refusal> {
        let own = |place: &&Self| url.strip_prefix(&place.origin).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
        self.places().find(own).unwrap_or(self).relative_here(url)
    }

    fn relative_here(&self, url: &str) -> Result<String, Refusal> {
        let other = || Refusal::denied(1, format!("the URL is not on {}, the origin of destination `{}`", self.origin, self.name));
        let rest = url.strip_prefix(&self.origin).ok_or_else(other)?;
        if !(rest.is_empty() || rest.starts_with(['/', '?'])) {
            return Err(other());
        }
        self.serves("http")?;
        let question = path::check(rest).map_err(|problem| Refusal::invalid(3, format!("the path of the URL {problem}")))?;
        let (full, query) = rest.split_at(question.unwrap_or(rest.len()));
        let full = if full.is_empty() { "/" } else { full };
        if !path::below(full, &self.base) {
            return Err(Refusal::denied(4, format!("the URL is not below the base of destination `{}`", self.name)));
        }
        let below = full.strip_prefix(&self.base).unwrap_or(full);
        let relative = format!("{below}{query}");
        self.target(&relative)?;
        Ok(relative)
    }
}

/// Guest text in a message: escaped and short.
fn shown(text: &str) -> String {
    text.escape_default().take(128).collect()
}

fn checked_method(text: &str) -> Result<Method, &'static str> {
    if text.is_empty() || text.len() > 16 || !text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
        return Err("is no upper-case method of at most 16 letters");
    }
    if matches!(text, "CONNECT" | "TRACE") {
        return Err("is never allowed: it would open a tunnel or echo credentials");
    }
    Method::from_bytes(text.as_bytes()).map_err(|_| "is no method")
}

/// An address that the operator wrote out.
fn check_literal(literal: IpAddr, allow_metadata: bool) -> Result<(), String> {
    let class = address::classify(literal);
    if class.never() {
        return Err(format!("names the {} address {literal}, which cannot be connected to", class.name()));
    }
    if class == Class::Metadata && !allow_metadata {
        return Err(format!("names the cloud metadata address {literal}; set `allow_metadata: true` if that is meant"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
