//! Byte streams to destinations by name, plain or under TLS as the operator configured. A connection
//! may be kept from call to call; the host closes what is dropped.
//!
//! [`Connection`] is `Read` and `Write`, so that protocol libraries run on it. Every wait has an end:
//! the connection's own timeout, and the call's deadline before that.

use std::fmt;
use std::io;
use std::time::Duration;

mod session;

pub use session::Session;

/// Why a stream operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Refused before anything left the host; the text names the rule.
    Denied(String),
    /// Resolution, connection or TLS failed.
    Connect(String),
    /// The stream broke off.
    Broken(String),
    Timeout,
    /// The peer has closed its side.
    Closed,
    /// A limit was reached; the text names it, its value and the key to change.
    Limit(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(rule) => write!(f, "the connection was denied: {rule}"),
            Self::Connect(problem) => write!(f, "cannot connect: {problem}"),
            Self::Broken(problem) => write!(f, "the stream broke off: {problem}"),
            Self::Timeout => f.write_str("the receiver did not answer in time"),
            Self::Closed => f.write_str("the receiver closed the stream"),
            Self::Limit(limit) => f.write_str(limit),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Denied(_) | Error::Limit(_) => io::ErrorKind::PermissionDenied,
            Error::Connect(_) => io::ErrorKind::NotConnected,
            Error::Broken(_) => io::ErrorKind::ConnectionReset,
            Error::Timeout => io::ErrorKind::TimedOut,
            Error::Closed => io::ErrorKind::BrokenPipe,
        };
        Self::new(kind, error)
    }
}

impl Error {
    /// The error behind one that went through a library.
    pub fn behind(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            Some(own) => own.clone(),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::Closed,
            None => Self::Broken(error.to_string()),
        }
    }
}

/// Most bytes of one read; the host gives no more.
const MAX_READ: usize = 64 << 10;
/// Bytes that one write hands to the host.
const MAX_WRITE: usize = 1 << 20;

/// One connection.
pub struct Connection {
    pub(crate) raw: host::Raw,
    destination: String,
    timeout: Duration,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("destination", &self.destination).finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects to a destination; the timeout holds for connecting and then for each read and write.
    pub fn open(destination: &str, timeout: Duration) -> Result<Self, Error> {
        Self::open_member(destination, "", timeout)
    }

    /// Connects to one of a destination's members, named as `host:port` by the protocol.
    pub fn open_member(destination: &str, member: &str, timeout: Duration) -> Result<Self, Error> {
        Ok(Self { raw: host::connect(destination, member, millis(timeout))?, destination: destination.to_owned(), timeout })
    }

    /// For each read and write from now on.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Writes all bytes. After a failure it is not known how many arrived, and the connection is of no
    /// more use.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        bytes.chunks(MAX_WRITE).try_for_each(|chunk| host::write(&self.raw, chunk, millis(self.timeout)))
    }

    /// Reads what is there: at least 1 byte, at most `max`.
    pub fn receive(&mut self, max: usize) -> Result<Vec<u8>, Error> {
        host::read(&self.raw, max.min(MAX_READ) as u32, millis(self.timeout))
    }

    /// What the peer has said meanwhile, waiting at most this long: empty where it has said nothing. A peer that
    /// has closed or broken it off is an error.
    pub fn look(&mut self, wait: Duration) -> Result<Vec<u8>, Error> {
        match host::read(&self.raw, MAX_READ as u32, millis(wait).max(1)) {
            Err(Error::Timeout) => Ok(Vec::new()),
            other => other,
        }
    }

    /// Closes the sending side; reading goes on. A connection that is dropped without it may lose what
    /// the peer has not read yet.
    pub fn finish(&mut self) -> Result<(), Error> {
        host::finish(&self.raw)
    }

    /// True where the connection runs under TLS.
    pub fn is_secure(&self) -> bool {
        host::secure(&self.raw)
    }
}

impl io::Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        match self.receive(buffer.len()) {
            Ok(bytes) => {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
            Err(Error::Closed) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

impl io::Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = &bytes[..bytes.len().min(MAX_WRITE)];
        if !chunk.is_empty() {
            host::write(&self.raw, chunk, millis(self.timeout))?;
        }
        Ok(chunk.len())
    }

    /// The host sends what it is handed.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn millis(timeout: Duration) -> u32 {
    u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(target_arch = "wasm32")]
mod host {
    use super::Error;
    use crate::bindings::connector::bulkhead::connector::tcp as wit;

    pub type Raw = wit::Connection;

    fn error(error: wit::Error) -> Error {
        match error {
            wit::Error::Denied(text) => Error::Denied(text),
            wit::Error::Connect(text) => Error::Connect(text),
            wit::Error::Broken(text) => Error::Broken(text),
            wit::Error::Timeout => Error::Timeout,
            wit::Error::Closed => Error::Closed,
            wit::Error::Limit(text) => Error::Limit(text),
        }
    }

    pub fn connect(destination: &str, member: &str, timeout: u32) -> Result<Raw, Error> {
        wit::connect(destination, member, timeout).map_err(error)
    }
    pub fn write(raw: &Raw, bytes: &[u8], timeout: u32) -> Result<(), Error> {
        raw.write(bytes, timeout).map_err(error)
    }
    pub fn read(raw: &Raw, max: u32, timeout: u32) -> Result<Vec<u8>, Error> {
        raw.read(max, timeout).map_err(error)
    }
    pub fn finish(raw: &Raw) -> Result<(), Error> {
        raw.finish().map_err(error)
    }
    pub fn secure(raw: &Raw) -> bool {
        raw.secure()
    }
}
#[cfg(not(target_arch = "wasm32"))]
use crate::native::tcp as host;

#[cfg(test)]
mod tests;
