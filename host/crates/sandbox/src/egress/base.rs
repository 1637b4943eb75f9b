//! The operator's URL, taken apart and held to its canonical form, so that what people read is what is
//! dialled. The same rules hold for a member that a guest names.

use std::net::IpAddr;

use url::{Host, Url};

use super::path;

/// How a destination is spoken to: the scheme of its URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    Http,
    Https,
    /// A plain byte stream.
    Tcp,
    /// A byte stream under TLS.
    Tls,
    /// Datagrams.
    Udp,
}

impl Transport {
    const ALL: [Self; 5] = [Self::Http, Self::Https, Self::Tcp, Self::Tls, Self::Udp];

    fn named(scheme: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|transport| transport.scheme() == scheme)
    }

    pub fn scheme(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Udp => "udp",
        }
    }

    /// The interface of the contract that serves it.
    pub fn interface(self) -> &'static str {
        match self {
            Self::Http | Self::Https => "http",
            Self::Tcp | Self::Tls => "tcp",
            Self::Udp => "udp",
        }
    }

    pub fn under_tls(self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }
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

impl HostRule {
    pub(super) fn is_this_machine(&self) -> bool {
        match self {
            Self::Literal(address) => address.is_loopback(),
            Self::Localhost => true,
            Self::Name(_) => false,
        }
    }
}

/// A URL of a destination.
pub(super) struct Base {
    pub transport: Transport,
    /// Scheme and authority.
    pub origin: String,
    pub host: HostRule,
    pub port: u16,
    /// Begins with `/`; only `/` for what is not HTTP.
    pub path: String,
    pub query: Option<String>,
}

impl Base {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        // Texts stay out of messages: a URL may carry a token in its query.
        if text.is_empty() {
            return Err("is empty".into());
        }
        let mut url = Url::parse(text).map_err(|error| format!("is no absolute URL: {error}"))?;
        let scheme = url.scheme().to_owned();
        let transport = Transport::named(&scheme).ok_or_else(|| format!("has the scheme `{scheme}`; http, https, tcp, tls and udp can be used"))?;
        let stream = transport.interface() != "http";
        if stream {
            // Hosts of schemes that the library does not know are not held to any form: these are read
            // as those of `http`.
            let rest = text.strip_prefix(&scheme).ok_or_else(|| format!("does not begin with {scheme}://"))?;
            url = Url::parse(&format!("http{rest}")).map_err(|error| format!("is no absolute URL: {error}"))?;
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("holds a user name; use a credential of type basic instead".into());
        }
        if url.fragment().is_some() {
            return Err("has a fragment (`#`), which is never sent".into());
        }
        let scheme_end = text.find("://").ok_or("is not written as scheme://host")?;
        let after = text.get(scheme_end + 3..).unwrap_or_default();
        let authority = after.split(['/', '?']).next().unwrap_or_default();
        let parts = Authority::of(&url)?;
        let default_port = url.port().is_none();
        if stream && authority == parts.host_text {
            return Err(format!("has no port; write {scheme}://{authority}:PORT"));
        }
        let spelled = parts.spelled() == authority || (!stream && default_port && parts.host_text == authority);
        if !spelled || text.get(..scheme_end) != Some(scheme.as_str()) {
            let canonical = if default_port && !stream { parts.host_text } else { parts.spelled() };
            return Err(format!("writes its host in a form that can be misread; write {scheme}://{canonical}"));
        }
        let rest = after.get(authority.len()..).unwrap_or_default();
        if stream && !rest.is_empty() {
            return Err(format!("goes on after its port; {scheme}:// has neither path nor query"));
        }
        let question = path::check(rest).map_err(|problem| format!("has a path that {problem}"))?;
        let (path, query) = rest.split_at(question.unwrap_or(rest.len()));
        Ok(Self {
            transport,
            origin: format!("{scheme}://{authority}"),
            host: parts.host,
            port: parts.port,
            path: if path.is_empty() { "/".into() } else { path.into() },
            query: query.strip_prefix('?').map(Into::into),
        })
    }
}

/// Host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authority {
    pub host: HostRule,
    /// The host as it is written in its one form; brackets around IPv6.
    pub host_text: String,
    pub port: u16,
}

impl Authority {
    /// Reads `host:port` in its one form.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > 300 || text.bytes().any(|byte| !byte.is_ascii_graphic() || b"/?#@\\%".contains(&byte)) {
            return Err("is not written as host:port".into());
        }
        let url = Url::parse(&format!("http://{text}")).map_err(|error| format!("is not written as host:port: {error}"))?;
        let parts = Self::of(&url)?;
        if parts.spelled() != text {
            return Err(format!("is in a form that can be misread; its one form is {}", parts.spelled()));
        }
        Ok(parts)
    }

    fn of(url: &Url) -> Result<Self, String> {
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or("has port 0")?;
        let host = url.host().ok_or("has no host")?;
        let host_text = host.to_string();
        let host = match host {
            Host::Ipv4(v4) => HostRule::Literal(IpAddr::V4(v4)),
            Host::Ipv6(v6) => HostRule::Literal(IpAddr::V6(v6)),
            Host::Domain("localhost") => HostRule::Localhost,
            Host::Domain(name) if name.ends_with('.') => return Err("ends its host in a dot; leave it out".into()),
            Host::Domain(name) if name.split('.').any(str::is_empty) => return Err("has an empty label in its host".into()),
            Host::Domain(name) => HostRule::Name(name.into()),
        };
        Ok(Self { host, host_text, port })
    }

    fn spelled(&self) -> String {
        format!("{}:{}", self.host_text, self.port)
    }
}
