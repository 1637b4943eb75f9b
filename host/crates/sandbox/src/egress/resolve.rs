//! Names to addresses: the host resolves, every address is checked, and only checked ones are dialled.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bulkhead_core::BoxFuture;

use super::{Destination, HostRule, Place, Refusal};

/// Looks names up. Tests hand in their own.
pub trait Resolve: Send + Sync {
    /// All addresses of a name.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The machine's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).take(64).collect()) })
    }
}

/// Addresses that a client was given to dial: an exchange without an answer names none, and its receipt
/// names one where there was only one that it can have been.
#[derive(Debug)]
pub(crate) struct Dialled(Mutex<Candidates>);

#[derive(Debug, Default)]
struct Candidates {
    /// Of the last lookup.
    last: Vec<SocketAddr>,
    /// Of all lookups: connections are kept. Beyond [`MOST_CANDIDATES`] there is nothing to be said anyway.
    all: Vec<SocketAddr>,
}

const MOST_CANDIDATES: usize = 2;

impl Dialled {
    /// A literal is dialled as it is written, without a lookup.
    pub(super) fn new(place: &Place<'_>) -> Self {
        let last = match &place.host {
            HostRule::Literal(address) => vec![SocketAddr::new(*address, place.port)],
            HostRule::Localhost | HostRule::Name(_) => Vec::new(),
        };
        Self(Mutex::new(Candidates { all: last.clone(), last }))
    }

    fn learn(&self, addresses: &[SocketAddr]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for address in addresses {
            if known.all.len() < MOST_CANDIDATES && !known.all.contains(address) {
                known.all.push(*address);
            }
        }
        known.last = addresses.iter().take(MOST_CANDIDATES).copied().collect();
    }

    /// Whom a connection was made to, whenever that was.
    pub(crate) fn connected(&self) -> Option<SocketAddr> {
        only(&self.0.lock().unwrap_or_else(PoisonError::into_inner).all)
    }

    /// Whom a connection was not made to just now.
    pub(super) fn unreached(&self) -> Option<SocketAddr> {
        only(&self.0.lock().unwrap_or_else(PoisonError::into_inner).last)
    }
}

fn only(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    if let [address] = addresses { Some(*address) } else { None }
}

/// What a connection of one destination may be made to. Handed to the HTTP client, which asks for
/// each new connection and dials what it gets.
pub(super) struct Checked {
    pub destination: Arc<Destination>,
    pub resolver: Arc<dyn Resolve>,
    pub dialled: Arc<Dialled>,
}

/// The addresses may not be dialled.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotAllowed(pub Refusal);

impl Checked {
    /// Cancel safe.
    pub(super) async fn addresses(&self, name: &str) -> Result<Vec<SocketAddr>, LookupError> {
        if let HostRule::Name(granted) = self.destination.host()
            && granted != name
        {
            return Err(NotAllowed(Refusal::denied(7, "the client asked for another host")).into());
        }
        let addresses = addresses(&self.destination.own_place(), &*self.resolver).await?;
        self.dialled.learn(&addresses);
        Ok(addresses)
    }
}

/// Why there is no address to dial.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookupError {
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    #[error(transparent)]
    Resolve(#[from] io::Error),
}

/// Rule 7: all addresses of a place, each of them checked. Cancel safe.
pub(super) async fn addresses(place: &Place<'_>, resolver: &dyn Resolve) -> Result<Vec<SocketAddr>, LookupError> {
    let addresses = match &place.host {
        // The HTTP client does not ask for literals; it would get what the operator wrote.
        HostRule::Literal(address) => vec![*address],
        HostRule::Localhost => vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)],
        HostRule::Name(name) => resolver.resolve(name).await?,
    };
    place.destination.check_addresses(&place.host, &addresses).map_err(NotAllowed)?;
    Ok(addresses.into_iter().map(|address| SocketAddr::new(address, place.port)).collect())
}

impl reqwest::dns::Resolve for Checked {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let checked = Self { destination: Arc::clone(&self.destination), resolver: Arc::clone(&self.resolver), dialled: Arc::clone(&self.dialled) };
        Box::pin(async move {
            let addresses = checked.addresses(name.as_str()).await.map_err(|error| -> Box<dyn std::error::Error + Send + Sync> {
                match error {
                    LookupError::NotAllowed(refused) => Box::new(refused),
                    LookupError::Resolve(error) => Box::new(error),
                }
            })?;
            Ok(Box::new(addresses.into_iter()) as reqwest::dns::Addrs)
        })
    }
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked").field("destination", &self.destination.name()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::DestinationSettings;

    #[test]
    fn an_address_is_named_only_where_it_can_have_been_no_other() {
        let dialled = |url: &str| {
            let settings = DestinationSettings { url: url.into(), ..DestinationSettings::default() };
            Dialled::new(&Destination::new("primary", settings).expect("a destination").own_place())
        };
        let (a, b): (SocketAddr, SocketAddr) = ("203.0.113.1:443".parse().expect("an address"), "203.0.113.2:443".parse().expect("an address"));
        assert_eq!(dialled("https://203.0.113.1").connected(), Some(a), "a literal is never looked up");
        let named = dialled("https://siem.acme");
        assert_eq!((named.connected(), named.unreached()), (None, None));
        named.learn(&[a]);
        assert_eq!((named.connected(), named.unreached()), (Some(a), Some(a)));
        // The name has moved: an old connection may be used, a new one was tried at the new address.
        named.learn(&[b]);
        assert_eq!((named.connected(), named.unreached()), (None, Some(b)));
        named.learn(&[a, b]);
        assert_eq!((named.connected(), named.unreached()), (None, None));
    }
}
