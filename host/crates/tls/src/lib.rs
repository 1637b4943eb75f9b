//! Certificates and keys from PEM files, TLS of listeners, and of what the host itself speaks to. Files are read when the configuration is
//! checked, so that a faulty one is a fault of the configuration and not of the first connection.
//!
//! Promised: no text of an error holds a key. Refused: versions before TLS 1.2, encrypted keys, keys of
//! another certificate, files beyond 4 MiB.

mod client;
mod peer;
mod pem;
mod server;

pub use client::client;
pub use peer::peer_name;
pub use pem::{IdentityFault, authorities, certified_key, read};
pub use server::{ServerTls, ServerTlsSettings, TlsFault};
