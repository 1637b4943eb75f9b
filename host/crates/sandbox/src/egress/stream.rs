//! Byte streams to named destinations, plain or under TLS: connected only to checked addresses, read
//! without secrets, every wait bounded. One belongs to the store of the guest that opened it and goes
//! with it; its permit comes back however it ends.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bulkhead_core::receipt::{Exchange, ExchangeEnd};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::{CONNECT, Egress, MAX_TEXT};
use super::inbox::{GRACE, Inbox};
use super::redact::Redactor;
use super::resolve::{LookupError, addresses};
use super::{Destination, HostRule, Place, Refusal, RefusalKind, Transport, decide_stream, tls};
use crate::bill::{Bill, Recording};
use crate::credentials::Credential;
use crate::host::log::clean;
use crate::limits::Limit;

/// Most bytes of one read.
pub const MAX_READ: usize = 64 << 10;
const CHUNK: usize = 16 << 10;

/// Why a stream operation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Resolution, connection or TLS failed.
    #[error("no connection: {0}")]
    Connect(String),
    #[error("the stream broke off: {0}")]
    Broken(String),
    #[error("the time was up")]
    Timeout,
    /// The peer has closed its side.
    #[error("the peer has closed the stream")]
    Closed,
    /// A limit that passes with time was reached.
    #[error("{0}")]
    Busy(String),
}

impl StreamError {
    /// The label in metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Refused(Refusal { kind: RefusalKind::Limit, .. }) | Self::Busy(_) => "limit",
            Self::Refused(_) => "denied",
            Self::Connect(_) => "connect",
            Self::Broken(_) => "broken",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
        }
    }

    fn end(&self) -> ExchangeEnd {
        match self {
            Self::Refused(refusal) => ExchangeEnd::Refused { rule: refusal.rule, class: refusal.kind.name() },
            other => ExchangeEnd::Error(other.label()),
        }
    }
}

/// One connection.
pub struct Stream {
    wire: Wire,
    inbox: Inbox,
    credential: Option<Arc<Credential>>,
    /// A stream of which something was lost is not used any more.
    broken: Option<&'static str>,
    finished: bool,
    ended: bool,
    /// For receipts: what this stream is, whatever the call.
    id: u64,
    exchange: Exchange,
    _open: Open,
    _permit: OwnedSemaphorePermit,
    _place: super::places::Place,
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Counts for as long as it lives.
struct Open(prometheus::IntGauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("destination", &self.exchange.destination).field("secure", &self.secure()).finish_non_exhaustive()
    }
}

/// `until` the caller's time, bounded by the call's. A timeout of 0 leaves no time.
pub(crate) fn until(timeout: Duration, deadline: Instant) -> Result<Instant, Refusal> {
    if timeout.is_zero() {
        return Err(Refusal::invalid(6, "a timeout of 0 leaves no time; the call's own deadline bounds a longer one"));
    }
    Ok(Instant::now().checked_add(timeout).map_or(deadline, |asked| asked.min(deadline)))
}

impl Egress {
    /// Connects to a destination, or to one of its members where `member` names one, by `deadline` at
    /// the latest. Cancel safe: a half-made connection is closed.
    pub async fn connect(&self, bill: &Bill, destination: &str, member: &str, timeout: Duration, deadline: Instant) -> Result<Stream, StreamError> {
        let named = self.known(destination);
        let mut recording = Recording::new(bill, "tcp", named);
        let result = self.connect_counted(&mut recording.exchange, destination, member, timeout, deadline).await;
        recording.exchange.end = match &result {
            Ok(_) => ExchangeEnd::Closed,
            Err(error) => error.end(),
        };
        let result = match result {
            Ok(stream) => {
                recording.stream(stream.id);
                Ok(stream)
            }
            Err(error) => Err(error),
        };
        self.metrics().egress_connections(self.instance(), named, result.as_ref().map_or_else(StreamError::label, |_| "connected")).inc();
        if let Err(StreamError::Refused(refusal)) = &result {
            self.say(named, refusal);
        }
        result
    }

    async fn connect_counted(
        &self,
        exchange: &mut Exchange,
        destination: &str,
        member: &str,
        timeout: Duration,
        deadline: Instant,
    ) -> Result<Stream, StreamError> {
        let place = decide_stream(self.destinations(), destination, member)?;
        let until = until(timeout, deadline)?;
        let limits = self.limits();
        // Connections last: who waited for one to end would wait for the whole call.
        let permit = Arc::clone(self.connections())
            .try_acquire_owned()
            .map_err(|_| Refusal::over(6, limits, Limit::TcpConnections, limits.enforced(Limit::TcpConnections) + 1))?;
        let all = self.all_places();
        let taken = timeout_at(until, all.take()).await.map_err(|_| StreamError::Busy(all.refusal()))?;
        let taken = taken.ok_or_else(|| StreamError::Broken("the host is stopping".into()))?;
        let wire = timeout_at(until, self.reach(&place, member.is_empty(), exchange)).await.map_err(|_| StreamError::Timeout)??;
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let open = self.metrics().egress_open(self.instance());
        open.inc();
        Ok(Stream {
            wire,
            inbox: Inbox::new(Arc::clone(self.redactor())),
            credential: place.destination.credential().cloned(),
            broken: None,
            finished: false,
            ended: false,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            exchange: Exchange { end: ExchangeEnd::Closed, ..exchange.clone() },
            _open: Open(open),
            _permit: permit,
            _place: taken,
        })
    }

    /// The place, or the first of the destination's places that can be reached, beginning with the one
    /// that was reached last. A refused address ends it: that is no failure that passes.
    async fn reach(&self, place: &Place<'_>, own: bool, exchange: &mut Exchange) -> Result<Wire, StreamError> {
        let destination = place.destination;
        let tls = match destination.transport() {
            Transport::Tls => Some(self.stream_tls(destination).map_err(StreamError::Connect)?),
            _ => None,
        };
        if !own {
            return self.dial(place, tls.as_ref(), exchange).await;
        }
        let places: Vec<&Destination> = destination.places().collect();
        let first = self.good(destination.name());
        let mut unreached = StreamError::Connect("the destination has no place".into());
        for at in (0..places.len()).map(|step| (first + step) % places.len()) {
            match self.dial(&places[at].own_place(), tls.as_ref(), exchange).await {
                Ok(wire) => {
                    self.set_good(destination.name(), at);
                    return Ok(wire);
                }
                Err(error @ StreamError::Connect(_)) => unreached = error,
                Err(error) => return Err(error),
            }
        }
        Err(unreached)
    }

    async fn dial(&self, place: &Place<'_>, tls: Option<&Arc<ClientConfig>>, exchange: &mut Exchange) -> Result<Wire, StreamError> {
        let addresses = addresses(place, self.resolver()).await.map_err(|error| match error {
            LookupError::NotAllowed(refused) => StreamError::Refused(refused.0),
            LookupError::Resolve(error) => StreamError::Connect(said(&error)),
        })?;
        let mut unreached = StreamError::Connect("the host has no address".into());
        for address in addresses {
            let stream = match timeout_at(Instant::now() + CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    unreached = StreamError::Connect(said(&error));
                    continue;
                }
                Err(_) => {
                    unreached = StreamError::Connect(format!("nobody answered within {}s", CONNECT.as_secs()));
                    continue;
                }
            };
            let _ = stream.set_nodelay(true);
            exchange.address = Some(address);
            let Some(tls) = tls else { return Ok(Wire::Plain(stream)) };
            let name = server_name(&place.host).map_err(StreamError::Connect)?;
            let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.map_err(|error| StreamError::Connect(said(&error)))?;
            let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            exchange.certificate = shown.map(|certificate| Sha256::digest(certificate).into());
            return Ok(Wire::Tls(Box::new(stream)));
        }
        Err(unreached)
    }
}

impl Stream {
    /// True where it runs under TLS.
    pub fn secure(&self) -> bool {
        matches!(self.wire, Wire::Tls(_))
    }

    /// Name of the destination that it was opened to.
    pub fn destination(&self) -> &str {
        &self.exchange.destination
    }

    /// The credential that the operator bound to that destination.
    pub(crate) fn credential(&self) -> Option<&Arc<Credential>> {
        self.credential.as_ref()
    }

    /// Writes all bytes. Not cancel safe: how many were written is not known then.
    pub async fn write(&mut self, egress: &Egress, bill: &Bill, bytes: &[u8], until: Instant) -> Result<(), StreamError> {
        self.check()?;
        if self.finished {
            return Err(StreamError::Broken("the sending side was closed by `finish`".into()));
        }
        egress.pass_out(&self.exchange.destination, bytes.len()).map_err(StreamError::Busy)?;
        // Until it is done; a cancelled one leaves it so.
        self.broken = Some("an earlier write did not come to its end");
        bill.stream(self.id, &self.exchange, bytes.len() as u64, 0);
        let written = async {
            self.wire.write_all(bytes).await?;
            self.wire.flush().await
        };
        match timeout_at(until, written).await {
            Ok(Ok(())) => {
                self.broken = None;
                Ok(())
            }
            Ok(Err(error)) => Err(StreamError::Broken(said(&error))),
            Err(_) => Err(StreamError::Timeout),
        }
    }

    /// Reads what is there, at least 1 and at most `max` bytes, without secrets. Cancel safe.
    pub async fn read(&mut self, egress: &Egress, bill: &Bill, max: usize, until: Instant) -> Result<Vec<u8>, StreamError> {
        if max == 0 {
            return Err(Refusal::invalid(6, "a read of 0 bytes would bring nothing").into());
        }
        let mut chunk = Vec::new();
        loop {
            if let Some(bytes) = self.inbox.take(max.min(MAX_READ)) {
                return Ok(bytes);
            }
            if self.ended {
                return Err(StreamError::Closed);
            }
            chunk.clear();
            chunk.reserve(CHUNK);
            let pause = if self.inbox.waits() { until.min(Instant::now() + GRACE) } else { until };
            match timeout_at(pause, self.wire.read_buf(&mut chunk)).await {
                Ok(Ok(0)) => {
                    self.ended = true;
                    self.inbox.end();
                }
                Ok(Ok(_)) => {
                    bill.stream(self.id, &self.exchange, 0, chunk.len() as u64);
                    egress.came_in(&self.exchange.destination, chunk.len());
                    self.inbox.push(&chunk);
                }
                Ok(Err(error)) => {
                    self.broken = Some("the peer broke it off");
                    self.ended = true;
                    return Err(StreamError::Broken(said(&error)));
                }
                Err(_) if pause < until => self.inbox.pause(),
                Err(_) => return Err(StreamError::Timeout),
            }
        }
    }

    /// Closes the sending side; under TLS with a notice to the peer. Not cancel safe.
    pub async fn finish(&mut self, until: Instant) -> Result<(), StreamError> {
        self.check()?;
        if self.finished {
            return Ok(());
        }
        self.finished = true;
        match timeout_at(until, self.wire.shutdown()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(StreamError::Broken(said(&error))),
            Err(_) => Err(StreamError::Timeout),
        }
    }

    fn check(&self) -> Result<(), StreamError> {
        match self.broken {
            Some(reason) => Err(StreamError::Broken(reason.into())),
            None => Ok(()),
        }
    }
}

fn server_name(host: &HostRule) -> Result<ServerName<'static>, String> {
    match host {
        HostRule::Literal(address) => Ok(ServerName::IpAddress((*address).into())),
        HostRule::Localhost => ServerName::try_from("localhost").map_err(|error| error.to_string()),
        HostRule::Name(name) => ServerName::try_from(name.clone()).map_err(|_| "the host's name cannot stand in a certificate".into()),
    }
}

/// What failed, without addresses.
fn said(error: &std::io::Error) -> String {
    let text = match tls::within(error) {
        Some(error) => tls::words(error),
        None => error.to_string(),
    };
    clean(&text, MAX_TEXT, &Redactor::default())
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests;
