//! The sockets of syslog intake: a thin driver around `framing` and `event`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bulkhead_core::{Clock, FailureClass, Tenant};
use bulkhead_journal::{AppendBatch, AppendError, Durability, Journal};
use bulkhead_observe::Metrics;
use ipnet::IpNet;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::event::SyslogNormaliser;
use super::framing::{Deframer, Framing};

/// Bytes of one read.
const READ: usize = 64 << 10;
/// Largest datagram (RFC 5426 §3.2).
const DATAGRAM: usize = 65_535;
/// Datagrams taken into one append.
const DATAGRAMS: usize = 1_000;
/// Wait before a full journal is asked again.
const FULL_WAIT: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proto {
    Tcp,
    Udp,
}

impl Proto {
    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp].into_iter().find(|proto| proto.name() == name)
    }
}

/// One entry of `listen.syslog`.
#[derive(Debug, Clone)]
pub struct SyslogSettings {
    pub proto: Proto,
    pub addr: SocketAddr,
    pub framing: Framing,
    /// Networks that may send; everybody where empty. Plain syslog has no other credential.
    pub allow: Vec<IpNet>,
    /// Longest message in bytes; a longer one ends the connection (TCP) or is cut by the network (UDP).
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
            framing: Framing::Auto,
            allow: Vec::new(),
            max_message: 64 << 10,
            max_connections: 1_000,
            idle: Duration::from_secs(3600),
            durability: Durability::Fsync,
            tenant: Tenant::default(),
        }
    }

    fn allows(&self, peer: IpAddr) -> bool {
        // A v4 sender on a v6 socket is still a v4 sender.
        let peer = peer.to_canonical();
        self.allow.is_empty() || self.allow.iter().any(|network| network.contains(&peer))
    }

    fn label(&self) -> &'static str {
        match self.proto {
            Proto::Tcp => "syslog-tcp",
            Proto::Udp => "syslog-udp",
        }
    }
}

/// Where events go.
#[derive(Clone)]
struct Sink {
    journal: Journal,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
}

impl Sink {
    /// Appends, waiting while the journal is full: that is the only way a stream can be told to wait.
    /// Not cancel safe: cancelled, the batch may or may not be in the journal.
    async fn append(&self, label: &str, batch: &mut AppendBatch, durability: Durability) -> Result<(), AppendError> {
        let events = batch.len();
        if events == 0 {
            return Ok(());
        }
        let mut waiting = std::mem::replace(batch, AppendBatch::new());
        loop {
            let again = copy(&waiting);
            match self.journal.append(waiting, durability).await {
                Ok(_) => {
                    self.metrics.accepted(label).inc_by(events as u64);
                    return Ok(());
                }
                Err(error) if error.class() == FailureClass::Retry && !matches!(error, AppendError::Closed) => {
                    self.metrics.refused(label, "full").inc();
                    tokio::time::sleep(FULL_WAIT).await;
                    waiting = again;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// A refused append keeps its batch; without a copy the events would be gone.
fn copy(batch: &AppendBatch) -> AppendBatch {
    let mut again = AppendBatch::with_capacity(batch.bytes(), batch.len());
    for index in 0..batch.len() {
        again.buffer().extend_from_slice(batch.stored(index).unwrap_or_default());
        // They were events a moment ago.
        let _ = again.push_event();
    }
    again
}

/// Takes connections until cancelled. Those that are open then are closed after what was read is in
/// the journal.
pub async fn serve_tcp(listener: TcpListener, settings: SyslogSettings, journal: Journal, metrics: Metrics, clock: Arc<dyn Clock>, cancel: CancellationToken) {
    let sink = Sink { journal, metrics, clock };
    let permits = Arc::new(Semaphore::new(settings.max_connections));
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
        match accepted {
            Ok((stream, peer)) if !settings.allows(peer.ip()) => {
                sink.metrics.refused(settings.label(), "not_allowed").inc();
                tracing::debug!(%peer, "syslog sender is in no allowed network");
                drop(stream);
            }
            Ok((stream, peer)) => {
                let (sink, settings, cancel) = (sink.clone(), settings.clone(), cancel.clone());
                connections.spawn(async move {
                    if let Err(reason) = stream_events(stream, peer, &settings, &sink, &cancel).await {
                        sink.metrics.refused(settings.label(), "connection").inc();
                        tracing::warn!(%peer, reason, "syslog connection closed");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of file descriptors or the like: it passes when connections end.
                tracing::error!(%error, "syslog listener cannot accept");
                tokio::time::sleep(FULL_WAIT).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn stream_events(mut stream: TcpStream, peer: SocketAddr, settings: &SyslogSettings, sink: &Sink, cancel: &CancellationToken) -> Result<(), String> {
    let mut deframer = Deframer::new(settings.framing, settings.max_message);
    let mut normaliser = SyslogNormaliser::new(settings.tenant.clone());
    let mut read = vec![0; READ];
    let mut batch = AppendBatch::new();
    loop {
        let got = tokio::select! {
            got = tokio::time::timeout(settings.idle, stream.read(&mut read)) => got,
            () = cancel.cancelled() => return Ok(()),
        };
        let count = match got {
            Err(_) => return Err("nothing came for too long".into()),
            Ok(Err(error)) => return Err(error.to_string()),
            Ok(Ok(count)) => count,
        };
        let received = sink.clock.unix_nanos();
        let mut take = |message: &[u8], batch: &mut AppendBatch| {
            if normaliser.event(message, Some(peer.ip()), received, batch.buffer()) {
                let _ = batch.push_event(); // a stored event just written is one
            }
        };
        let mut fault = None;
        if count == 0 {
            if let Some(rest) = deframer.finish() {
                take(rest, &mut batch);
            }
        } else {
            deframer.push(&read[..count]);
            loop {
                match deframer.next_message() {
                    Ok(Some(message)) => take(message, &mut batch),
                    Ok(None) => break,
                    Err(error) => {
                        fault = Some(error.to_string());
                        break;
                    }
                }
            }
        }
        // What came before a fault was whole and counts.
        sink.append(settings.label(), &mut batch, settings.durability).await.map_err(|error| error.to_string())?;
        match fault {
            Some(fault) => return Err(fault),
            None if count == 0 => return Ok(()),
            None => {}
        }
    }
}

/// Takes datagrams until cancelled.
pub async fn serve_udp(socket: UdpSocket, settings: SyslogSettings, journal: Journal, metrics: Metrics, clock: Arc<dyn Clock>, cancel: CancellationToken) {
    let sink = Sink { journal, metrics, clock };
    let mut normaliser = SyslogNormaliser::new(settings.tenant.clone());
    let mut datagram = vec![0; DATAGRAM];
    let mut batch = AppendBatch::new();
    loop {
        let got = tokio::select! {
            got = socket.recv_from(&mut datagram) => got,
            () = cancel.cancelled() => break,
        };
        let received = sink.clock.unix_nanos();
        let mut next = match got {
            Ok(first) => Some(first),
            Err(error) => {
                tracing::warn!(%error, "syslog datagram not received");
                None
            }
        };
        while let Some((length, peer)) = next {
            let message = datagram[..length].trim_ascii_end();
            if !settings.allows(peer.ip()) {
                sink.metrics.refused(settings.label(), "not_allowed").inc();
            } else if message.len() > settings.max_message {
                sink.metrics.refused(settings.label(), "too_large").inc();
            } else if !message.is_empty() && normaliser.event(message, Some(peer.ip()), received, batch.buffer()) {
                let _ = batch.push_event(); // a stored event just written is one
            }
            next = if batch.len() < DATAGRAMS { socket.try_recv_from(&mut datagram).ok() } else { None };
        }
        if let Err(error) = sink.append(settings.label(), &mut batch, settings.durability).await {
            // Without an acknowledgement there is nobody to tell but the operator.
            sink.metrics.refused(settings.label(), "journal").inc();
            tracing::error!(%error, "syslog datagrams lost");
        }
    }
}
