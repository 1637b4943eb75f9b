//! Syslog over UDP (RFC 5426): a message a datagram.

use std::sync::Arc;

use bulkhead_core::Clock;
use bulkhead_journal::{AppendBatch, Journal};
use bulkhead_observe::Metrics;
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use super::event::SyslogNormaliser;
use super::settings::SyslogSettings;
use crate::origin::Origin;
use crate::sink::Sink;

/// Largest datagram (RFC 5426 §3.2).
const DATAGRAM: usize = 65_535;
/// Datagrams taken into one append.
const DATAGRAMS: usize = 1_000;

/// Takes datagrams until cancelled.
pub async fn serve_udp(socket: UdpSocket, settings: SyslogSettings, journal: Journal, metrics: Metrics, clock: Arc<dyn Clock>, cancel: CancellationToken) {
    let sink = Sink::new(journal, metrics, clock, settings.label(), settings.durability);
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
            } else if !message.is_empty() && normaliser.event(message, &Origin::Peer { addr: peer.ip(), name: None }, received, batch.buffer()) {
                let _ = batch.push_event(); // a stored event just written is one
            }
            next = if batch.len() < DATAGRAMS && !sink.is_full(&batch) { socket.try_recv_from(&mut datagram).ok() } else { None };
        }
        if let Err(error) = sink.append(&mut batch).await {
            // Without an acknowledgement there is nobody to tell but the operator.
            sink.metrics.refused(settings.label(), "journal").inc();
            tracing::error!(%error, "syslog datagrams lost");
        }
    }
}
