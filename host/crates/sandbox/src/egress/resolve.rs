//! Names to addresses: the host resolves, every address is checked, and only checked ones are dialled.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

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

/// What a connection of one destination may be made to. Handed to the HTTP client, which asks for
/// each new connection and dials what it gets.
pub(super) struct Checked {
    pub destination: Arc<Destination>,
    pub resolver: Arc<dyn Resolve>,
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
        addresses(&self.destination.own_place(), &*self.resolver).await
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
        let checked = Self { destination: Arc::clone(&self.destination), resolver: Arc::clone(&self.resolver) };
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
