//! The sockets that a host listens on, and where it says which they are.

use std::net::SocketAddr;
use std::path::Path;

use bulkhead_ingest::{Proto, SyslogSettings};
use tokio::net::{TcpListener, UdpSocket};

use super::StartError;

/// Where a running host says what it listens on, below its `data_dir`.
pub(super) const LISTENING: &str = "listening.json";

pub(super) enum SyslogSocket {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

/// The sockets of `listen.syslog`, with the addresses that they really have.
pub(super) async fn bind_syslog(all: &[SyslogSettings]) -> Result<Vec<(SyslogSocket, SyslogSettings)>, StartError> {
    let mut bound = Vec::new();
    for mut settings in all.iter().cloned() {
        let addr = settings.addr;
        let failed = |source| StartError::Listen { addr, key: "listen.syslog", source };
        let socket = match settings.proto {
            Proto::Tcp | Proto::Tls => SyslogSocket::Tcp(TcpListener::bind(addr).await.map_err(failed)?),
            Proto::Udp => SyslogSocket::Udp(UdpSocket::bind(addr).await.map_err(failed)?),
        };
        settings.addr = match &socket {
            SyslogSocket::Tcp(listener) => listener.local_addr(),
            SyslogSocket::Udp(socket) => socket.local_addr(),
        }
        .map_err(failed)?;
        bound.push((socket, settings));
    }
    Ok(bound)
}

pub(super) async fn bind(addr: SocketAddr, key: &'static str) -> Result<TcpListener, StartError> {
    TcpListener::bind(addr).await.map_err(|source| StartError::Listen { addr, key, source })
}

pub(super) fn local(listener: &TcpListener, key: &'static str) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|source| StartError::Listen { addr: SocketAddr::from(([0, 0, 0, 0], 0)), key, source })
}

/// Written whole or not at all, so that a reader never sees half of it.
pub(super) fn write_listening(data_dir: &Path, api: SocketAddr, http: SocketAddr, syslog: &[SocketAddr]) -> std::io::Result<()> {
    let fresh = data_dir.join(format!("{LISTENING}.new"));
    std::fs::write(&fresh, serde_json::json!({"api": api, "http": http, "syslog": syslog, "pid": std::process::id()}).to_string())?;
    std::fs::rename(fresh, data_dir.join(LISTENING))
}
