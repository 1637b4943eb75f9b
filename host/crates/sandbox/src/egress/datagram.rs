//! Datagrams to named destinations. The socket is connected to the one checked address, so that nothing
//! else can be sent to or hear from it; after [`FRESH`] the name is resolved and checked anew.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bulkhead_core::receipt::ExchangeEnd;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::client::{Egress, MAX_TEXT};
use super::redact::Redactor;
use super::resolve::{LookupError, addresses};
use super::{Destination, Refusal, RefusalKind, decide_datagram};
use crate::bill::{Bill, Recording};
use crate::host::log::clean;

/// How long a checked address is used.
const FRESH: Duration = Duration::from_secs(30);

/// Why a datagram was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("not sent: {0}")]
    Broken(String),
    /// A limit that passes with time was reached.
    #[error("{0}")]
    Busy(String),
}

/// A socket to a checked address.
pub(super) struct Flow {
    socket: UdpSocket,
    address: SocketAddr,
    since: Instant,
}

impl Egress {
    /// Hands one datagram to the network. Cancel safe: it was handed over or not.
    pub async fn datagram(&self, bill: &Bill, destination: &str, bytes: &[u8], deadline: Instant) -> Result<(), DatagramError> {
        let named = self.known(destination);
        let mut recording = Recording::new(bill, "udp", named);
        let sent = match decide_datagram(self.destinations(), destination, bytes.len()) {
            Ok(destination) => match self.pass_out(named, bytes.len()) {
                Ok(()) => {
                    timeout_at(deadline, self.hand_over(destination, bytes)).await.unwrap_or_else(|_| Err(DatagramError::Broken("the time was up".into())))
                }
                Err(text) => Err(DatagramError::Busy(text)),
            },
            Err(refusal) => Err(refusal.into()),
        };
        let label = match &sent {
            Ok(address) => {
                recording.exchange.address = Some(*address);
                recording.exchange.sent = bytes.len() as u64;
                recording.exchange.end = ExchangeEnd::Closed;
                "sent"
            }
            Err(DatagramError::Refused(refusal)) => {
                self.say(named, refusal);
                recording.exchange.end = ExchangeEnd::Refused { rule: refusal.rule, class: refusal.kind.name() };
                if refusal.kind == RefusalKind::Limit { "limit" } else { "denied" }
            }
            Err(DatagramError::Broken(_)) => {
                recording.exchange.end = ExchangeEnd::Error("broken");
                "broken"
            }
            Err(DatagramError::Busy(_)) => {
                recording.exchange.end = ExchangeEnd::Error("limit");
                "limit"
            }
        };
        self.metrics().egress_datagrams(self.instance(), named, label).inc();
        sent.map(drop)
    }

    async fn hand_over(&self, destination: &Destination, bytes: &[u8]) -> Result<SocketAddr, DatagramError> {
        let broken = |error: std::io::Error| DatagramError::Broken(clean(&error.to_string(), MAX_TEXT, &Redactor::default()));
        let Some(slot) = self.flow(destination.name()) else { return Err(DatagramError::Broken("no socket for this destination".into())) };
        let mut flow = slot.lock().await;
        if flow.as_ref().is_none_or(|flow| flow.since.elapsed() > FRESH) {
            *flow = None;
            let all = addresses(&destination.own_place(), self.resolver()).await.map_err(|error| match error {
                LookupError::NotAllowed(refused) => DatagramError::Refused(refused.0),
                LookupError::Resolve(error) => broken(error),
            })?;
            let address = *all.first().ok_or_else(|| DatagramError::Broken("the host has no address".into()))?;
            let any = if address.is_ipv4() { SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)) } else { SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)) };
            let socket = UdpSocket::bind(any).await.map_err(broken)?;
            socket.connect(address).await.map_err(broken)?;
            *flow = Some(Flow { socket, address, since: Instant::now() });
        }
        let Some(Flow { socket, address, .. }) = &*flow else { return Err(DatagramError::Broken("no socket".into())) };
        let address = *address;
        match socket.send(bytes).await {
            Ok(_) => Ok(address),
            Err(error) => {
                // The network may have told of an earlier datagram; this one did not leave all the same.
                *flow = None;
                Err(broken(error))
            }
        }
    }
}

#[cfg(test)]
mod tests;
