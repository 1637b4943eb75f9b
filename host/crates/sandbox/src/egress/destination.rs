//! Named destinations: what an operator wrote, checked into the only form that requests are built
//! from. Guests know the name and nothing else.

use std::net::IpAddr;
use std::sync::Arc;

use http::Method;
use ipnet::IpNet;
use url::{Host, Url};

use super::address::{self, Class};
use super::{Refusal, path};
use crate::credentials::Credential;

/// A destination as the configuration writes it.
#[derive(Debug, Clone, Default)]
pub struct DestinationSettings {
    /// Base URL, `http` or `https`. Paths of requests lie below its path; its query, if any, goes with
    /// each request.
    pub url: String,
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
    /// Which part: `url`, `methods`, `paths`, `addresses` or `credential`.
    pub key: &'static str,
    pub problem: String,
}

/// A checked destination.
#[derive(Clone)]
pub struct Destination {
    name: String,
    /// Scheme and authority, for example `https://api.example.com:8443`.
    origin: String,
    https: bool,
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
}

/// How the host part of the URL was written, which decides what addresses are granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostRule {
    /// An address literal: exactly this address.
    Literal(IpAddr),
    /// `localhost`: the two loopback addresses that the name stands for, nothing else.
    Localhost,
    /// A name to resolve.
    Name(String),
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
        let base = Base::parse(&settings.url).map_err(|problem| fault("url", problem))?;
        let mut networks = Vec::with_capacity(settings.addresses.len());
        for text in &settings.addresses {
            let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            networks.push(network.map_err(|_| fault("addresses", format!("has `{text}`, which is no network such as 10.1.0.0/16")))?.trunc());
        }
        if let HostRule::Literal(literal) = base.host {
            let class = address::classify(literal);
            if class.never() {
                return Err(fault("url", format!("names the {} address {literal}, which cannot be connected to", class.name())));
            }
            if class == Class::Metadata && !settings.allow_metadata {
                return Err(fault("url", format!("names the cloud metadata address {literal}; set `allow_metadata: true` if that is meant")));
            }
        }
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
        if !base.https && settings.credential.is_some() && !base.host.is_this_machine() {
            tracing::warn!(destination = name, "the credential of this destination travels without TLS");
        }
        Ok(Self {
            name: name.into(),
            origin: base.origin,
            https: base.https,
            host: base.host,
            port: base.port,
            base: base.path.strip_suffix('/').unwrap_or(&base.path).into(),
            own_path: base.path,
            query: base.query,
            methods,
            paths: settings.paths,
            credential: settings.credential,
            networks,
            allow_metadata: settings.allow_metadata,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Scheme and authority; no secret, no path.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub fn https(&self) -> bool {
        self.https
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
    pub(crate) fn check_addresses(&self, addresses: &[IpAddr]) -> Result<(), Refusal> {
        for address in addresses {
            self.check_address(*address)?;
        }
        if addresses.is_empty() {
            return Err(Refusal::denied(7, format!("the host of destination `{}` has no address", self.name)));
        }
        Ok(())
    }

    fn check_address(&self, address: IpAddr) -> Result<(), Refusal> {
        let canonical = address::canonical(address);
        let class = address::classify(address);
        let deny = |text: String| Err(Refusal::denied(7, text));
        match &self.host {
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

    /// Turns an absolute URL into a path below the base, under rules 3 and 4.
    pub(super) fn relative(&self, url: &str) -> Result<String, Refusal> {
        let other = || Refusal::denied(1, format!("the URL is not on {}, the origin of destination `{}`", self.origin, self.name));
        let rest = url.strip_prefix(&self.origin).ok_or_else(other)?;
        if !(rest.is_empty() || rest.starts_with(['/', '?'])) {
            return Err(other());
        }
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

impl HostRule {
    fn is_this_machine(&self) -> bool {
        match self {
            Self::Literal(address) => address.is_loopback(),
            Self::Localhost => true,
            Self::Name(_) => false,
        }
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

/// The operator's URL, taken apart.
struct Base {
    origin: String,
    https: bool,
    host: HostRule,
    port: u16,
    path: String,
    query: Option<String>,
}

impl Base {
    /// Reads the URL and holds it to its canonical form, so that what people read is what is dialled.
    fn parse(text: &str) -> Result<Self, String> {
        // Texts stay out of messages: a URL may carry a token in its query.
        if text.is_empty() {
            return Err("is empty".into());
        }
        let url = Url::parse(text).map_err(|error| format!("is no absolute URL: {error}"))?;
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            other => return Err(format!("has the scheme `{other}`; http and https can be used")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("holds a user name; use a credential of type basic instead".into());
        }
        if url.fragment().is_some() {
            return Err("has a fragment (`#`), which is never sent".into());
        }
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or("has port 0")?;
        let host = url.host().ok_or("has no host")?;
        let host_text = host.to_string();
        let scheme_end = text.find("://").ok_or("is not written as scheme://host")?;
        let after = text.get(scheme_end + 3..).unwrap_or_default();
        let authority = after.split(['/', '?']).next().unwrap_or_default();
        let expected_port = [format!("{host_text}:{port}"), host_text.clone()];
        let default_port = url.port().is_none();
        let spelled = if default_port { expected_port.iter().any(|form| form == authority) } else { expected_port[0] == authority };
        if !spelled || text.get(..scheme_end) != Some(url.scheme()) {
            let canonical = if default_port { host_text } else { format!("{host_text}:{port}") };
            return Err(format!("writes its host in a form that can be misread; write {}://{canonical}", url.scheme()));
        }
        let host = match host {
            Host::Ipv4(v4) => HostRule::Literal(IpAddr::V4(v4)),
            Host::Ipv6(v6) => HostRule::Literal(IpAddr::V6(v6)),
            Host::Domain("localhost") => HostRule::Localhost,
            Host::Domain(name) if name.ends_with('.') => return Err("ends its host in a dot; leave it out".into()),
            Host::Domain(name) if name.split('.').any(str::is_empty) => return Err("has an empty label in its host".into()),
            Host::Domain(name) => HostRule::Name(name.into()),
        };
        let rest = after.get(authority.len()..).unwrap_or_default();
        let question = path::check(rest).map_err(|problem| format!("has a path that {problem}"))?;
        let (path, query) = rest.split_at(question.unwrap_or(rest.len()));
        Ok(Self {
            origin: format!("{}://{authority}", url.scheme()),
            https,
            host,
            port,
            path: if path.is_empty() { "/".into() } else { path.into() },
            query: query.strip_prefix('?').map(Into::into),
        })
    }
}

#[cfg(test)]
mod tests;
