//! One entry of `listen.syslog`, checked.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bulkhead_core::Tenant;
use bulkhead_journal::Durability;
use bulkhead_tls::ServerTls;
use ipnet::IpNet;

use super::framing::Framing;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proto {
    Tcp,
    Tls,
    Udp,
}

impl Proto {
    const ALL: [Self; 3] = [Self::Tcp, Self::Tls, Self::Udp];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Udp => "udp",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|proto| proto.name() == name)
    }
}

/// One entry of `listen.syslog`.
#[derive(Debug, Clone)]
pub struct SyslogSettings {
    pub proto: Proto,
    pub addr: SocketAddr,
    /// There with `Proto::Tls` and only there.
    pub tls: Option<ServerTls>,
    /// Longest that a TLS handshake may take.
    pub handshake: Duration,
    pub framing: Framing,
    /// Networks that may send; everybody where empty. Without TLS there is no other credential.
    pub allow: Vec<IpNet>,
    /// Longest message in bytes; a longer one ends the connection, or is cut by the network (UDP).
    pub max_message: usize,
    /// Connections at the same time; more wait in the system's queue.
    pub max_connections: usize,
    /// A connection on which nothing comes for this long is closed.
    pub idle: Duration,
    pub durability: Durability,
    pub tenant: Tenant,
}

impl SyslogSettings {
    /// The documented defaults.
    pub fn new(proto: Proto, addr: SocketAddr) -> Self {
        Self {
            proto,
            addr,
            tls: None,
            handshake: Duration::from_secs(10),
            framing: Framing::Auto,
            allow: Vec::new(),
            max_message: 64 << 10,
            max_connections: 1_000,
            idle: Duration::from_secs(3600),
            durability: Durability::Fsync,
            tenant: Tenant::default(),
        }
    }

    pub(super) fn allows(&self, peer: IpAddr) -> bool {
        // A v4 sender on a v6 socket is still a v4 sender.
        let peer = peer.to_canonical();
        self.allow.is_empty() || self.allow.iter().any(|network| network.contains(&peer))
    }

    pub(super) fn label(&self) -> &'static str {
        match self.proto {
            Proto::Tcp => "syslog-tcp",
            Proto::Tls => "syslog-tls",
            Proto::Udp => "syslog-udp",
        }
    }
}
