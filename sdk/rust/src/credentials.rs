//! Secrets inside streams, for protocols that carry them there. A guest names the credential and never
//! sees it: the host writes it, or answers a digest. It works only on a connection to the destination
//! that the operator bound the credential to, and readable forms only under TLS.

use crate::tcp::{Connection, millis};

/// Why the credential was not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Refused; the text names the rule.
    Denied(String),
    /// The stream broke off.
    Broken(String),
}

/// How a secret is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Its bytes.
    Plain,
    /// Base64 with padding (RFC 4648 §4).
    Base64,
    /// NUL, user name, NUL, password (RFC 4616), base64 encoded; needs a credential of type `basic`.
    SaslPlainBase64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Sha256,
    Sha512,
}

/// Writes the secret into the stream.
pub fn write_secret(connection: &Connection, name: &str, encoding: Encoding) -> Result<(), Error> {
    host::write_secret(&connection.raw, name, encoding, millis(connection.timeout()))
}

/// Length in bytes of the encoded secret, for protocols that announce it.
pub fn secret_length(connection: &Connection, name: &str, encoding: Encoding) -> Result<u32, Error> {
    host::secret_length(&connection.raw, name, encoding)
}

/// Hash of `before`, the secret and `after`, one after another.
pub fn hash_with(connection: &Connection, name: &str, algorithm: Algorithm, before: &[u8], after: &[u8]) -> Result<Vec<u8>, Error> {
    host::hash_with(&connection.raw, name, algorithm, before, after)
}

/// HMAC of the message under the secret (RFC 2104).
pub fn hmac(connection: &Connection, name: &str, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, Error> {
    host::hmac(&connection.raw, name, algorithm, message)
}

#[cfg(target_arch = "wasm32")]
mod host {
    use super::{Algorithm, Encoding, Error};
    use crate::bindings::connector::bulkhead::connector::credentials as wit;
    use crate::bindings::connector::bulkhead::connector::tcp::Connection;

    fn error(error: wit::Error) -> Error {
        match error {
            wit::Error::Denied(text) => Error::Denied(text),
            wit::Error::Broken(text) => Error::Broken(text),
        }
    }
    fn encoding(encoding: Encoding) -> wit::Encoding {
        match encoding {
            Encoding::Plain => wit::Encoding::Plain,
            Encoding::Base64 => wit::Encoding::Base64,
            Encoding::SaslPlainBase64 => wit::Encoding::SaslPlainBase64,
        }
    }
    fn algorithm(algorithm: Algorithm) -> wit::Algorithm {
        match algorithm {
            Algorithm::Sha256 => wit::Algorithm::Sha256,
            Algorithm::Sha512 => wit::Algorithm::Sha512,
        }
    }

    pub fn write_secret(raw: &Connection, name: &str, how: Encoding, timeout: u32) -> Result<(), Error> {
        wit::write_secret(raw, name, encoding(how), timeout).map_err(error)
    }
    pub fn secret_length(raw: &Connection, name: &str, how: Encoding) -> Result<u32, Error> {
        wit::secret_length(raw, name, encoding(how)).map_err(error)
    }
    pub fn hash_with(raw: &Connection, name: &str, how: Algorithm, before: &[u8], after: &[u8]) -> Result<Vec<u8>, Error> {
        wit::hash_with(raw, name, algorithm(how), before, after).map_err(error)
    }
    pub fn hmac(raw: &Connection, name: &str, how: Algorithm, message: &[u8]) -> Result<Vec<u8>, Error> {
        wit::hmac(raw, name, algorithm(how), message).map_err(error)
    }
}
#[cfg(not(target_arch = "wasm32"))]
use crate::native::credentials as host;
