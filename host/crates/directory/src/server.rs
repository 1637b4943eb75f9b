//! Where a directory is, and that it is spoken to under TLS.

use std::fmt;

use rustls::pki_types::ServerName;
use url::{Host, Url};

/// Why a text names no directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServerFault {
    #[error("is no address of a directory; write ldaps://host, or ldap://host for StartTLS")]
    Scheme,
    #[error("has more than scheme, host and port")]
    More,
}

/// One server of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub(crate) name: ServerName<'static>,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// TLS begins in a connection that began without.
    pub(crate) start_tls: bool,
}

impl Server {
    /// From `ldaps://host[:port]`, or `ldap://host[:port]`, which means StartTLS.
    pub fn parse(text: &str) -> Result<Self, ServerFault> {
        let url = Url::parse(text).map_err(|_| ServerFault::Scheme)?;
        let (start_tls, port) = match url.scheme() {
            "ldaps" => (false, 636),
            "ldap" => (true, 389),
            _ => return Err(ServerFault::Scheme),
        };
        let host = match url.host().ok_or(ServerFault::Scheme)? {
            Host::Domain(name) => name.to_ascii_lowercase(),
            Host::Ipv4(addr) => addr.to_string(),
            Host::Ipv6(addr) => addr.to_string(),
        };
        let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        if !bare || !url.username().is_empty() || url.password().is_some() {
            return Err(ServerFault::More);
        }
        let name = ServerName::try_from(host.clone()).map_err(|_| ServerFault::Scheme)?;
        Ok(Self { name, host, port: url.port().unwrap_or(port), start_tls })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", if self.start_tls { "ldap" } else { "ldaps" }, self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_spoken_to_under_tls() {
        for (text, want) in [
            ("ldaps://dc1.example", "ldaps://dc1.example:636"),
            ("ldaps://DC1.example:3269/", "ldaps://dc1.example:3269"),
            ("ldap://127.0.0.1:389", "ldap://127.0.0.1:389"),
            ("ldap://dc1", "ldap://dc1:389"),
            ("ldaps://[::1]:1636", "ldaps://::1:1636"),
        ] {
            assert_eq!(Server::parse(text).map(|server| server.to_string()), Ok(want.to_owned()), "{text}");
        }
        for bad in ["", "dc1", "dc1:636", "http://dc1", "ldapi:///run/slapd", "ldaps://", "ldaps:///dc=x", "ldaps://a b"] {
            assert_eq!(Server::parse(bad), Err(ServerFault::Scheme), "{bad}");
        }
        for more in ["ldaps://dc1/dc=example", "ldaps://admin:secret@dc1", "ldaps://dc1?cn", "ldaps://dc1#x"] {
            assert_eq!(Server::parse(more), Err(ServerFault::More), "{more}");
        }
    }
}
