//! One connection with one server: TLS first, then requests one after the other.
//!
//! Promises: nothing but StartTLS itself is said before TLS stands, and nothing that came before it is read after it. A
//! message has at most [`MOST_MESSAGE`] bytes, a connection [`MOST_BYTES`]. Time is the caller's: cancelling ends it.

use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::ber::{self, Malformed};
use crate::client::MOST_GROUPS;
use crate::message::{self, Answer, Entry, Outcome, Search, code};
use crate::server::Server;

/// Bytes of a message.
const MOST_MESSAGE: usize = 1 << 20;
/// Bytes that a server may send in one connection.
const MOST_BYTES: usize = 4 << 20;

/// Why a directory does not say who somebody is.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("{server} cannot be reached")]
    Unreachable {
        server: String,
        #[source]
        source: io::Error,
    },
    #[error("no TLS with {server}")]
    Tls {
        server: String,
        #[source]
        source: io::Error,
    },
    #[error("{server} does not answer in time")]
    Slow { server: String },
    #[error("the connection with {server} broke off")]
    Broken {
        server: String,
        #[source]
        source: io::Error,
    },
    #[error("{server}: {fault}")]
    Malformed { server: String, fault: Malformed },
    #[error("{server} sent more than is looked at: {MOST_MESSAGE} bytes in a message, {MOST_BYTES} in a connection")]
    TooLarge { server: String },
    #[error("{server} refuses {what}: result {code} {words}")]
    Refused { server: String, what: &'static str, code: u32, words: String },
    #[error("{server} has more than one entry for a user name: {one} and {other}; no one of them is signed in")]
    Ambiguous { server: String, one: String, other: String },
    #[error("{server} names more than {MOST_GROUPS} groups of {dn}")]
    TooManyGroups { server: String, dn: String },
}

impl DirectoryError {
    /// Another server of the directory may do better. A password of the host's own that is wrong is not tried at each:
    /// directories lock accounts by that.
    pub(crate) fn is_of_one_server(&self) -> bool {
        !matches!(self, Self::Ambiguous { .. } | Self::TooManyGroups { .. } | Self::Refused { code: code::INVALID_CREDENTIALS, .. })
    }
}

pub struct Connection {
    server: String,
    wire: Wire<TlsStream<TcpStream>>,
}

impl Connection {
    pub async fn open(server: &Server, tls: &Arc<ClientConfig>) -> Result<Self, DirectoryError> {
        let name = server.to_string();
        let unreachable = |source| DirectoryError::Unreachable { server: name.clone(), source };
        let stream = TcpStream::connect((server.host.as_str(), server.port)).await.map_err(unreachable)?;
        let _ = stream.set_nodelay(true);
        let mut wire = Wire::new(stream);
        if server.start_tls {
            match wire.ask(message::start_tls).await.map_err(|fault| fault.of(&name))? {
                Answer::Extended(outcome) if outcome.code == code::SUCCESS => {}
                Answer::Extended(outcome) => return Err(refused(&name, "StartTLS", outcome)),
                _ => return Err(Fault::Malformed(Malformed).of(&name)),
            }
            // Whoever is on the way could have put words there that are read as if they had come under TLS.
            if !wire.unread.is_empty() {
                return Err(Fault::Malformed(Malformed).of(&name));
            }
        }
        let tls = TlsConnector::from(Arc::clone(tls)).connect(server.name.clone(), wire.stream).await;
        let wire = Wire::new(tls.map_err(|source| DirectoryError::Tls { server: name.clone(), source })?);
        Ok(Self { server: name, wire })
    }

    /// Whether the password is that of the entry. An empty name or password is never sent.
    pub async fn bind(&mut self, dn: &str, password: &str) -> Result<Outcome, DirectoryError> {
        if dn.is_empty() || password.is_empty() {
            return Ok(Outcome { code: code::INVALID_CREDENTIALS, words: String::new() });
        }
        match self.wire.ask(|id| message::bind(id, dn, password)).await {
            Ok(Answer::Bind(outcome)) => Ok(outcome),
            Ok(_) => Err(self.malformed()),
            Err(fault) => Err(fault.of(&self.server)),
        }
    }

    /// The entries that there are, at most as many as the search allows, and how it ended.
    pub async fn search(&mut self, search: &Search<'_>) -> Result<(Vec<Entry>, Outcome), DirectoryError> {
        let id = self.wire.send(|id| message::search(id, search)).await.map_err(|fault| fault.of(&self.server))?;
        let mut entries = Vec::new();
        loop {
            match self.wire.answer(id).await.map_err(|fault| fault.of(&self.server))? {
                Answer::Entry(entry) if entries.len() < search.most as usize => entries.push(entry),
                Answer::Entry(_) => return Err(DirectoryError::TooLarge { server: self.server.clone() }),
                Answer::Done(outcome) => return Ok((entries, outcome)),
                Answer::Reference | Answer::Intermediate => {}
                Answer::Bind(_) | Answer::Extended(_) => return Err(self.malformed()),
            }
        }
    }

    /// Says goodbye, whether it is heard or not.
    pub async fn close(mut self) {
        let _ = self.wire.send(message::unbind).await;
        let _ = self.wire.stream.shutdown().await;
    }

    pub fn refused(&self, what: &'static str, outcome: Outcome) -> DirectoryError {
        refused(&self.server, what, outcome)
    }

    pub fn ambiguous(&self, one: &Entry, other: &Entry) -> DirectoryError {
        DirectoryError::Ambiguous { server: self.server.clone(), one: one.dn.clone(), other: other.dn.clone() }
    }

    pub fn too_many_groups(&self, dn: String) -> DirectoryError {
        DirectoryError::TooManyGroups { server: self.server.clone(), dn }
    }

    pub fn malformed(&self) -> DirectoryError {
        Fault::Malformed(Malformed).of(&self.server)
    }
}

fn refused(server: &str, what: &'static str, outcome: Outcome) -> DirectoryError {
    DirectoryError::Refused { server: server.to_owned(), what, code: outcome.code, words: outcome.words }
}

/// What goes wrong on the wire, whichever server it is.
enum Fault {
    Io(io::Error),
    Malformed(Malformed),
    TooLarge,
}

impl Fault {
    fn of(self, server: &str) -> DirectoryError {
        let server = server.to_owned();
        match self {
            Self::Io(source) => DirectoryError::Broken { server, source },
            Self::Malformed(fault) => DirectoryError::Malformed { server, fault },
            Self::TooLarge => DirectoryError::TooLarge { server },
        }
    }
}

/// Messages over a stream.
struct Wire<S> {
    stream: S,
    unread: Vec<u8>,
    asked: u32,
    received: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    fn new(stream: S) -> Self {
        Self { stream, unread: Vec::new(), asked: 0, received: 0 }
    }

    async fn send(&mut self, request: impl FnOnce(u32) -> Vec<u8>) -> Result<u32, Fault> {
        self.asked += 1;
        let request = request(self.asked);
        self.stream.write_all(&request).await.map_err(Fault::Io)?;
        self.stream.flush().await.map_err(Fault::Io)?;
        Ok(self.asked)
    }

    async fn ask(&mut self, request: impl FnOnce(u32) -> Vec<u8>) -> Result<Answer, Fault> {
        let id = self.send(request).await?;
        self.answer(id).await
    }

    /// The next message, which must be of this request: a server that says goodbye (number 0, RFC 4511 §4.4.1), or
    /// anything else unasked, ends the connection.
    async fn answer(&mut self, id: u32) -> Result<Answer, Fault> {
        let length = loop {
            if self.unread.first().is_some_and(|tag| *tag != ber::SEQUENCE) {
                return Err(Fault::Malformed(Malformed));
            }
            if let Some((head, content)) = ber::head(&self.unread).map_err(Fault::Malformed)? {
                if content > MOST_MESSAGE {
                    return Err(Fault::TooLarge);
                }
                if self.unread.len() >= head + content {
                    break head + content;
                }
            }
            if self.received > MOST_BYTES {
                return Err(Fault::TooLarge);
            }
            let read = self.stream.read_buf(&mut self.unread).await.map_err(Fault::Io)?;
            if read == 0 {
                return Err(Fault::Io(io::ErrorKind::UnexpectedEof.into()));
            }
            self.received += read;
        };
        let (of, answer) = message::read(&self.unread[..length]).map_err(Fault::Malformed)?;
        self.unread.drain(..length);
        match (of, answer) {
            (of, answer) if of == id => Ok(answer),
            (0, _) => Err(Fault::Io(io::ErrorKind::ConnectionAborted.into())),
            _ => Err(Fault::Malformed(Malformed)),
        }
    }
}

#[cfg(test)]
mod tests;
