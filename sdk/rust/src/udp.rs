//! Datagrams to destinations by name. Success means handed to the network; nobody learns whether one
//! arrives.

/// Most bytes of one datagram.
pub const MAX: usize = 65_507;

/// Why a datagram was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Refused before anything left the host; the text names the rule.
    Denied(String),
    /// Resolution or sending failed; the network may have told of an earlier datagram.
    Broken(String),
    /// A limit was reached; the text names it, its value and the key to change.
    Limit(String),
}

/// Sends one datagram of at most [`MAX`] bytes.
#[cfg(target_arch = "wasm32")]
pub fn send(destination: &str, datagram: &[u8]) -> Result<(), Error> {
    use crate::bindings::connector::bulkhead::connector::udp as wit;
    wit::send(destination, datagram).map_err(|error| match error {
        wit::Error::Denied(text) => Error::Denied(text),
        wit::Error::Broken(text) => Error::Broken(text),
        wit::Error::Limit(text) => Error::Limit(text),
    })
}

/// Sends one datagram of at most [`MAX`] bytes.
#[cfg(not(target_arch = "wasm32"))]
pub fn send(destination: &str, datagram: &[u8]) -> Result<(), Error> {
    crate::native::udp(destination, datagram)
}
