//! The TLS side of the API listener: handshakes beside each other and within their time, so that nobody who
//! connects and says nothing keeps others out.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::serve::Listener;
use bulkhead_tls::ServerTls;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Handshakes at the same time; connections beyond them wait in the system's queue.
const HANDSHAKES: usize = 64;
/// Longest time of one.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Pause after a failed `accept`.
const PAUSE: Duration = Duration::from_millis(200);

pub struct TlsListener {
    tcp: TcpListener,
    tls: ServerTls,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl TlsListener {
    pub fn new(tcp: TcpListener, tls: ServerTls) -> Self {
        Self { tcp, tls, handshakes: JoinSet::new() }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    /// Cancel safe: handshakes under way stay in the set.
    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                accepted = self.tcp.accept(), if self.handshakes.len() < HANDSHAKES => match accepted {
                    Ok((stream, peer)) => {
                        // The certificate of now: it may have been renewed since the last connection.
                        let acceptor = TlsAcceptor::from(self.tls.config());
                        self.handshakes.spawn(async move {
                            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                                Ok(Ok(stream)) => return Some((stream, peer)),
                                Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS with a client of the API"),
                                Err(_) => tracing::debug!(%peer, "the TLS handshake of a client of the API took too long"),
                            }
                            None
                        });
                    }
                    Err(error) => {
                        // Out of file descriptors or the like: it passes when connections end.
                        tracing::error!(%error, "the API listener cannot accept");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}
