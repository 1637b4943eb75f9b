//! Connections of syslog senders: accepted within bounds, encrypted where the listener says so.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_core::Clock;
use bulkhead_journal::Journal;
use bulkhead_observe::Metrics;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::settings::SyslogSettings;
use super::stream::read_events;
use crate::origin::Origin;
use crate::sink::Sink;

/// TLS handshakes of a listener at the same time; more wait their turn.
const HANDSHAKES: usize = 64;
/// Pause after a failed `accept`.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Longest that saying goodbye may take.
const GOODBYE: Duration = Duration::from_millis(500);

struct Shared {
    settings: SyslogSettings,
    sink: Sink,
    handshakes: Semaphore,
    cancel: CancellationToken,
}

/// Takes connections, over TCP or TLS, until cancelled. Those that are open then are closed after what
/// was read is in the journal.
pub async fn serve_streams(
    listener: TcpListener,
    settings: SyslogSettings,
    journal: Journal,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    cancel: CancellationToken,
) {
    let sink = Sink::new(journal, metrics, clock, settings.label(), settings.durability);
    let permits = Arc::new(Semaphore::new(settings.max_connections));
    let shared = Arc::new(Shared { settings, sink, handshakes: Semaphore::new(HANDSHAKES), cancel: cancel.clone() });
    let mut connections = tokio::task::JoinSet::new();
    loop {
        // The permit comes first, so that connections beyond the limit wait in the system's queue.
        let permit = tokio::select! {
            permit = Arc::clone(&permits).acquire_owned() => permit,
            () = cancel.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = cancel.cancelled() => break,
        };
        while connections.try_join_next().is_some() {}
        let label = shared.settings.label();
        match accepted {
            Ok((stream, peer)) if !shared.settings.allows(peer.ip()) => {
                shared.sink.metrics.refused(label, "not_allowed").inc();
                tracing::debug!(%peer, "syslog sender is in no allowed network");
                drop(stream);
            }
            Ok((stream, peer)) => {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    if let Err((cause, reason)) = shared.connection(stream, peer).await {
                        shared.sink.metrics.refused(label, cause).inc();
                        tracing::warn!(%peer, listener = label, reason, "syslog connection closed");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of file descriptors or the like: it passes when connections end.
                tracing::error!(%error, "syslog listener cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

impl Shared {
    /// Reads a connection to its end; the cause is a label.
    async fn connection(&self, mut stream: TcpStream, peer: SocketAddr) -> Result<(), (&'static str, String)> {
        let Self { settings, sink, cancel, .. } = self;
        let broke = |reason| ("connection", reason);
        let Some(tls) = &settings.tls else {
            let origin = Origin::Peer { addr: peer.ip(), name: None };
            return read_events(&mut stream, origin, settings, sink, cancel).await.map_err(broke);
        };
        let handshake = async {
            // Waiting for a turn is no fault of the peer.
            let _turn = self.handshakes.acquire().await;
            match tokio::time::timeout(settings.handshake, TlsAcceptor::from(tls.config()).accept(stream)).await {
                Ok(Ok(stream)) => Ok(stream),
                Ok(Err(error)) => Err(("handshake", format!("TLS: {error}"))),
                Err(_) => Err(("handshake", format!("the TLS handshake took longer than {:?} (handshake_timeout)", settings.handshake))),
            }
        };
        let mut stream = tokio::select! {
            stream = handshake => stream?,
            () = cancel.cancelled() => return Ok(()),
        };
        let name = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(bulkhead_tls::peer_name);
        let origin = Origin::Peer { addr: peer.ip(), name: name.as_deref() };
        let ended = read_events(&mut stream, origin, settings, sink, cancel).await.map_err(broke);
        // RFC 5425 §4.4: a close_notify, so that the peer can tell an end from a cut.
        let _ = tokio::time::timeout(GOODBYE, stream.shutdown()).await;
        ended
    }
}
